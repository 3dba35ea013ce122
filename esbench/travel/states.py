"""The state of one stream, or of all, at a coordinate."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.errors import Untrusted
from esbench.event import At
from esbench.events import Events
from esbench.fold import keyed, sql
from esbench.fold.absent import refuse_absent
from esbench.fold.frames import field_columns
from esbench.fold.keyed import StreamOrKey
from esbench.fold.python import holds, initial_state, steps
from esbench.fold.single import followed, judge
from esbench.fold.snapshots import Shelf
from esbench.fold.state import Broken, Mark, State, trust_text
from esbench.projection import Projection
from esbench.travel.taken import END, SHOWN_COLUMNS, alone, fault, folded_values, of_keys, surveyed

__all__ = ["state", "states", "values"]


def state(
    events: Events,
    aggregate: Aggregate,
    stream_id: StreamOrKey,
    at: At = END,
    *,
    forks: str = "all",
    strict: bool = False,
    snapshots: Shelf | None = None,
) -> State:
    """The state of one stream at a coordinate, whatever the aggregate covers.

    Damage is marked and folded past. With ``strict`` it raises Untrusted, which carries the state up to there;
    ``forks="first"`` folds of each version only the event with the lowest position. Raises UnknownStream.
    ``snapshots`` are those of the log, from which the fold of a long stream starts.
    """
    stream = keyed.one_chosen(events, aggregate, stream_id, at=at, forks=forks)
    shelf = None if aggregate.keyed else snapshots
    return _state(stream, aggregate, keyed.told(stream_id), at, forks=forks, strict=strict, snapshots=shelf)


def _state(
    stream: Events,
    aggregate: Aggregate,
    stream_id: str,
    at: At,
    *,
    forks: str,
    strict: bool,
    snapshots: Shelf | None = None,
) -> State:
    found, taken, one = alone(stream, aggregate, at, forks)
    if not found.keys:
        return State(initial_state(aggregate), stream_id, None, None, 0)
    marks = list(found.marks(found.keys[0]))
    if one is not None and snapshots is not None:
        done = snapshots.fold(one, stream_id, aggregate)
    else:
        done = followed(taken, aggregate, initial_state(aggregate), {})
    if done is None:
        value, broken = None, dict[str, Broken]()
        for step in steps(taken, aggregate, columns=SHOWN_COLUMNS):
            value = step.value
            judge(aggregate, step.event, value, broken)
            if step.error is not None:
                marks.append(fault(step.event.version, step.error))
    else:
        value, broken = done
    marks.sort()
    if strict and marks:
        name = f"_before{len(stream.parameters)}"
        before = stream.where(f"version < ${name}", **{name: marks[0].version})
        raise _untrusted(
            aggregate, stream_id, at, marks, _state(before, aggregate, stream_id, at, forks=forks, strict=False)
        )
    return State(
        value,
        stream_id,
        found.versions[0],
        found.positions[0],
        found.events[0],
        tuple(marks),
        tuple(broken[name] for name in aggregate.invariants if name in broken),
    )


def states(
    events: Events,
    aggregate: Aggregate,
    at: At = END,
    *,
    forks: str = "all",
    strict: bool = False,
    executor: Executor | None = None,
    snapshots: Shelf | None = None,
) -> pd.DataFrame:
    """The state of every stream that the aggregate covers at a coordinate, one row a stream.

    Columns: ``stream_id``, ``version``, ``events``, the fields of the state (one column ``state`` if it has
    none; ``state_`` stands before a name that is taken), ``trust``, and ``broken``: the invariants that do not
    hold. Streams of which the coordinate takes nothing have no row. ``strict`` raises Untrusted at the first
    stream that is not complete. ``executor`` folds with Python handlers on its workers, and ``snapshots`` are those of
    the log, from which streams are folded where that spares most of the events; both with the same result.

    Of a read model, one row a key: its parts, ``events``, the ``position`` of the last of them, and the others.
    ``attrs["missing_key"]`` counts events that it would fold if they had a key.
    """
    chosen = keyed.chosen(events, aggregate, at=[at], forks=forks)
    found, taken = surveyed(chosen, aggregate, at, forks)
    made = None
    if isinstance(aggregate, Projection):
        made = sql.fold(taken, aggregate, limit=found.limit)
        refuse_absent(chosen, aggregate, made.faults)
    folded = folded_values(taken, aggregate, found, executor, snapshots=snapshots) if made is None else []
    pairs = zip(found.keys, folded, strict=False)
    faults = {key: one.faults for key, one in pairs if one.faults} if made is None else made.faults
    # Most streams have no mark.
    trust = [trust_text((), 1)] * len(found.keys)
    for row, key in enumerate(found.keys):
        if key in found.found or key in faults:
            marks = sorted([*found.marks(key), *(fault(each.version, each.error) for each in faults.get(key, ()))])
            if strict and marks:
                _state(of_keys(chosen, {key: row}), aggregate, found.ids[row], at, forks=forks, strict=True)
            trust[row] = trust_text(marks, found.events[row])
    fixed = {"stream_id": found.ids, "version": found.versions, "events": found.events}
    if made is None:
        fields = field_columns([one.value for one in folded], {*fixed, "trust", "broken"})
        predicates = aggregate.invariants.items() if folded else ()
        broken = [
            "; ".join([name for name, predicate in predicates if not holds(predicate, one.value)[0]]) for one in folded
        ]
    else:
        fields, broken = made.fields, made.broken
    frame = pd.DataFrame(
        {
            "stream_id": pd.Series(found.ids, dtype="str"),
            "version": pd.Series(found.versions, dtype="int64"),
            "events": pd.Series(found.events, dtype="int64"),
            **fields,
            "trust": pd.Series(trust, dtype="str"),
            "broken": pd.Series(broken, dtype="str"),
        }
    )
    return frame if not aggregate.keyed else keyed.shown(frame, events, taken, aggregate, at)


def values(
    chosen: Events,
    aggregate: Aggregate,
    at: At,
    forks: str,
    *,
    executor: Executor | None = None,
    snapshots: Shelf | None = None,
    within: Events | None = None,
) -> dict[int, tuple[str, Any]]:
    """Id and value of every stream of which a coordinate takes something.

    ``within``: where paths are looked for that handlers miss, if ``chosen`` is one stream, which need not have them.
    """
    found, taken = surveyed(chosen, aggregate, at, forks)
    if isinstance(aggregate, Projection):
        made = sql.fold(taken, aggregate, limit=1)
        refuse_absent(chosen if within is None else within, aggregate, made.faults)
        return dict(zip(made.keys, zip(found.ids, made.values(), strict=True), strict=True))
    folded = folded_values(taken, aggregate, found, executor, snapshots=snapshots)
    return {key: (name, one.value) for key, name, one in zip(found.keys, found.ids, folded, strict=True)}


def _untrusted(aggregate: Aggregate, stream_id: str, at: At, marks: list[Mark], upto: State) -> Untrusted:
    more = f" (and {len(marks) - 1:,} more)" if len(marks) > 1 else ""
    return Untrusted(
        f'"{stream_id}" at {at} cannot be trusted as {aggregate.name}: {marks[0]}{more}. Without strict=True '
        "the fold goes on past it, marked; this error's .state is the state before it",
        upto,
    )

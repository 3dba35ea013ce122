"""Time travel: the state of a stream, or of all, at any point in history; what changed, and which event did it.

Plain functions over Events. A coordinate takes the events recorded at or before it (:class:`~esbench.event.At`); they
are folded in order of version, then position, and every answer carries how far it can be trusted. Between Events and
values lies one seam, :func:`_folded`; steps, for what changed, come from the same fold.

>>> import duckdb
>>> from esbench.event import CANONICAL, at
>>> con = duckdb.connect()
>>> columns = ", ".join(f"null::{kind} as {name}" for name, kind in CANONICAL.items())
>>> added = "1 as stream_key, n as position, 'item-1' as stream_id, n as version, 'Added' as event_type"
>>> events = Events(con, f"select * replace ({added}) from (select 1 as stream_key, {columns}), range(1, 4) r(n)")
>>> item = Aggregate("Item", initial={"quantity": 0})
>>> @item.on("Added")
... def add(state, event):
...     return {"quantity": state["quantity"] + 5}
>>> state(events, item, "item-1", at(version=2))
State(quantity=10) at item-1@2, complete
>>> history(events, item, "item-1")[["version", "quantity", "changed"]].values.tolist()
[[1, 5, (/quantity: 0 → 5,)], [2, 10, (/quantity: 5 → 10,)], [3, 15, (/quantity: 10 → 15,)]]
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from operator import itemgetter
from typing import Any

import duckdb
import pandas as pd

from esbench.aggregate import Aggregate
from esbench.errors import AggregateError, BadCoordinate, Untrusted
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold import keyed, sql
from esbench.fold.absent import refuse_absent
from esbench.fold.changes import Change, changes, leaves, same
from esbench.fold.frames import field_columns, moments
from esbench.fold.parallel import finals
from esbench.fold.python import ALWAYS, Folded, Step, first_of_forks, holds, initial_state, steps
from esbench.fold.reading import Source, narrowed
from esbench.fold.single import Whole, followed, judge, whole
from esbench.fold.snapshots import Shelf
from esbench.fold.state import SHOWN, Broken, Mark, State, trust_text
from esbench.fold.trust import Survey, survey
from esbench.projection import Projection

__all__ = ["blame", "diff", "history", "state", "states", "surveyed", "timeline", "values"]

_END = At()
#: What the answers show of an event; handlers get whatever they read.
_SHOWN_COLUMNS = ("position", "stream_id", "version", "event_type", "event_id", "recorded_at", "data")


def state(
    events: Events,
    aggregate: Aggregate,
    stream_id: str,
    at: At = _END,
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
    found, taken, one = _alone(stream, aggregate, at, forks)
    if not found.keys:
        return State(initial_state(aggregate), stream_id, None, None, 0)
    marks = list(found.marks(found.keys[0]))
    if one is not None and snapshots is not None:
        done = snapshots.fold(one, stream_id, aggregate)
    else:
        done = followed(taken, aggregate, initial_state(aggregate), {})
    if done is None:
        value, broken = None, dict[str, Broken]()
        for step in steps(taken, aggregate, columns=_SHOWN_COLUMNS):
            value = step.value
            judge(aggregate, step.event, value, broken)
            if step.error is not None:
                marks.append(_fault(step.event.version, step.error))
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
    at: At = _END,
    *,
    forks: str = "all",
    strict: bool = False,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """The state of every stream that the aggregate covers at a coordinate, one row a stream.

    Columns: ``stream_id``, ``version``, ``events``, the fields of the state (one column ``state`` if it has
    none; ``state_`` stands before a name that is taken), ``trust``, and ``broken``: the invariants that do not
    hold. Streams of which the coordinate takes nothing have no row. ``strict`` raises Untrusted at the first
    stream that is not complete. ``executor`` folds with Python handlers on its workers, with the same result.

    Of a read model, one row a key: its parts, ``events``, the ``position`` of the last of them, and the others.
    ``attrs["missing_key"]`` counts events that it would fold if they had a key.
    """
    chosen = keyed.chosen(events, aggregate, at=[at], forks=forks)
    found, taken = surveyed(chosen, aggregate, at, forks)
    made = None
    if isinstance(aggregate, Projection):
        made = sql.fold(taken, aggregate, limit=found.limit)
        refuse_absent(chosen, aggregate, made.faults)
    folded = _folded(taken, aggregate, found, executor) if made is None else []
    faults = {key: one.faults for key, one in zip(found.keys, folded, strict=False)} if made is None else made.faults
    trust = []
    for row, key in enumerate(found.keys):
        marks = found.marks(key)
        if faults.get(key):
            marks = tuple(sorted([*marks, *(_fault(fault.version, fault.error) for fault in faults[key])]))
        if strict and marks:
            _state(_of_keys(chosen, {key: row}), aggregate, found.ids[row], at, forks=forks, strict=True)
        trust.append(trust_text(marks, found.events[row]))
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


def history(events: Events, aggregate: Aggregate, stream_id: str, at: At = _END, *, forks: str = "all") -> pd.DataFrame:
    """Every event of a stream up to a coordinate, one row each, with the state after it.

    Columns: ``version``, ``position``, ``event_id``, ``event_type``, ``recorded_at``, the fields of the state,
    ``changed`` (a tuple of :class:`~esbench.fold.changes.Change`), ``trust`` and ``broken`` of the state at
    that version.
    """
    chosen = keyed.one_chosen(events, aggregate, stream_id, at=at, forks=forks)
    found, taken, _ = _alone(chosen, aggregate, at, forks, columns=_SHOWN_COLUMNS)
    every = list(steps(taken, aggregate, columns=_SHOWN_COLUMNS)) if found.keys else []
    marks = sorted(
        [mark for key in found.keys for mark in found.marks(key)]
        + [_fault(step.event.version, step.error) for step in every if step.error is not None]
    )
    trust, broken = [], []
    counted = 0
    judged: dict[str, Broken] = {}
    for step in every:
        while counted < len(marks) and marks[counted].version <= step.event.version:
            counted += 1
        trust.append(trust_text(marks[: min(counted, SHOWN + 1)], 1))
        judge(aggregate, step.event, step.value, judged)
        broken.append("; ".join(name for name in aggregate.invariants if name in judged))
    shown = _event_columns([step.event for step in every])
    return pd.DataFrame(
        {
            **shown,
            **field_columns([step.value for step in every], {*shown, "changed", "trust", "broken"}),
            "changed": pd.Series([tuple(changes(step.before, step.value)) for step in every], dtype="object"),
            "trust": pd.Series(trust, dtype="str"),
            "broken": pd.Series(broken, dtype="str"),
        }
    )


def timeline(events: Events, projection: Projection) -> duckdb.DuckDBPyRelation:
    """The state of every covered stream after each of its events, as a DuckDB relation, one row an event.

    Columns: ``stream_id``, ``version``, ``position``, ``event_type``, ``recorded_at``, and the projection's. In no
    order; events that are appended later are not in it. Of a read model, the parts of the key come first. Integers
    and decimals stay exact in ``es.frame(relation)`` and in Arrow; the relation's own ``df()`` makes floats of decimals
    and of integers that may pass 64 bits. Raises AggregateError for an aggregate with Python handlers.
    """
    if not isinstance(projection, Projection):
        raise AggregateError(f"a timeline is made of an es.Projection, not of {projection!r}: see history()")
    return keyed.timeline(events, projection)


def diff(
    events: Events,
    aggregate: Aggregate,
    a: At,
    b: At,
    stream: str | None = None,
    *,
    forks: str = "all",
    executor: Executor | None = None,
) -> pd.DataFrame:
    """What differs between the states at two coordinates, one row a path.

    Columns: ``path``, ``before`` (at ``a``), ``after`` (at ``b``; either may be ABSENT), and ``version``,
    ``event_id``, ``event_type``, ``recorded_at`` of the event that last set the path on the way to ``b``
    (missing where none did). Without ``stream``, all streams that the aggregate covers and that differ,
    ``stream_id`` first; where one has no events yet, its state is the initial one. ``executor`` as of :func:`states`.
    """
    chosen = keyed.chosen(events, aggregate, stream, at=[a, b], forks=forks)
    first, second = (values(chosen, aggregate, at, forks, executor=executor) for at in (a, b))
    ids = {key: name for found in (first, second) for key, (name, _) in found.items()}
    start = (None, initial_state(aggregate))
    differing: dict[int, list[Change]] = {}
    for key in sorted(ids):
        before, after = first.get(key, start)[1], second.get(key, start)[1]
        if not same(before, after):
            differing[key] = changes(before, after)
    setters = _setters(surveyed(_of_keys(chosen, differing), aggregate, b, forks)[1], aggregate) if differing else {}
    rows = [(ids[key], change, setters[key].of(change.path)) for key, found in differing.items() for change in found]
    return pd.DataFrame(
        {
            **({"stream_id": pd.Series([row[0] for row in rows], dtype="str")} if stream is None else {}),
            "path": pd.Series([row[1].path for row in rows], dtype="str"),
            "before": pd.Series([row[1].before for row in rows], dtype="object"),
            "after": pd.Series([row[1].after for row in rows], dtype="object"),
            **_event_columns([row[2] for row in rows], ("version", "event_id", "event_type", "recorded_at")),
        }
    )


def blame(events: Events, aggregate: Aggregate, stream_id: str, at: At = _END, *, forks: str = "all") -> pd.DataFrame:
    """For every leaf of the state, the event that last set it to another value.

    Columns: ``path``, ``value``, ``version``, ``event_id``, ``event_type``, ``recorded_at``; the event's are
    missing where the value stands since the initial state. Items of a list are told apart by their index.
    """
    chosen = keyed.one_chosen(events, aggregate, stream_id, at=at, forks=forks)
    found, taken, _ = _alone(chosen, aggregate, at, forks, columns=_SHOWN_COLUMNS)
    setters = _Setters()
    value = initial_state(aggregate)
    if found.keys:
        value = _folded(taken, aggregate, found)[0].value
        setters = _setters(taken, aggregate)[found.keys[0]]
    rows = [(path, leaf, setters.of(path)) for path, leaf in leaves(value)]
    return pd.DataFrame(
        {
            "path": pd.Series([path for path, _, _ in rows], dtype="str"),
            "value": pd.Series([leaf for _, leaf, _ in rows], dtype="object"),
            **_event_columns([event for _, _, event in rows], ("version", "event_id", "event_type", "recorded_at")),
        }
    )


def surveyed(
    events: Events, aggregate: Aggregate, at: At, forks: str, *, every_mark: bool = False
) -> tuple[Survey, Events]:
    """What a coordinate takes, and the events to fold."""
    if forks not in ("all", "first"):
        raise BadCoordinate(f'forks= is "all" or "first", not {forks!r}')
    aggregate.freeze()
    found = survey(events, aggregate, at, forks=forks, every_mark=every_mark)
    return found, first_of_forks(found.taken) if forks == "first" else found.taken


def _alone(
    stream: Events, aggregate: Aggregate, at: At, forks: str, *, columns: Collection[str] = ALWAYS
) -> tuple[Survey, Source, Whole | None]:
    """What a coordinate takes of one stream, with all marks, and its events to fold; how they are proven whole."""
    aggregate.freeze()
    one = whole(stream, aggregate, at, columns) if forks in ("all", "first") else None
    if one is not None:
        return one.found, one.held, one
    return *surveyed(stream, aggregate, at, forks, every_mark=True), None


def _folded(taken: Source, aggregate: Aggregate, found: Survey, executor: Executor | None = None) -> list[Folded]:
    """The values of the surveyed streams, in their order."""
    values = finals(taken, aggregate, limit=found.limit, executor=executor)
    return [values.get(key) or Folded(initial_state(aggregate)) for key in found.keys]


def values(
    chosen: Events, aggregate: Aggregate, at: At, forks: str, *, executor: Executor | None = None
) -> dict[int, tuple[str, Any]]:
    """Id and value of every stream of which a coordinate takes something."""
    found, taken = surveyed(chosen, aggregate, at, forks)
    if isinstance(aggregate, Projection):
        made = sql.fold(taken, aggregate, limit=1)
        refuse_absent(chosen, aggregate, made.faults)
        return dict(zip(made.keys, zip(found.ids, made.values(), strict=True), strict=True))
    folded = _folded(taken, aggregate, found, executor)
    return {key: (name, one.value) for key, name, one in zip(found.keys, found.ids, folded, strict=True)}


class _Setters:
    """For each path of a stream's state the last event that added, removed or changed it."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Event]] = {}
        self._paths: list[str] | None = None

    def add(self, place: int, step: Step) -> None:
        """Take in the next event of the stream."""
        for change in changes(step.before, step.value):
            self._last[change.path] = place, step.event
        self._paths = None

    def of(self, path: str) -> Event | None:
        """The event that last set a path: by itself, with what holds it, or by something in it."""
        if self._paths is None:
            self._paths = sorted(self._last)
        ends = [place for place, character in enumerate(path) if character == "/"]
        near = [path[:end] for end in ends] + [path]
        # In sorted order everything below a path stands between its slash and the next character.
        inside = slice(bisect_left(self._paths, f"{path}/"), bisect_left(self._paths, f"{path}0"))
        found = [self._last[one] for one in (*near, *self._paths[inside]) if one in self._last]
        return max(found, key=itemgetter(0))[1] if found else None


def _setters(taken: Source, aggregate: Aggregate) -> dict[int, _Setters]:
    """Who set what, for each stream by its key."""
    result: dict[int, _Setters] = defaultdict(_Setters)
    for place, step in enumerate(steps(taken, aggregate, columns=_SHOWN_COLUMNS, types=tuple(aggregate.handlers))):
        result[step.key].add(place, step)
    return result


def _of_keys(events: Events, keys: Mapping[int, object]) -> Events:
    narrow: Events = narrowed(events, "stream_key", keys)
    return narrow


def _fault(version: int, error: str) -> Mark:
    return Mark(version, "handler-error", note=error[:500])


def _event_columns(
    events: list[Any], names: tuple[str, ...] = ("version", "position", "event_id", "event_type", "recorded_at")
) -> dict[str, pd.Series[Any]]:
    """Columns of events, some of which may be None."""
    result: dict[str, pd.Series[Any]] = {}
    for name in names:
        values = [None if event is None else getattr(event, name) for event in events]
        if name == "recorded_at":
            result[name] = moments(values)
        elif name in ("version", "position"):
            result[name] = pd.Series(values, dtype="Int64" if None in values else "int64")
        else:
            result[name] = pd.Series(values, dtype="str")
    return result


def _untrusted(aggregate: Aggregate, stream_id: str, at: At, marks: list[Mark], upto: State) -> Untrusted:
    more = f" (and {len(marks) - 1:,} more)" if len(marks) > 1 else ""
    return Untrusted(
        f'"{stream_id}" at {at} cannot be trusted as {aggregate.name}: {marks[0]}{more}. Without strict=True '
        "the fold goes on past it, marked; this error's .state is the state before it",
        upto,
    )

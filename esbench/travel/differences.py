"""What differs between two coordinates, and which event set what."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Executor
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold import keyed
from esbench.fold.changes import Change, changes, leaves, same
from esbench.fold.keyed import StreamOrKey
from esbench.fold.python import Begun, Step, first_of_forks, initial_state, steps
from esbench.fold.reading import Source
from esbench.fold.snapshots import Shelf
from esbench.projection import Projection
from esbench.travel.states import values
from esbench.travel.taken import END, SHOWN_COLUMNS, alone, event_columns, folded_values, of_keys

__all__ = ["blame", "diff"]

_NOTHING: Begun = MappingProxyType({})


def diff(
    events: Events,
    aggregate: Aggregate,
    a: At,
    b: At,
    stream: StreamOrKey | None = None,
    *,
    forks: str = "all",
    executor: Executor | None = None,
    snapshots: Shelf | None = None,
) -> pd.DataFrame:
    """What differs between the states at two coordinates, one row a path.

    Columns: ``path``, ``before`` (at ``a``), ``after`` (at ``b``; either may be ABSENT), and ``version``,
    ``event_id``, ``event_type``, ``recorded_at`` of the event that last set the path on the way to ``b``
    (missing where none did). Without ``stream``, all streams that the aggregate covers and that differ,
    ``stream_id`` first; where one has no events yet, its state is the initial one. ``executor`` and ``snapshots`` as of
    :func:`~esbench.travel.states.states`.
    """
    chosen = keyed.chosen(events, aggregate, stream, at=[a, b], forks=forks)
    within = chosen if stream is None else events
    first, second = (
        values(chosen, aggregate, at, forks, executor=executor, snapshots=snapshots, within=within) for at in (a, b)
    )
    ids = {key: name for found in (first, second) for key, (name, _) in found.items()}
    start = (None, initial_state(aggregate))
    differing: dict[int, list[Change]] = {}
    for key in sorted(ids):
        before, after = first.get(key, start)[1], second.get(key, start)[1]
        if not same(before, after):
            differing[key] = changes(before, after)
    setters = _setters_between(chosen, aggregate, a, b, forks, {key: first.get(key) for key in differing})
    rows = [(ids[key], change, setters[key].of(change.path)) for key, found in differing.items() for change in found]
    return pd.DataFrame(
        {
            **({"stream_id": pd.Series([row[0] for row in rows], dtype="str")} if stream is None else {}),
            "path": pd.Series([row[1].path for row in rows], dtype="str"),
            "before": pd.Series([row[1].before for row in rows], dtype="object"),
            "after": pd.Series([row[1].after for row in rows], dtype="object"),
            **event_columns([row[2] for row in rows], ("version", "event_id", "event_type", "recorded_at")),
        }
    )


def blame(
    events: Events, aggregate: Aggregate, stream_id: StreamOrKey, at: At = END, *, forks: str = "all"
) -> pd.DataFrame:
    """For every leaf of the state, the event that last set it to another value.

    Columns: ``path``, ``value``, ``version``, ``event_id``, ``event_type``, ``recorded_at``; the event's are
    missing where the value stands since the initial state. Items of a list are told apart by their index.
    """
    chosen = keyed.one_chosen(events, aggregate, stream_id, at=at, forks=forks)
    found, taken, _ = alone(chosen, aggregate, at, forks, columns=SHOWN_COLUMNS)
    setters = _Setters()
    value = initial_state(aggregate)
    if found.keys:
        value = folded_values(taken, aggregate, found)[0].value
        setters = _setters(taken, aggregate)[found.keys[0]]
    rows = [(path, leaf, setters.of(path)) for path, leaf in leaves(value)]
    return pd.DataFrame(
        {
            "path": pd.Series([path for path, _, _ in rows], dtype="str"),
            "value": pd.Series([leaf for _, leaf, _ in rows], dtype="object"),
            **event_columns([event for _, _, event in rows], ("version", "event_id", "event_type", "recorded_at")),
        }
    )


class _Setters:
    """For each path of a stream's state the last event that added, removed or changed it."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Event]] = {}
        self._paths: list[str] | None = None

    def add(self, place: int, step: Step) -> None:
        """Take in the next event of the stream."""
        for change in step.changed:
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


def _setters(taken: Source, aggregate: Aggregate, begun: Begun = _NOTHING) -> dict[int, _Setters]:
    """Who set what, for each stream by its key."""
    result: dict[int, _Setters] = defaultdict(_Setters)
    every = steps(taken, aggregate, columns=SHOWN_COLUMNS, types=tuple(aggregate.handlers), begun=begun, compared=True)
    for place, step in enumerate(every):
        result[step.key].add(place, step)
    return result


def _setters_between(
    chosen: Events, aggregate: Aggregate, a: At, b: At, forks: str, before: Mapping[int, tuple[str, Any] | None]
) -> dict[int, _Setters]:
    """Who set, on the way to ``b``, what differs from ``a``, where streams had some id and value ``before``.

    Where the events at ``b`` are those at ``a`` and others that follow, one of these was the last to set it.
    """
    taken = of_keys(chosen, before).at(b)
    taken = first_of_forks(taken) if forks == "first" else taken
    within = None if isinstance(aggregate, Projection) else _earlier(a, b, forks, f"_a{len(taken.parameters)}")
    if within is None or not before:
        return _setters(taken, aggregate) if before else {}
    condition, bound = within
    place = "row(version, position)"
    following = taken.rows(
        f"""
        select stream_key from events group by stream_key
        having max({place}) filter ({condition}) < min({place}) filter (not {condition})
        """,
        **bound,
    )
    begun = {key: found[1] for (key,) in following if (found := before[key]) is not None}
    result: dict[int, _Setters] = defaultdict(_Setters)
    if begun:
        result |= _setters(of_keys(taken, begun).where(f"not {condition}", **bound), aggregate, begun)
    if rest := {key: None for key in before if key not in begun}:
        result |= _setters(of_keys(taken, rest), aggregate)
    return result


def _earlier(a: At, b: At, forks: str, name: str) -> tuple[str, dict[str, Any]] | None:
    """SQL: whether ``a`` takes an event too that ``b`` takes; None unless ``b`` takes all that ``a`` does."""
    if a.version is not None and (b == END or (b.version is not None and b.version >= a.version)):
        return f"(version <= ${name}::bigint)", {name: a.version}
    if a.position is not None and (b == END or (b.position is not None and b.position >= a.position)):
        return f"(position <= ${name}::bigint)", {name: a.position}
    # The first event of a fork by position need not be the first by time.
    if a.as_of is not None and forks == "all" and (b == END or (b.as_of is not None and b.as_of >= a.as_of)):
        return f"coalesce(recorded_at <= ${name}::timestamptz, false)", {name: a.as_of.isoformat()}
    return None

"""How the states of two logs differ: a branch and what it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd

from esbench import travel
from esbench.aggregate import Aggregate, refuse_read_model
from esbench.event import At
from esbench.events import Events, stream_name
from esbench.fold.changes import changes
from esbench.fold.keyed import StreamOrKey
from esbench.fold.python import Step, initial_state, steps

__all__ = ["by_stream", "by_version"]

#: Tells which event of one log is which of the other: equal for both where they are one event.
Origin = Callable[[int], object]

_TYPES = {
    **dict.fromkeys(("stream_id", "path", "event_type", "event_id"), "str"),
    **dict.fromkeys(("version_before", "version_after"), "Int64"),
    **dict.fromkeys(("before", "after"), "object"),
}


def by_stream(
    logs: tuple[Events, Events],
    aggregate: Aggregate,
    ats: tuple[At, At],
    streams: Iterable[StreamOrKey],
    *,
    forks: str = "all",
) -> pd.DataFrame:
    """Where the states of streams differ at a coordinate of each log, one row a path.

    Columns: ``stream_id``, ``path``, ``before``, ``after`` (either may be ABSENT), and ``version_before``,
    ``version_after``: the versions that the streams have there.
    """
    refuse_read_model(aggregate)
    rows: list[tuple[Any, ...]] = []
    for stream_id in streams:
        old = travel.state(logs[0], aggregate, stream_id, ats[0], forks=forks)
        new = travel.state(logs[1], aggregate, stream_id, ats[1], forks=forks)
        rows += [
            (stream_id, change.path, change.before, change.after, old.version, new.version)
            for change in changes(old.value, new.value)
        ]
    return _frame(rows, ("stream_id", "path", "before", "after", "version_before", "version_after"))


def by_version(
    logs: tuple[Events, Events],
    aggregate: Aggregate,
    ats: tuple[At, At],
    stream_id: StreamOrKey,
    origins: tuple[Origin, Origin],
) -> pd.DataFrame:
    """After which events of a stream the states differ, one row an event and path, in folding order.

    Columns: ``version_before`` and ``version_after`` (missing where one log has not the event), ``event_type``,
    ``event_id``, ``path``, ``before``, ``after``. A log without the event shows its state before.
    """
    refuse_read_model(aggregate)
    stream_id = stream_name(stream_id)
    handlers = getattr(aggregate, "aggregate", aggregate)  # of a projection, its Python form
    old = list(steps(logs[0].stream(stream_id).at(ats[0]), handlers))
    new = list(steps(logs[1].stream(stream_id).at(ats[1]), handlers))
    value_before = value_after = initial_state(handlers)
    rows: list[tuple[Any, ...]] = []
    for left, right in _paired(old, new, origins):
        value_before = left.value if left else value_before
        value_after = right.value if right else value_after
        event = right.event if right else left.event if left else None
        versions = (left.event.version if left else None, right.event.version if right else None)
        rows += [
            (*versions, event and event.event_type, event and event.event_id, each.path, each.before, each.after)
            for each in changes(value_before, value_after)
        ]
    return _frame(rows, ("version_before", "version_after", "event_type", "event_id", "path", "before", "after"))


def _paired(
    old: list[Step], new: list[Step], origins: tuple[Origin, Origin]
) -> Iterator[tuple[Step | None, Step | None]]:
    """The steps of both logs side by side, None where one has not the event. Common events have one order in both."""
    places = {origins[0](step.event.position): place for place, step in enumerate(old)}
    done = 0
    for right in new:
        place = places.get(origins[1](right.event.position), -1)
        if place < done:
            yield None, right
            continue
        yield from ((left, None) for left in old[done:place])
        yield old[place], right
        done = place + 1
    yield from ((left, None) for left in old[done:])


def _frame(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> pd.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pd.DataFrame(
        {name: pd.Series(list(column), dtype=_TYPES[name]) for name, column in zip(names, columns, strict=True)}
    )

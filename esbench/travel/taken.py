"""What a coordinate takes of a log, and what every answer about it is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.errors import BadCoordinate
from esbench.event import At
from esbench.events import Events
from esbench.fold import python
from esbench.fold.begun import remaining, starts, without
from esbench.fold.copies import isolated
from esbench.fold.frames import moments
from esbench.fold.parallel import finals
from esbench.fold.python import ALWAYS, Folded, first_of_forks, initial_state
from esbench.fold.reading import Source, narrowed
from esbench.fold.single import Whole, whole
from esbench.fold.snapshots import Shelf
from esbench.fold.state import Mark
from esbench.fold.trust import Survey, survey

__all__ = ["END", "SHOWN_COLUMNS", "alone", "event_columns", "fault", "folded_values", "of_keys", "surveyed"]

END = At()
#: What the answers show of an event; handlers get whatever they read.
SHOWN_COLUMNS = ("position", "stream_id", "version", "event_type", "event_id", "recorded_at", "data")


def surveyed(
    events: Events, aggregate: Aggregate, at: At, forks: str, *, every_mark: bool = False
) -> tuple[Survey, Events]:
    """What a coordinate takes, and the events to fold."""
    if forks not in ("all", "first"):
        raise BadCoordinate(f'forks= is "all" or "first", not {forks!r}')
    aggregate.freeze()
    found = survey(events, aggregate, at, forks=forks, every_mark=every_mark)
    return found, first_of_forks(found.taken) if forks == "first" else found.taken


def alone(
    stream: Events, aggregate: Aggregate, at: At, forks: str, *, columns: Collection[str] = ALWAYS
) -> tuple[Survey, Source, Whole | None]:
    """What a coordinate takes of one stream, with all marks, and its events to fold; how they are proven whole."""
    aggregate.freeze()
    one = whole(stream, aggregate, at, columns) if forks in ("all", "first") else None
    if one is not None:
        return one.found, one.held, one
    return *surveyed(stream, aggregate, at, forks, every_mark=True), None


def folded_values(
    taken: Source,
    aggregate: Aggregate,
    found: Survey,
    executor: Executor | None = None,
    *,
    snapshots: Shelf | None = None,
) -> list[Folded]:
    """The values of the surveyed streams, in their order; from the snapshots of the log on, where that is faster.

    ``taken`` may be what a survey took less some events of forks; then no snapshot is of the same events.
    """
    begun = starts(snapshots, found, aggregate) if snapshots is not None and taken is found.taken else {}
    values: dict[int, Folded] = {}
    if begun:
        assert isinstance(taken, Events)
        values = {key: Folded(isolated(start.value)) for key, start in begun.items()}
        late = remaining(taken, begun)
        values |= python.finals(
            late, aggregate, limit=found.limit, begun={key: start.value for key, start in begun.items()}
        )
        taken = without(taken, begun)
    if len(begun) < len(found.keys):
        values |= finals(taken, aggregate, limit=found.limit, executor=executor)
    return [values.get(key) or Folded(initial_state(aggregate)) for key in found.keys]


def of_keys(events: Events, keys: Mapping[int, object]) -> Events:
    """The events of some streams, by their keys."""
    narrow: Events = narrowed(events, "stream_key", keys)
    return narrow


def fault(version: int, error: str) -> Mark:
    """How a handler that failed at a version is marked."""
    return Mark(version, "handler-error", note=error[:500])


def event_columns(
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

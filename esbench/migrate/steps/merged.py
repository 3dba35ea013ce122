"""The step in which a run of events of one stream becomes one event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from esbench.event import Event
from esbench.migrate.step import MigrationError, Step, Which, name_of, which
from esbench.migrate.steps.calls import Runs
from esbench.migrate.steps.several import called, marked, placed
from esbench.migrate.work import Work, columns
from esbench.show import cell

__all__ = ["merge_events"]


@dataclass(frozen=True, repr=False)
class MergeEvents(Step):
    """Runs of events, each of which becomes one."""

    types: tuple[str, ...]
    function: Callable[[list[Event]], Any] = field(kw_only=True)
    schema_version: int | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        where = str(Which((), self.which.streams, self.which.where)).removeprefix("every event")
        return f"merge runs of {', '.join(map(cell, self.types))} by {name_of(self.function)}{where}"

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.function): self.function}

    def over(self, work: Work, number: int) -> Work:
        members = _members(work, number, self)
        if not work.scratch.rows(members):
            return work
        same = f"{members} using (source, position, nth)"
        asked = work.over(f"select {columns()} from ({work.events.query}) semi join {same}", ordered=False)
        rest = work.over(f"select {columns()} from ({work.events.query}) anti join {same}", ordered=False)
        task = Runs(self.function, self.schema_version, len(self.types))
        return placed(work, rest, number, *called(asked, number, task), merged=True)


def merge_events(
    types: Iterable[str],
    function: Callable[[list[Event]], Any],
    *,
    schema_version: int | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> MergeEvents:
    """Merge runs of events that follow each other in one stream, of just these types in this order, into one.

    ``function(events)`` gives ``(event_type, data)`` or an event, or None to leave that run as it is. Runs are taken
    from the left and share no event. The new event stands where the last of its run stood, with its version, position,
    id, times and metadata; what stood at versions before it is gone, and later versions close up. :attr:`Event.data`
    decodes anew at each access: to change a payload, take it once, change it, and return it.

    >>> merge_events(["OrderOpened", "OrderPriced"], lambda events: ("OrderPlaced", {}))
    merge runs of OrderOpened, OrderPriced by <lambda>
    """
    named = (types,) if isinstance(types, str) else tuple(types)
    if len(named) < 2:
        raise MigrationError(f"merge_events({types!r}): a run is of two or more events; give their types in order")
    if not callable(function):
        raise MigrationError(f"merge_events() takes a function of a list of events, not {function!r:.80}")
    return MergeEvents(
        which(named, streams=streams, where=where), named, function=function, schema_version=schema_version
    )


def _members(work: Work, number: int, step: MergeEvents) -> str:
    """A scratch table of the rows that are in a run: ``(source, position, nth)``."""
    types, length = step.types, len(step.types)
    hit, bound = step.which.sql(number)
    bound |= {f"step{number}_run{at}": name for at, name in enumerate(types)}
    follows = " and ".join(
        f"lead(hit and event_type = $step{number}_run{at}, {at}) over run and lead(source, {at}) over run = source"
        for at in range(1, length)
    )
    # Streams without an event of the first type are not looked at.
    numbered = f"""
        select stream_key, source, position, nth, row_number() over run as place,
            hit and event_type = $step{number}_run0 and {follows} as starts
        from ({marked(work, hit)})
        where stream_key in (
            select stream_key from ({marked(work, hit)}) where hit and event_type = $step{number}_run0
        )
        window run as (partition by stream_key order by version, position, nth)
    """
    asked = work.over(numbered, **bound).events
    starts = asked.arrow("select stream_key, place from events where starts order by all")
    with asked.con.cursor() as cursor:
        cursor.register("starts", _apart(starts, types))
        cursor.execute(f"create table {work.scratch.table(f'starts {number}')} as from starts")
    return work.scratch.keep(
        f"members {number}",
        asked,
        f"""
        select source, position, nth from events semi join (
            select stream_key, place + unnest(range({length})) as place from {work.scratch.table(f"starts {number}")}
        ) using (stream_key, place)
        """,
    )


def _apart(starts: pa.Table, types: tuple[str, ...]) -> pa.Table:
    """The runs that are taken: from the left, so that no two share an event."""
    length = len(types)
    if not any(types[shift:] == types[: length - shift] for shift in range(1, length)):
        return starts
    keep = np.zeros(starts.num_rows, bool)
    last = (None, 0)
    for at, (key, place) in enumerate(zip(*(column.to_pylist() for column in starts.columns), strict=True)):
        if key != last[0] or place >= last[1]:
            keep[at] = True
            last = (key, place + length)
    return starts.filter(pa.array(keep))

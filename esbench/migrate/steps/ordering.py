"""The step that gives versions anew, by another order within each stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from esbench.errors import described
from esbench.event import Event
from esbench.migrate.step import MigrationError, Step, name_of, which
from esbench.migrate.steps.calls import Task
from esbench.migrate.steps.made import Made
from esbench.migrate.steps.seen import Batch
from esbench.migrate.steps.several import called, marked
from esbench.migrate.work import Work, columns

__all__ = ["reorder"]

_COLUMNS = ("recorded_at", "occurred_at", "position")


@dataclass(frozen=True, repr=False)
class Reorder(Step):
    """Streams in another order."""

    by: str
    function: Callable[[Event], Any] | None = field(default=None, kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {} if self.function is None else {name_of(self.function): self.function}

    @property
    def sentence(self) -> str:
        return f"give versions anew by {self.by} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        # Half a stream cannot be put in order: one in which a function failed is left as it is.
        whole = f"stream_key not in (select stream_key from ({work.events.query}) where failed is not null)"
        rows = marked(work, f"({hit}) and {whole}")
        rest = f"select {columns()} from ({rows}) where not hit"
        if self.function is not None:
            asked = work.over(f"select {columns()} from ({rows}) where hit", ordered=False, **bound)
            made, _ = called(asked, number, _Ordering(self.function))
            query = f"{rest} union all select {columns()} from {made}"
            return work.over(query, ordered=False, **bound)
        new = f"""
            min(version) over (partition by stream_key) - 1
            + row_number() over (partition by stream_key order by {self.by} nulls last, version, position, nth)
        """
        moved = f"""
            select {columns("version", "steps", "met")}, new as version,
                case when new <> version then steps | {1 << number} else steps end as steps,
                met | {1 << number} as met
            from (select *, ({new})::bigint as new from ({rows}) where hit)
        """
        names = columns()
        return work.over(f"{rest} union all select {names} from ({moved})", ordered=False, **bound)


def reorder(by: str | Callable[[Event], Any] = "recorded_at", *, streams: str | None = None) -> Reorder:
    """Give the versions of streams anew, by another order of their events.

    ``by`` is recorded_at, occurred_at, position, or a function of the event that gives something to sort by; equal
    ones, and those without a time, which come last, keep their folding order. Versions then run from the stream's first
    without a gap, and the events of a fork follow each other. Positions stay, so a stream may now be recorded in an
    order other than its versions say. A stream for which the function raises stays as it is, all of its events marked.

    >>> reorder("occurred_at", streams="order-*")
    give versions anew by occurred_at (every event in order-*)
    """
    taken = which(streams=streams)
    if isinstance(by, str):
        if by not in _COLUMNS:
            raise MigrationError(f"reorder(): by={by!r} is none of {', '.join(_COLUMNS)}, nor a function")
        return Reorder(taken, by)
    if not callable(by):
        raise MigrationError(f"reorder(): by={by!r:.80} is none of {', '.join(_COLUMNS)}, nor a function")
    return Reorder(taken, name_of(by), function=by)


class _Ordering(Task):
    """Streams put in the order of what a function gives; a batch holds whole ones."""

    group = 0

    def __call__(self, rows: pa.RecordBatch, number: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The rows with their new versions."""
        batch = Batch(rows)
        made = Made(batch, number)
        events = list(batch.events())
        keys, old = rows.column("stream_key").to_numpy(), rows.column("version").to_numpy()
        new = old.copy()
        starts = [*np.flatnonzero(np.diff(keys, prepend=keys[0] - 1)).tolist(), len(keys)]
        for start, end in pairwise(starts):
            group = range(start, end)
            try:
                order = self._ordered(events[start:end])
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 (a function may raise anything)
                made.failed(group, described(error))
                continue
            for row in group:
                made.same(row)
            new[start + np.asarray(order)] = old[start] + np.arange(end - start)
        tables, counts = made.tables()
        columns: dict[str, Any] = {name: tables.column(name) for name in tables.schema.names}
        steps = columns["steps"].to_numpy()
        columns["version"] = pa.array(new)
        columns["steps"] = pa.array(np.where(new != old, steps | 1 << number, steps))
        return pa.record_batch(columns), counts

    def _ordered(self, events: list[Event]) -> list[int]:
        """Places in the order of what the function gives; None comes last."""
        keys = [self.function(event) for event in events]
        return sorted(range(len(keys)), key=lambda place: (keys[place] is None, keys[place]))

    def fill(self, made: Made, events: list[Event]) -> None:
        """Nothing is made of single events here."""
        raise NotImplementedError

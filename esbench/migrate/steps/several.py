"""Steps in which rows come and go by a function: the rows they meet are read, and what is made of them is kept apart.

Rows that a step does not meet never leave the engine. Those it does are read in folding order, in batches that end
where a stream ends, and written into a scratch table; then both are one relation again, and later versions move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from esbench.event import CANONICAL
from esbench.events import ORDER, Events, translated
from esbench.fold.progress import shown
from esbench.fold.reading import Unordered, in_order
from esbench.migrate.steps.calls import Task, done
from esbench.migrate.work import LINEAGE, Work, columns, shifted, took_away

__all__ = ["called", "marked", "placed", "replaced", "spread"]

#: A part is about so many rows or bytes; a stream of many more than that is cut where its groups allow it.
_ROWS, _BYTES, _LONG = 50_000, 32_000_000, 500_000
_TEXT = {name: f"{name}::varchar as {name}" for name, kind in CANONICAL.items() if kind == "JSON"}


def marked(work: Work, hit: str) -> str:
    """SQL for the rows with ``hit``: whether a step meets them. What failed before is left alone."""
    return f"select *, coalesce(({hit}) and failed is null, false) as hit from ({work.events.query})"


def replaced(work: Work, number: int, hit: str, task: Task, **parameters: Any) -> Work:
    """The rows that meet a condition replaced by what a function makes of each, any number of rows."""
    rows = marked(work, hit)
    asked = work.over(f"select {columns()} from ({rows}) where hit", **parameters)
    rest = work.over(f"select {columns()} from ({rows}) where not hit", **parameters)
    return placed(work, rest, number, *called(asked, number, task))


def called(asked: Work, number: int, task: Task) -> tuple[str, str]:
    """What a task makes of rows, as two scratch tables: the new rows, and how many the others became."""
    scratch, events = asked.scratch, asked.events
    made = scratch.keep(
        f"made {number}", events, f"select {columns()}, version as anchor, 0::integer as place from events limit 0"
    )
    counts = scratch.keep(
        f"counts {number}",
        events,
        "select stream_key, version, source, origin, others, steps, met, 0::bigint as k from events limit 0",
    )
    try:
        _fill(asked, number, task, made, counts)
    except Unordered:
        with events.con.cursor() as cursor:
            cursor.execute(f"truncate {made}")
            cursor.execute(f"truncate {counts}")
        _fill(replace(asked, events=replace(events, ordered=False)), number, task, made, counts)
    return made, counts


def _fill(asked: Work, number: int, task: Task, made: str, counts: str) -> None:
    with asked.events.con.cursor() as cursor, translated():
        for rows, odd in done(task, _parts(asked.events, task.group), number, asked.executor):
            for table, part in ((made, rows), (counts, odd)):
                if part.num_rows:
                    cursor.register("part", pa.Table.from_batches([part]))
                    cursor.execute(f"insert into {table} by name select * from part")
                    cursor.unregister("part")


def _parts(events: Events, group: int) -> Iterator[pa.RecordBatch]:
    """Batches of whole streams in folding order; a very long stream is cut between groups, if there are any."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    last: tuple[int, int, int] | None = None
    for batch in _batches(events):
        if not batch.num_rows:
            continue
        if events.ordered:
            last = in_order(batch, last)
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows < _ROWS and size < _BYTES:
            continue
        whole = _one(waiting)
        keys = whole.column("stream_key").to_numpy()
        cut = int(np.searchsorted(keys, keys[-1]))
        if not cut and group and rows >= _LONG:
            cut = rows - rows % group
        if cut:
            yield whole.slice(0, cut)
            whole = whole.slice(cut)
        waiting = [whole]
        rows, size = whole.num_rows, whole.nbytes
    if rows:
        yield _one(waiting)


def _batches(events: Events) -> Iterator[pa.RecordBatch]:
    names = ("stream_key", *CANONICAL, *LINEAGE)
    order = "" if events.ordered else f" order by {ORDER}, nth"
    text = f"select {', '.join(_TEXT.get(name, name) for name in names)} from events{order}"

    def total() -> int:
        return int(events.rows("select count(*) from events")[0][0])

    with events.con.cursor() as cursor:
        reader = cursor.sql(events.whole(text), params=dict(events.parameters)).to_arrow_reader(_ROWS)
        yield from shown(reader, total)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def placed(work: Work, rest: Work, number: int, made: str, counts: str, *, merged: bool = False) -> Work:
    """Rows that were made beside the others, at their versions; ``work`` is what there was before the step."""
    scratch = work.scratch
    rows = "select (select count(*) from {}), count(*) filter (k > 1), count(*) filter (k = 0) from {}"
    ((some, more, fewer),) = work.events.rows(rows.format(made, counts))
    if not some and not fewer:
        return work
    if fewer:
        took_away(work, number, f"(from {counts} where k = 0)", merged=merged)
    held = "select null::bigint as stream_key, null::bigint as version, 0 as held where false"
    if fewer:
        held = f"""
            select stream_key, version, count(*) as held
            from events semi join (from {counts} where k = 0) using (stream_key, version)
            group by all
        """
    net = scratch.keep(
        f"net {number}",
        work.events,
        f"""
        select stream_key, version, case when most > 0 then most - 1 else -1 end as net
        from (
            select stream_key, version, max(k) as most, count(*) filter (k = 0) as gone from {counts} group by all
        )
        left join ({held}) using (stream_key, version)
        where most > 1 or (most = 0 and gone = held)
        """,
    )
    union = rest.over(
        f"""
        select {columns()}, version as anchor, 0 as place from ({rest.events.query})
        union all
        from {made} select {columns()}, anchor, place
        """,
        ordered=False,
    )
    if more:
        union = spread(union, work, f"select min(place), max(place) from {made}")
    return shifted(union, number, net, anchor="anchor")


def spread(rows: Work, before: Work, ends: str) -> Work:
    """Rows with ``nth`` such that those that were added, at their ``place``, stand beside the row they come from.

    ``ends`` is a query for the lowest and the highest place.
    """
    ((low, high),) = before.events.rows(ends)
    width = high - low + 1
    nth = "place"
    if before.added:
        nth = f"nth::bigint * {width} + place"
        ((reach,),) = before.events.rows("select coalesce(max(abs(nth)), 0) from events")
        if (reach + 1) * width >= 2**31:
            nth = f"row_number() over (partition by source, position order by {nth}) - 1"
    query = f"select {columns('nth')}, anchor, ({nth})::integer as nth from ({rows.events.query})"
    return replace(rows.over(query), added=True)

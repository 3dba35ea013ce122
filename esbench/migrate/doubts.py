"""What looks like a typo in a migration: steps that match nothing, or that change nothing of what they match."""

from __future__ import annotations

from collections.abc import Iterator

from esbench import payload
from esbench.errors import QueryError, nearest
from esbench.fold.changes import leaves
from esbench.migrate.counts import Counts
from esbench.migrate.running import Result
from esbench.migrate.step import EditStep, Step
from esbench.show import cell

__all__ = ["doubts"]

#: So many payloads are looked at for the paths that there are.
_LOOKED = 200


def doubts(result: Result, counts: Counts) -> Iterator[str]:
    """A sentence for each step that did nothing, with the nearest names to those that it looks for."""
    for number, step in enumerate(result.migration.steps):
        row = counts.steps.iloc[number]
        yield from _streams(result, number, step)
        if row["matched"] == 0:
            known = [str(name) for name in counts.types["event_type"]]
            near = [nearest(name, known) for name in step.which.types if name not in known]
            yield f"step {number + 1} matches nothing: {step.sentence}.{''.join(near)}"
        elif isinstance(step, EditStep) and row["changed"] + row["failed"] == 0:
            yield f"step {number + 1} matches events but changes none: {step.sentence}.{_paths(result, step)}"


def _streams(result: Result, number: int, step: Step) -> Iterator[str]:
    """A sentence for each stream that a step names and the log has not, unless an earlier step may have made it."""
    named = [name for name in (*getattr(step.which, "listed", ()), step.which.streams) if name is not None]
    exact = [name for name in named if not any(mark in name for mark in "*?[")]
    if not exact or not all(earlier.local for earlier in result.migration.steps[:number]):
        return
    for name in exact:
        rows = result.source.rows(
            """
            select stream_id from (select distinct stream_id from events)
            order by stream_id <> $_named, levenshtein(left(stream_id, 200), left($_named, 200)), stream_id limit 20
            """,
            _named=name,
        )
        known = [stream_id for (stream_id,) in rows]
        if name not in known:
            yield f'step {number + 1} names a stream that the log has not: "{cell(name)}".{nearest(name, known)}'


def _paths(result: Result, step: EditStep) -> str:
    """The nearest of the paths that payloads have to the ones that an edit looks for."""
    wanted = [path for name in ("path", "paths") for path in _listed(getattr(step.edit, name, ()))]
    hit, bound = step.which.sql(0)
    text = f"select {step.column}::varchar from events where ({hit}) and {step.column} is not null limit {_LOOKED}"
    try:
        rows = result.source.rows(text, **bound)
    except QueryError:
        # A condition may ask what is there only on the way.
        return ""
    known = {path for (text,) in rows for path, _ in leaves(payload.decode(text))}
    return "".join(nearest(path, sorted(known)) for path in wanted if path not in known)


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value] if isinstance(value, tuple) else []

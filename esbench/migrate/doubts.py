"""What looks like a typo in a migration: steps that match nothing, or that change nothing of what they match."""

from __future__ import annotations

from collections.abc import Iterator

from esbench import payload
from esbench.errors import QueryError, nearest
from esbench.fold.changes import leaves
from esbench.migrate.counts import Counts
from esbench.migrate.running import Result
from esbench.migrate.step import EditStep

__all__ = ["doubts"]

#: So many payloads are looked at for the paths that there are.
_LOOKED = 200


def doubts(result: Result, counts: Counts) -> Iterator[str]:
    """A sentence for each step that did nothing, with the nearest names to those that it looks for."""
    for number, step in enumerate(result.migration.steps):
        row = counts.steps.iloc[number]
        if row["matched"] == 0:
            known = [str(name) for name in counts.types["event_type"]]
            near = [nearest(name, known) for name in step.which.types if name not in known]
            yield f"step {number + 1} matches nothing: {step.sentence}.{''.join(near)}"
        elif isinstance(step, EditStep) and row["changed"] + row["failed"] == 0:
            yield f"step {number + 1} matches events but changes none: {step.sentence}.{_paths(result, step)}"


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

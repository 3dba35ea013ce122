"""Where events come from and what became of them, in both directions, through any number of migrations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from esbench.catalog import GONE, entries, entry, events_of, lineage_of
from esbench.errors import EsbenchError
from esbench.show import cell

__all__ = ["Derived", "derived", "lineage"]

_COLUMNS = ("generation", "log", "stream_id", "version", "position", "event_type", "event_id", "by", "fate")
_SHOWN = ("stream_id", "version", "event_type", "event_id")


@dataclass(frozen=True, slots=True)
class Derived:
    """A log that a migration made: of which logs, by which migration, in its own words and by which steps."""

    log: str
    sources: tuple[str, ...]
    migration: str
    text: str
    steps: tuple[str, ...]

    def said(self, bits: int) -> str:
        """The migration, and its steps that are set in ``bits``."""
        steps = "; ".join(step for number, step in enumerate(self.steps) if bits >> number & 1)
        return f"{self.migration}: {steps or 'as it was'}"


def derived(con: duckdb.DuckDBPyConnection) -> dict[str, Derived]:
    """Every log of the bench that a migration made, by name."""
    if not any(found.derived for found in entries(con)):
        return {}
    rows = (
        con.cursor().execute("select log, sources, migration, text, steps from esbench.derived order by log").fetchall()
    )
    return {
        log: Derived(log, tuple(json.loads(sources)), migration, text, tuple(json.loads(steps)))
        for log, sources, migration, text, steps in rows
    }


def lineage(con: duckdb.DuckDBPyConnection, name: str, stream_id: str, version: int) -> pd.DataFrame:
    """The events of one version of a stream, what they come from, and what came of them.

    One row an event: ``generation`` (0: this log, -1: the log it was made of, 1: a log that was made of it), ``log``,
    ``stream_id``, ``version``, ``position``, ``event_type``, ``event_id``, ``by`` (the migration that made it, and its
    steps that changed it) and ``fate`` (``dropped`` where a log has no event of it). Raises UnknownStream, and
    EsbenchError where the stream has no such version.
    """
    known = derived(con)
    own = events_of(con, entry(con, name)).stream(stream_id)
    here = [row[0] for row in own.rows("select position from events where version = $_wanted", _wanted=version)]
    if not here:
        raise EsbenchError(f'"{cell(stream_id)}" has no version {version} in "{cell(name)}"')
    rows = [*_before(con, known, name, here, 0), *_told(con, known, name, here, 0), *_after(con, known, name, here, 0)]
    frame = pd.DataFrame(dict(zip(_COLUMNS, column, strict=True)) for column in dict.fromkeys(rows))
    frame = frame.astype({"version": "Int64", "position": "Int64"})
    return frame.sort_values("generation", kind="stable", ignore_index=True)


def _before(
    con: duckdb.DuckDBPyConnection, known: dict[str, Derived], name: str, positions: Sequence[int], generation: int
) -> Iterator[tuple[Any, ...]]:
    """The events that some of a log come from, the oldest first."""
    made = known.get(name)
    if made is None:
        return
    rows = lineage_of(con, entry(con, name)).rows(
        """
        select distinct source, unnest(list_concat([origin], others)) as origin
        from events where origin is not null and position in (select unnest($_wanted)) order by all
        """,
        _wanted=list(positions),
    )
    for number, source in enumerate(made.sources):
        origins = [origin for of, origin in rows if of == number]
        if origins:
            yield from _before(con, known, source, origins, generation - 1)
            yield from _told(con, known, source, origins, generation - 1)


def _after(
    con: duckdb.DuckDBPyConnection, known: dict[str, Derived], name: str, positions: Sequence[int], generation: int
) -> Iterator[tuple[Any, ...]]:
    """What came of some events of a log, in every log that was made of it."""
    for made in known.values():
        for number in [place for place, source in enumerate(made.sources) if source == name]:
            wanted = list(positions)
            found = lineage_of(con, entry(con, made.log)).rows(
                """
                select position, list_concat([origin], others) as origins from events
                where source = $_source
                    and (origin in (select unnest($_wanted)) or list_has_any(others, $_wanted::bigint[]))
                order by position
                """,
                _source=number,
                _wanted=wanted,
            )
            here = [position for position, _ in found]
            yield from _told(con, known, made.log, here, generation + 1)
            lost = sorted(set(wanted) - {origin for _, origins in found for origin in origins})
            for step, n in _dropped(con, made.log, number, lost):
                said = f"{made.migration}: {made.steps[step]}"
                yield (generation + 1, made.log, *[None] * 5, said, f"dropped ({n})" if n > 1 else "dropped")
            yield from _after(con, known, made.log, here, generation + 1)


def _dropped(con: duckdb.DuckDBPyConnection, name: str, source: int, origins: Iterable[int]) -> list[tuple[int, int]]:
    return (
        con.cursor()
        .execute(
            """
            select step, count(*) from esbench.dropped
            where log = $log and source = $source and origin in (select unnest($origins))
            group by all order by all
            """,
            {"log": name, "source": source, "origins": list(origins)},
        )
        .fetchall()
    )


def _told(
    con: duckdb.DuckDBPyConnection, known: dict[str, Derived], name: str, positions: Sequence[int], generation: int
) -> Iterator[tuple[Any, ...]]:
    """A row for each of some events of a log."""
    if not any(found.name == name for found in entries(con)):
        gone = "the log is no longer in the bench"
        for position in positions:
            yield (generation, name.removeprefix(GONE), None, None, position, None, None, "", gone)
        return
    made = known.get(name)
    found = entry(con, name)
    source = events_of(con, found) if made is None else lineage_of(con, found)
    steps = "0" if made is None else "steps"
    rows = source.rows(
        f"""
        select position, {", ".join(_SHOWN)}, {steps} from events
        where position in (select unnest($_wanted)) order by stream_key, version, position
        """,
        _wanted=list(positions),
    )
    for position, stream_id, version, event_type, event_id, bits in rows:
        # To a log that a migration made others may have been appended.
        by = "" if made is None or bits is None else made.said(bits)
        yield (generation, name, stream_id, version, position, event_type, event_id, by, "")

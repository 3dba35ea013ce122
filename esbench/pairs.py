"""Two logs in one query, and which event of the one is which of the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb
import pyarrow as pa

from esbench.errors import QueryError
from esbench.events import Events, translated

__all__ = ["By", "Sides", "different", "linked", "sides"]

By = Literal["lineage", "stream and version"]

#: What rows have that a migration made, and what stands for it in a log without: then positions are those of the other.
_LINEAGE = {"source": "0", "origin": "position", "others": "null::bigint[]", "nth": "0"}


@dataclass(frozen=True, slots=True)
class Sides:
    """SQL over ``old`` and ``new``, on one cursor whose TEMP tables stay until it is closed.

    ``new`` has ``source``, ``origin``, ``others`` and ``nth`` besides the canonical columns.
    """

    cursor: duckdb.DuckDBPyConnection
    tables: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The result as tuples."""
        with translated():
            return self.cursor.execute(self._whole(text), {**self.parameters, **parameters}).fetchall()

    def arrow(self, text: str, **parameters: Any) -> pa.Table:
        """The result as an Arrow table."""
        with translated():
            table: pa.Table = self.cursor.sql(
                self._whole(text), params={**self.parameters, **parameters}
            ).to_arrow_table()
            return table

    def batches(self, text: str, *, rows: int = 10_000, **parameters: Any) -> Iterator[list[tuple[Any, ...]]]:
        """The result as lists of tuples; read to the end before anything else is asked."""
        with translated():
            found = self.cursor.execute(self._whole(text), {**self.parameters, **parameters})
            while some := found.fetchmany(rows):
                yield some

    def keep(self, name: str, text: str, **parameters: Any) -> None:
        """Make a TEMP table of the result."""
        with translated():
            self.cursor.execute(
                f"create or replace temp table {name} as {self._whole(text)}", {**self.parameters, **parameters}
            )

    def _whole(self, text: str) -> str:
        inner = text.strip()
        return f"with {self.tables}, {inner[5:]}" if re.match(r"with\s", inner) else f"with {self.tables} {inner}"


@contextmanager
def sides(old: Events, new: Events) -> Iterator[Sides]:
    """Both logs in one query. Where they cannot stand in one, being in two databases, the new one is copied first."""
    cursor = old.con.cursor()
    try:
        shared = old.parameters.keys() & new.parameters.keys()
        if old.con is new.con and all(old.parameters[name] == new.parameters[name] for name in shared):
            whole, parameters = new.query, {**old.parameters, **new.parameters}
        else:
            given = new.con.cursor()
            reader = given.sql(new.whole("select * from events"), params=dict(new.parameters)).to_arrow_reader(10_000)
            cursor.register("esbench_given", reader)
            cursor.execute("create temp table esbench_new as from esbench_given")
            cursor.unregister("esbench_given")
            given.close()
            whole, parameters = "from esbench_new", dict(old.parameters)
        missing = "".join(f", {value} as {name}" for name, value in _LINEAGE.items() if name not in _names(new))
        yield Sides(cursor, f"old as ({old.query}), new as (select *{missing} from ({whole}))", parameters)
    finally:
        cursor.close()


def _names(events: Events) -> list[str]:
    return list(events.arrow("select * from events limit 0").column_names)


def linked(by: By, *, merged: bool = True) -> str:
    """SQL for ``(old_position, new_position)``: every event of either log, NULL where it has no counterpart.

    By lineage, the counterpart of a source event is the first row made of it, or the one that it was merged into (but
    not unless ``merged``). Further rows of a split have none, nor have those of another log. By stream and version,
    repeated events of one version are paired in order of position.
    """
    if by == "lineage":
        return f"""
            with merged as (
                select unnest(others) as old_position, position as new_position
                from new where source = 0 and others is not null and {merged}
            ),
            links as (select position, case when source = 0 and nth = 0 then origin end as link from new)
            select old.position as old_position, links.position as new_position
            from old full join links on old.position = links.link
            where links.position is not null or old.position not in (select old_position from merged)
            union all
            select old_position, new_position from merged semi join old on old.position = old_position
        """
    if by != "stream and version":
        raise QueryError(f'logs are compared by "lineage" or "stream and version", not by {by!r}')
    numbered = (
        "select position, stream_id, version, row_number() over (partition by stream_id, version order by position)"
    )
    return f"""
        select older.position as old_position, newer.position as new_position
        from ({numbered} as occurrence from old) as older
        full join ({numbered} as occurrence from new) as newer using (stream_id, version, occurrence)
    """


def different(found: Sides, by: By, columns: Sequence[str], *, merged: bool = True) -> None:
    """Make the TEMP table ``differing (old_position, new_position, bits)`` of pairs that are not the same.

    Bit i of ``bits`` is set where column i differs; it is NULL for an event without a counterpart.
    """
    bits = " | ".join(
        f"(case when older.{name} is distinct from newer.{name} then {1 << bit} else 0 end)"
        for bit, name in enumerate(columns)
    )
    found.keep("linked", linked(by, merged=merged))
    found.keep(
        "differing",
        f"""
        select * from (
            select old_position, new_position, {bits or "0"} as bits
            from linked
            join old as older on older.position = old_position
            join new as newer on newer.position = new_position
        ) where bits <> 0
        union all
        select old_position, new_position, null from linked where old_position is null or new_position is null
        """,
    )

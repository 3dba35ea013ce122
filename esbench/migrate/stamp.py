"""What a stored log was when somebody looked at it, by which one knows whether it has changed since."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from esbench.catalog import entry
from esbench.event import quote

__all__ = ["Stamp", "stamp"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a log was when it was looked at: which table, how many events, up to which position."""

    table: int
    events: int
    last: int


def stamp(con: duckdb.DuckDBPyConnection, name: str) -> Stamp:
    """The stamp of a stored log. Raises UnknownLog."""
    entry(con, name)
    with con.cursor() as cursor:
        ((table,),) = cursor.execute(
            "select table_oid from duckdb_tables() where schema_name = 'log' and table_name = $name", {"name": name}
        ).fetchall()
        ((events, last),) = cursor.execute(
            f"select count(*), coalesce(max(position), 0) from log.{quote(name)}"
        ).fetchall()
    return Stamp(table, events, last)

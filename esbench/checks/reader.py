"""Reading a log for checks: one cursor and one transaction, so that all checks see the same events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from esbench.events import Events, translated

__all__ = ["Reader", "reading"]


class Reader:
    """SQL over ``events`` with TEMP tables beside it; nothing that it makes outlives it.

    ``ordered`` says that the events were seen to come in folding order; it starts as False.
    ``parameters`` are bound wherever a text names them as ``$name``.
    """

    def __init__(self, events: Events, cursor: duckdb.DuckDBPyConnection, parameters: Mapping[str, Any]) -> None:
        self.events = events
        self.ordered = False
        self.parameters = dict(parameters)
        self._cursor = cursor

    def over(self, events: Events) -> Reader:
        """The same reader over a part of its events.

        The order was seen of the whole only: a part may come through a join, which keeps no order.
        """
        other = Reader(events, self._cursor, self.parameters)
        other.ordered = self.ordered and events.query == self.events.query
        return other

    def make(self, table: str, text: str) -> None:
        """Make a TEMP table of the rows of SQL over the events."""
        full, bound = self._full(text, "true")
        with translated():
            self._cursor.execute(f"create or replace temp table {table} as {full}", bound)

    def rows(self, text: str, *, narrow: str = "true") -> list[dict[str, Any]]:
        """The rows of SQL over the events that meet ``narrow``, as dicts."""
        full, bound = self._full(text, narrow)
        with translated():
            done = self._cursor.execute(full, bound)
            names = [column[0] for column in done.description or ()]
            return [dict(zip(names, row, strict=True)) for row in done.fetchall()]

    def one(self, text: str) -> dict[str, Any]:
        """The only row of SQL over the events."""
        (row,) = self.rows(text)
        return row

    def arrow(self, text: str) -> pa.Table:
        """The result of SQL over the events, as an Arrow table."""
        full, bound = self._full(text, "true")
        with translated():
            table: pa.Table = self._cursor.sql(full, params=bound).to_arrow_table()
        return table

    def _full(self, text: str, narrow: str) -> tuple[str, dict[str, Any]]:
        inner = self.events.query if narrow == "true" else f"select * from ({self.events.query}) where {narrow}"
        asked = {k: v for k, v in self.parameters.items() if re.search(rf"\${k}\b", f"{text} {narrow}")}
        return f"with events as ({inner}) select * from ({text})", {**self.events.parameters, **asked}

    def keep(self, name: str, table: pa.Table) -> None:
        """Make a TEMP table of an Arrow table."""
        self._cursor.register("given", table)
        self._cursor.execute(f"create or replace temp table {name} as from given")
        self._cursor.unregister("given")

    def window(self) -> str:
        """The window in which ``lag`` gives the event before in folding order, of any stream where ``ordered``."""
        return "()" if self.ordered else "(partition by stream_key order by version, position)"


@contextmanager
def reading(events: Events, parameters: Mapping[str, Any]) -> Iterator[Reader]:
    """A reader of the events as they are now; its TEMP tables are gone afterwards."""
    cursor = events.con.cursor()
    try:
        cursor.execute("begin")
        yield Reader(events, cursor, parameters)
    finally:
        cursor.close()

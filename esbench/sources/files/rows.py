"""The staged table of text files: rows that DuckDB read, and over them what the decoder read instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from esbench.errors import SourceError
from esbench.event import quote
from esbench.sources.staged import PROBLEM, RECORD
from esbench.sources.template import Form

__all__ = ["Batch", "Rows"]


@dataclass(slots=True)
class Batch:
    """Records read in Python, column by column."""

    records: list[int] = field(default_factory=list)
    problems: list[str | None] = field(default_factory=list)
    values: list[list[str | None]] = field(default_factory=list)
    size: int = 0

    def add(self, record: int, values: list[str | None], problem: str | None, *, size: int) -> None:
        """Take one record, with the number of characters it came from."""
        self.records.append(record)
        self.problems.append(problem)
        self.values.append(values)
        self.size += size

    def clear(self) -> None:
        """Begin anew."""
        self.records, self.problems, self.values, self.size = [], [], [], 0

    def full(self) -> bool:
        """Whether it is time to hand it on; memory stays bounded by rows and by characters."""
        return len(self.records) >= 20_000 or self.size >= 1 << 25


class Rows:
    """Two TEMP tables and the view ``staged`` over them.

    ``file_rows`` has one row a record, whose rowid is the record's number less one; ``row_number()`` would read with
    one thread. A row that is not ``proven`` gives way to its record in ``file_decoded``. Columns are f0, f1, …
    inside, so that no field's name can clash.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, forms: Mapping[str, Form]) -> None:
        lower = [name.lower() for name in forms]
        if clash := sorted(n for n in forms if lower.count(n.lower()) > 1 or quote(n).lower() in (RECORD, PROBLEM)):
            raise SourceError(
                f"fields that DuckDB cannot tell from others: {', '.join(map(quote, clash))}; rename them"
            )
        self.con, self.forms = con, forms
        self._columns = [f"f{n}" for n in range(len(forms))]
        typed = "".join(f", f{n} {_type(form)}" for n, form in enumerate(forms.values()))
        con.execute("drop view if exists staged")
        con.execute(f"create or replace temp table file_rows (proven boolean{typed}, line varchar)")
        con.execute(f"create or replace temp table file_decoded (record bigint, problem varchar{typed})")

    def count(self) -> int:
        """Records so far."""
        found: int = self.con.execute("select count(*) from file_rows").fetchall()[0][0]
        return found

    def read(self, sql: str, parameters: dict[str, Any]) -> None:
        """Append what a query gives: columns f0, f1, …, proven and, where it has any, line."""
        self.con.execute(f"insert into file_rows by name {sql}", parameters)

    def reserve(self, count: int) -> None:
        """Append records that are read in Python."""
        self.con.execute(f"insert into file_rows (proven) select false from range({int(count)})")

    def decoded(self, batch: Batch) -> None:
        """Take what Python read."""
        columns = list(zip(*batch.values, strict=True)) or [() for _ in self.forms]
        arrays: dict[str, pa.Array[Any]] = {
            "record": pa.array(batch.records, pa.int64()),
            "problem": pa.array(batch.problems, pa.string()),
        }
        for name, column in zip(self._columns, columns, strict=True):
            arrays[name] = pa.array(column, pa.large_string())
        self.con.register("file_batch", pa.table(arrays))
        self.con.execute("insert into file_decoded by name select * from file_batch")
        self.con.unregister("file_batch")

    def finish(self) -> dict[str, str]:
        """Make the view; the fields and their types."""
        names = "".join(f", f{n} as {quote(name)}" for n, name in enumerate(self.forms))
        self.con.execute(f"""
            create temp view staged as
            select rowid + 1 as {RECORD}, null::varchar as {PROBLEM}{names} from file_rows where proven
            union all
            select record, problem{names} from file_decoded
        """)
        return {name: _type(form) for name, form in self.forms.items()}


def _type(form: Form) -> str:
    return "JSON" if form == "json" else "VARCHAR"

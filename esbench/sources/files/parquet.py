"""Parquet files: typed columns, as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import duckdb

from esbench import payload
from esbench.errors import SourceError
from esbench.event import quote
from esbench.sources.columns import Columns
from esbench.sources.files.opening import File
from esbench.sources.staged import PROBLEM, RECORD, Raw, Staged

__all__ = ["read"]


def read(con: duckdb.DuckDBPyConnection, files: Sequence[File], *, columns: Columns) -> Staged:
    """Stage the rows of Parquet files, columns matched by name."""
    starts = [0]
    with ExitStack() as stack:
        local = [stack.enter_context(file.local()) for file in files]
        types: dict[str, str] = {}
        for file, found in zip(files, local, strict=True):
            try:
                described = con.execute("describe from read_parquet($path)", {"path": str(found.path)}).fetchall()
                ((count,),) = con.execute(
                    "select count(*) from read_parquet($path)", {"path": str(found.path)}
                ).fetchall()
            except duckdb.Error as error:
                reason = str(error).splitlines()[0].replace(str(found.path), "the file")
                raise SourceError(f"{file.path}: damaged Parquet ({reason}); get the file again") from None
            starts.append(starts[-1] + count)
            for name, kind, *_ in described:
                if types.setdefault(name, kind) != kind:
                    raise SourceError(f'{file.path}: "{name}" is {kind} here and {types[name]} in {files[0].path}')
        wanted = columns.resolve(list(types))
        # DuckDB's JSON may hold what is none, such as NaN: it is judged as text.
        fields = {n: "VARCHAR" if kind == "JSON" else kind for n, kind in types.items() if n in wanted.wanted}
        if clash := sorted(name for name in fields if quote(name).lower() in (RECORD, PROBLEM)):
            raise SourceError(
                f"fields that DuckDB cannot tell from others: {', '.join(map(quote, clash))}; rename them"
            )
        selected = ", ".join(f"{quote(name)} as f{n}" for n, name in enumerate(fields)) or "null as nothing"
        try:
            con.execute("drop view if exists staged")
            con.execute(
                f"""
                create or replace temp table file_rows as
                select {selected} from read_parquet($paths, union_by_name = true)
                """,
                {"paths": [str(found.path) for found in local]},
            )
        except duckdb.Error as error:
            raise SourceError(f"{files[0].path}: damaged Parquet ({str(error).splitlines()[0]})") from None
        inputs = tuple(found.input() for found in local)
    names = "".join(f", f{n} as {quote(name)}" for n, name in enumerate(fields))
    con.execute(
        f"create temp view staged as select rowid + 1 as {RECORD}, null::varchar as {PROBLEM}{names} from file_rows"
    )

    def raw(records: Sequence[int]) -> Iterator[Raw]:
        for start in range(0, len(records), 1_000):
            found = con.execute(
                f"""
                select rowid + 1, {payload.made("file_rows")}::varchar from file_rows
                where rowid + 1 in (select unnest($some)) order by 1
                """,
                {"some": list(records[start : start + 1_000])},
            ).fetchall()
            for record, text in found:
                at = max(n for n, first in enumerate(starts[:-1]) if first < record)
                yield Raw(record, str(files[at].path), None, text)

    return Staged(
        table="staged",
        fields=fields,
        inputs=inputs,
        in_order=len(files) == 1,
        raw=raw,
        notes=(f"not loaded: {', '.join(wanted.unused)} (columns= maps them)",) if wanted.unused else (),
        unused=wanted.unused,
    )

"""Frames as a source: a pandas DataFrame, a pyarrow table, a DuckDB relation. Row order is source order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.errors import SourceError
from esbench.event import quote
from esbench.sources.columns import Columns
from esbench.sources.staged import PROBLEM, RECORD, Raw, Staged

__all__ = ["is_frame", "stage"]

Frame = pd.DataFrame | pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation


def is_frame(source: object) -> bool:
    """Whether this reader takes the source."""
    return isinstance(source, Frame)


def stage(con: duckdb.DuckDBPyConnection, source: Frame, *, columns: Columns) -> Staged:
    """Stage the rows of a frame, typed as they are; the index of a DataFrame is left out.

    Payloads held as Python dicts and lists become JSON text here, exactly; a typed one (STRUCT) becomes it in DuckDB.
    A payload that JSON cannot carry is a problem of its row. Raises SourceError for no rows, a column of mixed types
    that is no payload, and two columns of one name.

    >>> con = duckdb.connect()
    >>> staged = stage(con, pd.DataFrame({"id": [7], "data": [{"n": 1}]}), columns=Columns())
    >>> con.sql(f"from {staged.table}").fetchall()
    [(1, None, 7, '{"n":1}')]
    """
    problems: dict[int, str] = {}
    rows = _arrow(source, columns, problems)
    names = [str(name) for name in rows.schema.names]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise SourceError(f"two columns for one name: {', '.join(map(repr, repeated))} (rename or drop one)")
    if not names:
        raise SourceError("the frame has no columns: nothing to load")
    found = columns.resolve(names)
    if clash := [name for name, count in Counter(name.lower() for name in found.wanted).items() if count > 1]:
        raise SourceError(f"columns that differ in case only: {', '.join(map(repr, clash))} (rename one)")
    # Inside they are f0, f1, …, so that no name can clash with another.
    wanted = {name: f"f{n}" for n, name in enumerate(names) if name in found.wanted}
    con.register("frame_given", _renamed(rows))
    try:
        # rowid is the row's number less one; row_number() would read with one thread.
        con.execute("create or replace temp table frame_rows as from frame_given")
    except duckdb.Error as error:
        raise SourceError(f"the frame cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        con.unregister("frame_given")
    if not con.execute("select 1 from frame_rows limit 1").fetchall():
        raise SourceError("the frame has no rows: nothing to load")
    kinds = {name: kind for name, kind, *_ in con.execute("describe frame_rows").fetchall()}
    # DuckDB's JSON may hold what is none, such as NaN: it is judged as text.
    fields = {name: "VARCHAR" if kinds[inner] == "JSON" else kinds[inner] for name, inner in wanted.items()}
    problem, joined = "null::varchar", ""
    if problems:
        con.register("problems_given", pa.table({"row": list(problems), "problem": list(problems.values())}))
        con.execute("create or replace temp table frame_problems as from problems_given")
        con.unregister("problems_given")
        problem, joined = "frame_problems.problem", "left join frame_problems on row = frame_rows.rowid"
    con.execute(
        f"""
        create or replace temp view frame_staged as
        select frame_rows.rowid + 1 as {RECORD}, {problem} as {PROBLEM}
            {"".join(f", frame_rows.{inner} as {quote(name)}" for name, inner in wanted.items())}
        from frame_rows {joined}
        """
    )

    def raw(records: Sequence[int]) -> Iterator[Raw]:
        # JSON is made of all columns; their names are put in by hand, because DuckDB's may not differ in case only.
        values = ", ".join(f"coalesce({payload.made(inner)}::varchar, 'null')" for inner in kinds)
        for start in range(0, len(records), 1_000):
            given = con.execute(
                f"select rowid + 1, {values} from frame_rows where rowid + 1 in (select unnest($some)) order by 1",
                {"some": list(records[start : start + 1_000])},
            ).fetchall()
            for record, *texts in given:
                members = (f"{payload.encode(name)}:{text}" for name, text in zip(names, texts, strict=True))
                yield Raw(record, type(source).__name__, None, f"{{{','.join(members)}}}")

    return Staged(
        table="frame_staged",
        fields=fields,
        inputs=(),
        in_order=True,
        raw=raw,
        notes=tuple(_notes(fields, found.payload_fields, found.unused)),
        unused=found.unused,
    )


def _notes(fields: dict[str, str], payloads: frozenset[str], unused: Sequence[str]) -> Iterator[str]:
    for name, kind in fields.items():
        if name in payloads and (kind.startswith(("STRUCT", "MAP", "UNION")) or kind.endswith("]")):
            yield f'"{name}" is typed in the source ({kind[:40]}): its JSON text was made by the loader'
    if unused:
        yield f"not loaded: {', '.join(unused)} (columns= maps them)"


def _renamed(rows: pa.Table | pa.RecordBatchReader) -> pa.Table | pa.RecordBatchReader:
    """The columns as f0, f1, …."""
    names = [f"f{n}" for n in range(len(rows.schema.names))]
    if isinstance(rows, pa.Table):
        return rows.rename_columns(names)
    schema = pa.schema([field.with_name(name) for field, name in zip(rows.schema, names, strict=True)])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in rows)
    )


def _arrow(source: Frame, columns: Columns, problems: dict[int, str]) -> pa.Table | pa.RecordBatchReader:
    """The rows in Arrow; ``problems`` gets the rows (from 0) with a payload that is no JSON value, and why."""
    if isinstance(source, duckdb.DuckDBPyRelation):
        reader: pa.RecordBatchReader = source.to_arrow_reader(50_000)
        return reader
    if not isinstance(source, pd.DataFrame):
        return source
    names = [str(name) for name in source.columns]
    payloads = columns.resolve(names).payload_fields
    arrays: list[pa.Array[Any] | pa.ChunkedArray[Any]] = []
    for n, name in enumerate(names):
        column = source.iloc[:, n]
        if name in payloads and column.dtype == object:
            # Arrow would make one STRUCT of all dicts, and turn 1 into '1'.
            texts = [_text(value, name, row, problems) for row, value in enumerate(column)]
            arrays.append(pa.array(texts, pa.string()))
            continue
        try:
            arrays.append(pa.Array.from_pandas(column))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
            raise SourceError(
                f'column "{name}" of the DataFrame has mixed types ({error}): '
                f'make it one type, such as df["{name}"].astype(str)'
            ) from error
    return pa.Table.from_arrays(arrays, names=names)


def _text(value: object, name: str, row: int, problems: dict[int, str]) -> str | None:
    """A payload cell as JSON text; text is taken as it is, a missing value is none, what is no JSON is shown."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    try:
        return payload.encode(value)
    except payload.PayloadError as error:
        problems.setdefault(row, f'"{name}" holds a {type(value).__name__} that is {error}')
        return ascii(value)

"""Frames as a source: a pandas DataFrame, a pyarrow table, a DuckDB relation. Row order is source order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.errors import SourceError
from esbench.event import quote
from esbench.sources.columns import Columns
from esbench.sources.staged import Raw, Staged

__all__ = ["is_frame", "stage"]

Frame = pd.DataFrame | pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation


def is_frame(source: object) -> bool:
    """Whether this reader takes the source."""
    return isinstance(source, Frame)


def stage(con: duckdb.DuckDBPyConnection, source: Frame, *, columns: Columns) -> Staged:
    """Stage the rows of a frame, typed as they are.

    Payloads held as Python dicts and lists become JSON text here, exactly; a typed one (STRUCT) becomes it in DuckDB.
    Raises SourceError for a column of mixed types that is no payload, and for two columns of one name.
    """
    notes: list[str] = []
    rows = _arrow(source, columns, notes)
    names = list(rows.schema.names)
    repeated = sorted({name for name in names if [n.lower() for n in names].count(name.lower()) > 1})
    if repeated:
        raise SourceError(f"two columns for one name: {', '.join(repeated)}")
    found = columns.resolve(names)
    con.register("frame_rows", rows)
    # rowid is the row's number; row_number() would read with one thread.
    con.execute(
        f"create temp table frame_stage as select {', '.join(map(quote, names)) or 'null as nothing'} from frame_rows"
    )
    con.unregister("frame_rows")
    con.execute("create temp view staged as select rowid + 1 as record, null::varchar as problem, * from frame_stage")
    types = {name: kind for name, kind, *_ in con.execute("describe frame_stage").fetchall()}
    for name in sorted(found.payload_fields & types.keys()):
        if types[name].startswith(("STRUCT", "MAP", "UNION")) or types[name].endswith("]"):
            notes.append(f'"{name}" is typed in the source ({types[name][:40]}): its JSON text was made by the loader')
    if found.unused:
        notes.append(f"not loaded: {', '.join(found.unused)} (columns= maps them)")

    def raw(records: Sequence[int]) -> Iterator[Raw]:
        for start in range(0, len(records), 1_000):
            some = list(records[start : start + 1_000])
            text = payload.made(f"struct_pack({', '.join(f'{quote(n)} := {quote(n)}' for n in names)})")
            for record, shown in con.execute(
                f"select rowid + 1, {text}::varchar from frame_stage where rowid + 1 in (select unnest($some)) order by 1",
                {"some": some},
            ).fetchall():
                yield Raw(record, type(source).__name__, None, shown)

    return Staged("staged", types, (), in_order=True, raw=raw, notes=tuple(notes))


def _arrow(source: Frame, columns: Columns, notes: list[str]) -> pa.Table | pa.RecordBatchReader:
    if isinstance(source, duckdb.DuckDBPyRelation):
        return source.to_arrow_reader(50_000)
    if not isinstance(source, pd.DataFrame):
        return source
    payloads = columns.resolve([str(name) for name in source.columns]).payload_fields
    arrays: dict[str, Any] = {}
    for name, column in source.items():
        if str(name) in arrays:
            raise SourceError(f'two columns for one name: "{name}"')
        if str(name) in payloads and column.dtype == object:
            # Arrow would make one STRUCT of all dicts, and turn 1 into '1'.
            arrays[str(name)] = pa.array(
                [_text(value, str(name), row) for row, value in enumerate(column)], pa.string()
            )
            continue
        try:
            arrays[str(name)] = pa.Array.from_pandas(column)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SourceError(
                f'column "{name}" of the DataFrame has mixed types ({error}): make it one type, such as df["{name}"].astype(str)'
            ) from error
    return pa.table(arrays)


def _text(value: object, name: str, row: int) -> str | None:
    """A payload cell as JSON text; text is taken as it is, a missing value is none."""
    if value is None or isinstance(value, str) or (isinstance(value, float) and value != value):
        return value if isinstance(value, str) else None
    try:
        return payload.encode(value)
    except Exception as error:
        raise SourceError(f'column "{name}", row {row}: {type(value).__name__} is no JSON value: {error}') from error

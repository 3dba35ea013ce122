"""Events to files: JSON lines, CSV and Parquet, whole or not at all, and exact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from esbench import payload
from esbench.errors import ExportError
from esbench.event import CANONICAL, literal
from esbench.events import ORDER, Events, translated
from esbench.show import count
from esbench.writing import PACKED, packed, whole_file

__all__ = ["Exported", "export"]

Format = Literal["jsonl", "csv", "parquet"]

_SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
#: A reader of CSV takes a longer record for a quote that nobody closed.
_LONGEST = 1 << 24
#: So many bytes are in memory at once, or as many as one event has.
_BATCH = 1 << 25
#: Microseconds from 1970 to the first and the last moment that ISO 8601 writes with four digits for the year.
_YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_ARROW: dict[str, pa.DataType] = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.large_string(),
    "JSON": pa.large_string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: a file, and how much is in it.

    ``respaced``: payloads and metadata in JSON lines whose line breaks outside strings are spaces there.
    """

    path: str
    format: Format
    events: int
    streams: int
    size: int
    respaced: int = 0

    def __repr__(self) -> str:
        parts = [count(self.events, "event"), count(self.streams, "stream"), count(self.size, "byte")]
        if self.respaced:
            parts.append(f"{count(self.respaced, 'payload')} with spaces for line breaks (CSV and Parquet keep them)")
        return f"{self.path}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of events before they are written."""

    events: int
    streams: int
    rows: int
    respaced: dict[str, int]
    columns: tuple[str, ...]


def export(
    events: Events,
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,
    order: Literal["position", "stream"] = "position",
    overwrite: bool = False,
) -> Exported:
    r"""Write events to a file that ``bench.load`` reads back as they are, row for row and text for text.

    What kind of file: ``.jsonl``, ``.ndjson``, ``.csv`` or ``.parquet``, each also packed (``.gz``, ``.zst``); or
    ``format=``. Rows have the canonical columns (those that are NULL throughout are left out) by position, or in
    folding order. Times are ISO 8601 in UTC with microseconds. Facts of the log, such as its version base, are not in
    the file. In JSON lines payloads stand as they are, inside the line; one without a value is left out, which differs
    from ``null``. A line has no line breaks: those of a payload, which only stand between its tokens, become spaces, as
    do carriage returns, and spaces around it go; ``respaced`` counts them. CSV and Parquet keep every text. The file is
    there when it is complete; a run that fails or is killed leaves at most ``.NAME.esbench-part``, which the next one
    clears. Raises ExportError for a file that is there (unless ``overwrite``), that cannot be written, or of a kind
    that cannot hold the events.

    >>> import esbench as es, pandas as pd
    >>> rows = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Paid"], "data": ['{"n": 1.10}']})
    >>> export(es.open().load(rows, "log").source, "log.jsonl", overwrite=True)
    log.jsonl: 1 event, 1 stream, 82 bytes
    >>> Path("log.jsonl").read_text()
    '{"position":1,"stream_id":"a","version":1,"event_type":"Paid","data":{"n": 1.10}}\n'
    """
    kind, packing = _kind(path, format)
    if order not in ("position", "stream"):
        raise ExportError(f'order is "position" or "stream", not {order!r}')
    with whole_file(path, overwrite=overwrite) as out:
        with _snapshot(events) as cursor:
            look = _look(events, cursor, kind, path)
            with packed(out, packing) as target:
                if kind == "parquet":
                    _write_parquet(events, cursor, target, look, order)
                else:
                    _write_text(events, cursor, target, look, order, kind)
        size = out.tell()
    return Exported(os.fspath(path), kind, look.events, look.streams, size, sum(look.respaced.values()))


def _kind(path: str | os.PathLike[str], given: str | None) -> tuple[Format, str]:
    """What kind of file it is to be, and how it is packed."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    named = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    kinds = dict.fromkeys(_SUFFIXES.values())
    if given is not None and given not in kinds:
        raise ExportError(f"format is one of {', '.join(kinds)}, not {given!r}")
    kind = next((each for each in kinds if each == given), named)
    if kind is None:
        raise ExportError(
            f"{os.fspath(path)}: its ending does not say what it is to be: {', '.join(_SUFFIXES)} (and .gz or .zst "
            f"behind it), or format="
        )
    if named not in (None, kind):
        raise ExportError(f"{os.fspath(path)}: the name of a {named} file for format={kind!r}: rename it")
    if kind == "csv" and named is None:
        raise ExportError(f"{os.fspath(path)}: CSV is told by its name when it is loaded: name it .csv")
    return kind, packing


@contextmanager
def _snapshot(events: Events) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor that sees the log as it is now, whatever is added to it meanwhile."""
    cursor = events.con.cursor()
    try:
        with translated():
            cursor.execute("begin")
            cursor.execute("set arrow_large_buffer_size = true")
            yield cursor
    except (duckdb.InterruptException, RuntimeError) as error:
        # DuckDB says this of Ctrl-C.
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from None
        raise
    finally:
        cursor.close()


def _look(events: Events, cursor: duckdb.DuckDBPyConnection, kind: Format, path: str | os.PathLike[str]) -> _Look:
    """Count, and refuse what the file could not hold."""
    size = " + ".join(f"coalesce(strlen({name}::varchar), 0)" for name in ("data", "metadata"))
    times = [name for name, type_ in CANONICAL.items() if type_ == "TIMESTAMPTZ"]
    row = cursor.execute(
        events.whole(
            f"""
            select count(*), count(distinct stream_key), avg({size}),
                {", ".join(f"count({name})" for name in CANONICAL)},
                count(*) filter ({_spaced("data")}), count(*) filter ({_spaced("metadata")})
            from events
            """
        ),
        dict(events.parameters),
    ).fetchall()[0]
    rows, streams, average = row[:3]
    held = dict(zip(CANONICAL, row[3:-2], strict=True))
    breaks = " or ".join(f"not coalesce(isfinite({name}), true)" for name in times)
    if kind != "parquet":
        breaks += "".join(
            f" or not coalesce(epoch_us({name}) between {_YEARS[0]} and {_YEARS[1]}, true)" for name in times
        )
    _refuse(events, cursor, breaks, f"{os.fspath(path)}: a time outside of the years 1 to 9999", "Parquet can hold it")
    if kind == "csv":
        # Quotes in it are doubled.
        whole = f"{size} + strlen(stream_id) + {_quotes('data')} + {_quotes('metadata')} + 4_096"
        _refuse(
            events,
            cursor,
            f"{whole} > {_LONGEST}",
            f"{os.fspath(path)}: an event too large for CSV (16 MiB)",
            "JSON lines and Parquet can hold it",
        )
    return _Look(
        events=rows,
        streams=streams,
        rows=min(max(int(_BATCH / ((average or 0) + 200)), 1), 50_000),
        respaced=dict(zip(("data", "metadata"), row[-2:], strict=True)) if kind == "jsonl" else {},
        columns=tuple(name for name in CANONICAL if held[name] or name in ("position", "stream_id", "event_type")),
    )


def _refuse(events: Events, cursor: duckdb.DuckDBPyConnection, condition: str, what: str, way_out: str) -> None:
    found = cursor.execute(
        events.whole(f"select min(position) from events where {condition}"), dict(events.parameters)
    ).fetchall()[0][0]
    if found is not None:
        raise ExportError(f"{what}: the event at position {found}; {way_out}")


def _reader(
    events: Events, cursor: duckdb.DuckDBPyConnection, columns: str, order: str, rows: int
) -> pa.RecordBatchReader:
    by = "position, stream_key, version" if order == "position" else "" if events.ordered else ORDER
    text = f"select {columns} from events{by and f' order by {by}'}"
    reader: pa.RecordBatchReader = cursor.sql(events.whole(text), params=dict(events.parameters)).to_arrow_reader(rows)
    return reader


def _write_text(
    events: Events, cursor: duckdb.DuckDBPyConnection, out: IO[bytes], look: _Look, order: str, kind: Format
) -> None:
    """Lines are made in SQL; their bytes lie end to end in an Arrow column, and go out from there as they are."""
    if kind == "csv":
        out.write((",".join(look.columns) + "\n").encode())
    line = _csv(look) if kind == "csv" else _json(look)
    for batch in _reader(events, cursor, f"{line} as line", order, look.rows):
        column = batch.column(0).cast(pa.large_string())
        _, offsets, text = column.buffers()
        if offsets is not None and text is not None and len(column):
            ends = memoryview(offsets).cast("q")
            out.write(memoryview(text)[ends[column.offset] : ends[column.offset + len(column)]])


def _write_parquet(events: Events, cursor: duckdb.DuckDBPyConnection, out: IO[bytes], look: _Look, order: str) -> None:
    schema = pa.schema([(name, _ARROW[CANONICAL[name]]) for name in look.columns])
    columns = ", ".join(f"{name}::varchar as {name}" if CANONICAL[name] == "JSON" else name for name in look.columns)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in _reader(events, cursor, columns, order, look.rows):
            writer.write_batch(batch.cast(schema))


def _json(look: _Look) -> str:
    """SQL for a line of JSON. ``concat`` passes over NULL."""
    parts: list[str] = []
    for name in look.columns:
        begin = f'{"," if parts else "{"}"{name}":'
        type_ = CANONICAL[name]
        if type_ == "JSON":
            text = _one_line(name) if look.respaced.get(name) else f"{name}::varchar"
            parts.append(f"{literal(begin)} || {text}")
        else:
            value = {"BIGINT": f"{name}::varchar", "VARCHAR": f"{payload.made(name)}::varchar"}.get(
                type_, f"""'"' || {_iso(name)} || '"'"""
            )
            parts.append(f"{literal(begin)}, coalesce({value}, 'null')")
    return f"concat({', '.join(parts)}, '}}' || chr(10))"


def _csv(look: _Look) -> str:
    """SQL for a line of CSV: texts are quoted, nothing at all stands for NULL."""
    parts: list[str] = []
    for name in look.columns:
        type_ = CANONICAL[name]
        quoted = f"""'"' || replace({name}::varchar, '"', '""') || '"'"""
        parts.append({"BIGINT": name, "TIMESTAMPTZ": _iso(name)}.get(type_, quoted))
    return f"concat({', chr(44), '.join(parts)}, chr(10))"


def _iso(name: str) -> str:
    """SQL for a time as ISO 8601 in UTC, whatever the session's time zone."""
    return f"strftime(make_timestamp(epoch_us({name})), '%Y-%m-%dT%H:%M:%S.%fZ')"


def _spaced(name: str) -> str:
    """SQL: whether a payload has line breaks, or space around it, which JSON lines cannot keep."""
    text = f"{name}::varchar"
    return f"contains({text}, chr(10)) or contains({text}, chr(13)) or {text} <> trim({text}, chr(32) || chr(9))"


def _one_line(name: str) -> str:
    r"""SQL for a payload on one line. In a string of strict JSON a line break is written ``\n``; so none is touched."""
    return f"trim(replace(replace({name}::varchar, chr(10), ' '), chr(13), ' '), chr(32) || chr(9))"


def _quotes(name: str) -> str:
    return f"coalesce(strlen({name}::varchar) - strlen(replace({name}::varchar, chr(34), '')), 0)"

"""CSV: read by DuckDB where it is regular, and record by record where DuckDB refuses."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import duckdb

from esbench.errors import SourceError
from esbench.event import quote
from esbench.sources.columns import Columns
from esbench.sources.files.opening import BOM, File
from esbench.sources.files.rows import Batch, Rows
from esbench.sources.staged import Input, Raw, Staged

__all__ = ["read"]

_DELIMITERS = ",;\t|"
_SAMPLE = 100
_LONGEST = 1 << 24
"""A record that a quote keeps open for more bytes than this is taken for a quote that nobody closed."""
_VALUE = re.compile(r"\s*$|\s*[-+]?\d|\s*[\[{]|(?:true|false|null)$", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    names: tuple[str, ...]
    header: bool


def read(con: duckdb.DuckDBPyConnection, files: Sequence[File], *, columns: Columns) -> Staged:
    """Stage CSV files, whose records are numbered through and whose columns are matched by name.

    All values are text; a value of no characters is NULL, and one of two quotes is the empty text.
    """
    dialects = [_dialect(file) for file in files]
    names = list(dict.fromkeys(name for dialect in dialects for name in dialect.names))
    found = columns.resolve(names)
    rows = Rows(con, {name: "text" for name in names if name in found.wanted})
    starts: list[int] = []
    inputs: list[Input] = []
    for file, dialect in zip(files, dialects, strict=True):
        starts.append(rows.count())
        with file.local() as local:
            try:
                _read_file(rows, local.path, dialect)
            except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException):
                _decode_file(rows, local.path, dialect)
            inputs.append(local.input())
    return Staged(
        table="staged",
        fields=rows.finish(),
        inputs=tuple(inputs),
        in_order=len(files) == 1,
        raw=lambda wanted: _raw(files, dialects, starts, wanted),
        notes=(f"not loaded: {', '.join(found.unused)} (columns= maps them)",) if found.unused else (),
        unused=found.unused,
    )


def _read_file(rows: Rows, path: Path, dialect: _Dialect) -> None:
    if _has_lone_returns(path):
        raise duckdb.InvalidInputException("DuckDB ends a line at a carriage return alone")
    selected = "".join(
        f"{quote(f'c{dialect.names.index(name)}') if name in dialect.names else 'null'} as f{n}, "
        for n, name in enumerate(rows.forms)
    )
    rows.read(
        f"""
        select {selected}true as proven from read_csv(
            $path, auto_detect = false, header = $header, delim = $delimiter, quote = '"', escape = '"', comment = '',
            columns = $columns, nullstr = '', allow_quoted_nulls = false, null_padding = false, strict_mode = true,
            max_line_size = {_LONGEST}, compression = 'none'
        )
        """,
        {
            "path": str(path),
            "header": dialect.header,
            "delimiter": dialect.delimiter,
            "columns": {f"c{n}": "VARCHAR" for n in range(len(dialect.names))},
        },
    )


def _decode_file(rows: Rows, path: Path, dialect: _Dialect) -> None:
    """Read a whole file here: one that DuckDB's reader refuses."""
    start = record = rows.count()
    at = [dialect.names.index(name) if name in dialect.names else None for name in rows.forms]
    batch = Batch()
    with path.open("rb", buffering=1 << 20) as handle:
        for record, (_, text) in enumerate(_records(handle, dialect), start=start + 1):
            cells, problem = _cells(text, dialect.delimiter)
            if len(cells) == len(dialect.names) + 1 and cells[-1] is None:
                cells.pop()  # a delimiter at the end of the line, as DuckDB takes it too
            if problem is None and len(cells) != len(dialect.names):
                problem = f"{len(cells)} values where there are {len(dialect.names)} columns"
            values = [None if n is None or problem else cells[n] for n in at]
            batch.add(record, values, problem, size=len(text))
            if batch.full():
                rows.decoded(batch)
                batch.clear()
    rows.decoded(batch)
    rows.reserve(record - start)


def _dialect(file: File) -> _Dialect:
    with file.open() as handle:
        head = list(islice(_split(handle, ","), _SAMPLE))
    texts = [text for _, text in head]
    delimiter = "\t" if ".tsv" in file.path.suffixes else max(_DELIMITERS, key=lambda d: _regularity(texts, d))
    with file.open() as handle:
        (line, text), *_ = islice(_split(handle, delimiter), 1)
    cells, problem = _cells(text, delimiter)
    if problem is not None:
        raise SourceError(f"{file.path}:{line}: {problem}; the first line must name the columns, or be a record")
    header = not any(cell is None or _VALUE.match(cell) or _UUID.match(cell) for cell in cells)
    if not header:
        return _Dialect(delimiter, tuple(f"column{n}" for n in range(len(cells))), False)
    names = tuple(cell or "" for cell in cells)
    if twice := [name for name, count in Counter(name.lower() for name in names).items() if count > 1]:
        raise SourceError(f'{file.path}:{line}: two columns for one name: "{twice[0]}" stands twice in the header')
    return _Dialect(delimiter, names, True)


def _regularity(texts: Sequence[bytes], delimiter: str) -> tuple[float, int]:
    """How well a delimiter explains the first records: how many agree on a number of values, and that number."""
    counts = Counter(len(_cells(text, delimiter)[0]) for text in texts)
    ((values, agreeing),) = counts.most_common(1)
    return (agreeing / len(texts) if values > 1 else 0.0, values)


def _records(handle: IO[bytes], dialect: _Dialect) -> Iterator[tuple[int, bytes]]:
    found = _split(handle, dialect.delimiter)
    return islice(found, 1, None) if dialect.header else found


def _split(handle: IO[bytes], delimiter: str) -> Iterator[tuple[int, bytes]]:
    """The records as (line of the first byte from 1, text without the line's end); blank lines are none."""
    waiting: list[bytes] = []
    number, mark = 0, delimiter.encode()
    while line := waiting.pop() if waiting else handle.readline():
        number += 1
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.strip(b"\r\n"):
            continue
        more: list[bytes] = []
        size = len(text)
        # An odd number of quotes leaves one open, if it opened a value.
        while _open(text, mark):
            following = waiting.pop() if waiting else handle.readline()
            if not following or size > _LONGEST:
                waiting += [following] if following else []
                waiting += reversed(more)
                more = []
                text = line
                break
            more.append(following)
            size += len(following)
            text += following
        yield number, text.removesuffix(b"\n").removesuffix(b"\r")
        number += len(more)


def _open(text: bytes, mark: bytes) -> bool:
    """Whether the last value of a text is quoted and not closed."""
    if b'"' not in text:
        return False
    at = 0
    while True:
        if text[at : at + 1] == b'"':
            at += 1
            while (at := text.find(b'"', at) + 1) and text[at : at + 1] == b'"':
                at += 1
            if not at:
                return True
        at = text.find(mark, at) + 1
        if not at:
            return False


def _cells(text: bytes, delimiter: str) -> tuple[list[str | None], str | None]:
    """The values of one record, and why it cannot be read."""
    try:
        line = text.decode()
    except UnicodeDecodeError as error:
        return [], f"not UTF-8: byte 0x{text[error.start]:02x} (byte {error.start + 1})"
    if '"' not in line:
        return [cell or None for cell in line.split(delimiter)], None
    cells: list[str | None] = []
    at = 0
    while True:
        if line.startswith('"', at):
            end = at + 1
            while (end := line.find('"', end) + 1) and line.startswith('"', end):
                end += 1
            if not end:
                return cells, f"a quote is never closed (character {at + 1})"
            if end < len(line) and line[end] != delimiter:
                return cells, f"text behind a closing quote (character {end + 1})"
            cells.append(line[at + 1 : end - 1].replace('""', '"'))
        else:
            end = line.find(delimiter, at)
            end = len(line) if end < 0 else end
            cells.append(line[at:end] or None)
        if end == len(line):
            return cells, None
        at = end + 1


def _raw(
    files: Sequence[File], dialects: Sequence[_Dialect], starts: Sequence[int], wanted: Sequence[int]
) -> Iterator[Raw]:
    for file, dialect, start, end in zip(files, dialects, starts, [*starts[1:], sys.maxsize], strict=True):
        here = iter([record for record in wanted if start < record <= end])
        number = next(here, None)
        if number is None:
            continue
        with file.open() as handle:
            for record, (line, text) in enumerate(_records(handle, dialect), start=start + 1):
                if record == number:
                    yield Raw(record, str(file.path), line, text.decode("utf-8", "backslashreplace"))
                    if (number := next(here, None)) is None:
                        break


def _has_lone_returns(path: Path) -> bool:
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            chunk += handle.read(1) if chunk.endswith(b"\r") else b""
            if chunk.count(b"\r") != chunk.count(b"\r\n"):
                return True
    return False

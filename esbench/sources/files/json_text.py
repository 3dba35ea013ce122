"""JSON lines and JSON arrays: proven in SQL where possible, and decoded record by record where not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import duckdb

from esbench import payload
from esbench.errors import SourceError
from esbench.sources.columns import Columns
from esbench.sources.files.opening import BLANK, BOM, File
from esbench.sources.files.rows import Batch, Rows
from esbench.sources.staged import Input, Raw, Staged
from esbench.sources.template import Form, Template

__all__ = ["read", "records"]

_SAMPLE = 1_000
_SAMPLE_SIZE = 1 << 26
_WORTHWHILE = 20_000
"""So many lines that one template does not prove are tried with another before they are decoded."""
_NOTHING = Template((), ("{}",), (), ())
_MARK = re.compile(rb'[\[\]{},"\\\n]')


def read(con: duckdb.DuckDBPyConnection, files: Sequence[File], *, columns: Columns) -> Staged:
    """Stage JSON files, whose records are numbered through."""
    samples = [_sample(file) for file in files]
    names: dict[str, None] = {}
    for sample in samples:
        for text in sample:
            names |= dict.fromkeys(_names(text))
    while True:
        found = columns.resolve(list(names))
        forms: dict[str, Form] = {
            n: "json" if n in found.payload_fields else "text" for n in names if n in found.wanted
        }
        reader = _Reader(con, forms)
        for file, sample in zip(files, samples, strict=True):
            reader.read(file, Template.infer(con, sample, forms) or _NOTHING)
        names |= reader.met
        # A name that a column needs may be rarer than the sample.
        if columns.resolve(list(names)).wanted <= found.wanted:
            break
    found = columns.resolve(list(names))
    return Staged(
        table="staged",
        fields=reader.rows.finish(),
        inputs=tuple(reader.inputs),
        in_order=len(files) == 1,
        raw=lambda wanted: _raw(files, reader.starts, wanted),
        notes=(f"not loaded: {', '.join(found.unused)} (columns= maps them)",) if found.unused else (),
        unused=found.unused,
    )


class _Reader:
    """One pass over the files with the same fields wanted."""

    def __init__(self, con: duckdb.DuckDBPyConnection, forms: dict[str, Form]) -> None:
        self.con, self.forms = con, forms
        self.rows = Rows(con, forms)
        self.met: dict[str, None] = {}
        self.inputs: list[Input] = []
        self.starts: list[int] = []

    def read(self, file: File, template: Template) -> None:
        start = self.rows.count()
        self.starts.append(start)
        with file.local() as local:
            relation = (
                "(select json as line from read_ndjson_objects($path, ignore_errors = true, compression = 'none'))"
            )
            if file.kind == "array":
                relation = "(select json as line from read_json_objects($path, format = 'array', compression = 'none'))"
            try:
                if _only_a_mark(local.path):
                    raise duckdb.InvalidInputException("DuckDB counts a line that has only a byte order mark")
                self.rows.read(template.select(relation, self.forms), {"path": str(local.path)})
            except (
                duckdb.InvalidInputException,
                duckdb.ConversionException,
                duckdb.IOException,
                duckdb.BinderException,
            ):
                self._decode_file(file, local.path, start)
            else:
                self._decode_rest(start)
                self._decode_unread(file, local.path, start)
            self.inputs.append(local.input())

    def _decode_rest(self, start: int) -> None:
        """Read the lines that the template did not prove: with other templates while that pays, then one by one."""
        self.con.execute(
            """
            create or replace temp table file_rest as
            select rowid + 1 as record, line from file_rows where rowid >= $start and not proven and line is not null
            """,
            {"start": start},
        )
        left = self._left()
        while left >= _WORTHWHILE:
            sample = [line for (line,) in self.con.execute(f"select line from file_rest limit {_SAMPLE}").fetchall()]
            template = Template.infer(self.con, sample, self.forms)
            if template is None:
                break
            self.met |= dict.fromkeys(template.names)
            columns = "".join(f", f{n}" for n in range(len(self.forms)))
            self.con.execute(
                f"create temp table file_next as {template.select('file_rest', self.forms, keep='record')}"
            )
            self.con.execute(
                f"""
                insert into file_decoded by name select record, null as problem{columns} from file_next where proven
                """
            )
            self.con.execute(
                "create or replace temp table file_rest as select record, line from file_next where not proven"
            )
            self.con.execute("drop table file_next")
            before, left = left, self._left()
            if left > before * 0.8:
                break
        batch = Batch()
        for record, line in self._rest():
            self._decode(batch, record, line)
        self._flush(batch)
        self.con.execute("drop table file_rest")

    def _left(self) -> int:
        found: int = self.con.execute("select count(*) from file_rest").fetchall()[0][0]
        return found

    def _rest(self) -> Iterator[tuple[int, str]]:
        """The lines left, a bounded number of characters at a time."""
        count, size = self.con.execute("select count(*), coalesce(avg(strlen(line)), 0) from file_rest").fetchall()[0]
        step = min(max(int((1 << 25) / max(size, 1)), 64), 50_000)
        for start in range(0, count, step):
            yield from self.con.execute(
                "select record, line from file_rest where rowid >= $start and rowid < $end",
                {"start": start, "end": start + step},
            ).fetchall()

    def _decode_unread(self, file: File, path: Path, start: int) -> None:
        """Read the lines that DuckDB could not read at all, and so did not give."""
        found = self.con.execute(
            "select rowid + 1 from file_rows where rowid >= $start and not proven and line is null order by 1",
            {"start": start},
        ).fetchnumpy()
        (wanted,) = found.values()
        if len(wanted):
            batch = Batch()
            with path.open("rb", buffering=1 << 20) as handle:
                for record, _, text in _picked(file, handle, start, (int(number) for number in wanted)):
                    self._decode(batch, record, text)
            self._flush(batch)

    def _decode_file(self, file: File, path: Path, start: int) -> None:
        """Read a whole file here: one that DuckDB's reader refuses."""
        batch, record = Batch(), start
        with path.open("rb", buffering=1 << 20) as handle:
            for record, (_, text) in enumerate(records(file, handle), start=start + 1):
                self._decode(batch, record, text)
        self._flush(batch)
        self.rows.reserve(record - start)

    def _decode(self, batch: Batch, record: int, text: str | bytes) -> None:
        try:
            found = payload.fields(text)
            values = [
                payload.text_form(found[name]) if form == "text" and name in found else found.get(name)
                for name, form in self.forms.items()
            ]
            batch.add(record, values, None, size=len(text))
            self.met |= dict.fromkeys(found)
        except payload.PayloadError as error:
            batch.add(record, [None] * len(self.forms), str(error), size=0)
        if batch.full():
            self._flush(batch)

    def _flush(self, batch: Batch) -> None:
        self.rows.decoded(batch)
        batch.clear()


def records(file: File, handle: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The records of a file as (line from 1, text): lines that are not blank, or the elements of an array."""
    return _elements(file, handle) if file.kind == "array" else _lines(handle)


def _lines(handle: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(handle, start=1):
        text = (line.removeprefix(BOM) if number == 1 else line).strip(BLANK)
        if text:
            yield number, text


def _sample(file: File) -> list[str]:
    """The first readable records. Raises SourceError where there is none among the first thousand."""
    found, size, first, seen = [], 0, None, 0
    with file.open() as handle:
        for line, text in islice(records(file, handle), _SAMPLE):
            seen += 1
            try:
                payload.fields(text)
                found.append(text.decode())
            except payload.PayloadError as error:
                first = first or f"{file.path}:{line}: {error}"
            size += len(text)
            if size > _SAMPLE_SIZE:
                break
    if not found and file.kind == "array" and not seen:
        raise SourceError(f"{file.path}: an empty array: nothing to load")
    if not found:
        way_out = "JSON lines have one whole object a line; objects over several lines go into an array [ … ]"
        raise SourceError(f"{first} (and no object among the first {seen:,} records; {way_out})")
    return found


def _names(text: str) -> list[str]:
    return list(payload.fields(text))


def _elements(file: File, handle: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The elements of a JSON array, found by brackets and quotes alone, so that one bad element spoils no other."""
    line = began = 1
    depth, quoted, done, offset, escaped, count = 0, False, False, 0, -1, 0
    parts: list[bytes] = []
    while chunk := handle.read(1 << 20):
        start = 0
        for mark in _MARK.finditer(chunk):
            at, byte = mark.start(), mark[0]
            if byte == b"\n":
                line += 1
            elif quoted:
                if offset + at == escaped:
                    continue
                if byte == b"\\":
                    escaped = offset + at + 1
                quoted = byte != b'"'
            elif done:
                break
            elif byte == b'"':
                quoted = True
            elif byte in b"[{":
                depth += 1
                if depth == 1:
                    start, began = at + 1, line
            elif depth > 1 and byte in b"]}":
                depth -= 1
            elif depth == 1 and byte in b",]":
                text = b"".join([*parts, chunk[start:at]])
                began += text[: len(text) - len(text.lstrip(BLANK))].count(b"\n")
                done = byte == b"]"
                if text := text.strip(BLANK):
                    yield began, text
                elif count or not done:
                    raise SourceError(
                        f"{file.path}:{began}: a comma without an element beside it; the array is not JSON"
                    )
                parts, start, began, count = [], at + 1, line, count + 1
            elif byte == b"}":
                raise SourceError(f"{file.path}:{line}: a bracket too many: the array is not JSON")
        parts.append(chunk[start:])
        offset += len(chunk)
        if done:
            if b"".join(parts).strip(BLANK):
                raise SourceError(
                    f"{file.path}:{line}: more text behind the end of the array; JSON lines have no brackets"
                )
            parts = []
    if not done:
        raise SourceError(f"{file.path}:{line}: truncated: the array has no end; get the file again")


def _picked(file: File, handle: IO[bytes], start: int, wanted: Iterator[int]) -> Iterator[tuple[int, int, bytes]]:
    """The wanted records (ascending) of a file whose first is ``start`` + 1, as (record, line, text)."""
    number = next(wanted, None)
    if number is not None:
        for record, (line, text) in enumerate(records(file, handle), start=start + 1):
            if record == number:
                yield record, line, text
                if (number := next(wanted, None)) is None:
                    return


def _raw(files: Sequence[File], starts: Sequence[int], wanted: Sequence[int]) -> Iterator[Raw]:
    for file, start, end in zip(files, starts, [*starts[1:], sys.maxsize], strict=True):
        here = [record for record in wanted if start < record <= end]
        if here:
            with file.open() as handle:
                for record, line, text in _picked(file, handle, start, iter(here)):
                    yield Raw(record, str(file.path), line, text.decode("utf-8", "backslashreplace"))


def _only_a_mark(path: Path) -> bool:
    """Whether the first line is a byte order mark and no more: DuckDB counts it as a record."""
    with path.open("rb") as handle:
        line = handle.readline(1 << 16)
    return line.startswith(BOM) and not line.removeprefix(BOM).strip(BLANK)

"""Files as bytes: which ones, what is in them, unpacked whole or not at all, and what they hash to."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import zstandard

from esbench.errors import SourceError
from esbench.sources.staged import Input

__all__ = ["BLANK", "BOM", "File", "Local", "find"]

BOM = b"\xef\xbb\xbf"
BLANK = b" \t\n\r\v\f"
"""What a blank line is made of, for DuckDB as for Python."""

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_CHUNK = 1 << 14  # small, because a packed byte may stand for thousands
_HEAD = 1 << 16
_WAYS_OUT = "JSON lines, a JSON array, CSV and Parquet are read, each plain, .gz or .zst"

Kind = Literal["lines", "array", "csv", "parquet"]
Packing = Literal["gzip", "zstd"] | None


@dataclass(frozen=True, slots=True)
class Local:
    """A file's plain bytes on disk, and the file they came from (call it once everything is read)."""

    path: Path
    input: Callable[[], Input]


@dataclass(frozen=True, slots=True)
class File:
    """One input file: what it holds and how it is packed, both told from its bytes rather than its name."""

    path: Path
    kind: Kind
    packing: Packing

    def open(self) -> IO[bytes]:
        """Its plain bytes. Reading raises SourceError where they end too early or are damaged."""
        if self.packing is None:
            return self.path.open("rb", buffering=1 << 20)
        return io.BufferedReader(_Pieces(_unpack(self.path, self.packing, None)), buffer_size=1 << 20)

    @contextmanager
    def local(self) -> Iterator[Local]:
        """Its plain bytes as a file on disk: itself, or a temporary one that goes away.

        Packed files are unpacked here and not in DuckDB, which reads a truncated .zst as if it were complete. A plain
        file is hashed by a thread while others read it.
        """
        before = _state(self.path)

        def read(digest: str) -> Input:
            if _state(self.path) != before:
                raise SourceError(f"{self.path}: it changed while it was read; load a copy that stands still")
            return Input(str(self.path), before[0], digest)

        with tempfile.TemporaryDirectory(prefix="esbench-") as folder, ThreadPoolExecutor(1, "esbench-hash") as pool:
            path = Path(folder, "plain")
            if self.packing is None:
                # DuckDB takes "*" and "[" in a name for a pattern.
                path.symlink_to(self.path.absolute())
                digest = pool.submit(_digest, self.path)
                yield Local(path, lambda: read(digest.result()))
            else:
                sha = hashlib.sha256()
                with path.open("wb") as plain:
                    plain.writelines(_unpack(self.path, self.packing, sha))
                yield Local(path, lambda: read(sha.hexdigest()))


def find(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[File]:
    """The files that a path, a glob or several of them name; a glob's are sorted by name.

    >>> find("no/such/*.jsonl")
    Traceback (most recent call last):
    ...
    esbench.errors.SourceError: no/such/*.jsonl: no file matches
    """
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    paths = [path for name in names for path in _paths(os.fspath(name))]
    if not paths:
        raise SourceError("no file is named: nothing to load")
    return [_look(path) for path in paths]


def _paths(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - a name may be absolute
    files = [match for match in found if not match.is_dir()]
    if not files:
        raise SourceError(f"{name}: no file matches")
    return files


def _look(path: Path) -> File:
    """Tell what a file holds from how it begins; the name decides only where that leaves a choice."""
    if path.is_dir():
        raise SourceError(f'{path}: a directory; name its files, as in "{path}/*.jsonl"')
    try:
        with path.open("rb") as handle:
            head = handle.read(_HEAD)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file (from {Path.cwd()})") from None
    except PermissionError:
        raise SourceError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    packing: Packing = "gzip" if head.startswith(_GZIP) else "zstd" if head.startswith(_ZSTD) else None
    if packing is None and head and path.suffix.lower() in (".gz", ".zst"):
        raise SourceError(f"{path}: named {path.suffix}, but it is not packed so; rename it")
    if packing is not None:
        pieces = _unpack(path, packing, None)
        head = b""
        while len(head) < _HEAD and (piece := next(pieces, b"")):
            head += piece
    return File(path, _kind(path, head), packing)


def _kind(path: Path, head: bytes) -> Kind:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    text = head.removeprefix(BOM).lstrip(BLANK)
    if head.startswith(_PARQUET):
        return "parquet"
    if not text:
        raise SourceError(f"{path}: it is empty: nothing to load")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"{path}: UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8")
    if ".csv" in suffixes or ".tsv" in suffixes:
        return "csv"
    if text.startswith(b"["):
        return "array"
    if text.startswith(b"{") or {".jsonl", ".ndjson", ".json"} & set(suffixes):
        return "lines"
    if b"\0" in head:
        raise SourceError(f"{path}: binary (byte {head.index(0) + 1} is NUL); {_WAYS_OUT}")
    shown = text.splitlines()[0][:40].decode("utf-8", "backslashreplace")
    line = head[: len(head) - len(text)].count(b"\n") + 1
    raise SourceError(f"{path}:{line}: not JSON, and not named .csv or .tsv: it begins {shown!r}; {_WAYS_OUT}")


def _unpack(path: Path, packing: Packing, digest: Any) -> Iterator[bytes]:
    """The plain bytes of a packed file, frame after frame. Raises SourceError unless the last one is complete."""
    with path.open("rb") as handle:
        machine, begun = _machine(packing), False
        while data := handle.read(_CHUNK):
            if digest is not None:
                digest.update(data)
            while data:
                try:
                    plain = machine.decompress(data)
                except (zlib.error, zstandard.ZstdError) as error:
                    reason = re.sub(r"^Error -?\d+ while decompressing data: ", "", str(error))
                    where = f"damaged {packing} data before byte {handle.tell():,}"
                    raise SourceError(f"{path}: {where} ({reason}); get the file again") from None
                if plain:
                    yield plain
                begun = not machine.eof
                data = b""
                if machine.eof:
                    # gzip may be padded with NULs.
                    data = machine.unused_data.lstrip(b"\0") if packing == "gzip" else machine.unused_data
                    machine = _machine(packing)
        if begun:
            raise SourceError(
                f"{path}: truncated: its {packing} data ends in the middle (byte {handle.tell():,}); get the file again"
            )


def _machine(packing: Packing) -> Any:
    if packing == "gzip":
        return zlib.decompressobj(wbits=31)
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

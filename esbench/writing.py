"""Files that are written whole or not at all, also when the process is killed."""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import zstandard

from esbench.errors import EsbenchError, ExportError

__all__ = ["PACKED", "named", "packed", "part_of", "whole_file"]

#: Endings of packed files.
PACKED = (".gz", ".zst")


def part_of(target: Path) -> Path:
    """Where a file is written before it takes its name: beside it, so that renaming it is one step.

    The name is always the same, so that the next run finds and clears what a killed one left behind.

    >>> part_of(Path("out/orders.jsonl")).as_posix()
    'out/.orders.jsonl.esbench-part'
    """
    return target.with_name(f".{target.name}.esbench-part")


@contextmanager
def whole_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to, that is under its name only when all of it is on disk; an exception leaves no trace.

    A kill leaves at most the part beside it, which the next run clears. Two runs for one target: the later one is
    refused. Raises ExportError where the target exists (unless ``overwrite``) or cannot be written.
    """
    target = _target(path, overwrite)
    part = part_of(target)
    try:
        out = _begin(part, target)
    except ExportError:
        raise
    except OSError as error:
        raise ExportError(f"{target}: cannot be written there ({error.strerror or error})") from error
    try:
        with out:
            yield out
            out.flush()
            os.fsync(out.fileno())
            # Under its name while the lock is held, so that no other run takes the part for one left behind.
            _name(part, target, overwrite)
    except OSError as error:
        _remove(part)
        if isinstance(error, EsbenchError):
            raise
        raise ExportError(
            f"{target}: not written ({error.strerror or error}): free some space or name another place, and do it "
            "again; nothing was left behind"
        ) from error
    except BaseException:
        _remove(part)
        raise
    _sync_folder(target.parent)


def named(part: Path, target: Path) -> None:
    """Give a finished file its name, in one step and lastingly. Raises ExportError where somebody else has made it."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    _name(part, target, overwrite=False)
    _sync_folder(target.parent)


@contextmanager
def packed(out: IO[bytes], ending: str) -> Iterator[Any]:
    """The same file, packed as ``.gz`` or ``.zst`` say; as it is for any other ending. No time is written into it."""
    if ending == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=6, mtime=0) as small:
            yield small
    elif ending == ".zst":
        with zstandard.ZstdCompressor(level=3).stream_writer(out, closefd=False) as small:
            yield small
    else:
        yield out


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The file that a path leads to. Raises ExportError where it may not be written."""
    target = Path(os.path.realpath(Path(path).expanduser()))
    try:
        found = target.stat()
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise ExportError(f"{target}: there is no folder {target.parent}") from None
        return target
    except OSError as error:
        raise ExportError(f"{target}: cannot be written there ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise ExportError(f"{target}: is there, and is no file: name one that is not there yet")
    if not overwrite:
        raise ExportError(f"{target}: is there already: name another file, or say overwrite=True")
    try:
        with target.open("rb") as old:
            head = old.read(12)
    except OSError:
        return target  # what cannot be read can still be replaced
    if head[8:] == b"DUCK":
        raise ExportError(f"{target}: is a DuckDB database, such as a bench: it is never overwritten")
    return target


def _begin(part: Path, target: Path) -> IO[bytes]:
    """A new part, locked for as long as it is open; one that nobody holds any more is cleared first.

    It is never emptied and used again: a run that was killed between naming it and removing it left two names of one
    file, and the other is the target.
    """
    busy = ExportError(f"{target}: another process is writing it just now ({part})")
    with suppress(FileNotFoundError), part.open("rb") as left:
        if not _lock(left):
            raise busy
        part.unlink()
    try:
        out = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb")
    except FileExistsError:
        raise busy from None
    if not _lock(out) or not _is(out, part):
        out.close()
        raise busy
    return out


def _lock(file: IO[bytes]) -> bool:
    """Whether this process holds the file now; the system lets go of it when the process ends, in whatever way."""
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to remove what is open
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _name(part: Path, target: Path, overwrite: bool) -> None:
    """Give the part its name, in one step."""
    if overwrite:
        part.replace(target)
        return
    try:
        # Unlike renaming, this fails where somebody else has made the target since.
        os.link(part, target)
    except FileExistsError:
        raise ExportError(f"{target}: somebody else has made it in the meantime; it is as it was") from None
    except OSError:  # a file system without hard links
        part.replace(target)
        return
    part.unlink()


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the name last, where folders can be synced."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

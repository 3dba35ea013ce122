"""The history of a git repository as an event log: ``git:PATH`` or ``git:PATH@REF``.

A stream is a path, an event is one change of one file, along the first parents from the oldest commit
on. Folding the events up to a commit gives ``git ls-tree -r`` of it: a rename is a deletion and an addition,
and a merge is what it changed against its first parent.

The repository is hostile input. Its settings are read only by ``git rev-parse``, which finds the tip; the
history is then read from its objects alone, through an empty repository made for the purpose. So no
configuration, attribute, hook, filter, diff driver or replacement, of the repository or of the user, runs or
changes the result.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from esbench.errors import SourceError, nearest
from esbench.payload import encode
from esbench.sources.columns import Columns
from esbench.sources.staged import PROBLEM, RECORD, Input, Raw, Staged

__all__ = ["NAMESPACE", "stage"]

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "esbench:git")
"""Event ids are ``uuid5(NAMESPACE, f"{commit_id}:{stream_id}")``."""

_TABLE = "staged_git"
_TIME = "TIMESTAMP WITH TIME ZONE"
_FIELDS = {
    "stream_id": "VARCHAR",
    "stream_type": "VARCHAR",
    "version": "BIGINT",
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "recorded_at": _TIME,
    "occurred_at": _TIME,
    "data": "JSON",
    "metadata": "JSON",
}
_ARROW = {"BIGINT": pa.int64(), _TIME: pa.timestamp("us", tz="UTC")}  # the others are text
_SCHEMA = pa.schema(
    [(RECORD.strip('"'), pa.int64()), *((name, _ARROW.get(kind, pa.string())) for name, kind in _FIELDS.items())]
)
_Row = tuple[str, str, int, str, str, int | None, int | None, str, str]  # in the order of _FIELDS

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 32_000_000  # each file of a commit repeats its metadata, which a subject may make long

_EVENT_TYPES = {b"A": "FileAdded", b"M": "FileModified", b"D": "FileDeleted", b"T": "FileTypeChanged"}

# A commit begins with "@", a changed file with ":", line counts with a digit or "-". NUL ends every piece.
_HEADER = ("@%H", "%P", "%an", "%ae", "%cn", "%at", "%ct", "%s")
_LOG = (
    *("--no-pager", "log", "--first-parent", "-m", "--root", "--reverse", "-z", "--raw", "--no-abbrev"),
    *("--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--diff-algorithm=myers"),
    *("--no-color", "--no-show-signature", "--encoding=UTF-8", f"--format=tformat:{'%x00'.join(_HEADER)}"),
)
_LAST_SECOND = 253_402_300_799  # of the year 9999, where Python's and pandas' times end


def stage(con: duckdb.DuckDBPyConnection, source: str, *, columns: Columns) -> Staged:
    """Stage the changes along the first parents of HEAD, or of the ref after the last ``@``.

    Types: FileAdded, FileModified (also a mere change of mode), FileDeleted, FileTypeChanged (between file,
    symbolic link and submodule). ``data`` holds blob, mode, old_blob, old_mode, lines_added and lines_removed
    (null for a binary file); ``metadata`` commit_id, author, email, committer, subject and parents. The
    committer's date is ``recorded_at``, the author's ``occurred_at``. Versions count a path's changes from 1.

    Every field is staged, whatever ``columns`` need. Positions count from 1, so that a later state of the
    repository overlaps an earlier one and is not appended to it. Memory grows with the number of different
    paths and, inside git, of commits; not with that of events.

    >>> stage(duckdb.connect(), "git:no-such-place", columns=Columns())
    Traceback (most recent call last):
    ...
    esbench.errors.SourceError: git:no-such-place: there is no directory no-such-place
    """
    repository = _find(source)
    try:
        reading = _read(con, repository, counts=True)
    except SourceError:
        # Counting lines needs the blobs, which a partial clone may have left on its server.
        if not repository.partial:
            raise
        reading = _read(con, repository, counts=False)

    def raw(records: Sequence[int]) -> Iterator[Raw]:
        found = con.execute(
            f"""
            select {RECORD}, stream_id, version, event_type, data, metadata
            from {_TABLE} where {RECORD} in (select unnest($records)) order by 1
            """,
            {"records": list(records)},
        )
        for record, stream_id, version, event_type, data, metadata in found.fetchall():
            names = encode({"stream_id": stream_id, "version": version, "event_type": event_type})
            yield Raw(record, source, None, f'{names[:-1]},"data":{data},"metadata":{metadata}}}')

    return Staged(
        table=_TABLE,
        fields={"position": "BIGINT", **_FIELDS},
        inputs=(Input(source, 0, repository.tip),),
        in_order=True,
        raw=raw,
        notes=tuple(reading.notes(repository)),
    )


def _read(con: duckdb.DuckDBPyConnection, repository: _Repository, *, counts: bool) -> _Reading:
    reading = _Reading(counts)
    try:
        with _history(repository, counts=counts) as pieces:
            con.register("git_batch", _SCHEMA.empty_table())
            con.execute(f"""
                create or replace temp table {_TABLE} as
                select *, {RECORD} as position, null::varchar as {PROBLEM} from git_batch
            """)
            for batch in _batches(reading.rows(pieces)):
                con.register("git_batch", batch)
                con.execute(f"insert into {_TABLE} by name select *, {RECORD} as position from git_batch")
    except BaseException:
        con.execute(f"drop table if exists {_TABLE}")
        raise
    finally:
        con.unregister("git_batch")
    return reading


@dataclass(frozen=True, slots=True)
class _Repository:
    source: str
    git: str
    tip: str
    objects: Path
    shallow: bytes  # the commits whose parents were not cloned

    @property
    def partial(self) -> bool:
        return any((self.objects / "pack").glob("*.promisor"))


def _find(source: str) -> _Repository:
    """Resolve ``git:PATH[@REF]``. Both may hold an ``@``: the longest PATH that exists wins."""
    whole = source.removeprefix("git:")
    git = shutil.which("git")
    if git is None:
        raise SourceError(f"{source}: there is no git on the PATH; install it first")
    place, ref = whole, "HEAD"
    while not Path(place).expanduser().is_dir():
        place, mark, _ = place.rpartition("@")
        if not mark:
            raise SourceError(f"{source}: there is no directory {whole}")
        ref = whole[len(place) + 1 :]

    directory, environment = Path(place).expanduser(), _environment()

    def ask(*arguments: str) -> bytes | None:
        command = [git, "-C", str(directory), *arguments]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        if done.returncode and done.stderr:
            raise SourceError(f"{source}: {_said(done.stderr)}")
        return None if done.returncode else done.stdout.removesuffix(b"\n")

    def ask_path(name: str) -> Path:
        # git prints it absolute, or relative to the directory.
        return (directory / os.fsdecode(ask("rev-parse", "--git-path", name) or b"")).absolute()

    objects = ask_path("objects")
    # No ref begins with "-" or "^"; an option and an exclusion do.
    tip = None if ref.startswith(("-", "^")) else ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if tip is None:
        known = os.fsdecode(ask("for-each-ref", "--format=%(refname:short)") or b"").split()
        if not known:
            raise SourceError(f"{source}: the repository is empty: nothing was committed yet")
        way_out = nearest(ref, known) or f" Name a branch or tag: git:{place}@{known[0]}"
        raise SourceError(f"{source}: {ref} names no commit.{way_out}")
    shallow = ask_path("shallow")
    grafts = shallow.read_bytes() if shallow.is_file() else b""
    return _Repository(source, git, tip.decode(), objects, grafts)


def _environment(**more: str) -> dict[str, str]:
    """The user's environment, without what steers git, and with fetching of missing objects forbidden."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        **more,
    }


def _said(stderr: bytes) -> str:
    said = stderr.decode(errors="backslashreplace").strip().removeprefix("fatal: ")
    return said[:600] or "git does not say why"


@contextmanager
def _history(repository: _Repository, *, counts: bool) -> Iterator[Iterator[bytes]]:
    """Run ``git log`` over the repository's objects from an empty repository."""
    with tempfile.TemporaryDirectory(prefix="esbench-git-") as folder, tempfile.TemporaryFile() as stderr:
        empty = Path(folder, "empty.git")
        environment = _environment(
            HOME=folder,
            XDG_CONFIG_HOME=folder,
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=os.devnull,
            GIT_ATTR_NOSYSTEM="1",
        )
        # Older gits know no object formats, and need no word about the first one.
        newer = [] if len(repository.tip) == 40 else ["--object-format=sha256"]
        command = [repository.git, "init", "--quiet", "--bare", "--template=", *newer, str(empty)]
        made = subprocess.run(command, capture_output=True, env=environment, check=False)
        if made.returncode:
            raise SourceError(f"{repository.source}: {_said(made.stderr)}")
        if repository.shallow:
            (empty / "shallow").write_bytes(repository.shallow)
        numbers = ("--numstat",) if counts else ()
        environment |= {"GIT_DIR": str(empty), "GIT_OBJECT_DIRECTORY": str(repository.objects)}
        process = subprocess.Popen(
            [repository.git, *_LOG, *numbers, repository.tip, "--"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            cwd=folder,
        )
        assert process.stdout is not None
        try:
            yield _pieces(process.stdout)
            if process.wait():
                stderr.seek(0)
                raise SourceError(f"{repository.source}: git stopped: {_said(stderr.read(4096))}")
        finally:
            process.kill()  # nothing, unless the reading broke off
            process.stdout.close()
            process.wait()


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


@dataclass(slots=True)
class _Reading:
    """One pass over what ``git log`` writes, and what it has to say afterwards."""

    counts: bool
    first_commit: str = ""
    undated: int = 0
    recoded: int = 0
    versions: dict[str, int] = field(default_factory=dict)

    def rows(self, pieces: Iterator[bytes]) -> Iterator[_Row]:
        header: list[bytes] = []
        changes: list[tuple[bytes, bytes]] = []
        lines: dict[bytes, tuple[bytes, bytes]] = {}
        for head in pieces:
            piece = head.removeprefix(b"\n")  # which parts a commit from its files, or an empty piece does
            if piece.startswith(b":"):
                changes.append((next(pieces, b""), piece))  # nothing more: git stopped, as is then reported
            elif piece.startswith(b"@"):
                yield from self._commit(header, changes, lines)
                header, changes, lines = [piece[1:], *islice(pieces, len(_HEADER) - 1)], [], {}
            elif piece:
                added, removed, path = piece.split(b"\t", 2)
                lines[path] = (added, removed)
        yield from self._commit(header, changes, lines)

    def _commit(
        self,
        header: Sequence[bytes],
        changes: list[tuple[bytes, bytes]],
        lines: Mapping[bytes, tuple[bytes, bytes]],
    ) -> Iterator[_Row]:
        if not header:
            return
        commit_id = header[0].decode()
        self.first_commit = self.first_commit or commit_id
        if not changes:
            return
        _, parents, author, email, committer, authored, committed, subject = header
        recorded_at, occurred_at = self._time(committed), self._time(authored)
        metadata = encode(
            {
                "commit_id": commit_id,
                "author": self._text(author),
                "email": self._text(email),
                "committer": self._text(committer),
                "subject": self._text(subject),
                "parents": parents.decode().split(),
            }
        )
        changes.sort()
        for path, change in changes:
            old_mode, mode, old_blob, blob, status = change[1:].split(b" ")
            added, removed = lines.get(path, (b"-", b"-"))
            stream_id = _stream_id(path)
            version = self.versions[stream_id] = self.versions.get(stream_id, 0) + 1
            data = (
                f'{{"blob":{_quoted(blob)},"mode":{_quoted(mode)},'
                f'"old_blob":{_quoted(old_blob)},"old_mode":{_quoted(old_mode)},'
                f'"lines_added":{_count(added)},"lines_removed":{_count(removed)}}}'
            )
            event_id = str(uuid.uuid5(NAMESPACE, f"{commit_id}:{stream_id}"))
            event_type = _EVENT_TYPES[status]
            yield stream_id, "File", version, event_id, event_type, recorded_at, occurred_at, data, metadata

    def _time(self, seconds: bytes) -> int | None:
        # A damaged commit may lack a date or have one of any length.
        if seconds.isdigit() and len(seconds) <= 12 and int(seconds) <= _LAST_SECOND:
            return int(seconds) * 1_000_000
        self.undated += 1
        return None

    def _text(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.recoded += 1
            return text.decode(errors="backslashreplace")

    def notes(self, repository: _Repository) -> Iterator[str]:
        if self.first_commit.encode() in repository.shallow.split():
            graft = self.first_commit[:12]
            yield f"a shallow clone: the history begins at the graft {graft}, which adds every file it has"
        if not self.counts:
            yield "a partial clone without all its files' contents: lines are not counted"
        if self.undated:
            yield f"{self.undated:,} dates of commits are missing or past the year 9999, and left empty"
        if self.recoded:
            yield f"{self.recoded:,} names or subjects of commits are not UTF-8; their bytes stand as \\xNN"


def _batches(rows: Iterator[_Row]) -> Iterator[pa.RecordBatch]:
    first = 1
    pending: list[_Row] = []
    characters = 0
    for row in rows:
        pending.append(row)
        characters += len(row[-1])
        if len(pending) == _BATCH_ROWS or characters > _BATCH_CHARACTERS:
            yield _batch(first, pending)
            first, pending, characters = first + len(pending), [], 0
    if pending:
        yield _batch(first, pending)


def _batch(first: int, rows: Sequence[_Row]) -> pa.RecordBatch:
    columns = [range(first, first + len(rows)), *zip(*rows, strict=True)]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def _stream_id(path: bytes) -> str:
    r"""The path as text; in git's quoted form when it is not UTF-8.

    A path that itself begins with a quotation mark is quoted too, so that no two paths share an id.

    >>> _stream_id(b"docs/caf\xc3\xa9.txt"), _stream_id(b"docs/caf\xe9.txt"), _stream_id(b'"a"')
    ('docs/café.txt', '"docs/caf\\351.txt"', '"\\"a\\""')
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = '"'
    if not text.startswith('"'):
        return text
    return '"' + "".join(_ESCAPES.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in path) + '"'


def _quoted(value: bytes) -> str:
    """A mode or an object id in JSON; all zeros, git's word for none, is null."""
    return "null" if not value.strip(b"0") else f'"{value.decode()}"'


def _count(value: bytes) -> str:
    return "null" if value == b"-" else value.decode()

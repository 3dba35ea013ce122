"""The bench: one DuckDB database that holds logs, their rejects and what is known of them."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pandas as pd

from esbench import catalog, show, store
from esbench.errors import BenchError, SourceError, nearest
from esbench.event import literal
from esbench.events import frame
from esbench.facts import MEANINGS
from esbench.fold.progress import watched
from esbench.fold.snapshots import Snapshots
from esbench.log import Log
from esbench.migrate.apply import apply
from esbench.migrate.dry import DryRun
from esbench.migrate.private.elsewhere import apply_elsewhere
from esbench.migrate.step import MigrationError
from esbench.sources import files, frames, git
from esbench.sources.columns import Clock, Columns
from esbench.sources.staged import Staged

__all__ = ["Bench", "open_bench"]

#: So many logs are named in a repr.
_SHOWN = 10


def open_bench(path: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> Bench:
    """Open a bench: a DuckDB file, made when it is not there, or memory when no path is given.

    Raises BenchError for a file that another process holds, that a newer DuckDB wrote, that is no bench, or that cannot
    be written.

    >>> open_bench()
    Bench in memory: no logs
    """
    where = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(where, str | None):
        raise BenchError(f"a bench is opened by the path of its file, not by {_shown(path)}")
    if where is not None and not _is_database(Path(where)):
        raise BenchError(_why(where, "not a valid DuckDB database"))
    try:
        con = duckdb.connect(where or ":memory:", read_only=read_only)
    except (duckdb.Error, ValueError) as error:
        raise BenchError(_why(where or "memory", str(error))) from error
    try:
        con.execute("set global TimeZone = 'UTC'")
        _show_progress(con)
        if where is None:
            # DuckDB would spill into the working directory.
            spill = Path(tempfile.gettempdir(), f"esbench-{os.getpid()}")
            con.execute(f"set global temp_directory = {literal(str(spill))}")
        catalog.prepare(con, read_only=read_only)
    except BaseException as error:
        con.close()
        if isinstance(error, duckdb.Error | BenchError):
            raise BenchError(_why(where or "memory", str(error))) from error
        raise
    return Bench(con, where)


class Bench:
    """Logs in one DuckDB database; ``bench["orders"]`` is a log. The connection is the only state that esbench holds.

    ``snapshots`` are a cache of states, which may be dropped at any time.

    >>> import pandas as pd
    >>> bench = open_bench()
    >>> log = bench.load(pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Made"]}), name="made")
    >>> bench
    Bench in memory: made (1 event)
    >>> bench["made"].types()["event_type"].tolist()
    ['Made']
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, path: str | None) -> None:
        self.con = con
        self.path = path
        self.snapshots = Snapshots(con)

    def load(
        self,
        source: Any,
        name: str | None = None,
        *,
        columns: Mapping[str, str | None] | None = None,
        time: Clock = "iso",
        base: int | None = None,
        truncated: Iterable[str] = (),
        keys: Mapping[str, str] | None = None,
        append: bool = False,
        strict: bool = False,
    ) -> Log:
        """Load events as a log: files, a frame, or the history of a git repository.

        ``source``: a path, a glob or a list of paths (JSON lines, a JSON array, CSV, Parquet; plain, .gz or .zst), a
        DataFrame, a pyarrow table, a DuckDB relation, or ``git:PATH``. ``name``: of the log; that of the file when not
        given. ``columns``: canonical name to a field of the source, to an SQL expression over its fields, or to None,
        which leaves the column out. ``time``: what times are when not ISO 8601 text: numbers of ``s``, ``ms``, ``us``
        or ``ns`` since 1970, or .NET ``ticks``; finer than microseconds is cut. ``base``: the version of a first event,
        0 or 1; inferred when not given. ``truncated``: ids or patterns of streams whose head is known to be missing.
        ``keys``: where metadata keeps what has a meaning, such as ``{"causation_id": "/causedBy"}``. ``append``: add a
        later batch to a log; one that overlaps is refused. ``strict``: the first reject stops the load.

        A field of a JSON source that becomes data or metadata keeps its exact JSON text. SQL expressions see any other
        field as text: of a string its content, of anything else its JSON, of null NULL. So where a payload is a string
        that holds JSON, ``columns={"data": '"payload"::varchar'}`` unwraps it.

        Every input record becomes an event or a reject (``log.rejects``). A load that fails, is interrupted or killed
        leaves no trace. Raises SourceError, which names file, line and remedy, NameTaken, and BenchError where the
        bench cannot be written.

        >>> import pandas as pd
        >>> rows = pd.DataFrame({"kind": ["Order"], "no": [7], "what": ["Placed"], "seq": [1]})
        >>> columns = {"stream_id": "kind || '-' || no", "event_type": "what", "version": "seq"}
        >>> log = open_bench().load(rows, "orders", columns=columns)
        >>> log.streams()["stream_id"].tolist()
        ['Order-7']
        """
        if base not in (None, 0, 1):
            raise SourceError(f"base is 0 or 1 (the version of a first event), not {base!r}")
        for key, pointer in (keys or {}).items():
            if key not in MEANINGS:
                raise SourceError(
                    f'keys: "{key}" has no meaning here.{nearest(key, MEANINGS)} Known: {", ".join(MEANINGS)}'
                )
            if not pointer.startswith("/"):
                raise SourceError(f'keys: "{pointer}" is not a JSON Pointer, such as "/causedBy"')
        source = _checked(source)
        name = _name(source) if name is None else name
        if not isinstance(name, str) or not name or "\0" in name:
            raise SourceError(f"a log needs a name: {name!r} is none")
        mapping = Columns(dict(columns or {}), clock=time)
        declared = {"base": base, "truncated": list(truncated), "keys": dict(keys or {})}
        adding = append and name in self
        if adding and declared != {"base": None, "truncated": [], "keys": {}}:
            raise SourceError(f'base, truncated and keys are declared when a log is first loaded, and "{name}" is')
        cursor = self.con.cursor()
        try:
            _show_progress(cursor)
            if not adding:
                store.free(cursor, name)
            staged = _stage(cursor, source, mapping)
            if adding:
                store.append(cursor, staged, mapping, name=name, strict=strict)
            else:
                store.create(cursor, staged, mapping, name=name, declared=declared, strict=strict)
        except (duckdb.InterruptException, RuntimeError) as error:
            # DuckDB says this of Ctrl-C.
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise
        except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
            if not mapping.given:
                raise BenchError(_why(self.path or "memory", str(error))) from error
            raise SourceError(
                f"columns: {str(error).splitlines()[0]} (try_cast gives NULL where cast stops)"
            ) from error
        except duckdb.Error as error:
            raise BenchError(_why(self.path or "memory", str(error))) from error
        finally:
            cursor.close()
        return self[name]

    def apply(
        self,
        run: DryRun,
        name: str,
        *,
        accept: Iterable[str] = (),
        to: str | os.PathLike[str] | None = None,
        keep_source_ids: bool = False,
    ) -> Log:
        """Make the log that a dry run computed, all or nothing, with the lineage of every event.

        ``accept`` names gates that may fail. ``to``: a bench file that is not there yet, which then holds this log and
        nothing else; a migration with private steps (mask, redact, pseudonymise, forget) needs one. Every table of that
        file and its bytes are then searched for the values that were replaced, and where one is found there is no file.
        ``keep_source_ids``: with the ids that the source's events had, by position, in ``esbench.source_ids``.

        Raises MigrationError where another gate fails, where the log has changed since the dry run, or where the result
        is not the same; NameTaken; and BenchError where the bench cannot be written.
        """
        if not isinstance(run, DryRun):
            raise MigrationError(f"bench.apply(log.dry_run(migration), name) applies a dry run, not {run!r:.80}")
        if not isinstance(name, str) or not name or "\0" in name:
            raise MigrationError(f"a log needs a name: {name!r} is none")
        if to is None and keep_source_ids:
            raise MigrationError("keep_source_ids= goes with to=: within a bench, lineage leads to the ids")
        cursor = self.con.cursor()
        try:
            _show_progress(cursor)
            if to is None:
                apply(cursor, run, name=name, accept=accept)
                return self[name]
            made = apply_elsewhere(cursor, run, name=name, to=to, accept=accept, keep_source_ids=keep_source_ids)
            return open_bench(made)[name]
        except (duckdb.InterruptException, RuntimeError) as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise
        except duckdb.Error as error:
            raise BenchError(_why(self.path or "memory", str(error))) from error
        finally:
            cursor.close()

    def __getitem__(self, name: str) -> Log:
        """The log of that name. Raises UnknownLog, with the nearest names."""
        source = catalog.events_of(self.con, catalog.entry(self.con, name))
        return Log(name, source, self.snapshots.of(name))

    def __contains__(self, name: object) -> bool:
        return any(found.name == name for found in catalog.entries(self.con))

    def logs(self) -> pd.DataFrame:
        """One row a log: name, events, streams, rejects, base, positions, notes."""
        return pd.DataFrame(
            [
                {
                    "log": found.name,
                    "events": found.events,
                    "streams": found.streams,
                    "rejects": found.rejects,
                    "base": found.facts.base,
                    "versions": "derived" if found.facts.derived_versions else "recorded",
                    "positions": found.facts.positions,
                    "notes": "; ".join(found.facts.notes),
                }
                for found in catalog.entries(self.con)
            ],
            columns=["log", "events", "streams", "rejects", "base", "versions", "positions", "notes"],
        ).astype({"base": "Int64"})

    def drop(self, name: str) -> None:
        """Remove a log and its rejects. Raises UnknownLog."""
        try:
            with self.con.cursor() as cursor:
                catalog.drop(cursor, name)
            self.snapshots.drop(name)
        except duckdb.Error as error:
            raise BenchError(_why(self.path or "memory", str(error))) from error

    @property
    def rejects(self) -> pd.DataFrame:
        """Input records that could not become events: log, source, line, reason, raw text."""
        return frame(self.con.cursor().sql(f"{catalog.REJECTS} order by log, source, record").to_arrow_table())

    def close(self) -> None:
        """Close the database; its logs can no longer be read."""
        self.con.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        found = catalog.entries(self.con)
        logs = [f"{show.cell(each.name, width=40)} ({show.count(each.events, 'event')})" for each in found[:_SHOWN]]
        more = [f"… {_SHOWN} of {show.count(len(found), 'log')}"] if len(found) > _SHOWN else []
        return f"Bench {self._place()}: {', '.join(logs + more) or 'no logs'}"

    def _repr_html_(self) -> str:
        logs = self.logs()
        return show.table(logs, title=f"Bench {self._place()}: {show.count(len(logs), 'log')}")

    def _place(self) -> str:
        return "in memory" if self.path is None else show.cell(self.path)


def _is_database(path: Path) -> bool:
    """Whether DuckDB would open a file as a database, or make one; of a CSV file it makes views in memory."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return True  # DuckDB says why not
    return not head or head[8:] == b"DUCK"


def _show_progress(con: duckdb.DuckDBPyConnection) -> None:
    """Let DuckDB draw its bar for what takes longer than two seconds where someone looks on, and nowhere else.

    By itself it also draws for a script without a file, such as ``python -c``, whose output may be read by a program.
    """
    con.execute(f"set enable_progress_bar = {str(watched(sys.stdout)).lower()}")


def _stage(cursor: duckdb.DuckDBPyConnection, source: Any, columns: Columns) -> Staged:
    """Choose the reader."""
    if frames.is_frame(source):
        return frames.stage(cursor, source, columns=columns)
    if isinstance(source, str) and source.startswith("git:"):
        return git.stage(cursor, source, columns=columns)
    return files.stage(cursor, source, columns=columns)


def _checked(source: Any) -> Any:
    """The source; several paths as a list. Raises SourceError for what no reader takes."""
    if frames.is_frame(source) or isinstance(source, str | os.PathLike):
        return source
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        paths = list(source)
        if not paths:
            raise SourceError("no file is named: nothing to load")
        if all(isinstance(path, str | os.PathLike) for path in paths):
            return paths
    raise SourceError(
        f"{_shown(source)} is no source: give a path, several, a DataFrame, an Arrow table or a DuckDB relation "
        "(rows in Python: pd.DataFrame(rows))"
    )


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.40}"


def _name(source: Any) -> str:
    """A log's name from its source: orders of data/orders.jsonl.gz."""
    if isinstance(source, str) and source.startswith("git:"):
        return Path(source[4:].split("@")[0] or ".").resolve().name.removesuffix(".git")
    if isinstance(source, str | os.PathLike):
        name = Path(source).name.split(".")[0]
        if name and not re.search(r"[*?\[\]]", name):
            return name
    raise SourceError("this source gives no name for the log: load(..., name=...)")


#: What DuckDB's message has in it, and what that means to someone who wants to open or to write a file.
_WHYS = (
    ("version number", "was written by a newer DuckDB than this {version}: pip install -U duckdb"),
    ("not a valid DuckDB", "is no DuckDB file: give bench.load() the events, es.open() takes a bench"),
    ("database does not exist", "is not there: open it without read_only=True to make it"),
    ("different configuration", "is open in this process already, with another read_only=: close it first"),
    ("attached in read-only mode", "is open with read_only=True: open it without, to change what is in it"),
    ("Permission denied", "cannot be written: copy it somewhere writable, or open it with read_only=True"),
    ("Read-only file system", "cannot be written: copy it somewhere writable, or open it with read_only=True"),
    ("Cannot open file", "cannot be made there: name a file in a folder that exists and can be written"),
    ("Is a directory", "is a directory: name a file in it"),
    ("No space left", "found its disk full: free some space and do it again; the bench is as it was"),
    ("File too large", "may not grow so far: move it or raise the limit, and do it again; the bench is as it was"),
    ("orrupt", "is damaged: take a copy of it from before"),
    ("Could not read enough bytes", "is truncated: take a copy of it from before"),
)


def _why(path: str, message: str) -> str:
    """What is wrong with a bench file, in the words of someone who wants to use it; then DuckDB's own."""
    first = message.splitlines()[0]
    if "Could not set lock" in message or "Conflicting lock" in message:
        holder = re.search(r"PID (\d+)", message)
        who = f"process {holder[1]}" if holder else "another process"
        return f"{path} is held open by {who}: close it there, or open it here and there with read_only=True"
    for part, meaning in _WHYS:
        if part in message:
            return f"{path} {meaning.format(version=duckdb.__version__)} ({first})"
    return f"{path}: {first}"

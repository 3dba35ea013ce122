"""What a migration made, in a bench file of its own: nothing of the source comes along, and that is proved.

Text that is replaced or dropped survives in the free pages of a bench, so what is to be gone goes into a file that
never held it. The file is written beside its name, searched, and only then gets it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import duckdb

from esbench import catalog
from esbench.catalog import lineage_of, record, transaction
from esbench.errors import BenchError
from esbench.event import literal, quote
from esbench.migrate.apply import accepted, allowed, entered, whole, written
from esbench.migrate.dry import DryRun
from esbench.migrate.private.leaks import GATE, Leak, in_bytes, in_events, in_tables, told
from esbench.migrate.private.originals import Originals, originals
from esbench.migrate.step import MigrationError
from esbench.show import count
from esbench.writing import named, part_of

__all__ = ["apply_elsewhere"]

#: Source ids are kept on request, and are then what they are.
_SOURCE_IDS = ("esbench", "source_ids")

_numbers = itertools.count(1)
_lock = threading.Lock()
#: Files that this process is writing, whose locks the system does not tell it about.
_busy: set[Path] = set()


def apply_elsewhere(
    con: duckdb.DuckDBPyConnection,
    run: DryRun,
    *,
    name: str,
    to: str | os.PathLike[str],
    accept: Iterable[str] = (),
    keep_source_ids: bool = False,
) -> Path:
    """Write what a dry run computed as the one log of a new bench file, whole or not at all; where it is.

    Lineage has positions of the source; ids of its events stand in ``esbench.source_ids`` where they are asked for.
    Raises BenchError for a file that is there, and MigrationError as :func:`~esbench.migrate.apply.apply` does, and
    where a value that a private step replaced is found in the file. Then there is no file.
    """
    allowed(con, run, accept)
    agreed = GATE in accepted(run, accept)
    target = _target(to)
    if not isinstance(name, str) or not name or "\0" in name:
        raise MigrationError(f"a log needs a name: {name!r} is none")
    run = whole(run, con, accept)
    values = originals(run.result)
    with _part(target) as part:
        _make(part)
        _write(con, run, name, part, keep_source_ids=keep_source_ids)
        _enter(run, name, part, values, agreed=agreed, keep_source_ids=keep_source_ids)
        if not agreed:
            _proved(in_bytes(part, values.without("event_id") if keep_source_ids else values))
        named(part, target)
    return target


def _make(part: Path) -> None:
    with duckdb.connect(str(part)) as new:
        catalog.prepare(new)


def _write(con: duckdb.DuckDBPyConnection, run: DryRun, name: str, part: Path, *, keep_source_ids: bool) -> None:
    """Write the tables. A transaction writes one database, so the rest follows on a connection to the file itself."""
    alias = quote(f"esbench elsewhere {next(_numbers)}")
    con.execute(f"attach {literal(str(part))} as {alias} (read_write)")
    try:
        with transaction(con):
            written(con, run, name, database=f"{alias}.")
            if keep_source_ids:
                events = run.result.source
                con.execute(
                    f"""
                    create table {alias}.{".".join(_SOURCE_IDS)} as
                    {events.whole("select position, event_id from events where event_id is not null order by position")}
                    """,
                    dict(events.parameters),
                )
    except BaseException:
        # What failed is told, not that this fails as well.
        with suppress(duckdb.Error):
            con.execute(f"detach {alias}")
        raise
    con.execute(f"detach {alias}")


def _enter(run: DryRun, name: str, part: Path, values: Originals, *, agreed: bool, keep_source_ids: bool) -> None:
    """Put the log into the catalog of its file, and search every table."""
    with duckdb.connect(str(part)) as new:
        new.execute("set global TimeZone = 'UTC'")
        with transaction(new):
            sources = [f"{each} of another bench" for each in (run.name, *run.joined)]
            made = entered(new, run, name, sources=[values.blotted(each) for each in sources], said=values.blotted)
        if not len(values):
            return
        but = (("log", name), _SOURCE_IDS) if keep_source_ids else (("log", name),)
        note = f"{count(len(values), 'value')} that it replaced were looked for in every table of this file"
        if agreed:
            note += f", and it was accepted that some are left ({GATE})"
        else:
            _proved(itertools.chain(in_events(lineage_of(new, made), values), in_tables(new, values, but=but)))
            note += " when it was made, and none was found"
        with transaction(new):
            notes = (*made.facts.notes, note)
            record(new, name, replace(made.facts, notes=notes), made.declared, ordered=made.ordered)
        new.execute("checkpoint")


def _proved(leaks: Iterator[Leak]) -> None:
    found = list(itertools.islice(leaks, 20))
    if found:
        raise MigrationError(
            f"{GATE}: {told(found)}. Nothing was made. Replace it there too, or accept it: apply(…, accept=[{GATE!r}])"
        )


def _target(to: str | os.PathLike[str]) -> Path:
    """The file that a path leads to. Raises BenchError where it may not be made."""
    if not isinstance(to, str | os.PathLike) or not os.fspath(to):
        raise BenchError(f"to= is the path of a bench file that is to be made, not {to!r:.80}")
    target = Path(os.path.realpath(Path(to).expanduser()))
    if os.path.lexists(target):
        raise BenchError(f"{target} is there already: a migration goes into a file that never held anything else")
    if not target.parent.is_dir():
        raise BenchError(f"{target}: there is no folder {target.parent}")
    return target


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A file name to write under, of which nothing is left, unless the process is killed; the next run clears that."""
    part = part_of(target)
    with _lock:
        if part in _busy:
            raise BenchError(f"{target} is being written by this process just now")
        _busy.add(part)
    try:
        if part.exists():
            _left_behind(part, target)
        _clear(part)
        try:
            yield part
        finally:
            _clear(part)
    finally:
        with _lock:
            _busy.discard(part)


def _left_behind(part: Path, target: Path) -> None:
    """Refuse to clear a part that another process is writing."""
    try:
        duckdb.connect(str(part)).close()
    except duckdb.Error as error:
        if "lock" in str(error):
            raise BenchError(f"{target}: another process is writing it just now ({part})") from error


def _clear(part: Path) -> None:
    for each in (part, part.with_name(f"{part.name}.wal")):
        with suppress(OSError):
            each.unlink(missing_ok=True)
    shutil.rmtree(part.with_name(f"{part.name}.tmp"), ignore_errors=True)

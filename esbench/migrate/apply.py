"""What a migration made, as a log of the bench: one pass, all or nothing, with lineage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import duckdb

from esbench.catalog import Entry, entries, lineage_of, record, transaction
from esbench.errors import nearest
from esbench.event import CANONICAL, quote
from esbench.events import ORDER
from esbench.migrate.carrying import carry_over
from esbench.migrate.counts import Digest, hashed
from esbench.migrate.dry import DryRun, Extension, dry_run
from esbench.migrate.stamp import stamp
from esbench.migrate.step import MigrationError
from esbench.show import count
from esbench.store import free

__all__ = ["accepted", "allowed", "apply", "entered", "whole", "written"]

#: Lineage columns of a stored log: NULL where a row has its source's position.
_STORED = "case when origin <> position then origin end as origin, others, nth, steps, source"


def apply(con: duckdb.DuckDBPyConnection, run: DryRun, *, name: str, accept: Iterable[str] = ()) -> Entry:
    """Write what a dry run computed as a new log, in one transaction.

    Raises NameTaken, and MigrationError where the run was of a sample or of a view, where a gate fails that is not
    accepted by name, where the log has changed since, and where the result is not the dry run's: then nothing is
    written.
    """
    allowed(con, run, accept)
    if run.migration.private:
        private = ", ".join(str(n) for n, step in enumerate(run.migration.steps, start=1) if step.private)
        raise MigrationError(
            f"{run.migration.name}: step {private} replaces private values, and deleted text survives in the free "
            'pages of a bench: apply it to a file of its own, bench.apply(run, name=…, to="private.duckdb")'
        )
    if isinstance(run, Extension) and run.log == name and any(found.name == name for found in entries(con)):
        return carry_over(con, run, name)
    free(con, name)
    run = whole(run, con, accept)
    with transaction(con):
        written(con, run, name)
        return entered(con, run, name)


def whole(run: DryRun, con: duckdb.DuckDBPyConnection, accept: Iterable[str]) -> DryRun:
    """The run of all events, where this one is of those that were appended."""
    if not isinstance(run, Extension):
        return run
    found = dry_run(run.source, run.migration, name=run.name, checks=run.findings is not None)
    allowed(con, found, accept)
    return found


def written(con: duckdb.DuckDBPyConnection, run: DryRun, name: str, *, database: str = "") -> None:
    """Write the tables of a log; ``database`` is SQL that stands before their names where they go into another one."""
    work = run.result.work.events
    order = "" if work.ordered else f" order by {ORDER}, nth"
    log = f"{database}log.{quote(name)}"
    con.execute(f"create table {log} as {work.whole(_selected(order))}", dict(work.parameters))
    con.execute(
        f"""
        create table {database}stream.{quote(name)} as
        select stream_key, any_value(stream_id) as stream_id from {log} group by all order by all
        """
    )
    con.execute(
        f"insert into {database}esbench.dropped "
        + work.whole(f"select $_log, source, origin, step from ({run.result.dropped})"),
        {**work.parameters, "_log": name},
    )


def entered(
    con: duckdb.DuckDBPyConnection,
    run: DryRun,
    name: str,
    *,
    sources: Sequence[str] | None = None,
    said: Callable[[str], str] = str,
) -> Entry:
    """Put a log whose tables are written into the catalog. Raises MigrationError where they are not the dry run's.

    ``sources`` are the names of the logs that it was made of, where they are not in this bench under theirs; ``said``
    is what becomes of all that is told of the migration.
    """
    migration = run.migration
    facts = run.result.work.events.facts
    notes = (*map(said, facts.notes), said(f"made of {run.name} by migration {migration.name}"))
    made = record(
        con,
        name,
        replace(facts, notes=notes),
        {"derived": True, "run": run.number, "issued": run.result.work.added},
        ordered=True,
    )
    # On this connection, since no other sees the log before the end.
    ((rows, total),) = con.execute(
        lineage_of(con, made).whole(f"select count(*), {hashed(migration)}::varchar from events")
    ).fetchall()
    expected = run.counts.digest
    if Digest(rows, int(total)) != expected:
        raise MigrationError(
            f"{migration.name}: applying it gave other events than the dry run ({rows:,} rows, dry run "
            f"{expected.rows:,}): a function in it is not deterministic. Nothing was written"
        )
    con.execute(
        """
        insert into esbench.derived (log, sources, migration, text, steps)
        values ($log, $sources, $migration, $text, $steps)
        """,
        {
            "log": name,
            "sources": json.dumps([run.name, *run.joined] if sources is None else list(sources)),
            "migration": said(migration.name),
            "text": said(migration.text),
            "steps": json.dumps([said(step.sentence) for step in migration.steps]),
        },
    )
    return made


def accepted(run: DryRun, accept: Iterable[str]) -> list[str]:
    """The names of gates that may fail. Raises MigrationError, with the nearest, for one that the run has not."""
    wanted = [accept] if isinstance(accept, str) else list(accept)
    names = [gate.name for gate in run.gates]
    for name in wanted:
        if name not in names:
            known = nearest(name, names) or f" It has {', '.join(names)}."
            raise MigrationError(f'no gate "{name}" in this run.{known}')
    return wanted


def allowed(con: duckdb.DuckDBPyConnection, run: DryRun, accept: Iterable[str]) -> None:
    """Refuse what may not be applied: a sample, a gate that fails and is not accepted, a log that has changed."""
    if run.sample is not None:
        raise MigrationError(f"this dry run saw a sample of {run.sample:,} streams: run it without sample= to apply it")
    passing = accepted(run, accept)
    failed = [gate for gate in run.gates if gate.status == "failed" and gate.name not in passing]
    if failed:
        told = "\n".join(f"  {gate.name}: {gate.text}" for gate in failed)
        named = ", ".join(repr(gate.name) for gate in failed)
        raise MigrationError(
            f"{run.migration.name}: {count(len(failed), 'gate')} failed, nothing was made\n{told}\n"
            f"  mend the migration, or accept each by name: apply(…, accept=[{named}])"
        )
    _unchanged(con, run)


def _unchanged(con: duckdb.DuckDBPyConnection, run: DryRun) -> None:
    """Refuse when a log is not the one that the dry run saw."""
    beside = run.result.work.scratch.name
    if not con.execute("select 1 from duckdb_databases() where database_name = $name", {"name": beside}).fetchall():
        raise MigrationError(f'the dry run of "{run.name}" is of another bench: run it on the log of this one')
    for name, then in {run.name: run.stamp, **run.joined}.items():
        if then is None:
            raise MigrationError(f'"{name}" is not stored in the bench: a migration is applied to a log that is')
        if not any(found.name == name for found in entries(con)):
            raise MigrationError(f'"{name}" is no longer in the bench')
        now = stamp(con, name)
        if now.table != then.table:
            raise MigrationError(f'"{name}" was dropped and loaded anew since the dry run: run it again')
        if now != then:
            more = now.events - then.events
            added, those = ("1 event was", "it") if more == 1 else (f"{count(more, 'event')} were", "those")
            raise MigrationError(
                f'{added} appended to "{name}" since the dry run: run = run.extend() dry-runs {those} too'
            )


def _selected(order: str) -> str:
    return f"select stream_key, {', '.join(CANONICAL)}, {_STORED} from events{order}"

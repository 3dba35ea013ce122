"""What a migration made, as a log of the bench: one pass, all or nothing, with lineage."""

from __future__ import annotations

import json
from collections.abc import Iterable
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

__all__ = ["accepted", "apply"]

#: Lineage columns of a stored log: NULL where a row has its source's position.
_STORED = "case when origin <> position then origin end as origin, others, nth, steps, source"


def apply(con: duckdb.DuckDBPyConnection, run: DryRun, *, name: str, accept: Iterable[str] = ()) -> Entry:
    """Write what a dry run computed as a new log, in one transaction.

    Raises NameTaken, and MigrationError where the run was of a sample or of a view, where a gate fails that is not
    accepted by name, where the log has changed since, and where the result is not the dry run's: then nothing is
    written.
    """
    _allowed(run, accept)
    _unchanged(con, run)
    if isinstance(run, Extension) and run.log == name:
        return carry_over(con, run, name)
    free(con, name)
    if isinstance(run, Extension):
        run = dry_run(run.source, run.migration, name=run.name, checks=run.findings is not None)
        _allowed(run, accept)
    work, migration = run.result.work.events, run.migration
    order = "" if work.ordered else f" order by {ORDER}, nth"
    with transaction(con):
        con.execute(f"create table log.{quote(name)} as {work.whole(_selected(order))}", dict(work.parameters))
        con.execute(
            f"""
            create table stream.{quote(name)} as
            select stream_key, any_value(stream_id) as stream_id from log.{quote(name)} group by all order by all
            """
        )
        facts = replace(work.facts, notes=(*work.facts.notes, f"made of {run.name} by migration {migration.name}"))
        made = record(con, name, facts, {"derived": True, "run": run.number}, ordered=True)
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
            f"insert into esbench.dropped select $_log, source, origin, step from ({run.result.dropped})",
            {**work.parameters, "_log": name},
        )
        con.execute(
            """
            insert into esbench.derived (log, sources, migration, text, steps)
            values ($log, $sources, $migration, $text, $steps)
            """,
            {
                "log": name,
                "sources": json.dumps([run.name, *run.joined]),
                "migration": migration.name,
                "text": migration.text,
                "steps": json.dumps([step.sentence for step in migration.steps]),
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


def _allowed(run: DryRun, accept: Iterable[str]) -> None:
    """Refuse what may not be applied: a sample, and a gate that fails and is not accepted."""
    if run.sample is not None:
        raise MigrationError(f"this dry run saw a sample of {run.sample:,} streams: run it without sample= to apply it")
    accepted = [accept] if isinstance(accept, str) else list(accept)
    names = [gate.name for gate in run.gates]
    for name in accepted:
        if name not in names:
            raise MigrationError(
                f'no gate "{name}" in this run.{nearest(name, names) or " It has " + ", ".join(names)}'
            )
    failed = [gate for gate in run.gates if gate.status == "failed" and gate.name not in accepted]
    if failed:
        told = "\n".join(f"  {gate.name}: {gate.text}" for gate in failed)
        named = ", ".join(repr(gate.name) for gate in failed)
        raise MigrationError(
            f"{run.migration.name}: {count(len(failed), 'gate')} failed, nothing was made\n{told}\n"
            f"  mend the migration, or accept each by name: apply(…, accept=[{named}])"
        )


def _unchanged(con: duckdb.DuckDBPyConnection, run: DryRun) -> None:
    """Refuse when a log is not the one that the dry run saw."""
    for name, then in {run.name: run.stamp, **run.joined}.items():
        if then is None:
            raise MigrationError(f'"{name}" is not stored in the bench: a migration is applied to a log that is')
        if not any(found.name == name for found in entries(con)):
            raise MigrationError(f'"{name}" is no longer in the bench, or the run is of another bench')
        now = stamp(con, name)
        if now.table != then.table:
            raise MigrationError(f'"{name}" was dropped and loaded anew since the dry run: run it again')
        if now != then:
            added = count(now.events - then.events, "event")
            raise MigrationError(
                f'{added} were appended to "{name}" since the dry run: run = run.extend() dry-runs those too'
            )


def _selected(order: str) -> str:
    return f"select stream_key, {', '.join(CANONICAL)}, {_STORED} from events{order}"

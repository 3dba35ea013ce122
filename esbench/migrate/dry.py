"""The dry run: everything that a migration would do, computed without making the new log."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import duckdb
import pandas as pd

from esbench.aggregate import Aggregate
from esbench.catalog import entries, entry
from esbench.event import At
from esbench.events import Events
from esbench.fold.progress import stage
from esbench.migrate.counts import counted
from esbench.migrate.differences import differences
from esbench.migrate.doubts import doubts
from esbench.migrate.findings import found
from esbench.migrate.gates import Seen, judged
from esbench.migrate.migration import Migration
from esbench.migrate.private.leaks import concealed, no_original_left, silent, unnamed
from esbench.migrate.running import Result, kept, run
from esbench.migrate.stamp import Stamp, stamp
from esbench.migrate.step import MigrationError
from esbench.migrate.steps.upcasting import chains_complete
from esbench.migrate.telling import Told
from esbench.show import cell

__all__ = ["DryRun", "Extension", "dry_run", "failures", "looked"]


@dataclass(frozen=True, repr=False, eq=False)
class DryRun(Told):
    """What a migration would do to a log: counts, payload changes, failures, findings before and after, gates.

    ``passed``: no gate fails. ``events`` are the migrated events, as any verb takes them; nothing of them is stored.
    ``stamp`` tells what the log was, ``joined`` what others were that came in.
    """

    source: Events
    stamp: Stamp | None
    joined: Mapping[str, Stamp | None] = field(default_factory=dict)
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def position_map(self) -> duckdb.DuckDBPyRelation:
        """For translating consumers' checkpoints: ``old_position`` and ``new_position``, one row a source event.

        A consumer that has handled everything up to an old position has handled everything up to the new one, and
        never more: what is not yet covered comes again, nothing is missed.
        """
        return position_map(self.result)

    def extend(self) -> DryRun:
        """The run with the events that were appended to the log since; the same when there are none.

        Once a log was made of it, and where every step looks at one stream at a time, only the streams that got events
        are run again, and ``bench.apply(run.extend(), name=…)`` with the same name adds what is new to that log.
        Raises MigrationError where the log is another one by now.
        """
        return extend(self)

    def explore(self, *things: Any, **spec: Any) -> Any:
        """A widget for a notebook: the migration desk, see :func:`esbench.widgets.explore`."""
        return import_module("esbench.widgets").explore(self, *things, **spec)

    @property
    def events(self) -> Events:
        """The migrated events."""
        return self.result.events


def dry_run(
    source: Events,
    migration: Migration,
    *,
    name: str,
    sample: int | None = None,
    checks: bool = True,
    executor: Executor | None = None,
) -> DryRun:
    """Run a migration over a log without making anything.

    ``sample``: only so many streams, always the same ones of a log; such a run cannot be applied. ``checks``: look for
    findings before and after. Raises MigrationError for a step that does not stand over the events.
    """
    # Events that are appended meanwhile are not part of this run.
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1):
        raise MigrationError(f"sample= is so many streams, at least one, not {sample!r}")
    source, now = _current(source)
    taken = source if now is None else source.at(At(position=now.last))
    taken = taken if sample is None else sampled(taken, sample)
    seen = looked(taken, migration, checks=checks, executor=executor)
    joined = {
        named: stamp(other.con, named) if other.within == named else None for named, other in seen["result"].work.joined
    }
    return DryRun(**seen, name=name, source=source, stamp=now, sample=sample, joined=joined)


def _current(source: Events) -> tuple[Events, Stamp | None]:
    """Events of a stored log as it is known now, and its stamp: a later batch may have come without their knowing."""
    if source.within is None:
        return source, None
    now, known = stamp(source.con, source.within), entry(source.con, source.within)
    return replace(source, facts=known.facts, ordered=source.ordered and known.ordered), now


def looked(source: Events, migration: Migration, *, checks: bool, executor: Executor | None = None) -> dict[str, Any]:
    """What a dry run sees in some events."""
    result = run(source, migration, executor=executor)
    if migration.form == "Python" or migration.private:
        stage("running your functions")
        result = kept(result)
    stage("counting what becomes of events")
    counts = counted(result, migration)
    old, new = aggregates_of(migration)
    if checks:
        stage("looking for findings before and after")
    findings = found(result, old, new) if checks else None
    stage("comparing events before and after")
    changes = differences(result, counts.changed_rows)
    stage("judging gates")
    gates = judged(Seen(migration, result, counts, findings, executor), [chains_complete, no_original_left])
    failed = failures(result, counts.failed_rows)
    if migration.private:
        # What is shown, or pasted into a pull request, must not quote what is to be forgotten.
        changes, failed, gates = concealed(changes), unnamed(failed), tuple(map(silent, gates))
    return {
        "migration": migration,
        "result": result,
        "counts": counts,
        "changes": changes,
        "failures": failed,
        "findings": findings,
        "warnings": tuple(doubts(result, counts)),
        "gates": gates,
    }


def aggregates_of(migration: Migration) -> tuple[list[Aggregate], list[Aggregate]]:
    """The old and the new aggregates that the gates of a migration name."""
    pairs = [(gate.old, gate.new) for gate in migration.gates if hasattr(gate, "old") and hasattr(gate, "new")]
    return [old for old, _ in pairs], [new for _, new in pairs]


@dataclass(frozen=True, repr=False, eq=False)
class Extension(DryRun):
    """A dry run of the streams that got events since another, of number ``of``, which ``log`` was made of."""

    log: str = ""
    of: str = ""
    since: int = 0

    @property
    def position_map(self) -> duckdb.DuckDBPyRelation:
        """As of any dry run, of the whole log."""
        assert self.stamp is not None
        return position_map(run(self.source.at(At(position=self.stamp.last)), self.migration))


def extend(run: DryRun) -> DryRun:
    """The dry run with the events that were appended since; itself when there are none.

    Once a log was made of it, only what has to be is run again, and ``bench.apply(run, name=…)`` with the same name
    adds it to that log. Raises MigrationError where the log is another one now.
    """
    if run.stamp is None or run.sample is not None:
        raise MigrationError("only a dry run of a whole stored log can be extended")
    con = run.source.con
    now = stamp(con, run.name)
    if now.table != run.stamp.table:
        raise MigrationError(f'"{cell(run.name)}" was dropped and loaded anew since the dry run: run it again')
    if now == run.stamp and all(stamp(con, name) == then for name, then in run.joined.items()):
        return run
    made = [found.name for found in entries(con) if found.declared.get("run") == run.number]
    if not made or not all(step.local for step in run.migration.steps):
        return dry_run(run.source, run.migration, name=run.name, checks=run.findings is not None)
    source, _ = _current(run.source)
    upto = source.at(At(position=now.last))
    affected = [
        key
        for (key,) in upto.rows("select distinct stream_key from events where position > $_seam", _seam=run.stamp.last)
    ]
    part = upto.where("stream_key in (select unnest($_affected::bigint[]))", _affected=affected)
    whole = looked(replace(part, ordered=False), run.migration, checks=run.findings is not None)
    return Extension(
        **whole,
        name=run.name,
        source=source,
        stamp=now,
        sample=None,
        log=made[-1],
        of=run.number,
        since=run.stamp.last,
    )


def sampled(source: Events, streams: int) -> Events:
    """The events of so many streams, chosen by their ids alone."""
    keys = [
        key
        for (key,) in source.rows(
            """
            select stream_key from (select distinct stream_key, stream_id from events)
            order by md5(stream_id), stream_id limit $n
            """,
            n=streams,
        )
    ]
    # A semi-join does not promise to keep the order.
    return replace(source.where("stream_key in (select unnest($_sampled::bigint[]))", _sampled=keys), ordered=False)


def position_map(result: Result) -> duckdb.DuckDBPyRelation:
    """For each source position the highest new one up to which everything comes from events up to the old one."""
    work = result.work.events
    made = f"""
        with reached as (
            select position, max(latest) over (order by position) as latest
            from (
                -- What comes from elsewhere no consumer of this log has seen.
                select position, case when source = 0 and origin is not null
                    then greatest(origin, list_max(others)) else {2**63 - 1} end as latest
                from ({work.query})
            )
        ),
        steps as (select latest, max(position) as position from reached group by latest)
        select old.position as old_position,
            coalesce(steps.position, (select least(min(position) - 1, 0) from reached), 0) as new_position
        from (select position from ({result.source.query})) as old
        asof left join steps on old.position >= steps.latest
        order by old_position
    """
    # Held in memory, because the tables beside the bench go with the run.
    cursor = work.con.cursor()
    return cursor.from_arrow(cursor.sql(made, params={**result.source.parameters, **work.parameters}).to_arrow_table())


def failures(result: Result, count: int | None = None, *, limit: int = 1_000) -> pd.DataFrame:
    """Events on which a function failed: step, place, type and what it raised; ``attrs["count"]`` counts all.

    ``count``: how many there are, where that is known.
    """
    work = result.work.events
    if count is None:
        count = work.rows("select count(*) from events where failed is not null")[0][0]
    rows = work.df(
        f"""
        select failed + 1 as step, source, origin as position, stream_id, version, event_type, failure as error
        from events where failed is not null order by failed, source, origin, nth limit {limit if count else 0}
        """
    )
    rows.insert(1, "does", [result.migration.steps[step - 1].sentence for step in rows["step"]])
    rows.attrs["count"] = count
    return rows

"""Gates: what a dry run must meet before it may be applied. Nothing comparable is never passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, Protocol

import pandas as pd

from esbench.migrate.counts import HASH, Counts, counted
from esbench.migrate.findings import GAPS, Findings
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.show import count

__all__ = ["STATED", "Gate", "Outcome", "Seen", "judged"]

#: So many events that fail a gate are named.
STATED = 20

Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a gate; ``details`` are the streams, versions and values that fail it."""

    name: str
    status: Status
    text: str
    details: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a gate looks at."""

    migration: Migration
    result: Result
    counts: Counts
    findings: Findings | None = None
    executor: Executor | None = None


class Gate(Protocol):
    """A condition on a dry run."""

    @property
    def name(self) -> str:
        """By which it is accepted."""

    def judge(self, seen: Seen) -> Outcome:
        """Whether a dry run meets it."""


def judged(seen: Seen, others: Sequence[Callable[[Seen], Outcome | None]] = ()) -> tuple[Outcome, ...]:
    """The gates that always apply, then those of the migration; ``others`` are such as apply to some steps."""
    always = (_accounted, _no_failures, *others, _same_again, _idempotent, _no_gap, _no_finding)
    outcomes = [outcome for gate in always if (outcome := gate(seen)) is not None]
    return (*outcomes, *(gate.judge(seen) for gate in seen.migration.gates))


def _accounted(seen: Seen) -> Outcome:
    """Every event of the source has exactly one fate."""
    fates, before = seen.counts.fates, seen.counts.before
    sums = " + ".join(f"{n:,} {fate}" for fate, n in fates.items() if n) or "0"
    total = sum(fates.values())
    text = f"{count(before, 'event')} = {sums}"
    if total == before:
        return Outcome("every event is accounted for", "passed", text)
    return Outcome("every event is accounted for", "failed", f"{text}, which are {total:,}")


def _no_failures(seen: Seen) -> Outcome:
    """No function failed on an event."""
    failed = seen.counts.fates["failed"]
    name = "no event fails"
    if not failed:
        return Outcome(name, "passed", "no step failed on an event")
    steps = seen.counts.steps
    where = ", ".join(f"{row.failed:,} at step {row.step}" for row in steps[steps["failed"] > 0].itertuples())
    named = seen.result.work.events.df(
        f"""
        select failed + 1 as step, stream_id, version, event_type, failure as error
        from events where failed is not null order by failed, source, origin, nth limit {STATED}
        """
    )
    return Outcome(name, "failed", f"{count(failed, 'event')} would stay as they are: {where}", named)


def _same_again(seen: Seen) -> Outcome:
    """Running it once more gives the same."""
    name = "running twice gives the same"
    if seen.migration.form == "SQL":
        return Outcome(name, "passed", "every step is SQL without functions of yours")
    again = run(seen.result.source, seen.migration, executor=seen.executor)
    rows, total = again.work.events.rows(f"select count(*), {HASH}::varchar from events")[0]
    digest = seen.counts.digest
    if (rows, int(total)) == (digest.rows, digest.total):
        return Outcome(name, "passed", f"all {count(rows, 'event')} came out the same in a second run")
    return Outcome(name, "failed", "a second run gave other events", _differing(seen.result, again))


def _differing(first: Result, second: Result) -> pd.DataFrame:
    """Some of the events that differ between two runs, as they stand in either."""
    one, other = first.work.events, second.work.events
    hashed = f"select source, origin, nth, stream_id, version, event_type, {HASH} as hashed"
    return one.df(
        f"""
        select min(origin) as origin, any_value(stream_id) as stream_id, min(version) as version,
            any_value(event_type) as event_type
        from (
            {hashed} from events group by all union all {hashed} from ({other.query}) group by all
        )
        group by source, origin, nth
        having count(*) <> 2 or count(distinct hashed) <> 1
        order by source, origin, nth limit {STATED}
        """,
        **other.parameters,
    )


def _idempotent(seen: Seen) -> Outcome | None:
    """Migrating the result again changes nothing."""
    if not seen.migration.idempotent:
        return None
    name = "migrating the result again changes nothing"
    second = run(seen.result.events, seen.migration, executor=seen.executor)
    again = counted(second, seen.migration)
    if not again.changed:
        return Outcome(name, "passed", f"all {count(again.before, 'event')} stay as they are")
    told = ", ".join(f"{n:,} {fate}" for fate, n in again.fates.items() if n and fate != "kept")
    named = second.work.events.df(
        f"""
        select stream_id, version, event_type from ({second.source.query})
        where position in (
            select unnest(list_concat([origin], others)) from events where steps <> 0 or failed is not null
            union all select origin from ({second.dropped})
        )
        order by position limit {STATED}
        """
    )
    return Outcome(name, "failed", f"the second time: {told}", named)


def _no_gap(seen: Seen) -> Outcome:
    """No version is missing that was there."""
    name = "no new gap"
    if seen.findings is None:
        return Outcome(name, "not applicable", "findings were not looked for (checks=False)")
    if seen.result.source.facts.derived_versions:
        return Outcome(name, "not applicable", "versions are numbered by the loader")
    new = seen.findings.new
    gaps = new[new["check"].isin(GAPS) & (new["severity"] != "info")]
    if gaps.empty:
        return Outcome(name, "passed", "no version is missing that was there")
    return Outcome(name, "failed", f"{count(len(gaps), 'gap')} that were not there", gaps)


def _no_finding(seen: Seen) -> Outcome:
    """No finding that has no counterpart before."""
    name = "no new finding"
    if seen.findings is None:
        return Outcome(name, "not applicable", "findings were not looked for (checks=False)")
    new = seen.findings.new
    others = new[~new["check"].isin(GAPS) & (new["severity"] != "info")]
    if others.empty:
        gone, mild = len(seen.findings.gone), int((new["severity"] == "info").sum())
        told = f"{f' but {mild:,} of severity info' if mild else ''}{f', {gone:,} are gone' if gone else ''}"
        return Outcome(name, "passed", f"no finding is new{told}")
    told = ", ".join(f"{n:,} {check}" for check, n in others["check"].value_counts().items())
    return Outcome(name, "failed", f"new: {told}", others)

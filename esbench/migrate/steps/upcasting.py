"""Upcasters: pure functions that lift the payload of one event type from a schema version to the next.

They are steps of a migration, and the same ones serve on read: a view of a log, through which every verb works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from esbench.events import Events
from esbench.migrate.gates import STATED, Outcome, Seen
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.migrate.step import MigrationError, Step, Which, name_of, which
from esbench.migrate.work import Work, called
from esbench.payload import functions
from esbench.show import cell

__all__ = ["Upcast", "chain", "chains_complete", "upcast", "upcasted"]


@dataclass(frozen=True, repr=False)
class Upcast(Step):
    """Lifts one event type from one schema version to the next; an event without a version has version 1."""

    from_: int = field(kw_only=True)
    to: int = field(kw_only=True)
    function: Callable[[Any], Any] = field(kw_only=True)
    #: Kept alive, since the engine knows it by a number only.
    call: functions.Call = field(kw_only=True, compare=False)

    @property
    def type(self) -> str:
        """The event type."""
        return self.which.types[0]

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.function): self.function}

    @property
    def sentence(self) -> str:
        return f"upcast {cell(self.type)} from {self.from_} to {self.to} by {name_of(self.function)}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        hit = f"{hit} and coalesce(schema_version, 1) = {self.from_} and data is not null"
        return called(work, number, hit, self.call, also={"schema_version": f"{self.to}::bigint"}, **bound)


def upcast(
    type: str,
    from_: int,
    to: int,
    function: Callable[[Any], Any],
    *,
    streams: str | None = None,
    where: str | None = None,
) -> Upcast:
    """Lift payloads of an event type from one schema version to the next with ``function(data) -> data``.

    The function gets the decoded payload, afresh for every event, and returns the new one; what it does not touch keeps
    its text. An event without a schema version has version 1. One on which it raises stays as it is, marked as failed.

    >>> upcast("OrderPlaced", 1, 2, lambda data: {**data, "currency": "EUR"})
    upcast OrderPlaced from 1 to 2 by <lambda>
    """
    for name, value in (("from_", from_), ("to", to)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise MigrationError(f"upcast {type!r}: {name}={value!r} is no schema version, which is an integer")
    if to <= from_:
        raise MigrationError(f"upcast {type!r}: from {from_} to {to} leads back; an upcaster leads to a later version")
    if not callable(function):
        raise MigrationError(f"upcast {type!r}: {function!r} is no function of a payload")
    taken = which(type, streams=streams, where=where)
    if len(taken.types) != 1:
        raise MigrationError("an upcaster is for one event type")
    return Upcast(taken, from_=from_, to=to, function=function, call=functions.upcast_text(function))


def chain(upcasters: Iterable[Upcast]) -> Migration:
    """Upcasters in the order in which they are to run, as a migration. Raises MigrationError for a broken chain."""
    given = list(upcasters)
    for each in given:
        if not isinstance(each, Upcast):
            raise MigrationError(f"a chain is made of es.upcast(...), not of {each!r:.80}")
    listed = sorted(given, key=lambda step: (step.type, step.from_))
    for problem in _problems(listed).values():
        raise MigrationError(problem)
    return Migration("upcasters", listed)


def upcasted(events: Events, upcasters: Iterable[Upcast]) -> Result:
    """The events as they are after a chain of upcasters; nothing is stored, each is lifted when it is read."""
    return run(events, chain(upcasters))


def chains_complete(seen: Seen) -> Outcome | None:
    """The gate: every upcaster chain is complete, has no two steps for one version, and leads each event to its end."""
    steps = [step for step in seen.migration.steps if isinstance(step, Upcast)]
    if not steps:
        return None
    name = "upcaster chains are complete"
    problems = _problems(steps)
    ends = {step.type: max(each.to for each in steps if each.type == step.type) for step in steps}
    rows = seen.result.events.rows(
        """
        select event_type, coalesce(schema_version, 1) as at_version, count(*)
        from events where event_type in (select unnest($_types)) group by all order by all
        """,
        _types=sorted(ends),
    )
    left = [
        f"{n:,} {cell(event_type)} stay at version {version} of {ends[event_type]}"
        for event_type, version, n in rows
        if version < ends[event_type]
    ]
    told = [*problems.values(), *left]
    if told:
        stuck = seen.result.events.df(
            f"""
            select stream_id, version, event_type, schema_version
            from events join (select unnest($_types) as event_type, unnest($_ends) as last) using (event_type)
            where coalesce(schema_version, 1) < last order by position limit {STATED}
            """,
            _types=sorted(ends),
            _ends=[ends[event_type] for event_type in sorted(ends)],
        )
        return Outcome(name, "failed", "; ".join(told), stuck)
    reached = ", ".join(f"{cell(event_type)} at {end}" for event_type, end in sorted(ends.items()))
    return Outcome(name, "passed", f"every event reaches the end of its chain: {reached}")


def _problems(steps: Iterable[Upcast]) -> dict[str, str]:
    """What is wrong with the chains, by event type."""
    found: dict[str, str] = {}
    by_type: dict[str, list[Upcast]] = {}
    for step in steps:
        by_type.setdefault(step.type, []).append(step)
    for event_type, listed in by_type.items():
        # Two that differ in their streams or condition may share a version between them.
        known: dict[tuple[int, Which], Upcast] = {}
        for step in listed:
            other = known.setdefault((step.from_, step.which), step)
            if other is not step:
                found[event_type] = (
                    f"{cell(event_type)} has two upcasters from version {step.from_}: {other.sentence}, {step.sentence}"
                )
        starts = {step.from_ for step in listed}
        reached = {step.to for step in listed}
        end = max(reached)
        for stop in sorted(reached):
            if stop != end and stop not in starts:
                found.setdefault(
                    event_type, f"the chain of {cell(event_type)} has a hole: nothing leads on from version {stop}"
                )
    return found

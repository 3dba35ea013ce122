"""Meaning checks: what is wrong with the states that an aggregate makes of a log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

from esbench.aggregate import Aggregate, covered
from esbench.checks import lifecycle, repeatable, snapshots
from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.reader import Reader
from esbench.checks.structure import DAMAGE
from esbench.fold import keyed, sql
from esbench.fold.absent import absent
from esbench.fold.changes import brief
from esbench.fold.commits import within_commits
from esbench.fold.parallel import doubtful
from esbench.fold.python import Step, holds, steps
from esbench.fold.reading import narrowed
from esbench.projection import Projection

__all__ = ["CHECKS", "find", "undeclared", "with_damage"]


def _tell_invariant(found: Found, events: Mapping[int, Seen]) -> Said:
    event, detail = found.own(events), found.detail
    noun, where, who = _place(found, event)
    good = "it never held before" if detail["last_good"] is None else f"it last held at {noun} {detail['last_good']}"
    if detail["recovered"] is None:
        later = "and it does not hold again"
    else:
        later = f"and it holds again at {noun} {detail['recovered']}" + (
            "" if detail["holds_at_end"] else ", but not at the end"
        )
    note = detail.get("why", "")
    why = "" if not note else f": it {note};" if note == "returned None" else f": it raised {shown(note)};"
    return Said(
        f"{detail['state']} after {noun} {found.version}",
        shown(detail["invariant"]),
        f"{shown(detail['invariant'])} does not hold {'for' if 'key' in detail else 'in'} {where} since {noun} "
        f"{found.version} ({who}){why or ':'} {good}, {later}.",
    )


def _place(found: Found, event: Seen) -> tuple[str, str, str]:
    """What numbers the events, whose they are, and the event: of a read model by position, under a key."""
    if "key" not in found.detail:
        return "version", f"stream {shown(found.stream_id)}", named(event)
    who = f"{named(event)}, version {event.version} of stream {shown(event.stream_id)}"
    return "position", f"key {shown(found.stream_id)}", who


def _tell_error(found: Found, events: Mapping[int, Seen]) -> Said:
    event = found.own(events)
    noun, where, who = _place(found, event)
    more = f", and at {found.involved - 1:,} more up to {noun} {found.to_version}" if found.involved > 1 else ""
    lacking = found.detail.get("absent")
    slip = f" A slip in the projection: {shown(lacking)}." if lacking else ""
    return Said(
        shown(found.detail["error"]),
        "a state",
        f"The handler for {shown(event.event_type)} of {shown(found.detail['aggregate'])} failed at {noun} "
        f"{found.version} of {where} ({who}){more}: "
        f"{shown(found.detail['error'])}.{slip}",
    )


CHECKS = (
    Check(
        "invariant-violated",
        ("error",),
        "What must always hold of a state does not hold after an event; told at the first such version of a stream.",
        _tell_invariant,
        kind="meaning",
    ),
    Check(
        "handler-error",
        ("error",),
        "A handler failed at an event; the state stays as it was before.",
        _tell_error,
        kind="meaning",
    ),
    *repeatable.CHECKS,
    *lifecycle.CHECKS,
    *snapshots.CHECKS,
)

#: What an aggregate must declare for a check, and what is said where none does.
_DECLARES: Mapping[str, tuple[Callable[[Aggregate], bool], str]] = {
    "unknown-event-type": (lambda one: not one.keyed, "a read model takes the event types that it names"),
    "invariant-violated": (lambda one: bool(one.invariants), "no aggregate declares an invariant"),
    "handler-error": (lambda one: bool(one.handlers), "no aggregate has a handler"),
    "handler-nondeterministic": (lambda one: bool(one.handlers), "no aggregate has a handler"),
    "unexpected-first-event": (
        lambda one: one.rules is not None and one.rules.first is not None,
        "no lifecycle says which events come first",
    ),
    "forbidden-transition": (
        lambda one: one.rules is not None and bool(one.rules.transitions),
        "no lifecycle says what may follow what",
    ),
    "event-after-end": (
        lambda one: one.rules is not None and bool(one.rules.final),
        "no lifecycle says which events are final",
    ),
}

_WITH_AFTER = (
    "handler-error",
    "invariant-violated",
    "unexpected-first-event",
    "forbidden-transition",
    "event-after-end",
)


#: Before every position.
_FIRST = -(2**63) - 1
#: Where an event stands in its stream.
_IN_STREAM = ("stream_id", "version")


def undeclared(check: Check, aggregates: Iterable[Aggregate]) -> str | None:
    """Why a meaning check cannot be claimed; None when it can."""
    aggregates = list(aggregates)
    if not aggregates:
        return "no aggregate was given"
    declares, reason = _DECLARES.get(check.name, (lambda one: True, ""))
    return None if any(declares(one) for one in aggregates) else reason


def find(
    reader: Reader, checks: Iterable[Check], aggregate: Aggregate, executor: Executor | None = None
) -> Iterator[Found]:
    """All findings of meaning checks for one aggregate on the streams that it covers."""
    names = {check.name for check in checks}
    if isinstance(aggregate, Projection) and aggregate.keyed:
        yield from _under_keys(reader, names, aggregate)
        return
    facts = reader.events.facts
    inside = reader.over(covered(reader.events, aggregate))
    if "unknown-event-type" in names:
        yield from lifecycle.find_unknown(inside, aggregate)
    if "handler-nondeterministic" in names and not isinstance(aggregate, Projection):
        yield from repeatable.find_unrepeatable(inside, aggregate)
    if names & {check.name for check in lifecycle.CHECKS}:
        yield from (each for each in lifecycle.find_misplaced(inside, aggregate, facts) if each.check in names)
    yield from _folded(inside, names, aggregate, executor)


def _folded(
    reader: Reader, names: Collection[str], aggregate: Aggregate, executor: Executor | None = None
) -> Iterator[Found]:
    """What a fold of the reader's events finds."""
    wanted = dict(aggregate.invariants) if "invariant-violated" in names else {}
    if wanted or "handler-error" in names:
        yield from (each for each in _fold(reader, aggregate, wanted, executor) if each.check in names)


def _under_keys(reader: Reader, names: Collection[str], projection: Projection) -> Iterator[Found]:
    """What is wrong with the rows of a read model: a key stands as the stream, a position as the version.

    The evidence has the parts of the key, and the event's own stream and version.
    """
    by_key = keyed.under_keys(reader.events, projection)
    found = list(_folded(reader.over(by_key), names, projection))
    if not found:
        return
    parts = ", ".join(f"_key{number}::varchar" for number in range(len(projection.key)))
    rows = by_key.rows(
        f"select position, _stream_id, _version, {parts} from events where position in (select unnest($_found))",
        _found=[each.position for each in found],
    )
    places = {position: place for position, *place in rows}
    for each in found:
        stream_id, version, *key = places[each.position]
        told = dict(zip((part.name for part in projection.key), key, strict=True))
        yield replace(each, detail={**each.detail, "key": told, "stream_id": stream_id, "version": version})


def with_damage(found: Iterable[Found], damage: Iterable[Found]) -> Iterator[Found]:
    """The findings with the first damage of their streams, where it is not after them in folding order."""
    first: dict[str | None, tuple[int, int, str]] = {}
    for each in damage:
        if each.check in DAMAGE and each.version is not None:
            # Missing versions take effect before any event of a higher one.
            place = each.position
            if place is None or each.check in ("missing-head", "version-gap"):
                place = _FIRST
            point = (each.version, place, each.check)
            first[each.stream_id] = min(point, first.get(each.stream_id, point))
    for each in found:
        if each.check not in _WITH_AFTER:
            yield each
            continue
        # A row of a read model has the damage of the stream that the event is from.
        stream_id, version = (each.detail[k] if "key" in each.detail else getattr(each, k) for k in _IN_STREAM)
        earlier = first.get(stream_id)
        if earlier is not None and version is not None and earlier[:2] <= (version, each.position):
            yield replace(each, after=f"{earlier[2]}@{earlier[0]}")
        else:
            yield each


@dataclass(slots=True)
class _Watch:
    """What is known of one invariant in one stream so far."""

    holds: bool = True
    broken: Step | None = None
    last_good: int | None = None
    recovered: int | None = None
    good: int | None = None
    why: str = ""

    def judge(self, step: Step, *, holds: bool, why: str) -> None:
        version = step.event.version
        if self.broken is None and not holds:
            self.broken, self.last_good, self.why = step, self.good, why
        elif self.broken is not None and holds and self.recovered is None:
            self.recovered = version
        self.good = version
        self.holds = holds


def _fold(
    reader: Reader,
    aggregate: Aggregate,
    invariants: Mapping[str, Callable[[Any], Any]],
    executor: Executor | None,
) -> Iterator[Found]:
    """One fold for invariants and failing handlers, and one with every step of the streams in which it saw some."""
    unjudged = within_commits(reader.events) if invariants else frozenset[int]()
    if isinstance(aggregate, Projection):
        keys = sql.doubtful(reader.events, aggregate, unjudged=unjudged)
    else:
        keys = doubtful(reader.events, aggregate, invariants.values(), unjudged=unjudged, executor=executor)
    if not keys:
        return
    inside = narrowed(reader.events, "stream_key", keys)

    @cache
    def why(event_type: str, error: str) -> str:
        return absent(reader.events, aggregate, event_type, error) if isinstance(aggregate, Projection) else ""

    def lacking(step: Step) -> str:
        return why(step.event.event_type, step.error or "")

    for _, stream in groupby(steps(inside, aggregate, columns=()), key=lambda step: step.key):
        watches = {text: _Watch() for text in invariants}
        failing: dict[str, list[Step]] = {}
        for step in stream:
            if step.error is not None:
                failing.setdefault(step.event.event_type, []).append(step)
            if step.event.position not in unjudged:
                for text, predicate in invariants.items():
                    good, note = holds(predicate, step.value)
                    watches[text].judge(step, holds=good, why=note)
        for each in failing.values():
            yield _failed(each, aggregate, lacking(each[0]))
        for text, watch in watches.items():
            if watch.broken is not None:
                yield _broken(text, watch, watch.broken, aggregate)


def _failed(failing: list[Step], aggregate: Aggregate, lacking: str) -> Found:
    first, last = failing[0].event, failing[-1].event
    return Found(
        "handler-error",
        "error",
        first.stream_id,
        first.version,
        last.version if len(failing) > 1 else None,
        first.position,
        tuple(sorted(step.event.position for step in failing)[:100]),
        len(failing),
        {"aggregate": aggregate.name, "error": failing[0].error} | ({"absent": lacking} if lacking else {}),
    )


def _broken(text: str, watch: _Watch, step: Step, aggregate: Aggregate) -> Found:
    event = step.event
    detail = {
        "aggregate": aggregate.name,
        "invariant": text,
        "last_good": watch.last_good,
        "recovered": watch.recovered,
        "holds_at_end": watch.holds,
        "state": brief(step.value),
        "state_before": brief(step.before),
    } | ({"why": watch.why} if watch.why else {})
    return Found(
        "invariant-violated",
        "error",
        event.stream_id,
        event.version,
        None,
        event.position,
        (event.position,),
        1,
        detail,
    )

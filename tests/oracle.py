"""The reference that the engine is tested against: plain lists and dicts, slow, meant to be obviously right.

Nothing here or in the two modules that it joins imports esbench. Rows of a log go in, in any order; states
and findings come out. Each check's exact definition is the docstring of the function that finds it: of
structure in ``oracle_structure``, of meaning here; words and states are in ``oracle_fold``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from tests.oracle_fold import (
    Facts,
    Row,
    Rules,
    State,
    Version,
    blame,
    covered,
    fold,
    folding_order,
    groups,
    history,
    infer_base,
    position_order,
    state,
    states,
    streams,
    trust,
    up_to,
)
from tests.oracle_structure import Found, found, gaps, log_findings, meaning, missing_head, stream_findings

__all__ = [
    "Facts",
    "Found",
    "Row",
    "Rules",
    "State",
    "Version",
    "after",
    "blame",
    "broken_invariants",
    "covered",
    "findings",
    "fold",
    "folding_order",
    "handler_errors",
    "history",
    "infer_base",
    "position_order",
    "state",
    "states",
    "streams",
    "trust",
    "up_to",
]

_SEVERITIES = ("error", "warning", "info")


def unknown_types(rows: Sequence[Row], rules: Rules) -> Iterator[Found]:
    """unknown-event-type, warning, or error for a strict aggregate: one an event type that has no handler and
    no place in the lifecycle.

    Its event: the first in position order over the covered streams. Evidence: all events of the type.
    """
    for event_type, group in groups(position_order(rows), lambda row: row.event_type).items():
        if event_type not in rules.known():
            severity = "error" if rules.unknown == "error" else "warning"
            yield found("unknown-event-type", severity, group[0], group, aggregate=rules.name)


def handler_errors(stream: Sequence[Row], rules: Rules) -> Iterator[Found]:
    """handler-error, error: one an event type of the stream whose handler raised; its first failing event, up
    to the version of the last.

    Evidence: all failing events; ``error``: what the first one raised.
    """
    failing = {step.row: step.error for step in fold(stream, rules)[1] if step.error is not None}
    for group in groups(failing, lambda row: row.event_type).values():
        finding = found("handler-error", "error", group[0], group, aggregate=rules.name, error=failing[group[0]])
        yield finding._replace(to_version=group[-1].version if len(group) > 1 else None)


def broken_invariants(stream: Sequence[Row], rules: Rules, facts: Facts) -> Iterator[Found]:
    """invariant-violated, error: one an invariant of the stream, at the first judged event after which it
    does not hold.

    Judged is every event, but of those that neighbour in folding order and name the same commit only the
    last. The initial state is not judged; a predicate that raises does not hold. ``last_good``: the version
    of the judged event just before, if any. ``recovered``: the version of the first judged event afterwards
    at which it holds again, if any. ``holds_at_end``: whether it holds at the last judged event.
    """
    steps = fold(stream, rules)[1]
    commits = [meaning(step.row, facts, "commit_id") for step in steps]
    judged = [
        s for i, s in enumerate(steps) if commits[i] is None or i + 1 == len(steps) or commits[i] != commits[i + 1]
    ]
    for name, predicate in rules.invariants.items():
        holds = [_holds(predicate, step.value) for step in judged]
        if False in holds:
            first = holds.index(False)
            row = judged[first].row
            good = judged[first - 1].row.version if first > 0 else None
            again = judged[holds.index(True, first)].row.version if True in holds[first:] else None
            detail = {"last_good": good, "recovered": again, "holds_at_end": holds[-1]}
            yield found("invariant-violated", "error", row, [row], aggregate=rules.name, invariant=name, **detail)


def _holds(predicate: Callable[[Any], Any], value: Any) -> bool:
    try:
        return bool(predicate(copy.deepcopy(value)))
    except Exception:  # noqa: BLE001 (a predicate may raise anything)
        return False


def lifecycle(stream: Sequence[Row], rules: Rules, facts: Facts) -> Iterator[Found]:
    """unexpected-first-event, forbidden-transition, event-after-end: where the events do not follow the
    declared lifecycle.

    unexpected-first-event, error: the first event in folding order has none of the ``first`` types. Info
    where the head is missing, declared or not, or cannot be known (no base, and the first version is above
    1). Evidence: the event.

    forbidden-transition, error: an event's type is not among those that may follow its predecessor's, when
    that one's are declared. Events whose type the lifecycle does not name are passed over. Info where a
    version-gap lies between the two. Evidence: both.

    event-after-end, error: one a stream in which events follow one of a final type; its event: the first of
    them. Evidence: the final event before that one, and all that follow an end. A type that may follow the
    final type reopens the stream. After an end no transition is forbidden.
    """
    opening = stream[0]
    if rules.first is not None and opening.event_type not in rules.first:
        headless = bool(list(missing_head(stream, facts)))
        unknowable = facts.base is None and not facts.derived_versions and opening.version > 1
        severity = "info" if headless or unknowable else "error"
        yield found("unexpected-first-event", severity, opening, [opening], aggregate=rules.name)

    previous: Row | None = None
    end: Row | None = None
    after_end: list[tuple[Row, Row]] = []
    for row in stream:
        if end is not None and row.event_type not in rules.transitions.get(end.event_type, ()):
            after_end.append((end, row))
            continue
        if row.event_type in rules.named():
            allowed = rules.transitions.get(previous.event_type) if previous is not None and end is None else None
            if previous is not None and allowed is not None and row.event_type not in allowed:
                across = any(previous.version < (gap.version or 0) < row.version for gap in gaps(stream, facts))
                severity = "info" if across else "error"
                yield found("forbidden-transition", severity, row, [previous, row], aggregate=rules.name)
            previous = row
        end = row if row.event_type in rules.final else None
    if after_end:
        rows = [row for _, row in after_end]
        yield found("event-after-end", "error", rows[0], [after_end[0][0], *rows], aggregate=rules.name)


def findings(
    rows: Sequence[Row],
    facts: Facts,
    aggregates: Iterable[Rules] = (),
    *,
    rejects: Collection[tuple[str, int]] = (),
    tolerance: float = 1.0,
    window: float = 300.0,
) -> list[Found]:
    """Everything that is wrong with a log, in the order of a report.

    ``rejects``: stream and version of the input records that became no events, where both are known. Order:
    severity, check, stream, version, position, aggregate, invariant; absent ones first.
    """
    result = log_findings(rows, facts)
    for stream_id, stream in streams(rows).items():
        rejected = {version for name, version in rejects if name == stream_id}
        result += stream_findings(stream, facts, rejected, tolerance, window)
    damage = list(result)
    for rules in aggregates:
        inside = [row for row in rows if row.stream_id in covered(rows, rules)]
        result += unknown_types(inside, rules)
        for stream in streams(inside).values():
            later = [
                *handler_errors(stream, rules),
                *broken_invariants(stream, rules, facts),
                *lifecycle(stream, rules, facts),
            ]
            result += [finding._replace(after=after(finding, damage)) for finding in later]

    def report_order(finding: Found) -> tuple[Any, ...]:
        place = [(value is not None, value) for value in (finding.stream_id, finding.version, finding.position)]
        names = finding.detail.get("aggregate", ""), finding.detail.get("invariant", "")
        return _SEVERITIES.index(finding.severity), finding.check, *place, *names

    return sorted(result, key=report_order)


def after(finding: Found, damage: Iterable[Found]) -> str | None:
    """The first damage of the same stream, in folding order, at or before a finding's event, as
    ``check@version``.

    A missing head and a gap take effect before any event of a higher version; a duplicate and a fork at their
    own event.
    """
    points: list[tuple[Any, Any, str]] = []
    for each in damage:
        if each.stream_id == finding.stream_id:
            if each.check in ("missing-head", "version-gap"):
                points.append((each.version, float("-inf"), each.check))
            elif each.check in ("duplicate-event", "version-fork"):
                points.append((each.version, each.position, each.check))
    earlier = [point for point in sorted(points) if point[:2] <= (finding.version, finding.position)]
    return f"{earlier[0][2]}@{earlier[0][0]}" if earlier else None

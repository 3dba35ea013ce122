"""The reference's structure checks: each function's docstring is the exact definition of its check.

They take the rows of one stream, unless they say that they take those of a log. A finding has one event,
whose version and position it carries unless the definition says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.oracle_fold import Facts, Row, content, folding_order, groups, identity, position_order

__all__ = ["Found", "found", "gaps", "log_findings", "meaning", "missing_head", "stream_findings"]


class Found(NamedTuple):
    """One finding. ``positions`` are those of its evidence, ascending; ``detail`` is the rest of its
    evidence.
    """

    check: str
    severity: str
    stream_id: str | None
    version: int | None
    to_version: int | None
    position: int | None
    positions: tuple[int, ...]
    detail: Mapping[str, Any] = MappingProxyType({})
    after: str | None = None


def meaning(row: Row, facts: Facts, name: str) -> str | None:
    """A value that metadata gives a meaning: a string's content or a number's own text; '' and all else are
    none.
    """
    try:
        value = json.loads(row.metadata_text or "null", parse_int=str, parse_float=str, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    for token in facts.keys.get(name, f"/{name}").split("/")[1:]:
        value = value.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def found(check: str, severity: str, row: Row, evidence: Iterable[Row], **detail: Any) -> Found:
    positions = tuple(sorted({each.position for each in evidence}))
    return Found(check, severity, row.stream_id, row.version, None, row.position, positions, detail)


def valid(rows: Iterable[Row], facts: Facts) -> list[Row]:
    return [row for row in folding_order(rows) if row.version >= (facts.base or 0)]


def gaps(stream: Sequence[Row], facts: Facts, rejected: Iterable[int] = ()) -> Iterator[Found]:
    """version-gap, error: a hole between two valid versions, from its first to its last missing version.

    Its event: the first in folding order after the hole. Evidence: the last before and the first after;
    ``rejected``: the missing versions that are in the rejects. Not from derived versions.
    """
    rows = [] if facts.derived_versions else valid(stream, facts)
    for before, row in pairwise(rows):
        if row.version - before.version > 1:
            inside = sorted(v for v in rejected if before.version < v < row.version)
            finding = found("version-gap", "error", row, [before, row], rejected=inside)
            yield finding._replace(version=before.version + 1, to_version=row.version - 1)


def missing_head(stream: Sequence[Row], facts: Facts, rejected: Iterable[int] = ()) -> Iterator[Found]:
    """missing-head, warning: the lowest valid version lies above a known base; info where the truncation is
    declared.

    From the base to the version before the first event, which is the evidence. Not from derived versions.
    """
    rows = valid(stream, facts)
    if rows and facts.base is not None and not facts.derived_versions and rows[0].version > facts.base:
        declared = any(rows[0].stream_id == p or fnmatchcase(rows[0].stream_id, p) for p in facts.truncated)
        inside = sorted(v for v in rejected if facts.base <= v < rows[0].version)
        finding = found("missing-head", "info" if declared else "warning", rows[0], rows[:1], rejected=inside)
        yield finding._replace(version=facts.base, to_version=rows[0].version - 1)


def position_gap(rows: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """position-gap, info: one for the log, when a number between its lowest and highest recorded position is
    missing.

    Its event: the one after the first hole. Evidence: the two around it, and how many ``holes`` with how many
    ``missing``. Not from lines or issued positions.
    """
    rows = position_order(rows)
    holes = [(a, b) for a, b in pairwise(rows) if b.position - a.position > 1]
    if holes and facts.positions == "recorded":
        missing = sum(b.position - a.position - 1 for a, b in holes)
        finding = found("position-gap", "info", holes[0][1], holes[0], holes=len(holes), missing=missing)
        yield finding._replace(stream_id=None, version=None)


def duplicates(stream: Sequence[Row]) -> Iterator[Found]:
    """duplicate-event, error: one a group of duplicates. Its event: the group's second in folding order.
    Evidence: the whole group.
    """
    for group in groups(folding_order(stream), identity).values():
        if len(group) > 1:
            yield found("duplicate-event", "error", group[1], group)


def reused_ids(rows: Sequence[Row]) -> Iterator[Found]:
    """event-id-reused, error: one an event id that stands, anywhere in the log, on events that are no
    duplicates.

    Its event: the first in position order that is no duplicate of the id's first. Evidence: all events with
    the id.
    """
    for event_id, group in groups(position_order(rows), lambda row: row.event_id).items():
        others = [row for row in group if identity(row) != identity(group[0])]
        if event_id is not None and others:
            yield found("event-id-reused", "error", others[0], group)


def repeats(stream: Sequence[Row], window: float) -> Iterator[Found]:
    """repeated-content, info: one a content of the stream that was recorded again as a new event within
    ``window`` seconds.

    Again: two events that neighbour in folding order among those of the content, with different versions,
    without a common id, with recorded times at most ``window`` seconds apart. Its event: the second of the
    first such pair. Evidence: the events of all such pairs.
    """
    for group in groups(folding_order(stream), content).values():
        pairs = [
            (a, b)
            for a, b in pairwise(group)
            if a.version != b.version
            and (a.event_id is None or a.event_id != b.event_id)
            and a.recorded_at is not None
            and b.recorded_at is not None
            and abs((b.recorded_at - a.recorded_at).total_seconds()) <= window
        ]
        if pairs:
            yield found("repeated-content", "info", pairs[0][1], [row for pair in pairs for row in pair])


def forked(stream: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """version-fork, error: one a version that several events claim which are no duplicates of one another.

    Its event: the first in folding order that is no duplicate of the version's first. Evidence: all events at
    the version. Not from derived versions.
    """
    for group in groups(folding_order(stream), lambda row: row.version).values():
        others = [row for row in group if identity(row) != identity(group[0])]
        if others and not facts.derived_versions:
            yield found("version-fork", "error", others[0], group)


def inversions(stream: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """order-inversion, warning: one an event whose version lies below the highest before it in position
    order.

    Evidence: the first event that holds this highest, and the event. Not from derived versions or issued
    positions.
    """
    highest: Row | None = None
    for row in position_order(stream):
        if highest is None or row.version > highest.version:
            highest = row
        elif row.version < highest.version and not facts.derived_versions and facts.positions != "issued":
            yield found("order-inversion", "warning", row, [highest, row])


def regressions(stream: Sequence[Row], facts: Facts, tolerance: float) -> Iterator[Found]:
    """clock-regression, warning: one an event recorded more than ``tolerance`` seconds before the latest of
    its stream before it in position order.

    Evidence: the first event that holds this latest time, and the event. Unknown times do not count. Not from
    issued positions.
    """
    latest: Row | None = None
    for row in position_order(row for row in stream if row.recorded_at is not None):
        assert row.recorded_at is not None
        if latest is None or latest.recorded_at is None or row.recorded_at > latest.recorded_at:
            latest = row
        elif (latest.recorded_at - row.recorded_at).total_seconds() > tolerance and facts.positions != "issued":
            yield found("clock-regression", "warning", row, [latest, row])


def mixed_types(stream: Sequence[Row]) -> Iterator[Found]:
    """stream-type-mixed, warning: one a stream with several stream types (an absent one is none).

    Its event: the first in folding order with another type than the stream's first. Evidence: the first event
    of each type.
    """
    firsts = [
        g[0]
        for g in groups(
            (r for r in folding_order(stream) if r.stream_type is not None), lambda r: r.stream_type
        ).values()
    ]
    if len(firsts) > 1:
        yield found("stream-type-mixed", "warning", firsts[1], firsts)


def invalid_versions(stream: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """invalid-version, error: one an event with a negative version, or one below a known base. Not from
    derived versions.
    """
    for row in stream:
        if row.version < (facts.base or 0) and not facts.derived_versions:
            yield found("invalid-version", "error", row, [row])


def causes(rows: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """broken-causation: what metadata names as an event's cause cannot have caused it.

    The *bearer* of an id is the event with it that has the lowest position; an event that names itself is a
    root. ``problem`` is ``cycle`` (warning, one a cycle of ids, each leading to the cause that its bearer
    names; its event: the bearer with the lowest position; evidence: the bearers), ``later`` (warning, one an
    event whose cause's bearer has a higher position, bearers in a cycle excepted; evidence: both; not from
    issued positions) or ``absent`` (info, one for the log; its event: the first that names an id which is not
    in the log; evidence: all those, and their ``count``).
    """
    ordered = position_order(rows)
    bearer = {key: group[0] for key, group in groups(ordered, lambda row: row.event_id).items() if key is not None}
    named = [
        (row, key)
        for row in ordered
        if (key := meaning(row, facts, "causation_id")) is not None and key != row.event_id
    ]

    cycles: set[frozenset[str]] = set()
    following = {
        row.event_id: key
        for row, key in named
        if key in bearer and row.event_id is not None and bearer[row.event_id] is row
    }
    for start in following:
        chain = [start]
        while chain[-1] in following and following[chain[-1]] not in chain:
            chain.append(following[chain[-1]])
        if following.get(chain[-1]) == start:
            cycles.add(frozenset(chain))
    for cycle in cycles:
        members = position_order(bearer[key] for key in cycle)
        yield found("broken-causation", "warning", members[0], members, problem="cycle")

    in_cycle = {bearer[key] for cycle in cycles for key in cycle}
    for row, key in named:
        if (
            key in bearer
            and bearer[key].position > row.position
            and row not in in_cycle
            and facts.positions != "issued"
        ):
            yield found("broken-causation", "warning", row, [bearer[key], row], problem="later", cause=key)

    absent = [row for row, key in named if key not in bearer]
    if absent:
        finding = found("broken-causation", "info", absent[0], absent, problem="absent", count=len(absent))
        yield finding._replace(stream_id=None, version=None)


def writers(stream: Sequence[Row], facts: Facts) -> Iterator[Found]:
    """interleaved-writers, info: one a stream to which a writer comes back after another wrote, in position
    order.

    Its event: the first that comes back. Evidence: it, the one before it, and its writer's last before.
    Events without a writer do not count. Not from issued positions.
    """
    last: dict[str, Row] = {}
    previous: tuple[str, Row] | None = None
    for row in position_order(stream) if facts.positions != "issued" else []:
        writer = meaning(row, facts, "writer")
        if writer is None:
            continue
        if previous is not None and previous[0] != writer and writer in last:
            yield found("interleaved-writers", "info", row, [row, previous[1], last[writer]])
            return
        last[writer] = row
        previous = (writer, row)


def log_findings(rows: Sequence[Row], facts: Facts) -> list[Found]:
    return [*position_gap(rows, facts), *reused_ids(rows), *causes(rows, facts)]


def stream_findings(
    stream: Sequence[Row], facts: Facts, rejected: Iterable[int], tolerance: float, window: float
) -> list[Found]:
    rejected = sorted(rejected)
    return [
        *gaps(stream, facts, rejected),
        *missing_head(stream, facts, rejected),
        *duplicates(stream),
        *repeats(stream, window),
        *forked(stream, facts),
        *inversions(stream, facts),
        *regressions(stream, facts, tolerance),
        *mixed_types(stream),
        *invalid_versions(stream, facts),
        *writers(stream, facts),
    ]

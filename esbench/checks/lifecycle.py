"""Checks of event types: those that nobody knows, and those that come where the declared lifecycle has no place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from esbench.aggregate import Aggregate, Lifecycle
from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.reader import Reader
from esbench.facts import Facts

__all__ = ["CHECKS", "find_misplaced", "find_unknown"]


def _tell_unknown(found: Found, events: Mapping[int, Seen]) -> Said:
    event = found.own(events)
    count = f"{found.involved:,} {'event' if found.involved == 1 else 'events'}"
    return Said(
        f"{count} of type {shown(event.event_type)}",
        "a handler, or a place in the lifecycle",
        f"Aggregate {shown(found.detail['aggregate'])} does not know {shown(event.event_type)}, the type of {count}, "
        f"the first of them version {event.version} of stream {shown(event.stream_id)} at position {event.position}.",
    )


def _tell_first(found: Found, events: Mapping[int, Seen]) -> Said:
    event = found.own(events)
    excuse = ", though its head is missing" if found.severity == "info" else ""
    return Said(
        shown(event.event_type),
        "an event that may come first",
        f"Stream {shown(found.stream_id)} starts with {named(event)}, version {event.version}, which by the lifecycle "
        f"of {shown(found.detail['aggregate'])} cannot come first{excuse}.",
    )


def _tell_forbidden(found: Found, events: Mapping[int, Seen]) -> Said:
    event = found.own(events)
    before = events[found.detail["before"]]
    excuse = ", though versions are missing between them" if found.severity == "info" else ""
    return Said(
        f"{shown(event.event_type)} after {shown(before.event_type)}",
        f"an event that may follow {shown(before.event_type)}",
        f"In stream {shown(found.stream_id)} version {event.version} ({named(event)}) follows version {before.version} "
        f"({named(before)}), which the lifecycle of {shown(found.detail['aggregate'])} does not allow{excuse}.",
    )


def _tell_end(found: Found, events: Mapping[int, Seen]) -> Said:
    event, end = found.own(events), events[found.detail["before"]]
    more = f", and {found.involved - 2:,} more" if found.involved > 2 else ""
    return Said(
        f"{shown(event.event_type)} after {shown(end.event_type)}",
        f"nothing after {shown(end.event_type)}",
        f"Stream {shown(found.stream_id)} ended with version {end.version} ({named(end)}), but version {event.version} "
        f"({named(event)}) follows{more}.",
    )


CHECKS = (
    Check(
        "unknown-event-type",
        ("warning", "error"),
        'An aggregate has no handler for an event type, nor does its lifecycle name it. Error with unknown="error".',
        _tell_unknown,
        kind="meaning",
    ),
    Check(
        "unexpected-first-event",
        ("error", "info"),
        "A stream starts with an event that cannot come first. Info where its head is missing.",
        _tell_first,
        kind="meaning",
    ),
    Check(
        "forbidden-transition",
        ("error", "info"),
        "An event follows one that it cannot follow. Info where versions are missing between them.",
        _tell_forbidden,
        kind="meaning",
    ),
    Check(
        "event-after-end",
        ("error",),
        "Events follow one that ends the stream.",
        _tell_end,
        kind="meaning",
    ),
)


def find_unknown(reader: Reader, aggregate: Aggregate) -> Iterator[Found]:
    """One finding an event type that the aggregate does not know, over all streams that it covers."""
    types = {row["event_type"] for row in reader.rows("select distinct event_type from events")}
    severity = "error" if aggregate.unknown == "error" else "warning"
    reader.parameters["unknown"] = sorted(types - aggregate.known)
    if not reader.parameters["unknown"]:
        return
    rows = reader.rows(
        """
        select
            arg_min(stream_id, position) as stream_id, arg_min(version, position) as version,
            min(position) as position, min(position, 100) as positions, count(*) as involved
        from events
        where event_type in (select unnest($unknown::varchar[]))
        group by event_type
        """
    )
    for row in rows:
        yield Found(
            "unknown-event-type", severity, row["stream_id"], row["version"], None, row["position"],
            tuple(row["positions"]), row["involved"], {"aggregate": aggregate.name},
        )  # fmt: skip


class _Row(NamedTuple):
    stream_id: str
    version: int
    position: int
    event_type: str


def find_misplaced(reader: Reader, aggregate: Aggregate, facts: Facts) -> Iterator[Found]:
    """Unexpected first events, forbidden transitions and events after the end.

    A stream without an unexpected first event, without a forbidden pair of neighbours and without anything after a
    final event has none of these, so that SQL looks for such streams and the rules walk through those alone.
    """
    rules = aggregate.rules
    if rules is None:
        return
    _suspect(reader, rules)
    rows = reader.rows(
        """
        select stream_key, stream_id, version, position, event_type
        from events
        where stream_key in (select stream_key from misplaced)
        order by stream_key, version, position
        """
    )
    for _, stream in groupby(rows, key=lambda row: row.pop("stream_key")):
        yield from _judge([_Row(**row) for row in stream], rules, facts, {"aggregate": aggregate.name})


def _suspect(reader: Reader, rules: Lifecycle) -> None:
    """Make the TEMP table ``misplaced (stream_key)``."""
    pairs = [(one, other) for one, allowed in rules.transitions.items() for other in allowed]
    reader.parameters |= {
        "any_first": rules.first is None,
        "first": list(rules.first or ()),
        "final": list(rules.final),
        "named": sorted(rules.named),
        "before": sorted(rules.transitions),
        "allowed_before": [one for one, _ in pairs],
        "allowed_after": [other for _, other in pairs],
    }
    look_back = """
        select
            stream_key, event_type,
            case when lag(stream_key) over {window} = stream_key then lag(event_type) over {window} end as before
        from events {where}
    """
    everything = look_back.format(window=reader.window(), where="")
    # A filter keeps the order in which events come; a join need not.
    only_named = look_back.format(window=reader.window(), where="where list_contains($named::varchar[], event_type)")
    reader.make(
        "misplaced",
        f"""
        select stream_key from ({everything})
        where before in (select unnest($final::varchar[]))
            or (before is null and not $any_first and event_type not in (select unnest($first::varchar[])))
        union
        select stream_key from ({only_named})
        where before in (select unnest($before::varchar[]))
            and (before, event_type) not in (
                select unnest($allowed_before::varchar[]), unnest($allowed_after::varchar[])
            )
        """,
    )


def _judge(stream: list[_Row], rules: Lifecycle, facts: Facts, detail: dict[str, Any]) -> Iterator[Found]:
    """Walk through the events of one stream in folding order."""
    opening = stream[0]
    if rules.first is not None and opening.event_type not in rules.first:
        severity = "info" if _headless(stream, facts) else "error"
        yield _found("unexpected-first-event", severity, opening, [opening], detail)
    holes = _holes(stream, facts)
    previous: _Row | None = None
    end: _Row | None = None
    late: list[_Row] = []
    first_end: _Row | None = None
    for row in stream:
        if end is not None and row.event_type not in rules.transitions.get(end.event_type, ()):
            first_end = first_end or end
            late.append(row)
            continue
        if row.event_type in rules.named:
            allowed = None if previous is None or end is not None else rules.transitions.get(previous.event_type)
            if previous is not None and allowed is not None and row.event_type not in allowed:
                across = any(previous.version < hole < row.version for hole in holes)
                found_detail = {**detail, "before": previous.position}
                yield _found("forbidden-transition", "info" if across else "error", row, [previous, row], found_detail)
            previous = row
        end = row if row.event_type in rules.final else None
    if first_end is not None:
        yield _found("event-after-end", "error", late[0], [first_end, *late], {**detail, "before": first_end.position})


def _headless(stream: list[_Row], facts: Facts) -> bool:
    """Whether the stream's head is missing, or nobody can know."""
    if facts.derived_versions:
        return False
    if facts.base is None:
        return stream[0].version > 1
    return min((row.version for row in stream if row.version >= facts.base), default=facts.base) > facts.base


def _holes(stream: list[_Row], facts: Facts) -> list[int]:
    """The first missing version of every gap."""
    valid = [] if facts.derived_versions else [row.version for row in stream if row.version >= (facts.base or 0)]
    return [one + 1 for one, other in pairwise(valid) if other - one > 1]


def _found(check: str, severity: str, row: _Row, rows: Iterable[_Row], detail: dict[str, Any]) -> Found:
    positions = sorted(each.position for each in rows)
    return Found(
        check, severity, row.stream_id, row.version, None, row.position, tuple(positions[:100]), len(positions), detail
    )

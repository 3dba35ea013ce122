"""Checks of what stands in a log more than once: duplicates, ids used again, contents recorded again."""

from __future__ import annotations

from collections.abc import Mapping

from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.reader import Reader
from esbench.checks.suspects import CLOCK, CLOSE, SAME

__all__ = ["CHECKS", "suspect_contents", "suspect_ids"]


def suspect_ids(reader: Reader) -> bool:
    """Make the TEMP table ``suspect_ids (id_hash)`` of ids that may stand on several events; whether it has any.

    Hashes are grouped because strings cost half as much again; two ids may share one, so that the checks compare ids.
    """
    reader.make(
        "suspect_ids",
        """
        select hash(event_id) as id_hash from events where event_id is not null group by 1 having count(*) > 1
        """,
    )
    return bool(reader.one("select exists (from suspect_ids) as has")["has"])


def suspect_contents(reader: Reader) -> bool:
    """Make the TEMP table ``suspect_contents (content_hash)`` of contents that may repeat; whether it has any.

    Where times ascend in folding order, two events within the window have no neighbours further apart than they are, so
    that streams without close neighbours are out, and those whose times do not ascend are in.
    """
    reader.make(
        "suspect_contents",
        f"""
        select hash(stream_key, event_type, schema_version, data, metadata) as content_hash
        from events
        where stream_key in (select stream_key from suspects where flags & {CLOSE | CLOCK} <> 0)
        group by 1
        having count(*) > 1
        """,
    )
    return bool(reader.one("select exists (from suspect_contents) as has")["has"])


def _tell_duplicate(found: Found, events: Mapping[int, Seen]) -> Said:
    again = found.own(events)
    same = "no id and the same version" if again.event_id is None else f"the same id {shown(again.event_id)}"
    return Said(
        f"{found.involved} equal events",
        "one",
        f"{shown(again.event_type)} of stream {shown(found.stream_id)} stands {found.involved} times in the log with "
        f"equal content and {same}, first at position {found.positions[0]}, again as version {found.version} at "
        f"position {found.position}.",
    )


def _tell_reused(found: Found, events: Mapping[int, Seen]) -> Said:
    other = found.own(events)
    first = events[found.positions[0]]
    return Said(
        f"{found.involved} events with id {shown(other.event_id)}",
        "one event an id",
        f"Id {shown(other.event_id)} stands on events that differ: {shown(first.event_type)}, version {first.version} "
        f"of stream {shown(first.stream_id)} at position {first.position}, and {shown(other.event_type)}, version "
        f"{other.version} of stream {shown(other.stream_id)} at position {other.position}.",
    )


def _tell_repeated(found: Found, events: Mapping[int, Seen]) -> Said:
    again, before = found.own(events), events[found.detail["before"]]
    seconds = found.detail["seconds"]
    return Said(
        f"equal content at versions {before.version} and {again.version}",
        "a content once within the window",
        f"Stream {shown(found.stream_id)} holds {shown(again.event_type)} with the same content at versions "
        f"{before.version} ({named(before)}) and {again.version} ({named(again)}), "
        f"{seconds:g} second{'' if seconds == 1 else 's'} apart.",
    )


_SAME_ID = "hash(event_id) in (select id_hash from suspect_ids)"

CHECKS = (
    Check(
        "duplicate-event",
        ("error",),
        "An event of a stream stands there more than once, with the same content and id, or without ids at the same "
        "version: it was delivered again, or restored twice.",
        _tell_duplicate,
        narrow=f"({_SAME_ID} or (event_id is null and "
        f"stream_key in (select stream_key from suspects where flags & {SAME} <> 0)))",
        sql="""
            select
                any_value(stream_id) as stream_id,
                arg_min(version, place) filter (place > 1) as version, null as to_version,
                arg_min(position, place) filter (place > 1) as position,
                list(position order by position)[:100] as positions, count(*) as involved
            from (
                select
                    *,
                    case when event_id is null then version end as version_without_id,
                    row_number() over (
                        partition by stream_key, event_type, schema_version, data, metadata, event_id,
                            case when event_id is null then version end
                        order by version, position
                    ) as place
                from events
            )
            group by stream_key, event_type, schema_version, data, metadata, event_id, version_without_id
            having count(*) > 1
        """,
    ),
    Check(
        "event-id-reused",
        ("error",),
        "An event id stands on events of different streams or contents.",
        _tell_reused,
        needs=("ids",),
        narrow=_SAME_ID,
        sql="""
            select
                arg_min(stream_id, position) filter (differs) as stream_id,
                arg_min(version, position) filter (differs) as version, null as to_version,
                min(position) filter (differs) as position,
                list(position order by position)[:100] as positions, count(*) as involved
            from (
                select
                    event_id, stream_id, version, position,
                    stream_key is distinct from first_value(stream_key) over bearers
                    or event_type is distinct from first_value(event_type) over bearers
                    or schema_version is distinct from first_value(schema_version) over bearers
                    or data is distinct from first_value(data) over bearers
                    or metadata is distinct from first_value(metadata) over bearers as differs
                from events
                where event_id is not null
                window bearers as (partition by event_id order by position)
            )
            group by event_id
            having bool_or(differs)
        """,
    ),
    Check(
        "repeated-content",
        ("info",),
        "The same content was recorded again as a new event of its stream soon after: perhaps a command ran twice.",
        _tell_repeated,
        needs=("clock",),
        narrow="hash(stream_key, event_type, schema_version, data, metadata) in (from suspect_contents)",
        sql="""
            select
                any_value(stream_id) as stream_id, arg_min(version, place) as version, null as to_version,
                arg_min(position, place) as position,
                list_sort(list_distinct(flatten(list([before_position, position] order by place))))[:100] as positions,
                len(list_distinct(flatten(list([before_position, position] order by place)))) as involved,
                arg_min(before_position, place) as before, arg_min(apart, place) / 1e6 as seconds
            from (
                select
                    *,
                    abs(epoch_us(recorded_at)::hugeint - lag(epoch_us(recorded_at)) over again) as apart,
                    lag(position) over again as before_position,
                    lag(version) over again as before_version,
                    lag(event_id) over again as before_id,
                    row_number() over again as place
                from events
                window again as (
                    partition by stream_key, event_type, schema_version, data, metadata order by version, position
                )
            )
            where before_version <> version and coalesce(before_id <> event_id, true) and apart <= $window
            group by stream_key, event_type, schema_version, data, metadata
        """,
    ),
)

"""Checks of the numbers of streams: holes, missing heads, forks, versions that cannot be, several stream types."""

from __future__ import annotations

from collections.abc import Mapping

from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.suspects import GAP, HEAD, SAME, TYPE

__all__ = ["CHECKS"]

_FLAGGED = "stream_key in (select stream_key from suspects where flags & {flag} <> 0)"


def _numbers(first: int | None, last: int | None) -> str:
    return f"version {first}" if first == last else f"versions {first} to {last}"


def _rejected(found: Found) -> str:
    versions = found.detail["rejected"]
    if not versions:
        return ""
    listed = ", ".join(map(str, versions[:10])) + (", …" if len(versions) > 10 else "")
    return f"; among the rejects: {listed}"


def _tell_gap(found: Found, events: Mapping[int, Seen]) -> Said:
    after = found.own(events)
    before = next(events[p] for p in found.positions if p != found.position)
    missing = _numbers(found.version, found.to_version)
    return Said(
        f"version {after.version} after version {before.version}",
        missing,
        f"Stream {shown(found.stream_id)} has no {missing}: after version {before.version} ({named(before)}) "
        f"comes version {after.version} ({named(after)}){_rejected(found)}.",
    )


def _tell_head(found: Found, events: Mapping[int, Seen]) -> Said:
    first = found.own(events)
    missing = _numbers(found.version, found.to_version)
    declared = ", as was declared" if found.severity == "info" else ""
    return Said(
        f"first version {first.version}",
        f"first version {found.version}",
        f"Stream {shown(found.stream_id)} starts at version {first.version} ({named(first)}): "
        f"{missing} {'is' if found.version == found.to_version else 'are'} missing{declared}{_rejected(found)}.",
    )


def _tell_fork(found: Found, events: Mapping[int, Seen]) -> Said:
    several = [named(events[p]) for p in found.positions[:3] if p in events]
    more = f" and {found.involved - len(several)} more" if found.involved > len(several) else ""
    differing = found.detail["differing"]
    copied = found.involved - differing
    copies = "" if not copied else " and 1 copy" if copied == 1 else f" and {copied} copies"
    return Said(
        f"{differing} events{copies} at version {found.version}",
        "one event a version",
        f"Version {found.version} of stream {shown(found.stream_id)} is claimed by {differing} events that differ"
        f"{copies and f'{copies} of them'}: {', '.join(several)}{more}.",
    )


def _tell_invalid(found: Found, events: Mapping[int, Seen]) -> Said:
    return Said(
        f"version {found.version}",
        f"{found.detail['lowest']} or above",
        f"Version {found.version} of {named(found.own(events))} in stream {shown(found.stream_id)} lies below "
        f"{found.detail['lowest']}, the lowest that can be.",
    )


def _tell_types(found: Found, events: Mapping[int, Seen]) -> Said:
    kinds = [shown(events[p].stream_type) for p in found.positions if p in events]
    return Said(
        ", ".join(kinds),
        "one stream type",
        f"Stream {shown(found.stream_id)} has events of {found.involved} stream types, {', '.join(kinds[:5])}: the "
        f"type changes at {named(found.own(events))}, version {found.version}.",
    )


CHECKS = (
    Check(
        "version-gap",
        ("error",),
        "A version is missing between two events of a stream: an event was lost, or not exported.",
        _tell_gap,
        needs=("versions",),
        narrow=_FLAGGED.format(flag=GAP),
        sql="""
            select
                stream_id, before + 1 as version, version - 1 as to_version, position,
                list_sort([before_position, position]) as positions, 2 as involved
            from (
                select
                    stream_id, version, position,
                    lag(version) over folding as before, lag(position) over folding as before_position
                from events
                where version >= $lowest
                window folding as (partition by stream_key order by version, position)
            )
            where version - before > 1
        """,
    ),
    Check(
        "missing-head",
        ("warning", "info"),
        "A stream starts above the first version: it was truncated, archived or scavenged. Info where declared.",
        _tell_head,
        needs=("versions", "base"),
        narrow=_FLAGGED.format(flag=HEAD | GAP),
        sql="""
            select
                stream_id, $base as version, version - 1 as to_version, position,
                [position] as positions, 1 as involved
            from (
                select stream_id, version, position
                from events
                where version >= $lowest
                qualify row_number() over (partition by stream_key order by version, position) = 1
            )
            where version > $base
        """,
    ),
    Check(
        "version-fork",
        ("error",),
        "Several events that are no duplicates of each other claim one version: an optimistic lock was lost.",
        _tell_fork,
        needs=("versions",),
        narrow=_FLAGGED.format(flag=SAME),
        sql="""
            select
                any_value(stream_id) as stream_id, version, null as to_version,
                min(position) filter (differs) as position,
                list(position order by position)[:100] as positions, count(*) as involved,
                count(distinct row(event_id, event_type, schema_version, data, metadata)) as differing
            from (
                select
                    stream_key, stream_id, version, position,
                    event_id, event_type, schema_version, data, metadata,
                    event_type is distinct from first_value(event_type) over claims
                    or schema_version is distinct from first_value(schema_version) over claims
                    or data is distinct from first_value(data) over claims
                    or metadata is distinct from first_value(metadata) over claims
                    or event_id is distinct from first_value(event_id) over claims as differs
                from events
                window claims as (partition by stream_key, version order by position)
            )
            group by stream_key, version
            having bool_or(differs)
        """,
    ),
    Check(
        "invalid-version",
        ("error",),
        "A version is negative, or lies below the first version of a whole stream.",
        _tell_invalid,
        needs=("versions",),
        sql="""
            select
                stream_id, version, null as to_version, position,
                [position] as positions, 1 as involved, $lowest as lowest
            from events
            where version < $lowest
        """,
    ),
    Check(
        "stream-type-mixed",
        ("warning",),
        "The events of one stream name several stream types.",
        _tell_types,
        needs=("stream types",),
        narrow=_FLAGGED.format(flag=TYPE),
        sql="""
            select
                any_value(stream_id) as stream_id, arg_min(version, place) filter (place > 1) as version,
                null as to_version, arg_min(position, place) filter (place > 1) as position,
                list(position order by position)[:100] as positions, count(*) as involved
            from (
                select
                    stream_key, stream_id, version, position,
                    row_number() over (partition by stream_key order by version, position) as place
                from events
                where stream_type is not null
                qualify row_number() over (partition by stream_key, stream_type order by version, position) = 1
            )
            group by stream_key
            having count(*) > 1
        """,
    ),
)

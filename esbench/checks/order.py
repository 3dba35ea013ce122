"""Checks of the order in which a log was recorded: lost positions, versions and clocks that go back, writers."""

from __future__ import annotations

from collections.abc import Mapping

from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.suspects import BACK, CLOCK
from esbench.payload import name_at

__all__ = ["CHECKS"]


def _other(found: Found, events: Mapping[int, Seen]) -> Seen:
    return next(events[p] for p in found.positions if p != found.position)


def _tell_positions(found: Found, events: Mapping[int, Seen]) -> Said:
    after, before = found.own(events), _other(found, events)
    holes, missing = found.detail["holes"], found.detail["missing"]
    return Said(
        f"{holes:,} {'hole' if holes == 1 else 'holes'}",
        "positions without holes",
        f"{missing:,} {'position is' if missing == 1 else 'positions are'} missing in {holes:,} "
        f"{'hole' if holes == 1 else 'holes'}, the first between {before.position} and {after.position}: rolled-back "
        f"sequences make these, lost events as well.",
    )


def _tell_inversion(found: Found, events: Mapping[int, Seen]) -> Said:
    event, high = found.own(events), _other(found, events)
    return Said(
        f"version {event.version} after version {high.version}",
        f"a version above {high.version}",
        f"Stream {shown(found.stream_id)} recorded version {event.version} ({named(event)}) after version "
        f"{high.version} ({named(high)}).",
    )


def _tell_clock(found: Found, events: Mapping[int, Seen]) -> Said:
    event, latest = found.own(events), _other(found, events)
    return Said(
        f"{event.recorded_text}",
        f"not before {latest.recorded_text}",
        f"Version {event.version} of stream {shown(found.stream_id)} ({named(event)}) was recorded at "
        f"{event.recorded_text}, {found.detail['seconds']:g} seconds before an earlier event of its stream, version "
        f"{latest.version} ({named(latest)}).",
    )


def _tell_writers(found: Found, events: Mapping[int, Seen]) -> Said:
    writer, other = shown(found.detail["writer"]), shown(found.detail["other"])
    return Said(
        f"{writer} again after {other}",
        "one writer at a time",
        f"Writer {writer} comes back to stream {shown(found.stream_id)} at version {found.version} "
        f"({named(found.own(events))}) after {other} wrote there.",
    )


CHECKS = (
    Check(
        "position-gap",
        ("info",),
        "Numbers are missing among the positions of the log: rolled-back sequences make such holes, lost events too.",
        _tell_positions,
        needs=("positions",),
        sql="""
            select
                null as stream_id, null as version, null as to_version, min(position) as position,
                [min(before), min(position)] as positions, 2 as involved,
                count(*) as holes, sum(position::hugeint - before - 1) as missing
            from (select position, lag(position) over (order by position) as before from events)
            where position::hugeint - before > 1
            having count(*) > 0
        """,
    ),
    Check(
        "order-inversion",
        ("warning",),
        "A version of a stream was recorded after a higher one.",
        _tell_inversion,
        needs=("versions", "order"),
        narrow=f"stream_key in (select stream_key from suspects where flags & {BACK} <> 0)",
        # ~position descends where position ascends: of equal versions the maximum takes the first.
        sql="""
            select
                stream_id, version, null as to_version, position,
                list_sort([~highest[2], position]) as positions, 2 as involved
            from (
                select
                    stream_id, version, position,
                    max(row(version, ~position)) over (
                        partition by stream_key order by position
                        rows between unbounded preceding and 1 preceding
                    ) as highest
                from events
            )
            where version < highest[1]
        """,
    ),
    Check(
        "clock-regression",
        ("warning",),
        "An event was recorded at an earlier time than one before it in its stream, by more than the tolerance.",
        _tell_clock,
        needs=("order", "clock"),
        narrow=f"stream_key in (select stream_key from suspects where flags & {BACK | CLOCK} <> 0)",
        sql="""
            select
                stream_id, version, null as to_version, position,
                list_sort([~latest[2], position]) as positions, 2 as involved,
                (latest[1]::hugeint - moment) / 1e6 as seconds
            from (
                select
                    stream_id, version, position, epoch_us(recorded_at) as moment,
                    max(row(epoch_us(recorded_at), ~position)) over (
                        partition by stream_key order by position
                        rows between unbounded preceding and 1 preceding
                    ) as latest
                from events
                where recorded_at is not null
            )
            where latest[1]::hugeint - moment > $tolerance
        """,
    ),
    Check(
        "interleaved-writers",
        ("info",),
        "A writer comes back to a stream after another wrote there: two writers work on it at once.",
        _tell_writers,
        needs=("order", "writer"),
        sql=f"""
            select
                stream_id, version, null as to_version, position,
                list_sort([last_position, before_position, position]) as positions, 3 as involved, writer, other
            from (
                select
                    stream_key, stream_id, version, position, writer,
                    lag(writer) over recorded as other,
                    lag(position) over recorded as before_position,
                    lag(position) over written as last_position
                from (select *, {name_at("metadata", "$writer")} as writer from events)
                where writer is not null
                window
                    recorded as (partition by stream_key order by position),
                    written as (partition by stream_key, writer order by position)
            )
            where writer <> other and last_position is not null
            qualify row_number() over (partition by stream_key order by position) = 1
        """,
    ),
)

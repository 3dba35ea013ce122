"""How many events: over time by type, by type in all, and by stream."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from esbench.events import Events
from esbench.plots.tidy.given import EventsLike, events_of, times_of

__all__ = ["BINS", "Bins", "event_mix", "stream_lengths", "timeline"]

#: So many bins fit into a picture and are still told apart.
BINS = 60

_S = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _S, 3_600 * _S, 86_400 * _S
#: Widths that a person would choose, in microseconds, and in months from there on.
_WIDTHS = {
    "millisecond": 1_000,
    "10 milliseconds": 10_000,
    "100 milliseconds": 100_000,
    "second": _S,
    "5 seconds": 5 * _S,
    "15 seconds": 15 * _S,
    "minute": _MINUTE,
    "5 minutes": 5 * _MINUTE,
    "15 minutes": 15 * _MINUTE,
    "hour": _HOUR,
    "3 hours": 3 * _HOUR,
    "6 hours": 6 * _HOUR,
    "12 hours": 12 * _HOUR,
    "day": _DAY,
    "2 days": 2 * _DAY,
    "week": 7 * _DAY,
}
_MONTHS = {
    "month": 1,
    "quarter": 3,
    "year": 12,
    "5 years": 60,
    "25 years": 300,
    "century": 1_200,
    "1,000 years": 12_000,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A Monday, at which weeks begin.
_MONDAY = 4 * _DAY
#: Times that a picture has room for, in SQL: those of a calendar, but for its first day and its last month, whose bins
#: would begin before it or end after it. A log may hold others.
TIMED = "recorded_at >= '0001-01-02 00:00:00+00'::timestamptz and recorded_at < '9999-12-01 00:00:00+00'::timestamptz"


class Bins:
    """Equal spans of time from one moment to another, as wide as a person would choose.

    ``step`` names the width, ``edges`` are microseconds since 1970, ``sql`` gives the number of the bin of
    ``recorded_at``.

    >>> bins = Bins(0, 3 * 86_400_000_000, 10)
    >>> bins.step, len(bins.edges)
    ('12 hours', 8)
    """

    def __init__(self, low: int, high: int, most: int = BINS) -> None:
        for step, width in _WIDTHS.items():
            offset = _MONDAY if width == 7 * _DAY else 0
            first = (low - offset) // width
            n = (high - offset) // width - first + 1
            if n <= most:
                start = first * width + offset
                self.step = step
                self.edges = [start + place * width for place in range(n + 1)]
                self.sql = f"((epoch_us(recorded_at) - ({start})) // {width})"
                return
        begin, end = (_months(moment) for moment in (low, high))
        for step, months in _MONTHS.items():
            first, n = begin // months * months, end // months - begin // months + 1
            self.step = step
            if n <= most:
                break
        else:
            months = _MONTHS[self.step]
            first, n = begin // months * months, end // months - begin // months + 1
        self.edges = [_microseconds(first + place * months) for place in range(n + 1)]
        calendar = "(recorded_at at time zone 'UTC')"
        self.sql = f"((year({calendar}) * 12 + month({calendar}) - 1 - {first}) // {months})"


def _months(microseconds: int) -> int:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.year * 12 + moment.month - 1


def _microseconds(months: int) -> int:
    # The first bin may begin before the calendar does, the last end after it.
    year = min(max(months // 12, 1), 9999)
    return (datetime(year, months % 12 + 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def extent(events: Events) -> tuple[int, int] | None:
    """The first and last recorded time, in microseconds since 1970; None where no event has one."""
    low, high = events.rows(f"select epoch_us(min(recorded_at)), epoch_us(max(recorded_at)) from events where {TIMED}")[
        0
    ]
    return None if low is None else (low, high)


def timeline(data: EventsLike, *, bins: int = BINS, top: int = 7) -> pd.DataFrame:
    """Events over time by type: one row a bin and type that has events in it.

    Columns: ``start`` and ``end`` of the bin, ``event_type`` (missing for all types beyond the ``top`` ones together),
    ``events``. ``attrs``: ``step`` names the width of a bin, ``edges`` are all of them (also of bins without events),
    ``types`` counts the types, ``without_time`` the events that no time is recorded of, ``outside`` those of a time
    that no picture has room for: before 0001-01-02, or from 9999-12-01 on. ``moment`` is when all the others were
    recorded, if that was within a millisecond; else None.

    >>> import esbench as es
    >>> tidy = timeline(es.open().load("data/accounts.csv"), bins=6, top=2)
    >>> tidy.attrs["step"], tidy.groupby("event_type", dropna=False)["events"].sum().to_dict()
    ('month', {'MoneyDeposited': 175, 'MoneyWithdrawn': 176, nan: 43})
    """
    events = events_of(data)
    mix = event_mix(events)
    within = extent(events)
    total = int(mix["events"].sum())
    ((untimed,),) = events.rows("select count(*) from events where recorded_at is null")
    attrs: dict[Hashable | None, Any] = {
        "step": "",
        "edges": [],
        "moment": None,
        "types": len(mix),
        "without_time": untimed,
        "outside": total - untimed,
        "order": list(mix["event_type"][:top]),
    }
    if within is None:
        rows = pd.DataFrame({"bin": pd.Series(dtype="int64"), "event_type": pd.Series(dtype="str"), "events": 0})
        starts = ends = rows["bin"]
    else:
        cut = Bins(*within, bins)
        rows = events.df(
            f"""
            select
                {cut.sql} as bin,
                case when event_type in (select unnest($top::varchar[])) then event_type end as event_type,
                count(*) as events
            from events where {TIMED} group by all order by bin, events desc, event_type
            """,
            top=attrs["order"],
        )
        edges = pd.Series(cut.edges, dtype="int64")
        starts, ends = (edges.iloc[rows["bin"] + n].reset_index(drop=True) for n in (0, 1))
        attrs |= {"step": cut.step, "outside": total - untimed - int(rows["events"].sum())}
        attrs["edges"] = list(times_of(edges))
        if cut.step == "millisecond" and len(edges) == 2:
            attrs["moment"] = times_of(pd.Series([within[0]])).iloc[0]
    tidy = pd.DataFrame(
        {"start": times_of(starts), "end": times_of(ends), "event_type": rows["event_type"], "events": rows["events"]}
    )
    tidy.attrs = attrs
    return tidy


def event_mix(data: EventsLike) -> pd.DataFrame:
    """Types by share, commonest first: ``event_type``, ``events``, ``share`` (of all events), ``streams`` that have it.

    >>> import esbench as es
    >>> event_mix(es.open().load("data/shipments.jsonl")).head(2).round(3).to_dict("list")
    {'event_type': ['InTransit', 'ShipmentBooked'], 'events': [115, 80], 'share': [0.278, 0.194], 'streams': [58, 80]}
    """
    return events_of(data).df(
        """
        select event_type, count(*) as events, count(*) / sum(count(*)) over () as share,
            count(distinct stream_key) as streams
        from events group by event_type order by events desc, event_type
        """
    )


def stream_lengths(data: EventsLike) -> pd.DataFrame:
    """How many streams have how many events: ``length``, ``streams``, ``example`` (the first of them by position).

    >>> import esbench as es
    >>> stream_lengths(es.open().load("data/accounts.csv")).tail(1).to_dict("list")
    {'length': [15], 'streams': [7], 'example': ['account-1040']}
    """
    return events_of(data).df(
        """
        select length, count(*) as streams, arg_min(stream_id, position) as example
        from (
            select count(*) as length, any_value(stream_id) as stream_id, min(position) as position
            from events group by stream_key
        )
        group by length order by length
        """
    )

"""What the overview of a log reads: sums over a selection, made by the engine, of which at most a page leaves it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd

import esbench as es
from esbench.event import at
from esbench.events import Events
from esbench.log import Log
from esbench.widgets.calls import Call

__all__ = ["PAGE", "Picture", "Place", "moments", "read", "selected"]

#: Types that can be chosen, and events of a selection that are shown.
PAGE: Final = 50
_ROWS: Final = 20
_COLUMNS: Final = "position, recorded_at, stream_id, version, event_type, schema_version"

#: Upper bounds of spans of time in seconds, and what is below them.
_SPANS: Final = (
    (1, "under a second"),
    (60, "under a minute"),
    (3_600, "under an hour"),
    (86_400, "under a day"),
    (7 * 86_400, "under a week"),
    (30 * 86_400, "under 30 days"),
    (365 * 86_400, "under a year"),
)
_LONGER: Final = "a year or longer"
_NEGATIVE: Final = "recorded before it occurred"


@dataclass(frozen=True, slots=True)
class Place:
    """What is selected: events recorded from ``since`` on and before ``until``, of some types; None: all."""

    since: str | None = None
    until: str | None = None
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Everything that is on screen."""

    place: Place
    types: pd.DataFrame
    volume: pd.DataFrame
    events: int = 0
    streams: int = 0
    mix: pd.DataFrame | None = None
    lengths: pd.DataFrame | None = None
    ages: pd.DataFrame | None = None
    versions: pd.DataFrame | None = None
    lags: pd.DataFrame | None = None
    lag: tuple[float, float, float] | None = None
    page: pd.DataFrame | None = None


def selected(source: Events, place: Place, *, types: bool = True, times: bool = True) -> Events:
    """The events that are selected, or that only one half of the selection leaves."""
    conditions, bound = _conditions(place if types else replace(place, types=None), times)
    return source.where(" and ".join(conditions), **bound) if conditions else source


def moments(place: Place) -> tuple[datetime | None, datetime | None]:
    """The bounds of a selection as times. Raises BadCoordinate for what is none."""
    since, until = (None if text is None else at(as_of=text).as_of for text in (place.since, place.until))
    return since, until


def _conditions(place: Place, times: bool) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    bound: dict[str, Any] = {}
    for name, moment, sign in zip(("since", "until"), moments(place), (">=", "<"), strict=True):
        if times and moment is not None:
            conditions.append(f"recorded_at {sign} $_{name}::timestamptz")
            bound[f"_{name}"] = moment.isoformat()
    if place.types is not None:
        conditions.append("list_contains($_types::varchar[], event_type)")
        bound["_types"] = list(place.types)
    return conditions, bound


def read(call: Call, log: Log, place: Place) -> Picture:
    """Everything that is shown of a selection."""
    source = call.follow(log).source
    tidy = es.plots.tidy
    call.tell(0.0, "types")
    types = tidy.event_mix(source)
    call.tell(0.1, "volume over time")
    volume = tidy.timeline(selected(source, place, times=False))
    chosen = selected(source, place)
    call.tell(0.3, "events and streams")
    ((events, streams),) = chosen.rows("select count(*), count(distinct stream_key) from events")
    if not events:
        return Picture(place, types, volume)
    # Types by share tell what else is there: only the times narrow them.
    mix = types if place.since is place.until is None else tidy.event_mix(selected(source, place, types=False))
    call.tell(0.5, "streams")
    lengths = _lengths(tidy.stream_lengths(chosen))
    ages = _ages(chosen)
    call.tell(0.7, "schema versions")
    versions = tidy.timeline(_by_schema_version(chosen))
    call.tell(0.85, "lags")
    lags, lag = _lags(chosen)
    page = chosen.df(f"select {_COLUMNS} from events order by position limit {_ROWS}")
    return Picture(place, types, volume, events, streams, mix, lengths, ages, versions, lags, lag, page)


def _by_schema_version(events: Events) -> Events:
    """The same events, their schema version where their type stood: what counts types then counts these."""
    told = "case when schema_version is null then 'without a version' else 'version ' || schema_version end"
    return replace(events, query=f"select * replace ({told} as event_type) from ({events.query})", stored=None)


def _lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """Streams by length: each length by itself while they are few, else in steps that double."""
    lengths, streams = rows["length"].to_numpy(dtype=np.int64), rows["streams"].to_numpy(dtype=np.int64)
    if len(lengths) <= 12:
        return pd.DataFrame({"events": [f"{length:,}" for length in lengths], "streams": streams})
    steps = np.floor(np.log2(lengths)).astype(int)
    made = []
    for step in range(int(steps.min()), int(steps.max()) + 1):
        low, high = 2**step, 2 ** (step + 1) - 1
        made.append((f"{low:,}" if low == high else f"{low:,} to {high:,}", int(streams[steps == step].sum())))
    return pd.DataFrame(made, columns=["events", "streams"])


def _ages(events: Events) -> pd.DataFrame:
    """Streams by the time from their first event to their last."""
    return _spans(
        events,
        "select epoch(max(recorded_at)) - epoch(min(recorded_at)) as span from events group by stream_key",
    )


def _lags(events: Events) -> tuple[pd.DataFrame | None, tuple[float, float, float] | None]:
    """Events by the time from when they occurred to when they were recorded; its median, 95th percentile and most."""
    text = """
        select epoch(recorded_at) - epoch(occurred_at) as span
        from events where occurred_at is not null and recorded_at is not null
    """
    ((median, high, most),) = events.rows(
        f"select quantile_disc(span, 0.5), quantile_disc(span, 0.95), max(span) from ({text})"
    )
    return (None, None) if median is None else (_spans(events, text), (median, high, most))


def _spans(events: Events, text: str) -> pd.DataFrame:
    """How many of some spans in seconds are under which bound, in SQL; those that are not known are left out."""
    cases = " ".join(f"when span < {bound} then {place}" for place, (bound, _) in enumerate(_SPANS))
    found = events.rows(
        f"""
        select case when span < 0 then -1 {cases} else {len(_SPANS)} end as place, count(*)
        from ({text}) where span is not null group by place order by place
        """
    )
    names = {-1: _NEGATIVE, len(_SPANS): _LONGER} | {place: name for place, (_, name) in enumerate(_SPANS)}
    return pd.DataFrame([(names[place], n) for place, n in found], columns=["span", "count"])

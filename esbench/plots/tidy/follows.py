"""Which event type follows which, how often, and after how long."""

from __future__ import annotations

import pandas as pd

from esbench.plots.tidy.given import EventsLike, events_of

__all__ = ["transitions"]


def transitions(data: EventsLike) -> pd.DataFrame:
    """The directly-follows pairs of event types in the streams of a log, commonest first.

    Columns: ``before`` (missing where a stream begins), ``after`` (missing where it ends), ``events`` (how often),
    ``median_seconds`` between the two. Streams are followed in folding order: version, then position.

    >>> import esbench as es
    >>> transitions(es.open().load("data/shipments.jsonl")).head(2)[["before", "after", "events"]].values.tolist()
    [[nan, 'ShipmentBooked', 80], ['ShipmentBooked', 'PickedUp', 79]]
    """
    return events_of(data).df(
        """
        with pairs as (
            select
                lag(event_type) over folding as before, event_type as after,
                epoch_us(recorded_at) - lag(epoch_us(recorded_at)) over folding as took,
                lag(event_type) over folding is null as starts, lead(event_type) over folding is null as ends
            from events window folding as (partition by stream_key order by version, position)
        )
        select before, after, count(*) as events, median(took) / 1e6 as median_seconds
        from pairs group by before, after
        union all
        select after, null, count(*), null from pairs where ends group by after
        order by events desc, before nulls first, after
        """
    )

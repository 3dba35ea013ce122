"""What caused an event, and what it caused; or everything under one correlation id."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd
import pyarrow as pa

from esbench.checks.reader import reading
from esbench.errors import EsbenchError
from esbench.events import frame
from esbench.facts import MEANINGS
from esbench.payload import name_at
from esbench.plots.tidy.given import EventsLike, events_of

__all__ = ["causation"]

#: What metadata says of each event, read once.
_LINKS = f"""
    select position, event_id, {name_at("metadata", "$causation_id")} as cause,
        {name_at("metadata", "$correlation_id")} as correlation
    from events
"""

#: From some events up through their causes and down through their effects; equal rows are taken once, so cycles end.
_FAMILY = """
    with recursive
    bearers as (select event_id, min(position) as position from links where event_id is not null group by event_id),
    steps as (
        select links.position as effect, bearers.position as cause
        from links join bearers on links.cause = bearers.event_id where links.position <> bearers.position
    ),
    up as (
        select position from chosen
        union select steps.cause from up join steps on steps.effect = up.position
    ),
    down as (
        select position from chosen
        union select steps.effect from down join steps on steps.cause = down.position
    )
    select position from up union select position from down
"""


def causation(
    data: EventsLike, event: str | int | None = None, *, correlation: str | None = None, limit: int = 200
) -> pd.DataFrame:
    """The causes and effects of one event, or the events of one correlation id, as a tree in order of display.

    ``event``: an event id, or a position. Columns: ``position``, ``event_id``, ``event_type``, ``stream_id``,
    ``stream_type``, ``version``, ``recorded_at``, ``cause`` (the id that its metadata names), ``parent`` (the row of
    its cause; missing where that is not among the rows), ``known`` (whether the cause is in the log), ``depth``,
    ``chosen`` (the event that was asked for). An event follows its cause, siblings by position. At most ``limit`` rows:
    the nearest to the event by position, or the earliest; ``attrs``: ``events`` and ``streams`` in all.
    Raises EsbenchError where there is no such event.

    >>> import esbench as es
    >>> tree = causation(es.open().load("data/orders.jsonl.gz"), correlation="checkout-13300")
    >>> tree[["event_type", "depth"]].values.tolist()
    [['OrderPlaced', 0], ['PaymentRequested', 1], ['PaymentAuthorized', 2], ['PaymentCaptured', 3], ['OrderPaid', 4]]
    """
    if (event is None) == (correlation is None):
        raise EsbenchError("causation takes one of event= (an id or a position) and correlation=")
    events = events_of(data)
    keys = {**MEANINGS, **events.facts.keys}
    bound = {**keys, "wanted": correlation if event is None else event if isinstance(event, str) else int(event)}
    with reading(events, bound) as reader:
        reader.make("links", _LINKS)
        if event is None:
            where = "correlation = $wanted"
        elif isinstance(event, str):
            where = "event_id = $wanted"
        else:
            where = "position = $wanted"
        reader.make("chosen", f"select position from links where {where}")
        reader.make("family", "from chosen" if event is None else _FAMILY)
        rows = reader.arrow(
            """
            select events.position, events.event_id, event_type, stream_id, stream_type, version, recorded_at,
                links.cause, bearers.position as cause_position,
                events.position in (select position from chosen) as chosen
            from events
            join (select * from links where position in (select position from family)) as links using (position)
            left join (select event_id, min(position) as position from links group by event_id) as bearers
                on links.cause = bearers.event_id and bearers.position <> events.position
            order by events.position
            """
        )
        if event is not None and not rows.num_rows:
            kind = "id" if isinstance(event, str) else "position"
            raise EsbenchError(f'the log has no event with {kind} "{event}": see log.find')
    return _tree(rows, limit, alone=event is not None)


def _tree(rows: pa.Table, limit: int, *, alone: bool) -> pd.DataFrame:
    """Events by position, put in the order of a tree: each after its cause, an older sibling's effects before."""
    tidy = frame(rows)
    attrs: dict[Hashable | None, Any] = {"events": len(tidy), "streams": int(tidy["stream_id"].nunique())}
    if alone and len(tidy) > limit:
        away = (tidy["position"] - tidy.loc[tidy["chosen"], "position"].iloc[0]).abs()
        tidy = tidy.loc[away.sort_values(kind="stable").index[:limit].sort_values()]
    tidy = tidy.head(limit).reset_index(drop=True)
    cause = dict(zip(tidy["position"].tolist(), tidy["cause_position"].astype(object).tolist(), strict=True))
    effects: dict[Any, list[int]] = {}
    for position, parent in cause.items():
        effects.setdefault(parent if parent in cause else None, []).append(position)
    order: dict[int, int] = {}
    # What is in a circle of causes has no root; then the earliest of it stands for one.
    for root in [*effects.get(None, []), *cause]:
        stack = [(root, 0)]
        while stack:
            position, depth = stack.pop()
            if position not in order:
                order[position] = depth
                stack += [(effect, depth + 1) for effect in reversed(effects.get(position, []))]
    tidy = tidy.set_index("position").loc[list(order)].reset_index()
    place = {position: row for row, position in enumerate(order)}
    parents = [place.get(cause[position]) for position in order]
    known = tidy["cause_position"].notna()
    tidy = tidy.drop(columns="cause_position").assign(
        known=known, parent=pd.array(parents, dtype="Int64"), depth=list(order.values()), chosen=tidy["chosen"] & alone
    )
    tidy.attrs = attrs
    return tidy

"""States one after another: a stream after each of its events, and every stream at every version."""

from __future__ import annotations

from collections import deque
from typing import Any

import duckdb
import pandas as pd

from esbench.aggregate import Aggregate
from esbench.errors import AggregateError, BadCoordinate
from esbench.event import At
from esbench.events import Events
from esbench.fold import keyed, sql
from esbench.fold.frames import field_columns
from esbench.fold.keyed import StreamOrKey
from esbench.fold.python import Step, initial_state, steps
from esbench.fold.single import followed, judge
from esbench.fold.snapshots import Shelf
from esbench.fold.state import SHOWN, Broken, trust_text
from esbench.projection import Projection
from esbench.travel.taken import END, SHOWN_COLUMNS, alone, event_columns, fault

__all__ = ["history", "timeline"]


def history(
    events: Events,
    aggregate: Aggregate,
    stream_id: StreamOrKey,
    at: At = END,
    *,
    last: int | None = None,
    forks: str = "all",
    snapshots: Shelf | None = None,
) -> pd.DataFrame:
    """Every event of a stream up to a coordinate, one row each, with the state after it; or only the ``last`` of them.

    Columns: ``version``, ``position``, ``event_id``, ``event_type``, ``recorded_at``, the fields of the state,
    ``changed`` (a tuple of :class:`~esbench.fold.changes.Change`), ``trust`` and ``broken`` of the state at
    that version. Rows that are left out are folded without being kept, in a whole stream from the nearest of the
    log's ``snapshots``: those that stay are the same.
    """
    if last is not None and (not hasattr(last, "__index__") or last < 0):
        raise BadCoordinate(f"last= is a number of events, not {last!r}")
    chosen = keyed.one_chosen(events, aggregate, stream_id, at=at, forks=forks)
    found, taken, one = alone(chosen, aggregate, at, forks, columns=SHOWN_COLUMNS)
    begun: dict[int, Any] = {}
    if last is not None and one is not None and found.keys and found.events[0] > last:
        head = one.first(found.events[0] - int(last))
        shelf = None if aggregate.keyed else snapshots
        done = (
            followed(head.held, aggregate, initial_state(aggregate), {})
            if shelf is None
            else shelf.fold(head, keyed.told(stream_id), aggregate)
        )
        if done is not None:
            begun, taken = {found.keys[0]: done[0]}, one.after(head.found.events[0])
    marks = [mark for key in found.keys for mark in found.marks(key)]
    every: deque[Step] = deque(maxlen=last)
    for step in steps(taken, aggregate, columns=SHOWN_COLUMNS, begun=begun, compared=True) if found.keys else ():
        every.append(step)
        if step.error is not None:
            marks.append(fault(step.event.version, step.error))
    marks.sort()
    trust, broken = [], []
    counted = 0
    judged: dict[str, Broken] = {}
    for step in every:
        while counted < len(marks) and marks[counted].version <= step.event.version:
            counted += 1
        trust.append(trust_text(marks[: min(counted, SHOWN + 1)], 1))
        judge(aggregate, step.event, step.value, judged, step.flat)
        broken.append("; ".join(name for name in aggregate.invariants if name in judged))
    shown = event_columns([step.event for step in every])
    beside = {*shown, "changed", "trust", "broken"}
    fields = field_columns([step.value for step in every], beside)
    if not every and isinstance(aggregate, Projection):
        # No state says which fields it has, but the declaration does.
        declared = sql.fold(chosen.where("false"), aggregate).fields
        fields = {f"state_{name}" if name in beside else name: column for name, column in declared.items()}
    return pd.DataFrame(
        {
            **shown,
            **fields,
            "changed": pd.Series([tuple(step.changed) for step in every], dtype="object"),
            "trust": pd.Series(trust, dtype="str"),
            "broken": pd.Series(broken, dtype="str"),
        }
    )


def timeline(events: Events, projection: Projection) -> duckdb.DuckDBPyRelation:
    """The state of every covered stream after each of its events, as a DuckDB relation, one row an event.

    Columns: ``stream_id``, ``version``, ``position``, ``event_type``, ``recorded_at``, and the projection's. In no
    order; events that are appended later are not in it. Of a read model, the parts of the key come first. Integers
    and decimals stay exact in ``es.frame(relation)`` and in Arrow; the relation's own ``df()`` makes floats of decimals
    and of integers that may pass 64 bits. Raises AggregateError for an aggregate with Python handlers.
    """
    if not isinstance(projection, Projection):
        raise AggregateError(f"a timeline is made of an es.Projection, not of {projection!r}: see history()")
    return keyed.timeline(events, projection)

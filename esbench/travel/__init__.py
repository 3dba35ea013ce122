"""Time travel: the state of a stream, or of all, at any point in history; what changed, and which event did it.

Plain functions over Events: :mod:`~esbench.travel.states`, :mod:`~esbench.travel.histories`,
:mod:`~esbench.travel.differences`. A coordinate takes the events recorded at or before it (:class:`~esbench.event.At`);
they are folded in order of version, then position, and every answer carries how far it can be trusted. Values and, for
what changed, steps come from the same fold.

>>> import duckdb
>>> from esbench.aggregate import Aggregate
>>> from esbench.event import CANONICAL, at
>>> from esbench.events import Events
>>> con = duckdb.connect()
>>> columns = ", ".join(f"null::{kind} as {name}" for name, kind in CANONICAL.items())
>>> added = "1 as stream_key, n as position, 'item-1' as stream_id, n as version, 'Added' as event_type"
>>> events = Events(con, f"select * replace ({added}) from (select 1 as stream_key, {columns}), range(1, 4) r(n)")
>>> item = Aggregate("Item", initial={"quantity": 0})
>>> @item.on("Added")
... def add(state, event):
...     return {"quantity": state["quantity"] + 5}
>>> state(events, item, "item-1", at(version=2))
State(quantity=10) at item-1@2, complete
>>> history(events, item, "item-1")[["version", "quantity", "changed"]].values.tolist()
[[1, 5, (/quantity: 0 → 5,)], [2, 10, (/quantity: 5 → 10,)], [3, 15, (/quantity: 10 → 15,)]]
"""

from __future__ import annotations

from esbench.travel.differences import blame, diff
from esbench.travel.histories import history, timeline
from esbench.travel.states import state, states, values
from esbench.travel.taken import surveyed

__all__ = ["blame", "diff", "history", "state", "states", "surveyed", "timeline", "values"]

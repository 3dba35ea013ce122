"""What a plot is given: a log, events, or a frame that is tidy already."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, TypeGuard

import duckdb
import pandas as pd
import pyarrow as pa

from esbench.errors import EsbenchError
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.log import Log
from esbench.show import cell

__all__ = ["EventsLike", "each", "events_of", "is_tidy", "times_of"]

#: What events are read from: a log, Events, or a frame with columns of a log, such as ``log.events("item-123")``.
EventsLike = Log | Events | pd.DataFrame


def is_tidy(data: object, columns: Collection[str]) -> TypeGuard[pd.DataFrame]:
    """Whether something is a frame that has these columns."""
    return isinstance(data, pd.DataFrame) and set(columns) <= set(data.columns)


def events_of(data: object) -> Events:
    """Events of a log, or of a frame with ``stream_id``, ``version`` and ``event_type`` and what else a log has.

    Raises EsbenchError for anything else.
    """
    if isinstance(data, Events):
        return data
    source = getattr(data, "source", None)
    if isinstance(source, Events) and isinstance(data, Log):
        return source
    needed = ("stream_id", "version", "event_type")
    if isinstance(data, pd.DataFrame) and set(needed) <= set(data.columns):
        return _framed(data)
    given = f"a frame with columns {cell(', '.join(map(str, data.columns)))}" if isinstance(data, pd.DataFrame) else ""
    raise EsbenchError(
        f"a plot takes a log, a frame of events ({', '.join(needed)}, …), or the frame that esbench.plots.tidy "
        f"makes for it; this is {given or cell(repr(data))}"
    )


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a frame, with their columns as attributes."""
    yield from frame.itertuples(index=False)


def times_of(microseconds: pd.Series[Any]) -> pd.Series[Any]:
    """Times in UTC of microseconds since 1970."""
    return microseconds.astype("int64").astype("datetime64[us]").dt.tz_localize("UTC")


def _framed(frame: pd.DataFrame) -> Events:
    """The rows of a frame as events; what it does not have is not known."""
    there = [name for name in CANONICAL if name in frame.columns]
    try:
        table = pa.Table.from_pandas(frame[there], preserve_index=False)
    except pa.ArrowException as error:
        raise EsbenchError(f"the frame's columns are not those of events: {cell(str(error), width=200)}") from None
    con = duckdb.connect()
    con.register("given", table)
    values = {name: name if name in there else "null" for name in CANONICAL} | (
        {} if "position" in there else {"position": "row_number() over ()"}
    )
    columns = ", ".join(f"({values[name]})::{kind} as {name}" for name, kind in CANONICAL.items())
    con.execute(
        f"create table events as select dense_rank() over (order by stream_id) as stream_key, {columns} from given"
    )
    con.unregister("given")
    return Events(con, "select * from events")

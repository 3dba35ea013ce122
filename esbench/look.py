"""Looking at a log: its streams, its types, its events, and where a value occurs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from esbench import payload
from esbench.aggregate import Aggregate, covered
from esbench.errors import BadCoordinate
from esbench.event import CANONICAL, At
from esbench.events import Events

__all__ = ["events_frame", "find", "find_streams", "streams", "types"]

#: Where :func:`find` looks, and the columns of what it finds.
_NAMES, _PAYLOADS = ("stream_id", "event_id", "event_type"), ("data", "metadata")
_FOUND = ["stream_id", "version", "position", "event_type", "place", "path", "value"]


def streams(events: Events) -> pd.DataFrame:
    """One row a stream: id, type, number of events, first and last version, first and last time and position."""
    return events.df(
        """
        select
            any_value(stream_id) as stream_id,
            any_value(stream_type order by version, position) as stream_type,
            count(*) as events,
            min(version) as first_version,
            max(version) as last_version,
            min(recorded_at) as first_recorded_at,
            max(recorded_at) as last_recorded_at,
            min(position) as first_position,
            max(position) as last_position
        from events
        group by stream_key
        order by stream_key
        """
    )


def find_streams(
    events: Events, text: str = "", *, aggregate: Aggregate | None = None, limit: int = 50, offset: int = 0
) -> pd.DataFrame:
    """A page of the ids of streams that have ``text`` in them, however it is capitalised; one column, ``stream_id``.

    Ids that begin with the text come first, each part in order; ``result.attrs["of"]`` counts all that have it. Asked
    of a stored log, this reads its list of streams alone, and so is quick among millions. With an ``aggregate``: only
    streams that it covers; raises AggregateError where that cannot be told.
    """
    chosen = events if aggregate is None else covered(events, aggregate)
    streams, bound = events.streams, dict[str, Any]()
    if streams is None:
        streams, bound = f"select distinct stream_key, stream_id from ({chosen.query})", dict(chosen.parameters)
    elif chosen is not events:
        streams = f"from ({streams}) where stream_key in (select stream_key from ({chosen.query}))"
        bound = dict(chosen.parameters)
    where = f"from ({streams}) where contains(lower(stream_id), lower($text))"
    with events.reading() as cursor:
        (of,) = cursor.execute(f"select count(*) {where}", {**bound, "text": text}).fetchall()[0]
        rows = cursor.execute(
            f"""
            select stream_id {where}
            order by starts_with(lower(stream_id), lower($text)) desc, stream_id limit $limit offset $offset
            """,
            {**bound, "text": text, "limit": limit, "offset": offset},
        ).fetchall()
    found = pd.DataFrame({"stream_id": pd.Series([name for (name,) in rows], dtype="str")})
    found.attrs["of"] = of
    return found


def types(events: Events) -> pd.DataFrame:
    """One row an event type and schema version: number of events and streams, first and last time; commonest first."""
    return events.df(
        """
        select
            event_type,
            schema_version,
            count(*) as events,
            count(distinct stream_key) as streams,
            min(recorded_at) as first_recorded_at,
            max(recorded_at) as last_recorded_at
        from events
        group by event_type, schema_version
        order by events desc, event_type, schema_version
        """
    )


def events_frame(events: Events, stream: str | int | None, at: At, *, last: int | None = None) -> pd.DataFrame:
    """Events up to a coordinate: of one stream in folding order, of all by position; ``last`` keeps the last n."""
    if last is not None and (not hasattr(last, "__index__") or last < 0):
        raise BadCoordinate(f"last= is a number of events, not {last!r}")
    chosen = (events if stream is None else events.stream(stream)).at(at)
    columns = ", ".join(CANONICAL)
    order = "position" if stream is None else "version, position"
    if last is None:
        return chosen.df(f"select {columns} from events order by {order}")
    reverse = "position desc" if stream is None else "version desc, position desc"
    return chosen.df(
        f"select {columns} from (select * from events order by {reverse} limit $last) order by {order}",
        last=None if last is None else int(last),
    )


def find(events: Events, value: object, *, limit: int = 1_000) -> pd.DataFrame:
    """Where a value occurs: in ids and types, and in payloads and metadata, there with its path.

    ``value`` is a text, matched anywhere in an id, a string or a name of a payload (however it is escaped there) and
    in a number as it is written; True, False and None are matched as JSON has them. Rows in folding order: stream_id,
    version, position, event_type, place (a column, ``data``, ``metadata``, or ``data name``, ``metadata name`` for a
    name), path (JSON Pointer), value. At most ``limit`` rows; ``result.attrs["more"]`` says whether there are others.
    """
    wanted = payload.encode(value) if value is None or isinstance(value, bool) else str(value)
    rows: list[tuple[Any, ...]] = []
    for row in _candidates(events, wanted):
        rows.extend((*row[:4], *hit) for hit in _hits(row, wanted))
        if len(rows) > limit:
            break
    found = pd.DataFrame(rows[:limit], columns=_FOUND).astype({"version": "int64", "position": "int64"})
    found.attrs["more"] = len(rows) > limit
    return found


def _candidates(events: Events, wanted: str) -> Iterator[tuple[Any, ...]]:
    """The events that may hold a text: those that show it, and those whose escapes may hide it."""
    # Letters and digits can only hide behind the escapes of ASCII, which writers leave alone.
    escapes = r"\\u00[0-7]" if re.fullmatch("[A-Za-z0-9 _.:+-]*", wanted) else r"\\"
    name = f"_find{len(events.parameters)}"
    hidden = f"${name}_escapes"
    chosen = events.where(
        " or ".join(
            [f"contains({column}, ${name})" for column in _NAMES]
            + [
                f"contains({column}::varchar, ${name}) or case when contains({column}::varchar, chr(92)) "
                f"then regexp_matches({column}::varchar, {hidden}) else false end"
                for column in _PAYLOADS
            ]
        ),
        **{name: wanted, f"{name}_escapes": escapes},
    )
    for batch in chosen.batches(["stream_id", "version", "position", "event_type", "event_id", *_PAYLOADS], rows=2_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _hits(row: tuple[Any, ...], wanted: str) -> Iterator[tuple[str, str | None, str]]:
    """Place, path and value of every occurrence in one event."""
    stream_id, _, _, event_type, event_id, *payloads = row
    for name, text in zip(_NAMES, (stream_id, event_id, event_type), strict=True):
        if text is not None and wanted in text:
            yield name, None, text
    for name, text in zip(_PAYLOADS, payloads, strict=True):
        for path, key, leaf in _members(text) if text is not None else ():
            if key is not None and wanted in key:
                yield f"{name} name", path, key
            if leaf is not None and wanted in leaf:
                yield name, path, leaf


class _Pairs(tuple[tuple[str, Any], ...]):
    """The members of an object, also those whose name stands twice."""


class _Number(str):
    """A number as it is written."""


def _members(text: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Every value of a payload: its path, its own name in an object, and its text if it has no members."""
    try:
        # The decoder of payloads would make 1.1 of 1.10, and keep one of two equal names.
        whole = json.loads(text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number)
    except (ValueError, RecursionError):
        yield "", None, text
        return
    stack: list[tuple[str, str | None, Any]] = [("", None, whole)]
    while stack:
        path, key, value = stack.pop()
        if isinstance(value, str):
            yield path, key, str(value)
        elif isinstance(value, _Pairs):
            yield path, key, None
            stack += [(f"{path}/{name.replace('~', '~0').replace('/', '~1')}", name, v) for name, v in reversed(value)]
        elif isinstance(value, list):
            yield path, key, None
            stack += [(f"{path}/{index}", None, v) for index, v in reversed(list(enumerate(value)))]
        else:
            yield path, key, payload.encode(value)

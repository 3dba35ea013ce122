"""Read models: events under the keys of a projection instead of their streams, so that every fold takes them.

An event's key stands where its stream stood, and its position where its version stood; what it was before is beside
it. So a read model is folded by position, by the same engines, and trusted by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import duckdb
import pandas as pd

from esbench.aggregate import Aggregate, covered, refuse_other
from esbench.errors import AggregateError, BadCoordinate, EsbenchError, UnknownStream, nearest
from esbench.event import At, quote
from esbench.events import Events
from esbench.facts import Facts
from esbench.fold import sql
from esbench.projection import Projection

__all__ = ["StreamOrKey", "chosen", "one_chosen", "shown", "timeline", "told", "under_keys", "without_key"]

_Value: TypeAlias = str | int | float | Decimal | date
#: What names one of the things that are folded: the id of a stream, of which an integer stands for its digits; of a
#: read model a key, which is a value (a time is a date too) or a tuple of as many as the key has parts.
StreamOrKey: TypeAlias = _Value | tuple[_Value, ...]


def chosen(
    events: Events, aggregate: Aggregate, stream: object = None, *, at: Collection[At] = (), forks: str = "all"
) -> Events:
    """The events that a verb folds: of one stream or of all that an aggregate covers; of a read model, by its keys.

    ``stream`` is then a key: a value, or a tuple of several. Raises UnknownStream, and BadCoordinate for a version,
    which a read model does not have.
    """
    refuse_other(aggregate)
    for one in at:
        if not isinstance(one, At):
            raise BadCoordinate(f"a coordinate is such as es.at(version=3), not {one!r}")
    if not isinstance(aggregate, Projection) or not aggregate.keyed:
        return covered(events, aggregate) if stream is None else events.stream(stream)  # type: ignore[arg-type]
    if any(one.version is not None for one in at):
        raise BadCoordinate(
            f'"{aggregate.name}" is a read model, which has no versions: take as_of= or position= instead of version='
        )
    if forks != "all":
        raise AggregateError(f'"{aggregate.name}" is a read model, which folds every event: forks= is for streams')
    by_key = under_keys(events, aggregate)
    return by_key if stream is None else _of_key(by_key, aggregate, stream)


def one_chosen(events: Events, aggregate: Aggregate, stream: object, *, at: At, forks: str) -> Events:
    """The events of one stream, or of one key, that a verb folds; None names neither."""
    if stream is None:
        raise EsbenchError("one stream is asked for, by its id: None names no stream")
    return chosen(events, aggregate, stream, at=[at], forks=forks)


def under_keys(events: Events, projection: Projection) -> Events:
    """The events that a read model folds; ``stream_id`` tells the key, ``_key0`` and so on are its parts.

    ``_stream_id`` and ``_version`` are those of the event. Keys are numbered in ascending order over the whole log, so
    that a key has one number at every coordinate.
    """
    given = _handled(events, projection)
    names = [f"_key{number}" for number in range(len(projection.key))]
    parts = ", ".join(f"{part.expression} as {name}" for name, part in zip(names, projection.key, strict=True))
    listed = ", ".join(names)
    there = " and ".join(f"{name} is not null" for name in names)
    label = " || ', ' || ".join(f"{name}::varchar" for name in names)
    query = f"""
        select * exclude (_key, _told) replace (
            _key as stream_key, position as version, _told as stream_id
        ) from (
            select *, stream_id as _stream_id, version as _version, {parts} from ({given.query})
        )
        join (
            select {listed}, row_number() over (order by {listed}) as _key, {label} as _told
            from (select distinct {parts} from ({given.query})) where {there}
        ) using ({listed})
    """
    facts = Facts(None, derived_versions=True, positions=events.facts.positions, keys=events.facts.keys)
    return replace(given, query=query, facts=facts, streams=None, ordered=False)


def shown(states: pd.DataFrame, events: Events, taken: Events, projection: Aggregate, at: At) -> pd.DataFrame:
    """The states of a read model, in which the key stands first and a place is a position."""
    assert isinstance(projection, Projection)
    parts = ", ".join(f"any_value(_key{number}) as {quote(part.name)}" for number, part in enumerate(projection.key))
    keys = taken.df(f"select {parts} from events group by stream_key order by stream_key")
    rest = states.drop(columns="stream_id").rename(columns={"version": "position"})
    result = pd.concat([keys, rest[[name for name in rest.columns if name not in keys.columns]]], axis="columns")
    result.attrs["missing_key"] = without_key(events, projection, at)
    return result


def without_key(events: Events, projection: Projection, at: At) -> int:
    """How many events up to a coordinate a read model would fold if they had a key."""
    missing = " or ".join(f"{part.expression} is null" for part in projection.key)
    counted = _handled(events, projection).at(at).rows(f"select count(*) from events where {missing}")
    return int(counted[0][0])


def timeline(events: Events, projection: Projection) -> duckdb.DuckDBPyRelation:
    """Every stream that a projection covers, or every row of a read model, after each of its events."""
    by_key = chosen(events, projection)
    if not projection.keyed:
        return sql.timeline(by_key, projection, refuse=True)
    keys = {part.name: f"_key{number}" for number, part in enumerate(projection.key)}
    columns = {"stream_id": "_stream_id", "version": "_version"}
    columns |= {name: name for name in ("position", "event_type", "recorded_at")}
    told = [f"{column} as {quote(name)}" for name, column in {**columns, **keys}.items()]
    order = [quote(name) for name in {**keys, **columns, **projection.columns}]
    made = ", ".join(map(quote, projection.columns))
    return sql.timeline(
        by_key,
        projection,
        refuse=True,
        shown_by=lambda running: (
            f"""
            select {", ".join(order)}
            from (select position as _position, {made} from ({running}))
            join (select position as _position, {", ".join(told)} from ({by_key.query})) using (_position)
        """
        ),
    )


def told(stream: object) -> str:
    """A stream's id as it is; a key as text."""
    return ", ".join(map(str, stream)) if isinstance(stream, tuple) else str(stream)


def _handled(events: Events, projection: Projection) -> Events:
    """The events that a read model folds if they have a key, of the log as it is now."""
    wide = covered(events, projection.aggregate)
    last = events.rows("select max(position) from events")[0][0]
    count = len(wide.parameters)
    return wide.where(
        f"position <= $_last{count} and event_type in (select unnest($_types{count}))",
        **{f"_last{count}": last, f"_types{count}": list(projection.event_types)},
    )


def _of_key(by_key: Events, projection: Projection, key: object) -> Events:
    values = key if isinstance(key, tuple) else (key,)
    if len(values) != len(projection.key):
        names = ", ".join(part.name for part in projection.key)
        raise UnknownStream(f'a key of "{projection.name}" is ({names}), not {key!r}')
    start = len(by_key.parameters)
    parts, bound = [], dict[str, Any]()
    for number, (part, value) in enumerate(zip(projection.key, values, strict=True)):
        # Bound as text, because a bound time goes through the session's time zone.
        parts.append(f"_key{number} = try_cast($_part{start}_{number}::varchar as {part.kind})")
        bound[f"_part{start}_{number}"] = str(value)
    found = by_key.rows(f"select stream_key from events where {' and '.join(parts)} limit 1", **bound)
    if not found:
        near = by_key.rows(
            """
            select distinct stream_id, levenshtein(left(stream_id, 200), left($wanted, 200)) as far
            from events order by far, stream_id limit 20
            """,
            wanted=told(key),
        )
        raise UnknownStream(
            f'no key "{told(key)}" in "{projection.name}".{nearest(told(key), [row[0] for row in near])}'
        )
    return by_key.where(f"stream_key = $_key{start}", **{f"_key{start}": found[0][0]})

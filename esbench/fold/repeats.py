"""In which streams an id may stand twice: proven once of a stored log, and kept in memory while the log stays so.

What is true of a log is true of any part of it: no slice has an id twice in a stream where the log has none. A log only
grows, and one that is loaded anew is another table, so the table's number and its extent tell whether the log is still
the one that was looked at. Nothing is written, and forgetting costs time alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import duckdb
import numpy as np

from esbench.event import quote
from esbench.events import Events

__all__ = ["repeating"]

#: How many hashes are compared at once (8 bytes each).
_PART = 4_000_000
#: A part of a log that has fewer than one in so many of its events is looked at by itself.
_SMALL: Final = 8

#: By connection and log: the log's extent, and what was proven of it.
_known: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, tuple[tuple[int, ...], list[int]]]]
_known = WeakKeyDictionary()


def repeating(taken: Events, events: int) -> list[int]:
    """The keys of the streams that have an id twice, and perhaps of more; ``events``: how many there are."""
    log = taken.within
    if log is None:
        return _found(taken)
    extent = _extent(taken.con, log)
    known = _known.setdefault(taken.con, {})
    if log in known and known[log][0] == extent:
        return known[log][1]
    if events * _SMALL < extent[1]:
        return _found(taken)
    # The extent was read before: what is appended meanwhile is looked at too, and then looked at again.
    known[log] = extent, _found(replace(taken, query=f"select * from log.{quote(log)}", parameters={}))
    return known[log][1]


def _extent(con: duckdb.DuckDBPyConnection, log: str) -> tuple[int, ...]:
    """What changes when a log does: the number of its table, how many events it has, and the highest position."""
    with con.cursor() as cursor:
        (row,) = cursor.execute(
            f"""
            select count(*), coalesce(max(position), 0), (
                select max(table_oid) from duckdb_tables()
                where database_name = current_database() and schema_name = 'log' and table_name = $log
            )
            from log.{quote(log)}
            """,
            {"log": log},
        ).fetchall()
    return tuple(row)


def _found(events: Events) -> list[int]:
    if events.ordered:
        return _in_parts(events)
    rows = events.rows(
        """
        select distinct stream_key
        from (
            select stream_key from events where event_id is not null
            group by stream_key, hash(event_id) having count(*) > 1
        )
        order by stream_key
        """
    )
    return [key for (key,) in rows]


def _in_parts(events: Events) -> list[int]:
    """Of events in folding order, where streams come one after another.

    So hashes of stream and id are compared in parts that end where a stream ends; sorting them takes a third of the
    time of a hash table.
    """
    found: list[int] = []
    part: list[tuple[Any, Any]] = []
    size = 0
    for batch in events.batches(["stream_key", "hash(stream_key, event_id) as hashed"], where="event_id is not null"):
        keys, hashes = batch.column(0).to_numpy(), batch.column(1).to_numpy()
        part.append((keys, hashes))
        size += len(hashes)
        end = int(np.searchsorted(keys, keys[-1])) if size > _PART else 0
        if end:
            part[-1] = keys[:end], hashes[:end]
            found += _in_part(part)
            part = [(keys[end:], hashes[end:])]
            size = len(hashes) - end
    return found + _in_part(part)


def _in_part(part: list[tuple[Any, Any]]) -> list[int]:
    if not part:
        return []
    hashes = np.concatenate([each for _, each in part])
    ascending = np.sort(hashes)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    if not len(twice):
        return []
    keys = np.concatenate([each for each, _ in part])
    several: list[int] = np.unique(keys[np.isin(hashes, twice)]).tolist()
    return several

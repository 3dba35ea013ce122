"""Logs made of others, with where each event comes from; drawn at random, without the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from esbench.event import CANONICAL
from esbench.events import Events
from esbench.facts import Facts
from tests.oracle import Row
from tests.strategies import hostile_texts, payload_texts

__all__ = ["Derived", "derived", "events_of", "plain"]

_KINDS = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Derived:
    """An event of a derived log; ``others`` were merged into it, ``nth`` tells those of one source event apart."""

    row: Row
    origin: int | None
    others: tuple[int, ...] = ()
    nth: int = 0
    source: int = 0


def plain(rows: Iterable[Row]) -> list[Derived]:
    """A log that is no other's."""
    return [Derived(row, row.position) for row in rows]


def events_of(con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Derived], *, lineage: bool = True) -> Events:
    """Rows as a table of the database, as Events."""
    columns = [each.row.columns() for each in rows]
    keys: dict[str, int] = {}
    for row in columns:
        keys.setdefault(row["stream_id"], len(keys) + 1)
    table: dict[str, Any] = {"stream_key": pa.array([keys[row["stream_id"]] for row in columns], pa.int64())}
    table |= {column: pa.array([row[column] for row in columns], _KINDS[kind]) for column, kind in CANONICAL.items()}
    if lineage:
        table["source"] = pa.array([each.source for each in rows], pa.uint8())
        table["origin"] = pa.array([each.origin for each in rows], pa.int64())
        table["others"] = pa.array([list(each.others) or None for each in rows], pa.list_(pa.int64()))
        table["nth"] = pa.array([each.nth for each in rows], pa.int32())
    con.register("given", pa.table(table))
    casts = ", ".join(f"{column}::{kind} as {column}" for column, kind in CANONICAL.items() if kind == "JSON")
    con.execute(f"create or replace table {name} as select * replace ({casts}) from given")
    con.unregister("given")
    return Events(con, f"select * from {name}", Facts(positions="recorded"))


@st.composite
def derived(draw: st.DrawFn, rows: Sequence[Row], *, merges: bool = True) -> list[Derived]:
    """What some migration might make of a log; positions are given anew, as by one that adds events."""
    fates = ["keep"] * 4 + ["drop", "change", "split", "before"] + ["merge"] * merges
    found: list[Derived] = []
    for row in rows:
        fate = draw(st.sampled_from(fates))
        if fate == "merge" and found and found[-1].nth == 0:
            last = found[-1]
            found[-1] = replace(last, row=replace(last.row, data_text='{"n":9}'), others=(*last.others, row.position))
        elif fate == "change":
            found.append(Derived(draw(_changed(row)), row.position))
        elif fate in ("split", "before"):
            nth = 1 if fate == "split" else -1
            more = replace(draw(_changed(row)), version=row.version + nth, event_id=None)
            found += sorted((Derived(row, row.position), Derived(more, row.position, nth=nth)), key=lambda d: d.nth)
        elif fate != "drop":
            found.append(Derived(row, row.position))
    if draw(st.booleans()):
        found.append(Derived(Row(0, draw(hostile_texts()), 1), None, source=draw(st.sampled_from((0, 1)))))
    return [replace(each, row=replace(each.row, position=n)) for n, each in enumerate(found, start=1)]


@st.composite
def _changed(draw: st.DrawFn, row: Row) -> Row:
    changes: dict[str, st.SearchStrategy[Any]] = {
        "event_type": hostile_texts(),
        "data_text": st.one_of(st.none(), payload_texts(), st.just('{"a":\r\n 1}')),
        "metadata_text": st.one_of(st.none(), payload_texts()),
        "version": st.integers(0, 9),
        "stream_id": hostile_texts(),
        "event_id": st.one_of(st.none(), hostile_texts()),
        "schema_version": st.sampled_from((None, 1, 2)),
        "recorded_at": st.just(None),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(changes)), max_size=3))
    return replace(row, **{name: draw(changes[name]) for name in sorted(chosen)})

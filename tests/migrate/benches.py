"""Benches with drawn logs, and what stands in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

import esbench as es
from esbench.bench import Bench
from esbench.event import CANONICAL, quote
from esbench.events import Events
from esbench.log import Log
from tests.oracle import Row

__all__ = ["bench_of", "contents", "lineage_of", "load", "rows_of", "simple"]

_KINDS = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


def load(bench: Bench, rows: Iterable[Row], name: str = "log", *, append: bool = False) -> Log:
    """Rows as a log of the bench; each of them becomes an event."""
    columns = [row.columns() for row in rows]
    table = pa.table({name: pa.array([row[name] for row in columns], _KINDS[kind]) for name, kind in CANONICAL.items()})
    log = bench.load(table, name, append=append)
    assert log.rejects.empty
    return log


def bench_of(rows: Iterable[Row], path: str | os.PathLike[str] | None = None) -> tuple[Bench, Log]:
    bench = es.open(path)
    return bench, load(bench, rows)


def rows_of(events: Events | Log) -> list[dict[str, Any]]:
    """Every event, in order of position."""
    source = events if isinstance(events, Events) else events.source
    columns = ", ".join(("stream_key", *(f"{n}::varchar as {n}" if k == "JSON" else n for n, k in CANONICAL.items())))
    return source.arrow(f"select {columns} from events order by position").to_pylist()


def lineage_of(bench: Bench, name: str) -> list[tuple[int, tuple[int, ...], int]]:
    """Of each event of a log that a migration made: position, positions in its source, and the bits of its steps."""
    rows = bench.con.execute(
        f"""
        select position, list_concat([coalesce(origin, position)], others), steps
        from log.{quote(name)} order by position
        """
    ).fetchall()
    return [(position, tuple(origins), steps) for position, origins, steps in rows]


def contents(bench: Bench, *, hashed: bool = False) -> dict[str, list[Any]]:
    """Everything in the file but when it was written; ``hashed``: of logs a number that tells their rows."""
    tables = bench.con.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database() order by all"
    ).fetchall()
    found = {}
    for schema, table in tables:
        columns = [
            column
            for (column,) in bench.con.execute(
                "select column_name from duckdb_columns() where schema_name = $s and table_name = $t "
                "and not ends_with(column_name, '_at') order by column_index",
                {"s": schema, "t": table},
            ).fetchall()
        ]
        names, whole = ", ".join(map(quote, columns)), f"{quote(schema)}.{quote(table)}"
        asked = f"select {names} from {whole} order by all"
        if hashed and schema == "log":
            asked = f"select count(*), bit_xor(hash({names})) from {whole}"
        found[f"{schema}.{table}"] = bench.con.execute(asked).fetchall()
    return found


def simple(*streams: str, events: int = 4, start: int = 1, position: int = 1, **values: Any) -> list[Row]:
    """Whole streams, interleaved, with an id on each event."""
    return [
        Row(
            position=position + (version - start) * len(streams) + place,
            stream_id=name,
            version=version,
            event_id=f"{name} {version}",
            data_text=f'{{"n": {version}}}',
            **{"event_type": "Added", "stream_type": "Counter", **values},
        )
        for version in range(start, start + events)
        for place, name in enumerate(streams)
    ]

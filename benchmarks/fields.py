"""How payload fields are reached: JSON text, or VARIANT or typed columns kept beside it as a cache that is derived.

Each is a table of the same rows in the same order; the SQL is written by hand, so that only the way differs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import duckdb

import esbench as es
from benchmarks import logs
from benchmarks.measure import cost, fresh, in_turn, report
from benchmarks.projections import READ

__all__ = ["run"]

_KEPT = "stream_key, stream_id, version, position, event_type, recorded_at"
#: By way: the columns of its table, and how a quantity and a name are read from it.
_WAYS = {
    "JSON text": ("data", "(data->>'$.quantity')::bigint", "data->>'$.name'"),
    "VARIANT": ("data::variant as data", "data.quantity::bigint", "data.name::varchar"),
    "typed columns": (
        "try_cast(data->>'$.quantity' as bigint) as quantity, data->>'$.name' as name",
        "quantity",
        "name",
    ),
}
_WINDOW = "over (partition by stream_key order by version rows unbounded preceding)"

#: Payloads that a way may not keep.
_TEXTS = ('{"n":1.10}', '{"n":18446744073709551617}', '{"n":"seven"}', '{"n":1e400}', '{"n":1,"n":2}', '{"b":1,"a":2}')


def run(folder: Path, events: int, rounds: int) -> None:
    """What each way costs to derive and on disk, how fast it is read, and what it makes of awkward payloads."""
    with es.open(fresh(folder / "fields.duckdb")) as bench:
        bench.load(logs.compact(folder, events), "events")
        con = bench.con
        print("\nderiving a table of 6 columns and the payload")
        for number, (way, (columns, _, _)) in enumerate(_WAYS.items()):
            before = _size(con)
            text = f"create table main.way{number} as select {_KEPT}, {columns} from log.events"
            wall, cpu = cost(partial(_read, con, text))
            grown = (_size(con) - before) / 1e6
            print(f"  {way:44} {wall:8.2f} s  {cpu:8.2f} CPU s  {grown:8.0f} MB", flush=True)
        for title, make in (("states", _states), ("timeline", _timeline)):
            candidates = {
                way: partial(_read, con, make(f"main.way{number}", quantity, name))
                for number, (way, (_, quantity, name)) in enumerate(_WAYS.items())
            }
            medians = in_turn(candidates, rounds=rounds)
            report(f"{title}, two columns, SQL by hand", medians, against="JSON text", events=events)
    fresh(folder / "fields.duckdb")
    print("\nwhat becomes of a payload")
    for text in _TEXTS:
        kept, typed = duckdb.execute(
            "select ?::json::variant::json::varchar, try_cast(?::json->>'$.n' as bigint)", [text, text]
        ).fetchall()[0]
        print(f"  {text:30} VARIANT {kept:34} BIGINT {typed}", flush=True)


def _read(con: duckdb.DuckDBPyConnection, text: str) -> None:
    con.execute(text).fetchall()


def _states(table: str, quantity: str, name: str) -> str:
    return f"""
        select count(*), sum(quantity), max(length(name)) from (
            select stream_key, sum(q) as quantity, arg_max(n, version) as name
            from ({_values(table, quantity, name)}) group by stream_key
        )
    """


def _timeline(table: str, quantity: str, name: str) -> str:
    return f"""
        select {READ} from (
            select stream_id, version, position, event_type, recorded_at,
                sum(q) {_WINDOW} as quantity, last_value(n ignore nulls) {_WINDOW} as name
            from ({_values(table, quantity, name)})
        )
    """


def _values(table: str, quantity: str, name: str) -> str:
    return f"""
        select {_KEPT},
            case event_type when 'ItemsAdded' then {quantity} when 'ItemsOrdered' then -{quantity} end as q,
            case when event_type in ('ItemCreated', 'ItemRenamed') then {name} end as n
        from {table}
    """


def _size(con: duckdb.DuckDBPyConnection) -> int:
    con.execute("checkpoint")
    blocks, bytes_each = con.execute("select used_blocks, block_size from pragma_database_size()").fetchall()[0]
    return int(blocks * bytes_each)

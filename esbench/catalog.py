"""The catalog: which logs a bench holds, and what is declared and inferred of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from esbench.errors import BenchError, UnknownLog, nearest
from esbench.event import quote
from esbench.events import Events
from esbench.facts import Facts

__all__ = ["REJECTS", "Entry", "drop", "entries", "entry", "events_of", "prepare", "transaction"]

#: Of the layout of a bench file; a file of a later one is refused.
FORMAT = 1

_CATALOG = """
create schema if not exists esbench;
create schema if not exists log;
create schema if not exists stream;
create table if not exists esbench.format (number integer);
create table if not exists esbench.logs (
    name varchar, facts json, declared json, ordered boolean, events bigint, streams bigint, rejects bigint,
    created_at timestamptz default now()
);
create table if not exists esbench.inputs (
    log varchar, name varchar, size bigint, digest varchar, loaded_at timestamptz default now()
);
create table if not exists esbench.rejects (
    log varchar, source varchar, record bigint, line bigint, reason varchar, raw varchar,
    stream_id varchar, version bigint  -- where they could be read
);
"""


#: Rejects of every log.
REJECTS = "select log, source, line, record, reason, raw, stream_id, version from esbench.rejects"


@dataclass(frozen=True, slots=True)
class Entry:
    """A log in the catalog. ``declared`` is what the user said of it, which later batches inherit."""

    name: str
    facts: Facts
    declared: dict[str, Any]
    ordered: bool
    events: int
    streams: int
    rejects: int


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing, an interrupt included."""
    con.execute("begin")
    try:
        yield
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise


def prepare(con: duckdb.DuckDBPyConnection, *, read_only: bool = False) -> None:
    """Make sure that the catalog is there and of a format that this esbench knows."""
    if not read_only:
        con.execute(_CATALOG)
        con.execute(f"insert into esbench.format select {FORMAT} where not exists (from esbench.format)")
    try:
        found = con.execute("select number from esbench.format").fetchall()
    except duckdb.CatalogException:
        raise BenchError("not a bench: the file is a DuckDB database without esbench's catalog") from None
    if found and found[0][0] > FORMAT:
        raise BenchError(f"the bench has format {found[0][0]}, this esbench knows {FORMAT}: upgrade esbench")


def entries(con: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Every log of the bench, by name."""
    rows = con.execute(
        "select name, facts, declared, ordered, events, streams, rejects from esbench.logs order by name"
    ).fetchall()
    return [
        Entry(name, Facts.from_dict(json.loads(facts)), json.loads(declared), *rest)
        for name, facts, declared, *rest in rows
    ]


def entry(con: duckdb.DuckDBPyConnection, name: str) -> Entry:
    """One log of the bench. Raises UnknownLog, with the nearest names."""
    known = {found.name: found for found in entries(con)}
    if name not in known:
        has = f" It has {', '.join(known)}." if known else " It is empty: load a log first."
        raise UnknownLog(f'no log "{name}" in the bench.{nearest(name, known) or has}')
    return known[name]


def events_of(con: duckdb.DuckDBPyConnection, found: Entry) -> Events:
    """The events of a stored log."""
    return Events(
        con=con,
        query=f"select * from log.{quote(found.name)}",
        facts=found.facts,
        streams=f"select * from stream.{quote(found.name)}",
        ordered=found.ordered,
    )


def drop(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Remove a log with its rejects, all or nothing."""
    found = entry(con, name)
    with transaction(con):
        con.execute(f"drop table log.{quote(found.name)}")
        con.execute(f"drop table stream.{quote(found.name)}")
        for table, column in (("logs", "name"), ("inputs", "log"), ("rejects", "log")):
            con.execute(f"delete from esbench.{table} where {column} = $name", {"name": found.name})

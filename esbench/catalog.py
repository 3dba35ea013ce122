"""The catalog: which logs a bench holds, and what is declared and inferred of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from esbench.errors import BenchError, UnknownLog, nearest
from esbench.event import quote
from esbench.events import Events, Stored
from esbench.facts import Facts

__all__ = [
    "GONE",
    "LINEAGE",
    "REJECTS",
    "Entry",
    "drop",
    "entries",
    "entry",
    "events_of",
    "lineage_of",
    "prepare",
    "record",
    "transaction",
]

#: Of the layout of a bench file; a file of a later one is refused. 2 has logs that migrations made.
FORMAT = 2

_CATALOG = """
create schema esbench;
create schema log;
create schema stream;
create table esbench.format (number integer);
create table esbench.logs (
    name varchar, facts json, declared json, ordered boolean, events bigint, streams bigint, rejects bigint,
    created_at timestamptz default now()
);
create table esbench.inputs (
    log varchar, name varchar, size bigint, digest varchar, loaded_at timestamptz default now()
);
create table esbench.rejects (
    log varchar, source varchar, record bigint, line bigint, reason varchar, raw varchar,
    stream_id varchar, version bigint  -- where they could be read
);
"""
#: What a bench has since format 2: which logs migrations made, of what, and which events are not in them.
_DERIVED = """
create table if not exists esbench.derived (
    log varchar, sources json, migration varchar, text varchar, steps json, applied_at timestamptz default now()
);
create table if not exists esbench.dropped (log varchar, source utinyint, origin bigint, step smallint);
"""

#: Columns that a log has besides when a migration made it: where each event comes from. ``origin`` is NULL where the
#: event has its source's position.
LINEAGE = ("origin", "others", "nth", "steps", "source")

#: Stands before the name of a source that was dropped; no log's name has it.
GONE = "\0"

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

    @property
    def derived(self) -> bool:
        """Whether a migration made it."""
        return bool(self.declared.get("derived"))


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing, an interrupt included."""
    con.execute("begin")
    try:
        yield
        con.execute("commit")
    except BaseException:
        # A commit that failed, on a full disk for one, has rolled back by itself.
        with suppress(duckdb.TransactionException):
            con.execute("rollback")
        raise


def prepare(con: duckdb.DuckDBPyConnection, *, read_only: bool = False) -> None:
    """Make sure that the catalog is there and of a format that this esbench knows; an empty database gets one.

    Raises BenchError for a database of something else, which is left as it is.
    """
    tables = {
        (schema, table)
        for schema, table in con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
    }
    if ("esbench", "format") in tables:
        found = con.execute("select max(number) from esbench.format").fetchall()[0][0]
        if found > FORMAT:
            raise BenchError(f"a bench of format {found}, this esbench knows {FORMAT}: pip install -U esbench")
        if found < FORMAT and not read_only:
            with transaction(con):
                con.execute(_DERIVED)
                con.execute("update esbench.format set number = $format", {"format": FORMAT})
    elif tables or read_only:
        raise BenchError(
            "no bench, but a DuckDB database of something else: load its events with "
            "bench.load(duckdb.connect(...).table(...), name=...)"
        )
    else:
        with transaction(con):
            con.execute(_CATALOG)
            con.execute(_DERIVED)
            con.execute("insert into esbench.format values ($format)", {"format": FORMAT})


def entries(con: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Every log of the bench, by name; read on a cursor of its own, since other threads may use the connection."""
    with con.cursor() as cursor:
        return _entries(cursor)


def _entries(con: duckdb.DuckDBPyConnection) -> list[Entry]:
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


def batch(con: duckdb.DuckDBPyConnection, name: str) -> object:
    """What no other load or batch of a log has, by which one knows whether it has changed; None where it is gone."""
    text = "select events, epoch_us(created_at) from esbench.logs where name = $name"
    return next(iter(con.execute(text, {"name": name}).fetchall()), None)


def events_of(con: duckdb.DuckDBPyConnection, found: Entry) -> Events:
    """The events of a stored log."""
    without = f" exclude ({', '.join(LINEAGE)})" if found.derived else ""
    query = f"select *{without} from log.{quote(found.name)}"
    return Events(
        con=con,
        query=query,
        facts=found.facts,
        streams=f"select * from stream.{quote(found.name)}",
        ordered=found.ordered,
        stored=Stored(found.name, query),
    )


def lineage_of(con: duckdb.DuckDBPyConnection, found: Entry) -> Events:
    """The events of a log that a migration made, with where each comes from."""
    query = f"""
        select * replace (case when source is not null then coalesce(origin, position) end as origin)
        from log.{quote(found.name)}
    """
    return replace(events_of(con, found), query=query, stored=None)


def record(
    con: duckdb.DuckDBPyConnection, name: str, facts: Facts, declared: dict[str, Any], *, ordered: bool
) -> Entry:
    """Put a log whose tables are written into the catalog, or bring it up to date there."""
    con.execute("delete from esbench.logs where name = ?", [name])
    con.execute(
        f"""
        insert into esbench.logs (name, facts, declared, ordered, events, streams, rejects)
        select ?, ?, ?, ?,
            (select count(*) from log.{quote(name)}),
            (select count(*) from stream.{quote(name)}),
            (select count(*) from esbench.rejects where log = ?)
        """,
        [name, json.dumps(facts.to_dict()), json.dumps(declared), ordered, name],
    )
    # Only this transaction sees it yet.
    return next(found for found in _entries(con) if found.name == name)


def drop(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Remove a log with its rejects, all or nothing.

    What was made of it goes on to say so, and takes no later log of the same name for it.
    """
    found = entry(con, name)
    with transaction(con):
        for made, sources in con.execute("select log, sources from esbench.derived").fetchall():
            told = json.dumps([GONE + source if source == name else source for source in json.loads(sources)])
            if told != sources:
                con.execute(
                    "update esbench.derived set sources = $sources where log = $log", {"sources": told, "log": made}
                )
        con.execute(f"drop table log.{quote(found.name)}")
        con.execute(f"drop table stream.{quote(found.name)}")
        listed = [("logs", "name"), ("inputs", "log"), ("rejects", "log")]
        if found.derived:
            listed += [("derived", "log"), ("dropped", "log")]
        for table, column in listed:
            con.execute(f"delete from esbench.{table} where {column} = $name", {"name": found.name})

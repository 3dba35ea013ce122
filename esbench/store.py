"""Log tables: from staged records to events and rejects, in one transaction.

A log table lies clustered by (stream_key, version, position), the key being an integer kept with the log's streams.
Everything is computed on one cursor, into TEMP tables and then in one transaction, so a kill leaves nothing behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from esbench.batch import Batch, judged
from esbench.catalog import Entry, entries, entry, record, transaction
from esbench.errors import NameTaken, SourceError
from esbench.event import CANONICAL, quote
from esbench.events import ORDER
from esbench.facts import Facts
from esbench.sources.columns import Columns
from esbench.sources.staged import RECORD, Staged

__all__ = ["append", "create", "free"]

#: Rejects are fetched again from their source and written in batches of this many.
_REJECTS = 10_000


def free(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Raise NameTaken where the bench has a log of that name; DuckDB does not tell upper from lower case."""
    for found in entries(con):
        if found.name.lower() == name.lower():
            raise NameTaken(
                f'the bench has a log "{found.name}": load(append=True) adds to it, '
                f'bench.drop("{found.name}") removes it'
            )


def create(
    con: duckdb.DuckDBPyConnection,
    staged: Staged,
    columns: Columns,
    *,
    name: str,
    declared: dict[str, Any],
    strict: bool = False,
) -> Entry:
    """Write a new log; ``declared`` may hold ``base``, ``truncated`` and ``keys``.

    Raises NameTaken, and SourceError where no record can become an event, or with ``strict`` where one cannot.
    """
    free(con, name)
    batch = judged(con, staged, columns, strict=strict)
    _key_streams(con, batch, log=None)
    facts = Facts(
        base=declared.get("base"),
        derived_versions="version" not in batch.readings,
        positions=batch.positions,
        truncated=tuple(declared.get("truncated", ())),
        keys={**Facts().keys, **declared.get("keys", {})},
        notes=(*staged.notes, *batch.notes()),
    )
    with transaction(con):
        con.execute(f"create table stream.{quote(name)} as select stream_key, stream_id from new_streams order by 1")
        con.execute(f"create table log.{quote(name)} as {_select(batch, facts)}")
        return _record(con, name, batch, facts, declared, ordered=True)


def append(
    con: duckdb.DuckDBPyConnection, staged: Staged, columns: Columns, *, name: str, strict: bool = False
) -> Entry:
    """Add a later batch to a log. Raises SourceError when it overlaps with what the log has."""
    found = entry(con, name)
    _refuse_known_inputs(con, name, staged)
    batch = judged(con, staged, columns, strict=strict)
    if ("version" not in batch.readings) != found.facts.derived_versions:
        raise SourceError(
            f'"{name}" has versions numbered by the loader, this batch records its own: load it as another log'
            if found.facts.derived_versions
            else f'"{name}" records versions, this batch has none: load it as another log'
        )
    last = con.execute(f"select coalesce(max(position), 0) from log.{quote(name)}").fetchall()[0][0]
    if found.facts.positions == "recorded":
        _refuse_overlap(con, batch, name, last)
    _key_streams(con, batch, log=name)
    facts = replace(found.facts, notes=(*dict.fromkeys((*found.facts.notes, *staged.notes, *batch.notes())),))
    if facts.positions == "lines" and not staged.in_order:
        facts = replace(facts, positions="issued")
    with transaction(con):
        con.execute(f"insert into stream.{quote(name)} select stream_key, stream_id from new_streams where is_new")
        # By name: a log that a migration made has columns besides, which say nothing of events that were loaded.
        con.execute(f"insert into log.{quote(name)} by name {_select(batch, facts, after=last, log=name)}")
        return _record(con, name, batch, facts, found.declared, ordered=False)


def _key_streams(con: duckdb.DuckDBPyConnection, batch: Batch, *, log: str | None) -> None:
    """TEMP table ``new_streams (stream_key, stream_id, is_new)`` of a batch; keys are dense, in order of appearance."""
    known = f"stream.{quote(log)}" if log else "(select 0::bigint as stream_key, null::varchar as stream_id)"
    con.execute(
        f"""
        create temp table new_streams as
        select
            coalesce(
                known.stream_key,
                (select coalesce(max(stream_key), 0) from {known})
                    + row_number() over (partition by known.stream_key is null order by first)
            ) as stream_key,
            stream_id,
            known.stream_key is null as is_new
        from (select {batch.value("stream_id")} as stream_id, min({RECORD}) as first from {batch.accepted} group by 1)
        left join {known} as known using (stream_id)
        order by first
        """
    )


def _select(batch: Batch, facts: Facts, *, after: int = 0, log: str | None = None) -> str:
    """SQL for the batch as rows of a log table, in folding order; positions that the loader gives go on ``after``."""
    values = {name: value for name in CANONICAL if (value := batch.value(name)) is not None}
    if facts.positions != "recorded":
        if "position" in values and "source_position" not in values:
            values["source_position"] = f"{values['position']}::varchar"
        values["position"] = f"({RECORD} + {after})"
    version, earlier = "version", ""
    if facts.derived_versions:
        start = "0" if facts.base is None else str(facts.base - 1)
        if log:
            last = f"select stream_key, max(version) as last from log.{quote(log)} group by stream_key"
            earlier, start = f"left join ({last}) as earlier using (stream_key)", f"coalesce(earlier.last, {start})"
        version = f"row_number() over (partition by stream_key order by {RECORD}) + {start} as version"
    # Only canonical names meet those of other tables. Columns that the batch has not are put in after sorting, which
    # then moves less.
    read = ", ".join(f"{value} as {name}" for name, value in values.items())
    whole = (name if name in ("version", *values) else f"null::{kind} as {name}" for name, kind in CANONICAL.items())
    return f"""
        select stream_key, {", ".join(whole)}
        from (
            select stream_key, {version}, {", ".join(name for name in values if name != "version")}
            from (select {RECORD}, {read} from {batch.accepted})
            join new_streams using (stream_id) {earlier}
            order by {ORDER}
        )
        """


def _record(
    con: duckdb.DuckDBPyConnection,
    name: str,
    batch: Batch,
    facts: Facts,
    declared: dict[str, Any],
    *,
    ordered: bool,
) -> Entry:
    """Put the log, its inputs and its rejects into the catalog."""
    if declared.get("base") is None and not facts.derived_versions:
        facts = replace(facts, base=_base(con, name))
    if batch.refused:
        _keep_rejects(con, name, batch)
    for read in batch.staged.inputs:
        con.execute(
            "insert into esbench.inputs (log, name, size, digest) values (?, ?, ?, ?)",
            [name, read.name, read.size, read.digest],
        )
    return record(con, name, facts, declared, ordered=ordered)


def _base(con: duckdb.DuckDBPyConnection, name: str) -> int | None:
    """The commoner of 0 and 1 among the streams' first versions; None where neither is."""
    zeros, ones = con.execute(
        f"""
        select count(*) filter (first = 0), count(*) filter (first = 1)
        from (select min(version) as first from log.{quote(name)} group by stream_key)
        """
    ).fetchall()[0]
    return None if zeros == ones else int(ones > zeros)


def _keep_rejects(con: duckdb.DuckDBPyConnection, name: str, batch: Batch) -> None:
    """Write the refused records with their raw text, which only their source still has."""
    records = [record for (record,) in con.execute("select record from refused order by record").fetchall()]
    found = batch.staged.raw(records)

    def where(name: str) -> str:
        # What is refused as no integer may still have a value: of 3.6 that would be 4.
        bad = batch.readings[name].bad if name in batch.readings else None
        return f"case when not ({bad or 'false'}) then {batch.value(name) or 'null'} end as {name}"

    while some := list(islice(found, _REJECTS)):
        con.register(
            "raws",
            pa.table(
                {
                    "record": pa.array([raw.record for raw in some], pa.int64()),
                    "source": pa.array([raw.source for raw in some], pa.string()),
                    "line": pa.array([raw.line for raw in some], pa.int64()),
                    "raw": pa.array([raw.text for raw in some], pa.string()),
                }
            ),
        )
        con.execute(
            f"""
            insert into esbench.rejects
            select ?, source, record, line, reason, raw, stream_id, version
            from raws
            join refused using (record)
            join (select {RECORD} as record, {where("stream_id")}, {where("version")} from {batch.staged.table})
                using (record)
            order by record
            """,
            [name],
        )
        con.unregister("raws")


def _refuse_known_inputs(con: duckdb.DuckDBPyConnection, name: str, staged: Staged) -> None:
    known = {
        (size, digest): f"{as_name}, loaded {day}"
        for size, digest, as_name, day in con.execute(
            "select size, digest, name, loaded_at::date::varchar from esbench.inputs where log = ? order by all", [name]
        ).fetchall()
    }
    for read in staged.inputs:
        if (read.size, read.digest) in known:
            as_name = known[read.size, read.digest]
            raise SourceError(f'{read.name} is in "{name}" already (as {as_name}): nothing was added')
        smaller = sorted({size for size, _ in known if 0 < size < read.size})
        for size, digest in _beginnings(Path(read.name), smaller):
            if (size, digest) in known:
                raise SourceError(
                    f'{read.name} begins with what is in "{name}" already (as {known[size, digest]}): it has grown '
                    f"since; give what was added alone (tail -c +{size + 1}); nothing was added"
                )


def _beginnings(path: Path, sizes: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The SHA-256 of a file's first bytes, for several sizes (ascending)."""
    if sizes and path.is_file():
        sha, done = hashlib.sha256(), 0
        with path.open("rb") as handle:
            for size in sizes:
                while part := handle.read(min(size - done, 1 << 20)):
                    sha.update(part)
                    done += len(part)
                yield size, sha.hexdigest()


def _refuse_overlap(con: duckdb.DuckDBPyConnection, batch: Batch, name: str, last: int) -> None:
    if "position" not in batch.readings:
        raise SourceError(f'"{name}" has recorded positions, this batch has none: load it as another log')
    if batch.positions == "issued":
        raise SourceError(f'"{batch.readings["position"].field}" repeats in this batch: load it as another log')
    first = con.execute(f"select min({batch.value('position')}) from {batch.accepted}").fetchall()[0][0]
    if first <= last:
        raise SourceError(
            f'this batch begins at position {first:,}, "{name}" reaches {last:,}: they overlap, nothing was added'
        )

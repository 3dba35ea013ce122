"""Log tables: from staged records to events and rejects, in one transaction.

A log table lies clustered by (stream_key, version, position), the key being an integer kept with the log's streams.
Everything is computed on one cursor, into TEMP tables and then in one transaction, so a kill leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import duckdb
import pyarrow as pa

from esbench import payload
from esbench.catalog import Entry, entries, entry, transaction
from esbench.errors import NameTaken, SourceError
from esbench.event import CANONICAL, literal, quote
from esbench.events import ORDER
from esbench.facts import Facts
from esbench.sources.columns import Columns, Reading
from esbench.sources.staged import Raw, Staged

__all__ = ["append", "create"]

#: Rejects are fetched again from their source and written in batches of this many.
_REJECTS = 10_000


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
    if any(found.name.lower() == name.lower() for found in entries(con)):
        raise NameTaken(f'the bench has a log "{name}": load(append=True) adds to it, bench.drop("{name}") removes it')
    batch = _batch(con, staged, columns)
    rejects = _judge(con, batch, strict=strict)
    _key_streams(con, batch, log=None)
    facts = Facts(
        base=declared.get("base"),
        derived_versions="version" not in batch.readings,
        positions=_positions(con, batch),
        truncated=tuple(declared.get("truncated", ())),
        keys={**Facts().keys, **declared.get("keys", {})},
        notes=(*staged.notes, *_notes(con, batch)),
    )
    with transaction(con):
        con.execute(f"create table stream.{quote(name)} as select stream_key, stream_id from new_streams order by 1")
        con.execute(f"create table log.{quote(name)} as {_select(batch, facts)}")
        return _record(con, name, batch, facts, declared, rejects, ordered=True)


def append(
    con: duckdb.DuckDBPyConnection, staged: Staged, columns: Columns, *, name: str, strict: bool = False
) -> Entry:
    """Add a later batch to a log. Raises SourceError when it overlaps with what the log has."""
    found = entry(con, name)
    batch = _batch(con, staged, columns)
    if ("version" not in batch.readings) != found.facts.derived_versions:
        raise SourceError(
            f'"{name}" {"has versions numbered by the loader" if found.facts.derived_versions else "records versions"}, '
            f"this batch {'records its own' if found.facts.derived_versions else 'has none'}: load it as another log"
        )
    _refuse_known_inputs(con, name, staged)
    rejects = _judge(con, batch, strict=strict)
    last = _one(con, f"select coalesce(max(position), 0) from log.{quote(name)}")
    if found.facts.positions == "recorded":
        _refuse_overlap(con, batch, name, last)
    _key_streams(con, batch, log=name)
    facts = replace(found.facts, notes=(*dict.fromkeys((*found.facts.notes, *staged.notes, *_notes(con, batch))),))
    with transaction(con):
        con.execute(f"insert into stream.{quote(name)} select stream_key, stream_id from new_streams where is_new")
        con.execute(f"insert into log.{quote(name)} {_select(batch, facts, after=last, log=name)}")
        return _record(con, name, batch, facts, found.declared, rejects, ordered=False)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Staged records and how their fields read as canonical columns."""

    staged: Staged
    readings: dict[str, Reading]
    stands_in: bool  # occurred_at for recorded_at

    def value(self, name: str) -> str:
        """SQL for a canonical column's value over the staged table."""
        if name == "recorded_at" and self.stands_in:
            name = "occurred_at"
        return self.readings[name].value if name in self.readings else f"null::{CANONICAL[name]}"


def _batch(con: duckdb.DuckDBPyConnection, staged: Staged, columns: Columns) -> _Batch:
    readings = columns.expressions(staged.fields)
    for name in ("stream_id", "event_type"):
        if name not in readings:
            raise SourceError(
                f'no column for "{name}" among {", ".join(staged.fields) or "no fields at all"}: '
                f'name it with columns={{"{name}": ...}}, a field or an SQL expression'
            )
    batch = _Batch(staged, readings, stands_in="recorded_at" not in readings and "occurred_at" in readings)
    try:
        con.execute(f"select {', '.join(map(batch.value, CANONICAL))} from {staged.table} limit 0")
    except duckdb.Error as error:
        raise SourceError(
            f"columns: {str(error).splitlines()[0]} (the fields are {', '.join(staged.fields)})"
        ) from error
    return batch


def _judge(con: duckdb.DuckDBPyConnection, batch: _Batch, *, strict: bool) -> int:
    """Find the records that cannot become events: TEMP table ``refused (record, reason)``; their number."""
    con.execute("create temp table unproven (record bigint, reason varchar)")
    for name in ("data", "metadata"):
        if name in batch.readings and batch.readings[name].doubtful is not None:
            _judge_json(con, batch, batch.readings[name])
    con.execute(
        f"""
        create temp table refused as
        select record, coalesce({_reason(batch)}, unproven.reason) as reason
        from {batch.staged.table} left join unproven using (record)
        where coalesce({_reason(batch)}, unproven.reason) is not null
        order by record
        """
    )
    count: int = _one(con, "select count(*) from refused")
    if count and (strict or count == _one(con, f"select count(*) from {batch.staged.table}")):
        record, reason = con.execute("select record, reason from refused order by record limit 1").fetchall()[0]
        (raw,) = batch.staged.raw([record])
        rest = "strict=True stops here" if strict else f"and so with all {count:,} records: nothing to load"
        raise SourceError(f"{_place(raw)}: {reason} ({rest})")
    return count


def _reason(batch: _Batch) -> str:
    """SQL for why a record is a reject; NULL where it is none."""
    required = {"stream_id", "event_type", "version", "position"}
    cases = ["when problem is not null then problem"]
    for name, reading in batch.readings.items():
        field = literal(f'"{reading.field}"')
        if name in required:
            cases.append(f"when {reading.raw} is null then {field} || ' is missing'")
        if reading.bad is not None:
            form = literal(f" is not {reading.form}: ")
            shown = f"""'"' || left({reading.raw}::varchar, 80) || '"'"""
            cases.append(f"when {reading.raw} is not null and ({reading.bad}) then {field} || {form} || {shown}")
    return "case " + " ".join(cases) + " end"


def _judge_json(con: duckdb.DuckDBPyConnection, batch: _Batch, reading: Reading) -> None:
    """Let the decoder judge the payload texts that SQL cannot prove to be JSON."""
    found = con.sql(
        f"""
        select record, {reading.value} from {batch.staged.table}
        where {reading.raw} is not null and ({reading.doubtful})
        """
    ).to_arrow_reader(10_000)
    reasons = [
        (record, f'"{reading.field}" is not JSON: {reason}')
        for chunk in found
        for record, text in zip(*(column.to_pylist() for column in chunk.columns), strict=True)
        if (reason := payload.check(text) if text is not None else "not UTF-8") is not None
    ]
    con.register("judged", pa.table({"record": [r for r, _ in reasons], "reason": [why for _, why in reasons]}))
    con.execute("insert into unproven select record::bigint, reason::varchar from judged")
    con.unregister("judged")


def _positions(con: duckdb.DuckDBPyConnection, batch: _Batch) -> Literal["recorded", "lines", "issued"]:
    """Where positions come from: a source's own only where it repeats none."""
    if "position" not in batch.readings:
        return "lines" if batch.staged.in_order else "issued"
    position = batch.value("position")
    unique = _one(con, f"select count(*) = count(distinct {position}) from {_accepted(batch)}")
    return "recorded" if unique else "issued"


def _key_streams(con: duckdb.DuckDBPyConnection, batch: _Batch, *, log: str | None) -> None:
    """TEMP table ``new_streams (stream_key, stream_id, is_new)`` of this batch; keys are dense, in order of appearance."""
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
        from (select {batch.value("stream_id")} as stream_id, min(record) as first from {_accepted(batch)} group by 1)
        left join {known} as known using (stream_id)
        order by first
        """
    )


def _select(batch: _Batch, facts: Facts, *, after: int = 0, log: str | None = None) -> str:
    """SQL for the batch as rows of a log table, in folding order; positions of the loader's go on ``after``."""
    values = {name: batch.value(name) for name in CANONICAL}
    if facts.positions != "recorded":
        if "position" in batch.readings and "source_position" not in batch.readings:
            values["source_position"] = f"{values['position']}::varchar"
        values["position"] = f"record + {after}"
    version, earlier = "version", ""
    if facts.derived_versions:
        start = 0 if facts.base is None else facts.base - 1
        version = f"row_number() over (partition by stream_key order by record) + {start}"
        if log:
            version = f"row_number() over (partition by stream_key order by record) + coalesce(earlier.last, {start})"
            last = f"select stream_key, max(version) as last from log.{quote(log)} group by stream_key"
            earlier = f"left join ({last}) as earlier using (stream_key)"
    typed = ", ".join(f"({values[name]})::{kind} as {name}" for name, kind in CANONICAL.items() if name != "version")
    return f"""
        select stream_key, {", ".join(CANONICAL).replace(" version,", f" ({version})::bigint as version,")}
        from (select record, {values["version"]} as version, {typed} from {_accepted(batch)})
        join new_streams using (stream_id) {earlier}
        order by {ORDER}
        """


def _record(
    con: duckdb.DuckDBPyConnection,
    name: str,
    batch: _Batch,
    facts: Facts,
    declared: dict[str, Any],
    rejects: int,
    *,
    ordered: bool,
) -> Entry:
    """Put the log, its inputs and its rejects into the catalog."""
    if declared.get("base") is None and not facts.derived_versions:
        facts = replace(facts, base=_base(con, name))
    if rejects:
        _keep_rejects(con, name, batch)
    for read in batch.staged.inputs:
        con.execute(
            "insert into esbench.inputs (log, name, size, digest) values (?, ?, ?, ?)",
            [name, read.name, read.size, read.digest],
        )
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
    return entry(con, name)


def _base(con: duckdb.DuckDBPyConnection, name: str) -> int | None:
    """The commoner of 0 and 1 among the streams' first versions; None where neither is."""
    zeros, ones = con.execute(
        f"""
        select count(*) filter (first = 0), count(*) filter (first = 1)
        from (select min(version) as first from log.{quote(name)} group by stream_key)
        """
    ).fetchall()[0]
    return None if zeros == ones else int(ones > zeros)


def _keep_rejects(con: duckdb.DuckDBPyConnection, name: str, batch: _Batch) -> None:
    """Write the refused records with their raw text, which only their source still has."""
    records = [record for (record,) in con.execute("select record from refused order by record").fetchall()]
    found = batch.staged.raw(records)
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
            select ?, source, record, line, reason, raw, {batch.value("stream_id")}, {batch.value("version")}
            from raws join refused using (record) join {batch.staged.table} using (record)
            order by record
            """,
            [name],
        )
        con.unregister("raws")


def _notes(con: duckdb.DuckDBPyConnection, batch: _Batch) -> Iterator[str]:
    """What the load has to say about how fields became columns."""
    readings = batch.readings
    if "version" not in readings:
        yield "versions are derived: no column for them, so events were numbered in source order and no gap is claimed"
    if "position" in readings and _positions(con, batch) == "issued":
        yield f'positions are issued in arrival order: "{readings["position"].field}" repeats (kept in source_position)'
    elif "position" not in readings and not batch.staged.in_order:
        yield "positions are issued in arrival order: several inputs have no order among them"
    if batch.stands_in:
        yield f'"{readings["occurred_at"].field}" stands in for recorded_at: no other time'
    elif "recorded_at" not in readings:
        yield "no recorded_at: as_of= finds nothing and no clock is checked"
    if "data" not in readings:
        yield "no data: events carry no payload"
    for reading in readings.values():
        if reading.cut is not None:
            count = _one(con, f"select count(*) from {_accepted(batch)} where {reading.cut}")
            if count:
                yield f'"{reading.field}" is finer than microseconds in {count:,} records: cut'


def _refuse_known_inputs(con: duckdb.DuckDBPyConnection, name: str, staged: Staged) -> None:
    for read in staged.inputs:
        known = con.execute(
            "select name, loaded_at::date::varchar from esbench.inputs where log = ? and size = ? and digest = ?",
            [name, read.size, read.digest],
        ).fetchall()
        if known:
            as_name, day = known[0]
            raise SourceError(f'{read.name} is in "{name}" already (as {as_name}, loaded {day}): nothing was added')


def _refuse_overlap(con: duckdb.DuckDBPyConnection, batch: _Batch, name: str, last: int) -> None:
    if "position" not in batch.readings:
        raise SourceError(f'"{name}" has recorded positions, this batch has none: load it as another log')
    if _positions(con, batch) == "issued":
        raise SourceError(f'"{batch.readings["position"].field}" repeats in this batch: load it as another log')
    first = _one(con, f"select min({batch.value('position')}) from {_accepted(batch)}")
    if first is not None and first <= last:
        raise SourceError(
            f'this batch begins at position {first:,}, "{name}" reaches {last:,}: they overlap, nothing was added'
        )


def _accepted(batch: _Batch) -> str:
    """SQL for the staged records that are not refused."""
    return f"(select * from {batch.staged.table} anti join refused using (record))"


def _place(raw: Raw) -> str:
    return f"{raw.source}, record {raw.record}" if raw.line is None else f"{raw.source}:{raw.line}"


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return con.execute(sql).fetchall()[0][0]  # fetchone would leave a reader open, and its snapshot with it

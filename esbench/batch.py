"""A batch: staged records read as canonical columns, which of them are refused and why, and what there is to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import duckdb
import pyarrow as pa

from esbench import payload
from esbench.errors import SourceError
from esbench.event import CANONICAL, literal, quote
from esbench.sources.columns import Columns, Reading
from esbench.sources.staged import PROBLEM, RECORD, Raw, Staged

__all__ = ["Batch", "judged"]

#: A time that is a number below one of these is taken for that unit: those of our days lie far from each limit.
_SIZES = ((10**11, "s"), (10**14, "ms"), (10**17, "us"), (10**18, "ticks"))
#: A field of such a name may well hold versions.
_LIKELY = re.compile("version|sequence|revision", re.IGNORECASE)
_REQUIRED = ("stream_id", "event_type", "version", "position")


@dataclass(frozen=True, slots=True)
class Batch:
    """Staged records and how their fields read as canonical columns.

    ``refused`` of them cannot become events; the TEMP table ``refused (record, reason)`` has them. ``positions`` says
    where the positions of this batch come from. ``empty`` are fields of positions or versions that no record has.
    """

    con: duckdb.DuckDBPyConnection
    staged: Staged
    readings: dict[str, Reading]
    records: int = 0
    refused: int = 0
    positions: Literal["recorded", "lines", "issued"] = "issued"
    empty: tuple[str, ...] = ()

    @property
    def stands_in(self) -> bool:
        """Whether occurred_at is also taken for recorded_at."""
        return "recorded_at" not in self.readings and "occurred_at" in self.readings

    @property
    def accepted(self) -> str:
        """SQL for the staged records that are not refused."""
        if not self.refused:
            return self.staged.table
        return f"(select * from {self.staged.table} where {RECORD} not in (select record from refused))"

    def value(self, name: str) -> str | None:
        """SQL for a canonical column's value over the staged table; None where the batch has no such column."""
        if name == "recorded_at" and self.stands_in:
            name = "occurred_at"
        return f"({self.readings[name].value})::{CANONICAL[name]}" if name in self.readings else None

    def notes(self) -> Iterator[str]:
        """What there is to say about how fields became columns."""
        readings = self.readings
        for field in self.empty:
            yield f'"{field}" is missing in every record: taken as if it were not there'
        if "version" not in readings:
            likely = [name for name in self.staged.unused if _LIKELY.search(name)]
            asked = f' (is "{likely[0]}" the version? columns={ {"version": likely[0]} })' if likely else ""
            yield (
                "versions are derived: no column for them, so events were numbered in source order, no gap is claimed"
                + asked
            )
        if "position" in readings and self.positions == "issued":
            field = readings["position"].field
            yield f'positions are issued in arrival order: "{field}" repeats (kept in source_position)'
        elif self.positions == "issued":
            yield "positions are issued in arrival order: several inputs have no order among them"
        if self.stands_in:
            yield f'"{readings["occurred_at"].field}" stands in for recorded_at: no other time'
        elif "recorded_at" not in readings:
            yield "no recorded_at: as_of= finds nothing and no clock is checked"
        if "data" not in readings:
            yield "no data: events carry no payload"
        yield from self._counted()

    def _counted(self) -> Iterator[str]:
        """Notes about records that share a peculiarity, with their number."""
        asked = []
        for reading in self.readings.values():
            if reading.cut is not None:
                asked.append((reading.cut, f'"{reading.field}" is finer than microseconds in', "records: cut"))
        for name in ("data", "metadata"):
            if name in self.readings and self.staged.fields.get(field := self.readings[name].field) == "JSON":
                way_out = f"columns={ {name: f'{quote(field)}::varchar'} } unwraps it"
                text = f"{self.readings[name].value}::varchar"
                twice = f"prefix({text}, '\"{{') or prefix({text}, '\"[')"
                asked.append((twice, f'"{field}" is a string that holds JSON in', f"records: {way_out}"))
        if asked:
            sums = ", ".join(f"count(*) filter ({condition})" for condition, *_ in asked)
            found = self.con.execute(f"select {sums} from {self.accepted}").fetchall()[0]
            for (_, before, after), count in zip(asked, found, strict=True):
                if count:
                    yield f"{before} {count:,} {after}"


def judged(con: duckdb.DuckDBPyConnection, staged: Staged, columns: Columns, *, strict: bool) -> Batch:
    """Find the records that cannot become events.

    Raises SourceError where columns are missing or SQL expressions are wrong, where no record can become an event, and
    with ``strict`` where one cannot.
    """
    batch = Batch(con, staged, columns.expressions(staged.fields))
    _require_columns(batch)
    batch = _without_empty(batch)
    con.execute("create temp table unproven (record bigint, reason varchar)")
    for name in ("data", "metadata"):
        if name in batch.readings and batch.readings[name].doubtful is not None:
            _judge_json(batch, batch.readings[name])
    con.execute(
        f"""
        create temp table refused as
        select record, coalesce(refusal, reason) as reason
        from (select {RECORD} as record, {_reason(batch)} as refusal from {staged.table})
        left join unproven using (record)
        where coalesce(refusal, reason) is not null
        order by record
        """
    )
    records, refused = con.execute(
        f"select (select count(*) from {staged.table}), (select count(*) from refused)"
    ).fetchall()[0]
    if not records:
        raise SourceError(f"{', '.join(read.name for read in staged.inputs) or 'the source'}: nothing to load")
    if refused and (strict or refused == records):
        record, reason = con.execute("select record, reason from refused order by record limit 1").fetchall()[0]
        (raw,) = staged.raw([record])
        way_out = "load(strict=True) stops here" if strict else f"none of {records:,} records can be an event"
        remedy = _remedy(batch, columns, record, reason)
        raise SourceError(f"{_place(raw)}: {reason} ({way_out}{remedy and f'; {remedy}'})")
    batch = replace(batch, records=records, refused=refused)
    return replace(batch, positions=_positions(batch))


def _require_columns(batch: Batch) -> None:
    for name in ("stream_id", "event_type"):
        if name not in batch.readings:
            names = (*batch.staged.fields, *batch.staged.unused)
            raise SourceError(
                f'no column for "{name}" among {", ".join(names) or "no fields at all"}: '
                f'name it with columns={{"{name}": ...}}, a field or an SQL expression'
            )
    try:
        # In a filter, where windows and aggregates may not stand: each expression is read more than once.
        tests = " or ".join(f"{reading.raw} is null" for reading in batch.readings.values())
        batch.con.execute(f"select 1 from {batch.staged.table} where {tests} limit 0")
    except duckdb.Error as error:
        fields = "; ".join((f"the fields are {', '.join(batch.staged.fields)}", *batch.staged.notes))
        raise SourceError(f"columns: {str(error).splitlines()[0]} ({fields})") from error


def _without_empty(batch: Batch) -> Batch:
    """The batch without positions or versions that every record lacks: an export may name what its store has not."""
    empty = {
        name: batch.readings[name].field
        for name in ("position", "version")
        if name in batch.readings
        and not batch.con.execute(
            f"select 1 from {batch.staged.table} where {batch.readings[name].raw} is not null limit 1"
        ).fetchall()
    }
    left = {name: reading for name, reading in batch.readings.items() if name not in empty}
    return replace(batch, readings=left, empty=tuple(empty.values()))


def _remedy(batch: Batch, columns: Columns, record: int, reason: str) -> str:
    """What may help where a record is refused for its time or its schema version; nothing for other reasons."""
    for name, reading in batch.readings.items():
        if not reason.startswith(f'"{reading.field}" is not {reading.form}: '):
            continue
        if name == "schema_version":
            number = f"regexp_extract({quote(reading.field)}, '\\d+')"
            return f"columns={ {name: None} } leaves it out, columns={ {name: number} } takes its first number"
        if CANONICAL[name] == "TIMESTAMPTZ" and columns.clock == "iso":
            ((text,),) = batch.con.execute(
                f"select ({reading.raw})::varchar from {batch.staged.table} where {RECORD} = ?", [record]
            ).fetchall()
            if re.fullmatch(r"-?\d+(\.\d+)?", text):
                unit = next((unit for size, unit in _SIZES if abs(float(text)) < size), "ns")
                return f'a number: time="{unit}" reads it as {unit}'
    return ""


def _reason(batch: Batch) -> str:
    """SQL for why a record is a reject; NULL where it is none."""
    cases = [f"when {PROBLEM} is not null then {PROBLEM}"]
    for name, reading in batch.readings.items():
        field = literal(f'"{reading.field}"')
        if name in _REQUIRED:
            cases.append(f"when {reading.raw} is null then {field} || ' is missing'")
        if reading.bad is not None:
            form = literal(f" is not {reading.form}: ")
            shown = f"""'"' || left({reading.raw}::varchar, 80) || '"'"""
            cases.append(f"when {reading.raw} is not null and ({reading.bad}) then {field} || {form} || {shown}")
    return "case " + " ".join(cases) + " end"


def _judge_json(batch: Batch, reading: Reading) -> None:
    """Let the decoder judge the payload texts that SQL cannot prove to be JSON."""
    found = batch.con.sql(
        f"""
        select {RECORD} as record, {reading.value} as text from {batch.staged.table}
        where {reading.raw} is not null and ({reading.doubtful})
        """
    ).to_arrow_reader(10_000)
    reasons = [
        (record, f'"{reading.field}" is not JSON: {reason.removeprefix("not JSON: ").replace(" is not JSON", "")}')
        for chunk in found
        for record, text in zip(*(column.to_pylist() for column in chunk.columns), strict=True)
        if (reason := payload.check(text) if text is not None else "not UTF-8") is not None
    ]
    batch.con.register("judged", pa.table({"record": [r for r, _ in reasons], "reason": [why for _, why in reasons]}))
    batch.con.execute(
        """
        insert into unproven
        select record::bigint, reason::varchar from judged where record not in (select record from unproven)
        """
    )
    batch.con.unregister("judged")


def _positions(batch: Batch) -> Literal["recorded", "lines", "issued"]:
    """Where positions come from: a source's own only where it repeats none."""
    position = batch.value("position")
    if position is None:
        return "lines" if batch.staged.in_order else "issued"
    unique = batch.con.execute(f"select count(*) = count(distinct {position}) from {batch.accepted}").fetchall()[0][0]
    return "recorded" if unique else "issued"


def _place(raw: Raw) -> str:
    return f"{raw.source}, record {raw.record}" if raw.line is None else f"{raw.source}:{raw.line}"

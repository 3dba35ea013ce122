"""Whether a value that private steps replaced still stands somewhere: in events, in a bench file, in its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.event import quote
from esbench.events import Events
from esbench.fold.changes import leaves
from esbench.migrate.differences import Differences
from esbench.migrate.gates import Outcome, Seen
from esbench.migrate.private.needles import Needles
from esbench.migrate.private.originals import Originals, escaped, originals
from esbench.migrate.steps.privacy import Place
from esbench.payload import PayloadError, gathering
from esbench.show import cell, count

__all__ = [
    "GATE",
    "Leak",
    "concealed",
    "in_bytes",
    "in_events",
    "in_tables",
    "no_original_left",
    "silent",
    "told",
    "unnamed",
]

#: The gate, by which it is accepted.
GATE = "no original value is left"

#: What other gates may tell of a private migration.
_HARMLESS = ("severity", "check", "version", "old_version", "path", "expected", "cuts", "step", "event_type")

#: So many places are told.
LIMIT = 1_000
_TEXTS = ("stream_id", "stream_type", "event_id", "event_type", "source_position", "data", "metadata")
#: Texts in texts, as JSON in a string of JSON is, are taken apart so deep.
_DEEP = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """A value that still stands somewhere; it is told where, and of which step and place it is, never the value."""

    stream_id: str
    version: int | None
    position: int | None
    place: str
    original_of: str


def no_original_left(seen: Seen) -> Outcome | None:
    """Of a migration with private steps: no value that they replace stands anywhere in what it makes."""
    if not seen.result.private:
        return None
    failed = seen.counts.fates["failed"]
    if failed:
        left = f"{count(failed, 'event')} failed and would stay with whatever private steps replace"
        return Outcome(GATE, "failed", left)
    values = originals(seen.result)
    if not len(values):
        return Outcome(GATE, "not applicable", "no step replaced a value")
    leaks = list(islice(in_events(seen.result.work.events, values), LIMIT))
    searched = f"searched {count(len(values), 'value')} in {count(seen.counts.after, 'event')}"
    short = sum(map(len, values.short.values()))
    at_own = f", {short:,} of them, short or common, at their own places only" if short else ""
    if leaks:
        return Outcome(GATE, "failed", f"{told(leaks)} ({searched}{at_own})", pd.DataFrame(leaks))
    return Outcome(GATE, "passed", f"{searched}{at_own}; as they are spelled")


def told(leaks: list[Leak]) -> str:
    """How many values are left, and where the first one stands."""
    first = leaks[0]
    version = "" if first.version is None else f" version {first.version}"
    at = f"at {cell(first.stream_id, width=60)}{version}, {first.place}"
    many = "at least " if len(leaks) >= LIMIT else ""
    return f"left in {many}{count(len(leaks), 'place')}, first {at}: a value that {first.original_of} replaces"


def in_events(events: Events, values: Originals) -> Iterator[Leak]:
    """Places in the columns of events with lineage at which a value still stands."""
    needles = values.needles()
    asked = [f"{name}::varchar as {name}" for name in _TEXTS]
    for batch in replace(events, ordered=True).batches(["version", "position", *asked]):
        yield from _in_batch(batch, needles, values)
    yield from _short(events, values)


def in_tables(con: duckdb.DuckDBPyConnection, values: Originals, *, but: tuple[tuple[str, str], ...]) -> Iterator[Leak]:
    """The same in the texts of every other table of a bench, and in the names of all; ``but`` are not looked at."""
    needles = values.needles()
    listed = con.execute(
        """
        select schema_name, table_name, column_name, data_type from duckdb_columns()
        where not internal order by schema_name, table_name, column_index
        """
    ).fetchall()
    names = sorted({name for schema, table, column, _ in listed for name in (schema, table, column)})
    for row, needle in _hits(needles, pa.array(names, pa.string())):
        yield Leak(values.blotted(names[row]), None, None, "name of a table or column", values.told(needle))
    for schema, table, column, kind in listed:
        if (schema, table) in but or kind not in ("VARCHAR", "JSON"):
            continue
        texts = (
            con.sql(f"select {quote(column)}::varchar from {quote(schema)}.{quote(table)}").to_arrow_table().column(0)
        )
        for chunk in texts.chunks:
            for _, needle in _hits(needles, chunk):
                yield Leak("", None, None, f"{schema}.{table}, {column}", values.told(needle))


def in_bytes(path: Path, values: Originals) -> Iterator[Leak]:
    """The same in the bytes of a file, for values of eight bytes or more, as UTF-8 and as JSON escapes them.

    That finds what no table shows: pages that are free, or were written on the way. It does not see into compressed
    pages, which tables do show.
    """
    forms: dict[bytes, int] = {}
    for number, text in enumerate(values.texts):
        for form in (text.encode(), json.dumps(text)[1:-1].encode()):
            if len(form) >= 8:
                forms.setdefault(form, number)
    needles, of = Needles(list(forms), [False] * len(forms)), list(forms.values())
    for at, needle in needles.in_bytes(np.memmap(path, np.uint8, "r")):
        yield Leak("", None, None, f"byte {at:,} of the file", values.told(of[needle]))


def silent(outcome: Outcome) -> Outcome:
    """What came of another gate, without values and ids of the old log."""
    if outcome.name == GATE:
        return outcome
    details = outcome.details
    if details is not None:
        details = details[[name for name in details.columns if name in _HARMLESS]]
    return replace(outcome, text=outcome.text.partition(";")[0], details=details)


def unnamed(failures: pd.DataFrame) -> pd.DataFrame:
    """Failures without what was raised, which often quotes a value, and without ids."""
    errors = [str(error).partition(":")[0] if ":" in str(error) else "…" for error in failures["error"]]
    found = failures.assign(error=pd.Series(errors, dtype="str", index=failures.index), stream_id="…")
    found.attrs |= failures.attrs
    return found


def concealed(found: Differences) -> Differences:
    """Changes without the values in their examples."""
    groups = found.groups.copy()
    for side in ("before", "after"):
        groups[side] = pd.Series([dict.fromkeys(each, "…") for each in groups[side]], dtype=object, index=groups.index)
    return replace(found, groups=groups)


def _in_batch(batch: pa.RecordBatch, needles: Needles, values: Originals) -> Iterator[Leak]:
    found = sorted(
        (row, place, needle) for place, name in enumerate(_TEXTS) for row, needle in _hits(needles, batch.column(name))
    )
    hidden: dict[int, list[str]] = {}
    for row, _, needle in found:
        hidden.setdefault(row, []).append(values.texts[needle])
    for row, at, needle in found:
        stream_id, version, position = (
            batch.column(each)[row].as_py() for each in ("stream_id", "version", "position")
        )
        place = name = _TEXTS[at]
        if name in ("data", "metadata"):
            path = _path(batch.column(name)[row].as_py(), values.texts[needle])
            place = str(Place(name, _without(path, hidden[row]))) if path else name
        yield Leak(_without(stream_id, hidden[row]), version, position, place, values.told(needle))


def _without(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, "[…]")
    return text


def _hits(needles: Needles, column: pa.Array[Any]) -> Iterator[tuple[int, int]]:
    """Rows and needles, in texts as they are and with their escapes resolved."""
    if not len(needles):
        return
    seen: set[tuple[int, int]] = set()
    rows = np.arange(len(column))
    for depth in range(_DEEP + 1):
        for row, needle in needles.within(column):
            hit = int(rows[row]), needle
            if hit not in seen:
                seen.add(hit)
                yield hit
        if depth == _DEEP:
            return
        texts = column.to_pylist()
        left = [row for row, text in enumerate(texts) if text and "\\" in text]
        if not left:
            return
        rows = rows[left]
        column = pa.array([escaped(str(texts[row])) for row in left], pa.large_string())


def _path(text: str, value: str) -> str:
    """Where in a payload a value stands; nothing where that cannot be told."""
    try:
        for path, found in leaves(payload.decode(text)):
            if value in path or value in (shown := str(found)) or value in escaped(escaped(shown)):
                return path
    except PayloadError:
        pass
    return ""


def _short(events: Events, values: Originals) -> Iterator[Leak]:
    """Short values at the places where a step replaced them, in the events that it changed."""
    for (number, place), texts in values.short.items():
        if not texts:
            continue
        changed = f"steps & {1 << number} <> 0 and {place.column} is not null"
        found, left = place.column, sorted(texts)
        if place.path is not None:
            gathered = gathering.Gathered(place.path)
            gathering.register(events.con)
            found = gathering.sql(gathered, place.column)
            listed = events.rows(f"select distinct {found} as found from events where {changed} order by found")
            left = [each for (each,) in listed if each and any(_alone(raw) in texts for raw in gathering.items(each))]
        if left:
            rows = events.rows(
                f"""
                select stream_id, version, position from (select *, {found} as found from events where {changed})
                where found in (select unnest($_left::varchar[])) order by position limit {LIMIT}
                """,
                _left=left,
            )
            for stream_id, version, position in rows:
                yield Leak(stream_id, version, position, str(place), f"step {number + 1}: {place}")


def _alone(raw: str) -> str | None:
    return None if raw[0] in "{[" else payload.text_form(raw)

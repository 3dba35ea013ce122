"""From findings as numbers to findings that say what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.checks.check import SEVERITIES, Check, Found, Seen
from esbench.checks.reader import Reader

__all__ = ["COLUMNS", "tell"]

#: The columns of a report's findings, in their order.
COLUMNS: Mapping[str, pa.DataType] = {
    "check": pa.string(),
    "severity": pa.string(),
    "stream_id": pa.string(),
    "stream_type": pa.string(),
    "version": pa.int64(),
    "to_version": pa.int64(),
    "position": pa.int64(),
    "event_id": pa.string(),
    "event_type": pa.string(),
    "recorded_at": pa.timestamp("us", tz="UTC"),
    "seen": pa.string(),
    "expected": pa.string(),
    "explanation": pa.string(),
    "after": pa.string(),
    "evidence": pa.string(),
}

#: So many events of a finding are shown in its evidence, so many characters of each payload, so many positions.
_EVENTS, _CHARACTERS, _POSITIONS = 5, 200, 100


def tell(reader: Reader, found: Sequence[Found], checks: Mapping[str, Check]) -> pd.DataFrame:
    """The findings as a frame, worst first, then by check, stream, version and position."""
    ordered = sorted(found, key=_place)
    events = _fetch(reader, ordered)
    rows = [_row(each, checks[each.check], events) for each in ordered]
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    table = pa.table(
        {name: pa.array(values, kind) for (name, kind), values in zip(COLUMNS.items(), columns, strict=True)}
    )
    return table.to_pandas(types_mapper=lambda kind: pd.Int64Dtype() if pa.types.is_integer(kind) else None)


def _place(found: Found) -> tuple[Any, ...]:
    values = (found.stream_id, found.version, found.position)
    places = [(value is not None, value) for value in values]
    names = found.detail.get("aggregate", ""), found.detail.get("invariant", ""), found.detail.get("row", 0)
    return SEVERITIES.index(found.severity), found.check, *places, *names


def _shown(found: Found) -> list[int]:
    """The events that a finding shows: its own, and the first of those involved."""
    own = set() if found.position is None else {found.position}
    before = {found.detail["before"]} if "before" in found.detail else set()
    return sorted(own | before | {*sorted(found.positions)[:_EVENTS]})


def _fetch(reader: Reader, found: Sequence[Found]) -> dict[int, Seen]:
    wanted = sorted({position for each in found for position in _shown(each)})
    if not wanted:
        return {}
    reader.keep("wanted", pa.table({"position": pa.array(wanted, pa.int64())}))
    table = reader.arrow(
        f"""
        select
            position, stream_id, stream_type, version, event_id, event_type, epoch_us(recorded_at) as recorded,
            left(data, {_CHARACTERS + 1}) as data
        from events where position in (select position from wanted)
        """
    )
    return {row[0]: Seen(*row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def _row(found: Found, check: Check, events: Mapping[int, Seen]) -> tuple[Any, ...]:
    event = None if found.position is None else found.own(events)
    # A key of a read model is of no type.
    of_stream = found.stream_id is not None and "key" not in found.detail
    return (
        found.check,
        found.severity,
        found.stream_id,
        event.stream_type if event is not None and of_stream else None,
        found.version,
        found.to_version,
        found.position,
        *((None, None, None) if event is None else (event.event_id, event.event_type, event.recorded)),
        *check.tell(found, events),
        found.after,
        _evidence(found, events),
    )


def _evidence(found: Found, events: Mapping[int, Seen]) -> str:
    positions = sorted(found.positions)[:_POSITIONS]
    more = {"count": found.involved} if found.involved > len(positions) else {}
    shown = [_event(events[position]) for position in _shown(found) if position in events]
    return payload.encode({"positions": positions, **more, **found.detail, "events": shown})


def _event(event: Seen) -> dict[str, Any]:
    data = event.data
    if data is not None and len(data) > _CHARACTERS:
        data = data[:_CHARACTERS] + "…"
    return {
        "position": event.position,
        "stream_id": event.stream_id,
        "version": event.version,
        "event_type": event.event_type,
        "event_id": event.event_id,
        "recorded_at": event.recorded_text,
        "data": data,
    }

"""Reading events for a fold: Arrow batches in, Events out, with only the columns that are asked for.

An Event of a fold lacks the columns that were not fetched. When a handler reads one of them, that is noted on the side
and the fold starts again with the column, so a handler gets the right value whatever it does with errors. An
Event that outlives its fold fetches what it lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa

from esbench.event import CANONICAL, Event
from esbench.events import Events

__all__ = ["Gate", "Missing", "Reading", "Unordered"]

#: Event's fields and their columns.
_FIELDS = tuple((name, name.removesuffix("_text")) for name in Event.__struct_fields__)
_TIMES = frozenset({"recorded_at", "occurred_at"})
_SELECT = {
    **{name: name for name in CANONICAL},
    **{name: f"epoch_us({name}) as {name}" for name in _TIMES},
    **{name: f"{name}::varchar as {name}" for name in ("data", "metadata")},
}
#: Text that repeats from event to event.
_REPEATING = frozenset({"stream_id", "stream_type"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS = 50_000

_Batch = tuple[list[int], list[str], list[int], Iterator[Event]]


class Missing(BaseException):
    """A handler reads a column that was not fetched; no Exception, so that handlers seldom catch it."""


class Unordered(Exception):
    """Events that claim to come in folding order do not."""


class Gate:
    """What handlers asked for in vain; ``live`` while a handler runs whose fold can start again."""

    __slots__ = ("events", "live", "missing")

    def __init__(self, events: Events) -> None:
        self.events = events
        self.live = False
        self.missing: set[str] = set()

    def read(self, event: Event, column: str) -> Any:
        """A column that was not fetched: note it while a handler runs, otherwise fetch it now."""
        if self.live:
            self.missing.add(column)
            raise Missing
        rows = self.events.rows(
            f"select {_SELECT[column]} from events where position = $position", position=event.position
        )
        value = rows[0][0] if rows else None
        return _moment(value) if column in _TIMES else value


class Reading:
    """Batches in folding order: stream keys, the event types of the batch, each event's place in these, the events."""

    def __init__(self, events: Events, columns: Collection[str]) -> None:
        self.gate = Gate(events)
        self.events = events
        self.columns = columns
        self._make = _event_class(self.gate, columns)

    @property
    def wanted(self) -> set[str]:
        """The columns fetched, and those that handlers asked for in vain."""
        return {*self.columns, *self.gate.missing}

    def __iter__(self) -> Iterator[_Batch]:
        names = [column for _, column in _FIELDS if column in self.columns]
        last = (0, 0, 0)
        for batch in self.events.batches(["stream_key", *(_SELECT[name] for name in names)], rows=_ROWS):
            if batch.num_rows == 0:
                continue
            if self.events.ordered:
                last = _in_order(batch, last)
            types = batch.column("event_type").dictionary_encode()
            event_types: list[Any] = types.dictionary.to_pylist()
            indices = types.indices.to_numpy().tolist()
            values: list[Any] = [
                map(event_types.__getitem__, indices)
                if column == "event_type"
                else _values(batch.column(column), column)
                if column in self.columns
                else repeat(None)
                for _, column in _FIELDS
            ]
            while isinstance(values[-1], repeat):
                values.pop()
            yield batch.column("stream_key").to_numpy().tolist(), event_types, indices, map(self._make, *values)


def _values(array: pa.Array[Any], column: str) -> Any:
    """A column as Python values, the fast way."""
    if column in _TIMES:
        return [_moment(value) for value in array.to_pylist()]
    if column in _REPEATING:
        encoded = array.dictionary_encode()
        if encoded.null_count == 0:
            return map(encoded.dictionary.to_pylist().__getitem__, encoded.indices.to_numpy().tolist())
    if pa.types.is_integer(array.type) and array.null_count:
        return array.to_pylist()
    return array.to_numpy(zero_copy_only=False).tolist()


def _in_order(batch: pa.RecordBatch, last: tuple[int, int, int]) -> tuple[int, int, int]:
    """Prove that a batch goes on in folding order, and return its last place."""
    keys, versions, positions = (
        np.concatenate(([start], batch.column(name).to_numpy()))
        for start, name in zip(last, ("stream_key", "version", "position"), strict=True)
    )
    if last == (0, 0, 0):
        keys[0] = keys[1] - 1
    same_key = keys[1:] == keys[:-1]
    back = (keys[1:] < keys[:-1]) | (
        same_key
        & ((versions[1:] < versions[:-1]) | ((versions[1:] == versions[:-1]) & (positions[1:] < positions[:-1])))
    )
    if back.any():
        raise Unordered
    return int(keys[-1]), int(versions[-1]), int(positions[-1])


def _event_class(gate: Gate, columns: Collection[str]) -> Any:
    """Event, or a kind of Event in which the columns that are not fetched are read through the gate."""
    lacking = {attribute: column for attribute, column in _FIELDS if column not in columns}
    if not lacking:
        return Event

    def reader(column: str) -> property:
        return property(lambda event: gate.read(event, column))

    def whole(event: Any) -> Any:
        return Event(*(getattr(event, attribute) for attribute, _ in _FIELDS)) if isinstance(event, Event) else event

    members: dict[str, Any] = {
        **{attribute: reader(column) for attribute, column in lacking.items()},
        "__module__": Event.__module__,
        "__qualname__": Event.__qualname__,
        "__repr__": lambda event: repr(whole(event)),
        "__eq__": lambda event, other: whole(event) == whole(other),
        "__hash__": lambda event: hash(whole(event)),
        "__reduce__": lambda event: whole(event).__reduce__(),
    }
    kind: Any = type(Event)
    return kind("Event", (Event,), members, frozen=True, gc=False)


def _moment(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # infinity, or a year that Python does not have
        return datetime.max.replace(tzinfo=UTC) if microseconds > 0 else datetime.min.replace(tzinfo=UTC)

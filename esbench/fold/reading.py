"""Reading events for a fold: Arrow batches in, Events out, with only the columns that are asked for.

An Event of a fold lacks the columns that were not fetched. When a handler reads one of them, that is noted on the side
and the fold starts again with the column, so a handler gets the right value whatever it does with errors. An
Event that outlives its fold fetches what it lacks. Rows may be :class:`Held` in memory, when they were fetched for
another reason or come from another process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from esbench.event import CANONICAL, Event
from esbench.events import Events
from esbench.fold.progress import shown

__all__ = [
    "ROWS",
    "Gate",
    "Held",
    "Lacking",
    "Missing",
    "Reading",
    "Source",
    "Unordered",
    "in_order",
    "moment",
    "narrowed",
    "read",
    "selected",
]

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
ROWS = 50_000

_Batch = tuple[list[int], list[str], list[int], Iterator[Event]]


class Missing(BaseException):
    """A handler reads a column that was not fetched; no Exception, so that handlers seldom catch it."""


class Lacking(Exception):
    """Rows in memory lack columns, and where they come from is out of reach; carries all columns that are wanted."""

    def __init__(self, columns: set[str]) -> None:
        super().__init__(columns)
        self.columns = columns


class Unordered(Exception):
    """Events that claim to come in folding order do not."""


@dataclass(frozen=True, slots=True)
class Held:
    """Rows in memory, in folding order: the columns that :func:`selected` gives, or some of them.

    ``events`` are the same rows where they come from, for columns that are not held; None where that is out of reach.
    """

    batches: Sequence[pa.RecordBatch]
    events: Events | None

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns that are held."""
        return frozenset(self.batches[0].schema.names) if self.batches else frozenset(CANONICAL)

    def filtered(self, column: str, values: Collection[Any]) -> list[pa.RecordBatch]:
        """The rows that have one of some values in a column."""
        wanted = pa.array(list(values), pa.string() if column == "event_type" else pa.int64())
        return [batch.filter(compute.is_in(batch.column(column), value_set=wanted)) for batch in self.batches]


Source = Events | Held


def narrowed(source: Source, column: str, values: Iterable[Any]) -> Any:
    """The rows that have one of some values in ``event_type`` or ``stream_key``; the others are not fetched."""
    values = list(values)
    if isinstance(source, Held):
        events = None if source.events is None else narrowed(source.events, column, values)
        return replace(source, batches=source.filtered(column, values), events=events)
    start = len(source.parameters)
    if column == "event_type":
        # Spelled out, which is faster than a list for the few types there are.
        named = {f"_type{start + number}": value for number, value in enumerate(values)}
        return source.where(f"event_type in ({', '.join(f'${name}' for name in named)})" if named else "false", **named)
    name = f"_keys{start}"
    # The sub-query may become a join, which keeps no order.
    return replace(
        source.where(f"{column} in (select unnest(${name}))", **{name: sorted(values)}),
        ordered=False,
    )


def selected(columns: Collection[str]) -> list[str]:
    """SQL for the stream key and some canonical columns, as a fold reads them."""
    return ["stream_key", *(_SELECT[column] for _, column in _FIELDS if column in columns)]


def read(events: Events, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """Batches of the stream key and some canonical columns, with a progress bar where it takes long."""

    def total() -> int:
        return int(events.rows("select count(*) from events")[0][0])

    return shown(events.batches(selected(columns), rows=ROWS), total)


class Gate:
    """What handlers asked for in vain; ``live`` while a handler runs whose fold can start again."""

    __slots__ = ("events", "live", "missing")

    def __init__(self, events: Events | None) -> None:
        self.events = events
        self.live = False
        self.missing: set[str] = set()

    def read(self, event: Event, column: str) -> Any:
        """A column that was not fetched: note it while a handler runs, otherwise fetch it now."""
        if self.live or self.events is None:
            self.missing.add(column)
            raise Missing
        rows = self.events.rows(
            f"select {_SELECT[column]} from events where position = $position", position=event.position
        )
        value = rows[0][0] if rows else None
        return moment(value) if column in _TIMES else value


class Reading:
    """Batches in folding order: stream keys, the event types of the batch, each event's place in these, the events."""

    def __init__(self, source: Source, columns: Collection[str]) -> None:
        self.gate = Gate(source.events if isinstance(source, Held) else source)
        self.source = source
        self.columns = columns = {*columns, *(source.columns & CANONICAL.keys() if isinstance(source, Held) else ())}
        self._make = _event_class(self.gate, columns)

    def again(self) -> set[str]:
        """The columns with which to start again: those fetched, and those that handlers asked for in vain.

        Raises Lacking where they are out of reach.
        """
        wanted = {*self.columns, *self.gate.missing}
        if isinstance(self.source, Held) and self.source.events is None and not wanted <= self.source.columns:
            raise Lacking(wanted)
        return wanted

    def __iter__(self) -> Iterator[_Batch]:
        last: tuple[int, int, int] | None = None
        for batch, prove in self._batches():
            if batch.num_rows == 0:
                continue
            if prove:
                last = in_order(batch, last)
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

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Arrow batches, and whether their order is still to be proven."""
        source = self.source
        if isinstance(source, Held):
            lacking = set(self.columns) - source.columns
            if not lacking:
                yield from ((batch, False) for batch in source.batches)
                return
            if source.events is None:
                self.gate.missing |= lacking
                raise Missing
            source = source.events
        for batch in read(source, self.columns):
            yield batch, source.ordered


def _values(array: pa.Array[Any], column: str) -> Any:
    """A column as Python values, the fast way."""
    if column in _TIMES:
        return [moment(value) for value in array.to_pylist()]
    if column in _REPEATING:
        encoded = array.dictionary_encode()
        if encoded.null_count == 0:
            return map(encoded.dictionary.to_pylist().__getitem__, encoded.indices.to_numpy().tolist())
    if pa.types.is_integer(array.type) and array.null_count:
        return array.to_pylist()
    return array.to_numpy(zero_copy_only=False).tolist()


def in_order(batch: pa.RecordBatch, last: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Prove that a batch goes on in folding order after a place, and return its last place. Raises Unordered."""
    columns = [batch.column(name).to_numpy() for name in ("stream_key", "version", "position")]
    if last is not None:
        columns = [np.concatenate(([start], column)) for start, column in zip(last, columns, strict=True)]
    keys, versions, positions = columns
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


def moment(microseconds: int | None) -> datetime | None:
    """A time in UTC of microseconds since 1970; the first or last that Python has for one beyond these."""
    if microseconds is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # infinity, or a year that Python does not have
        return datetime.max.replace(tzinfo=UTC) if microseconds > 0 else datetime.min.replace(tzinfo=UTC)

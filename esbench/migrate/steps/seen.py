"""Events as a step's function sees them: made cheaply from a batch of rows, which is asked for the rest when needed.

A fold fetches only some columns, and starts again where a handler asks for more. A migration has all columns of its
rows in memory, because it writes them again; so an event here has a few fields, its batch and its row, and whatever
else is asked of it, at whatever time, is read there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pyarrow as pa

from esbench.event import CANONICAL, Event
from esbench.fold.reading import moment

__all__ = ["Batch", "Seen", "row_of"]

#: Event's fields that are read when they are asked for, and their columns.
_LATER = {
    name: name.removesuffix("_text")
    for name in Event.__struct_fields__
    if name not in ("position", "stream_id", "version", "event_type", "data_text")
}

#: What a Seen holds in the place of the first two of them.
_batch = Event.__dict__["metadata_text"].__get__
_row = Event.__dict__["stream_type"].__get__


class Batch:
    """Rows of work in memory: a column becomes a list when it is first asked for."""

    __slots__ = ("_lists", "rows")

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._lists: dict[str, list[Any]] = {}

    def values(self, column: str) -> list[Any]:
        """A column as Python values; times are in UTC."""
        found = self._lists.get(column)
        if found is None:
            found = self._lists[column] = _values(self.rows.column(column), column)
        return found

    def events(self) -> Iterator[Event]:
        """The events of the rows."""
        values = map(self.values, ("position", "stream_id", "version", "event_type", "data"))
        return map(Seen, *values, repeat(self), range(self.rows.num_rows))


def _values(array: pa.Array[Any], column: str) -> list[Any]:
    if CANONICAL.get(column) == "TIMESTAMPTZ":
        # By microseconds, because Arrow raises for times that Python does not have.
        return [moment(value) for value in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_integer(array.type) and array.null_count:
        values: list[Any] = array.to_pylist()
        return values
    if column in ("stream_id", "event_type"):
        encoded = array.dictionary_encode()
        if encoded.null_count == 0:
            return list(map(encoded.dictionary.to_pylist().__getitem__, encoded.indices.to_numpy().tolist()))
    if pa.types.is_nested(array.type):
        return array.to_pylist()
    return list(array.to_numpy(zero_copy_only=False).tolist())


def _read(column: str) -> property:
    return property(lambda event: _batch(event).values(column)[_row(event)])


def _whole(event: Any) -> Any:
    return Event(*(getattr(event, name) for name in Event.__struct_fields__)) if isinstance(event, Event) else event


_members: dict[str, Any] = {
    **{name: _read(column) for name, column in _LATER.items()},
    "__module__": Event.__module__,
    "__qualname__": Event.__qualname__,
    "__repr__": lambda event: repr(_whole(event)),
    "__eq__": lambda event, other: _whole(event) == _whole(other),
    "__hash__": lambda event: hash(_whole(event)),
    "__reduce__": lambda event: _whole(event).__reduce__(),
}
_kind: Any = type(Event)

#: A kind of Event, equal to any other of the same fields.
Seen: Any = _kind("Event", (Event,), _members, frozen=True, gc=False)


def row_of(event: Event, batch: Batch) -> int | None:
    """The row of a batch that an event stands for, or was changed from; None for one of another making."""
    if type(event) is not Seen or _batch(event) is not batch:
        return None
    row: int = _row(event)
    return row

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
from esbench.payload.rebuilding import decoded

__all__ = ["Batch", "Seen", "row_of", "source_of"]

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
    # Numbers carry their text, so that they keep it wherever a function puts them.
    "data": property(lambda event: None if event.data_text is None else decoded(event.data_text)),
    "metadata": property(lambda event: {} if event.metadata_text is None else decoded(event.metadata_text)),
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


#: What no Seen has a value of its own in.
_unused = [Event.__dict__[name].__get__ for name in list(_LATER)[2:]]


def source_of(event: Event) -> tuple[Batch, int] | None:
    """The batch and the row that an event stands for; None for one of another making.

    Raises TypeError for one in which what is read in its batch was set past :meth:`Event.changed`.
    """
    if type(event) is not Seen:
        return None
    batch, row = _batch(event), _row(event)
    if type(batch) is not Batch or type(row) is not int or any(get(event) is not None for get in _unused):
        raise TypeError("a field of the event was set by msgspec.structs.replace(): use event.changed() for that")
    return batch, row


def row_of(event: Event, batch: Batch) -> int | None:
    """The row of a batch that an event stands for, or was changed from; None for one of another making."""
    if type(event) is not Seen or _batch(event) is not batch:
        return None
    row: int = _row(event)
    return row

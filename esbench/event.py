"""The event, its canonical columns, and coordinates in history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pandas as pd

from esbench import payload
from esbench.errors import BadCoordinate
from esbench.payload.kept import kept

__all__ = ["CANONICAL", "At", "Event", "at", "literal", "quote"]

#: Canonical columns and their types, in the order in which a log table holds them.
CANONICAL: Mapping[str, str] = MappingProxyType(
    {
        "position": "BIGINT",
        "stream_id": "VARCHAR",
        "stream_type": "VARCHAR",
        "version": "BIGINT",
        "event_id": "VARCHAR",
        "event_type": "VARCHAR",
        "schema_version": "BIGINT",
        "recorded_at": "TIMESTAMPTZ",
        "occurred_at": "TIMESTAMPTZ",
        "source_position": "VARCHAR",
        "data": "JSON",
        "metadata": "JSON",
    }
)


#: Says that an argument was not given, where None says something.
_SAME: Any = object()


def quote(identifier: str) -> str:
    """Quote a name for SQL, doubling the quotes in it.

    >>> quote("order")
    '"order"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in SQL, where a parameter cannot stand.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One immutable fact.

    ``data_text`` and ``metadata_text`` are the JSON as it came in; :attr:`data` and :attr:`metadata` decode it
    anew at each access, so that nobody can change an event by changing what it returned.

    >>> Event(1, "item-1", 1, "ItemsAdded", data_text='{"quantity": 2}').data["quantity"]
    2
    """

    position: int
    stream_id: str
    version: int
    event_type: str
    data_text: str | None = None
    metadata_text: str | None = None
    stream_type: str | None = None
    event_id: str | None = None
    schema_version: int | None = None
    recorded_at: datetime | None = None
    occurred_at: datetime | None = None
    source_position: str | None = None

    @property
    def data(self) -> Any:
        """The payload, decoded; None where the source had none."""
        return None if self.data_text is None else payload.decode(self.data_text)

    @property
    def metadata(self) -> Any:
        """The metadata, decoded; an empty dict where the source had none."""
        return {} if self.metadata_text is None else payload.decode(self.metadata_text)

    def changed(self, *, data: Any = _SAME, metadata: Any = _SAME, **fields: Any) -> Event:
        """The event with other values in some fields; what is not touched keeps its text.

        ``data`` and ``metadata`` are given decoded, None for none. Raises PayloadError for what JSON cannot carry, and
        TypeError for a name that an event does not have.

        >>> event = Event(1, "order-1", 1, "OrderPlaced", data_text='{"price":1.10}')
        >>> event.changed(event_type="OrderOpened", data={**event.data, "currency": "EUR"}).data_text
        '{"price":1.10,"currency":"EUR"}'
        """
        if data is not _SAME:
            fields["data_text"] = None if data is None else kept(self.data_text, data)
        if metadata is not _SAME:
            fields["metadata_text"] = None if metadata is None else kept(self.metadata_text, metadata)
        kind = type(self)
        # An event of a kind that reads some fields only when they are asked for cannot hold others in their place.
        lazy = kind is not Event and not kind.__dict__.keys().isdisjoint(fields)
        base = Event(*(getattr(self, name) for name in Event.__struct_fields__)) if lazy else self
        return msgspec.structs.replace(base, **fields)

    def __deepcopy__(self, memo: object) -> Event:
        # Nothing in an event can change.
        return self


@dataclass(frozen=True, slots=True)
class At:
    """A point in history: at most one of a version, a recorded time or a position, each inclusive; none is the end.

    >>> str(at(version=3)), str(at(as_of="2024-06-07T12:00+02:00")), str(at())
    ('version 3', 'as of 2024-06-07T10:00:00+00:00', 'the end')
    """

    version: int | None = None
    as_of: datetime | None = None
    position: int | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"version {self.version}"
        if self.as_of is not None:
            return f"as of {self.as_of.isoformat()}"
        return "the end" if self.position is None else f"position {self.position}"


def at(*, version: int | None = None, as_of: object = None, position: int | None = None) -> At:
    """Make a coordinate.

    ``as_of`` takes a datetime, a date, a pandas Timestamp or ISO 8601 text; one without an offset is UTC.
    Raises BadCoordinate for more than one of the three, or for one that cannot be read.

    >>> at(version=3, position=9)
    Traceback (most recent call last):
    ...
    esbench.errors.BadCoordinate: one coordinate at a time: got version and position
    """
    given = {"version": version, "as_of": as_of, "position": position}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise BadCoordinate(f"one coordinate at a time: got {' and '.join(named)}")
    for name in ("version", "position"):
        value = given[name]
        if value is not None and not (hasattr(value, "__index__") and not isinstance(value, bool)):
            raise BadCoordinate(f"{name} is not an integer: {value!r}")
        if value is not None and not -(2**63) <= int(value) < 2**63:
            raise BadCoordinate(f"{name} lies outside 64 bits")
    return At(
        version=None if version is None else int(version),
        as_of=None if as_of is None else _moment(as_of),
        position=None if position is None else int(position),
    )


def _moment(value: object) -> datetime:
    """A time in UTC, or BadCoordinate."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadCoordinate(f'as_of is not an ISO 8601 time: "{value}" (such as 2024-06-07T12:00Z)') from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value != value:  # NaT differs from itself
        raise BadCoordinate(f"as_of is not a time: {value!r}")
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime(warn=False)  # its nanoseconds the log does not have
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise BadCoordinate(f"as_of lies outside the years 1 to 9999 in UTC: {value.isoformat()}") from None

"""Keys of read models: what is read from an event to say to which row it belongs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from esbench import payload
from esbench.errors import AggregateError
from esbench.event import CANONICAL, literal
from esbench.projection.expressions import tried, type_of
from esbench.projection.operands import Field

__all__ = ["Meta", "Part", "meta", "parts"]

#: Names that the rows of a read model have beside the key; a part of the key may be the column itself.
_BESIDE = frozenset({"version", "position", "events", "event_type", "recorded_at", "stream_id", "trust", "broken"})
_KINDS = re.compile(
    r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|DECIMAL\(.*|DOUBLE|VARCHAR|BOOLEAN|DATE|TIMESTAMP( WITH TIME ZONE)?"
)
_NAMED = re.compile(r"(.+\S)\s+as\s+([A-Za-z]\w*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Meta:
    """The value at a JSON Pointer in the metadata; ``default`` where there is none, or null."""

    path: str
    default: str | None = None

    def __repr__(self) -> str:
        default = "" if self.default is None else f", default={self.default!r}"
        return f"meta({self.path!r}{default})"


@dataclass(frozen=True, slots=True)
class Part:
    """One column of a key: its name, its type, and for every event type SQL that is NULL where the key is missing."""

    name: str
    kind: str
    sql: Mapping[str, str]

    @property
    def expression(self) -> str:
        """SQL: the part of an event, NULL where it is missing."""
        every: dict[str, list[str]] = {}
        for event_type, text in self.sql.items():
            every.setdefault(text, []).append(event_type)
        cases = " ".join(
            f"when event_type in ({', '.join(map(literal, types))}) then {text}" for text, types in every.items()
        )
        return f"case {cases} end"


def meta(path: str, *, default: str | None = None) -> Meta:
    """The value at a path (a JSON Pointer) in an event's metadata, for the key of a read model.

    >>> meta("/tenant")
    meta('/tenant')
    """
    if not isinstance(path, str) or "\0" in path:
        raise AggregateError(f"a path is a text such as {'/tenant'!r}, not {path!r}")
    try:
        payload.pointer(path)
    except payload.PayloadError as error:
        raise AggregateError(f"es.meta: {error}") from None
    return Meta(path, default)


def parts(key: object, event_types: Iterable[str], columns: Iterable[str]) -> tuple[Part, ...]:
    """The parts of a key; none for ``"stream_id"``, which keys a declared aggregate.

    >>> [(part.name, part.kind) for part in parts((Field("/customer"), "recorded_at::date as day"), ["Sold"], [])]
    [('customer', 'VARCHAR'), ('day', 'DATE')]
    """
    given = key if isinstance(key, tuple) else (key,)
    if not given:
        raise AggregateError('key=() has no part: "stream_id", es.field("/customer"), "recorded_at::date as day", …')
    if given == ("stream_id",):
        return ()
    types, taken = tuple(event_types), {name.lower() for name in columns}
    made = []
    for one in given:
        part = _part(one, types)
        name = part.name.lower()
        if name in taken or name.startswith("_") or (name in _BESIDE and set(part.sql.values()) != {tried(name)}):
            raise AggregateError(
                f'key={one!r}: "{part.name}" is the name of another column; an SQL expression may give it another, '
                'as in "recorded_at::date as day"'
            )
        taken.add(name)
        made.append(part)
    return tuple(made)


def _part(one: object, event_types: tuple[str, ...]) -> Part:
    by_type = one if isinstance(one, Mapping) else dict.fromkeys(event_types, one)
    if strange := [name for name in by_type if name not in event_types]:
        raise AggregateError(f"key={one!r}: no column takes events of type {strange[0]!r}")
    if lacking := [name for name in event_types if name not in by_type]:
        raise AggregateError(f'key={one!r}: it does not say where events of type "{lacking[0]}" have the key')
    found = {name: _read(value) for name, value in by_type.items()}
    (name, kind, _), *_ = found.values()
    if other := [event_type for event_type, read in found.items() if read[1] != kind]:
        raise AggregateError(
            f'key={one!r}: it is a {kind} in some events and a {found[other[0]][1]} in those of type "{other[0]}"; '
            'cast one of them, as in "…::varchar"'
        )
    return Part(name, kind, MappingProxyType({event_type: read[2] for event_type, read in found.items()}))


def _read(one: object) -> tuple[str, str, str]:
    """Name, type and SQL of what keys an event."""
    if isinstance(one, (Field, Meta)):
        column = "data" if isinstance(one, Field) else "metadata"
        path = literal(one.path)
        raw = f"({column}->{path})::varchar"
        # Objects and arrays are no keys; an integer keeps its digits.
        text = f"case when {raw} = 'null' or left({raw}, 1) in ('{{', '[') then null"
        text = f"{text} else {payload.text_at(column, path)} end"
        if one.default is not None:
            text = f"coalesce({text}, {literal(str(one.default))})"
        return (payload.pointer(one.path) or ("data",))[-1], "VARCHAR", f"({text})"
    if not isinstance(one, str):
        raise AggregateError(
            f"key={one!r}: a key is es.field(…), es.meta(…), an SQL expression over an event's columns, a dict from "
            "event type to one of these, or a tuple of several"
        )
    named = _NAMED.fullmatch(one.strip())
    text, name = (named[1], named[2]) if named else (one.strip(), one.strip())
    kind = type_of(text, CANONICAL)
    if kind == "JSON":
        kind, text = "VARCHAR", f"({text})::varchar"
    if not _KINDS.fullmatch(kind):
        raise AggregateError(f'key="{one}" gives a {kind}: cast it to a number, a text, a boolean, a date or a time')
    return name, kind, tried(text)

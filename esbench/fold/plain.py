"""Plain values as text, exactly and back: what a snapshot in a file may hold, which is nothing that runs.

JSON where JSON is exact; whatever else is plain stands in ``{"$": [kind, content]}``. Values of classes have no text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from esbench.errors import EsbenchError
from esbench.fold.changes import fields_of

__all__ = ["NotPlain", "decoded", "encoded", "size"]

#: Nested deeper, a value is not plain.
_DEPTH: Final = 100


class NotPlain(EsbenchError, ValueError):
    """A value that cannot be written as text and read back as the same."""


def encoded(value: Any) -> str:
    """A plain value as text: None, bool, int, float, str, bytes, Decimal, times, tuples, lists, dicts and sets of them.

    Raises NotPlain for any other, and for a list, dict or set that stands in a value twice: it would come back as two.

    >>> text = encoded({"n": (1, 2.5), 3: {"$": None}})
    >>> decoded(text)
    {'n': (1, 2.5), 3: {'$': None}}
    """
    try:
        return json.dumps(_packed(value, 0, set()), separators=(",", ":"))
    except ValueError as error:  # an integer of thousands of digits, too
        raise NotPlain(str(error)) from None


def decoded(text: str) -> Any:
    """The value that :func:`encoded` made a text of."""
    return _unpacked(json.loads(text))


def size(value: Any) -> int | None:
    """About how many bytes a value takes; None for one that a copy may differ from, such as one that holds a sentinel.

    Dataclasses and Structs of plain values are fine here, for nothing is written.

    >>> size({"n": 1}) is None, size({"n": object()}) is None
    (False, True)
    """
    total = 0
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        total += 48
        kind = type(one)
        if kind in (str, bytes):
            total += len(one)
        elif kind in (dict, list, tuple, set, frozenset):
            if depth > _DEPTH:
                return None
            members = (*one, *one.values()) if kind is dict else one
            waiting += [(member, depth + 1) for member in members]
        elif kind not in _ATOMS and kind not in _TEXTS:
            fields = fields_of(one)
            if fields is None or depth > _DEPTH or isinstance(one, dict) or not _copied_by_field(kind):
                return None
            if set(getattr(one, "__dict__", fields)) != set(fields):
                return None
            waiting += [(member, depth + 1) for member in fields.values()]
    return total


#: Methods by which a class says how it is copied.
_HOOKS: Final = (
    "__deepcopy__",
    "__getnewargs__",
    "__getnewargs_ex__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__setstate__",
)


def _copied_by_field(kind: type) -> bool:
    return not any(
        name in vars(base) and getattr(vars(base)[name], "__module__", "") != "dataclasses"
        for base in kind.__mro__
        if base not in (object, msgspec.Struct)
        for name in _HOOKS
    )


_ATOMS: Final = frozenset({type(None), bool, int, str, float})
_TEXTS: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    Decimal: ("decimal", str),
    bytes: ("bytes", bytes.hex),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda one: [one.days, one.seconds, one.microseconds]),
}
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "decimal": Decimal,
    "float": float,
    "bytes": bytes.fromhex,
    "datetime": lambda text: _in_utc(datetime.fromisoformat(text)),
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "tuple": lambda items: tuple(map(_unpacked, items)),
    "set": lambda items: set(map(_unpacked, items)),
    "frozenset": lambda items: frozenset(map(_unpacked, items)),
    "dict": lambda pairs: {_unpacked(key): _unpacked(one) for key, one in pairs},
}


def _packed(value: Any, depth: int, seen: set[int]) -> Any:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return {"$": ["float", repr(value)]}
    if kind in _ATOMS:
        return value
    if depth > _DEPTH:
        raise NotPlain("nested too deeply")
    if kind in (list, dict, set):
        if id(value) in seen:
            raise NotPlain(f"one {kind.__name__} stands in it twice")
        seen.add(id(value))
    if kind is list:
        return [_packed(one, depth + 1, seen) for one in value]
    if kind is dict:
        if all(type(key) is str for key in value) and "$" not in value:
            return {key: _packed(one, depth + 1, seen) for key, one in value.items()}
        pairs = [[_packed(key, depth + 1, seen), _packed(one, depth + 1, seen)] for key, one in value.items()]
        return {"$": ["dict", pairs]}
    if kind is tuple:
        return {"$": ["tuple", [_packed(one, depth + 1, seen) for one in value]]}
    if kind in (set, frozenset):
        return {"$": [kind.__name__, sorted((_packed(one, depth + 1, seen) for one in value), key=repr)]}
    if kind in _TEXTS:
        # Of zones only UTC comes back as the same object, and a repeated hour has no text.
        if kind in (datetime, time) and ((value.tzinfo is not None and value.tzinfo is not UTC) or value.fold):
            raise NotPlain(f"{value!r} is not in UTC")
        name, written = _TEXTS[kind]
        return {"$": [name, written(value)]}
    raise NotPlain(f"{kind.__qualname__} is no plain value")


def _unpacked(value: Any) -> Any:
    if type(value) is list:
        return [_unpacked(one) for one in value]
    if type(value) is dict:
        if "$" in value:
            name, content = value["$"]
            return _READ[name](content)
        return {key: _unpacked(one) for key, one in value.items()}
    return value


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.replace(tzinfo=UTC)

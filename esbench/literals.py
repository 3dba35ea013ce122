"""Values as Python source: literals that give the value back exactly, laid out as a formatter would."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np

from esbench.errors import EsbenchError
from esbench.fold.changes import fields_of

__all__ = ["IMPORTS", "Unwritable", "literal", "parts_literal", "plain", "text_literal"]

#: What a literal may need, by the name that stands in it.
IMPORTS: Mapping[str, str] = {"date": "datetime", "datetime": "datetime", "time": "datetime", "timedelta": "datetime",
                              "Decimal": "decimal", "UUID": "uuid"}  # fmt: skip

#: The width that formatters and linters start from.
_WIDTH = 88
#: Python cannot read brackets nested more than 200 deep; nobody can read them half as deep.
_DEPTH = 80
#: Python reads no longer decimal integers from source; hexadecimal ones it does.
_BITS = 10_000
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}

_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: lambda value: f"{value:#x}" if value.bit_length() > _BITS else str(value),
    float: lambda value: repr(value) if math.isfinite(value) else f'float("{value}")',
    str: lambda value: text_literal(value),
    bytes: lambda value: f"b{text_literal(value.decode('latin-1'), ascii_only=True)}",
    Decimal: lambda value: f'Decimal("{value}")',
    datetime: lambda value: f'datetime.fromisoformat("{value.isoformat()}")',
    date: lambda value: f'date.fromisoformat("{value.isoformat()}")',
    time: lambda value: f'time.fromisoformat("{value.isoformat()}")',
    timedelta: lambda value: (
        f"timedelta(days={value.days}, seconds={value.seconds}, microseconds={value.microseconds})"
    ),
    UUID: lambda value: f'UUID("{value}")',
}


class Unwritable(EsbenchError, ValueError):
    """A value that has no literal: says where it stands."""


def plain(value: Any, path: str = "") -> Any:
    """A value in terms of what literals can say: dataclasses and Structs as dicts of their fields, enums by name.

    Raises Unwritable for anything else, and for what is nested too deep to read.

    >>> import collections
    >>> plain(collections.Counter("aab"))
    {'a': 2, 'b': 1}
    """
    if path.count("/") > _DEPTH:
        raise Unwritable(f"it is nested more than {_DEPTH} deep")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if type(value) in _SCALARS:
        return value
    for scalar in (str, int, float):
        if isinstance(value, scalar):
            return scalar(value)
    fields = fields_of(value) if not isinstance(value, Mapping) else value
    if fields is not None:
        return {plain(key, f"{path}/{key}"): plain(member, f"{path}/{key}") for key, member in fields.items()}
    for many in (list, tuple, set, frozenset):
        if isinstance(value, many):
            return many([plain(member, f"{path}/{place}") for place, member in enumerate(value)])
    raise Unwritable(f"at {path or 'its root'} stands a {type(value).__name__}, which cannot be written down")


def literal(value: Any, *, indent: int = 0, before: int = 0, after: int = 0) -> str:
    """The source of a :func:`plain` value, for a line that has ``before`` and ``after`` so many characters.

    >>> print(literal({"quantity": 2, "name": 'a "duck"'}))
    {"quantity": 2, "name": 'a "duck"'}
    """
    whole = _one_line(value)
    if _wide(whole) + indent + before + after <= _WIDTH or (type(value) in _SCALARS and type(value) is not str):
        return whole
    if isinstance(value, str):
        return _in_lines(whole, [value], indent)
    if not value:
        return whole
    inner = indent + 4
    if isinstance(value, dict):
        keys = [(f"{_one_line(key)}: ", member) for key, member in value.items()]
        rows = [f"{key}{literal(member, indent=inner, before=_wide(key), after=1)}" for key, member in keys]
        return _spread("{", "}", rows, indent)
    ordered = sorted(value, key=_one_line) if isinstance(value, (set, frozenset)) else value
    rows = [literal(member, indent=inner, after=1) for member in ordered]
    if isinstance(value, frozenset):
        rows = [literal(member, indent=inner + 4, after=1) for member in ordered]
        return _spread("frozenset(", ")", [_spread("{", "}", rows, inner)], indent, comma="")
    brackets = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
    return _spread(brackets[0], brackets[1], rows, indent)


def text_literal(text: str, *, ascii_only: bool = False) -> str:
    r"""The source of a text, on one line; what does not print, or turns the text around it, is an escape.

    >>> print(text_literal('it\'s "1"\n\u202e'))
    'it\'s "1"\n\u202e'
    """
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote, ascii_only=ascii_only) for character in text) + quote


def parts_literal(parts: Iterable[str], *, indent: int) -> str:
    """The source of a text in a list: on one line if it fits, otherwise in lines that end where a part ends."""
    texts = list(parts)
    whole = text_literal("".join(texts))
    return whole if _wide(whole) + indent + 1 <= _WIDTH else _in_lines(whole, texts, indent)


def _one_line(value: Any) -> str:
    write = _SCALARS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_one_line(key)}: {_one_line(member)}' for key, member in value.items())}}}"
    members = [_one_line(member) for member in value]
    if isinstance(value, list):
        return f"[{', '.join(members)}]"
    if isinstance(value, tuple):
        return f"({', '.join(members)}{',' if len(members) == 1 else ''})"
    inside = f"{{{', '.join(sorted(members))}}}" if members else ""
    return f"frozenset({inside})" if isinstance(value, frozenset) else inside or "set()"


def _spread(opening: str, closing: str, rows: Iterable[str], indent: int, *, comma: str = ",") -> str:
    space = "\n" + " " * (indent + 4)
    return f"{opening}{''.join(f'{space}{row}{comma}' for row in rows)}\n{' ' * indent}{closing}"


def _in_lines(whole: str, parts: Iterable[str], indent: int) -> str:
    """A text in brackets, over several lines, unless it is too short to be cut."""
    rows = _chunks(parts, _WIDTH - indent - 4)
    return _spread("(", ")", rows, indent, comma="") if len(rows) > 1 else whole


def _chunks(parts: Iterable[str], width: int) -> list[str]:
    """Literals of a text that, one after another, make it up, each no wider than so much; cut after commas if any."""
    most = max(width, 40) - 2  # the quotes
    result = []
    for part in parts:
        start = used = gap = 0
        # A quote may have to be escaped, or not, by what else the literal holds.
        sizes = [max(_wide(_escaped(character, '"')), _wide(_escaped(character, "'"))) for character in part]
        for place, size in enumerate(sizes):
            if used + size > most:
                cut = gap if gap > start and sum(sizes[gap:place]) + size <= most else place
                result.append(text_literal(part[start:cut]))
                start, used = cut, sum(sizes[cut:place])
            used += size
            if part[place] in ", ":
                gap = place + 1
        if part:
            result.append(text_literal(part[start:]))
    return result


def _escaped(character: str, quote: str, *, ascii_only: bool = False) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == quote:
        return f"\\{quote}"
    if character.isprintable() and not (ascii_only and character > "~"):
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def _wide(text: str) -> int:
    """How wide a text is on a screen, as linters count it."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

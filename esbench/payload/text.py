"""JSON text as values and back, exactly, and JSON Pointers into both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from esbench.payload.scan import PayloadError, scan

__all__ = [
    "decode",
    "encode",
    "get",
    "pointer",
    "text_form",
]

_encoder = msgspec.json.Encoder(decimal_format="number")


def decode(text: str) -> Any:
    """Decode strict JSON; integers come out exact at any size.

    A number beyond a float (``1e400``) becomes a Decimal. Raises PayloadError where text is not strict JSON, holds
    half a surrogate pair, or is nested deeper than Python can hold.

    >>> decode('{"n": 9007199254740993, "x": 1e400}')
    {'n': 9007199254740993, 'x': Decimal('1E+400')}
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        scan(text)
    try:
        return json.loads(text, parse_float=_number, parse_int=_number)
    except RecursionError:
        raise PayloadError("nested too deeply to decode") from None
    except InvalidOperation:
        raise PayloadError("a number out of all range") from None


def encode(value: Any) -> str:
    """Encode compactly: the same value gives the same text; dict order, integers and Decimals are kept exactly.

    Raises PayloadError for what JSON cannot carry: NaN, infinities, half a surrogate pair, unknown types.

    >>> encode({"b": 2**70, "a": [True, None, "é"]})
    '{"b":1180591620717411303424,"a":[true,null,"é"]}'
    """
    try:
        text = _encoder.encode(value).decode()
    except RecursionError:
        raise PayloadError("nested too deeply to encode") from None
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise PayloadError(f"not a JSON value: {error}") from None
    # The encoder writes NaN as null.
    if "null" in text or "NaN" in text or "Infinity" in text:
        _finite(value)
    return text


def text_form(raw: str) -> str | None:
    """A raw JSON value as text: a string's content, None for null, anything else as it stands.

    >>> text_form('"a"'), text_form("1.10"), text_form("null")
    ('a', '1.10', None)
    """
    if raw.startswith('"'):
        return str(msgspec.json.decode(raw))
    return None if raw == "null" else raw


def pointer(path: str) -> tuple[str, ...]:
    """The steps of a JSON Pointer (RFC 6901).

    >>> pointer("/customer/a~1b~0c")
    ('customer', 'a/b~c')
    """
    if path and not path.startswith("/"):
        raise PayloadError(f'a path starts with "/": {path!r} (try "/{path}")')
    if re.search("~(?![01])", path):
        raise PayloadError(f'in a path "~" is written "~0": {path!r}')
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])


def get(value: Any, path: str | Sequence[str], default: Any = None) -> Any:
    """The value at a pointer (or its steps), or ``default`` where there is none.

    >>> get({"lines": [{"sku": "a"}]}, "/lines/0/sku")
    'a'
    """
    for step in pointer(path) if isinstance(path, str) else path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, (list, tuple)) and re.fullmatch("0|[1-9][0-9]{0,17}", step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return default
    return value


def _number(digits: str) -> int | float | Decimal:
    """A number as exactly as Python has it: an int, a Decimal where a float or an int would not hold it."""
    if digits.lstrip("-").isdigit():
        return int(digits) if len(digits) <= 4_300 else Decimal(digits)
    number = float(digits)
    return Decimal(digits) if number in (float("inf"), float("-inf")) else number


def _finite(value: Any) -> None:
    """Raise for NaN and infinities anywhere in a value."""
    waiting = [msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True)]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, (list, tuple, set, frozenset)):
            waiting += found
        elif isinstance(found, (float, Decimal)) and not Decimal(found).is_finite():
            raise PayloadError(f"not a JSON value: {found}")

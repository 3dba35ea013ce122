"""Strict JSON text taken apart: the members of an object as they stand, and why a text is no JSON.

msgspec's decoder does the work where it can; what it refuses or keeps silent about (deep nesting, the reason of a
fault, equal names) a plain scanner of tokens decides, at any depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from esbench.errors import EsbenchError

__all__ = [
    "PayloadError",
    "check",
    "fields",
    "layout",
    "scan",
]


class PayloadError(EsbenchError, ValueError):
    """Text that is not strict JSON, or a value that JSON cannot carry: says why."""


_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE = " \t\n\r"
_KEY = re.compile(r'[ \t\n\r]*,?[ \t\n\r]*"((?:[^"\\]++|\\.)*+)"[ \t\n\r]*:[ \t\n\r]*')
_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        ("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+")
      | (-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE+-]))
      | (true|false|null)
      | ([\[\]{},:])
    )""",
    re.VERBOSE,
)
_CONSTANT = re.compile(r"-?(nan|inf(?:inity)?)", re.IGNORECASE)


def fields(text: str | bytes) -> dict[str, str]:
    """The members of one JSON object, each value as its exact raw text.

    Raises PayloadError for anything but one strict JSON object, and for a name that stands twice in it: which of the
    two is meant, nobody can tell.

    >>> fields('{"id": "a", "price": 1.10, "tags": [1, 2]}')
    {'id': '"a"', 'price': '1.10', 'tags': '[1, 2]'}
    """
    text = _unicode(text)
    try:
        found = {name: bytes(raw).decode() for name, raw in _raw_fields.decode(text).items()}
    except msgspec.ValidationError:
        raise PayloadError("a JSON value, but not an object") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _slow_fields(text)
    # The decoder keeps the last of two equal names without a word; a usual way of writing proves that there are none.
    if text == "{" + ",".join([f'"{name}":{raw}' for name, raw in found.items()]) + "}":
        return found
    if text == "{" + ", ".join([f'"{name}": {raw}' for name, raw in found.items()]) + "}":
        return found
    layout(text, found)
    return found


def check(text: str | bytes) -> str | None:
    """The reason why text is not strict JSON, or None.

    >>> check("[1, 2]"), check("[NaN]")
    (None, 'NaN is not JSON (character 2)')
    """
    try:
        text = _unicode(text)
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            scan(text)
    except PayloadError as error:
        return str(error)
    return None


def layout(text: str, found: Mapping[str, str]) -> tuple[str, ...]:
    """The literal texts around the values of an object whose :func:`fields` are known: one more than there are values.

    Raises PayloadError where a name stands twice.

    >>> layout('{"a": 1, "b":2}', {"a": "1", "b": "2"})
    ('{"a": ', ', "b":', '}')
    """
    pieces = []
    start, at = 0, text.index("{") + 1
    while key := _KEY.match(text, at):
        name = str(json.loads(f'"{key[1]}"')) if "\\" in key[1] else key[1]
        # Of equal names, the decoder keeps the last value.
        if not text.startswith(found[name], key.end()):
            break
        pieces.append(text[start : key.end()])
        start = at = key.end() + len(found[name])
    if len(pieces) != len(found) or text[start:].strip(_SPACE) != "}":
        _slow_fields(text)
    return (*pieces, text[start:])


def _slow_fields(text: str) -> dict[str, str]:
    """What :func:`fields` gives, at any depth, with the reason where the decoder has none."""
    members = scan(text)
    if members is None:
        raise PayloadError("a JSON value, but not an object")
    found: dict[str, str] = {}
    for key, raw in members:
        name = str(json.loads(key))
        if name in found:
            raise PayloadError(f"the name {key[:80]} stands twice in it")
        found[name] = raw
    return found


def scan(text: str) -> list[tuple[str, str]] | None:
    """Walk through strict JSON of any depth: the raw members of an object, None for any other value.

    Raises PayloadError that names the first character that is wrong.
    """
    closing = {"[": "]", "{": "}"}
    open_brackets: list[str] = []
    members: list[tuple[str, str]] = []
    name, began, at, expected = "", 0, 0, "value"
    while expected != "end":
        token = _TOKEN.match(text, at)
        if token is None:
            _fault(text, at)
        at, kind, found = token.end(), token.lastindex, token[token.lastindex or 0]
        if kind == 1 and "\\u" in found:
            _whole_characters(found, token.start(1))
        top = len(open_brackets) == 1 and open_brackets[0] == "{"
        if expected in ("value", "item or ]"):
            if top:
                began = token.start(token.lastindex or 0)
            if found in closing:
                open_brackets.append(found)
                expected = "name or }" if found == "{" else "item or ]"
                continue
            if kind == 4 and not (found == "]" and expected == "item or ]"):
                _fault(text, token.start(4))
            if found == "]" and kind == 4:
                open_brackets.pop()
        elif expected in ("name", "name or }"):
            if kind == 1:
                name = found if top else name
                expected = ":"
                continue
            if found != "}" or expected == "name":
                _fault(text, token.start(token.lastindex or 0))
            open_brackets.pop()
        elif expected == ":":
            if found != ":":
                _fault(text, token.start(token.lastindex or 0))
            expected = "value"
            continue
        elif found == ",":
            expected = "name" if open_brackets[-1] == "{" else "value"
            continue
        elif found == closing[open_brackets[-1]]:
            open_brackets.pop()
        else:
            _fault(text, token.start(token.lastindex or 0))
        # A value ends here.
        if len(open_brackets) == 1 and open_brackets[0] == "{":
            members.append((name, text[began:at]))
        expected = "next" if open_brackets else "end"
    if text[at:].strip(_SPACE):
        _fault(text, at)
    return members if text.lstrip(_SPACE).startswith("{") else None


def _fault(text: str, at: int) -> NoReturn:
    """Raise the reason why strict JSON cannot go on at a character."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    place = f"(character {at + 1})"
    if constant := _CONSTANT.match(text, at):
        raise PayloadError(f"{constant[0]} is not JSON {place}")
    if at == len(text):
        raise PayloadError(f"not JSON: it ends too early {place}" if text.strip(_SPACE) else "not JSON: it is empty")
    if text[at] == '"':
        if control := re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+').match(text, at):
            at = control.end()
        if at == len(text):
            raise PayloadError(f"not JSON: a string does not end {place}")
        raise PayloadError(f"not JSON: {text[at : at + 2]!a} in a string (character {at + 1})")
    raise PayloadError(f"not JSON: {text[at]!a} is not expected {place}")


def _whole_characters(token: str, at: int) -> None:
    """Refuse a string with half a surrogate pair: it is no text, and no database keeps it."""
    try:
        str(json.loads(token)).encode()
    except UnicodeEncodeError:
        raise PayloadError(f"half a surrogate pair in the string at character {at + 1}") from None


def _unicode(text: str | bytes) -> str:
    try:
        if isinstance(text, bytes):
            return text.decode()
        text.encode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"not UTF-8: byte 0x{error.object[error.start]:02x} (byte {error.start + 1})") from None
    except UnicodeEncodeError as error:
        raise PayloadError(f"half a surrogate pair (character {error.start + 1})") from None
    return text

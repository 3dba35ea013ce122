"""JSON text: exact decoding and encoding, pointers, and the SQL that reads text without rewriting it.

A payload is kept as the text that came in. This module is the one home of DuckDB's json functions, because
they rewrite numbers (``1.10`` becomes ``1.1``) and accept more than JSON (NaN, trailing commas); what is
built here either proves that a text came through unchanged or leaves it to :func:`fields`, which is the truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from esbench.errors import EsbenchError

__all__ = [
    "PayloadError",
    "check",
    "decode",
    "encode",
    "fields",
    "get",
    "layout",
    "loose",
    "made",
    "name_at",
    "pointer",
    "proven",
    "stable",
    "suspicious",
    "text_at",
    "text_form",
    "transformed",
]


class PayloadError(EsbenchError, ValueError):
    """Text that is not strict JSON, or a value that JSON cannot carry: says why."""


_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder(decimal_format="number")
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
        _scan(text)
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
            _scan(text)
    except PayloadError as error:
        return str(error)
    return None


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


def stable(expression: str) -> str:
    """SQL: true where a JSON text equals its own re-serialisation, so that SQL may slice it without changing it."""
    return f"(({expression})->'$')::varchar = ({expression})::varchar"


def suspicious(expression: str) -> str:
    """SQL: true where a text that DuckDB takes for JSON may hold NaN or an infinity, which JSON has not.

    The letters are looked for first, because the exact pattern costs several times as much.
    """
    return f"""case when contains(lower({expression}), 'nan') or contains(lower({expression}), 'inf')
        then regexp_matches({expression}, '(^|[:,\\[])\\s*-?(?i:nan|inf)') else false end"""


def proven(expression: str) -> str:
    """SQL: true where a text certainly is strict JSON; where false, :func:`check` decides."""
    return f"""coalesce(json_valid({expression}) and not {suspicious(expression)}
        and not {loose(expression)}, false)"""


def made(expression: str) -> str:
    """SQL: JSON text made of a nested DuckDB value, such as a STRUCT or a LIST of a Parquet file."""
    return f"to_json({expression})"


def text_at(expression: str, path: str) -> str:
    """SQL: the value at a pointer, as text; a number in DuckDB's spelling. Both arguments are SQL."""
    return f"json_extract_string({expression}, {path})"


def transformed(expression: str, forms: Mapping[str, str]) -> str:
    """SQL: a STRUCT of an object's members, each VARCHAR or JSON; of equal names the first, escaped ones included."""
    structure = json.dumps(forms).replace("'", "''")
    return f"json_transform({expression}, '{structure}')"


def loose(expression: str) -> str:
    """SQL: true where a text that DuckDB takes for JSON may have space around it or a comma before a closing bracket.

    Anchors in the pattern would make it three times as slow.
    """
    ends = " or ".join(f"suffix({expression}, {space})" for space in ("' '", "e'\\t'", "e'\\n'", "e'\\r'"))
    return f"({expression} < '!' or {ends} or regexp_matches({expression}, ',\\s*[\\]}}]'))"


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
    members = _scan(text)
    if members is None:
        raise PayloadError("a JSON value, but not an object")
    found: dict[str, str] = {}
    for key, raw in members:
        name = str(json.loads(key))
        if name in found:
            raise PayloadError(f"the name {key[:80]} stands twice in it")
        found[name] = raw
    return found


def _scan(text: str) -> list[tuple[str, str]] | None:
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


def name_at(expression: str, path: str) -> str:
    """SQL: a string's content or a number's text at a pointer; NULL for anything else, and for ''. Both are SQL."""
    return f"""case when json_type({expression}, {path}) in ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE')
        then nullif(json_extract_string({expression}, {path}), '') end"""

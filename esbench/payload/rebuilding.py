"""What a function made of a decoded payload, put together from the payload's own text wherever nothing changed.

Numbers with a fraction or an exponent are decoded as floats that carry their text, so that one which a function moves
comes out as it went in. Members are compared by type and value, level by level; what is the same at its
place keeps its text there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from esbench.errors import described
from esbench.payload.scan import PayloadError, check
from esbench.payload.text import decode
from esbench.payload.tree import Level, Member, opened

__all__ = ["Rebuilt", "decoded", "finite", "own_text", "plainly", "raised", "strictly", "written"]


class _Number(float):
    """A float that knows how it was written."""

    __slots__ = ("text",)
    text: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _number, (self.text,)


def _number(text: str) -> _Number:
    number = _Number(text)
    number.text = text
    return number


def _written(value: object) -> msgspec.Raw:
    """What the encoder asks for a value that it does not know."""
    if type(value) is _Number:
        return msgspec.Raw(value.text.encode())
    if isinstance(value, float):
        finite(value)
        return msgspec.Raw(repr(float(value)).encode())
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _valued(value: object) -> msgspec.Raw:
    """The same, where only the value counts."""
    if type(value) is _Number and math.isfinite(value):
        return msgspec.Raw(_encoder.encode(float(value)))
    return _written(value)


def _carried(text: str) -> float | Decimal:
    """A number: a plain float where the encoder writes it as it stands; a Decimal where no float holds it."""
    number = float(text)
    if math.isinf(number):
        return Decimal(text)
    return number if _encoder.encode(number).decode() == text else _number(text)


_decoder = msgspec.json.Decoder(float_hook=_number)
_carrier = msgspec.json.Decoder(float_hook=_carried)
_encoder = msgspec.json.Encoder(enc_hook=_written, decimal_format="number")
_comparer = msgspec.json.Encoder(enc_hook=_valued, decimal_format="number")


#: What JSON has, but for what holds other values; and what else may stand for those.
_SIMPLE = frozenset({str, int, float, bool, type(None), _Number, Decimal})
_LIKE = (str, int, float, Decimal)


def decoded(text: str) -> Any:
    """What :func:`esbench.payload.decode` gives, but numbers that we would write in another way carry their text.

    >>> written(decoded('{"price":1.10,"net":0.5}'))
    '{"price":1.10,"net":0.5}'
    """
    try:
        return _carrier.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, InvalidOperation):
        return decode(text)


def written(value: Any) -> str:
    """What a user's function gave as JSON text, compactly; numbers that carry their text are written so.

    Raises PayloadError for what JSON does not have, even where the encoder would make something of it.
    """
    return _text(_encoder, value)


def plainly(value: Any) -> str:
    """The same, but for the value of numbers alone: the text that tells whether two values are equal."""
    return _text(_comparer, value)


def own_text(value: object) -> str | None:
    """The text that a number carries."""
    return value.text if type(value) is _Number else None


def _text(encoder: msgspec.json.Encoder, value: Any) -> str:
    try:
        text = encoder.encode(value).decode()
        # The encoder ends for a value that holds itself, which the searches would not.
        strictly(value)
        if "null" in text or "NaN" in text or "Infinity" in text:
            finite(value)
    except RecursionError:
        raise PayloadError("nested too deeply to encode") from None
    except PayloadError:
        raise
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise PayloadError(f"not a JSON value: {error}") from None
    return text


def strictly(value: Any) -> None:
    """Raise PayloadError for what JSON does not have, such as bytes and sets, anywhere in a value.

    The encoder would write bytes as base64, and a set in an order that is not always the same.
    """
    kind = type(value)
    for each in value.values() if kind is dict else value if kind is list else (value,):
        inner = type(each)
        if inner is str or inner is int or inner in _SIMPLE:
            continue
        if inner is dict or inner is list:
            strictly(each)
        elif isinstance(each, Mapping):
            strictly(dict(each))
        elif isinstance(each, (list, tuple)):
            strictly(list(each))
        elif not isinstance(each, _LIKE):
            raise PayloadError(f"not a JSON value: {inner.__name__}")


def raised(error: BaseException) -> PayloadError:
    """What a user's function raised as a failure, whatever its ``__str__`` does."""
    return PayloadError(described(error))


def finite(value: Any) -> None:
    """Raise PayloadError for NaN and infinities anywhere in a value."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        kind = type(found)
        if kind is dict:
            waiting += found.values()
        elif kind in (list, tuple, set, frozenset):
            waiting += found
        elif isinstance(found, (float, Decimal)) and kind is not _Number and not Decimal(found).is_finite():
            raise PayloadError(f"not a JSON value: {found}")


class Rebuilt:
    """A payload's text, and what stands in it. Raises PayloadError where it is no strict JSON, or nested too deeply."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def after(self, function: Callable[[Any], Any]) -> str:
        """The text of what a function makes of it."""
        before = self._decoded()
        try:
            result = function(self._decoded())
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise raised(error) from error
        if result is None:
            raise PayloadError("the function returned None, not a payload")
        try:
            # The encoder ends for a value that holds itself, which the search for NaN would not.
            _encoder.encode(result)
            strictly(result)
            finite(result)
            done = _rebuilt(self._text, before, result, ":")
        except (RecursionError, TypeError, ValueError, msgspec.MsgspecError) as error:
            if isinstance(error, PayloadError) and not str(error).startswith("not a JSON value"):
                raise
            raise PayloadError(f"the function returned what JSON cannot carry: {error}") from error
        if isinstance(before, dict) and not done.lstrip().startswith("{"):
            raise PayloadError(f"the function returned {type(result).__name__}, not an object")
        return done

    def _decoded(self) -> Any:
        try:
            return _decoder.decode(self._text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise PayloadError(check(self._text) or "nested too deeply to decode") from None


def _encoded(value: Any, gap: str = ":") -> str:
    """A new value, spaced as what is around it."""
    text = _encoder.encode(value)
    return (msgspec.json.format(text, indent=0) if gap.endswith((" ", "\n", "\t")) else text).decode()


def _same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: 1, 1.0 and true are not, nor are members in another order."""
    if type(one) is not type(other) and not (isinstance(one, float) and isinstance(other, float)):
        return False
    if type(one) in (str, int, bool, type(None)):
        return bool(one == other)
    try:
        return bool(_comparer.encode(one) == _comparer.encode(other))
    except (TypeError, msgspec.MsgspecError):
        return False


def _rebuilt(text: str, before: Any, after: Any, gap: str) -> str:
    """A value's text after a change from one value to another."""
    if _same(before, after):
        return text
    level = opened(text)
    if level is not None and type(before) is type(after) is dict:
        _members(level, before, after, gap)
    elif level is not None and type(before) is type(after) is list:
        _items(level, before, after, gap)
    else:
        return _encoded(after, gap)
    inside = (part for member in level.members for part in (member.lead, member.key, member.gap, str(member.value)))
    return "".join((level.head, *inside, level.tail))


def _members(level: Level, before: dict[str, Any], after: dict[Any, Any], gap: str) -> None:
    """Bring an object's members into the state after a change, in the order that they then have."""
    own: dict[str, list[Member]] = {}
    for member in level.members:
        own.setdefault(member.name, []).append(member)
        gap = member.gap
    made: list[Member] = []
    for name, value in after.items():
        if name not in own:
            for key, raw in _named(name, value, gap):
                made.append(Member("", key, gap, raw))
            continue
        if len(own[name]) > 1 and not _same(before[name], value):
            raise PayloadError(f"the name {own[name][0].key[:80]} stands twice in it")
        for member in own[name]:
            if len(own[name]) == 1:
                member.value = _rebuilt(str(member.value), before[name], value, member.gap)
            made.append(member)
    for name, members in own.items():
        if name not in after and len(members) > 1:
            raise PayloadError(f"the name {members[0].key[:80]} stands twice in it")
    level.arrange(made)


def _named(name: Any, value: Any, gap: str) -> list[tuple[str, str]]:
    """A new member's name and value as text; the encoder knows which names there can be."""
    key = _encoder.encode({name: None})[1:-6].decode()
    return [(key, _encoded(value, gap))]


def _items(level: Level, before: list[Any], after: list[Any], gap: str) -> None:
    """Bring an array's items into the state after a change: what is the same at either end stays, the rest pairs up."""
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and _same(before[head], after[head]):
        head += 1
    tail = 0
    while tail < shorter - head and _same(before[-1 - tail], after[-1 - tail]):
        tail += 1
    made = level.members[:head]
    for at in range(head, len(after) - tail):
        if at < len(before) - tail:
            member = level.members[at]
            member.value = _rebuilt(str(member.value), before[at], after[at], gap)
        else:
            member = Member("", "", "", _encoded(after[at], gap))
        made.append(member)
    level.arrange(made + level.members[len(level.members) - tail :])

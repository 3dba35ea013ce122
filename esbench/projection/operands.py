"""Operands: what a projection reads from an event, a field of its payload or arithmetic on such fields.

A number keeps its text until it is a number of the declared type, so ``1.10`` is exactly 1.10, and what is not exactly
of that type is an error of that event, in SQL as in Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, Literal

from esbench import payload
from esbench.errors import AggregateError, EsbenchError
from esbench.projection.reading import raw_at

__all__ = [
    "Constant",
    "Field",
    "Kind",
    "Negated",
    "Operand",
    "OperandError",
    "Operation",
    "Value",
    "added",
    "exactly",
    "field",
    "fields",
    "kind",
    "operand",
    "value_of",
]

Value = int | Decimal | float | str | bool

#: Exact for sums and products of a few numbers, each of which has no digit more than 60 places from the point.
_exact = Context(prec=1_000)
_PLACES = 60
#: Integers and decimals have at most so many digits, here as in the engine.
_DIGITS = 38
#: Doubles hold every integer up to this; the engine takes larger numbers of an integer column from Python.
_WHOLE = 9e15


#: No default was given, which is told from None.
_NONE: Any = object()


class OperandError(EsbenchError, ValueError):
    """An event whose payload does not have what a projection reads from it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a column: ``integer``, ``decimal`` with so many places, ``double``, ``text`` or ``boolean``."""

    name: Literal["integer", "decimal", "double", "text", "boolean"]
    places: int = 0

    @property
    def exact(self) -> bool:
        """Whether it is a number that adds up exactly."""
        return self.name in ("integer", "decimal")

    @property
    def number(self) -> bool:
        """Whether it is a number."""
        return self.exact or self.name == "double"

    def __str__(self) -> str:
        return f"decimal({self.places})" if self.name == "decimal" else self.name


def kind(text: str) -> Kind:
    """The type that a text declares; ``decimal`` alone has 6 places.

    >>> kind("decimal(2)")
    Kind(name='decimal', places=2)
    """
    if text in ("integer", "double", "text", "boolean"):
        return Kind(text)  # type: ignore[arg-type]
    declared = re.fullmatch(r"decimal(?:\( *([0-9]{1,2}) *\))?", text) if isinstance(text, str) else None
    if declared is None or int(declared[1] or 6) > 15:
        raise AggregateError(
            f'type= is "integer", "decimal(2)" (with 0 to 15 places), "double", "text" or "boolean", not {text!r}'
        )
    return Kind("decimal", int(declared[1] or 6))


class Operand:
    """Something that is read from an event; takes ``+``, ``-`` and ``*`` with another, or with a number."""

    __slots__ = ()

    def __add__(self, other: object) -> Operation:
        return Operation("+", self, operand(other))

    def __radd__(self, other: object) -> Operation:
        return Operation("+", operand(other), self)

    def __sub__(self, other: object) -> Operation:
        return Operation("-", self, operand(other))

    def __rsub__(self, other: object) -> Operation:
        return Operation("-", operand(other), self)

    def __mul__(self, other: object) -> Operation:
        return Operation("*", self, operand(other))

    def __rmul__(self, other: object) -> Operation:
        return Operation("*", operand(other), self)

    def __neg__(self) -> Negated:
        return Negated(self)


@dataclass(frozen=True, slots=True, repr=False)
class Field(Operand):
    """The value at a JSON Pointer in the payload; ``default`` where there is none, or null."""

    path: str
    default: Value | None = None

    def __repr__(self) -> str:
        default = "" if self.default is None else f", default={self.default!r}"
        return f"field({self.path!r}{default})"


@dataclass(frozen=True, slots=True, repr=False)
class Constant(Operand):
    """A value that does not depend on the event."""

    value: Value

    def __repr__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True, repr=False)
class Negated(Operand):
    """The negative of an operand."""

    of: Operand

    def __repr__(self) -> str:
        return f"-{_inner(self.of)}"


@dataclass(frozen=True, slots=True, repr=False)
class Operation(Operand):
    """The sum, the difference or the product of two operands."""

    sign: Literal["+", "-", "*"]
    left: Operand
    right: Operand

    def __repr__(self) -> str:
        return f"{_inner(self.left)} {self.sign} {_inner(self.right)}"


def field(path: str, *, default: Value = _NONE) -> Field:
    """The value at a path (a JSON Pointer) in an event's payload, for the columns of a projection.

    Where there is none, or null, that event is a handler-error, unless ``default`` stands in for it. Of equal names in
    one object the first counts.

    >>> -field("/quantity") * 2
    -field('/quantity') * 2
    """
    if not isinstance(path, str):
        raise AggregateError(f"a path is a text such as {'/quantity'!r}, not {path!r}")
    try:
        payload.pointer(path)
    except payload.PayloadError as error:
        raise AggregateError(f"es.field: {error}") from None
    if "\0" in path:
        raise AggregateError("es.field: no path has a NUL in it")
    if default is None:
        raise AggregateError(
            f'es.field("{path}", default=None): None is no value that an event can give a column; leave default= out, '
            "and an event without the field is a handler-error, or name the value that stands in"
        )
    return Field(path, None if default is _NONE else default)


def operand(value: object) -> Operand:
    """An operand as it is, and a constant as one."""
    if isinstance(value, Operand):
        return value
    if isinstance(value, (bool, int, str)) or (isinstance(value, (float, Decimal)) and math.isfinite(value)):
        return Constant(value)
    raise AggregateError(f"not an operand: {value!r}; it takes es.field(…), a constant, or arithmetic on these")


def fields(one: Operand) -> Iterator[Field]:
    """The fields that an operand reads."""
    if isinstance(one, Field):
        yield one
    elif isinstance(one, Negated):
        yield from fields(one.of)
    elif isinstance(one, Operation):
        yield from fields(one.left)
        yield from fields(one.right)


def value_of(one: Operand, declared: Kind, text: str | None) -> Value:
    """What an operand is for a payload, as a value of a type. Raises OperandError where it is not exactly that.

    >>> value_of(field("/price") * 3, kind("decimal(2)"), '{"price": 1.10}')
    Decimal('3.30')
    """
    if declared.exact:
        return exactly(_number(one, text, declared), declared, one)
    if isinstance(one, Constant):
        return _typed(one.value, declared)
    if isinstance(one, Field):
        raw = _raw(one, text)
        return _typed(one.default, declared) if raw is None else _parsed(raw, declared, one)
    raise AggregateError(f"arithmetic makes integers and decimals, not {declared.name}: {one!r}")


def exactly(number: Decimal, declared: Kind, one: object) -> int | Decimal:
    """A number as an integer, or as a decimal with the declared places. Raises OperandError where it is none."""
    scaled = number.scaleb(declared.places, _exact)
    if scaled.to_integral_value() != scaled:
        raise OperandError(f"{one} is {_plain(number)}, which {_article(declared)} cannot hold")
    if scaled.copy_abs() >= 10**_DIGITS:
        raise OperandError(f"{one} has more than {_DIGITS} digits")
    if declared.name == "integer":
        return int(number)
    return Decimal(int(scaled)).scaleb(-declared.places, _exact)


def added(first: Any, second: Any, declared: Kind, one: object) -> int | Decimal:
    """The exact sum of two values of a type. Raises OperandError where it has too many digits."""
    return exactly(_exact.add(Decimal(first), Decimal(second)), declared, one)


def _number(one: Operand, text: str | None, declared: Kind) -> Decimal:
    if isinstance(one, Negated):
        return _exact.minus(_number(one.of, text, declared))
    if isinstance(one, Operation):
        calculate = {"+": _exact.add, "-": _exact.subtract, "*": _exact.multiply}[one.sign]
        return calculate(_number(one.left, text, declared), _number(one.right, text, declared))
    if isinstance(one, Constant):
        return Decimal(str(one.value))
    assert isinstance(one, Field)
    raw = _raw(one, text)
    if raw is None:
        return Decimal(str(one.default))
    if raw[0] not in "-0123456789":
        raise OperandError(f"{one.path} is {_cut(raw)}, not a number")
    number = Decimal(raw)
    if declared.name == "integer" and not raw.lstrip("-").isdigit():
        # 5.0 and 5e0 are the integer that every reader of JSON takes them for; where doubles no longer hold every
        # integer, and so the engine reads none, the text is that.
        near = float(raw)
        number = Decimal(repr(near)) if abs(near) <= _WHOLE else number
    last = number.as_tuple().exponent
    if not isinstance(last, int) or (number and (number.adjusted() > _PLACES or last < -_PLACES)):
        raise OperandError(f"{one.path} is {_cut(raw)}, which is out of range")
    return number


_steps = lru_cache(maxsize=1024)(payload.pointer)


def _raw(one: Field, text: str | None) -> str | None:
    """The JSON text of a field; None where its default stands in."""
    raw = None if text is None else raw_at(text, _steps(one.path))
    if raw is not None and raw != "null":
        return raw
    if one.default is None:
        raise OperandError(f"{one.path} is {'missing' if raw is None else 'null'}")
    return None


def _parsed(raw: str, declared: Kind, one: Field) -> Value:
    if declared.name == "text" and raw[0] == '"':
        return str(payload.decode(raw))
    if declared.name == "boolean" and raw in ("true", "false"):
        return raw == "true"
    if declared.name == "double" and raw[0] in "-0123456789":
        number = float(raw)
        if math.isfinite(number):
            return number + 0.0  # no negative zero
    raise OperandError(f"{one.path} is {_cut(raw)}, not {_article(declared)}")


def _typed(value: Any, declared: Kind) -> Value:
    return float(value) + 0.0 if declared.name == "double" else value


def _article(declared: Kind) -> str:
    return "text" if declared.name == "text" else f"a{'n' if declared.name == 'integer' else ''} {declared}"


def _plain(number: Decimal) -> str:
    return _cut(format(number, "f"))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _inner(one: Operand) -> str:
    return f"({one!r})" if isinstance(one, Operation) else repr(one)

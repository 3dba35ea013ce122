"""Columns of a projection: what is kept of the events so far, declared by event type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from esbench.errors import AggregateError
from esbench.projection.operands import (
    Constant,
    Kind,
    Negated,
    Operand,
    Operation,
    Value,
    exactly,
    fields,
    kind,
    operand,
)

__all__ = ["Column", "count", "distinct", "expr", "first", "flag", "highest", "latest", "lowest", "total"]

How = Literal["total", "count", "first", "latest", "lowest", "highest", "flag", "distinct", "expr"]


@dataclass(frozen=True, slots=True, repr=False)
class Column:
    """One column: how it is made, its type, and the operand of each event type that changes it."""

    how: How
    kind: Kind
    operands: Mapping[str, Operand]
    initial: Any = None
    expression: str = ""

    def __repr__(self) -> str:
        if self.how == "expr":
            return f"expr({self.expression!r})"
        if self.how == "count":
            return f"count({', '.join(map(repr, self.operands))})"
        return f"{self.how}({dict(self.operands)!r}, type={str(self.kind)!r})"


def total(operands: Mapping[str, object], *, type: str = "integer") -> Column:
    """The exact sum of an operand over events: integers, or decimals with the places that ``type`` declares.

    >>> from esbench.projection import field
    >>> total({"ItemsAdded": field("/quantity"), "ItemsOrdered": -field("/quantity")})
    total({'ItemsAdded': field('/quantity'), 'ItemsOrdered': -field('/quantity')}, type='integer')
    """
    declared = kind(type)
    if not declared.exact:
        raise AggregateError(
            f'a total is "integer" or "decimal(2)", not "{type}": what doubles add up to depends on their order'
        )
    return _column("total", operands, declared, exactly(Decimal(0), declared, 0))


def count(*event_types: str) -> Column:
    """The number of events of some types."""
    return _column("count", dict.fromkeys(event_types, 1), Kind("integer"), 0)


def first(operands: Mapping[str, object], *, type: str = "text") -> Column:
    """The value at the first event of the types; None before it."""
    return _column("first", operands, kind(type), None)


def latest(operands: Mapping[str, object], *, type: str = "text") -> Column:
    """The value at the latest event of the types; None before the first."""
    return _column("latest", operands, kind(type), None)


def lowest(operands: Mapping[str, object], *, type: str = "integer") -> Column:
    """The lowest value so far; None before the first. Texts compare by code point."""
    return _column("lowest", operands, kind(type), None)


def highest(operands: Mapping[str, object], *, type: str = "integer") -> Column:
    """The highest value so far; None before the first. Texts compare by code point."""
    return _column("highest", operands, kind(type), None)


def flag(constants: Mapping[str, Value], *, initial: Value | None = None) -> Column:
    """A constant set by event type. ``initial``: before the first of them; False where the constants are booleans.

    >>> flag({"Opened": True, "Closed": False}).initial
    False
    """
    if not isinstance(constants, Mapping) or not constants:
        raise AggregateError('flag() takes a dict from event type to constant, as in es.flag({"Closed": True})')
    kinds = {_kind_of(value) for value in (*constants.values(), *(() if initial is None else (initial,)))}
    if len(kinds) > 1 or None in kinds:
        raise AggregateError(
            f"the constants of a flag are all booleans, all integers or all texts: {dict(constants)!r}"
        )
    (declared,) = kinds
    assert declared is not None
    if initial is None and declared.name == "boolean":
        initial = False
    return _column("flag", constants, declared, initial)


def distinct(operands: Mapping[str, object], *, type: str = "text") -> Column:
    """The values seen so far, each once, as an ascending list."""
    return _column("distinct", operands, kind(type), [])


def expr(expression: str) -> Column:
    """An SQL expression over the other columns; NULL where it fails. Made anew after every event."""
    if not isinstance(expression, str) or not expression.strip():
        raise AggregateError(f"expr() takes an SQL expression over other columns, not {expression!r}")
    return Column("expr", Kind("text"), MappingProxyType({}), None, expression.strip())


def _column(how: How, operands: Mapping[str, object], declared: Kind, initial: Any) -> Column:
    if not isinstance(operands, Mapping) or not operands or not all(isinstance(name, str) for name in operands):
        example = '"OrderPlaced"' if how == "count" else '{"ItemsAdded": es.field("/quantity")}'
        raise AggregateError(f"{how}() takes event types, as in es.{how}({example})")
    made = {name: _fitting(operand(one), declared) for name, one in operands.items()}
    return Column(how, declared, MappingProxyType(made), initial)


def _fitting(one: Operand, declared: Kind) -> Operand:
    """The operand, if its constants are of the type and its arithmetic is exact."""
    if isinstance(one, Operation) or (isinstance(one, Negated) and not isinstance(one.of, Constant)):
        if not declared.exact:
            raise AggregateError(f"arithmetic makes integers and decimals, not {declared.name}: {one!r}")
        if digits(one, declared) > 38:
            raise AggregateError(f"more factors than can be multiplied exactly: {one!r}")
    for value in (*_constants(one), *(each.default for each in fields(one) if each.default is not None)):
        _check_constant(value, declared, one)
    return one


def digits(one: Operand, declared: Kind) -> int:
    """How many digits the engine needs for an operand at most."""
    if isinstance(one, Negated):
        return digits(one.of, declared)
    if isinstance(one, Operation):
        left, right = digits(one.left, declared), digits(one.right, declared)
        return left + right if one.sign == "*" else max(left, right) + 1
    return 18


def _constants(one: Operand) -> list[Value]:
    if isinstance(one, Constant):
        return [one.value]
    if isinstance(one, Negated):
        return _constants(one.of)
    return [*_constants(one.left), *_constants(one.right)] if isinstance(one, Operation) else []


def _check_constant(value: Value, declared: Kind, one: Operand) -> None:
    of = _kind_of(value)
    good = (declared.number and not isinstance(value, (bool, str))) or of == declared
    if good and declared.exact:
        number = Decimal(str(value))
        good = number.scaleb(declared.places) == number.scaleb(declared.places).to_integral_value()
        good = good and abs(number.scaleb(declared.places)) < 10**18
    if not good:
        raise AggregateError(f"{value!r} is no constant of type {declared}: {one!r}")


def _kind_of(value: object) -> Kind | None:
    names = {bool: "boolean", int: "integer", str: "text", float: "double"}
    if isinstance(value, Decimal):
        return Kind("decimal")
    name = names.get(type(value))
    return Kind(name) if name else None  # type: ignore[arg-type]

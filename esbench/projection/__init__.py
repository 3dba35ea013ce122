"""Projections: declared columns over events, which run as SQL over a whole log, and as Python handlers over a stream.

The Python form, :attr:`Projection.aggregate`, is the reference: whatever computes a projection gives what it gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from esbench.aggregate import Aggregate
from esbench.errors import AggregateError
from esbench.event import Event
from esbench.projection.columns import Column, count, distinct, expr, first, flag, highest, latest, lowest, total
from esbench.projection.compiled import states_sql
from esbench.projection.expressions import Expression, sql_type
from esbench.projection.keys import Meta, Part, meta, parts
from esbench.projection.operands import Field, Kind, Operand, OperandError, Value, added, field, value_of

__all__ = [
    "Column",
    "Field",
    "Kind",
    "Meta",
    "OperandError",
    "Part",
    "Projection",
    "count",
    "distinct",
    "expr",
    "field",
    "first",
    "flag",
    "highest",
    "latest",
    "lowest",
    "meta",
    "total",
]

#: Names that answers have beside the columns.
_TAKEN = frozenset(
    {"stream_id", "stream_key", "version", "position", "events", "event_type", "recorded_at", "trust", "broken", "data"}
)


class Projection(Aggregate):
    """Columns declared over events: a declared aggregate, in SQL and in Python.

    ``columns``: by name, made with ``es.total``, ``es.latest`` and their like. ``stream_type`` or ``streams`` say which
    streams it covers, as for an Aggregate. ``invariants``: a text that says what holds, and an SQL condition over the
    columns, which is broken where it is false or fails. ``lifecycle``: the arguments of :meth:`Aggregate.lifecycle`.
    A projection is never changed.

    ``key`` makes a *read model* of it, one row for each key, across streams: ``es.field("/customer")``,
    ``es.meta("/tenant")``, SQL over an event's columns such as ``"recorded_at::date as day"``, a dict from event type
    to one of these, or a tuple of several. It covers all streams unless it says otherwise. Events are folded by
    position, and where an answer says version it is the position. An event without its key is not folded but counted.

    >>> stock = Projection(
    ...     "InventoryItem",
    ...     {"quantity": total({"ItemsAdded": field("/quantity"), "ItemsOrdered": -field("/quantity")})},
    ...     invariants={"stock is never negative": "quantity >= 0"},
    ... )
    >>> stock
    Projection('InventoryItem', 1 column, 2 event types, 1 invariant)
    """

    def __init__(
        self,
        name: str,
        columns: Mapping[str, Column],
        *,
        key: object = "stream_id",
        stream_type: str | None = None,
        streams: str | None = None,
        unknown: Literal["ignore", "error"] = "ignore",
        invariants: Mapping[str, str] | None = None,
        lifecycle: Mapping[str, Any] | None = None,
    ) -> None:
        _check(name, columns)
        base = {key: column for key, column in columns.items() if column.how != "expr"}
        types = {key: sql_type(column.kind, many=column.how == "distinct") for key, column in base.items()}
        expressions = {
            key: _expression(name, f'column "{key}"', column.expression, types)
            for key, column in columns.items()
            if column.how == "expr"
        }
        made = types | {key: sql_type(one.kind) for key, one in expressions.items()}
        conditions = {
            text: _expression(name, f'invariant "{text}"', condition, made, condition=True)
            for text, condition in (invariants or {}).items()
        }
        event_types = tuple(dict.fromkeys(one for column in base.values() for one in column.operands))
        try:
            made_key = parts(key, event_types, columns)
        except AggregateError as error:
            raise AggregateError(f'projection "{name}": {error}') from None
        if made_key:
            if lifecycle is not None or unknown != "ignore":
                raise AggregateError(f'projection "{name}": lifecycle= and unknown= are for streams, not a read model')
            streams = "*" if streams is None and stream_type is None else streams
        covers: dict[str, Any] = {"stream_type": stream_type, "streams": streams, "unknown": unknown}
        said = {text: one.text for text, one in conditions.items()}
        keys = [(part.name, dict(part.sql)) for part in made_key]
        told = repr((name, dict(columns), said, covers, lifecycle, keys))
        super().__init__(
            name, initial=self._initial_state, **covers, revision=hashlib.sha256(told.encode()).hexdigest()[:16]
        )
        #: The parts of the key of a read model; none where it is the stream.
        self.key = made_key
        self.keyed = bool(made_key)
        self.declared_key = key
        self.columns: Mapping[str, Column] = MappingProxyType(dict(columns))
        self.base: Mapping[str, Column] = MappingProxyType(base)
        self.expressions: Mapping[str, Expression] = MappingProxyType(expressions)
        self.conditions: Mapping[str, Expression] = MappingProxyType(conditions)
        self.event_types = event_types
        #: The same as an Aggregate with Python handlers.
        self.aggregate = Aggregate(name, initial=self._initial_state, **covers)
        for one in (self, self.aggregate):
            for event_type in self.event_types:
                one.on(event_type)(_handler(self, event_type))
            for text, expression in conditions.items():
                one.invariant(text)(_predicate(expression))
            if lifecycle is not None:
                one.lifecycle(**lifecycle)
        self._freeze("after it was declared")

    def sql(self) -> str:
        """The SQL of the state of every stream, over ``events``."""
        return states_sql(self)

    def kind(self, name: str) -> Kind:
        """The type of a column."""
        return self.expressions[name].kind if name in self.expressions else self.columns[name].kind

    def _initial_state(self) -> dict[str, Any]:
        return self._completed({key: _copied(column.initial) for key, column in self.base.items()})

    def _completed(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with its expression columns, in the order of declaration."""
        if not self.expressions:
            return state
        made = {key: one(state) for key, one in self.expressions.items()}
        return {key: made[key] if key in made else state[key] for key in self.columns}

    def __repr__(self) -> str:
        said = [_counted(len(self.columns), "column"), _counted(len(self.event_types), "event type")]
        if self.conditions:
            said.append(_counted(len(self.conditions), "invariant"))
        if self.keyed:
            said.append(f"by {', '.join(part.name for part in self.key)}")
        if self.streams is not None and not (self.keyed and self.streams == "*"):
            said.append(f"streams={self.streams!r}")
        if self.stream_type is not None:
            said.append(f"stream_type={self.stream_type!r}")
        return f"Projection({self.name!r}, {', '.join(said)})"


def _check(name: str, columns: Mapping[str, Column]) -> None:
    if not isinstance(columns, Mapping) or not columns:
        raise AggregateError(
            f'projection "{name}": columns are a dict from name to es.total(…), es.latest(…) and so on'
        )
    seen: dict[str, str] = {}
    for key, column in columns.items():
        if not isinstance(column, Column):
            raise AggregateError(f'projection "{name}": column {key!r} is {column!r}, not es.total(…) or its like')
        if not isinstance(key, str) or not key or key.startswith("_") or "\0" in key or key.lower() in _TAKEN:
            raise AggregateError(f'projection "{name}": a column cannot be called {key!r}')
        if key.lower() in seen:
            raise AggregateError(
                f'projection "{name}": columns "{seen[key.lower()]}" and "{key}" differ in case only, as SQL does not'
            )
        seen[key.lower()] = key
    if all(column.how == "expr" for column in columns.values()):
        raise AggregateError(f'projection "{name}": expressions need a column to start from')


def _expression(name: str, place: str, text: str, columns: Mapping[str, str], *, condition: bool = False) -> Expression:
    try:
        return Expression(text, columns, condition=condition)
    except AggregateError as error:
        raise AggregateError(f'projection "{name}", {place}: {error}') from None


def _handler(projection: Projection, event_type: str) -> Callable[[dict[str, Any], Event], dict[str, Any]]:
    """The Python handler of an event type: every column or, where one fails, none."""
    changing = [
        (key, one, one.operands[event_type]) for key, one in projection.base.items() if event_type in one.operands
    ]

    def handle(state: dict[str, Any], event: Event) -> dict[str, Any]:
        text = event.data_text
        after = dict(state)
        for key, column, operand in changing:
            after[key] = _after(column, state[key], value_of(operand, column.kind, text), operand)
        return projection._completed(after)

    handle.__qualname__ = f"{projection.name}.{event_type}"
    return handle


def _after(column: Column, before: Any, value: Value, operand: Operand) -> Any:
    match column.how:
        case "total" | "count":
            return added(before, value, column.kind, f"the total with {operand!r}")
        case "first":
            return value if before is None else before
        case "lowest":
            return value if before is None or value < before else before
        case "highest":
            return value if before is None or value > before else before
        case "distinct":
            return before if value in before else sorted([*before, value])
        case _:
            return value


def _predicate(expression: Expression) -> Callable[[Any], bool]:
    return lambda state: bool(expression(state))


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

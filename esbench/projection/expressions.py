"""SQL expressions over the columns of a projection: checked when declared, and evaluated one state at a time.

DuckDB itself evaluates them for the Python fold too, on the same types as over a whole log, so that both agree.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any

import duckdb

from esbench.errors import AggregateError, nearest
from esbench.event import quote
from esbench.projection.conditions import Unclear, compiled
from esbench.projection.operands import Kind

__all__ = ["Expression", "judged", "sql_type", "tried", "type_of"]

_TYPES = {"integer": "HUGEINT", "double": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN"}


def sql_type(kind: Kind, *, many: bool = False) -> str:
    """The type of a column in expressions.

    >>> sql_type(Kind("decimal", 2)), sql_type(Kind("text"), many=True)
    ('DECIMAL(38, 2)', 'VARCHAR[]')
    """
    name = f"DECIMAL(38, {kind.places})" if kind.name == "decimal" else _TYPES[kind.name]
    return f"{name}[]" if many else name


def tried(expression: str) -> str:
    """SQL: an expression, NULL where it fails."""
    return f"try(({expression}\n))"  # it may end in a comment


def judged(expression: str) -> str:
    """SQL: whether a condition holds, as a constraint does: unless it is false. One that fails does not hold."""
    return f"coalesce(try(coalesce(({expression}\n)::boolean, true)), false)"


class Expression:
    """An expression over typed columns; ``condition``: judged as an invariant. Calling it with a state gives its value.

    Raises AggregateError where it does not parse, or names no column.

    >>> positive = Expression("quantity >= 0", {"quantity": "HUGEINT"}, condition=True)
    >>> positive({"quantity": 1}), positive({"quantity": -1}), positive({"quantity": None})
    (True, False, True)
    """

    def __init__(self, text: str, columns: Mapping[str, str], *, condition: bool = False) -> None:
        self.text = text
        self.columns = dict(columns)
        self.sql = judged(text) if condition else tried(text)
        self.kind = _kind(_proven(text, self.sql, self.columns), text)
        # States that differ in other columns have one value in common, which is kept.
        self._read = _named(text, self.columns)
        given = ", ".join(f"?::{self.columns[name]} as {quote(name)}" for name in self._read)
        self._query = f"select {{}} from (select {given})"
        self._plain = compiled(text, self.columns, self._read) if condition else None
        self._cached = lru_cache(maxsize=4096)(self._evaluated)

    def __call__(self, state: Mapping[str, Any]) -> Any:
        """The value for one state."""
        values = [state[name] for name in self._read]
        if self._plain is not None:
            with suppress(Unclear):
                return self._plain(values)
        return self._cached(*(tuple(value) if isinstance(value, list) else value for value in values))

    def _evaluated(self, *values: Any) -> Any:
        bound = [str(v) if isinstance(v, (int, Decimal)) and not isinstance(v, bool) else _plain(v) for v in values]
        value = _rows(self._query.format(self.sql), bound)[0][0]
        return value + 0.0 if isinstance(value, float) else value


def _named(text: str, columns: Mapping[str, str]) -> list[str]:
    """The columns that an expression may read: those whose names stand in its text.

    >>> _named("quantity >= 0", {"quantity": "HUGEINT", "name": "VARCHAR"})
    ['quantity']
    """
    lowered = text.lower()
    if "columns" in lowered or "unnamed" in lowered or "*)" in lowered:
        return list(columns)  # it may mean them all
    found = [name for name in columns if name.lower().replace('"', '""') in lowered]
    return found or list(columns)


def type_of(text: str, columns: Mapping[str, str]) -> str:
    """The engine's type of an expression over typed columns. Raises AggregateError as Expression does.

    >>> type_of("recorded_at::date", {"recorded_at": "TIMESTAMPTZ"})
    'DATE'
    """
    return str(_proven(text, tried(text), columns))


def _proven(text: str, sql: str, columns: Mapping[str, str]) -> Any:
    """The name of the type of an expression, which is proven to be one over the columns of one row."""
    _refuse(text)
    given = ", ".join(f"null::{kind} as {quote(name)}" for name, kind in columns.items())
    try:
        # Neither an aggregate nor a window function can stand in a condition.
        _rows(f"select 1 from (select {given}) where ({sql}) is null", [])
        return _rows(f"select typeof({sql}) from (select {given})", [])[0][0]
    except duckdb.Error as error:
        raise AggregateError(_why(text, columns, str(error))) from None


def _why(text: str, columns: Mapping[str, str], message: str) -> str:
    said = message.splitlines()[0]
    if "not found in FROM clause" in said and said.count('"') >= 2:
        name = said.split('"')[1]
        return f'no column "{name}" for "{text}".{nearest(name, columns)} There are {", ".join(columns)}'
    return f'"{text}" is no SQL expression over the columns: {said}'


_lock = threading.Lock()


@lru_cache(maxsize=1)
def _engine() -> duckdb.DuckDBPyConnection:
    """An engine without data, for expressions over one state."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("set TimeZone = 'UTC'")
    return con


def _rows(query: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with _lock:
        return _engine().execute(query, values).fetchall()


def _refuse(text: str) -> None:
    """Refuse what is not one expression by itself."""
    try:
        duckdb.SQLExpression(text)
    except duckdb.Error as error:
        raise AggregateError(f'"{text}" does not parse as an SQL expression: {str(error).splitlines()[0]}') from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [str(v) if isinstance(v, (int, Decimal)) and not isinstance(v, bool) else v for v in value]
    return value


def _kind(name: str, text: str) -> Kind:
    if name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"):
        return Kind("integer")
    if name.startswith("DECIMAL("):
        return Kind("decimal", int(name.removesuffix(")").partition(",")[2]))
    if name in ("DOUBLE", "VARCHAR", "BOOLEAN"):
        return Kind({"DOUBLE": "double", "VARCHAR": "text", "BOOLEAN": "boolean"}[name])  # type: ignore[arg-type]
    raise AggregateError(f'"{text}" gives a {name}: cast it to a number, a text or a boolean')

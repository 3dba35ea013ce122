"""Pairs: which field of a state is compared with which column of a table, and how far their values may be off."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from esbench import payload
from esbench.errors import nearest
from esbench.fold.changes import ABSENT, fields_of
from esbench.stored import Table, TableError, Tolerance, mismatch

__all__ = ["Pair", "allowed", "pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: a path of the state, and the column that should hold the same."""

    field: str
    steps: tuple[str, ...]
    column: str
    tolerance: Tolerance | None = None

    def of(self, state: Any) -> Any:
        """The value of a state at the path, or ABSENT."""
        for step in self.steps:
            fields = fields_of(state)
            state = payload.get(state, [step], ABSENT) if fields is None else fields.get(step, ABSENT)
        return state

    def mismatch(self, state: Any, stored: Any) -> str | None:
        """None where a stored value is that of a state; otherwise why not."""
        return mismatch(self.of(state), stored, self.tolerance)


def pairs(
    states: list[Any],
    table: Table,
    keys: Collection[str],
    columns: Mapping[str, str] | None,
    tolerances: Mapping[str, Tolerance],
) -> list[Pair]:
    """What is compared with what. Raises TableError where that is nothing, or names what is not there."""
    fields = dict.fromkeys(name for state in states for name in fields_of(state) or {})
    if columns is None:
        columns = {name: name for name in fields if name in table.names and name not in keys}
    if not isinstance(columns, Mapping) or not all(isinstance(one, str) for pair in columns.items() for one in pair):
        raise TableError(f"columns= is a dict from field to column, such as {{'quantity': 'qty'}}, not {columns!r}")
    if not columns and states:
        raise TableError(
            f"nothing to compare: of the state's fields ({', '.join(fields) or 'none'}) the table has no column "
            f'({", ".join(table.names)}); columns={{"field": "column"}} pairs them'
        )
    for column in columns.values():
        table.require(column)
    for column in tolerances:
        if column not in columns.values():
            raise TableError(
                f'tolerances: column "{column}" is not compared.{nearest(column, columns.values())} Compared: '
                f"{', '.join(columns.values())}"
            )
    made = [Pair(name, _path(name), column, tolerances.get(column)) for name, column in columns.items()]
    for pair in made:
        if states and all(pair.of(state) is ABSENT for state in states):
            known = nearest(pair.field, fields) or f" States have {', '.join(fields) or 'no named fields'}."
            raise TableError(f'no state has "{pair.field}".{known}')
    return made


def _path(name: str) -> tuple[str, ...]:
    return payload.pointer(name) if name == "" or name.startswith("/") else (name,)


def allowed(given: Mapping[str, Tolerance | float] | None) -> dict[str, Tolerance]:
    """How far the numbers, or times, of each column may be off. Raises TableError for what is no such measure."""
    result: dict[str, Tolerance] = {}
    for column, value in (given or {}).items():
        if isinstance(value, timedelta):
            good, result[column] = value >= timedelta(), value
        elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            # By its text: who writes 0.01 does not mean the float next to it.
            result[column] = number = Decimal(str(value))
            good = number.is_finite() and number >= 0
        else:
            good = False
        if not good:
            raise TableError(f'tolerances: "{column}" may be off by a number, or a timedelta, not by {value!r}')
    return result

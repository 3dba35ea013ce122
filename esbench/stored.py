"""Stored values: what a table of another's making holds, read exactly, and whether it is what a fold gives."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.errors import EsbenchError, nearest
from esbench.event import quote
from esbench.events import translated
from esbench.fold.changes import ABSENT, brief, fields_of

__all__ = ["UNSURE", "Table", "TableError", "Tolerance", "mismatch", "plain"]

Tolerance = Decimal | timedelta

#: Wide enough for the difference of any two numbers that a table and a payload may hold.
_exact = Context(prec=1_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


class TableError(EsbenchError, ValueError):
    """A table that cannot be compared with a fold: says what it lacks."""


class _Unsure:
    """NaN in a pandas column, which may stand for NaN or for nothing."""

    def __repr__(self) -> str:
        return "nan"


UNSURE: Final = _Unsure()


class Table:
    """The columns of a DataFrame, an Arrow table, a DuckDB relation, or a table of the bench by its name.

    >>> Table(duckdb.connect(), pd.DataFrame({"n": [1, 2]})).values("n")
    [1, 2]
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, source: object) -> None:
        if isinstance(source, str):
            source = _relation(con, source)
        if isinstance(source, pa.RecordBatchReader):
            source = source.read_all()
        if not isinstance(source, (pd.DataFrame, pa.Table, duckdb.DuckDBPyRelation)):
            raise TableError(
                f"a table is a DataFrame, an Arrow table, a DuckDB relation or the name of a table, not {brief(source)}"
            )
        self._source = source
        names = source.column_names if isinstance(source, pa.Table) else source.columns
        self.names = [str(name) for name in names]

    def require(self, name: str) -> None:
        """Raise TableError unless there is one column of that name."""
        if self.names.count(name) > 1:
            raise TableError(f'the table has {self.names.count(name)} columns "{name}"; rename or drop one')
        if name not in self.names:
            known = nearest(name, self.names) or f" It has {', '.join(self.names)}."
            raise TableError(f'the table has no column "{name}".{known}')

    def values(self, name: str) -> list[Any]:
        """A column as Python values, exactly; what is missing is None, or UNSURE where pandas cannot tell."""
        self.require(name)
        source = self._source
        if isinstance(source, pd.DataFrame):
            return [_pandas(value) for value in source.iloc[:, self.names.index(name)].tolist()]
        if isinstance(source, pa.Table):
            return list(source.column(self.names.index(name)).to_pylist())
        kind = str(source.types[self.names.index(name)])
        # Arrow has no integers of 128 bits; DuckDB hands over the unsigned ones as if they were signed.
        text = f"{quote(name)}::varchar" if kind == "UHUGEINT" else quote(name)
        with translated():
            found = source.project(text).to_arrow_table().column(0).to_pylist()
        return [None if value is None else int(value) for value in found] if kind == "UHUGEINT" else list(found)


def _relation(con: duckdb.DuckDBPyConnection, name: str) -> duckdb.DuckDBPyRelation:
    cursor = con.cursor()
    try:
        return cursor.table(name)
    except duckdb.Error as error:
        rows = cursor.execute(
            "select table_name from duckdb_tables() union select view_name from duckdb_views() where not internal"
        ).fetchall()
        known = nearest(name, [row[0] for row in rows])
        raise TableError(f'no table "{name}" in the bench.{known}') from error


def _pandas(value: Any) -> Any:
    if value is pd.NA or value is pd.NaT:
        return None
    return UNSURE if isinstance(value, float) and math.isnan(value) else value


def mismatch(expected: Any, stored: Any, tolerance: Tolerance | None = None) -> str | None:
    """None where a stored value is the expected one; otherwise why not, '' where that is plain to see.

    Numbers are equal by their exact value, whatever their type; times by their instant, one without an offset being
    UTC; ISO 8601 text is equal to the time or date that it names; what a state has not is equal to NULL. A column of
    JSON text is compared as the value that it holds, member by member. Text, numbers and booleans never are equal.

    >>> mismatch(5, Decimal("5.0")), mismatch("5", 5), mismatch(1.1, Decimal("1.11"), Decimal("0.02"))
    (None, 'text against a number', None)
    """
    json = isinstance(stored, str) and _members(expected) is not None
    if json:
        try:
            stored = payload.decode(stored)
        except payload.PayloadError:
            return f"{_kind(plain(expected))} against text that is not JSON"
    stack = [("", expected, stored)]
    while stack:
        path, one, other = stack.pop()
        if one is ABSENT or other is ABSENT:
            # JSON text tells null from nothing; a column or a STRUCT does not.
            if json and path:
                return f"at {path}: only {'stored' if one is ABSENT else 'expected'}"
            one, other = (None if value is ABSENT else value for value in (one, other))
        pairs = _pairs(one, other)
        if pairs is None:
            why = _scalar(plain(one), plain(other), tolerance)
            if why is not None:
                return f"at {path}{why and ': '}{why}" if path else why
        else:
            stack += [(f"{path}/{token}", a, b) for token, a, b in reversed(pairs)]
    return None


def _scalar(expected: Any, stored: Any, tolerance: Tolerance | None) -> str | None:
    kinds = _kind(expected), _kind(stored)
    if stored is UNSURE:
        return None if expected is None or (kinds[0] == "a number" and _nan(expected)) else f"{kinds[0]} against NaN"
    if kinds == ("a list", "a list"):
        return f"{len(expected)} items against {len(stored)}"
    if kinds == ("a number", "a number"):
        return _numbers(expected, stored, tolerance)
    if kinds[0] != kinds[1]:
        moments = _moments(expected, stored, kinds)
        if moments is None:
            return f"{kinds[0]} against {kinds[1]}"
        expected, stored = moments
    elif kinds[0] == "a time":
        expected, stored = _instant(expected), _instant(stored)
    if isinstance(tolerance, timedelta) and isinstance(expected, datetime) and isinstance(stored, datetime):
        return None if abs(expected - stored) <= tolerance else ""
    try:
        return None if bool(expected == stored) else ""
    except Exception:  # noqa: BLE001 (a value's own comparison may raise anything)
        return "not comparable"


def _numbers(expected: Any, stored: Any, tolerance: Tolerance | None) -> str | None:
    if _nan(expected) or _nan(stored):
        return None if _nan(expected) and _nan(stored) else "NaN against a number"
    if expected == stored:
        return None
    if isinstance(tolerance, Decimal):
        gap = _exact.abs(_exact.subtract(_decimal(expected), _decimal(stored)))
        return None if gap.is_finite() and gap <= tolerance else ""
    if {type(expected), type(stored)} == {float, Decimal} and float(expected) == float(stored):
        return "no float is exactly this: tolerances= says how close is equal"
    return ""


def _moments(expected: Any, stored: Any, kinds: tuple[str, str]) -> tuple[Any, Any] | None:
    """A time or a date beside the text of one, both read; None for anything else."""
    if "text" not in kinds:
        return None
    other = kinds[1 - kinds.index("text")]
    texts = expected if kinds[0] == "text" else stored
    try:
        if other == "a time" and len(texts) > 10:
            read: Any = _instant(datetime.fromisoformat(texts))
        elif other == "a date":
            read = date.fromisoformat(texts)
        else:
            return None
    except ValueError:
        return None
    if kinds[0] == "text":
        return read, _instant(stored) if other == "a time" else stored
    return (_instant(expected) if other == "a time" else expected), read


def _instant(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def plain(value: Any) -> Any:
    """A scalar without the type of a library."""
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum) and isinstance(value.value, str):
        return str(value.value)
    return str(value) if isinstance(value, UUID) else value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (float, Decimal, numbers.Rational)):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, date):
        return "a time" if isinstance(value, datetime) else "a date"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if _members(value) is not None else f"a {type(value).__name__}"


def _nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, (int, float, Decimal)):
        return Decimal(value)
    return _exact.divide(Decimal(value.numerator), Decimal(value.denominator))  # a Fraction


def _members(value: Any) -> Mapping[str, Any] | Sequence[Any] | None:
    """The members of a container, keys as text, since JSON has no others."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return value
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): member for key, member in value.items()}
    return fields_of(value)


def _pairs(one: Any, other: Any) -> list[tuple[str, Any, Any]] | None:
    """Members side by side, where both values are objects, or both lists; None otherwise."""
    first, second = _members(one), _members(other)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return [(name, first.get(name, ABSENT), second.get(name, ABSENT)) for name in {**first, **second}]
    if isinstance(first, Sequence) and isinstance(second, Sequence) and len(first) == len(second):
        return [(str(place), *pair) for place, pair in enumerate(zip(first, second, strict=True))]
    return None

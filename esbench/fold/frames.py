"""States in frames: one column a field, values exactly as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import pandas as pd

from esbench.fold.changes import ABSENT, fields_of

__all__ = ["column", "field_columns", "moments"]

#: States with more fields in all than this (say, one a product) become one column of values.
_MOST = 256
_INT64 = range(-(2**63), 2**63)


def field_columns(values: Sequence[Any], taken: Collection[str]) -> dict[str, pd.Series[Any]]:
    """The fields of states as columns, in order of their first appearance.

    A field that is named as one of the columns in ``taken`` is prefixed by ``state_``. States that have no
    named fields (all but dicts, dataclasses and Structs) or very many become one column ``state``. None beside
    others has no field.

    >>> columns = field_columns([{"n": 1, "version": "a"}, {"n": None}], {"version"})
    >>> {name: series.tolist() for name, series in columns.items()}
    {'n': [1, <NA>], 'state_version': ['a', nan]}
    """
    whole = {_free("state", taken): column(values)} if values else {}
    if all(value is None for value in values):
        return whole
    rows: list[dict[str, Any]] = []
    labels: dict[str, str] = {}
    used = set(taken)
    for value in values:
        fields = {} if value is None else fields_of(value)
        if fields is None:
            return whole
        rows.append(fields)
        # Of a state that has one field a product, no more is looked at than shows that they are very many.
        for name in islice((name for name in fields if name not in labels), _MOST + 1 - len(labels)):
            labels[name] = _free(name, used)
            used.add(labels[name])
        if len(labels) > _MOST:
            return whole
    return {label: column([row.get(name, ABSENT) for row in rows]) for name, label in labels.items()}


def column(values: Sequence[Any]) -> pd.Series[Any]:
    """Values as a column that keeps them exactly: typed where all are of one plain type, otherwise as objects.

    >>> str(column([1, None]).dtype), str(column([1, 2**70]).dtype), str(column([True, 1]).dtype)
    ('Int64', 'object', 'object')
    """
    kinds = {type(value) for value in values}
    gaps = type(None) in kinds or type(ABSENT) in kinds
    kinds -= {type(None), type(ABSENT)}
    if kinds == {bool}:
        return pd.Series(_nulls(values), dtype="boolean" if gaps else "bool")
    if kinds == {int} and all(value in _INT64 for value in values if type(value) is int):
        return pd.Series(_nulls(values), dtype="Int64" if gaps else "int64")
    if kinds == {float} and not gaps:
        return pd.Series(values, dtype="float64")
    if kinds == {str}:
        try:
            return pd.Series(_nulls(values), dtype="str")
        except UnicodeError:  # half of a surrogate pair, which a handler can make
            pass
    return pd.Series([pd.NA if value is ABSENT else value for value in values], dtype="object")


def moments(values: Iterable[datetime | None]) -> pd.Series[Any]:
    """Times as a column, to the microsecond and in UTC."""
    return pd.Series(list(values), dtype="datetime64[us, UTC]")


def _nulls(values: Sequence[Any]) -> list[Any]:
    return [None if value is ABSENT else value for value in values]


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"state_{name}"
    return name

"""States in frames keep their values exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from esbench.fold.frames import column, field_columns


@dataclass(frozen=True)
class Item:
    quantity: int
    tags: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, None], "Int64"),
        ([True, None], "boolean"),
        ([True, 1], "object"),
        ([1, 1.0], "object"),
        ([2**70, 1], "object"),
        ([0.5, 1.5], "float64"),
        ([0.5, None], "object"),
        ([Decimal("1.10")], "object"),
        (["a", None], "str"),
        (["\ud800"], "object"),
        ([[1], [2]], "object"),
        ([{"a": 1}], "object"),
    ],
)
def test_column_keeps_values(values: list[Any], dtype: str):
    found = column(values)
    assert str(found.dtype) == dtype
    kept = [None if not isinstance(value, (list, dict)) and pd.isna(value) else value for value in found.tolist()]
    assert kept == values
    assert [type(value) for value in kept] == [type(value) for value in values]


def test_fields_of_dataclasses_become_columns():
    assert field_columns([Item(1), Item(2, ("x",))], ())["quantity"].tolist() == [1, 2]


def test_state_without_fields_is_one_column():
    assert field_columns([1, 2], ())["state"].tolist() == [1, 2]
    assert list(field_columns([{"a": 1}, 2], ())) == ["state"]
    assert list(field_columns([{1: "a"}], {"state"})) == ["state_state"]
    assert list(field_columns([None], ())) == ["state"]


def test_of_a_state_with_very_many_fields_few_are_looked_at():
    class Looked(str):
        __slots__ = ()
        hashed = 0

        def __hash__(self):
            Looked.hashed += 1
            return super().__hash__()

        __eq__ = str.__eq__

    state = {Looked(f"k{number}"): number for number in range(20_000)}
    Looked.hashed = 0
    assert list(field_columns([state, state], ())) == ["state"]
    assert Looked.hashed < 3 * len(state)


def test_state_with_very_many_fields_is_one_column():
    assert list(field_columns([{str(number): 1 for number in range(1_000)}], ())) == ["state"]


def test_fields_named_as_other_columns_are_prefixed():
    columns = field_columns([{"version": 1, "state_version": 2}], {"version"})
    assert {name: series.tolist() for name, series in columns.items()} == {
        "state_version": [1],
        "state_state_version": [2],
    }


def test_absent_and_null_stay_apart_among_objects():
    values = field_columns([{"a": None}, {}, {"a": [1]}], ())["a"].tolist()
    assert values[0] is None
    assert values[1] is pd.NA


def test_no_states_make_no_columns():
    assert field_columns([], ()) == {}

"""Structural differences, and copies that share nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.fold.changes import ABSENT, Change, brief, changes, fields_of, isolated, leaves, same

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.decimals(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@dataclass
class Item:
    name: str
    tags: list[str] = field(default_factory=list)


class Price(msgspec.Struct):
    amount: Decimal


class Pair(NamedTuple):
    left: int
    right: int


def nested(depth: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(depth):
        value = {"in": [value]}
    return value


@given(VALUES)
def test_copy_is_the_same_and_without_changes(value):
    twin = isolated(value)
    assert same(value, twin)
    assert changes(value, twin) == []
    assert same(value, copy.deepcopy(value))


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


def test_objects_that_do_not_say_when_they_are_equal_are_told_apart_by_what_they_hold():
    first, second = ([Box({"n": n, "in": Box(last)}) for n in range(50)] for last in (1, 2))
    assert same(first, isolated(first))
    assert not same(first, second)
    assert not same([lambda: 1], [lambda: 1])
    assert same(object(), object())


def test_sets_hold_nan_at_most_once_and_tell_one_from_true():
    assert same({float("nan"), 1}, {1, float("nan")})
    assert not same({1}, {True})


@given(VALUES, VALUES)
def test_changes_are_empty_exactly_where_values_are_the_same(before, after):
    assert (changes(before, after) == []) == same(before, after)


@given(VALUES)
def test_leaves_hold_everything(value):
    assert len({path for path, _ in leaves(value)}) == len(list(leaves(value)))


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (1, 1.0), (0, False), (None, 0), ({1}, {True}), ([1], (1,)), ("1", 1)]
)
def test_values_of_different_types_differ(before, after):
    assert changes({"a": before}, {"a": after}) == [Change("/a", before, after)]


@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), {1, 2}, Item("a", ["b"]), Price(Decimal("1.10"))])
def test_value_equals_its_copy(value):
    assert same(value, copy.deepcopy(value))


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (Item("a", ["x"]), Item("a", ["y"]), "/tags/0"),
        (Price(Decimal(1)), Price(Decimal(2)), "/amount"),
        (Pair(1, 2), Pair(1, 3), "/right"),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, "/a~1b/~0"),
        ({3: "a"}, {3: "b"}, "/3"),
        ({"": 1}, {"": 2}, "/"),
        (1, 2, ""),
    ],
)
def test_path_is_a_json_pointer(before, after, path):
    assert [change.path for change in changes(before, after)] == [path]


def test_null_and_absent_differ():
    assert changes({"a": None}, {}) == [Change("/a", None, ABSENT)]
    assert repr(changes({}, {"a": None})) == "[/a: + None]"


def test_fields_with_one_pointer_are_compared_as_a_whole():
    before, after = {1: "a", "1": "b"}, {1: "a", "1": "c"}
    assert [change.path for change in changes(before, after)] == [""]


def test_depth_is_no_limit():
    deep, other = nested(5_000, 1), nested(5_000, 2)
    assert same(deep, isolated(deep))
    assert not same(deep, other)
    assert len(changes(deep, other)) == 1
    assert brief(deep).startswith("{'in'")
    assert len(list(leaves(deep))) == 1


def test_deep_values_inside_other_classes_are_copied_too():
    deep = Item("a", nested(2_000, 1))
    assert same(isolated(deep).tags, deep.tags)


def test_copy_keeps_what_is_shared_within_it_and_cycles():
    shared = [1]
    value: dict[str, Any] = {"a": shared, "b": shared}
    value["self"] = value
    twin = isolated(value)
    assert twin["a"] is twin["b"] is not shared
    assert twin["self"] is twin
    assert same(value, twin)


def test_brief_never_raises():
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    assert brief([Hostile(), 10**5000]) == "[<Hostile>, <int>]"


def test_only_named_fields_are_fields():
    assert fields_of({1: 2}) is None
    assert fields_of(Item) is None
    assert fields_of(Price(Decimal(1))) == {"amount": Decimal(1)}

"""Structural differences, and copies that share nothing."""

from __future__ import annotations

import copy
import math
from dataclasses import astuple, dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.fold.changes import ABSENT, Change, brief, changes, fields_of, leaves, same
from esbench.fold.copies import Flat, isolated

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


ATOMS = st.one_of(st.integers(0, 2), st.booleans(), st.sampled_from((0.0, 1.0, math.nan, "a", "b/c", None)))
FLAT = st.one_of(st.dictionaries(st.sampled_from("abc"), ATOMS, max_size=2), st.lists(ATOMS, max_size=2))
MEMBERS = st.one_of(ATOMS, FLAT, st.lists(FLAT, max_size=2))


def plain_changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """What differs, member by member."""
    if type(before) is type(after) and isinstance(before, (dict, list)):
        old, new = (one if isinstance(one, dict) else dict(enumerate(one)) for one in (before, after))
        pairs = [
            (name, old.get(name, ABSENT), new.get(name, ABSENT)) for name in [*old, *(n for n in new if n not in old)]
        ]
        tokens = [str(name).replace("~", "~0").replace("/", "~1") for name, _, _ in pairs]
        return [
            change
            for token, (_, one, other) in zip(tokens, pairs, strict=True)
            for change in plain_changes(one, other, f"{path}/{token}")
        ]
    equal = type(before) is type(after) and (before == after or (before != before and after != after))
    return [] if equal else [Change(path, before, after)]


@st.composite
def long_containers(draw: st.DrawFn) -> Any:
    """Lists and dicts of many members, mostly of one kind."""
    kind = draw(st.sampled_from((ATOMS, FLAT.filter(lambda one: isinstance(one, dict)), FLAT, MEMBERS)))
    some = draw(st.lists(kind, min_size=1, max_size=5))
    members = [copy.deepcopy(some[place % len(some)]) for place in range(draw(st.integers(14, 40)))]
    if draw(st.booleans()):
        members[-1] = members[0]  # one object in two places
    return members if draw(st.booleans()) else {f"k{place}": one for place, one in enumerate(members)}


def touch(draw: Any, value: Any) -> Any:
    """What a handler may do to a long list or dict, in place or anew."""
    value = (dict(value) if isinstance(value, dict) else list(value)) if draw(st.booleans()) else value
    for _ in range(draw(st.integers(0, 3))):
        names = list(value) if isinstance(value, dict) else list(range(len(value)))
        name = draw(st.sampled_from(names))
        match draw(st.sampled_from(("set", "add", "remove", "inside", "again"))):
            case "set":
                value[name] = draw(MEMBERS)
            case "add" if isinstance(value, dict):
                value[draw(st.sampled_from(("new", "k0", "~/")))] = draw(MEMBERS)
            case "add":
                value.append(draw(MEMBERS))
            case "remove":
                del value[name]
            case "inside" if isinstance(value[name], dict):
                value[name]["a"] = draw(ATOMS)
            case "inside" if isinstance(value[name], list):
                value[name].append(draw(ATOMS))
            case "again" if isinstance(value, dict):
                value[name] = value.pop(name)
    return value


@given(long_containers(), st.data())
def test_long_containers_differ_where_they_were_touched(first, data):
    # As a fold does it: what is known to be flat goes from state to state.
    state = {"in": first, "n": 0}
    flat: Flat = {}
    for number in range(3):
        copied = isolated(state, flat)
        assert same(copied, state)
        untouched = copy.deepcopy(state)
        after = {**copied, "in": touch(data.draw, copied["in"]), "n": number}
        assert same(state, untouched)
        known: tuple[Flat, Flat] = (flat, {})
        expected = plain_changes(state, after)
        assert same([astuple(each) for each in changes(state, after, known)], [astuple(each) for each in expected])
        assert same([astuple(each) for each in changes(state, after)], [astuple(each) for each in expected])
        assert same(state, after) == (not expected)
        state, flat = after, known[1]
        for one in flat.values():
            insides = one.values() if isinstance(one, dict) else one
            assert not any(isinstance(each, (dict, list)) for each in insides)


def test_copy_of_many_keeps_one_object_in_two_places():
    line = {"n": 1}
    twin = isolated({"lines": [*({"n": 2} for _ in range(20)), line], "last": line, "by": {"k": line}})
    assert twin["lines"][-1] is twin["last"] is twin["by"]["k"]
    assert twin["last"] is not line
    twin = isolated([line] * 20)
    assert all(each is twin[0] for each in twin)


def test_copy_of_many_shares_no_key_that_can_change():
    key = Box(1)
    values: list[Any] = [dict.fromkeys([key, *range(20)], 1), [{key: 1} for _ in range(20)]]
    for value in values:
        twin = isolated({"in": value})["in"]
        inside = twin if isinstance(twin, dict) else twin[0]
        assert next(iter(inside)) is not key

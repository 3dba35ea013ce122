"""Conditions that Python judges, against the engine, which is asked about the same states."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.errors import AggregateError
from esbench.projection.conditions import Unclear, compiled
from esbench.projection.expressions import Expression

COLUMNS = {
    "n": "HUGEINT",
    "m": "HUGEINT",
    "price": "DECIMAL(38, 2)",
    "fine": "DECIMAL(38, 6)",
    "rate": "DOUBLE",
    "status": "VARCHAR",
    "active": "BOOLEAN",
}
INTEGERS = st.integers(-5, 5) | st.sampled_from([10**15, -(10**37), 2**126, -(2**127) + 1, 2**127 - 1])
VALUES = {
    "n": INTEGERS,
    "m": INTEGERS,
    "price": st.decimals(-3, 3, places=2) | st.sampled_from([Decimal(10) ** 17, Decimal("-1E+20"), Decimal("1E+35")]),
    "fine": st.decimals(-3, 3, places=6) | st.sampled_from([Decimal(10) ** 31]),
    "rate": st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.1, 0.5, -0.0, 2.5]),
    "status": st.sampled_from(["", "lost", "it's", "Lost", "zoë", "a", "b"]),
    "active": st.booleans(),
}
STATES = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
NUMBERS = st.sampled_from(["0", "1", "-1", "5", "0.5", "-2.50", "0.10", "999999999999999", "12345678901234567890"])
ATOMS = st.one_of(
    st.sampled_from([*COLUMNS, '"n"', "N", "current_date"]),
    NUMBERS,
    st.sampled_from(["'lost'", "'it''s'", "'zoë'", "'5'", "true", "FALSE"]),
)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(
        ["=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", " and ", " OR ", " --", "/", " in ", "||"]
    )
    return st.one_of(
        st.builds("{} {} {}".format, inner, signs, inner),
        st.builds("({})".format, inner),
        st.builds("not {}".format, inner),
        st.builds("-{}".format, inner),
        st.builds("{} is null".format, inner),
        st.builds("{} is not null".format, inner),
        st.builds("{} in ({}, {})".format, inner, inner, inner),
        st.builds("{} not in ({})".format, inner, inner),
    )


TEXTS = st.recursive(ATOMS, joined, max_leaves=6)


def agree(text: str, states: list[dict[str, Any]]) -> None:
    try:
        asked = Expression(text, COLUMNS, condition=True)
    except AggregateError:
        return
    plain = compiled(text, COLUMNS, asked._read)
    if plain is None:
        return
    for state in states:
        values = [state[name] for name in asked._read]
        try:
            found = plain(values)
        except Unclear:
            continue
        assert found is asked._evaluated(*values), (text, state)


@given(TEXTS, st.lists(STATES, min_size=1, max_size=4))
@settings(max_examples=300)
def test_python_says_what_the_engine_says(text, states):
    agree(text, states)


def sides(kind: str) -> st.SearchStrategy[str]:
    """Both sides of a comparison that mostly makes sense."""
    numbers = st.sampled_from(["n", "m", "n + m", "n - 1", "2 * m", "n * m", "(n + 1)", "price", "fine", "rate"])
    texts = st.sampled_from(["status", "'lost'", "'it''s'"])
    return (numbers | NUMBERS) if kind == "number" else texts


COMPARISONS = st.one_of(
    st.builds("{} {} {}".format, sides("number"), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), sides("number")),
    st.builds("{} {} {}".format, sides("text"), st.sampled_from(["=", "!=", "<", ">="]), sides("text")),
    st.sampled_from(["active", "status in ('lost', 'a')", "n not in (1, 2)", "rate is null", "m is not null"]),
)


@given(
    st.recursive(
        COMPARISONS,
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("not ({})".format, inner),
        ),
        max_leaves=4,
    ),
    st.lists(STATES, min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_sensible_conditions_are_judged_as_the_engine_does(text, states):
    agree(text, states)


@pytest.mark.parametrize(
    "text",
    [
        "n >= 0",
        "n - m >= 0 and status <> 'lost'",
        "price >= 0.50 or not active",
        "rate < 2.5",
        "status in ('a', 'b') and m is not null",
        '"n" > -1',
        "fine = 0.25",
    ],
)
def test_usual_conditions_need_no_engine(text):
    asked = Expression(text, COLUMNS, condition=True)
    assert compiled(text, COLUMNS, asked._read) is not None
    state = dict.fromkeys(COLUMNS)
    assert asked(state) is asked._evaluated(*(state[name] for name in asked._read))


@pytest.mark.parametrize(
    "text", ["n >= m --5", "abs(n) > 0", "n / 2 > 1", "n", "1 + 1 > 2", "status = 5", "n = 0.5", "n > 1e3", "n = m = 1"]
)
def test_what_may_be_otherwise_in_the_engine_is_left_to_it(text):
    assert compiled(text, COLUMNS, list(COLUMNS)) is None

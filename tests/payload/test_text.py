"""JSON text: decoded and encoded exactly, members as they stand, and SQL that claims only what is so."""

from __future__ import annotations

import json
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench import payload
from esbench.payload import PayloadError
from tests.json_texts import BROKEN, CONTENTS, DUMPED, SPACES, STRINGS, VALUES, oracle


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.builds("{}{}{}:{}{}{}".format, SPACES, STRINGS, SPACES, SPACES, values, SPACES), max_size=4)
    return st.builds(lambda before, found, after: f"{before}{{{','.join(found)}}}{after}", SPACES, members, SPACES)


@given(objects(VALUES | BROKEN))
def test_fields_gives_each_value_as_it_stands_or_a_reason(text):
    expected = oracle(text)
    if expected is None:
        with pytest.raises(PayloadError) as caught:
            payload.fields(text)
        assert str(caught.value)
    else:
        assert payload.fields(text) == expected
        assert payload.fields(text.encode()) == expected


@given(objects(VALUES))
def test_layout_and_fields_put_together_give_the_text(text):
    found = oracle(text)
    if found is not None:
        pieces = payload.layout(text, found)
        assert "".join(a + b for a, b in zip(pieces, [*found.values(), ""], strict=True)) == text


@given(VALUES | BROKEN | objects(VALUES | BROKEN))
def test_check_agrees_with_a_strict_reader(text):
    try:
        json.dumps(json.loads(text, parse_constant=lambda name: 1 / 0), ensure_ascii=False).encode()
        strict = True
    except (ValueError, ZeroDivisionError):
        strict = False
    assert (payload.check(text) is None) == strict


@given(VALUES | BROKEN | objects(VALUES | BROKEN))
def test_what_sql_calls_proven_is_strict_json(text):
    found = duckdb.execute(f"select try({payload.proven('x')}) from (select $x::varchar as x)", {"x": text}).fetchall()
    if found[0][0]:
        assert payload.check(text) is None


@given(VALUES)
def test_what_sql_calls_stable_reads_back_as_the_same_text(text):
    found = duckdb.execute(
        f"select try({payload.stable('x')}), try((x->'$')::varchar) from (select $x::varchar as x)", {"x": text}
    ).fetchall()
    assert found[0][0] in (None, found[0][1] == text)


@given(DUMPED)
def test_encode_and_decode_give_the_same_value(value):
    text = payload.encode(value)
    assert payload.decode(text) == value
    assert payload.encode(value) == text


@given(VALUES)
def test_decode_is_exact_for_integers_and_refuses_nothing_that_is_json(text):
    if payload.check(text) is None:
        expected = json.loads(text, parse_float=lambda d: Decimal(d) if abs(float(d)) == float("inf") else float(d))
        assert payload.decode(text) == expected


@given(CONTENTS)
def test_text_form_of_a_string_is_its_content(content):
    assert payload.text_form(json.dumps(content)) == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ('{"a":', "ends too early"),
        ('{"a":NaN}', "NaN is not JSON (character 6)"),
        ('{"a":[1,-inf]}', "-inf is not JSON (character 9)"),
        ('{"a":1,}', "'}' is not expected (character 8)"),
        ('{"a":"x', "a string does not end"),
        ('{"a":"x\ty"}', "'\\ty' in a string (character 8)"),
        ('{"a":"\\ud800"}', "half a surrogate pair"),
        ('{"a":1,"b":2,"\\u0061":3}', "stands twice"),
        ("[1]", "not an object"),
        ('{"a":1} x', "'x' is not expected"),
        (b'{"a":"\xff"}', "not UTF-8: byte 0xff (byte 7)"),
        ('{"a":"\ud800"}', "half a surrogate pair"),
    ],
)
def test_fields_says_why_it_refuses(text, reason):
    with pytest.raises(PayloadError) as caught:
        payload.fields(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("depth", [900, 1_100, 5_000, 200_000])
def test_nesting_of_any_depth_is_kept_as_text(depth):
    deep = "[" * depth + "]" * depth
    assert payload.fields(f'{{"a": {deep}, "b": 1}}') == {"a": deep, "b": "1"}
    assert payload.check(deep) is None
    assert payload.check(deep[:-1]) is not None


def test_nesting_too_deep_to_decode_is_an_error_of_ours():
    with pytest.raises(PayloadError, match="too deep"):
        payload.decode("[" * 100_000 + "]" * 100_000)


def test_numbers_beyond_floats_and_long_integers_decode():
    assert payload.decode("[1e400, -1e400]") == [Decimal("1e400"), Decimal("-1e400")]
    assert payload.decode("9" * 5_000) == Decimal("9" * 5_000)
    with pytest.raises(PayloadError):
        payload.decode("1e" + "9" * 30)


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {"a": (Decimal("NaN"),)}, "\ud800", object(), {1: {True: 2}}]
)
def test_encode_refuses_what_json_cannot_carry(value):
    with pytest.raises(PayloadError):
        payload.encode(value)


def test_pointer_follows_the_rfc():
    assert payload.pointer("") == ()
    assert payload.pointer("/") == ("",)
    assert payload.pointer("/a~1b/~01") == ("a/b", "~1")
    for bad in ("a", "/a~", "/~2"):
        with pytest.raises(PayloadError):
            payload.pointer(bad)


def test_get_finds_values_and_gives_the_default_elsewhere():
    value = {"a": [{"b": None}], "": 1}
    assert payload.get(value, "/a/0/b", 7) is None
    assert payload.get(value, "/", 7) == 1
    assert payload.get(value, "") is value
    for missing in ("/a/1", "/a/00", "/a/-1", "/a/b", "/a/0/b/c", "/x"):
        assert payload.get(value, missing, 7) == 7

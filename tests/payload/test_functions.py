"""Python functions on payloads: what they do not touch keeps its text, and each failure says why."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.errors import EsbenchError
from esbench.payload import PayloadError, check, decode, functions
from esbench.payload.functions import upcast_text
from tests.payload.oracle import Node, agrees, strict, tree
from tests.payload.test_edits import OBJECTS, TEXTS

WRITINGS = [
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    json.dumps,
    lambda value: json.dumps(value, indent=2),
]


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        functions.register(con)
        yield con


def in_sql(con, call, texts):
    query = f"select {functions.sql(call, 't')} from (select unnest($texts::varchar[])::json) u(t)"
    return [new for (new,) in con.sql(query, params={"texts": texts}).fetchall()]


@given(st.lists(OBJECTS | TEXTS, min_size=1, max_size=5))
def test_a_function_that_changes_nothing_changes_no_text(con, texts):
    texts = [text for text in texts if check(text) is None and decode(text) is not None]
    call = upcast_text(lambda data: data)
    assert [call.apply(text) for text in texts] == texts
    assert in_sql(con, call, [*texts, None]) == [*texts, None]


@given(OBJECTS)
def test_members_beside_a_new_one_keep_their_text(text):
    members = strict(text)
    if members is None or "new" in members:
        return
    done = upcast_text(lambda data: {**data, "new": [1, 1.5]}).apply(text)
    assert strict(done) is not None
    found = tree(done)
    expected = tree(text)
    expected.raw = None
    key, value = found.children[-1]
    assert (key, decode(str(value.raw))) == ('"new"', [1, 1.5])
    assert agrees(Node("{", None, found.children[:-1]), expected)


@given(OBJECTS)
def test_values_that_move_keep_their_numbers(text):
    members = strict(text)
    if members is None:
        return
    found = strict(upcast_text(lambda data: {"inner": data}).apply(text))
    assert found is not None
    inner = strict(found["inner"])
    assert inner is not None
    assert list(inner) == list(members)
    for name, raw in members.items():
        if raw[0] in "-0123456789" and any(sign in raw for sign in ".eE"):
            assert inner[name] == raw
        assert decode(inner[name]) == decode(raw)


@pytest.mark.parametrize("written", WRITINGS)
def test_a_change_deep_inside_leaves_its_siblings(written):
    value = {"lines": [{"price": 0.5, "é": "\n"}, {"price": 7, "n": 2**70}], "note": "x, y: z", "total": 1.5}

    def function(data):
        data["lines"][1]["price"] = 8
        return data

    value_after = {**value, "lines": [value["lines"][0], {"price": 8, "n": 2**70}]}  # type: ignore[index]
    assert upcast_text(function).apply(written(value)) == written(value_after)


def test_texts_in_odd_writings_are_kept_around_a_change():
    text = '{ "a":1.10, "\\u0062" : [1.0,2e0 , {"c":"\\/"}],"big":18446744073709551616.0 , "z":-0}'

    def function(data):
        data["\u0062"][1] = 5
        del data["big"]
        return data

    assert upcast_text(function).apply(text) == '{ "a":1.10, "\\u0062" : [1.0,5 , {"c":"\\/"}] , "z":-0}'
    front = upcast_text(lambda data: {"v": 1, **data, "items": [0, *data["items"]]})
    assert front.apply('{"items": [1.10, "\\u0061"], "a":1.0}') == ('{"v":1, "items": [0, 1.10, "\\u0061"], "a":1.0}')


def test_names_that_stand_twice_are_kept_but_not_changed():
    text = '{"a": 1, "a": 2, "b": 3}'
    assert upcast_text(lambda data: {**data, "b": 4}).apply(text) == '{"a": 1, "a": 2, "b": 4}'
    for function in (lambda data: {**data, "a": 4}, lambda data: {"b": 3}):
        with pytest.raises(PayloadError, match="stands twice"):
            upcast_text(function).apply(text)


def test_true_one_and_a_float_are_different_values():
    assert upcast_text(lambda data: {"a": True}).apply('{"a":1,"b":1.10}') == '{"a":true}'
    assert upcast_text(lambda data: {**data, "a": 1}).apply('{"a":true,"b":1.10}') == '{"a":1,"b":1.10}'
    assert upcast_text(lambda data: {**data, "a": 1}).apply('{"a":1.00}') == '{"a":1}'


def test_an_input_that_is_changed_in_place_and_forgotten_harms_nothing(con):
    def function(data):
        data.clear()
        return {"n": 1}

    texts = ['{"a":1}', '{"a":1}', '{"a": 1.10}']
    assert in_sql(con, upcast_text(function), texts) == ['{"n":1}', '{"n":1}', '{"n": 1}']


@pytest.mark.parametrize("text", ['{"a":1}', '{"a": 1.10}'])
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda data: data["b"], "KeyError: 'b'"),
        (lambda data: None, "returned None"),
        (lambda data: [data], "returned list, not an object"),
        (lambda data: "x", "returned str, not an object"),
        (lambda data: {**data, "n": float("nan")}, "JSON cannot carry"),
        (lambda data: {**data, "n": None, "m": [float("inf")]}, "JSON cannot carry"),
        (lambda data: {**data, "n": object()}, "JSON cannot carry"),
        (lambda data: {**data, "n": "\ud800"}, "JSON cannot carry"),
        (lambda data: data.setdefault("self", data), "JSON cannot carry"),
        (lambda data: int("\ud800"), "Error"),
        (lambda data: {**data, "n": {1, 2}}, "not a JSON value: set"),
        (lambda data: {**data, "n": [{"m": (b"x",)}]}, "not a JSON value: bytes"),
        (lambda data: exec("raise SystemExit(3)"), "SystemExit: 3"),
    ],
)
def test_a_failure_says_why(con, text, function, reason):
    call = upcast_text(function)
    with pytest.raises(PayloadError) as caught:
        call.apply(text)
    assert reason in str(caught.value)
    (found,) = in_sql(con, call, [text])
    assert found.startswith("!")
    assert reason in found


@pytest.mark.parametrize("odd", [None, '{"n": 1.10}', "!said", '{"n":1', '{"n":1}\n', '{"n":1} {"n":2}'])
def test_texts_of_one_batch_do_not_change_each_other(odd):
    call = upcast_text(lambda data: {"twice": 2 * data["n"]})
    texts = [*(f'{{"n":{n}}}' for n in range(70)), odd, '{"n":7}', '{"m":7}']
    assert call.changed(texts) == [each for text in texts for each in call.changed([text])]
    assert call.changed(texts)[:70] == [f'{{"twice":{2 * n}}}' for n in range(70)]


def test_what_is_no_json_or_too_deep_is_a_failure(con):
    call = upcast_text(lambda data: data)
    for text in ('{"a":NaN}', '{"a":', "", '{"a":' * 2_000 + "1" + "}" * 2_000):
        with pytest.raises(PayloadError):
            call.apply(text)
    assert in_sql(con, call, ["[" * 300 + "]" * 300]) == ["[" * 300 + "]" * 300]


def test_megabytes_are_kept():
    text = json.dumps({"a": "é" * 5_000_000, "b": 1.5})
    assert upcast_text(lambda data: {**data, "c": 1}).apply(text) == text[:-1] + ', "c": 1}'


def test_an_executor_gives_the_same(con):
    def function(data):
        return {**data, "twice": 2 * data["n"]}

    texts = [json.dumps({"n": n}) for n in range(5_000)] + ['{"m":1}', None]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        found = in_sql(con, upcast_text(function, executor=executor), texts)
    assert found == in_sql(con, upcast_text(function), texts)
    assert found[-2:] == ["!KeyError: 'n'", None]


def test_a_function_that_cannot_be_sent_and_no_executor_are_refused_at_once(con):
    with ProcessPoolExecutor(1) as executor, pytest.raises(EsbenchError, match="cannot be sent"):
        upcast_text(lambda data: con.sql("select 1"), executor=executor)
    with pytest.raises(EsbenchError, match="Executor"):
        upcast_text(lambda data: data, executor=object())  # type: ignore[arg-type]


def test_a_call_says_what_it_calls():
    assert repr(upcast_text(json.dumps)) == "call dumps"

"""Edits of JSON text: exact where they touch, byte for byte elsewhere, and the same in SQL as in Python."""

from __future__ import annotations

import gc
import json
import threading
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esbench.payload import PayloadError, check, edits, encode
from esbench.payload.edits import Add, Combine, Convert, Copy, Many, Move, Remove, Rename, Replace, SplitValue
from esbench.payload.numbers import retype, scaled
from tests.json_texts import SPACES, VALUES
from tests.payload.oracle import Fail, agrees, edited, tree, upper

NAMES = ["a", "b", "c", "a_b", "0", "1", "", "a/b", "a~b", 'a"b', 'x"a', "é", "\n", "%", "'", "$.a", "a b", "-", "😀"]
STEPS = st.one_of(st.sampled_from(["a", "b", "c", "a", "b", "*"]), st.sampled_from(NAMES))


def written(name: str, style: int) -> str:
    """A key in one of its spellings."""
    if style == 2:
        return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in name) + '"'
    return json.dumps(name, ensure_ascii=style == 1)


KEYS = st.builds(
    written, st.one_of(st.sampled_from(["a", "b", "c"]), st.sampled_from(NAMES)), st.sampled_from([0, 0, 0, 0, 1, 2])
)


def _odd(members: list[tuple[str, str]], one: str, other: str) -> str:
    return "{" + ",".join(f"{one}{key}{other}:{one}{raw}{other}" for key, raw in members) + one + "}"


def _containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects and arrays as encoders write them, and with space in odd places."""
    usual = st.sampled_from([(",", ":"), (",", ":"), (", ", ": "), (",\n  ", ": ")])
    members = st.lists(st.tuples(KEYS, values), max_size=4)
    return st.one_of(
        st.builds(lambda m, s: "{" + s[0].join(k + s[1] + v for k, v in m) + "}", members, usual),
        st.builds(lambda m, s: "{" + s[0].join(k + s[1] + v for k, v in m) + "}", members, usual),
        st.builds(lambda v, s: "[" + s[0].join(v) + "]", st.lists(values, max_size=3), usual),
        st.builds(
            lambda m, a, b: "{" + ",".join(a + k + b + ":" + a + v + b for k, v in m) + a + "}", members, SPACES, SPACES
        ),
    )


LEAVES = st.one_of(st.sampled_from(["1", "1.10", '"x"', '"\\"a\\":1"', "null", "true", "{}", "[]"]), VALUES)
TEXTS = st.recursive(LEAVES, _containers, max_leaves=10)
OBJECTS = _containers(TEXTS)


def pointer(steps: list[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


PATHS = st.lists(STEPS, min_size=1, max_size=3).map(pointer)
NAMED = st.builds(lambda path, name: path + pointer([name]), PATHS | st.just(""), st.sampled_from(NAMES))
RAWS = st.sampled_from(['"EUR"', "1.10", "null", '{"x": [1, 2]}', '"it\'s"'])


@st.composite
def pairs(draw):
    one, other = draw(NAMED), draw(NAMED)
    stars = one.split("/").count("*")
    filled = ["a" if step == "*" else step for step in other.split("/")[1:]]
    return one, "/" + "/".join(["*"] * stars + filled)


SIMPLE = st.one_of(
    st.builds(Add, NAMED, RAWS, replace=st.booleans()),
    st.builds(Remove, PATHS),
    st.builds(Rename, NAMED, st.sampled_from(NAMES)),
    st.builds(Replace, PATHS, RAWS),
    st.builds(Convert, PATHS, st.just(upper)),
    pairs().map(lambda pair: Move(*pair)),
    pairs().map(lambda pair: Copy(*pair)),
)
EDITS = SIMPLE | st.builds(Many, st.lists(SIMPLE, max_size=3))


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        edits.register(con)
        yield con


def in_sql(con, edit, texts, kind="json"):
    query = f"select {edits.sql(edit, 't')} from (select unnest($texts::varchar[])::{kind}) u(t)"
    return [new for (new,) in con.sql(query, params={"texts": texts}).fetchall()]


def in_python(edit, text):
    try:
        return edit.apply(text)
    except PayloadError as error:
        return f"!{error}"


@given(OBJECTS | TEXTS, SIMPLE)
@example('{"a":1,"\\u0061":2}', Remove("/a"))
@example('{"b":{"a":1},"x\\"a":2}', Remove("/b/a"))
def test_apply_does_what_an_edit_by_hand_does_and_touches_nothing_else(text, edit):
    if check(text) is not None:
        with pytest.raises(PayloadError):
            edit.apply(text)
        return
    try:
        expected = edited(text, edit)
    except Fail:
        with pytest.raises(PayloadError) as caught:
            edit.apply(text)
        assert str(caught.value)
        return
    done = edit.apply(text)
    assert check(done) is None
    assert agrees(tree(done), expected)
    if expected.raw is not None:
        assert done == text


@given(st.lists(OBJECTS | TEXTS, min_size=1, max_size=8), EDITS)
@example(['{"b":{"a":1},"x\\"a":2}', '{"a":1,"a":2}', '{"b":1,"a":2,"a":2}'], Remove("/a"))
@example(['{"b":1}', '{"b":{"a":1}}', '{"b":{}}', '{"b":{"c":1},"b":{}}', "{}"], Add("/b/a", "1"))
@example(['{"a":1}', '{"a":{"b":1}}', '{"a":1,"b":{"c":1}}', '{"a":1,"b":[]}'], Move("/a", "/b/a"))
def test_sql_and_python_agree(con, texts, edit):
    texts = [text for text in texts if check(text) is None]
    expected = [in_python(edit, text) for text in texts]
    assert in_sql(con, edit, [*texts, None]) == [*expected, None]
    assert in_sql(con, edit, texts, "varchar") == expected


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.lists(SIMPLE, max_size=3))
def test_many_at_once_are_one_after_another(texts, several):
    for text in texts:
        expected = text
        for edit in several:
            expected = in_python(edit, expected) if not expected.startswith("!") else expected
        if check(text) is None:
            assert in_python(Many(several), text) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_hostile_names_are_only_names(con, name, separators):
    text = json.dumps({'x"': 1, name: {"é": "1.10", name: [1, {name: 2}]}}, separators=separators)
    path = pointer([name])
    for edit in (Remove(path), Rename(path, "new"), Replace(path, "0"), Add(path + path, "0", replace=True),
                 Add(path + "/new", "0"), Move(path, "/new/deep"), Rename(path, 'q"')):  # fmt: skip
        done = edit.apply(text)
        assert agrees(tree(done), edited(text, edit))
        assert in_sql(con, edit, [text]) == [done]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2, "c": 0}'),
        ('{"a":1}', '{"a":1,"c":0}'),
        ('{"a": 1}', '{"a": 1, "c": 0}'),
        ("{}", '{"c":0}'),
        ('{\n  "a": 1,\n  "b": 2\n}\n', '{\n  "a": 1,\n  "b": 2,\n  "c": 0\n}\n'),
        ('{\n  "a": 1\n}', '{\n  "a": 1,\n  "c": 0\n}'),
    ],
)
def test_a_new_member_is_spaced_as_the_others_are(text, expected):
    assert Add("/c", "0").apply(text) == expected


@pytest.mark.parametrize("depth", [300, 2_000])
def test_deep_nesting_is_no_obstacle(con, depth):
    deep = '{"a":' * depth + "1.10" + "}" * depth
    other = "[" * depth + "]" * depth
    text = f'{{"x": {other},"d":{deep}}}'
    path = "/d" + "/a" * depth
    for edit in (Replace(path, "2"), Add("/n", "1"), Remove("/x")):
        done = edit.apply(text)
        assert in_sql(con, edit, [text]) == [done]
    assert Replace(path, "2").apply(text) == text.replace("1.10", "2")
    assert Remove("/x").apply(text) == f'{{"d":{deep}}}'
    made = Add("/m" * depth, "1").apply("{}")
    assert made == '{"m":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_megabytes_in_a_string_are_kept(con, separators):
    text = json.dumps({"a": '"b":' * 1_000_000, "b": 1.5}, separators=separators)
    for edit in (Remove("/b"), Add("/c", "1"), Rename("/a", "z"), Replace("/b", "1.50")):
        done = edit.apply(text)
        assert '\\"b\\":' * 1_000_000 in done
        assert in_sql(con, edit, [text]) == [done]


def test_several_values_become_one_and_one_becomes_several():
    name = Combine(["/first", "/last"], "/name", lambda raws: encode(" ".join(json.loads(raw) for raw in raws if raw)))
    assert name.apply('{"first": "Ada", "born": 1815, "last": "L"}') == '{"born": 1815, "name": "Ada L"}'
    assert name.apply('{"last":"L"}') == '{"name":"L"}'
    assert name.apply('{"born":1815.0}') == '{"born":1815.0}'
    back = SplitValue("/name", ["/name", "/by/last"], lambda raw: [encode(part) for part in json.loads(raw).split()])
    assert back.apply('{"name":"Ada L","n":1.0}') == '{"name":"Ada","n":1.0,"by":{"last":"L"}}'
    each = SplitValue("/lines/*/v", ["/lines/*/n", "/lines/*/u"], lambda raw: [json.loads(raw)[0], None], keep=True)
    assert (
        each.apply('{"lines": [{"v": "1x"}, {"v": "2y"}]}') == '{"lines": [{"v": "1x", "n": 1}, {"v": "2y", "n": 2}]}'
    )
    with pytest.raises(PayloadError, match="must give 2"):
        SplitValue("/v", ["/n", "/u"], lambda raw: [raw]).apply('{"v": 1}')
    with pytest.raises(PayloadError, match="already"):
        name.apply('{"first": "Ada", "name": 1}')


@pytest.mark.parametrize(
    ("edit", "text", "reason"),
    [
        (Add("/a/b", "1"), '{"a": 1}', "/a is no object"),
        (Add("/a", "1"), "[]", "an array"),
        (Add("/a", "1"), "1", "no object"),
        (Remove("/a"), '{"a":1,"a":1}', '"a" stands twice'),
        (Rename("/a", "b"), '{"a":1,"b":1}', '"b" is there already'),
        (Rename("/a/0", "b"), '{"a":[1]}', "no name"),
        (Move("/a", "/b"), '{"a":1,"b":1}', "/b is there already"),
        (Move("/a/0", "/b"), '{"a":[1]}', "item of an array"),
        (Copy("/a", "/b/c"), '{"a":1,"b":"x"}', "/b is no object"),
        (Convert("/a", lambda raw: 1 / 0), '{"a":1}', "ZeroDivisionError"),  # type: ignore[arg-type, return-value]
        (Convert("/a", lambda raw: "{"), '{"a":1}', "must give JSON"),
        (Convert("/a", lambda raw: 7), '{"a":1}', "not int"),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_failure_says_why(con, edit, text, reason):
    with pytest.raises(PayloadError) as caught:
        edit.apply(text)
    assert reason in str(caught.value)
    assert in_sql(con, edit, [text]) == [f"!{caught.value}"]


def test_what_is_no_json_is_a_failure(con):
    for text in ("", "{", '{"a":1,}', '{"a":1} x', '{"a":"\t"}'):
        for edit in (Remove("/a"), Add("/b", "1"), Replace("/a", "2")):
            expected = in_python(edit, text)
            assert expected.startswith("!")
            # A text that the engine proves to lack the member comes out as it is, whatever else it may be.
            assert in_sql(con, edit, [text], "varchar") in ([expected], [text])
    with pytest.raises(PayloadError, match="NaN is not JSON"):
        Remove("/a").apply('{"a":NaN}')


def test_a_reason_that_no_database_keeps_still_arrives(con):
    def function(raw):
        raise ValueError("\ud800")

    (found,) = in_sql(con, Convert("/a", function), ['{"a":1}'])
    assert found.startswith("!/a: ValueError")


def test_convert_leaves_a_value_for_which_the_function_gives_none():
    assert Convert("/a", lambda raw: None).apply('{"a" : 1.10}') == '{"a" : 1.10}'


@pytest.mark.parametrize(
    "make",
    [
        lambda: Remove("a"),
        lambda: Remove(""),
        lambda: Remove("/~"),
        lambda: Add("/*", "1"),
        lambda: Add("/a", "NaN"),
        lambda: Replace("/a", ""),
        lambda: Move("/a/*/b", "/c"),
        lambda: Rename("/a/*", "b"),
    ],
)
def test_what_is_no_edit_is_refused_when_it_is_made(make):
    with pytest.raises(PayloadError):
        make()


def test_a_failure_is_handed_on_and_expressions_nest(con):
    first, second = Rename("/a", "b"), Add("/c", "1")
    query = f"select {edits.sql(second, edits.sql(first, 't'))} from (select unnest($texts)) u(t)"
    texts = ['{"a":1}', '{"a":1,"b":2}', '{"a": 1}', None]
    assert con.sql(query, params={"texts": texts}).fetchall() == [
        ('{"b":1,"c":1}',),
        ('!"b" is there already',),
        ('{"b": 1, "c": 1}',),
        (None,),
    ]


def test_registering_again_is_harmless_from_any_thread_and_after_a_rollback():
    with duckdb.connect() as con:
        con.begin()
        edits.register(con)
        con.rollback()
        failed = []

        def again():
            try:
                edits.register(con.cursor())
            except Exception as error:  # noqa: BLE001
                failed.append(error)

        threads = [threading.Thread(target=again) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        edits.register(con)
        assert not failed
        edit = Remove("/a")
        assert con.cursor().sql(f"select {edits.sql(edit, 't')} from (select '{{\"a\": 1}}') u(t)").fetchall() == [
            ("{}",)
        ]


def test_sql_of_an_edit_that_is_gone_is_refused(con):
    edit = Convert("/a", upper)
    same = edits.sql(edit, "t")
    assert edits.sql(edit, "t") == same
    del edit
    gc.collect()
    with pytest.raises(duckdb.Error, match="is gone"):
        con.sql(f'select {same} from (select \'{{"a":"b"}}\') u(t)').fetchall()


def test_an_edit_is_a_value_that_reads_as_part_of_a_sentence():
    assert Add("/a", "1") == Add("/a", "1")
    assert hash(Many([Remove("/a")])) == hash(Many([Remove("/a")]))
    said = repr(Many([Add("/a", '"EUR"'), Remove("/b"), Convert("/c", retype("integer")), Move("/x", "/y")]))
    assert said == 'add /a ("EUR"), then remove /b, then convert /c by retype("integer"), then move /x to /y'


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("integer", '"7"', "7"), ("integer", "7.0", "7"), ("integer", "1e3", "1000"), ("integer", '"7.6"', None),
        ("integer", "18446744073709551616", "18446744073709551616"), ("integer", "true", None),
        ("integer", "1e999999999", None), ("integer", '" 7"', None), ("integer", "[1]", None), ("integer", '""', None),
        ("text", "1.10", '"1.10"'), ("text", "true", '"true"'), ("text", '"\\u0061"', '"\\u0061"'),
        ("text", "{}", None),
        ("decimal", '"1.10"', "1.10"), ("decimal", '"+1"', None), ("decimal", "1", "1"),
        ("boolean", '"false"', "false"), ("boolean", "1", "true"), ("boolean", "2", None), ("boolean", '"yes"', None),
    ],
)  # fmt: skip
def test_retype_loses_nothing(kind, raw, expected):
    if expected is None:
        with pytest.raises(PayloadError):
            retype(kind)(raw)
    else:
        assert retype(kind)(raw) == expected
    assert retype(kind)("null") is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20),
       st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-1000, max_value=1000))  # fmt: skip
def test_scaled_is_exact(number, factor):
    raw = f"{number:f}"
    done = scaled(factor)(raw)
    assert done is not None
    assert Fraction(done) == Fraction(number) * Fraction(factor)
    assert check(done) is None


def test_scaled_keeps_no_float_and_refuses_what_has_no_end():
    assert scaled(100)("1.10") == "110"
    for factor, raw in ((Fraction(1, 3), "1"), (2, '"1"'), (2, "1e400000")):
        with pytest.raises(PayloadError):
            scaled(factor)(raw)
    for bad in (1.5, True, Decimal("NaN")):
        with pytest.raises(PayloadError):
            scaled(bad)  # type: ignore[arg-type]

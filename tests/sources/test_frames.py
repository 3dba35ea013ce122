"""Frames: rows of a DataFrame, an Arrow table or a relation, typed as they are, payloads exact."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import payload
from esbench.errors import SourceError
from esbench.event import quote

BASE: dict[str, list[Any]] = {"stream_id": ["a", "a"], "version": [1, 2], "event_type": ["Made", "Sold"]}


@pytest.fixture
def bench():
    with es.open() as opened:
        yield opened


def data_texts(log):
    return [event.data_text for event in log]


def test_a_data_frame_an_arrow_table_a_reader_and_a_relation_give_the_same(bench):
    frame = pd.DataFrame({**BASE, "data": ['{"n":1.10}', None]})
    table = pa.Table.from_pandas(frame)
    with duckdb.connect() as other:
        sources = {
            "frame": frame,
            "table": table,
            "reader": table.to_reader(),
            "relation": bench.con.from_arrow(table),
            "foreign": other.from_arrow(table),
        }
        logs = {name: list(bench.load(source, name)) for name, source in sources.items()}
    assert logs["frame"][0].data_text == '{"n":1.10}'
    assert all(events == logs["frame"] for events in logs.values())


def test_a_relation_over_a_log_of_the_same_bench_is_loaded(bench):
    first = bench.load(pd.DataFrame(BASE), "first")
    second = bench.load(first.relation, "second")
    assert list(first) == list(second)


def test_a_long_relation_keeps_its_order(bench):
    relation = bench.con.sql("select 's' as stream_id, i as version, 'T' as event_type from range(300_000) t(i)")
    log = bench.load(relation, "long")
    assert log.sql("select count(*) as n from events where position <> version + 1")["n"].tolist() == [0]
    assert log.facts.positions == "lines"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text("xyz", max_size=2), VALUES, max_size=3) | st.none(), min_size=1, max_size=5))
def test_python_payloads_come_back_as_they_were(values):
    frame = pd.DataFrame({"stream_id": "a", "version": range(len(values)), "event_type": "T"})
    frame["data"] = pd.Series(values, dtype=object)
    with es.open() as bench:
        assert [event.data for event in bench.load(frame, "x")] == values


def test_objects_lists_and_missing_values_may_stand_side_by_side(bench):
    values = [{"n": 1, "s": "x"}, [1, "1"], None, math.nan, '{"n":1.10}', 7, True, Decimal("1.10"), pd.NA]
    frame = pd.DataFrame({"stream_id": "a", "version": range(9), "event_type": "T"})
    frame["data"] = pd.Series(values, dtype=object)
    texts = ['{"n":1,"s":"x"}', '[1,"1"]', None, None, '{"n":1.10}', "7", "true", "1.10", None]
    assert data_texts(bench.load(frame, "x")) == texts


@pytest.mark.parametrize("value", [math.nan, pd.Timestamp("2024-06-07"), object(), "\ud800"])
def test_a_payload_that_json_cannot_carry_rejects_its_row(bench, value):
    frame = pd.DataFrame({**BASE, "data": pd.Series([{"n": 1}, {"n": value}], dtype=object)})
    log = bench.load(frame, "x")
    assert data_texts(log) == ['{"n":1}']
    ((version, reason, raw),) = log.rejects[["version", "reason", "raw"]].values.tolist()
    assert version == 2
    assert reason.startswith('"data" holds a dict that is not a JSON value: ')
    assert json.loads(raw)["data"] == ascii({"n": value})
    with pytest.raises(SourceError, match='record 2: "data" holds a dict that is not'):
        bench.load(frame, "strict", strict=True)


def test_typed_payloads_become_json_with_their_numbers_exact(bench):
    rows = [{"n": 1, "d": Decimal("1.10"), "big": 2**62, "s": "1"}, None]
    log = bench.load(pa.table({**BASE, "data": rows, "metadata": [[1, 2], []]}), "x")
    assert data_texts(log) == ['{"n":1,"d":1.1,"big":4611686018427387904,"s":"1"}', None]
    assert [event.metadata for event in log] == [[1, 2], []]
    assert any("its JSON text was made by the loader" in note for note in log.facts.notes)


def test_payload_text_is_judged_strictly(bench):
    texts = ['{"n":1}', '{"n":NaN}', "[1,]", "{", '"\\ud800"', "x", '{"a":1,"a":2}', " [1] ", "1e400", "-0"]
    frame = pd.DataFrame({"stream_id": "a", "version": range(10), "event_type": "T", "data": texts})
    log = bench.load(frame, "text")
    assert data_texts(log) == [text for text in texts if payload.check(text) is None]
    assert len(log) + len(log.rejects) == len(texts)


def test_what_the_engine_takes_for_json_is_judged_as_well(bench):
    texts = ['{"n":1}', '{"n":NaN}', "[1,]"]
    relation = bench.con.sql(
        "select 'a' as stream_id, 'T' as event_type, unnest($texts)::json as data", params={"texts": texts}
    )
    log = bench.load(relation, "json")
    assert data_texts(log) == texts[:1]
    assert log.rejects["reason"].str.contains("is not JSON").all()


def test_a_record_that_is_wrong_twice_is_one_reject(bench):
    log = bench.load(pd.DataFrame({**BASE, "data": ["{", "1"], "metadata": ["}", "1"]}), "x")
    assert (len(log), len(log.rejects)) == (1, 1)


def test_bytes_are_text_where_they_are_utf_8(bench):
    log = bench.load(pa.table({**BASE, "stream_id": [b"\xff", "é".encode()], "data": [b"1", b"{}"]}), "x")
    assert [(event.stream_id, event.data_text) for event in log] == [("é", "{}")]
    assert log.rejects["reason"].tolist() == ['"stream_id" is not UTF-8: "\\xFF"']


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_nanoseconds_are_cut_and_the_load_says_so(bench, zone):
    times = pd.Series(pd.to_datetime(["2024-06-07T12:00:00.123456789", "1960-06-07T12:00:00.000000001"]))
    times = times.dt.tz_localize(zone) if zone else times
    frame = pd.DataFrame({**BASE, "recorded_at": times})
    for name, source in (("pandas", frame), ("arrow", pa.Table.from_pandas(frame))):
        log = bench.load(source, name)
        expected = pd.to_datetime(times.dt.floor("us"), utc=True).tolist()
        assert [pd.Timestamp(event.recorded_at) for event in log] == expected
        assert '"recorded_at" is finer than microseconds in 2 records: cut' in log.facts.notes


def test_missing_times_are_none(bench):
    times = pd.Series(pd.to_datetime(["2024-06-07", "NaT"]))
    log = bench.load(pd.DataFrame({**BASE, "recorded_at": times}), "x")
    assert [event.recorded_at is None for event in log] == [False, True]


def test_categories_and_missing_integers_are_read(bench):
    frame = pd.DataFrame({"stream_id": ["a", "b", "a"], "version": [1, 1, None], "event_type": "T"})
    frame["stream_id"] = frame["stream_id"].astype("category")
    log = bench.load(frame, "x")
    assert [(event.stream_id, event.version) for event in log] == [("a", 1), ("b", 1)]
    assert log.rejects["reason"].tolist() == ['"version" is missing']


def test_an_index_is_left_out(bench):
    frame = pd.DataFrame(BASE, index=pd.Index(["x", "x"], name="event_id"))
    assert [event.event_id for event in bench.load(frame, "x")] == [None, None]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (pd.DataFrame(), "no columns"),
        (pa.table({}), "no columns"),
        (pd.DataFrame({name: [] for name in BASE}), "no rows: nothing to load"),
        (pa.table(BASE).slice(2), "no rows: nothing to load"),
        (pd.DataFrame([["a", 1, "T", 2]], columns=[*BASE, "version"]), "two columns for one name: 'version'"),
        (pa.table([pa.array([1]), pa.array([1])], names=["x", "x"]), "two columns for one name: 'x'"),
        (pd.DataFrame({**BASE, "version": ["seven", 7]}, dtype=object), 'column "version" of the DataFrame has mixed'),
        (pd.DataFrame({"event_type": ["T"]}), 'no column for "stream_id" among event_type'),
        (pd.DataFrame({"n": [1]}), 'no column for "stream_id" among n: name it with'),
    ],
)
def test_frames_that_cannot_be_loaded_are_answered_with_why(bench, source, said):
    with pytest.raises(SourceError) as raised:
        bench.load(source, "x")
    assert said in str(raised.value)
    assert bench.logs().empty


HOSTILE = [
    *("record", "problem", "reason", "stream_key", "source", "line", "raw", "first", "last", "is_new", "rowid"),
    *("$record", "$problem", "$why", "f0", 'a"b', "it's", "select", "", "A", "a", "ünï 🦆", "x\ny", "1", "from x; --"),
]


def test_names_of_other_columns_may_be_anything(bench):
    columns = {**BASE, **{name: [n, n] for n, name in enumerate(HOSTILE)}, "data": ["{", "{}"]}
    for kind, source in (("pandas", pd.DataFrame(columns)), ("arrow", pa.table(columns))):
        log = bench.load(source, kind)
        assert (len(log), len(log.rejects)) == (1, 1)
        assert json.loads(log.rejects["raw"][0])['a"b'] == HOSTILE.index('a"b')


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.startswith(("$record", "$problem"))])
def test_names_of_columns_that_are_read_may_be_anything(bench, name):
    if not name:
        with pytest.raises(SourceError, match="a field without a name"):
            bench.load(pd.DataFrame({**BASE, "": 1}), "x", columns={"data": ""})
        return
    columns = {"a b": ["x", "y"], "version": [1, 1], "event_type": ["T", "T"], name: ['{"n":1}', "{"]}
    for given_columns in ({"data": name}, {"data": f"{quote(name)} || ''"}):
        mapped = {"stream_id": "a b", **given_columns}
        log = bench.load(pd.DataFrame(columns), f"log {len(bench.logs())}", columns=mapped)
        assert data_texts(log) == ['{"n":1}']
        assert log.rejects[["stream_id", "version"]].values.tolist() == [["y", 1]]


def test_columns_that_differ_in_case_only_are_refused_where_both_are_read(bench):
    with pytest.raises(SourceError, match="differ in case only: 'data'"):
        bench.load(pd.DataFrame({**BASE, "data": [1, 1], "Data": [1, 1]}), "x", columns={"metadata": "Data"})

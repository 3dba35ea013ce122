from __future__ import annotations

import json
from collections import Counter

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import look
from esbench.errors import AggregateError
from esbench.events import Events
from tests.conftest import ROOT

EVENTS = [
    # stream, version, type, schema, time, data, metadata
    ("b", 1, "Made", 1, "2024-01-01T10:00:00Z", '{"name":"caf\\u00e9","n":9007199254740993}', '{"user":"zoë"}'),
    ("a", 2, "Sold", None, "2024-01-02T10:00:00Z", '{"price": 1.10, "to/from": ["x", {"a~b": "order 4711"}]}', None),
    ("a", 1, "Made", 1, "2024-01-03T10:00:00Z", '{"id":"4711","id":"twice"}', '{"ok":true,"none":null}'),
    ("a", 2, "Made", 2, None, '"4711"', "{}"),
    ("b", 2, "Sold", None, "2024-01-05T10:00:00Z", None, '{"say":"\\"hi\\" \\/ \\u0061bc"}'),
]


@pytest.fixture(scope="module")
def log() -> es.Log:
    names = ["stream_id", "version", "event_type", "schema_version", "recorded_at", "data", "metadata"]
    rows = pd.DataFrame(EVENTS, columns=names).astype({"schema_version": "Int64"})
    rows["event_id"] = [f"id-{n}" for n in range(len(rows))]
    return es.open().load(rows, name="made")


def places(log: es.Log, value: object, **options: int) -> list[tuple[str, str | None, str]]:
    found = log.find(value, **options)
    return [
        (row["place"], row["path"] if isinstance(row["path"], str) else None, row["value"])
        for row in found.to_dict("records")
    ]


def test_streams_say_how_many_events_and_from_where_to_where(log):
    found = log.streams().set_index("stream_id")
    assert list(found.index) == ["b", "a"]  # in order of their first events
    for stream in "ab":
        own = [(position, event) for position, event in enumerate(EVENTS, start=1) if event[0] == stream]
        row = found.loc[stream]
        assert row["events"] == len(own)
        assert (row["first_version"], row["last_version"]) == (1, 2)
        assert (row["first_position"], row["last_position"]) == (own[0][0], own[-1][0])
        times = sorted(pd.Timestamp(event[4]) for _, event in own if event[4])
        assert (row["first_recorded_at"], row["last_recorded_at"]) == (times[0], times[-1])


def test_types_are_counted_by_schema_version_commonest_first(log):
    rows = log.types().astype(object).where(lambda frame: frame.notna(), None).to_dict("records")
    counted = Counter((event[2], event[3]) for event in EVENTS)
    assert {(row["event_type"], row["schema_version"]): row["events"] for row in rows} == counted
    assert [row["events"] for row in rows] == sorted(counted.values(), reverse=True)
    assert {(row["event_type"], row["schema_version"]): row["streams"] for row in rows} == {
        key: len({event[0] for event in EVENTS if (event[2], event[3]) == key}) for key in counted
    }


def test_events_of_a_log_come_by_position_and_those_of_a_stream_by_version(log):
    assert log.events()["position"].tolist() == [1, 2, 3, 4, 5]
    assert log.events("a")["position"].tolist() == [3, 2, 4]
    assert log.events("a", version=1)["position"].tolist() == [3]
    assert log.events("a", as_of="2024-01-02T10:00Z")["position"].tolist() == [2]
    assert log.events(position=3)["position"].tolist() == [1, 2, 3]
    assert log.events(last=2)["position"].tolist() == [4, 5]
    assert log.events("a", last=2)["position"].tolist() == [2, 4]
    assert log.events("a", version=0).empty


def test_events_keep_their_payload_as_text(log):
    assert [None if pd.isna(text) else text for text in log.events()["data"]] == [event[5] for event in EVENTS]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("café", [("data", "/name", "café")]),  # stands there as \u00e9
        ("zoë", [("metadata", "/user", "zoë")]),
        (2**53 + 1, [("data", "/n", "9007199254740993")]),
        ("1.10", [("data", "/price", "1.10")]),  # a decoder would make 1.1 of it
        ('"hi" /', [("metadata", "/say", '"hi" / abc')]),
        ("abc", [("metadata", "/say", '"hi" / abc')]),  # its first letter is escaped, which nobody needs to do
        (True, [("metadata", "/ok", "true")]),
        (None, [("metadata", "/none", "null")]),
        ("id-3", [("event_id", None, "id-3")]),
        ("Sol", [("event_type", None, "Sold"), ("event_type", None, "Sold")]),
        ("a~b", [("data name", "/to~1from/1/a~0b", "a~b")]),
        ("to/", [("data name", "/to~1from", "to/from")]),
        ("say", [("metadata name", "/say", "say")]),
        ("twice", [("data", "/id", "twice")]),
        ("nowhere", []),
        ("' or 1=1 --", []),
        ("%", []),
    ],
)
def test_find_says_where_a_value_occurs(log, value, expected):
    assert places(log, value) == expected


def test_find_looks_behind_a_name_that_stands_twice_and_at_whole_texts(log):
    assert places(log, 4711) == [
        ("data", "/id", "4711"),
        ("data", "/to~1from/1/a~0b", "order 4711"),
        ("data", "", "4711"),
    ]


def test_find_comes_in_folding_order_and_stops_at_its_limit(log):
    whole = log.find("")
    assert whole[["stream_id", "version", "position"]].drop_duplicates().values.tolist() == [
        ["b", 1, 1], ["b", 2, 5], ["a", 1, 3], ["a", 2, 2], ["a", 2, 4]
    ]  # fmt: skip
    assert whole.attrs["more"] is False
    some = log.find("", limit=3)
    assert some.attrs["more"] is True
    assert some.equals(whole.head(3)) or places(log, "", limit=3) == places(log, "")[:3]
    assert log.find("", limit=len(whole)).attrs["more"] is False


def test_find_looks_into_a_slice_with_parameters_of_its_own(log):
    chosen = log.source.where("stream_id = $wanted", wanted="a").where("version <= $_find0", _find0=1)
    assert look.find(chosen, "4711")["position"].tolist() == [3]


def test_find_gives_the_whole_payload_where_it_is_nested_too_deep():
    deep = "[" * 3_000 + '"needle"' + "]" * 3_000
    rows = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Made"], "data": [deep]})
    assert places(es.open().load(rows, name="deep"), "needle") == [("data", "", deep)]


leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
tree = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def spelled(value: object, path: str = "") -> list[tuple[str, str | None, str]]:
    """Every leaf and name of a value, the slow and plain way."""
    if isinstance(value, dict):
        found = []
        for name, inner in value.items():
            below = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            found += [("data name", below, name), *spelled(inner, below)]
        return found
    if isinstance(value, list):
        return [one for n, inner in enumerate(value) for one in spelled(inner, f"{path}/{n}")]
    return [("data", path, value if isinstance(value, str) else json.dumps(value))]


@given(tree, st.booleans(), st.text(max_size=3))
def test_find_agrees_with_plain_python(value, in_ascii, wanted):
    con = duckdb.connect()
    text = json.dumps(value, ensure_ascii=in_ascii)
    row = "select 1 as stream_key, 's'::varchar as stream_id, 1 as version, 1 as position, 't' as event_type"
    query = f"{row}, null::varchar as event_id, $data::json as data, null::json as metadata"
    found = look.find(Events(con, query, parameters={"data": text}), wanted)
    inside = found[found["place"].isin(["data", "data name"])]
    expected = [one for one in spelled(value) if wanted in one[2]]
    assert sorted(zip(inside["place"], inside["path"], inside["value"], strict=True)) == sorted(expected)
    con.close()


def test_find_on_the_samples_finds_an_order_in_payment_and_customer_events():
    orders = es.open().load(ROOT / "data" / "orders.jsonl.gz")
    some = str(orders.sql("select stream_id from events where stream_type = 'Order' limit 1")["stream_id"][0])
    expected = orders.sql(
        "select position from events where contains(concat_ws(' ', stream_id, data, metadata), $s)", s=some
    )
    assert set(orders.find(some)["position"]) == set(expected["position"])


def test_streams_are_found_among_those_that_an_aggregate_covers():
    rows = pd.DataFrame(
        {
            "stream_id": ["order-1", "Order-2", "cart-1", "order-1", "order-3"],
            "version": [1, 1, 1, 2, 1],
            "event_type": "E",
            "stream_type": ["Order", "Order", "Cart", None, "Cart"],
        }
    )
    log = es.open().load(rows, name="shop")
    found = log.find_streams("order", aggregate=es.Aggregate("Order"), limit=1)
    assert (found["stream_id"].tolist(), found.attrs["of"]) == (["Order-2"], 2)
    assert log.find_streams(aggregate=es.Aggregate("Any", streams="order-*"))["stream_id"].tolist() == [
        "order-1",
        "order-3",
    ]
    branch = log.branch("order-1").drop(2)
    assert branch.find_streams(aggregate=es.Aggregate("Cart"))["stream_id"].tolist() == ["cart-1", "order-3"]
    assert log.find_streams(aggregate=es.Aggregate("All", streams="*")).attrs["of"] == 4
    with pytest.raises(AggregateError):
        log.find_streams(aggregate=es.Aggregate("Nobody"))

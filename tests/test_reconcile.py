"""Reconciling the fold with tables, against a comparison by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.aggregate import Aggregate
from esbench.event import at
from esbench.reconcile import reconcile
from esbench.stored import UNSURE, Table, TableError, mismatch
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row
from tests.test_travel_oracle import FORKS, LAYOUTS, with_type

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.fixture
def con():
    return connect()


CON = connect()


@given(data=st.data(), layout=LAYOUTS, forks=FORKS, form=st.sampled_from(("pandas", "arrow", "relation", "name")))
def test_every_value_is_compared_with_that_of_the_reference(data, layout, forks, form):
    rows = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(rows))
    rules = data.draw(strategies.aggregates())
    coordinate = data.draw(strategies.coordinates(rows))
    states = oracle.states(rows, rules, facts, forks=forks, **coordinate)
    wrong = st.sampled_from((None, None, 0, 1, -4, 3, 99))
    table = [
        {"id": name, "total": state.value["n"] if (other := data.draw(wrong)) is None else other}
        for name, state in states.items()
        if data.draw(st.integers(0, 4)) > 0
    ]
    table += [{"id": name, "total": 0} for name in data.draw(st.sets(st.sampled_from(("none", "a-1", "b-1"))))
              if name not in states]  # fmt: skip
    if not table and not states:
        return
    arrow = pa.table({name: pa.array([row[name] for row in table], kind)
                      for name, kind in (("id", pa.string()), ("total", pa.int64()))})  # fmt: skip
    CON.execute("create or replace table summary as from arrow")
    given_table = {
        "pandas": lambda: arrow.to_pandas(),
        "arrow": lambda: arrow,
        "relation": lambda: CON.table("summary"),
        "name": lambda: "summary",
    }[form]()
    events = events_of(rows, facts, con=CON, layout=layout)
    frame = reconcile(
        events, with_type(rules), given_table, key="id", at=at(**coordinate), columns={"n": "total"}, forks=forks
    )
    stored = {row["id"]: row["total"] for row in table}
    expected: list[tuple[str, str, int | None]] = []
    for name in sorted({*states, *stored}):
        if name not in stored:
            expected.append((name, "missing", None))
        elif name not in states:
            expected.append((name, "extra", None))
        elif states[name].value["n"] != stored[name]:
            selected = oracle.up_to(oracle.streams(rows)[name], **coordinate)
            true = [s.row.version for s in oracle.fold(selected, rules, forks=forks)[1] if s.value["n"] == stored[name]]
            expected.append((name, "different", true[-1] if true else None))
    assert [
        (row["key"], row["problem"], None if pd.isna(row["last_true_version"]) else row["last_true_version"])
        for row in frame.to_dict("records")
    ] == expected
    counts = {problem: [each[1] for each in expected].count(problem) for problem in ("different", "missing", "extra")}
    both = len({*states} & {*stored})
    assert frame.attrs == {
        "streams": len(states), "rows": len(table), "compared": both, "equal": both - counts["different"], **counts,
    }  # fmt: skip


@pytest.fixture
def item() -> Aggregate:
    made = Aggregate("Item", initial={"quantity": 0}, streams="item-*")
    made.on("Added")(lambda state, event: {**state, **event.data})
    return made


LOG = [
    Row(1, "item-1", 1, "Added", '{"quantity":5,"price":1.10,"size":{"cm":9}}', recorded_at=NOON),
    Row(2, "item-1", 2, "Added", '{"quantity":7}', recorded_at=NOON + timedelta(hours=1)),
    Row(3, "item-1", 3, "Seen", "{}", recorded_at=NOON + timedelta(hours=2)),
    Row(4, "item-2", 1, "Added", '{"quantity":5}', recorded_at=NOON + timedelta(hours=3)),
    Row(5, "cart-1", 1, "Added", '{"quantity":5}'),
]


@pytest.fixture
def events(con):
    return events_of(LOG, Facts(base=1), con=con)


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"stream_id": ["item-1", "item-2"], **columns})


def test_stale_value_says_when_it_was_true_for_the_last_time(events, item):
    frame = reconcile(events, item, table(quantity=[5, 6]))
    assert frame.drop(columns="note").astype(object).values.tolist() == [
        ["item-1", "different", "quantity", 7, 5, 1, pd.Timestamp(NOON)],
        ["item-2", "different", "quantity", 5, 6, pd.NA, pd.NaT],
    ]
    assert reconcile(events, item, table(quantity=[7, 0]))["note"].tolist() == ["as before the first event"]
    assert reconcile(events, item, table(quantity=[5, 5]), at=at(version=1)).empty


def test_unchanged_events_keep_a_value_true(events, item):
    item.on("Sold")(lambda state, event: {**state, "quantity": 0})
    more = [*LOG, Row(6, "item-1", 4, "Sold", "{}")]
    frame = reconcile(events_of(more, Facts(base=1), con=events.con), item, table(quantity=[7, 5]))
    assert frame["last_true_version"].tolist() == [3]


def test_keys_of_one_side_are_told_with_the_reason(events, item):
    given_table = pd.DataFrame({"stream_id": ["item-2", "cart-1", "item-9"], "quantity": [5, 5, 5]})
    frame = reconcile(events, item, given_table)
    assert frame[["key", "problem", "note"]].values.tolist() == [
        ["cart-1", "extra", "not covered by the aggregate"],
        ["item-1", "missing", ""],
        ["item-9", "extra", "no such stream"],
    ]
    assert frame["expected"][1] == {"quantity": 7, "price": 1.1, "size": {"cm": 9}}
    assert frame["stored"][0] == {"quantity": 5}
    late = reconcile(events, item, table(quantity=[5, 5]), at=at(position=1))
    assert late["note"].tolist() == ["no events at position 1"]


def test_no_rows_mean_that_something_was_compared_and_is_equal(events, item):
    frame = reconcile(events, item, table(quantity=[7, 5]))
    assert frame.empty
    assert frame.attrs == {
        "streams": 2, "rows": 2, "compared": 2, "equal": 2, "different": 0, "missing": 0, "extra": 0,
    }  # fmt: skip
    with pytest.raises(TableError, match="nothing to compare: of the state's fields"):
        reconcile(events, item, table(other=[1, 2]))
    with pytest.raises(TableError, match="nothing to compare: no stream has events at position 0"):
        reconcile(events, item, table(quantity=[1, 2])[:0], at=at(position=0))
    with pytest.raises(TableError, match="nothing to compare"):
        reconcile(events, item, table(quantity=[1, 2]), columns={})


def test_paths_and_whole_states_are_compared_with_their_columns(events, item):
    given_table = table(cm=[9, None], state=['{"size":{"cm":9.0},"quantity":7,"price":1.1}', '{"quantity":5,"x":null}'])
    frame = reconcile(events, item, given_table, columns={"/size/cm": "cm", "": "state"})
    assert frame[["key", "field", "note"]].values.tolist() == [["item-2", "", "at /x: only stored"]]


@dataclass
class Size:
    cm: int


def test_fields_of_dataclasses_are_fields(events):
    item = Aggregate("Item", initial=lambda: Size(0), streams="item-*")
    item.on("Added")(lambda state, event: Size(event.data["quantity"]))
    assert reconcile(events, item, table(cm=[7, 5])).attrs["equal"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "id"}, 'no column "id". It has stream_id, quantity'),
        ({"key": True}, "no column|key=True"),
        ({"columns": ["quantity"]}, "columns= is a dict"),
        ({"columns": {1: "quantity"}}, "columns= is a dict"),
        ({"columns": {"quantity": "quantit"}}, 'no column "quantit".*Did you mean "quantity"'),
        ({"columns": {"quantit": "quantity"}}, 'no state has "quantit".*Did you mean "quantity"'),
        ({"columns": {"/size/mm": "quantity"}}, 'no state has "/size/mm"'),
        ({"tolerances": {"price": 1}}, 'column "price" is not compared'),
        ({"tolerances": {"quantity": -1}}, "not by -1"),
        ({"tolerances": {"quantity": math.nan}}, "not by nan"),
        ({"tolerances": {"quantity": "1"}}, "not by '1'"),
    ],
)
def test_what_cannot_be_compared_is_refused(events, item, options, message):
    with pytest.raises(TableError, match=message):
        reconcile(events, item, table(quantity=[5, 5]), **options)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["item-1", "item-1"], "rows 0 and 1 of the table both have 'item-1'"),
        (["item-1", None], 'row 1 of the table has no stream id in "stream_id"'),
        ([1.5, 2.5], "but 1.5"),
    ],
)
def test_keys_that_are_repeated_or_missing_are_refused(events, item, keys, message):
    with pytest.raises(TableError, match=message):
        reconcile(events, item, pd.DataFrame({"stream_id": keys, "quantity": [1, 2]}))


def test_table_is_a_frame_or_a_name(events, item):
    events.con.execute("create table summaries as select 'item-1' as stream_id, 7 as quantity")
    with pytest.raises(TableError, match=r'no table "summarie".*Did you mean "summaries"'):
        reconcile(events, item, "summarie")
    with pytest.raises(TableError, match="not 7"):
        reconcile(events, item, 7)
    with pytest.raises(TableError, match='2 columns "quantity"'):
        reconcile(events, item, pd.concat([table(quantity=[1, 2]), table(quantity=[1, 2])["quantity"]], axis=1))
    assert reconcile(events, item, "summaries").attrs["missing"] == 1


NAN = float("nan")
EQUAL: list[tuple[Any, Any]] = [
    (5, 5.0), (5, Decimal("5.00")), (2**70, Decimal(2**70)), (1.5, Decimal("1.5")), (np.int64(5), 5),
    (NAN, NAN), (Decimal("NaN"), NAN), (None, None), (None, UNSURE), (NAN, UNSURE), (None, pd.NA), (None, pd.NaT),
    ("a", "a"), (True, True), (np.True_, True), (b"a", b"a"),
    (NOON, NOON.replace(tzinfo=None)), (NOON, pd.Timestamp(NOON)),
    (NOON, NOON.astimezone(timezone(timedelta(hours=5)))),
    ("2024-06-07T12:00:00Z", NOON), ("2024-06-07T14:00:00+02:00", pd.Timestamp(NOON)), ("2024-06-07", date(2024, 6, 7)),
    ([1, 2], "[1, 2.0]"), ((1, 2), [1, 2]), ({"a": None}, {"a": None, "b": None}), ({"a": [1]}, {"a": (1,)}),
    ({1: "a"}, '{"1":"a"}'), (UUID(int=1), str(UUID(int=1))), (Size(3), '{"cm":3}'),
    (Decimal("1e400"), Decimal("1e400")),
]  # fmt: skip
DIFFERENT: list[tuple[Any, Any, str]] = [
    (1, 2, ""), ("a", "b", ""), (True, False, ""), (NOON, NOON + timedelta(microseconds=1), ""),
    ("5", 5, "text against a number"), (5, "5", "a number against text"), (True, 1, "a boolean against a number"),
    (0, None, "a number against nothing"), (None, 0, "nothing against a number"), (0, UNSURE, "a number against NaN"),
    (NAN, None, "a number against nothing"), (NAN, 0, "NaN against a number"), ("", None, "text against nothing"),
    (1.1, Decimal("1.10"), "no float is exactly this: tolerances= says how close is equal"),
    (0.1 + 0.2, Decimal("0.30"), ""), ("noon", NOON, "text against a time"), (NOON, date(2024, 6, 7),
    "a time against a date"), ([1, 2], [1, 2, None], "2 items against 3"), ([1, [2]], "[1,[3]]", "at /1/0"),
    ({"a": 1}, '{"a":"1"}', "at /a: a number against text"),
    ({"a": 1}, "not json", "an object against text that is not JSON"),
    ({"a": None}, "{}", "at /a: only expected"), ({"a": 1}, [1], "an object against a list"),
    (2**53 + 1, float(2**53), ""),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "stored"), EQUAL)
def test_values_that_say_the_same_are_equal(expected, stored):
    assert mismatch(expected, stored) is None


@pytest.mark.parametrize(("expected", "stored", "why"), DIFFERENT)
def test_values_that_do_not_are_different_with_the_reason(expected, stored, why):
    assert mismatch(expected, stored) == why


@given(
    one=st.one_of(st.integers(), st.decimals(allow_nan=False), st.floats(allow_nan=False)),
    other=st.one_of(st.integers(), st.decimals(allow_nan=False), st.floats(allow_nan=False)),
    tolerance=st.decimals(0, 1000, places=2),
)
def test_tolerance_is_the_largest_exact_difference_that_is_equal(one, other, tolerance):
    finite = all(math.isfinite(value) for value in (one, other))
    near = finite and abs(Fraction(one) - Fraction(other)) <= Fraction(tolerance)
    assert (mismatch(one, other, tolerance) is None) == (near or one == other)


def test_tolerance_by_its_text_and_of_times(events, item):
    prices = table(price=pa.array([Decimal("1.11"), None], pa.decimal128(10, 2)).to_pandas())
    assert len(reconcile(events, item, prices, tolerances={"price": 0.001})) == 1
    assert reconcile(events, item, prices, tolerances={"price": 0.011}).empty
    assert mismatch(NOON, NOON + timedelta(seconds=1), timedelta(seconds=1)) is None
    assert mismatch(NOON, NOON + timedelta(seconds=2), timedelta(seconds=1)) == ""
    assert mismatch(Decimal("1e999999"), 1, Decimal(5)) == ""


def test_values_of_the_engine_come_out_exactly():
    con = duckdb.connect()
    relation = con.sql(
        """
        select 170141183460469231731687303715884105727::hugeint as a, 340282366920938463463374607431768211455::uhugeint
            as b, 1.10::decimal(38, 2) as c, null::integer as d, 'nan'::double as e, {'x': 1} as "f""g"
        """
    )
    found = Table(con, relation)
    assert [found.values(name) for name in ("a", "b", "c", "d", 'f"g')] == [
        [2**127 - 1], [2**128 - 1], [Decimal("1.10")], [None], [{"x": 1}],
    ]  # fmt: skip
    assert math.isnan(found.values("e")[0])


ORDERS = [
    Row(1, "o-1", 1, "Added", '{"sku":"a","n":5}', recorded_at=NOON),
    Row(2, "o-2", 1, "Added", '{"sku":"b","n":7}', recorded_at=NOON),
    Row(3, "o-2", 2, "Added", '{"sku":"a","n":1}', recorded_at=NOON + timedelta(hours=1)),
    Row(4, "o-1", 2, "Added", '{"sku":"a","n":2}', recorded_at=NOON + timedelta(days=1)),
    Row(5, "o-3", 1, "Added", '{"n":2}', recorded_at=NOON + timedelta(days=1)),
]
SALES = es.Projection(
    "Sales", {"n": es.total({"Added": es.field("/n")})}, key=(es.field("/sku"), "recorded_at::date as day")
)
FIRST, SECOND = date(2024, 6, 7), date(2024, 6, 8)


@pytest.mark.parametrize("form", ["date", "text", "timestamp", "arrow"])
def test_keys_of_several_parts_are_matched_by_value(con, form):
    events = events_of(ORDERS, Facts(base=1), con=con)
    days: Any = {
        "date": [FIRST, FIRST, FIRST],
        "text": ["2024-06-07"] * 3,
        "timestamp": pd.to_datetime(["2024-06-07"] * 3),
        "arrow": [FIRST, FIRST, FIRST],
    }[form]
    given_table: Any = pd.DataFrame({"item": ["a", "b", "c"], "on": days, "n": [5, 7, 0]})
    if form == "arrow":
        given_table = pa.table({"item": ["a", "b", "c"], "on": pa.array(days, pa.date32()), "n": [5, 7, 0]})
    frame = reconcile(events, SALES, given_table, key=["item", "on"])
    assert frame[["key", "problem", "last_true_position", "note"]].astype(object).values.tolist() == [
        [("a", "2024-06-07"), "different", 1, ""],
        [("a", "2024-06-08"), "missing", pd.NA, ""],
        [("c", "2024-06-07"), "extra", pd.NA, "no such key"],
    ]
    assert list(frame.columns)[5:7] == ["last_true_position", "last_true_at"]
    assert frame.attrs == {
        "keys": 3, "missing_key": 1, "rows": 3, "compared": 2, "equal": 1, "different": 1, "missing": 1, "extra": 1,
    }  # fmt: skip


def test_names_of_the_parts_are_the_columns_unless_told(con):
    events = events_of(ORDERS, Facts(base=1), con=con)
    given_table = pd.DataFrame({"day": [FIRST, FIRST, SECOND], "sku": ["a", "b", "a"], "n": [6, 7, 2]})
    assert reconcile(events, SALES, given_table).empty
    early = reconcile(events, SALES, given_table, at=at(position=3))
    assert early[["key", "problem", "note"]].values.tolist() == [
        [("a", "2024-06-08"), "extra", "no events at position 3"]
    ]


@pytest.mark.parametrize(
    ("key", "columns", "message"),
    [
        ("item", {}, "keyed by sku, day; key= names the columns that hold sku, day, in this order"),
        (["item", "on", "n"], {}, "keyed by sku, day"),
        (["item", "missing"], {}, 'no column "missing"'),
        (
            ["item", "on"],
            {"on": ["2024-06-07", "soon"]},
            r"row 1 of the table has no key \(date\) in \"on\", but 'soon'",
        ),
        (["item", "on"], {"on": [NOON, NOON]}, r"row 0 of the table has no key \(date\)"),
        (["item", "on"], {"on": ["2024-06-07", None]}, "row 1 .* but nan"),
        (["item", "on"], {"item": ["a", 1.5]}, r"row 1 of the table has no key \(varchar\) in \"item\", but 1.5"),
        (["item", "on"], {"item": ["a", "a"]}, "rows 0 and 1 of the table both have"),
    ],
)
def test_keys_that_do_not_fit_the_read_model_are_refused(con, key, columns, message):
    events = events_of(ORDERS, Facts(base=1), con=con)
    usual = {"item": ["a", "b"], "on": [FIRST, FIRST], "n": [5, 7]}
    with pytest.raises(TableError, match=message):
        reconcile(events, SALES, pd.DataFrame({**usual, **columns}), key=key)


@pytest.mark.parametrize(
    ("part", "stored", "good"),
    [
        ("version", 2, True),
        ("version", 2.0, True),
        ("version", "2", True),
        ("version", 2.5, False),
        ("version", True, False),
        ("version = 2", True, True),
        ("version = 2", "true", True),
        ("version = 2", 1, False),
        ("(version * 1.25)::decimal(9, 2)", Decimal("2.5"), True),
        ("(version * 1.25)::decimal(9, 2)", Decimal("2.501"), False),
        ("version * 1.25::double", 2.5, True),
        ("recorded_at", NOON + timedelta(hours=1), True),
        ("recorded_at", (NOON + timedelta(hours=1)).replace(tzinfo=None), True),
        ("recorded_at", "2024-06-07T15:00:00+02:00", True),
        ("recorded_at::timestamp", (NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5))), True),
        ("recorded_at", "noon", False),
        ("stream_id", 7, True),
        ("recorded_at::date::varchar", FIRST, True),
    ],
)
def test_part_of_a_key_takes_what_says_its_value(con, part, stored, good):
    rows = [Row(1, "7", 2, "Added", '{"n":1}', recorded_at=NOON + timedelta(hours=1))]
    model = es.Projection("Any", {"n": es.total({"Added": es.field("/n")})}, key=f"{part} as part")
    given_table = pd.DataFrame({"part": pd.Series([stored], dtype="object"), "n": [1]})
    events = events_of(rows, Facts(base=1), con=con)
    if good:
        assert reconcile(events, model, given_table).attrs["equal"] == 1
    else:
        with pytest.raises(TableError, match="row 0 of the table has no key"):
            reconcile(events, model, given_table)


@given(data=st.data(), layout=LAYOUTS)
def test_rows_of_a_read_model_are_compared_with_a_plain_fold_by_position(data, layout):
    rows = data.draw(strategies.logs())
    upto = data.draw(st.sampled_from(rows)).position
    model = es.Projection("Any", {"n": es.count("Added", "Taken")}, key=("event_type", "version % 2 as odd"))
    every: dict[Any, list[int]] = {}
    for row in oracle.position_order(rows):
        if row.event_type in ("Added", "Taken") and row.position <= upto:
            every.setdefault((row.event_type, str(int(math.fmod(row.version, 2)))), []).append(row.position)
    stored = {key: data.draw(st.integers(0, len(places) + 1)) for key, places in every.items()
              if data.draw(st.integers(0, 3))}  # fmt: skip
    if not every:
        return
    given_table = pa.table(
        {
            "event_type": pa.array([key[0] for key in stored], pa.string()),
            "odd": pa.array([int(key[1]) for key in stored], pa.int64()),
            "n": pa.array(list(stored.values()), pa.int64()),
        }
    )
    frame = reconcile(events_of(rows, Facts(base=1), con=CON, layout=layout), model, given_table, at=at(position=upto))
    expected: list[Any] = []
    for key, places in sorted(every.items()):
        if key not in stored:
            expected.append((key, "missing", None))
        elif stored[key] != len(places):
            # A count was true from its event to the next.
            true = places[stored[key] - 1] if 0 < stored[key] < len(places) else None
            expected.append((key, "different", true))
    assert [
        (row["key"], row["problem"], None if pd.isna(row["last_true_position"]) else row["last_true_position"])
        for row in frame.to_dict("records")
    ] == expected

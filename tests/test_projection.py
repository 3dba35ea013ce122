"""Projections: what can be declared, what is refused, and that they answer what the same Aggregate answers."""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from fnmatch import fnmatchcase

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.checks import check
from esbench.errors import AggregateError, BadCoordinate
from esbench.event import at
from esbench.events import frame
from esbench.payload import pointer
from esbench.projection import expressions
from esbench.projection.expressions import Expression
from esbench.projection.operands import fields
from esbench.projection.reading import raw_at
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.fold.test_sql import payloads, projections, tried


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture
def log():
    rows = [
        ("item-1", 1, "ItemCreated", '{"name": "Mug", "quantity": 5, "price": 1.10}'),
        ("item-1", 2, "ItemsAdded", '{"quantity": 2}'),
        ("item-1", 3, "ItemsOrdered", '{"quantity": 8}'),
        ("item-1", 4, "ItemsAdded", '{"quantity": 4}'),
        ("item-2", 1, "ItemCreated", '{"name": "Cup", "price": 2.25}'),
        ("item-2", 2, "ItemsAdded", '{"quantity": "seven"}'),
        ("item-2", 3, "ItemsAdded", '{"quantity": 3}'),
    ]
    names = ("stream_id", "version", "event_type", "data")
    given = pd.DataFrame(rows, columns=list(names)).assign(stream_type="InventoryItem")
    return es.open().load(given, name="items")


@pytest.fixture
def stock():
    return es.Projection(
        "InventoryItem",
        {
            "quantity": es.total(
                {
                    "ItemCreated": es.field("/quantity", default=0),
                    "ItemsAdded": es.field("/quantity"),
                    "ItemsOrdered": -es.field("/quantity"),
                }
            ),
            "name": es.latest({"ItemCreated": es.field("/name"), "ItemRenamed": es.field("/name")}),
            "price": es.latest({"ItemCreated": es.field("/price")}, type="decimal(2)"),
            "worth": es.expr("quantity * price"),
        },
        invariants={"stock is never negative": "quantity >= 0"},
    )


def test_states_are_exact_and_marked(log, stock):
    found = log.states(stock)
    assert found["quantity"].tolist() == [3, 3]
    assert found["name"].tolist() == ["Mug", "Cup"]
    assert [repr(value) for value in found["price"]] == ["Decimal('1.10')", "Decimal('2.25')"]
    assert [repr(value) for value in found["worth"]] == ["Decimal('3.30')", "Decimal('6.75')"]
    assert found["trust"].tolist() == ["complete", "past handler-error 2"]


def test_a_value_of_another_type_is_an_error_that_names_it(log, stock):
    (finding,) = check(log.source, [stock], only=["handler-error"]).findings.to_dict("records")
    assert (finding["stream_id"], finding["version"]) == ("item-2", 2)
    assert '/quantity is "seven", not a number' in finding["seen"]


def test_a_broken_invariant_is_told_with_the_event_that_broke_it(log, stock):
    (finding,) = check(log.source, [stock], only=["invariant-violated"]).findings.to_dict("records")
    assert (finding["stream_id"], finding["version"]) == ("item-1", 3)
    assert log.state(stock, "item-1", version=3).quantity == -1


def test_timeline_has_every_stream_at_every_version(log, stock):
    rows = frame(log.timeline(stock).order("position").to_arrow_table())
    assert list(rows)[:5] == ["stream_id", "version", "position", "event_type", "recorded_at"]
    assert rows["quantity"].tolist() == [5, 7, -1, 3, 0, 0, 3]
    assert str(rows["quantity"].dtype) == "int64"


def test_timeline_needs_a_projection(log, stock):
    with pytest.raises(AggregateError, match=r"made of an es\.Projection"):
        log.timeline(stock.aggregate)


def test_history_diff_and_blame_answer_too(log, stock):
    assert log.history(stock, "item-1")["quantity"].tolist() == [5, 7, -1, 3]
    diff = log.diff(stock, es.at(version=1), es.at(version=2), stream="item-1")
    assert diff["path"].tolist() == ["/quantity", "/worth"]
    assert log.blame(stock, "item-1").set_index("path").loc["/name", "event_type"] == "ItemCreated"


def test_two_coordinates_are_refused(log, stock):
    with pytest.raises(BadCoordinate):
        log.states(stock, version=1, position=2)


def test_the_sql_can_be_run(log, stock):
    assert log.sql(stock.sql())["quantity"].tolist()


@given(
    rows=strategies.logs(payloads=payloads()),
    projection=projections(),
    data=st.data(),
    forks=st.sampled_from(("all", "first")),
)
def test_states_are_those_of_the_aggregate(con, rows, projection, data, forks):
    facts = data.draw(strategies.facts_for(rows))
    coordinate = at(**data.draw(strategies.coordinates(rows)))
    events = events_of(rows, facts, con=con)
    found, refused = tried(lambda: travel.states(events, projection, coordinate, forks=forks))
    if refused:
        assert _slips(refused, rows, projection)
        return
    expected = travel.states(events, projection.aggregate, coordinate, forks=forks)
    if len(expected) == 0:
        expected = expected.reindex(columns=found.columns).astype(found.dtypes)  # no state says which fields it has
    pd.testing.assert_frame_equal(found, expected)


@given(rows=strategies.logs(payloads=payloads()), projection=projections())
def test_findings_are_those_of_the_aggregate(con, rows, projection):
    events = events_of(rows, oracle.Facts(base=1), con=con)
    found = check(events, [projection]).findings
    expected = check(events, [projection.aggregate]).findings
    # Of a projection, it is also told where a path is that no event has.
    told = ["explanation", "evidence"]
    pd.testing.assert_frame_equal(found.drop(columns=told), expected.drop(columns=told))
    pairs = zip(found["explanation"], expected["explanation"], strict=True)
    assert all(one.startswith(other) for one, other in pairs)


@given(rows=strategies.logs(payloads=payloads()), projection=projections(), data=st.data())
def test_differences_of_a_whole_log_are_those_of_the_aggregate(con, rows, projection, data):
    events = events_of(rows, oracle.Facts(base=1), con=con)
    one, other = (at(**data.draw(strategies.coordinates(rows))) for _ in range(2))
    found, refused = tried(lambda: travel.diff(events, projection, one, other))
    if refused:
        assert _slips(refused, rows, projection)
        return
    expected = travel.diff(events, projection.aggregate, one, other)
    pd.testing.assert_frame_equal(found, expected)
    for side in ("before", "after"):
        assert [(type(value), repr(value)) for value in found[side]] == [
            (type(value), repr(value)) for value in expected[side]
        ]


def _slips(refused, rows, projection):
    """Whether it tells of a path that is read, and that no event of the type has in the streams that are covered."""
    told = re.search(r'no "([^"]*)" that it covers has (\S*); ', refused)
    assert told, refused
    event_type, path = told.groups()
    read = [one.operands[event_type] for one in projection.base.values() if event_type in one.operands]
    assert path in {each.path for one in read for each in fields(one)}
    of_type = [row for row in rows if row.event_type == event_type and fnmatchcase(row.stream_id, projection.streams)]
    texts = [row.data_text for row in of_type if row.data_text is not None]
    return all(raw_at(text, pointer(path)) is None for text in texts)


def test_a_path_that_no_event_has_is_an_error_that_names_those_there_are(log):
    slip = es.Projection("InventoryItem", {"n": es.total({"ItemsAdded": es.field("/quantty")})})
    message = 'projection "InventoryItem": no "ItemsAdded" that it covers has /quantty; they have /quantity'
    for ask in (
        log.states,
        log.timeline,
        lambda one: log.diff(one, es.at(version=1)),
        lambda one: log.diff(one, es.at(version=1), stream="item-1"),
        lambda one: log.first_bad(one, "n < 0"),
        lambda one: log.first_bad(one, lambda state: state["n"] < 0, "item-1"),
    ):
        with pytest.raises(AggregateError, match=message):
            ask(slip)
    first = check(log.source, [slip], only=["handler-error"]).findings.iloc[0]
    assert 'no "ItemsAdded" that it covers has /quantty; they have /quantity' in first["explanation"]


def test_a_path_that_some_event_has_is_no_error(log):
    sometimes = es.Projection("InventoryItem", {"n": es.total({"ItemCreated": es.field("/quantity")})})
    assert log.states(sometimes)["trust"].tolist() == ["complete", "past handler-error 1"]
    assert log.states(sometimes, version=0)["trust"].tolist() == []


def test_a_path_that_another_stream_has_is_no_error(log):
    # Events of item-2 have no /quantity that is created.
    sometimes = es.Projection("InventoryItem", {"n": es.total({"ItemCreated": es.field("/quantity")})})
    assert log.diff(sometimes, es.at(version=0), stream="item-2").empty
    assert log.first_bad(sometimes, "n < 0", "item-2").empty
    assert log.first_bad(sometimes, "n = 0")["stream_id"].tolist() == ["item-2"]


def test_a_history_without_rows_has_the_declared_columns(log, stock):
    every = log.history(stock, "item-1")
    for none in (log.history(stock, "item-1", version=0), log.history(stock, "item-1", last=0)):
        assert none.empty
        assert none.columns.tolist() == every.columns.tolist()
    odd = es.Projection("InventoryItem", {"changed": es.count("ItemsAdded")})
    assert log.history(odd, "item-1", last=0).columns.tolist() == log.history(odd, "item-1").columns.tolist()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.0", 5),
        ("5e0", 5),
        ("9007199254740993.0", 9007199254740993),
        ("-12345678901234567890.0", -12345678901234567890),
        ("1e22", 10**22),
        ("9007199254740993.5", None),
        ("100000000000000000000.5", None),
        ("90071992547409931e-1", None),
    ],
)
def test_an_integer_with_a_point_is_read_exactly_however_large(text, value):
    rows = [("a", 1, "A", f'{{"n": {text}}}')]
    log = es.open().load(pd.DataFrame(rows, columns=["stream_id", "version", "event_type", "data"]), name="log")
    made = {"sum": es.total({"A": es.field("/n")}), "last": es.latest({"A": es.field("/n")}, type="integer")}
    projection = es.Projection("A", made, streams="*")
    expected = {"sum": value or 0, "last": value}
    assert log.state(projection, "a").value == expected
    states = log.states(projection)
    assert states["sum"].tolist() == [value or 0]
    assert states["trust"].tolist() == ["complete" if value is not None else "past handler-error 1"]


def test_frames_of_a_timeline_are_exact():
    rows = [("a", 1, "A", '{"n": 9007199254740993}'), ("a", 2, "A", '{"n": 9007199254740993000}')]
    given = pd.DataFrame(rows, columns=["stream_id", "version", "event_type", "data"])
    log = es.open().load(given, name="log")
    made = {"n": es.total({"A": es.field("/n")}), "twice": es.expr("n * 2"), "half": es.expr("n / 2.00")}
    made["price"] = es.total({"A": es.field("/n") * Decimal("0.01")}, type="decimal(2)")
    shown = es.frame(log.timeline(es.Projection("A", made, streams="*")).order("position"))
    assert shown["n"].tolist() == [9007199254740993, 9016206453995733993]
    assert shown["twice"].tolist() == [18014398509481986, 18032412907991467986]
    assert shown["price"].tolist() == [Decimal("90071992547409.93"), Decimal("90162064539957339.93")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: es.field("quantity"), 'a path starts with "/": \'quantity\''),
        (lambda: es.field("/a~b"), 'written "~0"'),
        (lambda: es.total({"A": es.field("/n")}, type="double"), "what doubles add up to depends on their order"),
        (lambda: es.total({"A": es.field("/n")}, type="money"), r'"decimal\(2\)"'),
        (lambda: es.latest({"A": es.field("/n")}, type="json"), '"text" or "boolean", not \'json\''),
        (lambda: es.field("/n", **json.loads('{"default": null}')), "None is no value that an event can give a column"),
        (lambda: es.total({}), "takes event types"),
        (lambda: es.total({"A": "text"}), "no constant of type integer"),
        (lambda: es.total({"A": 1.5}), "no constant of type integer"),
        (lambda: es.latest({"A": es.field("/n") + 1}), "arithmetic makes integers and decimals"),
        (lambda: es.total({"A": es.field("/a") * es.field("/b") * es.field("/c")}), "more factors"),
        (lambda: es.flag({"A": True, "B": "x"}), "all booleans, all integers or all texts"),
        (lambda: es.Projection("P", {}), "columns are a dict"),
        (lambda: es.Projection("P", json.loads('{"n": 1}')), "not es.total"),
        (lambda: es.Projection("P", {"version": es.count("A")}), "cannot be called 'version'"),
        (lambda: es.Projection("P", {"a": es.count("A"), "A": es.count("A")}), "differ in case only"),
        (lambda: es.Projection("P", {"a": es.expr("1")}), "need a column to start from"),
        (lambda: es.Projection("P", {"a": es.count("A"), "b": es.expr("a +")}), "does not parse"),
        (lambda: es.Projection("P", {"total": es.count("A"), "b": es.expr("totl")}), 'no column "totl".*mean "total"'),
        (lambda: es.Projection("P", {"a": es.count("A")}, invariants={"x": "sum(a) > 1"}), "no SQL expression"),
        (lambda: es.Projection("P", {"a": es.count("A")}, invariants={"x": "a > 1; select 2"}), "does not parse"),
        (lambda: es.Projection("P", {"a": es.count("A")}, invariants={"x": "(select 1 from e)"}), "no SQL expression"),
        (lambda: es.Projection("P", {"a": es.count("A")}, invariants={"x": "random() > 0.5"}), "no SQL expression"),
        (lambda: es.Projection("P", {"a": es.count("A"), "b": es.expr("date '2024-01-01'")}), "gives a DATE"),
    ],
)  # fmt: skip
def test_what_cannot_be_declared_is_refused_with_the_reason(make, message):
    with pytest.raises(AggregateError, match=message):
        make()


def test_an_expression_sees_the_columns_that_it_may_name():
    columns = {"n": "HUGEINT", "Größe": "VARCHAR", 'a"b': "HUGEINT", "current_date": "VARCHAR"}
    state = {"n": 3, "Größe": "x", 'a"b': 4, "current_date": "never"}
    for text, value in {
        "n + 1": 4,
        "upper(größe)": "X",
        'n * "a""b"': 12,
        "current_date": "never",
        "1 + 1": 2,
        "unnamed_subquery.n": 3,
    }.items():
        assert Expression(text, columns)(state) == value
        assert Expression(text, columns)({**state, "n": 3}) == value


def test_states_that_differ_elsewhere_are_judged_once(monkeypatch):
    holds = Expression("n >= 0", {"n": "HUGEINT", "name": "VARCHAR"}, condition=True)
    assert holds({"n": 1, "name": "a"})
    monkeypatch.setattr(expressions, "_rows", None)
    assert holds({"n": 1, "name": "b"})


def test_a_projection_is_never_changed(stock):
    with pytest.raises(AggregateError, match="after it was declared"):
        stock.on("ItemLost")(lambda state, event: state)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stock.columns["quantity"].how = "count"


def test_operands_show_as_they_are_written():
    operand = -(es.field("/price") * es.field("/quantity") + 1)
    assert repr(operand) == "-((field('/price') * field('/quantity')) + 1)"
    assert repr(2 - es.field("/n")) == "2 - field('/n')"


def test_equal_declarations_have_one_revision(stock):
    def make(places):
        return es.Projection("P", {"a": es.total({"A": es.field("/a")}, type=f"decimal({places})")})

    assert make(2).revision == make(2).revision != make(3).revision
    assert make(2).aggregate.revision is None


def test_a_decimal_that_does_not_fit_is_an_error():
    projection = es.Projection("P", {"a": es.total({"A": es.field("/a")}, type="decimal(2)")}, streams="*")
    handler = projection.aggregate.handlers["A"]
    event = es.Event(1, "s", 1, "A", '{"a": 1.10}')
    assert repr(handler({"a": Decimal("0.00")}, event)["a"]) == "Decimal('1.10')"
    with pytest.raises(ValueError, match=r"is 1\.105, which a decimal\(2\) cannot hold"):
        handler({"a": Decimal("0.00")}, es.Event(1, "s", 1, "A", '{"a": 1.105}'))

"""Read models: rows by any key, across streams, against a plain fold by position."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.errors import AggregateError, BadCoordinate, UnknownStream
from esbench.event import Event, at
from esbench.fold.given import applied
from esbench.fold.python import holds, initial_state
from esbench.projection.reading import raw_at
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.fold.test_sql import LAYOUTS, exactly, payloads, projections, tried


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture
def log():
    rows = [
        ("o-1", 1, "Placed", {"customer": "ann", "amount": 5}, "2024-01-01T10:00Z"),
        ("o-2", 1, "Placed", {"customer": "bob", "amount": 7}, "2024-01-01T11:00Z"),
        ("o-1", 2, "Cancelled", {"by": "ann", "amount": 5}, "2024-01-02T10:00Z"),
        ("o-3", 1, "Placed", {"amount": 1}, "2024-01-02T12:00Z"),
        ("o-4", 1, "Placed", {"customer": "ann", "amount": "x"}, "2024-01-02T13:00Z"),
        ("o-4", 2, "Shipped", {}, "2024-01-02T14:00Z"),
    ]
    frame = pd.DataFrame(rows, columns=["stream_id", "version", "event_type", "data", "recorded_at"])
    return es.open().load(frame.assign(data=frame["data"].map(json.dumps)), name="orders")


@pytest.fixture
def customers():
    return es.Projection(
        "Customers",
        {
            "spent": es.total({"Placed": es.field("/amount"), "Cancelled": -es.field("/amount")}),
            "orders": es.count("Placed"),
        },
        key={"Placed": es.field("/customer"), "Cancelled": es.field("/by")},
        invariants={"customers spend": "spent > 0"},
    )


@pytest.fixture
def daily():
    return es.Projection(
        "Daily", {"n": es.count("Placed", "Cancelled")}, key=("recorded_at::date as day", "event_type")
    )


def test_states_have_one_row_a_key(log, customers):
    found = log.states(customers)
    assert list(found) == ["customer", "position", "events", "spent", "orders", "trust", "broken"]
    assert found.values.tolist() == [
        ["ann", 5, 3, 0, 1, "past handler-error 5", "customers spend"],
        ["bob", 2, 1, 7, 1, "complete", ""],
    ]


def test_events_without_a_key_are_counted_not_folded(log, customers):
    assert log.states(customers).attrs == {"missing_key": 1}
    assert log.states(customers, position=3).attrs == {"missing_key": 0}


def test_key_of_several_parts_keeps_their_types(log, daily):
    found = log.states(daily)
    first, second = datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)
    assert found[["day", "event_type", "n"]].values.tolist() == [
        [first, "Placed", 2],
        [second, "Cancelled", 1],
        [second, "Placed", 2],
    ]
    assert log.states(daily, as_of="2024-01-01T10:30Z")["n"].tolist() == [1]
    assert log.state(daily, (second, "Placed")).n == 2
    assert log.state(daily, ("2024-01-02", "Placed"), position=4).n == 1


def test_verbs_of_a_stream_take_a_key(log, customers):
    assert repr(log.state(customers, "bob")) == "State(spent=7, orders=1) at bob@2, complete"
    assert log.history(customers, "ann")["spent"].tolist() == [5, 0, 0]
    assert log.blame(customers, "ann").set_index("path")["event_type"].to_dict() == {
        "/spent": "Cancelled",
        "/orders": "Placed",
    }
    assert log.diff(customers, es.at(position=1), stream="ann")["path"].tolist() == ["/spent"]
    assert log.diff(customers, es.at(position=1))["stream_id"].tolist() == ["ann", "bob", "bob"]
    assert log.first_bad(customers, "customers spend")[["stream_id", "position"]].values.tolist() == [["ann", 3]]
    assert log.first_bad(customers, "spent > 6")["stream_id"].tolist() == ["bob"]


def test_timeline_tells_key_stream_and_version(log, customers):
    rows = es.frame(log.timeline(customers).order("position"))
    assert rows[["customer", "stream_id", "version", "position", "spent"]].values.tolist() == [
        ["ann", "o-1", 1, 1, 5],
        ["bob", "o-2", 1, 2, 7],
        ["ann", "o-1", 2, 3, 0],
        ["ann", "o-4", 1, 5, 0],
    ]


def test_reconcile_takes_a_read_model(log, customers):
    table = pd.DataFrame({"customer": ["ann", "bob"], "spent": [0, 6]})
    assert log.reconcile(customers, table, key="customer")[["key", "field"]].values.tolist() == [["bob", "spent"]]


def test_key_may_stand_in_metadata():
    rows = {"stream_id": ["a", "b"], "version": 1, "event_type": "A", "metadata": ['{"tenant":"x"}', "{}"]}
    log = es.open().load(pd.DataFrame(rows), name="log")
    projection = es.Projection("Tenants", {"n": es.count("A")}, key=es.meta("/tenant", default="none"))
    assert log.states(projection)["tenant"].tolist() == ["none", "x"]


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda log, one: log.states(one, version=1), BadCoordinate, "has no versions"),
        (lambda log, one: log.diff(one, es.at(version=1)), BadCoordinate, "has no versions"),
        (lambda log, one: log.states(one, forks="first"), AggregateError, "folds every event"),
        (lambda log, one: log.state(one, "anna"), UnknownStream, 'no key "anna".*mean "ann"'),
        (lambda log, one: log.state(one, ("ann", 1)), UnknownStream, r"is \(customer\), not"),
        (lambda log, one: log.as_test(one, "o-1"), AggregateError, "not folded by stream"),
        (lambda log, one: log.replay_concurrent(one, "o-1"), AggregateError, "not folded by stream"),
    ],
)
def test_what_a_read_model_cannot_answer_is_refused(log, customers, ask, error, message):
    with pytest.raises(error, match=message):
        ask(log, customers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ()}, "has no part"),
        ({"key": 3}, "a key is es.field"),
        ({"key": "recordd_at::date"}, 'no column "recordd_at"'),
        ({"key": "recorded_at::date as n"}, "name of another column"),
        ({"key": "stream_type as version"}, "name of another column"),
        ({"key": "row_number() over ()"}, "no SQL expression"),
        ({"key": "count(*)"}, "no SQL expression"),
        ({"key": "random()"}, "no SQL expression"),
        ({"key": "[version]"}, r"gives a BIGINT\[\]"),
        ({"key": {"A": es.field("/a")}}, 'does not say where events of type "B"'),
        ({"key": {"A": "version", "B": "version", "C": "version"}}, "no column takes events of type 'C'"),
        ({"key": {"A": "version", "B": "stream_id"}}, "it is a BIGINT in some events and a VARCHAR"),
        ({"key": "event_type", "lifecycle": {"first": ["A"]}}, "are for streams"),
        ({"key": "event_type", "unknown": "error"}, "are for streams"),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_the_reason(options, message):
    with pytest.raises(AggregateError, match=message):
        es.Projection("P", {"n": es.count("A", "B")}, **options)


def test_revision_tells_keys_apart():
    def revision(key):
        return es.Projection("P", {"n": es.count("A")}, key=key).revision

    assert len({revision("stream_id"), revision("event_type"), revision(es.field("/a")), revision(es.meta("/a"))}) == 4


def _text(con: Any, row: oracle.Row, path: str) -> str | None:
    raw = None if row.data_text is None else raw_at(row.data_text, [path])
    if raw is None or raw == "null" or raw[0] in "{[":
        return None
    return str(con.execute("select json_extract_string(?, '$')", [raw]).fetchall()[0][0])


KEYS: tuple[tuple[Any, Any], ...] = (
    ("event_type", lambda con, row: (row.event_type,)),
    (es.field("/on"), lambda con, row: (_text(con, row, "on"),)),
    ((es.field("/m"), "version % 2 as odd"), lambda con, row: (_text(con, row, "m"), row.version % 2)),
    ("nullif(stream_id, 'a-1') as some", lambda con, row: (None if row.stream_id == "a-1" else row.stream_id,)),
)


@given(
    rows=strategies.logs(payloads=payloads()),
    declared=projections(),
    which=st.sampled_from(KEYS),
    layout=LAYOUTS,
    data=st.data(),
)
def test_states_are_those_of_a_plain_fold_by_position(con, rows, declared, which, layout, data):
    key, key_of = which
    given_at = data.draw(strategies.coordinates(rows).filter(lambda one: "version" not in one))
    projection = es.Projection(
        "Any",
        declared.columns,
        key=key,
        streams=declared.streams,
        invariants={name: one.text for name, one in declared.conditions.items()},
    )
    taken = [
        row
        for row in sorted(rows, key=lambda row: row.position)
        if (projection.streams == "*" or row.stream_id.startswith("a-"))
        and row.event_type in projection.event_types
        and ("position" not in given_at or row.position <= given_at["position"])
        and ("as_of" not in given_at or (row.recorded_at is not None and row.recorded_at <= given_at["as_of"]))
    ]
    values: dict[Any, Any] = {}
    last: dict[Any, tuple[int, int]] = {}
    missing = 0
    for row in taken:
        of = key_of(con, row)
        if None in of:
            missing += 1
            continue
        before = values.get(of, initial_state(projection.aggregate))
        event = Event(row.position, row.stream_id, row.version, row.event_type, row.data_text)
        values[of], _ = applied(projection.aggregate, before, event)
        last[of] = row.position, last.get(of, (0, 0))[1] + 1

    events = events_of(rows, oracle.Facts(base=1), con=con, layout=layout)
    found, refused = tried(lambda: travel.states(events, projection, at(**given_at)))
    if refused:
        assert "that it covers has" in refused
        return
    assert found.attrs["missing_key"] == missing
    names = [part.name for part in projection.key]
    keys = [tuple(row) for row in found[names].astype(object).values.tolist()]
    assert keys == sorted(values)
    assert [tuple(row) for row in found[["position", "events"]].values.tolist()] == [last[one] for one in keys]
    for number, one in enumerate(keys):
        row = {name: _plain(found[name].astype(object).iloc[number]) for name in projection.columns}
        assert exactly(row) == exactly(values[one])
        broken = [name for name, holding in projection.invariants.items() if not holds(holding, values[one])[0]]
        assert found["broken"].iloc[number] == "; ".join(broken)
    if keys:
        wanted: Any = keys[0]
        assert exactly(travel.state(events, projection, wanted, at(**given_at)).value) == exactly(values[wanted])


def _plain(value: Any) -> Any:
    return value if isinstance(value, list) or not pd.isna(value) else None


@given(rows=strategies.logs(payloads=payloads()), declared=projections(), which=st.sampled_from(KEYS))
def test_timeline_ends_in_the_states(con, rows, declared, which):
    projection = es.Projection("Any", declared.columns, key=which[0], streams="*")
    events = events_of(rows, oracle.Facts(base=1), con=con)
    shown, refused = tried(lambda: es.frame(travel.timeline(events, projection).order("position")))
    if refused:
        assert "that it covers has" in refused
        return
    states = travel.states(events, projection)
    assert sorted(shown["position"]) == sorted(
        row.position for row in rows if row.event_type in projection.event_types and None not in which[1](con, row)
    )
    names = [part.name for part in projection.key]
    ends = shown[shown["position"].isin(states["position"])].sort_values(names)
    for name in (*names, "position", *projection.columns):
        one, other = ends[name].astype(object), states[name].astype(object)
        assert [_loose(value) for value in one] == [_loose(value) for value in other], name


def _loose(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [str(one) for one in value] if isinstance(value, list) else str(_plain(value))

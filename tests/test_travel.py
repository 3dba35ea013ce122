"""Time travel as a user meets it: an inventory item, its history, and what stands against its state."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from esbench import travel
from esbench.aggregate import Aggregate
from esbench.errors import BadCoordinate, UnknownStream, Untrusted
from esbench.event import At, at
from esbench.events import Events
from esbench.fold.changes import ABSENT
from esbench.fold.state import State
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture
def inventory() -> Aggregate:
    item = Aggregate("InventoryItem", initial={"quantity": 0})

    @item.on("ItemCreated")
    def create(state: Any, event: Any) -> Any:
        return {**state, **event.data}

    @item.on("ItemsAdded")
    def add(state: Any, event: Any) -> Any:
        return {**state, "quantity": state["quantity"] + event.data["quantity"]}

    @item.on("ItemsOrdered")
    def order(state: Any, event: Any) -> Any:
        return {**state, "quantity": state["quantity"] - event.data["quantity"]}

    @item.invariant("stock is never negative")
    def not_negative(state: Any) -> Any:
        return state["quantity"] >= 0

    return item


def event(position: int, stream: str, version: int, kind: str, data: str = "{}") -> Row:
    return Row(
        position,
        stream,
        version,
        kind,
        data,
        stream_type="InventoryItem",
        event_id=f"e{position}",
        recorded_at=NOON + timedelta(minutes=position),
    )


LOG = [
    event(1, "item-1", 1, "ItemCreated", '{"name":"Duck","size":{"cm":9}}'),
    event(2, "item-1", 2, "ItemsAdded", '{"quantity":5}'),
    event(3, "item-2", 1, "ItemCreated", '{"name":"Bear"}'),
    event(4, "item-1", 3, "ItemsOrdered", '{"quantity":3}'),
    event(5, "item-1", 3, "ItemsOrdered", '{"quantity":4}'),
    event(6, "item-1", 4, "ItemViewed"),
]


@pytest.fixture
def events(con) -> Events:
    return events_of(LOG, Facts(base=1), con=con)


def test_state_reads_as_one_line(events, inventory):
    assert repr(travel.state(events, inventory, "item-1", at(version=2))) == (
        "State(quantity=5, name='Duck', size={'cm': 9}) at item-1@2, complete"
    )


def test_state_says_what_is_broken_and_since_which_event(events, inventory):
    state = travel.state(events, inventory, "item-1")
    assert repr(state) == (
        "State(quantity=-2, name='Duck', size={'cm': 9}) at item-1@4, past version-fork 3; "
        'broken: "stock is never negative" since version 3 (ItemsOrdered)'
    )
    assert (state.broken[0].position, state.broken[0].event_id) == (5, "e5")
    assert (state.quantity, state["name"], state.events, state.position) == (-2, "Duck", 5, 6)


def test_run_of_a_broken_invariant_begins_anew_after_it_held(con, inventory):
    log = [
        event(1, "a", 1, "ItemsOrdered", '{"quantity":1}'),
        event(2, "a", 2, "ItemsAdded", '{"quantity":1}'),
        event(3, "a", 3, "ItemsOrdered", '{"quantity":1}'),
        event(4, "a", 4, "ItemsOrdered", '{"quantity":1}'),
    ]
    state = travel.state(events_of(log, Facts(base=1), con=con), inventory, "a")
    assert state.broken[0].version == 3


def test_invariant_that_raises_does_not_hold_and_says_why(con):
    item = Aggregate("X", initial={}, streams="*")
    item.invariant("has a name")(lambda state: state["name"])
    state = travel.state(events_of([event(1, "a", 1, "Made")], Facts(), con=con), item, "a")
    assert state.broken[0].note == "KeyError: 'name'"


def test_only_the_first_of_a_fork_may_be_folded(events, inventory):
    state = travel.state(events, inventory, "item-1", forks="first")
    assert (state.quantity, state.events, state.trust) == (2, 4, "past version-fork 3")


@pytest.mark.parametrize("where", [at(version=0), at(as_of=NOON), at(position=0)])
def test_before_the_first_event_is_the_initial_state(events, inventory, where):
    state = travel.state(events, inventory, "item-1", where, strict=True)
    assert (state.value, state.version, state.events, state.trust) == ({"quantity": 0}, None, 0, "no events")
    assert repr(state) == "State(quantity=0) at item-1, no events"
    assert travel.states(events, inventory, where).empty
    assert travel.history(events, inventory, "item-1", where).empty


def test_past_the_last_event_is_the_last_state(events, inventory):
    last = travel.state(events, inventory, "item-1")
    for where in (at(version=99), at(as_of="2100-01-01"), at(position=99)):
        assert travel.state(events, inventory, "item-1", where) == last


def test_coordinates_meet(events, inventory):
    found = [
        travel.state(events, inventory, "item-1", where).value
        for where in (at(version=2), at(position=3), at(as_of=NOON + timedelta(minutes=3)))
    ]
    assert found[0] == found[1] == found[2]


def test_strict_names_the_damage_and_carries_the_state_before_it(events, inventory):
    with pytest.raises(Untrusted, match=r'"item-1" at the end .*version-fork 3.*strict=True') as caught:
        travel.state(events, inventory, "item-1", strict=True)
    before = caught.value.state
    assert isinstance(before, State)
    assert (before.version, before.quantity, before.trust) == (2, 5, "complete")
    with pytest.raises(Untrusted, match="item-1"):
        travel.states(events, inventory, strict=True)
    assert travel.state(events, inventory, "item-1", at(version=2), strict=True).complete


def test_unknown_stream_gets_the_nearest(events, inventory):
    with pytest.raises(UnknownStream, match='"item-1"'):
        travel.state(events, inventory, "item-11")


def test_forks_is_all_or_first(events, inventory):
    with pytest.raises(BadCoordinate, match='"all" or "first"'):
        travel.states(events, inventory, forks="last")


def test_states_have_a_row_a_stream(events, inventory):
    frame = travel.states(events, inventory)
    assert frame.drop(columns="size").to_dict("list") == {
        "stream_id": ["item-1", "item-2"],
        "version": [4, 1],
        "events": [5, 1],
        "quantity": [-2, 0],
        "name": ["Duck", "Bear"],
        "trust": ["past version-fork 3", "complete"],
        "broken": ["stock is never negative", ""],
    }
    assert travel.states(events, inventory, at(version=2))["version"].tolist() == [2, 1]


def test_history_shows_each_event_with_what_it_changed(events, inventory):
    frame = travel.history(events, inventory, "item-1")
    assert list(frame) == [
        *("version", "position", "event_id", "event_type", "recorded_at"),
        *("quantity", "name", "size", "changed", "trust", "broken"),
    ]
    assert frame["quantity"].tolist() == [0, 5, 2, -2, -2]
    assert [repr(changed) for changed in frame["changed"]] == [
        "(/name: + 'Duck', /size: + {'cm': 9})",
        "(/quantity: 0 → 5,)",
        "(/quantity: 5 → 2,)",
        "(/quantity: 2 → -2,)",
        "()",
    ]
    assert frame["trust"].tolist() == ["complete", "complete", *["past version-fork 3"] * 3]
    assert frame["broken"].tolist() == ["", "", "", *["stock is never negative"] * 2]
    assert str(frame["recorded_at"].dtype) == "datetime64[us, UTC]"


def test_blame_names_the_event_that_last_set_each_leaf(events, inventory):
    frame = travel.blame(events, inventory, "item-1")
    assert list(zip(frame["path"], frame["value"], frame["version"], frame["event_id"], strict=True)) == [
        ("/quantity", -2, 3, "e5"),
        ("/name", "Duck", 1, "e1"),
        ("/size/cm", 9, 1, "e1"),
    ]


def test_blame_of_the_initial_state_names_no_event(events, inventory):
    frame = travel.blame(events, inventory, "item-2")
    assert frame.loc[frame["path"] == "/quantity", "event_type"].isna().all()


def test_diff_of_a_stream_names_the_version_that_set_each_path(events, inventory):
    frame = travel.diff(events, inventory, at(version=1), At(), "item-1")
    assert frame[["path", "before", "after", "version", "event_type"]].to_dict("list") == {
        "path": ["/quantity"],
        "before": [0],
        "after": [-2],
        "version": [3],
        "event_type": ["ItemsOrdered"],
    }


def test_diff_of_a_whole_log_has_the_streams_that_differ(events, inventory):
    frame = travel.diff(events, inventory, at(position=2), at(position=5))
    assert frame[["stream_id", "path"]].values.tolist() == [["item-1", "/quantity"], ["item-2", "/name"]]
    assert frame["before"].tolist() == [5, ABSENT]
    assert travel.diff(events, inventory, At(), At()).empty


def test_state_survives_copying_and_pickling(events, inventory):
    state = travel.state(events, inventory, "item-1")
    assert copy.deepcopy(state) == state
    assert pickle.loads(pickle.dumps(state)) == state  # noqa: S301


def test_state_without_a_field_says_so():
    state = State({"quantity": 2}, "a", 1, 1, 1)
    with pytest.raises(AttributeError, match='no field "price"'):
        _ = state.price
    assert State(5, "a", 1, 1, 1).value == 5
    assert State([7], "a", 1, 1, 1)[0] == 7


def test_html_of_a_state_is_escaped_and_capped():
    value = {f"<b>{number}": "<script>" for number in range(30)}
    text = State(value, "<i>stream", 1, 1, 1)._repr_html_()
    assert "<script>" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;0" in text
    assert "20 of 30 fields" in text


def test_repr_of_a_state_is_one_line_of_bounded_length():
    state = State({f"field\n{number}": "x" * 10_000 for number in range(100)}, "line\nbreak" * 100, 1, 1, 1)
    assert "\n" not in repr(state)
    assert len(repr(state)) < 2_000


def test_hostile_ids_and_payloads_travel(con, inventory):
    stream = "'; drop table t; --<b>\"\n"
    log = [event(1, stream, 1, "ItemCreated", '{"<script>":"\\u0000","~/":1}')]
    events = events_of(log, Facts(base=1), con=con)
    assert travel.state(events, inventory, stream).complete
    assert travel.states(events, inventory)["stream_id"].tolist() == [stream]
    assert travel.blame(events, inventory, stream)["path"].tolist() == ["/quantity", "/<script>", "/~0~1"]

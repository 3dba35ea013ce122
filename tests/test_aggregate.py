"""Aggregates: definition, freezing, and which streams they cover."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esbench import travel
from esbench.aggregate import Aggregate, covered, pattern
from esbench.errors import AggregateError
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row


@pytest.fixture(scope="module")
def con():
    return connect()


def add(state, event):
    return (state or 0) + 1


def test_second_handler_of_a_type_is_refused_by_name():
    item = Aggregate("Item")
    item.on("Added", "Removed")(add)
    with pytest.raises(AggregateError, match='"Removed" has a handler, add'):
        item.on("Removed")(lambda state, event: state)


@pytest.mark.parametrize("handler", [lambda state: state, lambda: None, lambda state, event, more: state, "text"])
def test_handler_of_another_shape_is_refused_at_definition(handler):
    with pytest.raises(AggregateError, match=r"\(state, event\)"):
        Aggregate("Item").on("Added")(handler)


def test_handler_with_defaults_or_any_arguments_is_accepted():
    item = Aggregate("Item")
    item.on("Added")(lambda state, event, factor=2: state)
    item.on("Removed")(lambda *arguments: arguments[0])
    item.on("Named")(max)  # a builtin without a signature
    assert set(item.handlers) == {"Added", "Removed", "Named"}


def test_handler_that_gives_its_result_later_is_refused():
    async def later(state, event):
        return state

    with pytest.raises(AggregateError, match="coroutine"):
        Aggregate("Item").on("Added")(later)


def test_on_without_a_type_is_refused():
    with pytest.raises(AggregateError, match="names of event types"):
        Aggregate("Item").on(add)  # type: ignore[arg-type]


def test_invariants_are_named_by_their_text_once():
    item = Aggregate("Item")
    item.invariant("is there")(lambda state: state is not None)
    assert list(item.invariants) == ["is there"]
    with pytest.raises(AggregateError, match='two invariants are called "is there"'):
        item.invariant("is there")(lambda state: True)
    with pytest.raises(AggregateError, match=r"it must take \(state\)"):
        item.invariant("fits")(lambda state, event: True)


def test_lifecycle_is_declared_once_and_names_types():
    order = Aggregate("Order")
    order.lifecycle(first="Placed", transitions={"Placed": ["Paid", "Cancelled"]}, final=["Cancelled"])
    assert order.rules is not None
    assert order.rules.first == ("Placed",)
    assert order.known == {"Placed", "Paid", "Cancelled"}
    with pytest.raises(AggregateError, match="second lifecycle"):
        order.lifecycle(final=["Paid"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": "Item", "streams": "*", "stream_type": "Item"}, "not both"),
        ({"name": "Item", "unknown": "explode"}, '"ignore" or "error"'),
    ],
)
def test_definition_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(AggregateError, match=message):
        Aggregate(**options)


def test_aggregate_freezes_at_its_first_fold_and_names_the_way_out(con):
    item = Aggregate("Item", streams="*")
    item.on("Added")(add)
    travel.states(events_of([Row(1, "a", 1)], Facts(), con=con), item)
    for define in (lambda: item.on("Other")(add), lambda: item.invariant("x")(bool), item.lifecycle):
        with pytest.raises(AggregateError, match=r"after its first fold.*make the Aggregate anew"):
            define()


def test_repr_reads():
    item = Aggregate("Item", streams="item-*", unknown="error")
    item.on("Added")(add)
    item.lifecycle(first=["Added"])
    assert (
        repr(item) == "Aggregate('Item', 1 event type, 0 invariants, a lifecycle, streams='item-*', unknown=\"error\")"
    )


LETTERS = "ab-[]!*?^\\.\n\x01é🦆&|~ ,A"


@given(text=st.text(LETTERS, max_size=6), shape=st.text(LETTERS, max_size=8))
@example(text="]", shape="[]]")
@example(text="b", shape="[c-a]")
@example(text="x", shape="[!c-a]")
@example(text="-", shape="[a-]")
@example(text="A", shape="[a-z]")
@example(text="a\nb", shape="a?b")
def test_pattern_matches_what_fnmatchcase_matches(con, text, shape):
    for one in (shape, text):
        found = con.execute("select regexp_full_match($t, $p, 's')", {"t": text, "p": pattern(one)}).fetchone()
        assert found == (fnmatchcase(text, one),)


def test_stream_counts_as_of_a_type_when_any_of_its_events_carries_it(con):
    rows = [Row(1, "a", 1), Row(2, "a", 2, stream_type="Item"), Row(3, "b", 1, stream_type="Other")]
    events = events_of(rows, Facts(), con=con)
    assert covered(events, Aggregate("Item")).rows("select position from events order by 1") == [(1,), (2,)]
    assert covered(events, Aggregate("X", stream_type="Other")).rows("select position from events") == [(3,)]
    assert covered(events, Aggregate("X", stream_type="None")).rows("select position from events") == []


def test_log_without_stream_types_asks_for_a_pattern(con):
    events = events_of([Row(1, "item-1", 1)], Facts(), con=con)
    item = Aggregate("Item", initial=0)
    item.on("Added")(add)
    with pytest.raises(AggregateError, match=r'no stream types.*streams="item-\*"'):
        travel.states(events, item)
    assert travel.state(events, item, "item-1").value == 1


def test_name_that_is_no_stream_type_gets_the_nearest(con):
    events = events_of([Row(1, "item-1", 1, stream_type="InventoryItem")], Facts(), con=con)
    with pytest.raises(AggregateError, match='Did you mean "InventoryItem"'):
        travel.states(events, Aggregate("InventoryItems"))


def test_log_without_events_has_no_states(con):
    events = events_of([Row(1, "a", 1)], Facts(), con=con).where("false")
    assert travel.states(events, Aggregate("Item")).empty

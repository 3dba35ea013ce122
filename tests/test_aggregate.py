"""Aggregates: definition, freezing, and which streams they cover."""

from __future__ import annotations

import pickle
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esbench import travel
from esbench.aggregate import Aggregate, covered
from esbench.errors import AggregateError
from esbench.fold.python import finals, steps
from esbench.patterns import pattern
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row, Rules


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


@st.composite
def wholes(draw: st.DrawFn) -> tuple[Aggregate, Rules]:
    """An aggregate with parts, and the reference's rules that fold it by hand."""
    rules = {name: draw(strategies.aggregates()) for name in draw(st.sampled_from((("a",), ("a", "b"), ("b", "a"))))}
    own = dict.fromkeys(draw(st.sets(st.sampled_from(("Added", "Noted", "Failing")))), strategies.HANDLERS["Set"])
    whole = Aggregate("Whole", initial={"last": 0}, streams="*")
    for name, each in rules.items():
        part = Aggregate(name, initial=each.initial)
        for event_type, handler in each.handlers.items():
            part.on(event_type)(handler)
        for text, predicate in each.invariants.items():
            part.invariant(text)(predicate)
        whole.include(part)
    for event_type, handler in own.items():
        whole.on(event_type)(handler)
    whole.invariant("never negative")(lambda state: all(state[name]["n"] >= 0 for name in rules))

    def handler_of(event_type: str) -> Any:
        def handle(state: Any, event: Any) -> Any:
            for name, each in rules.items():
                if event_type in each.handlers:
                    state[name] = each.handlers[event_type](state[name], event)
            return own[event_type](state, event) if event_type in own else state

        return handle

    types = {*own, *(event_type for each in rules.values() for event_type in each.handlers)}
    initial = {"last": 0, **{name: each.initial for name, each in rules.items()}}
    return whole, Rules("Whole", initial, {name: handler_of(name) for name in types}, streams="*")


@given(rows=strategies.logs(), case=wholes())
def test_parts_fold_as_if_written_by_hand_and_a_failing_one_leaves_all_as_they_were(con, rows, case):
    whole, rules = case
    events = events_of(rows, Facts(), con=con)
    found = {step.event.position: (step.value, step.error) for step in steps(events, whole)}
    assert found == {
        step.row.position: (step.value, step.error)
        for stream in oracle.streams(rows).values()
        for step in oracle.fold(stream, rules)[1]
    }
    last = {step.key: step.value for step in steps(events, whole, types=tuple(whole.handlers))}
    assert last == {key: folded.value for key, folded in finals(events, whole).items()}


def stock() -> Aggregate:
    part = Aggregate("stock", initial=dict)
    part.on("Added")(lambda state, event: {"n": state.get("n", 0) + event.data["n"]})
    part.invariant("is there")(lambda state: "n" in state)
    return part


def test_parts_have_their_states_in_fields_and_the_whole_sees_them_last(con):
    whole = Aggregate("Item", initial={"name": ""}, streams="*")
    whole.include(stock())
    whole.include(stock(), at="other")

    @whole.on("Added")
    def sum_up(state, event):
        return {**state, "sum": state["stock"]["n"] + state["other"]["n"]}

    whole.invariant("adds up")(lambda state: state.get("sum") == 4)
    assert repr(whole) == "Aggregate('Item', 1 event type, 3 invariants, streams='*', 2 parts: stock, other)"
    assert list(whole.invariants) == ["stock: is there", "other: is there", "adds up"]
    state = travel.state(events_of([Row(1, "a", 1, "Added", '{"n":2}')], Facts(base=1), con=con), whole, "a")
    assert state.value == {"name": "", "stock": {"n": 2}, "other": {"n": 2}, "sum": 4}
    assert not state.broken
    assert whole.known == {"Added"}


def test_one_value_in_two_parts_is_not_shared(con):
    part = Aggregate("list", initial=[])
    whole = Aggregate("Item", streams="*")
    whole.include(part, at="first")
    other = Aggregate("list", initial=part.initial)
    other.on("Added")(lambda state, event: [*state, 1] if state.append(0) is None else state)
    whole.include(other, at="second")
    assert travel.state(events_of([Row(1, "a", 1)], Facts(), con=con), whole, "a").value == {
        "first": [],
        "second": [0, 1],
    }


def test_definitions_of_parts_that_clash_are_refused(con):
    whole = Aggregate("Item", initial={"stock": 1})
    with pytest.raises(AggregateError, match='"stock", a field that there is'):
        whole.include(stock())
    whole.include(stock(), at="parts")
    with pytest.raises(AggregateError, match='two parts have their state in "parts"'):
        whole.include(stock(), at="parts")
    with pytest.raises(AggregateError, match="part of itself"):
        whole.include(whole)
    with pytest.raises(AggregateError, match="takes an Aggregate"):
        whole.include(Aggregate)  # type: ignore[arg-type]
    with pytest.raises(AggregateError, match="initial state is a dict, not of type int"):
        Aggregate("Number", initial=0).include(stock())
    late = Aggregate("Late", initial=lambda: {"stock": 1}, streams="*")
    late.include(stock())
    with pytest.raises(AggregateError, match='"stock", a field that there is'):
        travel.states(events_of([Row(1, "a", 1)], Facts(), con=con), late)


def test_part_freezes_and_says_what_it_became_a_part_of():
    part = stock()
    Aggregate("Item").include(part)
    with pytest.raises(AggregateError, match='after it became a part of "Item"'):
        part.on("Other")(add)


def test_lifecycle_may_come_from_one_part():
    first, second = stock(), stock()
    first.lifecycle(first="Added")
    second.lifecycle(first="Added")
    whole = Aggregate("Item")
    whole.include(first)
    assert whole.rules == first.rules
    with pytest.raises(AggregateError, match="second lifecycle"):
        whole.include(second, at="second")
    with pytest.raises(AggregateError, match='part "stock" has one'):
        whole.lifecycle(final="Added")


def test_revisions_of_parts_count():
    whole, part = Aggregate("Item", revision="3"), Aggregate("stock", revision="7")
    whole.include(part)
    assert whole.revision == "3, stock 7"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda state, event: {"n": 1}, 'dropped the state of part "stock"'),
        (lambda state, event: 7, 'dropped the state of part "stock"'),
        (lambda state, event: None, "returned None"),
    ],
)
def test_handler_of_the_whole_that_loses_a_part_fails(con, own, message):
    whole = Aggregate("Item", streams="*")
    whole.include(stock())
    whole.on("Added")(own)
    state = travel.state(events_of([Row(1, "a", 1, "Added", '{"n":2}')], Facts(), con=con), whole, "a")
    assert state.value == {"stock": {}}
    assert message in state.marks[0].note


def test_parts_of_parts_and_their_handlers_travel_to_other_processes(con):
    middle = Aggregate("middle")
    inner = Aggregate("inner", initial=0)
    inner.on("Added")(add)
    inner.invariant("is small")(is_small)
    middle.include(inner)
    whole = Aggregate("Item", streams="*")
    whole.include(middle)
    copied = pickle.loads(pickle.dumps(dict(whole.handlers)))  # noqa: S301 (our own)
    assert copied["Added"]({"middle": {"inner": 1}}, None) == {"middle": {"inner": 2}}
    state = travel.state(events_of([Row(1, "a", 1), Row(2, "a", 2)], Facts(base=1), con=con), whole, "a")
    assert repr(state).endswith('broken: "is small" since version 2 (Added)')


def is_small(state):
    return state < 2


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

"""The Python fold: what handlers may do, and what they read."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from esbench import travel
from esbench.aggregate import Aggregate
from esbench.errors import AggregateError
from esbench.event import Event
from esbench.events import Events
from esbench.fold.python import finals, steps
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def con():
    return connect()


def rows(*types: str, stream: str = "a", start: int = 1, **rest: Any) -> list[Row]:
    return [
        Row(
            start + index, stream, index + 1, kind, **{"data_text": f'{{"n":{index + 1}}}', "recorded_at": NOON, **rest}
        )
        for index, kind in enumerate(types)
    ]


def counter(handler: Any, *, initial: Any = 0, **options: Any) -> Aggregate:
    aggregate = Aggregate("Counter", initial=initial, streams="*", **options)
    aggregate.on("Added")(handler)
    return aggregate


def values(events: Events, aggregate: Aggregate) -> dict[str, Any]:
    frame = travel.states(events, aggregate)
    return dict(zip(frame["stream_id"], frame["state"], strict=True))


def test_handler_reads_any_column(con):
    event = Row(
        7,
        "a",
        1,
        "Added",
        '{"n":1}',
        '{"user":"u"}',
        stream_type="Counter",
        event_id="e1",
        schema_version=2,
        recorded_at=NOON,
        occurred_at=NOON.replace(hour=3, microsecond=5),
        source_position="p7",
    )
    names = [name for name in Event.__struct_fields__ if not name.endswith("_text")]
    events = events_of([event], Facts(), con=con)
    for name in [*names, "metadata", "data"]:
        seen: list[Any] = []
        aggregate = counter(lambda state, event, name=name, seen=seen: [state, seen.append(getattr(event, name))][0])
        finals(events, aggregate)
        assert seen[-1] == getattr(event, name), name


def test_handler_that_swallows_errors_still_reads_right(con):
    def careless(state, event):
        try:
            user = event.metadata["user"]
        except:  # noqa: E722
            user = "nobody"
        return [*state, user]

    events = events_of(rows("Added", "Other", "Added", metadata_text='{"user":"u"}'), Facts(), con=con)
    aggregate = counter(careless, initial=[])
    assert values(events, aggregate) == {"a": ["u", "u"]}
    assert [step.value for step in steps(events, aggregate, columns=())] == [["u"], ["u"], ["u", "u"]]


def test_handler_reads_through_helpers_copies_and_comparison(con):
    def through(state, event):
        twin = copy.copy(event)
        whole = pickle.loads(pickle.dumps(event))  # noqa: S301
        return [getattr(twin, "recorded" + "_at"), whole.event_id, event == whole, len({event, whole}), repr(event)]

    events = events_of(rows("Added", event_id="e1"), Facts(), con=con)
    found = values(events, counter(through, initial=[]))["a"]
    assert found[:4] == [NOON, "e1", True, 1]
    assert "recorded_at=datetime.datetime(2024, 6, 7, 12" in found[4]


def test_event_is_an_event_whatever_was_fetched(con):
    def matching(state, event):
        match event:
            case Event(event_type="Added", version=version):
                return version
        return -1

    assert values(events_of(rows("Added"), Facts(), con=con), counter(matching)) == {"a": 1}


def test_event_kept_in_the_state_knows_everything_later(con):
    events = events_of(rows("Added", metadata_text='{"user":"u"}'), Facts(), con=con)
    kept = values(events, counter(lambda state, event: [event], initial=[]))["a"][0]
    assert (kept.metadata, kept.recorded_at, kept.data) == ({"user": "u"}, NOON, {"n": 1})


def test_handler_that_reads_no_other_column_is_called_once_an_event(con):
    seen: list[int] = []

    def count(state, event):
        seen.append(event.version)
        return state

    finals(events_of(rows("Added", "Added"), Facts(), con=con), counter(count))
    assert seen == [1, 2]


def test_mutating_handler_leaks_into_no_other_stream_and_no_history(con):
    def push(state, event):
        state["items"].append(event.version)
        return state

    log = [*rows("Added", "Added"), *rows("Added", stream="b", start=3)]
    events = events_of(log, Facts(), con=con)
    aggregate = counter(push, initial={"items": []})
    assert travel.states(events, aggregate)["items"].tolist() == [[1, 2], [1]]
    history = travel.history(events, aggregate, "a")
    assert history["items"].tolist() == [[1], [1, 2]]
    assert [repr(changed) for changed in history["changed"]] == ["(/items/0: + 1,)", "(/items/1: + 2,)"]
    assert aggregate.initial == {"items": []}


def test_handler_that_mutates_then_raises_leaves_the_state_as_before(con):
    def ruin(state, event):
        state["n"] = state.get("n", 0) + 1
        if event.version == 2:
            state["n"] = 99
            raise ValueError("no")
        return state

    events = events_of([*rows("Added", "Added", "Added"), *rows("Added", stream="b", start=4)], Facts(), con=con)
    aggregate = counter(ruin, initial={})
    frame = travel.states(events, aggregate)
    assert frame["n"].tolist() == [2, 1]
    assert frame["trust"].tolist() == ["past handler-error 2", "complete"]
    assert travel.state(events, aggregate, "a").marks[0].note == "ValueError: no"


def test_handler_that_forgets_to_return_is_told_so(con):
    def forgets(state, event):
        state["n"] = 1

    found = travel.state(events_of(rows("Added"), Facts(), con=con), counter(forgets, initial={}), "a")
    assert found.value == {}
    assert "returned None" in found.marks[0].note


def test_none_is_a_state_where_there_was_none(con):
    assert travel.state(
        events_of(rows("Added"), Facts(), con=con), counter(lambda s, e: None, initial=None), "a"
    ).complete


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, RecursionError, MemoryError, BaseException])
def test_any_error_of_a_handler_is_a_mark(con, error):
    def fails(state, event):
        raise error("stop")

    frame = travel.states(events_of(rows("Added"), Facts(), con=con), counter(fails))
    assert frame["trust"].tolist() == ["past handler-error 1"]


def test_error_whose_text_cannot_be_made_is_a_mark(con):
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(state, event):
        raise Silent

    assert travel.state(events_of(rows("Added"), Facts(), con=con), counter(fails), "a").marks[0].note == "Silent"


def test_interrupt_passes_through(con):
    def interrupted(state, event):
        raise KeyboardInterrupt

    events = events_of(rows("Added"), Facts(), con=con)
    for call in (travel.states, lambda e, a: travel.history(e, a, "a")):
        with pytest.raises(KeyboardInterrupt):
            call(events, counter(interrupted))


def test_payload_that_is_too_deep_is_a_handler_error(con):
    depth = sys.getrecursionlimit() * 20
    events = events_of(rows("Added", data_text="[" * depth + "]" * depth), Facts(), con=con)
    found = travel.state(events, counter(lambda state, event: event.data), "a")
    assert found.value == 0
    assert found.marks[0].kind == "handler-error"


def test_deep_payload_travels(con):
    deep = '{"in":' * 400 + "1" + "}" * 400
    events = events_of(rows("Added", "Added", data_text=deep), Facts(), con=con)
    aggregate = counter(lambda state, event: event.data, initial={})
    assert travel.state(events, aggregate, "a").complete
    assert len(travel.history(events, aggregate, "a")) == 2
    assert len(travel.blame(events, aggregate, "a")) == 1
    assert "in=" in repr(travel.state(events, aggregate, "a"))


def test_numbers_of_payloads_stay_exact(con):
    text = '{"big":36893488147419103233,"huge":1e400,"price":1.10}'
    events = events_of(rows("Added", data_text=text), Facts(), con=con)
    frame = travel.states(events, counter(lambda state, event: event.data, initial={}))
    assert frame["big"].tolist() == [36893488147419103233]
    assert frame["huge"].tolist() == [Decimal("1e400")]


def test_frozen_dataclass_is_a_state(con):
    @dataclass(frozen=True)
    class Item:
        quantity: int = 0

    aggregate = counter(lambda state, event: replace(state, quantity=state.quantity + event.data["n"]), initial=Item)
    events = events_of(rows("Added", "Added"), Facts(), con=con)
    found = travel.state(events, aggregate, "a")
    assert (found.quantity, found["quantity"]) == (3, 3)
    assert travel.states(events, aggregate)["quantity"].tolist() == [3]


def test_initial_state_that_is_one_object_is_copied_for_each_stream(con):
    shared: dict[str, Any] = {}

    def put(state, event):
        state[event.stream_id] = 1
        return state

    log = [*rows("Added"), *rows("Added", stream="b", start=2)]
    travel.states(events_of(log, Facts(), con=con), counter(put, initial=lambda: shared))
    assert shared == {}


def test_initial_that_raises_is_an_error_of_the_aggregate(con):
    with pytest.raises(AggregateError, match="initial= raised ZeroDivisionError"):
        travel.states(events_of(rows("Added"), Facts(), con=con), counter(lambda s, e: s, initial=lambda: 1 / 0))


def test_state_that_cannot_be_copied_is_named_where_copies_are_needed(con):
    class Lonely:
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("one of a kind")

    aggregate = counter(lambda state, event: {"lonely": Lonely()}, initial={})
    events = events_of(rows("Added", "Added"), Facts(), con=con)
    assert len(travel.states(events, aggregate)) == 1
    with pytest.raises(AggregateError, match=r"cannot be copied.*one of a kind"):
        travel.history(events, aggregate, "a")


def test_events_that_only_claim_to_be_in_order_are_put_in_order(con):
    log = [Row(3, "a", 3), Row(1, "a", 1), Row(2, "a", 2)]
    events = events_of(log, Facts(), con=con, layout="wrong")
    assert values(events, counter(lambda state, event: [*state, event.version], initial=[])) == {"a": [1, 2, 3]}


def test_aggregate_without_handlers_gives_initial_states(con):
    assert travel.states(events_of(rows("Added"), Facts(), con=con), Aggregate("X", initial=5, streams="*"))[
        "state"
    ].tolist() == [5]


def test_event_types_may_be_hostile(con):
    name = "'; drop table t; --\n\"<b>"
    aggregate = Aggregate("X", initial=0, streams="*")
    aggregate.on(name)(lambda state, event: state + 1)
    assert values(events_of(rows(name, "Added"), Facts(), con=con), aggregate) == {"a": 1}

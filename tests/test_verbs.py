"""Verbs given what they cannot take, and predicates that touch what they judge."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pandas as pd
import pytest

import esbench as es
from esbench import travel
from esbench.checks import check
from esbench.errors import AggregateError, BadCoordinate, EsbenchError
from esbench.event import at
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row


@pytest.fixture(scope="module")
def con():
    return connect()


def item(predicate: Any = None) -> es.Aggregate:
    aggregate = es.Aggregate("Item", initial=lambda: defaultdict(list), streams="*")

    @aggregate.on("Added")
    def add(state: Any, event: Any) -> Any:
        state["x"].append(event.data["n"])
        if len(state["x"]) > 1:
            state["last"] = state["x"][-2]
        return state

    if predicate is not None:
        aggregate.invariant("holds")(predicate)
    return aggregate


def touching(state: Any) -> bool:
    state["x"].sort(reverse=True)
    state["seen"].append(1)
    return bool(state["x"][-1] != 2 or state.get("last") != 3)


def looking(state: Any) -> bool:
    return bool(min(state["x"]) != 2 or state.get("last") != 3)


@pytest.fixture
def three() -> es.Log:
    rows = {"stream_id": "7", "version": [1, 2, 3], "event_type": "Added", "data": [f'{{"n":{n}}}' for n in (2, 3, 1)]}
    return es.open().load(pd.DataFrame(rows), name="three")


def test_predicate_that_touches_its_state_changes_no_result(three):
    told = []
    for aggregate in (item(looking), item(touching)):
        found = three.state(aggregate, "7")
        findings = three.check(aggregate, only=["invariant-violated"]).findings
        told.append(
            (
                dict(found.value),
                three.states(aggregate).astype(str).to_dict("list"),
                three.history(aggregate, "7").astype(str).to_dict("list"),
                findings[["version", "seen", "explanation"]].to_dict("list"),
                three.first_bad(aggregate, "holds").astype(str).to_dict("list"),
            )
        )
    assert told[0] == told[1]
    assert told[0][0] == dict(three.state(item(), "7").value) == {"x": [2, 3, 1], "last": 3}
    bad = [lambda state: not touching(state), lambda state: not looking(state)]
    first, second = (three.first_bad(item(), one).astype(str).to_dict("list") for one in bad)
    assert first == second


def test_sentinel_is_the_same_to_a_predicate():
    nothing = object()
    aggregate = es.Aggregate("Item", initial={"x": nothing}, streams="*")
    aggregate.invariant("nothing is there")(lambda state: state["x"] is nothing)
    rows = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Added"]})
    log = es.open().load(rows, name="a")
    assert log.check(aggregate, only=["invariant-violated"]).findings.empty
    assert log.state(aggregate, "a").broken == ()


def test_integer_names_the_stream_of_its_digits(three):
    assert three.state(item(), 7).stream_id == "7"
    assert repr(three.state(item(), 7)) == repr(three.state(item(), "7"))
    assert len(three.events(7)) == len(three.history(item(), 7)) == 3
    assert three.branch(7).edits.stream_id == three.would_accept(7, expected_version=3).stream_id == "7"
    assert len(three.blame(item(), 7)) == len(three.blame(item(), "7"))
    assert three.diff(item(), at(version=1), stream=7).shape == three.diff(item(), at(version=1), stream="7").shape


@pytest.mark.parametrize("stream", [None, 1.5, True, b"7", ["7"]])
@pytest.mark.parametrize("verb", ["state", "history", "blame"])
def test_what_names_no_stream_is_refused(three, verb, stream):
    with pytest.raises(EsbenchError, match="stream"):
        getattr(three, verb)(item(), stream)


@pytest.mark.parametrize("stream", [None, 1.5])
def test_what_names_no_stream_starts_no_branch(three, stream):
    with pytest.raises(EsbenchError, match="a stream is named by its id"):
        three.branch(stream)
    with pytest.raises(EsbenchError, match="a stream is named by its id"):
        three.would_accept(stream, expected_version=None)


def _of_seven(verb: Any, aggregate: Any) -> Any:
    return verb(aggregate, "7")


def test_name_of_an_aggregate_is_no_aggregate(three):
    of_stream = (three.state, three.history, three.blame, three.as_test, three.replay_concurrent)
    verbs = [three.states, three.check, three.snapshot, *(partial(_of_seven, verb) for verb in of_stream)]
    verbs += [partial(three.diff, a=at()), partial(three.first_bad, predicate="holds")]
    for verb in verbs:
        with pytest.raises(AggregateError, match="is asked for, not 'q'"):
            verb("q")


def test_pattern_of_streams_is_a_text():
    with pytest.raises(AggregateError, match="streams= is a text, not 5"):
        es.Aggregate("q", streams=cast("str", 5))


def test_coordinates_that_cannot_be_are_refused(three):
    with pytest.raises(BadCoordinate, match="not 3"):
        three.diff(item(), 3)
    with pytest.raises(BadCoordinate, match="years 1 to 9999"):
        three.state(item(), "7", as_of="9999-12-31T23:59:59-23:00")
    with pytest.raises(BadCoordinate, match="64 bits"):
        three.state(item(), "7", position=2**70)
    with pytest.raises(BadCoordinate, match="64 bits"):
        three.events(version=-(2**70))
    for last in (-1, "x", 1.5):
        with pytest.raises(BadCoordinate, match="last="):
            three.events(last=last)


def test_fork_counts_events_that_differ_and_their_copies(con):
    rows = [Row(n, "a", 1, kind, "{}") for n, kind in enumerate(("Made", "Made", "Sold", "Sold", "Sold"), 1)]
    report = check(events_of(rows[:3], Facts(base=1), con=con), only=["version-fork"])
    assert report.findings["seen"].tolist() == ["2 events and 1 copy at version 1"]
    assert "claimed by 2 events that differ and 1 copy of them: " in report.findings["explanation"][0]
    report = check(events_of(rows, Facts(base=1), con=con), only=["version-fork"])
    assert "claimed by 2 events that differ and 3 copies of them: " in report.findings["explanation"][0]
    report = check(events_of(rows[1:3], Facts(base=1), con=con), only=["version-fork"])
    assert "claimed by 2 events that differ: " in report.findings["explanation"][0]


def test_invariant_that_raises_or_says_nothing_is_told_as_such(three):
    def told(predicate: Any) -> str:
        return str(three.check(item(predicate), only=["invariant-violated"]).findings["explanation"][0])

    assert "at position 1): it raised \"KeyError: 'nope'\"; it never held before" in told(lambda s: dict(s)["nope"])
    assert "at position 1): it returned None; it never held before" in told(lambda state: None)
    assert "at position 1): it never held before" in told(lambda state: False)
    assert three.state(item(lambda state: None), "7").broken[0].note == "returned None"


def test_event_that_is_left_out_is_seen_where_the_order_is_a_false_claim(con):
    rows = [Row(1, "a", 0, "Added", '{"n":1}'), Row(2, "a", -1, "Added", '{"n":2}')]
    events = events_of(rows, Facts(base=0), con=con, layout="wrong")
    trusted = travel.states(events, item(), at(position=1))["trust"].tolist()
    assert trusted == ["past not-a-prefix 0"]
    assert [travel.state(events, item(), "a", at(position=1)).trust] == trusted
    assert travel.history(events, item(), "a", at(position=1))["trust"].tolist() == trusted


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 second apart."), (2, "2 seconds apart.")])
def test_one_second_is_singular(con, seconds, said):
    noon = datetime(2024, 6, 7, 12, tzinfo=UTC)
    rows = [
        Row(n, "a", n, "Added", '{"n":1}', event_id=f"e{n}", recorded_at=noon + timedelta(seconds=seconds * (n - 1)))
        for n in (1, 2)
    ]
    report = check(events_of(rows, Facts(base=1), con=con), only=["repeated-content"])
    assert report.findings["explanation"][0].endswith(said)

"""Handlers that depend on more than state and event are found; those that do not are not."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.aggregate import Aggregate
from esbench.checks import check, repeatable
from tests import strategies
from tests.checks.compare import aggregate_of, connect, events_of
from tests.oracle import Facts, Row

CON = connect()
NAME = "handler-nondeterministic"
ROWS = [
    Row(1, "a", 1, "Added"),
    Row(2, "b", 1, "Noted"),
    Row(3, "b", 2, "Added"),
    Row(4, "a", 2, "Failing"),
]


def found(aggregate: Aggregate, rows: list[Row] = ROWS) -> list[Any]:
    report = check(events_of(rows, Facts(base=1), con=CON), [aggregate], only=[NAME])
    assert report.checks == (NAME,)
    return report.findings.astype(object).to_dict("records")


def item(handler: Any, initial: Any = None) -> Aggregate:
    made = Aggregate("Item", initial=initial, streams="*")
    made.on("Added", "Failing")(handler)
    made.on("Noted")(lambda state, event: state)
    return made


COUNTER = itertools.count()
SEEN: set[int] = set()


def once(state, event):
    if event.position in SEEN:
        return state
    SEEN.add(event.position)
    return {**state, "n": event.position}


def fails_at_times(state, event):
    if event.position in SEEN:
        raise ValueError
    SEEN.add(event.position)
    return state


@pytest.mark.parametrize(
    ("handler", "seen"),
    [
        (lambda state, event: {"n": time.time_ns()}, 'another state at "/n"'),
        (lambda state, event: {"n": {"m": random.random()}}, 'another state at "/n/m"'),
        (lambda state, event: next(COUNTER), "another state"),
        (once, 'another state at "/n"'),
        (fails_at_times, "an error at times"),
    ],
)
def test_clock_chance_and_memory_are_found_once_an_event_type(handler, seen):
    SEEN.clear()
    rows = found(item(handler, {}))
    assert [(row["event_type"], row["version"], row["position"], row["severity"]) for row in rows] == [
        ("Added", 1, 1, "error"),
        ("Failing", 2, 4, "error"),
    ]
    assert rows[0]["seen"] == seen
    assert rows[0]["expected"] == "the same state"
    assert "gives" in rows[0]["explanation"]


def test_initial_state_that_differs_is_found():
    (row,) = found(item(lambda state, event: state, lambda: {"made": next(COUNTER)}))
    assert row["seen"] == 'another initial state at "/made"'
    assert "The initial state of" in row["explanation"]


class Box:
    def __init__(self, value: int) -> None:
        self.value = value


@pytest.mark.parametrize(
    "handler",
    [
        lambda state, event: {"a", "b", "c", event.stream_id},
        lambda state, event: {"n": float("nan"), "s": {float("nan")}},
        lambda state, event: dict.fromkeys(random.sample(["a", "b", "c"], 3), 1),
        lambda state, event: Box(event.version),
        lambda state, event: random.Random(event.position),
        lambda state, event: 1 / 0,
        lambda state, event: None,
    ],
)
def test_sets_order_nan_and_plain_objects_are_no_differences(handler):
    assert found(item(handler, {})) == []


@given(rows=strategies.logs(), rules=strategies.aggregates(), base=st.sampled_from((0, 1, None)))
def test_handlers_that_change_and_drop_what_they_are_given_are_repeatable(rows, rules, base):
    aggregate = aggregate_of(rules)
    aggregate.streams, aggregate.stream_type = "*", None
    assert list(found(aggregate, rows)) == []


def test_sample_is_bounded_and_has_every_event_type(monkeypatch):
    calls: list[str] = []

    def count(state: Any, event: Any) -> Any:
        calls.append(event.event_type)
        return state

    rows = [Row(n, f"s-{n % 200}", n, "Added") for n in range(1, 2_001)] + [Row(3_000, "rare", 1, "Failing")]
    rows += [Row(n, "long", n, "Noted") for n in range(4_000, 7_000)]
    monkeypatch.setattr(repeatable, "_EVENTS", 100)
    assert found(item(count), rows) == []
    assert calls.count("Added") == 2 * 3 * 10
    assert calls.count("Failing") == 2
    assert found(item(lambda state, event: next(COUNTER) if event.event_type == "Failing" else state), rows)


def test_check_is_not_claimed_without_handlers():
    report = check(events_of(ROWS, Facts(), con=CON), [Aggregate("Item", streams="*")], only=[NAME])
    assert report.not_claimed == {NAME: "no aggregate has a handler"}

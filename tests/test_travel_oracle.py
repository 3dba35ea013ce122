"""Time travel against the reference, on generated logs with damage, at random coordinates."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench import travel
from esbench.event import at
from esbench.events import Events
from esbench.fold.python import steps
from tests import oracle, strategies
from tests.checks.compare import aggregate_of, connect, events_of

LAYOUTS = st.sampled_from(("ordered", "unordered", "wrong"))
FORKS = st.sampled_from(("all", "first"))


@pytest.fixture(scope="module")
def con():
    return connect()


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[oracle.Row], oracle.Facts, oracle.Rules, dict[str, Any], str]:
    rows = draw(strategies.logs())
    facts = draw(strategies.facts_for(rows))
    rules = draw(strategies.aggregates())
    return rows, facts, rules, draw(strategies.coordinates(rows)), draw(FORKS)


def with_type(rules: oracle.Rules) -> Any:
    """An aggregate that says which type it covers, since only then may no stream be of it."""
    aggregate = aggregate_of(rules)
    if rules.streams is None:
        aggregate.stream_type = rules.stream_type or rules.name
    return aggregate


def kinds(marks: Any) -> tuple[str, ...]:
    return tuple(sorted({mark.kind for mark in marks}))


def broken(rules: oracle.Rules, value: Any) -> list[str]:
    return [name for name, predicate in rules.invariants.items() if not _holds(predicate, value)]


def _holds(predicate: Any, value: Any) -> bool:
    try:
        return bool(predicate(value))
    except Exception:  # noqa: BLE001
        return False


@given(case=cases(), layout=LAYOUTS, data=st.data())
def test_state_is_that_of_the_reference(con, case, layout, data):
    rows, facts, rules, coordinate, forks = case
    events = events_of(rows, facts, con=con, layout=layout)
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(rows))))
    expected = oracle.state(rows, rules, stream_id, facts, forks=forks, **coordinate)
    found = travel.state(events, with_type(rules), stream_id, at(**coordinate), forks=forks)
    assert (found.value, found.version, found.position, found.events, kinds(found.marks)) == (
        expected.value,
        expected.version,
        expected.position,
        expected.events,
        expected.trust,
    )
    if expected.events:
        assert [each.invariant for each in found.broken] == broken(rules, expected.value)
        _assert_since(rows, rules, stream_id, coordinate, forks, found)


def _assert_since(rows, rules, stream_id, coordinate, forks, found):
    selected = oracle.up_to(oracle.streams(rows)[stream_id], **coordinate)
    steps = oracle.fold(selected, rules, forks=forks)[1]
    for each in found.broken:
        run = []
        for step in reversed(steps):
            if _holds(rules.invariants[each.invariant], step.value):
                break
            run.append(step.row)
        assert (each.version, each.position) == (run[-1].version, run[-1].position)


@given(case=cases(), layout=LAYOUTS)
def test_states_are_those_of_the_reference(con, case, layout):
    rows, facts, rules, coordinate, forks = case
    events = events_of(rows, facts, con=con, layout=layout)
    aggregate = with_type(rules)
    expected = oracle.states(rows, rules, facts, forks=forks, **coordinate)
    frame = travel.states(events, aggregate, at(**coordinate), forks=forks)
    assert set(frame["stream_id"]) == set(expected)
    for row in frame.to_dict("records"):
        one = expected[row["stream_id"]]
        known = {name: value for name, value in row.items() if name in ("n", "last", "reset") and not pd.isna(value)}
        assert (row["version"], row["events"], known) == (one.version, one.events, one.value)
        assert (row["trust"] == "complete") == (one.trust == ())
        assert row["broken"] == "; ".join(broken(rules, one.value))
        single = travel.state(events, aggregate, row["stream_id"], at(**coordinate), forks=forks)
        assert row["trust"] == single.trust


@given(case=cases(), layout=LAYOUTS, data=st.data())
def test_history_is_that_of_the_reference(con, case, layout, data):
    rows, facts, rules, coordinate, forks = case
    events = events_of(rows, facts, con=con, layout=layout)
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(rows))))
    frame = travel.history(events, with_type(rules), stream_id, at(**coordinate), forks=forks)
    expected = oracle.history(rows, rules, stream_id, facts, forks=forks, **coordinate)
    assert frame["position"].tolist() == [position for each in expected for position in each.positions]
    for each in expected:
        here = frame[frame["version"] == each.version].to_dict("records")
        last = {name: value for name, value in here[-1].items() if name in each.value}
        assert last == each.value
        assert {row["trust"] == "complete" for row in here} == {each.trust == ()}
        if len(here) == 1:
            paths = {change.path.split("/")[1] for change in here[0]["changed"]}
            assert paths == set(each.changed)


@given(case=cases(), data=st.data())
def test_blame_is_that_of_the_reference(con, case, data):
    rows, facts, rules, coordinate, forks = case
    events = events_of(rows, facts, con=con)
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(rows))))
    frame = travel.blame(events, with_type(rules), stream_id, at(**coordinate), forks=forks)
    expected = oracle.blame(rows, rules, stream_id, forks=forks, **coordinate)
    found = {row["path"][1:]: None if pd.isna(row["version"]) else row["version"] for row in frame.to_dict("records")}
    assert found == {name: row and row.version for name, row in expected.items()}


@given(case=cases(), data=st.data())
def test_diff_is_what_the_two_states_differ_in(con, case, data):
    rows, facts, rules, first, forks = case
    second = data.draw(strategies.coordinates(rows))
    events = events_of(rows, facts, con=con)
    frame = travel.diff(events, with_type(rules), at(**first), at(**second), forks=forks)
    states = [oracle.states(rows, rules, facts, forks=forks, **coordinate) for coordinate in (first, second)]
    expected = {}
    for stream_id in {*states[0], *states[1]}:
        before, after = (found[stream_id].value if stream_id in found else rules.initial for found in states)
        for name in {*before, *after}:
            if name not in before or name not in after or before[name] != after[name]:
                expected[stream_id, f"/{name}"] = (before.get(name), after.get(name))
    found = {
        (row["stream_id"], row["path"]): (row["before"] or None, row["after"] or None)
        for row in frame.to_dict("records")
    }
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == tuple(value or None for value in values)


@given(case=cases(), layout=LAYOUTS)
def test_steps_of_a_whole_log_are_those_of_each_stream(con, case, layout):
    rows, facts, rules, _, _ = case
    events: Events = events_of(rows, facts, con=con, layout=layout)
    found: dict[str, list[Any]] = {}
    for step in steps(events, with_type(rules), columns=()):
        found.setdefault(step.event.stream_id, []).append((step.event.position, step.before, step.value, step.error))
    assert found == {
        stream_id: [(step.row.position, step.before, step.value, step.error) for step in oracle.fold(stream, rules)[1]]
        for stream_id, stream in oracle.streams(rows).items()
    }

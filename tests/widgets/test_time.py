"""What the time machine shows of damaged and disordered streams: always the plain difference of two steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import BadCoordinate
from esbench.fold.changes import changes, leaves
from esbench.fold.python import initial_state
from esbench.widgets import reading
from esbench.widgets.calls import Call
from esbench.widgets.course import Scale, moment
from esbench.widgets.curves import label, number
from esbench.widgets.picture import EVENTS, Kept, Place
from tests import oracle, strategies
from tests.checks.compare import aggregate_of, connect, events_of
from tests.conftest import ROOT
from tests.widgets.driving import opened, press
from tests.widgets.hostile import log_of

#: Pages of two versions, so that small streams have many; and one page of all.
PAGES = st.sampled_from((2, 120))


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture
def stock(monkeypatch):
    monkeypatch.chdir(ROOT)
    return es.open().load("data/inventory.jsonl")


@pytest.fixture
def inventory(stock):
    from aggregates import inventory

    return inventory


def counting() -> es.Aggregate:
    made = es.Aggregate("Sum", initial={"n": 0}, streams="*")
    made.on("Noted")(lambda state, event: {"n": state["n"] + event.data["n"]})
    return made


def summed(numbers, **columns: list[Any]) -> es.Log:
    rows = [{"data": f'{{"n":{n}}}'} for n in numbers]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values, strict=True)]
    return log_of(rows)


def at(minute: int) -> str:
    return f"2024-06-01T12:{minute:02}:00Z"


def look(log, aggregate, kept=None, **place):
    """The picture of a place, without a widget."""
    call = Call(lambda _: None, lambda _: None, lambda _: None)
    return reading.read(call, log, Place(aggregate, **place), kept or Kept())


def drag(machine, value):
    machine.slider.value = value
    assert machine.wait()
    assert machine.faults.value == ""


def ran(machine, log, aggregate):
    *lines, last = machine.shown_code.splitlines()
    space = {"log": log, "aggregate": aggregate}
    exec("\n".join(lines), space)
    return eval(last, space)  # noqa: S307 (our own code)


def pairs(found):
    return [(one.path, repr(one.before), repr(one.after)) for one in found]


def positions(frame):
    return frame["position"].tolist() if len(frame) else []


@st.composite
def cases(draw: st.DrawFn) -> tuple[es.Aggregate, list[oracle.Row], oracle.Facts]:
    rows = draw(strategies.logs(max_streams=1, max_events=8, max_damage=4))
    return aggregate_of(draw(strategies.aggregates())), rows, draw(strategies.facts_for(rows))


def logged(con, rows, facts):
    log = es.Log("damaged", events_of(rows, facts, con=con))
    return log, min(oracle.streams(rows))


@given(case=cases(), page=PAGES)
@settings(max_examples=20)
def test_every_version_shows_its_events_and_the_difference_to_the_version_before(con, case, page):
    aggregate, rows, facts = case
    log, stream = logged(con, rows, facts)
    every, kept, before = log.events(stream), Kept(), initial_state(aggregate)
    with patch.object(reading, "PAGE", page):
        for version in sorted(set(every["version"])):
            picture = look(log, aggregate, kept, stream=stream, version=version)
            state = log.state(aggregate, stream, version=version)
            assert picture.state == state
            assert pairs(picture.changed) == pairs(changes(before, state.value))
            assert positions(picture.events) == positions(every[every["version"] == version].tail(EVENTS))
            before = state.value


@given(case=cases(), page=PAGES)
@settings(max_examples=20)
def test_every_moment_shows_its_events_and_the_difference_to_the_moment_before(con, case, page):
    aggregate, rows, facts = case
    log, stream = logged(con, rows, facts)
    every, kept, before = log.events(stream), Kept(), initial_state(aggregate)
    times = sorted(every["recorded_at"].dropna().unique())
    with patch.object(reading, "PAGE", page):
        if times:
            picture = look(log, aggregate, kept, stream=stream, as_of=(times[0] - pd.Timedelta("1us")).isoformat())
            assert (picture.moment, picture.state.version, len(picture.events), picture.changed) == (-1, None, 0, ())
        for step, time in enumerate(times):
            late = time + pd.Timedelta("1us")
            as_of = (late if step % 2 and late not in times else time).isoformat()
            picture = look(log, aggregate, kept, stream=stream, as_of=as_of)
            state = log.state(aggregate, stream, as_of=as_of)
            assert picture.state == state
            assert pairs(picture.changed) == pairs(changes(before, state.value))
            assert positions(picture.events) == positions(every[every["recorded_at"] == time].tail(EVENTS))
            before = state.value


def numbers_of(value, lines):
    found = {label(path): number(leaf) for path, leaf in leaves(value)}
    return [found.get(name) for name in lines]


@given(case=cases())
@settings(max_examples=20)
def test_lines_are_the_numbers_of_the_states(con, case):
    aggregate, rows, facts = case
    log, stream = logged(con, rows, facts)
    every = log.events(stream)
    lines = look(log, aggregate, stream=stream).chart.lines
    states = [log.state(aggregate, stream, version=version) for version in sorted(set(every["version"]))]
    columns = [list(each) for each in zip(*lines.values(), strict=True)] or [[] for _ in states]
    assert columns == [numbers_of(state.value, lines) for state in states]
    times = sorted(every["recorded_at"].dropna().unique())
    if times:
        chart = look(log, aggregate, stream=stream, as_of="end").chart
        states = [log.state(aggregate, stream, as_of=time) for time in times]
        columns = [list(each) for each in zip(*chart.lines.values(), strict=True)] or [[] for _ in states]
        assert columns == [numbers_of(state.value, chart.lines) for state in states]


@given(case=cases())
@settings(max_examples=20)
def test_damage_begins_where_the_first_state_is_not_complete(con, case):
    aggregate, rows, facts = case
    log, stream = logged(con, rows, facts)
    course = look(log, aggregate, stream=stream).course
    wrong = [version for version in course.versions if not log.state(aggregate, stream, version=int(version)).complete]
    assert [int(course.versions[place]) for place, _ in course.damage][:1] == wrong[:1]


@given(first=st.integers(-(10**17), 10**17), span=st.integers(1, 10**17), data=st.data())
def test_a_step_in_time_is_where_its_time_is(first, span, data):
    scale = Scale(first, first + span)
    step = data.draw(st.integers(0, scale.steps))
    assert scale.nearest(scale.time(step)) == step
    assert (scale.time(0), scale.time(scale.steps)) == (first, first + span)
    time = data.draw(st.integers(first, first + span))
    near = scale.nearest(time)
    off = [abs(scale.time(each) - time) for each in range(max(near - 2, 0), min(near + 3, scale.steps + 1))]
    assert abs(scale.time(near) - time) == min(off)


def test_an_event_recorded_later_is_not_shown_though_it_claims_the_same_version(stock, inventory):
    machine = opened(stock, inventory, stream="item-123", as_of="2024-05-14T14:02:07.404500Z")
    assert "1 of 2" not in machine.event.value + machine.state.value
    assert "5 → <code>2</code>" in machine.state.value
    assert (machine.picture.events["recorded_at"] <= pd.Timestamp(machine.place.as_of)).all()
    press(machine, machine.next)
    assert "2 → <code>-2</code>" in machine.state.value


def test_a_stream_that_was_recorded_out_of_order_shows_what_was_known_then():
    log = summed([1, 10, 100], recorded_at=[at(1), at(9), at(5)])
    machine = opened(log, counting(), as_of=at(5))
    assert machine.picture.state.value == {"n": 101}
    assert pairs(machine.picture.changed) == [("/n", "1", "101")]
    assert machine.picture.events["version"].tolist() == [3]
    press(machine, machine.next)
    assert machine.picture.events["version"].tolist() == [2]
    assert pairs(machine.picture.changed) == [("/n", "101", "111")]
    assert list(machine.picture.chart.lines["n"]) == [1, 101, 111]


def test_events_of_one_moment_are_shown_together():
    log = summed([1] * 9, recorded_at=[at(1)] + [at(2)] * 8)
    machine = opened(log, counting(), as_of=at(2))
    assert "5 of 8 events recorded at this moment" in machine.event.value
    assert pairs(machine.picture.changed) == [("/n", "1", "9")]
    assert ran(machine, log, machine.place.aggregate) == machine.picture.state


def test_before_the_first_moment_there_is_nothing_yet():
    log = summed([1, 2])
    machine = opened(log, counting(), as_of="2024-01-01")
    assert "before its first event" in machine.heading.value
    assert "no event of the stream was recorded by then" in machine.event.value
    assert ran(machine, log, machine.place.aggregate) == machine.picture.state
    press(machine, machine.previous)
    assert "before its first event" in machine.heading.value
    press(machine, machine.next)
    assert machine.picture.moment == 0


def test_the_slider_stands_where_the_time_is(stock, inventory):
    machine = opened(stock, inventory, stream="item-121", as_of="2024-04-24T14:00:00Z")
    scale = machine.picture.course.scale
    assert machine.slider.max == 1000
    time = int(datetime(2024, 4, 24, 14, tzinfo=UTC).timestamp() * 1_000_000)
    off = abs(scale.time(machine.slider.value) - time)
    assert off <= (scale.last - scale.first) / 2000 + 1
    assert machine.slider.value > 0


def test_over_time_and_back_it_is_the_same_moment(stock, inventory):
    machine = opened(stock, inventory, stream="item-121", version=5)
    time = machine.picture.events["recorded_at"].iloc[-1]
    machine.by.value = "time"
    assert machine.wait()
    assert pd.Timestamp(machine.place.as_of) == time
    assert machine.slider.value == machine.picture.course.scale.nearest(int(time.value // 1000)) > 0
    assert 'class="es-version">version 5<' in machine.heading.value
    here = machine.slider.value
    drag(machine, here + 1)
    assert pd.Timestamp(machine.place.as_of) > time
    drag(machine, here)
    machine.by.value = "version"
    assert machine.wait()
    assert machine.spec["version"] in (4, 5)
    assert "as_of" not in machine.spec


def test_buttons_go_from_moment_to_moment_and_stay_over_time():
    log = summed([1, 2, 4, 8], recorded_at=[at(1), at(3), at(3), at(7)])
    machine = opened(log, counting(), as_of=at(4))
    seen = []
    for control in (machine.first, machine.next, machine.next, machine.next, machine.previous, machine.last):
        press(machine, control)
        assert machine.by.value == "time"
        seen.append((machine.place.as_of[14:16], machine.picture.state.value["n"]))
    assert seen == [("01", 1), ("03", 7), ("07", 15), ("07", 15), ("03", 7), ("07", 15)]


def test_a_key_over_a_few_microseconds_moves_on():
    times = [f"2024-06-01T12:00:00.00000{n}Z" for n in (0, 1, 7)]
    machine = opened(summed([1, 2, 4], recorded_at=times), counting(), as_of=times[0])
    assert machine.slider.max == 7
    for step in range(1, 8):
        drag(machine, machine.slider.value + 1)
        assert machine.slider.value == step
        assert moment(machine.picture.course.scale.time(step)).isoformat() == machine.place.as_of
    one = opened(summed([1, 2], recorded_at=[at(1)] * 2), counting(), as_of=at(1))
    assert one.slider.disabled


def test_what_was_read_is_forgotten_when_the_log_is_loaded_anew():
    bench, aggregate = es.open(), counting()
    log = bench.load(summed(range(1, 7)).events(), name="l")
    machine = opened(log, aggregate, version=3)
    assert "The log has changed" not in machine.notes.value
    bench.drop("l")
    bench.load(summed(n * 100 for n in range(1, 7)).events(), name="l")
    press(machine, machine.next)
    assert pairs(machine.picture.changed) == [("/n", "600", "1000")]
    assert machine.picture.events["data"].tolist() == ['{"n":400}']
    assert list(machine.picture.chart.lines["n"])[-1] == 2100
    assert "The log has changed" in machine.notes.value
    press(machine, machine.again)
    assert "The log has changed" not in machine.notes.value


@pytest.mark.parametrize("by", ["version", "time"])
def test_last_reaches_what_was_appended(by):
    bench, aggregate = es.open(), counting()
    times = [at(n) for n in range(10)]
    rows = summed([1] * 10, recorded_at=times).events()
    log = bench.load(rows.head(6), name="l")
    machine = opened(log, aggregate, **({} if by == "version" else {"as_of": times[5]}))
    bench.load(rows.tail(4), name="l", append=True)
    press(machine, machine.last)
    assert machine.picture.state.value == {"n": 10}
    assert machine.by.value == by
    assert machine.slider.value == machine.slider.max
    assert "The log has changed" in machine.notes.value
    assert ran(machine, log, aggregate) == machine.picture.state


def test_a_log_that_never_stands_still_is_told(monkeypatch):
    stamps = iter(range(100))
    monkeypatch.setattr(reading, "_stamp", lambda _: next(stamps))
    with pytest.raises(es.EsbenchError, match="changes all the time"):
        look(summed([1]), counting())


def test_two_coordinates_are_refused():
    with pytest.raises(BadCoordinate):
        look(summed([1]), counting(), stream="a", version=1, as_of=at(1))


def test_a_time_may_be_given_as_a_time():
    log = summed([1, 2])
    machine = opened(log, counting(), as_of=datetime(2024, 6, 1, 12, tzinfo=UTC) + timedelta(seconds=30))
    assert machine.spec["as_of"] == "2024-06-01T12:00:30+00:00"
    assert ran(machine, log, machine.place.aggregate) == machine.picture.state


def test_events_without_a_time_are_in_no_moment():
    log = summed([1, 2, 4], recorded_at=[None, at(1), None])
    machine = opened(log, counting(), version=1)
    machine.by.value = "time"
    assert machine.wait()
    assert machine.picture.state.value == {"n": 2}
    timeless = opened(summed([1, 2], recorded_at=[None, None]), counting())
    timeless.by.value = "time"
    assert timeless.wait()
    assert "recorded time" in timeless.faults.value
    assert timeless.by.value == "version"


def test_lines_of_a_long_stream_say_what_they_span():
    log = summed([1] * 300, recorded_at=[f"2024-06-01T{n // 60:02}:{n % 60:02}:00Z" for n in range(300)])
    machine = opened(log, counting(), version=250)
    assert "The lines show versions 241 to 300: 60 of 300." in machine.below.value
    assert (machine.picture.cursor, machine.picture.chart.of) == (9, 60)
    machine.by.value = "time"
    assert machine.wait()
    assert "60 of 300. They run over versions, not over time." in machine.below.value
    assert (machine.picture.cursor, machine.picture.chart.of) == (9, 60)
    short = opened(summed([1] * 3), counting())
    assert short.below.value == ""


def test_lines_and_cursor_lie_on_the_axis_of_the_slider():
    log = summed([1, 2, 4], recorded_at=[at(0), at(1), at(10)])
    machine = opened(log, counting(), version=2)
    assert 'x1="500.0"' in machine.cursor.value
    machine.by.value = "time"
    assert machine.wait()
    assert 'x1="100.0"' in machine.cursor.value
    assert machine.slider.value == 100
    assert "H100.0V" in machine.lines.value


def test_a_disordered_stream_is_read_once_for_its_lines_over_time():
    log = summed([1] * 30, recorded_at=[at(n) for n in reversed(range(30))])
    machine = opened(log, counting(), as_of=at(3))
    course, chart = machine.picture.course, machine.picture.chart
    press(machine, machine.next)
    assert machine.picture.course is course
    assert machine.picture.chart is chart
    assert list(chart.lines["n"]) == list(range(1, 31))

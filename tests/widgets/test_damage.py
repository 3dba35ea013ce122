"""Where the time machine says that a stream is wrong, and what it says that it looked at; its lines and its hints."""

from __future__ import annotations

import json

import pytest

import esbench as es
from esbench.fold.changes import Change
from esbench.widgets import course
from esbench.widgets.curves import Curves, label
from tests.conftest import ROOT
from tests.widgets.driving import opened, press
from tests.widgets.hostile import failing, log_of, noting


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.chdir(ROOT)
    import aggregates

    return aggregates


def counting(invariant=None) -> es.Aggregate:
    made = es.Aggregate("Sum", initial={"n": 0}, streams="*")
    made.on("Noted")(lambda state, event: {"n": state["n"] + 1})
    if invariant is not None:
        made.invariant("as it should be")(invariant)
    return made


def setting() -> es.Aggregate:
    """A state that is the last payload."""
    made = es.Aggregate("Set", initial={}, streams="*")
    made.on("Noted")(lambda state, event: event.data)
    return made


def states(*texts):
    return log_of([{"data": text} for text in texts])


@pytest.mark.parametrize(("versions", "bad"), [([1, 4, 5, 8], 4), ([1, 2, 3, 5], 5), ([3, 4], 3), ([1, 2, 2, 3], 2)])
def test_a_hole_makes_the_version_after_it_bad(versions, bad):
    lost = log_of([{"version": version, "event_id": f"e{n}"} for n, version in enumerate(versions)])
    log = es.open().load(lost.events(), name="things", base=1)
    machine = opened(log, counting(), stream="a")
    press(machine, machine.bad)
    assert f"first bad: version {bad}, " in machine.said.value
    assert machine.spec["version"] == bad
    assert not machine.picture.state.complete
    place, _ = machine.picture.course.damage[0]
    assert machine.picture.course.versions[place] == bad
    assert place == 0 or log.state(counting(), "a", version=int(machine.picture.course.versions[place - 1])).complete


def test_the_sample_streams_are_bad_from_the_version_after_their_gap(samples):
    stock = es.open().load("data/inventory.jsonl")
    for stream, version in (("item-150", 5), ("item-142", 8)):
        machine = opened(stock, samples.inventory, stream=stream)
        press(machine, machine.bad)
        assert f"first bad: version {version}, version-gap" in machine.said.value


def test_what_was_not_looked_at_is_said(samples):
    accounts = es.open().load("data/accounts.csv")
    machine = opened(accounts, samples.account, stream="account-1031")
    press(machine, machine.bad)
    assert "first bad: version 3, handler-error" in machine.said.value
    assert "Lifecycle, ids, causes and clocks are judged by log.check(aggregate)" in machine.said.value
    shipments = es.open().load("data/shipments.jsonl")
    machine = opened(shipments, samples.shipment, stream="shipment-70012")
    press(machine, machine.bad)
    assert "No version of shipment-70012 is bad." in machine.said.value
    looked = "Looked at: gaps, missing heads, forks, duplicates, failing handlers, 1 invariant."
    assert looked in machine.said.value
    assert "Lifecycle, ids, causes and clocks are judged by log.check(aggregate)" in machine.said.value


def test_invariants_are_judged_at_every_version_of_a_stream_of_several_pages():
    log = log_of([{"recorded_at": None} for _ in range(300)])
    machine = opened(log, counting(lambda state: not 10 <= state["n"] <= 12), version=300)
    assert machine.strip.value.count("<title>broken: as it should be</title>") == 1
    assert "invariants broken at 3 versions" in machine.strip.value
    assert "no damage known" not in machine.strip.value
    whole = opened(log, counting(lambda state: True), version=300)
    assert "no damage known" in whole.strip.value


def test_where_invariants_are_not_judged_everywhere_the_strip_says_so(monkeypatch):
    monkeypatch.setattr("esbench.widgets.damage._ALL", 200)
    log = log_of([{"recorded_at": None} for _ in range(300)])
    machine = opened(log, counting(lambda state: state["n"] > 12), version=300)
    assert "no damage known" not in machine.strip.value
    assert machine.strip.value.count("invariants were looked at in versions 241 to 300 only") == 2
    press(machine, machine.first)
    assert "invariants broken at 12 versions" in machine.strip.value
    assert "no damage known" in opened(log, counting()).strip.value


def test_the_strip_lies_on_the_axis_of_the_slider():
    times = ["2024-06-01T12:00:00Z", "2024-06-01T12:01:00Z", None, "2024-06-01T12:10:00Z", "2024-06-01T12:02:00Z"]
    rows = [{"recorded_at": time, "event_type": "Noted"} for time in times]
    machine = opened(log_of(rows), failing())
    bars = [part.partition('"')[0] for part in machine.strip.value.split('<rect x="')[2:]]
    assert bars == ["246.0", "746.0"]
    machine.by.value = "time"
    assert machine.wait()
    bars = [part.partition('"')[0] for part in machine.strip.value.split('<rect x="')[2:]]
    assert bars == ["96.0", "996.0"]
    lost = opened(log_of([{"recorded_at": None if n == 1 else f"2024-06-01T12:0{n}:00Z"} for n in range(3)]), failing())
    lost.by.value = "time"
    assert lost.wait()
    assert "not drawn: 1 mark at events without a time" in lost.strip.value


def test_however_many_marks_there_are_each_is_on_the_strip():
    log = log_of([{"recorded_at": None} for _ in range(3000)])
    machine = opened(log, failing(), version=1)
    assert "1,500 damaged places" in machine.strip.value
    assert "more here" in machine.strip.value
    assert machine.strip.value.count("<rect") < 300
    lefts = [float(part.partition('"')[0]) for part in machine.strip.value.split('<rect x="')[1:]]
    assert max(lefts) > 980


def test_versions_beyond_what_a_browser_can_count_are_places_of_the_slider():
    log = log_of([{"version": 2**62 + n} for n in range(3)])
    machine = opened(log, counting())
    assert (machine.slider.min, machine.slider.max, machine.slider.value) == (1, 3, 3)
    machine.slider.value = 2
    assert machine.wait()
    assert machine.spec["version"] == 2**62 + 1
    assert machine.slider.value == 2


def test_nested_numbers_and_fields_named_as_columns_have_lines():
    names = ["version", "position", "trust", "broken", "changed"]
    log = states(*(json.dumps({"at": {"x": n}, **dict.fromkeys(names, n)}) for n in range(3)))
    machine = opened(log, setting())
    assert list(machine.picture.chart.lines) == names
    assert list(machine.picture.chart.lines["trust"]) == [0, 1, 2]
    assert "1 more numeric field of the state without a line." in machine.below.value
    nested = opened(states('{"at": {"x": 1, "y": [1]}}', '{"at": {"x": 2, "y": [5]}}'), setting())
    assert {name: list(line) for name, line in nested.picture.chart.lines.items()} == {
        "/at/x": [1, 2],
        "/at/y/0": [1, 5],
    }
    assert nested.below.value == ""


def test_fields_that_change_have_lines_before_those_that_stand_still():
    log = states(*(json.dumps({**dict.fromkeys("abcde", 1), "f": n}) for n in range(3)))
    machine = opened(log, setting())
    assert list(machine.picture.chart.lines) == ["f", "a", "b", "c", "d"]


def test_a_number_that_goes_and_comes_back_breaks_its_line():
    curves = Curves({"n": 1}, [[Change("", {"n": 1}, "text")], [], [Change("", "text", {"n": 3})]])
    assert curves.values("/n") == [None, None, 3.0]
    assert label("/a~1b") == "/a~1b"


@pytest.mark.parametrize("revision", [None, "1"])
def test_a_long_stream_without_snapshots_says_what_to_do(monkeypatch, revision):
    monkeypatch.setattr(course, "_LONG", 30)
    aggregate = es.Aggregate("Sum", initial={"n": 0}, streams="*", revision=revision)
    aggregate.on("Noted")(lambda state, event: {"n": state["n"] + 1})
    log = log_of([{"recorded_at": None} for _ in range(40)])
    machine = opened(log, aggregate)
    assert "log.snapshot(aggregate) saves states along the way in the bench" in machine.notes.value
    assert ("give the aggregate a revision=" in machine.notes.value) == (revision is None)
    log.snapshot(aggregate, every=10)
    press(machine, machine.again)
    assert machine.notes.value == ""
    broken = opened(log, failing())
    assert "damaged" in broken.notes.value
    assert opened(log_of([{}] * 5), noting()).notes.value == ""


def test_what_the_stream_would_be_is_drawn_at_the_versions_of_the_log():
    log = states(*(f'{{"n": {n}}}' for n in (1, 3, 4, 8, 13, 19)))
    dropped = opened(log, setting(), edits=(("drop", 2),))
    assert dropped.picture.branch_lines["n"] == [1, 1, 4, 8, 13, 19]
    changed = opened(log, setting(), edits=(("change", 3, {"n": 7}), ("drop", 1)))
    assert changed.picture.branch_lines["n"] == [None, 3, 7, 8, 13, 19]
    branch = log.branch("a").drop(1)
    again = opened(branch, setting(), edits=(("drop", 2),))
    assert again.picture.branch_lines["n"] == [3, 3, 8, 13, 19]


def test_lines_of_a_branch_go_on_from_page_to_page():
    log = log_of([{"recorded_at": None} for _ in range(250)])
    machine = opened(log, counting(), version=250, edits=(("drop", 100),))
    assert machine.picture.branch_lines["n"] == list(range(240, 250))

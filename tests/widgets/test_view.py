"""What every widget does before its first picture, when it is stopped, and when functions of the user's raise."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

import esbench as es
from esbench.widgets import explore
from tests.widgets.hostile import log_of, noting, plain_html


@pytest.fixture
def complaints(monkeypatch):
    """What threads leave to the process to complain of."""
    found: list = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


def blocked():
    """An aggregate that waits at its first event, and what lets it go on."""
    made, gate, begun = es.Aggregate("Slow", initial={"n": 0}, streams="*"), threading.Event(), threading.Event()

    @made.on("Noted")
    def note(state, event):
        begun.set()
        while not gate.wait(0.01):
            pass
        return {"n": state["n"] + 1}

    return made, gate, begun


def raising(error):
    made = es.Aggregate("Raising", initial={"n": 0}, streams="*")

    @made.on("Noted")
    def note(state, event):
        raise error

    return made


def every_control(machine):
    steps = (machine.first, machine.previous, machine.next, machine.last, machine.bad)
    others = (machine.links.cause, machine.links.effects, machine.comparing.go)
    for each in (*steps, *others, machine.what_if.drop, machine.what_if.change):
        each.click()
    machine.slider.value = 1
    machine.by.value = "time"


def test_displaying_a_widget_does_not_wait_for_its_picture():
    slow, gate, begun = blocked()
    view = explore(log_of([{}]), slow, names={})
    assert begun.wait(10)
    try:
        html = view._repr_mimebundle_()["text/html"]
        assert view.patience <= 1
        assert "still being computed" in html
    finally:
        gate.set()
    assert view.wait()
    assert "still being computed" not in view.to_html()


def test_controls_do_nothing_before_the_first_picture():
    slow, gate, begun = blocked()
    view = explore(log_of([{}, {}]), slow, names={})
    assert begun.wait(10)
    every_control(view)
    assert view.faults.value == ""
    gate.set()
    assert view.wait()
    assert view.faults.value == ""
    assert "version 2" in view.heading.value


def test_after_a_faulty_spec_the_widget_can_be_used_on():
    view = explore(log_of([{}, {"stream_id": "b", "version": 1}]), noting(), names={}, as_of="yesterday")
    assert view.wait()
    assert "yesterday" in view.faults.value
    every_control(view)
    assert view.wait()
    assert "AttributeError" not in view.faults.value
    assert "yesterday" in view.faults.value
    view.picker.ids.value = "b"
    assert view.wait()
    assert view.faults.value == ""
    assert "version 1" in view.heading.value


def test_what_was_stopped_says_so_and_can_go_on(complaints):
    slow, gate, begun = blocked()
    view = explore(log_of([{}, {}]), slow, names={})
    assert begun.wait(10)
    view._stop.click()
    assert view.wait()
    assert view._halted.layout.display == "flex"
    assert "Stopped." in plain_html(view)
    assert "Stopped." in view.to_html()
    every_control(view)
    assert "press Go on" in view.faults.value
    gate.set()
    view.onward.click()
    assert view.wait()
    assert "version 2" in view.heading.value
    assert view.faults.value == ""
    assert view._halted.layout.display == "none"
    assert "Stopped." not in view.to_html()
    assert complaints == []


def test_a_stop_after_all_is_read_stops_nothing():
    view = explore(log_of([{}]), noting(), names={})
    assert view.wait()
    view.stop()
    assert view._halted.layout.display == "none"


def test_a_search_that_was_stopped_can_go_on():
    view = explore(log_of([{}]), noting(), names={})
    assert view.wait()
    gate, begun = threading.Event(), threading.Event()
    got: list = []

    def job(call):
        begun.set()
        while not gate.wait(0.01):
            call.tell()
        return "found"

    view.start("searching", job, got.append)
    assert begun.wait(10)
    view.stop()
    assert view.wait()
    gate.set()
    view.onward.click()
    assert view.wait()
    assert got == ["found"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError, StopIteration])
def test_whatever_a_handler_raises_is_told(error, complaints):
    view = explore(log_of([{}, {}]), raising(error), names={})
    assert view.wait()
    assert error.__name__ in view.faults.value + view.lamps.value
    assert error.__name__ in view.to_html()
    assert view._status.layout.display == "none"
    assert complaints == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_an_invariant_raises_is_told(error, complaints):
    made = noting()

    @made.invariant("hostile")
    def hostile(state):
        raise error

    view = explore(log_of([{}]), made, names={})
    assert view.wait()
    assert error.__name__ in view.faults.value + view.lamps.value
    assert complaints == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_whatever_a_repr_raises_is_told_or_left_out(error, complaints):
    class Hostile:
        def __repr__(self):
            raise error

    made = es.Aggregate("Odd", initial={}, streams="*")

    @made.on("Noted")
    def note(state, event):
        return {"odd": Hostile()}

    view = explore(log_of([{}]), made, names={})
    assert view.wait()
    assert view.faults.value or "Hostile" in view.state.value
    assert view.settled
    assert complaints == []


def test_an_error_without_words_is_told(complaints):
    class Mute(Exception):
        def __str__(self):
            raise KeyboardInterrupt

    view = explore(log_of([{}]), noting(), names={})
    assert view.wait()
    view.start("x", lambda _: (_ for _ in ()).throw(Mute()), lambda _: None)
    assert view.wait()
    assert "Mute" in view.faults.value
    assert complaints == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_dry_run_that_ends_in_an_interrupt_of_its_own_is_over(error, complaints):
    def up(data):
        raise error

    plan = es.Migration("v2", [es.upcast("Noted", 1, 2, up)])
    rows = pd.DataFrame(
        {"stream_id": ["a"], "version": [1], "event_type": ["Noted"], "schema_version": 1, "data": ['{"n": 1}']}
    )
    desk = explore(es.open().load(rows, name="log"), migration=plan, names={})
    assert desk.wait()
    told = desk.panel.heading.value + desk.faults.value
    assert "it makes nothing" not in told
    assert "failed" in told
    assert complaints == []

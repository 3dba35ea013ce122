"""What the edits of a time machine make of its lines."""

from __future__ import annotations

from typing import Any

import pytest

import esbench as es
from esbench.widgets import explore
from tests.widgets.hostile import log_of


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ((("drop", 2),), [1, 1, 4, 8, 13, 19]),
        ((("drop", 3),), [1, 1, 1, 5, 10, 16]),
        ((("drop", 3), ("drop", 4)), [1, 1, 1, 1, 6, 12]),
        ((("drop", 3), ("change", 5, {"n": 10})), [1, 1, 1, 5, 15, 21]),
        ((("drop", 6),), [1, 1, 4, 8, 13, 13]),
        ((("change", 3, {"n": 10}),), [1, 1, 11, 15, 20, 26]),
    ],
)
def test_lines_of_a_branch_stand_at_the_events_of_the_log(edits, expected):
    ignoring = es.Aggregate("All but the second", initial={"n": 0}, streams="*")

    @ignoring.on("Noted")
    def note(state, event):
        return state if event.data["n"] == 2 else {"n": state["n"] + event.data["n"]}

    log = log_of([{"data": f'{{"n": {number}}}'} for number in range(1, 7)])
    machine = explore(log, ignoring, names={}, edits=edits)
    assert machine.wait()
    assert machine.faults.value == ""
    (line,), (dashed,) = machine.picture.chart.lines.values(), machine.picture.branch_lines.values()
    assert line == [1, 1, 4, 8, 13, 19]
    # Where an event is dropped, the state stays what it was: a gap is as right.
    assert all(found in (wanted, None) for found, wanted in zip(dashed, expected, strict=True))
    assert dashed[-1] == expected[-1] or edits[0] == ("drop", 6)


def test_edits_are_of_the_versions_on_screen_whatever_was_dropped_before():
    counting = es.Aggregate("Sum", initial=0, streams="*")
    counting.on("Noted")(lambda state, event: state + event.data["n"])
    log = log_of([{"data": f'{{"n": {10**number}}}'} for number in range(5)])
    machine = explore(log, counting, names={"log": log, "counting": counting}, version=2)
    assert machine.wait()
    for version in (2, 3):
        machine.move(version=version)
        assert machine.wait()
        machine.what_if.drop.click()
        assert machine.wait()
        assert machine.what_if.drop.disabled
    space: dict[str, Any] = {"log": log, "counting": counting}
    exec(machine.shown_code, space)
    assert space["what_if"].state(counting, log.streams()["stream_id"].iloc[0]).value == 11_001
    assert machine.faults.value == ""


@pytest.mark.parametrize(
    ("version", "told"),
    [(9, "no event has version 9"), (2, "2 events claim version 2"), (3, "3 of a is dropped before")],
)
def test_an_edit_that_means_no_one_event_is_refused_in_words(version, told):
    log = log_of([{"version": number, "data": "{}"} for number in (1, 2, 2, 3)])
    machine = explore(log, es.Aggregate("Any", streams="*"), names={}, edits=[("drop", 3), ("drop", version)])
    assert machine.wait()
    assert told in machine.faults.value

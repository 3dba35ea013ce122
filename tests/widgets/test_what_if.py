"""What the edits of a time machine make of its lines."""

from __future__ import annotations

import pytest

import esbench as es
from esbench.widgets import explore
from tests.widgets.hostile import log_of


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ((("drop", 2),), [1, 1, 4, 8, 13, 19]),
        ((("drop", 3),), [1, 1, 1, 5, 10, 16]),
        ((("drop", 3), ("drop", 3)), [1, 1, 1, 1, 6, 12]),
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

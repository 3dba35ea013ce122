"""From an event to its effects, all of them."""

from __future__ import annotations

import pytest

from esbench.widgets import explore
from tests.widgets.hostile import log_of, noting


def searched(log, version=1):
    machine = explore(log, noting(), names={}, stream="a", version=version)
    assert machine.wait()
    machine.links.effects.click()
    assert machine.wait()
    assert machine.faults.value == ""
    return machine


def test_effects_are_told_apart_from_events_that_mention_the_id():
    mentions = [{"stream_id": "b", "version": n, "data": '{"of": "e1"}', "metadata": '{"correlation_id": "e1"}',
                 "event_id": f"m{n}", "recorded_at": "2024-06-02"} for n in range(1, 400)]  # fmt: skip
    effects = [{"stream_id": "c", "version": n, "metadata": '{"causation_id": "e1", "correlation_id": "e1"}',
                "event_id": f"x{n}", "recorded_at": "2024-06-03"} for n in range(1, 41)]  # fmt: skip
    alone = searched(log_of([{}, *mentions]))
    assert "No event names this one as its cause" in alone.links.said.value
    machine = searched(log_of([{}, *mentions, *effects]))
    assert "40 effects; the first 12:" in machine.links.said.value
    assert len(machine.links.found.children) == 12
    machine.links.found.children[11].click()
    assert machine.wait()
    assert (machine.spec["stream"], machine.spec["version"]) == ("c", 12)


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("e1", '"e1"'),
        ("e1", '"\\u0065\\u0031"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("é", '"\\u00e9"'),
        ("a/b", '"a\\/b"'),
        ("12", "12"),
        ("%", '"%"'),
    ],
)
def test_an_effect_is_found_however_its_id_is_written(own, written):
    events = [
        {"event_id": own},
        {"stream_id": "b", "version": 1, "event_id": "x", "metadata": f'{{"causation_id": {written}}}'},
        {"stream_id": "b", "version": 2, "event_id": "y", "metadata": f'{{"other": {written}}}'},
        {"stream_id": "b", "version": 3, "event_id": "z", "metadata": "[1]"},
    ]
    machine = searched(log_of(events))
    assert "1 effect" in machine.links.said.value
    (jump,) = machine.links.found.children
    assert jump.description.endswith("b@1")

"""The time machine driven by its controls, as a person would."""

from __future__ import annotations

from typing import Any

import esbench as es
from esbench.widgets import explore

__all__ = ["opened", "press"]


def opened(log: es.Log, aggregate: es.Aggregate, **spec: Any) -> Any:
    """The time machine at a place, which it could show."""
    machine = explore(log, aggregate, names={"log": log, "aggregate": aggregate}, **spec)
    assert machine.wait()
    assert machine.faults.value == ""
    return machine


def press(machine: Any, control: Any) -> None:
    """Press a button, and wait for what comes of it."""
    control.click()
    assert machine.wait()

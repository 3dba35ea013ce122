"""The controls of the migration desk, and what of a dry run stands in them; it decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ipywidgets

from esbench import show
from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration
from esbench.widgets import marks, verdict
from esbench.widgets.rehearsal import TABS, Picture, Place
from esbench.widgets.view import button

__all__ = ["GATES", "Panel"]

#: Gates that are shown.
GATES: Final = 40
_LABEL: Final = {"description_width": "64px"}


class Panel:
    """Everything on the desk that somebody reads or presses, by name."""

    def __init__(self) -> None:
        self.heading = ipywidgets.HTML(layout={"width": "100%"})
        self.tabs = ipywidgets.ToggleButtons(
            options=[(name.capitalize(), name) for name in TABS],
            tooltips=[f"look at {name}" for name in TABS],
            style={"button_width": "auto"},
        )
        self.shape = _select("Change", "shapes of change, commonest first", rows=5, width="auto")
        self.streams = _select("Differ", "streams that a gate names", rows=5, width="min(100%, 420px)")
        self.stream = _text("Stream", "the stream whose states are compared; Enter", hint="the id of a stream")
        self.below = ipywidgets.HTML(layout={"width": "100%"})
        self.flow = ipywidgets.Image(format="png", layout={"max_width": "100%", "width": "860px"})
        self.gates = ipywidgets.VBox(layout={"width": "100%"})
        self.lamps: dict[str, Any] = {}
        self.deciders: dict[str, Any] = {}
        self.steps: list[Any] = []
        self.ticks = ipywidgets.VBox(layout={"width": "100%"})
        self.again = button("Run", "run it over the log as it is now, with the steps that are ticked", icon="play")
        self.again.layout.align_self = "flex-start"
        self.content = ipywidgets.VBox(layout={"width": "100%", "margin": "6px 0"})
        self.name = _text("New log", "the name of the log that apply makes", width="320px")
        self.path = _text("File", "a bench file that is not there yet, for what is private", hint="private.duckdb")
        self.apply = button("Apply", "make the new log, all or nothing", icon="check")
        self.note = ipywidgets.HTML(layout={"margin": "0 8px"})
        self.answer = ipywidgets.HTML(layout={"width": "100%"})
        self.onward = button("Look at it", "the overview of the new log, below", icon="arrow-right")
        self.onward.layout.display, self.onward.layout.align_self = "none", "flex-start"
        self.beyond = ipywidgets.VBox(layout={"width": "100%"})
        row = ipywidgets.Box(
            [self.name, self.path, self.apply, self.note], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        self.applying = ipywidgets.VBox([row, self.answer, self.onward, self.beyond], layout={"width": "100%"})
        self.every = [self.heading, self.tabs, self.content, self.applying]

    def hide(self, *, steps: bool) -> None:
        """While there is no run: nothing but the steps, if at all."""
        for box in (self.tabs, self.applying):
            box.layout.display = "none"
        self.again.description = "Run"
        self.content.children = [self.ticks, self.again] if steps else []

    def tick(self, migration: Migration, without: tuple[int, ...]) -> None:
        """A box for every step, ticked but for those that are left out."""
        labels = [show.cell(f"{n}. {step.sentence}", width=110) for n, step in enumerate(migration.steps, 1)]
        if [box.description for box in self.steps] == labels:
            return
        self.steps = [
            ipywidgets.Checkbox(
                value=n not in without, description=label, indent=False, layout={"width": "100%"}, tooltip=label
            )
            for n, label in enumerate(labels, 1)
        ]
        self.ticks.children = self.steps or [ipywidgets.HTML(marks.note("It has no steps: it tests code."))]

    def light(self, run: DryRun) -> None:
        """Rows of gates, each that fails with its decision; and the lists that are of one run."""
        rows: list[Any] = []
        self.deciders, self.lamps = {}, {}
        for gate in run.gates[:GATES]:
            lamp = ipywidgets.HTML(verdict.gate(gate), layout={"width": "100%"})
            if gate.status != "failed":
                rows.append(lamp)
                continue
            name = show.cell(gate.name, width=80)
            decider = ipywidgets.ToggleButtons(
                options=[("Refuse", False), ("Accept", True)],
                tooltips=[f"refuse the gate {name}: apply makes nothing", f"accept that the gate {name} fails"],
                style={"button_width": "80px"},
            )
            self.lamps[gate.name], self.deciders[gate.name] = lamp, decider
            told = ipywidgets.HTML(verdict.details(gate), layout={"width": "100%"})
            rows.append(ipywidgets.VBox([lamp, decider, told], layout={"width": "100%", "margin": "2px 0 8px"}))
        if len(run.gates) > GATES:
            rows.append(ipywidgets.HTML(marks.note(f"{GATES} of {show.count(len(run.gates), 'gate')}")))
        self.gates.children = rows
        groups = run.changes.groups.head(verdict.PAGE)
        told = zip(groups["event_type"], groups["shape"], groups["events"], strict=True)
        _fill(
            self.shape,
            [(show.cell(f"{n:,} {kind}: {shape}", width=140), place) for place, (kind, shape, n) in enumerate(told)],
        )
        _fill(self.streams, [(show.cell(name, width=80), name) for name in _named(run)])
        self.shape.rows = max(2, min(len(groups), 6))
        if not self.name.value:
            self.name.value = run.migration.name if run.migration.name != run.name else f"{run.name}-migrated"

    def fill(self, picture: Picture, run: DryRun, accepted: list[str], below: str) -> None:
        """A run, and what is looked at of it."""
        place = picture.place
        for box in (self.tabs, self.applying):
            box.layout.display = ""
        self.again.description = "Run these steps"
        self.heading.value = verdict.heading(run)
        outcomes: Mapping[str, Any] = {gate.name: gate for gate in run.gates}
        for name, decider in self.deciders.items():
            decider.value = name in accepted
            self.lamps[name].value = verdict.gate(outcomes[name], accepted=name in accepted)
        self.below.value = below
        self.flow.value = picture.flow
        self.content.children = self._children(place)
        self.path.layout.display = "" if run.migration.private else "none"
        refused = len(run.failed) - len(accepted)
        self.note.value = marks.note(
            f"{show.count(refused, 'failed gate')} not accepted: apply will refuse."
            if refused
            else f"No gate stands against it{f'; {len(accepted)} accepted though failed' if accepted else ''}."
        )

    def _children(self, place: Place) -> list[Any]:
        """The controls of what is looked at, set to the place."""
        if place.show == "gates":
            return [self.gates]
        if place.show == "events" and self.shape.options:
            self.shape.value = min(place.shape, len(self.shape.options) - 1)
            return [self.shape, self.below]
        if place.show == "types":
            return [self.flow, self.below]
        if place.show == "states":
            known = [value for _, value in self.streams.options]
            self.stream.value = place.stream or ""
            self.streams.value = place.stream if place.stream in known else None
            return [*([self.streams] if known else []), self.stream, self.below]
        return [self.ticks, self.again, self.below] if place.show == "steps" else [self.below]


def _text(label: str, tooltip: str, *, hint: str = "", width: str = "min(100%, 420px)") -> Any:
    return ipywidgets.Text(
        description=label, tooltip=tooltip, placeholder=hint, continuous_update=False, style=_LABEL,
        layout={"width": width},
    )  # fmt: skip


def _select(label: str, tooltip: str, *, rows: int, width: str) -> Any:
    return ipywidgets.Select(
        description=label, tooltip=tooltip, options=[], rows=rows, style=_LABEL, layout={"width": width}
    )


def _fill(control: Any, options: list[tuple[str, Any]]) -> None:
    """Other options; a select without a value would pick its first one by itself."""
    control.index = None
    control.options = options


def _named(run: DryRun) -> list[str]:
    """The first streams that failed gates name."""
    found: dict[str, None] = {}
    for gate in run.gates:
        if gate.details is not None and "stream_id" in gate.details:
            found |= dict.fromkeys(str(name) for name in gate.details["stream_id"].dropna().head(200))
    return list(found)[: verdict.PAGE]

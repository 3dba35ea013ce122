"""The time machine: one stream at any version or time, what its events did, where it went wrong, and what if."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ipywidgets

from esbench.aggregate import Aggregate
from esbench.log import Log
from esbench.widgets import marks, sparks, telling
from esbench.widgets.calls import Call
from esbench.widgets.code import Names, call
from esbench.widgets.links import Links
from esbench.widgets.picker import Picker
from esbench.widgets.reading import Kept, Picture, Place, moment, read
from esbench.widgets.view import View, button
from esbench.widgets.what_if import Comparing, WhatIf, branch_code

__all__ = ["TimeMachine"]

#: Steps of the slider when it runs over time.
_STEPS: Final = 1_000


class TimeMachine(View):
    """A stream of a log through time, as an aggregate sees it. ``explore(log, aggregate, stream=…, version=…)``.

    The slider runs over the versions that the stream has, or over time; arrow keys, Home and End move it.
    """

    def __init__(
        self, log: Log, aggregate: Aggregate | None = None, *, names: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        super().__init__(log, names=names)
        self._kept = Kept()
        self._shown: tuple[Any, ...] = ()
        self.picker = Picker(self, log, self.visit)
        self.heading = ipywidgets.HTML()
        self.by = ipywidgets.ToggleButtons(
            options=["version", "time"],
            description="Over",
            layout={"width": "230px"},
            tooltips=["step through versions", "move through time"],
        )
        self.by.style.button_width, self.by.style.description_width = "72px", "40px"
        self.slider = ipywidgets.IntSlider(
            readout=False, min=0, max=1, tooltip="version", layout={"width": "auto", "margin": "0 6px"}
        )
        self.strip = ipywidgets.HTML(layout={"margin": "0 16px"})
        self.first = button("First", "first version", icon="fast-backward")
        self.previous = button("Previous", "previous version", icon="step-backward")
        self.next = button("Next", "next version", icon="step-forward")
        self.last = button("Last", "last version", icon="fast-forward")
        self.bad = button("First bad version", "jump to the first version that is damaged or breaks an invariant")
        self.again = button("Read again", "read the log again", icon="refresh")
        self.said, self._said_of = ipywidgets.HTML(), ""
        self.lamps = ipywidgets.HTML()
        self.state = ipywidgets.HTML(layout=_half())
        self.event = ipywidgets.HTML()
        self.links = Links(self)
        self.lines = ipywidgets.HTML(layout={"grid_area": "1 / 1", "margin": "0 16px"})
        self.cursor = ipywidgets.HTML(layout={"grid_area": "1 / 1", "margin": "0 16px"})
        self.comparing, self.what_if = Comparing(self), WhatIf(self)
        more = ipywidgets.Accordion([self.comparing, self.what_if], titles=("Compare", "What if"), selected_index=None)
        steps = [self.first, self.previous, self.next, self.last, self.bad, self.again]
        self.picker.layout = ipywidgets.Layout(flex="1 1 240px", min_width="220px", max_width="420px")
        side = ipywidgets.VBox(
            [
                self.heading,
                ipywidgets.VBox([self.slider, self.strip]),
                ipywidgets.HBox([*steps, self.by], layout={"flex_flow": "row wrap", "align_items": "center"}),
                self.said,
                self.lamps,
                ipywidgets.Box([self.lines, self.cursor], layout={"display": "grid"}),
            ],
            layout={"flex": "3 1 440px", "min_width": "300px", "padding": "0 0 0 12px"},
        )
        beside = ipywidgets.VBox([self.event, self.links], layout=_half())
        self._stage = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.picker, side], layout={"flex_flow": "row wrap"}),
                ipywidgets.HBox([self.state, beside], layout={"flex_flow": "row wrap"}),
                more,
            ]
        )
        self._empty = ipywidgets.HTML()
        self.body.children = [self._stage, self._empty]
        self.hear(self.slider, self._slid)
        self.hear(self.by, self._by)
        self.click(self.first, lambda: self._step(0))
        self.click(self.previous, lambda: self._step(self._at - 1))
        self.click(self.next, lambda: self._step(self._at + 1))
        self.click(self.last, lambda: self._step(None))
        self.click(self.bad, self._first_bad)
        self.click(self.again, self._read_again)
        self.go(Place(aggregate, **spec))
        self.picker.turn(0)

    def visit(self, stream: str, version: int | None = None) -> None:
        """Show another stream, at a version or its end."""
        self.move(stream=stream, version=version, as_of=None, edits=(), other_stream=None, other_version=None)

    def compute(self, call: Call, place: Place) -> Picture:
        """Read what is to be seen."""
        return read(call, self.thing, place, self._kept)

    def paint(self, picture: Picture) -> None:
        """Bring the controls up to date; the lines are drawn anew only where they are others."""
        empty = not len(picture.course)
        self._stage.layout.display = "none" if empty else ""
        self._empty.value = _nothing(self.thing, picture) if empty else ""
        if empty:
            return
        assert picture.stretch is not None
        course, stretch = picture.course, picture.stretch
        self.picker.mark(course.stream)
        if course.stream != self._said_of:
            self.said.value = ""
        self._set_slider(picture)
        self.heading.value = telling.heading(picture)
        self.lamps.value = telling.lamps(picture)
        self.state.value = telling.state(picture)
        self.event.value = telling.events(picture)
        shown = (course, stretch, picture.place.edits)
        if shown != self._shown:
            self._shown = shown
            broken = [(place, place, f"broken: {name}") for place, name in stretch.broken]
            self.strip.value = sparks.strip(len(course), [*course.damage, *broken])
            self.lines.value = sparks.lines(stretch.lines, picture.branch_lines)
        self.cursor.value = sparks.cursor(
            picture.at - stretch.first, stretch.last - stretch.first + 1, len(stretch.lines)
        )
        self.links.paint(picture)
        self.comparing.paint(picture)
        self.what_if.paint(picture)

    def code(self, names: Names) -> list[str]:
        """The calls for what is on screen; the last line is the state."""
        log, aggregate = names.of(self.thing, "log"), names.of(self.place.aggregate, "aggregate")
        picture: Picture | None = self.picture
        if picture is None or picture.state is None or picture.stretch is None:
            return [call(f"{log}.types")]
        place, course = picture.place, picture.course
        stream, last = repr(course.stream), int(course.versions[picture.stretch.last])
        events = int(course.counts[picture.stretch.first : picture.stretch.last + 1].sum())
        lines = [call(f"{log}.history", aggregate, stream, version=last, last=events)]
        if not picture.events.empty:
            lines.append(
                call(f"{log}.events", stream, version=int(course.versions[picture.at]), last=len(picture.events))
            )
        lines += self.comparing.code(names, log, aggregate) + branch_code(place, log, aggregate, stream)
        return [*lines, call(f"{log}.state", aggregate, stream, version=place.version, as_of=place.as_of)]

    def still(self) -> str:
        """What is on screen, without controls."""
        if self._empty.value:
            return str(self._empty.value)
        picture: Picture = self.picture
        assert picture.stretch is not None
        parts = [self.heading.value, self.strip.value, self.lamps.value]
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:2em"><div>{self.state.value}</div>')
        parts.append(f"<div>{self.event.value}</div></div>")
        if picture.compared is not None:
            parts.append(self.comparing.shown.value)
        if picture.diverged is not None:
            parts.append(self.what_if.shown.value)
        return "".join(map(str, parts))

    @property
    def _at(self) -> int:
        """The place in the course that was asked for last, which may not be on screen yet."""
        course, place = self.picture.course, self.place
        return course.place(place.version) if place.version is not None else self.picture.at  # type: ignore[no-any-return]

    def _set_slider(self, picture: Picture) -> None:
        course, slider = picture.course, self.slider
        by_time = self.place.as_of is not None
        self.by.value = "time" if by_time else "version"
        first = 0 if by_time else int(course.versions[0])
        last = _STEPS if by_time else first + len(course) - 1
        if (slider.min, slider.max) != (first, last):
            # A slider refuses a minimum above its maximum, so they are set in the order that it takes.
            for name in ("min", "max") if first <= slider.max else ("max", "min"):
                setattr(slider, name, first if name == "min" else last)
        slider.tooltip = "time" if by_time else "version"
        slider.disabled = len(course) < 2
        if by_time:
            return
        wanted = first + course.place(self.place.version if self.place.version is not None else int(course.versions[0]))
        if slider.value != wanted and picture.place.stream == self.place.stream:
            slider.value = wanted

    def _slid(self, value: int) -> None:
        course = self.picture.course
        if self.by.value == "time":
            first, last = course.span
            self.move(as_of=_time(first + (last - first) * value // _STEPS), version=None)
        else:
            self._step(value - int(course.versions[0]))

    def _step(self, place: int | None) -> None:
        course = self.picture.course
        place = len(course) - 1 if place is None else min(max(place, 0), len(course) - 1)
        self.move(version=int(course.versions[place]), as_of=None)

    def _by(self, by: str) -> None:
        course, at = self.picture.course, self.picture.at
        if by == "version":
            self.move(version=int(course.versions[at]), as_of=None)
        elif course.span is None:
            self.fault(f"no event of {course.stream} has a recorded time, so there is no time to move through")
        else:
            self.move(as_of=_time(max(int(course.times[at]), course.span[0])), version=None)

    def _first_bad(self) -> None:
        log, aggregate, course = self.thing, self.place.aggregate, self.picture.course
        assert aggregate is not None

        def job(call: Call) -> list[tuple[int, str]]:
            followed = call.follow(log)
            found = [(int(course.versions[start]), what) for start, _, what in course.damage]
            for number, name in enumerate(aggregate.invariants):
                call.tell(number / len(aggregate.invariants), name)
                bad = followed.first_bad(aggregate, name, course.stream)
                found += [(int(version), name) for version in bad["version"]]
            return sorted(found)

        def then(found: list[tuple[int, str]]) -> None:
            self._said_of = course.stream
            if found:
                self.said.value = marks.note(f"first bad: version {found[0][0]:,}, {found[0][1]}")
                self.move(version=found[0][0], as_of=None)
            else:
                self.said.value = marks.empty(
                    f"No version of {course.stream} is bad.",
                    "No damage is known, and every invariant holds at every version.",
                )

        self.start("searching for the first bad version", job, then)

    def _read_again(self) -> None:
        self._kept = Kept()
        self.go(self.place)


def _half() -> Any:
    return ipywidgets.Layout(flex="1 1 340px", min_width="280px", padding="4px 8px 4px 0")


def _time(microseconds: int) -> str:
    try:
        return moment(microseconds).isoformat()
    except OverflowError:  # a log may say so
        return "9999-12-31" if microseconds > 0 else "0001-01-01"


def _nothing(log: Log, picture: Picture) -> str:
    if picture.place.stream is None:
        return marks.empty(f"The log {log.name} has no events.", "Load some: bench.load(source, name).")
    return marks.empty(f"The stream {picture.place.stream} has no events.", "Pick another one.")

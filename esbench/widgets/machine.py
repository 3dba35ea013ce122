"""The time machine: one stream at any version or time, what its events did, where it went wrong, and what if."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import ipywidgets

from esbench.aggregate import Aggregate
from esbench.event import at
from esbench.log import Log
from esbench.widgets import damage, marks, sparks, telling
from esbench.widgets.calls import Call, Line
from esbench.widgets.code import Names, call
from esbench.widgets.course import Course, Scale, microseconds, moment
from esbench.widgets.links import Links
from esbench.widgets.picker import Picker
from esbench.widgets.picture import END, Kept, Picture, Place
from esbench.widgets.reading import read
from esbench.widgets.strip import Strip
from esbench.widgets.view import View, button, placed
from esbench.widgets.what_if import Comparing, Fold, WhatIf, branch_code

__all__ = ["TimeMachine"]

#: Beyond these a browser cannot count by ones.
_EXACT: Final = 2**53


class TimeMachine(View):
    """A stream of a log through time, as an aggregate sees it. ``explore(log, aggregate, stream=…, version=…)``.

    The slider runs over the versions that the stream has, or over time; arrow keys, Home and End move it.
    """

    def __init__(
        self, log: Log, aggregate: Aggregate | None = None, *, names: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        super().__init__(log, names=names)
        self._kept = Kept()
        self._drawn: tuple[Any, ...] = ()
        judging = Line(self._busy)
        self._lines = (*self._lines, judging)
        self._stands: int | None = None
        self._along: Picture | None = None
        self.picker = Picker(self, log, self.visit)
        self.heading = ipywidgets.HTML()
        self.by = ipywidgets.ToggleButtons(
            options=[("over versions", "version"), ("over time", "time")],
            description="Slider",
            tooltips=["step through versions", "move through time"],
            layout={"width": "auto"},
            style={"button_width": "108px", "description_width": "48px"},
        )
        self.by.add_class("es-inline")
        self.slider = ipywidgets.IntSlider(
            readout=False, min=0, max=1, tooltip="version", layout={"width": "auto", "margin": "0 6px"}
        )
        self.strip = Strip(self, judging)
        self.first = button("First", "first version, or over time first moment", icon="fast-backward")
        self.previous = button("Previous", "previous version, or moment", icon="step-backward")
        self.next = button("Next", "next version, or moment", icon="step-forward")
        self.last = button("Last", "last version, or moment, that the log has by now", icon="fast-forward")
        self.bad = button("First bad version", "jump to the first version that is damaged or breaks an invariant")
        self.again = button("Read again", "read the log again", icon="refresh")
        self.notes, self.lamps, self.below = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.said, self._said_of = ipywidgets.HTML(), ""
        self.state = ipywidgets.HTML(layout=_half())
        self.event = ipywidgets.HTML()
        self.links = Links(self)
        self.lines = ipywidgets.HTML(layout={"grid_area": "1 / 1", "margin": "0 16px"})
        self.cursor = ipywidgets.HTML(layout={"grid_area": "1 / 1", "margin": "0 16px"})
        self.comparing, self.what_if = Comparing(self), WhatIf(self)
        compare = Fold(self.comparing, "Compare with …", "Hide comparison", "this state beside another one")
        differ = Fold(self.what_if, "What if …", "Hide what-if", "drop or change this event, in a branch")
        steps = [self.first, self.previous, self.next, self.last, self.bad, self.again]
        self.picker.layout = ipywidgets.Layout(flex="1 1 240px", min_width="220px", max_width="420px")
        side = ipywidgets.VBox(
            [
                self.heading,
                self.notes,
                ipywidgets.VBox([self.slider, self.strip]),
                ipywidgets.HBox([*steps, self.by], layout={"flex_flow": "row wrap", "align_items": "center"}),
                self.said,
                self.lamps,
                ipywidgets.Box([self.lines, self.cursor], layout={"display": "grid"}),
                self.below,
            ],
            layout={"flex": "3 1 440px", "min_width": "300px", "padding": "0 0 0 12px"},
        )
        beside = ipywidgets.VBox([self.event, self.links], layout=_half())
        self._stage = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.picker, side], layout={"flex_flow": "row wrap"}),
                ipywidgets.HBox([self.state, beside], layout={"flex_flow": "row wrap"}),
                compare,
                differ,
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
        self.click(self.again, self._read_again, always=True)
        self.go(placed(Place, {"aggregate": aggregate, **spec}, "the time machine"))
        if self.place.other_stream is not None or self.place.other_version is not None:
            compare.toggle.value = True
        if self.place.edits:
            differ.toggle.value = True
        self.picker.turn(0)

    def visit(self, stream: str, version: int | None = None) -> None:
        """Show another stream, at a version or its end."""
        self.move(stream=stream, version=version, as_of=None, edits=(), other_stream=None, other_version=None)

    def compute(self, call: Call, place: Place) -> Picture:
        """Read what is to be seen."""
        picture = read(call, self.thing, place, self._kept)
        if not len(picture.course):
            return picture
        call.tell(None, "what it shows")
        return replace(picture, trees=(telling.state(picture), telling.events(picture)))

    def paint(self, picture: Picture) -> None:
        """Bring the controls up to date; the lines are drawn anew only where they are others."""
        empty = not len(picture.course)
        self._stage.layout.display = "none" if empty else ""
        self._empty.value = _nothing(self.thing, picture) if empty else ""
        if empty:
            return
        assert picture.stretch is not None
        course, chart = picture.course, picture.chart
        self.picker.mark(course.stream)
        if course.stream != self._said_of:
            self.said.value = ""
        self._set_slider(picture)
        self.heading.value = telling.heading(picture)
        self.notes.value = telling.notes(picture)
        self.lamps.value = telling.lamps(picture)
        self.state.value, self.event.value = picture.trees
        self.below.value = telling.below_lines(picture)
        drawn = (chart, picture.branch_lines)
        if drawn != self._drawn:
            self._drawn = drawn
            self.lines.value = sparks.lines(chart.lines, picture.branch_lines, chart.places, chart.of)
        self.cursor.value = sparks.cursor(picture.cursor, chart.of, len(chart.lines))
        self.strip.paint(picture)
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
        stream, at, shown = repr(course.stream), picture.at, len(picture.events)
        last = int(course.versions[picture.stretch.last])
        events = int(course.counts[picture.stretch.first : picture.stretch.last + 1].sum())
        lines = [call(f"{log}.history", aggregate, stream, version=last, last=events)]
        if shown and picture.moment is None:
            lines.append(call(f"{log}.events", stream, version=int(course.versions[at]), last=shown))
        elif shown:
            until = names.new("until")
            lines.append(f"{until} = {call(f'{log}.events', stream, as_of=place.as_of)}")
            lines.append(f'{until}[{until}["recorded_at"] == {until}["recorded_at"].max()].tail({shown})')
        lines += self.comparing.code(names, log, aggregate) + branch_code(names, picture, log, aggregate, stream)
        return [*lines, call(f"{log}.state", aggregate, stream, version=place.version, as_of=place.as_of)]

    def still(self) -> str:
        """What is on screen, without controls."""
        if self._empty.value:
            return str(self._empty.value)
        picture: Picture = self.picture
        assert picture.stretch is not None
        parts = [self.heading.value, self.notes.value, self.strip.value, self.lamps.value]
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:2em"><div>{self.state.value}</div>')
        parts.append(f"<div>{self.event.value}</div></div>")
        if picture.compared is not None:
            parts.append(self.comparing.shown.value)
        if picture.diverged is not None:
            parts.append(self.what_if.shown.value)
        return "".join(map(str, parts))

    @property
    def _at(self) -> int:
        """The place or the moment that was asked for last, which may not be on screen yet."""
        course, place = self.picture.course, self.place
        if place.as_of is not None:
            time = None if place.as_of == END else at(as_of=place.as_of).as_of
            return len(course.moments) - 1 if time is None else int(course.moment(microseconds(time)))
        return len(course) - 1 if place.version is None else int(course.place(place.version))

    def _set_slider(self, picture: Picture) -> None:
        course, slider = picture.course, self.slider
        if picture.place is not self.place:  # a picture on the way to another place, to which the slider has gone
            return
        self._along = picture
        by_time = picture.moment is not None
        self.by.value = "time" if by_time else "version"
        first, last = self._range(picture)
        if (slider.min, slider.max) != (first, last):
            self._stands = None
            # A slider refuses a minimum above its maximum, so they are set in the order that it takes.
            for name in ("min", "max") if first <= slider.max else ("max", "min"):
                setattr(slider, name, first if name == "min" else last)
        slider.tooltip = "time" if by_time else "version"
        slider.disabled = first == last
        wanted = first + picture.at
        if by_time:
            time = at(as_of=picture.place.as_of).as_of
            assert time is not None
            wanted = _scale(course).nearest(microseconds(time))
        # Not what the slider says by now: a move that is not heard yet must not be taken back.
        if self._stands != wanted:
            self._stands = slider.value = wanted

    def _range(self, picture: Picture) -> tuple[int, int]:
        """What the slider runs over: versions from the first on, as far as a browser can count them; steps in time."""
        course = picture.course
        if picture.moment is not None:
            return 0, _scale(course).steps
        first, end = int(course.versions[0]), int(course.versions[0]) + len(course)
        return (first, end - 1) if -_EXACT < first < end < _EXACT else (1, len(course))

    def _slid(self, value: int) -> None:
        with self._lock:  # no picture is painted between where it stands and where it goes
            self._stands = value
            along: Picture = self._along or self.picture
            if along.course.stream != self.place.stream:  # another one is on its way
                return
            if along.moment is not None:
                self.move(as_of=_time(_scale(along.course).time(value)), version=None)
            else:
                self.move(version=int(along.course.versions[value - self._range(along)[0]]), as_of=None)

    def _step(self, number: int | None) -> None:
        """Go to a place, or over time to a moment; None is the last that the log has by now."""
        course, by_time = self.picture.course, self.place.as_of is not None
        steps = course.moments if by_time else course.versions
        if number is None:
            self.move(version=None, as_of=END if by_time else None)
        elif course.stream == self.place.stream and len(steps) and (number >= 0 or self._at >= 0):
            step = int(steps[min(max(number, 0), len(steps) - 1)])
            self.move(version=None if by_time else step, as_of=_time(step) if by_time else None)

    def _by(self, by: str) -> None:
        course, here = self.picture.course, self._at
        if by == "version":
            place = course.of_moment(here) if self.place.as_of is not None else here
            self.move(version=int(course.versions[place]), as_of=None)
        elif course.scale is None:
            self._paint_with(lambda: setattr(self.by, "value", "version"))
            self.fault(f"no event of {course.stream} has a recorded time, so there is no time to move through")
        elif self.place.as_of is None:
            known = (course.time(place) for place in range(here, -1, -1))
            self.move(as_of=_time(next((time for time in known if time is not None), course.scale.first)), version=None)

    def _first_bad(self) -> None:
        log, aggregate, stream = self.thing, self.place.aggregate, self.picture.course.stream
        assert aggregate is not None
        names = Names(self._namespace, self._own)
        check = call(f"{names.of(log, 'log')}.check", names.of(aggregate, "aggregate"))
        scope = damage.looked_at(log, aggregate, check)

        def then(found: list[tuple[int, str]]) -> None:
            self._said_of = stream
            if found:
                first = [what for version, what in found if version == found[0][0]]
                told = f"first bad: version {found[0][0]:,}, {'; '.join(first[:3])}"
                self.said.value = marks.note(told) + marks.note(scope)
                self.move(stream=stream, version=found[0][0], as_of=None)
            else:
                self.said.value = marks.empty(f"No version of {stream} is bad.", scope)

        job = partial(damage.bad_versions, log=log, aggregate=aggregate, stream=stream)
        self.start("searching for the first bad version", job, then)

    def _read_again(self) -> None:
        self._kept = Kept()
        self.go(self.place)


def _half() -> Any:
    return ipywidgets.Layout(flex="1 1 340px", min_width="280px", padding="4px 8px 4px 0")


def _time(time: int) -> str:
    return moment(time).isoformat()


def _scale(course: Course) -> Scale:
    """The steps of the slider over time; one where there is no time."""
    return course.scale or Scale(0, 0)


def _nothing(log: Log, picture: Picture) -> str:
    if picture.place.stream is None:
        return marks.empty(f"The log {log.name} has no events.", "Load some: bench.load(source, name).")
    return marks.empty(f"The stream {picture.place.stream} has no events.", "Pick another one.")

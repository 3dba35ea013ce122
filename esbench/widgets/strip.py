"""The strip of damage beside the slider of the time machine, for which invariants are judged beside what is shown."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets

from esbench.aggregate import Aggregate
from esbench.widgets import damage
from esbench.widgets.calls import Call, Line
from esbench.widgets.course import Course
from esbench.widgets.picture import Picture
from esbench.widgets.view import Part

__all__ = ["Strip"]


class Strip(Part, ipywidgets.HTML):  # type: ignore[misc]
    """Part of the time machine. In a stream of several pages the invariants are judged once, in ``line``.

    A line of its own: neither a search nor what somebody starts is to end that, or to be ended by it.
    """

    def __init__(self, machine: Any, line: Line) -> None:
        self._machine, self._line = machine, line
        self._course: Course | None = None
        self._judged: damage.Broken | None = None
        self._marked: tuple[Any, ...] = ()
        super().__init__(layout={"margin": "0 16px"})

    def paint(self, picture: Picture) -> None:
        """Mark the damage of the stream, as far as it is known by now."""
        course, stretch, aggregate = picture.course, picture.stretch, picture.place.aggregate
        assert stretch is not None
        assert aggregate is not None
        if course is not self._course:
            self._course, self._judged = course, None
            if aggregate.invariants and not stretch.broken.whole(course):
                self._judge(aggregate, course)
        broken, by_time = self._judged or stretch.broken, picture.moment is not None
        marked = (course, broken, by_time)
        if marked != self._marked:
            self._marked = marked
            self.value = damage.strip(course, broken, invariants=bool(aggregate.invariants), by_time=by_time)

    def _judge(self, aggregate: Aggregate, course: Course) -> None:
        def painted(found: damage.Broken | None) -> None:
            if course is self._course:
                self._judged = found
                self.paint(self._machine.picture)

        def then(found: damage.Broken | None) -> None:
            self._machine._paint_with(lambda: painted(found))

        log = self._machine.thing
        job = partial(damage.broken_everywhere, log=log, aggregate=aggregate, course=course)
        # What fails is not told: the strip says how far was looked.
        self._line.ask(Call(job, then, lambda _: None, "judging the invariants"))

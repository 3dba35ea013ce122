"""A stream over time: the moment that is on screen, the events recorded then, and what they changed.

A moment is a time at which events of the stream were recorded. As of a time one sees the last moment that is not after
it, and never what was recorded later, in whatever order the versions came.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import pandas as pd

from esbench.errors import EsbenchError
from esbench.event import at as coordinate
from esbench.fold.changes import changes, leaves
from esbench.fold.python import initial_state
from esbench.fold.state import State
from esbench.log import Log
from esbench.look import events_frame
from esbench.widgets.course import Course, microseconds, moment
from esbench.widgets.curves import LINES, Chart, label, number
from esbench.widgets.picture import END, EVENTS, Kept, Picture, Place, Stretch

__all__ = ["standing", "with_events"]

#: So many states that are no prefix of the stream are folded for lines over time.
_APART: Final = 120


def standing(log: Log, place: Place, course: Course, kept: Kept) -> Picture:
    """The state as of a time."""
    if place.as_of == END:
        if course.scale is None:
            raise EsbenchError(f"no event of {course.stream} has a recorded time, so there is no time to move through")
        place = replace(place, as_of=moment(course.scale.last).isoformat())
    as_of = _instant(place)
    place = replace(place, as_of=place.as_of if isinstance(place.as_of, str) else as_of.isoformat())
    here = course.moment(microseconds(as_of))
    return Picture(place, course, course.of_moment(here), here, state=_state(log, place, course, kept, here))


def with_events(log: Log, picture: Picture, stretch: Stretch, kept: Kept) -> Picture:
    """With the events recorded at the moment on screen, what they changed together, and the lines."""
    place, course, here, state = picture.place, picture.course, picture.moment, picture.state
    assert here is not None
    assert state is not None
    chart = None
    if stretch.broken.whole(course):
        chart = kept.get(("over time", course.stream), lambda: _chart(log, place, course, stretch))
    if chart is None:
        words = f"{stretch.chart.words} They run over versions, not over time." if stretch.chart.words else _BY_VERSION
        picture = replace(picture, chart=_said(kept, stretch, words), cursor=picture.at - stretch.first)
    else:
        scale = course.scale
        time = microseconds(_instant(place))
        cursor = 0 if scale is None else min(max(time, scale.first), scale.last) - scale.first
        picture = replace(picture, chart=chart, cursor=cursor)
    if here < 0:
        return picture
    before = _state(log, place, course, kept, here - 1)
    events, of = _events(log, course, stretch, here)
    return replace(picture, events=events, of=of, changed=tuple(changes(before.value, state.value)))


_BY_VERSION: Final = "The lines run over versions, not over time."


def _instant(place: Place) -> datetime:
    """The time of a place. Raises BadCoordinate."""
    as_of = coordinate(version=place.version, as_of=place.as_of).as_of
    assert as_of is not None
    return as_of


def _state(log: Log, place: Place, course: Course, kept: Kept, here: int) -> State:
    """The state as of a moment; before the first it is the initial one."""
    aggregate = place.aggregate
    assert aggregate is not None
    if here < 0:
        return State(initial_state(aggregate), course.stream, None, None, 0)
    time = moment(int(course.moments[here]))
    return kept.get(("as of", course.stream, here), lambda: log.state(aggregate, course.stream, as_of=time))


def _events(log: Log, course: Course, stretch: Stretch, here: int) -> tuple[pd.DataFrame, int]:
    """The last events of a moment in folding order, and how many it has."""
    time, of = course.moments[here], int((course.order == course.moments[here]).sum())
    if stretch.broken.whole(course) and stretch.events is not None:
        return stretch.events[course.order == time].tail(EVENTS), of
    # What lies before the year 1 counts as its beginning, so it is not asked for by its time.
    after = "" if here == 0 else "and recorded_at > $_after::timestamptz"
    bound = {} if here == 0 else {"_after": moment(int(course.moments[here - 1])).isoformat()}
    chosen = log.source.where(
        f"recorded_at <= $_until::timestamptz {after}", _until=moment(int(time)).isoformat(), **bound
    )
    return events_frame(chosen, course.stream, coordinate(), last=min(of, EVENTS)), of


def _chart(log: Log, place: Place, course: Course, stretch: Stretch) -> Chart | None:
    """Lines over time, of the states as of each moment; None where too many have to be folded by themselves."""
    scale = course.scale
    taken = [course.taken(here) for here in range(len(course.moments))]
    if scale is None or taken.count(None) > _APART:
        return None
    paths = stretch.curves.paths[:LINES]
    after = {path: stretch.curves.values(path) for path in paths}
    lines: dict[str, list[float | None]] = {label(path): [] for path in paths}
    for here, count in enumerate(taken):
        # Not kept: so many would drive out all else that is.
        apart = dict(leaves(_state(log, place, course, Kept(), here).value)) if count is None else {}
        for path in paths:
            value = number(apart.get(path)) if count is None else after[path][count - 1]
            lines[label(path)].append(value)
    places = [int(time) - scale.first for time in course.moments]
    return Chart(dict(lines), places, scale.last - scale.first + 1, "", stretch.chart.more)


def _said(kept: Kept, stretch: Stretch, words: str) -> Chart:
    """The lines of a stretch with other words; the same each time, so that they are drawn once."""
    return kept.get(("by version", stretch), lambda: replace(stretch.chart, words=words))

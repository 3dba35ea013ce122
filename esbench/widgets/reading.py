"""What the time machine reads: the picture of a place.

Verbs of the log only. A course is one small query a stream; a stretch is a page of ``log.history``, so that a long
stream is never read as a whole for the lines; both are kept while the slider stays in them and the log is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from esbench.aggregate import Aggregate, covered
from esbench.catalog import batch
from esbench.errors import EsbenchError
from esbench.fold.changes import changes
from esbench.fold.python import initial_state
from esbench.log import Log
from esbench.widgets import moments, what_if_lines
from esbench.widgets.calls import Call
from esbench.widgets.course import Course, course_of
from esbench.widgets.curves import LINES, Chart, Curves, label
from esbench.widgets.damage import Broken, after_each, span
from esbench.widgets.picture import EVENTS, Kept, Picture, Place, Stretch

__all__ = ["Picture", "Place", "read"]

#: So many versions are read at once for lines and marks.
PAGE: Final = 120
#: The events of a stretch are kept while their payloads have no more characters.
_LIGHT: Final = 4_000_000
#: A log that grows while it is read is read again so often.
_TRIES: Final = 5


def read(call: Call, thing: Log, place: Place, kept: Kept) -> Picture:
    """The picture of a place; what it leaves open (a stream, a version) is filled in.

    All of it is of one and the same log, also where that grows meanwhile, or is loaded anew under its name.
    """
    log = call.follow(thing)
    for _ in range(_TRIES):
        stamp = _stamp(log)
        kept.hold(stamp)
        picture = _read(call, log, place, kept)
        if _stamp(log) == stamp:
            return replace(picture, stale=kept.stale)
    raise EsbenchError(f"the log {thing.name} changes all the time; look at it again when it stands still")


def _stamp(log: Log) -> object:
    """What no other load or batch of a stored log has; the same for all that is no stored log, which never changes."""
    if log.source.stored is None:
        return None
    with log.source.reading() as cursor:
        return batch(cursor, log.source.stored.log)


def _read(call: Call, log: Log, place: Place, kept: Kept) -> Picture:
    aggregate = place.aggregate
    if aggregate is None:
        raise EsbenchError("the time machine needs an aggregate: explore(log, aggregate)")
    if aggregate.keyed:
        raise EsbenchError(
            f'"{aggregate.name}" is a read model, which has keys and no streams: see log.history(model, key), '
            "or explore an aggregate"
        )
    stream = place.stream if place.stream is not None else _some_stream(log, aggregate)
    none = np.array([], np.int64)
    if stream is None:
        return Picture(place, Course("", none, none, none, none))
    call.tell(None, "the course of the stream")
    course = kept.get(("course", stream), lambda: course_of(log, aggregate, stream))
    place = replace(place, stream=stream)
    if not len(course):
        return Picture(place, course)
    call.tell(None, "the state")
    over_time = place.as_of is not None
    picture = moments.standing(log, place, course, kept) if over_time else _standing(log, place, course)
    call.tell(None, "the history")
    number = picture.at // PAGE
    stretch = kept.get(("stretch", stream, number), lambda: _stretch(log, aggregate, course, number))
    picture = replace(picture, stretch=stretch)
    picture = moments.with_events(log, picture, stretch, kept) if over_time else _with_events(log, picture, stretch)
    if place.other_stream is not None or place.other_version is not None:
        assert picture.state is not None
        other = log.state(aggregate, place.other_stream or stream, version=place.other_version)
        picture = replace(picture, compared=tuple(changes(picture.state.value, other.value)))
    return what_if_lines.with_branch(log, picture, stretch, kept) if place.edits else picture


def _some_stream(log: Log, aggregate: Aggregate) -> str | None:
    for events in (covered(log.source, aggregate), log.source):
        found = events.rows("select stream_id from events limit 1")
        if found:
            return str(found[0][0])
    return None


def _standing(log: Log, place: Place, course: Course) -> Picture:
    """The state at a version, or at the end."""
    assert place.aggregate is not None
    version = int(course.versions[-1]) if place.version is None else place.version
    state = log.state(place.aggregate, course.stream, version=version)
    return Picture(replace(place, version=version), course, course.place(version), state=state)


def _stretch(log: Log, aggregate: Aggregate, course: Course, number: int) -> Stretch:
    """A page of versions."""
    first, last = number * PAGE, min((number + 1) * PAGE, len(course)) - 1
    versions, counts = (each[first : last + 1].tolist() for each in (course.versions, course.counts))
    history = log.history(aggregate, course.stream, version=versions[-1], last=sum(counts))
    ends = (np.cumsum(counts) - 1).tolist()  # the rows of the last event of each version
    changed = history["changed"].tolist()
    curves = Curves(_before(log, aggregate, course, first), changed)
    paths = curves.paths
    broken = Broken(first, last, after_each(course, first, history["version"].tolist(), history["broken"].tolist()))
    values = {path: curves.values(path) for path in paths[:LINES]}
    chart = Chart(
        {label(path): [of_path[row] for row in ends] for path, of_path in values.items()},
        range(len(versions)),
        len(versions),
        ""
        if broken.whole(course)
        else f"The lines show {span(course, first, last)}: {len(versions):,} of {len(course):,}.",
        max(len(paths) - LINES, 0),
    )
    return Stretch(
        first,
        last,
        {version: changed[row] for version, row, of in zip(versions, ends, counts, strict=True) if of == 1},
        curves,
        chart,
        broken,
        _light(log, course, versions, sum(counts)),
    )


def _light(log: Log, course: Course, versions: Sequence[int], events: int) -> pd.DataFrame | None:
    """The events of some versions in a row; None where their payloads are large."""
    size = log.source.stream(course.stream).rows(
        """
        select coalesce(sum(coalesce(strlen(data), 0) + coalesce(strlen(metadata), 0)), 0)
        from events where version between $a and $b
        """,
        a=versions[0],
        b=versions[-1],
    )[0][0]
    return log.events(course.stream, version=versions[-1], last=events) if size <= _LIGHT else None


def _before(log: Log, aggregate: Aggregate, course: Course, place: int) -> Any:
    """The value of the state at the version before a place."""
    if place == 0:
        return initial_state(aggregate)
    return log.state(aggregate, course.stream, version=int(course.versions[place - 1])).value


def _with_events(log: Log, picture: Picture, stretch: Stretch) -> Picture:
    """With the events that claim the version on screen, and what they changed together."""
    place, course, state, at = picture.place, picture.course, picture.state, picture.at
    assert place.aggregate is not None
    assert state is not None
    picture = replace(picture, chart=stretch.chart, cursor=at - stretch.first)
    if state.version is None:
        return picture
    version, of = int(course.versions[at]), int(course.counts[at])
    if stretch.events is None:
        events = log.events(course.stream, version=version, last=min(of, EVENTS))
    else:
        events = stretch.events[stretch.events["version"] == version].tail(EVENTS)
    changed = stretch.changed.get(version)
    if changed is None:
        changed = tuple(changes(_before(log, place.aggregate, course, at), state.value))
    return replace(picture, events=events, of=of, changed=changed)

"""What the time machine reads: a stream's course, the stretch of history around a version, the picture of a place.

Verbs of the log only. A course is one small query a stream; a stretch is a page of ``log.history``, so that a long
stream is never read as a whole for the lines; both are kept while the slider stays in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from esbench.aggregate import Aggregate, covered
from esbench.errors import EsbenchError
from esbench.fold.changes import Change, changes
from esbench.fold.state import State
from esbench.log import Branch, Log
from esbench.widgets.calls import Call
from esbench.widgets.sparks import Spark

__all__ = ["Course", "Kept", "Picture", "Place", "Stretch", "branched", "moment", "read"]

#: So many versions are read at once for lines and marks; so many fields have lines.
PAGE: Final = 120
_LINES: Final = 5
_OWN: Final = {"version", "position", "event_id", "event_type", "recorded_at", "changed", "trust", "broken"}
#: So many events of one version are shown.
_FORK: Final = 5
#: Courses and stretches that are kept.
_KEPT: Final = 8
#: The events of a stretch are kept while their payloads have no more characters.
_LIGHT: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """What the time machine shows: a stream at a version or a time; compared with another; with edits, in a branch.

    ``edits`` are ``("drop", version)`` and ``("change", version, payload)``, one after another.
    """

    aggregate: Aggregate | None = None
    stream: str | None = None
    version: int | None = None
    as_of: str | None = None
    other_stream: str | None = None
    other_version: int | None = None
    edits: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The versions of a stream in order, with how many events each has and when (microseconds; none: the lowest)."""

    stream: str
    versions: Any
    counts: Any
    times: Any
    damage: tuple[tuple[int, int, str], ...]

    def place(self, version: int) -> int:
        """Where the last version that is not above this one stands; the first where all are."""
        return max(int(np.searchsorted(self.versions, version, side="right")) - 1, 0)

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the last time; None without."""
        known = self.times[self.times > np.iinfo(np.int64).min]
        return (int(known.min()), int(known.max())) if len(known) else None

    def __len__(self) -> int:
        return len(self.versions)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """History between two places of a course: what each version changed and broke, and numeric fields as lines."""

    first: int
    last: int
    rows: dict[int, pd.DataFrame]
    lines: dict[str, Spark]
    broken: tuple[tuple[int, str], ...]
    events: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Everything that is on screen."""

    place: Place
    course: Course
    at: int = 0
    stretch: Stretch | None = None
    state: State | None = None
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    changed: tuple[Change, ...] = ()
    compared: tuple[Change, ...] | None = None
    branch_lines: dict[str, Spark] = field(default_factory=dict)
    diverged: pd.DataFrame | None = None


class Kept:
    """What was read last, so that a step within it reads little; used by one thread at a time."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def get(self, key: Any, make: Any) -> Any:
        """What is kept under a key, or else what ``make()`` gives."""
        if key not in self._kept:
            value = make()
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = value
        self._kept[key] = self._kept.pop(key)
        return self._kept[key]

    def clear(self) -> None:
        """Read everything anew."""
        self._kept.clear()


def read(call: Call, thing: Log, place: Place, kept: Kept) -> Picture:
    """The picture of a place; what it leaves open (a stream, a version) is filled in."""
    log, aggregate = call.follow(thing), place.aggregate
    if aggregate is None:
        raise EsbenchError("the time machine needs an aggregate: explore(log, aggregate)")
    if aggregate.keyed:
        raise EsbenchError(
            f'"{aggregate.name}" is a read model, which has keys and no streams: see log.history(model, key), '
            "or explore an aggregate"
        )
    stream = place.stream if place.stream is not None else _some_stream(log, aggregate)
    if stream is None:
        return Picture(place, Course("", np.array([], np.int64), np.array([]), np.array([], np.int64), ()))
    course: Course = kept.get(("course", stream), lambda: _course(log, aggregate, stream))
    if not len(course):
        return Picture(replace(place, stream=stream), course)
    version = int(course.versions[-1]) if place.version is None and place.as_of is None else place.version
    state = log.state(aggregate, stream, version=version, as_of=place.as_of)
    standing = int(course.versions[0]) if state.version is None else state.version
    at = course.place(standing if version is None else version)
    stretch: Stretch = kept.get(
        ("stretch", stream, at // PAGE), lambda: _stretch(call.follow(thing), aggregate, course, at // PAGE)
    )
    on = int(course.versions[at])
    rows = stretch.rows.get(on)
    nothing = state.version is None or (version is not None and version < on)
    picture = Picture(
        replace(place, stream=stream, version=version),
        course,
        at,
        stretch,
        state,
        pd.DataFrame() if nothing else _events(log, stretch, course, at),
        () if rows is None or nothing else tuple(one for several in rows["changed"] for one in several),
        _compared(log, aggregate, stream, version, state, place),
    )
    return picture if not place.edits else _with_branch(picture, thing, call, kept)


def branched(log: Log, stream: str, edits: Sequence[tuple[Any, ...]]) -> Branch:
    """A branch with edits made one after another."""
    made = log.branch(stream)
    for verb, version, *data in edits:
        made = made.drop(version) if verb == "drop" else made.change(version, data=data[0])
    return made


def moment(microseconds: int) -> datetime:
    """A time in UTC from microseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _some_stream(log: Log, aggregate: Aggregate) -> str | None:
    for events in (covered(log.source, aggregate), log.source):
        found = events.rows("select stream_id from events limit 1")
        if found:
            return str(found[0][0])
    return None


def _course(log: Log, aggregate: Aggregate, stream: str) -> Course:
    rows = log.source.stream(stream).arrow(
        """
        select version, count(*) as events, coalesce(epoch_us(max(recorded_at)), -9223372036854775808) as time
        from events group by version order by version
        """
    )
    versions, counts, times = (rows[name].to_numpy() for name in ("version", "events", "time"))
    course = Course(stream, versions, counts, times, ())
    if not len(versions):
        return course
    marks = log.state(aggregate, stream).marks[:500]
    damage = tuple(
        (course.place(mark.version), course.place(mark.to_version or mark.version), str(mark)) for mark in marks
    )
    return replace(course, damage=damage)


def _stretch(log: Log, aggregate: Aggregate, course: Course, number: int) -> Stretch:
    first, last = number * PAGE, min((number + 1) * PAGE, len(course)) - 1
    events = int(course.counts[first : last + 1].sum())
    history = log.history(aggregate, course.stream, version=int(course.versions[last]), last=events)
    versions = [int(version) for version in course.versions[first : last + 1]]
    rows = {version: history[history["version"] == version] for version in set(history["version"].tolist())}
    broken = tuple(
        (course.place(version), str(rows[version]["broken"].iloc[-1]))
        for version in versions
        if version in rows and rows[version]["broken"].iloc[-1]
    )
    stream = log.source.stream(course.stream)
    size = stream.rows(
        """
        select coalesce(sum(coalesce(strlen(data), 0) + coalesce(strlen(metadata), 0)), 0)
        from events where version between $a and $b
        """,
        a=versions[0],
        b=versions[-1],
    )[0][0]
    light = log.events(course.stream, version=versions[-1], last=events) if size <= _LIGHT else None
    return Stretch(first, last, rows, _lines(history, versions), broken, light)


def _events(log: Log, stretch: Stretch, course: Course, at: int) -> pd.DataFrame:
    """The last events that have a version: most versions have one."""
    version, count = int(course.versions[at]), int(min(course.counts[at], _FORK))
    if stretch.events is None:
        return log.events(course.stream, version=version, last=count)
    return stretch.events[stretch.events["version"] == version].tail(count)


def _lines(history: pd.DataFrame, versions: Sequence[int]) -> dict[str, Spark]:
    """The numeric fields of the states, after the last event of each version."""
    last = history.drop_duplicates("version", keep="last").set_index("version")
    found: dict[str, Spark] = {}
    for name in history.columns:
        if name in _OWN or len(found) == _LINES:
            continue
        known = dict(zip(last.index, (_number(value) for value in last[name]), strict=True))
        if any(value is not None for value in known.values()):
            found[str(name)] = [known.get(version) for version in versions]
    return found


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, Decimal, np.number)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _compared(
    log: Log, aggregate: Aggregate, stream: str, version: int | None, state: State, place: Place
) -> tuple[Change, ...] | None:
    """From the state on screen to another version of this stream, or to a version of another."""
    if place.other_stream is None and place.other_version is None:
        return None
    other = log.state(aggregate, place.other_stream or stream, version=place.other_version)
    return tuple(changes(state.value, other.value))


def _with_branch(picture: Picture, thing: Log, call: Call, kept: Kept) -> Picture:
    place, stream, stretch = picture.place, picture.course.stream, picture.stretch
    assert place.aggregate is not None
    assert stretch is not None
    aggregate = place.aggregate
    key = (stream, repr(place.edits))
    branch = branched(call.follow(thing), stream, place.edits)
    versions = [int(version) for version in picture.course.versions[stretch.first : stretch.last + 1]]

    def lines() -> dict[str, Spark]:
        history = branch.history(aggregate, stream, version=versions[-1], last=2 * PAGE)
        return _lines(history, versions)

    return replace(
        picture,
        diverged=kept.get(("diverged", *key), lambda: branch.diff(aggregate, by="version")),
        branch_lines=kept.get(("lines", *key, stretch.first), lines),
    )

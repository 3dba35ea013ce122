"""Where a stream is wrong: marks along the slider, the first bad version, and what was looked at to say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import numpy as np

from esbench import show
from esbench.aggregate import Aggregate
from esbench.log import Log
from esbench.widgets import marks, sparks
from esbench.widgets.calls import Call
from esbench.widgets.course import Course, bad_version

__all__ = ["Broken", "after_each", "bad_versions", "broken_everywhere", "looked_at", "strip"]

#: In streams of so many events invariants are judged at every version without being asked to.
_ALL: Final = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class Broken:
    """Places from ``first`` to ``last`` at which invariants were judged, and which did not hold at which of them."""

    first: int
    last: int
    found: tuple[tuple[int, str], ...]

    def whole(self, course: Course) -> bool:
        """Whether these are all places of a course."""
        return (self.first, self.last) == (0, len(course) - 1)


def broken_everywhere(call: Call, log: Log, aggregate: Aggregate, course: Course) -> Broken | None:
    """Judge the invariants at every version of a stream; None where that is too long to be done unasked."""
    if course.events > _ALL:
        return None
    call.tell(None, "at every version")
    history = call.follow(log).history(aggregate, course.stream, version=int(course.versions[-1]))
    return Broken(0, len(course) - 1, after_each(course, 0, history["version"].tolist(), history["broken"].tolist()))


def after_each(
    course: Course, first: int, versions: Sequence[int], broken: Sequence[str]
) -> tuple[tuple[int, str], ...]:
    """What is broken after the last event of each version, by place; from what is after each event."""
    last = dict(zip(versions, broken, strict=True))
    return tuple((first + place, names) for place, names in enumerate(last.values()) if names)


def strip(course: Course, broken: Broken, *, invariants: bool, by_time: bool) -> str:
    """Damage along the axis that the slider has, and in words how far it was looked for."""
    of, at = len(course), list(range(len(course)))
    scale, timeless = course.scale, 0
    if by_time and scale is not None:
        of, ends = scale.last - scale.first + 1, np.cumsum(course.counts)
        latest = np.maximum.reduceat(course.order, ends - course.counts)
        at = [int(time) - scale.first for time in latest]
    bars = [(at[place], at[place], str(mark)) for place, mark in course.damage]
    bars += _runs(broken.found, at)
    if by_time:
        timeless = sum(start < 0 or end < 0 for start, end, _ in bars)
        bars = [bar for bar in bars if bar[0] >= 0 and bar[1] >= 0]
    whole = not invariants or broken.whole(course)
    said = [show.count(len(course.damage), "damaged place")] if course.damage else []
    if broken.found:
        said.append(f"invariants broken at {show.count(len(broken.found), 'version')}")
    if not said and whole:
        said.append("no damage known")
    partly = "" if whole else f"invariants were looked at in {span(course, broken.first, broken.last)} only"
    without = f"not drawn: {show.count(timeless, 'mark')} at events without a time" if timeless else ""
    notes = "; ".join(filter(None, (partly, without)))
    label = "; ".join(filter(None, (*said, notes)))
    return sparks.strip(of, bars, label) + (marks.note(notes) if notes else "")


def span(course: Course, first: int, last: int) -> str:
    """Versions from one place to another, in words."""
    return f"versions {int(course.versions[first]):,} to {int(course.versions[last]):,}"


def bad_versions(call: Call, log: Log, aggregate: Aggregate, stream: str) -> list[tuple[int, str]]:
    """Versions at which something is wrong, lowest first: every mark, and where each invariant breaks first."""
    followed = call.follow(log)
    call.tell(0, "damage")
    found = [(bad_version(mark), str(mark)) for mark in followed.state(aggregate, stream).marks]
    for done, name in enumerate(aggregate.invariants):
        call.tell(done / len(aggregate.invariants), name)
        bad = followed.first_bad(aggregate, name, stream)
        found += [(int(version), f"broken: {name}") for version in bad["version"]]
    return sorted(found, key=itemgetter(0))  # marks before what may follow from them


def looked_at(log: Log, aggregate: Aggregate, check: str) -> str:
    """What :func:`bad_versions` looks at in a log, and what says the rest: ``check`` is that call."""
    facts = log.facts
    kinds = [] if facts.derived_versions else ["gaps"]
    kinds += [] if facts.derived_versions or facts.base is None else ["missing heads"]
    kinds += [] if facts.derived_versions else ["forks"]
    kinds += ["duplicates", "failing handlers"] + ["unknown event types"] * (aggregate.unknown == "error")
    kinds += [show.count(len(aggregate.invariants), "invariant")] if aggregate.invariants else []
    return f"Looked at: {', '.join(kinds)}. Lifecycle, ids, causes and clocks are judged by {check}."


def _runs(found: Iterable[tuple[int, str]], at: Sequence[int]) -> list[tuple[int, int, str]]:
    """One bar for versions in a row at which the same invariants do not hold."""
    runs: list[tuple[int, int, str]] = []
    for place, names in found:
        if runs and runs[-1][1] == place - 1 and runs[-1][2] == names:
            runs[-1] = (runs[-1][0], place, names)
        else:
            runs.append((place, place, names))
    return [(min(at[start], at[end]), max(at[start], at[end]), f"broken: {names}") for start, end, names in runs]

"""The course of a stream: its versions, the moments at which events of it were recorded, and where it is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from esbench.aggregate import Aggregate
from esbench.fold.state import Mark
from esbench.log import Log

__all__ = ["Course", "Scale", "bad_version", "course_of", "microseconds", "moment"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Stands for no time. A time before the year 1, which a zone can make, counts as its beginning.
_NONE: Final = np.iinfo(np.int64).min
_LOWEST: Final = -62_135_596_800_000_000
#: Steps of a slider that runs over time.
_STEPS: Final = 1_000
#: A stream of more events takes long where no snapshot helps.
_LONG: Final = 50_000


@dataclass(frozen=True, slots=True)
class Scale:
    """The steps of a slider over time, each at a time of its own, since a step must lead somewhere.

    >>> scale = Scale(0, 3_000)
    >>> scale.time(500), scale.nearest(1_501), Scale(5, 7).steps
    (1500, 500, 2)
    """

    first: int
    last: int

    @property
    def steps(self) -> int:
        """How many steps lead from the first time to the last."""
        return min(_STEPS, self.last - self.first)

    def time(self, step: int) -> int:
        """The time of a step."""
        return self.first + (self.last - self.first) * step // max(self.steps, 1)

    def nearest(self, time: int) -> int:
        """The step whose time is nearest; that of a step is the step."""
        inside = min(max(time, self.first), self.last)
        step = -(-(inside - self.first) * self.steps // max(self.last - self.first, 1))
        return step - (step > 0 and inside - self.time(step - 1) < self.time(step) - inside)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The versions of a stream in order with their events, and the moments (distinct times) in order.

    ``order`` has the time of each event in folding order, ``damage`` the marks of the whole stream, each where the
    state begins to be wrong. Times are microseconds since 1970.
    """

    stream: str
    versions: Any
    counts: Any
    order: Any
    moments: Any
    damage: tuple[tuple[int, Mark], ...] = ()
    hint: str = ""

    @property
    def events(self) -> int:
        """How many events the stream has."""
        return len(self.order)

    @property
    def scale(self) -> Scale | None:
        """The steps from the first moment to the last; None without any."""
        return Scale(int(self.moments[0]), int(self.moments[-1])) if len(self.moments) else None

    def place(self, version: int) -> int:
        """Where the last version that is not above this one stands; the first where all are."""
        return max(int(np.searchsorted(self.versions, version, side="right")) - 1, 0)

    def moment(self, time: int) -> int:
        """Which moment is the last that is not after a time; -1 before the first."""
        return int(np.searchsorted(self.moments, time, side="right")) - 1

    def of_moment(self, number: int) -> int:
        """Where the version of a moment's event stands, of several the last in folding order; the first before all."""
        if number < 0:
            return 0
        event = int(np.flatnonzero(self.order == self.moments[number])[-1])
        return int(np.searchsorted(np.cumsum(self.counts), event, side="right"))

    def time(self, place: int) -> int | None:
        """When the events of a version were recorded, the latest of them; None where they have no time."""
        end = int(self.counts[: place + 1].sum())
        latest = int(self.order[end - int(self.counts[place]) : end].max())
        return None if latest == _NONE else latest

    def taken(self, number: int) -> int | None:
        """How many events were recorded by a moment, if they are the first of the stream; None if they are not."""
        taken = (self.order != _NONE) & (self.order <= self.moments[number])
        count = int(taken.sum())
        return count if taken[:count].all() else None

    def __len__(self) -> int:
        return len(self.versions)


def course_of(log: Log, aggregate: Aggregate, stream: str) -> Course:
    """Read the course of a stream. Raises UnknownStream."""
    rows = log.source.stream(stream).arrow(
        """
        select version, coalesce(epoch_us(recorded_at), $none) as time from events order by version, position
        """,
        none=_NONE,
    )
    versions, counts = np.unique(rows["version"].to_numpy(), return_counts=True)
    time = rows["time"].to_numpy()
    order = np.where(time == _NONE, _NONE, np.maximum(time, _LOWEST))
    moments = np.unique(order[order != _NONE])
    if not len(versions):
        return Course(stream, versions, counts, order, moments)
    # Asked before the fold, which may leave snapshots behind that live for the process only.
    slow = len(order) > _LONG and log.source.within is not None and not log.has_snapshots(aggregate, stream)
    marks = log.state(aggregate, stream).marks
    places = np.searchsorted(versions, [bad_version(mark) for mark in marks])
    damage = tuple(zip(places.tolist(), marks, strict=True))
    hint = _hint(aggregate, len(order), whole=not marks) if slow else ""
    return Course(stream, versions, counts, order, moments, damage, hint)


def bad_version(mark: Mark) -> int:
    """The first version whose state is not to be trusted: after a hole the next one that there is."""
    return mark.version if mark.to_version is None else mark.to_version + 1


def moment(time: int) -> datetime:
    """A time in UTC from microseconds since 1970.

    >>> moment(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return _EPOCH + timedelta(microseconds=time)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of a time.

    >>> microseconds(moment(7))
    7
    """
    return (time - _EPOCH) // timedelta(microseconds=1)


def _hint(aggregate: Aggregate, events: int, *, whole: bool) -> str:
    """What to do about a stream that takes long."""
    if not whole:
        made = "and as it is damaged no snapshot can spare it that"
    else:
        first = "" if aggregate.revision is not None else "give the aggregate a revision=, then "
        made = f"to spare it that, {first}log.snapshot(aggregate) saves states along the way in the bench"
    return f"A look at this stream folds {events:,} events; {made}."

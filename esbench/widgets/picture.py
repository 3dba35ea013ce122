"""What the time machine shows: a place, the picture of it, and what is kept of the log from one picture to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.fold.changes import Change
from esbench.fold.state import State
from esbench.widgets.course import Course
from esbench.widgets.curves import Chart, Curves
from esbench.widgets.damage import Broken
from esbench.widgets.sparks import Spark

__all__ = ["END", "EVENTS", "Kept", "Picture", "Place", "Stretch"]

_T = TypeVar("_T")

#: So many events of one version or moment are shown.
EVENTS: Final = 5
#: Courses, stretches and states that are kept.
_KEPT: Final = 12
#: Stands for a time: that of the last moment, whichever that is by then.
END: Final = "end"


@dataclass(frozen=True, slots=True)
class Place:
    """What the time machine shows: a stream at a version or a time; compared with another; with edits, in a branch.

    ``edits`` are ``("drop", version)`` and ``("change", version, payload)``, in order, with the log's versions.
    """

    aggregate: Aggregate | None = None
    stream: str | None = None
    version: int | None = None
    as_of: str | None = None
    other_stream: str | None = None
    other_version: int | None = None
    edits: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """History between two places of a course.

    ``changed`` has what each version changed that one event alone claims; ``curves`` the numbers after each event;
    ``events`` the events, where they are light enough to be kept.
    """

    first: int
    last: int
    changed: Mapping[int, tuple[Change, ...]]
    curves: Curves
    chart: Chart
    broken: Broken
    events: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Everything that is on screen.

    ``at`` is the place of the version on screen, over time that of the moment's event; ``moment`` is the number of the
    moment, -1 before the first and None where versions are looked at. ``events`` are those that did it, ``changed`` is
    what they changed together. ``stale``: the log is no longer what it was when the widget opened it.
    """

    place: Place
    course: Course
    at: int = 0
    moment: int | None = None
    stretch: Stretch | None = None
    state: State | None = None
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    of: int = 0
    changed: tuple[Change, ...] = ()
    chart: Chart = field(default_factory=Chart)
    cursor: int = 0
    compared: tuple[Change, ...] | None = None
    branch_lines: dict[str, Spark] = field(default_factory=dict)
    diverged: pd.DataFrame | None = None
    #: The position that the event of each edit has in the branch by then.
    edited: tuple[int, ...] = ()
    stale: bool = False
    #: The state and the events as HTML: made with the picture, where that can be stopped, since some are large.
    trees: tuple[str, str] = ("", "")


class Kept:
    """What was read last of a log as it is, so that a step reads little; used by one thread at a time."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}
        self._stamps: list[object] = []

    @property
    def stale(self) -> bool:
        """Whether the log has changed since it was first read."""
        return len(self._stamps) > 1

    def hold(self, stamp: object) -> None:
        """Forget everything that was read of the log when it was another."""
        if stamp not in self._stamps[-1:]:
            self._stamps = [*self._stamps[:1], stamp]
            self._kept.clear()

    def get(self, key: Any, make: Callable[[], _T]) -> _T:
        """What is kept under a key, or else what ``make()`` gives."""
        value: _T = self._kept.pop(key) if key in self._kept else make()
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = value
        return value

"""What a comparison of states gives: counts that are exact, and as many differences as somebody can look at."""

from __future__ import annotations

import marshal
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, NamedTuple

from esbench.event import Event
from esbench.fold.changes import ABSENT, changes
from esbench.fold.copies import lent
from esbench.fold.reading import Missing
from esbench.migrate.states.expected import PLAIN, Difference, Expect, Expectations, Verdict

__all__ = ["Differing", "Fault", "Group", "Kind", "Place", "Tally", "differences"]

#: So many shapes of difference are told apart; those of further ones are told by their depth only.
_SHAPES: Final = 200
_INDEX: Final = re.compile(r"/\d+(?=/|$)")
_STEP: Final = re.compile(r"/[^/]*")

Kind = Literal["added", "removed", "changed"]


class Place(NamedTuple):
    """The last old and new row at a cut, and the streams that they are in; all are numbers."""

    old_row: int
    new_row: int
    old_stream: int
    new_stream: int


@dataclass(slots=True)
class Differing:
    """A path at which the states of one stream differ: first where, and at how many cuts."""

    place: Place
    path: str
    before: Any
    after: Any
    expected: bool
    pattern: str
    note: str
    cuts: int
    order: int = -1


@dataclass(slots=True)
class Group:
    """Differences of one shape: their path pattern and kind, how many, and the first of them."""

    path: str
    kind: Kind
    expected: bool
    cuts: int
    streams: int
    first: Differing


@dataclass(frozen=True, slots=True)
class Fault:
    """A handler that failed on the way: the stream's number and the row's version, and what was raised."""

    side: Literal["old", "new"]
    stream: int
    version: int
    event_type: str
    error: str


class Tally:
    """Compares states and counts. What is found of a stream counts once the stream is :meth:`kept`."""

    def __init__(self, expect: Expect, limit: int) -> None:
        self.expectations = Expectations(expect)
        self.limit = limit
        self.cuts = self.streams = self.failing = self.differing = self.past_faults = 0
        self.groups: dict[tuple[str, Kind, bool], Group] = {}
        self.listed: dict[bool, list[Differing]] = {True: [], False: []}
        self.faults: list[tuple[int, Fault]] = []
        self._cuts = self._failing = 0
        self._found: dict[tuple[str, bool], Differing] = {}

    def compare(self, old: Any, new: Any, times: int, place: Place | tuple[int, ...]) -> None:
        """Compare two states that stand so at a number of cuts. They are looked at now, and copied where told."""
        self._cuts += times
        # Where a stream differed before, it mostly does again.
        if not self._found and _alike(old, new):
            return
        found = differences(old, new)
        if found:
            self._note(found, self.expectations.judge(found, old, new), times, place)

    def refuse(self, old: Any, note: str, times: int, place: Place) -> None:
        """Count an old state for which there is no new one, and say why."""
        self._cuts += times
        self._note([("", old, ABSENT)], [("", False, note)], times, place)

    def _note(
        self, found: list[Difference], verdicts: Iterable[Verdict], times: int, place: Place | tuple[int, ...]
    ) -> None:
        failing = False
        for (path, before, after), (pattern, expected, note) in zip(found, verdicts, strict=True):
            failing = failing or not expected
            known = self._found.get((path, expected))
            if known is not None:
                known.cuts += times
            else:
                self._found[path, expected] = Differing(
                    Place(*place), path, lent(before), lent(after), expected, pattern, note, times
                )
        if failing:
            self._failing += times

    def drop(self) -> None:
        """Forget what was found of the stream at hand: it is folded again."""
        self._cuts = self._failing = 0
        self._found = {}

    def absorb(self, other: Tally) -> None:
        """Count what another tally found of other streams."""
        self.expectations.absorb(other.expectations)
        for name in ("cuts", "streams", "failing", "differing", "past_faults"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for shape, group in other.groups.items():
            if (mine := self.groups.setdefault(shape, group)) is not group:
                mine.cuts += group.cuts
                mine.streams += group.streams
                mine.first = min(mine.first, group.first, key=attrgetter("order"))
        for expected, listed in self.listed.items():
            listed += other.listed[expected]
            listed.sort(key=attrgetter("order"))
            del listed[self.limit :]
        self.faults = sorted(self.faults + other.faults, key=itemgetter(0))[: self.limit]

    def keep(self, order: int, faults: Iterable[Fault] = ()) -> None:
        """Count what was found of the stream at hand, the one at ``order`` among all."""
        self.streams += 1
        self.cuts += self._cuts
        faults = list(faults)
        self.past_faults += bool(faults)
        self.faults += [(order, fault) for fault in faults[: max(self.limit - len(self.faults), 0)]]
        if self._found:
            self.failing += bool(self._failing)
            self.differing += self._failing
            shapes: set[tuple[str, Kind, bool]] = set()
            for difference in self._found.values():
                difference.order = order
                shapes.add(self._grouped(difference, shapes))
                if len(self.listed[difference.expected]) < self.limit:
                    self.listed[difference.expected].append(difference)
        self.drop()

    def _grouped(self, difference: Differing, shapes: set[Any]) -> tuple[str, Kind, bool]:
        kind: Kind = "changed"
        if difference.before is ABSENT or difference.after is ABSENT:
            kind = "added" if difference.before is ABSENT else "removed"
        shape = (difference.pattern or _INDEX.sub("/*", difference.path), kind, difference.expected)
        if shape not in self.groups and len(self.groups) >= _SHAPES:
            shape = (_STEP.sub("/*", difference.path), kind, difference.expected)
        group = self.groups.get(shape)
        if group is None:
            group = self.groups[shape] = Group(*shape, 0, 0, difference)
        group.cuts += difference.cuts
        group.streams += shape not in shapes
        if difference.order < group.first.order:
            group.first = difference
        return shape


def differences(old: Any, new: Any) -> list[Difference]:
    """Where two values differ, as :func:`esbench.fold.changes.changes` says; fast where few fields of a dict do.

    >>> differences({"n": 1, "tags": ["a"]}, {"n": True, "tags": ["a"]})
    [('/n', 1, True)]
    """
    if type(old) is not dict or type(new) is not dict:
        return _slowly(old, new)
    found: list[Difference] = []
    for key, one in old.items():
        if type(key) is not str:
            return _slowly(old, new)
        other = new.get(key, ABSENT)
        kind = type(one)
        if one is other or (kind is type(other) and kind in PLAIN and one == other):
            continue
        if kind in PLAIN and (other is ABSENT or type(other) in PLAIN):
            found.append((pointer(key), one, other))
        elif not _alike(one, other):
            found += [(pointer(key) + path, *rest) for path, *rest in _slowly(one, other)]
    for key, other in new.items():
        if type(key) is not str:
            return _slowly(old, new)
        if key not in old:
            found.append((pointer(key), ABSENT, other))
    return found


def _alike(old: Any, new: Any) -> bool:
    """Whether two plain values are the same for certain; some that are the same are not known to be."""
    try:
        # As bytes True, 1 and 1.0 differ; equal values may too, and then are looked at one by one.
        return marshal.dumps(old, 2) == marshal.dumps(new, 2)
    except ValueError:  # no plain values
        return False


def _slowly(old: Any, new: Any) -> list[Difference]:
    found = [(each.path, each.before, each.after) for each in changes(old, new)]
    for _, *values in found:
        for value in values:
            if isinstance(value, Event) and type(value) is not Event:
                _want(value)
    return found


def _want(event: Event) -> None:
    """Ask for the columns of an event in a state that were not fetched: only whole events can be compared."""
    for name in Event.__struct_fields__:
        with suppress(Missing):
            getattr(event, name)
    raise Missing


@lru_cache(maxsize=10_000)
def pointer(key: str) -> str:
    """The path of a field.

    >>> pointer("a/b")
    '/a~1b'
    """
    return f"/{key.replace('~', '~0').replace('/', '~1')}"

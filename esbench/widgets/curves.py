"""Numeric fields of states as lines: by path, at any depth, taken from what each event changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import numpy as np

from esbench.fold.changes import ABSENT, Change, leaves
from esbench.widgets.sparks import Spark

__all__ = ["Chart", "Curves", "label", "number"]

#: So many fields have lines; so many are looked at.
LINES: Final = 5
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """Lines over places of an axis that has ``of``: versions in order, or microseconds.

    ``words`` say what they span, where that is not what the slider spans; ``more`` numeric fields have no line.
    """

    lines: dict[str, Spark] = field(default_factory=dict)
    places: Sequence[int] = ()
    of: int = 0
    words: str = ""
    more: int = 0


class Curves:
    """The numbers in a state as one event after another changes it.

    >>> curves = Curves({"n": 1, "at": {"x": 2}}, [[Change("/at/x", 2, 5)], [Change("/n", 1, ABSENT)]])
    >>> curves.paths, curves.values("/n"), curves.values("/at/x")
    (['/n', '/at/x'], [1.0, None], [5.0, 5.0])
    """

    def __init__(self, before: Any, changed: Iterable[Iterable[Change]]) -> None:
        #: For each path at which event its number became what; -1 is before the first.
        self._steps: dict[str, list[tuple[int, float | None]]] = {}
        self._count = 0
        self._set("", before, -1)
        for event, some in enumerate(changed):
            self._count = event + 1
            for change in some:
                if change.before is not ABSENT:
                    self._unset(change.path, change.before, event)
                if change.after is not ABSENT:
                    self._set(change.path, change.after, event)

    @property
    def paths(self) -> list[str]:
        """The paths at which there ever is a number: those that change first, then those that lie higher."""
        known = {path: self.values(path) for path in self._steps}
        found = [path for path, values in known.items() if any(value is not None for value in values)]
        return sorted(found, key=lambda path: (len(set(known[path])) == 1, path.count("/")))

    def values(self, path: str) -> list[float | None]:
        """The number at a path after each event."""
        return self.between(path)[1:]

    def between(self, path: str) -> list[float | None]:
        """The number at a path before the first event, and after each."""
        steps = [*self._steps.get(path, ()), (self._count, None)]
        found: list[float | None] = [None] * (self._count + 1)
        for (start, value), (end, _) in pairwise(steps):
            found[start + 1 : end + 1] = [value] * (end - start)
        return found

    def _unset(self, path: str, value: Any, event: int) -> None:
        for inner, _ in leaves(value):
            if path + inner in self._steps:
                self._note(path + inner, event, None)

    def _set(self, path: str, value: Any, event: int) -> None:
        for inner, leaf in leaves(value):
            known = number(leaf)
            if known is not None and (path + inner in self._steps or len(self._steps) < _MOST):
                self._note(path + inner, event, known)

    def _note(self, path: str, event: int, value: float | None) -> None:
        steps = self._steps.setdefault(path, [])
        if steps and steps[-1][0] == event:
            steps.pop()
        if not steps or steps[-1][1] != value:
            steps.append((event, value))


def number(value: Any) -> float | None:
    """A value as a number for a line; None for what is none, or has no finite one.

    >>> number(True), number(Decimal("1.5")), number(float("nan"))
    (None, 1.5, None)
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, Decimal, np.number)):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError, TypeError):
        return None
    return found if math.isfinite(found) else None


def label(path: str) -> str:
    """What the line of a path is called: a field by its name, what is nested by its path.

    >>> label("/quantity"), label("/a/b"), label("")
    ('quantity', '/a/b', 'state')
    """
    name = path[1:].replace("~1", "/").replace("~0", "~")
    return "state" if not path else path if "/" in name or not name else name

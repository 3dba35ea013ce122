"""Differences between old and new states that a migration declares: what may appear, go, change, or move a little.

A declaration stands at a *path pattern*: a JSON Pointer, in which a step ``*`` stands for any one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, Final

from esbench.errors import EsbenchError, described
from esbench.fold.changes import ABSENT, brief, same
from esbench.fold.copies import lent

__all__ = [
    "PLAIN",
    "Added",
    "Changed",
    "Difference",
    "Expect",
    "Expectations",
    "Removed",
    "Verdict",
    "Within",
    "added",
    "changed",
    "removed",
    "told",
    "within",
]


class _Any:
    """Any value whatever."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "anything"

    def __reduce__(self) -> str:
        return "ANY"


ANY: Final = _Any()


@dataclass(frozen=True, slots=True)
class Added:
    """The new state has something where the old one has nothing."""

    value: Any = ANY

    def meets(self, before: Any, after: Any) -> bool:
        """Whether a difference is this one."""
        return before is ABSENT and _is(after, self.value)

    def __repr__(self) -> str:
        return f"added({_shown(self.value)})"


@dataclass(frozen=True, slots=True)
class Removed:
    """The old state has something where the new one has nothing."""

    value: Any = ANY

    def meets(self, before: Any, after: Any) -> bool:
        """Whether a difference is this one."""
        return after is ABSENT and _is(before, self.value)

    def __repr__(self) -> str:
        return f"removed({_shown(self.value)})"


@dataclass(frozen=True, slots=True)
class Changed:
    """Both states have something, and it differs."""

    old: Any = ANY
    new: Any = ANY

    def meets(self, before: Any, after: Any) -> bool:
        """Whether a difference is this one."""
        return before is not ABSENT and after is not ABSENT and _is(before, self.old) and _is(after, self.new)

    def __repr__(self) -> str:
        given = [f"{name}={brief(one)}" for name, one in (("old", self.old), ("new", self.new)) if one is not ANY]
        return f"changed({', '.join(given)})"


@dataclass(frozen=True, slots=True)
class Within:
    """Both states have a number, and the two lie no further apart than this."""

    tolerance: float | Decimal

    def meets(self, before: Any, after: Any) -> bool:
        """Whether a difference is this one."""
        if not (_number(before) and _number(after)):
            return False
        if isinstance(before, int) and isinstance(after, int):
            return abs(before - after) <= self.tolerance
        apart = _WIDE.subtract(_WIDE.create_decimal(before), _WIDE.create_decimal(after))
        return abs(apart) <= Decimal(self.tolerance)

    def __repr__(self) -> str:
        return f"within({self.tolerance})"


#: Two doubles as far apart as they can be still have an exact enough difference, and no digits of a third number count.
_WIDE: Final = Context(prec=60, Emax=999_999, Emin=-999_999)

Rule = Added | Removed | Changed | Within | Callable[[Any, Any], Any]
Expect = Mapping[str, Rule] | Callable[[Any, Any], Any] | None


def added(value: Any = ANY) -> Added:
    """Expect that a path is new in the states, with any value or this one.

    >>> added("EUR").meets(ABSENT, "EUR"), added("EUR").meets(None, "EUR")
    (True, False)
    """
    return Added(value)


def removed(value: Any = ANY) -> Removed:
    """Expect that a path is gone from the states, with any value or this one.

    >>> removed().meets(7, ABSENT), removed(True).meets(1, ABSENT)
    (True, False)
    """
    return Removed(value)


def changed(old: Any = ANY, new: Any = ANY) -> Changed:
    """Expect that the value at a path is another, from any or this one to any or that one.

    >>> changed(old="EU").meets("EU", 7), changed("EU", "EUR")
    (True, changed(old='EU', new='EUR'))
    """
    return Changed(old, new)


def within(tolerance: float | Decimal) -> Within:
    """Expect that the number at a path is another, but no further away than a tolerance; 1 and 1.0 are 0 apart.

    >>> within(0.01).meets(2.5, 2.505), within(0.01).meets(2.5, "2.5")
    (True, False)
    """
    if not _number(tolerance) or not math.isfinite(tolerance) or tolerance < 0:
        raise EsbenchError(f"within() takes how far two numbers may be apart, such as 0.01, not {brief(tolerance)}")
    return Within(tolerance)


#: Types that are no containers, and whose equal values are the same.
PLAIN: Final = frozenset({int, str, bool, type(None)})
#: So many paths, and so many differences, are remembered.
_KNOWN: Final = 10_000
_STABLE: Final = PLAIN | {type(ABSENT)}

#: A path, and what two values have there; ABSENT for nothing.
Difference = tuple[str, Any, Any]
#: The pattern that allows a difference, whether one does, and what a function raised.
Verdict = tuple[str, bool, str]


class Expectations:
    """What may differ, and which of it has occurred.

    ``expect`` as :func:`~esbench.migrate.states.equivalence.same_state` takes it; raises EsbenchError for all else.

    >>> expected = Expectations({"/lines/*/currency": added("EUR"), "/total": within(0.01)})
    >>> expected.judge([("/lines/3/currency", ABSENT, "EUR"), ("/name", "a", "b")], None, None)
    [('/lines/*/currency', True, ''), ('', False, '')]
    >>> expected.unmet()
    ('/total: within(0.01)',)
    """

    def __init__(self, expect: Expect) -> None:
        _refuse(expect)
        self._whole = expect if callable(expect) else None
        self._rules: dict[str, Rule] = {} if expect is None or callable(expect) else dict(expect)
        self._patterns = [(pattern, _steps(pattern)) for pattern in self._rules]
        self._met: set[str] = set()
        self._known: dict[tuple[Any, ...], Verdict] = {}
        self._matching = lru_cache(maxsize=_KNOWN)(lambda path: tuple(self._search(path)))

    def judge(self, differences: list[Difference], old: Any, new: Any) -> list[Verdict]:
        """What is to be said of each difference of two states."""
        if self._whole is not None:
            fine, note = _asked(self._whole, old, new)
            if fine:
                self._met.add("")
            return [("", fine, note)] * len(differences)
        return [self._judged(each) for each in differences] if self._rules else [("", False, "")] * len(differences)

    def unmet(self) -> tuple[str, ...]:
        """The expectations that allowed no difference: mostly typing errors."""
        if self._whole is not None:
            return () if self._met else (f"the function {_called(self._whole)}",)
        return tuple(f"{pattern}: {_told(rule)}" for pattern, rule in self._rules.items() if pattern not in self._met)

    def absorb(self, other: Expectations) -> None:
        """Take what occurred elsewhere as occurred here."""
        self._met |= other._met

    def _judged(self, difference: Difference) -> Verdict:
        path, before, after = difference
        kinds = type(before), type(after)
        if kinds[0] not in _STABLE or kinds[1] not in _STABLE:
            return self._asked(path, before, after)
        # The usual difference is the same in every state.
        key = (path, *kinds, before, after)
        known = self._known.get(key)
        if known is None:
            known = self._asked(path, before, after)
            if not any(callable(self._rules[pattern]) for pattern in self._matching(path)):
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[key] = known
        return known

    def _asked(self, path: str, before: Any, after: Any) -> Verdict:
        notes = []
        for pattern in self._matching(path):
            rule = self._rules[pattern]
            if isinstance(rule, (Added, Removed, Changed, Within)):
                fine, note = rule.meets(before, after), ""
            else:
                fine, note = _asked(rule, before, after)
            if fine:
                self._met.add(pattern)
                return pattern, True, ""
            notes.append(note)
        return "", False, "; ".join(filter(None, notes))

    def _search(self, path: str) -> Iterator[str]:
        steps = _steps(path)
        for pattern, wanted in self._patterns:
            if len(wanted) == len(steps) and all(one in ("*", step) for one, step in zip(wanted, steps, strict=True)):
                yield pattern


def told(expect: Expect) -> str:
    """What may differ, as the end of a sentence; '' where nothing may.

    >>> told({"/currency": added("EUR")})
    "/currency: added('EUR')"
    """
    if expect is None:
        return ""
    if callable(expect):
        return f"what {_called(expect)} allows"
    return ", ".join(f"{pattern}: {_told(rule)}" for pattern, rule in expect.items())


def _refuse(expect: Any) -> None:
    if expect is None or callable(expect):
        return
    if not isinstance(expect, Mapping):
        raise EsbenchError(
            "expect= takes a dict from paths to what may differ there, such as "
            f'{{"/currency": es.added("EUR")}}, or a function (old, new) -> bool, not {brief(expect)}'
        )
    for pattern, rule in expect.items():
        if not isinstance(pattern, str) or (pattern and not pattern.startswith("/")):
            raise EsbenchError(
                f"expect=: {brief(pattern)} is not a path: a JSON Pointer begins with /, as in /currency"
            )
        if not callable(rule) and not isinstance(rule, (Added, Removed, Changed, Within)):
            raise EsbenchError(
                f"expect=: at {pattern} stands {brief(rule)}; say es.added(…), es.removed(…), es.changed(…), "
                "es.within(…), or give a function (old, new) -> bool"
            )


def _asked(function: Callable[[Any, Any], Any], old: Any, new: Any) -> tuple[bool, str]:
    """What a user's function says of copies of two values, or what it raised."""
    try:
        answer = function(lent(old), lent(new))
        return bool(answer), "expect= returned None" if answer is None else ""
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 (a user's function may raise anything)
        return False, f"expect= raised {described(error)}"


def _steps(path: str) -> list[str]:
    return path.split("/")[1:]


def _is(value: Any, wanted: Any) -> bool:
    return value is not ABSENT if wanted is ANY else same(value, wanted)


def _number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, (int, float, Decimal)) and value == value  # NaN is none


def _shown(value: Any) -> str:
    return "" if value is ANY else brief(value)


def _told(rule: Rule) -> str:
    return repr(rule) if isinstance(rule, (Added, Removed, Changed, Within)) else f"what {_called(rule)} allows"


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", None) or brief(function))

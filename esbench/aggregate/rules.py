"""What an aggregate is made of: handlers, predicates, a lifecycle, and what can be none of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from esbench.event import Event

__all__ = ["Handler", "Lifecycle", "Predicate", "called", "unfit"]

Handler = Callable[[Any, Event], Any]
Predicate = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Which events may come first, which may follow which, and which end a stream.

    ``first`` is None where any may come first; a type that is no key of ``transitions`` may be followed by any.
    """

    first: tuple[str, ...] | None = None
    transitions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    final: tuple[str, ...] = ()

    @property
    def named(self) -> frozenset[str]:
        """Every event type that the lifecycle names."""
        return frozenset({*(self.first or ()), *self.transitions, *self.final}.union(*self.transitions.values()))


def unfit(function: Any, what: str, shape: str, count: int) -> str:
    """Why something cannot be called with so many arguments, or does not give its result at once; '' if it can.

    >>> unfit(lambda: True, "predicate", "(state)", 1)
    'the predicate <lambda> takes (), it must take (state)'
    """
    if not callable(function):
        return f"a {what} is a function {shape}, not {function!r}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return f"the {what} {called(function)} is a coroutine or generator; it must return its result"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return ""
    try:
        signature.bind(*range(count))
    except TypeError:
        return f"the {what} {called(function)} takes {signature}, it must take {shape}"
    return ""


def called(function: Any) -> str:
    """What a function is called in messages."""
    return str(getattr(function, "__qualname__", None) or repr(function))

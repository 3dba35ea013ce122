"""Steps in which a function of the user sees whole events, in stream order: one becomes several, several become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from esbench import payload
from esbench.event import Event
from esbench.migrate.step import MigrationError, Step, name_of, which
from esbench.migrate.steps.calls import Each, Split, Task
from esbench.migrate.steps.made import Raw, Wrong
from esbench.migrate.steps.several import replaced
from esbench.migrate.work import Work
from esbench.payload import PayloadError
from esbench.payload.tree import Document
from esbench.show import cell

__all__ = ["map_events", "split"]


@dataclass(frozen=True, repr=False)
class CallStep(Step):
    """Events replaced by what a function makes of each; ``user`` is the user's own, where the task's is not."""

    task: Task
    said: str
    user: Callable[..., Any] | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        return f"{self.said} ({self.which})"

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        function = self.user or self.task.function
        return {name_of(function): function}

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return replaced(work, number, hit, self.task, **bound)


def map_events(
    function: Callable[[Event], Any],
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> CallStep:
    """Put what a function makes of an event in its place: an event, None (it is dropped), or a list of events.

    Events come in folding order, stream by stream. New ones are made with :meth:`Event.changed`, or as pairs of type
    and payload in a list; they stay in their stream, and positions and versions are given by the step: later versions
    move. One of several that is not the event itself gets an id of its own. What an :class:`Event` that was made anew
    leaves out of stream type and times, it has from the event in whose place it stands. An event on which the function
    raises, or for which it gives something else, stays as it is, marked as failed. :attr:`Event.data` decodes anew at
    each access: to change a payload, take it once, change it, and return it with :meth:`Event.changed`. An event made
    anew says 0 for position and version; one that names others than its own fails, as one of another stream does.

    >>> map_events(lambda event: event.changed(event_type="Opened"), type="AccountOpened")
    map events by <lambda> (AccountOpened)
    """
    _callable(function, "map_events")
    taken = which(type, streams=streams, where=where)
    return CallStep(taken, Each(function), f"map events by {name_of(function)}")


def split(
    type: str | Iterable[str],
    function: Callable[[Event], Iterable[Any]] | None = None,
    *,
    into: Mapping[str, Iterable[str]] | None = None,
    schema_version: int | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> Step:
    """Split one event into several, by a function that gives a list of ``(event_type, data)`` or events, or by paths.

    ``into`` names, for each new event, the paths that it takes over; their values keep their text, a path that leads
    nowhere is left out, and so is what no path names. Times and metadata are those of the event that is split, and
    so is the schema version where the type stays; others have ``schema_version``. All get new ids, and later versions
    move. :attr:`Event.data` decodes anew at each access: to change a payload, take it once, change it, and return it.

    >>> split("OrderPlaced", into={"OrderOpened": ["/id", "/customer"], "OrderPriced": ["/price"]})
    split into OrderOpened (/id, /customer) and OrderPriced (/price) (OrderPlaced)
    """
    if (function is None) == (into is None):
        raise MigrationError(f"split({type!r}): give a function or into=, one of the two")
    taken = which(type, streams=streams, where=where)
    if function is not None:
        _callable(function, "split")
        return CallStep(taken, Split(function, schema_version), f"split events by {name_of(function)}")
    assert into is not None
    parts = {name: tuple([paths] if isinstance(paths, str) else paths) for name, paths in into.items()}
    if not parts:
        raise MigrationError(f"split({type!r}): into= names no event")
    for name, paths in parts.items():
        which(name)
        for path in paths:
            try:
                steps = payload.pointer(path)
            except PayloadError as error:
                raise MigrationError(f"split({type!r}), {cell(name)}: {error}") from None
            if not steps or "*" in steps:
                raise MigrationError(f'split({type!r}), {cell(name)}: {path!r} is no path to one value, as "/name" is')
    return Parted(taken, parts, schema_version)


@dataclass(frozen=True, repr=False)
class Parted(Step):
    """Events split by paths: each new one has some members of the old, as they stand."""

    parts: Mapping[str, tuple[str, ...]]
    schema_version: int | None = None

    @property
    def sentence(self) -> str:
        said = " and ".join(f"{cell(name)} ({', '.join(map(cell, paths))})" for name, paths in self.parts.items())
        return f"split into {said} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return replaced(work, number, hit, Split(_Parts(self.parts), self.schema_version), **bound)


@dataclass(frozen=True)
class _Parts:
    """What :func:`split` does by paths, as a function of an event."""

    parts: Mapping[str, tuple[str, ...]]

    def __call__(self, event: Event) -> list[tuple[str, Any]]:
        if event.data_text is None:
            return [(name, None) for name in self.parts]
        if not event.data_text.lstrip().startswith("{"):
            raise Wrong("the payload is no object")
        if all(path.count("/") == 1 for paths in self.parts.values() for path in paths):
            with suppress(PayloadError):
                return self._shallow(payload.fields(event.data_text))
        whole = Document(event.data_text)
        made = []
        for name, paths in self.parts.items():
            part = Document("{}")
            for path in paths:
                for match in whole.matches(payload.pointer(path)):
                    part.add(payload.pointer(path), whole.raw(match.member))
            made.append((name, Raw(part.text())))
        return made

    def _shallow(self, found: Mapping[str, str]) -> list[tuple[str, Any]]:
        """The same, where every path leads to a member of the payload itself."""
        return [
            (name, Raw(f"{{{','.join(f'{key}:{found[step]}' for step, key in steps if step in found)}}}"))
            for name, steps in self._steps
        ]

    @cached_property
    def _steps(self) -> list[tuple[str, list[tuple[str, str]]]]:
        unique = {name: dict.fromkeys(payload.pointer(path)[0] for path in paths) for name, paths in self.parts.items()}
        return [(name, [(step, payload.encode(step)) for step in steps]) for name, steps in unique.items()]


def _callable(function: object, name: str) -> None:
    if not callable(function):
        raise MigrationError(f"{name}() takes a function of an event, not {function!r:.80}")

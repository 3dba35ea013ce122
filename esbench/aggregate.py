"""Aggregates: how the events of a stream become state, and what must hold of it.

An aggregate is defined once and then only used: it freezes at its first fold, so that all results of one
aggregate come from the same handlers. What it does to events stands in :mod:`esbench.fold`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from esbench.errors import AggregateError, nearest
from esbench.event import Event
from esbench.events import Events

__all__ = ["Aggregate", "Handler", "Lifecycle", "Predicate", "covered", "pattern"]

Handler = Callable[[Any, Event], Any]
Predicate = Callable[[Any], Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])


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


class Aggregate:
    """How the events of a stream become state: an initial state, one handler per event type, invariants, a lifecycle.

    ``initial`` is a value, of which every stream gets its own copy, or a function without arguments. The aggregate
    covers the streams that have an event of ``stream_type`` (its name unless given), or those whose id matches
    ``streams``, a pattern such as ``item-*`` (``*``, ``?``, ``[abc]``, ``[!abc]``; case counts). Event types without a
    handler leave the state as it is; with ``unknown="error"`` they also are damage, unless the lifecycle names them.
    ``revision`` names a state of the code, for caches that outlive the process.

    >>> item = Aggregate("InventoryItem", initial={"quantity": 0})
    >>> @item.on("ItemsAdded")
    ... def add(state, event):
    ...     return {**state, "quantity": state["quantity"] + event.data["quantity"]}
    >>> @item.invariant("stock is never negative")
    ... def not_negative(state):
    ...     return state["quantity"] >= 0
    >>> item
    Aggregate('InventoryItem', 1 event type, 1 invariant)
    """

    def __init__(
        self,
        name: str,
        *,
        initial: Any = None,
        stream_type: str | None = None,
        streams: str | None = None,
        unknown: Literal["ignore", "error"] = "ignore",
        revision: str | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise AggregateError(f"an aggregate needs a name, got {name!r}")
        if stream_type is not None and streams is not None:
            raise AggregateError(f'aggregate "{name}": stream_type= or streams=, not both')
        if unknown not in ("ignore", "error"):
            raise AggregateError(f'aggregate "{name}": unknown= is "ignore" or "error", not {unknown!r}')
        self.name = name
        self.stream_type = stream_type
        self.streams = streams
        self.unknown = unknown
        self.revision = revision
        self._initial = initial
        self._handlers: dict[str, Handler] = {}
        self._invariants: dict[str, Predicate] = {}
        self._lifecycle: Lifecycle | None = None
        self._frozen = False

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of each event type."""
        return MappingProxyType(self._handlers)

    @property
    def invariants(self) -> Mapping[str, Predicate]:
        """The predicate of each invariant."""
        return MappingProxyType(self._invariants)

    @property
    def rules(self) -> Lifecycle | None:
        """The declared lifecycle."""
        return self._lifecycle

    @property
    def known(self) -> frozenset[str]:
        """Event types that have a handler or a place in the lifecycle."""
        return frozenset(self._handlers) | (self._lifecycle.named if self._lifecycle else frozenset())

    @property
    def initial(self) -> Any:
        """The value that ``initial=`` gave, or the function that makes it."""
        return self._initial

    def on(self, *event_types: str) -> Callable[[_Function], _Function]:
        """Declare the handler ``(state, event) -> state`` of one or several event types.

        A handler that raises, or returns None, leaves the state as it was before the event, marked.
        """
        self._defining("a handler")
        if not event_types or not all(isinstance(name, str) for name in event_types):
            raise self._error('on() takes names of event types, as in @aggregate.on("ItemsAdded")')

        def register(handler: _Function) -> _Function:
            self._defining("a handler")
            self._fits(handler, "handler", "(state, event)", 2)
            for name in event_types:
                if name in self._handlers:
                    raise self._error(
                        f'"{name}" has a handler, {_called(self._handlers[name])}; to define it anew, make the '
                        "Aggregate anew (in a notebook: run its cell again first)"
                    )
            self._handlers.update(dict.fromkeys(event_types, handler))
            return handler

        return register

    def invariant(self, text: str) -> Callable[[_Function], _Function]:
        """Declare a predicate ``state -> bool`` that must hold after every event; ``text`` says what holds.

        A predicate that raises does not hold. It must not change the state.
        """
        self._defining("an invariant")
        if not isinstance(text, str) or not text:
            raise self._error('invariant() takes a text, as in @aggregate.invariant("stock is never negative")')

        def register(predicate: _Function) -> _Function:
            self._defining("an invariant")
            self._fits(predicate, "invariant", "(state)", 1)
            if text in self._invariants:
                raise self._error(f'two invariants are called "{text}"')
            self._invariants[text] = predicate
            return predicate

        return register

    def lifecycle(
        self,
        *,
        first: Iterable[str] | str | None = None,
        transitions: Mapping[str, Iterable[str] | str] | None = None,
        final: Iterable[str] | str = (),
    ) -> None:
        """Declare which event types may come first, which may follow which, and which end a stream."""
        self._defining("a lifecycle")
        if self._lifecycle is not None:
            raise self._error("a second lifecycle; say all of it in one call")
        self._lifecycle = Lifecycle(
            first=None if first is None else _names(first),
            transitions=MappingProxyType({name: _names(next_) for name, next_ in (transitions or {}).items()}),
            final=_names(final),
        )

    def freeze(self) -> None:
        """Allow no further definitions; every fold does this."""
        self._frozen = True

    def __repr__(self) -> str:
        parts = [_counted(len(self._handlers), "event type"), _counted(len(self._invariants), "invariant")]
        if self._lifecycle is not None:
            parts.append("a lifecycle")
        if self.streams is not None:
            parts.append(f"streams={self.streams!r}")
        if self.stream_type is not None:
            parts.append(f"stream_type={self.stream_type!r}")
        if self.unknown == "error":
            parts.append('unknown="error"')
        return f"Aggregate({self.name!r}, {', '.join(parts)})"

    def _defining(self, what: str) -> None:
        if self._frozen:
            raise self._error(
                f"{what} after its first fold; results would no longer come from one definition. Define everything "
                "before the first use: make the Aggregate anew (in a notebook: run its cell again first)"
            )

    def _fits(self, function: Any, what: str, shape: str, count: int) -> None:
        """Refuse what cannot be called with so many arguments, or does not give its result at once."""
        if not callable(function):
            raise self._error(f"a {what} is a function {shape}, not {function!r}")
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise self._error(f"the {what} {_called(function)} is a coroutine or generator; it must return its result")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some builtins have none
            return
        try:
            signature.bind(*range(count))
        except TypeError:
            raise self._error(f"the {what} {_called(function)} takes {signature}, it must take {shape}") from None

    def _error(self, message: str) -> AggregateError:
        return AggregateError(f'aggregate "{self.name}": {message}')


def covered(events: Events, aggregate: Aggregate) -> Events:
    """The events of the streams that an aggregate covers.

    A stream counts as of a type when any of its events carries it, and then all its events are folded. Raises
    AggregateError where the log has no stream types, or none of the aggregate's name, and the aggregate does not say
    by other means what it covers.
    """
    name = f"_covered{len(events.parameters)}"
    if aggregate.streams is not None:
        matches = f"regexp_full_match(stream_id, ${name}, 's')"
        value = pattern(aggregate.streams)
        if events.streams is None:
            return events.where(matches, **{name: value})
        known = f"select stream_key from ({events.streams})"
        if not events.rows(f"{known} where not {matches} limit 1", **{name: value}):
            return events
        return events.where(f"stream_key in ({known} where {matches})", **{name: value})
    wanted = aggregate.stream_type or aggregate.name
    if not events.rows("select 1 from events where stream_type is distinct from $wanted limit 1", wanted=wanted):
        return events
    if aggregate.stream_type is None:
        _named(events, aggregate)
    return events.where(
        f"stream_key in (select stream_key from ({events.query}) where stream_type = ${name})", **{name: wanted}
    )


def _named(events: Events, aggregate: Aggregate) -> None:
    """Refuse an aggregate whose name, by which it covers streams, no stream has as its type."""
    if events.rows("select 1 from events where stream_type = $name limit 1", name=aggregate.name):
        return
    types = [
        row[0]
        for row in events.rows(
            """
            select distinct stream_type from events where stream_type is not null
            order by levenshtein(left(stream_type, 200), left($name, 200)), stream_type limit 5
            """,
            name=aggregate.name,
        )
    ]
    if not types:
        raise AggregateError(
            f'aggregate "{aggregate.name}": the log has no stream types, so it must say which streams it covers, by a '
            'pattern on their ids: Aggregate(…, streams="item-*"), or streams="*" for all'
        )
    some = ", ".join(f'"{name}"' for name in types)
    raise AggregateError(
        f'aggregate "{aggregate.name}": no stream has that type.{nearest(aggregate.name, types)} The log has {some}: '
        "say which it covers by stream_type= or streams="
    )


def pattern(text: str) -> str:
    r"""A pattern with ``*``, ``?``, ``[abc]``, ``[!abc]`` as a regular expression of DuckDB (RE2), for option ``s``.

    It matches what :func:`fnmatch.fnmatchcase` matches; DuckDB's own ``glob`` reads sets differently.

    >>> pattern("item-[!0-9]?.*")
    'item\\-[^0-9].\\..*'
    """
    result = []
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "*":
            result.append(".*")
        elif character == "?":
            result.append(".")
        elif character == "[":
            negated = text.startswith("!", place)
            # A bracket that stands first is a member of the set.
            end = text.find("]", place + negated + 1)
            if end < 0:
                result.append(r"\[")
            else:
                result.append(_members(text[place + negated : end], negated=negated))
                place = end + 1
        else:
            result.append(_literal(character))
    return "".join(result)


def _members(text: str, *, negated: bool) -> str:
    """A set of characters: single ones and ranges; a range that runs backwards has no members."""
    members = []
    place = 0
    while place < len(text):
        low = high = text[place]
        if text[place + 1 : place + 2] == "-" and place + 2 < len(text):
            high = text[place + 2]
            place += 2
        place += 1
        if low <= high:
            members.append(_literal(low) if low == high else f"{_literal(low)}-{_literal(high)}")
    if not members:
        return "." if negated else r"[^\x{0}-\x{10FFFF}]"
    return f"[{'^' if negated else ''}{''.join(members)}]"


def _literal(character: str) -> str:
    if character.isascii():
        return (
            character if character.isalnum() else f"\\x{{{ord(character):X}}}" if character < " " else f"\\{character}"
        )
    return character


def _names(value: Iterable[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _called(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

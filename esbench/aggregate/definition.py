"""Aggregates as they are declared, until their first fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from esbench.aggregate.rules import Handler, Lifecycle, Predicate, called, unfit
from esbench.errors import AggregateError
from esbench.parts import Inside, Made, Together, titles

__all__ = ["Aggregate"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


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
        for option, given in (("stream_type", stream_type), ("streams", streams)):
            if given is not None and not isinstance(given, str):
                raise AggregateError(f'aggregate "{name}": {option}= is a text, not {given!r}')
        if unknown not in ("ignore", "error"):
            raise AggregateError(f'aggregate "{name}": unknown= is "ignore" or "error", not {unknown!r}')
        self.name = name
        #: Whether it folds by another key than the stream, as a read model does.
        self.keyed = False
        self.stream_type = stream_type
        self.streams = streams
        self.unknown = unknown
        self.revision = revision
        self._initial = initial
        self._parts: dict[str, Aggregate] = {}
        self._own_handlers: dict[str, Handler] = {}
        self._own_invariants: dict[str, Predicate] = {}
        self._handlers: dict[str, Handler] = {}
        self._invariants: dict[str, Predicate] = {}
        self._lifecycle: Lifecycle | None = None
        self._frozen = ""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of each event type; where parts have some, one that calls them all."""
        return MappingProxyType(self._handlers)

    @property
    def invariants(self) -> Mapping[str, Predicate]:
        """The predicate of each invariant, those of parts included."""
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
        """The value that ``initial=`` gave, or the function that makes it; with parts, what makes the whole."""
        if not self._parts:
            return self._initial
        return Made(self._initial, tuple((name, part.initial) for name, part in self._parts.items()))

    @property
    def parts(self) -> Mapping[str, Aggregate]:
        """The included parts, by the field of the state in which each has its own."""
        return MappingProxyType(self._parts)

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
                if name in self._own_handlers:
                    raise self._error(
                        f'"{name}" has a handler, {called(self._own_handlers[name])}; to define it anew, make the '
                        "Aggregate anew (in a notebook: run its cell again first)"
                    )
            self._own_handlers.update(dict.fromkeys(event_types, handler))
            self._compile()
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
            if text in self._own_invariants:
                raise self._error(f'two invariants are called "{text}"')
            self._own_invariants[text] = predicate
            self._compile()
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
            brought = [name for name, part in self._parts.items() if part.rules is self._lifecycle]
            where = f'; part "{brought[0]}" has one' if brought else ""
            raise self._error(f"a second lifecycle{where}; say all of it in one call")
        self._lifecycle = Lifecycle(
            first=None if first is None else _names(first),
            transitions=MappingProxyType({name: _names(next_) for name, next_ in (transitions or {}).items()}),
            final=_names(final),
        )

    def include(self, part: Aggregate, *, at: str | None = None) -> None:
        """Take in another aggregate as a part of this one, over the same stream.

        The part's state stands in the field ``at`` of this one's (the part's name unless given), which is a dict. Its
        handlers and invariants see that field alone; an event that fails in one part changes no other. Of an event
        type the handlers run in order of inclusion, this aggregate's own last. Invariants keep their texts, after the
        field where several are equal; the lifecycle may come from one part. Which streams are covered, and what is
        unknown, this aggregate says. The part freezes.

        >>> stock = Aggregate("stock", initial=0)
        >>> @stock.on("ItemsAdded")
        ... def add(state, event):
        ...     return state + event.data["quantity"]
        >>> item = Aggregate("InventoryItem", initial={"name": ""})
        >>> item.include(stock)
        >>> item
        Aggregate('InventoryItem', 1 event type, 0 invariants, 1 part: stock)
        """
        self._defining("a part")
        if not isinstance(part, Aggregate):
            raise self._error(f"include() takes an Aggregate, not {part!r}")
        name = part.name if at is None else at
        if not isinstance(name, str) or not name:
            raise self._error(f"at= names a field of the state, it cannot be {name!r}")
        if part is self:
            raise self._error("it cannot be a part of itself")
        if name in self._parts:
            raise self._error(f'two parts have their state in "{name}": include(…, at="…") names another field')
        if part.rules is not None and self._lifecycle is not None:
            raise self._error(f'part "{name}" brings a second lifecycle; declare one, here or in one part')
        if not callable(self._initial):
            try:
                Made(self._initial, ((name, None),))()
            except AggregateError as error:
                raise self._error(str(error)) from None
        part._freeze(f'after it became a part of "{self.name}"')
        self._parts[name] = part
        self._lifecycle = self._lifecycle or part.rules
        if self.revision is not None and part.revision is not None:
            # A cache must not outlive a new revision of a part.
            self.revision = f"{self.revision}, {name} {part.revision}"
        self._compile()

    def freeze(self) -> None:
        """Allow no further definitions; every fold does this."""
        self._freeze("after its first fold")

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
        if self._parts:
            parts.append(f"{_counted(len(self._parts), 'part')}: {', '.join(self._parts)}")
        return f"Aggregate({self.name!r}, {', '.join(parts)})"

    def _freeze(self, when: str) -> None:
        self._frozen = self._frozen or when

    def _compile(self) -> None:
        """Make the handlers and invariants of the whole from its own and those of its parts."""
        if not self._parts:
            self._handlers, self._invariants = self._own_handlers, self._own_invariants
            return
        own, parts = self._own_handlers, self._parts
        types = dict.fromkeys([*(name for part in parts.values() for name in part.handlers), *own])
        self._handlers = {
            event_type: Together(
                tuple((name, part.handlers[event_type]) for name, part in parts.items() if event_type in part.handlers),
                own.get(event_type),
                tuple(parts),
            )
            for event_type in types
        }
        named = titles(self._own_invariants, {name: part.invariants for name, part in parts.items()})
        self._invariants = {
            title: self._own_invariants[text] if name is None else Inside(name, parts[name].invariants[text])
            for title, (name, text) in named.items()
        }

    def _defining(self, what: str) -> None:
        if self._frozen:
            raise self._error(
                f"{what} {self._frozen}; results would no longer come from one definition. Define everything "
                "before the first use: make the Aggregate anew (in a notebook: run its cell again first)"
            )

    def _fits(self, function: Any, what: str, shape: str, count: int) -> None:
        if problem := unfit(function, what, shape, count):
            raise self._error(problem)

    def _error(self, message: str) -> AggregateError:
        return AggregateError(f'aggregate "{self.name}": {message}')


def _names(value: Iterable[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

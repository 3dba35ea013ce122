"""The fold with Python handlers: one look-up and one call an event, and only the columns that handlers read.

A handler that raises, or returns None where there was a state, leaves the state as it was before the event: that is a
:class:`Fault` of the stream, and folding goes on. Since a handler may have changed the state before it raised, such a
stream is folded once more with copies; all others are folded without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from esbench.aggregate import Aggregate, Handler, Predicate
from esbench.errors import AggregateError, EsbenchError, described
from esbench.event import CANONICAL, Event
from esbench.events import Events
from esbench.fold.changes import Change, changes
from esbench.fold.copies import Flat, isolated, lent
from esbench.fold.reading import Gate, Missing, Reading, Source, Unordered, narrowed

__all__ = [
    "ALWAYS",
    "Begun",
    "Fault",
    "Folded",
    "Step",
    "doubtful",
    "finals",
    "first_of_forks",
    "holds",
    "initial_state",
    "steps",
    "telling",
]

#: The values from which streams go on, by their keys.
Begun = Mapping[int, Any]
_NOTHING: Begun = MappingProxyType({})
#: What is read at first; the rest when a handler asks for it.
ALWAYS = frozenset({"position", "stream_id", "version", "event_type", "data"})
#: What keeps no order, whatever order its rows lie in.
_JOIN = re.compile(r"\bjoin\b|\(\s*select\s+(?!\*)", re.IGNORECASE)
_NONE = "returned None; a handler returns the state"


@dataclass(frozen=True, slots=True)
class Fault:
    """An event whose handler failed, and what it raised."""

    version: int
    position: int
    event_type: str
    error: str


@dataclass(frozen=True, slots=True)
class Folded:
    """The value of a stream after its events, and its faults."""

    value: Any
    faults: tuple[Fault, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """One event of a fold: the state before and after it, and what its handler raised, if it did.

    Where states are compared, what it changed, and what is known to be flat in the state after it.
    """

    key: int
    event: Event
    before: Any
    value: Any
    error: str | None = None
    changed: Sequence[Change] = ()
    flat: Flat | None = None


def finals(
    source: Source, aggregate: Aggregate, *, limit: int | None = None, begun: Begun = _NOTHING
) -> dict[int, Folded]:
    """The value of each stream after its events, by stream key.

    Streams without an event that has a handler are left out. ``limit``: how many faults are kept of a stream.
    ``begun`` are the values, by stream key, from which some streams go on; the others start from the initial state.
    """
    aggregate.freeze()
    if not aggregate.handlers:
        return {}
    reading, values, failed = _fast(narrowed(source, "event_type", aggregate.handlers), aggregate, begun=begun)
    result = {key: Folded(value) for key, value in values.items()}
    if failed:
        faults: dict[int, list[Fault]] = {key: [] for key in failed}
        again = narrowed(reading.source, "stream_key", failed)
        for step in steps(again, aggregate, columns=reading.columns, begun=begun):
            values[step.key] = step.value
            found = faults[step.key]
            if step.error is not None and (limit is None or len(found) < limit):
                event = step.event
                found.append(Fault(event.version, event.position, event.event_type, step.error))
        result |= {key: Folded(values[key], tuple(found)) for key, found in faults.items()}
    return result


def doubtful(
    source: Source, aggregate: Aggregate, predicates: Collection[Predicate], *, unjudged: Collection[int] = ()
) -> set[int]:
    """The keys of the streams in which a handler fails or a predicate does not hold at some event.

    In all others no handler fails and every predicate holds after every event but those at ``unjudged`` positions.
    Folded without copies; a stream is left as soon as it is found.
    """
    aggregate.freeze()
    source = telling(source, aggregate, predicates, unjudged)
    return _fast(source, aggregate, tuple(predicates), unjudged)[2]


def telling(
    source: Source, aggregate: Aggregate, predicates: Collection[Predicate], unjudged: Collection[int]
) -> Source:
    """The events after which :func:`doubtful` has to look: often those that have a handler."""
    sound = all(holds(predicate, initial_state(aggregate))[0] for predicate in predicates)
    if not sound or unjudged:
        return source
    narrow: Source = narrowed(source, "event_type", aggregate.handlers)
    return narrow


def _fast(
    source: Source,
    aggregate: Aggregate,
    predicates: tuple[Predicate, ...] = (),
    unjudged: Collection[int] = (),
    begun: Begun = _NOTHING,
) -> tuple[Reading, dict[int, Any], set[int]]:
    """How it was read in the end, the values of the streams, and those of no use since a handler failed."""
    columns: Collection[str] = ALWAYS
    while True:
        reading = Reading(source, columns)
        try:
            return reading, *_once(reading, aggregate, predicates, unjudged, begun)
        except Missing:
            columns = reading.again()
        except Unordered:
            assert isinstance(source, Events)
            source = replace(source, ordered=False)
        finally:
            reading.gate.live = False


def _once(
    reading: Reading, aggregate: Aggregate, predicates: tuple[Predicate, ...], unjudged: Collection[int], begun: Begun
) -> tuple[dict[int, Any], set[int]]:
    values: dict[int, Any] = {}
    failed: set[int] = set()
    current: int | None = None
    state: Any = None
    sound = True
    gate = reading.gate
    gate.live = True
    for keys, event_types, indices, events in reading:
        handlers = [aggregate.handlers.get(name, _unchanged) for name in event_types]
        for key, index, event in zip(keys, indices, events, strict=False):
            if key != current:
                if current is not None:
                    values[current] = state
                current, state, sound = key, _start(key, aggregate, begun), True
            elif not sound:
                continue
            try:
                after = handlers[index](state, event)
                sound = after is not None or state is None
                state = after
                for predicate in predicates:
                    if not predicate(lent(after)) and (not unjudged or event.position not in unjudged):
                        sound = False
                        break
            except (KeyboardInterrupt, Missing):
                raise
            except BaseException:  # noqa: BLE001 (a handler may raise anything)
                sound = False
            if not sound:
                failed.add(key)
        if gate.missing:
            # A handler swallowed what reading the column raised.
            raise Missing
    if current is not None:
        values[current] = state
    return values, failed


def _unchanged(state: Any, event: Event) -> Any:
    return state


def steps(
    source: Source,
    aggregate: Aggregate,
    *,
    columns: Collection[str] = tuple(CANONICAL),
    types: Sequence[str] | None = None,
    begun: Begun = _NOTHING,
    compared: bool = False,
) -> Iterator[Step]:
    """Every event, in folding order, with the state before and after it. No handler sees a state that was given out.

    ``columns`` are fetched at first; what a handler reads besides is fetched when it does. ``types`` narrows the
    events; ``begun`` is as of :func:`finals`; ``compared`` says what each event changed. Raises AggregateError for a
    state that cannot be copied.
    """
    aggregate.freeze()
    if types is not None:
        source = narrowed(source, "event_type", types)
    if isinstance(source, Events) and _JOIN.search(source.query):
        source = replace(source, ordered=False)
    columns = ALWAYS | set(columns)
    done = 0
    while True:
        reading = Reading(source, columns)
        try:
            for number, step in enumerate(_careful(reading, aggregate, begun, compared=compared)):
                if number >= done:
                    done = number + 1
                    yield step
            return
        except Missing:
            columns = reading.again()
        except Unordered:
            assert isinstance(source, Events)
            if done:
                # Steps that were given out cannot be taken back.
                raise EsbenchError("the events do not lie in the order that they claim: load the log anew") from None
            source = replace(source, ordered=False)


def _careful(reading: Reading, aggregate: Aggregate, begun: Begun, *, compared: bool) -> Iterator[Step]:
    current: int | None = None
    state: Any = None
    flat: Flat | None = None
    for keys, event_types, indices, events in reading:
        handlers = [aggregate.handlers.get(name) for name in event_types]
        for key, index, event in zip(keys, indices, events, strict=False):
            if key != current:
                current, state = key, _start(key, aggregate, begun)
                flat = {} if compared else None
            before, error = state, None
            handler = handlers[index]
            changed: Sequence[Change] = ()
            if handler is not None:
                state, error = _handled(handler, before, event, reading.gate, aggregate, flat)
                if flat is not None and state is not before:
                    after: Flat = {}
                    changed = changes(before, state, (flat, after))
                    flat = after
            yield Step(key, event, before, state, error, changed, flat)


def _handled(
    handler: Handler, before: Any, event: Event, gate: Gate, aggregate: Aggregate, flat: Flat | None
) -> tuple[Any, str | None]:
    """The state after an event, or the one before it and why."""
    try:
        given = isolated(before, flat)
    except Exception as error:
        raise AggregateError(
            f'aggregate "{aggregate.name}": its state before version {event.version} of "{event.stream_id}" cannot be '
            f"copied ({described(error)}); keep plain values in it, or give its class a __deepcopy__"
        ) from error
    result: tuple[Any, str | None]
    gate.live = True
    try:
        after = handler(given, event)
    except (KeyboardInterrupt, Missing):
        raise
    except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
        result = before, described(error)
    else:
        result = (before, _NONE) if after is None and before is not None else (after, None)
    finally:
        gate.live = False
    if gate.missing:
        raise Missing
    return result


def _start(key: int, aggregate: Aggregate, begun: Begun) -> Any:
    return isolated(begun[key]) if key in begun else initial_state(aggregate)


def initial_state(aggregate: Aggregate) -> Any:
    """The initial state, made afresh."""
    if not callable(aggregate.initial):
        return isolated(aggregate.initial)
    try:
        return isolated(aggregate.initial())
    except Exception as error:
        raise AggregateError(f'aggregate "{aggregate.name}": its initial= raised {described(error)}') from error


def holds(predicate: Callable[[Any], Any], value: Any, flat: Flat | None = None) -> tuple[bool, str]:
    """Whether an invariant holds of a state; if its predicate raised or returned None (then it does not), that.

    It is given a copy, so that what it does to a state changes no result.

    >>> holds(lambda state: state["quantity"] >= 0, {})
    (False, "KeyError: 'quantity'")
    """
    try:
        answer = predicate(lent(value, flat))
        return bool(answer), "returned None" if answer is None else ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (a predicate may raise anything)
        return False, described(error)


def first_of_forks(events: Events) -> Events:
    """Of every version only the event with the lowest position."""
    query = f"""
        select * from ({events.query})
        qualify position = min(position) over (partition by stream_key, version)
    """
    return replace(events, query=query, ordered=False)

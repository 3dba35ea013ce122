"""The fold with Python handlers: one look-up and one call an event, and only the columns that handlers read.

A handler that raises, or returns None where there was a state, leaves the state as it was before the event: that is a
:class:`Fault` of the stream, and folding goes on. Since a handler may have changed the state before it raised, such a
stream is folded once more with copies; all others are folded without.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from esbench.aggregate import Aggregate, Handler
from esbench.errors import AggregateError
from esbench.event import CANONICAL, Event
from esbench.events import Events
from esbench.fold.changes import isolated
from esbench.fold.reading import Gate, Missing, Reading, Unordered

__all__ = ["Fault", "Folded", "Step", "described", "finals", "first_of_forks", "holds", "initial_state", "steps"]

#: What is read at first; the rest when a handler asks for it.
_ALWAYS = frozenset({"position", "stream_id", "version", "event_type", "data"})
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


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a fold: the state before and after it, and what its handler raised, if it did."""

    key: int
    event: Event
    before: Any
    value: Any
    error: str | None = None


def finals(events: Events, aggregate: Aggregate, *, limit: int | None = None) -> dict[int, Folded]:
    """The value of each stream after its events, by stream key.

    Streams without an event that has a handler are left out. ``limit``: how many faults are kept of a stream.
    """
    aggregate.freeze()
    if not aggregate.handlers:
        return {}
    events = _of_types(events, tuple(aggregate.handlers))
    reading, values, failed = _fast(events, aggregate)
    result = {key: Folded(value) for key, value in values.items()}
    if failed:
        name = f"_failed{len(events.parameters)}"
        again = reading.events.where(f"stream_key in (select unnest(${name}))", **{name: sorted(failed)})
        faults: dict[int, list[Fault]] = {key: [] for key in failed}
        for step in steps(again, aggregate, columns=reading.columns):
            values[step.key] = step.value
            found = faults[step.key]
            if step.error is not None and (limit is None or len(found) < limit):
                event = step.event
                found.append(Fault(event.version, event.position, event.event_type, step.error))
        result |= {key: Folded(values[key], tuple(found)) for key, found in faults.items()}
    return result


def _fast(events: Events, aggregate: Aggregate) -> tuple[Reading, dict[int, Any], set[int]]:
    """How it was read in the end, the values of the streams, and those of no use since a handler failed."""
    columns: Collection[str] = _ALWAYS
    while True:
        reading = Reading(events, columns)
        try:
            return reading, *_once(reading, aggregate)
        except Missing:
            columns = reading.wanted
        except Unordered:
            events = replace(events, ordered=False)
        finally:
            reading.gate.live = False


def _once(reading: Reading, aggregate: Aggregate) -> tuple[dict[int, Any], set[int]]:
    values: dict[int, Any] = {}
    failed: set[int] = set()
    current: int | None = None
    state: Any = None
    gate = reading.gate
    gate.live = True
    for keys, event_types, indices, events in reading:
        handlers = [aggregate.handlers[name] for name in event_types]
        for key, index, event in zip(keys, indices, events, strict=False):
            if key != current:
                if current is not None:
                    values[current] = state
                current, state = key, initial_state(aggregate)
            try:
                after = handlers[index](state, event)
            except (KeyboardInterrupt, Missing):
                raise
            except BaseException:  # noqa: BLE001 (a handler may raise anything)
                failed.add(key)
            else:
                if after is None and state is not None:
                    failed.add(key)
                state = after
        if gate.missing:
            # A handler swallowed what reading the column raised.
            raise Missing
    if current is not None:
        values[current] = state
    return values, failed


def steps(
    events: Events,
    aggregate: Aggregate,
    *,
    columns: Collection[str] = tuple(CANONICAL),
    types: Sequence[str] | None = None,
) -> Iterator[Step]:
    """Every event, in folding order, with the state before and after it. No handler sees a state that was given out.

    ``columns`` are fetched at first; what a handler reads besides is fetched when it does. ``types`` narrows the
    events. Raises AggregateError for a state that cannot be copied.
    """
    aggregate.freeze()
    if types is not None:
        events = _of_types(events, types)
    columns = _ALWAYS | set(columns)
    done = 0
    while True:
        reading = Reading(events, columns)
        try:
            for number, step in enumerate(_careful(reading, aggregate)):
                if number >= done:
                    done = number + 1
                    yield step
            return
        except Missing:
            columns = reading.wanted
        except Unordered:
            events = replace(events, ordered=False)


def _careful(reading: Reading, aggregate: Aggregate) -> Iterator[Step]:
    current: int | None = None
    state: Any = None
    for keys, event_types, indices, events in reading:
        handlers = [aggregate.handlers.get(name) for name in event_types]
        for key, index, event in zip(keys, indices, events, strict=False):
            if key != current:
                current, state = key, initial_state(aggregate)
            before, error = state, None
            handler = handlers[index]
            if handler is not None:
                state, error = _handled(handler, before, event, reading.gate, aggregate)
            yield Step(key, event, before, state, error)


def _handled(handler: Handler, before: Any, event: Event, gate: Gate, aggregate: Aggregate) -> tuple[Any, str | None]:
    """The state after an event, or the one before it and why."""
    try:
        given = isolated(before)
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


def initial_state(aggregate: Aggregate) -> Any:
    """The initial state, made afresh."""
    if not callable(aggregate.initial):
        return isolated(aggregate.initial)
    try:
        return isolated(aggregate.initial())
    except Exception as error:
        raise AggregateError(f'aggregate "{aggregate.name}": its initial= raised {described(error)}') from error


def holds(predicate: Callable[[Any], Any], value: Any) -> tuple[bool, str]:
    """Whether an invariant holds of a state, and what the predicate raised, if it did (then it does not hold).

    >>> holds(lambda state: state["quantity"] >= 0, {})
    (False, "KeyError: 'quantity'")
    """
    try:
        return bool(predicate(value)), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (a predicate may raise anything)
        return False, described(error)


def described(error: BaseException) -> str:
    """The class and text of an error, whatever its ``__str__`` does.

    >>> described(KeyError("quantity"))
    "KeyError: 'quantity'"
    """
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (an error's own text may raise anything)
        return type(error).__name__


def first_of_forks(events: Events) -> Events:
    """Of every version only the event with the lowest position."""
    query = f"""
        select * from ({events.query})
        qualify position = min(position) over (partition by stream_key, version)
    """
    return replace(events, query=query, ordered=False)


def _of_types(events: Events, types: Iterable[str]) -> Events:
    """The events of some types only, so that the others are not fetched."""
    start = len(events.parameters)
    named = {f"_type{start + number}": name for number, name in enumerate(types)}
    return events.where(f"event_type in ({', '.join(f'${name}' for name in named)})" if named else "false", **named)

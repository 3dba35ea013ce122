"""The fold of a few events at hand, one by one and without the engine; its states are those of the fold over a log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from esbench.aggregate import Aggregate
from esbench.errors import described
from esbench.event import Event
from esbench.fold.copies import isolated
from esbench.fold.python import initial_state

__all__ = ["applied", "replayed"]


def applied(aggregate: Aggregate, before: Any, event: Event) -> tuple[Any, str | None]:
    """The state after an event, or the one before it and what its handler raised; ``before`` is not touched.

    >>> item = Aggregate("Item", initial=0)
    >>> @item.on("Added")
    ... def add(state, event):
    ...     return state + event.data["n"]
    >>> applied(item, 2, Event(1, "a", 1, "Added", '{"n": 3}')), applied(item, 2, Event(2, "a", 2, "Added", "{}"))
    ((5, None), (2, "KeyError: 'n'"))
    """
    handler = aggregate.handlers.get(event.event_type)
    if handler is None:
        return before, None
    given = isolated(before)
    try:
        after = handler(given, event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
        return before, described(error)
    if after is None and before is not None:
        return before, "returned None; a handler returns the state"
    return after, None


def replayed(aggregate: Aggregate, events: Iterable[Event]) -> tuple[Any, list[str | None]]:
    """The state after events, folded as they come, and what the handler of each raised."""
    aggregate.freeze()
    value, errors = initial_state(aggregate), []
    for event in events:
        value, error = applied(aggregate, value, event)
        errors.append(error)
    return value, errors

"""Paths that no event has: a slip in a projection, told apart from a slip in the data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from esbench import payload
from esbench.errors import AggregateError
from esbench.event import literal
from esbench.events import Events
from esbench.fold.python import Fault
from esbench.projection import Projection
from esbench.projection.operands import fields

__all__ = ["absent", "refuse_absent"]

#: How many payloads of a type are looked at for the paths that there are, and how many of these are told.
_SAMPLE = 200
_TOLD = 8


def refuse_absent(events: Events, projection: Projection, faults: Mapping[int, Iterable[Fault]]) -> None:
    """Raise AggregateError where a handler failed for want of a path that no event of its type, of all covered, has."""
    for event_type, error in sorted({(fault.event_type, fault.error) for some in faults.values() for fault in some}):
        if why := absent(events, projection, event_type, error):
            raise AggregateError(f'projection "{projection.name}": {why}')


def absent(events: Events, projection: Projection, event_type: str, error: str) -> str:
    """Which path of a handler that failed no event of its type has, and which these have; empty if it is another."""
    paths = {
        each.path
        for column in projection.base.values()
        if event_type in column.operands
        for each in fields(column.operands[event_type])
    }
    for path in sorted(paths):
        if error != f"OperandError: {path} is missing":
            continue
        of_type = events.where(f"event_type = {literal(event_type)}")
        if of_type.rows(f"select 1 from events where (data->{literal(path)}) is not null limit 1"):
            return ""
        sample = of_type.rows(f"select data::varchar from events where data is not null limit {_SAMPLE}")
        there = dict.fromkeys(one for (text,) in sample for one in _paths(text))
        return f'no "{event_type}" that it covers has {path}; {_told(path, list(there))}'
    return ""


def _told(path: str, there: list[str]) -> str:
    if not there:
        return "none has any path"
    near = difflib.get_close_matches(path, there, n=3, cutoff=0.5)
    some = [*near, *(one for one in there if one not in near)]
    more = f" and {len(some) - _TOLD} more" if len(some) > _TOLD else ""
    return f"they have {', '.join(some[:_TOLD])}{more}"


def _paths(text: str) -> Iterator[str]:
    """The paths of the values in a payload, those of objects and lists aside."""
    try:
        stack: list[tuple[str, Any]] = [("", payload.decode(text))]
    except payload.PayloadError:
        return
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            inside = ((name.replace("~", "~0").replace("/", "~1"), each) for name, each in value.items())
            stack += [(f"{path}/{name}", each) for name, each in inside][::-1]
        elif isinstance(value, list):
            stack += [(f"{path}/{index}", each) for index, each in enumerate(value)][::-1]
        elif path:
            yield path

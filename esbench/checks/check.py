"""What a check is: a named value with a sentence, a severity, its SQL, and what a log must have for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from esbench import show
from esbench.facts import Facts

__all__ = ["SEVERITIES", "Check", "Found", "Has", "Said", "Seen", "named", "shown"]

#: From worst to mildest; findings come in this order.
SEVERITIES = ("error", "warning", "info")


class Seen(NamedTuple):
    """What a finding says of an event; ``data`` is the beginning of its payload, ``recorded`` in microseconds."""

    position: int
    stream_id: str
    stream_type: str | None
    version: int
    event_id: str | None
    event_type: str
    recorded: int | None
    data: str | None

    @property
    def recorded_text(self) -> str | None:
        """The recorded time in ISO 8601; as microseconds where it is out of a datetime's range."""
        if self.recorded is None:
            return None
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.recorded)).isoformat()
        except OverflowError:
            return f"{self.recorded} microseconds"


@dataclass(frozen=True, slots=True)
class Found:
    """A finding before it is told: integers that name events. ``positions`` are the first of ``involved`` events.

    ``position`` is that of the event that it is of; a stored state may be of none.
    """

    check: str
    severity: str
    stream_id: str | None
    version: int | None
    to_version: int | None
    position: int | None
    positions: tuple[int, ...]
    involved: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    after: str | None = None

    def own(self, events: Mapping[int, Seen]) -> Seen:
        """The event that it is of."""
        assert self.position is not None
        return events[self.position]


class Said(NamedTuple):
    """How a finding is told."""

    seen: str
    expected: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Has:
    """What a log offers to checks: how many events have an id, a recorded time, a stream type, a metadata key."""

    events: int
    streams: int
    ids: int
    clock: int
    stream_types: int
    metadata: Mapping[str, int]


#: What a check may need: whether a log has it, and why a check is not claimed without it.
_NEEDS: Mapping[str, tuple[Callable[[Facts, Has], bool], str]] = {
    "versions": (lambda facts, _: not facts.derived_versions, "versions were numbered by the loader"),
    "base": (lambda facts, _: facts.base is not None, "whether streams start at 0 or 1 is unknown: base=1 says so"),
    "order": (
        lambda facts, _: facts.positions != "issued",
        "the source has no order: positions were issued on loading",
    ),
    "positions": (lambda facts, _: facts.positions == "recorded", "the source recorded no positions"),
    "ids": (lambda _, has: has.ids > 0, "no event has an id"),
    "clock": (lambda _, has: has.clock > 0, "no event has a recorded time"),
    "stream types": (lambda _, has: has.stream_types > 0, "no event has a stream type"),
    "causation_id": (lambda _, has: has.metadata["causation_id"] > 0, "no metadata names a cause: keys= says where"),
    "writer": (lambda _, has: has.metadata["writer"] > 0, "no metadata names a writer: keys= says where"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the registry.

    ``severities``: the usual one first. ``sql`` is the check's whole definition over ``events``: a row is a finding.
    ``narrow`` is SQL for the events that can have any; it saves time and changes no result. Checks of kind ``schema``
    judge payloads, those of kind ``meaning`` what an aggregate or a read model makes of them.
    """

    name: str
    severities: tuple[str, ...]
    explanation: str
    tell: Callable[[Found, Mapping[int, Seen]], Said]
    needs: tuple[str, ...] = ()
    sql: str | None = None
    narrow: str = "true"
    kind: Literal["structure", "schema", "meaning"] = "structure"

    def why_not(self, facts: Facts, has: Has) -> str | None:
        """Why this check cannot be claimed of a log; None when it can."""
        for need in self.needs:
            met, reason = _NEEDS[need]
            if not met(facts, has):
                return reason
        return None


def shown(text: str | None, most: int = 80) -> str:
    r"""Text from an event, in quotes, on one line and not too long.

    >>> shown('a"b\n' + "x" * 90, 10)
    '"a"b\\nxxxx…"'
    """
    return "none" if text is None else f'"{show.cell(text, width=most)}"'


def named(event: Seen) -> str:
    """An event in words.

    >>> named(Seen(7, "item-1", None, 3, "e-3", "ItemsAdded", None, "{}"))
    '"ItemsAdded" "e-3" at position 7'
    """
    identity = "" if event.event_id is None else f" {shown(event.event_id)}"
    return f"{shown(event.event_type)}{identity} at position {event.position}"

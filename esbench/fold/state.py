"""State: what a fold gives for one stream, with how far it can be trusted."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from esbench.fold.changes import brief, fields_of

__all__ = ["SHOWN", "Broken", "Kind", "Mark", "State", "trust_text"]

Kind = Literal[
    "duplicate-event",
    "handler-error",
    "missing-head",
    "not-a-prefix",
    "unknown-event-type",
    "version-fork",
    "version-gap",
]

#: Marks that a trust text spells out; a damaged stream may have thousands.
SHOWN = 3


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A reason not to trust a state, and the version from which it counts; names are those of the findings.

    A declared truncation is a ``missing-head`` all the same, with a note: the state still is not folded from the start.
    ``not-a-prefix``: the coordinate takes the event at ``version`` but leaves out one before it.

    >>> str(Mark(4, "version-gap", 6)), str(Mark(7, "handler-error", note="KeyError: 'quantity'"))
    ('version-gap 4-6', "handler-error 7 (KeyError: 'quantity')")
    """

    version: int
    kind: Kind
    to_version: int | None = None
    note: str = ""

    @property
    def place(self) -> str:
        """The kind and the versions, without the note."""
        to = "" if self.to_version in (None, self.version) else f"-{self.to_version}"
        return f"{self.kind} {self.version}{to}"

    def __str__(self) -> str:
        return f"{self.place} ({self.note})" if self.note else self.place


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that does not hold, and the event since which, without a break, it has not held.

    The event is known from :func:`~esbench.travel.state`; ``note`` is what the predicate raised, or that it returned
    None.

    >>> Broken("stock is never negative", 4, event_type="ItemsOrdered")
    "stock is never negative" since version 4 (ItemsOrdered)
    """

    invariant: str
    version: int | None = None
    position: int | None = None
    event_id: str | None = None
    event_type: str | None = None
    note: str = ""

    def __repr__(self) -> str:
        since = "" if self.version is None else f" since version {self.version} ({_short(self.event_type or '')})"
        return f'"{_short(self.invariant)}"{since}'


def trust_text(marks: Sequence[Mark], events: int) -> str:
    """``complete``, or what stands against it; ``no events`` where the coordinate takes none.

    >>> trust_text([Mark(2, "version-gap"), Mark(4, "version-fork")], 5)
    'past version-gap 2, version-fork 4'
    """
    if not marks:
        return "complete" if events else "no events"
    more = ", and more" if len(marks) > SHOWN else ""
    return f"past {', '.join(mark.place for mark in marks[:SHOWN])}{more}"


@dataclass(frozen=True, slots=True)
class State:
    """The state of one stream at a coordinate.

    ``version`` and ``position`` are the highest that the coordinate takes (None where it takes nothing: the value is
    the initial one). ``events`` were folded. ``marks`` say why it is not complete; ``broken`` which invariants do not
    hold. Fields of a state that has some are read as attributes or items (those named as one of these, as items).

    >>> State({"quantity": 2}, "item-123", 2, 5, 2)
    State(quantity=2) at item-123@2, complete
    >>> State({"quantity": 2}, "item-123", 2, 5, 2).quantity
    2
    """

    value: Any
    stream_id: str
    version: int | None
    position: int | None
    events: int
    marks: tuple[Mark, ...] = ()
    broken: tuple[Broken, ...] = ()

    @property
    def trust(self) -> str:
        """``complete``, or a text that says what stands against it."""
        return trust_text(self.marks, self.events)

    @property
    def complete(self) -> bool:
        """Whether it is folded from a complete prefix of the stream."""
        return not self.marks

    def __getitem__(self, key: Any) -> Any:
        fields = None if isinstance(self.value, Mapping) else fields_of(self.value)
        return (self.value if fields is None else fields)[key]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name not in State.__slots__:
            fields = fields_of(self.value) or {}
            if name in fields:
                return fields[name]
            if hasattr(self.value, name) and not isinstance(self.value, Mapping):
                return getattr(self.value, name)
        raise AttributeError(f'the state has no field "{name}"', name=name, obj=self)

    def __repr__(self) -> str:
        text = f"{self._fields()} at {self._place()}, {self.trust}"
        return f"{text}; broken: {', '.join(map(repr, self.broken))}" if self.broken else text

    def _fields(self) -> str:
        fields = fields_of(self.value)
        if fields is None:
            return f"State({brief(self.value)})"
        shown = [f"{_short(name)}={brief(value)}" for name, value in list(fields.items())[:12]]
        return f"State({', '.join(shown)}{', …' if len(fields) > 12 else ''})"

    def _place(self) -> str:
        stream = _short(self.stream_id)
        return stream if self.version is None else f"{stream}@{self.version}"

    def _repr_html_(self) -> str:
        fields = fields_of(self.value)
        rows = [("state", self.value)] if fields is None else list(fields.items())
        body = "".join(
            f"<tr><th>{html.escape(_short(name))}</th><td><code>{html.escape(brief(value))}</code></td></tr>"
            for name, value in rows[:20]
        )
        capped = f"<p>20 of {len(rows):,} fields</p>" if len(rows) > 20 else ""
        broken = "".join(f"<li>{html.escape(_short(repr(each), 200))}</li>" for each in self.broken[:20])
        return (
            f"<div><p><b>{html.escape(self._place())}</b>, {html.escape(self.trust)}</p>"
            f"<table>{body}</table>{capped}{f'<p>broken:</p><ul>{broken}</ul>' if broken else ''}</div>"
        )


def _short(text: str, limit: int = 80) -> str:
    """Text on one line, of bounded length."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[: limit + 1])
    return line if len(line) <= limit else f"{line[:limit]}…"

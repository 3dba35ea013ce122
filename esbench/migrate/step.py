"""What every step of a migration is: a value that says which events it takes and turns work into work."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from esbench.errors import EsbenchError
from esbench.migrate.work import Work, edited
from esbench.patterns import pattern
from esbench.payload import edits
from esbench.show import cell

__all__ = ["EditStep", "MigrationError", "Step", "Which", "name_of", "which"]


class MigrationError(EsbenchError, ValueError):
    """A migration that is not defined well, or that may not be applied: says which step or gate, and the way out."""


@dataclass(frozen=True, slots=True)
class Which:
    """The events that a step takes: by type, by stream (an id or a pattern), and by a condition in SQL.

    >>> print(which("OrderPlaced", streams="order-*", where="version > 3"))
    OrderPlaced in order-* where version > 3
    """

    types: tuple[str, ...] = ()
    streams: str | None = None
    where: str | None = None

    def sql(self, number: int) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of work, and what it binds."""
        conditions, bound = [], dict[str, Any]()
        if self.types:
            named = {f"step{number}_type{place}": name for place, name in enumerate(self.types)}
            bound |= named
            conditions.append(f"event_type in ({', '.join(f'${name}' for name in named)})")
        if self.streams is not None:
            bound[f"step{number}_streams"] = pattern(self.streams)
            bound[f"step{number}_stream"] = self.streams
            matches = f"regexp_full_match(stream_id, $step{number}_streams, 's')"
            conditions.append(f"(stream_id = $step{number}_stream or {matches})")
        if self.where is not None:
            conditions.append(f"({self.where})")
        return " and ".join(conditions) or "true", bound

    def __str__(self) -> str:
        types = ", ".join(cell(name, width=60) for name in self.types) or "every event"
        streams = "" if self.streams is None else f" in {cell(self.streams, width=60)}"
        return f"{types}{streams}{'' if self.where is None else f' where {cell(self.where, width=200)}'}"


#: What SQL gives anew each time: a dry run could promise nothing of it.
_UNSTEADY = re.compile(
    r"\b(?:(?:random|uuid|uuidv4|uuidv7|gen_random_uuid|now|today|ago|nextval|transaction_timestamp|get_current_time"
    r"|get_current_timestamp)\s*\(|(?:current_(?:date|time|timestamp)|localtime|localtimestamp)\b)[^)]*\)?",
    re.IGNORECASE,
)
_TEXTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


def which(types: str | Iterable[str] | None = None, *, streams: str | None = None, where: str | None = None) -> Which:
    """The events that a step takes; of all types where none is named. Raises MigrationError for what is no name."""
    named = (types,) if isinstance(types, str) else tuple(types or ())
    for name in named:
        if not isinstance(name, str) or not name:
            raise MigrationError(f"an event type is named by a text, not by {name!r}")
    for text, option in ((streams, "streams"), (where, "where")):
        if text is not None and not isinstance(text, str):
            raise MigrationError(f"{option}= is a text, not {text!r}")
    unsteady = _UNSTEADY.search(_TEXTS.sub("''", where or ""))
    if unsteady:
        raise MigrationError(
            f"where={where!r}: {unsteady[0]} is something else each time, so that a dry run could not tell what is to "
            "come: write the value itself"
        )
    return Which(tuple(dict.fromkeys(named)), streams, where)


def name_of(function: Callable[..., Any]) -> str:
    """How a function is called in a sentence."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__).rpartition("<locals>.")[2]


@dataclass(frozen=True, repr=False)
class Step(ABC):
    """One operation of a migration. Its ``repr`` reads as a sentence."""

    which: Which

    #: Whether what it makes of a stream depends on that stream alone, and goes nowhere else.
    local = True
    #: Whether it replaces what nobody may read any more: such a migration goes into a file of its own.
    private = False

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What the step does, in words."""

    @abstractmethod
    def over(self, work: Work, number: int) -> Work:
        """The work after the step, which stands at ``number`` in its migration."""

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The user's functions in it, by name, whose source is kept with what they made."""
        return {}

    @property
    def form(self) -> str:
        """What the step runs as: ``SQL``, or ``Python`` where a function of the user decides."""
        return "Python" if self.functions else "SQL"

    def __repr__(self) -> str:
        return self.sentence


@dataclass(frozen=True, repr=False)
class EditStep(Step):
    """A step that edits payloads (or metadata) where they stand: ``edit`` says how, ``said`` says it in words."""

    edit: edits.Edit
    said: str
    column: str = "data"

    @property
    def sentence(self) -> str:
        return f"{self.said} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return edited(work, number, hit, self.edit, column=self.column, **bound)

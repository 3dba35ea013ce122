"""The step in which an attribute moves from one event to another of its stream."""

from __future__ import annotations

from dataclasses import dataclass

from esbench import payload
from esbench.event import Event
from esbench.migrate.step import MigrationError, Step, Which, which
from esbench.migrate.steps.calls import Task
from esbench.migrate.steps.made import Made
from esbench.migrate.steps.several import replaced
from esbench.migrate.work import Work
from esbench.payload import PayloadError
from esbench.payload.tree import Document
from esbench.show import cell

__all__ = ["move_between"]


@dataclass(frozen=True, repr=False)
class MoveBetween(Step):
    """An attribute that moves from events of one type to the next of another."""

    path: str
    from_type: str
    to_type: str
    to: str

    @property
    def sentence(self) -> str:
        where = str(Which((), self.which.streams, self.which.where)).removeprefix("every event")
        place = "" if self.to == self.path else f" {cell(self.to)} of"
        return f"move {cell(self.path)} from {cell(self.from_type)} to{place} the next {cell(self.to_type)}{where}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return replaced(work, number, hit, _Moving(_nothing, None, self.path, self.from_type, self.to), **bound)


def move_between(
    path: str,
    from_type: str,
    to_type: str,
    *,
    to: str | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> MoveBetween:
    """Move an attribute from events of one type to the next event of another type in their stream, as it stands.

    Where there is no such event, where another event of ``from_type`` with the attribute comes before it, or where it
    has one already, the event fails and both stay as they are. ``where`` and ``streams`` hold for events of both types.

    >>> move_between("/email", "CustomerRegistered", "AddressGiven")
    move /email from CustomerRegistered to the next AddressGiven
    """
    named = which([from_type, to_type], streams=streams, where=where)
    if len(named.types) != 2:
        raise MigrationError(f"move_between({path!r}): from {from_type!r} to {to_type!r} must be two event types")
    for each in (path, path if to is None else to):
        try:
            steps = payload.pointer(each)
        except PayloadError as error:
            raise MigrationError(f"move_between(): {error}") from None
        if not steps or "*" in steps:
            raise MigrationError(f'move_between(): {each!r} is no path to one value, as "/name" is')
    return MoveBetween(named, path, from_type, to_type, path if to is None else to)


def _nothing(_: Event) -> None:
    """No function of a user is called."""


@dataclass(frozen=True)
class _Moving(Task):
    path: str = ""
    from_type: str = ""
    to: str = ""

    #: A stream is not cut, however long.
    group = 0

    def fill(self, made: Made, events: list[Event]) -> None:
        """Walk through the events of each stream: a value waits for the next event that takes it."""
        texts: dict[int, str] = {}
        failures: dict[int, str] = {}
        keys = made.batch.values("stream_key")
        waiting: tuple[int, str, str] | None = None
        for row, event in enumerate(events):
            if waiting is not None and keys[waiting[0]] != keys[row]:
                failures[waiting[0]] = "no event after it takes it"
                waiting = None
            if event.event_type == self.from_type:
                try:
                    taken = self._taken(event)
                except PayloadError as error:
                    failures[row] = str(error)
                    continue
                if taken is None:
                    continue
                if waiting is not None:
                    failures[waiting[0]] = f"another {self.from_type} with it comes before the event that takes it"
                waiting = (row, *taken)
            elif waiting is not None:
                try:
                    document = Document("{}" if event.data_text is None else event.data_text)
                    document.add(payload.pointer(self.to), waiting[1], replace=None)
                    texts[row], texts[waiting[0]] = document.text(), waiting[2]
                except PayloadError as error:
                    failures[waiting[0]] = f"version {event.version} does not take it: {error}"
                waiting = None
        if waiting is not None:
            failures[waiting[0]] = "no event after it takes it"
        for row, event in enumerate(events):
            if row in failures:
                made.failed([row], f"{self.path}: {failures[row]}")
            elif row in texts:
                made.put(row, event.event_type, texts[row])
            else:
                made.same(row)

    def _taken(self, event: Event) -> tuple[str, str] | None:
        """The raw value, and the payload without it; None where there is none."""
        if event.data_text is None:
            return None
        document = Document(event.data_text)
        found = document.matches(payload.pointer(self.path))
        if not found:
            return None
        raw = document.raw(found[0].member)
        document.remove(found)
        return raw, document.text()

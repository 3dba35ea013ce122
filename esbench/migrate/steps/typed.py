"""Steps on whole events, one at a time: their type, schema version, times; and those that drop some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from esbench.event import literal
from esbench.migrate.step import MigrationError, Step, Which, which
from esbench.migrate.work import Work, removed, rewritten
from esbench.show import cell

__all__ = ["bump_version", "drop_duplicates", "drop_events", "rename_type"]


@dataclass(frozen=True, repr=False)
class RenameType(Step):
    """An event type under another name."""

    to: str = field(kw_only=True)

    @property
    def sentence(self) -> str:
        return f"rename {self.which} to {cell(self.to)}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return rewritten(work, number, hit, {"event_type": literal(self.to)}, **bound)


def rename_type(type: str, to: str, *, streams: str | None = None, where: str | None = None) -> Step:
    """Give an event type another name.

    >>> rename_type("ItemsOrdered", "ItemsReserved")
    rename ItemsOrdered to ItemsReserved
    """
    if not isinstance(to, str) or not to:
        raise MigrationError(f"an event type is named by a text, not by {to!r}")
    return RenameType(which(type, streams=streams, where=where), to=to)


@dataclass(frozen=True, repr=False)
class BumpVersion(Step):
    """Events with another schema version."""

    to: int = field(kw_only=True)

    @property
    def sentence(self) -> str:
        return f"set schema version {self.to} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return rewritten(work, number, hit, {"schema_version": f"{self.to}::bigint"}, **bound)


def bump_version(type: str | Iterable[str], to: int, *, streams: str | None = None, where: str | None = None) -> Step:
    """Set the schema version of events.

    >>> bump_version("OrderPlaced", 2)
    set schema version 2 (OrderPlaced)
    """
    if isinstance(to, bool) or not isinstance(to, int):
        raise MigrationError(f"a schema version is an integer, not {to!r}")
    return BumpVersion(which(type, streams=streams, where=where), to=to)


@dataclass(frozen=True, repr=False)
class DropEvents(Step):
    """Events that are not in the new log; what follows them closes up."""

    leave_gap: bool = field(default=False, kw_only=True)

    @property
    def sentence(self) -> str:
        return f"drop {self.which}{', leaving gaps' if self.leave_gap else ''}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return removed(work, number, hit, leave_gap=self.leave_gap, **bound)


def drop_events(
    type: str | Iterable[str] | None = None,
    *,
    streams: str | None = None,
    where: str | None = None,
    leave_gap: bool = False,
) -> Step:
    """Drop events; later versions of their streams close up, unless a gap is to be left.

    >>> drop_events("CartViewed", where="recorded_at < '2020-01-01'")
    drop CartViewed where recorded_at < '2020-01-01'
    """
    taken = which(type, streams=streams, where=where)
    if taken == Which():
        raise MigrationError("drop_events() would drop every event: name a type, streams= or where=")
    return DropEvents(taken, leave_gap=leave_gap)


@dataclass(frozen=True, repr=False)
class DropDuplicates(Step):
    """Repeated deliveries of an event in its stream: the same content, and the same id or, without ids, version."""

    @property
    def sentence(self) -> str:
        return f"drop repeated deliveries ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        named = "event_id, case when event_id is null then version end"
        # Numbers are cheap to compare, and few events share one; only those are told apart by their content.
        events, scratch = replace(work.events, parameters={**work.events.parameters, **bound}), work.scratch
        suspects = scratch.keep(
            f"suspects {number}",
            work.events,
            f"select hash(stream_key, {named}) as named from events group by all having count(*) > 1",
        )
        again = scratch.keep(
            f"again {number}",
            events,
            f"""
            select source, position, nth from (
                select source, position, nth, ({hit}) and failed is null as met,
                    row_number() over (
                        partition by stream_key, {named}, event_type, schema_version, data, metadata
                        order by version, position, nth
                    ) as place
                from events where hash(stream_key, {named}) in (from {suspects})
            )
            where met and place > 1
            """,
        )
        if not scratch.rows(again):
            return work
        return removed(work, number, f"(source, position, nth) in (from {again})", unordered=True)


def drop_duplicates(
    type: str | Iterable[str] | None = None, *, streams: str | None = None, where: str | None = None
) -> Step:
    """Drop repeated deliveries: of events with the same id (without ids: version) and content in a stream all but one.

    >>> drop_duplicates()
    drop repeated deliveries (every event)
    """
    return DropDuplicates(which(type, streams=streams, where=where))

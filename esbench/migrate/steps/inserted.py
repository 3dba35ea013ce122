"""Steps that put a new event before or after others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from esbench import payload
from esbench.event import CANONICAL, Event
from esbench.migrate.step import MigrationError, Step, name_of, which
from esbench.migrate.steps.calls import Split
from esbench.migrate.steps.functions import CallStep
from esbench.migrate.steps.made import IDS
from esbench.migrate.steps.several import marked, spread
from esbench.migrate.work import LINEAGE, Work, shifted
from esbench.show import cell

__all__ = ["insert_after", "insert_before"]


@dataclass(frozen=True, repr=False)
class Insert(Step):
    """A constant event beside each of some, in SQL."""

    new_type: str = field(kw_only=True)
    raw: str | None = field(kw_only=True)
    before: bool = field(kw_only=True)
    schema_version: int | None = field(kw_only=True)

    @property
    def sentence(self) -> str:
        data = "" if self.raw is None else f" {cell(self.raw, width=60)}"
        return f"insert {cell(self.new_type)}{data} {'before' if self.before else 'after'} {self.which}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        place = -1 if self.before else 1
        bound |= {f"step{number}_new": self.new_type, f"step{number}_data": self.raw}
        values = {
            "version": f"version + ({'hit and not new' if self.before else 'new'})::bigint",
            "event_type": f"case when new then $step{number}_new else event_type end",
            "data": f"case when new then $step{number}_data::json else data end",
            "schema_version": f"case when not new or event_type = $step{number}_new then schema_version end"
            if self.schema_version is None
            else f"case when new then {self.schema_version} else schema_version end",
            "event_id": f"case when new then {_UUID} else event_id end",
            "steps": f"case when new then steps | {1 << number} else steps end",
            "met": f"case when new then 0 when hit then met | {1 << number} else met end",
        }
        names = ("stream_key", *CANONICAL, *LINEAGE)
        copies = "[true, false]" if self.before else "[false, true]"
        rows = work.over(
            f"""
            select {", ".join(f"{values[name]} as {name}" if name in values else name for name in names)},
                version as anchor, case when new then {place} else 0 end as place
            from (
                select *, unnest(case when hit then {copies} else [false] end) as new,
                    case when hit then {_digest(number, place)} end as hex
                from ({marked(work, hit)})
            )
            """,
            **bound,
        )
        net = work.scratch.keep(
            f"net {number}",
            rows.events,
            "select distinct stream_key, anchor as version, 1 as net from events where place <> 0",
        )
        if not work.scratch.rows(net):
            return work
        return shifted(spread(rows, work, f"select {min(place, 0)}, {max(place, 0)}"), number, net, anchor="anchor")


def insert_before(
    type: str | Iterable[str],
    new_type: str,
    data: Any = None,
    *,
    schema_version: int | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> Step:
    """Insert an event before each of some: ``data`` is a constant, or a function of the event; None is no payload.

    Times and metadata are those of the event beside it; its id is made from that event's. Later versions move by one.

    >>> insert_before("OrderPlaced", "CartClosed", {"reason": "placed"})
    insert CartClosed {"reason":"placed"} before OrderPlaced
    """
    return _inserted(type, new_type, data, schema_version, streams, where, before=True)


def insert_after(
    type: str | Iterable[str],
    new_type: str,
    data: Any = None,
    *,
    schema_version: int | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> Step:
    """Insert an event after each of some, as :func:`insert_before` does before.

    >>> insert_after("OrderPlaced", "OrderNumbered", lambda event: {"number": event.position})
    insert OrderNumbered by <lambda> after OrderPlaced
    """
    return _inserted(type, new_type, data, schema_version, streams, where, before=False)


@dataclass(frozen=True)
class _Beside:
    """What an insertion with a function does, as a function of an event."""

    function: Callable[[Event], Any]
    new_type: str
    before: bool

    def __call__(self, event: Event) -> list[Any]:
        new = (self.new_type, self.function(event))
        return [new, event] if self.before else [event, new]


@dataclass(frozen=True, repr=False)
class _InsertCall(CallStep):
    @property
    def sentence(self) -> str:
        return f"{self.said} {self.which}"


def _inserted(
    types: str | Iterable[str],
    new_type: str,
    data: Any,
    schema_version: int | None,
    streams: str | None,
    where: str | None,
    *,
    before: bool,
) -> Step:
    side = "before" if before else "after"
    taken = which(types, streams=streams, where=where)
    if len(which(new_type).types) != 1:
        raise MigrationError(f"insert_{side}({types!r}): name the type of the new event, not {new_type!r}")
    if callable(data):
        task = Split(_Beside(data, new_type, before), schema_version)
        return _InsertCall(taken, task, f"insert {cell(new_type)} by {name_of(data)} {side}", user=data)
    raw = None if data is None else payload.encode(data)
    return Insert(taken, new_type=new_type, raw=raw, before=before, schema_version=schema_version)


def _digest(number: int, place: int) -> str:
    """SQL for the digest of which :func:`esbench.migrate.steps.made.new_id` makes the id of a new row."""
    name = f"coalesce(event_id, stream_id || '@' || version || '#' || position) || '/{number}/{place}'"
    space = "".join(f"\\x{byte:02X}" for byte in IDS.bytes)
    return f"sha1('{space}'::blob || encode({name}))"


#: SQL for the UUID (version 5) of a digest.
_UUID = """concat_ws('-', hex[1:8], hex[9:12], '5' || hex[14:16],
    substr('89ab89ab89ab89ab', instr('0123456789abcdef', hex[17]), 1) || hex[18:20], hex[21:32])"""

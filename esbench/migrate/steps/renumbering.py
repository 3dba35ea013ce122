"""Steps on the numbers of a log: versions, event ids, positions, and the type of streams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid5

from esbench import payload
from esbench.event import literal
from esbench.migrate.step import MigrationError, Step, Which, which
from esbench.migrate.steps.among import Streams, among, keys, told
from esbench.migrate.steps.ids import NAMESPACE, SEED, uuid
from esbench.migrate.work import Work, columns, edited, rewritten
from esbench.payload import edits
from esbench.show import cell

__all__ = ["reissue_ids", "reissue_positions", "renumber", "set_stream_type"]

#: Metadata that names an event by its id.
_MENTIONS = ("causation_id", "correlation_id")


@dataclass(frozen=True, repr=False)
class Renumber(Step):
    """Contiguous versions, in folding order."""

    base: int | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        return f"renumber {told(self.which)}{'' if self.base is None else f' from {self.base}'}"

    def over(self, work: Work, number: int) -> Work:
        taken, facts = keys(work, number, self.which), work.events.facts
        if taken is None:
            return work
        base = facts.base if self.base is None else self.base
        keep = work.scratch.keep
        odd = keep(
            f"odd {number}",
            work.events,
            f"""
            select stream_key, coalesce($base::bigint, min(version)) as first
            from events where stream_key in (select stream_key from {taken})
            group by stream_key
            having min(version) <> first or max(version)::hugeint - min(version) + 1 <> count(*)
                or count(distinct version) <> count(*)
            """,
            base=base,
        )
        numbers = keep(
            f"numbers {number}",
            work.events,
            f"""
            select source, position, nth, version
            from (
                select source, position, nth, version as before,
                    first - 1 + row_number() over (partition by stream_key order by version, source, position, nth)
                        as version
                from (
                    select source, position, nth, stream_key, version
                    from events where stream_key in (select stream_key from {odd})
                )
                join {odd} using (stream_key)
            )
            where version <> before
            """,
        )
        bit = 1 << number
        if self.base is not None and self.which == Which():
            work = replace(work, events=replace(work.events, facts=replace(facts, base=self.base)))
        met = f"select stream_key from {taken}"
        marked = f"""
            select * replace (
                case when failed is null and stream_key in ({met}) then met | {bit} else met end as met
            )
            from ({work.events.query})
        """
        if not work.events.rows(f"select 1 from {numbers} limit 1"):
            return work.over(f"select {columns()} from ({marked})")
        return work.over(
            f"""
            select {columns("version", "steps", prefix="held.")}, coalesce(numbers.version, held.version) as version,
                case when numbers.version is not null and failed is null then steps | {bit} else steps end as steps
            from ({marked}) as held
            left join {numbers} as numbers
                on held.source = numbers.source and held.position = numbers.position and held.nth = numbers.nth
            """,
            ordered=False,
        )


def renumber(*, base: int | None = None, streams: Streams = None) -> Step:
    """Issue contiguous versions, in folding order: gaps close, events that share a version follow each other.

    They start at ``base``; where that is not given at the base of the log, and where none is known at the stream's
    lowest version. That a head is missing is then no longer to be seen. Streams that are contiguous stay as they are.

    >>> renumber(streams="item-*")
    renumber item-*
    """
    if base is not None and (isinstance(base, bool) or base not in (0, 1)):
        raise MigrationError(f"renumber(): base is 0 or 1, not {base!r}")
    return Renumber(among(streams, what="renumber()"), base=base)


@dataclass(frozen=True, repr=False)
class ReissueIds(Step):
    """Events with new ids, and metadata that names them."""

    local = False
    salt: str = field(default="", kw_only=True)
    _edits: dict[str, edits.Edit] = field(default_factory=dict, compare=False, kw_only=True)

    @property
    def sentence(self) -> str:
        return f"give new ids ({self.which}){', with a salt' if self.salt else ''}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        namespace = uuid5(NAMESPACE, f"ids {self.salt}")
        ids = work.scratch.keep(
            f"ids {number}",
            work.events,
            f"select distinct event_id from events where ({hit}) and failed is null and event_id is not null",
            **bound,
        )
        paths = {meaning: work.events.facts.keys[meaning] for meaning in _MENTIONS if meaning in work.events.facts.keys}

        def renewed(raw: str) -> str:
            return payload.encode(str(uuid5(namespace, payload.text_form(raw) or "")))

        # What names an event that gets another id follows it; what names something else, such as a command, stays.
        named = work
        for meaning, path in paths.items():
            name = f"step{number}_{meaning}"
            condition = f"{payload.name_at('metadata', f'${name}')} in (select event_id from {ids})"
            if work.events.rows(f"select 1 from events where {condition} limit 1", **{name: path}):
                edit = self._edits.setdefault(path, edits.Convert(path, renewed))
                named = edited(named, number, condition, edit, column="metadata", **{name: path})
                named = named.over(named.events.query, ordered=False)
        return rewritten(named, number, hit, {"event_id": uuid(SEED, namespace)}, **bound)


def reissue_ids(
    type: str | Iterable[str] | None = None,
    *,
    streams: str | None = None,
    where: str | None = None,
    salt: str = "",
) -> Step:
    """Give events new ids: UUIDs (version 5) of the old ones, the same at every run; lineage leads to the old ones.

    Events that share an id share the new one. Causes and correlations in metadata that name one of these events follow.
    Who knows an old id can compute the new one, unless a secret ``salt`` goes into it, which is kept nowhere.

    >>> reissue_ids(streams="customer-*")
    give new ids (every event in customer-*)
    """
    if not isinstance(salt, str):
        raise MigrationError(f"reissue_ids(): salt= is a text, not {salt!r:.20}")
    return ReissueIds(which(type, streams=streams, where=where), salt=salt)


@dataclass(frozen=True, repr=False)
class ReissuePositions(Step):
    """Positions without holes."""

    local = False

    @property
    def sentence(self) -> str:
        return "give positions anew, from 1"

    def over(self, work: Work, number: int) -> Work:
        met = f"case when failed is null then met | {1 << number} else met end as met"
        after = work.over(f"select {columns('met')}, {met} from ({work.events.query})")
        return replace(after, added=True)


def reissue_positions() -> Step:
    """Issue positions 1, 2, 3 … in the order that the events have; lineage tells old from new.

    >>> reissue_positions()
    give positions anew, from 1
    """
    return ReissuePositions(Which())


@dataclass(frozen=True, repr=False)
class SetStreamType(Step):
    """Events with another stream type."""

    to: str | None = field(kw_only=True)

    @property
    def sentence(self) -> str:
        return f"set stream type {'to none' if self.to is None else cell(self.to)} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        value: Any = "null::varchar" if self.to is None else literal(self.to)
        return rewritten(work, number, hit, {"stream_type": value}, **bound)


def set_stream_type(
    to: str | None,
    *,
    type: str | Iterable[str] | None = None,
    streams: Streams = None,
    where: str | None = None,
) -> Step:
    """Set the type of streams, on their events.

    >>> set_stream_type("InventoryItem", streams="item-*")
    set stream type InventoryItem (every event in item-*)
    """
    if to is not None and (not isinstance(to, str) or not to):
        raise MigrationError(f"set_stream_type(): a stream type is a text or None, not {to!r}")
    if streams is not None and not isinstance(streams, str) and type is None and where is None:
        return SetStreamType(among(streams, what="set_stream_type()"), to=to)
    if streams is not None and not isinstance(streams, str):
        raise MigrationError("set_stream_type(): several streams= go without type= and where=")
    return SetStreamType(which(type, streams=streams, where=where), to=to)

"""The step that puts the events of another log after those of this one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from esbench.events import Events
from esbench.facts import Facts
from esbench.migrate.step import MigrationError, Step, Which
from esbench.migrate.steps.among import (
    Order,
    checked,
    exactly,
    in_order,
    known,
)
from esbench.migrate.steps.regrouping import regrouped
from esbench.migrate.work import Work, columns, started
from esbench.show import cell

__all__ = ["concat"]


@dataclass(frozen=True, repr=False)
class Concat(Step):
    """The events of another log after those that are there."""

    local = False
    other: Events = field(kw_only=True, compare=False)
    named: str = field(kw_only=True)
    prefix: str = field(default="", kw_only=True)
    merge: Order | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        prefix = f", with {cell(self.prefix)} before the ids of its streams" if self.prefix else ""
        together = f", streams of one id {in_order(self.merge)}" if self.merge else ""
        return f"add the events of {cell(self.named)}{prefix}{together}"

    def over(self, work: Work, number: int) -> Work:
        other = self._beside(work, number)
        source = len(work.joined) + 1
        if source > 255:
            raise MigrationError(f"{self.sentence}: one migration takes at most 256 logs together")
        bit, bound, name = 1 << number, dict[str, Any](), "stream_id"
        if self.prefix:
            bound[f"step{number}_prefix"] = self.prefix
            name = f"$step{number}_prefix::varchar || stream_id"
        # The keys of the other log go on from those that are taken.
        mine = work.scratch.keep(f"mine {number}", work.events, known(work))
        ((highest,),) = work.events.rows(f"select coalesce(max(stream_key), 0) from {mine}")
        theirs = other.streams or "select distinct stream_key, stream_id from events"
        joined = work.scratch.keep(
            f"joined {number}",
            other,
            f"select * from {mine} union all select stream_key + {highest}, {name} from ({theirs})",
            **bound,
        )
        values = {
            "stream_key": f"stream_key + {highest}",
            "stream_id": name,
            "steps": f"{bit if self.prefix else 0}::bigint",
            "met": f"{bit}::bigint",
        }
        made = ", ".join(f"{value} as {column}" for column, value in values.items())
        both = work.over(
            f"""
            select {columns()} from ({work.events.query})
            union all
            select {columns()} from (
                select {columns(*values)}, {made} from ({started(other, work.scratch, number=source).events.query})
            )
            """,
            ordered=False,
            **{**other.parameters, **bound},
        )
        facts = self._facts(work.events.facts, other.facts)
        events = replace(both.events, facts=facts, streams=f"select * from {joined}")
        logs = (*work.joined, (self.named, self.other))
        return self._together(replace(both, events=events, added=True, joined=logs), number, highest, joined)

    def _beside(self, work: Work, number: int) -> Events:
        """The other events; those that bind something under a name that is taken are kept as they are now."""
        found = self.other.con.cursor().execute(
            "select 1 from duckdb_databases() where database_name = $name", {"name": work.scratch.name}
        )
        if not found.fetchall():
            raise MigrationError(f"{self.sentence}: it lies in another bench; load its events into this one first")
        if not set(self.other.parameters) & set(work.events.parameters):
            return self.other
        table = work.scratch.keep(f"other {number}", self.other, "select * from events")
        return replace(self.other, query=f"select * from {table}", parameters={}, stored=None)

    def _facts(self, mine: Facts, other: Facts) -> Facts:
        for meaning in mine.keys:
            if mine.keys[meaning] != other.keys.get(meaning):
                raise MigrationError(
                    f'{self.sentence}: its metadata keeps {meaning} at "{other.keys.get(meaning)}", this log at '
                    f'"{mine.keys[meaning]}"; move it there first, by a migration of that log with '
                    "move_field(…, metadata=True)"
                )
        notes = [note for note in other.notes if note not in mine.notes]
        if mine.base != other.base:
            notes.append(f"versions began at {mine.base} here and at {other.base} in {self.named}")
        return replace(
            mine,
            base=mine.base if mine.base == other.base else None,
            derived_versions=mine.derived_versions or other.derived_versions,
            positions="issued" if "issued" in (mine.positions, other.positions) else mine.positions,
            truncated=(*mine.truncated, *(f"{exactly(self.prefix)}{pattern}" for pattern in other.truncated)),
            notes=(*mine.notes, *notes),
        )

    def _together(self, work: Work, number: int, highest: int, joined: str) -> Work:
        """Streams of one id in both logs made one, or refused by name."""
        goes = work.scratch.keep(
            f"goes {number}",
            work.events,
            f"""
            select source, position, nth, stream_key, stream_id as target, null::varchar as failure from events
            where stream_key in (
                select stream_key from {joined} where stream_key > {highest}
                and stream_id in (select stream_id from {joined} where stream_key <= {highest})
            )
            """,
        )
        if not work.events.rows(f"select 1 from {goes} limit 1"):
            return work
        help = (
            None if self.merge else 'concat(prefix="…") keeps them apart, concat(merge="one after another") joins them'
        )
        return regrouped(work, number, goes, self.merge or "position", rank="stream_key", merge=help)


def concat(other: Any, *, prefix: str = "", merge: Order | None = None) -> Step:
    """Add the events of another log of the same bench after those of this one.

    ``other`` is a log, or events. Their ``source`` in the lineage is 1, of a second one 2, and so on; positions are
    issued anew. A stream that both have is refused by name, unless ``prefix`` stands before the ids of the other's
    streams, or ``merge`` says in which order the events of the two follow each other, as in :func:`merge_streams`.

    >>> import esbench as es, pandas as pd
    >>> rows = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Made"]})
    >>> concat(es.open().load(rows, name="north"), prefix="north-")
    add the events of north, with north- before the ids of its streams
    """
    source = getattr(other, "source", other)
    if not isinstance(source, Events):
        raise MigrationError(f"concat() takes a log or events, not {other!r:.80}")
    if not isinstance(prefix, str) or "\0" in prefix:
        raise MigrationError(f"concat(): prefix= is a text, not {prefix!r}")
    if merge is not None:
        checked(merge, "concat()")
    name = getattr(other, "name", None) or source.within or "other events"
    return Concat(Which(), other=source, named=name, prefix=prefix, merge=merge)

"""Steps on streams: one stream into several, several into one, and events that move to another stream.

A stream that only changes its id keeps its versions, with their gaps and forks. Where streams lose or get events, their
versions are issued contiguously, from the log's base (where none is known, from the stream's lowest version). Events
keep their positions and stream types; :func:`~esbench.migrate.steps.renumbering.set_stream_type` changes the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from esbench import payload
from esbench.event import CANONICAL, Event
from esbench.migrate.step import MigrationError, Step, Which, name_of, which
from esbench.migrate.steps.among import (
    Listed,
    Order,
    Streams,
    among,
    called,
    checked,
    filled,
    in_order,
    keys,
    known,
    target_id,
    told,
    written,
)
from esbench.migrate.steps.regrouping import WHOLE, regrouped
from esbench.migrate.work import Work
from esbench.show import cell

__all__ = ["merge_streams", "move_events", "split_stream"]

_GOES: Mapping[str, pa.DataType] = {
    "source": pa.uint8(),
    "position": pa.int64(),
    "nth": pa.int32(),
    "stream_key": pa.int64(),
    "target": pa.string(),
    "failure": pa.string(),
}


@dataclass(frozen=True, repr=False)
class SplitStream(Step):
    """Streams whose events go to other streams by a value that each has."""

    local = False
    by: str | Callable[[Event], Any] = field(kw_only=True)
    name: str = field(kw_only=True)
    merge: Order | None = field(default=None, kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.by): self.by} if callable(self.by) else {}

    @property
    def sentence(self) -> str:
        by = name_of(self.by) if callable(self.by) else cell(self.by, width=200)
        together = "" if self.merge is None else f", those that become one {in_order(self.merge)}"
        return f"split {told(self.which)} by {by} into {cell(self.name)}{together}"

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        if taken is None:
            return work
        rows = f"events where failed is null and stream_key in (select stream_key from {taken})"
        bound: dict[str, Any] = {}
        if callable(self.by):
            values = self._values(work, number, taken, self.by)
        else:
            if self.by.startswith("/"):
                bound[f"step{number}_path"] = self.by
                value = payload.name_at("data", f"$step{number}_path")
            else:
                value = f"nullif(({self.by})::varchar, '')"
            values = (
                f"(select source, position, nth, stream_key, stream_id, {value} as target, null as failure from {rows})"
            )
        name = filled(self.name, number, bound, stream="stream_id", value="target")
        goes = work.scratch.keep(
            f"goes {number}",
            work.events,
            f"""
            select source, position, nth, stream_key, nullif(target, stream_id) as target, failure::varchar as failure
            from (select * replace ({name} as target) from {values})
            where target is not null or failure is not null
            """,
            **bound,
        )
        if not work.events.rows(f"select 1 from {goes} limit 1"):
            return work
        help = None if self.merge else "split_stream(merge=…) makes one stream of several"
        return regrouped(work, number, goes, self.merge or "position", merge=help)

    def _values(self, work: Work, number: int, taken: str, by: Callable[[Event], Any]) -> str:
        """A scratch table of what the function gives for each event of the streams."""
        parts = []
        some = replace(work.events, query=f"""
            select * from ({work.events.query})
            where failed is null and stream_key in (select stream_key from {taken})
        """)  # fmt: skip
        for batch in some.batches(["source", "nth", "stream_key", *CANONICAL]):
            columns = batch.to_pydict()
            given = [called(by, event) for event in _events(columns)]
            parts.append(
                pa.table(
                    {
                        **{name: pa.array(columns[name], kind) for name, kind in list(_GOES.items())[:4]},
                        "stream_id": pa.array(columns["stream_id"], pa.string()),
                        "target": pa.array([value for value, _ in given], pa.string()),
                        "failure": pa.array([failure for _, failure in given], pa.string()),
                    }
                )
            )
        empty = pa.schema({**_GOES, "stream_id": pa.string()}).empty_table()
        return written(work.scratch, f"values {number}", pa.concat_tables(parts) if parts else empty)


def split_stream(
    streams: Streams,
    by: str | Callable[[Event], Any],
    name: str = "{stream}-{value}",
    *,
    merge: Order | None = None,
) -> Step:
    """Split streams by a value of each event: the text or number at a path, SQL over the columns, or a function.

    An event without a value (none at the path, an object, '', NULL, None) stays in its stream. ``name`` is the id of
    the new stream. Versions of every stream that loses or gets events are issued contiguously, in the order in which
    the events were. A stream that is there already is refused by name, as are events of two streams that go to one,
    unless ``merge`` says in which order they follow each other; see :func:`merge_streams`.

    >>> split_stream("item-*", "/warehouse")
    split item-* by /warehouse into {stream}-{value}
    """
    if merge is not None:
        checked(merge, "split_stream()")
    if not isinstance(name, str) or "{value}" not in name:
        raise MigrationError(f"split_stream(): name= is a text with {{value}} in it, not {name!r}")
    if isinstance(by, str):
        if by.startswith("/"):
            payload.pointer(by)
    elif not callable(by):
        raise MigrationError(f"split_stream(): by= is a path, SQL or a function, not {by!r:.80}")
    return SplitStream(among(streams, what="split_stream()"), by=by, name=name, merge=merge)


@dataclass(frozen=True, repr=False)
class MergeStreams(Step):
    """Several streams that become one."""

    local = False
    into: str = field(kw_only=True)
    order: Order = field(kw_only=True)

    @property
    def sentence(self) -> str:
        return f"merge {told(self.which)} into {cell(self.into)}, {in_order(self.order)}"

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        if taken is None:
            return work
        for (key,) in work.events.rows(
            f"""
            select stream_key from ({known(work)})
            where stream_id = $into and stream_key not in (select stream_key from {taken})
            """,
            into=self.into,
        ):
            if work.events.rows(f"select 1 from events where stream_key = {key} limit 1"):
                raise MigrationError(
                    f'merge_streams(): there is a stream "{cell(self.into)}" already: name it among those that are '
                    "merged, or choose another id"
                )
        goes = work.scratch.keep(
            f"goes {number}",
            work.events,
            WHOLE.format(
                names=f"""(
                    select stream_key, nullif($into, stream_id) as target, null::varchar as failure from {taken}
                )"""
            ),
            into=self.into,
        )
        rank, bound = "0", dict[str, Any]()
        if isinstance(self.which, Listed) and self.order == "one after another":
            rank, bound = f"coalesce({self.which.rank(number)}, {len(self.which.listed) + 1})", {}
            bound[f"step{number}_listed"] = list(self.which.listed)
        return regrouped(work, number, goes, self.order, rank=rank, **bound)


def merge_streams(streams: Streams, into: str | int, order: Order = "position") -> Step:
    """Make one stream of several; its versions are issued contiguously, each stream's own order of folding kept.

    ``order``: by ``position``, by ``recorded_at``, or ``one after another`` (as they are listed; those that a pattern
    matches as the log knows them). By position no event comes after one that was recorded later, unless its own stream
    had it so.

    >>> merge_streams(["cart-1", "order-1"], "order-1")
    merge cart-1, order-1 into order-1, in order of position
    """
    checked(order, "merge_streams()")
    taken = among(streams, what="merge_streams()")
    return MergeStreams(taken, into=target_id(into, "merge_streams"), order=order)


@dataclass(frozen=True, repr=False)
class MoveEvents(Step):
    """Events that go to another stream."""

    local = False
    to: str = field(kw_only=True)
    order: Order = field(kw_only=True)

    @property
    def sentence(self) -> str:
        return f"move {self.which} to {cell(self.to)}, {in_order(self.order)}"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        target = filled(self.to, number, bound, stream="stream_id")
        goes = work.scratch.keep(
            f"goes {number}",
            work.events,
            f"""
            select source, position, nth, stream_key, nullif({target}, stream_id) as target, null::varchar as failure
            from events where ({hit}) and failed is null
            """,
            **bound,
        )
        if not work.events.rows(f"select 1 from {goes} limit 1"):
            return work
        return regrouped(work, number, goes, self.order, rank="moves::integer")


def move_events(
    type: str | Iterable[str] | None,
    to: str | int,
    *,
    streams: str | None = None,
    where: str | None = None,
    order: Order = "position",
) -> Step:
    """Move events to another stream, there or not; ``{stream}`` in its id stands for that of the one they leave.

    Versions of the streams that they leave and reach are issued contiguously, each stream's own order of folding kept.
    ``order`` says how they and the events there follow each other: by ``position``, by ``recorded_at``, or ``one after
    another`` (those that are there first); see :func:`merge_streams`.

    >>> move_events("ItemsReserved", "{stream}-reservations")
    move ItemsReserved to {stream}-reservations, in order of position
    """
    checked(order, "move_events()")
    taken = which(type, streams=streams, where=where)
    if taken == Which():
        raise MigrationError("move_events() would move every event: name a type, streams= or where=")
    return MoveEvents(taken, to=target_id(to, "move_events"), order=order)


def _events(columns: Mapping[str, list[Any]]) -> Iterable[Event]:
    names = {"data": "data_text", "metadata": "metadata_text"}
    for row in zip(*(columns[name] for name in CANONICAL), strict=True):
        yield Event(**dict(zip((names.get(name, name) for name in CANONICAL), row, strict=True)))

"""Concurrent writes: would a command have been accepted, and which writes of a log raced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from esbench import payload, show
from esbench.checks.reader import reading
from esbench.checks.suspects import mentions
from esbench.errors import BadCoordinate, EsbenchError, UnknownStream
from esbench.event import At
from esbench.events import Events, frame, stream_name
from esbench.facts import MEANINGS
from esbench.payload import name_at

__all__ = ["Concurrency", "Unrecorded", "Verdict", "audit", "would_accept"]


class Unrecorded(EsbenchError, ValueError):
    """The log's metadata does not say what a question needs: says which ``keys=`` would."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a command would have been accepted, and the version that its stream had (None: no events yet).

    >>> Verdict("item-123", 2, 3, False)
    refused: expected version 2, "item-123" had version 3
    """

    stream_id: str
    expected_version: int | None
    version: int | None
    accepted: bool

    def __bool__(self) -> bool:
        return self.accepted

    def __repr__(self) -> str:
        had = "no events" if self.version is None else f"version {self.version}"
        expected = "no stream" if self.expected_version is None else f"version {self.expected_version}"
        verdict = "accepted" if self.accepted else "refused"
        return f'{verdict}: expected {expected}, "{show.cell(self.stream_id)}" had {had}'


def would_accept(events: Events, stream_id: str | int, expected_version: int | None, at: At) -> Verdict:
    """What optimistic locking says to a command that was handled at a version, at a coordinate.

    It is accepted if the stream has that version there. ``expected_version=None`` expects no stream, and so does
    the number before its first one. Raises UnknownStream, unless no stream is expected, and BadCoordinate for what is
    no version.
    """
    stream_id = stream_name(stream_id)
    if expected_version is not None:
        if isinstance(expected_version, bool) or not hasattr(expected_version, "__index__"):
            raise BadCoordinate(f"expected_version is not an integer: {expected_version!r}")
        expected_version = int(expected_version)
    try:
        stream = events.stream(stream_id)
    except UnknownStream:
        if expected_version is None:
            return Verdict(stream_id, None, None, accepted=True)
        raise
    version = stream.at(at).rows("select max(version) from events")[0][0]
    if version is not None or expected_version is None:
        return Verdict(stream_id, expected_version, version, version == expected_version)
    first = events.facts.base
    if first is None:
        first = stream.rows("select coalesce(min(version), 1) from events")[0][0]
    return Verdict(stream_id, expected_version, None, expected_version == first - 1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Concurrency:
    """Which writes of a log raced, how often, and which got through wrongly.

    ``races`` has a row a write that was decided before another of its stream was recorded; ``wrong`` a row a write that
    a lock should have refused, with the same columns. ``by_stream`` (those that have any) and ``by_type`` count
    the ``writes`` that say what they expected, ``races`` and ``wrong``, and give the share of races.
    """

    races: pd.DataFrame
    wrong: pd.DataFrame
    by_stream: pd.DataFrame
    by_type: pd.DataFrame

    def __repr__(self) -> str:
        return f"Concurrency: {self._summary()}"

    def _repr_html_(self) -> str:
        return f"<div>{show.table(self.by_type, title=repr(self))}{show.table(self.races, title='Races')}</div>"

    def _summary(self) -> str:
        writes = int(self.by_type["writes"].sum())
        return (
            f"{show.count(len(self.races), 'race')} among {show.count(writes, 'write')}, in "
            f"{show.count(int((self.by_stream['races'] > 0).sum()), 'stream')}; {len(self.wrong):,} got through wrongly"
        )


#: What the audit reads of metadata.
_READ = ("expected_version", "commanded_at", "commit_id", "writer")

#: ``had`` is the version that the stream had when an event was recorded. Events that one command wrote together expect
#: what the first of them expects, so only that one is judged.
_JUDGED = """
    with named as (
        select
            stream_key, position, version, event_type, recorded_at, batch,
            try_cast(commanded as timestamptz) as commanded,
            case when try_cast(expected as bigint) >= $lowest and regexp_full_match(expected, '-?[0-9]+')
                then try_cast(expected as bigint) end as expected
        from (
            select
                stream_key, position, version, event_type, recorded_at,
                {commit_id} as batch, {commanded_at} as commanded, {expected_version} as expected
            from events
        )
    ),
    followed as (
        select
            *,
            max(version) over (recorded rows between unbounded preceding and 1 preceding) as had,
            lag(position) over recorded as previous,
            lag(recorded_at) over recorded as previous_at,
            lag(version) over recorded = version - 1
                and lag(expected) over recorded is not distinct from expected
                and lag(commanded) over recorded is not distinct from commanded
                and coalesce(lag(batch) over recorded = batch, lag(recorded_at) over recorded = recorded_at)
                as together
        from named
        window recorded as (partition by stream_key order by {order})
    )
    select
        stream_key, position, event_type, expected, commanded, had, previous,
        coalesce(expected < had, false) as stale,
        coalesce(commanded < previous_at, false) as overtaken,
        coalesce(expected <> version - 1, false) as unexpected,
        coalesce(had >= version, false) as behind
    from followed
    where coalesce(not together, true) and (expected is not null or commanded is not null)
"""

_SAME = " and ".join(
    f"one.{name} is not distinct from other.{name}"
    for name in ("event_id", "event_type", "schema_version", "data", "metadata")
)

#: An event that stands in the log a second time is no write; a fork is another event of the same version.
_WRITES = f"""
    with near as (select * from events where stream_key in (select stream_key from suspects)),
    earlier as (
        select
            one.position,
            bool_or(other.version = one.version and not ({_SAME})) as forked,
            bool_or({_SAME} and (one.event_id is not null or other.version = one.version)) as again
        from (select * from near where position in (select position from suspects where behind)) as one
        join near as other on other.stream_key = one.stream_key and other.position < one.position
            and (other.version = one.version or other.event_id = one.event_id)
        group by one.position
    )
    select
        it.stream_id, it.stream_type, it.version, it.position, it.event_id, it.event_type, it.recorded_at,
        {{writer}} as writer, suspects.expected as expected_version, suspects.had as actual_version,
        suspects.commanded as commanded_at,
        last.version as after_version, last.event_id as after_event_id, last.event_type as after_event_type,
        {{last_writer}} as after_writer,
        case
            when coalesce(earlier.forked, false) then 'fork'
            when suspects.unexpected then 'unexpected version'
            else 'in order'
        end as outcome,
        suspects.stale or suspects.overtaken as raced
    from suspects
    join near as it on it.position = suspects.position
    left join near as last on last.position = suspects.previous
    left join earlier on earlier.position = suspects.position
    where not coalesce(earlier.again, false)
    order by it.position
"""


def audit(events: Events) -> Concurrency:
    """Find the writes that raced, by what metadata says: the version expected, or when the command was given.

    A write raced when the version that it expected is older than the one that its stream had as it was recorded, or
    when its command was given before the event before it was recorded. It got through wrongly when another event
    had its version before (a fork), or when it does not follow the version that it expected. An expected version
    below the first is taken as no claim. Raises Unrecorded where metadata says neither.
    """
    facts = events.facts
    pointers = {name: {**MEANINGS, **facts.keys}[name] for name in _READ}
    tokens = {f"{name}_token": (payload.pointer(path) or ("",))[-1] for name, path in pointers.items()}
    with reading(events, {**pointers, **tokens, "lowest": (facts.base or 0) - 1}) as reader:
        counts = ", ".join(f"count(*) filter ({mentions(name)}) as {name}" for name in _READ)
        has = {name: count > 0 for name, count in reader.one(f"select {counts} from events").items()}
        has["expected_version"] &= not facts.derived_versions
        values = {name: name_at("{0}metadata", f"${name}") if has[name] else "null::varchar" for name in _READ}
        # Issued positions say nothing of the order in which events were recorded.
        order = "version, position" if facts.positions == "issued" else "position"
        reader.make("judged", _JUDGED.format(order=order, **{name: values[name].format("") for name in _READ}))
        reader.make("suspects", "select * from judged where stale or overtaken or unexpected or behind")
        by_type = frame(reader.arrow("select event_type, count(*) as writes from judged group by 1"))
        if by_type.empty:
            raise _unrecorded(events, pointers)
        by_stream = frame(
            reader.arrow(
                """
                select any_value(stream_id) as stream_id, any_value(writes) as writes
                from events join (
                    select stream_key, count(*) as writes from judged
                    where stream_key in (select stream_key from suspects) group by stream_key
                ) using (stream_key)
                group by stream_key
                """
            )
        )
        shown = _WRITES.format(writer=values["writer"].format("it."), last_writer=values["writer"].format("last."))
        writes = frame(reader.arrow(shown))
    races = writes[writes["raced"]].drop(columns="raced").reset_index(drop=True)
    wrong = writes[writes["outcome"] != "in order"].drop(columns="raced").reset_index(drop=True)
    by_stream = _counts(by_stream, "stream_id", races, wrong)
    affected = by_stream["races"] + by_stream["wrong"] > 0
    return Concurrency(races, wrong, by_stream[affected], _counts(by_type, "event_type", races, wrong))


def _counts(counted: pd.DataFrame, name: str, races: pd.DataFrame, wrong: pd.DataFrame) -> pd.DataFrame:
    """How many of the writes raced and got through wrongly, by stream or event type; most races first."""
    for column, some in (("races", races), ("wrong", wrong)):
        numbers = counted[name].map(some[name].value_counts()).fillna(0).astype("int64")
        counted = counted.assign(**{column: numbers})
    counted = counted.assign(share=counted["races"] / counted["writes"])
    return counted.sort_values(["races", "wrong", name], ascending=[False, False, True], ignore_index=True)


def _unrecorded(events: Events, pointers: Mapping[str, str]) -> Unrecorded:
    """What is missing, what metadata has instead, and how to say where it stands."""
    names: dict[str, None] = {}
    for (text,) in events.rows("select metadata::varchar from events where metadata is not null limit 1000"):
        value = payload.decode(text)
        names |= dict.fromkeys(f"/{show.cell(name, width=40)}" for name in value) if isinstance(value, dict) else {}
    has = f"Its metadata has {', '.join(list(names)[:20])}" if names else "It has no metadata"
    derived = " (and versions were numbered by the loader)" if events.facts.derived_versions else ""
    return Unrecorded(
        f"metadata says of no event which version its writer expected ({pointers['expected_version']}){derived} or "
        f"when its command was given ({pointers['commanded_at']}). {has}. If it has them by other names, load the log "
        'with keys={"expected_version": "/…", "commanded_at": "/…", "writer": "/…"}'
    )

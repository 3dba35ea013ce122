"""Steps on the beginning of streams: cut it off, or make one event of it that carries the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from esbench import payload
from esbench.aggregate import Aggregate
from esbench.aggregate.coverage import covered, refuse_read_model
from esbench.event import CANONICAL, At, literal
from esbench.events import Events
from esbench.fold import sql
from esbench.migrate.step import MigrationError, Step, Which, name_of
from esbench.migrate.steps import ids
from esbench.migrate.steps.among import Streams, among, declared, keys, told, written
from esbench.migrate.work import Work, columns, removed, took_away
from esbench.projection import Projection
from esbench.show import cell
from esbench.travel.taken import END, folded_values, surveyed

__all__ = ["compact", "truncate"]

#: So many streams are declared to be truncated by name; above that it is the pattern that named them.
_NAMED = 1_000


@dataclass(frozen=True, repr=False)
class Truncate(Step):
    """Streams without their oldest events."""

    before_version: int | None = field(default=None, kw_only=True)
    keep_last: int | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        if self.keep_last is not None:
            events = "the last event" if self.keep_last == 1 else f"the last {self.keep_last:,} events"
            return f"truncate {told(self.which)} to {events}"
        return f"truncate {told(self.which)} before version {self.before_version}"

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        if taken is None:
            return work
        first = "$first::bigint"
        if self.keep_last is not None:
            # Events that share the version of the first that stays do stay.
            first = "coalesce(min(version) filter (back = $keep), min(version))"
        cut = work.scratch.keep(
            f"cut {number}",
            work.events,
            f"""
            select stream_key, stream_id, first
            from (
                select stream_key, any_value(stream_id) as stream_id, {first} as first, min(version) as lowest
                from (
                    select stream_key, stream_id, version,
                        row_number() over (
                            partition by stream_key order by version desc, source desc, position desc, nth desc
                        ) as back
                    from events where stream_key in (select stream_key from {taken})
                )
                group by stream_key
            )
            where lowest < first
            """,
            **({"first": self.before_version} if self.keep_last is None else {"keep": self.keep_last}),
        )
        names = [row[0] for row in work.events.rows(f"select stream_id from {cut} order by stream_key")]
        if not names:
            return work
        if self.keep_last is None:
            condition, bound = self.which.sql(number)
            hit = f"version < {self.before_version} and ({condition})"
            after = removed(work, number, hit, leave_gap=True, **bound)
        else:
            joined = f"select held.*, first from ({work.events.query}) as held left join {cut} using (stream_key)"
            after = removed(work.over(joined, ordered=False), number, "version < first", leave_gap=True)
        if len(names) > _NAMED and type(self.which) is Which:
            facts = replace(work.events.facts, truncated=(*work.events.facts.truncated, self.which.streams or "*"))
        else:
            facts = declared(work.events.facts, names)
        return replace(after, events=replace(after.events, facts=facts))


def truncate(streams: Streams, *, before_version: int | None = None, keep_last: int | None = None) -> Step:
    """Drop the oldest events of streams: those before a version, or all but the last so many in folding order.

    Versions stay; that the heads of these streams are missing is declared (``facts.truncated``). Events that share the
    version of the first one kept are kept.

    >>> truncate("sensor-*", keep_last=100)
    truncate sensor-* to the last 100 events
    """
    if (before_version is None) == (keep_last is None):
        raise MigrationError("truncate(): give one of before_version= and keep_last=")
    for name, value in (("before_version", before_version), ("keep_last", keep_last)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise MigrationError(f"truncate(): {name}= is an integer, not {value!r}")
    if keep_last is not None and keep_last < 1:
        raise MigrationError("truncate(): keep_last= is 1 or more; drop_events(streams=…) drops whole streams")
    return Truncate(among(streams, what="truncate()"), before_version=before_version, keep_last=keep_last)


@dataclass(frozen=True, repr=False)
class Compact(Step):
    """Streams whose first events become one that carries the state."""

    aggregate: Aggregate = field(kw_only=True)
    event_type: str = field(kw_only=True)
    upto: At = field(default=END, kw_only=True)
    schema_version: int | None = field(default=None, kw_only=True)

    @property
    def form(self) -> str:
        """What the step runs as: a projection folds in SQL, whatever it is made of."""
        return "SQL" if isinstance(self.aggregate, Projection) else "Python"

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        handlers = {} if isinstance(self.aggregate, Projection) else self.aggregate.handlers
        return {name_of(handler): handler for handler in handlers.values()}

    @property
    def sentence(self) -> str:
        return (
            f"compact {told(self.which)} up to {self.upto} into one {cell(self.event_type)} with the state of "
            f"{self.aggregate.name}"
        )

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        if taken is None:
            return work
        plain = replace(work.events, query=f"select stream_key, {', '.join(CANONICAL)} from ({work.events.query})")
        some = covered(plain, self.aggregate).where(f"stream_key in (select stream_key from {taken})")
        rows = self._rows(work, number, some)
        states = self._states(work, number, some, rows)
        if not work.events.rows(f"select 1 from {states} limit 1"):
            return work
        steps = self._steps(work, number, rows, states)
        took_away(work, number, f"(select * from {steps} where gone)", merged=True)
        return self._over(work, number, steps)

    def _rows(self, work: Work, number: int, some: Events) -> str:
        """A scratch table of the rows of streams of which the coordinate takes some."""
        limit, bound = {
            "version": ("version <= $upto::bigint", self.upto.version),
            "as_of": ("recorded_at <= $upto::timestamptz", self.upto.as_of and self.upto.as_of.isoformat()),
            "position": ("position <= $upto::bigint", self.upto.position),
        }.get(next((name for name in At.__slots__ if getattr(self.upto, name) is not None), ""), ("true", None))
        return work.scratch.keep(
            f"rows {number}",
            # The streams that an aggregate covers are asked for by parameters of its own.
            replace(work.events, parameters=some.parameters),
            f"""
            select *, taken and ordinal = count(*) filter (taken) over (partition by stream_key) as last
            from (
                select source, position, nth, stream_key, version, origin, others, steps, met, failed,
                    coalesce({limit}, false) as taken,
                    row_number() over (partition by stream_key order by version, source, position, nth) as ordinal
                from events where stream_key in (select stream_key from ({some.query}))
            )
            qualify bool_or(taken) over (partition by stream_key)
            """,
            **({} if bound is None else {"upto": bound}),
        )

    def _states(self, work: Work, number: int, some: Events, rows: str) -> str:
        """A scratch table ``(stream_key, data, failure)`` of the streams that are compacted, or cannot be."""
        judged = work.events.rows(
            f"""
            select stream_key, max(ordinal) filter (taken) <> count(*) filter (taken),
                count(distinct source) filter (taken) > 1
            from {rows} group by stream_key having not bool_or(taken and failed is not null) order by stream_key
            """
        )
        found: dict[int, tuple[str | None, str | None]] = {}
        for key, torn, several in judged:
            found[key] = (None, None)
            if torn:
                found[key] = (None, f"what {self.upto} takes is not the beginning of the stream")
            elif several:
                found[key] = (None, "its events come from several logs")
        sound = written(
            work.scratch,
            f"sound {number}",
            pa.table({"stream_key": pa.array([key for key, (_, why) in found.items() if why is None], pa.int64())}),
        )
        folded = some.where(f"stream_key in (select stream_key from {sound})")
        if work.events.rows(f"select 1 from {sound} limit 1"):
            found |= self._folded(folded)
        return written(
            work.scratch,
            f"states {number}",
            pa.table(
                {
                    "stream_key": pa.array(list(found), pa.int64()),
                    "data": pa.array([data for data, _ in found.values()], pa.string()),
                    "failure": pa.array([why for _, why in found.values()], pa.string()),
                }
            ),
        )

    def _folded(self, some: Events) -> dict[int, tuple[str | None, str | None]]:
        """By stream, the text of its state, or why there is none."""
        survey, taken = surveyed(some, self.aggregate, self.upto, "all")
        if isinstance(self.aggregate, Projection):
            made = sql.fold(taken, self.aggregate, limit=survey.limit)
            values, faults = dict(zip(made.keys, made.values(), strict=True)), made.faults
        else:
            each = dict(zip(survey.keys, folded_values(taken, self.aggregate, survey), strict=True))
            values = {key: one.value for key, one in each.items()}
            faults = {key: one.faults for key, one in each.items() if one.faults}
        result: dict[int, tuple[str | None, str | None]] = {}
        for key, value in values.items():
            if faults.get(key):
                result[key] = (None, f"version {faults[key][0].version}: {faults[key][0].error}"[:1000])
                continue
            try:
                result[key] = (payload.encode(value), None)
            except payload.PayloadError as error:
                result[key] = (None, f"the state is {error}"[:1000])
        return result

    def _steps(self, work: Work, number: int, rows: str, states: str) -> str:
        """A scratch table of the rows that change: which go, which carries the state, and by how much others move."""
        return work.scratch.keep(
            f"compact {number}",
            work.events,
            f"""
            select source, position, nth, origin, others, steps, met,
                data, failure as reason, taken as hit, first_origin, other_origins,
                taken and failure is null and not last as gone,
                taken and failure is null and last as starts,
                case when failure is null then first - last_version else 0 end as shift
            from {rows} join {states} using (stream_key) join (
                select stream_key, first, last_version, origins[1] as first_origin,
                    nullif(list_sort(list_distinct(list_filter(origins, lambda o: o <> origins[1]))), [])
                        as other_origins
                from (
                    select stream_key, min(version) as first, max(version) filter (last) as last_version,
                        flatten(list(list_concat([origin], others) order by ordinal) filter (origin is not null))
                            as origins
                    from {rows} where taken group by stream_key
                )
            ) using (stream_key)
            where taken or failure is null
            """,
        )

    def _over(self, work: Work, number: int, steps: str) -> Work:
        bit, fresh = 1 << number, ("origin", "others", "steps", "met", "failed", "failure")
        version = "null::bigint" if self.schema_version is None else f"{self.schema_version}::bigint"
        values = {
            "event_id": ids.made(number),
            "event_type": literal(self.event_type),
            "schema_version": version,
            "data": "state::json",
            "origin": "first_origin",
            "others": "other_origins",
            "steps": f"steps | {bit}",
        }
        changed = ", ".join(
            f"case when starts then {value} else {name} end as {name}" for name, value in values.items()
        )
        return work.over(
            f"""
            select {columns("version", *values, *fresh)}, version + shift as version, {changed},
                case when hit and failed is null then met | {bit} else met end as met,
                case when reason is not null and failed is null then {number} else failed end as failed,
                coalesce(failure, reason) as failure
            from (
                select held.*, coalesce(change.gone, false) as gone, coalesce(change.starts, false) as starts,
                    coalesce(change.shift, 0) as shift, change.reason, coalesce(change.hit, false) as hit,
                    change.first_origin, change.other_origins, change.data as state
                from ({work.events.query}) as held
                left join {steps} as change
                    on held.source = change.source and held.position = change.position and held.nth = change.nth
            )
            where not gone
            """,
            ordered=False,
        )


def compact(
    aggregate: Aggregate,
    *,
    event_type: str,
    streams: Streams = None,
    upto: At = END,
    schema_version: int | None = None,
) -> Step:
    """Make one starting event of the events of each stream up to a coordinate; its data is the state folded from them.

    It stands where the last of them stood (position, times, metadata), at the first version that the stream had; what
    follows moves up to it, gaps among the later ones stay. ``upto`` is ``es.at(version=5)`` or its like, the end
    unless given. Only streams that the aggregate covers are taken. A stream fails, and stays as it is, where a handler
    fails, the state is nothing that JSON carries, or the coordinate leaves out an event before one that it takes.

    >>> compact(Aggregate("Sensor", initial={}), event_type="SensorOpened", streams="sensor-*", upto=At(version=9))
    compact sensor-* up to version 9 into one SensorOpened with the state of Sensor
    """
    refuse_read_model(aggregate)
    if not isinstance(event_type, str) or not event_type:
        raise MigrationError(f"an event type is named by a text, not by {event_type!r}")
    if not isinstance(upto, At):
        raise MigrationError(f"compact(): upto= is a coordinate, such as es.at(version=5), not {upto!r}")
    return Compact(
        among(streams, what="compact()"),
        aggregate=aggregate,
        event_type=event_type,
        upto=upto,
        schema_version=schema_version,
    )

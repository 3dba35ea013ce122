"""The step that closes streams: an event at the end of each that says so, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from esbench import payload
from esbench.event import literal
from esbench.migrate.step import MigrationError, Step, name_of
from esbench.migrate.steps import ids
from esbench.migrate.steps.among import Streams, among, called, keys, told, written
from esbench.migrate.work import Work, columns
from esbench.show import cell

__all__ = ["close_stream"]


@dataclass(frozen=True, repr=False)
class CloseStream(Step):
    """One event more at the end of streams."""

    event_type: str = field(kw_only=True)
    data: Any = field(kw_only=True)
    redirect: str | Callable[[str], Any] | None = field(default=None, kw_only=True)
    schema_version: int | None = field(default=None, kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.redirect): self.redirect} if callable(self.redirect) else {}

    @property
    def sentence(self) -> str:
        on = name_of(self.redirect) if callable(self.redirect) else self.redirect
        return (
            f"close {told(self.which)} with {cell(self.event_type)}{'' if on is None else f', going on in {cell(on)}'}"
        )

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        if taken is None:
            return work
        keep, texts = work.scratch.keep, self._texts(work, number, taken)
        last = keep(
            f"last {number}",
            work.events,
            f"""
            select stream_key, new_version, unnest(top)
            from (
                select stream_key, max(version) + 1 as new_version,
                    max({{'source': source, 'position': position, 'nth': nth}}) as top
                from events where stream_key in (select stream_key from {taken})
                group by stream_key
            )
            """,
        )
        # Of one source event there may be rows in several streams by now; the new ones come after all of them.
        ends = keep(
            f"ends {number}",
            work.events,
            f"""
            select last.*, data, texts.failure,
                highest + row_number() over (partition by source, position order by stream_key) as new_nth
            from {last} as last
            join {texts} as texts using (stream_key)
            join (
                select source, position, max(nth) as highest from events
                where position in (select position from {last}) group by all
            ) using (source, position)
            """,
        )
        if not work.events.rows(f"select 1 from {ends} limit 1"):
            return work
        made = keep(f"made {number}", work.events, self._made(number, ends))
        bit = 1 << number
        after = work.over(
            f"""
            select {columns("steps", "met", "failed", "failure")},
                case when hit and reason is null then steps | {bit} else steps end as steps,
                case when hit then met | {bit} else met end as met,
                case when hit and reason is not null then {number} else failed end as failed,
                case when hit and reason is not null then reason else failure end as failure
            from (
                select held.*, ends.failure as reason, ends.source is not null and held.failed is null as hit
                from ({work.events.query}) as held
                left join {ends} as ends
                    on held.source = ends.source and held.position = ends.position and held.nth = ends.nth
                    and held.stream_key = ends.stream_key
            )
            union all
            select {columns()} from {made}
            """,
            ordered=False,
        )
        return replace(after, added=True)

    def _texts(self, work: Work, number: int, taken: str) -> str:
        """A scratch table ``(stream_key, data, failure)`` of the payload of each stream's closing event."""
        rows = work.events.rows(f"select stream_key, stream_id from {taken} order by all")
        texts = [self._text(stream_id) for _, stream_id in rows]
        return written(
            work.scratch,
            f"texts {number}",
            pa.table(
                {
                    "stream_key": pa.array([key for key, _ in rows], pa.int64()),
                    "data": pa.array([data for data, _ in texts], pa.string()),
                    "failure": pa.array([failure for _, failure in texts], pa.string()),
                }
            ),
        )

    def _text(self, stream_id: str) -> tuple[str | None, str | None]:
        """The payload of a closing event, and why there is none."""
        if self.redirect is None:
            return (None if self.data is None else payload.encode(self.data)), None
        if callable(self.redirect):
            target, failure = called(self.redirect, stream_id)
            if failure is not None:
                return None, failure
        else:
            target = self.redirect.replace("{stream}", stream_id)
        return payload.encode({**(self.data or {}), "redirect": target}), None

    def _made(self, number: int, ends: str) -> str:
        """SQL for the closing events."""
        version = "null::bigint" if self.schema_version is None else f"{self.schema_version}::bigint"
        values = {
            "version": "ends.new_version",
            "event_id": ids.made(number, "ends.new_nth", "held.seed"),
            "event_type": literal(self.event_type),
            "schema_version": version,
            "source_position": "null::varchar",
            "data": "ends.data::json",
            "nth": "ends.new_nth::integer",
            "steps": f"held.steps | {1 << number}",
            "met": "0::bigint",
        }
        new = ", ".join(f"{value} as {name}" for name, value in values.items())
        return f"""
            select {columns(*values, prefix="held.")}, {new}
            from (select *, {ids.SEED} as seed from events where position in (select position from {ends})) as held
            join {ends} as ends
                on held.source = ends.source and held.position = ends.position and held.nth = ends.nth
                and held.stream_key = ends.stream_key
            where ends.failure is null and held.failed is null
        """


def close_stream(
    streams: Streams,
    event_type: str,
    data: Any = None,
    *,
    redirect: str | Callable[[str], Any] | None = None,
    schema_version: int | None = None,
) -> Step:
    """Put an event at the end of streams that closes them.

    It has the highest version plus one, and the times, type and metadata of the event of its stream that was recorded
    last. ``redirect`` is the stream where this one goes on: a text in which ``{stream}`` stands for the id, or a
    function of the id; it stands in the data as ``redirect``.

    >>> close_stream("item-*", "ItemClosed", {"reason": "split"}, redirect="{stream}-v2")
    close item-* with ItemClosed, going on in {stream}-v2
    """
    if not isinstance(event_type, str) or not event_type:
        raise MigrationError(f"an event type is named by a text, not by {event_type!r}")
    if redirect is not None and not (callable(redirect) or isinstance(redirect, str)):
        raise MigrationError(f"close_stream(): redirect= is a text or a function, not {redirect!r:.80}")
    if redirect is not None and not (data is None or (isinstance(data, Mapping) and "redirect" not in data)):
        raise MigrationError("close_stream(): with redirect= the data is an object that has no redirect of its own")
    payload.encode(data)
    return CloseStream(
        among(streams, what="close_stream()"),
        event_type=event_type,
        data=data,
        redirect=redirect,
        schema_version=schema_version,
    )

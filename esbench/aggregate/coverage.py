"""Which streams of a log an aggregate covers, and what is no aggregate to fold by stream."""

from __future__ import annotations

from esbench.aggregate.definition import Aggregate
from esbench.errors import AggregateError, nearest
from esbench.events import Events
from esbench.patterns import pattern

__all__ = ["covered", "refuse_other", "refuse_read_model"]


def covered(events: Events, aggregate: Aggregate) -> Events:
    """The events of the streams that an aggregate covers.

    A stream counts as of a type when any of its events carries it, and then all its events are folded. Raises
    AggregateError where the log has no stream types, or none of the aggregate's name, and the aggregate does not say
    by other means what it covers.
    """
    refuse_read_model(aggregate)
    name = f"_covered{len(events.parameters)}"
    if aggregate.streams is not None:
        matches = f"regexp_full_match(stream_id, ${name}, 's')"
        value = pattern(aggregate.streams)
        if events.streams is None:
            return events.where(matches, **{name: value})
        known = f"select stream_key from ({events.streams})"
        if not events.rows(f"{known} where not {matches} limit 1", **{name: value}):
            return events
        return events.where(f"stream_key in ({known} where {matches})", **{name: value})
    wanted = aggregate.stream_type or aggregate.name
    if not events.rows("select 1 from events where stream_type is distinct from $wanted limit 1", wanted=wanted):
        return events
    if aggregate.stream_type is None:
        _named(events, aggregate)
    return events.where(
        f"stream_key in (select stream_key from ({events.query}) where stream_type = ${name})", **{name: wanted}
    )


def refuse_other(aggregate: object) -> None:
    """Refuse what is no aggregate, such as the name of one."""
    if not isinstance(aggregate, Aggregate):
        raise AggregateError(f"an es.Aggregate or an es.Projection is asked for, not {aggregate!r}")


def refuse_read_model(aggregate: Aggregate) -> None:
    """Refuse a read model, where only what is folded by stream makes sense."""
    refuse_other(aggregate)
    if aggregate.keyed:
        raise AggregateError(
            f'"{aggregate.name}" is a read model, which is not folded by stream: states(), state(), history(), '
            "timeline(), diff(), blame(), first_bad(), reconcile() and check() take it"
        )


def _named(events: Events, aggregate: Aggregate) -> None:
    """Refuse an aggregate whose name, by which it covers streams, no stream has as its type."""
    if events.rows("select 1 from events where stream_type = $name limit 1", name=aggregate.name):
        return
    types = [
        row[0]
        for row in events.rows(
            """
            select distinct stream_type from events where stream_type is not null
            order by levenshtein(left(stream_type, 200), left($name, 200)), stream_type limit 5
            """,
            name=aggregate.name,
        )
    ]
    if not types:
        raise AggregateError(
            f'aggregate "{aggregate.name}": the log has no stream types, so it must say which streams it covers, by a '
            'pattern on their ids: Aggregate(…, streams="item-*"), or streams="*" for all'
        )
    some = ", ".join(f'"{name}"' for name in types)
    raise AggregateError(
        f'aggregate "{aggregate.name}": no stream has that type.{nearest(aggregate.name, types)} The log has {some}: '
        "say which it covers by stream_type= or streams="
    )

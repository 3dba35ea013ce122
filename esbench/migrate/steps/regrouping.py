"""Events that go to other streams: whole streams under another id, and events that leave theirs.

A whole stream keeps its key where it can, its versions, gaps and forks. Where membership changes, the versions of the
streams that lose or get events are issued contiguously, from the base of the log (without one, from the stream's lowest
version). Nothing but integers of these streams is held in scratch tables; payloads pass by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from esbench.migrate.step import MigrationError
from esbench.migrate.steps.among import Order, declared, known
from esbench.migrate.work import Work, columns
from esbench.show import cell

__all__ = ["WHOLE", "regrouped", "renamed"]

#: So many streams are renamed by a CASE, which leaves rows where they are; a join may not.
_FEW = 64

#: The rows of the streams in ``{names}`` (``stream_key, target, failure``), as :func:`regrouped` takes them.
WHOLE = """
    select source, position, nth, stream_key, target, failure
    from (select source, position, nth, stream_key from events) join {names} using (stream_key)
"""

# Streams keep their own folding order when they are merged: an event comes as early as anything after it in its own
# stream does. So an event that no later one of its stream was recorded before gets no such one by the merge.
_SORTS: Mapping[Order, tuple[str, str]] = {
    "position": ("min(place) over after", "0"),
    "recorded_at": ("min(coalesce(moment, 9223372036854775807)) over after", "min(place) over after"),
    "one after another": ("{rank}", "stream_key"),
}


def renamed(work: Work, number: int, names: str) -> Work:
    """Whole streams under other ids: nothing of them but the id changes. Events that failed before go along.

    ``names`` is a scratch table ``(stream_key, stream_id, target, failure)``; no two streams may end up under one id.
    """
    few = work.events.rows(f"select stream_key, target, failure from {names} order by all limit {_FEW + 1}")
    if not few:
        return work
    bound: dict[str, Any] = {}
    if len(few) <= _FEW and all(failure is None for _, _, failure in few):
        bound = {f"step{number}_id{place}": target for place, (_, target, _) in enumerate(few)}
        cases = " ".join(f"when {key} then ${name}" for (key, _, _), name in zip(few, bound, strict=True))
        met = f"stream_key in ({', '.join(str(key) for key, _, _ in few)})"
        given = f"""
            select *, case stream_key {cases} end as target, null as reason, {met} as hit
            from ({work.events.query})
        """
    else:
        given = f"""
            select held.*, names.target, names.failure as reason, names.stream_key is not null as hit
            from ({work.events.query}) as held left join {names} as names using (stream_key)
        """
    streams = work.scratch.keep(
        f"streams {number}",
        work.events,
        f"""
        select stream_key, coalesce(target, held.stream_id) as stream_id
        from ({known(work)}) as held left join {names} as names using (stream_key)
        """,
    )
    after = work.over(
        f"""
        select {columns("stream_id", "steps", "met", "failed", "failure")},
            coalesce(target, stream_id) as stream_id, {_marks(number)}
        from ({given})
        """,
        ordered=work.events.ordered and bool(bound),
        **bound,
    )
    return _known_as(after, work, streams, names)


def regrouped(
    work: Work,
    number: int,
    goes: str,
    order: Order = "position",
    *,
    rank: str = "0",
    merge: str | None = None,
    **parameters: Any,
) -> Work:
    """Events in other streams; versions are issued where membership changes.

    ``goes`` is a scratch table of the rows that the step meets, ``(source, position, nth, stream_key, target,
    failure)``: the id of the stream that they go to (NULL: they stay), and why they cannot (NULL: they can).

    ``order`` says how events of several streams that become one follow each other; ``rank`` is SQL over ``stream_key,
    stream_id, target, moves`` that says which of them comes first when they do one after another. ``merge`` says how
    streams may become one, where they may not: then that raises MigrationError.
    """
    keep, events = work.scratch.keep, work.events
    touched = keep(
        f"touched {number}",
        events,
        f"""
        select stream_key, stream_id from ({known(work)})
        where stream_key in (select stream_key from {goes}) or stream_id in (select target from {goes})
        """,
    )
    rows = keep(
        f"rows {number}",
        events,
        f"""
        select *, row_number() over (order by source, position, nth) as place
        from (
            select held.source, held.position, held.nth, held.stream_key, held.stream_id, held.version, held.moment,
                coalesce(goes.target, held.stream_id) as target, goes.target is not null as moves, goes.failure,
                goes.stream_key is not null as hit
            from (
                select source, position, nth, stream_key, stream_id, version, epoch_us(recorded_at) as moment
                from events where stream_key in (select stream_key from {touched})
            ) as held
            left join {goes} as goes
                on held.source = goes.source and held.position = goes.position and held.nth = goes.nth
        )
        """,
    )
    targets = keep(f"targets {number}", events, _targets(work, rows))
    if merge is not None:
        _refuse(work, rows, targets, merge)
    base = "min(version) over (partition by new_key)" if events.facts.base is None else f"{events.facts.base}::bigint"
    sort, then = (each.format(rank=rank) for each in _SORTS[order])
    places = keep(
        f"places {number}",
        events,
        f"""
        select source, position, nth, new_key, target, moves, hit, failure,
            case when whole then version else first - 1 + row_number() over (
                partition by new_key order by sort, again, version, place
            ) end as version
        from (
            select *, {base} as first, {sort} as sort, {then} as again
            from {rows} join {targets} using (target)
            window after as (partition by new_key, stream_key order by version desc, place desc)
        )
        """,
        **parameters,
    )
    names = keep(
        f"names {number}",
        events,
        f"""
        select distinct rows.stream_key, rows.stream_id, rows.target
        from {rows} as rows join {targets} as targets using (target)
        where whole and moves
        """,
    )
    streams = keep(
        f"streams {number}",
        events,
        f"""
        select * from ({known(work)}) where stream_key not in (select stream_key from {touched})
        union all
        select new_key, target from {targets}
        """,
    )
    after = work.over(
        f"""
        select {columns("stream_key", "stream_id", "version", "steps", "met", "failed", "failure")},
            coalesce(new_key, stream_key) as stream_key, coalesce(target, stream_id) as stream_id,
            coalesce(new_version, version) as version, {_marks(number)}
        from (
            select held.*, case when places.moves then places.target end as target, places.new_key,
                places.version as new_version, places.failure as reason, coalesce(places.hit, false) as hit
            from ({events.query}) as held
            left join {places} as places
                on held.source = places.source and held.position = places.position and held.nth = places.nth
        )
        """,
        ordered=False,
    )
    return _known_as(after, work, streams, names)


def _marks(number: int) -> str:
    """SQL for the marks of rows with ``hit``, ``target`` and ``reason``; what failed before keeps its own."""
    bit = 1 << number
    return f"""
        case when hit and failed is null and target is not null then steps | {bit} else steps end as steps,
        case when hit and failed is null then met | {bit} else met end as met,
        case when reason is not null and failed is null then {number} else failed end as failed,
        coalesce(failure, reason) as failure
    """


def _targets(work: Work, rows: str) -> str:
    """SQL for the streams that there are afterwards: ``target, new_key, whole, sources``.

    A stream that is there keeps its key. One that is new takes over the lowest of those of streams that vanish into it.
    """
    return f"""
        select target, whole, sources, coalesce(
            held.stream_key,
            inherited,
            (select coalesce(max(stream_key), 0) from ({known(work)}))
                + row_number() over (partition by held.stream_key is null and inherited is null order by first)
        ) as new_key
        from (
            select target, min(place) as first, count(distinct stream_key) as sources,
                count(distinct stream_key) = 1 and count(*) = min(size) as whole,
                min(stream_key) filter (alone and stream_id not in (select target from {rows})) as inherited
            from (
                select *, count(*) over stream as size, min(target) over stream = max(target) over stream as alone
                from {rows}
                window stream as (partition by stream_key)
            )
            group by target
        )
        left join (select stream_id as target, min(stream_key) as stream_key from ({known(work)}) group by all) as held
            using (target)
    """


def _refuse(work: Work, rows: str, targets: str, merge: str) -> None:
    found = work.events.rows(
        f"""
        select target, min(stream_id), max(stream_id), any_value(sources)
        from {rows} join {targets} using (target)
        where sources > 1 and not whole
        group by target having bool_or(moves) order by min(place) limit 1
        """
    )
    for target, one, other, sources in found:
        others = f'"{cell(one)}" and "{cell(other)}"' if one != other else "streams of that id in both"
        more = f" ({sources} streams in all)" if sources > 2 else ""
        raise MigrationError(f'the stream "{cell(target)}" would hold events of {others}{more}: {merge}')


def _known_as(after: Work, before: Work, streams: str, names: str) -> Work:
    """Work with the streams that it has now; what was declared of a stream that changed its id is so of the new one."""
    facts = before.events.facts
    if facts.truncated:
        pairs = before.events.rows(f"select stream_id, target from {names} where target is not null order by all")
        facts = declared(facts, (new for old, new in pairs if facts.is_truncated(old)))
    return replace(after, events=replace(after.events, facts=facts, streams=f"select * from {streams}"))

"""How far states can be trusted, computed in SQL from what a coordinate takes of each stream.

Most streams are whole, so a pass over integers finds suspects, and text is read of suspects only. In a log that lies
in folding order the pass needs no sort: it looks at each row and the one before it, which also proves the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from esbench.aggregate import Aggregate
from esbench.event import At
from esbench.events import ORDER, Events
from esbench.fold.neighbours import DISORDER, beside
from esbench.fold.repeats import repeating
from esbench.fold.state import SHOWN, Kind, Mark

__all__ = ["Survey", "survey"]


@dataclass(slots=True)
class Survey:
    """What a coordinate takes of each stream: columns side by side, in order of the stream keys, and the marks.

    ``taken`` are the events themselves; ``limit`` is how many marks of one kind are kept of a stream.
    """

    taken: Events
    limit: int | None
    keys: list[int]
    ids: list[str]
    versions: list[int]
    positions: list[int]
    events: list[int]
    found: dict[int, dict[Kind, list[Mark]]] = field(default_factory=dict)

    def mark(self, key: int, kind: Kind, version: int, to_version: int | None = None, note: str = "") -> None:
        """Add a mark to a stream, unless it has enough of the kind."""
        marks = self.found.setdefault(key, {}).setdefault(kind, [])
        if self.limit is None or len(marks) < self.limit:
            marks.append(Mark(version, kind, to_version, note))

    def marks(self, key: int) -> tuple[Mark, ...]:
        """The marks of a stream, by version."""
        kinds = self.found.get(key)
        return () if kinds is None else tuple(sorted({mark for marks in kinds.values() for mark in marks}))


def survey(events: Events, aggregate: Aggregate, at: At, *, forks: str = "all", every_mark: bool = False) -> Survey:
    """What a coordinate takes of each stream of ``events``, with all marks but those that only a fold can find.

    ``every_mark`` keeps all of them; otherwise as many as a trust text needs.
    """
    taken = events.at(at)
    suspects = _suspects(taken)
    if suspects is None:
        events, taken = replace(events, ordered=False), replace(taken, ordered=False)
        suspects = _suspects(taken)
        assert suspects is not None
    result = _streams(taken, forks, None if every_mark else SHOWN + 1)
    facts = taken.facts
    if not facts.derived_versions:
        for key, before, version in _rows(suspects, "gap"):
            result.mark(key, "version-gap", before + 1, version - 1)
    _repeated(result, [(key, version) for key, _, version in _rows(suspects, "again")])
    _same_ids(result)
    if aggregate.unknown == "error":
        _unknown(result, aggregate, forks)
    _skipped(result, events, at)
    return result


def _suspects(taken: Events) -> pa.Table | None:
    """Rows after a gap or at a version that occurs again; None where the events are not in the order they claim."""
    window = "()" if taken.ordered else f"(order by {ORDER})"
    gap = "version_before >= $floor and greatest(version, 0) - 1 > version_before"
    table = taken.arrow(
        f"""
        select stream_key, version_before as before, version, {gap} as gap, version = version_before as again,
            {DISORDER} as disorder
        from ({beside(window)})
        where {DISORDER} or (stream_key = stream_key_before and (version = version_before or {gap}))
        """,
        floor=taken.facts.base or 0,
    )
    return None if table.num_rows and compute.any(table["disorder"]).as_py() else table


def _rows(suspects: pa.Table, kind: str) -> Iterable[tuple[int, int, int]]:
    table = suspects.filter(suspects[kind])
    return zip(*(table[name].to_pylist() for name in ("stream_key", "before", "version")), strict=True)


def _streams(taken: Events, forks: str, limit: int | None) -> Survey:
    """The streams, with what is taken of each, and a mark where the head is missing."""
    counted = "count(distinct version)" if forks == "first" else "count(*)"
    by_key = f"""
        select stream_key, {"" if taken.streams else "min(stream_id) as stream_id,"} max(version) as version,
            max(position) as position, {counted} as events, min(version) filter (version >= $floor) as lowest
        from events group by stream_key
    """
    named = f"({by_key}) join ({taken.streams}) using (stream_key)" if taken.streams else f"({by_key})"
    table = taken.arrow(
        f"select stream_key, stream_id, version, position, events, lowest from {named} order by stream_key",
        floor=taken.facts.base or 0,
    )
    keys, versions, positions, events = (
        table[name].to_numpy().tolist() for name in ("stream_key", "version", "position", "events")
    )
    ids: list[Any] = table["stream_id"].to_pylist()
    result = Survey(taken, limit, keys, ids, versions, positions, events)
    facts = taken.facts
    if facts.base is not None and not facts.derived_versions:
        above = compute.greater(table["lowest"], pa.scalar(facts.base, pa.int64()))
        for row in table.filter(above).to_pylist():
            note = "declared" if facts.is_truncated(row["stream_id"]) else ""
            result.mark(row["stream_key"], "missing-head", facts.base, row["lowest"] - 1, note)
    return result


def _repeated(result: Survey, places: list[tuple[int, int]]) -> None:
    """Judge versions that occur several times: forks, and duplicates without ids."""
    if not places:
        return
    rows = result.taken.rows(
        """
        select stream_key, version,
            count(distinct row(event_id, event_type, schema_version, data, metadata)) as identities,
            count(*) filter (event_id is null) as nameless,
            count(distinct row(event_type, schema_version, data, metadata)) filter (event_id is null) as contents
        from events semi join (select unnest($keys) as stream_key, unnest($versions) as version)
            using (stream_key, version)
        group by stream_key, version
        order by stream_key, version
        """,
        keys=[key for key, _ in places],
        versions=[version for _, version in places],
    )
    for key, version, identities, nameless, contents in rows:
        if identities > 1 and not result.taken.facts.derived_versions:
            result.mark(key, "version-fork", version)
        if nameless > contents:
            result.mark(key, "duplicate-event", version)


def _same_ids(result: Survey) -> None:
    """Find events with the same id and content in a stream, at any versions; marked at the second of them."""
    keys = repeating(result.taken, sum(result.events))
    if not keys:
        return
    rows = result.taken.rows(
        """
        select stream_key, list(version order by version, position)[2] as second
        from events semi join (select unnest($keys) as stream_key) using (stream_key)
        where event_id is not null
        group by stream_key, event_id, event_type, schema_version, data, metadata
        having count(*) > 1
        order by stream_key, second
        """,
        keys=keys,
    )
    for key, version in rows:
        result.mark(key, "duplicate-event", version)


def _unknown(result: Survey, aggregate: Aggregate, forks: str) -> None:
    """Mark event types that a strict aggregate does not know."""
    first = "qualify position = min(position) over (partition by stream_key, version)" if forks == "first" else ""
    rows = result.taken.rows(
        f"""
        select distinct stream_key, version, event_type
        from (select stream_key, version, position, event_type from events {first})
        where not list_contains($known::varchar[], event_type)
        order by all
        """,
        known=sorted(aggregate.known),
    )
    for key, version, event_type in rows:
        result.mark(key, "unknown-event-type", version, note=event_type[:80])


def _skipped(result: Survey, events: Events, at: At) -> None:
    """Mark streams of which a coordinate takes an event but not all before it."""
    if at.as_of is not None:
        taken, value = "coalesce(recorded_at <= $cut::timestamptz, false)", at.as_of.isoformat()
    elif at.position is not None:
        taken, value = "position <= $cut::bigint", str(at.position)
    else:
        return
    suspects = events.rows(
        f"""
        select stream_key from (select stream_key, version, {taken} as taken from events)
        group by stream_key
        having max(version) filter (taken) >= min(version) filter (not taken)
        """,
        cut=value,
    )
    if not suspects:
        return
    rows = events.rows(
        f"""
        select stream_key, min(version) from (
            select stream_key, version, {taken} as taken,
                bool_or(not ({taken})) over (partition by stream_key order by version, position) as skipped
            from events semi join (select unnest($keys) as stream_key) using (stream_key)
        )
        where taken and skipped group by stream_key order by stream_key
        """,
        cut=value,
        keys=[row[0] for row in suspects],
    )
    for key, version in rows:
        result.mark(key, "not-a-prefix", version)

"""Commits: events that a source wrote together, between which nothing need hold."""

from __future__ import annotations

from esbench import payload
from esbench.events import Events
from esbench.facts import MEANINGS

__all__ = ["within_commits"]


def within_commits(events: Events) -> frozenset[int]:
    """Positions of events that another event of the same commit follows in folding order.

    An invariant is judged at the last event of a commit. Which key of the metadata names it, the facts say.
    """
    path = {**MEANINGS, **events.facts.keys}["commit_id"]
    rows = events.rows(
        f"""
        with named as (
            select stream_key, version, position,
                case when contains(metadata, $commit_token) or contains(metadata, '\\')
                    then {payload.name_at("metadata", "$commit_path")} end as commit_id
            from events
        )
        select position
        from (
            select position, commit_id,
                lead(commit_id) over (partition by stream_key order by version, position) as following
            from named
            where stream_key in (select stream_key from named where commit_id is not null)
        )
        where commit_id = following
        """,
        commit_path=path,
        commit_token=(payload.pointer(path) or ("",))[-1],
    )
    return frozenset(row[0] for row in rows)

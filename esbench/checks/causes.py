"""The check of causes: an event's cause cannot come later, nor in a circle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.reader import Reader
from esbench.checks.suspects import mentions
from esbench.facts import Facts
from esbench.payload import name_at

__all__ = ["CHECKS", "find_broken"]

_NAME = "broken-causation"


def _tell(found: Found, events: Mapping[int, Seen]) -> Said:
    event = found.own(events)
    problem = found.detail["problem"]
    if problem == "absent":
        count = found.detail["count"]
        return Said(
            f"{count:,} causes that are not in the log",
            "causes that are events or commands",
            f"{count:,} {'event names a cause that is' if count == 1 else 'events name causes that are'} no event of "
            f"this log, the first {named(event)} of stream {shown(event.stream_id)}: commands, or events elsewhere.",
        )
    where = f"version {event.version} of stream {shown(event.stream_id)} ({named(event)})"
    if problem == "cycle":
        return Said(
            f"a cycle of {found.involved} causes",
            "causes that end",
            f"{found.involved} events cause each other in a circle, the earliest of them {where}.",
        )
    cause = next((events[p] for p in found.positions if p != found.position), event)
    return Said(
        f"a cause at position {cause.position}",
        f"a cause before position {event.position}",
        f"The cause of {where} is {named(cause)} of stream {shown(cause.stream_id)}, which was recorded later.",
    )


#: Every event that names a cause other than itself, and the first event that has the cause's id.
_RESOLVED = f"""
    with causes as (
        select position, stream_id, version, cause
        from (select *, {name_at("metadata", "$causation_id")} as cause from events)
        where cause is distinct from event_id and cause is not null
    )
    select causes.*, first
    from causes left join (
        select event_id, min(position) as first
        from events
        where event_id in (select cause from causes)
        group by event_id
    ) as bearers on event_id = cause
"""

CHECKS = (
    Check(
        _NAME,
        ("warning", "info"),
        "An event that is named as a cause comes later, or in a cycle. Info where it is not in the log, since causes "
        "often are commands.",
        _tell,
        needs=("ids", "causation_id"),
        sql=f"select * from ({_RESOLVED}) where first is null or first > position",
    ),
)


def find_broken(reader: Reader, facts: Facts) -> Iterator[Found]:
    """Later causes, cycles of causes, and one finding for all causes that are not in the log."""
    may = mentions("causation_id")
    resolved = _RESOLVED.replace("as cause from events)", f"as cause from events where {may})")
    reader.make("resolved", resolved)
    absent = reader.one(
        """
        select count(*) as count, min(position) as position, list(position order by position)[:100] as positions
        from (select position from resolved where first is null)
        """
    )
    cycles = list(_cycles(reader))
    for cycle in cycles:
        yield _found(reader, cycle[0], tuple(cycle[:100]), len(cycle), {"problem": "cycle"})
    if facts.positions != "issued":
        circular = {position for cycle in cycles for position in cycle}
        for row in reader.rows(
            "select position, stream_id, version, cause, first from resolved where first > position"
        ):
            if row["position"] not in circular:
                detail = {"problem": "later", "cause": row["cause"]}
                yield Found(
                    _NAME, "warning", row["stream_id"], row["version"], None, row["position"],
                    (row["position"], row["first"]), 2, detail,
                )  # fmt: skip
    if absent["count"]:
        detail = {"problem": "absent", "count": absent["count"]}
        yield Found(
            _NAME, "info", None, None, None, absent["position"], tuple(absent["positions"]), absent["count"], detail
        )


def _found(reader: Reader, position: int, positions: tuple[int, ...], involved: int, detail: dict[str, Any]) -> Found:
    row = reader.one(f"select stream_id, version from resolved where position = {position}")
    return Found(_NAME, "warning", row["stream_id"], row["version"], None, position, positions, involved, detail)


def _cycles(reader: Reader) -> Iterator[list[int]]:
    """The cycles of first events, as ascending positions.

    Every cycle has a step from its lowest event to a later one, and all of its events lie between the ends of such
    steps; so walks begin at later causes only and do not leave that range. Each event leads to one cause, so that
    a walk either ends, meets an earlier one, or closes a circle.
    """
    extent = reader.one("select min(position) as low, max(first) as high from resolved where first > position")
    if extent["low"] is None:
        return
    within = f"from resolved where first is not null and position between {extent['low']} and {extent['high']}"
    steps = reader.arrow(f"select position, first {within} order by position")
    # Arrays, because a dict of millions of integers takes ten times the memory.
    positions = steps["position"].to_numpy()
    firsts = steps["first"].to_numpy()
    walked = np.zeros(len(positions), dtype=np.int64)
    for walk, start in enumerate(np.flatnonzero(firsts > positions).tolist(), 1):
        index: int | None = start
        while index is not None and walked[index] == 0:
            walked[index] = walk
            index = _index(positions, int(firsts[index]))
        if index is not None and walked[index] == walk:
            cycle = [int(positions[index])]
            while (following := int(firsts[np.searchsorted(positions, cycle[-1])])) != cycle[0]:
                cycle.append(following)
            yield sorted(cycle)


def _index(positions: np.ndarray[Any, Any], position: int) -> int | None:
    found = int(np.searchsorted(positions, position))
    return found if found < len(positions) and positions[found] == position else None

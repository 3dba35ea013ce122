"""What is wrong with a log before a migration and after it; what is new, and what is gone.

A finding after is the same as one before where it is of the same check and stands at an event that comes from the one
at which that stood, so that a version that moved makes nothing new. Where that event is gone, one of the same stream
counts. Missing versions must also be as many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.checks import Report, check
from esbench.migrate.running import Result
from esbench.show import missing

__all__ = ["GAPS", "Findings", "found"]

#: Findings that say that versions are missing.
GAPS = ("version-gap", "missing-head")


@dataclass(frozen=True, slots=True)
class Findings:
    """The reports before and after; ``new`` and ``gone`` are rows of their findings."""

    before: Report
    after: Report
    new: pd.DataFrame
    gone: pd.DataFrame


def found(result: Result, old: Sequence[Aggregate] = (), new: Sequence[Aggregate] = ()) -> Findings:
    """Check the source with the old aggregates and the result with the new ones, and compare."""
    before = check(result.source, old)
    after = check(result.events, new)
    origins = _origins(result, after.findings)
    left, right = _unpaired(_keys(before.findings, None), _keys(after.findings, origins))
    return Findings(
        before,
        after,
        after.findings.iloc[right].reset_index(drop=True),
        before.findings.iloc[left].reset_index(drop=True),
    )


def _origins(result: Result, findings: pd.DataFrame) -> dict[int, tuple[int | None, str | None]]:
    """For positions after the migration: the source position, and the stream there."""
    positions = sorted({int(position) for position in findings["position"].dropna()})
    if not positions:
        return {}
    rows = result.work.events.rows(
        "select position, origin from events where source = 0 and position in (select unnest($_wanted))",
        _wanted=positions,
    )
    origins = dict(rows)
    streams = dict(
        result.source.rows(
            "select position, stream_id from events where position in (select unnest($_wanted::bigint[]))",
            _wanted=sorted(origin for origin in origins.values() if origin is not None),
        )
    )
    return {position: (origin, streams.get(origin)) for position, origin in origins.items()}


def _keys(
    findings: pd.DataFrame, origins: dict[int, tuple[int | None, str | None]] | None
) -> list[tuple[Hashable, Hashable]]:
    """For each finding the key by its event in the source, and the one by its stream there."""
    keys: list[tuple[Hashable, Hashable]] = []
    for row in findings.to_dict("records"):
        place = origin = None if missing(row["position"]) else int(row["position"])
        stream = None if missing(row["stream_id"]) else row["stream_id"]
        if origins is not None:
            origin, source_stream = (None, None) if place is None else origins.get(place, (None, None))
            stream = source_stream or stream
        width = None
        if row["check"] in GAPS:
            width = 0 if missing(row["to_version"]) else row["to_version"] - row["version"]
        keys.append(((row["check"], width, origin), (row["check"], width, stream)))
    return keys


def _unpaired(
    before: list[tuple[Hashable, Hashable]], after: list[tuple[Hashable, Hashable]]
) -> tuple[list[int], list[int]]:
    """The places of findings that have no counterpart on the other side: first by event, then by stream."""
    left, right = list(range(len(before))), list(range(len(after)))
    for way in (0, 1):
        waiting: dict[Hashable, list[int]] = defaultdict(list)
        for place in left:
            waiting[before[place][way]].append(place)
        rest = []
        for place in right:
            same = waiting.get(after[place][way])
            if same:
                same.pop(0)
            else:
                rest.append(place)
        right = rest
        left = sorted(place for places in waiting.values() for place in places)
    return left, right

"""What is wrong with a log before a migration and after it; what is new, and what is gone.

A finding after is the same as one before where it is of the same check (and invariant) and stands at an event that
comes from the one at which that stood, so that a version that moved makes nothing new. So is one that names no other
events than that did, and, where the event of that is gone, one of the same stream. Missing versions must also be as
many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from esbench import payload
from esbench.aggregate import Aggregate
from esbench.checks import Report, check
from esbench.migrate.running import Result
from esbench.show import missing

__all__ = ["GAPS", "Findings", "found"]

#: Findings that say that versions are missing.
GAPS = ("version-gap", "missing-head")
#: So many of its events a finding names at most.
_NAMED = 100


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
    olds, news = _places(before.findings), _places(after.findings)
    _traced(result, olds, news)
    left, right = _unpaired(olds, news)
    return Findings(
        before,
        after,
        after.findings.iloc[right].reset_index(drop=True),
        before.findings.iloc[left].reset_index(drop=True),
    )


@dataclass(slots=True)
class _Place:
    """Where a finding stands: at which event of the source, in which stream there, and which events it names."""

    kind: Hashable
    event: int | None
    stream: str | None
    #: None: one that comes from none of the source's.
    named: frozenset[int | None]
    gone: bool = False

    @property
    def all_named(self) -> bool:
        """Whether it names all of its events; of very many it does not."""
        return len(self.named) < _NAMED


def _places(findings: pd.DataFrame) -> list[_Place]:
    """Where findings stand in their own log."""
    found = []
    names = ("check", "version", "to_version", "position", "stream_id", "evidence")
    columns = (findings[name].tolist() for name in names)
    for check_name, version, to_version, position, stream_id, text in zip(*columns, strict=True):
        evidence = payload.decode(text)
        width = None
        if check_name in GAPS:
            width = 0 if missing(to_version) else to_version - version
        event = None if missing(position) else int(position)
        stream = None if missing(stream_id) else stream_id
        named = frozenset(evidence.get("positions", ()))
        # A hole that has come to lie at the head of its stream is the same hole.
        what = "gap" if check_name in GAPS else check_name
        found.append(_Place((what, width, evidence.get("invariant")), event, stream, named))
    return found


def _traced(result: Result, olds: Sequence[_Place], news: Sequence[_Place]) -> None:
    """Bring the places after the migration to the events and streams of the source; see which before are gone."""
    at = _positions(news)
    come = dict(
        result.work.events.rows(
            "select position, origin from events where source = 0 and position in (select unnest($_wanted::bigint[]))",
            _wanted=at,
        )
        if at
        else ()
    )
    streams = dict(
        result.source.rows(
            "select position, stream_id from events where position in (select unnest($_wanted::bigint[]))",
            _wanted=sorted({come[one.event] for one in news if come.get(one.event) is not None}),
        )
        if come
        else ()
    )
    for one in news:
        one.event = come.get(one.event)
        one.stream = streams.get(one.event, one.stream)
        one.named = frozenset(map(come.get, one.named))
    stood = sorted({one.event for one in olds if one.event is not None})
    living = {
        origin
        for (origin,) in (
            result.work.events.rows(
                """
                select distinct origin from events
                where source = 0 and origin in (select unnest($_wanted::bigint[]))
                """,
                _wanted=stood,
            )
            if stood
            else ()
        )
    }
    for one in olds:
        one.gone = one.event not in living


def _positions(places: Iterable[_Place]) -> list[int]:
    found = {position for place in places for position in (place.event, *place.named)}
    return sorted(position for position in found if position is not None)


def _unpaired(olds: Sequence[_Place], news: Sequence[_Place]) -> tuple[list[int], list[int]]:
    """The places of findings that have no counterpart on the other side."""
    left, right = dict(enumerate(olds)), dict(enumerate(news))

    def pair(
        keys: Callable[[_Place], Iterable[Hashable]],
        those: Callable[[_Place], Iterable[Hashable]],
        same: Callable[[_Place, _Place], bool],
    ) -> None:
        waiting: dict[Hashable, list[int]] = defaultdict(list)
        for number, old in left.items():
            for key in keys(old):
                waiting[old.kind, key].append(number)
        for number, new in list(right.items()):
            for key in those(new):
                listed = waiting.get((new.kind, key), [])
                while listed and listed[0] not in left:
                    listed.pop(0)
                other = next((one for one in listed if one in left and same(left[one], new)), None)
                if other is not None:
                    del left[other], right[number]
                    break

    pair(_event, _event, lambda old, new: True)
    pair(_named, _named, lambda old, new: not old.all_named or new.named <= old.named)
    pair(lambda old: [old.stream] if old.gone else [], lambda new: [new.stream], lambda old, new: True)
    return sorted(left), sorted(right)


def _event(place: _Place) -> Iterable[Hashable]:
    return [place.event]


def _named(place: _Place) -> Iterable[Hashable]:
    return place.named

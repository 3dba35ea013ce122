"""One stream at a coordinate, in one query: its rows, and how far its state can be trusted.

An ordinary stream is proven whole in Python from the rows that are fetched for its fold anyway; whatever is odd about
one is left to :func:`~esbench.fold.trust.survey`, which says exactly what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from esbench.aggregate import Aggregate
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold.copies import Flat, isolated
from esbench.fold.python import ALWAYS, holds
from esbench.fold.reading import ROWS, Held, Missing, Reading, Source, selected
from esbench.fold.state import Broken
from esbench.fold.trust import Survey

__all__ = ["ID_HASH", "Keep", "Whole", "followed", "judge", "told", "whole"]

#: SQL for what tells ids apart; without an id none, where the engine's own hash is a number like any other.
ID_HASH = "case when event_id is not null then hash(event_id) end as _id"

Keep = Callable[[int, Any, Mapping[str, Broken]], None]

#: A stream of more bytes is not taken into memory.
_MOST = 256_000_000


@dataclass(frozen=True, slots=True)
class Whole:
    """What a coordinate takes of a stream: a prefix, with ascending versions, no event twice, and nothing missing.

    ``places`` has a row an event, of its version, its position and a hash of its id, which tell one prefix from others.
    """

    found: Survey
    held: Held
    places: Any

    def told(self, lengths: Iterable[int]) -> list[bytes]:
        """What tells the first so many events from any others, for each of some ascending lengths."""
        return told(self.places, lengths)

    def version(self, events: int) -> int:
        """The version of the last of the first so many events."""
        return int(self.places[events - 1, 0])

    def first(self, events: int) -> Whole:
        """The first so many events, at least one, by themselves."""
        table = pa.Table.from_batches(self.held.batches).slice(0, events)
        name = f"_first{len(self.found.taken.parameters)}"
        taken = self.found.taken.where(f"version <= ${name}", **{name: self.version(events)})
        last = int(self.places[:events, 1].max())
        found = replace(self.found, taken=taken, versions=[self.version(events)], positions=[last], events=[events])
        return Whole(found, Held(table.to_batches(), taken), self.places[:events])

    def after(self, events: int) -> Held:
        """The rows after the first so many."""
        if not events:
            return self.held
        table = pa.Table.from_batches(self.held.batches).slice(events)
        name = f"_after{len(self.found.taken.parameters)}"
        rest = self.found.taken.where(f"version > ${name}", **{name: self.version(events)})
        return Held(table.to_batches(), rest)


def told(places: Any, lengths: Iterable[int]) -> list[bytes]:
    """What tells the first so many rows of ``places`` from any others, for each of some ascending lengths."""
    running = blake2b(digest_size=16)
    result, start = [], 0
    for length in lengths:
        running.update(places[start:length].data)
        start = length
        result.append(running.digest())
    return result


def whole(stream: Events, aggregate: Aggregate, at: At, columns: Collection[str] = ALWAYS) -> Whole | None:
    """What a coordinate takes of the stream in ``stream``, if it is :class:`Whole`; None where that is not proven."""
    cut, value = _cut(at)
    names = [*selected(ALWAYS | set(columns)), ID_HASH, f"{cut} as _taken"]
    # Rows that are proven whole are in order, so they need not be put in order here.
    rows = stream.at(at) if at.version is not None else stream
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in rows.batches(names, rows=ROWS, **value):
        batches.append(batch)
        size += batch.nbytes
        if size > _MOST:
            return None
    taken = stream.at(at)
    table = pa.Table.from_batches(batches).combine_chunks() if batches else None
    if table is not None and value:
        versions = table["version"].to_numpy()
        if (versions[1:] <= versions[:-1]).any():
            # Out of order, what is not taken may come before what is.
            return None
        mask = table["_taken"].to_numpy()
        if not mask.all():
            if not mask[: mask.sum()].all():
                return None
            table = table.slice(0, int(mask.sum()))
    if table is None or not table.num_rows:
        return Whole(Survey(taken, None, [], [], [], [], []), Held((), taken), np.empty((0, 3), np.int64))
    return _proven(table, taken, aggregate)


def _proven(table: pa.Table, taken: Events, aggregate: Aggregate) -> Whole | None:
    versions, positions = table["version"].to_numpy(), table["position"].to_numpy()
    first, facts = int(versions[0]), taken.facts
    if first < 0 or (facts.base is not None and first > facts.base and not facts.derived_versions):
        return None
    if (versions[1:] - versions[:-1] != 1).any():
        return None
    named = np.sort(table["_id"].drop_null().to_numpy())
    if (named[1:] == named[:-1]).any():
        return None
    if aggregate.unknown == "error" and not set(compute.unique(table["event_type"]).to_pylist()) <= aggregate.known:
        return None
    found = Survey(
        taken,
        None,
        [table["stream_key"][0].as_py()],
        [table["stream_id"][0].as_py()],
        [int(versions[-1])],
        [int(positions.max())],
        [table.num_rows],
    )
    ids: Any = compute.fill_null(table["_id"], pa.scalar(0, pa.uint64()))
    held = Held(table.drop(["_id", "_taken"]).to_batches(), taken)
    return Whole(found, held, np.column_stack((versions, positions, ids.to_numpy().view(np.int64))))


def _cut(at: At) -> tuple[str, dict[str, Any]]:
    """SQL: whether a coordinate takes an event; a version is cut by itself."""
    if at.as_of is not None:
        return "coalesce(recorded_at <= $_cut::timestamptz, false)", {"_cut": at.as_of.isoformat()}
    if at.position is not None:
        return "position <= $_cut::bigint", {"_cut": at.position}
    return "true", {}


def followed(
    source: Source,
    aggregate: Aggregate,
    value: Any,
    broken: Mapping[str, Broken],
    *,
    keep: Keep | None = None,
    every: int = 0,
) -> tuple[Any, dict[str, Broken]] | None:
    """The value of a stream after the events in ``source``, and which invariants are broken; None if a handler fails.

    It goes on from a value and what was broken there. ``keep`` is called after each ``every`` events with their number,
    and with what it has to copy; when the fold starts again to read another column, for the same events again.
    """
    columns: Collection[str] = ALWAYS
    while True:
        reading = Reading(source, columns)
        try:
            return _follow(reading, aggregate, isolated(value), dict(broken), keep, every)
        except Missing:
            columns = reading.again()
        finally:
            reading.gate.live = False


def _follow(
    reading: Reading,
    aggregate: Aggregate,
    state: Any,
    broken: dict[str, Broken],
    keep: Keep | None,
    every: int,
) -> tuple[Any, dict[str, Broken]] | None:
    gate = reading.gate
    gate.live = True
    invariants = bool(aggregate.invariants)
    count = 0
    for _, event_types, indices, events in reading:
        handlers = [aggregate.handlers.get(name) for name in event_types]
        for index, event in zip(indices, events, strict=False):
            handler = handlers[index]
            if handler is not None:
                try:
                    after = handler(state, event)
                except (KeyboardInterrupt, Missing):
                    raise
                except BaseException:  # noqa: BLE001 (a handler may raise anything)
                    failed = True
                else:
                    failed = after is None and state is not None
                    state = after
                if gate.missing:
                    raise Missing
                if failed:
                    return None
            if invariants and (handler is not None or not count):
                judge(aggregate, event, state, broken)
            count += 1
            if keep is not None and count % every == 0:
                keep(count, state, broken)
        if gate.missing:
            # A handler swallowed what reading the column raised.
            raise Missing
    return state, broken


def judge(aggregate: Aggregate, event: Event, value: Any, broken: dict[str, Broken], flat: Flat | None = None) -> None:
    """Bring the broken invariants up to date with an event; one that stays broken keeps the event that broke it.

    ``flat`` is what is known of the value, as :func:`~esbench.fold.copies.isolated` takes it.
    """
    for name, predicate in aggregate.invariants.items():
        good, note = holds(predicate, value, flat)
        if good:
            broken.pop(name, None)
        elif name not in broken:
            broken[name] = Broken(name, event.version, event.position, event.event_id, event.event_type, note)

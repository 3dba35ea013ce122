"""Where the fold of many streams may begin: at snapshots, instead of each stream's first event.

A snapshot is taken only if the very events that it was made of come first among those to fold, so a coordinate, a late
event or damage further on changes nothing: what remains is folded as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from esbench.aggregate import Aggregate
from esbench.events import Events
from esbench.fold.reading import ROWS, narrowed
from esbench.fold.single import ID_HASH, told
from esbench.fold.snapshots import Shelf, Snapshot
from esbench.fold.trust import Survey

__all__ = ["Start", "remaining", "starts", "without"]

#: The share of all events that snapshots have to spare.
_WORTH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Start:
    """The value of a stream after its first events, and the place of the last of them."""

    value: Any
    version: int
    position: int


def starts(shelf: Shelf, found: Survey, aggregate: Aggregate) -> dict[int, Start]:
    """The nearest snapshots of the streams of a survey, by stream key; none where they would spare too little.

    Folding from snapshots, some of the log is read twice.
    """
    if not aggregate.handlers:
        return {}
    known = shelf.all(aggregate)
    fitting: dict[int, list[Snapshot]] = {}
    for key, stream_id, events in zip(found.keys, found.ids, found.events, strict=True):
        if some := [each for each in known.get(stream_id, ()) if each.events <= events]:
            fitting[key] = some
    if sum(some[-1].events for some in fitting.values()) < _WORTH * sum(found.events):
        return {}
    result: dict[int, Start] = {}
    for key, places in _places(found.taken, fitting):
        some = fitting[key]
        for each, digest in reversed(list(zip(some, told(places, [each.events for each in some]), strict=True))):
            version, position = map(int, places[each.events - 1, :2])
            if (version, digest) == (each.version, each.told):
                result[key] = Start(each.value, version, position)
                break
    return result


def remaining(taken: Events, begun: Mapping[int, Start]) -> Events:
    """The events of some streams after the places where their folds begin."""
    count = len(taken.parameters)
    query = f"""
        select * exclude (_begun, _version, _position) from ({taken.query})
        join (
            select unnest($_begun{count}) as _begun, unnest($_version{count}) as _version,
                unnest($_position{count}) as _position
        ) on stream_key = _begun and (version > _version or (version = _version and position > _position))
    """
    bound = {
        f"_begun{count}": list(begun),
        f"_version{count}": [each.version for each in begun.values()],
        f"_position{count}": [each.position for each in begun.values()],
    }
    return replace(taken, query=query, parameters={**taken.parameters, **bound}, ordered=False)


def without(taken: Events, begun: Mapping[int, Start]) -> Events:
    """The events of all streams but some."""
    name = f"_but{len(taken.parameters)}"
    others = taken.where(f"stream_key not in (select unnest(${name}))", **{name: list(begun)})
    return replace(others, ordered=False)


def _places(taken: Events, keys: Mapping[int, object]) -> Iterator[tuple[int, Any]]:
    """Versions, positions and hashes of ids of some streams, a stream at a time, as snapshots have them."""
    columns = ["stream_key", "version", "position", ID_HASH]
    waiting: list[pa.RecordBatch] = []
    for batch in narrowed(taken, "stream_key", keys).batches(columns, rows=ROWS) if keys else ():
        of_batch = batch.column("stream_key").to_numpy()
        cuts = [0, *(np.flatnonzero(of_batch[1:] != of_batch[:-1]) + 1).tolist(), batch.num_rows]
        for start, end in pairwise(cuts):
            if start == end:
                continue
            if waiting and waiting[-1].column("stream_key")[-1].as_py() != int(of_batch[start]):
                yield _stacked(waiting)
                waiting = []
            waiting.append(batch.slice(start, end - start))
    if waiting:
        yield _stacked(waiting)


def _stacked(batches: Sequence[pa.RecordBatch]) -> tuple[int, Any]:
    table = pa.Table.from_batches(batches).combine_chunks()
    ids: Any = compute.fill_null(table["_id"], pa.scalar(0, pa.uint64()))
    columns = table["version"].to_numpy(), table["position"].to_numpy(), ids.to_numpy().view(np.int64)
    return table["stream_key"][0].as_py(), np.column_stack(columns)

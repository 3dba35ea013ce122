"""The fold with Python handlers on many cores: any standard Executor, of processes, threads or a Dask cluster.

The log's database is open in this process alone, so this process reads, and ships parts of the log as Arrow batches. A
part ends where a stream ends, and which part is which depends on the log alone; each is folded by itself with handlers
that are unpickled for it, and results are put together in order of the stream keys. So they are the same whoever
folded what, and when.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, Literal

import cloudpickle
import numpy as np
import pyarrow as pa

from esbench import workers
from esbench.aggregate import Aggregate, Predicate
from esbench.errors import AggregateError, described
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.fold import python
from esbench.fold.python import ALWAYS, Folded
from esbench.fold.reading import Held, Lacking, Missing, Source, Unordered, in_order, narrowed, read

__all__ = ["doubtful", "finals"]

#: Parts are about so large: enough to fold for a tenth of a second, and less than what Dask warns of.
_BYTES = 6_000_000
#: So many parts wait or are folded at a time, which bounds the memory; one reader feeds fewer workers than that.
_WAITING = 32
#: A stream of more events is folded here: nobody could share the work.
_LONG = 500_000

_Work = tuple[Literal["finals", "doubtful"], Aggregate, Any]


def finals(
    source: Source, aggregate: Aggregate, *, limit: int | None = None, executor: Executor | None = None
) -> dict[int, Folded]:
    """What :func:`esbench.fold.python.finals` gives, folded by an executor if there is one."""
    if executor is None or isinstance(source, Held):
        return python.finals(source, aggregate, limit=limit)
    aggregate.freeze()
    result: dict[int, Folded] = {}
    if aggregate.handlers:
        events: Events = narrowed(source, "event_type", aggregate.handlers)
        found, long = _spread(executor, events, ("finals", aggregate, limit))
        for values, faults in found:
            result |= {key: Folded(value, faults.get(key, ())) for key, value in values.items()}
        if long:
            result |= python.finals(narrowed(events, "stream_key", long), aggregate, limit=limit)
            result = dict(sorted(result.items()))
    return result


def doubtful(
    source: Source,
    aggregate: Aggregate,
    predicates: Collection[Predicate],
    *,
    unjudged: Collection[int] = (),
    executor: Executor | None = None,
) -> set[int]:
    """What :func:`esbench.fold.python.doubtful` gives, folded by an executor if there is one."""
    if executor is None or isinstance(source, Held):
        return python.doubtful(source, aggregate, predicates, unjudged=unjudged)
    aggregate.freeze()
    events = python.telling(source, aggregate, predicates, unjudged)
    assert isinstance(events, Events)
    found, long = _spread(executor, events, ("doubtful", aggregate, tuple(predicates)), unjudged)
    if long:
        found.append(python.doubtful(narrowed(source, "stream_key", long), aggregate, predicates, unjudged=unjudged))
    return set().union(*found)


def _spread(
    executor: object, events: Events, work: _Work, unjudged: Collection[int] = ()
) -> tuple[list[Any], list[int]]:
    """What the workers give for each part, in order, and the streams that are too long for a part."""
    given = workers.checked(executor)
    task = workers.packed(
        work,
        f'aggregate "{work[1].name}"',
        "its handlers hold something that lives in this process alone, such as a connection or an open file. Make that "
        "inside the handler, or fold without executor=",
        error=AggregateError,
    )
    positions = np.fromiter(unjudged, np.int64, len(unjudged))
    columns: set[str] = set(ALWAYS)
    while True:
        found: list[Any] = []
        long: list[int] = []
        try:
            with workers.queue(given) as pending:
                for batches in _parts(events, columns, long):
                    part = _shipped(batches)
                    pending.append(given.submit(_fold, task, part, _within(batches, positions)))
                    # The first part tells which columns are needed.
                    while pending and (not found or len(pending) >= _WAITING):
                        found.append(_result(pending.popleft()))
                found += [_result(future) for future in pending]
        except Lacking as lacking:
            columns |= lacking.columns
        except Unordered:
            events = replace(events, ordered=False)
        else:
            return found, long


def _parts(events: Events, columns: Collection[str], long: list[int]) -> Iterator[list[pa.RecordBatch]]:
    """Batches that end where a stream ends, in folding order; streams too long for one are named in ``long``."""
    waiting: list[pa.RecordBatch] = []
    size = rows = 0
    last: tuple[int, int, int] | None = None
    for batch in read(events, columns):
        if batch.num_rows == 0:
            continue
        if events.ordered:
            last = in_order(batch, last)
        keys = batch.column("stream_key").to_numpy()
        if long and keys[0] == long[-1]:
            batch = batch.slice(int(np.searchsorted(keys, long[-1], "right")))
            if batch.num_rows == 0:
                continue
            keys = batch.column("stream_key").to_numpy()
        waiting.append(batch)
        size, rows = size + batch.nbytes, rows + batch.num_rows
        if size < _BYTES:
            continue
        cut = int(np.searchsorted(keys, keys[-1]))
        if cut or (len(waiting) > 1 and waiting[-2].column("stream_key")[-1].as_py() != keys[-1]):
            yield [*waiting[:-1], batch.slice(0, cut)]
            waiting = [batch.slice(cut)]
        elif rows > _LONG:
            whole = pa.Table.from_batches(waiting)
            before = int(np.searchsorted(whole["stream_key"].to_numpy(), keys[-1]))
            long.append(int(keys[-1]))
            if before:
                yield whole.slice(0, before).to_batches()
            waiting = []
        size, rows = sum(each.nbytes for each in waiting), sum(each.num_rows for each in waiting)
    if waiting:
        yield waiting


def _shipped(batches: list[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _within(batches: list[pa.RecordBatch], positions: Any) -> frozenset[int]:
    """Those of some positions that a part has."""
    if not len(positions):
        return frozenset()
    own = np.concatenate([batch.column("position").to_numpy() for batch in batches])
    return frozenset(np.intersect1d(own, positions).tolist())


def _fold(task: bytes, part: bytes, unjudged: frozenset[int]) -> bytes:
    """What a worker does: unpack, fold, pack."""
    what, aggregate, option = workers.unpacked(task, "the aggregate", error=AggregateError)
    held = Held(list(pa.ipc.open_stream(part)), None)
    try:
        if what == "finals":
            folded = python.finals(held, aggregate, limit=option)
            # Apart, since plain values travel much faster than objects.
            result: Any = (
                {key: one.value for key, one in folded.items()},
                {key: one.faults for key, one in folded.items() if one.faults},
            )
        else:
            result = python.doubtful(held, aggregate, option, unjudged=unjudged)
    except Lacking as lacking:
        return pickle.dumps(lacking)
    try:
        packed: bytes = cloudpickle.dumps(result)
    except Missing:
        # A state that keeps events goes back with all their columns.
        return pickle.dumps(Lacking(set(CANONICAL)))
    except Exception as error:  # noqa: BLE001 (a state's own pickling may raise anything)
        raise AggregateError(
            f'aggregate "{aggregate.name}": its states cannot be sent back from the executor\'s workers '
            f"({described(error)}); keep plain values in them, or fold without executor="
        ) from None
    return packed


def _result(future: Future[bytes]) -> Any:
    """What a worker gave. Raises Lacking where it needs more columns."""
    result = pickle.loads(future.result())  # noqa: S301 (packed by our worker, never event content)
    if isinstance(result, Lacking):
        raise result
    return result

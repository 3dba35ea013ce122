"""The user's functions over batches of rows, here or on the workers of an executor."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import cloudpickle
import pyarrow as pa

from esbench.errors import EsbenchError
from esbench.event import Event
from esbench.fold.python import described
from esbench.migrate.step import MigrationError, name_of
from esbench.migrate.steps.made import Made, Wrong, said
from esbench.migrate.steps.seen import Batch
from esbench.payload import PayloadError

__all__ = ["Each", "Runs", "Split", "Task", "done"]

#: So many batches wait or are worked on at a time, which bounds the memory.
_WAITING = 8

Tables = tuple[pa.RecordBatch, pa.RecordBatch]


@dataclass(frozen=True)
class Task(ABC):
    """A function of the user, and how what it gives becomes rows."""

    function: Callable[..., Any]
    schema_version: int | None = None

    #: Rows that belong together; a batch holds whole groups, and where it is 0, whole streams.
    group = 1

    def __call__(self, rows: pa.RecordBatch, number: int) -> Tables:
        """The rows that take the place of a batch's, and how many each source row became where that is not one."""
        batch = Batch(rows)
        made = Made(batch, number)
        self.fill(made, list(batch.events()))
        return made.tables()

    @abstractmethod
    def fill(self, made: Made, events: list[Event]) -> None:
        """Call the function on all events, and write down what it gives."""

    @property
    def name(self) -> str:
        """What the function is called."""
        return name_of(self.function)


class Each(Task):
    """``function(event)`` gives an event, None, or a list of events."""

    def fill(self, made: Made, events: list[Event]) -> None:
        """Call the function on all events, and write down what it gives."""
        function, one, same = self.function, made.one, made.same
        for row, event in enumerate(events):
            try:
                result = function(event)
                if result is event:
                    same(row)
                elif isinstance(result, Event):
                    one(row, result)
                elif result is not None:
                    made.several(row, self.listed(result), schema_version=self.schema_version)
            except KeyboardInterrupt:
                raise
            except (Wrong, PayloadError) as error:
                made.failed([row], f"{self.name}: {error}")
            except BaseException as error:  # noqa: BLE001 (a function may raise anything)
                made.failed([row], described(error))

    def listed(self, result: Any) -> list[Any]:
        """What the function gave as a list. Raises Wrong for what is none."""
        if not isinstance(result, list):
            raise Wrong(f"it returned {said(result)}, not an event, None or a list of events")
        return result


class Split(Each):
    """``function(event)`` gives a list of events, or of pairs of event type and payload; never nothing."""

    def listed(self, result: Any) -> list[Any]:
        """What the function gave as a list. Raises Wrong for what is none, and for an empty one."""
        if not isinstance(result, (list, tuple)):
            raise Wrong(f"it returned {said(result)}, not a list of (event_type, data) or events")
        if isinstance(result, tuple) and result and isinstance(result[0], str):
            raise Wrong("it returned one pair, not a list of (event_type, data)")
        if not result:
            raise Wrong("it returned an empty list: drop events with map_events() or drop_events()")
        return list(result)

    def fill(self, made: Made, events: list[Event]) -> None:
        """Call the function on all events, and write down what it gives."""
        for row, event in enumerate(events):
            try:
                made.several(row, self.listed(self.function(event)), schema_version=self.schema_version)
            except KeyboardInterrupt:
                raise
            except (Wrong, PayloadError) as error:
                made.failed([row], f"{self.name}: {error}")
            except BaseException as error:  # noqa: BLE001 (a function may raise anything)
                made.failed([row], described(error))


@dataclass(frozen=True)
class Runs(Task):
    """``function(events)`` gives one event, or a pair of type and payload, for a run of ``length``; None leaves it."""

    length: int = 1

    @property
    def group(self) -> int:  # type: ignore[override]
        """Rows that belong together; a batch holds whole groups."""
        return self.length

    def fill(self, made: Made, events: list[Event]) -> None:
        """Call the function on all events, and write down what it gives."""
        for first in range(0, len(events), self.length):
            group = range(first, first + self.length)
            try:
                result = self.function(events[first : first + self.length])
                if result is None:
                    for row in group:
                        made.same(row)
                    continue
                if isinstance(result, list) or not isinstance(result, (tuple, Event)):
                    raise Wrong(f"it returned {said(result)}, not one event, (event_type, data) or None")
                last = group[-1]
                item: Any = result
                if isinstance(result, Event):
                    item = made.stood(result, group)
                made.several(last, [item], schema_version=self.schema_version, among=group)
                made.merged[last] = group[:-1]
            except KeyboardInterrupt:
                raise
            except (Wrong, PayloadError) as error:
                made.failed(group, f"{self.name}: {error}")
            except BaseException as error:  # noqa: BLE001 (a function may raise anything)
                made.failed(group, described(error))


def done(
    task: Task, parts: Iterable[pa.RecordBatch], number: int, executor: Executor | None = None
) -> Iterator[Tables]:
    """What a task makes of each part, in order, worked on by an executor if there is one.

    Raises MigrationError where the function or what it needs cannot reach the workers.
    """
    if executor is None:
        for part in parts:
            yield task(part, number)
        return
    given: object = executor
    if not isinstance(given, Executor):
        way_out = "; a Dask client's is client.get_executor()" if hasattr(executor, "get_executor") else ""
        raise EsbenchError(f"executor= takes a concurrent.futures.Executor, not {type(executor).__name__}{way_out}")
    try:
        packed: bytes = cloudpickle.dumps((task, number))
    except Exception as error:
        raise MigrationError(
            f"{task.name} cannot be sent to the executor's workers ({described(error)}): it holds something that "
            "lives in this process alone. Make that inside the function, or run without executor="
        ) from error
    pending: deque[Future[tuple[bytes, bytes]]] = deque()
    try:
        for part in parts:
            pending.append(executor.submit(_work, packed, _packed(part)))
            while len(pending) >= _WAITING:
                yield _unpacked(pending.popleft())
        while pending:
            yield _unpacked(pending.popleft())
    except BrokenExecutor as error:
        raise EsbenchError(
            f"a worker of the executor ended ({described(error)}): out of memory, or its processes cannot start; a "
            'script that makes a process pool does so under if __name__ == "__main__". Make the executor anew'
        ) from error
    except KeyboardInterrupt:
        if isinstance(executor, ProcessPoolExecutor):
            # No interrupt of this process reaches them, and a function may loop for ever.
            for process in list((getattr(executor, "_processes", None) or {}).values()):
                process.terminate()
        raise
    finally:
        for future in pending:
            future.cancel()


def _work(packed: bytes, part: bytes) -> tuple[bytes, bytes]:
    """What a worker does: unpack, call, pack."""
    try:
        task, number = pickle.loads(packed)  # noqa: S301 (packed by who asked, never event content)
    except Exception as error:  # noqa: BLE001 (importing a module may raise anything)
        raise MigrationError(
            f"a function cannot be unpacked in the executor's worker ({described(error)}): its module must be "
            "importable there too, or be the notebook itself"
        ) from None
    made, counts = task(next(iter(pa.ipc.open_stream(part))), number)
    return _packed(made), _packed(counts)


def _packed(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return sink.getvalue().to_pybytes()


def _unpacked(future: Future[tuple[bytes, bytes]]) -> Tables:
    made, counts = (next(iter(pa.ipc.open_stream(each))) for each in future.result())
    return made, counts

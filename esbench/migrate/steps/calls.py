"""The user's functions over batches of rows, here or on the workers of an executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from esbench import workers
from esbench.errors import described
from esbench.event import Event
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

    def __call__(self, rows: pa.RecordBatch, number: int) -> Tables:
        """The rows that take the place of a batch's, and how many each source row became where that is not one."""
        batch = Batch(rows)
        made = Made(batch, number)
        self.fill(made, list(batch.events()))
        return made.tables()

    @property
    def group(self) -> int:
        """How many rows belong together; a batch holds whole groups, and where it is 0, whole streams."""
        return 1

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
    def group(self) -> int:
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
    given = workers.checked(executor)
    packed = workers.packed(
        (task, number),
        task.name,
        "it holds something that lives in this process alone. Make that inside the function, or run without executor=",
        error=MigrationError,
    )
    with workers.queue(given) as pending:
        for part in parts:
            pending.append(given.submit(_work, packed, _packed(part)))
            while len(pending) >= _WAITING:
                yield _unpacked(pending.popleft())
        while pending:
            yield _unpacked(pending.popleft())


def _work(packed: bytes, part: bytes) -> tuple[bytes, bytes]:
    """What a worker does: unpack, call, pack."""
    task, number = workers.unpacked(packed, "a function", error=MigrationError)
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

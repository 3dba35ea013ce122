"""The user's code on the workers of an executor: any standard Executor, of processes, threads or a Dask cluster."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import cloudpickle

from esbench.errors import EsbenchError, described

__all__ = ["checked", "packed", "queue", "unpacked"]


def checked(executor: object) -> Executor:
    """What was given as ``executor=``. Raises EsbenchError where it is none."""
    if isinstance(executor, Executor):
        return executor
    way_out = "; a Dask client's is client.get_executor()" if hasattr(executor, "get_executor") else ""
    raise EsbenchError(f"executor= takes a concurrent.futures.Executor, not {type(executor).__name__}{way_out}")


@contextmanager
def queue(executor: Executor) -> Iterator[deque[Future[Any]]]:
    """A queue for what the workers are asked; what still waits in it at the end is cancelled.

    Raises EsbenchError where a worker ended. An interrupt ends the workers of a process pool: none of this process
    reaches them, and a function may loop for ever.
    """
    pending: deque[Future[Any]] = deque()
    try:
        yield pending
    except BrokenExecutor as error:
        raise EsbenchError(
            f"a worker of the executor ended ({described(error)}): out of memory, or its processes cannot start; a "
            'script that makes a process pool does so under if __name__ == "__main__". Make the executor anew'
        ) from error
    except KeyboardInterrupt:
        if isinstance(executor, ProcessPoolExecutor):
            for process in list((getattr(executor, "_processes", None) or {}).values()):
                process.terminate()
        raise
    finally:
        for future in pending:
            future.cancel()


def packed(value: Any, named: str, way_out: str, *, error: type[EsbenchError] = EsbenchError) -> bytes:
    """A value as bytes: functions of a notebook by their code, those of modules by name.

    Raises ``error`` with what it is called and a way out where it holds something that lives in this process alone.
    """
    try:
        done: bytes = cloudpickle.dumps(value)
    except Exception as raised:
        raise error(f"{named} cannot be sent to the executor's workers ({described(raised)}): {way_out}") from raised
    return done


def unpacked(done: bytes, named: str, *, error: type[EsbenchError] = EsbenchError) -> Any:
    """The value again, in a worker. Raises ``error`` where its module cannot be imported there."""
    try:
        return pickle.loads(done)  # noqa: S301 (packed by who asked, never event content)
    except Exception as raised:  # noqa: BLE001 (importing a module may raise anything)
        raise error(
            f"{named} cannot be unpacked in the executor's worker ({described(raised)}): its module must be "
            "importable there too, or be the notebook itself"
        ) from None

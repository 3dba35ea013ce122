"""Time travel of a log: states and what changed them, at any point in history."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import duckdb
import pandas as pd

from esbench import travel
from esbench.aggregate import Aggregate
from esbench.errors import EsbenchError
from esbench.event import At, at
from esbench.fold.keyed import StreamOrKey
from esbench.fold.snapshots import Shelf
from esbench.fold.state import State
from esbench.log.looking import Looking
from esbench.projection import Projection
from esbench.search import first_bad

__all__ = ["Travelling"]


class Travelling(Looking):
    """Verbs that fold a log with an aggregate or a projection, up to a coordinate or through all of history.

    ``stream`` is the id of one, or for a read model a key: a value, or a tuple of several.
    """

    _snapshots: Shelf | None

    def state(
        self,
        aggregate: Aggregate,
        stream: StreamOrKey,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
        strict: bool = False,
    ) -> State:
        """The state of one stream at a coordinate, with how far it can be trusted.

        ``forks="first"`` folds only the first event of each version. ``strict`` raises Untrusted at the first damage.
        """
        return travel.state(
            self.source,
            aggregate,
            stream,
            at(version=version, as_of=as_of, position=position),
            forks=forks,
            strict=strict,
            snapshots=self._snapshots,
        )

    def states(
        self,
        aggregate: Aggregate,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
        strict: bool = False,
        executor: Executor | None = None,
    ) -> pd.DataFrame:
        """The state of every stream that the aggregate covers at a coordinate, one row each.

        ``executor`` folds on its workers, with the same result: a ProcessPoolExecutor, or a Dask client's
        ``get_executor()``.
        """
        return travel.states(
            self.source,
            aggregate,
            at(version=version, as_of=as_of, position=position),
            forks=forks,
            strict=strict,
            executor=executor,
            snapshots=self._snapshots,
        )

    def history(
        self,
        aggregate: Aggregate,
        stream: StreamOrKey,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        last: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """A row for every event of one stream up to a coordinate: the state after it, and what it changed.

        ``last``: only the last n rows, which in a long stream are made from the nearest snapshot on.
        """
        return travel.history(
            self.source,
            aggregate,
            stream,
            at(version=version, as_of=as_of, position=position),
            last=last,
            forks=forks,
            snapshots=self._snapshots,
        )

    def timeline(self, projection: Projection) -> duckdb.DuckDBPyRelation:
        """Every stream that the projection covers, after each of its events, as a DuckDB relation: see ``es.frame``."""
        return travel.timeline(self.source, projection)

    def diff(
        self,
        aggregate: Aggregate,
        a: At,
        b: At | None = None,
        *,
        stream: StreamOrKey | None = None,
        forks: str = "all",
        executor: Executor | None = None,
    ) -> pd.DataFrame:
        """What differs between a coordinate, ``es.at(version=3)``, and another or the end: of one stream or of all."""
        return travel.diff(
            self.source,
            aggregate,
            a,
            b or at(),
            stream=stream,
            forks=forks,
            executor=executor,
            snapshots=self._snapshots,
        )

    def blame(
        self,
        aggregate: Aggregate,
        stream: StreamOrKey,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """For each field of a state, the event that last set it."""
        return travel.blame(
            self.source, aggregate, stream, at(version=version, as_of=as_of, position=position), forks=forks
        )

    def first_bad(
        self,
        aggregate: Aggregate,
        predicate: Callable[[Any], Any] | str,
        stream: StreamOrKey | None = None,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
        executor: Executor | None = None,
    ) -> pd.DataFrame:
        """The first version at which a state is bad: by a function of the state, or where an invariant does not hold.

        Of a projection, SQL over its columns says it too, such as ``quantity < 0``. One row a stream that ever was bad:
        the event that did it, the state before and after, whether and when it recovered.
        """
        return first_bad(
            self.source,
            aggregate,
            predicate,
            stream,
            at(version=version, as_of=as_of, position=position),
            forks=forks,
            executor=executor,
        )

    def has_snapshots(self, aggregate: Aggregate, stream: str) -> bool:
        """Whether any snapshot of a stream is there that this very definition of an aggregate made."""
        return self._snapshots is not None and self._snapshots.has(stream, aggregate)

    def snapshot(self, aggregate: Aggregate, *, every: int = 1_000) -> pd.DataFrame:
        """Make snapshots of all streams of at least ``every`` events, so many events apart, and list them.

        They are a cache, from which state, states, diff and the last rows of a history are folded where that is faster,
        with the same results; looking at a long stream makes some by itself. Those of an aggregate with ``revision=``
        are saved in the bench, if its states are plain values.
        """
        if self._snapshots is None:
            raise EsbenchError(f"{self.name} keeps no snapshots: only logs of a bench do")
        return self._snapshots.make(self.source, aggregate, every)

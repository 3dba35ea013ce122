"""A log as its user sees it: a name, events, and one short method a verb."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

import duckdb
import pandas as pd

from esbench import catalog, look, show, travel
from esbench.aggregate import Aggregate
from esbench.branch import Edits, branch
from esbench.checks import Report, check
from esbench.concurrency import Concurrency, Verdict, audit, would_accept
from esbench.errors import EsbenchError
from esbench.event import At, Event, at
from esbench.events import Events, frame
from esbench.facts import Facts
from esbench.fold.snapshots import Shelf
from esbench.fold.state import State
from esbench.projection import Projection
from esbench.reconcile import reconcile
from esbench.regression import as_test
from esbench.replay import Replay, replay
from esbench.search import first_bad
from esbench.what_if import Editing

__all__ = ["Branch", "Log"]


class Log:
    """A named set of events. It is never edited: later batches are appended, a transformation makes a new log.

    Every verb that takes a point in history takes ``version=``, ``as_of=`` (recorded time) or ``position=``, each
    inclusive; none of them is the end. ``log.events(…)`` and the other looks return DataFrames; ``log.relation`` is
    for DuckDB.

    >>> import esbench as es, pandas as pd
    >>> rows = {
    ...     "stream_id": ["a", "a"],
    ...     "version": [1, 2],
    ...     "event_type": ["Made", "Sold"],
    ...     "data": ['{"n": 2}', '{"n": 1}'],
    ... }
    >>> log = es.open().load(pd.DataFrame(rows), name="things")
    >>> [event.data["n"] for event in log]
    [2, 1]
    >>> log.sql("select event_type, count(*) as n from events group by all order by all").to_dict("list")
    {'event_type': ['Made', 'Sold'], 'n': [1, 1]}
    """

    def __init__(self, name: str, source: Events, snapshots: Shelf | None = None) -> None:
        self.name = name
        self.source = source
        self._snapshots = snapshots

    # looking

    def streams(self) -> pd.DataFrame:
        """One row a stream: id, type, number of events, versions, times and positions."""
        return look.streams(self.source)

    def types(self) -> pd.DataFrame:
        """One row an event type and schema version, commonest first."""
        return look.types(self.source)

    def events(
        self,
        stream: str | None = None,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        last: int | None = None,
    ) -> pd.DataFrame:
        """Events up to a coordinate: those of one stream by version, or all by position. ``last``: only the last n."""
        return look.events_frame(self.source, stream, at(version=version, as_of=as_of, position=position), last=last)

    def sql(self, text: str, **parameters: Any) -> pd.DataFrame:
        """SQL over ``events``; ``$name`` in it is bound to ``name=``. Integers and decimals stay exact."""
        return self.source.df(text, **parameters)

    def find(self, value: object, *, limit: int = 1_000) -> pd.DataFrame:
        """Where an id or a value occurs: in ids and types, and in payloads and metadata with the path there."""
        return look.find(self.source, value, limit=limit)

    @property
    def relation(self) -> duckdb.DuckDBPyRelation:
        """The events as a DuckDB relation, executed again at every read."""
        return self.source.relation()

    @property
    def facts(self) -> Facts:
        """What is declared or inferred of this log, and so bounds what is claimed about it."""
        return self.source.facts

    @property
    def rejects(self) -> pd.DataFrame:
        """Input records of this log that could not become events: source, line, reason, raw text."""
        text = f"select * exclude (log) from ({catalog.REJECTS}) where log = $name order by source, record"
        return frame(self.source.con.cursor().sql(text, params={"name": self.name}).to_arrow_table())

    def __iter__(self) -> Iterator[Event]:
        """Every event, in folding order: stream by stream, by version, then position."""
        return iter(self.source)

    def __len__(self) -> int:
        return int(self.source.rows("select count(*) from events")[0][0])

    # time travel

    def state(
        self,
        aggregate: Aggregate,
        stream: str,
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
        where = at(version=version, as_of=as_of, position=position)
        return travel.state(
            self.source, aggregate, stream, where, forks=forks, strict=strict, snapshots=self._snapshots
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
        where = at(version=version, as_of=as_of, position=position)
        return travel.states(self.source, aggregate, where, forks=forks, strict=strict, executor=executor)

    def history(
        self,
        aggregate: Aggregate,
        stream: str,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """A row for every event of one stream up to a coordinate: the state after it, and what it changed."""
        where = at(version=version, as_of=as_of, position=position)
        return travel.history(self.source, aggregate, stream, where, forks=forks)

    def snapshot(self, aggregate: Aggregate, *, every: int = 1_000) -> pd.DataFrame:
        """Make snapshots of all streams of at least ``every`` events, so many events apart, and list them.

        They are a cache, from which the states of long streams are folded; looking at one makes some by itself. Those
        of an aggregate with ``revision=`` are saved in the bench, if its states are plain values.
        """
        if self._snapshots is None:
            raise EsbenchError(f"{self.name} keeps no snapshots: only logs of a bench do")
        return self._snapshots.make(self.source, aggregate, every)

    def timeline(self, projection: Projection) -> duckdb.DuckDBPyRelation:
        """Every stream that the projection covers, after each of its events, as a DuckDB relation: see ``es.frame``."""
        return travel.timeline(self.source, projection)

    def diff(
        self,
        aggregate: Aggregate,
        a: At,
        b: At | None = None,
        *,
        stream: str | None = None,
        forks: str = "all",
        executor: Executor | None = None,
    ) -> pd.DataFrame:
        """What differs between a coordinate, ``es.at(version=3)``, and another or the end: of one stream or of all."""
        return travel.diff(self.source, aggregate, a, b or at(), stream=stream, forks=forks, executor=executor)

    def blame(
        self,
        aggregate: Aggregate,
        stream: str,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """For each field of a state, the event that last set it."""
        where = at(version=version, as_of=as_of, position=position)
        return travel.blame(self.source, aggregate, stream, where, forks=forks)

    # what if

    def branch(
        self, stream: str, *, version: int | None = None, as_of: object = None, position: int | None = None
    ) -> Branch:
        """A what-if, to be edited in one stream from a coordinate on: ``.insert(…)``, ``.drop(…)``, ``.change(…)``.

        Up to the coordinate the stream is as recorded; what follows stays until it is dropped. Without one, any event
        can be edited, and new ones go to the end. This log stays as it is.
        """
        return Branch(self, branch(self.source, stream, at(version=version, as_of=as_of, position=position)))

    def would_accept(
        self,
        stream: str,
        *,
        expected_version: int | None,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
    ) -> Verdict:
        """Whether optimistic locking would have accepted a command that was handled at ``expected_version``.

        It would, if the stream has that version at the coordinate. None expects that there is no stream yet.
        """
        where = at(version=version, as_of=as_of, position=position)
        return would_accept(self.source, stream, expected_version, where)

    def replay_concurrent(
        self,
        aggregate: Aggregate,
        stream: str,
        *,
        versions: Iterable[int] | None = None,
        events: Iterable[int | str] | None = None,
    ) -> Replay:
        """Commands that were handled at once, as optimistic locking would have treated them.

        ``versions`` are forks of the stream (all unless given); ``events``, positions or event ids, are taken as one
        race. The first is accepted; the next meets a conflict, is retried on the new version, and then accepted or
        refused by the aggregate's invariants. ``.steps`` tells it, ``.branch`` is the log as it would have become.
        """
        started = self.branch(stream)
        done = replay(started.edits, aggregate, versions=versions, events=events)
        return Replay(done.stream_id, done.steps, done.edits, Branch(self, done.edits))

    def concurrency(self) -> Concurrency:
        """Which writes raced, how often, and which got through wrongly, by what their metadata says."""
        return audit(self.source)

    def first_bad(
        self,
        aggregate: Aggregate,
        predicate: Callable[[Any], Any] | str,
        stream: str | None = None,
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
        where = at(version=version, as_of=as_of, position=position)
        return first_bad(self.source, aggregate, predicate, stream, where, forks=forks, executor=executor)

    def reconcile(
        self,
        aggregate: Aggregate,
        table: object,
        *,
        key: str = "stream_id",
        columns: Mapping[str, str] | None = None,
        tolerances: Mapping[str, Any] | None = None,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """What differs between the states of all streams and a table, such as a read model; no rows: nothing does.

        ``table``: a frame, or the name of a table in the bench; ``key``: its column of stream ids. ``columns``: field
        or path of the state to column. ``tolerances``: column to how far its numbers may be off.
        """
        where = at(version=version, as_of=as_of, position=position)
        return reconcile(
            self.source, aggregate, table, key=key, at=where, columns=columns, tolerances=tolerances, forks=forks
        )

    def as_test(
        self,
        aggregate: Aggregate,
        stream: str,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        path: str | os.PathLike[str] | None = None,
        mask: Iterable[str] = (),
        aggregate_from: str | None = None,
        forks: str = "all",
    ) -> str:
        """A pytest file: given the events of a stream up to a coordinate, then the state that they have now.

        ``path``: where to write it. ``mask``: paths in payloads whose values become tokens. ``aggregate_from``: where
        the test imports the aggregate from, as in ``shop.aggregates:inventory``.
        """
        where = at(version=version, as_of=as_of, position=position)
        return as_test(
            self.source, aggregate, stream, where, path=path, mask=mask, aggregate_from=aggregate_from, forks=forks
        )

    # checks

    def check(
        self,
        *aggregates: Aggregate,
        only: Iterable[str] | None = None,
        skip: Iterable[str] | None = None,
        **options: Any,
    ) -> Report:
        """Everything that is wrong with the log, and with what the aggregates make of it, as one report."""
        return check(self.source, aggregates, only=only, skip=skip, rejects=self.rejects, name=self.name, **options)

    def __repr__(self) -> str:
        notes = [show.cell(note, width=300) for note in self.facts.notes]
        return "\n  ".join((f"Log {show.cell(self.name)!r}: {self._counts()}", *notes))

    def _repr_html_(self) -> str:
        return show.table(self.types(), title=f"Log {self.name}: {self._counts()}", notes=self.facts.notes)

    def _counts(self) -> str:
        events, streams = self.source.rows("select count(*), count(distinct stream_key) from events")[0]
        return ", ".join(
            (show.count(events, "event"), show.count(streams, "stream"), show.count(len(self.rejects), "reject"))
        )


class Branch(Editing, Log):
    """A log with edits: every verb of a log, over its events as they would be. ``original`` is untouched.

    ``insert``, ``drop`` and ``change`` each give a new branch; versions and positions in them are those of this branch
    as it stands. What follows an inserted event moves up by one, what follows one that never happened closes up.

    >>> import esbench as es, pandas as pd
    >>> rows = {"stream_id": "a", "version": [1, 2], "event_type": "Sold", "data": ['{"n": 2}', '{"n": 1}']}
    >>> log = es.open().load(pd.DataFrame(rows), name="things")
    >>> what_if = log.branch("a", version=1).insert(event_type="Sold", data={"n": 5})
    >>> [(event.version, event.data["n"]) for event in what_if]
    [(1, 2), (2, 5), (3, 1)]
    >>> what_if
    Branch of 'things' in a, from version 1 on: 3 events, 1 stream, 0 rejects
      Sold inserted at version 2 of a
    """

    def __init__(self, original: Log, edits: Edits) -> None:
        self._log: Log = original._log if isinstance(original, Branch) else original
        super().__init__(f"branch of {self._log.name}", edits.events)
        self.original = original
        self.edits = edits

    def _made(self, edits: Edits) -> Branch:
        return Branch(self.original, edits)

    def branch(
        self, stream: str, *, version: int | None = None, as_of: object = None, position: int | None = None
    ) -> Branch:
        """A branch of this branch, in this stream or another; its ``original`` is this one."""
        return Branch(self, self.edits.branch(stream, at(version=version, as_of=as_of, position=position)))

    @property
    def rejects(self) -> pd.DataFrame:
        """The rejects of the log that was branched, their versions moved as those of its events are."""
        return self.edits.moved(self._log.rejects)

    def __repr__(self) -> str:
        edits = [show.cell(each, width=300) for each in self.edits.made] or ["no edits"]
        return "\n  ".join((f"Branch of {show.cell(self._log.name)!r} {self._place()}: {self._counts()}", *edits))

    def _repr_html_(self) -> str:
        title = f"Branch of {self._log.name} {self._place()}: {self._counts()}"
        return show.table(self.types(), title=title, notes=self.edits.made or ["no edits"])

    def _place(self) -> str:
        since = "" if self.edits.point is None else f", from version {self.edits.point} on"
        return f"in {show.cell(self.edits.stream_id)}{since}"

"""A log as its user sees it: a name, events, and one short method a verb.

The verbs stand in groups, a module each: :mod:`~esbench.log.looking`, :mod:`~esbench.log.travelling`,
:mod:`~esbench.log.judging`. Here they are put together, beside those that make branches.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import pandas as pd

from esbench import show
from esbench.aggregate import Aggregate
from esbench.branch import Edits, branch
from esbench.event import at
from esbench.events import Events
from esbench.fold.snapshots import Shelf
from esbench.log.judging import Judging
from esbench.log.migrating import Migrating
from esbench.log.travelling import Travelling
from esbench.migrate.dry import failures
from esbench.migrate.running import Result
from esbench.migrate.steps.upcasting import Upcast, upcasted
from esbench.replay import Replay, replay
from esbench.what_if import Editing

__all__ = ["Branch", "Log", "View"]


class Log(Travelling, Judging, Migrating):
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

    def branch(
        self, stream: str | int, *, version: int | None = None, as_of: object = None, position: int | None = None
    ) -> Branch:
        """A what-if, to be edited in one stream from a coordinate on: ``.insert(…)``, ``.drop(…)``, ``.change(…)``.

        Up to the coordinate the stream is as recorded; what follows stays until it is dropped. Without one, any event
        can be edited, and new ones go to the end. This log stays as it is.
        """
        return Branch(self, branch(self.source, stream, at(version=version, as_of=as_of, position=position)))

    def upcasted(self, chain: Iterable[Upcast]) -> View:
        """A view through upcasters, by which every verb reads this log as if it had been migrated; nothing is made.

        An event on which an upcaster fails is read as it is; ``.failures`` lists those.
        """
        return View(self, upcasted(self.source, chain))

    def replay_concurrent(
        self,
        aggregate: Aggregate,
        stream: str | int,
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

    def explore(self, *aggregates: Aggregate, **spec: Any) -> Any:
        """A widget for a notebook: with an aggregate its time machine, see :func:`esbench.widgets.explore`."""
        return import_module("esbench.widgets").explore(self, *aggregates, **spec)

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


class View(Log):
    """A log read through upcasters: every verb of a log, over events as they would be. ``original`` is untouched."""

    def __init__(self, original: Log, result: Result) -> None:
        super().__init__(f"{original.name}, upcasted", result.events)
        self.original = original
        self.result = result

    @property
    def failures(self) -> pd.DataFrame:
        """Events on which an upcaster fails, with what it raised."""
        return failures(self.result)

    @property
    def rejects(self) -> pd.DataFrame:
        """The rejects of the log that is read."""
        return self.original.rejects

    def lineage(self, stream: str | int, version: int) -> pd.DataFrame:
        """That of the log that is read: an upcaster moves no event."""
        return self.original.lineage(stream, version)


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
        self, stream: str | int, *, version: int | None = None, as_of: object = None, position: int | None = None
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

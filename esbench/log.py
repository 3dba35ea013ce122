"""A log as its user sees it: a name, events, and one short method a verb."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pandas as pd

from esbench import catalog, look, show, travel
from esbench.aggregate import Aggregate
from esbench.checks import Report, check
from esbench.event import At, Event, at
from esbench.events import Events, frame
from esbench.facts import Facts
from esbench.fold.state import State

__all__ = ["Log"]


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

    def __init__(self, name: str, source: Events) -> None:
        self.name = name
        self.source = source

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
        return travel.state(self.source, aggregate, stream, where, forks=forks, strict=strict)

    def states(
        self,
        aggregate: Aggregate,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
        strict: bool = False,
    ) -> pd.DataFrame:
        """The state of every stream that the aggregate covers at a coordinate, one row each."""
        where = at(version=version, as_of=as_of, position=position)
        return travel.states(self.source, aggregate, where, forks=forks, strict=strict)

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

    def diff(
        self,
        aggregate: Aggregate,
        a: At,
        b: At | None = None,
        *,
        stream: str | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """What differs between a coordinate, ``es.at(version=3)``, and another or the end: of one stream or of all."""
        return travel.diff(self.source, aggregate, a, at() if b is None else b, stream=stream, forks=forks)

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

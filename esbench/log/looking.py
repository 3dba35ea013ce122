"""Looking at a log: its streams, types, events and rejects, and where a value occurs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pandas as pd

from esbench import catalog, look
from esbench.aggregate import Aggregate
from esbench.event import Event, at
from esbench.events import Events, frame
from esbench.facts import Facts

__all__ = ["Looking"]


class Looking:
    """What is in a log as it stands, without folding anything; every other group of verbs stands on this one."""

    name: str
    source: Events

    def streams(self) -> pd.DataFrame:
        """One row a stream: id, type, number of events, versions, times and positions."""
        return look.streams(self.source)

    def find_streams(
        self, text: str = "", *, aggregate: Aggregate | None = None, limit: int = 50, offset: int = 0
    ) -> pd.DataFrame:
        """A page of the ids of streams with ``text`` in them; ``attrs["of"]`` counts all. Quick among millions.

        With an ``aggregate``: of those that it covers.
        """
        return look.find_streams(self.source, text, aggregate=aggregate, limit=limit, offset=offset)

    def types(self) -> pd.DataFrame:
        """One row an event type and schema version, commonest first."""
        return look.types(self.source)

    def events(
        self,
        stream: str | int | None = None,
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

"""Events: the value that every verb takes, a connection, a canonical relation and facts."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import duckdb
import pandas as pd
import pyarrow as pa

from esbench.errors import BenchError, EsbenchError, QueryError, UnknownLog, UnknownStream, nearest
from esbench.event import CANONICAL, At, Event
from esbench.facts import Facts

__all__ = ["Events", "Stored", "frame", "stream_name", "translated"]

#: What relations need that are out in the world, as long as their connection lives.
_lent: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[int, object]] = WeakKeyDictionary()

#: Folding order: version, then position, stream by stream.
ORDER = "stream_key, version, position"


@contextmanager
def translated() -> Iterator[None]:
    """Turn an error of DuckDB about a query into a QueryError; what it says first is kept."""
    try:
        yield
    except (duckdb.InterruptException, duckdb.IOException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def frame(table: pa.Table | duckdb.DuckDBPyRelation | None) -> pd.DataFrame:
    """A DataFrame of an Arrow table or a DuckDB relation, in which integers and decimals stay exact.

    The relation's own ``df()`` makes floats of decimals, and of integers that may pass 64 bits.

    >>> import decimal
    >>> frame(pa.table({"n": pa.array([1, None]), "d": [decimal.Decimal("1.10"), None]})).dtypes.astype(str).to_dict()
    {'n': 'Int64', 'd': 'decimal128(3, 2)[pyarrow]'}
    """
    assert table is not None
    rows: pa.Table = table.to_arrow_table() if isinstance(table, duckdb.DuckDBPyRelation) else table
    columns: dict[str, pd.Series[Any]] = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        # SQL may give one name to several columns.
        free = (f"{name}_{n}" for n in itertools.count(1))
        columns[name if name not in columns else next(one for one in free if one not in columns)] = _series(column)
    return pd.DataFrame(columns, index=pd.RangeIndex(rows.num_rows))


def _series(column: pa.ChunkedArray[Any]) -> pd.Series[Any]:
    """A column for a frame; Arrow-backed where pandas would make a float or an object of it."""
    if pa.types.is_decimal(column.type) and column.type.scale == 0:
        # What the engine adds up; mostly it fits.
        with suppress(pa.ArrowInvalid):
            column = column.cast(pa.int64())
    kind = column.type
    if pa.types.is_integer(kind) and column.null_count:
        return pd.Series(column.to_pandas(types_mapper=lambda _: pd.Int64Dtype()))
    if pa.types.is_decimal(kind) or pa.types.is_nested(kind):
        return pd.Series(column.to_pandas(types_mapper=pd.ArrowDtype))
    if pa.types.is_boolean(kind) and column.null_count:
        return pd.Series(column.to_pandas(types_mapper=lambda _: pd.BooleanDtype()))
    return pd.Series(column.to_pandas())


def stream_name(stream: object) -> str:
    """The id of a stream as a log has it, which is text; an integer stands for its digits.

    >>> stream_name("item-1"), stream_name(7)
    ('item-1', '7')
    """
    if isinstance(stream, str):
        return str(stream)
    if hasattr(stream, "__index__") and not isinstance(stream, bool):
        return str(operator.index(stream))
    raise EsbenchError(f"a stream is named by its id, a text, not by {stream!r}")


@dataclass(frozen=True, slots=True)
class Stored:
    """That the rows of ``query`` are some of those of a stored log, unchanged; of another query it says nothing."""

    log: str
    query: str


@dataclass(frozen=True, slots=True)
class Events:
    """A connection, a query for the canonical columns (and ``stream_key``), and facts.

    A stored log, a slice of one, and everything derived from it are Events. ``streams`` is a query for
    ``(stream_key, stream_id)``. ``ordered``: rows come in folding order by themselves.
    Reading opens a cursor of its own each time, so Events may be used from several threads. ``held`` is what must live
    as long as the query is used: tables beside the bench, functions that SQL knows by a number only.
    """

    con: duckdb.DuckDBPyConnection
    query: str
    facts: Facts = field(default_factory=Facts)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    streams: str | None = None
    ordered: bool = False
    stored: Stored | None = None
    held: object = field(default=None, compare=False, repr=False)

    @property
    def within(self) -> str | None:
        """The stored log of which these are some events, unchanged; None where they are not known to be."""
        return self.stored.log if self.stored is not None and self.stored.query == self.query else None

    def arrow(self, text: str, **parameters: Any) -> pa.Table:
        """The result of SQL over ``events``, as an Arrow table; ``$name`` in it is bound to ``name=``."""
        with self.reading() as cursor:
            table: pa.Table = cursor.sql(self.whole(text), params={**self.parameters, **parameters}).to_arrow_table()
            return table

    def df(self, text: str, **parameters: Any) -> pd.DataFrame:
        """The result of SQL over ``events``, as a DataFrame that keeps integers and decimals exact."""
        return frame(self.arrow(text, **parameters))

    def rows(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The result of SQL over ``events``, as tuples. Times come as DuckDB gives them; ask for ``epoch_us``."""
        with self.reading() as cursor:
            return cursor.execute(self.whole(text), {**self.parameters, **parameters}).fetchall()

    def relation(self, text: str = "select * exclude (stream_key) from events") -> duckdb.DuckDBPyRelation:
        """A DuckDB relation over ``events``; executed again at every read."""
        self.lend()
        with self._told():
            return self.con.cursor().sql(self.whole(text), params=dict(self.parameters))

    def lend(self) -> None:
        """Keep what these events hold as long as their connection: a relation of them goes out into the world.

        It may outlive them, and so may what is made of it, which nobody hears of.
        """
        if self.held is not None:
            _lent.setdefault(getattr(self.con, "beneath", self.con), {})[id(self.held)] = self.held

    def batches(
        self,
        columns: Sequence[str],
        *,
        where: str = "true",
        rows: int = 50_000,
        **parameters: Any,
    ) -> Iterator[pa.RecordBatch]:
        """Arrow batches in folding order. ``columns`` and ``where`` are SQL."""
        order = "" if self.ordered else f" order by {ORDER}"
        text = f"select {', '.join(columns)} from events where {where}{order}"
        with self.reading() as cursor:
            reader = cursor.sql(self.whole(text), params={**self.parameters, **parameters}).to_arrow_reader(rows)
            yield from reader

    def __iter__(self) -> Iterator[Event]:
        """Every event, in folding order."""
        for batch in self.batches(list(CANONICAL)):
            yield from map(_event, *(column.to_pylist() for column in batch.columns))

    def where(self, condition: str, **parameters: Any) -> Events:
        """The events that meet a condition in SQL; ``$name`` in it is bound to ``name=``."""
        query = f"select * from ({self.query}) where {condition}"
        return replace(
            self,
            query=query,
            parameters={**self.parameters, **parameters},
            stored=None if self.within is None else Stored(self.within, query),
        )

    def at(self, at: At) -> Events:
        """The events up to a coordinate, inclusive."""
        name = f"_at{len(self.parameters)}"
        if at.version is not None:
            return self.where(f"version <= ${name}", **{name: at.version})
        if at.as_of is not None:
            # Bound as text, because a bound datetime goes through the session's time zone.
            return self.where(f"recorded_at <= ${name}::timestamptz", **{name: at.as_of.isoformat()})
        if at.position is not None:
            return self.where(f"position <= ${name}", **{name: at.position})
        return self

    def stream(self, stream_id: str | int) -> Events:
        """The events of one stream.

        Raises UnknownStream, with the nearest names, when the log has none of that id.
        """
        stream_id = stream_name(stream_id)
        name = f"_stream{len(self.parameters)}"
        found = self._streams("select stream_key from streams where stream_id = $wanted", wanted=stream_id)
        if not found:
            some = self._streams(
                "select stream_id from streams order by levenshtein(left(stream_id, 200), left($wanted, 200)) limit 20",
                wanted=stream_id,
            )
            raise UnknownStream(f'no stream "{stream_id}".{nearest(stream_id, [row[0] for row in some])}')
        return self.where(f"stream_key = ${name}", **{name: found[0][0]})

    def _streams(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of SQL over ``streams (stream_key, stream_id)``."""
        if self.streams is None:
            return self.rows(
                f"with streams as (select distinct stream_key, stream_id from events) {text}", **parameters
            )
        with self.reading() as cursor:
            return cursor.execute(f"with streams as ({self.streams}) {text}", parameters).fetchall()

    def whole(self, text: str) -> str:
        """SQL over ``events`` made whole. Raises QueryError for anything but one query: events are only read."""
        inner = text.lstrip()
        named = inner[:4].lower() == "with" and inner[4:5].isspace()
        whole = f"with events as ({self.query}){f', {inner[5:]}' if named else f' {inner}'}"
        # On a cursor of its own, since the connection refuses a second call at a time.
        with self.reading() as cursor:
            kinds = [statement.type for statement in cursor.extract_statements(whole)]
        if kinds != [duckdb.StatementType.SELECT]:
            names = ", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "nothing"
            raise QueryError(f"one query over events at a time, which only reads; this is {names}: {inner[:200]}")
        return whole

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor to read on. Raises QueryError for what DuckDB refuses, and says so where log or bench are gone."""
        with self._told():
            cursor = self.con.cursor()
            try:
                yield cursor
            finally:
                cursor.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with translated():
                yield
        except QueryError as error:
            if isinstance(error.__cause__, duckdb.ConnectionException):
                raise BenchError("the bench of this log is closed; open it again with es.open(path)") from error
            if isinstance(error.__cause__, duckdb.CatalogException) and self._dropped():
                assert self.stored is not None
                raise UnknownLog(
                    f'the log "{self.stored.log}" is no longer in the bench: it was dropped; load it again'
                ) from error
            raise

    def _dropped(self) -> bool:
        """Whether the stored log that these come from is no longer there."""
        if self.stored is None:
            return False
        with self.con.cursor() as cursor:
            text = "select 1 from duckdb_tables() where schema_name = 'log' and table_name = $log"
            found = cursor.execute(text, {"log": self.stored.log}).fetchall()
        return not found


def _event(
    position: int,
    stream_id: str,
    stream_type: str | None,
    version: int,
    event_id: str | None,
    event_type: str,
    schema_version: int | None,
    recorded_at: Any,
    occurred_at: Any,
    source_position: str | None,
    data: str | None,
    metadata: str | None,
) -> Event:
    return Event(
        position,
        stream_id,
        version,
        event_type,
        data,
        metadata,
        stream_type,
        event_id,
        schema_version,
        recorded_at,
        occurred_at,
        source_position,
    )

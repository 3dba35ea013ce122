"""Snapshots: a cache of states along long streams, from which a fold goes on; dropping them changes no result.

One is used only where the same definition of the aggregate (:mod:`~esbench.fold.fingerprint`) would fold the very same
events up to it: it carries a digest of their versions, positions and ids, so that a late event, a position before
its last event or a log loaded anew under its name finds none. Only streams that are whole, in which no handler failed,
have any, so there is no damage to remember. They live in memory, as copies; those of an aggregate with a revision can
also be saved in the bench, as text of plain values: nothing is ever unpickled.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

import duckdb
import pandas as pd

from esbench import show
from esbench.aggregate import Aggregate
from esbench.fold.changes import isolated
from esbench.fold.fingerprint import fingerprint
from esbench.fold.plain import NotPlain, decoded, encoded, size
from esbench.fold.python import initial_state
from esbench.fold.single import Whole, followed
from esbench.fold.state import Broken

__all__ = ["EVERY", "Shelf", "Snapshots"]

#: So many events apart, and in streams of at least so many, snapshots are made by a fold without being asked to.
EVERY: Final = 250
_LONG: Final = 1_000
#: The bytes of states that are kept in memory; those that were used least lately go first.
_BYTES: Final = 64_000_000

_TABLE: Final = """
    create table if not exists esbench.snapshots (
        log varchar, fingerprint varchar, aggregate varchar, stream_id varchar, version bigint, events bigint,
        told blob, state varchar, broken varchar, made_at timestamptz
    )
"""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A state after the first so many events of a stream."""

    aggregate: str
    version: int
    events: int
    told: bytes
    value: Any
    broken: tuple[Broken, ...]
    bytes: int
    saved: bool
    made_at: datetime


class Snapshots:
    """The snapshots of a bench: ``.df()`` lists them, ``.drop()`` drops them.

    >>> Snapshots(duckdb.connect())
    no snapshots
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, *, read_only: bool = False) -> None:
        self._con = con
        self._read_only = read_only
        self._kept: OrderedDict[tuple[str, str, str], list[_Snapshot]] = OrderedDict()
        self._bytes = 0

    def df(self) -> pd.DataFrame:
        """One row a snapshot: log, aggregate, stream_id, version, events, bytes, saved, made_at."""
        rows = [
            (log, one.aggregate, stream_id, one.version, one.events, one.bytes, one.saved, one.made_at)
            for (log, stream_id, _), some in self._all().items()
            for one in some
        ]
        names = ["log", "aggregate", "stream_id", "version", "events", "bytes", "saved", "made_at"]
        return (
            pd.DataFrame(sorted(rows, key=lambda row: row[:4]), columns=names)
            .astype({"log": "str", "aggregate": "str", "stream_id": "str", "version": "int64", "events": "int64"})
            .astype({"bytes": "int64", "saved": "bool", "made_at": "datetime64[us, UTC]"})
        )

    def drop(self, log: str | None = None, *, aggregate: str | None = None, stream: str | None = None) -> int:
        """Drop snapshots, all or those of a log, an aggregate or a stream; how many there were."""
        dropped = 0
        for key, some in self._all().items():
            if log in (None, key[0]) and stream in (None, key[1]):
                gone = [one for one in some if aggregate in (None, one.aggregate)]
                dropped += len(gone)
                self._forget(key, gone)
        if not self._read_only and self._is_saved():
            with self._con.cursor() as cursor:
                cursor.execute(
                    """
                    delete from esbench.snapshots
                    where ($log is null or log = $log) and ($aggregate is null or aggregate = $aggregate)
                        and ($stream is null or stream_id = $stream)
                    """,
                    {"log": log, "aggregate": aggregate, "stream": stream},
                )
        return dropped

    def of(self, log: str) -> Shelf:
        """The snapshots of one log."""
        return Shelf(self, log)

    def __len__(self) -> int:
        return sum(len(some) for some in self._all().values())

    def __repr__(self) -> str:
        found = self.df()
        if found.empty:
            return "no snapshots"
        streams = show.count(len(found[["log", "stream_id"]].drop_duplicates()), "stream")
        return f"{show.count(len(found), 'snapshot')} of {streams}, {int(found['bytes'].sum()):,} bytes"

    def _repr_html_(self) -> str:
        return show.table(self.df(), title=repr(self))

    def add(self, key: tuple[str, str, str], made: list[_Snapshot]) -> None:
        """Keep snapshots of one stream, in place of those at the same versions."""
        some = self._kept.setdefault(key, [])
        self._kept.move_to_end(key)
        versions = {one.version for one in made}
        self._forget(key, [one for one in some if one.version in versions])
        some = self._kept.setdefault(key, some)
        for one in made:
            insort(some, one, key=attrgetter("events"))
            self._bytes += one.bytes
        while self._bytes > _BYTES and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self._forget(oldest, list(self._kept[oldest]))

    def find(self, key: tuple[str, str, str], *, saved: bool) -> list[_Snapshot]:
        """The snapshots of one stream, by version; with ``saved`` also those in the bench."""
        if key in self._kept:
            self._kept.move_to_end(key)
        elif saved and self._is_saved():
            self.add(key, self._read(key).get(key, []))
        return self._kept.get(key, [])

    def save(self, key: tuple[str, str, str], made: list[_Snapshot]) -> None:
        """Write snapshots into the bench. Raises NotPlain for states that have no exact text."""
        log, stream_id, mark = key
        rows = [
            [log, mark, one.aggregate, stream_id, one.version, one.events, one.told, encoded(one.value)]
            + [encoded([asdict(each) for each in one.broken]), one.made_at.isoformat()]
            for one in made
        ]
        with self._con.cursor() as cursor:
            cursor.execute(_TABLE)
            cursor.execute("begin")
            cursor.execute(
                "delete from esbench.snapshots where log = ? and stream_id = ? and fingerprint = ?", [*key]
            )
            if rows:
                cursor.executemany(f"insert into esbench.snapshots values ({', '.join('?' * 10)})", rows)
            cursor.execute("commit")

    def _all(self) -> dict[tuple[str, str, str], list[_Snapshot]]:
        found = {key: list(some) for key, some in self._kept.items()}
        for key, some in (self._read().items() if self._is_saved() else ()):
            here = {one.version for one in found.get(key, ())}
            found[key] = [*found.get(key, []), *(one for one in some if one.version not in here)]
        return found

    def _is_saved(self) -> bool:
        text = "select 1 from duckdb_tables() where schema_name = 'esbench' and table_name = 'snapshots'"
        with self._con.cursor() as cursor:
            return bool(cursor.execute(text).fetchall())

    def _read(self, key: tuple[str, str, str] | None = None) -> dict[tuple[str, str, str], list[_Snapshot]]:
        """The saved snapshots, of one stream or all."""
        narrow = "" if key is None else "where log = ? and stream_id = ? and fingerprint = ?"
        text = f"""
            select log, stream_id, fingerprint, aggregate, version, events, told, state, broken, epoch_us(made_at)
            from esbench.snapshots {narrow} order by log, stream_id, fingerprint, events
        """
        with self._con.cursor() as cursor:
            rows = cursor.execute(text, [] if key is None else [*key]).fetchall()
        found: dict[tuple[str, str, str], list[_Snapshot]] = {}
        for log, stream_id, mark, aggregate, version, events, told, state, broken, made_at in rows:
            found.setdefault((log, stream_id, mark), []).append(
                _Snapshot(
                    aggregate,
                    version,
                    events,
                    bytes(told),
                    decoded(state),
                    tuple(Broken(**each) for each in decoded(broken)),
                    len(state),
                    True,
                    datetime.fromtimestamp(made_at / 1e6, UTC),
                )
            )
        return found

    def _forget(self, key: tuple[str, str, str], gone: list[_Snapshot]) -> None:
        some = self._kept.get(key, [])
        for one in gone:
            if one in some:
                some.remove(one)
                self._bytes -= one.bytes
        if not some:
            self._kept.pop(key, None)

"""Snapshots: a cache of states along long streams, from which a fold goes on; dropping them changes no result.

One is used only where the same definition of the aggregate (:mod:`~esbench.fold.fingerprint`) would fold the very same
events up to it: it carries a digest of their versions, positions and ids, so that a late event, a position before
its last event or a log loaded anew under its name finds none. Only streams that are whole, in which no handler failed,
have any, so there is no damage to remember. They live in memory, as copies; those of an aggregate with a revision can
also be saved in the bench, as text of plain values: nothing is ever unpickled.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Any, Final

import duckdb
import pandas as pd

from esbench import show
from esbench.aggregate import Aggregate, covered, refuse_other
from esbench.catalog import transaction
from esbench.errors import EsbenchError
from esbench.event import At
from esbench.events import Events
from esbench.fold.copies import isolated
from esbench.fold.fingerprint import fingerprint
from esbench.fold.plain import NotPlain, decoded, encoded, size
from esbench.fold.python import initial_state
from esbench.fold.single import Whole, followed, whole
from esbench.fold.state import Broken

__all__ = ["EVERY", "Shelf", "Snapshot", "Snapshots"]

#: So many events apart, and in streams of at least so many, snapshots are made by a fold without being asked to.
EVERY: Final = 250
_LONG: Final = 1_000
#: The bytes of states that are kept in memory; those that were used least lately go first.
_BYTES: Final = 64_000_000

_events = attrgetter("events")
_TABLE: Final = """
    create table if not exists esbench.snapshots (
        log varchar, fingerprint varchar, aggregate varchar, stream_id varchar, version bigint, events bigint,
        told blob, state varchar, broken varchar, made_at timestamptz
    )
"""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
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

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._kept: OrderedDict[tuple[str, str, str], list[Snapshot]] = OrderedDict()
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
            pd.DataFrame(sorted(rows, key=itemgetter(0, 1, 2, 3)), columns=names)
            .astype({"log": "str", "aggregate": "str", "stream_id": "str", "version": "int64", "events": "int64"})
            .astype({"bytes": "int64", "saved": "bool", "made_at": "datetime64[us, UTC]"})
        )

    def drop(self, log: str | None = None, *, aggregate: str | None = None, stream: str | None = None) -> int:
        """Drop snapshots, all or those of a log, an aggregate or a stream; how many there were."""
        dropped = 0
        for key, some in self._all().items():
            if log in (None, key[0]) and stream in (None, key[1]):
                rest = [one for one in some if aggregate not in (None, one.aggregate)]
                dropped += len(some) - len(rest)
                if key in self._kept:
                    self._put(key, rest)
        if self._is_saved() and not self._is_read_only():
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

    def add(self, key: tuple[str, str, str], made: list[Snapshot]) -> None:
        """Keep snapshots of one stream, in place of those after as many events."""
        anew = {one.events for one in made}
        self._put(key, sorted([one for one in self._kept.get(key, ()) if one.events not in anew] + made, key=_events))
        self._kept.move_to_end(key)
        while self._bytes > _BYTES and len(self._kept) > 1:
            self._put(next(iter(self._kept)), [])

    def find(self, key: tuple[str, str, str], *, saved: bool) -> list[Snapshot]:
        """The snapshots of one stream, by version; with ``saved`` also those in the bench."""
        if key in self._kept:
            self._kept.move_to_end(key)
        elif saved and self._is_saved():
            self.add(key, self._read(key).get(key, []))
        return self._kept.get(key, [])

    def all(self, log: str, mark: str, *, saved: bool) -> dict[str, list[Snapshot]]:
        """The snapshots of a log that one definition made, by stream; with ``saved`` also those in the bench."""
        if saved and self._is_saved():
            for key, some in self._read((log, None, mark)).items():
                if not self._kept.get(key):
                    self.add(key, some)
        return {key[1]: some for key, some in self._kept.items() if key[::2] == (log, mark) and some}

    def save(self, key: tuple[str, str, str]) -> None:
        """Write the snapshots of one stream into the bench, but for states that have no exact text.

        A bench that was opened to be read keeps them in memory only.
        """
        if self._is_read_only():
            return
        rows = []
        for one in self.find(key, saved=True):
            with suppress(NotPlain):
                broken = encoded([asdict(each) for each in one.broken])
                told = [one.aggregate, key[1], one.version, one.events, one.told, encoded(one.value), broken]
                rows.append([key[0], key[2], *told, one.made_at.isoformat()])
        with self._con.cursor() as cursor:
            cursor.execute(_TABLE)
            with transaction(cursor):
                cursor.execute(
                    "delete from esbench.snapshots where log = ? and stream_id = ? and fingerprint = ?", [*key]
                )
                if rows:
                    cursor.executemany(f"insert into esbench.snapshots values ({', '.join('?' * 10)})", rows)

    def _all(self) -> dict[tuple[str, str, str], list[Snapshot]]:
        found = {key: list(some) for key, some in self._kept.items()}
        for key, some in self._read().items() if self._is_saved() else ():
            saved = {one.events for one in some}
            found[key] = [*some, *(one for one in found.get(key, ()) if one.events not in saved)]
        return found

    def _is_read_only(self) -> bool:
        with self._con.cursor() as cursor:
            found = cursor.execute("select readonly from duckdb_databases() where database_name = current_database()")
            return bool(found.fetchall()[0][0])

    def _is_saved(self) -> bool:
        text = "select 1 from duckdb_tables() where schema_name = 'esbench' and table_name = 'snapshots'"
        with self._con.cursor() as cursor:
            return bool(cursor.execute(text).fetchall())

    def _read(
        self, key: tuple[str | None, str | None, str | None] = (None, None, None)
    ) -> dict[tuple[str, str, str], list[Snapshot]]:
        """The saved snapshots, all or those of a log, of a stream, of a definition."""
        narrow = """
            where ($log is null or log = $log) and ($stream is null or stream_id = $stream)
                and ($mark is null or fingerprint = $mark)
        """
        text = f"""
            select log, stream_id, fingerprint, aggregate, version, events, told, state, broken, epoch_us(made_at)
            from esbench.snapshots {narrow} order by log, stream_id, fingerprint, events
        """
        with self._con.cursor() as cursor:
            rows = cursor.execute(text, dict(zip(("log", "stream", "mark"), key, strict=True))).fetchall()
        found: dict[tuple[str, str, str], list[Snapshot]] = {}
        for log, stream_id, mark, aggregate, version, events, told, state, broken, made_at in rows:
            found.setdefault((log, stream_id, mark), []).append(
                Snapshot(
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

    def _put(self, key: tuple[str, str, str], some: list[Snapshot]) -> None:
        self._bytes += sum(one.bytes for one in some) - sum(one.bytes for one in self._kept.pop(key, ()))
        self._kept[key] = some


class Shelf:
    """The snapshots of one log, as folds use them."""

    def __init__(self, snapshots: Snapshots, log: str) -> None:
        self._snapshots = snapshots
        self._log = log

    def fold(
        self, one: Whole, stream_id: str, aggregate: Aggregate, *, every: int = EVERY, least: int = _LONG
    ) -> tuple[Any, dict[str, Broken]] | None:
        """What :func:`~esbench.fold.single.followed` gives of a stream, from the nearest snapshot on.

        A stream of ``least`` events leaves snapshots behind, ``every`` so many events.
        """
        length = one.found.events[0] if one.found.events else 0
        mark = fingerprint(aggregate) if length >= least else None
        if mark is None:
            return followed(one.held, aggregate, initial_state(aggregate), {})
        key = (self._log, stream_id, mark)
        start = self._nearest(key, one, length, saved=aggregate.revision is not None)
        begun, value, broken = (start.events, start.value, start.broken) if start else (0, None, ())
        made: dict[int, tuple[Any, tuple[Broken, ...], int]] = {}

        def keep(count: int, value: Any, broken: Mapping[str, Broken]) -> None:
            room = _BYTES // 2 - sum(taken for *_, taken in made.values())
            taken = size(value)
            if taken is not None and taken < room:
                made[begun + count] = isolated(value), tuple(broken.values()), taken

        done = followed(
            one.after(begun),
            aggregate,
            value if start else initial_state(aggregate),
            {each.invariant: each for each in broken},
            keep=keep,
            every=every,
        )
        if done is not None and made:
            now = datetime.now(UTC)
            found = [
                Snapshot(aggregate.name, one.version(events), events, told, *made[events], False, now)
                for events, told in zip(sorted(made), one.told(sorted(made)), strict=True)
            ]
            self._snapshots.add(key, found)
        return done

    def all(self, aggregate: Aggregate) -> dict[str, list[Snapshot]]:
        """The snapshots that the very definition of an aggregate made, by stream; whether they fit is to be seen."""
        mark = fingerprint(aggregate)
        if mark is None:
            return {}
        return self._snapshots.all(self._log, mark, saved=aggregate.revision is not None)

    def has(self, stream_id: str, aggregate: Aggregate) -> bool:
        """Whether there is any of a stream that the very definition of an aggregate made."""
        mark = fingerprint(aggregate)
        saved = aggregate.revision is not None
        return mark is not None and bool(self._snapshots.find((self._log, stream_id, mark), saved=saved))

    def make(self, events: Events, aggregate: Aggregate, every: int) -> pd.DataFrame:
        """Make snapshots of all streams that have so many events; save them if the aggregate carries a revision."""
        refuse_other(aggregate)
        aggregate.freeze()
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise EsbenchError(f"every= is a number of events, not {every!r}")
        mark = fingerprint(aggregate)
        if mark is None:
            raise EsbenchError(
                f'aggregate "{aggregate.name}" names what may change unseen, so no snapshot of it could be trusted: '
                "give it a revision, Aggregate(…, revision=…), and another with every change"
            )
        rows = covered(events, aggregate).rows(
            """
            select stream_key, min(stream_id) from events group by stream_key having count(*) >= $every
            order by stream_key
            """,
            every=every,
        )
        for stream_key, stream_id in rows:
            name = f"_stream{len(events.parameters)}"
            one = whole(events.where(f"stream_key = ${name}", **{name: stream_key}), aggregate, At())
            if one is not None:
                self.fold(one, stream_id, aggregate, every=every, least=every)
                if aggregate.revision is not None:
                    self._snapshots.save((self._log, stream_id, mark))
        found = self._snapshots.df()
        return found[(found["log"] == self._log) & (found["aggregate"] == aggregate.name)].reset_index(drop=True)

    def _nearest(self, key: tuple[str, str, str], one: Whole, length: int, *, saved: bool) -> Snapshot | None:
        some = self._snapshots.find(key, saved=saved)
        for each in reversed(some[: bisect_right(some, length, key=_events)]):
            if each.version == one.version(each.events) and each.told == one.told([each.events])[0]:
                return each
        return None

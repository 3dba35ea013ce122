"""Checks of stored states: snapshots, and the rows of read models, against the fold at the place that each claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

from esbench.aggregate import Aggregate
from esbench.checks.check import Check, Found, Said, Seen, shown
from esbench.checks.reader import Reader
from esbench.errors import EsbenchError, nearest
from esbench.events import Events
from esbench.facts import Facts
from esbench.fold import keyed
from esbench.fold.changes import brief, fields_of
from esbench.fold.python import Step, initial_state, steps
from esbench.fold.reading import narrowed
from esbench.reconcile.keys import Key, folded_keys, key_columns, stored_keys
from esbench.reconcile.pairs import Pair, allowed, pairs
from esbench.stored import Table, TableError, Tolerance, plain

__all__ = ["CHECKS", "Given", "SnapshotTable", "find", "given_snapshots", "unclaimed"]

_MISMATCH, _AHEAD = "snapshot-mismatch", "snapshot-ahead"


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """A table of stored states, each with the place in history that it claims to be of, for a check.

    ``table``: a DataFrame, an Arrow table, a DuckDB relation, or the name of a table in the bench. ``key`` and
    ``columns`` as in ``log.reconcile``; without ``columns``, fields that have a column of their name are compared, or
    the column ``state`` with the whole state, which may be JSON text. ``version``: the column of versions, of a read
    model that of positions; unless given, ``version`` or ``position``. A stream may have several rows.

    >>> SnapshotTable("snapshots", key="id", version="sequence", columns={"quantity": "qty"})
    SnapshotTable('snapshots', key='id', version='sequence')
    """

    table: object
    key: str | Sequence[str] | None = None
    version: str | None = None
    columns: Mapping[str, str] | None = None
    tolerances: Mapping[str, Tolerance | float] | None = None

    def __repr__(self) -> str:
        table = repr(self.table) if isinstance(self.table, str) else f"a {type(self.table).__name__}"
        said = [f", {name}={value!r}" for name in ("key", "version") if (value := getattr(self, name)) is not None]
        return f"SnapshotTable({table}{''.join(said)})"


@dataclass(frozen=True, slots=True)
class Given:
    """The stored states of an aggregate: the rows of a table, their keys and the versions that they claim."""

    aggregate: Aggregate
    said: SnapshotTable
    table: Table
    by: tuple[str, ...]
    at: str
    keys: Sequence[Key]
    versions: Sequence[int]

    @property
    def noun(self) -> str:
        """What the rows claim to be of."""
        return "position" if self.aggregate.keyed else "version"


@dataclass(slots=True)
class _Row:
    """A row of the table: where it stands, the state of the fold there, and the event that made it."""

    number: int
    key: Key
    version: int
    state: Any = None
    position: int | None = None
    differing: dict[Pair, tuple[Any, str]] = field(default_factory=dict)
    last_true: dict[Pair, int] = field(default_factory=dict)


def _tell_mismatch(found: Found, events: Mapping[int, Seen]) -> Said:
    detail = found.detail
    what = f"The stored state of {_whose(found)}"
    if "problem" in detail:
        return Said(
            f"a state at {detail['claims']} {found.version}",
            "none",
            f"{what} claims {detail['claims']} {found.version}: {detail['problem']}.",
        )
    name, one = next(iter(detail["fields"].items()))
    where = f"{shown(name)} is " if name else "it is "
    last = one["last_true"]
    stale = "as the fold never was" if last is None else f"as the fold last was at {detail['claims']} {last}"
    note = f" ({one['note']})" if one["note"] else ""
    others = len(detail["fields"]) - 1
    more = "" if not others else f", and {others} more {'field differs' if others == 1 else 'fields differ'}"
    return Said(
        f"{name or 'state'} {one['stored']}",
        f"{name or 'state'} {one['expected']}",
        f"{what} at {detail['claims']} {found.version} is not that of the fold: {where}{one['stored']}, {stale}, and "
        f"should be {one['expected']}{note}{more}.",
    )


def _tell_ahead(found: Found, events: Mapping[int, Seen]) -> Said:
    claims, reached = found.detail["claims"], found.detail["reached"]
    if claims == "position":
        end = f"the log ends at position {reached}" if reached is not None else "the log has no events"
    else:
        end = f"the stream ends at version {reached}" if reached is not None else "the log has no such stream"
    return Said(
        f"a state at {claims} {found.version}",
        "no such stream" if reached is None else f"{claims} {reached} or below",
        f"The stored state of {_whose(found)} claims {claims} {found.version}, but {end}.",
    )


def _whose(found: Found) -> str:
    noun = "key" if "key" in found.detail else "stream"
    return f"{noun} {shown(found.stream_id)} (row {found.detail['row']} of the table)"


CHECKS = (
    Check(
        _MISMATCH,
        ("error", "info"),
        "A stored snapshot, or a row of a read model, is not what the fold gives at the version that it claims. Info "
        "where the aggregate does not cover the stream.",
        _tell_mismatch,
        kind="meaning",
    ),
    Check(
        _AHEAD,
        ("error",),
        "A stored snapshot, or a row of a read model, claims a version that the stream has not reached, or a position "
        "that the log has not: events were lost after it was made.",
        _tell_ahead,
        kind="meaning",
    ),
)


def given_snapshots(events: Events, aggregates: Sequence[Aggregate], snapshots: object) -> list[Given]:
    """The stored states to be checked, by aggregate. Raises TableError, and EsbenchError for an unknown aggregate."""
    if snapshots is None:
        return []
    by_name = {each.name: each for each in aggregates}
    if not isinstance(snapshots, Mapping):
        if len(by_name) != 1:
            names = ", ".join(by_name) or "none"
            raise EsbenchError(
                "snapshots= of which aggregate? A dict from its name to the table says so; aggregates given: " + names
            )
        snapshots = {next(iter(by_name)): snapshots}
    found = []
    for name, table in snapshots.items():
        if name not in by_name:
            near = nearest(str(name), by_name) or f" Given: {', '.join(by_name) or 'none'}."
            raise EsbenchError(f"snapshots= names an aggregate that is not checked: {brief(name)}.{near}")
        found.append(_read(events, by_name[name], table if isinstance(table, SnapshotTable) else SnapshotTable(table)))
    return found


def unclaimed(given: Sequence[Given], facts: Facts) -> str | None:
    """Why nothing can be claimed of stored states; None when it can."""
    if not given:
        return "no stored states were given: snapshots= takes a table of them"
    if not any(each.keys for each in given):
        return "the table of stored states has no rows"
    return None if any(_comparable(each, facts) is None for each in given) else _comparable(given[0], facts)


def find(reader: Reader, given: Given) -> Iterator[Found]:
    """What is wrong with the stored states of one aggregate; one finding a row of the table."""
    if _comparable(given, reader.events.facts) is not None:
        return
    rows = [_Row(*one) for one in zip(range(len(given.keys)), given.keys, given.versions, strict=True)]
    chosen = keyed.chosen(reader.events, given.aggregate)
    numbers = _numbers(chosen, given)
    by_stream: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.key in numbers:
            by_stream[numbers[row.key]].append(row)
    ends = _fold(chosen, given.aggregate, by_stream)
    if given.noun == "position":
        (last,) = reader.one("select max(position) as last from events").values()
        reached: dict[Key, int | None] = {row.key: last for row in rows}
        known = set(numbers)
    else:
        known = {row.key for row in rows if row.key in numbers} | _elsewhere(reader, rows, numbers)
        reached = {row.key: ends[numbers[row.key]] if row.key in numbers else None for row in rows}
    judged: list[_Row] = []
    for row in rows:
        end = reached[row.key]
        if row.key in known and row.key not in numbers:
            yield _found(_MISMATCH, "info", given, row, problem="the aggregate does not cover the stream")
        elif end is None or row.version > end:
            yield _found(_AHEAD, "error", given, row, reached=end)
        elif row.key not in numbers:
            yield _found(_MISMATCH, "error", given, row, problem="no event has such a key")
        elif row.position is None and given.noun == "position":
            yield _found(_MISMATCH, "error", given, row, problem="no event up to there has such a key")
        else:
            judged.append(row)
    _compare(given, judged)
    differing = {
        numbers[row.key]: [each for each in by_stream[numbers[row.key]] if each.differing]
        for row in judged
        if row.differing
    }
    _date(chosen, given, differing)
    for row in judged:
        if row.differing:
            yield _different(given, row)


def _read(events: Events, aggregate: Aggregate, said: SnapshotTable) -> Given:
    table = Table(events.con, said.table)
    by = key_columns(aggregate, said.key)
    at = said.version or ("position" if aggregate.keyed else "version")
    if said.version is None and at not in table.names:
        raise TableError(
            f'the table has no column "{at}" that says of what {at} its states are, but {", ".join(table.names)}: '
            f"es.SnapshotTable(table, version=…) names it, and log.reconcile() takes tables without one"
        )
    versions = []
    for row, value in enumerate(table.values(at)):
        number = plain(value)
        if isinstance(number, (float, Decimal)) and number == number // 1:
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool):
            raise TableError(f'row {row} of the table claims no {at} in "{at}", but {brief(value)}')
        versions.append(number)
    return Given(aggregate, said, table, by, at, stored_keys(events, aggregate, table, by), versions)


def _comparable(given: Given, facts: Facts) -> str | None:
    if given.aggregate.keyed:
        return "the source has no order: positions were issued on loading" if facts.positions == "issued" else None
    return "versions were numbered by the loader" if facts.derived_versions else None


def _numbers(chosen: Events, given: Given) -> dict[Key, int]:
    """The stream keys of the keys that the table has, of covered streams or of the read model's events."""
    wanted = set(given.keys)
    if given.aggregate.keyed:
        every = folded_keys(chosen, given.aggregate)
        return {key: number for number, key in every.items() if key in wanted}
    rows = chosen.rows(
        "select distinct stream_id, stream_key from events where stream_id in (select unnest($_ids::varchar[]))",
        _ids=sorted({key[0] for key in wanted}),
    )
    return {(name,): number for name, number in rows}


def _elsewhere(reader: Reader, rows: Iterable[_Row], numbers: Mapping[Key, int]) -> set[Key]:
    """Keys of streams that the log has, but the aggregate does not cover."""
    reader.parameters["strange"] = sorted({row.key[0] for row in rows if row.key not in numbers})
    if not reader.parameters["strange"]:
        return set()
    text = "select distinct stream_id from events where stream_id in (select unnest($strange::varchar[]))"
    return {(row["stream_id"],) for row in reader.rows(text)}


def _fold(chosen: Events, aggregate: Aggregate, by_stream: Mapping[int, list[_Row]]) -> dict[int, int]:
    """Set the state of each row, and give the last version of each stream."""
    ends: dict[int, int] = {}
    for rows in by_stream.values():
        rows.sort(key=attrgetter("version"))
    for number, stream in _streams(chosen, aggregate, by_stream):
        waiting = iter(by_stream[number])
        row = next(waiting, None)
        state, position = initial_state(aggregate), None
        for step in stream:
            while row is not None and row.version < step.event.version:
                row.state, row.position = state, position
                row = next(waiting, None)
            state, position = step.value, step.event.position
            ends[number] = step.event.version
        while row is not None:
            row.state, row.position = state, position
            row = next(waiting, None)
    return ends


def _streams(chosen: Events, aggregate: Aggregate, keys: Iterable[int]) -> Iterator[tuple[int, Iterator[Step]]]:
    inside = narrowed(chosen, "stream_key", keys)
    yield from groupby(steps(inside, aggregate, columns=()), key=attrgetter("key"))


def _compare(given: Given, rows: Sequence[_Row]) -> None:
    """Note in each row the fields that differ."""
    states = [row.state for row in rows]
    beside = (*given.by, given.at)
    columns = given.said.columns
    fields = {name for state in states for name in fields_of(state) or {}}
    if columns is None and "state" in given.table.names and not fields & {*given.table.names} - {*beside}:
        columns = {"": "state"}
    for pair in pairs(states, given.table, beside, columns, allowed(given.said.tolerances)):
        cells = given.table.values(pair.column)
        for row in rows:
            why = pair.mismatch(row.state, cells[row.number])
            if why is not None:
                row.differing[pair] = cells[row.number], why


def _date(chosen: Events, given: Given, differing: Mapping[int, Sequence[_Row]]) -> None:
    """Find for every stored value that differs the last version at which it was true."""
    if not differing:
        return
    for number, stream in _streams(chosen, given.aggregate, differing):
        for step in stream:
            for row in differing[number]:
                if step.event.version <= row.version:
                    for pair, (stored, _) in row.differing.items():
                        if pair.mismatch(step.value, stored) is None:
                            row.last_true[pair] = step.event.version


def _different(given: Given, row: _Row) -> Found:
    fields = {
        pair.field: {
            "expected": brief(pair.of(row.state)),
            "stored": brief(stored),
            "note": why,
            "last_true": row.last_true.get(pair),
        }
        for pair, (stored, why) in row.differing.items()
    }
    return _found(_MISMATCH, "error", given, row, fields=fields)


def _found(check: str, severity: str, given: Given, row: _Row, **detail: Any) -> Found:
    about: dict[str, Any] = {"aggregate": given.aggregate.name, "row": row.number, "claims": given.noun}
    if given.aggregate.keyed:
        about["key"] = dict(zip(key_columns(given.aggregate, None), row.key, strict=True))
    positions = () if row.position is None else (row.position,)
    return Found(
        check, severity, ", ".join(row.key), row.version, None, row.position, positions, len(positions), about | detail
    )

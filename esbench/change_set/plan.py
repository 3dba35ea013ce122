"""What a change set does: which rows go, come and change, in which columns, and on what it relies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from esbench.change_set.layout import Table
from esbench.errors import ExportError
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.pairs import Sides, different, sides

__all__ = ["Group", "Head", "Plan", "Positions", "planned"]

Positions = Literal["keep", "new"]

#: What is mostly unique in a table of events. A row that stands where another goes is moved aside first.
_UNIQUE = (("stream_id", "version"), ("event_id",), ("position",))
#: Versions up to here fit into the usual types.
_INTEGER = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Group:
    """Updates that set the same columns."""

    columns: tuple[str, ...]
    rows: int
    bits: int


@dataclass(frozen=True, slots=True)
class Head:
    """How many events a stream has, and its last version: before and after."""

    stream_id: str
    events: int
    last: int | None
    events_after: int
    last_after: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in TEMP tables of the cursor of ``both``.

    ``columns``: canonical to the table's. ``identity``: what a row must hold to be the one that the dry run saw.
    ``parked``: the columns of rows that step aside first. ``untold``: what differs in columns that the table has not.
    """

    both: Sides
    table: Table
    positions: Positions
    columns: Mapping[str, str]
    key: tuple[str, ...]
    identity: tuple[str, ...]
    deletes: int
    inserts: int
    groups: tuple[Group, ...]
    parked: tuple[Group, ...]
    untold: Mapping[str, int]
    streams: int
    total: int
    last: int | None

    @property
    def updates(self) -> int:
        """How many rows change."""
        return sum(group.rows for group in self.groups)

    @property
    def anew(self) -> bool:
        """Whether events are given new positions, so that nothing may have been added to the table anywhere."""
        return self.positions == "new" and "position" in self.columns

    @property
    def inserted(self) -> tuple[str, ...]:
        """The columns of new rows that come from the log."""
        given = set(self.table.generated) | ({"position"} if self.positions == "keep" else set())
        return tuple(name for name in self.columns if name not in given)

    def heads(self) -> Iterator[Head]:
        """The streams that are touched."""
        last = "max(version)" if "version" in self.columns else "null"
        for some in self.both.batches(
            f"""
            with before as (
                select stream_id, count(*) as events, {last} as last from old semi join touched using (stream_id)
                group by stream_id
            ),
            later as (
                select stream_id, count(*) as events, {last} as last from new semi join touched using (stream_id)
                group by stream_id
            )
            select stream_id, coalesce(before.events, 0), before.last, coalesce(later.events, 0), later.last
            from touched left join before using (stream_id) left join later using (stream_id)
            order by stream_id
            """
        ):
            for row in some:
                yield Head(*row)

    def rows(self, kind: str, values: Sequence[str], *, where: str = "true") -> Iterator[tuple[Any, ...]]:
        """SQL values of pairs, with the stream, version and type to name them by.

        ``values`` may speak of ``older``, ``newer`` and ``aside`` (where a row stands while others move). ``kind``:
        ``delete``, ``insert``, ``update`` or ``park``.
        """
        of = "newer" if kind == "insert" else "older"
        kinds = {
            "delete": "new_position is null",
            "insert": "old_position is null",
            "update": "bits is not null",
            "park": "bits is not null",
        }
        for some in self.both.batches(
            f"""
            select {", ".join([*values, f"{of}.stream_id", f"{of}.version", f"{of}.event_type"])}
            from differing
            left join old as older on older.position = old_position
            left join new as newer on newer.position = new_position
            left join parked as aside on aside.old_position = differing.old_position
            where {kinds[kind]} and {where}
            order by {of}.stream_id, {of}.version, {of}.position
            """
            if kind != "insert"
            else f"""
            select {", ".join([*values, "newer.stream_id", "newer.version", "newer.event_type"])}
            from differing join new as newer on newer.position = new_position
            where old_position is null and {where}
            order by newer.position
            """
        ):
            yield from some


@contextmanager
def planned(old: Events, new: Events, table: Table, positions: Positions) -> Iterator[Plan]:
    """Work out what differs. Raises ExportError where it cannot be told which row of the table an event is."""
    with sides(old, new) as both:
        columns = _columns(both, old, table)
        key = _key(table, columns)
        compared = [name for name in columns if name not in table.generated]
        if positions == "keep" and "position" in compared:
            compared.remove("position")
        untold = [n for n in CANONICAL if n not in columns and n not in ("position", "source_position")]
        _refuse_twins(both)
        different(both, "lineage", [*compared, *untold], merged=False)
        lost = _split_off(both, len(compared), untold)
        _refuse_unclear(both, key)
        parked = _park(both, compared)
        groups = [
            Group(tuple(name for bit, name in enumerate(compared) if bits >> bit & 1), rows, bits)
            for bits, rows in both.rows(
                "select bits, count(*) from differing where bits is not null group by bits order by bits"
            )
        ]
        both.keep(
            "touched",
            """
            select distinct stream_id from (
                select stream_id from old join differing on old_position = position
                union all
                select stream_id from new join differing on new_position = position
            )
            """,
        )
        ((deletes, inserts, streams, total, last),) = both.rows(
            """
            select
                (select count(*) from differing where new_position is null),
                (select count(*) from differing where old_position is null),
                (select count(*) from touched), (select count(*) from old), (select max(position) from old)
            """
        )
        identity = tuple(name for name in ("stream_id", "version", "event_id", "event_type") if name in columns)
        yield Plan(
            both,
            table,
            positions,
            columns,
            key,
            tuple(dict.fromkeys((*key, *identity))),
            deletes,
            inserts,
            tuple(groups),
            parked,
            lost,
            streams,
            total,
            last,
        )


def _columns(both: Sides, old: Events, table: Table) -> dict[str, str]:
    """The columns that the table has."""
    names = ", ".join(f"(select count({name}) from {log})" for name in CANONICAL for log in ("old", "new"))
    held = both.rows(f"select {names}")[0]
    found = {}
    for n, name in enumerate(CANONICAL):
        default = name if held[2 * n] or held[2 * n + 1] else None
        if name == "source_position" or (name == "position" and old.facts.positions != "recorded"):
            default = None
        column = table.columns.get(name, default)
        if column is not None:
            found[name] = column
    if "position" in found and old.facts.positions != "recorded":
        raise ExportError(
            "the log's positions are not those of its source (facts.positions), so they name no row: "
            'columns={"position": None}, and key=("event_id",) or ("stream_id", "version"); a column that was kept as '
            'source_position is named so: columns={"source_position": …}'
        )
    if "version" in found and old.facts.derived_versions:
        raise ExportError('versions were numbered by the loader, the source has none: columns={"version": None}')
    for name in ("stream_id", "event_type"):
        if name not in found:
            raise ExportError(f'a table of events has a column for "{name}"')
    if len({column.lower() for column in found.values()}) < len(found):
        raise ExportError(f"columns: two of them are one: {', '.join(found.values())}")
    return found


def _key(table: Table, columns: Mapping[str, str]) -> tuple[str, ...]:
    if table.key:
        if missing := [name for name in table.key if name not in columns]:
            raise ExportError(f'key: the table has no column for "{missing[0]}"')
        return tuple(table.key)
    for key in (("position",), ("event_id",), ("stream_id", "version")):
        if all(name in columns for name in key):
            return key
    raise ExportError("key: nothing tells rows apart; name the columns that do")


def _refuse_twins(both: Sides) -> None:
    found = both.rows(
        """
        select origin from new where source = 0 and nth = 0 and origin is not null
        group by origin having count(*) > 1 order by origin limit 1
        """
    )
    if found:
        raise ExportError(f"several events of the new log are the event at position {found[0][0]} of the old one")


def _split_off(both: Sides, bits: int, untold: Sequence[str]) -> dict[str, int]:
    """Count what differs in columns that the table has not, and leave that out of the differing pairs."""
    if not untold:
        return {}
    counts = both.rows(
        "select "
        + ", ".join(
            f"count(*) filter (bits >> {bits + n} & 1 = 1 or (bits is null and newer.{name} is not null))"
            for n, name in enumerate(untold)
        )
        + " from differing left join new as newer on newer.position = new_position"
    )[0]
    both.keep(
        "differing",
        f"""
        select old_position, new_position, bits & {(1 << bits) - 1} as bits
        from differing where bits is null or bits & {(1 << bits) - 1} <> 0
        """,
    )
    return {name: count for name, count in zip(untold, counts, strict=True) if count}


def _refuse_unclear(both: Sides, key: Sequence[str]) -> None:
    """Rows are found by their key: it must not be NULL, nor that of another row."""
    both.keep("meant", f"select position, {_with(key)} from old where position in (select old_position from differing)")
    empty = " or ".join(f"meant.{name} is null" for name in key)
    found = both.rows(
        f"""
        select min(position) from meant where {empty}
        union all
        select min(old.position) from old semi join meant using ({", ".join(key)})
        group by {", ".join(f"old.{name}" for name in key)} having count(*) > 1
        """
    )
    if unclear := sorted(position for (position,) in found if position is not None):
        raise ExportError(
            f"key ({', '.join(key)}): {len(unclear):,} keys are NULL or those of several rows, so the rows cannot be "
            f"told apart; the first is that of the event at position {unclear[0]}: name other columns, Table(key=…)"
        )


def _with(key: Sequence[str]) -> str:
    return ", ".join(f"{name} as {name}_" if name == "position" else name for name in key)


def _park(both: Sides, compared: Sequence[str]) -> tuple[Group, ...]:
    """Choose who steps aside: rows that move and stand where another is to go. Makes the TEMP table ``parked``."""
    both.keep(
        "parked",
        """
        select null::bigint as old_position, null::bigint as version, null::varchar as event_id,
            null::bigint as position
        limit 0
        """,
    )
    for place in _UNIQUE:
        bits = sum(1 << bit for bit, name in enumerate(compared) if name in place)
        if set(place) <= set(compared):
            _park_at(both, place, bits)
    # Who steps aside in a column gets it back, also where only the stream changes and the version does not.
    restored = "".join(
        f" | (case when parked.{name} is null then 0 else {1 << bit} end)"
        for bit, name in enumerate(compared)
        if name in ("version", "event_id", "position")
    )
    both.keep(
        "differing",
        f"""
        select differing.old_position, new_position, bits{restored} as bits
        from differing left join parked on parked.old_position = differing.old_position
        """,
    )
    names = [place[-1] for place in _UNIQUE]
    combined = both.rows(
        f"select {', '.join(f'{name} is not null' for name in names)}, count(*) from parked group by all order by all"
    )
    return tuple(
        Group(tuple(name for name, there in zip(names, row, strict=False) if there), row[-1], 0) for row in combined
    )


def _park_at(both: Sides, place: Sequence[str], bits: int) -> None:
    moved = place[-1]
    both.keep(
        "moved",
        f"""
        with going as (
            select {", ".join(f"newer.{name}" for name in place)}
            from differing join new as newer on newer.position = new_position
            where old_position is null or bits & {bits} <> 0
        )
        select position as place, row_number() over (order by position) as number
        from (select * from old where position in (select old_position from differing where bits & {bits} <> 0))
        semi join going using ({", ".join(place)})
        """,
    )
    (bounds,) = both.rows(
        f"""
        select count(*), {
            ", ".join(
                f"{outer}({start}(select {inner}({name}) from old), (select {inner}({name}) from new))"
                for name in ("version", "position")
                for outer, inner, start in (("greatest", "max", ""), ("least", "min", "0, "))
            )
        }
        from moved
        """
    )
    rows, highest, lowest, _, lowest_position = bounds
    value = {
        # Above all others where that fits: what tables forbid are negative versions.
        "version": f"{highest} + number" if highest + rows <= _INTEGER else f"{lowest} - number",
        "event_id": "md5('esbench ' || place)::uuid::varchar",
        "position": f"{lowest_position} - number",
    }[moved]
    columns = ", ".join(f"{value if name == moved else name} as {name}" for name in ("version", "event_id", "position"))
    both.keep(
        "parked",
        f"""
        select coalesce(old_position, place) as old_position, {columns}
        from parked full join moved on old_position = place
        """,
    )

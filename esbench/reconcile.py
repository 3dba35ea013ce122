"""Reconciling: the fold against a table that says the same, such as a read model or snapshots, value by value."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd

from esbench import payload
from esbench.aggregate import Aggregate
from esbench.errors import nearest
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold import keyed
from esbench.fold.changes import ABSENT, brief, fields_of
from esbench.fold.frames import moments
from esbench.fold.python import initial_state, steps
from esbench.stored import UNSURE, Table, TableError, Tolerance, mismatch
from esbench.travel import surveyed, values

__all__ = ["reconcile"]

_END = At()


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is compared: a path of the state, and the column that should hold the same."""

    field: str
    steps: tuple[str, ...]
    column: str
    tolerance: Tolerance | None = None

    def of(self, state: Any) -> Any:
        """The value of a state at the path, or ABSENT."""
        for step in self.steps:
            fields = fields_of(state)
            state = payload.get(state, [step], ABSENT) if fields is None else fields.get(step, ABSENT)
        return state


@dataclass(slots=True)
class _Row:
    """One row of the answer."""

    key: str
    problem: str
    pair: _Pair | None = None
    expected: Any = pd.NA
    stored: Any = pd.NA
    note: str = ""
    true: Event | None = None


def reconcile(
    events: Events,
    aggregate: Aggregate,
    table: object,
    *,
    key: str = "stream_id",
    at: At = _END,
    columns: Mapping[str, str] | None = None,
    tolerances: Mapping[str, Tolerance | float] | None = None,
    forks: str = "all",
) -> pd.DataFrame:
    """Compare the states of all streams at a coordinate with a table; one row for everything that is not the same.

    ``table``: a DataFrame, an Arrow table, a DuckDB relation, or the name of a table in the bench; ``key`` is its
    column of stream ids, each at most once. ``columns``: field or path of the state to column of the table; unless
    given, all fields that have a column of their name. ``tolerances``: column to how far its numbers may be off,
    absolutely (a timedelta for times). What counts as equal, :func:`~esbench.stored.mismatch` says.

    Columns: ``key``; ``problem``, which is ``missing`` in the table, ``extra`` in it, or ``different``; ``field``,
    ``expected`` (by the fold) and ``stored``; ``last_true_version`` and ``last_true_at``, when the stored value was
    that of the fold for the last time, so how stale it is (missing if it never was); ``note``. Its ``attrs`` count
    ``streams``, table ``rows``, and values ``compared``, ``equal``, ``different``, keys ``missing``, ``extra``. No rows
    means that values were compared and all are equal: where there is nothing to compare, it raises TableError, and
    so it does for unknown columns and for keys that are repeated or missing.
    """
    stored = Table(events.con, table)
    rows = _by_key(stored, key)
    chosen = keyed.chosen(events, aggregate, at=[at], forks=forks)
    folded = {name: (number, value) for number, (name, value) in values(chosen, aggregate, at, forks).items()}
    if not folded and not rows:
        raise TableError(f"nothing to compare: no stream has events at {at}, and the table has no rows")
    pairs = _pairs([value for _, value in folded.values()], stored, key, columns, _tolerances(tolerances))
    cells = {pair.column: stored.values(pair.column) for pair in pairs}
    result: list[_Row] = []
    differing: dict[int, list[_Row]] = defaultdict(list)
    compared = 0
    for name in sorted({*folded, *rows}):
        if name not in rows:
            result.append(_Row(name, "missing", expected=folded[name][1]))
        elif name not in folded:
            result.append(_Row(name, "extra", stored={each: _shown(cells[each][rows[name]]) for each in cells}))
        else:
            number, state = folded[name]
            for pair in pairs:
                compared += 1
                expected, cell = pair.of(state), cells[pair.column][rows[name]]
                why = mismatch(expected, cell, pair.tolerance)
                if why is not None:
                    result.append(_Row(name, "different", pair, expected, cell, why))
                    differing[number].append(result[-1])
    _date(chosen, aggregate, at, forks, differing)
    _explain(events, chosen, at, [row for row in result if row.problem == "extra"])
    counts = Counter(row.problem for row in result)
    frame = _frame(result)
    frame.attrs = {
        "streams": len(folded),
        "rows": len(rows),
        "compared": compared,
        "equal": compared - counts["different"],
        **{problem: counts[problem] for problem in ("different", "missing", "extra")},
    }
    return frame


def _by_key(table: Table, key: str) -> dict[str, int]:
    """The row of each key."""
    result: dict[str, int] = {}
    for row, value in enumerate(table.values(key)):
        if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
            raise TableError(f'row {row} of the table has no stream id in "{key}", but {brief(value)}')
        if str(value) in result:
            raise TableError(
                f'rows {result[str(value)]} and {row} of the table both have {brief(value)} in "{key}": there must be '
                "one row a stream"
            )
        result[str(value)] = row
    return result


def _pairs(
    states: list[Any],
    table: Table,
    key: str,
    columns: Mapping[str, str] | None,
    tolerances: Mapping[str, Tolerance],
) -> list[_Pair]:
    """What is compared with what. Raises TableError where that is nothing, or names what is not there."""
    fields = dict.fromkeys(name for state in states for name in fields_of(state) or {})
    if columns is None:
        columns = {name: name for name in fields if name in table.names and name != key}
    if not columns and states:
        raise TableError(
            f"nothing to compare: of the state's fields ({', '.join(fields) or 'none'}) the table has no column "
            f'({", ".join(table.names)}); columns={{"field": "column"}} pairs them'
        )
    for column in columns.values():
        table.require(column)
    for column in tolerances:
        if column not in columns.values():
            raise TableError(
                f'tolerances: column "{column}" is not compared.{nearest(column, columns.values())} Compared: '
                f"{', '.join(columns.values())}"
            )
    pairs = [_Pair(name, _path(name), column, tolerances.get(column)) for name, column in columns.items()]
    for pair in pairs:
        if states and all(pair.of(state) is ABSENT for state in states):
            known = nearest(pair.field, fields) or f" States have {', '.join(fields) or 'no named fields'}."
            raise TableError(f'no state has "{pair.field}".{known}')
    return pairs


def _path(name: str) -> tuple[str, ...]:
    return payload.pointer(name) if name == "" or name.startswith("/") else (name,)


def _tolerances(given: Mapping[str, Tolerance | float] | None) -> dict[str, Tolerance]:
    result: dict[str, Tolerance] = {}
    for column, value in (given or {}).items():
        if isinstance(value, timedelta):
            good, result[column] = value >= timedelta(), value
        elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            # By its text: who writes 0.01 does not mean the float next to it.
            result[column] = number = Decimal(str(value))
            good = number.is_finite() and number >= 0
        else:
            good = False
        if not good:
            raise TableError(f'tolerances: "{column}" may be off by a number, or a timedelta, not by {value!r}')
    return result


def _date(chosen: Events, aggregate: Aggregate, at: At, forks: str, differing: Mapping[int, Iterable[_Row]]) -> None:
    """Find for every stored value that differs the last event after which it was true."""
    if not differing:
        return
    name = f"_keys{len(chosen.parameters)}"
    some = chosen.where(f"stream_key in (select unnest(${name}))", **{name: sorted(differing)})
    start = initial_state(aggregate)
    for row in (row for rows in differing.values() for row in rows):
        if _holds(row, start):
            row.note = "; ".join(filter(None, (row.note, "as before the first event")))
    for step in steps(surveyed(some, aggregate, at, forks)[1], aggregate, columns=("recorded_at",)):
        for row in differing[step.key]:
            if _holds(row, step.value):
                row.true = step.event


def _holds(row: _Row, state: Any) -> bool:
    return row.pair is not None and mismatch(row.pair.of(state), row.stored, row.pair.tolerance) is None


def _explain(events: Events, chosen: Events, at: At, extra: list[_Row]) -> None:
    """Say of keys that only the table has whether the log has such a stream at all."""
    if not extra:
        return
    of_all, of_covered = (
        {
            name
            for (name,) in one.rows(
                "select distinct stream_id from events where stream_id in (select unnest($ids::varchar[]))",
                ids=[row.key for row in extra],
            )
        }
        for one in (events, chosen)
    )
    for row in extra:
        if row.key in of_covered:
            row.note = f"no events at {at}"
        else:
            row.note = "not covered by the aggregate" if row.key in of_all else "no such stream"


def _shown(value: Any) -> Any:
    return math.nan if value is UNSURE else value


def _frame(rows: list[_Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": pd.Series([row.key for row in rows], dtype="str"),
            "problem": pd.Series([row.problem for row in rows], dtype="str"),
            "field": pd.Series([row.pair and row.pair.field for row in rows], dtype="str"),
            "expected": pd.Series([row.expected for row in rows], dtype="object"),
            "stored": pd.Series([_shown(row.stored) for row in rows], dtype="object"),
            "last_true_version": pd.Series([row.true and row.true.version for row in rows], dtype="Int64"),
            "last_true_at": moments(None if row.true is None else row.true.recorded_at for row in rows),
            "note": pd.Series([row.note for row in rows], dtype="str"),
        }
    )

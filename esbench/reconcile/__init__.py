"""Reconciling: the fold against a table that says the same, such as a read model or snapshots, value by value."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold import keyed
from esbench.fold.changes import brief
from esbench.fold.frames import moments
from esbench.fold.python import initial_state, steps
from esbench.projection import Projection
from esbench.reconcile.keys import Key, folded_keys, key_columns, known_keys, named, stored_keys
from esbench.reconcile.pairs import Pair, allowed, pairs
from esbench.stored import UNSURE, Table, TableError, Tolerance
from esbench.travel import surveyed, values

__all__ = ["reconcile"]

_END = At()


@dataclass(slots=True)
class _Row:
    """One row of the answer."""

    key: Key
    problem: str
    pair: Pair | None = None
    expected: Any = pd.NA
    stored: Any = pd.NA
    note: str = ""
    true: Event | None = None


def reconcile(
    events: Events,
    aggregate: Aggregate,
    table: object,
    *,
    key: str | Sequence[str] | None = None,
    at: At = _END,
    columns: Mapping[str, str] | None = None,
    tolerances: Mapping[str, Tolerance | float] | None = None,
    forks: str = "all",
) -> pd.DataFrame:
    """Compare the states of all streams at a coordinate with a table; one row for everything that is not the same.

    ``table``: a DataFrame, an Arrow table, a DuckDB relation, or the name of a table in the bench. ``key`` is its
    column of stream ids, or of a read model's key (a list where that has several parts); unless given, ``stream_id``
    or the parts by their names. Each key stands there at most once. ``columns``: field or path of the state to column
    of the table; unless given, all fields that have a column of their name. ``tolerances``: column to how far its
    numbers may be off, absolutely (a timedelta for times). What counts as equal, :func:`~esbench.stored.mismatch` says.

    Columns: ``key`` (a tuple of texts where it has several parts); ``problem``, which is ``missing`` in the table,
    ``extra`` in it, or ``different``; ``field``, ``expected`` (by the fold) and ``stored``; ``last_true_version`` (of
    a read model ``last_true_position``) and ``last_true_at``, when the stored value was that of the fold for the last
    time, so how stale it is (missing if it never was); ``note``. Its ``attrs`` count ``streams`` (or ``keys``, and
    events with a ``missing_key``), table ``rows``, and values ``compared``, ``equal``, ``different``, keys
    ``missing``, ``extra``. No rows means that values were compared and all are equal: where there is nothing to
    compare, it raises TableError, and so it does for unknown columns and for keys that are repeated or missing.
    """
    stored = Table(events.con, table)
    chosen = keyed.chosen(events, aggregate, at=[at], forks=forks)
    by = key_columns(aggregate, key)
    rows = _by_key(stored_keys(events, aggregate, stored, by), by)
    of_events = folded_keys(chosen, aggregate) if aggregate.keyed else {}
    folded = {
        of_events[number] if aggregate.keyed else (name,): (number, value)
        for number, (name, value) in values(chosen, aggregate, at, forks).items()
    }
    if not folded and not rows:
        noun = "key" if aggregate.keyed else "stream"
        raise TableError(f"nothing to compare: no {noun} has events at {at}, and the table has no rows")
    compared_pairs = pairs([value for _, value in folded.values()], stored, by, columns, allowed(tolerances))
    cells = {pair.column: stored.values(pair.column) for pair in compared_pairs}
    result: list[_Row] = []
    differing: dict[int, list[_Row]] = defaultdict(list)
    compared = 0
    for one in sorted({*folded, *rows}):
        if one not in rows:
            result.append(_Row(one, "missing", expected=folded[one][1]))
        elif one not in folded:
            result.append(_Row(one, "extra", stored={each: _shown(cells[each][rows[one]]) for each in cells}))
        else:
            number, state = folded[one]
            for pair in compared_pairs:
                compared += 1
                cell = cells[pair.column][rows[one]]
                why = pair.mismatch(state, cell)
                if why is not None:
                    result.append(_Row(one, "different", pair, pair.of(state), cell, why))
                    differing[number].append(result[-1])
    _date(chosen, aggregate, at, forks, differing)
    extra = [row for row in result if row.problem == "extra"]
    if aggregate.keyed:
        _explain_keys(of_events.values(), at, extra)
    else:
        _explain(events, chosen, at, extra)
    counts = Counter(row.problem for row in result)
    frame = _frame(result, "position" if aggregate.keyed else "version")
    frame.attrs = {
        "keys" if aggregate.keyed else "streams": len(folded),
        **(
            {"missing_key": keyed.without_key(events, aggregate, at)}
            if isinstance(aggregate, Projection) and aggregate.keyed
            else {}
        ),
        "rows": len(rows),
        "compared": compared,
        "equal": compared - counts["different"],
        **{problem: counts[problem] for problem in ("different", "missing", "extra")},
    }
    return frame


def _by_key(keys: Iterable[Key], columns: Sequence[str]) -> dict[Key, int]:
    """The row of each key."""
    result: dict[Key, int] = {}
    for row, key in enumerate(keys):
        if key in result:
            among = ", ".join(f'"{name}"' for name in columns)
            raise TableError(
                f"rows {result[key]} and {row} of the table both have {brief(named(key))} in {among}: there must be "
                "one row a key"
            )
        result[key] = row
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
    return row.pair is not None and row.pair.mismatch(state, row.stored) is None


def _explain(events: Events, chosen: Events, at: At, extra: list[_Row]) -> None:
    """Say of ids that only the table has whether the log has such a stream at all."""
    if not extra:
        return
    of_all, of_covered = (known_keys(one, [row.key[0] for row in extra]) for one in (events, chosen))
    for row in extra:
        if row.key[0] in of_covered:
            row.note = f"no events at {at}"
        else:
            row.note = "not covered by the aggregate" if row.key[0] in of_all else "no such stream"


def _explain_keys(known: Collection[Key], at: At, extra: list[_Row]) -> None:
    """Say of keys that only the table has whether the log has such a key at all."""
    there = set(known)
    for row in extra:
        row.note = f"no events at {at}" if row.key in there else "no such key"


def _shown(value: Any) -> Any:
    return math.nan if value is UNSURE else value


def _frame(rows: list[_Row], place: str) -> pd.DataFrame:
    several = any(len(row.key) > 1 for row in rows)
    return pd.DataFrame(
        {
            "key": pd.Series([named(row.key) for row in rows], dtype="object" if several else "str"),
            "problem": pd.Series([row.problem for row in rows], dtype="str"),
            "field": pd.Series([row.pair and row.pair.field for row in rows], dtype="str"),
            "expected": pd.Series([row.expected for row in rows], dtype="object"),
            "stored": pd.Series([_shown(row.stored) for row in rows], dtype="object"),
            f"last_true_{place}": pd.Series([row.true and row.true.version for row in rows], dtype="Int64"),
            "last_true_at": moments(None if row.true is None else row.true.recorded_at for row in rows),
            "note": pd.Series([row.note for row in rows], dtype="str"),
        }
    )

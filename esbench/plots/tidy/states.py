"""The numbers of a history, what is wrong along it, and what differs between two states."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

from esbench.errors import EsbenchError, nearest
from esbench.fold.changes import ABSENT, brief
from esbench.plots.tidy.given import is_tidy

__all__ = ["damage", "number", "state_diff", "state_history"]

_EVENT = ("version", "position", "event_id", "event_type", "recorded_at", "changed", "trust", "broken")


def number(value: Any) -> float:
    """A number as it can be drawn, NaN for anything else; a picture needs no more digits than a float has.

    >>> number(Decimal("1.10")), number(7), number("7"), number(True), number(10**400)
    (1.1, 7.0, nan, nan, inf)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, np.integer, np.floating)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (ValueError, InvalidOperation):
        return math.nan


def state_history(history: pd.DataFrame, *, fields: Iterable[str] | None = None) -> pd.DataFrame:
    """The numbers of a history (``log.history(…)``), one row an event and field.

    Columns: ``version``, ``recorded_at``, ``event_type``, ``field``, ``value`` (a float; NaN where the state has no
    number there). Without ``fields``, every field of the state that ever is a number. Raises EsbenchError for anything
    but a history, and for a field that the state does not have.

    >>> history = pd.DataFrame(
    ...     {"version": [1, 2], "event_type": ["Made", "Sold"], "stock": [None, 5], "name": ["a", "b"]}
    ... )
    >>> state_history(history)[["version", "field", "value"]].values.tolist()
    [[1, 'stock', nan], [2, 'stock', 5.0]]
    """
    if not is_tidy(history, ("version", "event_type")):
        raise EsbenchError("this plot takes a history: log.history(aggregate, stream)")
    known = [name for name in history.columns if name not in _EVENT]
    for name in () if fields is None else (fields := list(fields)):
        if name not in known:
            raise EsbenchError(f'the state has no field "{name}".{nearest(str(name), map(str, known))}')
    columns = {
        name: [number(value) for value in history[name].tolist()] for name in known if fields is None or name in fields
    }
    chosen = [
        name
        for name in (known if fields is None else fields)
        if fields is not None or not all(map(math.isnan, columns[name]))
    ]
    times = history["recorded_at"] if "recorded_at" in history else pd.Series(pd.NaT, history.index)
    parts = [
        pd.DataFrame(
            {
                "version": history["version"].to_numpy(),
                "recorded_at": times.to_numpy() if times.dtype == object else times.reset_index(drop=True),
                "event_type": history["event_type"].to_numpy(),
                "field": str(name),
                "value": columns[name],
            }
        )
        for name in chosen
    ]
    names = ("version", "recorded_at", "event_type", "field", "value")
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(names))


def damage(history: pd.DataFrame) -> pd.DataFrame:
    """Where along a history something is wrong: ``row`` (from 0), ``version``, ``kind``, ``text``.

    ``kind`` is ``trust`` where the state gets another mark (``text`` is what it is past from there on), ``broken`` for
    every event after which an invariant does not hold.

    >>> trust = ["complete", "past version-fork 3", "past version-fork 3"]
    >>> damage(pd.DataFrame({"version": [2, 3, 4], "trust": trust, "broken": ["", "", "n >= 0"]})).values.tolist()
    [[1, 3, 'trust', 'past version-fork 3'], [2, 4, 'broken', 'n >= 0']]
    """
    rows: list[tuple[int, int, str, str]] = []
    before = "complete"
    empty = [""] * len(history)
    trusts = history["trust"].tolist() if "trust" in history else empty
    brokens = history["broken"].tolist() if "broken" in history else empty
    for place, (version, trust, broken) in enumerate(zip(history["version"].tolist(), trusts, brokens, strict=True)):
        if trust and trust != before:
            rows.append((place, version, "trust", trust))
        if broken:
            rows.append((place, version, "broken", broken))
        before = trust or before
    return pd.DataFrame(rows, columns=["row", "version", "kind", "text"])


def state_diff(diff: pd.DataFrame, *, limit: int = 30) -> pd.DataFrame:
    """The first rows of a diff (``log.diff(…)``, ``branch.diff(…)``, ``log.blame`` has none) as they can be drawn.

    Columns: ``name`` (the path, after the stream where the diff is of several), ``kind`` (``added``, ``removed``,
    ``changed``), ``before`` and ``after`` as short texts, ``from_number`` and ``to_number`` where they are numbers.
    ``attrs["paths"]`` counts all rows.

    >>> tidy = state_diff(pd.DataFrame({"path": ["/n"], "before": [5], "after": [-2]}))
    >>> tidy.values.tolist()
    [['/n', 'changed', '5', '-2', 5.0, -2.0]]
    """
    if not is_tidy(diff, ("path", "before", "after")):
        raise EsbenchError("this plot takes a diff: log.diff(aggregate, es.at(version=2), es.at(version=7), stream=…)")
    several = "stream_id" in diff
    rows = []
    for row in diff.head(limit).to_dict("records"):
        before, after = row["before"], row["after"]
        kind = "added" if before is ABSENT else "removed" if after is ABSENT else "changed"
        name = row["path"] or "(the whole state)"
        texts = ["" if value is ABSENT else brief(value) for value in (before, after)]
        rows.append((f"{row['stream_id']} {name}" if several else name, kind, *texts, number(before), number(after)))
    tidy = pd.DataFrame(rows, columns=["name", "kind", "before", "after", "from_number", "to_number"])
    tidy.attrs = {"paths": len(diff)}
    return tidy

"""What a migration changes in events, grouped by the shape of the change: which columns, which paths, how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from esbench import payload
from esbench.event import CANONICAL
from esbench.fold.changes import ABSENT, changes
from esbench.migrate.running import Result

__all__ = ["Differences", "differences"]

#: So many changed events are looked at; beyond that a part of them that depends on their positions alone.
LIMIT = 50_000
#: And not many more bytes of payloads than this, but so many events at least.
_BYTES, _FEW = 64_000_000, 500
#: So many shapes are told.
_SHAPES = 1_000
_TEXTS = ("data", "metadata")
#: Versions move where a stream closes up, which is no change of the event.
_PLAIN = tuple(name for name in CANONICAL if name not in ("position", "version", *_TEXTS))


@dataclass(frozen=True, slots=True)
class Differences:
    """``groups``: one row a shape, commonest first; ``compared`` of ``changed`` events were looked at.

    Columns of ``groups``: ``event_type`` (before), ``shape``, ``events``, ``position`` (of the first example, in the
    source), ``before`` and ``after`` (what changed there).
    """

    groups: pd.DataFrame
    compared: int
    changed: int


def differences(result: Result, changed: int, *, limit: int = LIMIT) -> Differences:
    """How events differ from the ones that they come from, those that a split or a merge made as well.

    ``changed``: how many rows a step changed.
    """
    if not changed:
        return Differences(_frame([]), 0, 0)
    work = result.work.events
    if changed > _FEW:
        ((size,),) = result.source.rows("select avg(strlen(data) + coalesce(strlen(metadata), 0)) from events")
        limit = max(_FEW, min(limit, int(_BYTES / max(size or 0, 1))))
    # By a hash, because every tenth event of a log may well be of one type; of a column that no step has to make.
    share = "" if changed <= limit else f"and hash(origin) % {changed} < {limit}"
    columns = ", ".join(("source", "origin", *_PLAIN, *(f"{name}::varchar as {name}" for name in _TEXTS)))
    after = work.arrow(
        f"select {columns} from events where steps <> 0 and origin is not null {share} order by source, origin, nth"
    )
    after = after.filter([source == 0 for source in after["source"].to_pylist()])
    own = ", ".join(("position", *_PLAIN, *(f"{name}::varchar as {name}" for name in _TEXTS)))
    before = result.source.arrow(
        f"select {own} from events where position in (select unnest($_wanted)) order by position",
        _wanted=after["origin"].to_pylist(),
    )
    olds = {row["position"]: row for row in _rows(before)}
    news = list(_rows(after))
    # An event that keeps its id is the one that others were inserted beside.
    stay = {new["origin"] for new in news if new["event_id"] == olds[new["origin"]]["event_id"]}
    groups: dict[tuple[Any, ...], list[Any]] = {}
    compared = 0
    for new in news:
        old = olds[new["origin"]]
        compared += 1
        if new["origin"] in stay and new["event_id"] != old["event_id"]:
            found = [(f"{new['event_type']} beside it", ABSENT, new["data"])]
            shape: tuple[str, ...] = (f"{new['event_type']} inserted beside it",)
        else:
            found = list(_changes(old, new))
            shape = tuple(_shape(found))
        group = groups.setdefault((old["event_type"], shape), [0, new["origin"], found])
        group[0] += 1
    commonest = sorted(groups.items(), key=lambda item: (-item[1][0], str(item[0])))[:_SHAPES]
    return Differences(_frame(commonest), compared, changed)


def _frame(listed: list[tuple[tuple[Any, ...], list[Any]]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event_type": pd.Series([key[0] for key, _ in listed], dtype="str"),
            "shape": pd.Series(["; ".join(key[1]) or "only its version" for key, _ in listed], dtype="str"),
            "events": pd.Series([group[0] for _, group in listed], dtype="int64"),
            "position": pd.Series([group[1] for _, group in listed], dtype="int64"),
            "before": pd.Series(
                [{path: one for path, one, _ in group[2] if one is not ABSENT} for _, group in listed],
                dtype="object",
            ),
            "after": pd.Series(
                [{path: other for path, _, other in group[2] if other is not ABSENT} for _, group in listed],
                dtype="object",
            ),
        }
    )


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    names = [name for name in table.column_names if name not in ("recorded_at", "occurred_at")]
    times = [name for name in table.column_names if name in ("recorded_at", "occurred_at")]
    columns = [table[name].to_pylist() for name in names]
    columns += [table[name].cast("int64").to_pylist() for name in times]
    for values in zip(*columns, strict=True):
        yield dict(zip((*names, *times), values, strict=True))


def _changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs: columns by their names, payloads by their paths."""
    for name in _PLAIN:
        if old[name] != new[name]:
            yield name, old[name], new[name]
    for name in _TEXTS:
        if old[name] == new[name]:
            continue
        prefix = "" if name == "data" else "metadata "
        if old[name] is None or new[name] is None:
            yield f"{prefix}payload", old[name], new[name]
            continue
        found = list(changes(payload.decode(old[name]), payload.decode(new[name])))
        for change in found:
            yield f"{prefix}{change.path or '/'}", change.before, change.after
        if not found:
            yield f"{prefix}text", old[name], new[name]


def _shape(found: Iterable[tuple[str, Any, Any]]) -> Iterator[str]:
    """Changes in words that are the same for every event of their shape: paths that are added, removed, changed."""
    said: dict[str, dict[str, None]] = {"changed": {}, "removed": {}, "added": {}}
    for path, before, after in found:
        what = "added" if before is ABSENT else "removed" if after is ABSENT else "changed"
        said[what]["/".join("*" if step.isdigit() else step for step in path.split("/"))] = None
    for what, paths in said.items():
        if paths:
            yield f"{', '.join(paths)} {what}"

"""The reference's checks of payloads: each event decoded, each field looked at, in position order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.oracle_fold import Row, groups, position_order
from tests.oracle_structure import Found, found

__all__ = ["drift", "duplicate_keys"]

_DEPTH = 8
_ENOUGH = 5


class _Pairs(list[tuple[str, Any]]):
    """An object with its members as they come."""


def duplicate_keys(rows: Sequence[Row]) -> list[Found]:
    """duplicate-key, warning: one an event type and path of a member whose name stood in its object before.

    Items of lists have the step ``*``. Its event: the first in position order. Evidence: all events that have it.
    """
    by_path: dict[tuple[str, str], list[Row]] = {}
    for row in position_order(rows):
        if row.data_text is not None:
            for path in dict.fromkeys(_twice("", json.loads(row.data_text, object_pairs_hook=_Pairs))):
                by_path.setdefault((row.event_type, path), []).append(row)
    return [
        found("duplicate-key", "warning", some[0], some, event_type=event_type, path=path)
        for (event_type, path), some in by_path.items()
    ]


def _twice(path: str, value: Any) -> Iterator[str]:
    seen = set()
    members = value if isinstance(value, _Pairs) else [("*", item) for item in value] if isinstance(value, list) else []
    for name, member in members:
        inner = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, _Pairs) and name in seen:
            yield inner
        seen.add(name)
        yield from _twice(inner, member)


def drift(rows: Sequence[Row]) -> list[Found]:
    """schema-drift, for the payloads of one event type and schema version, at every path through objects (8 deep).

    Looked at are the events in which an object stands around the field; of equal names the first counts.
    ``type``, warning: the field has values of two types, nulls aside. Its event: the first of the second type; beside
    it the first of the first. ``appears``, info: at least 5 events have the field (null too), at least 5 have it not,
    and all of the latter come before all of the former. Its event: the first that has it; beside it the last that has
    not. ``disappears``, warning: the same the other way round.
    """
    result = []
    with_payload = [row for row in position_order(rows) if row.data_text is not None]
    for (event_type, version), some in groups(with_payload, lambda row: (row.event_type, row.schema_version)).items():
        values = [(row, json.loads(row.data_text or "", object_pairs_hook=_first)) for row in some]
        for path, problem, old, new, before, row in _changes("", values, 0):
            finding = found(
                "schema-drift", "info" if problem == "appears" else "warning", row, [before, row],
                event_type=event_type, schema_version=version, path=path, problem=problem,
            )  # fmt: skip
            result.append(finding._replace(detail={**finding.detail, "from": old, "to": new}))
    return result


def _changes(path: str, values: list[tuple[Row, Any]], depth: int) -> Iterator[tuple[str, str, str, str, Row, Row]]:
    """``values``: of each event in which the field could stand what it has, ... where it has none."""
    first: dict[str, Row] = {}
    for row, value in values:
        if value is not ... and value is not None:
            first.setdefault(_kind(value), row)
    if len(first) > 1:
        (old, before), (new, row) = list(first.items())[:2]
        yield path, "type", old, new, before, row
    there = [value is not ... for _, value in values]
    turn = next((n for n in range(1, len(there)) if there[n] != there[n - 1]), 0)
    if turn >= _ENOUGH and len(there) - turn >= _ENOUGH and len(set(there[turn:])) == 1:
        problem, *words = (
            ("appears", "no such field", "a field") if there[turn] else ("disappears", "a field", "no such field")
        )
        yield path, problem, words[0], words[1], values[turn - 1][0], values[turn][0]
    if depth < _DEPTH:
        objects = [(row, value) for row, value in values if isinstance(value, dict)]
        for name in sorted({name for _, value in objects for name in value}):
            inner = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _changes(inner, [(row, value.get(name, ...)) for row, value in objects], depth + 1)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "text" if isinstance(value, str) else "an object" if isinstance(value, dict) else "a list"

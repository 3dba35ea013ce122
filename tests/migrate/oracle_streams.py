"""What steps on streams and logs mean, done by hand to lists of dicts; nothing here is the engine's.

A row is a dict of the canonical columns (``data`` and ``metadata`` as text) and of lineage. Steps give rows in any
order. Folding order of rows is version, source, position, nth.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.oracle import Row

Item = dict[str, Any]


def items(rows: Iterable[Row], *, source: int = 0) -> list[Item]:
    """Events of a log that no step has met."""
    lineage = {"source": source, "others": None, "nth": 0, "steps": 0, "met": 0, "failed": None}
    return [{**row.columns(), **lineage, "origin": row.position} for row in rows]


def place(item: Item) -> tuple[int, int, int]:
    return item["source"], item["position"], item["nth"]


def folding(stream: Iterable[Item]) -> list[Item]:
    return sorted(stream, key=lambda item: (item["version"], place(item)))


def by_stream(rows: Iterable[Item]) -> dict[str, list[Item]]:
    result: dict[str, list[Item]] = {}
    for item in rows:
        result.setdefault(item["stream_id"], []).append(item)
    return {stream_id: folding(stream) for stream_id, stream in result.items()}


def interleaved(streams: Sequence[Sequence[Item]], order: str) -> list[Item]:
    """Streams as one, each in its own order: next comes the head of the one that has the earliest event left."""
    if order == "one after another":
        return [item for stream in streams for item in stream]
    left = [list(stream) for stream in streams if stream]
    result = []
    while left:
        stream = min(left, key=lambda rest: earliest(rest, order))
        result.append(stream.pop(0))
        left = [rest for rest in left if rest]
    return result


def earliest(rest: Sequence[Item], order: str) -> Any:
    first = min(place(item) for item in rest)
    if order == "position":
        return first
    moments = [item["recorded_at"] for item in rest if item["recorded_at"] is not None]
    return (not moments, min(moments, default=None) if moments else 0, first)


def regrouped(
    rows: list[Item],
    target: Callable[[Item], str | None],
    *,
    order: str = "position",
    base: int | None,
    rank: Callable[[str, str], Any] = lambda old, new: 0,
    bit: int = 1,
) -> list[Item]:
    """Rows in other streams: ``target`` gives the id of the stream that a row goes to, None where it is not met.

    A stream whose rows all come from one that has no others keeps its versions. ``rank(old, new)`` orders the streams
    that become one, where they do so one after another.
    """
    olds = by_stream(rows)
    parts: dict[str, dict[str, list[Item]]] = {}
    for old, stream in olds.items():
        for item in stream:
            new = target(item)
            moved = {
                **item,
                "stream_id": item["stream_id"] if new is None else new,
                "steps": item["steps"] | (bit if new not in (None, old) else 0),
                "met": item["met"] | (bit if new is not None else 0),
            }
            parts.setdefault(moved["stream_id"], {}).setdefault(old, []).append(moved)
    result = []
    for new, members in parts.items():
        (old, stream), *others = members.items()
        if not others and len(stream) == len(olds[old]):
            result += stream
            continue
        ranked = [members[name] for name in sorted(members, key=lambda name: rank(name, new))]
        lowest = min(item["version"] for stream in ranked for item in stream)
        for number, item in enumerate(interleaved(ranked, order), start=lowest if base is None else base):
            result.append({**item, "version": number})
    return result


def collide(rows: list[Item], target: Callable[[Item], str | None]) -> bool:
    """Whether a stream would have events of several, some of which go there."""
    came: dict[str, set[str]] = {}
    moved = set()
    for item in rows:
        new = target(item)
        came.setdefault(item["stream_id"] if new is None else new, set()).add(item["stream_id"])
        if new not in (None, item["stream_id"]):
            moved.add(new)
    return any(len(came[new]) > 1 for new in moved)


def truncated(rows: list[Item], cut: Callable[[list[Item]], int | None]) -> tuple[list[Item], list[Item]]:
    """Rows that are left, and those that go: of each stream what lies below the version that ``cut`` gives."""
    left: list[Item] = []
    gone: list[Item] = []
    for stream in by_stream(rows).values():
        first = cut(stream)
        for item in stream:
            (gone if first is not None and item["version"] < first else left).append(item)
    return left, gone


def renumbered(rows: list[Item], taken: Callable[[str], bool], *, base: int | None) -> list[Item]:
    result = []
    for stream_id, stream in by_stream(rows).items():
        for number, item in enumerate(stream, start=stream[0]["version"] if base is None else base):
            version = number if taken(stream_id) else item["version"]
            steps = item["steps"] | int(version != item["version"])
            result.append({**item, "version": version, "steps": steps, "met": item["met"] | int(taken(stream_id))})
    return result


def seed(item: Item) -> str:
    return item["event_id"] or f"{item['stream_id']}@{item['version']}#{item['position']}"


def compacted(
    rows: list[Item],
    taken: Callable[[Item], bool],
    covers: Callable[[str, list[Item]], bool],
    fold: Callable[[list[Item]], str],
    namespace: uuid.UUID,
) -> tuple[list[Item], list[Item]]:
    """Rows, and those that went: what is taken of a stream as one event. ``fold`` gives its text or raises."""
    result, gone = [], []
    for stream_id, stream in by_stream(rows).items():
        first = [item for item in stream if taken(item)]
        if not first or not covers(stream_id, stream):
            result += stream
            continue
        try:
            if first != stream[: len(first)]:
                raise ValueError("not the beginning")
            text = fold(copy.deepcopy(first))
        except Exception:  # noqa: BLE001 (whatever it is, the stream stays)
            result += [{**item, "failed": 0, "met": 1} if item in first else item for item in stream]
            continue
        last, start = first[-1], min(item["version"] for item in first)
        origins = [item["position"] for item in first]
        result.append(
            {
                **last,
                "version": start,
                "event_id": str(uuid.uuid5(namespace, f"{seed(last)} 0 {last['nth']}")),
                "event_type": "Opened",
                "schema_version": None,
                "data": text,
                "origin": origins[0],
                "others": sorted(origins[1:]) or None,
                "steps": 1,
                "met": 1,
            }
        )
        result += [{**item, "version": item["version"] + start - last["version"]} for item in stream[len(first) :]]
        gone += first[:-1]
    return result, gone


def closed(
    rows: list[Item], taken: Callable[[str], bool], text: Callable[[str], str], namespace: uuid.UUID
) -> list[Item]:
    result = list(rows)
    for stream_id, stream in by_stream(rows).items():
        if not taken(stream_id):
            continue
        last = max(stream, key=place)
        result[result.index(last)] = {**last, "steps": 1, "met": 1}
        result.append(
            {
                **last,
                "version": max(item["version"] for item in stream) + 1,
                "event_id": str(uuid.uuid5(namespace, f"{seed(last)} 0 1")),
                "event_type": "Closed",
                "schema_version": None,
                "source_position": None,
                "data": text(stream_id),
                "nth": 1,
                "steps": 1,
            }
        )
    return placed(result)


def placed(rows: list[Item]) -> list[Item]:
    """Positions given anew."""
    return [{**item, "position": number} for number, item in enumerate(sorted(rows, key=place), start=1)]

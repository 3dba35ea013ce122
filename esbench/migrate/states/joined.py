"""The cuts of streams that were split or merged, found one event at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["Joined", "Point", "merged", "split"]

#: Of each row of each new stream, the old streams that it comes from and the places there, drops not counted.
_Sources = list[list[list[tuple[int, int]]]]


@dataclass(frozen=True, slots=True)
class Point:
    """A cut: how many rows of each old and new stream have come by then, for those of which more have than before.

    Streams are numbered within their group. One is named from the cut on at which something of it was consumed.
    """

    old: dict[int, int]
    new: dict[int, int]


@dataclass(frozen=True, slots=True)
class Joined:
    """Streams that belong together, several on one side; their numbers among all, and their cuts."""

    old: tuple[int, ...]
    new: tuple[int, ...]
    points: list[Point]


def split(sources: _Sources, ends: list[list[int]], lengths: list[list[int]]) -> list[Point]:
    """The cuts of one old stream that became several.

    ``ends``: of each new stream the last rows of its versions. ``lengths``: of each old stream, after how many rows the
    longest prefix ends that consumes its first 1, 2, … events.
    """
    (prefixes,) = lengths
    children = Counter(rank for stream in sources for row in stream for _, rank in row)
    # New rows up to an end come with the highest event among them, and not before.
    coming: dict[int, list[tuple[int, int, int]]] = {}
    for number, (stream, stops) in enumerate(zip(sources, ends, strict=True)):
        highest, begin = -1, 0
        for stop in stops:
            ranks = [rank for row in stream[begin : stop + 1] for _, rank in row]
            highest = max([highest, *ranks])
            coming.setdefault(highest, []).append((number, stop + 1, len(ranks)))
            begin = stop + 1
    points: list[Point] = []
    rows: dict[int, int] = {number: count for number, count, _ in coming.get(-1, ())}
    told: dict[int, int] = {}
    begun: set[int] = set()
    owed = 0  # children of events in the prefix that have not come
    for rank, length in enumerate(prefixes):
        # An event without children that was not dropped is never consumed.
        owed += children[rank] or 1
        for number, count, links in coming.get(rank, ()):
            rows[number] = count
            owed -= links
            begun.add(number)
        if not owed:
            fresh = {number: rows[number] for number in sorted(begun) if told.get(number) != rows[number]}
            told |= fresh
            points.append(Point({0: length}, fresh))
    return points


def merged(sources: _Sources, ends: list[list[int]], lengths: list[list[int]]) -> list[Point]:
    """The cuts of several old streams that became one; arguments as for :func:`split`."""
    (stream,), (stops,) = sources, ends
    left = Counter(parent for row in stream for parent in row)
    children = left.copy()
    consumed, begun, highest = Counter[int](), Counter[int](), Counter[int]()
    uneven: set[int] = set()  # old streams of which no prefix was consumed
    fresh: set[int] = set()
    points: list[Point] = []
    begin = 0
    for stop in stops:
        come = [parent for row in stream[begin : stop + 1] for parent in row]
        begin = stop + 1
        for number, rank in come:
            begun[number] += left[number, rank] == children[number, rank]
            left[number, rank] -= 1
            consumed[number] += not left[number, rank]
            highest[number] = max(highest[number], rank + 1)
        for number in {number for number, _ in come}:
            even = begun[number] == consumed[number] == highest[number]
            (uneven.discard if even else uneven.add)(number)
            fresh.add(number)
        if not uneven and (points or fresh):
            points.append(Point({one: lengths[one][consumed[one] - 1] for one in sorted(fresh)}, {0: stop + 1}))
            fresh = set()
    return points

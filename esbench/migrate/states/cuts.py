"""Cuts: which streams of a log and of what a migration makes of it belong together, and where they can be compared.

A source stream and a new stream are *connected* when an event of the one became, or became part of, an event of the
other. A *cut* of a connected pair is a version of the new stream such that the source events consumed by new events up
to it are a prefix of the old stream in folding order, less declared drops. An event is consumed when all of its
children have come, so inside a group of split, inserted or merged events there is no cut; the new events of one version
(a fork) come together; and where nothing has been consumed yet there is nothing to compare. The old state at a cut is
the one after the longest prefix that consumes exactly these events, so dropped events that follow are in it.

Where one old stream became several, a cut is a prefix of the old stream that prefixes of the new ones add up to: of
each the longest, ending at a version, in which only events of that old prefix have come. Where several became one, a
cut is a version of the new stream at which what was consumed of each old stream is a prefix of that stream.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from esbench.events import Events
from esbench.migrate.states.joined import Joined, Point, merged, split

__all__ = ["Forks", "Lines", "Rows", "SeveralSources", "lines"]

Forks = Literal["all", "first"]
Array = np.ndarray[Any, np.dtype[Any]]

#: A look-up table may be so many times longer than the log.
_SPARSE = 4

NO_CUT = "shares no cut: no version of it has consumed exactly the first events of the old stream"
MANY = "streams were both split and merged: no one stream stands on either side"
UNKNOWN = "comes from events that are not in the source log"
LOST = "its events are neither in the new log nor declared as dropped"
COMBINE = "and no combine= says how their states add up"


class SeveralSources(Exception):
    """Rows come from another log than the first."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one side in folding order. Streams are numbered in order of their keys, rows in folding order.

    ``starts`` has the first row of each stream, and the number of rows; ``folded`` how many rows before each are given
    to handlers, and how many are in all.
    """

    keys: Array
    starts: Array
    versions: Array
    folded: Array
    table: pa.Table

    @property
    def stream(self) -> Array:
        """The number of the stream of every row."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.starts))

    @property
    def ends(self) -> Array:
        """Whether a row is the last of its version."""
        last = np.ones(len(self.versions), bool)
        last[:-1] = self.versions[1:] != self.versions[:-1]
        last[self.starts[1:] - 1] = True
        return last


@dataclass(frozen=True, slots=True)
class Lines:
    """Streams side by side, and the places at which they are compared.

    ``pairs`` are the numbers of the old and new streams that stand one to one, ``places`` where in ``points`` those of
    each begin and end; the columns of ``points``: handled old and new rows to fold from the start, cuts with the same
    states, the last old and new row at the first of these. ``joined`` are streams that were split or merged,
    ``apart`` those that cannot be compared (side, stream, why); ``dropped`` old and ``inserted`` new streams have no
    counterpart. All streams by number.
    """

    old: Rows
    new: Rows
    pairs: Array
    places: Array
    points: Array
    joined: list[Joined]
    apart: list[tuple[str, int, str]] = field(default_factory=list)
    dropped: Array = field(default_factory=lambda: np.empty(0, np.int64))
    inserted: Array = field(default_factory=lambda: np.empty(0, np.int64))


def lines(
    old: Events,
    new: Events,
    dropped: Collection[int] | Array,
    *,
    types: tuple[Collection[str], Collection[str]],
    covered: tuple[Collection[int] | None, Collection[int] | None] = (None, None),
    combined: bool = False,
    forks: Forks = "all",
) -> Lines:
    """Lay the streams of a log and of what became of it side by side.

    ``dropped`` are positions of source events that were dropped on purpose; ``types`` the event types that have a
    handler, old and new; ``covered`` the keys of the streams that are asked for, all where None: those connected to one
    of them count. Raises SeveralSources.
    """
    before, after = _rows(old, types[0], forks), _rows(new, types[1], forks, lineage=True)
    if after.table["source"].to_numpy().any():
        raise SeveralSources
    child, parent, unknown = _links(before, after)
    has_child = np.zeros(len(before.versions), bool)
    has_child[parent] = True
    kept = has_child | ~np.isin(before.table["position"].to_numpy(), np.asarray(list(dropped), np.int64))
    old_stream, new_stream = before.stream, after.stream
    pairs = _pairs(old_stream[parent], new_stream[child])
    asked = _asked(before, covered[0]), _asked(after, covered[1])
    old_degree = np.bincount(pairs[:, 0], minlength=len(before.keys))
    new_degree = np.bincount(pairs[:, 1], minlength=len(after.keys))
    single = (old_degree[pairs[:, 0]] == 1) & (new_degree[pairs[:, 1]] == 1) & ~unknown[pairs[:, 1]]
    ones = pairs[single & (asked[0][pairs[:, 0]] | asked[1][pairs[:, 1]])]
    points, places = _points(before, after, (child, parent), kept, ones, (old_stream, new_stream))
    apart = [("new", int(one), NO_CUT) for one in ones[places[:, 0] == places[:, 1], 1]]
    lost = (old_degree == 0) & (np.add.reduceat(np.append(kept, False), before.starts[:-1]) > 0) & asked[0]
    apart += [("old", int(one), LOST) for one in np.flatnonzero(lost)]
    stray = (new_degree == 0) & unknown & asked[1]
    apart += [("new", int(one), UNKNOWN) for one in np.flatnonzero(stray)]
    joined: list[Joined] = []
    for olds, news in _components(pairs[~single]):
        if not (asked[0][olds].any() or asked[1][news].any()):
            continue
        if unknown[news].any():
            apart += [("new", int(one), UNKNOWN) for one in news]
        elif len(olds) > 1 and len(news) > 1:
            apart += [("new", int(one), MANY) for one in news]
        elif not combined:
            what = f"is one of {len(news)} that an old stream was split into"
            what = what if len(olds) == 1 else f"was merged from {len(olds)} old streams"
            apart += [("new", int(one), f"{what}, {COMBINE}") for one in news]
        else:
            joined.append(_joined(before, after, (child, parent), kept, olds, news))
            if not joined[-1].points:
                joined.pop()
                apart += [("new", int(one), NO_CUT) for one in news]
    return Lines(
        before,
        after,
        ones,
        places,
        points,
        joined,
        apart,
        np.flatnonzero((old_degree == 0) & ~lost & asked[0]),
        np.flatnonzero((new_degree == 0) & ~unknown & asked[1]),
    )


def _rows(events: Events, types: Collection[str], forks: Forks, *, lineage: bool = False) -> Rows:
    order = "stream_key, version, position" + (", nth" if lineage else "")
    more = ", nth, source, origin, others" if lineage else ""
    query = f"""
        select stream_key, version, position, list_contains($_handled::varchar[], event_type) as handled{more}
        from events
    """
    table = events.arrow(query if events.ordered else f"{query} order by {order}", _handled=list(types))
    names = order.split(", ")
    if events.ordered and not _ascending([table[name].to_numpy() for name in names]):
        table = events.arrow(f"{query} order by {order}", _handled=list(types))
    keys, versions = table["stream_key"].to_numpy(), table["version"].to_numpy()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, np.int64)
    handled = table["handled"].to_numpy().astype(bool)
    result = Rows(keys[starts], np.append(starts, len(keys)), versions, np.empty(0), table)
    if forks == "first":
        handled[1:] &= result.ends[:-1]
    folded = np.append(0, np.cumsum(handled))
    return Rows(result.keys, result.starts, versions, folded, table.drop_columns(["stream_key", "version", "handled"]))


def _ascending(columns: list[Array]) -> bool:
    """Whether rows ascend by some columns, the first before the others."""
    fine = np.zeros(max(len(columns[0]) - 1, 0), bool)
    for column in reversed(columns):
        fine = (column[1:] > column[:-1]) | ((column[1:] == column[:-1]) & fine)
    return bool(fine.all())


def _links(old: Rows, new: Rows) -> tuple[Array, Array, Array]:
    """New rows and the old rows that they come from, in order of the new ones; new streams with rows from elsewhere."""
    origin, others = new.table["origin"].combine_chunks(), new.table["others"].combine_chunks()
    child = np.flatnonzero(origin.is_valid().to_numpy(zero_copy_only=False))
    position = origin.drop_null().to_numpy()
    if others.null_count < len(others):
        more = compute.list_flatten(others)
        valid = more.is_valid().to_numpy(zero_copy_only=False)
        child = np.concatenate([child, compute.list_parent_indices(others).to_numpy()[valid]])
        position = np.concatenate([position, more.drop_null().to_numpy()])
        child, position = np.unique(np.column_stack([child, position]), axis=0).T
    parent = _found(old.table["position"].to_numpy(), position)
    unknown = np.zeros(len(new.keys), bool)
    unknown[np.searchsorted(new.starts, child[parent < 0], "right") - 1] = True
    return child[parent >= 0], parent[parent >= 0], unknown


def _found(positions: Array, wanted: Array) -> Array:
    """The place of each wanted position among some, -1 for those that are not there."""
    if not len(positions) or not len(wanted):
        return np.full(len(wanted), -1)
    low, high = int(positions.min()), int(positions.max())
    if high - low < _SPARSE * len(positions) + 1_000:
        table = np.full(high - low + 1, -1)
        table[positions - low] = np.arange(len(positions))
        inside = (wanted >= low) & (wanted <= high)
        return np.where(inside, table[np.where(inside, wanted, low) - low], -1)
    order = np.argsort(positions)
    place = order[np.minimum(np.searchsorted(positions, wanted, sorter=order), len(positions) - 1)]
    return np.where(positions[place] == wanted, place, -1)


def _pairs(old: Array, new: Array) -> Array:
    """The distinct pairs, in order."""
    # Rows of one stream lie together, so nearly all repetitions go without a sort.
    fresh = np.append(True, (old[1:] != old[:-1]) | (new[1:] != new[:-1]))[: len(old)]
    result: Array = np.unique(np.column_stack([old[fresh], new[fresh]]), axis=0)
    return result


def _asked(rows: Rows, covered: Collection[int] | None) -> Array:
    return np.ones(len(rows.keys), bool) if covered is None else np.isin(rows.keys, np.asarray(list(covered), np.int64))


def _points(
    old: Rows, new: Rows, links: tuple[Array, Array], kept: Array, ones: Array, streams: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The points of streams that stand one to one, in order of the new rows; and where those of each pair lie."""
    owner = np.full(len(new.keys), -1)
    owner[ones[:, 1]] = ones[:, 0]
    before = np.append(0, np.cumsum(kept))  # kept rows before each old row
    rows, consumed = _cut_rows(old, new, links, before, owner, streams)
    stream = streams[1][rows]
    start = old.starts[owner[stream]]
    beyond = np.append(np.flatnonzero(kept), len(kept))[before[start] + consumed]
    beyond = np.minimum(beyond, old.starts[owner[stream] + 1])
    old_folds = old.folded[beyond] - old.folded[start]
    new_folds = new.folded[rows + 1] - new.folded[new.starts[stream]]
    changes = np.ones(len(rows), bool)
    changes[1:] = (np.diff(stream) != 0) | (np.diff(old_folds) != 0) | (np.diff(new_folds) != 0)
    fresh = np.flatnonzero(changes)
    small = max(len(kept), len(new.versions)) < 2**31
    points = np.empty((len(fresh), 5), np.int32 if small else np.int64)
    for number, column in enumerate((old_folds, new_folds, None, beyond - 1, rows)):
        points[:, number] = np.diff(np.append(fresh, len(rows))) if column is None else column[fresh]
    places = [np.searchsorted(stream[fresh], ones[:, 1], side) for side in ("left", "right")]
    return points, np.column_stack(places)


def _cut_rows(
    old: Rows, new: Rows, links: tuple[Array, Array], before: Array, owner: Array, streams: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The new rows that are the last at a cut, of streams that stand one to one; and how many events are consumed."""
    child, parent = links
    own = owner[streams[1]] >= 0
    if not own.all():
        mine = own[child]
        child, parent = child[mine], parent[mine]
    reached = np.zeros(len(new.versions), np.int64)
    np.maximum.at(reached, child, before[parent] - before[old.starts[streams[0][parent]]] + 1)
    offset = streams[1] * len(before)
    reached = np.maximum.accumulate(reached + offset) - offset
    # In ascending order of the children the last assignment stays.
    last = np.full(len(before) - 1, -1)
    last[parent] = child
    consumed = _since(np.bincount(last[last >= 0], minlength=len(new.versions)), new, streams[1])
    # As many as the highest of them says: the first ones, each with all its children.
    rows = np.flatnonzero(own & new.ends & (consumed == reached) & (consumed > 0))
    return rows, consumed[rows]


def _since(counts: Array, rows: Rows, stream: Array) -> Array:
    """The sum of a column from the start of the stream up to each row."""
    total = np.cumsum(counts)
    result: Array = total - np.append(0, total)[rows.starts[stream]]
    return result


def _components(pairs: Array) -> Iterator[tuple[list[int], list[int]]]:
    """The numbers of old and of new streams that hang together, in order of the first old one."""
    above: dict[tuple[int, int], tuple[int, int]] = {}

    def top(node: tuple[int, int]) -> tuple[int, int]:
        while (upper := above.setdefault(node, node)) != node:
            above[node] = above[upper]
            node = upper
        return node

    for old, new in pairs.tolist():
        first, second = sorted((top((0, old)), top((1, new))))
        above[second] = first
    groups: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for side, number in sorted(above):
        groups.setdefault(top((side, number)), ([], []))[side].append(number)
    yield from groups.values()


def _joined(old: Rows, new: Rows, links: tuple[Array, Array], kept: Array, olds: list[int], news: list[int]) -> Joined:
    """One group of split or merged streams, with its points."""
    child, parent = links
    parents: list[list[list[int]]] = []
    ranks: dict[int, tuple[int, int]] = {}
    lengths: list[list[int]] = []
    for number, stream in enumerate(olds):
        begin, end = int(old.starts[stream]), int(old.starts[stream + 1])
        rows = begin + np.flatnonzero(kept[begin:end])
        ranks |= {int(row): (number, rank) for rank, row in enumerate(rows)}
        lengths.append([*(rows[1:] - begin).tolist(), end - begin] if len(rows) else [])
    for stream in news:
        begin, end = int(new.starts[stream]), int(new.starts[stream + 1])
        parents.append([[] for _ in range(end - begin)])
        for place in range(int(np.searchsorted(child, begin)), int(np.searchsorted(child, end))):
            parents[-1][int(child[place]) - begin].append(int(parent[place]))
    ends = [np.flatnonzero(new.ends[new.starts[one] : new.starts[one + 1]]).tolist() for one in news]
    sources = [[[ranks[row] for row in row_parents] for row_parents in stream] for stream in parents]
    points: list[Point] = (split if len(news) > 1 else merged)(sources, ends, lengths)
    return Joined(tuple(olds), tuple(news), points)

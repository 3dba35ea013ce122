"""A graph in layers: where its nodes stand and which way its edges run.

The usual four steps (Sugiyama and others): turn a few edges around so that none runs in a circle, give each node a
layer, order the nodes within their layers so that few edges cross, and move them below each other. Edges over several
layers pass through places of their own, so that they run around the nodes between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, TypeAlias

__all__ = ["Layout", "layout"]

Node: TypeAlias = str
Edge: TypeAlias = tuple[Node, Node]
#: A node, or the place of an edge in a layer that it passes.
_Place: TypeAlias = Any

_SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """``at``: x and layer (from 0, the top) of each node; ``routes``: the points of each edge, in its own direction.

    ``back``: the edges that run against the layers. An edge of a node to itself has no route.
    """

    at: Mapping[Node, tuple[float, int]]
    routes: Mapping[Edge, tuple[tuple[float, float], ...]]
    back: frozenset[Edge]


def layout(
    edges: Mapping[Edge, float],
    *,
    apart: float = 1.0,
    lane: float = 0.35,
    beside: Mapping[Node, float] | None = None,
    wide: float = float("inf"),
) -> Layout:
    """Lay out a graph of weighted edges; the same edges in the same order give the same picture.

    ``apart`` lies between the middles of two nodes of a layer, ``lane`` between an edge that passes and what is next.
    ``beside`` is what nodes need besides on their right. A layer whose nodes are wider than ``wide`` becomes several.

    >>> done = layout({("a", "b"): 9, ("b", "c"): 9, ("c", "a"): 1, ("a", "c"): 2})
    >>> [done.at[name][1] for name in "abc"], sorted(done.back), len(done.routes["a", "c"])
    ([0, 1, 2], [('c', 'a')], 3)
    """
    nodes = list(dict.fromkeys(name for edge in edges for name in edge))
    proper = {edge: weight for edge, weight in edges.items() if edge[0] != edge[1]}
    rank = {name: place for place, name in enumerate(_sequence(nodes, proper))}
    back = frozenset(edge for edge in proper if rank[edge[0]] > rank[edge[1]])
    down: dict[Edge, float] = {}
    for (a, b), weight in proper.items():
        way = (b, a) if (a, b) in back else (a, b)
        down[way] = down.get(way, 0) + weight
    room = {name: (apart / 2, apart / 2 + (beside or {}).get(name, 0.0)) for name in nodes}
    layer = _narrow(_layers(sorted(nodes, key=rank.__getitem__), down), room, wide)
    rows, links, chains = _passed(layer, down, rank)
    _ordered(rows, links)
    x = _placed(rows, links, room, lane)
    at = {name: (x[name], layer[name]) for name in nodes}
    routes = {}
    for edge in proper:
        way = edge[::-1] if edge in back else edge
        points = tuple((x[place], float(layer[way[0]] + n)) for n, place in enumerate(chains[way]))
        routes[edge] = points[::-1] if edge in back else points
    return Layout(at, routes, back)


def _sequence(nodes: Sequence[Node], edges: Mapping[Edge, float]) -> list[Node]:
    """The nodes in an order against which little weight runs (Eades, Lin and Smyth)."""
    left = dict.fromkeys(nodes)
    first: list[Node] = []
    last: list[Node] = []
    while left:
        into, out = dict.fromkeys(left, 0.0), dict.fromkeys(left, 0.0)
        for (a, b), weight in edges.items():
            if a in left and b in left:
                out[a] += weight
                into[b] += weight
        sinks = [name for name in left if not out[name]]
        sources = [name for name in left if not into[name] and out[name]]
        if sinks:
            last[:0] = sinks
        elif sources:
            first += sources
        else:
            sources = [max(left, key=lambda name: out[name] - into[name])]
            first += sources
        for name in (*sinks, *(sources if not sinks else [])):
            del left[name]
    return first + last


def _layers(nodes: Sequence[Node], edges: Mapping[Edge, float]) -> dict[Node, int]:
    """A layer for each node, below all that lead to it."""
    layer = dict.fromkeys(nodes, 0)
    for name in nodes:
        layer[name] = max((layer[a] + 1 for a, b in edges if b == name), default=0)
    # A node without ancestors stands right above the first that it leads to.
    for name in reversed(nodes):
        below = [layer[b] for a, b in edges if a == name]
        if below and not any(b == name for _, b in edges):
            layer[name] = min(below) - 1
    return layer


def _narrow(layer: Mapping[Node, int], room: Mapping[Node, tuple[float, float]], wide: float) -> dict[Node, int]:
    """The layers with those that are too wide spread over several; no two nodes of a layer are linked.

    >>> _narrow(dict(a=0, b=1, c=1, d=1, e=2), dict.fromkeys("abcde", (0.5, 0.5)), 2)
    {'a': 0, 'b': 1, 'c': 1, 'd': 2, 'e': 3}
    """
    narrow: dict[Node, int] = {}
    first = 0
    for place in range(max(layer.values(), default=-1) + 1):
        row = [name for name, its in layer.items() if its == place]
        parts = min(len(row), max(1, ceil(sum(sum(room[name]) for name in row) / wide)))
        narrow |= {name: first + n * parts // len(row) for n, name in enumerate(row)}
        first += parts
    return narrow


def _passed(
    layer: Mapping[Node, int], edges: Mapping[Edge, float], rank: Mapping[Node, int]
) -> tuple[list[list[_Place]], list[tuple[_Place, _Place, float]], dict[Edge, list[_Place]]]:
    """The places in each layer, the links between neighbouring layers, and the places that each edge passes."""
    rows: list[list[_Place]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for name in sorted(layer, key=rank.__getitem__):
        rows[layer[name]].append(name)
    links: list[tuple[_Place, _Place, float]] = []
    chains: dict[Edge, list[_Place]] = {}
    for (a, b), weight in edges.items():
        between = [(a, b, n) for n in range(layer[a] + 1, layer[b])]
        for place in between:
            rows[place[2]].append(place)
        chains[a, b] = [a, *between, b]
        # Long edges are kept straight first.
        pull = weight * (8 if between else 1)
        links += [(one, two, pull) for one, two in pairwise(chains[a, b])]
    return rows, links, chains


def _ordered(rows: list[list[_Place]], links: Iterable[tuple[_Place, _Place, float]]) -> None:
    """Put each layer into the order of what its places are linked to, down and up in turn, and keep the best."""
    above: dict[_Place, list[_Place]] = {}
    below: dict[_Place, list[_Place]] = {}
    for a, b, _ in links:
        above.setdefault(b, []).append(a)
        below.setdefault(a, []).append(b)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        near, order = (above, range(1, len(rows))) if sweep % 2 == 0 else (below, range(len(rows) - 2, -1, -1))
        for n in order:
            place = {name: at for row in rows for at, name in enumerate(row)}
            own = {name: at for at, name in enumerate(rows[n])}
            middle = {
                name: sum(place[other] for other in near[name]) / len(near[name]) if name in near else own[name]
                for name in rows[n]
            }
            rows[n].sort(key=lambda name: (middle[name], own[name]))
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: Sequence[Sequence[_Place]], below: Mapping[_Place, Sequence[_Place]]) -> int:
    total = 0
    for row, following in pairwise(rows):
        place = {name: at for at, name in enumerate(following)}
        ends = [place[other] for name in row for other in sorted(below.get(name, ()), key=place.__getitem__)]
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _placed(
    rows: Sequence[Sequence[_Place]],
    links: Sequence[tuple[_Place, _Place, float]],
    nodes: Mapping[Node, tuple[float, float]],
    lane: float,
) -> dict[_Place, float]:
    """An x for each place: as near to what it is linked to as its neighbours in the layer allow."""
    room = {place: nodes.get(place, (lane / 2, lane / 2)) for row in rows for place in row}
    near: dict[_Place, list[tuple[_Place, float]]] = {place: [] for place in room}
    for a, b, weight in links:
        near[a].append((b, weight))
        near[b].append((a, weight))
    x: dict[_Place, float] = {}
    for row in rows:
        reached = -sum(sum(room[place]) for place in row) / 2
        for place in row:
            x[place] = reached + room[place][0]
            reached += sum(room[place])
    for sweep in range(2 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted, weights = [], []
            for place in row:
                total = sum(weight for _, weight in near[place])
                wanted.append(sum(x[o] * weight for o, weight in near[place]) / total if total else x[place])
                weights.append(total or 1.0)
            x.update(zip(row, _spread(wanted, weights, [room[place] for place in row]), strict=True))
    return x


def _spread(wanted: Sequence[float], weights: Sequence[float], room: Sequence[tuple[float, float]]) -> list[float]:
    """The places nearest to those wanted (least squares) that keep the order and the room on both sides of each.

    >>> _spread([0, 0, 5], [1, 1, 1], [(0.5, 0.5)] * 3)
    [-0.5, 0.5, 5.0]
    """
    # Without the room the places need only ascend: pool neighbours that do not (isotonic regression).
    offset, offsets = 0.0, []
    for place, (left, _) in enumerate(room):
        offset += (room[place - 1][1] if place else 0.0) + left
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []
    for want, weight, shift in zip(wanted, weights, offsets, strict=True):
        value, total, count = want - shift, weight, 1
        while pools and pools[-1][0] > value:
            other, other_total, other_count = pools.pop()
            value = (value * total + other * other_total) / (total + other_total)
            total, count = total + other_total, count + other_count
        pools.append((value, total, count))
    level = [value for value, _, count in pools for _ in range(count)]
    return [value + shift for value, shift in zip(level, offsets, strict=True)]

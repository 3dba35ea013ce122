"""The picture of which event type follows which: a directly-follows graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from esbench import show
from esbench.plots import canvas, tidy
from esbench.plots.layers import Layout, layout
from esbench.plots.palette import FAINT, SOLID
from esbench.plots.tidy.given import EventsLike, each, is_tidy
from esbench.plots.words import PLAIN, duration, label

__all__ = ["Cut", "cut", "transitions"]

#: Beginning and end of streams; no event type is a lone NUL.
_START, _END = "\0start", "\0end"
_HALF_WIDTH, _HALF_HEIGHT = 0.46, 0.23
_SMALL = 6.5
#: Inches that one step to the side takes where there is room, and how many steps of nodes a row has room for.
_STEP, _WIDE = 1.9, 7.4
#: How far a line to the same type reaches beyond the box; beside it stands its text.
_LOOP = 0.26

#: Heads of arrows, each with its tip where it points.
_HEADS = {
    "down": Path([(0, 0), (-0.5, 1), (0.5, 1), (0, 0)]),
    "up": Path([(0, 0), (-0.5, -1), (0.5, -1), (0, 0)]),
    "left": Path([(0, 0), (1, -0.5), (1, 0.5), (0, 0)]),
}
#: With more pairs than this no picture can be read; shares that are tried until there are no more.
_MOST = 40
_SHARES = (0.05, 0.1, 0.2, 0.35, 1.0)
_BEHIND = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4}


@dataclass(frozen=True, slots=True)
class Cut:
    """The pairs that are drawn, and what was left out: pairs, how often they occur, types."""

    rows: pd.DataFrame
    pairs: int
    events: int
    types: int
    top: int
    least: float


def cut(rows: pd.DataFrame, *, least: float | None, top: int) -> Cut:
    """Without rare pairs: those below ``least`` of all that leaves ``before`` and of all that comes to ``after``.

    What most often follows a type, and what it most often comes from, always stays. ``least=None`` takes the smallest
    share with which the picture can still be read. First all but the ``top`` types go.

    >>> rows = pd.DataFrame({"before": ["a", "a", "b"], "after": ["b", "c", "c"], "events": [99, 1, 50]})
    >>> done = cut(rows, least=0.05, top=9)
    >>> done.rows.values.tolist(), done.pairs, done.events
    ([['a', 'b', 99], ['b', 'c', 50]], 1, 1)
    """
    rows = rows.assign(before=rows["before"].fillna(_START), after=rows["after"].fillna(_END))
    coming, leaving = (rows.groupby(side)["events"].sum() for side in ("after", "before"))
    sizes = pd.concat([coming, leaving]).groupby(level=0).max().drop([_START, _END], errors="ignore")
    sizes = sizes.sort_values(ascending=False, kind="stable")
    known = {*sizes.index[:top], _START, _END}
    there = rows[rows["before"].isin(known) & rows["after"].isin(known)]
    # A pair and its larger share: of what leaves the one type, or of what comes to the other.
    shares = [there["events"] / there.groupby(side)["events"].transform("sum") for side in ("before", "after")]
    share = pd.concat(shares, axis=1).max(axis=1)
    strongest = set().union(*(there.groupby(side)["events"].idxmax() for side in ("before", "after")))
    always = there.index.isin(list(strongest))
    kept = there
    for tried in _SHARES if least is None else (least,):
        least = tried
        kept = there[(share >= tried) | always]
        if len(kept) <= _MOST:
            break
    lost = rows.drop(kept.index)
    return Cut(
        kept.reset_index(drop=True), len(lost), int(lost["events"].sum()), max(0, len(sizes) - top), top, least or 0.0
    )


def transitions(data: EventsLike, *, least: float | None = None, top: int = 16, ax: Axes | None = None) -> Axes:
    """Which event type follows which in a stream, how often, and after how long (the median).

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.transitions` makes. Lines are as wide as they
    are frequent; those that run back are dashed. Left out are types beyond the ``top`` ones, and pairs that are less
    than ``least`` of what leaves the one type and of what comes to the other (0.05 unless given, more in a graph that
    could not be read then); the title says how many. ``least=0`` shows all.

    >>> import esbench as es
    >>> ax = es.plots.transitions(es.open().load("data/shipments.jsonl"), least=0.05)
    >>> ax.get_title(loc="left").splitlines()[0]
    '413 events of 6 types: what follows what'
    """
    rows = data if is_tidy(data, ("before", "after", "events")) else tidy.transitions(data)
    drawn = cut(rows, least=least, top=top)
    if drawn.rows.empty:
        return canvas.empty(canvas.axes(ax), "No events.", "Look at log.rejects, or widen what was selected.")
    counts = {(row.before, row.after): int(row.events) for row in each(drawn.rows)}
    seconds = (
        {(row.before, row.after): float(row.median_seconds) for row in each(drawn.rows)}
        if "median_seconds" in drawn.rows
        else {}
    )
    told = {edge: _told(n, seconds.get(edge)) for edge, n in counts.items()}
    loops = {edge[0]: _LOOP + len(text) * 0.56 * _SMALL / 72 / _STEP for edge, text in told.items() if len({*edge}) < 2}
    done = layout(counts, apart=1.12, lane=0.42, beside=loops, wide=_WIDE)
    depth = 1 + max(layer for _, layer in done.at.values())
    places = [x for x, _ in done.at.values()] + [x for points in done.routes.values() for x, _ in points]
    right = max([max(places) + 0.7, *(done.at[name][0] + 0.6 + loop for name, loop in loops.items())])
    wide = right - min(places) + 0.6
    ax = canvas.axes(ax, width=max(6.0, min(14.0, _STEP * wide)), height=max(3.0, min(12.0, 0.9 + 0.85 * depth)))
    canvas.blank(ax)
    ax.set_xlim(min(places) - 0.6, right)
    ax.set_ylim(depth - 0.6, -0.4)
    most = max(counts.values())
    texts = _Texts(ax, done.at)
    # The widest lines have the first choice of where their texts stand.
    for edge, n in sorted(counts.items(), key=lambda item: -item[1]):
        width = 0.8 + 4.7 * n / most
        _edge(ax, edge, done, width, told[edge], texts)
    streams = rows.loc[rows["before"].isna(), "events"].sum()
    for name, (x, layer) in done.at.items():
        _node(ax, name, x, layer, rows, int(streams))
    types = rows["after"].nunique()
    canvas.title(
        ax,
        f"{show.count(int(rows.loc[rows['after'].notna(), 'events'].sum()), 'event')} of {show.count(types, 'type')}: "
        "what follows what",
        _left_out(drawn),
    )
    return ax


def _told(n: int, seconds: float | None) -> str:
    return f"{n:,}" + (f" · {spent}" if (spent := duration(seconds)) else "")


def _room(ax: Axes, size: float) -> int:
    """How many characters of a size fit into a node."""
    low, high = ax.get_xlim()
    # Without ticks and legend, axes get more of the figure than they are promised.
    wide = 2 * _HALF_WIDTH * canvas.points(ax)[0] * 1.2 / (high - low)
    return max(6, int(wide / (0.58 * size)))


def _node(ax: Axes, name: str, x: float, layer: int, rows: pd.DataFrame, streams: int) -> None:
    if name in (_START, _END):
        text = f"{'begin' if name == _START else 'end'}: {show.count(streams, 'stream')}"
        ax.text(x, layer, text, ha="center", va="center", size=7, color=FAINT, style="italic", zorder=4, bbox=_BEHIND)
        return
    n = int(rows.loc[rows["after"] == name, "events"].sum())
    box = FancyBboxPatch(
        (x - _HALF_WIDTH, layer - _HALF_HEIGHT), 2 * _HALF_WIDTH, 2 * _HALF_HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06", facecolor="#e6eff7", edgecolor=SOLID, linewidth=1, zorder=3,
    )  # fmt: skip
    ax.add_patch(box)
    high = 2 * _HALF_HEIGHT * canvas.points(ax)[1] / abs(ax.get_ylim()[0] - ax.get_ylim()[1])
    size = max(5.5, min(8.0, high / 2.5))
    text = f"{label(name, _room(ax, size))}\n{n:,}"
    ax.text(x, layer, text, ha="center", va="center", size=size, color="black", zorder=4, linespacing=1.1, **PLAIN)


def _left_out(drawn: Cut) -> str:
    if not drawn.pairs:
        return ""
    types = f"{show.count(drawn.types, 'rare type')} and " if drawn.types else ""
    times = f"{show.count(drawn.events, 'time')}; least={drawn.least:g}, top={drawn.top}"
    return f"{types}{show.count(drawn.pairs, 'rare pair')} left out ({times})"


class _Texts:
    """Where texts stand already, in points, so that the next finds a free place."""

    def __init__(self, ax: Axes, nodes: Mapping[str, tuple[float, int]]) -> None:
        wide, high = canvas.points(ax)
        (left, right), (low, top) = ax.get_xlim(), ax.get_ylim()
        self.scale = wide * 1.15 / (right - left), high / (low - top)
        self.taken = [
            self._box(x - _HALF_WIDTH, x + _HALF_WIDTH, layer - _HALF_HEIGHT, layer + _HALF_HEIGHT)
            for x, layer in nodes.values()
        ]

    def _box(self, left: float, right: float, top: float, low: float) -> tuple[float, float, float, float]:
        x, y = self.scale
        return left * x, right * x, top * y, low * y

    def place(self, text: str, width: float, wanted: Iterable[tuple[float, float, int]]) -> tuple[float, float, int]:
        """The first of some places (x, y, side of the line) at which a text covers nothing, or the one of least."""
        best: tuple[float, tuple[float, float, int], tuple[float, float, float, float]] | None = None
        for x, y, side in wanted:
            at_x, _, at_y, _ = self._box(x, x, y, y)
            near, far = at_x + side * (width / 2 + 2), at_x + side * (width / 2 + 4 + 0.56 * _SMALL * len(text))
            box = (min(near, far), max(near, far), at_y - _SMALL * 0.6, at_y + _SMALL * 0.6)
            covered = sum(_common(box, other) for other in self.taken)
            if best is None or covered < best[0]:
                best = (covered, (x, y, side), box)
            if not covered:
                break
        assert best is not None
        self.taken.append(best[2])
        return best[1]


def _common(one: Sequence[float], two: Sequence[float]) -> float:
    """The area that two boxes share."""
    wide, high = min(one[1], two[1]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[2], two[2])
    return wide * high if wide > 0 and high > 0 else 0.0


def _edge(ax: Axes, edge: tuple[str, str], done: Layout, width: float, text: str, texts: _Texts) -> None:
    back = edge in done.back
    colour = "#eab38a" if back else "#8fbedb"
    layers = abs(ax.get_ylim()[0] - ax.get_ylim()[1])
    head = 4.5 + 1.3 * width
    # The line ends within its head, so that it does not look out at the tip.
    short = 0.7 * head * layers / canvas.points(ax)[1]
    if edge[0] == edge[1]:
        points, wanted = _loop(*done.at[edge[0]])
        tip, marker = points[-1], _HEADS["left"]
    else:
        both = edge[::-1] in done.routes
        points, wanted = _course(done.routes[edge], back, both, edge, short)
        way = -1 if back else 1
        tip, marker = (points[-1][0], points[-1][1] + way * short), _HEADS["up" if back else "down"]
    codes = [int(Path.MOVETO), *[int(Path.CURVE4)] * (len(points) - 1)]
    line = PathPatch(Path(points, codes), facecolor="none", edgecolor=colour, linewidth=width, capstyle="butt")
    line.set(linestyle=(0, (4, 1.5)) if back else "-", zorder=1 if back else 2, gid=text)
    ax.add_patch(line)
    ax.plot(*tip, marker=marker, color=colour, markersize=2 * head, markeredgewidth=0, zorder=2.5)
    *middle, side = texts.place(text, width, wanted)
    offset, to = (side * (width / 2 + 2), 0), "left" if side > 0 else "right"
    ax.annotate(
        text, (middle[0], middle[1]), offset, textcoords="offset points", ha=to, va="center", size=_SMALL, zorder=2.8,
        color="black", bbox=_BEHIND,
    )  # fmt: skip


def _loop(x: float, layer: int) -> tuple[list[tuple[float, float]], list[tuple[float, float, int]]]:
    right, out = x + _HALF_WIDTH, x + _HALF_WIDTH + _LOOP
    points = [(right, layer - 0.12), (out, layer - 0.3), (out, layer + 0.3), (right + 0.03, layer + 0.1)]
    # The line bends back at three quarters of the way to its guiding points.
    beside = (right + 0.78 * _LOOP, float(layer), 1)
    return points, [beside, *((right + 0.02, layer + down, 1) for down in (-0.3, 0.32, 0.4, -0.4))]


def _course(
    route: Sequence[tuple[float, float]], back: bool, both: bool, edge: tuple[str, str], short: float
) -> tuple[list[tuple[float, float]], list[tuple[float, float, int]]]:
    """A smooth line from box to box through the points of a route; where its text may stand, and on which side of it.

    ``both``: there is an edge the other way too, so that each keeps to its own side.
    """
    way = -1 if back else 1
    aside = (0.14 if back else -0.14) if both else 0.0
    half = [0.1 if name in (_START, _END) else _HALF_HEIGHT for name in edge]
    stops = [
        (route[0][0] + aside + _lean(route[0], route[1]), route[0][1] + way * half[0]),
        *route[1:-1],
        (route[-1][0] + aside + _lean(route[-1], route[-2]), route[-1][1] - way * (half[1] + short)),
    ]
    points = [stops[0]]
    for (x1, y1), (x2, y2) in pairwise(stops):
        bend = (y2 - y1) * 0.45
        points += [(x1, y1 + bend), (x2, y2 - bend), (x2, y2)]
    side = -1 if both and not back else 1
    segments = sorted(pairwise(stops), key=lambda ends: abs(ends[0][1] + ends[1][1] - stops[0][1] - stops[-1][1]))
    wanted = [
        (*_along(*ends, part), way)
        for ends in segments
        for way in (side, -side)
        for part in (0.5, 0.65, 0.35, 0.8, 0.2)
    ]
    return points, wanted


def _along(one: tuple[float, float], two: tuple[float, float], part: float) -> tuple[float, float]:
    """A point of a curve that leaves and arrives vertically."""
    (x1, y1), (x2, y2), rest = one, two, 1 - part
    late, last = 3 * part * part * rest, part**3
    return x1 + (x2 - x1) * (late + last), y1 + (y2 - y1) * (1.35 * part * rest * rest + 0.55 * late + last)


def _lean(here: tuple[float, float], there: tuple[float, float]) -> float:
    """How far from the middle of a box a line meets it: to the side to which it runs."""
    return max(-0.3, min(0.3, (there[0] - here[0]) * 0.3))

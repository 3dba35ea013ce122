"""The picture of what caused what: a tree down the page, laid out in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from esbench import show
from esbench.plots import canvas, tidy
from esbench.plots.palette import DAMAGE, FAINT, by_name
from esbench.plots.tidy.given import EventsLike, each, is_tidy
from esbench.plots.words import PLAIN, duration, label, of

__all__ = ["causation"]

_COLUMNS = ("event_type", "stream_id", "recorded_at", "parent", "depth")
#: Indents beyond this depth would leave no room for names.
_DEEPEST = 8
_INDENT = "\u00a0" * 2


def causation(
    data: EventsLike,
    event: str | int | None = None,
    *,
    correlation: str | None = None,
    limit: int = 40,
    ax: Axes | None = None,
) -> Axes:
    """What caused an event, and what it caused in turn; or all events of one correlation id.

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.causation` makes. ``event``: an event id or
    a position. One row an event, indented below its cause, at the time at which it was recorded. An effect that was
    recorded before its cause is marked; a cause that is not in the log (commands mostly are not) is a ring. The
    earliest ``limit`` events are drawn.

    >>> import esbench as es
    >>> ax = es.plots.causation(es.open().load("data/orders.jsonl.gz"), correlation="checkout-13300")
    >>> [text.get_text().strip() for text in ax.get_yticklabels()][:2]
    ['OrderPlaced  order-13300', 'PaymentRequested  payment-13300']
    """
    given = is_tidy(data, _COLUMNS)
    rows = data if given else tidy.causation(data, event, correlation=correlation, limit=limit)
    assert isinstance(rows, pd.DataFrame)
    ax = canvas.axes(ax, height=max(2.5, min(11.0, 1.3 + 0.25 * min(len(rows), limit))))
    if rows.empty:
        return canvas.empty(ax, "No event has this correlation id.", "Is it in the metadata? See log.find(…).")
    total = rows.attrs.get("events", len(rows))
    rows = rows.head(limit)
    timed = bool(rows["recorded_at"].notna().all())
    x = canvas.moments(rows["recorded_at"]) if timed else np.arange(len(rows), dtype=float)
    parents = [None if pd.isna(parent) or parent >= len(rows) else int(parent) for parent in rows["parent"]]
    late = [parent is not None and x[row] < x[parent] for row, parent in enumerate(parents)]
    for chosen, colour in ((False, FAINT), (True, DAMAGE)):
        # Down from the cause, then to the effect: all lines of a colour as one artist.
        lines = [
            [(x[parent], parent), (x[parent], row), (x[row], row)]
            for row, parent in enumerate(parents)
            if parent is not None and late[row] == chosen
        ]
        if lines:
            ax.add_collection(LineCollection(lines, color=colour, linewidth=1.2, zorder=1))
    kinds = [_kind(kind) for kind in rows.get("stream_type", [None] * len(rows))]
    colours = by_name(kinds)
    handles: list[Artist] = []
    for kind, colour in colours.items():
        here = [row for row, name in enumerate(kinds) if name == kind]
        (dots,) = ax.plot(x[here], here, "o", color=colour, markersize=7, zorder=3)
        handles.append(dots)
    texts = list(colours)
    known = rows["known"] if "known" in rows else rows["parent"].notna()
    outside = [row for row, (cause, there) in enumerate(zip(_causes(rows), known, strict=True)) if cause and not there]
    if outside:
        (rings,) = ax.plot(x[outside], outside, "o", color=FAINT, markersize=12, markerfacecolor="none", zorder=2)
        handles.append(rings)
        texts.append("cause not in the log")
    if any(late):
        handles.append(Line2D([], [], color=DAMAGE, linewidth=1.2))
        texts.append("before its cause")
    if "chosen" in rows and rows["chosen"].any():
        here = list(np.flatnonzero(rows["chosen"].to_numpy(dtype=bool)))
        (star,) = ax.plot(x[here], here, "o", color="black", markersize=13, markerfacecolor="none", markeredgewidth=1.6)
        handles.append(star)
        texts.append("the event asked for")
    _named(ax, rows, parents)
    if timed:
        canvas.times(ax)
        # Names take much of the room.
        ax.set_xlabel("UTC", loc="left", fontsize="small")
    else:
        ax.set_xticks([])
        ax.set_xlabel("by position: not every event has a time")
    ax.margins(x=0.06)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    canvas.legend(ax, handles, texts, markerscale=0.8)
    streams = rows.attrs.get("streams", rows["stream_id"].nunique())
    spent = rows["recorded_at"].max() - rows["recorded_at"].min()
    took = f" within {duration(spent.total_seconds())}" if timed and 1 < len(rows) == total else ""
    near = "nearest to the event asked for" if "chosen" in rows and rows["chosen"].any() else "the first"
    canvas.title(
        ax,
        f"{show.count(total, 'event')} in {show.count(streams, 'stream')}{took}",
        f"{of(len(rows), total, 'event')} are shown, {near}" if len(rows) < total else "",
    )
    return ax


def _kind(kind: object) -> str:
    return kind if isinstance(kind, str) else "stream of no type"


def _causes(rows: pd.DataFrame) -> list[object]:
    return [None if pd.isna(cause) else cause for cause in rows["cause"]] if "cause" in rows else [None] * len(rows)


def _named(ax: Axes, rows: pd.DataFrame, parents: Sequence[int | None]) -> None:
    """Types on the left, indented as the tree is, and streams where another begins."""
    size = canvas.row_size(ax, len(rows))
    streams = rows["stream_id"].tolist()
    texts = []
    for place, (row, parent) in enumerate(zip(each(rows), parents, strict=True)):
        # No-break spaces, because a label loses others at its beginning.
        text = f"{_INDENT * min(int(row.depth), _DEEPEST)}{label(row.event_type, 24)}"
        above = parent if parent is not None else place - 1
        if above < 0 or streams[above] != streams[place]:
            text += f"  {label(row.stream_id, 16)}"
        texts.append(text)
    # To the left, so that indents show; the tick stands at the end of the longest.
    ax.set_yticks(range(len(texts)), labels=texts, ha="left", size=size, **PLAIN)
    measure, font = TextToPath(), FontProperties(size=size)
    wide = max(measure.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts)
    ax.tick_params(axis="y", length=0, pad=wide + 6)
    ax.set_ylim(max(len(texts), 6) - 0.4, -0.6)

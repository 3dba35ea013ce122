"""Pictures of how many events there are: over time, by type, by stream."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from esbench import show
from esbench.plots import canvas, tidy
from esbench.plots.palette import OTHER, SOLID, by_name
from esbench.plots.tidy.counts import BINS
from esbench.plots.tidy.given import EventsLike, is_tidy
from esbench.plots.words import PLAIN, label, of, share

__all__ = ["event_mix", "stream_lengths", "timeline"]

#: Up to here each length has a bar of its own.
_EACH = 60
_COLUMNS = {
    "timeline": ("start", "end", "event_type", "events"),
    "event_mix": ("event_type", "events", "share"),
    "stream_lengths": ("length", "streams"),
}


def timeline(data: EventsLike, *, bins: int = BINS, top: int = 7, ax: Axes | None = None) -> Axes:
    """Events over time, stacked by type.

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.timeline` makes. Bins are as wide as a person
    would choose, at most ``bins`` of them; types beyond the ``top`` commonest are one.

    >>> import esbench as es
    >>> ax = es.plots.timeline(es.open().load("data/orders.jsonl.gz"), bins=30)
    >>> ax.get_ylabel(), len(ax.patches)
    ('events a week', 8)
    """
    rows = data if is_tidy(data, _COLUMNS["timeline"]) else tidy.timeline(data, bins=bins, top=top)
    ax = canvas.axes(ax)
    return _stacked(rows, ax, shares=False)


def _stacked(rows: pd.DataFrame, ax: Axes, *, shares: bool) -> Axes:
    untimed, outside = (rows.attrs.get(name, 0) for name in ("without_time", "outside"))
    if rows.empty:
        if outside:
            return canvas.empty(
                ax,
                "No event has a time that a picture has room for.",
                "They lie before 0001-01-02 or after 9999-11-30.",
            )
        if untimed:
            return canvas.empty(
                ax, "No event has a recorded time.", "Name its column: load(…, columns={'recorded_at': …})."
            )
        return canvas.empty(ax, "No events.", "Look at log.rejects, or widen what was selected.")
    edges = rows.attrs.get("edges") or sorted({*rows["start"], *rows["end"]})
    places = {edge: place for place, edge in enumerate(edges)}
    sums = rows.groupby("event_type")["events"].sum().sort_values(ascending=False, kind="stable")
    order = [name for name in rows.attrs.get("order", sums.index) if name in sums.index]
    colours = by_name(rows.attrs.get("order", order))
    groups = [(name, rows[rows["event_type"] == name], colours[name]) for name in order]
    rest = rows[rows["event_type"].isna()]
    if len(rest):
        beyond = rows.attrs.get("types", 0) - len(colours)
        groups.append((show.count(beyond, "other type") if beyond > 0 else "other types", rest, OTHER))
    heights = np.zeros((len(groups), len(edges) - 1))
    for height, (_, part, _) in zip(heights, groups, strict=True):
        np.add.at(height, [places[start] for start in part["start"]], part["events"].to_numpy(dtype=float))
    if shares:
        heights = np.divide(
            100 * heights, heights.sum(axis=0), out=np.zeros_like(heights), where=heights.sum(axis=0) > 0
        )
    floor = np.zeros(len(edges) - 1)
    moment = rows.attrs.get("moment")
    numbers = canvas.moments(edges) if moment is None else np.array([-0.5, 0.5])
    handles: list[Artist] = []
    for height, (_, _, colour) in zip(heights, groups, strict=True):
        handles.append(ax.stairs(floor + height, numbers, baseline=floor, fill=True, color=colour, linewidth=0))
        floor = floor + height
    if moment is None:
        canvas.times(ax)
        ax.set_xlim(numbers[0], numbers[-1])
        step = rows.attrs.get("step") or "bin"
        each = f" every {step}" if step[0].isdigit() else f" {'an' if step[0] == 'h' else 'a'} {step}"
    else:
        # No span of time to lay events out over.
        ax.set_xticks([0], [f"recorded at {show.cell(moment)} (UTC)"], size="small")
        ax.set_xlim(-3, 3)
        each = ""
    ax.set_ylabel(f"% of events{each}" if shares else f"events{each}")
    ax.set_ylim(0, 100 if shares else None)
    if not shares:
        canvas.counts(ax.yaxis)
    # The topmost in the picture is the topmost in the legend.
    canvas.legend(ax, handles[::-1], [name for name, *_ in groups[::-1]], handlelength=1, handleheight=1)
    total = int(rows["events"].sum())
    canvas.title(
        ax,
        f"{show.count(total, 'event')} of {show.count(rows.attrs.get('types', len(groups)), 'type')}",
        "all at one time" if moment is not None and total > 1 else "",
        ", ".join(
            f"{n:,} more {what}"
            for n, what in ((untimed, "have no time"), (outside, "lie before 0001-01-02 or after 9999-11-30"))
            if n
        ),
    )
    return ax


def event_mix(
    data: EventsLike, *, over_time: bool = False, top: int = 20, bins: int = BINS, ax: Axes | None = None
) -> Axes:
    """Event types by their share of all events, or ``over_time``.

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.event_mix` (over time: ``timeline``) makes.
    Types beyond the ``top`` commonest are one.

    >>> import esbench as es
    >>> ax = es.plots.event_mix(es.open().load("data/shipments.jsonl"))
    >>> len(ax.patches), ax.get_yticklabels()[0].get_text()
    (6, 'InTransit')
    """
    if over_time:
        rows = data if is_tidy(data, _COLUMNS["timeline"]) else tidy.timeline(data, bins=bins, top=min(top, 7))
        return _stacked(rows, canvas.axes(ax), shares=True)
    rows = data if is_tidy(data, _COLUMNS["event_mix"]) else tidy.event_mix(data)
    ax = canvas.axes(ax, height=max(2.5, min(7.0, 1.2 + 0.26 * min(len(rows), top + 1))))
    if rows.empty:
        return canvas.empty(ax, "No events.", "Look at log.rejects, or widen what was selected.")
    shown, rest = rows.head(top), rows.iloc[top:]
    names, numbers = list(shown["event_type"]), shown["events"].tolist()
    colours = list(by_name(names).values())
    if len(rest):
        names.append(show.count(len(rest), "other type"))
        numbers.append(int(rest["events"].sum()))
        colours.append(OTHER)
    total = sum(numbers)
    ax.barh(range(len(names)), [100 * n / total for n in numbers], color=colours, height=0.75)
    for place, n in enumerate(numbers):
        ax.annotate(
            f"{share(n, total)}  {n:,}",
            (100 * n / total, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            size="small",
        )
    canvas.names(ax, names)
    ax.margins(x=0.18)
    ax.set_xlim(left=0)
    ax.set_xlabel("% of events")
    canvas.title(ax, f"{show.count(total, 'event')} of {show.count(len(rows), 'type')}")
    return ax


def stream_lengths(data: EventsLike, *, ax: Axes | None = None) -> Axes:
    """How many streams have how many events, with the median and the longest.

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.stream_lengths` makes. Where streams are up to
    60 events long each length has a bar; beyond, bars widen with the length and the axis is logarithmic.

    >>> import esbench as es
    >>> ax = es.plots.stream_lengths(es.open().load("data/accounts.csv"))
    >>> ax.get_title(loc="left")
    '40 streams: median 10 events, longest 15 (account-1040)'
    """
    rows = data if is_tidy(data, _COLUMNS["stream_lengths"]) else tidy.stream_lengths(data)
    ax = canvas.axes(ax)
    if rows.empty:
        return canvas.empty(ax, "No streams.", "Look at log.rejects, or widen what was selected.")
    lengths, streams = rows["length"].to_numpy(dtype=np.int64), rows["streams"].to_numpy(dtype=np.int64)
    total, longest = int(streams.sum()), int(lengths.max())
    if longest <= _EACH:
        edges: np.ndarray[Any, Any] = np.arange(lengths.min(), longest + 2) - 0.5
    else:
        # Whole numbers, each at least one further than the last.
        wide = np.unique(np.round(np.geomspace(max(lengths.min(), 1), longest + 1, 40)).astype(np.int64))
        edges = wide - 0.5
        ax.set_xscale("log")
    heights, _ = np.histogram(lengths, bins=edges, weights=streams)
    few = heights[heights > 0].min() < heights.max() / 100
    if few:
        ax.set_yscale("log")
        # From below 1, at which a bar for one stream would have no height.
        ax.set_ylim(0.5, heights.max() * 2)
    gap = 0.08 if longest <= _EACH else 0.0
    widths = np.array([b - a for a, b in pairwise(edges)]) * (1 - gap)
    ax.bar((edges[:-1] + edges[1:]) / 2, heights, widths, color=SOLID, edgecolor="none")
    canvas.counts(ax.xaxis) if longest <= _EACH else ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.xaxis.set_minor_formatter("") if longest > _EACH else None
    if few:
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
    else:
        canvas.counts(ax.yaxis)
    median = int(lengths[np.searchsorted(np.cumsum(streams), (total + 1) // 2)])
    ax.axvline(median, color="black", linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate(" median", (median, 1), xycoords=("data", "axes fraction"), va="top", size="small", **PLAIN)
    ax.set_xlabel("events in a stream" + (" (log)" if longest > _EACH else ""))
    ax.set_ylabel("streams" + (" (log)" if few else ""))
    example = f" ({label(rows['example'].iloc[int(lengths.argmax())])})" if "example" in rows else ""
    told = f"median {show.count(median, 'event')}, longest {longest:,}{example}"
    canvas.title(ax, f"{of(total, total, 'stream')}: {told}")
    return ax

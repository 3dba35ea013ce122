"""Pictures of many streams, one a row: which versions are there, and where findings are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from esbench import show
from esbench.checks import Report
from esbench.checks.check import SEVERITIES
from esbench.plots import canvas, tidy
from esbench.plots.palette import DAMAGE, FAINT, MANY, SEVERITY
from esbench.plots.tidy.given import EventsLike, is_tidy
from esbench.plots.words import of

__all__ = ["findings_heatmap", "gaps"]

#: Colour and marker of each mark; shapes differ too, for those who see no colours.
_MARKS = {
    "hole": (DAMAGE, "x", "hole: versions missing"),
    "missing head": (MANY[1], "<", "head missing"),
    "fork": (MANY[5], "D", "fork: several events claim it"),
    "duplicate": (MANY[2], "s", "duplicate event"),
}
#: Beyond so many cells, counts on them are no longer read.
_NUMBERED = 150


def gaps(
    data: EventsLike, *, streams: Iterable[str | int] | None = None, limit: int = 30, ax: Axes | None = None
) -> Axes:
    """Streams by versions: what is there, holes, missing heads, forks and duplicates.

    ``data``: a log, a frame of events, or what :func:`esbench.plots.tidy.gaps` makes. The streams with most marks come
    first; ``streams`` names others. What is a hole or a fork is what ``log.check`` finds.

    >>> import esbench as es
    >>> ax = es.plots.gaps(es.open().load("data/accounts.csv"), limit=10)
    >>> ax.get_title(loc="left").splitlines()
    ['3 of 40 streams are damaged: 1 hole, 1 missing head, 1 duplicate',
     '10 of 40 streams are shown, most damaged first']
    """
    given = is_tidy(data, ("stream_id", "mark", "first", "last"))
    rows = data if given else tidy.gaps(data, streams=streams, limit=limit)
    assert isinstance(rows, pd.DataFrame)
    ids = list(dict.fromkeys(rows["stream_id"]))[:limit]
    ax = canvas.axes(ax, height=max(2.5, min(9.0, 1.4 + 0.19 * len(ids))))
    if not ids:
        return canvas.empty(ax, "No streams.", "Look at log.rejects, or at the ids that were asked for.")
    place = {name: at for at, name in enumerate(ids)}
    rows = rows[rows["stream_id"].isin(ids)].assign(row=lambda frame: frame["stream_id"].map(place))
    thick = max(1.5, min(9.0, 170 / len(ids)))
    runs = rows[rows["mark"] == "events"]
    ax.add_collection(_segments(runs, color="#9db8d2", linewidth=thick, capstyle="butt"))
    handles: list[Artist] = [Patch(color="#9db8d2")]
    texts = ["events"]
    for mark, (colour, marker, text) in _MARKS.items():
        part = rows[rows["mark"] == mark]
        if part.empty:
            continue
        if mark in ("hole", "missing head"):
            ax.add_collection(_segments(part, color=colour, linewidth=max(1.0, thick / 4), capstyle="butt"))
        middle = (part["first"] + part["last"]).to_numpy(dtype=float) / 2
        # A mark is seen however small its span is in the whole.
        (line,) = ax.plot(
            middle, part["row"], marker, color=colour, markersize=max(3.0, min(7.0, thick)), markeredgewidth=1.6,
            markerfacecolor=colour, zorder=3,
        )  # fmt: skip
        handles.append(line)
        texts.append(text)
    canvas.names(ax, ids)
    low, high = float(rows["first"].min()), float(rows["last"].max())
    uneven = high > 50 * max(10.0, float(rows.groupby("row")["last"].max().median()))
    if uneven:
        # One stream of a million versions would leave no room for the others.
        ax.set_xscale("symlog", linthresh=10)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        ax.set_xlim(low - 0.5, high * 1.1)
    else:
        ax.set_xlim(low - 0.5 - 0.01 * (high - low), high + 0.5 + 0.01 * (high - low))
        canvas.counts(ax.xaxis)
    ax.set_xlabel("version (log)" if uneven else "version")
    ax.spines["left"].set_visible(False)
    canvas.legend(ax, handles, texts)
    _gaps_title(ax, rows, len(ids))
    return ax


def _segments(rows: pd.DataFrame, **options: Any) -> LineCollection:
    """A line from half a version before the first to half a version after the last, all as one artist."""
    first, last, row = (rows[name].to_numpy(dtype=float) for name in ("first", "last", "row"))
    ends = np.stack([np.stack([first - 0.5, row], axis=1), np.stack([last + 0.5, row], axis=1)], axis=1)
    return LineCollection(list(ends), **options)


def _gaps_title(ax: Axes, rows: pd.DataFrame, shown: int) -> None:
    marks = rows.attrs.get("marks") or rows["mark"].value_counts().to_dict()
    found = ", ".join(show.count(int(marks[mark]), mark) for mark in _MARKS if mark in marks)
    total = rows.attrs.get("streams", shown)
    damaged = rows.attrs.get("damaged", rows.loc[rows["mark"] != "events", "stream_id"].nunique())
    not_claimed = rows.attrs.get("not_claimed", {})
    reasons = "; ".join(f"{name}s are not claimed: {why}" for name, why in not_claimed.items())
    if damaged:
        is_are = "is" if damaged == 1 else "are"
        head = f"{damaged:,} of {show.count(total, 'stream')} {is_are} damaged"
        head += f": {found}"
    else:
        head = f"{show.count(total, 'stream')} without holes, forks and duplicates"
    first = f"{of(shown, total, 'stream')} are shown{', most damaged first' if damaged else ''}"
    canvas.title(ax, head, first if shown < total else "", reasons)


def findings_heatmap(
    report: Report | pd.DataFrame,
    *,
    bins: int = 40,
    limit: int = 30,
    checks: Iterable[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Streams by time: the worst severity of the findings in each cell, and how many where there are several.

    ``report``: a report, findings of one, or what :func:`esbench.plots.tidy.findings_heatmap` makes. ``checks`` names
    those to show. The streams with most errors come first.

    >>> import esbench as es
    >>> ax = es.plots.findings_heatmap(es.open().load("data/accounts.csv").check())
    >>> ax.get_title(loc="left")
    '6 findings in 5 streams and the log as a whole'
    """
    given = is_tidy(report, ("stream_id", "start", "end", "severity", "findings"))
    rows = report if given else tidy.findings_heatmap(report, bins=bins, limit=limit, checks=checks)
    assert isinstance(rows, pd.DataFrame)
    ids = list(dict.fromkeys(None if pd.isna(name) else name for name in rows["stream_id"]))[:limit]
    ax = canvas.axes(ax, height=max(2.5, min(8.0, 1.5 + 0.24 * len(ids))))
    total, untimed = rows.attrs.get("findings", int(rows["findings"].sum())), rows.attrs.get("without_time", 0)
    if not ids and untimed:
        return canvas.empty(ax, f"None of {show.count(untimed, 'finding')} has a time.", "See report.findings.")
    if not ids:
        return canvas.empty(ax, "No findings.", "See report.checks for what ran, and report.not_claimed.")
    edges = rows.attrs.get("edges") or sorted({*rows["start"], *rows["end"]})
    at = {edge: place for place, edge in enumerate(edges)}
    place = {name: row for row, name in enumerate(ids)}
    worst = np.full((len(ids), len(edges) - 1), np.nan)
    numbers = canvas.moments(edges)
    shown = [
        row for row in rows.to_dict("records") if (None if pd.isna(row["stream_id"]) else row["stream_id"]) in place
    ]
    for row in shown:
        name = None if pd.isna(row["stream_id"]) else row["stream_id"]
        y, x = place[name], at[row["start"]]
        worst[y, x] = SEVERITIES.index(row["severity"])
        if row["findings"] > 1 and len(shown) <= _NUMBERED:
            middle = (numbers[x] + numbers[x + 1]) / 2
            ax.text(middle, y, f"{row['findings']:,}", ha="center", va="center", size="x-small", color="black")
    ax.pcolormesh(
        numbers,
        np.arange(len(ids) + 1) - 0.5,
        np.ma.masked_invalid(worst),
        cmap=ListedColormap([SEVERITY[name] for name in SEVERITIES]),
        vmin=-0.5,
        vmax=len(SEVERITIES) - 0.5,
        edgecolors="face",
        linewidth=0.3,
    )
    ax.hlines(np.arange(len(ids)) + 0.5, numbers[0], numbers[-1], color=FAINT, linewidth=0.3, alpha=0.6)
    canvas.times(ax)
    ax.set_xlim(numbers[0], numbers[-1])
    canvas.names(ax, ["(the whole log)" if name is None else name for name in ids])
    present = [name for name in SEVERITIES if (worst == SEVERITIES.index(name)).any()]
    numbered = len(shown) <= _NUMBERED and any(row["findings"] > 1 for row in shown)
    handles = [Patch(color=SEVERITY[name]) for name in present]
    canvas.legend(ax, handles, present, handlelength=1, handleheight=1)
    streams = rows.attrs.get("streams", sum(name is not None for name in ids))
    whole = any(name is None for name in ids)
    where = f"{show.count(streams, 'stream')}{' and the log as a whole' if whole else ''}"
    canvas.title(
        ax,
        f"{show.count(total, 'finding')} in {where}",
        f"{len(ids):,} of {streams + whole:,} rows are shown, worst first" if len(ids) < streams + whole else "",
        f"{untimed:,} have no time and are not shown" if untimed else "",
        "a number counts those of one cell" if numbered else "",
    )
    return ax

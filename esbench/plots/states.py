"""Pictures of states: the numbers of one along its versions, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from esbench import show
from esbench.plots import canvas, tidy
from esbench.plots.palette import ADDED, CHANGED, DAMAGE, FAINT, MANY, REMOVED
from esbench.plots.tidy.given import each
from esbench.plots.words import PLAIN, label

__all__ = ["state_diff", "state_history"]

#: So many points are still seen as points, and so many event types are still read on the axis.
_POINTS, _NAMED = 60, 12
#: So many reasons of damage are told in words.
_REASONS = 4
#: Where values before and after begin; each has room of 1.
_BEFORE, _AFTER = 0.0, 1.12
#: Lines differ by more than their colour.
_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), "-", (0, (5, 1.5)), (0, (1, 1)))


def state_history(
    history: pd.DataFrame,
    *,
    fields: Iterable[str] | None = None,
    over: Literal["version", "time"] = "version",
    ax: Axes | None = None,
) -> Axes:
    """The numbers of a state after each event of a stream, with damage marked.

    ``history``: from ``log.history(aggregate, stream)``. ``fields``: which of them, all numbers unless given; at most
    seven are drawn. A dashed line stands where the state can no longer be trusted, a ring at each event after which
    an invariant does not hold.

    >>> history = pd.DataFrame(
    ...     {"version": [1, 2], "event_type": ["Made", "Sold"], "stock": [5, -1], "broken": ["", "stock >= 0"]}
    ... )
    >>> state_history(history).get_title(loc="left")
    '2 events, broken since version 2: stock >= 0'
    """
    rows = tidy.state_history(history, fields=fields)
    marks = tidy.damage(history)
    ax = canvas.axes(ax)
    if history.empty:
        return canvas.empty(ax, "No events up to there.", "Ask for a later coordinate, or another stream.")
    names = list(dict.fromkeys(rows["field"]))
    if not names:
        return canvas.empty(ax, "No field of this state is a number.", "See the history as a table, or log.blame.")
    timed = over == "time"
    x = canvas.moments(history["recorded_at"]) if timed else history["version"].to_numpy(dtype=float)
    few = len(history) <= _POINTS
    handles: list[Artist] = []
    for place, name in enumerate(names[: len(MANY)]):
        values = rows.loc[rows["field"] == name, "value"].to_numpy(dtype=float, copy=True)
        values[~np.isfinite(values)] = np.nan
        (line,) = ax.plot(
            x, values, drawstyle="steps-post", color=MANY[place], linestyle=_STYLES[place], linewidth=1.8,
            marker="o" if few else "", markersize=4,
        )  # fmt: skip
        handles.append(line)
    told = list(names[: len(MANY)])
    broken = marks[marks["kind"] == "broken"]
    if len(broken):
        bad = broken["row"].to_numpy(dtype=int)
        ring: dict[str, Any] = {"color": DAMAGE, "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.6}
        if len(names) == 1:
            ax.plot(x[bad], rows["value"].to_numpy(dtype=float)[bad], "o", **ring)
        else:
            # An invariant does not say of which field it is.
            ax.plot(x[bad], [0.03] * len(bad), "o", transform=ax.get_xaxis_transform(), clip_on=False, **ring)
        handles.append(Line2D([], [], linestyle="", marker="o", color=DAMAGE, markersize=8, markerfacecolor="none"))
        told.append("invariant broken")
    trust = marks[marks["kind"] == "trust"]
    for number, row in enumerate(each(trust.head(200))):
        ax.axvline(x[row.row], color=DAMAGE, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
        if number < _REASONS:
            ax.annotate(
                label(row.text, 34), (x[row.row], 1), (3, -3 - 11 * number), xycoords=("data", "axes fraction"),
                textcoords="offset points", va="top", size="x-small", color=DAMAGE, **PLAIN,
            )  # fmt: skip
    if len(trust):
        handles.append(Line2D([], [], color=DAMAGE, linewidth=1, linestyle=(0, (3, 3))))
        told.append("trusted up to here")
    ax.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    ax.margins(x=0.03, y=0.12)
    if timed:
        canvas.times(ax)
    else:
        _versions(ax, history)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}")
    if len(names) == 1:
        ax.set_ylabel(label(names[0]), **PLAIN)
        handles, told = handles[1:], told[1:]
    canvas.legend(ax, handles, told)
    since = ""
    if len(broken):
        first = broken.iloc[0]
        since = f", broken since version {first['version']:,}: {label(first['text'], 60)}"
    hidden = f"{len(MANY)} of {len(names)} fields are shown: name others with fields=" if len(names) > len(MANY) else ""
    canvas.title(ax, f"{show.count(len(history), 'event')}{since}", hidden)
    return ax


def _versions(ax: Axes, history: pd.DataFrame) -> None:
    """Versions on the x axis, with the types of their events where there are few."""
    types: dict[int, list[str]] = {}
    for version, name in zip(history["version"].tolist(), history["event_type"].tolist(), strict=True):
        types.setdefault(version, []).append(name)
    if len(types) > _NAMED:
        canvas.counts(ax.xaxis)
        ax.set_xlabel("version")
        return
    texts = []
    for version, named in types.items():
        short = [
            f"{label(name, 18)} ×{named.count(name)}" if named.count(name) > 1 else label(name, 18)
            for name in dict.fromkeys(named)
        ]
        texts.append(f"{version} {' + '.join(short[:2])}{' …' if len(short) > 2 else ''}")
    ax.set_xticks(list(types), labels=texts, rotation=30, ha="right", rotation_mode="anchor", size="x-small", **PLAIN)


def state_diff(diff: pd.DataFrame, *, limit: int = 30, ax: Axes | None = None) -> Axes:
    """What differs between two states: each path with its value before and after, and bars where these are numbers.

    ``diff``: from ``log.diff(…)``, ``branch.diff(…)``, of one stream or several. The bars of a path are in scale with
    each other only.

    >>> ax = state_diff(pd.DataFrame({"path": ["/quantity"], "before": [5], "after": [-2]}))
    >>> [text.get_text() for text in ax.texts]
    ['before', 'after', '→', '5', '-2']
    """
    rows = tidy.state_diff(diff, limit=limit)
    ax = canvas.axes(ax, height=max(1.6, min(9.0, 1.1 + 0.3 * len(rows))))
    if rows.empty:
        return canvas.empty(ax, "Nothing differs.", "The states are equal; ask for coordinates further apart.")
    size = canvas.row_size(ax, len(rows) + 1)
    for x, text in ((_BEFORE, "before"), (_AFTER, "after")):
        ax.text(x, -0.75, text, size=size, color=FAINT)
    colours = {"added": ADDED, "removed": REMOVED, "changed": CHANGED}
    signs = {"added": "+", "removed": "−", "changed": "→"}
    for place, row in enumerate(each(rows)):
        colour = colours[row.kind]
        numbers = [n if np.isfinite(n) else 0.0 for n in (row.from_number, row.to_number)]
        most = max(map(abs, numbers))
        for x, n in zip((_BEFORE, _AFTER), numbers, strict=True):
            if n:
                bar = Rectangle((x, place - 0.38), abs(n) / most, 0.76, alpha=0.28, linewidth=0)
                bar.set(facecolor=colour, edgecolor=colour, hatch="////" if n < 0 else None)
                ax.add_patch(bar)
        ax.text((1 + _AFTER) / 2, place, signs[row.kind], ha="center", va="center", color=colour, size=size)
        for x, text in ((_BEFORE, row.before), (_AFTER, row.after)):
            if text:
                ax.text(x + 0.02, place, label(text, 34), va="center", size=size, **PLAIN)
    canvas.blank(ax)
    canvas.names(ax, rows["name"], width=34)
    ax.set_ylim(ax.get_ylim()[0], -1.1)
    ax.set_xlim(_BEFORE, _AFTER + 1)
    total = rows.attrs["paths"]
    negative = bool(((rows["from_number"] < 0) | (rows["to_number"] < 0)).any())
    shown = (
        f"{len(rows):,} of {total:,} paths differ and are shown"
        if len(rows) < total
        else f"{show.count(total, 'path')} {'differs' if total == 1 else 'differ'}"
    )
    canvas.title(ax, shown, "hatched bars are below zero" if negative else "")
    return ax

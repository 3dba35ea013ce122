"""Where pictures are drawn: axes of one's own that a notebook shows, titles, legends, times, and empty pictures."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure, SubplotParams
from matplotlib.ticker import FuncFormatter, MaxNLocator

from esbench.plots.palette import FAINT
from esbench.plots.words import PLAIN, label

__all__ = [
    "Picture",
    "axes",
    "blank",
    "counts",
    "empty",
    "legend",
    "moments",
    "names",
    "points",
    "row_size",
    "times",
    "title",
]


#: What somebody may have set by hand, who then wants it so.
_MARGINS = ("left", "right", "bottom", "top", "wspace", "hspace")
#: Fewer rows than these leave room free rather than grow.
_ROWS = 6


class Picture(Axes):
    """Axes that a notebook shows when they are the value of a cell.

    Their figure is no figure of pyplot: nothing appears by itself, nothing has to be closed, and a million pictures
    in a loop leave nothing behind. ``axes.figure.savefig("it.svg")`` writes one.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        figure = self.get_figure(root=True)
        assert figure is not None
        out = io.BytesIO()
        # Twice as fine as it is shown, so that it is sharp on any screen.
        figure.savefig(out, format="png", dpi=2 * figure.dpi)
        width, height = figure.get_size_inches() * figure.dpi
        return out.getvalue(), {"width": round(width), "height": round(height)}


def axes(ax: Axes | None, *, width: float = 8.0, height: float = 4.5) -> Axes:
    """The given axes, or new ones in a figure of their own."""
    if ax is None:
        ax = Figure(figsize=(width, height), layout="constrained").add_subplot(axes_class=Picture)
    else:
        _lay_out(ax)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    return ax


def _lay_out(ax: Axes) -> None:
    """Keep names and legends beside axes from being cut off, where nobody has said how their figure is laid out."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if figure.get_layout_engine() is None and ax.get_subplotspec() is not None:
        margins, usual = figure.subplotpars, SubplotParams()
        if all(getattr(margins, side) == getattr(usual, side) for side in _MARGINS):
            figure.set_layout_engine("constrained")


def title(ax: Axes, text: str, *notes: str) -> None:
    """What is shown, and below it how much of it, broken to fit."""
    # A character takes about half its size.
    size = 10.0
    room = max(24, int(points(ax)[0] * 0.95 / (0.53 * size)))
    told = "; ".join(note for note in notes if note)
    lines = [*textwrap.wrap(text, room), *textwrap.wrap(told, room)]
    ax.set_title("\n".join(lines), loc="left", fontsize=size, **PLAIN)


def points(ax: Axes) -> tuple[float, float]:
    """Width and height of axes in points, before anything is laid out."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    width, height = figure.get_size_inches()
    return float(width * box.width * 72), float(height * box.height * 72)


def blank(ax: Axes) -> None:
    """Without ticks, frame and grid."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def empty(ax: Axes, why: str, way_out: str) -> Axes:
    """Axes that say why there is nothing on them, and what to do."""
    blank(ax)
    room = max(20, int(points(ax)[0] * 0.9 / 5.5))
    lines = [*textwrap.wrap(why, room), *textwrap.wrap(way_out, room)]
    ax.text(
        0.5, 0.5, "\n".join(lines), transform=ax.transAxes, ha="center", va="center", color=FAINT, fontsize=10, **PLAIN
    )
    return ax


def names(ax: Axes, values: Iterable[object], *, width: int = 26) -> None:
    """Names on the y axis, the first on top, each on a row of its own, and no row higher than a sixth of the axes."""
    shown = [label(value, width) for value in values]
    ax.set_yticks(range(len(shown)), labels=shown, fontsize=row_size(ax, len(shown)), **PLAIN)
    ax.set_ylim(max(len(shown), _ROWS) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def row_size(ax: Axes, rows: int) -> float:
    """A size of text, in points, at which so many lines below each other do not touch."""
    return float(min(8.5, max(4.5, 0.92 * points(ax)[1] / max(rows, _ROWS))))


def legend(ax: Axes, handles: Sequence[Artist], texts: Sequence[object], **options: Any) -> None:
    """A legend beside the axes; its texts may come from events."""
    if not handles:
        return
    options = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": "small", **options}
    # Given as they are, a text that begins with "_" would be left out.
    made = ax.legend(list(handles), ["name"] * len(handles), **options)
    for text, told in zip(made.get_texts(), texts, strict=True):
        text.set(text=label(told, 30), **PLAIN)


def times(ax: Axes) -> None:
    """The x axis as times in UTC, whatever the zone of this machine."""
    ax.xaxis_date(tz=UTC)
    # Between so many ticks there is an interval for every range, as between 3 and 8.
    narrow = points(ax)[0] < 300
    locator = AutoDateLocator(tz=UTC, minticks=2 if narrow else 3, maxticks=6 if narrow else 8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    ax.tick_params(axis="x", labelsize="small")
    # To the left, because the day or year that all ticks share stands on the right.
    ax.set_xlabel("recorded at (UTC)", loc="left", fontsize="small")
    ax.xaxis.get_offset_text().set_fontsize("small")


def moments(values: Iterable[Any]) -> np.ndarray[Any, Any]:
    """Times as the numbers that a time axis has."""
    utc = pd.DatetimeIndex(list(values)).tz_convert("UTC").tz_localize(None)
    return np.asarray(date2num(utc.to_numpy()), dtype=float)  # type: ignore[no-untyped-call]


def counts(axis: Any) -> None:
    """An axis of counts: whole numbers, with thousands apart."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins="auto", steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))

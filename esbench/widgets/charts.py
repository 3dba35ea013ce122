"""Pictures made of counts alone: columns over time, stacked, and bars beside names; SVG and HTML in the page's colours.

Whatever is named in them comes from events, and goes through :func:`esbench.widgets.marks.text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

import esbench as es
from esbench.widgets import marks

__all__ = ["OTHER", "bars", "columns"]

#: In units of the picture, which is stretched to the width there is; the height in pixels.
_WIDE: Final = 1_000
OTHER: Final = "#999999"


def columns(
    rows: pd.DataFrame,
    *,
    height: int = 120,
    chosen: tuple[Any, Any] | None = None,
    colours: Mapping[str, str] | None = None,
) -> str:
    """Columns over time, stacked by type, from what ``es.plots.tidy.timeline`` makes; what is not chosen is dimmed."""
    edges = list(rows.attrs.get("edges", ()))
    if rows.empty or len(edges) < 2:
        return ""
    places = {edge: place for place, edge in enumerate(edges)}
    order = [name for name in rows.attrs["order"] if (rows["event_type"] == name).any()]
    colours = es.plots.palette.by_name(rows.attrs["order"]) if colours is None else colours
    groups: list[tuple[str | None, str]] = [(name, colours.get(name, OTHER)) for name in order]
    if rows["event_type"].isna().any():
        groups.append((None, OTHER))
    count = len(edges) - 1
    sums = np.zeros(count)
    np.add.at(sums, [places[start] for start in rows["start"]], rows["events"].to_numpy(dtype=float))
    high = max(float(sums.max()), 1.0)
    wide, floor, parts = _WIDE / count, np.zeros(count), []
    for name, colour in groups:
        part = rows[rows["event_type"].isna()] if name is None else rows[rows["event_type"] == name]
        path = []
        for start, n in zip(part["start"], part["events"], strict=True):
            place = places[start]
            top, tall = height * (1 - (floor[place] + n) / high), height * n / high
            path.append(f"M{place * wide:.1f} {top:.1f}h{max(wide - 1, wide * 0.8):.1f}v{tall:.1f}H{place * wide:.1f}z")
            floor[place] += n
        parts.append(f'<path d="{"".join(path)}" fill="{colour}"/>')
    titles = "".join(
        f'<rect x="{place * wide:.1f}" y="0" width="{wide:.1f}" height="{height}" fill="transparent">'
        f"<title>{marks.text(edges[place])}: {int(sums[place]):,}</title></rect>"
        for place in range(count)
    )
    told = f"{int(sums.sum()):,} events from {edges[0]:%Y-%m-%d %H:%M} to {edges[-1]:%Y-%m-%d %H:%M}"
    return (
        f'<div class="es-faint" style="font-size:.85em">up to {int(high):,} events '
        f"every {marks.text(rows.attrs['step'])}</div>"
        f'<svg viewBox="0 0 {_WIDE} {height}" preserveAspectRatio="none" role="img" aria-label="{marks.text(told)}" '
        f'style="display:block;width:100%;height:{height}px">{"".join(parts)}{_dimmed(edges, chosen, height)}'
        f'{titles}<line x1="0" x2="{_WIDE}" y1="{height}" y2="{height}" stroke="currentColor" opacity=".5"/></svg>'
        f"{_axis(edges)}{_legend(groups)}"
    )


def bars(names: Sequence[str], numbers: Sequence[int], *, head: str, colours: Sequence[str] = (), of: int = 0) -> str:
    """A table with a bar, a number and its share in each row; ``of`` is all of them, where some are left out."""
    total = of or sum(numbers)
    most = max([*numbers, 1])
    rows = []
    for place, (name, n) in enumerate(zip(names, numbers, strict=True)):
        colour = colours[place] if place < len(colours) else "#3b8fc4"
        share = f"{100 * n / total:.1f}%" if total else ""
        rows.append(
            f'<tr><th scope="row" style="font-weight:normal;max-width:16em">{marks.text(name, width=80)}</th>'
            f'<td style="width:40%;min-width:80px;vertical-align:middle"><div aria-hidden="true" style="height:9px;'
            f'min-width:{1 if n else 0}px;width:{100 * n / most:.1f}%;background:{colour}"></div></td>'
            f'<td class="es-number">{n:,}</td><td class="es-number es-faint">{share}</td></tr>'
        )
    return (
        f'<table class="es-table" style="width:100%"><caption style="text-align:left;font-weight:bold">'
        f"{marks.text(head)}</caption>{''.join(rows)}</table>"
    )


def _dimmed(edges: list[Any], chosen: tuple[Any, Any] | None, height: int) -> str:
    """Shades over what lies before and after a range."""
    if chosen is None:
        return ""
    known = [edge.timestamp() for edge in edges]
    low, high = (
        fallback if moment is None else float(np.interp(moment.timestamp(), known, np.linspace(0, _WIDE, len(known))))
        for moment, fallback in zip(chosen, (0.0, float(_WIDE)), strict=True)
    )
    shades = [(0.0, low), (high, _WIDE - high)]
    return "".join(
        f'<rect x="{left:.1f}" y="0" width="{wide:.1f}" height="{height}" fill="#808080" opacity=".55"/>'
        for left, wide in shades
        if wide > 0
    )


def _axis(edges: list[Any]) -> str:
    """The first time, one in the middle and the last, below a picture."""
    pattern = "%Y-%m-%d" if edges[-1] - edges[0] > pd.Timedelta(days=3) else "%Y-%m-%d %H:%M:%S"
    shown = [edges[0], edges[len(edges) // 2], edges[-1]] if len(edges) > 2 else [edges[0], edges[-1]]
    return (
        '<div class="es-faint" style="display:flex;justify-content:space-between;font-size:.85em">'
        + "".join(f"<span>{edge.strftime(pattern)}</span>" for edge in shown)
        + "</div>"
    )


def _legend(groups: list[tuple[str | None, str]]) -> str:
    return (
        '<div style="margin-top:2px;overflow-wrap:anywhere">'
        + "".join(
            f'<span style="display:inline-block;margin-right:12px"><span aria-hidden="true" '
            f'style="display:inline-block;width:.7em;height:.7em;margin-right:4px;background:{colour}"></span>'
            f"{'other types' if name is None else marks.text(name, width=60)}</span>"
            for name, colour in groups
        )
        + "</div>"
    )

"""Small pictures as SVG, made from numbers alone: lines over versions, a cursor on them, and damage beside a slider.

Places are counted along an axis that has ``of`` of them: versions in order, or microseconds from the first moment to
the last. Drawn once for a stretch of history; a step of the slider moves the cursor, a picture of its own above them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from esbench.widgets import marks

__all__ = ["Spark", "cursor", "lines", "strip"]

#: In units of the picture, which is stretched to the width there is; one line's height in pixels.
_WIDE, _HIGH, _GAP = 1_000, 44, 18

Spark = Sequence[float | None]


def lines(
    fields: Mapping[str, Spark],
    others: Mapping[str, Spark] | None = None,
    places: Sequence[int] | None = None,
    of: int = 0,
) -> str:
    """Each field as a stepped line over the same places, one below the other; those of a branch dashed above.

    Without ``places`` there is one for each value.
    """
    parts = []
    for row, (name, values) in enumerate(fields.items()):
        at = range(len(values)) if places is None else places
        along = [_x(place, of or len(values)) for place in at]
        other = (others or {}).get(name, ())
        known = [value for value in (*values, *other) if value is not None]
        low, high = (min(known), max(known)) if known else (0.0, 0.0)
        top = row * (_HIGH + _GAP)
        label = f"{name}: {low:,.6g} to {high:,.6g}" if known else f"{name}: no numbers here"
        parts.append(
            f'<div style="position:absolute;top:{top}px;font-size:11px;opacity:.8">{marks.text(label, width=90)}</div>'
            f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
            f'aria-label="{marks.text(label, width=90)}" style="position:absolute;left:0;top:{top + _GAP - 2}px;'
            f'width:100%;height:{_HIGH}px;overflow:visible">'
            f"{_zero(low, high)}{_path(along, values, low, high, '#3b8fc4', '')}"
            f"{_path(along, other, low, high, '#d55e00', '5 4') if other else ''}</svg>"
        )
    return f'<div style="position:relative;height:{height(len(fields))}px">{"".join(parts)}</div>'


def height(fields: int) -> int:
    """The height of so many lines in pixels."""
    return fields * (_HIGH + _GAP)


def cursor(place: int, of: int, fields: int) -> str:
    """A line across all pictures at one place."""
    if not fields:
        return ""
    return (
        f'<svg viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" aria-hidden="true" style="display:block;width:100%;'
        f'height:{height(fields)}px;overflow:visible"><line x1="{_x(place, of)}" x2="{_x(place, of)}" y1="0" y2="10" '
        'stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke" opacity=".75"/></svg>'
    )


def strip(of: int, damage: Sequence[tuple[int, int, str]], label: str = "") -> str:
    """Damage along a slider: from a place to a place (inclusive) and what it is; bars, with titles.

    What begins where a bar does already is counted in its title: however many there are, all of them show.
    """
    bars: list[tuple[float, float, str, int]] = []
    for start, end, what in sorted(damage):
        left = max(_x(start, of) - 4, 0)
        right = left + max(_x(end, of) + 4 - left, 8)
        if bars and left // 4 == bars[-1][0] // 4:
            bars[-1] = bars[-1][0], max(right, bars[-1][1]), bars[-1][2], bars[-1][3] + 1
        else:
            bars.append((left, right, what, 0))
    drawn = "".join(
        f'<rect x="{left:.1f}" y="1" width="{right - left:.1f}" height="8" fill="#d55e00">'
        f"<title>{marks.text(what)}{f', and {more:,} more here' if more else ''}</title></rect>"
        for left, right, what, more in bars
    )
    label = label or (f"{len(damage)} damaged places" if damage else "no damage known")
    return (
        f'<svg viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" role="img" aria-label="{marks.text(label)}" '
        'style="display:block;width:100%;height:8px"><rect x="0" y="4" width="1000" height="2" fill="currentColor" '
        f'opacity=".15"/>{drawn}</svg>'
    )


def _x(place: int, of: int) -> float:
    return round(_WIDE * place / (of - 1), 1) if of > 1 else _WIDE / 2


def _y(value: float, low: float, high: float) -> float:
    return round(_HIGH - 3 - (_HIGH - 6) * ((value - low) / (high - low) if high > low else 0.5), 1)


def _zero(low: float, high: float) -> str:
    if not low < 0 < high:
        return ""
    y = _y(0, low, high)
    return f'<line x1="0" x2="{_WIDE}" y1="{y}" y2="{y}" stroke="currentColor" stroke-width=".6" opacity=".4"/>'


def _path(along: Sequence[float], values: Spark, low: float, high: float, colour: str, dashes: str) -> str:
    """Stepped: a state holds until the next event; missing values break the line."""
    found = []
    for known, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if not known:
            continue
        points = [(place, value) for place, value in run if value is not None]
        start = points[0]
        steps = [f"M{along[start[0]]} {_y(start[1], low, high)}"]
        steps += [f"H{along[place]}V{_y(value, low, high)}" for place, value in points[1:]]
        if len(points) == 1:
            steps.append("h3")
        found.append("".join(steps))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path d="{"".join(found)}" fill="none" stroke="{colour}" stroke-width="1.8"{dashed} '
        'vector-effect="non-scaling-stroke"/>'
    )

"""Texts of events on a picture: one line, cut, never read as mathematics; and how numbers and durations are written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, get_font

from esbench import show

__all__ = ["PLAIN", "duration", "label", "of", "share"]

#: How matplotlib is to take a text that may come from an event: as it stands.
PLAIN: Mapping[str, Any] = MappingProxyType({"parse_math": False, "usetex": False})

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"))


def label(value: object, width: int = 26) -> str:
    r"""A value as a short line: what would steer it is written as an escape, a long one is cut in its middle.

    Ids often differ at their ends only, so both ends stay. A character that the fonts lack becomes a box, as it would
    be drawn; ``rcParams["font.family"]`` may name fonts that have it.

    >>> label("order-0193-77aa-4711", 12), label("a\nb"), label(None)
    ('order-01…711', 'a\\nb', '')
    """
    text = value if isinstance(value, str) else show.cell(value, width=300)
    if len(text) > 2 * width + 1:
        text = f"{text[:width]}…{text[-width:]}"
    text = show.line(text)
    if len(text) > width:
        tail = (width - 1) // 3
        text = f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
    return text if text.isascii() else "".join(c if c.isascii() or _has(c, _families()) else "□" for c in text)


def duration(seconds: float | None) -> str:
    """A time span in the unit that suits it.

    >>> [duration(n) for n in (0.25, 90, 5400, 200000, 0, None, -5)]
    ['250 ms', '1.5 min', '1.5 h', '2.3 d', '0 s', '', '-5 s']
    """
    if seconds is None or seconds != seconds:
        return ""
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), (1, "s"))
    number = seconds / size
    return f"{number:,.0f} {unit}" if abs(number) >= 10 or number == round(number) else f"{number:.1f} {unit}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent; one that is there is never told as nothing, nor as all of it.

    >>> share(1, 4), share(1, 100_000), share(99_999, 100_000), share(0, 4)
    ('25%', '<0.1%', '>99.9%', '0%')
    """
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent >= 10 or percent == round(percent) else f"{percent:.1f}%"


def of(shown: int, total: int, noun: str) -> str:
    """How many of how many are shown.

    >>> of(40, 1204, "stream"), of(3, 3, "stream"), of(1, 1, "stream")
    ('40 of 1,204 streams', '3 streams', '1 stream')
    """
    return show.count(total, noun) if shown >= total else f"{shown:,} of {show.count(total, noun)}"


def _families() -> tuple[str, ...]:
    named = mpl.rcParams["font.family"]
    return (named,) if isinstance(named, str) else tuple(named)


@lru_cache(maxsize=10_000)
def _has(character: str, families: tuple[str, ...]) -> bool:
    """Whether one of the fonts in use can draw a character."""
    for family in families:
        try:
            path = findfont(FontProperties(family=[family]), fallback_to_default=False)
        except ValueError:
            continue
        if get_font(path).get_char_index(ord(character)):
            return True
    return False

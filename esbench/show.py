"""How values look: HTML tables, escaped and capped, and plain text that is safe for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd

__all__ = ["cell", "count", "fitted", "line", "missing", "plain", "table", "wrapped"]

# Colours come from the page, so that it reads in dark and light; a notebook aligns cells to the right by itself.
_CELL = "text-align:{};vertical-align:top;padding:2px 12px 2px 0;max-width:32em;overflow-wrap:anywhere"
_FAINT = "opacity:.75;margin:.3em 0"

#: So many characters of a value are shown in HTML: a sentence, but no payload of a megabyte.
_LONG = 300

#: Text of so many characters is not broken in HTML.
_SHORT = 20

#: No column of text is cut below the first while others can be; none at all below the second.
_NARROW, _NARROWEST = 12, 6


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "event"), count(1204, "event"), count(2, "history", "histories")
    ('1 event', '1,204 events', '2 histories')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def missing(value: Any) -> bool:
    """Whether a value of a frame stands for nothing: None, NA, NaT or NaN."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def cell(value: Any, *, width: int = 120) -> str:
    r"""A value as one line of text: control characters shown, long text cut.

    >>> cell("a\nb\u202e"), cell(None), cell("x" * 9, width=5)
    ('a\\nb\\u202e', '', 'xxxx…')
    """
    return line("" if missing(value) else _text(value, width), width=width)


def line(text: str, *, width: int | None = None) -> str:
    r"""Text on one line that a terminal can show as it stands: what would steer it is written as an escape.

    >>> print(line("\x1b[2J ok"))
    \x1b[2J ok
    """
    if width is not None:
        text = text[: width + 1]
    if not text.isprintable():
        # Cc: controls, Cf: marks that reverse the text around them, Cs: lone surrogates, Zl and Zp: line ends.
        text = "".join(
            c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c
            for c in text
        )
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def wrapped(text: str, width: int, *, first: str = "", indent: str = "") -> str:
    """Text in lines that fit, broken at spaces, and within a word only where it is longer than a line.

    ``first`` stands before the first line, ``indent`` before the others.

    >>> print(wrapped("a stream at version-gap 4", 14, first="- ", indent="  "))
    - a stream at
      version-gap
      4
    """
    lines, current, empty = [], first, True
    for word in line(text).split():
        if not empty and _wide(current) + 1 + _wide(word) > width:
            lines.append(current)
            current, empty = indent, True
        current += word if empty else f" {word}"
        empty = False
        while _wide(current) > width and len(current) > max(len(first), len(indent)) + 1:
            cut = next(n for n in range(len(current), 0, -1) if n == 1 or _wide(current[:n]) <= width)
            lines.append(current[:cut])
            current = indent + current[cut:]
    return "\n".join([*lines, current])


def fitted(text: str, width: int) -> str:
    """Text on one line, cut to so many columns of a terminal; a wide character takes two.

    >>> fitted("抹茶茶碗", 7), fitted("tea", 7)
    ('抹茶茶…', 'tea')
    """
    text = line(text, width=max(width, 1) * 4)
    if _wide(text) <= width:
        return text
    while text and _wide(text) > width - 1:
        text = text[:-1]
    return text + "…"


def table(
    rows: pd.DataFrame, *, title: str = "", notes: Iterable[str] = (), limit: int = 20, of: int | None = None
) -> str:
    """An HTML table of the first rows, every cell escaped; says how many there are in all."""
    shown = rows.head(limit)
    total = len(rows) if of is None else of
    styles = [_CELL.format("right" if numeric else "left") for numeric in _numeric(rows)]
    head = "".join(_html("th", style, cell(name)) for name, style in zip(rows.columns, styles, strict=True))
    body = "".join(
        "<tr>"
        + "".join(_html("td", style, cell(value, width=_LONG)) for value, style in zip(row, styles, strict=True))
        + "</tr>"
        for row in shown.itertuples(index=False, name=None)
    )
    return "".join(
        (
            "<div>",
            f"<p><b>{escape(cell(title, width=_LONG))}</b></p>" if title else "",
            *(f'<p style="{_FAINT}">{escape(cell(note, width=_LONG))}</p>' for note in notes),
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if len(rows.columns) else "",
            f'<p style="{_FAINT}">{len(shown):,} of {total:,}</p>' if total > len(shown) else "",
            "</div>",
        )
    )


def _html(tag: str, style: str, text: str) -> str:
    """A cell of a table; a name or a number stays on one line, where a long neighbour would break it."""
    return f'<{tag} style="{style}{";white-space:nowrap" if len(text) <= _SHORT else ""}">{escape(text)}</{tag}>'


def plain(rows: pd.DataFrame, *, width: int = 100, limit: int | None = None) -> str:
    """The same for a terminal: columns aligned, and no line wider than ``width``.

    The widest texts are cut first, numbers and times last; columns that do not fit at all are named below.

    >>> print(plain(pd.DataFrame({"stream": ["item-1", "item-22"], "events": [3, 14]})))
    stream   events
    item-1        3
    item-22      14
    """
    shown = rows if limit is None else rows.head(limit)
    columns = [[cell(name, width=width)] for name in rows.columns]
    for row in shown.itertuples(index=False, name=None):
        for column, value in zip(columns, row, strict=True):
            column.append(cell(value, width=width))
    widths = [max(map(_wide, column)) for column in columns]
    while len(widths) > 1 and _total([min(size, _NARROWEST) for size in widths]) > width:
        widths.pop()
    left_out = [column[0] for column in columns[len(widths) :]]
    right = _numeric(rows)[: len(widths)]
    solid = [r or pd.api.types.is_datetime64_any_dtype(kind) for r, kind in zip(right, rows.dtypes, strict=False)]
    for floor, some in ((_NARROW, solid), (_NARROWEST, [False] * len(widths)), (1, [False] * len(widths))):
        while _total(widths) > width:
            widest = max((size for size, keep in zip(widths, some, strict=True) if not keep), default=0)
            if widest <= floor:
                break
            widths[next(i for i, size in enumerate(widths) if size == widest and not some[i])] -= 1
    lines = ["  ".join(map(_pad, cells, widths, right)).rstrip() for cells in zip(*columns[: len(widths)], strict=True)]
    if len(shown) < len(rows):
        lines.append(f"… {len(shown):,} of {len(rows):,}")
    if left_out:
        lines.append(fitted(f"… and {count(len(left_out), 'column')}: {', '.join(left_out)}", width))
    return "\n".join(lines)


def _text(value: Any, width: int) -> str:
    if isinstance(value, str):
        return value[: width + 1]
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
    try:
        return str(value)
    except Exception:  # noqa: BLE001 (a value's own str may raise anything; very large integers have none)
        return f"<{type(value).__name__}>"


def _numeric(rows: pd.DataFrame) -> list[bool]:
    return [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in rows.dtypes]


def _total(widths: list[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _wide(text: str) -> int:
    return len(text) if text.isascii() else sum(_columns(c) for c in text)


def _columns(c: str) -> int:
    return 0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _pad(text: str, size: int, to_right: bool) -> str:
    text = fitted(text, size)
    fill = " " * (size - _wide(text))
    return fill + text if to_right else text + fill

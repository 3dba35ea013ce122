"""How values look: HTML tables, escaped and capped, and plain ones for a terminal."""

from __future__ import annotations

import unicodedata
from html import escape
from typing import Any

import pandas as pd

__all__ = ["cell", "count", "plain", "table"]

_STYLE = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;max-width:28em;overflow-wrap:anywhere"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "event"), count(1204, "event"), count(2, "history", "histories")
    ('1 event', '1,204 events', '2 histories')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def cell(value: Any, *, width: int = 120) -> str:
    """A value as one line of text: control characters shown, long text cut.

    >>> cell("a\\nb\\u202e"), cell(None), cell("x" * 9, width=5)
    ('a\\\\nb\\\\u202e', '', 'xxxx…')
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, pd.Timestamp):
        text = value.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = str(value)[: width + 1]
    # Cc: controls, Cf: marks that reverse the text around them, Cs: lone surrogates, Zl and Zp: line ends.
    text = "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c
        for c in text
    )
    return text if len(text) <= width else text[: width - 1] + "…"


def table(rows: pd.DataFrame, *, title: str = "", limit: int = 20, of: int | None = None) -> str:
    """An HTML table of the first rows, every cell escaped; says how many there are in all."""
    total = len(rows) if of is None else of
    head = "".join(f'<th style="{_STYLE}">{escape(cell(name))}</th>' for name in rows.columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_STYLE}">{escape(cell(value))}</td>' for value in row) + "</tr>"
        for row in rows.head(limit).itertuples(index=False, name=None)
    )
    more = f"<p>{min(limit, len(rows)):,} of {total:,}</p>" if total > min(limit, len(rows)) else ""
    caption = f"<p><b>{escape(title)}</b></p>" if title else ""
    return f"<div>{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def plain(rows: pd.DataFrame, *, width: int = 100, limit: int | None = None) -> str:
    """The same for a terminal: columns aligned, the widest cut so that a line fits.

    >>> print(plain(pd.DataFrame({"stream": ["item-1", "item-22"], "events": [3, 14]})))
    stream   events
    item-1        3
    item-22      14
    """
    shown = rows if limit is None else rows.head(limit)
    cells = [[cell(name, width=width) for name in rows.columns]] + [
        [cell(value, width=width) for value in row] for row in shown.itertuples(index=False, name=None)
    ]
    widths = [max(map(_wide, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    right = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in rows.dtypes]
    lines = [
        "  ".join(_pad(text, size, to_right) for text, size, to_right in zip(line, widths, right, strict=True)).rstrip()
        for line in cells
    ]
    if len(shown) < len(rows):
        lines.append(f"… {len(shown):,} of {len(rows):,}")
    return "\n".join(lines)


def _wide(text: str) -> int:
    return sum(_columns(c) for c in text)


def _columns(c: str) -> int:
    return 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _pad(text: str, size: int, to_right: bool) -> str:
    if _wide(text) > size:
        while _wide(text) > size - 1:
            text = text[:-1]
        text += "…"
    fill = " " * (size - _wide(text))
    return fill + text if to_right else text + fill

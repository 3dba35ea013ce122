"""HTML by hand: all that comes from events goes through :func:`text`, which escapes it and shows what is hidden."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from esbench import show

__all__ = ["STYLE", "empty", "fault", "note", "pictured", "table", "text"]

#: Colours are tints, which read on a light page and on a dark one, and never say anything alone: signs stand beside.
STYLE = """<style>
.esbench { line-height: 1.35; font-variant-numeric: tabular-nums; }
.esbench .widget-html, .esbench .widget-html-content { line-height: 1.4; min-width: 0; }
.esbench .widget-html > .widget-html-content { width: 100%; overflow-wrap: anywhere; }
.esbench .es-inline { display: flex; align-items: center; }
.esbench code, .esbench pre { font-family: var(--jp-code-font-family, monospace); font-size: .92em; }
.esbench .es-faint { opacity: .72; }
.esbench .es-tree, .esbench .es-tree ul { list-style: none; margin: 0; padding-left: 1.1em; }
.esbench .es-tree { padding-left: 0; overflow-wrap: anywhere; }
.esbench .es-tree li { padding: 1px 4px; border-left: 3px solid transparent; }
.esbench .es-tree summary { cursor: pointer; }
.esbench .es-added { background: rgba(0, 158, 115, .16); border-left-color: #009e73 !important; }
.esbench .es-removed { background: rgba(213, 94, 0, .16); border-left-color: #d55e00 !important; }
.esbench .es-changed { background: rgba(0, 114, 178, .16); border-left-color: #3b8fc4 !important; }
.esbench .es-good { background: rgba(0, 158, 115, .18); }
.esbench .es-bad { background: rgba(213, 94, 0, .26); }
.esbench .es-lamp { display: inline-block; border-radius: 3px; padding: 1px 7px; margin: 2px 6px 2px 0; }
.esbench .es-id { user-select: all; }
.esbench .es-fault { border-left: 4px solid #d55e00; padding: 4px 10px; overflow-wrap: anywhere; }
.esbench .es-note { border-left: 4px solid #3b8fc4; padding: 4px 10px; overflow-wrap: anywhere; }
.esbench table.es-table { border-collapse: collapse; }
.esbench table.es-table th, .esbench table.es-table td {
  text-align: left; vertical-align: top; padding: 1px 12px 1px 0; overflow-wrap: anywhere; max-width: 36em; }
.esbench table.es-table td.es-number { text-align: right; white-space: nowrap; }
.esbench pre.es-code { margin: 4px 0; padding: 8px 10px; overflow: auto; user-select: text;
  background: rgba(127, 127, 127, .12); border-radius: 3px; }
</style>"""


#: Event content never looks like one: it is escaped.
_DRAWING: Final = re.compile(r"<svg ([^>]*)>(.*?)</svg>", re.DOTALL)
_TITLES: Final = re.compile("<title>.*?</title>", re.DOTALL)
_STYLED: Final = re.compile(r'\bstyle="[^"]*"')


def text(value: Any, *, width: int = 300) -> str:
    r"""A value as one line of escaped text, cut; control characters and marks that reverse text are shown.

    >>> text("<b>\u202e")
    '&lt;b&gt;\\u202e'
    """
    return escape(show.cell(value, width=width))


def fault(what: str, way_out: str = "") -> str:
    """An error, for a reader and for a screen reader."""
    more = f'<div class="es-faint">{text(way_out, width=600)}</div>' if way_out else ""
    return f'<div class="es-fault" role="alert">{text(what, width=1_200)}{more}</div>'


def empty(why: str, what_to_do: str) -> str:
    """That there is nothing to see, why, and what to do."""
    return f'<div class="es-note">{text(why, width=600)}<div>{text(what_to_do, width=600)}</div></div>'


def note(words: str) -> str:
    """A faint line."""
    return f'<div class="es-faint">{text(words, width=600)}</div>'


def pictured(html: str) -> str:
    """HTML in which drawings are images: a page that trusts nobody keeps these, of an inline drawing the texts alone.

    >>> pictured('<svg viewBox="0 0 9 3" style="height:3px"><path d="M0 0"/></svg>')[:38]
    '<img alt="" width="100%" height="3" st'
    """
    return _DRAWING.sub(_image, html)


def _image(found: re.Match[str]) -> str:
    said, style = (re.search(rf'{name}="([^"]*)"', found[1]) for name in ("aria-label", "style"))
    # An image knows no colour of the page; grey is seen on a light one and on a dark one.
    inner = _TITLES.sub("", found[2]).replace("currentColor", "#808080")
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {_STYLED.sub("", found[1])}>{inner}</svg>'
    source = base64.b64encode(drawn.encode()).decode()
    high = re.search(r"height:(\d+)px", style[1] if style else "")
    size = f' width="100%" height="{high[1]}"' if high else ""
    return (
        f'<img alt="{said[1] if said else ""}"{size} style="{style[1] if style else ""}" '
        f'src="data:image/svg+xml;base64,{source}">'
    )


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values side by side; the values are HTML already."""
    return (
        '<table class="es-table">'
        + "".join(f"<tr><th>{text(name)}</th><td>{value}</td></tr>" for name, value in rows)
        + "</table>"
    )

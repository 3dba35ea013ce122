"""Where findings are, streams by time, as cells to press: each opens a finding of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets
import pandas as pd

import esbench as es
from esbench import show
from esbench.checks.check import SEVERITIES
from esbench.widgets import marks
from esbench.widgets.view import Part, View, button

__all__ = ["SIGNS", "Cell", "Heat", "Map", "mapped"]

#: A sign for each severity: a colour alone says nothing to many.
SIGNS: Final = {"error": "✗", "warning": "⚠\ufe0e", "info": "ℹ\ufe0e"}
#: Streams with a row of their own, and columns at most: so many fit into 800 pixels, and on a screen beside a table.
STREAMS: Final = 12
COLUMNS: Final = 16
#: The height of a row in pixels; how wide a column may become.
_HIGH: Final = 24
_WIDE: Final = 72
#: So many columns have room for three times below them.
_FEW: Final = 6
_NAMES: Final = "11em"
#: An id of so many characters is shown as it is.
_SHORT: Final = 18
#: Tints by severity (those of `es.plots.palette`), stronger from so many findings on. Text in the page's own colour
#: stays readable on the darkest, on a light page and on a dark one.
TINTS: Final = {"error": (213, 94, 0), "warning": (230, 159, 0), "info": (86, 180, 233)}
SHADES: Final = ((1, 0.22), (2, 0.34), (5, 0.46), (20, 0.58))


@dataclass(frozen=True, slots=True)
class Cell:
    """Findings of one stream, or of all that have no row of their own, in one span of time.

    ``findings`` are their places in the report's index, worst first.
    """

    row: int
    column: int
    severity: str
    findings: tuple[int, ...]
    title: str

    @property
    def label(self) -> str:
        """The worst severity as a sign, and how many there are."""
        n = len(self.findings)
        return f"{SIGNS[self.severity]} {n if n < 1_000 else f'{n // 1_000}k'}"

    @property
    def tint(self) -> str:
        """Its colour, half transparent."""
        shade = next(alpha for least, alpha in reversed(SHADES) if len(self.findings) >= least)
        return f"rgba({','.join(map(str, TINTS[self.severity]))},{shade})"


@dataclass(frozen=True, slots=True)
class Map:
    """The cells that have findings, the names of the rows, the times between columns, and what is left out in words.

    Every finding that has a time is in one cell; the last row is of all streams that have none of their own.
    """

    names: tuple[str, ...] = ()
    shorts: tuple[str, ...] = ()
    edges: tuple[Any, ...] = ()
    cells: tuple[Cell, ...] = ()
    words: str = ""


def mapped(chosen: pd.DataFrame) -> Map:
    """Where the findings of a frame are; its index tells them apart."""
    tidy = es.plots.tidy.findings_heatmap(chosen, bins=COLUMNS, limit=STREAMS)
    untimed, edges = tidy.attrs["without_time"], tuple(tidy.attrs["edges"])
    if tidy.empty:
        return Map(words=f"None of {show.count(untimed, 'finding')} has a time: see the table." if untimed else "")
    streams = [None if show.missing(each) else str(each) for each in tidy["stream_id"].drop_duplicates()]
    # The report's own order is the worst first, whatever the table is sorted by.
    timed = chosen[chosen["recorded_at"].notna()].sort_index()
    places = {stream: row for row, stream in enumerate(streams)}
    rows = [places.get(None if show.missing(each) else str(each), len(streams)) for each in timed["stream_id"]]
    columns = pd.DatetimeIndex(edges).searchsorted(pd.DatetimeIndex(timed["recorded_at"]), side="right") - 1
    placed = timed.assign(row=rows, column=columns.clip(max=len(edges) - 2))
    moments = _moments(edges)
    names = [_name(stream) for stream in streams]
    left = placed.loc[placed["row"] == len(streams), "stream_id"]
    if len(left):
        others = left.nunique()
        parts = [f"{others:,} more {'stream' if others == 1 else 'streams'}"] if others else []
        names.append(", ".join([*parts, _name(None)] if left.isna().any() else parts))
    cells = [
        _cell(row, column, show.cell(name, width=60), moments, part)
        for row, name in enumerate(names)
        for column in range(len(edges) - 1)
        if len(part := placed[(placed["row"] == row) & (placed["column"] == column)])
    ]
    return Map(tuple(names), _shorts(names, streams), edges, tuple(cells), _words(streams, tidy.attrs))


class Heat(Part, ipywidgets.VBox):  # type: ignore[misc]
    """Part of a view: ``chosen(finding)`` is called when somebody presses a cell, with the first that is in it.

    One control holds all cells, and a generated style, of numbers alone, puts each in its row and column: only cells
    that have findings are there, to press or to tab through.
    """

    def __init__(self, view: View, chosen: Callable[[int], None]) -> None:
        self._chosen = chosen
        self._open: int | None = None
        self.map = Map()
        self.cells = _Cells(layout={"width": "auto", "margin": "0", "height": "auto"})
        self.name = f"es-heat-{self.cells.model_id}"
        self.cells.add_class(self.name)
        self.style_of_cells, self.style_of_open = (ipywidgets.HTML(layout={"display": "none"}) for _ in range(2))
        self.names = ipywidgets.HTML(layout={"flex": "0 0 auto", "margin": "0"})
        self.axis = ipywidgets.HTML(layout={"margin": "0"})
        self.words = ipywidgets.HTML(layout={"margin": "0"})
        self.next = button("Next here", "open the next finding in the same cell", icon="step-forward")
        self.opened = ipywidgets.HTML()
        self.grid = ipywidgets.HBox(
            [self.names, ipywidgets.VBox([self.cells, self.axis], layout={"flex": "1 1 0", "min_width": "0"})],
            layout={"margin": "6px 0 0 2px"},
        )
        self.next.layout.flex = "0 0 auto"
        self.bar = ipywidgets.HBox([self.next, self.opened], layout={"align_items": "center", "display": "none"})
        super().__init__([self.style_of_cells, self.style_of_open, self.grid, self.words, self.bar])
        view.hear(self.cells, lambda _: self._pressed(), "index")
        view.click(self.cells, self._pressed)
        view.click(self.next, self._turned)

    def paint(self, found: Map) -> None:
        """Show a map in place of the one before."""
        self.map = found
        with self.cells.hold_sync():
            self.cells.options = [(cell.label, number) for number, cell in enumerate(found.cells)]
            self.cells.tooltips = [cell.title for cell in found.cells]
            self.cells.index = None
        self.style_of_cells.value = f"<style>{_style(self.name, found)}</style>" if found.cells else ""
        self.names.value = "".join(
            f'<div style="{_ONE_LINE}" title="{marks.text(name)}"><bdi>{marks.text(short, width=60)}</bdi></div>'
            for name, short in zip(found.names, found.shorts, strict=True)
        )
        longest = max(map(len, found.shorts), default=0)
        self.names.layout.width = f"min({_NAMES}, {0.56 * longest + 1:.1f}em)"
        self.axis.value = _axis(found.edges)
        self.words.value = f'<div class="es-faint" style="font-size:.85em">{marks.text(found.words)}</div>'
        self.grid.layout.display = "" if found.cells else "none"
        self.mark(self._open)

    def mark(self, finding: int | None) -> None:
        """Show which finding is open."""
        self._open = finding
        number = self._cell_of(finding)
        self.bar.layout.display = "none" if number is None else ""
        if number is None:
            self.style_of_open.value = self.opened.value = ""
            return
        cell = self.map.cells[number]
        place, of = cell.findings.index(finding) + 1, len(cell.findings)
        self.style_of_open.value = (
            f"<style>.esbench .{self.name} button:nth-child({number + 1}) "
            "{ box-shadow: inset 0 0 0 2px currentColor; }</style>"
        )
        self.opened.value = (
            f'<span role="status">Open: finding {place:,} of {of:,} in {marks.text(cell.title, width=400)}</span>'
        )
        self.next.layout.display = "none" if of == 1 else ""

    def still(self) -> str:
        """The same as HTML without controls."""
        found = self.map
        if not found.cells:
            return str(self.words.value)
        at = {(cell.row, cell.column): cell for cell in found.cells}
        count = len(found.edges) - 1
        head = f"text-align:left;font-weight:normal;{_ONE_LINE};max-width:{_NAMES};padding:0 6px 0 0"
        body = "".join(
            f'<tr><th scope="row" title="{marks.text(name)}" style="{head}"><bdi>{marks.text(short, width=60)}</bdi>'
            f"</th>{''.join(_still(at.get((row, column))) for column in range(count))}</tr>"
            for row, (name, short) in enumerate(zip(found.names, found.shorts, strict=True))
        )
        return (
            '<table style="border-collapse:separate;border-spacing:1px;table-layout:fixed;width:100%;'
            f'max-width:{count * _WIDE + 180}px"><caption class="es-faint" style="text-align:left">'
            f'findings by stream and time</caption><colgroup><col style="width:{_NAMES}"/><col span="{count}"/>'
            f'</colgroup>{body}<tr><td></td><td colspan="{count}" style="padding:0">'
            f"{_axis(found.edges)}</td></tr></table>"
            f"{self.words.value}"
        )

    def _cell_of(self, finding: int | None) -> int | None:
        if finding is None:
            return None
        return next((number for number, cell in enumerate(self.map.cells) if finding in cell.findings), None)

    def _pressed(self) -> None:
        """Open the first finding of the cell; a press may be told of twice, and then is the same."""
        number = self.cells.index
        if number is not None:
            self._chosen(self.map.cells[number].findings[0])

    def _turned(self) -> None:
        number = self._cell_of(self._open)
        if number is not None:
            findings = self.map.cells[number].findings
            self._chosen(findings[(findings.index(self._open) + 1) % len(findings)])


class _Cells(ipywidgets.ToggleButtons):  # type: ignore[misc]
    """Buttons that tell of each press, also of one that changes no value.

    To set the value back after each press would do as well, but the buttons are made anew whenever the kernel sets it:
    who presses one by the keyboard would stand before the first again.
    """

    def on_click(self, callback: Callable[[Any], None]) -> None:
        self.on_msg(lambda _, content, __: callback(self) if content.get("event") == "click" else None)


_ONE_LINE: Final = f"height:{_HIGH}px;line-height:{_HIGH}px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis"


_CSS: Final = """\
.esbench .%(name)s > div { display: grid; grid-template-columns: repeat(%(columns)d, minmax(0, 1fr));
  grid-auto-rows: %(high)dpx; height: %(height)dpx; max-width: %(width)dpx;
  background: linear-gradient(%(line)s) 0 0 / 100%% %(high)dpx,
    linear-gradient(90deg, %(line)s) 0 0 / calc(100%% / %(columns)d) 100%%; }
.esbench .%(name)s button { min-width: 0; width: auto; height: %(inner)dpx; line-height: %(inner)dpx;
  margin: 2px 1px 1px 2px; padding: 0; border: 0; border-radius: 2px; box-shadow: none;
  color: inherit; font-size: 11px; white-space: normal; overflow: hidden; }
.esbench .%(name)s button i { display: none; }
.esbench .%(name)s button:hover { outline: 1px solid currentColor; }
.esbench .%(name)s button:focus-visible { outline: 2px solid #3b8fc4; outline-offset: 1px; }
"""


def _style(name: str, found: Map) -> str:
    """Where each cell stands and its colour. A number that finds no room goes to a second line, which is not seen.

    The button that was pressed last looks like the others: what is open is marked apart, by what is open.
    """
    count = len(found.edges) - 1
    numbers = {
        "name": name,
        "columns": count,
        "high": _HIGH,
        "inner": _HIGH - 3,
        "height": len(found.names) * _HIGH,
        "width": count * _WIDE,
        "line": "rgba(127,127,127,.22) 1px, transparent 1px",
    }
    return _CSS % numbers + "\n".join(
        f".esbench .{name} button:nth-child({number + 1}) "
        f"{{ grid-area: {cell.row + 1} / {cell.column + 1}; background: {cell.tint}; }}"
        for number, cell in enumerate(found.cells)
    )


def _still(cell: Cell | None) -> str:
    if cell is None:
        return '<td style="background:rgba(127,127,127,.08)"></td>'
    return (
        f'<td title="{marks.text(cell.title, width=400)}" style="background:{cell.tint};text-align:center;'
        f'font-size:.85em;padding:0">{marks.text(cell.label)}</td>'
    )


def _axis(edges: Sequence[Any]) -> str:
    """The first time, one in the middle and the last, each at its edge; side by side where there is no room."""
    if not edges:
        return ""
    count, moments = len(edges) - 1, _moments(edges)
    if count < _FEW:
        return f'<div class="es-faint" style="font-size:.85em;white-space:nowrap">{moments[0]} to {moments[-1]}</div>'
    spans = (
        f'<span style="position:absolute;white-space:nowrap;{_at(place, count)}">{moments[place]}</span>'
        for place in (0, count // 2, count)
    )
    return (
        f'<div class="es-faint" style="position:relative;height:1.4em;font-size:.85em;max-width:{count * _WIDE}px">'
        f"{''.join(spans)}</div>"
    )


def _at(place: int, count: int) -> str:
    if place == count:
        return "right:0"
    return f"left:{100 * place / count:.2f}%" + (";transform:translateX(-50%)" if place else "")


def _moments(edges: Sequence[Any]) -> list[str]:
    """Times as days where all are midnights; else as fine as it takes to tell them apart."""
    if all(edge == edge.normalize() for edge in edges):
        return [edge.strftime("%Y-%m-%d") for edge in edges]
    if all(edge == edge.floor("min") for edge in edges):
        return [edge.strftime("%Y-%m-%d %H:%M") for edge in edges]
    return [edge.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] for edge in edges]


def _cell(row: int, column: int, name: str, moments: Sequence[str], part: pd.DataFrame) -> Cell:
    counts = part["severity"].value_counts()
    severities = [(each, int(counts[each])) for each in SEVERITIES if each in counts]
    kinds = list(part["check"].drop_duplicates())
    checks = ", ".join(show.cell(each, width=40) for each in kinds[:3]) + (", …" if len(kinds) > 3 else "")
    told = ", ".join(show.count(n, each, each if each == "info" else None) for each, n in severities)
    span = " to ".join(moments[column : column + 2])
    title = f"{name}, {span}: {told} ({checks})"
    return Cell(row, column, severities[0][0], tuple(int(each) for each in part.index), title)


def _name(stream: str | None) -> str:
    # A megabyte of an id is cut here, before it is kept: more is never shown.
    return "the log as a whole" if stream is None else stream[:400]


def _shorts(names: Sequence[str], streams: Sequence[str | None]) -> tuple[str, ...]:
    """Names of rows, without what all of the streams begin and end with where that is long: it would hide the rest.

    Only whole parts are left out, and an ellipsis says so.
    """
    ids = [name for name, stream in zip(names, streams, strict=False) if stream is not None]
    if len(ids) < 2 or max(map(len, ids)) <= _SHORT:
        return tuple(names)
    head = _parts(ids)
    tail = _parts([each[:head:-1] for each in ids])
    if min(map(len, ids)) <= head + tail:
        return tuple(names)
    cut = {each: f"{'…' if head else ''}{each[head : len(each) - tail]}{'…' if tail else ''}" for each in ids}
    return tuple(cut.get(name, name) for name in names)


def _parts(ids: Sequence[str]) -> int:
    """The length of what all begin with, up to the last character in it that is no letter and no digit."""
    common = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*ids, strict=False))
    return max((place for place, each in enumerate(common, start=1) if not each[0].isalnum()), default=0)


def _words(streams: Sequence[str | None], attrs: Any) -> str:
    def parts() -> Iterator[str]:
        shown, of = sum(each is not None for each in streams), attrs["streams"]
        if shown < of:
            yield f"{shown:,} of {of:,} streams, those with the most errors first"
        step = attrs["step"]
        yield f"a column is {'' if step[0].isdigit() else 'an ' if step == 'hour' else 'a '}{step}"
        yield " ".join(f"{SIGNS[each]} {each}" for each in SEVERITIES) + ", stronger where there are more"
        if attrs["without_time"]:
            n = attrs["without_time"]
            yield f"{show.count(n, 'finding')} without a time {'is' if n == 1 else 'are'} only in the table"

    return "; ".join(parts())

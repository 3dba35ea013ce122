"""The findings board: a report as a table to filter and sort, a picture of where findings are, and a way to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import ipywidgets
import pandas as pd

import esbench as es
from esbench import show
from esbench.aggregate import Aggregate
from esbench.checks import CHECKS, Report
from esbench.errors import EsbenchError, nearest
from esbench.log import Log
from esbench.widgets import marks
from esbench.widgets.calls import Call
from esbench.widgets.code import Names, call
from esbench.widgets.heat import COLUMNS, SIGNS, STREAMS, Heat, mapped
from esbench.widgets.machine import TimeMachine
from esbench.widgets.view import Part, View, button, placed

__all__ = ["FindingsBoard"]

#: Findings on a page.
PAGE: Final = 15
#: The page on which the finding is that is open.
_ITS_PAGE: Final = -1
#: The first value in a list of filters. Not None: to a list of choices that means that none is chosen.
_ALL: Final = object()
#: What findings are sorted by, and the columns that this means; as the report has them, worst come first.
_SORTS: Final[Mapping[str, list[str]]] = {
    "severity": [],
    "check": ["check", "stream_id", "version"],
    "stream": ["stream_id", "version"],
    "type": ["event_type", "stream_id", "version"],
    "time": ["recorded_at", "position"],
}
#: Columns that are filtered by one of their values.
_FILTERS: Final = {"check": "check", "severity": "severity", "type": "event_type"}
#: An explanation is cut, so that a page of findings fits a screen; whole it stands in the title, and beside the
#: time machine.
_THREE_LINES: Final = "display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden"
_SIGNS: Final = {severity: f"{sign} {severity}" for severity, sign in SIGNS.items()}
_COLUMNS: Final = (
    "display:grid;grid-template-columns:5.6em 8.5em 9em 7em minmax(11em,1fr) 5em;gap:0 10px;padding:3px 0;"
    "border-bottom:1px solid rgba(127,127,127,.25);overflow-wrap:anywhere"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What the board shows: which findings, in which order, which page of them, and which one is open."""

    log: Log | None = None
    aggregates: tuple[Aggregate, ...] = ()
    check: str | None = None
    severity: str | None = None
    type: str | None = None
    stream: str = ""
    since: str | None = None
    until: str | None = None
    sort: str = "severity"
    descending: bool = False
    page: int = 0
    open: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The findings that are chosen, and those of them on the page."""

    place: Place
    chosen: pd.DataFrame
    rows: pd.DataFrame


class FindingsBoard(View):
    """The findings of a report. ``explore(report, log, aggregate, …)``: a click on one opens the time machine there."""

    def __init__(
        self,
        report: Report,
        log: Log | None = None,
        *more: Aggregate,
        aggregates: tuple[Aggregate, ...] = (),
        names: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        super().__init__(report, names=names)
        findings = report.findings
        self.machine: TimeMachine | None = None
        self.check = _choice("Check", findings["check"])
        self.severity = _choice("Severity", findings["severity"])
        self.type = _choice("Type", findings["event_type"].dropna())
        self.stream = _entry("Stream", "part of an id")
        self.since = _entry("Since", "2024-06-07")
        self.until = _entry("Until", "2024-06-08T12:00Z")
        self.sort = ipywidgets.Dropdown(description="Sort by", options=list(_SORTS), layout={"width": "210px"})
        self.descending = ipywidgets.ToggleButton(description="descending", tooltip="the other way", icon="sort")
        self.descending.layout.width = "auto"
        self.count = ipywidgets.HTML(layout={"margin": "0 8px"})
        self.back, self.on = (
            button("Back", "the page of findings before", icon="chevron-left"),
            button("More", "the next page of findings", icon="chevron-right"),
        )
        head = "".join(f"<b>{name}</b>" for name in ("severity", "check", "type", "time", "what is wrong", "repair"))
        self.head = ipywidgets.HTML(f'<div style="{_COLUMNS}">{head}</div>', layout=_wide())
        self.rows = [_Row(self, number) for number in range(PAGE)]
        self.heat = Heat(self, self._found)
        self._drawn: Any = None
        self.nothing = ipywidgets.HTML()
        # What is open stands below what was pressed: the heat map or the table.
        self.beside, self.below = ipywidgets.VBox(), ipywidgets.VBox()
        self._slot = self.below
        filters = [self.check, self.severity, self.type, self.stream, self.since, self.until]
        blank = ipywidgets.HTML(layout={"width": "150px", "flex": "0 0 auto"})
        self.table = ipywidgets.VBox(
            [ipywidgets.HBox([blank, self.head]), *self.rows], layout={"overflow": "auto", "width": "100%"}
        )
        self.body.children = [
            ipywidgets.HTML(f"<b>{marks.text(repr(report))}</b>"),
            ipywidgets.HBox(filters, layout={"flex_flow": "row wrap"}),
            self.heat,
            self.beside,
            ipywidgets.HBox(
                [self.sort, self.descending, self.back, self.count, self.on],
                layout={"flex_flow": "row wrap", "align_items": "center"},
            ),
            self.nothing,
            self.table,
            self.below,
        ]
        for name in _FILTERS:
            self.hear(getattr(self, name), partial(self._filtered, name))
        for name in ("stream", "since", "until"):
            self.hear(getattr(self, name), partial(self._typed, name))
        self.hear(self.sort, lambda value: self.move(sort=value, page=0, open=None))
        self.hear(self.descending, lambda value: self.move(descending=value, page=0, open=None))
        self.click(self.back, lambda: self.move(page=self.place.page - 1))
        self.click(self.on, lambda: self.move(page=self.place.page + 1))
        if log is not None and not isinstance(log, Log):
            raise EsbenchError(f"explore(report, log, aggregate): {log!r:.80} is no log")
        self.go(placed(Place, {**spec, "log": log, "aggregates": more or aggregates}, "the findings board"))

    def compute(self, call: Call, place: Place) -> Picture:
        """Filter, sort, and take a page."""
        chosen = _chosen(self.thing.findings, place)
        page = place.page
        if page == _ITS_PAGE and place.open in chosen.index:
            page = list(chosen.index).index(place.open) // PAGE
        page = min(max(page, 0), max((len(chosen) - 1) // PAGE, 0))
        return Picture(replace(place, page=page), chosen, chosen.iloc[page * PAGE : (page + 1) * PAGE])

    def paint(self, picture: Picture) -> None:
        """The page in the table; the machine at the finding that is open."""
        place, chosen = picture.place, picture.chosen
        for name, column in _FILTERS.items():
            _choose(getattr(self, name), getattr(place, name), self.thing.findings[column])
        for name in ("stream", "since", "until"):
            value = getattr(place, name)
            getattr(self, name).value = "" if value is None else str(value)
        self.sort.value, self.descending.value = place.sort, place.descending
        records = picture.rows.to_dict("records")
        for number, row in enumerate(self.rows):
            index = int(picture.rows.index[number]) if number < len(records) else None
            row.paint(
                records[number] if number < len(records) else None, opened=index is not None and index == place.open
            )
        start = place.page * PAGE
        self.count.value = f"{start + 1:,}–{start + len(records):,} of {len(chosen):,}" if records else ""
        self.back.disabled, self.on.disabled = place.page == 0, start + PAGE >= len(chosen)
        self.table.layout.display = "" if records else "none"
        self.nothing.value = "" if records else _nothing(self.thing, place)
        self._open(place)
        self.heat.mark(place.open)
        filters = replace(place, page=0, open=None, sort="severity", descending=False)
        if filters != self._drawn:
            self._drawn = filters
            self.aside("drawing", lambda _: mapped(chosen), self.heat.paint)

    def code(self, names: Names) -> list[str]:
        """The findings on the page; above it the state at the one that is open."""
        place, report = self.picture.place, names.of(self.thing, "report")
        found = names.new("findings")
        lines = [f"{found} = {report}.findings"]
        for name, column in _FILTERS.items():
            if (value := getattr(place, name)) is not None:
                lines.append(f'{found} = {found}[{found}["{column}"] == {value!r}]')
        if place.stream:
            text = repr(str(place.stream))
            lines.append(f'{found} = {found}[{found}["stream_id"].str.contains({text}, regex=False, na=False)]')
        for sign, value in ((">=", place.since), ("<=", place.until)):
            if value:
                lines.append(f'{found} = {found}[{found}["recorded_at"] {sign} {_stamp(value).isoformat()!r}]')
        if len(self.picture.chosen):
            lines.append(call(f"{names.es}.plots.findings_heatmap", found, bins=COLUMNS, limit=STREAMS))
        if _SORTS[place.sort]:
            by = f"{_SORTS[place.sort]!r}, ascending={not place.descending}"
            lines.append(f'{found} = {found}.sort_values({by}, kind="stable")')
        elif place.descending:
            lines.append(f"{found} = {found}.iloc[::-1]")
        row = self._row(place)
        if self.machine is not None and row is not None:
            log, aggregate = names.of(place.log, "log"), names.of(_aggregate(place, row), "aggregate")
            version = _version(row)
            at = "" if version is None else f", version={version}"
            lines.append(f"{log}.state({aggregate}, {str(row['stream_id'])!r}{at})")
        return [*lines, f"{found}.iloc[{place.page * PAGE}:{(place.page + 1) * PAGE}]"]

    def still(self) -> str:
        """The heat map, the page as a table, and what is open."""
        columns = ["severity", "check", "stream_id", "version", "event_type", "recorded_at", "explanation"]
        picture: Picture = self.picture
        body = show.table(picture.rows[columns], title=repr(self.thing), limit=PAGE, of=len(picture.chosen))
        opened = self.machine.to_html() if self.machine is not None else ""
        return f"{self.heat.still()}{body}{self.nothing.value}{opened}"

    def _filtered(self, name: str, value: Any) -> None:
        self.move(**{name: None if value is _ALL else value, "page": 0, "open": None})

    def _typed(self, name: str, value: str) -> None:
        if name != "stream" and value.strip():
            _stamp(value)  # what is no time is told, and the board stays where it is
        self._filtered(name, value if name == "stream" else value.strip() or None)

    def show_finding(self, number: int) -> None:
        """Open the time machine at a finding on the page."""
        if number < len(self.picture.rows):
            self._slot = self.below
            self.move(open=int(self.picture.rows.index[number]))

    def _found(self, index: int) -> None:
        """Open the time machine at a finding of the heat map, and turn the table to it."""
        self._slot = self.beside
        self.move(open=index, page=_ITS_PAGE)

    def _row(self, place: Place) -> dict[Any, Any] | None:
        found = self.thing.findings
        return found.loc[place.open].to_dict() if place.open is not None and place.open in found.index else None

    def _open(self, place: Place) -> None:
        row = self._row(place)
        if row is None:
            self.machine = None
            self._stand()
            return
        aggregate = None if show.missing(row["stream_id"]) else _aggregate(place, row)
        if aggregate is None or place.log is None:
            self.machine = None
            self._stand(ipywidgets.HTML(_unopened(place, row)))
            return
        stream, version = str(row["stream_id"]), _version(row)
        if self.machine is None or self.machine.place.aggregate is not aggregate:
            self.machine = TimeMachine(place.log, aggregate, names=self._namespace, stream=stream, version=version)
            self.machine.name_code("code of the time machine")
        elif (self.machine.place.stream, self.machine.place.version) != (stream, version):
            self.machine.visit(stream, version)
        told = f'<div class="es-note">{marks.text(row["explanation"], width=600)}</div>'
        self._stand(ipywidgets.HTML(told), self.machine)

    def _stand(self, *children: Any) -> None:
        """Put what is open in its place, out of the other first: a widget is in one only."""
        for slot in (self.beside, self.below):
            if slot is not self._slot:
                slot.children = ()
        self._slot.children = children


class _Row(Part, ipywidgets.HBox):  # type: ignore[misc]
    """One finding: a button that opens it, and what it says."""

    def __init__(self, board: FindingsBoard, number: int) -> None:
        self.go = button("", "open the time machine at this finding", width="150px")
        self.go.layout.flex = "0 0 auto"
        self.words = ipywidgets.HTML(layout=_wide())
        super().__init__([self.go, self.words], layout={"align_items": "flex-start"})
        board.click(self.go, lambda: board.show_finding(number))

    def paint(self, row: Mapping[Any, Any] | None, *, opened: bool) -> None:
        """Show a finding; none hides the row."""
        self.layout.display = "none" if row is None else ""
        if row is None:
            return
        stream = "the log" if show.missing(row["stream_id"]) else show.cell(row["stream_id"], width=40)
        version = "" if show.missing(row["version"]) else f" @ {row['version']}"
        self.go.description = f"{stream}{version}"
        self.go.tooltip = f"open the time machine at {stream}{version}"
        self.go.button_style = "info" if opened else ""
        explained = marks.text(row["explanation"], width=400)
        cells = [
            marks.text(" ".join((SIGNS[row["severity"]], row["severity"]))),
            marks.text(row["check"], width=40),
            marks.text(row["event_type"], width=60),
            marks.text(row["recorded_at"]),
            f'<span style="{_THREE_LINES}" title="{explained}">{explained}</span>',
            '<span class="es-faint" title="no repair is proposed yet">none yet</span>',
        ]
        self.words.value = f'<div style="{_COLUMNS}">{"".join(f"<div>{each}</div>" for each in cells)}</div>'


def _wide() -> Any:
    return ipywidgets.Layout(flex="1 1 0", width="auto", min_width="620px")


def _choice(words: str, values: Any) -> Any:
    """A list of the values that there are, the first fifty of them, with how many findings each has."""
    counts = values.value_counts(sort=False).head(50)
    options = [("all", _ALL), *((f"{show.cell(name, width=40)} ({n:,})", str(name)) for name, n in counts.items())]
    return ipywidgets.Dropdown(description=words, options=options, layout={"width": "270px"})


def _choose(control: Any, value: Any, values: Any) -> None:
    """Choose a value, which gets an option of its own where it is none of the first, or of none."""
    value = _ALL if value is None else value
    if value not in [each for _, each in control.options]:
        n = int((values == value).sum())
        control.options = [*control.options, (f"{show.cell(value, width=40)} ({n:,})", value)]
    control.value = value


def _entry(words: str, example: str) -> Any:
    return ipywidgets.Text(description=words, placeholder=example, continuous_update=False, layout={"width": "270px"})


def _stamp(value: str) -> Any:
    moment = es.at(as_of=value).as_of
    assert moment is not None
    return moment


def _chosen(findings: pd.DataFrame, place: Place) -> pd.DataFrame:
    found = findings
    for column, value in (("check", place.check), ("severity", place.severity), ("event_type", place.type)):
        if value is not None:
            found = found[found[column] == value]
    if place.stream:
        found = found[found["stream_id"].str.contains(place.stream, regex=False, na=False)]
    if place.since:
        found = found[found["recorded_at"] >= _stamp(place.since)]
    if place.until:
        found = found[found["recorded_at"] <= _stamp(place.until)]
    if place.sort not in _SORTS:
        near = nearest(str(place.sort), _SORTS)
        raise EsbenchError(f'findings are sorted by one of {", ".join(_SORTS)}, not by "{place.sort}".{near}')
    if _SORTS[place.sort]:
        return found.sort_values(_SORTS[place.sort], ascending=not place.descending, kind="stable")
    return found.iloc[::-1] if place.descending else found


def _aggregate(place: Place, row: Mapping[Any, Any]) -> Aggregate | None:
    """The aggregate that covers the stream of a finding; the first where none says so."""
    some = [each for each in place.aggregates if not each.keyed]
    kind = row["stream_type"]
    return next((each for each in some if kind in (each.stream_type, each.name)), some[0] if some else None)


def _version(row: Mapping[Any, Any]) -> int | None:
    """The version at which to look at a finding: after a gap, where the first state stands that lacks something."""
    if show.missing(row["version"]):
        return None
    if row["check"] != "version-gap":
        return int(row["version"])
    return 1 + int(row["version"] if show.missing(row["to_version"]) else row["to_version"])


def _unopened(place: Place, row: Mapping[Any, Any]) -> str:
    told = f'<div class="es-note">{marks.text(row["explanation"], width=600)}</div>'
    if show.missing(row["stream_id"]):
        return told + marks.note("This is a finding of the log as a whole: it has no stream to travel in.")
    return told + marks.note(
        "To open the time machine here, give the log and an aggregate: explore(report, log, aggregate)."
    )


def _nothing(report: Report, place: Place) -> str:
    if not len(report.findings):
        judged = ", ".join(report.aggregates)
        asked = {*report.checks, *report.not_claimed}
        lists = {
            "Ran": report.checks,
            "Not claimed (see report.not_claimed)": tuple(report.not_claimed),
            "Not asked for": tuple(name for name in CHECKS if name not in asked),
        }
        return marks.empty(
            f"No findings: {show.count(len(report.checks), 'check')} found nothing wrong.",
            f"Meaning was judged by {judged}." if judged else "Give log.check(…) an aggregate to judge meaning too.",
        ) + "".join(marks.note(f"{told}: {', '.join(names)}.") for told, names in lists.items() if names)
    return marks.empty("No finding is like that.", 'Set Check, Severity and Type to "all", and empty the other fields.')

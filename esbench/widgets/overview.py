"""The overview of a log: what is in it, when, of which types and in which streams; a range selected, all follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import ipywidgets
import pandas as pd

import esbench as es
from esbench import show
from esbench.event import CANONICAL, at
from esbench.log import Log
from esbench.widgets import charts, marks
from esbench.widgets.calls import Call
from esbench.widgets.code import Names, call
from esbench.widgets.summaries import PAGE, Picture, Place, moments, read, selected
from esbench.widgets.view import View, button, placed

__all__ = ["LogOverview"]

_WIDTH = {"description_width": "48px"}


class LogOverview(View):
    """Volume over time, types, streams, schema versions and lags of a log; a range of time and types narrow them all.

    ``selection`` is what is selected as a relation, ``selection_frame()`` as a DataFrame.

    >>> import esbench as es
    >>> view = LogOverview(es.open().load("data/inventory.jsonl"), types=("ItemRetired",))
    >>> view.wait(), view.spec
    (True, {'types': ('ItemRetired',)})
    >>> len(view.selection_frame()) == view.picture.events
    True
    """

    title = "Log overview"

    def __init__(self, log: Log, *, names: Mapping[str, Any] | None = None, **spec: Any) -> None:
        super().__init__(log, names=names)
        self.heading = ipywidgets.HTML()
        self.volume = ipywidgets.HTML(layout={"width": "100%"})
        self.over_time = ipywidgets.VBox(layout={"width": "100%"})
        self.since = ipywidgets.Text(
            description="From", placeholder="the beginning", continuous_update=False, style=_WIDTH,
            tooltip="recorded at or after, such as 2024-03-01T12:00Z", layout={"width": "270px"},
        )  # fmt: skip
        self.until = ipywidgets.Text(
            description="Before", placeholder="the end", continuous_update=False, style=_WIDTH,
            tooltip="recorded before, such as 2024-03-02T12:00Z", layout={"width": "270px"},
        )  # fmt: skip
        self.types = ipywidgets.SelectMultiple(
            description="Types", options=[], rows=6, style=_WIDTH, layout={"width": "100%", "max_width": "560px"},
            tooltip="event types; none or all: every type. Ctrl or Shift selects several",
        )  # fmt: skip
        self.all = button("Select everything", "the whole log: every time and every type", icon="undo")
        self.parts = [ipywidgets.HTML(layout={"flex": "1 1 340px", "min_width": "300px"}) for _ in range(5)]
        self.page = ipywidgets.HTML(layout={"width": "100%"})
        grid = ipywidgets.Box(
            self.parts, layout={"flex_flow": "row wrap", "width": "100%", "grid_gap": "12px 32px", "margin": "8px 0"}
        )
        bounds = ipywidgets.Box(
            [self.since, self.until, self.all], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        self._ranged(["…", "… "], (0, 1))
        self.hear(self.since, lambda text: self.move(since=_moment(text)), always=True)
        self.hear(self.until, lambda text: self.move(until=_moment(text)), always=True)
        self.hear(self.types, self._typed)
        self.click(self.all, lambda: self.move(since=None, until=None, types=None), always=True)
        self.body.children = [self.heading, self.volume, self.over_time, bounds, self.types, grid, self.page]
        if isinstance(spec.get("types"), str):
            spec["types"] = [spec["types"]]
        self.go(placed(Place, spec, "the overview of a log"))

    @property
    def selection(self) -> duckdb.DuckDBPyRelation:
        """What is selected, as a relation over the columns of a log; executed again at every read."""
        return selected(self.thing.source, self.place).relation()

    def selection_frame(self, *, limit: int | None = None) -> pd.DataFrame:
        """What is selected, as a DataFrame by position; ``limit``: only the first so many events."""
        cut = "" if limit is None else f" limit {int(limit)}"
        text = f"select {', '.join(CANONICAL)} from events order by position{cut}"
        return selected(self.thing.source, self.place).df(text)

    def compute(self, call: Call, place: Place) -> Picture:
        """In a thread: everything that is shown of a selection."""
        return read(call, self.thing, place)

    def paint(self, picture: Picture) -> None:
        """Put it on the screen."""
        self.heading.value = _heading(self.thing, picture)
        self.volume.value = _volume(picture)
        self._paint_controls(picture)
        for part, html in zip(self.parts, _parts(picture), strict=True):
            part.value = html
            part.layout.display = "" if html else "none"
        self.page.value = _page(picture)

    def code(self, names: Names) -> list[str]:
        """The calls that give the pictures, and the selection as a log of its own."""
        log, place = names.of(self.thing, "log"), self.place
        conditions: list[str] = []
        options: dict[str, Any] = {}
        for name, moment, sign in zip(("since", "until"), moments(place), (">=", "<"), strict=True):
            if moment is not None:
                conditions.append(f"recorded_at {sign} ${name}::timestamptz")
                options[name] = moment.isoformat()
        if place.types is not None:
            conditions.append("list_contains($types::varchar[], event_type)")
            options["types"] = list(place.types)
        selection, relation, frame = (names.new(name) for name in ("selection", "relation", "frame"))
        # A cell shows its last value by itself, and no other.
        display, plots = names.imported("IPython.display", "display"), f"{names.es}.plots"
        chosen = f"{log}.source"
        if conditions:
            chosen = call(f"{chosen}.where", repr(" and ".join(conditions)), **options)
        first = "select * from events order by position limit 1000"
        return [
            f"{selection} = {chosen}",
            f"{relation}, {frame} = {selection}.relation(), {selection}.df({first!r})",
            f"{display}({plots}.stream_lengths({selection}), {plots}.event_mix({selection}))",
            f"{plots}.timeline({selection})",
        ]

    def still(self) -> str:
        """What is on screen, without controls."""
        picture = self.picture
        cells = "".join(f'<div style="flex:1 1 340px;min-width:300px">{part}</div>' for part in _parts(picture) if part)
        grid = f'<div style="display:flex;flex-wrap:wrap;gap:12px 32px;margin:8px 0">{cells}</div>'
        return _heading(self.thing, picture) + _volume(picture) + grid + _page(picture)

    def _ranged(self, options: list[Any], index: tuple[int, int]) -> None:
        """A new slider: one that gets other options answers with where its handles were, as if somebody had moved."""
        self._stands = index
        self.range = ipywidgets.SelectionRangeSlider(
            options=options,
            index=index,
            readout=False,
            continuous_update=True,
            tooltip="the range of time: two handles, which the arrow keys move",
            layout={"width": "100%", "margin": "0"},
        )
        self.hear(self.range, self._slid, trait="index")
        self.over_time.children = [self.range]

    def _slid(self, index: tuple[int, int]) -> None:
        first, last = index
        edges = self.range.options
        with self._lock:  # no picture is painted between where it stands and where it goes
            self._stands = index
            if first != last:  # both handles at one edge: nothing lies between them
                self.move(
                    since=None if first == 0 else edges[first][1],
                    until=None if last == len(edges) - 1 else edges[last][1],
                )

    def _typed(self, chosen: tuple[str, ...]) -> None:
        known = [value for _, value in self.types.options]
        whole = len(chosen) in (0, len(known)) and len(known) == len(self.picture.types)
        self.move(types=None if whole or not chosen else tuple(chosen))

    def _paint_controls(self, picture: Picture) -> None:
        # Somebody may be further than this picture: their controls stay where they put them.
        place, edges = self.place, list(picture.volume.attrs.get("edges", ()))
        options = [(show.cell(edge), edge.isoformat().replace("+00:00", "Z")) for edge in edges]
        there = len(options) > 2
        self.over_time.layout.display = "" if there else "none"
        index = _index(edges, place) if there else (0, 1)
        if there and list(self.range.options) != options:
            self._ranged(options, index)
        elif there and self._stands != index:
            # Not what the handles say by now: a move that is not heard yet must not be taken back.
            self._stands = self.range.index = index
        self.since.value, self.until.value = place.since or "", place.until or ""
        shown = picture.types.head(PAGE)
        labels = [
            (f"{show.cell(name, width=60)} ({n:,})", name)
            for name, n in zip(shown["event_type"], shown["events"], strict=True)
        ]
        if list(self.types.options) != labels:
            self.types.value = ()
            self.types.options = labels
        known = set(shown["event_type"])
        self.types.value = tuple(name for name in place.types or () if name in known)
        self.types.rows = max(2, min(len(labels), 6))


def _index(edges: list[Any], place: Place) -> tuple[int, int]:
    """Where the handles of the slider stand: at the edges of the bins in which a range begins and ends."""
    since, until = moments(place)
    last = len(edges) - 1
    first = 0 if since is None else max([n for n, edge in enumerate(edges) if edge <= since], default=0)
    end = last if until is None else min([n for n, edge in enumerate(edges) if edge >= until], default=last)
    first = min(first, last - 1)
    return first, max(end, first + 1)


def _moment(text: str) -> str | None:
    """A time as it was typed; None for none. Raises BadCoordinate."""
    text = text.strip()
    return None if not text or at(as_of=text).as_of is None else text


def _heading(log: Log, picture: Picture) -> str:
    place = picture.place
    total = int(picture.types["events"].sum())
    narrowed = place != Place()
    whole = show.count(total, "event")
    told = f"{picture.events:,} of {whole} selected" if narrowed else whole
    counts = f"{told}, {show.count(picture.streams, 'stream')}, {show.count(len(picture.types), 'type')}"
    notes = "".join(marks.note(note) for note in log.facts.notes[:4])
    return f"<div><b>{marks.text(log.name, width=120)}</b>: {marks.text(counts)}</div>{notes}"


def _volume(picture: Picture) -> str:
    """Volume over time; or why there is none."""
    volume, place = picture.volume, picture.place
    if picture.types.empty:
        return marks.empty(
            "This log has no events.", "Look at log.rejects for what could not be read, or load later events of it."
        )
    untimed, outside = (volume.attrs.get(name, 0) for name in ("without_time", "outside"))
    notes = [f"{show.count(untimed, 'event')} without a time: no range of time has them."] if untimed else []
    if outside:
        notes.append(f"{show.count(outside, 'event')} before 0001-01-02 or from 9999-12-01 on: no picture has room "
                     "for these times. They are in a range that has no beginning, or no end.")  # fmt: skip
    if volume.empty:
        if outside:
            return marks.empty("No event has a time that a picture has room for.", " ".join(notes))
        if untimed:
            return marks.empty(
                "No event has a recorded time, so there is nothing to see over time.",
                "Name its column when you load: bench.load(…, columns={'recorded_at': …}).",
            )
        return marks.empty("No event is of the types that are selected.", "Select other types, or everything.")
    chosen = None if place.since is place.until is None else moments(place)
    drawn = charts.columns(volume, height=130, chosen=chosen, colours=_colours(picture))
    return f"<b>Events over time</b>{drawn}{''.join(map(marks.note, notes))}"


def _parts(picture: Picture) -> list[str]:
    """Types, lengths, ages, schema versions and lags; empty where nothing is selected."""
    if not picture.events:
        why = "Nothing is selected." if len(picture.types) else ""
        none = marks.empty(why, "No event is of these types in this time: widen one of them.") if why else ""
        return [none, "", "", "", ""]
    assert picture.mix is not None
    assert picture.lengths is not None
    assert picture.ages is not None
    assert picture.versions is not None
    return [
        _types(picture),
        charts.bars(
            [f"{name} event{'' if name == '1' else 's'}" for name in picture.lengths["events"]],
            picture.lengths["streams"].tolist(),
            head="Streams by length",
        ),
        charts.bars(
            picture.ages["span"].tolist(), picture.ages["count"].tolist(), head="Streams by age: first to last event"
        )
        if len(picture.ages)
        else _none("Streams by age", "no event has a recorded time"),
        f"<b>Schema versions over time</b>{charts.columns(picture.versions, height=80)}"
        if len(picture.versions)
        else _none("Schema versions over time", "no event has a recorded time"),
        _lags(picture),
    ]


def _colours(picture: Picture) -> dict[str, str]:
    """A colour for each type, the same whatever is selected; where rare types are, for those that are."""
    common = list(picture.types["event_type"].head(len(es.plots.palette.MANY)))
    chosen = picture.place.types
    colours: dict[str, str] = es.plots.palette.by_name(
        common if chosen is None or set(chosen) <= set(common) else chosen
    )
    return colours


def _types(picture: Picture) -> str:
    mix, place, colours = picture.mix, picture.place, _colours(picture)
    assert mix is not None
    shown = mix.head(PAGE // 4)
    faded = [
        colours.get(name, charts.OTHER) if place.types is None or name in place.types else "rgba(128,128,128,.35)"
        for name in shown["event_type"]
    ]
    more = marks.note(f"{len(shown):,} of {show.count(len(mix), 'type')}") if len(mix) > len(shown) else ""
    return charts.bars(
        shown["event_type"].tolist(), shown["events"].tolist(), head="Types by share", colours=faded,
        of=int(mix["events"].sum()),
    ) + more  # fmt: skip


def _lags(picture: Picture) -> str:
    head = "Lag: from occurred to recorded"
    if picture.lags is None or picture.lag is None:
        return _none(head, "no event says when it occurred (occurred_at)")
    told = ", ".join(
        f"{name} {es.plots.words.duration(float(span))}"
        for name, span in zip(("median", "95% within", "at most"), picture.lag, strict=True)
    )
    return charts.bars(picture.lags["span"].tolist(), picture.lags["count"].tolist(), head=head) + marks.note(told)


def _none(head: str, why: str) -> str:
    return f"<b>{head}</b>{marks.note(why)}"


def _page(picture: Picture) -> str:
    if picture.page is None or picture.page.empty:
        return ""
    return f"<details><summary><b>The first events</b></summary>{show.table(picture.page, of=picture.events)}</details>"

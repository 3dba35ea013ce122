"""A stream picked among millions: a search, a page of ids, and two buttons that turn pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets

from esbench import show
from esbench.errors import AggregateError
from esbench.log import Log
from esbench.widgets import marks
from esbench.widgets.calls import Call
from esbench.widgets.view import Part, View, button

__all__ = ["Picker"]

#: Ids on a page; no more go to the browser.
PAGE: Final = 50


class Picker(Part, ipywidgets.VBox):  # type: ignore[misc]
    """Part of a view: ``chosen(stream)`` is called when somebody picks one."""

    def __init__(self, view: View, log: Log, chosen: Callable[[str], None]) -> None:
        self._view, self._log = view, log
        self.first = 0
        self.of = 0
        self.search = ipywidgets.Text(
            placeholder="part of an id", description="Search", continuous_update=True, layout={"width": "auto"}
        )
        self.search.style.description_width = "56px"
        self.ids = ipywidgets.Select(options=[], rows=7, description="Stream", layout={"width": "auto"})
        self.ids.style.description_width = "56px"
        self.back = button("Back", "the page of streams before", icon="chevron-left")
        self.on = button("More", "the next page of streams", icon="chevron-right")
        self.count = ipywidgets.HTML(layout={"margin": "0 6px"})
        super().__init__(
            [self.search, self.ids, ipywidgets.HBox([self.back, self.count, self.on], layout={"align_items": "center"})]
        )
        view.hear(self.search, lambda _: self.turn(0), always=True)
        view.hear(self.ids, lambda stream: chosen(stream) if stream is not None else None, always=True)
        view.click(self.back, lambda: self.turn(self.first - PAGE), always=True)
        view.click(self.on, lambda: self.turn(self.first + PAGE), always=True)

    def turn(self, first: int) -> None:
        """Show the page that begins there."""
        text, start, aggregate = self.search.value, max(first, 0), self._view.place.aggregate

        def job(call: Call) -> Any:
            log = call.follow(self._log)
            try:
                return log.find_streams(text, aggregate=aggregate, limit=PAGE, offset=start)
            except AggregateError:  # nothing says what it covers: then any stream may be looked at
                return log.find_streams(text, limit=PAGE, offset=start)

        def then(found: Any) -> None:
            self.first, self.of = start, int(found.attrs["of"])
            shown = found["stream_id"].tolist()
            keep = self.ids.value
            # A select without a value picks its first option by itself; here nothing is picked by a search.
            self.ids.index = None
            self.ids.options = [(_label(each), each) for each in shown]
            self.ids.value = keep if keep in shown else None
            end = start + len(shown)
            self.count.value = f"{start + 1:,}–{end:,} of {self.of:,}" if shown else _none(text, aggregate)
            self.back.disabled, self.on.disabled = start == 0, end >= self.of

        self._view.aside("searching streams", job, then)

    def mark(self, stream: str) -> None:
        """Show which stream is on screen."""
        if self.ids.value != stream:
            self.ids.value = stream if stream in [value for _, value in self.ids.options] else None


def _none(text: str, aggregate: Any) -> str:
    whose = "" if aggregate is None else f" of {aggregate.name}"
    return marks.text(f"no stream{whose} has that in its id" if text else f"there is no stream{whose}")


def _label(stream: str) -> str:
    """An id as the list shows it: on one line, with what is hidden in it shown."""
    return show.cell(stream, width=80)

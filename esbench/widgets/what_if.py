"""Two panels of the time machine: this state beside another, and the stream as it would have been."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets

from esbench import payload, show
from esbench.errors import EsbenchError, nearest
from esbench.widgets import marks, telling
from esbench.widgets.code import Names, call
from esbench.widgets.reading import Picture
from esbench.widgets.view import Part, button

__all__ = ["Comparing", "Fold", "WhatIf", "branch_code", "edits_of"]

#: A payload that is longer is not put into the editor.
_LONGEST = 20_000
#: How many parts an edit has, by its verb.
_ARGUMENTS = {"drop": 2, "change": 3}
_EDITS = 'each is ("drop", version) or ("change", version, data)'


class Fold(Part, ipywidgets.VBox):  # type: ignore[misc]
    """A panel behind a button that shows and hides it: the heads of an Accordion cannot be reached by keyboard."""

    def __init__(self, panel: Any, words: str, hide: str, tooltip: str) -> None:
        self._panel, self._words, self._hide = panel, words, hide
        self.toggle = ipywidgets.ToggleButton(tooltip=tooltip, layout={"width": "auto", "align_self": "flex-start"})
        super().__init__([self.toggle, panel])
        self.toggle.observe(lambda change: self._turned(change["new"]), names="value")
        self._turned(False)

    def _turned(self, on: bool) -> None:
        # In words, since nothing else tells a screen reader whether it is open.
        self.toggle.description, self.toggle.icon = (self._hide, "caret-down") if on else (self._words, "caret-right")
        self._panel.layout.display = "" if on else "none"


class Comparing(Part, ipywidgets.VBox):  # type: ignore[misc]
    """What differs between the state on screen and another version, of this stream or of another."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self.stream = ipywidgets.Text(description="Stream", placeholder="this one", continuous_update=False)
        self.version = ipywidgets.Text(description="Version", placeholder="the end", continuous_update=False)
        self.go = button("Compare", "compare the state on screen with that one", icon="columns")
        self.end = button("Close", "compare no more")
        self.shown = ipywidgets.HTML()
        super().__init__([_wrapped([self.stream, self.version, self.go, self.end]), self.shown])
        machine.click(self.go, self._compare)
        machine.click(self.end, lambda: machine.move(other_stream=None, other_version=None), always=True)

    def paint(self, picture: Picture) -> None:
        """Show the comparison, which follows the slider."""
        if picture.compared is None:
            self.shown.value = ""
            return
        place = picture.place
        here = f"version {picture.course.versions[picture.at]}"
        there = f"{place.other_stream or 'the same'} @ {'end' if place.other_version is None else place.other_version}"
        self.shown.value = telling.differences(picture.compared, here, show.cell(there, width=60))

    def code(self, names: Names, log: str, aggregate: str) -> list[str]:
        """The calls for what differs."""
        picture: Picture = self._machine.picture
        place = picture.place
        if picture.compared is None:
            return []
        stream = repr(picture.course.stream)
        other = repr(place.other_stream or picture.course.stream)
        before, after, found = (names.new(name) for name in ("before", "after", "differences"))
        changes = names.imported("esbench.fold.changes", "changes")
        return [
            f"{before} = {call(f'{log}.state', aggregate, stream, version=place.version, as_of=place.as_of)}",
            f"{after} = {call(f'{log}.state', aggregate, other, version=place.other_version)}",
            f"{found} = {changes}({before}.value, {after}.value)",
        ]

    def _compare(self) -> None:
        version, stream = self.version.value.strip(), self.stream.value
        if version and not version.lstrip("-").isdecimal():
            raise EsbenchError(f"a version is a whole number, not {version!r}; leave it empty for the end")
        # Without either, it is the end of this stream.
        stream = stream or self._machine.picture.course.stream
        self._machine.move(other_stream=stream, other_version=int(version) if version else None)


class WhatIf(Part, ipywidgets.VBox):  # type: ignore[misc]
    """Drop the event on screen, or give it another payload, in a branch; see after which events the states differ."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self._shown: tuple[str, int] | None = None
        self.data = ipywidgets.Textarea(description="Data", rows=6, layout={"width": "95%"})
        self.drop = button("Drop this event", "as if it had not happened", icon="trash")
        self.change = button("Use this data", "as if it had had the payload in the editor", icon="pencil")
        self.undo = button("Undo", "without the last edit", icon="undo")
        self.shown = ipywidgets.HTML()
        super().__init__([self.data, _wrapped([self.drop, self.change, self.undo]), self.shown])
        machine.click(self.drop, lambda: self._edit("drop"))
        machine.click(self.change, lambda: self._edit("change"))
        machine.click(self.undo, lambda: machine.move(edits=machine.place.edits[:-1]), always=True)

    def paint(self, picture: Picture) -> None:
        """The event's payload in the editor, and where the states of the branch differ."""
        # Versions name what is edited: of those that several events claim, and of what is dropped, there is none.
        dropped = {number for verb, number, *_ in picture.place.edits if verb == "drop"}
        version = int(picture.course.versions[picture.at])
        one = len(picture.events) == 1 and picture.course.counts[picture.at] == 1 and version not in dropped
        if (picture.course.stream, version) != self._shown:
            self._shown = (picture.course.stream, version)
            text = picture.events["data"].iloc[0] if one else None
            text = "" if show.missing(text) else str(text)
            self.data.value = text if len(text) <= _LONGEST else ""
            self.data.placeholder = "the payload is too long to edit here" if len(text) > _LONGEST else "JSON"
        self.drop.disabled = self.change.disabled = not one
        self.undo.disabled = not picture.place.edits
        if picture.diverged is None:
            self.shown.value = marks.note("The log is not touched: edits are made in a branch, and drawn dashed above.")
        else:
            edits = "; ".join(f"{verb} version {number}" for verb, number, *_ in picture.place.edits)
            self.shown.value = marks.note(f"edits: {edits}") + telling.diverged(picture.diverged)

    def _edit(self, verb: str) -> None:
        picture: Picture = self._machine.picture
        version = int(picture.course.versions[picture.at])
        edit: tuple[Any, ...] = (verb, version)
        if verb == "change":
            edit = (verb, version, payload.decode(self.data.value))
        self._machine.move(edits=(*self._machine.place.edits, edit))


def edits_of(given: Any) -> tuple[tuple[Any, ...], ...]:
    """The edits of a spec, in which lists may stand for tuples. Raises EsbenchError for what is no edit.

    >>> edits_of([["drop", 3]])
    (('drop', 3),)
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise EsbenchError(f"edits= is a list of edits, not {given!r:.80}: {_EDITS}")
    edits = tuple(tuple(each) if isinstance(each, (list, tuple)) else (each,) for each in given)
    for each in edits:
        verb = each[0] if each else None
        if verb not in _ARGUMENTS:
            raise EsbenchError(f"an edit is made by no verb {verb!r:.80}.{nearest(str(verb), _ARGUMENTS)} {_EDITS}")
        if len(each) != _ARGUMENTS[verb] or isinstance(each[1], bool) or not isinstance(each[1], int):
            raise EsbenchError(f"{each!r:.80} is no edit: {_EDITS}")
    return edits


def branch_code(names: Names, picture: Picture, log: str, aggregate: str, stream: str) -> list[str]:
    """The calls that make the branch and say where it differs; by position, which any event has for itself."""
    if not picture.edited:
        return []
    made = [
        f".{verb}({', '.join([f'position={position}', *(f'data={names.value(one)}' for one in data)])})"
        for (verb, _, *data), position in zip(picture.place.edits, picture.edited, strict=True)
    ]
    branch, found = names.new("what_if"), names.new("diverged")
    return [
        f"{branch} = {call(f'{log}.branch', stream)}{''.join(made)}",
        f"{found} = {call(f'{branch}.diff', aggregate, by='version')}",
    ]


def _wrapped(controls: list[Any]) -> Any:
    return ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"})

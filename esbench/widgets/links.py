"""From an event to its cause and its effects, by the ids in metadata: a click jumps there."""

from __future__ import annotations

from typing import Any, Final

import ipywidgets

from esbench import show
from esbench.payload import name_at
from esbench.widgets import marks, telling
from esbench.widgets.calls import Call
from esbench.widgets.reading import Picture
from esbench.widgets.view import Part, button

__all__ = ["Links"]

#: So many effects get a button.
_SHOWN: Final = 12
#: The events that name a cause, counted, and the first of them. Few texts hold the id, or an escape that may hide it,
#: so that few are decoded; a number may be written in several ways.
_EFFECTS: Final = f"""
    select stream_id, version, event_type, count(*) over () as effects
    from events
    where {name_at("metadata", "$path")} = $id
        and (contains(metadata::varchar, $id) or contains(metadata::varchar, '\\') or isfinite(try_cast($id as double)))
    order by position limit {_SHOWN}
"""


class Links(Part, ipywidgets.VBox):  # type: ignore[misc]
    """Part of the time machine (which imports this module), below the event."""

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self._cause: str | None = None
        self._event: str | None = None
        self.cause = button("Cause", "jump to the event that its metadata names as the cause", icon="arrow-left")
        self.effects = button("Effects", "search the log for events that name this one as their cause", icon="search")
        self.said = ipywidgets.HTML()
        self.found = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        super().__init__([ipywidgets.HBox([self.cause, self.effects]), self.said, self.found])
        machine.click(self.cause, self._to_cause)
        machine.click(self.effects, self._search)

    def paint(self, picture: Picture) -> None:
        """Know the event on screen; what was found for another one goes."""
        cause = telling.meaning(picture, "causation_id", self._machine.thing.facts.keys)
        event = None if picture.events.empty else picture.events["event_id"].iloc[-1]
        event = None if show.missing(event) else str(event)
        if (event, cause) != (self._event, self._cause):
            self._event, self._cause = event, cause
            self.said.value, self.found.children = "", ()
        self.cause.disabled, self.effects.disabled = cause is None, event is None

    def _to_cause(self) -> None:
        machine, cause = self._machine, self._cause

        def job(call: Call) -> Any:
            return call.follow(machine.thing).sql(
                "select stream_id, version from events where event_id = $id order by position limit 1", id=cause
            )

        def then(found: Any) -> None:
            if found.empty:
                self.said.value = marks.empty(
                    f"The cause {cause} is no event of this log.",
                    "Causes often are commands; log.find(id) looks for it everywhere.",
                )
            else:
                machine.visit(str(found["stream_id"].iloc[0]), int(found["version"].iloc[0]))

        machine.start("looking for the cause", job, then)

    def _search(self) -> None:
        machine, event = self._machine, self._event
        path = machine.thing.facts.keys["causation_id"]

        def job(call: Call) -> Any:
            return call.follow(machine.thing).sql(_EFFECTS, id=event, path=path)

        def then(found: Any) -> None:
            rows = found.to_dict("records")
            if not rows:
                self.said.value = marks.empty("No event names this one as its cause.", f"Looked at {path} in metadata.")
            else:
                of = show.count(int(rows[0]["effects"]), "effect")
                self.said.value = marks.note(of if len(rows) == rows[0]["effects"] else f"{of}; the first {len(rows)}:")
            self.found.children = [self._jump(row) for row in rows]

        machine.start("searching for effects", job, then)

    def _jump(self, row: dict[Any, Any]) -> Any:
        stream, version = str(row["stream_id"]), int(row["version"])
        words = f"{show.cell(row['event_type'], width=30)} · {show.cell(stream, width=30)}@{version}"
        made = button(words, "jump to this effect", icon="arrow-right")
        self._machine.click(made, lambda: self._machine.visit(stream, version))
        return made

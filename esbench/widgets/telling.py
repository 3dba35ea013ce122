"""What the time machine says, as HTML: where it stands, the event, the invariants, what differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from esbench import payload, show
from esbench.fold.changes import Change, brief
from esbench.widgets import marks, trees
from esbench.widgets.picture import Picture

__all__ = [
    "below_lines",
    "differences",
    "diverged",
    "events",
    "heading",
    "lamps",
    "meaning",
    "notes",
    "state",
]

#: Invariants, marks and rows of a table that are shown.
_LAMPS, _MARKS, _ROWS = 24, 6, 20
_BESIDE: Final = ("correlation_id", "commit_id", "writer")


def heading(picture: Picture) -> str:
    """Stream, version and time; over time the moment."""
    state, course, place = picture.state, picture.course, picture.place
    assert state is not None
    on = "before its first event" if state.version is None else f"version {state.version:,}"
    time = "" if picture.events.empty else f" · {marks.text(picture.events['recorded_at'].iloc[-1])}"
    if picture.moment is None:
        where = f"(place {picture.at + 1:,} of {len(course):,}, up to version {int(course.versions[-1]):,})"
    else:
        where = f"(moment {picture.moment + 1:,} of {len(course.moments):,})"
    as_of = "" if place.as_of is None else f" · as of {marks.text(place.as_of)}"
    return (
        f'<div><b class="es-id" style="overflow-wrap:anywhere">{marks.text(state.stream_id, width=120)}</b> · '
        f'<b class="es-version">{on}</b> <span class="es-faint">{where}{time}{as_of}</span></div>'
    )


def notes(picture: Picture) -> str:
    """What one should know of the log and of the stream, beside what is seen."""
    grown = "The log has changed since this widget opened it; what is shown is read from the log as it is now."
    return "".join(map(marks.note, filter(None, (grown if picture.stale else "", picture.course.hint))))


def below_lines(picture: Picture) -> str:
    """What the lines span where that is not what the slider spans, and which numbers have none."""
    chart, words = picture.chart, []
    if chart.lines and chart.words:
        words.append(chart.words)
    if chart.more:
        words.append(f"{show.count(chart.more, 'more numeric field')} of the state without a line.")
    if picture.diverged is not None and picture.moment is not None:
        words.append("What the branch would be is drawn over versions only.")
    return marks.note(" ".join(words)) if words else ""


def lamps(picture: Picture) -> str:
    """Each invariant, lit by whether it holds here; and the damage that the state is folded past."""
    state, aggregate = picture.state, picture.place.aggregate
    assert state is not None
    assert aggregate is not None
    broken = {each.invariant: each for each in state.broken}
    shown = []
    for name in list(aggregate.invariants)[:_LAMPS]:
        each = broken.get(name)
        if each is None:
            shown.append(f'<span class="es-lamp es-good">✓ {marks.text(name, width=90)}</span>')
        else:
            since = "" if each.version is None else f" since version {each.version:,}"
            why = f" ({marks.text(each.note, width=120)})" if each.note else ""
            shown.append(f'<span class="es-lamp es-bad">✗ {marks.text(name, width=90)}{since}{why}</span>')
    marked = [f'<span class="es-lamp es-bad">⚠ {marks.text(mark)}</span>' for mark in state.marks[:_MARKS]]
    more = [marks.note(f"{_MARKS} of {len(state.marks):,} marks")] if len(state.marks) > _MARKS else []
    return "".join([*shown, *marked, *more]) or marks.note(f"{aggregate.name} declares no invariant")


def state(picture: Picture) -> str:
    """The state as a tree, with what the event changed."""
    assert picture.state is not None
    changed = trees.changed(picture.changed, max(picture.of, 1))
    return f"<b>State</b>{changed}{trees.tree(picture.state.value, picture.changed)}"


def events(picture: Picture) -> str:
    """The event, or those that share the version or the moment."""
    rows, of = picture.events, picture.of
    if rows.empty and picture.moment is not None:
        return f"<b>Event</b>{marks.note('no event of the stream was recorded by then')}"
    if rows.empty:
        return f"<b>Event</b>{marks.note('no event has this version: the state is that of the last one before it')}"
    shared = "with this version" if picture.moment is None else "recorded at this moment"
    fork = marks.note(f"{len(rows)} of {of:,} events {shared}") if of > 1 else ""
    return "<b>Event</b>" + fork + "<hr>".join(_event(row) for row in rows.to_dict("records"))


def _event(row: dict[Any, Any]) -> str:
    pairs = [("type", f"<b>{marks.text(row['event_type'])}</b>"), ("recorded", marks.text(row["recorded_at"]))]
    if not show.missing(row["occurred_at"]):
        pairs.append(("occurred", marks.text(row["occurred_at"])))
    pairs.append(("position", marks.text(row["position"])))
    for name in ("event_id", "schema_version", "stream_type", "source_position"):
        if not show.missing(row[name]):
            pairs.append((name.replace("_", " "), f'<code class="es-id">{marks.text(row[name])}</code>'))
    return (
        marks.table(pairs)
        + f"<div><i>data</i>{trees.payload_tree(_maybe(row['data']), 'payload')}</div>"
        + f"<div><i>metadata</i>{trees.payload_tree(_maybe(row['metadata']), 'metadata')}</div>"
    )


def meaning(picture: Picture, name: str, keys: Any) -> str | None:
    """What the event's metadata says under a name with a meaning, such as ``causation_id``; None for nothing."""
    if picture.events.empty:
        return None
    text = _maybe(picture.events["metadata"].iloc[-1])
    if text is None:
        return None
    try:
        value = payload.decode(text)
    except Exception:  # noqa: BLE001 (hostile payloads)
        return None
    for token in keys.get(name, f"/{name}").split("/")[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(token.replace("~1", "/").replace("~0", "~"))
    return None if value is None or isinstance(value, (dict, list)) else str(value)


def differences(found: Iterable[Change], here: str, there: str) -> str:
    """What differs between two states, a row a path."""
    every = list(found)
    if not every:
        return marks.note("the two states are the same")
    rows = pd.DataFrame(
        {
            "path": [one.path for one in every[:_ROWS]],
            here: [brief(one.before) for one in every[:_ROWS]],
            there: [brief(one.after) for one in every[:_ROWS]],
        }
    )
    return show.table(rows, limit=_ROWS, of=len(every))


def diverged(found: pd.DataFrame) -> str:
    """After which events the states of a branch differ from those of the log."""
    if found.empty:
        return marks.note("with these edits every state is the same as before")
    shown = found.head(_ROWS).copy()
    for name in ("before", "after"):
        shown[name] = [brief(value) for value in shown[name]]
    return show.table(shown, limit=_ROWS, of=len(found))


def _maybe(value: Any) -> str | None:
    return None if show.missing(value) else str(value)

"""What the migration desk says, as HTML: lights, what changes, failures, and two runs side by side; all escaped."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from esbench import show
from esbench.fold.changes import ABSENT, brief
from esbench.migrate.dry import DryRun
from esbench.migrate.gates import Outcome
from esbench.migrate.telling import summary
from esbench.widgets import marks, trees
from esbench.widgets.rehearsal import Example, Picture, States

__all__ = ["PAGE", "compared", "details", "events", "failures", "gate", "heading", "lines", "state", "steps", "types"]

#: Rows of a table that go to the browser.
PAGE: Final = 50
_ROWS: Final = 12
#: So many rows are shown without being asked for.
_FEW: Final = 4
_LAMPS: Final = {"passed": ("es-good", "✓"), "failed": ("es-bad", "✗"), "not applicable": ("", "○")}


def heading(run: DryRun) -> str:
    """One line of what would become of the log, and what the run warns of."""
    warned = "".join(f'<div class="es-note">⚠ {marks.text(one, width=300)}</div>' for one in run.warnings[:5])
    return f"<div><b>Dry run</b> of {marks.text(summary(run), width=600)}</div>{warned}"


def lines(words: str, *, alert: bool = False) -> str:
    """A text of several lines, each escaped."""
    each = "<br>".join(marks.text(line, width=600).replace("  ", "&nbsp; ") for line in words.split("\n")[:30])
    return f'<div class="{"es-fault" if alert else "es-note"}" role="{"alert" if alert else "status"}">{each}</div>'


def gate(outcome: Outcome, *, accepted: bool = False) -> str:
    """A gate as a light with a sign, its name, and what was seen."""
    kind, sign = _LAMPS[outcome.status]
    status = "failed, accepted" if accepted and outcome.status == "failed" else outcome.status
    return (
        f'<div><span class="es-lamp {kind}">{sign} {status}</span> <b>{marks.text(outcome.name)}</b>: '
        f"{marks.text(outcome.text, width=600)}</div>"
    )


def details(outcome: Outcome) -> str:
    """The streams, versions and values that fail a gate."""
    rows = outcome.details
    if rows is None or rows.empty:
        return ""
    if {"severity", "check", "explanation"} <= set(rows.columns):
        # Findings are sentences, which a narrow page breaks better than a table.
        listed = "".join(
            f"<li>{marks.text(row.severity)}: <b>{marks.text(row.check)}</b>, {marks.text(row.explanation)}</li>"
            for row in rows.head(_ROWS).itertuples()
        )
        more = marks.note(f"{_ROWS} of {len(rows):,}") if len(rows) > _ROWS else ""
        told = f'<ul style="margin:2px 0;padding-left:1.4em;overflow-wrap:anywhere">{listed}</ul>{more}'
    else:
        silent = [name for name in ("expected", "note") if name in rows and not rows[name].any()]
        told = show.table(rows.drop(columns=silent), limit=_ROWS)
    opened = " open" if len(rows) <= _FEW else ""
    return (
        f"<details{opened}><summary>what fails it ({show.count(len(rows), 'row')})</summary>"
        f'<div style="overflow-x:auto">{told}</div></details>'
    )


def events(run: DryRun, shape: int, found: Example | None) -> str:
    """What changes in the events of a shape, by an example."""
    groups = run.changes.groups
    if groups.empty:
        return marks.empty("No event changes.", "The steps meet no event, or only drop or add some: see the steps.")
    row = groups.iloc[min(shape, len(groups) - 1)]
    rows = [
        (path, row["before"].get(path, ABSENT), row["after"].get(path, ABSENT))
        for path in {**row["before"], **row["after"]}
    ]
    looked = "" if run.changes.compared >= run.changes.changed else (
        marks.note(f"shapes of {run.changes.compared:,} of {run.changes.changed:,} changed events")
    )  # fmt: skip
    table = "".join(
        f'<tr><th scope="row">{marks.text(path)}</th>{_side(before, "es-removed")}{_side(after, "es-added")}</tr>'
        for path, before, after in rows[:PAGE]
    )
    beside = "" if found is None else (
        f'<div style="display:flex;flex-wrap:wrap;gap:8px 24px">{_event("Before", found.before)}'
        f"{_event('After', found.after)}</div>"
    )  # fmt: skip
    return (
        f"{looked}<div><b>{marks.text(row['event_type'])}</b>: {marks.text(row['shape'])} "
        f"({show.count(int(row['events']), 'event')}; for example at position {int(row['position']):,})</div>"
        f'<table class="es-table"><tr><th>path</th><th>before</th><th>after</th></tr>{table}</table>{beside}'
    )


def types(run: DryRun) -> str:
    """Event types that are more or fewer after it."""
    changed = run.types[run.types["before"] != run.types["after"]]
    if changed.empty:
        return marks.note("as many events of each type before as after")
    return show.table(changed, title="Event types of which there are more or fewer", limit=PAGE)


def state(picture: Picture) -> str:
    """The states of one stream before and after; or what to do to see them."""
    if picture.run is None or not any(hasattr(gate, "old") for gate in picture.run.migration.gates):
        return marks.empty("No gate of this migration compares states.", "Add gates=[es.same_state(old, new)] to it.")
    if picture.place.stream is None:
        return marks.note("Choose a stream, and see its state before and after.")
    found = picture.states
    return "".join(
        f"<div><b>{marks.text(one.gate)}</b></div>"
        + (
            marks.empty(one.why, "A stream that was renamed, split or merged stands under another id afterwards.")
            if one.why
            else _states(one)
        )
        for one in found[:8]
    )


def failures(run: DryRun) -> str:
    """Events on which a function failed."""
    rows = run.failures
    if rows.empty:
        return marks.empty("No function failed on an event.", "Nothing is to be done here.")
    of = int(rows.attrs["count"])
    told = rows[["step", "position", "stream_id", "version", "event_type", "error"]]
    return show.table(told, title=f"{show.count(of, 'event')} would stay as they are", limit=PAGE, of=of)


def steps(run: DryRun) -> str:
    """What each step met and did."""
    rows = run.steps
    usual = ["step", "does", "matched", "changed"]
    return show.table(rows[[name for name in rows.columns if name in usual or rows[name].any()]], limit=PAGE)


def compared(picture: Picture) -> str:
    """Two runs side by side: counts, gates, types."""
    run, other = picture.run, picture.other
    if run is None or other is None:
        return marks.empty(
            "There is no other run to compare this one with.",
            "Leave steps out under “steps” and run again, or edit the migration and call view.compare(edited), "
            "or explore(log, migration=edited, against=this_one).",
        )
    sides = [(name, each.counts) for name, each in (("this run", run), ("the other", other))]
    names = dict.fromkeys(fate for _, counts in sides for fate, n in counts.fates.items() if n)
    counts = pd.DataFrame(
        {"events": ["before", "after", *names]}
        | {name: [one.before, one.after, *(one.fates.get(fate, 0) for fate in names)] for name, one in sides}
    )
    lights = [{gate.name: f"{_LAMPS[gate.status][1]} {gate.status}" for gate in each.gates} for each in (run, other)]
    every = list(dict.fromkeys([*lights[0], *lights[1]]))
    gates = pd.DataFrame(
        {"gate": every, "this run": [lights[0].get(name, "") for name in every]}
        | {"the other": [lights[1].get(name, "") for name in every]}
    )
    both = run.types.merge(other.types, on="event_type", how="outer", suffixes=("", " of other"), sort=False)
    both = both.fillna({name: 0 for name in both.columns if name != "event_type"})
    kinds = pd.DataFrame(
        {
            "event type": both["event_type"],
            "before": both[["before", "before of other"]].max(axis=1).astype("int64"),
            "after this run": both["after"].astype("int64"),
            "after the other": both["after of other"].astype("int64"),
        }
    )
    differing = kinds[kinds["after this run"] != kinds["after the other"]]
    same = len(kinds) - len(differing)
    return (
        f"<div>{_said('this run', run)}<br>{_said('the other', other)}</div>"
        + _pairs(counts, "Counts")
        + _pairs(gates, "Gates")
        + (_pairs(differing, "Event types that differ") if len(differing) else "")
        + marks.note(f"{show.count(same, 'event type')} of which either leaves as many")
    )


def _said(name: str, run: DryRun) -> str:
    return f"<b>{name}</b>: {marks.text(run.migration.name)}, {show.count(len(run.migration.steps), 'step')}"


def _pairs(rows: pd.DataFrame, title: str) -> str:
    """A table of which the last two columns are compared: where they differ, a sign and a tint say so."""
    head = "".join(f'<th scope="col">{marks.text(name)}</th>' for name in rows.columns)
    body = []
    for row in rows.head(PAGE).itertuples(index=False, name=None):
        differs = row[-1] != row[-2]
        told = (f'<td style="white-space:nowrap">{_cell(value)}</td>' for value in row[1:])
        cells = f"<td>{_cell(row[0])}</td>{''.join(told)}"
        body.append(f"<tr{' class=es-changed' if differs else ''}>{cells}<td>{'≠' if differs else ''}</td></tr>")
    return (
        f'<table class="es-table"><caption style="text-align:left;font-weight:bold">{marks.text(title)}</caption>'
        f"<tr>{head}<th></th></tr>{''.join(body)}</table>"
    )


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else marks.text(value)


def _side(value: Any, kind: str) -> str:
    if value is ABSENT:
        return '<td class="es-faint" style="padding-left:6px">absent</td>'
    return f'<td class="{kind}" style="padding-left:6px"><code>{marks.text(brief(value), width=200)}</code></td>'


def _event(title: str, rows: pd.DataFrame) -> str:
    shown = [
        f"<div>{marks.text(row['event_type'])} · <span class='es-id'>{marks.text(row['stream_id'])}</span> "
        f"version {int(row['version']):,}</div>{trees.payload_tree(_maybe(row['data']), 'payload')}"
        for row in rows.to_dict("records")
    ]
    nothing = marks.note("nothing stands in its place")
    return f'<div style="flex:1 1 320px;min-width:280px"><b>{title}</b>{"".join(shown) or nothing}</div>'


def _states(one: States) -> str:
    told = (
        marks.note("the two states are the same") if not one.changed else
        marks.note(f"{show.count(len(one.changed), 'difference')}, marked in the state after")
    )  # fmt: skip
    return (
        f'{told}<div style="display:flex;flex-wrap:wrap;gap:8px 24px"><div style="flex:1 1 320px"><b>Before</b>'
        f'{trees.tree(one.old.value)}</div><div style="flex:1 1 320px"><b>After</b>'
        f"{trees.tree(one.new.value, one.changed)}</div></div>"
    )


def _maybe(value: Any) -> Any:
    return None if show.missing(value) else value

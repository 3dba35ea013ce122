"""How a dry run is told: in a terminal, as HTML, as markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from esbench import payload, show
from esbench.fold.changes import ABSENT, brief
from esbench.migrate.counts import Counts
from esbench.migrate.differences import Differences
from esbench.migrate.findings import Findings
from esbench.migrate.gates import Outcome
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result

__all__ = ["Told", "html", "json_text", "markdown", "summary", "text"]

_WIDTH = 100
#: So many shapes of change, failures and rows that fail a gate are shown; the frames have all.
_SHOWN = 8
_LIGHTS = {"passed": "●", "failed": "✖", "not applicable": "○"}
_COLOURS = {"passed": "#2a7f3f", "failed": "#c0392b", "not applicable": "#777"}


@dataclass(frozen=True, repr=False, eq=False)
class Told:
    """What there is to tell of a dry run."""

    migration: Migration
    name: str
    result: Result
    counts: Counts
    changes: Differences
    failures: pd.DataFrame
    findings: Findings | None
    gates: tuple[Outcome, ...]
    warnings: tuple[str, ...]
    sample: int | None

    @property
    def passed(self) -> bool:
        """Whether no gate fails."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the gates that fail."""
        return tuple(gate.name for gate in self.gates if gate.status == "failed")

    @property
    def steps(self) -> pd.DataFrame:
        """One row a step: matched, changed, dropped, merged, added, failed."""
        return self.counts.steps

    @property
    def types(self) -> pd.DataFrame:
        """One row an event type: how many before and after."""
        return self.counts.types

    def to_json(self) -> str:
        """The whole dry run as JSON text."""
        return json_text(self)

    def to_markdown(self) -> str:
        """The dry run as markdown, fit for a comment on a pull request."""
        return markdown(self)

    def __repr__(self) -> str:
        return f"DryRun: {summary(self)}"

    def __str__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)


def summary(run: Told) -> str:
    """One line: what would become of the events, and of the gates."""
    counts = run.counts
    fates = ", ".join(f"{n:,} {fate}" for fate, n in counts.fates.items() if n)
    failed = len(run.failed)
    gates = (
        f"{failed} of {show.count(len(run.gates), 'gate')} failed" if failed else f"{len(run.gates)} gates, none failed"
    )
    sample = "" if run.sample is None else f", a sample of {show.count(run.sample, 'stream')}"
    return (
        f"{show.cell(run.migration.name)} on {show.cell(run.name)}{sample}: {show.count(counts.before, 'event')} "
        f"become {counts.after:,} ({fates or 'none'}); {gates}"
    )


def text(run: Told, *, width: int = _WIDTH) -> str:
    """The dry run for a terminal."""
    parts = [f"Dry run: {summary(run)}"]
    parts += [show.wrapped(f"warning: {warning}", width, indent="  ") for warning in run.warnings]
    parts.append("\n".join(_gate_lines(run, width)))
    if len(run.steps):
        parts.append("steps\n" + show.plain(_trimmed(run.steps), width=width))
    changed = run.types[run.types["before"] != run.types["after"]]
    if len(changed):
        parts.append("event types\n" + show.plain(changed, width=width))
    if len(run.changes.groups):
        parts.append("\n".join([f"changes{_looked(run)}", *_shape_lines(run, width)]))
    if len(run.failures):
        parts.append(_failures_title(run) + "\n" + show.plain(_failures(run), width=width))
    parts += [show.wrapped(line, width, indent="  ") for line in _finding_lines(run)]
    return "\n\n".join(parts)


def html(run: Told) -> str:
    """The dry run for a notebook: lights for the gates, then tables; everything escaped, and capped."""
    lights = "".join(
        f'<li style="list-style:none;margin:.15em 0"><span style="color:{_COLOURS[gate.status]}">{_LIGHTS[gate.status]}'
        f"</span> <b>{escape(show.cell(gate.name, width=300))}</b> {gate.status}: "
        f"{escape(show.cell(gate.text, width=600))}"
        f"{_details(gate.details) if gate.status == 'failed' else ''}</li>"
        for gate in run.gates
    )
    warnings = "".join(f"<p>⚠ {escape(show.cell(warning, width=300))}</p>" for warning in run.warnings)
    changed = run.types[run.types["before"] != run.types["after"]]
    parts = [
        f"<p><b>Dry run: {escape(summary(run))}</b></p>{warnings}<ul style='padding-left:.2em'>{lights}</ul>",
        show.table(_trimmed(run.steps), title="Steps") if len(run.steps) else "",
        show.table(changed, title="Event types") if len(changed) else "",
        show.table(_shapes(run), title=f"Changes{_looked(run)}") if len(run.changes.groups) else "",
        show.table(_failures(run), title=_failures_title(run)) if len(run.failures) else "",
        "".join(f"<p>{escape(line)}</p>" for line in _finding_lines(run)),
    ]
    return f"<div>{''.join(parts)}</div>"


def markdown(run: Told) -> str:
    """The dry run as markdown, fit for a comment on a pull request."""
    verdict = "✅ no gate failed" if run.passed else f"❌ {show.count(len(run.failed), 'gate')} failed"
    lines = [f"### {_md(run.migration.name)}: {verdict}", "", _md(summary(run)), ""]
    lines += [f"> ⚠ {_md(warning)}" for warning in run.warnings]
    lines += ["", *_md_table(pd.DataFrame([{"gate": g.name, "": g.status, "seen": g.text} for g in run.gates]))]
    if len(run.steps):
        lines += ["", "**Steps**", "", *_md_table(_trimmed(run.steps))]
    changed = run.types[run.types["before"] != run.types["after"]]
    if len(changed):
        lines += ["", "**Event types**", "", *_md_table(changed)]
    if len(run.changes.groups):
        lines += ["", f"**Changes{_looked(run)}**", "", *_md_table(_shapes(run).head(_SHOWN))]
    if len(run.failures):
        lines += ["", f"**{_failures_title(run)}**", "", *_md_table(_failures(run))]
    lines += ["", *(_md(line) for line in _finding_lines(run))]
    return "\n".join(lines).rstrip() + "\n"


def json_text(run: Told) -> str:
    """The whole dry run as JSON text."""
    findings = run.findings
    return payload.encode(
        {
            "migration": run.migration.name,
            "log": run.name,
            "sample": run.sample,
            "passed": run.passed,
            "events": {"before": run.counts.before, "after": run.counts.after},
            "fates": dict(run.counts.fates),
            "warnings": list(run.warnings),
            "gates": [
                {"name": g.name, "status": g.status, "text": g.text, "details": _plain(g.details)} for g in run.gates
            ],
            "steps": _plain(run.steps),
            "types": _plain(run.types),
            "changes": {
                "compared": run.changes.compared,
                "changed": run.changes.changed,
                "groups": _plain(run.changes.groups),
            },
            "failures": {"count": run.failures.attrs["count"], "first": _plain(run.failures)},
            "findings": None
            if findings is None
            else {
                "before": len(findings.before.findings),
                "after": len(findings.after.findings),
                "new": _plain(_told(run, findings.new)),
                "gone": _plain(_told(run, findings.gone)),
            },
        }
    )


def _told(run: Told, findings: pd.DataFrame) -> pd.DataFrame:
    """Findings as far as they may be told: evidence holds payloads, which a private migration replaces."""
    return findings[["check", "severity", "version"]] if run.migration.private else findings


def _gate_lines(run: Told, width: int) -> Iterator[str]:
    for gate in run.gates:
        mark = {"passed": "ok  ", "failed": "FAIL", "not applicable": "n/a "}[gate.status]
        told = show.cell(f"{gate.name}: {gate.text}", width=1_000)
        yield textwrap.fill(f"{mark} {told}", width, subsequent_indent="     ", break_on_hyphens=False)
        if gate.status == "failed" and gate.details is not None and len(gate.details):
            table = show.plain(_columns(gate.details), width=width - 5, limit=5)
            yield textwrap.indent(table, "     ")


def _details(details: pd.DataFrame | None) -> str:
    return "" if details is None or details.empty else show.table(_columns(details), limit=5)


def _columns(details: pd.DataFrame) -> pd.DataFrame:
    """Of findings, what fits on a line; of states, what tells anything, since all of them are unexpected."""
    told = ["severity", "check", "stream_id", "version", "explanation"]
    if set(told) <= set(details.columns):
        return details[told]
    silent = [name for name in ("expected", "note") if name in details.columns and not details[name].any()]
    return details.drop(columns=silent)


def _trimmed(steps: pd.DataFrame) -> pd.DataFrame:
    """The steps without columns that are zero throughout."""
    usual = ["step", "does", "matched", "changed"]
    return steps[[name for name in steps.columns if name in usual or steps[name].any()]]


def _shapes(run: Told) -> pd.DataFrame:
    groups = run.changes.groups.head(_SHOWN)
    return pd.DataFrame(
        {
            "event_type": groups["event_type"],
            "what changes": groups["shape"],
            "events": groups["events"],
            "for example": [
                _example(position, before, after)
                for position, before, after in zip(groups["position"], groups["before"], groups["after"], strict=True)
            ],
        }
    )


def _shape_lines(run: Told, width: int) -> Iterator[str]:
    """For a terminal each shape on lines of its own, since a table would cut what there is to see."""
    shapes = _shapes(run)
    left = len(f"{shapes['events'].max():,}")
    for event_type, shape, events, example in shapes.itertuples(index=False, name=None):
        told = f"{show.cell(event_type, width=60)}: {show.cell(shape, width=300)}"
        yield show.wrapped(told, width, first=f"{events:>{left},}  ", indent=" " * (left + 4))
        yield show.wrapped(show.cell(example, width=2 * width), width, first=" " * (left + 4), indent=" " * (left + 6))


def _example(position: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    pairs = [
        f"{path}: {brief(before.get(path, ABSENT))} → {brief(after.get(path, ABSENT))}" for path in {**before, **after}
    ]
    return f"at {position:,}{': ' if pairs else ''}{'; '.join(pairs)}"


def _looked(run: Told) -> str:
    changes = run.changes
    if changes.compared >= changes.changed:
        return ""
    return f" (shapes of {changes.compared:,} of {changes.changed:,} changed events)"


def _failures(run: Told) -> pd.DataFrame:
    return run.failures[["step", "stream_id", "version", "event_type", "error"]].head(_SHOWN)


def _failures_title(run: Told) -> str:
    n = run.failures.attrs["count"]
    return f"failures ({_SHOWN} of {n:,})" if n > _SHOWN else "failures"


def _finding_lines(run: Told) -> Iterator[str]:
    if run.findings is None:
        return
    before, after = run.findings.before, run.findings.after
    yield (
        f"findings: {len(before.findings):,} before, {len(after.findings):,} after, {len(run.findings.new):,} new, "
        f"{len(run.findings.gone):,} gone"
    )


def _plain(rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows as values that JSON carries; what it does not becomes text."""
    if rows is None:
        return []
    return [{str(name): _value(value) for name, value in row.items()} for row in rows.to_dict("records")]


def _value(value: Any) -> Any:
    if show.missing(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _value(one) for name, one in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    try:
        payload.encode(value)
    except payload.PayloadError:
        return show.line(brief(value))
    return value


def _md(text: str) -> str:
    """Text that markdown shows as it is."""
    plain = show.cell(text, width=400)
    for mark in "\\`*_[]<>|#":
        plain = plain.replace(mark, f"\\{mark}")
    # A mention would notify somebody of that name.
    return plain.replace("@", "@\u200b")


def _md_table(rows: pd.DataFrame) -> Iterator[str]:
    yield "| " + " | ".join(_md(str(name)) for name in rows.columns) + " |"
    yield "|" + " --- |" * len(rows.columns)
    for row in rows.itertuples(index=False, name=None):
        yield "| " + " | ".join(_md(show.cell(value, width=200)) for value in row) + " |"

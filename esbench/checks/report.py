"""The report of a check: findings, what was checked, and what could not be claimed."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from esbench import payload, show
from esbench.checks.check import SEVERITIES

__all__ = ["Report"]

#: Findings in an HTML table, and of each check in a terminal.
_SHOWN, _EACH = 20, 3
_WIDTH = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report:
    """Everything that was found wrong with a log, as a value.

    ``findings`` has one row a finding, worst first. ``checks`` are those that ran, ``not_claimed`` says of each other
    one that was asked for why nothing can be claimed. ``without_key`` counts for each read model the events that it
    would fold if they had a key. ``ok`` is true without findings of severity ``error``.
    """

    findings: pd.DataFrame
    events: int
    streams: int
    checks: tuple[str, ...]
    not_claimed: Mapping[str, str] = field(default_factory=dict)
    aggregates: tuple[str, ...] = ()
    without_key: Mapping[str, int] = field(default_factory=dict)
    name: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many findings each check has, in the order of the findings; checks without any are left out."""
        return {str(name): int(n) for name, n in self.findings["check"].value_counts(sort=False).items()}

    @property
    def severities(self) -> dict[str, int]:
        """How many findings each severity has."""
        return {name: int((self.findings["severity"] == name).sum()) for name in SEVERITIES}

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return self.severities["error"]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return self.errors == 0

    def explore(self, *things: Any, **spec: Any) -> Any:
        """A widget for a notebook: the findings board. With a log and aggregates, a finding opens its time machine."""
        return import_module("esbench.widgets").explore(self, *things, **spec)

    def __repr__(self) -> str:
        return f"Report: {self._summary()}"

    def _summary(self) -> str:
        counts = self.severities
        found = ", ".join(
            show.count(counts[name], name, "info" if name == "info" else None) for name in SEVERITIES if counts[name]
        )
        where = "" if self.name is None else f" in {show.cell(self.name)}"
        not_claimed = f", {len(self.not_claimed)} not claimed" if self.not_claimed else ""
        return (
            f"{found or 'no findings'}{where} ({show.count(self.events, 'event')}, "
            f"{show.count(self.streams, 'stream')}; {show.count(len(self.checks), 'check')}{not_claimed})"
        )

    def _by_check(self) -> pd.DataFrame:
        """One row a check and severity with findings."""
        return (
            self.findings.groupby(["check", "severity"], sort=False)
            .agg(findings=("check", "size"), streams=("stream_id", "nunique"))
            .reset_index()[["severity", "check", "findings", "streams"]]
        )

    def __str__(self) -> str:
        parts = [self._summary()]
        if len(self.findings):
            parts.append(show.plain(self._by_check(), width=_WIDTH))
            parts.append("\n".join(self._lines()))
        parts += self._notes()
        if self.not_claimed:
            reasons = [f"{name}: {reason}" for name, reason in self.not_claimed.items()]
            parts.append("\n".join(("not claimed", *map(_indented, reasons))))
        return "\n\n".join(parts)

    def _notes(self) -> list[str]:
        return [
            f"{show.count(count, 'event')} without the key of {show.cell(name)}, not folded"
            for name, count in self.without_key.items()
            if count
        ]

    def _lines(self) -> Iterator[str]:
        """The first findings of each check in words, so that no check hides another."""
        for (severity, name), found in self.findings.groupby(["severity", "check"], sort=False):
            few = f" ({_EACH} of {len(found):,})" if len(found) > _EACH else ""
            yield f"{severity:<8} {name}{few}"
            for row in found.head(_EACH).to_dict("records"):
                after = f" (after {row['after']})" if isinstance(row["after"], str) else ""
                yield _indented(show.cell(f"{row['explanation']}{after}", width=1_000), first="- ")

    def _repr_html_(self) -> str:
        columns = ["severity", "check", "stream_id", "version", "position", "explanation", "after"]
        body = show.table(self.findings[columns], limit=_SHOWN) if len(self.findings) else ""
        reasons = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in self.not_claimed.items())
        not_claimed = f"<details><summary>not claimed</summary><ul>{reasons}</ul></details>" if reasons else ""
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes())
        return f"<div><p><b>{escape(self._summary())}</b></p>{body}{notes}{not_claimed}</div>"

    def to_json(self) -> str:
        """The whole report as JSON text; evidence as objects, times in ISO 8601."""
        return payload.encode(
            {
                "log": self.name,
                "events": self.events,
                "streams": self.streams,
                "checks": list(self.checks),
                "aggregates": list(self.aggregates),
                "without_key": dict(self.without_key),
                "not_claimed": dict(self.not_claimed),
                "severities": self.severities,
                "findings": [{**row, "evidence": payload.decode(row["evidence"])} for row in self._rows()],
            }
        )

    def to_csv(self) -> str:
        """The findings as CSV text with a header."""
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(self.findings.columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows())
        return out.getvalue()

    def to_junit(self) -> str:
        """The report as JUnit XML: a test case a check, failed by errors; milder findings stand in its output.

        Characters that XML cannot carry are written as escapes.
        """
        suite = ElementTree.Element(
            "testsuite",
            name=_xml(f"esbench check {self.name or ''}".strip()),
            tests=str(len(self.checks) + len(self.not_claimed)),
            failures=str(self.findings.loc[self.findings["severity"] == "error", "check"].nunique()),
            errors="0",
            skipped=str(len(self.not_claimed)),
        )
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in self._rows():
            rows.setdefault(row["check"], []).append(row)
        for name in self.checks:
            case = ElementTree.SubElement(suite, "testcase", classname="esbench.checks", name=_xml(name))
            found = rows.get(name, [])
            errors = [row for row in found if row["severity"] == "error"]
            if errors:
                failure = ElementTree.SubElement(case, "failure", message=show.count(len(errors), "error"), type=name)
                failure.text = _xml(_explanations(errors))
            if len(found) > len(errors):
                milder = [row for row in found if row["severity"] != "error"]
                ElementTree.SubElement(case, "system-out").text = _xml(_explanations(milder))
        for name, reason in self.not_claimed.items():
            case = ElementTree.SubElement(suite, "testcase", classname="esbench.checks", name=_xml(name))
            ElementTree.SubElement(case, "skipped", message=_xml(reason))
        ElementTree.indent(suite)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The findings as plain values, None where there is none."""
        for row in self.findings.to_dict("records"):
            plain = {str(name): None if pd.isna(value) else value for name, value in row.items()}
            if plain["recorded_at"] is not None:
                plain["recorded_at"] = plain["recorded_at"].isoformat()
            yield plain


def _explanations(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{row['severity']}: {row['explanation']}" for row in rows)


def _indented(text: str, *, first: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=f"  {first}", subsequent_indent=" " * (2 + len(first)), break_on_hyphens=False
    )


def _xml(text: str) -> str:
    r"""Text with what XML 1.0 cannot carry as escapes.

    >>> _xml("a\x00b\n")
    'a\\x00b\n'
    """
    return "".join(
        c
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
        else c.encode("unicode_escape").decode()
        for c in text
    )

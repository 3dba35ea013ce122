"""The main job on the sample logs, told in a terminal; everything it prints is computed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from esbench import payload, show
from esbench.aggregate import Aggregate
from esbench.bench import Bench, open_bench
from esbench.checks import Report
from esbench.event import at
from esbench.fold.changes import Change
from esbench.log import Log

__all__ = ["SAMPLES", "run"]

#: The sample logs, and the aggregate that covers each.
SAMPLES = {
    "inventory.jsonl": "inventory",
    "products.jsonl": "product",
    "accounts.csv": "account",
    "shipments.jsonl": "shipment",
    "orders.jsonl.gz": "order",
}

_NEXT = {
    "make lab": "with pictures: open notebooks/01_first_look.ipynb",
    "esbench check LOG": "your own log: JSON lines, CSV or Parquet",
    "esbench check git:.": "no log at hand? a repository's history is one",
    "esbench --help": "all commands; a bench file keeps what is loaded",
}


def run(folder: Path, aggregates: Mapping[str, Aggregate], *, width: int = 100) -> None:
    """Load the sample logs of ``folder``, print what is wrong with them, and follow one aggregate to where it broke."""
    started = time.perf_counter()
    with open_bench() as bench:
        logs = {aggregate: bench.load(folder / file) for file, aggregate in SAMPLES.items()}
        _loaded(bench, folder, width)

        _title("2. Check: the rules of event logs, and those of each aggregate", width)
        reports = {name: log.check(aggregates[name]) for name, log in logs.items()}
        for name, report in reports.items():
            _findings(logs[name].name, report, width)

        _title("3. Time travel: where it went wrong", width)
        _travel(logs["inventory"], aggregates["inventory"], reports["inventory"], width)

        events = sum(report.events for report in reports.values())
    _title("Next", width)
    for command, what in _NEXT.items():
        print(show.wrapped(what, width, first=f"  {command:<22}", indent=" " * 24))
    print(f"\n{show.count(events, 'event')} loaded, checked and folded in {time.perf_counter() - started:.1f} s")


def _loaded(bench: Bench, folder: Path, width: int) -> None:
    """What each file gave: events, streams and rejects."""
    _title("1. Load: every record of a file becomes an event or a reject", width)
    rows = bench.logs().set_index("log").loc[[file.split(".")[0] for file in SAMPLES]].reset_index()
    rows["from"] = [str(folder / file) for file in SAMPLES]
    print(show.plain(rows[["log", "events", "streams", "rejects", "from"]], width=width))
    rejects = bench.rejects
    if len(rejects):
        print(f"\n{show.count(len(rejects), 'record')} could not become events; they are kept, with this reason:\n")
        print(show.plain(rejects[["log", "line", "reason"]], width=width))


def _findings(name: str, report: Report, width: int) -> None:
    """A line for each error and warning, with what was seen and expected; mere information is named."""
    found = report.findings
    wrong, told = found[found["severity"] != "info"], found.loc[found["severity"] == "info", "check"]
    if not len(wrong):
        print(f"{name}: clean ({show.count(report.events, 'event')} in {show.count(report.streams, 'stream')})")
        return
    severities = report.severities
    counts = [show.count(severities[each], each) for each in ("error", "warning") if severities[each]]
    also = f"; for information: {', '.join(told)}" if len(told) else ""
    print(show.wrapped(f"{name}: {', '.join(counts)}{also}", width, indent="  "))
    places = [f"{row.stream_id}@{row.version}" for row in wrong.itertuples()]
    left = [f"  {row.severity:<8} {row.check:<20}  " for row in wrong.itertuples()]
    longest = max(map(len, places))
    for first, place, row in zip(left, places, wrong.itertuples(), strict=True):
        if row.check == "invariant-violated":
            what, more = str(row.expected), f" broken after {row.after}" if isinstance(row.after, str) else ""
        else:
            what, more = str(row.seen), f"; expected: {row.expected}"
        lead = f"{first}{place:<{longest}}  "
        whole = show.line(f"{lead}{what}{more}")
        print(
            whole
            if len(whole) <= width
            else show.wrapped(
                show.cell(what, width=2 * (width - len(lead)) - 2), width, first=lead, indent=" " * len(lead)
            )
        )
    print()


def _travel(log: Log, aggregate: Aggregate, report: Report, width: int) -> None:
    """One aggregate just before it broke, at that moment, and in the end; with what changed from each to the next."""
    broken = report.findings.query("check == 'invariant-violated'").iloc[0]
    stream, version = str(broken["stream_id"]), int(broken["version"])
    print(show.wrapped(f"Finding: {broken['explanation']}", width))
    events = log.events(stream)
    events["user"] = [payload.get(payload.decode(text), "/user") for text in events["metadata"]]
    print(f"\nAll events of {stream}:\n")
    print(show.plain(events[["version", "event_type", "recorded_at", "user", "data"]], width=width))
    before = int(events.loc[events["version"] < version, "version"].max())
    moments = [at(version=before), at(version=version), at()]
    for earlier, moment in zip([None, *moments], moments, strict=False):
        state = log.state(aggregate, stream, version=moment.version)
        print(f"\nAt {moment}:")
        print(show.wrapped(repr(state), width, first="  ", indent="    "))
        if earlier is not None:
            changed = log.diff(aggregate, earlier, moment, stream=stream)
            for row in changed.to_dict("records"):
                change = Change(row["path"], row["before"], row["after"])
                what = f"{change}, by {row['event_type']}, version {row['version']}"
                print(show.wrapped(what, width, first="  changed ", indent="    "))


def _title(text: str, width: int) -> None:
    print(f"\n{text}\n{'─' * min(len(text), width)}")

"""The sample logs are what data/make.py says: read here line by line, without esbench."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

import make

DATA = Path(make.__file__).parent
AGGREGATES = {
    "InventoryItem": "inventory",
    "Product": "product",
    "BankAccount": "account",
    "Shipment": "shipment",
}
ALIASES = {
    "aggregate_type": "stream_type",
    "aggregate_id": "stream_id",
    "sequence": "version",
    "type": "event_type",
}
ALIASES |= {"timestamp": "recorded_at", "payload": "data"}


@cache
def read(name: str) -> list[dict]:
    """The events of a file under canonical names; rejects left out. Without positions, lines count."""
    raw = (DATA / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
    if name.endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        records = [{**row, "data": json.loads(row["data"]), "metadata": json.loads(row["metadata"])} for row in rows]
    else:
        bad = {reject.line for reject in make.REJECTS if reject.file == name}
        records = [json.loads(line) for n, line in enumerate(text.splitlines(), 1) if n not in bad]
    events = []
    for n, record in enumerate(records, 1):
        event = {ALIASES.get(key, key): value for key, value in record.items()}
        when = datetime.fromisoformat(event["recorded_at"])
        event["recorded_at"] = when if when.tzinfo else when.replace(tzinfo=UTC)
        event["version"], event["position"] = int(event["version"]), int(event.get("position", n))
        events.append(event)
    return events


def content(event: dict) -> str:
    parts = [event[key] for key in ("event_type", "data", "metadata")]
    return json.dumps([*parts, event.get("schema_version")], sort_keys=True)


def structure(events: list[dict]) -> Counter:
    """Every finding about structure, as (check, stream, version): in plain loops."""
    found: Counter = Counter()
    streams, by_id = defaultdict(list), defaultdict(list)
    for event in events:
        streams[event["stream_id"]].append(event)
        by_id[event["event_id"]].append(event)
    base = Counter(min(e["version"] for e in stream) for stream in streams.values()).most_common(1)[0][0]
    for name, stream in streams.items():
        versions = sorted({event["version"] for event in stream})
        if versions[0] > base:
            found["missing-head", name, base] += 1
        for before, after in pairwise(versions):
            if after > before + 1:
                found["version-gap", name, before + 1] += 1
        for version in versions:
            if len({content(event) for event in stream if event["version"] == version}) > 1:
                found["version-fork", name, version] += 1
        if len({event["stream_type"] for event in stream}) > 1:
            usual = Counter(event["stream_type"] for event in stream).most_common(1)[0][0]
            odd = next(event for event in stream if event["stream_type"] != usual)
            found["stream-type-mixed", name, odd["version"]] += 1
        highest = stream[0]["version"]
        for event in stream:
            if event["version"] < highest:
                found["order-inversion", name, event["version"]] += 1
            highest = max(highest, event["version"])
        for n, event in enumerate(stream):
            for other in stream[:n]:
                if content(event) == content(other) and event["event_id"] != other["event_id"]:
                    found["repeated-content", name, event["version"]] += 1
    for same in by_id.values():
        for other in same[1:]:
            here = same[0]["stream_id"] == other["stream_id"] and content(same[0]) == content(other)
            found["duplicate-event" if here else "event-id-reused", other["stream_id"], other["version"]] += 1
    for before, event in pairwise(events):
        assert event["position"] > before["position"]
        if event["recorded_at"] < before["recorded_at"] - timedelta(seconds=1):
            found["clock-regression", event["stream_id"], event["version"]] += 1
    for event in events:
        cause = event["metadata"].get("causation_id")
        if cause and (cause not in by_id or by_id[cause][0]["position"] >= event["position"]):
            found["broken-causation", event["stream_id"], event["version"]] += 1
    if events[-1]["position"] - events[0]["position"] >= len(events):
        found["position-gap", None, None] += 1
    return found


class Aggregate:
    """Just enough of esbench.Aggregate to read data/aggregates.py: it keeps what it is told."""

    def __init__(self, name: str, *, initial: dict) -> None:
        self.name, self.initial = name, initial
        self.handlers: dict = {}
        self.invariants: dict = {}
        self.first: list = []
        self.final: list = []
        self.transitions: dict = {}

    def on(self, *types: str):
        return lambda handler: self.handlers.update(dict.fromkeys(types, handler)) or handler

    def invariant(self, text: str):
        return lambda predicate: self.invariants.update({text: predicate}) or predicate

    def lifecycle(self, *, first: list, transitions: dict | None = None, final: list | None = None) -> None:
        self.first, self.transitions, self.final = first, transitions or {}, final or []


class Event:
    def __init__(self, record: dict) -> None:
        self.data, self.event_type = record["data"], record["event_type"]


@pytest.fixture(scope="module")
def aggregates() -> dict[str, Aggregate]:
    """The aggregates of data/aggregates.py by object name, with the stand-in above for esbench."""
    stand_in = ModuleType("esbench")
    stand_in.Aggregate, stand_in.Event = Aggregate, Event  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("aggregates_of_the_sample", DATA / "aggregates.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "esbench", stand_in)
        spec.loader.exec_module(module)
    return {name: getattr(module, name) for name in module.__all__}


def meaning(events: list[dict], rules: Aggregate) -> Counter:
    """Every finding about meaning, as (check, stream, version): the stream's events folded one by one."""
    found: Counter = Counter()
    streams = defaultdict(list)
    for event in events:
        if event["stream_type"] == rules.name:
            streams[event["stream_id"]].append(event)
    for name, stream in streams.items():
        stream.sort(key=lambda event: (event["version"], event["position"]))
        state, last, broken = rules.initial, "", set()
        for event in stream:
            kind, version = event["event_type"], event["version"]
            if not last and kind not in rules.first:
                found["unexpected-first-event", name, version] += 1
            if last in rules.final:
                found["event-after-end", name, version] += 1
            elif last in rules.transitions and kind not in rules.transitions[last]:
                found["forbidden-transition", name, version] += 1
            last = kind
            if kind not in rules.handlers:
                found["unknown-event-type", name, version] += 1
                continue
            try:
                state = rules.handlers[kind](state, Event(event))
            except ArithmeticError:
                found["handler-error", name, version] += 1
            for text, holds in rules.invariants.items():
                if not holds(state) and text not in broken:
                    broken.add(text)
                    found["invariant-violated", name, version] += 1
    return found


def planted(name: str, *, aggregate: str = "") -> Counter:
    wanted = [finding for finding in make.PLANTED if (finding.file, finding.aggregate) == (name, aggregate)]
    return Counter((finding.check, finding.stream_id, finding.version) for finding in wanted)


FILES = sorted(make.COUNTS)
built_files = cache(make.build)


@pytest.mark.parametrize("name", FILES)
def test_the_script_writes_the_committed_file(name):
    built, committed = built_files()[name], (DATA / name).read_bytes()
    if name.endswith(".gz"):  # zlib's builds compress differently; what is inside must be the same
        built, committed = gzip.decompress(built), gzip.decompress(committed)
    assert built == committed


def test_the_files_are_small():
    sizes = [len(content) for content in built_files().values()]
    assert sum(sizes) < 3_000_000


@pytest.mark.parametrize("name", FILES)
def test_the_file_counts_as_promised(name):
    events, counts = read(name), make.COUNTS[name]
    assert len(events) == counts.events
    assert len({event["stream_id"] for event in events}) == counts.streams
    assert counts.records - counts.events == sum(reject.file == name for reject in make.REJECTS)


def test_a_reject_is_the_line_that_stands_in_the_file():
    for reject in make.REJECTS:
        assert (DATA / reject.file).read_text().splitlines()[reject.line - 1] == reject.text


@pytest.mark.parametrize("name", FILES)
def test_the_damage_of_structure_is_what_was_planted_and_nothing_else(name):
    assert structure(read(name)) == planted(name)


@pytest.mark.parametrize("name", FILES)
def test_the_damage_of_meaning_is_what_was_planted_and_nothing_else(name, aggregates):
    events = read(name)
    for label, rules in aggregates.items():
        assert meaning(events, rules) == planted(name, aggregate=label)


@pytest.mark.parametrize("name", FILES)
def test_planted_positions_lead_to_the_stream(name):
    events = {event["position"]: event for event in read(name)}
    for finding in make.PLANTED:
        if finding.file == name and finding.positions:
            assert finding.stream_id in {events[position]["stream_id"] for position in finding.positions}
            assert finding.version in {events[position]["version"] for position in finding.positions}


def test_the_clean_log_is_clean():
    events = read("orders.jsonl.gz")
    assert len(events) > 20_000
    assert not planted("orders.jsonl.gz")
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["event_id"] for event in events}) == len(events)
    versions = defaultdict(list)
    seen: set[str] = set()
    for before, event in zip([events[0], *events], events, strict=False):
        assert event["recorded_at"] >= before["recorded_at"]
        cause = event["metadata"].get("causation_id")
        assert cause is None or cause in seen
        versions[event["stream_id"]].append(event["version"])
        seen.add(event["event_id"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in versions.values())


@pytest.mark.parametrize("name", FILES)
def test_an_event_type_keeps_its_fields_within_a_schema_version(name):
    shapes = defaultdict(set)
    for event in read(name):
        shape = tuple(sorted((key, type(value).__name__) for key, value in event["data"].items()))
        shapes[event["event_type"], event.get("schema_version")].add(shape)
    assert all(len(found) == 1 for found in shapes.values())


def test_the_page_tells_every_finding_where_it_is():
    lines = (DATA / "README.md").read_text().splitlines()
    for finding in make.PLANTED:
        start = f"| {finding.stream_id or '(log)'}"
        version = f"| {finding.version or ''}".strip()
        info = "*(info)*" if finding.info else ""
        told = [line for line in lines if line.startswith(start) and finding.check in line]
        assert any(version in line.split(finding.check)[1] and info in line for line in told), finding


def test_the_page_counts_as_the_script_does():
    page = (DATA / "README.md").read_text()
    for name, counts in make.COUNTS.items():
        row = f"| `{name}` | {counts.events:,} | {counts.streams:,} | {counts.records - counts.events} |"
        assert row in page


def test_payloads_hold_what_a_careless_reader_would_change():
    text = (DATA / "inventory.jsonl").read_text()
    assert '.10,"sscc":' in text
    assert '"sscc":null' in text
    assert "抹茶" in text
    assert "\\u62b9" in (DATA / "products.jsonl").read_text()
    codes = [event["data"].get("sscc") for event in read("inventory.jsonl")]
    assert any(code and int(float(code)) != code for code in codes)

"""The worked example: the sample inventory log from its first version to its second, against what was planted in it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pandas as pd
import pytest

import esbench as es
from aggregates import inventory
from esbench import catalog
from esbench.cli import main
from esbench.fold.changes import ABSENT
from make import COUNTS, PLANTED, REJECTS
from migrations import UPCASTERS, inventory_v2, item_v2, together
from tests.conftest import ROOT

FILE = "inventory.jsonl"
SPLIT, TWIN = "item-133", "item-133-leipzig"
GATE = "same state: InventoryItem as InventoryItemV2"
CREATED = {"sku": "TA-0320", "name": "Tea timer, three glasses"}


def source():
    """The events that stand in the file, as plain values."""
    rejects = {reject.line for reject in REJECTS if reject.file == FILE}
    lines = (ROOT / "data" / FILE).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for number, line in enumerate(lines, start=1) if number not in rejects]
    assert len(events) == COUNTS[FILE].events
    return events


EVENTS = source()
BY_POSITION = {event["position"]: event for event in EVENTS}


def planted(check):
    (found,) = [each for each in PLANTED if each.file == FILE and each.check == check]
    return found


REPEAT, FORK = planted("duplicate-event"), planted("version-fork")
ORDERS = {event["position"] for event in EVENTS if event["event_type"] == "ItemsOrdered"}
LEIPZIG = [event["position"] for event in EVENTS if event["data"].get("warehouse") == "leipzig"]
AFTER_FORK = {
    event["position"]
    for event in EVENTS
    if event["stream_id"] == FORK.stream_id and event["position"] >= FORK.positions[-1]
}


def by_hand():
    """The new log, made event by event: stream, version, type, schema version, payload, and the position it has."""
    streams: defaultdict[str, list[list[Any]]] = defaultdict(list)
    for event in EVENTS:
        data, stream, schema = event["data"], event["stream_id"], event["schema_version"]
        name = event["event_type"]
        if event["position"] == REPEAT.positions[-1]:
            continue
        if name == "ItemsOrdered":
            data = {"channel": None, **data, "currency": "EUR", "customer": {"name": data["customer_name"]}}
            del data["customer_name"]
            name, schema = "ItemsReserved", 3
        if event["position"] in LEIPZIG:
            stream = TWIN
            if stream not in streams:
                streams[stream].append([stream, None, "ItemCreated", 1, CREATED, (event["position"], 0)])
        place = (event["position"], 1)
        streams[stream].append([stream, event["version"], name, schema, data, place])
    for stream in (SPLIT, TWIN, FORK.stream_id):
        for version, row in enumerate(streams[stream], start=1):
            row[1] = version
    rows = sorted((row for rows in streams.values() for row in rows), key=lambda row: row[-1])
    return [(*row[:-1], position) for position, row in enumerate(rows, start=1)]


@pytest.fixture(scope="module")
def example():
    """The bench, the log, the dry run and the log that was made of it."""
    bench = es.open()
    log = bench.load(ROOT / "data" / FILE)
    run = log.dry_run(inventory_v2)
    return bench, log, run, bench.apply(run, "inventory_v2")


def gate_of(run):
    (found,) = [gate for gate in run.gates if gate.name == GATE]
    return found


def told(log, steps, **gate):
    """The outcome of the gate of states, and the run, with another gate or other steps."""
    run = log.dry_run(es.Migration("other", steps, gates=[es.same_state(inventory, item_v2, **gate)]))
    return gate_of(run), run


# The dry run.


def test_the_counts_are_what_was_planted(example):
    _, _, run, _ = example
    first = LEIPZIG[0]
    changed = (ORDERS | AFTER_FORK | set(LEIPZIG)) - {first}
    fates = {fate: n for fate, n in run.counts.fates.items() if n}
    assert fates == {"kept": len(EVENTS) - len(changed) - 2, "changed": len(changed), "dropped": 1, "split": 1}
    assert (run.counts.before, run.counts.after) == (len(EVENTS), len(EVENTS))
    versions = Counter(BY_POSITION[position]["schema_version"] for position in ORDERS)
    fork = sum(event["stream_id"] == FORK.stream_id for event in EVENTS)
    steps = run.steps[["matched", "changed", "dropped", "added", "failed"]].values.tolist()
    assert steps == [
        [versions[1], versions[1], 0, 0, 0],
        [len(ORDERS), len(ORDERS), 0, 0, 0],
        [len(ORDERS), len(ORDERS), 0, 0, 0],
        [1, 0, 1, 0, 0],
        [fork, len(AFTER_FORK), 0, 0, 0],
        [len(LEIPZIG), len(LEIPZIG), 0, 0, 0],
        [1, 0, 0, 1, 0],
    ]
    assert run.warnings == ()
    assert len(run.failures) == 0
    types = run.types.set_index("event_type")
    assert types.loc["ItemsReserved"].tolist() == [0, len(ORDERS)]
    assert types.loc["ItemsOrdered"].tolist() == [len(ORDERS), 0]


def test_changes_are_told_by_shape(example):
    _, _, run, _ = example
    groups = run.changes.groups
    assert int(groups["events"].sum()) == len(ORDERS | AFTER_FORK | set(LEIPZIG)) + 1
    shapes = dict(zip(groups["shape"], groups["events"], strict=True))
    assert shapes["ItemCreated inserted beside it"] == 1
    assert shapes["only its version"] == len(AFTER_FORK - ORDERS)
    lifted = "event_type, schema_version changed; /customer_name removed; /currency, /customer added"
    assert shapes[lifted] == sum(BY_POSITION[p]["schema_version"] == 2 and p not in LEIPZIG for p in ORDERS)


def test_every_gate_passes_and_the_findings_that_go_are_the_repaired_ones(example):
    _, _, run, _ = example
    assert {gate.status for gate in run.gates} == {"passed"}
    gone = run.findings.gone
    assert set(zip(gone["check"], gone["stream_id"], strict=True)) >= {
        ("duplicate-event", REPEAT.stream_id),
        ("version-fork", FORK.stream_id),
    }
    assert len(run.findings.new) == 0
    left = set(run.findings.after.findings["check"])
    assert left == {"version-gap", "invariant-violated", "unknown-event-type", "broken-causation"}


def test_states_differ_as_declared_in_exactly_the_streams_it_is_meant_for(example):
    _, log, run, _ = example
    text = gate_of(run).text
    assert text.startswith(f"{COUNTS[FILE].streams} streams agree")
    assert f"/quantity changed, as expected, in 1 stream at 1 cut: first '{REPEAT.stream_id}'@{REPEAT.version}" in text
    undeclared, _ = told(log, inventory_v2.steps, expect={"/currency": es.added("EUR")}, combine=together)
    assert undeclared.status == "failed"
    details = undeclared.details
    assert details[["stream_id", "version", "path"]].values.tolist() == [
        [REPEAT.stream_id, REPEAT.version, "/quantity"]
    ]
    before, after = details.iloc[0]["before"], details.iloc[0]["after"]
    assert before - after == BY_POSITION[REPEAT.positions[0]]["data"]["quantity"]


def test_an_undeclared_currency_fails_in_every_stream(example):
    _, log, _, _ = example
    gate, _ = told(log, inventory_v2.steps, combine=together, expect={"/quantity": es.changed(22, 11)})
    assert gate.status == "failed"
    assert set(gate.details["path"]) == {"/currency"}
    assert f"{COUNTS[FILE].streams} streams of {COUNTS[FILE].streams} differ" in gate.text


def test_without_combine_the_split_streams_are_not_comparable_and_named(example):
    _, log, _, _ = example
    expect = {"/currency": es.added("EUR"), "/quantity": es.changed(22, 11)}
    gate, _ = told(log, inventory_v2.steps, expect=expect)
    assert gate.status == "not applicable"
    assert SPLIT in gate.text
    assert TWIN in gate.text
    assert "combine=" in gate.text


def test_a_sum_that_counts_twice_is_found(example):
    _, log, _, _ = example

    def wrong(states):
        return {**together(states), "quantity": sum(state["quantity"] for state in states.values()) + len(states) - 1}

    expect = {"/currency": es.added("EUR"), "/quantity": es.changed(22, 11)}
    gate, _ = told(log, inventory_v2.steps, expect=expect, combine=wrong)
    assert gate.status == "failed"
    assert set(gate.details["old_stream"]) == {SPLIT}


def test_without_its_creation_the_new_stream_is_a_new_finding(example):
    bench, log, _, _ = example
    run = log.dry_run(es.Migration("first try", inventory_v2.steps[:-1], gates=inventory_v2.gates))
    assert "no new finding" in run.failed
    new = run.findings.new
    assert set(zip(new["check"], new["stream_id"], strict=True)) == {("unexpected-first-event", TWIN)}
    with pytest.raises(es.MigrationError, match="no new finding"):
        bench.apply(run, "first_try")
    assert "first_try" not in bench


# Apply.


def test_the_new_log_is_the_one_made_by_hand(example):
    _, _, _, new = example
    made = [
        (event.stream_id, event.version, event.event_type, event.schema_version, event.data, event.position)
        for event in new
    ]
    assert sorted(made, key=lambda row: row[-1]) == by_hand()


def test_what_no_step_touches_keeps_its_text_and_its_id(example):
    _, log, _, new = example
    texts = {event.event_id: (event.data_text, event.metadata_text) for event in log}
    assert len(texts) == len(EVENTS) - 1  # the repeated delivery has the id of the first
    seen = 0
    for event in new:
        if event.event_type == "ItemCreated" and event.stream_id == TWIN:
            assert event.event_id not in texts
            continue
        data, metadata = texts[event.event_id]
        assert event.metadata_text == metadata
        if event.event_type == "ItemsReserved":
            price = '"unit_price":' + data.partition('"unit_price":')[2].partition(",")[0]
            assert price in event.data_text  # 14.50 stays 14.50
        else:
            assert event.data_text == data
        seen += 1
    assert seen == len(EVENTS) - 1


def lineage(log, stream, version):
    columns = ["generation", "log", "stream_id", "version", "event_type", "fate"]
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in log.lineage(stream, version)[columns].itertuples(index=False)
    ]


def test_lineage_of_the_split_leads_both_ways(example):
    _, log, _, new = example
    version = BY_POSITION[LEIPZIG[0]]["version"]
    here = (SPLIT, version, "ItemsAdded", "")
    children = [(TWIN, 1, "ItemCreated", ""), (TWIN, 2, "ItemsAdded", "")]
    assert lineage(log, SPLIT, version) == [
        (0, "inventory", *here),
        *((1, "inventory_v2", *child) for child in children),
    ]
    for child in children:
        assert lineage(new, TWIN, child[1]) == [(-1, "inventory", *here), (0, "inventory_v2", *child)]
    by = new.lineage(TWIN, 1)["by"].iloc[-1]
    assert "split item-133" in by
    assert "insert ItemCreated" in by


def test_lineage_of_the_dropped_event_names_the_step(example):
    _, log, _, new = example
    stream, version = REPEAT.stream_id, REPEAT.version
    found = log.lineage(stream, version)
    assert found["position"].head(2).tolist() == list(REPEAT.positions)
    assert lineage(log, stream, version)[2:] == [
        (1, "inventory_v2", stream, version, "ItemsAdded", ""),
        (1, "inventory_v2", None, None, None, "dropped"),
    ]
    assert "drop repeated deliveries" in found["by"].iloc[-1]
    back = new.lineage(stream, version)
    assert back["position"].head(1).tolist() == [REPEAT.positions[0]]


def test_lineage_of_the_fork_keeps_its_events_apart(example):
    _, log, _, new = example
    for version, position in zip((FORK.version, FORK.version + 1), FORK.positions, strict=True):
        back = new.lineage(FORK.stream_id, version)
        assert back.loc[back["generation"] == -1, "position"].tolist() == [position]
    after = log.lineage(FORK.stream_id, FORK.version)
    assert after.loc[after["generation"] == 1, "version"].tolist() == [FORK.version, FORK.version + 1]


def test_lineage_leads_through_a_second_migration_that_merges(example):
    bench, log, _, new = example

    def opened(events):
        created, added = events
        return "ItemOpened", {**created.data, "quantity": added.data["quantity"]}

    plan = es.Migration("inventory-v3", [es.merge_events(["ItemCreated", "ItemsAdded"], opened, streams=TWIN)])
    run = new.dry_run(plan)
    assert run.counts.fates["merged"] == 2
    third = bench.apply(run, "inventory_v3")
    try:
        version = BY_POSITION[LEIPZIG[0]]["version"]
        merged = (TWIN, 1, "ItemOpened", "")
        assert lineage(third, TWIN, 1) == [
            (-2, "inventory", SPLIT, version, "ItemsAdded", ""),
            (-1, "inventory_v2", TWIN, 1, "ItemCreated", ""),
            (-1, "inventory_v2", TWIN, 2, "ItemsAdded", ""),
            (0, "inventory_v3", *merged),
        ]
        assert (2, "inventory_v3", *merged) in lineage(log, SPLIT, version)
        for child in (1, 2):
            assert (1, "inventory_v3", *merged) in lineage(new, TWIN, child)
    finally:
        bench.drop("inventory_v3")


def test_the_forked_item_before_and_after(example):
    _, log, _, new = example
    old, made = log.state(inventory, FORK.stream_id), new.state(item_v2, FORK.stream_id)
    assert made.value == {**old.value, "currency": "EUR"}
    assert old["quantity"] == -2
    assert "version-fork" in old.trust
    assert made.trust == "complete"
    assert (old.version, made.version) == (4, 5)
    assert old.broken
    assert made.broken
    assert new.state(item_v2, FORK.stream_id, version=3)["quantity"] == 2
    bad = new.first_bad(item_v2, "stock is never negative")
    assert bad[["stream_id", "version"]].values.tolist() == [[FORK.stream_id, FORK.version + 1]]


def test_every_other_item_means_the_same(example):
    _, log, _, new = example
    before = log.states(inventory).set_index("stream_id")
    after = new.states(item_v2).set_index("stream_id")
    assert set(after.index) - set(before.index) == {TWIN}
    assert set(after["currency"]) == {"EUR"}
    for stream in before.index:
        if stream == REPEAT.stream_id:
            assert (before.loc[stream, "quantity"], after.loc[stream, "quantity"]) == (22, 11)
        elif stream == SPLIT:
            assert before.loc[stream, "quantity"] == after.loc[[SPLIT, TWIN], "quantity"].sum()
        else:
            columns = ["name", "quantity", "status"]
            assert before.loc[stream, columns].tolist() == after.loc[stream, columns].tolist()


def test_logs_compare_as_planted(example):
    _, log, _, new = example
    found = log.compare(new, limit=10_000)
    moved = {event["position"] for event in EVENTS if event["stream_id"] == SPLIT and event["version"] > 2}
    changed = ORDERS | AFTER_FORK | moved
    assert found.attrs["counts"] == {
        "same": len(EVENTS) - 1 - len(changed),
        "changed": len(changed),
        "only left": 1,
        "only right": 1,
    }
    assert found.loc[found["what"] == "only left", "position_before"].tolist() == [REPEAT.positions[-1]]
    assert found.loc[found["what"] == "only right", ["stream_after", "version_after"]].values.tolist() == [[TWIN, 1]]
    places = found[(found["what"] == "changed") & (found["column"] == "data")]
    assert places["path"].value_counts().to_dict() == {
        "/currency": len(ORDERS),
        "/customer": len(ORDERS),
        "/customer_name": len(ORDERS),
        "/channel": sum(BY_POSITION[position]["schema_version"] == 1 for position in ORDERS),
    }
    assert set(places.loc[places["path"] == "/currency", "before"]) == {ABSENT}


def test_a_consumer_goes_on_behind_the_position_beside_its_own(example):
    bench, _, run, _ = example
    stored = catalog.lineage_of(bench.con, catalog.entry(bench.con, "inventory_v2"))
    origins = dict(stored.rows("select position, origin from events order by position"))
    assert list(origins) == list(range(1, len(EVENTS) + 1))
    mapped = run.position_map.fetchall()
    assert [old for old, _ in mapped] == sorted(BY_POSITION)
    for old, new in mapped:
        handled = [origin for position, origin in origins.items() if position <= new]
        assert max(handled) <= old, "nothing is skipped"
        assert origins.get(new + 1, old + 1) > old, "and no more comes again than has to"


# What stands beside it.


def test_reading_through_the_upcasters_is_the_same_as_a_copy_made_by_them():
    bench = es.open()
    log = bench.load(ROOT / "data" / FILE)
    buyers = {"buyer": es.latest({"ItemsOrdered": es.field("/customer/name")}), "orders": es.count("ItemsOrdered")}
    item = es.Projection("InventoryItem", buyers)

    read = log.upcasted(UPCASTERS)
    copy = bench.apply(log.dry_run(es.Migration("upcasters", UPCASTERS)), "copy")
    assert len(read.failures) == 0
    assert read.events().equals(copy.events())
    assert read.states(item).equals(copy.states(item))
    assert read.states(item)["buyer"].notna().sum() == len({BY_POSITION[position]["stream_id"] for position in ORDERS})
    with pytest.raises(es.EsbenchError, match="/customer_name"):
        log.states(item)  # the log itself has the old form
    for stream in (FORK.stream_id, SPLIT):
        assert read.history(item, stream).equals(copy.history(item, stream))


def test_events_that_come_later_are_carried_over():
    bench = es.open()
    log = bench.load(ROOT / "data" / FILE)
    run = log.dry_run(inventory_v2)
    later = {
        "stream_id": [FORK.stream_id, SPLIT],
        "stream_type": "InventoryItem",
        "version": [5, 12],
        "position": [461, 462],
        "event_id": ["later-1", "later-2"],
        "event_type": ["ItemsAdded", "ItemsOrdered"],
        "schema_version": 2,
        "recorded_at": "2024-07-01T08:30:00Z",
        "data": [
            '{"quantity":12,"unit_cost":35.70,"sscc":null,"warehouse":"hamburg"}',
            '{"quantity":2,"channel":"web","unit_price":14.50,"customer_name":"Ruth Vogel","warehouse":"leipzig"}',
        ],
    }
    log = bench.load(pd.DataFrame(later), "inventory", append=True)
    with pytest.raises(es.MigrationError, match=r"2 events were appended .* run\.extend\(\)"):
        bench.apply(run, "inventory_v2")
    assert "inventory_v2" not in bench
    new = bench.apply(run.extend(), "inventory_v2")
    whole = bench.apply(log.dry_run(inventory_v2), "whole")
    assert new.events().equals(whole.events())
    assert new.state(item_v2, FORK.stream_id)["quantity"] == 10
    assert new.state(item_v2, TWIN).version == len(LEIPZIG) + 2
    last = new.events(TWIN).iloc[-1]
    assert json.loads(last["data"])["customer"] == {"name": "Ruth Vogel"}


def test_what_is_exported_comes_back_the_same(example, tmp_path):
    _, _, _, new = example
    new.export(tmp_path / "inventory_v2.jsonl.gz")
    back = es.open().load(tmp_path / "inventory_v2.jsonl.gz")
    columns = ["position", "stream_id", "version", "event_type", "schema_version", "event_id", "data", "metadata"]
    assert back.events()[columns].equals(new.events()[columns])


def test_the_migration_is_kept_in_its_own_words(example):
    assert "def with_currency" in inventory_v2.text
    assert "drop repeated deliveries" in inventory_v2.text
    explained = inventory_v2.explain()
    assert explained["runs as"].tolist() == ["Python", "Python", *["SQL"] * 5]


# The command line.

PLAN = "data/migrations.py:inventory_v2"
LOG = f"data/{FILE}"


def test_the_command_line_says_by_its_status_whether_the_gates_pass(workspace, capsys):
    assert main(["migrate", PLAN, LOG]) == 0
    out = capsys.readouterr().out
    assert "7 gates, none failed" in out
    assert main(["migrate", PLAN, LOG, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("### inventory-v2: ✅ no gate failed")
    strict = workspace / "data" / "strict.py"
    strict.write_text(
        "import esbench as es\n"
        "from aggregates import inventory\n"
        "from migrations import inventory_v2, item_v2, together\n"
        "gates = [es.same_state(inventory, item_v2, expect={'/currency': es.added('EUR')}, combine=together)]\n"
        "strict = es.Migration('strict', inventory_v2.steps, gates=gates)\n"
    )
    assert main(["migrate", f"{strict}:strict", LOG, "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert [gate["name"] for gate in told["gates"] if gate["status"] == "failed"] == [GATE]
    assert main(["migrate", f"{strict}:strict", LOG, "--accept", GATE]) == 0


def test_the_command_line_applies_it_to_a_bench_file(workspace, capsys):
    assert main(["load", LOG, "--bench", "shop.duckdb"]) == 0
    assert main(["migrate", PLAN, "inventory", "--bench", "shop.duckdb", "--apply", "inventory_v2"]) == 0
    capsys.readouterr()
    with es.open("shop.duckdb", read_only=True) as bench:
        assert len(bench["inventory_v2"]) == len(EVENTS)
        assert [event.data for event in bench["inventory_v2"]]
        assert lineage(bench["inventory"], SPLIT, 3)[1:]

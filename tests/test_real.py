"""Logs that others published, with anomalies that are known independently. They lie outside the project."""

from __future__ import annotations

import csv
import json

import pytest

import esbench as es


@pytest.fixture(scope="module")
def arrivals(shared):
    """When one node saw each block of a chain: one stream, whose version is the height."""
    columns = {
        "stream_id": "'chain'",
        "event_type": "'BlockArrived'",
        "version": "column0",
        "recorded_at": "column2",
        "data": """'{"hash":"' || column1 || '"}'""",
    }
    return es.open().load(
        shared / "real/bitcoin_arrivals/vostrnad_node1.csv.gz",
        "arrivals",
        columns=columns,
        time="ms",
        truncated=["chain"],
    )


def counts(report):
    return report.findings["check"].value_counts().to_dict()


def test_block_arrivals_load_whole(arrivals, shared):
    import gzip

    with gzip.open(shared / "real/bitcoin_arrivals/vostrnad_node1.csv.gz", "rt") as rows:
        lines = [line.rstrip("\n").split(",") for line in rows]
    assert len(arrivals) == len(lines)
    assert len(arrivals.rejects) == 0
    loaded = arrivals.sql(
        "select version, data->>'hash' as hash, epoch_ms(recorded_at) as ms from events order by position"
    )
    assert [[str(v), h, str(ms)] for v, h, ms in loaded.itertuples(index=False)] == lines


def test_block_arrivals_have_the_known_anomalies(arrivals, shared):
    report = arrivals.check()
    found = report.findings
    gaps = found[found["check"] == "version-gap"]
    assert len(gaps) == 2
    assert int((gaps["to_version"] - gaps["version"] + 1).sum()) == 944
    forks = set(found.loc[found["check"] == "version-fork", "version"])
    assert len(forks) == 10
    assert counts(report).get("duplicate-event") == 10
    assert counts(report).get("order-inversion") == 10
    assert "clock-regression" not in counts(report)
    with (shared / "real/bitcoin_arrivals/truth_forks.tsv").open() as rows:
        stale = {int(row["height"]): row["stale_hash"] for row in csv.DictReader(rows, delimiter="\t")}
    assert forks <= set(stale)
    for height in forks:
        both = arrivals.sql("select data->>'hash' as hash from events where version = $height", height=int(height))
        assert stale[height] in set(both["hash"])


@pytest.fixture(scope="module")
def trento(shared):
    return es.open().load(shared / "real/trento/events.jsonl.gz", "trento")


def test_trento_loads_whole(trento):
    assert len(trento) == 371
    assert len(trento.streams()) == 54
    assert len(trento.rejects) == 0
    assert trento.facts.base == 1


def test_trento_has_no_damage(trento):
    assert set(trento.check().findings["severity"]) <= {"info"}


def test_trento_payloads_come_through_as_text(trento, shared):
    import gzip

    with gzip.open(shared / "real/trento/events.jsonl.gz", "rt") as rows:
        expected = {line["global_position"]: line for line in map(json.loads, rows)}
    for event in trento:
        assert event.data == expected[event.position]["data"]
        assert event.metadata == expected[event.position]["metadata"]


def test_trento_hosts_fold_to_the_read_model(trento, shared):
    """The application's own read model, dumped with the log, says what the fold has to give."""
    named = ("hostname", "agent_version", "fully_qualified_domain_name", "provider", "ip_addresses")
    host = es.Aggregate("Host", initial=dict.fromkeys((*named, "deregistered_at")), streams="*")

    @host.on("Hosts.Events.HostRegistered", "Hosts.Events.ProviderUpdated")
    def describe(state, event):
        return {**state, **{name: event.data[name] for name in named if name in event.data}}

    @host.on("Hosts.Events.HostRolledUp")
    def roll_up(state, event):
        snapshot = event.data["snapshot"]
        return {**state, **{name: snapshot[name] for name in (*named, "deregistered_at")}}

    @host.on("Hosts.Events.HostDeregistered")
    def deregister(state, event):
        return {**state, "deregistered_at": event.data["deregistered_at"]}

    @host.on("Hosts.Events.HostRestored")
    def restore(state, event):
        return {**state, "deregistered_at": None}

    stored = read_model((shared / "real/trento/sap_system_split/read_models.sql").read_text(), "public.hosts")
    assert len(stored) == 27
    for row in stored:
        state = trento.state(host, row["id"])
        for name in ("hostname", "agent_version", "fully_qualified_domain_name", "provider"):
            assert state[name] == row[name], (row["id"], name)
        assert sorted(state["ip_addresses"]) == sorted(row["ip_addresses"].strip("{}").split(","))
        assert (state["deregistered_at"] is None) == (row["deregistered_at"] is None), row["id"]


def read_model(dump, table):
    """Rows of a COPY block in a PostgreSQL dump."""
    _head, _, rest = dump.partition(f"COPY {table} (")
    assert rest, f"no {table} in the dump"
    names, _, body = rest.partition(") FROM stdin;\n")
    names = [name.strip().strip('"') for name in names.split(",")]
    rows = [line.split("\t") for line in body.split("\n\\.")[0].splitlines()]
    return [dict(zip(names, (None if v == "\\N" else v for v in row), strict=True)) for row in rows]

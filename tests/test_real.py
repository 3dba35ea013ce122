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


NAMED = ("hostname", "agent_version", "fully_qualified_domain_name", "provider", "ip_addresses")
REGISTERED = "Hosts.Events.HostRegistered"


def hosts(name="Host", described=lambda event: event.data):
    """The application's host; ``described`` is where a registration says what it is."""
    host = es.Aggregate(name, initial=dict.fromkeys((*NAMED, "deregistered_at")), streams="*")

    @host.on(REGISTERED)
    def register(state, event):
        data = described(event)
        return {**state, **{name: data[name] for name in NAMED if name != "provider"}}

    @host.on("Hosts.Events.ProviderUpdated")
    def update_provider(state, event):
        return {**state, "provider": event.data["provider"]}

    @host.on("Hosts.Events.HostRolledUp")
    def roll_up(state, event):
        snapshot = event.data["snapshot"]
        return {**state, **{name: snapshot[name] for name in (*NAMED, "deregistered_at")}}

    @host.on("Hosts.Events.HostDeregistered")
    def deregister(state, event):
        return {**state, "deregistered_at": event.data["deregistered_at"]}

    @host.on("Hosts.Events.HostRestored")
    def restore(state, event):
        return {**state, "deregistered_at": None}

    return host


def is_the_read_model(log, host, shared):
    """The application's own read model, dumped with the log, says what the fold has to give."""
    stored = read_model((shared / "real/trento/sap_system_split/read_models.sql").read_text(), "public.hosts")
    assert len(stored) == 27
    for row in stored:
        state = log.state(host, row["id"])
        for name in ("hostname", "agent_version", "fully_qualified_domain_name", "provider"):
            assert state[name] == row[name], (row["id"], name)
        assert sorted(state["ip_addresses"]) == sorted(row["ip_addresses"].strip("{}").split(","))
        assert (state["deregistered_at"] is None) == (row["deregistered_at"] is None), row["id"]
    return [row["id"] for row in stored]


def test_trento_hosts_fold_to_the_read_model(trento, shared):
    is_the_read_model(trento, hosts(), shared)


def network(data):
    """Version 5 of a registration: where the host is found is an object of its own."""
    moved = ("ip_addresses", "fully_qualified_domain_name")
    rest = {name: value for name, value in data.items() if name not in moved}
    return {**rest, "version": 5, "network": {name: data[name] for name in moved}}


def networked(event):
    """What a registration of version 5 says of the host."""
    return {**event.data, **event.data["network"]}


def either(event):
    """The same, of one that may still be of version 4."""
    return {**event.data, **event.data.get("network", {})}


@pytest.fixture
def versioned(shared):
    """The log with the versions of its payloads as its schema versions: they stand in the payloads."""
    bench = es.open()
    columns = {"schema_version": "data->>'/version'"}
    return bench, bench.load(shared / "real/trento/events.jsonl.gz", "trento", columns=columns)


def test_trento_registrations_stand_at_version_4(versioned):
    _, log = versioned
    types = log.types()
    assert types.loc[types["event_type"] == REGISTERED, ["schema_version", "events"]].values.tolist() == [[4, 27]]
    assert set(types.loc[types["event_type"] != REGISTERED, "schema_version"]) == {1}


def test_trento_registrations_are_lifted_to_version_5_and_every_host_means_the_same(versioned, shared):
    bench, log = versioned
    upcasters = [es.upcast(REGISTERED, 4, 5, network)]
    plan = es.Migration("hosts-v5", upcasters, gates=[es.same_state(hosts(), hosts("HostV5", networked))])
    run = log.dry_run(plan)
    assert run.passed
    assert dict(run.counts.fates) | {"kept": 344, "changed": 27} == dict(run.counts.fates)
    gate = run.gates[-1]
    # Archived streams begin with what was rolled up; they are compared like all others.
    assert gate.status == "passed"
    assert "54 streams agree at 371 cuts" in gate.text
    copy = bench.apply(run, "trento_v5")
    live = is_the_read_model(copy, hosts("HostV5", networked), shared)
    read = log.upcasted(upcasters)
    assert read.events().equals(copy.events())
    assert len(read.failures) == 0
    assert read.states(hosts("HostV5", networked)).equals(copy.states(hosts("HostV5", networked)))
    registered = log.sql("select stream_id from events where event_type = $type", type=REGISTERED)["stream_id"]
    assert len(set(live) - set(registered)) > 0, "some hosts go on in a stream that was rolled up"
    before = {event.position: event for event in log}
    for event in copy:
        old = before[event.position]
        if event.event_type == REGISTERED:
            assert event.data == network(old.data)
            assert event.schema_version == 5
        else:
            assert event.data_text == old.data_text
        assert (event.stream_id, event.version, event.event_id) == (old.stream_id, old.version, old.event_id)


def test_trento_code_that_reads_both_versions_is_proved_on_the_log_as_it_is(versioned):
    _, log = versioned
    assert log.dry_run(es.Migration("reads both", gates=[es.same_state(hosts(), hosts("HostV5", either))])).passed


def test_trento_code_that_reads_version_5_alone_fails_on_the_log_as_it_is(versioned):
    _, log = versioned
    run = log.dry_run(es.Migration("reads 5", gates=[es.same_state(hosts(), hosts("HostV5", networked))]))
    assert run.failed == ("no new finding", "same state: Host as HostV5")
    streams = set(run.gates[-1].details["stream_id"])
    assert streams == set(log.sql("select stream_id from events where event_type = $t", t=REGISTERED)["stream_id"])


def test_trento_without_its_heads_is_compared_all_the_same(versioned, shared, tmp_path):
    """The store archives streams: here their first events are gone altogether."""
    import gzip

    with gzip.open(shared / "real/trento/events.jsonl.gz", "rt") as rows:
        lines = [line for line in rows if "-archived-" not in line[:250] or json.loads(line)["version"] > 2]
    path = tmp_path / "headless.jsonl"
    path.write_text("".join(lines))
    log = es.open().load(path, "headless", columns={"schema_version": "data->>'/version'"})
    assert "missing-head" in counts(log.check())
    gates = [es.same_state(hosts(), hosts("HostV5", networked))]
    run = log.dry_run(es.Migration("hosts-v5", [es.upcast(REGISTERED, 4, 5, network)], gates=gates))
    assert run.passed
    assert f"agree at {len(log)} cuts" in run.gates[-1].text


def read_model(dump, table):
    """Rows of a COPY block in a PostgreSQL dump."""
    _head, _, rest = dump.partition(f"COPY {table} (")
    assert rest, f"no {table} in the dump"
    names, _, body = rest.partition(") FROM stdin;\n")
    names = [name.strip().strip('"') for name in names.split(",")]
    rows = [line.split("\t") for line in body.split("\n\\.")[0].splitlines()]
    return [dict(zip(names, (None if v == "\\N" else v for v in row), strict=True)) for row in rows]

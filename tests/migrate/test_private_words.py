"""What a private migration tells: never the key, and never a value that it replaces."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import esbench as es

KEY = b"bytes-secret-key-0123456789"
EMAILS = [f"user{n}@example.org" for n in range(4)]


def log() -> tuple[es.Bench, es.Log]:
    bench = es.open()
    rows = {
        "stream_id": [f"s{n}" for n in range(4)],
        "version": 1,
        "event_type": "Joined",
        "data": [f'{{"email":"{email}","age":"{"x" if n == 3 else n}"}}' for n, email in enumerate(EMAILS)],
    }
    return bench, bench.load(pd.DataFrame(rows), "people")


def told(run: es.DryRun) -> str:
    return "".join((str(run), repr(run), run.to_json(), run.to_markdown(), run._repr_html_()))


def seen(name: str) -> es.Aggregate:
    aggregate = es.Aggregate(name, streams="*", initial={})
    aggregate.on("Joined")(lambda state, event: event.data)
    return aggregate


def test_the_key_stands_nowhere_though_the_source_of_functions_would_hold_it(tmp_path: Path):
    bench, people = log()
    plan = es.Migration(
        "m", [es.pseudonymise("/email", key=b"bytes-secret-key-0123456789"), es.map_events(lambda e: e)]
    )
    assert KEY.decode() not in plan.text
    path = tmp_path / "private.duckdb"
    bench.apply(people.dry_run(plan), "people", to=path).source.con.close()
    assert KEY not in path.read_bytes()


def test_an_event_that_failed_keeps_its_values_so_the_gate_fails(tmp_path: Path):
    bench, people = log()
    plan = es.Migration("m", [es.convert_field("/age", using=int), es.redact("/email")])
    run = people.dry_run(plan)
    assert set(run.failed) == {"no event fails", "no original value is left"}
    with pytest.raises(es.MigrationError, match="1 event failed and would stay"):
        bench.apply(run, "people", to=tmp_path / "p.duckdb", accept=["no event fails"])
    assert not (tmp_path / "p.duckdb").exists()


def test_no_value_is_quoted_by_gates_failures_changes_and_findings():
    def strict(email: str) -> str:
        raise ValueError(f"not an address: {email}")

    _, people = log()
    steps = [es.mask("/email"), es.convert_field("/email", using=strict, where="version > 5")]
    run = people.dry_run(es.Migration("m", steps, gates=[es.same_state(seen("Old"), seen("New"))]))
    assert run.failed == ("same state: Old as New",)
    failing = people.dry_run(es.Migration("m", [es.convert_field("/email", using=strict), es.redact("/age")]))
    assert failing.failures["error"].tolist() == ["ValueError"] * 4 or len(failing.failures) == 4
    for text in (told(run), told(failing)):
        assert not [email for email in EMAILS if email in text]


def test_a_derived_member_cannot_change_its_siblings():
    _, people = log()
    plan = es.Migration("m", [es.add_field("/k", using=lambda data: data.update(email="gone") or 1)])
    assert [event.data["email"] for event in people.dry_run(plan).events] == EMAILS


def test_what_is_no_gate_is_refused_at_once():
    with pytest.raises(es.MigrationError, match=r"a gate of .* has a name and judge"):
        es.Migration("m", gates=["x"])


def test_a_gap_that_moves_to_the_head_is_no_new_one():
    rows = {"stream_id": "s", "version": [1, 2, 5, 6], "event_type": ["B", "B", "A", "A"]}
    others = {"stream_id": ["t", "u"], "version": 1, "event_type": "A"}
    people = es.open().load(pd.concat([pd.DataFrame(rows), pd.DataFrame(others)]), "people")
    run = people.dry_run(es.Migration("m", [es.drop_events("B")]))
    assert {gate.name: gate.status for gate in run.gates}["no new gap"] == "passed"

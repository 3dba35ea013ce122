"""Each gate passes where it should and fails on planted cases, with the streams and versions that fail it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.migrate import (
    Migration,
    MigrationError,
    add_field,
    bump_version,
    convert_field,
    drop_duplicates,
    drop_events,
    drop_field,
    map_events,
    rename_type,
    retype_field,
    upcast,
)
from esbench.migrate.counts import counted
from esbench.migrate.dry import DryRun
from esbench.migrate.findings import Findings
from esbench.migrate.gates import Outcome, Seen, judged
from esbench.migrate.running import run
from esbench.migrate.steps.upcasting import chain
from esbench.migrate.work import Work
from tests.migrate.benches import bench_of, simple
from tests.migrate.core_cases import cases, damaged
from tests.oracle import Row

ACCOUNTED, FAILS, CHAINS = "every event is accounted for", "no event fails", "upcaster chains are complete"
TWICE, AGAIN = "running twice gives the same", "migrating the result again changes nothing"
GAP, FINDING = "no new gap", "no new finding"


def gates(rows: list[Row], *steps: Any, **options: Any) -> dict[str, Outcome]:
    bench, log = bench_of(rows)
    with bench:
        return {gate.name: gate for gate in log.dry_run(Migration("m", steps, **options)).gates}


def findings(dry: DryRun) -> Findings:
    assert dry.findings is not None
    return dry.findings


def named(gate: Outcome) -> set[tuple[str, int]]:
    """The streams and versions that a gate names."""
    assert gate.details is not None
    return set(zip(gate.details["stream_id"], gate.details["version"], strict=True))


def lifted(data: Any) -> Any:
    return {**data, "lifted": True}


@settings(max_examples=25)
@given(damaged(), st.lists(cases(), max_size=3))
def test_every_event_is_accounted_for_by_whatever_steps(rows, chosen):
    bench, log = bench_of(rows)
    with bench:
        made = run(log.source, Migration("m", [step for step, _ in chosen]))
        seen = Seen(made.migration, made, counted(made, made.migration))
        assert judged(seen)[0].status == "passed"
        # An event that a step loses without a word.
        some = rows[len(rows) // 2].position
        work = made.work
        less = work.over(f"select * from ({work.events.query}) where origin <> {some}")
        lost = replace(made, work=less)
        gone = {origin for (origin,) in work.events.rows(f"select origin from ({made.dropped})")}
        outcome = judged(Seen(made.migration, lost, counted(lost, made.migration)))[0]
        assert (outcome.name, outcome.status) == (ACCOUNTED, "passed" if some in gone else "failed")
        assert isinstance(less, Work)


def test_events_on_which_a_step_fails_are_named_with_their_place_and_reason():
    rows = simple("a", "b")
    rows[5] = replace(rows[5], data_text='{"n": "seven"}')
    found = gates(rows, retype_field("/n", "integer"))
    assert found[FAILS].status == "failed"
    assert found[FAILS].text == "1 event would stay as they are: 1 at step 1"
    assert named(found[FAILS]) == {("b", 3)}
    details = found[FAILS].details
    assert details is not None
    assert "seven" in details["error"].tolist()[0]
    assert gates(simple("a"), retype_field("/n", "integer"))[FAILS].status == "passed"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([upcast("Added", 1, 2, lifted), upcast("Added", 3, 4, lifted)], "a hole: nothing leads on from version 2"),
        ([upcast("Added", 1, 2, lifted), upcast("Added", 1, 2, dict)], "two upcasters from version 1"),
        ([upcast("Added", 1, 2, lifted), upcast("Added", 1, 3, dict), upcast("Added", 2, 3, dict)], "two upcasters"),
        ([upcast("Added", 2, 3, lifted), upcast("Added", 1, 2, lifted)], "4 Added stay at version 2 of 3"),
        ([upcast("Added", 2, 3, lifted)], "4 Added stay at version 1 of 3"),
    ],
)
def test_a_chain_that_is_not_whole_is_told(steps, said):
    found = gates(simple("a"), *steps)[CHAINS]
    assert found.status == "failed"
    assert said in found.text
    if "stay" in said:
        assert named(found) == {("a", version) for version in range(1, 5)}
        return
    with pytest.raises(MigrationError, match=said):
        chain(steps)


def test_whole_chains_pass_in_steps_of_any_length():
    rows = [replace(row, schema_version=row.version) for row in simple("a")]
    steps = [upcast("Added", 1, 3, lifted), upcast("Added", 2, 3, lifted), upcast("Added", 3, 4, lifted)]
    assert gates(rows, *steps)[CHAINS].status == "passed"
    assert gates(rows, *steps)[CHAINS].text == "every event reaches the end of its chain: Added at 4"
    assert chain(reversed(steps)).steps == tuple(steps)
    assert CHAINS not in gates(rows, rename_type("Added", "Put"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: upcast("Added", 2, 2, dict), "leads back"),
        (lambda: upcast("Added", 2, 1, dict), "leads back"),
        (lambda: upcast("Added", True, 2, dict), "no schema version"),
        (
            lambda: upcast("Added", 1, 2, "dict"),  # type: ignore[arg-type]
            "no function",
        ),
        (
            lambda: chain([rename_type("a", "b")]),  # type: ignore[list-item]
            "made of es.upcast",
        ),
        (lambda: drop_events(where="random() < 0.5"), r"random\(\) is something else each time"),
        (lambda: drop_events(where="recorded_at < NOW ( ) - interval 1 day"), "something else each time"),
        (lambda: drop_events(where="recorded_at < current_date"), "current_date is something else each time"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written(make, said):
    with pytest.raises(MigrationError, match=said):
        make()
    assert drop_events(where="event_type = 'now()' or \"version\" = 2").sentence


def test_a_function_that_gives_something_else_the_second_time_is_found():
    counter = itertools.count()
    unsteady = upcast("Added", 1, 2, lambda data: {**data, "at": next(counter)}, streams="b")
    found = gates(simple("a", "b"), unsteady)[TWICE]
    assert (found.status, named(found)) == ("failed", {("b", version) for version in range(1, 5)})
    coming = itertools.count()
    some = map_events(lambda event: None if next(coming) % 8 == 2 else event)
    first = map_events(lambda event: event if event.version < 4 or next(counter) < 100 else None)
    assert gates(simple("a", "b"), upcast("Added", 1, 2, lifted))[TWICE].status == "passed"
    assert gates(simple("a", "b"), rename_type("Added", "Put"))[TWICE].status == "passed"
    assert gates(simple("a", events=5), some)[TWICE].status == "failed"
    assert first.sentence


def test_a_claim_to_be_idempotent_is_proved():
    rows = simple("a")
    for step in (rename_type("Added", "Put"), add_field("/m", 1), drop_field("/n"), drop_duplicates()):
        assert gates(rows, step, idempotent=True)[AGAIN].status == "passed"
    assert AGAIN not in gates(rows, convert_field("/n", factor=2))
    for step, where in ((convert_field("/n", factor=2), {1, 2, 3, 4}), (drop_events(where="version = 1"), {1})):
        found = gates(rows, step, idempotent=True)[AGAIN]
        assert (found.status, named(found)) == ("failed", {("a", version) for version in where})
    assert gates(rows, convert_field("/n", factor=2), idempotent=True)[AGAIN].text == "the second time: 4 changed"


def test_a_gap_that_is_left_fails_and_one_that_is_closed_up_does_not():
    rows = simple("a", "b")
    found = gates(rows, drop_events(where="version = 2", streams="b", leave_gap=True))
    assert (found[GAP].status, named(found[GAP])) == ("failed", {("b", 2)})
    assert found[FINDING].status == "passed"
    assert gates(rows, drop_events(where="version = 2", streams="b"))[GAP].status == "passed"
    head = gates(rows, drop_events(where="version = 1", streams="b", leave_gap=True))[GAP]
    assert (head.status, {stream for stream, _ in named(head)}) == ("failed", {"b"})
    assert gates(rows, drop_events(where="version = 4", leave_gap=True))[GAP].status == "passed"


def test_a_gap_that_grows_is_new_and_one_that_moves_is_not():
    rows = [row for row in simple("a", events=8) if row.version != 5]
    assert gates(rows, drop_events(where="version = 2"))[GAP].status == "passed"
    found = gates(rows, drop_events(where="version = 6", leave_gap=True))[GAP]
    assert found.status == "failed"
    assert gates(rows, drop_events(where="version = 6"))[GAP].status == "passed"


def test_a_finding_that_was_there_is_none_that_is_new():
    rows = simple("a", events=6)
    rows.append(replace(rows[3], position=7))
    rows.append(replace(rows[4], position=8, event_id="other", data_text='{"n": 0}'))
    bench, log = bench_of(rows)
    with bench:
        assert {"duplicate-event", "version-fork"} <= set(log.check().findings["check"])
        moved = log.dry_run(Migration("m", [drop_events(where="version = 1"), rename_type("Added", "Put")]))
        new = findings(moved).new
        assert new[new["severity"] != "info"].empty
        assert moved.passed
        mended = log.dry_run(Migration("m", [drop_duplicates()]))
        assert "duplicate-event" in set(findings(mended).gone["check"])
        assert "duplicate-event" not in set(findings(mended).after.findings["check"])
        assert mended.passed
        # Two contents that differ become one.
        worse = log.dry_run(
            Migration("m", [drop_field("/n"), map_events(lambda event: event.changed(event_id="same"))])
        )
        assert FINDING in worse.failed
        assert "duplicate-event" in worse.gates[-1].text or "event-id-reused" in worse.gates[-1].text
        outcome = next(gate for gate in worse.gates if gate.name == FINDING)
        assert {stream for stream, _ in named(outcome)} == {"a"}


def test_without_checks_nothing_is_said_of_findings():
    bench, log = bench_of(simple("a"))
    with bench:
        dry = log.dry_run(Migration("m", [drop_events(where="version = 2", leave_gap=True)]), checks=False)
        told = {gate.name: gate.status for gate in dry.gates}
        assert (told[GAP], told[FINDING], dry.passed) == ("not applicable", "not applicable", True)


def test_steps_that_do_nothing_are_told_with_the_nearest_names():
    bench, log = bench_of([replace(row, data_text='{"numbers": 1}') for row in simple("a")])
    with bench:
        steps = [rename_type("Aded", "Put"), drop_field("/number"), bump_version("Added", 2), bump_version("Added", 2)]
        told = log.dry_run(Migration("m", steps)).warnings
        assert [warning.partition(":")[0] for warning in told] == [
            "step 1 matches nothing",
            "step 2 matches events but changes none",
        ]
        assert 'Did you mean "Added"?' in told[0]
        assert 'Did you mean "/numbers"?' in told[1]
        # A condition on what only a migration knows.
        assert log.dry_run(Migration("m", [drop_field("/m", where="origin > 2")])).warnings


@settings(max_examples=15)
@given(damaged(), cases())
def test_an_empty_migration_and_one_that_touches_nothing_change_no_finding(rows, case):
    bench, log = bench_of(rows)
    with bench:
        empty = log.dry_run(Migration("m"))
        assert empty.passed
        assert findings(empty).new.empty
        assert findings(empty).gone.empty
        assert list(findings(empty).after.findings["check"]) == list(log.check().findings["check"])
        assert findings(log.dry_run(Migration("m", [case[0]]))).before.findings.equals(log.check().findings)

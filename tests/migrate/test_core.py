"""Steps on single events agree with the same done by hand, on logs with any damage: rows, lineage and every count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.event import CANONICAL
from esbench.events import Events
from esbench.migrate.counts import counted
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from tests.checks.compare import connect, events_of
from tests.migrate import oracle_core as hand
from tests.migrate.core_cases import Case, cases, damaged
from tests.migrate.oracle_core import Item, Log
from tests.oracle import Facts, Row

COLUMNS = (*CANONICAL, "source", "origin", "others", "nth", "steps", "met", "failed")
LAYOUTS = st.sampled_from(("ordered", "wrong", "unordered"))


@pytest.fixture(scope="module")
def con():
    return connect()


def made(result: Result) -> list[Item]:
    """The rows of a result, as the reference has them, in order of position."""
    table = result.work.events.arrow(f"select {', '.join(COLUMNS)}, failure is not null as told from events")
    rows = table.to_pylist()
    assert all(row.pop("told") is (row["failed"] is not None) for row in rows)
    return sorted(rows, key=lambda row: row["position"])


def expected(log: Log) -> list[Item]:
    return sorted(({name: item[name] for name in COLUMNS} for item in log.rows), key=lambda item: item["position"])


def by_hand(rows: list[Row], chosen: list[Case]) -> Log:
    log = hand.started(rows)
    for _, apply in chosen:
        apply(log)
    return log


def migrated(events: Events, chosen: list[Case], **options: Any) -> Result:
    return run(events, Migration("m", [step for step, _ in chosen]), **options)


def same(result: Result, log: Log, rows: list[Row]) -> None:
    assert made(result) == expected(log)
    assert dict(result.work.events.rows(f"select origin, step from ({result.dropped})")) == log.dropped()
    ledger = result.work.events.rows(
        f"select source, origin, step, steps, met, merged from {result.work.scratch.table('gone')} order by origin"
    )
    assert ledger == [
        (0, item["origin"], item["gone"], item["steps"], item["met"], False)
        for item in sorted(log.gone, key=lambda item: item["origin"])
    ]
    counts = counted(result, result.migration)
    assert counts.steps[["matched", "changed", "dropped", "failed"]].to_dict("records") == log.counts
    assert not counts.steps[["merged", "added"]].to_numpy().any()
    assert counts.fates == log.fates()
    assert (counts.before, counts.after) == (len(rows), len(log.rows))
    assert counts.failed_rows == log.fates()["failed"]
    assert counts.changed_rows == sum(item["steps"] != 0 for item in log.rows)
    types = counts.types.set_index("event_type")
    assert {name: n for name, n in types["before"].items() if n} == hand.started(rows).types()
    assert {name: n for name, n in types["after"].items() if n} == log.types()
    assert counted(run(result.source, result.migration), result.migration).digest == counts.digest
    if result.events.ordered:
        order = result.events.rows("select stream_key, version, position from events")
        assert order == sorted(order)


@given(damaged(), cases(), LAYOUTS)
def test_each_step_makes_the_rows_lineage_and_counts_of_the_reference(con, rows, case, layout):
    result = migrated(events_of(rows, Facts(), con=con, layout=layout), [case])
    if layout != "wrong":
        same(result, by_hand(rows, [case]), rows)


@given(damaged(), st.lists(cases(), min_size=2, max_size=5))
def test_steps_after_steps_make_those_of_the_reference(con, rows, chosen):
    same(migrated(events_of(rows, Facts(), con=con), chosen), by_hand(rows, chosen), rows)

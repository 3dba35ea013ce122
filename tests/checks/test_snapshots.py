"""Stored states against the fold at the version that each claims, and against a plain fold by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.aggregate import Aggregate
from esbench.checks import SnapshotTable, check
from esbench.errors import EsbenchError
from esbench.stored import TableError
from tests import oracle, strategies
from tests.checks.compare import aggregate_of, connect, events_of
from tests.oracle import Facts, Row
from tests.test_travel_oracle import LAYOUTS

CON = connect()
CHECKED = ("snapshot-mismatch", "snapshot-ahead")
NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


def rows_of(findings: pd.DataFrame) -> list[tuple[Any, ...]]:
    result = []
    for row in findings.astype(object).to_dict("records"):
        evidence = json.loads(row["evidence"])
        last = {name: one["last_true"] for name, one in evidence.get("fields", {}).items()}
        position = None if pd.isna(row["position"]) else row["position"]
        result.append((row["check"], row["stream_id"], row["version"], position, evidence["row"], last))
    return result


@given(data=st.data(), layout=LAYOUTS, form=st.sampled_from(("columns", "json")))
def test_any_table_has_exactly_the_findings_of_a_fold_by_hand(data, layout, form):
    rows = data.draw(strategies.logs())
    facts = oracle.Facts(base=oracle.infer_base(rows))
    rules = data.draw(strategies.aggregates())
    streams = oracle.streams(rows)
    inside = set(oracle.covered(rows, rules))
    if not inside:
        return
    expected: list[Any] = []
    table = []
    for number in range(data.draw(st.integers(1, 8))):
        name = data.draw(st.sampled_from((*sorted(streams), "none")))
        versions = [row.version for row in streams.get(name, [])]
        version = data.draw(st.sampled_from(versions or [1])) + data.draw(st.sampled_from((0, 0, 0, -1, 1)))
        taken = [row for row in streams.get(name, []) if row.version <= version]
        value, steps = oracle.fold(taken, rules)
        stored = value["n"] if (other := data.draw(st.sampled_from((None, None, 0, 3, 99)))) is None else other
        table.append((name, version, stored))
        last = oracle.folding_order(taken)[-1].position if taken else None
        if name in streams and name not in inside:
            expected.append(("snapshot-mismatch", name, version, None, number, {}))
        elif not versions or version > max(versions):
            expected.append(("snapshot-ahead", name, version, last, number, {}))
        elif stored != value["n"]:
            true = [step.row.version for step in steps if step.value["n"] == stored]
            expected.append(("snapshot-mismatch", name, version, last, number, {"n": true[-1] if true else None}))
    given_table = pa.table(
        {
            "stream_id": [name for name, _, _ in table],
            "version": pa.array([version for _, version, _ in table], pa.int64()),
            "n": [stored for _, _, stored in table],
        }
    )
    said: Any = given_table
    if form == "json":
        text = [json.dumps({"n": stored}) for _, _, stored in table]
        said = SnapshotTable(given_table.append_column("state", pa.array(text)), columns={"/n": "n"})
    report = check(events_of(rows, facts, con=CON, layout=layout), [aggregate_of(rules)], only=CHECKED, snapshots=said)
    assert report.checks == ("snapshot-mismatch", "snapshot-ahead")
    found = [(*one[:5], {name.strip("/"): true for name, true in one[5].items()}) for one in rows_of(report.findings)]
    assert sorted(found, key=itemgetter(4)) == expected


@pytest.fixture
def item() -> Aggregate:
    made = Aggregate("Item", initial={"quantity": 0, "name": None}, streams="item-*")
    made.on("Added")(lambda state, event: {**state, **event.data})
    return made


LOG = [
    Row(1, "item-1", 1, "Added", '{"quantity":5,"name":"Mug"}', recorded_at=NOON),
    Row(2, "item-1", 2, "Added", '{"quantity":7}', recorded_at=NOON + timedelta(hours=1)),
    Row(3, "item-1", 3, "Added", '{"name":"Cup"}', recorded_at=NOON + timedelta(hours=2)),
    Row(4, "item-2", 1, "Added", '{"quantity":5}'),
    Row(5, "cart-1", 1, "Added", '{"quantity":5}'),
]
PLANTED = pd.DataFrame(
    {
        "stream_id": ["item-1", "item-1", "item-1", "item-2", "item-3", "cart-1", "item-1", "item-1"],
        "version": [1, 2, 3, 2, 1, 1, 0, 9],
        "quantity": [5, 5, 9, 5, 5, 5, 0, 7],
        "name": ["Mug", "Mug", "Mug", None, None, None, None, "Cup"],
    }
)


@pytest.fixture
def events():
    return events_of(LOG, Facts(base=1), con=CON)


def test_planted_states_are_found_and_no_others(events, item):
    report = check(events, [item], only=CHECKED, snapshots=PLANTED)
    assert rows_of(report.findings) == [
        ("snapshot-ahead", "item-1", 9, 3, 7, {}),
        ("snapshot-ahead", "item-2", 2, 4, 3, {}),
        ("snapshot-ahead", "item-3", 1, None, 4, {}),
        ("snapshot-mismatch", "item-1", 2, 2, 1, {"quantity": 1}),
        ("snapshot-mismatch", "item-1", 3, 3, 2, {"quantity": None, "name": 2}),
        ("snapshot-mismatch", "cart-1", 1, None, 5, {}),
    ]
    assert report.findings["severity"].tolist() == ["error"] * 5 + ["info"]
    assert report.findings["explanation"].tolist() == [
        'The stored state of stream "item-1" (row 7 of the table) claims version 9, but the stream ends at version 3.',
        'The stored state of stream "item-2" (row 3 of the table) claims version 2, but the stream ends at version 1.',
        'The stored state of stream "item-3" (row 4 of the table) claims version 1, but the log has no such stream.',
        (
            'The stored state of stream "item-1" (row 1 of the table) at version 2 is not that of the fold: "quantity" '
            "is 5, as the fold last was at version 1, and should be 7."
        ),
        (
            'The stored state of stream "item-1" (row 2 of the table) at version 3 is not that of the fold: "quantity" '
            "is 9, as the fold never was, and should be 7, and 1 more field differs."
        ),
        (
            'The stored state of stream "cart-1" (row 5 of the table) claims version 1: the aggregate does not cover '
            "the stream."
        ),
    ]
    assert report.findings["seen"][3] == "quantity 5"
    assert report.findings["expected"][3] == "quantity 7"


def test_whole_states_may_stand_in_a_column_of_json(events, item):
    table = pd.DataFrame(
        {
            "id": ["item-1", "item-1"],
            "seq": [1, 2],
            "state": ['{"name": "Mug", "quantity": 5.0}', '{"name": "Mug", "quantity": 8}'],
        }
    )
    report = check(events, [item], only=CHECKED, snapshots=SnapshotTable(table, key="id", version="seq"))
    assert rows_of(report.findings) == [("snapshot-mismatch", "item-1", 2, 2, 1, {"": None})]
    assert "at /quantity" in report.findings["explanation"][0]


def test_tolerances_and_columns_are_those_of_reconcile(events, item):
    table = PLANTED[:3].rename(columns={"quantity": "qty"})
    said = SnapshotTable(table, columns={"quantity": "qty"}, tolerances={"qty": 2})
    assert check(events, [item], only=CHECKED, snapshots=said).ok
    assert not check(events, [item], only=CHECKED, snapshots=SnapshotTable(table, columns={"quantity": "qty"})).ok


def test_rows_of_read_models_claim_a_position(events):
    model = es.Projection("Names", {"n": es.count("Added")}, key=es.field("/name"))
    table = pd.DataFrame(
        {"name": ["Mug", "Cup", "Cup", "Jug", "Mug"], "position": [2, 3, 2, 5, 6], "n": [1, 2, 0, 1, 1]}
    )
    report = check(events, [model], only=CHECKED, snapshots=table)
    assert rows_of(report.findings) == [
        ("snapshot-ahead", "Mug", 6, 1, 4, {}),
        ("snapshot-mismatch", "Cup", 2, None, 2, {}),
        ("snapshot-mismatch", "Cup", 3, 3, 1, {"n": None}),
        ("snapshot-mismatch", "Jug", 5, None, 3, {}),
    ]
    assert report.findings["explanation"].tolist() == [
        'The stored state of key "Mug" (row 4 of the table) claims position 6, but the log ends at position 5.',
        'The stored state of key "Cup" (row 2 of the table) claims position 2: no event up to there has such a key.',
        (
            'The stored state of key "Cup" (row 1 of the table) at position 3 is not that of the fold: "n" is 2, as '
            "the fold never was, and should be 1."
        ),
        'The stored state of key "Jug" (row 3 of the table) claims position 5: no event has such a key.',
    ]
    assert json.loads(report.findings["evidence"][0])["key"] == {"name": "Mug"}


def test_several_aggregates_have_a_table_each(events, item):
    carts = es.Projection("Cart", {"quantity": es.latest({"Added": es.field("/quantity")}, type="integer")},
                          streams="cart-*")  # fmt: skip
    tables = {"Item": PLANTED[:1], "Cart": PLANTED[5:6]}
    assert check(events, [item, carts], only=CHECKED, snapshots=tables).findings.empty
    assert len(check(events, [item, carts], only=CHECKED, snapshots={"Cart": PLANTED[:1]}).findings) == 1
    with pytest.raises(EsbenchError, match=r"not checked: 'Itm'.*Did you mean \"Item\""):
        check(events, [item], snapshots={"Itm": PLANTED})
    with pytest.raises(EsbenchError, match="of which aggregate"):
        check(events, [item, carts], snapshots=PLANTED)
    with pytest.raises(EsbenchError, match=r"of which aggregate.* given: none"):
        check(events, snapshots=PLANTED)


@pytest.mark.parametrize(
    ("facts", "table", "reason"),
    [
        (Facts(base=1), None, "no stored states were given: snapshots= takes a table of them"),
        (Facts(base=1), PLANTED[:0], "the table of stored states has no rows"),
        (Facts(derived_versions=True), PLANTED, "versions were numbered by the loader"),
    ],
)
def test_nothing_is_claimed_of_what_cannot_be_compared(item, facts, table, reason):
    report = check(events_of(LOG, facts, con=CON), [item], only=CHECKED, snapshots=table)
    assert report.not_claimed == dict.fromkeys(CHECKED, reason)
    assert report.checks == ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (PLANTED.drop(columns="version"), 'no column "version" that says.*log.reconcile'),
        (PLANTED.assign(version=1.5), "row 0 of the table claims no version"),
        (PLANTED.assign(version="1"), "row 0 of the table claims no version"),
        (PLANTED.drop(columns="stream_id"), 'no column "stream_id"'),
        (PLANTED[["stream_id", "version"]], "nothing to compare"),
        (SnapshotTable(PLANTED, columns={"quantty": "quantity"}), 'no state has "quantty"'),
        (SnapshotTable("nowhere"), 'no table "nowhere"'),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(events, item, table, message):
    with pytest.raises(TableError, match=message):
        check(events, [item], only=CHECKED, snapshots=table)

"""Checks of read models: every row is judged in position order, and a finding names its key, its event and stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.checks import check
from esbench.projection import Projection
from tests import oracle, strategies
from tests.checks.compare import connect, events_of, expected, found
from tests.fold.test_keyed import KEYS
from tests.fold.test_sql import LAYOUTS, payloads, projections
from tests.oracle import Facts, Row, Rules

CON = connect()
MEANT = ("invariant-violated", "handler-error")


def by_hand(rows: list[Row], facts: Facts, projection: Projection, key_of: Any) -> list[oracle.Found]:
    """Each key's events as a stream in which positions are the versions, judged by the reference."""
    python = projection.aggregate
    rules = Rules(projection.name, projection._initial_state, python.handlers, python.invariants, streams="*")
    damage = oracle.findings(rows, facts)
    inside = set(oracle.covered(rows, Rules("", None, {}, streams=projection.streams)))
    events = {row.position: row for row in rows}
    keys: dict[Any, list[Row]] = {}
    for row in oracle.position_order(rows):
        key = key_of(CON, row) if row.stream_id in inside and row.event_type in projection.event_types else (None,)
        if None not in key:
            keys.setdefault(key, []).append(replace(row, stream_id=", ".join(map(str, key)), version=row.position))
    result = []
    for key, stream in keys.items():
        told = dict(zip((part.name for part in projection.key), map(str, key), strict=True))
        for each in (*oracle.handler_errors(stream, rules), *oracle.broken_invariants(stream, rules, facts)):
            assert each.position is not None
            event = events[each.position]
            after = oracle.after(each._replace(stream_id=event.stream_id, version=event.version), damage)
            place = {"key": told, "stream_id": event.stream_id, "version": event.version}
            result.append(each._replace(detail={**each.detail, **place}, after=after))
    return sorted(result, key=lambda one: (one.check, one.stream_id, one.version, one.detail.get("invariant", "")))


@given(
    rows=strategies.logs(payloads=payloads()),
    declared=projections(),
    which=st.sampled_from(KEYS),
    layout=LAYOUTS,
    data=st.data(),
)
def test_findings_are_those_of_the_python_handlers_over_each_key(rows, declared, which, layout, data):
    facts = data.draw(strategies.facts_for(rows))
    projection = es.Projection(
        "Any",
        declared.columns,
        key=which[0],
        streams=declared.streams,
        invariants={name: one.text for name, one in declared.conditions.items()},
    )
    report = check(events_of(rows, facts, con=CON, layout=layout), [projection], only=MEANT)
    told = found(report)
    for _, _, _, _, _, _, _, evidence, _ in told:
        evidence.pop("absent", None)  # which path is a slip, the reference does not say
    assert told == expected(by_hand(rows, facts, projection, which[1]))


@pytest.fixture
def log():
    rows = [
        ("o-1", 1, "Placed", {"customer": "ann", "amount": 5}),
        ("o-2", 1, "Placed", {"customer": "bob", "amount": 7}),
        ("o-1", 2, "Cancelled", {"customer": "ann", "amount": 8}),
        ("o-3", 1, "Placed", {"amount": 1}),
        ("o-2", 3, "Cancelled", {"customer": "bob", "amount": 9}),
        ("o-4", 1, "Placed", {"customer": "ann", "amount": 4}),
        ("o-5", 1, "Placed", {"customer": "eve", "amount": "x"}),
        ("o-5", 2, "Shipped", {}),
    ]
    frame = pd.DataFrame(rows, columns=["stream_id", "version", "event_type", "data"])
    return es.open().load(frame.assign(data=frame["data"].map(json.dumps)), name="orders")


CUSTOMERS = es.Projection(
    "Customers",
    {"spent": es.total({"Placed": es.field("/amount"), "Cancelled": -es.field("/amount")})},
    key=es.field("/customer"),
    invariants={"nobody gets more back": "spent >= 0"},
)


def test_finding_names_the_key_the_event_and_its_stream(log):
    findings = log.check(CUSTOMERS, only=MEANT).findings
    assert findings[["check", "stream_id", "version", "position", "event_type"]].values.tolist() == [
        ["handler-error", "eve", 7, 7, "Placed"],
        ["invariant-violated", "ann", 3, 3, "Cancelled"],
        ["invariant-violated", "bob", 5, 5, "Cancelled"],
    ]
    assert findings["stream_type"].isna().all()
    assert findings["explanation"][1] == (
        '"nobody gets more back" does not hold for key "ann" since position 3 ("Cancelled" at position 3, version 2 of '
        'stream "o-1"): it last held at position 1, and it holds again at position 6.'
    )
    assert (
        'failed at position 7 of key "eve" ("Placed" at position 7, version 1 of stream "o-5")'
        in (findings["explanation"][0])
    )
    evidence = json.loads(findings["evidence"][1])
    assert (evidence["key"], evidence["stream_id"], evidence["version"]) == ({"customer": "ann"}, "o-1", 2)


def test_damage_of_the_stream_of_the_event_is_told(log):
    findings = log.check(CUSTOMERS, only=["invariant-violated"]).findings
    assert findings["after"].fillna("").tolist() == ["", "version-gap@2"]


def test_events_without_a_key_are_counted(log):
    report = log.check(CUSTOMERS)
    assert report.without_key == {"Customers": 1}
    assert "1 event without the key of Customers, not folded" in str(report)
    assert "1 event without the key of Customers, not folded" in report._repr_html_()
    assert json.loads(report.to_json())["without_key"] == {"Customers": 1}


def test_rules_of_streams_are_not_claimed_of_read_models(log):
    report = log.check(CUSTOMERS)
    assert report.not_claimed["unknown-event-type"] == "a read model takes the event types that it names"
    assert report.not_claimed["unexpected-first-event"] == "no lifecycle says which events come first"


def test_key_that_is_called_like_a_damaged_stream_does_not_take_its_damage():
    rows = [Row(1, "ann", 1), Row(2, "ann", 5), Row(3, "b", 1, data_text='{"n":-1}')]
    projection = es.Projection(
        "P", {"n": es.total({"Added": es.field("/n", default=0)})}, key="'ann' as who", invariants={"n": "n >= 0"}
    )
    report = check(events_of(rows, Facts(base=1), con=CON), [projection], only=["invariant-violated"])
    assert report.findings[["stream_id", "position", "after"]].fillna("").values.tolist() == [["ann", 3, ""]]

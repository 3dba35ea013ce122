"""Two users at once: what optimistic locking says to a command, to a fork, and of a whole log."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.branch import BadEdit, branch
from esbench.concurrency import Unrecorded, audit
from esbench.errors import UnknownStream
from esbench.event import At
from esbench.replay import NOTE, replay
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.conftest import ROOT
from tests.oracle import Row

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture(scope="module")
def stock() -> es.Log:
    return es.open().load(ROOT / "data" / "inventory.jsonl", keys={"writer": "/user"})


@pytest.fixture(scope="module")
def counter() -> es.Aggregate:
    made = es.Aggregate("Counter", initial={"n": 0}, streams="*")

    @made.on("Added")
    def add(state: Any, event: Any) -> Any:
        return {"n": state["n"] + event.data["n"]}

    @made.on("Set")
    def set_(state: Any, event: Any) -> Any:
        return {"n": event.version}

    @made.invariant("never negative")
    def never_negative(state: Any) -> Any:
        return state["n"] >= 0

    return made


@pytest.fixture
def inventory() -> es.Aggregate:
    from aggregates import inventory

    assert isinstance(inventory, es.Aggregate)
    return inventory


def event(position: int, version: int, n: int, *, stream: str = "a", seconds: int | None = None, **meta: Any) -> Row:
    return Row(
        position,
        stream,
        version,
        "Added",
        json.dumps({"n": n}),
        json.dumps(meta) if meta else None,
        event_id=f"e{position}",
        recorded_at=NOON + timedelta(seconds=position if seconds is None else seconds),
    )


def log_of(con: Any, rows: list[Row], **facts: Any) -> es.Log:
    return es.Log("things", events_of(rows, oracle.Facts(base=1, **facts), con=con))


# Would it have been accepted?


def test_a_command_is_accepted_at_the_version_that_it_expects(stock):
    assert stock.would_accept("item-123", expected_version=2, position=345)
    late = stock.would_accept("item-123", expected_version=2, position=346)
    assert not late
    assert late.version == 3
    assert repr(late) == 'refused: expected version 2, "item-123" had version 3'
    assert stock.would_accept("item-123", expected_version=4)
    assert stock.would_accept("item-123", expected_version=1, as_of="2024-05-01")
    assert not stock.would_accept("item-123", expected_version=5)


def test_no_stream_is_expected_where_there_is_none(stock):
    assert stock.would_accept("item-123", expected_version=None, position=1)
    assert stock.would_accept("item-123", expected_version=0, position=1)
    assert not stock.would_accept("item-123", expected_version=1, position=1)
    assert not stock.would_accept("item-123", expected_version=None)
    assert stock.would_accept("item-new", expected_version=None)
    assert stock.would_accept("item-123", expected_version=np.int64(4))
    for other in ("4", 4.0, True):
        with pytest.raises(es.EsbenchError, match="expected_version is not an integer"):
            stock.would_accept("item-123", expected_version=other)
    with pytest.raises(UnknownStream):
        stock.would_accept("item-new", expected_version=3)


# Two users at once.


def test_the_classic_five_in_stock_and_orders_for_three_and_four(stock, inventory):
    done = stock.replay_concurrent(inventory, "item-123", versions=[3])
    columns = ["who", "event_type", "attempt", "expected_version", "actual_version", "outcome", "reason", "quantity"]
    assert done.steps[columns].values.tolist() == [
        ["amelie.roth", "ItemsOrdered", 1, 2, 2, "accepted", "", 2],
        ["jonas.weber", "ItemsOrdered", 1, 2, 3, "conflict", "the stream has version 3", 2],
        ["jonas.weber", "ItemsOrdered", 2, 3, 3, "refused", "stock is never negative", 2],
    ]
    assert done.branch.state(inventory, "item-123").quantity == 2
    assert done.branch.state(inventory, "item-123").complete
    assert done.branch.events("item-123")["version"].tolist() == [1, 2, 3, 4]
    assert done.branch.concurrency().wrong.empty
    assert NOTE in done._repr_html_()
    assert repr(done).startswith("Replay of item-123: 2 commands, 1 conflict, 1 accepted, 1 refused\n")
    assert stock.state(inventory, "item-123").quantity == -2


def test_a_retry_that_fits_is_accepted_on_the_new_version_and_what_follows_moves(con, counter):
    rows = [
        event(1, 1, 5),
        event(2, 2, -3),
        event(3, 2, -1, expected_version=1),
        event(4, 3, 7, stream="b"),
        event(5, 3, 1),
    ]
    log = log_of(con, rows)
    done = log.replay_concurrent(counter, "a")
    assert done.steps["outcome"].tolist() == ["accepted", "conflict", "accepted"]
    assert done.steps["n"].tolist() == [2, 2, 1]
    after = done.branch.events("a")
    assert after["version"].tolist() == [1, 2, 3, 4]
    assert after["position"].tolist() == [1, 2, 3, 5]
    assert after["event_id"].tolist() == ["e1", "e2", "e3", "e5"]
    assert after["metadata"].tolist()[2] == '{"expected_version":2}'
    assert after["data"].tolist() == log.events("a")["data"].tolist()
    assert done.branch.diff(counter).empty


def test_events_of_different_versions_are_replayed_as_if_at_once(con, counter):
    log = log_of(con, [event(1, 1, 5), event(2, 2, -3), event(3, 3, 10), event(4, 4, -4), event(5, 5, 1)])
    done = log.replay_concurrent(counter, "a", events=[2, "e4"])
    assert done.steps["expected_version"].tolist() == [1, 1, 3]
    assert done.steps["outcome"].tolist() == ["accepted", "conflict", "accepted"]
    assert done.branch.events().equals(log.events())


def test_three_at_once_and_a_handler_that_fails(con, counter):
    rows = [event(1, 1, 5), event(2, 2, -9), replace(event(3, 2, 0), data_text="{}"), event(4, 2, -1), event(5, 3, 1)]
    done = log_of(con, rows).replay_concurrent(counter, "a")
    assert done.steps["outcome"].tolist() == ["refused", "refused", "accepted"]
    assert done.steps["reason"].tolist() == ["never negative", "KeyError: 'n'", ""]
    assert done.branch.events("a")[["event_id", "version", "position"]].values.tolist() == [
        ["e1", 1, 1],
        ["e4", 2, 2],
        ["e5", 3, 3],
    ]


def test_a_version_that_metadata_names_is_the_one_expected(con, counter):
    rows = [event(1, 1, 5), event(2, 2, 1), event(3, 3, 1, expected_version=1), event(4, 3, 1, expected_version=2)]
    done = log_of(con, rows).replay_concurrent(counter, "a")
    assert done.steps["outcome"].tolist() == ["conflict", "accepted", "conflict", "accepted"]
    assert done.steps["expected_version"].tolist() == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"versions": [2]}, r"no fork at version 2 of .a.. It has none. events= names"),
        ({"versions": [1], "events": [1, 2]}, "not both"),
        ({"events": [1]}, "two events or more"),
        ({"events": [2, 2]}, "two events or more"),
    ],
)
def test_a_race_that_is_none_says_so(con, counter, options, text):
    with pytest.raises(BadEdit, match=text):
        log_of(con, [event(1, 1, 1), event(2, 2, 1)]).replay_concurrent(counter, "a", **options)


def test_without_forks_nothing_is_replayed(con, counter):
    log = log_of(con, [event(1, 1, 1), event(2, 2, 1)])
    done = log.replay_concurrent(counter, "a")
    assert done.steps.empty
    assert done.branch.events().equals(log.events())


@settings(max_examples=30)
@given(rows=strategies.logs(), data=st.data())
def test_what_is_replayed_folds_to_what_it_says(con, counter, rows, data):
    """The branch has no fork, only what was accepted, and after each step the state that the step shows."""
    rows = [replace(row, event_type="Set" if row.event_type == "Set" else "Added") for row in rows]
    source = events_of(rows, oracle.Facts(base=oracle.infer_base(rows)), con=con)
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(rows))))
    done = replay(branch(source, stream_id), counter)
    events = done.edits.events
    versions = [row["version"] for row in done.edits.stream.find()]
    assert len(versions) == len(set(versions))
    refused = int((done.steps["outcome"] == "refused").sum())
    assert len(versions) == len(oracle.streams(rows)[stream_id]) - refused
    accepted = done.steps[done.steps["outcome"] == "accepted"]
    for step in accepted.to_dict("records"):
        here = travel.state(events, counter, stream_id, At(version=step["actual_version"] + 1))
        assert here.value["n"] == step["n"]


# The audit.


def test_the_race_of_the_sample_log_is_found(stock):
    found = stock.concurrency()
    assert repr(found) == "Concurrency: 1 race among 456 writes, in 1 stream; 1 got through wrongly"
    row = found.races.to_dict("records")[0]
    assert (row["stream_id"], row["version"], row["position"]) == ("item-123", 3, 347)
    assert (row["writer"], row["after_writer"], row["outcome"]) == ("jonas.weber", "amelie.roth", "fork")
    assert (row["expected_version"], row["actual_version"]) == (2, 3)
    assert found.by_stream[["stream_id", "writes", "races", "wrong"]].values.tolist() == [["item-123", 5, 1, 1]]
    assert found.by_type.set_index("event_type").loc["ItemsOrdered", ["writes", "races", "wrong"]].tolist() == [
        197,
        1,
        1,
    ]
    assert "<table>" in found._repr_html_()


def test_an_old_expectation_that_was_appended_all_the_same_got_through_wrongly(con):
    rows = [event(n, n, 1, expected_version=n - 1) for n in (1, 2, 3)] + [event(4, 4, 1, expected_version=2)]
    found = log_of(con, rows).concurrency()
    assert found.races[["position", "outcome", "after_event_id"]].values.tolist() == [[4, "unexpected version", "e3"]]
    assert found.wrong["position"].tolist() == [4]


def test_an_expectation_of_what_was_not_there_yet_is_wrong_but_no_race(con):
    found = log_of(con, [event(1, 1, 1, expected_version=0), event(2, 2, 1, expected_version=7)]).concurrency()
    assert found.races.empty
    assert found.wrong["position"].tolist() == [2]


def test_a_command_given_before_the_last_write_was_recorded_raced_in_order(con):
    early, late = (NOON + timedelta(seconds=seconds) for seconds in (0.5, 1.5))
    rows = [event(1, 1, 1), event(2, 2, 1, at=str(early)), event(3, 3, 1, at=str(late)), event(4, 4, 1, at="soon")]
    found = log_of(con, rows, keys={"commanded_at": "/at"}).concurrency()
    assert found.races[["position", "outcome"]].values.tolist() == [[2, "in order"], [3, "in order"]]
    assert found.wrong.empty
    assert found.by_type["writes"].tolist() == [2]


def test_events_that_one_command_wrote_together_are_judged_once(con):
    rows = [event(1, 1, 1)] + [event(n, n, 1, expected_version=1, commit_id="c") for n in (2, 3, 4)]
    found = log_of(con, rows).concurrency()
    assert found.wrong.empty
    assert found.by_type["writes"].tolist() == [1]
    at_once = [event(1, 1, 1)] + [event(n, n, 1, expected_version=1, seconds=9) for n in (2, 3, 4)]
    assert log_of(con, at_once).concurrency().wrong.empty
    apart = [event(1, 1, 1)] + [event(n, n, 1, expected_version=1) for n in (2, 3, 4)]
    assert log_of(con, apart).concurrency().wrong["position"].tolist() == [3, 4]


def test_a_redelivered_event_is_no_write(con):
    rows = [event(1, 1, 1, expected_version=0), event(2, 2, 1, expected_version=1)]
    found = log_of(con, [*rows, replace(rows[1], position=3)]).concurrency()
    assert found.races.empty
    assert found.wrong.empty


def test_without_what_it_needs_the_audit_says_which_keys_would_do(con):
    with pytest.raises(Unrecorded, match=r"\(/expected_version\) or when .* Its metadata has /user, /trace. .*keys="):
        log_of(con, [event(1, 1, 1, user="a", trace="b")]).concurrency()
    with pytest.raises(Unrecorded, match="It has no metadata"):
        log_of(con, [event(1, 1, 1)]).concurrency()
    with pytest.raises(Unrecorded, match="versions were numbered by the loader"):
        audit(events_of([event(1, 1, 1, expected_version=0)], oracle.Facts(derived_versions=True), con=con))


def races(rows: list[Row], facts: oracle.Facts) -> tuple[list[int], dict[int, str]]:
    """Positions of the writes that raced, and the outcome of those that got through wrongly: one by one."""
    raced, wrong = [], {}
    for stream in oracle.streams(rows).values():
        ordered = stream if facts.positions == "issued" else sorted(stream, key=lambda row: row.position)
        expectations = [_expected(row, facts) for row in ordered]
        for index, row in enumerate(ordered):
            expected, before = expectations[index], ordered[:index]
            if expected is None:
                continue
            last = before[-1] if before else None
            together = (
                last is not None
                and last.version == row.version - 1
                and expectations[index - 1] == expected
                and last.recorded_at == row.recorded_at
                and row.recorded_at is not None
            )
            earlier = [each for each in stream if each.position < row.position]
            had = max((each.version for each in before), default=None)
            behind = had is not None and had >= row.version
            if together or (behind and any(oracle_identity(each) == oracle_identity(row) for each in earlier)):
                continue
            forked = behind and any(each.version == row.version for each in earlier)
            if had is not None and expected < had:
                raced.append(row.position)
            if forked or expected != row.version - 1:
                wrong[row.position] = "fork" if forked else "unexpected version"
    return sorted(raced), wrong


def oracle_identity(row: Row) -> Any:
    from tests.oracle_fold import identity

    return identity(row)


def _expected(row: Row, facts: oracle.Facts) -> int | None:
    value = json.loads(row.metadata_text or "{}")
    named = value.get("expected_version") if isinstance(value, dict) else None
    return named if isinstance(named, int) and named >= (facts.base or 0) - 1 else None


@settings(max_examples=40)
@given(rows=strategies.logs(), data=st.data(), layout=st.sampled_from(("ordered", "unordered", "wrong")))
def test_the_audit_finds_what_going_through_event_by_event_finds(con, rows, data, layout):
    facts = data.draw(strategies.facts_for(rows).map(lambda facts: replace(facts, derived_versions=False)))
    offsets = st.sampled_from((-1, -1, -1, -1, -2, 0, 3, None))
    rows = [
        row if (off := data.draw(offsets)) is None
        else replace(row, metadata_text=json.dumps({"expected_version": row.version + off}))
        for row in rows
    ]  # fmt: skip
    raced, wrong = races(rows, facts)
    source = events_of(rows, facts, con=con, layout=layout)
    try:
        found = audit(source)
    except Unrecorded:
        assert not any("expected_version" in (row.metadata_text or "") for row in rows)
        return
    assert found.races["position"].tolist() == raced
    assert dict(zip(found.wrong["position"], found.wrong["outcome"], strict=True)) == wrong
    assert int(found.by_stream["races"].sum()) == int(found.by_type["races"].sum()) == len(raced)


def test_html_of_a_hostile_log_is_escaped(con, counter):
    hostile = "<script>alert(1)</script>"
    rows = [event(1, 1, 1, stream=hostile), event(2, 2, 1, stream=hostile, writer=hostile, expected_version=1)]
    rows.append(replace(rows[1], position=3, event_id=hostile))
    log = log_of(con, rows)
    assert "<script" not in log.concurrency()._repr_html_()
    assert "<script" not in log.replay_concurrent(counter, hostile)._repr_html_()
    assert isinstance(log.concurrency().races, pd.DataFrame)

"""Marks: what stands against a state at a coordinate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from esbench import travel
from esbench.aggregate import Aggregate
from esbench.event import at
from esbench.fold import repeats
from esbench.fold.state import Mark
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)
BASE_1 = Facts(base=1)


@pytest.fixture(scope="module")
def con():
    return connect()


def row(position: int, version: int, n: int | None = None, **rest: Any) -> Row:
    rest = {"event_id": f"e{position}", "recorded_at": NOON + timedelta(minutes=position), **rest}
    return Row(position, "a", version, "Added", f'{{"n":{n or position}}}', **rest)


def marks(con: Any, log: list[Row], facts: Facts = BASE_1, *, unknown: Any = "ignore", **where: Any) -> list[str]:
    aggregate = Aggregate("X", initial=0, streams="*", unknown=unknown)
    events = events_of(log, facts, con=con)
    state = travel.state(events, aggregate, "a", at(**where))
    assert travel.states(events, aggregate, at(**where))["trust"].tolist() == [state.trust]
    return [str(mark) for mark in state.marks]


def test_whole_stream_is_complete(con):
    assert marks(con, [row(1, 1), row(2, 2)]) == []


def test_gap_counts_only_past_it(con):
    log = [row(1, 1), row(2, 2), row(3, 5)]
    assert marks(con, log) == ["version-gap 3-4"]
    assert marks(con, log, version=4) == []


def test_head_is_missing_above_a_known_base(con):
    assert marks(con, [row(1, 3)]) == ["missing-head 1-2"]
    assert marks(con, [row(1, 3)], Facts(base=None)) == []
    assert marks(con, [row(1, 3)], Facts(base=1, truncated=("a*",))) == ["missing-head 1-2 (declared)"]


def test_fork_and_duplicate_are_told_apart(con):
    assert marks(con, [row(1, 1), row(2, 1)]) == ["version-fork 1"]
    assert marks(con, [row(1, 1, 7, event_id="e"), row(2, 1, 7, event_id="e")]) == ["duplicate-event 1"]
    assert marks(con, [row(1, 1, 7, event_id=None), row(2, 1, 7, event_id=None)]) == ["duplicate-event 1"]
    both = [row(1, 1, 7, event_id=None), row(2, 1, 7, event_id=None), row(3, 1, 8)]
    assert marks(con, both) == ["duplicate-event 1", "version-fork 1"]


def test_duplicate_at_another_version_counts_from_the_second(con):
    log = [row(1, 1, 7, event_id="e"), row(2, 2), row(3, 3, 7, event_id="e")]
    assert marks(con, log) == ["duplicate-event 3"]
    assert marks(con, log, version=2) == []


@pytest.mark.parametrize("twice", ["a", "b", "c"])
def test_duplicates_are_found_part_by_part(con, monkeypatch, twice):
    monkeypatch.setattr(repeats, "_PART", 2)
    log = [Row(10 * key + n, name, n, event_id=f"{name}{n}") for key, name in enumerate("abc") for n in (1, 2, 3)]
    again = Row(99, twice, 4, event_id=f"{twice}1")
    frame = travel.states(events_of([*log, again], BASE_1, con=con), Aggregate("X", streams="*"))
    damaged = frame[frame["trust"] != "complete"]
    assert damaged[["stream_id", "trust"]].values.tolist() == [[twice, "past duplicate-event 4"]]


def test_same_id_with_other_content_is_no_duplicate(con):
    assert marks(con, [row(1, 1, event_id="e"), row(2, 2, event_id="e")]) == []


def test_derived_versions_claim_nothing_about_versions(con):
    derived = Facts(base=1, derived_versions=True)
    assert marks(con, [row(1, 3), row(2, 7), row(3, 7)], derived) == []


def test_cut_that_leaves_out_an_earlier_event_is_no_prefix(con):
    late = [row(1, 1), row(5, 2), row(3, 3)]
    assert marks(con, late, position=4) == ["version-gap 2", "not-a-prefix 3"]
    assert marks(con, late, as_of=NOON + timedelta(minutes=3)) == ["version-gap 2", "not-a-prefix 3"]
    assert marks(con, late, position=5) == []
    assert marks(con, late, position=1) == []


def test_event_without_a_time_is_at_no_time(con):
    assert marks(con, [row(1, 1, recorded_at=None), row(2, 2)], Facts(), as_of=NOON + timedelta(hours=1)) == [
        "not-a-prefix 2"
    ]


def test_unknown_types_count_when_the_aggregate_is_strict(con):
    assert marks(con, [row(1, 1)], unknown="error") == ["unknown-event-type 1 (Added)"]


def test_versions_at_the_ends_of_the_range_are_no_trouble(con):
    far = [row(1, -(2**63)), row(2, 0), row(3, 2**63 - 1)]
    assert marks(con, far, Facts(base=0)) == [f"version-gap 1-{2**63 - 2}"]


def test_text_is_capped_and_marks_are_not(con):
    log = [row(position, position * 2 - 1) for position in range(1, 12)]
    aggregate = Aggregate("X", streams="*")
    state = travel.state(events_of(log, BASE_1, con=con), aggregate, "a")
    assert len(state.marks) == 10
    assert state.trust == "past version-gap 2, version-gap 4, version-gap 6, and more"


def test_marks_sort_by_version():
    assert min(Mark(3, "version-gap"), Mark(1, "version-fork")).version == 1

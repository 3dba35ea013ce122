"""Ids that stand twice in a stream: looked for once in a stored log, and again as soon as the log is another."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import esbench as es
from esbench.events import Events
from esbench.fold import repeats

AGGREGATE = es.Aggregate("X", initial=0, streams="*")


def frame(*rows: tuple[str, int, str], after: int = 0) -> pd.DataFrame:
    """Events by stream, version and id, all of one content."""
    given = pd.DataFrame(rows, columns=["stream_id", "version", "event_id"])
    return given.assign(event_type="Added", position=range(after + 1, after + len(rows) + 1))


SOUND = (("a", 1, "a1"), ("b", 1, "b1"), ("a", 2, "a2"), ("b", 2, "b2"))


@pytest.fixture
def bench():
    with es.open() as bench:
        yield bench


@pytest.fixture
def looked(monkeypatch):
    """How often it was looked for ids that stand twice."""
    seen: list[str] = []
    look = repeats._found

    def found(events: Events) -> list[int]:
        seen.append(events.query)
        return look(events)

    monkeypatch.setattr(repeats, "_found", found)
    return seen


def damaged(log: es.Log, **at: Any) -> dict[str, str]:
    states = log.states(AGGREGATE, **at)
    return {name: trust for name, trust in states[["stream_id", "trust"]].values.tolist() if trust != "complete"}


def test_a_stored_log_is_looked_at_once_for_all_its_parts(bench, looked):
    log = bench.load(frame(*SOUND), "log")
    assert [damaged(log), damaged(log, version=1), damaged(log, position=3), damaged(log)] == [{}] * 4
    assert damaged(bench["log"]) == {}
    assert looked == ['select * from log."log"']


def test_a_damaged_log_is_looked_at_once_too(bench, looked):
    log = bench.load(frame(*SOUND, ("b", 3, "b1")), "log")
    for _ in range(2):
        assert damaged(log) == {"b": "past duplicate-event 3"}
    assert damaged(log, version=2) == {}
    assert len(looked) == 1


def test_what_is_appended_is_looked_at(bench, looked):
    log = bench.load(frame(*SOUND), "log")
    assert damaged(log) == {}
    bench.load(frame(("b", 3, "b3"), ("a", 3, "a2"), after=4), "log", append=True)
    # The log as it was taken before sees what was appended, as every read of it does.
    assert damaged(log) == damaged(bench["log"]) == {"a": "past duplicate-event 3"}
    assert len(looked) == 2


def test_a_log_loaded_anew_under_its_name_is_another(bench):
    assert damaged(bench.load(frame(*SOUND), "log")) == {}
    bench.drop("log")
    assert damaged(bench.load(frame(*SOUND[:3], ("b", 2, "b1")), "log")) == {"b": "past duplicate-event 2"}
    bench.drop("log")
    assert damaged(bench.load(frame(*SOUND), "log")) == {}


def test_logs_and_benches_of_one_name_are_told_apart(bench, tmp_path):
    again = (*SOUND[:3], ("b", 2, "b1"))
    one, two = bench.load(frame(*SOUND), "x"), bench.load(frame(*again), "y")
    with es.open(tmp_path / "other.duckdb") as other:
        three = other.load(frame(*again), "x")
        for _ in range(2):
            assert [damaged(log) for log in (one, two, three)] == [
                {},
                {"b": "past duplicate-event 2"},
                {"b": "past duplicate-event 2"},
            ]


def test_a_log_may_have_any_name(bench):
    for name in ('it\'s "a.b"', "select", "größe"):
        log = bench.load(frame(*SOUND, ("b", 3, "b1")), name)
        assert damaged(log) == damaged(log) == {"b": "past duplicate-event 3"}


def test_a_branch_is_no_part_of_its_log(bench):
    log = bench.load(frame(*SOUND), "log")
    assert damaged(log) == {}
    branch = log.branch("b", version=2).insert(event_type="Added", event_id="b1")
    assert damaged(branch) == {"b": "past duplicate-event 3"}
    assert damaged(log) == {}


def test_a_small_part_is_looked_at_by_itself(bench, looked):
    rows = [(f"s{n}", 1, f"e{n}") for n in range(40)]
    log = bench.load(frame(*rows, ("s3", 2, "e3"), ("s5", 3, "e5")), "log")
    assert log.state(AGGREGATE, "s3").trust == "past duplicate-event 2"
    assert looked
    assert all("where" in query for query in looked)


def test_only_the_streams_with_a_repeat_are_read_again():
    with es.open() as bench:
        log = bench.load(frame(*SOUND, ("b", 3, "b1"), ("c", 1, "a1")), "log")
        keys = dict(log.source.rows("select distinct stream_key, stream_id from events"))
        assert [keys[key] for key in repeats.repeating(log.source, 6)] == ["b"]

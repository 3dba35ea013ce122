"""Folds of whole logs that begin at snapshots: the frames are those without any, and less is folded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.errors import BadCoordinate
from esbench.event import At, at
from esbench.fold import begun, snapshots
from esbench.fold.changes import same
from tests import strategies
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

COORDINATES: tuple[dict[str, Any], ...] = (
    {},
    {"version": 7},
    {"position": 17},
    {"as_of": datetime.fromtimestamp(1_700_000_014, UTC)},
)


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots after every second event, in streams of any length."""
    monkeypatch.setattr(snapshots.Shelf.fold, "__kwdefaults__", {"every": 2, "least": 1})


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots are used however little they spare."""
    monkeypatch.setattr(begun, "_WORTH", 0)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found.dtypes.to_dict() == expected.dtypes.to_dict()
    assert same(found.to_dict("list"), expected.to_dict("list"))


_STREAMS = st.sampled_from(("a", "b"))
#: What comes later, mostly as it should; otherwise late, again, past a gap, at another time, or to fail.
_LATER = st.tuples(
    _STREAMS,
    st.one_of(st.none(), st.integers(-1, 12)),
    st.integers(0, 30),
    st.sampled_from(("Added", "Added", "Noted", "Failing")),
)


@given(
    first=st.tuples(st.integers(2, 8), st.integers(0, 8)),
    later=st.lists(st.lists(_LATER, min_size=1, max_size=4), max_size=3),
    data=st.data(),
    forks=st.sampled_from(("all", "all", "first")),
)
@settings(max_examples=40)
@pytest.mark.usefixtures("always")
def test_frames_from_snapshots_are_those_without_on_damaged_logs(con, first, later, data, forks):
    shelf = snapshots.Snapshots(con).of("log")
    log: list[Row] = []
    next_version = {"a": 1, "b": 1}

    def record(stream: str, version: int | None, second: int, event_type: str) -> None:
        version = next_version[stream] if version is None else version
        next_version[stream] = max(next_version[stream], version + 1)
        when = datetime.fromtimestamp(1_700_000_000 + second, UTC)
        row = Row(len(log) + 1, stream, version, event_type, f'{{"n":{version}}}', recorded_at=when)
        log.append(replace(row, event_id=f"id-{row.position}"))

    for stream, length in zip("ab", first, strict=True):
        for second in range(length):
            record(stream, None, second, "Added")
    aggregate = counter(revision="1")
    # The log grows, and is looked at in between.
    for number, batch in enumerate([[], *later]):
        for each in batch:
            record(*each)
        events = events_of(log, Facts(base=1), con=con, layout="ordered" if number % 2 else "unordered")
        coordinates = strategies.coordinates(log)
        where, there = (at(**data.draw(coordinates)) for _ in range(2))
        options: dict[str, Any] = {"forks": forks, "snapshots": shelf}
        plainly = travel.states(events, aggregate, where, forks=forks)
        assert_same(travel.states(events, aggregate, where, **options), plainly)
        expected = _diff_from_the_first_event(events, aggregate, where, there, forks)
        assert_same(travel.diff(events, aggregate, where, there, **options), expected)
        stream = data.draw(st.sampled_from(sorted({row.stream_id for row in log})))
        last = data.draw(st.integers(0, 4))
        assert_last(
            travel.history(events, aggregate, stream, where, last=last, **options),
            travel.history(events, aggregate, stream, where, forks=forks).tail(last).reset_index(drop=True),
        )
        for stream in sorted({row.stream_id for row in log}):
            travel.state(events, aggregate, stream, snapshots=shelf)


def assert_last(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows. A column is typed by what stands in its rows, and a field has one if a row has it."""
    fixed = ["version", "position", "event_id", "event_type", "recorded_at", "changed", "trust", "broken"]
    assert_same(found[fixed], expected[fixed])
    fields = [name for name in found if name not in fixed]
    first, second = (one[fields].astype(object).to_dict("list") for one in (found, expected))
    assert same(first, second)
    assert expected.drop(columns=[*fixed, *fields]).isna().all().all()


def _diff_from_the_first_event(
    events: Any, aggregate: Any, a: At, b: At, forks: str = "all", stream: str | None = None
) -> pd.DataFrame:
    """The difference by folding everything, every time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esbench.travel.differences._earlier", lambda *_: None)
        return travel.diff(events, aggregate, a, b, stream, forks=forks)


def rows(streams: int, start: int, end: int) -> dict[str, list[Any]]:
    places = [(number, version) for version in range(start, end + 1) for number in range(streams)]
    return {
        "stream_id": [f"s{number}" for number, _ in places],
        "version": [version for _, version in places],
        "position": [version * streams + number for number, version in places],
        "event_type": ["Added"] * len(places),
        "event_id": [f"{number}-{version}" for number, version in places],
        "recorded_at": [datetime.fromtimestamp(1_700_000_000 + version, UTC) for _, version in places],
        "data": [f'{{"n": {version}}}' for _, version in places],
    }


def counter(rate: int = 1, **options: Any) -> es.Aggregate:
    aggregate = es.Aggregate("Counter", initial={"n": 0, "seen": []}, streams="*", **options)

    @aggregate.on("Added")
    def add(state, event):
        state["seen"].append(event.version)
        state["n"] += rate * event.data["n"]
        return state

    @aggregate.on("Failing")
    def fail(state, event):
        state["seen"].append("ruined")
        raise ValueError(event.version)

    @aggregate.invariant("small")
    def small(state):
        return state["n"] < 50

    return aggregate


def read(verb: Any) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """A frame, and the events whose data was read for it."""
    seen: set[tuple[str, int]] = set()
    data = es.Event.data.fget  # type: ignore[attr-defined]

    def noted(event):
        seen.add((event.stream_id, event.version))
        return data(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(es.Event, "data", property(noted))
        return verb(), sorted(seen)


def test_states_read_what_follows_the_snapshots():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(2, 1, 9)), "log")
        log.snapshot(counter(), every=4)
        for where, expected in zip(COORDINATES, ([9], [5, 6, 7], [], [9]), strict=True):
            found, seen = read(lambda where=where: log.states(counter(), **where))
            assert_same(found, travel.states(log.source, counter(), at(**where)))
            assert seen == [(stream, version) for stream in ("s0", "s1") for version in expected]
        assert len(read(lambda: log.states(counter(2)))[1]) == 18


def test_states_of_streams_without_event_ids_begin_with_snapshots():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(2, 1, 9)).drop(columns="event_id"), "log")
        log.snapshot(counter(), every=4)
        found, seen = read(lambda: log.states(counter()))
        assert_same(found, travel.states(log.source, counter(), at()))
        assert seen == [("s0", 9), ("s1", 9)]


def test_states_read_all_where_snapshots_spare_little():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(3, 1, 9)), "log")
        log.state(counter(), "s0")
        assert len(bench.snapshots) == 4
        assert len(read(lambda: log.states(counter()))[1]) == 27
        log.state(counter(), "s1")
        found, seen = read(lambda: log.states(counter()))
        assert seen == [("s0", 9), ("s1", 9), *(("s2", version) for version in range(1, 10))]
        assert_same(found, travel.states(log.source, counter()))


def test_states_from_saved_snapshots_in_another_session(tmp_path):
    with es.open(tmp_path / "a.duckdb") as bench:
        bench.load(pd.DataFrame(rows(2, 1, 9)), "log").snapshot(counter(revision="1"), every=4)
    with es.open(tmp_path / "a.duckdb") as bench:
        found, seen = read(lambda: bench["log"].states(counter(revision="1")))
        assert seen == [("s0", 9), ("s1", 9)]
        assert_same(found, travel.states(bench["log"].source, counter()))
        assert len(read(lambda: bench["log"].states(counter(revision="2")))[1]) == 18


def test_event_that_claims_the_version_of_a_snapshot_is_folded_after_it():
    with es.open() as bench:
        bench.load(pd.DataFrame(rows(1, 1, 8)), "log").snapshot(counter(), every=8)
        fork = {name: [value[-1]] for name, value in rows(1, 8, 8).items()}
        bench.load(pd.DataFrame({**fork, "position": [90], "event_id": ["other"]}), "log", append=True)
        found, seen = read(lambda: bench["log"].states(counter()))
        assert seen == [("s0", 8)]
        assert found["seen"].tolist() == [[*range(1, 9), 8]]
        assert found["trust"].tolist() == ["past version-fork 8"]


def test_late_event_leaves_the_snapshots_above_it_unused():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(1, 1, 8)), "log")
        log.snapshot(counter(), every=2)
        late = {name: [value[-1]] for name, value in rows(1, 3, 3).items()}
        log = bench.load(pd.DataFrame({**late, "position": [90], "event_id": ["late"]}), "log", append=True)
        found, seen = read(lambda: log.states(counter()))
        assert_same(found, travel.states(log.source, counter()))
        assert found["seen"].tolist() == [[1, 2, 3, 3, 4, 5, 6, 7, 8]]
        assert seen == [("s0", version) for version in range(3, 9)]


def test_states_from_snapshots_share_nothing():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(1, 1, 8)), "log")
        log.snapshot(counter(), every=4)
        for _ in range(2):
            found = log.states(counter())["seen"][0]
            assert found == [*range(1, 9)]
            found.append("touched")
        assert log.state(counter(), "s0").value["seen"] == [*range(1, 9)]


def test_last_rows_of_a_history_are_made_from_the_nearest_snapshot():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(1, 1, 9)), "log")
        every = log.history(counter(), "s0")
        assert_same(log.history(counter(), "s0", last=3), every.tail(3).reset_index(drop=True))
        found, seen = read(lambda: log.history(counter(), "s0", last=3))
        assert_same(found, every.tail(3).reset_index(drop=True))
        assert seen == [("s0", 7), ("s0", 8), ("s0", 9)]
        assert log.history(counter(), "s0", last=0).empty
        assert_same(log.history(counter(), "s0", last=99), every)
        for last in (-1, "x", 1.5):
            with pytest.raises(BadCoordinate, match="last="):
                log.history(counter(), "s0", last=last)  # type: ignore[arg-type]


def test_difference_folds_from_its_first_coordinate():
    with es.open() as bench:
        log = bench.load(pd.DataFrame(rows(1, 1, 9)), "log")
        log.state(counter(), "s0")
        found, seen = read(lambda: log.diff(counter(), at(version=6), at(version=8), stream="s0"))
        ends = at(version=6), at(version=8)
        assert_same(found, _diff_from_the_first_event(log.source, counter(), *ends, stream="s0"))
        assert found["path"].tolist() == ["/n", "/seen/6", "/seen/7"]
        assert seen == [("s0", 7), ("s0", 8)]

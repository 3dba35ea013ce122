from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import EsbenchError
from esbench.fold.changes import ABSENT
from esbench.plots import tidy
from esbench.plots.tidy.counts import Bins
from esbench.plots.tidy.given import each
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row
from tests.strategies import logs

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return connect()


def streams(rows: list[Row]) -> dict[str, list[Row]]:
    """The events of each stream in folding order."""
    result: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.version, row.position)):
        result.setdefault(row.stream_id, []).append(row)
    return result


def loaded(rows: list[dict[str, Any]]) -> es.Log:
    return es.open().load(pd.DataFrame(rows), name="made")


def plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [
        tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False, name=None)
    ]


# Counts


@given(rows=logs(), bins=st.integers(1, 12), top=st.integers(0, 4))
def test_timeline_puts_every_timed_event_into_its_bin(con, rows, bins, top):
    frame = tidy.timeline(events_of(rows, Facts(), con=con), bins=bins, top=top)
    sizes = Counter(row.event_type for row in rows)
    kept = {name for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:top]}
    timed = [row for row in rows if row.recorded_at is not None]
    edges = frame.attrs["edges"]
    expected: Counter[tuple[Any, ...]] = Counter()
    for row in timed:
        (place,) = [n for n in range(len(edges) - 1) if edges[n] <= row.recorded_at < edges[n + 1]]
        expected[edges[place], edges[place + 1], row.event_type if row.event_type in kept else None] += 1
    assert {row[:3]: row[3] for row in plain(frame)} == expected
    assert len(edges) - 1 <= bins or not edges
    assert (frame.attrs["without_time"], frame.attrs["types"]) == (len(rows) - len(timed), len(sizes))


@given(
    low=st.integers(-62_000_000_000, 250_000_000_000),
    span=st.one_of(st.integers(0, 100), st.integers(0, 10**7), st.integers(0, 10**11)),
    most=st.integers(1, 100),
)
def test_bins_cover_every_range_and_are_never_too_many(low, span, most):
    high = min(low + span, 253_370_000_000)
    bins = Bins(low * 1_000_000, high * 1_000_000, most)
    assert bins.edges[0] <= low * 1_000_000
    assert high * 1_000_000 < bins.edges[-1]
    assert bins.edges == sorted(set(bins.edges))
    assert len(bins.edges) - 1 <= max(most, 11)


def test_months_and_weeks_begin_where_the_calendar_says():
    months = Bins(
        int(datetime(2023, 2, 5, tzinfo=UTC).timestamp()) * 1_000_000,
        int(datetime(2023, 12, 5, tzinfo=UTC).timestamp()) * 1_000_000,
        12,
    )
    assert months.step == "month"
    assert [datetime.fromtimestamp(edge / 1e6, UTC).day for edge in months.edges] == [1] * 12
    weeks = Bins(
        int(datetime(2023, 2, 1, tzinfo=UTC).timestamp()) * 1_000_000,
        int(datetime(2023, 2, 26, tzinfo=UTC).timestamp()) * 1_000_000,
        5,
    )
    assert weeks.step == "week"
    assert {datetime.fromtimestamp(edge / 1e6, UTC).weekday() for edge in weeks.edges} == {0}


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0001-01-01", "9999-12-31", "0044-03-15 (BC)"])
def test_a_time_that_no_picture_has_room_for_is_counted_by_itself(con, moment):
    rows = [Row(n, "a", n, recorded_at=START if n < 3 else None) for n in (1, 2, 3)]
    events = events_of(rows, Facts(), con=con)
    con.execute(f"update t set recorded_at = '{moment}' where position = 1")
    frame = tidy.timeline(events)
    assert (frame["events"].tolist(), frame.attrs["without_time"], frame.attrs["outside"]) == ([1], 1, 1)
    alone = tidy.timeline(events.where("position = 1"))
    assert (alone.empty, alone.attrs["without_time"], alone.attrs["outside"]) == (True, 0, 1)


@given(rows=logs())
def test_types_and_lengths_are_those_of_a_plain_count(con, rows):
    events = events_of(rows, Facts(), con=con)
    mix = tidy.event_mix(events)
    assert dict(zip(mix["event_type"], mix["events"], strict=True)) == Counter(row.event_type for row in rows)
    assert mix["share"].sum() == pytest.approx(1)
    lengths = tidy.stream_lengths(events)
    sizes = {name: len(stream) for name, stream in streams(rows).items()}
    assert dict(zip(lengths["length"], lengths["streams"], strict=True)) == Counter(sizes.values())
    assert all(sizes[row.example] == row.length for row in each(lengths))


# Streams


@settings(max_examples=25)
@given(rows=logs())
def test_runs_are_the_versions_that_are_there(con, rows):
    frame = tidy.gaps(events_of(rows, Facts(base=1), con=con), limit=100)
    runs = frame[frame["mark"] == "events"]
    for name, stream in streams(rows).items():
        own = runs[runs["stream_id"] == name]
        there = sorted({row.version for row in stream})
        ends = [(n, m) for n, m in zip(own["first"], own["last"], strict=True)]
        starts = [v for v in there if v - 1 not in there]
        assert ends == [(v, next(w for w in range(v, v + len(there)) if w + 1 not in there)) for v in starts]
    assert frame.attrs["streams"] == len(streams(rows))


@settings(max_examples=25)
@given(rows=logs())
def test_marks_are_the_findings_of_the_checks(con, rows):
    events = events_of(rows, Facts(base=1), con=con)
    frame = tidy.gaps(events, limit=100)
    found = es.checks.check(events, only=["version-gap", "missing-head", "version-fork", "duplicate-event"]).findings
    names = {
        "version-gap": "hole",
        "missing-head": "missing head",
        "version-fork": "fork",
        "duplicate-event": "duplicate",
    }
    expected = Counter(
        (row.stream_id, names[row.check], row.version, row.version if pd.isna(row.to_version) else row.to_version)
        for row in each(found)
    )
    assert Counter(plain(frame[frame["mark"] != "events"])) == expected


def test_most_damaged_streams_come_first_and_the_rest_is_counted():
    rows = [{"stream_id": name, "version": v, "event_type": "A"} for name, vs in STREAMS.items() for v in vs]
    frame = tidy.gaps(loaded(rows), limit=2)
    assert plain(frame) == [
        ("twice", "events", 1, 1),
        ("twice", "events", 3, 3),
        ("twice", "events", 6, 6),
        ("twice", "hole", 2, 2),
        ("twice", "hole", 4, 5),
        ("once", "events", 1, 1),
        ("once", "events", 3, 3),
        ("once", "hole", 2, 2),
    ]
    assert frame.attrs == {"streams": 4, "damaged": 2, "marks": {"hole": 3}, "not_claimed": frame.attrs["not_claimed"]}
    assert list(dict.fromkeys(tidy.gaps(loaded(rows), streams=["whole", "once"])["stream_id"])) == ["whole", "once"]


STREAMS = {"whole": [1, 2], "once": [1, 3], "twice": [1, 3, 6], "other": [1]}


def test_no_gap_is_claimed_where_versions_are_derived():
    log = loaded([{"stream_id": "a", "event_type": "A"}] * 3)
    assert "version-gap" in tidy.gaps(log).attrs["not_claimed"]


def test_findings_are_summed_by_stream_and_time_worst_first():
    times = [START, START + timedelta(hours=1), START + timedelta(days=40), None]
    findings = pd.DataFrame(
        [
            ("mild", "warning", "a", times[0]),
            ("bad", "error", "b", times[0]),
            ("mild", "info", "b", times[1]),
            ("bad", "error", "b", times[2]),
            ("log", "info", None, times[0]),
            ("mild", "warning", "c", times[3]),
        ],
        columns=["check", "severity", "stream_id", "recorded_at"],
    )
    frame = tidy.findings_heatmap(findings, bins=10)
    assert [(row[0], row[3], row[4]) for row in plain(frame)] == [
        ("b", "error", 2),
        ("b", "error", 1),
        ("a", "warning", 1),
        (None, "info", 1),
    ]
    assert (frame["start"].iloc[0], frame["start"].iloc[1]) == (START, frame.attrs["edges"][-2])
    assert {name: frame.attrs[name] for name in ("findings", "streams", "without_time")} == {
        "findings": 6, "streams": 3, "without_time": 1,
    }  # fmt: skip
    assert tidy.findings_heatmap(findings, limit=1)["stream_id"].unique().tolist() == ["b"]
    assert tidy.findings_heatmap(findings, checks=["log"]).attrs["findings"] == 1


# States


def test_numbers_of_a_history_are_floats_and_nothing_else_is_a_number():
    history = pd.DataFrame(
        {
            "version": [1, 2],
            "event_type": ["A", "B"],
            "balance": [Decimal("1.10"), Decimal(-2)],
            "big": [10**400, -(10**400)],
            "name": ["7", "8"],
            "open": [True, False],
            "late": pd.array([None, 3], dtype="Int64"),
            "trust": ["complete", "complete"],
        }
    )
    frame = tidy.state_history(history)
    values = {name: part["value"].tolist() for name, part in frame.groupby("field", sort=False)}
    assert list(values) == ["balance", "big", "late"]
    assert (values["balance"], values["big"]) == ([1.1, -2.0], [np.inf, -np.inf])
    assert np.isnan(values["late"][0])
    assert values["late"][1] == 3.0
    assert list(dict.fromkeys(tidy.state_history(history, fields=["late", "big"])["field"])) == ["late", "big"]
    with pytest.raises(EsbenchError, match=r'no field "balnce"\. Did you mean "balance"'):
        tidy.state_history(history, fields=["balnce"])


def test_what_differs_keeps_absent_apart_from_nothing():
    diff = pd.DataFrame(
        {"path": ["/a", "/b", ""], "before": [ABSENT, None, 1], "after": [None, ABSENT, Decimal("2.50")]}
    )
    frame = tidy.state_diff(diff, limit=3)
    assert [row[:4] for row in plain(frame)] == [
        ("/a", "added", "", "None"),
        ("/b", "removed", "None", ""),
        ("(the whole state)", "changed", "1", "Decimal('2.50')"),
    ]
    assert frame["to_number"].iloc[2] == 2.5
    assert tidy.state_diff(diff, limit=1).attrs["paths"] == 3


@pytest.mark.parametrize("make", [tidy.state_history, tidy.state_diff, tidy.findings_heatmap, tidy.timeline, tidy.gaps])
def test_what_is_no_such_frame_is_refused_with_the_way_to_one(make):
    with pytest.raises(EsbenchError, match=r"log\.|a log, "):
        make(pd.DataFrame({"x": [1]}))
    with pytest.raises(EsbenchError, match=r"log\.|a log, "):
        make(42)


# What follows what


@given(rows=logs())
def test_transitions_are_those_of_walking_through_each_stream(con, rows):
    pairs: dict[tuple[Any, Any], list[float | None]] = {}
    for stream in streams(rows).values():
        for before, after in zip([None, *stream], [*stream, None], strict=True):
            start, end = before and before.recorded_at, after and after.recorded_at
            took = (end - start).total_seconds() if start and end else None
            pairs.setdefault((before and before.event_type, after and after.event_type), []).append(took)
    frame = tidy.transitions(events_of(rows, Facts(), con=con))
    assert {row[:2]: row[2] for row in plain(frame)} == {pair: len(found) for pair, found in pairs.items()}
    for before, after, _, median in plain(frame):
        times = [took for took in pairs[before, after] if took is not None]
        assert (median is None) == (not times)
        assert median is None or median == pytest.approx(float(np.median(times)))


# Causes


@settings(max_examples=25)
@given(rows=logs(max_damage=12), data=st.data())
def test_family_of_an_event_is_what_its_causes_and_effects_reach(con, rows, data):
    first: dict[str, int] = {}
    for row in rows:
        if row.event_id is not None:
            first.setdefault(row.event_id, row.position)
    cause: dict[int, int] = {}
    for row in rows:
        named = json.loads(row.metadata_text) if row.metadata_text else None
        wanted = named.get("causation_id") if isinstance(named, dict) else None
        if isinstance(wanted, str) and first.get(wanted, row.position) != row.position:
            cause[row.position] = first[wanted]
    asked = data.draw(st.sampled_from([row.position for row in rows]))

    def reached(steps: dict[int, set[int]]) -> set[int]:
        found, todo = {asked}, [asked]
        while todo:
            todo += (new := steps.get(todo.pop(), set()) - found)
            found |= new
        return found

    effects: dict[int, set[int]] = {}
    for effect, by in cause.items():
        effects.setdefault(by, set()).add(effect)
    expected = reached({effect: {by} for effect, by in cause.items()}) | reached(effects)
    events = events_of(rows, Facts(), con=con)
    frame = tidy.causation(events, asked, limit=1_000)
    assert set(frame["position"]) == expected
    assert frame.loc[frame["chosen"], "position"].tolist() == [asked]
    for place, row in enumerate(each(frame)):
        assert pd.isna(row.parent) or frame["position"].iloc[row.parent] == cause[row.position]
        assert row.depth == 0 or (not pd.isna(row.parent) and row.parent < place)
        assert row.known == (row.position in cause)


def caused(n: int) -> es.Log:
    metadata = [{"correlation_id": "c"} | ({"causation_id": f"e{i - 1}"} if i > 0 else {}) for i in range(n)]
    return loaded(
        [
            {
                "stream_id": "a",
                "version": i + 1,
                "event_type": "A",
                "event_id": f"e{i}",
                "metadata": json.dumps(metadata[i]),
            }
            for i in range(n)
        ]
    )


def test_a_long_chain_is_cut_around_the_event_that_is_asked_for():
    frame = tidy.causation(caused(50), "e30", limit=5)
    assert frame["event_id"].tolist() == ["e28", "e29", "e30", "e31", "e32"]
    assert (frame["depth"].tolist(), bool(frame["known"].all())) == ([0, 1, 2, 3, 4], True)
    assert frame.attrs == {"events": 50, "streams": 1}


def test_a_correlation_gives_its_events_and_none_is_chosen():
    frame = tidy.causation(caused(4), correlation="c")
    assert (frame["event_id"].tolist(), bool(frame["chosen"].any())) == (["e0", "e1", "e2", "e3"], False)
    assert tidy.causation(caused(4), correlation="x").empty


def test_events_that_cause_each_other_stand_once():
    rows = [
        {"stream_id": "a", "version": v, "event_type": "A", "event_id": f"e{v}",
         "metadata": json.dumps({"causation_id": f"e{3 - v}"})}
        for v in (1, 2)
    ]  # fmt: skip
    frame = tidy.causation(loaded(rows), "e1")
    assert (frame["event_id"].tolist(), frame["depth"].tolist()) == (["e1", "e2"], [0, 1])


def test_an_event_that_is_not_there_is_refused():
    log = caused(2)
    with pytest.raises(EsbenchError, match='no event with id "nope"'):
        tidy.causation(log, "nope")
    with pytest.raises(EsbenchError, match='no event with position "99"'):
        tidy.causation(log, 99)
    for event, correlation in ((None, None), ("e1", "c")):
        with pytest.raises(EsbenchError, match="takes one of event="):
            tidy.causation(log, event, correlation=correlation)


# Migrations


def test_every_event_of_a_migration_is_in_one_flow():
    log = loaded([{"stream_id": "a", "version": v, "event_type": name} for v, name in enumerate("AABCC", 1)])
    plan = es.Migration("v2", [es.rename_type("A", "B"), es.drop_events("C"), es.insert_after("B", "D", {})])
    run = log.dry_run(plan, checks=False)
    flows = {row[:3]: row[3] for row in plain(tidy.migration_flow(run))}
    assert flows[("C", None, "dropped")] == 2
    assert flows[("A", "B", "changed")] == 2
    assert flows[("B", "B", "kept")] == 1
    assert sum(n for (_, after, _), n in flows.items() if after == "D") == 3
    assert sum(n for (_, after, _), n in flows.items() if after is not None) == run.counts.after


def test_a_frame_of_events_is_as_good_as_its_log():
    log = caused(6)
    for make in (tidy.timeline, tidy.event_mix, tidy.stream_lengths, tidy.transitions):
        pd.testing.assert_frame_equal(make(log.events()), make(log), check_dtype=False)
    some = log.events("a", version=3)[["stream_id", "version", "event_type"]]
    assert tidy.stream_lengths(some)["length"].tolist() == [3]

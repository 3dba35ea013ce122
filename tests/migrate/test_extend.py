"""Events that are appended after a log was made are carried over as if the whole had been migrated anew, or refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import NameTaken
from esbench.migrate import (
    Migration,
    MigrationError,
    drop_duplicates,
    drop_events,
    dry,
    insert_after,
    map_events,
    merge_events,
    rename_stream,
    rename_type,
    split,
    upcast,
)
from tests.migrate.benches import bench_of, load, rows_of, simple
from tests.migrate.core_cases import cases, damaged
from tests.oracle import Row

RENAMED = Migration("renamed", [rename_type("Added", "Put")])


def several() -> st.SearchStrategy:
    return st.sampled_from(
        (
            lambda: insert_after("Taken", "Noted", {"why": "x"}),
            lambda: split("Set", lambda event: [("Left", {"n": 1}), event]),
            lambda: map_events(lambda event: None if event.version % 5 == 4 else event),
            lambda: merge_events(["Added", "Added"], lambda events: {"all": [event.version for event in events]}),
        )
    ).map(lambda make: make())


def whole(bench, name):
    """All that a log is, but for the keys of its streams, and what its source has lost."""
    rows = bench.con.execute(
        f"""
        select position, stream_id, version, event_type, event_id, schema_version, data::varchar, metadata::varchar,
            coalesce(origin, position), others, nth, steps, source
        from log."{name}" order by position
        """
    ).fetchall()
    dropped = bench.con.execute(
        "select source, origin, step from esbench.dropped where log = $n order by all", {"n": name}
    ).fetchall()
    keys = bench.con.execute(
        f'select count(*) from log."{name}" join stream."{name}" using (stream_key) where log."{name}".stream_id = '
        f'stream."{name}".stream_id'
    ).fetchall()
    assert keys == [(len(rows),)]
    return rows, dropped


@settings(max_examples=40)
@given(
    damaged(),
    st.lists(st.one_of(cases().map(lambda case: case[0]), several()), min_size=1, max_size=3),
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
)
def test_carrying_over_equals_migrating_the_whole_anew_or_is_refused(rows, steps, cuts):
    parts, start = [], 0
    for end in [*sorted({1 + cut % len(rows) for cut in cuts}), len(rows)]:
        parts.append(rows[start:end])
        start = end
    bench, log = bench_of(parts[0])
    with bench:
        run = log.dry_run(Migration("m", steps), checks=False)
        bench.apply(run, "v2", accept=run.failed)
        for number, part in enumerate(parts[1:], start=3):
            if not part:
                continue
            load(bench, part, append=True)
            again = run.extend()
            anew = bench["log"].dry_run(Migration("m", steps), checks=False)
            bench.apply(anew, f"v{number}", accept=anew.failed)
            before = whole(bench, "v2")
            assert dict(again.position_map.fetchall()) == dict(anew.position_map.fetchall())
            try:
                made = bench.apply(again, "v2", accept=again.failed)
            except MigrationError:
                # Rightly so: what was made of earlier events is something else now.
                expected = whole(bench, f"v{number}")[0]
                assert whole(bench, "v2") == before
                assert isinstance(again, dry.Extension)
                earlier = [row for row in expected if max(row[8], *(row[9] or [0])) <= again.since]
                assert before[0] != expected[: len(before[0])] or before[0] != earlier
                return
            assert whole(bench, "v2") == whole(bench, f"v{number}")
            assert list(made.source) == sorted(made.source, key=lambda e: (key_of(made, e), e.version, e.position))
            run = again


def key_of(log, event):
    return dict(log.source.rows("select distinct stream_id, stream_key from events"))[event.stream_id]


def test_a_run_without_later_events_is_itself_and_applied_once():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(RENAMED)
        assert run.extend() is run
        bench.apply(run, "v2")
        assert run.extend() is run
        with pytest.raises(NameTaken):
            bench.apply(run, "v2")
        load(bench, simple("a", start=5, events=1, position=5), append=True)
        later = run.extend()
        assert len(bench.apply(later, "v2")) == 5
        assert later.extend() is later
        assert len(bench.apply(later, "v2")) == 5


def test_before_any_apply_an_extension_is_a_whole_new_run():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(RENAMED)
        load(bench, simple("a", "b", start=5, events=2, position=5), append=True)
        later = run.extend()
        assert (later.counts.before, later.counts.fates["changed"]) == (8, 8)
        made = bench.apply(later, "v2")
        assert [(row["stream_id"], row["version"]) for row in rows_of(made)][-2:] == [("a", 6), ("b", 6)]
        order = [(event.stream_id, event.version) for event in made]
        assert order == sorted(order)


def test_only_streams_that_got_events_are_run_again():
    bench, log = bench_of(simple("a", "b"))
    with bench:
        seen = []

        def noted(event):
            seen.append(event.stream_id)
            return event.changed(event_type="Put")

        run = log.dry_run(Migration("m", [map_events(noted)]))
        bench.apply(run, "v2")
        seen.clear()
        load(bench, simple("b", "c", start=5, events=1, position=9), append=True)
        later = run.extend()
        assert set(seen) == {"b", "c"}
        made = bench.apply(later, "v2")
        assert made.types()[["event_type", "events"]].to_numpy().tolist() == [["Put", 10]]
        assert made.lineage("c", 5)["log"].tolist() == ["log", "v2"]


def test_steps_that_go_from_stream_to_stream_are_run_over_the_whole_and_need_a_new_log():
    bench, log = bench_of(simple("a", "b"))
    with bench:
        run = log.dry_run(Migration("m", [rename_stream("a", "z")]))
        bench.apply(run, "v2")
        load(bench, simple("a", start=5, events=1, position=9), append=True)
        later = run.extend()
        if not all(step.local for step in run.migration.steps):
            assert later.counts.before == 9
            with pytest.raises(NameTaken):
                bench.apply(later, "v2")
        made = bench.apply(later, "v3")
        assert sorted(made.streams()["stream_id"]) == ["b", "z"]
        assert made.events("z")["version"].tolist() == [1, 2, 3, 4, 5]


def test_a_duplicate_that_comes_later_is_dropped_and_one_that_was_first_is_refused():
    rows = simple("a")
    bench, log = bench_of(rows)
    with bench:
        run = log.dry_run(Migration("m", [drop_duplicates()]))
        bench.apply(run, "v2")
        load(bench, [replace(rows[1], position=5)], append=True)
        later = run.extend()
        assert later.counts.fates["dropped"] == 1
        assert len(bench.apply(later, "v2")) == 4
        assert bench.con.execute("select origin from esbench.dropped").fetchall() == [(5,)]
        # Of two deliveries the one of the lower version stays, and that is the later one here.
        load(bench, [replace(rows[3], position=6, version=2)], append=True)
        last = later.extend()
        with pytest.raises(MigrationError, match="change what was made of earlier ones"):
            bench.apply(last, "v2")
        made = bench.apply(last, "v3")
        assert [row["position"] for row in rows_of(made)] == [1, 2, 3, 6]


def test_an_event_that_reaches_back_over_the_seam_by_a_merge_is_refused():
    bench, log = bench_of([*simple("a", events=2), Row(3, "a", 3, "First", '{"n":3}', event_id="x")])
    with bench:
        plan = Migration("m", [merge_events(["First", "Second"], lambda events: ("Both", {"n": len(events)}))])
        run = log.dry_run(plan)
        bench.apply(run, "v2")
        before = whole(bench, "v2")
        load(bench, [Row(4, "a", 4, "Second", '{"n":4}', event_id="y")], append=True)
        later = run.extend()
        with pytest.raises(MigrationError, match="change what was made of earlier ones"):
            bench.apply(later, "v2")
        assert whole(bench, "v2") == before
        assert [event.event_type for event in bench.apply(later, "v3")] == ["Added", "Added", "Both"]


NOTED = Migration("noted", [insert_after("Taken", "Noted", {"why": "x"})])


def test_positions_go_on_where_several_came_of_one_event_before():
    bench, log = bench_of([Row(1, "a", 1, "Taken"), Row(2, "b", 1)])
    with bench:
        run = log.dry_run(NOTED)
        bench.apply(run, "v2")
        load(bench, [Row(3, "b", 2), Row(9, "c", 1)], append=True)
        later = run.extend()
        made = bench.apply(later, "v2")
        assert [row["position"] for row in rows_of(made)] == [1, 2, 3, 4, 5]
        assert later.position_map.fetchall() == [(1, 2), (2, 3), (3, 4), (9, 5)]


@pytest.mark.parametrize("start", [0, 1, 5])
def test_the_first_event_of_which_several_come_must_not_move_the_earlier_ones(start):
    bench, log = bench_of([Row(start, "a", 1), Row(start + 1, "b", 1)])
    with bench:
        run = log.dry_run(NOTED)
        bench.apply(run, "v2")
        load(bench, [Row(start + 2, "a", 2, "Taken")], append=True)
        later = run.extend()
        if start == 1:
            assert [row["position"] for row in rows_of(bench.apply(later, "v2"))] == [1, 2, 3, 4]
            return
        with pytest.raises(MigrationError, match='all positions in "v2" would be given anew'):
            bench.apply(later, "v2")
        assert len(bench["v2"]) == 2
        assert [row["position"] for row in rows_of(bench.apply(later, "v3"))] == [1, 2, 3, 4]


def test_a_log_that_is_another_by_now_is_not_added_to():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(RENAMED)
        bench.apply(run, "v2")
        load(bench, simple("a", start=5, events=1, position=5), append=True)
        later = run.extend()
        bench.drop("v2")
        bench.apply(bench["log"].dry_run(Migration("other")), "v2")
        with pytest.raises(MigrationError, match='"v2" is not the log that was made of the run before this one'):
            bench.apply(later, "v2")
        bench.drop("v2")
        assert len(bench.apply(later, "v2")) == 5


def test_a_log_that_got_events_of_its_own_is_not_added_to():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(RENAMED)
        bench.apply(run, "v2")
        load(bench, simple("b", events=1, position=5), "v2", append=True)
        load(bench, simple("a", start=5, events=1, position=5), append=True)
        with pytest.raises(MigrationError, match='"v2" got events besides those that were made of "log"'):
            bench.apply(run.extend(), "v2")


def test_a_gate_that_fails_on_later_events_stops_them():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(Migration("m", [drop_events("Gone", leave_gap=True)]))
        bench.apply(run, "v2")
        load(bench, [Row(5, "a", 5, "Gone"), Row(6, "a", 6, "Added")], append=True)
        later = run.extend()
        assert later.failed == ("no new gap",)
        with pytest.raises(MigrationError, match="1 gate failed"):
            bench.apply(later, "v2")
        assert bench.apply(later, "v2", accept="no new gap").events("a")["version"].tolist() == [1, 2, 3, 4, 6]


def test_upcasters_and_executors_are_carried_over():
    bench, log = bench_of(simple("a"))
    with bench, ThreadPoolExecutor(2) as executor:
        plan = Migration("m", [upcast("Added", 1, 2, lambda data: {**data, "m": 1})])
        run = log.dry_run(plan, executor=executor)
        bench.apply(run, "v2")
        load(bench, simple("b", events=1, position=5), append=True)
        made = bench.apply(run.extend(), "v2")
        assert [event.data["m"] for event in made] == [1] * 5


def test_a_sample_and_a_view_have_nothing_to_extend():
    bench, log = bench_of(simple("a"))
    with bench:
        for run in (log.dry_run(RENAMED, sample=1), log.upcasted([]).dry_run(RENAMED)):
            with pytest.raises(MigrationError, match="only a dry run of a whole stored log can be extended"):
                run.extend()
    assert es.open().logs().empty

"""What a dry run shows is what apply makes, also on disk and after another migration; where all comes from is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.bench import Bench
from esbench.migrate import (
    Migration,
    convert_field,
    drop_events,
    insert_after,
    map_events,
    merge_events,
    rename_type,
    retype_field,
    split,
    upcast,
)
from esbench.migrate.step import Step
from tests.migrate.benches import bench_of, lineage_of, rows_of, simple
from tests.migrate.core_cases import cases, damaged
from tests.oracle import Row


def mixed() -> st.SearchStrategy[list[Step]]:
    """Steps of any kind: on single events, and such as make several of one or one of several."""
    several = st.sampled_from(
        (
            lambda: insert_after("Taken", "Noted", {"why": "x"}),
            lambda: merge_events(["Added", "Set"], lambda events: {"all": [event.version for event in events]}),
            lambda: split("Set", lambda event: [("Left", {"n": 1}), event]),
        )
    ).map(lambda make: make())
    return st.lists(st.one_of(cases().map(lambda case: case[0]), several), max_size=4)


def applied(bench: Bench, source: Any, steps: list[Step], name: str) -> Any:
    run = source.dry_run(Migration(f"to {name}", steps), checks=False)
    seen = rows_of(run.events)
    made = bench.apply(run, name, accept=run.failed)
    assert rows_of(made) == seen == rows_of(run.events)
    assert (run.counts.after, sum(run.counts.fates.values())) == (len(seen), run.counts.before)
    return made


@settings(max_examples=25)
@given(damaged(), mixed(), mixed())
def test_dry_run_and_apply_agree_and_every_event_is_told_of_through_two_migrations(rows, first, second):
    bench, log = bench_of(rows)
    with bench:
        before = rows_of(log)
        made = {"v2": applied(bench, log, first, "v2")}
        made["v3"] = applied(bench, made["v2"], second, "v3")
        assert rows_of(bench["log"]) == before
        assert list(made["v3"].source) == sorted(
            made["v3"].source, key=lambda e: (keys(made["v3"])[e.stream_id], e.version, e.position)
        )
        logs = {"log": before, **{name: rows_of(one) for name, one in made.items()}}
        down = {"v2": lineage_of(bench, "v2"), "v3": lineage_of(bench, "v3")}
        for name, source in (("v2", "log"), ("v3", "v2")):
            come = [origin for _, origins, _ in down[name] for origin in origins]
            gone = bench.con.execute("select origin from esbench.dropped where log = $n", {"n": name}).fetchall()
            assert {row["position"] for row in logs[source]} == set(come) | {origin for (origin,) in gone}
            assert not set(come) & {origin for (origin,) in gone}
            assert len(gone) == len(set(gone))
        for name, events in logs.items():
            for stream_id, version in sorted({(row["stream_id"], row["version"]) for row in events})[:6]:
                here = [r["position"] for r in events if (r["stream_id"], r["version"]) == (stream_id, version)]
                told = bench[name].lineage(stream_id, version)
                living = told[told["fate"] == ""]
                found = {(row.generation, row.log, row.position) for row in living.itertuples()}
                assert found == related(name, here, down)
                fates = [fate for fate in told["fate"] if fate.startswith("dropped")]
                assert sum(map(dropped, fates)) == len(lost(name, here, down))


def keys(log: Any) -> dict[str, int]:
    return dict(log.source.rows("select distinct stream_id, stream_key from events"))


def dropped(fate: str) -> int:
    return int(fate.removeprefix("dropped").strip(" ()") or 1)


#: Position, positions in the source, and the bits of the steps.
Come = tuple[int, tuple[int, ...], int]
SOURCES = {"v2": "log", "v3": "v2"}


def related(name: str, here: list[int], down: dict[str, list[Come]]) -> set[tuple[Any, ...]]:
    """The events that some of a log come from, these, and those that came of them."""
    found = {(0, name, position) for position in here}
    at, positions, generation = name, set(here), 0
    while at in SOURCES:
        positions = {origin for position, origins, _ in down[at] if position in positions for origin in origins}
        at, generation = SOURCES[at], generation - 1
        found |= {(generation, at, position) for position in positions}
    at, positions, generation = name, set(here), 0
    for later, source in SOURCES.items():
        if source == at:
            positions = {position for position, origins, _ in down[later] if positions & set(origins)}
            at, generation = later, generation + 1
            found |= {(generation, at, position) for position in positions}
    return found


def lost(name: str, here: list[int], down: dict[str, list[Come]]) -> list[tuple[str, int]]:
    """Of these events and those that came of them the ones that a migration dropped."""
    found, at, positions = [], name, set(here)
    for later, source in SOURCES.items():
        if source == at:
            living = {origin for _, origins, _ in down[later] for origin in origins}
            found += [(later, position) for position in positions - living]
            positions = {position for position, origins, _ in down[later] if positions & set(origins)}
            at = later
    return found


@settings(max_examples=8)
@given(damaged(max_events=12), mixed())
def test_an_applied_log_is_the_same_in_a_bench_that_is_opened_again(tmp_path_factory, rows, steps):
    path = tmp_path_factory.mktemp("bench") / "b.duckdb"
    bench, log = bench_of(rows, path)
    with bench:
        made = rows_of(applied(bench, log, steps, "v2"))
        lineage = lineage_of(bench, "v2")
    with es.open(path, read_only=True) as bench:
        assert rows_of(bench["v2"]) == made
        assert lineage_of(bench, "v2") == lineage
        again = bench["log"].dry_run(Migration("again", steps), checks=False)
        assert rows_of(again.events) == made


@settings(max_examples=10)
@given(damaged(), mixed())
def test_one_thread_two_threads_and_an_executor_give_the_same(rows, steps):
    bench, log = bench_of(rows)
    with bench, ThreadPoolExecutor(2) as executor:
        plan = Migration("m", steps)
        bench.con.execute("set threads = 1")
        one = log.dry_run(plan)
        bench.con.execute("set threads = 2")
        two = log.dry_run(plan)
        far = log.dry_run(plan, executor=executor)
        assert rows_of(one.events) == rows_of(two.events) == rows_of(far.events)
        assert one.to_json() == two.to_json() == far.to_json()
        assert str(one) == str(two)


@pytest.mark.parametrize(
    ("sql", "python"),
    [
        (convert_field("/n", factor=2), convert_field("/n", using=lambda n: n * 2)),
        (retype_field("/n", "text"), convert_field("/n", using=str)),
        (
            rename_type("Added", "Put"),
            map_events(lambda event: event.changed(event_type="Put")),
        ),
    ],
)
def test_sql_and_python_forms_of_an_operation_agree(sql, python):
    bench, log = bench_of(simple("a", "b"))
    with bench:
        one, other = (log.dry_run(Migration("m", [step])) for step in (sql, python))
        assert rows_of(one.events) == rows_of(other.events)
        assert one.counts.fates == other.counts.fates


def test_a_dry_run_writes_nothing(tmp_path: Path):
    path = tmp_path / "b.duckdb"
    bench, _ = bench_of(simple("a", "b"), path)
    bench.close()
    content = path.read_bytes()
    plan = Migration("m", [drop_events(where="version = 2"), upcast("Added", 1, 2, lambda data: {**data, "m": 1})])
    for read_only in (True, False):
        with es.open(path, read_only=read_only) as bench:
            run = bench["log"].dry_run(plan)
            assert (run.counts.after, run.passed) == (6, True)
            str(run), run.to_json(), run.to_markdown(), run._repr_html_(), run.position_map.fetchall()
        assert path.read_bytes() == content
        assert not Path(f"{path}.wal").exists()


def test_a_sample_is_whole_streams_and_always_the_same_ones():
    bench, log = bench_of(simple(*"abcdefgh"))
    with bench:
        plan = Migration("m", [rename_type("Added", "Put")])
        runs = [log.dry_run(plan, sample=3) for _ in range(2)]
        assert rows_of(runs[0].events) == rows_of(runs[1].events)
        assert runs[0].counts.before == 12
        every = {row["stream_id"] for n in range(1, 9) for row in rows_of(log.dry_run(plan, sample=n).events)}
        assert every == set("abcdefgh")


def test_the_events_of_a_run_and_relations_of_them_outlive_it():
    bench, log = bench_of(simple("a"))
    with bench:
        relation = log.dry_run(
            Migration("m", [drop_events(where="version = 2"), upcast("Added", 1, 2, lambda data: {**data, "m": 1})])
        ).events.relation()
        expected = ['{"n": 1, "m": 1}', '{"n": 3, "m": 1}', '{"n": 4, "m": 1}']
        assert [row[10] for row in relation.order("position").fetchall()] == expected


def test_events_that_are_appended_meanwhile_are_not_part_of_a_run():
    bench, log = bench_of(simple("a"))
    with bench:
        run = log.dry_run(Migration("m", [rename_type("Added", "Put")]))
        more = [row.columns() for row in simple("a", start=5, position=5)]
        bench.load(pd.DataFrame(more), "log", append=True)
        assert (len(rows_of(run.events)), run.position_map.fetchall()[-1]) == (4, (4, 4))


def checkpoints(rows: list[Row], made: list[Come]) -> dict[int, int]:
    """For each old position the new one up to which all comes from events that are not later."""
    found = {}
    for row in rows:
        at = min([position for position, _, _ in made] + [1]) - 1
        for position, origins, _ in made:
            if max(origins) > row.position:
                break
            at = position
        found[row.position] = at
    return found


@settings(max_examples=25)
@given(damaged(), mixed())
def test_a_consumer_at_any_old_position_misses_nothing_and_goes_as_far_as_it_can(rows, steps):
    bench, log = bench_of(rows)
    with bench:
        run = log.dry_run(Migration("m", steps), checks=False)
        told = dict(run.position_map.fetchall())
        bench.apply(run, "v2", accept=run.failed)
        expected = checkpoints(rows, lineage_of(bench, "v2"))
        assert {old: max(new, 0) if new >= 0 else new for old, new in told.items()} == expected

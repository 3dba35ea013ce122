"""What apply refuses, and that it makes a log whole or not at all."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import esbench as es
from esbench.errors import NameTaken
from esbench.migrate import Migration, MigrationError, drop_events, map_events, rename_type, upcast
from esbench.migrate import apply as applying
from tests.migrate.benches import bench_of, contents, lineage_of, load, rows_of, simple

RENAMED = Migration("renamed", [rename_type("Added", "Put")])
GAP = Migration("gap", [drop_events(where="version = 2", leave_gap=True)])


@pytest.fixture
def bench():
    made, _ = bench_of(simple("a", "b"))
    with made:
        yield made


def test_a_gate_that_fails_is_accepted_by_its_name_alone(bench):
    run = bench["log"].dry_run(GAP)
    assert run.failed == ("no new gap",)
    before = contents(bench)
    with pytest.raises(MigrationError, match=r"(?s)gap: 1 gate failed, nothing was made.*accept=\['no new gap'\]"):
        bench.apply(run, "v2")
    with pytest.raises(MigrationError, match=r'no gate "no new gaps" in this run\. Did you mean "no new gap"'):
        bench.apply(run, "v2", accept=["no new gaps"])
    with pytest.raises(MigrationError, match="1 gate failed"):
        bench.apply(run, "v2", accept="no new finding")
    assert contents(bench) == before
    assert bench.apply(run, "v2", accept="no new gap").events("a")["version"].tolist() == [1, 3, 4]


def test_a_sample_a_view_and_a_branch_are_not_applied(bench):
    log = bench["log"]
    chain = [upcast("Added", 1, 2, dict)]
    for source, options, message in (
        (log, {"sample": 1}, "saw a sample of 1 streams: run it without sample= to apply it"),
        (log.upcasted(chain), {}, "is not stored in the bench: a migration is applied to a log that is"),
        (log.branch("a").drop(2), {}, "is not stored in the bench"),
    ):
        with pytest.raises(MigrationError, match=message):
            bench.apply(source.dry_run(RENAMED, **options), "v2")
    assert "v2" not in bench


def test_a_log_that_has_changed_since_is_told_from_one_that_is_another(bench):
    run = bench["log"].dry_run(RENAMED)
    load(bench, simple("a", start=5, events=2, position=9), append=True)
    with pytest.raises(
        MigrationError, match=r'2 events were appended to "log" since the dry run: run = run.extend\(\)'
    ):
        bench.apply(run, "v2")
    assert bench.apply(run.extend(), "v2").types()["event_type"].tolist() == ["Put"]
    run = bench["log"].dry_run(RENAMED)
    load(bench, simple("b", start=5, events=1, position=12), append=True)
    with pytest.raises(MigrationError, match=r"1 event was appended to .* run\.extend\(\) dry-runs it too"):
        bench.apply(run, "v3")
    run = bench["log"].dry_run(RENAMED)
    bench.drop("log")
    with pytest.raises(MigrationError, match='"log" is no longer in the bench'):
        bench.apply(run, "v3")
    load(bench, [*simple("a", "b"), *simple("a", start=5, events=2, position=9)])
    for make in (lambda: bench.apply(run, "v3"), run.extend):
        with pytest.raises(MigrationError, match='"log" was dropped and loaded anew since the dry run: run it again'):
            make()


def test_a_run_of_another_bench_is_refused_though_its_log_looks_the_same(bench):
    other, log = bench_of(simple("a", "b"))
    with other:
        run = log.dry_run(RENAMED)
        with pytest.raises(MigrationError, match='the dry run of "log" is of another bench'):
            bench.apply(run, "v2")
        assert "v2" not in bench
        other.apply(run, "v2")


@pytest.mark.parametrize("name", ["log", "LOG", "v2", "V2"])
def test_a_name_that_is_taken_is_refused_in_any_case(bench, name):
    run = bench["log"].dry_run(RENAMED)
    bench.apply(run, "v2")
    before = contents(bench)
    with pytest.raises(NameTaken, match=f'the bench has a log "{name.lower()}"'):
        bench.apply(run, name)
    assert contents(bench) == before


@pytest.mark.parametrize("name", ["", 7, "a\0b", None])
def test_a_name_that_is_none_is_refused(bench, name):
    with pytest.raises(es.EsbenchError, match="a log needs a name"):
        bench.apply(bench["log"].dry_run(RENAMED), name)


def test_hostile_names_are_names(bench):
    name = 'it\'s "v2"; drop table esbench.logs; --'
    made = bench.apply(bench["log"].dry_run(Migration("<b>'m'", [rename_type("Added", "'; --")])), name)
    assert made.lineage("a", 1)["log"].tolist() == ["log", name]
    bench.drop(name)
    assert bench.logs()["log"].tolist() == ["log"]


def test_what_a_migration_was_is_kept_with_what_it_made(bench):
    def doubled(data):
        return {**data, "n": data["n"] * 2}

    bench.apply(bench["log"].dry_run(Migration("doubled", [upcast("Added", 1, 2, doubled)], note="as agreed")), "v2")
    ((text,),) = bench.con.execute("select text from esbench.derived").fetchall()
    assert "as agreed" in text
    assert 'return {**data, "n": data["n"] * 2}' in text
    assert bench["v2"].lineage("a", 1)["by"].tolist() == ["", "doubled: upcast Added from 1 to 2 by doubled"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt])
@pytest.mark.parametrize("at", ["record", "lineage_of", "hashed"])
def test_an_exception_in_the_middle_leaves_no_trace(bench, monkeypatch, error, at):
    run = bench["log"].dry_run(Migration("m", [drop_events(where="version = 2")]))
    before = contents(bench)

    def stop(*_, **__):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(applying, at, stop)
        with pytest.raises(error):
            bench.apply(run, "v2")
    assert contents(bench) == before
    assert rows_of(bench.apply(run, "v2")) == rows_of(run.events)


def test_ctrl_c_while_it_writes_leaves_no_trace():
    bench, log = bench_of(simple("a", events=3_000))
    with bench:
        waiting = threading.Event()

        def slow(event):
            if event.version == 1_500 and waiting.is_set():
                signal.raise_signal(signal.SIGINT)
            return event

        run = log.dry_run(Migration("m", [map_events(slow)]), checks=False)
        before = contents(bench)
        waiting.set()
        with pytest.raises(KeyboardInterrupt):
            log.dry_run(Migration("m", [map_events(slow)]), checks=False)
        assert contents(bench) == before
        assert len(bench.apply(run, "v2")) == 3_000


def test_a_function_that_gives_something_else_the_next_time_fails_a_gate(bench):
    given = iter(range(10**6))
    run = bench["log"].dry_run(Migration("m", [upcast("Added", 1, 2, lambda data: {**data, "at": next(given)})]))
    assert run.failed == ("running twice gives the same",)
    made = bench.apply(run, "v2", accept=run.failed)
    assert rows_of(made) == rows_of(run.events)


FULL = """
import resource, signal, sys
import esbench as es
from esbench.migrate import Migration, add_field
from tests.migrate.benches import contents
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
bench = es.open(sys.argv[1])
run = bench["log"].dry_run(Migration("m", [add_field("/text", "x" * 2_000)]), checks=False)
before = contents(bench)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    bench.apply(run, "v2")
except es.EsbenchError as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert contents(bench) == before
"""


def test_a_disk_that_is_full_leaves_no_trace_and_is_told(tmp_path: Path):
    path = tmp_path / "b.duckdb"
    bench, _ = bench_of(simple(*"abcdefghij", events=3_000), path)
    bench.close()
    with es.open(path) as bench:
        before = contents(bench)
    limit = path.stat().st_size + 1_000_000
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(limit)], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "BenchError" in done.stdout
    assert "do it again; the bench is as it was" in done.stdout
    with es.open(path) as bench:
        assert contents(bench) == before
        made = bench.apply(bench["log"].dry_run(RENAMED), "v2")
        assert len(made) == 30_000
        assert {steps for _, _, steps in lineage_of(bench, "v2")} == {1}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_events_appended_to_a_log_that_a_migration_made_come_from_nowhere(bench):
    bench.apply(bench["log"].dry_run(RENAMED), "v2")
    made = load(bench, simple("a", start=5, events=1, position=9), "v2", append=True)
    assert made.events("a")["version"].tolist() == [1, 2, 3, 4, 5]
    assert made.lineage("a", 5)[["generation", "log", "by"]].to_numpy().tolist() == [[0, "v2", ""]]
    third = bench.apply(made.dry_run(Migration("third")), "v3")
    assert third.lineage("a", 5)["log"].tolist() == ["v2", "v3"]


def test_a_log_that_was_dropped_is_not_taken_for_a_later_one_of_its_name(bench):
    bench.apply(bench["log"].dry_run(RENAMED), "v2")
    bench.drop("log")
    again = bench.apply(bench["v2"].dry_run(Migration("back", [rename_type("Put", "Added")])), "log")
    told = again.lineage("a", 1)
    assert told[["generation", "log", "fate"]].to_numpy().tolist() == [
        [-2, "log", "the log is no longer in the bench"],
        [-1, "v2", ""],
        [0, "log", ""],
    ]

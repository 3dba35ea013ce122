"""A private migration that is killed at any moment leaves no file of its target's name, and runs again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import esbench as es
from esbench.migrate import Migration
from esbench.migrate.steps.privacy import mask, pseudonymise_ids

STEPS = [mask("/mail", keep=2), pseudonymise_ids(key="ESBENCH_TEST_KEY")]
APPLY = """
import sys
import esbench as es
from esbench.migrate import Migration
from tests.kill.test_private_killed import STEPS
bench = es.open(sys.argv[1])
run = bench["orders"].dry_run(Migration("m", STEPS), checks=False)
print("ready", flush=True)
bench.apply(run, "private", to=sys.argv[2])
print("done", flush=True)
"""
EVENTS = 5_000


def content(path: Path) -> list[tuple[object, ...]]:
    """The events of a private file, and its tables."""
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.execute("select * exclude (recorded_at, occurred_at) from log.private order by position").fetchall()
        return [*rows, *con.execute("select log, migration, text from esbench.derived").fetchall()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESBENCH_TEST_KEY", "a key that nobody else has")
    rows = duckdb.sql(
        f"""
        select 'customer' || n % 997 || '@example.org' as stream_id, n // 997 + 1 as version, 'Noted' as event_type,
            'event-' || n as event_id, '{{"mail":"customer' || n % 997 || '@example.com","n":1.10}}' as data
        from range({EVENTS}) numbers(n)
        """
    )
    assert rows is not None
    path = tmp_path / "shop.duckdb"
    with es.open(path) as opened:
        opened.load(rows.to_arrow_table(), "orders")
    return path


def test_a_killed_apply_leaves_no_file_and_the_next_run_makes_it(bench, tmp_path):
    with es.open(bench) as opened:
        run = opened["orders"].dry_run(Migration("m", STEPS), checks=False)
        start = time.perf_counter()
        opened.apply(run, "private", to=tmp_path / "undisturbed.duckdb").source.con.close()
        seconds = time.perf_counter() - start
        del run
    undisturbed = content(tmp_path / "undisturbed.duckdb")
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "private.duckdb"

    moments = random.Random(17)
    killed = 0
    for attempt in range(5):
        # One in each fifth of the first two thirds, since a run in a process of its own may be the quicker one.
        moment = seconds * (attempt + moments.random()) / 5 * 2 / 3
        with subprocess.Popen(
            [sys.executable, "-c", APPLY, str(bench), str(target)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            done = "done" in process.stdout.read()
        if target.exists():
            # Finished, or killed between its name and the end: then it is whole.
            assert content(target) == undisturbed
            target.unlink()
        else:
            assert not done
            killed += 1
    assert killed >= 2, "nearly every run was done before it was killed: the test shows nothing"

    with es.open(bench) as opened:
        run = opened["orders"].dry_run(Migration("m", STEPS), checks=False)
        opened.apply(run, "private", to=target).source.con.close()
    assert content(target) == undisturbed
    assert [path.name for path in folder.iterdir()] == ["private.duckdb"]

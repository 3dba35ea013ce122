"""An apply that is killed at any moment leaves the bench as it was, and runs again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

import esbench as es
from esbench.migrate import Migration, add_field, drop_events, insert_after, rename_type, upcast
from tests.migrate.benches import contents

PLAN = Migration(
    "orders v2",
    [
        drop_events(where="version % 7 = 3"),
        rename_type("Added", "Put", where="version % 2 = 0"),
        insert_after("Put", "Noted", {"why": "x"}, where="version % 50 = 0"),
        upcast("Put", 1, 2, lambda data: {**data, "currency": "EUR"}),
        add_field("/place", "Oslo", type="Added"),
    ],
)
APPLY = """
import sys
import esbench as es
from tests.kill.test_apply_killed import PLAN
bench = es.open(sys.argv[1])
run = bench["orders"].dry_run(PLAN, checks=False)
print("ready", flush=True)
bench.apply(run, "v2")
print("done", flush=True)
"""
ROOT = Path(__file__).resolve().parents[2]
EVENTS = 60_000


def test_a_killed_apply_leaves_the_bench_as_it_was(tmp_path):
    path, undisturbed = tmp_path / "b.duckdb", tmp_path / "undisturbed.duckdb"
    rows = {"stream_id": [f"s-{n % 97}" for n in range(EVENTS)], "version": [n // 97 for n in range(EVENTS)]}
    frame = pd.DataFrame({**rows, "event_type": "Added", "data": '{"n": 1.10, "text": "xxxxxxxxxxxxxxxxxxxxxxxx"}'})
    for each in (path, undisturbed):
        with es.open(each) as bench:
            bench.load(frame, "orders")
    with es.open(path) as bench:
        before = told(bench)
    with es.open(undisturbed) as bench:
        run = bench["orders"].dry_run(PLAN, checks=False)
        start = time.perf_counter()
        bench.apply(run, "v2")
        seconds = time.perf_counter() - start
        after = told(bench)
    assert before != after

    moments, killed = random.Random(29), 0
    for _ in range(15):
        done = killed_after(path, moments.uniform(0, 0.6 * seconds))
        with es.open(path) as bench:
            found = told(bench)
            assert (
                found == after if done else found in (before, after)
            )  # it may be made before the process could say so
            killed += found == before
            if found == after:
                bench.drop("v2")
    assert killed >= 4, "nearly every apply was done before it was killed: the test shows nothing"

    with es.open(path) as bench:
        bench.apply(bench["orders"].dry_run(PLAN, checks=False), "v2")
        assert told(bench) == after
    assert not list(tmp_path.glob("*.duckdb.tmp/*")), "spilled files were left behind"


def killed_after(path: Path, seconds: float) -> bool:
    """Apply in a process of its own and kill it so long after the dry run; whether it was done by then."""
    command = [sys.executable, "-c", APPLY, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return "done" in process.stdout.read()


def told(bench: es.Bench) -> dict[str, object]:
    """All that a bench holds; no run has the number of another."""
    found: dict[str, object] = {}
    for name, rows in contents(bench, hashed=True).items():
        found[name] = [tuple(str(value).partition('"run"')[0] for value in row) for row in rows]
    return found

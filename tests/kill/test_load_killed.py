"""A load that is killed at any moment leaves the bench as it was, and runs again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import esbench as es

LOAD = """
import sys
import esbench as es
bench = es.open(sys.argv[1])
print("open", flush=True)
bench.load(sys.argv[2], "orders", append=sys.argv[3] == "append")
print("done", flush=True)
"""

EVENTS = 120_000


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files of events, the later one above the earlier; every 1,000th line is no event."""
    folder = tmp_path_factory.mktemp("batches")
    paths = folder / "first.jsonl", folder / "later.jsonl"
    for start, path in enumerate(paths):
        with path.open("w") as out:
            for n in range(start * EVENTS, (start + 1) * EVENTS):
                event = {
                    "position": n,
                    "stream_id": f"s-{n % 997}",
                    "version": n // 997,
                    "event_type": "Added",
                }
                event |= {"recorded_at": "2026-01-01T00:00:00Z", "data": {"n": n, "text": "x" * (n % 50)}}
                out.write("torn\n" if n % 1_000 == 7 else json.dumps(event) + "\n")
    return paths


def content(path: Path) -> list[tuple[object, ...]]:
    """Everything that a bench says of its logs."""
    with es.open(path) as bench:
        found: list[tuple[object, ...]] = []
        for name in bench.logs()["log"]:
            log = bench[name]
            total = log.sql(
                "select count(*) n, sum(position)::bigint p, bit_xor(hash(data)) h, max(stream_key) k from events"
            )
            found.append((name, *map(int, total.iloc[0]), len(log.rejects), len(log.streams())))
        tables = bench.con.execute("select schema_name || '.' || table_name from duckdb_tables() order by 1").fetchall()
        return [*found, *tables]


def run_and_kill(bench: Path, source: Path, mode: str, after: float) -> bool:
    """Load in a process of its own and kill it some seconds after it opened the bench; whether it was done by then."""
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, str(bench), str(source), mode], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        return "done" in process.stdout.read()


@pytest.mark.parametrize("mode", ["new", "append"])
def test_a_killed_load_leaves_the_bench_as_it_was(tmp_path, batches, mode):
    first, later = batches
    bench = tmp_path / "b.duckdb"
    earlier = "orders" if mode == "append" else "other"
    with es.open(bench) as opened:
        opened.load(first, earlier)
    before = content(bench)
    source = later if mode == "append" else first
    with es.open(tmp_path / "undisturbed.duckdb") as opened:
        opened.load(first, earlier)
        start = time.perf_counter()
        opened.load(source, "orders", append=mode == "append")
        seconds = time.perf_counter() - start
    undisturbed = content(tmp_path / "undisturbed.duckdb")
    assert undisturbed != before

    moments = random.Random(17)
    killed = 0
    for _ in range(8):
        done = run_and_kill(bench, source, mode, moments.uniform(0, 1.2 * seconds))
        found = content(bench)
        # Killed just after its commit it had no time to say that it was done.
        assert found == undisturbed if done else found in (before, undisturbed)
        if found == undisturbed:
            with es.open(bench) as opened:  # so that the next round begins as this one did
                opened.drop("orders")
                if mode == "append":
                    opened.load(first, "orders")
        else:
            killed += 1
    assert killed >= 3, "nearly every load was done before it was killed: the test shows nothing"

    with es.open(bench) as opened:
        opened.load(source, "orders", append=mode == "append")
    assert content(bench) == undisturbed
    assert not list(tmp_path.glob("b.duckdb.tmp/*")), "spilled files were left behind"

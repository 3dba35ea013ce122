"""What grows with a log: seconds a million events and peak memory of every large verb, under a memory limit of 2 GB.

Each size runs in a process of its own, which has no memory yet; the peak is the process's, Python's part included.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import esbench as es
from benchmarks import logs
from benchmarks.measure import fresh
from benchmarks.projections import READ, stock
from benchmarks.states import inventory

__all__ = ["run"]

#: Of the number of events that is asked for, which is 5 million by itself.
_SIZES = (0.1, 0.2, 1, 4)
_LIMIT = "2GB"

#: With an invariant that holds throughout, as most do in most streams.
sound = es.Projection("InventoryItem", stock.columns, invariants={"not absurd": "quantity > -1000000"})


def run(folder: Path, events: int, rounds: int) -> None:
    """One process and one run a size. A log larger than what is asked for is deleted again."""
    print(f"\ngrowth: memory_limit {_LIMIT}  (target: linear, no crash)")
    print(f"  {'':36} {'events':>12} {'s':>9} {'s/million':>10} {'CPU s/million':>14} {'peak GB':>8}", flush=True)
    for size in _SIZES:
        path = logs.compact(folder, int(events * size))
        try:
            subprocess.run([sys.executable, "-m", "benchmarks.growth", folder, str(int(events * size))], check=True)
        finally:
            fresh(folder / "growth.duckdb")
            if size > 1:
                path.unlink()


def _measure(folder: Path, events: int) -> None:
    with es.open(fresh(folder / "growth.duckdb")) as bench:
        bench.con.execute(f"set memory_limit = '{_LIMIT}'")
        with _told("load", events):
            log = bench.load(logs.compact(folder, events), "events")
        out = folder / "growth.parquet"
        verbs: dict[str, Callable[[], object]] = {
            "states of a projection": lambda: log.states(stock),
            "the same again": lambda: log.states(stock),
            "timeline, read to its end": lambda: log.timeline(stock).aggregate(READ).fetchall(),
            "timeline, to a Parquet file": lambda: log.timeline(stock).write_parquet(str(out)),
            "states with Python handlers": lambda: log.states(inventory),
            "check, with the projection": lambda: log.check(sound),
        }
        for title, verb in verbs.items():
            with _told(title, events):
                verb()
            out.unlink(missing_ok=True)


@contextmanager
def _told(title: str, events: int) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20
    each = events / 1_000_000
    print(f"  {title:36} {events:12,} {wall:9.2f} {wall / each:10.3f} {cpu / each:14.3f} {peak:8.2f}", flush=True)


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), int(sys.argv[2]))

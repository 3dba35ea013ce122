"""Measuring side by side: each round runs every candidate once, in turn, so that a noisy machine hurts all alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

__all__ = ["fresh", "in_turn", "machine", "report"]


def in_turn(candidates: Mapping[str, Callable[[], object]], *, rounds: int = 3) -> dict[str, float]:
    """The median seconds of each candidate over the rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(
    title: str, medians: Mapping[str, float], *, against: str, target: str = "", events: int | None = None
) -> None:
    """Print the medians and their ratios to one of them."""
    print(f"\n{title}{f'  (target: {target})' if target else ''}", flush=True)
    for name, seconds in medians.items():
        rate = f"  {events / seconds:12,.0f} events/s" if events else ""
        print(f"  {name:44} {seconds:8.3f} s  {seconds / medians[against]:6.2f} x{rate}", flush=True)


def machine() -> str:
    """What this was measured on."""
    model = platform.processor() or "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = f"Python {platform.python_version()}, duckdb {duckdb.__version__}"
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()}, {versions}"


def fresh(path: Path) -> Path:
    """The path of a database file that is not there yet."""
    for old in (path, path.with_name(path.name + ".wal")):
        old.unlink(missing_ok=True)
    return path

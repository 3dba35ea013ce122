"""Measuring side by side: each round runs every candidate once, in turn, so that a noisy machine hurts all alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb

__all__ = ["Cost", "cost", "fresh", "in_turn", "machine", "report"]


class Cost(NamedTuple):
    """Seconds by the clock, and of the processors for this process alone, which other work adds little to."""

    wall: float
    cpu: float


def cost(run: Callable[[], object]) -> Cost:
    """What one run costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(candidates: Mapping[str, Callable[[], object]], *, rounds: int = 3) -> dict[str, Cost]:
    """The median cost of each candidate over the rounds."""
    costs: dict[str, list[Cost]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            costs[name].append(cost(run))
    return {name: Cost(*(statistics.median(each) for each in zip(*some, strict=True))) for name, some in costs.items()}


def report(
    title: str, medians: Mapping[str, Cost], *, against: str, target: str = "", events: int | None = None
) -> None:
    """Print the medians and their ratios to one of them."""
    print(f"\n{title}{f'  (target: {target})' if target else ''}", flush=True)
    base = medians[against]
    for name, (wall, cpu) in medians.items():
        rate = f"  {events / wall:12,.0f} events/s" if events else ""
        ratios = f"{wall:8.3f} s  {wall / base.wall:6.2f} x  {cpu:8.3f} CPU s  {cpu / base.cpu:6.2f} x"
        print(f"  {name:44} {ratios}{rate}", flush=True)


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

"""Loading JSON lines, payload text kept exactly, against the bare statement that does not keep it."""

from __future__ import annotations

from pathlib import Path

import duckdb

import esbench as es
from benchmarks import logs
from benchmarks.measure import fresh, in_turn, report

__all__ = ["run"]


def run(folder: Path, events: int, rounds: int) -> None:
    """Compact lines, then spaced ones; each with what the bare statement takes on the same file."""
    for title, path, target in (
        ("load compact JSON lines", logs.compact(folder, events), "at most 2 x"),
        ("load spaced JSON lines", logs.spaced(folder, events), "at most 4 x"),
    ):

        def bare(path: Path = path) -> None:
            with duckdb.connect(fresh(folder / "bare.duckdb")) as con:
                con.execute(
                    f"create table events as select * from read_json('{path}', columns={logs.COLUMNS}, "
                    "format='newline_delimited')"
                )
                con.execute("checkpoint")

        def load(path: Path = path) -> None:
            with es.open(fresh(folder / "bench.duckdb")) as bench:
                bench.load(path, "events")

        medians = in_turn({"bare create table as read_json": bare, "bench.load": load}, rounds=rounds)
        report(title, medians, against="bare create table as read_json", target=target, events=events)

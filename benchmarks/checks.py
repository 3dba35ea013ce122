"""All structure checks together, against one gap query over the table that the bare statement makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

import esbench as es
from benchmarks import logs
from benchmarks.measure import in_turn, report
from esbench.checks import CHECKS, check
from esbench.events import Events

__all__ = ["run"]

_GAPS = """
    select count(*)
    from (
        select version - lag(version) over (partition by stream_id order by version, rowid) as step
        from events
    )
    where step <> 1
"""

_STRUCTURE = [each.name for each in CHECKS.values() if each.kind == "structure"]


def run(folder: Path, events: int, rounds: int) -> None:
    """A sound log, one with damage, and one in which every event names its cause."""
    path = logs.compact(folder, events)
    files = [folder / "checks_bare.duckdb", folder / "checks_bench.duckdb"]
    for old in files:
        old.unlink(missing_ok=True)
    with duckdb.connect(str(files[0])) as bare, es.open(files[1]) as bench:
        bare.execute(
            f"create table events as select * from read_json('{path}', columns={logs.COLUMNS}, "
            "format='newline_delimited')"
        )
        sound = bench.load(path, "sound").source
        for title, log in (
            ("a sound log", sound),
            ("one with an event in a thousand lost or repeated", _variant(sound, "damaged", _DAMAGED)),
            ("one in which every event names its cause", _variant(sound, "caused", _CAUSED)),
        ):
            _measure(title, log, bare, events, rounds)
    for made in files:
        made.unlink()


def _measure(title: str, log: Events, bare: duckdb.DuckDBPyConnection, events: int, rounds: int) -> None:
    found = len(check(log, only=_STRUCTURE).findings)
    medians = in_turn(
        {
            "one gap query over the bare table": lambda: bare.execute(_GAPS).fetchall(),
            "every structure check": lambda: check(log, only=_STRUCTURE),
        },
        rounds=rounds + 2,
    )
    report(
        f"check {title}: {found:,} findings",
        medians,
        against="one gap query over the bare table",
        target="at most 1.5 x for a sound one",
        events=events,
    )


_DAMAGED = """
    select * from ({query}) where hash(position) % 2000 <> 0
    union all
    select * replace (position + 100000000 as position) from ({query}) where hash(position) % 2000 = 1
"""

_CAUSED = """
    select * replace (
        '{{"causation_id":"' || lag(event_id, 7, event_id) over (order by position) || '",' || substr(metadata, 2)
        as metadata
    )
    from ({query})
"""


def _variant(sound: Events, name: str, text: str) -> Events:
    """A clustered table beside the log."""
    rows = text.format(query=sound.query)
    sound.con.execute(f"create or replace table main.{name} as from ({rows}) order by stream_key, version, position")
    return replace(sound, query=f"select * from main.{name}", streams=None, ordered=True)

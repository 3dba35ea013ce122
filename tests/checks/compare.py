"""Rows of the reference as Events, and findings of the engine as those of the reference."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from esbench.aggregate import Aggregate
from esbench.checks import Report
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.facts import MEANINGS, Facts
from tests import oracle
from tests.oracle import Row

#: Evidence that the engine has beyond the reference.
_EXTRA = ("events", "before", "seconds", "lowest", "writer", "other", "state", "state_before", "differing", "why")

_KINDS = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


def connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("set global TimeZone = 'UTC'")
    return con


def events_of(
    rows: Iterable[Row], facts: oracle.Facts, *, con: duckdb.DuckDBPyConnection, layout: str = "ordered"
) -> Events:
    """Rows as a log table. ``layout``: clustered in folding order, claimed but not so (``wrong``), or as they come."""
    columns = [row.columns() for row in rows]
    keys: dict[str, int] = {}
    for row in columns:
        keys.setdefault(row["stream_id"], len(keys) + 1)
    given = pa.table(  # noqa: F841, DuckDB finds it by its name
        {name: pa.array([row[name] for row in columns], _KINDS[kind]) for name, kind in CANONICAL.items()}
        | {"stream_key": pa.array([keys[row["stream_id"]] for row in columns], pa.int64())}
    )
    kinds = ", ".join(f"{name}::{kind} as {name}" for name, kind in CANONICAL.items())
    order = "order by stream_key, version, position" if layout == "ordered" else ""
    con.execute(f"create or replace table t as select stream_key, {kinds} from given {order}")
    known = asdict(facts)
    return Events(
        con, "select * from t", Facts(**{**known, "keys": {**MEANINGS, **known["keys"]}}), ordered=layout != "unordered"
    )


def found(report: Report) -> list[tuple[Any, ...]]:
    """The engine's findings, in the reference's form."""
    result = []
    for row in report.findings.astype(object).to_dict("records"):
        evidence = json.loads(row["evidence"])
        positions = tuple(evidence.pop("positions"))
        for extra in _EXTRA:
            evidence.pop(extra, None)
        values = (row["stream_id"], row["version"], row["to_version"], row["position"])
        known = [None if pd.isna(value) else value for value in values]
        after = row["after"] if isinstance(row["after"], str) else None
        result.append((row["check"], row["severity"], *known, positions, evidence, after))
    return result


def expected(findings: Iterable[oracle.Found]) -> list[tuple[Any, ...]]:
    """The reference's findings."""
    return [(*each[:6], each.positions[:100], dict(each.detail), each.after) for each in findings]


def claimed(rows: Iterable[Row], findings: Iterable[oracle.Found]) -> list[oracle.Found]:
    """The reference's findings that can be told: without ids in the log nobody can say that a cause is absent."""
    has_ids = any(row.event_id is not None for row in rows)
    return [each for each in findings if has_ids or each.check != "broken-causation"]


def aggregate_of(rules: oracle.Rules) -> Aggregate:
    """The reference's rules as an aggregate."""
    aggregate = Aggregate(
        rules.name,
        initial=rules.initial,
        stream_type=rules.stream_type,
        streams=rules.streams,
        unknown="error" if rules.unknown == "error" else "ignore",
    )
    for event_type, handler in rules.handlers.items():
        aggregate.on(event_type)(handler)
    for text, predicate in rules.invariants.items():
        aggregate.invariant(text)(predicate)
    aggregate.lifecycle(first=rules.first, transitions=rules.transitions, final=rules.final)
    return aggregate

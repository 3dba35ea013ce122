"""Projections against the best SQL that was written for them by hand, on the same table."""

from __future__ import annotations

from pathlib import Path

import esbench as es
from benchmarks import logs
from benchmarks.measure import cost, fresh, in_turn, report
from esbench.fold import sql

__all__ = ["READ", "run", "stock"]

stock = es.Projection(
    "InventoryItem",
    {
        "quantity": es.total({"ItemsAdded": es.field("/quantity"), "ItemsOrdered": -es.field("/quantity")}),
        "name": es.latest({"ItemCreated": es.field("/name"), "ItemRenamed": es.field("/name")}),
    },
    invariants={"stock is never negative": "quantity >= 0"},
)

_VALUES = """
    case event_type when 'ItemsAdded' then (data->>'$.quantity')::bigint
        when 'ItemsOrdered' then -(data->>'$.quantity')::bigint end as q,
    case when event_type in ('ItemCreated', 'ItemRenamed') then data->>'$.name' end as n
"""
_STATES = f"""
    select stream_key, sum(q) as quantity, arg_max(n, version) as name
    from (select stream_key, version, {_VALUES} from events) group by stream_key
"""
_WINDOW = "over (partition by stream_key order by version rows unbounded preceding)"
_TIMELINE = f"""
    select stream_id, version, position, event_type, recorded_at,
        sum(q) {_WINDOW} as quantity, last_value(n ignore nulls) {_WINDOW} as name
    from (select stream_key, stream_id, version, position, event_type, recorded_at, {_VALUES} from events)
"""
#: Every column is asked for, so that none is left out.
READ = """
    count(*), max(length(stream_id)), max(version), max(position), max(length(event_type)), max(epoch_us(recorded_at)),
    sum(quantity), max(length(name))
"""


def run(folder: Path, events: int, rounds: int) -> None:
    """A bench of that many events; relations are read to the end by an aggregate over all of their columns."""
    with es.open(fresh(folder / "projections.duckdb")) as bench:
        log = bench.load(logs.compact(folder, events), "events")
        source = log.source
        first = cost(lambda: log.states(stock))
        print(f"\nlog.states of a log not yet looked at: {first.wall:.3f} s, {first.cpu:.3f} CPU s", flush=True)
        states = {
            "by hand": lambda: source.arrow(_STATES),
            "the projection's SQL": lambda: source.arrow(stock.sql()),
            "with suspects, as columns": lambda: sql.fold(source, stock),
            "log.states, with trust": lambda: log.states(stock),
        }
        medians = in_turn(states, rounds=rounds)
        report("states, two columns", medians, against="by hand", target="1.2 x, 8 million a second", events=events)
        timelines = {
            "by hand": lambda: source.relation(_TIMELINE).aggregate(READ).fetchall(),
            "log.timeline": lambda: log.timeline(stock).aggregate(READ).fetchall(),
            "streams in which an invariant breaks": lambda: sql.doubtful(source, stock),
        }
        medians = in_turn(timelines, rounds=rounds)
        broken = medians.pop("streams in which an invariant breaks")
        report("timeline, two columns", medians, against="by hand", target="1.2 x", events=events)
        medians = {"log.timeline": medians["log.timeline"], "streams in which an invariant breaks": broken}
        report("an invariant over all versions", medians, against="log.timeline", target="1.3 x", events=events)

"""A log read through upcasters answers as the log does that was made by applying them."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.migrate import Migration, MigrationError, upcast
from esbench.migrate.steps.upcasting import Upcast, chain
from tests.migrate.benches import bench_of, load, rows_of, simple
from tests.migrate.core_cases import damaged


def scaled(data: Any) -> Any:
    return {**data, "n": data["n"] * 100, "unit": "cent"}


def nested(data: Any) -> Any:
    return {"amount": {"n": data.pop("n"), "unit": data.pop("unit")}, **data}


def seven(data: Any) -> Any:
    return {**data, "n": data.get("n", 7)}


CHAIN = [upcast("Added", 1, 2, scaled), upcast("Added", 2, 3, nested), upcast("Taken", 1, 2, scaled)]


def counter() -> es.Aggregate:
    made = es.Aggregate("Counter", initial={"n": 0}, streams="*")

    @made.on("Added")
    def added(state: Any, event: es.Event) -> Any:
        data = event.data
        return {**state, "n": state["n"] + (data["amount"]["n"] if "amount" in data else data["n"])}

    made.on("Taken")(lambda state, event: {**state, "n": state["n"] - event.data["n"]})
    made.invariant("not too many")(lambda state: state["n"] < 400)
    return made


TOTAL = es.Projection("Counter", {"n": es.total({"Added": es.field("/amount/n")})}, streams="*")


def answers(log: es.Log) -> dict[str, Any]:
    """What every verb says."""
    aggregate, stream = counter(), min(log.streams()["stream_id"])
    last = int(log.source.rows("select max(position) from events")[0][0])
    branch = log.branch(stream).insert(event_type="Taken", data={"n": 1})
    return {
        "streams": log.streams(),
        "types": log.types(),
        "events": log.events(stream),
        "upto": log.events(position=last - 1),
        "find": log.find("cent"),
        "relation": es.frame(log.relation.order("position")),
        "sql": log.sql("select count(*) as n, max(data::varchar) as data from events group by event_type order by all"),
        "len": len(log),
        "iterated": list(log),
        "state": repr(log.state(aggregate, stream)),
        "earlier": repr(log.state(aggregate, stream, position=last // 2 + 1)),
        "states": log.states(aggregate),
        "declared": log.states(TOTAL),
        "history": log.history(aggregate, stream),
        "timeline": es.frame(log.timeline(TOTAL).order("position")),
        "blame": log.blame(aggregate, stream),
        "diff": log.diff(aggregate, es.at(position=last // 2), es.at(position=last), stream=stream),
        "first_bad": repr(log.first_bad(aggregate, lambda state: state["n"] > 150, stream)),
        "findings": log.check(aggregate).findings,
        "branch": list(branch),
        "branched": repr(branch.state(aggregate, stream)),
        "accepted": repr(log.would_accept(stream, expected_version=2)),
        "test": log.as_test(aggregate, stream, aggregate_from="shop.aggregates:counter"),
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in one.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, other[name])
        elif name == "test":
            # A test says which log it was made of.
            assert value.splitlines()[3:] == other[name].splitlines()[3:]
        else:
            assert value == other[name], name


def test_every_verb_says_of_a_view_what_it_says_of_the_applied_copy():
    rows = simple("a", "b", events=5)
    rows[4] = replace(rows[4], event_type="Taken")
    rows[6] = replace(rows[6], event_type="Noted")
    rows.append(replace(rows[2], position=11))
    rows.append(replace(rows[5], position=12, version=9))
    bench, log = bench_of(rows)
    with bench:
        run = log.dry_run(chain(CHAIN))
        made = bench.apply(run, "v2", accept=run.failed)
        view = log.upcasted(CHAIN)
        assert rows_of(view) == rows_of(made)
        same(answers(view), answers(made))
        assert (view.original, view.failures.empty, view.rejects.empty) == (log, True, True)
        assert rows_of(log)[0]["data"] == '{"n": 1}'
        assert view.lineage("a", 1)["log"].tolist() == ["log", "v2"]
        assert "upcasted" in repr(view)
        assert len(bench.snapshots) == 0


@settings(max_examples=15)
@given(damaged(), st.permutations([upcast("Added", 1, 2, seven), upcast("Added", 2, 3, scaled), CHAIN[2]]))
def test_a_chain_in_any_order_reads_what_applying_it_makes(rows, listed):
    bench, log = bench_of(rows)
    with bench:
        run = log.dry_run(chain(listed), checks=False)
        made = bench.apply(run, "v2", accept=run.failed)
        view = log.upcasted(iter(listed))
        assert rows_of(view) == rows_of(made)
        assert view.failures.drop(columns="does").equals(run.failures.drop(columns="does"))
        pd.testing.assert_frame_equal(view.states(counter()), made.states(counter()))
        pd.testing.assert_frame_equal(view.check(counter()).findings, made.check(counter()).findings)


def test_an_event_on_which_an_upcaster_fails_is_read_as_it_is():
    rows = simple("a")
    rows[1] = replace(rows[1], data_text='{"m": 1}')
    bench, log = bench_of(rows)
    with bench:
        view = log.upcasted(CHAIN)
        assert view.failures[["stream_id", "version", "error"]].to_numpy().tolist() == [["a", 2, "KeyError: 'n'"]]
        assert [event.schema_version for event in view] == [3, None, 3, 3]
        assert [event.data_text for event in view][1] == '{"m": 1}'


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([CHAIN[0], upcast("Added", 3, 4, dict)], "nothing leads on from version 2"),
        ([CHAIN[0], upcast("Added", 1, 2, nested)], "two upcasters from version 1"),
        ([Migration("m")], "a chain is made of es.upcast"),
        (["Added"], "a chain is made of es.upcast"),
    ],
)
def test_a_chain_that_is_none_is_refused(listed, said):
    bench, log = bench_of(simple("a"))
    with bench, pytest.raises(MigrationError, match=said):
        log.upcasted(listed)


def test_a_view_of_a_view_reads_through_both():
    bench, log = bench_of(simple("a"))
    with bench:
        view = log.upcasted([upcast("Added", 1, 2, scaled)]).upcasted([upcast("Added", 2, 3, nested)])
        gc.collect()
        assert rows_of(view) == rows_of(log.upcasted(CHAIN))
        branch = log.branch("a").change(2, data={"n": 5}).upcasted([upcast("Added", 1, 2, scaled)])
        gc.collect()
        assert [event.data["n"] for event in branch] == [100, 500, 300, 400]


def local(bench: es.Bench) -> es.Log:
    """A view whose upcasters nobody else holds."""
    return bench["log"].upcasted([upcast("Added", 1, 2, lambda data: {**data, "m": 1}) for _ in range(1)])


def test_a_view_and_what_came_of_it_go_on_after_garbage_collection():
    bench, log = bench_of(simple("a"))
    with bench:
        view = local(bench)
        gc.collect()
        assert [event.data["m"] for event in view] == [1] * 4
        counted = es.Projection("Counter", {"m": es.total({"Added": es.field("/m")})}, streams="*")
        relation, timeline = local(bench).relation, local(bench).timeline(counted)
        later = local(bench).branch("a").insert(event_type="Added", data={"m": 7})
        run = local(bench).dry_run(Migration("m", [upcast("Added", 2, 3, lambda data: {**data, "k": 2})]))
        gc.collect()
        few = relation.filter("version > 2").project("data")
        del relation
        gc.collect()
        assert few.fetchall() == [('{"n": 3, "m": 1}',), ('{"n": 4, "m": 1}',)]
        assert len(timeline.fetchall()) == 4
        assert [event.data["m"] for event in later] == [1, 1, 1, 1, 7]
        assert [row["data"] for row in rows_of(run.events)][3] == '{"n": 4, "m": 1, "k": 2}'
        assert len(log) == 4


def test_an_executor_folds_and_upcasts_to_the_same():
    bench, log = bench_of(simple(*"abcd", events=30))
    with bench, ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        view, aggregate = log.upcasted(CHAIN), counter()
        expected = view.states(aggregate)
        for executor in (threads, processes):
            pd.testing.assert_frame_equal(view.states(aggregate, executor=executor), expected)
            run = log.dry_run(chain(CHAIN), executor=executor)
            assert run.passed
            assert rows_of(run.events) == rows_of(view)


def test_snapshots_of_the_log_are_not_read_through_a_view():
    bench, log = bench_of(simple("a", events=50))
    with bench:
        aggregate = es.Aggregate("Counter", initial=0, streams="*", revision="1")
        aggregate.on("Added")(lambda state, event: state + event.data["n"])
        assert log.state(aggregate, "a").value == 1275
        log.states(aggregate)
        view = log.upcasted([upcast("Added", 1, 2, scaled)])
        assert view.state(aggregate, "a").value == 127_500
        assert view.states(aggregate)["state"].tolist() == [127_500]
        assert log.state(aggregate, "a").value == 1275


def test_a_view_sees_what_is_appended_to_its_log():
    bench, log = bench_of(simple("a"))
    with bench:
        view = log.upcasted(CHAIN)
        load(bench, simple("b", events=1, position=5), append=True)
        assert len(view) == len(bench["log"]) == 5
        assert isinstance(CHAIN[0], Upcast)

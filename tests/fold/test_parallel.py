"""Folds on an executor: the same results in the same order, whoever folds what."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench import travel
from esbench.aggregate import Aggregate
from esbench.checks import check
from esbench.errors import AggregateError, EsbenchError
from esbench.event import at
from esbench.fold import parallel, python, reading
from tests import strategies
from tests.checks.compare import connect, events_of
from tests.fold.handlers import counter
from tests.oracle import Facts, Row
from tests.test_travel_oracle import with_type

CON = connect()


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few events, so that a small log has many."""
    monkeypatch.setattr(parallel, "_BYTES", 1)
    monkeypatch.setattr(reading, "ROWS", 7)


def rows(streams: int, events: int, **rest: Any) -> list[Row]:
    return [
        Row(
            position=version * streams + stream + 1,
            stream_id=f"s-{stream}",
            version=version + 1,
            event_type="Added" if (stream + version) % 5 else "Other",
            data_text=f'{{"n": {version}}}',
            metadata_text=f'{{"user": "u{stream}"}}',
            **rest,
        )
        for version in range(events)
        for stream in range(streams)
    ]


def items(result: dict[int, Any]) -> list[Any]:
    return list(result.items())


@pytest.mark.parametrize("layout", ["ordered", "unordered", "wrong"])
def test_processes_give_the_same_in_the_same_order(pool, small_parts, layout):
    events = events_of(rows(40, 9), Facts(), con=CON, layout=layout)
    assert items(parallel.finals(events, counter, executor=pool)) == items(python.finals(events, counter))


def test_streams_too_long_for_a_part_are_folded_too(small_parts, monkeypatch):
    monkeypatch.setattr(parallel, "_LONG", 20)
    lengths = [3, 60, 2, 25, 1, 8, 90]
    log = [
        replace(row, position=number)
        for number, row in enumerate(
            row for row in rows(len(lengths), 90) if row.version <= lengths[int(row.stream_id[2:])]
        )
    ]
    events = events_of(log, Facts(), con=CON, layout="ordered")
    with ThreadPoolExecutor(2) as executor:
        assert items(parallel.finals(events, counter, executor=executor)) == items(python.finals(events, counter))


@settings(max_examples=25)
@given(data=st.data(), layout=st.sampled_from(("ordered", "unordered", "wrong")))
def test_states_diff_and_findings_are_those_of_one_process(data, layout):
    log = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(log))
    aggregate = with_type(data.draw(strategies.aggregates()))
    where = at(**data.draw(strategies.coordinates(log)))
    events = events_of(log, facts, con=CON, layout=layout)
    with ThreadPoolExecutor(3) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_BYTES", 1)
        patch.setattr(reading, "ROWS", 3)
        pd.testing.assert_frame_equal(
            travel.states(events, aggregate, where, executor=executor), travel.states(events, aggregate, where)
        )
        pd.testing.assert_frame_equal(
            travel.diff(events, aggregate, where, at(), executor=executor),
            travel.diff(events, aggregate, where, at()),
        )
        assert check(events, [aggregate], executor=executor).findings.equals(check(events, [aggregate]).findings)


def test_check_finds_the_same_with_processes(pool, small_parts):
    events = events_of(rows(30, 15), Facts(), con=CON, layout="ordered")
    found = check(events, [counter], executor=pool).findings
    assert len(found[found["check"] == "invariant-violated"]) > 5
    assert found.equals(check(events, [counter]).findings)


def test_dask_cluster_is_an_executor(small_parts):
    from distributed import Client, LocalCluster

    events = events_of(rows(20, 9), Facts(), con=CON, layout="ordered")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        Client(cluster) as client,
    ):
        expected = items(python.finals(events, counter))
        assert items(parallel.finals(events, counter, executor=client.get_executor())) == expected
        with pytest.raises(EsbenchError, match=r"a Dask client's is client\.get_executor\(\)"):
            parallel.finals(events, counter, executor=client)


def test_function_and_class_of_a_notebook_reach_processes_that_cannot_import_them(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(
        """
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
import pandas as pd
import esbench as es

if __name__ == "__main__":
    rate = 3

    @dataclass(frozen=True)
    class Account:
        total: int

    account = es.Aggregate("Account", initial=Account(0), streams="*")

    @account.on("Added")
    def add(state, event):
        return Account(state.total + rate * event.data["n"])

    rows = {"stream_id": ["a", "b"], "version": [1, 1], "event_type": ["Added"] * 2, "data": ['{"n": 2}', '{"n": 5}']}
    log = es.open().load(pd.DataFrame(rows), "log")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        from esbench.fold import parallel
        values = [each.value for each in parallel.finals(log.source, account, executor=executor).values()]
        print(values == [Account(6), Account(15)], log.states(account, executor=executor)["total"].tolist())
"""
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "True [6, 15]\n"


def test_events_kept_in_a_state_come_back_whole(pool):
    keeper = Aggregate("Keeper", initial=(), streams="*")
    keeper.on("Added")(lambda state, event: (*state, event))
    events = events_of(rows(3, 3, event_id="e"), Facts(), con=CON, layout="ordered")
    found = parallel.finals(events, keeper, executor=pool)
    assert [event.metadata for event in found[1].value][:1] == [{"user": "u0"}]
    assert items(found) == items(python.finals(events, keeper))


@dataclass(frozen=True)
class Locked:
    lock: Any


def test_handler_that_cannot_travel_is_named(pool):
    lock = threading.Lock()
    locked = Aggregate("Locked", initial=0, streams="*")

    @locked.on("Added")
    def add(state, event):
        with lock:
            return state + 1

    with pytest.raises(AggregateError, match=r'"Locked" cannot be sent to the executor.*lock.*inside the handler'):
        parallel.finals(events_of(rows(2, 2), Facts(), con=CON), locked, executor=pool)


def test_state_that_cannot_travel_is_named(pool):
    locked = Aggregate("Locked", initial=0, streams="*")
    locked.on("Added")(lambda state, event: Locked(threading.Lock()))
    with pytest.raises(AggregateError, match=r'"Locked": its states cannot be sent back'):
        parallel.finals(events_of(rows(2, 2), Facts(), con=CON), locked, executor=pool)


def test_failing_handlers_are_marked_as_in_one_process(pool, small_parts):
    failing = Aggregate("Failing", initial=[], streams="*")

    @failing.on("Added")
    def add(state, event):
        state.append(event.version)
        if event.version % 3 == 0:
            raise ValueError(event.recorded_at)
        return state

    events = events_of(rows(9, 8), Facts(), con=CON, layout="ordered")
    assert items(parallel.finals(events, failing, executor=pool)) == items(python.finals(events, failing))


def test_worker_that_dies_is_told():
    deadly = Aggregate("Deadly", initial=0, streams="*")
    deadly.on("Added")(lambda state, event: os._exit(3))
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
        pytest.raises(EsbenchError, match="a worker of the executor ended"),
    ):
        parallel.finals(events_of(rows(2, 2), Facts(), con=CON), deadly, executor=executor)


@pytest.mark.parametrize("wrong", [4, "processes", Executor])
def test_what_is_no_executor_is_refused(wrong):
    with pytest.raises(EsbenchError, match="executor= takes a"):
        parallel.finals(events_of(rows(2, 2), Facts(), con=CON), counter, executor=wrong)

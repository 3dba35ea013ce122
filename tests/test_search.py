"""The search for the first bad version, against a walk through the reference's fold."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.aggregate import Aggregate
from esbench.errors import AggregateError, BadCoordinate, UnknownStream
from esbench.event import at
from esbench.search import first_bad
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row
from tests.oracle_structure import meaning
from tests.test_travel_oracle import FORKS, LAYOUTS, with_type

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)

#: Some flip back and forth, some are true at once, some never; each judges any state that the counters have.
PREDICATES = {
    "odd": lambda state: state["n"] % 2 == 1,
    "negative": lambda state: state["n"] < 0,
    "never reset": lambda state: "reset" not in state,
    "last is even": lambda state: state.get("last", 1) % 2 == 0,
    "zero": lambda state: state["n"] == 0,
    "always": lambda state: True,
    "never": lambda state: False,
}


@pytest.fixture(scope="module")
def con():
    return connect()


def raises_or(predicate: Any, value: Any) -> bool:
    try:
        return bool(predicate(value))
    except Exception:  # noqa: BLE001 (an invariant that raises does not hold)
        return False


def walked(judged: list[tuple[Any, bool]]) -> dict[str, Any] | None:
    """What is known of a stream by looking at each judged step."""
    flags = [bad for _, bad in judged]
    if True not in flags:
        return None
    first = flags.index(True)
    good = next((step for step, bad in judged[first:] if not bad), None)
    return {
        "version": judged[first][0].row.version,
        "position": judged[first][0].row.position,
        "before": judged[first][0].before,
        "after": judged[first][0].value,
        "recovered_version": good and good.row.version,
        "bad_at_end": flags[-1],
        "times": sum(key for key, _ in itertools.groupby(flags)),
    }


@given(data=st.data(), layout=LAYOUTS, forks=FORKS, which=st.sampled_from(sorted(PREDICATES)), one=st.booleans())
def test_first_bad_is_that_of_a_walk_through_every_version(con, data, layout, forks, which, one):
    rows = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(rows))
    rules = data.draw(strategies.aggregates())
    coordinate = data.draw(strategies.coordinates(rows))
    asked: Any = which if not rules.invariants else data.draw(st.sampled_from((which, *rules.invariants)))
    streams = oracle.streams(rows)
    stream_id = data.draw(st.sampled_from(sorted(streams))) if one else None
    expected = {}
    for name in [stream_id] if stream_id is not None else oracle.covered(rows, rules):
        every = oracle.fold(oracle.up_to(streams[name], **coordinate), rules, forks=forks)[1]
        if asked in PREDICATES:
            judged = [(step, bool(PREDICATES[asked](step.value))) for step in every]
        else:
            commits = [meaning(step.row, facts, "commit_id") for step in every] + [None]
            judged = [
                (step, not raises_or(rules.invariants[asked], step.value))
                for step, commit, following in zip(every, commits, commits[1:], strict=False)
                if commit is None or commit != following
            ]
        found = walked(judged)
        if found is not None:
            expected[name] = found
    events = events_of(rows, facts, con=con, layout=layout)
    predicate = PREDICATES.get(asked, asked)
    frame = first_bad(events, with_type(rules), predicate, stream_id, at(**coordinate), forks=forks)
    assert {
        row["stream_id"]: {
            name: None if name == "recovered_version" and pd.isna(row[name]) else row[name]
            for name in (
                "version",
                "position",
                "before",
                "after",
                "recovered_version",
                "bad_at_end",
                "times",
            )
        }
        for row in frame.to_dict("records")
    } == expected
    for row in frame.to_dict("records"):
        stream = streams[row["stream_id"]]
        so_far = [each for each in oracle.up_to(stream, **coordinate) if each.version <= row["version"]]
        assert (row["trust"] == "complete") == (oracle.trust(stream, so_far, rules, facts, forks=forks) == ())


def counter() -> Aggregate:
    item = Aggregate("Counter", initial={"n": 0}, streams="*")
    item.on("Added")(lambda state, event: {"n": state["n"] + event.data["n"]})
    item.invariant("never negative")(lambda state: state["n"] >= 0)
    return item


def log(con, *numbers: int):
    rows = [
        Row(place, "a", place, "Added", f'{{"n":{n}}}', event_id=f"e{place}", recorded_at=NOON + timedelta(days=place))
        for place, n in enumerate(numbers, 1)
    ]
    return events_of(rows, Facts(base=1), con=con)


def test_answer_names_the_event_and_when_it_was_good_again(con):
    (row,) = first_bad(log(con, 1, -2, -1, 5, -9), counter(), "never negative").to_dict("records")
    assert row == {
        "stream_id": "a",
        "version": 2,
        "position": 2,
        "event_id": "e2",
        "event_type": "Added",
        "recorded_at": pd.Timestamp(NOON + timedelta(days=2)),
        "before": {"n": 1},
        "after": {"n": -1},
        "recovered_version": 4,
        "recovered_at": pd.Timestamp(NOON + timedelta(days=4)),
        "bad_at_end": True,
        "times": 2,
        "trust": "complete",
    }


def test_one_bad_version_among_many_is_found_where_halving_would_miss_it(con):
    numbers = [1] * 999
    numbers[500], numbers[501] = -10_000, 10_000
    frame = first_bad(log(con, *numbers), counter(), lambda state: state["n"] < 0)
    assert frame["version"].tolist() == [501]
    assert frame["times"].tolist() == [1]
    assert not frame["bad_at_end"].any()


def test_initial_state_does_not_count_but_the_state_after_an_event_that_changes_nothing_does(con):
    events = events_of([Row(1, "a", 1, "Noted"), Row(2, "a", 2, "Added", '{"n":1}')], Facts(base=1), con=con)
    frame = first_bad(events, counter(), lambda state: state["n"] == 0)
    assert frame[["version", "recovered_version"]].values.tolist() == [[1, 2]]
    assert first_bad(events.at(at(version=0)), counter(), lambda state: True).empty


def test_never_bad_is_an_empty_frame_with_all_columns(con):
    frame = first_bad(log(con, 1), counter(), "never negative")
    assert frame.empty
    assert {"stream_id", "version", "before", "recovered_version", "trust"} <= set(frame.columns)


def test_predicate_that_raises_names_the_event(con):
    def wrong(state):
        return state["m"]

    for stream in ("a", None):
        with pytest.raises(AggregateError, match=r"KeyError: 'm' at version 1 of 'a' \('Added' at position 1\)"):
            first_bad(log(con, 1), counter(), wrong, stream)
    with pytest.raises(AggregateError, match="ValueError"):
        first_bad(log(con, 1), counter(), lambda state: pd.Series([1, 2]))


def test_predicate_that_cannot_judge_a_state_is_refused(con):
    async def later(state):
        return True

    wrong: list[tuple[Any, str]] = [(later, "coroutine"), (lambda: True, r"it must take \(state\)"), (7, "not 7")]
    for predicate, message in wrong:
        with pytest.raises(AggregateError, match=message):
            first_bad(log(con, 1), counter(), predicate)


def test_unknown_invariant_gets_the_nearest(con):
    with pytest.raises(AggregateError, match=r'no invariant "never negativ".*Did you mean "never negative"'):
        first_bad(log(con, 1), counter(), "never negativ")
    with pytest.raises(AggregateError, match="nor any other"):
        first_bad(log(con, 1), Aggregate("X", streams="*"), "good")


def test_unknown_stream_and_forks_are_refused(con):
    with pytest.raises(UnknownStream):
        first_bad(log(con, 1), counter(), "never negative", "b")
    with pytest.raises(BadCoordinate, match="forks="):
        first_bad(log(con, 1), counter(), "never negative", forks="last")


def test_projection_is_asked_in_sql_with_the_same_answer(con):
    data = ('{"n":3}', '{"n":-5}', '{"n":9}', '{"n":null}', '{"n":-9}', "{}")
    rows = [Row(n, f"s-{n % 7}", n, "Added", data[n % 5 if n % 7 else n % 6]) for n in range(1, 100)]
    events = events_of(rows, Facts(base=1), con=con)
    columns = {"n": es.total({"Added": es.field("/n")}), "m": es.expr("n * 2")}
    stock = es.Projection("Stock", columns, streams="*", invariants={"never negative": "n >= 0"})
    plain = Aggregate("Stock", initial=stock.initial, streams="*")
    plain.on("Added")(stock.handlers["Added"])
    plain.invariant("never negative")(stock.invariants["never negative"])
    expected = first_bad(events, plain, lambda state: state["n"] < 0)
    assert len(expected) > 2
    for predicate in ("never negative", "n < 0", "m < 0 -- twice", lambda state: state["n"] < 0):
        pd.testing.assert_frame_equal(first_bad(events, stock, predicate), expected)
        pd.testing.assert_frame_equal(
            first_bad(events, stock, predicate, "s-1"),
            expected[expected["stream_id"] == "s-1"].reset_index(drop=True),
        )
    assert first_bad(events, stock, "null").empty
    assert first_bad(events, stock, "cast('x' as integer) = n")["version"].min() == 1
    with pytest.raises(AggregateError, match='no column "nn" for "nn < 0"'):
        first_bad(events, stock, "nn < 0")
    # In brackets it would parse, and ask something else.
    with pytest.raises(AggregateError, match="does not parse"):
        first_bad(events, stock, "n < 0) or (true")
    with pytest.raises(AggregateError, match=r'does not parse.*Did you mean "never negative"'):
        first_bad(events, stock, "never negativ")


def test_workers_find_the_same(con):
    rows = [Row(n, f"s-{n % 7}", n, "Added", f'{{"n":{n % 5 - 2}}}') for n in range(1, 100)]
    events = events_of(rows, Facts(base=1), con=con)
    with ThreadPoolExecutor(2) as executor:
        found = first_bad(events, counter(), "never negative", executor=executor)
    pd.testing.assert_frame_equal(found, first_bad(events, counter(), "never negative"))

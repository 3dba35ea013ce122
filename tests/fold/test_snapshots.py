"""Snapshots: results with them are results without, whatever happened to the log or to the aggregate in between."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import FunctionType, ModuleType
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.fold import plain, snapshots
from esbench.fold.changes import same
from esbench.fold.fingerprint import fingerprint
from esbench.fold.single import whole

TYPES = ("Added", "Taken", "Noted")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots after every third event, in streams of three and more."""
    monkeypatch.setattr(snapshots.Shelf.fold, "__kwdefaults__", {"every": 3, "least": 3})


def rows(count: int, *, start: int = 1, stream: str = "a", position: int = 1) -> dict[str, list[Any]]:
    numbers = range(start, start + count)
    return {
        "stream_id": [stream] * count,
        "version": list(numbers),
        "position": list(range(position, position + count)),
        "event_type": [TYPES[number % 3] for number in numbers],
        "event_id": [f"{stream}-{number}" for number in numbers],
        "recorded_at": [datetime.fromtimestamp(1_700_000_000 + number, UTC) for number in numbers],
        "data": [f'{{"n": {number}}}' for number in numbers],
    }


def load(bench: es.Bench, rows: dict[str, list[Any]], **options: Any) -> es.Log:
    return bench.load(pd.DataFrame(rows), "log", **options)


def counter(rate: int = 1, *, revision: str | None = None, limit: int = 10**9, initial: Any = 0) -> es.Aggregate:
    aggregate = es.Aggregate("Counter", initial={"n": initial, "seen": []}, streams="*", revision=revision)

    @aggregate.on("Added")
    def add(state, event):
        state["seen"].append(event.version)
        return {**state, "n": state["n"] + rate * event.data["n"]}

    @aggregate.on("Taken")
    def take(state, event):
        return {**state, "n": state["n"] - event.data["n"], "when": event.recorded_at}

    @aggregate.invariant("small")
    def small(state):
        return state["n"] < limit

    return aggregate


def plainly(log: es.Log, aggregate: es.Aggregate, stream: str = "a", **where: Any) -> es.State:
    """The state without any snapshot."""
    return travel.state(log.source, aggregate, stream, es.at(**where))


@given(data=st.data())
@settings(max_examples=60)
def test_results_with_snapshots_are_results_without(data, tmp_path_factory):
    with es.open() as bench:
        parts = st.tuples(
            st.integers(1, 3),  # streams
            st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 25), st.booleans()), min_size=1, max_size=30),
        )
        rates = st.sampled_from([(1, None), (2, None), (1, "one"), (2, "one"), (2, "two")])
        count, _ = data.draw(parts)
        log, position = None, 0
        for _ in range(data.draw(st.integers(1, 4))):
            batch: dict[str, list[Any]] = {}
            for number in range(count):
                # Mostly the next versions, sometimes late, repeated or with a gap.
                start = data.draw(st.sampled_from((1, position // count + 1, 3, 0)))
                more = rows(data.draw(st.integers(1, 9)), start=start, stream=f"s{number}", position=position + 1)
                position += len(more["version"])
                batch = {name: [*batch.get(name, []), *more[name]] for name in more}
            log = load(bench, batch, append=log is not None)
            for _ in range(data.draw(st.integers(1, 6))):
                rate, revision = data.draw(rates)
                aggregate = counter(rate, revision=revision, limit=data.draw(st.sampled_from((10, 10**9))))
                stream = f"s{data.draw(st.integers(0, count - 1))}"
                where = data.draw(
                    st.sampled_from(("version", "position", "as_of", "none")).flatmap(
                        lambda kind: st.integers(0, 30).map(
                            lambda n: {
                                "version": {"version": n},
                                "position": {"position": n},
                                "as_of": {"as_of": datetime.fromtimestamp(1_700_000_000 + n, UTC)},
                                "none": {},
                            }[kind]
                        )
                    )
                )
                match data.draw(st.sampled_from(("look", "look", "look", "make", "drop"))):
                    case "make":
                        log.snapshot(aggregate, every=data.draw(st.integers(1, 5)))
                    case "drop":
                        bench.snapshots.drop(stream=data.draw(st.sampled_from((stream, None))))
                found, expected = log.state(aggregate, stream, **where), plainly(log, aggregate, stream, **where)
                assert found == expected
                assert same(found.value, expected.value)


def handled(aggregate: es.Aggregate, log: es.Log, **where: Any) -> list[int]:
    """The versions of the events whose data was read for a state."""
    seen: set[int] = set()
    read = es.Event.data.fget  # type: ignore[attr-defined]

    def noted(event):
        seen.add(event.version)
        return read(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(es.Event, "data", property(noted))
        log.state(aggregate, "a", **where)
    return sorted(seen)


def test_fold_goes_on_from_the_nearest_snapshot():
    with es.open() as bench:
        log = load(bench, rows(12))
        assert handled(counter(), log) == [1, 3, 4, 6, 7, 9, 10, 12]
        assert bench.snapshots.df()["version"].tolist() == [3, 6, 9, 12]
        # Another aggregate of the same definition, as when a cell is run again.
        assert handled(counter(), log, version=7) == [7]
        assert handled(counter(), log, position=8) == [7]
        assert handled(counter(), log, as_of="2023-11-14T22:13:31Z") == [10]
        assert handled(counter(2), log, version=7) == [1, 3, 4, 6, 7]
        load(bench, rows(2, start=13, position=13), append=True)
        assert handled(counter(), bench["log"]) == [13]


def test_streams_without_event_ids_have_snapshots_too():
    for ids in ([None] * 12, ["a-1", "a-2", None, None, "a-5", None, None, "a-8", "a-9", "a-10", None, "a-12"]):
        with es.open() as bench:
            log = load(bench, rows(12) | {"event_id": ids})
            assert handled(counter(), log) == [1, 3, 4, 6, 7, 9, 10, 12]
            assert bench.snapshots.df()["version"].tolist() == [3, 6, 9, 12]
            assert handled(counter(), log, version=7) == [7]


def test_late_event_leaves_snapshots_above_it_unused():
    with es.open() as bench:
        log = load(bench, rows(9, start=2))
        log.state(counter(), "a")
        assert bench.snapshots.df()["version"].tolist() == [4, 7, 10]
        load(bench, rows(1, start=1, position=10), append=True)
        assert handled(counter(), bench["log"]) == [1, 3, 4, 6, 7, 9, 10]
        assert bench["log"].state(counter(), "a") == plainly(bench["log"], counter())


def test_stream_without_its_head_has_no_snapshot():
    with es.open() as bench:
        load(bench, rows(9, start=2), base=1).state(counter(), "a")
        assert not len(bench.snapshots)


def test_state_from_a_snapshot_is_a_copy():
    with es.open() as bench:
        log = load(bench, rows(9))
        for _ in range(3):
            state = log.state(counter(), "a")
            assert state.value["seen"] == [3, 6, 9]
            state.value["seen"].append("changed")


def test_log_loaded_anew_under_a_name_has_no_old_snapshots():
    with es.open() as bench:
        load(bench, rows(9)).state(counter(), "a")
        bench.drop("log")
        assert not len(bench.snapshots)
        log = load(bench, rows(9) | {"data": ['{"n": 100}'] * 9})
        assert log.state(counter(), "a") == plainly(log, counter())


def test_snapshots_with_a_revision_are_saved_and_read_by_the_next_process(tmp_path):
    with es.open(tmp_path / "b.duckdb") as bench:
        load(bench, rows(12)).snapshot(counter(revision="one"), every=5)
        assert bench.snapshots.df()[["version", "saved"]].values.tolist() == [[5, True], [10, True]]
    for read_only in (False, True):
        with es.open(tmp_path / "b.duckdb", read_only=read_only) as bench:
            log = bench["log"]
            assert handled(counter(revision="one"), log) == [12]
            assert log.state(counter(revision="one"), "a") == plainly(log, counter())
            assert handled(counter(revision="two"), log)[0] == 1
            assert handled(counter(2, revision="one"), log)[0] == 1, "an edited handler reads no old state"
    with es.open(tmp_path / "b.duckdb") as bench:
        assert bench.snapshots.drop("other") == 0
        assert bench.snapshots.drop(aggregate="Counter") == 2
        assert repr(bench.snapshots) == "no snapshots"
    with es.open(tmp_path / "b.duckdb") as bench:
        assert not len(bench.snapshots)


def test_snapshots_without_a_revision_or_of_other_values_stay_in_memory(tmp_path):
    @dataclass(frozen=True)
    class Account:
        n: int

    account = es.Aggregate("Account", initial=Account(0), streams="*", revision="one")
    account.on("Added")(lambda state, event: Account(state.n + event.data["n"]))
    with es.open(tmp_path / "b.duckdb") as bench:
        log = load(bench, rows(12))
        made = log.snapshot(counter(), every=5)
        assert made["saved"].tolist() == [False, False]
        assert log.snapshot(account, every=5)["saved"].tolist() == [False, False]
        assert log.state(account, "a") == plainly(log, account)
    with es.open(tmp_path / "b.duckdb") as bench:
        assert not len(bench.snapshots)


def test_sentinel_in_a_state_stays_the_same_object():
    nothing = object()
    marked = es.Aggregate("Marked", initial={"last": nothing}, streams="*", revision="one")
    marked.on(*TYPES)(lambda state, event: {"last": nothing, "is": state["last"] is nothing})
    with es.open() as bench:
        log = load(bench, rows(9))
        log.snapshot(marked, every=2)
        assert log.state(marked, "a", version=7).value["is"] is True
        assert not len(bench.snapshots)


def test_stream_with_a_failing_handler_has_no_snapshot():
    failing = es.Aggregate("Failing", initial=0, streams="*")

    @failing.on("Added")
    def add(state, event):
        if event.version == 4:
            raise ValueError
        return state + event.version

    with es.open() as bench:
        log = load(bench, rows(9) | {"event_type": ["Added"] * 9})
        assert log.state(failing, "a").value == plainly(log, failing).value == 45 - 4
        assert not len(bench.snapshots)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(snapshots, "_BYTES", 5_000)
    with es.open() as bench:
        many = [rows(9, stream=f"s{number}", position=1 + 9 * number) for number in range(20)]
        log = load(bench, {name: [one for part in many for one in part[name]] for name in many[0]})
        log.snapshot(counter(), every=3)
        assert 0 < bench.snapshots.df()["bytes"].sum() <= 5_000
        assert bench.snapshots.df()["stream_id"].iloc[-1] == "s19"


def test_every_is_a_number_of_events():
    with es.open() as bench:
        log = load(bench, rows(3))
        for every in (0, "ten", 2.5, True):
            with pytest.raises(es.EsbenchError, match="every= is a number"):
                log.snapshot(counter(), every=every)  # type: ignore[arg-type]


def test_branch_keeps_no_snapshots():
    with es.open() as bench, pytest.raises(es.EsbenchError, match="keeps no snapshots"):
        load(bench, rows(3)).branch("a").snapshot(counter())


# fingerprints

RATE = 2
TABLE = {"a": [1]}


def helper(n: int) -> int:
    return n * RATE


class Config:
    rate = 2

    def of(self, n: int) -> int:
        return n * self.rate


def defined(handler: Callable[..., Any], initial: Any = 0, **options: Any) -> es.Aggregate:
    aggregate = es.Aggregate("A", initial=initial, **options)
    aggregate.on("Added")(handler)
    return aggregate


def calls(state: Any, event: Any) -> Any:
    return state + helper(event.data["n"])


def of_table(state: Any, event: Any) -> Any:
    return state + TABLE["a"][0]


def of_class(state: Any, event: Any) -> Any:
    return Config().of(state)


def changed(function: FunctionType) -> Iterator[Callable[[pytest.MonkeyPatch], None]]:
    yield lambda patch: patch.setitem(globals(), "RATE", 2.0)
    yield lambda patch: patch.setitem(globals(), "helper", lambda n: n + 1)
    yield lambda patch: patch.setitem(TABLE, "a", [2])
    yield lambda patch: patch.setattr(Config, "rate", 3)
    yield lambda patch: patch.setattr(Config, "of", lambda self, n: n)


@pytest.mark.parametrize(
    ("handler", "seen"),
    [(calls, [0, 1]), (of_table, [2]), (of_class, [3, 4])],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_a_handler_names_is_in_its_fingerprint(monkeypatch, handler, seen):
    before = fingerprint(defined(handler))
    assert before is not None
    for number, change in enumerate(changed(handler)):
        with monkeypatch.context() as patch:
            change(patch)
            assert (fingerprint(defined(handler)) != before) == (number in seen), number
    assert fingerprint(defined(handler)) == before


def test_what_a_handler_reaches_by_a_text_has_no_fingerprint(monkeypatch):
    own = ModuleType("own")
    own.rate = 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own", own)
    for handler in (lambda state, event: state + own.rate, lambda state, event: getattr(event, "version")):  # noqa: B009
        before = fingerprint(defined(handler))
        assert before is not None
        with monkeypatch.context() as patch:
            patch.setattr(own, "rate", 2)
            assert (fingerprint(defined(handler)) == before) == ("rate" not in handler.__code__.co_names)
    for handler in (
        lambda state, event: state + getattr(own, "rate"),  # noqa: B009
        lambda state, event: state + sys.modules["own"].rate,
        lambda state, event: state + importlib.import_module("own").rate,
    ):
        assert fingerprint(defined(handler)) is None


def test_defaults_closures_and_partials_are_in_the_fingerprint():
    def closing(over: Any) -> Callable[..., Any]:
        return lambda state, event: state + over

    def with_default(state, event, n=1):
        return state + n

    def with_other(state, event, n=True):
        return state + n

    def three(n, state, event):
        return state + n

    some = [closing(1), closing(True), closing(1.0), closing("1"), closing([1]), closing((1,)), closing({1: None})]
    some += [functools.partial(three, 1), functools.partial(three, 2), with_default, with_other]
    marks = [fingerprint(defined(one)) for one in some]
    assert None not in marks
    assert len(set(marks)) == len(marks)
    assert fingerprint(defined(closing([1]))) == marks[4]
    assert fingerprint(defined(closing(1), initial=1)) != marks[0]


def test_what_may_change_unseen_has_no_fingerprint_without_a_revision():
    class Holder:
        n = 1

    holder = Holder()

    def unseen(state, event):
        return state + holder.n

    def evaluating(state, event):
        return eval("state")  # noqa: S307

    def importing(state, event):
        from tests.fold.handlers import counter

        return counter

    for handler in (unseen, evaluating, importing):
        assert fingerprint(defined(handler)) is None
        assert fingerprint(defined(handler, revision="one")) not in (
            None,
            fingerprint(defined(handler, revision="two")),
        )


# values as text

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.decimals(), st.booleans(), st.none(), st.sampled_from((0.0, -0.0, 2**70))
)
TIMES = st.one_of(
    st.dates(),
    st.timedeltas(),
    st.times().map(lambda one: one.replace(fold=0)),
    st.datetimes().map(lambda one: one.replace(fold=0)),
    st.datetimes(timezones=st.just(UTC)).map(lambda one: one.replace(fold=0)),
)
KEYS = st.one_of(st.text(), st.integers(), st.dates(), st.just("$"), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    st.one_of(NUMBERS, st.text(st.characters()), st.binary(), TIMES, st.sets(st.integers()), st.frozensets(KEYS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_plain_values_come_back_as_they_were(value):
    back = plain.decoded(plain.encoded(value))
    assert same(back, value)
    assert repr(back) == repr(value) or "set" in repr(value) or "{" in repr(value)
    if isinstance(value, dict):
        assert list(back) == list(value)


SHARED: list[int] = []


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": SHARED, "b": SHARED},
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 1, 1, fold=1),  # noqa: DTZ001
        type("Text", (str,), {})("a"),
        nested(500),
        10**5000,
        complex(1, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_have_no_text(value):
    with pytest.raises(plain.NotPlain):
        plain.encoded(value)


def test_text_of_a_snapshot_says_what_it_holds():
    value = {"n": Decimal("1.10"), "on": date(2024, 6, 7), "times": (time(1), 1.5), "$": None}
    assert plain.decoded(plain.encoded(value)) == value
    assert '{"$":["decimal","1.10"]}' in plain.encoded(value)


def test_whole_stream_is_told_from_others():
    with es.open() as bench:
        log = load(bench, rows(9))
        one = whole(log.source.stream("a"), counter(), es.at())
        assert one is not None
        assert one.told([4, 9]) == [one.told([4])[0], one.told([9])[0]]
        assert one.after(4).batches[0].column("version").to_pylist() == [5, 6, 7, 8, 9]

"""Steps on streams: what they refuse, what they leave alone, and several of them together."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import esbench as es
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.steps.closing import close_stream
from esbench.migrate.steps.compacting import compact, truncate
from esbench.migrate.steps.concatenating import concat
from esbench.migrate.steps.rekeying import rekey, rename_stream
from esbench.migrate.steps.renumbering import reissue_ids, renumber, set_stream_type
from esbench.migrate.steps.streams import merge_streams, move_events, split_stream
from esbench.migrate.steps.typed import drop_events
from tests.strategies import HOSTILE


def log_of(bench: es.Bench, rows: list[tuple[str, int, str]], name: str = "log", **options: Any) -> es.Log:
    """Events of (stream, version, data), recorded in that order."""
    streams, versions, texts = zip(*rows, strict=True)
    columns = {"stream_id": streams, "version": versions, "event_type": "Made", "data": texts}
    return bench.load(pd.DataFrame(columns), name=name, **options)


@pytest.fixture
def bench() -> es.Bench:
    return es.open()


@pytest.fixture
def log(bench: es.Bench) -> es.Log:
    rows = [("a", 1, '{"w": "n"}'), ("b", 1, '{"w": "s"}'), ("a", 2, '{"w": "s"}'), ("a", 4, '{"n": 1.10}')]
    return log_of(bench, rows, base=1)


def migrated(log: es.Log, *steps: Step) -> Result:
    return run(log.source, Migration("test", steps))


def places(result: Result) -> list[tuple[Any, ...]]:
    return result.work.events.rows("select stream_id, version, position from events order by all")


NONE = "there is no such stream"
NOTHING = (
    rename_stream(NONE, "c"),
    rekey({NONE: "c"}),
    rekey(lambda stream_id: None),
    rekey("null"),
    split_stream(NONE, "/w"),
    split_stream("*", "/there/is/no/such/path"),
    split_stream("*", lambda event: None),
    merge_streams([NONE, "nor this"], "c"),
    move_events("NoSuchType", "c"),
    truncate(NONE, keep_last=1),
    truncate("*", before_version=1),
    truncate("*", keep_last=3),
    compact(es.Aggregate("all", streams="*"), event_type="Opened", streams=NONE),
    compact(es.Aggregate("all", streams="*"), event_type="Opened", upto=es.at(version=0)),
    close_stream(NONE, "Closed"),
    renumber(streams=NONE),
)


@pytest.mark.parametrize("step", NOTHING, ids=lambda step: step.sentence)
def test_step_that_matches_nothing_changes_nothing(log, step):
    result = migrated(log, step)
    assert result.work.events.rows("select count(*) from events where steps <> 0 or met <> 0") == [(0,)]
    assert places(result) == [("a", 1, 1), ("a", 2, 3), ("a", 4, 4), ("b", 1, 2)]
    assert result.events.facts == log.facts
    assert result.work.events.ordered
    assert not result.work.added


REFUSED = (
    (lambda: rename_stream("a", ""), "no id for a stream"),
    (lambda: rename_stream("a", "b\0"), "no id for a stream"),
    (lambda: rekey({"a": "x", 1: "y", "1": "z"}), '"1" gets two ids, "y" and "z"'),
    (lambda: rekey(7), "SQL, a function, a dict or a frame"),  # type: ignore[arg-type]
    (lambda: rekey(pd.DataFrame({"old": ["a"]})), "two columns"),
    (lambda: rekey("stream_id", merge="time"), "an order is one of"),  # type: ignore[arg-type]
    (lambda: split_stream("*", "/w", name="north"), "{value}"),
    (lambda: split_stream("*", 7), "a path, SQL or a function"),  # type: ignore[arg-type]
    (lambda: split_stream("*", "/w~"), "~0"),
    (lambda: merge_streams([], "c"), "list of streams is empty"),
    (lambda: merge_streams("*", "c", order="version"), "an order is one of"),  # type: ignore[arg-type]
    (lambda: move_events(None, "c"), "would move every event"),
    (lambda: truncate("*"), "give one of"),
    (lambda: truncate("*", keep_last=0), "1 or more"),
    (lambda: truncate("*", before_version="3"), "is an integer"),  # type: ignore[arg-type]
    (lambda: renumber(base=2), "base is 0 or 1"),
    (lambda: compact(es.Aggregate("a"), event_type=""), "named by a text"),
    (lambda: compact(es.Aggregate("a"), event_type="Opened", upto=3), "is a coordinate"),  # type: ignore[arg-type]
    (lambda: close_stream("*", "Closed", [1], redirect="x"), "no redirect of its own"),
    (lambda: close_stream("*", "Closed", {"redirect": 1}, redirect="x"), "no redirect of its own"),
    (lambda: concat("orders"), "takes a log or events"),
    (lambda: set_stream_type(""), "a text or None"),
    (lambda: reissue_ids(salt=b"x"), "a text"),  # type: ignore[arg-type]
)


@pytest.mark.parametrize(("make", "why"), REFUSED)
def test_step_that_cannot_be_meant_is_refused_when_it_is_made(make, why):
    with pytest.raises((MigrationError, es.EsbenchError), match=re.escape(why)):
        make()


def test_id_that_another_stream_has_is_refused_by_name(log):
    with pytest.raises(MigrationError, match=r'"b" would hold events of "a" and "b": merge_streams\(\)'):
        migrated(log, rename_stream("a", "b"))
    with pytest.raises(MigrationError, match=r"rekey\(merge=…\)"):
        migrated(log, rekey("'c'"))
    with pytest.raises(MigrationError, match=r"split_stream\(merge=…\)"):
        migrated(log, split_stream("*", "/w", name="{value}"))


def test_id_of_a_stream_without_events_is_free(log):
    result = migrated(log, drop_events(streams="b"), rename_stream("a", "b"))
    assert places(result) == [("b", 1, 1), ("b", 2, 3), ("b", 4, 4)]
    assert result.events.stream("b").rows("select count(*) from events") == [(3,)]


def test_streams_may_swap_their_ids(log):
    assert places(migrated(log, rekey({"a": "b", "b": "a"}))) == [("a", 1, 2), ("b", 1, 1), ("b", 2, 3), ("b", 4, 4)]


def test_sql_that_gives_a_stream_two_ids_is_refused_by_name(log):
    with pytest.raises(MigrationError, match=r'the stream "a" gets several ids, "x1" and "x4": split_stream'):
        migrated(log, rekey("'x' || version"))


def test_many_streams_are_renamed_like_few(bench):
    many = log_of(bench, [(f"s-{number}", 1, "{}") for number in range(200)])
    result = migrated(many, rekey("upper(stream_id)"))
    assert {row[0] for row in places(result)} == {f"S-{number}" for number in range(200)}
    assert result.events.stream("S-7").rows("select count(*) from events") == [(1,)]


def test_many_truncated_streams_are_declared_by_their_pattern(bench):
    rows = [(f"s-{number}", version, "{}") for number in range(1_001) for version in (1, 2)]
    result = migrated(log_of(bench, [*rows, ("t", 1, "{}")]), truncate("s-*", keep_last=1))
    assert result.events.facts.truncated == ("s-*",)


def test_truncated_stream_whose_id_is_a_pattern_declares_no_other(bench):
    result = migrated(log_of(bench, [("*", 1, "{}"), ("*", 2, "{}"), ("b", 2, "{}")]), truncate("[*]", keep_last=1))
    assert result.events.facts.is_truncated("*")
    assert not result.events.facts.is_truncated("b")


def test_hostile_values_make_ids_as_they_are(bench):
    rows = [("{value}{stream}", number, es.payload.encode({"w": text})) for number, text in enumerate(HOSTILE, start=1)]
    result = migrated(log_of(bench, rows), split_stream("*", "/w", name="{stream}'{value}{x}$1"))
    assert {row[0] for row in places(result)} == {f"{{value}}{{stream}}'{text}{{x}}$1" for text in HOSTILE}


def test_function_that_raises_leaves_its_events_marked_where_they_were(log):
    def by(event: es.Event) -> str:
        return str(event.data["w"])

    result = migrated(log, split_stream("a", by), renumber())
    rows = result.work.events.rows("select stream_id, version, position, failed, failure from events order by position")
    assert rows == [
        ("a-n", 1, 1, None, None),
        ("b", 1, 2, None, None),
        ("a-s", 1, 3, None, None),
        ("a", 1, 4, 0, "KeyError: 'w'"),
    ]


@pytest.mark.parametrize("given", [True, 1.5, ["x"], "a\0b", "\ud800"])
def test_value_that_cannot_be_a_part_of_an_id_is_a_failure(log, given):
    result = migrated(log, rekey(lambda stream_id: given))
    assert result.work.events.rows("select count(*) from events where failed = 0 and failure like 'gave %'") == [(4,)]
    assert places(result) == places(migrated(log))


def test_stream_whose_state_cannot_be_folded_is_not_compacted(log):
    counting = es.Aggregate("all", initial=0, streams="*")

    @counting.on("Made")
    def made(state, event):
        return state + len(event.data["w"])

    result = migrated(log, compact(counting, event_type="Opened"))
    rows = result.work.events.rows("select stream_id, version, data::varchar, failure from events order by position")
    assert [row[:3] for row in rows] == [
        ("a", 1, '{"w": "n"}'),
        ("b", 1, "1"),
        ("a", 2, '{"w": "s"}'),
        ("a", 4, '{"n": 1.10}'),
    ]
    assert all("version 4: KeyError" in row[3] for row in rows if row[0] == "a")


def test_projection_compacts_as_its_handlers_would(log):
    counting = es.Projection("all", {"n": es.count("Made")}, streams="*")
    step = compact(counting, event_type="Opened", upto=es.at(version=2))
    assert step.form == "SQL"
    rows = migrated(log, step).work.events.rows("select stream_id, version, data::varchar from events order by all")
    # The gap behind what was compacted is still there.
    assert rows == [("a", 1, '{"n":2}'), ("a", 3, '{"n": 1.10}'), ("b", 1, '{"n":1}')]


def test_log_of_another_bench_is_refused(log):
    other = log_of(es.open(), [("z", 1, "{}")], name="elsewhere")
    with pytest.raises(MigrationError, match="lies in another bench"):
        migrated(log, concat(other))


def test_several_logs_are_concatenated_in_order(bench, log):
    north = log_of(bench, [("n", 0, "{}"), ("a", 0, "{}")], name="north", base=0, truncated=["n*"])
    south = log_of(bench, [("a", 1, "{}")], name="south", base=1)
    result = migrated(log, concat(north, prefix="north/"), concat(south, merge="one after another"))
    rows = result.work.events.rows("select source, origin, stream_id, version, position from events order by position")
    assert rows == [
        (0, 1, "a", 1, 1),
        (0, 2, "b", 1, 2),
        (0, 3, "a", 2, 3),
        (0, 4, "a", 3, 4),
        (1, 1, "north/n", 0, 5),
        (1, 2, "north/a", 0, 6),
        (2, 1, "a", 4, 7),
    ]
    assert [name for name, _ in result.work.joined] == ["north", "south"]
    facts = result.events.facts
    assert facts.base is None
    assert facts.is_truncated("north/n")
    assert not facts.is_truncated("n")


def test_slices_that_bind_the_same_names_are_concatenated(bench, log):
    both = log_of(bench, [("c", 1, "{}"), ("d", 2, "{}")], name="other")
    step = concat(both.source.at(es.at(version=1)))
    result = run(log.source.at(es.at(version=2)), Migration("test", [step]))
    assert [row[:2] for row in places(result)] == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_log_whose_metadata_names_things_elsewhere_is_refused(bench, log):
    other = log_of(bench, [("z", 1, "{}")], name="other", keys={"causation_id": "/causedBy"})
    with pytest.raises(MigrationError, match='keeps causation_id at "/causedBy", this log at "/causation_id"'):
        migrated(log, concat(other))


def test_steps_build_upon_each_other(log):
    result = migrated(
        log,
        split_stream("a", "/w"),
        rename_stream("a", "rest"),
        close_stream("a-*", "Closed", redirect="{stream}/2"),
        merge_streams(["a-n", "b"], "b"),
        truncate("a-s", keep_last=1),
        renumber(),
    )
    rows = result.work.events.rows(
        "select stream_id, version, position, event_type, origin, nth, steps from events order by position"
    )
    assert rows == [
        ("b", 1, 1, "Made", 1, 0, 0b001101),
        ("b", 2, 2, "Closed", 1, 1, 0b001101),
        ("b", 3, 3, "Made", 2, 0, 0),
        ("a-s", 1, 4, "Closed", 3, 1, 0b100101),
        ("rest", 1, 5, "Made", 4, 0, 0b000010),
    ]
    assert result.work.events.rows(f"with x as ({result.dropped}) select * from x") == []


def test_stream_recorded_out_of_order_keeps_its_own_order_when_merged(bench):
    # Version 3 of a was recorded before 2, which folds before it.
    log = log_of(bench, [("a", 1, "{}"), ("a", 3, "{}"), ("b", 1, "{}"), ("a", 2, "{}"), ("b", 2, "{}")], base=1)
    rows = migrated(log, merge_streams(["a", "b"], "c")).work.events.rows("select origin from events order by version")
    # Once version 1 is out, the earliest event left is a's version 3; what folds before it goes first.
    assert [origin for (origin,) in rows] == [1, 4, 2, 3, 5]

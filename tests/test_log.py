from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

import esbench as es
from esbench.errors import BenchError, QueryError, UnknownLog
from tests.conftest import ROOT

MARKUP = "<script>alert(1)</script>"
HOSTILE = f'{MARKUP}"&\x1b[2J\u202e'


@pytest.fixture(scope="module")
def stock() -> es.Log:
    return es.open().load(ROOT / "data" / "inventory.jsonl")


def hostile(types: int = 40) -> es.Log:
    rows = pd.DataFrame(
        {
            "stream_id": [f"{HOSTILE}{n}" for n in range(types)],
            "version": 1,
            "event_type": [f"{HOSTILE}{n}" for n in range(types)],
            "stream_type": HOSTILE,
            "data": f'["{MARKUP}"]',
        }
    )
    return es.open().load(rows, name=HOSTILE)


def test_repr_begins_with_name_and_counts(stock):
    assert repr(stock).startswith("Log 'inventory': 456 events, 60 streams, 4 rejects")


def test_repr_says_what_bounds_the_claims(tmp_path):
    path = tmp_path / "plain.jsonl"
    path.write_text('{"stream_id":"a","event_type":"T"}\n')
    log = es.open().load(path)
    assert len(log.facts.notes) >= 1
    assert repr(log).splitlines()[1:] == [f"  {note}" for note in log.facts.notes]
    for note in log.facts.notes:
        assert note.replace('"', "&quot;") in log._repr_html_()


def test_bench_repr_names_its_logs(stock):
    bench = es.open()
    assert repr(bench) == "Bench in memory: no logs"
    one = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["T"]})
    for n in range(12):
        bench.load(one, name=f"log-{n:02}")
    assert repr(bench).startswith("Bench in memory: log-00 (1 event), log-01 (1 event)")
    assert repr(bench).endswith("log-09 (1 event), … 10 of 12 logs")
    assert "Bench in memory: 12 logs" in bench._repr_html_()
    assert "log-11" in bench._repr_html_()


@pytest.mark.parametrize("view", ["log", "bench", "report", "state"])
def test_html_views_escape_everything_and_are_capped(view):
    log = hostile()
    bench = es.open()
    bench.load(log.events().drop(columns="position"), name=HOSTILE)
    aggregate = es.Aggregate("Any", initial={HOSTILE: MARKUP}, streams="*")
    aggregate.invariant(HOSTILE)(lambda state: False)
    shown: Any = {
        "log": log,
        "bench": bench,
        "report": log.check(aggregate),
        "state": log.state(aggregate, f"{HOSTILE}1"),
    }[view]
    page = shown._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("<tr>") <= 21
    if view in ("log", "report"):
        assert re.search("20 of [48]0", page)
    if view in ("log", "bench"):
        assert "\x1b" not in repr(shown)
        assert "\u202e" not in repr(shown)


def test_megabytes_make_no_long_view():
    rows = pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["T" * 1_000_000], "data": ['"x"']})
    log = es.open().load(rows, name="long" * 100_000)
    assert len(log._repr_html_()) < 10_000
    assert len(repr(log)) < 2_000


def test_iteration_gives_events_in_folding_order(stock):
    events = list(stock)
    assert len(events) == len(stock) == 456
    firsts = list(dict.fromkeys(event.stream_id for event in events))
    assert firsts == stock.streams()["stream_id"].tolist()
    for stream in firsts:
        own = [(event.version, event.position) for event in events if event.stream_id == stream]
        assert own == sorted(own)
    assert events[0].recorded_at == datetime(2024, 2, 6, 9, 42, 47, 356000, tzinfo=UTC)
    assert isinstance(events[0].data, dict)


def test_iterations_do_not_disturb_each_other(stock):
    pairs = [(one.position, other.position) for one, other in zip(stock, stock, strict=True)]
    assert all(one == other for one, other in pairs)
    first = next(iter(stock))
    assert stock.sql("select count(*) as n from events")["n"][0] == 456
    assert first.position == 1


def test_relation_has_the_canonical_columns_and_can_be_read_again(stock):
    relation = stock.relation
    assert relation.columns == list(stock.events().columns)
    assert relation.aggregate("count(*) as n").fetchall() == relation.aggregate("count(*) as n").fetchall() == [(456,)]


def test_sql_binds_what_it_is_given(stock):
    text = "select count(*) as n from events where stream_id = $stream and version <= $n"
    assert stock.sql(text, stream="item-123", n=3)["n"].tolist() == [4]
    assert stock.sql(text, stream="' or true --", n=3)["n"].tolist() == [0]


def test_sql_keeps_numbers_exact_and_columns_apart(stock):
    found = stock.sql(
        """
        select 9007199254740993 as n, null::bigint as x, 1.10 as d, sum(4611686018427387904::hugeint) as s, 1 as n
        from events
        """
    )
    assert found.columns.tolist() == ["n", "x", "d", "s", "n_1"]
    assert [str(value) for value in found.iloc[0]] == ["9007199254740993", "<NA>", "1.10", str(456 * 2**62), "1"]


def test_sql_that_is_wrong_names_the_place(stock):
    with pytest.raises(es.EsbenchError, match="versio"):
        stock.sql("select versio from events")


def test_rejects_are_those_of_this_log():
    bench = es.open()
    stock = bench.load(ROOT / "data" / "inventory.jsonl")
    clean = bench.load(ROOT / "data" / "shipments.jsonl")
    assert stock.rejects["line"].tolist() == [103, 201, 366, 460]
    assert clean.rejects.empty
    assert bench.rejects["log"].unique().tolist() == ["inventory"]


def test_verbs_take_one_coordinate_and_say_so_when_given_two(stock):
    aggregate = es.Aggregate("InventoryItem", initial={})
    for verb in (stock.state, stock.history, stock.blame):
        with pytest.raises(es.EsbenchError, match="one coordinate at a time"):
            verb(aggregate, "item-123", version=1, position=2)
    for verb in (stock.states, stock.events):
        with pytest.raises(es.EsbenchError, match="one coordinate at a time"):
            verb(*([aggregate] if verb == stock.states else []), version=1, as_of="2024-01-01")


def test_unknown_names_come_with_the_nearest(stock):
    with pytest.raises(KeyError, match=r'no stream "item-12x"\. Did you mean "item-1'):
        stock.events("item-12x")
    bench = es.open()
    bench.load(ROOT / "data" / "inventory.jsonl")
    with pytest.raises(KeyError, match=r'no log "inventry" in the bench\. Did you mean "inventory"'):
        bench["inventry"]


def test_csv_file_is_no_bench(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("stream_id,version,event_type\na,1,T\n")
    for read_only in (False, True):
        with pytest.raises(es.EsbenchError, match="no DuckDB file"):
            es.open(path, read_only=read_only)
    assert path.read_text().startswith("stream_id")


@pytest.mark.parametrize(
    "text",
    [
        "select 1; drop table log.things",
        "select 1; select 2",
        "insert into log.things select * from events",
        "delete from log.things",
        "",
    ],
)
def test_sql_only_reads_one_query(text):
    bench = es.open()
    log = bench.load(pd.DataFrame({"stream_id": ["a"], "version": [1], "event_type": ["Made"]}), "things")
    with pytest.raises(QueryError):
        log.sql(text)
    assert len(bench["things"]) == 1
    assert log.sql("select count(*) as n from events;")["n"].tolist() == [1]


def test_a_log_that_was_dropped_says_so_and_wrong_sql_still_says_what_is_wrong(tmp_path):
    bench = es.open(tmp_path / "shop.duckdb")
    log = bench.load(ROOT / "data" / "inventory.jsonl")
    narrowed, branch = log.source.where("version > 1"), log.branch("item-123").drop(2)
    with pytest.raises(QueryError, match="inventory does not exist"):
        log.sql("select * from inventory")
    bench.drop("inventory")
    for asked in (
        log.types,
        lambda: log.events("item-123"),
        lambda: log.find_streams("item"),
        lambda: log.state(es.Aggregate("InventoryItem"), "item-123"),
        lambda: narrowed.relation(),
        lambda: branch.source.rows("select 1 from events"),
        lambda: list(log),
    ):
        with pytest.raises(UnknownLog, match='the log "inventory" is no longer in the bench'):
            asked()
    bench.close()
    for asked in (log.types, lambda: log.find_streams("item"), lambda: narrowed.relation()):
        with pytest.raises(BenchError, match="closed; open it again"):
            asked()

"""Events: the value that every verb takes reads exactly, in folding order, and from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import duckdb
import pandas as pd
import pytest

from esbench.errors import QueryError, UnknownStream
from esbench.event import Event, at
from esbench.events import Events

ROWS = """
    (1, 1, 'a', 1, 'Made', timestamptz '2024-01-01T10:00Z', '{"n":1.10}'),
    (2, 2, 'b', 1, 'Made', timestamptz '2024-01-01T11:00Z', null),
    (1, 5, 'a', 2, 'Sold', timestamptz '2024-01-01T09:00Z', '1e400'),
    (1, 4, 'a', 2, 'Sold', null, '{}'),
    (2, 3, 'b', 0, 'Sent', timestamptz '2024-01-01T12:00Z', '{}')
"""


@pytest.fixture
def con():
    with duckdb.connect() as opened:
        opened.execute("set global TimeZone = 'UTC'")
        opened.execute(
            f"""
            create table log as
            select
                stream_key::bigint as stream_key, position::bigint as position, stream_id, null::varchar as stream_type,
                version::bigint as version, null::varchar as event_id, event_type, null::bigint as schema_version,
                recorded_at, null::timestamptz as occurred_at, null::varchar as source_position, data::json as data,
                null::json as metadata
            from (values {ROWS}) as t(stream_key, position, stream_id, version, event_type, recorded_at, data)
            """
        )
        yield opened


@pytest.fixture
def events(con):
    return Events(con, "select * from log")


def positions(found: Events) -> list[int]:
    return [event.position for event in found]


def test_events_come_in_folding_order(events, con):
    assert positions(events) == [1, 4, 5, 3, 2]
    ordered = Events(con, "select * from log order by stream_key, version, position", ordered=True)
    assert list(ordered) == list(events)


def test_an_event_has_what_its_row_has(events):
    first = next(iter(events))
    assert first == Event(1, "a", 1, "Made", '{"n":1.10}', recorded_at=first.recorded_at)
    assert first.recorded_at is not None
    assert first.recorded_at.isoformat() == "2024-01-01T10:00:00+00:00"
    assert [event.data_text for event in events][2] == "1e400"


def test_a_coordinate_is_inclusive_and_none_is_the_end(events):
    assert positions(events.at(at(version=1))) == [1, 3, 2]
    assert positions(events.at(at(position=3))) == [1, 3, 2]
    assert positions(events.at(at(as_of="2024-01-01T11:00Z"))) == [1, 5, 2]
    assert positions(events.at(at())) == [1, 4, 5, 3, 2]
    assert positions(events.at(at(version=-1))) == []


def test_slices_are_events_and_combine(events):
    found = events.stream("a").at(at(position=4)).where("event_type = $kind", kind="Sold").at(at(version=2))
    assert positions(found) == [4]
    assert found.facts is events.facts


def test_a_stream_that_is_not_there_is_answered_with_the_nearest(events, con):
    con.execute("update log set stream_id = 'item-' || stream_id")
    for found in (events, replace(events, streams="select distinct stream_key, stream_id from log")):
        assert len(list(found.stream("item-a"))) == 3
        with pytest.raises(UnknownStream, match=r'no stream "item-x"\. Did you mean "item-'):
            found.stream("item-x")


def test_hostile_ids_are_bound(events):
    for hostile in ("'; drop table log; --", 'a"', "$1", "", "a\0b"):
        with pytest.raises(UnknownStream):
            events.stream(hostile)
    assert len(list(events)) == 5


def test_sql_over_events_may_begin_with_its_own_tables(events):
    assert events.rows("with e as (select * from events) select count(*) from e") == [(5,)]
    assert events.rows("\n WITH\te as (select * from events) select count(*) from e") == [(5,)]
    assert events.rows("from events select count(*)") == [(5,)]


def test_parameters_of_a_slice_and_of_a_query_do_not_meet(events):
    found = events.at(at(version=1)).rows("select count(*) from events where stream_id = $id", id="b")
    assert found == [(2,)]


def test_wrong_sql_is_a_query_error_that_keeps_what_the_engine_says(events):
    for read in (events.df, events.rows, events.arrow, events.relation):
        with pytest.raises(QueryError, match='"nope"'):
            read("select nope from events")


def test_numbers_stay_exact_in_frames(events):
    frame = events.df(
        "select sum(position) as total, 1.10::decimal(38, 2) as price, (2**62)::bigint as big, "
        "case when version = 1 then version end as n from events group by version order by version"
    )
    assert frame["total"].tolist() == [3, 3, 9]
    assert frame["price"].tolist() == [Decimal("1.10")] * 3
    assert frame["big"].tolist() == [2**62] * 3
    assert frame["n"].tolist() == [pd.NA, 1, pd.NA]
    assert frame["n"].dtype == "Int64"


def test_batches_have_only_what_was_asked_for(events):
    batches = list(events.batches(["version + 1 as next", "stream_id"], where="stream_id = $s", rows=2_048, s="b"))
    assert [batch.to_pydict() for batch in batches] == [{"next": [1, 2], "stream_id": ["b", "b"]}]


def test_a_reading_that_is_left_alone_blocks_no_other(events):
    reading = iter(events)
    next(reading)
    assert len(list(events)) == 5
    assert len(list(reading)) == 4


def test_several_threads_read_at_once(events):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: positions(events.stream("a")), range(40)))
    assert found == [[1, 4, 5]] * 40


def test_a_relation_is_read_anew_each_time(events, con):
    relation = events.relation("select count(*) as n from events")
    assert relation.fetchall() == [(5,)]
    con.execute("delete from log where position = 1")
    assert relation.fetchall() == [(4,)]

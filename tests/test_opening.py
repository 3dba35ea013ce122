"""Opening events: a table of current state becomes a log whose fold is that table again."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import SourceError
from esbench.opening import from_state

ROWS = st.tuples(
    st.none() | st.integers(-(10**37), 10**37),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**20), max_value=10**20),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.none() | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3),
)


@settings(max_examples=20)
@given(st.lists(ROWS, min_size=1, max_size=8))
def test_the_fold_gives_the_table_back(rows):
    whole, decimals, texts, lists = zip(*rows, strict=True)
    table = pa.table(
        {
            "id": range(len(rows)),
            "whole": pa.array([None if n is None else Decimal(n) for n in whole], pa.decimal128(38)),
            "decimal": pa.array(decimals, pa.decimal128(38, 5)),
            'odd "name"': pa.array(texts, pa.string()),
            "nested": pa.array([{"list": each} for each in lists], pa.struct([("list", pa.list_(pa.int64()))])),
        }
    )
    aggregate = es.Aggregate("Row", initial=[], streams="*")
    aggregate.on("Imported")(lambda state, event: [*state, json.loads(event.data_text, parse_float=Decimal)])
    with es.open() as bench:
        log = bench.load(from_state(table, key="id", event_type="Imported"), "log", strict=True)
        states = log.states(aggregate)
        found = {int(stream): value for stream, value in zip(states["stream_id"], states["state"], strict=True)}
    assert found == {row.pop("id"): [row] for row in table.to_pylist()}


def test_what_the_engine_holds_comes_out_exactly():
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'Asia/Tokyo'")
        table = con.sql(
            """
            select 7 as id, 1.10::decimal(10, 2) as price, 170141183460469231731687303715884105727::hugeint as huge,
                18446744073709551615::ubigint as large, timestamptz '2024-06-07 12:00+02' as at,
                timestamp '2024-06-07 12:00:00.5' as local, timestamp_ns '2024-06-07 12:00:00.123456789' as fine,
                date '2024-06-07' as day, null::int as nothing, true as yes, '{"a": 1.10, "a": 1E2}'::json as raw,
                {'price': 1.10::decimal(5, 2), 'times': [timestamptz '2024-01-01 00:00Z', null]} as nested,
                map {'x': 1.5::double} as map, 'e'::enum ('e', 'f') as kind, [1, 2]::int[2] as pair
            """
        )
        (event,) = from_state(table, key="id", event_type="Imported").to_pylist()
    assert event["data"] == (
        '{"price":1.10,"huge":170141183460469231731687303715884105727,"large":18446744073709551615,'
        '"at":"2024-06-07T10:00:00.000000Z","local":"2024-06-07T12:00:00.500000",'
        '"fine":"2024-06-07T12:00:00.123456789","day":"2024-06-07","nothing":null,"yes":true,'
        '"raw":{"a": 1.10, "a": 1E2},"nested":{"price":1.10,"times":["2024-01-01T00:00:00Z",null]},'
        '"map":{"x":1.5},"kind":"e","pair":[1,2]}'
    )


def test_a_frame_with_objects_and_missing_values():
    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "number": [1.5, np.nan],
            "object": [{"a": np.int64(1), "b": Decimal("1.10")}, None],
            "at": pd.Series([pd.Timestamp("2024-06-07T12:00+02:00"), pd.NaT]),
        }
    )
    made = from_state(frame, key="id", event_type="Imported", recorded_at="at", stream_type="Item", version=0)
    assert made.to_pylist()[0] == {
        "stream_id": "Item-a",
        "stream_type": "Item",
        "version": 0,
        "event_id": made["event_id"][0].as_py(),
        "event_type": "Imported",
        "recorded_at": datetime(2024, 6, 7, 10, tzinfo=UTC),
        "data": '{"number":1.5,"object":{"a":1,"b":1.10}}',
    }
    assert made.to_pylist()[1]["data"] == '{"number":null,"object":null}'
    assert made.to_pylist()[1]["recorded_at"] is None


TABLE = pa.table({"region": ["x", "x", "y"], "id": [1, 2, 1], "name": ["{id}", "b", None]})


def test_streams_are_named_by_the_template():
    made = from_state(TABLE, key=["region", "id"], event_type="T", stream_id="c{region}/{id}!")
    assert made["stream_id"].to_pylist() == ["cx/1!", "cx/2!", "cy/1!"]
    made = from_state(TABLE, key=["region", "id"], event_type="T", stream_type="Odd {id}")
    assert made["stream_id"].to_pylist() == ["Odd {id}-x-1", "Odd {id}-x-2", "Odd {id}-y-1"]


def test_ids_are_the_same_in_every_run_and_differ_by_stream_and_type():
    first, again, other = (
        from_state(TABLE, key=["region", "id"], event_type=kind)["event_id"].to_pylist() for kind in ("T", "T", "U")
    )
    assert first == again
    assert len({*first, *other}) == 6
    assert {uuid.UUID(each).version for each in first} == {5}


def test_payload_columns_are_chosen():
    def texts(**options: Any) -> list[Any]:
        return from_state(TABLE, key=["region", "id"], event_type="T", **options)["data"].to_pylist()

    assert texts()[0] == '{"name":"{id}"}'
    assert texts(exclude=["name"])[0] == "{}"
    assert texts(data=["id", "name"])[1] == '{"id":2,"name":"b"}'


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (TABLE, {"key": "id"}, r'not unique: 1 streams for several rows, "1" \(2 rows\); the first in rows 1, 3'),
        (TABLE, {"key": "name"}, 'key "name" is NULL in row 3'),
        (TABLE, {"key": "nam"}, 'no column "nam" in the table. Did you mean "name"'),
        (TABLE, {"key": []}, "no column is named"),
        (TABLE, {"key": ["region", "id"], "stream_id": "all"}, 'not unique: 1 streams for several rows, "all"'),
        (TABLE, {"key": "id", "stream_id": "{nope}"}, 'stream_id: no column "nope"'),
        (TABLE, {"key": "id", "exclude": ["nope"]}, 'exclude: no column "nope"'),
        (pa.table({"id": [1, 2], "n": [1.5, float("nan")]}), {"key": "id"}, 'row 2, column "n": NaN'),
        (pa.table({"id": [1], "n": [[float("inf")]]}), {"key": "id"}, 'row 1, column "n": inf'),
        (pa.table({"id": [1], "n": [b"x"]}), {"key": "id"}, 'column "n" is binary'),
        (pd.DataFrame({"id": [1], "n": [object()]}), {"key": "id"}, 'row 1, column "n": object'),
        (pd.DataFrame({"id": [1], "n": [{1: 1, "1": 2}]}), {"key": "id"}, "two keys of a mapping are one name"),
        (TABLE.slice(0, 0), {"key": "id"}, "no rows"),
        ([1], {"key": "id"}, "list is no table of state"),
        (TABLE, {"key": ["region", "id"], "recorded_at": "noon"}, "not an ISO 8601 time"),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(table, options, message):
    with pytest.raises(es.EsbenchError, match=message):
        from_state(table, event_type="T", **options)


def test_keys_that_only_look_different_are_refused():
    table = pa.table({"a": ["x-y", "x"], "b": ["z", "y-z"]})
    with pytest.raises(SourceError, match='"x-y-z" \\(2 rows\\)'):
        from_state(table, key=["a", "b"], event_type="T")

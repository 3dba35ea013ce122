"""Two logs side by side: what was planted is found, no more and no less."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import QueryError
from esbench.fold.changes import ABSENT
from esbench.side_by_side import compare
from tests.derived_logs import Derived, derived, events_of, plain
from tests.oracle import Row
from tests.strategies import logs, payload_texts

COMPARED = (
    "stream_id", "stream_type", "version", "event_id", "event_type", "schema_version", "recorded_at", "data_text",
    "metadata_text",
)  # fmt: skip


def content(row: Row) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in COMPARED)


def by_lineage(old: list[Row], new: list[Derived]) -> dict[str, int]:
    """The counts, one event after the other."""
    partner = {each.origin: each.row for each in new if each.source == 0 and each.nth == 0 and each.origin is not None}
    for each in new:
        partner |= dict.fromkeys(each.others, each.row)
    paired = [(row, partner[row.position]) for row in old if row.position in partner]
    changed = sum(content(a) != content(b) for a, b in paired)
    met = {id(row) for row in partner.values()}
    return {
        "same": len(paired) - changed,
        "changed": changed,
        "only left": len(old) - len(paired),
        "only right": sum(id(each.row) not in met for each in new),
    }


def by_version(old: list[Row], new: list[Derived]) -> dict[str, int]:
    places: list[dict[tuple[str, int, int], Row]] = []
    for rows in (old, [each.row for each in new]):
        place: dict[tuple[str, int, int], Row] = {}
        for row in sorted(rows, key=lambda row: row.position):
            number = sum(key[:2] == (row.stream_id, row.version) for key in place)
            place[row.stream_id, row.version, number] = row
        places.append(place)
    left, right = places
    both = left.keys() & right.keys()
    changed = sum(content(left[key]) != content(right[key]) for key in both)
    return {
        "same": len(both) - changed,
        "changed": changed,
        "only left": len(left.keys() - both),
        "only right": len(right.keys() - both),
    }


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Row], list[Derived]]:
    rows = draw(logs(payloads=st.one_of(st.none(), payload_texts())))
    return rows, draw(derived(rows))


@settings(max_examples=30)
@given(pairs(), st.booleans())
def test_counts_are_those_of_one_event_after_the_other(pair, elsewhere):
    rows, new = pair
    with duckdb.connect() as con, duckdb.connect() as other:
        old_events = events_of(con, "old", plain(rows), lineage=False)
        new_events = events_of(other if elsewhere else con, "new", new)
        for by, expected in (("lineage", by_lineage(rows, new)), ("stream and version", by_version(rows, new))):
            found = compare(old_events, new_events, by=by)  # type: ignore[arg-type]
            assert found.attrs["counts"] == expected
            shown = found.drop_duplicates(["position_before", "position_after"])["what"].value_counts().to_dict()
            assert shown == {name: n for name, n in expected.items() if n and name != "same"}


@pytest.fixture
def con():
    with duckdb.connect() as opened:
        yield opened


ROWS = [
    Row(1, "a", 1, "Made", '{"n":1, "c":{"email":"x"}}'),
    Row(2, "a", 2, "Added", '{"n":1.10}'),
    Row(3, "b", 1, "Made", "{}"),
    Row(4, "b", 2, "Added", '{"n":4}'),
    Row(5, "b", 3, "Added", '{"n":5}'),
]


def planted() -> list[Derived]:
    """A payload changed in two paths, one respelled, two merged, one renamed and moved, one added; one is gone."""
    return [
        Derived(replace(ROWS[0], data_text='{"n":1, "c":{"email":null}, "x/y":[1]}'), 1),
        Derived(replace(ROWS[1], position=2, data_text='{"n": 1.1}'), 2),
        Derived(replace(ROWS[1], position=3, version=3), 2, nth=1),
        Derived(replace(ROWS[3], position=4, version=1, event_type="Put"), 4, others=(5,)),
    ]


def test_planted_differences_are_found_with_their_paths(con):
    found = compare(events_of(con, "old", plain(ROWS)), events_of(con, "new", planted()))
    assert found.attrs["counts"] == {"same": 0, "changed": 4, "only left": 1, "only right": 1}
    places = found[["what", "position_before", "position_after", "column", "path"]].astype(object)
    assert places.where(places.notna(), None).values.tolist() == [
        ["changed", 1, 1, "data", "/c/email"],
        ["changed", 1, 1, "data", "/x~1y"],
        ["changed", 2, 2, "data", ""],
        ["only right", None, 3, None, None],
        ["only left", 3, None, None, None],
        ["changed", 4, 4, "version", ""],
        ["changed", 4, 4, "event_type", ""],
        ["changed", 5, 4, "version", ""],
        ["changed", 5, 4, "event_type", ""],
        ["changed", 5, 4, "data", "/n"],
    ]
    sides = list(zip(found["before"], found["after"], strict=True))
    assert sides[0] == ("x", None)
    assert sides[1] == (ABSENT, [1])
    assert sides[2] == ('{"n":1.10}', '{"n": 1.1}')
    assert sides[5] == (2, 1)
    assert sides[9] == (5, 4)


def test_logs_that_are_the_same_differ_in_nothing(con):
    log = events_of(con, "old", plain(ROWS), lineage=False)
    for by in ("lineage", "stream and version"):
        found = compare(log, log, by=by)
        assert found.empty
        assert found.attrs["counts"] == {"same": 5, "changed": 0, "only left": 0, "only right": 0}


def test_all_are_counted_and_some_are_shown(con):
    old, new = events_of(con, "old", plain(ROWS)), events_of(con, "new", planted())
    found = compare(old, new, limit=2)
    assert found["position_before"].tolist() == [1, 1, 2]
    assert (found.attrs["counts"]["changed"], found.attrs["shown"]) == (4, 2)


def test_only_the_columns_that_are_asked_for_are_compared(con):
    old, new = events_of(con, "old", plain(ROWS)), events_of(con, "new", planted())
    assert compare(old, new, columns=["event_type"]).attrs["counts"]["changed"] == 2
    assert compare(old, new, columns=["position"]).attrs["counts"]["changed"] == 1
    with pytest.raises(QueryError, match='"type" is not a canonical column'):
        compare(old, new, columns=["type"])
    with pytest.raises(QueryError, match='by "lineage" or "stream and version", not by '):
        compare(old, new, by="id")  # type: ignore[arg-type]


def test_slices_that_bind_one_name_to_two_values_are_compared(con):
    log = events_of(con, "old", plain(ROWS), lineage=False)
    old, new = log.where("version <= $most", most=2), log.where("version <= $most", most=3)
    assert compare(old, new).attrs["counts"] == {"same": 4, "changed": 0, "only left": 0, "only right": 1}


def test_a_comparison_says_how_events_were_paired():
    bench = es.open()
    rows = {"stream_id": ["a", "a"], "version": [1, 2], "event_type": "Paid", "data": ['{"n":1}', '{"n":2}']}
    old = bench.load(pd.DataFrame(rows), "old")
    new = bench.apply(old.dry_run(es.Migration("v2", [es.rename_stream("a", "b")])), "new")
    assert old.compare(new).attrs["counts"] == {"same": 0, "changed": 2, "only left": 0, "only right": 0}
    assert (old.compare(new).attrs["by"], new.compare(old).attrs["by"]) == ("lineage", "stream and version")

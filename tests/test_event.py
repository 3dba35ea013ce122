"""The event, and coordinates in history."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest

from esbench.errors import BadCoordinate
from esbench.event import At, Event, at, literal, quote

EVENT = Event(1, "s", 1, "T", data_text='{"a":{"b":[1]},"big":18446744073709551617}')


def test_nobody_can_change_an_event():
    EVENT.data["a"]["b"].append(2)
    assert EVENT.data["a"]["b"] == [1]
    with pytest.raises(AttributeError):
        EVENT.version = 2  # type: ignore[misc]


def test_a_payload_is_decoded_exactly():
    assert EVENT.data["big"] == 2**64 + 1


def test_an_event_without_payload_has_none_and_empty_metadata():
    bare = Event(1, "s", 1, "T")
    assert bare.data is None
    assert bare.metadata == {}


def test_a_copy_of_an_event_is_the_event():
    assert copy.deepcopy([EVENT])[0] is EVENT


def test_events_are_equal_by_what_they_hold():
    assert Event(1, "s", 1, "T") == Event(1, "s", 1, "T")
    assert Event(1, "s", 1, "T") != Event(1, "s", 2, "T")


NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
        "2024-06-07T12:00:00Z",
        " 2024-06-07 14:00+02:00 ",
        "2024-06-07T12",
        pd.Timestamp("2024-06-07T14:00", tz="Europe/Berlin"),
        pd.Timestamp("2024-06-07T12:00:00.000000999"),
    ],
)
def test_a_time_is_read_in_any_form_and_naive_is_utc(given):
    assert at(as_of=given) == At(as_of=NOON)


def test_a_date_is_its_beginning():
    assert at(as_of=date(2024, 6, 7)) == at(as_of="2024-06-07") == At(as_of=datetime(2024, 6, 7, tzinfo=UTC))


@pytest.mark.parametrize("given", ["yesterday", "", 7, 7.5, pd.NaT, object(), "2024-13-01"])
def test_what_is_no_time_is_refused(given):
    with pytest.raises(BadCoordinate, match="as_of is not"):
        at(as_of=given)


@pytest.mark.parametrize("name", ["version", "position"])
@pytest.mark.parametrize("given", ["7", 7.0, True, None])
def test_what_is_no_integer_is_refused(name, given):
    if given is None:
        assert at(**{name: None}) == At()
        return
    with pytest.raises(BadCoordinate, match=f"{name} is not an integer"):
        at(**{name: given})


def test_a_numpy_integer_is_one():
    value = at(version=pd.Series([3]).iloc[0]).version
    assert (value, type(value)) == (3, int)


def test_coordinates_come_one_at_a_time():
    with pytest.raises(BadCoordinate, match="one coordinate at a time: got version and as_of and position"):
        at(version=0, as_of=NOON, position=0)


def test_coordinates_say_what_they_are():
    assert [str(c) for c in (at(version=0), at(position=0), at(), at(as_of=NOON))] == [
        *("version 0", "position 0", "the end", "as of 2024-06-07T12:00:00+00:00")
    ]


@pytest.mark.parametrize("text", ["a", 'a"b', '"', "it's", "'; drop table x; --", ""])
def test_names_and_strings_are_quoted(text):
    import duckdb

    con = duckdb.connect()
    assert con.execute(f"select {literal(text)}").fetchall() == [(text,)]
    if text:
        assert con.sql(f"select 1 as {quote(text)}").columns == [text]

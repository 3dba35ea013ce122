from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.event import Event
from esbench.migrate.migration import Migration
from esbench.migrate.running import run
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.steps.corrections import correct, edit_metadata, replace_event
from esbench.migrate.steps.times import set_time, shift_time
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row
from tests.strategies import logs, payload_texts

SEVEN: Any = 7


def noon(event: Event) -> Any:
    return "noon"


WRONG: Any = "1"
START = datetime(2024, 6, 7, 12, tzinfo=UTC)
CON = connect()
ODD = '{"quantity": 1.10,  "list": [1.0, {"a":1}], "note": "\\u00e9"}'


def row(position: int, data: str | None = ODD, **values: Any) -> Row:
    known = {"stream_id": "order-7", "version": position, "event_id": f"e{position}", "recorded_at": START, **values}
    return Row(position, data_text=data, event_type="A", **known)


def made(rows: list[Row], *steps: Step) -> list[dict[str, Any]]:
    result = run(events_of(rows, Facts(), con=CON), Migration("m", steps))
    return result.work.events.arrow("select * from events order by position").to_pylist()


@pytest.mark.parametrize("place", [{"version": 2}, {"position": 2}, {"event_id": "e2"}])
def test_one_event_is_corrected_and_keeps_the_rest_of_its_text(place):
    step = correct("order-7", **place, set={"/quantity": 3, "/list/1/a": None}, remove=["/note"], event_type="B")
    found = made([row(1), row(2), row(3)], step)
    assert [each["data"] for each in found] == [ODD, '{"quantity": 3,  "list": [1.0, {"a":null}]}', ODD]
    assert [each["event_type"] for each in found] == ["A", "B", "A"]
    assert [(each["steps"], each["met"]) for each in found] == [(0, 0), (1, 1), (0, 0)]


def test_a_correction_gives_a_payload_to_an_event_without_one():
    (found,) = made([row(1, None)], correct("order-7", version=1, set={"/a/b": 1}))
    assert found["data"] == '{"a":{"b":1}}'


def test_an_event_is_replaced_in_its_place():
    step = replace_event("order-7", version=1, event_type="B'; --", data={"a": "$1 ' {}"}, metadata=None)
    (found,) = made([row(1, metadata_text='{"m":1}')], step)
    assert (found["event_type"], found["data"], found["metadata"]) == ("B'; --", '{"a":"$1 \' {}"}', None)
    assert (found["event_id"], found["recorded_at"], found["version"]) == ("e1", START, 1)
    (found,) = made([row(1, metadata_text='{"m":1}')], replace_event("order-7", version=1, data=None))
    assert (found["data"], found["metadata"]) == (None, '{"m":1}')


@pytest.mark.parametrize(
    ("stream", "place", "told"),
    [
        ("order-8", {"version": 1}, 'no such stream. Did you mean "order-7"'),
        ("order-7", {"version": 9}, "no such event. Nearest: 3, 2, 1"),
        ("order-7", {"position": 0}, "no such event. Nearest: 1, 2, 3"),
        ("order-7", {"event_id": "e22"}, 'no such event. Did you mean "e2"'),
        ("anonymous", {"event_id": "e"}, "the events of that stream have no event_id"),
        ("forked", {"version": 4}, "there are 2 events there; name the one that is meant by position= or event_id="),
    ],
)
def test_an_event_that_is_not_there_is_an_error_that_names_the_nearest(stream, place, told):
    rows = [
        row(1), row(2), row(3), row(4, stream_id="anonymous", event_id=None),
        row(5, stream_id="forked", version=4), row(6, stream_id="forked", version=4),
    ]  # fmt: skip
    with pytest.raises(MigrationError, match="set /a 1 at ") as error:
        made(rows, correct(stream, **place, set={"/a": 1}))
    assert told in str(error.value)


def test_metadata_is_set_where_there_was_none_and_removed_where_it_was():
    rows = [row(1, metadata_text='{"a": 1.10,  "b": 2}'), row(2), row(3, metadata_text='["b"]')]
    found = made(rows, edit_metadata(set={"/t": "x"}, remove=["/b"]))
    assert [each["metadata"] for each in found[:2]] == ['{"a": 1.10,  "t": "x"}', '{"t":"x"}']
    assert (found[2]["metadata"], found[2]["failed"]) == ('["b"]', 0)
    found = made(rows, edit_metadata(remove="/b"))
    assert [each["metadata"] for each in found] == ['{"a": 1.10}', None, '["b"]']
    found = made(rows[:2], edit_metadata(lambda metadata: {**metadata, "b": 3}))
    assert [each["metadata"] for each in found] == ['{"a": 1.10,  "b": 3}', None]


@settings(max_examples=25)
@given(logs(payloads=payload_texts()), st.integers(-(10**12), 10**12), st.sampled_from(("recorded_at", "occurred_at")))
def test_a_shift_moves_times_by_as_much_in_both_forms_and_keeps_the_original(rows, micros, column):
    by = timedelta(microseconds=micros)
    in_sql = made(rows, shift_time(by, column=column))
    in_python = made(rows, shift_time(lambda event: by, column=column))
    told = "failure"
    assert [{**each, told: None} for each in in_sql] == [{**each, told: None} for each in in_python]
    for before, after in zip(sorted(rows, key=lambda one: one.position), in_sql, strict=True):
        time = getattr(before, column)
        if time is None or not micros or after["failed"] is not None:
            assert (after[column], after["metadata"]) == (time, before.metadata_text)
            continue
        assert after[column] == time + by
        assert f'"original_{column}":' in after["metadata"].replace('": ', '":')
        assert time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") in after["metadata"]
        assert after["data"] == before.data_text


def test_the_first_original_is_kept():
    rows = made([row(1)], shift_time(timedelta(hours=1)), shift_time(timedelta(hours=1), keep="/original_recorded_at"))
    assert rows[0]["recorded_at"] == START + timedelta(hours=2)
    assert rows[0]["metadata"] == '{"original_recorded_at":"2024-06-07T12:00:00.000000Z"}'


def test_a_time_is_set_to_another_or_a_given_one():
    later = START + timedelta(days=1)
    rows = [row(1, occurred_at=later), row(2)]
    assert [one["recorded_at"] for one in made(rows, set_time("occurred_at", keep=None))] == [later, START]
    assert [one["metadata"] for one in made(rows, set_time("occurred_at", keep=None))] == [None, None]
    found = made(rows, set_time("2024-06-08T14:00+02:00", column="occurred_at", keep="/was/at"))
    assert [one["occurred_at"] for one in found] == [later, later]
    assert [one["metadata"] for one in found] == [None, None]
    found = made(rows, set_time(datetime(2020, 1, 1, tzinfo=UTC), column="occurred_at", keep="/was/at"))
    assert found[0]["metadata"] == '{"was":{"at":"2024-06-08T12:00:00.000000Z"}}'
    found = made(rows, set_time(lambda event: event.occurred_at))
    assert [one["recorded_at"] for one in found] == [later, START]


def test_a_time_outside_all_time_fails_its_event():
    (found,) = made([row(1)], shift_time(timedelta(days=90_000_000)))
    assert (found["recorded_at"], found["failed"], found["metadata"]) == (START, 0, None)
    assert "outside" in found["failure"]
    (found,) = made([row(1)], shift_time(lambda event: timedelta(days=999_999_999)))
    assert found["failure"] == "OverflowError: date value out of range"
    (found,) = made([row(1)], set_time(noon))
    assert "it returned str 'noon', not a time, a timedelta or None" in found["failure"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: correct("s", version=1),
        lambda: correct("s", set={"/a": 1}),
        lambda: correct("s", version=1, position=1, set={"/a": 1}),
        lambda: correct("s", version=WRONG, set={"/a": 1}),
        lambda: correct("s", version=1, set={"a": 1}),
        lambda: correct("s", version=1, set={"/a": float("nan")}),
        lambda: replace_event("s", version=1),
        lambda: replace_event("s", version=1, event_type=""),
        lambda: edit_metadata(),
        lambda: edit_metadata(lambda m: m, remove=["/a"]),
        lambda: shift_time(SEVEN),
        lambda: shift_time(timedelta(days=999_999_999)),
        lambda: shift_time(timedelta(1), column="position"),
        lambda: shift_time(timedelta(1), keep="original"),
        lambda: set_time("recorded_at"),
        lambda: set_time("noon"),
    ],
)
def test_a_correction_that_makes_no_sense_is_refused_when_it_is_written(wrong):
    with pytest.raises(MigrationError):
        wrong()

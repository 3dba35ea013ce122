from __future__ import annotations

import copy
import pickle
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import msgspec
import pytest

from esbench.errors import EsbenchError
from esbench.event import Event
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.steps.attributes import add_field, merge_fields, split_field
from esbench.migrate.steps.corrections import edit_metadata
from esbench.migrate.steps.functions import map_events, split
from esbench.migrate.steps.inserted import insert_after, insert_before
from esbench.migrate.steps.merged import merge_events
from esbench.migrate.steps.moved import move_between
from esbench.migrate.steps.ordering import reorder
from esbench.migrate.steps.upcasting import upcast
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

NOTHING: Any = "no function"
START = datetime(2024, 6, 7, 12, tzinfo=UTC)
ODD = '{"price": 1.10,  "big": 123456789012345678901234567890, "nested": {"x": 1E2, "y": "\\u00e9"}, "n": 1}'


replace = msgspec.structs.replace


def row(position: int, event_type: str = "A", data: str | None = '{"n":1}', **values: Any) -> Row:
    known = {"stream_id": "s", "version": position, "event_id": f"e{position}", "recorded_at": START, **values}
    return Row(position, event_type=event_type, data_text=data, **known)


def made(rows: list[Row], *steps: Step, executor: Any = None) -> list[dict[str, Any]]:
    result: Result = run(events_of(rows, Facts(), con=connect()), Migration("m", steps), executor=executor)
    table = result.work.events.arrow("select * from events order by stream_id, version, position")
    return table.to_pylist()


class Noting:
    """A function that keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> Event:
        self.events.append(event)
        return event


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [each[name] for each in rows]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda event: 1 // 0 * event.version, "ZeroDivisionError: integer division or modulo by zero"),
        (lambda event: exec("raise SystemExit(3)"), "SystemExit: 3"),
        (lambda event: exec("raise GeneratorExit"), "GeneratorExit: "),
        (lambda event: "text", "<lambda>: it returned str 'text', not an event, None or a list of events"),
        (lambda event: ("B", {}), "<lambda>: it returned tuple ('B', {}), not an event, None or a list of events"),
        (lambda event: [event, 7], "<lambda>: int 7 is no event, nor a pair of event type and payload"),
        (lambda event: event.changed(event_type=7), "<lambda>: an event type is a text, not int 7"),
        (lambda event: event.changed(event_type=[]), "TypeError: unhashable type: 'list'"),
        (lambda event: event.changed(event_type=""), "<lambda>: an event type is a text, not str ''"),
        (lambda event: event.changed(event_type="\ud800"), "<lambda>: an event type holds half a surrogate pair"),
        (lambda event: event.changed(data={"n": float("nan")}), "<lambda>: not a JSON value: nan"),
        (
            lambda event: event.changed(data_text="{"),
            "<lambda>: a payload is not JSON: it ends too early (character 2)",
        ),
        (lambda event: event.changed(metadata_text="nan"), "<lambda>: a payload is nan is not JSON (character 1)"),
        (lambda event: event.changed(recorded_at="noon"), "<lambda>: recorded_at is str 'noon', not a time"),
        (lambda event: event.changed(schema_version=True), "<lambda>: schema_version is bool True, not int"),
        (lambda event: event.changed(schema_version=2**64), "<lambda>: schema_version lies outside 64 bits"),
        (lambda event: event.changed(typo=1), "TypeError: "),
        (
            lambda event: Event(1, "other", 1, "A"),
            "<lambda>: an event of stream 's' cannot become one of stream 'other'",
        ),
        (lambda event: [("B", [1])], "<lambda>: the payload of B is list [1], not an object"),
        (lambda event: [("B", {"n": object()})], "<lambda>: not a JSON value: "),
        (lambda event: [("B", {"n": [{"m": {1, 2}}]})], "<lambda>: not a JSON value: set"),
        (lambda event: event.changed(data={**event.data, "b": b"x"}), "<lambda>: not a JSON value: bytes"),
        (
            lambda event: replace(event, stream_id="t"),
            "<lambda>: an event of stream 's' cannot become one of stream 't'",
        ),
        (
            lambda event: replace(event, version=77),
            "<lambda>: it gave version 77 to an event that has 1; for that: renumber() or reorder()",
        ),
        (
            lambda event: [event, event.changed(position=99)],
            "<lambda>: it gave position 99 to an event that has 1; for that: reissue_positions()",
        ),
        (lambda event: event.changed(version=77, metadata={}), "<lambda>: it gave version 77 to an event that has 1"),
        (lambda event: replace(event, stream_type="T"), "<lambda>: a field of the event was set by msgspec"),
        (lambda event: replace(event, event_id="x"), "<lambda>: a field of the event was set by msgspec"),
    ],
)
def test_what_a_function_does_wrong_marks_its_event_and_leaves_it(function, reason):
    (found,) = made([row(1, data=ODD)], map_events(function))
    assert found["failed"] == 0
    assert found["failure"].startswith(reason)
    assert (found["data"], found["event_type"], found["steps"], found["met"]) == (ODD, "A", 0, 1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda event: None, "<lambda>: it returned None, not a list"),
        (lambda event: [], "<lambda>: it returned an empty list"),
        (lambda event: ("B", {}), "<lambda>: it returned one pair, not a list"),
        (lambda event: event, "<lambda>: it returned Event "),
    ],
)
def test_a_split_never_gives_nothing_nor_something_else(function, reason):
    (found,) = made([row(1)], split("A", function))
    assert found["failure"].startswith(reason)


def test_later_steps_leave_failed_rows_alone():
    rows = made([row(1), row(2)], map_events(lambda e: 1 // (e.version - 1) and e), insert_after("A", "B"))
    assert column(rows, "event_type") == ["A", "A", "B"]
    assert column(rows, "failed") == [0, None, None]


def test_a_function_that_changes_what_it_is_given_changes_nothing_else():
    def spoil(event: Event) -> Event:
        event.data.clear()
        event.metadata["x"] = 1
        return event

    (found,) = made([row(1, data=ODD)], map_events(spoil))
    assert (found["data"], found["metadata"], found["steps"]) == (ODD, None, 0)


def test_what_changed_data_shares_with_the_old_keeps_its_text():
    def change(event: Event) -> Event:
        data = event.data
        data["nested"]["new"] = None
        return event.changed(data={**data, "n": 2})

    (found,) = made([row(1, data=ODD)], map_events(change))
    assert found["data"] == ODD.replace('"n": 1', '"n": 2').replace('\\u00e9"', '\\u00e9", "new": null')


def test_pairs_keep_the_text_of_what_they_take_over():
    rows = made([row(1, data=ODD)], split("A", lambda e: [("B", {"price": e.data["price"]}), ("C", e.data["nested"])]))
    assert column(rows, "data") == ['{"price":1.10}', '{"x": 1E2, "y": "\\u00e9"}']


def test_a_split_by_paths_takes_raw_texts_from_any_depth():
    step = split("A", into={"B": ["/nested/x", "/price"], "C": ["/nested/y", "/absent", "/big"], "D": []})
    rows = made([row(1, data=ODD), row(2, data=None), row(3, data="[1]")], step)
    assert column(rows, "data") == [
        '{"nested":{"x":1E2},"price":1.10}',
        '{"nested":{"y":"\\u00e9"},"big":123456789012345678901234567890}',
        "{}",
        *[None] * 3,
        "[1]",
    ]
    assert rows[-1]["failure"].endswith("the payload is no object")


def test_columns_that_are_read_late_have_the_values_of_the_log():
    given = row(7, stream_type="T", metadata_text='{"a":1}', schema_version=3, source_position="p", occurred_at=START)
    noting = Noting()
    made([row(1), given], map_events(noting, type="A"))
    kept = noting.events
    expected = Event(7, "s", 7, "A", '{"n":1}', '{"a":1}', "T", "e7", 3, START, START, "p")
    assert kept[1] == expected
    assert repr(kept[1]) == repr(expected)
    assert hash(kept[1]) == hash(expected)
    assert pickle.loads(pickle.dumps(kept[1])) == expected  # noqa: S301
    assert copy.deepcopy(kept[1]).metadata == {"a": 1}
    assert kept[1].changed(stream_type="U", data={}) == Event(
        7, "s", 7, "A", "{}", '{"a":1}', "U", "e7", 3, START, START, "p"
    )


def test_an_event_made_anew_has_type_and_times_of_the_one_in_whose_place_it_stands():
    rows = made([row(1, stream_type="T")], map_events(lambda e: [e, Event(0, "s", 0, "New", "{}", '{"m":1}')]))
    assert column(rows, "version") == [1, 2]
    assert column(rows, "recorded_at") == [START, START]
    assert column(rows, "stream_type") == ["T", "T"]
    assert rows[1]["metadata"] == '{"m":1}'
    assert rows[1]["event_id"] not in (None, "e1")


def test_an_event_kept_from_before_stands_for_what_it_holds():
    last: list[Event] = []

    def previous(event: Event) -> Event:
        last.append(event)
        return last[-2] if len(last) > 1 else event

    rows = made([row(1, metadata_text='{"a":1}'), row(2, "B", metadata_text=None)], map_events(previous))
    assert column(rows, "event_type") == ["A", "A"]
    assert column(rows, "event_id") == ["e1", "e1"]
    assert column(rows, "metadata") == ['{"a":1}', '{"a":1}']


def test_events_come_in_folding_order_stream_by_stream():
    rows = [
        row(1, version=3),
        row(2, version=1),
        row(3, stream_id="t", version=1),
        row(4, version=2),
        row(5, version=2),
    ]
    noting = Noting()
    made(rows, map_events(noting))
    seen = [(event.stream_id, event.version, event.position) for event in noting.events]
    assert seen == [("s", 1, 2), ("s", 2, 4), ("s", 2, 5), ("s", 3, 1), ("t", 1, 3)]


def test_an_interrupt_stops_everything_and_leaves_nothing():
    def interrupted(event: Event) -> Event:
        signal.raise_signal(signal.SIGINT)
        return event

    con = connect()
    events = events_of([row(1)], Facts(), con=con)
    with pytest.raises(KeyboardInterrupt):
        run(events, Migration("m", [map_events(interrupted)]))
    assert not con.execute("select 1 from duckdb_databases() where database_name like 'esbench scratch%'").fetchall()
    assert con.execute("select table_name from duckdb_tables()").fetchall() == [("t",)]


def test_processes_give_what_this_one_gives():
    rows = [row(n, stream_id=f"s{n % 3}", data=ODD) for n in range(1, 30)]
    steps = [
        split("A", lambda e: [("B", {"price": e.data["price"]}), ("C", None)] if e.version % 2 else [e]),
        merge_events(["B", "C"], lambda events: (1 // (events[0].version % 4) and None) or ("D", events[0].data)),
    ]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert made(rows, *steps, executor=executor) == made(rows, *steps)


def test_functions_on_payloads_reach_processes_too():
    rows = [row(n, data=f'{{"price": 1.10,  "n":{n}}}', metadata_text='{"user": 1.50}') for n in range(1, 30)]
    steps = [
        upcast("A", 1, 2, lambda data: {**data, "at": [1]}),
        add_field("/copied", using=lambda data: 1 // (data["n"] % 4) and data["price"]),
        add_field("/tenant", using=lambda metadata: "north", metadata=True),
        edit_metadata(lambda metadata: {**metadata, "seen": True}),
    ]
    expected = made(rows, *steps)
    assert {each["failure"] for each in expected} == {None, "ZeroDivisionError: integer division or modulo by zero"}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert made(rows, *steps, executor=executor) == expected


def test_what_cannot_reach_a_worker_is_named():
    con = connect()

    def asking(event: Event) -> Event:
        con.execute("select 1")
        return event

    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with pool as executor, pytest.raises(MigrationError, match="cannot be sent to the executor's workers"):
        made([row(1)], map_events(asking), executor=executor)
    wrong: Any = 4
    with pytest.raises(EsbenchError, match=r"takes a concurrent\.futures\.Executor, not int"):
        made([row(1)], map_events(lambda e: e), executor=wrong)


def test_a_merge_is_of_one_stream_and_uninterrupted():
    rows = [row(1), row(2, "X"), row(3, "B"), row(4), row(5, "B", stream_id="t"), row(6, "B", version=6)]
    found = made(rows, merge_events(["A", "B"], lambda events: ("AB", {"n": events[0].data["n"]})))
    assert [(each["stream_id"], each["event_type"], each["version"]) for each in found] == [
        ("s", "A", 1), ("s", "X", 2), ("s", "B", 3), ("s", "AB", 5), ("t", "B", 5),
    ]  # fmt: skip
    assert (found[3]["origin"], found[3]["others"], found[3]["event_id"]) == (4, [6], "e6")


def test_runs_are_taken_from_the_left_and_share_no_event():
    rows = [row(n) for n in range(1, 6)]
    found = made(rows, merge_events(["A", "A"], lambda events: ("B", {})))
    assert [(each["event_type"], each["version"], each["origin"]) for each in found] == [
        ("B", 1, 1), ("B", 2, 3), ("A", 3, 5),
    ]  # fmt: skip


def test_an_event_that_a_merge_changed_has_the_place_and_times_of_the_last():
    rows = [row(1), row(2, "B", recorded_at=START.replace(hour=13), metadata_text='{"b":1}')]
    (found,) = made(rows, merge_events(["A", "B"], lambda events: events[0].changed(event_type="AB")))
    assert (found["event_id"], found["recorded_at"].hour, found["metadata"]) == ("e2", 13, '{"b":1}')


def test_a_merge_keeps_numbers_of_all_its_events():
    rows = [row(1, data='{"net": 1.10}'), row(2, "B", '{"tax": 0.20}')]
    (found,) = made(rows, merge_events(["A", "B"], lambda events: ("C", {**events[0].data, **events[1].data})))
    assert found["data"] == '{"net":1.10,"tax":0.20}'


def test_a_merge_moves_its_events_nowhere():
    rows = [row(1), row(2, "B")]
    for function in (lambda events: replace(events[0], version=7), lambda events: events[1].changed(stream_id="t")):
        found = made(rows, merge_events(["A", "B"], function))
        assert column(found, "event_type") == ["A", "B"]
        assert column(found, "failed") == [0, 0]


def test_numbers_keep_their_text_wherever_a_function_puts_them():
    data = '{"a": 12345678901234567.10, "b": {"c": 1.10, "d": [1E2, 1e400]}, "e": 1.100}'
    moved = '{"x":12345678901234567.10,"y":[1.10,{"z":1E2}],"a":1.100}'

    def parts(event: Event) -> dict[str, Any]:
        inner = event.data["b"]
        return {"x": event.data["a"], "y": [inner["c"], {"z": inner["d"][0]}], "a": event.data["e"]}

    for step in (split("A", lambda e: [("B", parts(e))]), map_events(lambda e: e.changed(data=parts(e)))):
        (found,) = made([row(1, data=data)], step)
        assert found["data"].replace(" ", "") == moved
    (found,) = made([row(1, data='{"a": 1.10}')], split_field("/a", ["/p", "/q"], lambda value: [value, value]))
    assert found["data"].replace(" ", "") == '{"p":1.10,"q":1.10}'
    (found,) = made([row(1, data='{"a":1.10,"b":[2.50]}')], merge_fields(["/a", "/b"], "/c", lambda a, b: [a, b]))
    assert found["data"] == '{"c":[1.10,[2.50]]}'


def test_a_function_that_ends_the_program_marks_its_event():
    for step in (
        add_field("/x", using=lambda data: exec("raise SystemExit(3)")),
        split_field("/n", ["/p"], lambda value: sys.exit(3)),
    ):
        (found,) = made([row(1)], step)
        assert found["failure"].endswith("SystemExit: 3")


def test_an_attribute_moves_as_it_stands_to_the_next_event():
    rows = [row(1, data=ODD), row(2, "X"), row(3, "B", '{"b":  2}'), row(4, "B")]
    found = made(rows, move_between("/nested", "A", "B"))
    assert column(found, "data") == [
        '{"price": 1.10,  "big": 123456789012345678901234567890, "n": 1}',
        '{"n":1}',
        '{"b":  2, "nested":  {"x": 1E2, "y": "\\u00e9"}}',
        '{"n":1}',
    ]
    assert column(found, "steps") == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("rows", "failed"),
    [
        ([row(1)], {1: "no event after it takes it"}),
        ([row(1), row(2, "B", stream_id="t")], {1: "no event after it takes it"}),
        ([row(1), row(2, "A"), row(3, "B", "{}")], {1: "another A with it comes before the event that takes it"}),
        ([row(1), row(2, "B")], {1: "version 2 does not take it: /n is there already"}),
        ([row(1), row(2, "B", "[]")], {1: "version 2 does not take it: "}),
        ([row(1, data="{}"), row(2, "B")], {}),
    ],
)
def test_an_attribute_that_no_event_can_take_stays(rows, failed):
    found = made(rows, move_between("/n", "A", "B"))
    assert {each["position"] for each in found if each["failed"] is not None} == set(failed)
    for each in found:
        if each["position"] in failed:
            assert failed[each["position"]] in each["failure"]
            assert each["data"] == '{"n":1}'


def test_a_stream_for_which_a_function_fails_keeps_its_order():
    rows = [row(1, version=2), row(2, version=1), row(3, stream_id="t", version=5), row(4, stream_id="t", version=4)]
    found = made(rows, reorder(lambda e: {"s": None, "t": e.position}[e.stream_id] if e.position != 2 else 1 // 0))
    assert [(each["position"], each["version"], each["failed"]) for each in found] == [
        (2, 1, 0), (1, 2, 0), (3, 4, None), (4, 5, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: map_events(NOTHING),
        lambda: split("A"),
        lambda: split("A", lambda e: [], into={"B": []}),
        lambda: split("A", into={}),
        lambda: split("A", into={"B": ["price"]}),
        lambda: split("A", into={"B": [""]}),
        lambda: merge_events(["A"], lambda events: None),
        lambda: insert_before("A", ""),
        lambda: move_between("/a", "A", "A"),
        lambda: move_between("a", "A", "B"),
        lambda: reorder("version"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_when_it_is_written(wrong):
    with pytest.raises(MigrationError):
        wrong()


def test_steps_say_what_they_do_and_name_the_functions_of_the_user():
    step = insert_after("A", "B", mapping, where="version > 3")
    assert repr(step) == "insert B by mapping after A where version > 3"
    assert step.functions == {"mapping": mapping}
    assert (step.form, insert_after("A", "B", {"n": 1}).form) == ("Python", "SQL")


def mapping(event: Event) -> Any:
    return {"n": event.version}

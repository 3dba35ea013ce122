"""State equivalence, case by case: planted differences, functions that fail, and what cannot be compared."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import esbench as es
from esbench.aggregate import Aggregate
from esbench.errors import AggregateError, EsbenchError
from esbench.events import Events
from esbench.fold.changes import ABSENT
from esbench.migrate.counts import counted
from esbench.migrate.gates import Outcome, Seen
from esbench.migrate.migration import Migration
from esbench.migrate.running import run
from esbench.migrate.states.equivalence import equivalence, same_state
from esbench.migrate.states.expected import added, changed, removed, within
from esbench.migrate.step import Step
from esbench.migrate.steps.attributes import add_field
from esbench.migrate.steps.typed import drop_events
from tests.checks.compare import connect, events_of
from tests.migrate.oracle_equivalence import NewRow
from tests.migrate.test_equivalence import work_of
from tests.oracle import Facts, Row

CON = connect()


def log(*streams: str, events: int = 4) -> list[Row]:
    """Streams of which each event adds its version."""
    return [
        Row(
            position=version * len(streams) + place,
            stream_id=name,
            version=version,
            event_type="Added",
            data_text=f'{{"n": {version}}}',
            metadata_text=f'{{"user": "u{version}"}}',
            stream_type="Item",
        )
        for version in range(1, events + 1)
        for place, name in enumerate(streams)
    ]


def both(rows: list[Row], made: list[NewRow] | None = None) -> tuple[Events, Events]:
    """A log, and work; the same events where none are given."""
    made = [NewRow(row, row.position) for row in rows] if made is None else made
    keys = sorted({each.row.stream_id for each in made})
    return events_of(rows, Facts(), con=CON), work_of(made, keys, layout="ordered", con=CON)


def item(name: str = "Item", handler: Any = None, initial: Any = None) -> Aggregate:
    """A counter of all streams, or what a handler makes of them."""
    made = Aggregate(name, initial={"n": 0} if initial is None else initial, streams="*")

    def add(state: Any, event: Any) -> Any:
        return {**state, "n": state["n"] + event.data["n"]}

    made.on("Added")(handler or add)
    return made


def test_empty_migration_with_the_same_code_passes():
    found = equivalence(*both(log("a", "b")), same_state(item(), item("ItemV2")))
    assert (found.status, found.streams, found.cuts) == ("passed", 2, 8)
    assert repr(found) == "same state: Item as ItemV2: passed: 2 streams agree at 8 cuts"


def test_difference_is_found_at_its_first_version():
    def later(state, event):
        odd = event.stream_id == "b" and event.version >= 3
        return {**state, "n": state["n"] + event.data["n"] + odd}

    found = equivalence(*both(log("a", "b")), same_state(item(), item("ItemV2", later)))
    assert found.status == "failed"
    assert (found.failing, found.differing, found.streams, found.cuts) == (1, 2, 2, 8)
    (row,) = found.differences.to_dict("records")
    assert row == {
        "stream_id": "b",
        "old_stream": "b",
        "version": 3,
        "old_version": 3,
        "path": "/n",
        "before": 6,
        "after": 7,
        "expected": False,
        "cuts": 2,
        "note": "",
    }
    assert "/n changed, in 1 stream at 2 cuts: first 'b'@3, 6 → 7" in repr(found)


def test_difference_that_heals_is_found():
    def briefly(state, event):
        return {"n": state["n"] + event.data["n"] + {2: 5, 3: -5}.get(event.version, 0)}

    found = equivalence(*both(log("a")), same_state(item(), item("ItemV2", briefly)))
    assert found.status == "failed"
    assert found.differences[["version", "cuts"]].to_numpy().tolist() == [[2, 1]]


@pytest.mark.parametrize("other", [1.0, True, Decimal(1)])
def test_values_of_other_types_differ(other: Any):
    one, two = item(initial={"n": 0, "x": 1}), item("V2", initial={"n": 0, "x": other})
    assert equivalence(*both(log("a")), same_state(one, two)).status == "failed"
    nested = item("V3", initial={"n": 0, "x": [{"y": 1}]}), item("V4", initial={"n": 0, "x": [{"y": other}]})
    found = equivalence(*both(log("a")), same_state(*nested))
    assert found.differences["path"].tolist() == ["/x/0/y"]


def test_states_that_are_the_same_in_another_form_pass():
    one = item(initial=lambda: {"n": 0, "x": [float("nan"), Decimal("1.0"), {1}], "y": 0.0})
    two = item("V2", initial=lambda: {"y": -0.0, "x": [float("nan"), Decimal("1.00"), {1}], "n": 0})
    assert equivalence(*both(log("a")), same_state(one, two)).status == "passed"


def test_states_changed_in_place_are_compared_as_they_were():
    def in_place(state, event):
        state["seen"].append(event.version if event.version != 2 else "two")
        return state

    def anew(state, event):
        return {"seen": [*state["seen"], event.version]}

    found = equivalence(*both(log("a")), same_state(item("A", anew, {"seen": []}), item("B", in_place, {"seen": []})))
    assert found.differences[["version", "path", "before", "after", "cuts"]].to_numpy().tolist() == [
        [2, "/seen/1", 2, "two", 3]
    ]


def test_declared_differences_are_expected_and_others_are_not():
    def second(state, event):
        return {
            **{key: value for key, value in state.items() if key != "old"},
            "n": state["n"] + event.data["n"] * 1.001,
            "currency": "EUR",
            "lines": [{"unit": "kg"}] * event.version,
        }

    def first(state, event):
        return {**state, "n": state["n"] + event.data["n"], "lines": [{"unit": "g"}] * event.version}

    gate = same_state(
        item("A", first, {"n": 0, "old": 1, "lines": []}),
        item("B", second, {"n": 0, "old": 1, "lines": []}),
        expect={
            "/currency": added("EUR"),
            "/old": removed(1),
            "/n": within(0.005),
            "/lines/*/unit": changed("g", "kg"),
            "/lines/*/weight": added(),
            "/typo": lambda old, new: True,
        },
    )
    found = equivalence(*both(log("a", "b")), gate)
    assert found.failing == 2
    unexpected = found.differences[~found.differences["expected"]]
    assert unexpected[["stream_id", "path", "version", "cuts"]].to_numpy().tolist() == [
        ["a", "/n", 3, 2],
        ["b", "/n", 3, 2],
    ]
    assert found.unmet == ("/lines/*/weight: added()", "/typo: what <lambda> allows")
    shapes = {(one.path, one.expected): (one.kind, one.streams, one.cuts) for one in found.shapes}
    assert shapes == {
        ("/n", False): ("changed", 2, 4),
        ("/n", True): ("changed", 2, 4),
        ("/currency", True): ("added", 2, 8),
        ("/old", True): ("removed", 2, 8),
        ("/lines/*/unit", True): ("changed", 2, 20),
    }


def test_value_that_is_not_the_declared_one_is_unexpected():
    two = item("V2", initial={"n": 0, "currency": "USD"})
    found = equivalence(*both(log("a")), same_state(item(), two, expect={"/currency": added("EUR")}))
    assert (found.status, found.unmet) == ("failed", ("/currency: added('EUR')",))


def test_function_decides_over_whole_states():
    two = item("V2", initial={"n": 0, "currency": "EUR"})

    def fine(old, new):
        old["n"], verdict = "changed, which must harm nothing", {**old, "currency": "EUR"} == new
        return verdict

    assert equivalence(*both(log("a")), same_state(item(), two, expect=fine)).status == "passed"
    found = equivalence(*both(log("a")), same_state(item(), item("V2"), expect=fine))
    assert (found.status, found.unmet) == ("passed", ("the function fine",))


def test_function_that_raises_is_an_unexpected_difference_that_says_so():
    two = item("V2", initial={"n": 0, "currency": "EUR"})
    raising: list[Any] = [lambda old, new: old["x"], {"/currency": lambda old, new: old["x"]}]
    for expect in raising:
        found = equivalence(*both(log("a")), same_state(item(), two, expect=expect))
        assert found.status == "failed"
        assert found.differences["note"].str.startswith("expect= raised ").all()
        assert "expect= raised" in repr(found)


def test_function_that_returns_nothing_allows_nothing():
    two = item("V2", initial={"n": 0, "currency": "EUR"})
    found = equivalence(*both(log("a")), same_state(item(), two, expect={"/currency": lambda old, new: None}))
    assert found.differences["note"].tolist() == ["expect= returned None"]


def test_streams_folded_past_failing_handlers_are_told():
    def fails(state, event):
        state["n"] = "ruined"
        raise ValueError("no")

    def fails_once(state, event):
        if event.version == 3:
            fails(state, event)
        return {"n": state["n"] + event.data["n"]}

    found = equivalence(*both(log("a")), same_state(item("A", fails), item("B", fails)))
    assert (found.status, found.cuts, found.marked, len(found.marks)) == ("passed", 4, 1, 8)
    found = equivalence(*both(log("a", "b")), same_state(item("A"), item("B", fails_once)))
    assert (found.status, found.failing, found.differing) == ("failed", 2, 4)
    assert found.differences["version"].tolist() == [3, 3]
    assert str(found.marks[0]) == "new 'a'@3 ('Added'): ValueError: no"
    assert "2 streams folded past failing handlers" in repr(found)


def test_handler_that_returns_nothing_leaves_the_state():
    found = equivalence(*both(log("a")), same_state(item("A"), item("B", lambda state, event: None)))
    assert found.differences[["version", "before", "after"]].to_numpy().tolist() == [[1, 1, 0]]
    assert found.marks[0].error == "returned None; a handler returns the state"


def test_state_that_cannot_be_copied_is_refused_by_name_where_a_handler_fails():
    def fails(state, event):
        raise ValueError("no")

    locked = Aggregate("Locked", initial=lambda: {"lock": 0}, streams="*")

    @locked.on("Added")
    def hold(state, event):
        if event.version == 3:
            raise ValueError("no")
        return {"lock": threading.Lock()}

    with pytest.raises(AggregateError, match='"Locked": its state before version 2 of "a" cannot be copied'):
        equivalence(*both(log("a")), same_state(locked, item("B", fails)))


def test_interrupt_ends_the_comparison():
    def interrupted(state, event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        equivalence(*both(log("a")), same_state(item(), item("B", interrupted)))


def test_handlers_may_read_any_column():
    def user(state, event):
        try:
            return {"n": event.metadata["user"], "id": event.event_id, "type": event.stream_type}
        except BaseException:  # noqa: BLE001 (what a handler should not do)
            return {"n": "swallowed"}

    found = equivalence(*both(log("a", "b")), same_state(item("A", user), item("B", user)))
    assert (found.status, found.marked) == ("passed", 0)
    found = equivalence(*both(log("a")), same_state(item(), item("B", user)))
    assert found.differences["after"].tolist() == ["u1", None, "Item"]


def test_states_may_hold_events():
    def last(state, event):
        return {"last": event}

    found = equivalence(*both(log("a")), same_state(item("A", last, {}), item("B", last, {})))
    assert found.status == "passed"
    found = equivalence(*both(log("a")), same_state(item("A", last, {}), item("C", lambda state, event: {}, {})))
    assert isinstance(found.differences["before"][0], es.Event)


@dataclass
class Stock:
    """A state that is no dict."""

    n: int = 0


def test_states_of_classes_are_compared_by_field():
    def add(state, event):
        return Stock(state.n + event.data["n"])

    def less(state, event):
        return Stock(state.n + event.data["n"] - (event.version == 4))

    found = equivalence(*both(log("a")), same_state(item("A", add, Stock()), item("B", less, Stock())))
    assert found.differences[["path", "version"]].to_numpy().tolist() == [["/n", 4]]


def test_projection_is_compared_with_an_aggregate():
    declared = es.Projection("Item", {"n": es.total({"Added": es.field("/n")})})
    found = equivalence(*both(log("a", "b")), same_state(declared, item("B")))
    assert found.status == ("passed" if isinstance(declared.aggregate.initial()["n"], int) else "failed")
    assert equivalence(*both(log("a", "b")), same_state(declared, declared)).status == "passed"
    floats = item("C", initial={"n": 0.5})
    assert equivalence(*both(log("a", "b")), same_state(declared, floats, expect={"/n": within(0.5)})).cuts == 8


def test_read_model_has_no_streams_to_compare():
    by_user = es.Projection("users", {"n": es.count("Added")}, key=es.meta("/user"))
    found = equivalence(*both(log("a")), same_state(item(), by_user))
    assert found.status == "not applicable"
    assert '"users" is a read model' in repr(found)


def test_nothing_comparable_never_passes():
    rows = log("a")
    nobody = Aggregate("Nobody", streams="z-*")
    # The first event, which was not dropped on purpose, never comes.
    lost = [NewRow(row, row.position) for row in rows[1:]]
    for made, one in ((lost, item()), (None, nobody)):
        found = equivalence(*both(rows, made), same_state(one, one))
        assert (found.status, found.cuts) == ("not applicable", 0)
        assert "nothing could be compared" in repr(found)


def test_stream_in_reverse_is_compared_at_its_end_alone():
    rows = log("a")
    reverse = [NewRow(Row(row.position, "a", 5 - row.version, "Added", row.data_text), row.position) for row in rows]
    found = equivalence(*both(rows, reverse), same_state(item(), item("B")))
    assert (found.status, found.cuts) == ("passed", 1)


def test_aggregate_that_covers_nothing_is_told():
    other = Aggregate("Order", initial={"n": 0})
    found = equivalence(*both(log("a")), same_state(other, other))
    assert found.status == "not applicable"
    assert "no stream has that type" in repr(found)


def test_several_source_logs_are_not_applicable():
    old, new = both(log("a"))
    new = es.events.Events(CON, f"select * replace (1::utinyint as source) from ({new.query})")
    found = equivalence(old, new, same_state(item(), item("B")))
    assert (found.status, found.notes) == (
        "not applicable",
        ("events come from several logs, whose states cannot be compared yet",),
    )


def test_declared_drop_is_no_cut_and_what_it_did_is_a_difference():
    rows = log("a")
    made = [
        NewRow(Row(row.position, "a", version, "Added", row.data_text), row.position)
        for version, row in enumerate((row for row in rows if row.version != 2), 1)
    ]
    old, new = both(rows, made)
    gone = f"select origin, 0 as source from (values ({rows[1].position})) as gone (origin)"
    found = equivalence(old, new, same_state(item(), item("B")), dropped=gone)
    # After the first version the longest prefix has the dropped event in it.
    assert found.differences[["version", "old_version", "before", "after", "cuts"]].to_numpy().tolist() == [
        [1, 2, 3, 1, 3]
    ]
    harmless = item("A", lambda state, event: {"n": state["n"] + event.data["n"] * (event.version != 2)})
    seen = equivalence(old, new, same_state(harmless, item("B")), dropped=gone)
    assert (seen.status, seen.cuts) == ("passed", 3)
    undeclared = equivalence(old, new, same_state(harmless, item("B")))
    assert (undeclared.status, undeclared.cuts) == ("passed", 1)


def split_up(rows: list[Row]) -> list[NewRow]:
    """Odd versions go to one stream, even ones to another."""
    return [
        NewRow(
            Row(row.position, f"{row.stream_id}/{row.version % 2}", (row.version + 1) // 2, "Added", row.data_text),
            row.position,
        )
        for row in rows
    ]


def total(states: dict[str, Any]) -> Any:
    return {"n": sum(one["n"] for one in states.values())}


def test_split_stream_is_compared_through_combine():
    rows = log("a", events=5)
    pair = both(rows, split_up(rows))
    without = equivalence(*pair, same_state(item(), item("B")))
    assert (without.status, without.cuts) == ("not applicable", 0)
    assert "is one of 2 that an old stream was split into, and no combine=" in repr(without)
    assert without.not_comparable[0].streams.streams == ("a/0", "a/1")
    gate = same_state(item(), item("B"), combine=total)
    assert (equivalence(*pair, gate).status, equivalence(*pair, gate).cuts) == ("passed", 5)

    def wrong(state, event):
        return {"n": state["n"] + event.data["n"] + (event.stream_id == "a/0" and event.version == 2)}

    found = equivalence(*pair, same_state(item(), item("B", wrong), combine=total))
    assert found.differences[["stream_id", "version", "old_stream", "old_version", "cuts"]].to_numpy().tolist() == [
        ["a/0", 2, "a", 4, 2]
    ]


def test_combine_is_given_the_streams_that_have_begun():
    given: list[list[str]] = []

    def watched(states):
        given.append(sorted(states))
        return total(states)

    rows = log("a", events=3)
    equivalence(*both(rows, split_up(rows)), same_state(item(), item("B"), combine=watched))
    assert given == [["a/1"], ["a/0", "a/1"], ["a/0", "a/1"]]


def test_combine_that_raises_is_an_unexpected_difference_that_says_so():
    rows = log("a")
    gate = same_state(item(), item("B"), combine=lambda states: states["nothing"], expect={"": changed()})
    found = equivalence(*both(rows, split_up(rows)), gate)
    assert (found.status, found.differing) == ("failed", 4)
    (row,) = found.differences.to_dict("records")
    assert (row["path"], row["before"], row["after"]) == ("", {"n": 1}, ABSENT)
    assert row["note"] == "combine= raised KeyError: 'nothing'"


def test_merged_streams_are_compared_through_combine():
    rows = log("a", "b", events=2)
    made = [
        NewRow(Row(row.position, "all", version, "Added", row.data_text), row.position)
        for version, row in enumerate(rows, 1)
    ]
    found = equivalence(*both(rows, made), same_state(item(), item("B"), combine=total))
    assert (found.status, found.streams, found.cuts) == ("passed", 1, 4)
    assert equivalence(*both(rows, made), same_state(item(), item("B"))).status == "not applicable"


def test_a_million_failing_streams_would_give_a_short_answer():
    def keyed(state, event):
        return {**state, f"for {event.stream_id}": [event.version]}

    rows = log(*(f"s-{number:03}" for number in range(300)), events=2)
    found = equivalence(*both(rows), same_state(item("A", lambda state, event: state), item("B", keyed)), limit=7)
    assert (found.failing, found.differing) == (300, 600)
    assert len(found.differences) == 7
    assert found.differences["stream_id"].tolist() == [f"s-{number:03}" for number in range(7)]
    assert len(found.shapes) <= 201
    assert sum(shape.streams for shape in found.shapes) == 300
    assert len(repr(found)) < 2_000


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"currency": added()}, "a JSON Pointer begins with /"),
        ({"/currency": "EUR"}, "say es.added"),
        (["/currency"], "takes a dict from paths"),
    ],
)
def test_expectation_that_cannot_be_meant_is_refused(expect: Any, words: str):
    with pytest.raises(EsbenchError, match=words):
        same_state(item(), item("B"), expect=expect)


def test_gate_refuses_what_is_no_aggregate_and_reads_as_a_sentence():
    with pytest.raises(AggregateError, match="is asked for"):
        same_state("item", item())  # type: ignore[arg-type]
    with pytest.raises(EsbenchError, match="how far two numbers may be apart"):
        within(-1)
    gate = same_state(item(), item("B"), expect={"/currency": added("EUR")}, combine=total)
    assert gate.name == "same state: Item as B"
    assert repr(gate) == (
        'the state of "Item" in the old log is that of "B" in the new one at every cut, but for /currency: '
        "added('EUR'); where streams were split or merged, states add up by combine="
    )


@pytest.mark.parametrize(
    ("before", "after", "fine"),
    [
        (1, 1.5, True),
        (1, 1.51, False),
        (Decimal("1.5"), 1, True),
        (10**400, 10**400 + 1, False),
        (10**400, 0.5, False),
        (float("inf"), 1, False),
        (float("nan"), 1, False),
        (True, 1, False),
        (ABSENT, 1, False),
        (Decimal("1E+999999"), 1, False),
    ],
)
def test_tolerance_holds_for_numbers_of_any_kind(before: Any, after: Any, fine: bool):
    assert within(0.5).meets(before, after) is fine


def test_gate_judges_a_dry_run():
    rows = pd.DataFrame([row.columns() for row in log("a", "b")])[["stream_id", "version", "event_type", "data"]]
    source = es.open().load(rows, name="things").source

    def outcome(*steps: Step, expect: Any = None) -> Outcome:
        def currency(state, event):
            return {"n": state["n"] + event.data["n"], **{key: event.data[key] for key in event.data if key != "n"}}

        gate = same_state(item(), item("B", currency), expect=expect)
        migration = Migration("currency", steps)
        result = run(source, migration)
        return gate.judge(Seen(migration, result, counted(result, migration)))

    assert outcome().text == "2 streams agree at 8 cuts"
    assert outcome(add_field("/currency", "EUR"), expect={"/currency": added("EUR")}).status == "passed"
    failed = outcome(add_field("/currency", "EUR"))
    assert (failed.status, failed.details is not None and len(failed.details)) == ("failed", 2)
    # What dropped events did is in the old states from the cut before them on.
    dropped = outcome(drop_events("Added", where="version > 2"))
    assert dropped.details is not None
    assert dropped.details[["version", "old_version", "before", "after"]].to_numpy().tolist() == [[2, 4, 10, 3]] * 2
    assert outcome(drop_events("Added")).status == "not applicable"


def test_dropped_head_of_one_stream_is_no_part_of_the_one_before_it():
    rows = log("a", "b")
    made = [NewRow(row, row.position) for row in rows if (row.stream_id, row.version) != ("b", 1)]
    (gone,) = [row.position for row in rows if (row.stream_id, row.version) == ("b", 1)]
    old, new = both(rows, made)
    found = equivalence(old, new, same_state(item(), item("B")), dropped=old.where("position = $gone", gone=gone))
    assert (found.streams, found.cuts) == (2, 7)
    assert found.differences[["stream_id", "version", "old_version", "before", "after"]].to_numpy().tolist() == [
        ["b", 2, 2, 3, 2]
    ]


def test_stream_that_begins_with_an_inserted_event_is_among_the_states_once_something_came_from_the_source():
    given: list[dict[str, int]] = []

    def watched(states):
        given.append({name: one["n"] for name, one in sorted(states.items())})
        return total(states)

    rows = log("a", events=3)
    opening = NewRow(Row(50, "a/0", 0, "Added", '{"n": 7}'), None)
    equivalence(*both(rows, [opening, *split_up(rows)]), same_state(item(), item("B"), combine=watched))
    assert given == [{"a/1": 1}, {"a/0": 9, "a/1": 1}, {"a/0": 9, "a/1": 4}]


def test_rows_of_one_position_and_version_are_folded_by_their_number():
    rows = log("a", events=2)
    made = [
        NewRow(Row(row.position, "a", row.version, "Added", f'{{"n": {nth}}}'), row.position, (), nth)
        for nth in (2, 1, 0, -1)
        for row in rows
    ]

    def last(state, event):
        return {"n": event.data["n"]}

    old, new = events_of(rows, Facts(), con=CON), work_of(made, ["a"], layout="unordered", con=CON)
    gate = same_state(item("A", lambda state, event: {"n": 2}), item("B", last))
    found = equivalence(old, new, gate)
    assert (found.status, found.cuts) == ("passed", 2)

"""Small cases that pin the reference itself down; each is meant to be right at a glance."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle, strategies
from tests.oracle import Facts, Found, Row, Rules, findings

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)
BASE_1 = Facts(base=1)


def event(position: int, version: int, *, stream: str = "a", type: str = "Added", n: int = 0, **rest: Any) -> Row:
    rest.setdefault("data_text", f'{{"n":{n or position}}}')  # its own content, unless n says otherwise
    metadata = {k: rest.pop(k) for k in ("causation_id", "commit_id", "writer") if k in rest}
    if metadata:
        rest["metadata_text"] = json.dumps(metadata)
    return Row(position, stream, version, type, **rest)


def versions(*numbers: int, stream: str = "a") -> list[Row]:
    """Events of one stream with these versions, at positions 1, 2, 3 …"""
    return [event(i, number, stream=stream) for i, number in enumerate(numbers, start=1)]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def only(rows: list[Row], check: str, facts: Facts = BASE_1, *aggregates: Rules, **options: Any) -> list[Found]:
    return [finding for finding in findings(rows, facts, aggregates, **options) if finding.check == check]


def add(state: Any, row: Any) -> Any:
    return {**state, "n": state["n"] + row.data["n"]}


def fail(state: Any, row: Any) -> Any:
    state["n"] = 999
    raise ValueError("no")


def rules(**rest: Any) -> Rules:
    handlers = {"Added": add, "Failing": fail}
    return Rules("Counter", {"n": 0}, **{"handlers": handlers, "streams": "*", **rest})


class TestCoordinates:
    rows = (
        event(1, 1, recorded_at=after(0)),
        event(2, 3, recorded_at=after(20)),
        event(3, 2, recorded_at=after(10)),
        event(4, 4),
    )

    def test_folding_order_is_version_then_position(self):
        rows = [event(3, 1), event(2, 2), event(1, 1)]
        assert [row.position for row in oracle.folding_order(rows)] == [1, 3, 2]

    @pytest.mark.parametrize(
        ("coordinate", "positions"),
        [
            ({"version": 3}, [1, 2, 3]),
            ({"version": 0}, []),
            ({"position": 2}, [1, 2]),
            ({"as_of": after(10)}, [1, 3]),
            ({"as_of": after(9.999999)}, [1]),
            ({"as_of": after(99)}, [1, 2, 3]),
            ({}, [1, 2, 3, 4]),
        ],
    )
    def test_a_coordinate_is_inclusive_and_an_unknown_time_is_at_no_time(self, coordinate, positions):
        assert [row.position for row in oracle.up_to(self.rows, **coordinate)] == positions

    def test_a_state_tells_when_it_is_not_folded_from_a_prefix(self):
        at_two = oracle.state(self.rows, rules(), "a", BASE_1, position=2)
        assert (at_two.value, at_two.version, at_two.position) == ({"n": 3}, 3, 2)
        assert at_two.trust == ("not-a-prefix", "version-gap")
        assert oracle.state(self.rows, rules(), "a", BASE_1, position=3).trust == ()

    def test_before_its_first_event_a_stream_has_the_initial_state_and_no_row_among_states(self):
        assert oracle.state(self.rows, rules(), "a", BASE_1, version=0) == ({"n": 0}, "a", None, None, 0, ())
        assert oracle.states(self.rows, rules(), BASE_1, version=0) == {}

    def test_an_unknown_stream_is_an_error(self):
        with pytest.raises(KeyError):
            oracle.state(self.rows, rules(), "b", BASE_1)


class TestFolding:
    def test_a_failing_handler_leaves_the_state_as_it_was(self):
        rows = [event(1, 1, n=1), event(2, 2, type="Failing"), event(3, 3, n=5)]
        state = oracle.state(rows, rules(), "a", BASE_1)
        assert (state.value, state.events, state.trust) == ({"n": 6}, 3, ("handler-error",))

    def test_a_fork_folds_all_or_the_first(self):
        rows = [event(1, 1, n=1), event(2, 2, n=10), event(3, 2, n=100)]
        every, first = (oracle.state(rows, rules(), "a", BASE_1, forks=forks) for forks in ("all", "first"))
        assert (every.value, every.events) == ({"n": 111}, 3)
        assert (first.value, first.events) == ({"n": 11}, 2)
        assert every.trust == first.trust == ("version-fork",)

    def test_a_handler_that_changes_its_argument_changes_no_other_state(self):
        def set_in_place(state: Any, row: Any) -> Any:
            state["seen"].append(row.version)
            return state

        appending = Rules("Counter", {"seen": []}, {"Added": set_in_place}, streams="*")
        history = oracle.history(versions(1, 2), appending, "a", BASE_1)
        assert [row.value for row in history] == [{"seen": [1]}, {"seen": [1, 2]}]
        assert appending.initial == {"seen": []}

    @pytest.mark.parametrize(
        ("numbers", "facts", "marks"),
        [
            ((1, 2, 3), BASE_1, ()),
            ((1, 3), BASE_1, ("version-gap",)),
            ((2, 3), BASE_1, ("missing-head",)),
            ((2, 3), Facts(base=1, truncated=("a",)), ("missing-head",)),
            ((2, 3), Facts(), ()),
            ((-1, 1, 2), BASE_1, ()),
            ((1, 3), Facts(base=1, derived_versions=True), ()),
        ],
    )
    def test_trust_knows_gaps_and_heads(self, numbers, facts, marks):
        assert oracle.state(versions(*numbers), rules(), "a", facts).trust == marks

    def test_trust_is_computed_at_the_coordinate(self):
        rows = versions(1, 2, 4)
        assert oracle.state(rows, rules(), "a", BASE_1, version=2).trust == ()
        assert oracle.state(rows, rules(), "a", BASE_1, version=3).trust == ()  # it says that it stands at 2
        assert oracle.state(rows, rules(), "a", BASE_1, version=4).trust == ("version-gap",)

    def test_trust_knows_duplicates_and_a_strict_aggregate_unknown_types(self):
        twice = [event(1, 1, n=1), event(2, 1, n=1, type="Odd"), event(3, 1, n=1)]
        marks = ("duplicate-event", "unknown-event-type", "version-fork")
        assert oracle.state(twice, rules(unknown="error"), "a", BASE_1).trust == marks
        assert oracle.state(twice, rules(), "a", BASE_1).trust == ("duplicate-event", "version-fork")

    def test_history_has_a_row_for_each_version_and_says_what_changed(self):
        rows = [event(1, 1, n=1), event(2, 2, type="Noted"), event(3, 3, n=2), event(4, 3, n=-2)]
        history = oracle.history(rows, rules(), "a", BASE_1)
        assert [(row.version, row.positions, row.value["n"], row.changed) for row in history] == [
            (1, (1,), 1, ("n",)),
            (2, (2,), 1, ()),
            (3, (3, 4), 1, ()),
        ]
        assert [row.trust for row in history] == [(), (), ("version-fork",)]

    def test_blame_names_the_event_that_last_set_each_field(self):
        handlers = {"Added": add, "Named": lambda state, row: {**state, "name": "x"}}
        named = Rules("Counter", {"n": 0, "other": 1}, handlers, streams="*")
        rows = [event(1, 1, n=1), event(2, 2, type="Named"), event(3, 3, type="Named")]
        assert oracle.blame(rows, named, "a") == {"n": rows[0], "other": None, "name": rows[1]}

    def test_states_takes_the_streams_that_the_aggregate_covers(self):
        rows = [
            event(1, 1, stream="a-1", stream_type="Counter"),
            event(2, 1, stream="b-1", stream_type="Other"),
        ]
        assert list(oracle.states(rows, rules(streams=None), BASE_1)) == ["a-1"]
        assert list(oracle.states(rows, rules(streams=None, stream_type="Other"), BASE_1)) == ["b-1"]
        assert list(oracle.states(rows, rules(streams="[b]-*"), BASE_1)) == ["b-1"]

    @pytest.mark.parametrize(("starts", "base"), [((1, 1, 0), 1), ((0, 0, 1), 0), ((0, 1), None), ((5,), None)])
    def test_the_base_is_the_commoner_of_two(self, starts, base):
        rows = [event(i, version, stream=f"s{i}") for i, version in enumerate(starts)]
        assert oracle.infer_base(rows) == base


class TestVersions:
    def test_a_hole_is_one_gap_with_its_ends_and_the_rejects_in_it(self):
        [gap] = only(versions(1, 2, 5, 6), "version-gap", rejects=[("a", 4), ("a", 9), ("b", 3)])
        assert gap == ("version-gap", "error", "a", 3, 4, 3, (2, 3), {"rejected": [4]}, None)

    def test_two_holes_are_two_gaps_and_a_fork_is_none(self):
        assert [(g.version, g.to_version) for g in only(versions(1, 3, 3, 7), "version-gap")] == [
            (2, 2),
            (4, 6),
        ]

    def test_arrival_order_makes_no_gap(self):
        assert only(versions(3, 1, 2), "version-gap") == []

    def test_a_missing_head_is_a_warning_unless_declared(self):
        [head] = only(versions(3, 4), "missing-head", rejects=[("a", 1)])
        assert head == ("missing-head", "warning", "a", 1, 2, 1, (1,), {"rejected": [1]}, None)
        [declared] = only(versions(3, 4), "missing-head", Facts(base=1, truncated=("[a]*",)))
        assert declared.severity == "info"
        assert only(versions(3, 4), "missing-head", Facts()) == []

    def test_versions_below_the_base_are_invalid_and_fill_no_head(self):
        rows = versions(0, -1, 2)
        assert [f.version for f in only(rows, "invalid-version")] == [-1, 0]
        assert [f.version for f in only(rows, "invalid-version", Facts(base=0))] == [-1]
        assert [(f.version, f.to_version) for f in only(rows, "missing-head")] == [(1, 1)]
        assert only(rows, "version-gap") == []

    def test_nothing_is_claimed_from_derived_versions(self):
        rows = [*versions(2, 5, 4, -1), event(9, 5)]
        derived = Facts(base=1, derived_versions=True, positions="issued")
        assert findings(rows, derived) == []


class TestCopies:
    def test_the_same_event_twice_is_one_duplicate_and_no_fork(self):
        rows = [
            event(1, 1, n=1, event_id="x"),
            event(2, 1, n=1, event_id="x"),
            event(3, 1, n=1, event_id="x"),
        ]
        assert [tuple(f[:7]) for f in findings(rows, BASE_1)] == [
            ("duplicate-event", "error", "a", 1, None, 2, (1, 2, 3))
        ]

    def test_the_same_id_and_content_at_another_version_is_a_duplicate_too(self):
        rows = [event(1, 2, n=1, event_id="x"), event(2, 1, n=1, event_id="x")]
        assert [(f.version, f.position) for f in only(rows, "duplicate-event")] == [(2, 1)]
        assert only(rows, "event-id-reused") == []

    def test_without_ids_the_version_decides(self):
        same, other = [event(1, 1, n=1), event(2, 1, n=1)], [event(1, 1, n=1), event(2, 2, n=1)]
        assert len(only(same, "duplicate-event")) == 1
        assert only(other, "duplicate-event") == []

    def test_an_id_on_one_of_two_equal_events_makes_a_fork(self):
        rows = [event(1, 1, n=1), event(2, 1, n=1, event_id="x")]
        assert [f.check for f in findings(rows, BASE_1)] == ["version-fork"]

    def test_content_is_text_type_and_schema_version_but_not_time(self):
        first = event(1, 1, event_id="x", data_text='{"n":1}', recorded_at=NOON)
        same = replace(first, position=2, recorded_at=after(9), stream_type=None)
        for other in (
            replace(same, data_text='{"n": 1}'),
            replace(same, event_type="Taken"),
            replace(same, schema_version=2),
            replace(same, metadata_text="{}"),
        ):
            assert Counter(f.check for f in findings([first, other], BASE_1)) == {
                "event-id-reused": 1,
                "version-fork": 1,
            }
        assert [f.check for f in findings([first, same], BASE_1)] == ["duplicate-event"]

    def test_a_fork_lists_every_event_of_its_version(self):
        rows = [event(1, 1), event(2, 2, n=3), event(3, 2, n=3), event(4, 2, n=4), event(5, 3)]
        [fork] = only(rows, "version-fork")
        assert fork[:7] == ("version-fork", "error", "a", 2, None, 4, (2, 3, 4))

    def test_a_reused_id_is_found_across_streams(self):
        rows = [
            event(1, 1, event_id="x", n=1),
            event(2, 1, event_id="x", n=1, stream="b"),
            event(3, 1, stream="c"),
        ]
        [reused] = findings(rows, BASE_1)
        assert reused[:7] == ("event-id-reused", "error", "b", 1, None, 2, (1, 2))

    def test_the_same_content_soon_again_is_repeated(self):
        rows = [
            event(1, 1, n=1, event_id="x", recorded_at=after(0)),
            event(2, 2, n=1, event_id="y", recorded_at=after(60)),
            event(3, 3, n=1, event_id="z", recorded_at=after(121)),
        ]
        [repeated] = findings(rows, BASE_1, window=60)
        assert repeated[:7] == ("repeated-content", "info", "a", 2, None, 2, (1, 2))
        assert [f.positions for f in findings(rows, BASE_1, window=61)] == [(1, 2, 3)]
        assert findings(rows, BASE_1, window=59.9) == []
        assert [f.positions for f in findings(rows, BASE_1)] == [(1, 2, 3)]
        assert findings([replace(row, recorded_at=None) for row in rows], BASE_1) == []


class TestOrder:
    def test_an_inversion_is_a_version_below_the_highest_before_it(self):
        rows = versions(1, 3, 2, 3, 1, 4)
        assert [(f.version, f.position, f.positions) for f in only(rows, "order-inversion")] == [
            (1, 5, (2, 5)),
            (2, 3, (2, 3)),
        ]
        assert only(rows, "order-inversion", Facts(positions="issued")) == []
        assert len(only(rows, "order-inversion", Facts(positions="lines"))) == 2

    def test_the_clock_goes_back_by_more_than_the_tolerance_against_the_latest_before(self):
        times = (0, 10, 9, 8.5, None, 11)
        rows = [event(i, i, recorded_at=None if t is None else after(t)) for i, t in enumerate(times, start=1)]
        [back] = only(rows, "clock-regression")
        assert back[:7] == ("clock-regression", "warning", "a", 4, None, 4, (2, 4))
        assert len(only(rows, "clock-regression", tolerance=0.5)) == 2
        assert only(rows, "clock-regression", Facts(positions="issued")) == []

    def test_streams_have_clocks_of_their_own(self):
        rows = [event(1, 1, recorded_at=after(99)), event(2, 1, stream="b", recorded_at=after(0))]
        assert findings(rows, BASE_1) == []

    def test_missing_positions_are_one_summary(self):
        rows = [event(5, 1), event(7, 2), event(10, 3)]
        assert findings(rows, BASE_1) == [
            ("position-gap", "info", None, None, None, 7, (5, 7), {"holes": 2, "missing": 3}, None)
        ]
        assert findings(rows, Facts(base=1, positions="lines")) == []

    def test_mixed_types(self):
        rows = [event(i, i, stream_type=kind) for i, kind in enumerate((None, "A", "A", "B", "A", "C"), start=1)]
        [mixed] = findings(rows, BASE_1)
        assert mixed[:7] == ("stream-type-mixed", "warning", "a", 4, None, 4, (2, 4, 6))

    def test_writers_that_take_turns(self):
        rows = [event(i, i, writer=writer) for i, writer in enumerate(("A", "A", None, "B", None, "A", "B"))]
        [turn] = findings(rows, Facts(base=0))
        assert turn[:7] == ("interleaved-writers", "info", "a", 5, None, 5, (1, 3, 5))
        assert findings(rows[:5], Facts(base=0)) == []


class TestCauses:
    def test_a_cause_that_comes_later(self):
        rows = [event(1, 1, event_id="x", causation_id="y"), event(2, 2, event_id="y", causation_id="y")]
        [later] = findings(rows, BASE_1)
        assert later[:8] == (
            *("broken-causation", "warning", "a", 1, None, 1, (1, 2)),
            {"problem": "later", "cause": "y"},
        )
        assert findings(rows, Facts(base=1, positions="issued")) == []

    def test_a_cycle_is_one_finding_also_with_issued_positions(self):
        ring = [event(i, i, event_id=f"e{i}", causation_id=f"e{i % 3 + 1}") for i in (1, 2, 3)]
        leads_in = event(4, 4, event_id="e4", causation_id="e1")
        for facts in (BASE_1, Facts(base=1, positions="issued")):
            [cycle] = findings([*ring, leads_in], facts)
            assert cycle[:8] == (
                "broken-causation",
                "warning",
                "a",
                1,
                None,
                1,
                (1, 2, 3),
                {"problem": "cycle"},
            )

    def test_causes_outside_the_log_are_one_summary(self):
        rows = [
            event(1, 1, causation_id="command-1"),
            event(2, 2, causation_id=7),
            event(3, 3, causation_id=""),
        ]
        assert findings(rows, BASE_1) == [
            ("broken-causation", "info", None, None, None, 1, (1, 2), {"problem": "absent", "count": 2}, None)
        ]

    def test_metadata_may_keep_causes_elsewhere(self):
        row = event(1, 1, metadata_text='{"headers":{"a/b":"gone"}}')
        facts = Facts(base=1, keys={"causation_id": "/headers/a~1b"})
        assert [f.check for f in findings([row], facts)] == ["broken-causation"]
        assert findings([row], BASE_1) == []

    @pytest.mark.parametrize(
        "text", [None, "null", "[]", '"x"', "not json", '{"causation_id":{}}', '{"causation_id":true}']
    )
    def test_metadata_without_a_cause_says_nothing(self, text):
        assert findings([event(1, 1, metadata_text=text)], BASE_1) == []


NEVER_NEGATIVE = MappingProxyType({"never negative": lambda state: state["n"] >= 0})


class TestMeaning:
    def amounts(self, *numbers: int) -> list[Row]:
        return [event(i, i, data_text=f'{{"n":{n}}}') for i, n in enumerate(numbers, start=1)]

    def test_an_invariant_breaks_once_with_the_last_good_version_and_the_recovery(self):
        [broken] = findings(self.amounts(5, -3, -4, -1, 9, -90), BASE_1, [rules(invariants=NEVER_NEGATIVE)])
        assert broken[:7] == ("invariant-violated", "error", "a", 3, None, 3, (3,))
        assert broken.detail == {
            "aggregate": "Counter",
            "invariant": "never negative",
            "last_good": 2,
            "recovered": 5,
            "holds_at_end": False,
        }

    def test_an_invariant_may_never_have_held(self):
        [broken] = findings(self.amounts(-1), BASE_1, [rules(invariants=NEVER_NEGATIVE)])
        assert (broken.detail["last_good"], broken.detail["recovered"]) == (None, None)

    def test_an_invariant_is_judged_at_the_end_of_a_commit(self):
        rows = [event(i, i, n=n, commit_id=c) for i, n, c in ((1, 1, "x"), (2, -5, "y"), (3, 4, "y"), (4, -1, "z"))]
        checked = rules(invariants=NEVER_NEGATIVE)
        assert [f.version for f in findings(rows[:3], BASE_1, [checked])] == []
        assert [f.version for f in findings(rows, BASE_1, [checked])] == [4]
        assert [f.version for f in findings(rows[:2], BASE_1, [checked])] == [2]

    def test_a_predicate_that_raises_does_not_hold(self):
        checked = rules(invariants={"has a name": lambda state: state["name"]})
        assert [f.check for f in findings(self.amounts(1), BASE_1, [checked])] == ["invariant-violated"]

    def test_a_handler_error_is_one_finding_a_stream_and_type(self):
        rows = [
            event(1, 1),
            event(2, 2, type="Failing"),
            event(3, 3, type="Failing"),
            event(4, 1, stream="b", type="Failing"),
        ]
        first, second = findings(rows, BASE_1, [rules()])
        assert first[:7] == ("handler-error", "error", "a", 2, 3, 2, (2, 3))
        assert first.detail == {"aggregate": "Counter", "error": "ValueError: no"}
        assert second[:7] == ("handler-error", "error", "b", 1, None, 4, (4,))

    def test_an_unknown_type_is_one_finding_and_an_error_when_strict(self):
        rows = [event(1, 1, type="Odd"), event(2, 2), event(3, 1, stream="b", type="Odd")]
        [unknown] = findings(rows, BASE_1, [rules()])
        assert unknown[:7] == ("unknown-event-type", "warning", "a", 1, None, 1, (1, 3))
        assert [f.severity for f in findings(rows, BASE_1, [rules(unknown="error")])] == ["error"]
        assert findings(rows, BASE_1, [rules(final=("Odd",))])[0].check == "event-after-end"  # named, so known

    def test_only_covered_streams_are_judged(self):
        assert findings([event(1, 1, type="Odd", stream_type="Other")], BASE_1, [rules(streams=None)]) == []


class TestLifecycle:
    shipment = rules(
        handlers={"Noted": lambda state, row: state},
        first=("Booked",),
        transitions={"Booked": ("Sent",), "Sent": ("Delivered",), "Delivered": ("Returned",)},
        final=("Delivered",),
    )

    def found(self, *types: str, numbers: tuple[int, ...] = (), facts: Facts = BASE_1) -> list[tuple[Any, ...]]:
        chosen = numbers or range(1, len(types) + 1)
        rows = [event(i, v, type=t) for i, (v, t) in enumerate(zip(chosen, types, strict=True), start=1)]
        lifecycle = ("unexpected-first-event", "forbidden-transition", "event-after-end")
        every = findings(rows, facts, [self.shipment])
        return [(f.check, f.severity, f.version, f.positions) for f in every if f.check in lifecycle]

    def test_the_expected_way_passes(self):
        assert self.found("Booked", "Noted", "Sent", "Noted", "Delivered", "Returned") == []

    def test_a_wrong_first_event_is_info_behind_a_missing_head(self):
        assert self.found("Sent") == [("unexpected-first-event", "error", 1, (1,))]
        assert self.found("Noted") == [("unexpected-first-event", "error", 1, (1,))]
        assert self.found("Sent", numbers=(2,)) == [("unexpected-first-event", "info", 2, (1,))]
        assert self.found("Sent", numbers=(2,), facts=Facts()) == [("unexpected-first-event", "info", 2, (1,))]
        assert self.found("Sent", numbers=(1,), facts=Facts()) == [("unexpected-first-event", "error", 1, (1,))]
        derived = Facts(derived_versions=True)
        assert self.found("Sent", numbers=(2,), facts=derived) == [("unexpected-first-event", "error", 2, (1,))]

    def test_a_forbidden_transition_is_info_across_a_gap(self):
        assert self.found("Booked", "Delivered") == [("forbidden-transition", "error", 2, (1, 2))]
        assert self.found("Booked", "Noted", "Booked") == [("forbidden-transition", "error", 3, (1, 3))]
        assert self.found("Booked", "Delivered", numbers=(1, 3)) == [("forbidden-transition", "info", 3, (1, 2))]

    def test_nothing_follows_the_end_but_what_reopens_it(self):
        ended = ("Booked", "Sent", "Delivered")
        assert self.found(*ended, "Noted", "Sent") == [("event-after-end", "error", 4, (3, 4, 5))]
        assert self.found(*ended, "Sent", "Returned") == [("event-after-end", "error", 4, (3, 4))]
        assert self.found(*ended, "Returned", "Booked", "Delivered") == [("forbidden-transition", "error", 6, (5, 6))]


class TestAfter:
    checked = rules(invariants=NEVER_NEGATIVE)

    def damage(self, rows: list[Row], facts: Facts = BASE_1) -> list[str | None]:
        return [f.after for f in only(rows, "invariant-violated", facts, self.checked)]

    def test_a_finding_names_the_first_damage_of_its_stream_up_to_its_own_event(self):
        assert self.damage([event(1, 1, n=-1), event(2, 3)]) == [None]
        assert self.damage([event(1, 1, n=1), event(2, 3, n=-5)]) == ["version-gap@2"]
        assert self.damage([event(1, 2, n=-1)]) == ["missing-head@1"]
        assert self.damage([event(1, 1, n=5), event(2, 2, n=-3), event(3, 2, n=-4)]) == ["version-fork@2"]
        assert self.damage([event(1, 1, n=5), event(2, 2, n=-3), event(3, 2, n=-3)]) == ["duplicate-event@2"]
        assert self.damage([event(1, 1, n=5), event(2, 2, n=-9), event(3, 2, n=1)]) == [None]
        assert self.damage([event(1, 1, n=-1), event(2, 2, stream="b")]) == [None]

    def test_damage_that_the_facts_do_not_claim_is_no_cause(self):
        assert self.damage([event(1, 2, n=-1)], Facts()) == [None]


def test_findings_come_in_report_order():
    rows = [*versions(2, 4), *versions(1, 3, 3, stream="b")]
    rows = [replace(row, position=3 * i + 1) for i, row in enumerate(rows)]
    assert [(f.severity, f.check, f.stream_id) for f in findings(rows, BASE_1)] == [
        ("error", "version-fork", "b"),
        ("error", "version-gap", "a"),
        ("error", "version-gap", "b"),
        ("warning", "missing-head", "a"),
        ("info", "position-gap", None),
    ]


def test_columns_have_the_canonical_names():
    row = Row(1, "a", 1, data_text="{}", metadata_text=None)
    assert (row.columns()["data"], row.columns()["metadata"], row.data, row.metadata) == ("{}", None, {}, {})


@given(st.data())
def test_the_order_in_which_rows_are_given_does_not_matter(data):
    rows = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(rows))
    rules = data.draw(strategies.aggregates())
    shuffled = data.draw(st.permutations(rows))
    assert findings(shuffled, facts, [rules]) == findings(rows, facts, [rules])
    coordinate = data.draw(strategies.coordinates(rows))
    assert oracle.states(shuffled, rules, facts, **coordinate) == oracle.states(rows, rules, facts, **coordinate)


@given(strategies.payload_texts())
def test_payload_texts_are_json_objects(text):
    assert isinstance(json.loads(text), dict)

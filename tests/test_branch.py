"""Branches: a log with edits is the log that has them, and the log that was branched stays as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench import travel
from esbench.branch import BadEdit, Edits, UnknownEvent, branch
from esbench.branch.overlay import Steps
from esbench.checks import check
from esbench.errors import BadCoordinate, UnknownStream
from esbench.event import At, at
from esbench.events import Events
from tests import oracle, strategies
from tests.checks.compare import aggregate_of, claimed, connect, events_of, expected, found
from tests.conftest import ROOT
from tests.oracle import Row

LAYOUTS = st.sampled_from(("ordered", "unordered", "wrong"))


@pytest.fixture(scope="module")
def con():
    return connect()


@pytest.fixture(scope="module")
def stock() -> es.Log:
    return es.open().load(ROOT / "data" / "inventory.jsonl")


@pytest.fixture
def inventory() -> es.Aggregate:
    from aggregates import inventory

    assert isinstance(inventory, es.Aggregate)
    return inventory


def rows_of(events: Events) -> list[Row]:
    """Events as rows of the reference, by position."""
    return sorted(
        (Row(**{name: getattr(event, name) for name in Row.__dataclass_fields__}) for event in events),
        key=lambda row: row.position,
    )


# Edits by hand, on a plain list.


@dataclass
class ByHand:
    """What the edits of one stream mean, done to a list of rows."""

    rows: list[Row]
    stream_id: str
    end: int

    def stream(self) -> list[Row]:
        return oracle.folding_order(row for row in self.rows if row.stream_id == self.stream_id)

    def insert(self, row: Row, *, shift: bool) -> None:
        stream = self.stream()
        before = [each for each in stream if each.version < row.version or (each.version == row.version and not shift)]
        after = [each for each in stream if each not in before]
        places = [each.position for each in after] + [each.position + 1 for each in before[-1:]]
        position = min(places, default=max((each.position for each in self.rows), default=0) + 1)
        near = before[-1] if before else min(after, key=lambda each: each.position, default=None)
        taken = shift and any(each.version == row.version for each in after)
        self.rows = [
            replace(
                each,
                position=each.position + (each.position >= position),
                version=each.version + (taken and each.stream_id == self.stream_id and each.version >= row.version),
            )
            for each in self.rows
        ]
        recorded_at, kind = (near.recorded_at, near.stream_type) if near else (None, None)
        self.rows.append(replace(row, position=position, recorded_at=recorded_at, stream_type=kind))
        self.end = row.version + 1

    def drop(self, row: Row, *, close: bool) -> None:
        self.rows.remove(row)
        alone = not any(each.version == row.version for each in self.stream())
        if close:
            self.rows = [
                replace(
                    each,
                    position=each.position - (each.position > row.position),
                    version=each.version - (alone and each.stream_id == self.stream_id and each.version > row.version),
                )
                for each in self.rows
            ]
            self.end -= alone and row.version < self.end

    def change(self, row: Row, **values: Any) -> None:
        self.rows[self.rows.index(row)] = replace(row, **values)


PAYLOADS: tuple[Any, ...] = ({"n": 1}, {"n": -7}, {"n": None}, {}, None, [1], "text", {"n": 2**70, "ü": "'\"<b>"})
LARGE = '{"n":1180591620717411303424,"ü":"\'\\"<b>"}'
ENCODED = ('{"n":1}', '{"n":-7}', '{"n":null}', "{}", None, "[1]", '"text"', LARGE)


def edit(draw: st.DrawFn, edits: Edits, by_hand: ByHand) -> Edits:
    """One edit, in both ways."""
    stream = by_hand.stream()
    kind = draw(st.sampled_from(("insert", "insert", "drop", "change") if stream else ("insert",)))
    index = draw(st.integers(0, len(PAYLOADS) - 1))
    if kind == "insert":
        shift = draw(st.booleans())
        event_type = draw(st.one_of(st.sampled_from(strategies.TYPES), strategies.hostile_texts()))
        event_id = draw(st.one_of(st.none(), strategies.hostile_texts()))
        versions = [row.version for row in stream]
        low = min([0, *versions] if edits.source.facts.base is None else [edits.source.facts.base, *versions])
        if edits.source.facts.base is None and versions:
            low = min(versions)
        if shift:
            high = max(versions) + 1 if versions else low + 3
            version = draw(st.one_of(st.none(), st.integers(low, high)))
            if version is None and not low <= by_hand.end <= high:
                version = high
        else:
            version = draw(st.integers(low - 1, low + 9))
        made = edits.insert(
            event_type=event_type, data=PAYLOADS[index], version=version, shift=shift, event_id=event_id
        )
        known = {row.event_id for row in by_hand.rows}
        new = next(row for row in rows_of(made.events) if event_id is not None or row.event_id not in known)
        if event_id is None:
            assert new.event_id is not None
            assert UUID(new.event_id).version == 5
            event_id = new.event_id
        wanted = by_hand.end if version is None else version
        by_hand.insert(Row(0, edits.stream_id, wanted, event_type, ENCODED[index], event_id=event_id), shift=shift)
        return made
    row = draw(st.sampled_from(stream))
    if kind == "drop":
        close = draw(st.booleans())
        by_hand.drop(row, close=close)
        return edits.drop(position=row.position, close=close)
    if draw(st.booleans()):
        by_hand.change(row, event_type="Noted")
        return edits.change(position=row.position, event_type="Noted")
    by_hand.change(row, data_text=ENCODED[index])
    return edits.change(position=row.position, data=PAYLOADS[index])


@st.composite
def edited(draw: st.DrawFn, con: Any, rows: list[Row], facts: oracle.Facts) -> tuple[Events, Edits, list[Row]]:
    """A log, a branch of it with edits in up to two streams, and its rows edited by hand."""
    source = events_of(rows, facts, con=con, layout=draw(LAYOUTS))
    edits: Edits | None = None
    for _ in range(draw(st.integers(1, 2))):
        stream_id = draw(st.sampled_from(sorted(oracle.streams(rows))))
        edits = branch(source, stream_id) if edits is None else edits.branch(stream_id)
        by_hand = ByHand(list(rows), stream_id, edits.end)
        for _ in range(draw(st.integers(0, 4))):
            edits = edit(draw, edits, by_hand)
            assert edits.end == by_hand.end
        rows = by_hand.rows
        if not by_hand.stream():
            break
    assert edits is not None
    return source, edits, sorted(rows, key=lambda row: row.position)


@given(data=st.data())
def test_branch_has_the_rows_that_editing_by_hand_gives(con, data):
    rows = data.draw(strategies.logs(payloads=st.one_of(strategies.payload_texts(), st.none())))
    facts = data.draw(strategies.facts_for(rows))
    source, edits, by_hand = data.draw(edited(con, rows, facts))
    assert rows_of(edits.events) == by_hand
    assert rows_of(source) == rows


@settings(max_examples=20)
@given(rows=strategies.logs(), data=st.data())
def test_branch_of_an_ordered_log_comes_in_folding_order(con, rows, data):
    edits = branch(events_of(rows, oracle.Facts(), con=con), rows[0].stream_id)
    for _ in range(3):
        edits = edit(data.draw, edits, ByHand(rows_of(edits.events), rows[0].stream_id, edits.end))
    assert edits.events.ordered
    places: list[Any] = []
    for batch in edits.events.batches(["stream_key", "version", "position"]):
        places += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    assert places == sorted(places)


@settings(max_examples=25)
@given(data=st.data())
def test_branch_folds_as_the_log_edited_by_hand(con, data):
    rows = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(rows))
    rules = data.draw(strategies.aggregates().map(lambda rules: replace(rules, streams="*")))
    _, edits, by_hand = data.draw(edited(con, rows, facts))
    if not by_hand:
        return
    coordinate = data.draw(strategies.coordinates(by_hand))
    aggregate, events = aggregate_of(rules), edits.events
    wanted = oracle.states(by_hand, rules, facts, **coordinate)
    frame = travel.states(events, aggregate, at(**coordinate))
    assert set(frame["stream_id"]) == set(wanted)
    for row in frame.to_dict("records"):
        one = wanted[row["stream_id"]]
        known = {name: value for name, value in row.items() if name in ("n", "last", "reset") and not pd.isna(value)}
        assert (row["version"], row["events"], known) == (one.version, one.events, one.value)
        assert (row["trust"] == "complete") == (one.trust == ())
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(by_hand))))
    told = oracle.history(by_hand, rules, stream_id, facts, **coordinate)
    history = travel.history(events, aggregate, stream_id, at(**coordinate))
    assert history["position"].tolist() == [position for each in told for position in each.positions]
    for each in told:
        last = history[history["version"] == each.version].to_dict("records")[-1]
        assert {name: value for name, value in last.items() if name in each.value} == each.value


@settings(max_examples=25)
@given(data=st.data())
def test_branch_has_the_findings_of_the_log_edited_by_hand(con, data):
    rows = data.draw(strategies.logs())
    facts = data.draw(strategies.facts_for(rows))
    rules = data.draw(strategies.aggregates().map(lambda rules: replace(rules, streams="*")))
    _, edits, by_hand = data.draw(edited(con, rows, facts))
    if by_hand:
        report = check(edits.events, [aggregate_of(rules)])
        assert found(report) == expected(claimed(by_hand, oracle.findings(by_hand, facts, [rules])))


@settings(max_examples=20)
@given(rows=strategies.logs(max_damage=0, position_holes=False), data=st.data())
def test_numbering_alone_makes_no_damage(con, rows, data):
    facts = oracle.Facts(base=oracle.infer_base(rows))
    source = events_of(rows, facts, con=con)
    damage = {"version-gap", "version-fork", "missing-head", "position-gap", "order-inversion", "clock-regression"}
    before = set(check(source, only=damage).counts)
    edits = branch(source, data.draw(st.sampled_from(sorted(oracle.streams(rows)))))
    for _ in range(3):
        versions = [row["version"] for row in edits.stream.find()]
        if versions and data.draw(st.booleans()):
            edits = edits.drop(data.draw(st.sampled_from(versions)))
        else:
            edits = edits.insert(event_type="Noted", version=data.draw(st.sampled_from([None, *versions])))
    assert set(check(edits.events, only=damage).counts) <= before


@given(seed=st.lists(st.integers(-5, 15), min_size=1, max_size=8, unique=True), data=st.data())
def test_steps_move_numbers_as_one_by_one(seed, data):
    present = sorted(seed)
    moved, steps = list(present), Steps()
    for _ in range(data.draw(st.integers(1, 8))):
        number = data.draw(st.integers(-8, 20))
        by = data.draw(st.sampled_from((1, -1)))
        if by == -1 and number in moved:
            del present[moved.index(number)], moved[moved.index(number)]
        start = number if by == 1 else number + 1
        steps = steps.moved(start, by)
        moved = [each + by if each >= start else each for each in moved]
        assert [steps.of(each) for each in present] == moved
        assert [steps.back(each) for each in moved] == present


# As a user meets it.


def test_without_edits_a_branch_is_the_log_whatever_its_coordinate(stock, inventory):
    one = stock.branch("item-123", version=2)
    pd.testing.assert_frame_equal(one.events(), stock.events())
    pd.testing.assert_frame_equal(one.states(inventory), stock.states(inventory))
    assert one.diff(inventory).empty
    assert one.source.query == stock.source.query
    assert "no edits" in repr(one)


def test_the_log_is_untouched_after_everything(stock, inventory):
    before = stock.events()
    one = stock.branch("item-123", version=2).insert(event_type="ItemsAdded", data={"quantity": 9})
    one = one.drop(position=347).change(4, data={"name": "Bowl"}).branch("item-101").drop(1)
    one.check(inventory)
    one.states(inventory)
    pd.testing.assert_frame_equal(stock.events(), before)
    assert stock.sql("select md5(string_agg(data, '' order by position)) as digest from events").equals(
        stock.sql("select md5(string_agg(data, '' order by position)) as digest from events")
    )


def test_what_if_the_second_order_had_not_happened(stock, inventory):
    one = stock.branch("item-123", version=3).drop(position=347)
    assert one.state(inventory, "item-123").quantity == 2
    assert one.state(inventory, "item-123").complete
    assert len(one) == len(stock) - 1
    assert one.diff(inventory)[["stream_id", "path", "before", "after"]].values.tolist() == [
        ["item-123", "/quantity", -2, 2]
    ]
    told = one.diff(inventory, by="version")
    assert told["version_before"].tolist() == [3, 4]
    assert told["version_after"].tolist() == [pd.NA, 4]
    assert told["after"].tolist() == [2, 2]
    with pytest.raises(BadEdit, match='by= is "stream" or "version", not \'day\''):
        one.diff(inventory, by="day")
    assert repr(one).splitlines() == [
        "Branch of 'inventory' in item-123, from version 3 on: 455 events, 60 streams, 4 rejects",
        "  ItemsOrdered at version 3 of item-123 dropped",
    ]


def test_a_change_keeps_id_version_position_and_every_other_text(stock, inventory):
    one = stock.branch("item-123").change(2, data=lambda data: {**data, "quantity": 50})
    old, new = stock.events("item-123"), one.events("item-123")
    assert new.drop(columns="data").equals(old.drop(columns="data"))
    assert new["data"].tolist()[1] == '{"quantity":50,"unit_cost":35.7,"sscc":340123451714905045,"warehouse":"hamburg"}'
    assert new["data"].drop(index=1).equals(old["data"].drop(index=1))
    renamed = stock.branch("item-123").change(2, event_type="ItemsFound")
    assert renamed.events("item-123")["data"].equals(old["data"])
    assert one.state(inventory, "item-123").quantity == 43


def test_inserted_events_follow_each_other_and_have_the_same_ids_each_time(stock):
    def made() -> es.Branch:
        one: es.Branch = stock.branch("item-123", version=2)
        for n in (1, 2):
            one = one.insert(event_type="ItemsAdded", data={"quantity": n})
        return one

    frame = made().events("item-123")
    assert frame["version"].tolist() == [1, 2, 3, 4, 5, 5, 6]
    assert frame["event_type"].tolist()[2:4] == ["ItemsAdded", "ItemsAdded"]
    assert frame["recorded_at"][2] == frame["recorded_at"][3] == frame["recorded_at"][1]
    assert frame["event_id"].is_unique
    assert frame.equals(made().events("item-123"))
    assert (
        made().check(only=["position-gap", "order-inversion", "version-gap"]).counts
        == stock.check(only=["position-gap", "order-inversion", "version-gap"]).counts
    )


def test_a_lost_event_is_put_back_into_its_gap(stock):
    assert "version-gap" in stock.branch("item-150").check(only=["version-gap"]).counts
    one = stock.branch("item-150", version=3).insert(event_type="ItemsAdded", data={"quantity": 1})
    assert one.events("item-150")["version"].tolist() == list(range(1, len(one.events("item-150")) + 1))


def test_a_fork_and_a_gap_are_made_on_purpose(stock):
    fork = stock.branch("item-101").insert(event_type="ItemsAdded", data={}, version=2, shift=False)
    assert "item-101" in set(fork.check(only=["version-fork"]).findings["stream_id"])
    gap = stock.branch("item-101").drop(2, close=False)
    assert "item-101" in set(gap.check(only=["version-gap"]).findings["stream_id"])


def test_rejects_move_with_the_versions_of_their_stream(stock):
    one = stock.branch("item-150").drop(1)
    assert stock.rejects.set_index("stream_id")["version"]["item-150"] == 4
    assert one.rejects.set_index("stream_id")["version"]["item-150"] == 3
    finding = one.check(only=["version-gap"]).findings.set_index("stream_id").loc["item-150"]
    assert "among the rejects: 3" in finding["explanation"]


def test_a_branch_of_a_branch_is_compared_to_the_branch(stock, inventory):
    first = stock.branch("item-123").drop(position=347)
    second = first.branch("item-101").drop(1).branch("item-123", version=2).drop(2)
    assert second.original.original is first
    assert len(second) == len(stock) - 3
    assert second.diff(inventory)["stream_id"].unique().tolist() == ["item-123"]
    assert second.diff(inventory).set_index("path")["before"]["/quantity"] == 2
    told = second.diff(inventory, by="version")
    assert told["version_before"].tolist() == [2, 3, 4]
    assert told["version_after"].tolist() == [pd.NA, 2, 3]


def test_diff_takes_positions_of_the_original_and_coordinates_of_the_branch(stock, inventory):
    one = stock.branch("item-123", version=2).insert(event_type="ItemsAdded", data={"quantity": 100})
    assert one.diff(inventory, position=346)[["before", "after"]].values.tolist() == [[2, 102]]
    assert one.diff(inventory, position=340).empty
    assert one.diff(inventory, es.at(version=2), stream="item-123")["after"].tolist()[-1] == 98


@pytest.mark.parametrize(
    ("coordinate", "version"),
    [({"version": 2}, 3), ({"version": 99}, 5), ({"position": 345}, 3), ({"as_of": "2024-03-01"}, 2), ({}, 5)],
)
def test_an_event_is_inserted_after_the_coordinate(stock, coordinate, version):
    frame = stock.branch("item-123", **coordinate).insert(event_type="Noted").events("item-123")
    assert frame.set_index("event_type")["version"]["Noted"] == version


def test_a_coordinate_before_the_first_event_inserts_the_first(stock):
    frame = stock.branch("item-123", position=1).insert(event_type="Noted").events("item-123")
    assert frame["version"].tolist() == [1, 2, 3, 4, 4, 5]
    assert frame["event_type"][0] == "Noted"


@pytest.mark.parametrize(
    ("edit", "error", "text"),
    [
        (lambda b: b.drop(9), UnknownEvent, 'no event of version 9 in "item-123". Nearest: 4'),
        (lambda b: b.drop(position=100), UnknownEvent, "Nearest: 25 and 340"),
        (lambda b: b.drop(event_id="699feaa0-d2e4"), UnknownEvent, "no event of event_id 699feaa0-d2e4"),
        (lambda b: b.drop(3), UnknownEvent, r"2 events of version 3: name one by position= \(346, 347\)"),
        (lambda b: b.drop(), BadEdit, "one of version, position and event_id; got 0"),
        (lambda b: b.drop(1, position=25), BadEdit, "got 2"),
        (lambda b: b.drop("two"), BadEdit, "version is not an integer"),
        (lambda b: b.drop(position=2**70), BadEdit, "position is not an integer"),
        (lambda b: b.insert(event_type=""), BadEdit, "event_type is a text that is not empty"),
        (lambda b: b.insert(event_type="\ud800"), BadEdit, "event_type is a text"),
        (lambda b: b.change(2, event_type=None), BadEdit, "event_type is a text"),
        (lambda b: b.insert(event_type="T", recorded_at="noon"), BadCoordinate, "not an ISO 8601 time"),
        (lambda b: b.drop(1), BadCoordinate, "version 1 .* lies before the coordinate of the branch, version 2"),
        (lambda b: b.change(2), BadEdit, "without a change"),
        (lambda b: b.change(2, data=lambda data: None), BadEdit, "returned None"),
        (lambda b: b.change(2, data=float("nan")), BadEdit, "data cannot be written as JSON"),
        (lambda b: b.insert(event_type="T", version=1), BadCoordinate, "begin at version=1"),
        (lambda b: b.insert(event_type="T", version=9), BadEdit, "leaves a gap after the last, 4"),
        (lambda b: b.insert(event_type="T", data=object()), BadEdit, "data cannot be written as JSON"),
    ],
)
def test_an_edit_that_cannot_be_made_says_what_can(stock, edit, error, text):
    with pytest.raises(error, match=text):
        edit(stock.branch("item-123", version=2))


def test_an_unknown_stream_names_the_nearest(stock):
    with pytest.raises(UnknownStream, match=r'Did you mean .*"item-123"'):
        stock.branch("item-1234")


def test_html_is_escaped(con):
    hostile = '<script>alert("1")</script>'
    rows = pd.DataFrame({"stream_id": [hostile], "version": [1], "event_type": [hostile], "data": ["{}"]})
    one = es.open().load(rows, name=hostile).branch(hostile).insert(event_type=hostile, data={"x": hostile})
    assert "<script" not in one._repr_html_()
    assert [event.version for event in one] == [1, 2]


def test_a_branch_sees_what_is_appended_to_its_log(tmp_path):
    bench = es.open()
    frame = pd.DataFrame({"stream_id": "a", "version": [1, 2], "event_type": "T", "position": [1, 2]})
    log = bench.load(frame, name="things")
    one = log.branch("a").insert(event_type="New")
    bench.load(
        pd.DataFrame({"stream_id": "b", "version": [1], "event_type": ["T"], "position": [3]}),
        name="things",
        append=True,
    )
    assert one.events()[["stream_id", "position"]].values.tolist() == [["a", 1], ["a", 2], ["a", 3], ["b", 4]]


def test_an_end_coordinate_is_none(con):
    events = events_of([Row(1, "a", 1)], oracle.Facts(), con=con)
    assert branch(events, "a", At()).point is None

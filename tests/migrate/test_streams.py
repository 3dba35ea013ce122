"""Steps on streams and logs agree with the same done by hand, on logs with any damage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import payload
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.steps import ids
from esbench.migrate.steps.closing import close_stream
from esbench.migrate.steps.compacting import compact, truncate
from esbench.migrate.steps.concatenating import concat
from esbench.migrate.steps.rekeying import rekey, rename_stream
from esbench.migrate.steps.renumbering import reissue_ids, reissue_positions, renumber, set_stream_type
from esbench.migrate.steps.streams import merge_streams, move_events, split_stream
from tests import oracle, strategies
from tests.checks.compare import connect, events_of
from tests.migrate import oracle_streams as hand
from tests.migrate.oracle_streams import Item
from tests.oracle import Facts, Row

ORDERS = st.sampled_from(("position", "recorded_at", "one after another"))
PATTERNS = st.sampled_from(("a-*", "*", "?-1", "b-1", "none at all"))
_LINEAGE = ("source", "origin", "others", "nth", "steps", "met", "failed")


@pytest.fixture(scope="module")
def con():
    return connect()


@st.composite
def sources(draw: st.DrawFn) -> tuple[list[Row], Facts, str]:
    rows = draw(strategies.logs(max_streams=4, max_events=20))
    if draw(st.integers(0, 3)):
        # Names that the steps of these tests know, so that streams do meet.
        named = dict(zip(dict.fromkeys(row.stream_id for row in rows), ("b-1", "a-1", "a-2", "c"), strict=False))
        rows = [replace(row, stream_id=named[row.stream_id]) for row in rows]
    return rows, draw(strategies.facts_for(rows)), draw(st.sampled_from(("ordered", "unordered")))


def made(result: Result) -> list[Item]:
    """What a migration made, as rows of the reference."""
    times = {"recorded_at", "occurred_at"}
    columns = [f"{name}::varchar as {name}" if kind == "JSON" else name for name, kind in CANONICAL.items()]
    columns = [f"epoch_us({name}) as {name}" if name in times else name for name in columns]
    rows = result.work.events.rows(f"select {', '.join((*columns, *_LINEAGE))} from events")
    return [dict(zip((*CANONICAL, *_LINEAGE), row, strict=True)) for row in rows]


def microseconds(rows: list[Item]) -> list[Item]:
    def number(value: Any) -> int | None:
        return None if value is None else round(value.timestamp() * 1_000_000)

    return [{**item, **{name: number(item[name]) for name in ("recorded_at", "occurred_at")}} for item in rows]


def same(result: Result, expected: list[Item]) -> None:
    """Rows with lineage agree; keys and ids of streams belong together, and ``streams`` names them all."""
    found = made(result)
    assert sorted(found, key=hand.place) == sorted(microseconds(expected), key=hand.place)
    streams = result.work.events
    pairs = set(streams.rows("select distinct stream_key, stream_id from events"))
    assert len({key for key, _ in pairs}) == len({stream_id for _, stream_id in pairs}) == len(pairs)
    if streams.streams is not None:
        known = set(streams.con.cursor().execute(streams.streams).fetchall())
        assert pairs <= known
        assert len({stream_id for _, stream_id in known}) == len(known)
    if streams.ordered:
        versions = streams.rows("select stream_key, version, position from events")
        assert versions == sorted(versions)


def ledger(result: Result) -> list[tuple[Any, ...]]:
    return sorted(result.work.events.rows(f"select source, origin, merged from {result.work.scratch.table('gone')}"))


def stored(con: Any, rows: list[Row], facts: Facts, layout: str = "ordered") -> Events:
    events = events_of(rows, facts, con=con, layout=layout)
    return replace(events, streams="select distinct stream_key, stream_id from t")


def migrated(events: Events, *steps: Step) -> Result:
    return run(events, Migration("test", steps))


def matches(pattern: str) -> Callable[[str], bool]:
    return lambda stream_id: stream_id == pattern or fnmatchcase(stream_id, pattern)


def found_in(result: Result, facts: Facts, rows: list[Item], check: str) -> set[int]:
    """Origins of the events that have a finding."""
    named = {(item["stream_id"], item["position"]): item["origin"] for item in rows}
    names = ("position", "stream_id", "version", "recorded_at")
    events = [Row(**{name: item[name] for name in names}, data_text=item["data"]) for item in rows]
    given = replace(facts, truncated=result.events.facts.truncated, positions="recorded")
    return {named[each.stream_id, each.position] for each in oracle.findings(events, given) if each.check == check}


@given(sources(), st.data())
def test_renamed_stream_keeps_everything_but_its_id(con, source, data):
    rows, facts, layout = source
    before = hand.items(rows)
    old = data.draw(st.sampled_from(sorted({row.stream_id for row in rows})))
    new = data.draw(strategies.hostile_texts().map(lambda text: f"new {text}"))
    result = migrated(stored(con, rows, facts, layout), rename_stream(old, new))
    same(result, hand.regrouped(before, lambda item: new if item["stream_id"] == old else None, base=None))
    assert result.work.events.ordered is (layout == "ordered")
    assert result.events.facts.is_truncated(new) or not events_of(rows, facts, con=con).facts.is_truncated(old)


@given(
    sources(),
    st.lists(st.sampled_from(("a-1", "a-2", "b-1", "c")), min_size=4, max_size=4),
    st.none() | ORDERS,
    st.sampled_from(("dict", "frame", "function", "SQL")),
)
def test_rekeyed_streams_are_those_done_by_hand_or_refused_by_name(con, source, new, merge, form):
    rows, facts, layout = source
    mapping = dict(zip(("a-1", "a-2", "b-1", "zzz"), new, strict=True))
    cases = " ".join(f"when {old!r} then {target!r}" for old, target in mapping.items())
    by: Any = {
        "dict": mapping,
        "frame": pd.DataFrame(mapping.items()),
        "function": mapping.get,
        "SQL": f"case stream_id {cases} end",
    }[form]
    before = hand.items(rows)
    rank = {stream_id: place for place, stream_id in enumerate(dict.fromkeys(row.stream_id for row in rows))}

    def target(item: Item) -> str | None:
        return mapping.get(item["stream_id"])

    events, step = stored(con, rows, facts, layout), rekey(by, merge=merge)
    if hand.collide(before, target) and merge is None:
        with pytest.raises(MigrationError, match="would hold events of"):
            migrated(events, step)
        return
    expected = hand.regrouped(before, target, order=merge or "position", base=facts.base, rank=lambda old, _: rank[old])
    same(migrated(events, step), expected)


@given(sources(), PATTERNS, st.booleans(), st.sampled_from(("path", "SQL", "function")))
def test_split_streams_are_those_done_by_hand(con, source, pattern, known, form):
    rows, facts, layout = source
    by: Any = {"path": "/n", "SQL": "data->>'n'", "function": lambda event: (event.data or {}).get("n")}[form]

    def target(item: Item) -> str | None:
        value = None if item["data"] is None else json.loads(item["data"]).get("n")
        return f"{item['stream_id']}/{value}" if value is not None and matches(pattern)(item["stream_id"]) else None

    events = stored(con, rows, facts, layout) if known else events_of(rows, facts, con=con, layout=layout)
    result = migrated(events, split_stream(pattern, by, name="{stream}/{value}"))
    same(result, hand.regrouped(hand.items(rows), target, base=facts.base))
    assert ledger(result) == []


@given(sources(), st.sampled_from((["a-1", "b-1"], ["b-1", "a-1", "a-2"], "a-*", "*")), ORDERS)
def test_merged_streams_keep_their_own_order_and_get_no_new_inversion(con, source, streams, order):
    rows, facts, layout = source
    before = hand.items(rows)
    named = list(dict.fromkeys(row.stream_id for row in rows))
    listed = streams if isinstance(streams, list) else [one for one in named if matches(streams)(one)]

    def target(item: Item) -> str | None:
        return "b-1" if item["stream_id"] in listed else None

    events = stored(con, rows, facts, layout)
    if "b-1" in named and "b-1" not in listed and set(listed) & set(named):
        with pytest.raises(MigrationError, match='a stream "b-1" already'):
            migrated(events, merge_streams(streams, "b-1", order))
        return
    rank = {stream_id: place for place, stream_id in enumerate(listed)}
    expected = hand.regrouped(before, target, order=order, base=facts.base, rank=lambda old, _: rank.get(old, -1))
    result = migrated(events, merge_streams(streams, "b-1", order))
    same(result, expected)
    if order == "position":
        facts = replace(facts, derived_versions=False)
        old = found_in(result, facts, before, "order-inversion")
        assert found_in(result, facts, expected, "order-inversion") <= old


@given(sources(), st.sampled_from(("Added", "Taken", "Set")), st.sampled_from(("a-1", "new", "{stream}+")), ORDERS)
def test_moved_events_are_those_done_by_hand(con, source, event_type, to, order):
    rows, facts, layout = source

    def target(item: Item) -> str | None:
        return to.replace("{stream}", item["stream_id"]) if item["event_type"] == event_type else None

    named = list(dict.fromkeys(row.stream_id for row in rows))
    expected = hand.regrouped(
        hand.items(rows),
        target,
        order=order,
        base=facts.base,
        rank=lambda old, new: (old != new, named.index(old)),
    )
    result = migrated(stored(con, rows, facts, layout), move_events(event_type, to, order=order))
    same(result, expected)
    if facts.base is not None and not facts.derived_versions:
        changed = {item["stream_id"] for item in expected if item["steps"]}
        whole = {item["origin"] for item in expected if item["stream_id"] not in changed}
        for check in ("version-gap", "missing-head"):
            before = found_in(result, facts, hand.items(rows), check)
            assert found_in(result, facts, expected, check) <= before | whole


@given(sources(), PATTERNS, st.integers(1, 5), st.booleans())
def test_truncated_streams_lose_their_head_and_say_so(con, source, pattern, number, by_version):
    rows, facts, layout = source
    step = truncate(pattern, before_version=number) if by_version else truncate(pattern, keep_last=number)

    def cut(stream: list[Item]) -> int | None:
        if not matches(pattern)(stream[0]["stream_id"]):
            return None
        return number if by_version else stream[-number]["version"] if len(stream) >= number else None

    before = hand.items(rows)
    left, gone = hand.truncated(before, cut)
    result = migrated(stored(con, rows, facts, layout), step)
    same(result, left)
    assert ledger(result) == sorted((0, item["origin"], False) for item in gone)
    assert {row[:2] for row in result.work.events.rows(f"with x as ({result.dropped}) select * from x")} == {
        (0, item["origin"]) for item in gone
    }
    for stream_id in {row.stream_id for row in rows}:
        was = events_of(rows, facts, con=con).facts.is_truncated(stream_id)
        lost = any(item["stream_id"] == stream_id for item in gone)
        assert result.events.facts.is_truncated(stream_id) is (was or lost)


@given(sources(), PATTERNS, st.none() | st.sampled_from((0, 1)))
def test_renumbered_streams_are_contiguous_in_folding_order(con, source, pattern, base):
    rows, facts, layout = source
    result = migrated(stored(con, rows, facts, layout), renumber(base=base, streams=pattern))
    first = facts.base if base is None else base
    same(result, hand.renumbered(hand.items(rows), matches(pattern), base=first))
    everything = migrated(stored(con, rows, facts, layout), renumber(base=base))
    streams = hand.by_stream(made(everything))
    for stream in streams.values():
        numbers = [item["version"] for item in stream]
        assert numbers == list(range(numbers[0], numbers[0] + len(stream)))
    assert everything.events.facts.base == (facts.base if base is None else base)
    assert streams.keys() == {row.stream_id for row in rows}


@given(sources(), PATTERNS, st.data())
def test_compacted_streams_start_with_the_state_that_was_folded(con, source, pattern, data):
    rows, facts, layout = source
    at = data.draw(strategies.coordinates(rows))
    counting = es.Aggregate("Counter", initial={"n": 0}, streams="*")
    for name in ("Taken", "Reset"):  # fails on a payload of null alone
        counting.on(name)(strategies.HANDLERS[name])

    def taken(item: Item) -> bool:
        if "version" in at:
            return bool(item["version"] <= at["version"])
        if "position" in at:
            return bool(item["position"] <= at["position"])
        if "as_of" in at:
            return item["recorded_at"] is not None and item["recorded_at"] <= at["as_of"]
        return True

    def fold(first: list[Item]) -> str:
        state: Any = {"n": 0}
        for item in first:
            if item["event_type"] in counting.handlers:
                event = Row(0, "", 0, event_type=item["event_type"], data_text=item["data"])
                state = strategies.HANDLERS[item["event_type"]](state, event)
        return json.dumps(state, separators=(",", ":"))

    expected, gone = hand.compacted(
        hand.items(rows), taken, lambda stream_id, _: matches(pattern)(stream_id), fold, ids.NAMESPACE
    )
    step = compact(counting, event_type="Opened", streams=pattern, upto=es.at(**at))
    result = migrated(stored(con, rows, facts, layout), step)
    same(result, expected)
    assert ledger(result) == sorted((0, item["origin"], True) for item in gone)
    assert not result.work.events.rows(f"with x as ({result.dropped}) select * from x")
    for check in ("version-gap", "missing-head"):
        before = found_in(result, facts, hand.items(rows), check)
        assert found_in(result, facts, expected, check) <= before


@given(sources(), PATTERNS, st.sampled_from(("{stream}-v2", lambda stream_id: f"{stream_id}-v2")))
def test_closed_streams_end_with_an_event_that_says_where_they_go_on(con, source, pattern, redirect):
    rows, facts, layout = source

    def text(stream_id: str) -> str:
        return payload.encode({"why": "moved", "redirect": f"{stream_id}-v2"})

    expected = hand.closed(hand.items(rows), matches(pattern), text, ids.NAMESPACE)
    step = close_stream(pattern, "Closed", {"why": "moved"}, redirect=redirect)
    result = migrated(stored(con, rows, facts, layout), step)
    # Where no stream matches nothing is added, and positions stay.
    same(result, expected if len(expected) > len(rows) else hand.items(rows))


@given(sources(), sources(), st.sampled_from(("", "other/")), st.none() | ORDERS)
def test_concatenated_logs_are_those_done_by_hand_or_refused_by_name(con, source, other, prefix, merge):
    rows, facts, layout = source
    more, _, _ = other
    right = replace(stored(con, more, facts), streams=None)
    con.execute("create or replace table other as select * from t")
    right = replace(right, query="select * from other")
    step = concat(right, prefix=prefix, merge=merge)
    taken = {row.stream_id for row in rows}
    theirs = [
        {**item, "stream_id": prefix + item["stream_id"], "met": 1, "steps": int(bool(prefix))}
        for item in hand.items(more, source=1)
    ]
    events = stored(con, rows, facts, layout)
    if merge is None and any(item["stream_id"] in taken for item in theirs):
        with pytest.raises(MigrationError, match="streams of that id in both"):
            migrated(events, step)
        return
    both = hand.items(rows) + [{**item, "stream_id": f"1 {item['stream_id']}"} for item in theirs]
    names = {f"1 {item['stream_id']}": item["stream_id"] for item in theirs}
    joined = hand.regrouped(
        both,
        lambda item: names.get(item["stream_id"]) if item["source"] else None,
        order=merge or "position",
        base=facts.base,
        rank=lambda old, _: old in names and old not in taken,
    )
    for item in joined:
        item["steps"] = int(bool(item["source"]) and (bool(prefix) or item["stream_id"] in taken))
    result = migrated(events, step)
    same(result, hand.placed(joined))
    assert [name for name, _ in result.work.joined] == ["other events"]


@given(sources())
def test_reissued_positions_keep_the_order(con, source):
    rows, facts, layout = source
    result = migrated(stored(con, rows, facts, layout), reissue_positions())
    same(result, hand.placed([{**item, "met": 1} for item in hand.items(rows)]))


@given(sources(), st.sampled_from(("", "salt")))
def test_reissued_ids_are_stable_and_metadata_follows(con, source, salt):
    rows, facts, layout = source
    result = migrated(stored(con, rows, facts, layout), reissue_ids(salt=salt))
    found = {item["origin"]: item for item in made(result)}
    new = {row.event_id: found[row.position]["event_id"] for row in rows if row.event_id is not None}
    assert len(set(new.values())) == len(new)
    assert not set(new) & set(new.values())
    for row in rows:
        item = found[row.position]
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", item["event_id"])
        if row.event_id is not None:
            assert item["event_id"] == new[row.event_id]
        cause = row.metadata.get("causation_id") if isinstance(row.metadata, dict) else None
        if isinstance(cause, str) and cause in new:
            assert json.loads(item["metadata"]) == {**row.metadata, "causation_id": new[cause]}
        else:
            assert item["metadata"] == row.metadata_text
        assert item["data"] == row.data_text
    again = migrated(stored(con, rows, facts, layout), reissue_ids(salt=salt))
    assert sorted(made(again), key=hand.place) == sorted(made(result), key=hand.place)
    salted = {item["event_id"] for item in made(migrated(stored(con, rows, facts), reissue_ids(salt=salt + "x")))}
    assert not salted & {item["event_id"] for item in found.values()}


@given(sources(), st.sampled_from(("Counter", None, "it's")), PATTERNS)
def test_stream_type_is_set_on_the_events_of_the_streams(con, source, to, pattern):
    rows, facts, layout = source
    expected = []
    for item in hand.items(rows):
        hit = matches(pattern)(item["stream_id"])
        changed = hit and item["stream_type"] != to
        expected.append({**item, "met": int(hit), "steps": int(changed), **({"stream_type": to} if hit else {})})
    streams = [pattern, "no such stream"] if layout == "ordered" else pattern
    same(migrated(stored(con, rows, facts, layout), set_stream_type(to, streams=streams)), expected)

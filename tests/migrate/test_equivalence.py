"""State equivalence against the reference: random logs with damage, random lineage, aggregates that differ a little."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.event import CANONICAL
from esbench.events import Events
from esbench.fold import reading
from esbench.fold.changes import ABSENT, changes
from esbench.migrate.states.cuts import Forks
from esbench.migrate.states.equivalence import equivalence, same_state
from esbench.migrate.states.tally import Tally, differences
from tests import strategies
from tests.checks.compare import aggregate_of, connect, events_of
from tests.migrate.oracle_equivalence import NewRow, Truth, truth
from tests.migrate.oracle_equivalence import differing as of
from tests.oracle import Facts, Row, Rules, covered

CON = connect()

_KINDS = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


def keys_of(rows: list[Row]) -> list[str]:
    """The ids of streams in order of their keys, as `events_of` gives them."""
    return list(dict.fromkeys(row.stream_id for row in rows))


def work_of(rows: list[NewRow], keys: list[str], *, layout: str, con: duckdb.DuckDBPyConnection = CON) -> Events:
    """Rows as work; `keys` are the ids of the streams in order of their keys."""
    columns = [each.row.columns() for each in rows]
    given = pa.table(  # noqa: F841, DuckDB finds it by its name
        {name: pa.array([row[name] for row in columns], _KINDS[kind]) for name, kind in CANONICAL.items()}
        | {
            "stream_key": pa.array([keys.index(row["stream_id"]) + 1 for row in columns], pa.int64()),
            "source": pa.array([0] * len(rows), pa.uint8()),
            "origin": pa.array([each.origin for each in rows], pa.int64()),
            "others": pa.array([list(each.others) or None for each in rows], pa.list_(pa.int64())),
            "nth": pa.array([each.nth for each in rows], pa.int32()),
        }
    )
    kinds = ", ".join(f"{name}::{kind} as {name}" for name, kind in CANONICAL.items())
    order = "order by stream_key, version, position, nth" if layout == "ordered" else ""
    con.execute(f"create or replace table w as select * replace ({kinds}) from given {order}")
    return Events(con, "select * from w", ordered=layout != "unordered")


FATES = ("keep",) * 12 + (
    "drop",
    "lose",
    "split",
    "insert",
    "insert before",
    "source",
    "merge",
    "merge",
    "move",
    "retype",
)


@st.composite
def lineages(draw: st.DrawFn, rows: list[Row]) -> tuple[list[NewRow], set[int]]:
    """What some migration makes of a log, and the positions that it drops; versions ascend mostly."""
    plan = draw(st.sampled_from(("keep", "mixed", "split streams", "merge streams", "merge streams", "rename")))
    mixes = (("keep",), ("keep", "keep", "keep", "drop"), FATES, FATES)
    fates = ("keep",) if plan == "keep" else draw(st.sampled_from(mixes))
    ids = keys_of(rows)
    target = {name: name for name in ids}
    if plan == "rename":
        target = {name: f"new {name}" for name in ids}
    elif plan == "merge streams":
        target = {name: draw(st.sampled_from((ids[0], ids[0], name))) for name in ids}
    gone = draw(st.sampled_from((None, None, None, ids[-1])))
    apart = [Row(0, "brand new", 1, "Set")] if draw(st.integers(0, 3)) == 0 else []
    made: list[NewRow] = []
    dropped: set[int] = set()
    merging: dict[str, tuple[int, ...]] = {}
    for row in sorted(rows, key=lambda one: (one.stream_id, one.version, one.position)):
        fate = "drop" if row.stream_id == gone else draw(st.sampled_from(fates))
        name = target[row.stream_id]
        if plan == "split streams":
            name = f"{name}/{draw(st.sampled_from('ab'))}"
        elif fate == "move":
            name = draw(st.sampled_from((*target.values(), "elsewhere")))
        kept = replace(row, stream_id=name, event_type="Noted" if fate == "retype" else row.event_type)
        before = merging.pop(row.stream_id, ())
        if fate in ("drop", "lose") and not before:
            dropped |= {row.position} if fate == "drop" else set()
        elif fate == "merge":
            merging[row.stream_id] = (*before, row.position)
        elif fate in ("split", "insert"):
            other = replace(kept, stream_id=draw(st.sampled_from((name, name, "elsewhere"))), data_text='{"n":1}')
            first, second = (kept, other) if draw(st.booleans()) else (other, kept)
            made += [NewRow(first, row.position, before), NewRow(second, row.position, (), 1)]
        elif fate == "insert before":
            made += [NewRow(kept, row.position, (), -1), NewRow(kept, row.position, before)]
        elif fate == "source":
            made += [NewRow(replace(kept, event_type="Set"), None, (), 2), NewRow(kept, row.position, before)]
        else:
            made.append(NewRow(kept, row.position, before))
    if not draw(st.booleans()):
        # What was being merged when its stream ended goes into a new event, or is lost.
        made += [NewRow(Row(left[0], target[name], 99), left[0], left[1:]) for name, left in merging.items()]
    made += [NewRow(row, None) for row in apart]
    made = _versions(draw, made, renumber=draw(st.integers(0, 3)) > 0 or plan not in ("keep", "rename"))
    if draw(st.booleans()):
        order = sorted(made, key=lambda each: (each.row.position, each.nth))
        made = [replace(each, row=replace(each.row, position=place)) for place, each in enumerate(order, 1)]
    if draw(st.integers(0, 9)) == 0 and made:
        made[0] = replace(made[0], origin=-77)  # from nowhere
    return made, dropped


def _versions(draw: st.DrawFn, made: list[NewRow], *, renumber: bool) -> list[NewRow]:
    if not renumber:
        return made
    for _ in range(draw(st.integers(0, 2))):
        i, j = (draw(st.integers(0, max(len(made) - 1, 0))) for _ in range(2))
        if made:
            made[i], made[j] = made[j], made[i]
    heads: dict[str, int] = {}
    result = []
    for each in made:
        name = each.row.stream_id
        heads[name] = heads.get(name, 0) + draw(st.sampled_from((1, 1, 1, 1, 1, 0, 2)))
        result.append(replace(each, row=replace(each.row, version=heads[name])))
    return result


def _double(state: Any, event: Any) -> Any:
    return {**state, "n": state["n"] + 2 * event.data["n"]}


def _as_float(state: Any, event: Any) -> Any:
    return {**state, "n": float(state["n"] + event.data["n"])}


@st.composite
def successors(draw: st.DrawFn, rules: Rules) -> Rules:
    """Rules that are the same, or differ in one respect."""
    change = draw(st.sampled_from(("", "", "double", "float", "less", "field", "cover", "name")))
    handlers = dict(rules.handlers)
    if change in ("double", "float"):
        handlers["Added"] = _double if change == "double" else _as_float
    elif change == "less" and len(handlers) > 1:
        handlers.popitem()
    initial = {"n": 0, "currency": "EUR"} if change == "field" else rules.initial
    streams = draw(st.sampled_from(("*", "a-*", "*/a", None))) if change == "cover" else rules.streams
    return replace(rules, handlers=handlers, initial=initial, streams=streams)


def _combine(states: dict[str, Any]) -> Any:
    """Adds up what the handlers of the strategies count."""
    whole: dict[str, Any] = {}
    for name, one in states.items():
        whole["n"] = whole.get("n", 0) + one["n"]
        whole |= {key: value for key, value in one.items() if key != "n"}
        one["n"] = f"changed by combine, which must harm nothing ({name})"
    return whole


def _covers(rows: list[Row], rules: Rules) -> set[str]:
    return set(covered(rows, rules))


def _expected(path: str, before: Any, after: Any) -> bool:
    return path == "/currency" or (path == "/n" and type(after) is float and after == before)


EXPECT = {"/currency": lambda old, new: True, "/*": lambda old, new: type(new) is float and new == old}


@given(data=st.data(), rows=strategies.logs(max_streams=4, max_events=14))
def test_agrees_with_the_reference_on_any_log_and_lineage(data: st.DataObject, rows: list[Row]):
    made, dropped = data.draw(lineages(rows))
    old_rules = data.draw(strategies.aggregates())
    new_rules = data.draw(successors(old_rules))
    forks: Forks = data.draw(st.sampled_from(("all", "all", "first")))
    combine = data.draw(st.sampled_from((None, _combine, _combine)))
    declared = data.draw(st.booleans())
    layouts = st.sampled_from(("ordered", "wrong", "unordered"))
    keys = list(dict.fromkeys(each.row.stream_id for each in made))
    keys = data.draw(st.permutations(keys))
    wanted = truth(
        rows,
        made,
        dropped,
        (old_rules, new_rules),
        (_covers(rows, old_rules), _covers([each.row for each in made], new_rules)),
        combine=combine and (lambda states: combine(copy.deepcopy(states))),
        forks=forks,
        order=(keys_of(rows), keys),
    )
    old = events_of(rows, Facts(), con=CON, layout=data.draw(layouts))
    new = work_of(made, keys, layout=data.draw(layouts))
    gate = same_state(
        aggregate_of(old_rules),
        aggregate_of(new_rules),
        combine=combine,
        forks=forks,
        expect=EXPECT if declared else None,
    )
    positions = old.where("position in (select unnest($dropped))", dropped=sorted(dropped))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "ROWS", data.draw(st.sampled_from((3, 50_000))))
        found = equivalence(old, new, gate, dropped=positions)
    compare(found, wanted, _expected if declared else (lambda *_: False))


def compare(found: Any, wanted: Truth, expected: Any) -> None:
    cuts = sum(len(each) for each in wanted.cuts.values())
    differing = wanted.differing(expected)
    listed = found.differences
    rows = listed[~listed["expected"]]
    seen = {(row.stream_id, row.path): (row.version, row.cuts) for row in rows.itertuples(index=False)}
    assert (found.streams, found.cuts) == (len(wanted.cuts), cuts)
    assert seen == differing
    wrong = [
        sum(any(not expected(*each) for each in of(cut.old, cut.new)) for cut in compared)
        for compared in wanted.cuts.values()
    ]
    assert (found.failing, found.differing) == (sum(map(bool, wrong)), sum(wrong))
    assert sum(one.streams.count for one in found.not_comparable) == len(wanted.apart)
    named = {(one.side, name) for one in found.not_comparable for name in one.streams.streams}
    assert named == wanted.apart
    assert (set(found.dropped.streams), set(found.inserted.streams)) == (wanted.dropped, wanted.inserted)
    status = "failed" if differing else "passed" if cuts and not wanted.apart else "not applicable"
    assert found.status == status
    for row in rows.itertuples(index=False):
        values = [
            (each.old.get(row.path[1:], ABSENT), each.new.get(row.path[1:], ABSENT), *each.old_place)
            for compared in wanted.cuts.values()
            for each in compared
            if each.new_place == (row.stream_id, row.version)
        ]
        assert any(repr((row.before, row.after, row.old_stream, row.old_version)) == repr(value) for value in values)
    assert repr(found)


def _seen(state: Any, event: Any) -> Any:
    seen = f"{state['seen']}, {event.stream_id}@{event.version}={event.data_text}"
    return {"seen": seen, "n": state["n"] + 1}


RECORDER = Rules("Recorder", {"seen": "", "n": 0}, {"Added": _seen}, streams="*")


def _together(states: dict[str, Any]) -> Any:
    return {"seen": repr(states), "n": sum(one["n"] for one in states.values())}


@st.composite
def tiny(draw: st.DrawFn) -> tuple[list[Row], list[NewRow], set[int], list[str]]:
    """One or two streams of a few events, and any few new events that come from any of them, in any order."""
    heads = {"a": 0, "b": 0}
    rows: list[Row] = []
    for position in range(1, draw(st.integers(2, 7)) + 1):
        name = draw(st.sampled_from("aaab"))
        heads[name] += draw(st.sampled_from((1, 1, 1, 0)))
        kind = draw(st.sampled_from(("Added", "Added", "Noted")))
        rows.append(Row(position, name, heads[name], kind, f"{position}"))
    # Mostly in order, and mostly all of them.
    sources = draw(st.sampled_from((rows, sorted(rows, key=lambda row: (row.version, row.position)))))
    plan: list[list[int]] = []
    for row in sources:
        how = draw(st.sampled_from(("one",) * 8 + ("two", "join", "none", "none", "free")))
        if how == "join" and plan:
            plan[-1].append(row.position)
        elif how != "none":
            plan += [[row.position]] * (2 if how == "two" else 1) + ([[]] if how == "free" else [])
    for _ in range(draw(st.sampled_from((0, 0, 1)))):
        i, j = (draw(st.integers(0, max(len(plan) - 1, 0))) for _ in range(2))
        if plan:
            plan[i], plan[j] = plan[j], plan[i]
    if draw(st.integers(0, 9)) == 0:
        plan.append([99])
    names = draw(st.sampled_from(("x", "x", "xy", "x of its own")))
    home = {row.position: row.stream_id for row in rows}
    made: list[NewRow] = []
    news: dict[str, int] = {}
    for place, each in enumerate(plan):
        name = f"x{home.get(each[0], 'a')}" if len(names) > 2 and each else draw(st.sampled_from(names[:2].strip()))
        news[name] = news.get(name, 0) + draw(st.sampled_from((1, 1, 1, 0)))
        kind = draw(st.sampled_from(("Added", "Added", "Noted")))
        row = Row(each[0] if each else 50, name, news[name], kind, f"{place}")
        made.append(NewRow(row, each[0] if each else None, tuple(each[1:]), place))
    if not made:
        made = [NewRow(Row(1, "x", 1), None)]
    childless = {row.position for row in rows} - {source for each in made for source in each.sources}
    dropped = childless - set(draw(st.lists(st.sampled_from(sorted(childless)), max_size=1)) if childless else ())
    return rows, made, dropped, draw(st.permutations(list(dict.fromkeys(each.row.stream_id for each in made))))


@settings(max_examples=150)
@given(given_=tiny(), forks=st.sampled_from(("all", "all", "first")), layout=st.sampled_from(("ordered", "unordered")))
def test_cuts_are_those_of_the_reference(given_: Any, forks: Forks, layout: str):
    rows, made, dropped, keys = given_
    names = {row.stream_id for row in rows}, {each.row.stream_id for each in made}
    orders = (keys_of(rows), keys)
    wanted = truth(rows, made, dropped, (RECORDER, RECORDER), names, combine=_together, forks=forks, order=orders)
    old, new = events_of(rows, Facts(), con=CON, layout=layout), work_of(made, keys, layout=layout)
    gate = same_state(aggregate_of(RECORDER), aggregate_of(RECORDER), combine=_together, forks=forks)
    positions = old.where("position in (select unnest($dropped))", dropped=sorted(dropped))
    compare(equivalence(old, new, gate, dropped=positions), wanted, lambda *_: False)


def test_most_lineages_can_be_compared():
    """The reference and the function are not both idle: over many draws every status and kind of group occurs."""
    seen: dict[str, int] = {}

    @settings(derandomize=True, max_examples=150)
    @given(data=st.data(), rows=strategies.logs(max_streams=4, max_events=14))
    def look(data: st.DataObject, rows: list[Row]) -> None:
        made, dropped = data.draw(lineages(rows))
        rules = data.draw(strategies.aggregates())
        rules = replace(rules, streams="*")
        names = {row.stream_id for row in rows}, {each.row.stream_id for each in made}
        keys = sorted(names[1])
        orders = (keys_of(rows), keys)
        wanted = truth(rows, made, dropped, (rules, rules), names, combine=_combine, order=orders)
        for olds, news in wanted.cuts:
            kind = "pair" if len(olds) == len(news) == 1 else "split" if len(olds) == 1 else "merge"
            seen[kind] = seen.get(kind, 0) + 1
        for what in ("apart", "dropped", "inserted"):
            seen[what] = seen.get(what, 0) + bool(getattr(wanted, what))

    look()
    kinds = ("pair", "split", "merge", "apart", "dropped", "inserted")
    assert min(seen.get(what, 0) for what in kinds) > 5, seen


_VALUES = st.recursive(
    st.sampled_from((None, True, 1, 1.0, 0, False, -0.0, 0.0, float("nan"), "a", Decimal("1.0"), Decimal(1))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(("a", "b", "a/b", "~", 1, True)), inner, max_size=3),
        st.tuples(inner),
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(old=_VALUES, new=_VALUES)
def test_fast_differences_are_the_changes(old: Any, new: Any):
    def told(found: Any) -> list[str]:
        return [repr((path, before, after)) for path, before, after in found]

    wanted = [(each.path, each.before, each.after) for each in changes(old, new)]
    assert told(differences(old, new)) == told(wanted)
    tally = Tally(None, 10)
    tally.compare(old, new, 1, (0, 0, 0, 0))
    tally.keep(0)
    assert bool(tally.failing) == bool(wanted)

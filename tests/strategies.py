"""Hypothesis strategies: payloads, damaged logs, coordinates and aggregates, small enough to shrink quickly.

A log is drawn as clean streams in an interleaved order, then damaged by a list of plain edits. What is wrong
with it is never recorded here: the oracle finds that out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle import Facts, Row, Rules, infer_base, streams

__all__ = [
    "aggregates",
    "coordinates",
    "facts_for",
    "hostile_texts",
    "logs",
    "payload_texts",
    "versions_in_rejects",
]

START = datetime(2024, 6, 7, 12, tzinfo=UTC)

HOSTILE = (
    "'; drop table events; --",
    'a"b',
    "<script>alert(1)</script>",
    "$1 {x} %s ?",
    "back\\slash",
    "tab\tnew\nline",
    "\x01",
    "ünï 日本 🦆",
    "e\u0301",
    " ",
    "null",
    "NaN",
    "[a-z]*?",
    "x" * 300,
)

TYPES = ("Added", "Taken", "Set", "Reset", "Failing", "Opened", "Closed", "Noted")

NAMES = ("Counter", "Account", 'it\'s <b>"odd"</b>')


def hostile_texts() -> st.SearchStrategy[str]:
    """Ids and names that break whatever does not bind and escape them; never empty, no NUL, no surrogates."""
    letters = st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00")
    return st.one_of(st.sampled_from(HOSTILE), st.text(letters, min_size=1, max_size=8))


_NUMBERS = ("1.10", "-0", "1e400", "-1E-400", "9007199254740993", "18446744073709551617", "0.1000", "1E2")
_STRINGS = ('"\\u0000"', '"\\u00e9"', '"\\/"', '"\\ud83e\\udd86"', '"nan"', '": -inf"', '"a,]}"', '"\\"\\\\"')
_SPACES = st.sampled_from(("", " ", "  ", "\t"))


def _values() -> st.SearchStrategy[str]:
    """JSON texts of any value, odd ones among them; each is strict JSON."""
    strings = st.text(st.characters(blacklist_categories=["Cs"]), max_size=6)
    leaves = st.one_of(
        st.sampled_from((*_NUMBERS, *_STRINGS, "null", "true", "false", "{}", "[]")),
        st.integers(-(2**70), 2**70).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
        st.builds(json.dumps, strings, ensure_ascii=st.booleans()),
    )

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        lists = st.builds(lambda items, space: f"[{(',' + space).join(items)}]", st.lists(inner, max_size=3), _SPACES)
        return st.one_of(lists, _objects(inner, duplicate_keys=True))

    return st.recursive(leaves, nested, max_leaves=5)


def _objects(inner: st.SearchStrategy[str], *, duplicate_keys: bool) -> st.SearchStrategy[str]:
    names = st.one_of(
        st.sampled_from(('"n"', '"quantity"', '"a.b"', '"a/b~c"', '""', '"\\u0061"', '"ü"')),
        st.builds(json.dumps, st.text(st.characters(blacklist_categories=["Cs"]), max_size=4)),
    )
    key = None if duplicate_keys else lambda pair: json.loads(pair[0])
    pairs = st.lists(st.tuples(names, inner), max_size=4, unique_by=key)
    return st.builds(
        lambda items, space: "{" + ("," + space).join(f"{k}:{space}{v}" for k, v in items) + "}",
        pairs,
        _SPACES,
    )


def payload_texts(*, duplicate_keys: bool = True) -> st.SearchStrategy[str]:
    """Texts of JSON objects, strict but odd: spaces, escapes, extreme numbers, duplicate keys, depth."""
    deep = st.integers(2, 200).map(lambda depth: '{"deep":' + "[" * depth + "]" * depth + "}")
    return st.one_of(_objects(_values(), duplicate_keys=duplicate_keys), deep)


def _small_payloads() -> st.SearchStrategy[str | None]:
    """Payloads that handlers can count with or fail on, few enough for contents to repeat."""
    return st.sampled_from(('{"n":1}', '{"n":2}', '{"n": 3}', '{"n":-4}', '{"n":null}', "{}", None))


@st.composite
def _clean(draw: st.DrawFn, max_streams: int, max_events: int) -> list[Row]:
    """Interleaved streams without a fault: versions from one base, times that ascend, ids on all or none."""
    id_texts = st.one_of(st.sampled_from(("a-1", "a-2", "b-1")), hostile_texts())
    ids = draw(st.lists(id_texts, min_size=1, max_size=max_streams, unique=True))
    kinds = {stream_id: draw(st.sampled_from((*NAMES, None))) for stream_id in ids}
    base = draw(st.sampled_from((0, 1)))
    with_ids = draw(st.sampled_from((True, True, False)))
    least = min(draw(st.sampled_from((1, 4, 8, 16))), max_events)  # left alone, most logs would be tiny
    order = draw(st.lists(st.sampled_from(ids), min_size=least, max_size=max_events))
    step = draw(st.sampled_from((0, 1, 30, 61, 3600)))
    rows: list[Row] = []
    counts = dict.fromkeys(ids, base)
    for index, stream_id in enumerate(order):
        rows.append(
            Row(
                position=index + 1,
                stream_id=stream_id,
                version=counts[stream_id],
                event_type=draw(st.sampled_from(TYPES)),
                data_text=draw(_small_payloads()),
                metadata_text=None,
                stream_type=kinds[stream_id],
                event_id=f"id-{index + 1}" if with_ids else None,
                schema_version=draw(st.sampled_from((None, 1))),
                recorded_at=START + timedelta(seconds=step * index),
            )
        )
        counts[stream_id] += 1
    return rows


# Damage: edits that take the rows in position order, an index and a number, and give the rows back. Positions
# are numbered anew afterwards, in the order of the list.

Edit = Callable[[list[Row], int, int], list[Row]]


def _lose_head(rows: list[Row], i: int, n: int) -> list[Row]:
    stream = [row for row in rows if row.stream_id == rows[i].stream_id]
    lost = stream[: 1 + n % 3]
    return [row for row in rows if row not in lost]


def _redeliver_later(rows: list[Row], i: int, n: int) -> list[Row]:
    return [*rows, replace(rows[i], version=rows[i].version + n)]


def _fork(rows: list[Row], i: int, n: int) -> list[Row]:
    other = replace(rows[i], event_id=None if n % 2 else f"fork-{n}", data_text=f'{{"n":{n}}}')
    return [*rows[: i + 1], other, *rows[i + 1 :]]


def _fork_of_equal_content(rows: list[Row], i: int, n: int) -> list[Row]:
    return [*rows[: i + 1], replace(rows[i], event_id=f"fork-{n}"), *rows[i + 1 :]]


def _reuse_id(rows: list[Row], i: int, n: int) -> list[Row]:
    j = (i + n) % len(rows)
    return [*rows[:j], replace(rows[j], event_id=rows[i].event_id or "reused"), *rows[j + 1 :]]


def _repeat(rows: list[Row], i: int, n: int) -> list[Row]:
    again = replace(rows[i], version=rows[i].version + 1, event_id=f"again-{n}" if rows[i].event_id else None)
    return [*rows[: i + 1], again, *rows[i + 1 :]]


def _swap(rows: list[Row], i: int, n: int) -> list[Row]:
    j = (i + n) % len(rows)
    rows = list(rows)
    rows[i], rows[j] = rows[j], rows[i]
    return rows


def _swap_versions(rows: list[Row], i: int, n: int) -> list[Row]:
    j = (i + n) % len(rows)
    rows = list(rows)
    first, second = rows[i].version, rows[j].version
    rows[i] = replace(rows[i], version=second)
    rows[j] = replace(rows[j], version=first)
    return rows


def _set_clock_back(rows: list[Row], i: int, n: int) -> list[Row]:
    # whole, half and exactly one second: just over, under and at the usual tolerance
    back = (0.5, 1.0, 1.000001, 60.0, 90.0, 7200.0)[n % 6]
    at = rows[i].recorded_at
    return [*rows[:i], replace(rows[i], recorded_at=at and at - timedelta(seconds=back)), *rows[i + 1 :]]


def _forget_time(rows: list[Row], i: int, _: int) -> list[Row]:
    return [*rows[:i], replace(rows[i], recorded_at=None), *rows[i + 1 :]]


def _mix_type(rows: list[Row], i: int, n: int) -> list[Row]:
    return [*rows[:i], replace(rows[i], stream_type=(*NAMES, None)[n % 4]), *rows[i + 1 :]]


def _odd_version(rows: list[Row], i: int, n: int) -> list[Row]:
    version = (-1, 0, -(2**62), 2**62, rows[i].version + 7)[n % 5]
    return [*rows[:i], replace(rows[i], version=version), *rows[i + 1 :]]


def _odd_type(rows: list[Row], i: int, n: int) -> list[Row]:
    return [*rows[:i], replace(rows[i], event_type=HOSTILE[n % len(HOSTILE)]), *rows[i + 1 :]]


def _with_metadata(row: Row, **values: Any) -> Row:
    known = json.loads(row.metadata_text) if row.metadata_text and row.metadata_text.startswith("{") else {}
    return replace(row, metadata_text=json.dumps({**known, **values}))


def _cause(rows: list[Row], i: int, n: int) -> list[Row]:
    j = (i + n) % len(rows)
    cause = ("not in the log", "", 7, None, rows[j].event_id, rows[j].event_id, rows[j].event_id)[n % 7]
    return [*rows[:i], _with_metadata(rows[i], causation_id=cause), *rows[i + 1 :]]


def _cause_each_other(rows: list[Row], i: int, n: int) -> list[Row]:
    rows = list(rows)
    ring = sorted({i, (i + n) % len(rows), (i + 2 * n) % len(rows)})
    for here, there in zip(ring, [*ring[1:], ring[0]], strict=True):
        rows[here] = _with_metadata(rows[here], causation_id=rows[there].event_id)
    return rows


def _commit(rows: list[Row], i: int, n: int) -> list[Row]:
    together = [_with_metadata(row, commit_id=f"c{n % 2}") for row in rows[i : i + 3]]
    return [*rows[:i], *together, *rows[i + 3 :]]


def _writers(rows: list[Row], i: int, n: int) -> list[Row]:
    signed = [_with_metadata(row, writer=f"w{(index * n) % 3}") for index, row in enumerate(rows[i:])]
    return [*rows[:i], *signed]


def _odd_metadata(rows: list[Row], i: int, n: int) -> list[Row]:
    text = ("[]", '"text"', "null", "{}", '{"causation_id":{"a":1}}', '{"commit_id":["c0"]}')[n % 6]
    return [*rows[:i], replace(rows[i], metadata_text=text), *rows[i + 1 :]]


EDITS: tuple[Edit, ...] = (
    lambda rows, i, n: [*rows[:i], *rows[i + 1 :]],  # lost
    lambda rows, i, n: [*rows[:i], *rows[i + 1 :], rows[i]],  # recorded late
    lambda rows, i, n: [rows[i], *rows[:i], *rows[i + 1 :]],  # recorded early
    lambda rows, i, n: [*rows[:i], rows[i], *rows[i:]],  # delivered twice at once
    lambda rows, i, n: [*rows, rows[i]],  # delivered again
    lambda rows, i, n: [*rows, *rows[i:]],  # restored twice
    _lose_head,
    _redeliver_later,
    _fork,
    _fork_of_equal_content,
    _reuse_id,
    _repeat,
    _swap,
    _swap_versions,
    _set_clock_back,
    _forget_time,
    _mix_type,
    _odd_version,
    _odd_type,
    _cause,
    _cause_each_other,
    _commit,
    _writers,
    _odd_metadata,
)


@st.composite
def logs(
    draw: st.DrawFn,
    *,
    max_streams: int = 6,
    max_events: int = 30,
    max_damage: int = 5,
    position_holes: bool = True,
    payloads: st.SearchStrategy[str | None] | None = None,
) -> list[Row]:
    """Logs in position order, 1 to about 40 events, clean or with up to ``max_damage`` faults of any kind.

    ``payloads`` replaces the small ones that the handlers of :func:`aggregates` count with.
    """
    rows = draw(_clean(max_streams, max_events))
    faults = st.tuples(st.sampled_from(EDITS), st.integers(0, 60), st.integers(1, 12))
    least = draw(st.integers(0, min(3, max_damage)))
    for edit, where, number in draw(st.lists(faults, min_size=least, max_size=max_damage)):
        if rows and len(rows) <= 40:
            rows = edit(rows, where % len(rows), number)
    if not rows:
        rows = [Row(1, "a-1", 1)]
    if payloads is not None:
        rows = [replace(row, data_text=draw(payloads)) for row in rows]
    holes = draw(st.lists(st.integers(1, len(rows)), max_size=3)) if position_holes else []
    start = draw(st.sampled_from((1, 1, 0, 100))) if position_holes else 1
    return [
        replace(row, position=start + index + sum(3 for hole in holes if hole <= index))
        for index, row in enumerate(rows)
    ]


@st.composite
def facts_for(draw: st.DrawFn, rows: list[Row]) -> Facts:
    """Facts for a log: mostly the inferred base, sometimes another, with truncations of its streams."""
    base = draw(st.one_of(st.just(infer_base(rows)), st.sampled_from((0, 1, None))))
    named = st.sampled_from(sorted(streams(rows)))
    patterns = st.lists(st.one_of(named, st.sampled_from(("a-*", "b-?"))), max_size=2)
    return Facts(
        base=base,
        derived_versions=draw(st.integers(0, 7)) == 7,
        positions=draw(st.sampled_from(("recorded", "recorded", "recorded", "lines", "lines", "issued"))),
        truncated=tuple(draw(patterns)),
    )


@st.composite
def versions_in_rejects(draw: st.DrawFn, rows: list[Row]) -> list[tuple[str, int]]:
    """Stream and version of a few rejects; often versions that the log misses."""
    ids = sorted(streams(rows))
    return draw(st.lists(st.tuples(st.sampled_from(ids), st.integers(0, 9)), max_size=4))


@st.composite
def coordinates(draw: st.DrawFn, rows: list[Row]) -> dict[str, Any]:
    """A coordinate as keyword arguments, at, between, before or after what the log holds; {} is the end."""
    row = draw(st.sampled_from(rows))
    off = draw(st.sampled_from((-1, 0, 0, 1)))
    kind = draw(st.sampled_from(("version", "as_of", "position", "end")))
    if kind == "version":
        return {"version": row.version + off}
    if kind == "position":
        return {"position": row.position + off}
    if kind == "as_of" and row.recorded_at is not None:
        return {"as_of": row.recorded_at + timedelta(microseconds=off)}
    return {}


# Handlers take what an esbench Event has too, so that the engine can be given the same functions.


def _add(state: Any, event: Any) -> Any:
    return {**state, "n": state["n"] + event.data["n"]}  # fails on null, {} and no payload


def _take(state: Any, event: Any) -> Any:
    return {**state, "n": state["n"] - (event.data or {}).get("n", 1)}  # fails on null


def _set_in_place(state: Any, event: Any) -> Any:
    state["last"] = event.version  # changes what it was given, which must not reach any other state
    return state


def _reset(state: Any, event: Any) -> Any:
    return {"n": 0, "reset": True}  # drops fields


def _ruin_then_fail(state: Any, event: Any) -> Any:
    state["n"] = 1_000_000
    raise ValueError(f"cannot apply {event.event_type}")


HANDLERS: dict[str, Callable[[Any, Any], Any]] = {
    "Added": _add,
    "Taken": _take,
    "Set": _set_in_place,
    "Reset": _reset,
    "Failing": _ruin_then_fail,
}

INVARIANTS: dict[str, Callable[[Any], Any]] = {
    "never negative": lambda state: state["n"] >= 0,
    "last below three": lambda state: state["last"] < 3,  # raises, so does not hold, where there is no last
}


@st.composite
def aggregates(draw: st.DrawFn) -> Rules:
    """A counter with some of the handlers and invariants, and a lifecycle; covers by type or by pattern."""
    chosen = draw(st.sets(st.sampled_from(sorted(HANDLERS)), min_size=1))
    kept = draw(st.sets(st.sampled_from(sorted(INVARIANTS))))
    types = st.lists(st.sampled_from(TYPES), max_size=3, unique=True)
    return Rules(
        name=draw(st.sampled_from(NAMES)),
        initial={"n": 0},
        handlers={name: HANDLERS[name] for name in sorted(chosen)},
        invariants={name: INVARIANTS[name] for name in sorted(kept)},
        streams=draw(st.sampled_from((None, "*", "*", "a-*", "[ab]-1"))),
        unknown=draw(st.sampled_from(("ignore", "error"))),
        first=draw(st.one_of(st.none(), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3).map(tuple))),
        transitions=draw(st.dictionaries(st.sampled_from(TYPES), types.map(tuple), max_size=3)),
        final=tuple(draw(st.lists(st.sampled_from(TYPES), max_size=2, unique=True))),
    )

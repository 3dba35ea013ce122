from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.event import CANONICAL, Event
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result, run
from esbench.migrate.step import Step
from esbench.migrate.steps.functions import map_events, split
from esbench.migrate.steps.inserted import insert_after, insert_before
from esbench.migrate.steps.merged import merge_events
from esbench.migrate.steps.ordering import reorder
from tests.checks.compare import connect, events_of
from tests.migrate import oracle_several as oracle
from tests.migrate.oracle_several import Dict, Log
from tests.oracle import Facts, Row
from tests.strategies import logs, payload_texts

CON = connect()
COLUMNS = (*CANONICAL, "origin", "others", "steps", "met", "failed")

Case = tuple[Step, Callable[[Log], None]]


def outcome(result: Result) -> list[Dict]:
    table = result.work.events.arrow("select * from events")
    return sorted(table.to_pylist(), key=lambda row: (row["stream_id"], row["version"], row["position"]))


def held(rows: list[Dict]) -> list[Dict]:
    return [{name: row[name] for name in COLUMNS} for row in rows]


def decided(event_type: str, text: str | None, version: int) -> str:
    """What the functions below do with an event: something of everything."""
    ways = ("same", "drop", "fail", "rename", "two", "itself first", "itself last", "wrong", "payload", "twice")
    return ways[(len(event_type) + 3 * len(text or "") + 5 * version) % len(ways)]


def mapping(event: Event) -> Any:
    match decided(event.event_type, event.data_text, event.version):
        case "same":
            return event
        case "drop":
            return None
        case "fail":
            raise SystemExit("not this one")
        case "rename":
            return event.changed(event_type="Renamed")
        case "two":
            return [event.changed(event_type="One"), event.changed(data=None)]
        case "itself first":
            return [event, ("After", {"a": 1.5})]
        case "itself last":
            return [("Before", None), event]
        case "wrong":
            return "an event"
        case "payload":
            return event.changed(data={"n": None})
        case _:
            return [event, event]


def mapped(log: Log) -> None:
    number = log.number

    def become(row: Dict) -> list[Dict] | None:
        if row["failed"] is not None:
            return None
        own = dict(row)
        match decided(row["event_type"], row["data"], row["version"]):
            case "same":
                return [own]
            case "drop":
                return []
            case "fail" | "wrong":
                return [oracle.failed(row, number)]
            case "rename":
                return [oracle.changed(row, number, event_type="Renamed")]
            case "two":
                both = [oracle.changed(row, number, event_type="One"), oracle.changed(row, number, data=None)]
                # Only the first of those that are the event itself keeps its id.
                itself = [row["event_type"] == "One", row["data"] is None]
                for place, one in enumerate(both):
                    if not itself[place] or (place and itself[0]):
                        one |= {"fresh": True, "steps": row["steps"] | 1 << number}
                return both
            case "itself first":
                return [own, oracle.new(row, number, "After", '{"a":1.5}')]
            case "itself last":
                return [oracle.new(row, number, "Before", None), own]
            case "payload":
                return [oracle.changed(row, number, data='{"n":null}' if row["data"] != '{"n": 3}' else '{"n": null}')]
            case _:
                return [own, {**own, "fresh": True, "steps": own["steps"] | 1 << number}]

    log.step(become)


def of_type(log: Log, event_type: str, become: Callable[[Dict], list[Dict]]) -> None:
    log.step(lambda row: become(row) if row["event_type"] == event_type and row["failed"] is None else None)


def raw(text: str | None) -> str:
    """The raw value of n in the small payloads."""
    return "" if text in (None, "{}") else f'{{"n":{str(text).partition(":")[2].strip(" }")}}}'


def cases() -> list[Callable[[], Case]]:
    def map_() -> Case:
        return map_events(mapping), mapped

    def split_() -> Case:
        def pairs(event: Event) -> Any:
            if event.data_text is None:
                raise KeyError("n")
            return [("Left", {"n": 1}), ("Taken", None), event][: 1 + event.version % 3]

        def become(row: Dict, number: int) -> list[Dict]:
            if row["data"] is None:
                return [oracle.failed(row, number)]
            left = oracle.new(row, number, "Left", '{"n":1}')
            if row["version"] % 3 == 0:
                left.pop("fresh")
            return [left, oracle.new(row, number, "Taken", None), dict(row)][: 1 + row["version"] % 3]

        return split("Added", pairs), lambda log: of_type(log, "Added", lambda row: become(row, log.number))

    def parted() -> Case:
        def become(row: Dict, number: int) -> list[Dict]:
            texts = (None, None) if row["data"] is None else (raw(row["data"]) or "{}", "{}")
            return [oracle.new(row, number, name, text) for name, text in zip(("With", "Set"), texts, strict=True)]

        step = split("Set", into={"With": ["/n"], "Set": ["/other"]})
        return step, lambda log: of_type(log, "Set", lambda row: become(row, log.number))

    def inserted(*, before: bool, constant: bool) -> Case:
        def become(row: Dict, number: int) -> list[Dict]:
            one = oracle.new(row, number, "Noted", '{"why":"x"}')
            return [one, dict(row)] if before else [dict(row), one]

        data: Any = {"why": "x"} if constant else lambda event: {"why": "x"}
        step = (insert_before if before else insert_after)(["Taken", "Noted"], "Noted", data)

        def apply(log: Log) -> None:
            hit = ("Taken", "Noted")
            log.step(
                lambda row: become(row, log.number) if row["event_type"] in hit and row["failed"] is None else None
            )

        return step, apply

    def merged(types: list[str]) -> Case:
        def function(events: list[Event]) -> Any:
            if events[0].data_text is None:
                return None
            if events[-1].data_text is None:
                raise ValueError("no payload")
            return "Both", {"all": [event.version for event in events]}

        def result(group: list[Dict]) -> Any:
            if group[0]["data"] is None:
                return None
            if group[-1]["data"] is None:
                return "fails"
            return "Both", json.dumps({"all": [row["version"] for row in group]}, separators=(",", ":"))

        return merge_events(types, function), lambda log: oracle.merge(log, types, result)

    def reordered(by: str, *, function: bool) -> Case:
        step = reorder((lambda event: getattr(event, by)) if function else by)
        return step, lambda log: oracle.reorder(log, lambda row: row[by])

    return [
        map_,
        split_,
        parted,
        lambda: inserted(before=True, constant=True),
        lambda: inserted(before=True, constant=False),
        lambda: inserted(before=False, constant=True),
        lambda: inserted(before=False, constant=False),
        lambda: merged(["Added", "Taken"]),
        lambda: merged(["Noted", "Noted"]),
        lambda: merged(["Added", "Set", "Added"]),
        lambda: reordered("recorded_at", function=False),
        lambda: reordered("position", function=False),
        lambda: reordered("recorded_at", function=True),
    ]


def check(rows: list[Row], chosen: list[Case], layout: str = "ordered", executor: Any = None) -> None:
    log = Log(rows)
    for _, apply in chosen:
        apply(log)
    expected = log.end()
    events = events_of(rows, Facts(), con=CON, layout=layout)
    result = run(events, Migration("m", [step for step, _ in chosen]), executor=executor)
    found = outcome(result)
    assert held(found) == held(expected)
    assert [row["failure"] is None for row in found] == [row["failed"] is None for row in found]
    dropped = result.work.events.rows(f"select origin, step from ({result.dropped})")
    assert dict(dropped) == log.dropped()
    assert all(row["others"] is None or len(set(row["others"])) == len(row["others"]) for row in found)
    apart = [(row["source"], row["origin"], row["nth"]) for row in found]
    assert len(set(apart)) == len(apart)


LAYOUTS = st.sampled_from(("ordered", "wrong", "unordered"))


@given(logs(), st.sampled_from(cases()), LAYOUTS)
def test_each_step_makes_the_rows_versions_and_lineage_of_the_reference(rows, case, layout):
    check(rows, [case()], layout)


@given(logs(max_events=16), st.lists(st.sampled_from(cases()), min_size=2, max_size=4))
def test_steps_after_steps_make_those_of_the_reference(rows, chosen):
    check(rows, [case() for case in chosen])


@settings(max_examples=25)
@given(logs(payloads=payload_texts()), st.sampled_from(cases()))
def test_payloads_that_no_step_touches_keep_their_text(rows, case):
    step, _ = case()
    result = run(events_of(rows, Facts(), con=CON), Migration("m", [step]))
    before = {row.position: row for row in rows}
    for row in outcome(result):
        if not row["steps"]:
            assert row["data"] == before[row["origin"]].data_text
            assert row["metadata"] == before[row["origin"]].metadata_text


@settings(max_examples=15)
@given(logs(), st.sampled_from(cases()))
def test_an_executor_gives_the_same(rows, case):
    with ThreadPoolExecutor(2) as executor:
        check(rows, [case()], executor=executor)

"""Checks of payloads against a reference that decodes every event, and what they promise one by one."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench import payload
from esbench.checks import check
from esbench.errors import EsbenchError
from tests import oracle_schema, strategies
from tests.checks.compare import connect, events_of, expected, found
from tests.oracle import Facts, Row
from tests.test_travel_oracle import LAYOUTS

CON = connect()
VALUES = ("1", "-2.5", '"x"', "null", "true", "{}", '{"b":1}', '{"b":"x","c":null}', "[1]", '[{"b":1}]', "1e400")
NAMES = ('"a"', '"b"', '"a/b~c"', '"\\u0061"', '""', '"0"', '"$.x"', '"*"', '"it\'s"', '"\\u0000"', '"é"')


@st.composite
def phases(draw: st.DrawFn) -> list[Row]:
    """Events of a few types whose payloads are of one shape up to somewhere, then of another, with some noise."""
    rows = []
    version = 0
    for _ in range(draw(st.integers(1, 3))):
        event_type = draw(st.sampled_from(("Added", "Added", "it's")))
        schema_version = draw(st.sampled_from((None, 1, 1, 2)))
        shape = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=3))
        for _ in range(draw(st.sampled_from((1, 4, 5, 6, 9)))):
            version += 1
            members = {**shape}
            if draw(st.integers(0, 9)) == 0:
                members[draw(st.sampled_from(NAMES))] = draw(st.sampled_from(VALUES))
            text: str | None = "{" + ", ".join(f"{name}: {value}" for name, value in members.items()) + "}"
            if draw(st.integers(0, 19)) == 0:
                text = draw(st.sampled_from((None, "null", "[]", "7")))
            rows.append(Row(version, f"s-{version % 2}", version, event_type, text, schema_version=schema_version))
    return rows


def in_order(findings: list[Any]) -> list[Any]:
    return sorted(findings, key=lambda one: (one[0], repr(one)))


def without_nul(findings: list[Any]) -> list[Any]:
    """The engine takes no path that has NUL in it, so such fields are not looked at."""
    return [one for one in findings if "\0" not in one.detail["path"]]


@given(rows=phases(), layout=LAYOUTS)
def test_drift_is_that_of_fields_looked_at_one_by_one(rows, layout):
    report = check(events_of(rows, Facts(base=1), con=CON, layout=layout), only=["schema-drift"])
    assert in_order(found(report)) == in_order(expected(without_nul(oracle_schema.drift(rows))))


@given(rows=strategies.logs(payloads=st.one_of(st.none(), strategies.payload_texts())), layout=LAYOUTS)
def test_names_that_stand_twice_are_those_that_a_decoder_of_pairs_sees(rows, layout):
    report = check(events_of(rows, Facts(base=1), con=CON, layout=layout), only=["duplicate-key"])
    assert in_order(found(report)) == in_order(expected(oracle_schema.duplicate_keys(rows)))


@given(rows=strategies.logs(payloads=st.one_of(st.none(), strategies.payload_texts())))
def test_drift_of_odd_payloads_is_that_of_the_reference(rows):
    rows = [replace(row, event_type="A", schema_version=None) for row in rows]
    report = check(events_of(rows, Facts(base=1), con=CON), only=["schema-drift"])
    assert in_order(found(report)) == in_order(expected(without_nul(oracle_schema.drift(rows))))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('{"a":1,"a":1}', ["/a"]),
        ('{"a":1,"\\u0061":2}', ["/a"]),
        ('{ "a" : {"b":1, "c":{"b":2,"b":3,"b":4}} }', ["/a/c/b", "/a/c/b"]),
        ('[{"a":1},{"a":1,"a":2}]', ["/*/a"]),
        ('{"l":[[{"a":1,"a":2}],{"a/b":1,"a\\/b":2}]}', ["/l/*/*/a", "/l/*/a~1b"]),
        ('{"a":"\\"b\\":1","b":"{","c":"a","a\\"":1}', []),
        ('{"a":{"a":{"a":[]}},"b":["a","a"]}', []),
        ("[" * 3000 + '{"":1,"":2}' + "]" * 3000, ["/*" * 3000 + "/"]),
        ('{"n":1.10,"m":1e5, "o":{"n":1}}', []),
    ],
)
def test_repeated_names_are_exact_however_they_are_written(text, paths):
    assert payload.repeated_names(text) == paths


def log_of(texts: list[str | None], **columns: Any) -> Any:
    rows = [Row(n, "s-1", n, "Placed", text, **columns) for n, text in enumerate(texts, 1)]
    return events_of(rows, Facts(base=1), con=CON)


def test_findings_say_what_changed_and_where():
    old, new = ['{"qty":1,"old":1}'] * 6, ['{"qty":"1","new":null}'] * 6
    findings = check(log_of([*old, *new], schema_version=1), only="schema").findings
    assert findings[["check", "severity", "version", "seen", "expected"]].values.tolist() == [
        ["schema-drift", "warning", 7, "no such field", "a field"],
        ["schema-drift", "warning", 7, "text", "a number"],
        ["schema-drift", "info", 7, "a field", "no such field"],
    ]
    assert findings["explanation"].tolist() == [
        (
            'No events of type "Placed" of schema version 1 have the field "/old", which all had up to position 6, '
            'from version 7 of stream "s-1" ("Placed" at position 7) on.'
        ),
        (
            'In events of type "Placed" of schema version 1 the field "/qty" is a number from position 1 and text from '
            'version 7 of stream "s-1" ("Placed" at position 7) on.'
        ),
        (
            'All events of type "Placed" of schema version 1 have the field "/new", which none had up to position 6, '
            'from version 7 of stream "s-1" ("Placed" at position 7) on.'
        ),
    ]
    twice = check(log_of(['{"a":1}', '{"a":1,"a":2}', '{"a":{"b":1}}']), only=["duplicate-key"]).findings
    assert twice["explanation"].tolist() == [
        (
            'In 1 event of type "Placed" the name at "/a" stands more than once in its object, first in version 2 of '
            'stream "s-1" ("Placed" at position 2): readers disagree about which value counts.'
        )
    ]


def test_new_schema_version_and_optional_fields_are_no_drift():
    texts = ['{"a":1}', "{}"] * 8
    assert check(log_of([*texts], schema_version=1), only=["schema-drift"]).findings.empty
    rows = [Row(n, "s-1", n, "Placed", '{"a":1}' if n < 9 else '{"a":"x"}', schema_version=1 + n // 9)
            for n in range(1, 18)]  # fmt: skip
    assert check(events_of(rows, Facts(base=1), con=CON), only=["schema-drift"]).findings.empty


def test_objects_with_very_many_names_are_maps():
    texts: list[str | None] = [json.dumps({"map": {f"k{n}": 1, "always": 1 if n < 600 else "x"}}) for n in range(1_200)]
    assert check(log_of(texts), only=["schema-drift"]).findings.empty
    assert len(check(log_of(texts[:900]), only=["schema-drift"]).findings) == 1


def test_order_is_needed_for_drift():
    rows = [Row(1, "a", 1, "A", "{}")]
    report = check(events_of(rows, Facts(base=1, positions="issued"), con=CON), only=["schema-drift"])
    assert report.not_claimed["schema-drift"].startswith("the source has no order")


PLACED = {
    "type": "object",
    "required": ["sku"],
    "properties": {
        "sku": {"type": "string"},
        "lines": {"type": "array", "items": {"properties": {"n": {"type": "integer", "minimum": 1}}}},
    },
}


def test_payloads_are_held_against_the_schema_of_their_version():
    texts = ['{"sku":"a"}', '{"sku":1}', "{}", '{"sku":2}', None, '{"sku":"a","lines":[{"n":1},{"n":0},{"n":-1}]}']
    report = check(log_of(texts, schema_version=1), only="schema", schemas={("Placed", 1): PLACED, ("Placed", 2): {}})
    rows = [
        (row["version"], row["seen"], row["expected"], json.loads(row["evidence"])["positions"])
        for row in report.findings.to_dict("records")
        if row["check"] == "schema-violation"
    ]
    assert rows == [
        (2, '"data.sku must be string"', "\"type: 'string'\"", [2, 4]),
        (3, "\"data must contain ['sku'] properties\"", "\"required: ['sku']\"", [3]),
        (5, '"data must be object"', "\"type: 'object'\"", [5]),
        (6, '"data.lines[1].n must be bigger than or equal to 1"', '"minimum: 1"', [6]),
    ]
    explanation = report.findings.loc[report.findings["check"] == "schema-violation", "explanation"].iloc[0]
    assert explanation == (
        'The payload of 2 events of type "Placed", schema version 1, is not as its JSON Schema says, first in version '
        '2 of stream "s-1" ("Placed" at position 2): "data.sku must be string".'
    )


def test_schema_of_a_type_holds_for_versions_without_one():
    log = log_of(['{"sku":1}'])
    assert check(log, only="schema", schemas={"Placed": PLACED}).counts == {"schema-violation": 1}
    assert check(log, only="schema", schemas={"Placed": PLACED, ("Placed", None): {}}).ok
    assert check(log, only="schema", schemas={"Placed": PLACED, ("Placed", 1): {}}).errors == 1


@given(rows=strategies.logs())
def test_violations_are_those_that_a_look_at_the_value_sees(rows):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 2}}}
    bad = [row.position for row in rows if row.event_type == "Added" and not _fits(row.data)]
    report = check(events_of(rows, Facts(base=1), con=CON), only=["schema-violation"], schemas={"Added": schema})
    told = [position for row in found(report) for position in row[6]]
    assert sorted(told) == sorted(bad)


def _fits(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("n")) is int and value["n"] >= 2


@pytest.mark.parametrize(
    ("schemas", "reason"),
    [
        (None, "no JSON Schema was given: schemas= takes them"),
        ({("Placed", 3): {}}, "no event is of a type and schema version that schemas= names"),
        ({}, "no event is of a type and schema version that schemas= names"),
    ],
)
def test_nothing_is_claimed_without_a_schema_that_is_met(schemas, reason):
    report = check(log_of(["{}"]), only="schema", schemas=schemas)
    assert report.not_claimed["schema-violation"] == reason


@pytest.mark.parametrize(
    ("schemas", "message"),
    [
        ({"Placed": {"type": "strin"}}, "no JSON Schema for 'Placed', but .*strin"),
        ({"Placed": 7}, "no JSON Schema for 'Placed', but 7"),
        (
            {"Placed": {"$ref": "http://example.invalid/s.json"}},
            "refers to http://example.invalid/s.json, which",
        ),
        ({"Placed": {"$ref": "file:///etc/passwd"}}, "refers to file:///etc/passwd, which is not fetched"),
        ({("Placed", "1"): {}}, 'from \\("OrderPlaced", 1\\)'),
        ({("Placed", True): {}}, "not from"),
    ],
)
def test_what_is_no_schema_is_refused(schemas, message):
    with pytest.raises(EsbenchError, match=message):
        check(log_of(["{}"]), schemas=schemas)


def test_missing_package_says_how_to_get_it(monkeypatch):
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "fastjsonschema":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EsbenchError, match=r"pip install 'esbench\[schema\]'"):
        check(log_of(["{}"]), schemas={"Placed": {}})


def test_checks_of_payloads_run_where_they_are_asked_for():
    log, all_of_them = log_of(["{}"]), {"duplicate-key", "schema-drift", "schema-violation"}
    assert check(log, only="schema").checks == ("duplicate-key", "schema-drift")
    assert not all_of_them & {*check(log).checks}
    assert all_of_them <= {*check(log, schemas={"Placed": {}}).checks}
    assert not all_of_them & {*check(log, schemas={"Placed": {}}, skip="schema").checks}

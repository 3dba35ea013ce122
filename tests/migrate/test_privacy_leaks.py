"""Personal data planted at places that no step declares: each is found, told by its place, and never quoted."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.migrate import Migration, rename_field, rename_type
from esbench.migrate.private.leaks import GATE
from esbench.migrate.steps.privacy import forget, mask, pseudonymise, pseudonymise_ids, redact

KEY = b"a key that nobody else has: 7f1b"
ANN = "ann@example.org"


def outcome(rows: list[dict[str, Any]], *steps: Any) -> Any:
    """The gate over a log of some events."""
    events = [{"stream_id": "s", "version": n, "event_type": "Noted", **row} for n, row in enumerate(rows, start=1)]
    dry = es.open().load(pd.DataFrame(events), "log").dry_run(Migration("m", steps), checks=False)
    for told in (str(dry), dry.to_json(), dry.to_markdown(), dry._repr_html_()):
        # Types are counted by their names, whatever these are.
        assert ANN not in told or f"Noted{ANN}" in told, "what tells of a leak holds what leaks"
    return next(gate for gate in dry.gates if gate.name == GATE)


def mail(value: Any = ANN, **more: Any) -> str:
    return json.dumps({"customer": {"email": value}, **more})


@pytest.mark.parametrize(
    ("planted", "place"),
    [
        ({"data": mail(note=f"call {ANN} back")}, "/note"),
        ({"data": mail(lines=[{"a": 1}, {"to": f"<{ANN}>"}])}, "/lines/1/to"),
        ({"data": '{"note": "\\u0061nn\\u0040example.org"}'}, "/note"),
        ({"data": json.dumps({"raw": json.dumps({"a": '{"b": "x\\n\\u0061nn@example.org"}'})})}, "/raw"),
        ({"data": json.dumps({"by": {ANN: 1}})}, "/by/[…]"),
        ({"metadata": json.dumps({"user": {"mail": ANN}})}, "metadata /user/mail"),
        ({"data": json.dumps(ANN)}, "data"),
        ({"stream_id": f"customer-{ANN}"}, "stream_id"),
        ({"event_type": f"Noted{ANN}"}, "event_type"),
        ({"stream_type": ANN}, "stream_type"),
        ({"event_id": ANN}, "event_id"),
        ({"source_position": f"7/{ANN}"}, "source_position"),
    ],
)
def test_a_value_that_also_stands_elsewhere_is_found(planted, place):
    if place == "data":
        planted = {"data": json.dumps([ANN])}
        place = "/0"
    found = outcome([{"data": mail()}, planted], mask("/customer/email"))
    assert found.status == "failed"
    row = found.details.iloc[0]
    assert len(found.details) == 1
    assert (row["place"], row["version"], row["original_of"]) == (place, 2, "step 1: /customer/email")
    assert row["stream_id"] == ("customer-[…]" if place == "stream_id" else "s")
    assert f"version 2, {place}" in found.text


@pytest.mark.parametrize(
    "step",
    [
        mask("/customer/email", keep=3),
        redact("/customer/email"),
        redact("/customer"),
        redact("/*"),
        pseudonymise("/customer/email", key=KEY),
        pseudonymise("/*/email", key=KEY),
        forget(ANN, ["/customer/email"]),
        forget([ANN, *(f"other{n}" for n in range(30))], ["/customer/email"]),
    ],
    ids=repr,
)
def test_nothing_is_left_where_every_place_is_declared(step):
    found = outcome(
        [{"data": mail(note="nothing")}, {"data": '{"customer": {"email" : "\\u0061nn@example.org"}}'}], step
    )
    assert found.status == "passed"
    assert "in 2 events" in found.text
    assert outcome([{"data": mail()}, {"metadata": json.dumps({"x": ANN})}], step).status == "failed"


def test_what_a_step_leaves_is_no_original():
    rows = [{"data": mail("unknown person")}, {"data": mail(ANN)}, {"data": mail(None, note="unknown person")}]
    assert outcome(rows, redact("/customer/email", "unknown person")).status == "passed"
    assert outcome([{"data": mail("***", note="***")}], mask("/customer/email")).status == "not applicable"
    assert outcome([{"data": "{}"}], redact("/customer/email")).text == "no step replaced a value"


def test_a_value_is_collected_where_it_stands_before_its_step():
    rows = [{"data": json.dumps({"mail": ANN})}, {"data": json.dumps({"mail": ANN, "note": ANN}), "event_type": "Kept"}]
    found = outcome(
        rows,
        rename_field("/mail", "email"),
        rename_type("Kept", "Moved"),
        pseudonymise("/email", key=KEY),
    )
    assert list(found.details["place"]) == ["/note"]
    assert list(found.details["original_of"]) == ["step 3: /email"]


def test_ids_are_looked_for_everywhere():
    rows = [
        {"stream_id": f"customer {ANN}", "version": 1, "event_id": "event-0001", "data": "{}"},
        {"stream_id": f"customer {ANN}", "version": 2, "event_id": "event-0002"},
        {"version": 9, "data": json.dumps({"see": f"customer {ANN}"}), "metadata": '{"causation_id": "event-0002"}'},
        {"version": 10, "metadata": '{"other": "event-0001"}'},
    ]
    found = outcome(rows, pseudonymise_ids(key=KEY))
    assert list(found.details["place"]) == ["/see", "metadata /other"]
    ids = ["stream_id", "event_id", "/see", "metadata /other", "metadata /causation_id"]
    assert outcome(rows, pseudonymise_ids(key=KEY, ids=ids)).status == "passed"


@pytest.mark.parametrize(
    ("value", "other", "left"),
    [
        (4111111111111111, "4111111111111111", True),
        (4111111111111111, '"card 4111111111111111."', True),
        (4111111111111111, "41111111111111112", False),
        (4111111111111111, "14111111111111111", False),
        (1234567.5, "1234567.5", True),
        (1234567.5, "1234567.51", False),
        (12345, "12345", False),  # common: at its own place only
        (True, "true", False),
        (None, "null", False),
        ("Ann", '"Ann"', False),  # short: at its own place only
        ("true", '"true"', False),
        ("Anna", '"dear Anna, hello"', True),
        ("Anna", '"AnnaMaria"', False),  # a short text is found as a whole word
        ("Annabella", '"xAnnabellay"', True),
        ("Zoë Å", '"by Zo\\u00eb \\u00c5"', True),
        ("🦆 Donald", '"\\ud83e\\udd86 Donald!"', True),
        ('say "hi" \\ now', '"they say \\"hi\\" \\\\ now"', True),
        ("line\nline", '"line\\nline"', True),
    ],
)
def test_what_is_looked_for_where(value, other, left):
    found = outcome([{"data": mail(value)}, {"data": f'{{"other": {other}}}'}], redact("/customer/email"))
    assert found.status == ("failed" if left else "not applicable" if value is None else "passed")


def test_a_short_value_is_looked_for_at_its_own_place():
    rows = [{"data": '{"name": "Al", "to": "Al"}'}, {"data": '{"name": "Bo", "to": "Al"}'}]
    found = outcome(rows, mask("/name"))
    assert found.status == "passed"
    assert "2 of them, short or common" in found.text
    # The second step puts a value back to where one was replaced.
    back = outcome(rows, redact("/name"), rename_field("/name", "no"), rename_field("/to", "name"))
    assert list(back.details["version"]) == [1, 2]


def test_a_number_is_found_in_its_plain_form():
    rows = [{"data": '{"n": 1234567.50, "m": 12e7}'}, {"data": '{"x": 1234567.5}'}, {"data": '{"y": 120000000}'}]
    found = outcome(rows, redact("/n"), redact("/m"))
    assert list(found.details["place"]) == ["/x"]  # 12e7 has three digits
    rows[0]["data"] = '{"n": 1.234567e6}'
    rows[1]["data"] = '{"x": 1234567}'
    assert list(outcome(rows, redact("/n")).details["place"]) == ["/x"]


@given(
    st.lists(
        st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=8, max_size=12), min_size=1, max_size=3
    ),
    st.sampled_from(("data", "metadata")),
    st.booleans(),
    st.booleans(),
)
def test_any_long_text_is_found_however_it_is_written(values, column, plain, nested):
    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=not plain)

    rows = [{"data": written({"customer": {"email": value}})} for value in values]
    inner = {"note": f"({values[-1]})"}
    rows.append({column: written({"raw": written(inner)} if nested else inner)})
    events = [{"stream_id": "s", "version": n, "event_type": "Noted", **row} for n, row in enumerate(rows, start=1)]
    with es.open() as bench:
        dry = bench.load(pd.DataFrame(events), "log").dry_run(Migration("m", [redact("/customer/email")]), checks=False)
    found = next(gate for gate in dry.gates if gate.name == GATE)
    expected = not values[-1].isspace()
    assert (found.status == "failed") == expected or found.status == "not applicable"
    if expected:
        assert found.details is not None
        assert len(rows) in set(found.details["version"])

from __future__ import annotations

import copy
import dataclasses
import hashlib
import hmac
import json
import pickle
import uuid
from typing import Any

import cloudpickle
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import payload
from esbench.migrate import Migration, MigrationError
from esbench.migrate.dry import dry_run
from esbench.migrate.running import run
from esbench.migrate.steps.privacy import forget, mask, place, pseudonymise, pseudonymise_ids, redact
from esbench.migrate.steps.tokens import Key, Masked, Token
from tests.checks.compare import connect, events_of
from tests.oracle import Facts
from tests.strategies import logs, payload_texts

KEY = b"a key that nobody else has: 7f1b"
CON = connect()
COLUMNS = "position, stream_id, stream_type, version, event_type, schema_version, data::varchar as data, failed"


def loaded(*rows: dict[str, Any]) -> es.Log:
    """A log of rows; each is an event of stream s unless it says otherwise."""
    texts = [
        {
            "stream_id": "s",
            "version": n,
            "event_type": "Noted",
            **row,
            **{
                name: row[name] if isinstance(row[name], str) else json.dumps(row[name])
                for name in ("data", "metadata")
                if name in row
            },
        }
        for n, row in enumerate(rows, start=1)
    ]
    return es.open().load(pd.DataFrame(texts), "log")


def data_of(log: es.Log, *steps: Any) -> list[Any]:
    """The payloads after some steps, as text."""
    events = run(log.source, Migration("m", steps)).events
    return [text for (text,) in events.rows("select data::varchar from events order by position")]


def gate(dry: Any) -> Any:
    return next(outcome for outcome in dry.gates if outcome.name == "no original value is left")


@pytest.mark.parametrize(
    ("raw", "keep", "length", "made"),
    [
        ('"4111111111111234"', 4, False, '"***1234"'),
        ('"4111111111111234"', 4, True, '"************1234"'),
        ("4111111111111234", 4, False, '"***1234"'),
        ('"secret"', 0, False, '"***"'),
        ('"12345678"', 4, False, '"***"'),  # no half of a text is shown
        ('"abc"', 4, True, '"***"'),
        ('"\\u00e9\\u00e8\\u00ea"', 1, False, '"***ê"'),
        ("null", 4, False, None),
        ('""', 4, False, None),
        ('"***1234"', 4, False, None),
        ('"***"', 0, False, None),
    ],
)
def test_a_mask_shows_the_last_characters_only(raw, keep, length, made):
    assert Masked(keep, "*", length)(raw) == made


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), st.integers(0, 9))
def test_a_mask_never_shows_half_of_a_text_nor_its_length(text, keep):
    made = Masked(keep, "#", False)(json.dumps(text))
    if made is not None:
        shown = payload.decode(made).removeprefix("###")
        assert text.endswith(shown)
        assert 2 * len(shown) < len(text)
        assert len(shown) in (0, keep)


@pytest.mark.parametrize("raw", ["{}", "[1]", "true", "false"])
@pytest.mark.parametrize("function", [Masked(0, "*", False), Token(Key(KEY))])
def test_what_has_no_text_to_hide_fails_and_is_not_quoted(raw, function):
    with pytest.raises(payload.PayloadError, match="redact it"):
        function(raw)


def test_a_token_is_hmac_sha256_of_the_text_alone():
    digest = hmac.new(KEY, b"ann@example.org", hashlib.sha256).hexdigest()
    letters = dict(zip("0123456789abcdef", "bcdfghjklmnpqrst", strict=True))
    expected = "".join(letters[digit] for digit in digest[:32])
    token = Token(Key(KEY))
    assert token.of("ann@example.org") == expected
    assert token('"ann@example.org"') == token('"\\u0061nn@example.org"') == f'"{expected}"'
    assert token("4711") == token('"4711"')
    assert Token(Key(KEY), "u-").of("ann@example.org") == f"u-{expected}"
    assert Token(Key(KEY + b"!")).of("ann@example.org") != expected


def test_a_uuid_becomes_a_uuid():
    made = uuid.UUID(Token(Key(KEY)).of("0f8fad5b-d9cb-469f-a165-70867728950e"))
    assert made.version == 8
    assert made.variant == uuid.RFC_4122


def test_one_value_has_one_token_in_every_stream_type_and_path():
    log = loaded(
        {"data": {"mail": "ann@example.org", "to": [{"mail": "ann@example.org"}, {"mail": "bob@example.org"}]}},
        {"stream_id": "t", "event_type": "Sent", "data": '{"mail" : "\\u0061nn@example.org", "n": 1.10}'},
        {
            "stream_id": "ann@example.org",
            "event_id": "bob@example.org",
            "metadata": {"causation_id": "ann@example.org"},
        },
    )
    steps = [pseudonymise("/mail", key=KEY), pseudonymise("/to/*/mail", key=KEY), pseudonymise_ids(key=KEY)]
    rows = run(log.source, Migration("m", steps)).events.rows(
        "select stream_id, event_id, data::varchar, metadata::varchar from events order by position"
    )
    ann, bob = map(Token(Key(KEY)).of, ("ann@example.org", "bob@example.org"))
    assert payload.decode(rows[0][2]) == {"mail": ann, "to": [{"mail": ann}, {"mail": bob}]}
    assert rows[1][2] == f'{{"mail" : "{ann}", "n": 1.10}}'
    assert rows[2][:2] == (ann, bob)
    assert payload.decode(rows[2][3]) == {"causation_id": ann}


def test_the_key_is_in_nothing_that_a_step_shows_or_gives_away(monkeypatch):
    monkeypatch.setenv("SHOP_KEY", KEY.decode())
    for key in (KEY, "SHOP_KEY"):
        steps = [pseudonymise("/mail", key=key), pseudonymise_ids(key=key)]
        log = loaded({"data": {"mail": "ann@example.org"}, "event_id": "e"})
        migration = Migration("m", steps)
        dry = log.dry_run(migration)
        shown = [repr(migration), migration.text, str(dry), dry.to_json(), dry.to_markdown(), dry._repr_html_()]
        shown += [migration.explain().to_string(), repr(steps), repr(dry.result), repr(dataclasses.asdict(steps[0]))]
        shown += [repr(dry.result.work), dry.events.query, repr(dry.events.parameters)]
        shown += [repr(vars(step)) for step in steps]
        assert not [text for text in shown if KEY.decode() in text or KEY.hex() in text]
        assert copy.deepcopy(steps[0]) == steps[0]
        assert pseudonymise("/mail", key=KEY) != pseudonymise("/mail", key=KEY * 2)
    for pack in (pickle.dumps, cloudpickle.dumps):
        packed = pack(Key("SHOP_KEY"))
        assert KEY not in packed
        assert pickle.loads(packed).secret() == KEY  # noqa: S301 (packed here)
        with pytest.raises(MigrationError, match="environment variable"):
            pack(Key(KEY))


def test_bad_keys_are_refused_without_being_quoted(monkeypatch):
    for bad in (b"too short", "not a name: secret", 7, None):
        with pytest.raises(MigrationError) as error:
            pseudonymise("/a", key=bad)  # type: ignore[arg-type]
        assert "too short" not in str(error.value)
        assert "secret" not in str(error.value).replace("a secret", "").replace("secrets.token_bytes", "")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    step = pseudonymise("/a", key="NO_SUCH_KEY")
    with pytest.raises(MigrationError, match="no variable NO_SUCH_KEY"):
        run(loaded({"data": {"a": "b"}}).source, Migration("m", [step]))


def test_redacting_replaces_whatever_stands_there_and_nothing_else():
    log = loaded({"data": '{"a": {"b": "x"},  "n": 1.10, "a2": "x"}'}, {"data": '{"n":1}'}, {"data": '{"a":true}'})
    assert data_of(log, redact("/a")) == ['{"a": null,  "n": 1.10, "a2": "x"}', '{"n":1}', '{"a":null}']
    assert data_of(log, redact("/a", "gone"))[2] == '{"a":"gone"}'


def test_a_subject_is_forgotten_in_every_stream_at_the_paths():
    log = loaded(
        {"data": {"mail": "ann@example.org", "name": "Ann", "other": "ann@example.org"}},
        {"stream_id": "t", "data": '{"mail": "\\u0061nn@example.org","to":["x", "Ann"]}'},
        {
            "stream_id": "u",
            "data": {"mail": "bob@example.org", "name": "Annabel", "to": 4711},
            "metadata": {"user": "Ann"},
        },
    )
    step = forget(["ann@example.org", "Ann", 4711], ["/mail", "/name", "/to", "/to/*", "metadata /user"])
    assert "nn@" not in repr(step)
    assert "4711" not in repr(step)
    result = run(log.source, Migration("m", [step]))
    rows = result.events.rows("select data::varchar, metadata::varchar from events order by position")
    assert payload.decode(rows[0][0]) == {"mail": None, "name": None, "other": "ann@example.org"}
    assert rows[1][0] == '{"mail": null,"to":["x", null]}'
    assert payload.decode(rows[2][0]) == {"mail": "bob@example.org", "name": "Annabel", "to": None}
    assert payload.decode(rows[2][1]) == {"user": None}
    # The address at /other is one of the subject's, and no path leads there.
    assert set(gate(log.dry_run(Migration("m", [step]))).details["place"]) == {"/other"}


def test_truncated_streams_are_told_by_their_tokens():
    rows = pd.DataFrame({"stream_id": ["ann", "bob"], "version": [4, 1], "event_type": "A"})
    log = es.open().load(rows, "log", truncated=["an*"])
    facts = run(log.source, Migration("m", [pseudonymise_ids(key=KEY)])).events.facts
    assert facts.truncated == (Token(Key(KEY)).of("ann"),)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mask("/a", keep=-1),
        lambda: mask("/a", with_=""),
        lambda: mask("a"),
        lambda: redact(""),
        lambda: forget([], ["/a"]),
        lambda: forget("a", []),
        lambda: forget("", ["/a"]),
        lambda: forget("a", ["stream_id"]),
        lambda: forget([True], ["/a"]),
        lambda: pseudonymise_ids(key=KEY, ids=[]),
        lambda: pseudonymise_ids(key=KEY, ids=["stream_key"]),
        lambda: place("metadata"),
    ],
)
def test_steps_that_are_not_defined_well_are_refused(make):
    with pytest.raises(es.EsbenchError):
        make()


STEPS = [
    mask("/n", keep=1),
    redact("/quantity"),
    redact("/n", "gone"),
    pseudonymise("/n", key=KEY),
    pseudonymise("/*", key=KEY),
    mask("/a.b", metadata=True),
    forget(["1", "2", "-4", "é"], ["/n", "/quantity", "metadata /n"]),
    pseudonymise_ids(key=KEY),
    pseudonymise_ids(key=KEY, ids=["stream_id", "/n"]),
]


@given(st.data())
def test_every_event_has_one_fate_and_keeps_all_that_no_step_touches(data):
    rows = data.draw(logs(max_streams=3, max_events=8, payloads=st.one_of(st.none(), payload_texts())))
    steps = data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3))
    dry = dry_run(events_of(rows, Facts(), con=CON), Migration("m", steps), name="log", checks=False)
    assert sum(dry.counts.fates.values()) == len(rows) == dry.counts.after
    made = dry.result.work.events.arrow(f"select {COLUMNS} from events order by position").to_pylist()
    for old, new in zip(sorted(rows, key=lambda row: row.position), made, strict=True):
        same = {"position", "version", "event_type", "stream_type", "schema_version"}
        assert all(new[name] == old.columns()[name] for name in same)
        if new["failed"] is not None:
            continue
        paths = {each for step in steps for each in step.places}
        if not any(each.column == "stream_id" for each in paths):
            assert new["stream_id"] == old.stream_id
        touched = {each.path for each in paths if each.column == "data"}
        if "/*" in touched or old.data_text is None:
            continue
        try:
            before, after = payload.fields(old.data_text), payload.fields(new["data"])
        except payload.PayloadError:
            continue
        assert list(before) == list(after)
        for name, raw in before.items():
            if f"/{name}" not in touched:
                assert after[name] == raw

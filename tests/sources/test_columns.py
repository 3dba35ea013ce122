"""Columns: names found among aliases, and values read exactly or refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esbench.errors import SourceError
from esbench.event import CANONICAL, quote
from esbench.sources.columns import ALIASES, CLOCKS, Columns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ticks": 10**7}
END = 9_200_000_000_000_000_000  # microseconds


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as opened:
        opened.execute("set TimeZone = 'UTC'")
        yield opened


def read(con, name, values, *, kind="VARCHAR", clock="iso"):
    """What a canonical column makes of values of one field: (value, refused, cut) each; times in microseconds."""
    reading = Columns(clock=clock).expressions({name: kind})[name]
    value = f"epoch_us({reading.value})" if CANONICAL[name] == "TIMESTAMPTZ" else reading.value
    return con.execute(
        f"""
        select {value}, {reading.bad or "false"}, {reading.cut or "false"}
        from (select unnest($values)::{kind} as {quote(name)})
        """,
        {"values": list(values)},
    ).fetchall()


@pytest.mark.parametrize(("canonical", "alias"), [(c, a) for c, names in ALIASES.items() for a in (c, *names)])
def test_every_alias_is_found_in_every_spelling(canonical, alias):
    camel = re.sub(r"_(\w)", lambda found: found[1].upper(), alias)
    for spelling in {alias, camel, alias.upper(), camel[0].upper() + camel[1:], alias.replace("_", "-")}:
        assert Columns().resolve(["other", spelling]).target == {canonical: spelling}


def test_no_alias_stands_for_two_columns():
    names = [name for canonical, aliases in ALIASES.items() for name in (canonical, *aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("names", [["id", "uuid"], ["eventId", "x", "EventID"], ["StreamId", "streamid"]])
def test_two_columns_for_one_name_are_refused_with_a_way_out(names):
    with pytest.raises(SourceError, match=r"two columns for one name: .* could both be .*; choose with columns="):
        Columns().resolve(names)


def test_its_own_name_wins_over_aliases_and_other_spellings():
    found = Columns().resolve(["id", "Event_Id", "event_id", "uuid"])
    assert found.target == {"event_id": "event_id"}
    assert found.unused == ("id", "Event_Id", "uuid")


def test_a_field_that_is_given_is_not_claimed_again():
    found = Columns({"stream_id": "id"}).resolve(["id", "type"])
    assert found.target == {"stream_id": "id", "event_type": "type"}


def test_a_field_that_is_given_still_serves_its_own_name_where_nothing_else_does():
    assert Columns({"metadata": "data"}).resolve(["data"]).target == {"metadata": "data", "data": "data"}
    assert Columns({"metadata": "data"}).resolve(["data", "body"]).target == {"metadata": "data", "data": "body"}
    assert Columns({"version": "position"}).resolve(["position"]).target == {"version": "position"}


def test_a_column_given_as_none_is_not_read():
    found = Columns({"position": None, "data": None}).resolve(["position", "data", "payload", "stream_id"])
    assert found.target == {"stream_id": "stream_id"}
    assert found.unused == ("position", "data", "payload")
    with pytest.raises(SourceError, match=r'"position" is a field, an SQL expression or None, not 5'):
        Columns({"position": 5})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("names", "given_columns", "target"),
    [
        (["global_position", "position"], {}, {"position": "global_position", "version": "position"}),
        (["position", "globalSequence"], {}, {"position": "globalSequence", "version": "position"}),
        (["global_position", "position", "revision"], {}, {"position": "global_position", "version": "revision"}),
        (["global_position", "position"], {"version": None}, {"position": "global_position"}),
        (["global_position", "position"], {"position": "position"}, {"position": "position"}),
        (["position", "version", "seq_id"], {}, {"position": "position", "version": "version"}),
    ],
)
def test_a_position_beside_a_global_one_is_the_version(names, given_columns, target):
    assert Columns(given_columns).resolve(names).target == target


@pytest.mark.parametrize("name", [name for name, kind in CANONICAL.items() if kind != "VARCHAR"])
def test_empty_text_is_missing_where_text_is_no_value(con, name):
    for clock in ("iso", "ms"):
        reading = Columns(clock=clock).expressions({name: "VARCHAR"})[name]
        assert con.execute(f"select {reading.raw} from (select '' as {quote(name)})").fetchall() == [(None,)]


def test_sql_expressions_want_the_fields_they_name():
    found = Columns({"stream_id": "kind || '-' || \"the id\""}).resolve(["Kind", "the id", "rest"])
    assert found.wanted == {"Kind", "the id"}
    assert found.unused == ("rest",)


def test_a_payload_stays_raw_where_an_expression_names_it_too():
    found = Columns({"event_type": "data->>'type'"}).resolve(["data", "stream_id"])
    assert found.payload_fields == {"data"}


def test_unknown_columns_and_clocks_are_answered_with_the_nearest():
    with pytest.raises(SourceError, match=r'"verson" is not a canonical column\. Did you mean "version"'):
        Columns({"verson": "v"})
    with pytest.raises(SourceError, match='"minutes" is none of iso, s, ms'):
        Columns(clock="minutes")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["VARCHAR", "JSON"])
@pytest.mark.parametrize(
    "text", ["seven", "7.6", "true", "007", str(2**63), str(-(2**63) - 1), " 7", "7 ", "+7", "0x7", "1e3", "1_0", "7.0"]
)
def test_what_is_no_plain_integer_is_refused(con, text, kind):
    assert read(con, "version", [text], kind="VARCHAR")[0][1]


@pytest.mark.parametrize("number", [0, 7, -7, 2**63 - 1, -(2**63)])
def test_integers_are_read_whole(con, number):
    for kind in ("VARCHAR", "BIGINT", "HUGEINT", "DECIMAL(38, 10)", "DECIMAL(38, 0)"):
        assert read(con, "version", [str(number)], kind=kind) == [(number, False, False)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DOUBLE", 7.6),
        ("DOUBLE", float("nan")),
        ("DOUBLE", float("inf")),
        ("DOUBLE", 2.0**53 + 2),
        ("FLOAT", 0.5),
        ("DECIMAL(10, 2)", "7.60"),
        ("HUGEINT", 2**63),
        ("UBIGINT", 2**63),
        ("BOOLEAN", True),
        ("DATE", "2024-01-01"),
        ("DECIMAL(38, 30)", "7.000000000000000000000000000001"),
    ],
)
def test_typed_values_that_are_no_integers_are_refused(con, kind, value):
    assert read(con, "version", [value], kind=kind)[0][1]


def test_whole_floats_are_integers(con):
    assert read(con, "version", [7.0, -0.0, 2.0**53], kind="DOUBLE") == [
        (7, False, False),
        (0, False, False),
        (2**53, False, False),
    ]


ZONES = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES),  # type: ignore[arg-type]  # noqa: DTZ001
    st.sampled_from("T "),
    st.text("0123456789", max_size=14),
    st.booleans(),
)
def test_iso_times_are_read_as_python_reads_them(con, time, between, decimals, zulu):
    whole = time.replace(microsecond=0)
    text = whole.isoformat(sep=between)
    point = f".{decimals}" if decimals else ""
    text = text[:19] + point + ("Z" if zulu and text[19:] == "+00:00" else text[19:])
    micros = (whole.replace(tzinfo=whole.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
    micros += int(decimals[:6].ljust(6, "0"))
    assert read(con, "recorded_at", [text]) == [(micros, False, bool(decimals[6:].strip("0")))]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-06-07", "2024-06-07T00:00:00+00:00"),
        ("2024-06-07 12:30", "2024-06-07T12:30:00+00:00"),
        ("2024-06-07T12:30+02", "2024-06-07T10:30:00+00:00"),
        ("2024-06-07T12:30:00-0230", "2024-06-07T15:00:00+00:00"),
        ("2024-06-07T12:30:00.1+02:00", "2024-06-07T10:30:00.100000+00:00"),
        ("2024-06-07T24:00:00Z", "2024-06-08T00:00:00+00:00"),
    ],
)
def test_iso_times_may_be_short(con, text, utc):
    ((micros, refused, cut),) = read(con, "recorded_at", [text])
    assert (EPOCH + timedelta(microseconds=micros)).isoformat() == utc
    assert not refused
    assert not cut


@pytest.mark.parametrize(
    "text",
    [
        "infinity",
        "-infinity",
        "epoch",
        "now",
        "today",
        "yesterday",
        "24-06-07",
        "2024-6-7",
        "2024/06/07",
        "07.06.2024",
        "2024-02-30",
        "2024-06-07T25:00:00",
        "2024-06-07T12:00:60Z",
        "2024-06-07 12:00:00 Europe/Berlin",
        "2024-06-07 12:00:00 NZ",
        "2024-06-07 (BC)",
        "12024-06-07",
        "2024-06-07T1:2:3",
        "1717754400",
        "2024-06-07T12:00:00Z\n",
    ],
)
def test_what_is_no_iso_time_is_refused(con, text):
    assert read(con, "recorded_at", [text])[0][1]


@given(
    st.sampled_from(sorted(CLOCKS)),
    st.one_of(
        st.integers(-(10**22), 10**22).map(Decimal),
        st.integers(-(10**19), 10**19).map(Decimal),
        st.decimals(-(10**19), 10**19, allow_nan=False, places=9),
        st.integers(-(10**10), 10**10).map(lambda n: Decimal(n) / 10**9),
    ),
)
@example("ns", Decimal(-1))
@example("ticks", Decimal(621355968000000001))
@example("ticks", Decimal(0))
@example("us", Decimal("-0.000000000000001"))
@example("s", Decimal("9223372036854.775807"))
@example("s", Decimal("1717754400.1234567"))
def test_numbers_of_a_clock_are_cut_to_microseconds_exactly(con, clock, number):
    exact = Fraction(number) * 1_000_000 / PER_SECOND[clock]
    if clock == "ticks":
        exact -= (EPOCH - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    micros = exact.numerator // exact.denominator
    ((value, refused, cut),) = read(con, "recorded_at", [f"{number:f}"], clock=clock)
    if abs(micros) < END:
        assert (value, refused, cut) == (micros, False, micros != exact)
    else:
        assert (value, refused) == (None, True)


@pytest.mark.parametrize("clock", sorted(CLOCKS))
@pytest.mark.parametrize("text", ["nan", "inf", "2024-01-01", "x", "1" * 40, "1e-5", "0." + "1" * 16, "1_0", "0x10"])
def test_what_is_no_number_of_a_clock_is_refused(con, clock, text):
    assert read(con, "recorded_at", [text], clock=clock)[0][1]


def test_typed_numbers_of_a_clock_are_read(con):
    assert read(con, "recorded_at", [1717754400.5], kind="DOUBLE", clock="s") == [(1717754400500000, False, False)]
    assert read(con, "recorded_at", [1717754400123], kind="BIGINT", clock="ms") == [(1717754400123000, False, False)]


def test_typed_times_are_read_and_said_to_be_cut(con):
    time = "2024-06-07 12:00:00.123456789"
    micros = 1717761600123456
    assert read(con, "recorded_at", [time], kind="TIMESTAMP_NS") == [(micros, False, True)]
    assert read(con, "recorded_at", ["1960-01-01 00:00:00.000000001"], kind="TIMESTAMP_NS") == [
        (-315619200000000, False, True)
    ]
    assert read(con, "recorded_at", [time[:26]], kind="TIMESTAMP") == [(micros, False, False)]
    assert read(con, "recorded_at", [f"{time[:26]}+02"], kind="TIMESTAMPTZ") == [(micros - 7_200_000_000, False, False)]
    assert read(con, "recorded_at", [time[:10]], kind="DATE") == [(1717718400000000, False, False)]
    for kind in ("TIMESTAMP", "TIMESTAMPTZ", "DATE"):
        assert read(con, "recorded_at", ["infinity"], kind=kind)[0][1]

"""What a report shows and writes, with hostile ids, and what can be asked of a check."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from xml.etree import ElementTree

import duckdb
import pytest

from esbench.checks import CHECKS, UnknownCheck, check, describe
from esbench.errors import EsbenchError
from esbench.events import Events
from tests.checks.compare import connect, events_of
from tests.oracle import Facts, Row

HOSTILE = "a\x01<script>alert(1)</script>\"'&\n\u202e"
NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    return connect()


@pytest.fixture
def report(con):
    rows = [
        Row(1, HOSTILE, 1, HOSTILE, event_id="1", recorded_at=NOON),
        Row(2, HOSTILE, 4, HOSTILE, data_text='{"n": 2}', event_id="2", recorded_at=NOON),
        Row(3, "late", 3, event_id="3"),
    ]
    return check(events_of(rows, Facts(base=1), con=con), name="shop")


def test_counts_come_first(report):
    assert repr(report).startswith("Report: 1 error, 1 warning in shop (3 events, 2 streams; ")
    assert report.counts == {"version-gap": 1, "missing-head": 1}
    assert (report.errors, report.ok) == (1, False)


def test_explanation_names_stream_versions_and_events(report):
    row = report.findings[report.findings["check"] == "missing-head"].iloc[0]
    assert row["explanation"] == (
        'Stream "late" starts at version 3 ("Added" "3" at position 3): versions 1 to 2 are missing.'
    )
    assert (row["seen"], row["expected"]) == ("first version 3", "first version 1")


def test_evidence_shows_events_without_another_query(report):
    evidence = json.loads(report.findings["evidence"].iloc[0])
    assert evidence["positions"] == [1, 2]
    assert [event["event_id"] for event in evidence["events"]] == ["1", "2"]
    assert evidence["events"][0]["recorded_at"] == "2024-06-07T12:00:00+00:00"


def test_terminal_and_html_show_nothing_hostile(report):
    assert not set("\x01\u202e") & set(str(report))
    assert max(map(len, str(report).splitlines())) <= 100
    html = report._repr_html_()
    assert "<script>" not in html
    assert "\x01" not in html


def test_html_says_how_many_of_how_many(con):
    rows = [Row(n, f"s-{n}", 7) for n in range(1, 31)]
    html = check(events_of(rows, Facts(base=1), con=con))._repr_html_()
    assert "20 of 30" in html


def test_junit_is_xml_that_fails_for_errors_only(report):
    suite = ElementTree.fromstring(report.to_junit())
    cases = {case.get("name"): case for case in suite}
    assert set(cases) == set(report.checks) | set(report.not_claimed)
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["version-gap"]
    assert cases["missing-head"].findtext("system-out", "").startswith("warning: Stream")


def test_json_and_csv_carry_every_finding(report):
    assert [row["check"] for row in json.loads(report.to_json())["findings"]] == ["version-gap", "missing-head"]
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["stream_id"] for row in rows] == [HOSTILE, "late"]


def test_what_cannot_be_claimed_is_said_with_the_reason(con):
    facts = Facts(base=None, derived_versions=True, positions="issued")
    report = check(events_of([Row(1, "a", 1)], facts, con=con))
    assert report.ok
    assert len(report.findings) == 0
    assert report.not_claimed["version-gap"] == "versions were numbered by the loader"
    assert report.not_claimed["clock-regression"].startswith("the source has no order")
    assert report.not_claimed["event-id-reused"] == "no event has an id"


def test_unknown_name_gets_the_nearest(con):
    events = events_of([Row(1, "a", 1)], Facts(base=1), con=con)
    with pytest.raises(UnknownCheck, match=r'no check "version-gaps".*"version-gap"') as caught:
        check(events, only=["version-gaps"])
    assert isinstance(caught.value, EsbenchError)


def test_only_and_skip_choose(con):
    events = events_of([Row(1, "a", 1), Row(2, "a", 4), Row(3, "b", 2)], Facts(base=1), con=con)
    assert check(events, only=["version-gap"]).counts == {"version-gap": 1}
    assert check(events, skip=["version-gap"]).counts == {"missing-head": 1}
    assert check(events, only=["invariant-violated"]).not_claimed == {"invariant-violated": "no aggregate was given"}


def test_empty_log_has_no_findings(con):
    report = check(events_of([], Facts(), con=con))
    assert report.ok
    assert str(report)


def test_findings_do_not_depend_on_threads(con):
    rows = [Row(n, f"s-{n % 97}", n % 13, event_id=f"{n % 500}", recorded_at=NOON) for n in range(1, 3_000)]
    reports = []
    for threads in (1, 2, 4):
        con.execute(f"set global threads = {threads}")
        reports.append(check(events_of(rows, Facts(base=1), con=con)).to_json())
    assert len(set(reports)) == 1


def test_check_writes_nothing(tmp_path):
    path = str(tmp_path / "log.duckdb")
    with duckdb.connect(path) as con:
        events_of([Row(1, "a", 1), Row(2, "a", 4)], Facts(base=1), con=con)
    before = (tmp_path / "log.duckdb").read_bytes()
    with duckdb.connect(path, read_only=True) as con:
        assert not check(Events(con, "select * from t", ordered=True)).ok
    assert (tmp_path / "log.duckdb").read_bytes() == before


def test_every_check_is_described_and_structure_shows_its_sql():
    assert list(describe()["check"]) == list(CHECKS)
    assert all(each.sql for each in CHECKS.values() if each.kind == "structure")


def test_extreme_numbers_and_times_are_no_crash(con):
    most = 2**63 - 1
    rows = [
        Row(-most, "a", -most - 1, recorded_at=datetime(1, 1, 1, tzinfo=UTC)),
        Row(0, "a", most, recorded_at=datetime(9999, 12, 31, tzinfo=UTC)),
        Row(most, "a", 0, recorded_at=None),
    ]
    for layout in ("ordered", "wrong", "unordered"):
        assert not check(events_of(rows, Facts(base=0), con=con, layout=layout)).ok

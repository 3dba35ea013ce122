from __future__ import annotations

import pandas as pd
import pytest

import esbench as es
from esbench.widgets import explore
from tests.conftest import ROOT
from tests.widgets.hostile import log_of, noting, plain_html


@pytest.fixture
def names(monkeypatch):
    monkeypatch.chdir(ROOT)
    from aggregates import inventory

    stock = es.open().load("data/inventory.jsonl")
    return {"stock": stock, "inventory": inventory, "report": stock.check(inventory)}


def opened(names, **spec):
    board = explore(names["report"], names["stock"], names["inventory"], names=names, **spec)
    assert board.wait()
    assert board.faults.value == ""
    return board


def shown(board):
    return [row for row in board.rows if row.layout.display != "none"]


def ran(board, names):
    *lines, last = board.shown_code.splitlines()
    space = dict(names)
    exec("\n".join(lines), space)
    return eval(last, space)  # noqa: S307 (our own code)


def test_all_findings_stand_in_the_table_with_room_for_a_repair(names):
    board = opened(names)
    findings = names["report"].findings
    assert len(shown(board)) == len(findings)
    assert all("none yet" in row.words.value for row in shown(board))
    assert sum(len(cell.findings) for cell in board.heat.map.cells) == len(findings)


@pytest.mark.parametrize("sort", ["severity", "check", "stream", "type", "time"])
def test_filters_and_sorts_agree_with_the_code_that_is_shown(names, sort):
    board = opened(names, sort=sort)
    assert ran(board, names).equals(board.picture.rows)
    board.descending.value = True
    assert board.wait()
    assert ran(board, names).equals(board.picture.rows)
    board.severity.value = "error"
    board.stream.value = "item-1"
    board.since.value = "2024-05-01"
    assert board.wait()
    assert 0 < len(board.picture.rows) < len(names["report"].findings)
    assert set(board.picture.rows["severity"]) == {"error"}
    assert ran(board, names).equals(board.picture.rows)


def test_a_click_opens_the_time_machine_at_the_finding(names):
    board = opened(names, check="invariant-violated")
    board.rows[0].go.click()
    assert board.wait()
    assert board.machine.wait()
    row = board.picture.rows.iloc[0]
    assert board.machine.spec["stream"] == row["stream_id"]
    assert board.machine.spec["version"] == row["version"]
    assert board.rows[0].go.button_style == "info"
    again = opened(names, **{key: value for key, value in board.spec.items() if key not in ("log", "aggregates")})
    assert again.machine.wait()
    assert again.spec == board.spec
    ran(board, names)


def test_a_finding_of_the_log_and_a_board_without_a_log_say_what_is_missing(names):
    board = opened(names, check="position-gap")
    board.rows[0].go.click()
    assert board.wait()
    assert "no stream to travel in" in plain_html(board)
    alone = explore(names["report"], names=names)
    assert alone.wait()
    alone.rows[0].go.click()
    assert alone.wait()
    assert "explore(report, log, aggregate)" in plain_html(alone)


def test_nothing_found_says_why_and_what_to_do(names):
    board = opened(names)
    board.since.value = "2099-01-01"
    assert board.wait()
    assert "No finding is like that" in board.nothing.value
    board.since.value = "yesterday"
    assert board.wait()
    assert "not an ISO 8601 time" in board.faults.value
    sound = explore(log_of([{}]).check(noting()), names={})
    assert sound.wait()
    assert "No findings" in sound.nothing.value
    assert "No findings" in sound.to_html()


def test_many_findings_come_a_page_at_a_time():
    rows = [{"stream_id": f"<i>{n}", "version": v, "event_type": "Un<b>known"} for n in range(40) for v in (1, 3)]
    log = log_of([{**row, "event_id": f"e{n}", "recorded_at": "2024-06-01"} for n, row in enumerate(rows)])
    report = log.check(noting(), only=["version-gap"])
    assert len(report.findings) > 15
    board = explore(report, log, noting(), names={})
    assert board.wait()
    assert len(shown(board)) == 15
    assert board.back.disabled
    board.on.click()
    assert board.wait()
    assert board.count.value.startswith("16–")
    page = plain_html(board) + board.to_html()
    assert "data:image" not in page
    assert "<i>" not in page
    assert "Un<b>" not in page


def test_what_is_open_stands_below_what_was_pressed(names):
    board = opened(names)
    board.rows[0].go.click()
    assert board.wait()
    assert board.machine in board.below.children
    assert board.beside.children == ()
    board.heat.cells.index = len(board.heat.map.cells) - 3
    assert board.wait()
    assert board.machine in board.beside.children
    assert board.below.children == ()
    board.severity.value = "info"
    assert board.wait()
    assert board.beside.children == board.below.children == ()


def test_lists_say_all_where_nothing_is_filtered(names):
    board = opened(names, severity="error")
    assert board.severity.label == "error (5)"
    board.move(severity=None)
    assert board.wait()
    assert [each.label for each in (board.check, board.severity, board.type)] == ["all", "all", "all"]


def test_a_gap_is_looked_at_where_the_first_state_stands_that_lacks_something(names):
    report = names["report"]
    gap = report.findings[report.findings["check"] == "version-gap"].iloc[0]
    board = explore(report, names["stock"], names["inventory"], names=names, open=int(gap.name))
    assert board.wait()
    assert board.machine.wait()
    expected = (gap["version"] if pd.isna(gap["to_version"]) else gap["to_version"]) + 1
    assert board.machine.spec["version"] == expected
    assert board.machine.picture.at == board.machine.picture.course.place(expected) > 0
    assert f"version={expected})" in board.shown_code

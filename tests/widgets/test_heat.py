from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench.checks.check import SEVERITIES
from esbench.widgets import explore
from esbench.widgets.heat import COLUMNS, SHADES, STREAMS, TINTS, mapped
from tests.conftest import ROOT
from tests.widgets.hostile import log_of, noting, plain_html

DATA = {
    "inventory.jsonl": "inventory",
    "accounts.csv": "account",
    "shipments.jsonl": "shipment",
}
LONG = "x" * 5_000_000


@pytest.fixture
def aggregates(monkeypatch):
    monkeypatch.chdir(ROOT)
    import aggregates

    return aggregates


def opened(report, *more, **spec):
    board = explore(report, *more, names={}, **spec)
    assert board.wait()
    assert board.faults.value == ""
    return board


def press(board, number):
    """What the browser sends for a press: the number if it is another, and that there was a press."""
    board.heat.cells.index = number
    board.heat.cells._handle_custom_msg({"event": "click"}, [])
    assert board.wait()


def rows_of(found):
    """Findings as a report has them, from (stream, microseconds since 2024, severity); the worst first."""
    begin = pd.Timestamp("2024-01-01", tz="UTC").as_unit("us")
    frame = pd.DataFrame(
        {
            "check": pd.Series(["some-check" for _ in found], dtype="str"),
            "severity": pd.Series([severity for _, _, severity in found], dtype="str"),
            "stream_id": pd.Series([stream for stream, _, _ in found], dtype="str"),
            "recorded_at": pd.Series(
                [pd.NaT if after is None else begin + pd.Timedelta(microseconds=after) for _, after, _ in found],
                dtype="datetime64[us, UTC]",
            ),
        }
    )
    return frame.sort_values("severity", key=lambda each: each.map(SEVERITIES.index), ignore_index=True, kind="stable")


def agrees(chosen):
    """Each finding with a time is in one cell, which is that of its stream and time; see what the cells then say."""
    found = mapped(chosen)
    timed = chosen[chosen["recorded_at"].notna()]
    assert sorted(place for cell in found.cells for place in cell.findings) == sorted(timed.index)
    assert len({(cell.row, cell.column) for cell in found.cells}) == len(found.cells)
    own = [name for name in found.names if not re.match(r"\d+ more stream", name)]
    assert len(found.names) <= STREAMS + 1
    assert len(found.edges) <= COLUMNS + 1
    for cell in found.cells:
        part = timed.loc[list(cell.findings)]
        assert part.index.is_monotonic_increasing  # the report's own order: the worst comes first
        assert cell.severity == part["severity"].iloc[0] == min(part["severity"], key=SEVERITIES.index)
        assert part["recorded_at"].between(found.edges[cell.column], found.edges[cell.column + 1]).all()
        assert (part["recorded_at"] < found.edges[cell.column + 1]).all()
        streams = {"the log as a whole" if pd.isna(each) else each for each in part["stream_id"]}
        if cell.row < len(own):
            assert streams == {own[cell.row]}
        else:
            assert not streams & set(own)
    return found


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 20).map("stream {}".format),
            st.none() | st.integers(0, 100) | st.integers(0, 10**15),
            st.sampled_from(SEVERITIES),
        ),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_each_finding_with_a_time_is_in_exactly_one_cell_that_is_its_own(found, random):
    chosen = rows_of(found)
    order = list(chosen.index)
    random.shuffle(order)
    assert agrees(chosen.loc[order]) == agrees(chosen)  # however the table is sorted


@pytest.mark.parametrize("name", DATA)
def test_each_cell_of_a_sample_log_opens_a_finding_of_its_own(aggregates, name):
    log = es.open().load(f"data/{name}")
    aggregate = getattr(aggregates, DATA[name])
    report = log.check(aggregate)
    agrees(report.findings)
    board = opened(report, log, aggregate, sort="time")
    assert board.heat.map.cells
    for number, cell in enumerate(board.heat.map.cells):
        press(board, number)
        row = report.findings.loc[cell.findings[0]]
        assert board.place.open == cell.findings[0]
        assert cell.findings[0] in board.picture.rows.index
        assert [each.go.button_style for each in board.rows].count("info") == 1
        assert f"button:nth-child({number + 1})" in board.heat.style_of_open.value
        if pd.isna(row["stream_id"]):
            assert board.machine is None
            assert "no stream to travel in" in plain_html(board.beside)
        else:
            assert board.machine.wait()
            assert board.machine.spec["stream"] == row["stream_id"]
            assert pd.isna(row["version"]) or board.machine.place.version is not None


def test_a_press_turns_the_table_to_the_finding_and_the_button_goes_round_its_cell():
    rows = [{"stream_id": f"s{n}", "version": v} for n in range(40) for v in (1, 3, 5)]
    log = log_of([{**row, "event_id": f"e{n}", "recorded_at": "2024-06-01"} for n, row in enumerate(rows)])
    board = opened(log.check(noting(), only=["version-gap"]), log, noting(), descending=True)
    heat = board.heat
    number, cell = next((at, each) for at, each in enumerate(heat.map.cells) if heat.map.names[each.row] == "s10")
    assert len(cell.findings) == 2
    assert board.place.page == 0
    press(board, number)
    assert board.place.page == 5
    assert "finding 1 of 2" in heat.opened.value
    press(board, number)
    assert board.place.open == cell.findings[0]
    for expected in (cell.findings[1], cell.findings[0], cell.findings[1]):
        heat.next.click()
        assert board.wait()
        assert board.place.open == expected
    press(board, number)
    assert board.place.open == cell.findings[0]
    board.back.click()  # the table may be turned away from what is open, and stays there
    assert board.wait()
    assert (board.place.page, board.place.open) == (4, cell.findings[0])
    board.rows[0].go.click()
    assert board.wait()
    press(board, number)  # the value of the control is what it was: the press alone tells
    assert board.place.open == cell.findings[0]


def test_streams_beyond_those_with_a_row_share_the_last_one():
    found = agrees(rows_of([(f"s{n:02}", n, "error" if n < 5 else "warning") for n in range(30)]))
    assert found.names[:5] == ("s00", "s01", "s02", "s03", "s04")
    assert found.names[-1] == "18 more streams"
    assert "12 of 30 streams" in found.words
    one = agrees(rows_of([(f"s{n:02}", n, "error") for n in range(STREAMS + 1)]))
    assert one.names[-1] == "1 more stream"
    twelve = [(f"s{n:02}", n, "error") for n in range(STREAMS)]
    assert agrees(rows_of([*twelve, (None, 1, "info")])).names[-1] == "the log as a whole"
    both = agrees(rows_of([*twelve, ("t", 1, "info"), (None, 1, "info")]))
    assert both.names[-1] == "1 more stream, the log as a whole"


def test_filters_draw_it_anew_and_sorting_does_not(aggregates):
    log = es.open().load("data/accounts.csv")
    board = opened(log.check(aggregates.account), log, aggregates.account)
    before = board.heat.map
    board.sort.value = "time"
    assert board.wait()
    assert board.heat.map is before
    board.severity.value = "error"
    assert board.wait()
    assert sum(len(each.findings) for each in board.heat.map.cells) == len(board.picture.chosen)
    assert {each.severity for each in board.heat.map.cells} == {"error"}
    assert board.heat.cells.index is None
    assert len(board.heat.cells.tooltips) == len(board.heat.cells.options) == len(board.heat.map.cells)
    board.stream.value = "there is none"
    assert board.wait()
    assert board.heat.map.cells == ()
    assert board.heat.grid.layout.display == "none"
    assert board.heat.cells.options == ()


def test_reports_of_nothing_of_one_finding_and_of_findings_without_a_time():
    sound = opened(log_of([{}]).check(noting()))
    assert sound.heat.grid.layout.display == "none"
    assert "findings_heatmap" not in sound.shown_code
    one = log_of([{}, {"version": 3}])
    board = opened(one.check(noting(), only=["version-gap"]), one, noting())
    press(board, 0)
    assert board.machine.spec["stream"] == "a"
    never = log_of([{"recorded_at": None}, {"version": 3, "recorded_at": None}])
    report = never.check(noting(), only=["version-gap"])
    board = opened(report, never, noting())
    assert len(report.findings) == 1
    assert board.heat.map.cells == ()
    assert "None of 1 finding has a time" in board.heat.words.value
    assert "None of 1 finding has a time" in board.to_html()
    mixed = agrees(rows_of([("a", None, "error"), ("b", 5, "info")]))
    assert "1 finding without a time is only in the table" in mixed.words


def test_findings_of_a_log_that_was_dropped_stay_where_they_are():
    bench = es.open()
    rows = [
        {"stream_id": "a", "version": version, "event_type": "Noted", "recorded_at": "2024-06-01"} for version in (1, 3)
    ]
    log = bench.load(pd.DataFrame(rows), name="gone")
    report = log.check(noting(), only=["version-gap"])
    bench.drop("gone")
    board = explore(report, log, noting(), names={})
    assert board.wait()
    assert len(board.heat.map.cells) == 1
    press(board, 0)
    assert board.machine.wait()
    assert "gone" in board.machine.faults.value


@pytest.mark.parametrize(
    "stream", ["<script>alert(1)</script>", "</style><b>x", "\u202egnirts\u2066", 'a" onclick="x', LONG, "\U0001f600"]
)
def test_hostile_ids_are_escaped_and_cut(stream):
    log = log_of([{"stream_id": stream}, {"stream_id": stream, "version": 3}, {"stream_id": "b"}])
    report = log.check(noting(), only=["version-gap"])
    board = opened(report, log, noting())
    press(board, 0)
    assert board.machine.spec["stream"] == stream
    sent = plain_html(board.heat) + board.heat.still()
    assert "<script" not in sent
    assert "<b>" not in sent
    assert 'onclick="' not in sent
    assert "\u202e" not in sent
    assert len(sent) < 20_000
    (tooltip,) = board.heat.cells.tooltips  # text to the browser, which escapes it: no marks that reverse, and short
    assert len(tooltip) < 300
    assert "\u202e" not in tooltip
    assert re.fullmatch(r"<style>[^<]*</style>", board.heat.style_of_cells.value)
    # Nothing of an event is in what is a style: it could leave its braces without a tag.
    assert not re.search(r"script|gnirts|onclick|xxx", board.heat.style_of_cells.value)


def test_long_ids_are_shown_without_what_all_of_them_share():
    def shorts(*streams):
        return mapped(rows_of([(stream, n * 10**12, "error") for n, stream in enumerate(streams)])).shorts

    north = "customer-account-{}-of-the-north".format
    assert shorts(north("0134"), north("0018"), None) == ("…0134…", "…0018…", "the log as a whole")
    assert shorts("item-1", "item-2") == ("item-1", "item-2")
    assert shorts(north(1)) == (north(1),)
    assert shorts("a-very-very-long-", "a-very-very-long-name") == ("a-very-very-long-", "a-very-very-long-name")


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        (1, "2024-01-01 00:00:00.000 to 2024-01-01 00:00:00.001"),
        (3_600_000_000, "2024-01-01 00:00 to 2024-01-01 00:05"),
        (10 * 86_400_000_000, "2024-01-01 to 2024-01-02"),
    ],
)
def test_times_are_told_as_finely_as_columns_need(apart, expected):
    found = mapped(rows_of([("a", 0, "error"), ("a", apart, "error")]))
    assert found.cells[0].title.startswith(f"a, {expected}: ")


def test_the_still_map_has_the_same_cells_with_their_titles(aggregates):
    log = es.open().load("data/inventory.jsonl")
    board = opened(log.check(aggregates.inventory), log, aggregates.inventory)
    still = board.heat.still()
    assert still in board.to_html()
    for cell in board.heat.map.cells:
        assert f'title="{cell.title}" style="background:{cell.tint};' in still
    count = len(board.heat.map.edges) - 1
    assert still.count("<td title=") + still.count("<td style=") == count * len(board.heat.map.names)


def test_the_code_that_is_shown_draws_it(aggregates):
    log = es.open().load("data/inventory.jsonl")
    report = log.check(aggregates.inventory)
    board = opened(report, log, aggregates.inventory, severity="error")
    *lines, drawn, _ = board.shown_code.replace("# report: Report", "").splitlines()
    space = {"report": report}
    exec("\n".join(lines), space)
    assert drawn == f"es.plots.findings_heatmap(findings, bins={COLUMNS}, limit={STREAMS})"
    assert eval(drawn, space).get_title(loc="left").startswith("5 findings in 4 streams")  # noqa: S307 (our own code)


def _light(colour):
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("page", "words"), [((255, 255, 255), (33, 33, 33)), ((17, 17, 17), (255, 255, 255))])
def test_a_number_is_readable_on_every_tint_on_a_light_page_and_on_a_dark_one(page, words):
    for tint in TINTS.values():
        for _, alpha in SHADES:
            mixed = [alpha * own + (1 - alpha) * under for own, under in zip(tint, page, strict=True)]
            dark, light = sorted([_light(mixed), _light(words)])
            assert (light + 0.05) / (dark + 0.05) >= 4.5

"""What "show code" shows, taken from the page into a new cell and run there: it gives what the widget shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.browser.lab import Lab, finished, running, typed
from tests.conftest import ROOT

pytestmark = pytest.mark.real

SETUP = """\
import sys
sys.path[:0] = ["data"]
import esbench as es
from aggregates import inventory
bench = es.open()
stock = bench.load("data/inventory.jsonl")
report = stock.check(inventory)
steps = [es.rename_type("ItemsOrdered", "ItemsReserved"), es.drop_events("ItemPhotoUploaded")]
plan = es.Migration("reserved", steps)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
    with running(folder) as started:
        yield started


@pytest.fixture
def explored(chromium, lab, request):
    """A widget in a notebook, and the page; what the browser complains of fails the test at its end."""
    pages = []

    def explore(code):
        page, said = lab.open(chromium, lab.notebook(f"{request.node.name}.ipynb", [SETUP, code]))
        pages.append((page, said))
        for cell in finished(page):
            assert not [output for output in cell["outputs"] if output["output_type"] == "error"], cell["outputs"]
        widget = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output .esbench").first
        widget.wait_for(timeout=30_000)
        return page, widget

    yield explore
    for page, said in pages:
        assert said == []
        page.context.close()


def shown_code(widget):
    """The code that the widget shows, as it stands on the page; that of a widget inside it comes before it."""
    button = widget.get_by_role("button", name="Show code").locator("visible=true").last
    button.press("Enter")
    code = widget.locator("pre.es-code").locator("visible=true").last
    code.wait_for(timeout=30_000)
    return code.inner_text().strip()


def run(page, code):
    """The outputs of a new cell with this code, as the page shows them."""
    cell = typed(page, code)
    outputs = cell.locator(".jp-OutputArea")
    outputs.locator(".jp-OutputArea-output").first.wait_for(timeout=30_000)
    assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0, outputs.inner_text()
    assert cell.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0, outputs.inner_text()
    return outputs


def in_tree(widget, field):
    """The value of a field in the tree of the state."""
    state = widget.locator(".widget-html-content", has=widget.page.get_by_text("State", exact=True)).first
    leaf = state.locator("ul.es-tree > li").filter(has_text=re.compile(rf"^{field}: "))
    return leaf.locator("code").inner_text()


def in_state(outputs, field):
    """The value of a field in a state that a cell has shown."""
    row = outputs.locator("tr").filter(has=outputs.page.get_by_role("rowheader", name=field, exact=True))
    return row.locator("code").inner_text()


def test_the_time_machine_shows_the_code_of_its_state(explored):
    page, machine = explored('stock.explore(inventory, stream="item-123")')
    machine.locator(".es-version", has_text="version 4").wait_for(timeout=30_000)
    for version, quantity in ((3, "-2"), (2, "5")):
        machine.get_by_role("button", name="Previous").press("Enter")
        machine.locator(".es-version", has_text=f"version {version}").wait_for(timeout=30_000)
        if version == 3:
            shown_code(machine)
        code = machine.locator("pre.es-code", has_text=f"version={version})")  # which comes after the state
        code.wait_for(timeout=30_000)
        outputs = run(page, code.inner_text().strip())
        assert f"item-123@{version}" in outputs.inner_text()
        assert in_state(outputs, "quantity") == in_tree(machine, "quantity") == quantity


def test_the_time_machine_shows_the_code_of_a_comparison_and_of_a_branch(explored):
    page, machine = explored('stock.explore(inventory, stream="item-123", version=3)')
    machine.locator(".es-version", has_text="version 3").wait_for(timeout=30_000)
    machine.get_by_role("button", name="Compare with").press("Enter")
    field = machine.get_by_label("Version", exact=True)
    field.fill("1")
    field.press("Enter")
    machine.get_by_role("button", name="Compare", exact=False).filter(has_text=re.compile("Compare$")).press("Enter")
    machine.get_by_role("columnheader", name="version 3").wait_for(timeout=30_000)
    machine.get_by_role("button", name="What if").press("Enter")
    machine.get_by_role("button", name="Drop this event").wait_for()
    machine.get_by_role("button", name="Previous").press("Enter")
    machine.locator(".es-version", has_text="version 2").wait_for(timeout=30_000)
    machine.get_by_role("columnheader", name="version 2").wait_for(timeout=30_000)  # the comparison follows
    machine.get_by_role("button", name="Drop this event").press("Enter")
    machine.get_by_text("edits: drop version 2").wait_for(timeout=30_000)
    outputs = run(page, shown_code(machine))
    assert in_state(outputs, "quantity") == in_tree(machine, "quantity") == "5"
    rows = machine.locator("table", has=page.get_by_role("columnheader", name="version 2")).locator("tbody tr")
    compared = [row.split() for row in rows.all_inner_texts()]
    assert compared == [["/quantity", "5", "0"]]
    assert run(page, "differences").inner_text().strip().endswith("[/quantity: 5 → 0]")
    # What the branch makes of later versions: a row for each difference, as the widget has them.
    branch = machine.locator("table", has=page.get_by_role("columnheader", name="version_after")).locator("tbody tr")
    values = run(page, "print(*[f'{row.before} {row.after}' for row in diverged.itertuples()], sep='\\n')").inner_text()
    assert [row.split()[-2:] for row in branch.all_inner_texts()] == [
        line.split() for line in values.splitlines() if line
    ]
    assert branch.count() == 4


def test_the_findings_board_shows_the_code_of_its_findings_and_of_the_one_that_is_open(explored):
    page, board = explored("report.explore(stock, inventory)")
    board.get_by_text("1–8 of 8").wait_for(timeout=30_000)
    board.get_by_label("Severity").select_option(label="error\N{NO-BREAK SPACE}(5)")
    board.get_by_text("1–5 of 5").wait_for(timeout=30_000)
    board.get_by_role("button", name="item-123 @ 3").first.press("Enter")
    board.locator(".es-version", has_text="version 3").wait_for(timeout=30_000)
    code = shown_code(board)
    outputs = run(page, code)
    assert outputs.locator("table tbody tr").count() == 5
    assert run(page, "len(findings)").inner_text().split()[-1] == "5"
    (opened,) = [line for line in code.splitlines() if "state(" in line]
    state = run(page, opened)
    assert "item-123@3" in state.inner_text()
    assert in_state(state, "quantity") == in_tree(board, "quantity") == "-2"


def test_the_overview_shows_the_code_of_its_selection(explored):
    page, view = explored("stock.explore()")
    view.get_by_text("Types by share").wait_for(timeout=30_000)
    handle = view.locator(".noUi-handle").first
    handle.focus()
    for _ in range(6):
        handle.press("ArrowRight")
    view.get_by_text("309 of 456 events selected").wait_for(timeout=30_000)
    view.get_by_label("Types").select_option(index=0)
    shown_code(view)
    shown = view.locator("pre.es-code", has_text="list_contains")
    shown.wait_for(timeout=30_000)
    code = shown.inner_text().strip()
    assert "recorded_at >=" in code
    outputs = run(page, code)
    outputs.locator("img").nth(2).wait_for(timeout=30_000)  # a picture for each of the three plots
    told = re.search(r"([\d,]+) of 456 events selected", view.inner_text())
    assert told is not None
    assert 0 < int(told[1]) < 309
    assert run(page, "len(frame)").inner_text().split()[-1] == told[1]
    assert run(page, "len(relation)").inner_text().split()[-1] == told[1]


def test_the_migration_desk_shows_the_code_of_its_run(explored):
    page, desk = explored("stock.explore(migration=plan)")
    desk.get_by_text("456 events become 455").wait_for(timeout=60_000)
    code = shown_code(desk)
    assert "stock.dry_run(plan)" in code
    assert "456 events become 455" in run(page, code).inner_text().replace("\N{NO-BREAK SPACE}", " ")
    desk.get_by_role("button", name="Steps", exact=True).press("Enter")
    desk.get_by_text("drop ItemPhotoUploaded").locator("visible=true").first.wait_for(timeout=30_000)
    code = desk.locator("pre.es-code", has_text="run.steps")
    code.wait_for(timeout=30_000)
    steps = run(page, code.inner_text().strip()).locator("table tbody tr")
    assert steps.count() == 2
    assert "197" in steps.first.inner_text()
    assert "197" in desk.locator("table tbody tr", has_text="rename").first.inner_text()

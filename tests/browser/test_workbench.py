"""The time machine and the findings board as a person uses them: JupyterLab, Chromium, the keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.browser.lab import Lab, running
from tests.conftest import ROOT

pytestmark = pytest.mark.real

SETUP = """import sys
sys.path.insert(0, "data")
import esbench as es
from aggregates import inventory
stock = es.open().load("data/inventory.jsonl")
report = stock.check(inventory)"""
CELLS = [SETUP, 'stock.explore(inventory, stream="item-123")', "report.explore(stock, inventory)"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
    with running(folder) as started:
        yield started


def output(page, cell):
    return page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output .esbench").first


def shows(page, cell, what):
    output(page, cell).get_by_text(what).locator("visible=true").first.wait_for(timeout=30_000)


@pytest.mark.parametrize("width", [1280, 800])
def test_a_person_steps_through_history_and_follows_a_finding(chromium, lab, tmp_path, width):
    page, said = lab.open(chromium, lab.notebook(f"workbench-{width}.ipynb", CELLS), width=width)
    shows(page, 1, "version 4")
    machine = output(page, 1)
    handle = machine.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("Home")
    shows(page, 1, "version 1")
    page.keyboard.press("ArrowRight")
    shows(page, 1, "0 → 5")
    for _ in range(25):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(3_000)  # every answer that may still come has come: the last must be that of the last move
    shows(page, 1, "stock is never negative since version 3")
    assert machine.locator(".es-version").first.inner_text() == "version 3"
    machine.get_by_role("button", name="First").first.press("Enter")
    shows(page, 1, "version 1")
    machine.get_by_role("button", name="First bad version").first.press("Enter")
    shows(page, 1, "first bad: version 3")
    machine.locator(".es-version", has_text="version 3").wait_for()  # which is found first, then shown
    machine.get_by_role("button", name="Show code").first.press("Enter")
    code = machine.locator("pre.es-code").first
    code.wait_for()
    assert code.inner_text().splitlines()[-1] == "stock.state(inventory, 'item-123', version=3)"
    fits(page, machine)
    machine.evaluate("one => one.scrollIntoView()")
    page.screenshot(path=tmp_path / f"time-machine-{width}.png")

    board = output(page, 2)
    board.get_by_role("button", name="item-142 @ 7").first.press("Enter")
    board.locator(".es-version").wait_for()
    assert board.locator(".es-version + .es-faint").count() == 1
    assert "item-142" in board.locator(".es-id").first.inner_text()
    fits(page, board)
    board.evaluate("one => one.scrollIntoView()")
    page.screenshot(path=tmp_path / f"findings-{width}.png")
    through_the_heat_map(page, board)
    page.screenshot(path=tmp_path / f"heat-map-{width}.png")
    assert said == []


def fits(page, widget):
    """The widget is no wider than the page; what is wider scrolls inside it."""
    assert widget.evaluate("one => one.scrollWidth - one.clientWidth") <= 1


def through_the_heat_map(page, board):
    """Cells that have findings are pressed by the keyboard; the machine opens below them, at a finding of each."""
    lists = board.locator("select").evaluate_all("all => all.slice(0, 3).map(one => one.selectedOptions[0]?.text)")
    assert lists == ["all", "all", "all"]
    cells = board.locator("[class*='es-heat-'] button")
    assert cells.count() == 7  # no more are there to tab through
    cells.nth(2).focus()
    page.keyboard.press("Tab")
    for key, stream, version in (("Enter", "item-127", 10), ("Space", "item-131", 3)):
        here = page.evaluate_handle("document.activeElement").as_element()
        assert here.get_attribute("title").startswith(f"{stream}, 2024-")
        page.keyboard.press(key)
        board.locator(".es-id", has_text=stream).first.wait_for()
        assert board.locator(".es-version").inner_text() == f"version {version}"
        board.locator("button.mod-info", has_text=f"{stream} @ {version}").wait_for()
        assert here.evaluate("one => one === document.activeElement")  # who pressed it goes on from there
        rings = cells.evaluate_all("all => all.map(one => getComputedStyle(one).boxShadow !== 'none')")
        assert [place for place, ring in enumerate(rings) if ring] == [int(here.get_attribute("value"))]
        machine, table = (board.locator(each).first.bounding_box()["y"] for each in (".es-version", "button.mod-info"))
        assert machine < table
        page.keyboard.press("Tab")
    fits(page, board)


def test_a_page_without_a_kernel_shows_what_was_on_screen(chromium, lab):
    page = chromium.new_context(offline=True).new_page()
    code = f"""{SETUP}
with open("still.html", "w", encoding="utf-8") as file:
    file.write(stock.explore(inventory, stream="item-123").to_html())"""
    made, said = lab.open(chromium, lab.notebook("still.ipynb", [code, "'written'"]))
    made.locator(".jp-OutputArea-output").get_by_text("written").wait_for(timeout=30_000)
    page.goto((lab.folder / "still.html").as_uri())
    assert page.locator(".es-version").inner_text() == "version 4"
    assert "stock.state(inventory" in page.locator("pre.es-code").inner_text()
    assert said == []

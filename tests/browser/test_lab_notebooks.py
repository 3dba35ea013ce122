"""The notebooks as somebody runs them: opened in JupyterLab, every cell run, and a widget asked for at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.browser.lab import Lab, finished, running, typed
from tests.conftest import ROOT

pytestmark = pytest.mark.real

FOLDER = ROOT / "notebooks"
#: What somebody who has run a notebook would look at, and what is then to be read.
EXPLORED = {
    "01_first_look": ("report.explore(stock, inventory)", "1–8 of 8"),
    "02_time_travel": ('stock.explore(inventory, stream="item-123")', "stock is never negative since version 3"),
    "03_finding_corruption": ("run.explore()", "every event is accounted for"),
    "04_schema_migration": ("run.explore()", "every event is accounted for"),
    "05_git_history": ("log.explore(file, stream=busiest)", "no file is too long"),
    "06_checks_in_ci": ("stock.explore()", "Types by share"),
}
#: Where pictures of the widgets are kept, for somebody to look at; by default with what the test leaves behind.
PICTURES = os.environ.get("ESBENCH_PICTURES")
#: What is committed with a notebook goes, so that all that is seen comes from this run.
CLEAR = "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    for name in ("data", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    with running(folder) as started:
        yield started


def test_every_notebook_is_opened_here():
    assert sorted(EXPLORED) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", sorted(EXPLORED))
def test_a_notebook_runs_without_an_error_and_its_widgets_live(chromium, lab, tmp_path, name):
    page, said = lab.open(chromium, lab.address(f"notebooks/{name}.ipynb"), before=CLEAR)
    ran = finished(page, 180)
    written = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    assert [cell["source"] for cell in ran] == [cell.source for cell in written]
    code = [cell for cell in ran if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert troubles(ran) == []
    # As much is to be seen as was committed.
    assert [bool(cell.get("outputs")) for cell in ran] == [bool(cell.get("outputs")) for cell in written]

    explored, words = EXPLORED[name]
    typed(page, explored)
    cells = finished(page)
    assert troubles(cells) == []
    shown = [number for number, cell in enumerate(cells) if any(VIEW in each for each in bundles(cell))]
    assert shown[-1] == len(cells) - 1
    for number in shown:
        widget = revealed(page, number)
        lives(widget, words if number == shown[-1] else "")
        for width in (1280, 800):
            page.set_viewport_size({"width": width, "height": 2_400})  # all of it in the picture
            fits(widget)
            folder = Path(PICTURES) if PICTURES else tmp_path
            widget.screenshot(path=folder / f"{name}-{number}-{width}.png")
    assert said == []
    page.context.close()


def bundles(cell):
    """What the outputs of a cell are made of, by MIME type."""
    return [output.get("data", {}) for output in cell.get("outputs", [])]


def troubles(cells):
    """Errors, and whatever was said on stderr."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"]


def revealed(page, number):
    """The widget below a cell, scrolled to."""
    page.evaluate(f"() => window.jupyterapp.shell.currentWidget.content.scrollToItem({number})")
    widget = page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-OutputArea-output .esbench").first
    widget.wait_for(timeout=30_000)
    return widget


def lives(widget, words):
    """It has something to say, and its buttons have a kernel behind them."""
    widget.get_by_text(words).locator("visible=true").first.wait_for(timeout=60_000)
    show = widget.get_by_role("button", name="Show code").locator("visible=true").last
    show.focus()
    show.press("Enter")
    widget.locator("pre.es-code").locator("visible=true").first.wait_for(timeout=30_000)
    assert widget.locator(".es-fault").count() == 0
    hide = widget.get_by_role("button", name="Hide code").last
    hide.press("Enter")
    widget.locator("pre.es-code").locator("visible=true").first.wait_for(state="hidden", timeout=30_000)


def fits(widget):
    """The widget is no wider than the page; what is wider scrolls inside it."""
    assert widget.evaluate("one => one.scrollWidth - one.clientWidth") <= 1

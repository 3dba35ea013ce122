"""The migration desk and the overview as a person uses them: JupyterLab in Chromium, by mouse and by keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.lab import Lab, running
from tests.conftest import ROOT

pytestmark = pytest.mark.real

SETUP = """\
import sys, time
sys.path[:0] = ["data"]
import esbench as es
from aggregates import inventory
from esbench.widgets import explore
bench = es.open()
log = bench.load("data/inventory.jsonl")
plan = es.Migration(
    "orders-become-reservations",
    [
        es.rename_type("ItemsOrdered", "ItemsReserved"),
        es.rename_field("/customer_name", "customer", type="ItemsReserved"),
        es.drop_events("ItemPhotoUploaded"),
    ],
    gates=[es.same_state(inventory, inventory)],
)
def slow(event):
    time.sleep(0.05)
    return event
endless = es.Migration("endless", [es.map_events(slow)])
"""
#: What is looked at, and what is then to be read.
TABS = {
    "Events": "for example at",
    "Types": "Event types of which",
    "States": "Choose a stream",
    "Steps": "Run these steps",
}
#: Where pictures of the widgets are kept, for somebody to look at; by default with what the test leaves behind.
PICTURES = os.environ.get("ESBENCH_PICTURES")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
    with running(folder) as started:
        yield started


def widget(page, number):
    """The widget that is the output of a cell."""
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea .esbench").first


def picture(page, tmp_path, name, part):
    folder = Path(PICTURES) if PICTURES else tmp_path
    part.screenshot(path=folder / f"{name}-{page.viewport_size['width']}.png")


def press(part, words):
    """Reach a button by its words, and press it by keyboard."""
    found = part.get_by_role("button", name=words).first
    found.focus()
    found.press("Enter")


@pytest.mark.parametrize("width", [1280, 800])
def test_a_dry_run_is_judged_accepted_and_applied(chromium, lab, tmp_path, width):
    code = [SETUP, "desk = explore(log, migration=plan)\ndesk"]
    page, said = lab.open(chromium, lab.notebook(f"desk-{width}.ipynb", code), width=width)
    desk = widget(page, 1)
    desk.get_by_text("no event fails").wait_for(timeout=30_000)
    picture(page, tmp_path, "desk-gates", desk)
    for tab in TABS:
        press(desk, tab)
        desk.get_by_text(TABS[tab]).first.wait_for()
        if tab == "States":
            desk.get_by_label("Differ").select_option(index=0)
            desk.get_by_text("marked in the state after").first.wait_for()
        picture(page, tmp_path, f"desk-{tab.lower()}", desk)
    press(desk, "Gates")
    press(desk, "Apply")
    desk.get_by_text("Refused").wait_for()
    picture(page, tmp_path, "desk-refused", desk)
    failed = desk.get_by_role("button", name="Accept")
    for number in range(failed.count()):
        failed.nth(number).focus()
        failed.nth(number).press("Enter")
        desk.get_by_text("failed, accepted").nth(number).wait_for()
    desk.get_by_label("New log").fill("inventory_v2")
    press(desk, "Apply")
    desk.get_by_text("Made the log inventory_v2").wait_for()
    press(desk, "Look at inventory_v2")
    desk.get_by_text("Types by share").wait_for()
    press(desk, "Steps")
    desk.get_by_label("3. drop ItemPhotoUploaded").uncheck()
    press(desk, "Run these steps")
    desk.get_by_text("the other").first.wait_for(timeout=30_000)
    picture(page, tmp_path, "desk-two-runs", desk)
    assert said == []
    page.context.close()


def test_a_dry_run_is_stopped_half_way_and_leaves_nothing(chromium, lab, tmp_path):
    code = [SETUP, "desk = explore(log, migration=endless)\ndesk", "6 * 7"]
    page, said = lab.open(chromium, lab.notebook("stopped.ipynb", code))
    desk = widget(page, 1)
    desk.get_by_text("map events by slow").first.wait_for(timeout=30_000)
    picture(page, tmp_path, "desk-running", desk)
    press(desk, "Stop")
    desk.get_by_text("nothing is left of it").wait_for(timeout=20_000)
    picture(page, tmp_path, "desk-stopped", desk)
    page.locator(".jp-CodeCell").nth(2).get_by_text("42").wait_for()  # the kernel was never frozen
    assert said == []
    page.context.close()


@pytest.mark.parametrize("width", [1280, 800])
def test_a_range_of_the_overview_is_selected_by_keyboard(chromium, lab, tmp_path, width):
    code = [SETUP, "view = explore(log)\nview"]
    page, said = lab.open(chromium, lab.notebook(f"overview-{width}.ipynb", code), width=width)
    view = widget(page, 1)
    view.get_by_text("Types by share").wait_for(timeout=30_000)
    picture(page, tmp_path, "overview", view)
    handle = view.locator(".noUi-handle").first
    handle.focus()
    for _ in range(6):
        handle.press("ArrowRight")
    view.get_by_text("of 456 events selected").wait_for()
    view.get_by_label("Types").select_option(index=0)
    view.get_by_role("button", name="Show code").press("Enter")
    view.get_by_text("list_contains").wait_for()
    picture(page, tmp_path, "overview-selected", view)
    press(view, "Select everything")
    view.get_by_text(": 456 events").wait_for()
    assert said == []
    page.context.close()

"""Every control of the widgets is reached by Tab, says what it is, and is pressed by Enter."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, finished, running
from tests.conftest import ROOT

pytestmark = pytest.mark.real

SETUP = """\
import sys
sys.path[:0] = ["data"]
import esbench as es
from aggregates import inventory
stock = es.open().load("data/inventory.jsonl")
report = stock.check(inventory)
steps = [es.rename_type("ItemsOrdered", "ItemsReserved"), es.drop_events("ItemPhotoUploaded")]
plan = es.Migration("reserved", steps, gates=[es.same_state(inventory, inventory)])"""

#: A widget, what is to be read once it stands, the buttons that bring out more controls, and names that must be there.
WIDGETS = {
    "machine": (
        'stock.explore(inventory, stream="item-123", edits=(("drop", 2),), other_version=1)',
        "edits: drop version 2",
        (),
        {"Search", "Stream", "Previous", "Compare", "Drop this event", "Data", "Undo", "Show code"},
    ),
    "folded machine": (
        'stock.explore(inventory, stream="item-123")',
        "stock is never negative since version 3",
        ("Compare with", "What if"),
        {"Version", "Close", "Use this data"},
    ),
    "board": (
        "report.explore(stock, inventory, open=1)",
        "1–8 of 8",
        (),
        {"Check", "Severity", "Since", "Sort by", "item-142 @ 7", "First bad version", "Show code"},
    ),
    "overview": ("stock.explore()", "Types by share", (), {"From", "Before", "Types", "Select everything"}),
    "gates": ("stock.explore(migration=plan)", "no event fails", (), {"Gates", "Accept", "Refuse", "New log", "Apply"}),
    "events": ("stock.explore(migration=plan, show='events')", "for example at", (), {"Change", "Two runs"}),
    "states": ("stock.explore(migration=plan, show='states')", "Choose a stream", (), {"Differ", "Stream"}),
    "steps": (
        "stock.explore(migration=plan, show='steps')",
        "drop ItemPhotoUploaded",
        (),
        {"2. drop ItemPhotoUploaded", "Run these steps"},
    ),
}

#: The controls that somebody sees, each with a number; and what a screen reader would call the one that has the focus.
MARK = """widget => [...widget.querySelectorAll("button, input, select, textarea, summary, a[href], [role=slider]")]
    .filter(each => each.checkVisibility({visibilityProperty: true}) && !each.disabled)
    .map((each, number) => { each.dataset.reached = number; return each.outerHTML.slice(0, 200); })"""
FOCUS = """widget => {
    const at = document.activeElement;
    const inside = widget.contains(at) && at !== widget;
    const label = at.getAttribute("aria-label") || [...(at.labels ?? [])].map(each => each.textContent).join(" ");
    const name = label.trim() || (["BUTTON", "SUMMARY", "A"].includes(at.tagName) ? at.textContent.trim() : "");
    return [inside, at.dataset.reached ?? null, name || at.title, at.getAttribute("role")];
}"""
START = """() => {
    const book = window.jupyterapp.shell.currentWidget.content;
    book.activeCellIndex = 1;
    book.mode = "command";
    book.activeCell.node.focus();
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
    with running(folder) as started:
        yield started


@pytest.fixture(scope="module")
def opened(chromium, lab):
    """All of them in one notebook: a page for each would take most of the time to start kernels."""
    page, said = lab.open(chromium, lab.notebook("keyboard.ipynb", [SETUP, *[each for each, *_ in WIDGETS.values()]]))
    for cell in finished(page, 120):
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"], cell["outputs"]
    yield page, said
    page.context.close()


def widget_of(page, name):
    number = 1 + list(WIDGETS).index(name)
    page.evaluate(f"() => window.jupyterapp.shell.currentWidget.content.scrollToItem({number})")
    widget = page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea-output .esbench").first
    widget.get_by_text(WIDGETS[name][1]).locator("visible=true").first.wait_for(timeout=60_000)
    return number, widget


@pytest.mark.parametrize("name", WIDGETS)
def test_tab_reaches_every_control_and_each_has_a_name(opened, name):
    page, said = opened
    number, widget = widget_of(page, name)
    _, _, buttons, expected = WIDGETS[name]
    for words in buttons:
        found = widget.get_by_role("button", name=words)
        found.press("Enter")
        found.wait_for(state="hidden")  # it says "Hide …" now
    controls = widget.evaluate(MARK)
    page.evaluate(START.replace("= 1;", f"= {number};"))
    reached, inside = {}, False
    for _ in range(3 * len(controls) + 20):  # a scrolling part of the page and a button of the lab are stops, too
        page.keyboard.press("Tab")
        was, (inside, place, called, role) = inside, widget.evaluate(FOCUS)
        if was and not inside:
            break
        if place is not None:
            reached[int(place)] = (called, role)
    else:
        pytest.fail(f"Tab does not leave the widget: {reached}")
    assert [html for place, html in enumerate(controls) if place not in reached] == []
    assert list(reached) == sorted(reached)  # in the order in which they are read
    # ipywidgets gives a slider's handles no name (noUiSlider would take one, as handleAttributes, which ipywidgets
    # does not pass on), so all that they do is done by controls with names, too: First … Last, Stream; From, Before.
    assert {role for called, role in reached.values() if not called} <= {"slider"}
    names = {called for called, _ in reached.values() if called}
    assert expected <= names
    assert said == []


def test_enter_presses_what_has_the_focus_and_the_focus_stays(opened):
    page, said = opened
    _, desk = widget_of(page, "gates")
    for words, told in {"Types": "Event types of which", "Steps": "Run these steps", "Gates": "no event fails"}.items():
        button = desk.get_by_role("button", name=words, exact=True)
        button.focus()
        page.keyboard.press("Enter")
        desk.get_by_text(told).locator("visible=true").first.wait_for(timeout=30_000)
        assert button.evaluate("each => each === document.activeElement"), words
    accept = desk.get_by_role("button", name="Accept", exact=True)
    assert accept.count() == 2
    for number in range(accept.count()):
        accept.nth(number).focus()
        page.keyboard.press("Enter")
        desk.get_by_text("failed, accepted").nth(number).wait_for(timeout=30_000)
        assert accept.nth(number).evaluate("each => each === document.activeElement")
    assert said == []


def test_quick_moves_of_the_range_all_count_and_other_types_leave_it(opened):
    page, said = opened
    _, view = widget_of(page, "overview")
    upper = view.locator(".noUi-handle").last
    end = int(float(upper.get_attribute("aria-valuenow")))
    upper.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowRight")
    heading = view.get_by_text("of 456 events selected")
    heading.wait_for(timeout=30_000)
    page.wait_for_timeout(3_000)  # every answer that may still come has come
    assert int(float(upper.get_attribute("aria-valuenow"))) == end - 12
    before = view.get_by_label("Before", exact=True).input_value()
    assert before
    told = heading.inner_text()
    view.get_by_label("Types").select_option(index=0)
    expect(heading).not_to_have_text(told, timeout=30_000)
    page.wait_for_timeout(3_000)
    assert view.get_by_label("Before", exact=True).input_value() == before
    assert view.get_by_label("From", exact=True).input_value() == ""
    assert said == []

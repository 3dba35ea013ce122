"""The widgets in a browser: JupyterLab and Chromium, from the start of a cell to what stands on the page."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import esbench as es
from benchmarks import logs
from tests.browser.lab import running

__all__ = ["run"]

_ROOT = Path(__file__).parents[1]
_WIDGETS = {
    "the time machine, Python handlers": "log.explore(inventory)",
    "the time machine, a projection": "log.explore(stock)",
    "the overview": "log.explore()",
}
#: Notes when something of a widget first stands on the page; the kernel's clock is the browser's.
_WATCH = """() => {
    window.painted = {};
    const look = () => {
        document.querySelectorAll(".jp-CodeCell").forEach((cell, number) => {
            const shown = cell.querySelector(".esbench .es-version, .esbench svg");
            if (shown && shown.getBoundingClientRect().height && !(number in window.painted))
                window.painted[number] = Date.now();
        });
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
#: From a key press to the last frame that changed anything, after which 200 ms were quiet.
_STEPS = """one => {
    window.begun = null;
    const changed = () => requestAnimationFrame(() => { window.changed = performance.now(); });
    new MutationObserver(changed).observe(one, {subtree: true, childList: true, characterData: true, attributes: true});
    one.addEventListener("keydown", () => { window.begun = window.changed = performance.now(); }, true);
}"""
_QUIET = "() => performance.now() - window.changed > 200"


def run(folder: Path, events: int, rounds: int) -> None:
    """A bench of that many events, opened by a kernel in JupyterLab; ``rounds`` kernels, one after another."""
    from playwright.sync_api import sync_playwright

    path = folder / f"workbench_{events}.duckdb"
    if not path.exists():
        with es.open(path) as bench:
            bench.load(logs.compact(folder, events), "events")
    setup = f"""import sys, time
sys.path.insert(0, {str(_ROOT)!r})
import esbench as es
from benchmarks.projections import stock
from benchmarks.states import inventory
log = es.open({str(path)!r}, read_only=True)["events"]"""
    cells = [f'begun = time.time()\ndisplay({code})\nprint(f"begun {{begun}}")' for code in _WIDGETS.values()]
    firsts: list[list[float]] = []
    steps: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory() as lab_folder, running(Path(lab_folder)) as lab, sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for number in range(rounds):
            page, _ = lab.open(browser, lab.notebook(f"{number}.ipynb", [setup, *cells]), before=_WATCH)
            page.wait_for_function("() => Object.keys(window.painted).length == 3", timeout=120_000)
            texts = page.locator(".jp-OutputArea-output", has_text="begun ").all_inner_texts()
            begun = [float(text.split()[-1]) for text in texts]
            firsts.append([page.evaluate(f"window.painted[{at + 1}]") / 1000 - each for at, each in enumerate(begun)])
            for at, found in enumerate(steps):
                found += _stepped(page, page.locator(".jp-CodeCell").nth(at + 1).locator(".esbench").first)
            page.context.close()
        browser.close()
    print(f"\nwidgets in the browser, {rounds} kernels  (target: first paint 1 s, a step of the slider 100 ms)")
    for at, name in enumerate(_WIDGETS):
        times = [each[at] for each in firsts]
        print(f"  {name:44} first paint {statistics.median(times):.2f} s, at most {max(times):.2f} s")
    for name, found in zip(_WIDGETS, steps, strict=False):
        some = statistics.quantiles(found, n=20)
        print(f"  {name:44} a step {some[9]:.0f} ms median, {some[18]:.0f} ms 95th percentile", flush=True)


def _stepped(page: Any, machine: Any) -> list[float]:
    """How long each of some steps takes, in milliseconds."""
    machine.evaluate(_STEPS)
    machine.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    page.wait_for_function(_QUIET)
    found = []
    for key in ["ArrowRight"] * 40 + ["ArrowLeft"] * 20:
        shown = machine.locator(".es-version").first.inner_text()
        page.keyboard.press(key)
        page.wait_for_function(_QUIET)
        assert machine.locator(".es-version").first.inner_text() != shown
        found.append(page.evaluate("() => window.changed - window.begun"))
    return found

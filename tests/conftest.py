"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import Postgres, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
IN_CI = bool(os.environ.get("CI"))

# No deadline in any: the first example pays for the engine's start. `ci` always tries the same examples, so
# that a run can be repeated; at home each run tries new ones, and those that failed are kept in .hypothesis.
# Choose with `make test ARGS=--hypothesis-profile=long`.
_slow = [HealthCheck.too_slow]
settings.register_profile("home", deadline=None, max_examples=50, suppress_health_check=_slow)
settings.register_profile(
    "ci", deadline=None, max_examples=50, suppress_health_check=_slow, derandomize=True, print_blob=True
)
settings.register_profile("long", deadline=None, max_examples=2_000, suppress_health_check=_slow)
settings.load_profile("ci" if IN_CI else "home")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped: what would be is a failure, except where ../shared is absent."""
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if IN_CI and report.skipped and not expected_failure and SHARED.is_dir():
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; a user's clone has none."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which lies only beside a developer's checkout")
    return SHARED


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh working directory that has the sample data, as a user's clone has."""
    if (ROOT / "data").is_dir():
        shutil.copytree(ROOT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; for tests marked `real`, which fail where it is absent."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.fail("needs Chromium: apt-get install chromium", pytrace=False)
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of its own; for tests marked `real`, which fail where it is not installed."""
    try:
        with running() as server:
            yield server
    except FileNotFoundError as error:
        pytest.fail(f"needs PostgreSQL: apt-get install postgresql ({error})", pytrace=False)

"""What the documents show is run: README code, README commands, and every docstring's example."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import esbench
from tests.conftest import ROOT

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = ["esbench", *sorted(module.name for module in pkgutil.walk_packages(esbench.__path__, "esbench."))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    line: int
    code: str


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    every = [Block(match[1], text.count("\n", 0, match.start(2)), match[2]) for match in found]
    return [block for block in every if block.language in languages]


def commands(page: Path) -> list[str]:
    """The command lines of a page's shell blocks, without prompts and output, continued lines joined."""
    lines: list[str] = []
    for block in blocks(page, "sh", "bash", "console"):
        text = block.code.replace("\\\n", " ")
        prompted = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        lines += prompted if block.language == "console" else text.splitlines()
    return [line.strip() for line in lines if line.strip()]


def test_readme_code_runs_in_order(workspace):
    code = blocks(README, "python")
    assert code
    names: dict[str, object] = {"__name__": "readme"}
    for block in code:
        # The empty lines make a traceback name the README's own line.
        exec(compile("\n" * block.line + block.code, str(README), "exec"), names)


def test_readme_commands_run_in_order(workspace, monkeypatch):
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(workspace))  # for aggregates named module:object
    shown = [line for line in commands(README) if shlex.split(line, comments=True)[:1] == ["esbench"]]
    assert shown
    for line in shown:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=workspace)
        finds_errors = shlex.split(line)[1:2] == ["check"]  # its exit status 1 is an answer
        assert done.returncode in ({0, 1} if finds_errors else {0}), f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, f"{line}\n{done.stderr}"


def test_pages_name_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named: set[str] = set()
    for page in PAGES:
        named |= set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")))
        named |= {target for line in commands(page) for target in re.findall(r"^make ([a-z-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, workspace):
    results = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert results.failed == 0


def test_command_line_runs_as_a_module_too():
    done = subprocess.run([sys.executable, "-m", "esbench.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def test_readme_lists_the_checks_of_the_registry():
    from esbench.checks import describe

    rows = [f"| `{row.check}` | {row.severity} | {row.explanation} |" for row in describe().itertuples()]
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- checks -->")
    table = rest.partition("<!-- /checks -->")[0].strip().splitlines()
    assert table[2:] == rows


def test_readme_lists_the_steps_of_a_migration_in_the_words_of_their_docstrings():
    from esbench import migrate

    others = {"added", "changed", "removed", "within", "same_state"}
    steps = {name for name in migrate.__all__ if inspect.isfunction(getattr(migrate, name))} - others
    _, _, rest = README.read_text(encoding="utf-8").partition("<!-- steps -->")
    rows = rest.partition("<!-- /steps -->")[0].strip().splitlines()[2:]
    told = [re.fullmatch(r"\| (attribute|event|stream|log|privacy) \| `(\w+)` \| (.*) \|", row) for row in rows]
    assert all(told), rows
    listed = [(row[2], row[3]) for row in told if row]
    assert sorted(listed) == sorted((name, first_sentence(getattr(migrate, name))) for name in steps)


def first_sentence(function: Callable[..., object]) -> str:
    """What a docstring says first, on one line and in Markdown."""
    text = " ".join((inspect.getdoc(function) or "").split())
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")
    return re.split(r"(?<=\.)(?:\s|$)", text, maxsplit=1)[0]

"""Who may import whom, and what every module owes; the order is the module map in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "esbench"
LEAVES = {"cli", "plots", "widgets"}
LATE = ("IPython", "ipykernel", "ipywidgets", "jupyter", "jupyterlab", "matplotlib", "psycopg", "pytz")


def dotted(path: Path) -> str:
    """`fold/python.py` as `fold.python`, `fold/__init__.py` as `fold`, `__init__.py` as ``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), path) for name, path in FILES.items()}


def imports(name: str) -> set[str]:
    """The esbench modules that a module imports, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full if full.removeprefix("esbench.") in FILES else str(node.module) for full in inner}
    own = {full for full in found if full == "esbench" or full.startswith("esbench.")}
    return {full.removeprefix("esbench").removeprefix(".") for full in own} - {name}


def module_map() -> list[list[str]]:
    """The lines of the module map: each a module, or leaves that stand side by side."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"^    esbench/\n((?:      .*\n)+)", text, re.MULTILINE)
    assert block, "CONTRIBUTING.md has no module map"
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in block[1].splitlines()]
    return [[re.sub(r"(\.py|/)$", "", word) for word in line.split()] for line in lines]


ORDER = {name.replace("__init__", ""): line for line, names in enumerate(module_map()) for name in names}


def top(name: str) -> str:
    return name.partition(".")[0]


def test_module_map_names_every_module():
    assert {top(name) for name in FILES} == set(ORDER)


@pytest.mark.parametrize("name", FILES)
def test_module_imports_only_from_lines_above_its_own(name):
    outside = {other for other in imports(name) if top(other) != top(name)}
    wrong = {other for other in outside if ORDER.get(top(other), sys.maxsize) >= ORDER[top(name)]}
    assert not wrong, f"esbench.{name} imports {sorted(wrong)}, which the map does not have above it"


def test_modules_of_one_package_import_each_other_one_way():
    TopologicalSorter({name: imports(name) for name in FILES}).prepare()


def test_sources_never_import_each_other():
    def is_reader(name: str) -> bool:
        return any(isinstance(node, ast.FunctionDef) and node.name == "stage" for node in TREES[name].body)

    readers = {name for name in FILES if name.startswith("sources.") and is_reader(name)}
    wrong = {name: sorted(imports(name) & readers) for name in readers if imports(name) & readers}
    assert not wrong


def test_leaves_are_imported_by_nothing():
    wrong = {
        name: sorted(other for other in imports(name) if top(other) in LEAVES and top(other) != top(name))
        for name in FILES
    }
    assert not {name: leaves for name, leaves in wrong.items() if leaves}


def test_import_loads_nothing_that_only_notebooks_need():
    code = f"import esbench, sys; print(*[name for name in {LATE!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", FILES)
def test_module_says_what_it_offers(name):
    assert ast.get_docstring(TREES[name])
    statements = [ast.unparse(node) for node in TREES[name].body[1:]]
    if statements in ([], ["from __future__ import annotations"]):
        return  # a package's __init__.py that only says what the package is
    assert [line for line in statements if line.startswith("__all__")]


@pytest.mark.parametrize("name", FILES)
def test_module_is_no_longer_than_400_lines(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("name", [name for name in FILES if top(name) != "payload"])
def test_json_functions_of_the_engine_stay_in_payload(name):
    nodes = list(ast.walk(TREES[name]))
    # A docstring may name a function; it is a statement of its own, which SQL never is.
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    wrong = [
        f"line {node.lineno}: {match[0]}"
        for node in nodes
        if isinstance(node, ast.Constant) and id(node) not in docstrings
        for match in re.finditer(r"\b(?:json_\w+|from_json|to_json)\s*\(", str(node.value))
    ]
    assert not wrong


def test_installed_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()

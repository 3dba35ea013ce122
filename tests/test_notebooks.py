"""The notebooks: each .ipynb is the .py beside it, and running it again says what is committed."""

from __future__ import annotations

import copy

import jupytext
import nbformat
import pytest
from nbformat import v4

import esbench as es
from tests.conftest import ROOT
from tests.notebooks import VIEW, different, run

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.py"))


def committed(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_paired():
    assert NOTEBOOKS
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_is_the_script_beside_it(name):
    script = jupytext.read(FOLDER / f"{name}.py")
    cells = [(cell.cell_type, cell.source) for cell in committed(name).cells]
    assert cells == [(cell.cell_type, cell.source) for cell in script.cells], "run `make notebooks`"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_and_says_what_is_committed(name):
    notebook = committed(name)
    again = copy.deepcopy(notebook)
    run(again, FOLDER)
    for old, new in zip(notebook.cells, again.cells, strict=True):
        if old.cell_type == "code":
            assert not different(old, new), f"{name}: {different(old, new)}, run `make notebooks`\n{old.source}"
            assert old.execution_count, f"{name} is committed without its outputs"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_reads_without_a_kernel(name):
    notebook = committed(name)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        shown = [output.data for output in cell.get("outputs", []) if "data" in output]
        assert not any(VIEW in data for data in shown), "run `make notebooks`"
        if ".explore(" in cell.source and cell.cell_type == "code":
            assert all('<div class="esbench">' in data["text/html"] for data in shown)
            assert "still being computed" not in str(shown)


def test_every_widget_is_in_a_notebook():
    shown = {
        output.data["text/plain"].partition("(")[0]
        for name in NOTEBOOKS
        for cell in committed(name).cells
        for output in cell.get("outputs", [])
        if '<div class="esbench">' in output.get("data", {}).get("text/html", "")
    }
    assert shown >= {"LogOverview", "TimeMachine", "FindingsBoard", "MigrationDesk"}


@pytest.fixture(scope="module")
def machine():
    """What the cell of a notebook shows that ends in a time machine at a version."""
    from aggregates import inventory

    log = es.open().load(ROOT / "data" / "inventory.jsonl")

    def cell(version):
        view = log.explore(inventory, stream="item-123", version=version)
        assert view.wait()
        return showing(view._repr_mimebundle_())

    return cell


def showing(data):
    return v4.new_code_cell(outputs=[v4.new_output("execute_result", data=data)])


def test_a_widget_of_another_run_is_the_same(machine):
    one, other = machine(3), machine(3)
    assert one.outputs[0].data[VIEW] != other.outputs[0].data[VIEW]
    assert different(one, other) == ""
    del one.outputs[0].data[VIEW]
    assert different(one, other) == ""


def test_a_widget_that_shows_another_state_is_not_the_same(machine):
    one, other = machine(2), machine(3)
    other.outputs[0].data["text/plain"] = one.outputs[0].data["text/plain"]
    assert different(one, other) == "another text"


def test_one_value_on_a_widget_makes_a_difference(machine):
    one, other = machine(3), machine(3)
    page = other.outputs[0].data["text/html"]
    assert page.count("-2") > 0
    other.outputs[0].data["text/html"] = page.replace("-2", "-3", 1)
    assert different(one, other) == "another text"


def test_ids_of_a_page_may_differ_as_long_as_what_they_join_is_the_same():
    page = '<b id="{0}"></b><i id="{1}"></i><a href="#{0}"></a><use fill="url(#{1})"></use>'
    one, other, crossed = (showing({"text/html": page.format(*names)}) for names in ("ab", "xy", "xy"))
    crossed.outputs[0].data["text/html"] = crossed.outputs[0].data["text/html"].replace("#x", "#y")
    assert different(one, other) == ""
    assert different(one, crossed) == "another text"

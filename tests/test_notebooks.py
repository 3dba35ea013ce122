"""The notebooks: each .ipynb is the .py beside it, and running it again says what is committed."""

from __future__ import annotations

import copy

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT
from tests.pictures import alike

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
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(again, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    for old, new in zip(notebook.cells, again.cells, strict=True):
        if old.cell_type == "code":
            assert said(new) == said(old), f"{name}: run `make notebooks`\n{old.source}"
            assert all(map(alike, pictures(old), pictures(new))), f"{name}: another picture\n{old.source}"
            assert old.execution_count, f"{name} is committed without its outputs"


def said(cell):
    """What a cell shows, but for its pictures, and progress bars, which come after a second on a slow day."""
    outputs = [output for output in cell.outputs if "\r" not in output.get("text", "")]
    streams = [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    shown = [output.data for output in outputs if output.output_type in ("display_data", "execute_result")]
    texts = [data.get(kind) for data in shown for kind in ("text/plain", "text/html", "text/markdown")]
    others = [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    return "".join(streams), texts, len(pictures(cell)), others


def pictures(cell):
    """The pictures that a cell shows, in order."""
    shown = [output.data for output in cell.outputs if output.output_type in ("display_data", "execute_result")]
    return [data["image/png"] for data in shown if "image/png" in data]

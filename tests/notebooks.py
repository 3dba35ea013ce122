"""Runs notebooks, and says whether two runs of a cell show the same. `make notebooks` is this file as a script."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.pictures import alike

__all__ = ["VIEW", "different", "run"]

#: By this a page with a kernel finds the widget; without one it says that there is no such model.
VIEW = "application/vnd.jupyter.widget-view+json"
#: A widget shows what it has after about a second. On a slow machine that may be nothing yet: here it takes its time.
_PATIENT = "__import__('esbench.widgets').widgets.View.patience = 240"
_EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_IDENTIFIER = re.compile(r"""\bid=["']([^"']+)["']""")
_NAMING = re.compile(r"""(\b(?:id|for|href|aria-[a-z]+)=["']#?|url\(#)([^"')]+)""")


def run(notebook: Any, folder: Path) -> None:
    """Run all cells of a notebook anew, in a folder, and keep of its widgets what is read without a kernel."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        extra_arguments=[f"--IPKernelApp.exec_lines={_PATIENT}"],
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    for output in _outputs(notebook):
        # It names a model of this run, and is preferred to the HTML beside it: a code host would show neither.
        output.get("data", {}).pop(VIEW, None)


def different(old: Any, new: Any) -> str:
    """In what two runs of a cell differ in substance, in a word; empty: in nothing."""
    if _said(old) != _said(new):
        return "another text"
    before, after = _pictures(old), _pictures(new)
    if len(before) != len(after) or not all(map(alike, before, after)):
        return "another picture"
    return ""


def _outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def _shown(cell: Any) -> list[Any]:
    return [output.data for output in cell.outputs if output.output_type in ("display_data", "execute_result")]


def _said(cell: Any) -> Any:
    """What a cell shows, but for its pictures, and progress bars, which come after a second on a slow day.

    Of a widget that is its HTML: its model has another id in each run.
    """
    outputs = [output for output in cell.outputs if "\r" not in output.get("text", "")]
    streams = [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    texts = [
        [data.get("text/plain"), _page(data.get("text/html", "")), data.get("text/markdown")] for data in _shown(cell)
    ]
    others = [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    return "".join(streams), texts, others


def _page(html: str) -> str:
    """HTML without the pictures in it, and with its ids, which may be new in each run, numbered as they come."""
    html = _EMBEDDED.sub("data:image/png", html)
    numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(_IDENTIFIER.findall(html)))}
    return _NAMING.sub(lambda found: found[1] + numbers.get(found[2], found[2]), html)


def _pictures(cell: Any) -> list[str]:
    """The pictures that a cell shows, in order, those in its HTML too."""
    found = []
    for data in _shown(cell):
        if "image/png" in data:
            found.append(data["image/png"])
        found += _EMBEDDED.findall(data.get("text/html", ""))
    return found


def _main(paths: list[str]) -> None:
    for path in map(Path, paths):
        notebook = nbformat.read(path, as_version=4)
        run(notebook, path.parent)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    _main(sys.argv[1:])

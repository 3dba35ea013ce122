"""The notebooks as a reader without Jupyter sees them: exported to HTML, opened in Chromium."""

from __future__ import annotations

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.real


def test_exported_notebooks_show_tables_and_pictures_and_no_error(chromium, tmp_path):
    assert NOTEBOOKS
    page = chromium.new_context(offline=True).new_page()  # an exported page holds all that it shows
    for notebook in NOTEBOOKS:
        read = nbformat.read(notebook, as_version=4)
        drawn = [
            output for cell in read.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
        ]
        html, _ = HTMLExporter().from_notebook_node(read)
        exported = tmp_path / f"{notebook.stem}.html"
        exported.write_text(html, encoding="utf-8")
        page.goto(exported.as_uri(), wait_until="domcontentloaded")
        pictures = page.locator(".jp-OutputArea img")
        assert page.locator("h1").count(), notebook.name
        assert page.locator(".jp-OutputArea table tr").count(), notebook.name
        assert page.locator(".jp-OutputArea img[src^='data:image/png']").count() == len(drawn), notebook.name
        assert all(pictures.evaluate_all("images => images.map(image => image.naturalWidth)")), notebook.name
        assert not page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count(), notebook.name

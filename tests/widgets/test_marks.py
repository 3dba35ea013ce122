"""Drawings on a page without a kernel, and how they are seen where nobody trusts the page."""

from __future__ import annotations

import base64
import re
from xml.dom import minidom

import pandas as pd

import esbench as es
from esbench.widgets import explore, marks
from tests.conftest import ROOT


def drawings(html: str) -> list[str]:
    return [base64.b64decode(found).decode() for found in re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', html)]


def test_still_pictures_are_images_that_say_what_they_show():
    stock = es.open().load(ROOT / "data" / "inventory.jsonl")
    html = explore(stock, names={"stock": stock}).to_html()
    found = drawings(html)
    assert "<svg" not in html
    assert len(found) >= 2
    for each in found:
        assert minidom.parseString(each).getElementsByTagName("path")
        assert "<title>" not in each
    assert 'alt="456 events from' in html


def test_hostile_names_neither_break_a_drawing_nor_look_like_one():
    hostile = "<svg a></svg>\"'><script>alert(1)</script>]]>&"
    rows = pd.DataFrame({"stream_id": hostile, "version": [1, 3, 4], "event_type": hostile, "data": ['{"n":1}'] * 3})
    rows["recorded_at"] = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"], utc=True)
    log = es.open().load(rows, "log")
    for view in (explore(log, names={}), explore(log, es.Aggregate("Any", streams="*"), names={})):
        html = view.to_html()
        assert "<script" not in html
        assert drawings(html)
        for each in drawings(html):
            assert "script" not in each
            minidom.parseString(each)


def test_what_is_no_drawing_stays():
    assert marks.pictured("<p>&lt;svg a&gt;&lt;/svg&gt;</p>") == "<p>&lt;svg a&gt;&lt;/svg&gt;</p>"

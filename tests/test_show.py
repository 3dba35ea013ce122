from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench import show

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",  # clears the screen, renames the window
    "a\r\nb\tc\x00d\x7f\x9b31m",
    "user\u202egnp.exe\u2066 \u200bhidden",  # reverses what follows
    "line\u2028end\u2029",
    "\ud800",
    "<script>alert('x')</script>&amp;\"",
    "抹茶" * 200,
    "e\u0301" * 300,  # combining marks take no column
    "x" * 2_000_000,
]


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c != "\n")


class Breaks:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_hostile_text_is_one_safe_and_short_line_in_a_cell(value):
    shown = show.cell(value, width=50)
    assert is_safe(shown)
    assert "\n" not in shown
    assert len(shown) <= 50


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (float("nan"), ""),
        (2**53 + 1, "9007199254740993"),
        (Decimal("1.10"), "1.10"),
        (True, "True"),
        (pd.Timestamp("2024-05-13T09:15:30Z"), "2024-05-13 09:15:30"),
        (pd.Timestamp("2024-05-13T09:15:30.120Z"), "2024-05-13 09:15:30.12"),
        (Breaks(), "<Breaks>"),
        (10**5_000, "<int>"),  # Python refuses to write it
    ],
    ids=lambda value: type(value).__name__,
)
def test_cell_shows_values_exactly_and_nothing_as_nothing(value, text):
    assert show.cell(value) == text


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_table_for_a_terminal_fits_whatever_is_in_it(width):
    rows = pd.DataFrame(
        {
            "position": range(len(HOSTILE)),
            "recorded_at": pd.Timestamp("2024-05-13T09:15:30.123Z"),
            **{f"hostile {n}\x1b": pd.Series(HOSTILE, dtype="object") for n in range(5)},
        }
    )
    shown = show.plain(rows, width=width)
    assert is_safe(shown)
    assert max(map(columns, shown.splitlines())) <= width


@given(st.lists(st.lists(st.text(max_size=30), min_size=4, max_size=4), max_size=5), st.integers(20, 120))
def test_any_table_for_a_terminal_is_safe_and_fits(cells, width):
    rows = pd.DataFrame(cells, columns=["a", "b", "c", "d"])
    lines = show.plain(rows, width=width).split("\n")
    assert is_safe("".join(lines))
    assert max(map(columns, lines)) <= width
    assert len(lines) == 1 + len(cells) + lines[-1].startswith("… and")


def test_numbers_and_times_are_cut_last():
    rows = pd.DataFrame(
        {"n": [123_456_789_012_345], "at": [pd.Timestamp("2024-05-13T09:15:30.123Z")], "a": ["x" * 99], "b": ["y" * 99]}
    )
    assert "123456789012345  2024-05-13 09:15:30.123  xxxxxxxxx" in show.plain(rows, width=80)


def test_columns_that_do_not_fit_are_named():
    rows = pd.DataFrame({f"column_{n}": ["a long enough text"] for n in range(12)})
    *_, last = show.plain(rows, width=60).splitlines()
    assert last == "… and 5 columns: column_7, column_8, column_9, column_10, c…"


def test_table_without_rows_or_columns_is_no_error():
    assert show.plain(pd.DataFrame({"a": []})) == "a"
    assert show.plain(pd.DataFrame()) == ""
    assert "<table>" not in show.table(pd.DataFrame())


def test_capped_table_says_how_many_there_are():
    rows = pd.DataFrame({"n": range(1204)})
    assert show.plain(rows, limit=3).splitlines()[-1] == "… 3 of 1,204"
    assert ">20 of 1,204<" in show.table(rows)
    assert show.table(rows).count("<tr>") == 21
    assert " of " not in show.table(rows.head(20))


def test_html_holds_event_content_only_as_text():
    hostile = [*HOSTILE, '<img src=x onerror="alert(1)">', "</td></table><b>", "javascript:alert(1)"]
    rows = pd.DataFrame({"</th><script>x</script>": pd.Series(hostile, dtype="object")})
    page = show.table(rows, title="<b>title</b>", notes=["<i>note</i>\u202e"], limit=99)

    found = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert {name for name, _ in attrs} <= {"style"}

    Tags().feed(page)
    assert found == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert is_safe(page)
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in page
    assert len(page) < 20_000


def test_html_has_no_colours_of_its_own():
    assert not re.search(r"color|#[0-9a-f]{3}|background", show.table(pd.DataFrame({"a": [1]}), title="t", notes=["n"]))


@pytest.mark.parametrize("width", [12, 30, 80])
def test_wrapped_text_fits_where_its_words_do(width):
    text = "stock is never 抹茶 negative\x1b[2J in item-123 since version-fork 3, and 抹茶茶碗 too"
    lines = show.wrapped(text, width, first="> ", indent="  ").splitlines()
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == ">" + "".join(show.line(text).split())
    assert is_safe("".join(lines))

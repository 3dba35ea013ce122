from __future__ import annotations

import pytest

from esbench.fold.changes import ABSENT, Change, changes
from esbench.widgets import sparks, trees
from tests.widgets.hostile import HOSTILE


def test_what_changed_is_marked_with_a_sign_and_both_values():
    before, after = {"a": 1, "b": {"c": 2}, "gone": 5}, {"a": 1, "b": {"c": 3}, "new": 4}
    html = trees.tree(after, changes(before, after))
    assert '<li class="es-changed">c: 2 → <code>3</code></li>' in html
    assert '<li class="es-added">+ new: <code>4</code></li>' in html
    assert '<li class="es-removed">− gone: <del><code>5</code></del></li>' in html
    assert "<li>a: <code>1</code></li>" in html


def test_a_change_below_the_members_that_are_shown_is_shown():
    before = [{"n": 0} for _ in range(500)]
    after = [*before[:-1], {"n": 7}]
    html = trees.tree(after, changes(before, after))
    assert "0 → <code>7</code>" in html
    assert html.count("<li") < 100


class Counting(str):
    """A text that counts how often it is looked through, by all of its kind."""

    __slots__ = ()
    looks = 0

    def rpartition(self, *given):
        Counting.looks += 1
        return super().rpartition(*given)

    def startswith(self, *given):
        Counting.looks += 1
        return super().startswith(*given)


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_a_large_state_that_changed_everywhere_is_looked_through_once(count):
    after = {f"k{n}": n for n in range(count)}
    Counting.looks = 0
    html = trees.tree(after, [Change(Counting(f"/{name}"), -1, n) for name, n in after.items()])
    assert Counting.looks <= 2 * count
    assert html.count("<li") < 100
    assert f"of {count:,}</li>" in html


def test_a_wide_and_deep_state_is_capped_as_a_whole():
    wide = {f"a{i}": {f"b{j}": {f"c{k}": {"d": k} for k in range(40)} for j in range(40)} for i in range(40)}
    html = trees.tree(wide)
    assert html.count("<li") < 1_500
    for name in wide:
        assert f"{name}: " in html, "no member hides those beside it"
    deep: dict = {}
    for _ in range(5_000):
        deep = {"a": deep}
    assert trees.tree(deep, changes({}, deep)).count("<li") < 50


def test_changes_that_the_value_knows_nothing_of_are_no_fault():
    html = trees.tree({"a": [1]}, [Change("/a/7", 1, 2), Change("/b", 1, 2), Change("/a/x/y", ABSENT, 1)])
    assert "a: " in html


@pytest.mark.parametrize("text", HOSTILE)
def test_payloads_are_escaped_and_capped(text):
    html = trees.payload_tree(text, "payload")
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "\0" not in html
    assert len(html) < 60_000


def test_a_payload_that_is_no_json_is_shown_as_text():
    assert trees.payload_tree("{<b>", "payload") == "<code>{&lt;b&gt;</code>"


def test_changes_are_capped_and_counted():
    html = trees.changed([Change(f"/{n}", ABSENT, n) for n in range(1000)])
    assert "1,000 values" in html
    assert "12 of 1,000 changes" in html


def test_a_cursor_stands_at_its_version_and_lines_name_their_range():
    assert 'x1="0.0"' in sparks.cursor(0, 5, 1)
    assert 'x1="1000.0"' in sparks.cursor(4, 5, 1)
    html = sparks.lines({"<q>": [1.0, None, 3.0]})
    assert "&lt;q&gt;: 1 to 3" in html
    assert html.count("M") == 2  # a missing value breaks the line


def test_damage_says_what_it_is():
    html = sparks.strip(10, [(3, 5, "version-gap <4>")])
    assert "<title>version-gap &lt;4&gt;</title>" in html
    assert 'aria-label="1 damaged places"' in html

from __future__ import annotations

import re
import shutil
import unicodedata

import pytest

import esbench as es
import make
from esbench import demo
from esbench.cli import main
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def told():
    """What the demo prints at a width."""
    printed: dict[int, str] = {}

    def told(width: int, monkeypatch, capsys) -> str:
        if width not in printed:
            monkeypatch.setenv("COLUMNS", str(width))
            monkeypatch.chdir(ROOT)
            assert main(["demo"]) == 0
            out, err = capsys.readouterr()
            assert err == ""
            printed[width] = out
        return printed[width]

    return told


def widest(text: str) -> int:
    return max(sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line) for line in text.splitlines())


@pytest.mark.parametrize(("width", "longest"), [(80, 100), (100, 91), (250, 91)])
def test_demo_fits_the_terminal_and_is_short(told, monkeypatch, capsys, width, longest):
    out = told(width, monkeypatch, capsys)
    assert widest(out) <= min(width, 100)
    assert len(out.splitlines()) <= longest
    assert all(c == "\n" or unicodedata.category(c)[0] != "C" for c in out)


def test_demo_shows_every_planted_error_and_warning_and_every_reject(told, monkeypatch, capsys):
    out = told(100, monkeypatch, capsys)
    for _, reason in re.findall(r"^inventory +(\d+)  (.*)$", out, re.MULTILINE):
        assert reason
    for line in (103, 201, 366, 460):
        assert re.search(rf"^inventory +{line}  ", out, re.MULTILINE)
    shown = re.findall(r"^  (?:error|warning) +([a-z-]+) +(\S+)@(\d+)  ", out, re.MULTILINE)
    expected = []
    for file, name in demo.SAMPLES.items():
        log = es.open().load(ROOT / "data" / file)
        aggregate = getattr(pytest.importorskip("aggregates"), name)
        found = log.check(aggregate).findings
        wrong = found[found["severity"] != "info"]
        expected += [(row.check, row.stream_id, str(row.version)) for row in wrong.itertuples()]
    assert sorted(shown) == sorted(expected)
    assert len(shown) >= len({stream for stream, *_ in shown}) > 0


def test_demo_says_that_the_clean_log_is_clean(told, monkeypatch, capsys):
    out = told(100, monkeypatch, capsys)
    assert re.search(r"^orders: clean \(28,441 events in 7,741 streams\)$", out, re.MULTILINE)
    assert out.count(": clean") == 1


def test_demo_follows_one_aggregate_through_three_coordinates(told, monkeypatch, capsys):
    out = told(100, monkeypatch, capsys)
    assert re.findall(r"^At (.*):$", out, re.MULTILINE) == ["version 2", "version 3", "the end"]
    assert "changed /quantity: 5 → -2, by ItemsOrdered, version 3" in out
    assert "quantity=5" in out
    assert "complete" in out
    assert 'broken: "stock is never negative" since version 3' in " ".join(out.split())


def test_demo_names_what_to_do_next(told, monkeypatch, capsys):
    out = told(100, monkeypatch, capsys)
    assert "notebooks/01_first_look.ipynb" in out
    assert (ROOT / "notebooks" / "01_first_look.py").is_file()
    for command in re.findall(r"^  (?:make|esbench) (\w+)", out[out.index("\nNext\n") :], re.MULTILINE):
        assert command in ("lab", "check")


def test_demo_computes_what_it_prints(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "data", tmp_path / "other")
    path = tmp_path / "other" / "inventory.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # Without Jonas's order, item-123 is whole; another item is made to break instead.
    lines = [line for line in lines if '"stream_id":"item-123"' not in line]
    lines = [
        line.replace('"quantity":', '"quantity":90', 1) if "ItemsOrdered" in line and '"item-101"' in line else line
        for line in lines
    ]
    path.write_text("".join(lines), encoding="utf-8")
    assert main(["demo", "--data", str(tmp_path / "other")]) == 0
    out = capsys.readouterr().out
    assert "item-123" not in out
    assert "All events of item-101:" in out


def test_demo_is_told_about_the_logs_that_the_script_writes():
    assert {name.split(".")[0] for name in demo.SAMPLES} == {name.split(".")[0] for name in make.COUNTS}

"""``esbench migrate``: what it prints, how it ends, and that hostile names are shown as they are."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import esbench as es
from esbench.cli import main
from esbench.migrate import Migration, add_field, drop_events, map_events, rename_type, retype_field
from tests.migrate.benches import bench_of, contents, rows_of
from tests.oracle import Row
from tests.strategies import HOSTILE

MODULE = """
from esbench.migrate import Migration, drop_events, rename_type, retype_field, upcast
renamed = Migration("renamed", [rename_type("Added", "Put")])
gap = Migration("gap", [drop_events(where="version = 2", leave_gap=True)])
failing = Migration("failing", [retype_field("/n", "boolean")])
lifted = Migration("lifted", [upcast("Added", 1, 2, lambda data: {**data, "m": 1})])
other = 7
"""


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """A bench file beside a module of migrations; the command as a function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESBENCH_BENCH", raising=False)
    Path("plans.py").write_text(MODULE)
    rows = [Row(n, "a", n, data_text=f'{{"n": {n + 3}}}') for n in range(1, 5)]
    made, _ = bench_of(rows, "b.duckdb")
    made.close()

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["migrate", *arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


HERE = ("log", "--bench", "b.duckdb")


def everything():
    with es.open("b.duckdb") as opened:
        return contents(opened)


def test_a_dry_run_tells_and_writes_nothing(bench):
    content = Path("b.duckdb").read_bytes()
    for more in ((), ("--dry-run",), ("--sample", "1"), ("--skip-checks",)):
        status, out, err = bench("plans.py:renamed", *HERE, *more)
        assert (status, err) == (0, "")
        assert "4 events become 4 (4 changed)" in out
        assert "rename Added to Put" in out
    assert Path("b.duckdb").read_bytes() == content


def test_a_gate_that_fails_ends_with_1_unless_it_is_accepted(bench):
    before = everything()
    status, out, err = bench("plans.py:gap", *HERE)
    assert (status, err) == (1, "")
    assert "FAIL no new gap" in out
    assert bench("plans.py:gap", *HERE, "--accept", "no new gap")[0] == 0
    status, _, err = bench("plans.py:gap", *HERE, "--accept", "no new gaps")
    assert status == 2
    assert 'Did you mean "no new gap"' in err
    status, _, err = bench("plans.py:gap", *HERE, "--apply", "v2")
    assert status == 1
    assert "nothing was made" in err
    assert "--accept" in err
    assert everything() == before
    status, _, err = bench("plans.py:gap", *HERE, "--apply", "v2", "--accept", "no new gap")
    assert status == 0
    assert "Log 'v2': 3 events" in err
    with es.open("b.duckdb") as opened:
        assert opened["v2"].events("a")["version"].tolist() == [1, 3, 4]


def test_the_formats_are_what_they_are_called(bench):
    status, out, err = bench("plans.py:failing", *HERE, "--format", "json")
    told = json.loads(out)
    assert (status, err) == (1, "")
    assert (told["passed"], told["fates"]["failed"], told["failures"]["count"]) == (False, 4, 4)
    assert told["failures"]["first"][0]["stream_id"] == "a"
    status, out, _ = bench("plans.py:failing", *HERE, "--format", "markdown")
    assert status == 1
    assert out.startswith("### failing: ❌ 1 gate failed\n")
    assert "| no event fails | failed |" in out


def test_workers_run_the_functions_of_a_module(bench):
    status, out, _ = bench("plans.py:lifted", *HERE, "--workers", "2", "--apply", "v2")
    assert status == 0
    assert "4 changed" in out
    with es.open("b.duckdb") as opened:
        assert [event.data["m"] for event in opened["v2"]] == [1] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plans.py:renamd", *HERE), 'Did you mean "renamed"?'),
        (("plans.py:other", *HERE), "is no esbench.Migration, but of type int"),
        (("plans.py", *HERE), "a migration is named path/to/file.py:object"),
        (("none.py:renamed", *HERE), "no file none.py"),
        (("plans.py:renamed", "lok", "--bench", "b.duckdb"), 'Did you mean "log"?'),
        (("plans.py:renamed", "log", "--bench", "c.duckdb"), "no bench file c.duckdb"),
        (("plans.py:renamed", *HERE, "--apply", "LOG"), 'the bench has a log "log"'),
        (("plans.py:renamed", *HERE, "--apply", ""), "a log needs a name"),
        (("plans.py:renamed", *HERE, "--apply", "v2", "--sample", "1"), "run it without sample="),
        (("plans.py:renamed", "log.csv", "--apply", "v2"), "say which with --bench FILE"),
        (("plans.py:renamed", *HERE, "--dry-run", "--apply", "v2"), "not allowed with"),
        (("plans.py:renamed", *HERE, "--sample", "0"), "0"),
    ],
)
def test_a_wrong_call_ends_with_2_and_names_the_way_out(bench, arguments, said):
    before = everything()
    status, out, err = bench(*arguments)
    assert status == 2
    assert said in err
    assert "Traceback" not in err + out
    assert everything() == before


NASTY = ('<img src=x onerror="alert(1)">', "a | b `c` *d* [e](http://f) # @somebody", "\x1b[2J\u202eevil", *HOSTILE[:6])


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert {name for name, _ in attrs} <= {"style", "class", "title", "colspan", "border"}


def test_hostile_names_are_shown_as_they_are_in_every_form():
    rows = [
        Row(
            n,
            nasty,
            1,
            event_type=nasty,
            event_id=nasty,
            data_text=json.dumps({nasty: nasty, "n": nasty}),
            metadata_text=json.dumps({"causation_id": nasty}),
        )
        for n, nasty in enumerate(NASTY, start=1)
    ]
    rows += [Row(len(rows) + 1, NASTY[0], 2, event_type=NASTY[1], data_text='{"n": 1}')]

    def wrong(event):
        raise ValueError(f"<b>{event.event_type}</b>")

    path = "/" + NASTY[0].replace("~", "~0").replace("/", "~1")
    steps = [
        add_field(f"{path} added", NASTY[0]),
        rename_type(NASTY[1], NASTY[0]),
        drop_events(streams=NASTY[0], where="version = 1", leave_gap=True),
        retype_field("/n", "integer"),
        map_events(wrong, type=NASTY[0]),
    ]
    bench, log = bench_of(rows)
    with bench:
        run = log.dry_run(Migration(NASTY[0], steps))
        assert not run.passed
        page = Tags()
        page.feed(run._repr_html_())
        assert page.seen <= {"div", "p", "b", "ul", "li", "span", "table", "thead", "tbody", "tr", "th", "td", "style"}
        marked = run.to_markdown()
        plain = re.sub(r"\\.", "", marked)
        assert not {"<", ">", "[", "]", "`"} & set(plain.replace("> ⚠", ""))
        assert "@somebody" not in marked
        steps_table = plain.split("**Steps**")[1].strip().partition("\n\n")[0]
        assert len({line.count("|") for line in steps_table.splitlines()}) == 1
        for text in (str(run), repr(run), marked):
            assert not {"\x1b", "\u202e", "\x01"} & set(text)
        told = json.loads(run.to_json())
        assert told["migration"] == NASTY[0]
        assert {row["event_type"] for row in told["types"]} >= set(NASTY)
        explained = run.migration._repr_html_()
        Tags().feed(explained)
        made = bench.apply(run, NASTY[1], accept=run.failed)
        assert len(rows_of(made)) == len(rows) - 1
        Tags().feed(made._repr_html_())
        assert not made.lineage(NASTY[2], 1).empty

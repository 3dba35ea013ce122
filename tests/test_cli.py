from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import esbench as es
from esbench.arguments import parser
from esbench.cli import main
from tests.conftest import ROOT

DATA = ROOT / "data"
INVENTORY = str(DATA / "inventory.jsonl")
ACCOUNTS = str(DATA / "accounts.csv")
AGGREGATES = f"{DATA / 'aggregates.py'}"
COMMANDS = ("load", "streams", "events", "find", "state", "history", "check", "sql", "demo")
HOSTILE = "\x1b[2J\x07\r\u202eevil\u2028\x9b"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, and none of the caller's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESBENCH_BENCH", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command; its exit status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """A bench file with two logs."""
    path = tmp_path_factory.mktemp("bench") / "shop.duckdb"
    with es.open(path) as made:
        made.load(INVENTORY)
        made.load(ACCOUNTS)
    return str(path)


def hostile_log(folder: Path) -> str:
    """A log that is hostile wherever a log can be."""
    rows = [
        {
            "stream_id": f"s{HOSTILE}",
            "stream_type": HOSTILE,
            "version": n,
            "event_type": f"T{HOSTILE}" if n < 3 else "抹茶" * 60,
            "event_id": f"{HOSTILE}{n}",
            "data": {"text": HOSTILE, HOSTILE: ["=1+1", "<script>", "x" * 1_000_000]},
        }
        for n in (1, 2, 2, 4)
    ]
    path = folder / "hostile.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + f'{{"stream_id":"{HOSTILE}"\n', encoding="utf-8")
    return str(path)


def safe(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c != "\n")


def widest(text: str) -> int:
    return max(sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line) for line in text.splitlines())


# what the commands print


def test_streams(run):
    status, out, err = run("streams", INVENTORY)
    assert status == 0
    assert out.splitlines()[0].split() == ["stream_id", "stream_type", "events", "last_version", "last_recorded_at"]
    assert len(out.splitlines()) == 1 + 60
    assert "4 records could not become events" in err
    status, out, _ = run("streams", INVENTORY, "--last", "2", "--format", "json")
    assert [row["last_position"] for row in json.loads(out)] == sorted(
        es.open().load(INVENTORY).streams()["last_position"]
    )[-2:]


def test_events_of_a_log_are_the_last_twenty_in_a_table_and_all_elsewhere(run):
    status, out, err = run("events", INVENTORY)
    assert (status, len(out.splitlines())) == (0, 1 + 20)
    assert "last 20" in err
    assert len(run("events", INVENTORY, "--last", "30")[1].splitlines()) == 1 + 30
    assert len(json.loads(run("events", INVENTORY, "--format", "json")[1])) == 456
    assert "last 20" not in run("events", INVENTORY, "item-123")[2]


@pytest.mark.parametrize(
    ("where", "versions"),
    [
        ((), [1, 2, 3, 3, 4]),
        (("--version", "2"), [1, 2]),
        (("--as-of", "2024-05-14T14:02:07.4Z"), [1, 2, 3]),
        (("--position", "346"), [1, 2, 3]),
        (("--last", "1"), [4]),
        (("--version", "0"), []),
    ],
)
def test_events_of_a_stream_up_to_a_point_in_history(run, where, versions):
    status, out, _ = run("events", INVENTORY, "item-123", *where, "--format", "json")
    assert status == 0
    assert [row["version"] for row in json.loads(out)] == versions


def test_find_gives_place_and_path(run):
    status, out, _ = run("find", "TB-0201", INVENTORY, "--format", "json")
    assert status == 0
    assert {(row["place"], row["path"]) for row in json.loads(out)} == {("data", "/sku")}
    status, out, err = run("find", "item", INVENTORY, "--limit", "3")
    assert (status, len(out.splitlines())) == (0, 1 + 3)
    assert "more than 3" in err
    assert run("find", "nowhere at all", INVENTORY)[0] == 0


def test_find_shows_the_place_of_a_long_value_that_holds_what_was_looked_for(run, tmp_path):
    row = {"stream_id": "a", "version": 1, "event_type": "T", "data": {"text": "x" * 5_000 + "needle" + "y" * 5_000}}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    assert "…xxxxxxxxneedleyyy" in run("find", "needle", "long.jsonl")[1]
    assert (
        json.loads(run("find", "needle", "long.jsonl", "--format", "json")[1])[0]["value"]
        == "x" * 5_000 + "needle" + "y" * 5_000
    )


def test_state_says_value_trust_and_who_set_what(run):
    status, out, _ = run("state", f"{AGGREGATES}:inventory", "item-123", INVENTORY, "--version", "2")
    assert status == 0
    assert "quantity=5" in out
    assert "at item-123@2, complete" in " ".join(out.split())
    assert re.search(r"/quantity +5 +2 +ItemsAdded", out)


def test_state_as_json_is_the_state(run):
    status, out, _ = run("state", f"{AGGREGATES}:inventory", "item-123", INVENTORY, "--format", "json")
    state = json.loads(out)
    assert status == 0
    assert state["state"]["quantity"] == -2
    assert (state["stream_id"], state["version"], state["events"]) == ("item-123", 4, 5)
    assert "version-fork 3" in state["trust"]
    assert [(rule["invariant"], rule["version"]) for rule in state["broken"]] == [("stock is never negative", 3)]


def test_state_of_money_stays_decimal(run):
    arguments = ("state", f"{AGGREGATES}:account", "account-1004", ACCOUNTS, "--version", "5")
    _, out, _ = run(*arguments, "--format", "json")
    assert '"balance":-670.50' in out
    _, out, _ = run(*arguments, "--format", "csv")
    assert next(row for row in csv.DictReader(io.StringIO(out)) if row["path"] == "/balance")["value"] == "-670.50"


def test_history_has_a_row_for_every_event_with_what_it_changed(run):
    arguments = ("history", f"{AGGREGATES}:inventory", "item-123", INVENTORY)
    status, out, _ = run(*arguments)
    assert status == 0
    assert len(out.splitlines()) == 1 + 5
    assert "/quantity: 2 → -2" in out
    rows = json.loads(run(*arguments, "--format", "json")[1])
    assert [row["quantity"] for row in rows] == [0, 5, 2, -2, -2]
    assert rows[3]["changed"] == [{"path": "/quantity", "before": 2, "after": -2}]
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--format", "csv")[1])))
    assert json.loads(rows[3]["changed"]) == [{"path": "/quantity", "before": 2, "after": -2}]


def test_sql(run):
    status, out, _ = run("sql", INVENTORY, "select count(*) as n, sum(version) as s from events", "--format", "csv")
    assert (status, out.splitlines()[0]) == (0, "n,s")
    assert out.splitlines()[1].startswith("456,")
    status, out, _ = run("sql", INVENTORY, "select 1 as a, 2 as a", "--format", "json")
    assert json.loads(out) == [{"a": 1, "a_1": 2}]


# check


@pytest.mark.parametrize("form", ["table", "json", "csv", "junit"])
def test_check_exits_with_1_when_there_are_errors_and_0_when_not(run, form):
    status, out, _ = run("check", INVENTORY, "--aggregate", f"{AGGREGATES}:inventory", "--format", form)
    assert status == 1
    assert "version-fork" in out
    assert "stock is never negative" in out
    # A position gap is no error.
    status, out, _ = run("check", INVENTORY, "--only", "position-gap", "--format", form)
    assert status == 0
    assert "position-gap" in out


def test_check_of_a_clean_log_says_so(run):
    status, out, _ = run("check", str(DATA / "orders.jsonl.gz"), "--aggregate", f"{AGGREGATES}:order")
    assert status == 0
    assert "no findings" in out


def test_check_skips_what_it_is_told_to(run):
    _, out, _ = run("check", INVENTORY, "--skip", "version-fork", "--skip", "version-gap", "--format", "csv")
    assert {row["check"] for row in csv.DictReader(io.StringIO(out))}.isdisjoint({"version-fork", "version-gap"})


def test_check_takes_several_aggregates(run):
    several = ("--aggregate", f"{AGGREGATES}:inventory") * 2
    assert run("check", INVENTORY, *several, "--only", "invariant-violated")[0] == 1


def test_check_as_json_and_csv_agree_with_the_report(run):
    report = es.open().load(INVENTORY).check()
    _, out, _ = run("check", INVENTORY, "--format", "json")
    assert [row["check"] for row in json.loads(out)["findings"]] == report.findings["check"].tolist()
    _, out, _ = run("check", INVENTORY, "--format", "csv")
    assert [row["check"] for row in csv.DictReader(io.StringIO(out))] == report.findings["check"].tolist()


def test_check_as_junit_parses_and_fails_the_checks_with_errors(run, tmp_path):
    for log in (INVENTORY, hostile_log(tmp_path)):
        suite = ElementTree.fromstring(run("check", log, "--format", "junit")[1].encode())
        failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
        assert "version-fork" in failed or "version-gap" in failed
        assert suite.get("failures") == str(len(failed))


# exactness


def test_json_embeds_payloads_as_they_came_in(run, tmp_path):
    data = '{"n":9007199254740993,"p":1.10,"big":1e400,"b":{"z":1,"a":null},"twice":1,"twice":2,"e":"caf\\u00e9"}'
    log = tmp_path / "exact.jsonl"
    log.write_text(f'{{"stream_id":"a","version":1,"event_type":"T","data":{data}}}\n')
    _, out, _ = run("events", str(log), "--format", "json")
    assert f'"data":{data},' in out
    assert '"metadata":null' in out
    row = json.loads(out)[0]
    assert row["data"]["n"] == 2**53 + 1
    # What DuckDB calls JSON is embedded too, whatever its name.
    _, out, _ = run(
        "sql", str(log), "select data as d, data->'b' as inner, data->>'p' as t from events", "--format", "json"
    )
    assert f'"d":{data},' in out
    assert json.loads(out)[0]["inner"] == {"z": 1, "a": None}
    assert isinstance(json.loads(out)[0]["t"], str)


def test_json_of_every_type_of_the_engine(run):
    text = """
        select 170141183460469231731687303715884105727::hugeint as h, 1.10::decimal(9,2) as d, 9007199254740993 as b,
            true as t, null as n, 'nan'::double as nan, 'inf'::double as inf, 0.1::double as f, date '2024-06-07' as dt,
            timestamptz '2024-06-07 10:00:00.5+02' as ts, time '12:30' as tm, [1, null] as l, {'a': [1.10]} as s,
            map {'k': 1} as m, 'x'::blob as bl, '' as e, 'a"b\n' as q
    """
    _, out, _ = run("sql", INVENTORY, f"{text} from events limit 1", "--format", "json")
    assert '"h":170141183460469231731687303715884105727,"d":1.10,"b":9007199254740993,"t":true,"n":null' in out
    row = json.loads(out, parse_float=Decimal)[0]
    assert row["nan"] is None
    assert row["inf"] == "inf"
    assert row["f"] == Decimal("0.1")
    assert (row["dt"], row["ts"], row["tm"]) == ("2024-06-07", "2024-06-07T08:00:00.500000+00:00", "12:30:00")
    assert row["l"] == [1, None]
    assert (row["s"], row["e"], row["q"]) == ({"a": [Decimal("1.10")]}, "", 'a"b\n')


def test_csv_tells_nothing_from_empty_and_comes_back_as_it_was(run, tmp_path):
    rows = [
        {"stream_id": 'a,"b"\r\n', "version": 1, "event_type": " T ", "event_id": "\r", "data": {"p": "x\ny"}},
        {"stream_id": "é", "version": 1, "event_type": "T", "event_id": "=1+1"},
    ]
    log = tmp_path / "odd.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = "select *, '' as empty, null as nothing from events order by position"
    _, out, _ = run("sql", str(log), text, "--format", "csv")
    assert out.count('""') >= 2
    read = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["stream_id"] for row in read] == ['a,"b"\r\n', "é"]
    assert [row["event_type"] for row in read] == [" T ", "T"]
    assert [row["event_id"] for row in read] == ["\r", "=1+1"]
    exported = tmp_path / "exported.csv"
    exported.write_text(out, encoding="utf-8", newline="")
    first, again = es.open().load(log), es.open().load(exported)
    columns = ["position", "stream_id", "version", "event_type", "event_id", "data"]
    assert again.events()[columns].astype(str).equals(first.events()[columns].astype(str))


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_an_empty_result_is_whole_in_every_format(run, form):
    status, out, _ = run("find", "nowhere at all", INVENTORY, "--format", form)
    assert status == 0
    assert json.loads(out) == [] if form == "json" else len(out.splitlines()) == 1


# hostile content


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize(
    "command",
    [
        ("streams",),
        ("events",),
        ("events", f"s{HOSTILE}"),
        ("sql", "select *, data->'text' as t from events"),
        ("check",),
    ],
    ids=lambda command: " ".join(command)[:8],
)
def test_hostile_content_neither_steers_the_terminal_nor_breaks_lines(run, tmp_path, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    name, *rest = command
    status, out, err = run(name, hostile_log(tmp_path), *rest)
    assert status == (1 if name == "check" else 0), err
    assert safe(out)
    assert safe(err)
    if name != "check":
        assert widest(out) <= width
        left_out = out.splitlines()[-1].startswith("… and")
        assert len(out.splitlines()) == 1 + (1 if name == "streams" else 4) + left_out


def test_hostile_content_in_find_state_and_errors(run, tmp_path):
    log = hostile_log(tmp_path)
    agg = tmp_path / "agg.py"
    agg.write_text(
        "import esbench as es\n"
        'agg = es.Aggregate("Any", initial={}, streams="*")\n'
        f"@agg.on({f'T{HOSTILE}'!r})\n"
        "def on(state, event):\n    return {**state, **event.data}\n"
    )
    for arguments in (
        ("find", "evil", log),
        ("state", "agg.py:agg", f"s{HOSTILE}", log),
        ("history", "agg.py:agg", f"s{HOSTILE}", log),
        ("events", log, f"t{HOSTILE}"),
        ("sql", log, f"select '{HOSTILE}' from nowhere"),
        ("check", log, "--aggregate", f"{HOSTILE}.py:x"),
        ("streams", HOSTILE),
    ):
        status, out, err = run(*arguments)
        assert status == (0 if arguments[0] in ("find", "state", "history") else 2), err
        assert safe(out + err), arguments
        assert not out or widest(out) <= 100
        assert len(out + err) < 20_000


# errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("streams", "nofile.jsonl"), ["no file nofile.jsonl", "--bench FILE"]),
        (("streams", "*.jsonl"), ["*.jsonl"]),
        (("events", INVENTORY, "item-12"), ['no stream "item-12"', "item-1"]),
        (("state", f"{AGGREGATES}:inventory", "nope", INVENTORY), ['no stream "nope"']),
        (("streams", "orders", "--bench", "no.duckdb"), ["no bench file no.duckdb", "esbench load"]),
        (("load", ACCOUNTS), ["--bench FILE"]),
        (("load", ACCOUNTS, INVENTORY, "--bench", "b.duckdb"), ["--name"]),
        (("streams", "x", "--bench", ACCOUNTS), ["accounts.csv is no DuckDB file"]),
        (("streams", INVENTORY, "--column", "x"), ["NAME=FIELD"]),
        (("streams", INVENTORY, "--column", "stream=x"), ['"stream"', "stream_id"]),
        (("events", INVENTORY, "--as-of", "yesterday"), ["yesterday", "2024-06-07T12:00Z"]),
        (("events", INVENTORY, "--last", "-1"), ["--last", "-1"]),
        (("events", INVENTORY, "--version", "1", "--position", "2"), ["--position", "not allowed with"]),
        (("events", INVENTORY, "--format", "xml"), ["--format", "'table', 'json', 'csv'"]),
        (("sql", INVENTORY, "selec"), ["syntax error", "selec"]),
        (("sql", INVENTORY, "select versio from events"), ["versio", "version"]),
        (("sql", INVENTORY, "drop table events"), ["drop"]),
        (("check", INVENTORY, "--only", "version-gaps"), ['"version-gaps"', "version-gap"]),
        (("check", INVENTORY, "--aggregate", "inventory"), ["path/to/file.py:object", '"inventory"']),
        (("check", INVENTORY, "--aggregate", "no.py:x"), ["no file no.py"]),
        (("check", INVENTORY, "--aggregate", "nomodule:x"), ['no module "nomodule"', ".py"]),
        (("check", INVENTORY, "--aggregate", f"{AGGREGATES}:inventroy"), ['"inventroy"', 'Did you mean "inventory"?']),
        (("check", INVENTORY, "--aggregate", f"{AGGREGATES}:x"), ["inventory, product, account, shipment, order"]),
        (("check", INVENTORY, "--aggregate", f"{AGGREGATES}:Decimal"), ["no esbench.Aggregate"]),
        (("check", INVENTORY, "--aggregate", f"{AGGREGATES}:account"), ["BankAccount", "InventoryItem"]),
        (("demo",), ["no sample logs in data", "--data DIR"]),
        (("nonsense",), ["invalid choice: 'nonsense'", "streams"]),
        ((), ["usage: esbench", "examples:"]),
    ],
    ids=lambda value: " ".join(value)[-40:].replace("/", "") if isinstance(value, tuple) else "",
)
def test_error_names_the_thing_and_the_way_out(run, arguments, said):
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert [text for text in said if text not in err] == []
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothere\n", ["No module named 'nothere'", "broken_agg.py:1)"]),
        ("import esbench as es\n\nx = 1 / 0\n", ["ZeroDivisionError", "broken_agg.py:3)"]),
        ("import esbench as es\ndef (\n", ["invalid syntax", "broken_agg.py:2)"]),
        ("import sys\nsys.exit(0)\n", ["SystemExit", "broken_agg.py:2)"]),
        ('import esbench as es\na = es.Aggregate("")\n', ["AggregateError", "broken_agg.py:2)"]),
        ("x = 1\n", ['no aggregate "a"', "it has none"]),
    ],
)
@pytest.mark.parametrize("name", ["broken_agg.py:a", "./broken_agg.py:a", "broken_agg:a"])
def test_aggregate_that_cannot_be_imported_says_which_and_where(run, tmp_path, monkeypatch, code, said, name):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_agg", raising=False)
    (tmp_path / "broken_agg.py").write_text(code)
    status, out, err = run("check", INVENTORY, "--aggregate", name)
    assert (status, out) == (2, "")
    assert [text for text in said if text not in err] == []
    assert "Traceback" not in err
    sys.modules.pop("broken_agg", None)


def test_file_of_aggregates_may_import_its_neighbours_and_have_any_name(run, tmp_path):
    folder = tmp_path / "some where"
    folder.mkdir()
    (folder / "neighbour_of_json.py").write_text('NAME = "InventoryItem"\n')
    (folder / "json.py").write_text(
        "from __future__ import annotations\n"
        "import dataclasses\nimport esbench as es\nfrom neighbour_of_json import NAME\n"
        "@dataclasses.dataclass(frozen=True)\nclass Item:\n    events: int = 0\n"
        "agg = es.Aggregate(NAME, initial=Item())\n"
        '@agg.on("ItemsAdded", "ItemsOrdered")\ndef on(state, event):\n    return Item(state.events + 1)\n'
    )
    status, out, _ = run("state", f"{folder}/json.py:agg", "item-123", INVENTORY, "--format", "json")
    assert status == 0
    assert json.loads(out)["state"] == {"events": 3}


# benches


def test_load_then_look(run, tmp_path):
    status, out, _ = run("load", INVENTORY, "--bench", "b.duckdb", "--name", "stock")
    assert status == 0
    assert "Log 'stock': 456 events, 60 streams, 4 rejects" in out
    assert '"version" is not an integer: "seven"' in out
    status, out, err = run("streams", "stock", "--bench", "b.duckdb", "--format", "json")
    assert (status, err) == (0, "")
    assert len(json.loads(out)) == 60
    status, _, err = run("load", INVENTORY, "--bench", "b.duckdb", "--name", "stock")
    assert status == 2
    assert "--append" in err
    status, _, err = run("load", INVENTORY, "--bench", "b.duckdb", "--name", "stock", "--append")
    assert status == 2  # positions not above the last
    status, _, err = run("streams", "stok", "--bench", "b.duckdb")
    assert (status, 'Did you mean "stock"?' in err) == (2, True)


def test_load_appends_a_later_batch(run, tmp_path):
    for n in (1, 2):
        row = {"stream_id": "a", "version": n, "event_type": "T", "position": n}
        (tmp_path / f"{n}.jsonl").write_text(json.dumps(row) + "\n")
        assert run("load", f"{n}.jsonl", "--bench", "b.duckdb", "--name", "log", "--append")[0] == 0
    _, out, _ = run("events", "log", "--bench", "b.duckdb", "--format", "json")
    assert [row["version"] for row in json.loads(out)] == [1, 2]


def test_strict_load_stops_and_leaves_nothing(run):
    status, _, err = run("load", INVENTORY, "--bench", "b.duckdb", "--strict")
    assert status == 2
    assert "inventory.jsonl:103" in err
    assert 'no log "inventory"' in run("streams", "inventory", "--bench", "b.duckdb")[2]


def test_load_of_several_files_and_globs(run, tmp_path):
    lines = Path(INVENTORY).read_text().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:50]))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("".join(lines[50:100]).encode()))
    assert run("load", "a.jsonl", "b.jsonl.gz", "--bench", "b.duckdb", "--name", "two")[0] == 0
    assert run("load", "?.jsonl*", "--bench", "b.duckdb", "--name", "glob")[0] == 0
    counts = [
        run("sql", log, "select count(*) as n from events", "--bench", "b.duckdb", "--format", "csv")[1]
        for log in ("two", "glob")
    ]
    assert counts == ["n\n100\n"] * 2
    assert run("sql", "?.jsonl*", "select count(*) as n from events", "--format", "csv")[1] == "n\n100\n"


def test_bench_may_be_named_by_the_environment(run, bench, monkeypatch):
    monkeypatch.setenv("ESBENCH_BENCH", bench)
    assert run("streams", "accounts")[0] == 0
    # A file is read from where it lies.
    assert run("streams", str(DATA / "products.jsonl"))[0] == 0


def test_reading_leaves_the_bench_file_as_it_was(run, bench):
    before = Path(bench).read_bytes()
    for arguments in (("streams",), ("events",), ("check",), ("events", "--last", "3")):
        run(arguments[0], "accounts", "--bench", bench, *arguments[1:])
    assert Path(bench).read_bytes() == before


def test_columns_times_and_base_are_read_as_told(run, tmp_path):
    (tmp_path / "odd.csv").write_text("no,what,at,v\nx,Made,1700000000,7\n")
    told = ("--column", "stream_id=no", "--column", "event_type=upper(what)", "--column", "recorded_at=at")
    _, out, err = run(
        "events", "odd.csv", *told, "--column", "version=v", "--time", "s", "--base", "1", "--format", "json"
    )
    assert (
        json.loads(out)[0] | {"event_type": "MADE", "recorded_at": "2023-11-14T22:13:20+00:00", "version": 7}
        == json.loads(out)[0]
    ), err
    _, out, _ = run("check", "odd.csv", *told, "--column", "version=v", "--time", "s", "--base", "1", "--format", "csv")
    assert "missing-head" in out


def test_git_history_is_a_log(run, tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "file.txt").write_text("one\n")
    for arguments in (["init", "-q"], ["add", "file.txt"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    status, out, _ = run("events", "git:.", "--format", "json")
    assert status == 0
    assert [row["stream_id"] for row in json.loads(out)] == ["file.txt"]


# help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_explains_every_option(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    commands: Any = parser()._subparsers
    actions = commands._group_actions[0].choices[command]._actions
    assert [action.dest for action in actions if not action.help] == []
    assert max(map(len, out.splitlines())) <= 100


def test_help_lists_every_command_and_its_examples_are_real(run, workspace):
    _, out, _ = run("--help")
    assert [name for name in COMMANDS if not re.search(rf"^    {name} +[A-Z]", out, re.MULTILINE)] == []
    shown = re.findall(r"^  esbench (.*)$", out[out.index("examples:") :], re.MULTILINE)
    assert len(shown) >= 6
    for line in shown:
        parser().parse_args(shlex.split(line.partition(" | ")[0]))
    for line in shown:
        if "data/" in line or line == "demo":
            assert run(*shlex.split(line))[0] in (0, 1), line


# as a process


def process(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    script = Path(sysconfig.get_path("scripts"), "esbench")
    return subprocess.run([str(script), *arguments], capture_output=True, check=False, env=env)


def test_console_script_and_module_give_the_exit_status():
    assert process("check", INVENTORY).returncode == 1
    assert process("streams", "nofile").returncode == 2
    module = [sys.executable, "-m", "esbench.cli"]
    assert subprocess.run([*module, "streams", INVENTORY], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*module, "check", INVENTORY], capture_output=True, check=False).returncode == 1
    assert subprocess.run(module, capture_output=True, check=False).returncode == 2


def test_reader_that_goes_away_is_no_error():
    script = Path(sysconfig.get_path("scripts"), "esbench")
    for form in ("json", "table"):
        line = f"'{script}' sql '{DATA}/orders.jsonl.gz' 'select * from events' --format {form} | head -n 1"
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_of_the_terminal_will_do(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = process("events", INVENTORY, "item-123", env=environment)
    assert done.returncode == 0, done.stderr
    done = process("events", INVENTORY, "item-123", "--format", "json", env=environment)
    assert "抹茶茶碗" in json.loads(done.stdout)[0]["data"]["name"]


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_json():
    done = process("events", INVENTORY, "item-123", "--format", "json")
    answer = subprocess.run(["jq", "-c", "[.[].data.quantity]"], input=done.stdout, capture_output=True, check=True)
    assert json.loads(answer.stdout) == [None, 5, 3, 4, None]

"""The bench: one file that holds logs, opened by one process, changed whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import esbench as es
from esbench.errors import BenchError, NameTaken, SourceError, UnknownLog
from tests.conftest import ROOT

FRAME = pd.DataFrame({"stream_id": ["a", "b"], "version": [1, 1], "event_type": ["Made", "Made"]})


@pytest.fixture
def path(tmp_path):
    """A bench file with one log, closed."""
    with es.open(tmp_path / "b.duckdb") as bench:
        bench.load(FRAME, "made")
    return tmp_path / "b.duckdb"


def lines(path: Path, count: int) -> Path:
    """A file of events whose payloads hardly compress."""
    with path.open("w") as out:
        for n in range(count):
            event = {"stream_id": f"s{n % 97}", "version": n // 97, "event_type": "T", "data": os.urandom(40).hex()}
            out.write(json.dumps(event) + "\n")
    return path


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process, which has said "open"."""
    command = [sys.executable, "-c", f"import sys\nimport esbench as es\n{code}", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


# logs and their names


def test_a_bench_in_a_file_is_the_same_when_it_is_opened_again(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"stream_id":"s","version":1,"type":"T","data":{"n":1.10}}\ntorn\n')
    with es.open(tmp_path / "b.duckdb") as bench:
        log = bench.load(source, base=0, truncated=["s*"])
        before = (list(log), log.facts, log.rejects, bench.logs(), repr(log), bench.rejects)
    for read_only in (False, True):
        with es.open(str(tmp_path / "b.duckdb"), read_only=read_only) as bench:
            log = bench["a"]
            after = (list(log), log.facts, log.rejects, bench.logs(), repr(log), bench.rejects)
            for old, new in zip(before, after, strict=True):
                assert (
                    old.equals(new) if isinstance(old, pd.DataFrame) and isinstance(new, pd.DataFrame) else old == new
                )


@pytest.mark.parametrize(
    "name", ["order", 'a"b', "it's", "select", "ünï 🦆", " ", "x.y", "a;--", "x" * 200, "$1", "<b>"]
)
def test_a_log_may_have_any_name(tmp_path, name):
    with es.open(tmp_path / "b.duckdb") as bench:
        bench.load(FRAME, name)
        later = FRAME.assign(version=2)
        assert len(bench.load(later, name, append=True)) == 4
        assert len(bench[name].streams()) == 2
        assert bench.logs()["log"].tolist() == [name]
        bench.drop(name)
        assert bench.logs().empty


@pytest.mark.parametrize("name", ["made", "MADE", "Made"])
def test_a_name_that_is_taken_is_refused_before_anything_is_read(path, tmp_path, name):
    with es.open(path) as bench:
        with pytest.raises(NameTaken, match=r'has a log "made": load\(append=True\) adds to it, bench.drop\("made"\)'):
            bench.load(tmp_path / "there is no such file.jsonl", name)
        assert len(bench["made"]) == 2


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_that_is_none_is_refused(name):
    with es.open() as bench, pytest.raises(SourceError, match="a log needs a name"):
        bench.load(FRAME, name)


@pytest.mark.parametrize(
    ("source", "name"), [("orders.jsonl", "orders"), ("x/orders.v2.csv.gz", "orders"), (Path("a b.parquet"), "a b")]
)
def test_a_log_is_named_after_its_file(tmp_path, monkeypatch, source, name):
    monkeypatch.chdir(tmp_path)
    with es.open() as bench, pytest.raises(SourceError, match="there is no such file"):
        bench.load(source)
    (tmp_path / "orders.jsonl").write_text('{"stream_id":"s","version":1,"type":"T"}')
    if str(source) == "orders.jsonl":
        with es.open() as bench:
            assert bench.load(source).name == name


def test_a_source_without_a_name_asks_for_one():
    for source in (FRAME, "*.jsonl", ["a.jsonl", "b.jsonl"]):
        with es.open() as bench, pytest.raises(SourceError, match=r"load\(..., name=...\)"):
            bench.load(source)


def test_an_unknown_log_is_answered_with_what_is_there(path):
    with es.open(path) as bench:
        with pytest.raises(UnknownLog, match=r'no log "mode" in the bench\. Did you mean "made"'):
            bench["mode"]
        with pytest.raises(UnknownLog, match="It has made"):
            bench.drop("xyz")
        assert "made" in bench
        assert "Made" not in bench


def test_a_dropped_log_leaves_nothing_and_its_name_is_free(path, tmp_path):
    later = tmp_path / "x.jsonl"
    later.write_text('{"stream_id":"s","version":1,"type":"T"}\ntorn\n')
    with es.open(path) as bench:
        bench.load(later)
        bench.drop("x")
        assert bench.logs()["log"].tolist() == ["made"]
        assert bench.rejects.empty
        assert len(bench.load(later)) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base": 2}, "base is 0 or 1"),
        ({"keys": {"cause": "/x"}}, '"cause" has no meaning here'),
        ({"keys": {"writer": "x"}}, '"x" is not a JSON Pointer'),
        ({"time": "minutes"}, "none of iso"),
        ({"columns": {"verson": "x"}}, 'Did you mean "version"'),
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    with es.open() as bench, pytest.raises(SourceError, match=re.escape(said)):
        bench.load(FRAME, "x", **options)


# files


def test_a_bench_that_another_process_holds_says_which(path):
    process = child("b = es.open(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()", path)
    with process:
        for read_only in (False, True):
            with pytest.raises(BenchError, match=rf"is held open by process {process.pid}: .*read_only=True"):
                es.open(path, read_only=read_only)
        process.communicate()
    with es.open(path) as bench:
        assert len(bench["made"]) == 2


def test_several_processes_may_read(path):
    process = child("b = es.open(sys.argv[1], read_only=True)\nprint('open', flush=True)\nsys.stdin.read()", path)
    with process:
        with es.open(path, read_only=True) as bench:
            assert len(bench["made"]) == 2
        process.communicate()


def test_a_bench_opened_read_only_is_not_changed(path):
    before = path.read_bytes()
    with es.open(path, read_only=True) as bench:
        for change in (lambda: bench.load(FRAME, "more"), lambda: bench.drop("made")):
            with pytest.raises(BenchError, match="is open with read_only=True"):
                change()
        assert len(bench["made"].check().findings) == 0
    assert path.read_bytes() == before


def sealed(data: bytearray) -> bytes:
    """A database file whose first block has the checksum of what is in it."""
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", data[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    return struct.pack("<Q", checksum) + bytes(data[8:])


def test_a_bench_written_by_a_newer_duckdb_says_so(path):
    data = bytearray(path.read_bytes())
    assert sealed(data) == bytes(data)
    data[12:20] = struct.pack("<Q", 9_999)
    path.write_bytes(sealed(data))
    with pytest.raises(BenchError, match=r"was written by a newer DuckDB than this 2\..*pip install -U duckdb"):
        es.open(path)


def test_a_bench_of_a_newer_format_is_refused_and_not_touched(path):
    with duckdb.connect(str(path)) as con:
        con.execute("update esbench.format set number = 99")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(BenchError, match=r"b.duckdb: a bench of format 99, this esbench knows 2: pip install"):
            es.open(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create table t as select 1")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(BenchError, match="no bench, but a DuckDB database of something else: load its events"):
            es.open(path, read_only=read_only)
    assert path.read_bytes() == before


def damaged(path: Path, kind: str) -> Path:
    """A path that cannot be opened as a bench."""
    data = bytearray(path.read_bytes())
    other = path.with_name("other.duckdb")
    match kind:
        case "text":
            other.write_text('{"stream_id":"a"}\n' * 1_000)
        case "empty":
            other.touch()
        case "cut":
            other.write_bytes(data[:5_000])
        case "overwritten":
            other.write_bytes(data[:4_096] + b"\x5a" * (len(data) - 4_096))
        case "directory":
            other.mkdir()
        case "below a file":
            other = path / "b.duckdb"
        case "no folder":
            other = path.with_name("none") / "b.duckdb"
        case "proc":
            other = Path("/proc/b.duckdb")
    return other


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text", r"is no DuckDB file: give bench.load\(\) the events"),
        ("empty", "is no DuckDB file"),
        ("cut", "is truncated: take a copy"),
        ("overwritten", "is damaged: take a copy"),
        ("directory", "is a directory: name a file in it"),
        ("below a file", "cannot be made there: name a file in a folder that exists and can be written"),
        ("no folder", "cannot be made there"),
        ("proc", "cannot be made there"),
    ],
)
def test_a_path_that_is_no_bench_is_answered_with_a_way_out(path, kind, said):
    other = damaged(path, kind)
    with pytest.raises(BenchError, match=said) as raised:
        es.open(other)
    assert str(raised.value).startswith(str(other))


def test_a_bench_that_is_not_there_is_not_made_to_be_read(tmp_path):
    with pytest.raises(BenchError, match="is not there: open it without read_only=True to make it"):
        es.open(tmp_path / "none.duckdb", read_only=True)
    assert not (tmp_path / "none.duckdb").exists()


def test_one_process_opens_a_bench_one_way(path):
    with es.open(path) as bench:
        with es.open(path) as again:
            assert again["made"].name == bench["made"].name
        with pytest.raises(BenchError, match="is open in this process already, with another read_only="):
            es.open(path, read_only=True)


# all or nothing


FULL = """
import resource
bench = es.open(sys.argv[1])
print("open", flush=True)
size = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    bench.load(sys.argv[2], "more")
except es.EsbenchError as error:
    print(type(error).__name__, error)
print(bench.logs()["log"].tolist(), len(bench["made"]))
"""


def test_a_full_disk_leaves_the_bench_as_it_was(path, tmp_path):
    # A limit on the size of files stands for the disk, because it needs no rights.
    process = child(FULL, path, lines(tmp_path / "more.jsonl", 20_000), path.stat().st_size + 500_000)
    with process:
        out, _ = process.communicate()
    said, logs = out.splitlines()
    assert said.startswith("BenchError ")
    assert "the bench is as it was" in said
    assert logs == "['made'] 2"
    with es.open(path) as bench:
        assert bench.logs()["log"].tolist() == ["made"]
        assert len(bench.load(tmp_path / "more.jsonl")) == 20_000


INTERRUPTED = """
bench = es.open(sys.argv[1])
print("open", flush=True)
try:
    bench.load(sys.argv[2], "more")
except KeyboardInterrupt:
    print("interrupted")
print(bench.logs()["log"].tolist(), len(bench["made"]))
"""


def test_ctrl_c_leaves_no_trace(path, tmp_path):
    source = lines(tmp_path / "more.jsonl", 300_000)
    outcomes = set()
    for after in (0.05, 0.2, 0.5):
        copy = shutil.copy(path, tmp_path / "copy.duckdb")
        process = child(INTERRUPTED, copy, source)
        with process:
            time.sleep(after)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate()
        outcomes.add(out)
        with es.open(copy) as bench:
            names = bench.con.execute(
                "select schema_name, table_name from duckdb_tables() where schema_name <> 'esbench' order by all"
            ).fetchall()
            if "interrupted" in out:
                assert names == [("log", "made"), ("stream", "made")]
    assert "interrupted\n['made'] 2\n" in outcomes


def test_a_load_draws_no_bar_where_nobody_looks(capfd, tmp_path):
    with es.open() as bench:
        bench.load(lines(tmp_path / "a.jsonl", 1_000))
        assert bench.con.execute("select current_setting('enable_progress_bar')").fetchall() == [(False,)]
    assert capfd.readouterr() == ("", "")


# looks


def test_an_empty_bench_and_a_full_one_describe_themselves(path):
    with es.open() as bench:
        assert repr(bench) == "Bench in memory: no logs"
        assert bench.logs().empty
        assert bench.rejects.columns.tolist()[:2] == ["log", "source"]
    with es.open(path) as bench:
        assert repr(bench) == f"Bench {path}: made (2 events)"
        assert "<table" in bench._repr_html_()


def test_hostile_names_are_escaped_in_html():
    with es.open() as bench:
        bench.load(FRAME, "<script>alert(1)</script>")
        assert "<script>" not in bench._repr_html_()


@pytest.mark.parametrize("source", [5, None, [], {"a": 1}, [{"a": 1}], b"a.jsonl"])
def test_what_is_no_source_is_refused(source):
    with es.open() as bench:
        for name in (None, "x"):
            with pytest.raises(SourceError, match=r"is no source: give a path|no file is named"):
                bench.load(source, name)
        with pytest.raises(SourceError, match="a log needs a name: 5 is none"):
            bench.load(FRAME, name=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [5, b"b.duckdb", ["b.duckdb"]])
def test_what_is_no_path_opens_no_bench(path):
    with pytest.raises(BenchError, match="a bench is opened by the path of its file, not by "):
        es.open(path)


def test_threads_look_at_a_bench_while_another_runs_a_migration():
    bench = es.open()
    log = bench.load(ROOT / "data" / "inventory.jsonl")
    plan = es.Migration("renamed", [es.rename_type("ItemsOrdered", "ItemsReserved")])

    def look(number: int) -> object:
        if number % 3 == 0:
            return log.dry_run(plan, checks=False).counts.before
        return bench["inventory"].name if number % 3 == 1 else bench.logs()["log"].tolist()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(look, range(90)))
    assert found == [456, "inventory", ["inventory"]] * 30

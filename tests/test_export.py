"""Export: files that load again as the log that was exported, and are there as a whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import esbench as es
from esbench.errors import ExportError
from esbench.events import Events
from esbench.export import export
from esbench.writing import part_of, whole_file
from tests.derived_logs import events_of, plain
from tests.oracle import Row
from tests.strategies import hostile_texts, logs, payload_texts

KINDS = ("jsonl", "csv", "parquet", "ndjson.gz", "csv.zst", "parquet.gz")

SPACED = st.sampled_from(('{\n  "a": "x\\n",\r\n\t"b": [1,\n2]\n}', " [1] ", "\t7\n", "null", '""', '"a b"', "[]"))
TEXTS = st.one_of(payload_texts(), SPACED)


@st.composite
def odd_logs(draw: st.DrawFn) -> list[Row]:
    rows = draw(logs(payloads=st.one_of(st.none(), TEXTS)))
    times = st.sampled_from(
        (None, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
    )
    index = draw(st.integers(0, len(rows) - 1))
    rows[index] = replace(
        rows[index],
        occurred_at=draw(times),
        source_position=draw(st.none() | hostile_texts() | st.just("")),
        event_id=draw(st.none() | hostile_texts() | st.just("")),
        metadata_text=draw(st.none() | TEXTS),
    )
    return rows


def one_line(text: str | None) -> str | None:
    """What a line of JSON keeps of a payload: all but the breaks between its tokens, and the space around it."""
    return text and text.replace("\n", " ").replace("\r", " ").strip(" \t")


@settings(max_examples=30)
@given(odd_logs(), st.sampled_from(KINDS), st.sampled_from(["position", "stream"]))
def test_a_log_loads_again_as_it_was_exported(tmp_path_factory: pytest.TempPathFactory, rows, kind, order):
    path = tmp_path_factory.mktemp("export") / f"log.{kind}"
    with es.open() as bench:
        source = events_of(bench.con, "given", plain(rows), lineage=False)
        told = export(source, path, order=order)
        log = bench.load(path, "again")
        found, expected = list(log), list(source)
        assert log.rejects.empty
    spaced = 0
    if "json" in kind:
        texts = [(event.data_text, event.metadata_text) for event in expected]
        spaced = sum(text != one_line(text) for pair in texts for text in pair)
        for event in expected:
            for text in (event.data_text, event.metadata_text):
                assert text is None or json.loads(one_line(text) or "") == json.loads(text)
    assert told.respaced == spaced
    key = lambda event: event.position  # noqa: E731
    wanted = [
        (e.position, e.stream_id, e.stream_type, e.version, e.event_id, e.event_type, e.schema_version, e.recorded_at)
        for e in sorted(expected, key=key)
    ]
    assert wanted == [
        (e.position, e.stream_id, e.stream_type, e.version, e.event_id, e.event_type, e.schema_version, e.recorded_at)
        for e in sorted(found, key=key)
    ]
    form = one_line if "json" in kind else lambda text: text
    for before, after in zip(sorted(expected, key=key), sorted(found, key=key), strict=True):
        assert (form(before.data_text), form(before.metadata_text)) == (after.data_text, after.metadata_text)
        assert (before.occurred_at, before.source_position) == (after.occurred_at, after.source_position)
    assert (told.events, told.streams, told.size) == (len(rows), len({r.stream_id for r in rows}), path.stat().st_size)


@pytest.fixture
def bench():
    with es.open() as opened:
        yield opened


ROWS = [
    Row(2, "b", 1, "Made", '{"n": 1.10}', recorded_at=datetime(2024, 6, 7, 12, 0, 0, 5, tzinfo=UTC)),
    Row(1, "b", 2, "Added", None),
    Row(3, "a", 1, "Made", "null", metadata_text='{"who":"x"}'),
]


@pytest.fixture
def source(bench) -> Events:
    return events_of(bench.con, "given", plain(ROWS), lineage=False)


def test_lines_are_in_position_order_or_in_folding_order(tmp_path, source):
    export(source, tmp_path / "p.jsonl")
    one, two, three = (tmp_path / "p.jsonl").read_text().splitlines()
    assert one == '{"position":1,"stream_id":"b","version":2,"event_type":"Added","recorded_at":null}'
    begin = '{"position":2,"stream_id":"b","version":1,"event_type":"Made","recorded_at":"2024-06-07T12:00:00.000005Z"'
    assert two == begin + ',"data":{"n": 1.10}}'
    begin = '{"position":3,"stream_id":"a","version":1,"event_type":"Made","recorded_at":null,"data":null,'
    assert three == begin + '"metadata":{"who":"x"}}'
    export(source, tmp_path / "s.csv", order="stream")
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "position,stream_id,version,event_type,recorded_at,data,metadata",
        '2,"b",1,"Made",2024-06-07T12:00:00.000005Z,"{""n"": 1.10}",',
        '1,"b",2,"Added",,,',
        '3,"a",1,"Made",,"null","{""who"":""x""}"',
    ]


def test_times_are_utc_whatever_the_session_says(tmp_path):
    with duckdb.connect() as con:
        con.execute("set global TimeZone = 'Asia/Tokyo'")
        source = events_of(con, "given", plain(ROWS), lineage=False)
        for name in ("a.jsonl", "a.csv", "a.parquet"):
            export(source, tmp_path / name)
    assert "T12:00:00.000005Z" in (tmp_path / "a.jsonl").read_text()
    assert "T12:00:00.000005Z" in (tmp_path / "a.csv").read_text()
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("recorded_at").type.tz == "UTC"
    assert table["recorded_at"].to_pylist()[1] == ROWS[0].recorded_at


def test_packed_files_are_the_plain_one_and_the_same_each_time(tmp_path, source):
    for name in ("a.jsonl", "a.jsonl.gz", "b.jsonl.gz", "a.jsonl.zst"):
        export(source, tmp_path / name)
    plain_bytes = (tmp_path / "a.jsonl").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == plain_bytes
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader((tmp_path / "a.jsonl.zst").read_bytes()).read() == plain_bytes


def test_large_payloads_come_back_and_csv_says_what_it_cannot_hold(tmp_path, bench):
    text = '{"text":"' + "x" * (17 << 20) + '"}'
    rows = [*ROWS[:2], replace(ROWS[2], data_text=text)]
    source = events_of(bench.con, "large", plain(rows), lineage=False)
    for name in ("a.jsonl", "a.parquet"):
        export(source, tmp_path / name)
        assert [event.data_text for event in bench.load(tmp_path / name, name) if event.position == 3] == [text]
    with pytest.raises(ExportError, match=r"too large for CSV \(16 MiB\): the event at position 3; JSON lines and Par"):
        export(source, tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.parquet"]


def test_a_time_that_iso_8601_cannot_write_is_refused_by_position(tmp_path, bench):
    rows = events_of(bench.con, "given", plain(ROWS), lineage=False)
    far = replace(rows, query=f"select * replace (timestamptz '290000-01-01' as recorded_at) from ({rows.query})")
    with pytest.raises(ExportError, match="outside of the years 1 to 9999: the event at position 1; Parquet can"):
        export(far, tmp_path / "a.jsonl")
    assert export(far, tmp_path / "a.parquet").events == 3
    endless = replace(rows, query=f"select * replace ('infinity'::timestamptz as recorded_at) from ({rows.query})")
    with pytest.raises(ExportError, match="outside of the years"):
        export(endless, tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("log.txt", {}, "its ending does not say what it is to be: .jsonl, .ndjson, .csv, .parquet"),
        ("log.json", {}, "its ending does not say"),
        ("log", {}, "its ending does not say"),
        ("log.csv", {"format": "jsonl"}, "the name of a csv file for format='jsonl'"),
        ("log.txt", {"format": "csv"}, "name it .csv"),
        ("log.jsonl", {"format": "xml"}, "format is one of jsonl, csv, parquet"),
        ("log.jsonl", {"order": "time"}, 'order is "position" or "stream"'),
        ("no/such/log.jsonl", {}, "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, source, name, options, message):
    with pytest.raises(ExportError, match=message):
        export(source, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_any_name_serves_with_a_format(tmp_path, source, bench):
    export(source, tmp_path / "events.dump.gz", format="jsonl")
    assert len(bench.load(tmp_path / "events.dump.gz", "again")) == 3


def test_a_file_that_is_there_stays_unless_told_otherwise(tmp_path, source):
    path = tmp_path / "log.jsonl"
    path.write_text("mine")
    with pytest.raises(ExportError, match="is there already"):
        export(source, path)
    assert path.read_text() == "mine"
    (tmp_path / "link.jsonl").symlink_to(path)
    export(source, tmp_path / "link.jsonl", overwrite=True)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert path.read_text().startswith('{"position":1')
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ExportError, match="is no file"):
        export(source, tmp_path / "folder.jsonl", overwrite=True)


def test_a_bench_is_never_overwritten(tmp_path, source):
    path = tmp_path / "bench.jsonl"
    with es.open(path):
        pass
    with pytest.raises(ExportError, match="a DuckDB database"):
        export(source, path, overwrite=True)
    with es.open(path) as again:
        assert again.logs().empty


def test_a_failure_leaves_no_trace_and_what_was_there(tmp_path, bench):
    path = tmp_path / "log.jsonl"
    path.write_text("mine")
    frame = pd.DataFrame({"stream_id": "a", "version": range(200_000), "event_type": "T", "data": '{"n":1}'})
    log = bench.load(frame, "log").source
    wrong = replace(
        log,
        query=f"select * replace (if(position = 190_000, error('no'), event_type) as event_type) from ({log.query})",
    )
    with pytest.raises(es.EsbenchError, match="no"):
        export(wrong, path, overwrite=True)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("log.jsonl", "mine")]


def test_what_a_killed_run_left_is_cleared(tmp_path, source):
    path = tmp_path / "log.jsonl"
    part_of(path).write_text("torn")
    export(source, path)
    assert [each.name for each in tmp_path.iterdir()] == ["log.jsonl"]


def test_what_was_killed_between_its_two_names_is_not_lost(tmp_path, source):
    path = tmp_path / "log.jsonl"
    export(source, path)
    os.link(path, part_of(path))
    before = path.read_text()
    with pytest.raises(ExportError, match="is there already"):
        export(source, path)
    with suppress(RuntimeError), whole_file(path, overwrite=True) as out:
        out.write(b"other")
        raise RuntimeError
    assert path.read_text() == before


def test_two_runs_for_one_file_do_not_mix(tmp_path, source):
    path = tmp_path / "log.jsonl"
    with whole_file(path) as out:
        with pytest.raises(ExportError, match="another process is writing it just now"):
            export(source, path)
        out.write(b"first")
    assert path.read_text() == "first"


def test_a_file_made_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "log.jsonl"
    writing = whole_file(path)
    writing.__enter__().write(b"first")
    path.write_text("mine")
    with pytest.raises(ExportError, match="made it in the meantime"):
        writing.__exit__(None, None, None)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("log.jsonl", "mine")]


def test_a_device_is_no_file(source):
    with pytest.raises(ExportError, match="is no file"):
        export(source, os.devnull, format="jsonl", overwrite=True)


FULL = """
import resource, sys
import esbench as es, pandas as pd
from esbench.export import export
log = es.open().load(pd.DataFrame({"stream_id": "a", "version": range(5_000), "event_type": "T"}), "log")
resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))
try:
    export(log.source, sys.argv[1], overwrite=True)
except es.EsbenchError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv.gz"])
def test_a_full_disk_is_said_so_and_leaves_what_was_there(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    path.write_text("mine")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "not written (File too large): free some space" in done.stdout
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(path.name, "mine")]


def test_the_log_may_grow_while_it_is_exported(tmp_path, bench):
    frame = pd.DataFrame({"position": range(100_000), "stream_id": "a", "version": range(100_000), "event_type": "T"})
    log = bench.load(frame, "log")
    later = frame.assign(position=range(100_000, 200_000), version=range(100_000, 200_000))
    writer = threading.Thread(target=lambda: bench.load(later, "log", append=True))
    writer.start()
    told = export(log.source, tmp_path / "log.csv")
    writer.join()
    assert told.events in (100_000, 200_000)
    assert len(bench.load(tmp_path / "log.csv", "again")) == told.events


def test_a_log_without_events_is_a_file_without_rows(tmp_path, source):
    nothing = source.where("false")
    for name, text in (("a.jsonl", b""), ("a.csv", b"position,stream_id,event_type\n")):
        assert export(nothing, tmp_path / name).events == 0
        assert (tmp_path / name).read_bytes() == text

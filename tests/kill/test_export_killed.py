"""An export that is killed at any moment leaves the file that was there, and runs again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import esbench as es
from esbench.export import export
from esbench.writing import part_of

EXPORT = """
import sys
import esbench as es
from esbench.export import export
bench = es.open(sys.argv[1], read_only=True)
source = bench["log"].source
print("open", flush=True)
try:
    export(source, sys.argv[2], overwrite=True)
    print("done", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

EVENTS = 150_000


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_a_killed_export_leaves_the_file_as_it_was(tmp_path, name, how):
    rows = {"stream_id": [f"s-{n % 97}" for n in range(EVENTS)], "version": [n // 97 for n in range(EVENTS)]}
    frame = pd.DataFrame({**rows, "event_type": "T", "data": '{"n": 1.10, "text": "xxxxxxxxxxxxxxxxxxxxxxxx"}'})
    with es.open(tmp_path / "b.duckdb") as bench:
        log = bench.load(frame, "log")
        start = time.perf_counter()
        export(log.source, tmp_path / f"whole-{name}")
        seconds = time.perf_counter() - start
    whole = (tmp_path / f"whole-{name}").read_bytes()
    path = tmp_path / name
    path.write_bytes(b"before")
    moments, stopped = random.Random(3), 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", EXPORT, str(tmp_path / "b.duckdb"), str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            time.sleep(moments.uniform(0, 0.9 * seconds))
            process.send_signal(how)
            done = "done" in process.stdout.read()
        if done:
            assert path.read_bytes() == whole
            path.write_bytes(b"before")
        else:
            stopped += 1
            assert path.read_bytes() in (b"before", whole)  # it may be whole before the process could say so
            if path.read_bytes() == whole:
                path.write_bytes(b"before")
            if how == signal.SIGINT:
                assert not part_of(path).exists()
    assert stopped >= 2, "nearly every export was done before it was stopped: the test shows nothing"
    with es.open(tmp_path / "b.duckdb") as bench:
        export(bench["log"].source, path, overwrite=True)
    assert path.read_bytes() == whole
    assert not part_of(path).exists()

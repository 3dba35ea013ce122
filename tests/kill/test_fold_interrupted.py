"""A handler that loops for ever can be interrupted, and nothing is left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLD = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import pandas as pd
import esbench as es

def endless(state, event):
    while True:
        pass

if __name__ == "__main__":
    bench = es.open(sys.argv[1])
    rows = {"stream_id": ["a"] * 2000, "version": range(1, 2001), "event_type": "Added", "data": '{"n": 1}'}
    log = bench.load(pd.DataFrame(rows), "log")
    bad = es.Aggregate("Endless", initial=0, streams="*")
    bad.on("Added")(lambda state, event: endless(state, event) if event.version == 1500 else state + 1)
    good = es.Aggregate("Counter", initial=0, streams="*")
    good.on("Added")(lambda state, event: state + event.data["n"])
    verb = sys.argv[2]
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn")) if verb.endswith("executor") else None
    if pool is not None:
        assert log.states(good, executor=pool)["state"].tolist() == [2000]
    print("ready", flush=True)
    try:
        if verb == "state":
            log.state(bad, "a")
        elif verb == "check":
            log.check(bad)
        else:
            log.states(bad, executor=pool)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    assert len(bench.snapshots) == 0
    assert log.states(good)["state"].tolist() == [2000]
    assert log.state(good, "a", version=1200).value == 1200
    bench.close()
    print("done", flush=True)
"""


@pytest.mark.parametrize("verb", ["state", "states", "check", "states with an executor"])
def test_endless_handler_is_interrupted_and_the_bench_goes_on(tmp_path: Path, verb: str):
    script = tmp_path / "fold.py"
    script.write_text(FOLD)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "b.duckdb"), verb],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (out, process.returncode) == ("interrupted\ndone\n", 0), err

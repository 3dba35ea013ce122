"""The sample logs: what a load counts and what the checks find is what the script planted, no more and no less."""

from __future__ import annotations

import pandas as pd
import pytest

import aggregates
import esbench as es
from esbench.demo import SAMPLES
from make import COUNTS, PLANTED, REJECTS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def logs():
    bench = es.open()
    return {file: bench.load(ROOT / "data" / file) for file in SAMPLES}


@pytest.mark.parametrize("file", SAMPLES)
def test_a_load_counts_what_was_written(logs, file):
    log, counts = logs[file], COUNTS[file]
    assert (len(log), len(log.streams())) == (counts.events, counts.streams)
    assert len(log) + len(log.rejects) == counts.records


@pytest.mark.parametrize("file", SAMPLES)
def test_the_rejects_are_the_planted_ones(logs, file):
    found = logs[file].rejects
    assert list(zip(found["line"], found["raw"], strict=True)) == [(r.line, r.text) for r in REJECTS if r.file == file]


@pytest.mark.parametrize("file", SAMPLES)
def test_the_findings_are_the_planted_ones(logs, file):
    report = logs[file].check(getattr(aggregates, SAMPLES[file]))
    found = {
        (row.check, row.severity == "info", none(row.stream_id), none(row.version))
        for row in report.findings.itertuples()
    }
    planted = {(p.check, p.info, p.stream_id, p.version) for p in PLANTED if p.file == file}
    # Causes that are not in the log are one finding of the whole log, planted stream by stream.
    absent = {p for p in planted if p[0] == "broken-causation" and p[1]}
    planted = planted - absent | ({("broken-causation", True, None, None)} if absent else set())
    assert found == planted


def none(value):
    return None if pd.isna(value) else value

"""The progress bar: for who looks, and for long folds only."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios

import pytest

FOLD = """
import pyarrow as pa
from esbench.fold import progress
progress._AFTER = {after}
batch = pa.record_batch({{"n": [1, 2]}})
assert sum(each.num_rows for each in progress.shown([batch] * 3, lambda: 6)) == 6
"""


def printed(after: float, *, terminal: bool) -> str:
    reader, writer = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writer, (24, 80))
    process = subprocess.Popen([sys.executable, "-c", FOLD.format(after=after)], stderr=writer, stdout=writer)
    os.close(writer)
    found = b""
    try:
        while part := os.read(reader, 4096):
            found += part
    except OSError:  # a terminal ends so
        pass
    os.close(reader)
    assert process.wait() == 0, found.decode()
    return found.decode()


@pytest.mark.parametrize(("after", "terminal", "seen"), [(-1, True, True), (60, True, False), (-1, False, False)])
def test_bar_is_shown_in_a_terminal_after_a_while(after, terminal, seen):
    text = printed(after, terminal=terminal)
    assert ("folding" in text) == seen
    assert seen or text == ""

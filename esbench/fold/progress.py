"""A progress bar for long folds, where somebody looks: in a terminal or a notebook, after a second, gone at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TextIO

import pyarrow as pa

__all__ = ["shown", "watched"]

_AFTER: Final = 1.0


def shown(batches: Iterable[pa.RecordBatch], total: Callable[[], int]) -> Iterator[pa.RecordBatch]:
    """The batches themselves; ``total`` counts their rows, and is asked only when there is a bar.

    >>> [batch.num_rows for batch in shown([pa.record_batch({"n": [1, 2]})], lambda: 2)]
    [2]
    """
    start = time.monotonic()
    bar: Any = None
    done = 0
    try:
        for batch in batches:
            yield batch
            done += batch.num_rows
            if bar is not None:
                bar.update(batch.num_rows)
            elif time.monotonic() - start > _AFTER and watched(sys.stderr):
                bar = _bar(total())
                bar.update(done)
    finally:
        if bar is not None:
            bar.close()


def watched(stream: TextIO | None) -> bool:
    """Whether somebody may be looking: a terminal behind the stream, or a notebook."""
    terminal = stream is not None and stream.isatty()
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return terminal or hasattr(shell, "kernel")


def _bar(total: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc="folding", unit=" events", unit_scale=True, leave=False)

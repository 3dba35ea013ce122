"""A progress bar for long folds, where somebody looks: in a terminal or a notebook, after a second, gone at the end.

Whoever shows progress in another way, as a widget does, listens instead: then there is no bar.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO

import pyarrow as pa

__all__ = ["listening", "shown", "stage", "watched"]

_AFTER: Final = 1.0

#: ``hear(share, words)``: how far it is (None: unknown), and what begins (empty: as before).
Hear = Callable[[float | None, str], None]
_hears: ContextVar[Hear | None] = ContextVar("_hears", default=None)


@contextmanager
def listening(hear: Hear) -> Iterator[None]:
    """Have ``hear(share, words)`` called from whatever runs within, in this thread; what it raises ends that."""
    token = _hears.set(hear)
    try:
        yield
    finally:
        _hears.reset(token)


def stage(words: str) -> None:
    """Say what begins, to whoever listens.

    >>> with listening(lambda share, words: print(share, words)):
    ...     stage("counting")
    None counting
    """
    hear = _hears.get()
    if hear is not None:
        hear(None, words)


def shown(batches: Iterable[pa.RecordBatch], total: Callable[[], int]) -> Iterator[pa.RecordBatch]:
    """The batches themselves; ``total`` counts their rows, and is asked only when there is a bar.

    >>> [batch.num_rows for batch in shown([pa.record_batch({"n": [1, 2]})], lambda: 2)]
    [2]
    """
    start = time.monotonic()
    bar: Any = None
    hear = _hears.get()
    done = of = 0
    try:
        for batch in batches:
            yield batch
            done += batch.num_rows
            if hear is not None:
                if not of and time.monotonic() - start > _AFTER / 4:
                    of = max(total(), 1)
                hear(min(done / of, 1.0) if of else None, "")
            elif bar is not None:
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

"""Files as a source: JSON lines, JSON arrays, CSV and Parquet, plain or packed, one or many."""

from __future__ import annotations

import os
from collections.abc import Sequence

import duckdb

from esbench.errors import SourceError
from esbench.sources.columns import Columns
from esbench.sources.files import delimited, json_text, parquet
from esbench.sources.files.opening import find
from esbench.sources.staged import Staged

__all__ = ["stage"]

_READERS = {"lines": json_text.read, "array": json_text.read, "csv": delimited.read, "parquet": parquet.read}


def stage(
    con: duckdb.DuckDBPyConnection,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns,
) -> Staged:
    """Stage the records of a file, of the files that a glob matches (by name), or of several of those, in order.

    What a file holds is told from its bytes. Text is kept exactly; a record that cannot be read keeps its number and
    has a ``problem``. The connection must not be in a transaction, because a reader that gives up would end it.
    Raises SourceError for input that cannot be read at all: it names the file, the place and the way out.

    >>> stage(duckdb.connect(), "no-such-file.jsonl", columns=Columns())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    esbench.errors.SourceError: no-such-file.jsonl: there is no such file (from ...)
    """
    files = find(source)
    first = files[0]
    for file in files:
        if _READERS[file.kind] is not _READERS[first.kind]:
            raise SourceError(
                f"{file.path}: {file.kind}, but {first.path} is {first.kind}; load one, then the other with append=True"
            )
    return _READERS[first.kind](con, files, columns=columns)

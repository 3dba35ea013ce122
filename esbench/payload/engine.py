"""Functions of ours in the engine: how Python edits texts inside a query.

A text goes in with the number of a value that stands in this process, and comes out as the new text, or as ``!`` and
the reason why there is none; JSON never begins so. Keys and code never stand in SQL.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from esbench.errors import EsbenchError

__all__ = ["FUNCTION", "Changer", "failure", "number_of", "register"]

#: The one name that stands in SQL. It is made in the database's own schema, so that it is seen beside any log.
FUNCTION = "esbench_edit"

_lock = threading.Lock()
_numbers = itertools.count(1)
_living: weakref.WeakValueDictionary[int, Changer] = weakref.WeakValueDictionary()
_known: dict[int, int] = {}


class Changer(Protocol):
    """What changes texts: many at a time, None for None, a failure as ``!`` and its reason."""

    def changed(self, texts: Sequence[str | None]) -> Sequence[str | None]:
        """The new text of each."""


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Make our function known to a database, once and for all its cursors; again is harmless, from any thread.

    It is made on a cursor of its own: in a transaction of the caller it would vanish with a rollback, and this
    connection would go on to believe that it is there.
    """
    with _lock, con.cursor() as own:
        try:
            own.create_function(
                FUNCTION,
                _edit,
                ["VARCHAR", "BIGINT"],
                "VARCHAR",
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
            )
        except duckdb.CatalogException as error:
            if "already exists" not in str(error):
                raise


def number_of(changer: Changer) -> int:
    """The number by which SQL names a value of this process, the same as long as the value lives."""
    with _lock:
        number = _known.get(id(changer))
        if number is None or _living.get(number) is not changer:
            number = next(_numbers)
            _living[number] = changer
            _known[id(changer)] = number
            end = weakref.finalize(changer, _known.pop, id(changer), None)
            end.atexit = False
        return number


def failure(reason: object) -> str:
    """How a failure comes out of the engine; a reason may quote what no database keeps."""
    return "!" + str(reason)[:1000].encode("utf-8", "replace").decode()


def _edit(texts: Any, numbers: Any) -> Any:
    """What the engine calls, with a vector of texts; the number is the same throughout."""
    number = numbers[0].as_py()
    changer = _living.get(number)
    if changer is None:
        raise EsbenchError(f"the edit {number} is gone: keep it as long as its SQL is used")
    return pa.array(changer.changed(texts.to_pylist()), pa.string())

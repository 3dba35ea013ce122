"""esbench: a workbench for event-sourced systems.

>>> import esbench as es
>>> bench = es.open()
"""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from types import ModuleType as _ModuleType

from esbench.aggregate import Aggregate
from esbench.bench import Bench
from esbench.bench import open_bench as open
from esbench.change_set import Table
from esbench.checks import Report, SnapshotTable
from esbench.errors import EsbenchError
from esbench.event import At, Event, at
from esbench.events import frame
from esbench.fold.state import State
from esbench.log import Branch, Log
from esbench.migrate import *  # noqa: F403 (the steps of a migration, which are many; migrate lists them)
from esbench.migrate import __all__ as _steps
from esbench.opening import from_state
from esbench.projection import (
    Projection,
    count,
    distinct,
    expr,
    field,
    first,
    flag,
    highest,
    latest,
    lowest,
    meta,
    total,
)

__all__ = [
    "Aggregate",
    "At",
    "Bench",
    "Branch",
    "EsbenchError",
    "Event",
    "Log",
    "Projection",
    "Report",
    "SnapshotTable",
    "State",
    "Table",
    "at",
    "count",
    "distinct",
    "expr",
    "field",
    "first",
    "flag",
    "frame",
    "from_state",
    "highest",
    "latest",
    "lowest",
    "meta",
    "open",
    "total",
    *_steps,
]

__version__ = _version("esbench")

#: Leaves are imported when they are first asked for: they load what only notebooks need.
_LEAVES = ("plots", "widgets")


def __getattr__(name: str) -> _ModuleType:
    if name in _LEAVES:
        return _import_module(f"esbench.{name}")
    raise AttributeError(f"module 'esbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LEAVES})

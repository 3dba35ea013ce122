"""esbench: a workbench for event-sourced systems.

>>> import esbench as es
>>> bench = es.open()
"""

from __future__ import annotations

from importlib.metadata import version as _version

from esbench.aggregate import Aggregate
from esbench.bench import Bench
from esbench.bench import open_bench as open
from esbench.errors import EsbenchError
from esbench.event import At, Event, at
from esbench.fold.state import State
from esbench.log import Log
from esbench.checks import Report

__all__ = ["Aggregate", "At", "Bench", "EsbenchError", "Event", "Log", "Report", "State", "at", "open"]

__version__ = _version("esbench")

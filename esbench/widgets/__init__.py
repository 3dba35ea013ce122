"""Widgets for notebooks: :func:`explore` a log, a report or a dry run. Public API and ipywidgets, no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esbench.checks import Report
from esbench.errors import EsbenchError
from esbench.log import Log
from esbench.migrate.dry import DryRun
from esbench.widgets.board import FindingsBoard
from esbench.widgets.desk import MigrationDesk
from esbench.widgets.machine import TimeMachine
from esbench.widgets.overview import LogOverview
from esbench.widgets.view import View

__all__ = ["FindingsBoard", "LogOverview", "MigrationDesk", "TimeMachine", "View", "explore"]


def explore(thing: Any, *arguments: Any, names: Mapping[str, Any] | None = None, **spec: Any) -> View:
    """A widget for a thing: of a log its overview, with an aggregate the time machine, with ``migration=`` the desk.

    Of a report the findings board, of a dry run the migration desk.

    ``spec`` is that of a widget, by which the same view comes again: ``explore(log, **view.spec)``. ``names`` says what
    things are called in the code that it shows; by default as in the notebook.
    """
    if isinstance(thing, DryRun) or (isinstance(thing, Log) and "migration" in spec):
        return MigrationDesk(thing, *arguments, names=names, **spec)
    if isinstance(thing, Log):
        view = spec.pop("view", None)
        if view == "overview" or (not arguments and spec.get("aggregate") is None):
            return LogOverview(thing, *arguments, names=names, **spec)
        return TimeMachine(thing, *arguments, names=names, **spec)
    if isinstance(thing, Report):
        return FindingsBoard(thing, *arguments, names=names, **spec)
    raise EsbenchError(
        f"explore() takes a log, the report of log.check(), or the dry run of a migration, not {type(thing).__name__}"
    )

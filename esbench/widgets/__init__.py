"""Widgets for notebooks: :func:`explore` a log, a report or a dry run. Public API and ipywidgets, no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from esbench.aggregate import Aggregate
from esbench.checks import Report
from esbench.errors import EsbenchError
from esbench.log import Log
from esbench.migrate.dry import DryRun
from esbench.show import cell
from esbench.widgets.board import FindingsBoard
from esbench.widgets.board import Place as BoardPlace
from esbench.widgets.desk import MigrationDesk
from esbench.widgets.machine import TimeMachine
from esbench.widgets.overview import LogOverview
from esbench.widgets.reading import Place as MachinePlace
from esbench.widgets.summaries import Place as OverviewPlace
from esbench.widgets.view import View, placed
from esbench.widgets.what_if import edits_of

__all__ = ["FindingsBoard", "LogOverview", "MigrationDesk", "TimeMachine", "View", "explore"]

_HOW: Final = "explore(log, aggregate, stream=…)"


def explore(thing: Any, *arguments: Any, names: Mapping[str, Any] | None = None, **spec: Any) -> View:
    """A widget for a thing: of a log its overview, with an aggregate the time machine, with ``migration=`` the desk.

    Of a report the findings board, of a dry run the migration desk.

    ``spec`` is that of a widget, by which the same view comes again: ``explore(log, **view.spec)``. ``names`` says what
    things are called in the code that it shows; by default as in the notebook. Raises EsbenchError for what the widget
    does not take, with what it does.
    """
    if isinstance(thing, DryRun) or (isinstance(thing, Log) and "migration" in spec):
        if arguments:
            raise EsbenchError(
                f"the migration desk takes options alone, not {_told(arguments)}: explore(log, migration=…)"
            )
        return MigrationDesk(thing, names=names, **spec)
    if isinstance(thing, Log):
        return _of_log(thing, arguments, names, spec)
    if isinstance(thing, Report):
        return _of_report(thing, arguments, names, spec)
    raise EsbenchError(
        f"explore() takes a log, the report of log.check(), or the dry run of a migration, not {type(thing).__name__}"
    )


def _of_log(log: Log, arguments: Sequence[Any], names: Mapping[str, Any] | None, spec: dict[str, Any]) -> View:
    view = spec.pop("view", None)
    if view not in (None, "overview"):
        raise EsbenchError(f'view= is "overview" or left out, not {view!r:.80}')
    given = list(arguments)
    if spec.get("aggregate") is not None:
        given.append(spec.pop("aggregate"))
    for each in given:
        if not isinstance(each, Aggregate):
            raise EsbenchError(f"explore(log, aggregate) takes the aggregate itself, not {_told([each])}: {_HOW}")
    if len(given) > 1:
        named = ", ".join(f'"{each.name}"' for each in given)
        raise EsbenchError(f"the time machine looks through one aggregate, not {len(given)} ({named}): {_HOW}")
    if not given or view is not None:
        spec.pop("aggregate", None)
        machine = {each.name for each in fields(MachinePlace)} - {each.name for each in fields(OverviewPlace)}
        for name in spec:
            if not given and name in machine:
                raise EsbenchError(f"{name}= is an option of the time machine, which needs an aggregate: {_HOW}")
        return LogOverview(log, names=names, **spec)
    placed(MachinePlace, spec, "the time machine")
    if "edits" in spec:
        spec["edits"] = edits_of(spec["edits"])
    return TimeMachine(log, given[0], names=names, **spec)


def _of_report(report: Report, arguments: Sequence[Any], names: Mapping[str, Any] | None, spec: dict[str, Any]) -> View:
    placed(BoardPlace, spec, "the findings board")
    given, log, more = list(arguments), spec.pop("log", None), spec.pop("aggregates", ())
    if log is None and given:
        log = given.pop(0)
    aggregates = [*given, *((more,) if isinstance(more, Aggregate) else more)]
    if log is not None and not isinstance(log, Log):
        raise EsbenchError(f"explore(report, log, aggregate) takes the log first, not {_told([log])}")
    for each in aggregates:
        if not isinstance(each, Aggregate):
            raise EsbenchError(
                f"explore(report, log, aggregate, …) takes aggregates after the log, not {_told([each])}"
            )
    return FindingsBoard(report, log, *aggregates, names=names, **spec)


def _told(things: Sequence[Any]) -> str:
    return ", ".join(
        f'the text "{cell(each)}"' if isinstance(each, str) else f"a {type(each).__name__}" for each in things
    )

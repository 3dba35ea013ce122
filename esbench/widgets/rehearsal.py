"""What the migration desk shows of a dry run: an event before and after, the states of a stream, two runs compared."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

import esbench as es
from esbench.errors import EsbenchError
from esbench.event import CANONICAL
from esbench.fold.changes import Change, changes
from esbench.log import Log
from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration

__all__ = ["TABS", "Example", "Picture", "Place", "States", "edited", "example", "flow", "states"]

#: What can be looked at, one at a time.
TABS: Final = ("gates", "events", "types", "states", "failures", "steps", "two runs")
_COLUMNS: Final = ", ".join(name for name in CANONICAL if name != "source_position")


@dataclass(frozen=True, slots=True)
class Place:
    """What the desk shows: a migration, without some of its steps, beside another; and what of it is looked at.

    ``migration`` is that of the dry run, where the desk stands over one. ``without`` are numbers of steps. ``against``
    is what the run is compared with. ``shape`` is a row of ``run.changes.groups``, ``stream`` one whose states are
    compared, ``accept`` names gates that may fail.
    """

    migration: Migration | None = None
    without: tuple[int, ...] = ()
    sample: int | None = None
    checks: bool = True
    against: DryRun | Migration | None = None
    against_without: tuple[int, ...] = ()
    show: str = TABS[0]
    shape: int = 0
    stream: str | None = None
    accept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One event of the source, and what stands in its place."""

    before: pd.DataFrame
    after: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """The state of one stream before and after, by the aggregates of one gate; or why it is not to be had."""

    gate: str
    old: Any = None
    new: Any = None
    changed: tuple[Change, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Everything that is on screen; without a run it is not made yet."""

    place: Place
    run: DryRun | None = None
    other: DryRun | None = None
    example: Example | None = None
    states: tuple[States, ...] = ()
    flow: bytes = b""


def edited(migration: Migration, without: tuple[int, ...]) -> Migration:
    """A migration without some of its steps, by their numbers.

    >>> edited(es.Migration("m", [es.drop_events("A"), es.drop_events("B")]), (1,)).steps
    (drop B,)
    """
    if not without:
        return migration
    return dataclasses.replace(
        migration, steps=tuple(step for number, step in enumerate(migration.steps, 1) if number not in without)
    )


def example(run: DryRun, position: int) -> Example | None:
    """An event of the source before and after; of a private migration nothing is shown but what the run tells."""
    if run.migration.private:
        return None
    before = run.result.source.df(f"select {_COLUMNS} from events where position = $p", p=position)
    after = run.result.work.events.df(
        f"""
        select {_COLUMNS} from events
        where source = 0 and (origin = $p or list_contains(others, $p)) order by nth limit 10
        """,
        p=position,
    )
    return Example(before, after)


def states(run: DryRun, stream: str) -> tuple[States, ...]:
    """How the state of a stream differs, for each gate that compares states."""
    before, after = Log(run.name, run.result.source), Log(run.migration.name, run.events)
    found = []
    for gate in run.migration.gates:
        if not (hasattr(gate, "old") and hasattr(gate, "new")):
            continue
        try:
            old, new = before.state(gate.old, stream), after.state(gate.new, stream)
        except EsbenchError as error:
            found.append(States(gate.name, why=str(error)))
        else:
            found.append(States(gate.name, old, new, tuple(changes(old.value, new.value))))
    return tuple(found)


def flow(run: DryRun) -> bytes:
    """The picture of which types become which, as PNG."""
    out = io.BytesIO()
    es.plots.migration_flow(run).get_figure(root=True).savefig(out, format="png", dpi=130)
    return out.getvalue()

"""What the migration desk shows of a dry run: an event before and after, the states of a stream, two runs compared."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

import esbench as es
from esbench import show
from esbench.errors import EsbenchError, nearest
from esbench.event import CANONICAL
from esbench.fold.changes import Change, changes
from esbench.log import Log
from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration
from esbench.widgets.view import placed

__all__ = ["TABS", "Example", "Picture", "Place", "States", "asked", "edited", "example", "flow", "states", "unknown"]

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


def asked(spec: Mapping[str, Any], given: DryRun | None) -> Place:
    """A place of a spec. Raises EsbenchError for what cannot be looked at."""
    if isinstance(spec.get("accept"), str):
        spec = {**spec, "accept": [spec["accept"]]}
    place = placed(Place, spec, "the migration desk")
    if place.show not in TABS:
        raise EsbenchError(f"show= is one of {', '.join(TABS)}, not {place.show!r}.{nearest(str(place.show), TABS)}")
    migration = given.migration if given is not None and place.migration is None else place.migration
    if not isinstance(migration, Migration):
        raise EsbenchError(f"the desk takes a dry run, or a log with migration=, not {migration!r:.80}")
    if not isinstance(place.against, (DryRun, Migration, type(None))):
        raise EsbenchError(f"against= is a dry run or a migration, not {place.against!r:.80}")
    if not isinstance(place.shape, int) or place.shape < 0:
        raise EsbenchError(f"shape= is a row of run.changes.groups, counted from 0, not {place.shape!r:.80}")
    if place.stream is not None and not isinstance(place.stream, str):
        raise EsbenchError(f"stream= is the id of a stream, not {place.stream!r:.80}")
    _steps("without", place.without, migration)
    against = place.against if isinstance(place.against, Migration) else None
    _steps("against_without", place.against_without, against)
    if not isinstance(place.accept, tuple) or not all(isinstance(name, str) for name in place.accept):
        raise EsbenchError(f"accept= is a list of names of gates, not {place.accept!r:.80}")
    return place


def _steps(name: str, numbers: Any, migration: Migration | None) -> None:
    """Refuse numbers of steps that a migration has not."""
    count = 0 if migration is None else len(migration.steps)
    wrong = numbers if not isinstance(numbers, tuple) else [n for n in numbers if n not in range(1, count + 1)]
    if wrong or not isinstance(numbers, tuple):
        steps = (
            f'"{migration.name}" has {show.count(count, "step")}' if migration is not None else "there is no migration"
        )
        raise EsbenchError(f"{name}= is a list of numbers of steps, counted from 1; {steps}, not {wrong!r:.80}")


def unknown(place: Place, run: DryRun) -> str:
    """What a place names that a run has not."""
    known, shapes = [gate.name for gate in run.gates], len(run.changes.groups)
    for name in place.accept:
        if name not in known:
            return f'accept= names gates; there is no gate "{name}".{nearest(name, known)}'
    if place.shape and place.shape >= shapes:
        return f"shape= is a row of run.changes.groups, which has {show.count(shapes, 'row')}, not {place.shape}"
    return ""

"""Steps over the events of a log: what a migration makes of them, as one relation with lineage."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace

from esbench.errors import QueryError
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.fold.progress import stage
from esbench.migrate.migration import Migration
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.work import Scratch, Work, columns, started

__all__ = ["Result", "kept", "run"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a migration makes: ``work`` with positions given anew where rows were added, and ``dropped``.

    ``dropped`` is a query for ``(source, origin, step)`` of the source events that no row comes from. ``private`` are
    the numbers of private steps, each with the work before it, where the values still stand that it replaces.
    """

    source: Events
    migration: Migration
    work: Work
    dropped: str
    private: tuple[tuple[int, Work], ...] = ()

    @property
    def events(self) -> Events:
        """The migrated events, as any verb takes them."""
        made = self.work.events
        return replace(made, query=f"select stream_key, {', '.join(CANONICAL)} from ({made.query})")


def run(source: Events, migration: Migration, *, executor: Executor | None = None) -> Result:
    """The events of a log after a migration. Nothing is written but scratch tables beside the bench.

    Raises MigrationError, which names the step, where a condition in SQL does not stand over the events.
    """
    scratch = Scratch(source.con)
    scratch.held.append(migration)
    work = replace(started(source, scratch), executor=executor)
    private = []
    for number, step in enumerate(migration.steps):
        stage(f"step {number + 1} of {len(migration.steps)}, {step.sentence}")
        if step.private:
            private.append((number, work))
        work = _stepped(work, number, step)
    work = _placed(work)
    return Result(source, migration, work, _dropped(work), tuple(private))


def kept(result: Result) -> Result:
    """The same with its rows in a scratch table, so that functions of the user run once however often it is read."""
    made = result.work
    table = made.scratch.keep("made", made.events, f"select {columns()} from events")
    work = replace(made, events=replace(made.events, query=f"select * from {table}", parameters={}))
    return replace(result, work=work, dropped=_dropped(work))


def _stepped(work: Work, number: int, step: Step) -> Work:
    try:
        after = step.over(work, number)
        # A condition that does not stand is found here, where it is known whose it is.
        after.events.rows("select 1 from events limit 0")
    except QueryError as error:
        raise MigrationError(f"step {number + 1}, {step.sentence}: {error}") from error
    return after


def _placed(work: Work) -> Work:
    """Positions given anew, in order, where rows were added; otherwise everything keeps its own."""
    if not work.added:
        return work
    # Only numbers are sorted here; what is sorted into folding order afterwards moves once.
    places = work.scratch.keep(
        "places",
        work.events,
        """
        select source, position, nth, row_number() over (order by source, position, nth) as place from events
        """,
    )
    return work.over(
        f"""
        select {columns("position", prefix="held.")}, place as position
        from ({work.events.query}) as held
        join {places} as places
            on held.source = places.source and held.position = places.position and held.nth = places.nth
        """,
        ordered=False,
    )


def _dropped(work: Work) -> str:
    """SQL for the source events that are gone; one that lives on in another row is not."""
    # Only where rows were added there may be another row.
    living = f"""
        and (source, origin) not in (
            select (source, unnest(list_concat([origin], others))) from ({work.events.query}) where origin is not null
        )
    """
    return f"""
        select source, origin, min(step) as step from {work.scratch.table("gone")}
        where not merged {living if work.added else ""}
        group by all
    """

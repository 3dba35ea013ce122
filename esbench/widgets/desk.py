"""The migration desk: a dry run, its gates as lights, what it would change, gates accepted or refused, and apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import esbench as es
from esbench import show
from esbench.errors import EsbenchError
from esbench.fold.progress import listening
from esbench.log import Log
from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration
from esbench.widgets import marks, rehearsal_code, verdict
from esbench.widgets.calls import Call
from esbench.widgets.code import Names, call
from esbench.widgets.overview import LogOverview
from esbench.widgets.panel import GATES, Panel
from esbench.widgets.rehearsal import Picture, Place, asked, edited, example, flow, states, unknown
from esbench.widgets.view import View

__all__ = ["MigrationDesk"]

#: Runs that are kept, so that going back to one does not run it again.
_KEPT: Final = 4
_STOPPED: Final = "Stopped. Nothing was made, and nothing is left of it."

_Key = tuple[int, tuple[int, ...], int | None, bool]


class MigrationDesk(View):
    """A dry run over a log, or one that is there already; what it does, gate by gate; apply makes the new log.

    ``run`` is the dry run, ``other`` the one that it is compared with, ``made`` the log that was applied.
    ``compare(edited)`` runs an edited migration over the same log, with this run beside it.

    >>> import esbench as es
    >>> log = es.open().load("data/inventory.jsonl")
    >>> desk = MigrationDesk(log, migration=es.Migration("v2", [es.rename_type("ItemsOrdered", "ItemsReserved")]))
    >>> desk.wait(), desk.run.passed
    (True, True)
    """

    title = "Migration desk"
    #: A dry run may be long; what is displayed meanwhile is the desk with its stop button.
    patience = 1.0

    def __init__(self, thing: Log | DryRun, *, names: Mapping[str, Any] | None = None, **spec: Any) -> None:
        super().__init__(thing, names=names)
        self.source = Log(thing.name, thing.source) if isinstance(thing, DryRun) else thing
        self.made: Log | None = None
        self._given = thing if isinstance(thing, DryRun) else None
        self._runs: dict[_Key, tuple[Migration, DryRun]] = {}
        self._flow: tuple[str, bytes] = ("", b"")
        self._lit: DryRun | None = None
        self._doing, self._stopped = "", False
        self._wanted: Place | None = None
        self.panel = panel = Panel()
        self.hear(panel.tabs, lambda tab: self.move(show=tab))
        self.hear(panel.shape, lambda shape: None if shape is None else self.move(shape=shape))
        self.hear(panel.stream, lambda stream: self.move(stream=stream.strip() or None))
        self.hear(panel.streams, lambda stream: None if stream is None else self.move(stream=stream))
        self.click(panel.again, self.rerun)
        self.click(panel.apply, self.apply)
        self.click(panel.onward, self._look)
        self.body.children = panel.every
        self._wanted = asked(spec, self._given)
        self._moved(self._wanted)

    @property
    def migration(self) -> Migration:
        """The migration that is on screen, with all its steps."""
        found: Migration = self.place.migration or self.thing.migration
        return found

    @property
    def run(self) -> DryRun | None:
        """The dry run that is on screen; None while it is not made."""
        return self._run_of(self.place.migration, self.place.without)

    @property
    def other(self) -> DryRun | None:
        """The dry run that it is compared with."""
        against = self.place.against
        return (
            against if isinstance(against, DryRun) else self._run_of(against, self.place.against_without, given=False)
        )

    def compare(self, migration: Migration) -> None:
        """Dry-run an edited migration over the same log, and compare it with the one on screen."""
        self._beside(migration=migration, without=())

    def rerun(self) -> None:
        """Run it over the log as it is now; where other steps are ticked, with the run on screen beside it."""
        without = tuple(number for number, box in enumerate(self.panel.steps, 1) if not box.value)
        if without != self.place.without and self.run is not None:
            self._beside(without=without)
            return
        place = replace(self.place, migration=self.migration, without=without)
        self._runs.pop(_key(place, self.migration, without), None)
        self._moved(place)

    def apply(self) -> None:
        """Make the new log under the name in the box; where that is refused, it says why."""
        panel, run = self.panel, self.run
        name, path = panel.name.value.strip(), panel.path.value.strip()
        if run is None or not name:
            why = "Give the new log a name." if run is not None else "There is no dry run to apply: run it first."
            panel.answer.value = verdict.lines(why, alert=True)
            return
        accept, file = self._accepted(run), self._file()

        def job(call: Call) -> Log | EsbenchError:
            call.tell(None, show.cell(name, width=60))
            try:
                bench = es.Bench(call.follow(self.source).source.con, file)
                made = bench.apply(run, name, accept=accept, to=path or None)
            except EsbenchError as error:
                return error
            return made if path else es.Bench(self.source.source.con, file)[name]

        def then(made: Log | EsbenchError) -> None:
            self._doing = ""
            if isinstance(made, EsbenchError):
                more = "\nHere: press Accept beside each gate that may fail." if self._refused(run) else ""
                panel.answer.value = verdict.lines(f"Refused: {made}{more}", alert=True)
                return
            self.made = made
            panel.answer.value = verdict.lines(f"Made the log {made.name}: {show.count(len(made), 'event')}.")
            panel.onward.description = f"Look at {show.cell(made.name, width=40)}"
            panel.onward.layout.display = ""

        panel.answer.value, self._doing = "", "apply"
        self.start("making the log", job, then, failed=self._has_failed, again=False)

    def stop(self) -> None:
        """Stop the dry run, or the apply: then nothing of it is left."""
        running = "" if self._tasks.idle else self._doing
        super().stop()
        if running:
            # Said once it has ended, which a function of the user's may delay.
            self.aside("stopping", lambda _: self._tasks.wait(600), lambda _: self._has_stopped(running))

    def close(self) -> None:
        """Stop what runs, and let go of the runs with their tables."""
        self.stop()
        self._runs.clear()
        self.picture = self._lit = None
        super().close()

    def compute(self, call: Call, place: Place) -> Picture:
        """In a thread: what is looked at of a run that is there."""
        run = self._run_of(place.migration, place.without)
        if run is None:
            return Picture(place)
        picture = Picture(place, run, self.other)
        if place.show == "events" and len(run.changes.groups):
            shape = min(place.shape, len(run.changes.groups) - 1)
            return replace(picture, example=example(run, int(run.changes.groups["position"].iloc[shape])))
        if place.show == "states" and place.stream:
            return replace(picture, states=states(run, place.stream))
        if place.show == "types":
            if self._flow[0] != run.number:
                self._flow = run.number, flow(run)
            return replace(picture, flow=self._flow[1])
        return picture

    def paint(self, picture: Picture) -> None:
        """Put it on the screen."""
        run, panel = picture.run, self.panel
        panel.tabs.value = self.place.show
        panel.tick(self.migration, picture.place.without)
        if run is None:
            panel.hide(steps=self._stopped)
            if not self._stopped:
                names = f"{show.cell(self.migration.name, width=80)} over {show.cell(self.source.name, width=80)}"
                panel.heading.value = marks.note(f"Dry run of {names}: it makes nothing.")
            return
        if run is not self._lit:
            self._lit = run
            panel.light(run)
            for name, decider in panel.deciders.items():
                self.hear(decider, partial(self._decided, name))
        panel.fill(picture, run, self._accepted(run), self._below(picture, run))
        # Only now is it known what there is to accept, and to look at.
        wanted, self._wanted = self._wanted, None
        if wanted is not None and (wrong := unknown(wanted, run)):
            self.fault(wrong)

    def code(self, names: Names) -> list[str]:
        """The calls that give the run and what is looked at of it; apply as a comment, since it makes something."""
        place, lines, run = self.place, list[str](), self.run
        if self._given is None:
            log = names.of(self.source, "log")
        else:
            given = names.of(self._given, "given")
            log = f"{names.es}.Log({given}.name, {given}.source)"
        if run is not None and run is self._given:
            called = names.of(run, "given")
        else:
            plan = self._plan(names, self.migration)
            called = names.new("run" if self._given is None else "again")
            lines += rehearsal_code.made(names, log, called, plan, place.without, place)
        last = rehearsal_code.looked(names, called, place, run)
        if place.show == "two runs" and self.other is not None:
            if isinstance(place.against, Migration):
                plan = self._plan(names, place.against)
                other = names.new("other")
                lines += rehearsal_code.made(names, log, other, plan, place.against_without, place)
            else:
                other = names.of(place.against, "other")
            last = [f"{called}.types.merge({other}.types, on='event_type', how='outer', suffixes=('', ' of other'))"]
        if run is not None:
            options = {"accept": self._accepted(run) or None, "to": self.panel.path.value or None}
            bench = names.bench(self.source.source.con)
            lines.append(f"# {call(f'{bench}.apply', called, repr(self.panel.name.value), **options)}")
        return [*lines, *last]

    def still(self) -> str:
        """What is on screen, without controls."""
        picture, run = self.picture, self.picture.run
        if run is None:
            return str(self.panel.heading.value)
        accepted = self._accepted(run)
        gates = "".join(
            verdict.gate(gate, accepted=gate.name in accepted) + verdict.details(gate) for gate in run.gates[:GATES]
        )
        return f"{verdict.heading(run)}{gates}{self._below(picture, run)}{self.panel.answer.value}"

    def _below(self, picture: Picture, run: DryRun) -> str:
        """What is said below the controls of what is looked at."""
        place = picture.place
        if place.show == "events":
            return verdict.events(run, place.shape, picture.example)
        if place.show == "states":
            return verdict.state(picture)
        if place.show == "two runs":
            return verdict.compared(picture)
        told = {"types": verdict.types, "failures": verdict.failures, "steps": verdict.steps}.get(place.show)
        return "" if told is None else told(run)

    def _plan(self, names: Names, migration: Migration) -> str:
        """What a migration is called; that of the given run can be had from it."""
        if self._given is not None and migration is self._given.migration:
            return f"{names.of(self._given, 'given')}.migration"
        return names.of(migration, "plan")

    def _run_of(self, migration: Migration | None, without: tuple[int, ...], *, given: bool = True) -> DryRun | None:
        if given and self._given is not None and migration is None and not without:
            return self._given
        wanted = migration or (self.migration if given else None)
        return None if wanted is None else self._runs.get(_key(self.place, wanted, without), (None, None))[1]

    def _beside(self, **changes: Any) -> None:
        """Other steps or another migration, with what is on screen beside it."""
        here = self.place
        against: Any = self.run if self.run is self._given is not None else self.migration
        place = replace(here, migration=self.migration, against=against, against_without=here.without, show="two runs")
        self._moved(replace(place, **changes))

    def _moved(self, place: Place) -> None:
        """Go there, and run what has not been run."""
        self._stopped = False
        self.go(place)
        wanted = [] if self.run is not None else [(self.migration, place.without)]
        if isinstance(place.against, Migration) and self.other is None:
            wanted.append((place.against, place.against_without))
        if not wanted:
            return

        def job(call: Call) -> list[tuple[Migration, DryRun]]:
            log, said = call.follow(self.source), ""

            def hear(share: float | None, words: str) -> None:
                nonlocal said
                said = words or said
                call.tell(share, show.cell(said, width=90))

            with listening(hear):
                return [
                    (migration, log.dry_run(edited(migration, without), sample=place.sample, checks=place.checks))
                    for migration, without in wanted
                ]

        def then(runs: list[tuple[Migration, DryRun]]) -> None:
            self._doing = ""
            self._runs |= {_key(place, *key): made for key, made in zip(wanted, runs, strict=True)}
            while len(self._runs) > _KEPT:
                del self._runs[next(iter(self._runs))]
            self.go(self.place)

        self._doing = "dry run"
        label = f"dry run of {show.cell(self.migration.name, width=60)}"
        self.start(label, job, then, failed=self._has_failed, again=False)

    def _has_failed(self, error: BaseException) -> None:
        """Say so; what runs can be run again, with other steps."""
        self._views.wait()  # which would paint over it
        if self._doing == "dry run":
            self._stopped = True
            self.panel.heading.value = verdict.lines("The dry run failed. Nothing was made, and nothing is left of it.")
            if self.run is None:
                self._paint_with(lambda: self.panel.hide(steps=True))
        self._doing = ""
        self.fault(error)

    def _has_stopped(self, what: str) -> None:
        if self._doing != what:  # it came to its end before it could be stopped
            return
        self._doing = ""
        if what == "dry run":
            self._stopped = True
            more = "Run it again, with fewer steps, or over a sample of streams: explore(log, migration=…, sample=100)."
            self.panel.heading.value = verdict.lines(f"{_STOPPED}\n{more}")
            self.go(self.place)
        else:
            self.panel.answer.value = verdict.lines(_STOPPED)

    def _decided(self, gate: str, accept: bool) -> None:
        others = tuple(name for name in self.place.accept if name != gate)
        self.move(accept=(*others, gate) if accept else others)

    def _accepted(self, run: DryRun) -> list[str]:
        return [name for name in run.failed if name in self.place.accept]

    def _refused(self, run: DryRun) -> bool:
        return len(self._accepted(run)) < len(run.failed)

    def _look(self) -> None:
        if self.made is not None:
            self.panel.beyond.children = [LogOverview(self.made, names=self._namespace)]

    def _file(self) -> str | None:
        text = "select path from duckdb_databases() where database_name = current_database()"
        ((path,),) = self.source.source.rows(text)
        return None if path is None else str(path)


def _key(place: Place, migration: Migration, without: tuple[int, ...]) -> _Key:
    """By which a run is kept, beside its migration, so that no other can have its id."""
    return id(migration), without, place.sample, place.checks

"""The search for the first bad version: which event made a state bad, in one stream or in all.

Every version is judged, none is skipped by halving, so that the answer is exact for predicates that flip back and
forth, as most do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import pandas as pd

from esbench.aggregate import Aggregate, Predicate, refuse_other, unfit
from esbench.errors import AggregateError, described, nearest
from esbench.event import At, Event
from esbench.events import Events
from esbench.fold import keyed, sql
from esbench.fold.absent import refuse_absent
from esbench.fold.changes import brief
from esbench.fold.commits import within_commits
from esbench.fold.copies import lent
from esbench.fold.frames import moments
from esbench.fold.keyed import StreamOrKey
from esbench.fold.parallel import doubtful
from esbench.fold.python import Fault, Step, first_of_forks, holds, steps
from esbench.fold.reading import narrowed
from esbench.fold.state import SHOWN, Mark, trust_text
from esbench.projection import Projection
from esbench.travel import surveyed

__all__ = ["first_bad"]

_END = At()
_COLUMNS = ("event_id", "recorded_at")


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of states: ``good`` of a state at once, ``bad`` of a step, and whether of whole commits only."""

    aggregate: Aggregate
    good: Predicate
    bad: Callable[[Step], bool]
    whole_commits: bool = False


@dataclass(slots=True)
class _Found:
    """What the search knows of one stream so far."""

    first: Step | None = None
    recovered: Event | None = None
    bad: bool = False
    runs: int = 0
    faults: list[Mark] = field(default_factory=list)
    missed: dict[str, Fault] = field(default_factory=dict)

    def judge(self, step: Step, *, bad: bool) -> None:
        if bad and not self.bad:
            self.runs += 1
            self.first = self.first or step
        elif self.first is not None and not bad and self.recovered is None:
            self.recovered = step.event
        self.bad = bad

    def fail(self, step: Step) -> None:
        """Keep the marks of handlers that failed up to the first bad version, as many as a trust text shows.

        Of all that failed, what they missed is kept, once an event type and path.
        """
        event, error = step.event, str(step.error)
        if error.endswith(" is missing"):
            self.missed.setdefault(
                f"{event.event_type} {error}", Fault(event.version, event.position, event.event_type, error)
            )
        past = self.first is not None and step.event.version > self.first.event.version
        if not past and len(self.faults) <= SHOWN:
            self.faults.append(Mark(step.event.version, "handler-error"))


def first_bad(
    events: Events,
    aggregate: Aggregate,
    predicate: Predicate | str,
    stream: StreamOrKey | None = None,
    at: At = _END,
    *,
    forks: str = "all",
    executor: Executor | None = None,
) -> pd.DataFrame:
    """The first version at which a predicate is true of the state, which is bad; one row a stream that ever was bad.

    ``predicate`` is a function of the state, or the text of a declared invariant: bad is where that does not hold,
    judged as the checks judge it (one that raises does not hold; where metadata names a commit, the commit's last
    event counts), or for a projection an SQL expression over its columns (one that fails is bad, NULL is not). The
    state is judged after every event; the initial state does not count. Without ``stream``, all streams that the
    aggregate covers are searched, by the workers of ``executor`` if it is given.

    Columns: ``stream_id``; ``version``, ``position``, ``event_id``, ``event_type``, ``recorded_at`` of the event that
    made it bad; ``before`` and ``after``, the states; ``recovered_version`` and ``recovered_at``, where it first was
    good again, if ever; ``bad_at_end``; ``times`` it became bad; ``trust`` of the state at that version. Raises
    AggregateError where a predicate raises, naming the event, for an invariant that is not declared, and where a
    projection reads a path that no event has.
    """
    refuse_other(aggregate)
    question = _asked(aggregate, predicate)
    aggregate = question.aggregate
    chosen = keyed.chosen(events, aggregate, stream, at=[at], forks=forks)
    everything = chosen if stream is None else events
    taken = first_of_forks(chosen.at(at)) if forks == "first" else chosen.at(at)
    within = within_commits(taken) if question.whole_commits else frozenset()
    if stream is None:
        # Most streams never are bad, which a fold without copies tells.
        if isinstance(aggregate, Projection) and isinstance(predicate, str):
            doubted = sql.doubtful(taken, aggregate, unjudged=within)
        else:
            doubted = doubtful(taken, aggregate, [question.good], unjudged=within, executor=executor)
        chosen = narrowed(chosen, "stream_key", doubted)
    survey, taken = surveyed(chosen, aggregate, at, forks, every_mark=True)
    every = groupby(steps(taken, aggregate, columns=_COLUMNS), key=attrgetter("key")) if survey.keys else ()
    found: list[tuple[Step, _Found, str]] = []
    missed: dict[str, Fault] = {}
    for key, stream_steps in every:
        one = _searched(stream_steps, question, within)
        missed |= one.missed
        if one.first is not None:
            marks = sorted([*survey.marks(key), *one.faults])
            so_far = [mark for mark in marks if mark.version <= one.first.event.version]
            found.append((one.first, one, trust_text(so_far, 1)))
    if isinstance(aggregate, Projection):
        refuse_absent(everything, aggregate, {0: missed.values()})
    firsts = [first.event for first, _, _ in found]
    again = [one.recovered for _, one, _ in found]
    return pd.DataFrame(
        {
            "stream_id": pd.Series([event.stream_id for event in firsts], dtype="str"),
            "version": pd.Series([event.version for event in firsts], dtype="int64"),
            "position": pd.Series([event.position for event in firsts], dtype="int64"),
            "event_id": pd.Series([event.event_id for event in firsts], dtype="str"),
            "event_type": pd.Series([event.event_type for event in firsts], dtype="str"),
            "recorded_at": moments(event.recorded_at for event in firsts),
            "before": pd.Series([first.before for first, _, _ in found], dtype="object"),
            "after": pd.Series([first.value for first, _, _ in found], dtype="object"),
            "recovered_version": pd.Series(
                [None if event is None else event.version for event in again], dtype="Int64"
            ),
            "recovered_at": moments(None if event is None else event.recorded_at for event in again),
            "bad_at_end": pd.Series([one.bad for _, one, _ in found], dtype="bool"),
            "times": pd.Series([one.runs for _, one, _ in found], dtype="int64"),
            "trust": pd.Series([trust for _, _, trust in found], dtype="str"),
        }
    )


def _searched(stream: Iterable[Step], question: _Question, within: frozenset[int]) -> _Found:
    found = _Found()
    for step in stream:
        if step.event.position not in within:
            found.judge(step, bad=question.bad(step))
        if step.error is not None:
            found.fail(step)
    return found


def _asked(aggregate: Aggregate, predicate: Predicate | str) -> _Question:
    """The question that a predicate, or the name of an invariant, asks of states."""
    if isinstance(predicate, str):
        commits = predicate in aggregate.invariants
        if isinstance(aggregate, Projection) and not commits:
            aggregate = _declared(aggregate, predicate)
        invariant = aggregate.invariants.get(predicate)
        if invariant is None:
            known = nearest(predicate, aggregate.invariants) or f" It has {', '.join(map(repr, aggregate.invariants))}."
            raise AggregateError(
                f'aggregate "{aggregate.name}" declares no invariant "{predicate}"'
                f"{f'.{known}' if aggregate.invariants else ', nor any other: a function of the state is taken too'}"
            )
        return _Question(aggregate, invariant, lambda step: not holds(invariant, step.value)[0], commits)
    if problem := unfit(predicate, "predicate", "(state)", 1):
        raise AggregateError(f"first_bad: {problem}")

    def bad(step: Step) -> bool:
        try:
            return bool(predicate(lent(step.value)))
        except Exception as error:
            event = step.event
            raise AggregateError(
                f"first_bad: the predicate raised {described(error)} at version {event.version} of "
                f"{brief(event.stream_id)} ({brief(event.event_type)} at position {event.position}): it must tell of "
                "every state whether it is bad"
            ) from error

    return _Question(aggregate, lambda state: not predicate(state), bad)


def _declared(projection: Projection, expression: str) -> Projection:
    """The projection with an expression as its only invariant: that the expression is not true."""
    negated = f"not ({expression}\n)"
    try:
        made = _judged_by(projection, expression, negated)
        # By itself too, since a text such as "a) or (b" parses in brackets only, and then says something else.
        _judged_by(projection, expression, expression)
    except AggregateError as error:
        said = str(error).replace(negated, expression)
        raise AggregateError(f"{said}{nearest(expression, projection.invariants)}") from None
    return made


def _judged_by(projection: Projection, name: str, condition: str) -> Projection:
    """The projection with one invariant instead of its own."""
    return Projection(
        projection.name,
        projection.columns,
        key=projection.declared_key,
        stream_type=projection.stream_type,
        streams=projection.streams,
        unknown=projection.unknown,
        invariants={name: condition},
    )

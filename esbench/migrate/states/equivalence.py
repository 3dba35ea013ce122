"""State equivalence: the old aggregate on the old log and the new one on the new log agree at every cut.

Which streams are compared, and where, stands in :mod:`esbench.migrate.states.cuts`. A connected pair with one stream
on each side is compared by itself. Where one stream was split into several, or several were merged into one, the user's
``combine(states)`` says how the states of the several add up: it is given a dict from stream id to a copy of the state,
with the streams of which something was consumed by then. Without it, and where streams were both split and merged, they
are not comparable, and are named. A source stream that was dropped wholly, by declared drops, and a new stream without
any source event have no counterpart: they are counted and named. The streams are those that the old aggregate covers
in the old log, or the new one in the new log, with all that is connected to them.

Old events are folded by the old aggregate, new ones by the new aggregate. A handler that fails leaves the state as it
was, on either side; what counts is whether the states agree, and streams folded past a failing handler are told.
States are told apart exactly: 1, 1.0 and True differ. A difference is *expected* or not by what the gate declares; a
function that raises there, or ``combine=``, makes an unexpected one that says what was raised.

It *passed* when at least one cut was compared, no difference is unexpected, and no stream could not be compared; it
*failed* when a difference is unexpected; otherwise it is *not applicable*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from esbench.aggregate import Aggregate, covered, refuse_other
from esbench.errors import AggregateError, EsbenchError, described
from esbench.events import Events
from esbench.fold.copies import lent
from esbench.fold.reading import Missing, Unordered
from esbench.migrate.gates import Outcome, Seen
from esbench.migrate.states.agreement import Equivalence, Names, nothing, summed
from esbench.migrate.states.cuts import Forks, Lines, Rows, SeveralSources, lines
from esbench.migrate.states.expected import Expect, Expectations, told
from esbench.migrate.states.joined import Joined
from esbench.migrate.states.sides import Failing, Fold, Side
from esbench.migrate.states.tally import Place, Tally

__all__ = ["Combine", "SameState", "equivalence", "same_state"]

Combine = Callable[[dict[str, Any]], Any]

#: Streams that stand one to one, by their place in ``Lines.pairs``, or that were split or merged.
_Group = int | Joined


@dataclass(frozen=True, slots=True, repr=False)
class SameState:
    """The gate of state equivalence; :func:`same_state` makes one."""

    old: Aggregate
    new: Aggregate
    expect: Expect = None
    combine: Combine | None = None
    forks: Forks = "all"

    @property
    def name(self) -> str:
        """What it is accepted by."""
        return f"same state: {self.old.name} as {self.new.name}"

    def judge(self, seen: Seen) -> Outcome:
        """Compare the states of a dry run; the details are the unexpected differences."""
        result = seen.result
        found = equivalence(result.source, result.work.events, self, dropped=result.dropped)
        unexpected = found.differences[~found.differences["expected"]]
        text = "; ".join([found.reason, *found.lines()])
        return Outcome(self.name, found.status, text, unexpected if found.failing else None)

    def __repr__(self) -> str:
        allowed = told(self.expect)
        added = "" if self.combine is None else "; where streams were split or merged, states add up by combine="
        return (
            f'the state of "{self.old.name}" in the old log is that of "{self.new.name}" in the new one at every cut'
            f"{f', but for {allowed}' if allowed else ''}{added}"
        )


def same_state(
    old: Aggregate,
    new: Aggregate,
    *,
    expect: Expect = None,
    combine: Combine | None = None,
    forks: Forks = "all",
) -> SameState:
    """A gate: the state of every stream is the same before and after a migration, at every version that allows it.

    ``old`` folds the log as it is, ``new`` what the migration makes of it. ``expect`` declares differences: a dict from
    paths (JSON Pointers, where a step ``*`` is any one step) to ``es.added(…)``, ``es.removed(…)``, ``es.changed(…)``,
    ``es.within(…)`` or a function ``(old, new) -> bool`` of the two values; or one such function of two whole states,
    asked where they differ. Functions get ABSENT for what is not there. ``combine`` makes one state of a dict of states
    by stream id, where streams were split or merged. ``forks``: every event of a version counts, or only the first.

    >>> from esbench.migrate.states.expected import added
    >>> item, new = Aggregate("Item", initial={"n": 0}), Aggregate("ItemV2", initial={"n": 0, "currency": "EUR"})
    >>> same_state(item, new, expect={"/currency": added("EUR")})
    the state of "Item" in the old log is that of "ItemV2" in the new one at every cut, but for /currency: added('EUR')
    """
    for aggregate in (old, new):
        refuse_other(aggregate)
    if combine is not None and not callable(combine):
        raise EsbenchError(f"combine= is a function from a dict of states by stream id to one state, not {combine!r}")
    if forks not in ("all", "first"):
        raise EsbenchError(f'forks= is "all" or "first", not {forks!r}')
    Expectations(expect)
    return SameState(old, new, dict(expect) if isinstance(expect, Mapping) else expect, combine, forks)


def equivalence(
    old_events: Events,
    new_work: Events,
    gate: SameState,
    *,
    dropped: Events | str | None = None,
    limit: int = 1_000,
) -> Equivalence:
    """Compare the states of a log and of what a migration makes of it at every cut.

    ``new_work`` has the columns of work besides the canonical ones; one folded as it is has ``origin = position``.
    ``dropped``: the source events that were dropped on purpose, as Events, or as SQL over the columns of ``new_work``
    that gives ``origin``, and ``source`` where it is not 0 throughout. ``limit``: so many differences are listed.
    """
    if gate.old.keyed or gate.new.keyed:
        which = gate.old if gate.old.keyed else gate.new
        return nothing(gate.name, f'"{which.name}" is a read model, which has no streams to compare')
    old, new = (getattr(one, "aggregate", one) for one in (gate.old, gate.new))  # of a projection, its Python form
    old.freeze()
    new.freeze()
    covers, notes = zip(*(_covered(*one) for one in ((old_events, gate.old), (new_work, gate.new))), strict=True)
    try:
        laid = lines(
            old_events,
            new_work,
            _positions(new_work, dropped),
            types=(old.handlers, new.handlers),
            covered=(covers[0], covers[1]),
            combined=gate.combine is not None,
            forks=gate.forks,
        )
    except SeveralSources:
        return nothing(gate.name, "events come from several logs, whose states cannot be compared yet")
    names = Names((old_events, new_work), (laid.old, laid.new))
    comparison = _Comparison(laid, (old_events, new_work), (old, new), gate, names, limit)
    tally, failing = comparison.run(comparison.groups(), careful=False)
    if failing:
        tally.absorb(comparison.run(failing, careful=True)[0])
    return summed(gate.name, tally, laid, names, notes=tuple(filter(None, notes)))


def _covered(events: Events, aggregate: Aggregate) -> tuple[Collection[int] | None, str]:
    """The keys of the streams that an aggregate covers, None for all; and why there are none."""
    try:
        inside = covered(events, aggregate)
    except AggregateError as error:
        return [], str(error)
    if inside is events:
        return None, ""
    return inside.arrow("select distinct stream_key from events")["stream_key"].to_numpy(), ""


def _positions(new_work: Events, dropped: Events | str | None) -> Any:
    if dropped is None:
        return np.empty(0, np.int64)
    if isinstance(dropped, Events):
        return dropped.arrow("select position from events")["position"].to_numpy()
    names = new_work.arrow(f"select * from ({dropped}) limit 0").column_names
    mine = "source = 0" if "source" in names else "true"
    return new_work.arrow(f"select origin from ({dropped}) where {mine} and origin is not null")["origin"].to_numpy()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What is compared, and how."""

    laid: Lines
    events: tuple[Events, Events]
    aggregates: tuple[Aggregate, Aggregate]
    gate: SameState
    names: Names
    limit: int

    def groups(self) -> list[_Group]:
        """All streams that can be compared, in order of the old ones."""
        places = self.laid.places
        ones = np.flatnonzero(places[:, 0] < places[:, 1]).tolist()
        return sorted([*ones, *self.laid.joined], key=self.order)

    def order(self, group: _Group) -> int:
        """Where a group stands among all: at its first old stream."""
        return group.old[0] if isinstance(group, Joined) else int(self.laid.pairs[group, 0])

    def run(self, groups: list[_Group], *, careful: bool) -> tuple[Tally, list[_Group]]:
        """What the states of some groups show, and the groups in which a handler failed, which are not in it."""
        sides = self._side(0, groups, careful), self._side(1, groups, careful)
        for number in (0, 1):
            # All at once, for each by itself would be a query.
            joined = [group for group in groups if isinstance(group, Joined)]
            self.names.ids(number, [one for group in joined for one in self._streams(group)[number]])
        while True:
            tally = Tally(self.gate.expect, self.limit)
            try:
                failing = self._attempt(groups, tally, sides)
            except Missing:
                for side in sides:
                    if side.reading.gate.missing:
                        side.again()
            except Unordered:
                continue
            else:
                return tally, failing

    def _side(self, number: Literal[0, 1], groups: list[_Group], careful: bool) -> Side:
        rows = (self.laid.old, self.laid.new)[number]
        wanted = [stream for group in groups for stream in self._streams(group)[number]]
        return Side(
            "new" if number else "old",
            self.events[number],
            self.aggregates[number],
            rows,
            wanted,
            forks=self.gate.forks,
            careful=careful,
        )

    def _streams(self, group: _Group) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if isinstance(group, Joined):
            return group.old, group.new
        old, new = self.laid.pairs[group].tolist()
        return (old,), (new,)

    def _attempt(self, groups: list[_Group], tally: Tally, sides: tuple[Side, Side]) -> list[_Group]:
        failing: list[_Group] = []
        with closing(iter(sides[0])) as old_rows, closing(iter(sides[1])) as new_rows:
            for group in groups:
                rows = (old_rows, new_rows)
                try:
                    if isinstance(group, Joined):
                        folds = self._compare_joined(group, tally, sides, rows)
                    else:
                        folds = self._compare(group, tally, sides, rows)
                except Failing:
                    tally.drop()
                    failing.append(group)
                else:
                    tally.keep(self.order(group), [fault for fold in folds for fault in fold.faults])
            if any(side.reading.gate.missing for side in sides):
                # A handler swallowed what reading the column raised.
                raise Missing
        return failing

    def _compare(self, pair: int, tally: Tally, sides: tuple[Side, Side], rows: tuple[Any, Any]) -> list[Fold]:
        old_stream, new_stream = self.laid.pairs[pair].tolist()
        old, new = Fold(sides[0], old_stream, rows[0]), Fold(sides[1], new_stream, rows[1])
        begin, end = self.laid.places[pair].tolist()
        for old_count, new_count, times, old_row, new_row in self.laid.points[begin:end].tolist():
            old.to(old_count)
            new.to(new_count)
            tally.compare(old.state, new.state, times, (old_row, new_row, old_stream, new_stream))
        return [old, new]

    def _compare_joined(
        self, group: Joined, tally: Tally, sides: tuple[Side, Side], rows: tuple[Any, Any]
    ) -> list[Fold]:
        # All rows of the group are taken before any is folded, so that a failing one leaves none behind.
        folds = [
            [Fold(side, stream, iter(_taken(side, stream, each))) for stream in streams]
            for side, streams, each in zip(sides, (group.old, group.new), rows, strict=True)
        ]
        counts = [[0] * len(streams) for streams in folds]
        several = 0 if len(group.old) > 1 else 1
        ids = self.names.ids(several, (group.old, group.new)[several])
        last = [0, 0]
        for point in group.points:
            for side, come in enumerate((point.old, point.new)):
                for number, count in come.items():
                    counts[side][number] = count
                    last[side] = number
                    folds[side][number].to(_handled(sides[side].rows, (group.old, group.new)[side][number], count))
            streams = group.old[last[0]], group.new[last[1]]
            ends = [
                int(side.rows.starts[stream]) + counts[number][last[number]] - 1
                for number, (side, stream) in enumerate(zip(sides, streams, strict=True))
            ]
            place = Place(ends[0], ends[1], *streams)
            states = {
                ids[number]: lent(fold.state)
                for number, (fold, count) in enumerate(zip(folds[several], counts[several], strict=True))
                if count
            }
            one = folds[1 - several][0].state
            both, note = _combined(self.gate.combine, states)
            if note:
                tally.refuse(one, note, 1, place)
            else:
                tally.compare(*((one, both) if several else (both, one)), 1, place)
        return [fold for side in folds for fold in side]


def _combined(combine: Combine | None, states: dict[str, Any]) -> tuple[Any, str]:
    """One state of several, or what ``combine=`` raised."""
    assert combine is not None
    try:
        return combine(states), ""
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 (a user's function may raise anything)
        return None, f"combine= raised {described(error)}"


def _handled(rows: Rows, stream: int, count: int) -> int:
    """How many of the first rows of a stream are folded."""
    start = int(rows.starts[stream])
    return int(rows.folded[start + count] - rows.folded[start])


def _taken(side: Side, stream: int, rows: Iterator[Any]) -> list[Any]:
    """The rows of a stream that are folded, which come next but for streams that are not wanted."""
    wanted = _handled(side.rows, stream, int(side.rows.starts[stream + 1] - side.rows.starts[stream]))
    key = int(side.keys[stream])
    result: list[Any] = []
    while len(result) < wanted:
        row = next(rows)
        if row[0] == key:
            result.append(row)
    return result

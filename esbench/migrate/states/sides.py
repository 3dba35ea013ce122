"""Two logs folded side by side: each stream up to a cut, then the other, without a copy of any state.

A handler that fails may have changed the state before it raised. Such streams are named, and are folded anew with
copies, in which a failing handler leaves the state as it was before the event.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from esbench.aggregate import Aggregate, Handler
from esbench.errors import AggregateError, EsbenchError, described
from esbench.event import CANONICAL, Event
from esbench.events import Events
from esbench.fold.given import applied
from esbench.fold.python import ALWAYS, initial_state
from esbench.fold.reading import Missing, Reading, Unordered, narrowed
from esbench.migrate.states.cuts import Forks, Rows
from esbench.migrate.states.tally import Fault

__all__ = ["Failing", "Fold", "Side"]

_Row = tuple[int, Handler, Event]


class Failing(Exception):
    """A handler failed, and its state can no longer be relied on."""


class Side:
    """One of the two logs, read in the order in which its streams are wanted, and its aggregate.

    Its new rows have ``nth``, which orders those of one position. ``careful``: with copies, see :class:`Fold`.
    """

    def __init__(
        self,
        name: Literal["old", "new"],
        events: Events,
        aggregate: Aggregate,
        rows: Rows,
        wanted: Sequence[int],
        *,
        forks: Forks,
        careful: bool,
    ) -> None:
        self.name, self.aggregate, self.rows, self.careful = name, aggregate, rows, careful
        self._order = "stream_key, version, position" + (", nth" if name == "new" else "")
        numbers = np.asarray(wanted, np.int64)
        self.keys = rows.keys
        if forks == "first":
            first = f"row_number() over (partition by stream_key, version order by {self._order}) = 1"
            events = replace(events, query=f"select * from ({events.query}) qualify {first}", ordered=False)
        source: Events = narrowed(events, "event_type", aggregate.handlers)
        if (np.diff(numbers) < 0).any():
            source = self._placed(source, numbers)
        elif _sum(rows, numbers) < rows.folded[-1] / 2:
            ordered = source.ordered
            source = replace(narrowed(source, "stream_key", rows.keys[numbers].tolist()), ordered=ordered)
        self._source = source
        self._columns: Collection[str] = CANONICAL if careful else ALWAYS
        self.reading = self._read()

    def _placed(self, source: Events, numbers: Any) -> Events:
        """The streams in another order than that of their keys: each has its place for a key."""
        self.keys = np.full(len(self.rows.keys), -1)
        self.keys[numbers] = np.arange(len(numbers))
        suffix = len(source.parameters)
        query = f"""
            select given.* replace (wanted.place as stream_key)
            from ({source.query}) as given
            join (select unnest($_keys{suffix}) as wanted_key, unnest($_places{suffix}) as place) as wanted
                on given.stream_key = wanted.wanted_key
        """
        named = {f"_keys{suffix}": self.rows.keys[numbers].tolist(), f"_places{suffix}": list(range(len(numbers)))}
        return replace(source, query=query, parameters={**source.parameters, **named}, ordered=False)

    def _read(self) -> Reading:
        source = self._source
        if not source.ordered:
            query = f"select * from ({source.query}) order by {self._order}"
            source = replace(source, query=query, ordered=True)
        return Reading(source, self._columns)

    def again(self) -> None:
        """Read anew from the start, with the columns that handlers asked for in vain."""
        self._columns = self.reading.again()
        self.reading = self._read()

    def sort(self) -> None:
        """Read anew from the start, and put the rows in order that do not lie in it."""
        if not self._source.ordered:
            raise EsbenchError("the events do not come in the order that was asked for")
        self._source = replace(self._source, ordered=False)
        self.reading = self._read()

    def __iter__(self) -> Generator[_Row, None, None]:
        """Stream key, handler and event of the rows that have a handler. Raises Missing and Unordered."""
        gate = self.reading.gate
        gate.live = True
        try:
            for keys, event_types, indices, events in self.reading:
                handlers = [self.aggregate.handlers[name] for name in event_types]
                yield from zip(keys, map(handlers.__getitem__, indices), events, strict=False)
                if gate.missing:
                    # A handler swallowed what reading the column raised.
                    raise Missing
        except Unordered:
            self.sort()
            raise
        finally:
            gate.live = False
        raise EsbenchError("the events changed while their states were compared: not all of them came again")


def _sum(rows: Rows, numbers: Any) -> int:
    """How many rows of some streams are folded."""
    return int((rows.folded[rows.starts[numbers + 1]] - rows.folded[rows.starts[numbers]]).sum())


class Fold:
    """The state of one stream, as far as it was folded."""

    __slots__ = ("_done", "_key", "_rows", "_side", "_stream", "faults", "state")

    def __init__(self, side: Side, stream: int, rows: Iterable[_Row]) -> None:
        self._side, self._stream, self._rows = side, stream, rows
        self._key = int(side.keys[stream])
        self._done = 0
        self.state = initial_state(side.aggregate)
        self.faults: list[Fault] = []

    def to(self, count: int) -> None:
        """Fold until so many rows of the stream are in the state. Raises Failing where a handler fails."""
        done = self._done
        if done >= count:
            return
        if self._side.careful:
            self._carefully(count)
            return
        state, wanted = self.state, self._key
        for key, handler, event in self._rows:
            if key != wanted:
                # The rest of a stream behind its last cut, or a stream without any.
                continue
            try:
                after = handler(state, event)
            except (KeyboardInterrupt, Missing):
                raise
            except BaseException as error:
                raise Failing from error
            if after is None and state is not None:
                raise Failing
            state = after
            done += 1
            if done == count:
                break
        self.state, self._done = state, done

    def _carefully(self, count: int) -> None:
        side = self._side
        for key, _, event in self._rows:
            if key != self._key:
                continue
            try:
                self.state, error = applied(side.aggregate, self.state, event)
            except Exception as failure:
                raise AggregateError(
                    f'aggregate "{side.aggregate.name}": its state before version {event.version} of '
                    f'"{event.stream_id}" cannot be copied ({described(failure)}); keep plain values in it, or give '
                    "its class a __deepcopy__"
                ) from failure
            if error is not None:
                self.faults.append(Fault(side.name, self._stream, event.version, event.event_type, error))
            self._done += 1
            if self._done == count:
                break

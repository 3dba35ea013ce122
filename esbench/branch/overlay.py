"""Overlays: a log's events with some added, removed or replaced, as one query over the log's own.

An overlay holds only what differs, so that one over millions of events costs nothing to make. Versions and positions
move by :class:`Steps`, a few numbers each; a row that is added or replaced is bound as a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from esbench.event import CANONICAL
from esbench.events import Events

__all__ = ["Overlay", "Own", "Steps", "texts"]

_COLUMNS = ", ".join(("stream_key", *CANONICAL))


@dataclass(frozen=True, slots=True)
class Steps:
    """How numbers move: from each threshold on by so much in all. They never change their order.

    >>> steps = Steps().moved(3, 1)
    >>> [steps.of(n) for n in (2, 3, 4)], steps.back(5), steps.sql("version")
    ([2, 4, 5], 4, 'version + case when version >= 3 then 1 else 0 end')
    """

    steps: tuple[tuple[int, int], ...] = ()

    def of(self, number: int) -> int:
        """Where a number comes to."""
        return number + next((shift for start, shift in reversed(self.steps) if number >= start), 0)

    def back(self, number: int) -> int:
        """The largest number that comes to at most this one; of those that come to it, the one that is in use."""
        for low, high, shift in reversed(list(self._spans())):
            found = number - shift if high is None else min(high, number - shift)
            if low is None or found >= low:
                return found
        raise AssertionError("the first span has no lower end")

    def moved(self, start: int, by: int) -> Steps:
        """Numbers that have come to at least ``start`` move on by ``by``, which is 1 or -1."""
        first = next(
            max(start - shift, low) if low is not None else start - shift
            for low, high, shift in self._spans()
            if high is None or high + shift >= start
        )
        before = self.of(first) - first
        kept = [(at, shift) for at, shift in self.steps if at < first]
        later = [(at, shift + by) for at, shift in self.steps if at > first]
        result, last = [], 0
        for at, shift in [*kept, (first, before + by), *later]:
            if shift != last:
                result.append((at, shift))
            last = shift
        return Steps(tuple(result))

    def sql(self, column: str) -> str:
        """SQL for where the numbers of a column come to."""
        if not self.steps:
            return column
        whens = " ".join(f"when {column} >= {start} then {shift}" for start, shift in reversed(self.steps))
        return f"{column} + case {whens} else 0 end"

    def _spans(self) -> Iterator[tuple[int | None, int | None, int]]:
        """First number, last number and shift of each span, from below; None is without an end."""
        starts = [(None, 0), *self.steps]
        for (low, shift), (high, _) in pairwise(starts):
            yield low, (high or 0) - 1, shift
        yield starts[-1][0], None, starts[-1][1]


@dataclass(frozen=True, slots=True)
class Own:
    """A row that the overlay adds, or puts in the place of one of the log's.

    ``origin`` is the position of that one in the log, or a text that tells an added row from all others. ``values``
    are the canonical columns; times are text, as DuckDB writes them.
    """

    key: int
    origin: int | str
    values: Mapping[str, Any]

    @property
    def position(self) -> int:
        """Where the row stands."""
        return int(self.values["position"])

    def moved(self, column: str, start: int, by: int) -> Own:
        """The row with a number moved, if that is ``start`` or above."""
        number = self.values[column]
        return self if number < start else replace(self, values={**self.values, column: number + by})


@dataclass(frozen=True, slots=True)
class Overlay:
    """What differs from a log. Numbers that its methods take are those of the events as they come out of it."""

    positions: Steps = field(default_factory=Steps)
    versions: Mapping[int, Steps] = field(default_factory=dict)
    gone: frozenset[tuple[int, int]] = frozenset()
    own: tuple[Own, ...] = ()

    @property
    def keys(self) -> tuple[int, ...]:
        """The keys of the streams that it touches."""
        return tuple(sorted({*self.versions, *(key for key, _ in self.gone), *(row.key for row in self.own)}))

    def versions_moved(self, key: int, start: int, by: int) -> Overlay:
        """Events of a stream from a version on are numbered ``by`` higher."""
        steps = self.versions.get(key, Steps()).moved(start, by)
        own = tuple(row.moved("version", start, by) if row.key == key else row for row in self.own)
        return replace(self, versions={**self.versions, key: steps}, own=own)

    def positions_moved(self, start: int, by: int) -> Overlay:
        """Events of the log from a position on stand ``by`` higher."""
        own = tuple(row.moved("position", start, by) for row in self.own)
        return replace(self, positions=self.positions.moved(start, by), own=own)

    def added(self, row: Own) -> Overlay:
        """One row more; its position must be free."""
        return replace(self, own=(*self.own, row))

    def removed(self, key: int, position: int) -> Overlay:
        """Without the event at a position."""
        kept = tuple(row for row in self.own if row.position != position)
        if len(kept) < len(self.own):
            return replace(self, own=kept)
        return replace(self, gone=self.gone | {(key, self.positions.back(position))})

    def replaced(self, key: int, position: int, values: Mapping[str, Any]) -> Overlay:
        """The event at a position with other values."""
        return self.removed(key, position).added(Own(key, self.origin(position), values))

    def origin(self, position: int) -> int | str:
        """Where the event at a position stood in the log; a text of its own where it did not."""
        own = next((row.origin for row in self.own if row.position == position), None)
        return self.positions.back(position) if own is None else own

    def place(self, origin: int | str) -> int:
        """The position of what :meth:`origin` names."""
        own = next((row.position for row in self.own if row.origin == origin), None)
        return self.positions.of(int(origin)) if own is None else own

    def over(self, source: Events) -> Events:
        """The events of a log with what differs; they come in folding order where the log's do."""
        if not self.keys and not self.positions.steps:
            return source
        parameters: dict[str, Any] = {}
        parts: list[str] = []
        if source.ordered:
            above = "true"
            for key in self.keys:
                parts += [self._rest(source, f"{above} and stream_key < {key}"), self._stream(source, key, parameters)]
                above = f"stream_key > {key}"
            parts.append(self._rest(source, above))
        else:
            others = " and ".join(f"stream_key <> {key}" for key in self.keys) or "true"
            parts = [self._rest(source, others), *(self._stream(source, key, parameters) for key in self.keys)]
        return replace(source, query="\nunion all\n".join(parts), parameters={**source.parameters, **parameters})

    def _rest(self, source: Events, condition: str) -> str:
        """SQL for events of streams that are not touched; their versions stay."""
        columns = _COLUMNS.replace("position,", f"{self.positions.sql('position')} as position,", 1)
        return f"(select {columns} from ({source.query}) where {condition})"

    def _stream(self, source: Events, key: int, parameters: dict[str, Any]) -> str:
        """SQL for the events of one stream, in folding order; what it binds goes into ``parameters``."""
        name = f"_overlay{len(source.parameters)}_{key}"
        numbers = {"position": self.positions, "version": self.versions.get(key, Steps())}
        columns = ", ".join(f"{numbers[n].sql(n)} as {n}" if n in numbers else n for n in CANONICAL)
        gone = sorted(position for of, position in self.gone if of == key)
        without = ""
        if gone:
            parameters[f"{name}_gone"] = gone
            without = f"and not list_contains(${name}_gone::bigint[], position)"
        query = f"select stream_key, {columns} from ({source.query}) where stream_key = {key} {without}"
        own = [row.values for row in self.own if row.key == key]
        if own:
            listed = []
            for column, kind in CANONICAL.items():
                parameters[f"{name}_{column}"] = [row[column] for row in own]
                bound = f"${name}_{column}"
                # Through VARCHAR, because a list of texts cast to JSON[] could be taken for JSON strings.
                value = f"unnest({bound}::bigint[])" if kind == "BIGINT" else f"unnest({bound}::varchar[])::{kind}"
                listed.append(f"{value} as {column}")
            query = f"{query}\nunion all\nselect {key}::bigint as stream_key, {', '.join(listed)}"
        order = " order by version, position" if source.ordered else ""
        return f"(select {_COLUMNS} from (\n{query}\n){order})"


def texts() -> str:
    """SQL for the columns of an :class:`Own` row."""
    forms = {"JSON": "{}::varchar", "TIMESTAMPTZ": "{}::varchar"}
    return ", ".join(f"{forms.get(kind, '{}').format(name)} as {name}" for name, kind in CANONICAL.items())

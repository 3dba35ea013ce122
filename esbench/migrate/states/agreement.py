"""What a comparison of states says: whether they agree, where they do not, and what could not be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pandas as pd

from esbench.events import Events
from esbench.fold.changes import brief
from esbench.migrate.states.cuts import Lines, Rows
from esbench.migrate.states.tally import Fault, Kind, Place, Tally

__all__ = ["Equivalence", "Marked", "Names", "NotComparable", "Shape", "Some", "nothing", "summed"]

Status = Literal["passed", "failed", "not applicable"]

#: So many streams are named where they are only counted otherwise, and so many shapes are told in a few lines.
_NAMED: Final = 20
_TOLD: Final = 5

_TYPES: Final = {
    **dict.fromkeys(("stream_id", "old_stream", "path", "note"), "str"),
    **dict.fromkeys(("version", "old_version", "cuts"), "int64"),
    **dict.fromkeys(("before", "after"), "object"),
    "expected": "bool",
}


@dataclass(frozen=True, slots=True)
class Some:
    """How many streams, and the ids of the first of them."""

    count: int = 0
    streams: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.streams) else ""
        return f"{counted(self.count, 'stream')} ({', '.join(map(brief, self.streams))}{more})"


@dataclass(frozen=True, slots=True)
class NotComparable:
    """Why some streams, old or new ones, could not be compared."""

    side: str
    reason: str
    streams: Some

    def __str__(self) -> str:
        return f"not comparable: {self.side} {self.streams}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Differences of one shape: a path pattern and a kind, in how many streams and at how many cuts; and the first."""

    path: str
    kind: Kind
    expected: bool
    streams: int
    cuts: int
    stream_id: str
    version: int
    before: Any
    after: Any
    note: str = ""

    def __str__(self) -> str:
        return (
            f"{brief(self.path)[1:-1] or 'the whole state'} {self.kind}{', as expected' if self.expected else ''}, in "
            f"{counted(self.streams, 'stream')} at {counted(self.cuts, 'cut')}: first {brief(self.stream_id)}@"
            f"{self.version}, {brief(self.before)} → {brief(self.after)}{f' ({self.note})' if self.note else ''}"
        )


@dataclass(frozen=True, slots=True)
class Marked:
    """A state that was folded past a failing handler: at which event of which log, and what was raised."""

    side: Literal["old", "new"]
    stream_id: str
    version: int
    event_type: str
    error: str

    def __str__(self) -> str:
        return f"{self.side} {brief(self.stream_id)}@{self.version} ({brief(self.event_type)}): {self.error}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Equivalence:
    """Whether old and new states agree at every cut. Counts are exact; what is listed is capped.

    ``streams`` were compared at ``cuts``; those that were split or merged count once together. ``failing`` ones differ
    unexpectedly, at ``differing`` cuts. ``differences``: a row for each stream and path, expected or not, at the first
    cut where it differs: ``stream_id`` and ``version`` of the new stream, ``old_stream`` and ``old_version``, ``path``,
    ``before``, ``after`` (ABSENT where nothing is), ``expected``, at how many ``cuts`` in all, and as ``note`` what was
    raised. Of streams that were split or merged the one is named that came further at that cut. ``shapes`` sum the
    differences up. ``marked`` streams were folded past failing handlers, some of which are in ``marks``.
    """

    name: str
    status: Status
    streams: int = 0
    cuts: int = 0
    failing: int = 0
    differing: int = 0
    differences: pd.DataFrame = field(default_factory=lambda: _frame([]))
    shapes: tuple[Shape, ...] = ()
    not_comparable: tuple[NotComparable, ...] = ()
    dropped: Some = Some()
    inserted: Some = Some()
    unmet: tuple[str, ...] = ()
    marked: int = 0
    marks: tuple[Marked, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """One sentence: what the status rests on."""
        if self.status == "failed":
            return (
                f"{counted(self.failing, 'stream')} of {self.streams:,} differ unexpectedly, at "
                f"{self.differing:,} of {counted(self.cuts, 'cut')}"
            )
        apart = sum(one.streams.count for one in self.not_comparable)
        compared = f"{counted(self.streams, 'stream')} agree at {counted(self.cuts, 'cut')}"
        if self.status == "passed":
            return compared
        if not self.cuts:
            return "nothing could be compared"
        return f"{compared}, but {counted(apart, 'stream')} could not be compared"

    def lines(self) -> list[str]:
        """A short account, whatever the number of streams that differ."""
        unexpected = [one for one in self.shapes if not one.expected]
        expected = [one for one in self.shapes if one.expected]
        told = [str(shape) for shapes in (unexpected, expected) for shape in shapes[:_TOLD]]
        told += [
            f"and {len(shapes) - _TOLD:,} more such paths" for shapes in (unexpected, expected) if len(shapes) > _TOLD
        ]
        told += [str(one) for one in self.not_comparable[:_TOLD]]
        told += [f"{what}: {some}" for what, some in self._without() if some.count]
        told += [f"expected, but never met: {one}" for one in self.unmet]
        if self.marked:
            told.append(f"{counted(self.marked, 'stream')} folded past failing handlers, such as {self.marks[0]}")
        return [*told, *self.notes]

    def _without(self) -> tuple[tuple[str, Some], ...]:
        return ("dropped wholly", self.dropped), ("new without a source", self.inserted)

    def __repr__(self) -> str:
        return "; ".join([f"{self.name}: {self.status}: {self.reason}", *self.lines()])


class Names:
    """The ids of streams, old and new, by number."""

    def __init__(self, events: tuple[Events, Events], rows: tuple[Rows, Rows]) -> None:
        self._events, self._rows = events, rows
        self._known: tuple[dict[int, str], dict[int, str]] = {}, {}

    def ids(self, side: int, numbers: Iterable[int]) -> list[str]:
        """The ids of some streams of a side; those that are not known yet are asked for together."""
        numbers = list(numbers)
        keys = [int(self._rows[side].keys[number]) for number in numbers]
        known = self._known[side]
        if wanted := sorted({key for key in keys if key not in known}):
            known |= self._events[side].rows(
                """
                select stream_key, any_value(stream_id) from events
                where stream_key in (select unnest($_named)) group by stream_key
                """,
                _named=wanted,
            )
        return [known[key] for key in keys]


def nothing(name: str, reason: str) -> Equivalence:
    """The answer where nothing can be compared."""
    return Equivalence(name, "not applicable", notes=(reason,))


def summed(name: str, tally: Tally, laid: Lines, names: Names, *, notes: Sequence[str] = ()) -> Equivalence:
    """The answer that a tally makes, with ids and versions for numbers."""
    listed = [*tally.listed[False], *tally.listed[True]]
    groups = sorted(tally.groups.values(), key=lambda one: (one.expected, -one.streams, one.path, one.kind))
    firsts = [one.first for one in groups]
    for side in (0, 1):
        # Asked for together, they are known from here on.
        names.ids(side, {each.place[2 + side] for each in (*listed, *firsts)})

    def new(place: Place) -> tuple[str, int]:
        return names.ids(1, [place.new_stream])[0], int(laid.new.versions[place.new_row])

    def old(place: Place) -> tuple[str, int]:
        return names.ids(0, [place.old_stream])[0], int(laid.old.versions[place.old_row])

    rows = []
    for each in listed:
        (stream_id, version), (old_stream, old_version) = new(each.place), old(each.place)
        row = stream_id, old_stream, version, old_version, each.path, each.before, each.after
        rows.append((*row, each.expected, each.cuts, each.note))
    shapes = tuple(
        Shape(
            path=group.path,
            kind=group.kind,
            expected=group.expected,
            streams=group.streams,
            cuts=group.cuts,
            stream_id=new(group.first.place)[0],
            version=new(group.first.place)[1],
            before=group.first.before,
            after=group.first.after,
            note=group.first.note,
        )
        for group in groups
    )
    apart = _apart(laid, names)
    status: Status = "failed" if tally.failing else "passed" if tally.cuts and not apart else "not applicable"
    return Equivalence(
        name=name,
        status=status,
        streams=tally.streams,
        cuts=tally.cuts,
        failing=tally.failing,
        differing=tally.differing,
        differences=_frame(rows),
        shapes=shapes,
        not_comparable=apart,
        dropped=_some(0, laid.dropped.tolist(), names),
        inserted=_some(1, laid.inserted.tolist(), names),
        unmet=tally.expectations.unmet(),
        marked=tally.past_faults,
        marks=tuple(_marked(fault, names) for _, fault in tally.faults),
        notes=tuple(notes),
    )


def _apart(laid: Lines, names: Names) -> tuple[NotComparable, ...]:
    counts = Counter((side, reason) for side, _, reason in laid.apart)
    streams: dict[tuple[str, str], list[int]] = {}
    for side, number, reason in laid.apart:
        known = streams.setdefault((side, reason), [])
        if len(known) < _NAMED:
            known.append(number)
    return tuple(
        NotComparable(side, reason, Some(count, tuple(names.ids(int(side == "new"), streams[side, reason]))))
        for (side, reason), count in counts.items()
    )


def _some(side: int, numbers: list[int], names: Names) -> Some:
    return Some(len(numbers), tuple(names.ids(side, numbers[:_NAMED])))


def _marked(fault: Fault, names: Names) -> Marked:
    (stream_id,) = names.ids(int(fault.side == "new"), [fault.stream])
    return Marked(fault.side, stream_id, fault.version, fault.event_type, fault.error)


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    names = ("stream_id", "old_stream", "version", "old_version", "path", "before", "after", "expected", "cuts", "note")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pd.DataFrame(
        {name: pd.Series(list(column), dtype=_TYPES[name]) for name, column in zip(names, columns, strict=True)}
    )


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "cut"), counted(1204, "cut")
    ('1 cut', '1,204 cuts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

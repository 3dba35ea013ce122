"""The reference for state equivalence, written from the definitions: every prefix is folded anew, every set is made.

Nothing here imports esbench.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.oracle import Row, Rules

__all__ = ["Compared", "NewRow", "Truth", "components", "truth"]


@dataclass(frozen=True, slots=True)
class NewRow:
    """An event that a migration made, and where it comes from."""

    row: Row
    origin: int | None
    others: tuple[int, ...] = ()
    nth: int = 0

    @property
    def sources(self) -> set[int]:
        return {*self.others, *(() if self.origin is None else (self.origin,))}


class Compared(NamedTuple):
    """A cut: the old and new state, and what a report calls the place: stream and version of both sides."""

    old: Any
    new: Any
    old_place: tuple[str, int]
    new_place: tuple[str, int]


@dataclass
class Truth:
    """What holds: the cuts of every group of streams, groups that cannot be compared, streams without counterpart."""

    cuts: dict[tuple[frozenset[str], frozenset[str]], list[Compared]] = field(default_factory=dict)
    apart: set[tuple[str, str]] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    inserted: set[str] = field(default_factory=set)

    def differing(self, expected: Callable[[str, Any, Any], bool]) -> dict[tuple[str, str], tuple[int, int]]:
        """By new stream and path, the first version at which states differ unexpectedly, and how many cuts do."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for compared in self.cuts.values():
            of_group: dict[str, list[tuple[str, int]]] = {}
            for cut in compared:
                for path, before, after in differing(cut.old, cut.new):
                    if not expected(path, before, after):
                        of_group.setdefault(path, []).append(cut.new_place)
            for path, places in of_group.items():
                found[places[0][0], path] = places[0][1], len(places)
        return found


ABSENT = object()


def differing(old: dict[str, Any], new: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """The fields in which two flat states differ."""
    for name in {**old, **new}:
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if type(before) is not type(after) or before != after:
            yield f"/{name}", before, after


def state(rows: Sequence[Row], rules: Rules, forks: str) -> Any:
    """The state after some rows of a stream, in folding order; one that fails leaves it as it was."""
    value = copy.deepcopy(rules.initial)
    seen: set[int] = set()
    for row in rows:
        if forks == "first" and row.version in seen:
            continue
        seen.add(row.version)
        handler = rules.handlers.get(row.event_type)
        if handler is not None:
            try:
                after = handler(copy.deepcopy(value), row)
            except Exception:  # noqa: BLE001 (a handler may raise anything)
                continue
            if after is not None:
                value = after
    return copy.deepcopy(value)


def components(pairs: Iterable[tuple[str, str]]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Old and new streams that hang together."""
    groups: list[tuple[set[str], set[str]]] = []
    for old, new in pairs:
        touching = [group for group in groups if old in group[0] or new in group[1]]
        rest = [group for group in groups if group not in touching]
        groups = [
            *rest,
            ({old}.union(*(each[0] for each in touching)), {new}.union(*(each[1] for each in touching))),
        ]
    return [(frozenset(old), frozenset(new)) for old, new in groups]


def truth(
    old_rows: Sequence[Row],
    new_rows: Sequence[NewRow],
    dropped: Collection[int],
    rules: tuple[Rules, Rules],
    covered: tuple[Collection[str], Collection[str]],
    *,
    combine: Callable[[dict[str, Any]], Any] | None = None,
    forks: str = "all",
    order: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Truth:
    """Everything there is to know. ``order`` has the ids of the old and new streams in order of their keys."""
    world = _World(old_rows, new_rows, dropped, rules, forks, order)
    result = Truth()
    home = {row.position: row.stream_id for row in old_rows}
    pairs = {(home[source], new.row.stream_id) for new in new_rows for source in new.sources if source in home}
    connected_old, connected_new = {old for old, _ in pairs}, {new for _, new in pairs}
    strangers = {new.row.stream_id for new in new_rows if not new.sources <= set(home)}
    for olds, news in components(pairs):
        if not (olds & set(covered[0]) or news & set(covered[1])):
            continue
        cuts: list[Compared] = []
        if not news & strangers:
            if len(olds) == len(news) == 1:
                cuts = world.pair(next(iter(olds)), next(iter(news)))
            elif combine is not None and len(olds) == 1:
                cuts = world.split(next(iter(olds)), news, combine)
            elif combine is not None and len(news) == 1:
                cuts = world.merge(olds, next(iter(news)), combine)
        if cuts:
            result.cuts[olds, news] = cuts
        else:
            result.apart |= {("new", name) for name in news}
    for name in {row.stream_id for row in old_rows if row.stream_id in covered[0]} - connected_old:
        gone = all(row.position in dropped for row in old_rows if row.stream_id == name)
        if gone:
            result.dropped.add(name)
        else:
            result.apart.add(("old", name))
    for name in {new.row.stream_id for new in new_rows if new.row.stream_id in covered[1]} - connected_new:
        if name in strangers:
            result.apart.add(("new", name))
        else:
            result.inserted.add(name)
    return result


class _World:
    def __init__(self, old_rows: Any, new_rows: Any, dropped: Any, rules: Any, forks: str, order: Any) -> None:
        self.old = sorted(old_rows, key=lambda row: (row.version, row.position))
        self.new = sorted(new_rows, key=lambda new: (new.row.version, new.row.position, new.nth))
        self.rules, self.forks, self.order = rules, forks, order
        self.children = {row.position: [new for new in new_rows if row.position in new.sources] for row in self.old}
        self.gone = {position for position, children in self.children.items() if not children} & set(dropped)

    def old_stream(self, name: str) -> list[Row]:
        return [row for row in self.old if row.stream_id == name]

    def new_stream(self, name: str) -> list[NewRow]:
        return [new for new in self.new if new.row.stream_id == name]

    def prefix(self, name: str, consumed: set[int]) -> list[Row] | None:
        """The longest prefix of an old stream that consumes exactly some events, less declared drops."""
        stream = self.old_stream(name)
        for length in range(len(stream), -1, -1):
            if {row.position for row in stream[:length]} - self.gone == consumed:
                return stream[:length]
        return None

    def consumed(self, come: Sequence[NewRow]) -> set[int] | None:
        """The source events all of whose children have come; None where some have come of one, but not all."""
        touched = {source for new in come for source in new.sources}
        whole = {source for source in touched if all(child in come for child in self.children[source])}
        return whole if whole == touched else None

    def pair(self, old: str, new: str) -> list[Compared]:
        stream = self.new_stream(new)
        result = []
        for version in sorted({each.row.version for each in stream}):
            come = [each for each in stream if each.row.version <= version]
            consumed = self.consumed(come)
            prefix = self.prefix(old, consumed) if consumed else None
            if prefix is not None:
                result.append(
                    Compared(
                        state(prefix, self.rules[0], self.forks),
                        state([each.row for each in come], self.rules[1], self.forks),
                        (old, prefix[-1].version),
                        (new, version),
                    )
                )
        return result

    def merge(self, olds: Collection[str], new: str, combine: Any) -> list[Compared]:
        stream = self.new_stream(new)
        result: list[Compared] = []
        before: set[int] = set()
        last = ("", 0)
        for version in sorted({each.row.version for each in stream}):
            come = [each for each in stream if each.row.version <= version]
            consumed = self.consumed(come)
            if not consumed:
                continue
            prefixes = {}
            for old in sorted(olds, key=self.order[0].index):
                of_old = consumed & {row.position for row in self.old_stream(old)}
                prefixes[old] = self.prefix(old, of_old) if of_old else []
            if any(prefix is None for prefix in prefixes.values()):
                continue
            for old, prefix in prefixes.items():
                if {row.position for row in prefix or ()} & (consumed - before):
                    last = old, prefix[-1].version  # type: ignore[index]
            before = consumed
            states = {old: state(prefix, self.rules[0], self.forks) for old, prefix in prefixes.items() if prefix}
            after = state([each.row for each in come], self.rules[1], self.forks)
            result.append(Compared(combine(states), after, last, (new, version)))
        return result

    def split(self, old: str, news: Collection[str], combine: Any) -> list[Compared]:
        stream = self.old_stream(old)
        result: list[Compared] = []
        told: dict[str, int] = {}
        tried: list[set[int]] = []
        for length in range(1, len(stream) + 1):
            wanted = {row.position for row in stream[:length]} - self.gone
            if not wanted or wanted in tried:
                continue
            tried.append(wanted)
            come: dict[str, list[NewRow]] = {}
            for new in sorted(news, key=self.order[1].index):
                rows = self.new_stream(new)
                come[new] = []
                for version in sorted({each.row.version for each in rows}):
                    upto = [each for each in rows if each.row.version <= version]
                    if {source for each in upto for source in each.sources} <= wanted:
                        come[new] = upto
            if self.consumed([each for rows in come.values() for each in rows]) != wanted:
                continue
            begun = {new: rows for new, rows in come.items() if any(each.sources for each in rows)}
            last = [new for new, rows in begun.items() if told.get(new) != len(rows)][-1]
            told |= {new: len(rows) for new, rows in begun.items()}
            prefix = self.prefix(old, wanted)
            assert prefix is not None
            states = {new: state([each.row for each in rows], self.rules[1], self.forks) for new, rows in begun.items()}
            result.append(
                Compared(
                    state(prefix, self.rules[0], self.forks),
                    combine(states),
                    (old, prefix[-1].version),
                    (last, begun[last][-1].row.version),
                )
            )
        return result

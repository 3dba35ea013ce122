"""The reference's rows, folds and time travel: plain lists and dicts, slow, and meant to be obviously right.

Words used here and in the checks. *Folding order*: (version, position). *Position order*: position, unique in
a log. *Content*: event type, schema version, data text and metadata text; compared as text, an absent one
equals an absent one. *Duplicates*: same stream and content, and either the same event id (at any version), or
both without an id and the same version. *Valid version*: at or above the base where it is known, otherwise at
or above 0.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

__all__ = [
    "Facts",
    "Row",
    "Rules",
    "State",
    "Step",
    "Version",
    "blame",
    "content",
    "covered",
    "fold",
    "folding_order",
    "groups",
    "history",
    "identity",
    "infer_base",
    "position_order",
    "state",
    "states",
    "streams",
    "trust",
    "up_to",
]


@dataclass(frozen=True, slots=True)
class Row:
    """An event as a log holds it; has what a handler reads of an esbench Event, so that both can share
    handlers.
    """

    position: int
    stream_id: str
    version: int
    event_type: str = "Added"
    data_text: str | None = "{}"
    metadata_text: str | None = None
    stream_type: str | None = None
    event_id: str | None = None
    schema_version: int | None = None
    recorded_at: datetime | None = None
    occurred_at: datetime | None = None
    source_position: str | None = None

    @property
    def data(self) -> Any:
        return None if self.data_text is None else json.loads(self.data_text)

    @property
    def metadata(self) -> Any:
        return {} if self.metadata_text is None else json.loads(self.metadata_text)

    def columns(self) -> dict[str, Any]:
        """The canonical columns, ``data`` and ``metadata`` as text."""
        values = dataclasses.asdict(self)
        return {name.removesuffix("_text"): value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a log; ``keys`` says where metadata keeps what has a meaning (JSON Pointers)."""

    base: int | None = None
    derived_versions: bool = False
    positions: str = "recorded"  # or "lines", or "issued"
    truncated: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """An aggregate: covers the streams whose id matches ``streams``, otherwise those with ``stream_type``
    (its name).
    """

    name: str
    initial: Any
    handlers: Mapping[str, Callable[[Any, Any], Any]]
    invariants: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    stream_type: str | None = None
    streams: str | None = None
    unknown: str = "ignore"  # or "error"
    first: tuple[str, ...] | None = None
    transitions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    final: tuple[str, ...] = ()

    def named(self) -> set[str]:
        """Event types that the lifecycle names."""
        return {*(self.first or ()), *self.transitions, *self.final}.union(*self.transitions.values())

    def known(self) -> set[str]:
        return {*self.handlers, *self.named()}


class State(NamedTuple):
    """A state at a coordinate. ``version`` and ``position``: the highest selected; ``events``: how many were
    folded.
    """

    value: Any
    stream_id: str
    version: int | None
    position: int | None
    events: int
    trust: tuple[str, ...]  # () is complete


class Version(NamedTuple):
    """One version of a history: the events folded at it, the state after them, the fields they changed."""

    version: int
    positions: tuple[int, ...]
    event_types: tuple[str, ...]
    value: Any
    changed: tuple[str, ...]
    trust: tuple[str, ...]


class Step(NamedTuple):
    row: Row
    before: Any
    value: Any
    error: str | None


def folding_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.version, row.position))


def position_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.position)


def streams(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each stream in folding order."""
    return {key: folding_order(group) for key, group in groups(rows, lambda row: row.stream_id).items()}


def groups(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    result: dict[Any, list[Row]] = {}
    for row in rows:
        result.setdefault(key(row), []).append(row)
    return result


def up_to(
    rows: Iterable[Row],
    *,
    version: int | None = None,
    as_of: datetime | None = None,
    position: int | None = None,
) -> list[Row]:
    """The rows at or before a coordinate; a row without a recorded time is at no time."""
    if version is not None:
        return [row for row in rows if row.version <= version]
    if as_of is not None:
        return [row for row in rows if row.recorded_at is not None and row.recorded_at <= as_of]
    if position is not None:
        return [row for row in rows if row.position <= position]
    return list(rows)


def infer_base(rows: Iterable[Row]) -> int | None:
    """The commoner of 0 and 1 among the streams' lowest versions that are not negative; None on a tie or
    without any.
    """
    lowest = [min((row.version for row in group if row.version >= 0), default=None) for group in streams(rows).values()]
    zeros, ones = lowest.count(0), lowest.count(1)
    return None if zeros == ones else 0 if zeros > ones else 1


def content(row: Row) -> tuple[Any, ...]:
    return row.event_type, row.schema_version, row.data_text, row.metadata_text


def identity(row: Row) -> tuple[Any, ...]:
    """Rows with the same identity are duplicates of one another."""
    by_version = row.version if row.event_id is None else None
    return row.stream_id, content(row), row.event_id, by_version


def fold(rows: Iterable[Row], rules: Rules, *, forks: str = "all") -> tuple[Any, list[Step]]:
    """Fold the rows of one stream: its value, and what each event did.

    A handler that raises leaves the state as it was before it, and so does an event type without a handler;
    folding goes on. A handler gets a copy, so that nothing it does to its argument is seen. ``forks="first"``
    folds of each version only the event with the lowest position.
    """
    value = copy.deepcopy(rules.initial() if callable(rules.initial) else rules.initial)
    steps = []
    for row in _folded(rows, forks):
        before, error = value, None
        if row.event_type in rules.handlers:
            try:
                value = copy.deepcopy(rules.handlers[row.event_type](copy.deepcopy(before), row))
            except Exception as problem:  # noqa: BLE001 (a handler may raise anything)
                value, error = before, f"{type(problem).__name__}: {problem}"
        steps.append(Step(row, before, value, error))
    return value, steps


def _folded(rows: Iterable[Row], forks: str) -> list[Row]:
    ordered = folding_order(rows)
    if forks == "all":
        return ordered
    return [group[0] for group in groups(ordered, lambda row: row.version).values()]


def trust(
    stream: Sequence[Row], selected: Sequence[Row], rules: Rules, facts: Facts, *, forks: str = "all"
) -> tuple[str, ...]:
    """Why a state folded from the selected rows of a stream is not complete, sorted; () when it is.

    Everything but ``not-a-prefix`` looks at the selected rows alone. ``not-a-prefix``: a row that was left
    out lies before a selected one in folding order. ``handler-error``: one of the folded rows made its
    handler raise. ``unknown-event-type``: a folded row's type is not known to a strict aggregate. A declared
    truncation is a missing head all the same.
    """
    marks = set()
    versions = {row.version for row in selected if row.version >= (facts.base or 0)}
    identities = {identity(row) for row in selected}
    if versions and not facts.derived_versions:
        if facts.base is not None and min(versions) > facts.base:
            marks.add("missing-head")
        if max(versions) - min(versions) + 1 > len(versions):
            marks.add("version-gap")
    if len(identities) < len(selected):
        marks.add("duplicate-event")
    for group in groups(selected, lambda row: row.version).values():
        if not facts.derived_versions and len({identity(row) for row in group}) > 1:
            marks.add("version-fork")
    folded = fold(selected, rules, forks=forks)[1]
    if any(step.error for step in folded):
        marks.add("handler-error")
    if rules.unknown == "error" and any(step.row.event_type not in rules.known() for step in folded):
        marks.add("unknown-event-type")
    if folding_order(stream)[: len(selected)] != folding_order(selected):
        marks.add("not-a-prefix")
    return tuple(sorted(marks))


def state(
    rows: Iterable[Row], rules: Rules, stream_id: str, facts: Facts, *, forks: str = "all", **coordinate: Any
) -> State:
    """The state of one stream at a coordinate; the initial state where the coordinate selects none of its
    events.
    """
    stream = streams(rows)[stream_id]
    selected = up_to(stream, **coordinate)
    value, steps = fold(selected, rules, forks=forks)
    version = max((row.version for row in selected), default=None)
    position = max((row.position for row in selected), default=None)
    return State(value, stream_id, version, position, len(steps), trust(stream, selected, rules, facts, forks=forks))


def covered(rows: Iterable[Row], rules: Rules) -> list[str]:
    """The streams that an aggregate covers: its id matches the pattern, or any event carries the type."""
    if rules.streams is not None:
        return sorted({row.stream_id for row in rows if fnmatchcase(row.stream_id, rules.streams)})
    wanted = rules.stream_type or rules.name
    return sorted({row.stream_id for row in rows if row.stream_type == wanted})


def states(
    rows: Sequence[Row], rules: Rules, facts: Facts, *, forks: str = "all", **coordinate: Any
) -> dict[str, State]:
    """The state of every covered stream that has an event at or before the coordinate."""
    every = [state(rows, rules, stream_id, facts, forks=forks, **coordinate) for stream_id in covered(rows, rules)]
    return {one.stream_id: one for one in every if one.events}


def fields_of(value: Any) -> dict[str, Any]:
    """The top-level fields of a state; one that has none is a single field with the name ''."""
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return {"": value}


def changed_fields(before: Any, after: Any) -> tuple[str, ...]:
    """The fields that were added, removed or have another value, sorted."""
    old, new = fields_of(before), fields_of(after)
    return tuple(sorted(k for k in {*old, *new} if k not in old or k not in new or old[k] != new[k]))


def history(
    rows: Iterable[Row], rules: Rules, stream_id: str, facts: Facts, *, forks: str = "all", **coordinate: Any
) -> list[Version]:
    """One row for each version that the coordinate selects: what was folded at it, the state after, what
    changed, trust so far.
    """
    stream = streams(rows)[stream_id]
    selected = up_to(stream, **coordinate)
    result = []
    steps = fold(selected, rules, forks=forks)[1]
    for version in sorted({row.version for row in selected}):
        here = [step for step in steps if step.row.version == version]
        so_far = [row for row in selected if row.version <= version]
        result.append(
            Version(
                version,
                tuple(step.row.position for step in here),
                tuple(step.row.event_type for step in here),
                here[-1].value,
                changed_fields(here[0].before, here[-1].value),
                trust(stream, so_far, rules, facts, forks=forks),
            )
        )
    return result


def blame(
    rows: Iterable[Row], rules: Rules, stream_id: str, *, forks: str = "all", **coordinate: Any
) -> dict[str, Row | None]:
    """For each field of the state the event that last added or changed it; None where it is as it was
    initially.
    """
    value, steps = fold(up_to(streams(rows)[stream_id], **coordinate), rules, forks=forks)
    result: dict[str, Row | None] = dict.fromkeys(fields_of(value))
    for step in steps:
        for name in changed_fields(step.before, step.value):
            if name in result:
                result[name] = step.row
    return result

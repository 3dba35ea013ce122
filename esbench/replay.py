"""Two users at once: their commands replayed as optimistic locking would have treated them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import pandas as pd

from esbench import payload, show
from esbench.aggregate import Aggregate, refuse_read_model
from esbench.branch import BadEdit, Edits
from esbench.errors import described
from esbench.event import Event
from esbench.facts import MEANINGS
from esbench.fold.copies import isolated
from esbench.fold.frames import field_columns
from esbench.fold.python import holds, initial_state

__all__ = ["NOTE", "Replay", "replay"]

NOTE = (
    "A retry appends the same event again, on the new version. The command itself is not in the log: one that decides "
    "anew on the new state might have done otherwise."
)

_NAMES = ("who", "event_type", "event_id", "attempt", "expected_version", "actual_version", "outcome", "reason")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Replay:
    """What optimistic locking would have made of commands that were handled at once.

    ``steps`` has a row an attempt: who, what, the version expected and the version that the stream had, the outcome
    (``accepted``, ``conflict``, ``refused``), the reason, and the state after it. ``edits`` make the
    stream as it would be, ``branch`` is the log with them.
    """

    stream_id: str
    steps: pd.DataFrame
    edits: Edits
    branch: Any = None
    note: str = NOTE

    def __repr__(self) -> str:
        lines = [
            f"Replay of {show.cell(self.stream_id)}: {self._summary()}",
            show.plain(self.steps),
            show.wrapped(self.note, 100),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        title = f"Replay of {self.stream_id}: {self._summary()}"
        return show.table(self.steps, title=title, notes=[self.note])

    def _summary(self) -> str:
        counts = self.steps["outcome"].value_counts()
        accepted, refused = (int(counts.get(name, 0)) for name in ("accepted", "refused"))
        conflicts = show.count(int(counts.get("conflict", 0)), "conflict")
        return f"{show.count(accepted + refused, 'command')}, {conflicts}, {accepted} accepted, {refused} refused"


def replay(
    edits: Edits,
    aggregate: Aggregate,
    *,
    versions: Iterable[int] | None = None,
    events: Iterable[int | str] | None = None,
) -> Replay:
    """Replay commands that were handled at once, in the order in which their events were recorded.

    ``versions`` are forks, each a race of its own (all of the stream unless given); ``events``, positions or event ids,
    are one race. A command expects the version that metadata names (``keys`` of the log), otherwise the one before the
    first event of its race. Where the stream has another by then, that is a conflict, and the event is appended again
    on the version that the stream has. It is refused when its handler fails, or when an invariant that held holds no
    longer. What is refused is dropped, and what follows moves.
    """
    refuse_read_model(aggregate)
    aggregate = getattr(aggregate, "aggregate", aggregate)  # a projection's own handlers
    aggregate.freeze()
    every = list(edits.events.stream(edits.stream_id))
    races = _races(edits, every, versions, events)
    raced = edits.stream.find("list_contains($some::bigint[], position)", some=[*races])
    rows = {row["position"]: row for row in raced}
    origins = {event.position: edits.overlay.origin(event.position) for event in every}
    pointers = {**MEANINGS, **edits.source.facts.keys}
    expectations: dict[int, int] = {}
    value, broken = initial_state(aggregate), frozenset[str]()
    version, moved = None, 0  # the version that the stream has, and by how much the next events are numbered higher
    steps: list[tuple[Any, ...]] = []
    values: list[Any] = []
    for event in every:
        place = edits.overlay.place(origins[event.position])
        race = races.get(event.position)
        if race is None:
            version = event.version + moved
            event_now = msgspec.structs.replace(event, version=version, position=place)
            value, broken, _ = _after(aggregate, value, broken, event_now)
            continue
        metadata = _metadata(event)
        who = payload.get(metadata, pointers["writer"])
        who = who if isinstance(who, str) and who else f"writer {len({step[0] for step in steps}) + 1}"
        named = payload.get(metadata, pointers["expected_version"])
        named = named if type(named) is int else None
        start = expectations.setdefault(race, race - 1 + moved)
        expected = start if named is None else named + start - (race - 1)
        # Versions that are missing before the race were there when its commands were handled.
        actual = start if version is None else max(version, start)
        about = (who, event.event_type, event.event_id)
        if expected != actual:
            steps.append((*about, 1, expected, actual, "conflict", f"the stream has version {actual}"))
            values.append(value)
        event_now = msgspec.structs.replace(event, version=actual + 1, position=place)
        after, breaks, error = _after(aggregate, value, broken, event_now)
        refused = error or "; ".join(name for name in aggregate.invariants if name in breaks - broken)
        if refused:
            dropped = edits.drop(position=place)
            moved += dropped.end - edits.end
            edits = dropped
        else:
            row = {**rows[event.position], "position": place, "version": event.version + moved}
            given: dict[str, Any] = {} if row["version"] == actual + 1 else {"version": actual + 1}
            if named is not None and named != actual:
                given["metadata"] = payload.encode(_with(metadata, pointers["expected_version"], actual))
            if "version" in given:
                edits = edits.room(actual + 1)
                moved += 1
            if given:
                edits = edits.put(row, given, f"{show.cell(event.event_type)} appended as version {actual + 1}")
            value, broken, version = after, breaks, actual + 1
        attempt = 1 if expected == actual else 2
        steps.append((*about, attempt, actual, actual, "refused" if refused else "accepted", refused))
        values.append(value)
    return Replay(edits.stream_id, _frame(steps, values), edits)


def _races(
    edits: Edits, every: list[Event], versions: Iterable[int] | None, events: Iterable[int | str] | None
) -> dict[int, int]:
    """The first version of its race for the position of each event that is in one."""
    by_version: dict[int, list[Event]] = {}
    for event in every:
        by_version.setdefault(event.version, []).append(event)
    if events is not None:
        if versions is not None:
            raise BadEdit("versions= or events=, not both")
        stream = edits.stream
        chosen = [
            stream.one(
                version=None,
                position=None if isinstance(each, str) else each,
                event_id=each if isinstance(each, str) else None,
            )
            for each in events
        ]
        if len({row["position"] for row in chosen}) < 2:
            raise BadEdit("a race has two events or more")
        return {row["position"]: min(one["version"] for one in chosen) for row in chosen}
    forks = [version for version, group in by_version.items() if len(group) > 1]
    wanted = forks if versions is None else list(versions)
    for version in wanted:
        if version not in forks:
            has = f" It has forks at {', '.join(map(str, forks[:10]))}." if forks else " It has none."
            raise BadEdit(
                f'no fork at version {version} of "{show.cell(edits.stream_id)}".{has} events= names events of '
                "different versions, as if they had been handled at once"
            )
    return {event.position: version for version in wanted for event in by_version[version]}


def _after(aggregate: Aggregate, value: Any, broken: frozenset[str], event: Event) -> tuple[Any, frozenset[str], str]:
    """The state after an event, the invariants that do not hold of it, and what its handler raised."""
    handler = aggregate.handlers.get(event.event_type)
    if handler is None:
        return value, broken, ""
    try:
        after = handler(isolated(value), event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
        return value, broken, described(error)
    if after is None and value is not None:
        return value, broken, "its handler returned None"
    return after, frozenset(name for name, each in aggregate.invariants.items() if not holds(each, after)[0]), ""


def _metadata(event: Event) -> Any:
    try:
        return event.metadata
    except payload.PayloadError:
        return {}


def _with(value: Any, path: str, leaf: Any) -> Any:
    """A copy of a value with another leaf at a pointer that it has."""
    result = isolated(value)
    *steps, last = payload.pointer(path)
    payload.get(result, steps)[last] = leaf
    return result


def _frame(steps: list[tuple[Any, ...]], values: list[Any]) -> pd.DataFrame:
    columns = list(zip(*steps, strict=True)) or [()] * len(_NAMES)
    kinds = dict.fromkeys(_NAMES, "str") | dict.fromkeys(("attempt", "expected_version", "actual_version"), "int64")
    known = {name: pd.Series(list(column), dtype=kinds[name]) for name, column in zip(_NAMES, columns, strict=True)}
    return pd.DataFrame({**known, **field_columns(values, set(known))})

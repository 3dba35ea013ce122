"""Drift: fields whose type or presence changes in the course of a log while the schema version stays the same.

All is found from counts: of each event type, schema version and path how many events have a value of which type
there, and the first and last position of these. A clean change shows in that, so no event is read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from esbench import payload
from esbench.checks.check import Found
from esbench.checks.reader import Reader
from esbench.event import literal

__all__ = ["find_drift"]

#: A field appears or disappears where so many events at least are on either side.
_ENOUGH = 5
#: An object that has more names than this is a map, whose members are no fields; deeper fields are not looked at.
_NAMES, _DEPTH = 1_000, 8

_KINDS = {
    "NULL": "null",
    "BOOLEAN": "a boolean",
    "VARCHAR": "text",
    "OBJECT": "an object",
    "ARRAY": "a list",
}
_ABSENT = "absent"

#: Event type and schema version.
_Version = tuple[str, int | None]


@dataclass(slots=True)
class _Seen:
    """How many events have one kind of value at a path, and from where to where."""

    count: int
    first: int
    last: int

    def more(self, count: int, first: int, last: int) -> None:
        self.count += count
        self.first, self.last = min(self.first, first), max(self.last, last)


_Kinds = dict[str, _Seen]


def find_drift(reader: Reader) -> Iterator[Found]:
    """One finding a path of an event type and schema version whose type changes, or that appears or disappears."""
    found: list[tuple[_Version, str, str, str, str, int, int]] = []
    rows = reader.rows("select distinct event_type from events where data is not null order by event_type")
    # Of each event type the paths to be looked at, each with that of the object around it.
    paths = {row["event_type"]: [("", "")] for row in rows}
    for level in range(_DEPTH + 1):
        kinds = _kinds_of(reader, paths, whole=level == 0)
        for (version, path), one in kinds.items():
            found += [(version, path, *change) for change in _changes(one)]
        objects: dict[str, set[str]] = {event_type: set() for event_type in paths}
        for ((event_type, _), path), one in kinds.items():
            if "an object" in one:
                objects[event_type].add(path)
        names = _names_of(reader, objects)
        paths = {
            event_type: [
                (parent, f"{parent}/{_step(name)}")
                for parent in sorted(parents)
                for name in names.get((event_type, parent), ())
            ]
            for event_type, parents in objects.items()
        }
    yield from _told(reader, found)


def _changes(kinds: Mapping[str, _Seen]) -> Iterator[tuple[str, str, str, int, int]]:
    """What changes at a path: the problem, from what to what, the event before and the event that changes."""
    values = sorted((one.first, kind) for kind, one in kinds.items() if kind not in (_ABSENT, "null"))
    if len(values) > 1:
        (before, old), (after, new) = values[:2]
        yield "type", old, new, before, after
    without = kinds.get(_ABSENT)
    having = [one for kind, one in kinds.items() if kind != _ABSENT]
    if without is None or without.count < _ENOUGH or sum(one.count for one in having) < _ENOUGH:
        return
    first, last = min(one.first for one in having), max(one.last for one in having)
    if without.last < first:
        yield "appears", "no such field", "a field", without.last, first
    elif last < without.first:
        yield "disappears", "a field", "no such field", last, without.first


def _kinds_of(
    reader: Reader, paths: Mapping[str, list[tuple[str, str]]], *, whole: bool
) -> dict[tuple[_Version, str], _Kinds]:
    """Of each event type, schema version and path: the kinds of value there, where the object around it is one."""
    asked = {event_type: sorted({one for pair in some for one in pair}) for event_type, some in paths.items() if some}
    if not asked:
        return {}
    rows = reader.rows(
        f"""
        select event_type, schema_version, kinds, count(*) as count, min(position) as first, max(position) as last
        from (
            select event_type, schema_version, position, {_by_type(asked, payload.kinds_at)} as kinds
            from events
            where data is not null and event_type in ({", ".join(map(literal, asked))})
        )
        group by event_type, schema_version, kinds
        """
    )
    result: dict[tuple[_Version, str], _Kinds] = {}
    for row in rows:
        event_type = row["event_type"]
        kinds = dict(zip(asked[event_type], row["kinds"], strict=True))
        extent = row["count"], row["first"], row["last"]
        for parent, path in paths[event_type]:
            if not whole and kinds[parent] != "OBJECT":
                continue
            kind = _ABSENT if kinds[path] is None else _KINDS.get(kinds[path], "a number")
            of_path = result.setdefault(((event_type, row["schema_version"]), path), {})
            if kind in of_path:
                of_path[kind].more(*extent)
            else:
                of_path[kind] = _Seen(*extent)
    return result


def _names_of(reader: Reader, objects: Mapping[str, Collection[str]]) -> dict[tuple[str, str], list[str]]:
    """The names that objects of each event type have at each path; none of what is a map, or cannot be a path."""
    asked = {event_type: sorted(some) for event_type, some in objects.items() if some}
    if not asked:
        return {}
    rows = reader.rows(
        f"""
        select event_type, place, list(name order by name) as names
        from (
            select event_type, place, name
            from (
                select distinct event_type, place, unnest(names) as name
                from (
                    select event_type, unnest(names) as names, generate_subscripts(names, 1) as place
                    from (
                        select distinct event_type, {_by_type(asked, payload.names_at)} as names
                        from events
                        where data is not null and event_type in ({", ".join(map(literal, asked))})
                    )
                )
            )
            qualify row_number() over (partition by event_type, place order by name) <= {_NAMES + 1}
        )
        group by event_type, place
        """
    )
    result = {}
    for row in rows:
        event_type, names = row["event_type"], row["names"]
        if len(names) <= _NAMES:
            path = asked[event_type][row["place"] - 1]
            result[event_type, path] = [name for name in names if "\0" not in name]
    return result


def _by_type(asked: Mapping[str, list[str]], made: Callable[[str, str], str]) -> str:
    """SQL: for each event type what stands at its paths; the engine wants constants there."""
    cases = " ".join(
        f"when {literal(event_type)} then {made('data', '[' + ', '.join(map(literal, paths)) + ']')}"
        for event_type, paths in asked.items()
    )
    return f"case event_type {cases} end"


def _told(reader: Reader, changes: list[tuple[_Version, str, str, str, str, int, int]]) -> Iterator[Found]:
    reader.parameters["drifted"] = sorted({change[-1] for change in changes})
    if not changes:
        return
    text = "select position, stream_id, version from events where position in (select unnest($drifted::bigint[]))"
    places = {row["position"]: (row["stream_id"], row["version"]) for row in reader.rows(text)}
    for (event_type, version), path, problem, old, new, before, position in changes:
        stream_id, number = places[position]
        detail = {"event_type": event_type, "schema_version": version, "path": path, "problem": problem}
        yield Found(
            "schema-drift", "info" if problem == "appears" else "warning", stream_id, number, None, position,
            tuple(sorted((before, position))), 2, {**detail, "from": old, "to": new},
        )  # fmt: skip


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

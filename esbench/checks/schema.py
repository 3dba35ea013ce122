"""Checks of payloads: fields that drift without a new schema version, names that stand twice, JSON Schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from esbench import payload
from esbench.checks.check import Check, Found, Has, Said, Seen, named, shown
from esbench.checks.drift import find_drift
from esbench.checks.reader import Reader
from esbench.errors import EsbenchError
from esbench.fold.changes import brief

__all__ = ["CHECKS", "Schemas", "find", "schemas_of", "unclaimed"]

_DUPLICATE, _VIOLATION, _DRIFT = "duplicate-key", "schema-violation", "schema-drift"
#: So many positions are kept of a finding.
_POSITIONS = 100

#: An event type, and a schema version of it; None where events carry none.
Which = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Schemas:
    """What payloads must be: a validator for each event type and schema version, or of all versions of a type."""

    by_version: Mapping[Which, Callable[[Any], Any]]
    by_type: Mapping[str, Callable[[Any], Any]]

    def of(self, event_type: str, schema_version: int | None) -> Callable[[Any], Any] | None:
        """The validator of an event."""
        return self.by_version.get((event_type, schema_version)) or self.by_type.get(event_type)

    @property
    def types(self) -> list[str]:
        """The event types that have any."""
        return sorted({*self.by_type, *(event_type for event_type, _ in self.by_version)})


@dataclass(slots=True)
class _Group:
    """Events that have one thing wrong with them, as they come."""

    positions: list[int] = field(default_factory=list)
    first: tuple[int, str, int, str] = (0, "", 0, "")
    count: int = 0

    def add(self, position: int, stream_id: str, version: int, note: str) -> None:
        self.count += 1
        if self.count == 1 or position < self.first[0]:
            self.first = position, stream_id, version, note
        # Twice as many are kept as are told, so that they are sorted seldom.
        self.positions.append(position)
        if len(self.positions) > 2 * _POSITIONS:
            self.positions = sorted(self.positions)[:_POSITIONS]

    def found(self, check: str, severity: str, detail: Mapping[str, Any]) -> Found:
        position, stream_id, version, _ = self.first
        some = tuple(sorted(self.positions)[:_POSITIONS])
        return Found(check, severity, stream_id, version, None, position, some, self.count, detail)


def _tell_duplicate(found: Found, events: Mapping[int, Seen]) -> Said:
    event, path = found.own(events), found.detail["path"]
    return Said(
        f"{shown(path)} twice",
        "each name once in an object",
        f"In {_count(found)} of type {shown(event.event_type)} the name at {shown(path)} stands more than once in its "
        f"object, first in version {event.version} of stream {shown(found.stream_id)} ({named(event)}): readers "
        "disagree about which value counts.",
    )


def _tell_violation(found: Found, events: Mapping[int, Seen]) -> Said:
    event, detail = found.own(events), found.detail
    version = "" if detail["schema_version"] is None else f", schema version {detail['schema_version']},"
    return Said(
        shown(detail["problem"]),
        shown(detail["rule"]),
        f"The payload of {_count(found)} of type {shown(event.event_type)}{version} is not as its JSON Schema says, "
        f"first in version {event.version} of stream {shown(found.stream_id)} ({named(event)}): "
        f"{shown(detail['problem'])}.",
    )


def _tell_drift(found: Found, events: Mapping[int, Seen]) -> Said:
    event, detail = found.own(events), found.detail
    before = next((events[p] for p in found.positions if p != found.position and p in events), event)
    path, old, new = shown(detail["path"] or "/"), detail["from"], detail["to"]
    version = detail["schema_version"]
    which = "without a schema version" if version is None else f"of schema version {version}"
    of = f"events of type {shown(event.event_type)} {which}"
    what = {
        "type": f"In {of} the field {path} is {old} from position {before.position} and {new} from",
        "appears": f"All {of} have the field {path}, which none had up to position {before.position}, from",
        "disappears": f"No {of} have the field {path}, which all had up to position {before.position}, from",
    }[detail["problem"]]
    return Said(
        new,
        old,
        f"{what} version {event.version} of stream {shown(found.stream_id)} ({named(event)}) on.",
    )


def _count(found: Found) -> str:
    return f"{found.involved:,} {'event' if found.involved == 1 else 'events'}"


CHECKS = (
    Check(
        _DUPLICATE,
        ("warning",),
        "A name stands twice in one object of a payload, so that readers disagree about its value; told once an event "
        "type and path.",
        _tell_duplicate,
        kind="schema",
    ),
    Check(
        _DRIFT,
        ("warning", "info"),
        "A field changes its type or disappears without a new schema version. Info where it appears. Fields inside "
        "lists are not looked at.",
        _tell_drift,
        needs=("order",),
        kind="schema",
    ),
    Check(
        _VIOLATION,
        ("error",),
        "A payload is not as the JSON Schema of its event type and schema version says; told once a type, schema "
        "version, place and rule.",
        _tell_violation,
        kind="schema",
    ),
)


def schemas_of(given: Mapping[Any, Any] | None) -> Schemas | None:
    """Validators of JSON Schemas by event type and schema version. Raises EsbenchError for what is none, naming it."""
    if given is None:
        return None
    by_version: dict[Which, Callable[[Any], Any]] = {}
    by_type: dict[str, Callable[[Any], Any]] = {}
    for which, schema in given.items():
        if isinstance(which, str):
            by_type[which] = _validator(which, schema)
            continue
        if not isinstance(which, tuple) or [type(one) for one in which] not in ([str, int], [str, type(None)]):
            raise EsbenchError(
                f'schemas= is a dict from ("OrderPlaced", 1), an event type and a schema version, or from an event '
                f"type, to a JSON Schema; not from {brief(which)}"
            )
        by_version[which] = _validator(which, schema)
    return Schemas(by_version, by_type)


def unclaimed(check: Check, schemas: Schemas | None, reader: Reader, has: Has) -> str | None:
    """Why a check of payloads cannot be claimed; None when it can."""
    reason = check.why_not(reader.events.facts, has)
    if reason is not None or check.name != _VIOLATION:
        return reason
    if schemas is None:
        return "no JSON Schema was given: schemas= takes them"
    rows = reader.rows("select distinct event_type, schema_version from events")
    if not any(schemas.of(row["event_type"], row["schema_version"]) for row in rows):
        return "no event is of a type and schema version that schemas= names"
    return None


def find(reader: Reader, names: Collection[str], schemas: Schemas | None) -> Iterator[Found]:
    """All findings of checks of payloads."""
    if _DUPLICATE in names:
        yield from _find_duplicates(reader)
    if _DRIFT in names:
        yield from find_drift(reader)
    if _VIOLATION in names and schemas is not None:
        yield from _find_violations(reader, schemas)


_READ = ("position", "stream_id", "version", "event_type", "schema_version")


def _find_duplicates(reader: Reader) -> Iterator[Found]:
    """Of each event type and path, the events whose payload has a name there twice.

    Flat payloads, which most are, SQL proves sound; the others are read here.
    """
    where = f"data is not null and not {payload.unrepeated('data')}"
    groups: dict[tuple[str, str], _Group] = {}
    for batch in _batches(reader, where):
        texts: list[Any] = batch.column("data").to_pylist()
        for row, text in enumerate(texts):
            if paths := payload.repeated_names(text):
                position, stream_id, version, event_type = (batch.column(name)[row].as_py() for name in _READ[:4])
                for path in dict.fromkeys(paths):
                    groups.setdefault((event_type, path), _Group()).add(position, stream_id, version, "")
    for (event_type, path), group in sorted(groups.items()):
        yield group.found(_DUPLICATE, "warning", {"event_type": event_type, "path": path})


def _find_violations(reader: Reader, schemas: Schemas) -> Iterator[Found]:
    """Of each type, version, place and rule, the events whose payload breaks it; the first rule that each breaks."""
    groups: dict[tuple[str, int | None, str, str], _Group] = {}
    where = "event_type in (select unnest($_types::varchar[]))"
    for position, stream_id, version, event_type, schema_version, text in _payloads(reader, where, schemas.types):
        validator = schemas.of(event_type, schema_version)
        if validator is None:
            continue
        try:
            validator(None if text is None else payload.decode(text))
        except payload.PayloadError as error:
            place, rule, problem = "", "readable JSON", str(error)
        except ValueError as error:
            place, rule, problem = _told(error)
        except RecursionError:
            place, rule, problem = "", "a payload of less depth", "nested too deeply to be judged"
        else:
            continue
        key = (event_type, schema_version, place, rule)
        groups.setdefault(key, _Group()).add(position, stream_id, version, problem)
    ordered = sorted(groups.items(), key=lambda one: (one[0][0], one[0][1] is not None, one[0][1] or 0, *one[0][2:]))
    for (event_type, schema_version, place, rule), group in ordered:
        detail = {"event_type": event_type, "schema_version": schema_version, "path": place, "rule": rule}
        yield group.found(_VIOLATION, "error", {**detail, "problem": group.first[3]})


def _payloads(reader: Reader, where: str, types: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for batch in _batches(reader, where, _types=list(types)):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _batches(reader: Reader, where: str, **parameters: Any) -> Iterator[pa.RecordBatch]:
    """What is read of some events, as they come: no order is needed, so none is made."""
    as_they_come = replace(reader.events, ordered=True)
    return as_they_come.batches([*_READ, "data::varchar as data"], where=where, **parameters)


def _validator(which: object, schema: Any) -> Callable[[Any], Any]:
    try:
        import fastjsonschema
    except ImportError as error:
        raise EsbenchError(
            "JSON Schemas need a package that is not installed: pip install 'esbench[schema]'"
        ) from error
    try:
        validator: Callable[[Any], Any] = fastjsonschema.compile(schema, handlers=_Nowhere(), use_default=False)
    except Exception as error:
        raise EsbenchError(f"schemas= has no JSON Schema for {brief(which)}, but {brief(schema)}: {error}") from error
    return validator


class _Nowhere(dict[str, Callable[[str], Any]]):
    """Fetches no schema from anywhere: what a schema refers to stands in it."""

    def __contains__(self, scheme: object) -> bool:
        return True

    def __missing__(self, scheme: str) -> Callable[[str], Any]:
        def refuse(uri: str) -> Any:
            raise EsbenchError(f"it refers to {uri}, which is not fetched: put what it refers to into its definitions")

        return refuse


def _told(error: ValueError) -> tuple[str, str, str]:
    """Where a payload breaks a schema, which rule, and in words; items of lists as ``*``."""
    name, message = str(getattr(error, "name", "") or "data"), str(error)
    rule = getattr(error, "rule", None)
    definition = getattr(error, "rule_definition", None)
    place = re.sub(r"\[\d+\]", "[*]", name.removeprefix("data"))
    return place, f"{rule}: {brief(definition)}" if rule else "its schema", message

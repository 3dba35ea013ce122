"""What steps on single events make of a log: lists of dicts and slices of text, slow, without a line of esbench.

A row is a dict of the canonical columns (``data`` and ``metadata`` as text) and of its lineage.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from typing import Any

from tests.oracle import Row

Item = dict[str, Any]
#: From a payload's text to the one after an edit.
Edit = Callable[[str], str]
Hit = Callable[[Item], bool]

_skip = WHITESPACE.match
_read = json.JSONDecoder().raw_decode


class CannotError(Exception):
    """An edit cannot be done: the event fails."""


@dataclass
class Log:
    """Rows on their way through steps; ``gone``: those that a step took away; ``counts``: a dict a step."""

    rows: list[Item]
    gone: list[Item] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)

    @property
    def number(self) -> int:
        return len(self.counts)

    def streams(self) -> dict[str, list[Item]]:
        """The rows of each stream in folding order."""
        found: dict[str, list[Item]] = {}
        for item in sorted(self.rows, key=lambda item: (item["version"], item["position"])):
            found.setdefault(item["stream_id"], []).append(item)
        return found

    def fates(self) -> dict[str, int]:
        """What became of each event of the source."""
        told = Counter(
            "failed" if item["failed"] is not None else "changed" if item["steps"] else "kept" for item in self.rows
        )
        told["dropped"] = len(self.gone)
        return {name: told[name] for name in ("kept", "changed", "dropped", "merged", "split", "failed")}

    def dropped(self) -> dict[int, int]:
        """The step that took each source event away."""
        return {item["origin"]: item["gone"] for item in self.gone}

    def types(self) -> Counter[str]:
        return Counter(item["event_type"] for item in self.rows)


def started(rows: Iterable[Row]) -> Log:
    """A log that no step has met."""
    lineage = {"source": 0, "others": None, "nth": 0, "steps": 0, "met": 0, "failed": None}
    return Log([{**row.columns(), **lineage, "origin": row.position} for row in rows])


def _count(log: Log, met: list[Item], **more: int) -> None:
    bit = 1 << log.number
    counts = {"matched": len(met), "changed": 0, "dropped": 0, "failed": 0}
    for item in met:
        item["met"] |= bit
        counts["changed"] += bool(item["steps"] & bit) and "gone" not in item
        counts["failed"] += item["failed"] == log.number
    log.counts.append({**counts, **more})


def valued(log: Log, hit: Hit, **values: Any) -> None:
    """Other values in some columns."""
    met = [item for item in log.rows if item["failed"] is None and hit(item)]
    for item in met:
        if any(item[name] != value for name, value in values.items()):
            item |= {**values, "steps": item["steps"] | 1 << log.number}
    _count(log, met)


def edited(log: Log, hit: Hit, edit: Edit, *, column: str = "data", to: int | None = None) -> None:
    """Another payload; ``to``: with this schema version."""
    met = [item for item in log.rows if item["failed"] is None and hit(item)]
    for item in met:
        if item[column] is None:
            continue
        try:
            new = {column: edit(item[column])} | ({} if to is None else {"schema_version": to})
        except CannotError:
            item["failed"] = log.number
            continue
        if any(item[name] != value for name, value in new.items()):
            item |= {**new, "steps": item["steps"] | 1 << log.number}
    _count(log, met)


def dropped(log: Log, hit: Hit, *, leave_gap: bool = False) -> None:
    """Without some rows. A version that nobody has any more is closed up, unless a gap is to be left."""
    met = [item for item in log.rows if item["failed"] is None and hit(item)]
    for item in met:
        item |= {"gone": log.number, "steps": item["steps"] | 1 << log.number}
    left = [item for item in log.rows if "gone" not in item]
    if not leave_gap:
        vanished: dict[str, set[int]] = {}
        for item in met:
            vanished.setdefault(item["stream_id"], set()).add(item["version"])
        for item in left:
            vanished.get(item["stream_id"], set()).discard(item["version"])
        for item in left:
            item["version"] -= sum(version < item["version"] for version in vanished.get(item["stream_id"], ()))
    _count(log, met, dropped=len(met))
    log.rows = left
    log.gone += met


def unrepeated(log: Log, hit: Hit) -> None:
    """Without what was delivered again: equal content in a stream, with the same id or, without one, version."""
    again = set()
    for stream in log.streams().values():
        seen = set()
        for item in stream:
            named = (item["event_id"], item["version"] if item["event_id"] is None else None)
            content = (*named, *(item[name] for name in ("event_type", "schema_version", "data", "metadata")))
            if content in seen:
                again.add(item["origin"])
            seen.add(content)
    dropped(log, lambda item: item["origin"] in again and hit(item))


# Edits of objects written with one spacing throughout. Members are (key, value), both as they are written.


def _members(text: str) -> list[tuple[str, str]] | None:
    """The members of an object; None for anything else."""
    if not text.startswith("{"):
        return None
    found, at = [], _skip(text, 1).end()
    while text[at] != "}":
        _, end = _read(text, at)
        key, at = text[at:end], _skip(text, end).end() + 1
        at = _skip(text, at).end()
        _, end = _read(text, at)
        found.append((key, text[at:end]))
        at = _skip(text, end).end()
        at = _skip(text, at + (text[at] == ",")).end()
    return found


def _object(members: Sequence[tuple[str, str]], space: str) -> str:
    return "{" + f",{space}".join(f"{key}:{space}{value}" for key, value in members) + "}"


def _place(members: Sequence[tuple[str, str]], name: str) -> int | None:
    found = [place for place, (key, _) in enumerate(members) if json.loads(key) == name]
    if len(found) > 1:
        raise CannotError("twice")
    return found[0] if found else None


def value(text: str, path: Sequence[str]) -> str | None:
    """What stands at a path, as it is written; None where nothing does."""
    for name in path:
        members = _members(text)
        place = None if members is None else _place(members, name)
        if members is None or place is None:
            return None
        text = members[place][1]
    return text


def put(text: str, path: Sequence[str], new: str | None, space: str, *, key: str | None = None) -> str:
    """A text with another value at a path, or none; missing parents are made. ``key``: and another name there."""
    members = _members(text)
    if members is None:
        raise CannotError("no object")
    place = _place(members, path[0])
    if len(path) > 1:
        inner = put("{}" if place is None else members[place][1], path[1:], new, space, key=key)
    elif new is None:
        assert place is not None
        del members[place]
        return _object(members, space)
    else:
        inner = new
    if place is None:
        members.append((json.dumps(path[0], ensure_ascii=False), inner))
    else:
        members[place] = (key if key is not None and len(path) == 1 else members[place][0], inner)
    return _object(members, space)


def spacing(text: str) -> str:
    """What stands behind commas and colons: of these payloads a space or nothing."""
    members = _members(text)
    return " " if members and text != _object(members, "") else ""


def add(path: Sequence[str], new: str, *, replace: bool) -> Edit:
    def edit(text: str) -> str:
        if value(text, path) is not None and not replace:
            return text
        return put(text, path, new, spacing(text))

    return edit


def remove(path: Sequence[str]) -> Edit:
    return lambda text: text if value(text, path) is None else put(text, path, None, spacing(text))


def rename(path: Sequence[str], name: str) -> Edit:
    def edit(text: str) -> str:
        old = value(text, path)
        if old is None or path[-1] == name:
            return text
        if value(text, (*path[:-1], name)) is not None:
            raise CannotError("taken")
        return put(text, path, old, spacing(text), key=json.dumps(name, ensure_ascii=False))

    return edit


def move(path: Sequence[str], to: Sequence[str]) -> Edit:
    def edit(text: str) -> str:
        old, space = value(text, path), spacing(text)
        if old is None or path == to:
            return text
        rest = put(text, path, None, space)
        if value(rest, to) is not None:
            raise CannotError("taken")
        return put(rest, to, old, space)

    return edit


def convert(path: Sequence[str], function: Callable[[str], str]) -> Edit:
    """A value by a function of its text; the function raises CannotError."""

    def edit(text: str) -> str:
        old = value(text, path)
        return text if old is None else put(text, path, function(old), spacing(text))

    return edit


def spread(
    path: Sequence[str], into: Sequence[Sequence[str]], function: Callable[[str], list[str]], *, keep: bool
) -> Edit:
    """One value becomes several; where it stood, if that is among them."""

    def edit(text: str) -> str:
        old, space = value(text, path), spacing(text)
        if old is None:
            return text
        new = dict(zip(map(tuple, into), function(old), strict=True))
        if tuple(path) in new:
            text = put(text, path, new.pop(tuple(path)), space)
        elif not keep:
            text = put(text, path, None, space)
        return _added(text, new, space)

    return edit


def combine(
    paths: Sequence[Sequence[str]], to: Sequence[str], function: Callable[[list[str | None]], str], *, keep: bool
) -> Edit:
    """Several values become one; where one of them stood, if that is the place."""

    def edit(text: str) -> str:
        space = spacing(text)
        olds = [value(text, path) for path in paths]
        if olds == [None] * len(olds):
            return text
        new = {tuple(to): function(olds)}
        for path, old in zip(paths, olds, strict=True):
            if old is not None and tuple(path) in new:
                text = put(text, path, new.pop(tuple(path)), space)
            elif old is not None and not keep:
                text = put(text, path, None, space)
        return _added(text, new, space)

    return edit


def _added(text: str, new: dict[tuple[str, ...], str], space: str) -> str:
    for path, raw in new.items():
        if value(text, path) is not None:
            raise CannotError("taken")
        text = put(text, path, raw, space)
    return text

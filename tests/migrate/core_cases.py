"""Steps on single events drawn at random, each with what the reference does instead; payloads that both can edit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import strategies as st

from esbench.migrate import (
    add_field,
    bump_version,
    convert_field,
    drop_duplicates,
    drop_events,
    drop_field,
    merge_fields,
    move_field,
    rename_field,
    rename_type,
    retype_field,
    split_field,
    upcast,
)
from esbench.migrate.step import Step
from tests import strategies
from tests.migrate import oracle_core as hand
from tests.migrate.oracle_core import CannotError, Hit, Item, Log
from tests.oracle import Row

__all__ = ["Case", "cases", "damaged", "objects"]

Case = tuple[Step, Callable[[Log], None]]

NAMES = ("a", "b", "c", 'it"s', "ü", "a/b~c", "$.a", "", "%'", "x.y")
RAWS = ("1.10", "-0", "1e3", "18446744073709551617", '"x y"', '"7"', "true", "null", '"\\u00e9\\/"', "[1, 2]", "{}")


@st.composite
def objects(draw: st.DrawFn, space: str | None = None, depth: int = 2) -> str:
    """Texts of objects with one spacing throughout, no name twice in one."""
    space = draw(st.sampled_from(("", " "))) if space is None else space
    values: st.SearchStrategy[str] = st.sampled_from(RAWS)
    if depth:
        values = st.one_of(values, objects(space=space, depth=depth - 1))
    members = draw(st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4, unique_by=lambda pair: pair[0]))
    return hand._object([(json.dumps(name, ensure_ascii=False), value) for name, value in members], space)


@st.composite
def damaged(draw: st.DrawFn, max_events: int = 20) -> list[Row]:
    """Damaged logs; few payloads, so that contents repeat, and schema versions that upcasters meet."""
    pool = draw(st.lists(objects(), min_size=1, max_size=4))
    rows = draw(strategies.logs(max_streams=4, max_events=max_events, payloads=st.sampled_from((*pool, *pool, None))))
    again = draw(st.lists(st.sampled_from(rows), max_size=3))
    versions = st.sampled_from((None, None, 1, 2, 3))
    rows = [replace(row, schema_version=draw(versions)) for row in rows]
    last = max(row.position for row in rows)
    return rows + [replace(row, position=last + n) for n, row in enumerate(again, start=1)]


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


PATHS = st.lists(st.sampled_from((*NAMES, "a", "b", "c")), min_size=1, max_size=3).map(tuple)

WHERES: dict[str, Hit] = {
    "version > 1": lambda item: item["version"] > 1,
    "position % 2 = 0": lambda item: item["position"] % 2 == 0,
    "schema_version is null": lambda item: item["schema_version"] is None,
    "data is not null": lambda item: item["data"] is not None,
}


@st.composite
def taken(draw: st.DrawFn, *, one: bool = False, some: bool = False) -> tuple[dict[str, Any], Hit]:
    """Which events a step takes, as options and as a function; ``one``: whose type is named elsewhere."""
    kinds = (None, None, ["Added"], ["Added", "Taken", "Set"], list(strategies.HOSTILE))
    types = None if one else draw(st.sampled_from(kinds))
    streams = draw(st.sampled_from((None, None, "a-*", "*", "b-1", "[a-z]*?")))
    where = draw(st.sampled_from((None, None, *WHERES)))
    if some and types is None and streams is None and where is None:
        where = "version > 1"

    def hit(item: Item) -> bool:
        name = item["stream_id"]
        return (
            (types is None or item["event_type"] in types)
            and (streams is None or name == streams or fnmatchcase(name, streams))
            and (where is None or WHERES[where](item))
        )

    return ({} if one else {"type": types}) | {"streams": streams, "where": where}, hit


def _integer(raw: str) -> str:
    content = json.loads(raw) if raw.startswith('"') else raw
    if raw == "null":
        return raw
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][0-9]+)?", content) or Decimal(content) % 1:
        raise CannotError(raw)
    return content if content.lstrip("-").isdigit() else str(int(Decimal(content)))


def _hundredfold(raw: str) -> str:
    if raw == "null":
        return raw
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][0-9]+)?", raw):
        raise CannotError(raw)
    return str(int(Decimal(raw) * 100))


def _halves(raw: str) -> list[str]:
    if not raw.startswith('"') or " " not in json.loads(raw):
        raise CannotError(raw)
    return [json.dumps(part) for part in json.loads(raw).split(" ")]


def _halved(value: Any) -> list[str]:
    if not isinstance(value, str) or " " not in value:
        raise ValueError(value)
    return value.split(" ")


def _there(raws: Sequence[str | None]) -> str:
    return json.dumps([raw is not None and raw != "null" for raw in raws], separators=(",", ":"))


def _lifted(data: Any) -> Any:
    return {**data, "lifted": data["a"] is None}


def _lifted_text(text: str) -> str:
    if hand.value(text, ("a",)) is None:
        raise CannotError("a")
    new = json.dumps(hand.value(text, ("a",)) == "null")
    return hand.put(text, ("lifted",), new, hand.spacing(text))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A step, and the same on the reference's log."""
    kind = draw(st.sampled_from(("edit", "edit", "rename", "bump", "drop", "drop", "gap", "duplicates", "upcast")))
    options, hit = draw(taken(one=kind in ("rename", "upcast"), some=kind in ("drop", "gap")))
    if kind == "edit":
        return draw(_edits(options, hit))
    if kind == "rename":
        old, to = (
            draw(st.sampled_from(("Added", "Taken", "Renamed"))),
            draw(st.sampled_from(("Renamed", "Added", "it's"))),
        )
        return rename_type(old, to, **options), lambda log: hand.valued(
            log, lambda item: item["event_type"] == old and hit(item), event_type=to
        )
    if kind == "bump":
        to_version = draw(st.sampled_from((1, 2)))
        options["type"] = options["type"] or ["Added"]
        return bump_version(**options, to=to_version), lambda log: hand.valued(
            log, lambda item: item["event_type"] in options["type"] and hit(item), schema_version=to_version
        )
    if kind in ("drop", "gap"):
        gap = kind == "gap"
        return drop_events(**options, leave_gap=gap), lambda log: hand.dropped(log, hit, leave_gap=gap)
    if kind == "duplicates":
        return drop_duplicates(**options), lambda log: hand.unrepeated(log, hit)
    first = draw(st.sampled_from((1, 2)))

    def met(item: Item) -> bool:
        fits = item["event_type"] == "Added" and item["data"] is not None
        return fits and (item["schema_version"] or 1) == first and hit(item)

    return upcast("Added", first, first + 1, _lifted, **options), lambda log: hand.edited(
        log, met, _lifted_text, to=first + 1
    )


@st.composite
def _edits(draw: st.DrawFn, options: dict[str, Any], hit: Hit) -> Case:
    kinds = ("add", "set", "drop", "rename", "move", "retype", "factor", "using", "split", "merge")
    kind, path, other = draw(st.sampled_from(kinds)), draw(PATHS), draw(PATHS)
    keep, metadata = draw(st.booleans()), draw(st.sampled_from((False, False, True)))
    options = {**options, "metadata": metadata}
    at, to = _pointer(path), _pointer(other)
    match kind:
        case "add" | "set":
            step, edit = (
                add_field(at, {"x": ["€", None]}, replace=kind == "set", **options),
                hand.add(path, '{"x":["€",null]}', replace=kind == "set"),
            )
        case "drop":
            step, edit = drop_field(at, **options), hand.remove(path)
        case "rename":
            step, edit = rename_field(at, other[0], **options), hand.rename(path, other[0])
        case "move":
            step, edit = move_field(at, to, **options), hand.move(path, other)
        case "retype":
            step, edit = retype_field(at, "integer", **options), hand.convert(path, _integer)
        case "factor":
            step, edit = convert_field(at, factor=100, **options), hand.convert(path, _hundredfold)
        case "using":
            step = convert_field(at, using=lambda value: value is None, **options)
            edit = hand.convert(path, lambda raw: json.dumps(raw == "null"))
        case "split":
            step = split_field(at, [at, to] if path != other else [at, f"{at}/z"], _halved, keep=keep, **options)
            edit = hand.spread(path, [path, other] if path != other else [path, (*path, "z")], _halves, keep=keep)
        case _:
            step = merge_fields(
                [at, to], to, lambda *values: [value is not None for value in values], keep=keep, **options
            )
            edit = hand.combine([path, other], other, _there, keep=keep)
    return step, lambda log: hand.edited(log, hit, edit, column="metadata" if metadata else "data")

"""An incident as a regression test: a pytest file that gives a stream's events to the handlers and expects its state.

Event content goes into the file as literals only, so the file does nothing but what is written here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from esbench import payload
from esbench.aggregate import Aggregate, refuse_read_model
from esbench.errors import EsbenchError, nearest
from esbench.event import CANONICAL, At, Event
from esbench.events import Events
from esbench.fold.changes import Change, brief, changes, leaves
from esbench.fold.given import replayed
from esbench.fold.python import steps
from esbench.literals import IMPORTS, Unwritable, literal, parts_literal, plain
from esbench.travel import surveyed

__all__ = ["RegressionError", "as_test", "differences"]

_END = At()
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
#: The order in which an event is written: first what a reader looks for, last what is long.
_ORDER = ("version", "event_type", *(name for name in CANONICAL if name not in ("version", "event_type")))
_TIMES = ("recorded_at", "occurred_at")
_NUMBERS = ("position", "version", "schema_version")

_FILE = '''\
"""{title}

The events are as they were recorded, the state is what handlers made of them.
{masked}Written by esbench.
"""

from __future__ import annotations
{imports}
from esbench.regression import differences

from {module} import {name}

EVENTS = [
{events}
]

STATE = {state}


def test_{slug}() -> None:
    """The handlers make the same state of the same events."""
    assert differences({called}, EVENTS, STATE) == []
'''


class RegressionError(EsbenchError, ValueError):
    """No test can be written: says why, and the way out."""


def as_test(
    events: Events,
    aggregate: Aggregate,
    stream_id: str | int,
    at: At = _END,
    *,
    path: str | os.PathLike[str] | None = None,
    mask: Iterable[str] = (),
    aggregate_from: str | None = None,
    forks: str = "all",
) -> str:
    """The text of a pytest file: given the events of a stream up to a coordinate, then its state, exactly.

    ``path``: where to write it, too; a file that is there is not overwritten. ``mask``: paths in payloads and metadata
    whose values are replaced in all events, the state being that of the masked events: texts by ``masked-1``,
    ``masked-2``, …, numbers by such numbers, booleans by false, members of objects and lists one by one. Equal values
    get equal tokens, which tell nothing of the value. Ids are not masked. ``aggregate_from``: where the test imports
    the aggregate from, as in ``shop.aggregates:inventory``; needed unless a module that is imported has it.

    Raises RegressionError where there is no such module, for a mask that no event has or that makes a handler fail,
    for a state that cannot be written down, and where handlers do not give the same state again.
    """
    refuse_read_model(aggregate)
    module, name = _reference(aggregate, aggregate_from)
    every = list(steps(surveyed(events.stream(stream_id), aggregate, at, forks)[1], aggregate))
    if not every:
        raise RegressionError(f"{brief(stream_id)} has no events at {at}: there is nothing to test")
    given = [step.event for step in every]
    value: Any = every[-1].value
    masks = [mask] if isinstance(mask, str) else list(mask)
    if masks:
        given = _masked(given, masks)
        value, errors = replayed(aggregate, given)
        for step, error in zip(every, errors, strict=True):
            if error is not None and step.error is None:
                raise RegressionError(
                    f"with {', '.join(masks)} masked, the handler of {brief(step.event.event_type)} fails at version "
                    f"{step.event.version}: {error}; mask what handlers do not compute with"
                )
    parts = [_parts(event) for event in given]
    try:
        state = plain(value)
    except Unwritable as error:
        raise RegressionError(f"the state of {brief(stream_id)} is not plain: {error}") from error
    if differing := differences(aggregate, ("".join(each) for each in parts), state):
        raise RegressionError(
            f"the handlers of {aggregate.name} do not give the same state of the same events twice ({differing[0]}): "
            "the test would fail at times"
        )
    text = _written(aggregate.name, given[-1], parts, state, module, name, masks)
    if path is not None:
        try:
            with Path(path).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except FileExistsError:
            raise RegressionError(f"{os.fspath(path)} is there already: remove it, or choose another path") from None
    return text


def differences(aggregate: Aggregate, events: Iterable[str], state: Any) -> list[Change]:
    """What a replay of events, written as in such a test, gives other than the state; exact, and empty if nothing.

    >>> item = Aggregate("Item", initial={"n": 0})
    >>> @item.on("Added")
    ... def add(state, event):
    ...     return {"n": state["n"] + event.data}
    >>> differences(item, ['{"version":1,"event_type":"Added","position":1,"stream_id":"a","data":5}'], {"n": 4})
    [/n: 4 → 5]
    """
    return changes(state, plain(replayed(aggregate, map(_event, events))[0]))


def _written(
    title: str, last: Event, parts: Sequence[Sequence[str]], state: Any, module: str, name: str, masks: Sequence[str]
) -> str:
    written = literal(state, before=len("STATE = "))
    needed: dict[str, list[str]] = {}
    # A name in a text at worst brings an import too many, so texts are taken out first.
    code = re.sub(r"""b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'""", "", written)
    for each, home in IMPORTS.items():
        if re.search(rf"\b{each}\b", code):
            needed.setdefault(home, []).append(each)
    imports = "".join(f"\nfrom {home} import {', '.join(sorted(names))}" for home, names in sorted(needed.items()))
    taken = {"EVENTS", "STATE", "annotations", "differences", "float", "set", "frozenset", *IMPORTS}
    words = _slug(title), _slug(last.stream_id), "at_version", _slug(f"{last.version}")
    return _FILE.format(
        title=f"{_shown(title)} {_shown(last.stream_id)} at version {last.version}.",
        masked="".join(f"Masked: {_shown(mask, 70)}\n" for mask in masks),
        imports=f"{imports}\n" if imports else "",
        module=module,
        name=f"{name} as aggregate_under_test" if name in taken else name,
        called="aggregate_under_test" if name in taken else name,
        events="\n".join(f"    {parts_literal(each, indent=4)}," for each in parts),
        state=written,
        slug="_".join(filter(None, words)),
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())[:20].strip("_")


def _shown(text: str, most: int = 24) -> str:
    """The beginning of a text, fit for a docstring: what could end it is a question mark."""
    return re.sub(r"[^\w .,:/@#+=*-]", "?", text)[:most]


def _reference(aggregate: Aggregate, given: str | None) -> tuple[str, str]:
    """Module and name to import the aggregate by."""
    if given is not None:
        match = _REFERENCE.fullmatch(given)
        if match is None or match[1].endswith(".py"):
            raise RegressionError(
                f'aggregate_from= is module:object, such as "shop.aggregates:inventory", not {given!r}'
            )
        return match[1], match[2]
    found = [
        (module.count("."), module, name)
        for module, content in list(sys.modules.items())
        if module != "__main__" and getattr(content, "__spec__", None) is not None
        for name, value in list(vars(content).items())
        if value is aggregate and _REFERENCE.fullmatch(f"{module}:{name}")
    ]
    if not found:
        raise RegressionError(
            f'no imported module has the aggregate "{aggregate.name}"; a test cannot import it from a notebook. Move '
            'it to a module, and say aggregate_from="shop.aggregates:inventory"'
        )
    _, module, name = min(found)
    return module, name


def _parts(event: Event) -> list[str]:
    """An event as JSON text, payloads as they came: its columns, then data, then metadata."""
    texts = {name: getattr(event, f"{name}_text", None) for name in ("data", "metadata")}
    members = []
    for name in _ORDER:
        value = texts[name] if name in texts else getattr(event, name)
        if value is not None and name not in texts:
            value = payload.encode(value.isoformat() if isinstance(value, datetime) else value)
        if value is not None:
            members.append((name, f'"{name}":{value}'))
    columns = ",".join(text for name, text in members if name not in texts)
    parts = [f"{{{columns}", *(f",{text}" for name, text in members if name in texts)]
    return [*parts[:-1], f"{parts[-1]}}}"]


def _event(text: str) -> Event:
    """An event from its text."""
    members: dict[str, Any] = {}
    for name, raw in payload.fields(text).items():
        if name in ("data", "metadata"):
            members[f"{name}_text"] = raw
        else:
            value = payload.decode(raw)
            members[name] = datetime.fromisoformat(value) if name in _TIMES else value
    return Event(**members)


def _masked(events: Sequence[Event], masks: Sequence[str]) -> list[Event]:
    paths = {mask: payload.pointer(mask) for mask in masks}
    tokens: dict[tuple[str, Any], int] = {}
    unseen = dict.fromkeys(masks)
    result = []
    for event in events:
        texts = {}
        for name in ("data_text", "metadata_text"):
            text = getattr(event, name)
            if text is None:
                continue
            root = [payload.decode(text)]
            for mask, steps_to in paths.items():
                if _replace(root, ("0", *steps_to), tokens):
                    unseen.pop(mask, None)
                    texts[name] = payload.encode(root[0])
        result.append(msgspec.structs.replace(event, **texts) if texts else event)
    if unseen:
        some = [event.data for event in events[:100]] + [event.metadata for event in events[:100]]
        known = {path for value in some for path, _ in leaves(value)}
        wrong = next(iter(unseen))
        raise RegressionError(
            f'mask="{wrong}": no event of the stream has that path, so nothing would be masked.{nearest(wrong, known)}'
        )
    return result


def _replace(root: list[Any], path: Sequence[str], tokens: dict[tuple[str, Any], int]) -> bool:
    """Replace what stands at a path by tokens; False where nothing does."""
    holder = payload.get(root, path[:-1])
    last: Any = path[-1]
    if payload.get(holder, (last,), _NOTHING) is _NOTHING:
        return False
    stack = [(holder, int(last) if isinstance(holder, list) else last)]
    while stack:
        within, key = stack.pop()
        value = within[key]
        if isinstance(value, (dict, list)):
            inner = list(value) if isinstance(value, dict) else range(len(value))
            stack += [(value, each) for each in reversed(inner)]
        else:
            within[key] = _token(value, tokens)
    return True


_NOTHING: Any = object()


def _token(value: Any, tokens: dict[tuple[str, Any], int]) -> Any:
    if value is None or isinstance(value, bool):
        return None if value is None else False
    kind = "text" if isinstance(value, str) else "number"
    number = tokens.setdefault((kind, value), len(tokens) + 1)
    if kind == "text":
        return f"masked-{number}"
    return float(number) if isinstance(value, (float, Decimal)) else number

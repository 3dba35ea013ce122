"""A slow, plain oracle for edits: the whole text as a tree of texts as written, edited as one would by hand."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from esbench.payload import edits
from tests.json_texts import oracle as strict

_SPACE = " \t\n\r"


class Fail(Exception):
    """The edit cannot be done."""


@dataclass
class Node:
    """A value: its text, or None once something in it has changed; children as (key as written, value)."""

    kind: str
    raw: str | None
    children: list[tuple[str, Node]]


def tree(text: str) -> Node:
    node, _ = _parse(text, _skip(text, 0))
    return node


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _parse(text: str, start: int) -> tuple[Node, int]:
    kind = text[start]
    if kind not in "{[":
        _, end = json.JSONDecoder().raw_decode(text, start)
        return Node("value", text[start:end], []), end
    children = []
    at = _skip(text, start + 1)
    while text[at] not in "}]":
        if text[at] == ",":
            at = _skip(text, at + 1)
        key = ""
        if kind == "{":
            _, end = json.JSONDecoder().raw_decode(text, at)
            key = text[at:end]
            at = _skip(text, _skip(text, end) + 1)
        child, at = _parse(text, at)
        children.append((key, child))
        at = _skip(text, at)
    return Node(kind, text[start : at + 1], children), at + 1


def agrees(actual: Node, expected: Node) -> bool:
    """Whether what was not touched is the same text, and the rest the same tree."""
    if expected.raw is not None:
        return actual.raw == expected.raw
    return (
        actual.kind == expected.kind
        and [key for key, _ in actual.children] == [key for key, _ in expected.children]
        and all(agrees(one, other) for (_, one), (_, other) in zip(actual.children, expected.children, strict=True))
    )


def _name(key: str) -> str:
    return str(json.loads(key))


def _key(name: str) -> str:
    # The encoder's spelling is not what is tested here.
    return msgspec.json.encode(name).decode()


def _child(node: Node, step: str) -> int | None:
    if node.kind == "[":
        return int(step) if re.fullmatch("0|[1-9][0-9]*", step) and int(step) < len(node.children) else None
    if node.kind == "{":
        found = [at for at, (key, _) in enumerate(node.children) if _name(key) == step]
        if len(found) > 1:
            raise Fail
        return found[0] if found else None
    return None


def _find(node: Node, steps: tuple[str, ...]) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Where a path leads to, level by level, as the places of the children; and what ``*`` stood for."""
    found: list[tuple[Node, tuple[int, ...], tuple[str, ...]]] = [(node, (), ())]
    for step in steps:
        following = []
        for here, way, stood in found:
            if step == "*":
                for at, (key, child) in enumerate(here.children):
                    following.append((child, (*way, at), (*stood, _name(key) if key else str(at))))
            elif (place := _child(here, step)) is not None:
                following.append((here.children[place][1], (*way, place), stood))
        found = following
    return [(way, stood) for _, way, stood in found]


def _at(node: Node, way: tuple[int, ...]) -> Node:
    for at in way:
        node = node.children[at][1]
    return node


def _touch(node: Node, way: tuple[int, ...]) -> Node:
    """The node at a place; what is on the way has no text of its own any more."""
    node.raw = None
    for at in way:
        node = node.children[at][1]
        node.raw = None
    return node


def _set(root: Node, way: tuple[int, ...], value: Node) -> None:
    parent = _touch(root, way[:-1])
    parent.children[way[-1]] = (parent.children[way[-1]][0], value)


def _add(root: Node, steps: tuple[str, ...], value: Node, replace: bool | None) -> None:
    way: tuple[int, ...] = ()
    for n, step in enumerate(steps):
        here = _at(root, way)
        if here.kind == "value":
            raise Fail
        there = _child(here, step)
        if there is None:
            if here.kind == "[":
                raise Fail
            for name in reversed(steps[n + 1 :]):
                value = Node("{", None, [(_key(name), value)])
            _touch(root, way).children.append((_key(step), value))
            return
        way = (*way, there)
    if replace:
        _set(root, way, value)
    elif replace is None:
        raise Fail


def _filled(path: str, stood: tuple[str, ...]) -> tuple[str, ...]:
    names = iter(stood)
    return tuple(next(names) if step == "*" else step for step in _steps(path))


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])


def _remove(root: Node, ways: list[tuple[int, ...]]) -> None:
    for way in sorted(ways, reverse=True):
        del _touch(root, way[:-1]).children[way[-1]]


def edited(text: str, edit: edits.Edit) -> Node:
    """What an edit makes of a strict text. Raises Fail."""
    root = tree(text)
    change(root, edit)
    return root


def change(root: Node, edit: Any) -> None:
    if isinstance(edit, edits.Many):
        for part in edit.edits:
            change(root, part)
        return
    if isinstance(edit, edits.Add):
        steps = _steps(edit.path)
        last = max((n + 1 for n, step in enumerate(steps) if step == "*"), default=0)
        for _, stood in _find(root, steps[:last]):
            _add(root, _filled(edit.path, stood), tree(edit.raw), edit.replace)
        return
    found = _find(root, _steps(edit.path))
    if isinstance(edit, edits.Remove):
        _remove(root, [way for way, _ in found])
    elif isinstance(edit, (edits.Replace, edits.Convert)):
        for way, _ in found:
            _set(root, way, tree(edit.raw) if isinstance(edit, edits.Replace) else _upper(_at(root, way)))
    elif isinstance(edit, edits.Rename):
        for way, _ in found:
            parent = _at(root, way[:-1])
            key, child = parent.children[way[-1]]
            if parent.kind == "[":
                raise Fail
            if _name(key) == edit.name:
                continue
            if any(_name(other) == edit.name for other, _ in parent.children):
                raise Fail
            _touch(root, way[:-1]).children[way[-1]] = (_key(edit.name), child)
    elif isinstance(edit, (edits.Move, edits.Copy)):
        if isinstance(edit, edits.Move) and edit.path == edit.to:
            return
        values = [(_at(root, way), stood) for way, stood in found]
        if isinstance(edit, edits.Move):
            if any(_at(root, way[:-1]).kind == "[" for way, _ in found):
                raise Fail
            _remove(root, [way for way, _ in found])
        for value, stood in values:
            copy = Node(value.kind, value.raw, value.children)
            _add(root, _filled(edit.to, stood), copy, edit.replace or None)
    else:
        raise NotImplementedError


def upper(raw: str) -> str:
    """A function for Convert."""
    return json.dumps(raw.upper())


def _upper(node: Node) -> Node:
    assert node.raw is not None
    return Node("value", upper(node.raw), [])


__all__ = ["Fail", "agrees", "edited", "strict", "tree", "upper"]

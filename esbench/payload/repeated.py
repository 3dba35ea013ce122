"""Names that stand twice in one object of a JSON text, at any depth and however they are written."""

from __future__ import annotations

import json
import re

import msgspec

__all__ = ["repeated_names"]

#: Strings, and whether they are names, and brackets and commas; whatever else stands between them tells nothing.
_PIECE = re.compile(r'"((?:[^"\\]++|\\.)*+)"([ \t\n\r]*:)?|([\[\]{},])')


def repeated_names(text: str) -> list[str]:
    r"""The paths of members whose name stood in their object before, in the order of the text; it is strict JSON.

    Items of lists are told as ``*``. A name is what it spells, whether or not it is escaped.

    >>> repeated_names('{"a": 1, "b": [{"c": 1, "\\u0063": 2}], "d": {"a": 1}}')
    ['/b/*/c']
    """
    if _once(text):
        return []
    found = []
    stack: list[tuple[str, set[str] | None]] = []
    step = ""
    for piece in _PIECE.finditer(text):
        written, colon, mark = piece.groups()
        if colon:
            step = str(json.loads(f'"{written}"')) if "\\" in written else written
            names = stack[-1][1]
            assert names is not None
            if step in names:
                found.append("".join(f"/{_escaped(one)}" for one in (*(outer for outer, _ in stack[1:]), step)))
            names.add(step)
        elif mark in ("{", "["):
            stack.append((step, set() if mark == "{" else None))
            step = "*"
        elif mark in ("}", "]"):
            stack.pop()
            step = "*"
    return found


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _once(text: str) -> bool:
    """Whether a text certainly has no name twice: decoding leaves one of equal names, and encoded it is as it was."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text)).decode() == text
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False

"""The exact text of a value in a payload, found as SQL finds it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from esbench import payload

__all__ = ["raw_at"]


class _Number(str):
    """A number as it is spelled."""

    __slots__ = ()


def raw_at(text: str, steps: Sequence[str]) -> str | None:
    """The exact text of a number, a string or a constant at a pointer's steps; None where there is none.

    Of equal names in one object the first counts, as in SQL, where the usual decoders keep the last.

    >>> raw_at('{"price": 1.10, "price": 2}', ["price"])
    '1.10'
    """
    for number, step in enumerate(steps):
        try:
            found = payload.fields(text).get(step)
        except payload.PayloadError:
            return _slowly(text, steps[number:])
        if found is None:
            return None
        text = found
    return text.strip(" \t\n\r")


def _slowly(text: str, steps: Sequence[str]) -> str | None:
    """The same for arrays, and for what the fast decoder refuses."""
    value = json.loads(text, parse_float=_Number, parse_int=_Number, object_pairs_hook=_first)
    value = payload.get(value, steps, payload)
    if value is payload:
        return None
    return str(value) if isinstance(value, _Number) else json.dumps(value)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))

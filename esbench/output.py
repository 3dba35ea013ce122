"""Frames as exact text for other programs: JSON that `jq` reads, and CSV."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Set
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from esbench import payload, show
from esbench.fold.changes import ABSENT, Change, brief, fields_of

__all__ = ["csv_lines", "json_lines", "json_text"]

#: Values nested deeper than this are shown as text.
_DEPTH = 100


def json_lines(rows: pd.DataFrame, *, raw: Collection[str] = ()) -> Iterator[str]:
    r"""The lines of a JSON array with an object for each row, one a line.

    Columns in ``raw`` hold JSON text, which stands in the result as it is: `1.10`, integers past 2^53 and the order of
    keys are kept. Nothing (NULL, NaN) is null, times are ISO 8601.

    >>> print(*json_lines(pd.DataFrame({"n": [2**53 + 1], "data": ['{"a":1.10}']}), raw=["data"]), sep="\n")
    [
    {"n":9007199254740993,"data":{"a":1.10}}
    ]
    """
    names = [f"{json_text(str(name))}:" for name in rows.columns]
    texts = [str(name) in raw for name in rows.columns]
    yield "["
    for place, row in enumerate(rows.itertuples(index=False, name=None), start=1):
        cells = (
            name + (value if as_it_is and isinstance(value, str) and not payload.check(value) else json_text(value))
            for name, as_it_is, value in zip(names, texts, row, strict=True)
        )
        yield f"{{{','.join(cells)}}}{',' if place < len(rows) else ''}"
    yield "]"


def json_text(value: Any) -> str:
    """Any value as JSON text; what JSON cannot carry becomes a string.

    >>> json_text({"balance": Decimal("12.10"), "tags": {"b", "a"}, "seen": datetime.date(2024, 6, 7)})
    '{"balance":12.10,"tags":["a","b"],"seen":"2024-06-07"}'
    """
    try:
        return payload.encode(_plain(value))
    except payload.PayloadError:
        return payload.encode(show.line(brief(value)))


def csv_lines(rows: pd.DataFrame) -> Iterator[str]:
    r"""The lines of a CSV file. Nothing is an empty field, the empty text is ``""``; nested values are JSON.

    >>> print(*csv_lines(pd.DataFrame({"id": ["a,b", None, ""], "d": [Decimal("1.10"), True, [1]]})), sep="\n")
    id,d
    "a,b",1.10
    ,true
    "",[1]
    """
    yield ",".join(_quoted(str(name)) for name in rows.columns)
    for row in rows.itertuples(index=False, name=None):
        yield ",".join("" if show.missing(value) else _quoted(_text(value)) for value in row)


def _text(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else str(plain) if isinstance(plain, Decimal) else json_text(plain)


def _quoted(text: str) -> str:
    plain = text and text == text.strip() and not any(mark in text for mark in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _plain(value: Any, depth: int = 0) -> Any:
    """A value of what JSON has, and Decimal."""
    if show.missing(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), depth)
    if isinstance(value, float | Decimal):
        return value if Decimal(value).is_finite() else str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if depth == _DEPTH:
        return brief(value)
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, Change):
        sides = {"before": value.before, "after": value.after}
        value = {"path": value.path, **{name: side for name, side in sides.items() if side is not ABSENT}}
    fields = dict(value) if isinstance(value, Mapping) else fields_of(value)
    if fields is not None:
        return {_key(name): _plain(member, depth + 1) for name, member in fields.items()}
    if isinstance(value, Set):
        return sorted((_plain(member, depth + 1) for member in value), key=json_text)
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(member, depth + 1) for member in value]
    return brief(value)


def _key(name: Any) -> str:
    plain = _plain(name)
    return plain if isinstance(plain, str) else json_text(plain)

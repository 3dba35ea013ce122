"""The values that stand at a path of many payloads, as raw text: what a migration is about to replace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from esbench.payload.edit import steps_of
from esbench.payload.engine import number_of, register
from esbench.payload.scan import PayloadError
from esbench.payload.slices import called, listed
from esbench.payload.tree import Document, opened

__all__ = ["Gathered", "items", "leaf_texts", "register", "sql"]

#: Strings, with the colon that makes one a name, and numbers; whatever else stands between them is no text.
_TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")([ \t\n\r]*:)?|(-?[0-9][0-9.eE+-]*)')


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Gathered:
    """What turns a JSON text into a JSON array of the values at a path, each as it is written."""

    path: str

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """The array for each; None where there is no value, or where a name on the path stands twice."""
        return [None if text is None else self._values(text) for text in texts]

    def _values(self, text: str) -> str | None:
        try:
            document = Document(text)
            raws = [document.raw(match.member) for match in document.matches(steps_of(self.path))]
        except PayloadError:
            return None
        return f"[{','.join(raws)}]" if raws else None


def sql(gathered: Gathered, column: str) -> str:
    """SQL: the array of the values at a path of the texts in a column, NULL or ``[]`` where there is none.

    The database must know our function (:func:`register`), and ``gathered`` must live as long as the SQL is used.
    """
    return called(listed(column, steps_of(gathered.path)), column, number_of(gathered))


def items(listed: str) -> list[str]:
    """The raw items of a JSON array.

    >>> items('["a", 1.10]')
    ['"a"', '1.10']
    """
    level = opened(listed, known=True)
    return [] if level is None else [str(member.value) for member in level.members]


def leaf_texts(raw: str) -> Iterator[tuple[str, bool]]:
    r"""Every string and number in a JSON text, at any depth, with whether it is a number; names are none of them.

    >>> list(leaf_texts('{"a": ["\\u00e9", 1.10], "b": null}'))
    [('é', False), ('1.10', True)]
    """
    for token in _TOKEN.finditer(raw):
        string, name, number = token.groups()
        if number is not None:
            yield number, True
        elif not name:
            yield (str(json.loads(string)) if "\\" in string else string[1:-1]), False

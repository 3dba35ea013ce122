"""Exact edits of one JSON text, as values with two forms that agree: Python and SQL.

What an edit does not touch keeps its text: spacing, order, ``1.10``, integers of any size, escapes, equal names. A path
is a JSON Pointer, in which a step ``*`` stands for every item of an array or every member of an object (so a member
whose name is ``*`` cannot be told by itself). A path that leads nowhere is no failure: the text stays the very same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from esbench.payload.edit import (
    Edit,
    Function,
    by_stood,
    filled,
    made_text,
    named,
    paired,
    places,
    put,
    result_of,
    short,
    steps_of,
    strict,
    taken_out,
    title,
)
from esbench.payload.engine import failure, number_of, register
from esbench.payload.scan import PayloadError
from esbench.payload.slices import (
    TEXT,
    appended,
    called,
    chained,
    converted,
    is_name,
    moved,
    removed,
    renamed,
    replaced,
)
from esbench.payload.tree import Document

__all__ = [
    "Add",
    "Combine",
    "Convert",
    "Copy",
    "Edit",
    "Function",
    "Many",
    "Move",
    "Remove",
    "Rename",
    "Replace",
    "SplitValue",
    "register",
    "sql",
]


def sql(edit: Edit, column: str) -> str:
    """SQL: the text in a column after an edit; ``!`` and the reason where :meth:`Edit.apply` raises; NULL for NULL.

    ``column`` is SQL for JSON or VARCHAR whose texts are strict JSON, as those of every log are; it may be
    another edit's SQL. A text that begins with ``!`` is handed on. The result is VARCHAR. The database must know our
    function (:func:`register`), and the edit must live as long as the SQL is used.

    >>> import duckdb
    >>> con = duckdb.connect()
    >>> register(con)
    >>> edit = Rename("/a", "b")
    >>> texts = ['{"a":1.10}', '{"b":2}', '{"a":1,"b":2}', None]
    >>> con.sql(f"select {sql(edit, 't')} from (select unnest($texts)::json)u(t)", params={"texts": texts}).fetchall()
    [('{"b":1.10}',), ('{"b":2}',), ('!"b" is there already',), (None,)]
    """
    if not is_name(column):
        return chained(column, [sql(edit, TEXT)])
    if isinstance(edit, Many):
        forms = [(part, part.fast(TEXT)) for part in edit.edits]
        if forms and all(fast for _, fast in forms):
            return chained(column, [called(fast, TEXT, number_of(part)) for part, fast in forms])
    return called(edit.fast(column), column, number_of(edit))


@dataclass(frozen=True, slots=True, repr=False)
class Add(Edit):
    """Append a member to its object; where it is there, it stays, or is replaced. Missing parents are made."""

    path: str
    raw: str
    replace: bool = False

    def __post_init__(self) -> None:
        named(self.path)
        strict(self.raw)

    def __repr__(self) -> str:
        return f"add {self.path} ({short(self.raw)}){', replacing what is there' if self.replace else ''}"

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return appended(column, steps_of(self.path), self.raw, replace=self.replace)

    def _change(self, document: Document) -> None:
        for steps in places(document, self.path):
            document.add(steps, self.raw, replace=self.replace)


@dataclass(frozen=True, slots=True, repr=False)
class Remove(Edit):
    """Take a member or an item out."""

    path: str

    def __post_init__(self) -> None:
        steps_of(self.path)

    def __repr__(self) -> str:
        return f"remove {self.path}"

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return removed(column, steps_of(self.path))

    def _change(self, document: Document) -> None:
        document.remove(document.matches(steps_of(self.path)))


@dataclass(frozen=True, slots=True, repr=False)
class Rename(Edit):
    """Give a member another name, in its place. Fails where its object has that name already."""

    path: str
    name: str

    def __post_init__(self) -> None:
        named(self.path)

    def __repr__(self) -> str:
        return f'rename {self.path} to "{self.name}"'

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return renamed(column, steps_of(self.path), self.name)

    def _change(self, document: Document) -> None:
        for match in document.matches(steps_of(self.path)):
            document.rename(match, self.name)


@dataclass(frozen=True, slots=True, repr=False)
class Move(Edit):
    """Put a value, as it stands, elsewhere; missing parents are made. Fails where that place is taken, or replaces."""

    path: str
    to: str
    replace: bool = False

    def __post_init__(self) -> None:
        paired([self.path], [self.to])

    def __repr__(self) -> str:
        return f"move {self.path} to {self.to}{', replacing what is there' if self.replace else ''}"

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return moved(column, steps_of(self.path), steps_of(self.to))

    def _change(self, document: Document) -> None:
        if self.path == self.to:
            return
        found = document.matches(steps_of(self.path))
        values = [(document.raw(match.member), match.stood) for match in found]
        taken_out(document, found, self.path)
        for raw, stood in values:
            document.add(filled(self.to, stood), raw, replace=self.replace or None)


@dataclass(frozen=True, slots=True, repr=False)
class Copy(Edit):
    """Put a value, as it stands, elsewhere as well. Fails where that place is taken, or replaces."""

    path: str
    to: str
    replace: bool = False

    def __post_init__(self) -> None:
        paired([self.path], [self.to])

    def __repr__(self) -> str:
        return f"copy {self.path} to {self.to}{', replacing what is there' if self.replace else ''}"

    def _change(self, document: Document) -> None:
        found = document.matches(steps_of(self.path))
        for raw, stood in [(document.raw(match.member), match.stood) for match in found]:
            document.add(filled(self.to, stood), raw, replace=self.replace or None)


@dataclass(frozen=True, slots=True, repr=False)
class Replace(Edit):
    """Put one value in the place of another, where there is one."""

    path: str
    raw: str

    def __post_init__(self) -> None:
        steps_of(self.path)
        strict(self.raw)

    def __repr__(self) -> str:
        return f"replace {self.path} by {short(self.raw)}"

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return replaced(column, steps_of(self.path), self.raw)

    def _change(self, document: Document) -> None:
        for match in document.matches(steps_of(self.path)):
            document.set(match.member, self.raw)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Values:
    """What a function makes of values by themselves, which the engine takes out of their texts and puts back."""

    path: str
    function: Function

    def made(self, raw: str) -> str:
        """The value's text after the function. Raises PayloadError where it fails."""
        made = result_of(self.path, self.function, raw)
        return raw if made is None else made_text(self.path, made)

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """The text of each after the function, or ``!`` and the reason."""
        done: list[str | None] = []
        for text in texts:
            try:
                done.append(text and self.made(text))
            except PayloadError as error:
                done.append(failure(error))
        return done


@dataclass(frozen=True, slots=True, repr=False)
class Convert(Edit):
    """Put what a function makes of a value's raw text in its place."""

    path: str
    function: Function
    _values: _Values = field(init=False, compare=False)

    def __post_init__(self) -> None:
        steps_of(self.path)
        object.__setattr__(self, "_values", _Values(self.path, self.function))

    def __repr__(self) -> str:
        return f"convert {self.path} by {title(self.function)}"

    def fast(self, column: str) -> str | None:  # noqa: D102 (the parent says it)
        return converted(column, steps_of(self.path), number_of(self._values))

    def _change(self, document: Document) -> None:
        for match in document.matches(steps_of(self.path)):
            raw = document.raw(match.member)
            if (made := self._values.made(raw)) != raw:
                document.set(match.member, made)


@dataclass(frozen=True, slots=True, repr=False)
class Combine(Edit):
    """Several values become one: the function takes their raw texts, None for each that is not there.

    Where none of them is there, nothing happens. The sources go, but for one that is the target, or with ``keep``.
    """

    paths: Sequence[str]
    to: str
    function: Callable[[Sequence[str | None]], str | None]
    keep: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(self.paths))
        paired(self.paths, [self.to])

    def __repr__(self) -> str:
        kept = ", keeping them" if self.keep else ""
        return f"combine {', '.join(self.paths)} into {self.to} by {title(self.function)}{kept}"

    def _change(self, document: Document) -> None:
        found = [by_stood(document.matches(steps_of(path)), path) for path in self.paths]
        for stood in dict.fromkeys(stood for matches in found for stood in matches):
            own = [matches.get(stood) for matches in found]
            raw = result_of(self.to, self.function, [match and document.raw(match.member) for match in own])
            if raw is None:
                continue
            put(document, own, self.paths, {self.to: made_text(self.to, raw)}, stood, keep=self.keep)


@dataclass(frozen=True, slots=True, repr=False)
class SplitValue(Edit):
    """One value becomes several: the function gives a raw text for each target, None for one that is not to be made.

    The source goes, unless it is a target itself, or with ``keep``.
    """

    path: str
    to: Sequence[str]
    function: Callable[[str], Sequence[str | None] | None]
    keep: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "to", tuple(self.to))
        paired([self.path], self.to)

    def __repr__(self) -> str:
        kept = ", keeping it" if self.keep else ""
        return f"split {self.path} into {', '.join(self.to)} by {title(self.function)}{kept}"

    def _change(self, document: Document) -> None:
        for match in document.matches(steps_of(self.path)):
            raws = result_of(self.path, self.function, document.raw(match.member))
            if raws is None:
                continue
            if isinstance(raws, str) or len(raws) != len(self.to):
                raise PayloadError(f"{self.path}: {title(self.function)} must give {len(self.to)} values")
            made = {to: made_text(to, raw) for to, raw in zip(self.to, raws, strict=True) if raw is not None}
            put(document, [match], [self.path], made, match.stood, keep=self.keep)


@dataclass(frozen=True, slots=True, repr=False)
class Many(Edit):
    """Several edits, one after another, of a text that is decoded once. One that fails fails them all."""

    edits: Sequence[Edit]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(self.edits))

    def __repr__(self) -> str:
        return ", then ".join(map(repr, self.edits)) or "change nothing"

    def _change(self, document: Document) -> None:
        for edit in self.edits:
            edit._change(document)

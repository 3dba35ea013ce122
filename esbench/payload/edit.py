"""What all edits of a JSON text have in common: the two forms, and paths with ``*`` in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from esbench.payload.engine import failure
from esbench.payload.rebuilding import raised
from esbench.payload.scan import PayloadError, check
from esbench.payload.text import pointer
from esbench.payload.tree import ALL, Document, Match

__all__ = [
    "Edit",
    "Function",
    "by_stood",
    "filled",
    "made_text",
    "named",
    "paired",
    "places",
    "put",
    "result_of",
    "short",
    "steps_of",
    "strict",
    "taken_out",
    "title",
]

#: From the raw text of a value to another; None leaves the value as it is, what it raises is the edit's failure.
Function: TypeAlias = Callable[[str], "str | None"]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Edit:
    """One change of a JSON text; the children say which."""

    def apply(self, text: str) -> str:
        """The text with the change; the very same text where it has nothing to change.

        Raises PayloadError with the reason where it cannot be done: no strict JSON, a path through a name that stands
        twice, no object where a member is to be made, a place that is taken, a function that raised.

        >>> from esbench.payload.edits import Add
        >>> Add("/c", "1.10").apply('{"a": 1,  "b": 2}')
        '{"a": 1,  "b": 2,  "c": 1.10}'
        """
        document = Document(text)
        self._change(document)
        return document.text()

    def _change(self, document: Document) -> None:
        """Do it to a text that is open. Raises PayloadError, and then the document is of no use any more."""
        raise NotImplementedError

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """What :meth:`apply` gives for each, or ``!`` and the reason; None, and what already is a reason, stay."""
        done: list[str | None] = []
        for text in texts:
            if text is None or text.startswith("!"):
                done.append(text)
                continue
            try:
                done.append(self.apply(text))
            except PayloadError as error:
                done.append(failure(error))
        return done

    def fast(self, column: str) -> str | None:
        """SQL that gives what :meth:`apply` gives where the engine can prove it, and NULL elsewhere."""
        return None


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[str, ...]:
    """The steps of a path. Raises PayloadError for what is no path, and for the whole payload."""
    steps = pointer(path)
    if not steps:
        raise PayloadError('a path to edit leads into the payload, as "/name" does; "" is all of it')
    return steps


def named(path: str) -> None:
    """Refuse a path that does not end in a name."""
    if steps_of(path)[-1] == ALL:
        raise PayloadError(f"{path} must end in the name of a member, not in *")


def paired(paths: Sequence[str], to: Sequence[str]) -> None:
    """Refuse sources and targets that do not go together: each ``*`` of a target is what its source's stands for."""
    stars = {steps_of(path).count(ALL) for path in (*paths, *to)}
    if len(stars) != 1:
        raise PayloadError(f"{', '.join(paths)} and {', '.join(to)} must have the same number of *")
    for path in (*paths, *to):
        named(path)


def strict(raw: str) -> None:
    """Refuse a new value that is no JSON text."""
    if reason := check(raw):
        raise PayloadError(f"a new value is given as JSON text: {reason} in {short(raw)}")


def short(raw: str) -> str:
    """So much of a value's text as fits into a sentence."""
    return raw if len(raw) <= 60 else raw[:59] + "…"


def title(function: object) -> str:
    """What a function is called."""
    return str(getattr(function, "__qualname__", None) or repr(function))


def filled(path: str, stood: Sequence[str]) -> list[str]:
    """The steps of a path with what its ``*`` stand for."""
    names = iter(stood)
    return [next(names) if step == ALL else step for step in steps_of(path)]


def places(document: Document, path: str) -> Iterator[Sequence[str]]:
    """The steps of a path for each of what its ``*`` stand for; its end need not be there."""
    steps = steps_of(path)
    if ALL not in steps:
        yield steps
        return
    last = len(steps) - steps[::-1].index(ALL)
    for match in document.matches(steps[:last]):
        yield filled(path, match.stood)


def result_of(path: str, function: Callable[[Any], Any], value: Any) -> Any:
    """What a function gives. Raises PayloadError for whatever it raises."""
    try:
        return function(value)
    except PayloadError as error:
        raise PayloadError(f"{path}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PayloadError(f"{path}: {raised(error)}") from error


def made_text(path: str, raw: object) -> str:
    """Raw text that a function made. Raises PayloadError where it is none."""
    if not isinstance(raw, str):
        raise PayloadError(f"{path}: the function must give JSON text, not {type(raw).__name__}")
    if reason := check(raw):
        raise PayloadError(f"{path}: the function must give JSON text: {reason} in {short(raw)}")
    return raw


def taken_out(document: Document, found: Sequence[Match], path: str) -> None:
    """Take out what goes elsewhere. Raises PayloadError for an item of an array: it would renumber those behind it."""
    if any(match.level.is_array for match in found):
        raise PayloadError(f"{path} is an item of an array, which is not taken out of its place (copy it)")
    document.remove(found)


def by_stood(found: Sequence[Match], path: str) -> dict[tuple[str, ...], Match]:
    """Places by what ``*`` stood for. Raises PayloadError where two of them cannot be told apart."""
    matches = {match.stood: match for match in found}
    if len(matches) < len(found):
        raise PayloadError(f"{path}: a name stands twice in it")
    return matches


def put(
    document: Document,
    own: Sequence[Match | None],
    paths: Sequence[str],
    made: dict[str, str],
    stood: Sequence[str],
    *,
    keep: bool,
) -> None:
    """Put values at their targets: in place where the target is a source, which otherwise goes unless it is kept."""
    for match, path in zip(own, paths, strict=True):
        if match and path in made:
            document.set(match.member, made.pop(path))
        elif match and not keep:
            taken_out(document, [match], path)
    for path, raw in made.items():
        document.add(filled(path, stood), raw, replace=None)

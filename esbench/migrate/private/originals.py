"""The values that the private steps of a migration replace, and the search for them in what it made.

A text of four characters or more is looked for anywhere: in every id, type, payload and name in a payload, also where
it is a part of a longer text, and however it is escaped in JSON (up to three times over). One of fewer than eight
characters counts only as a whole word. A number of six digits or more is looked for as it was written and in its plain
decimal form, where no digit goes on. What is shorter, and words such as "true", stand in so much that they are looked
for only at the places where they were replaced. Letters count as they are: ``Ann`` is not ``ann``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from esbench.migrate.private.needles import Needles
from esbench.migrate.running import Result
from esbench.migrate.steps.privacy import Place, PrivateStep
from esbench.migrate.work import Work
from esbench.payload import gathering

__all__ = ["Originals", "escaped", "originals", "plain_forms"]

#: Fewer characters, or digits of a number, are looked for at their own places only.
_LEAST, _DIGITS = 4, 6
_COMMON = frozenset({"true", "false", "null", "none", "None", "True", "False", "NULL"})
_ESCAPES = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\(["\\/bfnrt])')
_ONE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True, repr=False)
class Originals:
    """``texts`` to look for anywhere, each with the source of it (``sources`` has their names), and ``short`` ones.

    ``short`` has for a step and a place the texts that are looked for there only.
    """

    texts: Sequence[str]
    numbers: Sequence[bool]
    source: Sequence[int]
    sources: Sequence[str]
    short: Mapping[tuple[int, Place], frozenset[str]]

    def __len__(self) -> int:
        return len(self.texts) + sum(map(len, self.short.values()))

    def needles(self) -> Needles:
        """What is looked for anywhere."""
        return Needles([text.encode() for text in self.texts], self.numbers)

    def without(self, column: str) -> Originals:
        """Those that do not come from a column."""
        kept = [n for n, of in enumerate(self.source) if not self.sources[of].endswith(f": {column}")]
        return replace(
            self,
            texts=[self.texts[n] for n in kept],
            numbers=[self.numbers[n] for n in kept],
            source=[self.source[n] for n in kept],
        )

    def told(self, needle: int) -> str:
        """Which step replaced a value, and where; never the value."""
        return self.sources[self.source[needle]]

    def blotted(self, text: str) -> str:
        """A text without the values in it."""
        needles = self.needles()
        for form in (text, escaped(text)):
            for _, needle in sorted(needles.within(pa.array([form])), key=lambda hit: -len(self.texts[hit[1]])):
                text = text.replace(self.texts[needle], "[…]")
        return text


def originals(result: Result) -> Originals:
    """What the private steps of a migration replaced, from what stood before each of them."""
    found: dict[str, tuple[bool, int]] = {}
    sources: list[str] = []
    short: dict[tuple[int, Place], set[str]] = {}
    for number, work in result.private:
        step = result.migration.steps[number]
        assert isinstance(step, PrivateStep)
        for place in step.within(work.events.facts):
            sources.append(f"step {number + 1}: {place}")
            few = short.setdefault((number, place), set())
            for text, numeric, alone in _values(work, number, step, place):
                if _is_long(text, numeric):
                    for form in plain_forms(text) if numeric else (text,):
                        found.setdefault(form, (numeric, len(sources) - 1))
                elif alone and text:
                    few.add(text)
        for text in step.subject:
            if _is_long(text, numeric=False):
                found.setdefault(text, (False, len(sources) - 1))
    return Originals(
        list(found),
        [numeric for numeric, _ in found.values()],
        [of for _, of in found.values()],
        sources,
        {key: frozenset(values) for key, values in short.items()},
    )


def plain_forms(number: str) -> tuple[str, ...]:
    """How a number may be written: as it is, and as a plain decimal.

    >>> plain_forms("1234560.10"), plain_forms("1.5e6")
    (('1234560.10', '1234560.1'), ('1.5e6', '1500000'))
    """
    try:
        value = Decimal(number)
    except InvalidOperation:
        return (number,)
    if abs(value.adjusted()) > 40 or len(number) > 80:
        return (number,)
    whole = f"{value:f}"
    return tuple(dict.fromkeys((number, whole.rstrip("0").rstrip(".") if "." in whole else whole)))


def _is_long(text: str, numeric: bool) -> bool:
    """Whether a text is looked for anywhere."""
    if numeric:
        return sum(map(str.isdigit, text)) >= _DIGITS
    return len(text) >= _LEAST and text not in _COMMON and not text.isspace()


def _values(work: Work, number: int, step: PrivateStep, place: Place) -> Iterator[tuple[str, bool, bool]]:
    """Texts that a step replaces at a place, whether each is a number, and whether it stood there by itself."""
    condition, bound = step.hit(number)
    hit = f"coalesce(({condition}) and failed is null, false)"
    if place.path is None:
        rows = work.events.arrow(
            f"select distinct {place.column} from events where {hit} and {place.column} is not null", **bound
        )
        yield from ((str(text), False, True) for text in rows.column(0).to_pylist())
        return
    for raw in _raws(work, f"select * from events where {hit}", place, **bound):
        if (after := step.after(raw)) is None or after == raw:
            continue
        if raw in ("true", "false"):
            yield raw, False, True
        alone = raw[0] not in "{["
        stays = dict(gathering.leaf_texts(after)) if alone else {}
        for text, numeric in gathering.leaf_texts(raw):
            if text not in stays:
                yield text, numeric, alone


def _raws(work: Work, rows: str, place: Place, **bound: Any) -> Iterator[str]:
    """The distinct raw values at a place of some events."""
    assert place.path is not None
    gathered = work.held(gathering.Gathered(place.path))
    gathering.register(work.events.con)
    found = work.events.arrow(
        f"""
        select distinct {gathering.sql(gathered, place.column)} as found
        from ({rows}) where {place.column} is not null
        """,
        **bound,
    )
    seen: set[str] = set()
    for listed in found["found"].to_pylist():
        for raw in gathering.items(listed) if listed else ():
            if raw not in seen:
                seen.add(raw)
                yield raw


def escaped(text: str) -> str:
    r"""A text in which escapes of JSON are what they stand for.

    >>> escaped('caf\\u00e9 \\"x\\"')
    'café "x"'
    """
    return _ESCAPES.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return _ONE.get(match[1], match[1])
    units = bytes.fromhex(match[0].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")

"""Exact functions from one raw value to another, for :class:`esbench.payload.edits.Convert`: they refuse what loses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

from esbench.payload.scan import PayloadError
from esbench.payload.text import encode, text_form

__all__ = ["Kind", "Retyped", "Scaled", "retype", "scaled"]

Kind: TypeAlias = Literal["integer", "text", "decimal", "boolean"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEAN = {"true": "true", "false": "false", "1": "true", "0": "false"}
#: A number of more digits is not written out: a few letters of a payload must not become gigabytes.
_DIGITS = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class Retyped:
    """The same value as another type; see :func:`retype`."""

    kind: Kind

    def __repr__(self) -> str:
        return f'retype("{self.kind}")'

    def __call__(self, raw: str) -> str | None:
        """The raw text of the value. Raises PayloadError where something would be lost."""
        if raw == "null":
            return None
        if raw[0] in "{[":
            raise PayloadError(f"{'an object' if raw[0] == '{' else 'an array'} cannot become {self.kind}")
        content = text_form(raw)
        assert content is not None
        if self.kind == "text":
            return raw if raw[0] == '"' else encode(content)
        if self.kind == "boolean":
            if content not in _BOOLEAN:
                raise PayloadError(f"{_short(raw)} is neither true nor false")
            return _BOOLEAN[content]
        if not _NUMBER.fullmatch(content):
            raise PayloadError(f"{_short(raw)} is no number")
        if self.kind == "decimal":
            return content
        number = _exact(content)
        if number.denominator != 1:
            raise PayloadError(f"{_short(raw)} is no integer")
        return content if content.lstrip("-").isdigit() else _decimal(number)


@dataclass(frozen=True, slots=True, repr=False)
class Scaled:
    """A number times a factor; see :func:`scaled`."""

    factor: Fraction

    def __repr__(self) -> str:
        return f"scaled({self.factor})"

    def __call__(self, raw: str) -> str | None:
        """The raw text of the product. Raises PayloadError for what is no number, or has no end as a decimal."""
        if raw == "null":
            return None
        if not _NUMBER.fullmatch(raw):
            raise PayloadError(f"{_short(raw)} is no number")
        return raw if self.factor == 1 else _decimal(_exact(raw) * self.factor)


def retype(kind: Kind) -> Retyped:
    """A function that says a raw value as an integer, a text, a decimal or a boolean, where nothing is lost.

    Text becomes a number where it is one as JSON writes it, and keeps its digits; null stays.

    >>> retype("integer")('"7"'), retype("integer")("1e3"), retype("text")("1.10"), retype("boolean")('"true"')
    ('7', '1000', '"1.10"', 'true')
    >>> retype("integer")("7.6")
    Traceback (most recent call last):
    esbench.payload.scan.PayloadError: 7.6 is no integer
    """
    if kind not in get_args(Kind):
        raise PayloadError(f"a type is one of {', '.join(get_args(Kind))}, not {kind!r}")
    return Retyped(kind)


def scaled(factor: Decimal | int | Fraction) -> Scaled:
    """A function that multiplies a raw number exactly; a product that has no end as a decimal is a failure.

    >>> scaled(100)("1.10"), scaled(Decimal("0.01"))("110"), scaled(Fraction(1, 4))("1")
    ('110', '1.1', '0.25')
    """
    if isinstance(factor, bool) or not isinstance(factor, (Decimal, int, Fraction)):
        raise PayloadError(f"a factor is an integer, a Decimal or a Fraction, which are exact, not {factor!r}")
    if isinstance(factor, Decimal) and not factor.is_finite():
        raise PayloadError(f"a factor is finite, not {factor}")
    return Scaled(Fraction(factor))


def _exact(number: str) -> Fraction:
    try:
        found = Decimal(number)
    except DecimalException:
        raise PayloadError(f"{_short(number)} is out of all range") from None
    if len(number) > _DIGITS or (found and abs(found.adjusted()) > _DIGITS):
        raise PayloadError(f"{_short(number)} is too long to be written out")
    return Fraction(found)


def _decimal(number: Fraction) -> str:
    """A fraction as a decimal. Raises PayloadError where it has no end."""
    rest, places = number.denominator, 0
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for prime in (2, 5):
        while rest % prime == 0:
            rest, places = rest // prime, places + 1
    if rest != 1:
        raise PayloadError(f"{_short(str(number))} has no end as a decimal")
    if not places:
        return str(number.numerator)
    digits = f"{abs(number.numerator) * 10**places // number.denominator:d}".rjust(places + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")


def _short(raw: str) -> str:
    return raw if len(raw) <= 40 else raw[:39] + "…"

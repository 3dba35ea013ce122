"""Colours that people with any kind of colour vision tell apart (Okabe and Ito), by what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = ["ADDED", "CHANGED", "DAMAGE", "FAINT", "MANY", "OTHER", "REMOVED", "SEVERITY", "SOLID", "by_name"]

#: For things that are only to be told apart, the commonest first. Black is not among them: a dark page swallows it.
MANY = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#F0E442")

#: One colour where there is nothing to tell apart; what was put together; lines that carry no meaning of their own.
SOLID, OTHER, FAINT = "#0072B2", "#999999", "#8a8a8a"

#: What is broken or gone, what is new, what became something else.
DAMAGE = REMOVED = "#D55E00"
ADDED = "#009E73"
CHANGED = "#0072B2"

SEVERITY: Mapping[str, str] = MappingProxyType({"error": "#D55E00", "warning": "#E69F00", "info": "#56B4E9"})


def by_name(names: Iterable[str]) -> dict[str, str]:
    """A colour for each of some names in their order; those beyond the palette share one.

    >>> by_name(["a", "b"])
    {'a': '#0072B2', 'b': '#E69F00'}
    """
    return {name: MANY[place] if place < len(MANY) else OTHER for place, name in enumerate(dict.fromkeys(names))}

"""Copies that share nothing which can change.

A fold copies every state that it gives out or that somebody may touch, so this is what long streams spend their time
on: flat containers are copied and looked through by the interpreter's own loops, one call each.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection
from decimal import Decimal
from itertools import chain
from typing import Any, Final

__all__ = ["ATOMS", "Flat", "isolated", "lent"]

#: Containers in which nothing can change, as is known of them, by their ids; dicts have texts for keys. It spares
#: looking through them again; whoever keeps one sees to it that nothing changes them.
Flat = dict[int, Any]

#: Python functions that call Python functions need no C stack, so this is safe for deepcopy.
_RECURSION: Final = 200_000

#: From so many members on, they are looked at together.
_MANY: Final = 16

# A bare object is a sentinel: it holds nothing that can change, and a copy of it would be another.
ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, Decimal, object, type, type(Ellipsis)})


def isolated(value: Any, flat: Flat | None = None) -> Any:
    """A copy that shares nothing that can change; plain dicts and lists at any depth.

    What is found of the larger containers of ``value`` is noted in ``flat``, and taken from there.

    >>> old = {"tags": ["a"]}
    >>> new = isolated(old)
    >>> new["tags"].append("b")
    >>> old
    {'tags': ['a']}
    """
    flat = {} if flat is None else flat
    try:
        return _isolated(value, flat)
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _RECURSION))
        try:
            return _isolated(value, flat)
        finally:
            sys.setrecursionlimit(limit)


def lent(value: Any, flat: Flat | None = None) -> Any:
    """What a predicate is given: a copy, since looking at a value may change it; what has no copy, as it is.

    >>> from collections import defaultdict
    >>> stock = defaultdict(int)
    >>> lent(stock)["nails"], dict(stock)
    (0, {})
    """
    try:
        return isolated(value, flat)
    except Exception:  # noqa: BLE001 (locks, connections and the like cannot be copied)
        return value


def _isolated(value: Any, flat: Flat) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is not dict and kind is not list:
        return copy.deepcopy(value)
    # The usual state: one level of plain values, whatever their keys are.
    if _is_flat(value, flat) or (kind is dict and ATOMS.issuperset(map(type, value.values()))):
        return value.copy()
    memo: dict[int, Any] = {}
    result: Any = kind()
    memo[id(value)] = result
    stack = [(value, result)]
    while stack:
        source, target = stack.pop()
        as_dict = type(source) is dict
        if len(source) >= _MANY and (twins := _flat_twins(source.values() if as_dict else source, memo)) is not None:
            if not as_dict:
                target += twins
                continue
            if ATOMS.issuperset(map(type, source)):
                target.update(zip(source, twins, strict=True))
                continue
        for key, member in source.items() if as_dict else enumerate(source):
            if type(member) in ATOMS:
                twin = member
            elif id(member) in memo:
                twin = memo[id(member)]
            elif type(member) is dict or type(member) is list:
                if _is_flat(member, flat):
                    twin = memo[id(member)] = member.copy()
                else:
                    twin = memo[id(member)] = type(member)()
                    stack.append((member, twin))
            else:
                twin = copy.deepcopy(member, memo)
            if as_dict:
                target[key if type(key) in ATOMS else copy.deepcopy(key, memo)] = twin
            else:
                target.append(twin)
    return result


def _is_flat(value: Any, flat: Flat) -> bool:
    """Whether a dict or a list has nothing in it that can change."""
    if id(value) in flat:
        return True
    if type(value) is dict:
        keys = set(map(type, value))
        found, named = ATOMS.issuperset(map(type, value.values())) and keys <= ATOMS, keys == {str}
    else:
        found = named = ATOMS.issuperset(map(type, value))
    if found and named and len(value) >= _MANY:
        flat[id(value)] = value
    return found


def _flat_twins(members: Collection[Any], memo: dict[int, Any]) -> list[Any] | None:
    """Copies of members that all are flat dicts, or all flat lists, noted in the memo; None if they are not.

    A member that stands in two places is left to who copies one by one: its copy has to stand in both, too.
    """
    kinds = set(map(type, members))
    if kinds == {dict}:
        insides = [chain.from_iterable(members), chain.from_iterable(map(dict.values, members))]
    elif kinds == {list}:
        insides = [chain.from_iterable(members)]
    else:
        return None
    ids = list(map(id, members))
    if len(set(ids)) < len(ids) or not memo.keys().isdisjoint(ids):
        return None
    if not all(ATOMS.issuperset(map(type, inside)) for inside in insides):
        return None
    twins: list[Any] = list(map(dict.copy if kinds == {dict} else list.copy, members))
    memo.update(zip(ids, twins, strict=True))
    return twins

"""What differs between two values, as JSON Pointers.

Payloads are hostile: values may be nested thousands deep, so nothing here recurses into plain containers without a
bound. Values are told apart exactly: 1, True and 1.0 differ; NaN equals itself.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from itertools import chain, compress, count, islice
from operator import eq, is_, is_not
from typing import Any, Final

import msgspec

from esbench.fold.copies import ATOMS, Flat

__all__ = ["ABSENT", "Change", "brief", "changes", "fields_of", "leaves", "same"]

#: Containers nested deeper than this are compared as a whole.
DEPTH: Final = 64

#: From so many members on, they are looked at together.
_MANY: Final = 16

#: What is known to be flat before and after.
Known = tuple[Flat, Flat]

#: How objects compare whose class does not say.
_BY_IDENTITY: Final[Any] = object.__eq__


class _Absent:
    """Nothing there, which differs from None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "absent"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> _Absent:
        return self

    def __deepcopy__(self, memo: object) -> _Absent:
        return self

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One path that was added (``before`` is ABSENT), removed (``after`` is ABSENT) or changed.

    >>> Change("/quantity", 5, 2)
    /quantity: 5 → 2
    """

    path: str
    before: Any
    after: Any

    def __repr__(self) -> str:
        if self.before is ABSENT:
            return f"{self.path}: + {brief(self.after)}"
        if self.after is ABSENT:
            return f"{self.path}: - {brief(self.before)}"
        return f"{self.path}: {brief(self.before)} → {brief(self.after)}"


def changes(before: Any, after: Any, known: Known | None = None) -> list[Change]:
    """The smallest subtrees in which two values differ, in the order of ``before``, then of what ``after`` adds.

    Dicts, dataclasses and msgspec Structs are compared by field, lists and tuples by index; sets as a whole, for
    their members have no place. The path of the value itself is the empty text. ``known`` is what is known to be flat
    in ``before``, and where to note what so is known of ``after``.

    >>> changes({"a": 1, "b": [1, 2]}, {"a": True, "b": [1], "c/d": None})
    [/a: 1 → True, /b/1: - 2, /c~1d: + None]
    """
    found: list[Change] = []
    stack: list[tuple[str, Any, Any, int]] = [("", before, after, 0)]
    while stack:
        path, old, new, depth = stack.pop()
        if old is new:
            continue
        members = _pairs(old, new, known) if depth < DEPTH else None
        if members is not None:
            stack += [(f"{path}/{token}", a, b, depth + 1) for token, a, b in reversed(members)]
        elif old is ABSENT or new is ABSENT or not same(old, new):
            found.append(Change(path, old, new))
    return found


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Every path of a value that has no further members, with what stands there.

    >>> list(leaves({"a": 1, "b": [], "c": [{"d": 2}]}))
    [('/a', 1), ('/b', []), ('/c/0/d', 2)]
    """
    stack: list[tuple[str, Any, int]] = [("", value, 0)]
    while stack:
        path, one, depth = stack.pop()
        members = _members(one) if depth < DEPTH else None
        if members:
            stack += [(f"{path}/{token}", member, depth + 1) for token, member in reversed(list(members.items()))]
        else:
            yield path, one


def same(first: Any, second: Any) -> bool:
    """Whether two values are exactly the same: of one type, member by member, at any depth.

    >>> same([1, float("nan")], [1, float("nan")]), same(1, True), same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    (True, False, True)
    """
    stack = [(first, second)]
    seen: set[tuple[int, int]] = set()
    made: list[object] = []  # kept, so that no id is taken twice
    while stack:
        a, b = stack.pop()
        if a is b:
            continue
        if type(a) is not type(b):
            return False
        members = _pairs(a, b)
        if members is None and type(a).__eq__ is _BY_IDENTITY:
            members = _insides(a, b)
            made.append(members)
        if members is None:
            if not _equal(a, b):
                return False
        elif (id(a), id(b)) not in seen:
            # Values may contain themselves.
            seen.add((id(a), id(b)))
            stack += [(x, y) for _, x, y in members]
    return True


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dict with names for keys, of a dataclass or a Struct; None for anything else.

    >>> fields_of({"quantity": 2}), fields_of([2])
    ({'quantity': 2}, None)
    """
    if isinstance(value, Mapping):
        return dict(value) if all(isinstance(key, str) for key in value) else None
    if isinstance(value, type):
        return None
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    return None


class _Brief(reprlib.Repr):
    """A repr of bounded length, whatever the value is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 8
        self.maxstring = self.maxother = self.maxlong = 80

    def repr1(self, x: Any, level: int) -> str:
        try:
            return super().repr1(x, level)
        except Exception:  # noqa: BLE001 (a value's own repr may raise anything; very large integers have none)
            return f"<{type(x).__name__}>"

    def repr_instance(self, x: Any, level: int) -> str:
        # An address would make one state look different from run to run.
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(x))
        return text if len(text) <= self.maxother else f"{text[: self.maxother]}…"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        # The original sorts the keys.
        if level <= 0:
            return "{…}" if x else "{}"
        shown = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in list(x.items())[: self.maxdict]]
        return f"{{{', '.join(shown + ['…'] * (len(x) > self.maxdict))}}}"


_brief = _Brief()


def brief(value: Any) -> str:
    """A short ``repr`` that never raises.

    >>> brief({"b": 2, "a": [1] * 100})
    "{'b': 2, 'a': [1, 1, 1, 1, 1, 1, 1, 1, ...]}"
    """
    return _brief.repr(value)


def _members(value: Any) -> dict[str, Any] | None:
    """The members of a container by path token; None for what has none."""
    if isinstance(value, (list, tuple)):
        names = getattr(value, "_fields", None)
        return {str(name): member for name, member in zip(names or range(len(value)), value, strict=False)}
    if isinstance(value, Mapping):
        tokens = {_token(key): member for key, member in value.items()}
        return tokens if len(tokens) == len(value) else None
    fields = fields_of(value)
    return None if fields is None else {_token(name): member for name, member in fields.items()}


def _pairs(old: Any, new: Any, known: Known | None = None) -> list[tuple[str, Any, Any]] | None:
    """Members side by side, when both are containers of one type; those that are the very same may be left out."""
    kind = type(old)
    if kind is not type(new) or kind in ATOMS:
        return None
    was_flat = known is not None and id(old) in known[0]
    if kind is list:
        pairs = _listed(old, new)
        if was_flat and known is not None and _all_atoms(pairs):
            known[1][id(new)] = new
        return pairs
    if kind is dict and (was_flat or set(map(type, old)) <= {str}):
        added = _added(old, new)
        if {str}.issuperset(map(type, new if added is None else added)):
            pairs = _named(old, new, added)
            if was_flat and known is not None and _all_atoms(pairs):
                known[1][id(new)] = new
            return pairs
    before, after = _members(old), _members(new)
    if before is None or after is None:
        return None
    return [(token, one, after.get(token, ABSENT)) for token, one in before.items()] + [
        (token, ABSENT, one) for token, one in after.items() if token not in before
    ]


def _listed(old: list[Any], new: list[Any]) -> list[tuple[str, Any, Any]]:
    """Items of two lists side by side, but for those that are the very same."""
    both = min(len(old), len(new))
    pairs = [(str(place), old[place], new[place]) for place in _unlike(old, new)]
    pairs += [(str(place), old[place], ABSENT) for place in range(both, len(old))]
    return pairs + [(str(place), ABSENT, new[place]) for place in range(both, len(new))]


def _added(old: dict[str, Any], new: dict[Any, Any]) -> list[Any] | None:
    """The keys that come in ``new`` after those of ``old``; None where these are not there in their order."""
    return list(islice(new, len(old), None)) if list(old) == list(islice(new, len(old))) else None


def _named(old: dict[str, Any], new: dict[str, Any], added: list[str] | None) -> list[tuple[str, Any, Any]]:
    """Members of two dicts with texts for keys side by side, but for those that are the very same."""
    if added is not None:
        olds, news = list(old.values()), list(islice(new.values(), len(old)))
    else:
        olds, news = list(old.values()), [new.get(name, ABSENT) for name in old]
        added = [name for name in new if name not in old]
    unlike = _unlike(olds, news)
    names = list(old) if unlike else []
    pairs = [(_token(names[place]), olds[place], news[place]) for place in unlike]
    return pairs + [(_token(name), ABSENT, new[name]) for name in added]


def _all_atoms(pairs: list[tuple[str, Any, Any]]) -> bool:
    return all(type(new) in ATOMS or new is ABSENT for _, _, new in pairs)


def _unlike(olds: list[Any], news: list[Any]) -> list[int]:
    """The places at which two lists hold other objects, as far as both go, but for dicts or lists that hold the same.

    What a handler was given are copies, in which most is as it was; that is seen here for many members in one go.
    """
    if all(map(is_, olds, news)):
        return []
    places = list(compress(count(), map(is_not, olds, news)))
    if len(places) < _MANY:
        return places
    olds, news = [olds[place] for place in places], [news[place] for place in places]
    kinds = set(map(type, olds)) | set(map(type, news))
    if kinds != {dict} and kinds != {list}:
        return places
    found: list[int] = []
    parts = [(0, len(places))]
    while parts:
        start, end = parts.pop()
        if end - start < _MANY:
            found += places[start:end]
        elif not _hold_the_same(olds[start:end], news[start:end]):
            middle = (start + end) // 2
            parts += [(middle, end), (start, middle)]
    return found


def _hold_the_same(olds: list[Any], news: list[Any]) -> bool:
    """Whether dicts, or lists, hold the very same objects as their counterparts, in the same order."""
    if not all(map(eq, map(len, olds), map(len, news))):
        return False
    if not all(map(is_, chain.from_iterable(olds), chain.from_iterable(news))):
        return False
    values = (chain.from_iterable(map(dict.values, some)) for some in (olds, news))
    return type(olds[0]) is list or all(map(is_, *values))


def _insides(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """What two objects hold whose class does not say when they are equal, by what a copy of them is made of."""
    try:
        made = old.__reduce_ex__(4), new.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 (locks, generators and the like cannot be copied)
        return None
    if isinstance(made[0], str) or isinstance(made[1], str):  # a name: functions, classes, constants
        return None
    return [("", list(made[0][1:3]), list(made[1][1:3]))]


def _token(key: Any) -> str:
    text = key if isinstance(key, str) else brief(key)
    return text.replace("~", "~0").replace("/", "~1")


def _equal(a: Any, b: Any) -> bool:
    """Equality of two values of one type that have no members."""
    if isinstance(a, float):
        return bool(a == b or (math.isnan(a) and math.isnan(b)))
    if isinstance(a, Decimal):
        return bool(str(a) == str(b) or (not a.is_snan() and not b.is_snan() and a == b))
    if isinstance(a, Set):
        # A set says that 1 and True are equal, and that two NaN are not.
        first, second = ({(type(x), x if x == x else "NaN") for x in one} for one in (a, b))
        return len(a) == len(b) and first == second
    try:
        answer = a == b
        return bool(answer.all() if hasattr(answer, "all") else answer)
    except Exception:  # noqa: BLE001 (a value's own comparison may raise anything)
        return False

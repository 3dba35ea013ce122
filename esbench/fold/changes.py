"""What differs between two values, as JSON Pointers; and copies that share nothing.

Payloads are hostile: values may be nested thousands deep, so nothing here recurses into plain containers without a
bound. Values are told apart exactly: 1, True and 1.0 differ; NaN equals itself.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import reprlib
import sys
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from typing import Any, Final

import msgspec

__all__ = ["ABSENT", "Change", "brief", "changes", "fields_of", "isolated", "leaves", "lent", "same"]

#: Containers nested deeper than this are compared as a whole.
DEPTH: Final = 64

#: Python functions that call Python functions need no C stack, so this is safe for deepcopy.
_RECURSION: Final = 200_000

#: How objects compare whose class does not say.
_BY_IDENTITY: Final[Any] = object.__eq__

# A bare object is a sentinel: it holds nothing that can change, and a copy of it would be another.
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, Decimal, object, type, type(Ellipsis)})


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


def changes(before: Any, after: Any) -> list[Change]:
    """The smallest subtrees in which two values differ, in the order of ``before``, then of what ``after`` adds.

    Dicts, dataclasses and msgspec Structs are compared by field, lists and tuples by index; sets as a whole, for
    their members have no place. The path of the value itself is the empty text.

    >>> changes({"a": 1, "b": [1, 2]}, {"a": True, "b": [1], "c/d": None})
    [/a: 1 → True, /b/1: - 2, /c~1d: + None]
    """
    found: list[Change] = []
    stack: list[tuple[str, Any, Any, int]] = [("", before, after, 0)]
    while stack:
        path, old, new, depth = stack.pop()
        if old is new:
            continue
        members = _pairs(old, new) if depth < DEPTH else None
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


def isolated(value: Any) -> Any:
    """A copy that shares nothing that can change; plain dicts and lists at any depth.

    >>> old = {"tags": ["a"]}
    >>> new = isolated(old)
    >>> new["tags"].append("b")
    >>> old
    {'tags': ['a']}
    """
    try:
        return _isolated(value)
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _RECURSION))
        try:
            return _isolated(value)
        finally:
            sys.setrecursionlimit(limit)


def lent(value: Any) -> Any:
    """What a predicate is given: a copy, since looking at a value may change it; what has no copy, as it is.

    >>> from collections import defaultdict
    >>> stock = defaultdict(int)
    >>> lent(stock)["nails"], dict(stock)
    (0, {})
    """
    try:
        return isolated(value)
    except Exception:  # noqa: BLE001 (locks, connections and the like cannot be copied)
        return value


def _isolated(value: Any) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        # The usual state: one level of plain values.
        for member in value.values():
            if type(member) not in _ATOMS:
                break
        else:
            return value.copy()
    elif kind is not list:
        return copy.deepcopy(value)
    memo: dict[int, Any] = {}
    result: Any = kind()
    memo[id(value)] = result
    stack = [(value, result)]
    while stack:
        source, target = stack.pop()
        as_dict = type(source) is dict
        for key, member in source.items() if as_dict else enumerate(source):
            if type(member) in _ATOMS:
                twin = member
            elif id(member) in memo:
                twin = memo[id(member)]
            elif type(member) is dict or type(member) is list:
                twin = memo[id(member)] = type(member)()
                stack.append((member, twin))
            else:
                twin = copy.deepcopy(member, memo)
            if as_dict:
                target[key if type(key) in _ATOMS else copy.deepcopy(key, memo)] = twin
            else:
                target.append(twin)
    return result


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


def _pairs(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """Members side by side, when both are containers of one type."""
    if type(old) is not type(new):
        return None
    before, after = _members(old), _members(new)
    if before is None or after is None:
        return None
    return [(token, one, after.get(token, ABSENT)) for token, one in before.items()] + [
        (token, ABSENT, one) for token, one in after.items() if token not in before
    ]


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

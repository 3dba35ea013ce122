"""Fingerprints of aggregates: the same text only for the same definition, as far as Python can see.

A handler is its code, its defaults, what it closes over, and the globals that it names: functions and classes of the
user's own with theirs in turn, plain values by content. What comes with Python or was installed counts by name. Where a
handler names anything else, such as an object that may change unseen, there is no fingerprint, unless the aggregate
carries a revision, with which its author answers for that.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final

import msgspec

from esbench.aggregate import Aggregate

__all__ = ["fingerprint"]

_ATOMS: Final = (type(None), bool, int, float, complex, str, bytes, Decimal, datetime, date, time, timedelta)
#: Built-in functions by which a handler reaches what its code does not name.
_OPAQUE: Final = frozenset(
    {"__dict__", "__import__", "eval", "exec", "globals", "import_module", "input", "locals", "modules", "open", "vars"}
)
#: Functions by which it reaches members of a module of the user's that its code does not name.
_BY_NAME: Final = frozenset({"attrgetter", "getattr"})
#: Members of every class that say nothing of what it does.
_USUAL: Final = frozenset(
    {"__dict__", "__doc__", "__firstlineno__", "__module__", "__static_attributes__", "__weakref__"}
)
_INSTALLED: Final = (
    str(Path(__file__).parents[1]),
    *(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_MOST: Final = 5_000


class _Unseen(Exception):
    """Something whose changes would not be seen."""


def fingerprint(aggregate: Aggregate) -> str | None:
    """A text that another definition does not have; None where a change could go unseen.

    >>> one, two = Aggregate("Item", initial=0), Aggregate("Item", initial=1)
    >>> fingerprint(one) == fingerprint(Aggregate("Item", initial=0)), fingerprint(one) == fingerprint(two)
    (True, False)
    """
    walk = _Walk(trusting=aggregate.revision is not None)
    try:
        parts = (
            sys.version,
            aggregate.name,
            aggregate.revision,
            walk.of(aggregate.initial),
            [(name, walk.of(handler)) for name, handler in sorted(aggregate.handlers.items())],
            [(name, walk.of(predicate)) for name, predicate in aggregate.invariants.items()],
        )
    except (_Unseen, RecursionError):
        return None
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


class _Walk:
    """Everything that a definition reaches, each thing once."""

    def __init__(self, *, trusting: bool) -> None:
        self._trusting = trusting
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []

    def of(self, value: Any) -> Any:
        """What tells a value from others."""
        kind = type(value)
        if kind in _ATOMS:
            return kind.__name__, repr(value)
        if id(value) in self._seen:
            return "again", self._seen[id(value)]
        self._seen[id(value)] = len(self._kept)
        self._kept.append(value)  # or another value may get its id
        if len(self._kept) > _MOST:
            raise _Unseen
        return kind.__name__, *self._parts(value)

    def _parts(self, value: Any) -> Iterator[Any]:
        if isinstance(value, ModuleType):
            if not self._trusting and not _installed(value.__name__):
                raise _Unseen  # what code takes from it is not known here
            yield value.__name__
        elif isinstance(value, BuiltinFunctionType):
            yield from (value.__module__, value.__qualname__, self._self(value))
        elif isinstance(value, FunctionType | type) and _installed(str(value.__module__)):
            yield from (value.__module__, value.__qualname__)
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield value.__qualname__
            yield [self.of(base) for base in value.__bases__]
            yield [(name, self._member(one)) for name, one in sorted(vars(value).items()) if name not in _USUAL]
        elif type(value) in (tuple, list):
            yield from map(self.of, value)
        elif type(value) in (dict, MappingProxyType):
            yield from ((self.of(key), self.of(one)) for key, one in value.items())
        elif type(value) in (set, frozenset) and all(type(one) in _ATOMS for one in value):
            yield from sorted((type(one).__name__, repr(one)) for one in value)
        elif isinstance(value, MethodType):
            yield from (self.of(value.__func__), self.of(value.__self__))
        elif isinstance(value, functools.partial):
            yield from map(self.of, (value.func, value.args, value.keywords))
        elif isinstance(value, Enum):
            yield from (self.of(type(value)), value.name)
        elif isinstance(value, msgspec.Struct):
            yield self.of(type(value))
            yield from (self.of(getattr(value, name)) for name in value.__struct_fields__)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield self.of(type(value))
            yield from (self.of(getattr(value, one.name, None)) for one in dataclasses.fields(value))
        elif not self._trusting:
            raise _Unseen

    def _self(self, builtin: BuiltinFunctionType) -> Any:
        owner = getattr(builtin, "__self__", None)
        return None if owner is None or isinstance(owner, ModuleType) else self.of(owner)

    def _member(self, value: Any) -> Any:
        """A member of a class."""
        if isinstance(value, staticmethod | classmethod):
            return self.of(value.__func__)
        if isinstance(value, property):
            return [self.of(one) for one in (value.fget, value.fset, value.fdel)]
        if isinstance(value, FunctionType | type | tuple | list | dict) or type(value) in _ATOMS:
            return self.of(value)
        return type(value).__qualname__

    def _function(self, value: FunctionType) -> Iterator[Any]:
        yield _code(value.__code__)
        yield self.of(value.__defaults__)
        yield self.of(value.__kwdefaults__)
        names, imports = _names(value.__code__)
        for cell in value.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not yet filled
                yield "empty"
            else:
                yield self._named(content, names)
        if not self._trusting and (imports or names & _OPAQUE - value.__globals__.keys()):
            raise _Unseen
        for name in sorted(names & value.__globals__.keys()):
            yield name, self._named(value.__globals__[name], names)

    def _named(self, value: Any, names: frozenset[str], depth: int = 0) -> Any:
        """What stands behind a global or a closure; of a module of the user's, the members that the code may mean."""
        if not isinstance(value, ModuleType) or _installed(value.__name__):
            return self.of(value)
        if depth > 8 or (not self._trusting and names & _BY_NAME):
            raise _Unseen
        members = vars(value)
        return value.__name__, [
            (one, self._named(members[one], names, depth + 1)) for one in sorted(names & members.keys())
        ]


@lru_cache(maxsize=4096)
def _names(code: CodeType) -> tuple[frozenset[str], bool]:
    """The names that code uses, functions in it included, and whether it imports what is not installed."""
    names, imports = set(code.co_names), False
    for one in dis.get_instructions(code):
        imports = imports or (one.opname == "IMPORT_NAME" and not _installed(str(one.argval)))
    for inner in (one for one in code.co_consts if isinstance(one, CodeType)):
        more, other = _names(inner)
        names, imports = names | more, imports or other
    return frozenset(names), imports


@lru_cache(maxsize=4096)
def _code(code: CodeType) -> str:
    """What code does, wherever it stands."""
    constants = [
        _code(one) if isinstance(one, CodeType) else (type(one).__name__, _stable(one)) for one in code.co_consts
    ]
    parts = (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
    return repr((parts, constants, code.co_argcount, code.co_kwonlyargcount))


def _stable(constant: Any) -> str:
    """A constant's text; that of a set in code is in no order."""
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


@lru_cache(maxsize=4096)
def _installed(module: str) -> bool:
    """Whether a module came with Python or was installed: then it does not change while a process runs."""
    if module == "__main__":
        return False  # of a notebook, its file is the kernel's
    if module in sys.builtin_module_names or module.partition(".")[0] in sys.stdlib_module_names:
        return True
    found = getattr(sys.modules.get(module), "__file__", None)
    return found is not None and str(Path(found).resolve()).startswith(_INSTALLED)

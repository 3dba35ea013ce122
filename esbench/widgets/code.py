"""The API calls for what is on screen, as text that runs where the widget was made.

It answers about what is on screen or it fails: what has no name in the notebook gets one that the notebook does not
use, so that nothing else is taken for it; and no line assigns a name that the notebook uses for something of its own.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Set
from datetime import date
from decimal import Decimal
from importlib import import_module
from itertools import count
from keyword import iskeyword
from typing import Any, Final

from esbench import payload
from esbench.aggregate import Aggregate
from esbench.bench import Bench
from esbench.checks import Report
from esbench.literals import IMPORTS, Unwritable, literal, plain, text_literal
from esbench.log import Branch, Log
from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration
from esbench.show import cell

__all__ = ["Names", "call"]


#: A literal in parts: texts, names and what is between.
_PARTS: Final = re.compile(r"""b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'|\w+|.""", re.DOTALL)


class Names:
    """What things are called in the notebook, or in ``namespace``; and lines that make those that have no name.

    ``own`` are names that code which was shown before assigns: it may do so again.

    >>> import esbench as es
    >>> item = es.Aggregate("Item", initial={})
    >>> names = Names({"inventory": item})
    >>> names.of(item, "aggregate"), names.lines
    ('inventory', [])
    >>> names = Names({"aggregate": "something else"})
    >>> names.of(item, "aggregate"), names.lines
    ('aggregate_2', ["# aggregate_2: must be the aggregate 'Item'"])
    """

    def __init__(self, namespace: Mapping[str, Any] | None = None, own: Set[str] = frozenset()) -> None:
        self._namespace = dict(vars(sys.modules["__main__"]) if namespace is None else namespace)
        self._before = own
        self._given: dict[str, Any] = {}
        self.own: set[str] = set()
        self.lines: list[str] = []

    def of(self, thing: object, otherwise: str) -> str:
        """The name of a thing; where it has none one like ``otherwise``, after a line that makes it or says what it is.

        Code that is run without it says that the name is not defined.
        """
        for name, value in (*self._given.items(), *self._known()):
            if value is thing:
                return name
        made = self._made(thing)
        name = self.new(otherwise) if made is not None else self._free(otherwise, frozenset())
        self._given[name] = thing
        self.lines.append(f"# {name}: must be {_told(thing)}" if made is None else f"{name} = {made}")
        return name

    def new(self, wanted: str) -> str:
        """A name that the code assigns: like this one, and nothing that the notebook has."""
        name = self._free(wanted, self._before)
        self._given[name] = self
        self.own.add(name)
        return name

    def imported(self, module: str, name: str = "", *, like: str = "") -> str:
        """What a module, or a member of it, is called, after a line that imports it where the notebook has not."""
        found = import_module(module)
        thing, wanted = (getattr(found, name), name) if name else (found, like or module)
        if self._namespace.get(wanted) is thing or self._given.get(wanted) is thing:
            return wanted
        called = self._free(wanted, self._before)
        self._given[called] = thing
        self.own.add(called)
        renamed = "" if called == (name or module) else f" as {called}"
        self.lines.insert(0, f"from {module} import {name}{renamed}" if name else f"import {module}{renamed}")
        return called

    @property
    def es(self) -> str:
        """What esbench is called."""
        return self.imported("esbench", like="es")

    def bench(self, con: Any) -> str:
        """The name of the bench over a connection, if it has one; otherwise one that means nothing else."""
        found = self._bench(con)
        return self._free("bench", frozenset()) if found is None else found

    def value(self, value: Any) -> str:
        """Source of a JSON value, which gives it back exactly."""
        try:
            source = literal(plain(value))
        except Unwritable:  # nested too deep for Python to read
            return f"{self.imported('esbench.payload', 'decode')}({text_literal(payload.encode(value))})"
        return "".join(
            self.imported(IMPORTS[part], part) if part in IMPORTS else part for part in _PARTS.findall(source)
        )

    def text(self, text: str | None) -> str:
        """Source of a value that is encoded as this JSON text, which has other numbers than Python: 1.10 is not 1.1."""
        if text is None:
            return "None"
        value = payload.decode(text)
        return self.value(value if payload.encode(value) == text else json.loads(text, parse_float=Decimal))

    def _known(self) -> list[tuple[str, Any]]:
        """What somebody can call by its name."""
        return [
            (name, value)
            for name, value in self._namespace.items()
            if name.isidentifier() and not iskeyword(name) and not name.startswith("_") and name not in self._before
        ]

    def _free(self, wanted: str, own: Set[str]) -> str:
        names = (wanted if number == 1 else f"{wanted}_{number}" for number in count(1))
        return next(name for name in names if name not in self._given and (name in own or name not in self._namespace))

    def _bench(self, con: Any) -> str | None:
        benches = (name for name, value in self._known() if isinstance(value, Bench) and value.con is con)
        return next(benches, None)

    def _made(self, thing: object) -> str | None:
        """Source that makes a thing of what has a name; None where nothing does."""
        if isinstance(thing, Branch):
            return self._branched(thing)
        if isinstance(thing, Log) and thing.source.within == thing.name:
            bench = self._bench(thing.source.con)
            return None if bench is None else f"{bench}[{thing.name!r}]"
        return None

    def _branched(self, thing: Branch) -> str | None:
        """A branch by its edits, where they were made by its verbs."""
        made = thing.edits.calls
        if made is None:
            return None
        texts = ("data", "metadata")
        return self.of(thing._log, "log") + "".join(
            f".{verb}({', '.join(f'{n}={self.text(v) if n in texts else repr(v)}' for n, v in options.items())})"
            for verb, options in made
        )


def call(verb: str, *arguments: str, **options: Any) -> str:
    """A call as Python source; arguments are source already, options are values, those that are None left out.

    >>> call("stock.state", "inventory", "'item-1'", version=4, as_of=None)
    "stock.state(inventory, 'item-1', version=4)"
    """
    # A time as text means the same to every verb, and needs no import.
    told = {name: value.isoformat() if isinstance(value, date) else value for name, value in options.items()}
    named = [f"{name}={value!r}" for name, value in told.items() if value is not None]
    return f"{verb}({', '.join([*arguments, *named])})"


def _told(thing: object) -> str:
    """What a thing is, in words."""
    if isinstance(thing, Branch):
        return f"the branch of the log {_quoted(thing._log.name)} in {_quoted(thing.edits.stream_id)}"
    if isinstance(thing, DryRun):
        return f"the dry run of {_quoted(thing.migration.name)} over {_quoted(thing.name)}"
    if isinstance(thing, Report):
        return "the report that is shown" if thing.name is None else f"the report of the log {_quoted(thing.name)}"
    for kind, what in ((Log, "log"), (Aggregate, "aggregate"), (Migration, "migration")):
        if isinstance(thing, kind):
            return f"the {what} {_quoted(thing.name)}"
    return f"the {type(thing).__name__} that is shown"


def _quoted(name: str) -> str:
    return repr(cell(name, width=120))

"""The API calls for what is on screen, as text that runs where the widget was made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from esbench.aggregate import Aggregate
from esbench.bench import Bench
from esbench.log import Branch, Log

__all__ = ["Names", "call"]


class Names:
    """What things are called in the notebook, or in ``namespace``; and lines that make those that have no name.

    >>> import esbench as es
    >>> item = es.Aggregate("Item", initial={})
    >>> names = Names({"inventory": item})
    >>> names.of(item, "aggregate"), names.lines
    ('inventory', [])
    >>> Names({}).of(item, "aggregate")
    'aggregate'
    """

    def __init__(self, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = dict(vars(sys.modules["__main__"]) if namespace is None else namespace)
        self.lines: list[str] = []

    def of(self, thing: object, otherwise: str) -> str:
        """The name of a thing; ``otherwise`` where it has none, after a line that says what that is."""
        for name, value in self._namespace.items():
            if value is thing and name.isidentifier() and not name.startswith("_"):
                return name
        self._namespace[otherwise] = thing
        line = self._made(thing, otherwise)
        if line is not None:
            self.lines.append(line)
        return otherwise

    def bench(self, con: Any) -> str:
        """The name of the bench over a connection; ``bench`` where it has none."""
        known = (name for name, value in self._namespace.items() if isinstance(value, Bench) and value.con is con)
        return next((name for name in known if not name.startswith("_")), "bench")

    def _made(self, thing: object, name: str) -> str | None:
        """A line that makes a thing that has no name, or that says what its name must stand for."""
        if isinstance(thing, Log) and thing.source.within == thing.name and not isinstance(thing, Branch):
            for bench, value in self._namespace.items():
                if isinstance(value, Bench) and value.con is thing.source.con and not bench.startswith("_"):
                    return f"{name} = {bench}[{thing.name!r}]"
            return f"# {name}: the log {thing.name!r}"
        if isinstance(thing, Aggregate):
            return f"# {name}: the aggregate {thing.name!r}"
        return f"# {name}: {type(thing).__name__}"


def call(verb: str, *arguments: str, **options: Any) -> str:
    """A call as Python source; arguments are source already, options are values, those that are None left out.

    >>> call("stock.state", "inventory", "'item-1'", version=4, as_of=None)
    "stock.state(inventory, 'item-1', version=4)"
    """
    named = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    return f"{verb}({', '.join([*arguments, *named])})"

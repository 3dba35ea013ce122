"""A migration is a value: ordered steps, a name, and the gates that its result must pass."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from esbench import show
from esbench.migrate.step import MigrationError, Step
from esbench.migrate.work import STEPS

__all__ = ["Migration"]


@dataclass(frozen=True, repr=False)
class Migration:
    """Ordered steps that turn one log into another, and the gates that the result must pass.

    ``idempotent`` claims that migrating the result again changes nothing, which a gate then proves. An empty migration
    is valid: with ``gates=[es.same_state(old, new)]`` it tests a change of code against all of history.

    >>> Migration("nothing")
    Migration 'nothing': no steps, no gates of its own
    """

    name: str
    steps: tuple[Step, ...] = ()
    gates: tuple[Any, ...] = ()
    idempotent: bool = False
    note: str = ""
    _: Any = field(default=None, init=False, compare=False)

    def __init__(
        self,
        name: str,
        steps: Iterable[Step] = (),
        *,
        gates: Iterable[Any] = (),
        idempotent: bool = False,
        note: str = "",
    ) -> None:
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise MigrationError(f"a migration needs a name: {name!r} is none")
        listed = tuple(steps)
        for place, step in enumerate(listed, start=1):
            if not isinstance(step, Step):
                raise MigrationError(
                    f'step {place} of "{name}" is no operation, but {type(step).__name__} {step!r:.80}'
                )
        own = tuple(gates)
        for gate in own:
            if not callable(getattr(gate, "judge", None)) or not hasattr(gate, "name"):
                raise MigrationError(
                    f'a gate of "{name}" has a name and judge(seen), as es.same_state(…) has; this is {gate!r:.80}'
                )
        if len(listed) > STEPS:
            raise MigrationError(
                f'"{name}" has {len(listed)} steps, and at most {STEPS} fit: make two migrations of it'
            )
        for name_, value in (
            ("name", name),
            ("steps", listed),
            ("gates", own),
            ("idempotent", idempotent),
            ("note", note),
        ):
            object.__setattr__(self, name_, value)

    def explain(self) -> pd.DataFrame:
        """One row a step: what it takes, what it does, and what it runs as."""
        return pd.DataFrame(
            {
                "step": pd.Series(range(1, len(self.steps) + 1), dtype="int64"),
                "takes": pd.Series([str(step.which) for step in self.steps], dtype="str"),
                "does": pd.Series([step.sentence for step in self.steps], dtype="str"),
                "runs as": pd.Series([step.form for step in self.steps], dtype="str"),
            }
        )

    @property
    def form(self) -> str:
        """``Python`` where a function of the user decides in some step, else ``SQL``."""
        return "Python" if any(step.form.startswith("Python") for step in self.steps) else "SQL"

    @property
    def private(self) -> bool:
        """Whether a step replaces what nobody may read any more: then it is applied to a file of its own."""
        return any(step.private for step in self.steps)

    @property
    def text(self) -> str:
        """The migration in words, with the source of the functions in it; kept with the log that it makes.

        Of a private one without their source, which may hold keys and the very values that are to be forgotten.
        """
        lines = [f"migration {self.name}", *([self.note] if self.note else [])]
        for place, step in enumerate(self.steps, start=1):
            lines.append(f"{place}. {step.sentence}")
            for name, function in step.functions.items():
                source = f"{name}: source left out" if self.private else _source(name, function)
                lines.append(textwrap.indent(source, "   "))
        lines += [f"gate: {gate!r}" for gate in self.gates]
        if self.idempotent:
            lines.append("idempotent")
        return "\n".join(lines)

    def __repr__(self) -> str:
        steps = show.count(len(self.steps), "step") if self.steps else "no steps"
        gates = show.count(len(self.gates), "gate") if self.gates else "no gates"
        lines = [f"Migration {show.cell(self.name)!r}: {steps}, {gates} of its own"]
        lines += [f"  {place}. {step.sentence}" for place, step in enumerate(self.steps, start=1)]
        return "\n".join([*lines, *(f"  must hold: {gate!r}" for gate in self.gates)])

    def _repr_html_(self) -> str:
        notes = [f"must hold: {gate!r}" for gate in self.gates]
        return show.table(self.explain(), title=f"Migration {self.name}", notes=notes)


def _source(name: str, function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function)).rstrip()
    except (OSError, TypeError):
        return f"{name}: source not to be had"

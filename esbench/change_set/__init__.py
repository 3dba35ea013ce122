"""What turns the store that a log came from into the new log: a file to review, which esbench never runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esbench import payload
from esbench.change_set import sql
from esbench.change_set.layout import Table
from esbench.change_set.plan import Plan, Positions, planned
from esbench.errors import ExportError
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.show import count
from esbench.writing import whole_file

__all__ = ["ChangeSet", "Table", "change_set"]


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What a change set file holds. ``untold``: by column, events that differ where the table has no column."""

    path: str
    deletes: int
    updates: int
    inserts: int
    streams: int
    untold: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        parts = [f"{count(n, what)}" for n, what in ((self.deletes, "delete"), (self.updates, "update"))]
        parts += [count(self.inserts, "insert"), count(self.streams, "stream")]
        parts += [f"not written: {name} of {count(rows, 'event')}" for name, rows in self.untold]
        return f"{self.path}: {', '.join(parts)}"


def change_set(
    old: Events,
    new: Events,
    table: Table,
    path: str | os.PathLike[str],
    *,
    positions: Positions = "keep",
    overwrite: bool = False,
) -> ChangeSet:
    """Write what turns the table that ``old`` came from into ``new``: ``.sql`` for its dialect, or ``.jsonl``.

    ``new`` has the lineage columns of a migration; without them its positions are those of ``old``. Only what differs
    is written: rows that go, new ones, and of others the columns that change, by the table's key. The file first
    asserts that each stream that it touches ends where ``old`` ends and, as SQL, that what it overwrites or deletes is
    what ``old`` holds. ``positions``: ``keep``, where events keep theirs and new ones come after the last, or ``new``,
    where all are those of ``new`` and nothing may have been added since.
    As JSON lines: one ``{"action": "expect"}`` a stream, then one line each ``delete``, ``update`` and ``insert``.
    Raises ExportError where rows cannot be told apart, a value does not fit, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".sql", ".jsonl", ".ndjson"):
        raise ExportError(f"{os.fspath(path)}: a change set is a .sql file, or .jsonl")
    if positions not in ("keep", "new"):
        raise ExportError(f'positions is "keep" or "new", not {positions!r}')
    with whole_file(path, overwrite=overwrite) as out, planned(old, new, table, positions) as plan:
        found = sql.lines(plan, Path(path).name) if suffix == ".sql" else _json_lines(plan)
        for text in found:
            out.write(text.encode())
        return ChangeSet(
            os.fspath(path), plan.deletes, plan.updates, plan.inserts, plan.streams, tuple(plan.untold.items())
        )


def _json_lines(plan: Plan) -> Iterator[str]:
    """One action a line, for a store that is changed by a program; names are canonical."""
    for head in plan.heads():
        yield _line("expect", {"stream_id": head.stream_id, "events": head.events, "version": head.last})
    identity = plan.identity
    for row in plan.rows("delete", _asked(identity, "older")):
        yield _line("delete", {"event": dict(zip(identity, row, strict=False))})
    for group in plan.groups:
        where = f"bits = {group.bits}"
        asked = [*_asked(identity, "older"), *_asked(group.columns, "newer")]
        for row in plan.rows("update", asked, where=where):
            event = dict(zip(identity, row, strict=False))
            values = dict(zip(group.columns, row[len(identity) :], strict=False))
            yield _line("update", {"event": event, "set": values})
    names = [name for name in CANONICAL if name in plan.inserted]
    for row in plan.rows("insert", _asked(names, "newer")):
        yield _line("insert", {"event": dict(zip(names, row, strict=False))})


def _asked(names: tuple[str, ...] | list[str], side: str) -> list[str]:
    """Values as JSON can take them; payloads stay text, which is put in as it is."""
    forms = {
        "TIMESTAMPTZ": "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%fZ')",
        "JSON": "trim(replace(replace({}::varchar, chr(10), ' '), chr(13), ' '), chr(32) || chr(9))",
    }
    return [forms.get(CANONICAL[name], "{}").format(f"{side}.{name}") for name in names]


def _line(action: str, members: dict[str, Any]) -> str:
    parts = [f'"action":{payload.encode(action)}']
    for name, value in members.items():
        if isinstance(value, dict):
            inner = (
                f"{payload.encode(key)}:{one if CANONICAL[key] == 'JSON' and one is not None else payload.encode(one)}"
                for key, one in value.items()
            )
            parts.append(f"{payload.encode(name)}:{{{','.join(inner)}}}")
        else:
            parts.append(f"{payload.encode(name)}:{payload.encode(value)}")
    return f"{{{','.join(parts)}}}\n"

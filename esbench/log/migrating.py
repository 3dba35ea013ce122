"""Turning a log into another: views through upcasters, dry runs, and where events come from."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Literal

import pandas as pd

from esbench import catalog
from esbench.change_set import ChangeSet, Table, change_set
from esbench.errors import EsbenchError
from esbench.events import Events, stream_name
from esbench.export import Exported, Format, export
from esbench.log.looking import Looking
from esbench.migrate.dry import DryRun, dry_run
from esbench.migrate.lineage import derived, lineage
from esbench.migrate.migration import Migration
from esbench.pairs import By
from esbench.side_by_side import compare

__all__ = ["Migrating"]


class Migrating(Looking):
    """Verbs that turn a log into another, and tell what came of what; nothing is made but by ``bench.apply``."""

    def dry_run(
        self,
        migration: Migration,
        *,
        sample: int | None = None,
        checks: bool = True,
        executor: Executor | None = None,
    ) -> DryRun:
        """Everything that a migration would do, without making the new log: counts, changes, failures, gates.

        ``sample``: only so many streams, always the same ones; such a run is quick, and cannot be applied. ``checks``:
        look for findings before and after. ``executor`` runs your functions on its workers.
        """
        return dry_run(self.source, migration, name=self.name, sample=sample, checks=checks, executor=executor)

    def lineage(self, stream: str | int, version: int) -> pd.DataFrame:
        """What the events of a version come from, and what came of them, through every migration in the bench."""
        return lineage(self.source.con, self.name, stream_name(stream), version)

    def compare(self, other: Looking, *, limit: int = 1_000) -> pd.DataFrame:
        """The events in which this log and another differ, one row a place; ``attrs["counts"]`` counts all.

        Where the other was made of this one alone, by one migration, events are paired through their lineage, else by
        stream and version; ``attrs["by"]`` says which.
        """
        made = _made_of(self, other)
        by: By = "stream and version" if made is None else "lineage"
        found = compare(self.source, other.source if made is None else made, by=by, limit=limit)
        found.attrs["by"] = by
        return found

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        format: Format | None = None,
        order: Literal["position", "stream"] = "position",
        overwrite: bool = False,
    ) -> Exported:
        """Write the events to a file, whole or not at all: JSON lines, CSV or Parquet, also ``.gz`` and ``.zst``.

        ``format`` is told by the ending unless given. ``bench.load`` reads it back event for event. ``order``: by
        position, or stream by stream.
        """
        return export(self.source, path, format=format, order=order, overwrite=overwrite)

    def change_set(
        self, new: Looking, table: Table, path: str | os.PathLike[str], *, overwrite: bool = False
    ) -> ChangeSet:
        """Write a file that turns the table that this log came from into ``new``, a log made of it by a migration.

        To be reviewed, and run by you: SQL in one transaction that first asserts the streams' heads and checks its
        counts before it commits (``.sql``), or JSON lines (``.jsonl``). Nothing is run here.
        """
        made = _made_of(self, new)
        if made is None:
            raise EsbenchError(f"{new.name} was not made of {self.name} by a migration, so it has no lineage")
        return change_set(self.source, made, table, path, overwrite=overwrite)


def _made_of(log: Looking, other: Looking) -> Events | None:
    """The events of a log with where they come from, if it was made of another, alone, by a migration."""
    con = other.source.con
    known = derived(con).get(other.name) if other.source.within == other.name else None
    if known is None or known.sources != (log.name,) or log.source.within != log.name:
        return None
    return catalog.lineage_of(con, catalog.entry(con, other.name))

"""Judging a log: what is wrong with it, which writes raced, and whether something else says the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from esbench.aggregate import Aggregate
from esbench.checks import Report, check
from esbench.concurrency import Concurrency, Verdict, audit, would_accept
from esbench.event import at
from esbench.log.looking import Looking
from esbench.reconcile import reconcile
from esbench.regression import as_test

__all__ = ["Judging"]


class Judging(Looking):
    """Verbs that hold a log, and what is folded of it, against rules, tables and tests."""

    def check(
        self,
        *aggregates: Aggregate,
        only: Iterable[str] | None = None,
        skip: Iterable[str] | None = None,
        **options: Any,
    ) -> Report:
        """Everything that is wrong with the log, and with what aggregates and read models make of it, as one report.

        ``only`` and ``skip`` name checks, or kinds of them (``"structure"``, ``"schema"``, ``"meaning"``); the options
        are those of :func:`esbench.checks.check`, such as ``snapshots=`` and ``schemas=``.
        """
        return check(self.source, aggregates, only=only, skip=skip, rejects=self.rejects, name=self.name, **options)

    def concurrency(self) -> Concurrency:
        """Which writes raced, how often, and which got through wrongly, by what their metadata says."""
        return audit(self.source)

    def would_accept(
        self,
        stream: str | int,
        *,
        expected_version: int | None,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
    ) -> Verdict:
        """Whether optimistic locking would have accepted a command that was handled at ``expected_version``.

        It would, if the stream has that version at the coordinate. None expects that there is no stream yet.
        """
        return would_accept(self.source, stream, expected_version, at(version=version, as_of=as_of, position=position))

    def reconcile(
        self,
        aggregate: Aggregate,
        table: object,
        *,
        key: str | Sequence[str] | None = None,
        columns: Mapping[str, str] | None = None,
        tolerances: Mapping[str, Any] | None = None,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        forks: str = "all",
    ) -> pd.DataFrame:
        """What differs between the states of all streams and a table, such as a read model; no rows: nothing does.

        ``table``: a frame, or the name of a table in the bench; ``key``: its column of stream ids, or of a read model's
        keys (a list where they have several parts). ``columns``: field or path of the state to column.
        ``tolerances``: column to how far its numbers may be off.
        """
        return reconcile(
            self.source,
            aggregate,
            table,
            key=key,
            at=at(version=version, as_of=as_of, position=position),
            columns=columns,
            tolerances=tolerances,
            forks=forks,
        )

    def as_test(
        self,
        aggregate: Aggregate,
        stream: str | int,
        *,
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
        path: str | os.PathLike[str] | None = None,
        mask: Iterable[str] = (),
        aggregate_from: str | None = None,
        forks: str = "all",
    ) -> str:
        """A pytest file: given the events of a stream up to a coordinate, then the state that they have now.

        ``path``: where to write it. ``mask``: paths in payloads whose values become tokens. ``aggregate_from``: where
        the test imports the aggregate from, as in ``shop.aggregates:inventory``.
        """
        return as_test(
            self.source,
            aggregate,
            stream,
            at(version=version, as_of=as_of, position=position),
            path=path,
            mask=mask,
            aggregate_from=aggregate_from,
            forks=forks,
        )

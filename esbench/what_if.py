"""What a branch has beside the verbs of a log: edits, and what they make of states."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, Literal, Self

import pandas as pd

from esbench import compare, travel
from esbench.aggregate import Aggregate
from esbench.branch import KEEP, BadEdit, Edits
from esbench.event import At, at
from esbench.events import Events
from esbench.fold.keyed import StreamOrKey

__all__ = ["Editing"]


class Editing:
    """Edits of a log, each giving a new branch; ``original`` is the log, or the branch, that they are compared to."""

    source: Events
    original: Any
    edits: Edits

    def _made(self, edits: Edits) -> Self:
        raise NotImplementedError

    def insert(
        self,
        *,
        event_type: str,
        data: Any = None,
        version: int | None = None,
        shift: bool = True,
        **columns: Any,
    ) -> Self:
        """One event more: after the coordinate, after the one inserted last, or as ``version``.

        An event of this version, and all that follow, move up by one; ``shift=False`` makes a fork or a gap instead.
        ``columns``: ``metadata``, ``event_id``, ``schema_version``, ``recorded_at`` (that of the event before it
        unless given), ``occurred_at``.
        """
        made = self.edits.insert(event_type=event_type, data=data, version=version, shift=shift, **columns)
        return self._made(made)

    def drop(
        self,
        version: int | None = None,
        *,
        position: int | None = None,
        event_id: str | None = None,
        close: bool = True,
    ) -> Self:
        """Without one event, as if it had not happened; ``close=False`` leaves a gap, as if it had been lost."""
        made = self.edits.drop(version, position=position, event_id=event_id, close=close)
        return self._made(made)

    def change(
        self,
        version: int | None = None,
        *,
        position: int | None = None,
        event_id: str | None = None,
        data: Any = KEEP,
        event_type: Any = KEEP,
        **columns: Any,
    ) -> Self:
        """One event with other ``data`` (a value, or a function of the old one), type, or one of ``columns``.

        ``columns``: ``metadata``, ``schema_version``, ``recorded_at``, ``occurred_at``.
        """
        made = self.edits.change(
            version, position=position, event_id=event_id, data=data, event_type=event_type, **columns
        )
        return self._made(made)

    def diff(
        self,
        aggregate: Aggregate,
        a: At | None = None,
        b: At | None = None,
        *,
        stream: StreamOrKey | None = None,
        forks: str = "all",
        executor: Executor | None = None,
        by: Literal["stream", "version"] = "stream",
        version: int | None = None,
        as_of: object = None,
        position: int | None = None,
    ) -> pd.DataFrame:
        """What the edits make of states: ``before`` in the original, ``after`` in the branch, one row a path.

        Compared are the edited streams, since no other can differ, or one, at a coordinate or the end; a position is
        one of the original. ``by="version"`` compares the stream after each of its events. With ``a``, and ``b`` or
        the end, it compares two coordinates of the branch, as any log does.
        """
        if a is not None or b is not None:
            ends = (a or at(), b or at())
            return travel.diff(self.source, aggregate, *ends, stream=stream, forks=forks, executor=executor)
        where = there = at(version=version, as_of=as_of, position=position)
        old, new = self.edits.since, self.edits.overlay
        if where.position is not None:
            there = at(position=new.positions.of(old.positions.back(where.position)))
        pair, ats = (self.original.source, self.source), (where, there)
        if by == "stream":
            some = self.edits.edited if stream is None else [stream]
            return compare.by_stream(pair, aggregate, ats, some, forks=forks)
        if by != "version":
            raise BadEdit(f'by= is "stream" or "version", not {by!r}')
        chosen = self.edits.stream_id if stream is None else stream
        return compare.by_version(pair, aggregate, ats, chosen, (old.origin, new.origin))

"""Steps that give streams other ids; versions, gaps and forks, positions and payloads stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from esbench.events import stream_name
from esbench.migrate.step import MigrationError, Step, name_of
from esbench.migrate.steps.among import (
    Listed,
    Order,
    Streams,
    among,
    called,
    checked,
    in_order,
    keys,
    known,
    target_id,
    told,
    written,
)
from esbench.migrate.steps.regrouping import WHOLE, regrouped, renamed
from esbench.migrate.work import Work
from esbench.show import cell

__all__ = ["rekey", "rename_stream"]

_NAMES: Mapping[str, pa.DataType] = {
    "stream_key": pa.int64(),
    "stream_id": pa.string(),
    "target": pa.string(),
    "failure": pa.string(),
}


@dataclass(frozen=True, repr=False)
class Rekey(Step):
    """Streams under other ids: ``by`` is SQL, a function of the id, or pairs of an old and a new id."""

    local = False
    by: str | Callable[[str], Any] | tuple[tuple[str, str], ...] = field(kw_only=True)
    merge: Order | None = field(default=None, kw_only=True)
    said: str = field(kw_only=True)
    help: str = "rekey(merge=…) makes one stream of several"

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.by): self.by} if callable(self.by) else {}

    @property
    def sentence(self) -> str:
        together = "" if self.merge is None else f", those that become one {in_order(self.merge)}"
        return f"{self.said}{together}"

    def over(self, work: Work, number: int) -> Work:
        taken = keys(work, number, self.which)
        names = None if taken is None else self._names(work, number, taken)
        if names is None or not work.events.rows(f"select 1 from {names} limit 1"):
            return work
        # Two streams of one id, whether both have events or not, are for the rows to tell.
        if not work.events.rows(
            f"""
            select 1 from ({known(work)}) as held left join {names} as names using (stream_key)
            group by coalesce(target, held.stream_id) having count(*) > 1 limit 1
            """
        ):
            return renamed(work, number, names)
        goes = work.scratch.keep(f"goes {number}", work.events, WHOLE.format(names=names))
        return regrouped(work, number, goes, self.merge or "position", merge=None if self.merge else self.help)

    def _names(self, work: Work, number: int, taken: str) -> str:
        """A scratch table of the streams that get an id: ``target`` is NULL where it is the one they have."""
        if isinstance(self.by, str):
            return self._by_sql(work, number, taken, self.by)
        rows = work.events.rows(f"select stream_key, stream_id from {taken} order by all")
        pairs = None if callable(self.by) else dict(self.by)
        listed: dict[str, list[Any]] = {name: [] for name in _NAMES}
        for key, stream_id in rows:
            failure = None
            if pairs is not None:
                target = pairs.get(stream_id)
            else:
                assert callable(self.by)
                target, failure = called(self.by, stream_id)
            if target is not None or failure is not None:
                values = (key, stream_id, None if target == stream_id else target, failure)
                for column, value in zip(listed.values(), values, strict=True):
                    column.append(value)
        table = pa.table({name: pa.array(listed[name], kind) for name, kind in _NAMES.items()})
        return written(work.scratch, f"renamed {number}", table)

    def _by_sql(self, work: Work, number: int, taken: str, by: str) -> str:
        given = work.scratch.keep(
            f"given {number}",
            work.events,
            f"""
            select stream_key, any_value(stream_id) as stream_id, min(given) as one, max(given) as other
            from (
                select stream_key, stream_id, nullif(({by})::varchar, '') as given
                from events where stream_key in (select stream_key from {taken})
            )
            group by stream_key having min(given) is not null
            """,
        )
        for stream_id, one, other in work.events.rows(
            f"select stream_id, one, other from {given} where one <> other order by stream_key limit 1"
        ):
            raise MigrationError(
                f'{self.sentence}: the stream "{cell(stream_id)}" gets several ids, "{cell(one)}" and "{cell(other)}": '
                "split_stream() takes a stream apart"
            )
        return work.scratch.keep(
            f"renamed {number}",
            work.events,
            f"select stream_key, stream_id, nullif(one, stream_id) as target, null::varchar as failure from {given}",
        )


def rename_stream(old: str | int, new: str | int) -> Step:
    """Give one stream another id. Nothing else of it changes; an id that another stream has is refused.

    >>> rename_stream("item-1", "stock-1")
    rename stream item-1 to stock-1
    """
    before, after = stream_name(old), target_id(new, "rename_stream")
    said = f"rename stream {cell(before)} to {cell(after)}"
    step = Rekey(Listed(listed=(before,)), by=((before, after),), said=said)
    return replace(step, help="merge_streams() makes one stream of several")


def rekey(
    by: str | Callable[[str], Any] | Mapping[Any, Any] | pd.DataFrame,
    *,
    streams: Streams = None,
    merge: Order | None = None,
) -> Step:
    """Give streams other ids: by SQL over the columns, a dict or a frame of old and new ids, or a function of the id.

    A stream keeps its id where there is none for it (NULL, None, no pair). SQL must give all events of a stream the
    same. Versions stay. Streams that would become one are refused by name, unless ``merge`` says in which order their
    events follow each other; see :func:`merge_streams`.

    >>> rekey("lower(stream_id)", streams="Item-*")
    give Item-* the id lower(stream_id)
    >>> rekey({"item-1": "stock-1", "item-2": "stock-2"})
    give every stream an id by a mapping of 2
    """
    if merge is not None:
        checked(merge, "rekey()")
    taken = among(streams, what="rekey()")
    which_ones = told(taken)
    if isinstance(by, str):
        return Rekey(taken, by=by, merge=merge, said=f"give {which_ones} the id {cell(by, width=200)}")
    if callable(by):
        return Rekey(taken, by=by, merge=merge, said=f"give {which_ones} an id by {name_of(by)}")
    if isinstance(by, pd.DataFrame):
        if by.shape[1] != 2:
            raise MigrationError(f"rekey(): a frame has two columns, old and new id, not {by.shape[1]}")
        listed: Iterable[tuple[Any, Any]] = zip(by.iloc[:, 0].tolist(), by.iloc[:, 1].tolist(), strict=True)
    elif isinstance(by, Mapping):
        listed = by.items()
    else:
        raise MigrationError(f"rekey() takes SQL, a function, a dict or a frame, not {by!r:.80}")
    pairs: dict[str, str] = {}
    for old, new in listed:
        name, target = stream_name(old), target_id(new, "rekey")
        if pairs.setdefault(name, target) != target:
            raise MigrationError(f'rekey(): "{cell(name)}" gets two ids, "{cell(pairs[name])}" and "{cell(target)}"')
    said = f"give {which_ones} an id by a mapping of {len(pairs):,}"
    return Rekey(taken, by=tuple(pairs.items()), merge=merge, said=said)

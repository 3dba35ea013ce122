"""Which streams a step takes, and what there is to know of the streams of work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa

from esbench.events import stream_name, translated
from esbench.facts import Facts
from esbench.migrate.step import MigrationError, Which, which
from esbench.migrate.work import Scratch, Work
from esbench.patterns import pattern
from esbench.show import cell

__all__ = [
    "ORDERS",
    "Listed",
    "Order",
    "Streams",
    "among",
    "called",
    "checked",
    "declared",
    "exactly",
    "filled",
    "in_order",
    "keys",
    "known",
    "target_id",
    "told",
    "written",
]

#: Streams as a user names them: an id, a pattern on ids, several of both; None is every stream.
Streams: TypeAlias = "str | int | Iterable[str | int] | None"

#: How the events of several streams that become one follow each other.
Order: TypeAlias = Literal["position", "recorded_at", "one after another"]
ORDERS: tuple[str, ...] = get_args(Order)

#: So many names are spelled out in a sentence.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Listed(Which):
    """Every event of several streams, named one by one by id or pattern."""

    listed: tuple[str, ...] = ()

    def sql(self, number: int) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of work, or over streams, and what it binds."""
        bound: dict[str, Any] = {f"step{number}_listed": list(self.listed)}
        condition = f"stream_id in (select unnest($step{number}_listed::varchar[]))"
        if patterns := [pattern(name) for name in self.listed if re.search(r"[*?\[]", name)]:
            bound[f"step{number}_patterns"] = f"(?:{'|'.join(patterns)})"
            condition = f"({condition} or regexp_full_match(stream_id, $step{number}_patterns, 's'))"
        return condition, bound

    def rank(self, number: int) -> str:
        """SQL: the place of a stream among those that are named; none for what a pattern matches."""
        return f"list_position($step{number}_listed::varchar[], stream_id)"

    def __str__(self) -> str:
        return f"every event in {told(self)}"


def among(streams: Streams, *, what: str) -> Which:
    """Every event of some streams. Raises MigrationError for what names none; ``what`` is the operation."""
    if streams is None:
        return Which()
    if isinstance(streams, str | int):
        return which(streams=stream_name(streams))
    listed = tuple(dict.fromkeys(stream_name(each) for each in streams))
    if not listed:
        raise MigrationError(f"{what}: the list of streams is empty")
    return which(streams=listed[0]) if len(listed) == 1 else Listed(listed=listed)


def told(taken: Which) -> str:
    """The streams that a step takes, in words."""
    if isinstance(taken, Listed):
        more = f" and {len(taken.listed) - _SHOWN} more" if len(taken.listed) > _SHOWN else ""
        return ", ".join(cell(name, width=60) for name in taken.listed[:_SHOWN]) + more
    return "every stream" if taken.streams is None else cell(taken.streams, width=60)


def checked(order: str, what: str) -> None:
    """Refuse a rule of order that there is not."""
    if order not in ORDERS:
        raise MigrationError(f"{what}: an order is one of {', '.join(map(repr, ORDERS))}, not {order!r}")


def in_order(order: Order) -> str:
    """A rule of order, in words."""
    return order if order == "one after another" else f"in order of {order}"


def known(work: Work) -> str:
    """SQL, in a query over ``events``, for the ``(stream_key, stream_id)`` of work."""
    return work.events.streams or "select distinct stream_key, stream_id from events"


def keys(work: Work, number: int, taken: Which) -> str | None:
    """A scratch table ``(stream_key, stream_id)`` of the streams that a step takes; None where there is none."""
    condition, bound = taken.sql(number)
    table = work.scratch.keep(
        f"taken {number}", work.events, f"select * from ({known(work)}) where {condition}", **bound
    )
    return table if work.events.rows(f"select 1 from {table} limit 1") else None


def written(scratch: Scratch, name: str, table: pa.Table) -> str:
    """A scratch table of an Arrow table; its name for SQL."""
    with scratch.con.cursor() as cursor, translated():
        cursor.register("given", table)
        try:
            cursor.execute(f"create table {scratch.table(name)} as select * from given")
        finally:
            cursor.unregister("given")
    return scratch.table(name)


def exactly(stream_id: str) -> str:
    """A pattern that matches one id and nothing else.

    >>> exactly("item-[7]*")
    'item-[[]7][*]'
    """
    return re.sub(r"([*?\[])", r"[\1]", stream_id)


def declared(facts: Facts, streams: Iterable[str]) -> Facts:
    """Facts by which the heads of these streams, too, are declared to be missing."""
    more = [exactly(stream_id) for stream_id in streams if not facts.is_truncated(stream_id)]
    return replace(facts, truncated=(*facts.truncated, *more)) if more else facts


def target_id(value: Any, what: str) -> str:
    """The id that a stream gets."""
    text = stream_name(value)
    if not text or "\0" in text:
        raise MigrationError(f"{what}(): {value!r} is no id for a stream")
    return text


def called(function: Callable[[Any], Any], value: Any) -> tuple[str | None, str | None]:
    """What a function gives as a part of an id, and why it gives none."""
    try:
        given = function(value)
    except Exception as error:  # noqa: BLE001 (a user's function may raise anything)
        return None, _short(f"{type(error).__name__}: {error}")
    if given is None or given == "":
        return None, None
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None, _short(f"gave {type(given).__name__}, not a text or an integer")
    text = str(given)
    if "\0" in text or text.encode(errors="replace").decode() != text:
        return None, _short(f"gave {text!r}, which no database keeps")
    return text, None


def _short(reason: str) -> str:
    """A reason that any database keeps."""
    return reason[:1000].encode(errors="replace").decode()


def filled(template: str, number: int, bound: dict[str, Any], **values: str) -> str:
    """SQL: a text in which ``{stream}`` and its like stand for SQL; what stands between is bound."""
    parts = []
    for place, part in enumerate(re.split(f"({'|'.join(f'{{{name}}}' for name in values)})", template)):
        if part[1:-1] in values and part.startswith("{"):
            parts.append(values[part[1:-1]])
        elif part:
            bound[f"step{number}_part{place}"] = part
            parts.append(f"$step{number}_part{place}::varchar")
    return f"({' || '.join(parts)})"

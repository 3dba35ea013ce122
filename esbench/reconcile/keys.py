"""Keys: which row of a table belongs to which stream, or to which key of a read model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import pyarrow as pa

from esbench.aggregate import Aggregate
from esbench.events import Events
from esbench.fold.changes import brief
from esbench.projection import Projection
from esbench.stored import Table, TableError, plain

__all__ = ["Key", "folded_keys", "key_columns", "known_keys", "named", "stored_keys"]

#: The parts of a key, as the engine tells them as text; of a stream its id.
Key = tuple[str, ...]


def key_columns(aggregate: Aggregate, key: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns of a table that hold the key; unless given, ``stream_id``, or the parts of a read model's key."""
    names = _names(aggregate)
    given: tuple[Any, ...] = names if key is None else tuple(key) if isinstance(key, (list, tuple)) else (key,)
    if len(given) != len(names) or not all(isinstance(name, str) for name in given):
        several = f"the columns that hold {', '.join(names)}, in this order"
        raise TableError(
            f'key={key!r}: the rows of "{aggregate.name}" are keyed by {", ".join(names)}; key= names '
            f"{several if len(names) > 1 else 'the one column that holds it'}"
        )
    return given


def stored_keys(events: Events, aggregate: Aggregate, table: Table, columns: Sequence[str]) -> list[Key]:
    """The key of every row. Raises TableError where a row has none of the right type, and names the row."""
    kinds = [part.kind for part in aggregate.key] if isinstance(aggregate, Projection) and aggregate.keyed else []
    found: list[list[str]] = []
    for column, kind in zip(columns, kinds or ["VARCHAR"], strict=True):
        texts = []
        for row, value in enumerate(table.values(column)):
            text = _text(value, kind)
            if text is None:
                raise _keyless(row, column, value, "key" if kinds else "stream id", kind if kinds else None)
            texts.append(text)
        if kind != "VARCHAR":
            told = _told(events, texts, kind)
            for row, one in enumerate(told):
                if one is None or not _same_number(texts[row], one, kind):
                    raise _keyless(row, column, texts[row], "key", kind)
            texts = [str(one) for one in told]
        found.append(texts)
    return list(zip(*found, strict=True))


def folded_keys(chosen: Events, aggregate: Aggregate) -> dict[int, Key]:
    """The key of each stream key, of a read model's events under their keys."""
    assert isinstance(aggregate, Projection)
    parts = ", ".join(f"any_value(_key{number})::varchar" for number in range(len(aggregate.key)))
    return {number: tuple(key) for number, *key in chosen.rows(f"select stream_key, {parts} from events group by all")}


def known_keys(events: Events, ids: Iterable[str]) -> set[str]:
    """Those of some stream ids that the events have."""
    rows = events.rows(
        "select distinct stream_id from events where stream_id in (select unnest($_ids::varchar[]))", _ids=list(ids)
    )
    return {name for (name,) in rows}


def named(key: Key) -> str | Key:
    """A key as verbs take it: a text, or a tuple of several parts."""
    return key[0] if len(key) == 1 else key


def _names(aggregate: Aggregate) -> tuple[str, ...]:
    if isinstance(aggregate, Projection) and aggregate.keyed:
        return tuple(part.name for part in aggregate.key)
    return ("stream_id",)


def _keyless(row: int, column: str, value: Any, noun: str, kind: str | None) -> TableError:
    of_kind = "" if kind is None else f" ({kind.lower()})"
    return TableError(f'row {row} of the table has no {noun}{of_kind} in "{column}", but {brief(value)}')


def _told(events: Events, texts: list[str], kind: str) -> list[str | None]:
    """The values that texts name, as the engine tells values of that type; None where a text names none."""
    cursor = events.con.cursor()
    try:
        cursor.register("_given", pa.table({"place": range(len(texts)), "told": pa.array(texts, pa.string())}))
        rows = cursor.execute(f"select try_cast(told as {kind})::varchar from _given order by place").fetchall()
        return [row[0] for row in rows]
    finally:
        cursor.close()


def _same_number(text: str, told: str, kind: str) -> bool:
    """Whether a number was not rounded to fit the type."""
    return not kind.startswith("DECIMAL") or Decimal(text) == Decimal(told)


def _text(value: Any, kind: str) -> str | None:
    """A value of a table as text that the engine reads as the type; None where it is of another."""
    value = plain(value)
    if kind == "VARCHAR":
        if isinstance(value, date):
            return None if isinstance(value, datetime) else value.isoformat()
        return str(value) if isinstance(value, (str, int, UUID)) and not isinstance(value, bool) else None
    if kind == "BOOLEAN":
        return str(value).lower() if isinstance(value, bool) or value in ("true", "false") else None
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return _moment(value, kind)
    return None if isinstance(value, bool) else _number(value, kind)


def _number(value: Any, kind: str) -> str | None:
    if not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if kind == "DOUBLE":
        return str(value)
    if kind.startswith("DECIMAL"):
        return f"{number:f}"
    return f"{number:.0f}" if number == number.to_integral_value() else None


def _moment(value: Any, kind: str) -> str | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        value = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    elif isinstance(value, date):
        value = datetime.combine(value, time())
    else:
        return None
    if kind == "DATE":
        return value.date().isoformat() if value.time() == time() else None
    return f"{value.isoformat()}Z" if kind.endswith("ZONE") else str(value.isoformat())

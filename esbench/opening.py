"""From a table of current state to a log: one opening event a row."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal

import duckdb
import pandas as pd
import pyarrow as pa

from esbench import payload
from esbench.errors import SourceError, nearest
from esbench.event import at

__all__ = ["from_state"]

#: Of the ids of opening events; they are the same in every run.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "esbench:opening")
_HOLE = re.compile(r"\{([^{}]*)\}")
#: So many examples are named in an error.
_EXAMPLES = 3

#: Stands for the type of a column that holds JSON text, which comes into the payload as it is.
_JSON: Literal["json"] = "json"

_Kind = pa.DataType | Literal["json"] | None
_Writer = Callable[[Any], Any]


def from_state(
    table: pd.DataFrame | pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation,
    *,
    key: str | Sequence[str],
    event_type: str,
    stream_type: str | None = None,
    stream_id: str | None = None,
    recorded_at: object = None,
    version: int = 1,
    data: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
) -> pa.Table:
    """Opening events of a table of current state, one a row, for ``bench.load``.

    ``key``: the column or columns that name a row. ``stream_id``: a template such as ``"customer-{id}"``; by default
    the stream type, if given, and the key, joined by ``-``. ``recorded_at``: a column, or one time for all. ``data``:
    the columns of the payload; all others by default, less ``exclude``. Payloads are exact: decimals and integers of
    any size as numbers, times as ISO 8601 (in UTC with ``Z`` where they have a zone), NULL as null, nested values as
    objects and arrays. In a DataFrame's own float columns NaN is what stands for NULL. The id of an event comes from
    its stream and type, so another run gives the same. Raises SourceError, which names column and row, for keys that
    are NULL or not unique, and for values that JSON cannot carry, NaN among them.

    >>> rows = pa.table({"id": [7, 8], "name": ["Ada", None], "credit": [Decimal("1.10"), Decimal("0.00")]})
    >>> events = from_state(rows, key="id", event_type="CustomerImported", stream_type="Customer")
    >>> events.select(["stream_id", "version", "data"]).to_pylist()[0]
    {'stream_id': 'Customer-7', 'version': 1, 'data': '{"name":"Ada","credit":1.10}'}
    """
    names, values, kinds = _columns(table)
    keys = [key] if isinstance(key, str) else list(key)
    # Text, column, text, column, …, text.
    parts = _HOLE.split(stream_id) if stream_id else [f"{stream_type}-" if stream_type else "", *_joined(keys), ""]
    holes = parts[1::2]
    when = recorded_at if isinstance(recorded_at, str) and recorded_at in names else None
    if not keys:
        raise SourceError("key: no column is named, so nothing tells rows apart")
    left_out = set(exclude)
    wanted = [n for n in names if n not in keys and n != when] if data is None else list(data)
    for what, some in (("key", keys), ("stream_id", holes), ("data", wanted), ("exclude", left_out)):
        for name in some:
            if name not in names:
                raise SourceError(f'{what}: no column "{name}" in the table.{nearest(str(name), names)}')
    count = len(values[keys[0]])
    if not count:
        raise SourceError("the table has no rows: nothing to open")
    written = {
        name: _written(name, values[name], kinds[name])
        for name in dict.fromkeys([*keys, *holes, *wanted])
        if name not in left_out or name in keys or name in holes
    }
    _refuse_keys(keys, written)
    streams = _streams(parts, written, count)
    shown = [name for name in dict.fromkeys(wanted) if name not in left_out]
    members = [_members(name, written[name], raw=kinds[name] == _JSON) for name in shown]
    texts = [f"{{{','.join(row)}}}" for row in (zip(*members, strict=True) if members else [()] * count)]
    made: dict[str, pa.Array[Any]] = {
        "stream_id": pa.array(streams, pa.string()),
        **({"stream_type": pa.array([stream_type] * count, pa.string())} if stream_type is not None else {}),
        "version": pa.array([version] * count, pa.int64()),
        "event_id": pa.array([_id(stream, event_type) for stream in streams], pa.string()),
        "event_type": pa.array([event_type] * count, pa.string()),
    }
    if when is not None:
        made["recorded_at"] = _times(when, values[when])
    elif recorded_at is not None:
        made["recorded_at"] = pa.array([at(as_of=recorded_at).as_of] * count, pa.timestamp("us", "UTC"))
    made["data"] = pa.array(texts, pa.large_string())
    return pa.table(made)


def _columns(table: Any) -> tuple[list[str], dict[str, list[Any]], dict[str, _Kind]]:
    """Names, values and Arrow types of the columns; a column of Python objects has no type."""
    texts: set[str] = set()
    if isinstance(table, duckdb.DuckDBPyRelation):
        texts = {str(name) for name, kind in zip(table.columns, table.types, strict=True) if str(kind) == "JSON"}
        table = table.to_arrow_table()
    elif isinstance(table, pa.RecordBatchReader):
        table = table.read_all()
    if not isinstance(table, pd.DataFrame | pa.Table):
        raise SourceError(
            f"{type(table).__name__} is no table of state: give a DataFrame, an Arrow table or a DuckDB relation"
        )
    names = [str(name) for name in (table.columns if isinstance(table, pd.DataFrame) else table.column_names)]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise SourceError(f"two columns for one name: {', '.join(map(repr, twice))} (rename or drop one)")
    values: dict[str, list[Any]] = {}
    kinds: dict[str, _Kind] = {}
    for n, name in enumerate(names):
        if isinstance(table, pd.DataFrame):
            column = table.iloc[:, n]
            if column.dtype == object:
                values[name], kinds[name] = list(column), None
                continue
            array: Any = pa.Array.from_pandas(column)
        else:
            array = table.column(n)
        kinds[name] = _JSON if name in texts else array.type
        values[name] = _list(array)
    return names, values, kinds


def _list(array: Any) -> list[Any]:
    """Values as Python has them; times as ISO 8601 text, which is faster, and keeps nanoseconds."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        texts = array.cast(pa.timestamp(kind.unit, "UTC") if kind.tz else kind).cast(pa.string()).to_pylist()
        return [text and text.rstrip("Z").replace(" ", "T") + zone for text in texts]
    found: list[Any] = array.to_pylist()
    return found


def _written(name: str, values: Sequence[Any], kind: _Kind) -> list[Any]:
    """The values of a column as JSON can carry them. Raises SourceError at the first that it cannot."""
    write = _anything if kind is None else _strict if kind == _JSON else _writer(name, kind)
    found = []
    for row, value in enumerate(values, start=1):
        try:
            found.append(None if value is None else write(value))
        except (ValueError, TypeError) as error:
            raise SourceError(
                f'row {row}, column "{name}": {str(error) or type(value).__name__}; change it in a query first, or '
                f'leave it out: exclude=["{name}"]'
            ) from error
    return found


def _strict(text: str) -> str:
    if reason := payload.check(text):
        raise ValueError(f"JSON text that is none: {reason}")
    return text


def _writer(name: str, kind: pa.DataType) -> _Writer:
    """How values of an Arrow type are made plain."""
    types = pa.types
    if types.is_dictionary(kind):
        return _writer(name, kind.value_type)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        raise SourceError(f'column "{name}" is binary, which JSON cannot carry: encode it first, such as with hex()')
    if types.is_duration(kind) or types.is_interval(kind):
        raise SourceError(f'column "{name}" is a span of time, which JSON cannot carry: make it a number or text first')
    if types.is_map(kind):
        inner, names = _optional(_writer(name, kind.item_type)), _writer(name, kind.key_type)

        def write(pairs: Any) -> Any:
            found = {_key(names(k)): inner(v) for k, v in pairs}
            if len(found) < len(pairs):
                raise ValueError("two keys of a map are one name in JSON")
            return found

        return write
    if types.is_struct(kind):
        members = {kind.field(n).name: _writer(name, kind.field(n).type) for n in range(kind.num_fields)}
        return lambda value: {each: None if value[each] is None else w(value[each]) for each, w in members.items()}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        item = _optional(_writer(name, kind.value_type))
        return lambda value: [item(each) for each in value]
    return _anything


def _optional(write: _Writer) -> _Writer:
    return lambda value: None if value is None else write(value)


def _anything(value: Any) -> Any:
    """A Python value as JSON can carry it, at any depth."""
    if isinstance(value, float | Decimal):
        if isinstance(value, float) and math.isnan(value):
            raise ValueError("NaN, which JSON cannot carry")
        if not Decimal(value).is_finite():
            raise ValueError(f"{value}, which JSON cannot carry")
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair, which is no text") from None
        return value
    if isinstance(value, bool | int):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        text = (value.tz_convert("UTC") if isinstance(value, pd.Timestamp) else value.astimezone(UTC)).isoformat()
        return text.removesuffix("+00:00") + "Z"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        found = {_key(name): _anything(member) for name, member in value.items()}
        if len(found) < len(value):
            raise ValueError("two keys of a mapping are one name in JSON")
        return found
    if isinstance(value, list | tuple):
        return [_anything(member) for member in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _anything(value.item())  # NumPy's own
    if hasattr(value, "tolist"):
        return [_anything(member) for member in value.tolist()]
    raise ValueError(f"{type(value).__name__}, which JSON cannot carry")


def _key(name: Any) -> str:
    plain = _anything(name)
    return plain if isinstance(plain, str) else payload.encode(plain)


def _refuse_keys(keys: Sequence[str], written: Mapping[str, Sequence[Any]]) -> None:
    for name in keys:
        if empty := [row for row, value in enumerate(written[name], start=1) if value is None]:
            more = f" and {len(empty) - _EXAMPLES:,} more" if len(empty) > _EXAMPLES else ""
            raise SourceError(
                f'key "{name}" is NULL in row {", ".join(map(str, empty[:_EXAMPLES]))}{more}: every row needs one'
            )


def _joined(keys: Sequence[str]) -> list[str]:
    return [part for key in keys for part in (key, "-")][:-1]


def _members(name: str, values: Sequence[Any], *, raw: bool) -> list[str]:
    """The member of each row's payload for one column; ``raw`` where it holds JSON text."""
    begin = f"{payload.encode(name)}:"
    return [begin + (value if raw and value is not None else payload.encode(value)) for value in values]


def _streams(parts: Sequence[str], written: Mapping[str, Sequence[Any]], count: int) -> list[str]:
    """The stream of each row. Raises SourceError where rows share one."""
    columns = [
        [part] * count if n % 2 == 0 else [_name(value) for value in written[part]] for n, part in enumerate(parts)
    ]
    streams = ["".join(pieces) for pieces in zip(*columns, strict=True)]
    numbers = Counter(streams)
    if len(numbers) < count:
        twice = [stream for stream, number in numbers.items() if number > 1]
        rows = [str(row) for row, stream in enumerate(streams, start=1) if stream == twice[0]][:_EXAMPLES]
        examples = ", ".join(f'"{stream}" ({numbers[stream]:,} rows)' for stream in twice[:_EXAMPLES])
        raise SourceError(
            f"the key is not unique: {len(twice):,} streams for several rows, {examples}; the first in rows "
            f"{', '.join(rows)}: name more columns with key="
        )
    if "" in numbers:
        raise SourceError(f"row {streams.index('') + 1}: its stream would have no name")
    return streams


def _name(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else payload.encode(value)


def _id(stream: str, event_type: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, payload.encode([stream, event_type])))


def _times(name: str, values: Sequence[Any]) -> pa.Array[Any]:
    """A column of times, given as times or as ISO 8601 text."""
    found = []
    for row, value in enumerate(values, start=1):
        try:
            found.append(None if value is None or value is pd.NaT or value is pd.NA else at(as_of=value).as_of)
        except ValueError as error:
            raise SourceError(f'row {row}, column "{name}": {error}') from error
    return pa.array(found, pa.timestamp("us", "UTC"))

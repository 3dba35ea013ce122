"""The fold of projections in SQL: all streams at once, exact.

What the SQL cannot read exactly as declared makes its stream a suspect, and the Python handlers fold suspects again. So
both engines give the same states and the same faults, and the usual stream costs no Python at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from esbench.event import quote
from esbench.events import Events, translated
from esbench.fold.absent import refuse_absent
from esbench.fold.frames import column
from esbench.fold.python import Fault, Step, finals, holds, steps
from esbench.projection import Projection
from esbench.projection.compiled import TIMELINE, states_sql, suspects_sql, suspicion_sql, timeline_sql

__all__ = ["Declared", "doubtful", "fold", "suspected", "timeline"]

_STEP_COLUMNS = ("stream_id", "version", "position", "event_type", "recorded_at", "data")


@dataclass(frozen=True, slots=True)
class Declared:
    """The states of streams, in order of their keys: columns of fields, broken invariants, faults by stream key."""

    keys: list[int]
    fields: dict[str, pd.Series[Any]]
    broken: list[str]
    faults: dict[int, tuple[Fault, ...]]

    def values(self) -> list[dict[str, Any]]:
        """The states as the Python handlers give them."""
        columns = [_plain(series) for series in self.fields.values()]
        return [dict(zip(self.fields, row, strict=True)) for row in zip(*columns, strict=True)]


def fold(taken: Events, projection: Projection, *, limit: int | None = None) -> Declared:
    """The state of every stream that the events have. ``limit``: how many faults are kept of a stream."""
    exported = ", ".join(f"{_exported(projection, name)} as {quote(name)}" for name in projection.columns)
    held = "".join(f", _holds_{number}" for number in range(len(projection.conditions)))
    table = taken.arrow(
        f"with _states as ({states_sql(projection)}) "
        f"select stream_key, _suspect, {exported}{held} from _states order by stream_key"
    )
    keys: list[int] = table["stream_key"].to_numpy().tolist()
    suspects: list[int] = table.filter(table["_suspect"])["stream_key"].to_numpy().tolist()
    folded = finals(_of_keys(taken, suspects), projection, limit=limit) if suspects else {}
    place = {key: row for row, key in enumerate(keys)} if suspects else {}
    patches = [(place[key], folded[key].value) for key in suspects]
    fields = {}
    for name in projection.columns:
        fields[name] = _series(table[name], projection.kind(name).name, [(row, value[name]) for row, value in patches])
    return Declared(
        keys,
        fields,
        _broken(table, projection, patches),
        {key: one.faults for key, one in folded.items() if one.faults},
    )


def timeline(
    events: Events, projection: Projection, *, shown_by: Callable[[str], str] = str, refuse: bool = False
) -> duckdb.DuckDBPyRelation:
    """Every stream of the events after each of them, as a relation.

    Columns: ``stream_id``, ``version``, ``position``, ``event_type``, ``recorded_at``, and the projection's; or what
    ``shown_by`` makes of such a query. ``refuse``: raise where a path is read that no event has.
    """
    cursor = events.con.cursor()
    suspects = suspected(events, projection)
    last = events.rows("select max(position) from events")[0][0]
    found = list(steps(_of_keys(events, suspects), projection, columns=_STEP_COLUMNS)) if suspects else []
    if refuse:
        refuse_absent(events, projection, {0: _faults(found)})
    rows = _python_rows(found, projection) if suspects else None
    large = rows is not None and any(
        value is not None and abs(int(value)) >= 2**63
        for name in projection.columns
        if projection.kind(name).name == "integer" and projection.columns[name].how != "distinct"
        for value in rows[name].to_pylist()
    )
    kinds = {name: _shown_type(projection, name, large=large) for name in projection.columns}
    shown = ", ".join([*TIMELINE, *(f"{quote(name)}::{kind} as {quote(name)}" for name, kind in kinds.items())])
    parameters = {**events.parameters, "_last": last}
    query = f"select * from ({events.query}) where position <= $_last"
    if rows is not None:
        cursor.register("_given", pa.table({"stream_key": pa.array(suspects, pa.int64())}))
        cursor.execute("create temp table _suspects as from _given")
        query += " and stream_key not in (from _suspects)"
        cursor.register("_given", rows)
        cursor.execute(f"create temp table _suspected as select {shown} from _given")
        cursor.unregister("_given")
    # Sorting ids with the events costs more than looking them up.
    carried = tuple(name for name in TIMELINE if name != "stream_id" or events.streams is None)
    ids = "" if events.streams is None else f" join ({events.streams}) using (stream_key)"
    running = timeline_sql(projection, shown=carried)
    text = f"with events as ({query}), _timeline as ({running}) select {shown} from _timeline{ids}"
    if rows is not None:
        text += " union all by name from _suspected"
    events.lend()
    with translated():
        return cursor.sql(shown_by(text), params=parameters)


def suspected(events: Events, projection: Projection) -> list[int]:
    """The keys of streams that have, at any version, what the SQL cannot read exactly as declared."""
    if events.rows(suspicion_sql(projection))[0][0] is False:
        return []
    return [key for (key,) in events.rows(suspects_sql(projection))]


def doubtful(events: Events, projection: Projection, *, unjudged: Collection[int] = ()) -> set[int]:
    """The keys of streams in which a handler may fail or an invariant does not hold at some event.

    In all others no handler fails and every invariant holds after every event but those at ``unjudged`` positions.
    """
    suspects = suspected(events, projection)
    if not projection.conditions:
        return set(suspects)
    held = " and ".join(f"_holds_{number}" for number in range(len(projection.conditions)))
    found = _without(events, suspects).rows(
        f"""
        with _timeline as ({timeline_sql(projection, shown=("version", "position"))})
        select distinct stream_key from _timeline where not ({held}) and not list_contains($_unjudged, position)
        """,
        _unjudged=list(unjudged),
    )
    return {*suspects, *(key for (key,) in found)}


def _faults(found: Iterable[Step]) -> Iterator[Fault]:
    for step in found:
        if step.error is not None:
            yield Fault(step.event.version, step.event.position, step.event.event_type, step.error)


def _python_rows(found: Sequence[Step], projection: Projection) -> pa.Table:
    """What the Python handlers make of suspects, event by event; integers and decimals as text."""
    fixed: dict[str, Any] = {
        "stream_id": pa.array([step.event.stream_id for step in found], pa.string()),
        "version": pa.array([step.event.version for step in found], pa.int64()),
        "position": pa.array([step.event.position for step in found], pa.int64()),
        "event_type": pa.array([step.event.event_type for step in found], pa.string()),
        "recorded_at": pa.array([step.event.recorded_at for step in found], pa.timestamp("us", tz="UTC")),
    }
    for name, one in projection.columns.items():
        exact = projection.kind(name).exact
        values = [step.value[name] for step in found]
        if one.how == "distinct":
            fixed[name] = pa.array(
                [[str(v) if exact else v for v in value] for value in values],
                pa.list_(pa.string() if exact else _arrow(projection.kind(name).name)),
            )
        else:
            fixed[name] = pa.array(
                [None if value is None else str(value) if exact else value for value in values],
                pa.string() if exact else _arrow(projection.kind(name).name),
            )
    return pa.table(fixed)


def _arrow(kind: str) -> Any:
    return {"text": pa.string(), "boolean": pa.bool_(), "double": pa.float64()}[kind]


def _shown_type(projection: Projection, name: str, *, large: bool) -> str:
    kind = projection.kind(name)
    many = "[]" if projection.columns[name].how == "distinct" else ""
    if kind.name == "decimal":
        return f"DECIMAL(38, {kind.places}){many}"
    integer = "HUGEINT" if large or many or projection.columns[name].how == "expr" else "BIGINT"
    return {"integer": integer, "double": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN"}[kind.name] + many


def _exported(projection: Projection, name: str) -> str:
    """SQL: a column in a form that Arrow keeps exactly."""
    column, kind = projection.columns[name], projection.kind(name)
    if kind.name != "integer":
        return quote(name)
    if column.how == "distinct":
        return f"{quote(name)}::varchar[]"
    return f"{quote(name)}::varchar" if column.how == "expr" else f"try_cast({quote(name)} as bigint)"


def _series(values: pa.ChunkedArray[Any], kind: str, patches: Sequence[tuple[int, Any]]) -> pd.Series[Any]:
    if len(values) and not patches and values.type == pa.int64() and not values.null_count:
        return pd.Series(values.to_numpy(), dtype="int64")
    if len(values) > values.null_count and not patches and kind == "text" and values.type == pa.string():
        return pd.Series(values.to_pandas(), dtype="str").rename(None)
    plain: list[Any] = values.to_pylist()
    if kind == "integer" and values.type != pa.int64():
        plain = [_integers(value) for value in plain]
    for row, value in patches:
        plain[row] = value
    return column(plain)


def _plain(values: pd.Series[Any]) -> list[Any]:
    """A column as Python values; what is missing is None."""
    plain: list[Any] = values.astype(object).tolist()
    if isinstance(values.dtype, (pd.Int64Dtype, pd.BooleanDtype, pd.StringDtype)):
        return [None if missing else value for value, missing in zip(plain, values.isna(), strict=True)]
    return plain


def _integers(value: Any) -> Any:
    if isinstance(value, list):
        return [int(one) for one in value]
    return None if value is None else int(value)


def _broken(table: pa.Table, projection: Projection, patches: Iterable[tuple[int, Any]]) -> list[str]:
    broken = [""] * table.num_rows
    suspects = dict(patches)
    for number, name in enumerate(projection.conditions):
        holding = table[f"_holds_{number}"].to_numpy()
        failing = [row for row in np.flatnonzero(~holding).tolist() if row not in suspects]
        failing += [row for row, state in suspects.items() if not holds(projection.invariants[name], state)[0]]
        for row in failing:
            broken[row] = f"{broken[row]}; {name}" if broken[row] else name
    return broken


def _without(events: Events, keys: Sequence[int]) -> Events:
    name = f"_keys{len(events.parameters)}"
    return events.where(f"stream_key not in (select unnest(${name}))", **{name: list(keys)}) if keys else events


def _of_keys(events: Events, keys: Sequence[int]) -> Events:
    name = f"_keys{len(events.parameters)}"
    return events.where(f"stream_key in (select unnest(${name}))", **{name: list(keys)})

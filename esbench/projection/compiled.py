"""Columns in SQL: what an event contributes to each, and how contributions become a state.

A contribution is NULL where the event has no such value exactly, which makes its stream a *suspect*: the Python
handlers then say what is true of it. Suspicion is generous; it costs time and changes no result. Names that begin with
``_`` are the engine's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from esbench.event import literal, quote
from esbench.payload import encode, text_at
from esbench.projection.columns import Column, digits
from esbench.projection.expressions import Expression, sql_type
from esbench.projection.operands import Constant, Field, Kind, Negated, Operand, Operation, Value

__all__ = ["TIMELINE", "Declaration", "states_sql", "suspects_sql", "suspicion_sql", "timeline_sql"]

#: One number that ascends in folding order.
_PLACE = "version::hugeint * 18446744073709551616 + position"
#: What the timeline shows of an event.
TIMELINE = ("stream_id", "version", "position", "event_type", "recorded_at")
#: Digits of a contribution in the engine; more are a suspect's.
_WIDTH = 18
#: Doubles hold every integer up to this, with some to spare, and so add them up exactly in any order.
_WHOLE = "9e15"
#: True where a payload may have a number that does not come out with its value: a double keeps any 15 digits, and
#: every exponent that is not far below zero.
_RESPELLED = r"regexp_matches(data, '[0-9.]{17}|(^|[:,\[])\s*-?[0-9.]+[eE]-')"


class Declaration(Protocol):
    """What is compiled: a projection's columns (``base``: those made of events), its conditions and event types."""

    base: Mapping[str, Column]
    columns: Mapping[str, Column]
    conditions: Mapping[str, Expression]
    event_types: tuple[str, ...]
    expressions: Mapping[str, Expression]


def _contributions(projection: Declaration, *, filled: bool, more: tuple[str, ...] = ()) -> str:
    """SQL: for every event what it contributes to each column, and its place.

    ``filled``: where an event type contributes nothing to a column, something stands that is no contribution, so that
    NULL is a suspect; ``_owed`` counts the contributions to columns that have no such thing.
    """
    owed: dict[int, list[str]] = {}
    counted = [column for column in projection.base.values() if _is_owed(column)]
    for name in projection.event_types:
        owed.setdefault(sum(name in column.operands for column in counted), []).append(name)
    lines = [*more]
    for name, column in projection.base.items():
        groups: dict[Operand, list[str]] = {}
        for event_type, one in column.operands.items():
            groups.setdefault(one, []).append(event_type)
        cases = " ".join(
            f"when {_one_of(names)} then {_read(one, column) if filled else _decoded(one, column)}"
            for one, names in groups.items()
        )
        otherwise = f" else {_filling(column)}" if filled and _filling(column) else ""
        lines.append(f"case {cases}{otherwise} end as {quote(name)}")
    if filled and any(column.how in ("first", "latest", "flag") for column in projection.base.values()):
        lines.append(f"{_PLACE} as _place")
    if filled and counted:
        cases = " ".join(f"when {_one_of(names)} then {number}" for number, names in owed.items() if number)
        lines.append(f"case {cases} else 0 end as _owed")
    gap = ",\n        "
    return f"select stream_key,\n        {gap.join(lines)}\n    from events"


def _filling(column: Column) -> str:
    """SQL: what stands for no contribution, among contributions; empty where nothing can."""
    if column.how == "total":
        return "0"
    if column.how in ("first", "latest"):
        # No JSON text of a value is that.
        return {"text": """'"'""", "boolean": "''"}.get(column.kind.name, "")
    return ""


def _is_owed(column: Column) -> bool:
    return column.how not in ("count", "flag") and not _filling(column)


def states_sql(projection: Declaration) -> str:
    """SQL: the state of every stream, whether the SQL suspects it, and which invariants hold of it."""
    folded = [f"{_aggregated(column, quote(name))} as {quote(name)}" for name, column in projection.base.items()]
    gap = ",\n        "
    return f"""with _contributions as (
    {_contributions(projection, filled=True)}
), _folded as (
    select stream_key,
        {gap.join(folded)},
        {_suspicion(projection.base)} as _suspect
    from _contributions
    group by stream_key
)
select *{_outer(projection)} from _folded"""


def suspicion_sql(projection: Declaration) -> str:
    """SQL: whether there may be any suspects; much the cheaper question, and mostly the last."""
    return f"""with _contributions as (
    {_contributions(projection, filled=True)}
)
select {_suspicion(projection.base)} from _contributions"""


def suspects_sql(projection: Declaration) -> str:
    """SQL: the streams that the SQL suspects, at any of their versions."""
    return f"""with _contributions as (
    {_contributions(projection, filled=True)}
)
select stream_key from _contributions group by stream_key having {_suspicion(projection.base)}"""


def timeline_sql(projection: Declaration, *, shown: tuple[str, ...] = TIMELINE) -> str:
    """SQL: the state of every stream after each of its events; right where there are no suspects."""
    running = [f"{_running(column, quote(name))} as {quote(name)}" for name, column in projection.base.items()]
    gap = ",\n        "
    kept = ("stream_key", *shown)
    return f"""with _contributions as (
    {_contributions(projection, filled=False, more=shown)}
), _folded as (
    select {", ".join(kept)},
        {gap.join(running)}
    from _contributions
    window _so_far as (
        partition by stream_key order by version, position rows between unbounded preceding and current row
    )
)
select *{_outer(projection)} from _folded"""


def _outer(projection: Declaration) -> str:
    """Expression columns and invariants, which see the other columns as they are declared."""
    made = [f"{one.sql} as {quote(name)}" for name, one in projection.expressions.items()]
    made += [f"{one.sql} as {quote(f'_holds_{number}')}" for number, one in enumerate(projection.conditions.values())]
    return "".join(f",\n    {line}" for line in made)


def _read(one: Operand, column: Column) -> str:
    """SQL: an operand of an event, NULL where it is not exactly of the type."""
    kind = column.kind
    if kind.exact:
        if _in_doubles(column):
            return _number(one, Kind("double"))
        number = _number(one, kind)
        if isinstance(one, (Field, Constant)) or (isinstance(one, Negated) and isinstance(one.of, (Field, Constant))):
            return number
        # The last cast would round.
        narrow = f"try_cast({number} as {_narrow(kind)})"
        return f"case when {number} = {narrow} then {narrow} end"
    if isinstance(one, Constant):
        return _constant(one.value, kind)
    assert isinstance(one, Field)
    raw = _raw(one)
    value = f"try_cast({raw} as double) + 0" if kind.name == "double" else raw
    return _or_default(value, one, kind)


def _in_doubles(column: Column) -> bool:
    """Whether a total is made of integers as they stand: as doubles, which costs least and is proven exact."""
    simple = all(
        isinstance(one, (Field, Constant)) or (isinstance(one, Negated) and isinstance(one.of, (Field, Constant)))
        for one in column.operands.values()
    )
    return column.how == "total" and column.kind.name == "integer" and simple


def _or_default(value: str, one: Field, kind: Kind) -> str:
    if one.default is None:
        return value
    raw = _raw(one)
    return f"case when coalesce({raw}, 'null') = 'null' then {_constant(one.default, kind)} else {value} end"


def _number(one: Operand, kind: Kind) -> str:
    match one:
        case Negated(of):
            return f"-{_number(of, kind)}"
        case Constant(value):
            return _constant(value, kind)
        case Field():
            return _number_at(one, kind)
        case Operation(sign, left, right):
            first, second = _number(left, kind), _number(right, kind)
            if sign == "*":
                return f"try({first} * {second})"  # too wide a product is a suspect, as a missing operand is
            wide = f"decimal({digits(one, kind)}, {kind.places})"
            return f"({first}::{wide} {sign} {second}::{wide})"
    raise AssertionError(one)


def _number_at(one: Field, kind: Kind) -> str:
    raw = _raw(one)
    if kind.name == "double":
        number = f"try_cast({raw} as double)"
    elif kind.name == "integer":
        # With the suffix nothing but an integer is a number, and its text need not be looked at twice.
        number = f"try_cast({raw} || '.e0' as {_narrow(kind)})"
    else:
        places = f"([.][0-9]{{1,{kind.places}}})?" if kind.places else "([.]0)?"
        exact = f"regexp_extract({raw}, '^-?[0-9]+{places}$')"
        number = f"case when not {_RESPELLED} then try_cast({exact} as {_narrow(kind)}) end"
    return _or_default(number, one, kind)


def _raw(one: Field) -> str:
    """SQL: the JSON text of a field. Integers come out as they stand, another number as its double is spelled."""
    return f"(data->{literal(one.path)})::varchar"


def _narrow(kind: Kind) -> str:
    return f"decimal({_WIDTH}, {kind.places})"


def _constant(value: Value, kind: Kind) -> str:
    if kind.exact:
        return f"{literal(str(value))}::{_narrow(kind)}"
    if kind.name == "boolean":
        return literal("true" if value else "false")
    if kind.name == "double":
        return f"{float(value)!r}::double"
    return literal(encode(str(value)))


def _aggregated(column: Column, name: str) -> str:
    value = _from_json(column, name) if column.how in ("lowest", "highest", "distinct") else name
    if column.how == "total":
        return _typed(f"coalesce(sum({name}), 0)", column)
    if column.how == "count":
        return _typed(f"count({name})", column)
    if column.how in ("first", "latest", "flag"):
        pick = "arg_min" if column.how == "first" else "arg_max"
        contributing = f" filter ({name} <> {_filling(column)})" if _filling(column) else ""
        return _typed(_initially(_from_json(column, f"{pick}({name}, _place){contributing}"), column), column)
    if column.how in ("lowest", "highest"):
        return _typed(f"{'min' if column.how == 'lowest' else 'max'}({value})", column)
    return _typed(f"coalesce(list_sort(list(distinct {value}) filter ({name} is not null)), [])", column)


def _running(column: Column, name: str) -> str:
    if column.how == "total":
        return _typed(f"coalesce(sum({name}) over _so_far, 0)", column)
    if column.how == "count":
        return _typed(f"count({name}) over _so_far", column)
    if column.how in ("first", "latest", "flag"):
        pick = "first_value" if column.how == "first" else "last_value"
        return _typed(_initially(f"{pick}({name} ignore nulls) over _so_far", column), column)
    if column.how in ("lowest", "highest"):
        return _typed(f"{'min' if column.how == 'lowest' else 'max'}({name}) over _so_far", column)
    values = f"list({name}) filter ({name} is not null) over _so_far"
    return _typed(f"coalesce(list_sort(list_distinct({values})), [])", column)


def _from_json(column: Column, raw: str) -> str:
    """SQL: JSON text of a text or a boolean as its value."""
    if column.kind.name == "text":
        return text_at(raw, "'$'")
    return f"({raw} = 'true')" if column.kind.name == "boolean" else raw


def _decoded(one: Operand, column: Column) -> str:
    """SQL: an operand of an event as a value, where there are no suspects."""
    if column.kind.name == "text" and isinstance(one, Field):
        value = text_at("data", literal(one.path))
        return value if one.default is None else f"coalesce({value}, {literal(str(one.default))})"
    return _from_json(column, _read(one, column))


def _initially(value: str, column: Column) -> str:
    if column.how != "flag" or column.initial is None:
        return value
    initial = str(column.initial).lower() if column.kind.name == "boolean" else literal(str(column.initial))
    return f"coalesce({value}, {initial})"


def _typed(value: str, column: Column) -> str:
    # What does not fit is a suspect's.
    return (
        f"try_cast({value} as {sql_type(column.kind, many=column.how == 'distinct')})" if column.kind.exact else value
    )


def _suspicion(columns: Mapping[str, Column]) -> str:
    """SQL: whether any event of a stream has a contribution that is not there, or is none of its type."""
    doubts, owed = [], []
    for name, column in columns.items():
        one = quote(name)
        if column.how in ("count", "flag"):
            continue
        if _is_owed(column):
            owed.append(f"count({one})")
        else:
            doubts.append(f"count({one}) <> count(*)")
        if _in_doubles(column):
            doubts.append(f"coalesce(sum(abs({one})) > {_WHOLE} or bool_or({one} <> trunc({one})), false)")
        elif column.how == "total" and column.kind.name == "integer":
            doubts.append(f"coalesce(sum(abs({one})) > 9223372036854775807, false)")
        elif column.kind.name == "text":
            # The text of every other value sorts after that of any text.
            doubts.append(f"coalesce(bool_or({one} > '#'), false)")
        elif column.kind.name == "boolean":
            doubts.append(f"coalesce(bool_or({one} not in ('true', 'false', '')), false)")
        elif column.kind.name == "double":
            doubts.append(f"coalesce(bool_or(not isfinite({one})), false)")
    if owed:
        doubts.append(f"sum(_owed) <> {' + '.join(owed)}")
    return "\n            or ".join(doubts) or "false"


def _one_of(names: list[str]) -> str:
    if len(names) == 1:
        return f"event_type = {literal(names[0])}"
    return f"event_type in ({', '.join(map(literal, names))})"

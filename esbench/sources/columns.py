"""From a source's fields to canonical columns: names, aliases, types, and what makes a record a reject."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from esbench import payload
from esbench.errors import SourceError, nearest
from esbench.event import CANONICAL, quote

__all__ = ["ALIASES", "CLOCKS", "Columns", "Reading", "Resolved"]

#: Names under which sources keep canonical columns, compared without case and punctuation.
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "position": (
            "global_position",
            "global_sequence",
            "global_sequence_number",
            "global_index",
            "log_position",
        ),
        "stream_id": (
            "aggregate_id",
            "aggregate_root_id",
            "stream",
            "stream_name",
            "entity_id",
            "originator_id",
        ),
        "stream_type": ("aggregate_type", "category", "entity_type", "stream_category", "aggregate_name"),
        "version": (
            "sequence",
            "revision",
            "sequence_number",
            "sequence_nr",
            "stream_version",
            "stream_revision",
            "aggregate_version",
            "event_number",
            "event_revision",
            "originator_version",
            "playhead",
            "stream_position",
        ),
        "event_id": ("id", "event_uuid", "message_id", "uuid", "event_identifier"),
        "event_type": ("type", "event_name", "message_type", "event", "payload_type"),
        "schema_version": ("event_version", "event_schema_version", "payload_version", "payload_revision"),
        "recorded_at": (
            "timestamp",
            "created_at",
            "created",
            "recorded_on",
            "stored_at",
            "time",
            "created_epoch",
        ),
        "occurred_at": ("occurred_on", "occurred", "event_time", "effective_at", "business_time"),
        "source_position": (),
        "data": ("payload", "body", "event_data", "event_body"),
        "metadata": ("meta", "headers", "meta_data", "event_metadata"),
    }
)

#: How a declared clock's numbers become microseconds since 1970, and which digits that cuts: SQL over an exact ``x``.
CLOCKS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "s": ("decimal(28, 9)", "floor(x * 1000000)", "x * 1000000 <> floor(x * 1000000)"),
        "ms": ("decimal(28, 9)", "floor(x * 1000)", "x * 1000 <> floor(x * 1000)"),
        "us": ("decimal(28, 9)", "floor(x)", "x <> floor(x)"),
        "ns": ("hugeint", "(x - (x % 1000 + 1000) % 1000) // 1000", "x % 1000 <> 0"),
        # 100 ns since the year 1
        "ticks": ("hugeint", "(x - 621355968000000000 - (x % 10 + 10) % 10) // 10", "x % 10 <> 0"),
    }
)

Clock = Literal["iso", "s", "ms", "us", "ns", "ticks"]

_NESTED = re.compile(r"(STRUCT|MAP|UNION)\b|\[\d*\]$|LIST\b", re.IGNORECASE)
_FLOATS = ("DOUBLE", "FLOAT", "REAL")
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Canonical columns found among a source's fields.

    ``target`` maps a canonical name to the field it is read from; ``sql`` to an expression over the fields instead.
    """

    target: Mapping[str, str]
    sql: Mapping[str, str]
    wanted: frozenset[str]
    payload_fields: frozenset[str]
    unused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How one canonical column is read, as SQL over the staged fields.

    ``value`` is NULL where it cannot be read; ``bad`` is true there (asked only where ``raw`` is not NULL), and the record is
    then a reject because ``raw`` is not ``form``. ``cut`` is true where the value loses digits of its clock.
    """

    field: str
    value: str
    raw: str
    form: str = "text"
    bad: str | None = None
    cut: str | None = None
    doubtful: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """How to read a source's fields: ``given`` maps canonical names to a field or an SQL expression over the fields.

    ``clock`` says what times are: ISO 8601 text, or numbers of s, ms, us or ns since 1970, or .NET ticks.

    >>> Columns().resolve(["aggregateId", "sequence", "type", "payload", "shard"]).target["stream_id"]
    'aggregateId'
    """

    given: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = "iso"

    def __post_init__(self) -> None:
        for name in self.given:
            if name not in CANONICAL:
                raise SourceError(f'columns: "{name}" is not a canonical column.{nearest(name, CANONICAL)}')
        if self.clock != "iso" and self.clock not in CLOCKS:
            raise SourceError(f'time: "{self.clock}" is none of iso, {", ".join(CLOCKS)}')

    def resolve(self, names: Sequence[str]) -> Resolved:
        """Find canonical columns among field names.

        Raises SourceError when two fields claim one canonical column.
        """
        sql = {name: text for name, text in self.given.items() if text not in names}
        target = {name: text for name, text in self.given.items() if text in names}
        claimed = set(target.values())
        for canonical in CANONICAL:
            if canonical not in self.given:
                found = _claim(canonical, [name for name in names if name not in claimed])
                if found is not None:
                    target[canonical] = found
        mentioned = {name for name in names if any(_mentions(text, name) for text in sql.values())}
        wanted = frozenset(target.values()) | mentioned
        return Resolved(
            target=target,
            sql=sql,
            wanted=wanted,
            payload_fields=frozenset(target[name] for name in ("data", "metadata") if name in target) - mentioned,
            unused=tuple(name for name in names if name not in wanted),
        )

    def expressions(self, fields: Mapping[str, str]) -> dict[str, Reading]:
        """How each canonical column that is there reads from the staged ``fields`` (name to type)."""
        found = self.resolve(list(fields))
        out = {}
        for name, kind in CANONICAL.items():
            if name in found.target:
                of = found.target[name]
                out[name] = self._typed(of, kind, quote(of), fields[of])
            elif name in found.sql:
                # An expression's type is not known here; text is the form that every type takes exactly.
                out[name] = self._typed(name, kind, f"({found.sql[name]})::varchar", "VARCHAR")
        return out

    def _typed(self, of: str, kind: str, value: str, type_: str) -> Reading:
        if kind == "BIGINT":
            return _integer(of, value, type_)
        if kind == "TIMESTAMPTZ":
            return self._time(of, value, type_)
        if kind == "JSON":
            return _json(of, value, type_)
        if type_ == "BLOB":
            return Reading(of, f"try(decode({value}))", value, "UTF-8", f"try(decode({value})) is null")
        return Reading(of, f"{value}::varchar", value)

    def _time(self, of: str, value: str, type_: str) -> Reading:
        if type_ == "TIMESTAMP_NS":
            return _clock(of, value, f"epoch_ns({value})", "ns")
        if type_.startswith(("TIMESTAMP", "DATE")):
            time = f"{value}::timestamptz"
            return Reading(of, time, value, "a time", f"not isfinite({time})")
        if self.clock == "iso":
            text = f"{value}::varchar"
            time = f"try_cast({text} as timestamptz)"
            # DuckDB also reads words such as "infinity" and "epoch" as times.
            bad = f"{time} is null or not left(ltrim({text}), 1) between '0' and '9'"
            # 2024-06-07T12:00:00.1234567: the seventh digit of a second stands at 27.
            cut = f"substr({text}, 20, 1) = '.' and substr({text}, 27, 1) between '0' and '9'"
            return Reading(of, time, value, "an ISO 8601 time", bad, cut)
        return _clock(of, value, f"{value}::varchar", self.clock)


def _claim(canonical: str, names: Sequence[str]) -> str | None:
    """The field that holds a canonical column: by its own name, else by the one alias that is there."""
    by_name = {_bare(name): name for name in names}
    if _bare(canonical) in by_name:
        return by_name[_bare(canonical)]
    found = [by_name[_bare(alias)] for alias in ALIASES[canonical] if _bare(alias) in by_name]
    if len(found) > 1:
        raise SourceError(
            f'two columns for one name: {" and ".join(map(repr, found))} could both be "{canonical}"; '
            f'choose with columns={{"{canonical}": "{found[0]}"}}'
        )
    return found[0] if found else None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _mentions(sql: str, name: str) -> bool:
    return quote(name) in sql or re.search(rf"(?<![\w\"]){re.escape(name)}(?![\w\"])", sql, re.IGNORECASE) is not None


def _clock(of: str, raw: str, number: str, clock: str) -> Reading:
    """A time from a number, floored to microseconds without ever becoming a float."""
    kind, micros, cut = CLOCKS[clock]
    x = f"try_cast({number} as {kind})"
    time = f"try(make_timestamptz(try_cast({_over(micros, x)} as bigint)))"
    return Reading(of, time, raw, f"a number of {clock}", f"{time} is null", _over(cut, x))


def _over(sql: str, x: str) -> str:
    return re.sub(r"\bx\b", lambda _: x, sql)


def _integer(of: str, value: str, type_: str) -> Reading:
    """A BIGINT; a cast alone would turn 7.6 into 8 and true into 1."""
    integer = f"try_cast({value} as bigint)"
    if _INTEGERS.match(type_):
        bad = f"{integer} is null"
    elif type_ in _FLOATS or type_.startswith("DECIMAL"):
        bad = f"{integer} is null or {integer} <> {value} or abs({value}) > 2::double ** 53"
    else:
        integer = f"try_cast({value}::varchar as bigint)"
        bad = f"{integer} is null or {integer}::varchar <> {value}::varchar"
    return Reading(of, integer, value, "an integer", bad)


def _json(of: str, value: str, type_: str) -> Reading:
    """JSON text. What SQL cannot prove to be strict JSON is ``doubtful``, for the decoder to judge."""
    if type_ == "JSON":
        return Reading(of, value, value)
    if _NESTED.search(type_):
        text = payload.made(value)
        return Reading(of, text, value, doubtful=payload.suspicious(text))
    text = f"try(decode({value}))" if type_ == "BLOB" else f"{value}::varchar"
    return Reading(of, text, value, doubtful=f"not ({payload.proven(text)})")

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
            "notification_id",
            "seq_id",
            "ordering",
        ),
        "stream_id": (
            "aggregate_id",
            "aggregate_root_id",
            "aggregate_identifier",
            "persistence_id",
            "stream_uuid",
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
            "aggregate_root_version",
            "event_number",
            "event_revision",
            "originator_version",
            "playhead",
            "stream_position",
        ),
        "event_id": ("id", "event_uuid", "message_id", "uuid", "event_identifier"),
        "event_type": ("type", "event_name", "message_type", "event", "payload_type"),
        "schema_version": (
            "event_version",
            "event_schema_version",
            "message_schema_version",
            "payload_version",
            "payload_revision",
        ),
        "recorded_at": (
            "timestamp",
            "created_at",
            "created",
            "recorded_on",
            "time_of_recording",
            "write_timestamp",
            "stored_at",
            "time",
            "created_epoch",
        ),
        "occurred_at": ("occurred_on", "occurred", "event_time", "effective_at", "business_time", "valid_at"),
        "source_position": (),
        "data": ("payload", "body", "event_data", "event_body", "event_payload", "message_data"),
        "metadata": ("meta", "headers", "meta_data", "event_metadata", "message_metadata"),
    }
)

#: Units of a declared clock in a second, and seconds from its zero to 1970: .NET ticks count 100 ns from the year 1.
CLOCKS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "s": (1, 0),
        "ms": (1_000, 0),
        "us": (1_000_000, 0),
        "ns": (1_000_000_000, 0),
        "ticks": (10_000_000, 62_135_596_800),
    }
)

Clock = Literal["iso", "s", "ms", "us", "ns", "ticks"]

_NESTED = re.compile(r"(STRUCT|MAP|UNION)\b|\[\d*\]$|LIST\b", re.IGNORECASE)
_FLOATS = ("DOUBLE", "FLOAT", "REAL")
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$", re.IGNORECASE)
#: DuckDB also reads times such as "epoch", "infinity", "24-6-7", and zones by name.
_ISO = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
#: More decimals than these would be rounded.
_DECIMALS = 15
#: No time lies so many microseconds from 1970: the year is 293,500, where DuckDB's end.
_END = 9_200_000_000_000_000_000


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

    ``value`` is NULL where it cannot be read; ``bad`` is true there (asked only where ``raw`` is not NULL), and the
    record is then a reject because ``raw`` is not ``form``. ``cut`` is true where the value loses digits of its clock.
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
    """How to read a source's fields.

    ``given`` maps canonical names to a field, to an SQL expression over the fields, or to None: it is not read.
    ``clock`` says what times are: ISO 8601 text, or numbers of s, ms, us or ns since 1970, or .NET ticks.

    >>> Columns().resolve(["aggregateId", "sequence", "type", "payload", "shard"]).target["stream_id"]
    'aggregateId'
    """

    given: Mapping[str, str | None] = field(default_factory=dict)
    clock: Clock = "iso"

    def __post_init__(self) -> None:
        for name, text in self.given.items():
            if name not in CANONICAL:
                raise SourceError(f'columns: "{name}" is not a canonical column.{nearest(str(name), CANONICAL)}')
            if not isinstance(text, str | None):
                raise SourceError(f'columns: "{name}" is a field, an SQL expression or None, not {text!r}')
        if self.clock != "iso" and self.clock not in CLOCKS:
            raise SourceError(f'time: "{self.clock}" is none of iso, {", ".join(CLOCKS)}')

    def resolve(self, names: Sequence[str]) -> Resolved:
        """Find canonical columns among field names.

        Raises SourceError when two fields claim one canonical column.
        """
        given = {name: text for name, text in self.given.items() if text is not None}
        sql = {name: text for name, text in given.items() if text not in names}
        target = {name: text for name, text in given.items() if text in names}
        if "" in target.values():
            raise SourceError("columns: a field without a name cannot be read: give it one in the source")
        claimed = set(target.values())
        for canonical in CANONICAL:
            if canonical not in self.given:
                # A field given to another column still serves its own name, where nothing else does.
                own = [name for name in claimed if _bare(name) == _bare(canonical)]
                found = _claim(canonical, [name for name in names if name not in claimed]) or _claim(canonical, own)
                if found is not None:
                    target[canonical] = found
        self._tell_positions_apart(names, target)
        mentioned = {name for name in names if any(_mentions(text, name) for text in sql.values())}
        wanted = frozenset(target.values()) | mentioned
        return Resolved(
            target=target,
            sql=sql,
            wanted=wanted,
            payload_fields=frozenset(target[name] for name in ("data", "metadata") if name in target),
            unused=tuple(name for name in names if name not in wanted),
        )

    def _tell_positions_apart(self, names: Sequence[str], target: dict[str, str]) -> None:
        """Where a global position stands beside ``position``, the latter is the version in its stream."""
        position = target.get("position")
        if "position" in self.given or position is None or _bare(position) != "position":
            return
        over_all = [
            name for name in names if name not in target.values() and _bare(name) in _bares("position", "global")
        ]
        if len(over_all) == 1:
            target["position"] = over_all[0]
            if "version" not in self.given:
                target.setdefault("version", position)
        elif self.given.get("version") == position:
            del target["position"]

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
        if kind != "VARCHAR" and type_ == "VARCHAR":
            # A CSV file that quotes everything has no other way to leave a value out.
            value = f"nullif({value}, '')"
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
        if type_ in ("TIMESTAMP_NS", "TIMESTAMPTZ_NS"):
            return _clock(of, value, f"epoch_ns({value})::varchar", "ns")
        if type_.startswith(("TIMESTAMP", "DATE")):
            time = f"{value}::timestamptz"
            return Reading(of, time, value, "a time", f"not isfinite({time})")
        text = f"{value}::varchar"
        if self.clock != "iso":
            return _clock(of, value, text, self.clock)
        time = f"try_cast({text} as timestamptz)"
        bad = f"{time} is null or not regexp_full_match({text}, '{_ISO}')"
        # DuckDB leaves out what follows the sixth decimal; no shorter text has a seventh.
        cut = f"length({text}) > 26 and regexp_matches({text}, '\\.\\d{{6}}\\d*[1-9]')"
        return Reading(of, time, value, "a time that is read (such as 2024-06-07T12:00:00Z)", bad, cut)


def _claim(canonical: str, names: Sequence[str]) -> str | None:
    """The field that holds a canonical column: by its own name, else by the one alias that is there."""
    own, aliases = _bare(canonical), _bares(canonical)
    found = (
        [name for name in names if name == canonical]
        or [name for name in names if _bare(name) == own]
        or [name for name in names if _bare(name) in aliases]
    )
    if len(found) > 1:
        raise SourceError(
            f'two columns for one name: {" and ".join(map(repr, found))} could both be "{canonical}"; '
            f"choose with columns={{{canonical!r}: {found[0]!r}}}"
        )
    return found[0] if found else None


def _bares(canonical: str, beginning: str = "") -> set[str]:
    return {_bare(alias) for alias in ALIASES[canonical] if alias.startswith(beginning)}


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _mentions(sql: str, name: str) -> bool:
    return name != "" and (quote(name) in sql or _has_word(sql, name))


def _has_word(sql: str, name: str) -> bool:
    return re.search(rf"(?<![\w\"]){re.escape(name)}(?![\w\"])", sql, re.IGNORECASE) is not None


def _clock(of: str, raw: str, text: str, clock: str) -> Reading:
    """A time from a number as text, cut (not rounded) to microseconds without ever becoming a float."""
    units, start = CLOCKS[clock]
    each, factor = max(units // 1_000_000, 1), max(1_000_000 // units, 1)
    # Nothing may overflow: DuckDB takes what stands twice out of try(). So the decimal has room for the factor. Its
    # division would make a float, that of whole units does not.
    number = f"try_cast({text} as decimal({38 - len(str(factor)) + 1}, {_DECIMALS}))"
    fine = f"({number} * {factor} - {start * max(units, 1_000_000)})"
    whole = f"floor({fine})::hugeint"
    micros = f"(({whole} - ({whole} % {each} + {each}) % {each}) // {each})"
    time = f"case when abs({micros}) < {_END} then make_timestamptz({micros}::bigint) end"
    inexact = f"regexp_matches({text}, '\\.\\d{{{_DECIMALS + 1}}}|[eE]-|_')"
    return Reading(
        of, time, raw, f"a number of {clock}", f"{time} is null or {inexact}", f"{fine} <> {micros} * {each}"
    )


def _integer(of: str, value: str, type_: str) -> Reading:
    """A BIGINT; a cast alone would turn 7.6 into 8 and true into 1."""
    integer = f"try_cast({value} as bigint)"
    if _INTEGERS.match(type_):
        bad = f"{integer} is null"
    elif type_ in _FLOATS:
        # A float beyond 2^53 may stand for several integers.
        bad = f"{integer} is null or {integer} <> {value} or abs({value}) > 2::double ** 53"
    elif type_.startswith("DECIMAL"):
        bad = f"{integer} is null or {value} <> floor({value})"
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

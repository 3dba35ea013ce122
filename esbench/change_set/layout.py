"""How a store keeps events in a table: names, types, and what tells rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from esbench.errors import ExportError, nearest
from esbench.event import CANONICAL, quote
from esbench.sources.columns import CLOCKS, Clock

__all__ = ["Dialect", "Table", "literal", "same_value"]

Dialect = Literal["postgresql", "sqlite"]
Json = Literal["text", "json", "jsonb", "bytes"]

#: What PostgreSQL and SQLite programs, or those who review a file, may take for something else: controls, line ends,
#: and marks that reverse the text around them.
_ODD = frozenset(
    map(chr, (*range(32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)))
)
_JSONS: Mapping[str, tuple[Json, ...]] = {"postgresql": ("text", "json", "jsonb", "bytes"), "sqlite": ("text", "bytes")}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of events in PostgreSQL or SQLite, one row an event.

    ``columns`` maps canonical names to the table's; a name that is not given is its own, where the log has any value
    for it; None: the table has no such column. ``key``: canonical columns that name a row; ``position`` if there is
    one, else ``event_id``, else stream and version. ``json``: the type of ``data`` and ``metadata`` (text, json, jsonb,
    or bytes for a bytea or blob of text); jsonb in PostgreSQL and text in SQLite by default. ``time``: how times are
    written, as in ``bench.load``. ``generated``: canonical columns that the table fills itself, such as an identity.

    >>> Table("events", schema="public", columns={"stream_id": "aggregate_id"}).qualified
    '"public"."events"'
    """

    name: str
    schema: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    dialect: Dialect = "postgresql"
    key: tuple[str, ...] = ()
    json: Json | None = None
    time: Clock = "iso"
    generated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dialect not in _JSONS:
            raise ExportError(f"dialect is one of {', '.join(_JSONS)}, not {self.dialect!r}")
        if self.json is not None and self.json not in _JSONS[self.dialect]:
            raise ExportError(f"json is one of {', '.join(_JSONS[self.dialect])} in {self.dialect}, not {self.json!r}")
        if self.dialect == "sqlite" and self.schema not in (None, "main"):
            raise ExportError(f"schema: SQLite changes tables of main; open the file of {self.schema!r} by itself")
        if self.time != "iso" and self.time not in CLOCKS:
            raise ExportError(f"time is iso or one of {', '.join(CLOCKS)}, not {self.time!r}")
        for what, names in (("columns", self.columns), ("key", self.key), ("generated", self.generated)):
            for name in names:
                if name not in CANONICAL:
                    raise ExportError(f'{what}: "{name}" is not a canonical column.{nearest(str(name), CANONICAL)}')
        for column in (self.name, self.schema, *self.columns.values()):
            if column is not None and (not column or "\0" in column):
                raise ExportError(f"{column!r} is no name of a table or column")

    @property
    def qualified(self) -> str:
        """The table's name in SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}" if self.schema else quote(self.name)

    @property
    def json_type(self) -> Json:
        """The type of payload columns."""
        return self.json or ("jsonb" if self.dialect == "postgresql" else "text")

    def value(self, name: str, value: Any) -> str:
        """A value of a canonical column in SQL. Raises ExportError for one that the column cannot hold."""
        if value is None:
            return "null"
        kind = CANONICAL[name]
        if kind == "BIGINT":
            return str(int(value))
        if kind == "TIMESTAMPTZ":
            return self._moment(int(value))
        if kind == "JSON":
            if self.json_type == "jsonb" and any(_null_escapes(value)):
                raise ExportError("it holds \\u0000, which jsonb cannot keep: it is the same in the json type only")
            if self.json_type == "bytes":
                made = literal(value, self.dialect)
                return f"cast({made} as blob)" if self.dialect == "sqlite" else f"convert_to({made}, 'UTF8')"
        return literal(value, self.dialect)

    def _moment(self, micros: int) -> str:
        if self.time == "iso":
            try:
                moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
            except OverflowError:
                raise ExportError("its time lies outside the years 1 to 9999") from None
            return f"'{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z'"
        units, start = CLOCKS[self.time]
        whole, rest = divmod(micros * units, 1_000_000)
        number = str(whole + start * units)
        return f"{number}.{rest:06d}".rstrip("0") if rest else number


def literal(text: str, dialect: Dialect) -> str:
    r"""A text in SQL, on one line of a file that any program reads alike; nothing in it can end it.

    >>> print(literal("it's", "postgresql"), literal("a\\b\n$$", "postgresql"), literal("a\r\n", "sqlite"))
    'it''s' E'a\\b\u000A$$' cast(x'610D0A' as text)
    """
    if _ODD.isdisjoint(text):
        return "'" + text.replace("'", "''") + "'"
    if dialect == "sqlite":
        # The command line takes carriage returns away, and a file ends at NUL.
        return f"cast(x'{text.encode().hex().upper()}' as text)"
    if "\0" in text:
        raise ExportError("it holds the character NUL, which PostgreSQL cannot keep in a text")
    made = text.replace("\\", "\\\\").replace("'", "''")
    return "E'" + "".join(f"\\u{ord(c):04X}" if c in _ODD else c for c in made) + "'"


def same_value(one: str, other: str, name: str, table: Table) -> str:
    """SQL for whether two values of a canonical column are the same to a log, one of them as the store wrote it.

    Payloads are the same text, or the same jsonb; times the same moment, however they are written, within the
    millisecond that SQLite tells apart.
    """
    kind, sqlite = CANONICAL[name], table.dialect == "sqlite"
    same = "is" if sqlite else "is not distinct from"
    form = "{}"
    if kind == "TIMESTAMPTZ" and table.time != "iso":
        form = "cast({} as numeric)" if sqlite else "{}::text::numeric"
        one, other = form.format(one), form.format(other)
        near = f"abs({one} - {other}) * 1000 < {CLOCKS[table.time][0]}"
        return f"coalesce({near}, {one} is null and {other} is null)"
    if kind == "TIMESTAMPTZ":
        # SQLite reads offsets with minutes only, and others may write +00.
        form = (
            "coalesce(strftime('%Y-%m-%d %H:%M:%f', {0}), strftime('%Y-%m-%d %H:%M:%f', {0} || ':00'), {0})"
            if sqlite
            else "{}::text::timestamptz"
        )
    elif kind == "JSON" and table.json_type != "bytes":
        form = "cast({} as text)" if sqlite else "{}::text::jsonb" if table.json_type == "jsonb" else "{}::text"
    return f"{form.format(one)} {same} {form.format(other)}"


def _null_escapes(text: str) -> Iterator[bool]:
    r"""Whether ``\u0000`` stands in JSON text as an escape: behind an even number of backslashes."""
    at = text.find("\\u0000")
    while at >= 0:
        before = at - len(text[:at].rstrip("\\"))
        yield before % 2 == 0
        at = text.find("\\u0000", at + 1)

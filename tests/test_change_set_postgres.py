"""Change sets on a real PostgreSQL, run with psql as a user would."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from esbench.change_set import Table, change_set
from tests.derived_logs import Derived, events_of, plain
from tests.oracle import Row
from tests.postgres import Postgres
from tests.strategies import HOSTILE

pytestmark = pytest.mark.real

ODD = (
    "it's $$ $esbench$",
    "back\\slash'); drop table x; --",
    "\x01\x1f\x7f",
    "\u202egnp.exe",
    "a\r\nb\n\\.\n",
    ":name :'x'",
)
TABLE = '"odd ""schema"""."ev$esbench$ents"'
CREATE = f'''
    create schema "odd ""schema""";
    create table {TABLE} (
        id bigint generated always as identity primary key, aggregate_id text not null, version int not null,
        check (version > 0), event_uuid uuid not null unique, type text not null, payload %s, recorded_at timestamptz,
        extra text default 'kept', unique (aggregate_id, version)
    );
'''
COLUMNS = {
    "position": "id",
    "stream_id": "aggregate_id",
    "event_id": "event_uuid",
    "event_type": "type",
    "data": "payload",
}
NAMES = ("position", "stream_id", "version", "event_id", "event_type", "data")


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def rows_of_log() -> list[Row]:
    """Three plain events of a stream, another stream, and streams with odd names, types and payloads."""
    found = [
        Row(position, stream, version, "Added", f'{{"n":{position}.10}}')
        for position, (stream, version) in enumerate((("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)), start=1)
    ]
    for text in (*HOSTILE, *ODD):
        payload = '{"text": "\\"\\\\ \\u00e9 \\/ 1E2", "n": 1E2,\n "n2": 1.10}'
        found.append(Row(len(found) + 1, text, 1, text, payload))
    return [replace(row, event_id=uuid(row.position)) for row in found]


def new_log(rows: list[Row]) -> list[Derived]:
    """An event before a@2, b loses its first, all odd ones get another type and payload, two ids change places."""
    a1, a2, _, a3, b2, *odd = rows
    found = [
        Derived(a1, 1),
        Derived(replace(a2, event_type="Opened", event_id=uuid(900), data_text=None), 2, nth=-1),
        Derived(replace(a2, version=3, event_id=uuid(4)), 2),
        Derived(replace(a3, version=4, event_id=uuid(2)), 4),
        Derived(replace(b2, version=1, recorded_at=None), 5),
    ]
    for row in odd:
        found.append(
            Derived(
                replace(row, event_type=f"New {row.event_type}", data_text='{"t":"\\u0001", "x": 1E2}\r\n'),
                row.position,
            )
        )
    return [replace(each, row=replace(each.row, position=n)) for n, each in enumerate(found, start=1)]


def fill(postgres: Postgres, database: str, rows: list[Row], kind: str, folder: Path) -> None:
    """The store. Texts go in as bytes, which need no quotes."""
    postgres.psql(database, CREATE % kind)

    def value(name: str, value: Any) -> str:
        if value is None or isinstance(value, int):
            return "null" if value is None else str(value)
        cast = {"event_id": "uuid", "data": kind}.get(name, "text")
        return f"convert_from('\\x{value.encode().hex()}', 'UTF8')::{cast}"

    given = "id, aggregate_id, version, event_uuid, type, payload"
    lines = (", ".join(value(name, row.columns()[name]) for name in NAMES) for row in rows)
    inserts = (f"insert into {TABLE} ({given}) overriding system value values ({line});\n" for line in lines)
    (folder / "fill.sql").write_text("".join(inserts))
    postgres.psql(database, None, "--set=ON_ERROR_STOP=1", file=folder / "fill.sql")


def content(postgres: Postgres, database: str) -> list[dict[str, Any]]:
    done = postgres.psql(
        database, f"copy (select * from {TABLE} order by id) to stdout (format csv, header, force_quote *)"
    )
    return list(csv.DictReader(io.StringIO(done.stdout, newline="")))


def expected(row: Row, kind: str, position: int) -> dict[str, Any]:
    data = row.data_text
    if data is not None and kind == "jsonb":
        data = data.replace("1E2}", "100}").replace('"t":"', '"t": "').strip()
        data = data if '"n"' not in data else data.replace('":', '": ').replace(":  ", ": ")
    return {
        "id": str(position),
        "aggregate_id": row.stream_id,
        "version": str(row.version),
        "event_uuid": row.event_id,
        "type": row.event_type,
        "payload": data or "",
        "recorded_at": "",
        "extra": "kept",
    }


@pytest.fixture
def logs():
    with duckdb.connect() as con:
        rows = rows_of_log()
        yield rows, events_of(con, "old", plain(rows)), events_of(con, "new", new_log(rows))


@pytest.mark.parametrize("kind", ["jsonb", "json", "text"])
def test_psql_turns_the_table_into_the_new_log(postgres, tmp_path, logs, kind):
    rows, old, new = logs
    database = postgres.database()
    fill(postgres, database, rows, kind, tmp_path)
    table = Table("ev$esbench$ents", schema='odd "schema"', columns=COLUMNS, json=kind)
    made = change_set(old, new, table, tmp_path / "change.sql")
    assert (made.deletes, made.inserts, made.updates) == (1, 1, len(rows) - 2)
    assert ("jsonb, which keeps values and not texts" in (tmp_path / "change.sql").read_text()) == (kind == "jsonb")
    postgres.psql(database, None, "--set=ON_ERROR_STOP=1", file=tmp_path / "change.sql")
    end = len(rows)
    wanted = sorted(
        (expected(each.row, kind, end + 1 if each.nth else each.origin or 0) for each in new_log(rows)),
        key=lambda row: int(row["id"]),
    )
    assert content(postgres, database) == wanted
    # The identity goes on behind what was inserted.
    postgres.psql(
        database, f"insert into {TABLE} (aggregate_id, version, event_uuid, type) values ('z', 1, '{uuid(999)}', 'T')"
    )
    assert int(content(postgres, database)[-1]["id"]) > end + 1
    again = postgres.psql(database, None, "--set=ON_ERROR_STOP=1", file=tmp_path / "change.sql", check=False)
    assert again.returncode == 3
    assert "a stream does not end where it did in the dry run: " in again.stderr


def test_a_row_that_steps_aside_gets_its_version_back_where_only_its_stream_changes(postgres, tmp_path):
    rows = [Row(n, "s", n, "B", '{"w":1.0}', event_id=uuid(n)) for n in (1, 2, 3)]
    split = [("s-x", 1), ("s", 1), ("s-x", 2)]
    after = [replace(row, stream_id=stream, version=n) for row, (stream, n) in zip(rows, split, strict=True)]
    database = postgres.database()
    fill(postgres, database, rows, "jsonb", tmp_path)
    table = Table("ev$esbench$ents", schema='odd "schema"', columns=COLUMNS)
    with duckdb.connect() as con:
        old, new = events_of(con, "old", plain(rows)), events_of(con, "new", plain(after))
        change_set(old, new, table, tmp_path / "change.sql")
    postgres.psql(database, None, "--set=ON_ERROR_STOP=1", file=tmp_path / "change.sql")
    assert [(row["aggregate_id"], row["version"]) for row in content(postgres, database)] == [
        (row.stream_id, str(row.version)) for row in after
    ]


SKIP = "create function skip() returns trigger language plpgsql as 'begin return null; end'; create trigger skip before"
EACH = f"on {TABLE} for each row"
DAMAGE = {
    "grown": (
        f"""
        insert into {TABLE} (id, aggregate_id, version, event_uuid, type) overriding system value
        values (500, 'a', 9, '{uuid(950)}', 'T')
        """,
        "run: a;",
    ),
    "another row": (f"update {TABLE} set type = 'Other' where id = 2", "is not there as the dry run saw it"),
    "corrected": (
        f"update {TABLE} set payload = '{{\"n\": 1}}' where id = 7",
        "a row to change is not as it was",
    ),
    "a row that goes is corrected": (
        f"update {TABLE} set payload = '{{\"n\": 3.2}}' where id = 3",
        "a row to change is not as it was",
    ),
    "constraint": (f"alter table {TABLE} add check (type <> 'Opened')", "violates check constraint"),
    "trigger": (f"{SKIP} update {EACH} when (old.id = 7) execute function skip()", "did not take its new values"),
    "rows vanish": (f"{SKIP} insert {EACH} execute function skip()", "number of rows is not what it should be"),
}


@pytest.mark.parametrize(
    "options", [[], ["--set=ON_ERROR_STOP=1"], ["--set=ON_ERROR_ROLLBACK=on"], ["--single-transaction"]]
)
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_as_expected_stops_it_and_nothing_is_changed(postgres, tmp_path, logs, damage, options):
    rows, old, new = logs
    database = postgres.database()
    fill(postgres, database, rows, "jsonb", tmp_path)
    change, message = DAMAGE[damage]
    postgres.psql(database, change)
    before = content(postgres, database)
    table = Table("ev$esbench$ents", schema='odd "schema"', columns=COLUMNS)
    change_set(old, new, table, tmp_path / "change.sql")
    done = postgres.psql(database, None, *options, file=tmp_path / "change.sql", check=False)
    assert message in done.stderr
    assert content(postgres, database) == before

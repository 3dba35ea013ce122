"""Change sets: a file that turns the table a log came from into the new log, or changes nothing at all."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esbench.change_set import Table, change_set
from esbench.change_set.layout import literal
from esbench.errors import ExportError
from esbench.facts import Facts
from tests.derived_logs import Derived, derived, events_of, plain
from tests.oracle import Row
from tests.strategies import hostile_texts, logs, payload_texts

NAMES = (
    "position", "stream_id", "stream_type", "version", "event_id", "event_type", "schema_version", "recorded_at",
    "occurred_at", "data", "metadata",
)  # fmt: skip
HOSTILE = 'odd "events"; --$esbench$'
COLUMNS = {name: name for name in NAMES} | {"stream_id": 'the "stream"; --', "data": "Pay load"}


def cells(row: Row) -> tuple[object, ...]:
    """A row as a table of the store holds it, times as the text that is written."""
    found = {**row.columns(), "recorded_at": row.recorded_at and row.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    return tuple(found[name] for name in NAMES)


def make_table(con: sqlite3.Connection, rows: list[Row], *, name: str = HOSTILE, keys: str = "") -> None:
    """The store, in SQLite."""
    kinds = {"position": "integer primary key", "version": "integer not null", "schema_version": "integer"}
    quoted = [f'"{COLUMNS[each]}"'.replace('"stream"', '""stream""') for each in NAMES]
    typed = ", ".join(f"{column} {kinds.get(each, 'text')}" for column, each in zip(quoted, NAMES, strict=True))
    table = '"' + name.replace('"', '""') + '"'
    con.execute(f"create table {table} ({typed}{keys})")
    con.executemany(f"insert into {table} values ({', '.join('?' * len(NAMES))})", map(cells, rows))
    con.commit()


def content(con: sqlite3.Connection, name: str = HOSTILE) -> list[tuple[object, ...]]:
    table = '"' + name.replace('"', '""') + '"'
    return con.execute(f"select * from {table} order by position").fetchall()


def layout(**options: object) -> Table:
    return Table(HOSTILE, columns=COLUMNS, dialect="sqlite", **options)  # type: ignore[arg-type]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Row], list[Derived]]:
    rows = draw(logs(payloads=st.one_of(st.none(), payload_texts())))
    return rows, draw(derived(rows))


@settings(max_examples=25)
@given(pairs())
def test_a_table_in_sqlite_becomes_the_new_log(tmp_path_factory: pytest.TempPathFactory, pair):
    rows, new = pair
    path = tmp_path_factory.mktemp("set") / "change.sql"
    with duckdb.connect() as con, sqlite3.connect(":memory:") as store:
        old_events, new_events = events_of(con, "old", plain(rows)), events_of(con, "new", new)
        made = change_set(old_events, new_events, layout(), path, positions="new")
        make_table(store, rows)
        store.executescript(path.read_text("utf-8"))
        assert content(store) == [cells(each.row) for each in new]
        assert made.deletes + len(new) == made.inserts + len(rows)


@settings(max_examples=25)
@given(pairs())
def test_positions_are_kept_and_new_events_come_last(tmp_path_factory: pytest.TempPathFactory, pair):
    rows, new = pair
    path = tmp_path_factory.mktemp("set") / "change.sql"
    kept = [replace(e.row, position=e.origin) for e in new if e.source == 0 and e.nth == 0 and e.origin is not None]
    added = [each.row for each in new if each.source or each.nth or each.origin is None]
    end = max(row.position for row in rows)
    with duckdb.connect() as con, sqlite3.connect(":memory:") as store:
        made = change_set(events_of(con, "old", plain(rows)), events_of(con, "new", new), layout(), path)
        make_table(store, rows)
        store.executescript(path.read_text("utf-8"))
        found = content(store)
    assert made.inserts == len(added)
    assert found[: len(kept)] == [cells(row) for row in sorted(kept, key=lambda row: row.position)]
    # After the last position of what was left, in the order of the new log.
    assert [row[1:] for row in found[len(kept) :]] == [cells(row)[1:] for row in added]
    assert all(row[0] <= end + len(added) for row in found)


ROWS = [
    Row(position, stream, version, kind, data, event_id=f"id-{position}")
    for position, stream, version, kind, data in [
        (1, "a", 1, "Made", '{"n":1}'),
        (2, "a", 2, "Added", '{"n":1.10}'),
        (3, "b", 1, "Made", "{}"),
        (4, "a", 3, "Added", '{"n":3}'),
        (5, "b", 2, "Added", '{"n":4}'),
        (6, "c", 1, "Made", None),
    ]
]
UNIQUE = ', unique ("the ""stream""; --", version), unique (event_id), check (version > 0)'


def moved() -> list[Derived]:
    """An event before a@2, so that a moves up; b loses its first, so that it moves down; two ids change places."""
    a1, a2, b1, a3, b2, c1 = ROWS
    del b1
    return [
        Derived(a1, 1),
        Derived(replace(a2, position=2, event_type="Opened", event_id="id-new", data_text='{"é":"\'\\n"}'), 2, nth=-1),
        Derived(replace(a2, position=3, version=3, event_id="id-4"), 2),
        Derived(replace(a3, position=4, version=4, event_id="id-2"), 4),
        Derived(replace(b2, position=5, version=1, data_text='{"n":4.0}'), 5),
        Derived(c1, 6),
    ]


@pytest.fixture
def con():
    with duckdb.connect() as opened:
        yield opened


@pytest.fixture
def old(con):
    return events_of(con, "old", plain(ROWS))


@pytest.fixture
def new(con):
    return events_of(con, "new", moved())


@pytest.mark.parametrize("key", [(), ("event_id",), ("stream_id", "version")])
@pytest.mark.parametrize("positions", ["keep", "new"])
def test_no_unique_constraint_is_hit_on_the_way(tmp_path, old, new, key, positions):
    path = tmp_path / "change.sql"
    change_set(old, new, layout(key=key), path, positions=positions)
    with sqlite3.connect(":memory:") as store:
        make_table(store, ROWS, keys=UNIQUE)
        store.executescript(path.read_text("utf-8"))
        found = {row[4]: row for row in content(store)}
    expected = {each.row.event_id: cells(each.row) for each in moved()}
    if positions == "keep":
        assert {key: row[1:] for key, row in found.items()} == {key: row[1:] for key, row in expected.items()}
        assert {key: row[0] for key, row in found.items()} == {
            "id-1": 1, "id-4": 2, "id-2": 4, "id-5": 5, "id-6": 6, "id-new": 7
        }  # fmt: skip
    else:
        assert found == expected


def run_shell(database: Path, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command line of SQLite, which goes on after an error unless told otherwise."""
    with script.open() as text:
        return subprocess.run(["sqlite3", *options, database], stdin=text, capture_output=True, text=True)


SHELLS = [pytest.param(way, marks=pytest.mark.real) for way in ("shell", "shell -bail")]
DAMAGE = {
    "a stream has grown": (
        'insert into {t} (position, version, "the ""stream""; --") values (7, 9, \'a\')',
        "a stream does not end where it did",
    ),
    "a stream has shrunk": ("delete from {t} where position = 1", "a stream does not end where it did"),
    "a row is another": (
        "update {t} set event_type = 'Other' where position = 2",
        "is not there as the dry run saw it",
    ),
    "a payload was corrected": (
        'update {t} set "Pay load" = \'{{"n":40}}\' where position = 5',
        "a row to change is not as it was",
    ),
    "what goes was corrected": (
        "update {t} set metadata = '{{}}' where position = 3",
        "a row to change is not as it was",
    ),
    "a trigger adds rows": (
        "create trigger other after delete on {t} begin insert into {t} (position, version) values (99, 9); end",
        "number of rows is not what it should be",
    ),
    "a trigger changes what is written": (
        "create trigger other after update on {t} begin update {t} set \"Pay load\" = '{{}}' where position = 5; end",
        "did not take its new values",
    ),
    "a constraint is hit": (
        "create unique index one on {t} ((metadata is null)) where event_type = 'Opened' or position = 1",
        "UNIQUE",
    ),
    "a trigger refuses": (
        "create trigger other before insert on {t} begin select raise(abort, 'no'); end",
        "no",
    ),
}


@pytest.mark.parametrize("way", ["python", "python, then commit", *SHELLS])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_as_expected_stops_it_and_nothing_is_changed(tmp_path, old, new, damage, way):
    path, database = tmp_path / "change.sql", tmp_path / "store.db"
    change_set(old, new, layout(), path)
    sql, message = DAMAGE[damage]
    store = sqlite3.connect(database)
    make_table(store, ROWS, keys=UNIQUE)
    store.execute(sql.format(t='"' + HOSTILE.replace('"', '""') + '"'))
    store.commit()
    before = content(store)
    if way.startswith("python"):
        with pytest.raises(sqlite3.Error, match=message):
            store.executescript(path.read_text("utf-8"))
        if "commit" in way:
            store.commit()
        store.close()
    else:
        store.close()
        done = run_shell(database, path, *(["-bail"] if "bail" in way else []))
        assert message in done.stderr
    with sqlite3.connect(database) as again:
        assert content(again) == before


@pytest.mark.parametrize("positions", ["keep", "new"])
def test_other_streams_may_grow_meanwhile_unless_positions_are_given_anew(tmp_path, old, new, positions):
    path = tmp_path / "change.sql"
    change_set(old, new, layout(), path, positions=positions)
    text = path.read_text("utf-8")
    assert ("has 6 events, the last of them" in text) == (positions == "new")
    assert ("(6, 6)" in text) == (positions == "new")
    added = Row(9, "other", 1, "Made", "{}", event_id="id-9")
    with sqlite3.connect(":memory:") as store:
        make_table(store, [*ROWS, added], keys=UNIQUE)
        before = content(store)
        if positions == "new":
            with pytest.raises(sqlite3.Error, match="events were added since the dry run"):
                store.executescript(text)
            store.rollback()
            assert content(store) == before
        else:
            store.executescript(text)
            assert cells(added) in content(store)
            assert content(store)[-1][0] == 10


@pytest.mark.parametrize("key", [(), ("event_id",), ("stream_id", "version")])
def test_a_row_that_steps_aside_gets_its_version_back_where_only_its_stream_changes(tmp_path, con, key):
    rows = [Row(n, "s", n, "B", data, event_id=f"id-{n}") for n, data in enumerate(('{"w":"x"}', "{}", '{"w":"x"}'), 1)]
    split = [("s-x", 1), ("s", 1), ("s-x", 2)]
    after = [replace(row, stream_id=stream, version=n) for row, (stream, n) in zip(rows, split, strict=True)]
    old, new = events_of(con, "old", plain(rows)), events_of(con, "new", plain(after))
    change_set(old, new, layout(key=key), tmp_path / "change.sql")
    with sqlite3.connect(":memory:") as store:
        make_table(store, rows, keys=UNIQUE)
        store.executescript((tmp_path / "change.sql").read_text("utf-8"))
        assert content(store) == [cells(row) for row in after]


@pytest.mark.parametrize(
    ("clock", "stored", "runs"),
    [
        ("iso", "2024-01-01T00:00:00Z", True),
        ("iso", "2024-01-01 01:00:00.000+01:00", True),
        ("iso", "2024-01-01 00:00:00+00", True),
        ("iso", "2024-01-01 00:00:01+00", False),
        ("iso", None, False),
        ("s", 1704067200, True),
        ("ms", 1704067200000, True),
        ("ms", 1704067200001, False),
        ("ms", None, False),
    ],
)
def test_times_are_compared_as_moments_however_the_table_writes_them(tmp_path, con, clock, stored, runs):
    row = replace(ROWS[0], recorded_at=datetime(2024, 1, 1, tzinfo=UTC))
    old, new = events_of(con, "old", plain([row, ROWS[2]])), events_of(con, "new", plain([ROWS[2]]))
    change_set(old, new, layout(time=clock), tmp_path / "change.sql")
    with sqlite3.connect(":memory:") as store:
        make_table(store, [row, ROWS[2]])
        store.execute('update "' + HOSTILE.replace('"', '""') + '" set recorded_at = ? where position = 1', [stored])
        store.commit()
        if runs:
            store.executescript((tmp_path / "change.sql").read_text("utf-8"))
            assert content(store) == [cells(ROWS[2])]
        else:
            with pytest.raises(sqlite3.Error, match="a row to change is not as it was"):
                store.executescript((tmp_path / "change.sql").read_text("utf-8"))


@pytest.mark.real
def test_the_shell_of_sqlite_runs_it(tmp_path, old, new):
    path, database = tmp_path / "change.sql", tmp_path / "store.db"
    change_set(old, new, layout(), path, positions="new")
    with sqlite3.connect(database) as store:
        make_table(store, ROWS, keys=UNIQUE)
    done = run_shell(database, path, "-bail")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with sqlite3.connect(database) as store:
        assert content(store) == [cells(each.row) for each in moved()]
    assert run_shell(database, path, "-bail").returncode != 0, "a second run finds other streams"


def test_a_torn_or_locked_run_changes_nothing(tmp_path, old, new):
    path, database = tmp_path / "change.sql", tmp_path / "store.db"
    change_set(old, new, layout(), path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    with sqlite3.connect(database) as store:
        make_table(store, ROWS, keys=UNIQUE)
        before = content(store)
    for left_out in range(len(lines)):
        if not lines[left_out].startswith(("  (", "begin immediate")):
            continue
        torn = lines[:left_out] + lines[left_out + 1 :]
        again = sqlite3.connect(database)
        for statement in _statements("".join(torn)):
            try:
                again.execute(statement)  # as a program that goes on after every error
            except sqlite3.Error:
                continue
        again.rollback() if lines[left_out].startswith("begin") else again.commit()
        after = content(again)
        again.close()
        if lines[left_out].startswith("begin"):
            assert after != before, "without a transaction of its own it is one statement still"
            database.unlink()
            with sqlite3.connect(database) as store:
                make_table(store, ROWS, keys=UNIQUE)
        else:
            assert after == before, lines[left_out]


def _statements(script: str) -> list[str]:
    found, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found


def test_only_columns_that_differ_are_written(tmp_path, con, old):
    rows = plain(ROWS)
    rows[4] = replace(rows[4], row=replace(rows[4].row, data_text='{"n":5}'))
    made = change_set(old, events_of(con, "new", rows), layout(), tmp_path / "change.sql")
    text = (tmp_path / "change.sql").read_text("utf-8")
    assert (made.updates, made.deletes, made.inserts, made.streams) == (1, 0, 0, 1)
    assert text.count("  update ") == 2  # what is counted, and one column
    assert 'set "Pay load" = s.n_data' in text
    assert "esbench_aside" not in text


def test_nothing_to_change_is_a_file_that_changes_nothing(tmp_path, old):
    made = change_set(old, old, layout(), tmp_path / "change.sql")
    assert (made.updates, made.deletes, made.inserts, made.streams) == (0, 0, 0, 0)
    with sqlite3.connect(":memory:") as store:
        make_table(store, ROWS)
        store.executescript((tmp_path / "change.sql").read_text("utf-8"))
        assert content(store) == [cells(row) for row in ROWS]


def test_what_the_table_has_no_column_for_is_named(tmp_path, con, old):
    rows = [replace(each, row=replace(each.row, schema_version=2)) for each in plain(ROWS)]
    table = Table("events", columns={"schema_version": None}, dialect="sqlite")
    made = change_set(old, events_of(con, "new", rows), table, tmp_path / "change.sql")
    assert made.untold == (("schema_version", 6),)
    assert "NOT WRITTEN: schema_version differs in 6 events" in (tmp_path / "change.sql").read_text("utf-8")
    assert made.updates == 0


def test_json_lines_have_one_action_each_and_exact_payloads(tmp_path, old, new):
    path = tmp_path / "change.jsonl"
    change_set(old, new, Table("any"), path)
    lines = path.read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["action"] for each in found] == [*["expect"] * 2, "delete", *["update"] * 3, "insert"]
    assert found[0] == {"action": "expect", "stream_id": "a", "events": 3, "version": 3}
    assert found[2]["event"] == {
        "position": 3,
        "stream_id": "b",
        "version": 1,
        "event_id": "id-3",
        "event_type": "Made",
    }
    assert any('"set":{"version":1,"data":{"n":4.0}}' in line for line in lines)
    assert found[-1]["event"]["event_id"] == "id-new"
    assert "position" not in found[-1]["event"]


def test_rows_that_cannot_be_told_apart_are_refused(tmp_path, con):
    rows = [*ROWS, replace(ROWS[0], position=7, event_id=None)]
    changed = [replace(each, row=replace(each.row, event_type="New")) for each in plain(rows)]
    old, new = events_of(con, "old", plain(rows)), events_of(con, "new", changed)
    with pytest.raises(ExportError, match=r"key \(stream_id, version\): 1 keys .* position 1"):
        change_set(old, new, Table("events", key=("stream_id", "version")), tmp_path / "c.sql")
    with pytest.raises(ExportError, match=r"key \(event_id\): 1 keys are NULL .* position 7"):
        change_set(old, new, Table("events", key=("event_id",)), tmp_path / "c.sql")
    issued = replace(old, facts=Facts(positions="lines"))
    with pytest.raises(ExportError, match="positions are not those of its source"):
        change_set(issued, new, Table("events", columns={"position": "id"}), tmp_path / "c.sql")
    derived_versions = replace(old, facts=Facts(positions="recorded", derived_versions=True))
    with pytest.raises(ExportError, match="numbered by the loader"):
        change_set(derived_versions, new, Table("events"), tmp_path / "c.sql")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dialect": "mysql"}, "dialect is one of postgresql, sqlite"),
        ({"json": "jsonb", "dialect": "sqlite"}, "json is one of text, bytes in sqlite"),
        ({"columns": {"stream": "s"}}, '"stream" is not a canonical column. Did you mean "stream_id"'),
        ({"key": ("id",)}, '"id" is not a canonical column'),
        ({"time": "fortnight"}, "time is iso or one of"),
        ({"schema": "other", "dialect": "sqlite"}, "main"),
        ({"name": ""}, "is no name"),
    ],
)
def test_a_wrong_layout_is_refused(options, message):
    with pytest.raises(ExportError, match=message):
        Table(**{"name": "events", **options})


def test_values_that_a_column_cannot_hold_are_refused_by_event(tmp_path, con, old):
    rows = plain(ROWS)
    rows[4] = replace(rows[4], row=replace(rows[4].row, data_text='{"n":"\\\\\\u0000"}'))
    new = events_of(con, "new", rows)
    with pytest.raises(ExportError, match=r"b version 2 \(Added\): it holds \\u0000"):
        change_set(old, new, Table("events", json="jsonb"), tmp_path / "c.sql")
    change_set(old, new, Table("events", json="json"), tmp_path / "c.sql")
    rows[4] = replace(rows[4], row=replace(rows[4].row, data_text='{"n":"\\\\u0000"}'))  # a backslash, then u0000
    change_set(old, events_of(con, "new", rows), Table("events", json="jsonb"), tmp_path / "d.sql")


@given(st.one_of(hostile_texts(), st.text(st.characters(exclude_categories=["Cs"]))))
def test_literals_of_sqlite_are_the_text(text):
    with sqlite3.connect(":memory:") as con:
        made = literal(text, "sqlite")
        assert "\0" not in made
        assert con.execute(f"select {made}").fetchall() == [(text,)]

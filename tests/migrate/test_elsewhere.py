from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import esbench as es
from esbench.migrate import Migration, MigrationError, drop_events, rename_type
from esbench.migrate.private import elsewhere as module
from esbench.migrate.private.leaks import GATE, Leak
from esbench.migrate.steps.privacy import forget, mask, pseudonymise, pseudonymise_ids, redact

KEY = b"a key that nobody else has: 7f1b"
ANN = "ann@example.org"
STEPS = [
    pseudonymise("/customer/email", key=KEY),
    pseudonymise_ids(key=KEY),
    mask("/card", keep=4, where="event_type <> 'Left'"),
    redact("/user", metadata=True),
]


def orders(bench: es.Bench, n: int = 40) -> es.Log:
    """Orders of a few customers, whose ids are their addresses."""
    rows = []
    for at in range(n):
        address = f"{('ann', 'bob', 'cleo')[at % 3]}@example.org"
        data = {"customer": {"email": address}, "card": f"411111111111{at:04}", "total": 7}
        rows.append(
            {
                "position": at + 1,
                "stream_id": address,
                "version": at // 3 + 1,
                "event_id": f"event-{at:06}",
                "event_type": "Placed" if at % 5 else "Viewed",
                "recorded_at": f"2026-01-01T00:00:{at % 60:02}Z",
                "data": json.dumps(data).replace('"total": 7', '"total": 7.10'),
                "metadata": json.dumps({"user": address, "causation_id": f"event-{max(at - 1, 0):06}"}),
            }
        )
    return bench.load(pd.DataFrame(rows), "orders")


@pytest.fixture
def bench(tmp_path: Path) -> es.Bench:
    bench = es.open(tmp_path / "shop.duckdb")
    orders(bench)
    return bench


def beside(bench: es.Bench) -> list[str]:
    """The files beside a bench's own."""
    assert bench.path is not None
    return sorted(path.name for path in Path(bench.path).parent.iterdir() if not path.name.startswith("shop.duckdb"))


def everything(path: Path) -> str:
    """All that a bench file shows, as text."""
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute("select schema_name, table_name from duckdb_tables() order by all").fetchall()
        rows = [con.sql(f'select * from "{schema}"."{table}"').to_arrow_table().to_pylist() for schema, table in tables]
    return repr((tables, rows))


def test_a_private_migration_goes_into_a_fresh_file(bench, tmp_path):
    target = tmp_path / "private.duckdb"
    run = bench["orders"].dry_run(Migration("m", [*STEPS, drop_events("Viewed")]))
    made = bench.apply(run, "orders_private", to=target, accept=run.failed)
    assert made.name == "orders_private"
    assert bench.logs()["log"].tolist() == ["orders"]
    assert [name for name in beside(bench) if not name.endswith(".wal")] == ["private.duckdb"]
    assert made.events()["position"].tolist() == [n for n in range(1, 41) if (n - 1) % 5]
    assert set(made.sql("select data->>'/total' as t from events")["t"]) == {"7.1"}
    assert made.sql("select data::varchar as d from events")["d"].str.endswith('"total": 7.10}').all()
    again = run.events.df("select * exclude (stream_key) from events order by position")
    pd.testing.assert_frame_equal(made.source.df("select * exclude (stream_key) from events order by position"), again)
    steps = made.lineage(made.streams()["stream_id"][0], 1)
    assert steps["log"].tolist() == ["orders of another bench", "orders_private"]
    made.source.con.close()
    with es.open(target) as private:
        assert private.logs()["log"].tolist() == ["orders_private"]
        assert private.rejects.empty
        assert "looked for in every table" in private.logs()["notes"][0]
        counted = private.con.execute("select count(*) from esbench.dropped").fetchall()
        assert counted == [(8,)]
    text, held = everything(target), target.read_bytes()
    for value in ("@example.org", "event-0000", "411111111111", KEY.decode(), KEY.hex()):
        assert value not in text
        assert value.encode() not in held
    assert (
        bench.con.execute("select database_name from duckdb_databases() where path like '%esbench-part%'").fetchall()
        == []
    )


def test_without_a_file_a_private_migration_is_refused_with_the_way_out(bench):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    with pytest.raises(MigrationError, match=r'to="private.duckdb"'):
        bench.apply(run, "orders_private")
    assert bench.logs()["log"].tolist() == ["orders"]


def test_any_migration_may_go_elsewhere_under_any_name(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", [rename_type("Placed", "Opened")]))
    made = bench.apply(run, "orders", to=tmp_path / "other.duckdb")
    assert made.types()["event_type"].tolist() == ["Opened", "Viewed"]
    assert len(made.lineage(ANN, 1)) == 2


def test_a_bench_that_is_only_read_gives_a_private_file(bench, tmp_path):
    bench.close()
    with es.open(tmp_path / "shop.duckdb", read_only=True) as opened:
        run = opened["orders"].dry_run(Migration("m", STEPS))
        assert len(opened.apply(run, "o", to=tmp_path / "a.duckdb").events()) == 40


def test_a_file_that_is_there_is_left_alone(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    (tmp_path / "there.duckdb").write_text("mine")
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "nowhere.duckdb")
    for bad in ("there.duckdb", "shop.duckdb", "no/folder.duckdb"):
        with pytest.raises(es.EsbenchError):
            bench.apply(run, "x", to=tmp_path / bad)
    for wrong in ("", 7):
        with pytest.raises(es.EsbenchError):
            bench.apply(run, "x", to=wrong)
    assert (tmp_path / "there.duckdb").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if "part" in path.name]


def test_ids_of_the_source_are_kept_on_request_alone(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    made = bench.apply(run, "o", to=tmp_path / "with.duckdb", keep_source_ids=True)
    rows = made.source.con.execute("select * from esbench.source_ids order by position").fetchall()
    assert rows == [(n + 1, f"event-{n:06}") for n in range(40)]
    with pytest.raises(MigrationError, match="goes with to="):
        bench.apply(run, "o", keep_source_ids=True)
    made = bench.apply(run, "o", to=tmp_path / "without.duckdb")
    tables = made.source.con.execute(
        "select table_name from duckdb_tables() where table_name = 'source_ids'"
    ).fetchall()
    assert tables == []


def test_a_value_that_is_left_stops_the_apply_unless_that_gate_is_accepted(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", [mask("/customer/email")]))
    assert GATE in run.failed
    with pytest.raises(MigrationError, match=GATE) as error:
        bench.apply(run, "o", to=tmp_path / "a.duckdb")
    assert ANN not in str(error.value)
    made = bench.apply(run, "o", to=tmp_path / "b.duckdb", accept=GATE)
    assert f"accepted that some are left ({GATE})" in made.facts.notes[-1]
    assert not (tmp_path / "a.duckdb").exists()


@pytest.mark.parametrize("where", ["in_events", "in_tables", "in_bytes"])
def test_what_the_proof_finds_afterwards_leaves_no_file(bench, tmp_path, monkeypatch, where):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    monkeypatch.setattr(module, where, lambda *_, **__: iter([Leak("s", 1, 1, "/note", "step 1: /a")]))
    with pytest.raises(MigrationError, match="Nothing was made"):
        bench.apply(run, "o", to=tmp_path / "a.duckdb")
    assert beside(bench) == []


def test_a_value_in_the_name_of_the_log_is_found_in_its_tables(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    with pytest.raises(MigrationError, match="name of a table"):
        bench.apply(run, f"orders of {ANN}", to=tmp_path / "a.duckdb")
    assert beside(bench) == []


def test_what_is_kept_of_the_migration_has_no_original(bench, tmp_path):
    steps = [*STEPS, forget(ANN, "/customer/email", streams=ANN), redact("/card", where=f"stream_id = '{ANN}'")]
    run = bench["orders"].dry_run(Migration(f"forget {ANN}", steps, note=f"asked for by {ANN}"))
    made = bench.apply(run, "o", to=tmp_path / "a.duckdb")
    ((text, name),) = made.source.con.execute("select text, migration from esbench.derived").fetchall()
    assert "asked for by […]" in text
    assert "stream_id = '[…]'" in text
    assert name == "forget […]"
    made.source.con.close()
    assert ANN not in everything(tmp_path / "a.duckdb")


def test_the_bytes_of_a_file_are_searched(tmp_path):
    from esbench.migrate.private.leaks import in_bytes
    from esbench.migrate.private.originals import Originals

    file = tmp_path / "f"
    noise = random.Random(3).randbytes(1 << 21)
    file.write_bytes(noise + "Zoë Ågren".encode() + noise + json.dumps("Zoë Ågren").encode() + noise)
    values = Originals(["Zoë Ågren", "not in there"], [False, False], [0, 0], ["step 1: /name"], {})
    places = [leak.place for leak in in_bytes(file, values)]
    assert places == [f"byte {1 << 21:,} of the file", f"byte {(1 << 22) + 12:,} of the file"]


def test_events_that_are_appended_are_taken_in_by_extending(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    more = pd.DataFrame(
        {
            "position": [99],
            "stream_id": [ANN],
            "version": [15],
            "event_type": ["Left"],
            "data": ["{}"],
            "event_id": ["z"],
        }
    )
    bench.load(more, "orders", append=True)
    with pytest.raises(MigrationError, match="extend"):
        bench.apply(run, "o", to=tmp_path / "a.duckdb")
    made = bench.apply(run.extend(), "o", to=tmp_path / "a.duckdb")
    assert made.types()["event_type"].tolist() == ["Placed", "Viewed", "Left"]


def test_what_a_killed_run_left_behind_is_cleared(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    for name in (".a.duckdb.esbench-part", ".a.duckdb.esbench-part.wal"):
        (tmp_path / name).write_bytes(b"torn")
    bench.apply(run, "o", to=tmp_path / "a.duckdb").source.con.close()
    assert beside(bench) == ["a.duckdb"]


def test_a_file_that_another_process_writes_is_not_cleared(bench, tmp_path):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    part = tmp_path / ".a.duckdb.esbench-part"
    code = f"import duckdb; con = duckdb.connect({str(part)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(es.EsbenchError, match="another process"):
            bench.apply(run, "o", to=tmp_path / "a.duckdb")
        assert part.exists()
        other.communicate("\n")


def test_two_runs_at_a_time_for_one_file_are_not_mixed(bench, tmp_path, monkeypatch):
    run = bench["orders"].dry_run(Migration("m", STEPS))
    original: Any = module._write

    def write(*args: Any, **options: Any) -> None:
        with pytest.raises(es.EsbenchError, match="just now"):
            bench.apply(run, "o", to=tmp_path / "a.duckdb")
        original(*args, **options)

    monkeypatch.setattr(module, "_write", write)
    assert len(bench.apply(run, "o", to=tmp_path / "a.duckdb").events()) == 40

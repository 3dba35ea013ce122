"""Log tables: every record an event or a reject, as recorded, and later batches above what is there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import esbench as es
from esbench import payload
from esbench.errors import SourceError
from tests.json_texts import VALUES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@pytest.fixture
def bench():
    with es.open() as opened:
        yield opened


def write(path: Path, rows) -> Path:
    """Rows as JSON lines; text stands as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def event(stream="s", version: object = 1, **more):
    return {"stream_id": stream, "version": version, "event_type": "T", **more}


def ids(log, *names):
    return [tuple(getattr(event, name) for name in names) for event in log]


def is_clustered(log) -> bool:
    """Whether the physical order of a log's table is folding order."""
    wrong = log.source.rows(
        """
        select count(*) from (
            select (stream_key, version, position) as here, lag((stream_key, version, position)) over () as before
            from events
        ) where here <= before
        """
    )
    return bool(wrong == [(0,)])


FAULTS = {
    "torn": lambda line: line[:-1],
    "no object": lambda line: "7",
    "twice": lambda line: line[:-1] + ',"version":1}',
    "no stream": lambda line: line.replace('"stream_id":', '"stream_id":null,"was":'),
    "no type": lambda line: line.replace('"event_type":"T"', '"event_type":null'),
    "seven": lambda line: line.replace('"version":', '"version":"seven","was":'),
    "half": lambda line: line.replace('"version":', '"version":7.5,"was":'),
    "true": lambda line: line.replace('"version":', '"version":true,"was":'),
    "padded": lambda line: line.replace('"version":', '"version":"007","was":'),
    "huge": lambda line: line.replace('"version":', '"version":9223372036854775808,"was":'),
    "no time": lambda line: line.replace('"recorded_at":"', '"recorded_at":"x'),
}


@st.composite
def records(draw):
    """Lines of a file: (line, what the event is), None for a line that is no event."""
    found: list[tuple[str, tuple[str, int, str] | None]] = []
    for _ in range(draw(st.integers(1, 12))):
        stream, version, data = draw(TEXT), draw(st.integers(-(2**63), 2**63 - 1)), draw(VALUES)
        shown = json.dumps(stream, ensure_ascii=draw(st.booleans()))
        line = f'{{"stream_id":{shown},"version":{version},"event_type":"T"'
        line += f',"recorded_at":"2026-01-01T00:00:00Z","data":{data}}}'
        fault = draw(st.none() | st.none() | st.sampled_from(sorted(FAULTS)))
        if fault is not None:
            found.append((FAULTS[fault](line), None))
        else:
            found.append((line, None if payload.check(line) else (stream, version, data)))
    return found


@given(records())
def test_input_is_events_and_rejects_exactly(tmp_path_factory, given_records):
    path = write(tmp_path_factory.mktemp("records") / "a.jsonl", [line for line, _ in given_records])
    expected = [(n, *known) for n, (_, known) in enumerate(given_records, start=1) if known is not None]
    refused = [(n, line) for n, (line, known) in enumerate(given_records, start=1) if known is None]
    with es.open() as bench:
        if not expected:
            with pytest.raises(SourceError, match=r"a.jsonl:1: "):
                bench.load(path)
            assert bench.logs().empty
            return
        log = bench.load(path)
        got = ids(log, "position", "stream_id", "version", "data_text")
        assert sorted(got) == expected
        order = {stream: n for n, stream in reversed([(row[0], row[1]) for row in expected])}
        assert got == sorted(expected, key=lambda row: (order[row[1]], row[2], row[0]))
        assert is_clustered(log)
        rejects = log.rejects
        assert list(zip(rejects["line"], rejects["raw"], strict=True)) == [(n, line.strip(" ")) for n, line in refused]
        assert rejects["reason"].notna().all()
        assert (rejects["source"] == str(path)).all()


@given(records())
def test_strict_stops_at_the_first_reject_and_leaves_nothing(tmp_path_factory, given_records):
    path = write(tmp_path_factory.mktemp("records") / "a.jsonl", [line for line, _ in given_records])
    first = next((n for n, (_, known) in enumerate(given_records, start=1) if known is None), None)
    with es.open() as bench:
        if first is None:
            assert len(bench.load(path, strict=True)) == len(given_records)
            return
        with pytest.raises(SourceError) as raised:
            bench.load(path, strict=True)
        # Where no line can be read, the reader itself has nothing to give.
        assert str(raised.value).startswith(f"{path}:{first}: ")
        assert bench.logs().empty
        assert bench.rejects.empty
        assert bench.con.execute("select count(*) from duckdb_tables() where schema_name <> 'esbench'").fetchall() == [
            (0,)
        ]


def test_a_reject_names_field_value_and_way_out(bench, tmp_path):
    path = write(tmp_path / "orders.jsonl", [event(), event("t", "seven")])
    with pytest.raises(SourceError) as raised:
        bench.load(path, strict=True)
    assert str(raised.value) == f'{path}:2: "version" is not an integer: "seven" (load(strict=True) stops here)'
    rejects = bench.load(path).rejects
    assert rejects[["line", "record", "reason", "stream_id"]].values.tolist() == [
        [2, 2, '"version" is not an integer: "seven"', "t"]
    ]


# versions


def test_versions_that_are_not_there_are_numbered_in_source_order(bench, tmp_path):
    rows = [{"stream_id": s, "event_type": "T", "event_id": n} for n, s in enumerate("abaab")]
    log = bench.load(write(tmp_path / "a.jsonl", rows))
    assert ids(log, "stream_id", "version", "event_id") == [
        *[("a", 1, "0"), ("a", 2, "2"), ("a", 3, "3")],
        *[("b", 1, "1"), ("b", 2, "4")],
    ]
    assert log.facts.derived_versions
    assert "versions are derived" in repr(log)
    rows = [{"stream_id": s, "event_type": "T", "event_id": n} for n, s in enumerate("bca", start=5)]
    log = bench.load(write(tmp_path / "b.jsonl", rows), "a", append=True)
    assert ids(log, "stream_id", "version", "event_id")[3::3] == [("a", 4, "7"), ("b", 3, "5")]
    assert ids(log, "stream_id", "version")[-1] == ("c", 1)
    assert len(log.streams()) == 3
    first = bench.load(tmp_path / "a.jsonl", "zero", base=0)
    assert ids(first, "version") == [(0,), (1,), (2,), (0,), (1,)]


def test_derived_versions_and_recorded_ones_do_not_mix(bench, tmp_path):
    derived = write(tmp_path / "a.jsonl", [{"stream_id": "s", "event_type": "T"}])
    recorded = write(tmp_path / "b.jsonl", [event()])
    bench.load(derived, "derived")
    bench.load(recorded, "recorded")
    with pytest.raises(SourceError, match="has versions numbered by the loader, this batch records its own"):
        bench.load(recorded, "derived", append=True)
    with pytest.raises(SourceError, match="records versions, this batch has none"):
        bench.load(derived, "recorded", append=True)


@pytest.mark.parametrize(
    ("firsts", "base"), [([0, 0, 1], 0), ([0, 1, 1], 1), ([0, 1], None), ([5, 7], None), ([5, 1], 1), ([-1, 0], 0)]
)
def test_the_base_is_the_commoner_of_0_and_1_among_first_versions(bench, tmp_path, firsts, base):
    path = write(tmp_path / "a.jsonl", [event(f"s{n}", first) for n, first in enumerate(firsts)])
    assert bench.load(path).facts.base == base
    assert bench.load(path, "declared", base=1).facts.base == 1


def test_a_later_batch_may_settle_the_base(bench, tmp_path):
    bench.load(write(tmp_path / "a.jsonl", [event("a", 5)]))
    assert bench.load(write(tmp_path / "b.jsonl", [event("b", 0)]), "a", append=True).facts.base == 0


# positions


def test_recorded_positions_are_kept(bench, tmp_path):
    rows = [event("a", n, position=p) for n, p in enumerate((7, 3, 2**62))]
    log = bench.load(write(tmp_path / "a.jsonl", rows))
    assert ids(log, "position") == [(7,), (3,), (2**62,)]
    assert log.facts.positions == "recorded"


def test_lines_are_positions_of_one_file(bench, tmp_path):
    log = bench.load(write(tmp_path / "a.jsonl", [event("b"), "torn", event("a"), event("b", 0)]))
    assert ids(log, "stream_id", "position") == [("b", 4), ("b", 1), ("a", 3)]
    assert log.facts.positions == "lines"


def test_positions_of_several_files_are_issued_in_order_of_arrival(bench, tmp_path):
    for name in "ba":
        write(tmp_path / f"{name}.jsonl", [event(name, 1), event(name, 2)])
    log = bench.load(str(tmp_path / "*.jsonl"), "both")
    assert ids(log, "stream_id", "position") == [("a", 1), ("a", 2), ("b", 3), ("b", 4)]
    assert log.facts.positions == "issued"
    assert "several inputs have no order among them" in repr(log)


def test_positions_that_repeat_are_issued_and_the_sources_own_kept(bench, tmp_path):
    path = write(tmp_path / "a.jsonl", [event("a", n, global_position=p) for n, p in enumerate((7, 7, 5))])
    log = bench.load(path)
    assert ids(log, "position", "source_position") == [(1, "7"), (2, "7"), (3, "5")]
    assert log.facts.positions == "issued"
    assert '"global_position" repeats (kept in source_position)' in repr(log)


def test_a_position_that_only_a_reject_repeats_is_recorded(bench, tmp_path):
    log = bench.load(write(tmp_path / "a.jsonl", [event("a", 1, position=1), event("a", "x", position=1)]))
    assert log.facts.positions == "recorded"


def test_the_sources_own_position_is_kept_as_text(bench, tmp_path):
    log = bench.load(write(tmp_path / "a.jsonl", [event(source_position="C/4711", position=9)]))
    assert ids(log, "position", "source_position") == [(9, "C/4711")]


# times


def test_business_time_stands_in_for_recorded_time_and_the_log_says_so(bench, tmp_path):
    time = "2026-01-01T00:00:00+00:00"
    log = bench.load(write(tmp_path / "a.jsonl", [event(occurred_on="2026-01-01")]))
    assert [(e.recorded_at.isoformat(), e.occurred_at.isoformat()) for e in log] == [(time, time)]
    assert '"occurred_on" stands in for recorded_at' in repr(log)
    both = bench.load(write(tmp_path / "b.jsonl", [event(occurred_at="2026-01-01", timestamp="2026-01-02")]))
    assert [e.recorded_at.day for e in both] == [2]
    assert "stands in" not in repr(both)


@pytest.mark.parametrize(
    ("clock", "value"),
    [("s", 1717761600.5), ("ms", 1717761600500), ("us", "1717761600500000"), ("ticks", 638533584005000000)],
)
def test_clocks_are_declared(bench, tmp_path, clock, value):
    log = bench.load(write(tmp_path / "a.jsonl", [event(timestamp=value)]), time=clock)
    assert [e.recorded_at.isoformat() for e in log] == ["2024-06-07T12:00:00.500000+00:00"]


def test_digits_that_are_cut_are_counted_among_events(bench, tmp_path):
    rows = [event(version=n, timestamp=f"2026-01-01T00:00:00.123456{n}Z") for n in (0, 7, "x")]
    log = bench.load(write(tmp_path / "a.jsonl", [*rows, event(version="x", timestamp=rows[1]["timestamp"])]))
    assert [e.recorded_at.microsecond for e in log] == [123456, 123456]
    assert [n for n in log.facts.notes if "finer" in n] == ['"timestamp" is finer than microseconds in 1 records: cut']


# columns


def test_columns_map_fields_and_expressions(bench, tmp_path):
    row = {"Kind": "Order", "Key": 7, "Seq": "3", "What": {"name": "Made"}, "Body": "1.10"}
    path = write(tmp_path / "a.jsonl", [row])
    columns = {
        "stream_id": "kind || '-' || key",
        "version": "seq::int + 1",
        "event_type": "What->>'name'",
        "data": "Body",
        "metadata": "'{\"body\":' || \"Body\" || '}'",
    }
    log = bench.load(path, columns=columns)
    assert ids(log, "stream_id", "version", "event_type", "data_text", "metadata_text") == [
        ("Order-7", 4, "Made", '"1.10"', '{"body":"1.10"}')
    ]


def test_names_may_be_swapped(bench, tmp_path):
    columns = {"stream_id": "event_id", "event_id": "stream_id", "version": "position", "position": "version"}
    log = bench.load(write(tmp_path / "a.jsonl", [event("a", 5, event_id="b", position=7)]), columns=columns)
    assert ids(log, "stream_id", "event_id", "version", "position") == [("b", "a", 7, 5)]


def test_a_payload_field_keeps_its_text_and_an_expression_sees_text_form(bench, tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [
            '{"stream_id":"s","event_type":"T","x": {"n" :1.10, "n":1} }',
            *[f'{{"stream_id":"s","event_type":"T","x":{value}}}' for value in ('"\\u00e9"', "1e400", "null")],
        ],
    )
    assert [e.data_text for e in bench.load(path, columns={"data": "x"})] == [
        '{"n" :1.10, "n":1}',
        '"\\u00e9"',
        "1e400",
        "null",
    ]
    shown = bench.load(path, "shown", columns={"event_id": "x || ''"})
    assert ids(shown, "event_id") == [('{"n" :1.10, "n":1}',), ("é",), ("1e400",), (None,)]


def test_json_in_a_json_string_is_kept_and_the_load_says_how_to_unwrap_it(bench, tmp_path):
    inner = '{"n": 1.10}'
    path = write(tmp_path / "a.jsonl", [event(payload=inner), event(version=2, payload={"n": 2}), event(version=3)])
    log = bench.load(path)
    assert [e.data_text for e in log] == [json.dumps(inner), '{"n": 2}', None]
    (hint,) = [note for note in log.facts.notes if "unwraps" in note]
    assert hint.startswith('"payload" is a string that holds JSON in 1 records')
    assert hint.endswith("""columns={'data': '"payload"::varchar'} unwraps it""")
    unwrapped = bench.load(path, "unwrapped", columns={"data": '"payload"::varchar'})
    assert [e.data_text for e in unwrapped] == [inner, '{"n": 2}', None]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"version": "nope"}, 'Referenced column "nope" not found'),
        ({"version": "row_number() over ()"}, "window"),
        ({"version": "count(*)"}, "aggregates"),
        ({"version": "1 +"}, "syntax error"),
        ({"version": "event_type::int"}, "try_cast gives NULL where cast stops"),
        ({"verson": "version"}, 'Did you mean "version"'),
    ],
)
def test_wrong_columns_are_answered_with_what_is_wrong(bench, tmp_path, columns, said):
    path = write(tmp_path / "a.jsonl", [event()])
    with pytest.raises(SourceError, match="columns: ") as raised:
        bench.load(path, columns=columns)
    assert said in str(raised.value)
    assert bench.logs().empty


HOSTILE = [
    *("record", "problem", "reason", "stream_key", "source", "line", "raw", "first", "last", "earlier", "refused"),
    *("ROWID", "staged", 'a"b', "it's", "ünï 🦆", "x\\ny", "from x; --", "$1", "a{}", "%s", "known", "proven"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_fields_may_be_named_anything(bench, tmp_path, name, kind):
    frame = pd.DataFrame({"stream": ["a", "a", "b"], "version": [1, 2, 1], "type": "T", name: ["1", "2", "{"]})
    path = tmp_path / f"a.{kind}"
    match kind:
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case "csv":
            frame.to_csv(path, index=False)
        case _:
            frame.to_parquet(path)
    quoted = '"' + name.replace('"', '""') + '"'
    log = bench.load(path, "expression", columns={"data": f"{quoted} || ''"})
    assert [e.data_text for e in log] == ["1", "2"]
    assert log.rejects["stream_id"].tolist() == ["b"]
    log = bench.load(path, "ids", columns={"event_id": name, "stream_id": f"{quoted} || stream"})
    assert ids(log, "event_id", "stream_id") == [("1", "1a"), ("2", "2a"), ("{", "{b")]


def test_names_that_differ_in_case_only_do_not_disturb(bench, tmp_path):
    log = bench.load(write(tmp_path / "a.jsonl", [event(data={"n": 1}, Data=2, VERSION=9)]))
    assert ids(log, "version", "data_text") == [(1, '{"n": 1}')]


# later batches


def test_a_later_batch_is_added_with_its_streams_and_rejects(bench, tmp_path):
    first = write(tmp_path / "a.jsonl", [event("a", 1, position=1), event("b", 1, position=2), "torn"])
    rows = [event("b", 2, position=3), event("c", 1, position=5), event("a", 2, position=4)]
    later = write(tmp_path / "b.jsonl", ["worn", *rows])
    log = bench.load(first)
    assert is_clustered(log)
    log = bench.load(later, "a", append=True)
    assert ids(log, "stream_id", "version", "position") == [
        *[("a", 1, 1), ("a", 2, 4)],
        *[("b", 1, 2), ("b", 2, 3)],
        ("c", 1, 5),
    ]
    assert log.rejects["raw"].tolist() == ["torn", "worn"]
    assert not log.source.ordered
    assert bench.logs()[["events", "streams", "rejects"]].values.tolist() == [[5, 3, 2]]
    assert log.source.rows("select distinct stream_key, stream_id from events order by all") == [
        *[(1, "a"), (2, "b"), (3, "c")]
    ]
    assert log.events("b")["version"].tolist() == [1, 2]
    assert len(log.check().findings.query("severity == 'error'")) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=2, max_size=14), st.integers(1, 13))
def test_batches_give_what_one_load_gives(tmp_path_factory, rows, cut):
    cut = min(cut, len(rows) - 1)
    folder = tmp_path_factory.mktemp("batches")
    lines = [event(stream, version, position=n, data=n) for n, (stream, version) in enumerate(rows)]
    with es.open() as bench:
        whole = bench.load(write(folder / "whole.jsonl", lines))
        bench.load(write(folder / "first.jsonl", lines[:cut]), "parts")
        parts = bench.load(write(folder / "rest.jsonl", lines[cut:]), "parts", append=True)
        assert list(parts) == list(whole)
        assert parts.facts == whole.facts
        pd.testing.assert_frame_equal(parts.streams(), whole.streams())
        pd.testing.assert_frame_equal(parts.check().findings, whole.check().findings)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_recorded_positions_that_overlap_are_refused(bench, tmp_path, position):
    log = bench.load(write(tmp_path / "a.jsonl", [event("a", n, position=n) for n in (1, 2)]))
    later = write(tmp_path / "b.jsonl", [event("b", 1, position=9), event("b", 2, position=position)])
    with pytest.raises(SourceError, match=f'begins at position {position}, "a" reaches 2: they overlap'):
        bench.load(later, "a", append=True)
    assert len(bench["a"]) == len(log) == 2


def test_a_batch_without_the_logs_kind_of_positions_is_refused(bench, tmp_path):
    bench.load(write(tmp_path / "a.jsonl", [event("a", 1, position=1)]))
    with pytest.raises(SourceError, match="this batch has none: load it as another log"):
        bench.load(write(tmp_path / "b.jsonl", [event("a", 2)]), "a", append=True)
    with pytest.raises(SourceError, match='"position" repeats in this batch'):
        bench.load(write(tmp_path / "c.jsonl", [event("a", n, position=7) for n in (2, 3)]), "a", append=True)


def test_issued_positions_go_on(bench, tmp_path):
    bench.load(write(tmp_path / "a.jsonl", [event("a", 1), event("a", 2)]))
    log = bench.load(write(tmp_path / "b.jsonl", [event("b", 1), event("a", 3)]), "a", append=True)
    assert ids(log, "stream_id", "position") == [("a", 1), ("a", 2), ("a", 4), ("b", 3)]
    assert log.facts.positions == "lines"
    write(tmp_path / "c.jsonl", [event("c", 1)])
    write(tmp_path / "d.jsonl", [event("d", 1)])
    log = bench.load([tmp_path / "c.jsonl", tmp_path / "d.jsonl"], "a", append=True)
    assert log.facts.positions == "issued"


def test_a_file_that_is_loaded_already_is_refused_under_any_name(bench, tmp_path):
    first = write(tmp_path / "a.jsonl", [event()])
    (tmp_path / "copy.jsonl").write_bytes(first.read_bytes())
    bench.load(first)
    for path in (first, tmp_path / "copy.jsonl"):
        with pytest.raises(SourceError, match=r'is in "a" already \(as .*a.jsonl, loaded 20..-..-..\): nothing was'):
            bench.load(path, "a", append=True)
    assert len(bench["a"]) == 1


@pytest.mark.parametrize("pack", [None, gzip.compress])
def test_a_file_that_has_merely_grown_is_refused(bench, tmp_path, pack):
    path, later = tmp_path / "a.jsonl", b'{"stream_id":"s","version":2,"event_type":"T"}\n'
    write(path, [event()])
    head = path.read_bytes() if pack is None else pack(path.read_bytes())
    path.write_bytes(head)
    bench.load(path)
    path.write_bytes(head + (later if pack is None else pack(later)))
    with pytest.raises(SourceError, match=rf'begins with what is in "a" already.*tail -c \+{len(head) + 1}'):
        bench.load(path, "a", append=True)
    path.write_bytes(later if pack is None else pack(later))
    assert len(bench.load(path, "a", append=True)) == 2


def test_what_a_log_is_said_to_be_holds_for_its_batches(bench, tmp_path):
    first = write(tmp_path / "a.jsonl", [event("a", 3, occurred_at="2026-01-01")])
    log = bench.load(first, base=1, truncated=["a*"], keys={"causation_id": "/causedBy"})
    later = write(tmp_path / "b.jsonl", [event("b", 0)])
    with pytest.raises(SourceError, match="are declared when a log is first loaded"):
        bench.load(later, "a", append=True, base=0)
    facts = bench.load(later, "a", append=True).facts
    assert (facts.base, facts.truncated, facts.keys["causation_id"]) == (1, ("a*",), "/causedBy")
    assert facts.notes == (*log.facts.notes, "no recorded_at: as_of= finds nothing and no clock is checked")


def test_append_makes_a_log_that_is_not_there(bench, tmp_path):
    assert len(bench.load(write(tmp_path / "a.jsonl", [event()]), append=True)) == 1


def test_a_batch_that_fails_leaves_the_log_as_it_was(bench, tmp_path):
    bench.load(write(tmp_path / "a.jsonl", [event("a", 1)]))
    before = (list(bench["a"]), bench.logs().to_dict("list"))
    with pytest.raises(SourceError, match="strict"):
        bench.load(write(tmp_path / "b.jsonl", [event("b", 1), "torn"]), "a", append=True, strict=True)
    assert (list(bench["a"]), bench.logs().to_dict("list")) == before


# columns that are there in name only, and what may help


@pytest.mark.parametrize("name", ["position", "version"])
def test_a_column_that_every_record_lacks_is_absent(bench, tmp_path, name):
    rows = [{**event(version=n), name: None} for n in (1, 2)]
    log = bench.load(write(tmp_path / "all.jsonl", rows))
    assert (len(log), log.facts.derived_versions, log.facts.positions) == (2, name == "version", "lines")
    assert f'"{name}" is missing in every record: taken as if it were not there' in log.facts.notes
    log = bench.load(write(tmp_path / "some.jsonl", [*rows, {**event(), name: 3}]))
    assert log.rejects["reason"].tolist() == [f'"{name}" is missing'] * 2


def test_messages_of_a_stream_have_their_position_as_version(bench, tmp_path):
    path = tmp_path / "messages.csv"
    path.write_text("global_position,position,stream_name,type\n5,0,a,T\n7,0,b,T\n9,1,a,T\n")
    log = bench.load(path)
    assert ids(log, "stream_id", "version", "position") == [("a", 0, 5), ("a", 1, 9), ("b", 0, 7)]
    assert log.facts.positions == "recorded"


def test_empty_quoted_values_are_missing(bench, tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text('"stream_id","version","event_type","recorded_at","data"\n"a","1","T","",""\n"a","","T","",""\n')
    log = bench.load(path)
    assert ids(log, "version", "recorded_at", "data_text") == [(1, None, None)]
    assert log.rejects["reason"].tolist() == ['"version" is missing']


def test_a_field_that_may_be_the_version_is_asked_about(bench):
    log = bench.load(pd.DataFrame({"stream_id": ["s"], "event_type": ["T"], "my_revision_no": [1]}), "x")
    assert any(
        """(is "my_revision_no" the version? columns={'version': 'my_revision_no'})""" in n for n in log.facts.notes
    )


def test_a_reject_has_a_version_only_where_it_is_an_integer(bench, tmp_path):
    wrong = [event(version=version) for version in (3.6, "1e1", "01", True)]
    log = bench.load(write(tmp_path / "a.jsonl", [*wrong, event(version=7, event_type=None), event()]))
    assert [None if pd.isna(version) else version for version in log.rejects["version"]] == [None] * 4 + [7]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recorded_at": 1717754400}, 'time="s"'),
        ({"recorded_at": "1717754400.5"}, 'time="s"'),
        ({"recorded_at": 1717754400123}, 'time="ms"'),
        ({"recorded_at": 1717754400123456}, 'time="us"'),
        ({"recorded_at": 1717754400123456789}, 'time="ns"'),
        ({"recorded_at": 638534000000000000}, 'time="ticks"'),
        (
            {"recorded_at": "2024-W23-5"},
            '"recorded_at" is not a time that is read (such as 2024-06-07T12:00:00Z): "2024-',
        ),
        ({"schema_version": "1.0"}, "columns={'schema_version': None} leaves it out"),
        ({"schema_version": "v2"}, "takes its first number"),
    ],
)
def test_a_load_without_events_says_what_may_help(bench, tmp_path, fields, said):
    with pytest.raises(SourceError) as raised:
        bench.load(write(tmp_path / "a.jsonl", [event(**fields)]))
    assert said in str(raised.value)


def test_the_remedies_for_schema_versions_work(bench):
    rows = pd.DataFrame([event(schema_version="v2")])
    number = "regexp_extract(\"schema_version\", '\\d+')"
    assert ids(bench.load(rows, "number", columns={"schema_version": number}), "schema_version") == [(2,)]
    assert ids(bench.load(rows, "out", columns={"schema_version": None}), "schema_version") == [(None,)]


def test_what_is_no_json_is_said_once(bench):
    log = bench.load(pd.DataFrame([event(data="{"), event(data="[NaN]"), event(data="1")]), "x")
    assert log.rejects["reason"].tolist() == [
        '"data" is not JSON: it ends too early (character 2)',
        '"data" is not JSON: NaN (character 2)',
    ]

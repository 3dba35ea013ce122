"""Files: every record staged as it stands or refused with a reason, and every bad file named with the way out."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from esbench import payload
from esbench.errors import SourceError
from esbench.sources.columns import Columns
from esbench.sources.files import json_text, stage
from esbench.sources.staged import Staged
from esbench.sources.template import Form, Template
from tests.json_texts import BROKEN, CONTENTS, DUMPED, SCALARS, SPACES, STRINGS, VALUES, oracle

GIVEN = Columns(
    {"stream_id": "stream_id", "version": "version", "event_type": "type", "data": "data", "metadata": "meta"}
)
NAMES: dict[str, Form] = {"stream_id": "text", "version": "text", "type": "text", "data": "json", "meta": "json"}
EVENT = '{"stream_id":"a","version":1,"type":"T","data":{"n":1},"meta":null}'
PLAIN = (EVENT + "\n").encode()
ALL = Columns()


def staged(path, columns=GIVEN):
    con = duckdb.connect()
    return con, stage(con, path, columns=columns)


def rows(con: duckdb.DuckDBPyConnection, found: Staged) -> list[tuple[Any, ...]]:
    return con.execute(f"select * from {found.table} order by 1").fetchall()


def expected(text: str) -> tuple[str | None, ...] | None:
    """The fields of NAMES that a record should give; None where it must be refused."""
    found = oracle(text.strip(" \t\n\r\v\f"))
    if found is None:
        return None
    return tuple(
        found.get(name) if form == "json" or name not in found else payload.text_form(found[name])
        for name, form in NAMES.items()
    )


def agrees(con: duckdb.DuckDBPyConnection, found: Staged, texts: list[str]) -> None:
    """Every record is as the oracle has it, in order, or has a reason, and its raw text is found again."""
    got = rows(con, found)
    position = {name: at for at, name in enumerate(found.fields, start=2)}
    assert [row[0] for row in got] == list(range(1, len(texts) + 1))
    for row, text in zip(got, texts, strict=True):
        want = expected(text)
        if want is None:
            assert row[1], text
            assert all(value is None for value in row[2:])
        else:
            assert row[1] is None, text
            assert tuple(row[position[n]] if n in position else None for n in NAMES) == want
    again = list(found.raw([row[0] for row in got]))
    assert [raw.record for raw in again] == [row[0] for row in got]
    assert [raw.text for raw in again] == [text.strip(" \t\n\r\v\f") for text in texts]


def members(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.tuples(SCALARS, SCALARS, SCALARS, values, values).map(list)


@st.composite
def files(draw: st.DrawFn) -> list[str]:
    """Records of one way of writing, hostile values among them, and some that are written otherwise."""
    between = draw(st.sampled_from([",", ", ", " , ", ",\t"]))
    colon = draw(st.sampled_from([":", ": ", " : "]))
    names = draw(st.permutations([*NAMES, "other"]))
    good = {"stream_id": '"a"', "version": "1", "type": '"T"', "data": '{"n":1}', "meta": "{}", "other": "0"}
    texts = [EVENT]
    for _ in range(draw(st.integers(1, 6))):
        values = dict(good)
        for name in draw(st.lists(st.sampled_from(names), max_size=3)):
            values[name] = draw(VALUES | BROKEN | STRINGS if draw(st.booleans()) else DUMPED.map(json.dumps))
        keys = list(names)
        change = draw(st.integers(0, 12))
        if change == 0:
            keys.append(draw(st.sampled_from(names)))
        elif change == 1:
            keys.remove(draw(st.sampled_from(keys)))
        parts = [f'"{key}"{colon}{values[key]}' for key in keys]
        if change == 2:
            parts.insert(draw(st.integers(0, 6)), draw(st.builds("{}:{}".format, STRINGS, VALUES)))
        if change == 3:
            parts[0] = parts[0].replace('"', '"\\u0073' if keys[0] == "stream_id" else '"\\u0064', 1)
        after = draw(SPACES) + ("," if change == 4 else "")
        texts.append("{" + draw(SPACES if change == 5 else st.just("")) + between.join(parts) + after + "}")
    return texts


@given(files(), st.data())
def test_lines_are_staged_as_they_stand_or_refused(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\n", "\n\f\n"])) for _ in texts]
    path.write_bytes(b"".join((text + end).encode() for text, end in zip(texts, ends, strict=True)))
    con, found = staged(path)
    agrees(con, found, texts)
    lines = path.read_bytes().split(b"\n")
    for raw in found.raw(range(1, len(texts) + 1)):
        assert raw.line is not None
        assert lines[raw.line - 1].strip(b" \t\r\f").decode() == raw.text


@given(files())
def test_elements_of_an_array_are_staged_as_they_stand_or_refused(tmp_path_factory, texts):
    # An element that leaves a quote or a bracket open is no element: then the array is refused, or read otherwise.
    texts = [text for text in texts if payload.check(text) is None]
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text("[" + " ,\n\n ".join(texts) + "\n]\n", encoding="utf-8", newline="")
    con, found = staged(path)
    agrees(con, found, texts)
    for raw, text in zip(found.raw(range(1, len(texts) + 1)), texts, strict=True):
        assert raw.line == 1 + 2 * texts.index(text) or texts.count(text) > 1


@given(files())
def test_a_template_proves_only_what_the_decoder_reads_alike(texts):
    con = duckdb.connect()
    texts = [
        text for text in texts if "\r" not in text and con.execute("select json_valid(?)", [text]).fetchall()[0][0]
    ]
    readable = [text for text in texts if oracle(text) is not None]
    assume(len(readable) > 1)
    con.execute("create table t (line varchar)")
    con.executemany("insert into t values (?)", [[text] for text in texts])
    for sample in (readable[1:], readable[-1:]):
        template = Template.infer(con, sample, NAMES)
        if template is not None:
            got = con.execute(template.select("t", NAMES)).fetchall()
            for row, text in zip(got, texts, strict=True):
                if row[-2]:
                    want = expected(text)
                    assert want is not None, text
                    assert row[:-2] == want
                else:
                    assert row[-1] == text


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_regular_lines_are_proven_in_sql(separators):
    con = duckdb.connect()
    found = [
        {
            "stream_id": f"s{n}",
            "version": n,
            "type": "T",
            "data": {"a": [n, 1.5], "b": "x, y: z"},
            "meta": {"u": None},
            "z": "\\",
        }
        for n in range(50)
    ]
    texts = [json.dumps(event, separators=separators) for event in found]
    template = Template.infer(con, texts, NAMES)
    assert template is not None
    con.execute("create table t as select unnest($texts) as line", {"texts": texts})
    got = con.execute(f"select count(*) filter (proven) from ({template.select('t', NAMES)})").fetchall()
    # The backslash is written as an escape, which a text piece cannot prove where it is read as text.
    assert got == [(0,)]
    clean = [text.replace("\\\\", "/") for text in texts]
    con.execute("create table u as select unnest($texts) as line", {"texts": clean})
    template = Template.infer(con, clean, NAMES)
    assert template is not None
    assert con.execute(f"select count(*) filter (proven) from ({template.select('u', NAMES)})").fetchall() == [(50,)]


def test_lines_of_a_second_kind_get_a_template_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(json_text, "_WORTHWHILE", 10)
    monkeypatch.setattr(json_text, "_SAMPLE", 20)
    first = [f'{{"stream_id":"a","version":{n},"type":"T","data":{{"x":1.50}}}}' for n in range(40)]
    second = [f'{{"stream_id":"b","type":"T","version":{n},"data":{{"x": "é"}},"meta":{{}}}}' for n in range(60)]
    odd = ['{"version":1,"version":2}', '{"stream_id":"\\u0000"}']
    texts = [*first, *second, *odd, *first]
    (tmp_path / "a.jsonl").write_text("\n".join(texts), encoding="utf-8")
    decoded: list[int] = []
    monkeypatch.setattr(json_text._Reader, "_decode", _spy(json_text._Reader._decode, decoded))
    con, found = staged(tmp_path / "a.jsonl")
    agrees(con, found, texts)
    assert set(decoded) == {101, 102}


def _spy(method, calls):
    def called(self, batch, record, text):
        calls.append(record)
        return method(self, batch, record, text)

    return called


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, lambda data: zstandard.compress(data) * 1])
def test_packed_files_give_what_plain_ones_give(tmp_path, name, pack):
    texts = [EVENT, '{"stream_id": "b", "data": {"x": 1.10, "x": 2}}', "[1]", '{"data":NaN}'] * 700
    plain = "\n".join(texts) if name == "a.jsonl" else "[" + ",\n".join(texts) + "]"
    path = tmp_path / name
    path.write_bytes(pack(plain.encode()))
    con, found = staged(path)
    agrees(con, found, texts)
    data = path.read_bytes()
    assert [(i.name, i.size, i.digest) for i in found.inputs] == [
        (str(path), len(data), hashlib.sha256(data).hexdigest())
    ]


def test_several_members_of_one_packed_file_are_read_on(tmp_path):
    for pack in (gzip.compress, zstandard.compress):
        (tmp_path / "a").write_bytes(pack(PLAIN) + pack(PLAIN))
        con, found = staged(tmp_path / "a")
        agrees(con, found, [EVENT, EVENT])


def test_temporary_files_are_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(PLAIN))
    staged(tmp_path / "a.jsonl.zst")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(PLAIN * 9999)[:-10])
    with pytest.raises(SourceError):
        staged(tmp_path / "b.jsonl.gz")
    assert list((tmp_path / "t").iterdir()) == []


def test_files_of_a_glob_are_numbered_through_by_name(tmp_path):
    for name, count in (("b", 2), ("a", 3), ("c*[x]", 1)):
        (tmp_path / f"{name}.jsonl").write_text(f"\n{EVENT.replace('T', name)}\nbad\n" * count)
    con, found = staged(str(tmp_path / "*.jsonl"))
    assert not found.in_order
    assert [(row[0], row[found_at(found, "type")]) for row in rows(con, found) if row[1] is None] == [
        (1, "a"), (3, "a"), (5, "a"), (7, "b"), (9, "b"), (11, "c*[x]"),
    ]  # fmt: skip
    raws = list(found.raw([2, 8, 9, 12]))
    assert [(r.record, Path(r.source).name, r.line, r.text[:3]) for r in raws] == [
        (2, "a.jsonl", 3, "bad"), (8, "b.jsonl", 3, "bad"), (9, "b.jsonl", 5, '{"s'), (12, "c*[x].jsonl", 3, "bad"),
    ]  # fmt: skip
    assert staged([tmp_path / "b.jsonl", tmp_path / "a.jsonl"])[1].inputs[0].name == str(tmp_path / "b.jsonl")


def found_at(found: Staged, name: str) -> int:
    return list(found.fields).index(name) + 2


def test_a_file_that_duckdb_refuses_keeps_its_place_among_others(tmp_path):
    bad = '{"stream_id":"\\ud800"}'
    texts = [EVENT] * 5_000
    for name, found in (("a", texts), ("b", [*texts, bad, EVENT]), ("c", texts)):
        (tmp_path / f"{name}.json").write_text("[" + ",\n".join(found) + "]")
    con, found = staged(str(tmp_path / "*.json"))
    agrees(con, found, [*texts, *texts, bad, EVENT, *texts])
    assert [(raw.source[-6:], raw.line) for raw in found.raw([10_001, 10_003])] == [("b.json", 5_001), ("c.json", 1)]


def test_a_name_rarer_than_the_sample_is_still_found(tmp_path, monkeypatch):
    monkeypatch.setattr(json_text, "_SAMPLE", 3)
    late = EVENT.replace('"meta":null', '"metadata":{"u":1}')
    (tmp_path / "a.jsonl").write_text("\n".join([EVENT] * 9 + [late, EVENT]))
    con, found = staged(tmp_path / "a.jsonl", ALL)
    assert [row[found_at(found, "metadata")] for row in rows(con, found)][9] == '{"u":1}'
    assert len(found.inputs) == 1


def test_names_that_are_not_loaded_are_said(tmp_path):
    (tmp_path / "a.jsonl").write_text(EVENT.replace('"meta"', '"shard"'))
    _, found = staged(tmp_path / "a.jsonl", ALL)
    assert "shard" in found.notes[0]
    assert "shard" not in found.fields


@pytest.mark.parametrize("depth", [900, 3_000, 300_000])
def test_deep_nesting_is_kept(tmp_path, depth):
    deep = "[" * depth + "]" * depth
    for name, colon in (("a.jsonl", ":"), ("b.jsonl", ": ")):
        (tmp_path / name).write_text(f'{EVENT}\n{{"stream_id":"a","data"{colon}{deep}}}\n{EVENT}\n')
        con, found = staged(tmp_path / name)
        assert [row[found_at(found, "data")] for row in rows(con, found)] == ['{"n":1}', deep, '{"n":1}']


def test_a_record_of_many_megabytes_is_kept(tmp_path):
    for name, text in (("a.jsonl", "{}\n{}\n{}"), ("a.json", "[{},{},{}]")):
        texts = [EVENT, '{"stream_id":"a","data":"' + "x" * 20_000_000 + '"}', EVENT]
        parts = text.split("{}")
        (tmp_path / name).write_text(parts[0] + "".join(a + b for a, b in zip(texts, parts[1:], strict=True)))
        con, found = staged(tmp_path / name)
        agrees(con, found, texts)


@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n \t\n"])
def test_byte_order_mark_and_blank_lines_before_are_no_records(tmp_path, before):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + before + PLAIN + b"bad\r\n")
    con, found = staged(tmp_path / "a.jsonl")
    got = rows(con, found)
    assert [row[1] is None for row in got] == [True, False]
    assert [raw.line for raw in found.raw([1, 2])] == [1 + before.count(b"\n"), 2 + before.count(b"\n")]


def test_undecodable_bytes_are_shown_escaped(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(PLAIN + b'{"stream_id":"\xff"}\n')
    con, found = staged(tmp_path / "a.jsonl")
    assert rows(con, found)[1][1] == "not UTF-8: byte 0xff (byte 15)"
    assert next(found.raw([2])).text == '{"stream_id":"\\xff"}'


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(PLAIN)
    original = json_text._Reader._decode_rest

    def grow(self, start):
        with path.open("ab") as handle:
            handle.write(PLAIN)
        original(self, start)

    monkeypatch.setattr(json_text._Reader, "_decode_rest", grow)
    with pytest.raises(SourceError, match="changed while it was read"):
        staged(path)


big = PLAIN * 5_000


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.jsonl", b"", "empty: nothing to load"),
        ("blank.jsonl", b"\n \n", "empty: nothing to load"),
        ("empty.csv", b"", "empty: nothing to load"),
        ("empty.gz", gzip.compress(b""), "empty: nothing to load"),
        ("array.json", b" [ ] ", "empty array"),
        ("cut.jsonl.gz", gzip.compress(big)[:-9], "truncated"),
        ("cut.jsonl.zst", zstandard.compress(big)[:-9], "truncated"),
        ("half.jsonl.zst", zstandard.compress(os.urandom(400_000).hex().encode())[:150_000], "truncated"),
        ("tail.jsonl.gz", gzip.compress(big) + b"garbage", "damaged gzip data"),
        ("tail.jsonl.zst", zstandard.compress(big) + b"garbage", "damaged zstd data"),
        ("not.jsonl.gz", PLAIN, "not packed"),
        ("cut.json", b'[{"a":1},\n{"a":2}', "cut.json:2: truncated"),
        ("cut2.json", b'[{"a":1},\n{"a":', "cut2.json:2: truncated"),
        ("tail.json", b'[{"a":1}]\n{"a":2}', "tail.json:2: more text"),
        ("comma.json", b'[{"a":1},\n]', "comma.json:2: a comma"),
        ("two.json", b'[{"a":1},\n,{"a":1}]', "two.json:2: a comma"),
        ("text.txt", b"hello\nworld", "text.txt:1: not JSON"),
        ("late.txt", b"\n\nhello", "late.txt:3: not JSON"),
        ("words.jsonl", b"\nhello\nworld", "words.jsonl:2: not JSON"),
        ("pretty.json", b'{\n  "a": 1\n}', "pretty.json:1: not JSON"),
        ("binary.bin", b"ab\0\1\2", "binary.bin: binary (byte 3"),
        ("utf16.csv", "a,b".encode("utf-16"), "UTF-16"),
        ("broken.parquet", b"PAR1....", "broken.parquet: damaged Parquet"),
        ("twice.csv", b"a,b,A\nx,y,z", 'twice.csv:1: two columns for one name: "a"'),
        ("clash.jsonl", b'{"stream_id":1,"$record":{}}', '"$record"'),
    ],
    # Packed bytes carry the time, and would make other names in every worker.
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_bad_file_is_named_with_what_is_wrong(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    columns = Columns({"data": "$record"}) if name.startswith("clash") else ALL
    with pytest.raises(SourceError) as caught:
        staged(tmp_path / name, columns)
    assert str(caught.value).startswith(str(tmp_path)) or name.startswith("clash")
    assert said in str(caught.value)


def test_paths_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(SourceError, match="a directory; name its files"):
        staged(tmp_path)
    with pytest.raises(SourceError, match="no file matches"):
        staged(str(tmp_path / "*.jsonl"))
    with pytest.raises(SourceError, match="there is no such file"):
        staged(tmp_path / "a.jsonl")
    with pytest.raises(SourceError, match="no file is named"):
        staged([])
    (tmp_path / "a.jsonl").write_bytes(PLAIN)
    (tmp_path / "b.csv").write_text("a,b\nx,y\n")
    with pytest.raises(SourceError, match=r"b\.csv: csv, but .*a\.jsonl is lines"):
        staged([tmp_path / "a.jsonl", tmp_path / "b.csv"])


def test_no_permission_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(PLAIN)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(Path, "open", _refuse)
    with pytest.raises(SourceError, match="no permission"):
        staged(path)


def _refuse(*_args, **_kwargs):
    raise PermissionError(13, "Permission denied")


CELLS = st.one_of(
    CONTENTS.filter(lambda text: "\r" not in text), st.sampled_from(["", "a,b", 'say "x"', "a\nb", " x ", "1"])
)


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_csv_is_staged_as_the_standard_reader_has_it(tmp_path_factory, table, delimiter, end, mark):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([["stream_id", "version", "type"], *table])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + out.getvalue().encode())
    con, found = staged(path, Columns({"stream_id": "stream_id", "version": "version", "event_type": "type"}))
    assert [list(row[2:]) for row in rows(con, found)] == table
    assert [row[:2] for row in rows(con, found)] == [(n + 1, None) for n in range(len(table))]
    for raw, row in zip(found.raw(range(1, len(table) + 1)), table, strict=True):
        assert next(csv.reader(io.StringIO(raw.text, newline=""), delimiter=delimiter)) == row


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["", "a", '"a"', '""', '"a,b"', '"a""b"', '"a\nb"', 'a"b', '"a"b', '"', " ", "é", "\r", '"\r"']
            ),
            max_size=4,
        ),
        max_size=6,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_csv_read_by_duckdb_is_csv_read_here(tmp_path_factory, table, end):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    text = end.join(["stream_id,version,type", *(",".join(cells) for cells in table), "x,y,z"])
    path.write_bytes(text.encode())
    con, found = staged(path, Columns({"stream_id": "stream_id", "version": "version", "event_type": "type"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esbench.sources.files.delimited._has_lone_returns", lambda path: True)
        slow, slowly = staged(path, Columns({"stream_id": "stream_id", "version": "version", "event_type": "type"}))
    assert rows(con, found) == rows(slow, slowly)


def test_csv_without_a_header_has_numbered_columns(tmp_path):
    (tmp_path / "a.csv").write_text('a,1,"{""x"": 1}"\n\nb,2,\n')
    columns = Columns({"stream_id": "column0", "version": "column1", "event_type": "column2"})
    con, found = staged(tmp_path / "a.csv", columns)
    assert rows(con, found) == [(1, None, "a", "1", '{"x": 1}'), (2, None, "b", "2", None)]


def test_csv_records_that_do_not_fit_are_refused_with_their_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b'stream_id,version,type\n\na,1,"x\ny"\nb,2\nc,3,\xff\nd,4,"x"y\ne,5,"open\nf,6,T\n'
    )
    con, found = staged(tmp_path / "a.csv", ALL)
    assert [(row[0], row[1]) for row in rows(con, found)] == [
        (1, None),
        (2, "2 values where there are 3 columns"),
        (3, "not UTF-8: byte 0xff (byte 5)"),
        (4, "text behind a closing quote (character 8)"),
        (5, "a quote is never closed (character 5)"),
        (6, None),
    ]
    assert [(raw.line, raw.text) for raw in found.raw([1, 2, 3, 6])] == [
        (3, 'a,1,"x\ny"'), (5, "b,2"), (6, "c,3,\\xff"), (9, "f,6,T"),
    ]  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_parquet_is_staged_as_it_is_typed(tmp_path, pack):
    table = pa.table(
        {"stream_id": ["a", "b"], "version": pa.array([1, 2], pa.int64()), "type": ["T", "T"], "x": [1, 2]}
    )
    for name in ("a", "b"):
        pq.write_table(table, tmp_path / "plain")
        (tmp_path / f"{name}.parquet").write_bytes(pack((tmp_path / "plain").read_bytes()))
    con, found = staged(str(tmp_path / "*.parquet"), ALL)
    assert found.fields == {"stream_id": "VARCHAR", "version": "BIGINT", "type": "VARCHAR"}
    assert rows(con, found) == [
        (1, None, "a", 1, "T"),
        (2, None, "b", 2, "T"),
        (3, None, "a", 1, "T"),
        (4, None, "b", 2, "T"),
    ]
    assert [(raw.record, Path(raw.source).name, raw.line) for raw in found.raw([2, 3])] == [
        (2, "a.parquet", None), (3, "b.parquet", None),
    ]  # fmt: skip
    assert len(found.inputs) == 2


def test_parquet_files_whose_types_differ_are_refused(tmp_path):
    pq.write_table(pa.table({"stream_id": ["a"], "version": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"stream_id": ["a"], "version": ["1"]}), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r'b\.parquet: "version" is VARCHAR here and BIGINT'):
        staged(str(tmp_path / "*.parquet"), ALL)


def test_lines_stay_in_order_over_many_threads(tmp_path):
    count = 300_000
    with (tmp_path / "a.jsonl").open("w") as handle:
        for n in range(count):
            handle.write(
                f'{{"stream_id":"s{n % 7}","version":{n},"type":"T"}}\n' if n % 1000 else f'{{"version":"{n}"}}\n'
            )
    con, _ = staged(tmp_path / "a.jsonl", ALL)
    assert con.execute('select count(*), count(*) filter (version::bigint = "$record" - 1) from staged').fetchall() == [
        (count, count)
    ]
    assert [
        key for key, _ in groupby(sorted(row[0] for row in con.execute('select "$record" from staged').fetchall()))
    ] == list(range(1, count + 1))

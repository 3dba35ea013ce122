from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.errors import SourceError
from esbench.sources import git
from esbench.sources.columns import Columns
from esbench.sources.staged import RECORD, Staged

Tree = dict[str, tuple[str, str]]  # stream id -> mode, blob

GITLINK = "160000"
SUBMODULE = "1" * 40


class Repository:
    """A repository to write to with git itself; its clock goes on by a minute a commit."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.commits = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str | bytes, stdin: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        identity = {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Løvelace",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Grace Hopper",
            "GIT_COMMITTER_EMAIL": "grace@example.org",
        }
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**clean, **identity, **(environment or {})},
            input=stdin,
            capture_output=True,
            check=True,
        ).stdout

    def write(self, name: str | bytes, content: bytes) -> None:
        path = os.path.join(os.fsencode(self.path), os.fsencode(name))  # noqa: PTH118 - a path of bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(content)

    def commit(self, subject: str | bytes, *options: str) -> str:
        self.git("add", "--all")
        self.commits += 1
        written, committed = (f"2024-03-01T{hour:02}:{self.commits:02}:00 +0200" for hour in (10, 12))
        dates = {"GIT_AUTHOR_DATE": written, "GIT_COMMITTER_DATE": committed}
        self.git("commit", "--quiet", "--allow-empty", *options, "-m", subject, environment=dates)
        return self.tip()

    def tip(self, ref: str = "HEAD") -> str:
        return self.git("rev-parse", ref).decode().strip()

    def first_parents(self) -> list[str]:
        return self.git("rev-list", "--first-parent", "--reverse", "HEAD").decode().split()

    def tree(self, commit: str) -> Tree:
        """What ``git ls-tree -r`` says, names that are not UTF-8 as git quotes them."""
        entries = self.git("ls-tree", "-r", "-z", commit).split(b"\0")[:-1]
        names = self.git("-c", "core.quotePath=true", "ls-tree", "-r", "--name-only", commit)
        tree: Tree = {}
        for entry, plain in zip(entries, names.decode().splitlines(), strict=True):
            head, name = entry.split(b"\t", 1)
            mode, _, blob = head.decode().split()
            try:
                stream_id = plain if name.startswith(b'"') else name.decode()
            except UnicodeDecodeError:
                stream_id = plain
            tree[stream_id] = (mode, blob)
        return tree


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def rows(con: duckdb.DuckDBPyConnection, staged: Staged) -> list[dict]:
    found = con.execute(
        f"select * replace (recorded_at::varchar as recorded_at, occurred_at::varchar as occurred_at)"
        f" from {staged.table} order by {RECORD}"
    )
    names = [column[0] for column in found.description or ()]
    events = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    for event in events:
        event["data"], event["metadata"] = json.loads(event["data"]), json.loads(event["metadata"])
    return events


def load(con: duckdb.DuckDBPyConnection, place: Path | str) -> list[dict]:
    return rows(con, git.stage(con, f"git:{place}", columns=Columns()))


def folded(events: list[dict], commits: list[str]) -> dict[str, Tree]:
    """The tree after each commit: the plain fold."""
    trees: dict[str, Tree] = {}
    tree: Tree = {}
    by_commit: dict[str, list[dict]] = {}
    for event in events:
        by_commit.setdefault(event["metadata"]["commit_id"], []).append(event)
    assert set(by_commit) <= set(commits)
    for commit in commits:
        for event in by_commit.get(commit, []):
            data, name = event["data"], event["stream_id"]
            old_mode, old_blob = tree.get(name, (None, None))
            assert (data["old_mode"], data["old_blob"]) == (old_mode, old_blob)
            if event["event_type"] == "FileDeleted":
                assert data["mode"] is data["blob"] is None
                del tree[name]
            else:
                assert (event["event_type"] == "FileAdded") == (old_mode is None)
                tree[name] = (data["mode"], data["blob"])
        trees[commit] = dict(tree)
    return trees


def assert_history_is_exact(events: list[dict], repository: Repository) -> None:
    commits = repository.first_parents()
    assert folded(events, commits) == {commit: repository.tree(commit) for commit in commits}
    order = [(commits.index(event["metadata"]["commit_id"]), event["stream_id"]) for event in events]
    assert [commit for commit, _ in order] == sorted(commit for commit, _ in order)
    assert [event["$record"] for event in events] == list(range(1, len(events) + 1))
    seen: dict[str, int] = {}
    for event in events:
        seen[event["stream_id"]] = seen.get(event["stream_id"], 0) + 1
        assert event["version"] == seen[event["stream_id"]]
        assert event["position"] == event["$record"]
    assert len({event["event_id"] for event in events}) == len(events)


NAMES = [
    "plain.txt",
    "white space.txt",
    "tab\there",
    "new\nline",
    '"quoted"',
    'in"side',
    "back\\slash",
    "'; drop table events; --",
    "<script>alert(1)</script>",
    "café.txt",
    "cafe\u0301.txt",
    "日本/語.txt",
    "@at",
    ":colon",
    "-dash",
    "1\t2\tcounts",
    "\x01\x7f",
    "a/b/c",
    "a.b",
    "a-b",
]
BYTES = [b"latin\xe9.txt", b"\xff\xfe", b"surrogate\xed\xa0\x80", b'"\xe9\t\n\\"']


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("story"))
    folder = repository.path
    repository.write("readme.md", b"one\ntwo\n")
    repository.write("run.sh", b"#!/bin/sh\n")
    repository.write("picture.bin", b"\x00\x01\x02")
    repository.write("turns", b"into a link\n")
    repository.commit("the root")
    (folder / "run.sh").chmod(0o755)
    repository.write("readme.md", b"one\nthree\nfour\n")
    repository.commit("mode and content")
    repository.commit("nothing")
    (folder / "readme.md").rename(folder / "README.md")
    repository.write("picture.bin", b"\x00\x03")
    repository.commit("a rename")
    (folder / "turns").unlink()
    (folder / "turns").symlink_to("README.md")
    (folder / "hangs").symlink_to("/no/such/place")
    repository.commit("a link")
    repository.git("checkout", "--quiet", "-b", "side")
    repository.write("side.txt", b"side\n")
    repository.commit("side, first")
    repository.write("side.txt", b"side\nmore\n")
    repository.commit("side, second")
    repository.git("checkout", "--quiet", "main")
    repository.write("main.txt", b"main\n")
    repository.commit("main goes on")
    repository.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
    repository.write("main.txt", b"changed by the merge\n")
    repository.commit("the merge")
    (folder / "side.txt").unlink()
    repository.commit("gone")
    repository.write("side.txt", b"back\n")
    repository.commit("and back")
    for name in [*map(os.fsencode, NAMES), *BYTES]:
        repository.write(name, b"odd\n")
    repository.commit("odd names")
    for name in map(os.fsencode, NAMES):
        repository.write(name, b"odder\n")
    repository.commit("odd names, changed")
    (folder / "a.b").unlink()
    repository.write("a.b/x", b"file becomes folder\n")
    shutil.rmtree(folder / "a")
    repository.write("a", b"folder becomes file\n")
    repository.commit("file and folder")
    repository.git("rm", "--quiet", "hangs")
    repository.git("update-index", "--add", "--cacheinfo", f"{GITLINK},{SUBMODULE},module")
    repository.git("update-index", "--add", "--cacheinfo", f"{GITLINK},{SUBMODULE},turns")
    (folder / "turns").unlink()
    (folder / "turns").mkdir()
    (folder / "module").mkdir()
    repository.write(".gitmodules", b'[submodule "m"]\n\tpath = module\n\turl = ./m\n\tignore = all\n')
    repository.commit("submodules")
    repository.git("update-index", "--cacheinfo", f"{GITLINK},{'2' * 40},module")
    repository.commit("submodule moves on")
    repository.git("tag", "v1")
    return repository


def test_folding_up_to_every_commit_gives_its_tree(con, story):
    assert_history_is_exact(load(con, story.path), story)


def test_an_event_says_what_changed(con, story):
    events = {(event["stream_id"], event["version"]): event for event in load(con, story.path)}

    def change(stream_id: str, version: int) -> tuple:
        event = events[stream_id, version]
        data = event["data"]
        return event["event_type"], data["old_mode"], data["mode"], data["lines_added"], data["lines_removed"]

    assert change("run.sh", 1) == ("FileAdded", None, "100644", 1, 0)
    assert change("run.sh", 2) == ("FileModified", "100644", "100755", 0, 0)
    assert events["run.sh", 2]["data"]["blob"] == events["run.sh", 2]["data"]["old_blob"]
    assert change("readme.md", 2) == ("FileModified", "100644", "100644", 2, 1)
    assert change("readme.md", 3) == ("FileDeleted", "100644", None, 0, 3)
    assert change("README.md", 1) == ("FileAdded", None, "100644", 3, 0)
    assert change("picture.bin", 1) == ("FileAdded", None, "100644", None, None)
    assert change("picture.bin", 2) == ("FileModified", "100644", "100644", None, None)
    assert change("turns", 2)[:3] == ("FileTypeChanged", "100644", "120000")
    assert change("turns", 3)[:3] == ("FileTypeChanged", "120000", GITLINK)
    assert change("module", 2)[:3] == ("FileModified", GITLINK, GITLINK)
    assert change("side.txt", 1) == ("FileAdded", None, "100644", 2, 0)
    assert change("side.txt", 2) == ("FileDeleted", "100644", None, 0, 2)
    assert change("side.txt", 3) == ("FileAdded", None, "100644", 1, 0)
    assert change("main.txt", 2) == ("FileModified", "100644", "100644", 1, 1)


def test_an_event_says_who_and_when(con, story):
    event = next(event for event in load(con, story.path) if event["metadata"]["subject"] == "the merge")
    commit = event["metadata"]["commit_id"]
    assert event["metadata"] == {
        "commit_id": commit,
        "author": "Ada Løvelace",
        "email": "ada@example.org",
        "committer": "Grace Hopper",
        "subject": "the merge",
        "parents": story.git("rev-parse", f"{commit}^1", f"{commit}^2").decode().split(),
    }
    assert event["occurred_at"] == "2024-03-01 08:09:00+00"
    assert event["recorded_at"] == "2024-03-01 10:09:00+00"
    assert event["stream_type"] == "File"
    assert event["$problem"] is None
    assert event["event_id"] == str(uuid.uuid5(git.NAMESPACE, f"{commit}:{event['stream_id']}"))


def test_names_are_paths_and_other_bytes_stand_as_git_quotes_them(con, story):
    streams = {event["stream_id"] for event in load(con, story.path)}
    assert {name for name in NAMES if name != '"quoted"'} <= streams
    assert {r'"latin\351.txt"', r'"\377\376"', r'"surrogate\355\240\200"', r'"\"\351\t\n\\\""'} <= streams
    assert r'"\"quoted\""' in streams, "an id that begins with a quotation mark is always git's quoted form"


def test_files_of_a_commit_come_in_the_order_of_their_bytes(con, story):
    for subject in ("odd names, changed", "file and folder"):
        streams = [event["stream_id"] for event in load(con, story.path) if event["metadata"]["subject"] == subject]
        assert len(streams) > 3
        plain = [name for name in streams if not name.startswith('"')]
        assert plain == sorted(plain, key=str.encode)


def test_staging_describes_its_table(con, story):
    staged = git.stage(con, f"git:{story.path}", columns=Columns())
    columns = {row[0]: row[1] for row in con.execute(f"describe {staged.table}").fetchall()}
    assert columns.pop("$record") == "BIGINT"
    assert columns.pop("$problem") == "VARCHAR"
    assert columns == {name: kind.replace("JSON", "VARCHAR") for name, kind in staged.fields.items()}
    assert staged.in_order
    assert [(each.name, each.digest) for each in staged.inputs] == [(f"git:{story.path}", story.tip())]
    assert staged.notes == ()


def test_a_record_is_found_again_as_json(con, story):
    staged = git.stage(con, f"git:{story.path}", columns=Columns())
    events = rows(con, staged)
    found = list(staged.raw([1, len(events)]))
    assert [(each.record, each.source, each.line) for each in found] == [
        (1, f"git:{story.path}", None),
        (len(events), f"git:{story.path}", None),
    ]
    for each, event in zip(found, (events[0], events[-1]), strict=True):
        assert json.loads(each.text) == {name: event[name] for name in json.loads(each.text)}


def test_a_ref_ends_the_history(con, story, tmp_path):
    events = load(con, story.path)
    merge = next(event["metadata"]["commit_id"] for event in events if event["metadata"]["subject"] == "gone")
    until = load(con, f"{story.path}@{merge[:12]}^")
    assert until == events[: len(until)]
    assert until[-1]["metadata"]["subject"] == "the merge"
    assert {"side, first", "side, second"} <= {
        event["metadata"]["subject"] for event in load(con, f"{story.path}@side")
    }
    assert load(con, f"{story.path}@v1") == load(con, f"{story.path}@HEAD@{{0}}") == events
    odd = tmp_path / "me@home"
    shutil.copytree(story.path, odd, symlinks=True)
    assert load(con, odd) == load(con, f"{odd}@v1") == events


def test_every_kind_of_checkout_gives_the_same_events(con, story, tmp_path, monkeypatch):
    events = load(con, story.path)
    for name, options in {"bare": ["--bare"], "mirror": ["--mirror"], "shared": ["--shared"]}.items():
        story.git("clone", "--quiet", "--no-checkout", *options, ".", str(tmp_path / name))
        assert load(con, tmp_path / name) == events, name
    story.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "worktree"))
    assert load(con, tmp_path / "worktree") == events
    assert load(con, story.path / "a.b") == events, "a folder of the repository"
    assert load(con, story.path / ".git") == events
    monkeypatch.chdir(story.path)
    assert load(con, ".") == load(con, "") == load(con, "@v1") == events


def test_a_sha256_repository_is_read(con, tmp_path):
    repository = Repository(tmp_path / "long", "--object-format=sha256")
    repository.write("a", b"1\n")
    repository.commit("one")
    repository.write("a", b"2\n")
    repository.commit("two")
    events = load(con, repository.path)
    assert_history_is_exact(events, repository)
    assert len(events[0]["data"]["blob"]) == 64


def test_a_shallow_clone_says_where_its_history_begins(con, story, tmp_path):
    story.git("clone", "--quiet", "--no-checkout", "--depth=3", f"file://{story.path}", str(tmp_path / "few"))
    staged = git.stage(con, f"git:{tmp_path / 'few'}", columns=Columns())
    clone = Repository(tmp_path / "few")
    commits = clone.first_parents()
    assert len(commits) == 3
    assert_history_is_exact(rows(con, staged), clone)
    assert [note for note in staged.notes if "shallow" in note and commits[0][:12] in note]


def test_a_partial_clone_is_read_without_its_blobs_and_without_fetching(con, story, tmp_path):
    place = tmp_path / "partial"
    story.git("config", "uploadpack.allowFilter", "true")
    story.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{story.path}", str(place))
    before = sorted(path.name for path in place.rglob("*"))
    staged = git.stage(con, f"git:{place}", columns=Columns())
    events = rows(con, staged)
    assert_history_is_exact(events, story)
    assert {event["data"]["lines_added"] for event in events} == {None}
    assert [note for note in staged.notes if "partial clone" in note]
    assert sorted(path.name for path in place.rglob("*")) == before


def test_an_old_record_of_blobs_left_behind_does_not_cost_the_counts(con, story, tmp_path):
    whole = tmp_path / "whole"
    story.git("config", "uploadpack.allowFilter", "true")
    story.git("clone", "--quiet", "--bare", "--filter=blob:limit=1g", f"file://{story.path}", str(whole))
    assert list(whole.glob("objects/pack/*.promisor"))
    staged = git.stage(con, f"git:{whole}", columns=Columns())
    assert staged.notes == ()
    assert rows(con, staged) == load(con, story.path)


def test_nothing_of_the_repository_or_the_user_is_run_or_has_a_say(con, story, tmp_path, monkeypatch):
    events = load(con, story.path)
    place = tmp_path / "trap"
    shutil.copytree(story.path, place, symlinks=True)
    trap = Repository(place)
    ran = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> "{ran}"\ncat\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    settings = {
        "core.pager": script,
        "core.fsmonitor": script,
        "core.hooksPath": tmp_path,
        "core.sshCommand": script,
        "core.editor": script,
        "core.quotePath": "false",
        "core.abbrev": 6,
        "core.attributesFile": tmp_path / "attributes",
        "pager.log": script,
        "diff.external": script,
        "diff.renames": "copies",
        "diff.noprefix": "true",
        "diff.orderFile": tmp_path / "order",
        "diff.ignoreSubmodules": "all",
        "diff.algorithm": "patience",
        "diff.trap.command": script,
        "diff.trap.textconv": script,
        "diff.trap.binary": "true",
        "filter.trap.clean": script,
        "filter.trap.smudge": script,
        "filter.trap.process": script,
        "gpg.program": script,
        "log.showSignature": "true",
        "log.date": "human",
        "log.showRoot": "false",
        "log.mailmap": "true",
        "log.follow": "true",
        "format.pretty": "oneline",
        "color.ui": "always",
        "i18n.logOutputEncoding": "latin1",
        "alias.log": f"!{script}",
        "alias.rev-parse": f"!{script}",
        "notes.displayRef": "*",
    }
    user = tmp_path / "home"
    user.mkdir()
    (tmp_path / "order").write_text("*.txt\n")
    (tmp_path / "attributes").write_text("* diff=trap filter=trap\n")
    for name, value in settings.items():
        trap.git("config", name, str(value))
        trap.git("config", "--file", str(user / ".gitconfig"), name, str(value))
    (place / ".gitattributes").write_text("* diff=trap filter=trap -text binary\n")
    (place / ".git" / "info").mkdir(exist_ok=True)
    (place / ".git" / "info" / "attributes").write_text("* diff=trap filter=trap binary\n")
    (place / ".mailmap").write_text("Someone Else <x@example.org> <ada@example.org>\n")
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        shutil.copy(script, tmp_path / hook)
    trap.git("-c", "alias.log=", "replace", story.tip("v1^"), story.tip("v1~3"))
    (place / ".git" / "info" / "grafts").write_text(f"{story.tip()}\n")
    monkeypatch.setenv("HOME", str(user))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_EDITOR", "GIT_ASKPASS"):
        monkeypatch.setenv(name, str(script))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'diff.renames'='copies'")
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    monkeypatch.setenv("GIT_TRACE", "1")
    ran.unlink(missing_ok=True)
    assert load(con, place) == events
    assert not ran.exists(), ran.read_text()


def commit_object(repository: Repository, author: bytes, committer: bytes, rest: bytes) -> str:
    tree = repository.git("rev-parse", "HEAD^{tree}")
    text = b"tree " + tree + b"author " + author + b"\ncommitter " + committer + b"\n" + rest
    name = repository.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text)
    return name.decode().strip()


@pytest.fixture
def small(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "small")
    repository.write("a", b"1\n")
    repository.commit("one")
    return repository


@pytest.mark.parametrize("date", [b"", b"99999999999999999999 +0000", b"253402300800 +0000", b"-1 +0000"])
def test_a_date_that_no_calendar_has_is_left_empty_and_said(con, small, date):
    commit = commit_object(small, b"A <a@b> " + date, b"C <c@d> 1700000000 +0100", b"\nsubject\n")
    staged = git.stage(con, f"git:{small.path}@{commit}", columns=Columns())
    (event,) = rows(con, staged)
    assert event["occurred_at"] is None
    assert event["recorded_at"] == "2023-11-14 22:13:20+00"
    assert [note for note in staged.notes if note.startswith("1 dates")]


def test_names_and_subjects_may_hold_anything(con, small):
    author = b'":\\\tscript\x01 \xe9\xff'
    subject = b"@sub\xed\xa0\x80ject \x1b[31m :000000 0\t0\ta"
    commit = commit_object(small, author + b" <x> 1 +0000", b"\xc3\xa9 <> 2 +0000", b"\n" + subject + b"\n\nbody\n")
    staged = git.stage(con, f"git:{small.path}@{commit}", columns=Columns())
    (event,) = rows(con, staged)
    assert event["metadata"]["author"] == '":\\\tscript\x01 \\xe9\\xff'
    assert event["metadata"]["committer"] == "é"
    assert event["metadata"]["subject"] == "@sub\\xed\\xa0\\x80ject \x1b[31m :000000 0\t0\ta"
    assert [note for note in staged.notes if note.startswith("2 names or subjects")]


def test_a_subject_in_another_encoding_is_read_by_it(con, small):
    commit = commit_object(small, b"\xe9 <> 1 +0000", b"c <> 2 +0000", b"encoding ISO-8859-1\n\ncaf\xe9\n")
    (event,) = load(con, f"{small.path}@{commit}")
    assert (event["metadata"]["author"], event["metadata"]["subject"]) == ("é", "café")


def test_more_changes_than_a_batch_holds_are_all_there(con, small, monkeypatch):
    monkeypatch.setattr(git, "_BATCH_ROWS", 7)
    for number in range(30):
        small.write(f"file {number}", b"x\n")
    small.commit("many")
    assert_history_is_exact(load(con, small.path), small)
    monkeypatch.setattr(git, "_BATCH_CHARACTERS", 1)
    assert_history_is_exact(load(con, small.path), small)


def test_a_load_that_breaks_off_leaves_nothing_behind(con, small, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    def start(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(git, "_batch", interrupt)
    monkeypatch.setattr(subprocess, "Popen", start)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(KeyboardInterrupt):
        load(con, small.path)
    assert started
    assert all(process.poll() is not None for process in started)
    assert list(scratch.iterdir()) == []
    assert con.execute("from duckdb_tables()").fetchall() == []


def test_a_repository_of_empty_commits_has_no_events(con, tmp_path):
    repository = Repository(tmp_path)
    repository.commit("nothing")
    assert load(con, tmp_path) == []


def test_an_empty_repository_is_refused(con, tmp_path):
    Repository(tmp_path)
    with pytest.raises(SourceError, match=r"git:.*: the repository is empty"):
        load(con, tmp_path)


def test_a_head_without_commits_names_a_branch_to_take(con, small):
    small.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    with pytest.raises(SourceError, match=r"HEAD names no commit. Name a branch or tag: git:.*@main"):
        load(con, small.path)


@pytest.mark.parametrize("ref", ["v9", "", "--all", "-h", "^main", "main..main", "main^{tree}", "main:a"])
def test_a_ref_that_is_no_commit_is_refused(con, small, ref):
    with pytest.raises(SourceError, match=r"names no commit\. (Name a branch|Did you mean)|expected commit"):
        load(con, f"{small.path}@{ref}")


def test_a_missing_ref_is_answered_with_the_nearest(con, small):
    with pytest.raises(SourceError, match=r'mian names no commit. Did you mean "main"\?'):
        load(con, f"{small.path}@mian")


def test_what_is_no_repository_is_refused(con, tmp_path):
    with pytest.raises(SourceError, match=r"git:.*: not a git repository"):
        load(con, tmp_path)
    with pytest.raises(SourceError, match=r"git:.*: there is no directory .*nowhere"):
        load(con, tmp_path / "nowhere")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(SourceError, match=r"git:.*: there is no directory .*file"):
        load(con, file)


def test_without_git_the_error_says_so(con, small, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"no git on the PATH; install"):
        load(con, small.path)


@pytest.mark.parametrize("lost", ["HEAD~1:a", "HEAD~1^{tree}", "HEAD~1"])
def test_a_damaged_repository_is_refused_and_leaves_no_table(con, small, lost):
    small.write("a", b"2\n")
    small.commit("two")
    name = small.tip(lost)
    (small.path / ".git" / "objects" / name[:2] / name[2:]).unlink()
    with pytest.raises(SourceError, match=rf"git:.*: git stopped: .*{name}"):
        load(con, small.path)
    assert con.execute("from duckdb_tables()").fetchall() == []
    assert con.execute("from duckdb_views() where not internal").fetchall() == []


CONTENT = st.sampled_from([b"", b"one\n", b"one\ntwo\n", b"\x00binary", b"no newline", b"target"])
PARTS = [b"a", b"a.b", b"a-", b"b", b"\xc3\xa9", b"\xe9", b'"', b"\n", b"\t", b"\\", b" ", b":x", b"@"]
PATH = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(b"/".join)
FILE = st.tuples(PATH, st.sampled_from(["100644", "100755", "120000", GITLINK]), CONTENT)
CHANGE = st.one_of(FILE, FILE, st.tuples(PATH, st.just("deleted"), st.just(b"")))
COMMIT = st.tuples(st.lists(CHANGE, max_size=5), st.integers(0, 5), st.integers(0, 5), st.booleans())


def fast_import(commits: list) -> bytes:
    """Commits whose parents lie up to five back; some have a second one."""
    stream: list[bytes] = []
    for mark, (changes, back, second, empty) in enumerate(commits, 1):
        stream.append(b"commit refs/heads/side\nmark :%d\n" % mark)
        stream.append(b"committer C <c@example.org> %d +0000\ndata 1\nx\n" % (1_700_000_000 + mark))
        parent = mark - 1 - back // 3
        if parent >= 1:
            stream.append(b"from :%d\n" % parent)
            if second and 1 <= mark - 1 - second != parent:
                stream.append(b"merge :%d\n" % (mark - 1 - second))
        else:
            stream[-2] = b"reset refs/heads/side\n" + stream[-2]
        if empty:
            stream.append(b"deleteall\n")
        for path, mode, content in changes:
            quoted = b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'
            if mode == "deleted":
                stream.append(b"D " + quoted + b"\n")
            elif mode == GITLINK:
                stream.append(b"M %s %040x %s\n" % (mode.encode(), len(content) + 1, quoted))
            else:
                stream.append(b"M %s inline %s\n" % (mode.encode(), quoted))
                stream.append(b"data %d\n%s\n" % (len(content), content))
        stream.append(b"\n")
    stream.append(b"reset refs/heads/main\nfrom :%d\n\n" % len(commits))
    return b"".join(stream)


@given(commits=st.lists(COMMIT, min_size=1, max_size=10))
def test_any_history_folds_to_its_trees(commits):
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        repository = Repository(Path(folder), "--bare")
        repository.git("fast-import", "--quiet", stdin=fast_import(commits))
        assert_history_is_exact(load(con, folder), repository)

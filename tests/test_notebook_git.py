"""Notebook 05 on repositories that are not its own: a reader is invited to name one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "notebooks" / "05_git_history.py"
NAMED = "repository = shop  #"


def git(folder, *arguments):
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    settings |= {f"GIT_{role}_{key}": "a@b" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=folder, env=settings, check=True, capture_output=True)


@pytest.fixture
def other(tmp_path):
    """A repository with a picture, a link, a file that is gone, one that became a link, and names that are no words."""
    folder = tmp_path / "other"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "long's.txt").write_text("line\n" * 500)
    (folder / "picture.png").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("long's.txt")
    (folder / "later a link").write_text("no link yet\n")
    git(folder, "add", "--all")
    git(folder, "commit", "-m", "first")
    (folder / "later a link").unlink()
    (folder / "later a link").symlink_to("nowhere")
    (folder / "picture.png").unlink()
    (folder / "größe").write_text("3\n")
    git(folder, "add", "--all")
    git(folder, "commit", "-m", "second")
    return folder


@pytest.mark.parametrize("shallow", [False, True], ids=["whole", "shallow"])
def test_it_runs_on_another_repository_and_finds_its_disk_as_the_log_says(other, tmp_path, shallow):
    repository, files = other, 5
    if shallow:  # what the first commit alone had is not in it
        git(tmp_path, "clone", "--quiet", "--depth", "1", other.as_uri(), "clone")
        repository, files = tmp_path / "clone", 4
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count(NAMED) == 1
    script = tmp_path / "notebook.py"
    script.write_text(text.replace(NAMED, f"repository = {str(repository)!r}  #"), encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{files} of {files} files are as the log says" in done.stdout

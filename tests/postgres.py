"""A PostgreSQL server of the tests' own, from Debian's binaries, on a free loopback port; gone with them."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Postgres", "running"]

_SECONDS = 60


@dataclass(frozen=True)
class Postgres:
    """A server; databases are made as tests ask for them."""

    bin: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self) -> str:
        """The name of a fresh, empty database."""
        name = f"test_{next(self._numbers)}"
        self.psql("postgres", f"create database {name}")
        return name

    def psql(
        self, database: str, sql: str | None = None, *options: str, file: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run SQL, or a file as a user would; by default an error fails the test."""
        given = ["--file", str(file)] if file else ["--command", sql or ""]
        done = subprocess.run(
            [self.bin / "psql", "--no-psqlrc", "--quiet", *options, *self.address(database), *given],
            capture_output=True,
        )
        # Not as text, which would make one character of a carriage return and a line feed.
        out, err = done.stdout.decode(), done.stderr.decode("utf-8", "replace")
        if check:
            assert done.returncode == 0, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def address(self, database: str) -> list[str]:
        """Where a database is, as options of psql."""
        return ["--host", "127.0.0.1", "--port", str(self.port), "--username", "postgres", "--dbname", database]


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a server, and stop it. Raises FileNotFoundError where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise FileNotFoundError("/usr/lib/postgresql/*/bin/initdb")
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="esbench-postgres-"))
    try:
        # It refuses to run as root.
        other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if other:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        settings = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(
            [*other, programs / "initdb", "-D", data, *settings], check=True, capture_output=True, cwd=folder
        )
        process, port = _start([*other, programs / "postgres", "-D", data, "-F"], programs, folder)
        try:
            yield Postgres(programs, port)
        finally:
            process.send_signal(signal.SIGINT)  # disconnects whoever is there
            process.wait(_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(command: list[str | Path], programs: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The server on a free port; another one where somebody else took it first."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-p", str(port), "-k", ""], stdout=log, stderr=log, cwd=folder
            )
        for _ in range(_SECONDS * 10):
            ready = subprocess.run([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)])
            if process.poll() is not None:
                break
            if ready.returncode == 0:
                return process, port
            time.sleep(0.1)
        else:
            process.kill()
    raise RuntimeError((folder / "log").read_text())

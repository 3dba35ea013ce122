"""The command line: the same verbs, on a log of a bench or straight from a file."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from esbench import demo, output, show
from esbench.arguments import parser
from esbench.bench import Bench, open_bench
from esbench.errors import EsbenchError, NameTaken
from esbench.log import Log
from esbench.migrate.apply import accepted
from esbench.named import migration, named

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    top = parser()
    given = top.parse_args(arguments)
    if given.command is None:
        top.print_help(sys.stderr)
        return 2
    try:
        _choose_encoding(given)
        status = _COMMANDS[given.command](given)
        sys.stdout.flush()
        return status
    except (EsbenchError, duckdb.Error) as error:
        lines = [show.line(text, width=2_000) for text in str(error).splitlines() if text.strip()]
        print("esbench:", "\n".join(lines), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("esbench: interrupted; nothing was changed", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone, as `| head` does; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _load(given: Namespace) -> int:
    if given.bench is None:
        raise EsbenchError("load writes into a bench file: say which with --bench FILE (it is made if it is not there)")
    one = len(given.source) == 1
    if given.name is None and not (one and not _is_glob(given.source[0])):
        raise EsbenchError("several files have no one name: say what the log is called with --name NAME")
    with open_bench(given.bench) as bench:
        source = given.source[0] if one else given.source
        try:
            log = bench.load(source, given.name, append=given.append, strict=given.strict, **_reading(given))
        except NameTaken:
            raise NameTaken(
                f"{given.bench} has a log of that name: --append adds a later batch to it, --name NAME loads another"
            ) from None
        print(log)
        rejects = log.rejects
        if len(rejects):
            print(show.plain(rejects[["source", "line", "reason"]], width=_width(), limit=10))
    return 0


def _streams(given: Namespace) -> int:
    with _opened(given) as bench:
        rows = _log(bench, given).streams()
    if given.last is not None:
        rows = rows.sort_values("last_position").tail(given.last)
    _print(rows, given, shown=["stream_id", "stream_type", "events", "last_version", "last_recorded_at"])
    return 0


def _events(given: Namespace) -> int:
    as_table = given.format == "table"
    last = 21 if as_table and given.last is None else given.last
    with _opened(given) as bench:
        rows = _log(bench, given).events(given.stream, **_where(given), last=last)
    cut = as_table and given.last is None and len(rows) > 20
    ids = [] if given.stream else ["stream_id"]
    _print(
        rows.tail(20) if cut else rows,
        given,
        shown=["position", *ids, "version", "event_type", "recorded_at", "data"],
        raw=("data", "metadata"),
    )
    if cut:
        _say("these are the last 20 events: --last N shows more, --format json or csv all")
    return 0


def _find(given: Namespace) -> int:
    with _opened(given) as bench:
        found = _log(bench, given).find(given.value, limit=given.limit)
    _print(_around(found, given.value) if given.format == "table" else found, given)
    if found.attrs["more"]:
        _say(f"there are more than {given.limit:,}: --limit N shows more")
    return 0


def _around(found: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """The same with long values cut to what stands around the one that was looked for."""
    starts = [max(0, value.find(wanted) - 8) for value in found["value"]]
    around = [f"{'…' if start else ''}{value[start:]}" for start, value in zip(starts, found["value"], strict=True)]
    return found.assign(value=around)


def _state(given: Namespace) -> int:
    aggregate = named(given.aggregate)
    with _opened(given) as bench:
        log = _log(bench, given)
        state = log.state(aggregate, given.stream, **_where(given))
        blame = log.blame(aggregate, given.stream, **_where(given))
    if given.format == "json":
        facts = {name: getattr(state, name) for name in ("stream_id", "version", "position", "events", "trust")}
        print(output.json_text({**facts, "broken": state.broken, "state": state.value}))
        return 0
    if given.format == "table":
        print(show.wrapped(repr(state), _width(), indent="  "), end="\n\n")
    _print(blame, given, shown=["path", "value", "version", "event_type", "recorded_at"])
    return 0


def _history(given: Namespace) -> int:
    aggregate = named(given.aggregate)
    with _opened(given) as bench:
        rows = _log(bench, given).history(aggregate, given.stream, **_where(given))
    if given.format == "table":
        rows["changed"] = [", ".join(map(repr, changed)) for changed in rows["changed"]]
    _print(rows, given, shown=["version", "event_type", "changed", "trust", "broken"])
    return 0


def _check(given: Namespace) -> int:
    aggregates = [named(name) for name in given.aggregate]
    with _opened(given) as bench:
        report = _log(bench, given).check(*aggregates, only=given.only, skip=given.skip)
    if given.format == "table":
        print(report)
    else:
        text = {"json": report.to_json, "csv": report.to_csv, "junit": report.to_junit}[given.format]()
        print(text.removesuffix("\n"))
    return 0 if report.ok else 1


def _migrate(given: Namespace) -> int:
    plan = migration(given.migration)
    if given.to is not None and given.apply is None:
        raise EsbenchError("--to FILE says where --apply AS makes the log: give both")
    if given.apply is not None and given.to is None and given.bench is None:
        raise EsbenchError(
            "--apply makes a log in a bench file: say which with --bench FILE, or --to FILE for a new one"
        )
    opened = _opened(given) if given.apply is None or given.to is not None else open_bench(given.bench)
    with opened as bench, _workers(given.workers) as executor:
        run = _log(bench, given).dry_run(plan, sample=given.sample, checks=not given.skip_checks, executor=executor)
        if given.format == "table":
            print(run)
        else:
            print((run.to_json() if given.format == "json" else run.to_markdown()).removesuffix("\n"))
        accepted(run, given.accept)
        if set(run.failed) - set(given.accept):
            if given.apply is not None:
                _say("nothing was made: a gate failed. Mend the migration, or accept the gate by name with --accept")
            return 1
        if given.apply is not None:
            print(bench.apply(run, given.apply, accept=given.accept, to=given.to), file=sys.stderr)
    return 0


@contextmanager
def _workers(number: int | None) -> Iterator[Executor | None]:
    """So many processes, which import nothing of this one."""
    if number is None:
        yield None
        return
    with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def _sql(given: Namespace) -> int:
    with _opened(given) as bench:
        log = _log(bench, given)
        rows = log.sql(given.text)
        types = log.source.relation(given.text).types
    raw = [name for name, kind in zip(rows.columns, types, strict=True) if str(kind) == "JSON"]
    _print(rows, given, raw=raw)
    return 0


def _demo(given: Namespace) -> int:
    folder = Path(given.data)
    if not (folder / "aggregates.py").is_file():
        raise EsbenchError(f"no sample logs in {folder}: run this in a clone of esbench, or say where with --data DIR")
    aggregates = {name: named(f"{folder}/aggregates.py:{name}") for name in demo.SAMPLES.values()}
    demo.run(folder, aggregates, width=min(_width(), 100))
    return 0


def _opened(given: Namespace) -> Bench:
    """The bench file, to read; memory when the log is read for this call."""
    if given.bench is None or _is_source(given.log):
        return open_bench()
    if not Path(given.bench).is_file():
        raise EsbenchError(f"no bench file {given.bench}: esbench load SOURCE --bench {given.bench} makes it")
    return open_bench(given.bench, read_only=True)


def _log(bench: Bench, given: Namespace) -> Log:
    if bench.path is not None:
        return bench[given.log]
    if not _is_source(given.log) and not Path(given.log).exists():
        raise EsbenchError(f"no file {given.log}; if it is a log of a bench, say of which with --bench FILE")
    log = bench.load(given.log, "log" if _is_glob(given.log) else None, **_reading(given))
    for note in log.facts.notes:
        _say(note)
    if len(log.rejects):
        _say(f"{show.count(len(log.rejects), 'record')} could not become events, such as {_first(log.rejects)}")
    return log


def _first(rejects: pd.DataFrame) -> str:
    row = rejects.iloc[0]
    place = row["source"] if show.missing(row["line"]) else f"{row['source']}:{row['line']}"
    return f"{place}: {row['reason']}"


def _is_source(name: str) -> bool:
    return name.startswith("git:") or _is_glob(name) or Path(name).is_file()


def _is_glob(name: str) -> bool:
    return any(mark in name for mark in "*?[") and not Path(name).exists()


def _reading(given: Namespace) -> dict[str, Any]:
    columns = {}
    for text in given.column:
        name, equals, field = text.partition("=")
        if not equals:
            raise EsbenchError(f"--column takes NAME=FIELD, such as --column stream_id=aggregate_id, not {text!r}")
        columns[name.strip()] = field.strip()
    return {"columns": columns, "time": given.time, "base": given.base}


def _where(given: Namespace) -> dict[str, Any]:
    return {"version": given.version, "as_of": given.as_of, "position": given.position}


def _print(
    rows: pd.DataFrame, given: Namespace, *, shown: Iterable[str] | None = None, raw: Sequence[str] = ()
) -> None:
    """Rows in the format that was asked for; a table shows some columns, and ``raw`` ones hold JSON."""
    if given.format == "table":
        print(show.plain(rows if shown is None else rows[list(shown)], width=_width()))
        return
    for line in output.csv_lines(rows) if given.format == "csv" else output.json_lines(rows, raw=raw):
        print(line)


def _say(note: str) -> None:
    print(f"note: {show.line(note, width=1_000)}", file=sys.stderr)


def _choose_encoding(given: Namespace) -> None:
    """Escape what a person's terminal cannot show; give other programs UTF-8 in any locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if getattr(given, "format", "table") == "table":
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")


def _width() -> int:
    """How wide the terminal is (COLUMNS, if set); a pipe gets longer lines."""
    return shutil.get_terminal_size((160, 24)).columns


_COMMANDS = {
    "load": _load,
    "streams": _streams,
    "events": _events,
    "find": _find,
    "state": _state,
    "history": _history,
    "check": _check,
    "migrate": _migrate,
    "sql": _sql,
    "demo": _demo,
}

if __name__ == "__main__":
    raise SystemExit(main())

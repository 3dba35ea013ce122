"""What the command line takes: commands, options, and the help that says how to work with them."""

from __future__ import annotations

import argparse
import os

from esbench import __version__

__all__ = ["parser"]

_ABOUT = """\
A workbench for event-sourced systems: load a log, see what is wrong with it, travel through an aggregate's history.

LOG        a file (JSON lines, a JSON array, CSV, Parquet; plain, .gz or .zst), a glob in quotes, or git:PATH for the
           history of a repository: it is read for this one call. Or the name of a log in the file that --bench or
           ESBENCH_BENCH names, put there by `esbench load`. Where both exist, the file is meant.
AGGREGATE  how the events of a stream become state: path/to/file.py:object, or module:object.
MIGRATION  steps that turn a log into another, and the gates they must pass, named in the same way.
STREAM     the id of a stream.
"""

_EXAMPLES = """\
examples:
  esbench demo
  esbench check data/accounts.csv --aggregate data/aggregates.py:account
  esbench events data/inventory.jsonl item-123
  esbench state data/aggregates.py:inventory item-123 data/inventory.jsonl --version 2
  esbench find item-123 data/inventory.jsonl
  esbench sql git:. "select stream_id, count(*) as n from events group by all order by n desc limit 10"
  esbench migrate migrations.py:orders_v2 orders --bench shop.duckdb --dry-run
  esbench load 'exports/2026-*.jsonl.gz' --bench shop.duckdb --name orders
  esbench streams orders --bench shop.duckdb --format json | jq '.[].stream_id'

exit status: 0 done, 1 the check found errors or a gate failed, 2 a wrong call, or input that cannot be read
`esbench COMMAND --help` tells the rest.
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser; every command has its own --help."""
    top = argparse.ArgumentParser(
        prog="esbench",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"esbench {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text} {more}".strip())
        return made

    def with_log(made: argparse.ArgumentParser) -> None:
        made.add_argument("log", metavar="LOG", help="a file, a glob in quotes, git:PATH, or a log of the bench")

    def with_coordinate(made: argparse.ArgumentParser) -> None:
        place = made.add_argument_group("a point in history", "inclusive; at most one, none is the end")
        where = place.add_mutually_exclusive_group()
        where.add_argument("--version", type=int, metavar="N", help="up to this version of the stream")
        where.add_argument("--as-of", metavar="TIME", help="up to this recorded time (UTC), as in 2026-03-07T14:02Z")
        where.add_argument("--position", type=int, metavar="P", help="up to this position in the log")

    def with_format(made: argparse.ArgumentParser, *more: str) -> None:
        text = "table (default): for reading, cut to the terminal's width; the others are complete and exact"
        made.add_argument("--format", choices=("table", "json", "csv", *more), default="table", help=text)

    made = command("load", "Load a source into a bench file, as a log.", "Every record becomes an event or a reject.")
    made.add_argument("source", metavar="SOURCE", nargs="+", help="files, a glob in quotes, or git:PATH")
    made.add_argument("--name", help="of the log (default: that of the file)")
    made.add_argument("--append", action="store_true", help="add a later batch to the log of that name")
    made.add_argument("--strict", action="store_true", help="stop at the first record that cannot become an event")
    _reading_options(made, "where to, and how it is read")

    made = command("streams", "List the streams of a log.")
    with_log(made)
    made.add_argument("--last", type=_number, metavar="N", help="only the N that were written to last")
    with_format(made)
    _reading_options(made)

    made = command("events", "Show events: of a log by position, or of one stream by version.")
    with_log(made)
    made.add_argument("stream", metavar="STREAM", nargs="?", help="only this stream")
    made.add_argument("--last", type=_number, metavar="N", help="only the last N (default: 20 in a table, else all)")
    with_format(made)
    with_coordinate(made)
    _reading_options(made)

    made = command(
        "find",
        "Find where an id or a value occurs.",
        "Looks in ids, event types, payloads and metadata (there in values and in names), and gives the path.",
    )
    made.add_argument("value", metavar="VALUE", help="a text; a part of an id, a text or a number is enough")
    with_log(made)
    made.add_argument("--limit", type=_number, metavar="N", default=1_000, help="at most N rows (default: 1,000)")
    with_format(made)
    _reading_options(made)

    for name, text, more in (
        ("state", "Show the state of a stream.", "And for each of its fields the event that last set it."),
        ("history", "Show the state of a stream after each event.", "And what that event changed."),
    ):
        made = command(name, text, more)
        made.add_argument("aggregate", metavar="AGGREGATE", help="path/to/file.py:object, or module:object")
        made.add_argument("stream", metavar="STREAM", help="the id of the stream")
        with_log(made)
        with_format(made)
        with_coordinate(made)
        _reading_options(made)

    made = command("check", "Check a log; exit status 1 when there are errors.")
    with_log(made)
    made.add_argument(
        "--aggregate",
        metavar="AGGREGATE",
        action="append",
        default=[],
        help="check the rules of this aggregate too: path/to/file.py:object, or module:object (may be repeated)",
    )
    made.add_argument("--only", metavar="CHECK", action="append", help="run only this check (may be repeated)")
    made.add_argument("--skip", metavar="CHECK", action="append", help="do not run this check (may be repeated)")
    with_format(made, "junit")
    _reading_options(made)

    made = command(
        "migrate",
        "Dry-run a migration over a log, and apply it; exit status 1 when a gate fails.",
        "A dry run writes nothing. --apply makes a new log beside the old one, which stays.",
    )
    made.add_argument("migration", metavar="MIGRATION", help="path/to/file.py:object, or module:object")
    with_log(made)
    what = made.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only tell what it would do (the default)")
    what.add_argument("--apply", metavar="AS", help="make the new log, of that name, in the bench")
    made.add_argument(
        "--to", metavar="FILE", help="with --apply: make it in a new bench file of its own, as private migrations must"
    )
    made.add_argument("--sample", type=_number, metavar="N", help="dry-run over only N streams, always the same ones")
    made.add_argument(
        "--accept",
        metavar="GATE",
        action="append",
        default=[],
        help="go on though this gate fails; its name in quotes (may be repeated)",
    )
    made.add_argument("--skip-checks", action="store_true", help="do not look for findings before and after")
    made.add_argument("--workers", type=_workers, metavar="N", help="run the functions in it in N processes")
    text = "table (default): for reading; markdown: for a comment on a pull request; json: all of it"
    made.add_argument("--format", choices=("table", "json", "markdown"), default="table", help=text)
    _reading_options(made)

    made = command("sql", "Run SQL over the events of a log.", "The table is called events; the SQL is DuckDB's.")
    with_log(made)
    made.add_argument("text", metavar="SQL", help='as in "select event_type, count(*) from events group by all"')
    with_format(made)
    _reading_options(made)

    made = command("demo", "Load the sample logs, show what is wrong with them and how one of them went wrong.")
    made.add_argument("--data", metavar="DIR", default="data", help="where the sample logs lie (default: data)")
    return top


def _reading_options(made: argparse.ArgumentParser, title: str = "where the log is, and how a file is read") -> None:
    group = made.add_argument_group(title)
    group.add_argument(
        "--bench",
        metavar="FILE",
        default=os.environ.get("ESBENCH_BENCH"),
        help="the bench file (default: ESBENCH_BENCH)",
    )
    group.add_argument(
        "--column",
        metavar="NAME=FIELD",
        action="append",
        default=[],
        help="take a column from this field or SQL expression, as in stream_id=order_no (may be repeated)",
    )
    group.add_argument(
        "--time",
        default="iso",
        choices=("iso", "s", "ms", "us", "ns", "ticks"),
        help="what times are: ISO 8601 (default), a number of seconds to nanoseconds since 1970, or .NET ticks",
    )
    group.add_argument("--base", type=int, choices=(0, 1), help="the version of a first event (default: inferred)")


def _workers(text: str) -> int:
    number = _number(text)
    if number == 0:
        raise argparse.ArgumentTypeError("no process can do nothing: at least 1")
    return number


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"not a number of rows: {text!r}")
    return int(text)

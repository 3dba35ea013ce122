"""Events on their way through a migration: the canonical columns, and where each row comes from.

Besides the columns of a log, rows carry ``source`` and ``origin`` (which log, and the position there, of the event that
a row comes from), ``others`` (further ones, where several became one), ``nth`` (tells rows of one source event apart),
``steps`` and ``met`` (a bit for every step that changed or met the row), ``failed`` and ``failure`` (the step whose
function failed on it, and why; such a row stays as it was before, and later steps leave it alone).

What keeps every row where it is stays one lazy query. Where rows come or go, the few that do are kept in scratch
tables, and the later versions of their streams move, so that gaps, forks and duplicates elsewhere stay what they are.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from esbench.event import CANONICAL, quote
from esbench.events import Events, translated
from esbench.payload import edits, functions

__all__ = [
    "LINEAGE",
    "STEPS",
    "Scratch",
    "Work",
    "called",
    "columns",
    "edited",
    "removed",
    "rewritten",
    "shifted",
    "started",
    "took_away",
]

#: What a row has besides the columns of a log.
LINEAGE: Mapping[str, str] = {
    "source": "UTINYINT",
    "origin": "BIGINT",
    "others": "BIGINT[]",
    "nth": "INTEGER",
    "steps": "BIGINT",
    "met": "BIGINT",
    "failed": "SMALLINT",
    "failure": "VARCHAR",
}
#: More would not fit into the bits of an integer.
STEPS = 62

#: What is kept of rows that a step took away: dropped, or merged into another.
_GONE = "source utinyint, origin bigint, step smallint, steps bigint, met bigint, merged boolean"

_numbers = itertools.count(1)


class Scratch:
    """Tables beside the bench, in memory and spilled to disk where they grow large; gone with the last user of them."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        # Whoever uses it holds the connection, which is not to live for our sake.
        self._con = weakref.ref(con)
        self.held: list[Any] = []
        self.name = f"esbench scratch {next(_numbers)}"
        cursor = con.cursor()
        cursor.execute(f"attach ':memory:' as {quote(self.name)} (read_write)")
        cursor.execute(f"create table {self.table('gone')} ({_GONE})")
        cursor.close()
        # One that only stands for another may be gone before this is.
        self.close = weakref.finalize(self, _detach, weakref.ref(getattr(con, "beneath", con)), self.name)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection beside whose database they are."""
        con = self._con()
        assert con is not None
        return con

    def table(self, name: str) -> str:
        """The name of a scratch table, for SQL."""
        return f"{quote(self.name)}.main.{quote(name)}"

    def keep(self, name: str, events: Events, text: str, **parameters: Any) -> str:
        """Make a scratch table of SQL over ``events``; its name for SQL."""
        self._run(f"create table {self.table(name)} as", events, text, parameters)
        return self.table(name)

    def add(self, name: str, events: Events, text: str, **parameters: Any) -> None:
        """Insert the rows of SQL over ``events`` into a scratch table."""
        self._run(f"insert into {self.table(name)}", events, text, parameters)

    def rows(self, table: str) -> int:
        """How many rows a scratch table has."""
        with self.con.cursor() as cursor:
            ((rows,),) = cursor.execute(f"select count(*) from {table}").fetchall()
        return int(rows)

    def _run(self, verb: str, events: Events, text: str, parameters: Mapping[str, Any]) -> None:
        with self.con.cursor() as cursor, translated():
            cursor.execute(f"{verb} {events.whole(text)}", {**events.parameters, **parameters})


def _detach(known: weakref.ref[duckdb.DuckDBPyConnection], name: str) -> None:
    con = known()
    if con is None:
        return
    try:
        con.cursor().execute(f"detach {quote(name)}")
    except duckdb.Error:
        # The bench is closed, or somebody still reads; then it goes when the bench does.
        return


@dataclass(frozen=True, slots=True)
class Work:
    """Events with lineage; ``added``: rows were added on the way, so positions are given anew at the end.

    ``executor`` runs the user's functions on its workers, where a step can make use of it. ``joined`` are the logs that
    came in, by name: their ``source`` is 1, 2, and so on.
    """

    events: Events
    scratch: Scratch
    added: bool = False
    executor: Executor | None = None
    joined: tuple[tuple[str, Events], ...] = ()

    def held(self, value: Any) -> Any:
        """A value that must live as long as the work does, because SQL knows it by a number only."""
        self.scratch.held.append(value)
        return value

    def over(self, query: str, *, ordered: bool | None = None, **parameters: Any) -> Work:
        """The same with another query; ``ordered`` as before unless given."""
        events = replace(
            self.events,
            query=query,
            parameters={**self.events.parameters, **parameters},
            ordered=self.events.ordered if ordered is None else ordered,
        )
        return replace(self, events=events)


def columns(*changed: str, prefix: str = "") -> str:
    """SQL for the columns of work, without those that are given in another way."""
    return ", ".join(f"{prefix}{name}" for name in ("stream_key", *CANONICAL, *LINEAGE) if name not in changed)


def started(source: Events, scratch: Scratch, *, number: int = 0) -> Work:
    """The events of a log, as work that no step has met."""
    values = {"source": f"{number}", "origin": "position", "nth": "0", "steps": "0", "met": "0"}
    lineage = ", ".join(f"{values.get(name, 'null')}::{kind} as {name}" for name, kind in LINEAGE.items())
    query = f"select stream_key, {', '.join(CANONICAL)}, {lineage} from ({source.query})"
    return Work(replace(source, query=query, held=(source.held, scratch)), scratch)


def rewritten(work: Work, number: int, hit: str, values: Mapping[str, str], **parameters: Any) -> Work:
    """Rows that meet a condition with other values in some columns, all in SQL; every row stays where it is.

    A value that begins with ``!`` in ``data`` or ``metadata`` is no JSON but the reason why the row could not be
    changed: it stays as it was, marked.
    """
    new = {name: f"new_{name}" for name in values}
    # As text, because a failure is no JSON.
    changes = " or ".join(
        f"{new[name]} is distinct from {name}{'::varchar' if CANONICAL[name] == 'JSON' else ''}" for name in values
    )
    texts = [new[name] for name in values if CANONICAL[name] == "JSON"]
    bad = " or ".join(f"starts_with({text}, '!')" for text in texts) or "false"
    failure = f"""coalesce({", ".join(f"case when starts_with({text}, '!') then {text} end" for text in texts)})"""
    made = ", ".join(f"case when hit then {value} end as {new[name]}" for name, value in values.items())
    put = ", ".join(
        f"case when fine then {new[name]}{'::json' if CANONICAL[name] == 'JSON' else ''} else {name} end as {name}"
        for name in values
    )
    told = (
        f", case when bad then {number} else failed end as failed, "
        f"case when bad then substr({failure}, 2) else failure end as failure"
        if texts
        else ""
    )
    query = f"""
        select {columns(*values, "steps", "met", *(("failed", "failure") if texts else ()))}, {put},
            case when fine then steps | {1 << number} else steps end as steps,
            case when hit then met | {1 << number} else met end as met{told}
        from (
            select *, hit and not bad and ({changes}) as fine
            from (
                select *, coalesce(hit and ({bad}), false) as bad
                from (select *, {made} from ({_hit(work, hit)}))
            )
        )
    """
    return work.over(query, **parameters)


def edited(work: Work, number: int, hit: str, edit: edits.Edit, *, column: str = "data", **parameters: Any) -> Work:
    """Rows that meet a condition with an edited payload (or metadata)."""
    edits.register(work.events.con)
    return rewritten(work, number, hit, {column: edits.sql(edit, column)}, **parameters)


def called(
    work: Work,
    number: int,
    hit: str,
    call: functions.Call,
    *,
    column: str = "data",
    also: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Work:
    """Rows that meet a condition with what a function of the user makes of the payload (or metadata).

    ``also`` gives values of other columns. With an executor, its workers call the function.
    """
    functions.register(work.events.con)
    if work.executor is not None:
        call = work.held(functions.upcast_text(call.function, executor=work.executor))
    return rewritten(work, number, hit, {column: functions.sql(call, column), **(also or {})}, **parameters)


def removed(
    work: Work, number: int, hit: str, *, leave_gap: bool = False, unordered: bool = False, **parameters: Any
) -> Work:
    """Without the rows that meet a condition; what follows in their streams closes up, unless a gap is to be left.

    ``unordered``: the condition has a join in it, which does not promise to keep the order.
    """
    scratch = work.scratch
    if unordered:
        work = work.over(work.events.query, ordered=False)
    asked = work.over(_hit(work, hit), **parameters).events
    gone = scratch.keep(
        f"gone {number}",
        asked,
        "select stream_key, version, source, origin, others, steps, met from events where hit",
    )
    took_away(work, number, gone)
    rest = work.over(f"select {columns()} from ({_hit(work, hit)}) where not hit", **parameters)
    if leave_gap:
        return rest
    net = scratch.keep(
        f"net {number}",
        work.events,
        f"""
        select stream_key, version, -1 as net
        from (select stream_key, version, count(*) as gone from {gone} group by all)
        join (
            select stream_key, version, count(*) as held
            from events semi join {gone} using (stream_key, version)
            group by all
        ) using (stream_key, version)
        where gone = held
        """,
    )
    return shifted(rest, number, net)


def took_away(work: Work, number: int, rows: str, *, merged: bool = False) -> None:
    """Note rows that a step takes away: a table or query with ``source, origin, others, steps, met``."""
    work.scratch.add(
        "gone",
        work.events,
        f"""
        select source, unnest(list_concat([origin], others)), {number},
            steps | {1 << number}, met | {1 << number}, {merged}
        from {rows} where origin is not null
        """,
    )


def shifted(work: Work, number: int, net: str, *, anchor: str = "version") -> Work:
    """Later versions of some streams moved: by the sum of ``net`` at the versions below a row's ``anchor``.

    ``net`` is a scratch table ``(stream_key, version, net)``; ``anchor`` a column that the query of ``work`` may have
    besides, which does not come out.
    """
    total = work.scratch.keep(
        f"total {number}",
        work.events,
        f"""
        select stream_key, version,
            (sum(net) over (partition by stream_key order by version))::bigint as total
        from {net}
        """,
    )
    if not work.scratch.rows(total):
        return work.over(f"select {columns()} from ({work.events.query})")
    kept, names = work.events.query, columns("version", prefix="moving.")
    return work.over(
        f"""
        select {columns("version")}, version from ({kept}) anti join {total} using (stream_key)
        union all
        select {names}, moving.version + coalesce(earlier.total, 0) as version
        from (select * from ({kept}) semi join {total} using (stream_key)) as moving
        asof left join {total} as earlier
            on moving.stream_key = earlier.stream_key and moving.{anchor} > earlier.version
        """,
        ordered=False,
    )


def _hit(work: Work, hit: str) -> str:
    """SQL for the rows with ``hit``: whether a step meets them. What failed before is left alone."""
    return f"select *, coalesce(({hit}) and failed is null, false) as hit from ({work.events.query})"

"""Events that were appended to a log since a migration of it was applied, carried over into the log that this made.

What was made before must come out as it did; an appended event that reaches back, as a merge over the seam does, needs
a new log.
"""

from __future__ import annotations

import duckdb

from esbench.catalog import Entry, entry, lineage_of, record, transaction
from esbench.event import CANONICAL, quote
from esbench.migrate.dry import Extension
from esbench.migrate.step import MigrationError
from esbench.show import cell

__all__ = ["carry_over"]

_VALUES = ", ".join(name for name in CANONICAL if name != "position")
#: SQL: the last source position that a row was made of.
_LATEST = "coalesce(greatest(origin, list_max(others)), 0)"


def carry_over(con: duckdb.DuckDBPyConnection, run: Extension, name: str) -> Entry:
    """Add what an extension made to its log, in one transaction. Raises MigrationError where earlier events differ."""
    found = entry(con, name)
    if found.declared.get("run") == run.number:
        return found
    if found.declared.get("run") != run.of:
        raise MigrationError(
            f'"{cell(name)}" is not the log that was made of the run before this one: apply it under another name'
        )
    work, target = run.result.work.events, f"log.{quote(name)}"
    seam = {"_seam": run.since}
    with transaction(con):
        if con.execute(f"select 1 from {target} where source is null limit 1").fetchall():
            raise MigrationError(
                f'"{cell(name)}" got events besides those that were made of "{cell(run.name)}": apply the run under '
                "another name, which makes the whole log anew"
            )
        # Of some of these nothing may have been made.
        keys = [key for (key,) in run.result.source.rows("select distinct stream_key from events")]
        stored = lineage_of(con, found).where("stream_key in (select unnest($_keys::bigint[]))", _keys=keys)
        row = f"hash({_VALUES}, source, origin, others, nth, steps)"
        hashed = f"select count(*), coalesce(sum({row}), 0)::varchar from events"
        was = con.execute(stored.whole(hashed), dict(stored.parameters)).fetchall()
        again = con.execute(work.whole(f"{hashed} where {_LATEST} <= $_seam"), {**work.parameters, **seam}).fetchall()
        if was != again:
            raise MigrationError(
                f'the events appended since change what was made of earlier ones in "{cell(name)}": apply the run '
                "under another name, which makes the whole log anew"
            )
        ((last, as_issued),) = con.execute(
            f"select coalesce(max(position), 0) as last, count(*) = last and coalesce(min(position), 1) = 1 "
            f"from {target}"
        ).fetchall()
        issued = bool(found.declared.get("issued"))
        if run.result.work.added and not issued and not as_issued:
            raise MigrationError(
                "among the events appended since are the first of which several come, so that all positions in "
                f'"{cell(name)}" would be given anew: apply the run under another name, which makes the whole log anew'
            )
        issued = issued or run.result.work.added
        position = f"row_number() over (order by position, nth) + {last}" if issued else "position"
        columns = ", ".join(f"{position} as position" if name == "position" else name for name in CANONICAL)
        con.execute(
            f"""
            insert into {target}
            {
                work.whole(f'''
                select * replace (case when origin <> position then origin end as origin) from (
                    select stream_key, {columns}, origin, others, nth, steps, source
                    from events where {_LATEST} > $_seam
                )
            ''')
            }
            """,
            {**work.parameters, **seam},
        )
        con.execute(
            f"""
            insert into stream.{quote(name)}
            select stream_key, any_value(stream_id) from {target}
            where stream_key not in (select stream_key from stream.{quote(name)}) group by all order by all
            """
        )
        con.execute(
            f"""
            insert into esbench.dropped
            {work.whole(f"select $_log, source, origin, step from ({run.result.dropped}) where origin > $_seam")}
            """,
            {**work.parameters, **seam, "_log": name},
        )
        declared = {**found.declared, "run": run.number, "issued": issued}
        return record(con, name, found.facts, declared, ordered=False)

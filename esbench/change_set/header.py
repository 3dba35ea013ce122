"""What stands at the top of a change set: what it does, what it relies on, and how to run it."""

from __future__ import annotations

from collections.abc import Iterator

from esbench.change_set.plan import Plan
from esbench.show import count, line

__all__ = ["header"]


def header(plan: Plan, name: str) -> Iterator[str]:
    """The lines, without comment marks."""
    table = plan.table
    shown, file = line(table.qualified), line(name)
    yield f"A change set for the table {shown}, written by esbench. It was not run: review it first."
    yield ""
    yield f"  deletes  {plan.deletes:>12,}"
    yield f"  inserts  {plan.inserts:>12,}"
    yield f"  updates  {plan.updates:>12,}"
    yield from (f"    {group.rows:>16,}  {', '.join(group.columns)}" for group in plan.groups)
    yield f"  in {count(plan.streams, 'stream')}"
    yield ""
    yield "It is one transaction, and in it all that changes the table is one statement. That first asserts that"
    yield "each of these streams ends where it did in the dry run, and that the rows to change are as they were, also"
    yield "in what is overwritten or lost; then it deletes, updates and inserts, and checks counts, ends and values."
    yield "Whatever fails, nothing is changed."
    if plan.anew:
        last = "none" if plan.last is None else str(plan.last)
        yield f"Positions are given anew: it asserts that the table has {count(plan.total, 'event')}, the last of them"
        yield f"at {last}."
    else:
        yield "Other streams are not looked at: they may have grown since."
    if plan.parked:
        yield ""
        yield f"{count(sum(group.rows for group in plan.parked), 'row')} step aside first, to a place that nobody has"
        yield f"(another {' or '.join(sorted({n for g in plan.parked for n in g.columns}))}), so that no unique"
        yield "constraint is hit on the way."
    if "position" in plan.columns and plan.inserts and plan.positions == "keep":
        yield ""
        yield "Inserted events come after the last position of the table, in the order of the new log; all others keep"
        yield "theirs."
    if table.json_type == "jsonb" and {"data", "metadata"} & set(plan.columns):
        yield ""
        yield "Payloads are jsonb, which keeps values and not texts: PostgreSQL rewrites numbers (1e2 becomes 100),"
        yield "spaces and the order of keys, and keeps the last of equal keys only."
    for column, rows in plan.untold.items():
        yield ""
        yield f"NOT WRITTEN: {column} differs in {count(rows, 'event')}, and the table has no column for it."
    yield ""
    if table.dialect == "sqlite":
        yield f"To run it: sqlite3 -bail FILE.db < {file}    (SQLite 3.35 or later; or executescript() in Python)"
        yield "To be able to go back, first: sqlite3 FILE.db '.backup before.db'"
    else:
        yield f"To run it: psql -X -v ON_ERROR_STOP=1 -d DATABASE -f {file}"
        yield f"To be able to go back, first: pg_dump -d DATABASE -t '{shown}' -f before.sql"
    yield "To rehearse it, put `rollback;` in the place of the last line, `commit;`. After the commit that copy is the"
    yield "only way back."

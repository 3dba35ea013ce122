"""A change set as an SQL file: data first, then one statement that checks, changes and checks again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from esbench.change_set.header import header
from esbench.change_set.layout import Table, literal, same_value
from esbench.change_set.plan import Group, Plan
from esbench.errors import ExportError
from esbench.event import CANONICAL, quote
from esbench.show import count, line

__all__ = ["lines"]

#: So many rows, or characters, are in one INSERT.
_ROWS, _CHARACTERS = 500, 1 << 20
_UNREAD = "not all of the file was read"
_HEADS = "a stream does not end where it did in the dry run"
_ELSE = "a row that is to change is not there as the dry run saw it"
_OTHER = "a row to change is not as it was: what would be overwritten or lost has changed since the dry run"


def lines(plan: Plan, name: str) -> Iterator[str]:
    """The lines of the file, each with its end."""
    table = plan.table
    sqlite = table.dialect == "sqlite"
    yield from (f"-- {text}".rstrip() + "\n" for text in header(plan, name))
    yield "\n"
    if sqlite:
        yield "begin immediate;\n"
    else:
        yield "set client_encoding = 'UTF8';\nset standard_conforming_strings = on;\n\nbegin;\n"
        yield f"lock table {table.qualified} in share row exclusive mode;\n"
    yield "\n"
    staged = _Staged(plan)
    yield from staged.lines()
    yield "\n"
    yield from _act(plan, staged)
    yield "\n"
    if sqlite:
        yield "drop trigger temp.esbench_apply;\n"
        yield from (f"drop table temp.{each};\n" for each in (*staged.names, "esbench_go"))
    yield "commit;\n"


class _Staged:
    """Temporary tables that hold what is to be done, and the INSERTs that fill them."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.table = plan, plan.table
        self.sqlite = self.table.dialect == "sqlite"
        self.names: list[str] = []
        self.counts: dict[str, int] = {}

    def lines(self) -> Iterator[str]:
        """Make and fill them."""
        plan, columns = self.plan, self.plan.columns
        yield "-- 1. What is relied on: where streams end, before and after.\n"
        heads = [("stream", "stream_id"), ("last", "version"), ("last_after", "version")]
        heads = heads if "version" in columns else heads[:1]
        yield from self._create("esbench_heads", heads, ["events", "events_after"])
        yield from self._fill(
            "esbench_heads",
            (
                (
                    [
                        self.table.value("stream_id", head.stream_id),
                        *((self._integer(head.last), self._integer(head.last_after)) if "version" in columns else ()),
                        str(head.events),
                        str(head.events_after),
                    ],
                    "",
                )
                for head in plan.heads()
            ),
            plan.streams,
        )
        # Where positions are given anew, nobody else may have added an event anywhere; else other streams may grow.
        ends = [str(plan.total), self._integer(plan.last)] if plan.anew else ["null", "null"]
        yield from self._create("esbench_run", [], ["total", "last"])
        yield from self._fill("esbench_run", [(ends, "")], 1)
        yield "\n-- 2. The rows that change, as they are.\n"
        yield from self._create("esbench_rows", [(f"i_{name}", name) for name in plan.identity], ["going"])
        for kind in ("delete", "update"):
            values = [f"older.{name}" for name in plan.identity]
            rows = plan.deletes if kind == "delete" else plan.updates
            yield from self._fill(
                "esbench_rows",
                self._rows(kind, plan.identity, values, more=[str(int(kind == "delete"))]),
                rows,
            )
        for name, group in _overwritten(plan):
            yield f"\n-- What they hold that is overwritten or lost: {', '.join(group.columns)}.\n"
            keys = [(f"k_{each}", each) for each in plan.key]
            yield from self._create(name, [*keys, *((f"o_{each}", each) for each in group.columns)], [])
            names = (*plan.key, *group.columns)
            kind, where = ("update", f"bits = {group.bits}") if group.bits else ("delete", "true")
            found = self._rows(kind, names, [f"older.{each}" for each in names], where=where)
            yield from self._fill(name, found, group.rows)
        yield from self._groups("esbench_aside", plan.parked)
        yield from self._groups("esbench_update", plan.groups)
        if plan.inserts:
            yield "\n-- New rows.\n"
            names = plan.inserted
            yield from self._create("esbench_insert", [(f"n_{name}", name) for name in names], ["number"])
            yield from self._fill(
                "esbench_insert",
                self._rows("insert", names, [f"newer.{name}" for name in names], numbered=True),
                plan.inserts,
            )

    def _groups(self, stem: str, groups: Sequence[Group]) -> Iterator[str]:
        aside = stem == "esbench_aside"
        for number, group in enumerate(groups, start=1):
            what = "Aside for the moment" if aside else "New values"
            yield f"\n-- {what}: {', '.join(group.columns)}, in {count(group.rows, 'row')}.\n"
            name = f"{stem}_{number}"
            keys = [(f"k_{each}", each) for each in self.plan.key]
            yield from self._create(name, [*keys, *((f"n_{each}", each) for each in group.columns)], [])
            if aside:
                where = " and ".join(
                    f"aside.{each} is {'not ' if each in group.columns else ''}null"
                    for each in ("version", "event_id", "position")
                )
                found = [f"older.{each}" for each in self.plan.key]
            else:
                where = f"bits = {group.bits}"
                # By now some rows stand aside.
                found = [
                    f"coalesce(aside.{each}, older.{each})"
                    if each in ("version", "event_id", "position")
                    else f"older.{each}"
                    for each in self.plan.key
                ]
            values = [f"{'aside' if aside else 'newer'}.{each}" for each in group.columns]
            yield from self._fill(
                name,
                self._rows(
                    "park" if aside else "update", (*self.plan.key, *group.columns), [*found, *values], where=where
                ),
                group.rows,
            )

    def _rows(
        self,
        kind: str,
        names: Sequence[str],
        values: Sequence[str],
        *,
        where: str = "true",
        more: Sequence[str] = (),
        numbered: bool = False,
    ) -> Iterator[tuple[list[str], str]]:
        """Rows as SQL values, each with what it is about."""
        asked = [
            {"TIMESTAMPTZ": f"epoch_us({value})", "JSON": f"{value}::varchar"}.get(CANONICAL[name], value)
            for name, value in zip(names, values, strict=True)
        ]
        for number, (*row, stream, version, event_type) in enumerate(self.plan.rows(kind, asked, where=where), start=1):
            try:
                made = [self.table.value(name, value) for name, value in zip(names, row, strict=True)]
            except ExportError as error:
                raise ExportError(f"{stream} version {version} ({event_type}): {error}") from None
            yield [*made, *more, *([str(number)] if numbered else [])], f"{stream}@{version} {event_type}"

    def _create(self, name: str, like: Sequence[tuple[str, str]], numbers: Sequence[str]) -> Iterator[str]:
        """A temporary table whose columns have the types of the table's."""
        self.names.append(name)
        self.counts.setdefault(name, 0)
        columns = []
        for inner, canonical in like:
            of = quote(self.plan.columns[canonical])
            if self.sqlite and CANONICAL[canonical] == "JSON" and self.table.json_type == "text":
                of = f"cast({of} as text)"  # a column declared as JSON is numeric in SQLite
            columns.append(f"{of} as {inner}")
        columns += [f"cast(null as {'integer' if self.sqlite else 'bigint'}) as {number}" for number in numbers]
        if self.sqlite:
            yield f"drop table if exists temp.{name};\n"
            yield f"create temp table {name} as select {', '.join(columns)} from {self.table.qualified} where 0;\n"
        else:
            yield f"create temporary table {name} on commit drop as\n"
            yield f"  select {', '.join(columns)} from {self.table.qualified} with no data;\n"

    def _fill(self, name: str, rows: Iterable[tuple[list[str], str]], expected: int) -> Iterator[str]:
        before, size, found = "", 0, 0
        for number, (values, about) in enumerate(rows):
            found += 1
            comment = f"  -- {line(about, width=100)}" if about else ""
            text = f"  ({', '.join(values)})"
            if number % _ROWS == 0 or size > _CHARACTERS:
                yield f"{before and before.replace(',', ';', 1)}insert into {self.temporary(name)} values\n"
                size = 0
            else:
                yield before
            yield text
            # What ends the row is known when the next one is.
            before, size = f",{comment}\n", size + len(text)
        yield before.replace(",", ";", 1) if before else ""
        assert found == expected, f"{name}: {found} rows, {expected} counted"
        self.counts[name] += found

    def temporary(self, name: str) -> str:
        """A temporary table's name in SQL."""
        return f"{'temp' if self.sqlite else 'pg_temp'}.{name}"

    @staticmethod
    def _integer(value: int | None) -> str:
        return "null" if value is None else str(value)


def _overwritten(plan: Plan) -> Iterator[tuple[str, Group]]:
    """Columns whose values go, beside what identifies a row: all those of a row that is deleted (its bits are 0)."""
    for number, group in enumerate((Group(tuple(plan.columns), plan.deletes, 0), *plan.groups)):
        columns = tuple(name for name in group.columns if name not in plan.identity)
        if columns and group.rows:
            yield f"esbench_was_{number}", Group(columns, group.rows, group.bits)


def _act(plan: Plan, staged: _Staged) -> Iterator[str]:
    """The one statement that does it all: a trigger's program in SQLite, which has no other, or a DO block."""
    body = [f"  {text}\n" for text in _body(plan, staged)]
    if staged.sqlite:
        yield "-- 3. All of it as one statement, the program of a trigger: it is done as a whole or not at all, even\n"
        yield "-- if something above this line failed, and whether or not what runs the file stops at an error.\n"
        yield "drop table if exists temp.esbench_go;\ncreate temp table esbench_go (go integer);\n"
        yield "create temp trigger esbench_apply after insert on esbench_go begin\n"
        yield from body
        yield "end;\ninsert into temp.esbench_go values (1);\n"
        return
    tag = "$esbench$"
    while tag in "".join(body):
        tag = f"{tag[:-1]}_$"
    yield "-- 3. All of it as one statement: it is done as a whole or not at all, stop at an error or not.\n"
    yield f"do {tag}\n#variable_conflict use_column\ndeclare\n  esbench_found text;\nbegin\n"
    yield from body
    yield f"end {tag};\n"


def _body(plan: Plan, staged: _Staged) -> Iterator[str]:
    table, sqlite = plan.table, staged.sqlite
    temporary = (lambda name: name) if sqlite else staged.temporary
    # In a trigger, what is changed is named without its schema.
    target = quote(table.name) if sqlite else table.qualified
    own = "" if sqlite else " as t"
    t = target if sqlite else "t"
    same = "is" if sqlite else "is not distinct from"

    def column(name: str) -> str:
        return f"{t}.{quote(plan.columns[name])}"

    def stop(wrong: str, why: str) -> str:
        message = literal(f"esbench: {why}; nothing was changed", table.dialect)
        if sqlite:
            return f"select raise(abort, {message}) where {wrong};"
        return f"if {wrong} then raise exception using message = {message}; end if;"

    def heads(after: str) -> Iterator[str]:
        wrong = f"h.events{after} <> (select count(*) from {target}{own} where {column('stream_id')} = h.stream)"
        if "version" in plan.columns:
            last = f"(select max({column('version')}) from {target}{own} where {column('stream_id')} = h.stream)"
            wrong += f" or not (h.last{after} {same} {last})"
        why = f"{_HEADS} (after the change)" if after else _HEADS
        found = f"from {temporary('esbench_heads')} as h where {wrong}"
        if sqlite:
            yield stop(f"exists (select 1 {found})", why)
        else:
            yield f"select h.stream into esbench_found {found} limit 1;"
            text = f"{literal(f'esbench: {why}: ', table.dialect)} || esbench_found || '; nothing was changed'"
            yield f"if found then raise exception using message = {text}; end if;"

    for name, rows in staged.counts.items():
        yield stop(f"(select count(*) from {temporary(name)}) <> {rows}", f"{_UNREAD} ({name})")
    if plan.anew:
        run = temporary("esbench_run")
        yield stop(
            f"(select count(*) from {target}) <> (select total from {run}) or "
            f"not ((select max({column('position')}) from {target}{own}) {same} (select last from {run}))",
            "events were added since the dry run, and positions are given anew",
        )
    yield from heads("")
    identity = " and ".join(f"{column(name)} {'=' if name in plan.key else same} r.i_{name}" for name in plan.identity)
    yield stop(
        f"exists (select 1 from {temporary('esbench_rows')} as r "
        f"where (select count(*) from {target}{own} where {identity}) <> 1)",
        _ELSE,
    )
    for name, group in _overwritten(plan):
        place = " and ".join(f"{column(each)} = w.k_{each}" for each in plan.key)
        values = " and ".join(same_value(column(each), f"w.o_{each}", each, table) for each in group.columns)
        yield stop(
            f"exists (select 1 from {temporary(name)} as w "
            f"where not exists (select 1 from {target}{own} where {place} and {values}))",
            _OTHER,
        )
    last = (
        f"(select coalesce(max({column('position')}), 0) from {target}{own})" if "position" in plan.columns else "null"
    )
    yield f"update {temporary('esbench_run')} set total = (select count(*) from {target}), last = {last};"
    if plan.deletes:
        keys = ", ".join(quote(plan.columns[name]) for name in plan.key)
        found = ", ".join(f"r.i_{name}" for name in plan.key)
        yield (
            f"delete from {target} where ({keys}) in "
            f"(select {found} from {temporary('esbench_rows')} as r where r.going = 1);"
        )
    for stem, groups in (("esbench_aside", plan.parked), ("esbench_update", plan.groups)):
        for number, group in enumerate(groups, start=1):
            values = ", ".join(f"{quote(plan.columns[name])} = s.n_{name}" for name in group.columns)
            where = " and ".join(f"{column(name)} = s.k_{name}" for name in plan.key)
            yield f"update {target}{own} set {values} from {temporary(f'{stem}_{number}')} as s where {where};"
    if plan.inserts:
        yield from _insert(plan, target, temporary("esbench_insert"), temporary("esbench_run"))
    yield stop(
        f"(select count(*) from {target}) <> (select total from {temporary('esbench_run')}) "
        f"- {plan.deletes} + {plan.inserts}",
        "the number of rows is not what it should be",
    )
    yield from heads("_after")
    for number, group in enumerate(plan.groups, start=1):
        place = " and ".join(f"{column(name)} = s.{'n' if name in group.columns else 'k'}_{name}" for name in plan.key)
        values = " and ".join(
            f"{_as_text(column(name), name, table)} {same} {_as_text(f's.n_{name}', name, table)}"
            for name in group.columns
        )
        yield stop(
            f"exists (select 1 from {temporary(f'esbench_update_{number}')} as s "
            f"where not exists (select 1 from {target}{own} where {place} and {values}))",
            "a row did not take its new values",
        )


def _as_text(value: str, name: str, table: Table) -> str:
    if table.dialect == "postgresql":
        return f"{value}::text"
    return f"cast({value} as text)" if CANONICAL[name] == "JSON" and table.json_type == "text" else value


def _insert(plan: Plan, target: str, staged: str, run: str) -> Iterator[str]:
    names, values = [plan.columns[name] for name in plan.inserted], [f"s.n_{name}" for name in plan.inserted]
    position = plan.columns.get("position")
    given = position is not None and "position" not in plan.table.generated
    if position is not None and given and plan.positions == "keep":
        names.append(position)
        values.append(f"(select last from {run}) + s.number")
    own = given and plan.table.dialect == "postgresql"
    yield (
        f"insert into {target} ({', '.join(map(quote, names))}){' overriding system value' if own else ''} "
        f"select {', '.join(values)} from {staged} as s order by s.number;"
    )
    if own and position is not None:
        sequence = (
            f"pg_get_serial_sequence({literal(target, 'postgresql')}, {literal(position, 'postgresql')})::regclass"
        )
        yield (
            f"perform setval(q.name, greatest(nextval(q.name), (select max({quote(position)}) from {target}))) "
            f"from (select {sequence} as name) as q where q.name is not null;"
        )

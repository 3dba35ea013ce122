"""The slicer: reads the members of JSON objects in SQL, and proves line by line that it changed nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from esbench import payload

__all__ = ["Form", "Template"]

Form = Literal["text", "json"]
"""How a field is staged: ``text``, a string's content or any other value as it stands; ``json``, its raw text."""

Kind = Literal["text", "same", "slice"]
_MOSTLY = 0.95


@dataclass(frozen=True, slots=True)
class Template:
    """How the objects of one file are written: the same names in the same order between the same separators.

    ``pieces`` are the literal texts around the values (one more than there are values). Each value has a kind:
    ``text``, a quoted string; ``same``, a value that DuckDB writes back as it was; ``slice``, any other, cut out of
    the line. A line is *proven* if it equals its pieces and values put together again, a slice being a whole JSON
    value; this shows that every value is exact and that there is no other name and none twice. By induction from the
    left, in a line that DuckDB takes for JSON and that is read up to a value:

    - ``text``: DuckDB gives the first of equal names, which is the one here. If its string had escapes, its content
      would be shorter, and the quote that begins the next piece would lie inside the string, escaped; but then the
      content would have its first quote where the string has none yet, and they agree up to there.
    - ``same`` and ``slice``: what is put in is a complete JSON value, and what follows cannot continue it. No JSON
      value begins another (numbers aside, which end here), so a parser at this place ends where it ends. A
      string's content in the place of a bare value fails as above, with the separator for the quote.
    - NULL is put in as nothing, which no value is, but for the content of "", which is not NULL.

    What DuckDB takes beyond JSON (NaN, trailing commas) is found by pattern, and left to the decoder.
    """

    names: tuple[str, ...]
    pieces: tuple[str, ...]
    kinds: tuple[Kind, ...]
    nullable: tuple[bool, ...]

    @classmethod
    def infer(cls, con: duckdb.DuckDBPyConnection, texts: Sequence[str], forms: Mapping[str, Form]) -> Template | None:
        """The commonest way of writing among some texts, or None where there is none that SQL can follow."""
        seen: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[str, ...]]] = {}
        for text in texts:
            try:
                found = payload.fields(text)
                seen.setdefault((tuple(found), payload.layout(text, found)), []).append(tuple(found.values()))
            except payload.PayloadError:
                continue
        if not seen:
            return None
        (names, pieces), rows = max(seen.items(), key=lambda item: len(item[1]))
        # DuckDB takes no empty name and does not tell names apart by case. Escaped ones are left to the decoder.
        if (
            "" in names
            or len({name.lower() for name in names}) < max(len(names), 1)
            or any(re.search(r"[\x00\\]", p) for p in pieces)
        ):
            return None
        columns = list(zip(*rows, strict=True))
        kinds = tuple(_kind(con, column, forms.get(name, "text")) for name, column in zip(names, columns, strict=True))
        return cls(names, pieces, kinds, tuple("null" in column for column in columns))

    def select(self, relation: str, forms: Mapping[str, Form], *, keep: str = "") -> str:
        """SQL over a relation with a ``line``: columns f0, f1, … for ``forms``, and ``line`` where it is not proven.

        A name of ``forms`` that the template has not is NULL. ``keep`` names a column of the relation to hand on.
        """
        keep = keep and f"{keep}, "
        bare = {
            name: forms.get(name, "text") for name, kind in zip(self.names, self.kinds, strict=True) if kind != "slice"
        }
        members = payload.transformed(
            "line", {name: "JSON" if form == "json" else "VARCHAR" for name, form in bare.items()}
        )
        sql = f"select {keep}line::varchar as line from {relation}"
        sql = f"select *, {members if bare else 'null'} as p from ({sql})"
        # A slice begins where what is put together so far ends. The last one ends where the rest of the line begins,
        # any other where the next piece is found first; if that was inside of it, it is no complete value.
        slices = [at for at, kind in enumerate(self.kinds) if kind == "slice"]
        tests, start, rest = [], 0, "line"
        for n, at in enumerate(slices):
            head = self._between(start, at)
            sql = f"select *, substr({rest}, length(h{n}) + 1) as b{n} from (select *, {head} as h{n} from ({sql}))"
            if at == slices[-1]:
                # A tail that overlaps the head would give a negative length, which counts backwards.
                tail = self._between(at + 1, len(self.names))
                sql = f"select *, length(b{n}) - length(tail) + 1 as e{n} from (select *, {tail} as tail from ({sql}))"
                tests.append(f"suffix(b{n}, tail)")
            else:
                sql = f"select *, instr(b{n}, {_literal(self.pieces[at + 1])}) as e{n} from ({sql})"
            sql = f"select *, left(b{n}, e{n} - 1) as s{n}, substr(b{n}, e{n}) as r{n} from ({sql})"
            sql = f"select *, try_cast(s{n} as json) as v{n} from ({sql})"
            tests += [f"prefix({rest}, h{n})", f"e{n} > 1", f"v{n} is not null", f"not {payload.loose(f's{n}')}"]
            if forms.get(self.names[at]) == "text":
                tests.append(f"not prefix(s{n}, '\"')")
            start, rest = at + 1, f"r{n}"
        if not slices:
            tests.append(f"line = {self._between(0, len(self.names))}")
        for name, kind in zip(self.names, self.kinds, strict=True):
            if kind != "text":
                value = f"s{slices.index(self.names.index(name))}" if kind == "slice" else f"{_member(name)}::varchar"
                tests.append(f"coalesce(not {payload.suspicious(value)}, true)")
        columns = "".join(f"{self._value(name, form)} as f{n}, " for n, (name, form) in enumerate(forms.items()))
        return f"""
            select {keep}{columns}proven, case when not proven then line end as line
            from (select *, coalesce({" and ".join(tests)}, false) as proven from ({sql}))"""

    def _between(self, start: int, end: int) -> str:
        """SQL for the line from the piece before value ``start`` to the piece before value ``end``."""
        parts, literal = [], ""
        for at in range(start, end):
            value = _member(self.names[at])
            quote = '"' if self.kinds[at] == "text" and not self.nullable[at] else ""
            if self.nullable[at]:
                value = f"'\"' || {value} || '\"'" if self.kinds[at] == "text" else f"{value}::varchar"
                value = f"coalesce({value}, 'null')"
            parts += [_literal(literal + self.pieces[at] + quote), value]
            literal = quote
        return f"concat({', '.join([*parts, _literal(literal + self.pieces[end])])})"

    def _value(self, name: str, form: Form) -> str:
        if name not in self.names:
            return "null::json" if form == "json" else "null::varchar"
        at = self.names.index(name)
        if self.kinds[at] == "slice":
            value = f"v{self.kinds[:at].count('slice')}"
            return value if form == "json" else f"nullif({value}::varchar, 'null')"
        return f"coalesce({_member(name)}, 'null'::json)" if form == "json" and self.nullable[at] else _member(name)


def _kind(con: duckdb.DuckDBPyConnection, values: Sequence[str], form: Form) -> Kind:
    """How values like these are best read and proven."""
    strings = sum(value.startswith('"') for value in values)
    if form == "text" and strings * 2 > len(values) - values.count("null"):
        return "text"
    found = con.execute(
        f"select avg(coalesce(try({payload.stable('x')}), false)::int) from (select unnest($values)::varchar as x)",
        {"values": list(values)},
    ).fetchall()
    return "same" if found[0][0] >= _MOSTLY else "slice"


def _member(name: str) -> str:
    return f"struct_extract(p, {_literal(name)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""SQL that edits JSON text by slicing it, where the engine can prove that nothing else changes.

The proof: a text that equals its own re-serialisation is compact, and has one spelling for each name. Quotes inside a
string are escaped, so ``"name":`` stands in it nowhere but at the end of a name. A member that exists at a pointer
shows that it stands there at least once; where it stands once only, replacing text around it is exact at any depth,
and the name stands nowhere twice. Each form here gives NULL where it proves nothing; our function in the engine, which
is the truth, then does the edit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from esbench.payload.engine import FUNCTION
from esbench.payload.sql import stable

__all__ = [
    "TEXT",
    "appended",
    "called",
    "chained",
    "converted",
    "is_name",
    "listed",
    "moved",
    "removed",
    "renamed",
    "replaced",
]

#: Names that stand in JSON text as they are, and in a pointer of the engine; digits could be an index of an array.
_PLAIN = re.compile(r"[^\W\d][\w .:@$-]*")
_COLUMN = re.compile(r'(?:(?:\w+|"[^"]+")\.)*(?:\w+|"[^"]+")')
#: A longer value does not stand in SQL.
_LONG = 10_000
#: Nor does a path of more steps, each of which has to be proven.
_DEEP = 12
#: The variable of a lambda, by which an expression is computed once.
TEXT = "esbench_text"


def called(fast: str | None, column: str, number: int) -> str:
    """SQL: the fast form where it gives a text, else our function with the edit of that number."""
    slow = f"{FUNCTION}(({column})::varchar, {number})"
    return f"coalesce({fast}, {slow})" if fast else slow


def is_name(column: str) -> bool:
    """Whether SQL is the name of a column, which may stand in an expression many times at no cost."""
    return bool(_COLUMN.fullmatch(column))


def chained(column: str, forms: Sequence[str]) -> str:
    """SQL: edits one upon another; each form is SQL of :func:`called` over a column ``esbench_text``."""
    for form in forms:
        column = f"list_transform([{column}], lambda {TEXT}: {form})[1]"
    return column


def removed(column: str, steps: Sequence[str]) -> str | None:
    """SQL: the text without a member."""
    if not _plain(steps):
        return None
    text = f"({column})::varchar"
    return _proven(column, steps, _without(text, steps[-1], _slice(column, steps)))


def renamed(column: str, steps: Sequence[str], name: str) -> str | None:
    """SQL: the text with another name for a member."""
    if not _plain([*steps, name]):
        return None
    text = f"({column})::varchar"
    return _proven(
        column,
        steps,
        f"""case when not contains({text}, {_needle(name)}) and {_slice(column, steps)} is not null
                then replace({text}, {_needle(steps[-1])}, {_needle(name)}) end""",
    )


def replaced(column: str, steps: Sequence[str], raw: str) -> str | None:
    """SQL: the text with another value for a member."""
    if not _plain(steps) or len(raw) > _LONG:
        return None
    return _proven(column, steps, _with_value(column, steps, raw))


def converted(column: str, steps: Sequence[str], number: int) -> str | None:
    """SQL: the text with what our function of that number makes of the one value of a member, or why it makes none."""
    if not _plain(steps):
        return None
    needle, value = _needle(steps[-1]), _slice(column, steps)
    made = f"""case when starts_with(esbench_made, '!') then esbench_made
            else replace(({column})::varchar, {needle} || {value}, {needle} || esbench_made) end"""
    return _proven(
        column,
        steps,
        f"""case when {value} is not null
                then list_transform([{FUNCTION}({value}, {number})], lambda esbench_made: {made})[1] end""",
    )


def listed(column: str, steps: Sequence[str]) -> str | None:
    """SQL: a JSON array of the value at a path, as it is written; an empty one where there is none."""
    if not _plain(steps):
        return None
    return f"case when {_compact(column)} then '[' || coalesce({_slice(column, steps)}, '') || ']' end"


def appended(column: str, steps: Sequence[str], raw: str, *, replace: bool) -> str | None:
    """SQL: the text with one member more, or, where it is there, with the value that it had or this one."""
    if not _plain(steps) or len(raw) > _LONG:
        return None
    text = f"({column})::varchar"
    there = (
        _with_value(column, steps, raw) if replace else f"case when {_slice(column, steps)} is not null then {text} end"
    )
    nested = raw
    for name in reversed(steps[1:]):
        nested = f'{{"{name}":{nested}}}'
    member = f'"{steps[0]}":{nested}}}'
    forms = [
        f"""when not contains({text}, {_needle(steps[0])})
                then case when {text} = '{{}}' then {_quoted("{" + member)}
                    else left({text}, -1) || {_quoted("," + member)} end"""
    ]
    if len(steps) > 1:
        parent = _slice(column, steps[:-1])
        forms.append(
            f"""when {_once(text, steps[:-1])} and starts_with({parent}, '{{') and {parent} <> '{{}}'
                and not contains({parent}, {_needle(steps[-1])})
                then replace({text}, {_needle(steps[-2])} || {parent},
                    {_needle(steps[-2])} || left({parent}, -1) || {_quoted(f',"{steps[-1]}":{raw}}}')})"""
        )
    forms.append(f"when {_once(text, steps)} then {there}")
    return f"""case when {_compact(column)} then case {" ".join(forms)} end end"""


def moved(column: str, steps: Sequence[str], to: Sequence[str]) -> str | None:
    """SQL: the text with a member's value elsewhere: where the object that it goes to is not there, or has others."""
    if not _plain([*steps, *to]) or to[0] == steps[0]:
        return None
    text = f"({column})::varchar"
    value = _slice(column, steps)
    rest = _without(text, steps[-1], value)
    opening = "".join(f'{{"{name}":' for name in to[1:])
    closing = "}" * len(to)
    # A payload that has no other member would be left empty.
    forms = [
        f"""when not contains({text}, {_needle(to[0])})
                and {text} <> {_quoted('{"' + steps[0] + '":')} || {_slice(column, steps[:1])} || '}}'
                then left({rest}, -1) || {_quoted(f',"{to[0]}":{opening}')} || {value} || '{closing}'"""
    ]
    if len(to) > 1:
        parent = _slice(column, to[:-1])
        forms.append(
            f"""when {_once(text, to[:-1])} and starts_with({parent}, '{{') and {parent} <> '{{}}'
                and not contains({parent}, {_needle(to[-1])})
                then replace({rest}, {_needle(to[-2])} || {parent},
                    {_needle(to[-2])} || left({parent}, -1) || {_quoted(f',"{to[-1]}":')} || {value} || '}}')"""
        )
    return _proven(column, steps, f"case {' '.join(forms)} end")


def _proven(column: str, steps: Sequence[str], edited: str) -> str:
    """SQL: the text itself where it certainly lacks a member, the edited one where every name on the way is unique."""
    text = f"({column})::varchar"
    lacks = f"not contains({text}, {_quoted(chr(34) + steps[-1] + chr(34))}) and not contains({text}, '\\')"
    return f"""case when {_compact(column)}
            then case when not contains({text}, {_needle(steps[-1])}) then {text}
                when {_once(text, steps)} then {edited} end
            when {lacks} then {text} end"""


def _compact(column: str) -> str:
    """SQL: true for an object whose text may be sliced. What is no JSON at all gives NULL."""
    return f"starts_with(({column})::varchar, '{{') and try({stable(column)})"


def _once(text: str, steps: Sequence[str]) -> str:
    """SQL: true where no name of some stands twice. In LIKE, _ and % also stand for others: then it claims less."""
    return " and ".join(f"""not {text} like {_quoted(f'%"{name}":%"{name}":%')}""" for name in dict.fromkeys(steps))


def _without(text: str, name: str, value: str) -> str:
    """SQL: the text without the one member of a name, whose value is known."""
    needle = _needle(name)
    return f"""case when contains({text}, ',' || {needle}) then replace({text}, ',' || {needle} || {value}, '')
        else replace(replace({text}, '{{' || {needle} || {value} || ',', '{{'),
            '{{' || {needle} || {value} || '}}', '{{}}') end"""


def _with_value(column: str, steps: Sequence[str], raw: str) -> str:
    """SQL: the text with another value for the one member of a name; NULL where it is not at its place."""
    needle = _needle(steps[-1])
    return f"replace(({column})::varchar, {needle} || {_slice(column, steps)}, {needle} || {_quoted(raw)})"


def _slice(column: str, steps: Sequence[str]) -> str:
    return f"(({column})->{_quoted('/' + '/'.join(steps))})::varchar"


def _needle(name: str) -> str:
    return _quoted(f'"{name}":')


def _plain(names: Sequence[str]) -> bool:
    return len(names) <= _DEEP and all(_PLAIN.fullmatch(name) for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

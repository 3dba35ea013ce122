"""Plain conditions in SQL, understood in Python: what the engine would say of one state, a thousand times sooner.

Comparisons of columns with numbers, texts and each other, integer sums, differences and products, ``in``, ``is null``,
``and``, ``or`` and ``not``, in three-valued logic. Whatever is not plainly the same in both is left to the engine:
other SQL when it is compiled, values out of an exact range (:class:`Unclear`) when it is called.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

__all__ = ["Unclear", "compiled"]

_TOKENS: Final = re.compile(
    r"""\s*(?:(?P<number>\d{1,15}(?:\.\d{1,15})?(?![\w.]))|(?P<name>[A-Za-z_]\w*|"(?:[^"]|"")+")"""
    r"""|(?P<text>'(?:[^']|'')*')|(?P<sign><=|>=|<>|!=|[-+*=<>(),]))"""
)
_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORDS: Final = {"and", "or", "not", "in", "is", "null", "true", "false"}
#: A little less than the engine's widest integer holds.
_WIDEST: Final = 2**126

Row = Sequence[Any]
Read = Callable[[Row], Any]

#: What a column of each type is called here, and which of its values are plain.
_CLEAR: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "HUGEINT": ("integer", lambda value: type(value) is int and -_WIDEST < value < _WIDEST),
    "DOUBLE": ("double", lambda value: type(value) is float and math.isfinite(value)),
    "BOOLEAN": ("boolean", lambda value: type(value) is bool),
    "VARCHAR": ("text", lambda value: type(value) is str and value.isascii() and "\0" not in value),
}


class Unclear(Exception):
    """The engine is to say it."""


class _Other(Exception):
    """The condition is none of these."""


@dataclass(frozen=True, slots=True)
class _Value:
    """What a part of a condition gives: its kind, and how it is read from a row. ``places``: of decimals."""

    kind: str
    read: Read
    constant: bool = False
    places: int = 0


def compiled(text: str, columns: Mapping[str, str], read: Sequence[str]) -> Callable[[Row], bool] | None:
    """Whether a condition holds for the values of the columns in ``read``; None where only the engine can say.

    It holds unless it is false, as a constraint does. The function raises :class:`Unclear` for values out of range.

    >>> holds = compiled(
    ...     "quantity - reserved >= 0 and status <> 'lost'",
    ...     {"quantity": "HUGEINT", "reserved": "HUGEINT", "status": "VARCHAR"},
    ...     ["quantity", "reserved", "status"],
    ... )
    >>> holds([5, 2, "here"]), holds([1, 2, "here"]), holds([5, None, None])
    (True, False, True)
    """
    try:
        condition = _Parser(text, columns, read).whole()
    except _Other:
        return None
    judge = condition.read
    return lambda row: judge(row) is not False


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, str], read: Sequence[str]) -> None:
        self._columns = {name.lower(): (read.index(name), kind) for name, kind in columns.items() if name in read}
        if len(self._columns) < len(read) or "--" in text:  # the latter begins a comment
            raise _Other
        self._tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKENS.match(text, at)
            if found is None or found.lastgroup is None:
                raise _Other
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._at = 0

    def whole(self) -> _Value:
        found = self._any()
        if self._at < len(self._tokens) or found.kind != "boolean":
            raise _Other
        return found

    def _any(self) -> _Value:
        left = self._every()
        while self._word("or"):
            left = _either(left, self._every(), decisive=True)
        return left

    def _every(self) -> _Value:
        left = self._negated()
        while self._word("and"):
            left = _either(left, self._negated(), decisive=False)
        return left

    def _negated(self) -> _Value:
        if not self._word("not"):
            return self._comparison()
        inner = self._negated()
        if inner.kind != "boolean":
            raise _Other
        read = inner.read
        return _Value("boolean", lambda row: None if (value := read(row)) is None else not value)

    def _comparison(self) -> _Value:
        left = self._sum()
        if self._word("is"):
            wanted = not self._word("not")
            if not self._word("null"):
                raise _Other
            read = left.read
            return _Value("boolean", lambda row: (read(row) is None) is wanted)
        negated = self._word("not")
        if self._word("in"):
            found = self._listed(left)
            return _compared(found, _Value("boolean", lambda _: False, True), operator.eq) if negated else found
        if negated:
            raise _Other
        for sign in _COMPARED:
            if self._sign(sign):
                return _compared(left, self._sum(), _COMPARED[sign])
        return left

    def _listed(self, left: _Value) -> _Value:
        if not self._sign("("):
            raise _Other
        found = _compared(left, self._sum(), operator.eq)
        while self._sign(","):
            found = _either(found, _compared(left, self._sum(), operator.eq), decisive=True)
        if not self._sign(")"):
            raise _Other
        return found

    def _sum(self) -> _Value:
        left = self._product()
        while True:
            if self._sign("+"):
                left = _counted(left, self._product(), operator.add)
            elif self._sign("-"):
                left = _counted(left, self._product(), operator.sub)
            else:
                return left

    def _product(self) -> _Value:
        left = self._one()
        while self._sign("*"):
            left = _counted(left, self._one(), operator.mul)
        return left

    def _one(self) -> _Value:
        if self._sign("-"):
            return _opposite(self._one())
        if self._sign("("):
            inner = self._any()
            if not self._sign(")"):
                raise _Other
            return inner
        if self._at == len(self._tokens):
            raise _Other
        kind, token = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return _number(token)
        if kind == "text":
            value = token[1:-1].replace("''", "'")
            return _Value("text", lambda _: value, True)
        if kind == "name" and token.lower() in ("true", "false"):
            truth = token.lower() == "true"
            return _Value("boolean", lambda _: truth, True)
        if kind == "name" and token.lower() not in _WORDS:
            return self._column(token)
        raise _Other

    def _column(self, token: str) -> _Value:
        name = token[1:-1].replace('""', '"') if token.startswith('"') else token
        # A word such as current_date may mean the engine's own.
        if name.lower() not in self._columns or name.lower().startswith(("current_", "local")):
            raise _Other
        place, kind = self._columns[name.lower()]
        return _column(place, kind)

    def _word(self, word: str) -> bool:
        return self._taken("name", word)

    def _sign(self, sign: str) -> bool:
        return self._taken("sign", sign)

    def _taken(self, kind: str, wanted: str) -> bool:
        if self._at < len(self._tokens):
            found, token = self._tokens[self._at]
            if found == kind and token.lower() == wanted:
                self._at += 1
                return True
        return False


def _column(place: int, kind: str) -> _Value:
    if kind in _CLEAR:
        called, clear = _CLEAR[kind]
        return _Value(called, _read(place, clear))
    scale = re.fullmatch(r"DECIMAL\(38, (\d+)\)", kind)
    if scale is None or int(scale[1]) > 18:
        raise _Other
    places = int(scale[1])

    def exact(value: Any) -> bool:
        return type(value) is Decimal and value.is_finite() and abs(value) <= 10**18 and _places(value) <= places

    return _Value("decimal", _read(place, exact), places=places)


def _read(place: int, clear: Callable[[Any], bool]) -> Read:
    """A column's value in a row. Raises Unclear for one that is not plainly the same in Python and in the engine."""

    def read(row: Row) -> Any:
        value = row[place]
        if value is not None and not clear(value):
            raise Unclear
        return value

    return read


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 99


def _number(token: str) -> _Value:
    if "." not in token:
        whole = int(token)
        return _Value("integer", lambda _: whole, True)
    exact = Decimal(token)
    return _Value("decimal", lambda _: exact, True, _places(exact))


def _opposite(value: _Value) -> _Value:
    if not value.constant or value.kind not in ("integer", "decimal"):
        raise _Other
    number = -value.read(())
    return _Value(value.kind, lambda _: number, True, value.places)


def _counted(left: _Value, right: _Value, count: Callable[[int, int], int]) -> _Value:
    """Integers alone; numbers by themselves are narrower in the engine than in Python."""
    if (left.kind, right.kind) != ("integer", "integer") or (left.constant and right.constant):
        raise _Other
    first, second = left.read, right.read

    def read(row: Row) -> Any:
        one, other = first(row), second(row)
        if one is None or other is None:
            return None
        number = count(one, other)
        if not -_WIDEST < number < _WIDEST:
            raise Unclear
        return number

    return _Value("integer", read)


def _compared(left: _Value, right: _Value, compare: Callable[[Any, Any], bool]) -> _Value:
    if left.constant and right.constant:
        raise _Other
    first, second = _alike(left, right), _alike(right, left)

    def read(row: Row) -> Any:
        one, other = first(row), second(row)
        return None if one is None or other is None else compare(one, other)

    return _Value("boolean", read)


def _alike(value: _Value, beside: _Value) -> Read:
    """How a value is read to be compared with another. Raises _Other where the engine might round, or refuse."""
    if value.kind == beside.kind and value.kind != "decimal":
        return value.read
    if {value.kind, beside.kind} == {"decimal"}:
        constant = value if value.constant else beside
        other = beside if value.constant else value
        if value.places == beside.places or (constant.constant and constant.places <= other.places):
            return value.read
    if value.constant and value.kind in ("integer", "decimal") and beside.kind == "double":
        number = float(value.read(()))
        return lambda _: number
    if (value.kind == "double" and beside.constant and beside.kind in ("integer", "decimal")) or (
        {value.kind, beside.kind} == {"integer", "decimal"} and (value if value.kind == "integer" else beside).constant
    ):
        return value.read
    raise _Other


def _either(left: _Value, right: _Value, *, decisive: bool) -> _Value:
    """``or`` where true decides, ``and`` where false does; unknown unless one decides, or both are known."""
    if (left.kind, right.kind) != ("boolean", "boolean"):
        raise _Other
    first, second = left.read, right.read

    def read(row: Row) -> Any:
        one = first(row)
        other = second(row)
        if one is decisive or other is decisive:
            return decisive
        return None if one is None or other is None else not decisive

    return _Value("boolean", read)

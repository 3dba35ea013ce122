"""One JSON text opened level by level: what an edit does not touch keeps its text, byte for byte.

A level is an object or an array taken apart into its members, each with the literal text before its name, its name as
written, what stands between name and value, and the value, which stays text until a path leads into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from esbench.payload.scan import PayloadError, check
from esbench.payload.text import encode

__all__ = ["ALL", "Document", "Level", "Match", "Member", "opened", "pointed"]

#: The step of a path that stands for every item of an array, or every member of an object.
ALL = "*"

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])
_INDEX = re.compile("0|[1-9][0-9]{0,17}")
_BRACKET = re.compile(r"[ \t\n\r]*[{\[]")
_SPACE = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_KEY = re.compile(r'("(?:[^"\\]++|\\.)*+")([ \t\n\r]*:[ \t\n\r]*)')
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{},]')


class Member:
    """A member of an object, or an item of an array, whose name and gap are empty."""

    __slots__ = ("gap", "key", "lead", "value")

    def __init__(self, lead: str, key: str, gap: str, value: str | Level) -> None:
        self.lead = lead
        self.key = key
        self.gap = gap
        self.value = value

    @property
    def name(self) -> str:
        """The name, decoded."""
        return str(json.loads(self.key)) if "\\" in self.key else self.key[1:-1]


class Level:
    """An object or an array, opened. Its head, members and tail put together are its text."""

    __slots__ = ("_names", "head", "is_array", "members", "tail")

    def __init__(self, head: str, members: list[Member], tail: str, *, is_array: bool) -> None:
        self.head = head
        self.members = members
        self.tail = tail
        self.is_array = is_array
        self._names: dict[str, Member | None] | None = None

    def get(self, step: str) -> Member | None:
        """The member of a name, or the item at an index, if there is one. Raises for a name that stands twice."""
        if self.is_array:
            if _INDEX.fullmatch(step) and int(step) < len(self.members):
                return self.members[int(step)]
            return None
        if self._names is None:
            self._names = {}
            for member in self.members:
                name = member.name
                self._names[name] = None if name in self._names else member
        if step not in self._names:
            return None
        found = self._names[step]
        if found is None:
            raise PayloadError(f"the name {encode(step)[:80]} stands twice in it")
        return found

    def append(self, name: str, value: str, gap: str) -> None:
        """A new last member, spaced as the others are; ``gap`` is for an object that has none."""
        lead = ""
        if self.members:
            last = self.members[-1]
            gap = last.gap
            lead = last.lead if len(self.members) > 1 else _between(last.lead, self.members)
        member = Member(lead, encode(name), gap, value)
        self.members.append(member)
        if self._names is not None:
            self._names[name] = member

    def remove(self, members: Sequence[Member]) -> None:
        """Take members out; the one that becomes the first gets the place of the one that was."""
        gone = {id(member) for member in members}
        first = self.members[0].lead
        self.members = [member for member in self.members if id(member) not in gone]
        if self.members:
            self.members[0].lead = first
        self._names = None

    def arrange(self, members: list[Member]) -> None:
        """Have these members, some of them new, in this order; what has no place between others gets the usual one."""
        if members == self.members:
            return
        first = self.members[0].lead if self.members else ""
        between = self.members[-1].lead if len(self.members) > 1 else _between(first, self.members or members)
        for at, member in enumerate(members):
            if at == 0:
                member.lead = first
            elif "," not in member.lead:
                member.lead = between
        self.members = members
        self._names = None

    def rename(self, member: Member, name: str) -> None:
        """Give a member another name, in its place. Raises where that name is taken, and for an item of an array."""
        if self.is_array:
            raise PayloadError("an item of an array has no name")
        if member.name == name:
            return
        if self.get(name):
            raise PayloadError(f"{encode(name)[:80]} is there already")
        member.key = encode(name)
        self._names = None


def _between(first: str, members: Sequence[Member]) -> str:
    """What stands before a second member, going by the first one."""
    return "," + (first or (" " if members[0].gap.endswith(" ") else ""))


class Match(NamedTuple):
    """A place that a path leads to: a member, the level that has it, and what ``*`` stood for on the way."""

    level: Level
    member: Member
    stood: tuple[str, ...]


class Document:
    """One JSON text while it is edited; :meth:`text` puts it together again.

    Raises PayloadError where the text is not strict JSON, or where a path leads through a name that stands twice.
    """

    __slots__ = ("_root", "_source", "changed")

    def __init__(self, text: str) -> None:
        self._source = text
        self._root = Member("", "", "", text)
        self.changed = False
        if self._open(self._root) is None and (reason := check(text)):
            raise PayloadError(reason)

    def text(self) -> str:
        """The text as it is now; the very same as before, where nothing was changed."""
        if not self.changed:
            return self._source
        done: list[str] = []
        waiting: list[str | Level] = [self._root.value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                done.append(value)
                continue
            done.append(value.head)
            waiting.append(value.tail)
            for member in reversed(value.members):
                waiting.append(member.value)
                waiting.append(member.lead + member.key + member.gap)
        return "".join(done)

    def matches(self, steps: Sequence[str]) -> list[Match]:
        """Every place that a path leads to, in order of the text; none where it leads nowhere."""
        found = [Match(_NOWHERE, self._root, ())]
        for step in steps:
            found = list(self._next(found, step))
        return found

    def _next(self, found: list[Match], step: str) -> Iterator[Match]:
        for _, holder, stood in found:
            level = self._open(holder)
            if level is None:
                continue
            if step == ALL:
                for at, member in enumerate(level.members):
                    yield Match(level, member, (*stood, str(at) if level.is_array else member.name))
            elif there := level.get(step):
                yield Match(level, there, stood)

    def raw(self, member: Member) -> str:
        """The text of a value as it is now."""
        if isinstance(member.value, str):
            return member.value
        apart = Document.__new__(Document)
        apart._source, apart._root, apart.changed = "", member, True
        return apart.text()

    def set(self, member: Member, raw: str) -> None:
        """Put another value in place of one."""
        if isinstance(member.value, Level) or member.value != raw:
            member.value = raw
            self.changed = True

    def rename(self, match: Match, name: str) -> None:
        """Give a member another name, in its place. Raises where that name is taken, and for an item of an array."""
        key = match.member.key
        match.level.rename(match.member, name)
        self.changed = self.changed or match.member.key != key

    def remove(self, found: Sequence[Match]) -> None:
        """Take out all of some places."""
        levels: dict[int, tuple[Level, list[Member]]] = {}
        for match in found:
            levels.setdefault(id(match.level), (match.level, []))[1].append(match.member)
        for level, members in levels.values():
            level.remove(members)
        self.changed = self.changed or bool(levels)

    def add(self, steps: Sequence[str], raw: str, *, replace: bool | None = False) -> None:
        """Append a member; missing parents are made. Where it is there: keep it, replace it, or raise (None)."""
        holder, gap = self._root, ":"
        for at, step in enumerate(steps):
            level = self._open(holder)
            if level is None:
                raise PayloadError(f"{pointed(steps[:at]) or 'the payload'} is no object")
            found = level.get(step)
            if found is None:
                if level.is_array:
                    raise PayloadError(f"{pointed(steps[:at]) or 'the payload'} is an array without an item {step}")
                gap = level.members[-1].gap if level.members else gap
                for name in reversed(steps[at + 1 :]):
                    raw = f"{{{encode(name)}{gap}{raw}}}"
                level.append(step, raw, gap)
                self.changed = True
                return
            holder, gap = found, found.gap or gap
        if replace:
            self.set(holder, raw)
        elif replace is None:
            raise PayloadError(f"{pointed(steps)} is there already")

    def _open(self, member: Member) -> Level | None:
        """The value of a member as a level, which it is from now on; None for a value that has no members."""
        if isinstance(member.value, str):
            level = opened(member.value, known=member is not self._root)
            if level is None:
                return None
            member.value = level
        return member.value


_NOWHERE = Level("", [], "", is_array=True)


def pointed(steps: Sequence[str]) -> str:
    """The JSON Pointer of some steps.

    >>> pointed(["a/b", "0"])
    '/a~1b/0'
    """
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def opened(text: str, *, known: bool = False) -> Level | None:
    """An object or an array taken apart, None for any other value.

    Raises PayloadError for what is no strict JSON, unless it is known to be.
    """
    bracket = _BRACKET.match(text)
    return _level(text, bracket.end(), known=known) if bracket else None


def _level(text: str, start: int, *, known: bool) -> Level:
    """An object or an array taken apart; ``start`` is where its inside begins."""
    is_array = text[start - 1] == "["
    found: list[tuple[str, str]] = []
    try:
        if is_array:
            found = [("", str(raw, "utf-8")) for raw in _raw_items.decode(text)]
        else:
            found = [(f'"{name}"', str(raw, "utf-8")) for name, raw in _raw_members.decode(text).items()]
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        if not known and (reason := check(text)):
            raise PayloadError(reason) from None
        return _walked(text, start)
    # The decoder keeps the last of two equal names without a word; a usual way of writing proves that there are none.
    head, tail = text[start - 1], "]" if is_array else "}"
    if is_array:
        comma, gap = (", " if len(found) > 1 and text.startswith(", ", 1 + len(found[0][1])) else ","), ""
        inside = comma.join([raw for _, raw in found])
    else:
        spaced = bool(found) and text.startswith(": ", 1 + len(found[0][0]))
        comma, gap = (", ", ": ") if spaced else (",", ":")
        inside = comma.join([f"{key}{gap}{raw}" for key, raw in found])
    if text == f"{head}{inside}{tail}":
        members = [Member(comma, key, gap, raw) for key, raw in found]
        if members:
            members[0].lead = ""
        return Level(head, members, tail, is_array=is_array)
    return _walked(text, start)


def _walked(text: str, start: int) -> Level:
    """What :func:`_level` gives, for any strict JSON: values end where a comma or bracket of this level stands."""
    is_array = text[start - 1] == "["
    members: list[Member] = []
    depth, began = 1, start
    for token in _STRUCTURE.finditer(text, start):
        sign = token[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if depth and not (depth == 1 and sign == ","):
            continue
        space = _SPACE.match(text, began)
        assert space
        at = space.end()
        if at < token.start():
            key = None if is_array else _KEY.match(text, at)
            value = key.end() if key else at
            raw = text[value : token.start()].rstrip(" \t\n\r")
            members.append(Member(text[began:at], key[1] if key else "", key[2] if key else "", raw))
            # Space behind a value goes with what follows it.
            began = value + len(raw)
        if not depth:
            break
    return Level(text[:start], members, text[began:], is_array=is_array)

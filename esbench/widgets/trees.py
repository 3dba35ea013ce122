"""States and payloads as trees in HTML, capped in every direction, with what an event changed marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from esbench import payload
from esbench.fold.changes import ABSENT, Change, brief, fields_of
from esbench.widgets import marks

__all__ = ["changed", "payload_tree", "tree"]

#: So many members of one container, and so many levels, are shown; what was changed is shown beside in any case.
_MEMBERS, _LEVELS, _CHANGES, _RAW = 40, 9, 12, 4_000
#: So many lines has a tree in all.
_LINES: Final = 1_000
#: Levels down to this are open.
_OPEN: Final = 3


def tree(value: Any, changes: Iterable[Change] = ()) -> str:
    """A value as a tree, with changes marked: ``+`` added, ``−`` removed, old ``→`` new.

    >>> print(tree({"n": 2}, [Change("/n", 5, 2)]))
    <ul class="es-tree"><li class="es-changed">n: 5 → <code>2</code></li></ul>
    """
    drawn = _Drawn(changes)
    return f'<ul class="es-tree">{drawn.items(value, "", 0) or drawn.item("state", value, "", 0)}</ul>'


def payload_tree(text: str | None, called: str) -> str:
    """A payload as a tree, and its text as it came in; the text alone where it cannot be decoded."""
    if text is None:
        return marks.note(f"no {called}")
    raw = marks.text(text, width=_RAW)
    try:
        value = payload.decode(text)
    except Exception:  # noqa: BLE001 (hostile payloads: whatever cannot be decoded is shown as text)
        return f"<code>{raw}</code>"
    more = f" ({_RAW:,} of {len(text):,} characters)" if len(text) > _RAW else ""
    shown = tree(value) if _Members(value) else f"<code>{raw}</code>"
    return f"{shown}<details><summary class='es-faint'>as recorded{more}</summary><code>{raw}</code></details>"


def changed(changes: Iterable[Change], events: int = 1) -> str:
    """What so many events changed together, as a list of the first changes."""
    every = changes if isinstance(changes, Sequence) else list(changes)
    if not every:
        return marks.note(f"{_these(events)} changed nothing in the state")
    lines = "".join(f"<li {_class(one)}>{_sign(one)} {marks.text(one)}</li>" for one in every[:_CHANGES])
    more = marks.note(f"{_CHANGES} of {len(every):,} changes") if len(every) > _CHANGES else ""
    said = f"{_these(events)} changed {len(every):,} {'value' if len(every) == 1 else 'values'}"
    return f'<details><summary class="es-faint">{said}</summary><ul class="es-tree">{lines}</ul>{more}</details>'


def _these(events: int) -> str:
    return "this event" if events == 1 else f"these {events:,} events together"


def _sign(change: Change) -> str:
    return "+" if change.before is ABSENT else "−" if change.after is ABSENT else "≠"


def _class(change: Change) -> str:
    name = "added" if change.before is ABSENT else "removed" if change.after is ABSENT else "changed"
    return f'class="es-{name}"'


class _Drawn:
    """A tree that is being drawn: changes by path, with what was touched below each path; and how much may follow."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._at = {change.path: change for change in changes}
        # By path, the paths of members at or below which something changed: each is noted once, however many those are.
        self._below: dict[str, dict[str, None]] = {}
        for path in self._at:
            while path:
                above = path.rpartition("/")[0]
                known = self._below.setdefault(above, {})
                if path in known:
                    break
                known[path] = None
                path = above
        self._left = _LINES

    def items(self, value: Any, path: str, depth: int) -> str:
        """The members of a container as lines: the first, then those that were touched, then those that are gone."""
        members, touched = _Members(value), self._below.get(path, {})
        shown = [(one, f"{path}/{token}", member) for one, token, member in members.first(_MEMBERS)]
        first = {place for _, place, _ in shown}
        tokens = (one[len(path) + 1 :] for one in touched if one not in first)
        shown += islice(((_name(one), f"{path}/{one}", members[one]) for one in tokens if one in members), _CHANGES)
        count = len(shown)
        gone = (one for one in touched if one in self._at and self._at[one].after is ABSENT)
        shown += [(_name(one[len(path) + 1 :]), one, None) for one in islice(gone, _CHANGES)]
        # All of these first, so that no member hides those beside it.
        self._left -= len(shown)
        lines = [self.item(name, member, place, depth) for name, place, member in shown]
        if count < len(members):
            lines.append(f'<li class="es-faint">{count:,} of {len(members):,}</li>')
        return "".join(lines)

    def item(self, name: str, value: Any, path: str, depth: int) -> str:
        """One member, with what it has in itself."""
        change = self._at.get(path)
        label = marks.text(name, width=120)
        if change is not None and change.after is ABSENT:
            return f"<li {_class(change)}>− {label}: <del><code>{marks.text(brief(change.before))}</code></del></li>"
        before = sign = ""
        kind = ""
        if change is not None:
            kind = f" {_class(change)}"
            sign = "+ " if change.before is ABSENT else ""
            before = "" if change.before is ABSENT else f"{marks.text(brief(change.before))} → "
        members = _Members(value)
        if not members or depth >= _LEVELS or self._left <= 0:
            return f"<li{kind}>{sign}{label}: {before}<code>{marks.text(_leaf(value))}</code></li>"
        opened = (depth < _OPEN and len(members) <= _MEMBERS) or path in self._below or change is not None
        count = f'<span class="es-faint">{len(members):,}</span>'
        return (
            f"<li{kind}><details{' open' if opened else ''}><summary>{sign}{label}: {before}{count}</summary>"
            f"<ul>{self.items(value, path, depth + 1)}</ul></details></li>"
        )


class _Members:
    """The members of a container by path token; none for what has none, or names that are no texts."""

    def __init__(self, value: Any) -> None:
        fields = getattr(value, "_fields", None) if isinstance(value, tuple) else None
        self._list: Sequence[Any] | None = value if isinstance(value, (list, tuple)) and not fields else None
        named = (
            {} if self._list is not None else fields_of(value) if fields is None else zip(fields, value, strict=False)
        )
        self._named: dict[str, Any] = dict(named or {})

    def __len__(self) -> int:
        return len(self._named) if self._list is None else len(self._list)

    def __contains__(self, token: str) -> bool:
        if self._list is None:
            return _name(token) in self._named
        return token.isdecimal() and int(token) < len(self._list)

    def __getitem__(self, token: str) -> Any:
        return self._named[_name(token)] if self._list is None else self._list[int(token)]

    def first(self, most: int) -> list[tuple[str, str, Any]]:
        """The first so many: name, token and value."""
        if self._list is not None:
            return [(str(place), str(place), member) for place, member in enumerate(self._list[:most])]
        return [
            (name, name.replace("~", "~0").replace("/", "~1"), member)
            for name, member in islice(self._named.items(), most)
        ]


def _leaf(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:400]}"' if len(value) <= 400 else f'"{value[:280]}" … {len(value):,} characters'
    return brief(value)


def _name(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")

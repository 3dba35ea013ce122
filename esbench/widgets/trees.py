"""States and payloads as trees in HTML, capped in every direction, with what an event changed marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from esbench import payload
from esbench.fold.changes import ABSENT, Change, brief, fields_of
from esbench.widgets import marks

__all__ = ["changed", "payload_tree", "tree"]

#: So many members of one container, and so many levels, are shown; what was changed is shown beside in any case.
_MEMBERS, _LEVELS, _CHANGES, _RAW = 40, 9, 12, 4_000
#: Levels down to this are open.
_OPEN: Final = 3


def tree(value: Any, changes: Iterable[Change] = ()) -> str:
    """A value as a tree, with changes marked: ``+`` added, ``−`` removed, old ``→`` new.

    >>> print(tree({"n": 2}, [Change("/n", 5, 2)]))
    <ul class="es-tree"><li class="es-changed">n: 5 → <code>2</code></li></ul>
    """
    by_path = {change.path: change for change in changes}
    if _members(value):
        return f'<ul class="es-tree">{_items(value, "", by_path, 0)}</ul>'
    return f'<ul class="es-tree">{_item("state", value, "", by_path, 0)}</ul>'


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
    shown = tree(value) if _members(value) else f"<code>{raw}</code>"
    return f"{shown}<details><summary class='es-faint'>as recorded{more}</summary><code>{raw}</code></details>"


def changed(changes: Iterable[Change]) -> str:
    """Changes as a list, the first of them."""
    every = list(changes)
    if not every:
        return marks.note("this event changed nothing in the state")
    lines = "".join(f"<li {_class(one)}>{_sign(one)} {marks.text(one)}</li>" for one in every[:_CHANGES])
    more = marks.note(f"{_CHANGES} of {len(every):,} changes") if len(every) > _CHANGES else ""
    said = f"this event changed {len(every):,} {'value' if len(every) == 1 else 'values'}"
    return f'<details><summary class="es-faint">{said}</summary><ul class="es-tree">{lines}</ul>{more}</details>'


def _sign(change: Change) -> str:
    return "+" if change.before is ABSENT else "−" if change.after is ABSENT else "≠"


def _class(change: Change) -> str:
    name = "added" if change.before is ABSENT else "removed" if change.after is ABSENT else "changed"
    return f'class="es-{name}"'


def _items(value: Any, path: str, changes: Mapping[str, Change], depth: int) -> str:
    members = _members(value)
    shown = list(members.items())[:_MEMBERS]
    rest = list(members.items())[_MEMBERS:]
    shown += [(token, one) for token, one in rest if _touched(f"{path}/{token}", changes)][:_CHANGES]
    lines = [_item(_name(token), one, f"{path}/{token}", changes, depth) for token, one in shown]
    gone = [one for one in changes.values() if one.after is ABSENT and one.path.rpartition("/")[0] == path and one.path]
    lines += [_item(_name(one.path.rpartition("/")[2]), None, one.path, changes, depth) for one in gone[:_CHANGES]]
    if len(shown) < len(members):
        lines.append(f'<li class="es-faint">{len(shown):,} of {len(members):,}</li>')
    return "".join(lines)


def _item(name: str, value: Any, path: str, changes: Mapping[str, Change], depth: int) -> str:
    change = changes.get(path)
    label = marks.text(name, width=120)
    if change is not None and change.after is ABSENT:
        return f"<li {_class(change)}>− {label}: <del><code>{marks.text(brief(change.before))}</code></del></li>"
    before = sign = ""
    kind = ""
    if change is not None:
        kind = f" {_class(change)}"
        sign = "+ " if change.before is ABSENT else ""
        before = "" if change.before is ABSENT else f"{marks.text(brief(change.before))} → "
    members = _members(value)
    if not members or depth >= _LEVELS:
        return f"<li{kind}>{sign}{label}: {before}<code>{marks.text(_leaf(value))}</code></li>"
    inside = any(one.startswith(f"{path}/") for one in changes)
    opened = " open" if (depth < _OPEN and len(members) <= _MEMBERS) or inside or change is not None else ""
    count = f'<span class="es-faint">{len(members):,}</span>'
    return (
        f"<li{kind}><details{opened}><summary>{sign}{label}: {before}{count}</summary>"
        f"<ul>{_items(value, path, changes, depth + 1)}</ul></details></li>"
    )


def _touched(path: str, changes: Mapping[str, Change]) -> bool:
    return any(one == path or one.startswith(f"{path}/") for one in changes)


def _leaf(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:400]}"' if len(value) <= 400 else f'"{value[:280]}" … {len(value):,} characters'
    return brief(value)


def _members(value: Any) -> dict[str, Any]:
    """The members of a container by path token; none for what has none, or names that are no texts."""
    if isinstance(value, (list, tuple)):
        return {str(place): member for place, member in enumerate(value)}
    fields = fields_of(value) or {}
    return {name.replace("~", "~0").replace("/", "~1"): member for name, member in fields.items()}


def _name(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")

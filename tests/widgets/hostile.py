"""Logs that a widget must take: hostile, tiny, empty; and aggregates that fail."""

from __future__ import annotations

from typing import Any

import pandas as pd

import esbench as es

__all__ = ["HOSTILE", "failing", "log_of", "noting", "plain_html"]

DEEP = '{"a":' * 300 + "1" + "}" * 300

#: Payloads that try to become part of the page, to hide, to fill the screen or to exhaust the stack.
HOSTILE = [
    '{"n": "<script>window.hit = 1</script>"}',
    '{"<img src=x onerror=alert(1)>": 1, "n": "</code></li><b>"}',
    '{"n": "' + "x" * 5_000_000 + '"}',
    DEEP,
    '{"n": "\u202egnirts a\u202c \u0000 \u2028 end"}',
    '{"n": 1, "n": 2}',
    "[1, 2, {}]",
    '"only text"',
    "null",
]


def log_of(rows: list[dict[str, Any]], name: str = "things") -> es.Log:
    """A log in memory; stream, version and type have defaults."""
    filled = [
        {
            "stream_id": "a",
            "version": place + 1,
            "event_type": "Noted",
            "event_id": f"e{place + 1}",
            "recorded_at": f"2024-06-01T12:{place:02}:00Z",
            "data": "{}",
            "metadata": None,
            **row,
        }
        for place, row in enumerate(rows)
    ]
    return es.open().load(pd.DataFrame(filled), name=name)


def noting() -> es.Aggregate:
    """The last payload, and how many there were; ``n`` stays below four."""
    made = es.Aggregate("Note", initial={"count": 0}, streams="*")

    @made.on("Noted")
    def note(state, event):
        return {"count": state["count"] + 1, "last": event.data}

    @made.invariant("few notes <b>")
    def few(state):
        return state["count"] < 4

    return made


def failing() -> es.Aggregate:
    """An aggregate whose handler raises something hostile at every second event."""
    made = es.Aggregate("Bad", initial={"count": 0}, streams="*")

    @made.on("Noted")
    def note(state, event):
        if event.version % 2 == 0:
            raise ValueError("<script>no</script>")
        return {"count": state["count"] + 1}

    return made


def plain_html(view) -> str:
    """What the page would show: every HTML of a view and its parts, put together."""
    found, seen = [], set()
    stack = [view]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        stack += list(getattr(one, "children", ()))
        if type(one).__name__ == "HTML":
            found.append(one.value)
    return "\n".join(found)

"""Parts: several small aggregates as one over the same stream, each with its state in a field of the whole.

What the fold calls is made here of what the parts declare. These are plain values, so that they travel to other
processes as well as the functions in them do.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from esbench.errors import AggregateError
from esbench.event import Event

__all__ = ["Inside", "Made", "Together", "titles"]


@dataclass(frozen=True, slots=True)
class Together:
    """The handler of one event type: those of the parts, in order of inclusion, then the whole's own.

    A part's handler sees the state of its part alone; the whole's own sees what the parts made, and keeps it.

    >>> both = Together((("stock", lambda state, event: state + 1),), lambda state, event: {**state, "seen": True}, ())
    >>> both({"stock": 1}, None)
    {'stock': 2, 'seen': True}
    """

    parts: tuple[tuple[str, Callable[[Any, Event], Any]], ...]
    own: Callable[[Any, Event], Any] | None
    fields: tuple[str, ...]

    def __call__(self, state: Any, event: Event) -> Any:
        """The state of the whole after an event."""
        after = dict(state)
        for name, handler in self.parts:
            before = after[name]
            after[name] = handler(before, event)
            if after[name] is None and before is not None:
                raise ValueError(f'the handler of part "{name}" returned None; a handler returns the state')
        if self.own is None:
            return after
        whole = self.own(after, event)
        if whole is None:
            return None
        lost = [name for name in self.fields if not isinstance(whole, Mapping) or name not in whole]
        if lost:
            raise ValueError(f'the handler dropped the state of part "{lost[0]}"; return {{**state, …}}')
        return whole


@dataclass(frozen=True, slots=True)
class Inside:
    """An invariant of a part, judged on the part's state.

    >>> Inside("stock", bool)({"stock": 0})
    False
    """

    field: str
    predicate: Callable[[Any], Any]

    def __call__(self, state: Any) -> Any:
        """Whether the invariant holds of the whole's state."""
        return self.predicate(state[self.field])


@dataclass(frozen=True, slots=True)
class Made:
    """The initial state of a whole: its own fields, then one for each part.

    >>> Made({"name": ""}, (("stock", dict),))()
    {'name': '', 'stock': {}}
    """

    own: Any
    parts: tuple[tuple[str, Any], ...]

    def __call__(self) -> dict[str, Any]:
        """The initial state, made afresh."""
        whole = _fresh(self.own)
        whole = {} if whole is None else whole
        if not isinstance(whole, Mapping):
            raise AggregateError(f"with parts the initial state is a dict, not of type {type(whole).__name__}")
        result = dict(whole)
        for name, initial in self.parts:
            if name in result:
                raise AggregateError(
                    f'a part has its state in "{name}", a field that there is: include(…, at="…") names another'
                )
            # Each is copied by itself, for one value may stand in several parts.
            result[name] = _fresh(initial)
        return result


def titles(own: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str | None, str]]:
    """Names for the invariants of all parts and the whole: their texts, after the part's field where several clash.

    >>> titles({"adds up": bool}, {"a": {"is paid": bool}, "b": {"adds up": bool}})
    {'is paid': ('a', 'is paid'), 'b: adds up': ('b', 'adds up'), 'adds up': (None, 'adds up')}
    """
    counts = Counter([*own, *(text for texts in parts.values() for text in texts)])
    result: dict[str, tuple[str | None, str]] = {}
    for name, texts in parts.items():
        for text in texts:
            title = text if counts[text] == 1 else f"{name}: {text}"
            while title in result or (title != text and title in counts):
                title = f"{name}: {title}"
            result[title] = (name, text)
    return result | {text: (None, text) for text in own}


def _fresh(initial: Any) -> Any:
    return initial() if callable(initial) else copy.deepcopy(initial)

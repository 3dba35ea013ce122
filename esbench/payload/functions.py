"""Python functions on decoded payloads, as changes of text: what a function does not touch keeps its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from esbench import workers
from esbench.payload.engine import failure, number_of, register
from esbench.payload.rebuilding import Rebuilt, finite, raised, strictly
from esbench.payload.scan import PayloadError
from esbench.payload.slices import TEXT, called, chained, is_name

__all__ = ["Call", "register", "sql", "upcast_text"]

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(decimal_format="number")

_CANNOT = "the function returned what JSON cannot carry: "

#: So many texts are decoded at a time.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class Call:
    """A function on decoded payloads as a change of their text; :func:`upcast_text` makes one."""

    function: Callable[[Any], Any]
    executor: Executor | None = field(default=None, compare=False)
    #: The function as an executor's workers get it.
    packed: bytes = field(default=b"", compare=False)

    def __repr__(self) -> str:
        return f"call {getattr(self.function, '__qualname__', None) or repr(self.function)}"

    def apply(self, text: str) -> str:
        """The text of what the function makes of a payload.

        Each call decodes anew, so a function may change what it is given. Members that come back as they were, at
        their place, keep their text; a number with a fraction or an exponent keeps its text wherever it goes. Raises
        PayloadError with the reason where the text is no strict JSON, the function raises, or gives None, what JSON
        cannot carry, or no object for an object.

        >>> upcast_text(lambda data: {**data, "currency": "EUR"}).apply('{"price": 1.10}')
        '{"price": 1.10, "currency": "EUR"}'
        """
        return _applied(self.function, text)

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """What :meth:`apply` gives for each, or ``!`` and the reason; None, and what already is a reason, stay."""
        if self.executor is None:
            return _changed(self.function, texts)
        with workers.queue(self.executor) as pending:
            pending.append(self.executor.submit(_worked, self.packed, list(texts)))
            done: list[str | None] = pending[0].result()
        return done


def upcast_text(function: Callable[[Any], Any], *, executor: Executor | None = None) -> Call:
    """A function from decoded payload to decoded payload as a change of text.

    With an ``executor``, whole vectors of the engine go to its workers; the engine hands out as many at a time as it
    has threads. Raises EsbenchError where the function cannot be sent.
    """
    if executor is None:
        return Call(function)
    given = workers.checked(executor)
    packed = workers.packed(
        function,
        f"{Call(function)!r}: the function",
        "it holds something that lives in this process alone. Make that inside it",
    )
    return Call(function, given, packed)


def sql(call: Call, column: str) -> str:
    """SQL: the text in a column after a function; ``!`` and the reason where :meth:`Call.apply` raises; NULL for NULL.

    What :func:`esbench.payload.edits.sql` says of the column, of ``!`` and of how long a value must live is so here.
    """
    if not is_name(column):
        return chained(column, [sql(call, TEXT)])
    return called(None, column, number_of(call))


def _applied(function: Callable[[Any], Any], text: str) -> str:
    """What :meth:`Call.apply` gives.

    Where a text is what the encoder makes of its values, with or without a space behind commas and colons, every value
    has but one spelling, which the encoder knows; so the result is encoded whole. Any other text is rebuilt.
    """
    try:
        value = _decoder.decode(text)
        plain = _encoder.encode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError):
        return Rebuilt(text).after(function)
    spaced = False
    if plain.decode() != text:
        spaced = msgspec.json.format(plain, indent=0).decode() == text
        if not spaced:
            return Rebuilt(text).after(function)
    return _finished(text, _called(function, value), spaced=spaced)


def _called(function: Callable[[Any], Any], value: Any) -> Any:
    """What a function gives. Raises PayloadError for whatever it raises."""
    try:
        return function(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise raised(error) from error


def _finished(text: str, result: Any, *, spaced: bool = False, checked: bool = False) -> str:
    """The text of what a function gave for a text that is written as the encoder writes."""
    if result is None:
        raise PayloadError("the function returned None, not a payload")
    try:
        encoded = _encoder.encode(result)
        done = (msgspec.json.format(encoded, indent=0) if spaced else encoded).decode()
        if not checked:
            strictly(result)
        # The encoder writes NaN as null.
        if "null" in done:
            finite(result)
    except PayloadError as error:
        raise PayloadError(f"{_CANNOT}{error}") from None
    except (RecursionError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise PayloadError(f"{_CANNOT}{error}") from error
    if text[0] == "{" and done[0] != "{":
        raise PayloadError(f"the function returned {type(result).__name__}, not an object")
    return done


def _changed(function: Callable[[Any], Any], texts: Sequence[str | None]) -> list[str | None]:
    done: list[str | None] = []
    results: dict[int, Any] = {}
    for first in range(0, len(texts), _AT_ONCE):
        some = texts[first : first + _AT_ONCE]
        values = _decoded(some)
        for at, text in enumerate(some):
            if text is None or text.startswith("!"):
                done.append(text)
                continue
            try:
                if values is None:
                    done.append(_applied(function, text))
                    continue
                result = _called(function, values[at])
                # Encoded at once, because a function may give the same object again, changed.
                done.append(_finished(text, result, checked=True))
                results[len(done) - 1] = result
            except PayloadError as error:
                done.append(failure(error))
        try:
            strictly(list(results.values()))
        except PayloadError:
            for place, result in results.items():
                try:
                    strictly(result)
                except PayloadError as error:
                    done[place] = failure(PayloadError(f"{_CANNOT}{error}"))
        results.clear()
    return done


def _decoded(texts: Sequence[str | None]) -> list[Any] | None:
    """The values of texts, where each is just what the encoder makes of its value; else None.

    The encoder writes no line break within a value, so that equal lines are equal texts.
    """
    try:
        # A None among them is a TypeError.
        lines = "\n".join(texts)  # type: ignore[arg-type]
        values = _decoder.decode_lines(lines)
        if len(values) == len(texts) and _encoder.encode_lines(values) == f"{lines}\n".encode():
            return values
    except (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError):
        pass
    return None


@lru_cache(maxsize=16)
def _unpacked(packed: bytes) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = workers.unpacked(packed, "a function")
    return function


def _worked(packed: bytes, texts: Sequence[str | None]) -> list[str | None]:
    """What a worker does."""
    return _changed(_unpacked(packed), texts)

"""Values as JSON text beside the text that they were made from: what is in both keeps its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from esbench.payload.functions import upcast_text
from esbench.payload.rebuilding import own_text, plainly, written
from esbench.payload.scan import PayloadError, fields
from esbench.payload.text import decode, encode

__all__ = ["kept", "kept_of"]

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def kept(text: str | None, value: Any) -> str:
    """A value as JSON text, in which what it shares with the payload ``text`` stands as it stood there.

    Raises PayloadError for what JSON cannot carry, and for no object where the payload was one.

    >>> kept('{"price":1.10,"currency":"EUR"}', {"price": 1.1, "currency": "USD"})
    '{"price":1.10,"currency":"USD"}'
    """
    made = written(value)
    if text is None:
        return made
    if not made.startswith("{") and text.lstrip().startswith("{"):
        raise PayloadError(f"a payload that was an object cannot become {type(value).__name__}")
    return made if value is None or _plain(text) else upcast_text(lambda _: value).apply(text)


def kept_of(texts: Sequence[str | None], value: Any) -> str:
    """A value as JSON text, in which a member that one of several payloads has, the last of them first, keeps its text.

    So does a whole payload, or a member under another name.

    >>> kept_of(['{"net": 1.10}', '{"net": 2.0, "tax": 0.20}'], {"net": 1.1, "tax": 0.2})
    '{"net":1.10,"tax":0.20}'
    """
    odd = [text for text in texts if text is not None and not _plain(text)]
    if not (odd and isinstance(value, Mapping) and all(isinstance(name, str) for name in value)):
        return written(value)
    whole = plainly(value)
    if (same := next((text for text in odd if _anew(text) == whole), None)) is not None:
        return same
    known = [found for text in reversed(odd) if (found := _members(text)) is not None]
    elsewhere: dict[str, str] | None = None
    if not any(name in found for found in known for name in value):
        elsewhere = _known(odd, known)
        if whole in elsewhere:
            return elsewhere[whole]
    members = []
    for name, each in value.items():
        made = plainly(each)
        raws = [found[name] for found in known if name in found]
        same = own_text(each) or next((raw for raw in raws if _equal(raw, made)), None)
        if same is None:
            if elsewhere is None:
                elsewhere = _known(odd, known)
            same = elsewhere.get(made) or _within(raws, each)
        members.append(f"{encode(name)}:{same}")
    return f"{{{','.join(members)}}}"


@lru_cache(maxsize=64)
def _anew(text: str) -> str | None:
    """A payload as it would be encoded anew; None where it cannot be."""
    try:
        # What comes out of this decoder holds nothing that the encoder would have to refuse.
        return _encoder.encode(_decoder.decode(text)).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        return None


def _plain(text: str) -> bool:
    """Whether a payload is written as we write: then what is in it keeps its text by itself."""
    return _anew(text) == text


def _known(texts: Sequence[str], members: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Raw values by how they are encoded anew, as far as that differs."""
    found: dict[str, str] = {}
    for raw in (*texts, *(raw for each in members for raw in each.values())):
        try:
            made = encode(decode(raw))
        except PayloadError:
            continue
        if made != raw:
            found.setdefault(made, raw)
    return found


def _members(text: str) -> dict[str, str] | None:
    """The raw members of an object; None for another payload, or where a name stands twice."""
    try:
        return fields(text)
    except PayloadError:
        return None


def _within(raws: Sequence[str], value: Any) -> str:
    """A value that none of the raw ones says, but one may say in part."""
    if raws and isinstance(value, Mapping) and raws[0].startswith("{"):
        return kept(raws[0], value)
    return written(value)


def _equal(raw: str, made: str) -> bool:
    """Whether a raw value says what was encoded."""
    try:
        return raw == made or encode(decode(raw)) == made
    except PayloadError:
        return False

"""What private values become: tokens made with a key, masks, nothing. The key is kept nowhere but in this process."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from esbench import payload
from esbench.migrate.step import MigrationError
from esbench.payload import PayloadError

__all__ = ["Forgotten", "Key", "Masked", "Token"]

#: A key of fewer bytes may be guessed.
_LEAST = 16
#: Consonants, so that no token happens to hold a number, a date or a name that somebody looks for.
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
#: A masked text begins with so many marks, unless its length may be seen.
_MARKS = 3


class Key:
    """A secret, given as bytes or as the name of the environment variable that holds it. It shows itself nowhere."""

    __slots__ = ("_name", "_secret")

    def __init__(self, given: bytes | str) -> None:
        if isinstance(given, bytes):
            self._name: str | None = None
            self._secret: bytes | None = _long(given, "key=")
        elif isinstance(given, str) and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", given):
            self._name, self._secret = given, None
        else:
            raise MigrationError(
                f"key= is a secret as bytes, or the name of an environment variable that holds it, not "
                f"{type(given).__name__}: it is never written into a migration as text"
            )

    def secret(self) -> bytes:
        """The secret. Raises MigrationError where the environment has none; what was read once stays."""
        if self._secret is None:
            found = os.environ.get(self._name or "")
            if found is None:
                raise MigrationError(f"the environment has no variable {self._name}, which is to hold the key: set it")
            self._secret = _long(found.encode(), f"the key in {self._name}")
        return self._secret

    def __repr__(self) -> str:
        return "a key" if self._name is None else f"the key in {self._name}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        if self._name is not None or other._name is not None:
            return self._name == other._name
        return hmac.compare_digest(self.secret(), other.secret())

    def __hash__(self) -> int:
        return hash((Key, self._name))

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: object) -> Key:
        return self

    def __reduce__(self) -> tuple[type[Key], tuple[str]]:
        if self._name is None:
            self._refuse()
        return Key, (self._name,)

    def _refuse(self) -> NoReturn:
        raise MigrationError(
            "a key in bytes is not pickled, because it would be kept: name an environment variable that holds it"
        )


@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class Token:
    """A text made a token by HMAC-SHA256: the same for the same text, wherever that stands, and for that alone."""

    key: Key
    prefix: str = ""

    def __repr__(self) -> str:
        return f"tokens made with {self.key!r}"

    def of(self, text: str) -> str:
        """The token of a text: of a UUID another UUID (version 8), of anything else 32 letters after the prefix."""
        digits = hmac.digest(self.key.secret(), text.encode(), "sha256")[:16].hex()
        if self.prefix or not _UUID.fullmatch(text):
            return self.prefix + digits.translate(_LETTERS)
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """The token of each; of nothing there is none."""
        return [text and self.of(text) for text in texts]

    def __call__(self, raw: str) -> str | None:
        """The token of a raw value: a number's is that of its digits. Null and an empty text stay."""
        text = _text(raw, "made a token")
        return payload.encode(self.of(text)) if text else None


@dataclass(frozen=True, slots=True, repr=False)
class Masked:
    """A text of which only the last characters are left."""

    keep: int
    mark: str
    length: bool

    def __repr__(self) -> str:
        return "mask"

    def __call__(self, raw: str) -> str | None:
        """The mask of a raw value. Less than half of a text is ever left; null and an empty text stay."""
        text = _text(raw, "masked")
        if not text:
            return None
        left = text[len(text) - self.keep :]
        if not self.length and text == self.mark * _MARKS + left:
            return None
        if len(text) < 2 * self.keep + 1:
            left = ""
        return payload.encode(self.mark * (len(text) - len(left) if self.length else _MARKS) + left)


@dataclass(frozen=True, slots=True, repr=False)
class Forgotten:
    """A value that is one of a subject's becomes another; which these are, is not told."""

    values: frozenset[str]
    raw: str

    def __repr__(self) -> str:
        return "forget"

    def __call__(self, raw: str) -> str | None:
        """The other value for one of the subject's, None for any other."""
        return self.raw if raw[0] not in "{[" and payload.text_form(raw) in self.values else None


def _long(secret: bytes, what: str) -> bytes:
    if len(secret) < _LEAST:
        raise MigrationError(
            f"{what} has {len(secret)} bytes, and {_LEAST} are needed that nobody can guess: secrets.token_bytes(32)"
        )
    return secret


def _text(raw: str, done: str) -> str | None:
    """The text of a raw value, None for null. Raises PayloadError for what has no text to hide; never quotes it."""
    if raw[0] in "{[":
        raise PayloadError(
            f"an object or an array is not {done}: name what is in it, as /customer/* does, or redact it"
        )
    if raw in ("true", "false"):
        raise PayloadError(f"true and false are not {done}, which would not hide them: redact it")
    return payload.text_form(raw)

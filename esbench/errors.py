"""What esbench raises.

Everything derives from :class:`EsbenchError`; each child also is the builtin that a caller would expect.
What is wrong in the *data* is a reject or a finding, never an exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AggregateError",
    "BadCoordinate",
    "BenchError",
    "EsbenchError",
    "ExportError",
    "MissingExtra",
    "NameTaken",
    "QueryError",
    "SourceError",
    "UnknownLog",
    "UnknownStream",
    "Untrusted",
    "described",
    "nearest",
]


class EsbenchError(Exception):
    """The root of all errors that esbench raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of its message.
        return str(self.args[0]) if self.args else ""


class SourceError(EsbenchError, ValueError):
    """Input that cannot be loaded: names the file, the place and the way out."""


class BenchError(EsbenchError, OSError):
    """A bench file that cannot be opened or written."""


class ExportError(EsbenchError, OSError):
    """What cannot be written to a file, or where it cannot be written."""


class QueryError(EsbenchError, ValueError):
    """SQL that DuckDB refused."""


class UnknownStream(EsbenchError, KeyError):
    """No stream of that id in the log."""


class UnknownLog(EsbenchError, KeyError):
    """No log of that name in the bench."""


class NameTaken(EsbenchError, ValueError):
    """A log of that name exists."""


class BadCoordinate(EsbenchError, ValueError):
    """None or several of version, as_of and position where one is needed, or one that cannot be read."""


class AggregateError(EsbenchError, ValueError):
    """An aggregate that is not defined well, or is changed after its first fold."""


class Untrusted(EsbenchError, ValueError):
    """A strict replay met damage; ``state`` is what was folded up to there."""

    def __init__(self, message: str, state: object = None) -> None:
        super().__init__(message)
        self.state = state


class MissingExtra(EsbenchError, ImportError):
    """An optional part that is not installed."""


def described(error: BaseException) -> str:
    """The class and text of an error, whatever its ``__str__`` does.

    >>> described(KeyError("quantity"))
    "KeyError: 'quantity'"
    """
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (an error's own text may raise anything)
        return type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are close to one that is not.

    >>> nearest("order", ["orders", "shipments"])
    ' Did you mean "orders"?'
    >>> nearest("zzz", ["orders"])
    ''
    """
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    quoted = ", ".join(f'"{name}"' for name in close)
    return f" Did you mean {quoted}?" if close else ""

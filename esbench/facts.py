"""What is declared or inferred of a log, and bounds what may be claimed about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["MEANINGS", "Facts"]

#: Metadata with a meaning, and where it stands unless declared otherwise (JSON Pointers).
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        name: f"/{name}"
        for name in (
            "causation_id",
            "correlation_id",
            "commit_id",
            "tenant",
            "expected_version",
            "writer",
            "commanded_at",
        )
    }
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a log.

    ``base`` is the first version of a whole stream (0 or 1), None when it is unknown. ``derived_versions``: numbered
    by the loader, so no gap is claimed from them. ``positions``: ``recorded`` by the source, the ``lines`` of one file,
    or ``issued`` where the source has no order, so none is claimed. ``truncated``: ids or patterns of streams whose
    missing head is declared. ``keys``: where metadata keeps what has a meaning.

    >>> Facts(truncated=("item-*",)).is_truncated("item-7")
    True
    """

    base: int | None = None
    derived_versions: bool = False
    positions: Literal["recorded", "lines", "issued"] = "recorded"
    truncated: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=lambda: dict(MEANINGS))
    notes: tuple[str, ...] = ()

    def is_truncated(self, stream_id: str) -> bool:
        """Whether the stream's head is declared to be missing."""
        return any(stream_id == pattern or fnmatchcase(stream_id, pattern) for pattern in self.truncated)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the catalog."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Facts:
        """Facts from :meth:`to_dict`.

        >>> Facts.from_dict(Facts(base=1, notes=("a",)).to_dict()) == Facts(base=1, notes=("a",))
        True
        """
        return cls(**{**values, "truncated": tuple(values["truncated"]), "notes": tuple(values["notes"])})

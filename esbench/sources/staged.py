"""What a reader gives: records in source order in a TEMP table, readable or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PROBLEM", "RECORD", "Input", "Raw", "Staged"]

#: SQL names of the columns that every staged table has beside its fields. A field of such a name is refused.
RECORD, PROBLEM = '"$record"', '"$problem"'


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that was read: its name, its size in bytes and the SHA-256 of them, which an append compares."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Raw:
    """An input record as it stood: for rejects. ``line`` counts from 1; None where the source has no lines."""

    record: int
    source: str
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Staged:
    """Records of a source, staged.

    ``table`` is a TEMP table of the cursor that staged it: ``RECORD`` (BIGINT, from 1, in source order), ``PROBLEM``
    (VARCHAR, why the record could not be read, NULL when it could) and one column per field, by its name.
    ``fields`` maps each field to its type: VARCHAR text, ``JSON`` raw text, or the type of a typed source.
    ``in_order``: the order of records is the order in which the source recorded them.
    ``raw`` finds records again by number (ascending). ``unused``: names of fields that were not staged.
    """

    table: str
    fields: Mapping[str, str]
    inputs: tuple[Input, ...]
    in_order: bool
    raw: Callable[[Sequence[int]], Iterator[Raw]]
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

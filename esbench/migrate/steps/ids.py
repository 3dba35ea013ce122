"""Ids of events that a migration makes, and of events that get new ones: UUIDs of version 5, the same at every run."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = ["NAMESPACE", "SEED", "made", "uuid"]

#: What ids of migrations are made in.
NAMESPACE = uuid5(NAMESPACE_URL, "esbench:migration")

#: SQL: what tells an event of work from others: its id, or its place where it has none.
SEED = "coalesce(event_id, stream_id || '@' || version || '#' || position)"


def uuid(name: str, namespace: UUID = NAMESPACE) -> str:
    """SQL: the UUID of version 5 (RFC 9562) of a text, as text. ``name`` is SQL.

    >>> import duckdb
    >>> duckdb.sql(f"select {uuid(repr('a'))}").fetchall()[0][0] == str(uuid5(NAMESPACE, "a"))
    True
    """
    digest = f"sha1(unhex('{namespace.hex}') || encode({name}))"
    # The variant stands in the two highest bits of the seventeenth digit.
    variant = "substr('89ab89ab89ab89ab', instr('0123456789abcdef', substr(h, 17, 1)), 1)"
    parts = (
        f"[substr(h, 1, 8), substr(h, 9, 4), '5' || substr(h, 14, 3), {variant} || substr(h, 18, 3), substr(h, 21, 12)]"
    )
    return f"list_transform([{digest}], lambda h: array_to_string({parts}, '-'))[1]"


def made(number: int, nth: str = "nth", seed: str = SEED) -> str:
    """SQL: the id of an event that step ``number`` makes of another; ``nth`` tells several of them apart."""
    return uuid(f"{seed} || ' ' || {number} || ' ' || {nth}")

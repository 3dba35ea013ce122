"""Two logs side by side, event by event: what is the same, what changed, and what only one of them has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from esbench import payload
from esbench.errors import QueryError, nearest
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.fold.changes import ABSENT, Change, changes
from esbench.pairs import By, different, sides

__all__ = ["compare"]

#: Positions say nothing about what happened, and a migration that adds events gives all of them anew.
_COMPARED = tuple(name for name in CANONICAL if name not in ("position", "source_position"))

_COLUMNS = {
    "what": "str",
    "stream_before": "str",
    "version_before": "Int64",
    "position_before": "Int64",
    "stream_after": "str",
    "version_after": "Int64",
    "position_after": "Int64",
    "event_type": "str",
    "column": "str",
    "path": "str",
    "before": "object",
    "after": "object",
}


def compare(
    old: Events,
    new: Events,
    *,
    by: By = "lineage",
    columns: Sequence[str] = _COMPARED,
    limit: int = 1_000,
) -> pd.DataFrame:
    """The events in which two logs differ, one row a place; the first ``limit`` of them, stream by stream.

    ``by``: lineage, where ``new`` is derived from ``old`` (a log without lineage columns has the positions of
    ``old``), else stream and version. ``columns``: what is compared; positions by default are not. Columns of the
    frame: ``what`` (changed, only left, only right), the event's stream, version and position before and after,
    ``event_type``, the ``column`` that differs, ``path`` in a payload, ``before`` and ``after`` (either may be
    ABSENT). Payloads of one value and two texts differ at the path ``""``, with both texts.
    ``attrs["counts"]`` has how many events are the same, changed, only left and only right, however many are shown.

    >>> import esbench as es
    >>> rows = {"stream_id": ["a", "a"], "version": [1, 2], "event_type": "Paid", "data": ['{"n":1}', '{"n":2}']}
    >>> old = es.open().load(pd.DataFrame(rows), "old").source
    >>> new = es.open().load(pd.DataFrame({**rows, "data": ['{"n":1}', '{"n":3}']}), "new").source
    >>> found = compare(old, new, by="stream and version")
    >>> found[["what", "version_after", "column", "path", "before", "after"]].values.tolist()
    [['changed', 2, 'data', '/n', 2, 3]]
    >>> found.attrs["counts"]
    {'same': 1, 'changed': 1, 'only left': 0, 'only right': 0}
    """
    for name in columns:
        if name not in CANONICAL:
            raise QueryError(f'columns: "{name}" is not a canonical column.{nearest(str(name), CANONICAL)}')
    with sides(old, new) as both:
        different(both, by, columns)
        ((paired, changed, left, right),) = both.rows(
            """
            select
                (select count(*) from linked where old_position is not null and new_position is not null),
                count(*) filter (bits is not null),
                count(*) filter (new_position is null),
                count(*) filter (old_position is null)
            from differing
            """
        )
        shown = both.arrow(
            f"""
            select bits, {_side("older", "before")}, {_side("newer", "after")}
            from differing
            left join old as older on older.position = old_position
            left join new as newer on newer.position = new_position
            order by
                coalesce(older.stream_id, newer.stream_id), coalesce(older.version, newer.version),
                coalesce(old_position, new_position), new_position
            limit $limit
            """,
            limit=limit,
        ).to_pylist()
    found = [row for each in shown for row in _rows(each, columns)]
    values = list(zip(*found, strict=True)) or [()] * len(_COLUMNS)
    frame = pd.DataFrame(
        {name: pd.Series(list(of), dtype=kind) for (name, kind), of in zip(_COLUMNS.items(), values, strict=True)}
    )
    frame.attrs["counts"] = {"same": paired - changed, "changed": changed, "only left": left, "only right": right}
    frame.attrs["shown"] = len(shown)
    return frame


def _side(table: str, suffix: str) -> str:
    return ", ".join(
        f"{table}.{name}{'::varchar' if kind == 'JSON' else ''} as {name}_{suffix}" for name, kind in CANONICAL.items()
    )


def _rows(pair: Mapping[str, Any], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """What differs between two events, as rows of the frame."""
    bits = pair["bits"]
    what = "changed" if bits is not None else "only left" if pair["position_after"] is None else "only right"
    place = [pair[f"{name}_{side}"] for side in ("before", "after") for name in ("stream_id", "version", "position")]
    kind = pair["event_type_before"] if what == "only left" else pair["event_type_after"]
    if bits is None:
        yield (what, *place, kind, None, None, ABSENT, ABSENT)
        return
    for bit, name in enumerate(columns):
        if bits >> bit & 1:
            before, after = pair[f"{name}_before"], pair[f"{name}_after"]
            found = _payload(before, after) if CANONICAL[name] == "JSON" else [Change("", before, after)]
            for each in found:
                yield (what, *place, kind, name, each.path, each.before, each.after)


def _payload(before: str | None, after: str | None) -> list[Change]:
    """Where two payloads differ in value; where only their texts do, these."""
    try:
        old, new = (ABSENT if text is None else payload.decode(text) for text in (before, after))
    except payload.PayloadError:
        return [Change("", before, after)]
    return changes(old, new) or [Change("", before, after)]

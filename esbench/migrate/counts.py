"""How many events a migration meets, changes, drops, and what becomes of every event of the log: the sums add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from esbench.event import CANONICAL
from esbench.migrate.migration import Migration
from esbench.migrate.running import Result

__all__ = ["FATES", "HASH", "Counts", "Digest", "counted", "hashed"]

#: What may become of an event of the source; each has one of them.
FATES = ("kept", "changed", "dropped", "merged", "split", "failed")

_HASHED = f"{', '.join(CANONICAL)}, source, origin, others, nth, steps"
#: SQL: a number for the rows of a group that no order of them changes.
HASH = f"coalesce(sum(hash({_HASHED})), 0)"


@dataclass(frozen=True, slots=True)
class Digest:
    """How many rows there are, and a sum over the hashes of all their values, which no order of them changes.

    The sum is taken where a function of the user decides, which may give something else another time; SQL does not.
    """

    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class Counts:
    """``steps``: a row a step; ``types``: events of each type before and after; ``fates``: of the source's events."""

    steps: pd.DataFrame
    types: pd.DataFrame
    fates: Mapping[str, int]
    before: int
    after: int
    changed_rows: int
    failed_rows: int
    digest: Digest

    @property
    def changed(self) -> bool:
        """Whether anything differs from the source."""
        return self.fates["kept"] != self.before or self.after != self.before


def hashed(migration: Migration) -> str:
    """SQL for the total of a :class:`Digest`."""
    return HASH if migration.form == "Python" else "0"


def counted(result: Result, migration: Migration) -> Counts:
    """The counts of what a migration makes, in one pass over it."""
    work, source = result.work, result.source
    rows = work.events.rows(
        f"""
        select event_type, steps, met, failed, count(*), {hashed(migration)}::varchar,
            count(*) filter (others is not null), count(*) filter (nth <> 0), source
        from events group by all
        """
    )
    gone = work.events.rows(f"select step, steps, met, merged, count(*) from {work.scratch.table('gone')} group by all")
    before: dict[str, int] = {}
    for each in (source, *(other for _, other in work.joined)):
        for event_type, n in each.rows("select event_type, count(*) from events group by all"):
            before[event_type] = before.get(event_type, 0) + n
    after: dict[str, int] = {}
    for event_type, _, _, _, n, *_ in rows:
        after[event_type] = after.get(event_type, 0) + n
    listed = []
    for number, step in enumerate(migration.steps):
        bit = 1 << number
        met = [(steps, failed, n) for _, steps, met, failed, n, *_ in rows if met & bit]
        lost = [(merged, n) for at, _, _, merged, n in gone if at == number]
        passed = sum(n for at, _, met, _, n in gone if met & bit)
        listed.append(
            {
                "step": number + 1,
                "does": step.sentence,
                "matched": sum(n for *_, n in met) + passed,
                "changed": sum(n for steps, _, n in met if steps & bit)
                + sum(n for at, steps, met, _, n in gone if at != number and met & bit and steps & bit),
                "dropped": sum(n for merged, n in lost if not merged),
                "merged": sum(n for merged, n in lost if merged),
                "added": sum(
                    n - merged for _, steps, met, _, n, _, merged, *_ in rows if _added_by(steps, met) == number
                ),
                "failed": sum(n for _, _, _, failed, n, *_ in rows if failed == number),
            }
        )
    columns = ["step", "does", "matched", "changed", "dropped", "merged", "added", "failed"]
    total = sum(before.values())
    names = sorted({*before, *after}, key=lambda name: (-before.get(name, 0), -after.get(name, 0), str(name)))
    return Counts(
        steps=pd.DataFrame(listed, columns=columns),
        types=pd.DataFrame(
            {
                "event_type": pd.Series(names, dtype="str"),
                "before": pd.Series([before.get(name, 0) for name in names], dtype="int64"),
                "after": pd.Series([after.get(name, 0) for name in names], dtype="int64"),
            }
        ),
        fates=_fates(result, rows),
        before=total,
        after=sum(after.values()),
        changed_rows=sum(n for _, steps, _, _, n, *_ in rows if steps),
        failed_rows=sum(n for _, _, _, failed, n, *_ in rows if failed is not None),
        digest=Digest(sum(after.values()), sum(int(row[5]) for row in rows)),
    )


def _added_by(steps: int, met: int) -> int:
    """The number of the step that added a row, -1 for none: it has the earlier steps of the row it was made of.

    A merged row also has steps that only met others of its run; those were not added.
    """
    return (steps & ~met).bit_length() - 1


def _fates(result: Result, rows: list[tuple[Any, ...]]) -> dict[str, int]:
    """What became of the events of the source, each counted once."""
    work = result.work
    alone = not any(merged or several for *_, merged, several, _ in rows)
    if alone:
        fates = dict.fromkeys(FATES, 0)
        for _, steps, _, failed, n, *_, source in rows:
            if source is not None:
                fates["failed" if failed is not None else "changed" if steps else "kept"] += n
    else:
        found = work.events.rows(
            """
            select case when failed then 'failed' when merged then 'merged' when n > 1 then 'split'
                when steps <> 0 then 'changed' else 'kept' end as fate, count(*)
            from (
                select source, origin, count(*) as n, bool_or(merged) as merged,
                    bool_or(failed is not null) as failed, bit_or(steps) as steps
                from (
                    select source, unnest(list_concat([origin], others)) as origin, others is not null as merged,
                        failed, steps
                    from events where origin is not null
                )
                group by all
            )
            group by all
            """
        )
        fates = dict.fromkeys(FATES, 0) | dict(found)
    fates["dropped"] = work.events.rows(f"select count(*) from ({result.dropped})")[0][0]
    return fates

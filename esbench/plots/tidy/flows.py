"""Which event types become which in a migration."""

from __future__ import annotations

import pandas as pd

from esbench.errors import EsbenchError
from esbench.events import frame
from esbench.migrate.dry import DryRun

__all__ = ["FATES", "migration_flow"]

#: What becomes of events on the way, in the order in which it is drawn.
FATES = ("kept", "changed", "failed", "added", "dropped")


def migration_flow(run: DryRun) -> pd.DataFrame:
    """Types before and after of a dry run, one row a pair and fate.

    Columns: ``before`` (missing for events that a step added), ``after`` (missing for those that were dropped),
    ``fate`` (``kept``, ``changed``, ``failed``, ``added``, ``dropped``), ``events``. An event that becomes several
    counts once for each, as does each of several that become one.

    >>> import esbench as es
    >>> log = es.open().load("data/inventory.jsonl")
    >>> plan = es.Migration("v2", [es.rename_type("ItemsOrdered", "ItemsReserved")])
    >>> migration_flow(log.dry_run(plan, checks=False)).head(2).values.tolist()
    [['ItemsOrdered', 'ItemsReserved', 'changed', 197], ['ItemsAdded', 'ItemsAdded', 'kept', 161]]
    """
    if not isinstance(run, DryRun):
        raise EsbenchError("this plot takes a dry run: log.dry_run(migration)")
    work = run.result.work
    sources = [run.result.source, *(events for _, events in work.joined)]
    types = " union all ".join(
        f"select {number} as source, position as origin, event_type as before from ({source.query})"
        for number, source in enumerate(sources)
    )
    bound = dict(work.events.parameters)
    for source in sources:
        bound |= source.parameters
    text = f"""
        with made as (
            select
                source, unnest(list_concat([origin], others)) as origin, event_type as after,
                case when failed is not null then 'failed' when origin is null then 'added'
                    when steps <> 0 then 'changed' else 'kept' end as fate
            from ({work.events.query})
        ),
        every as (
            from made union all by name select source, origin, 'dropped' as fate from ({run.result.dropped})
        )
        select before, after, fate, count(*) as events
        from every left join ({types}) as types using (source, origin)
        group by all order by events desc, before, after, fate
    """
    cursor = work.events.con.cursor()
    try:
        return frame(cursor.sql(text, params=bound))
    finally:
        cursor.close()

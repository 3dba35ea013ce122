"""Which versions of which streams are there, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from esbench.checks import check
from esbench.events import stream_name
from esbench.plots.tidy.given import EventsLike, events_of

__all__ = ["MARKS", "gaps"]

#: What is marked, by the check that finds it.
MARKS = {
    "version-gap": "hole",
    "missing-head": "missing head",
    "version-fork": "fork",
    "duplicate-event": "duplicate",
}


def gaps(data: EventsLike, *, streams: Iterable[str | int] | None = None, limit: int = 30) -> pd.DataFrame:
    """Runs of versions that are there, and what the checks of structure say of the others.

    One row a run or mark: ``stream_id``, ``mark`` (``events`` for a run that is there, ``hole``, ``missing head``,
    ``fork``, ``duplicate``), ``first`` and ``last`` version. The streams with most marks come first, and only ``limit``
    of them, or those that are named. ``attrs``: how many ``streams`` there are, how many of them ``damaged``, how many
    ``marks`` of each kind in all, and why some cannot be claimed (``not_claimed``).

    >>> import esbench as es
    >>> tidy = gaps(es.open().load("data/accounts.csv"), limit=3)
    >>> tidy[tidy["mark"] != "events"].values.tolist()
    [['account-1009', 'duplicate', 3, 3], ['account-1004', 'hole', 4, 4], ['account-1027', 'missing head', 1, 4]]
    """
    events = events_of(data)
    report = check(events, only=MARKS)
    found = report.findings[report.findings["version"].notna()]
    marks = pd.DataFrame(
        {
            "stream_id": found["stream_id"],
            "mark": found["check"].map(MARKS),
            "first": found["version"],
            "last": found["to_version"].fillna(found["version"]),
        }
    )
    # The sort is stable, so that streams with as many marks stay as the report has them, worst first.
    worst = marks["stream_id"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    if streams is None:
        chosen = list(worst.index[:limit])
        if len(chosen) < limit:
            rows = events.rows(
                """
                select any_value(stream_id) from events
                where stream_id not in (select unnest($chosen::varchar[]))
                group by stream_key order by stream_key limit $n
                """,
                chosen=chosen,
                n=limit - len(chosen),
            )
            chosen += [row[0] for row in rows]
    else:
        chosen = list(dict.fromkeys(stream_name(stream) for stream in streams))
    runs = events.df(
        """
        select any_value(stream_id) as stream_id, 'events' as mark, min(version) as first, max(version) as last
        from (
            select *, version::hugeint - dense_rank() over (partition by stream_key order by version) as island
            from events where stream_id in (select unnest($chosen::varchar[]))
        )
        group by stream_key, island order by stream_key, first
        """,
        chosen=chosen,
    )
    both = pd.concat([runs, marks[marks["stream_id"].isin(chosen)]], ignore_index=True)
    place = {name: at for at, name in enumerate(chosen)}
    both = both.sort_values("stream_id", key=lambda ids: ids.map(place), kind="stable", ignore_index=True)
    both = both.astype({"first": "int64", "last": "int64", "mark": "str"})
    both.attrs = {
        "streams": report.streams,
        "damaged": len(worst),
        "marks": {str(mark): int(n) for mark, n in marks["mark"].value_counts().items()},
        "not_claimed": {name: report.not_claimed[name] for name in MARKS if name in report.not_claimed},
    }
    return both

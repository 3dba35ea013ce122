"""Where the findings of a report are: streams and times."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pandas as pd

from esbench.checks import Report
from esbench.checks.check import SEVERITIES
from esbench.errors import EsbenchError
from esbench.plots.tidy.counts import Bins
from esbench.plots.tidy.given import is_tidy, times_of

__all__ = ["findings_heatmap"]


def findings_heatmap(
    report: Report | pd.DataFrame, *, bins: int = 40, limit: int = 30, checks: Iterable[str] | None = None
) -> pd.DataFrame:
    """Findings by stream and time: one row a stream and bin of time in which there are some.

    ``report``: a report or its findings, all or some. Columns: ``stream_id`` (missing for findings of the log as a
    whole), ``start`` and ``end`` of the bin, ``severity`` (the worst), ``findings``. The streams with most errors come
    first, then warnings; ``limit`` of them are kept. ``attrs``: ``streams`` and ``findings`` in all, ``without_time``,
    ``step`` and ``edges``.

    >>> import esbench as es
    >>> tidy = findings_heatmap(es.open().load("data/accounts.csv").check(), bins=6)
    >>> tidy[["stream_id", "severity", "findings"]].values.tolist()[:2], tidy.attrs["step"]
    ([['account-1004', 'error', 1], ['account-1031', 'error', 1]], 'week')
    """
    found = report.findings if isinstance(report, Report) else report
    if not is_tidy(found, ("check", "severity", "stream_id", "recorded_at")):
        raise EsbenchError("this plot takes a report, or findings of one: log.check()")
    if checks is not None:
        found = found[found["check"].isin(list(checks))]
    timed = found[found["recorded_at"].notna()]
    attrs: dict[Hashable | None, Any] = {
        "findings": len(found),
        "streams": int(found["stream_id"].nunique()),
        "without_time": len(found) - len(timed),
        "step": "",
        "edges": [],
    }
    names = ["stream_id", "start", "end", "severity", "findings"]
    if timed.empty:
        tidy = pd.DataFrame(columns=names)
        tidy.attrs = attrs
        return tidy
    moments = timed["recorded_at"].astype("datetime64[us, UTC]").astype("int64")
    cut = Bins(int(moments.min()), int(moments.max()), bins)
    edges = pd.Series(cut.edges, dtype="int64")
    # NaN groups and sorts in no order of its own; a tuple tells it from every id.
    rows = pd.DataFrame(
        {
            "stream": [(pd.isna(name), "" if pd.isna(name) else name) for name in timed["stream_id"]],
            "bin": (edges.searchsorted(moments.to_numpy(), side="right") - 1).clip(max=len(edges) - 2),
            "rank": timed["severity"].map(SEVERITIES.index).to_numpy(),
        }
    )
    each = rows.groupby("stream")["rank"].value_counts().unstack(fill_value=0).reindex(columns=range(3), fill_value=0)
    ranked = each.set_axis(list(SEVERITIES), axis=1).assign(first=rows.groupby("stream")["bin"].min()).reset_index()
    ranked = ranked.sort_values([*SEVERITIES, "first", "stream"], ascending=[*[False for _ in SEVERITIES], True, True])
    chosen = {stream: place for place, stream in enumerate(ranked["stream"][:limit])}
    cells = (
        rows[rows["stream"].isin(list(chosen))].groupby(["stream", "bin"]).agg(rank=("rank", "min"), n=("rank", "size"))
    )
    cells = cells.reset_index()
    cells = cells.assign(place=cells["stream"].map(chosen)).sort_values(["place", "bin"], ignore_index=True)
    tidy = pd.DataFrame(
        {
            "stream_id": pd.Series([None if whole else name for whole, name in cells["stream"]], dtype="str"),
            "start": times_of(edges.iloc[cells["bin"]].reset_index(drop=True)),
            "end": times_of(edges.iloc[cells["bin"] + 1].reset_index(drop=True)),
            "severity": pd.Series([SEVERITIES[rank] for rank in cells["rank"]], dtype="str"),
            "findings": cells["n"],
        }
    )
    tidy.attrs = {**attrs, "step": cut.step, "edges": list(times_of(edges))}
    return tidy

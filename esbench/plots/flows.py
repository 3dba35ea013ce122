"""The picture of a migration: which event types become which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path

from esbench.migrate.dry import DryRun
from esbench.plots import canvas, tidy
from esbench.plots.palette import ADDED, CHANGED, FAINT, MANY, OTHER, REMOVED
from esbench.plots.tidy.flows import FATES
from esbench.plots.tidy.given import each, is_tidy
from esbench.plots.words import PLAIN, label

__all__ = ["migration_flow"]

_COLOURS = {"kept": OTHER, "changed": CHANGED, "failed": MANY[5], "added": ADDED, "dropped": REMOVED}
#: Where the two columns stand, and how wide they are.
_LEFT, _RIGHT, _WIDE = 0.0, 1.0, 0.025
#: No event type is a lone NUL.
_NONE, _REST = "\0none", "\0rest"


def migration_flow(run: DryRun | pd.DataFrame, *, top: int = 14, ax: Axes | None = None) -> Axes:
    """Event types before and after a migration, joined by bands as wide as there are events, coloured by their fate.

    ``run``: a dry run, or what :func:`esbench.plots.tidy.migration_flow` makes. Types beyond the ``top`` largest are
    one, but never those that become another type. An event that becomes several is in a band for each.

    >>> import esbench as es
    >>> log = es.open().load("data/inventory.jsonl")
    >>> plan = es.Migration(
    ...     "v2", [es.rename_type("ItemsOrdered", "ItemsReserved"), es.drop_events("ItemPhotoUploaded")]
    ... )
    >>> ax = es.plots.migration_flow(log.dry_run(plan, checks=False))
    >>> ax.get_title(loc="left")
    '258 kept, 197 changed, 1 dropped'
    """
    rows = run if is_tidy(run, ("before", "after", "fate", "events")) else tidy.migration_flow(run)  # type: ignore[arg-type]
    assert isinstance(rows, pd.DataFrame)
    flows = _flows(rows, top)
    if not flows:
        return canvas.empty(canvas.axes(ax), "No events.", "The log is empty, or the sample takes no stream of it.")
    sizes: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for (before, after, _), n in flows.items():
        sizes[0][before] = sizes[0].get(before, 0) + n
        sizes[1][after] = sizes[1].get(after, 0) + n
    left = sorted(sizes[0], key=lambda name: (name == _NONE, name == _REST, -sizes[0][name], name))
    place = {name: at for at, name in enumerate(left)}
    # What comes from the top stands at the top.
    pull: dict[str, float] = {}
    for (before, after, _), n in flows.items():
        pull[after] = pull.get(after, 0) + n * place[before] / sizes[1][after]
    right = sorted(sizes[1], key=lambda name: (name == _NONE, name == _REST, pull[name], name))
    deep = max(len(left), len(right))
    ax = canvas.axes(ax, height=max(2.6, min(10.0, 1.2 + 0.42 * deep)))
    canvas.blank(ax)
    total = max(sum(sizes[0].values()), 1)
    tops = [_stacked(names, of_side, total) for names, of_side in zip((left, right), sizes, strict=True)]
    _bands(ax, flows, tops, total)
    for side, (names, of_side, at) in enumerate(zip((left, right), sizes, tops, strict=True)):
        _column(ax, side, names, of_side, at, total)
    ax.set_xlim(-0.42, 1.42)
    ax.set_ylim(max(at[1] for at in tops) + 0.03, -0.03)
    fates = rows.groupby("fate")["events"].sum()
    told = [fate for fate in FATES if fate in fates.index]
    canvas.legend(
        ax, [Patch(color=_COLOURS[fate], alpha=0.55) for fate in told], told,
        loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(told), handlelength=1,
    )  # fmt: skip
    canvas.title(ax, ", ".join(f"{int(fates[fate]):,} {fate}" for fate in told))
    return ax


def _flows(rows: pd.DataFrame, top: int) -> dict[tuple[str, str, str], int]:
    """Bands by type before, type after and fate; small types that stay what they are go together."""
    large = rows.groupby("before")["events"].sum().sort_values(ascending=False, kind="stable").index[:top]
    flows: dict[tuple[str, str, str], int] = {}
    moved = {
        name for row in each(rows) if row.before != row.after for name in (row.before, row.after) if pd.notna(name)
    }
    for row in each(rows):
        before = _NONE if pd.isna(row.before) else str(row.before)
        after = _NONE if pd.isna(row.after) else str(row.after)
        if before == after and before not in large and before not in moved:
            before = after = _REST
        key = (before, after, str(row.fate))
        flows[key] = flows.get(key, 0) + int(row.events)
    return flows


def _stacked(names: Sequence[str], sizes: Mapping[str, int], total: int) -> tuple[dict[str, float], float]:
    """The top of each block and the end of all, in parts of all events: apart enough to read their names."""
    pitch = 0.07
    tops, at = {}, 0.0
    for name in names:
        tops[name] = at
        at += max(sizes[name] / total + 0.02, pitch)
    return tops, at


def _bands(
    ax: Axes, flows: Mapping[tuple[str, str, str], int], tops: Sequence[tuple[dict[str, float], float]], total: int
) -> None:
    used = [dict(side[0]) for side in tops]
    order = sorted(flows, key=lambda key: (tops[0][0][key[0]], tops[1][0][key[1]], FATES.index(key[2])))
    starts = {}
    for key in order:
        starts[key] = used[0][key[0]]
        used[0][key[0]] += flows[key] / total
    for key in sorted(order, key=lambda key: (tops[1][0][key[1]], tops[0][0][key[0]], FATES.index(key[2]))):
        a, b, high = starts[key], used[1][key[1]], flows[key] / total
        used[1][key[1]] += high
        middle = (_LEFT + _RIGHT) / 2
        one, two = _LEFT + _WIDE, _RIGHT - _WIDE
        points = [(one, a), (middle, a), (middle, b), (two, b)]
        points += [(x, y + high) for x, y in reversed(points)] + [(one, a)]
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        colour = _COLOURS[key[2]]
        # The line keeps a band of one event among a million in sight.
        ax.add_patch(PathPatch(Path(points, codes), facecolor=colour, edgecolor=colour, alpha=0.45, linewidth=0.8))


def _column(
    ax: Axes, side: int, names: Sequence[str], sizes: Mapping[str, int], at: tuple[dict[str, float], float], total: int
) -> None:
    x = (_LEFT, _RIGHT - _WIDE)[side]
    rest = sum(name == _REST for name in names)
    for name in names:
        high = sizes[name] / total
        none = name == _NONE
        ax.add_patch(
            Rectangle(
                (x, at[0][name]), _WIDE, high, facecolor=(ADDED, REMOVED)[side] if none else FAINT, edgecolor="none"
            )
        )
        told = ("added", "dropped")[side] if none else "other types" if name == _REST and rest else label(name, 24)
        ax.text(
            (_LEFT - 0.015, _RIGHT + 0.015)[side], at[0][name] + high / 2, f"{told}  {sizes[name]:,}",
            ha=("right", "left")[side], va="center", size="small", **PLAIN,
        )  # fmt: skip

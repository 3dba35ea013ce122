"""The stream as it would have been: a branch, after which events its states differ, and its lines beside the log's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from esbench.branch.overlay import Overlay, Steps
from esbench.errors import EsbenchError
from esbench.fold.python import initial_state
from esbench.log import Branch, Log
from esbench.widgets.curves import LINES, Curves, label
from esbench.widgets.picture import Kept, Picture, Stretch
from esbench.widgets.sparks import Spark

__all__ = ["branched", "positions", "with_branch"]


def with_branch(log: Log, picture: Picture, stretch: Stretch, kept: Kept) -> Picture:
    """With what the edits of a place make of the states; lines of a branch run over versions only."""
    place, stream = picture.place, picture.course.stream
    assert place.aggregate is not None
    aggregate, key = place.aggregate, (stream, repr(place.edits))
    edited = kept.get(("edited", *key), lambda: positions(log, stream, place.edits))
    branch = branched(log, stream, place.edits, edited)
    diverged = kept.get(("diverged", *key), lambda: branch.diff(aggregate, by="version"))
    found = replace(picture, diverged=diverged, edited=edited)
    if picture.moment is not None:
        return found
    return replace(
        found, branch_lines=kept.get(("lines", *key, stretch.first), lambda: _lines(branch, picture, stretch))
    )


def positions(log: Log, stream: str, edits: Sequence[tuple[Any, ...]]) -> tuple[int, ...]:
    """The position that the event of each edit has in the branch by then: what follows a dropped event closes up.

    Raises EsbenchError for a version that no event has, or several, or one that is dropped already.
    """
    rows = log.source.stream(stream).rows(
        """
        select version, min(position), count(*) from events
        where version in (select unnest($_wanted::bigint[])) group by version
        """,
        _wanted=[version for _, version, *_ in edits],
    )
    known = {version: (position, count) for version, position, count in rows}
    for verb, version, *_ in edits:
        count = known[version][1] if version in known else 0
        if count != 1:
            told = f"{count:,} events claim" if count else "no event has"
            raise EsbenchError(f"{told} version {version:,} of {stream}, so none can be meant by ({verb!r}, {version})")
    found: list[int] = []
    dropped: list[int] = []
    for verb, version, *_ in edits:
        position = known[version][0]
        if position in dropped:
            raise EsbenchError(f"version {version:,} of {stream} is dropped before ({verb!r}, {version})")
        found.append(position - sum(one < position for one in dropped))
        if verb == "drop":
            dropped.append(position)
    return tuple(found)


def branched(log: Log, stream: str, edits: Sequence[tuple[Any, ...]], edited: Sequence[int]) -> Branch:
    """A branch with edits made one after another, of the events at some positions."""
    made = log.branch(stream)
    for (verb, _, *data), position in zip(edits, edited, strict=True):
        made = made.drop(position=position) if verb == "drop" else made.change(position=position, data=data[0])
    return made


def _lines(branch: Branch, picture: Picture, stretch: Stretch) -> dict[str, Spark]:
    """What the fields that have lines would be at each version of the log; where its event is dropped, as before it."""
    course, aggregate = picture.course, picture.place.aggregate
    assert aggregate is not None
    versions = [_moved(branch, int(one)) for one in course.versions[stretch.first : stretch.last + 1]]
    events = int(course.counts[stretch.first : stretch.last + 1].sum())
    before = initial_state(aggregate)
    history = branch.history(aggregate, course.stream, version=versions[-1], last=events)
    if stretch.first:
        until = _moved(branch, int(course.versions[stretch.first - 1]))
        before = branch.state(aggregate, course.stream, version=until).value
        history = history[history["version"] > until]
    curves = Curves(before, history["changed"])
    reached = [bisect_right(history["version"].tolist(), version) for version in versions]
    drawn = {path: curves.between(path) for path in stretch.curves.paths[:LINES]}
    return {label(path): [values[row] for row in reached] for path, values in drawn.items()}


def _moved(branch: Branch, version: int) -> int:
    """The version of a branch up to which it has what the log has up to a version."""
    # Where the event itself is dropped the next one takes its version, so it is the next one that is asked for.
    edits = branch.edits
    old, new = (_steps(overlay, edits.key) for overlay in (edits.since, edits.overlay))
    return new.of(old.back(version + 1)) - 1


def _steps(overlay: Overlay, key: int) -> Steps:
    return overlay.versions.get(key, Steps())

"""The stream as it would have been: a branch, after which events its states differ, and its lines beside the log's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from esbench.branch.overlay import Overlay, Steps
from esbench.fold.python import initial_state
from esbench.log import Branch, Log
from esbench.widgets.curves import LINES, Curves, label
from esbench.widgets.picture import Kept, Picture, Stretch
from esbench.widgets.sparks import Spark

__all__ = ["branched", "with_branch"]


def with_branch(log: Log, picture: Picture, stretch: Stretch, kept: Kept) -> Picture:
    """With what the edits of a place make of the states; lines of a branch run over versions only."""
    place, stream = picture.place, picture.course.stream
    assert place.aggregate is not None
    aggregate, key = place.aggregate, (stream, repr(place.edits))
    branch = branched(log, stream, place.edits)
    found = replace(picture, diverged=kept.get(("diverged", *key), lambda: branch.diff(aggregate, by="version")))
    if picture.moment is not None:
        return found
    return replace(
        found, branch_lines=kept.get(("lines", *key, stretch.first), lambda: _lines(branch, picture, stretch))
    )


def branched(log: Log, stream: str, edits: Sequence[tuple[Any, ...]]) -> Branch:
    """A branch with edits made one after another."""
    made = log.branch(stream)
    for verb, version, *data in edits:
        made = made.drop(version) if verb == "drop" else made.change(version, data=data[0])
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

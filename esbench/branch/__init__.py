"""Branches: a log with events inserted, dropped or changed, as an overlay; the log itself is untouched."""

from __future__ import annotations

from esbench.branch.edits import KEEP, Edits, Keep, branch
from esbench.branch.overlay import Overlay
from esbench.branch.stream import BadEdit, UnknownEvent

__all__ = ["KEEP", "BadEdit", "Edits", "Keep", "Overlay", "UnknownEvent", "branch"]

"""What plots draw, as frames: each function has the name of the plot that takes what it gives.

Everything is aggregated where the events are, so that a frame is small however long the log. ``attrs`` of a frame say
what was left out, and how much there is in all.
"""

from __future__ import annotations

from esbench.plots.tidy.causes import causation
from esbench.plots.tidy.counts import event_mix, stream_lengths, timeline
from esbench.plots.tidy.findings import findings_heatmap
from esbench.plots.tidy.flows import migration_flow
from esbench.plots.tidy.follows import transitions
from esbench.plots.tidy.states import damage, state_diff, state_history
from esbench.plots.tidy.versions import gaps

__all__ = [
    "causation",
    "damage",
    "event_mix",
    "findings_heatmap",
    "gaps",
    "migration_flow",
    "state_diff",
    "state_history",
    "stream_lengths",
    "timeline",
    "transitions",
]

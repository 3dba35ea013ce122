"""Pictures of logs, states, reports and migrations, made with matplotlib.

Each function takes a log, or a tidy frame, and gives the Axes that it drew on: ``ax=``, or new ones. It touches no
global setting and no state of pyplot, and shows nothing by itself:

- as the last value of a notebook's cell, new Axes are shown (they are a :class:`~esbench.plots.canvas.Picture`);
  in the middle of a cell, ``display(ax)`` shows them;
- with ``figure, ax = plt.subplots(layout="constrained")`` and ``ax=ax`` they are part of a figure of pyplot, which
  shows it as always. A layout keeps names and legends inside the figure: one that has none, and no margins of its own,
  gets this one;
- ``ax.figure.savefig("picture.svg")`` writes them to a file.

What is drawn is made by the function of the same name in :mod:`esbench.plots.tidy`, as a frame, which the picture
takes as well: look at it, or filter it, before it is drawn. Only sums leave the log, however long it is, and a title
says what was left out. Texts of events are shown as they stand: cut, escaped, and never read as mathematics.

>>> import esbench as es
>>> log = es.open().load("data/inventory.jsonl")
>>> ax = es.plots.event_mix(log)
>>> frame = es.plots.tidy.event_mix(log)
>>> ax = es.plots.event_mix(frame[frame["events"] > 50])
"""

from __future__ import annotations

from esbench.plots import tidy
from esbench.plots.causes import causation
from esbench.plots.flows import migration_flow
from esbench.plots.states import state_diff, state_history
from esbench.plots.streams import findings_heatmap, gaps
from esbench.plots.transitions import transitions
from esbench.plots.volumes import event_mix, stream_lengths, timeline

__all__ = [
    "causation",
    "event_mix",
    "findings_heatmap",
    "gaps",
    "migration_flow",
    "state_diff",
    "state_history",
    "stream_lengths",
    "tidy",
    "timeline",
    "transitions",
]

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import esbench as es
from esbench.events import Events
from esbench.plots import tidy
from esbench.plots.canvas import Picture
from esbench.plots.palette import ADDED, CHANGED, DAMAGE, OTHER, SEVERITY
from esbench.plots.words import label
from tests.conftest import ROOT
from tests.strategies import hostile_texts

START = datetime(2024, 1, 1, tzinfo=UTC)
HOSTILE = ("$\\frac{$", "_hidden", "a\nb\u202e", "\x1b[2J", "x" * 5_000, "抹茶🦆", "</svg><script>", "{0} %s")


def loaded(rows: list[dict[str, Any]]) -> es.Log:
    return es.open().load(pd.DataFrame(rows), name="made")


def made(types: str, *, streams: int = 1, hours: float = 1) -> es.Log:
    """Streams of events of the types that the letters name, an hour apart."""
    return loaded(
        [
            {"stream_id": f"s{s}", "version": v, "event_type": name, "event_id": f"{s}-{v}",
             "recorded_at": START + timedelta(hours=hours * (v + s)),
             "metadata": json.dumps({"correlation_id": "c"})}
            for s in range(streams) for v, name in enumerate(types, 1)
        ]
    )  # fmt: skip


def parts(ax: Axes, kind: str) -> list[Any]:
    """The ``patches``, ``lines`` or ``collections`` of axes, which know more than their lists say."""
    return list(getattr(ax, kind))


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    shown = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), *(legend.get_texts() if legend else [])]
    return [text.get_text().strip() for text in shown]


def title(ax: Axes) -> str:
    return ax.get_title(loc="left")


def drawn(ax: Axes) -> Axes:
    """The axes after their figure was drawn, so that what fails at drawing fails here."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return ax


def history(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    usual = {"version": range(1, n + 1), "event_type": ["A"] * n, "trust": ["complete"] * n, "broken": [""] * n}
    return pd.DataFrame({**usual, **columns})


def findings(*rows: tuple[str, str | None, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [("some", severity, stream, START + timedelta(days=day)) for severity, stream, day in rows],
        columns=["check", "severity", "stream_id", "recorded_at"],
    )


# What is drawn


def test_timeline_stacks_the_types_of_each_bin():
    ax = drawn(es.plots.timeline(made("AAB", streams=2), bins=10))
    bottom, upper = (patch.get_data() for patch in parts(ax, "patches"))
    assert (bottom.values.tolist(), upper.baseline.tolist()) == ([1, 2, 1, 0], [1, 2, 1, 0])
    assert (upper.values - upper.baseline).tolist() == [0, 0, 1, 1]
    assert (ax.get_ylabel(), title(ax)) == ("events an hour", "6 events of 2 types")
    assert texts(ax)[-2:] == ["B", "A"]


def test_timeline_says_what_it_puts_together_and_leaves_out():
    rows = made("AAABBC").events()
    rows.loc[0, "recorded_at"] = pd.NaT
    ax = es.plots.timeline(rows, top=1)
    assert title(ax).splitlines() == ["5 events of 3 types", "1 more have no time"]
    assert texts(ax)[-2:] == ["2 other types", "A"]
    assert to_hex(parts(ax, "patches")[-1].get_facecolor()) == OTHER


def test_shares_over_time_fill_each_bin_that_has_events():
    ax = es.plots.event_mix(made("AB", streams=2, hours=2), over_time=True)
    top = parts(ax, "patches")[-1].get_data()
    assert set(top.values.tolist()) == {0.0, 100.0}


def test_event_mix_has_a_bar_a_type_and_one_for_the_rest():
    ax = drawn(es.plots.event_mix(made("AAAABBCD"), top=2))
    assert [bar.get_width() for bar in parts(ax, "patches")] == [50.0, 25.0, 25.0]
    assert texts(ax)[:3] == ["50%  4", "25%  2", "25%  2"]
    assert [text for text in texts(ax) if text in ("A", "B", "2 other types")] == ["A", "B", "2 other types"]


@pytest.mark.parametrize(("events", "words"), [(1, "1 event of 1 type"), (3, "3 events of 1 type\nall at one time")])
@pytest.mark.parametrize("name", ["timeline", "event_mix"])
def test_events_of_one_time_stand_there_and_claim_no_span(name, events, words):
    rows = [{"stream_id": "s", "version": v, "event_type": "A", "recorded_at": START} for v in range(events)]
    over = {"over_time": True} if name == "event_mix" else {}
    ax = getattr(es.plots, name)(loaded(rows), **over)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["recorded at 2024-01-01 00:00:00 (UTC)"]
    assert ax.get_ylabel() == ("% of events" if over else "events")
    assert title(ax) == words
    (bar,) = parts(ax, "patches")
    low, high = ax.get_xlim()
    assert low < bar.get_data().edges[0] < bar.get_data().edges[1] < high


@pytest.mark.parametrize("axis", ["stream_lengths x", "stream_lengths y", "gaps x", "timeline y"])
def test_one_of_something_has_one_label(axis):
    name, which = axis.split()
    ax = getattr(es.plots, name)(made("A"))
    drawn(ax)
    low, high = sorted(ax.get_xlim() if which == "x" else ax.get_ylim())
    ticks = getattr(ax, f"{which}axis").get_major_ticks()
    shown = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]
    assert "1" in shown
    assert len(set(shown)) == len(shown)


def test_each_short_length_has_a_bar():
    rows = [
        {"stream_id": f"s{n}", "version": v, "event_type": "A"} for n, size in enumerate((1, 1, 3)) for v in range(size)
    ]
    ax = drawn(es.plots.stream_lengths(loaded(rows)))
    assert [bar.get_height() for bar in parts(ax, "patches")] == [2, 0, 1]
    assert title(ax) == "3 streams: median 1 event, longest 3 (s2)"


def test_long_lengths_stand_in_bars_that_lose_no_stream():
    frame = pd.DataFrame({"length": [1, 2, 900, 1_000_000], "streams": [5_000, 10, 3, 1]})
    ax = drawn(es.plots.stream_lengths(frame))
    assert sum(bar.get_height() for bar in parts(ax, "patches")) == 5_014
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_gaps_draws_runs_as_one_artist_and_marks_between_them():
    rows = [
        {"stream_id": name, "version": v, "event_type": "A"}
        for name, vs in {"a": [1, 2, 5], "b": [1]}.items()
        for v in vs
    ]
    ax = drawn(es.plots.gaps(loaded(rows)))
    runs, holes = parts(ax, "collections")
    ends = [segment.tolist() for segment in runs.get_segments()]
    assert ends == [[[0.5, 0], [2.5, 0]], [[4.5, 0], [5.5, 0]], [[0.5, 1], [1.5, 1]]]
    assert [segment.tolist() for segment in holes.get_segments()] == [[[2.5, 0], [4.5, 0]]]
    assert (parts(ax, "lines")[0].get_xdata().tolist(), parts(ax, "lines")[0].get_marker()) == ([3.5], "x")
    assert title(ax) == "1 of 2 streams is damaged: 1 hole"


def test_gaps_caps_its_streams_and_says_so():
    ax = es.plots.gaps(made("A", streams=50), limit=7)
    assert len(ax.get_yticks()) == 7
    assert "7 of 50 streams are shown" in title(ax)


def test_one_endless_stream_leaves_room_for_the_others():
    frame = pd.DataFrame({"stream_id": list("abc"), "mark": "events", "first": 1, "last": [1_000_000, 9, 9]})
    assert drawn(es.plots.gaps(frame)).get_xscale() == "symlog"


def test_heatmap_shows_the_worst_of_each_cell_and_how_many():
    ax = drawn(
        es.plots.findings_heatmap(findings(("info", "a", 0), ("error", "a", 0), ("info", None, 3), ("warning", "b", 9)))
    )
    cells = parts(ax, "collections")[0].get_array()
    assert cells is not None
    assert cells.compressed().tolist() == [0, 1, 2]
    assert [text.get_text() for text in ax.texts] == ["2"]
    assert texts(ax)[-3:] == ["error", "warning", "info"]
    assert [text for text in texts(ax) if text in ("a", "b", "(the whole log)")] == ["a", "b", "(the whole log)"]
    assert to_hex(parts(ax, "collections")[0].get_cmap()(0.0)) == SEVERITY["error"].lower()


def test_history_marks_where_trust_ends_and_an_invariant_breaks():
    rows = history(
        stock=[5, 2, -2], trust=["complete", "past version-fork 2", "past version-fork 2"], broken=["", "", "n >= 0"]
    )
    ax = drawn(es.plots.state_history(rows))
    steps, rings, line, _ = parts(ax, "lines")
    assert (steps.get_ydata().tolist(), steps.get_drawstyle()) == ([5, 2, -2], "steps-post")
    assert (rings.get_xdata().tolist(), rings.get_ydata().tolist()) == ([3], [-2])
    assert list(line.get_xdata()) == [2, 2]
    assert "past version-fork 2" in texts(ax)
    assert title(ax) == "3 events, broken since version 3: n >= 0"


def test_no_more_fields_than_colours_are_drawn_and_the_rest_is_told():
    rows = history(**{f"f{n}": [n, n] for n in range(9)})
    ax = es.plots.state_history(rows)
    assert len([line for line in parts(ax, "lines") if line.get_drawstyle() == "steps-post"]) == 7
    assert "7 of 9 fields are shown" in title(ax)
    assert len(es.plots.state_history(rows, fields=["f8"]).lines) == 2


def test_forked_events_stand_at_one_version_and_their_types_on_the_axis():
    ax = drawn(es.plots.state_history(history(n=[1, 2, 3], version=[1, 2, 2], event_type=["A", "B", "B"])))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1 A", "2 B ×2"]


def test_diff_has_bars_for_numbers_in_scale_with_each_other():
    ax = drawn(es.plots.state_diff(pd.DataFrame({"path": ["/n", "/s"], "before": [5, "x"], "after": [-2, "y"]})))
    assert [(bar.get_width(), bar.get_hatch()) for bar in parts(ax, "patches")] == [(1.0, None), (0.4, "////")]
    assert to_hex(parts(ax, "patches")[0].get_facecolor()) == CHANGED.lower()
    assert [text for text in texts(ax) if text] == ["before", "after", "→", "5", "-2", "→", "'x'", "'y'", "/n", "/s"]


def causes(n: int = 3, **extra: Any) -> es.Log:
    return loaded(
        [
            {"stream_id": f"s{i % 2}", "version": i, "event_type": f"T{i}", "event_id": f"e{i}",
             "recorded_at": START + timedelta(minutes=i), "metadata": json.dumps({"causation_id": f"e{i - 1}"})} | extra
            for i in range(1, n + 1)
        ]
    )  # fmt: skip


def test_causation_draws_each_effect_below_its_cause_at_its_time():
    ax = drawn(es.plots.causation(causes(), "e2"))
    (lines,) = parts(ax, "collections")
    minute = 1 / 1_440
    segments = [segment.tolist() for segment in lines.get_segments()]
    start = segments[0][0][0]
    assert segments[0] == [[start, 0], [start, 1], [pytest.approx(start + minute), 1]]
    assert [text for text in texts(ax) if text.startswith("T")] == ["T1  s1", "T2  s0", "T3  s1"]
    assert "cause not in the log" in texts(ax)
    assert "the event asked for" in texts(ax)
    assert title(ax) == "3 events in 2 streams within 2 min"


def test_an_effect_before_its_cause_is_marked():
    rows = causes().events()
    rows.loc[1, "recorded_at"] = START
    ax = drawn(es.plots.causation(rows, "e2"))
    assert DAMAGE.lower() in [to_hex(lines.get_color()[0]) for lines in parts(ax, "collections")]
    assert "before its cause" in texts(ax)


def test_transitions_has_a_box_a_type_and_a_line_a_pair_as_wide_as_it_is_frequent():
    frame = pd.DataFrame(
        {
            "before": [None, "A", "B", "B"],
            "after": ["A", "B", "B", None],
            "events": [10, 10, 5, 10],
            "median_seconds": [None, 60.0, 2.0, None],
        }
    )
    ax = drawn(es.plots.transitions(frame, least=0))
    widths = {patch.get_gid(): patch.get_linewidth() for patch in parts(ax, "patches") if patch.get_gid()}
    assert set(widths) == {"10", "10 · 1 min", "5 · 2 s"}
    assert widths["10 · 1 min"] == pytest.approx(5.5)
    assert widths["5 · 2 s"] == pytest.approx(0.8 + 4.7 / 2)
    assert {"A\n10", "B\n15", "begin: 10 streams", "end: 10 streams"} <= set(texts(ax))


def test_rare_pairs_are_cut_and_counted_but_never_all_of_a_type():
    frame = pd.DataFrame({"before": [None, "A", "A", "B"], "after": ["A", "B", "C", "C"], "events": [100, 99, 1, 50]})
    ax = es.plots.transitions(frame, least=0.05)
    assert "1 rare pair left out (1 time; least=0.05, top=16)" in title(ax)
    lone = pd.DataFrame({"before": ["A", "A"], "after": ["B", "C"], "events": [999, 1]})
    assert "left out" not in title(es.plots.transitions(lone))


def test_a_graph_of_everything_to_everything_is_cut_until_it_can_be_read():
    pairs = [(a, b) for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJKL"]
    frame = pd.DataFrame([(a, b, 100 + n) for n, (a, b) in enumerate(pairs)], columns=["before", "after", "events"])
    ax = drawn(es.plots.transitions(frame))
    lines = [patch for patch in parts(ax, "patches") if patch.get_gid()]
    assert len(lines) <= 40
    assert f"{144 - len(lines)} rare pairs left out" in title(ax)
    assert len([patch for patch in drawn(es.plots.transitions(frame, least=0)).patches if patch.get_gid()]) == 144


def test_types_that_follow_themselves_stand_apart_with_the_words_beside_them():
    rows = [
        {"stream_id": f"{name}{s}", "version": v, "event_type": f"Reading{name}", "event_id": f"{name}{s}-{v}",
         "recorded_at": START + timedelta(minutes=17 * v)}
        for name in "ABCDEFGHIJ" for s in range(3) for v in range(1, 6)
    ]  # fmt: skip
    ax = es.plots.transitions(loaded(rows))
    figure = drawn(ax).get_figure(root=True)
    boxes = [patch.get_window_extent() for patch in parts(ax, "patches") if patch.get_gid() is None]
    assert len({round(box.y0) for box in boxes}) > 1
    words = [text.get_window_extent() for text in ax.texts if text.get_text().strip() == "12 · 17 min"]
    assert len(words) == len(boxes) == 10
    assert not any(box.overlaps(text) for box in boxes for text in words)
    loops = [patch for patch in parts(ax, "patches") if patch.get_gid() == "12 · 17 min"]
    around = [loop.get_window_extent() for loop in loops]
    assert all(sum(box.overlaps(loop) for box in boxes) == 1 for loop in around)
    assert figure is not None
    assert figure.get_size_inches()[0] <= 14


def test_bands_of_a_migration_are_as_wide_as_there_are_events_and_coloured_by_fate():
    frame = pd.DataFrame(
        {"before": ["A", "B", None, "C"], "after": ["A", "X", "N", None],
         "fate": ["kept", "changed", "added", "dropped"], "events": [60, 20, 15, 5]}
    )  # fmt: skip
    ax = drawn(es.plots.migration_flow(frame))
    bands = [patch for patch in parts(ax, "patches") if patch.get_alpha() == 0.45]
    heights = [
        round(abs(path.vertices[-2][1] - path.vertices[0][1]), 6) for path in (band.get_path() for band in bands)
    ]
    assert sorted(heights) == [0.05, 0.15, 0.2, 0.6]
    assert {to_hex(band.get_facecolor()) for band in bands} == {OTHER, CHANGED.lower(), ADDED.lower(), DAMAGE.lower()}
    assert {"A  60", "B  20", "X  20", "added  15", "dropped  5"} <= set(texts(ax))
    assert title(ax) == "60 kept, 20 changed, 15 added, 5 dropped"


def test_small_types_that_stay_go_together_and_those_that_change_do_not():
    names = [f"T{n}" for n in range(30)]
    frame = pd.DataFrame(
        {
            "before": [*names, "Rare"],
            "after": [*names, "Renamed"],
            "fate": ["kept"] * 30 + ["changed"],
            "events": [100] * 30 + [1],
        }
    )
    shown = texts(es.plots.migration_flow(frame, top=10))
    assert {"other types  2,000", "Rare  1", "Renamed  1"} <= set(shown)


# What all of them owe


def empty_log() -> Events:
    return made("A").source.where("false")


EMPTY = {
    "timeline": lambda ax: es.plots.timeline(empty_log(), ax=ax),
    "event_mix": lambda ax: es.plots.event_mix(empty_log(), ax=ax),
    "event_mix over time": lambda ax: es.plots.event_mix(empty_log(), over_time=True, ax=ax),
    "stream_lengths": lambda ax: es.plots.stream_lengths(empty_log(), ax=ax),
    "gaps": lambda ax: es.plots.gaps(empty_log(), ax=ax),
    "transitions": lambda ax: es.plots.transitions(empty_log(), ax=ax),
    "findings": lambda ax: es.plots.findings_heatmap(findings(), ax=ax),
    "history": lambda ax: es.plots.state_history(history(n=[]), ax=ax),
    "history without numbers": lambda ax: es.plots.state_history(history(name=["x"]), ax=ax),
    "diff": lambda ax: es.plots.state_diff(pd.DataFrame({"path": [], "before": [], "after": []}), ax=ax),
    "causation": lambda ax: es.plots.causation(made("A"), correlation="nope", ax=ax),
    "flow": lambda ax: es.plots.migration_flow(
        tidy.migration_flow(made("A").dry_run(es.Migration("m", []))).head(0), ax=ax
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_picture_says_why_and_what_to_do(name):
    ax = drawn(EMPTY[name](None))
    (told,) = [text.get_text() for text in ax.texts]
    assert told.count(".") >= 2 or "?" in told
    assert not parts(ax, "patches")
    assert not parts(ax, "lines")


DRAW = {
    "timeline": lambda log, **ax: es.plots.timeline(log, **ax),
    "event_mix": lambda log, **ax: es.plots.event_mix(log, **ax),
    "stream_lengths": lambda log, **ax: es.plots.stream_lengths(log, **ax),
    "gaps": lambda log, **ax: es.plots.gaps(log, **ax),
    "findings": lambda log, **ax: es.plots.findings_heatmap(log.check(), **ax),
    "causation": lambda log, **ax: es.plots.causation(log, correlation="c", **ax),
    "transitions": lambda log, **ax: es.plots.transitions(log, **ax),
    "flow": lambda log, **ax: es.plots.migration_flow(log.dry_run(es.Migration("m", []), checks=False), **ax),
}


def hostile_log(names: tuple[str, ...] = HOSTILE) -> es.Log:
    return loaded(
        [
            {"stream_id": name, "stream_type": name, "version": v, "event_type": name, "event_id": f"{n}-{v}",
             "recorded_at": START + timedelta(hours=n + v), "metadata": '{"correlation_id": "c", "causation_id": "x"}'}
            for n, name in enumerate(names) for v in (1, 2, 4)
        ]
    )  # fmt: skip


def check_texts(ax: Axes) -> None:
    """Nothing that came from an event can steer how it is drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(ax)
    figure = ax.get_figure(root=True)
    assert figure is not None
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if any(c in text.get_text() for c in "$_{<\\"):
            assert not text.get_parse_math()
            assert not text.get_usetex()
        assert all(len(line) < 160 for line in text.get_text().splitlines())
        assert "\u202e" not in text.get_text()


@pytest.mark.parametrize("name", DRAW)
def test_hostile_names_are_drawn_as_they_stand(name):
    check_texts(DRAW[name](hostile_log()))


@settings(max_examples=8)
@given(names=st.lists(hostile_texts(), min_size=1, max_size=4, unique=True).map(tuple))
@pytest.mark.parametrize("name", ["gaps", "transitions", "causation", "event_mix"])
def test_any_names_are_drawn(name, names):
    check_texts(DRAW[name](hostile_log(names)))


def test_hostile_fields_values_and_paths_are_drawn_as_they_stand():
    for text in HOSTILE:
        check_texts(
            es.plots.state_history(
                history(**{text: [1, 2]}, trust=[text, "x"], broken=["", text], event_type=[text] * 2)
            )
        )
        check_texts(es.plots.state_diff(pd.DataFrame({"path": [text], "before": [text], "after": [1]})))


def test_labels_keep_both_ends_of_long_names():
    assert label("a" * 50 + "1234", 12) == "aaaaaaaa…234"
    assert label("抹" * 2, 12) in ("抹抹", "□□")
    assert label("x" * 10_000_000) == "x" * 17 + "…" + "x" * 8


@pytest.mark.parametrize("name", DRAW)
def test_given_axes_are_drawn_on_and_returned(name):
    figure = Figure()
    ax = figure.add_subplot()
    assert DRAW[name](made("AAB"), ax=ax) is ax
    assert figure.axes == [ax]


@pytest.mark.parametrize("name", ["timeline", "gaps", "event_mix", "transitions"])
def test_names_and_legends_stay_within_a_figure_of_which_nobody_said_how_it_is_laid_out(name):
    figure = Figure(figsize=(6.4, 4.8))
    left, right = figure.subplots(1, 2)
    getattr(es.plots, name)(made("ABC" * 3, streams=12), ax=right)
    right.set_ylabel("a note")
    figure.draw_without_rendering()
    within, page = right.get_tightbbox(), figure.bbox
    assert within is not None
    # Texts are measured to the pixel.
    assert within.x0 >= left.get_window_extent().x1 - 1
    assert within.x1 <= page.x1 + 2
    assert within.y0 >= -2
    assert within.y1 <= page.y1 + 2


def test_a_figure_that_is_laid_out_already_is_left_as_it_is():
    log = made("AB")
    tight, by_hand, free = Figure(layout="tight"), Figure(), Figure()
    engine = tight.get_layout_engine()
    by_hand.subplots_adjust(right=0.5)
    for figure in (tight, by_hand):
        es.plots.timeline(log, ax=figure.subplots())
    es.plots.timeline(log, ax=free.add_axes((0.1, 0.1, 0.4, 0.4)))
    assert tight.get_layout_engine() is engine
    assert by_hand.get_layout_engine() is free.get_layout_engine() is None


def test_new_axes_show_themselves_in_a_notebook():
    ax = es.plots.timeline(made("AAB"))
    assert isinstance(ax, Picture)
    image, size = ax._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert size == {"width": 800, "height": 450}
    assert int.from_bytes(image[16:20], "big") == 1600


def test_nothing_global_is_touched(tmp_path):
    code = """
import matplotlib as mpl
# Reading the backend would choose one.
before = {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}
import esbench as es, sys
assert "esbench.plots" not in sys.modules and "matplotlib.figure" not in sys.modules
log = es.open().load("data/inventory.jsonl")
es.plots.timeline(log).figure.savefig(sys.argv[1])
es.plots.transitions(log).figure.savefig(sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
assert {name: mpl.rcParams[name] for name in before} == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path / "picture.svg")], check=True, cwd=ROOT)


def test_the_number_of_artists_does_not_grow_with_the_log():
    def artists(log: es.Log, name: str) -> int:
        ax = DRAW[name](log)
        return sum(len(parts(ax, kind)) for kind in ("patches", "lines", "collections")) + len(ax.texts)

    small, large = made("AB" * 20, streams=20), made("AB" * 40, streams=80)
    for name in ("timeline", "event_mix", "gaps", "transitions", "flow"):
        assert artists(large, name) == artists(small, name), name


def test_the_package_offers_its_plots_lazily():
    assert "plots" in dir(es)
    with pytest.raises(AttributeError, match="no attribute 'plotz'"):
        es.plotz  # noqa: B018

"""The overview of a log, driven through its traits."""

from __future__ import annotations

import pandas as pd
import pytest

import esbench as es
from esbench.widgets import LogOverview, explore
from tests.widgets.hostile import log_of

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-03-01T00:00Z")


def rows(**changes):
    """Ten streams with an event a day, of two types in turn; each occurred an hour before it was recorded."""
    made = [
        {
            "stream_id": f"s-{stream}",
            "version": version,
            "event_type": ("Made", "Sold")[version % 2],
            "schema_version": 1 + (version > 5),
            "recorded_at": START + version * DAY,
            "occurred_at": START + version * DAY - pd.Timedelta(hours=1),
            "data": "{}",
        }
        for stream in range(10)
        for version in range(1, 2 + stream)
    ]
    return pd.DataFrame(made).assign(**changes)


def load(frame, name="log"):
    return es.open().load(frame, name=name)


@pytest.fixture
def log():
    return load(rows())


def shown(view):
    assert view.wait()
    assert view.faults.value == ""
    return view.heading.value + view.volume.value + "".join(part.value for part in view.parts) + view.page.value


def test_a_log_without_an_aggregate_is_shown_as_an_overview(log):
    assert isinstance(explore(log), LogOverview)
    assert isinstance(explore(log, view="overview"), LogOverview)


def test_overview_tells_types_streams_versions_and_lags(log):
    told = shown(explore(log))
    assert "55 events, 10 streams, 2 types" in told
    for part in ("Types by share", "Streams by length", "Streams by age", "Schema versions over time", "Lag"):
        assert part in told
    assert "version 2" in told
    assert "median 1 h" in told


def test_sums_are_those_of_the_events(log):
    view = explore(log, types=("Made",), since="2024-03-04T00:00Z", until="2024-03-08T00:00Z")
    view.wait()
    every = rows()
    kept = every[
        (every["event_type"] == "Made") & (every["recorded_at"] >= "2024-03-04") & (every["recorded_at"] < "2024-03-08")
    ]
    picture = view.picture
    assert picture.events == len(kept) > 0
    assert picture.streams == kept["stream_id"].nunique()
    lengths = kept.groupby("stream_id").size().value_counts()
    told = dict(zip(picture.lengths["events"], picture.lengths["streams"], strict=True))
    assert told == {str(length): n for length, n in lengths.items()}
    ages = kept.groupby("stream_id")["recorded_at"].agg(lambda times: times.max() - times.min())
    assert int(picture.ages["count"].sum()) == len(ages)
    assert dict(zip(picture.ages["span"], picture.ages["count"], strict=True)) == {
        "under a second": int((ages == pd.Timedelta(0)).sum()),
        "under a week": int((ages > pd.Timedelta(0)).sum()),
    }
    assert picture.lags.values.tolist() == [["under a day", len(kept)]]
    assert int(picture.volume["events"].sum()) == int((every["event_type"] == "Made").sum())


def test_selection_is_a_relation_and_a_frame_of_the_same_events(log):
    view = explore(log, types=["Sold"], since="2024-03-03T00:00Z")
    view.wait()
    frame = view.selection_frame()
    assert set(frame["event_type"]) == {"Sold"}
    assert frame["recorded_at"].min() >= pd.Timestamp("2024-03-03T00:00Z")
    ids = view.selection.project("position").order("position").fetchall()
    assert [place for (place,) in ids] == frame["position"].tolist()
    assert len(view.selection_frame(limit=3)) == 3


def test_moving_the_handles_narrows_everything(log):
    view = explore(log)
    view.wait()
    edges = [value for _, value in view.range.options]
    view.range.index = (2, 5)
    told = shown(view)
    assert view.spec == {"since": edges[2], "until": edges[5]}
    assert "of 55 events selected" in told
    assert view.since.value == edges[2]
    frame = view.selection_frame()
    assert len(frame) == view.picture.events
    assert frame["recorded_at"].between(pd.Timestamp(edges[2]), pd.Timestamp(edges[5]), inclusive="left").all()
    view.range.index = (0, len(edges) - 1)
    view.wait()
    assert view.spec == {}


def test_both_handles_at_one_edge_select_nothing_else(log):
    view = explore(log)
    view.wait()
    view.range.index = (3, 3)
    view.wait()
    assert view.spec == {}


def test_typed_bounds_move_the_handles_and_stay_exact(log):
    view = explore(log)
    view.wait()
    view.since.value = "2024-03-05T12:34:56Z"
    view.wait()
    assert view.spec == {"since": "2024-03-05T12:34:56Z"}
    assert view.since.value == "2024-03-05T12:34:56Z"
    assert view.range.index[0] > 0
    view.all.click()
    view.wait()
    assert view.spec == {}


def test_a_bound_that_is_no_time_is_told_and_nothing_moves(log):
    view = explore(log)
    view.wait()
    view.until.value = "yesterday"
    view.wait()
    assert "yesterday" in view.faults.value
    assert view.spec == {}


def test_types_narrow_the_rest_and_every_type_is_none(log):
    view = explore(log)
    view.wait()
    view.types.value = ("Made",)
    assert "25 of 55" in shown(view)
    assert set(view.selection_frame()["event_type"]) == {"Made"}
    view.types.value = ("Made", "Sold")
    view.wait()
    assert view.spec == {}


def test_nothing_selected_says_why_and_what_to_do(log):
    view = explore(log, since="2030-01-01T00:00Z")
    assert "widen" in shown(view)
    assert len(view.selection_frame()) == 0


def test_an_empty_log_says_why(log):
    log = load(rows())
    gone = log.dry_run(es.Migration("none", [es.drop_events(["Made", "Sold"])]))
    view = explore(es.Bench(log.source.con, None).apply(gone, name="none"))
    told = shown(view)
    assert "no events" in told
    assert "rejects" in told
    assert "no events" in view.to_html()


def test_a_log_without_times_shows_what_there_is():
    view = explore(load(rows().drop(columns=["recorded_at", "occurred_at"])))
    told = shown(view)
    assert "No event has a recorded time" in told
    assert "Types by share" in told
    assert "no event says when it occurred" in told
    assert view.over_time.layout.display == "none"


def test_one_event_is_enough():
    assert "1 event, 1 stream, 1 type" in shown(explore(load(rows().head(1))))


def test_an_event_recorded_before_it_occurred_is_told_as_such():
    log = load(rows(occurred_at=START + 400 * DAY))
    assert "recorded before it occurred" in shown(explore(log))


def test_hostile_names_are_escaped_everywhere():
    bad = "<script>alert(1)</script>\u202e"
    log = load(rows(event_type=bad, stream_id=[f"{bad}{n}" for n in range(55)], version=1), name=bad)
    view = explore(log, types=(bad,))
    told = shown(view) + view.to_html()
    assert "<script>" not in told
    assert "\u202e" not in told
    assert "&lt;script&gt;" in told
    assert len(view.selection_frame()) == 55


def test_only_a_page_of_types_and_events_leaves_the_kernel():
    log = load(rows(event_type=[f"Type{n:03}" for n in range(55)]))
    view = explore(log)
    view.wait()
    assert len(view.types.options) == 50
    assert len(view.picture.page) <= 50
    assert "12 of 55 types" in "".join(part.value for part in view.parts)


def test_shown_code_runs_and_selects_the_same(log):
    view = explore(log, types=("Made",), since="2024-03-03T00:00Z", until="2024-03-09T00:00Z", names={"log": log})
    view.wait()
    scope = {"log": log}
    exec(view.shown_code, scope)
    assert len(scope["frame"]) == len(view.selection_frame()) > 0


def test_spec_makes_the_same_view_again(log):
    view = explore(log, types=("Made",), since="2024-03-03T00:00Z")
    again = explore(log, **view.spec)
    assert shown(again) == shown(view)
    assert again.spec == view.spec


def test_static_html_holds_pictures_and_code_and_no_script(log):
    view = explore(log)
    html = view._repr_mimebundle_()["text/html"]
    assert '<img alt="' in html
    assert "es.plots.timeline" in html
    assert "<script" not in html


def test_controls_are_labelled(log):
    view = explore(log)
    view.wait()
    for control in (view.since, view.until, view.types):
        assert control.description
        assert control.tooltip
    assert view.range.tooltip
    assert view.all.tooltip


def test_a_log_dropped_meanwhile_is_told(log):
    view = explore(log)
    view.wait()
    es.Bench(log.source.con, None).drop("log")
    view.range.index = (1, 4)
    view.wait()
    assert "es-fault" in view.faults.value


def test_times_that_no_picture_has_room_for_are_no_missing_times():
    times = ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "2024-06-01T12:00:00Z"]
    log = log_of([{"recorded_at": each} for each in times])
    view = explore(log, names={})
    told = shown(view)
    assert "2 events before 0001-01-02 or from 9999-12-01 on" in told
    assert "without a time" not in told
    view.until.value = "2025-01-01"
    assert "2 of 3 events selected" in shown(view)
    alone = shown(explore(log_of([{"recorded_at": times[0]}]), names={}))
    assert "No event has a time that a picture has room for" in alone
    assert "No event has a recorded time" not in alone

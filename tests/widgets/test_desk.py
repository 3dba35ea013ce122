"""The migration desk, driven through its traits."""

from __future__ import annotations

import gc
import threading
import time

import pandas as pd
import pytest

import esbench as es
from esbench.widgets import LogOverview, MigrationDesk, explore

GATE = "same state: Thing as Thing"


def thing():
    made = es.Aggregate("Thing", initial={"n": 0}, streams="*")

    @made.on("Made", "Sold")
    def count(state, event):
        return {"n": state["n"] + event.data["n"]}

    return made


def rows(kinds=("Made", "Sold", "Sold"), streams=4):
    return pd.DataFrame(
        {
            "stream_id": [f"s-{stream}" for stream in range(streams) for _ in kinds],
            "version": [version for _ in range(streams) for version in range(1, len(kinds) + 1)],
            "event_type": list(kinds) * streams,
            "schema_version": 1,
            "data": ['{"n": 1}'] * len(kinds) * streams,
        }
    )


@pytest.fixture
def bench():
    return es.open()


@pytest.fixture
def log(bench):
    return bench.load(rows(), name="log")


@pytest.fixture
def plan():
    """Drops what counts, so that two gates fail: the states differ."""
    return es.Migration(
        "v2", [es.rename_type("Made", "Begun"), es.drop_events("Sold")], gates=[es.same_state(*[thing()] * 2)]
    )


def desk_of(*arguments, **options):
    desk = explore(*arguments, **options)
    assert desk.wait()
    assert desk.faults.value == ""
    return desk


def below(desk, tab):
    desk.panel.tabs.value = tab
    assert desk.wait()
    assert desk.faults.value == ""
    return desk.panel.below.value


def databases(bench):
    return {name for (name,) in bench.con.cursor().execute("select database_name from duckdb_databases()").fetchall()}


def test_a_migration_is_dry_run_over_its_log(log, plan):
    desk = desk_of(log, migration=plan)
    assert isinstance(desk, MigrationDesk)
    assert desk.run is not None
    expected = log.dry_run(plan)
    assert [(gate.name, gate.status) for gate in desk.run.gates] == [
        (gate.name, gate.status) for gate in expected.gates
    ]
    assert "12 events become 4" in desk.panel.heading.value


def test_gates_are_lights_and_those_that_fail_can_be_decided(log, plan):
    desk = desk_of(log, migration=plan)
    assert set(desk.panel.deciders) == set(desk.run.failed) >= {GATE}
    assert len(desk.panel.gates.children) == len(desk.run.gates)
    html = desk.to_html()
    for gate in desk.run.gates:
        assert gate.name in html
    assert "✓ passed" in html
    assert "✗ failed" in html
    assert "s-0" in html, "a failed gate names what fails it"


def test_apply_refuses_until_every_failed_gate_is_accepted(bench, log, plan):
    desk = desk_of(log, migration=plan)
    desk.panel.name.value = "new"
    desk.panel.apply.click()
    desk.wait()
    assert "Refused" in desk.panel.answer.value
    assert GATE in desk.panel.answer.value
    assert "new" not in bench
    for decider in desk.panel.deciders.values():
        decider.value = True
        desk.wait()
    assert set(desk.spec["accept"]) == set(desk.run.failed)
    assert "failed, accepted" in desk.panel.lamps[GATE].value
    desk.panel.apply.click()
    desk.wait()
    assert "Made the log new" in desk.panel.answer.value
    assert len(bench["new"]) == len(desk.made) == 4
    desk.panel.onward.click()
    (overview,) = desk.panel.beyond.children
    assert isinstance(overview, LogOverview)
    assert overview.wait()
    assert overview.thing.name == "new"


def test_a_decision_can_be_taken_back(bench, log, plan):
    desk = desk_of(log, migration=plan, accept=[GATE, "no new finding"])
    desk.panel.deciders[GATE].value = False
    desk.wait()
    assert GATE not in desk.spec.get("accept", ())
    desk.panel.apply.click()
    desk.wait()
    assert "Refused" in desk.panel.answer.value
    assert bench.logs()["log"].tolist() == ["log"]


def test_apply_asks_for_a_name_and_tells_of_one_that_is_taken(bench, log):
    desk = desk_of(log, migration=es.Migration("none"))
    desk.panel.name.value = "  "
    desk.panel.apply.click()
    desk.wait()
    assert "name" in desk.panel.answer.value
    desk.panel.name.value = "log"
    desk.panel.apply.click()
    desk.wait()
    assert "Refused" in desk.panel.answer.value
    assert bench.logs()["log"].tolist() == ["log"]


def test_what_is_private_goes_into_a_file_of_its_own(bench, log, tmp_path):
    desk = desk_of(log, migration=es.Migration("masked", [es.redact("/n", 0)]))
    assert desk.panel.path.layout.display == ""
    desk.panel.apply.click()
    desk.wait()
    assert "Refused" in desk.panel.answer.value
    desk.panel.path.value = str(tmp_path / "private.duckdb")
    for decider in desk.panel.deciders.values():
        decider.value = True
        desk.wait()
    desk.panel.apply.click()
    desk.wait()
    assert "Made the log" in desk.panel.answer.value
    assert {event.data["n"] for event in desk.made} == {0}


def test_events_are_shown_before_and_after(log, plan):
    desk = desk_of(log, migration=plan)
    told = below(desk, "events")
    assert "Made" in told
    assert "Begun" in told
    assert "s-0" in told
    assert below(desk, "types").count("Sold") == 1
    assert bytes(desk.panel.flow.value[:4]) == b"\x89PNG"
    assert "drop Sold" in below(desk, "steps")


def test_states_of_a_stream_are_shown_before_and_after(log, plan):
    desk = desk_of(log, migration=plan)
    desk.panel.tabs.value = "states"
    desk.panel.streams.value = "s-2"
    assert desk.wait()
    (found,) = desk.picture.states
    assert (found.old.value, found.new.value) == ({"n": 3}, {"n": 0})
    assert "3 → " in desk.panel.below.value
    desk.panel.stream.value = "nobody"
    desk.wait()
    assert "no stream" in desk.panel.below.value


def test_failures_are_listed(log):
    def broken(data):
        raise ValueError("<b>no</b>")

    desk = desk_of(log, migration=es.Migration("broken", [es.upcast("Made", 1, 2, broken)]))
    told = below(desk, "failures")
    assert "4 events would stay as they are" in told
    assert "&lt;b&gt;no&lt;/b&gt;" in told
    assert "<b>no</b>" not in told + desk.to_html()


def test_steps_left_out_run_beside_the_whole(log, plan):
    desk = desk_of(log, migration=plan)
    below(desk, "steps")
    desk.panel.steps[1].value = False
    desk.panel.again.click()
    desk.wait()
    assert desk.spec["without"] == (2,)
    assert (desk.run.counts.after, desk.other.counts.after) == (12, 4)
    told = desk.panel.below.value
    assert "the other" in told
    assert "Sold" in told
    assert "≠" in told


def test_an_edited_migration_is_compared_with_the_one_before(log, plan):
    desk = desk_of(log, migration=plan)
    edited = es.Migration("v3", plan.steps[:1])
    desk.compare(edited)
    desk.wait()
    assert desk.run.migration is edited
    assert desk.other.migration is plan
    again = desk_of(log, **desk.spec)
    assert again.panel.below.value == desk.panel.below.value


def test_a_run_that_is_there_is_shown_without_running_it(log, plan):
    run = log.dry_run(plan)
    desk = desk_of(run)
    assert desk.run is run
    assert desk.spec == {}
    desk.panel.tabs.value = "steps"
    desk.wait()
    desk.panel.steps[0].value = False
    desk.panel.again.click()
    desk.wait()
    assert desk.other is run
    assert desk.run.counts.fates["changed"] == 0


def test_running_again_sees_events_that_came_since(bench, log, plan):
    desk = desk_of(log.dry_run(plan))
    bench.load(rows(streams=1).assign(stream_id="late"), name="log", append=True)
    desk.panel.apply.click()
    desk.wait()
    desk.panel.tabs.value = "steps"
    desk.panel.again.click()
    desk.wait()
    assert desk.run.counts.before == 15


def test_a_step_that_does_not_stand_is_told(log):
    desk = explore(log, migration=es.Migration("bad", [es.drop_events("Made", where="nonsense = 1")]))
    assert desk.wait()
    assert "step 1" in desk.faults.value
    assert desk.run is None


@pytest.mark.parametrize("kind", ["events", "payloads"])
def test_a_dry_run_that_is_stopped_leaves_nothing_and_says_so(bench, log, kind):
    begun, calls = threading.Event(), []

    def endless(given):
        begun.set()
        calls.append(given)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
        return given

    step = es.map_events(endless) if kind == "events" else es.upcast("Made", 1, 2, endless)
    before = databases(bench)
    desk = explore(log, migration=es.Migration("endless", [step]))
    assert begun.wait(20)
    desk.stop()
    assert desk.wait(20)
    assert "nothing is left" in desk.panel.heading.value
    assert desk.run is None
    assert len(calls) == 1
    assert databases(bench) == before
    assert bench.logs()["log"].tolist() == ["log"]
    assert desk.panel.again in desk.panel.content.children


def test_progress_tells_the_step(log):
    begun, go_on = threading.Event(), threading.Event()

    def waiting(event):
        begun.set()
        go_on.wait(30)
        return event

    desk = explore(log, migration=es.Migration("slow", [es.map_events(waiting)]))
    assert begun.wait(20)
    running = desk._tasks.running
    assert running is not None
    assert "step 1 of 1, map events by waiting" in running.text
    go_on.set()
    assert desk.wait()
    assert desk.run.passed


def test_runs_of_a_desk_leave_no_tables_behind_once_it_is_gone(bench, log, plan):
    before = databases(bench)
    desk = desk_of(log, migration=plan)
    assert databases(bench) > before
    desk.close()
    del desk
    gc.collect()
    assert databases(bench) == before


def test_spec_makes_the_same_view_again(log, plan):
    desk = desk_of(log, migration=plan, show="states", stream="s-1", accept=(GATE,), sample=3)
    again = desk_of(log, **desk.spec)
    assert again.spec == desk.spec
    assert again.panel.below.value == desk.panel.below.value
    assert again.panel.deciders[GATE].value is True


@pytest.mark.parametrize("tab", ["gates", "events", "types", "states", "failures", "steps", "two runs"])
@pytest.mark.parametrize("given", ["log", "run"])
def test_shown_code_runs(bench, log, plan, tab, given):
    scope = {"bench": bench, "log": log, "plan": plan}
    scope["run"] = log.dry_run(plan)
    del scope["log" if given == "run" else "run"]
    options = {"migration": plan} if given == "log" else {}
    desk = desk_of(scope[given], **options, show=tab, stream="s-1", names=scope)
    exec(desk.shown_code, dict(scope))
    if tab == "two runs":
        desk.panel.steps[0].value = False
        desk.rerun()
        desk.wait()
        assert desk.other is not None
        exec(desk.shown_code, dict(scope))


def test_hostile_names_are_escaped_everywhere(bench):
    bad = "<img src=x onerror=alert(1)>\u202e"
    log = bench.load(rows(kinds=(bad,)).assign(stream_id=[f"{bad}{n}" for n in range(4)]), name=bad)
    plan = es.Migration(bad, [es.rename_type(bad, bad + bad)], gates=[es.same_state(*[thing()] * 2)])
    desk = desk_of(log, migration=plan)
    for tab in ("gates", "events", "types", "states", "failures", "steps", "two runs"):
        told = below(desk, tab) + desk.panel.heading.value + desk.to_html()
        assert "<img src=x" not in told
        assert "\u202e" not in told
    desk.panel.apply.click()
    desk.wait()
    assert "<img src=x" not in desk.panel.answer.value


def test_an_empty_log_and_an_empty_migration_are_told(bench):
    log = bench.load(rows(), name="log")
    none = bench.apply(log.dry_run(es.Migration("none", [es.drop_events(["Made", "Sold"])])), name="none")
    desk = desk_of(none, migration=es.Migration("nothing"))
    assert "0 events become 0" in desk.panel.heading.value
    assert "No event changes" in below(desk, "events")
    assert "No gate of this migration compares states" in below(desk, "states")
    assert "no other run" in below(desk, "two runs")


def test_a_desk_without_a_migration_is_refused(log):
    with pytest.raises(es.EsbenchError, match="migration="):
        explore(log, migration=None)


def test_controls_are_labelled(log, plan):
    panel = desk_of(log, migration=plan).panel
    for control in (panel.shape, panel.stream, panel.streams, panel.name, panel.path):
        assert control.description
        assert control.tooltip
    for control in (panel.again, panel.apply, panel.onward):
        assert control.tooltip
    for decider in panel.deciders.values():
        assert all(decider.tooltips)


def test_a_page_without_a_kernel_shows_gates_and_code(log, plan):
    desk = desk_of(log, migration=plan, names={"log": log, "plan": plan})
    html = desk._repr_mimebundle_()["text/html"]
    assert GATE in html
    assert "log.dry_run(plan)" in html

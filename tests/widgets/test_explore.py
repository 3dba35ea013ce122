"""What explore() does not take is told in words, with what is near and what it does take."""

from __future__ import annotations

import pytest

import esbench as es
from esbench.errors import EsbenchError
from esbench.widgets import FindingsBoard, LogOverview, MigrationDesk, TimeMachine, explore
from tests.widgets.hostile import log_of, noting


@pytest.fixture
def log():
    return log_of([{}, {"version": 3}])


@pytest.fixture
def plan(log):
    return es.Migration("v2", [es.drop_events("Sold"), es.rename_type("Noted", "Written")])


def refused(match, *arguments, **spec):
    with pytest.raises(EsbenchError, match=match) as caught:
        explore(*arguments, names={}, **spec)
    return str(caught.value)


def test_misspelt_options_are_told_with_the_nearest(log, plan):
    assert "It takes: aggregate, stream" in refused('no "stram". Did you mean "stream"', log, noting(), stram="a")
    assert "It takes: since" in refused('no "sinse". Did you mean "since"', log, sinse="2024")
    assert "It takes: log" in refused('no "chek". Did you mean "check"', log.check(noting()), log, chek="x")
    assert "It takes: migration" in refused('no "shwo"', log, migration=plan, shwo="steps")
    assert "It takes: migration" in refused('no "steram"', log.dry_run(plan), steram="a")
    run, report = log.dry_run(plan), log.check()
    made = ((TimeMachine, (log, noting())), (LogOverview, (log,)), (MigrationDesk, (run,)), (FindingsBoard, (report,)))
    for kind, arguments in made:
        with pytest.raises(EsbenchError, match='no "nonsense"'):
            kind(*arguments, nonsense=1)


def test_a_missing_aggregate_is_told(log):
    assert "explore(log, aggregate" in refused("stream= is an option of the time machine", log, stream="a")
    refused("edits= is an option of the time machine", log, edits=())


def test_what_is_no_aggregate_is_told(log):
    refused('the aggregate itself, not the text "inventory"', log, "inventory")
    refused("the aggregate itself, not a int", log, aggregate=7)
    refused('one aggregate, not 2 \\("Note", "Note"\\)', log, noting(), noting())
    refused('one aggregate, not 2 \\("Note", "Note"\\)', log, noting(), aggregate=noting())
    refused("takes the log first", log.check(), noting())
    refused("takes aggregates after the log", log.check(), log, "Note")
    refused('no "aggregate". Did you mean "aggregates"', log.check(), log, aggregate=noting())
    refused("takes options alone", log.dry_run(es.Migration("m", [])), noting())
    refused('view= is "overview"', log, view="overveiw")


@pytest.mark.parametrize(
    ("edits", "match"),
    [
        ((("bogus", 3),), "no verb 'bogus'"),
        ((("dorp", 3),), 'Did you mean "drop"'),
        (("drop", 3), "is no edit"),
        ((("drop",),), "is no edit"),
        ((("change", 3),), "is no edit"),
        ((("drop", "3"),), "is no edit"),
        ("drop 3", "a list"),
        (7, "a list"),
        (((),), "no verb"),
    ],
)
def test_edits_that_are_none_are_told(log, edits, match):
    assert '("drop", version)' in refused(match, log, noting(), edits=edits)


def test_edits_may_come_as_lists(log):
    view = explore(log, noting(), names={}, edits=[["drop", 1]])
    assert view.wait()
    assert view.spec["edits"] == (("drop", 1),)
    assert view.faults.value == ""


def test_one_type_may_be_given_as_a_text(log):
    view = explore(log, names={}, types="Noted")
    assert view.wait()
    assert (view.spec, view.picture.events) == ({"types": ("Noted",)}, 2)


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("shape", -1, "counted from 0"),
        ("shape", "x", "counted from 0"),
        ("without", (99,), '"v2" has 2 steps'),
        ("without", 1, "list of numbers of steps"),
        ("without", ("1",), "counted from 1"),
        ("against_without", (1,), "no migration"),
        ("show", "gaets", 'Did you mean "gates"'),
        ("accept", 7, "names of gates"),
        ("against", "v1", "a dry run or a migration"),
        ("stream", 7, "id of a stream"),
        ("migration", None, "with migration="),
    ],
)
def test_what_a_desk_cannot_look_at_is_told(log, plan, option, value, match):
    refused(match, log, **{"migration": plan, option: value})


@pytest.mark.parametrize(("option", "value", "match"), [("accept", "abc", "no gate"), ("accept", ["abc"], "no gate"),
                                                        ("shape", 99, "has 1 row")])  # fmt: skip
def test_what_a_run_has_not_is_told_once_it_is_there(log, plan, option, value, match):
    desk = explore(log, names={}, migration=plan, **{option: value})
    assert desk.wait()
    assert match in desk.faults.value
    assert desk.run is not None
    desk.panel.tabs.value = "steps"
    assert desk.wait()
    assert desk.faults.value == ""


@pytest.mark.parametrize(("option", "value"), [("check", "zzz"), ("severity", "dire"), ("type", "Nothing")])
def test_a_board_shows_a_value_that_nothing_has_as_one_of_its_own(log, option, value):
    board = explore(log.check(noting()), log, noting(), names={}, **{option: value})
    assert board.wait()
    assert board.faults.value == ""
    assert getattr(board, option).label == f"{value} (0)"
    assert "No finding is like that" in board.nothing.value
    getattr(board, option).index = 0
    assert board.wait()
    assert len(board.picture.rows) == len(board.thing.findings.head(15))


def test_a_board_filters_by_a_type_that_is_none_of_the_first():
    rows = [
        {"stream_id": f"s{n}", "version": v, "event_type": f"T{n}", "event_id": f"{n}-{v}", "recorded_at": "2024-06-01"}
        for n in range(60)
        for v in (1, 3)
    ]
    log = log_of(rows)
    report = log.check(only=["version-gap"])
    board = explore(report, log, names={}, type="T55", stream=None, since=None)
    assert board.wait()
    assert board.faults.value == ""
    assert board.type.label == "T55 (1)"
    assert len(board.picture.rows) == 1


def test_a_sound_log_says_what_ran_and_what_was_not_asked():
    log = log_of([{}])
    with_meaning, without = (explore(log.check(*given), names={}) for given in ((noting(),), ()))
    assert with_meaning.wait()
    assert without.wait()
    assert "Meaning was judged by Note." in with_meaning.nothing.value
    assert "Give log.check" not in with_meaning.nothing.value
    assert "Give log.check" in without.nothing.value
    for board in (with_meaning, without):
        assert "Ran: " in board.nothing.value
        assert "version-gap" in board.nothing.value
    assert "invariant-violated" in without.nothing.value.split("Not asked for: ")[1]

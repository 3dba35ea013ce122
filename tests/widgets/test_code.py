"""Shown code answers about what is on screen or fails, and assigns nothing that the notebook has."""

from __future__ import annotations

import builtins
import symtable
from decimal import Decimal

import pandas as pd
import pytest

import esbench as es
from esbench.widgets import explore
from esbench.widgets.code import Names
from tests.widgets.hostile import log_of, noting


class Own:
    """Something of the notebook's, which no shown code may touch."""


def assigned(code):
    return {each.get_name() for each in symtable.symtable(code, "shown", "exec").get_symbols() if each.is_assigned()}


def imported(code):
    return {each.get_name() for each in symtable.symtable(code, "shown", "exec").get_symbols() if each.is_imported()}


def run(code, space):
    """What the last line gives."""
    *lines, last = code.splitlines()
    exec("\n".join(lines), space)
    return eval(last, space)  # noqa: S307 (our own code)


def counting():
    made = es.Aggregate("Count", initial={"n": 0}, streams="*")

    @made.on("Noted")
    def count(state, event):
        return {"n": state["n"] + event.data.get("n", 0)}

    return made


def numbers(n=6, name="things"):
    return log_of([{"data": f'{{"n": {number}}}'} for number in range(1, n + 1)], name)


def machine(space):
    return explore(
        space["stock"], space["count"], names=space, stream="a", version=3, other_version=1,
        edits=(("drop", 2), ("change", 3, {"n": Decimal("1e400")})),
    )  # fmt: skip


def overview(space):
    return explore(space["stock"], names=space, since="2024-06-01T12:02Z", types=("Noted",))


def board(space):
    return explore(space["report"], names=space, severity="error", sort="check")


def desk(space):
    return explore(space["stock"], names=space, migration=space["plan"], without=(1,), show="types")


def states(space):
    return explore(space["stock"], names=space, migration=space["plan"], stream="a", show="states")


def given(space):
    return explore(space["dry"], names=space, show="steps", against=space["plan"], without=(1,))


@pytest.fixture
def things():
    stock, count = numbers(), counting()
    damaged = log_of([{"version": 1}, {"version": 4}])
    plan = es.Migration("v2", [es.drop_events("Noted")], gates=[es.same_state(count, count)])
    return {
        "stock": stock, "count": count, "plan": plan, "report": damaged.check(noting()), "dry": stock.dry_run(plan),
    }  # fmt: skip


@pytest.mark.parametrize("made", [machine, overview, board, desk, states, given])
def test_shown_code_runs_twice_and_touches_nothing_of_the_notebook(things, made):
    view = made(dict(things))
    assert view.wait(60)
    code = view.shown_code
    names = assigned(code) | imported(code)
    assert names
    mine = {name: Own() for name in names | {"es", "log", "aggregate", "report", "given", "changes", "decode"}}
    view = made({**mine, **things})
    assert view.wait(60)
    assert view.faults.value == ""
    code = view.shown_code
    space = {**mine, **things}
    first, second = run(code, space), run(code, space)
    assert {name: space[name] for name in {**mine, **things}} == {**mine, **things}
    assert type(first) is type(second)
    assert view.shown_code == code, "what it was once, it is again"


@pytest.mark.parametrize("called", ["findings", "before", "after", "selection", "what_if", "run"])
def test_what_is_shown_may_itself_have_a_name_that_code_likes(things, called):
    for key, made in (("report", board), ("stock", machine), ("stock", overview), ("stock", states)):
        space = {**things, called: things[key]}
        view = made({**space, key: space[key]})
        only = {name: value for name, value in space.items() if name != key}
        view._namespace = only
        assert view.wait(60)
        code = view.shown_code
        run(code, only)
        run(code, only)
        assert only[called] is things[key]


def test_what_has_no_name_is_not_taken_for_another_thing(things):
    space = {"log": numbers(3, "other"), "aggregate": noting()}
    view = explore(things["stock"], things["count"], names=space, stream="a")
    assert view.wait()
    assert "log_2: must be the log 'things'" in view.shown_code
    assert "aggregate_2: must be the aggregate 'Count'" in view.shown_code
    with pytest.raises(NameError, match="log_2"):
        run(view.shown_code, dict(space))
    named = {**space, "log_2": things["stock"], "aggregate_2": things["count"]}
    assert run(view.shown_code, named) == view.picture.state


def test_a_branch_is_made_by_its_edits(things):
    stock, count = things["stock"], things["count"]
    branch = (
        stock.branch("a", version=2)
        .drop(3)
        .change(4, data={"n": Decimal("1.10")}, recorded_at="2024-06-02")
        .insert(event_type="Noted", data={"n": 7}, version=3, shift=False, metadata={"by": "me"})
    )
    for again in (branch, branch.branch("a").drop(position=1, close=False)):
        space = {"things": stock, "count": count, "log": Own()}
        view = explore(again, count, names=space, stream="a")
        assert view.wait()
        assert view.faults.value == ""
        run(view.shown_code, space)
        made = space["log_2"]
        assert pd.DataFrame(made.events()).equals(again.events())
        assert made.edits.made == again.edits.made
        assert run(view.shown_code, dict(space)) == view.picture.state


def test_a_branch_that_a_replay_made_has_no_verbs():
    fork = log_of([{"version": 1}, {"version": 2}, {"version": 2}])
    branch = fork.replay_concurrent(noting(), "a").branch
    names = Names({"fork": fork})
    assert names.of(branch, "log") == "log"
    assert names.lines == ["# log: must be the branch of the log 'things' in 'a'"]


@pytest.mark.parametrize("value", [
    None, True, 1, 2**70, 1.5, "a\n\u202e'\"", [], {}, {"a": [1, {"b": None}]}, Decimal("1.10"), Decimal("1e400"),
    {"text": "Decimal(1)", "more": ["x" * 200]},
])  # fmt: skip
def test_values_are_written_so_that_they_come_back(value):
    names = Names({"decode": Own(), "Decimal": Own()})
    source = names.value(value)
    space: dict[str, object] = {}
    exec("\n".join(names.lines), space)
    back = eval(source, space)  # noqa: S307 (our own code)
    assert (back, type(back)) == (value, type(value))
    assert repr(back) == repr(value)


def test_values_nested_too_deep_for_python_come_back():
    deep: object = 1
    for _ in range(150):
        deep = [deep]
    names = Names({})
    source = names.value(deep)
    space: dict[str, object] = {}
    exec("\n".join(names.lines), space)
    assert eval(source, space) == deep  # noqa: S307 (our own code)


def test_names_that_nobody_can_write_are_not_used():
    thing = numbers()
    for wrong in ("class", "_1", "a b", "1x"):
        assert Names({wrong: thing}).of(thing, "log") == "log"
    assert not {"log", "es", "findings"} & set(dir(builtins))

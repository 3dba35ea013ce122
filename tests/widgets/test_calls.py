from __future__ import annotations

import threading
import time
from functools import partial

import pytest

import esbench as es
from esbench.widgets.calls import Call, Line, Stopped
from tests.widgets.hostile import log_of


def asked(line, job, got, errors=None):
    call = Call(job, got.append, (errors if errors is not None else got).append, "test")
    line.ask(call)
    return call


def test_only_the_newest_of_what_waits_is_run():
    line, gate = Line(), threading.Event()
    got: list = []
    ran: list = []

    def noted(number, _):
        ran.append(number)
        return number

    asked(line, lambda _: gate.wait(10), got)
    for number in range(50):
        asked(line, partial(noted, number), got)
    gate.set()
    assert line.wait(10)
    assert ran == [49]
    assert got[-1] == 49


def test_an_error_is_handed_over_and_the_line_goes_on():
    line = Line()
    got: list = []
    errors: list = []
    asked(line, lambda _: 1 / 0, got, errors)
    assert line.wait(10)
    asked(line, lambda _: "next", got, errors)
    assert line.wait(10)
    assert (got, [type(error) for error in errors]) == (["next"], [ZeroDivisionError])


def test_an_answer_that_cannot_be_shown_is_an_error_too():
    line = Line()
    errors: list = []
    line.ask(Call(lambda _: 1, lambda shown: [][shown], errors.append))
    assert line.wait(10)
    assert [type(error) for error in errors] == [IndexError]
    assert line.running is None


def test_stopping_ends_a_query_of_the_engine():
    log = log_of([{}])
    line, begun = Line(), threading.Event()
    got: list = []

    def job(call):
        followed = call.follow(log)
        begun.set()
        return followed.sql("select count(*) from events, range(100000000000) r(x), range(1000) s(y) where x % 7 = y")

    asked(line, job, got)
    assert begun.wait(10)
    time.sleep(0.1)
    line.stop()
    assert line.wait(20)
    assert got == []


def test_stopping_ends_a_handler_that_never_returns():
    log = log_of([{}])
    endless = es.Aggregate("Endless", initial=0, streams="*")
    begun = threading.Event()

    @endless.on("Noted")
    def turn(state, event):
        begun.set()
        while True:
            state += 1

    line = Line()
    got: list = []
    asked(line, lambda call: call.follow(log).state(endless, "a"), got)
    assert begun.wait(10)
    line.stop()
    assert line.wait(20)
    assert got == []


def test_a_stopped_call_can_open_no_cursor_and_tell_nothing():
    call = Call(lambda _: None, lambda _: None, lambda _: None)
    call.stop()
    with pytest.raises(Stopped):
        call.follow(log_of([{}])).types()
    with pytest.raises(Stopped):
        call.tell(0.5)


def test_following_a_log_leaves_it_as_it_is():
    log = log_of([{}])
    con = log.source.con
    call = Call(lambda _: None, lambda _: None, lambda _: None)
    assert call.follow(log).types().equals(log.types())
    assert log.source.con is con

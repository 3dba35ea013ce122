from __future__ import annotations

import ipywidgets
import pandas as pd
import pytest

import esbench as es
from esbench.errors import EsbenchError
from esbench.widgets import explore
from tests.conftest import ROOT
from tests.widgets.driving import press
from tests.widgets.hostile import HOSTILE, failing, log_of, noting, plain_html


@pytest.fixture
def names(monkeypatch):
    monkeypatch.chdir(ROOT)
    from aggregates import inventory

    stock = es.open().load("data/inventory.jsonl")
    return {"stock": stock, "inventory": inventory, "es": es}


def opened(names, **spec):
    machine = explore(names["stock"], names["inventory"], names=names, **spec)
    assert machine.wait()
    assert machine.faults.value == ""
    return machine


def ran(machine, names):
    """What the last line of "show code" gives."""
    *lines, last = machine.shown_code.splitlines()
    space = dict(names)
    exec("\n".join(lines), space)
    return eval(last, space)  # noqa: S307 (our own code)


def test_it_opens_at_the_end_of_a_stream_and_steps_through_its_versions(names):
    machine = opened(names, stream="item-123")
    assert "version 4" in machine.heading.value
    press(machine, machine.first)
    assert "version 1" in machine.heading.value
    press(machine, machine.next)
    assert (machine.slider.value, machine.spec["version"]) == (2, 2)
    assert "0 → <code>5</code>" in machine.state.value
    press(machine, machine.last)
    press(machine, machine.previous)
    assert "version 3" in machine.heading.value
    assert "✗ stock is never negative since version 3" in machine.lamps.value
    assert "⚠ version-fork 3" in machine.lamps.value


def test_the_slider_moves_the_state_the_event_and_the_cursor_but_draws_no_line_anew(names):
    machine = opened(names, stream="item-123")
    lines, cursor = machine.lines.value, machine.cursor.value
    drawn: list = []
    machine.lines.observe(drawn.append, "value")
    machine.slider.value = 1
    assert machine.wait()
    assert "ItemCreated" in machine.event.value
    assert machine.cursor.value != cursor
    assert machine.lines.value == lines
    assert drawn == []


def test_fifty_quick_moves_end_on_the_right_state(names):
    longest = names["stock"].streams().sort_values("events").iloc[-1]
    machine = opened(names, stream=longest["stream_id"])
    versions = range(machine.slider.min, machine.slider.max + 1)
    for move in range(50):
        machine.slider.value = versions[move % len(versions)]
    assert machine.wait()
    assert f'<b class="es-version">version {versions[49 % len(versions)]}</b>' in machine.heading.value
    assert machine.picture.state == names["stock"].state(
        names["inventory"], longest["stream_id"], version=versions[49 % len(versions)]
    )


def test_spec_makes_the_same_view_again(names):
    machine = opened(names, stream="item-123", version=2)
    press(machine, machine.what_if.drop)
    machine.comparing.version.value = "4"
    press(machine, machine.comparing.go)
    again = opened(names | {}, **{name: value for name, value in machine.spec.items() if name != "aggregate"})
    assert again.spec == machine.spec
    assert again.to_html() == machine.to_html()
    assert explore(names["stock"], **machine.spec).spec == machine.spec


def test_show_code_runs_and_gives_what_is_on_screen(names):
    machine = opened(names, stream="item-123", version=3)
    assert ran(machine, names) == machine.picture.state
    machine.comparing.version.value = "1"
    press(machine, machine.comparing.go)
    assert "changes(before.value, after.value)" in machine.shown_code
    assert ran(machine, names) == machine.picture.state
    machine._toggle.value = True
    assert "stock.state(inventory, &#x27;item-123&#x27;, version=3)" in machine._code.value


def test_over_time_it_shows_the_state_as_of_then(names):
    machine = opened(names, stream="item-123")
    machine.by.value = "time"
    assert machine.wait()
    for value in (1000, 400, 0):
        machine.slider.value = value
        assert machine.wait()
        assert machine.picture.state == ran(machine, names)
        assert "as_of" in machine.spec
    machine.by.value = "version"
    assert machine.wait()
    assert "as_of" not in machine.spec


def test_it_jumps_to_the_first_bad_version(names):
    machine = opened(names, stream="item-123")
    press(machine, machine.bad)
    assert "version 3" in machine.heading.value
    assert "first bad: version 3" in machine.said.value
    whole = next(
        one
        for one in names["stock"].streams()["stream_id"]
        if names["stock"].state(names["inventory"], one).complete
        and not names["stock"].state(names["inventory"], one).broken
    )
    machine.visit(whole)
    assert machine.wait()
    press(machine, machine.bad)
    assert "No version of" in machine.said.value


def test_damage_is_marked_beside_the_slider(names):
    machine = opened(names, stream="item-142")
    assert "<title>version-gap 7</title>" in machine.strip.value


def test_a_branch_says_where_states_diverge_and_is_undone(names):
    machine = opened(names, stream="item-123", version=2)
    machine.what_if.data.value = '{"quantity": 100}'
    press(machine, machine.what_if.change)
    assert machine.faults.value == ""
    assert "/quantity" in machine.what_if.shown.value
    assert "stroke-dasharray" in machine.lines.value
    expected = names["stock"].branch("item-123").change(2, data={"quantity": 100})
    assert len(machine.picture.diverged) == len(expected.diff(names["inventory"], by="version"))
    press(machine, machine.what_if.undo)
    assert "stroke-dasharray" not in machine.lines.value


def test_a_payload_that_is_no_json_is_told(names):
    machine = opened(names, stream="item-123", version=2)
    machine.what_if.data.value = "{nonsense"
    press(machine, machine.what_if.change)
    assert 'role="alert"' in machine.faults.value


def test_streams_are_searched_and_paged_by_the_log(names):
    machine = opened(names)
    assert len(machine.picker.ids.options) == 50
    press(machine, machine.picker.on)
    assert machine.picker.count.value == "51–60 of 60"
    machine.picker.search.value = "ITEM-12"
    assert machine.wait()
    found = [value for _, value in machine.picker.ids.options]
    assert found == [one for one in sorted(names["stock"].streams()["stream_id"]) if "item-12" in one][:50]
    machine.picker.ids.value = found[1]
    assert machine.wait()
    assert machine.spec["stream"] == found[1]
    machine.picker.search.value = "nowhere"
    assert machine.wait()
    assert "no stream" in machine.picker.count.value
    assert machine.spec["stream"] == found[1]


def test_cause_and_effects_are_a_click_away():
    rows = [
        {"stream_id": "a", "version": 1},
        {"stream_id": "b", "version": 1, "metadata": '{"causation_id": "e1"}'},
        {"stream_id": "c", "version": 1, "metadata": '{"causation_id": "nobody"}'},
    ]
    machine = explore(log_of(rows), noting(), stream="b")
    assert machine.wait()
    press(machine, machine.links.cause)
    assert machine.spec["stream"] == "a"
    assert machine.links.cause.disabled
    press(machine, machine.links.effects)
    (jump,) = machine.links.found.children
    press(machine, jump)
    assert machine.spec["stream"] == "b"
    machine.visit("c")
    assert machine.wait()
    press(machine, machine.links.cause)
    assert "no event of this log" in machine.links.said.value


def test_hostile_events_are_shown_escaped():
    log = log_of([{"data": text, "event_type": "Noted"} for text in HOSTILE] + [{"event_type": "<b>x</b>"}])
    machine = explore(log, noting(), names={})
    for version in range(1, len(HOSTILE) + 2):
        machine.move(version=version)
        assert machine.wait()
        assert machine.faults.value == ""
        page = plain_html(machine) + machine.to_html()
        for wrong in ("<script", "<img src=x", "<b>x", "notes <b>", "\u202e", "\0"):
            assert wrong not in page
        assert len(page) < 400_000


def test_a_handler_that_raises_is_told_and_the_history_goes_on():
    machine = explore(log_of([{} for _ in range(6)]), failing(), names={})
    assert machine.wait()
    assert machine.faults.value == ""
    assert "handler-error 2" in machine.lamps.value
    assert "&lt;script&gt;" in machine.lamps.value
    assert machine.strip.value.count("<title>") == 3


def test_a_log_with_one_event_and_one_with_none():
    machine = explore(log_of([{}]), noting(), names={})
    assert machine.wait()
    assert machine.slider.disabled
    press(machine, machine.next)
    assert "version 1" in machine.heading.value
    empty = explore(log_of([{}]).upcasted([]), noting(), names={})
    assert empty.wait()
    none = es.Log("none", log_of([{}]).source.where("false"))
    nothing = explore(none, noting(), names={})
    assert nothing.wait()
    assert "The log none has no events." in plain_html(nothing)
    assert nothing.faults.value == ""
    assert "has no events" in nothing.to_html()


def test_a_log_that_is_dropped_is_told_and_what_is_on_screen_stays():
    bench = es.open()
    log = bench.load(log_of([{}, {}, {}]).events(), name="things")
    machine = explore(log, noting(), names={})
    assert machine.wait()
    bench.drop("things")
    machine.move(version=1)
    assert machine.wait()
    assert 'role="alert"' in machine.faults.value
    assert "Traceback" not in machine.faults.value
    assert "version 3" in machine.heading.value


def test_an_unknown_stream_is_told_with_the_nearest(names):
    machine = explore(names["stock"], names["inventory"], stream="item-12x")
    assert machine.wait()
    assert "Did you mean" in machine.faults.value
    assert "Did you mean" in machine.to_html()


def test_a_long_stream_is_read_a_page_at_a_time():
    log = log_of([{"recorded_at": None} for _ in range(700)])
    machine = explore(log, noting(), version=650)
    assert machine.wait()
    assert machine.faults.value == ""
    assert machine.picture.stretch.last - machine.picture.stretch.first < 120
    assert len(machine.picture.stretch.changed) <= 120
    press(machine, machine.first)
    assert machine.picture.state == log.state(machine.place.aggregate, "a", version=1)
    machine.by.value = "time"
    assert machine.wait()
    assert "recorded time" in machine.faults.value


def test_without_a_kernel_it_is_html(names):
    machine = opened(names, stream="item-123", version=2)
    data = machine._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "item-123" in data["text/html"]
    assert "stock.state(inventory" in data["text/html"]


def test_every_part_has_a_repr(names):
    machine = opened(names, stream="item-123")
    assert repr(machine).startswith("TimeMachine(aggregate=")
    assert "Picker()" in repr(machine.body)


def test_every_control_is_labelled(names):
    stack, bare = [opened(names)], []
    while stack:
        one = stack.pop()
        stack += list(getattr(one, "children", ()))
        if isinstance(one, (ipywidgets.Button, ipywidgets.IntSlider, ipywidgets.ToggleButton)):
            bare += [one] if not (one.description or (one.tooltip and not hasattr(one, "icon"))) else []
        elif isinstance(one, (ipywidgets.Text, ipywidgets.Textarea, ipywidgets.Select, ipywidgets.ToggleButtons)):
            bare += [one] if not one.description else []
    assert bare == []


def test_it_says_what_it_cannot_explore(names):
    with pytest.raises(EsbenchError, match="takes a log"):
        explore(7)
    model = es.Projection("Sales", {"n": es.count("ItemsOrdered")}, key=es.field("/warehouse"))
    machine = explore(names["stock"], model)
    assert machine.wait()
    assert "read model" in machine.faults.value


def test_streams_of_the_aggregate_are_offered_and_all_where_nothing_says_which(names):
    rows = pd.DataFrame(
        {"stream_id": ["order-1", "cart-1"], "version": 1, "event_type": "E", "stream_type": ["Order", "Cart"]}
    )
    log = es.open().load(rows, name="shop")
    machine = explore(log, es.Aggregate("Cart"))
    assert machine.wait()
    assert [value for _, value in machine.picker.ids.options] == ["cart-1"]
    machine.picker.search.value = "order"
    assert machine.wait()
    assert machine.picker.count.value == "no stream of Cart has that in its id"
    untyped = es.open().load(rows[["stream_id", "version", "event_type"]], name="untyped")
    machine = explore(untyped, es.Aggregate("Cart"), stream="cart-1")
    assert machine.wait()
    assert [value for _, value in machine.picker.ids.options] == ["cart-1", "order-1"]
    assert machine.faults.value == ""


def test_a_log_that_is_dropped_meanwhile_is_told_in_words(names):
    bench = es.open()
    log = bench.load(ROOT / "data" / "inventory.jsonl")
    machine = explore(log, names["inventory"], stream="item-123")
    assert machine.wait()
    seen = machine.state.value
    bench.drop("inventory")
    press(machine, machine.previous)
    assert "the log &quot;inventory&quot; is no longer in the bench" in machine.faults.value
    assert machine.state.value == seen


def test_what_is_compared_and_what_is_edited_is_unfolded_from_the_start(names):
    def buttons(machine):
        found, boxes = {}, [machine]
        for box in boxes:
            boxes += getattr(box, "children", ())
            if isinstance(box, ipywidgets.ToggleButton):
                found[box.description] = box
        return found

    machine = opened(names, stream="item-123")
    assert machine.comparing.layout.display == machine.what_if.layout.display == "none"
    buttons(machine)["Compare with …"].value = True
    assert machine.comparing.layout.display == ""
    assert "Hide comparison" in buttons(machine)
    assert machine.what_if.layout.display == "none"
    assert opened(names, stream="item-123", other_version=1).comparing.layout.display == ""
    assert opened(names, stream="item-123", version=3, edits=(("drop", 2),)).what_if.layout.display == ""

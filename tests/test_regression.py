"""Incidents as tests: the files that are written run, hold what the log held, and fail when handlers change."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esbench import payload
from esbench.aggregate import Aggregate
from esbench.errors import UnknownStream
from esbench.event import at
from esbench.fold.changes import same
from esbench.literals import Unwritable, literal, parts_literal, plain
from esbench.regression import RegressionError, as_test, differences
from tests import oracle, strategies
from tests.checks.compare import aggregate_of, connect, events_of
from tests.oracle import Facts, Row
from tests.test_travel_oracle import FORKS

NOON = datetime(2024, 6, 7, 12, tzinfo=UTC)
CON = connect()

MODULE = '''\
"""A shop's aggregates."""

import esbench as es

inventory = es.Aggregate("InventoryItem", initial={"quantity": 0})


@inventory.on("ItemsAdded", "ItemsOrdered")
def change(state, event):
    sign = 1 if event.event_type == "ItemsAdded" else -1
    return {**state, **event.data, "quantity": state["quantity"] + sign * event.data.get("quantity", 0)}
'''

LOG = [
    Row(1, "item-1", 1, "ItemsAdded", '{"quantity": 5, "customer": {"email": "a@b.c", "n": [1.5, 7]}}',
        event_id="e1", recorded_at=NOON),
    Row(2, "item-1", 2, "ItemsOrdered", '{"quantity":3,"customer":{"email":"x@y.z"},"copy":"a@b.c"}'),
    Row(3, "item-1", 3, "ItemsOrdered", '{"quantity":4}', '{"user":"a@b.c"}'),
]  # fmt: skip


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Aggregate:
    """The aggregate of a module that lies in a folder of its own."""
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = __import__(name)
    monkeypatch.setitem(sys.modules, name, module)
    return module.inventory  # type: ignore[no-any-return]


def run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})


def ruff(path: Path) -> str:
    """What linter and formatter have against a file, by their defaults and by our own rules."""
    tool = [str(Path(sys.executable).parent / "ruff")]
    first_party = ["--isolated", "--config", 'lint.isort.known-first-party=["shop", "shop_of_incident"]']
    ours = ["--select", "B,C4,D,E,F,I,ISC,N,PT,RUF,S102,S301,S307,SIM,UP,W", "--ignore", "D203,D213,RUF001,RUF002"]
    commands = [["check", *first_party], ["check", *first_party, *ours], ["format", "--isolated", "--diff"]]
    found = [
        subprocess.run([*tool, *each, path.name], cwd=path.parent, capture_output=True, text=True) for each in commands
    ]
    return "".join(each.stdout for each in found if each.returncode)


def test_written_test_passes_until_a_handler_changes(tmp_path, monkeypatch):
    inventory = load(tmp_path, monkeypatch, "shop_of_incident")
    path = tmp_path / "test_incident.py"
    text = as_test(events_of(LOG, Facts(base=1), con=CON), inventory, "item-1", at(version=2), path=path)
    assert path.read_text(encoding="utf-8") == text
    assert "from shop_of_incident import inventory" in text
    assert "def test_inventoryitem_item_1_at_version_2() -> None:" in text
    assert ruff(path) == ""
    done = run(tmp_path, path.name)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    module = tmp_path / "shop_of_incident.py"
    # Another size, or a module compiled within the same second would be taken for this one.
    module.write_text(MODULE.replace("else -1", "else -2  # twice"), encoding="utf-8")
    done = run(tmp_path, path.name)
    assert "1 failed" in done.stdout
    assert "/quantity: 2 → -1" in done.stdout


def values(text: str) -> dict[str, Any]:
    """What stands in a written file, without what it imports from the user."""
    lines = re.sub(r"^from (?!__future__|esbench|datetime|decimal|uuid).*$", "", text, flags=re.MULTILINE)
    found: dict[str, Any] = {"__name__": "written"}
    exec(compile(lines, "written", "exec"), found)
    return found


def check(text: str, aggregate: Aggregate) -> None:
    found = values(text)
    assert differences(aggregate, found["EVENTS"], found["STATE"]) == []


@settings(max_examples=25)
@given(data=st.data(), forks=FORKS)
def test_any_stream_becomes_a_test_of_the_state_of_the_reference(tmp_path_factory, data, forks):
    texts = st.one_of(st.none(), strategies.payload_texts(duplicate_keys=False))
    rows = data.draw(strategies.logs(payloads=data.draw(st.sampled_from((None, texts)))))
    rules = data.draw(strategies.aggregates())
    coordinate = data.draw(strategies.coordinates(rows))
    stream_id = data.draw(st.sampled_from(sorted(oracle.streams(rows))))
    selected = oracle.up_to(oracle.streams(rows)[stream_id], **coordinate)
    aggregate = aggregate_of(rules)
    events = events_of(rows, Facts(), con=CON)
    options: dict[str, Any] = {"forks": forks, "aggregate_from": "shop:item"}
    if not selected:
        with pytest.raises(RegressionError, match="nothing to test"):
            as_test(events, aggregate, stream_id, at(**coordinate), **options)
        return
    text = as_test(events, aggregate, stream_id, at(**coordinate), **options)
    found = values(text)
    expected, steps = oracle.fold(selected, rules, forks=forks)
    assert found["STATE"] == expected
    assert [payload.fields(each).get("data") for each in found["EVENTS"]] == [step.row.data_text for step in steps]
    assert differences(aggregate, found["EVENTS"], found["STATE"]) == []
    path = tmp_path_factory.mktemp("written") / "test_written.py"
    path.write_text(text, encoding="utf-8")
    assert ruff(path) == ""


@given(data=st.data())
def test_hostile_content_stays_content(data):
    hostile = data.draw(strategies.hostile_texts())
    row = Row(1, hostile, 1, hostile, json.dumps({hostile: hostile}), event_id=hostile, source_position=hostile)
    aggregate = Aggregate(hostile, initial={}, streams="*")
    aggregate.on(hostile)(lambda state, event: event.data)
    text = as_test(events_of([row], Facts(), con=CON), aggregate, hostile, aggregate_from="shop:item")
    found = values(text)
    assert found["STATE"] == {hostile: hostile}
    assert [name for name in found if name.startswith("test_")]
    assert set(found) <= {
        "__name__", "__builtins__", "__doc__", "annotations", "differences", "EVENTS", "STATE",
        *(name for name in found if re.fullmatch("test_[a-z0-9_]+", name)),
    }  # fmt: skip
    assert all(line.isprintable() for line in text.split("\n"))
    check(text, aggregate)


def test_masked_values_are_replaced_everywhere_and_equal_ones_alike(tmp_path, monkeypatch):
    inventory = load(tmp_path, monkeypatch, "shop_with_masks")
    events = events_of(LOG, Facts(base=1), con=CON)
    text = as_test(events, inventory, "item-1", mask=("/customer", "/copy", "/user"))
    assert "a@b.c" not in text
    assert "x@y.z" not in text
    found = [json.loads(each) for each in values(text)["EVENTS"]]
    assert found[0]["data"] == {"quantity": 5, "customer": {"email": "masked-1", "n": [2.0, 3]}}
    assert found[1]["data"] == {"quantity": 3, "customer": {"email": "masked-4"}, "copy": "masked-1"}
    assert found[2]["metadata"] == {"user": "masked-1"}
    assert values(text)["STATE"] == {"quantity": -2, "customer": {"email": "masked-4"}, "copy": "masked-1"}
    assert '"data":{"quantity":4}' in values(text)["EVENTS"][2]


def test_mask_that_hides_nothing_or_breaks_a_handler_is_refused(tmp_path, monkeypatch):
    inventory = load(tmp_path, monkeypatch, "shop_with_wrong_masks")
    events = events_of(LOG, Facts(base=1), con=CON)
    with pytest.raises(RegressionError, match=r'"/customer/mail".*Did you mean "/customer/email"'):
        as_test(events, inventory, "item-1", mask=("/customer/mail",))
    texts = events_of([Row(1, "a", 1, "Priced", '{"price":"1.10"}')], Facts(), con=CON)
    priced = Aggregate("Priced", initial=0)
    priced.on("Priced")(lambda state, event: Decimal(event.data["price"]))
    with pytest.raises(RegressionError, match="/price masked, the handler of 'Priced' fails at version 1"):
        as_test(texts, priced, "a", mask="/price", aggregate_from="shop:priced")
    assert 'STATE = Decimal("1.10")' in as_test(texts, priced, "a", aggregate_from="shop:priced")


def test_aggregate_of_a_notebook_asks_for_its_module():
    item = Aggregate("Item", initial=0)
    events = events_of(LOG, Facts(), con=CON)
    with pytest.raises(RegressionError, match=r'cannot import it from a notebook.*aggregate_from="shop\.aggregates'):
        as_test(events, item, "item-1")
    for wrong in ("shop", "shop.py:item", "shop:item; import os", "shop:item\n"):
        with pytest.raises(RegressionError, match="module:object"):
            as_test(events, item, "item-1", aggregate_from=wrong)
    text = as_test(events, item, "item-1", aggregate_from="a.b:STATE")
    assert "from a.b import STATE as aggregate_under_test" in text
    assert "differences(aggregate_under_test, EVENTS, STATE)" in text


def test_file_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "test_it.py"
    path.write_text("mine", encoding="utf-8")
    item = Aggregate("Item", initial=0)
    with pytest.raises(RegressionError, match="is there already"):
        as_test(events_of(LOG, Facts(), con=CON), item, "item-1", path=path, aggregate_from="a:b")
    assert path.read_text(encoding="utf-8") == "mine"


def test_what_cannot_be_tested_is_refused():
    events = events_of(LOG, Facts(), con=CON)
    item = Aggregate("Item", initial=object)
    with pytest.raises(RegressionError, match="at its root stands a object, which cannot be written down"):
        as_test(events, item, "item-1", aggregate_from="a:b")
    count: list[int] = []
    random = Aggregate("Item", initial=0)
    random.on("ItemsAdded")(lambda state, event: count.extend([0]) or len(count))  # type: ignore[func-returns-value]
    with pytest.raises(RegressionError, match="do not give the same state of the same events twice"):
        as_test(events, random, "item-1", aggregate_from="a:b")
    with pytest.raises(UnknownStream):
        as_test(events, random, "item-7", aggregate_from="a:b")


def source_of(text: str) -> Any:
    names = {kind.__name__: kind for kind in (Decimal, datetime, date, time, timedelta, UUID)}
    return eval(text, names)  # noqa: S307 (it is what the test is about)


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text("\"'\\\n\u202e🦆é", max_size=9),
    st.binary(), st.decimals(), st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.dates(), st.times(),
    st.timedeltas(), st.uuids(), st.text(min_size=80),
)  # fmt: skip
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.text(), st.integers()))
SIMPLE = st.one_of(st.text(), st.integers(), st.dates())
VALUES = st.recursive(
    st.one_of(ATOMS, st.sets(SIMPLE), st.frozensets(SIMPLE)),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(KEYS, inner), st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=8,
)  # fmt: skip


@given(value=VALUES)
@example(value={"x" * 90: ""})
@example(value={"x" * 90: "a"})
def test_literals_give_their_value_back_exactly(value):
    assert same(source_of(literal(plain(value))), value)


@example(parts=["00," + "0" * 9 + "\x1f" * 6 + "\U0001342f" * 2 + "\U0002ebe1" * 4], indent=0)
@given(parts=st.lists(st.text(), max_size=4), indent=st.sampled_from((0, 4, 40)))
def test_parts_of_a_text_make_it_up_again(parts, indent):
    text = parts_literal(parts, indent=indent)
    assert source_of(text) == "".join(parts)
    first, *others = text.split("\n")
    assert max(indent + len(first), *map(len, others), 0) <= 88


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int


class Name(str):
    __slots__ = ()


def test_values_of_other_types_become_plain():
    pair = namedtuple("pair", "a b")
    value = [Colour.RED, Point(1), pair(1, 2), Counter("a"), OrderedDict(a=1), Name("n"), math.inf, 10**5000]
    assert plain(value) == ["Colour.RED", {"x": 1}, (1, 2), {"a": 1}, {"a": 1}, "n", math.inf, 10**5000]
    assert type(plain(Name("n"))) is str
    assert source_of(literal(10**5000)) == 10**5000
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(Unwritable, match="nested more than 80 deep"):
        plain(deep)

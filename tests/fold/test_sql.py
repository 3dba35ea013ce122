"""Projections in SQL against their Python handlers: damaged logs, odd payloads, random coordinates."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.errors import AggregateError
from esbench.event import at
from esbench.fold import sql
from esbench.fold.frames import column
from esbench.fold.python import finals, first_of_forks, initial_state, steps
from esbench.projection import (
    Column,
    Projection,
    count,
    distinct,
    expr,
    field,
    first,
    flag,
    highest,
    latest,
    lowest,
    total,
)
from tests import oracle, strategies
from tests.checks.compare import connect, events_of

LAYOUTS = st.sampled_from(("ordered", "unordered", "wrong"))

NUMBERS = (
    "0", "1", "2", "-7", "-0", "1.10", "-2.5", "0.05", "1.0", "5.00", "1e2", "1E-2", "1e-400", "1e400", "1e22", "1e15",
    "0.1000", "0.10000000000000000555", "7.0000000000000001", "12345678901234567.89", "0.30000000000000004",
    "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "18446744073709551617",
    "999999999999999999", "1000000000000000000", "123456789012345678901234567890123456789", "1.005", "1234567890123.45",
)  # fmt: skip
OTHERS = (
    "null", "true", "false", '"5"', '""', '"a"', '"b"', '"\\u0041"', '"a\\"b\\\\"', '"\\u0000x"', '"é"',
    '"\\ud83e\\udd86"',
    "[]", "[1]", "{}", '{"n":1}', '"null"', '"#"', '"\\""', '"NaN"', '" 1"',
)  # fmt: skip
VALUES = st.one_of(st.sampled_from(NUMBERS[:6]), st.sampled_from(("1", "2", "3")), st.sampled_from((*NUMBERS, *OTHERS)))


@st.composite
def payloads(draw: st.DrawFn) -> str | None:
    """Objects with the paths that projections read, sometimes twice; seldom something else."""
    if draw(st.integers(0, 15)) == 0:
        return draw(st.sampled_from((None, "null", "7", "[1,2]", '"n"', "{}", '{"n":{"m":1}}', '{"\\u006e":1,"n":2}')))
    names = draw(st.lists(st.sampled_from(("n", "n", "m", "text", "on", "a/b~c")), min_size=1, max_size=5))
    space = draw(st.sampled_from(("", " ")))
    usual = {
        "n": st.sampled_from(("1", "2", "3", "-4")),
        "text": st.sampled_from(('"x"', '"y"', '"a\\"b"')),
        "on": st.sampled_from(("true", "false")),
    }
    odd = draw(st.integers(0, 5)) == 0
    members = [
        f'"{name}":{space}{draw(VALUES if odd else usual.get(name, st.sampled_from(("1.5", "2", "0.25"))))}'
        for name in names
    ]
    return "{" + f",{space}".join(members) + "}"


TYPES = st.sampled_from(strategies.TYPES)
KINDS = st.sampled_from(("integer", "decimal(2)", "double", "text", "boolean"))
DEFAULTS: dict[str, list[Any]] = {
    "integer": [None, 0, -3],
    "decimal(2)": [None, 1, Decimal("1.10")],
    "double": [None, 0, 1.5],
    "text": [None, "", 'a"b'],
    "boolean": [None, True],
}


@st.composite
def operands(draw: st.DrawFn, kind: str) -> Any:
    paths = st.sampled_from(("/n", "/n", "/m", "/text", "/on", "/a~1b~0c", "/n/m", "/n/0", ""))
    usual = {"text": "/text", "boolean": "/on"}.get(kind, "/n")
    default = draw(st.sampled_from([{}, *({} if one is None else {"default": one} for one in DEFAULTS[kind])]))
    one: Any = field(draw(st.one_of(st.just(usual), paths)), **default)
    if kind in ("integer", "decimal(2)"):
        form = draw(st.integers(0, 8))
        other = field(draw(paths))
        constant: Any = 2 if kind == "integer" else Decimal("0.5")
        return (one, one, one, -one, one + other, one * other, one * constant - other, -(one - constant), constant)[
            form
        ]
    return one


@st.composite
def columns(draw: st.DrawFn) -> Column:
    how = draw(st.sampled_from((total, total, first, latest, lowest, highest, distinct, count, flag)))
    types = draw(st.lists(TYPES, min_size=1, max_size=3, unique=True))
    if how is count:
        return count(*types)
    if how is flag:
        constants: Any = draw(st.sampled_from(((True, False), ("open", 'shut "it\'s"'), (1, -2))))
        initial = draw(st.sampled_from((None, constants[0])))
        return flag({name: constants[number % 2] for number, name in enumerate(types)}, initial=initial)
    kind = draw(st.sampled_from(("integer", "decimal(2)")) if how is total else KINDS)
    make: Any = how
    made: Column = make({name: draw(operands(kind)) for name in types}, type=kind)
    return made


@st.composite
def projections(draw: st.DrawFn) -> Projection:
    names = draw(st.lists(st.sampled_from(("n", 'it\'s "odd"', "größe", "select", "d")), min_size=1, unique=True))
    made = {name: draw(columns()) for name in names}
    made["sum"] = total({"Added": field("/n"), "Taken": -field("/n")})
    if draw(st.booleans()):
        made["twice"] = expr("sum * 2 -- doubled")
        made["ratio"] = expr('"sum" / 3')
        made["text"] = expr("case when \"sum\" > 2 then 'many' end")
        made["failing"] = expr('1 // ("sum" - 1)')
    return Projection(
        "Any",
        made,
        streams=draw(st.sampled_from(("*", "a-*"))),
        invariants={"never negative": '"sum" >= 0', "dividing": '10 // "sum" < 5'},
    )


@pytest.fixture(scope="module")
def con():
    return connect()


def tried(ask: Callable[[], Any]) -> tuple[Any, str]:
    """What an answer is, or the reason why a declaration is refused."""
    try:
        return ask(), ""
    except AggregateError as error:
        return None, str(error)


def exactly(values: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {name: (type(value).__name__, repr(value)) for name, value in values.items()}


@given(
    rows=strategies.logs(payloads=payloads()),
    projection=projections(),
    layout=LAYOUTS,
    data=st.data(),
    forks=st.booleans(),
)
def test_states_are_those_of_the_python_handlers(con, rows, projection, layout, data, forks):
    coordinate = data.draw(strategies.coordinates(rows))
    taken = events_of(rows, oracle.Facts(base=1), con=con, layout=layout).at(at(**coordinate))
    if forks:
        taken = first_of_forks(taken)
    found = sql.fold(taken, projection)
    folded = finals(taken, projection.aggregate)
    keys = sorted({key for (key,) in taken.rows("select distinct stream_key from events")})
    assert found.keys == keys
    values = [folded[key].value if key in folded else initial_state(projection.aggregate) for key in keys]
    for name in projection.columns:
        expected = column([value[name] for value in values])
        pd.testing.assert_series_equal(found.fields[name], expected)
        assert [repr(one) for one in found.fields[name]] == [repr(one) for one in expected]
    invariants = projection.aggregate.invariants
    assert found.broken == ["; ".join(name for name, holds in invariants.items() if not holds(one)) for one in values]
    assert found.faults == {key: one.faults for key, one in folded.items() if one.faults}


@given(rows=strategies.logs(payloads=payloads()), projection=projections(), layout=LAYOUTS)
def test_timeline_is_every_step_of_the_python_handlers(con, rows, projection, layout):
    events = events_of(rows, oracle.Facts(base=1), con=con, layout=layout)
    table = sql.timeline(events, projection).to_arrow_table()
    found = {row["position"]: row for row in table.to_pylist()}
    expected = list(steps(events, projection.aggregate))
    assert len(table) == len(expected)
    for step in expected:
        row = found[step.event.position]
        event = step.event
        assert (row["stream_id"], row["version"], row["event_type"], row["recorded_at"]) == (
            event.stream_id,
            event.version,
            event.event_type,
            event.recorded_at,
        )
        values = {name: _plain(row[name], step.value[name]) for name in projection.columns}
        assert exactly(values) == exactly(step.value)


def _plain(value: Any, like: Any) -> Any:
    """HUGEINT comes out of Arrow as a decimal or a float."""
    if isinstance(like, int) and not isinstance(like, bool) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return [_plain(*pair) for pair in zip(value, like, strict=True)]
    return value


def test_a_clean_log_has_no_suspects(con, monkeypatch):
    rows = [
        oracle.Row(n + 1, f"s{n % 3}", n // 3 + 1, "Added", json.dumps({"n": n, "price": n / 4, "text": f"it's {n}"}))
        for n in range(60)
    ]
    projection = Projection(
        "Any",
        {
            "n": total({"Added": field("/n")}),
            "product": total({"Added": field("/n") * 2}),
            "price": total({"Added": field("/price")}, type="decimal(2)"),
            "name": latest({"Added": field("/text")}),
            "top": highest({"Added": field("/n")}),
            "seen": distinct({"Added": field("/text")}),
        },
        streams="*",
    )
    monkeypatch.setattr(sql, "finals", None)
    events = events_of(rows, oracle.Facts(base=1), con=con)
    assert sql.fold(events, projection).fields["price"].tolist() == [
        Decimal("142.50"),
        Decimal("147.50"),
        Decimal("152.50"),
    ]
    assert len(sql.timeline(events, projection)) == 60

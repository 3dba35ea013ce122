"""Meaning checks against the reference, and what they promise one by one."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from esbench.checks import check
from tests import oracle
from tests.checks.compare import aggregate_of, claimed, connect, events_of, expected, found
from tests.oracle import Facts, Row, Rules
from tests.strategies import aggregates, facts_for, logs

CON = connect()


@given(st.data(), st.sampled_from(("ordered", "wrong", "unordered")))
def test_any_log_and_aggregate_have_exactly_the_findings_of_the_reference(data, layout):
    rows = data.draw(logs())
    facts = data.draw(facts_for(rows))
    rules = data.draw(aggregates())
    assume(oracle.covered(rows, rules))
    report = check(events_of(rows, facts, con=CON, layout=layout), [aggregate_of(rules)])
    assert found(report) == expected(claimed(rows, oracle.findings(rows, facts, [rules])))


def test_transition_is_found_where_a_join_picks_the_covered_streams():
    rows = [Row(1, "a", 0, "Taken", stream_type="Account")]
    rows += [Row(n, "a", n, "Added", stream_type="Counter") for n in (2, 3, 4)]
    rules = Rules(name="Counter", initial=0, handlers={}, transitions={"Taken": (), "Set": ("Added",)})
    for _ in range(20):
        report = check(events_of(rows, Facts(base=0), con=CON), [aggregate_of(rules)], only=["forbidden-transition"])
        assert report.findings["version"].tolist() == [2]

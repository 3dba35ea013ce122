"""Structure checks against the reference, and what they promise one by one."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from esbench.checks import check
from tests import oracle
from tests.checks.compare import claimed, connect, events_of, expected, found
from tests.strategies import facts_for, logs, versions_in_rejects

CON = connect()


@given(st.data(), st.sampled_from(("ordered", "wrong", "unordered")))
def test_any_log_has_exactly_the_findings_of_the_reference(data, layout):
    rows = data.draw(logs())
    facts = data.draw(facts_for(rows))
    rejects = data.draw(versions_in_rejects(rows))
    report = check(
        events_of(rows, facts, con=CON, layout=layout), rejects=pd.DataFrame(rejects, columns=["stream_id", "version"])
    )
    want = claimed(rows, oracle.findings(rows, facts, rejects=rejects))
    assert found(report) == expected(want)

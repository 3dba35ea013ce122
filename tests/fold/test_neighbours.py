"""Events beside the one before them: the look that needs no sort, and proves that it needed none."""

from __future__ import annotations

from itertools import permutations

import duckdb

from esbench.fold.neighbours import DISORDER, beside

#: Stream key, version, position.
ROWS = [(1, 1, 5), (1, 1, 7), (1, 2, 2), (2, 0, 1)]


def test_only_folding_order_has_no_disorder():
    con = duckdb.connect()
    ordered = []
    for rows in permutations(ROWS):
        listed = ", ".join(map(str, rows))
        events = f"select * from (values {listed}) t(stream_key, version, position)"
        query = f"with events as ({events}) select count(*) from ({beside('()')}) where {DISORDER}"
        if con.execute(query).fetchall() == [(0,)]:
            ordered.append(list(rows))
    assert ordered == [ROWS]


def test_an_event_is_beside_the_one_before_it_in_the_window():
    con = duckdb.connect()
    listed = ", ".join(map(str, reversed(ROWS)))
    events = f"select * from (values {listed}) t(stream_key, version, position)"
    window = "(partition by stream_key order by version, position)"
    rows = con.execute(
        f"with events as ({events}) select position, position_before, twice_before "
        f"from ({beside(window, twice='position * 2')}) order by all"
    ).fetchall()
    assert rows == [(1, None, None), (2, 7, 14), (5, None, None), (7, 5, 10)]

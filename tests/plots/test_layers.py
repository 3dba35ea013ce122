from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from esbench.plots.layers import layout

names = st.sampled_from("abcdefgh")
graphs = st.dictionaries(st.tuples(names, names), st.integers(1, 100), min_size=1, max_size=20)


@given(edges=graphs)
def test_edges_run_down_but_for_those_that_are_said_to_run_back(edges):
    done = layout(edges)
    for a, b in edges:
        if a == b:
            assert (a, b) not in done.routes
            continue
        down = done.at[b][1] - done.at[a][1]
        assert (down < 0) == ((a, b) in done.back)
        assert down != 0


@given(edges=graphs)
def test_routes_lead_from_node_to_node_through_each_layer_between(edges):
    done = layout(edges)
    for (a, b), route in done.routes.items():
        assert (route[0], route[-1]) == (done.at[a], done.at[b])
        step = -1 if (a, b) in done.back else 1
        assert [y for _, y in route] == list(range(done.at[a][1], done.at[b][1] + step, step))


@given(edges=graphs)
def test_nodes_and_passing_edges_of_a_layer_keep_their_distance(edges):
    done = layout(edges, apart=1.0, lane=0.4)
    rows: dict[float, list[tuple[float, float]]] = {}
    for x, layer in done.at.values():
        rows.setdefault(layer, []).append((x, 0.5))
    passing = {(x, y) for route in done.routes.values() for x, y in route[1:-1]}
    for x, y in passing:
        rows.setdefault(y, []).append((x, 0.2))
    for row in rows.values():
        row.sort()
        assert all(b - a >= half + other - 1e-6 for (a, half), (b, other) in pairwise(row))


@given(edges=graphs)
def test_the_same_graph_gives_the_same_picture(edges):
    assert layout(edges) == layout(dict(edges))


@given(edges=graphs, beside=st.dictionaries(names, st.floats(0, 2)), wide=st.floats(0.5, 6))
def test_no_layer_is_wider_than_it_may_be_and_nodes_have_the_room_they_need(edges, beside, wide):
    done = layout(edges, apart=1.0, lane=0.4, beside=beside, wide=wide)
    rows: dict[int, list[tuple[float, str]]] = {}
    for name, (x, layer) in done.at.items():
        rows.setdefault(layer, []).append((x, name))
    assert sorted(rows) == list(range(len(rows)))
    for row in rows.values():
        row.sort()
        assert all(b - a >= 1 + beside.get(name, 0) - 1e-6 for (a, name), (b, _) in pairwise(row))
        # Some are wider than others, so a layer that was divided evenly may still be a node too wide.
        widest = max(1 + beside.get(name, 0) for _, name in row)
        assert len(row) == 1 or (len(row) - 1) * 1.0 < wide + widest
    for a, b in edges:
        assert a == b or (done.at[a][1] < done.at[b][1]) != ((a, b) in done.back)


def test_what_is_too_wide_for_a_layer_stands_in_several():
    edges = {("begin", name): 1.0 for name in "abcdefgh"} | {(name, "end"): 1.0 for name in "abcdefgh"}
    assert {layer for _, layer in layout(edges).at.values()} == {0, 1, 2}
    done = layout(edges, wide=3)
    layers = [layer for _, layer in done.at.values()]
    assert [layers.count(layer) for layer in range(5)] == [1, 3, 3, 2, 1]
    assert len(done.routes["begin", "h"]) == 4


def test_a_graph_without_circles_has_no_edge_back():
    edges = {(a, b): 1.0 for a in "abcdef" for b in "abcdef" if a < b}
    done = layout(edges)
    assert not done.back
    assert [done.at[name][1] for name in "abcdef"] == [0, 1, 2, 3, 4, 5]


def test_of_a_circle_the_lightest_edge_runs_back():
    assert layout({("a", "b"): 9, ("b", "c"): 8, ("c", "a"): 1}).back == {("c", "a")}


def test_a_chain_is_straight_and_two_branches_stand_on_both_sides():
    chain = layout({("a", "b"): 1, ("b", "c"): 1})
    assert len({round(x, 6) for x, _ in chain.at.values()}) == 1
    fork = layout({("a", "b"): 1, ("a", "c"): 1})
    assert (fork.at["b"][0] + fork.at["c"][0]) / 2 == fork.at["a"][0]

"""Circles, against networkx on random graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from simulation.circles import climb, components, in_circle, outgoing
from simulation.world import UNRANKED


def _random_graph(seed: int) -> tuple[int, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(1, 40))
    edges = int(rng.integers(0, 2 * nodes))
    source, target = rng.integers(0, nodes, (2, edges)).astype(np.int32)
    return nodes, source, target


@pytest.mark.parametrize("seed", range(40))
def test_components_equal_networkx_and_no_edge_leads_back(seed: int) -> None:
    nodes, source, target = _random_graph(seed)
    graph = nx.MultiDiGraph(zip(source.tolist(), target.tolist(), strict=True))
    graph.add_nodes_from(range(nodes))
    component = components(source, target, nodes)
    found = {frozenset(np.flatnonzero(component == number).tolist()) for number in set(component.tolist())}
    assert found == {frozenset(members) for members in nx.strongly_connected_components(graph)}
    assert (component[source] <= component[target]).all()


@pytest.mark.parametrize("seed", range(20))
def test_in_circle_means_on_some_cycle(seed: int) -> None:
    nodes, source, target = _random_graph(seed)
    graph = nx.DiGraph(zip(source.tolist(), target.tolist(), strict=True))
    on_cycle = {node for cycle in nx.simple_cycles(graph, length_bound=nodes) for node in cycle}
    circling = in_circle(components(source, target, nodes), source, target)
    assert set(np.flatnonzero(circling).tolist()) == on_cycle


def test_a_long_chain_needs_no_recursion() -> None:
    nodes = 200_000
    source = np.arange(nodes - 1, dtype=np.int32)
    component = components(source, source + 1, nodes)
    assert component.tolist() == list(range(nodes))


def test_climb_counts_steps_and_waits_for_all_groups() -> None:
    # 0 -> 1 -> 2 inside, 2 also waits for 3, which nobody starts
    source, group = np.array([0, 1, 3, 3], np.int32), np.array([1, 2, 3, 4], np.int32)
    twin_of_group = np.array([0, 1, 2, 2, 3], np.int32)
    start, edge = outgoing(source, 4)
    rank, met = climb(
        start,
        edge,
        np.ones(4, np.bool_),
        np.ones(4, np.int64),
        group,
        np.ones(5, np.bool_),
        np.array([0, 1, 1, 1, 1], np.int64),
        twin_of_group,
        np.ones(4, np.bool_),
    )
    assert rank.tolist() == [0, 1, UNRANKED, UNRANKED]
    assert met.tolist() == [True, True, True, False, False]

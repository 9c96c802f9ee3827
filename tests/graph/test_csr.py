"""Expansion along relationships against networkx, with tombstones, a tail, and masks of relations."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from graph import csr
from graph.columns import PagedColumn
from graph.csr import SiteLinks, Tail, build_base, empty_base
from graph.values import Way

TWINS = 60
RELATIONS = 4


def _columns(rng, edges):
    source, target, relation = (PagedColumn(np.int32) for _ in range(3))
    alive = PagedColumn(np.bool_)
    rows = np.arange(edges)
    source.write(rows, rng.integers(0, TWINS, edges))
    target.write(rows, rng.integers(0, TWINS, edges))
    relation.write(rows, rng.integers(0, RELATIONS, edges))
    alive.write(rows, rng.random(edges) < 0.8)
    return [column.freeze(edges) for column in (source, target, relation, alive)]


def _graph(source, target, relation, alive, mask):
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(TWINS))
    for edge in range(len(source.flat)):
        if alive.at(edge) and (mask is None or mask[relation.at(edge)]):
            graph.add_edge(source.at(edge), target.at(edge), key=edge)
    return graph


def _expected(graph, row, way):
    out = [key for _, _, key in graph.out_edges(row, keys=True)]
    into = [key for _, _, key in graph.in_edges(row, keys=True)]
    return {Way.OUT: sorted(out), Way.IN: sorted(into), Way.BOTH: sorted({*out, *into})}[way]


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("base_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_expand_equals_networkx(way, base_share, masked):
    rng = np.random.default_rng(int(base_share * 10) + masked)
    edges = 500
    source, target, relation, alive = _columns(rng, edges)
    count = int(edges * base_share)
    base = build_base(source, target, count, TWINS) if count else empty_base()
    links = SiteLinks(base, Tail(count), edges, source, target, relation, alive)
    mask = np.array([True, False, True, False]) if masked else None
    graph = _graph(source, target, relation, alive, mask)
    rows = rng.integers(0, TWINS, 40)  # in any order, with repeats
    found, owner = links.expand(rows, way, mask)
    assert (np.diff(owner) >= 0).all()
    for place, row in enumerate(rows.tolist()):
        assert found[owner == place].tolist() == _expected(graph, row, way)


def test_a_twin_that_is_newer_than_the_base_has_no_relationships():
    rng = np.random.default_rng(0)
    links = SiteLinks(empty_base(), Tail(0), 0, *_columns(rng, 0))
    edges, owner = links.expand(np.array([0, 5, 10_000]), Way.BOTH)
    assert (len(edges), len(owner)) == (0, 0)


def test_expanding_nothing_gives_nothing():
    source, target, relation, alive = _columns(np.random.default_rng(0), 50)
    links = SiteLinks(build_base(source, target, 50, TWINS), Tail(50), 50, source, target, relation, alive)
    edges, owner = links.expand(np.zeros(0, np.int32), Way.OUT)
    assert (len(edges), len(owner)) == (0, 0)


def test_a_self_loop_is_one_relationship():
    columns = [PagedColumn(np.int32) for _ in range(3)]
    for column in columns:
        column.set(0, 0)
    alive = PagedColumn(np.bool_)
    alive.set(0, True)
    links = SiteLinks(empty_base(), Tail(0), 1, *(column.freeze(1) for column in (*columns, alive)))
    assert links.expand(np.array([0]), Way.BOTH)[0].tolist() == [0]


@pytest.mark.parametrize("way", [Way.OUT, Way.IN])
def test_a_tail_that_grew_serves_old_and_new_snapshots_alike(way):
    source, target, relation, alive = _columns(np.random.default_rng(3), 500)
    tail, rows = Tail(100), np.arange(TWINS)
    base = build_base(source, target, 100, TWINS)
    for count in [100, 101, 110, 300, 310, 311, 500, 120, 100]:
        links = SiteLinks(base, tail, count, source, target, relation, alive)
        edges, owner = links.expand(rows, way)
        ends = (source if way == Way.OUT else target).flat[:count]
        expected = sorted((int(end), edge) for edge, end in enumerate(ends) if alive.at(edge))
        assert list(zip(owner.tolist(), edges.tolist(), strict=True)) == expected
    assert tail.nbytes == 2 * 8 * 400


def test_the_tail_is_merged_when_it_grows_long():
    assert not csr.tail_is_long(empty_base(), csr.TAIL_ROWS_MIN)
    assert csr.tail_is_long(empty_base(), csr.TAIL_ROWS_MIN + 1)

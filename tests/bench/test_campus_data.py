"""The graphs that stores are measured with: their counts, their shape, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from bench.campus_data import Graph, Spec, campus, network


def same(one: Graph, other: Graph) -> bool:
    columns = ("kind", "power", "source", "target", "relation", "weight")
    equal = (np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in columns)
    return one.ids == other.ids and one.names == other.names and all(equal)


def test_the_campus_has_the_counts_of_the_notes() -> None:
    graph = campus()
    assert (graph.twins, graph.relationships) == (552_111, 1_001_186)
    of_relation = dict(zip(graph.relations, np.bincount(graph.relation).tolist(), strict=True))
    assert of_relation["https://twinmesh.dev/ns#feeds"] == 199_076


@pytest.mark.parametrize("graph", [campus(2), network(3_000)], ids=["campus", "network"])
def test_ids_and_relationships_are_distinct(graph: Graph) -> None:
    assert len(set(graph.ids)) == len(graph.ids) == len(graph.names) == len(graph.kind) == len(graph.power)
    keys = set(zip(graph.source.tolist(), graph.relation.tolist(), graph.target.tolist(), strict=True))
    assert len(keys) == graph.relationships
    assert graph.source.max() < graph.twins and graph.target.max() < graph.twins
    assert graph.kind.max() < len(graph.kinds)
    assert (graph.source != graph.target).all()


@pytest.mark.parametrize("size", [300, 3_000, 30_000])
def test_a_network_has_the_size_asked_for(size: int) -> None:
    graph = network(size)
    assert (graph.twins, graph.relationships) == (size // 3, size)
    alone = Spec("twins", size).make()
    assert alone.ids == graph.ids and alone.relationships == 0


@pytest.mark.parametrize("spec", [Spec("campus", 1), Spec("network", 3_000)], ids=lambda spec: spec.shape)
def test_graphs_are_the_same_each_time(spec: Spec) -> None:
    assert same(spec.make(), spec.make())


def test_every_machine_hangs_in_a_room_of_a_floor_of_a_building() -> None:
    graph = campus(1)
    part_of, located_in = (graph.relation == number for number in (0, 1))
    holder = np.full(graph.twins, -1)
    for mask in (part_of, located_in):
        holder[graph.source[mask]] = graph.target[mask]
    machine = graph.ids.index("https://twinmesh.invalid/campus/b0-f19-r24-m1")
    chain = [machine]
    while holder[chain[-1]] >= 0:
        chain.append(int(holder[chain[-1]]))
    assert [graph.ids[row].rpartition("/")[2] for row in chain] == [
        "b0-f19-r24-m1",
        "b0-f19-r24",
        "b0-f19",
        "b0",
        "campus",
    ]

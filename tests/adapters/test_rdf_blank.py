"""Labels of blank nodes: renamed to an isomorphic graph, the same whatever the order or the labels were."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyoxigraph import BlankNode, Literal, NamedNode, Quad

from adapters.rdf.blank import blank_nodes, relabel

sys.path.append(str(Path(__file__).parent))
from import_helpers import PREFIXES, isomorphic, quads

NODES = st.integers(0, 5).map(lambda n: BlankNode(f"n{n}"))
IRIS = st.sampled_from([NamedNode("http://a/x"), NamedNode("http://a/y")])
PREDICATES = st.sampled_from([NamedNode("http://a/p"), NamedNode("http://a/q")])
LITERALS = st.sampled_from([Literal("1"), Literal("2")])
QUADS = st.builds(Quad, NODES | IRIS, PREDICATES, NODES | IRIS | LITERALS)


def lines(graph: list[Quad]) -> list[str]:
    return sorted({str(quad) for quad in relabel(graph)})


def shuffled(graph: list[Quad], seed: int) -> list[Quad]:
    """The same graph with other labels in another order."""
    chance = random.Random(seed)
    nodes = sorted({node.value for quad in graph for node in blank_nodes(quad)})
    names = [f"m{n}" for n in range(len(nodes))]
    chance.shuffle(names)
    labels = {node: BlankNode(name) for node, name in zip(nodes, names, strict=True)}

    def term(one: object) -> object:
        return labels[one.value] if isinstance(one, BlankNode) else one

    other = [Quad(term(q.subject), q.predicate, term(q.object)) for q in graph]  # type: ignore[arg-type]
    chance.shuffle(other)
    return other


@given(st.lists(QUADS, max_size=14))
def test_relabelled_graphs_are_isomorphic(graph: list[Quad]) -> None:
    assert isomorphic(graph, relabel(graph))


@given(st.lists(QUADS, max_size=14), st.integers(0, 10**6))
def test_order_and_labels_do_not_matter(graph: list[Quad], seed: int) -> None:
    assert lines(graph) == lines(shuffled(graph, seed))


@pytest.mark.parametrize(
    "text",
    [
        "ex:a ex:p [ ex:v 1 ], [ ex:v 1 ], [ ex:v 2 ] .",
        "ex:a ex:list ( 1 1 1 [ ex:v 2 ] ( 3 ) ) .",
        "[] a owl:AllDifferent ; owl:members ( ex:a ex:b ) . [] a owl:AllDifferent .",
        "_:x ex:knows _:y . _:y ex:knows _:x . _:x ex:name 'x' .",
        "ex:a ex:p _:shared . ex:b ex:p _:shared . _:shared ex:v 1 .",
        "_:a ex:p _:b . _:b ex:p _:c . _:c ex:p _:a . _:d ex:p _:e . _:e ex:p _:d .",
        "ex:a ex:says <<( _:x ex:v 1 )>> . _:x ex:name 'x' .",
    ],
)
def test_written_forms(text: str) -> None:
    graph = quads(PREFIXES + text)
    again = quads("".join(f"{quad} .\n" for quad in relabel(graph)))
    assert lines(graph) == lines(again)
    assert len(lines(graph)) == len({str(quad) for quad in graph})
    if "<<(" not in text:
        assert isomorphic(graph, again)


def test_equal_nodes_of_different_subjects_get_different_labels() -> None:
    graph = quads(PREFIXES + "ex:a ex:p [ ex:v 1 ] . ex:b ex:p [ ex:v 1 ] .")
    assert len({quad.object for quad in relabel(graph) if isinstance(quad.object, BlankNode)}) == 2


def test_a_long_list_is_linear() -> None:
    graph = quads(PREFIXES + f"ex:a ex:list ( {'0 ' * 20_000}) .")
    assert len(set(relabel(graph))) == len(graph) == 40_001


def test_a_large_knot_ends() -> None:
    """Nine interchangeable nodes take RDFC-1.0 half a minute."""
    nodes = [BlankNode(f"n{n}") for n in range(30)]
    graph = [Quad(one, NamedNode("http://a/p"), other) for one in nodes for other in nodes if one != other]
    assert len(lines(graph)) == len(graph)
    assert lines(graph) == lines(shuffled(graph, 7))

"""The closure table against networkx, and inheritance along it."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ontology.closure import ancestor_table, inherit


@st.composite
def hierarchies(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Up to 12 terms with any parents, circles and loops on oneself included."""
    size = draw(st.integers(1, 12))
    return [tuple(draw(st.sets(st.integers(0, size - 1), max_size=3))) for _ in range(size)]


@given(hierarchies())
def test_closure_equals_reachability(parents: list[tuple[int, ...]]) -> None:
    graph = nx.DiGraph([(child, parent) for child, above in enumerate(parents) for parent in above])
    graph.add_nodes_from(range(len(parents)))
    expected = np.zeros((len(parents), len(parents)), dtype=bool)
    for node in graph:
        expected[node, [node, *nx.descendants(graph, node)]] = True
    np.testing.assert_array_equal(ancestor_table(parents), expected)


def test_a_circle_is_below_itself_and_what_is_above_it() -> None:
    table = ancestor_table([(), (0, 2), (1,), (2,)])
    assert table[1].tolist() == [True, True, True, False]
    assert table[3].tolist() == [True, True, True, True]


def test_a_deep_chain_needs_no_recursion() -> None:
    table = ancestor_table([(), *((row,) for row in range(3000))])
    assert table[3000].all()
    assert table.sum() == 3001 * 3002 // 2


def test_closure_is_read_only() -> None:
    assert not ancestor_table([()]).flags.writeable


def inherited(own: dict[int, str], parents: list[tuple[int, ...]]) -> list[str | None]:
    return inherit(own, ancestor_table(parents))


def test_statements_are_inherited() -> None:
    parents = [(), (0,), (1,), (2,), (0,)]
    assert inherited({0: "air", 2: "steam"}, parents) == ["air", "air", "steam", "steam", "air"]


def test_without_statements_there_is_nothing() -> None:
    assert inherited({}, [(), (0,)]) == [None, None]


def test_a_dash_ends_inheritance() -> None:
    assert inherited({0: "air", 1: "-"}, [(), (0,), (1,)]) == ["air", None, None]


def test_disagreement_is_no_answer() -> None:
    assert inherited({0: "air", 1: "water"}, [(), (), (0, 1), (2,)]) == ["air", "water", None, None]


def test_agreement_is_an_answer() -> None:
    assert inherited({0: "air", 1: "air"}, [(), (), (0, 1)])[2] == "air"


def test_the_more_specific_statement_wins_however_far_away() -> None:
    """3 is directly below 0 and, over 2, below 1; what 1 says about the special case counts."""
    assert inherited({0: "water", 1: "chilled"}, [(), (0,), (1,), (0, 2)])[3] == "chilled"

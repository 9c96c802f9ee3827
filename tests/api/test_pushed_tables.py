"""Answers of Neo4j by columns: what is gathered over several levels is what lists of lists would say."""

from __future__ import annotations

from api.pushdown.gathering import gathered
from api.pushdown.reading import Branch, Nested, Place, Table, cut, cut_in_order


def test_a_place_with_branches_is_read_from_columns_as_from_rows():
    points = Place(["m2.id"])
    rooms = Place(["m1.id", "COUNT { (m1)--() }"])
    below = rooms.branch(Branch("m2", points, "MATCH (m1)<--(m2)", ""))
    floors = Place(["n.id"])
    index = floors.branch(Branch("m1", rooms, "MATCH (n)<--(m1)", "WITH m1 ORDER BY m1.id LIMIT 3"))
    made = gathered(floors, "n")
    page = [["a", None], ["b", None], ["c", None]]
    # How many rooms of each floor; whose the points are, which come together or not; then columns.
    more = [[2, 0, 1], ["a1", "a2", "c1"], [5, 6, 7], [2, 0, 0], ["z", "y", "x"]]
    nested = made.table(page, more).nested(index)
    assert (nested.sizes, list(nested.table.columns[0]), nested.table.columns[1]) == (
        [2, 0, 1],
        ["a1", "a2", "c1"],
        [5, 6, 7],
    )
    lowest = nested.table.nested(below)
    assert (lowest.sizes, lowest.table.columns[0]) == ([2, 0, 1], ["y", "x", "z"])
    assert made.text.count("CALL (") == 2 and "null] AS row" in made.text
    rows = [["a", [["a1", 5, [["y"], ["x"]]], ["a2", 6, []]]], ["b", []], ["c", [["c1", 7, [["z"]]]]]]
    same = Table.of(rows).nested(index)
    assert same.sizes == nested.sizes and list(same.table.columns[0]) == nested.table.columns[0]
    assert list(same.table.nested(below).table.columns[0]) == ["y", "x", "z"]


def test_nothing_below_anything_is_read_too():
    inner = Place(["m1.id"])
    place = Place(["n.id"])
    index = place.branch(Branch("m1", inner, "MATCH (n)<--(m1)", "LIMIT 3"))
    table = gathered(place, "n").table([], [[], []])
    assert table.size == 0
    assert list(table.nested(index).sizes) == []
    assert gathered(Place(["n.id"]), "n").table([["a"]], []).columns == [("a",)]


def test_parts_of_nested_things_keep_what_is_theirs():
    inner = Nested([1, 2, 0], Table(3, [["p", "q", "r"]]))
    nested = Nested([2, 1], Table(3, [["x", "y", "z"], inner]))
    turned = Table(2, [["a", "b"], nested]).take([1, 0, 1])
    assert turned.columns[0] == ["b", "a", "b"]
    assert turned.columns[1].sizes == [1, 2, 1] and turned.columns[1].table.columns[0] == ["z", "x", "y", "z"]
    assert turned.columns[1].table.columns[1].sizes == [0, 1, 2, 0]
    first = nested.first(1)
    assert first.sizes == [1, 1] and first.table.columns[0] == ["x", "z"]
    assert first.table.columns[1].table.columns[0] == ["p"]
    assert nested.first(2) is nested and nested.starts == [0, 2]


def test_lists_are_cut_and_put_in_order():
    assert cut("abcd", [2, 0, 2]) == ["ab", "", "cd"]
    assert cut_in_order([1, 2, 3, 4], [3, 0, 1], "cabd") == [[2, 3, 1], [], [4]]

"""The k shortest paths against an oracle that walks every simple path there is."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import plan
from graph.routing import run_routes
from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Way
from graph.view import Budget, View
from ontology.schema import Schema
from ontology.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "https://twinmesh.invalid/campus/"
QUIETLY = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TWINS = 9
ENDS = st.tuples(st.integers(0, TWINS - 1), st.integers(0, TWINS - 1), st.integers(0, 1))
RELATIONS = ("brick:feeds", "tm:dependsOn")


def filled(twin: Twin, schema: Schema, ends: list[tuple[int, int, int]], order: list[int]) -> None:
    kind = (schema.kind("tm:Asset").iri,)
    records = [TwinRecord(f"{BASE}n{number}", kind, f"n{number}") for number in order]
    links = [
        RelationshipRecord(f"{BASE}n{one}", schema.relation(RELATIONS[way]).iri, f"{BASE}n{other}")
        for one, other, way in dict.fromkeys(ends)
        if one != other
    ]
    twin.apply(Change(put_twins=tuple(records), put_relationships=tuple(links)))


def paths_slowly(
    ends: list[tuple[int, int, int]], start: int, end: int, relations: set[int], way: Way, hidden: set[int]
) -> list[list[int]]:
    steps: dict[int, set[int]] = {number: set() for number in range(TWINS)}
    for one, other, relation in ends:
        if relation in relations and not {one, other} & hidden:
            steps[one] |= {other} if way is not Way.IN else set()
            steps[other] |= {one} if way is not Way.OUT else set()
    found: list[list[int]] = []

    def go(path: list[int]) -> None:
        if path[-1] == end:
            found.append(path)
            return
        for other in steps[path[-1]] - set(path):
            go([*path, other])

    go([start])
    return found


@QUIETLY
@given(st.lists(ENDS, max_size=26), st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_shortest_paths_are_found(
    tmp_path_factory: pytest.TempPathFactory,
    schema: Schema,
    units: Units,
    ends: list[tuple[int, int, int]],
    seed: int,
    k: int,
) -> None:
    rng = random.Random(seed)
    relations, way = rng.choice(({0}, {1}, {0, 1})), rng.choice(list(Way))
    hidden = set(rng.sample(range(1, TWINS - 1), rng.choice((0, 0, 2))))
    expected = sorted(map(len, paths_slowly(ends, 0, TWINS - 1, relations, way, hidden)))[:k]
    answers: list[list[list[str]]] = []
    for order in (list(range(TWINS)), rng.sample(range(TWINS), TWINS)):
        with Twin.open(tmp_path_factory.mktemp("routing") / "s", schema, site="s", units=units) as twin:
            filled(twin, schema, ends, order)
            view = View(twin.snapshot(), units, Budget(nodes_max=10**6, wall_s=600))
            view.visible = np.array(
                [int(name[-1]) not in hidden for name in view.snapshot.ids(view.all_rows)]
            )
        names = tuple(RELATIONS[relation] for relation in sorted(relations))
        found = run_routes(view, plan.Routes(f"{BASE}n0", f"{BASE}n{TWINS - 1}", names, way, k))
        assert found.cut is None
        assert [len(route.rows) for route in found.routes] == expected
        answers.append([view.snapshot.ids(np.array(route.rows)) for route in found.routes])
        for route in found.routes:
            check_route(view, route, way, names)
    assert answers[0] == answers[1]  # whatever the rows are
    assert len({tuple(path) for path in answers[0]}) == len(answers[0])


def check_route(view: View, route: Any, way: Way, names: tuple[str, ...]) -> None:
    snapshot = view.snapshot
    assert len(set(route.rows)) == len(route.rows)
    for (one, other), edge in zip(pairwise(route.rows), route.edges, strict=True):
        ends = (int(snapshot.edge_source[edge]), int(snapshot.edge_target[edge]))
        assert ends in {Way.OUT: {(one, other)}, Way.IN: {(other, one)}}.get(
            way, {(one, other), (other, one)}
        )
        assert snapshot.relation_of(edge) in {snapshot.schema.relation(name).iri for name in names}


@pytest.fixture
def ladder(twin: Twin, schema: Schema, units: Units) -> Callable[..., View]:
    """Two rails of 40 twins with every rung: very many paths of very many lengths."""
    kind = (schema.kind("tm:Asset").iri,)
    names = [f"{rail}{step:02}" for step in range(40) for rail in "ab"]
    ends = [
        (f"{one}{step:02}", f"{other}{step + 1:02}") for step in range(39) for one in "ab" for other in "ab"
    ]
    feeds = schema.relation("brick:feeds").iri
    records = tuple(TwinRecord(BASE + name, kind, name) for name in names)
    links = tuple(RelationshipRecord(BASE + one, feeds, BASE + other) for one, other in ends)
    twin.apply(Change(put_twins=records, put_relationships=links))

    def make(**budget: Any) -> View:
        limits: dict[str, Any] = {"nodes_max": 10**6, "wall_s": 600, **budget}
        return View(twin.snapshot(), units, Budget(**limits))

    return make


def test_many_equal_paths_come_in_order_of_ids(ladder: Callable[..., View]) -> None:
    view = ladder()
    found = run_routes(view, plan.Routes("a00", "a39", ("feeds",), k=100))
    assert found.cut is None
    assert [len(route.edges) for route in found.routes] == [39] * 100
    assert len({route.rows for route in found.routes}) == 100
    first = view.snapshot.ids(np.array(found.routes[0].rows))
    assert first == [f"{BASE}a{step:02}" for step in range(40)]


def test_a_search_that_looked_at_too_much_says_so(
    ladder: Callable[..., View], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.routing.LOOKS_MAX", 100)
    found = run_routes(ladder(), plan.Routes("a00", "a39", ("feeds",), k=100))
    assert found.cut is not None
    assert found.cut.reason == "SIZE"
    assert 1 <= len(found.routes) < 100


def test_a_search_out_of_time_says_so(ladder: Callable[..., View], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.shortest._LOOKS_PER_CLOCK", 1)
    ticks = iter(range(100_000))
    view = ladder(wall_s=400, clock_s=lambda: float(next(ticks)))
    found = run_routes(view, plan.Routes("a00", "a39", ("feeds",), k=100))
    assert found.cut is not None
    assert found.cut.reason == "TIME"
    assert len(found.routes) < 100


def test_of_parallel_relationships_the_first_by_id_is_taken(twin: Twin, schema: Schema, units: Units) -> None:
    """Whatever came first: so a store that does not know which one did takes the same."""
    kind, feeds = (schema.kind("tm:Asset").iri,), schema.relation("brick:feeds").iri
    ends = (f"{BASE}one", f"{BASE}other")
    twin.apply(Change(put_twins=tuple(TwinRecord(end, kind) for end in ends)))
    for own_id in ("urn:c", "urn:a", "urn:b"):
        link = RelationshipRecord(ends[0], feeds, ends[1], group=own_id, id=own_id)
        twin.apply(Change(put_relationships=(link,)))
    view = View(twin.snapshot(), units, Budget(nodes_max=100, wall_s=600))
    [route] = run_routes(view, plan.Routes("one", "other", ("feeds",), k=3)).routes
    assert [view.snapshot.edge_id(edge) for edge in route.edges] == ["urn:a"]

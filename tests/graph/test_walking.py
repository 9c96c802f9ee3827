"""Reachable twins, shortest paths, groups and search, against networkx and by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice, pairwise
from statistics import mean
from typing import Any

import networkx as nx
import numpy as np
import pytest

from graph import plan
from graph.grouping import parse_group_key, run_grouping
from graph.history import Aggregate
from graph.routing import run_routes
from graph.searching import run_search
from graph.twin import Twin
from graph.values import Change, ExternalId, Quality, Readings, RelationshipRecord, TwinRecord, Value, Way
from graph.view import Budget, View
from graph.walking import run_walk
from ontology.errors import InputError, LimitError, NotFoundError
from ontology.schema import Schema
from ontology.units import Units

BASE = "https://twinmesh.invalid/campus/"
FEEDS, PART_OF, POINT_OF = "brick:feeds", "tm:partOf", "brick:isPointOf"


def iri(local_id: str) -> str:
    return BASE + local_id


def twins(schema: Schema, kind: str, *names: str, **attributes: Any) -> list[TwinRecord]:
    values = {name: value if isinstance(value, Value) else Value(value) for name, value in attributes.items()}
    return [
        TwinRecord(iri(name), (schema.kind(kind).iri,), f"{name} name", attributes=values) for name in names
    ]


def links(schema: Schema, relation: str, *ends: tuple[str, str]) -> list[RelationshipRecord]:
    return [RelationshipRecord(iri(a), schema.relation(relation).iri, iri(b)) for a, b in ends]


@pytest.fixture
def see(twin: Twin, units: Units) -> Callable[..., View]:
    def make(visible: np.ndarray | None = None, *, nodes_max: int = 10**6, wall_s: float = 60.0) -> View:
        return View(twin.snapshot(), units, Budget(nodes_max=nodes_max, wall_s=wall_s), visible)

    return make


def random_graph(twin: Twin, schema: Schema, seed: int) -> nx.DiGraph:
    rng = random.Random(seed)
    names = [f"n{number}" for number in range(40)]
    ends = {tuple(rng.sample(names, 2)) for _ in range(90)}
    feeds = [pair for pair in sorted(ends) if rng.random() < 0.8]
    others = sorted(ends - set(feeds))
    change = [*links(schema, FEEDS, *feeds), *links(schema, "tm:dependsOn", *others)]
    twin.apply(Change(put_twins=tuple(twins(schema, "tm:Asset", *names)), put_relationships=tuple(change)))
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(feeds)
    return graph


@pytest.mark.parametrize("seed", range(5))
def test_reachable_equals_networkx(twin: Twin, schema: Schema, see: Callable[..., View], seed: int) -> None:
    graph = random_graph(twin, schema, seed)
    for way, seen in ((Way.OUT, graph), (Way.IN, graph.reverse()), (Way.BOTH, graph.to_undirected())):
        for depth in (None, 0, 1, 3):
            walk = plan.Walk((iri("n0"), "n1"), ("tm:feeds",), way, depth, first=1000)
            view = see()
            reached = run_walk(view, walk)
            lengths = nx.multi_source_dijkstra_path_length(seen, {"n0", "n1"}, cutoff=depth, weight=None)
            expected = {iri(name): length for name, length in lengths.items() if length}
            found = dict(zip(view.snapshot.ids(reached.rows), reached.depths.tolist(), strict=True))
            assert found == expected
            assert (reached.count, reached.cut) == (len(expected), None)
            order = [(depth, name) for name, depth in found.items()]
            assert order == sorted(order)


def test_a_full_page_says_so(twin: Twin, schema: Schema, see: Callable[..., View]) -> None:
    random_graph(twin, schema, 1)
    whole = run_walk(see(), plan.Walk(("n0",), first=1000))
    page = run_walk(see(), plan.Walk(("n0",), first=3))
    assert page.rows.tolist() == whole.rows[:3].tolist()
    assert page.count == whole.count > 3
    assert page.cut is not None
    assert page.cut.reason == "FIRST"


def test_out_of_time_says_so(twin: Twin, schema: Schema, units: Units) -> None:
    names = [f"c{number:03}" for number in range(50)]
    chain = links(schema, FEEDS, *pairwise(names))
    twin.apply(Change(put_twins=tuple(twins(schema, "tm:Asset", *names)), put_relationships=tuple(chain)))
    ticks = iter(range(10_000))
    budget = Budget(nodes_max=1000, wall_s=60.0, clock_s=lambda: float(next(ticks)))
    reached = run_walk(View(twin.snapshot(), units, budget), plan.Walk(("c000",), first=1000))
    assert reached.cut is not None
    assert reached.cut.reason == "TIME"
    assert 0 < reached.count == reached.cut.at_depth < 49


def test_kinds_do_not_stop_a_walk(twin: Twin, schema: Schema, see: Callable[..., View]) -> None:
    things = [
        *twins(schema, "brick:Chiller", "a"),
        *twins(schema, "brick:AHU", "b"),
        *twins(schema, "brick:VAV", "c"),
    ]
    twin.apply(
        Change(put_twins=tuple(things), put_relationships=tuple(links(schema, FEEDS, ("a", "b"), ("b", "c"))))
    )
    reached = run_walk(see(), plan.Walk(("a",), kind="brick:VAV"))
    assert (reached.count, reached.depths.tolist()) == (1, [2])


@pytest.mark.parametrize("seed", range(5))
def test_paths_equal_networkx(twin: Twin, schema: Schema, see: Callable[..., View], seed: int) -> None:
    graph = random_graph(twin, schema, seed)
    view = see()
    for k in (1, 5):
        for end in ("n5", "n9", "n20"):
            found = run_routes(view, plan.Routes("n0", iri(end), ("tm:feeds",), k=k))
            lengths = [len(route.edges) for route in found.routes]
            if nx.has_path(graph, "n0", end):
                expected = islice(nx.shortest_simple_paths(graph, "n0", end), k)
                assert lengths == [len(path) - 1 for path in expected]
            else:
                assert lengths == []
            for route in found.routes:
                assert len(set(route.rows)) == len(route.rows)
                for (a, b), edge in zip(pairwise(route.rows), route.edges, strict=True):
                    assert (view.snapshot.edge_source[edge], view.snapshot.edge_target[edge]) == (a, b)


def test_a_path_does_not_lead_through_hidden_twins(
    twin: Twin, schema: Schema, see: Callable[..., View]
) -> None:
    ends = (("a", "b"), ("b", "c"), ("a", "x"), ("x", "y"), ("y", "c"))
    change = Change(
        put_twins=tuple(twins(schema, "tm:Asset", *"abcxy")),
        put_relationships=tuple(links(schema, FEEDS, *ends)),
    )
    twin.apply(change)
    snapshot = twin.snapshot()
    visible = snapshot.alive.copy()
    visible[snapshot.row(iri("b"))] = False
    view = see(visible)
    route = run_routes(view, plan.Routes("a", "c")).routes[0]
    assert view.snapshot.ids(np.array(route.rows)) == [iri(name) for name in "axyc"]
    with pytest.raises(NotFoundError) as caught:
        run_walk(view, plan.Walk(("b",)))
    assert caught.value.hint is None


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (plan.Walk(("nothing",)), "TWIN_UNKNOWN"),
        (plan.Walk(("a",), ("feds",)), "RELATION_UNKNOWN"),
        (plan.Walk(("a",), depth_max=-1), "WALK_INVALID"),
        (plan.Walk(("a",), first=2000), "PAGE_TOO_LARGE"),
        (plan.Routes("a", "a", k=0), "PATHS_INVALID"),
    ],
)
def test_wrong_walks_are_errors(
    twin: Twin, schema: Schema, see: Callable[..., View], ask: plan.Walk | plan.Routes, code: str
) -> None:
    twin.apply(Change(put_twins=tuple(twins(schema, "tm:Asset", "a"))))
    with pytest.raises((InputError, NotFoundError, LimitError)) as caught:
        run_walk(see(), ask) if isinstance(ask, plan.Walk) else run_routes(see(), ask)
    assert caught.value.code == code


# Groups


ROOMS = {"r1": "l1", "r2": "l1", "r3": "l2"}
SENSORS = {"s1": ("r1", 20.0), "s2": ("r1", 22.0), "s3": ("r2", 24.0), "s4": ("r3", 30.0), "s5": ("r3", None)}


@pytest.fixture
def building(twin: Twin, schema: Schema) -> Twin:
    """Two levels, three rooms, five sensors of which four have a value; one sensor is of no room."""
    things = [
        *twins(schema, "rec:Level", "l1", "l2"),
        *[twins(schema, "rec:Room", room, area=Value(n, "m2"))[0] for n, room in enumerate(ROOMS, 1)],
        *twins(schema, "brick:Zone_Air_Temperature_Sensor", *SENSORS, "lost", unit="Cel"),
    ]
    ends = [
        *links(schema, PART_OF, *ROOMS.items()),
        *links(schema, POINT_OF, *((sensor, room) for sensor, (room, _) in SENSORS.items())),
    ]
    twin.apply(Change(put_twins=tuple(things), put_relationships=tuple(ends)))
    known = {name: value for name, (_, value) in SENSORS.items() if value is not None}
    record(twin, known, Quality.GOOD)
    return twin


def record(twin: Twin, values: dict[str, float], quality: Quality) -> None:
    rows = twin.snapshot().rows([iri(name) for name in values])
    words = np.array(list(values.values())).view(np.uint64)
    times = np.full(len(rows), 1_700_000_000_000_000_000, np.int64)
    twin.record(Readings(rows, times, words, np.full(len(rows), quality, np.uint8)))


def grouped(
    view: View, kind: str, keys: list[str], *measures: tuple[Aggregate, str]
) -> list[tuple[Any, ...]]:
    measured = tuple(plan.Measured(aggregate, of, f"m{n}") for n, (aggregate, of) in enumerate(measures))
    parsed = tuple(parse_group_key(view.snapshot.schema, key) for key in keys)
    rows = run_grouping(view, plan.Grouping(kind, None, parsed, measured))
    return [(*row.keys.values(), *row.values.values()) for row in rows]


@pytest.mark.parametrize(
    "path", ["^pointOf/partOf:rec:Level", "pointOf/partOf:rec:Level", "brick:isPointOf/tm:partOf"]
)
def test_mean_temperature_per_level(building: Twin, see: Callable[..., View], path: str) -> None:
    found = grouped(
        see(), "brick:Temperature_Sensor", [path], (Aggregate.MEAN, "value"), (Aggregate.COUNT, "value")
    )
    assert found == [(iri("l1"), mean((20, 22, 24)), 3), (iri("l2"), 30.0, 2), (None, None, 1)]


def test_figures(building: Twin, see: Callable[..., View]) -> None:
    every = tuple((aggregate, "value") for aggregate in Aggregate)
    found = grouped(see(), "brick:Sensor", [], *every)
    values = [20.0, 22.0, 24.0, 30.0]
    nearest_rank = {"P05": 20.0, "P50": 22.0, "P95": 30.0}
    expected = {
        "COUNT": 6,
        "MIN": 20.0,
        "MAX": 30.0,
        "MEAN": mean(values),
        "SUM": sum(values),
        **nearest_rank,
    }
    assert found == [tuple(expected[aggregate] for aggregate in Aggregate)]


def test_groups_by_several_keys(building: Twin, see: Callable[..., View]) -> None:
    found = grouped(see(), "rec:Room", ["kind", "partOf"], (Aggregate.SUM, "area"))
    assert found == [("rec:Room", iri("l1"), 3.0), ("rec:Room", iri("l2"), 3.0)]
    by_area = grouped(see(), "rec:Room", ["area"], (Aggregate.COUNT, "value"))
    assert by_area == [(1, 1), (2, 1), (3, 1)]


def test_bad_readings_do_not_count(building: Twin, see: Callable[..., View]) -> None:
    record(building, {"s4": 99.0}, Quality.BAD)
    assert grouped(see(), "brick:Sensor", [], (Aggregate.MAX, "value")) == [(24.0,)]


def test_nothing_to_group(building: Twin, see: Callable[..., View]) -> None:
    assert grouped(see(), "brick:AHU", [], (Aggregate.COUNT, "value"), (Aggregate.MIN, "area")) == [(0, None)]
    assert grouped(see(), "brick:AHU", ["site"], (Aggregate.COUNT, "value")) == []


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("partOf/", "GROUP_INVALID"),
        ("^", "GROUP_INVALID"),
        ("a/" * 9, "GROUP_INVALID"),
        ("partOff/x", "RELATION_UNKNOWN"),
        ("partOf:rec:Levl", "KIND_UNKNOWN"),
    ],
)
def test_wrong_paths_are_errors(schema: Schema, key: str, code: str) -> None:
    with pytest.raises((InputError, NotFoundError)) as caught:
        parse_group_key(schema, key)
    assert caught.value.code == code


def test_paths_are_read(schema: Schema) -> None:
    steps = parse_group_key(schema, "^brick:isPointOf/partOf:rec:Level/brick:feeds").steps
    assert steps == (
        plan.Step("brick:isPointOf", Way.IN),
        plan.Step("partOf", Way.OUT, "rec:Level"),
        plan.Step("brick:feeds"),
    )


# Search


def test_search(twin: Twin, schema: Schema, see: Callable[..., View]) -> None:
    named = {
        "AHU-3": "North Air Handler",
        "AHU-30": "South air-handler",
        "P_7": "Pump, air side",
        "Z": "Zulu",
    }
    kind = schema.kind("tm:Asset").iri
    records = [TwinRecord(iri(key), (kind,), name) for key, name in named.items()]
    records.append(
        TwinRecord(iri("X"), (kind,), None, external_ids=(ExternalId("ifc", "2O2Fr$t4X7Zf8NOew3FLOH"),))
    )
    twin.apply(Change(put_twins=tuple(records)))
    view = see()

    def hits(text: str, first: int | None = None) -> list[str]:
        rows, total = run_search(view, text, None, first)
        assert total >= len(rows)
        return [found.removeprefix(BASE) for found in view.snapshot.ids(rows)]

    assert hits("air hand") == ["AHU-3", "AHU-30"]
    assert hits("handler SOUTH") == ["AHU-30"]
    assert hits("AHU-3") == ["AHU-3", "AHU-30"]  # the exact one leads
    assert hits("7 pump") == ["P_7"]
    assert hits("2O2Fr$t4X7Zf8NOew3FLOH") == ["X"]
    assert hits("andler") == []  # words are matched from their beginning
    assert hits(".*") == []
    assert hits("") == []
    assert hits("air", 1) == ["AHU-3"]

"""`reachable` and `paths` inside Neo4j are byte-equal to those over the same graph in memory.

As tests/neo4j/test_pushed_graphql.py, with walks drawn every time and over worlds of several shapes.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
import test_pushed_graphql as graphql_tests
from neo4j_waiting import wait_shown
from test_pushed_graphql import codes_of, judge, run

from api.operation import Request
from api.policy import LOCAL, Principal, Role
from graph.stores.neo4j.script import Script, Sight
from graph.stores.neo4j.walks import legs_of, walked
from graph.values import Change, RelationshipRecord, TwinRecord, Way
from tests.compiled.drawing import fresh_seed
from tests.compiled.operations import Shapes
from tests.graph.test_matching import BASE, random_change

EQUAL = 60
ROOTS = ("reachable", "paths")
PRINCIPALS = (
    *[LOCAL] * 6,
    Principal("kinds", Role.ANALYST, kinds=("brick:Equipment", "rec:Room")),
    Principal("site", Role.PARTNER, sites=("odd",)),
    Principal("both", Role.PARTNER, sites=("s",), kinds=("tm:Asset",)),
    Principal("nothing", Role.PARTNER),
)
WAYS = ("OUT", "IN", "BOTH")
RELATIONS = (
    "feeds", "tm:feeds", "brick:feeds", "brick:isFedBy", "partOf", "tm:connectedTo", "dependsOn", "supplies",
    "tm:pointOf",
)  # fmt: skip

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy
pushed = graphql_tests.pushed


class WalkShapes(Shapes):
    """The same schema, of which little else than walks is asked."""

    @property
    def roots(self):
        return [(1, list(ROOTS))]


def test_random_operations_with_walks_are_answered_as_in_memory(pushed):
    run(pushed, EQUAL, WalkShapes(pushed.shapes.schema, pushed.shapes.words))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_many_random_operations_with_walks_are_answered_as_in_memory(pushed):
    run(pushed, 3_000, WalkShapes(pushed.shapes.schema, pushed.shapes.words))


WALK = """query q($from: [ID!]!, $relations: [String!], $way: Direction, $depth: Int, $kind: String,
  $first: Int) { reachable(from: $from, relations: $relations, direction: $way, maxDepth: $depth, kind: $kind,
  first: $first) { count truncated { reason atDepth } nodes { depth twin { id name __typename } } } }"""


def walk_of(rng, ids):
    """What one walk asks; now and then what no walk may ask."""
    starts = [rng.choice(ids) for _ in range(rng.choice((0, 1, 1, 1, 2, 5)))]
    relations = [rng.choice(RELATIONS) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return {
        "from": starts + (["s:nothing"] if rng.random() < 0.03 else []),
        "relations": None if rng.random() < 0.35 else relations,
        "way": rng.choice(WAYS),
        "depth": rng.choice((*[None] * 12, 0, 1, 1, 2, 2, 3, 7, 2**31 - 1, -1)),
        "kind": rng.choice((*[None] * 12, *("brick:AHU", "rec:Space", "tm:Asset", "tm:Twin") * 2, "nothing")),
        "first": rng.choice((*[None] * 8, *(0, 1, 2, 5, 20, 1000) * 2, -1, 1001)),
    }


PATHS = """query q($from: ID!, $to: ID!, $relations: [String!], $k: Int) { paths(from: $from, to: $to,
  relations: $relations, k: $k) { truncated { reason atDepth } paths { twins { id name }
  links { id relation group twin { id __typename } } } } }"""


def path_of(rng, ids):
    """The same of paths."""
    relations = [rng.choice(RELATIONS) for _ in range(rng.choice((0, 1, 1, 2, 3, 4)))]
    return {
        "from": rng.choice(ids) if rng.random() < 0.97 else "s:nothing",
        "to": rng.choice(ids),
        "relations": None if rng.random() < 0.5 else relations,
        "k": rng.choice((*(1, 1, 2, 3, 5, 20, 100, None) * 2, 0, 101)),
    }


def codes_in_memory(pushed, request, principal):
    return codes_of(pushed.world.ask(request, principal, "wide"))


def compare(pushed, rng, count):
    """Counts of what became of so many walks; errors have the codes that memory gives."""
    seen = Counter()
    ids = [name for name in pushed.shapes.words.ids if name.startswith((BASE, "s:", "urn:", "odd:"))]
    for _ in range(count):
        is_walk = rng.random() < 0.5
        request = Request(WALK, walk_of(rng, ids)) if is_walk else Request(PATHS, path_of(rng, ids))
        principal = rng.choice(PRINCIPALS)
        found = judge(pushed, request, principal, "wide")
        seen[found] += 1
        if found == "errors":
            mine = codes_of(pushed.ask_request(request, principal, "wide"))
            assert mine == codes_in_memory(pushed, request, principal), request
    return seen


def test_random_walks_over_changing_worlds_are_those_of_memory(pushed, schema):
    """With twins removed, relationships doubled, turned round and across sites, and none both ways."""
    seed = fresh_seed("worlds")
    rng, seen = random.Random(seed), Counter()
    twin, odd = pushed.world.mesh.twin("s"), pushed.world.mesh.twin("odd")
    seen += compare(pushed, rng, 60)
    twin.apply(random_change(rng, schema, 60, 60))
    removed = rng.sample(range(60), 4)
    twin.apply(Change(remove_twins=tuple(f"{BASE}t{number}" for number in removed)))
    odd_ids = [name for name in pushed.shapes.words.odd_ids if "://" in name]
    across = [
        RelationshipRecord(rng.choice(odd_ids), schema.relation(name).iri, f"{BASE}t{number}")
        for number, name in zip(rng.sample(range(60), 8), ("tm:feeds", "tm:dependsOn") * 4, strict=True)
        if number not in removed
    ]
    twin.apply(Change(put_relationships=tuple({(a.source, a.target): a for a in across}.values())))
    for site in ("s", "odd"):
        wait_shown(pushed.world.mesh, site)
    seen += compare(pushed, rng, 60)
    for each in (twin, odd):
        snapshot, both = each.snapshot(), schema.relation("tm:connectedTo").index
        edges = [e for e in range(snapshot.edge_count) if snapshot.edge_alive[e]]
        ids = tuple(snapshot.edge_id(edge) for edge in edges if snapshot.edge_relation[edge] == both)
        assert ids
        each.apply(Change(remove_relationships=ids))
    for site in ("s", "odd"):
        wait_shown(pushed.world.mesh, site)
    seen += compare(pushed, rng, 60)
    print("seed", seed, dict(seen))
    assert not seen["refused"] and seen["equal"] > 60


def test_very_many_equal_paths_come_in_the_same_order(pushed, schema):
    """Two rails with every rung: more equally long paths than anybody counts; and a walk of 40 steps."""
    kind, feeds = (schema.kind("tm:Asset").iri,), schema.relation("tm:feeds").iri
    names = [f"{BASE}ladder-{rail}{step:02}" for step in range(40) for rail in "ab"]
    links = [
        RelationshipRecord(f"{BASE}ladder-{one}{step:02}", feeds, f"{BASE}ladder-{other}{step + 1:02}")
        for step in range(39)
        for one in "ab"
        for other in "ab"
    ]
    pushed.world.mesh.twin("s").apply(
        Change(
            put_twins=tuple(TwinRecord(name, kind, name[-3:]) for name in names),
            put_relationships=tuple(links),
        )
    )
    wait_shown(pushed.world.mesh, "s")
    ends = {"from": "s:ladder-a00", "to": "s:ladder-a39"}
    for relations, k in ((["feeds"], 100), (["feeds", "isFedBy"], 20), (None, 7)):
        request = Request(PATHS, {**ends, "relations": relations, "k": k})
        assert judge(pushed, request, LOCAL, "wide") == "equal"
        assert len(pushed.ask_request(request, LOCAL, "wide").plain["data"]["paths"]["paths"]) == k
    request = Request(WALK, {"from": ["s:ladder-a00"], "relations": ["feeds"], "way": "OUT", "first": 1000})
    assert judge(pushed, request, LOCAL, "wide") == "equal"
    [*_, last] = pushed.ask_request(request, LOCAL, "wide").plain["data"]["reachable"]["nodes"]
    assert last["depth"] == 39


@pytest.mark.parametrize("depth_max", [None, 3])
@pytest.mark.parametrize("way", list(Way))
def test_neo4j_meets_each_twin_of_a_walk_once(neo4j_server_started, pushed, way, depth_max):
    """Else a walk over a ladder of 40 rungs would never end."""
    script = Script(pushed.world.mesh.schema, Sight(("s",), ("tm:Asset", "rec:Space")))
    leg = legs_of(script.schema, ("feeds",), way).plain
    text = f"""EXPLAIN MATCH (n:Entity) WITH collect(n) AS starts, false AS mixed
CALL (starts, mixed) {{ {walked(script, leg, depth_max)} RETURN depths, levels }} RETURN depths, levels"""
    with neo4j_server_started.driver() as driver, driver.session() as session:
        plan = session.run(text, script.values).consume().plan
    operators = []

    def gather(each):
        operators.append(each["operatorType"])
        for below in each.get("children", ()):
            gather(below)

    gather(plan)
    assert any(name.startswith("VarLengthExpand(Pruning,BFS") for name in operators), operators

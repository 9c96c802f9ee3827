"""Aggregates, units, outside ids and sites answered inside Neo4j: byte-equal to the answers of memory."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from neo4j_waiting import wait_shown
from pushed_questions import UNITS, question, stock
from test_pushed_graphql import REFUSED, Only, codes_of, judge, run
from test_pushed_graphql import pushed as pushed_world

from api.operation import Request
from api.policy import LOCAL, Principal, Role
from graph.stores.neo4j.differences import contents
from graph.values import Change, TwinRecord, Value
from tests.compiled.drawing import fresh_seed
from tests.compiled.oracle import resolved
from tests.graph.test_matching import BASE

EQUAL = 60
SEED = 1122  # the long test draws another one each time
NAMES = (*UNITS, "ratedPower", "area", "mixed", "x:mixed", "x:number", "x:whole", "x:any", "assetTag")
WHO = (
    LOCAL, LOCAL, LOCAL,
    Principal("site", Role.ANALYST, sites=("s",)),
    Principal("other", Role.PARTNER, sites=("odd",)),
    Principal("kinds", Role.ANALYST, kinds=("brick:AHU", "rec:Space")),
    Principal("nothing", Role.PARTNER),
)  # fmt: skip

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy
pushed = pushed_world


@pytest.fixture(scope="module")
def stocked(pushed):
    seed = int(os.environ.get("TWINMESH_SEED") or SEED)
    stock(pushed.world.mesh, random.Random(f"stock {seed}"))
    for site in pushed.world.mesh.sites:
        wait_shown(pushed.world.mesh, site)
    for engine in pushed.engines.values():
        engine._place._used_s = -1e9  # look anew for attributes that are in use
        engine._place.refresh()
    return pushed, seed


def pages(pushed, request, principal):
    """The question, and two pages further where it is a list that has them."""
    yield request
    for _ in range(2):
        data = resolved(pushed.world, request, principal, "wide").data
        info = ((data or {}).get("twins") or {}).get("pageInfo") or {}
        forward = "n" in request.variables
        if not info.get("hasNextPage" if forward else "hasPreviousPage") or not info["endCursor"]:
            return
        cursor = {"a": info["endCursor"]} if forward else {"b": info["startCursor"]}
        request = Request(request.query, {**request.variables, **cursor})
        yield request


def run_questions(pushed, seed, equal):
    seen, drawn = Counter(), 0
    while seen["equal"] < equal:
        drawn += 1
        assert drawn < 20 * equal, seen
        rng = random.Random(f"{seed} {drawn}")
        text, variables = question(rng, NAMES)
        principal = rng.choice(WHO)
        for request in pages(pushed, Request(text, variables), principal):
            seen[judge(pushed, request, principal, "wide")] += 1
    print("seed", seed, "drawn", drawn, dict(seen))


def test_random_questions_of_units_and_groups_are_answered_as_in_memory_or_refused(stocked):
    run_questions(*stocked, EQUAL)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_many_random_questions_of_units_and_groups(stocked):
    run_questions(stocked[0], fresh_seed("units"), 3_000)


def test_random_aggregates_are_answered_as_in_memory_or_refused(pushed):
    run(pushed, 15, Only(pushed.shapes, "aggregate"), SEED)


def test_a_unit_that_is_new_decides_at_once(stocked):
    """What was stated in one unit alone is compared as stated; once there are two, in the declared one."""
    pushed, _ = stocked
    mesh, counts = pushed.world.mesh, []
    text = """{ aggregate(measures: [{ op: SUM, of: "ratedFlow" }]) { values units }
      twins(filter: { attribute: [{ name: "ratedFlow", lt: 2.5 }] }, orderBy: [{ by: "ratedFlow" }]) {
        totalCount edges { cursor node { id } } } }"""
    kind = mesh.schema.kind("tm:Item").iri
    for number, unit in enumerate((None, "L/s", "L/min")):
        values = {"ratedFlow": Value(2, unit)}
        mesh.twin("s").apply(
            Change(put_twins=(TwinRecord(f"{BASE}flow{number}", (kind,), attributes=values),))
        )
        wait_shown(mesh, "s")
        assert judge(pushed, Request(text), LOCAL, "wide") == "equal"
        counts.append(pushed.ask(text).plain["data"]["twins"]["totalCount"])
    # 2 L/s are 7.2 m3/h, 2 L/min are 0.12.
    assert counts[1] == counts[0] and counts[2] == counts[0] + 1


def test_units_of_very_many_attributes_fit_the_index(stocked):
    """An index of Neo4j takes no value beyond 8 kB, and refuses the whole write."""
    pushed, _ = stocked
    mesh = pushed.world.mesh
    values = {f"x{number:03}": Value(number, ("kW", "W")[number % 2]) for number in range(900)}
    kind = mesh.schema.kind("tm:Item").iri
    records = [TwinRecord(f"{BASE}many{number}", (kind,), attributes=values) for number in range(2)]
    mesh.twin("s").apply(Change(put_twins=tuple(records)))
    wait_shown(mesh, "s")
    pushed.engines["wide"]._place._used_s = -1e9
    pushed.engines["wide"]._place.refresh()
    text = """{ node(id: "s:many1") { attribute(name: "x003") { value unit } attributes { name unit } }
      twins(filter: { attribute: [{ name: "x004", eq: 4000, unit: "W" }] }, orderBy: [{ by: "x005" }]) {
        edges { cursor node { id } } }
      aggregate(measures: [{ op: SUM, of: "x007" }]) { values units } }"""
    assert judge(pushed, Request(text), LOCAL, "wide") == "equal"
    assert len(pushed.ask(text).plain["data"]["twins"]["edges"]) == 2
    assert contents(mesh._journals.connection, mesh.twin("s").snapshot()) == []


def test_sites_are_told_as_far_as_the_graph_knows_them(pushed):
    fields = "name base revision time relationships __typename lagCommits"
    for principal in (
        LOCAL,
        Principal("site", Role.ANALYST, sites=("odd", "none")),
        Principal("no", Role.PARTNER),
    ):
        assert judge(pushed, Request(f"{{ sites {{ {fields} }} }}"), principal, "wide") == "equal"
    lag = pushed.ask("{ sites { lagSeconds graphLagCommits graphLagSeconds } }").plain["data"]["sites"]
    assert lag == [{"lagSeconds": 0.0, "graphLagCommits": None, "graphLagSeconds": None}] * 2
    # Stubs of twins that another site has stand there once.
    assert codes_of(pushed.ask("{ sites { twins } }")) == {REFUSED}


def test_an_id_that_several_sites_have_means_none(stocked):
    pushed, _ = stocked
    text = "query q($f: TwinFilter) { twins(filter: $f) { nodes { id } } }"
    for test in ({"eq": "both"}, {"in": ["u1", "both"]}, {"ne": "both"}):
        answer = pushed.ask(text, {"f": {"id": test}})
        assert codes_of(answer) == {"AMBIGUOUS_ID"}, test
    only = Principal("site", Role.ANALYST, sites=("odd",))
    assert judge(pushed, Request(text, {"f": {"id": {"eq": "both"}}}), only, "wide") == "equal"

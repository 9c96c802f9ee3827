"""What a principal may not see changes nothing that it is told, by whichever door and in whichever words.

Two worlds are the same in sight and differ out of it: other twins, names, values, relationships, numbers of
them. Every question that the schema allows is asked of both; the answers must be the same to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from graphql import GraphQLSchema, build_client_schema, get_introspection_query, print_schema

from api.config import Limits, Settings
from api.policy import Role
from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import Running, link, served, twin
from tests.api.interference import Samples, operations
from tests.simulation.cascade_worlds import fresh_seed

PRINCIPALS = {
    "partner of air handlers": (Role.PARTNER, {"kinds": ("brick:AHU",), "sites": ("campus",)}),
    "partner of the campus": (Role.PARTNER, {"sites": ("campus",)}),
    "partner without a share": (Role.PARTNER, {}),
    "operator of the campus": (Role.OPERATOR, {"sites": ("campus",)}),
    "analyst of rooms": (Role.ANALYST, {"kinds": ("rec:Room", "brick:AHU"), "sites": ("campus",)}),
}
SHARE = 80  # of more than a thousand questions
LIMITS = Limits(cost_max=1 << 40, aliases_max=10_000, repeats_max=1_000, depth_max=40, tokens_max=100_000)
DOORS = (
    *(f"/export?format={name}" for name in ("nq", "ttl", "jsonld", "csv", "graphml")),
    *(f"/id/{name}" for name in ("campus:AHU-1", "campus:VAV-1", "plant:P-1", "plant:P-7", "campus:NONE")),
    "/check",
    "/sparql?query=SELECT (COUNT(*) AS ?n) WHERE { ?s ?p ?o }",
    # Names of blank nodes are made anew for each store.
    "/sparql?query=SELECT * { GRAPH ?g { ?s ?p ?o FILTER(!isBlank(?s) %26%26 !isBlank(?o)) } } "
    "ORDER BY ?g ?s ?p ?o",
    "/sparql?query=ASK { ?s ?p 'Oven 1' }",
    "/graphql?query={sites{name,twins,relationships,revision}}",
)


def in_sight() -> tuple[list[TwinRecord], list[RelationshipRecord]]:
    """What everybody of PRINCIPALS sees at most: two air handlers and two rooms."""
    twins = [
        twin("campus", "AHU-1", "brick:AHU", "Air handler 1", ratedPower=Value(12, "kW"), assetTag="A1"),
        twin("campus", "AHU-2", "brick:AHU", "Air handler 2", ratedPower=Value(40, "kW")),
        twin("campus", "R-1", "rec:Room", "Room 1", area=Value(10.0, "m2")),
        twin("campus", "R-2", "rec:Room", "Room 2", area=Value(20.0, "m2")),
    ]
    return twins, [link("campus", "AHU-1", "brick:feeds", "R-1"), link("campus", "R-1", "tm:partOf", "R-2")]


def worlds() -> list[dict[str, Change]]:
    """By site: what is in sight, and what is not, in two kinds of it. Both use the same kinds and attributes.

    The campus' own boxes are in sight of who sees the campus, so they are the same in both.
    """
    found: list[dict[str, Change]] = []
    for world in (0, 1):
        twins, links = in_sight()
        boxes = [
            twin("campus", f"VAV-{n}", "brick:VAV", f"Box {n}", ratedPower=Value(n, "kW")) for n in (1, 2)
        ]
        far = [
            twin(
                "plant", f"P-{n}", kind, f"{'Press' if world else 'Oven'} {n}", ratedPower=Value(n * 7, "kW")
            )
            for n in range(1, 4 + 5 * world)
            for kind in [("brick:AHU", "tm:Asset", "brick:VAV")[(n + world) % 3]]
        ]
        ends = (
            [("P-1", "P-2"), ("P-2", "P-3")]
            if world == 0
            else [("P-3", "P-1"), ("P-2", "P-1"), ("P-4", "P-5")]
        )
        ties = [link("plant", *pair[:1], "tm:supplies", *pair[1:]) for pair in ends]
        ties.append(link("plant", "https://twinmesh.invalid/campus/AHU-1", "tm:supplies", f"P-{1 + world}"))
        found.append({
            "campus": Change(
                put_twins=(*boxes, *twins),
                put_relationships=(*links, link("campus", "AHU-2", "brick:feeds", "VAV-1")),
            ),
            "plant": Change(put_twins=tuple(far), put_relationships=tuple(ties)),
        })  # fmt: skip
    return found


@contextmanager
def two_servers(
    folder: Path, ontology: Schema, units: Units, more: Callable[[Mesh, int], None] | None = None
) -> Generator[tuple[Running, Running]]:
    """A server for each of the worlds. more: what is written besides, by the number of the world."""
    with ExitStack() as stack:
        running: list[Running] = []
        for number, world in enumerate(worlds()):
            mesh = stack.enter_context(Mesh.open(folder / str(number), ontology, units=units))
            for site, change in world.items():
                mesh.create_site(site).apply(change)
            if more is not None:
                more(mesh, number)
            running.append(stack.enter_context(served(mesh, Settings(limits=LIMITS), dev=False)))
        yield running[0], running[1]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units
) -> Generator[tuple[Running, Running]]:
    with two_servers(tmp_path_factory.mktemp("interference"), ontology, units) as both:
        yield both


def timeless(response: httpx.Response) -> str:
    """The answer without the times of commits: both worlds were written now, one after the other."""
    return re.sub(r'"time":"[^"]*"', '"time":""', response.text)


@pytest.fixture(scope="module")
def schema(pair: tuple[Running, Running]) -> GraphQLSchema:
    """As both servers tell it: it follows the kinds and attributes in use, which are the same."""
    tokens = [each.tokens.create("schema", Role.ADMIN) for each in pair]
    told = [
        build_client_schema(each.data(get_introspection_query(), token=token))
        for each, token in zip(pair, tokens, strict=True)
    ]
    assert print_schema(told[0]) == print_schema(told[1])
    return told[0]


SAMPLES = Samples(
    ids=("campus:AHU-1", "plant:P-1", "plant:P-5", "campus:VAV-1", "campus:NONE", "P-2", "R-1", "P-66"),
    texts=("Air", "Oven", "Press", "Box 1", "Room 2", "Pres", "nothing"),
    kinds=("brick:AHU", "tm:Asset", "brick:VAV", "Room", "brick:Chiller", "Nothing"),
    relations=("feeds", "tm:supplies", "partOf", "nothing"),
    names=("ratedPower", "assetTag", "area", "name", "kind", "site", "id", "localId", "nothing"),
)


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_what_is_out_of_sight_changes_no_answer(
    pair: tuple[Running, Running], schema: GraphQLSchema, principal: str
) -> None:
    """A share of all questions, drawn anew in each run, and those that tell a lot."""
    everything = list(operations(schema, SAMPLES))
    drawn = Random(fresh_seed(principal)).sample(everything, SHARE)
    assert compared(pair, principal, [*ALWAYS, *drawn]) == SEEN[principal], "what is in sight is told"


@pytest.mark.long
@pytest.mark.parametrize("principal", PRINCIPALS)
def test_what_is_out_of_sight_changes_no_answer_at_all(
    pair: tuple[Running, Running], schema: GraphQLSchema, principal: str
) -> None:
    everything = list(operations(schema, SAMPLES))
    assert compared(pair, principal, everything) == SEEN[principal]
    print(f"{principal}: {len(everything)} questions, answered alike")


def compared(pair: tuple[Running, Running], principal: str, queries: Sequence[str]) -> set[str]:
    """Ask both worlds the same; which of the twins in sight were told of."""
    role, share = PRINCIPALS[principal]
    tokens = [each.tokens.create(f"{principal} {len(queries)}", role, **share) for each in pair]
    told = set[str]()
    with pair[0].client(tokens[0]) as one, pair[1].client(tokens[1]) as other:
        for query in queries:
            first, second = (client.post("/graphql", json={"query": query}) for client in (one, other))
            assert first.status_code == second.status_code, query
            assert timeless(first) == timeless(second), query
            told |= {name for name in ("AHU-1", "AHU-2", "R-1", "VAV-1") if f'"{name}"' in first.text}
        for door in DOORS:
            first, second = one.get(door), other.get(door)
            assert (first.status_code, timeless(first)) == (second.status_code, timeless(second)), door
    return told


BY_CURSOR = """query q($after: String, $by: [TwinOrder!]) { twins(first: 2, after: $after, orderBy: $by) {
  totalCount edges { cursor node { id } } pageInfo { startCursor endCursor hasNextPage } } }"""


@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize("by", [None, "ratedPower"])
def test_a_cursor_of_somebody_else_tells_nothing(
    pair: tuple[Running, Running], principal: str, by: str | None
) -> None:
    """Cursors at twins out of sight, given to who does not see them: pages are those of what is in sight."""
    role, share = PRINCIPALS[principal]
    order = None if by is None else [{"by": by}]
    whole = "query q($by: [TwinOrder!]) { twins(first: 100, orderBy: $by) { edges { cursor } } }"
    cursors = list[str]()
    for number, each in enumerate(pair):
        token = each.tokens.create(f"cursors {principal} {by} {number}", Role.ADMIN)
        found = each.data(whole, {"by": order}, token)["twins"]["edges"]
        cursors += [edge["cursor"] for edge in found]
    tokens = [each.tokens.create(f"given {principal} {by}", role, **share) for each in pair]
    drawn = Random(fresh_seed(f"cursors {principal}")).sample(cursors, 8)
    with pair[0].client(tokens[0]) as first, pair[1].client(tokens[1]) as second:
        for cursor in drawn:
            asked = {"query": BY_CURSOR, "variables": {"after": cursor, "by": order}}
            one, other = (client.post("/graphql", json=asked) for client in (first, second))
            assert one.text == other.text, cursor
            seen = {edge["node"]["id"].rpartition("/")[2] for edge in one.json()["data"]["twins"]["edges"]}
            assert seen <= SEEN[principal] | {"R-2", "VAV-2"}


ALWAYS = (
    "{ twins(first: 1000) { totalCount nodes { id localId name kind attributes { name value } "
    "in { totalCount nodes { twin { id } } } out { totalCount nodes { twin { id } } } } } }",
    "{ twins(first: 2) { edges { cursor } pageInfo { endCursor hasNextPage } } }",
    '{ aggregate(groupBy: ["kind"], measures: [{op: COUNT}, {op: SUM, of: "ratedPower"}]) { keys values } }',
    '{ search(text: "Pre") { totalCount nodes { id } } }',
    '{ node(id: "P-5") { id } }',
    '{ node(id: "plant:P-1") { id } }',
    '{ reachable(from: ["campus:AHU-1"], direction: BOTH) { count nodes { depth twin { id } } } }',
    '{ paths(from: "campus:AHU-1", to: "plant:P-1") { paths { twins { id } } } }',
    '{ twins(orderBy: [{by: "ratedPower", direction: DESC}], first: 3) { nodes { id } } }',
    '{ twins(filter: {some: {relation: "supplies", twin: {name: {startsWith: "P"}}}}) { nodes { id } } }',
    "{ sites { name twins relationships revision } }",
)

SEEN = {
    "partner of air handlers": {"AHU-1", "AHU-2"},
    "partner of the campus": {"AHU-1", "AHU-2", "R-1", "VAV-1"},
    "partner without a share": set[str](),
    "operator of the campus": {"AHU-1", "AHU-2", "R-1", "VAV-1"},
    "analyst of rooms": {"AHU-1", "AHU-2", "R-1"},
}


def test_the_comparison_sees_a_difference(pair: tuple[Running, Running]) -> None:
    """Who sees everything is told different things."""
    tokens = [each.tokens.create("everything", Role.ADMIN) for each in pair]
    with pair[0].client(tokens[0]) as one, pair[1].client(tokens[1]) as other:
        told = [
            [client.post("/graphql", json={"query": query}).text for client in (one, other)]
            for query in ALWAYS
        ]
    assert sum(first != second for first, second in told) >= 8

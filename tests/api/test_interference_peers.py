"""What a contract does not show changes nothing that the partner is told, whatever it asks.

Two campuses are the same as far as the contract shows and differ in all else: values of attributes that are
not named, twins of other kinds, relationships, numbers of them. The plant's server, a peer of either, is
asked every question that its schema allows; the answers must be the same to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from random import Random

import httpx
import pytest
from graphql import GraphQLSchema, build_client_schema, get_introspection_query, print_schema

from api.config import Settings
from graph.values import Change, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, Running, link, twin
from tests.api.federated_sites import QUICK, Group, group_of
from tests.api.interference import Samples, operations
from tests.api.test_interference import LIMITS
from tests.simulation.cascade_worlds import fresh_seed

SHARE = 60  # of all questions
SHOWN = ("AHU-1", "AHU-2")
SETTINGS = Settings(federation=QUICK.federation, limits=LIMITS)


def campus(world: int) -> list[Change]:
    """Shown are air handlers with name and power, and what feeds what among them."""
    handlers = [
        twin("campus", "AHU-1", "brick:AHU", "Air 1", ratedPower=Value(12, "kW"), assetTag=f"tag {world}"),
        twin("campus", "AHU-2", "brick:AHU", "Air 2", ratedPower=Value(40, "kW"), area=Value(3.0 + world)),
    ]
    boxes = [
        twin("campus", f"VAV-{n}", "brick:VAV", f"{('Box', 'Case')[world]} {n}", ratedPower=Value(n + world))
        for n in range(1, 4 + 3 * world)
    ]
    links = [link("campus", "AHU-1", "brick:feeds", "AHU-2", medium=("air", "water")[world])]
    links += [link("campus", f"AHU-{1 + world}", "brick:feeds", f"VAV-{n}") for n in (1, 2)]
    links += [link("campus", "AHU-2", "tm:supplies", "VAV-3")] * world
    return [Change(put_twins=(*boxes, *handlers), put_relationships=tuple(links))]


def plant() -> list[Change]:
    """Depends on one twin that is shown and on one that is not."""
    twins = (twin("plant", "LINE-1", "tm:Process", "Line"), twin("plant", "FAN-1", "brick:AHU", "Fan"))
    ends = [f"https://twinmesh.invalid/campus/{name}" for name in ("AHU-1", "VAV-1")]
    links = [link("plant", end, "tm:supplies", "LINE-1") for end in ends]
    return [Change(put_twins=twins, put_relationships=tuple(links))]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units
) -> Generator[tuple[Group, Group]]:
    folder = tmp_path_factory.mktemp("contracts")
    with ExitStack() as stack:
        groups: list[Group] = []
        for world in (0, 1):
            changes = {"campus": campus(world), "plant": plant()}
            group = stack.enter_context(group_of(folder / str(world), ontology, units, changes, SETTINGS))
            group.share(
                "campus",
                "plant",
                kinds=frozenset({SCHEMA.kind("brick:AHU").iri}),
                attributes=frozenset({"name", "localId", "ratedPower"}),
                relations=frozenset({SCHEMA.relation("tm:feeds").iri}),
            )
            group.settle("plant", "campus", status="ANSWERED")
            groups.append(group)
        yield groups[0], groups[1]


@pytest.fixture(scope="module")
def schema(pair: tuple[Group, Group]) -> GraphQLSchema:
    """Of the plant's server; it has the types of what the campus shows, the same with either."""
    told = [build_client_schema(served(group).data(get_introspection_query())) for group in pair]
    assert print_schema(told[0]) == print_schema(told[1])
    return told[0]


def served(group: Group) -> Running:
    return group["plant"].running


def plain(response: httpx.Response) -> str:
    """Without what is of the moment: times of commits, ages of answers."""
    text = re.sub(r'"time":"[^"]*"', '"time":""', response.text)
    return re.sub(r'"ageS":[0-9.e-]+', '"ageS":0', text)


SAMPLES = Samples(
    ids=("campus:AHU-1", "campus:VAV-1", "campus:VAV-5", "plant:LINE-1", "campus:NONE", "FAN-1"),
    texts=("Air", "Box", "Case", "tag 0", "tag 1", "Line", "nothing"),
    kinds=("brick:AHU", "brick:VAV", "tm:Process", "tm:Twin", "brick:Equipment"),
    relations=("feeds", "tm:supplies", "partOf"),
    names=("ratedPower", "assetTag", "area", "medium", "name", "kind", "site", "id", "localId"),
)
ALWAYS = (
    "{ twins(first: 100) { totalCount nodes { id localId name kind attributes { name value unit } "
    "in { totalCount nodes { id relation attributes { name value } twin { id } } } "
    "out { totalCount nodes { id relation twin { id name } } } } } }",
    '{ twins(filter: {attribute: [{name: "assetTag", eq: "tag 0"}]}) { totalCount nodes { id } } }',
    '{ twins(filter: {attribute: [{name: "assetTag", ne: "tag 0"}]}) { totalCount nodes { id } } }',
    '{ twins(orderBy: [{by: "assetTag"}], first: 3) { edges { cursor node { id } } } }',
    '{ twins(orderBy: [{by: "area", direction: DESC}], first: 3) { edges { cursor node { id } } } }',
    '{ twins(filter: {none: {relation: "feeds", twin: {kind: {eq: "brick:VAV"}}}}) { nodes { id } } }',
    '{ aggregate(groupBy: ["assetTag"], measures: [{op: COUNT}]) { keys values } }',
    '{ aggregate(groupBy: ["kind"], measures: [{op: SUM, of: "area"}]) { keys values } }',
    '{ search(text: "tag") { totalCount nodes { id } } }',
    '{ search(text: "Box") { totalCount nodes { id } } }',
    '{ node(id: "campus:VAV-5") { id name } }',
    '{ nodes(ids: ["campus:VAV-1", "campus:AHU-1", "campus:VAV-5"]) { id name kind } }',
    '{ reachable(from: ["campus:AHU-1"], direction: BOTH) { count nodes { depth twin { id } } } }',
    '{ paths(from: "campus:AHU-2", to: "plant:LINE-1") { paths { twins { id } links { id } } } }',
)


def test_what_a_contract_does_not_show_changes_no_answer(
    pair: tuple[Group, Group], schema: GraphQLSchema
) -> None:
    everything = list(operations(schema, SAMPLES))
    drawn = Random(fresh_seed("asked of partners")).sample(everything, SHARE)
    assert compared(pair, [*ALWAYS, *drawn]) == set(SHOWN)


@pytest.mark.long
def test_what_a_contract_does_not_show_changes_no_answer_at_all(
    pair: tuple[Group, Group], schema: GraphQLSchema
) -> None:
    everything = list(operations(schema, SAMPLES))
    assert compared(pair, everything) == set(SHOWN)
    print(f"asked of partners: {len(everything)} questions, answered alike")


def compared(pair: tuple[Group, Group], queries: Sequence[str]) -> set[str]:
    """Ask the plant in both worlds; which twins of the campus were told of by name."""
    told = set[str]()
    with served(pair[0]).client() as one, served(pair[1]).client() as other:
        for query in queries:
            first, second = (client.post("/graphql", json={"query": query}) for client in (one, other))
            assert first.status_code == second.status_code, query
            assert plain(first) == plain(second), query
            told |= {
                name for name in ("AHU-1", "AHU-2", "VAV-1", "VAV-2") if f'"localId":"{name}"' in first.text
            }
    return told - {"VAV-1"}  # the plant's own stub


def test_the_campuses_differ(pair: tuple[Group, Group]) -> None:
    """Who asks the campus itself is told different things."""
    told = [
        [group["campus"].running.ask(query)["data"] for query in ALWAYS if "plant" not in query]
        for group in pair
    ]
    assert sum(first != second for first, second in zip(*told, strict=True)) >= 10

"""Queries over two servers, held against one folder that has all their sites."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from api.policy import Role
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import campus_change, iri, plant_change
from tests.api.federated_sites import Group, at, group_of

_TWIN = "id localId name kind kinds site revision externalIds { system id } attributes { name value unit }"
QUESTIONS = {
    "all": at("{ twins(first: 100) { totalCount nodes { %s } } }", _TWIN),
    "kind": '{ twins(kind: "tm:Asset", first: 2) { totalCount pageInfo { hasNextPage } nodes { id } } }',
    "ordered": """{ twins(kind: "brick:Equipment", orderBy: [{by: "ratedPower", direction: DESC}]) {
        nodes { id attribute(name: "ratedPower") { value unit } } } }""",
    "by attribute": """{ twins(filter: {attribute: [{name: "ratedPower", gt: 9, unit: "kW"}]})
        { nodes { id } } }""",
    "by name": '{ twins(filter: {name: {contains: "hiller"}}) { nodes { name site } } }',
    "by site": '{ twins(filter: {site: {eq: "plant"}}) { totalCount nodes { id site } } }',
    "not of a site": '{ twins(filter: {not: {site: {eq: "plant"}}}) { totalCount } }',
    "node": at('{ node(id: "%s") { __typename %s } }', iri("plant", "LINE-1"), _TWIN),
    "node by site": '{ node(id: "plant:PRESS-1") { id name } }',
    "nodes": at('{ nodes(ids: ["%s", "%s"]) { id } }', iri("plant", "PRESS-1"), iri("campus", "AHU-1")),
    "outward": at(
        """{ node(id: "%s") { out { totalCount nodes { id relation attributes { name value }
        twin { __typename id name } } } } }""",
        iri("campus", "AHU-1"),
    ),
    "inward": at(
        """{ node(id: "%s") { in { totalCount nodes { relation twin { __typename id name
        in { nodes { relation twin { id name } } } } } } } }""",
        iri("plant", "LINE-1"),
    ),
    "there and back": at(
        """{ node(id: "%s") { out(relation: "tm:supplies") { nodes { twin { id
        in(relation: "tm:supplies") { nodes { twin { id site } } } } } } } }""",
        iri("campus", "AHU-1"),
    ),
    "by relation": """{ twins(filter: {some: {relation: "tm:supplies", twin: {name: {eq: "Packing line"}}}})
        { nodes { id site } } }""",
    "by relation to kind": """{ twins(filter: {some: {relation: "tm:supplies", direction: IN,
        twin: {kind: {eq: "brick:AHU"}}}}) { nodes { id site } } }""",
    "by no relation": """{ twins(kind: "tm:Asset", filter: {none: {relation: "tm:supplies"}})
        { nodes { id site } } }""",
    "search": '{ search(text: "chiller") { totalCount nodes { id name site } } }',
    "reachable": at(
        """{ reachable(from: ["%s"]) { count nodes { depth twin { id site } } } }""", iri("campus", "CH-1")
    ),
    "reachable back": at(
        """{ reachable(from: ["%s"], direction: IN) { count nodes { depth twin { id } } } }""",
        iri("plant", "LINE-1"),
    ),
    "paths": at(
        """{ paths(from: "%s", to: "%s") { paths { twins { id } links { relation id } } } }""",
        iri("campus", "CH-1"),
        iri("plant", "LINE-1"),
    ),
    "aggregate": """{ aggregate(groupBy: ["site", "kind"], measures: [{op: COUNT}]) { keys values } }""",
    "aggregate of": """{ aggregate(kind: "tm:Process", measures: [{op: SUM, of: "valuePerHour"}])
        { values } }""",
}


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    changes = {"campus": [campus_change()], "plant": [plant_change()]}
    folder: Path = tmp_path_factory.mktemp("federated")
    with group_of(folder, ontology, units, changes) as made:
        made.share_all()
        made.settle("campus", "plant")
        made.settle("plant", "campus")
        yield made


@pytest.mark.parametrize("asker", ["campus", "plant"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_two_servers_answer_as_one_folder(group: Group, asker: str, name: str) -> None:
    answer = group[asker].running.ask(QUESTIONS[name])
    assert "errors" not in answer, answer
    assert answer["data"] == group.merged.data(QUESTIONS[name])
    assert answer["extensions"].get("completeness", "FULL") == "FULL", answer["extensions"]


def sources(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {source["site"]: source for source in answer["extensions"]["sources"]}


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name != "paths"])
def test_the_resolvers_agree_with_the_plans(group: Group, name: str) -> None:
    """A question beside one about the schema has no plan: the resolvers answer all of it."""
    asked = QUESTIONS[name].rstrip()[:-1] + " __schema { queryType { name } } }"
    data = group["campus"].running.data(asked)
    data.pop("__schema")
    assert data == group.merged.data(QUESTIONS[name])


def test_the_sources_of_an_answer(group: Group) -> None:
    answer = group["campus"].running.ask('{ twins(kind: "tm:Asset") { nodes { id } } }')
    told = sources(answer)
    revision = group["plant"].running.mesh.snapshot().revision
    assert told["plant"].pop("ageS") >= 0
    assert told["plant"] == {
        "site": "plant", "peer": "plant", "status": "ANSWERED", "revision": str(revision), "rows": 2,
    }  # fmt: skip
    assert told["campus"]["peer"] is None
    assert answer["extensions"]["completeness"] == "FULL"


@pytest.mark.parametrize(
    "question",
    [
        at('{ node(id: "%s") { id name } }', iri("campus", "CH-1")),
        '{ node(id: "AHU-1") { attributes { name } } }',
        '{ twins(filter: {site: {eq: "campus"}}) { nodes { id } } }',
        at('{ twins(filter: {id: {eq: "%s"}}) { nodes { id } } }', iri("campus", "CH-1")),
        "{ sites { name } }",
    ],
)
def test_what_is_known_to_be_here_asks_nobody(group: Group, question: str) -> None:
    before = asked_of(group, "plant")
    answer = group["campus"].running.ask(question)
    assert "errors" not in answer
    assert "sources" not in answer["extensions"]
    assert asked_of(group, "plant") == before


def test_who_does_not_see_everything_has_nothing_passed_on(group: Group) -> None:
    campus = group["campus"].running
    token = campus.tokens.create("narrow", Role.ANALYST, kinds=("brick:AHU", "tm:Process"))
    before = asked_of(group, "plant")
    answer = campus.ask("{ twins { nodes { id } } }", token=token)
    assert [twin["id"] for twin in answer["data"]["twins"]["nodes"]] == [
        iri("campus", "AHU-1"),
        iri("campus", "AHU-2"),
    ]
    assert sources(answer)["plant"]["status"] == "DENIED"
    assert answer["extensions"]["completeness"] == "PARTIAL"
    assert asked_of(group, "plant") == before


def test_what_left_stands_in_the_ledger(group: Group) -> None:
    plant = group["plant"].node.ledger
    last = max(entry.number for entry in plant.entries())
    group["campus"].running.data(
        at(
            '{ node(id: "%s") { valuePerHour: attribute(name: "valuePerHour") { value } } }',
            iri("plant", "LINE-1"),
        )
    )
    facts = {fact for entry in plant.entries(after=last) for fact in entry.facts()}
    assert facts == {(iri("plant", "LINE-1"), "valuePerHour")}


def test_nothing_of_strangers_stays(group: Group) -> None:
    """Neither in the pools, which checkpoints hold, nor in the twins of the folder."""
    mesh = group["campus"].running.mesh
    before = mesh.pools.sizes
    group["campus"].running.data(QUESTIONS["all"])
    assert mesh.pools.sizes == before
    assert mesh.pools.texts.find("Packing line") == 0
    assert mesh.snapshot().row(iri("plant", "PRESS-1")) < 0


def asked_of(group: Group, name: str) -> int:
    """How many answers of a server to queries stand in its ledger."""
    return sum(entry.kind == "query" for entry in group[name].node.ledger.entries())


def test_without_peers_nothing_is_made_or_told(group: Group) -> None:
    answer = group.merged.ask(QUESTIONS["all"])
    assert set(answer["extensions"]) == {"cost"}
    folder = group.merged.mesh.folder
    assert not [path.name for path in folder.iterdir() if path.name.startswith("federation")]


def test_a_misspelt_id_is_told_what_it_may_mean(group: Group) -> None:
    """As in one folder: the search for it waits until nobody is left to ask."""
    asked = '{ reachable(from: ["AHU-3"]) { count } }'
    answer, whole = group["campus"].running.ask(asked), group.merged.ask(asked)
    (error,), (expected,) = answer["errors"], whole["errors"]
    assert error["extensions"]["code"] == expected["extensions"]["code"] == "TWIN_UNKNOWN"
    assert "did you mean" in error["extensions"]["hint"]

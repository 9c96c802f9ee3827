"""Queries over two servers, held against one folder that has all their sites."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import campus_change, iri, plant_change
from tests.api.federated_sites import Group, group_of

_TWIN = "id localId name kind kinds site revision externalIds { system id } attributes { name value unit }"
QUESTIONS = {
    "all": "{ twins(first: 100) { totalCount nodes { %s } } }" % _TWIN,
    "kind": '{ twins(kind: "tm:Asset", first: 2) { totalCount pageInfo { hasNextPage } nodes { id } } }',
    "ordered": """{ twins(kind: "brick:Equipment", orderBy: [{by: "ratedPower", direction: DESC}]) {
        nodes { id attribute(name: "ratedPower") { value unit } } } }""",
    "by attribute": '{ twins(filter: {attribute: [{name: "ratedPower", gt: 9, unit: "kW"}]}) { nodes { id } } }',
    "by name": '{ twins(filter: {name: {contains: "hiller"}}) { nodes { name site } } }',
    "by site": '{ twins(filter: {site: {eq: "plant"}}) { totalCount nodes { id site } } }',
    "not of a site": '{ twins(filter: {not: {site: {eq: "plant"}}}) { totalCount } }',
    "node": '{ node(id: "%s") { __typename %s } }' % (iri("plant", "LINE-1"), _TWIN),
    "node by site": '{ node(id: "plant:PRESS-1") { id name } }',
    "nodes": '{ nodes(ids: ["%s", "%s"]) { id } }' % (iri("plant", "PRESS-1"), iri("campus", "AHU-1")),
    "outward": """{ node(id: "%s") { out { totalCount nodes { id relation attributes { name value }
        twin { __typename id name } } } } }"""
    % iri("campus", "AHU-1"),
    "inward": """{ node(id: "%s") { in { totalCount nodes { relation twin { __typename id name
        in { nodes { relation twin { id name } } } } } } } }"""
    % iri("plant", "LINE-1"),
    "there and back": """{ node(id: "%s") { out(relation: "tm:supplies") { nodes { twin { id
        in(relation: "tm:supplies") { nodes { twin { id site } } } } } } } }"""
    % iri("campus", "AHU-1"),
    "by relation": """{ twins(filter: {some: {relation: "tm:supplies", twin: {name: {eq: "Packing line"}}}})
        { nodes { id site } } }""",
    "by relation to kind": """{ twins(filter: {some: {relation: "tm:supplies", direction: IN,
        twin: {kind: {eq: "brick:AHU"}}}}) { nodes { id site } } }""",
    "by no relation": """{ twins(kind: "tm:Asset", filter: {none: {relation: "tm:supplies"}})
        { nodes { id site } } }""",
    "search": '{ search(text: "chiller") { totalCount nodes { id name site } } }',
    "reachable": """{ reachable(from: ["%s"]) { count nodes { depth twin { id site } } } }"""
    % iri("campus", "CH-1"),
    "reachable back": """{ reachable(from: ["%s"], direction: IN) { count nodes { depth twin { id } } } }"""
    % iri("plant", "LINE-1"),
    "paths": """{ paths(from: "%s", to: "%s") { paths { twins { id } links { relation id } } } }"""
    % (iri("campus", "CH-1"), iri("plant", "LINE-1")),
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

"""Three servers in a circle of deliveries, held against one folder that has all their sites."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from graph.values import Change
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, campus_change, iri, link, plant_change, twin
from tests.api.federated_sites import Group, at, group_of, wait_until

CIRCLE = (iri("campus", "CH-1"), iri("campus", "AHU-1"), iri("plant", "LINE-1"), iri("supplier", "SUP-1"))


def supplier_change() -> Change:
    twins = (
        twin("supplier", "SUP-1", "tm:Asset", "Chiller maker", ratedPower=5),
        twin("supplier", "SUP-2", "tm:Asset", "Warehouse"),
    )
    links = (
        link("supplier", iri("plant", "LINE-1"), "tm:supplies", "SUP-1"),
        link("supplier", "SUP-1", "tm:supplies", "SUP-2"),
    )
    return Change(put_twins=twins, put_relationships=links)


def spare_parts() -> Change:
    """What closes the circle: it lives at the campus, which depends."""
    return Change(put_relationships=(link("campus", iri("supplier", "SUP-1"), "tm:supplies", "CH-1"),))


CHANGES = {
    "campus": [campus_change(), spare_parts()],
    "plant": [plant_change()],
    "supplier": [supplier_change()],
}


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    with group_of(tmp_path_factory.mktemp("three"), ontology, units, CHANGES) as made:
        made.share_all()
        for name in made.sites:
            made.settle(name, *(other for other in made.sites if other != name))
        yield made


QUESTIONS = {
    "all": """{ twins(first: 100) { totalCount nodes { id name kinds site
        out { nodes { relation twin { id } } } } } }""",
    "reachable": at('{ reachable(from: ["%s"]) { count nodes { depth twin { id name site } } } }', CIRCLE[0]),
    "reachable back": at(
        '{ reachable(from: ["%s"], direction: IN) { count nodes { depth twin { id } } } }', CIRCLE[0]
    ),
    "reachable to a depth": at(
        '{ reachable(from: ["%s"], maxDepth: 2) { count nodes { depth twin { id } } } }', CIRCLE[3]
    ),
    "paths": at(
        '{ paths(from: "%s", to: "%s") { paths { twins { id site } links { id relation } } } }',
        CIRCLE[0],
        CIRCLE[3],
    ),
    "round the circle": at(
        """{ node(id: "%s") { out(relation: "tm:supplies") { nodes { twin { id
        out(relation: "tm:supplies") { nodes { twin { id out(relation: "tm:supplies") { nodes { twin { id name
        out(relation: "brick:feeds") { totalCount nodes { twin { id site } } } } } } } } } } } } } }""",
        CIRCLE[1],
    ),
    "by relation": at(
        """{ twins(filter: {some: {relation: "tm:supplies", twin: {some: {relation: "tm:supplies",
        twin: {id: {eq: "%s"}}}}}}) { nodes { id } } }""",
        CIRCLE[0],
    ),
    "grouped": '{ aggregate(kind: "tm:Asset", groupBy: ["site"], measures: [{op: COUNT}, '
    '{op: MAX, of: "ratedPower"}]) { keys values } }',
}


@pytest.mark.parametrize("asker", ["campus", "plant", "supplier"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_three_servers_answer_as_one_folder(group: Group, asker: str, name: str) -> None:
    answer = group[asker].running.ask(QUESTIONS[name])
    assert "errors" not in answer, answer
    assert answer["data"] == group.merged.data(QUESTIONS[name])
    assert answer["extensions"]["completeness"] == "FULL", answer["extensions"]


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    """One server has two of the sites."""
    hosts = {"plant": "works", "supplier": "works"}
    with group_of(tmp_path_factory.mktemp("hosts"), ontology, units, CHANGES, hosts=hosts) as made:
        made.share("campus", "works")
        made.share("works", "campus", sites=frozenset({"plant", "supplier"}))
        made.settle("campus", "works")
        made.settle("works", "campus")
        yield made


@pytest.mark.parametrize("asker", ["campus", "works"])
@pytest.mark.parametrize("name", ["all", "reachable", "paths", "round the circle", "grouped"])
def test_a_server_of_two_sites_answers_for_both(two_hosts: Group, asker: str, name: str) -> None:
    answer = two_hosts[asker].running.ask(QUESTIONS[name])
    assert answer["data"] == two_hosts.merged.data(QUESTIONS[name])
    assert answer["extensions"]["completeness"] == "FULL", answer["extensions"]
    told = {(source["site"], source["peer"]) for source in answer["extensions"]["sources"]}
    works = {("plant", "works"), ("supplier", "works"), ("campus", None)}
    assert told == (
        works if asker == "campus" else {("plant", None), ("supplier", None), ("campus", "campus")}
    )


def test_a_site_of_the_server_that_the_contract_does_not_name(two_hosts: Group) -> None:
    asked = at(
        '{ node(id: "%s") { out { nodes { twin { id } } } } supplier: node(id: "%s") { id } }',
        CIRCLE[2],
        iri("supplier", "SUP-2"),
    )
    two_hosts.share("works", "campus", sites=frozenset({"plant"}))
    try:
        wait_until(
            lambda: two_hosts["campus"].running.data(asked)["supplier"] is None, "the contract is known"
        )
        assert two_hosts["campus"].running.data(asked)["node"] == {"out": {"nodes": []}}
    finally:
        two_hosts.share("works", "campus", sites=frozenset({"plant", "supplier"}))
        wait_until(lambda: two_hosts["campus"].running.data(asked)["supplier"] is not None, "as before")


def test_a_partner_without_stubs_shows_nothing_of_third_parties(group: Group) -> None:
    """The plant may see the campus' equipment, not who else delivers there."""
    asked = at('{ node(id: "%s") { in { nodes { relation twin { id } } } } }', CIRCLE[0])
    group.share("campus", "plant", kinds=frozenset({SCHEMA.kind("brick:Equipment").iri}))
    try:
        wait_until(lambda: not shows_stubs(group, "plant", "campus"), "the new contract is known")
        assert group["plant"].running.data(asked) == {"node": {"in": {"nodes": []}}}
    finally:
        group.share("campus", "plant")
        wait_until(lambda: shows_stubs(group, "plant", "campus"), "the old contract is known")


def shows_stubs(group: Group, asker: str, giver: str) -> bool:
    """As the asker sees it: a stub of the giver for a twin of the supplier is in the answer."""
    asked = at('{ node(id: "%s") { in { nodes { twin { id } } } } }', CIRCLE[0])
    found = group[asker].running.ask(asked)["data"]["node"]
    return bool(found and found["in"]["nodes"])

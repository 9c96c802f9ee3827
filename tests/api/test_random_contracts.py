"""A partner sees exactly what a contract says, whichever it is and whatever is asked.

Under a random contract the partner's server is asked questions made from its own schema. Each answer is that
of one folder in which the giver's site was reduced, twin by twin, to what the contract names: nothing more is
told, and nothing less. Ids are written with their site: a local id means our own twin where we have one.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from api.config import Settings
from federation.contract import OWN_FIELDS, Contract
from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord
from ontology.schema import Schema
from ontology.units import Units
from tests.api.aggregates import KINDS, SUPERS, fleet
from tests.api.conftest import SCHEMA, Running, served
from tests.api.federated_sites import QUICK, Group, group_of
from tests.api.interference import Samples, operations
from tests.api.test_interference import LIMITS
from tests.simulation.cascade_worlds import fresh_seed

TWINS = 16
SHARE, CONTRACTS_LONG = 40, 12
NOT_COMPARED = ("sites", "simulation", "_")  # roots that speak of the server itself
SETTINGS = Settings(
    federation=replace(QUICK.federation, identity_per_minute=100_000, calls_per_minute=1_000_000),
    limits=LIMITS,
)
SAMPLES = Samples(
    ids=("campus:T-1", "campus:T-2", "campus:T-9", "plant:T-1", "campus:NONE", "plant:T-3"),
    texts=("x 1", "y", "z 1", "a", "nothing"),
    kinds=SUPERS,
    relations=("supplies", "tm:dependsOn"),
    names=("ratedPower", "valuePerHour", "assetTag", "name", "kind", "site", "id"),
)


@dataclass(frozen=True)
class Asked:
    """A partner's server, and the folder that holds what it may know."""

    partner: Running
    oracle: Running
    contract: Contract
    seed: int


def drawn_terms(random: Random) -> dict[str, Any]:
    """What a contract names, at random."""
    attributes = {"ratedPower", "valuePerHour", "assetTag", *OWN_FIELDS}
    return {
        "kinds": frozenset(SCHEMA.kind(kind).iri for kind in KINDS if random.random() < 0.6),
        "attributes": frozenset(name for name in sorted(attributes) if random.random() < 0.6),
        "relations": frozenset({SCHEMA.relation("tm:supplies").iri} if random.random() < 0.7 else ()),
    }


def reduced(change: Change, contract: Contract) -> Change:
    """What a contract leaves of a site, told twin by twin."""
    twins = [each for each in change.put_twins if set(each.kinds) & contract.kinds]
    shown = {each.id for each in twins}
    links = [
        link
        for link in change.put_relationships
        if link.relation in contract.relations and shares_ends(link, shown)
    ]
    return Change(put_twins=tuple(bare(each, contract) for each in twins), put_relationships=tuple(links))


def shares_ends(link: RelationshipRecord, shown: set[str]) -> bool:
    ends = {link.source, link.target}
    theirs = {end for end in ends if "/plant/" in end}
    return bool(ends & shown) and ends <= shown | theirs


def bare(twin: TwinRecord, contract: Contract) -> TwinRecord:
    kept = {name: value for name, value in twin.attributes.items() if name in contract.attributes}
    return replace(twin, attributes=kept, name=twin.name if "name" in contract.attributes else None)


@contextmanager
def asked_under(folder: Path, ontology: Schema, units: Units, seed: int) -> Generator[Asked]:
    random = Random(seed)
    campus = fleet("campus", ["plant"], random, TWINS, ("kW",))
    plant = fleet("plant", ["campus"], random, TWINS, ("kW",))
    with ExitStack() as stack:
        changes = {"campus": [campus], "plant": [plant]}
        group: Group = stack.enter_context(group_of(folder, ontology, units, changes, SETTINGS))
        contract = group.share("campus", "plant", **drawn_terms(random))
        group.settle("plant", "campus")
        mesh = stack.enter_context(Mesh.open(folder / "oracle", ontology, units=units))
        for site, change in (("campus", reduced(campus, contract)), ("plant", plant)):
            mesh.create_site(site).apply(change)
        oracle = stack.enter_context(served(mesh, SETTINGS))
        yield Asked(group["plant"].running, oracle, contract, seed)


def questions(asked: Asked) -> list[str]:
    schema = build_client_schema(asked.oracle.data(get_introspection_query()))
    found = operations(schema, SAMPLES)
    return [each for each in found if not each.lstrip("{ ").startswith(NOT_COMPARED)]


def check(asked: Asked, queries: Sequence[str]) -> int:
    """How many answers hold something of the campus."""
    told = 0
    with asked.partner.client() as one, asked.oracle.client() as other:
        for query in queries:
            answer, expected = (
                client.post("/graphql", json={"query": query}).json() for client in (one, other)
            )
            assert plain(answer) == plain(expected), (asked.seed, asked.contract, query)
            told += "twinmesh.invalid/campus/" in json.dumps(answer.get("data"))
    return told


def plain(answer: dict[str, Any]) -> str:
    """The data, and the codes and places of errors; hints know more where there is more."""
    errors = [(each.get("path"), each["extensions"].get("code")) for each in answer.get("errors", ())]
    return json.dumps([answer.get("data"), errors])


def test_a_partner_sees_what_a_random_contract_says(tmp_path: Path, ontology: Schema, units: Units) -> None:
    seed = fresh_seed("a random contract")
    with asked_under(tmp_path, ontology, units, seed) as asked:
        everything = questions(asked)
        check(asked, Random(seed).sample(everything, min(SHARE, len(everything))))


def test_and_one_of_which_it_is_known_that_it_shows_something(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    with asked_under(tmp_path, ontology, units, 4) as asked:
        assert check(asked, Random(4).sample(questions(asked), SHARE)) > 2


@pytest.mark.long
def test_a_partner_sees_what_any_contract_says(tmp_path: Path, ontology: Schema, units: Units) -> None:
    first, count = fresh_seed("random contracts"), 0
    for number in range(CONTRACTS_LONG):
        with asked_under(tmp_path / str(number), ontology, units, first + number) as asked:
            everything = questions(asked)
            check(asked, everything)
            count += len(everything)
    print(f"under {CONTRACTS_LONG} contracts: {count} questions, answered as by what they show")

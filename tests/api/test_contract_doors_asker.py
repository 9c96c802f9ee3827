"""What the users of a partner's server are told of us: by GraphQL, SPARQL, documents, files, subscriptions,
cascades. Two servers share with it, alike as far as the contract shows and different in all else; whatever is
asked at the partner's, the answers must be the same to the byte.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from graphql import build_client_schema, get_introspection_query

from api.config import Settings
from federation.contract import Contract, Naming, Purpose, Release
from federation.opaque import Names
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.federated_sites import QUICK, Group, group_of
from tests.api.interference import Samples, operations
from tests.api.joint_pair import cascade
from tests.api.test_interference import LIMITS
from tests.federation.hidden_worlds import (
    KINDS,
    NEVER_IRI,
    PARTNER_BASE,
    RELATIONS,
    Rules,
    World,
    otherwise,
    random_contract,
    random_world,
    twin_attributes,
    unique,
)
from tests.simulation.cascade_worlds import fresh_seed

QUESTIONS, CONTRACTS_LONG = 20, 20
SETTINGS = Settings(
    federation=replace(QUICK.federation, identity_per_minute=100_000, calls_per_minute=1_000_000),
    limits=LIMITS,
)
PRICES = ("valuePerHour", "repairCost")


@dataclass(frozen=True)
class Case:
    """The partner's server beside each of the worlds."""

    groups: list[Group]
    worlds: list[World]
    contract: Contract
    stubs: frozenset[str]  # of ours, in the partner's own graph
    place: str

    @property
    def ids(self) -> list[str]:
        """Of all worlds, by both names, and one that is nobody's."""
        real = sorted({each for world in self.worlds for each in world.ids} | {NEVER_IRI})
        campus, plant = self.groups[0]["campus"], self.groups[0]["plant"]
        names = Names.of(campus.node.key, plant.key)
        return [*real, *(names.iri(f"{each.rpartition('/')[0]}/", each) for each in real)]


# Worlds for cascades: what is hidden moves nothing that is shown, for the rest is told on purpose


def dependent_end(schema: Schema, link: RelationshipRecord) -> str:
    depends = schema.relation("tm:dependsOn").iri
    return link.source if link.relation == depends else link.target


def calm(schema: Schema, world: World, shown: set[str]) -> World:
    """Without draws, and without relationships by which hidden twins, or hidden facts, move shown ones."""
    behaviour = {each.name for each in schema.attributes.values() if each.cascade or each.name == "direction"}
    behaviour -= set(PRICES)

    def plain(values: Any) -> dict[str, Value]:
        return {name: value for name, value in values.items() if name not in behaviour}

    sites = {
        site: Change(
            put_twins=tuple(replace(twin, attributes=plain(twin.attributes)) for twin in change.put_twins),
            put_relationships=unique(
                replace(link, attributes=plain(link.attributes), group="")
                for link in change.put_relationships
                if not is_felt(schema, link, shown)
            ),
        )
        for site, change in world.sites.items()
    }
    return World(sites, {})


def is_felt(schema: Schema, link: RelationshipRecord, shown: set[str]) -> bool:
    """A twin that is shown, or one of the partner's, would depend on it; or nobody knows who does."""
    end = dependent_end(schema, link)
    is_two_way = link.relation == schema.relation("tm:connectedTo").iri
    return end in shown or end.startswith(PARTNER_BASE) or is_two_way


def with_shown_links(schema: Schema, random: Random, world: World, shown: set[str]) -> World:
    """Both worlds have the same relationships among shown twins: by these trouble travels."""
    found = dict(world.sites)
    for site, change in world.sites.items():
        own = sorted(each for each in shown if f"/{site}/" in each)
        far = [*sorted(shown), f"{PARTNER_BASE}P-1"]
        links = {
            (random.choice(far), schema.relation(random.choice(("tm:feeds", "tm:supplies"))).iri, end)
            for end in own
        }
        kept = tuple(RelationshipRecord(*each) for each in sorted(links) if each[0] != each[2])
        found[site] = replace(change, put_relationships=(*change.put_relationships, *kept))
    return World(found, {})


def plant(schema: Schema, random: Random, ids: list[str]) -> Change:
    """The partner's own: twins that depend on what is shown, on what is hidden, and on what nobody has."""
    process, supplies = schema.kind("tm:Process").iri, schema.relation("tm:supplies").iri
    twins = tuple(TwinRecord(f"{PARTNER_BASE}P-{n}", (process,), f"Line {n}") for n in range(3))
    links = {(end, supplies, random.choice(twins).id) for end in (*random.sample(ids, 10), NEVER_IRI)}
    return Change(
        put_twins=twins, put_relationships=tuple(RelationshipRecord(*each) for each in sorted(links))
    )


@contextmanager
def opened(folder: Path, ontology: Schema, units: Units, seed: str) -> Generator[Case]:
    random = Random(seed)
    drawn = drawn_contract(ontology, random)
    world = random_world(ontology, random)
    shown = Rules(ontology, drawn).shown(world)
    draft = [world, otherwise(ontology, random, world, drawn)]
    state = random.random()
    worlds = [with_shown_links(ontology, Random(state), calm(ontology, each, shown), shown) for each in draft]
    own = plant(ontology, random, worlds[0].ids)
    with ExitStack() as stack:
        groups: list[Group] = []
        for number, each in enumerate(worlds):
            place = folder / str(number)
            for name in ("campus", "plant") if groups else ():
                (place / name).mkdir(parents=True)
                shutil.copy(folder / "0" / name / "federation.key", place / name / "federation.key")
            changes = {**{site: [change] for site, change in each.sites.items()}, "plant": [own]}
            hosts = {"annex": "campus"}
            group = stack.enter_context(group_of(place, ontology, units, changes, SETTINGS, hosts=hosts))
            agree(group, drawn)
            groups.append(group)
        stubs = frozenset(link.source for link in own.put_relationships)
        yield Case(groups, worlds, drawn, stubs, f"seed {seed}, {drawn}")


def drawn_contract(schema: Schema, random: Random) -> Contract:
    """In force, and for queries and cascades: the rest is asked at the doors between servers."""
    drawn = random_contract(schema, random, "", 0)
    kinds = frozenset(schema.kind(name).iri for name in random.sample(KINDS, 3))
    return replace(
        drawn,
        sites=drawn.sites | {"campus"},
        kinds=kinds,
        release=Release.ROWS,
        purposes=frozenset({Purpose.QUERY, Purpose.CASCADE}),
        events=frozenset({"FAIL"}),
        starts_ns=0,
        expires_ns=2**62,
        rows_per_answer=1_000,
    )


def agree(group: Group, contract: Contract) -> None:
    """Ours with the partner; the partner shows us all of its own."""
    terms = {name: getattr(contract, name) for name in Contract.__dataclass_fields__ if name != "partner"}
    group.share("campus", "plant", **terms)
    group.share(
        "plant", "campus", purposes=frozenset({Purpose.QUERY, Purpose.CASCADE}), scenarios_per_day=1_000
    )
    group.settle("plant", "campus")


# What is asked


def questions(case: Case, schema: Schema, random: Random) -> list[str]:
    """Of everything that the partner's schema allows, and paging to the end."""
    told: Any = case.groups[0]["plant"].running.data(get_introspection_query())
    ids = tuple(random.sample(case.ids, 10))
    samples = Samples(
        ids=(*ids, "campus:T-1", "annex:L-1", f"{PARTNER_BASE}P-1"),
        texts=("oak", "elm 1", "fir", "nothing"),
        kinds=(*KINDS, "tm:Process", "tm:Twin"),
        relations=RELATIONS,
        names=(
            *(each.name for each in random.sample(twin_attributes(schema), 12)),
            "name",
            "kind",
            "localId",
        ),
    )
    drawn = random.sample(list(operations(build_client_schema(told), samples)), QUESTIONS)
    order = random.choice(samples.names)
    return [*drawn, *(f'{{ node(id: "{each}") {{ id name kind }} }}' for each in ids), ordered(order)]


def ordered(name: str) -> str:
    return (
        f'{{ twins(first: 5, orderBy: [{{by: "{name}", direction: DESC}}]) '
        "{ totalCount edges { cursor node { id } } pageInfo { endCursor hasNextPage } } }"
    )


def paths(case: Case, random: Random) -> Iterator[str]:
    """Plain HTTP: documents, files, SPARQL."""
    yield from (f"/id/{each}" for each in random.sample(case.ids, 8))
    yield from ("/id/campus:T-1", "/id/T-1", "/check", "/metrics-none")
    yield from (f"/export?format={name}" for name in ("nq", "ttl", "jsonld", "csv", "graphml"))
    yield "/sparql?query=ASK { ?s ?p 'oak 1' }"
    yield "/sparql?query=SELECT * { GRAPH ?g { ?s ?p ?o FILTER(!isBlank(?s) %26%26 !isBlank(?o)) } } "
    "ORDER BY ?g ?s ?p ?o"


def plain(text: str) -> str:
    """Without what is of the moment: times of commits, ages of answers."""
    return re.sub(r'"ageS":[0-9.e-]+', '"ageS":0', re.sub(r'"time":"[^"]*"', '"time":""', text))


def check(case: Case, schema: Schema, random: Random) -> int:
    """How many answers had something of ours in them."""
    told, accepts = 0, ("application/ld+json", "text/turtle")
    with ExitStack() as stack:
        one, other = (stack.enter_context(group["plant"].running.client()) for group in case.groups)
        for query in questions(case, schema, random):
            first, second = (client.post("/graphql", json={"query": query}) for client in (one, other))
            assert plain(first.text) == plain(second.text), (case.place, query)
            told += bool(re.search(r'"id":"https://twinmesh.invalid/(campus|annex)/', first.text))
        for path in paths(case, random):
            for accept in accepts:
                first, second = (client.get(path, headers={"accept": accept}) for client in (one, other))
                assert (first.status_code, written(first)) == (second.status_code, written(second)), (
                    case.place,
                    path,
                )
        pages = [list(paged(client)) for client in (one, other)]
        assert pages[0] == pages[1], case.place
        assert sorted(pages[0]) == sorted(shown_ids(case) | case.stubs), (case.place, "each once")
    return told


def written(answer: httpx.Response) -> str:
    """Times of commits and names of blank nodes are of the server that wrote them."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "", plain(answer.text))
    return "\n".join(sorted(re.sub(r"_:[0-9a-f]+", "_:b", text).splitlines()))


def paged(client: httpx.Client) -> Iterator[str]:
    """The ids of all twins of ours, three at a time."""
    after = "null"
    while True:
        query = (
            f"{{ twins(first: 3, after: {after}) {{ nodes {{ id }} pageInfo {{ endCursor hasNextPage }} }} }}"
        )
        answer = client.post("/graphql", json={"query": query}).json()
        assert "errors" not in answer, answer
        page = answer["data"]["twins"]
        yield from (node["id"] for node in page["nodes"] if not node["id"].startswith(PARTNER_BASE))
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = json.dumps(page["pageInfo"]["endCursor"])


def shown_ids(case: Case) -> set[str]:
    """Of twins of ours that may be told, by the names that the partner is told."""
    shown = Rules(case.groups[0]["plant"].running.mesh.schema, case.contract).shown(case.worlds[0])
    names = Names.of(case.groups[0]["campus"].node.key, case.groups[0]["plant"].key)
    if case.contract.ids is Naming.OPAQUE:
        shown = {names.iri(f"{each.rpartition('/')[0]}/", each) for each in shown}
    return shown


def cascades(case: Case, random: Random) -> int:
    """Scenarios for shown, hidden and unknown twins: how many were run."""
    done = 0
    for twin in (*random.sample(case.ids, 3), *sorted(shown_ids(case))[:2], NEVER_IRI):
        event = {"type": "FAIL", "twin": twin, "repairHours": 5}
        document = {"events": [event], "runs": 3, "seed": 7}
        found = [cascade(group["plant"], document) for group in case.groups]
        for each in found:
            each.pop("id")
        assert found[0] == found[1], (case.place, twin)
        done += found[0]["status"] == "DONE"
    return done


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


def checked(folder: Path, ontology: Schema, units: Units, seed: str) -> tuple[int, int]:
    with opened(folder, ontology, units, seed) as case:
        told, done = check(case, ontology, Random(seed)), cascades(case, Random(seed))
        check_leak_is_found(case, ontology)
        return told, done


def check_leak_is_found(case: Case, schema: Schema) -> None:
    """One of the two servers agrees to more: then that is what is met."""
    wider = replace(case.contract, kinds=frozenset(schema.kind(name).iri for name in KINDS))
    agree(case.groups[1], wider)
    with case.groups[1]["plant"].running.client() as client:
        found = set(paged(client))
    assert found == shown_ids(replace(case, contract=wider, worlds=case.worlds[::-1])) | case.stubs, (
        case.place
    )


def test_users_of_a_partner_are_told_what_a_random_contract_shows(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    checked(tmp_path, ontology, units, f"{fresh_seed('users of a partner')}")


@pytest.mark.long
def test_users_of_a_partner_are_told_what_any_contract_shows(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    seed = fresh_seed("users of partners")
    told = [checked(tmp_path / f"{n}", ontology, units, f"{seed} {n}") for n in range(CONTRACTS_LONG)]
    assert sum(each for each, _ in told) > CONTRACTS_LONG and sum(done for _, done in told) > CONTRACTS_LONG
    print(f"{CONTRACTS_LONG} contracts: answers of something, cascades: {told}")

"""A replica is what the contract shares, whatever the source, the contract and the wire do meanwhile."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest

from federation.replica import Replica
from federation.sync_source import answer_hash, open_source
from federation.sync_wire import SharedHash, read_answer
from graph.mesh import Mesh
from ontology.schema import Schema, load_schema
from tests.federation.contract_worlds import NOW_NS, SITES
from tests.federation.sync_worlds import OWNER, World, ask, content, expected
from tests.simulation.cascade_worlds import fresh_seed

BASES = {site: f"https://twinmesh.invalid/{site}/" for site in SITES}
PAGES_MAX = 400


@pytest.fixture(scope="module")
def ontology() -> Schema:
    return load_schema()


@pytest.fixture
def mesh(tmp_path: Path, ontology: Schema) -> Generator[Mesh]:
    with Mesh.open(tmp_path / "source", ontology) as opened:
        for site in SITES:
            opened.create_site(site)
        yield opened


def play(world: World, replica: Replica, site: str, rounds: int) -> None:
    """Write, agree anew and replicate in any order; whenever a page says that it is done, look."""
    random = world.random
    looked = 0
    for _ in range(PAGES_MAX):
        for _ in range(random.choice((0, 0, 1, 3)) if looked < rounds else 0):
            world.write()
        if random.random() < 0.03 and looked < rounds:
            world.agree()
        if site not in world.contract.sites:
            world.agree()
            continue
        page = ask(world, site, replica.about().cursor, random.choice((1, 2, 5, 1_000)))
        assert replica.apply(page, "peer", 10_000, NOW_NS)
        came_twice = replica.apply(page, "peer", 10_000, NOW_NS)
        assert came_twice is (page.at == page.cursor), "only where there was nothing new"
        if page.done:
            assert content(replica) == expected(world, site)
            looked += 1
            if looked >= rounds + 1:
                break
    assert looked >= rounds, "the source never comes to rest"


def hash_now(world: World, site: str) -> SharedHash:
    told = read_answer(answer_hash(open_source(world.mesh, world.grant, site, NOW_NS)), "peer")
    assert isinstance(told, SharedHash)
    return told


@pytest.mark.parametrize("number", range(8))
def test_a_replica_is_the_shared_part(mesh: Mesh, ontology: Schema, tmp_path: Path, number: int) -> None:
    seed = fresh_seed("sync")
    world = World(mesh, ontology, Random(seed))
    site = SITES[number % 2]
    with Replica.open(tmp_path / "replica.sqlite", OWNER, site, BASES[site]) as replica:
        for _ in range(20):
            world.write()
        play(world, replica, site, 12)
        if site in world.contract.sites:
            told = hash_now(world, site)
            assert (told.hash, told.twins, told.links) == (replica.hash(), *replica.counts())

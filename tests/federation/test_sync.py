"""A replica is what the contract shares, whatever the source, the contract and the wire do meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from federation.contract import Contract, Purpose, Release
from federation.http_peer import Answered
from federation.records import SiteRecords
from federation.replica import Replica
from federation.sync import SyncLimits, sync_site
from federation.sync_source import answer_hash, open_source
from federation.sync_wire import Page, SharedHash, SyncAsked, read_answer, read_asked
from graph.mesh import Mesh
from graph.values import Change, TwinRecord
from ontology.errors import LimitError, StoreError
from ontology.schema import Schema, load_schema
from tests.federation.contract_worlds import NOW_NS, SITES
from tests.federation.sync_worlds import OWNER, World, ask, content, expected
from tests.simulation.cascade_worlds import fresh_seed, long_budget_s

ROOT = Path(__file__).resolve().parents[2]
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
    told = read_answer(answer_hash(open_source(world.mesh, world.grant, site, NOW_NS, b"key")), "peer")
    assert isinstance(told, SharedHash)
    return told


@pytest.mark.parametrize("number", range(5))
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


def pages_of(world: World, site: str, replica: Replica, count: int) -> list[Page]:
    """Pages in their order, while the source writes and the contract changes."""
    pages: list[Page] = []
    while len(pages) < count:
        world.write()
        if world.random.random() < 0.05:
            world.agree()
        if site in world.contract.sites:
            page = ask(world, site, replica.about().cursor, world.random.choice((1, 2, 3)))
            assert replica.apply(page, "peer", 10_000, NOW_NS)
            if page.cursor != page.at:
                pages.append(page)
    return pages


def test_duplicates_replays_and_other_orders(mesh: Mesh, ontology: Schema, tmp_path: Path) -> None:
    """All pages of a history, each several times and in any order: only the next one is ever taken."""
    random = Random(fresh_seed("sync order"))
    world = World(mesh, ontology, random)
    with (
        Replica.open(tmp_path / "one.sqlite", OWNER, "campus", BASES["campus"]) as straight,
        Replica.open(tmp_path / "other.sqlite", OWNER, "campus", BASES["campus"]) as replica,
    ):
        pages = pages_of(world, "campus", straight, 25)
        for number, page in enumerate(pages):
            for other in random.sample(pages, 6):
                # A cursor may come again, where a source came back to what it was: then its page fits.
                if other.at != page.at:
                    assert not replica.apply(other, "peer", 10_000, NOW_NS), number
            assert replica.apply(page, "peer", 10_000, NOW_NS)
        assert content(replica) == content(straight)
        assert replica.hash() == straight.hash()


def test_kill_9_goes_on_where_it_was(mesh: Mesh, ontology: Schema, tmp_path: Path) -> None:
    """What was said to be taken over is there, and nothing of half a page."""
    random = Random(fresh_seed("sync kills"))
    world = World(mesh, ontology, random)
    hashes: list[str] = []
    with Replica.open(tmp_path / "straight.sqlite", OWNER, "campus", BASES["campus"]) as straight:
        pages = pages_of(world, "campus", straight, 30)
    with Replica.open(tmp_path / "steps.sqlite", OWNER, "campus", BASES["campus"]) as steps:
        for page in pages:
            assert steps.apply(page, "peer", 10_000, NOW_NS)
            hashes.append(steps.hash())
    (tmp_path / "pages").write_bytes(msgspec.msgpack.encode(pages))
    path, acked = tmp_path / "killed.sqlite", -1
    with subprocess.Popen(
        [sys.executable, "-m", "tests.federation.sync_applier"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        bufsize=0,
    ) as readers:
        for _ in range(6):
            acked = max(
                acked, applied_until_killed(readers, tmp_path / "pages", path, random.randrange(1, 9))
            )
            with Replica.open(path, OWNER, "campus", BASES["campus"]) as replica:
                cursor = replica.about().cursor
                reached = next(n for n, page in enumerate(pages) if page.cursor == cursor)
                assert reached >= acked
                assert replica.hash() == hashes[reached]
        assert readers.stdin is not None
        readers.stdin.close()


def applied_until_killed(readers: subprocess.Popen[bytes], pages: Path, path: Path, acks: int) -> int:
    """The number of the last page that a reader said to have; it is killed after some of them."""
    assert readers.stdin is not None
    assert readers.stdout is not None
    readers.stdin.write(f"{pages} {path} {OWNER} campus {BASES['campus']}\n".encode())
    pid, last = 0, -1
    for line in readers.stdout:
        words = line.split()
        if words[0] == b"pid":
            pid = int(words[1])
        elif words[0] == b"ack":
            last, acks = int(words[1]), acks - 1
        elif words[0] == b"dead":
            return last
        if pid and (acks == 0 or words[0] == b"end"):
            os.kill(pid, signal.SIGKILL)
            pid = 0  # once: what it wrote before is still to be read
    raise AssertionError("the readers went away")


def test_a_journal_that_was_put_back_is_noticed(mesh: Mesh, ontology: Schema, tmp_path: Path) -> None:
    """Another history under the same name, at the same revision: the replica begins anew and is right."""
    world = World(mesh, ontology, Random(7))
    site = "campus"
    with Replica.open(tmp_path / "replica.sqlite", OWNER, site, BASES[site]) as replica:
        world.agree_all()
        for _ in range(30):
            world.write()
        assert replica.apply(ask(world, site, b""), "peer", 10_000, NOW_NS)
        with Mesh.open(tmp_path / "again", ontology) as other:
            for name in SITES:
                other.create_site(name)
            world.mesh = other
            for name in SITES:
                while other.twin(name).snapshot().revision <= mesh.twin(name).snapshot().revision:
                    world.write()
            page = ask(world, site, replica.about().cursor)
            assert page.starts
            assert replica.apply(page, "peer", 10_000, NOW_NS)
            assert content(replica) == expected(world, site)


def test_what_was_never_shared_is_never_told(mesh: Mesh, ontology: Schema) -> None:
    """Hidden twins come, change kinds among hidden ones, and go: no page names one."""
    world = World(mesh, ontology, Random(fresh_seed("sync hidden")))
    world.contract = Contract(
        partner=OWNER,
        sites=frozenset(SITES),
        kinds=frozenset({ontology.kind("brick:AHU").iri}),
        relations=frozenset(ontology.relation(name).iri for name in ("tm:feeds", "brick:feeds")),
        release=Release.ROWS,
        purposes=frozenset({Purpose.SYNC}),
        expires_ns=NOW_NS + 1,
        rows_per_answer=1_000,
    )
    ever: set[str] = set()
    cursor = b""
    for _ in range(80):
        for _ in range(world.random.choice((1, 2))):
            world.write()
            ever |= set(expected(world, "campus")[0])
        page = ask(world, "campus", cursor)
        cursor = page.cursor
        assert set(page.gone) <= ever
        assert set(page.records.ids) <= ever


@dataclass
class Liar:
    """A peer that answers what it likes."""

    answer: Callable[[SyncAsked], bytes]
    peer: Any = field(default_factory=lambda: SimpleNamespace(name="liar", fingerprint=OWNER, sites=()))

    async def call(self, kind: str, purpose: str, body: bytes) -> Answered:
        assert (kind, purpose) == ("sync", "sync")
        return Answered(self.answer(read_asked(body)), 0.0, 0.0)


def synced(liar: Liar, replica: Replica, pages_max: int = 20, twins_max: int = 1_000) -> Any:
    limits = SyncLimits(pages_max=pages_max, twins_max=twins_max)
    return asyncio.run(sync_site(liar, replica, limits))  # pyright: ignore[reportArgumentType]


def a_page(at: bytes, cursor: bytes, ids: tuple[str, ...], **fields: Any) -> bytes:
    records = SiteRecords("campus", BASES["campus"], 1, 1, ids, (("k",),), (0,) * len(ids), (1,) * len(ids))
    given: dict[str, Any] = {"starts": not at, "sweeps": False, "ends": False, "done": False, "gone": ()}
    given |= {"records": records, **fields}
    return msgspec.msgpack.encode(Page(at=at, cursor=cursor, revision=1, time_ns=1, **given))


def own(number: int) -> str:
    return f"{BASES['campus']}{number:06}"


def bad(**fields: Any) -> Callable[[SyncAsked], bytes]:
    return lambda asked: a_page(asked.cursor, b"x", (own(1), own(2)), **fields)


FOREIGN = SiteRecords("campus", "https://twinmesh.invalid/ours/", 1, 1)
CROOKED = SiteRecords("campus", BASES["campus"], 1, 1, (own(1),), (("k",),), (7,), (1,))
LIES: dict[str, Callable[[SyncAsked], bytes]] = {
    "no page": lambda _: b"\xc1",
    "a hash": lambda _: msgspec.msgpack.encode(SharedHash(1, 1, 1, "")),
    "of ours": lambda asked: a_page(asked.cursor, b"x", ("https://twinmesh.invalid/ours/T-1",)),
    "of nobody": lambda asked: a_page(asked.cursor, b"x", ("urn:uuid:1",)),
    "gone of ours": bad(gone=("https://twinmesh.invalid/ours/T-1",)),
    "another base": bad(records=FOREIGN, ends=True),
    "another site": bad(
        records=msgspec.structs.replace(FOREIGN, site="ours", base=BASES["campus"]), ends=True
    ),
    "places beyond": bad(records=CROOKED),
    "twice": lambda asked: a_page(asked.cursor, b"x", (own(1), own(1))),
    "here and gone": bad(gone=(own(1),)),
    "backwards": lambda asked: a_page(asked.cursor, asked.cursor + b"x", (own(5),)),
    "nowhere": bad(records=msgspec.structs.replace(CROOKED, ids=(), kinds=(), revisions=())),
    "done in the middle": bad(done=True),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_change_nothing(tmp_path: Path, lie: str) -> None:
    with Replica.open(tmp_path / "replica.sqlite", OWNER, "campus", BASES["campus"]) as replica:
        with pytest.raises(StoreError) as caught:
            synced(Liar(LIES[lie]), replica)
        assert caught.value.code == "PEER_GARBAGE"
        assert replica.counts()[0] <= 1, "at most an honest page before it"


def test_endless_pages_end(tmp_path: Path) -> None:
    """Ids that ascend for ever are stopped by the size, rounds without an end by the pages of one go."""

    def ascending(asked: SyncAsked) -> bytes:
        number = int(asked.cursor or b"0")
        return a_page(asked.cursor, str(number + 1).encode(), tuple(own(10 * number + k) for k in range(10)))

    def rounds(asked: SyncAsked) -> bytes:
        return a_page(asked.cursor, str(int(asked.cursor or b"0") + 1).encode(), (own(1),), ends=True)

    with Replica.open(tmp_path / "replica.sqlite", OWNER, "campus", BASES["campus"]) as replica:
        with pytest.raises(LimitError) as caught:
            synced(Liar(ascending), replica, pages_max=10_000, twins_max=500)
        assert caught.value.code == "REPLICA_FULL"
        assert replica.counts()[0] == 500
    with Replica.open(tmp_path / "other.sqlite", OWNER, "campus", BASES["campus"]) as replica:
        result = synced(Liar(rounds), replica, pages_max=30)
        assert (result.pages, result.is_current, result.code) == (30, False, None)


def test_a_replica_of_another_is_not_taken(tmp_path: Path) -> None:
    Replica.open(tmp_path / "replica.sqlite", OWNER, "campus", BASES["campus"]).close()
    for whose in (("q" * 43, "campus", BASES["campus"]), (OWNER, "campus", BASES["plant"])):
        with pytest.raises(StoreError) as caught:
            Replica.open(tmp_path / "replica.sqlite", *whose)
        assert caught.value.code == "REPLICA_FOREIGN"
    (tmp_path / "junk.sqlite").write_bytes(b"junk" * 2_000)
    with pytest.raises(StoreError) as caught:
        Replica.open(tmp_path / "junk.sqlite", OWNER, "campus", BASES["campus"])
    assert caught.value.code == "REPLICA_FAILED"


@pytest.mark.long
def test_replicas_of_many_histories(ontology: Schema, tmp_path: Path) -> None:
    seed, until_s = fresh_seed("sync long"), time.monotonic() + long_budget_s(60.0)
    number = 0
    while time.monotonic() < until_s:
        folder = tmp_path / str(number)
        with Mesh.open(folder / "source", ontology) as mesh:
            for site in SITES:
                mesh.create_site(site)
            world = World(mesh, ontology, Random(seed + number))
            site = SITES[number % 2]
            with Replica.open(folder / "replica.sqlite", OWNER, site, BASES[site]) as replica:
                play(world, replica, site, 15)
        number += 1
    print(f"replicas: {number} histories, seed {seed}")


def test_a_twin_with_an_iri_of_others_does_not_travel(mesh: Mesh, ontology: Schema, tmp_path: Path) -> None:
    """Neither told nor said to be gone, nor counted by the hash."""
    world = World(mesh, ontology, Random(3))
    world.agree_all()
    kind = (ontology.kind("brick:AHU").iri,)
    foreign = ("urn:uuid:1", "https://example.org/T-1", "https://twinmesh.invalid/T", "urn:zzz:1")
    twins = (*(TwinRecord(iri, kind) for iri in foreign), TwinRecord(BASES["campus"] + "T-1", kind))
    mesh.twin("campus").apply(Change(put_twins=twins))
    with Replica.open(tmp_path / "replica.sqlite", OWNER, "campus", BASES["campus"]) as replica:
        for step in (Change(), Change(remove_twins=foreign)):
            mesh.twin("campus").apply(step)
            page = ask(world, "campus", replica.about().cursor)
            assert replica.apply(page, "peer", 10, NOW_NS)
            assert (page.gone, page.done) == ((), True)
            assert [twin.id for twin in replica.twins()] == [BASES["campus"] + "T-1"]
            assert hash_now(world, "campus").hash == replica.hash()

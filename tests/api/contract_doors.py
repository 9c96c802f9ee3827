"""A partner at the doors between servers: all that may be asked there, made from the forms of messages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import numpy as np

from api.config import Federation, Settings
from api.federation_http import node_settings
from federation.asking import (
    FORMAT,
    CatalogueAsk,
    FiguresAsk,
    MatchAsk,
    QueryAsk,
    SearchAsk,
    SeriesAsk,
    SpreadAsk,
)
from federation.contract import Contract
from federation.egress import Place
from federation.joint.letters import Act as Together
from federation.joint.letters import Step
from federation.joint.wire import BEGUN, Act, Begin, End, Fetch, Planned, Take
from federation.node import Node
from federation.opaque import Names
from federation.peers import Identity, SiteName
from federation.sync_wire import SyncAsked
from federation.trust import HEADER, Message, seal
from graph.mesh import Mesh
from graph.plan import Operator, TextField
from graph.values import Readings, TwinRecord
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import Running, served
from tests.federation.contract_worlds import DAY_NS
from tests.federation.hidden_worlds import (
    BEGIN_NS,
    NEVER_IRI,
    PARTNER_BASE,
    POINT,
    RELATIONS,
    SITES,
    World,
)

MANY = 1_000_000
KINDS_OF_MESSAGES = ("hello", "query", "catalogue", "cascade", "sync", "private")
FORMS: dict[type[msgspec.Struct], set[str]] = {
    QueryAsk: {
        "format",
        "bases",
        "names",
        "bytes_max",
        "ids",
        "matches",
        "searches",
        "spreads",
        "figures",
        "series",
    },
    SeriesAsk: {"id", "from_ns", "to_ns", "last", "bucket_ns", "aggregates"},
    MatchAsk: {"kind", "where"},
    SearchAsk: {"text", "kind"},
    SpreadAsk: {"way", "ids", "relations", "depth", "ours"},
    FiguresAsk: {"kind", "keys", "of", "where"},
    CatalogueAsk: {"format"},
    SyncAsked: {"site", "cursor", "limit", "only_hash"},
}
"""What may be asked for, as `queries` and `messages` fill it in: a new field must be thought of there."""
SETTINGS = Settings(
    federation=Federation(
        calls_per_minute=MANY, identity_per_minute=MANY, hello_per_minute=MANY, query_per_minute=MANY,
        sync_per_minute=MANY, private_per_minute=MANY, deadline_s=60.0,
        query_deadline_s=60.0,
    )
)  # fmt: skip
NODE = node_settings(SETTINGS.federation)
WRITTEN_NS = 1_790_000_000_000_000_000
"""When all worlds were written: the time of a commit is told, and is no difference between them."""


@dataclass(frozen=True)
class Giver:
    """A server that shares, and its node."""

    running: Running
    node: Node


@dataclass(frozen=True)
class Partner:
    """Who holds the partner's key, and may say with it what it likes."""

    node: Node

    @property
    def key(self) -> str:
        return self.node.key.fingerprint

    def identity(self) -> Identity:
        public = self.node.key.public
        sites = (SiteName("plant", PARTNER_BASE),)
        return Identity(public.x, public.fingerprint, sites, "1", "schema", 0)

    def ask(self, client: httpx.Client, giver: Giver, kind: str, body: bytes) -> tuple[int, bytes]:
        """The answer to a message of its own: status and body."""
        message = Message(giver.node.key.fingerprint, kind, kind, body)
        sealed = seal(self.node.key, message, NODE.rules)
        url, headers = f"{giver.running.url}/federation/{kind}", {HEADER: sealed.token}
        answer = client.post(url, content=body, headers=headers)
        return answer.status_code, answer.content

    def told(self, client: httpx.Client, giver: Giver, kind: str, body: bytes) -> tuple[int, bytes]:
        """The answer without what is made at random: names of sessions, keys; what is begun is ended.

        Whether there are relationships of unknown direction, or such that make twins of others depend on the
        giver's, is told on purpose: a cascade needs to know, see docs/federation.md.
        """
        status, answer = self.ask(client, giver, kind, body)
        if kind != "cascade" or status != 200:
            return status, answer
        begun = BEGUN.decode(answer)
        self.ask(client, giver, kind, msgspec.msgpack.encode(End(begun.session)))
        return status, msgspec.msgpack.encode(begun.has_plan)


@contextmanager
def partner_in(folder: Path) -> Generator[Partner]:
    folder.mkdir(parents=True)
    with Node.open(folder, NODE) as node:
        yield Partner(node)


@contextmanager
def givers(
    folder: Path, ontology: Schema, units: Units, worlds: Sequence[World], partner: Partner
) -> Generator[list[Giver]]:
    """A server for each world, all with one key, that have added the partner."""
    with ExitStack() as stack:
        found: list[Giver] = []
        for number, world in enumerate(worlds):
            place = folder / str(number)
            mesh = stack.enter_context(Mesh.open(place, ontology, units=units))
            if found:
                shutil.copy(folder / "0" / "federation.key", place / "federation.key")
            write(mesh, world)
            running = stack.enter_context(served(mesh, SETTINGS, dev=False))
            node = stack.enter_context(Node.open(place, NODE))
            node.peers.add("plant", Place("http", "127.0.0.1", 1), partner.identity(), time.time_ns())
            found.append(Giver(running, node))
        yield found


def write(mesh: Mesh, world: World) -> None:
    """In one commit for each site, all at one time."""
    for site in SITES:
        twin = mesh.create_site(site)
        twin._writer._clock = lambda: WRITTEN_NS  # pyright: ignore[reportPrivateUsage]
        nobody = TwinRecord(f"{twin.base}NOBODY", (mesh.schema.kind("tm:Party").iri,))
        change = world.sites[site]
        # No site is without a commit: that nothing was ever written is told by its revision.
        twin.apply(replace(change, put_twins=(*change.put_twins, nobody)))
        snapshot = twin.snapshot()
        told = [
            (point, each)
            for point, listed in world.readings.items()
            if f"/{site}/" in point
            for each in listed
        ]
        rows = snapshot.rows([point for point, _ in told]).astype(np.int32)
        times, values = zip(*(each for _, each in told), strict=True) if told else ((), ())
        words = np.array(values, np.float64).view(np.uint64)
        quality = np.zeros(len(rows), np.uint8)
        twin.record(Readings(rows, np.array(times, np.int64), words, quality))


def agree(giver: Giver, contract: Contract) -> None:
    giver.node.contracts.put(contract, "by a test", time.time_ns())


# What may be asked


@dataclass(frozen=True)
class Words:
    """What the partner may name: of twins that are shown, of hidden ones of any world, of none."""

    ids: Sequence[str]
    attributes: Sequence[str]
    relations: Sequence[str]
    kinds: Sequence[str]
    texts: Sequence[str]


def words_of(schema: Schema, worlds: Sequence[World], names: Names) -> Words:
    """All ids of all worlds, local and opaque ones too, and one that no world has."""
    real = sorted({each for world in worlds for each in world.ids} | {NEVER_IRI})
    opaque = [names.iri(f"{each.rpartition('/')[0]}/", each) for each in real]
    outside = {each.id for world in worlds for _, twin in world.twins for each in twin.external_ids}
    return Words(
        ids=(*real, *opaque, *(each.rpartition("/")[2] for each in real), f"{PARTNER_BASE}P-1"),
        attributes=(*sorted(schema.attributes), "value", "madeUp"),
        relations=[schema.relation(each).iri for each in RELATIONS],
        kinds=[schema.kind(each).iri for each in ("brick:AHU", "rec:Room", POINT, "tm:Process", "tm:Twin")],
        texts=(
            "oak",
            "elm 1",
            "T-1",
            "H-1",
            "campus:T-1",
            "annex:L-1",
            "nothing",
            *(f"L-{n}" for n in range(6)),
            *sorted(outside)[::8],
        ),
    )


def queries(words: Words, random: Random) -> Iterator[QueryAsk]:
    """Every field of an ask, every text field and operator of filters, every attribute."""

    def ask(**given: Any) -> QueryAsk:
        return QueryAsk(
            FORMAT,
            given.pop("bases", (PARTNER_BASE,)),
            given.pop("names", None),
            given.pop("bytes_max", 1 << 26),
            **given,
        )

    yield ask(ids=tuple(words.ids))
    yield ask(ids=tuple(words.ids), bases=())
    yield from (ask(ids=(each,)) for each in words.ids)
    yield from (ask(matches=(MatchAsk(each),)) for each in (None, *words.kinds, "https://made.up/Kind"))
    yield from (ask(matches=(MatchAsk(None, where),)) for where in filters(words, random))
    yield from (ask(searches=(SearchAsk(each),)) for each in (*words.texts, *random.sample(words.ids, 8)))
    for way in ("OUT", "IN", "BOTH"):
        for relation in (None, *words.relations):
            some = tuple(random.sample(words.ids, 12))
            stated = None if relation is None else (relation,)
            yield ask(
                spreads=(SpreadAsk(way, some, stated, random.choice((1, 2, 50)), ours=random.random() < 0.5),)
            )
    for name in words.attributes:
        yield ask(matches=(MatchAsk(),), names=(name,))
        yield ask(figures=(FiguresAsk(None, ("kind",), (name,)), FiguresAsk(None, (name,), ())))
    yield ask(
        figures=(FiguresAsk(None, ("site",), ()), FiguresAsk(None, ("kind", "site"), ("ratedPower", "area")))
    )
    yield from (ask(series=each) for each in series(words, random))
    yield from (ask(matches=(MatchAsk(),), bytes_max=size) for size in (1, 300, 1_500, 6_000))
    yield QueryAsk(FORMAT + 1, (), None, 1 << 20)


def series(words: Words, random: Random) -> Iterator[tuple[SeriesAsk, ...]]:
    """Of all ids at once, and of some: all of it, a part, the last, buckets; some that cannot be read."""
    far_ns, second = 2**63 - 1, 10**9
    bounds = ((0, far_ns), (BEGIN_NS, BEGIN_NS + DAY_NS), (BEGIN_NS - DAY_NS, BEGIN_NS + second), (far_ns, 0))
    forms = ((None, None, ()), (2, None, ()), (None, second, ("MEAN", "P95")), (None, DAY_NS, ("COUNT",)))
    for bound in bounds:
        for form in forms:
            yield tuple(SeriesAsk(each, *bound, *form) for each in words.ids)[:200]
            yield from ((SeriesAsk(each, *bound, *form),) for each in random.sample(words.ids, 3))
    wrong = ((-1, 0), (0, 2**63)), ((None, 0, ("MEAN",)), (None, None, ("SUM",)), (3, second, ("MADE UP",)))
    yield from ((SeriesAsk(words.ids[0], *bound, None, None, ()),) for bound in wrong[0])
    yield from ((SeriesAsk(words.ids[0], 0, far_ns, *form),) for form in wrong[1])


def filters(words: Words, random: Random) -> Iterator[Any]:
    """As they travel. Every text field and every attribute by every operator, with what worlds might have."""
    for field in TextField:
        for operator in Operator:
            yield [
                "text",
                field.value,
                [[operator.value, operand(operator, random.choice((*words.texts, *words.ids)))]],
            ]
    for field in (TextField.LOCAL_ID, TextField.EXTERNAL_ID, TextField.ID, TextField.NAME):
        yield from (["text", field.value, [["eq", each]]] for each in words.texts)
        yield ["text", field.value, [["in", list(words.texts)]]]
        yield ["not", ["text", field.value, [["in", list(words.texts)]]]]
    for name in words.attributes:
        yield ["attribute", name, [["exists", True]], None]
        yield ["not", ["attribute", name, [["exists", True]], None]]
        operator = random.choice(tuple(Operator))
        value = random.choice((0.5, 25.0, "oak 1", True))
        yield [
            "attribute",
            name,
            [[operator.value, operand(operator, value)]],
            random.choice((None, None, "kW")),
        ]


def operand(operator: Operator, value: object) -> object:
    if operator is Operator.EXISTS:
        return True
    return [value] if operator in (Operator.IN, Operator.NOT_IN) else value


def messages(words: Words, random: Random, key: str) -> Iterator[tuple[str, bytes]]:
    """Every kind of message with what may be in it; what a session or a cursor needs is made up."""
    pack = msgspec.msgpack.encode
    yield from (("query", pack(each)) for each in queries(words, random))
    yield "catalogue", pack(CatalogueAsk(FORMAT))
    yield "catalogue", pack(CatalogueAsk(FORMAT + 1))
    for site in (*SITES, "plant", "nothing"):
        yield from (("sync", pack(SyncAsked(site, limit=limit))) for limit in (1, 3, 1_000))
        yield "sync", pack(SyncAsked(site, only_hash=True))
        yield "sync", pack(SyncAsked(site, cursor=random.randbytes(40)))
    for twin in (*random.sample(words.ids, 30), NEVER_IRI):
        document = {"type": random.choice(("FAIL", "SET", "DEGRADE", "DELAY")), "twin": twin, "level": 0.5}
        yield "cascade", pack(begin(random, key, document))
    session = random.randbytes(16)
    yield from (
        ("cascade", pack(each))
        for each in (Fetch(session), End(session), Take(session, []), Act(session, Step(0, Together.AGREE)))
    )
    for attribute in random.sample(words.attributes, 10):
        question = {"kind": random.choice(words.kinds), "op": "SUM", "epsilon": 0.1, "attribute": attribute}
        yield "private", pack(question)
    yield from (
        (kind, body) for kind in KINDS_OF_MESSAGES for body in (b"", b"\xc1", pack({"format": FORMAT}))
    )
    yield "nothing", b""


def begin(random: Random, key: str, document: Mapping[str, object]) -> Begin:
    """A cascade with one event for a twin of the giver."""
    return Begin(
        cascade=random.randbytes(16), horizon_us=3_600_000_000, cell_us=900_000_000, levels=64, seed=1,
        runs=2, start_us=0, ontology="", lit=[key], event_count=1,
        events=[Planned(0, msgspec.json.encode(document))],
    )  # fmt: skip

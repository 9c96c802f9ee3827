"""Under random contracts a partner is told what the contract shows, at every door between servers.

It holds the partner's key and asks what it likes: every kind of message, every attribute, operator, text
field and way, ids of twins that are shown, hidden, or of another world. No more: of two worlds that are the
same as far as the contract shows, and differ in all else, every answer is the same to the byte, refusals too.
No less: it is also that of a server which has only what the contract shows, under one that shows everything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import httpx
import msgspec
import pytest

from api.app import create_app
from federation.asking import (
    FORMAT,
    Catalogue,
    FiguresAsk,
    MatchAsk,
    QueryAnswer,
    QueryAsk,
    SpreadAsk,
    decoded,
)
from federation.contract import Contract, Naming, Purpose, Release
from federation.egress import Place
from federation.opaque import Names
from federation.sync_source import Cursor
from federation.sync_wire import Page, SyncAsked, read_answer
from graph.mesh import Mesh
from graph.values import Change, TwinRecord
from ontology.schema import Schema
from ontology.units import Units
from tests.api.contract_doors import (
    FORMS,
    KINDS_OF_MESSAGES,
    Giver,
    Partner,
    agree,
    begin,
    givers,
    messages,
    partner_in,
    words_of,
)
from tests.federation.hidden_worlds import (
    NEVER,
    PARTNER_BASE,
    Rules,
    World,
    check_fields_are_known,
    in_force,
    otherwise,
    random_contract,
    random_world,
    reduced,
    widest,
)
from tests.simulation.cascade_worlds import fresh_seed

CURSORS = msgspec.msgpack.Decoder(Cursor)
CONTRACTS, SHARE, CONTRACTS_LONG = 1, 120, 60


@dataclass(frozen=True)
class Case:
    """Three servers: two alike as far as the contract shows, and one that has nothing else."""

    contract: Contract
    partner: Partner
    sites: list[Giver]
    worlds: list[World]
    place: str

    @property
    def names(self) -> Names:
        return Names.of(self.sites[0].node.key, self.partner.key)


def worlds_of(schema: Schema, random: Random, contract: Contract) -> list[World]:
    """Where a contract is not in force, it shows nothing."""
    shows = contract if in_force(contract, time.time_ns()) else Contract(contract.partner)
    world = random_world(schema, random)
    return [world, otherwise(schema, random, world, shows), reduced(schema, world, shows)]


def test_every_kind_of_message_and_every_field_is_asked(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    """A new kind of message, or field of one, or of a record, has to be thought of in these tests."""
    check_fields_are_known()
    for form, known in FORMS.items():
        assert {each.name for each in msgspec.structs.fields(form)} == known, form
    with Mesh.open(tmp_path, ontology, units=units) as mesh:
        paths = {getattr(route, "path", "") for route in create_app(mesh).routes}
    found = {path.removeprefix("/federation/") for path in paths if path.startswith("/federation/")}
    assert found == {"identity", *KINDS_OF_MESSAGES}


def test_a_partner_is_told_what_a_random_contract_shows(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    seed = fresh_seed("doors of contracts")
    for number in range(CONTRACTS):
        checked(tmp_path / str(number), ontology, units, f"{seed} {number}", SHARE)


def test_and_under_contracts_of_which_it_is_known_that_they_tell(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    told = Counter[str]()
    for seed in ("rows", "opaque", "figures"):
        told += checked(tmp_path / seed, ontology, units, seed, SHARE // 3)
    assert told["query"] > 25, told


def test_any_leak_would_be_found(tmp_path: Path, ontology: Schema, units: Units) -> None:
    """One more attribute, own field, kind or relation than agreed, at one of two servers: answers differ."""
    with opened(tmp_path, ontology, units, "rows") as case:
        found = {name: differs(case, wider) for name, wider in wider_by_one(ontology, case.contract)}
        hidden = {name for name, is_there in found.items() if is_there is not None}
        assert {name for name in hidden if not found[name]} == set()
        assert len(hidden) > 20 and hidden & {"externalIds", "localId", "name", "value"}, case.place
        assert any("://" in name for name in hidden), case.place


def test_an_event_is_for_a_twin_as_the_partner_may_know_it(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    """By its IRI, and not by a local id that is not shown: whether it is accepted would tell whose it is."""
    with opened(tmp_path, ontology, units, "rows") as case, httpx.Client(timeout=60) as client:
        contract = replace(case.contract, events=frozenset({"FAIL"}))
        agree(case.sites[0], contract)
        shown = Rules(ontology, contract).shown(case.worlds[0])
        named = [twin for _, twin in case.worlds[0].twins if twin.id in shown and twin.local_id]
        assert "localId" not in contract.attributes and named, case.place
        for twin in named:
            for text, status in ((twin.id, 200), (f"campus:{twin.local_id}", 403), (twin.local_id, 403)):
                event = begin(Random(1), case.partner.key, {"type": "FAIL", "twin": text})
                body = msgspec.msgpack.encode(event)
                told = case.partner.told(client, case.sites[0], "cascade", body)
                assert told[0] == status, (case.place, text, told)


def test_groups_are_told_in_the_order_of_their_keys(tmp_path: Path, ontology: Schema, units: Units) -> None:
    """Not in that in which their texts came to the server, of hidden twins perhaps."""
    figures = (FiguresAsk(None, ("assetTag",), ()),)
    asked = msgspec.msgpack.encode(QueryAsk(FORMAT, (), None, 1 << 20, figures=figures))
    with opened(tmp_path, ontology, units, "rows") as case, httpx.Client(timeout=60) as client:
        agree(case.sites[0], widest(ontology, case.contract))
        status, body = case.partner.told(client, case.sites[0], "query", asked)
    assert status == 200, case.place
    keys = [group.keys[0] for group in decoded(body, QueryAnswer).figures[0].groups]
    texts = [key for key in keys if isinstance(key, str)]
    assert len(texts) > 2 and texts == sorted(texts), keys


def test_cursors_of_replicas_tell_nothing_and_serve_their_owner_alone(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    """Page by page, and on after writes out of sight; another partner gets by them what is its own."""
    with (
        opened(tmp_path, ontology, units, "rows") as case,
        partner_in(tmp_path / "other") as other,
        httpx.Client(timeout=60) as client,
    ):
        pages = [list(replicated(client, case.partner, site, b"")) for site in case.sites[:2]]
        assert [told(page) for page in pages[0]] == [told(page) for page in pages[1]], case.place
        assert len(pages[0]) > 1
        last = [each[-1].cursor for each in pages]
        for number, site in enumerate(case.sites[:2]):
            hidden = [
                TwinRecord(f"https://twinmesh.invalid/campus/NEW-{n}", (ontology.kind(NEVER).iri,))
                for n in range(1 + 4 * number)
            ]
            site.running.mesh.twin("campus").apply(Change(put_twins=tuple(hidden)))
        more = [
            list(replicated(client, case.partner, site, cursor))
            for site, cursor in zip(case.sites, last, strict=False)
        ]
        assert [told(page) for page in more[0]] == [told(page) for page in more[1]]
        assert not any(page.records.ids or page.gone or page.starts for page in more[0])
        narrow = replace(case.contract, partner=other.key, kinds=frozenset(), relations=frozenset())
        giver = case.sites[0]
        giver.node.peers.add("other", Place("http", "127.0.0.1", 2), other.identity(), time.time_ns())
        agree(giver, narrow)
        for cursor in (last[0], pages[0][0].cursor):
            assert not any(page.records.ids or page.gone for page in replicated(client, other, giver, cursor))


def replicated(client: httpx.Client, partner: Partner, giver: Giver, cursor: bytes) -> Iterator[Page]:
    while True:
        body = msgspec.msgpack.encode(SyncAsked("campus", cursor, 3))
        status, answer = partner.told(client, giver, "sync", body)
        assert status == 200, answer
        page = read_answer(answer, "giver")
        assert isinstance(page, Page)
        yield page
        if page.done:
            return
        cursor = page.cursor


def told(page: Page) -> object:
    """Without the times of later commits, and the marks of journals."""
    known = CURSORS.decode(page.cursor)
    at = msgspec.structs.replace(CURSORS.decode(page.at), journals=()) if page.at else None
    fixed = msgspec.structs.replace(page, cursor=b"", at=b"", time_ns=0)
    records = msgspec.structs.replace(page.records, time_ns=0)
    return at, msgspec.structs.replace(known, journals=()), msgspec.structs.replace(fixed, records=records)


def wider_by_one(schema: Schema, contract: Contract) -> Iterator[tuple[str, Contract]]:
    whole = widest(schema, contract)
    for field in ("attributes", "kinds", "relations"):
        agreed = getattr(contract, field)
        for name in sorted(getattr(whole, field) - agreed):
            yield name, replace(contract, **{field: agreed | {name}})


def differs(case: Case, wider: Contract) -> bool | None:
    """Whether a leak is seen; None where there is nothing to leak."""
    schema = case.sites[0].running.mesh.schema
    if reduced(schema, case.worlds[0], wider) == reduced(schema, case.worlds[0], case.contract):
        return None
    agree(case.sites[0], wider)
    bases = (PARTNER_BASE,)
    asked = (
        QueryAsk(FORMAT, bases, None, 1 << 26, matches=(MatchAsk(),)),
        QueryAsk(FORMAT, bases, None, 1 << 26, spreads=(SpreadAsk("BOTH", tuple(case.worlds[0].ids)),)),
    )
    with httpx.Client(timeout=60) as client:
        for body in map(msgspec.msgpack.encode, asked):
            one, other = (case.partner.told(client, site, "query", body) for site in case.sites[:2])
            if alike("query", one) != alike("query", other):
                return True
    return False


@pytest.mark.long
def test_a_partner_is_told_what_any_contract_shows(tmp_path: Path, ontology: Schema, units: Units) -> None:
    seed, told = fresh_seed("doors of many contracts"), Counter[str]()
    for number in range(CONTRACTS_LONG):
        told += checked(tmp_path / str(number), ontology, units, f"{seed} {number}", None)
    print(f"{CONTRACTS_LONG} contracts, answers with something in them: {dict(told)}")


def contract_for(schema: Schema, random: Random, partner: str, kind: str) -> Contract:
    """At random; of some kinds it is known what they are for."""
    drawn = random_contract(schema, random, partner, time.time_ns())
    if kind not in ("rows", "opaque", "figures"):
        return drawn
    purposes = {Purpose.QUERY, Purpose.CASCADE, Purpose.PRIVATE, *([Purpose.SYNC] if kind == "rows" else [])}
    return replace(
        drawn,
        sites=frozenset({"campus"}),
        kinds=drawn.kinds | {schema.kind("brick:AHU").iri, schema.kind("rec:Room").iri},
        release=Release.AGGREGATES if kind == "figures" else Release.ROWS,
        ids=Naming.OPAQUE if kind == "opaque" else Naming.PLAIN,
        attributes=drawn.attributes - {"localId", "externalIds"} | {"ratedPower", "area", "assetTag"},
        purposes=frozenset(purposes),
        starts_ns=0,
        expires_ns=2**62,
        rows_per_answer=1_000,
    )


def checked(folder: Path, ontology: Schema, units: Units, seed: str, share: int | None) -> Counter[str]:
    """How many messages of each kind were answered with something in it, alike."""
    with opened(folder, ontology, units, seed) as case:
        return compared(case, ontology, Random(seed), share)


@contextmanager
def opened(folder: Path, ontology: Schema, units: Units, seed: str) -> Generator[Case]:
    random = Random(seed)
    with partner_in(folder / "partner") as partner:
        contract = contract_for(ontology, random, partner.key, seed)
        worlds = worlds_of(ontology, random, contract)
        with givers(folder, ontology, units, worlds, partner) as sites:
            for site, agreed in zip(sites, (contract, contract, widest(ontology, contract)), strict=True):
                agree(site, agreed)
            yield Case(contract, partner, sites, worlds, f"seed {seed}, {contract}")


def compared(case: Case, ontology: Schema, random: Random, share: int | None) -> Counter[str]:
    words = words_of(ontology, case.worlds, case.names)
    asked = list(messages(words, random, case.partner.key))
    asked = asked if share is None else random.sample(asked, min(share, len(asked)))
    told = Counter[str]()
    with httpx.Client(timeout=60) as client:
        for kind, body in asked:
            answers = [case.partner.told(client, site, kind, body) for site in case.sites]
            place = f"{case.place}, {kind} {body!r}"
            assert alike(kind, answers[0]) == alike(kind, answers[1]), place
            if kind in ("query", "catalogue", "sync") and not is_of_terms(answers[0]):
                assert bare(kind, answers[0]) == bare(kind, answers[2]), place
            told[kind] += answers[0][0] == 200
    return told


def alike(kind: str, answer: tuple[int, bytes]) -> tuple[int, object]:
    """Without the marks of journals in cursors: they are keyed digests of all that was ever written."""
    status, body = answer
    if kind != "sync" or status != 200:
        return answer
    page = read_answer(body, "giver")
    if not isinstance(page, Page):
        return answer
    cursor = CURSORS.decode(page.cursor)
    plain = msgspec.structs.replace(cursor, journals=())
    return status, (msgspec.structs.replace(page, cursor=b""), plain)


def bare(kind: str, answer: tuple[int, bytes]) -> tuple[int, object]:
    """Without what tells of the contract alone: the attributes that it names (where it names more, there is
    nothing of it), and that readings are withheld or lie out of its window."""
    status, body = answer
    if kind == "query" and status == 200:
        made = decoded(body, QueryAnswer)
        series = tuple(msgspec.structs.replace(each, is_less=False, code=None) for each in made.series)
        return status, msgspec.structs.replace(made, series=series)
    if kind == "catalogue" and status == 200:
        return status, msgspec.structs.replace(decoded(body, Catalogue), names=())
    return alike(kind, answer)


def is_of_terms(answer: tuple[int, bytes]) -> bool:
    """A refusal that names no fact but that the contract does not name what was asked for."""
    return answer[0] == 403 and b"CONTRACT_FIGURES" in answer[1]

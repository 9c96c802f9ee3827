"""Peers that hang, lie or talk garbage, and contracts that show little."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import msgspec
import pytest

from api import federation_queries
from api.config import Federation, Settings
from federation.answering import answer
from federation.asking import FORMAT, QueryAnswer, QueryAsk
from federation.contract import Release
from federation.records import Cells, SiteRecords, Texts
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, campus_change, iri, plant_change
from tests.api.federated_sites import Group, at, group_of, wait_until

LINE, PRESS, AHU = iri("plant", "LINE-1"), iri("plant", "PRESS-1"), iri("campus", "AHU-1")
CHILLER = iri("campus", "CH-1")
CHANGES = {"campus": [campus_change()], "plant": [plant_change()]}
ASSETS = '{ twins(kind: "tm:Process") { nodes { id name } } }'
LINKS = at(
    '{ node(id: "%s") { id name out(relation: "tm:supplies") { nodes { relation twin { id name } } } } }', AHU
)
BACK = at(
    '{ node(id: "%s") { name in(relation: "tm:supplies") { nodes { relation twin { id name } } } } }', LINE
)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    """Contracts in both directions; each test says which."""
    with group_of(tmp_path_factory.mktemp("bad"), ontology, units, CHANGES) as made:
        made.share_all()
        made.settle("campus", "plant")
        made.settle("plant", "campus")
        yield made


def source(told: dict[str, Any], site: str = "plant") -> dict[str, Any]:
    return next(each for each in told["extensions"]["sources"] if each["site"] == site)


# Peers that do not do as they should

Lie = Callable[[QueryAnswer], QueryAnswer | bytes]


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lie], None]:
    """Whoever is asked answers with something else."""

    def begin(lie: Lie) -> None:
        def lied(*given: Any) -> tuple[QueryAnswer, bytes]:
            made, _ = answer(*given)
            told = lie(made)
            return made, told if isinstance(told, bytes) else msgspec.msgpack.encode(told)

        monkeypatch.setattr(federation_queries, "answer", lied)

    return begin


def changed(made: QueryAnswer, **changes: Any) -> QueryAnswer:
    sites = tuple(msgspec.structs.replace(site, **changes) for site in made.sites)
    return msgspec.structs.replace(made, sites=sites)


GARBAGE: dict[str, Lie] = {
    "no message": lambda _: b"\xc1 no message",
    "another message": lambda _: msgspec.msgpack.encode({"sites": 1}),
    "deep": lambda _: b"\x91" * 100_000,
    "more fields": lambda made: msgspec.msgpack.encode({"sites": [], "is_cut": False, "more": 1}),
    "columns of other lengths": lambda made: changed(made, kinds=(0,) * 50),
    "places that are not there": lambda made: changed(made, names=Texts((99,), ("x",))),
    "places below nought": lambda made: changed(made, names=Texts((-1,), ("x",))),
    "no numbers": lambda made: changed(made, attributes=(Cells("area", (0,), (float("nan"),)),)),
    "no JSON": lambda made: changed(made, attributes=(Cells("area", (0,), (b"x",)),)),
    "no IRIs": lambda made: changed(made, ids=tuple(f"{site} <x>" for site in made.sites[0].ids)),
    "twins twice": lambda made: changed(
        made, ids=made.sites[0].ids * 2, kinds=made.sites[0].kinds * 2, revisions=made.sites[0].revisions * 2
    ),
    "a revision beyond all": lambda made: changed(made, revision=2**63),
    "too large": lambda made: changed(made, attributes=(Cells("assetTag", (0,), ("x" * (2 << 20),)),)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_left_out(group: Group, lying: Callable[[Lie], None], name: str) -> None:
    lying(GARBAGE[name])
    told = group["campus"].running.ask(ASSETS)
    assert told["data"] == {"twins": {"nodes": []}}
    assert source(told)["code"] in ("PEER_GARBAGE", "PEER_TOO_LARGE"), told
    assert source(told)["status"] == "PARTIAL"
    assert told["extensions"]["completeness"] == "PARTIAL"


def renamed(made: QueryAnswer, new: str) -> QueryAnswer:
    """As if the line were another twin."""
    site = made.sites[0]
    return changed(made, ids=tuple(new if each == LINE else each for each in site.ids))


@pytest.mark.parametrize("victim", [CHILLER, "https://somebody.example/X-1"])
def test_a_peer_cannot_tell_of_twins_of_others(
    group: Group, lying: Callable[[Lie], None], victim: str
) -> None:
    lying(lambda made: renamed(made, victim))
    told = group["campus"].running.ask("{ twins(first: 100) { nodes { id name site } } }")
    own = {twin["id"]: twin for twin in told["data"]["twins"]["nodes"] if twin["site"] == "campus"}
    assert own[CHILLER]["name"] == "Chiller 1"
    assert [twin["id"] for twin in told["data"]["twins"]["nodes"]].count(victim) == (victim == CHILLER)
    assert source(told)["code"] == "PEER_FOREIGN"
    assert told["extensions"]["completeness"] == "PARTIAL"


def test_a_peer_cannot_speak_for_another_site(group: Group, lying: Callable[[Lie], None]) -> None:
    lying(lambda made: changed(made, site="campus"))
    told = group["campus"].running.ask(ASSETS)
    assert told["data"] == {"twins": {"nodes": []}}
    assert source(told)["code"] == "PEER_FOREIGN"


def test_an_error_of_a_peer_is_told_at_the_field_that_needed_it(
    group: Group, lying: Callable[[Lie], None]
) -> None:
    lying(lambda _: b"\xc1")
    told = group["plant"].running.ask(BACK)
    line = told["data"]["node"]
    assert line["name"] == "Packing line"
    by_name = [each["twin"] and each["twin"]["name"] for each in line["in"]["nodes"]]
    assert sorted(by_name, key=str) == [None, "Press"]
    (error,) = told["errors"]
    assert error["extensions"]["code"] == "PEER_GARBAGE"
    assert error["path"][:3] == ["node", "in", "nodes"]
    assert error["path"][-1] == "twin"
    alone = group["plant"].running.ask(
        at('{ here: node(id: "%s") { name } there: node(id: "%s") { name } }', LINE, AHU)
    )
    assert alone["data"] == {"here": {"name": "Packing line"}, "there": None}
    assert [each["path"] for each in alone["errors"]] == [["there"]]


def test_a_peer_that_hangs_costs_its_deadline_once(
    tmp_path_factory: pytest.TempPathFactory,
    ontology: Schema,
    units: Units,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, asked = threading.Event(), list[QueryAsk]()

    def hanging(*given: Any) -> Any:
        asked.append(given[0])
        ended.wait(60)
        return answer(*given)

    federation = Federation(refresh_s=0.2, query_deadline_s=1.0, deadline_s=30.0, query_pause_s=3_600.0)
    folder = tmp_path_factory.mktemp("hangs")
    with group_of(folder, ontology, units, CHANGES, Settings(federation=federation)) as group:
        group.share_all()
        wait_until(lambda: bool(group["campus"].running.ask(ASSETS)["extensions"].get("sources")), "heard")
        monkeypatch.setattr(federation_queries, "answer", hanging)
        try:
            told = [group["campus"].running.ask(ASSETS) for _ in range(3)]
        finally:
            ended.set()
    for each in told:
        assert each["data"] == {"twins": {"nodes": []}}
        assert source(each)["status"] == "TIMED_OUT"
        assert each["extensions"]["completeness"] == "PARTIAL"
    assert len(asked) <= 1  # and then it was left alone


# Contracts that show little


@pytest.fixture
def little(group: Group) -> Generator[Callable[..., None]]:
    """Another contract of the plant with the campus, for one test."""

    def agree(**narrower: Any) -> None:
        # Twice: when the second version is told, what the first one said has been taken in.
        for _ in range(2):
            group.share("plant", "campus", **narrower)
            wait_until(lambda: heard(group) >= version_of(group), "the campus hears of the contract")

    yield agree
    agree()


def version_of(group: Group) -> int:
    return group["plant"].node.contracts.grant(group["campus"].key).version


def heard(group: Group) -> int:
    """The version of the contract under which the plant told last what it shows."""
    entries = group["plant"].node.ledger.entries()
    return max((entry.version for entry in entries if entry.kind == "catalogue"), default=0)


def kinds(*names: str) -> frozenset[str]:
    return frozenset(SCHEMA.kind(name).iri for name in names)


def test_a_hidden_attribute_is_as_one_that_is_not_there(group: Group, little: Callable[..., None]) -> None:
    little(kinds=kinds("tm:Process"), attributes=frozenset({"name"}))
    ask = group["campus"].running.ask
    shown = '{ twins(kind: "tm:Process", filter: {name: {eq: "Packing line"}}) { nodes { id } } }'
    assert ask(shown)["data"]["twins"]["nodes"] == [{"id": LINE}]
    hidden = '{ twins(kind: "tm:Process", filter: {%s}) { totalCount } }'
    for test in (
        'attribute: [{name: "valuePerHour", gt: 0}]',
        'attribute: [{name: "valuePerHour", exists: true}]',
        'externalId: {contains: "Line1"}',
        "externalId: {exists: true}",
    ):
        assert ask(at(hidden, test))["data"]["twins"]["totalCount"] == 0, test
    absent = ask(at(hidden, 'attribute: [{name: "valuePerHour", exists: false}]'))
    assert absent["data"]["twins"]["totalCount"] == 1
    assert source(absent)["withheld"] == ["valuePerHour"]
    assert absent["extensions"]["completeness"] == "PARTIAL"
    told = ask(at('{ node(id: "%s") { name externalIds { id } attributes { name } } }', LINE))
    assert told["data"]["node"] == {"name": "Packing line", "externalIds": [], "attributes": []}
    ordered = """{ twins(kind: "tm:Process", orderBy: [{by: "valuePerHour"}]) {
        nodes { attribute(name: "valuePerHour") { value } } } }"""
    assert ask(ordered)["data"]["twins"]["nodes"] == [{"attribute": None}]
    measured = '{ aggregate(kind: "tm:Process", measures: [{op: SUM, of: "valuePerHour"}]) { values } }'
    assert ask(measured)["data"]["aggregate"] == [{"values": {"sum_valuePerHour": None}}]
    assert ask('{ search(text: "Line1") { totalCount } }')["data"]["search"]["totalCount"] == 0


def test_hidden_twins_and_relations_are_not_there(group: Group, little: Callable[..., None]) -> None:
    ask = group["campus"].running.ask
    little(kinds=kinds("tm:Process"))
    assert ask(BACK)["data"]["node"]["in"]["nodes"] == [
        {"relation": "tm:supplies", "twin": {"id": AHU, "name": "Air handler 1"}}
    ]
    assert ask(at('{ node(id: "%s") { id } }', PRESS))["data"] == {"node": None}
    little(relations=frozenset())
    assert ask(LINKS)["data"]["node"]["out"]["nodes"] == []
    assert ask(at('{ node(id: "%s") { id } }', PRESS))["data"] == {"node": {"id": PRESS}}


def test_no_more_rows_than_agreed(group: Group, little: Callable[..., None]) -> None:
    little(rows_per_answer=2)
    told = group["campus"].running.ask('{ twins(filter: {site: {eq: "plant"}}) { totalCount } }')
    assert told["data"]["twins"]["totalCount"] == 2
    assert source(told)["status"] == "PARTIAL"


def test_no_contract_no_rows(group: Group, little: Callable[..., None]) -> None:
    little(release=Release.AGGREGATES)
    told = group["campus"].running.ask(ASSETS)
    assert told["data"] == {"twins": {"nodes": []}}
    assert source(told)["status"] == "DENIED"
    assert source(told)["code"] == "CONTRACT_AGGREGATES"


def test_an_ask_that_claims_our_twins_for_its_own(group: Group) -> None:
    """The bases that an asker states are its own word: ours and those of others are not its to name."""
    node, peer = group["campus"].node, group["campus"].node.peers.find("plant")
    ask = QueryAsk(FORMAT, (iri("plant", ""), iri("campus", "")), (), 1 << 20, ids=(LINE,))
    told = call(node, peer, msgspec.msgpack.encode(ask))
    assert [twin for site in told.sites for twin in site.ids] == [LINE]
    assert told.sites[0].names.texts == ()  # nothing but what was asked for
    assert isinstance(told.sites[0], SiteRecords)


def call(node: Any, peer: Any, body: bytes) -> QueryAnswer:
    answered = asyncio.run(node.http_peer(peer).call("query", "query", body))
    return msgspec.msgpack.decode(answered.body, type=QueryAnswer)

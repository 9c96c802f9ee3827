"""A peer that does not answer is answered for by its replica, and the answer says so."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from api import federation_queries
from api.sync_service import place_of
from federation.asking import QueryAnswer
from federation.contract import Purpose
from federation.sync import SyncLimits, sync_peer
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import campus_change, iri, plant_change
from tests.api.federated_sites import Group, at, group_of

LINE = iri("plant", "LINE-1")
QUESTIONS = (
    '{ twins(kind: "tm:Asset", first: 50) { totalCount nodes { id kind attributes { name value unit } } } }',
    at('{ node(id: "%s") { __typename id name } }', LINE),
    at('{ node(id: "%s") { name in(relation: "tm:partOf") { nodes { relation twin { id name } } } } }', LINE),
    '{ aggregate(groupBy: ["kind", "site"], measures: [{op: COUNT}]) { keys values } }',
    '{ search(text: "Packing") { totalCount nodes { id site } } }',
)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    changes = {"campus": [campus_change()], "plant": [plant_change()]}
    with group_of(tmp_path_factory.mktemp("stale"), ontology, units, changes) as made:
        made.share("plant", "campus", purposes=frozenset({Purpose.QUERY, Purpose.SYNC}))
        made.settle("campus", "plant")
        yield made


def garble(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> tuple[QueryAnswer, bytes]:
        return QueryAnswer(()), b"\xc1"

    monkeypatch.setattr(federation_queries, "answer", nothing)


def plant_of(answer: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in answer["extensions"]["sources"] if each["site"] == "plant")


def test_without_a_replica_it_is_missed(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    garble(monkeypatch)
    answer = group["campus"].running.ask(QUESTIONS[1])
    assert answer["data"] == {"node": None}
    assert plant_of(answer)["code"] == "PEER_GARBAGE"


def test_a_replica_answers_for_it(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    campus = group["campus"]
    client = campus.node.http_peer(campus.node.peers.find("plant"))
    results = asyncio.run(sync_peer(client, place_of(campus.running.mesh), SyncLimits(100, 1_000)))
    assert [each.code for each in results] == [None]
    fresh = [campus.running.ask(question) for question in QUESTIONS]
    garble(monkeypatch)
    for question, before in zip(QUESTIONS, fresh, strict=True):
        answer = campus.running.ask(question)
        assert "errors" not in answer, answer
        assert answer["data"] == before["data"], question
        told = plant_of(answer)
        assert (told["status"], told["code"]) == ("STALE", "PEER_GARBAGE")
        assert told["ageS"] >= 0 and told["rows"] > 0
        assert told["revision"] == plant_of(before)["revision"]
        assert answer["extensions"]["completeness"] == "PARTIAL"
    # What the replica does not have may be there all the same.
    answer = campus.running.ask(at('{ node(id: "%s") { id } }', iri("plant", "NEW-1")))
    assert answer["data"] == {"node": None}
    assert answer["errors"][0]["path"] == ["node"]

"""Peers end to end: two real servers that add each other by the command line, greet, and are told apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest

from api.policy import Role
from federation.keys import KEY_FILE
from federation.trust import HEADER
from graph.mesh import Mesh
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import plant_change, served
from tests.api.peer_pair import Site, befriend, greet, greeting, post, refused, run, two_sites


@pytest.fixture
def pair(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield sites


@pytest.fixture
def friends(pair: tuple[Site, Site]) -> tuple[Site, Site]:
    return befriend(pair)


def test_identity_is_open_and_says_no_more_than_it_must(pair: tuple[Site, Site]) -> None:
    campus, _ = pair
    answer = httpx.get(f"{campus.url}/federation/identity")
    told = answer.json()
    assert answer.status_code == 200
    assert set(told) == {"key", "fingerprint", "sites", "version", "schema", "time_ms"}
    assert told["sites"] == [{"name": "campus", "base": "https://twinmesh.invalid/campus/"}]
    assert told["fingerprint"] == campus.key
    assert told["schema"] == campus.running.mesh.schema.version
    assert abs(told["time_ms"] - time.time() * 1_000) < 60_000
    assert (campus.folder / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_friends_greet(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    for one, name, other in ((campus, "plant", plant), (plant, "campus", campus)):
        greeted = greet(one, name)
        assert greeted.identity.fingerprint == other.key
        assert [site.name for site in greeted.identity.sites] == [name]
        assert abs(greeted.skew_s) < 10


def test_adding_needs_a_word_about_the_key(pair: tuple[Site, Site]) -> None:
    campus, plant = pair
    code, told = campus.run("add", plant.url)
    assert (code, told["code"]) == (1, "PEER_UNCONFIRMED")
    assert plant.key in told["hint"], "so that it can be repeated with it"
    assert campus.run("list")[1]["peers"] == []
    code, told = campus.run("add", plant.url, "--fingerprint", campus.key)
    assert (code, told["code"]) == (1, "PEER_FINGERPRINT")
    code, told = campus.run("add", plant.url, "--yes")
    assert code == 0
    assert told["added"]["fingerprint"] == plant.key
    (listed,) = campus.run("list")[1]["peers"]
    assert (listed["name"], listed["url"], listed["sites"]) == ("plant", plant.url, ["plant"])
    assert listed["contract"] is None


def test_a_changed_key_is_refused(friends: tuple[Site, Site], ontology: Schema, tmp_path: Path) -> None:
    """Another server stands where the plant stood."""
    campus, _ = friends
    with Mesh.open(tmp_path / "other", ontology) as mesh:
        mesh.create_site("plant").apply(plant_change())
        with served(mesh, dev=False) as stranger:
            # The pinned place now leads to the stranger.
            with campus.node.store.writing() as connection:
                connection.execute("UPDATE peers SET url = ?", (stranger.url,))
            for words in (("add", stranger.url), ("add", stranger.url, "--yes")):
                code, told = campus.run(*words)
                assert (code, told["code"]) == (1, "PEER_KEY_CHANGED")
                assert "peers remove plant" in told["hint"]
            client = campus.node.http_peer(campus.node.peers.find("plant"))
            assert refused(lambda: asyncio.run(client.identity())).code == "PEER_KEY_CHANGED"
            assert refused(lambda: greet(campus, "plant")).code == "PEER_REFUSED"


def test_a_peer_is_unknown_until_both_have_added(pair: tuple[Site, Site]) -> None:
    campus, plant = pair
    campus.run("add", plant.url, "--yes")
    error = refused(lambda: greet(campus, "plant"))
    assert error.code == "PEER_REFUSED"
    assert "PEER_UNKNOWN" in error.message
    plant.run("add", campus.url, "--yes")
    assert greet(campus, "plant").identity.fingerprint == plant.key
    plant.run("remove", "campus")  # on a running server, at once
    assert "PEER_UNKNOWN" in refused(lambda: greet(campus, "plant")).message


def test_the_door_refuses_with_codes(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    token, body = greeting(campus, plant)
    assert post(plant.url, token, body).status_code == 200
    foreign = msgspec.json.encode(plant.node.identity(plant.running.mesh))
    cases = {
        "ENVELOPE_REPLAYED": (token, body),
        "ENVELOPE_MISSING": (None, body),
        "ENVELOPE_MALFORMED": ("x", body),
        "ENVELOPE_AUDIENCE": greeting(campus, plant, audience="x" * 43),
        "ENVELOPE_KIND": greeting(campus, plant, kind="plan"),
        "ENVELOPE_BODY": (greeting(campus, plant)[0], body[:-1] + b" "),
        "BODY_TOO_LARGE": (greeting(campus, plant)[0], body + b" "),
        "BODY_INVALID": greeting(campus, plant, body=b"[]"),
        "PEER_KEY_INVALID": greeting(campus, plant, body=foreign),
    }
    answers = {code: post(plant.url, *case) for code, case in cases.items()}
    assert {code: answer.json()["code"] for code, answer in answers.items()} == {code: code for code in cases}
    assert {answer.status_code for answer in answers.values()} == {400, 403, 413}
    assert all(HEADER not in answer.headers for answer in answers.values())


def test_an_envelope_opens_no_other_door_and_a_token_not_this_one(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    token, body = greeting(campus, plant)
    assert httpx.post(f"{plant.url}/graphql", content=body, headers={HEADER: token}).status_code == 401
    admin = plant.running.tokens.create("admin", Role.ADMIN)
    bearer = {"Authorization": f"Bearer {admin}"}
    answer = post(plant.url, None, body, **bearer)
    assert (answer.status_code, answer.json()["code"]) == (403, "ENVELOPE_MISSING")
    page = httpx.get(f"{plant.url}/federation/identity", headers={"Origin": "https://evil.example"})
    assert page.json()["code"] == "ORIGIN_REFUSED"


def test_doctor_tells_of_peers(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    _, told = run("doctor", "--data", str(campus.folder))
    found = {each["name"]: each for each in told["findings"]}
    assert found["peer plant"]["state"] == "ok"
    assert found["peer plant clock"]["detail"] == "clocks agree"
    assert found["peer plant schema"]["state"] == "ok"
    assert found["peer plant contract"]["state"] == "absent"
    plant.run("remove", "campus")
    _, told = run("doctor", "--data", str(campus.folder))
    found = {each["name"]: each for each in told["findings"]}
    assert found["peer plant"]["state"] == "problem"
    assert "PEER_UNKNOWN" in found["peer plant"]["detail"]

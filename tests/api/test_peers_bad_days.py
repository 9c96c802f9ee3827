"""Bad days between servers: floods, slow bodies, clocks an hour off, circles, other schemas."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
from joserfc import jws

from api.config import Federation, Settings
from federation.contract import Contract, Purpose, Release
from federation.egress import place_of
from federation.keys import KEY_FILE
from federation.peers import Identity, SiteName
from federation.trust import ALGORITHM, HEADER, Message, clock_ms, read_claims, seal
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import served
from tests.api.peer_pair import SETTINGS, Site, befriend, greet, greeting, post, run, two_sites
from tests.federation import bad_peers
from tests.federation.bad_peers import OK, Behave, bad_peer, says
from tests.federation.trust_helpers import make_key

STRICT = Settings(
    federation=Federation(
        hello_per_minute=3, identity_per_minute=4, calls_per_minute=40, deadline_s=0.5, body_bytes_max=4_096
    )
)
HOUR_MS = 3_600_000


@pytest.fixture
def friends(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    """As two friends, but their servers are strict."""
    with two_sites(tmp_path, ontology, units, STRICT) as sites:
        yield befriend(sites)


def codes(site: Site, tokens: list[tuple[str, bytes]]) -> list[str]:
    """What a site's door says to each."""
    answers = [post(site.url, *each) for each in tokens]
    return ["ok" if answer.status_code == 200 else answer.json()["code"] for answer in answers]


def test_a_flood_is_stopped_by_peer_and_by_address(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    told = codes(plant, [greeting(campus, plant) for _ in range(6)])
    assert told == ["ok"] * 3 + ["RATE_LIMITED"] * 3
    assert post(plant.url, *greeting(campus, plant)).status_code == 429
    with plant.node.store.writing() as connection:
        (kept,) = connection.execute("SELECT count(*) FROM nonces").fetchone()
    assert kept == 3, "what is refused costs no disk"
    told = codes(plant, [("x", b"")] * 60)
    assert set(told) == {"ENVELOPE_MALFORMED", "RATE_LIMITED"}
    assert told.count("ENVELOPE_MALFORMED") <= 40
    seen = [httpx.get(f"{plant.url}/federation/identity").status_code for _ in range(8)]
    assert set(seen) == {200, 429}
    assert httpx.get(f"{plant.url}/livez").status_code == 200


def test_a_body_that_never_comes_is_not_waited_for(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    token, body = greeting(campus, plant)
    port = int(plant.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST /federation/hello HTTP/1.1\r\nhost: x\r\n{HEADER}: {token}\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:10])
        answer = connection.recv(65_536)
    assert b"429" in answer.partition(b"\r\n")[0]
    assert b"BODY_TOO_SLOW" in answer


def test_a_large_body_is_refused_before_it_is_read(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    token, _ = greeting(campus, plant, body=bytes(4_097))
    port = int(plant.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST /federation/hello HTTP/1.1\r\nhost: x\r\n{HEADER}: {token}\r\n"
        connection.sendall(f"{head}content-length: 4097\r\n\r\n".encode())  # and not one byte of it
        answer = connection.recv(65_536)
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert b"BODY_TOO_LARGE" in answer


def test_a_clock_an_hour_off_is_told_as_that(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    message = Message(plant.key, "hello", "greeting", b"{}")
    for off_ms, code in ((-HOUR_MS, "ENVELOPE_EXPIRED"), (HOUR_MS, "ENVELOPE_FUTURE")):
        sealed = seal(campus.node.key, message, SETTINGS.rules, clock_ms() + off_ms)
        answer = post(plant.url, sealed.token, sealed.body).json()
        assert answer["code"] == code
        assert "NTP" in answer["hint"]


def test_a_circle_is_cut_at_the_door(friends: tuple[Site, Site], tmp_path: Path) -> None:
    """Plant asked campus, and campus asks plant for it: with another server between, and without.

    `seal` refuses a circle, so these are signed by hand: a peer's program may be of another make.
    """
    campus, plant = friends
    other = make_key(tmp_path / "third").fingerprint

    def hopped(*hops: str) -> tuple[str, bytes]:
        sealed = seal(campus.node.key, Message(plant.key, "hello", "greeting", b"{}"), SETTINGS.rules)
        claims = msgspec.structs.replace(read_claims(sealed.token), hops=(*hops, campus.key))
        header, private = {"alg": ALGORITHM, "typ": "twinmesh"}, campus.node.key.private
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, private, algorithms=[ALGORITHM]), b"{}"

    many = tuple(f"{n:043}" for n in range(20))
    told = codes(plant, [hopped(plant.key), hopped(plant.key, other), hopped(campus.key), hopped(*many)])
    assert told == ["FEDERATION_LOOP", "FEDERATION_LOOP", "FEDERATION_LOOP", "FEDERATION_HOPS"]
    assert codes(plant, [hopped(other)]) == ["BODY_INVALID"], "the way is right, the greeting is none"


def doctor(site: Site) -> dict[str, dict[str, str]]:
    """What doctor says, by name."""
    _, told = run("doctor", "--data", str(site.folder))
    return {each["name"]: each for each in told["findings"]}


def answers_identity(identity: Identity) -> Behave:
    body = msgspec.json.encode(identity)
    return says(OK + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(("ahead_ms", "way"), [(HOUR_MS, "ahead of"), (-HOUR_MS, "behind")])
def test_doctor_measures_clock_version_and_schema(
    friends: tuple[Site, Site], tmp_path: Path, ahead_ms: int, way: str
) -> None:
    campus, _ = friends
    key = make_key(tmp_path / "third").public
    sites = (SiteName("dock", "https://dock.example/"),)
    identity = Identity(key.x, key.fingerprint, sites, "9.9.9", "other", clock_ms() + ahead_ms)
    with bad_peer(answers_identity(identity)) as dock:
        campus.node.peers.add("dock", place_of(dock.url), identity, time.time_ns())
        found = doctor(campus)
    assert found["peer dock clock"]["state"] == "problem"
    assert f"s {way} ours" in found["peer dock clock"]["detail"]
    seconds = float(found["peer dock clock"]["detail"].split()[3])
    assert abs(seconds - 3_600) < 60
    assert found["peer dock version"]["state"] == "warning"
    assert "9.9.9" in found["peer dock version"]["detail"]
    assert found["peer dock schema"]["state"] == "warning"
    assert "other" in found["peer dock schema"]["detail"]
    assert found["peer dock"]["state"] == "problem", "it never answers a greeting"


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (bad_peers.hangs, "PEER_TIMEOUT"),
        (bad_peers.drips, "PEER_TIMEOUT"),
        (bad_peers.floods, "PEER_TOO_LARGE"),
        (says(b"garbage"), "PEER_GARBAGE"),
        (says(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n"), "PEER_REDIRECTS"),
    ],
)
def test_doctor_and_add_survive_bad_peers(
    friends: tuple[Site, Site], tmp_path: Path, behave: Behave, code: str
) -> None:
    campus, _ = friends
    with (campus.folder / "twinmesh.toml").open("a") as settings:
        settings.write("\n[federation]\ndeadline_s = 0.5\n")
    key = make_key(tmp_path / "third").public
    identity = Identity(key.x, key.fingerprint, (), "1", "s", 0)
    with bad_peer(behave) as dock:
        assert campus.run("add", dock.url, "--yes")[1]["code"] == code
        campus.node.peers.add("dock", place_of(dock.url), identity, time.time_ns())
        found = doctor(campus)
    assert found["peer dock"]["state"] == "problem"
    assert found["peer dock"]["detail"].startswith(code)
    assert found["peer plant"]["state"] == "ok", "the others are told of all the same"


def test_doctor_tells_when_contracts_end(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    now_ns, day_ns = time.time_ns(), 86_400 * 10**9
    contract = Contract(plant.key, release=Release.ROWS, purposes=frozenset({Purpose.QUERY}))
    for days, state, says_ in ((-1, "problem", "expired"), (3, "warning", "3 days"), (90, "ok", "90 days")):
        ends = replace(contract, expires_ns=now_ns + days * day_ns + day_ns // 10)
        campus.node.contracts.put(ends, "", now_ns)
        found = doctor(campus)["peer plant contract"]
        assert (found["state"], says_ in found["detail"]) == (state, True)


def test_doctor_tells_of_a_changed_ledger_and_an_open_key(friends: tuple[Site, Site]) -> None:
    campus, _ = friends
    campus.node.contracts.put(Contract("p"), "", 1)
    assert doctor(campus)["ledger and contracts"]["state"] == "ok"
    with campus.node.store.writing() as connection:
        connection.execute("DELETE FROM contracts")
    assert doctor(campus)["ledger and contracts"]["state"] == "problem"
    (campus.folder / KEY_FILE).chmod(0o644)
    assert doctor(campus)["peers"]["detail"].startswith("KEY_EXPOSED")


def test_doctor_of_a_folder_without_peers_makes_nothing(tmp_path: Path) -> None:
    _, told = run("doctor", "--data", str(tmp_path))
    assert [each["detail"] for each in told["findings"] if each["name"] == "peers"] == ["none was ever added"]
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_went_away_and_came_back(friends: tuple[Site, Site]) -> None:
    """The other's server restarts: a replay from before is refused by the new process."""
    campus, plant = friends
    token, body = greeting(campus, plant)
    assert codes(plant, [(token, body)]) == ["ok"]
    with served(plant.running.mesh, dev=False) as again:
        code = post(again.url, token, body).json()["code"]
        assert code in {"ENVELOPE_REPLAYED", "ENVELOPE_EXPIRED"}  # the latter on a very busy machine
    assert greet(campus, "plant").identity.fingerprint == plant.key

"""Two servers as processes of their own meet by the command line, and one of them dies and comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from api.config import Settings
from api.federation_http import node_settings
from federation.http_peer import HELLO, HELLO_PURPOSE
from federation.node import Node
from federation.peers import Identity
from federation.store import FederationStore
from federation.trust import HEADER, Message, seal
from tests.flows.conftest import Done, Server

SETTINGS = node_settings(Settings().federation)


def state(done: Done, name: str) -> tuple[str, str]:
    """What doctor says of one thing."""
    (found,) = [each for each in done.json["findings"] if each["name"] == name]
    return found["state"], found["detail"]


def test_two_processes_meet_and_one_dies(
    cli: Callable[..., Done], serve: Callable[..., Server], tmp_path: Path
) -> None:
    for site in ("campus", "plant"):
        (tmp_path / f"{site}.csv").write_text(f"id,kind\n{site}-1,tm:Asset\n")
        done = cli("import", tmp_path / f"{site}.csv", "--data", tmp_path / site, "--site", site)
        assert done.code == 0, done.err
    campus, plant = serve(tmp_path / "campus"), serve(tmp_path / "plant")
    shown = cli("peers", "add", plant.url, "--data", tmp_path / "campus")
    assert shown.code == 1
    assert "PEER_UNCONFIRMED" in shown.err
    key = cli("peers", "list", "--data", tmp_path / "plant", "--json").json["own"]
    assert key in shown.err, "the key that is shown is the one its operator reads there"
    added = cli("peers", "add", plant.url, "--fingerprint", key, "--data", tmp_path / "campus")
    assert added.code == 0, added.err
    assert cli("peers", "add", campus.url, "--yes", "--data", tmp_path / "plant").code == 0
    doctor = cli("doctor", "--data", tmp_path / "campus", "--json")
    assert state(doctor, "peer plant")[0] == "ok"
    assert state(doctor, "peer plant clock") == ("ok", "clocks agree")

    with Node.open(tmp_path / "campus", SETTINGS) as node:
        own = httpx.get(f"{campus.url}/federation/identity").content
        assert msgspec.json.decode(own, type=Identity).fingerprint == node.key.fingerprint
        sealed = seal(node.key, Message(key, HELLO, HELLO_PURPOSE, own), SETTINGS.rules)

    def greet(url: str) -> httpx.Response:
        return httpx.post(f"{url}/federation/hello", content=sealed.body, headers={HEADER: sealed.token})

    assert greet(plant.url).status_code == 200
    plant.kill()
    with FederationStore.open(tmp_path / "plant") as store:
        assert store.rows("SELECT nonce FROM nonces WHERE nonce = ?", sealed.nonce), "kill -9 forgets none"
    dead = cli("doctor", "--data", tmp_path / "campus", "--json")
    assert state(dead, "peer plant")[0] == "problem"
    assert "PEER_UNREACHABLE" in state(dead, "peer plant")[1]
    again = serve(tmp_path / "plant")
    # On a machine so busy that a minute has passed, the envelope is too old besides.
    assert greet(again.url).json()["code"] in {"ENVELOPE_REPLAYED", "ENVELOPE_EXPIRED"}
    assert httpx.get(f"{again.url}/federation/identity").json()["fingerprint"] == key

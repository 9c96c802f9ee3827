"""TLS and mutual TLS of a real server, with real certificates; files that do not fit are told at start."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.commands.serve import bind, server_of, url_of
from api.config import Federation, Server, Settings
from api.federation_http import node_settings
from api.tls import server_context
from federation.egress import Egress, place_of
from federation.http_peer import fetch_identity
from federation.keys import own_key
from federation.node import Node
from federation.tls import ClientTls
from graph.mesh import Mesh
from ontology.errors import InputError, TwinmeshError
from ontology.schema import Schema
from ontology.units import Units
from tests.api.certificates import Authority, Pair
from tests.api.conftest import campus_change
from tests.api.peer_pair import run

WAIT_S = 120.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("own"), "own")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def mesh(tmp_path: Path, ontology: Schema, units: Units) -> Generator[Mesh]:
    with Mesh.open(tmp_path / "campus", ontology, units=units) as opened:
        opened.create_site("campus").apply(campus_change())
        yield opened


def server_of_pair(pair: Pair, trust: Path | None = None) -> Server:
    return Server(
        tls_certificate=str(pair.certificate), tls_key=str(pair.key), tls_client_trust=str(trust or "")
    )


@contextmanager
def secured(mesh: Mesh, chosen: Server) -> Generator[str]:
    """The server as `serve` makes it; its URL."""
    settings = Settings(server=chosen)
    with closing(bind("127.0.0.1", 0)) as listener:
        app = create_app(mesh, settings, dev=False)
        server = server_of(
            app, replace(settings, server=replace(chosen, drain_s=2.0)), server_context(chosen, mesh.folder)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + WAIT_S
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert server.started
        try:
            yield url_of("127.0.0.1", int(listener.getsockname()[1]), is_secure=True)
        finally:
            server.should_exit = True
            thread.join(WAIT_S)
            assert not thread.is_alive()


def code_of(url: str, tls: ClientTls) -> str:
    """What comes of asking for the identity: '' where it is told."""
    egress = Egress(frozenset({place_of(url)}), deadline_s=60.0, tls=tls)
    try:
        asyncio.run(fetch_identity(egress, place_of(url)))
    except TwinmeshError as error:
        return error.code
    return ""


def test_https_for_those_who_trust_the_authority(mesh: Mesh, own: Authority, stranger: Authority) -> None:
    with secured(mesh, server_of_pair(own.pair("campus"))) as url:
        assert code_of(url, ClientTls(trust=str(own.file))) == ""
        assert code_of(url, ClientTls()) == "PEER_UNREACHABLE"
        assert code_of(url, ClientTls(trust=str(stranger.file))) == "PEER_UNREACHABLE"
        assert code_of(url.replace("https:", "http:"), ClientTls()) != ""
        trusting = ssl.create_default_context(cafile=str(own.file))
        assert httpx.get(f"{url}/readyz", verify=trusting, timeout=60.0).status_code == 200
        old = ssl.create_default_context(cafile=str(own.file))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"{url}/livez", verify=old, timeout=60.0).status_code == 200


def test_a_certificate_that_ended_is_not_believed(mesh: Mesh, own: Authority) -> None:
    with secured(mesh, server_of_pair(own.pair("ended", days=-1))) as url:
        assert code_of(url, ClientTls(trust=str(own.file))) == "PEER_UNREACHABLE"


def test_mutual_tls_lets_in_whom_the_authority_knows(mesh: Mesh, own: Authority, stranger: Authority) -> None:
    caller, other = own.pair("caller"), stranger.pair("other")
    with secured(mesh, server_of_pair(own.pair("both"), trust=own.file)) as url:
        trust = str(own.file)
        assert code_of(url, ClientTls(trust, str(caller.certificate), str(caller.key))) == ""
        assert code_of(url, ClientTls(trust)) in ("PEER_UNREACHABLE", "PEER_GARBAGE")
        shown = ClientTls(trust, str(other.certificate), str(other.key))
        assert code_of(url, shown) in ("PEER_UNREACHABLE", "PEER_GARBAGE")


def test_peers_are_added_over_https(mesh: Mesh, own: Authority, tmp_path: Path, ontology: Schema) -> None:
    """`peers add` and a greeting by the settings of the folder; the authority's file lies in it."""
    with Mesh.open(tmp_path / "plant", ontology) as plant:
        plant.create_site("plant")
    folder = tmp_path / "plant"
    fingerprint = own_key(mesh.folder).fingerprint
    with secured(mesh, server_of_pair(own.pair("served"))) as url:
        words = ("peers", "add", url, "--fingerprint", fingerprint, "--data", str(folder))
        assert run(*words) == (1, {"code": "PEER_UNREACHABLE", "hint": run(*words)[1]["hint"]})
        (folder / "authority.pem").write_bytes(own.file.read_bytes())
        with (folder / "twinmesh.toml").open("a") as settings:
            settings.write('\n[federation]\ntls_trust = "authority.pem"\n')
        code, told = run(*words)
        assert code == 0, told
        with Node.open(folder, node_settings(Federation(tls_trust="authority.pem"), folder)) as node:
            assert (
                asyncio.run(node.http_peer(node.peers.list()[0]).identity()).identity.sites[0].name
                == "campus"
            )


@pytest.mark.parametrize(
    "wrong", ["no key", "no certificate", "other key", "no file", "password", "trust alone", "no PEM"]
)
def test_files_that_do_not_fit_are_told_at_start(wrong: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair, other, hidden = (
        authority.pair("one"),
        authority.pair("two"),
        authority.pair("three", password=b"secret"),
    )
    (tmp_path / "empty.pem").write_text("nothing")
    chosen = {
        "no key": Server(tls_certificate=str(pair.certificate)),
        "no certificate": Server(tls_key=str(pair.key)),
        "other key": Server(tls_certificate=str(pair.certificate), tls_key=str(other.key)),
        "no file": Server(tls_certificate=str(tmp_path / "gone"), tls_key=str(pair.key)),
        "password": Server(tls_certificate=str(hidden.certificate), tls_key=str(hidden.key)),
        "trust alone": Server(tls_client_trust=str(authority.file)),
        "no PEM": replace(server_of_pair(pair), tls_client_trust="empty.pem"),
    }[wrong]
    with pytest.raises(InputError) as caught:
        server_context(chosen, tmp_path)
    assert caught.value.code == "CONFIG_TLS"
    assert "server.tls" in caught.value.message and "secret" not in caught.value.message


def test_without_settings_nothing_is_secured(tmp_path: Path) -> None:
    assert server_context(Server(), tmp_path) is None
    assert url_of("::1", 80, is_secure=True) == "https://[::1]:80"

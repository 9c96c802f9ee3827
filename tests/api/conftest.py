"""A small campus, a plant, and a real server over them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.auth import Tokens
from api.commands.serve import server_of
from api.config import Settings
from api.policy import Role
from graph.mesh import Mesh
from graph.values import Change, ExternalId, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema, load_schema
from ontology.units import Units, load_units

CAMPUS = "https://twinmesh.invalid/campus/"
PLANT = "https://twinmesh.invalid/plant/"


@dataclass(frozen=True)
class Running:
    """A server that answers, and the mesh behind it."""

    url: str
    mesh: Mesh
    tokens: Tokens

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers={**given, **headers}, timeout=20.0)

    def ask(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        with self.client(token) as client:
            response = client.post("/graphql", json={"query": query, "variables": variables or {}})
        assert response.status_code == 200, response.text
        return response.json()

    def data(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        answer = self.ask(query, variables, token)
        assert "errors" not in answer, answer
        return answer["data"]

    def code(self, query: str, variables: dict[str, Any] | None = None, token: str | None = None) -> str:
        """The code of the first error."""
        return self.ask(query, variables, token)["errors"][0]["extensions"]["code"]

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/graphql"


@pytest.fixture(scope="session")
def ontology() -> Schema:
    return load_schema()


@pytest.fixture(scope="session")
def units() -> Units:
    return load_units()


@contextlib.contextmanager
def served(
    mesh: Mesh,
    settings: Settings | None = None,
    *,
    dev: bool = True,
    drain_s: int = 2,
    **parts: Any,
) -> Generator[Running]:
    # With the protocol named, asyncio switches Nagle off; without, every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = settings or Settings()
    server = server_of(create_app(mesh, settings, dev=dev, **parts), settings)
    server.config.timeout_graceful_shutdown = drain_s
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 120  # the first start after a change compiles kernels
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    assert server.started
    try:
        yield Running(f"http://127.0.0.1:{port}", mesh, Tokens(mesh.folder / "tokens.json"))
    finally:
        server.should_exit = True
        thread.join(20 + drain_s)
        listener.close()
        assert not thread.is_alive()


def iri(site: str, local_id: str) -> str:
    return f"https://twinmesh.invalid/{site}/{local_id}"


def twin(site: str, local_id: str, kind: str, name: str | None = None, **attributes: Any) -> TwinRecord:
    values = {key: value if isinstance(value, Value) else Value(value) for key, value in attributes.items()}
    return TwinRecord(iri(site, local_id), (SCHEMA.kind(kind).iri,), name, attributes=values)


def link(site: str, source: str, relation: str, target: str, **attributes: Any) -> RelationshipRecord:
    values = {key: Value(value) for key, value in attributes.items()}
    ends = (each if "://" in each else iri(site, each) for each in (source, target))
    return RelationshipRecord(next(ends), SCHEMA.relation(relation).iri, next(ends), attributes=values)


SCHEMA = load_schema()


def campus_change() -> Change:
    rooms = [
        twin("campus", f"R-{n}", "rec:Room", f"Room {n}", area=Value(10.0 * n, "m2")) for n in range(1, 7)
    ]
    levels = [twin("campus", f"L-{n}", "rec:Level", f"Level {n}") for n in (1, 2)]
    equipment = [
        twin("campus", "CH-1", "brick:Chiller", "Chiller 1", ratedPower=Value(300, "kW")),
        twin("campus", "AHU-1", "brick:AHU", "Air handler 1", ratedPower=Value(12, "kW"), assetTag="A1"),
        twin("campus", "AHU-2", "brick:AHU", "Air handler 2", ratedPower=Value(8000, "W")),
        *[twin("campus", f"VAV-{n}", "brick:VAV", f"Box {n}") for n in range(1, 7)],
    ]
    points = [
        twin("campus", f"T-{n}", "brick:Zone_Air_Temperature_Sensor", f"Temperature {n}", unit="Cel")
        for n in range(1, 7)
    ]
    links = [
        *[link("campus", f"R-{n}", "tm:partOf", f"L-{1 + n // 4}") for n in range(1, 7)],
        link("campus", "CH-1", "brick:feeds", "AHU-1", medium="chilled water"),
        link("campus", "CH-1", "brick:feeds", "AHU-2", medium="chilled water"),
        *[link("campus", f"AHU-{1 + n // 4}", "brick:feeds", f"VAV-{n}") for n in range(1, 7)],
        *[link("campus", f"VAV-{n}", "brick:feeds", f"R-{n}") for n in range(1, 7)],
        *[link("campus", f"T-{n}", "brick:isPointOf", f"R-{n}") for n in range(1, 7)],
    ]
    return Change(put_twins=(*rooms, *levels, *equipment, *points), put_relationships=tuple(links))


def plant_change() -> Change:
    line = TwinRecord(
        iri("plant", "LINE-1"),
        (SCHEMA.kind("tm:Process").iri,),
        "Packing line",
        attributes={"valuePerHour": Value(1000.0)},
        external_ids=(ExternalId("opcua", "ns=2;s=Line1"),),
    )
    twins = (
        line,
        twin("plant", "PRESS-1", "tm:Asset", "Press"),
        twin("plant", "CH-1", "tm:Asset", "Other chiller"),
    )
    links = (
        link("plant", iri("campus", "AHU-1"), "tm:supplies", "LINE-1", delayHours=2.0),
        link("plant", "PRESS-1", "tm:supplies", "LINE-1"),
    )
    return Change(put_twins=twins, put_relationships=links)


def fill(mesh: Mesh) -> None:
    mesh.create_site("campus").apply(campus_change())
    mesh.create_site("plant").apply(plant_change())


@pytest.fixture
def mesh(tmp_path: Path, ontology: Schema, units: Units) -> Generator[Mesh]:
    with Mesh.open(tmp_path / "data", ontology, units=units) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def server(mesh: Mesh) -> Generator[Running]:
    """A trusted loopback: nobody needs a token."""
    with served(mesh) as running:
        yield running


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Running]:
    """As `server`, shared by the tests of a module: they only read."""
    with Mesh.open(tmp_path_factory.mktemp("shared") / "data", ontology, units=units) as opened:
        fill(opened)
        with served(opened) as running:
            yield running


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    """Serves a mesh with settings of a test's own."""
    return served


@pytest.fixture
def guarded(mesh: Mesh) -> Generator[Running]:
    """A server that wants tokens."""
    with served(mesh, dev=False) as running:
        yield running


@pytest.fixture
def token(guarded: Running) -> Callable[..., str]:
    """Makes a token of a role."""

    def make(role: Role, name: str = "", **options: Any) -> str:
        return guarded.tokens.create(name or role.value, role, **options)

    return make

"""The OPC UA face, read by a node-opcua client and felt out by strangers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from adapters.opcua.certificates import fingerprint, own_identity
from adapters.opcua.face import SPACE, OpcuaFace
from adapters.opcua.face_config import FaceConfig
from api.auth import Tokens
from api.commands.opcua_face import TokenKeeper
from api.policy import Role
from graph.mesh import Mesh
from graph.twin import Twin
from graph.values import Change, Readings, RelationshipRecord, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units
from tests.outside.npm import locked, node
from tests.outside.opcua_server import FOLDER

pytestmark = pytest.mark.timeout(900)
BASE = "https://twinmesh.invalid/plant/"
RUN_S_MAX = 240
SCHEMA = load_schema()
NOW_NS = time.time_ns() // 1_000_000 * 1_000_000


def point(name: str, **facts: Any) -> TwinRecord:
    attributes = {key: Value(value) for key, value in facts.items()}
    return TwinRecord(
        BASE + name, (SCHEMA.kind("brick:Temperature_Sensor").iri,), name, attributes=attributes
    )


def record(twin: Twin, name: str, value: float, quality: int = 0, time_ns: int = NOW_NS) -> None:
    row = twin.snapshot().row(BASE + name)
    words = np.array([value], np.float64).view(np.uint64)
    twin.record(
        Readings(np.array([row], np.int32), np.array([time_ns]), words, np.array([quality], np.uint8))
    )


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mesh]:
    pump, press = SCHEMA.kind("brick:Pump").iri, SCHEMA.kind("brick:AHU").iri
    twins = (
        TwinRecord(BASE + "PUMP-1", (pump,), "Pump one"),
        TwinRecord(BASE + "AHU-1", (press,), "Air"),
        point("TEMP"),
        point("HIDDEN-NOT"),
    )
    with Mesh.open(tmp_path_factory.mktemp("data"), SCHEMA, units=load_units()) as opened:
        twin = opened.create_site("plant")
        link = RelationshipRecord(BASE + "TEMP", SCHEMA.relation("tm:pointOf").iri, BASE + "PUMP-1")
        twin.apply(Change(put_twins=twins, put_relationships=(link,)))
        record(twin, "TEMP", 21.5, quality=1)
        yield opened


class House:
    """The face, its tokens, and programs with certificates of their own."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        self.twin, self.folder = mesh.twin("plant"), folder
        self.tokens = Tokens(mesh.folder / "tokens.json")
        self.written: list[tuple[str, object]] = []
        self.scada = own_identity(folder / "scada.pem", folder / "scada.key")
        self.stranger = own_identity(folder / "stranger.pem", folder / "stranger.key")
        self.words = {
            "scada": self.tokens.create("scada", Role.OPERATOR),
            "pumps": self.tokens.create("pumps", Role.PARTNER, kinds=("brick:Pump",)),
        }
        keeper = TokenKeeper(self.tokens, {fingerprint(self.scada.certificate): "scada"})
        config = FaceConfig("plant", folder / "server.pem", folder / "server.key", port=0, refresh_ms=20)
        self.face = OpcuaFace.start(self.twin, config, keeper, self.command)
        self.reader = OpcuaFace.start(self.twin, config, keeper)

    async def command(self, principal: object, point: str, value: object) -> str:
        self.written.append((point, value))
        return "Good" if value != 99.0 else "BadOutOfRange"

    def stop(self) -> None:
        self.face.stop()
        self.reader.stop()


@pytest.fixture(scope="module")
def house(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    made = House(mesh, tmp_path_factory.mktemp("house"))
    yield made
    made.stop()


@pytest.fixture
def visit(house: House) -> Callable[..., list[dict[str, Any]]]:
    """A node-opcua client comes by."""
    modules = locked(FOLDER)

    def go(*visits: dict[str, Any]) -> list[dict[str, Any]]:
        given = [
            {
                "url": house.face.url,
                "pki": str(house.folder / f"pki-{who}"),
                "certificate": str(house.folder / f"{who}.pem"),
                "key": str(house.folder / f"{who}.key"),
                **visit,
            }
            for visit in visits
            for who in (visit.get("who", "scada"),)
        ]
        command = [node(), str(FOLDER / "client.mjs"), str(modules), json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return go


def at(name: str) -> str:
    return f"ns=2;s={BASE}{name}"


def test_a_client_reads_values_with_status_and_time_and_writes_commands(
    visit: Callable[..., list[dict[str, Any]]], house: House
) -> None:
    steps = (
        {"do": "namespaces"},
        {"do": "browse", "node": "ns=2;s=site"},
        {"do": "read", "node": at("TEMP")},
        {"do": "read", "node": at("HIDDEN-NOT")},
        {"do": "write", "node": at("TEMP"), "type": "Double", "value": 5.0},
        {"do": "write", "node": at("TEMP"), "type": "Double", "value": 99.0},
        {"do": "write", "node": at("PUMP-1"), "type": "Double", "value": 5.0},
        {"do": "write", "node": at("NOBODY"), "type": "Double", "value": 5.0},
    )
    (found,) = visit({"steps": steps})
    assert "answers" in found, found
    names, browsed, temp, silent, *written = found["answers"]
    assert SPACE + "plant" in names
    assert {name for name, _ in browsed} >= {"PUMP-1", "AHU-1", "TEMP", "HIDDEN-NOT"}
    shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW_NS // 10**9))
    assert (temp["value"], temp["status"], temp["time"][:19]) == (21.5, "Uncertain", shown)
    assert silent["status"] == "BadWaitingForInitialData"
    assert written == ["Good", "BadOutOfRange", "BadNotWritable", "BadNodeIdUnknown"]
    assert house.written == [(BASE + "TEMP", 5.0), (BASE + "TEMP", 99.0)]


def test_without_a_way_for_commands_nothing_can_be_written(
    visit: Callable[..., list[dict[str, Any]]], house: House
) -> None:
    steps = [{"do": "write", "node": at("TEMP"), "type": "Double", "value": 5.0}]
    assert visit({"steps": steps, "url": house.reader.url}) == [{"answers": ["BadNotWritable"]}]


def test_a_partner_sees_what_its_token_names_and_nothing_else(
    visit: Callable[..., list[dict[str, Any]]], house: House
) -> None:
    steps = (
        {"do": "browse", "node": "ns=2;s=site"},
        {"do": "read", "node": at("TEMP")},
        {"do": "read", "node": at("NOBODY")},
        {"do": "write", "node": at("TEMP"), "type": "Double", "value": 5.0},
    )
    before = list(house.written)
    word = house.words["pumps"]
    (found,) = visit({"steps": steps, "who": "stranger", "user": "pumps", "password": word})
    assert "answers" in found, found
    browsed, hidden, absent, written = found["answers"]
    assert "PUMP-1" in {name for name, _ in browsed}
    assert not {"AHU-1", "TEMP", "HIDDEN-NOT"} & {name for name, _ in browsed}
    assert hidden == absent
    assert hidden["status"] == written == "BadNodeIdUnknown"
    assert house.written == before


def test_strangers_are_refused(visit: Callable[..., list[dict[str, Any]]], house: House) -> None:
    """Of an unknown certificate, with a wrong password or another's name, on an open channel."""
    steps = [{"do": "read", "node": at("TEMP")}]
    given: list[dict[str, Any]] = [
        {"who": "stranger"},
        {"who": "stranger", "user": "scada", "password": "tm_00000000_guess"},
        {"who": "stranger", "user": "scada", "password": house.words["pumps"]},
        {"who": "scada", "mode": "None"},
        {"who": "stranger", "mode": "None", "user": "scada", "password": house.words["scada"]},
    ]
    found = visit(*({"steps": steps, **one} for one in given))
    assert ["answers" in one for one in found] == [False] * len(given), found
    assert [code in found[place]["error"] for place, code in enumerate(["BadUserAccessDenied"] * 3)] == [
        True
    ] * 3


def test_naming_a_trusted_certificate_without_its_key_is_not_enough(house: House) -> None:
    """The certificate is public. Named by somebody with another key, on every channel that there is."""

    async def secured() -> None:
        server = own_identity(house.folder / "server.pem", house.folder / "server.key")
        client = Client(house.face.url, timeout=20)
        client.application_uri = house.scada.application_uri
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            CertProperties(house.scada.certificate, "der"),
            CertProperties(house.stranger.private_key, "pem"),
            server_certificate=CertProperties(server.certificate, "der"),
        )
        await client.connect()

    async def open_channel() -> None:
        client = Client(house.face.url, timeout=20)
        await client.connect_sessionless()
        try:
            # The certificate in the header of the channel and of the session, neither signed.
            client.security_policy.host_certificate = house.scada.certificate
            await client.create_session()
            await client.activate_session()
            await client.get_node(ua.NodeId(BASE + "TEMP", 2)).read_value()
        finally:
            client.disconnect_socket()

    for attempt in (secured, open_channel):
        with pytest.raises((ua.UaError, ConnectionError, OSError, TimeoutError)):
            asyncio.run(attempt())


async def entered(house: House, word: str) -> Client:
    """A session of our own client by password."""
    server = own_identity(house.folder / "server.pem", house.folder / "server.key")
    client = Client(house.face.url, timeout=60, watchdog_intervall=60)
    client.application_uri = house.stranger.application_uri
    client.set_user(word)
    client.set_password(house.words[word])
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        CertProperties(house.stranger.certificate, "der"),
        CertProperties(house.stranger.private_key, "pem"),
        server_certificate=CertProperties(server.certificate, "der"),
    )
    await client.connect()
    return client


def test_a_session_cannot_be_taken_over_and_its_subscriptions_are_its_own(house: House) -> None:
    async def attempt() -> None:
        owner = await entered(house, "scada")
        thief = await entered(house, "pumps")
        try:
            temp = ua.NodeId(BASE + "TEMP", 2)
            parameters = ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=50, RequestedLifetimeCount=1000, RequestedMaxKeepAliveCount=100
            )
            made = await owner.uaclient.session.create_subscription(parameters, lambda _: None)
            subscription = made.SubscriptionId
            with pytest.raises(ua.UaStatusCodeError):
                await thief.uaclient.session.delete_subscriptions([subscription])
            with pytest.raises(ua.UaStatusCodeError):
                wish = ua.TransferSubscriptionsParameters(SubscriptionIds=[subscription])
                await thief.uaclient.session.transfer_subscriptions(wish)
            # A number in the place of a token: the sessions of asyncua are numbered in a row.
            stolen = owner.uaclient.session.authentication_token
            thief.uaclient.session.restore_authentication_token(stolen)
            value = (await thief.uaclient.session.read_attributes([temp], ua.AttributeIds.Value))[0]
            assert value.StatusCode.name == "BadNodeIdUnknown"
            fresh = await unsecured(house)
            fresh.uaclient.session.restore_authentication_token(stolen)
            fresh._server_nonce = b"0" * 32
            for _ in range(2):
                with pytest.raises((ua.UaError, ConnectionError)):
                    await fresh.activate_session()
                with pytest.raises((ua.UaError, ConnectionError)):
                    await fresh.uaclient.session.read_attributes([temp], ua.AttributeIds.Value)
            fresh.disconnect_socket()
            good = (await owner.uaclient.session.read_attributes([temp], ua.AttributeIds.Value))[0]
            assert good.StatusCode.name == "Uncertain"
        finally:
            for client in (owner, thief):
                await client.disconnect()

    asyncio.run(attempt())


async def unsecured(house: House) -> Client:
    client = Client(house.face.url, timeout=20)
    await client.connect_sessionless()
    return client


def test_a_revoked_token_ends_its_session(house: House) -> None:
    async def attempt() -> None:
        house.words["brief"] = house.tokens.create("brief", Role.ANALYST)
        client = await entered(house, "brief")
        temp = ua.NodeId(BASE + "TEMP", 2)
        value = (await client.uaclient.session.read_attributes([temp], ua.AttributeIds.Value))[0]
        assert value.StatusCode.name == "Uncertain"
        house.tokens.revoke("brief")
        with pytest.raises((ua.UaError, ConnectionError, OSError, TimeoutError)):
            for _ in range(1_000):
                value = (await client.uaclient.session.read_attributes([temp], ua.AttributeIds.Value))[0]
                await asyncio.sleep(0.05)
        await client.disconnect()

    asyncio.run(attempt())


def test_the_face_follows_values_and_the_graph(house: House) -> None:
    async def attempt() -> None:
        client = await entered(house, "scada")
        try:
            arrived: asyncio.Queue[float] = asyncio.Queue()

            class Handler:
                def datachange_notification(self, node: object, value: float, data: object) -> None:
                    arrived.put_nowait(value)

            subscription = await client.create_subscription(20, Handler())
            house.twin.apply(Change(put_twins=(point("LATE"),)))
            late = client.get_node(ua.NodeId(BASE + "LATE", 2))
            record(house.twin, "LATE", 1.0)
            while True:
                found = (await client.uaclient.session.read_attributes([late.nodeid], ua.AttributeIds.Value))[
                    0
                ]
                if found.StatusCode.name == "Good":
                    break
                await asyncio.sleep(0.02)
            await subscription.subscribe_data_change(late)
            assert await asyncio.wait_for(arrived.get(), 120) == 1.0
            record(house.twin, "LATE", 2.0, time_ns=NOW_NS + 1_000_000)
            assert await asyncio.wait_for(arrived.get(), 120) == 2.0
        finally:
            await client.disconnect()

    asyncio.run(attempt())

"""`twinmesh serve` with OPC UA on both sides: a node-opcua server in, the face out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from adapters.opcua.certificates import own_identity
from api.auth import Tokens
from api.policy import Role
from graph.mesh import Mesh
from graph.values import Change, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units
from tests.outside.opcua_server import SPACE, OpcuaServer, free_port, wait_for

BASE = "https://twinmesh.invalid/plant/"
NODE = ua.NodeId(BASE + "RATE", 2)
ASK = "query($id: ID!) { node(id: $id) { ... on Point { value quality } } }"

SEND = "mutation($input: CommandInput!) { sendCommand(input: $input) { status code message } }"


def fill(folder: Path) -> str:
    """A site with one point; the text of a token."""
    schema = load_schema()
    rate = TwinRecord(
        BASE + "RATE", (schema.kind("tm:Point").iri,), "Rate", attributes={"unit": Value("Cel")}
    )
    with Mesh.open(folder, schema, units=load_units()) as mesh:
        mesh.create_site("plant").apply(Change(put_twins=(rate,)))
    return Tokens(folder / "tokens.json").create("scada", Role.OPERATOR)


async def entered(url: str, server: Path, own: Path, password: str) -> Client:
    made, shown = own_identity(own / "c.pem", own / "c.key"), own_identity(server, server.with_suffix(".key"))
    client = Client(url, timeout=60, watchdog_intervall=60)
    client.application_uri = made.application_uri
    client.set_user("scada")
    client.set_password(password)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        CertProperties(made.certificate, "der"),
        CertProperties(made.private_key, "pem"),
        server_certificate=CertProperties(shown.certificate, "der"),
    )
    return client


async def read(url: str, server: Path, own: Path, password: str) -> ua.DataValue:
    async with await entered(url, server, own, password) as client:
        return (await client.uaclient.session.read_attributes([NODE], ua.AttributeIds.Value))[0]


async def write(url: str, server: Path, own: Path, password: str, value: float) -> str:
    async with await entered(url, server, own, password) as client:
        wish = ua.DataValue(ua.Variant(value, ua.VariantType.Double), StatusCode=None)
        return (await client.uaclient.session.write_attributes([NODE], [wish]))[0].name


@pytest.mark.timeout(1_200)
def test_a_value_goes_from_one_server_to_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    word = fill(folder)
    plc = OpcuaServer(tmp_path / "plc", [("Rate", "Double", 50.0)], users={"twin": "s3cret"})
    port = free_port()
    with (folder / "twinmesh.toml").open("a") as settings:
        settings.write(
            f'\n[[opcua]]\nsite = "plant"\nurl = "{plc.url}"\nbindings = "b.toml"\n'
            f'server_fingerprint = "{plc.fingerprint}"\ncertificate = "{plc.client_certificate}"\n'
            f'private_key = "{plc.client_key}"\nusername = "twin"\npassword_env = "PLC_WORD"\n'
            f'request_timeout_s = 60\n[[commands]]\nsite = "plant"\nvia = "opcua"\nrules = "c.toml"\n'
            f'url = "{plc.url}"\nserver_fingerprint = "{plc.fingerprint}"\n'
            f'certificate = "{plc.client_certificate}"\nprivate_key = "{plc.client_key}"\n'
            f'username = "twin"\npassword_env = "PLC_WORD"\n[opcua_server]\nsite = "plant"\nport = {port}\n'
        )
    (folder / "b.toml").write_text(
        f'[[binding]]\nnode = "nsu={SPACE};s=Rate"\npoint = "RATE"\nunit = "[degF]"\n'
    )
    (folder / "c.toml").write_text(
        f'[[command]]\npoint = "RATE"\naddress = "nsu={SPACE};s=Rate"\nunit = "[degF]"\n'
        "minimum = 0\nmaximum = 40\n"
    )
    plc.start()
    program = [str(Path(sys.executable).parent / "twinmesh"), "serve", "--dev", "--port", "0"]
    with (tmp_path / "errors.txt").open("w") as errors:
        server = subprocess.Popen(
            [*program, "--data", str(folder)], stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PLC_WORD": "s3cret"},
        )  # fmt: skip
    try:
        assert server.stdout is not None
        ready = server.stdout.readline()
        assert ready.startswith("ready "), (tmp_path / "errors.txt").read_text()
        url = ready.split()[1]

        def shown() -> dict[str, Any]:
            asked = {"query": ASK, "variables": {"id": BASE + "RATE"}}
            return httpx.post(f"{url}/graphql", json=asked, timeout=60).json()["data"]["node"]

        def command(value: float, key: str) -> dict[str, Any]:
            given = {"point": BASE + "RATE", "value": value, "expiresInS": 300, "idempotencyKey": key}
            asked = {"query": SEND, "variables": {"input": given}}
            answer = httpx.post(f"{url}/graphql", json=asked, timeout=60).json()
            assert "errors" not in answer, answer
            return answer["data"]["sendCommand"]

        wait_for(lambda: shown()["quality"] == "GOOD", shown)
        assert abs(shown()["value"] - 10.0) < 1e-9
        face, there = f"opc.tcp://127.0.0.1:{port}", folder / "opcua-server.pem"
        wait_for(lambda: asyncio.run(read(face, there, tmp_path, word)).StatusCode.name == "Good")
        assert abs(asyncio.run(read(face, there, tmp_path, word)).Value.Value - 10.0) < 1e-9
        sent = command(20.0, "first")
        assert sent["status"] in ("ACCEPTED", "SENT", "ACKNOWLEDGED", "CONFIRMED"), sent
        wait_for(lambda: abs(shown()["value"] - 20.0) < 1e-9, shown)
        assert abs(plc.order(do="get", name="Rate")["value"] - 68.0) < 1e-9
        assert command(60.0, "second")["status"] == "REFUSED"
        assert asyncio.run(write(face, there, tmp_path, word, 30.0)) == "GoodCompletesAsynchronously"
        wait_for(lambda: abs(shown()["value"] - 30.0) < 1e-9, shown)
        assert asyncio.run(write(face, there, tmp_path, word, 60.0)) == "BadOutOfRange"
        assert abs(plc.order(do="get", name="Rate")["value"] - 86.0) < 1e-9
    finally:
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=120)
        plc.kill()
    assert (server.returncode, rest) == (0, ""), (tmp_path / "errors.txt").read_text()

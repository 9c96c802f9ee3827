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
ASK = "query($id: ID!) { node(id: $id) { ... on Point { value quality } } }"


def fill(folder: Path) -> str:
    """A site with one point; the text of a token."""
    schema = load_schema()
    rate = TwinRecord(
        BASE + "RATE", (schema.kind("tm:Point").iri,), "Rate", attributes={"unit": Value("Cel")}
    )
    with Mesh.open(folder, schema, units=load_units()) as mesh:
        mesh.create_site("plant").apply(Change(put_twins=(rate,)))
    return Tokens(folder / "tokens.json").create("scada", Role.ANALYST)


async def read(url: str, server: Path, own: Path, password: str) -> ua.DataValue:
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
    async with client:
        node = ua.NodeId(BASE + "RATE", 2)
        return (await client.uaclient.session.read_attributes([node], ua.AttributeIds.Value))[0]


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
            f'request_timeout_s = 60\n[opcua_server]\nsite = "plant"\nport = {port}\n'
        )
    (folder / "b.toml").write_text(
        f'[[binding]]\nnode = "nsu={SPACE};s=Rate"\npoint = "RATE"\nunit = "[degF]"\n'
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

        wait_for(lambda: shown()["quality"] == "GOOD", shown)
        assert abs(shown()["value"] - 10.0) < 1e-9
        face, there = f"opc.tcp://127.0.0.1:{port}", folder / "opcua-server.pem"
        wait_for(lambda: asyncio.run(read(face, there, tmp_path, word)).StatusCode.name == "Good")
        assert abs(asyncio.run(read(face, there, tmp_path, word)).Value.Value - 10.0) < 1e-9
    finally:
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=120)
        plc.kill()
    assert (server.returncode, rest) == (0, ""), (tmp_path / "errors.txt").read_text()

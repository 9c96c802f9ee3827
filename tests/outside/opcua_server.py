"""A node-opcua server as a child process: started, ordered about by JSON lines, killed and started again."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.opcua.certificates import fingerprint, own_identity, self_signed
from tests.outside.npm import locked, node

FOLDER = Path(__file__).parent / "opcua"
WAIT_S_MAX = 240.0
SPACE = "urn:twinmesh.test:plant"


def wait_for(happened: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Wait until something is so; a long deadline, as the machine may be busy."""
    until = time.monotonic() + WAIT_S_MAX
    while not happened():
        assert time.monotonic() < until, f"it did not happen in time: {told()}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OpcuaServer:
    """One server on one port with its certificate; `users` may log in, `trusts` is a client's certificate."""

    def __init__(
        self,
        folder: Path,
        nodes: list[tuple[str, str, Any]],
        *,
        users: dict[str, str] | None = None,
        insecure: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}"
        self._folder = folder
        self._modules = locked(FOLDER)
        certificate, key = self._own_certificate()
        self.fingerprint = fingerprint(certificate.public_bytes(serialization.Encoding.DER))
        self._settings = {
            "port": self.port, "pki": str(folder / "pki"), "nodes": nodes, "users": users,
            "insecure": insecure, "certificate": str(certificate_path(folder)), "key": str(key),
        }  # fmt: skip
        self.client_certificate, self.client_key = folder / "client.pem", folder / "client.key"
        self._trust(own_identity(self.client_certificate, self.client_key).certificate)
        self._process: subprocess.Popen[str] | None = None
        self._complaints = folder / "stderr.txt"

    def start(self) -> None:
        command = [node(), str(FOLDER / "server.mjs"), str(self._modules), json.dumps(self._settings)]
        with self._complaints.open("a") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        assert self._answer() == {"ready": self.port}

    def order(self, **order: Any) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "error" not in answer, answer
        return answer

    def set(self, name: str, value: Any = None, **more: Any) -> None:
        given = {} if value is None else {"value": value}
        self.order(do="set", name=name, **given, **more)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(WAIT_S_MAX)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def _answer(self) -> dict[str, Any]:
        """The next line of JSON among what the library prints. The end of the child fails the test."""
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._process.wait(WAIT_S_MAX)
        raise AssertionError(f"node-opcua ended: {self._complaints.read_text()[-2000:]}")

    def _own_certificate(self) -> tuple[x509.Certificate, Path]:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        certificate = self_signed(key, "urn:twinmesh.test:server")
        path = self._folder / "server.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate_path(self._folder).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate, path

    def _trust(self, certificate: bytes) -> None:
        folder = self._folder / "pki" / "trusted" / "certs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"client[{hashlib.sha1(certificate).hexdigest()}].der").write_bytes(certificate)


def certificate_path(folder: Path) -> Path:
    return folder / "server.pem"

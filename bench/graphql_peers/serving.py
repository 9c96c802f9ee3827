"""Servers under measurement: each in a process of its own on a free port, ended with its stack."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.stores.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

HOST = "127.0.0.1"
PATH = "/graphql"
READY_S_MAX = 180.0
ANSWER_S_MAX = 120.0
STOP_S_MAX = 15.0
POLL_S = 0.05
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
JSON = "application/json"
LINES = "application/x-ndjson"
SAID_CHARACTERS_MAX = 300


class ServerError(Exception):
    """A server that did not start, or gave no good answer."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `token` opens it."""

    name: str
    port: int
    token: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def ask(self, body: Mapping[str, Any], *, path: str = PATH, token: str | None = None) -> dict[str, Any]:
        """The whole answer to one request. ServerError."""
        status, text = self.send(json.dumps(body).encode(), path=path, token=token)
        if status != 200:
            raise ServerError(f"{self.name}: status {status}: {text[:SAID_CHARACTERS_MAX]!r}")
        return json.loads(text)

    def send(
        self, body: bytes | None, *, path: str = PATH, token: str | None = None, accept: str = JSON
    ) -> tuple[int, bytes]:
        """Status and body. A body of None makes it a GET. ServerError where there is no answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_S_MAX)
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", "Accept": accept}
        if body is not None:
            headers["Content-Type"] = JSON
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self.name}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def data(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """ServerError where there are errors."""
        answer = self.ask({"query": query, "variables": variables or {}})
        if answer.get("errors"):
            raise ServerError(f"{self.name}: {str(answer['errors'])[:SAID_CHARACTERS_MAX]}")
        return answer["data"]

    def lines(self, query: str, variables: Mapping[str, Any]) -> list[Any]:
        """The objects of an answer that comes as lines. ServerError, also where lines are missing."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        status, text = self.send(body, accept=LINES)
        if status != 200:
            raise ServerError(f"{self.name}: status {status}: {text[:SAID_CHARACTERS_MAX]!r}")
        *objects, last = (json.loads(line) for line in text.splitlines())
        if not last.get("__export", {}).get("complete"):
            raise ServerError(f"{self.name}: {str(last)[:SAID_CHARACTERS_MAX]}")
        return objects

    def processor_s(self) -> float:
        """Processor time that its process has used so far, all threads together."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(name: str, command: list[str], port: int, token: str, log: Path) -> Generator[Server]:
    """A server that answers `{ __typename }` to the token, and refuses without it. ServerError."""
    with log.open("wb") as output, _ended(_spawn(command, output)) as process:
        server = Server(name, port, token, process)
        _wait(server, log)
        yield server


def _spawn(command: list[str], output: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server, log: Path) -> None:
    ends_s = time.monotonic() + READY_S_MAX
    while time.monotonic() < ends_s:
        if server.process.poll() is not None:
            said = log.read_text("utf-8", "replace").strip()[-SAID_CHARACTERS_MAX:]
            raise ServerError(f"{server.name} ended: {said}")
        with contextlib.suppress(ServerError, ValueError):
            server.data("{ __typename }")
            _check_guarded(server)
            return
        time.sleep(POLL_S)
    raise ServerError(f"{server.name}: not ready in {READY_S_MAX:.0f} s")


def _check_guarded(server: Server) -> None:
    """Whoever brings another token gets nothing: else the comparison would not be fair."""
    status, text = server.send(b'{"query": "{ __typename }"}', token="wrong")
    if status == 200:
        raise AssertionError(f"{server.name} answers anybody: {text[:SAID_CHARACTERS_MAX]!r}")


def twinmesh_command(folder: Path, port: int) -> list[str]:
    program = str(Path(sys.executable).parent / "twinmesh")
    return [program, "serve", "--data", str(folder), "--port", str(port)]

"""Load on a server, made by the small program in load/: what it costs itself is part of every figure."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.graphql_peers.installing import LOAD
from bench.graphql_peers.serving import JSON, PATH, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.graphql_peers.serving import Server

RUN_S_MAX = 400.0
SAID_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True)
class Run:
    """How to ask. once: every body a single time, else round and round until the time is over."""

    seconds: float
    connections: int
    once: bool = False
    accept: str = JSON


@dataclass(frozen=True, slots=True)
class Told:
    """What a run found. server_cpu_s: processor time of the server meanwhile."""

    requests: int
    seconds: float
    failures: int
    differing: int
    bytes: int
    p50_s: float
    p99_s: float
    most_s: float
    client_cpu_s: float
    server_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def mean_s(self) -> float:
        """Of one request on one connection: the wall clock shared out."""
        return self.seconds / self.requests

    @property
    def good(self) -> bool:
        return self.requests > 0 and not self.failures and not self.differing


class Loader:
    """Runs the program; `folder` takes the bodies. MissingError where it cannot be built."""

    def __init__(self, folder: Path) -> None:
        self._program = LOAD.install() / "load"
        self._bodies = folder / "bodies.ndjson"

    def run(self, server: Server, bodies: Sequence[Mapping[str, Any]], how: Run) -> Told:
        """ServerError where the server broke off."""
        self._bodies.write_text("".join(json.dumps(body) + "\n" for body in bodies), "utf-8")
        before_s = server.processor_s()
        done = subprocess.run(
            [str(self._program), *self._arguments(server, how)],
            capture_output=True,
            text=True,
            timeout=RUN_S_MAX + how.seconds,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"{server.name}: {done.stderr.strip()[-SAID_CHARACTERS_MAX:]}")
        return Told(**json.loads(done.stdout), server_cpu_s=server.processor_s() - before_s)

    def _arguments(self, server: Server, how: Run) -> list[str]:
        place = [server.address, PATH, server.token, how.accept, str(self._bodies)]
        return [*place, str(how.connections), str(how.seconds), "once" if how.once else "again"]

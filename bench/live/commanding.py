"""Commands that are given while a server has too much to do: how many, how they ended, how long they took."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.graphql_peers.serving import HOST, ServerError
from bench.live.running import import_rows
from bench.stores.process import ROOT
from bench.stores.table import Aim

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

SETPOINTS = 200  # one command to a point at a time: none is asked for twice while it waits
PAUSE_S = 0.25
ENDS_S_MAX = 120.0
EXPIRES_S = 120.0
RULES = """
[[command]]
point = "sp-{n}"
address = "device/sp-{n}/set"
minimum = 0
maximum = 100000
"""
SEND = """mutation Send($input: CommandInput!) { sendCommand(input: $input) { id status code message } }"""
OPEN = "{ commands(open: true, first: 1) { nodes { id } } }"
LOG = """query Log($after: String) { commands(first: 500, after: $after) {
  nodes { id status code steps { status time } } pageInfo { hasNextPage endCursor } } }"""

Ask: TypeAlias = "Callable[[str, dict[str, Any]], dict[str, Any]]"


@dataclass(slots=True)
class Given:
    """What was asked for, and how it ended. took_s: from taken in to confirmed by the point itself.
    answered_s: to the device's own answer."""

    ids: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    statuses: dict[str, int] = field(default_factory=dict[str, int])
    took_s: list[float] = field(default_factory=list[float])
    answered_s: list[float] = field(default_factory=list[float])
    executed: tuple[int, int] = (0, 0)  # by the device: times, different commands

    def give(self, ask: Ask, stop: threading.Event) -> None:
        """One command after the other, each to the next set-point, until it is told to stop."""
        while not stop.wait(PAUSE_S):
            number = len(self.ids) + len(self.refused)
            wish = {
                "point": f"sp-{number % SETPOINTS}",
                "value": float(number),
                "expiresInS": EXPIRES_S,
                "idempotencyKey": f"bench-{number}",
            }
            found = ask(SEND, {"input": wish})["sendCommand"]
            if found["status"] == "REFUSED":
                self.refused.append(f"{found['code']}: {found['message']}")
            else:
                self.ids.append(found["id"])

    def read(self, ask: Ask) -> None:
        """How they ended; waits until all have."""
        ends_s = time.monotonic() + ENDS_S_MAX
        while ask(OPEN, {})["commands"]["nodes"]:
            if time.monotonic() > ends_s:
                raise ServerError("commands do not end")
            time.sleep(0.25)
        after, more = None, True
        while more:
            page = ask(LOG, {"after": after})["commands"]
            for node in page["nodes"]:
                self._count(node)
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    def _count(self, node: dict[str, Any]) -> None:
        self.statuses[node["status"]] = self.statuses.get(node["status"], 0) + 1
        steps = {step["status"]: datetime.fromisoformat(step["time"]) for step in node["steps"]}
        if "ACKNOWLEDGED" in steps:
            self.answered_s.append((steps["ACKNOWLEDGED"] - steps["ACCEPTED"]).total_seconds())
        if "CONFIRMED" in steps:
            self.took_s.append((steps["CONFIRMED"] - steps["ACCEPTED"]).total_seconds())

    @property
    def confirmed(self) -> int:
        return self.statuses.get("CONFIRMED", 0)

    def rows(self) -> list[dict[str, Any]]:
        took, answered = sorted(self.took_s) or [0.0], sorted(self.answered_s) or [0.0]
        return [
            {"what": "commands by GraphQL meanwhile", "value": len(self.ids)},
            {"what": "confirmed by read-back", "value": self.confirmed},
            {"what": "executed by the device", "value": self.executed[0]},
            {"what": "from taken in to the answer, p50 s", "value": round(answered[len(answered) // 2], 3)},
            {"what": "from taken in to confirmed, p50 s", "value": round(took[len(took) // 2], 3)},
            {"what": "the slowest of them, s", "value": round(took[-1], 3)},
        ]

    def aims(self, seconds: int) -> list[Aim]:
        failed = len(self.ids) - self.confirmed
        twice = self.executed[0] - self.executed[1]
        return [
            Aim("commands given", len(self.ids), seconds / 2),
            Aim("commands refused or not confirmed", failed + len(self.refused), 0, at_most=True),
            Aim("commands executed twice", twice, 0, at_most=True),
        ]


def add_setpoints(folder: Path, data: Path) -> None:
    """Set-points, and the rules by which they are commanded."""
    points = [f"sp-{number}" for number in range(SETPOINTS)]
    import_rows(folder, data, "setpoints", [f"{point},brick:Temperature_Setpoint" for point in points])
    (data / "commands.toml").write_text(RULES)


def way(port: int) -> str:
    """Settings of the way to the device."""
    return (
        f'\n[[commands]]\nsite = "campus"\nvia = "mqtt"\nhost = "{HOST}"\nport = {port}\n'
        'rules = "commands.toml"\nresponses = true\nclient_id = "bench-commands"\n'
    )


@contextlib.contextmanager
def device(port: int, given: Given) -> Generator[None]:
    """The device, once it listens; what it executed stands in `given` at the end."""
    command = [sys.executable, "-m", "bench.live.device", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "listening\n":
            raise ServerError("the device does not listen")
        yield
        times, different = process.communicate(timeout=60)[0].split()
        given.executed = int(times), int(different)
    finally:
        process.kill()
        process.wait()

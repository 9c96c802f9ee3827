"""One question to the asker and to each peer alone, in turns; the answer held against one folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.federation_sites.worlds import iri
from bench.graphql_peers.serving import HOST, JSON, PATH, ServerError, started, twinmesh_command

if TYPE_CHECKING:
    from pathlib import Path

    from bench.federation_sites.worlds import Seat, World
    from bench.graphql_peers.serving import Server

SETTLE_S_MAX = 60.0
QUESTIONS = {
    "by id": f'{{ node(id: "{iri("site1", 7)}") {{ id name kind }} }}',
    "filter": """{ twins(kind: "brick:Fan", filter: {attribute: [{name: "ratedPower", gt: 95, unit: "kW"}]},
        first: 100) { totalCount nodes { id name } } }""",
    "nested": """{ twins(kind: "brick:Fan", filter: {name: {startsWith: "Fan 13 "}}, first: 20) {
        nodes { id name out(relation: "tm:supplies") { nodes { twin { id name
        out(relation: "tm:supplies") { nodes { twin { id name } } } } } } } } }""",
    "aggregate": """{ aggregate(kind: "brick:Equipment", groupBy: ["kind"], measures: [{op: COUNT},
        {op: SUM, of: "ratedPower"}, {op: MEAN, of: "valuePerHour"}]) { keys values } }""",
}


class Caller:
    """One kept connection, as a client of that server has; made anew where the server has closed it."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._line = http.client.HTTPConnection(HOST, seat.port, timeout=120)

    def ask(self, query: str) -> tuple[float, dict[str, Any]]:
        """Milliseconds, and the answer. ServerError."""
        body = json.dumps({"query": query}).encode()
        headers = {"Authorization": f"Bearer {self._seat.token}", "Content-Type": JSON, "Accept": JSON}
        for is_last in (False, True):
            begun = time.perf_counter()
            try:
                self._line.request("POST", PATH, body, headers)
                answer = self._line.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._line.close()
                if is_last:
                    raise ServerError(f"{self._seat.name}: {error}") from error
                continue
            took_ms = (time.perf_counter() - begun) * 1e3
            if answer.status != 200:
                raise ServerError(f"{self._seat.name}: status {answer.status}: {text[:200]!r}")
            return took_ms, json.loads(text)
        raise AssertionError

    def close(self) -> None:
        self._line.close()


@dataclass(eq=False)
class Fleet:
    """All servers of a world, running."""

    world: World
    servers: dict[str, Server] = field(default_factory=dict[str, "Server"])
    callers: dict[str, Caller] = field(default_factory=dict[str, Caller])

    def start(self, stack: ExitStack, log: Path) -> None:
        """ServerError where one does not start, or the asker hears nothing of its peers."""
        for seat in (*self.world.peers, self.world.merged, self.world.asker):
            command = [*twinmesh_command(seat.folder, seat.port), "--config", str(seat.folder / "bench.toml")]
            path = log / f"{seat.name}.log"
            self.servers[seat.name] = stack.enter_context(
                started(seat.name, command, seat.port, seat.token, path)
            )
            caller = self.callers[seat.name] = Caller(seat)
            stack.enter_context(contextlib.closing(caller))
        ends_s = time.monotonic() + SETTLE_S_MAX
        while not self._is_settled():
            if time.monotonic() > ends_s:
                raise ServerError("the asker does not hear from all of its peers")
            time.sleep(0.2)

    def _is_settled(self) -> bool:
        _, told = self.callers[self.world.asker.name].ask("{ twins(first: 1) { nodes { id } } }")
        sources = told["extensions"].get("sources", [])
        answered = {each["peer"] for each in sources if each["status"] == "ANSWERED" and each["peer"]}
        return answered == {peer.name for peer in self.world.peers}


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds at the median; processor milliseconds of the asker, and of all peers together."""

    question: str
    federated_ms: float
    slowest_ms: float
    asker_ms: float
    peers_ms: float
    agrees: bool

    @property
    def more_ms(self) -> float:
        return self.federated_ms - self.slowest_ms


def measure(fleet: Fleet, name: str, rounds: int, *, is_alone_too: bool = True) -> Measured:
    """The question in turns to the asker and to each peer alone. ServerError."""
    query, world = QUESTIONS[name], fleet.world
    asker = fleet.callers[world.asker.name]
    _, whole = fleet.callers[world.merged.name].ask(query)
    federated: list[float] = []
    alone: dict[str, list[float]] = {peer.name: [] for peer in world.peers}
    spent = {"asker": 0.0, "peers": 0.0}
    agrees = True
    for number in range(rounds + 2):
        before = _processor_s(fleet)
        took_ms, told = asker.ask(query)
        after = _processor_s(fleet)
        agrees = agrees and json.dumps(told.get("data")) == json.dumps(whole.get("data"))
        agrees = agrees and told["extensions"].get("completeness") == "FULL"
        if number < 2:  # what is made once: schemas, plans, connections
            continue
        federated.append(took_ms)
        for part in spent:
            spent[part] += (after[part] - before[part]) * 1e3
        for peer in world.peers if is_alone_too else ():
            alone[peer.name].append(fleet.callers[peer.name].ask(query)[0])
    slowest = max((median(each) for each in alone.values() if each), default=0.0)
    cost = [spent[part] / rounds for part in ("asker", "peers")]
    return Measured(name, median(federated), slowest, *cost, agrees)


def _processor_s(fleet: Fleet) -> dict[str, float]:
    peers = sum(fleet.servers[peer.name].processor_s() for peer in fleet.world.peers)
    return {"asker": fleet.servers[fleet.world.asker.name].processor_s(), "peers": peers}

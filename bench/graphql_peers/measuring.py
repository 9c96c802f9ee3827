"""The questions over HTTP: servers take turns, round after round, so that all meet the same machine."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.graphql_peers.fleet import Fleet, table_of
from bench.graphql_peers.growing import grow
from bench.graphql_peers.loading import Loader, Run
from bench.graphql_peers.peers import PEERS, STOCK, Place, start_fleet
from bench.graphql_peers.questions import SMALL, THOUSAND, WARM
from bench.graphql_peers.serving import Server, ServerError
from bench.stores.table import OURS, Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.graphql_peers.loading import Told
    from bench.graphql_peers.questions import Question

SEED = 5
CONNECTIONS = 4
WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """rounds, and seconds of each round for each server."""

    rounds: int
    seconds: float


class Measuring:
    """Collects figures. MissingError where there is no load generator."""

    def __init__(self, place: Place) -> None:
        self.figures: list[Figures] = []
        self.place = place
        self.loader = Loader(place.folder)
        self._order = random.Random(SEED)
        self._fresh = 0

    def figures_of(self, question: str, graph: str, unit: str, *, more_is_better: bool = False) -> Figures:
        made = Figures(question, graph, unit, more_is_better)
        self.figures.append(made)
        return made

    # Seen before

    def warm(self, pumps: int, effort: Effort) -> None:
        """All peers on one table: requests a second, and processor time of the server for one."""
        with ExitStack() as stack:
            servers = start_fleet(stack, self.place, (OURS, *PEERS), pumps)
            fleet = Fleet.of(pumps)
            for question in WARM:
                self._warm_question(servers, question, fleet, effort)

    def _warm_question(
        self, servers: dict[str, Server], question: Question, fleet: Fleet, effort: Effort
    ) -> None:
        graph = table_of(fleet.pumps)
        speed = self.figures_of(f"{question.name}, warm", graph, "requests/s", more_is_better=True)
        cost = self.figures_of(f"{question.name}, warm, processor time of the server", graph, "us")
        load = self.figures_of(f"{question.name}, warm, processor time of the load generator", graph, "us")
        body, expected = {"query": question.text()}, question.answer(fleet)

        def measure(server: Server, seconds: float) -> Told:
            return self.loader.run(server, [body], Run(seconds, CONNECTIONS))

        def check(server: Server) -> bool:
            measure(server, WARM_UP_S)
            return server.data(question.text()) == expected

        def add(server: Server) -> None:
            told = measure(server, effort.seconds)
            speed.add(server.name, told.per_s, told.good)
            cost.add(server.name, 1e6 * told.server_cpu_s / told.requests)
            load.add(server.name, 1e6 * told.client_cpu_s / told.requests)

        self.rounds(servers.values(), effort.rounds, speed, check, add)

    # First sight

    def cold(self, pumps: int, effort: Effort) -> None:
        """Ours and stock Strawberry on one table, one connection: no text is asked twice. Then growth."""
        with ExitStack() as stack:
            servers = start_fleet(stack, self.place, (OURS, STOCK), pumps)
            fleet = Fleet.of(pumps)
            self._first_of_all(servers, pumps)
            for question in (SMALL, THOUSAND):
                self._cold_question(servers, question, fleet, effort)
            if OURS in servers:
                self._flood(servers[OURS], fleet)
                grow(self, servers[OURS], fleet)

    def _first_of_all(self, servers: dict[str, Server], pumps: int) -> None:
        """The first question that a fresh server gets; one round, because there is only one first."""
        figures = self.figures_of(FIRST, table_of(pumps), "ms")
        for server in servers.values():
            started = time.perf_counter()
            found = server.data(SMALL.text(0))
            figures.add(server.name, 1e3 * (time.perf_counter() - started), "pumpList" in found)

    def _flood(self, server: Server, fleet: Fleet) -> None:
        """Memory that thousands of further texts leave behind, after as many were seen before."""
        gained = self.figures_of(GAINED, table_of(fleet.pumps), "MB")
        for turn in range(2):
            before_mb = server.resident_mb()
            bodies = [{"query": THOUSAND.text(self._fresh_number())} for _ in range(FLOOD_TEXTS)]
            told = self.loader.run(server, bodies, Run(FLOOD_S_MAX, CONNECTIONS, once=True))
            if turn:
                gained.add(OURS, server.resident_mb() - before_mb, told.good)
                gained.notes[OURS] = f"{told.requests:,} texts"

    def _cold_question(
        self, servers: dict[str, Server], question: Question, fleet: Fleet, effort: Effort
    ) -> None:
        graph = table_of(fleet.pumps)
        mean = self.figures_of(f"{question.name}, cold", graph, "ms")
        tail = self.figures_of(f"{question.name}, cold, p99", graph, "ms")
        cost = self.figures_of(f"{question.name}, cold, processor time of the server", graph, "us")

        def check(server: Server) -> bool:
            number = self._fresh_number()
            found = server.data(question.text(number))["pumpList"]["nodes"]
            for node in found:
                node["name"] = node.pop(f"n{number:09d}")
            return {"pumpList": {"nodes": found}} == question.answer(fleet)

        def add(server: Server) -> None:
            bodies = [{"query": question.text(self._fresh_number())} for _ in range(COLD_TEXTS)]
            told = self.loader.run(server, bodies, Run(effort.seconds, 1, once=True))
            mean.add(server.name, 1e3 * told.mean_s, told.good)
            tail.add(server.name, 1e3 * told.p99_s)
            cost.add(server.name, 1e6 * told.server_cpu_s / told.requests)

        self.rounds(servers.values(), effort.rounds, mean, check, add)

    def _fresh_number(self) -> int:
        self._fresh += 1
        return self._fresh

    # Inside

    def rounds(
        self,
        servers: Iterable[Server],
        rounds: int,
        figures: Figures,
        check: Callable[[Server], bool],
        add: Callable[[Server], None],
    ) -> None:
        """Every server is checked first, then takes part in every round; one that fails is out, and told."""
        taking_part: list[Server] = []
        for server in servers:
            if self._attempt(figures, server, lambda each: figures.agree.__setitem__(each.name, check(each))):
                taking_part.append(server)
        for _ in range(rounds):
            self._order.shuffle(taking_part)
            taking_part = [server for server in taking_part if self._attempt(figures, server, add)]

    def _attempt(self, figures: Figures, server: Server, work: Callable[[Server], None]) -> bool:
        try:
            work(server)
        except ServerError as error:
            figures.fail(server.name, str(error))
            return False
        return True


FIRST = "first answer of a fresh server"
FLOOD_TEXTS, FLOOD_S_MAX = 2_000, 20.0
GAINED = "memory gained by texts never seen, after as many before"
# More than any server answers in a round.
COLD_TEXTS = 20_000

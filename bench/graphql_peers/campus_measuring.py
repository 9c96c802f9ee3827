"""The campus of 552,111 twins: ours beside @neo4j/graphql on a real Neo4j, one question after the other."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bench.campus_data import Spec
from bench.graphql_peers.campus_questions import CAMPUS
from bench.graphql_peers.installing import MissingError
from bench.graphql_peers.loading import Run
from bench.graphql_peers.neo4j_server import NAME, neo4j_graphql
from bench.graphql_peers.peers import start_twinmesh
from bench.graphql_peers.serving import JSON, LINES, ServerError
from bench.stores.table import OURS

if TYPE_CHECKING:
    from bench.campus_data import Graph
    from bench.graphql_peers.campus_questions import CampusQuestion
    from bench.graphql_peers.loading import Told
    from bench.graphql_peers.measuring import Effort, Measuring
    from bench.graphql_peers.serving import Server

SEED = 6
CONNECTIONS = 4
# The Java machine compiles what ran often: so many requests first, or so many turns on a busy machine.
WARM_UP_S, WARM_UP_REQUESTS, WARM_UP_TURNS_MAX = 4.0, 300, 8
BODIES = 200


class CampusMeasuring:
    """Fills, starts and asks; figures go into `measuring`."""

    def __init__(self, measuring: Measuring, buildings: int, effort: Effort) -> None:
        self._measuring = measuring
        self._buildings = buildings
        self._effort = effort
        self._random = random.Random(SEED)

    def run(self) -> None:
        graph = Spec("campus", self._buildings).make()
        place = self._measuring.place
        with ExitStack() as stack:
            servers = [start_twinmesh(stack, place, "campus", self._buildings)]
            try:
                servers.append(stack.enter_context(neo4j_graphql(place, self._buildings)))
            except (MissingError, ServerError) as error:
                place.missing[NAME] = str(error)
            for question in CAMPUS:
                self._ask(servers, question, graph)

    def _ask(self, servers: list[Server], question: CampusQuestion, graph: Graph) -> None:
        title = f"campus {graph.twins:,}"
        median = self._measuring.figures_of(question.name, title, "ms")
        tail = self._measuring.figures_of(f"{question.name}, p99", title, "ms")
        many = f"{question.name}, {CONNECTIONS} connections"
        speed = self._measuring.figures_of(many, title, "requests/s", more_is_better=True)

        def check(server: Server) -> bool:
            self._warm_up(server, question, graph)
            asked = question.draw(self._random, graph, self._buildings)
            return answer_of(server, question, asked) == question.right(graph, asked)

        def add(server: Server) -> None:
            told = self._load(server, question, graph, self._effort.seconds, 1)
            median.add(server.name, 1e3 * told.p50_s, told.good)
            tail.add(server.name, 1e3 * told.p99_s)

        def add_many(server: Server) -> None:
            told = self._load(server, question, graph, self._effort.seconds, CONNECTIONS)
            speed.add(server.name, told.per_s, told.good)

        self._measuring.rounds(servers, self._effort.rounds, median, check, add)
        answering = [server for server in servers if server.name in median.values]
        self._measuring.rounds(answering, self._effort.rounds, speed, lambda _: True, add_many)

    def _warm_up(self, server: Server, question: CampusQuestion, graph: Graph) -> None:
        requests = 0
        for _ in range(WARM_UP_TURNS_MAX):
            requests += self._load(server, question, graph, WARM_UP_S, 1).requests
            if requests >= WARM_UP_REQUESTS:
                return

    def _load(
        self, server: Server, question: CampusQuestion, graph: Graph, seconds: float, connections: int
    ) -> Told:
        text = question.ours if server.name == OURS else question.theirs
        drawn = [question.draw(self._random, graph, self._buildings) for _ in range(BODIES)]
        bodies = [{"query": text, "variables": variables} for variables in drawn]
        accept = LINES if question.streamed and server.name == OURS else JSON
        return self._measuring.loader.run(server, bodies, Run(seconds, connections, accept=accept))


def answer_of(server: Server, question: CampusQuestion, asked: dict[str, Any]) -> Any:
    if server.name == OURS and question.streamed:
        return question.read_ours(server.lines(question.ours, asked))
    if server.name == OURS:
        return question.read_ours(server.data(question.ours, asked))
    return question.read_theirs(server.data(question.theirs, asked))

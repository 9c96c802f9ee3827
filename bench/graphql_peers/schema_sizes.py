"""The generated schema: seconds to build it for many kinds in use, what one more kind costs a server."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.graphql_peers.kinds import SITE, further_kinds
from bench.graphql_peers.peers import run_module, start_twinmesh
from bench.graphql_peers.serving import ServerError
from bench.stores.table import OURS

if TYPE_CHECKING:
    from bench.graphql_peers.measuring import Measuring
    from bench.graphql_peers.serving import Server

BUILD, ADD = "building the schema", "until one more kind can be asked for"
STALL, CALM = "longest answer to a bystander meanwhile", "longest answer to a bystander before"
WAIT_S_MAX = 30.0
CALM_S = 2.0
_CHANGE = "mutation ($input: ChangeInput!) { applyChange(input: $input) { applied } }"
_BYSTANDING = "{ sites { name } }"


class Bystander:
    """Asks all the time on a thread of its own, and keeps the longest answer. A context manager."""

    def __init__(self, server: Server) -> None:
        self.longest_s = 0.0
        self._server = server
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ends.is_set():
            started = time.perf_counter()
            self._server.data(_BYSTANDING)
            self.longest_s = max(self.longest_s, time.perf_counter() - started)


def measure_schemas(measuring: Measuring, built: int, grown: int, rounds: int) -> None:
    """built: kinds of the schema that is built. grown: kinds in use before others are added."""
    graph = f"{built:,} kinds"
    figures = measuring.figures_of(BUILD, graph, "s")
    try:
        for seconds in json.loads(run_module("schema_building", str(built), str(rounds))):
            figures.add(OURS, seconds)
    except ServerError as error:
        figures.fail(OURS, str(error))
    with ExitStack() as stack:
        try:
            server = start_twinmesh(stack, measuring.place, "kinds", grown)
            _grow(measuring, server, grown, rounds)
        except ServerError as error:
            measuring.figures_of(ADD, f"{grown:,} kinds", "s").fail(OURS, str(error))


def _grow(measuring: Measuring, server: Server, grown: int, rounds: int) -> None:
    graph = f"{grown:,} kinds"
    added = measuring.figures_of(ADD, graph, "s")
    calm = measuring.figures_of(CALM, graph, "s")
    stalled = measuring.figures_of(STALL, graph, "s")
    for kind in further_kinds(rounds):
        with Bystander(server) as before:
            time.sleep(CALM_S)
        with Bystander(server) as meanwhile:
            added.add(OURS, _add(server, kind.name, f"{kind.field}List"))
        calm.add(OURS, before.longest_s)
        stalled.add(OURS, meanwhile.longest_s)


def _add(server: Server, kind: str, root: str) -> float:
    """Seconds from the acknowledged change until the new kind's root answers. ServerError."""
    change = {"site": SITE, "putTwins": [{"id": f"new-{root}", "kinds": [kind], "name": "new"}]}
    server.data(_CHANGE, {"input": change})
    started = time.perf_counter()
    while True:
        answer = server.ask({"query": f"{{ {root} {{ nodes {{ name }} }} }}"})
        spent_s = time.perf_counter() - started
        if answer.get("data") == {root: {"nodes": [{"name": "new"}]}}:
            return spent_s
        if spent_s > WAIT_S_MAX:
            raise ServerError(f"{root} did not come in {WAIT_S_MAX:.0f} s")

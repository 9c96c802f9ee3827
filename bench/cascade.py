"""Cascades beside NetworkX, SciPy, cynetdiff and NDlib: the same graphs and starts, and agreeing answers.

    uv run twinmesh bench cascade [--json]

Ours tells of every run who is hit when, how long and how deep, what it costs and by which cause; the peers
tell who is hit. "p = 1": ten twins fail, everyone downstream is hit. "p = 0.3": every relationship passes a
failure on with probability 0.3; with us it is a supplier with a reserve that fails with that probability,
so the world is six times as large as the peers' graph. One thread each; medians of interleaved repeats.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
from cynetdiff.utils import networkx_to_ic_model
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from simulation.cascade.blocks import block_runs, frame_of, new_desk, run_block
from simulation.cascade.montecarlo import run_case
from simulation.case import Case, Draws, Money, Outages
from simulation.distributions import Durations, parse_duration
from simulation.plan import make_plan
from simulation.warm import warm
from simulation.world import DEFAULT_NEED, FULL, HOUR_US, NEVER, Grid, RunInputs, World

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

REPEATS = 5
SEED = 20
STARTS = 10
PASSES_ON = 0.3
MEAN_RUNS = 400
ERRORS_MAX = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Dag:
    """Edges source < target, each pair once; int64[e]."""

    nodes: int
    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]

    @property
    def starts(self) -> list[int]:
        """The first nodes with followers."""
        return np.unique(self.source)[:STARTS].tolist()

    def networkx(self) -> nx.DiGraph:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(self.nodes))
        graph.add_edges_from(zip(self.source.tolist(), self.target.tolist(), strict=True))
        return graph


def random_dag(nodes: int, edges: int) -> Dag:
    random = np.random.default_rng(SEED)
    ends = np.sort(random.integers(0, nodes, (edges, 2)), axis=1)
    ends = np.unique(ends[ends[:, 0] < ends[:, 1]], axis=0)
    return Dag(nodes, ends[:, 0], ends[:, 1])


# Ours


def plain_case(dag: Dag) -> Case:
    """Every twin needs all its suppliers; the starts fail at hour 0."""
    order = np.argsort(dag.target, kind="stable")
    twin, count = np.unique(dag.target, return_counts=True)
    world = _world(dag.nodes, twin, np.append(0, np.cumsum(count)), dag.source[order], DEFAULT_NEED)
    return _case(world, dag.starts, certain=len(dag.starts))


def chancy_case(dag: Dag) -> Case:
    """Every relationship is a need group: its source, or a reserve that fails with `PASSES_ON`."""
    edges = len(dag.source)
    order = np.argsort(dag.target, kind="stable")
    reserve = dag.nodes + np.arange(edges)
    source = np.stack((dag.source[order], reserve), axis=1).reshape(-1)
    start = np.arange(0, 2 * edges + 1, 2)
    world = _world(dag.nodes + edges, dag.target[order], start, source, FULL)
    return _case(world, [*dag.starts, *reserve.tolist()], certain=len(dag.starts))


def _world(twins: int, group_twin: Any, group_start: Any, source: Any, need: int) -> World:
    groups, edges = len(group_twin), len(source)
    return World(
        twin_key=np.arange(1, twins + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        restart_us=np.zeros(twins, np.int64),
        group_twin=group_twin.astype(np.int32),
        group_founded=np.zeros(groups, np.bool_),
        group_need=np.full(groups, need, np.int64),
        group_threshold=np.zeros(groups, np.int32),
        group_buffer_us=np.zeros(groups, np.int64),
        group_refill=np.full(groups, FULL, np.int64),
        group_tolerance_us=np.zeros(groups, np.int64),
        group_start=group_start.astype(np.int64),
        group_key=np.arange(groups, dtype=np.uint64),
        edge_source=source.astype(np.int32),
        edge_weight=np.full(edges, FULL, np.int64),
        edge_delay_us=np.zeros(edges, np.int64),
        edge_key=np.arange(edges, dtype=np.uint64),
    )


def _case(world: World, failing: list[int], certain: int) -> Case:
    """The first `certain` of the failing twins do so for sure, the others with `PASSES_ON`."""
    ways = len(failing)
    chance = np.where(np.arange(ways) < certain, 1.0, PASSES_ON)
    order = np.argsort(failing, kind="stable")
    narrow, wide = np.zeros(0, np.int8), np.zeros(0, np.int32)
    return Case(
        world=world,
        plan=make_plan(world),
        calm=RunInputs.calm(world),
        draws=Draws(narrow, wide, Durations.of(()), np.zeros(0, np.uint64), narrow, wide, narrow),
        outages=Outages(
            first=np.append(0, np.cumsum(np.bincount(failing, minlength=world.twins))).astype(np.int64),
            chance=chance[order],
            at_us=np.zeros(ways, np.int64),
            start=Durations.of([parse_duration(0.0)] * ways),
            start_index=np.zeros(ways, np.int32),
            repair=Durations.of([None] * ways),
            repair_index=np.zeros(ways, np.int32),
            before_us=np.full(ways, NEVER),
        ),
        damage_chance=np.zeros(world.groups),
        money=Money(
            np.zeros(world.twins + 1, np.int64),
            *([np.zeros(0, np.int64)] * 2),
            np.zeros(world.twins, np.int64),
        ),
        horizon_us=72 * HOUR_US,
        grid=Grid(),
        seed=SEED,
    )


def repeated(case: Case, runs: int) -> Callable[[], Any]:
    """The same run over and over, all of it told, on one thread."""
    frame = frame_of(case)
    desk = new_desk(case, frame)
    return lambda: run_block(frame, desk, 0, runs)


def reached_by_us(case: Case) -> set[int]:
    return set(np.flatnonzero(run_case(case, 1, threads=1).hits).tolist())


# Peers


def reached_by_networkx(graph: nx.DiGraph, starts: list[int]) -> set[int]:
    """NetworkX's way to ask for everyone downstream of several nodes."""
    return {node for layer in nx.bfs_layers(graph, starts) for node in layer}


def reached_by_scipy(matrix: csr_array, starts: list[int]) -> set[int]:
    found: set[int] = set()
    for start in starts:
        if start not in found:
            found.update(breadth_first_order(matrix, start, return_predecessors=False).tolist())
    return found


def cynetdiff_run(model: Any, starts: list[int]) -> set[int]:
    model.reset_model()
    model.set_seeds(set(starts))
    model.advance_until_completion()
    return set(model.get_activated_nodes())


def ndlib_model(graph: nx.DiGraph, starts: list[int]) -> Any:
    """NDlib keeps its state, so each run needs a model of its own; making it is not timed."""
    from ndlib.models.epidemics import IndependentCascadesModel
    from ndlib.models.ModelConfig import Configuration

    model = IndependentCascadesModel(graph, seed=SEED)
    settings = Configuration()
    settings.add_model_initial_configuration("Infected", starts)
    for edge in graph.edges():
        settings.add_edge_configuration("threshold", edge, 1.0)
    model.set_initial_status(settings)
    return model


def ndlib_run(model: Any) -> set[int]:
    while model.iteration()["node_count"][1]:
        pass
    return {node for node, status in model.status.items() if status}


# Measuring


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def interleaved(works: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each, taken in turns so that all meet the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(timed(work)[0])
    return {name: median(found) for name, found in seconds.items()}


def row(
    question: str, graph: str, peer: str, ours_s: float, theirs_s: float, agree: bool, answer: Any
) -> dict[str, Any]:
    return {
        "question": question,
        "graph": graph,
        "peer": peer,
        "twinmesh_runs_s": round(1 / ours_s, 2),
        "peer_runs_s": round(1 / theirs_s, 2),
        "ratio": float(f"{theirs_s / ours_s:.2g}"),
        "agree": agree,
        "answer": answer,
    }


def everyone_downstream(name: str, dag: Dag, *, with_ndlib: bool) -> list[dict[str, Any]]:
    """p = 1: the very same twins are hit."""
    case, graph, starts = plain_case(dag), dag.networkx(), dag.starts
    shape = (dag.nodes, dag.nodes)
    matrix = csr_array((np.ones(len(dag.source), np.int8), (dag.source, dag.target)), shape=shape)
    model, number = networkx_to_ic_model(graph, activation_prob=1.0)
    node_of = {of_model: node for node, of_model in number.items()}
    own_starts = [number[node] for node in starts]
    peers: dict[str, Callable[[], set[int]]] = {
        "networkx bfs_layers": lambda: reached_by_networkx(graph, starts),
        "scipy breadth_first_order": lambda: reached_by_scipy(matrix, starts),
        "cynetdiff IC": lambda: {node_of[one] for one in cynetdiff_run(model, own_starts)},
    }
    ours = reached_by_us(case)
    agree = {peer: work() == ours for peer, work in peers.items()}
    runs = min(20, block_runs(dag.nodes))
    timing = dict(peers) | {"cynetdiff IC": lambda: _advance(model, own_starts)}
    seconds = interleaved({"twinmesh": repeated(case, runs), **timing})
    seconds["twinmesh"] /= runs
    if with_ndlib:
        peer = "NDlib IC"
        try:
            made = ndlib_model(graph, starts)
        except ModuleNotFoundError as error:  # NDlib 6.0.1 needs six and does not say so
            print(f"NDlib left out: {error}", file=sys.stderr)
        else:
            seconds[peer], hit = timed(lambda: ndlib_run(made))
            agree[peer] = hit == ours
    told = f"{len(ours)} hit"
    return [row("p = 1", name, peer, seconds["twinmesh"], seconds[peer], agree[peer], told) for peer in agree]


def _advance(model: Any, starts: list[int]) -> None:
    """What a cynetdiff user times: the cascade without fetching the set."""
    model.reset_model()
    model.set_seeds(set(starts))
    model.advance_until_completion()


def passed_on_by_chance(name: str, dag: Dag) -> dict[str, Any]:
    """p = 0.3: means over many runs agree within `ERRORS_MAX` standard errors."""
    case = chancy_case(dag)
    model, number = networkx_to_ic_model(dag.networkx(), activation_prob=PASSES_ON, rng=SEED)
    own_starts = [number[node] for node in dag.starts]
    ours = _hits_by_run(case, dag.nodes)
    theirs = [len(cynetdiff_run(model, own_starts)) for _ in range(MEAN_RUNS)]
    error = math.sqrt((np.var(ours) + np.var(theirs)) / MEAN_RUNS)
    gap = abs(np.mean(ours) - np.mean(theirs)) / error
    runs = block_runs(case.world.twins)
    seconds = interleaved(
        {"twinmesh": repeated(case, runs), "cynetdiff IC": lambda: _advance(model, own_starts)}
    )
    answer = f"mean {np.mean(ours):.1f} and {np.mean(theirs):.1f} hit, {gap:.1f} standard errors apart"
    return row(
        "p = 0.3",
        name,
        "cynetdiff IC",
        seconds["twinmesh"] / runs,
        seconds["cynetdiff IC"],
        bool(gap < ERRORS_MAX),
        answer,
    )


def _hits_by_run(case: Case, nodes: int) -> list[int]:
    """How many of the first `nodes` twins each of `MEAN_RUNS` runs hits."""
    frame = frame_of(case)
    desk = new_desk(case, frame)
    found: list[int] = []
    while len(found) < MEAN_RUNS:
        runs = min(block_runs(case.world.twins), MEAN_RUNS - len(found))
        desk, tally, _ = run_block(frame, desk, len(found), runs)
        found += (tally.first[:, :nodes] < NEVER).sum(axis=1).tolist()
    return found


def run() -> dict[str, Any]:
    """Measure everything. Keys: machine, versions, rows, aims."""
    warm()
    small, large = random_dag(10_000, 50_000), random_dag(100_000, 500_000)
    rows = [
        *everyone_downstream("dag 1e4/5e4", small, with_ndlib=True),
        *everyone_downstream("dag 1e5/5e5", large, with_ndlib=False),
        passed_on_by_chance("dag 1e4/5e4", small),
    ]
    return {
        "machine": {
            "processors": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {
            name: version(name) for name in ("networkx", "scipy", "cynetdiff", "ndlib", "numba", "twinmesh")
        },
        "rows": rows,
        "aims": [_aim(rows, peer) for peer in ("networkx", "NDlib", "cynetdiff")],
    }


def _aim(rows: list[dict[str, Any]], peer: str) -> dict[str, Any]:
    """Issue 3 wants first ratios with agreeing results; later steps set aims for the ratios."""
    mine = [one for one in rows if one["peer"].startswith(peer)]
    return {
        "name": f"agrees with {peer}, with a first ratio",
        "aim": len(mine),
        "value": sum(one["agree"] for one in mine),
        "met": bool(mine) and all(one["agree"] for one in mine),
    }


def main(arguments: list[str]) -> int:
    result = run()
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    columns = ("question", "graph", "peer", "twinmesh_runs_s", "peer_runs_s", "ratio", "agree", "answer")
    print(" | ".join(columns))
    for one in result["rows"]:
        print(" | ".join(str(one[column]) for column in columns))
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} of {aim['aim']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

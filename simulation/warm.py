"""Getting the kernels ready before the first question: compiled once per version, then loaded from disk.

`python -m simulation.warm` does it in a process of its own.
"""

from __future__ import annotations

import fcntl

import numpy as np

from simulation.cascade.given import GivenRuns
from simulation.cascade.jit import warm_mark
from simulation.cascade.montecarlo import run_case
from simulation.cascade.reach import spread
from simulation.case import Case, Draws, Money, Outages
from simulation.circles import outgoing
from simulation.distributions import Durations, Rounding, parse_duration
from simulation.plan import make_plan
from simulation.world import DEFAULT_NEED, FULL, HOUR_US, NEVER, Grid, RunInputs, World


def warm() -> None:
    """Run a world of two twins through every kernel. Takes a minute or so after an update, else a second.

    OSError where the folder of compiled kernels cannot be written.
    """
    world = _world()
    start, edge = outgoing(world.edge_source, world.twins)
    spread(np.array([True, False]), start, world.group_twin[edge])
    run_case(_case(world), 2, threads=1)
    GivenRuns(_case(world), 0, [1]).levels({0: []})  # a partner waits for an answer, not for a compiler
    mark = warm_mark()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def are_compiled() -> bool:
    """Whether `warm` has run since the last update, so that kernels only have to be loaded."""
    return warm_mark().exists()


def _world() -> World:
    """The first twin supplies the second."""
    one, key = np.zeros(1, np.int64), np.array([1], np.uint64)
    return World(
        twin_key=np.array([1, 2], np.uint64),
        restart_us=np.zeros(2, np.int64),
        group_twin=np.array([1], np.int32),
        group_founded=np.array([False]),
        group_need=np.array([DEFAULT_NEED]),
        group_threshold=np.zeros(1, np.int32),
        group_buffer_us=one,
        group_refill=np.array([FULL]),
        group_tolerance_us=one,
        group_start=np.array([0, 1]),
        group_key=key,
        edge_source=np.zeros(1, np.int32),
        edge_weight=np.array([FULL]),
        edge_delay_us=one,
        edge_key=key,
    )


def _case(world: World) -> Case:
    """The first twin fails with even chances and is repaired."""
    life, repair = parse_duration("uniform(0,2)"), parse_duration(1.0)
    repair.to_us(Rounding.UP)
    small = np.zeros(0, np.int8)
    return Case(
        world=world,
        plan=make_plan(world),
        calm=RunInputs.calm(world),
        draws=Draws(
            small,
            np.zeros(0, np.int32),
            Durations.of(()),
            np.zeros(0, np.uint64),
            small,
            np.zeros(0, np.int32),
            small,
        ),
        outages=Outages(
            first=np.array([0, 1, 1]),
            chance=np.array([0.5]),
            at_us=np.zeros(1, np.int64),
            start=Durations.of([life]),
            start_index=np.zeros(1, np.int32),
            repair=Durations.of([repair]),
            repair_index=np.zeros(1, np.int32),
            before_us=np.array([NEVER]),
        ),
        damage_chance=np.zeros(1),
        money=Money(np.array([0, 1, 1]), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(2, np.int64)),
        horizon_us=HOUR_US,
        grid=Grid(),
        seed=0,
    )


def warm_once() -> None:
    """As `warm`, unless it is done; processes that start together on a fresh machine take turns."""
    folder = warm_mark().parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "compiling").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not are_compiled():
            warm()


if __name__ == "__main__":
    warm_once()

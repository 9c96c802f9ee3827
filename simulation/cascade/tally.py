"""Adding up what a run gave, in whole numbers: sums do not depend on the order of runs, blocks or threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulation.cascade.jit import kernel
from simulation.cascade.layout import STRIKES, Graph, Scratch
from simulation.world import FULL, HOUR_US, NEVER, Int32s, Int64s

if TYPE_CHECKING:
    from simulation.case import Case

_LOW_BITS = 20
_LOW = (1 << _LOW_BITS) - 1


class Prices(NamedTuple):
    """`simulation.case.Money`, flat; thousandths."""

    start: Int64s
    time: Int64s
    per_hour: Int64s
    repair: Int64s


class Tally(NamedTuple):
    """What a block of runs added up to. Sums stay in 64 bits for blocks of `BLOCK_RUNS_MAX` runs."""

    hits: Int64s  # [n] runs in which the level fell below full
    down: Int64s  # [n] sum of microseconds of full loss
    cost: Int64s  # [n] sum of thousandths
    lowest: Int32s  # [n] lowest level seen
    first: Int64s  # [runs, n] when the level first fell, NEVER
    run_cost: Int64s  # [runs]
    struck_until: Int64s  # [n] working memory: end of the damage counted last


def prices_of(case: Case) -> Prices:
    money = case.money
    return Prices(money.start, money.time_us, money.per_hour, money.repair)


def new_tally(runs: int, twins: int) -> Tally:
    return Tally(
        hits=np.zeros(twins, np.int64),
        down=np.zeros(twins, np.int64),
        cost=np.zeros(twins, np.int64),
        lowest=np.full(twins, FULL, np.int32),
        first=np.full((runs, twins), NEVER, np.int64),
        run_cost=np.zeros(runs, np.int64),
        struck_until=np.full(twins, -1, np.int64),
    )


@kernel
def tally_run(
    graph: Graph, scratch: Scratch, prices: Prices, failures: Int32s, horizon: int, tally: Tally, row: int
) -> None:
    """Add the run that `scratch` holds to the tally, as its row."""
    _count_strikes(graph, scratch, prices, tally, row)
    for twin in range(len(failures)):
        cost = failures[twin] * prices.repair[twin]
        count = scratch.out_count[twin]
        if count > 0:
            begin = scratch.out_first[twin]
            time, level = scratch.pool_time, scratch.pool_level
            tally.hits[twin] += 1
            tally.first[row, twin] = time[begin]
            for place in range(begin, begin + count):
                tally.lowest[twin] = min(tally.lowest[twin], level[place])
            tally.down[twin] += lost(time, level, begin, begin + count, 0, horizon)
            for piece in range(prices.start[twin], prices.start[twin + 1]):
                until = horizon
                if piece + 1 < prices.start[twin + 1]:
                    until = min(until, prices.time[piece + 1])
                down = lost(time, level, begin, begin + count, prices.time[piece], until)
                cost += worth(prices.per_hour[piece], down)
        tally.cost[twin] += cost
        tally.run_cost[row] += cost


@kernel
def _count_strikes(graph: Graph, scratch: Scratch, prices: Prices, tally: Tally, row: int) -> None:
    """One repair for each stretch of damage of a twin; strikes that overlap are one stretch."""
    strikes = scratch.used[STRIKES]
    order = np.argsort(scratch.strike_start[:strikes])
    for place in order:
        twin = graph.group_twin[scratch.strike_group[place]]
        if scratch.strike_start[place] > tally.struck_until[twin]:
            tally.cost[twin] += prices.repair[twin]
            tally.run_cost[row] += prices.repair[twin]
        tally.struck_until[twin] = max(tally.struck_until[twin], scratch.strike_end[place])
    for place in order:
        tally.struck_until[graph.group_twin[scratch.strike_group[place]]] = -1


@kernel
def lost(time: Int64s, level: Int32s, begin: int, end: int, since: int, until: int) -> int:
    """Microseconds of full loss that a row of levels amounts to between two times, rounded down.

    Products of time and level need more than 64 bits: high and low parts of the time are summed apart.
    """
    high, low = 0, 0
    for place in range(begin, end):
        start = max(time[place], since)
        stop = until
        if place + 1 < end:
            stop = min(until, time[place + 1])
        if start < stop:
            high += ((stop - start) >> _LOW_BITS) * (FULL - level[place])
            low += ((stop - start) & _LOW) * (FULL - level[place])
    return high + (low >> _LOW_BITS)


@kernel
def worth(per_hour: int, down: int) -> int:
    """per_hour * down / HOUR_US, half up, without leaving 64 bits: per_hour < 2^41, down < 2^52."""
    hours, rest = down // HOUR_US, down % HOUR_US
    high = (per_hour >> _LOW_BITS) * rest
    low = ((high % HOUR_US) << _LOW_BITS) + (per_hour & _LOW) * rest
    return per_hour * hours + ((high // HOUR_US) << _LOW_BITS) + (low + HOUR_US // 2) // HOUR_US

"""Adding up what a run gave, in whole numbers: sums do not depend on the order of runs, blocks or threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulation.cascade.jit import bare, inlined, part
from simulation.cascade.layout import STRIKES, Table, Tables
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


@bare
def tally_run(tables: Tables, prices: Prices, failures: Int64s, horizon: int, tally: Tally, row: int) -> None:
    """Add the run that the tables hold to the tally, as its row; damage goes apart, see `tally_damage`."""
    for number in range(len(tables.twins)):
        twin = tables.twins[number]
        cost = failures[number] * prices.repair[number]
        if twin.pieces > 0:
            first, end = twin.first_piece, twin.first_piece + twin.pieces
            tally.hits[number] += 1
            tally.first[row, number] = tables.pool[first].time
            for piece in range(first, end):
                tally.lowest[number] = min(tally.lowest[number], tables.pool[piece].value)
            tally.down[number] += lost(tables.pool, first, end, 0, horizon)
            for price in range(prices.start[number], prices.start[number + 1]):
                until = horizon
                if price + 1 < prices.start[number + 1]:
                    until = min(until, prices.time[price + 1])
                cost += worth(
                    prices.per_hour[price], lost(tables.pool, first, end, prices.time[price], until)
                )
        tally.cost[number] += cost
        tally.run_cost[row] += cost


@part
def tally_damage(tables: Tables, prices: Prices, tally: Tally, row: int) -> None:
    """Add one repair for each stretch of damage of a twin; strikes that overlap are one stretch."""
    strikes = tables.used[STRIKES]
    start = np.empty(strikes, np.int64)
    for number in range(strikes):
        start[number] = tables.strikes[number].start
    order = np.argsort(start)
    for number in order:
        strike = tables.strikes[number]
        twin = tables.groups[strike.group].twin
        if strike.start > tally.struck_until[twin]:
            tally.cost[twin] += prices.repair[twin]
            tally.run_cost[row] += prices.repair[twin]
        tally.struck_until[twin] = max(tally.struck_until[twin], strike.end)
    for number in order:
        tally.struck_until[tables.groups[tables.strikes[number].group].twin] = -1


@inlined
def lost(pieces: Table, first: int, end: int, since: int, until: int) -> int:
    """Microseconds of full loss that a row of levels amounts to between two times, rounded down.

    Products of time and level need more than 64 bits: high and low parts of the time are summed apart.
    """
    high, low = 0, 0
    for number in range(first, end):
        start = max(pieces[number].time, since)
        stop = until
        if number + 1 < end:
            stop = min(until, pieces[number + 1].time)
        if start < stop:
            high += ((stop - start) >> _LOW_BITS) * (FULL - pieces[number].value)
            low += ((stop - start) & _LOW) * (FULL - pieces[number].value)
    return high + (low >> _LOW_BITS)


@inlined
def worth(per_hour: int, down: int) -> int:
    """per_hour * down / HOUR_US, half up, without leaving 64 bits: per_hour < 2^41, down < 2^52."""
    hours, rest = down // HOUR_US, down % HOUR_US
    high = (per_hour >> _LOW_BITS) * rest
    low = ((high % HOUR_US) << _LOW_BITS) + (per_hour & _LOW) * rest
    return per_hour * hours + ((high // HOUR_US) << _LOW_BITS) + (low + HOUR_US // 2) // HOUR_US

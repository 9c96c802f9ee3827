"""One run's draws as compiled code: what is the same in every run, plus what this one drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulation.cascade.jit import kernel
from simulation.cascade.layout import Draws, draws_of
from simulation.cascade.rng import Purpose, draw_unit
from simulation.case import Target
from simulation.distributions import ABSENT, Float64s, draw_us
from simulation.world import FULL, NEVER, Int32s, Int64s, UInt64s

if TYPE_CHECKING:
    import numpy.typing as npt

    from simulation.case import Case

_UP = 1
_DOWN = 0
_ONE = np.uint64(0)
_FAILED, _LIFE, _REPAIR, _DAMAGE = (
    np.uint64(purpose) for purpose in (Purpose.FAILED, Purpose.LIFE, Purpose.REPAIR, Purpose.DAMAGE)
)
_DELAY_OF, _BUFFER_OF, _TOLERANCE_OF = (
    int(Target.EDGE_DELAY),
    int(Target.GROUP_BUFFER),
    int(Target.GROUP_TOLERANCE),
)
_RESTART_OF, _SET_OF = int(Target.RESTART), int(Target.RESTART_SET)


class Chances(NamedTuple):
    """What is drawn, by which key, and what holds apart from that; see `simulation.case`."""

    seed: np.uint64
    horizon: int
    twin_key: UInt64s
    # durations
    target: npt.NDArray[np.int8]
    row: Int32s
    family: npt.NDArray[np.int8]
    first: Float64s
    second: Float64s
    key: UInt64s
    purpose: UInt64s
    number: UInt64s
    rounding: npt.NDArray[np.int8]
    # damage: groups with a chance strictly between 0 and 1
    damage_group: Int32s
    damage_chance: Float64s
    damage_key: UInt64s
    # outages by twin
    outage: Int64s
    chance: Float64s
    at: Int64s
    start_family: npt.NDArray[np.int8]
    start_first: Float64s
    start_second: Float64s
    start_index: UInt64s
    repair_family: npt.NDArray[np.int8]
    repair_first: Float64s
    repair_second: Float64s
    repair_index: UInt64s
    before: Int64s
    # own health without outages
    calm_start: Int64s
    calm_time: Int64s
    calm_level: Int32s


class Drawn(NamedTuple):
    """One thread's own inputs, written anew by each run, and how often each twin failed by itself."""

    draws: Draws
    failures: Int32s  # [n]
    span_start: Int64s  # [most outages of a twin]
    span_end: Int64s


def chances_of(case: Case) -> Chances:
    """The chances of a case, flat."""
    draws, outages = case.draws, case.outages
    chancy = np.flatnonzero((case.damage_chance > 0) & (case.damage_chance < 1))
    return Chances(
        seed=np.uint64(case.seed),
        horizon=case.horizon_us,
        twin_key=case.world.twin_key,
        target=draws.target,
        row=draws.row,
        family=draws.duration.family,
        first=draws.duration.first,
        second=draws.duration.second,
        key=draws.key,
        purpose=draws.purpose.astype(np.uint64),
        number=draws.index.astype(np.uint64),
        rounding=draws.rounding,
        damage_group=chancy.astype(np.int32),
        damage_chance=case.damage_chance[chancy],
        damage_key=case.world.group_key[chancy],
        outage=outages.first,
        chance=outages.chance,
        at=outages.at_us,
        start_family=outages.start.family,
        start_first=outages.start.first,
        start_second=outages.start.second,
        start_index=outages.start_index.astype(np.uint64),
        repair_family=outages.repair.family,
        repair_first=outages.repair.first,
        repair_second=outages.repair.second,
        repair_index=outages.repair_index.astype(np.uint64),
        before=outages.before_us,
        calm_start=case.calm.health.start,
        calm_time=case.calm.health.time_us,
        calm_level=case.calm.health.level,
    )


def new_drawn(case: Case) -> Drawn:
    """Inputs for one thread: its own copy of everything that a run may write."""
    flat = draws_of(case.calm)
    pieces = len(case.calm.health.time_us) + 2 * len(case.outages.chance)
    widest = int(np.diff(case.outages.first).max(initial=1))
    own = flat._replace(
        health_start=np.zeros(case.world.twins + 1, np.int64),
        health_time=np.zeros(pieces, np.int64),
        health_level=np.zeros(pieces, np.int32),
        set_value=flat.set_value.copy(),
        delay=flat.delay.copy(),
        restart=flat.restart.copy(),
        repair=flat.repair.copy(),
        buffer=flat.buffer.copy(),
        tolerance=flat.tolerance.copy(),
        damages=case.damage_chance >= 1,
    )
    failures = np.zeros(case.world.twins, np.int32)
    return Drawn(own, failures, np.zeros(widest, np.int64), np.zeros(widest, np.int64))


@kernel
def draw_run(chances: Chances, run: np.uint64, drawn: Drawn) -> None:
    """Write the inputs of one run."""
    draws = drawn.draws
    for slot in range(len(chances.target)):
        unit = draw_unit(chances.seed, run, chances.key[slot], chances.purpose[slot], chances.number[slot])
        time = draw_us(
            chances.family[slot], chances.first[slot], chances.second[slot], unit, chances.rounding[slot]
        )
        target, row = chances.target[slot], chances.row[slot]
        if target == _DELAY_OF:
            draws.delay[row] = time
        elif target == _BUFFER_OF:
            draws.buffer[row] = time
        elif target == _TOLERANCE_OF:
            draws.tolerance[row] = time
        elif target == _RESTART_OF:
            draws.restart[row] = time
        elif target == _SET_OF:
            draws.set_value[row] = time
        else:
            draws.repair[row] = time
    for place in range(len(chances.damage_group)):
        unit = draw_unit(chances.seed, run, chances.damage_key[place], _DAMAGE, _ONE)
        draws.damages[chances.damage_group[place]] = unit < chances.damage_chance[place]
    position = 0
    draws.health_start[0] = 0
    for twin in range(len(chances.twin_key)):
        spans = 0
        if chances.outage[twin] < chances.outage[twin + 1]:
            spans = _draw_outages(chances, run, twin, drawn)
        drawn.failures[twin] = spans
        position = _overlay(chances, twin, spans, drawn, position)
        draws.health_start[twin + 1] = position


@kernel
def _draw_outages(chances: Chances, run: np.uint64, twin: int, drawn: Drawn) -> int:
    """This run's outages of one twin as spans in order, those that touch merged; returns their number."""
    key = chances.twin_key[twin]
    count = 0
    for way in range(chances.outage[twin], chances.outage[twin + 1]):
        chance = chances.chance[way]
        if chance < 1.0 and draw_unit(chances.seed, run, key, _FAILED, _ONE) >= chance:
            continue
        unit = draw_unit(chances.seed, run, key, _LIFE, chances.start_index[way])
        start = chances.at[way] + draw_us(
            chances.start_family[way], chances.start_first[way], chances.start_second[way], unit, _DOWN
        )
        end = NEVER
        if chances.repair_family[way] != ABSENT:
            unit = draw_unit(chances.seed, run, key, _REPAIR, chances.repair_index[way])
            end = start + draw_us(
                chances.repair_family[way], chances.repair_first[way], chances.repair_second[way], unit, _UP
            )
        if start >= chances.before[way] or start >= chances.horizon or start >= end:
            continue
        place = count
        while place > 0 and drawn.span_start[place - 1] > start:
            drawn.span_start[place] = drawn.span_start[place - 1]
            drawn.span_end[place] = drawn.span_end[place - 1]
            place -= 1
        drawn.span_start[place] = start
        drawn.span_end[place] = end
        count += 1
    return _merge(drawn.span_start, drawn.span_end, count)


@kernel
def _merge(start: Int64s, end: Int64s, count: int) -> int:
    """Merge spans that overlap or touch, in place; they are in order of their starts."""
    merged = 0
    for place in range(count):
        if merged > 0 and start[place] <= end[merged - 1]:
            end[merged - 1] = max(end[merged - 1], end[place])
        else:
            start[merged] = start[place]
            end[merged] = end[place]
            merged += 1
    return merged


@kernel
def _overlay(chances: Chances, twin: int, spans: int, drawn: Drawn, position: int) -> int:
    """Append one twin's health: as without outages, 0 in its spans. Returns the end of what is written."""
    time, level = drawn.draws.health_time, drawn.draws.health_level
    calm, calm_end = chances.calm_start[twin], chances.calm_start[twin + 1]
    first, span = position, 0
    calm_now, down = FULL, False
    while calm < calm_end or span < spans:
        moment = NEVER
        if calm < calm_end:
            moment = chances.calm_time[calm]
        if span < spans:
            moment = min(moment, drawn.span_end[span] if down else drawn.span_start[span])
        if calm < calm_end and chances.calm_time[calm] == moment:
            calm_now = chances.calm_level[calm]
            calm += 1
        if span < spans and not down and drawn.span_start[span] == moment:
            down = True
        elif span < spans and down and drawn.span_end[span] == moment:
            down = False
            span += 1
        before = level[position - 1] if position > first else FULL
        now = 0 if down else calm_now
        if moment < chances.horizon and now != before:
            time[position] = moment
            level[position] = now
            position += 1
    return position

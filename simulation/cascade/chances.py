"""One run's draws, written straight into the tables of the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from simulation.cascade.jit import bare, inlined
from simulation.cascade.layout import HEALTH, LOADED, SETTING, Row, Table, Tables
from simulation.cascade.rng import Purpose, draw_unit
from simulation.case import Target
from simulation.distributions import ABSENT, Family, draw_us
from simulation.world import FULL, NEVER, Int64s

if TYPE_CHECKING:
    from simulation.case import Case
    from simulation.distributions import Durations

_UP, _DOWN = 1, 0
_FIXED = int(Family.FIXED)
_FIRST = np.uint64(0)
_FAILED, _LIFE, _REPAIR, _DAMAGE = (
    np.uint64(purpose) for purpose in (Purpose.FAILED, Purpose.LIFE, Purpose.REPAIR, Purpose.DAMAGE)
)
_EDGE_DELAY, _GROUP_BUFFER = int(Target.EDGE_DELAY), int(Target.GROUP_BUFFER)
_GROUP_TOLERANCE, _RESTART = int(Target.GROUP_TOLERANCE), int(Target.RESTART)
_RESTART_SET = int(Target.RESTART_SET)

_DURATION = [("family", np.int64), ("first", np.float64), ("second", np.float64)]
SLOT = np.dtype(
    [
        ("target", np.int64),
        ("row", np.int64),
        *_DURATION,
        ("key", np.uint64),
        ("purpose", np.uint64),
        ("number", np.uint64),
        ("rounding", np.int64),
    ]
)
HURT = np.dtype([("group", np.int64), ("chance", np.float64), ("key", np.uint64)])
WAY = np.dtype(
    [
        ("chance", np.float64),
        ("at", np.int64),
        ("before", np.int64),
        *((f"start_{name}", kind) for name, kind in _DURATION),
        ("start_number", np.uint64),
        *((f"repair_{name}", kind) for name, kind in _DURATION),
        ("repair_number", np.uint64),
    ]
)
FAILING = np.dtype(
    [
        ("twin", np.int64),
        ("key", np.uint64),
        ("first_way", np.int64),
        ("end_way", np.int64),
        ("first_calm", np.int64),
        ("end_calm", np.int64),
        ("reserved", np.int64),  # where its health lies among the pieces of health
    ]
)
SPAN = np.dtype([("start", np.int64), ("end", np.int64)])


class Chances(NamedTuple):
    """What is drawn, by which key, and what holds apart from that; see `simulation.case`."""

    seed: np.uint64
    horizon: int
    slots: Table  # durations
    hurts: Table  # groups that are damaged by chance
    failing: Table  # twins with outages
    unwell: Int64s  # twins that may have pieces of health: those, and some that events or their state weaken
    ways: Table  # their outages
    calm_time: Int64s  # health without outages
    calm_level: npt.NDArray[np.int32]
    health_pieces: int  # room that health needs at most


class Spell(NamedTuple):
    """One thread's memory of how its run's twins failed by themselves."""

    spans: Table  # of one twin
    failures: Int64s  # [n] stretches of outage


def chances_of(case: Case) -> Chances:
    """The chances of a case, flat."""
    calm, ways = case.calm.health, case.outages
    hurt = np.flatnonzero((case.damage_chance > 0) & (case.damage_chance < 1))
    hurts = np.zeros(len(hurt), HURT)
    hurts["group"], hurts["chance"] = hurt, case.damage_chance[hurt]
    hurts["key"] = case.world.group_key[hurt]
    failing = _failing(case)
    return Chances(
        seed=np.uint64(case.seed),
        horizon=case.horizon_us,
        slots=_slots(case),
        hurts=hurts,
        failing=failing,
        unwell=np.union1d(failing["twin"], np.flatnonzero(np.diff(calm.start))).astype(np.int64),
        ways=_ways(case),
        calm_time=calm.time_us,
        calm_level=calm.level,
        health_pieces=2 * len(calm.time_us) + 2 * len(ways.chance),
    )


def new_spell(case: Case) -> Spell:
    widest = int(np.diff(case.outages.first).max(initial=1))
    return Spell(np.zeros(widest, SPAN), np.zeros(case.world.twins, np.int64))


def _slots(case: Case) -> npt.NDArray[np.void]:
    draws = case.draws
    slots = np.zeros(len(draws), SLOT)
    _put(slots, "", draws.duration)
    for name in ("target", "row", "key", "purpose", "rounding"):
        slots[name] = getattr(draws, name)
    slots["number"] = draws.index
    return slots


def _ways(case: Case) -> npt.NDArray[np.void]:
    outages = case.outages
    ways = np.zeros(len(outages.chance), WAY)
    ways["chance"], ways["at"], ways["before"] = outages.chance, outages.at_us, outages.before_us
    _put(ways, "start_", outages.start)
    _put(ways, "repair_", outages.repair)
    ways["start_number"], ways["repair_number"] = outages.start_index, outages.repair_index
    return ways


def _put(table: npt.NDArray[np.void], prefix: str, durations: Durations) -> None:
    table[prefix + "family"] = durations.family
    table[prefix + "first"] = durations.first
    table[prefix + "second"] = durations.second


def _failing(case: Case) -> npt.NDArray[np.void]:
    """Each twin with outages gets room for its health behind that of all others."""
    first, calm = case.outages.first, case.calm.health
    twin = np.flatnonzero(np.diff(first))
    failing = np.zeros(len(twin), FAILING)
    failing["twin"], failing["key"] = twin, case.world.twin_key[twin]
    failing["first_way"], failing["end_way"] = first[twin], first[twin + 1]
    failing["first_calm"], failing["end_calm"] = calm.start[twin], calm.start[twin + 1]
    room = failing["end_calm"] - failing["first_calm"] + 2 * (failing["end_way"] - failing["first_way"])
    failing["reserved"] = len(calm.time_us) + np.cumsum(room) - room
    return failing


@bare
def draw_run(chances: Chances, run: np.uint64, tables: Tables, spell: Spell) -> None:
    """Write the inputs of one run over those of the last."""
    for number in range(len(chances.slots)):
        _draw_slot(chances.slots[number], chances.seed, run, tables)
    for number in range(len(chances.hurts)):
        hurt = chances.hurts[number]
        unit = draw_unit(chances.seed, run, hurt.key, _DAMAGE, _FIRST)
        tables.groups[hurt.group].damages = unit < hurt.chance
    health = tables.used[LOADED + HEALTH]
    for number in range(len(chances.failing)):
        twin = tables.twins[chances.failing[number].twin]
        tables.components[twin.component].seeds &= ~(1 << HEALTH)
    for number in range(len(chances.failing)):
        failing = chances.failing[number]
        spans = _draw_outages(chances, failing, run, spell)
        spell.failures[failing.twin] = spans
        twin = tables.twins[failing.twin]
        twin.first_health = health + failing.reserved
        twin.end_health = _overlay(chances, failing, spell.spans, spans, tables, twin.first_health)
    for number in chances.unwell:
        twin = tables.twins[number]
        if twin.first_health < twin.end_health:
            tables.components[twin.component].seeds |= 1 << HEALTH


@inlined
def _draw_slot(slot: Row, seed: np.uint64, run: np.uint64, tables: Tables) -> None:
    unit = draw_unit(seed, run, slot.key, slot.purpose, slot.number)
    time = draw_us(slot.family, slot.first, slot.second, unit, slot.rounding)
    if slot.target == _EDGE_DELAY:
        tables.edges[slot.row].delay = time
    elif slot.target == _GROUP_BUFFER:
        tables.groups[slot.row].buffer = time
    elif slot.target == _GROUP_TOLERANCE:
        tables.groups[slot.row].tolerance = time
    elif slot.target == _RESTART:
        tables.twins[slot.row].restart = time
    elif slot.target == _RESTART_SET:
        tables.pieces[tables.used[LOADED + SETTING] + slot.row].value = time
    else:
        tables.twins[slot.row].repair = time


@bare
def _draw_outages(chances: Chances, failing: Row, run: np.uint64, spell: Spell) -> int:
    """This run's outages of one twin as spans in order, those that touch merged; returns their number."""
    spans, count = spell.spans, 0
    for number in range(failing.first_way, failing.end_way):
        way = chances.ways[number]
        if way.chance < 1.0 and draw_unit(chances.seed, run, failing.key, _FAILED, _FIRST) >= way.chance:
            continue
        unit = 0.5
        if way.start_family != _FIXED:
            unit = draw_unit(chances.seed, run, failing.key, _LIFE, way.start_number)
        start = way.at + draw_us(way.start_family, way.start_first, way.start_second, unit, _DOWN)
        end = NEVER
        if way.repair_family != ABSENT:
            if way.repair_family != _FIXED:
                unit = draw_unit(chances.seed, run, failing.key, _REPAIR, way.repair_number)
            end = start + draw_us(way.repair_family, way.repair_first, way.repair_second, unit, _UP)
        if start >= way.before or start >= chances.horizon or start >= end:
            continue
        place = count
        while place > 0 and spans[place - 1].start > start:
            spans[place].start, spans[place].end = spans[place - 1].start, spans[place - 1].end
            place -= 1
        spans[place].start, spans[place].end = start, end
        count += 1
    return _merge(spans, count)


@inlined
def _merge(spans: Table, count: int) -> int:
    """Merge spans that overlap or touch, in place; they are in order of their starts."""
    merged = 0
    for place in range(count):
        if merged > 0 and spans[place].start <= spans[merged - 1].end:
            spans[merged - 1].end = max(spans[merged - 1].end, spans[place].end)
        else:
            spans[merged].start, spans[merged].end = spans[place].start, spans[place].end
            merged += 1
    return merged


@bare
def _overlay(chances: Chances, failing: Row, spans: Table, count: int, tables: Tables, first: int) -> int:
    """Write one twin's health from `first` on: as without outages, 0 in its spans. Returns the end of it."""
    position, span, calm = first, 0, failing.first_calm
    calm_now, down = FULL, False
    while calm < failing.end_calm or span < count:
        moment = NEVER
        if calm < failing.end_calm:
            moment = chances.calm_time[calm]
        if span < count:
            moment = min(moment, spans[span].end if down else spans[span].start)
        if calm < failing.end_calm and chances.calm_time[calm] == moment:
            calm_now = chances.calm_level[calm]
            calm += 1
        if span < count and not down and spans[span].start == moment:
            down = True
        elif span < count and down and spans[span].end == moment:
            down = False
            span += 1
        before = tables.pieces[position - 1].value if position > first else FULL
        now = 0 if down else calm_now
        if moment < chances.horizon and now != before:
            tables.pieces[position].time, tables.pieces[position].value = moment, now
            position += 1
    return position

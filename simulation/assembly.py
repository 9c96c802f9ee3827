"""Putting a case together: the world, what is the same in every run, and what every run draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.attributes import fixed_down, thousandths
from simulation.cascade.rng import Purpose
from simulation.case import Case, Draws, Money, Outages, Target
from simulation.distributions import Duration, Durations, Family, Rounding
from simulation.plan import make_plan
from simulation.timelines import extra_pieces, factor_pieces, health_pieces, timeline
from simulation.world import (
    DEFAULT_NEED,
    FULL,
    HOUR_US,
    NEVER,
    RunInputs,
    Steps,
    Waveforms,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulation.distributions import Float64s
    from simulation.effects import Effects, Later, Stage
    from simulation.groups import Groups
    from simulation.scenario import Scenario
    from simulation.selection import Selection
    from simulation.traits import Traits
    from simulation.world import Bools, Int32s, Int64s, UInt64s

COST_PER_RUN_MAX = 1 << 52
"""Most thousandths that one run may cost: sums over a block of runs stay in 64 bits."""
_REPAIRS_PER_RUN = 1000
_AT_ONCE = Duration(Family.FIXED, 0.0, 0.0)

Pieces = list[tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What was read and selected."""

    stage: Stage
    groups: Groups
    effects: Effects
    traits: Traits
    selection: Selection


def assemble(parts: Parts, scenario: Scenario) -> Case:
    """The case of a scenario. LIMIT_EXCEEDED where one run could cost more than fits."""
    world = build_world(parts)
    money = _money(parts)
    _check_cost(money, scenario.horizon_us)
    damage_chance = np.nan_to_num(parts.groups.damage[parts.selection.group], nan=0.0)
    laters = _restart_steps(parts)
    return Case(
        world=world,
        plan=make_plan(world),
        calm=_calm(parts, world, laters),
        draws=_draws(parts, world, damage_chance > 0, laters),
        outages=_outages(parts),
        damage_chance=damage_chance,
        money=money,
        horizon_us=scenario.horizon_us,
        grid=scenario.grid,
        seed=scenario.seed,
    )


def build_world(parts: Parts) -> World:
    """Numbers as stated: durations that help are rounded down, those that hurt up; weights up and needs down,
    so that rounding never makes a shortage where the stated decimals have none."""
    groups, selection, network = parts.groups, parts.selection, parts.stage.network
    group, edge = selection.group, selection.edge
    founded = np.array([label.founded for label in network.labels], np.bool_)
    need = groups.need[group]
    return World(
        twin_key=selection.twin_key,
        restart_us=parts.traits.restart.take(selection.node).fixed_us(Rounding.UP, 0),
        group_twin=selection.twin[groups.dependent[group]],
        group_founded=founded[groups.label[group]],
        group_need=np.where(np.isnan(need), DEFAULT_NEED, _fixed(need)),
        group_threshold=_fixed(groups.threshold[group]).astype(np.int32),
        group_buffer_us=groups.buffer.take(group).fixed_us(Rounding.DOWN, 0),
        group_refill=_fixed(np.nan_to_num(groups.refill[group], nan=1.0)),
        group_tolerance_us=groups.tolerance.take(group).fixed_us(Rounding.DOWN, 0),
        group_start=selection.group_start,
        group_key=selection.group_key,
        edge_source=selection.twin[network.source[edge]],
        edge_weight=-_fixed(-groups.weight[edge]),
        edge_delay_us=groups.delay.take(edge).fixed_us(Rounding.DOWN, 0),
        edge_key=selection.edge_key,
    )


def _fixed(values: Float64s) -> Int64s:
    """Fixed point, rounded down; NaN becomes 0."""
    return np.floor(np.nan_to_num(values) * FULL).astype(np.int64)


def _calm(parts: Parts, world: World, laters: Sequence[tuple[int, Later]]) -> RunInputs:
    """Everything that is the same in every run: events and fixed durations."""
    effects, selection, traits = parts.effects, parts.selection, parts.traits
    place = np.full(len(parts.stage.network), -1, np.int64)
    place[selection.edge] = np.arange(world.edges)
    repair = traits.repair.take(selection.node)
    return replace(
        RunInputs.calm(world),
        health=_waveforms(world.twins, _health(parts)),
        need_factor=_waveforms(world.groups, _factors(parts, world.group_twin)),
        edge_cap=_waveforms(
            world.edges,
            {int(place[i]): health_pieces(FULL, (), caps) for i, caps in effects.edge_cap.items()},
        ),
        edge_extra_us=_steps(
            world.edges, {int(place[i]): extra_pieces(extra) for i, extra in effects.edge_extra.items()}
        ),
        restart_set_us=_later_steps(world.twins, laters),
        repair_us=repair.fixed_us(Rounding.UP, NEVER),
    )


def _health(parts: Parts) -> dict[int, Pieces]:
    """Pieces of own health by twin, where it is not full throughout."""
    effects, traits, selection = parts.effects, parts.traits, parts.selection
    weak = set(np.flatnonzero(traits.health[selection.node] < 1.0).tolist())
    moved = {int(selection.twin[node]) for node in (*effects.health, *effects.cap)}
    pieces: dict[int, Pieces] = {}
    for twin in sorted(weak | moved):
        node = int(selection.node[twin])
        base = fixed_down(float(traits.health[node]))
        pieces[twin] = health_pieces(base, effects.health.get(node, ()), effects.cap.get(node, ()))
    return pieces


def _factors(parts: Parts, group_twin: Int32s) -> dict[int, Pieces]:
    """What the need of each group is multiplied by, where it is not one throughout."""
    effects = parts.effects
    pieces: dict[int, Pieces] = {}
    for node in {*effects.demand, *effects.surge}:
        steps = factor_pieces(effects.demand.get(node, ()), effects.surge.get(node, ()))
        for group in np.flatnonzero(group_twin == parts.selection.twin[node]).tolist():
            pieces[group] = steps
    return pieces


def _restart_steps(parts: Parts) -> list[tuple[int, Later]]:
    """(twin, step) of SET restartHours, by twin and time; of two at one time only the later stated one."""
    last = {
        (int(parts.selection.twin[node]), later.at_us): later
        for node, laters in parts.effects.restart.items()
        for later in laters
        if parts.selection.twin[node] >= 0
    }
    return [(twin, last[twin, at_us]) for twin, at_us in sorted(last)]


def _later_steps(rows: int, laters: Sequence[tuple[int, Later]]) -> Steps:
    start = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount([twin for twin, _ in laters], minlength=rows), out=start[1:])
    values = Durations.of([later.duration for _, later in laters]).fixed_us(Rounding.UP, 0)
    return Steps(start, np.array([later.at_us for _, later in laters], np.int64), values)


def _steps(rows: int, pieces: Mapping[int, Pieces]) -> Steps:
    """Steps of `rows` rows of which few have pieces."""
    filled = sorted(pieces)
    count = np.zeros(rows, np.int64)
    count[filled] = [len(pieces[row]) for row in filled]
    table = np.array([piece for row in filled for piece in pieces[row]], np.int64).reshape(-1, 2)
    return Steps(np.append(0, np.cumsum(count)).astype(np.int64), table[:, 0].copy(), table[:, 1].copy())


def _waveforms(rows: int, pieces: Mapping[int, Pieces]) -> Waveforms:
    steps = _steps(rows, pieces)
    return Waveforms(steps.start, steps.time_us, steps.value_us.astype(np.int32))


def _draws(parts: Parts, world: World, damaging: Bools, laters: Sequence[tuple[int, Later]]) -> Draws:
    """Every duration that a run must draw and that can matter."""
    selection, groups, traits = parts.selection, parts.groups, parts.traits
    hurt = np.zeros(world.twins, np.bool_)
    hurt[world.group_twin[damaging]] = True
    delay, buffer = groups.delay.take(selection.edge), groups.buffer.take(selection.group)
    tolerance = groups.tolerance.take(selection.group)
    restart, repair = traits.restart.take(selection.node), traits.repair.take(selection.node)
    later = Durations.of([step.duration for _, step in laters])
    later_key = selection.twin_key[[twin for twin, _ in laters]]
    later_index = np.array([step.draw for _, step in laters], np.int32)
    down, up = Rounding.DOWN, Rounding.UP
    return _joined(
        _some(Target.EDGE_DELAY, delay, delay.drawn, selection.edge_key, Purpose.DELAY, down),
        _some(Target.GROUP_BUFFER, buffer, buffer.drawn, selection.group_key, Purpose.BUFFER, down),
        _some(
            Target.GROUP_TOLERANCE,
            tolerance,
            tolerance.drawn & damaging,
            selection.group_key,
            Purpose.TOLERANCE,
            down,
        ),
        _some(
            Target.RESTART, restart, restart.drawn & selection.hit, selection.twin_key, Purpose.RESTART, up
        ),
        _some(Target.REPAIR, repair, repair.drawn & hurt, selection.twin_key, Purpose.REPAIR, up),
        _some(Target.RESTART_SET, later, later.drawn, later_key, Purpose.RESTART, up, later_index),
    )


def _some(
    target: Target,
    durations: Durations,
    wanted: Bools,
    key: UInt64s,
    purpose: Purpose,
    rounding: Rounding,
    index: Int32s | None = None,
) -> Draws:
    """The draws of the wanted rows of one target."""
    rows = np.flatnonzero(wanted)
    return Draws(
        target=np.full(len(rows), target, np.int8),
        row=rows.astype(np.int32),
        duration=durations.take(rows),
        key=key[rows],
        purpose=np.full(len(rows), purpose, np.int8),
        index=np.zeros(len(rows), np.int32) if index is None else index[rows],
        rounding=np.full(len(rows), rounding, np.int8),
    )


def _joined(*parts: Draws) -> Draws:
    joined = parts[0]
    for part in parts[1:]:
        joined = Draws(
            target=np.append(joined.target, part.target),
            row=np.append(joined.row, part.row),
            duration=joined.duration.joined(part.duration),
            key=np.append(joined.key, part.key),
            purpose=np.append(joined.purpose, part.purpose),
            index=np.append(joined.index, part.index),
            rounding=np.append(joined.rounding, part.rounding),
        )
    return joined


class _Way(NamedTuple):
    """One way for a twin to go down; see `Outages`."""

    twin: int
    chance: float
    at_us: int
    start: Duration
    start_index: int
    repair: Duration | None
    repair_index: int
    before_us: int


def _outages(parts: Parts) -> Outages:
    ways = sorted((*_events(parts), *_failures(parts), *_lives(parts)), key=lambda way: (way.twin, way.at_us))
    twins = len(parts.selection.node)
    return Outages(
        first=np.append(0, np.cumsum(np.bincount([way.twin for way in ways], minlength=twins))).astype(
            np.int64
        ),
        chance=np.array([way.chance for way in ways], np.float64),
        at_us=np.array([way.at_us for way in ways], np.int64),
        start=Durations.of([way.start for way in ways]),
        start_index=np.array([way.start_index for way in ways], np.int32),
        repair=Durations.of([way.repair for way in ways]),
        repair_index=np.array([way.repair_index for way in ways], np.int32),
        before_us=np.array([way.before_us for way in ways], np.int64),
    )


def _events(parts: Parts) -> Iterator[_Way]:
    """FAIL, with its own repair or the twin's."""
    for outage in parts.effects.outages:
        twin = int(parts.selection.twin[outage.node])
        repair, index = (outage.repair, outage.draw) if outage.repair else (_repair(parts, outage.node), 0)
        yield _Way(twin, 1.0, outage.at_us, _AT_ONCE, 0, repair, index, NEVER)


def _failures(parts: Parts) -> Iterator[_Way]:
    """failureProbability: down from hour 0 to the horizon."""
    chance = parts.traits.failure[parts.selection.node]
    for twin in np.flatnonzero((chance > 0) & parts.selection.hit).tolist():
        yield _Way(twin, float(chance[twin]), 0, _AT_ONCE, 0, None, 0, NEVER)


def _lives(parts: Parts) -> Iterator[_Way]:
    """timeToFailure as stated, until SET states another, which counts from then on."""
    life = parts.traits.life.take(parts.selection.node)
    set_lives = {int(parts.selection.twin[node]): laters for node, laters in parts.effects.life.items()}
    for twin in sorted({*np.flatnonzero(life.present).tolist(), *set_lives}):
        repair = _repair(parts, int(parts.selection.node[twin]))
        laters = sorted(set_lives.get(twin, ()), key=lambda later: later.at_us)
        ends = [*(later.at_us for later in laters), NEVER]
        if life.present[twin]:
            yield _Way(twin, 1.0, 0, life.one(twin), 0, repair, 0, ends[0])
        for later, end_us in zip(laters, ends[1:], strict=True):
            yield _Way(twin, 1.0, later.at_us, later.duration, later.draw, repair, 0, end_us)


def _repair(parts: Parts, node: int) -> Duration | None:
    return parts.traits.repair.one(node) if parts.traits.repair.present[node] else None


def _money(parts: Parts) -> Money:
    """Values per hour with what SET makes of them, and repair costs."""
    selection, traits = parts.selection, parts.traits
    worth = set(np.flatnonzero((traits.value[selection.node] > 0) & selection.hit).tolist())
    moved = {int(selection.twin[node]) for node in parts.effects.value if selection.twin[node] >= 0}
    pieces: dict[int, Pieces] = {}
    for twin in sorted(worth | moved):
        node = int(selection.node[twin])
        steps = [(at_us, thousandths(value)) for at_us, value in parts.effects.value.get(node, ())]
        pieces[twin] = timeline(thousandths(float(traits.value[node])), steps, (), max)
    steps = _steps(len(selection.node), pieces)
    repair = _thousandths(traits.repair_cost[selection.node])
    return Money(steps.start, steps.time_us, steps.value_us, repair)


def _thousandths(money: Float64s) -> Int64s:
    return np.floor(money * 1000.0 + 0.5).astype(np.int64)


def _check_cost(money: Money, horizon_us: int) -> None:
    hours = -(-horizon_us // HOUR_US)
    most = float(money.per_hour.sum()) * hours + _REPAIRS_PER_RUN * float(money.repair.sum())
    if most > COST_PER_RUN_MAX:
        message = "values and repair costs add up to more than a run can hold"
        raise LimitError(message, hint="count in thousands, or shorten horizonHours")

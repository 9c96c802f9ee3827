"""A block of compiled runs against the same runs in plain Python: draws, the readable reference, sums."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from graph.snapshot import Snapshot
from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from simulation.cascade.montecarlo import run_case
from simulation.cascade.rng import Purpose, draw_unit
from simulation.case import Case, Target
from simulation.compile import compile_case
from simulation.distributions import Rounding
from simulation.levels import solve_reference
from simulation.scenario import parse_scenario
from simulation.world import FULL, HOUR_US, NEVER, RunInputs, Solution, Steps, Waveforms

HOURS = ["exponential(3)", "uniform(1,4)", "weibull(1.5,4)", "lognormal(3,2)", 2.5, 0.25, None]


def random_model(seed: int, twin: Twin, schema: Any) -> tuple[Snapshot, dict[str, Any]]:
    """A small model with every attribute of a cascade, and a scenario with events that act on levels."""
    pick = random.Random(seed)
    names = [f"t{i}" for i in range(7)]
    iri = schema.kind("tm:Asset").iri

    def some(**attributes: Any) -> dict[str, Value]:
        return {name: Value(v) for name, v in attributes.items() if v is not None and pick.random() < 0.6}

    twins = [
        TwinRecord(
            twin.base + name,
            (iri,),
            attributes=some(
                health=pick.choice([1, 0.9, 0.4]),
                failureProbability=pick.choice([0, 0.2]),
                timeToFailure=pick.choice(HOURS),
                timeToRepair=pick.choice(HOURS),
                restartHours=pick.choice(HOURS),
                valuePerHour=pick.choice([10, 2.5]),
                repairCost=pick.choice([100, 33.333]),
            ),
        )
        for name in names
    ]
    links: dict[tuple[str, str, str], RelationshipRecord] = {}
    for target in names[1:]:
        group = some(
            bufferHours=pick.choice(HOURS),
            threshold=pick.choice([0.3, 0.6]),
            damageProbability=pick.choice([0.5, 1.0]),
            toleranceHours=pick.choice(HOURS),
            refillRate=pick.choice([0.5, 2]),
            need=pick.choice([1, 1.5]),
        )
        relation = pick.choice(["tm:feeds", "tm:supplies"])
        for source in pick.sample(names, 2):
            delay = {} if relation == "tm:feeds" else some(delayHours=pick.choice(HOURS))
            record = RelationshipRecord(
                twin.base + source,
                schema.relation(relation).iri,
                twin.base + target,
                attributes={**group, **delay},
            )
            links[source, relation, target] = record
    twin.apply(Change(put_twins=tuple(twins), put_relationships=tuple(links.values())))
    return twin.snapshot(), {
        "events": random_events(pick, names, list(links)),
        "horizonHours": 20,
        "seed": seed,
    }


def random_events(
    pick: random.Random, names: list[str], links: list[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    at = {"atHours": pick.choice([0, 1.5, 3])}
    events: list[dict[str, Any]] = [
        {"type": "FAIL", "twin": pick.choice(names), "repairHours": pick.choice(HOURS), **at},
        {"type": "DEGRADE", "twin": pick.choice(names), "level": 0.5, "forHours": 2, **at},
        {"type": "SURGE", "twin": pick.choice(names), "factor": 1.5, "forHours": 4, **at},
        {
            "type": "SET",
            "twin": pick.choice(names),
            "attribute": "restartHours",
            "value": "uniform(0,1)",
            **at,
        },
        {
            "type": "SET",
            "twin": pick.choice(names),
            "attribute": "timeToFailure",
            "value": "exponential(5)",
            **at,
        },
        {"type": "SET", "twin": pick.choice(names), "attribute": "valuePerHour", "value": 7, **at},
        {"type": "REMOVE", "relation": list(pick.choice(links))},
    ]
    late = [link for link in links if link[1] == "tm:supplies"]
    if late:
        events.append({"type": "DELAY", "relation": list(pick.choice(late)), "hours": 2, "forHours": 3, **at})
    return pick.sample(events, 4)


def unit(case: Case, run: int, key: Any, purpose: int, index: int = 0) -> float:
    words = (np.uint64(case.seed), np.uint64(run), np.uint64(key), np.uint64(purpose), np.uint64(index))
    return draw_unit(*words)


def inputs_of(case: Case, run: int) -> tuple[RunInputs, dict[int, int]]:
    """One run's inputs, and how many stretches of outage each twin has."""
    arrays = {
        Target.EDGE_DELAY: case.calm.edge_delay_us.copy(),
        Target.GROUP_BUFFER: case.calm.group_buffer_us.copy(),
        Target.GROUP_TOLERANCE: case.calm.group_tolerance_us.copy(),
        Target.RESTART: case.calm.restart_us.copy(),
        Target.RESTART_SET: case.calm.restart_set_us.value_us.copy(),
        Target.REPAIR: case.calm.repair_us.copy(),
    }
    draws = case.draws
    for i in range(len(draws)):
        number = unit(case, run, draws.key[i], draws.purpose[i], draws.index[i])
        rounding = Rounding(int(draws.rounding[i]))
        arrays[Target(int(draws.target[i]))][draws.row[i]] = draws.duration.one(i).to_us(rounding, number)
    damages = [
        chance > 0 and unit(case, run, case.world.group_key[g], Purpose.DAMAGE) < chance
        for g, chance in enumerate(case.damage_chance.tolist())
    ]
    health, failures = health_of(case, run)
    steps = case.calm.restart_set_us
    inputs = replace(
        case.calm,
        health=health,
        edge_delay_us=arrays[Target.EDGE_DELAY],
        group_buffer_us=arrays[Target.GROUP_BUFFER],
        group_tolerance_us=arrays[Target.GROUP_TOLERANCE],
        restart_us=arrays[Target.RESTART],
        restart_set_us=Steps(steps.start, steps.time_us, arrays[Target.RESTART_SET]),
        repair_us=arrays[Target.REPAIR],
        group_damages=np.array(damages, np.bool_),
    )
    return inputs, failures


def health_of(case: Case, run: int) -> tuple[Waveforms, dict[int, int]]:
    rows, failures = [], {}
    for twin in range(case.world.twins):
        down = sorted(outages_of(case, run, twin))
        times = {time for time, _ in case.calm.health.row(twin)} | {time for span in down for time in span}
        pieces = []
        for time in sorted(times):
            level = 0 if any(a <= time < b for a, b in down) else case.calm.health.at(twin, time)
            pieces.append((time, level))
        rows.append([piece for piece in pieces if piece[0] < case.horizon_us])
        ends = [-1]
        failures[twin] = 0
        for start, end in down:
            failures[twin] += start > max(ends)
            ends.append(end)
    return Waveforms.of(rows), failures


def outages_of(case: Case, run: int, twin: int) -> list[tuple[int, int]]:
    out, key, found = case.outages, case.world.twin_key[twin], []
    for i in range(int(out.first[twin]), int(out.first[twin + 1])):
        if out.chance[i] < 1 and unit(case, run, key, Purpose.FAILED) >= out.chance[i]:
            continue
        life = unit(case, run, key, Purpose.LIFE, int(out.start_index[i]))
        start = int(out.at_us[i]) + out.start.one(i).to_us(Rounding.DOWN, life)
        end = NEVER
        if out.repair.present[i]:
            mend = unit(case, run, key, Purpose.REPAIR, int(out.repair_index[i]))
            end = start + out.repair.one(i).to_us(Rounding.UP, mend)
        if start < min(case.horizon_us, int(out.before_us[i])) and start < end:
            found.append((start, end))
    return found


def lost(case: Case, solution: Solution, twin: int, since: int = 0, until: int = NEVER) -> Fraction:
    """Microseconds of full loss between two times, exactly."""
    pieces = [*solution.service.row(twin), (case.horizon_us, FULL)]
    total = Fraction(0)
    for (start, level), (end, _) in pairwise(pieces):
        total += max(0, min(end, until) - max(start, since)) * Fraction(FULL - level, FULL)
    return total


def cost_of(case: Case, solution: Solution, twin: int, failures: int) -> int:
    money = case.money
    prices = list(range(int(money.start[twin]), int(money.start[twin + 1])))
    cost = failures * int(money.repair[twin])
    for i in prices:
        until = int(money.time_us[i + 1]) if i + 1 in prices else NEVER
        down = int(lost(case, solution, twin, int(money.time_us[i]), until))
        cost += int(Fraction(int(money.per_hour[i]) * down, HOUR_US) + Fraction(1, 2))
    damage = solution.damage
    groups = case.world.group_twin[damage.group] if len(damage) else np.zeros(0)
    strikes = sorted(
        (int(damage.start_us[i]), int(damage.end_us[i])) for i in range(len(damage)) if groups[i] == twin
    )
    end = -1
    for start, strike_end in strikes:
        cost += int(money.repair[twin]) if start > end else 0
        end = max(end, strike_end)
    return cost


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_same_runs_in_plain_python(seed: int, tmp_path: Any, schema: Any) -> None:
    with Twin.open(tmp_path, schema, site="campus") as twin:
        snapshot, document = random_model(seed, twin, schema)
    case = compile_case(snapshot, parse_scenario(document)).case
    runs = 5
    outcome = run_case(case, runs, threads=1)
    assert case.random
    assert outcome.hits.sum() > 0
    hits, firsts, down, costs = defaultdict(int), defaultdict(list), defaultdict(int), defaultdict(int)
    lowest = [FULL] * case.world.twins
    run_costs = []
    for run in range(runs):
        inputs, failures = inputs_of(case, run)
        solution = solve_reference(case.world, case.plan, inputs, case.horizon_us, case.grid)
        run_costs.append(0)
        for one in range(case.world.twins):
            pieces = solution.service.row(one)
            if pieces:
                hits[one] += 1
                firsts[one].append(pieces[0][0])
                lowest[one] = min(lowest[one], *(level for _, level in pieces))
            down[one] += int(lost(case, solution, one))
            cost = cost_of(case, solution, one, failures[one])
            costs[one] += cost
            run_costs[-1] += cost
    assert outcome.hits.tolist() == [hits[one] for one in range(case.world.twins)]
    assert outcome.lowest.tolist() == lowest
    assert outcome.run_cost.tolist() == run_costs
    for one in range(case.world.twins):
        times = outcome.first_us[outcome.first_of[one] : outcome.first_of[one + 1]]
        assert times.tolist() == sorted(firsts[one])
        assert outcome.down.total(one) == down[one]
        assert outcome.cost.total(one) == costs[one]

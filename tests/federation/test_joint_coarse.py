"""Levels that contracts make coarse: bounds that hold the truth, and no more on the way than was agreed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from federation.coarse import HOUR_US, Coarse
from federation.contract import Contract, changes
from federation.joint import cascading
from federation.joint.letters import Letter, Levels, pack
from graph.mesh import Mesh
from ontology.schema import load_schema
from simulation.impact import simulate
from simulation.scenario import parse_scenario
from simulation.world import FULL
from tests.federation.cascade_sites import cascade_together, split
from tests.federation.joint_graphs import build, existing, scenario
from tests.simulation.cascade_worlds import fresh_seed

GRAPHS = 8


def level_at(pieces: list[tuple[int, int]], time_us: int) -> int:
    return next((level for time, level in reversed(pieces) if time <= time_us), FULL)


def test_coarse_levels_are_on_the_right_side_at_every_time() -> None:
    random = Random(fresh_seed("coarse levels"))
    for _ in range(400):
        horizon_us, count = random.randint(5, 40), random.randint(0, 5)
        levels = [random.choice((0, FULL, random.randrange(FULL))) for _ in range(count)]
        pieces = list(zip(sorted(random.sample(range(5), count)), levels, strict=True))
        coarse = Coarse(random.choice((0, 1, 3, 8)), random.choice((0, 1, 4, 7, 100)))
        low, high = (coarse.pieces(pieces, horizon_us, up=up) for up in (False, True))
        for time_us in range(horizon_us):
            exact = level_at(pieces, time_us)
            assert level_at(low, time_us) <= exact <= level_at(high, time_us)
            first_us = time_us // coarse.step_us * coarse.step_us if coarse.step_us else time_us
            near = range(first_us, min(first_us + max(coarse.step_us, 1), horizon_us))
            assert level_at(low, time_us) == coarse.level(min(level_at(pieces, t) for t in near), up=False)
            assert level_at(high, time_us) == coarse.level(max(level_at(pieces, t) for t in near), up=True)
        for up, told in ((False, low), (True, high)):
            assert coarse.pieces(told, horizon_us, up=up) == told
            if coarse.levels:
                assert len({level for _, level in told}) <= coarse.levels + 1
            assert all(coarse.step_us == 0 or time_us % coarse.step_us == 0 for time_us, _ in told)


def test_the_truth_lies_between_coarse_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On random graphs over sites; all letters are read for levels finer than agreed."""
    seed, schema = fresh_seed("coarse bounds"), load_schema()
    letters: list[Letter] = []
    monkeypatch.setattr(cascading, "pack", lambda letter: letters.append(letter) or pack(letter))
    for index in range(GRAPHS):
        random, place = Random(f"{seed} {index}"), f"seed {seed}, graph {index}"
        coarse = Coarse(random.choice((1, 4)), random.choice((0, HOUR_US // 2, HOUR_US)))
        with Mesh.open(tmp_path / str(index), schema) as mesh:
            drawn = build(mesh, schema, random, sites_max=4)
            document = existing(scenario(random, drawn, 4), mesh)
            truth = by_id(simulate(mesh.snapshot(), parse_scenario(document), threads=1).to_json()["impacts"])
            snapshots = [mesh.twin(site).snapshot() for site in drawn.sites]
            documents = split(document, drawn.sites)
            best, worst = (
                cascade_together(snapshots, documents, well=well, coarse=coarse) for well in (True, False)
            )
        crosses = "fall" in best.traffic.rounds and best.traffic.letters > 0
        assert best.is_bounded == worst.is_bounded or not crosses, place
        for name, sign in (("probability", 1), ("expectedDownHours", 1), ("minLevel", -1)):
            whole = 1.0 if name == "minLevel" else 0.0
            for twin in {*truth, *best.rows, *worst.rows}:
                low, true, high = (
                    rows.get(twin, {}).get(name, whole) for rows in (best.rows, truth, worst.rows)
                )
                assert sign * low <= sign * true <= sign * high, f"{place}, {twin}, {name}"
        check_letters(letters, coarse, place)
        letters.clear()


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def check_letters(letters: list[Letter], coarse: Coarse, place: str) -> None:
    told = {FULL * step // coarse.levels for step in range(coarse.levels + 1)}
    told |= {-(-FULL * step // coarse.levels) for step in range(coarse.levels + 1)}
    for letter in letters:
        for body in letter.content.runs.values() if isinstance(letter.content, Levels) else ():
            for wave in (*body.service.values(), *body.mains.values()):
                assert set(wave.levels) <= told, place
                assert all(coarse.step_us == 0 or each % coarse.step_us == 0 for each in wave.times), place


def test_a_coarser_signal_narrows_a_contract() -> None:
    exact, coarse = Contract("p"), Contract("p", signal=Coarse(4, HOUR_US))
    assert changes(exact, coarse) == ([], ["signal: exact levels, exact times -> 4 levels, 1 h"])
    assert changes(coarse, exact)[0] == ["signal: 4 levels, 1 h -> exact levels, exact times"]
    finer = Contract("p", signal=Coarse(8, 2 * HOUR_US))
    assert changes(coarse, finer)[0] == ["signal: 4 levels, 1 h -> 8 levels, 2 h"], "finer in one is wider"
    assert changes(coarse, coarse) == ([], [])

"""Random graphs over several sites, each compiled from its own snapshot: the union is one folder's Impact.

The share in CI is small; `long` runs 2,000 worlds (TWINMESH_WORLDS=first:end runs a part of them).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import rmtree
from statistics import quantiles
from typing import Any

import orjson
import pytest

from federation.joint.conducting import Bounds, Waiting
from graph.mesh import Mesh
from ontology.schema import Schema, load_schema
from simulation.impact import simulate
from simulation.scenario import parse_scenario
from tests.federation.cascade_sites import Joined, cascade_together, split
from tests.federation.joint_graphs import build, existing, iri, scenario
from tests.simulation.cascade_worlds import fresh_seed

GRAPHS = 24
LONG_GRAPHS = 2_000
RUNS = 3
BLOCK_RUNS = 2  # two blocks, the last one smaller


@dataclass
class Tally:
    """What the worlds were like, and what they took."""

    features: Counter[str] = field(default_factory=Counter[str])
    figures: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def add(self, joined: Joined, features: Mapping[str, int], *, is_random: bool) -> None:
        traffic = joined.traffic
        self.features.update({name: int(bool(count)) for name, count in features.items()})
        self.features.update(worlds=1, random=int(is_random), rises=int("rise" in traffic.rounds))
        self.features.update(crossed=int(traffic.rounds["fall"] > 0))
        for name, value in (("turns", traffic.turns), ("letters", traffic.letters), ("bytes", traffic.bytes)):
            self.figures.setdefault(name, []).append(value)
        for act, rounds in traffic.rounds.items():
            self.figures.setdefault(f"rounds {act}", []).append(rounds)

    def report(self) -> dict[str, Any]:
        """Counts of worlds; of each figure p50, p95 and most."""
        cuts = {name: quantiles([*values, *values], n=20) for name, values in self.figures.items()}
        spread = {name: [int(cut[9]), int(cut[18]), max(self.figures[name])] for name, cut in cuts.items()}
        return {"features": dict(sorted(self.features.items())), "p50 p95 max": spread}


def in_random_order(random: Random) -> Any:
    """Some letters of some readers arrive, in any order; the rest waits."""

    def carry(waiting: Waiting) -> Waiting:
        arriving: Waiting = {}
        for name in random.sample(sorted(waiting), random.randint(1, len(waiting))):
            letters = waiting.pop(name)
            random.shuffle(letters)
            count = random.randint(1, len(letters))
            arriving[name] = letters[:count]
            if letters[count:]:
                waiting[name] = letters[count:]
        return arriving

    return carry


def as_bytes(rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """By id, all fields but the causes: what lies at a partner is told in other words."""
    return {row["id"]: orjson.dumps({k: v for k, v in row.items() if k != "why"}) for row in rows}


def check(folder: Path, schema: Schema, seed: int, index: int, tally: Tally) -> None:
    random, place = Random(f"{seed} {index}"), f"seed {seed}, graph {index}"
    with Mesh.open(folder, schema) as mesh:
        drawn = build(mesh, schema, random)
        document = existing(scenario(random, drawn, RUNS), mesh)
        truth = simulate(mesh.snapshot(), parse_scenario(document), threads=1).to_json()
        apart = [mesh.twin(site).snapshot() for site in drawn.sites]
        bounds = Bounds(block_runs=BLOCK_RUNS, may_grow=False)
        carry = in_random_order(random) if index % 2 else None
        found = cascade_together(apart, split(document, drawn.sites), bounds=bounds, carry=carry)
    assert not found.is_bounded, place
    impacts = [impact.to_json() for impact in found.impacts.values()]
    assert as_bytes([row for impact in impacts for row in impact["impacts"]]) == as_bytes(truth["impacts"]), (
        place
    )
    assert {impact["runsComputed"] for impact in impacts} == {truth["runsComputed"]}, place
    assert sum(impact["summary"]["twinsHit"] for impact in impacts) == truth["summary"]["twinsHit"], place
    costs = sum(impact["summary"]["expectedCost"] for impact in impacts)
    assert costs == pytest.approx(truth["summary"]["expectedCost"], abs=0.001 * len(impacts)), place
    check_why(found, place)
    tally.add(found, drawn.features, is_random=truth["runsComputed"] > 1)


def check_why(found: Joined, place: str) -> None:
    """A cause across the boundary names a twin that is hit there, by its site."""
    for site, impact in found.impacts.items():
        for twin in impact.impacts:
            first, said = twin.why[0], f"{place}, {site}: {twin.why}"
            assert twin.why[-1] == twin.local_id, said
            if first.startswith("input "):
                owner, supplier = first.removeprefix("input ").split(" from ")[::-1]
                assert owner != site and supplier.startswith(iri(owner, "")), said
                assert supplier in {other.id for other in found.impacts[owner].impacts}, said


def test_sites_compiled_apart_equal_one_folder(tmp_path: Path) -> None:
    seed, schema, tally = fresh_seed("joint graphs"), load_schema(), Tally()
    for index in range(GRAPHS):
        check(tmp_path / str(index), schema, seed, index, tally)
    print(tally.report())
    wanted = ("crossed", "random", "rises", "buffers", "damage", "k of n")
    assert min(tally.features[name] for name in wanted) >= 1, tally.report()


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_many_sites_compiled_apart_equal_one_folder(tmp_path: Path) -> None:
    seed, schema, tally = fresh_seed("many joint graphs"), load_schema(), Tally()
    first, _, end = os.environ.get("TWINMESH_WORLDS", f"0:{LONG_GRAPHS}").partition(":")
    for index in range(int(first), int(end)):
        check(tmp_path / str(index), schema, seed, index, tally)
        rmtree(tmp_path / str(index))
        if index % 100 == 99:
            print(f"{index + 1}: {json.dumps(tally.report()['features'])}", flush=True)
    print(json.dumps({"seed": seed, "first": int(first), **tally.report(), "figures": tally.figures}))

"""Random graphs over several sites, each compiled from its own snapshot: the union is one folder's Impact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema, load_schema
from simulation.impact import simulate
from simulation.scenario import parse_scenario
from tests.federation.cascade_sites import cascade_together, split
from tests.simulation.cascade_worlds import fresh_seed

GRAPHS = 12
KINDS = ("brick:Chiller", "brick:AHU", "brick:Boiler", "brick:VAV", "tm:Asset", "tm:Process")
TWIN = {
    "failureProbability": (0.3, 0.6),
    "timeToFailure": ("exponential(40)",),
    "timeToRepair": ("exponential(3)", 2.0, "uniform(1,5)"),
    "restartHours": (0.5, "uniform(0,1)"),
    "valuePerHour": (10.0, 99.5),
    "repairCost": (7.25,),
    "health": (0.6,),
}
GROUP = {
    "bufferHours": (0.4, "exponential(1)"),
    "need": (0.5, 1.0),
    "threshold": (0.7,),
    "damageProbability": (0.5, 1.0),
    "toleranceHours": (0.3, "uniform(0,2)"),
}


def some(random: Random, table: dict[str, Any], chance: float) -> dict[str, Value]:
    return {name: Value(random.choice(values)) for name, values in table.items() if random.random() < chance}


def build(mesh: Mesh, schema: Schema, random: Random) -> list[str]:
    """Sites with twins; every relationship is stated where its dependent twin lives."""
    sites = [f"site-{number}" for number in range(random.randint(2, 4))]
    ids = {site: [f"T-{number}" for number in range(random.randint(2, 6))] for site in sites}
    for site in sites:
        twins = [
            TwinRecord(
                iri(site, name), (schema.kind(random.choice(KINDS)).iri,), attributes=some(random, TWIN, 0.12)
            )
            for name in ids[site]
        ]
        mesh.create_site(site).apply(Change(put_twins=tuple(twins)))
    everyone = [(site, local_id) for site in sites for local_id in ids[site]]
    for site in sites:
        links: dict[tuple[str, str, str, str], RelationshipRecord] = {}
        for number in range(random.randint(2, 10)):
            supplier, dependent = iri(*random.choice(everyone)), iri(site, random.choice(ids[site]))
            link = relationship(schema, random, supplier, dependent, number)
            if supplier != dependent:
                links[link.source, link.relation, link.target, link.group] = link
        mesh.twin(site).apply(Change(put_relationships=tuple(links.values())))
    return sites


def relationship(
    schema: Schema, random: Random, supplier: str, dependent: str, number: int
) -> RelationshipRecord:
    name = random.choice(("tm:supplies", "tm:supplies", "brick:feeds", "tm:feeds", "tm:dependsOn"))
    group = f"g{number}" if random.random() < 0.4 else ""
    attributes = some(random, GROUP, 0.3) if group else {}
    if random.random() < 0.3:
        attributes["weight"] = Value(random.choice((0.5, 2.0)))
    if "feeds" not in name and random.random() < 0.5:
        attributes["delayHours"] = Value(random.choice((1.5, "exponential(2)")))
    ends = (dependent, supplier) if name == "tm:dependsOn" else (supplier, dependent)
    iri_of = schema.relation(name).iri
    return RelationshipRecord(ends[0], iri_of, ends[1], group, attributes=attributes)


def iri(site: str, local_id: str) -> str:
    return f"https://twinmesh.invalid/{site}/{local_id}"


def events(random: Random, mesh: Mesh, sites: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(random.randint(0, 3)):
        site = random.choice(sites)
        event = {"type": random.choice(("FAIL", "CLOSE")), "twin": f"{site}:T-{random.randint(0, 1)}"}
        found.append({**event, "atHours": random.choice((0, 2.5))})
    return found


def without_why(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: {name: value for name, value in row.items() if name != "why"} for row in rows}


def test_sites_compiled_apart_equal_one_folder(tmp_path: Path) -> None:
    seed, schema, seen = fresh_seed("joint graphs"), load_schema(), Counter[str]()
    for index in range(GRAPHS):
        random = Random(f"{seed} {index}")
        with Mesh.open(tmp_path / str(index), schema) as mesh:
            sites = build(mesh, schema, random)
            document = {
                "events": events(random, mesh, sites),
                "horizonHours": 24,
                "runs": 12,
                "seed": random.randrange(1000),
            }
            truth = simulate(mesh.snapshot(), parse_scenario(document), threads=1).to_json()
            apart = [mesh.twin(site).snapshot() for site in sites]
            found = cascade_together(apart, split(document, sites))
        place = f"seed {seed}, graph {index}"
        assert not found.is_bounded, place
        assert without_why([*found.rows.values()]) == without_why(truth["impacts"]), place
        assert {i.runs_computed for i in found.impacts.values()} == {truth["runsComputed"]}, place
        assert sum(i.summary.twins_hit for i in found.impacts.values()) == truth["summary"]["twinsHit"]
        seen["crossed"] += found.traffic.rounds["fall"] > 0
        seen["random"] += truth["runsComputed"] > 1
        seen["rises"] += "rise" in found.traffic.rounds
    assert seen["crossed"] >= GRAPHS // 3, seen

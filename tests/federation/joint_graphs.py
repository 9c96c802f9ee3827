"""Random graphs over several sites: rings of both kinds across them, buffers, damage, k of n, draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema

KINDS = ("brick:Chiller", "brick:AHU", "brick:Boiler", "brick:VAV", "tm:Asset", "tm:Process")
FOUNDED = ("brick:feeds", "tm:feeds")
SUSTAINED = ("tm:supplies", "tm:dependsOn")
TWIN = {
    "failureProbability": (0.3, 0.6),
    "timeToFailure": ("exponential(10)",),
    "timeToRepair": ("exponential(3)", 2.0, "uniform(1,5)"),
    "restartHours": (0.5, "uniform(0,1)"),
    "valuePerHour": (10.0, 99.5),
    "repairCost": (7.25,),
    "health": (0.6,),
}
GROUP = {
    "bufferHours": (0.4, "exponential(1)", 1.5),
    "refillRate": (0.5, 2.0),
    "threshold": (0.7,),
    "damageProbability": (0.5, 1.0),
    "toleranceHours": (0.3, "uniform(0,2)"),
}
MOST_SITES, MOST_TWINS = 8, 5  # twins of one site


@dataclass
class Drawn:
    """A graph in a folder. features: what it has, 0 or 1 each."""

    sites: list[str]
    features: Counter[str] = field(default_factory=Counter[str])


@dataclass
class _Draw:
    schema: Schema
    random: Random
    ids: Mapping[str, list[str]]
    features: Counter[str]
    links: dict[tuple[str, str, str, str], RelationshipRecord] = field(default_factory=dict)

    @property
    def everyone(self) -> list[tuple[str, str]]:
        return [(site, local_id) for site, listed in self.ids.items() for local_id in listed]

    def link(
        self, supplier: str, dependent: str, name: str, group: str, attributes: Mapping[str, Value]
    ) -> None:
        """States it where the dependent twin lives; never a second one of the same ends and group."""
        random, more = self.random, dict(attributes)
        if random.random() < 0.3:
            more["weight"] = Value(random.choice((0.5, 2.0)))
        if name in SUSTAINED and random.random() < 0.4:
            more["delayHours"] = Value(random.choice((1.5, "exponential(2)")))
        ends = (dependent, supplier) if name == "tm:dependsOn" else (supplier, dependent)
        relation = self.schema.relation(name).iri
        if supplier != dependent:
            record = RelationshipRecord(ends[0], relation, ends[1], group, attributes=more)
            self.links[record.source, relation, record.target, group] = record

    def of_group(self, chance: float) -> dict[str, Value]:
        found = some(self.random, GROUP, chance)
        self.features["buffers"] |= "bufferHours" in found
        self.features["damage"] |= "damageProbability" in found
        return found

    def ring(self, names: tuple[str, ...], feature: str) -> None:
        """Twins of several sites in a circle, at times both ways; a founded one is fed from somewhere."""
        random = self.random
        members = random.sample(self.everyone, min(random.randint(2, 6), len(self.everyone)))
        name = random.choice(names)
        self.features[feature] |= len({site for site, _ in members}) > 1
        for place, member in enumerate(members):
            group = f"ring-{len(self.links)}" if random.random() < 0.6 else ""
            attributes = self.of_group(0.25) if group else {}
            near = [members[place - 1]]
            if random.random() < 0.5:
                near.append(members[(place + 1) % len(members)])
            if name in FOUNDED and (place == 0 or random.random() < 0.15):
                near.append(random.choice(self.everyone))
            for supplier in near:
                self.link(iri(*supplier), iri(*member), name, group, attributes)

    def k_of_n(self, number: int) -> None:
        """One twin with three suppliers of which some are enough."""
        random = self.random
        dependent, *suppliers = random.sample(self.everyone, min(4, len(self.everyone)))
        name = random.choice((*FOUNDED, "tm:supplies"))
        attributes = {**self.of_group(0.3), "need": Value(random.choice((1.0, 2.0)))}
        for supplier in suppliers:
            self.link(iri(*supplier), iri(*dependent), name, f"k-{number}", attributes)
        self.features["k of n"] = 1

    def plain(self, number: int) -> None:
        random = self.random
        name = random.choice((*FOUNDED, *SUSTAINED))
        group = f"g{number}" if random.random() < 0.4 else ""
        ends = (iri(*random.choice(self.everyone)) for _ in range(2))
        self.link(*ends, name, group, self.of_group(0.3) if group else {})


def some(random: Random, table: Mapping[str, Any], chance: float) -> dict[str, Value]:
    return {name: Value(random.choice(values)) for name, values in table.items() if random.random() < chance}


def iri(site: str, local_id: str) -> str:
    return f"https://twinmesh.invalid/{site}/{local_id}"


def build(mesh: Mesh, schema: Schema, random: Random, sites_max: int = MOST_SITES) -> Drawn:
    """2 to `sites_max` sites of 1 to 5 twins; every relationship is stated where its dependent twin lives."""
    sites = [f"site-{number}" for number in range(random.randint(2, sites_max))]
    ids = {site: [f"T-{number}" for number in range(random.randint(1, MOST_TWINS))] for site in sites}
    drawn = Drawn(sites)
    draw = _Draw(schema, random, ids, drawn.features)
    for _ in range(random.choice((0, 1, 1, 2))):
        draw.ring(FOUNDED, "founded ring across sites")
    for _ in range(random.choice((0, 1, 1))):
        draw.ring(SUSTAINED, "sustained ring across sites")
    for number in range(random.choice((0, 0, 1, 2))):
        draw.k_of_n(number)
    for number in range(random.randint(0, 4 * len(sites))):
        draw.plain(number)
    for site in sites:
        _write(mesh, schema, draw, site)
    drawn.features[f"{len(sites)} sites"] = 1
    return drawn


def _write(mesh: Mesh, schema: Schema, draw: _Draw, site: str) -> None:
    kinds = {name: schema.kind(name).iri for name in KINDS}
    twins = [
        TwinRecord(
            iri(site, name), (kinds[draw.random.choice(KINDS)],), attributes=some(draw.random, TWIN, 0.12)
        )
        for name in draw.ids[site]
    ]
    depends, own = schema.relation("tm:dependsOn").iri, f"{iri(site, '')}"
    links = [
        link
        for link in draw.links.values()
        if (link.source if link.relation == depends else link.target).startswith(own)
    ]
    mesh.create_site(site).apply(Change(put_twins=tuple(twins), put_relationships=tuple(links)))


def scenario(random: Random, drawn: Drawn, runs: int) -> dict[str, Any]:
    """A document whose events name twins as `site:localId`."""
    found: list[dict[str, Any]] = []
    for _ in range(random.randint(0, 4)):
        twin = f"{random.choice(drawn.sites)}:T-{random.choice((0, 0, 0, 1))}"
        found.append(
            {
                **random.choice(
                    (
                        {"type": "FAIL"},
                        {"type": "FAIL", "repairHours": random.choice((3, "exponential(4)"))},
                        {"type": "CLOSE", "forHours": 2},
                        {"type": "DEGRADE", "level": 0.4, "forHours": 3},
                        {"type": "SURGE", "factor": 1.5, "forHours": 2},
                    )
                ),
                "twin": twin,
                "atHours": random.choice((0, 1.6)),
            }
        )
    grid = {"gridHours": random.choice((0.25, 0.5, 0.5, 1)), "horizonHours": random.choice((4, 8))}
    return {**grid, "events": found, "runs": runs, "seed": random.randrange(1000)}


def existing(document: dict[str, Any], mesh: Mesh) -> dict[str, Any]:
    """Without events for twins that were not drawn."""
    snapshot = mesh.snapshot()
    known = {
        f"{site}:T-{n}" for site in snapshot.sites for n in range(2) if snapshot.row(iri(site, f"T-{n}")) >= 0
    }
    return {**document, "events": [event for event in document["events"] if event["twin"] in known]}

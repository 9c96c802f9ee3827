"""Random graphs of two sites and random contracts over them; what may leave, told twin by twin."""

from __future__ import annotations

from pathlib import Path
from random import Random

from federation.contract import Contract, Purpose, Release
from graph.mesh import Mesh
from graph.snapshot import Snapshot
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema

SITES = ("campus", "plant")
KINDS = (
    "brick:AHU", "brick:VAV", "brick:Chiller", "brick:Equipment", "rec:Room", "rec:Space", "tm:Asset",
    "tm:Process", "brick:Zone_Air_Temperature_Sensor", "tm:Twin",
)  # fmt: skip
RELATIONS = ("tm:feeds", "brick:feeds", "tm:supplies", "tm:dependsOn", "tm:connectedTo")
ATTRIBUTES = ("ratedPower", "area", "assetTag")
NOW_NS = 1_800_000_000_000_000_000
DAY_NS = 86_400 * 1_000_000_000


def random_mesh(folder: Path, schema: Schema, random: Random, twins: int = 40) -> Mesh:
    """The caller closes it. Twins of one to three kinds, some removed again, relationships across sites."""
    mesh = Mesh.open(folder, schema)
    names = {site: [f"https://twinmesh.invalid/{site}/T-{n}" for n in range(twins)] for site in SITES}
    for site in SITES:
        mesh.create_site(site).apply(
            Change(put_twins=tuple(_twin(name, schema, random) for name in names[site]))
        )
    everything = [*names["campus"], *names["plant"]]
    for site in SITES:
        links = {_link(schema, random, everything, names[site]) for _ in range(twins)}
        mesh.twin(site).apply(
            Change(put_relationships=tuple(RelationshipRecord(*ends) for ends in sorted(links)))
        )
        gone = tuple(random.sample(names[site], twins // 8))
        mesh.twin(site).apply(Change(remove_twins=gone))
    return mesh


def _twin(name: str, schema: Schema, random: Random) -> TwinRecord:
    kinds = tuple(schema.kind(kind).iri for kind in random.sample(KINDS, random.choice((1, 1, 2, 3))))
    values = {attribute: Value(1.0) for attribute in ATTRIBUTES[:2] if random.random() < 0.5}
    return TwinRecord(name, kinds, attributes=values)


def _link(schema: Schema, random: Random, everything: list[str], own: list[str]) -> tuple[str, str, str]:
    """A relationship whose dependent end is in the site that it is put into."""
    relation = random.choice(RELATIONS)
    far, near = random.choice(everything), random.choice(own)
    while far == near:
        far = random.choice(everything)
    ends = (near, far) if relation == "tm:dependsOn" else (far, near)
    return ends[0], schema.relation(relation).iri, ends[1]


def random_contract(schema: Schema, random: Random, partner: str) -> Contract:
    """Anything that a contract may say; most are in force at NOW_NS."""

    def some(names: tuple[str, ...]) -> list[str]:
        return random.sample(names, random.randrange(len(names) + 1))

    return Contract(
        partner=partner,
        sites=frozenset(some(SITES)),
        kinds=frozenset(schema.kind(name).iri for name in some(KINDS)[:3]),
        attributes=frozenset(some(ATTRIBUTES)),
        relations=frozenset(schema.relation(name).iri for name in some(RELATIONS)[:2]),
        release=random.choice(tuple(Release)),
        purposes=frozenset(random.sample(tuple(Purpose), random.randrange(1, 4))),
        starts_ns=random.choice((0, 0, 0, NOW_NS + 1)),
        expires_ns=random.choice((NOW_NS + DAY_NS, NOW_NS + DAY_NS, NOW_NS + 1, NOW_NS)),
        rows_per_answer=random.randrange(100),
    )


def climbs(schema: Schema, kind: int, wanted: frozenset[str]) -> bool:
    """Whether a kind or one above it is named: by its parents, step by step, without the tables."""
    todo, seen = [kind], set[int]()
    while todo:
        each = todo.pop()
        if schema.kinds[each].iri in wanted:
            return True
        seen.add(each)
        todo += [parent for parent in schema.kinds[each].parents if parent not in seen]
    return False


def relation_climbs(schema: Schema, relation: int, wanted: frozenset[str]) -> bool:
    todo, seen = [relation], set[int]()
    while todo:
        each = todo.pop()
        if schema.relations[each].iri in wanted:
            return True
        seen.add(each)
        todo += [parent for parent in schema.relations[each].parents if parent not in seen]
    return False


def in_force(contract: Contract, purpose: Purpose, now_ns: int) -> bool:
    """The rule in plain words: named for this, begun, not ended."""
    return purpose in contract.purposes and contract.starts_ns <= now_ns and now_ns < contract.expires_ns


def may_count(contract: Contract, snapshot: Snapshot, row: int) -> bool:
    """One twin, one contract in force."""
    if snapshot.row(snapshot.id(row)) != row:
        return False  # removed
    site = snapshot.sites[snapshot.site[row]]
    kinds = snapshot.kinds(row)
    return site in contract.sites and any(climbs(snapshot.schema, kind, contract.kinds) for kind in kinds)


def may_link(contract: Contract, snapshot: Snapshot, edge: int) -> bool:
    """One relationship, one contract of rows in force."""
    ends = (int(snapshot.edge_source[edge]), int(snapshot.edge_target[edge]))
    relation = int(snapshot.edge_relation[edge])
    return (
        bool(snapshot.edge_alive[edge])
        and snapshot.sites[snapshot.edge_site(edge)] in contract.sites
        and relation_climbs(snapshot.schema, relation, contract.relations)
        and all(may_count(contract, snapshot, end) for end in ends)
    )

"""Worlds that are the same as far as a contract shows, and what a contract leaves of a world.

Every attribute of the vocabulary is used, so a new one is in by itself. What a contract shows is told here in
plain words, twin by twin, and not by the code that is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import TypeVar

from federation.contract import NAMING_FIELDS, OWN_FIELDS, Contract, Naming, Purpose, Release
from graph.values import Change, ExternalId, JSONValue, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema
from ontology.terms import Attribute
from tests.federation.contract_worlds import DAY_NS, climbs, relation_climbs

T = TypeVar("T")
SITES = ("campus", "annex")
PARTNER_BASE = "https://twinmesh.invalid/plant/"
KINDS = (
    "brick:AHU",
    "brick:VAV",
    "brick:Chiller",
    "rec:Room",
    "tm:Asset",
    "brick:Zone_Air_Temperature_Sensor",
)
POINT = KINDS[-1]
NEVER = "tm:Process"  # named by no contract
ABOVE = ("brick:Equipment", "brick:Point")
RELATIONS = ("tm:feeds", "tm:supplies", "tm:dependsOn", "tm:connectedTo")
TWINS = 14
WORDS = ("oak", "elm", "fir", "ash")
BEGIN_NS = 1_800_000_000_000_000_000
NEVER_IRI = "https://twinmesh.invalid/campus/NEVER"
VARIED = {
    TwinRecord: {"id", "kinds", "name", "local_id", "attributes", "external_ids", "origin"},
    RelationshipRecord: {"source", "relation", "target", "group", "id", "attributes", "origin", "stated"},
}
"""The fields that these worlds know of: a new one must be thought of here."""


@dataclass(frozen=True)
class World:
    """By site: what is written. readings: of points by IRI, time and value, ascending."""

    sites: Mapping[str, Change]
    readings: Mapping[str, tuple[tuple[int, float], ...]]

    @property
    def twins(self) -> list[tuple[str, TwinRecord]]:
        return [(site, twin) for site, change in self.sites.items() for twin in change.put_twins]

    @property
    def ids(self) -> list[str]:
        return [twin.id for _, twin in self.twins]


def check_fields_are_known() -> None:
    """AssertionError where a record has a field that these worlds do not vary."""
    for record, known in VARIED.items():
        assert {each.name for each in fields(record)} == known, record


def twin_attributes(schema: Schema) -> list[Attribute]:
    """All that a twin may have; how a reading is to be read stays as it is."""
    return [
        each for each in schema.attributes.values() if each.on != "relationship" and each.name != "valueType"
    ]


def link_attributes(schema: Schema, relation: str) -> list[Attribute]:
    """All that a relationship may have; of a founded one no delay, which may not stand there."""
    left_out = {"group", "delayHours"} if relation.endswith("feeds") else {"group"}
    found = schema.attributes.values()
    return [each for each in found if each.on != "twin" and each.name not in left_out]


# Contracts


def random_contract(schema: Schema, random: Random, partner: str, now_ns: int) -> Contract:
    """Anything that a contract may say; three of four are in force."""

    def some(names: tuple[str, ...], share: float) -> frozenset[str]:
        return frozenset(name for name in names if random.random() < share)

    named = tuple(sorted({*schema.attributes, *OWN_FIELDS}))
    is_opaque = random.random() < 0.4
    purposes = frozenset(each for each in Purpose if random.random() < 0.85)
    return Contract(
        partner=partner,
        sites=some(SITES, 0.8),
        kinds=frozenset(schema.kind(name).iri for name in some((*KINDS, *ABOVE), 0.4)),
        attributes=some(named, 0.5) - (NAMING_FIELDS if is_opaque else frozenset[str]()),
        relations=frozenset(schema.relation(name).iri for name in some(RELATIONS, 0.5)),
        release=random.choice((Release.ROWS, Release.ROWS, Release.ROWS, Release.AGGREGATES)),
        purposes=purposes - ({Purpose.SYNC} if is_opaque else frozenset[Purpose]()),
        events=some(("FAIL", "DEGRADE", "SET"), 0.5),
        starts_ns=random.choice((0,) * 11 + (now_ns + DAY_NS,)),
        expires_ns=random.choice((now_ns + DAY_NS,) * 11 + (now_ns,)),
        window_from_ns=random.choice((None, BEGIN_NS)),
        window_until_ns=random.choice((None, BEGIN_NS + DAY_NS)),
        per_minute=1_000_000,
        scenarios_per_day=1_000,
        rows_per_answer=random.choice((3, 1_000, 1_000)),
        ids=Naming.OPAQUE if is_opaque else Naming.PLAIN,
    )


def in_force(contract: Contract, now_ns: int) -> bool:
    return contract.starts_ns <= now_ns < contract.expires_ns


def widest(schema: Schema, contract: Contract) -> Contract:
    """All kinds, attributes, relations and times; by the same ids, at the same rates."""
    hidden = NAMING_FIELDS if contract.ids is Naming.OPAQUE else frozenset[str]()
    return replace(
        contract,
        kinds=frozenset(schema.kind(name).iri for name in (*KINDS, NEVER)),
        attributes=frozenset({*schema.attributes, *OWN_FIELDS}) - hidden,
        relations=frozenset(schema.relation(name).iri for name in RELATIONS),
        window_from_ns=None,
        window_until_ns=None,
    )


# Worlds


def random_world(schema: Schema, random: Random) -> World:
    """Two sites of twins of all kinds, with relationships of all kinds, to twins of the partner too."""
    twins = {
        site: [random_twin(schema, random, site, f"T-{number}") for number in range(TWINS)] for site in SITES
    }
    ids = [twin.id for listed in twins.values() for twin in listed]
    sites = {
        site: Change(
            put_twins=tuple(listed),
            put_relationships=unique(random_link(schema, random, site, ids) for _ in range(2 * TWINS)),
        )
        for site, listed in twins.items()
    }
    return World(sites, random_readings(schema, random, sites))


def random_twin(
    schema: Schema, random: Random, site: str, local_id: str, kinds: tuple[str, ...] = (*KINDS, NEVER)
) -> TwinRecord:
    kind = random.choice(kinds)
    return TwinRecord(
        f"https://twinmesh.invalid/{site}/{local_id}",
        (schema.kind(kind).iri,),
        random_name(random),
        random_local(random),
        attributes=random_values(twin_attributes(schema), random),
        external_ids=random_external(random, local_id),
        origin=random.choice((None, None, "file")),
    )


def random_name(random: Random) -> str | None:
    return random.choice((None, f"{random.choice(WORDS)} {random.randrange(4)}"))


def random_local(random: Random) -> str | None:
    """One of few, so that several twins have it; or the one that follows from the IRI."""
    return random.choice((None, f"L-{random.randrange(6)}"))


def random_external(random: Random, local_id: str) -> tuple[ExternalId, ...]:
    return tuple(
        ExternalId(system, f"{local_id}-{random.randrange(10**6)}")
        for system in ("ifc", "opcua")
        if random.random() < 0.4
    )


def random_values(attributes: list[Attribute], random: Random) -> dict[str, Value]:
    return {
        each.name: Value(random_value(each, random), each.unit)
        for each in attributes
        if random.random() < 0.3
    }


def random_value(attribute: Attribute, random: Random) -> JSONValue:
    low = attribute.minimum if attribute.minimum is not None else 0.0
    high = attribute.maximum if attribute.maximum is not None else low + 50.0
    if attribute.choices:
        return random.choice(attribute.choices)
    match attribute.datatype:
        case "text":
            return f"{random.choice(WORDS)} {random.randrange(3)}"
        case "boolean":
            return random.random() < 0.5
        case "integer":
            return random.randrange(10)
        case _:
            return low + (high - low) * random.randrange(1, 9) / 8


def random_link(schema: Schema, random: Random, site: str, ids: list[str]) -> RelationshipRecord:
    """With attributes only in a need group of its own: rows of one group may not disagree."""
    near = random.choice([each for each in ids if f"/{site}/" in each])
    far = random.choice((random.choice(ids), random.choice(ids), f"{PARTNER_BASE}P-{random.randrange(3)}"))
    ends = (near, far) if random.random() < 0.5 else (far, near)
    relation, group = random.choice(RELATIONS), random.choice(("", *2 * (f"g-{random.getrandbits(32)}",)))
    return RelationshipRecord(
        ends[0],
        schema.relation(relation).iri,
        ends[1],
        group,
        attributes=random_values(link_attributes(schema, relation), random) if group else {},
        origin=random.choice((None, "file")),
    )


def unique(links: Iterable[RelationshipRecord]) -> tuple[RelationshipRecord, ...]:
    """One of each key, none from a twin to itself."""
    found: dict[tuple[str, str, str, str], RelationshipRecord] = {}
    for link in links:
        if link.source != link.target:
            found[link.source, link.relation, link.target, link.group] = link
    return tuple(found.values())


def random_readings(
    schema: Schema, random: Random, sites: Mapping[str, Change]
) -> dict[str, tuple[tuple[int, float], ...]]:
    """Of most points; all of one before, within or behind the windows of contracts."""
    point = schema.kind(POINT).iri
    return {
        twin.id: random_series(random, BEGIN_NS + random.choice((-1, 0, 2)) * DAY_NS)
        for change in sites.values()
        for twin in change.put_twins
        if point in twin.kinds and random.random() < 0.8
    }


def random_series(random: Random, begin_ns: int) -> tuple[tuple[int, float], ...]:
    times = sorted(random.sample(range(10**9), random.randrange(1, 5)))
    return tuple((begin_ns + time_ns, float(random.randrange(99))) for time_ns in times)


# What a contract shows, in plain words


@dataclass(frozen=True)
class Rules:
    schema: Schema
    contract: Contract

    def shows(self, site: str, twin: TwinRecord) -> bool:
        kinds = (self.schema.kind(kind).index for kind in twin.kinds)
        return site in self.contract.sites and any(
            climbs(self.schema, kind, self.contract.kinds) for kind in kinds
        )

    def shown(self, world: World) -> set[str]:
        return {twin.id for site, twin in world.twins if self.shows(site, twin)}

    def shows_link(self, site: str, link: RelationshipRecord, shown: set[str]) -> bool:
        ends = {link.source, link.target}
        known = {end for end in ends if end.startswith(PARTNER_BASE)}
        relation = self.schema.relation(link.relation).index
        return (
            site in self.contract.sites
            and relation_climbs(self.schema, relation, self.contract.relations)
            and bool(ends & shown)
            and ends <= shown | known
        )

    def shows_reading(self, time_ns: int) -> bool:
        begins, ends = self.contract.window_from_ns, self.contract.window_until_ns
        return (
            "value" in self.contract.attributes
            and (begins is None or begins <= time_ns)
            and (ends is None or time_ns < ends)
        )

    def told(self, series: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
        """What is told of a point that is shown: nothing, the last reading, or all of them."""
        if not self.shows_reading(series[-1][0]):
            return ()
        return series if "history" in self.contract.attributes else series[-1:]

    def kept(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {name: value for name, value in values.items() if name in self.contract.attributes}


def reduced(schema: Schema, world: World, contract: Contract) -> World:
    """What a contract leaves of a world, and nothing else."""
    rules = Rules(schema, contract)
    shown = rules.shown(world)
    sites = {
        site: Change(
            put_twins=tuple(_bare(rules, twin) for twin in change.put_twins if twin.id in shown),
            put_relationships=tuple(
                replace(link, attributes=rules.kept(link.attributes), origin=None)
                for link in change.put_relationships
                if rules.shows_link(site, link, shown)
            ),
        )
        for site, change in world.sites.items()
    }
    readings = {
        point: rules.told(series)
        for point, series in world.readings.items()
        if point in shown and rules.told(series)
    }
    return World(sites, readings)


def _bare(rules: Rules, twin: TwinRecord) -> TwinRecord:
    named = rules.contract.attributes
    return replace(
        twin,
        name=twin.name if "name" in named else None,
        local_id=twin.local_id if "localId" in named else None,
        external_ids=twin.external_ids if "externalIds" in named else (),
        attributes=rules.kept(twin.attributes),
        origin=None,
    )


def otherwise(schema: Schema, random: Random, world: World, contract: Contract) -> World:
    """Another world of which the contract shows the same: all else is drawn anew."""
    rules = Rules(schema, contract)
    shown = rules.shown(world)
    twins = {
        site: mixed(
            random,
            [_redrawn(rules, random, twin) for twin in change.put_twins if twin.id in shown],
            _others(rules, random, site),
        )
        for site, change in world.sites.items()
    }
    ids = [twin.id for listed in twins.values() for twin in listed]
    sites = {
        site: Change(
            put_twins=tuple(listed), put_relationships=_links(rules, random, world, site, (shown, ids))
        )
        for site, listed in twins.items()
    }
    seen = {
        point: _older(rules, random, series)
        for point, series in world.readings.items()
        if point in shown and rules.told(series)
    }
    drawn = {
        point: series
        for point, series in random_readings(schema, random, sites).items()
        if point not in shown or not rules.told(series)
    }
    made = World(sites, {**drawn, **seen})
    return made if contract.release is Release.ROWS else _renamed(made, shown)


def _older(
    rules: Rules, random: Random, series: tuple[tuple[int, float], ...]
) -> tuple[tuple[int, float], ...]:
    """What is told, behind other readings before it where only the last is told."""
    told = rules.told(series)
    if "history" in rules.contract.attributes:
        return told
    return (*random_series(random, told[0][0] - random.randrange(1, 3) * DAY_NS), *told)


def _renamed(world: World, shown: set[str]) -> World:
    """With other ids of twins of which only figures are told."""
    names = {each: each.replace("/T-", "/Q-") for each in shown}
    sites = {
        site: Change(
            put_twins=tuple(replace(twin, id=names.get(twin.id, twin.id)) for twin in change.put_twins),
            put_relationships=tuple(
                replace(
                    link,
                    source=names.get(link.source, link.source),
                    target=names.get(link.target, link.target),
                )
                for link in change.put_relationships
            ),
        )
        for site, change in world.sites.items()
    }
    return World(sites, {names.get(point, point): told for point, told in world.readings.items()})


def _redrawn(rules: Rules, random: Random, twin: TwinRecord) -> TwinRecord:
    named, kept = rules.contract.attributes, rules.kept(twin.attributes)
    drawn = random_values(twin_attributes(rules.schema), random)
    hidden = {name: value for name, value in drawn.items() if name not in named}
    local_id = twin.id.rpartition("/")[2]
    return replace(
        twin,
        name=twin.name if "name" in named else random_name(random),
        local_id=twin.local_id if "localId" in named else random_local(random),
        external_ids=twin.external_ids if "externalIds" in named else random_external(random, local_id),
        attributes={**hidden, **kept},
        origin=random.choice((None, "another file")),
    )


def _others(rules: Rules, random: Random, site: str) -> list[TwinRecord]:
    """Twins that the contract hides: others, and another number of them."""
    drawn = (random_twin(rules.schema, random, site, f"H-{n}") for n in range(random.randrange(5, 2 * TWINS)))
    return [twin for twin in drawn if not rules.shows(site, twin)]


def _links(
    rules: Rules, random: Random, world: World, site: str, known: tuple[set[str], list[str]]
) -> tuple[RelationshipRecord, ...]:
    shown, ids = known
    kept = [
        replace(
            link,
            attributes={**hidden_values(rules, random, link), **rules.kept(link.attributes)},
            origin=None,
        )
        for link in world.sites[site].put_relationships
        if rules.shows_link(site, link, shown)
    ]
    if not any(f"/{site}/" in each for each in ids):
        return tuple(kept)
    drawn = [random_link(rules.schema, random, site, ids) for _ in range(random.randrange(TWINS, 3 * TWINS))]
    return unique(mixed(random, kept, [each for each in drawn if not rules.shows_link(site, each, shown)]))


def mixed(random: Random, kept: list[T], others: list[T]) -> list[T]:
    """Both, each in its own order: in which order we came to have what is shown is no secret."""
    places = [True] * len(kept) + [False] * len(others)
    random.shuffle(places)
    sources = {True: iter(kept), False: iter(others)}
    return [next(sources[place]) for place in places]


def hidden_values(rules: Rules, random: Random, link: RelationshipRecord) -> dict[str, Value]:
    drawn = random_values(link_attributes(rules.schema, link.relation), random) if link.group else {}
    return {name: value for name, value in drawn.items() if name not in rules.contract.attributes}

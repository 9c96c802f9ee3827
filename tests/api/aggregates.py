"""Random fleets and random aggregates over them, to be asked of several servers and of one folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from graph.values import Change, RelationshipRecord, TwinRecord, Value
from tests.api.conftest import iri, link, twin

KINDS = ("brick:AHU", "brick:Fan", "brick:Pump", "rec:Room")
SUPERS = (*KINDS, "brick:Equipment", "tm:Asset")
TAGS = ("a", "b", "c")


def _number(random: Random) -> float | int:
    """Numbers whose sums depend on their order, if they are rounded on the way."""
    return random.choice(
        (
            round(random.uniform(0, 500), 2),
            random.uniform(-1, 1),
            math.ldexp(random.uniform(-1, 1), random.randrange(-60, 60)),
            random.randrange(5),
            float(random.randrange(5)),
            1e17,
            -1e17,
        )
    )


def _attributes(random: Random, power_units: Sequence[str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if random.random() < 0.8:
        values["ratedPower"] = Value(_number(random), random.choice(power_units))
    if random.random() < 0.8:
        values["valuePerHour"] = Value(float(random.randrange(4)) / 4)
    if random.random() < 0.8:
        values["assetTag"] = Value(random.choice(TAGS))
    return values


def fleet(site: str, others: Sequence[str], random: Random, count: int, power_units: Sequence[str]) -> Change:
    """Twins of some kinds, each fed by one before or of another site."""
    twins: list[TwinRecord] = []
    links: list[RelationshipRecord] = []
    for number in range(count):
        kind, own = random.choice(KINDS), f"T-{number}"
        values = _attributes(random, power_units)
        twins.append(
            twin(site, own, kind, random.choice((None, f"{random.choice('xyz')} {number}")), **values)
        )
        supplier = iri(random.choice((site, *others)), f"T-{random.randrange(number + 1)}")
        if random.random() < 0.5:
            links.append(link(site, supplier, "tm:supplies", own))
    return Change(put_twins=tuple(twins), put_relationships=tuple(links))


def _filter(random: Random, sites: Sequence[str], depth: int = 2) -> str:
    if depth and random.random() < 0.4:
        parts = [_filter(random, sites, depth - 1) for _ in range(2)]
        return random.choice(
            (f"{{and: [{', '.join(parts)}]}}", f"{{or: [{', '.join(parts)}]}}", f"{{not: {parts[0]}}}")
        )
    operator, site = random.choice(("lt", "gte", "ne")), random.choice(sites)
    return random.choice(
        (
            f'{{attribute: [{{name: "ratedPower", {operator}: {_number(random)!r}, unit: "kW"}}]}}',
            f'{{attribute: [{{name: "ratedPower", {operator}: {_number(random)!r}}}]}}',
            f'{{attribute: [{{name: "valuePerHour", {operator}: 0.5}}]}}',
            f'{{attribute: [{{name: "assetTag", eq: "{random.choice(TAGS)}"}}]}}',
            '{attribute: [{name: "assetTag", exists: false}]}',
            f'{{name: {{startsWith: "{random.choice("xyz")}"}}}}',
            f'{{kind: {{eq: "{random.choice(SUPERS)}"}}}}',
            f'{{site: {{ne: "{site}"}}}}',
            f'{{id: {{in: ["{iri(site, "T-1")}", "{iri(sites[0], "T-2")}"]}}}}',
            f'{{id: {{startsWith: "{iri(site, "T-1")}"}}}}',
            '{some: {relation: "tm:supplies", direction: IN}}',
            '{none: {relation: "tm:supplies", twin: {attribute: [{name: "assetTag", eq: "a"}]}}}',
        )
    )


def question(random: Random, sites: Sequence[str]) -> str:
    """An aggregate, with the fields that any answer to it has."""
    arguments = [f'kind: "{random.choice(SUPERS)}"'] if random.random() < 0.7 else []
    if random.random() < 0.7:
        arguments.append(f"filter: {_filter(random, sites)}")
    keys = ("kind", "site", "assetTag", "valuePerHour", "ratedPower", "name", "^supplies")
    chosen = random.sample(keys, random.randrange(3))
    if chosen:
        arguments.append(f"groupBy: [{', '.join(f'{chr(34)}{key}{chr(34)}' for key in chosen)}]")
    names = ["COUNT", "SUM", "MEAN", "MIN", "MAX", *(["P50"] if random.random() < 0.1 else [])]
    measures = ['{op: COUNT, as: "n"}'] + [
        f'{{op: {op}, of: "{of}"}}' for of in ("ratedPower", "valuePerHour") for op in random.sample(names, 3)
    ]
    arguments.append(f"measures: [{', '.join(measures)}]")
    return f"{{ aggregate({', '.join(arguments)}) {{ keys values units }} }}"

"""A world of units, outside ids and local ids that several twins have, and random questions about them."""

from __future__ import annotations

from graph.values import Change, ExternalId, RelationshipRecord, TwinRecord, Value
from tests.compiled.odd_site import BASE as ODD
from tests.graph.test_matching import BASE

KINDS = ("brick:AHU", "brick:VAV", "rec:Room", "rec:Level", "tm:Item", "brick:Equipment")
RELATIONS = ("tm:feeds", "tm:partOf", "tm:connectedTo", "tm:dependsOn")
# By attribute: in which units it is stated; None: in none.
UNITS = {
    "coolingCapacity": ("W",),
    "heatingCapacity": ("W", "kW", "MW", None),
    "volume": (None,),
    "height": ("[ft_i]", "m", None),
    "ratedFlow": ("m3/h",),
    "capacity": ("kW", None),
    "x:temperature": ("Cel", "K", "[degF]"),
    "x:warm": ("Cel",),
    "x:share": ("%", None),
    "x:length": ("m", "s", None),
}
NUMBERS = (0.1, 0.2, 0.3, 1, 2, 2.0, -0.0, 0, 7.5, 12.25, 1e16, 2**53, 2**53 + 1, 3000, 32, 1e-3, 0.1 + 0.2)
OTHERS = ("kW", True, False, "12", [1], {"a": 1})
SYSTEMS = ("ifc", "gs1", "a b", "100%", "%20", "")
OUTSIDE = ("1", "x", "x y", " x", "b 1", "x%20y", "")
GROUPS = (
    "kind", "site", "name", "id", *UNITS, "mixed", "flag", "assetTag", "ratedPower", "x:any", "x:number",
    "x:mixed", "area", "partOf", "^partOf", "feeds", "^feeds", "partOf:rec:Level", "feeds:rec:Room",
    "^feeds:brick:AHU", "connectedTo:rec:Room", "connectedTo", "feeds/feeds", "feeds/^feeds",
    "^pointOf/connectedTo", "^partOf/feeds:rec:Space", "dependsOn:brick:Equipment/^dependsOn", "hasPart",
)  # fmt: skip
OPERATIONS = ("COUNT", "MIN", "MAX", "MEAN", "SUM", "P05", "P50", "P95")
WANTED = ("kW", "W", "m", "[ft_i]", "Cel", "[degF]", "K", "m3/h", "%", "1", "s", "nothing")
TEXTS = ("t1", "s:t1", "both", "s:both", "odd:both", f"{BASE}t2", f"{BASE}both", "nothing", "u7", "odd:u7")
AGGREGATE = """query q($m: [Measure!]!, $k: String, $g: [String!], $f: TwinFilter) {
  aggregate(measures: $m, kind: $k, groupBy: $g, filter: $f) { keys values units } }"""
LIST = """query q($k: String, $f: TwinFilter, $o: [TwinOrder!], $n: Int, $l: Int, $a: String, $b: String) {
  twins(kind: $k, filter: $f, orderBy: $o, first: $n, last: $l, after: $a, before: $b) { totalCount
    edges { cursor node { id externalIds { system id } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


def stock(mesh, rng, twins=60, links=120):
    """Add twins and relationships to the site `s`, and a twin to `odd` whose local id is in `s` too."""
    twin, schema = mesh.twin("s"), mesh.schema
    records = [_record(rng, schema, f"u{number}") for number in range(twins)]
    records.append(_record(rng, schema, "both"))
    found = {}
    for _ in range(links):
        source, target = sorted(rng.sample(range(twins), 2), reverse=True)
        relation = rng.choice(RELATIONS)
        ends = (f"{BASE}u{source}", schema.relation(relation).iri, f"{BASE}u{target}")
        found[ends] = RelationshipRecord(*ends)
    twin.apply(Change(put_twins=tuple(records), put_relationships=tuple(found.values())))
    gone = tuple(f"{BASE}u{number}" for number in rng.sample(range(twins), 4))
    twin.apply(Change(remove_twins=gone))
    mesh.twin("odd").apply(Change(put_twins=(TwinRecord(f"{ODD}both", (schema.kind("tm:Item").iri,)),)))


def _record(rng, schema, name):
    values = {}
    for attribute, units in UNITS.items():
        if rng.random() < 0.6:
            values[attribute] = _value(rng, attribute, rng.choice(units))
    kinds = tuple(schema.kind(kind).iri for kind in rng.sample(KINDS, rng.choice((1, 1, 2))))
    outside = tuple(
        dict.fromkeys(ExternalId(rng.choice(SYSTEMS), rng.choice(OUTSIDE)) for _ in range(rng.randint(0, 2)))
    )
    label = rng.choice((None, "Alpha", "ümlaut"))
    return TwinRecord(f"{BASE}{name}", kinds, label, attributes=values, external_ids=outside)


def _value(rng, attribute, unit):
    if attribute.startswith("x:") and rng.random() < 0.2:
        return Value(rng.choice(OTHERS), unit)
    return Value(rng.choice(NUMBERS), unit)


def question(rng, names):
    """(text, variables) of an aggregate or a list. names: of attributes that some twin has."""
    if rng.random() < 0.5:
        groups = rng.sample(GROUPS, rng.choice((0, 1, 1, 1, 2, 3)))
        measures = [_measure(rng, names, place) for place in range(rng.randint(1, 4))]
        return AGGREGATE, {"m": measures, "g": groups, "k": _kind(rng), "f": _filter(rng, names)}
    order = [
        {
            "by": rng.choice((*names, "name", "id", "kind", "site", "localId")),
            "direction": rng.choice(("ASC", "DESC")),
            "nulls": rng.choice(("FIRST", "LAST")),
        }
        for _ in range(rng.randint(0, 2))
    ]
    size = {rng.choice("nnl"): rng.choice((1, 3, 7, 1000))}
    return LIST, {"k": _kind(rng), "f": _filter(rng, names), "o": order, **size}


def _kind(rng):
    return rng.choice((None, None, *KINDS, "tm:Asset"))


def _measure(rng, names, place):
    of = rng.choice(names)
    if rng.random() < 0.2:
        return {"op": "COUNT", "as": f"m{place}"}
    return {"op": rng.choice(OPERATIONS), "of": of, "as": f"m{place}"}


def _filter(rng, names, depth=0):
    draw = rng.random()
    if depth == 0 and draw < 0.25:
        return None
    if depth < 2 and draw < 0.4:
        parts = [_filter(rng, names, depth + 1) or {} for _ in range(rng.randint(0, 3))]
        return {rng.choice(("and", "or")): parts} if draw < 0.35 else {"not": (parts or [{}])[0]}
    if depth < 2 and draw < 0.5:
        link = {"relation": rng.choice(RELATIONS), "direction": rng.choice(("OUT", "IN", "BOTH"))}
        return {rng.choice(("some", "none", "every")): {**link, "twin": _filter(rng, names, depth + 1) or {}}}
    return _leaf(rng, names)


def _leaf(rng, names):
    kind = rng.choice(("attribute", "attribute", "attribute", "id", "site", "externalId", "localId", "name"))
    if kind == "attribute":
        return {"attribute": [_attribute(rng, names)]}
    texts = {"id": TEXTS, "site": ("s", "odd", "odd", "s", "nothing"), "externalId": OUTSIDE}
    choices = texts.get(kind, ("u1", "u2", "both", "Alpha", "t1"))
    operator = rng.choice(("eq", "eq", "in", "ne", "notIn", "contains", "startsWith", "exists"))
    if operator == "exists":
        return {kind: {"exists": rng.random() < 0.7}}
    several = [rng.choice(choices) for _ in range(rng.randint(0, 3))]
    return {kind: {operator: several if operator in ("in", "notIn") else rng.choice(choices)}}


def _attribute(rng, names):
    operand = rng.choice((*NUMBERS, *NUMBERS, 273.15, 10, 3.28084, True, "12", "kW", 10.5e3, [1, 2]))
    test = {"name": rng.choice(names)}
    operator = rng.choice(("eq", "ne", "in", "notIn", "lt", "lte", "gt", "gte", "lt", "gt", "exists"))
    if operator == "exists":
        test[operator] = rng.random() < 0.6
    elif operator in ("in", "notIn"):
        test[operator] = [rng.choice((*NUMBERS, "12", True)) for _ in range(rng.randint(0, 3))]
    else:
        test[operator] = operand
    if rng.random() < 0.3:
        test["exists"] = True
    if rng.random() < 0.5:
        test["unit"] = rng.choice(WANTED)
    return test

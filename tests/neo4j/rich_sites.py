"""Random changes of two sites that know of each other's twins, with every sort of value there is."""

from __future__ import annotations

from graph.values import Change, ExternalId, RelationshipRecord, TwinRecord, Value
from ontology.errors import StoreError, TwinmeshError

KINDS = ("brick:AHU", "brick:VAV", "brick:Chiller", "rec:Room", "brick:Temperature_Sensor")
TEXTS = (
    "",
    " ",
    "text",
    '"',
    'say "hi", he; she',
    "a\nb",
    "c\r\nd\r",
    "\t",
    "\\",
    "\\n",
    "é😀\u2028",
    "\x01odd",
    "\x00",
    "null",
    "\ufeff",
    "1",
    "true",
    "'`{}$",
)
NUMBERS = (0, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1, -(2**63), 2**63, 2**70)
FLOATS = (0.1, -0.0, 0.0, 5e-324, 1.7976931348623157e308, -1 / 3, 1e22, 123456789.123456789, 1e-7)
OTHERS = (True, False, [1, 2], [], {}, {"a": [None, 'b\n"']}, ["x", 1.5])
NAMES = (
    "note",
    "shares",
    "id",
    "name",
    "_x",
    "a:b",
    "a,b",
    'a"b',
    "a b",
    "ü😀",
    "a;b",
    "a\\n",
    " lead ",
    "x:ID",
    "x:LABEL",
    "IGNORE",
    "a`b",
    "a\x1fb",
)
UNITS = (None, None, None, "kW", "Cel")


class RichWork:
    """One step: a random change of one of the sites."""

    def __init__(self, mesh, schema, rng):
        self.rng, self.schema, self.refused = rng, schema, 0
        self.twins = [mesh.create_site(name) for name in ("campus", "plant")]
        self.ids = [[f"{twin.base}{number}" for number in range(25)] for twin in self.twins]
        for twin, ids in zip(self.twins, self.ids, strict=True):
            put = tuple(TwinRecord(one, (self.kind(),)) for one in ids)
            twin.apply(Change(put_twins=put, idempotency_key="first"))

    def kind(self):
        return self.schema.kind(self.rng.choice(KINDS)).iri

    def text(self):
        return "".join(self.rng.choices(TEXTS, k=self.rng.randint(1, 3)))

    def value(self):
        rng = self.rng
        plain = rng.choice(
            (
                self.text,
                self.text,
                lambda: rng.choice(NUMBERS),
                lambda: rng.choice(FLOATS),
                lambda: rng.choice(OTHERS),
            )
        )()
        unit = rng.choice(UNITS) if isinstance(plain, int | float) and not isinstance(plain, bool) else None
        return Value(plain, unit)

    def attributes(self):
        return {name: self.value() for name in self.rng.sample(NAMES, self.rng.randint(0, 4))}

    def step(self):
        place = self.rng.randrange(2)
        twin, ids = self.twins[place], self.ids[place]
        some = self.rng.sample(ids, self.rng.randint(1, 5))
        match self.rng.choice(("put", "put", "merge", "link", "link", "link", "far", "remove")):
            case "put":
                change = Change(put_twins=tuple(self.record(one) for one in some))
            case "merge":
                change = Change(
                    merge_twins=tuple(TwinRecord(one, attributes=self.attributes()) for one in some)
                )
            case "link":
                change = Change(put_relationships=tuple(self.link(one, self.rng.choice(ids)) for one in some))
            case "far":
                others = [*self.ids[1 - place], *(f"https://twinmesh.invalid/far/{n}" for n in range(4))]
                change = Change(
                    put_relationships=tuple(self.link(one, self.rng.choice(others)) for one in some)
                )
            case _:
                change = Change(remove_twins=tuple(some[:2]))
        try:
            twin.apply(change)
        except StoreError:
            raise
        except TwinmeshError:
            self.refused += 1  # part of the game

    def record(self, iri):
        rng = self.rng
        kinds = tuple(dict.fromkeys(self.kind() for _ in range(rng.randint(1, 2))))
        external = tuple(
            {
                ExternalId(rng.choice(("ifc", "a;b", "a b%")), self.text() or "x")
                for _ in range(rng.randint(0, 2))
            }
        )
        name = rng.choice((None, self.text()))
        return TwinRecord(iri, kinds, name, None, self.attributes(), external)

    def link(self, source, target):
        rng = self.rng
        relation = self.schema.relation(rng.choice(("tm:feeds", "brick:feeds", "tm:dependsOn"))).iri
        own = f"{source}/own/{rng.randint(0, 50)}" if rng.random() < 0.2 else None
        group = rng.choice(("", "", "a", 'b;"\n'))
        stated = self.attributes() if rng.random() < 0.4 else {}
        return RelationshipRecord(source, relation, target, group, own, stated)

"""Write the tables of facts in ontology/data/ from the published ontologies.

    uv run python scripts/make_ontology_tables.py [ONTOLOGIES [OUT]]

ONTOLOGIES holds Brick-1.4.4-with-rec-merged.ttl, Brick-1.4.4.ttl, rec-4.0.ttl, qudt-unit.ttl and
qudt-ifc-sssom/.
Only names, hierarchy and numbers are taken, no prose. Equal inputs give equal bytes.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import NamedTuple

from pyoxigraph import BlankNode, Literal, NamedNode, QuerySolutions, RdfFormat, Store, Triple

HERE = Path(__file__).resolve().parent
ONTOLOGIES = HERE.parent.parent / "shared" / "data" / "ontologies"
OUT = HERE.parent / "ontology" / "data"

PREFIXES = {
    "brick": "https://brickschema.org/schema/Brick#",
    "rec": "https://w3id.org/rec#",
    "unit": "http://qudt.org/vocab/unit/",
    "pfx": "http://qudt.org/vocab/prefix/",
    "qk": "http://qudt.org/vocab/quantitykind/",
    "dimension": "http://qudt.org/vocab/dimensionvector/",
}
SPARQL_PREFIXES = """
PREFIX rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX owl: <http://www.w3.org/2002/07/owl#> PREFIX sh: <http://www.w3.org/ns/shacl#>
PREFIX brick: <https://brickschema.org/schema/Brick#> PREFIX rec: <https://w3id.org/rec#>
PREFIX qudt: <http://qudt.org/schema/qudt/> PREFIX unit: <http://qudt.org/vocab/unit/>
PREFIX dcterms: <http://purl.org/dc/terms/>
"""

BRICK_SOURCE = (
    "source: Brick 1.4.4 with RealEstateCore 4.0 (https://brickschema.org/schema/Brick, https://w3id.org/rec)",
    "licence: BSD-3-Clause, Brick Consortium, Inc. and RealEstateCore Consortium; see NOTICE",
)
UNIT_SOURCE = (
    "source: QUDT units vocabulary 3.2.1 (http://qudt.org/3.2.1/vocab/unit)",
    "licence: CC BY 4.0 (c) QUDT.org; names and numbers only; see NOTICE",
)
IFC_SOURCE = (
    "source: QUDT-IFC mapping 2022-11-11 (https://qudt.org/sssom/qudt-ifc-mapping), QUDT units 3.2.1",
    "licence: CC BY 4.0 (c) QUDT.org; see NOTICE",
)

# A range below one of these is a value, a tag or a note on the model: such a property joins no twins.
VALUES = (
    "brick:Tag",
    "brick:Measurable",
    "brick:EntityPropertyValue",
    "rec:ArchitectureArea",
    "rec:ArchitectureCapacity",
    "rec:Geometry",
    "rec:Georeference",
    "rec:PostalAddress",
    "rec:PointEvent",
)
# Properties of the vocabulary about itself.
ABOUT_TERMS = {"brick:aliasOf", "brick:isReplacedBy"}
# Which end of a pair of inverses is the one that twinmesh stores.
CANONICAL = {
    "brick": "feeds isPartOf isPointOf hasLocation controls hosts meters isSubMeterOf",
    "rec": "feeds isPartOf isPointOf locatedIn isMemberOf ownedBy regulates",
}
# Inverses that REC names only in its documentation, not in the file.
UNSTATED_INVERSES = {
    "rec:hasMember": "rec:isMemberOf",
    "rec:hasPart": "rec:isPartOf",
    "rec:owns": "rec:ownedBy",
    "rec:regulatedBy": "rec:regulates",
}


class Table(NamedTuple):
    """One file: its header lines, its column names, its rows."""

    name: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def load(*paths: Path) -> Store:
    store = Store()
    for path in paths:
        store.load(path=path, format=RdfFormat.TURTLE)
    return store


def compact(iri: str) -> str:
    """`iri` as a prefixed name, or unchanged."""
    for prefix, base in PREFIXES.items():
        if iri.startswith(base):
            return f"{prefix}:{iri[len(base) :]}"
    return iri


def select(store: Store, query: str) -> list[tuple[str, ...]]:
    """Rows of a SELECT as text: prefixed names, literals, '' where unbound; none that holds a blank node."""
    solutions = store.query(SPARQL_PREFIXES + query)
    assert isinstance(solutions, QuerySolutions)
    rows: list[tuple[str, ...]] = []
    for solution in solutions:
        cells = list(solution)
        if any(isinstance(cell, BlankNode) for cell in cells):
            continue
        rows.append(tuple([text_of_term(cell) for cell in cells]))
    return sorted(set(rows))


def text_of_term(term: NamedNode | Literal | BlankNode | Triple | None) -> str:
    if isinstance(term, NamedNode):
        return compact(term.value)
    return term.value if isinstance(term, Literal) else ""


def pairs(rows: list[tuple[str, ...]]) -> dict[str, str]:
    """First column -> second; the last row wins."""
    return {row[0]: row[1] for row in rows}


def grouped(rows: list[tuple[str, ...]]) -> dict[str, list[str]]:
    """First column -> sorted values of the second."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key, value in rows:
        groups[key].append(value)
    return groups


def ours(name: str) -> bool:
    return name.startswith(("brick:", "rec:"))


# --- Brick and REC: kinds ------------------------------------------------------------------------------


def parents_of(store: Store) -> dict[str, list[str]]:
    """Every class of Brick and REC -> its stated superclasses there."""
    classes = select(
        store,
        "SELECT ?c WHERE { { ?c a owl:Class } UNION { ?c a rdfs:Class } UNION { ?c rdfs:subClassOf ?p }"
        " UNION { ?d rdfs:subClassOf ?c } }",
    )
    parents = grouped(select(store, "SELECT ?c ?p WHERE { ?c rdfs:subClassOf ?p }"))
    return {name: [p for p in parents.get(name, []) if ours(p)] for (name,) in classes if ours(name)}


def kind_table(store: Store, parents: dict[str, list[str]]) -> Table:
    labels = grouped(select(store, "SELECT ?c ?l WHERE { ?c rdfs:label ?l FILTER(LANG(?l) IN ('', 'en')) }"))
    deprecated = {name for (name,) in select(store, "SELECT ?c WHERE { ?c owl:deprecated true }")}
    replaced = grouped(select(store, "SELECT ?c ?d WHERE { ?c brick:isReplacedBy ?d }"))
    alias = grouped(select(store, "SELECT ?c ?d WHERE { ?c brick:aliasOf ?d }"))
    rows = [
        (
            name,
            " ".join(parents[name]),
            next(iter(labels.get(name, [])), ""),
            "yes" if name in deprecated else "",
            next(iter(replaced.get(name, [])), ""),
            next(iter(alias.get(name, [])), ""),
        )
        for name in sorted(parents)
    ]
    columns = ("kind", "parents", "label", "deprecated", "replacedBy", "aliasOf")
    return Table("kinds.tsv", BRICK_SOURCE, columns, rows)


def closure(parents: dict[str, list[str]], roots: tuple[str, ...] | list[str]) -> set[str]:
    """The roots and everything below them."""
    below = set(roots)
    while more := {name for name, above in parents.items() if below.intersection(above)} - below:
        below |= more
    return below


# --- Brick and REC: relations --------------------------------------------------------------------------


def shape_ends(store: Store) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What the node shapes state: property -> kinds that carry it, property -> kinds it may point to."""
    domains = select(store, "SELECT ?p ?s WHERE { ?s sh:property/sh:path ?p . ?s rdfs:subClassOf* ?any }")
    ranges = select(
        store,
        "SELECT ?p ?c WHERE { ?s sh:property ?x . ?x sh:path ?p ."
        " { ?x sh:class ?c } UNION { ?x sh:or/rdf:rest*/rdf:first/sh:class ?c } }",
    )
    return grouped([r for r in domains if ours(r[1])]), grouped(ranges)


def inverses_of(store: Store) -> dict[str, str]:
    """Name -> its inverse, stated, or carried over from an equivalent property that has one."""
    stated = pairs(select(store, "SELECT ?a ?b WHERE { ?a owl:inverseOf ?b }"))
    stated |= {b: a for a, b in stated.items()}
    equal = pairs(select(store, "SELECT ?a ?b WHERE { ?a owl:equivalentProperty ?b }"))
    carried = {b: equal[stated[a]] for a, b in equal.items() if stated.get(a) in equal}
    found = {**stated, **carried, **UNSTATED_INVERSES}
    found |= {b: a for a, b in found.items()}
    return {a: b for a, b in found.items() if ours(a) and ours(b)}


def relation_names(
    store: Store, ranges: dict[str, list[str]], values: set[str], known: set[str]
) -> list[str]:
    """Properties that join twins: a pair of inverses, or a range of kinds that are no values."""
    found = select(
        store,
        "SELECT ?p WHERE { { ?p a owl:ObjectProperty } UNION { ?p owl:inverseOf|^owl:inverseOf ?q }"
        " UNION { ?q owl:equivalentProperty ?p } }",
    )
    inverses = inverses_of(store)

    def joins_twins(name: str) -> bool:
        ends = {end for one in (name, inverses.get(name, name)) for end in ranges.get(one, [])}
        if not ends:
            return name in inverses or name == "brick:connectedTo"
        return bool((ends & known) - values) and "brick:Tag" not in ends

    return [name for (name,) in found if ours(name) and name not in ABOUT_TERMS and joins_twins(name)]


def is_canonical(name: str) -> bool:
    prefix, _, bare = name.partition(":")
    return bare in CANONICAL[prefix].split()


def relation_table(store: Store, parents: dict[str, list[str]]) -> Table:
    domains, ranges = shape_ends(store)
    values = closure(parents, VALUES)
    names = relation_names(store, ranges, values, set(parents))
    inverses = inverses_of(store)
    above = grouped(select(store, "SELECT ?p ?q WHERE { ?p rdfs:subPropertyOf ?q }"))
    stated = select(store, "SELECT ?p WHERE { ?p a owl:SymmetricProperty }")
    symmetric = {"brick:connectedTo"} | {name for (name,) in stated}
    rows = [
        (
            name,
            " ".join(p for p in above.get(name, []) if p in names),
            "" if is_canonical(name) else inverses.get(name, ""),
            " ".join(k for k in domains.get(name, []) if k in parents),
            " ".join(k for k in ranges.get(name, []) if k in parents and k not in values),
            "yes" if name in symmetric else "",
        )
        for name in names
    ]
    columns = ("relation", "parents", "inverseOf", "domain", "range", "symmetric")
    return Table("relations.tsv", BRICK_SOURCE, columns, rows)


# --- QUDT ----------------------------------------------------------------------------------------------


def number(text: str) -> str:
    """The shortest text of the nearest float64."""
    return repr(float(text)) if text else ""


def unit_table(store: Store) -> Table:
    """One row per unit that has a factor."""
    codes = grouped(select(store, "SELECT ?u ?c WHERE { ?u qudt:ucumCode ?c }"))
    quantities = grouped(select(store, "SELECT ?u ?k WHERE { ?u qudt:hasQuantityKind ?k }"))
    replaced = pairs(
        select(store, "SELECT ?u ?r WHERE { ?u qudt:deprecated true ; dcterms:isReplacedBy ?r }")
    )
    facts = select(
        store,
        "SELECT ?u ?d ?m ?o WHERE { ?u a qudt:Unit ; qudt:hasDimensionVector ?d ;"
        " qudt:conversionMultiplier ?m OPTIONAL { ?u qudt:conversionOffset ?o } }",
    )
    rows: list[tuple[str, ...]] = []
    for unit, dimension, multiplier, offset in facts:
        if Decimal(multiplier) == 0:  # QUDT writes 0 where it has no factor
            continue
        vector = dimension.removeprefix("dimension:")
        currency = currency_of(unit) or currency_of(replaced.get(unit, ""))
        rows.append(
            (
                unit.removeprefix("unit:"),
                " ".join(codes.get(unit, [])) or (currency if unit == f"unit:CCY_{currency}" else ""),
                vector,
                number(multiplier),
                number(offset) if offset and Decimal(offset) != 0 else "",
                quantities_of(quantities.get(unit, [])) if vector in AMBIGUOUS else "",
                currency,
                replaced.get(unit, "").removeprefix("unit:"),
            )
        )
    columns = ("unit", "ucum", "dimension", "multiplier", "offset", "quantities", "currency", "replacedBy")
    return Table("units.tsv", UNIT_SOURCE, columns, rows)


def currency_of(unit: str) -> str:
    """ISO 4217 code of a currency or price unit: QUDT gives every currency the factor 1 and no dimension."""
    match = re.search(r"CCY_([A-Z]+)", unit)
    return match[1] if match else ""


# Dimensions under which QUDT puts quantities that must not be converted into each other: ratios, angles,
# bits, counts per second, becquerels, revolutions. There the quantity kinds decide.
AMBIGUOUS = {"A0E0L0I0M0H0T0D1", "A0E0L0I0M0H0T-1D0"}
# Revolutions carry the factor of radians, but other quantity kinds than radians.
SAME_QUANTITY = {"RotationalFrequency": "AngularFrequency", "RotationalVelocity": "AngularVelocity"}


def quantities_of(kinds: list[str]) -> str:
    names = {kind.removeprefix("qk:") for kind in kinds} - {"Unknown"}
    return " ".join(sorted(names | {SAME_QUANTITY[name] for name in names & SAME_QUANTITY.keys()}))


# --- IFC -----------------------------------------------------------------------------------------------

# The mapping's unit:F was the farad once; in QUDT 3 it is the faraday, a charge of 96,485 C.
MOVED = {"FARAD": "FARAD"}
# SI prefixes as IFC spells them; the exponent tells how one acts on a squared or cubed unit (mm2 is (mm)2).
SMALL = ("DECI", "CENTI", "MILLI", "MICRO", "NANO", "PICO", "FEMTO", "ATTO")
LARGE = ("DECA", "HECTO", "KILO", "MEGA", "GIGA", "TERA", "PETA", "EXA")
STEPS = (1, 2, 3, 6, 9, 12, 15, 18)
POWERS = dict(zip(LARGE, STEPS, strict=True)) | {n: -s for n, s in zip(SMALL, STEPS, strict=True)}
EXPONENTS = {"SQUARE_METRE": 2, "CUBIC_METRE": 3}


def read_mapping(path: Path) -> dict[str, dict[str, str]]:
    """SSSOM rows by the prefix of their subject (unit, pfx, qk): IFC name -> QUDT local name."""
    mapping: dict[str, dict[str, str]] = {"unit": {}, "pfx": {}, "qk": {}}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            prefix, _, local = row["subject_id"].partition(":")
            mapping[prefix].setdefault(row["object_id"].removeprefix("ifc:"), local)
    mapping["unit"] |= MOVED
    return mapping


def prefixed_unit(name: str, prefix: str, qudt: str, mapping: dict[str, dict[str, str]]) -> str:
    """The QUDT name that a prefix on a unit should have, by QUDT's own way of building names."""
    if name == "GRAM" and prefix == "KILO":
        return "KiloGM"
    return mapping["pfx"][prefix] + qudt


def ifc_table(mapping: dict[str, dict[str, str]], units: Table) -> Table:
    """IFC (prefix, name) -> QUDT unit, only where QUDT's factor proves the match; then the measures."""
    factors = {row[0]: Decimal(row[3]) for row in units.rows if not row[4]}
    rows = [("", name, unit, "") for name, unit in sorted(mapping["unit"].items())]
    for (name, unit), prefix in product(sorted(mapping["unit"].items()), sorted(POWERS)):
        wanted = prefixed_unit(name, prefix, unit, mapping)
        if wanted in factors and unit in factors:
            power = Decimal(10) ** (POWERS[prefix] * EXPONENTS.get(name, 1))
            if abs(factors[wanted] / (factors[unit] * power) - 1) < Decimal("1e-12"):
                rows.append((prefix, name, wanted, ""))
    rows += [("", measure, "", kind) for measure, kind in sorted(mapping["qk"].items())]
    return Table("ifc_units.tsv", IFC_SOURCE, ("prefix", "name", "unit", "quantity"), rows)


# --- writing -------------------------------------------------------------------------------------------


def text_of(table: Table) -> str:
    lines = [f"# {note}" for note in table.notes]
    lines.append("# made by scripts/make_ontology_tables.py; do not edit")
    lines += ["\t".join(row) for row in (table.columns, *table.rows)]
    return "\n".join(lines) + "\n"


def make_tables(ontologies: Path) -> dict[str, str]:
    """File name -> text of every table, from the folder of published ontologies."""
    merged = load(ontologies / "Brick-1.4.4-with-rec-merged.ttl")
    parents = parents_of(merged)
    names = ("Brick-1.4.4-with-rec-merged.ttl", "Brick-1.4.4.ttl", "rec-4.0.ttl")
    both = load(*(ontologies / name for name in names))
    units = unit_table(load(ontologies / "qudt-unit.ttl"))
    mapping = read_mapping(ontologies / "qudt-ifc-sssom" / "qudt-ifc-mapping.tsv")
    tables = [kind_table(merged, parents), relation_table(both, parents), units, ifc_table(mapping, units)]
    return {table.name: text_of(table) for table in tables}


def main(arguments: list[str]) -> None:
    ontologies, out = (*map(Path, arguments), *(ONTOLOGIES, OUT)[len(arguments) :])
    for name, text in make_tables(ontologies).items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{out / name}: {text.count(chr(10))} lines")


if __name__ == "__main__":
    main(sys.argv[1:])

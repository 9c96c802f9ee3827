"""The shipped tables: made from the published ontologies to the byte, equal to what SPARQL says of them."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pyoxigraph import QuerySolutions, RdfFormat, Store

from ontology.schema import Schema, load_schema

ROOT = Path(__file__).resolve().parents[2]
BRICK = "https://brickschema.org/schema/Brick#"
REC = "https://w3id.org/rec#"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Store:
    store = Store()
    store.load(path=shared_data / "ontologies" / "Brick-1.4.4-with-rec-merged.ttl", format=RdfFormat.TURTLE)
    return store


def select(store: Store, query: str) -> list[tuple[str, ...]]:
    prefixes = (
        "PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#> PREFIX owl: <http://www.w3.org/2002/07/owl#> "
        f"PREFIX brick: <{BRICK}> "
    )
    solutions = store.query(prefixes + query)
    assert isinstance(solutions, QuerySolutions)
    return [tuple(term.value for term in solution) for solution in solutions]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "make_ontology_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_made_from_the_published_files_to_the_byte(script: ModuleType, shared_data: Path) -> None:
    made = script.make_tables(shared_data / "ontologies")
    assert set(made) == {"kinds.tsv", "relations.tsv", "units.tsv", "ifc_units.tsv"}
    for name, text in made.items():
        shipped = (ROOT / "ontology" / "data" / name).read_bytes()
        assert shipped == text.encode(), f"{name}: run scripts/make_ontology_tables.py"


def test_every_table_names_its_source_and_licence() -> None:
    for path in (ROOT / "ontology" / "data").glob("*.tsv"):
        head = path.read_text(encoding="utf-8").splitlines()[:3]
        assert head[0].startswith("# source: "), path.name
        assert any("licence" in line or "Apache-2.0" in line for line in head), path.name


def test_closure_equals_sparql_for_every_class(schema: Schema, published: Store) -> None:
    """`?c rdfs:subClassOf* ?d` on the ontology itself, for all of Brick and REC, both ways."""
    pairs = select(
        published,
        "SELECT ?c ?d WHERE { { ?c a owl:Class } UNION { ?c a rdfs:Class } UNION { ?c rdfs:subClassOf ?x }"
        " UNION { ?x rdfs:subClassOf ?c } ?c rdfs:subClassOf* ?d FILTER(isIRI(?c) && isIRI(?d)) }",
    )
    expected: dict[str, set[str]] = defaultdict(set)
    for child, ancestor in pairs:
        if child.startswith((BRICK, REC)) and ancestor.startswith((BRICK, REC)):
            expected[child].add(ancestor)
    shipped = [kind for kind in schema.kinds if kind.vocabulary in {"brick", "rec"}]
    assert {kind.iri for kind in shipped} == set(expected)
    rows = np.array([kind.index for kind in shipped])
    table = schema.ancestors[np.ix_(rows, rows)]
    for place, kind in enumerate(shipped):
        above = {shipped[int(i)].iri for i in np.flatnonzero(table[place])}
        assert above == expected[kind.iri], kind.name


@pytest.mark.parametrize("name", ["Equipment", "Point", "Location", "HVAC_Equipment", "VAV", "Sensor"])
def test_real_building_counts_by_closure_equal_sparql(
    name: str, schema: Schema, published: Store, shared_data: Path
) -> None:
    building = Store()
    building.load(path=shared_data / "brick" / "bldg11.ttl", format=RdfFormat.TURTLE)
    typed = select(building, "SELECT ?x ?c WHERE { ?x a ?c FILTER(isIRI(?c) && isIRI(?x)) }")
    below = schema.kinds_below(schema.kind(f"brick:{name}").index)
    known = {kind.iri for kind in schema.kinds if below[kind.index]}
    counted = {twin for twin, kind in typed if kind in known}
    both = Store()
    both.extend([*published, *building])
    asked = select(
        both, f"SELECT DISTINCT ?x WHERE {{ ?x a/rdfs:subClassOf* brick:{name} FILTER(isIRI(?x)) }}"
    )
    assert counted == {twin for (twin,) in asked}
    if name in {"Equipment", "Point"}:
        assert len(counted) == {"Equipment": 499, "Point": 1257}[name]


def test_deprecated_kinds_are_kept_with_what_replaces_them(schema: Schema, published: Store) -> None:
    deprecated = {iri for (iri,) in select(published, "SELECT ?c WHERE { ?c owl:deprecated true }")}
    shipped = {kind.iri for kind in schema.kinds if kind.deprecated}
    assert shipped == {iri for iri in deprecated if schema.kind_by_iri(iri) is not None}
    assert len(shipped) > 200
    rows = select(published, "SELECT ?c ?d WHERE { ?c brick:isReplacedBy ?d }")
    replaced = {row[0]: row[1] for row in rows}
    stated = {k.iri: schema.expand(k.replaced_by) for k in schema.kinds if k.replaced_by}
    assert stated == {old: new for old, new in replaced.items() if old in stated}
    assert schema.kind("brick:Air_Handler_Unit").alias_of == "brick:Air_Handling_Unit"


def test_stated_inverses_are_kept(schema: Schema, published: Store) -> None:
    for one, other in select(published, "SELECT ?a ?b WHERE { ?a owl:inverseOf ?b FILTER(isIRI(?b)) }"):
        relation, inverse = schema.relation_by_iri(one), schema.relation_by_iri(other)
        if relation is not None and inverse is not None:
            assert {relation.inverse_of, inverse.inverse_of} in (
                {None, relation.index},
                {None, inverse.index},
            ), relation.name

"""Values and names go into RDF and come back as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyoxigraph import Literal, NamedNode, RdfFormat

from adapters.rdf.literals import Names, external_iri, external_system, literal_of, value_of

sys.path.append(str(Path(__file__).parent))
from import_helpers import SCHEMA, quads

NAMES = Names(SCHEMA)
XSD = "http://www.w3.org/2001/XMLSchema#"
# RDF has no surrogates; JSON objects may hold what JSON holds.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = TEXTS | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    PLAIN | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5
)


def literal(text: str) -> Literal:
    (quad,) = quads(f"<http://a/s> <http://a/p> {text} .", RdfFormat.N_QUADS)
    assert isinstance(quad.object, Literal)
    return quad.object


@given(PLAIN | st.lists(JSON, max_size=3) | st.dictionaries(TEXTS, JSON, max_size=3))
def test_values_come_back(value: object) -> None:
    found = value_of(literal(literal_of(value)))  # type: ignore[arg-type]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("lexical", "datatype", "value"),
    [
        ("1.50", "decimal", 1.5),
        ("38", "decimal", 38.0),
        ("1E3", "double", 1000.0),
        ("+7", "int", 7),
        ("1", "boolean", True),
        ("maybe", "boolean", "maybe"),
        ("NaN", "double", None),
        ("-INF", "float", None),
        ("1e999", "double", None),
        ("many", "integer", "many"),
        ("2026-01-01", "date", "2026-01-01"),
        ("PT5H", "duration", "PT5H"),
        ("http://a/", "anyURI", "http://a/"),
    ],
)
def test_spellings(lexical: str, datatype: str, value: object) -> None:
    assert value_of(Literal(lexical, datatype=NamedNode(XSD + datatype))) == value


def test_what_is_declared_decides() -> None:
    assert (
        value_of(Literal("0042", datatype=NamedNode(XSD + "integer")), SCHEMA.attribute("serialNumber"))
        == "0042"
    )
    assert value_of(Literal("1999"), SCHEMA.attribute("yearBuilt")) == 1999
    assert value_of(Literal("weibull(2,5)"), SCHEMA.attribute("timeToRepair")) == "weibull(2,5)"
    assert value_of(Literal("1999")) == "1999"


def test_json_without_numbers_that_are_none() -> None:
    json = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON")
    assert value_of(Literal('{"a": [1, null]}', datatype=json)) == {"a": [1, None]}
    assert value_of(Literal("[NaN]", datatype=json)) == "[NaN]"
    assert value_of(Literal("null", datatype=json)) is None


@pytest.mark.parametrize(
    ("name", "iri"),
    [
        ("health", "https://twinmesh.dev/ns#health"),
        ("area", "https://brickschema.org/schema/Brick#area"),
        ("brick:expectedLifetime", "https://brickschema.org/schema/Brick#expectedLifetime"),
        ("http://example.org/v#serial", "http://example.org/v#serial"),
        ("colour", "https://twinmesh.dev/attribute#colour"),
        ("x:colour", "https://twinmesh.dev/attribute#x%3Acolour"),
        ("Pset_Wall.Fire rating", "https://twinmesh.dev/attribute#Pset_Wall.Fire%20rating"),
    ],
)
def test_names(name: str, iri: str) -> None:
    assert NAMES.iri(name) == iri
    assert NAMES.name(iri) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_name_comes_back(name: str) -> None:
    assert NAMES.name(NAMES.iri(name)) == name


@given(
    st.sampled_from(["https://twinmesh.dev/attribute#", "https://twinmesh.dev/ns#", "http://a/"]),
    st.text("aZ0%2:/#"),
)
def test_every_predicate_comes_back(namespace: str, local: str) -> None:
    assert NAMES.iri(NAMES.name(namespace + local)) == namespace + local


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_system_comes_back(system: str) -> None:
    assert external_system(external_iri(system)) == system
    assert external_system("https://twinmesh.dev/ns#" + "gs1") is None

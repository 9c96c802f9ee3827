"""Kinds in RDF: what a graph states, what it only uses, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyoxigraph import RdfFormat, Triple, parse

from ontology.rdf import kind_triples, placeholders, prefixed_name, stated_kinds
from ontology.schema import KindRecord, Schema, load_schema

BRICK = "https://brickschema.org/schema/Brick#"
EX = "https://example.org/plant/v1#"
PREFIXES = {"ex": EX, "brick": BRICK}
HEAD = f"""@prefix ex: <{EX}> . @prefix brick: <{BRICK}> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix sh: <http://www.w3.org/ns/shacl#> .
"""


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


def read(text: str) -> list[Triple]:
    return [quad.triple for quad in parse(input=HEAD + text, format=RdfFormat.TURTLE)]


def test_declared_classes_become_records(schema: Schema) -> None:
    records = stated_kinds(
        read(
            """ex:Press a owl:Class ; rdfs:subClassOf brick:Equipment, [ a owl:Restriction ] ;
                rdfs:label "Press" .
            ex:Big rdfs:subClassOf ex:Press, owl:Thing .
            ex:it a ex:Big ; rdfs:label "It" .
            brick:AHU a owl:Class ."""
        ),
        schema,
        PREFIXES,
    )
    assert records == [
        KindRecord(EX + "Big", "ex:Big", (EX + "Press",)),
        KindRecord(EX + "Press", "ex:Press", (BRICK + "Equipment",), "Press"),
    ]
    more = schema.with_kinds(records)
    assert more.is_a(more.kind("ex:Big").index, more.kind("tm:Asset").index)


def test_a_class_that_equals_a_known_one_goes_under_it(schema: Schema) -> None:
    (record,) = stated_kinds(read("ex:LBK a owl:Class ; owl:equivalentClass brick:AHU ."), schema, PREFIXES)
    assert (record.parents, record.alias_of) == ((BRICK + "AHU",), BRICK + "AHU")


def test_parents_known_nowhere_come_as_placeholders(schema: Schema) -> None:
    records = stated_kinds(read("ex:Press rdfs:subClassOf ex:Machine ."), schema, PREFIXES)
    assert [(record.name, record.placeholder) for record in records] == [
        ("ex:Press", False),
        ("ex:Machine", True),
    ]
    more = schema.with_kinds(records)
    assert more.is_a(more.kind("ex:Press").index, more.twin_kind)


def test_classes_of_the_languages_are_no_kinds(schema: Schema) -> None:
    assert stated_kinds(read("owl:Thing a owl:Class . sh:NodeShape a rdfs:Class ."), schema, PREFIXES) == []


def test_circles_are_taken_as_they_are(schema: Schema) -> None:
    text = "ex:A rdfs:subClassOf ex:B . ex:B rdfs:subClassOf ex:A, ex:B ."
    more = schema.with_kinds(stated_kinds(read(text), schema, PREFIXES))
    assert more.kinds_below(more.twin_kind).all()


def test_used_but_undeclared_classes_become_placeholders_with_a_suggestion(schema: Schema) -> None:
    used = [BRICK + "Electric_Meter", BRICK + "AHU", EX + "Thing", BRICK + "Electric_Meter"]
    records, warnings = placeholders(used, schema, PREFIXES)
    assert [record.name for record in records] == ["brick:Electric_Meter", "ex:Thing"]
    assert all(record.placeholder for record in records)
    assert [warning.code for warning in warnings] == ["KIND_UNKNOWN", "KIND_UNKNOWN"]
    assert "brick:Electrical_Meter" in (warnings[0].hint or "")


def test_kinds_go_out_and_come_back(schema: Schema) -> None:
    text = """ex:Press a owl:Class ; rdfs:subClassOf brick:Equipment ; rdfs:label "Press" .
        ex:Big rdfs:subClassOf ex:Press ."""
    records = stated_kinds(read(text), schema, PREFIXES)
    gone, _ = placeholders([EX + "Ghost"], schema, PREFIXES)
    more = schema.with_kinds([*records, *gone])
    triples = list(kind_triples(more))
    assert stated_kinds(triples, schema, PREFIXES) == records
    assert not any("Ghost" in str(triple) for triple in triples)
    only = list(kind_triples(more, {more.kind("ex:Big").index}))
    assert {str(triple.subject) for triple in only} == {f"<{EX}Big>"}
    assert list(kind_triples(schema)) == []


@pytest.mark.parametrize(
    ("iri", "name"),
    [
        (EX + "Press", "ex:Press"),
        ("https://example.org/line/v2#Press", "line:Press"),
        ("http://my-private-ontology.com/FrostCollection", "com:FrostCollection"),
        ("https://brickschema.org/schema/1.0.2/Brick#VAV", "brick2:VAV"),
        (BRICK + "Nonsense", "brick:Nonsense"),
        ("urn:x:Foo", "x:Foo"),
        ("http://x/#", "ns:x"),
    ],
)
def test_names(iri: str, name: str) -> None:
    assert prefixed_name(iri, PREFIXES) == name


def test_brick_itself_brings_nothing_new(schema: Schema, shared_data: Path) -> None:
    """All of Brick and REC are known; only the shapes and references of their file remain."""
    path = shared_data / "ontologies" / "Brick-1.4.4-with-rec-merged.ttl"
    records = stated_kinds(parse(path=path, format=RdfFormat.TURTLE), schema)
    assert {r.iri for r in records if r.iri.startswith((BRICK, "https://w3id.org/rec#"))} == set()
    more = schema.with_kinds(records)
    assert more.kinds_below(more.twin_kind).all()

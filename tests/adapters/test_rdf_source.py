"""RDF files as twins, relationships and kinds, and what is kept of the rest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapters.rdf.source import read_rdf
from graph.values import ExternalId, Value
from ontology.errors import InputError

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, PREFIXES, REQUEST, SCHEMA, UNITS

if TYPE_CHECKING:
    from adapters.model import Parsed

BRICK = "https://brickschema.org/schema/Brick#"
TM = "https://twinmesh.dev/ns#"


def read(tmp_path: Path, text: str | bytes, format: str = "ttl") -> Parsed:
    path = tmp_path / f"model.{format}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_rdf(format, path, REQUEST, SCHEMA, UNITS)


def turtle(tmp_path: Path, text: str) -> Parsed:
    return read(tmp_path, PREFIXES + text)


def test_twins_with_names_attributes_and_ids(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """<AHU-1> a brick:AHU , tm:Asset ; rdfs:label "Air handler" ; tm:health 0.5 ;
             ex:serial "007" ; tm:localId "first" ; tmx:gs1 "urn:epc:1" ; tma:colour "red" ;
             brick:expectedLifetime "PT5H"^^xsd:duration ;
             tm:ratedPower [ tm:value 55.5 ; tm:unit "kW" ] .""",
    )
    (twin,) = parsed.twins
    assert twin.id == BASE + "AHU-1"
    assert twin.kinds == (BRICK + "AHU", TM + "Asset")  # the deepest leads
    assert (twin.name, twin.local_id, twin.origin) == ("Air handler", "first", "file")
    assert twin.external_ids == (ExternalId("gs1", "urn:epc:1"),)
    assert twin.attributes == {
        "health": Value(0.5, None, "file"),
        "http://example.org/v#serial": Value("007", None, "file"),
        "colour": Value("red", None, "file"),
        "brick:expectedLifetime": Value("PT5H", None, "file"),
        "ratedPower": Value(55.5, "kW", "file"),
    }
    # Only the duration is spelt in a way that a text alone does not tell.
    assert [line.split(" ")[2] for line in parsed.statements] == [
        '"PT5H"^^<http://www.w3.org/2001/XMLSchema#duration>'
    ]


def test_brick_values_units_and_references(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """<P> a brick:Temperature_Sensor ; brick:hasUnit unit:DEG_C ;
             ref:hasExternalReference [ a ref:TimeseriesReference ; ref:hasTimeseriesId "ts-1" ] .
           <L> a brick:Luminaire ;
             brick:ratedApparentPower [ brick:hasUnit unit:VA ; brick:value "38"^^xsd:decimal ] ;
             brick:currentFlowType [ brick:value "AC" ] .""",
    )
    sensor, light = parsed.twins
    assert sensor.attributes == {"unit": Value("Cel", None, "file")}
    assert sensor.external_ids == (ExternalId("timeseries", "ts-1"),)
    assert light.attributes == {
        "brick:ratedApparentPower": Value(38.0, "VA", "file"),
        "brick:currentFlowType": Value("AC", None, "file"),
    }
    assert len(parsed.statements) == 1 + 3 + 3 + 2  # as they were spelt
    assert all(" . # instead " in line for line in parsed.statements)


@pytest.mark.parametrize(
    "value",
    [
        "1 , 2",
        '"a" , "b"@en',
        '[ brick:value 1 ; ex:note "x" ]',
        "[ brick:value 1 ; brick:hasUnit ex:nonsense ]",
        '[ brick:value "many" ; brick:hasUnit unit:VA ]',
        "( 1 2 )",
        '"NaN"^^xsd:double',
        "ex:thing",
    ],
)
def test_what_is_not_one_value_is_kept_as_it_stands(tmp_path: Path, value: str) -> None:
    parsed = turtle(tmp_path, f"<A> a brick:AHU ; ex:p {value} .")
    assert parsed.twins[0].attributes == {}
    assert parsed.statements
    assert all(line.endswith(f" . # with <{BASE}A>") for line in parsed.statements)


def test_relations_and_inverses(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """<A> a brick:AHU ; brick:feeds <B> , <C> ; brick:hasPoint <P> .
           <B> a brick:VAV ; brick:isFedBy <A> .
           <C> a brick:VAV . <P> a brick:Sensor .""",
    )
    found = {(r.source, r.relation, r.target): r.stated for r in parsed.relationships}
    assert found == {
        (BASE + "A", BRICK + "feeds", BASE + "B"): None,
        (BASE + "A", BRICK + "feeds", BASE + "C"): None,
        (BASE + "P", BRICK + "isPointOf", BASE + "A"): BRICK + "hasPoint",
    }
    (line,) = parsed.statements  # said twice: once as a relationship, once as a line beside it
    assert line.startswith(f"<{BASE}B> <{BRICK}isFedBy> <{BASE}A> . # also ")


def test_relationship_nodes(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """<A> a brick:AHU ; brick:feeds <B> . <B> a brick:VAV .
           <r1> a tm:Relationship ; tm:source <A> ; tm:relation brick:feeds ; tm:target <B> ; tm:weight 2 ;
              tm:bufferHours [ tm:value 30 ; tm:unit "min" ] .
           [] a tm:Relationship ; tm:source <B> ; tm:relation brick:isFedBy ; tm:target <A> ; tm:group "g" .
           <r3> a tm:Relationship ; tm:source <A> ; tm:relation brick:feeds .""",
    )
    first, second = parsed.relationships
    assert (first.id, first.group) == (BASE + "r1", "")
    assert first.attributes == {"weight": Value(2, None, "file"), "bufferHours": Value(30, "min", "file")}
    assert (second.id, second.group, second.source, second.target) == (None, "g", BASE + "A", BASE + "B")
    assert [line for line in parsed.statements if line.startswith(f"<{BASE}r3>")]  # incomplete: kept


def test_triple_terms(tmp_path: Path) -> None:
    parsed = turtle(tmp_path, "<A> a brick:AHU ; brick:feeds <B> ~ <r> {| tm:weight 2 |} . <B> a brick:VAV .")
    (edge,) = parsed.relationships
    assert (edge.id, edge.attributes) == (BASE + "r", {"weight": Value(2, None, "file")})
    assert parsed.statements == ()


def test_kinds_of_the_file_and_unknown_ones(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """ex:Press a owl:Class ; owl:equivalentClass ex:Old ; rdfs:label "Press"@en .
           ex:Big rdfs:subClassOf ex:Press , brick:Equipment . <P> a ex:Big .
           <Q> a ex:Stranger , brick:Equipment .
           <R> a brick:Electric_Meter .""",
    )
    kinds = {kind.name: kind for kind in parsed.kinds}
    assert kinds["ex:Big"].parents == ("http://example.org/v#Press", BRICK + "Equipment")
    assert {name for name, kind in kinds.items() if kind.placeholder} == {
        "brick:Electric_Meter",
        "ex:Stranger",
    }
    assert [twin.kinds[0] for twin in parsed.twins] == [
        "http://example.org/v#Big",
        BRICK + "Equipment",  # deeper than the unknown one
        BRICK + "Electric_Meter",
    ]
    unknown = [problem for problem in parsed.warnings if problem.code == "KIND_UNKNOWN"]
    items = [problem.place.item for problem in unknown]
    assert items == ["http://example.org/v#Stranger", BRICK + "Electric_Meter"]
    assert "brick:Electrical_Meter" in (unknown[1].hint or "")


def test_deprecated_kinds_and_nameless_twins_are_told(tmp_path: Path) -> None:
    parsed = turtle(tmp_path, "<F> a brick:Floor ; brick:hasPoint [ a brick:Sensor ] .")
    assert [problem.code for problem in parsed.warnings] == ["KIND_DEPRECATED", "BLANK_NODE_TWIN"]
    assert "rec:Level" in (parsed.warnings[0].hint or "")
    assert len(parsed.statements) == 2


def test_terms_and_shapes_are_no_twins(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path,
        """<> a owl:Ontology ; owl:imports <http://example.org/other> . ex:p a owl:DatatypeProperty .
           ex:Shape a <http://www.w3.org/ns/shacl#NodeShape> .
           unit:X a <http://qudt.org/schema/qudt/Unit> .""",
    )
    assert parsed.twins == ()
    assert len(parsed.statements) == 5


def test_what_is_said_of_twins_that_stand_elsewhere(tmp_path: Path) -> None:
    parsed = turtle(
        tmp_path, '<X> rdfs:label "X" ; tm:timeToRepair [ tm:value 2 ; tm:unit "d" ] ; ex:p 1 , 2 .'
    )
    (loose,) = parsed.twins
    assert (loose.kinds, loose.name) == ((), "X")
    assert loose.attributes == {"timeToRepair": Value(2, "d", "file")}
    assert len(parsed.statements) == 2  # the two values, wherever X is
    assert len(parsed.otherwise[BASE + "X"]) == 4  # the rest, if X is nowhere


def test_graphs(tmp_path: Path) -> None:
    own = f"<{BASE}A> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <{BRICK}AHU>"
    other = f"<{BASE}B> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <{BRICK}VAV> <http://g/1> .\n"
    parsed = read(tmp_path, f"{own} <{BASE}> .\n{other}", "nq")
    assert [twin.id for twin in parsed.twins] == [BASE + "A"]
    assert parsed.statements == (other.strip(),)
    assert [problem.code for problem in parsed.warnings] == ["NAMED_GRAPH"]
    alone = read(tmp_path, other, "nq")  # one graph only: that is the model
    assert [twin.id for twin in alone.twins] == [BASE + "B"]
    assert alone.statements[0].startswith(other.strip()[:-2])


@pytest.mark.parametrize(
    ("text", "format", "code", "line", "column"),
    [
        (b"@prefix a: <http://a/> .\na:x a:y b:z .", "ttl", "RDF_PREFIX", 2, 9),
        (b'@prefix a: <http://a/> .\na:x a:y "1 .\n', "ttl", "RDF_SYNTAX", 2, 9),
        (b'<http://a> <http://b> "\xff" .', "ttl", "RDF_SYNTAX", 1, 24),
        (
            b'{"@context": "http://127.0.0.1:9/c", "@id": "http://a"}',
            "jsonld",
            "RDF_REMOTE_CONTEXT",
            None,
            None,
        ),
        (b'{"@id": "http://a", ', "jsonld", "RDF_SYNTAX", 1, None),
        (b"<http://a> <http://b> .\n", "nq", "RDF_SYNTAX", 1, None),
        (
            b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
            "rdfxml",
            "RDF_SYNTAX",
            None,
            None,
        ),
        (b"", "ttl", "RDF_EMPTY", 1, None),
    ],
)
def test_broken_files(
    tmp_path: Path, text: bytes, format: str, code: str, line: int, column: int | None
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, format)
    (found,) = caught.value.problems
    assert (found.code, found.place.line) == (code, line)
    assert column is None or found.place.column == column
    assert found.hint


def test_an_undeclared_prefix_that_everybody_knows_is_spelt_out(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "<http://a/x> a brick:AHU .")
    assert "https://brickschema.org/schema/Brick#" in (caught.value.hint or "")


def test_a_prefix_that_no_context_declares(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, f'{{"@id": "{BASE}A", "@type": "brick:AHU"}}', "jsonld")
    assert caught.value.code == "RDF_PREFIX"


def test_the_same_file_gives_the_same_lines(tmp_path: Path) -> None:
    text = "<A> a brick:AHU ; ex:p [ ex:q [ ] , [ ex:r 1 ] ] ; ex:list ( 1 2 [ ] ) . [] ex:alone true ."
    assert turtle(tmp_path, text).statements == turtle(tmp_path, text).statements


def test_jsonld_and_rdfxml(tmp_path: Path) -> None:
    jsonld = f'{{"@id": "{BASE}A", "@type": "{BRICK}AHU", "{BRICK}feeds": {{"@id": "{BASE}B"}}}}'
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xml = f"""<?xml version="1.0"?><rdf:RDF xmlns:rdf="{rdf}" xmlns:b="{BRICK}">
      <b:AHU rdf:about="{BASE}A"><b:feeds rdf:resource="{BASE}B"/></b:AHU></rdf:RDF>"""
    for text, format in ((jsonld, "jsonld"), (xml, "rdfxml")):
        parsed = read(tmp_path, text, format)
        assert [(twin.id, twin.kinds) for twin in parsed.twins] == [(BASE + "A", (BRICK + "AHU",))]
        assert [edge.target for edge in parsed.relationships] == [BASE + "B"]

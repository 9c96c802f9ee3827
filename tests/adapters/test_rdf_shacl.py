"""SHACL: our own shapes find what they should, given shapes see data and ontology together."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyshacl
import pytest
import rdflib

from adapters.rdf.shacl import shacl_report, validated
from adapters.rdf.shapes import schema_lines, shape_lines
from adapters.selection import select
from ontology.errors import InputError

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, PREFIXES, SCHEMA, Place, quads

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = """
<A> a brick:AHU ; brick:feeds <B> ; tm:health {health} . <B> a brick:VAV .
<P> a brick:Temperature_Sensor ; brick:isPointOf <A> .
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def findings(text: str) -> set[tuple[str, str, str]]:
    """(severity, local id, what is said) for a Turtle text, by our own shapes."""
    data = [f"{quad} ." for quad in quads(PREFIXES + text)]
    ontology, shapes = list(schema_lines(SCHEMA)), list(shape_lines(SCHEMA))
    found = validated(data, [*ontology, *shapes], shapes)
    return {(one.severity, one.focus.removeprefix(BASE), one.message) for one in found}


def test_good_data_has_no_findings() -> None:
    text = (
        DATA.format(health=0.5)
        + '<A> tm:ratedPower [ tm:value 5 ; tm:unit "kW" ] ; tm:timeToRepair "weibull(2,5)" .'
    )
    assert findings(text + "<C> a ex:Unheard ; rdfs:label 'x' .") == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATA.format(health=1.5), ("Violation", "A", "health: one number, at least 0, at most 1")),
        (DATA.format(health='"good"'), ("Violation", "A", "health: one number, at least 0, at most 1")),
        (DATA.format(health="0.5 , 0.6"), ("Violation", "A", "health: one number, at least 0, at most 1")),
        (
            '<A> a tm:Asset ; tm:yearBuilt 1 ; tm:valueType "odd" .',
            ("Violation", "A", "valueType: one text, one of number, boolean, code, text, counter"),
        ),
        (
            "<A> a tm:Asset ; tm:pointOf <B> . <B> a tm:Asset .",
            ("Violation", "A", "the source of tm:pointOf should be a tm:Point"),
        ),
        (
            "<B> a tm:Asset ; tm:hasPoint <A> . <A> a tm:Asset .",
            ("Violation", "A", "the source of tm:pointOf should be a tm:Point"),
        ),
    ],
)
def test_what_our_shapes_find(text: str, expected: tuple[str, str, str]) -> None:
    assert findings(text) == {expected}


def test_other_vocabularies_only_warn() -> None:
    found = findings("<P> a brick:Temperature_Sensor ; brick:feeds <Q> . <Q> a brick:VAV .")
    assert {(severity, focus) for severity, focus, _ in found} == {("Warning", "P")}


SHAPES = """
@prefix sh: <http://www.w3.org/ns/shacl#> . @prefix brick: <https://brickschema.org/schema/Brick#> .
@prefix ex: <http://example.org/v#> .
ex:EquipmentShape a sh:NodeShape ; sh:targetClass brick:Equipment ;
  sh:property [ sh:path ex:owner ; sh:minCount 1 ; sh:message "who owns it?" ] .
ex:Outside a sh:NodeShape ; sh:targetNode ex:nobody ; sh:property [ sh:path ex:owner ; sh:minCount 1 ] .
"""


def test_given_shapes_see_the_hierarchy_and_report_only_the_data(place: Place) -> None:
    """The data says brick:AHU; that this is equipment only the ontology says."""
    assert place.take(model_ttl=PREFIXES + DATA.format(health=1) + "<B> ex:owner <A> .").ok
    shapes = place.write("shapes.ttl", SHAPES)
    found = shacl_report([select(place.snapshot())], [shapes])
    assert [(one.problem.code, one.focus, one.message) for one in found] == [
        ("SHACL_VIOLATION", BASE + "A", "who owns it?")
    ]


@pytest.mark.long
def test_equal_to_pyshacl_over_the_union(shared_data: Path) -> None:
    """On a real building with Brick's own shapes: what pySHACL finds in the union."""
    path, brick = shared_data / "brick/bldg14.ttl", shared_data / "ontologies/Brick-1.4.4.ttl"
    data = rdflib.Graph().parse(path, format="turtle")
    ontology = rdflib.Graph().parse(brick, format="turtle")
    _, report, _ = pyshacl.validate(data + ontology, shacl_graph=ontology, inference="none", inplace=True)
    assert isinstance(report, rdflib.Graph)
    expected: Counter[tuple[str, str]] = Counter()
    for node in report.subjects(rdflib.RDF.type, rdflib.SH.ValidationResult):
        focus, shape = report.value(node, rdflib.SH.focusNode), report.value(node, rdflib.SH.sourceShape)
        if (focus, None, None) in data and isinstance(focus, rdflib.URIRef):
            expected[str(focus), name_of(shape)] += 1
    lines = [[f"{quad} ." for quad in quads(file.read_bytes())] for file in (path, brick)]
    found = validated(lines[0], lines[1], lines[1])
    named = Counter((one.focus, name_of(one.shape)) for one in found if "://" in one.focus)
    assert named == expected
    assert len(named) > 0


def name_of(shape: object) -> str:
    """Shapes without an IRI have labels of their own in every graph."""
    return str(shape) if "://" in str(shape) else "blank"


def test_shapes_that_are_no_shapes(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + "<A> a brick:AHU .").ok
    with pytest.raises(InputError) as caught:
        shacl_report([select(place.snapshot())], [place.write("shapes.csv", "id,kind\nA,B\n")])
    assert caught.value.code == "FORMAT_UNSUPPORTED"

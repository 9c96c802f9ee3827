"""Exports hold imports up to isomorphism; an export imported and exported again is equal to the byte."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rdflib
from pyoxigraph import Quad, RdfFormat, Store
from rdflib.compare import to_isomorphic

from adapters.rdf.graph import to_rdflib
from adapters.selection import select
from graph.access import Scope
from graph.values import Change, KindRecord, RelationshipKey, TwinRecord, Value
from ontology.errors import UsageError

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, PREFIXES, SCHEMA, Place, isomorphic, quads, triples

if TYPE_CHECKING:
    from collections.abc import Iterator

BRICK = "https://brickschema.org/schema/Brick#"
REAL = [
    "brick/bldg11.ttl",
    "brick/bldg36.ttl",
    "brick/smallOffice_brick.ttl",
    "brick-examples/evse__evse.ttl",
    "brick-examples/lighting__lighting.ttl",
    "brick-examples/rice_brick.ttl",
    "brick-examples/connections__rvav.ttl",
    "s223/NIST-IBAL.ttl",
]
EVERYTHING = """
<A> a brick:AHU , ex:Own , ex:Unknown ; rdfs:label "A" , "Ä"@de ; tm:health 0.5 ;
  tm:ratedPower [ tm:value 5 ; tm:unit "kW" ] ;
  ex:one "1.50"^^xsd:double ; ex:many 1 , 2 ; ex:deep [ ex:list ( 1 [ ex:x "y" ] ) ] ; tmx:gs1 "1" , "2" ;
  brick:feeds <B> , <C> ; brick:hasUnit unit:KiloW ; rdfs:comment "c"@en--ltr .
<B> a brick:VAV ; brick:isFedBy <A> ; brick:hasPoint <P> ; tm:localId "b" .
<C> a brick:VAV ; brick:area [ brick:value "100"^^xsd:decimal ; brick:hasUnit unit:FT2 ] .
<P> a brick:Sensor ; ref:hasExternalReference [ a ref:TimeseriesReference ; ref:hasTimeseriesId "t" ] .
ex:Own a owl:Class ; rdfs:subClassOf brick:Equipment , [ a owl:Restriction ; owl:onProperty ex:p ] .
<r> a tm:Relationship ; tm:source <A> ; tm:relation brick:feeds ; tm:target <C> ; tm:group "g" ; tm:weight 2 .
[] a tm:Relationship ; tm:source <A> ; tm:relation brick:feeds ; tm:target <C> ; tm:weight 3.0 .
_:x ex:knows _:y . _:y ex:knows _:x , <A> . <Elsewhere> rdfs:label "stated nowhere" ; ex:v 1 .
<A> tm:connectedTo <http://other.example/Z> .
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "second").mkdir()
    place = Place(tmp_path / "second")
    yield place
    place.close()


@pytest.mark.parametrize("name", REAL)
def test_real_models_come_back(shared_data: Path, place: Place, second: Place, name: str) -> None:
    path = shared_data / name
    assert place.load(path).ok
    out = place.export("ttl")
    assert isomorphic(quads(path.read_bytes()), quads(out))
    assert second.load(second.write("again.ttl", out)).ok
    assert second.export("ttl") == out


def test_rdflib_agrees_that_it_is_the_same_graph(shared_data: Path, place: Place) -> None:
    path = shared_data / "brick-examples/lighting__lighting.ttl"
    assert place.load(path).ok
    stated = rdflib.Graph().parse(path, format="turtle", publicID=BASE)
    assert to_isomorphic(stated) == to_isomorphic(
        rdflib.Graph().parse(data=place.export("ttl"), format="turtle")
    )
    assert to_isomorphic(stated) == to_isomorphic(to_rdflib([select(place.snapshot())]))


@pytest.mark.parametrize("format", ["ttl", "nq", "jsonld"])
def test_everything_comes_back(place: Place, second: Place, format: str) -> None:
    text = PREFIXES + EVERYTHING
    if format == "jsonld":  # has no base direction
        text = text.replace('"c"@en--ltr', '"c"@en')
    assert place.take(model_ttl=text).ok
    out = place.export(format)
    parser = {"ttl": RdfFormat.TURTLE, "nq": RdfFormat.N_QUADS, "jsonld": RdfFormat.JSON_LD}[format]
    assert isomorphic(quads(text), triples(out, parser))
    assert second.load(second.write(f"again.{format}", out)).ok
    assert second.export(format) == out
    assert second.twins() == place.twins()


def test_rdf12(place: Place, second: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    out = place.export("ttl", rdf12=True)
    assert b"<<( " in out
    assert second.load(second.write("again.ttl", out)).ok
    assert second.export("ttl", rdf12=True) == out
    stated = {(r.id, r.group, r.attributes["weight"].value) for r in second.relationships() if r.attributes}
    assert stated == {
        (r.id, r.group, r.attributes["weight"].value) for r in place.relationships() if r.attributes
    }
    assert stated == {(BASE + "r", "g", 2), (None, "", 3.0)}


def spelt(quad: Quad) -> str:
    return re.sub(r"_:[0-9a-z]+", "_:x", str(quad))


def test_triple_terms_of_a_file_come_back(place: Place) -> None:
    text = PREFIXES + "<A> a brick:AHU ; brick:feeds <B> {| tm:weight 2 |} ; ex:said <<( <A> ex:p _:x )>> ."
    text += " <B> a brick:VAV ."
    assert place.take(model_ttl=text).ok
    out = triples(place.export("nq"), RdfFormat.N_QUADS)
    # RDFC-1.0 knows no triple terms; there is one blank node in either graph's terms.
    assert {spelt(quad) for quad in out} == {spelt(quad) for quad in quads(text)}
    with pytest.raises(UsageError) as caught:
        place.export("jsonld")
    assert caught.value.code == "FORMAT_UNSUPPORTED"


def test_csv_through_rdf(place: Place, second: Place) -> None:
    report = place.take(
        twins_csv="id,kind,name,ratedPower [kW],x:ok,colour,yearBuilt,external:gs1\n"
        "A 1,brick:AHU;tm:Asset,Air,5.5,true,red,1999,77\nB,brick:VAV,,,,,,\n",
        links_csv="source,relation,target,group,id,weight,bufferHours [min]\n"
        "A 1,brick:feeds,B,g,,2,30\nB,brick:isFedBy,A 1,,,,\nA 1,tm:connectedTo,B,,own,,\n",
    )
    assert report.ok
    again = second.load(second.write("again.ttl", place.export("ttl")), source="x")
    assert again.ok
    assert second.export("nq") == place.export("nq")
    assert second.twin("A 1").attributes["ratedPower"] == Value(5.5, "kW", "x")
    assert [r.id for r in second.relationships() if r.id] == [BASE + "own"]


def test_kinds_of_users_go_out(place: Place) -> None:
    assert place.take(
        model_ttl=PREFIXES + "ex:Own a owl:Class ; rdfs:subClassOf brick:AHU . <A> a ex:Own ."
    ).ok
    twin = place.mesh.twin("plant")
    twin.apply(Change(put_kinds=(KindRecord("http://example.org/v#Made", "ex:Made", (BRICK + "VAV",)),)))
    out = place.export("ttl").decode()
    assert out.count("rdfs:subClassOf") == 2  # one as the file said it, one from the graph
    assert "<http://example.org/v#Made> a owl:Class" in out


def test_kept_spellings_follow_what_the_graph_holds(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    before = set(place.export().decode().splitlines())
    one, area = "http://example.org/v#one", "area"
    twin = place.mesh.twin("plant")
    changes = (
        TwinRecord(BASE + "A", attributes={one: Value(2.5)}),
        TwinRecord(BASE + "C", attributes={area: Value(None)}),
    )
    twin.apply(Change(merge_twins=changes))
    after = set(place.export().decode().splitlines())
    gone, new = before - after, after - before
    assert len(gone) == 1 + 3  # the old spelling; the node of the area
    assert {line.split(" ")[2] for line in new} == {'"2.5"^^<http://www.w3.org/2001/XMLSchema#decimal>'}


def test_lines_about_a_twin_go_with_it(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    place.mesh.twin("plant").apply(Change(remove_twins=(BASE + "A", BASE + "B", BASE + "C", BASE + "P")))
    out = place.export("nq").decode()
    subjects = {line.split(" ")[0] for line in out.splitlines() if line.startswith("<")}
    assert subjects == {"<http://example.org/v#Own>", f"<{BASE}Elsewhere>"}
    assert "knows" in out


def test_a_removed_relationship_is_not_said_by_its_inverse(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    assert "isFedBy" in place.export("nq").decode()
    key = RelationshipKey(BASE + "A", BRICK + "feeds", BASE + "B")
    place.mesh.twin("plant").apply(Change(remove_relationships=(key,)))
    assert "isFedBy" not in place.export("nq").decode()


def test_sites_are_named_graphs(place: Place) -> None:
    assert place.take(a_csv="id,kind\nA,brick:AHU\n").ok
    assert place.take("lab", b_csv="id,kind\nB,brick:VAV\n").ok
    graphs = {str(quad.graph_name) for quad in quads(place.export("nq", None), RdfFormat.N_QUADS)}
    assert graphs == {f"<{BASE}>", "<https://twinmesh.invalid/lab/>"}
    assert len(quads(place.export("ttl", None))) == 2


def test_a_stub_is_not_said_to_be_one(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    assert any(r.target == "http://other.example/Z" for r in place.relationships())
    assert b"tm:External" not in place.export("ttl")


def test_a_scope_hides_twins_their_relationships_and_their_lines(place: Place) -> None:
    assert place.take(model_ttl=PREFIXES + EVERYTHING).ok
    snapshot = place.snapshot()
    visible = snapshot.alive.copy()
    visible[snapshot.find("A")] = False
    graph = to_rdflib([select(snapshot, Scope(visible))])
    assert f"{BASE}A" not in graph.serialize(format="nt")
    assert (rdflib.URIRef(BASE + "P"), None, None) in graph


def test_bldg11_by_class_closure(shared_data: Path, place: Place) -> None:
    """Shows 4: kinds and relations equal what SPARQL on pyoxigraph counts over file and ontology."""
    path = shared_data / "brick/bldg11.ttl"
    store = Store()
    store.load(path=path, format=RdfFormat.TURTLE)
    below = "a/<http://www.w3.org/2000/01/rdf-schema#subClassOf>*"
    count = f"SELECT (COUNT(DISTINCT ?s) AS ?n) WHERE {{ ?s {below} <%s> }}"
    pairs = "SELECT (COUNT(*) AS ?n) WHERE { ?s <%s> ?o }"

    def counted(query: str) -> int:
        return int(next(iter(store.query(query)))["n"].value)  # type: ignore[index, union-attr, call-overload]

    feeds, fed = counted(pairs % (BRICK + "feeds")), counted(pairs % (BRICK + "isFedBy"))
    store.load(path=shared_data / "ontologies/Brick-1.4.4.ttl", format=RdfFormat.TURTLE)
    assert place.load(path).ok
    snapshot = place.snapshot()
    for kind, expected in (("brick:Equipment", 499), ("brick:Point", 1257), ("brick:Location", None)):
        found = len(snapshot.rows_of_kind(snapshot.schema.kind(kind).index))
        assert found == counted(count % SCHEMA.kind(kind).iri)
        assert expected is None or found == expected
    edges = [r for r in place.relationships() if r.relation == BRICK + "feeds"]
    assert (feeds, fed) == (788, 11)
    assert sum(r.stated is None for r in edges) == 788
    assert sum(r.stated == BRICK + "isFedBy" for r in edges) == 11

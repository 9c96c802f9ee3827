"""SPARQL over real Brick models: the answers of rdflib's own engine. And the look at a query's text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from rdflib import Graph, Literal
from rdflib.term import Node

from adapters.importing import import_files
from adapters.rdf.query_text import reads_of
from adapters.rdf.querying import Query, QueryLimits, QueryStore
from adapters.rdf.sink import write_rdf
from adapters.selection import select
from graph.mesh import Mesh
from ontology.errors import LimitError
from ontology.schema import load_schema
from ontology.units import load_units

LIMITS = QueryLimits(wall_s=60, memory_mb=1024, result_bytes_max=32 << 20)
MODELS = ("brick/bldg1.ttl", "brick/bldg5.ttl", "brick-examples/goodBuilding.ttl")
BRICK = """
PREFIX brick: <https://brickschema.org/schema/Brick#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
"""
QUERIES = {
    "kinds": "SELECT ?k (COUNT(DISTINCT ?s) AS ?n) { ?s a ?k } GROUP BY ?k",
    "points": "SELECT ?p ?of { ?p brick:isPointOf ?of }",
    "has points": "SELECT ?of ?p { ?of brick:hasPoint ?p }",
    "fed": "SELECT DISTINCT ?a ?b { ?a brick:feeds+ ?b }",
    "parts": "SELECT ?a ?b { { ?a brick:hasPart ?b } UNION { ?b brick:isPartOf ?a } }",
    "without points": "SELECT DISTINCT ?a { ?a brick:feeds ?b FILTER NOT EXISTS { ?a brick:hasPoint ?p } }",
    "labels": "SELECT ?s ?l { ?s rdfs:label ?l OPTIONAL { ?s brick:hasUnit ?u } FILTER(REGEX(?l, '[0-9]')) }",
    "any": "ASK { ?a brick:feeds ?b }",
}


def _key(term: Node) -> str:
    """Numbers by value: Oxigraph spells them in one way."""
    if isinstance(term, Literal) and isinstance(term.value, int | float) and not isinstance(term.value, bool):
        return repr(float(term.value))
    return str(term)


def _of_rdflib(graph: Graph, query: str) -> Counter[tuple[str, ...]]:
    found = graph.query(query)
    if found.type == "ASK":
        return Counter([(str(found.askAnswer).lower(),)])
    names = sorted(str(each) for each in found.vars or ())
    rows = [dict(cast("Any", row).asdict()) for row in found]
    return Counter(tuple(_key(row[name]) if name in row else "" for name in names) for row in rows)


def _of_store(store: QueryStore, query: str) -> Counter[tuple[str, ...]]:
    found = json.loads(store.ask(Query(query, "json", None), LIMITS).body)
    if "boolean" in found:
        return Counter([(str(found["boolean"]).lower(),)])
    names = sorted(found["head"]["vars"])
    rows = found["results"]["bindings"]
    return Counter(tuple(_told(row[name]) if name in row else "" for name in names) for row in rows)


def _told(term: dict[str, str]) -> str:
    kind = term.get("datatype", "").rpartition("#")[2]
    return repr(float(term["value"])) if kind in ("integer", "decimal", "double") else term["value"]


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_rdflib_over_the_file(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    with Mesh.open(tmp_path / "data", load_schema(), units=load_units()) as mesh:
        import_files(mesh, [path], site="site", units=load_units())
        quads = write_rdf([select(mesh.twin("site").snapshot())], "nq")
    graph = Graph().parse(path)
    store = QueryStore.start(quads, memory_mb=4096, wall_s=120)
    try:
        sizes: dict[str, int] = {}
        for each, text in QUERIES.items():
            ours = _of_store(store, BRICK + text)
            assert ours == _of_rdflib(graph, BRICK + text), each
            sizes[each] = ours.total()
    finally:
        store.close()
    print(name, sizes)
    assert sum(count > 1 for count in sizes.values()) >= 2


def test_triples_that_do_not_fit_are_refused() -> None:
    line = b'<urn:a> <urn:b> "' + b"x" * 1_000 + b'" .\n'
    with pytest.raises(LimitError) as caught:
        QueryStore.start(line * 50_000, memory_mb=8, wall_s=120)
    assert caught.value.code == "SPARQL_TOO_LARGE"


@pytest.mark.parametrize(
    ("text", "service", "graphs"),
    [
        ("SELECT * { SERVICE <urn:a> {} }", True, ()),
        ("SELECT * { service silent ?s {} }", True, ()),
        ("SELECT * {SERVICE<urn:a>{}}", True, ()),
        ("SELECT * { ?service <urn:SERVICE> 'SERVICE <urn:a>' }", False, ()),
        ('SELECT * { ?s ?p """SERVICE " ""  \\""" <urn:a>""" # SERVICE\n}', False, ()),
        ("PREFIX service: <urn:s> SELECT * { ?s service:a ?o ; x:SERVICE 1 }", False, ()),
        ("SELECT * { S\\u0045RVICE <urn:a> {} }", True, ()),
        ("SELECT * FROM <urn:a> FROM NAMED <urn:b> { ?s ?p ?o }", False, ("urn:a", "urn:b")),
        ("SELECT * FROM<urn:a>{ ?from <FROM> '<urn:c>' }", False, ("urn:a",)),
        ("PREFIX from: <urn:s> SELECT * { ?s from:a ?o } # FROM <urn:a>", False, ()),
        ("SELECT * FROM x:a { ?s ?p ?o }", False, None),
    ],
)
def test_where_a_text_reads(text: str, service: bool, graphs: tuple[str, ...] | None) -> None:
    found = reads_of(text)
    assert found.calls_service is service
    assert found.graphs == (graphs or ())
    assert found.names_graphs is (graphs is None or bool(graphs))

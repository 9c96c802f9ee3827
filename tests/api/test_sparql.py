"""`/sparql`: the protocol, what each asker sees, and queries that mean harm."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pyoxigraph import CanonicalizationAlgorithm, Dataset, Literal, Quad, RdfFormat, parse

from adapters.rdf.querying import Query, QueryLimits, QueryStore
from api.config import Settings, Sparql
from api.policy import Role
from graph.mesh import Mesh
from graph.values import Change
from ontology.errors import StoreError
from tests.api.conftest import CAMPUS, PLANT, Running, iri, served, twin

NAMES = "SELECT ?s ?name { ?s <http://www.w3.org/2000/01/rdf-schema#label> ?name } ORDER BY ?s"
COUNT = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
ALL = "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }"
TIGHT = Settings(sparql=Sparql(wall_s=2.0, memory_mb=200, result_bytes_max=300_000))


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory, ontology: Any, units: Any) -> Generator[Running]:
    """A server with tight limits over enough triples to do harm with."""
    with Mesh.open(tmp_path_factory.mktemp("harm") / "data", ontology, units=units) as mesh:
        rooms = [twin("campus", f"R-{n}", "rec:Room", f"Room {n}" + "a" * 30) for n in range(3_000)]
        mesh.create_site("campus").apply(Change(put_twins=tuple(rooms)))
        with served(mesh, TIGHT) as running:
            yield running


def ask(server: Running, query: str, accept: str = "*/*", **parameters: Any) -> httpx.Response:
    with server.client() as client:
        given = {"query": query, **parameters}
        return client.get("/sparql", params=given, headers={"Accept": accept}, timeout=60)


def bindings(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return [
        {name: term["value"] for name, term in each.items()} for each in answer.json()["results"]["bindings"]
    ]


def triples(document: bytes, form: RdfFormat) -> Dataset:
    """The triples without their graphs, blank nodes with canonical names, numbers as Oxigraph spells them."""
    found = Dataset()
    for quad in parse(document, form):
        assert isinstance(quad, Quad)
        found.add(Quad(quad.subject, quad.predicate, _spelt(quad.object)))
    found.canonicalize(CanonicalizationAlgorithm.UNSTABLE)
    return found


def _spelt(term: Any) -> Any:
    if not isinstance(term, Literal) or "XMLSchema#" not in term.datatype.value:
        return term
    try:
        return Literal(str(float(term.value)), datatype=term.datatype)
    except ValueError:
        return term


# The protocol


def test_a_query_comes_by_get_by_form_and_as_a_body(reader: Running) -> None:
    expected = ask(reader, NAMES)
    assert expected.headers["content-type"] == "application/sparql-results+json"
    assert {"s": iri("campus", "CH-1"), "name": "Chiller 1"} in bindings(expected)
    with reader.client() as client:
        form = client.post("/sparql", data={"query": NAMES})
        body = client.post(
            "/sparql", content=NAMES, headers={"Content-Type": "application/sparql-query; charset=utf-8"}
        )
    assert form.content == body.content == expected.content


def test_the_store_holds_what_an_export_holds(reader: Running) -> None:
    found = triples(ask(reader, ALL, "application/n-triples").content, RdfFormat.N_TRIPLES)
    with reader.client() as client:
        document = client.get("/export", params={"format": "nq"}).content
    assert len(found) > 100
    assert found == triples(document, RdfFormat.N_QUADS)


def test_results_come_in_every_format_of_the_protocol(reader: Running) -> None:
    rows = bindings(ask(reader, NAMES))
    table = list(csv.DictReader(io.StringIO(ask(reader, NAMES, "text/csv").text)))
    assert table == rows
    tabs = ask(reader, NAMES, "text/tab-separated-values").text.splitlines()
    assert tabs[0] == "?s\t?name"
    assert tabs[1:] == [f'<{each["s"]}>\t"{each["name"]}"' for each in rows]
    tree = ElementTree.fromstring(ask(reader, NAMES, "application/sparql-results+xml").content)
    space = "{http://www.w3.org/2005/sparql-results#}"
    told = [
        {each.attrib["name"]: "".join(each.itertext()) for each in result}
        for result in tree.iter(f"{space}result")
    ]
    assert told == rows


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "text/turtle; charset=utf-8"),
        ("application/ld+json;q=0.5, application/n-triples", "application/n-triples"),
        ("text/csv, application/ld+json", "application/ld+json"),  # a graph is no table
        ("text/turtle;q=0, */*", "application/n-triples"),
    ],
)
def test_graphs_come_as_accept_says(reader: Running, accept: str, expected: str) -> None:
    query = f"DESCRIBE <{iri('campus', 'CH-1')}>"
    answer = ask(reader, query, accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
    assert "Chiller 1" in answer.text


def test_an_ask_is_a_boolean(reader: Running) -> None:
    assert ask(reader, "ASK { ?s ?p ?o }").json() == {"head": {}, "boolean": True}
    assert ask(reader, "ASK { <urn:no> ?p ?o }").json()["boolean"] is False


def test_each_site_is_a_graph(reader: Running) -> None:
    """Without a word about graphs all are read; a query, or the protocol, may name some."""
    graphs = "SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } } ORDER BY ?g"
    assert [each["g"] for each in bindings(ask(reader, graphs))] == [CAMPUS, PLANT]
    counts = {
        base: int(bindings(ask(reader, f"SELECT (COUNT(*) AS ?n) FROM <{base}> {{ ?s ?p ?o }}"))[0]["n"])
        for base in (CAMPUS, PLANT)
    }
    whole = int(bindings(ask(reader, COUNT))[0]["n"])
    assert 0 < counts[PLANT] < counts[CAMPUS] < whole <= sum(counts.values())
    for base, count in counts.items():
        assert bindings(ask(reader, COUNT, **{"default-graph-uri": base})) == [{"n": str(count)}]
    named = bindings(ask(reader, graphs, **{"named-graph-uri": PLANT}))
    assert named == [{"g": PLANT}]
    text = f'SELECT * {{ ?s ?p "FROM <{PLANT}> SERVICE <urn:a>" }} # FROM <urn:x> SERVICE <urn:y>'
    assert bindings(ask(reader, text)) == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "SPARQL_QUERY_MISSING"),
        ("SELECT nonsense", 400, "SPARQL_SYNTAX"),
        ("INSERT DATA { <urn:a> <urn:b> <urn:c> }", 400, "SPARQL_SYNTAX"),
        ("DROP ALL", 400, "SPARQL_SYNTAX"),
        ("SELECT * FROM <http://127.0.0.1:1/> { ?s ?p ?o }", 400, "SPARQL_GRAPH_UNKNOWN"),
        ("SELECT * FROM NAMED <http://127.0.0.1:1/> { GRAPH ?g { ?s ?p ?o } }", 400, "SPARQL_GRAPH_UNKNOWN"),
        ("SELECT * { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }", 400, "SPARQL_SERVICE_OFF"),
        ("SELECT * { SERVICE SILENT ?x { ?s ?p ?o } }", 400, "SPARQL_SERVICE_OFF"),
        ("SELECT * { S\\u0045RVICE <http://127.0.0.1:1/> { ?s ?p ?o } }", 400, "SPARQL_SERVICE_OFF"),
    ],
)
def test_what_is_refused_has_a_code(reader: Running, query: str, status: int, code: str) -> None:
    answer = ask(reader, query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_requests_that_are_no_queries(reader: Running) -> None:
    def code(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    with reader.client() as client:
        update = {"Content-Type": "application/sparql-update"}
        assert code(client.post("/sparql", content="DROP ALL", headers=update)) == (400, "SPARQL_READ_ONLY")
        assert code(client.post("/sparql", data={"update": "DROP ALL"})) == (400, "SPARQL_READ_ONLY")
        assert code(client.post("/sparql", json={"query": COUNT})) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert code(client.get("/sparql")) == (400, "SPARQL_QUERY_MISSING")
        twice = client.get(f"/sparql?query={COUNT}&query={COUNT}")
        assert code(twice) == (400, "SPARQL_QUERY_MISSING")
        assert client.put("/sparql", content=COUNT).status_code == 405
        large = client.post("/sparql", data={"query": COUNT + " " * 70_000})
        assert code(large) == (413, "BODY_TOO_LARGE")
    assert code(ask(reader, COUNT, "image/png")) == (406, "NOT_ACCEPTABLE")
    assert code(ask(reader, ALL, "text/csv")) == (406, "NOT_ACCEPTABLE")


# Who asks, and when


def test_everybody_sees_what_their_export_shows(guarded: Running, token: Callable[..., str]) -> None:
    partner = token(Role.PARTNER, "rooms", kinds=("rec:Room",), sites=("campus",))
    nobody = token(Role.PARTNER, "nobody")
    with guarded.client(partner) as client:
        found = client.get("/sparql", params={"query": ALL}, headers={"Accept": "application/n-triples"})
        graphs = client.get("/sparql", params={"query": "SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }"})
        hidden = client.get("/sparql", params={"query": COUNT, "default-graph-uri": PLANT})
    assert "Room 1" in found.text
    for secret in ("Chiller", "AHU", "VAV", "plant", "Packing"):
        assert secret not in found.text
        assert secret not in graphs.text
    assert [each["g"] for each in bindings(graphs)] == [CAMPUS]
    assert graphs.headers["twinmesh-revisions"] == "campus=1"
    assert hidden.json()["code"] == "SPARQL_GRAPH_UNKNOWN"  # as one that is not there
    with guarded.client(nobody) as client:
        assert bindings(client.get("/sparql", params={"query": COUNT})) == [{"n": "0"}]
    with guarded.client() as client:
        assert client.get("/sparql", params={"query": COUNT}).status_code == 401


def test_a_write_is_seen_by_the_next_query(server: Running) -> None:
    assert "New room" not in ask(server, NAMES).text
    server.mesh.twin("campus").apply(Change(put_twins=(twin("campus", "R-9", "rec:Room", "New room"),)))
    assert "New room" in ask(server, NAMES).text
    server.mesh.twin("campus").apply(Change(remove_twins=(iri("campus", "R-9"),)))
    assert "New room" not in ask(server, NAMES).text


def test_a_store_may_be_older_where_that_is_said(mesh: Mesh, serve: Callable[..., Any]) -> None:
    change = Change(put_twins=(twin("campus", "R-9", "rec:Room", "New room"),))
    with serve(mesh, Settings(sparql=Sparql(stale_s=3_600.0))) as server:
        first = ask(server, NAMES)
        mesh.twin("campus").apply(change)
        second = ask(server, NAMES)
    assert first.headers["twinmesh-revisions"] == second.headers["twinmesh-revisions"] == "campus=1, plant=1"
    assert second.content == first.content
    with serve(mesh) as server:
        newest = ask(server, NAMES)
    assert (newest.headers["twinmesh-revisions"], "New room" in newest.text) == ("campus=2, plant=1", True)


def test_askers_take_turns_where_one_store_is_kept(mesh: Mesh, serve: Callable[..., Any]) -> None:
    with serve(mesh, Settings(sparql=Sparql(stores_max=1)), dev=False) as server:
        tokens = {
            kind: server.tokens.create(kind, Role.PARTNER, kinds=(f"brick:{kind}",))
            for kind in ("AHU", "VAV")
        }
        for kind in ("AHU", "VAV", "AHU"):
            with server.client(tokens[kind]) as client:
                found = bindings(client.get("/sparql", params={"query": NAMES}, timeout=60))
            assert {each["s"].rpartition("/")[2].partition("-")[0] for each in found} == {kind}


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        (Sparql(items_max=3), 500, "SPARQL_TOO_LARGE"),
        (Sparql(waiting_max=0), 503, "OVERLOADED"),
    ],
)
def test_what_does_not_fit_is_refused(
    mesh: Mesh, serve: Callable[..., Any], limits: Sparql, status: int, code: str
) -> None:
    with serve(mesh, Settings(sparql=limits)) as server:
        answer = ask(server, COUNT)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


# Harm

SLOW = "SPARQL_TIMEOUT"  # the limits are tight, and the machine may be busy
HARM = {
    "a cross product": ("SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }", {"SPARQL_TIMEOUT"}),
    "a cross product that is sorted": (
        "SELECT * { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } ORDER BY ?a ?d ?g",
        {"SPARQL_MEMORY", "SPARQL_TIMEOUT"},  # whichever is reached first
    ),
    "a long answer": ("SELECT * { ?a ?b ?c . ?d ?e ?f }", {"SPARQL_RESULT_TOO_LARGE", SLOW}),
    "paths upon paths": (
        "SELECT (COUNT(*) AS ?n) { ?a (!<urn:x>|^!<urn:x>)* ?b . ?b (!<urn:x>|^!<urn:x>)* ?c }",
        {"SPARQL_TIMEOUT", "SPARQL_MEMORY"},
    ),
    "a product of functions": (
        "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f "
        'FILTER(REGEX(CONCAT(STR(?c), STR(?f)), "(a|b)*c{20}")) }',
        {"SPARQL_TIMEOUT", "SPARQL_MEMORY"},
    ),
    "brackets in brackets": ("SELECT * " + "{" * 20_000 + "}" * 20_000, {"SPARQL_FAILED", SLOW}),
}


def well(server: Running) -> list[dict[str, str]]:
    """What a plain query gives, at the latest when the machine has time for it."""
    for _ in range(20):
        answer = ask(server, "SELECT (COUNT(DISTINCT ?s) AS ?n) { ?s a ?k }")
        if answer.status_code == 200:
            return bindings(answer)
        assert answer.json()["code"] == SLOW, answer.text
    return []


@pytest.mark.parametrize("name", HARM)
def test_harm_ends_within_its_limits(harmed: Running, name: str) -> None:
    query, codes = HARM[name]
    with harmed.client() as client:
        media = {"Content-Type": "application/sparql-query"}
        answer = client.post("/sparql", content=query, headers=media, timeout=60)
    assert answer.status_code == 500, answer.text
    assert answer.json()["code"] in codes
    assert well(harmed) == [{"n": "3000"}]


def test_a_regex_that_grows_is_refused_or_stopped(harmed: Running) -> None:
    query = 'SELECT ?s { ?s ?p ?o FILTER(REGEX(STR(?o), "(((a*)*)*)*b{1000}{1000}{1000}")) }'
    answer = ask(harmed, query)
    # A pattern that is too large to be built is an error of the filter, which then holds for nothing.
    stopped = answer.status_code == 500 and answer.json()["code"] in (SLOW, "SPARQL_MEMORY")
    assert stopped or bindings(answer) == []


def test_others_are_answered_meanwhile(harmed: Running) -> None:
    """Harm on all places for queries at once: the other doors do not wait for it."""
    query = HARM["a cross product"][0]
    codes: list[str] = []
    threads = [
        threading.Thread(target=lambda: codes.append(ask(harmed, query).json()["code"])) for _ in range(4)
    ]
    for each in threads:
        each.start()
    assert harmed.data("{ sites { name } }") == {"sites": [{"name": "campus"}]}
    for each in threads:
        each.join(60)
    assert codes == ["SPARQL_TIMEOUT"] * 4
    assert well(harmed) == [{"n": "3000"}]


def test_nothing_calls_out(harmed: Running) -> None:
    """Past the look at the text: the process of a query cannot open a socket at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        place = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        store = QueryStore.start(b"<urn:a> <urn:b> <urn:c> .\n", memory_mb=4096, wall_s=60)
        try:
            text = f"SELECT * {{ SERVICE SILENT <{place}> {{ ?s ?p ?o }} }}"
            found = store.ask(Query(text, "json", None), QueryLimits(10, 256, 10_000))
            assert json.loads(found.body)["results"]["bindings"] in ([], [{}])
            with pytest.raises(TimeoutError):
                listener.accept()
        finally:
            store.close()
        assert not store.is_alive
        with pytest.raises(StoreError) as caught:
            store.ask(Query(COUNT, "json", None), QueryLimits(10, 256, 10_000))
    assert caught.value.code == "SPARQL_STORE_GONE"

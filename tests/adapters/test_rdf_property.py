"""Any graph of terms that mean something to us comes out as it went in, and again equal to the byte."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyoxigraph import BlankNode, Literal, NamedNode, RdfFormat, Triple

from adapters.csv.source import read_csv
from adapters.merging import assemble
from adapters.problems import Problems
from adapters.rdf.sink import write_rdf
from adapters.rdf.source import read_rdf
from adapters.resolving import Known, Resolver
from adapters.selection import select
from graph.check import Checker
from graph.drafting import draft_change
from graph.pools import Pools
from graph.state import State
from ontology.errors import ChangeError, InputError
from ontology.naming import PREFIXES as NAMESPACES
from ontology.schema import Schema, compile_schema
from ontology.vocabulary import read_vocabulary

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, REQUEST, SCHEMA, UNITS, isomorphic, quads, triples

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.model import Parsed
    from graph.snapshot import Snapshot


def name(prefixed: str) -> NamedNode:
    prefix, _, local = prefixed.partition(":")
    own = {"a": BASE, "ex": "http://example.org/v#", "tmx": "https://twinmesh.dev/external#"}
    return NamedNode({**NAMESPACES, **own}[prefix] + local)


THINGS = st.sampled_from([name(f"a:{letter}") for letter in "ABC"])
BLANK = st.sampled_from([BlankNode(letter) for letter in "xyz"])
KINDS = st.sampled_from(
    [name(n) for n in ("brick:AHU", "brick:Sensor", "rec:Room", "ex:Own", "owl:Class", "tm:Relationship")]
)
LINKS = st.sampled_from(
    [
        name(n)
        for n in (
            "brick:feeds",
            "brick:isFedBy",
            "brick:hasPoint",
            "brick:isPointOf",
            "tm:source",
            "tm:target",
        )
    ]
)
FACT_NAMES = "rdfs:label ex:v brick:coolingCapacity tm:localId tmx:gs1 brick:value tm:value tm:unit tm:weight"
FACT_NAMES += " tm:group rdfs:comment ref:hasTimeseriesId"
FACTS = st.sampled_from([name(n) for n in FACT_NAMES.split()])
NODES = st.sampled_from(
    [name(n) for n in ("brick:coolingCapacity", "ref:hasExternalReference", "ex:v", "ex:w")]
)
INTEGER, DECIMAL, DOUBLE = (name(f"xsd:{n}") for n in ("integer", "decimal", "double"))
LITERALS = st.sampled_from(
    [
        Literal("A"),
        Literal("kW"),
        Literal("A", language="de"),
        Literal("5", datatype=INTEGER),
        Literal("5.0", datatype=DECIMAL),
        Literal("5.00", datatype=DECIMAL),
        Literal("NaN", datatype=DOUBLE),
    ]
)
SUBJECTS = THINGS | BLANK
TRIPLES = st.one_of(
    st.builds(Triple, SUBJECTS, st.just(name("rdf:type")), KINDS),
    st.builds(Triple, SUBJECTS, LINKS, THINGS),
    st.builds(Triple, SUBJECTS, FACTS, LITERALS),
    st.builds(Triple, SUBJECTS, NODES, BLANK),
    st.builds(Triple, SUBJECTS, st.just(name("brick:hasUnit")), st.just(name("unit:KiloW"))),
    st.builds(Triple, SUBJECTS, st.just(name("tm:relation")), st.just(name("brick:feeds"))),
    st.builds(Triple, KINDS, st.just(name("rdfs:subClassOf")), st.just(name("brick:Equipment"))),
)


def small_schema() -> Schema:
    """Few kinds, so that a schema with those of a file is compiled in no time."""
    vocabulary = read_vocabulary()
    wanted = {SCHEMA.kind(n).index for n in ("brick:AHU", "brick:Sensor", "rec:Room", "brick:Building")}
    above = {k.iri for k in SCHEMA.kinds if any(SCHEMA.is_a(kind, k.index) for kind in wanted)}
    kinds = tuple(k for k in vocabulary.kinds if k.iri in above or k.name.startswith("tm:"))
    relations = tuple(replace(r, domain=(), range=()) for r in vocabulary.relations)
    media = tuple(pair for pair in vocabulary.media_by_kind if pair[0] in {k.iri for k in kinds})
    small = replace(vocabulary, kinds=kinds, relations=relations, media_by_kind=media, shipped=len(kinds))
    return compile_schema(small)


SMALL = small_schema()


def imported(path: Path, format: str) -> Snapshot:
    """A site in memory after one import. Raises InputError or ChangeError."""
    parsed = read_rdf(format, path, REQUEST, SMALL, UNITS)
    known = Known.of("plant", BASE, [parsed], {})
    errors = Problems("x")
    schema = SMALL.with_kinds(parsed.kinds)
    resolved = Resolver(known, schema).relationships(parsed, errors, Problems("x"))
    errors.raise_if_any()
    state = State("plant", BASE, SMALL, Pools())
    change = assemble([(parsed, resolved)], known, SMALL, replace=False).change("test", dry_run=False)
    state.execute(draft_change(state, change, Checker(SMALL, UNITS)), 1, 1)
    return state.freeze()


@pytest.mark.parametrize("local_id", ["A", "B", ""])
def test_a_local_id_that_follows_from_the_iri_comes_back_too(tmp_path: Path, local_id: str) -> None:
    path = tmp_path / "graph.nq"
    kind, stated = Triple(name("a:A"), name("rdf:type"), name("brick:AHU")), Literal(local_id)
    path.write_text(f"{kind} .\n{Triple(name('a:A'), name('tm:localId'), stated)} .\n")
    out = write_rdf([select(imported(path, "nq"))], "nq")
    assert isomorphic(quads(path.read_bytes(), RdfFormat.N_QUADS), triples(out, RdfFormat.N_QUADS))


@settings(
    max_examples=150 if not os.environ.get("TWINMESH_LONG") else 2000,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(graph=st.lists(TRIPLES, min_size=1, max_size=16))
def test_any_graph_comes_back(tmp_path_factory: pytest.TempPathFactory, graph: list[Triple]) -> None:
    folder = tmp_path_factory.getbasetemp()
    path, again = folder / "graph.nq", folder / "again.nq"
    path.write_text("".join(f"{triple} .\n" for triple in graph))
    try:
        snapshot = imported(path, "nq")
    except (InputError, ChangeError):
        assume(False)
        return
    out = write_rdf([select(snapshot)], "nq")
    stated, found = quads(path.read_bytes(), RdfFormat.N_QUADS), triples(out, RdfFormat.N_QUADS)
    if not has_lonely_nodes(graph):
        assert isomorphic(stated, found)
    again.write_bytes(out)
    assert write_rdf([select(imported(again, "nq"))], "nq") == out


def has_lonely_nodes(graph: list[Triple]) -> bool:
    """Relationship nodes perhaps without their plain triple, which the export adds: it holds more then."""
    return any(triple.predicate == name("tm:relation") for triple in graph)


def assert_read_or_refused(read: Callable[[], Parsed], path: Path) -> None:
    """Whatever the bytes are: something read from this file, or problems that name it."""
    try:
        parsed = read()
    except InputError as error:
        assert error.problems
        assert {problem.place.path for problem in error.problems} == {str(path)}
    else:
        assert parsed.path == str(path)


CSV_LETTERS = 'id,kind;\n\r"A brick:AHU0.5é\ufeff\x00source,relation,target'
CSV_PARTS = ["id", "kind", ",", "\n", '"', "A", "brick:AHU", "x:", "[kW]", "[", "]", "external:"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=200)
    | st.text(CSV_LETTERS, max_size=200).map(str.encode)
    | st.lists(st.sampled_from(CSV_PARTS), max_size=40).map(
        lambda parts: "".join(["id,kind,", *parts]).encode()
    )
)
def test_no_bytes_break_the_csv_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(content)
    assert_read_or_refused(lambda: read_csv(path, REQUEST, SCHEMA, UNITS), path)


PIECES = [
    "<A>",
    " a ",
    "brick:AHU",
    ";",
    ".",
    "[",
    "]",
    "(",
    ")",
    '"x"',
    "tm:health",
    "1.5",
    "ex:p",
    "_:b",
    "<<(",
    ")>>",
    "{|",
    "|}",
    "~",
    "@en",
    ",",
]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=25), junk=st.binary(max_size=3))
def test_no_bytes_break_the_rdf_reader(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.ttl"
    head = (
        "@prefix brick: <https://brickschema.org/schema/Brick#> . @prefix tm: <https://twinmesh.dev/ns#> . "
    )
    path.write_bytes((head + "@prefix ex: <http://e.x/#> . " + " ".join(pieces)).encode() + junk)
    assert_read_or_refused(lambda: read_rdf("ttl", path, REQUEST, SMALL, UNITS), path)

"""Models of real buildings through the command: the graph holds what other programs count in the file."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import ifcopenshell
import pyoxigraph as ox
import pytest

from adapters.exporting import export_document
from adapters.importing import import_files
from graph.mesh import Mesh

# Shared helpers; test modules have no names to import (import mode "importlib").
sys.path.append(str(Path(__file__).parent))
from flow_helpers import Folder, command, one_schema, one_units, stay_in_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from graph.snapshot import Snapshot

BASE = "https://twinmesh.invalid/s/"
BRICK = "https://brickschema.org/schema/Brick#"
MEDIA = {"CHILLEDWATER": "chilledWater", "AIRCONDITIONING": "air"}
PROJECT_UNITS = {
    "IfcPowerMeasure": "kW",
    "IfcVolumetricFlowRateMeasure": "m3/s",
    "IfcPressureMeasure": "Pa",
    "IfcAreaMeasure": "m2",
}


@pytest.fixture
def in_process(monkeypatch):
    """Files are decoded in this process, without a child for each."""
    stay_in_process(monkeypatch)


@pytest.fixture
def schema():
    return one_schema()


@pytest.fixture
def units():
    return one_units()


@contextlib.contextmanager
def opened(folder: Folder) -> Iterator[Snapshot]:
    with Mesh.open(folder.data, one_schema(), read_only=True) as mesh:
        yield mesh.twin(folder.site).snapshot()


def living(snapshot: Snapshot) -> list[int]:
    return snapshot.edge_alive.nonzero()[0].tolist()


def edges(snapshot: Snapshot, relation: str) -> list[int]:
    iri = snapshot.schema.relation(relation).iri
    return [edge for edge in living(snapshot) if snapshot.relation_of(edge) == iri]


def ends(snapshot: Snapshot, edge: int) -> tuple[str, str]:
    rows = int(snapshot.edge_source[edge]), int(snapshot.edge_target[edge])
    return snapshot.local_id(rows[0]), snapshot.local_id(rows[1])


def children(snapshot: Snapshot, relation: str) -> dict[str, list[str]]:
    """Local id of the target -> local ids of the sources."""
    found: dict[str, list[str]] = defaultdict(list)
    for edge in edges(snapshot, relation):
        source, target = ends(snapshot, edge)
        found[target].append(source)
    return {target: sorted(sources) for target, sources in found.items()}


# --- IFC ---


@pytest.fixture(scope="module", params=["small", "defects"])
def synthetic(request, shared_data, tmp_path_factory):
    """(folder, report of its import, truth) of a generated model; imported through the sandbox."""
    path = shared_data / "ifc-synthetic" / f"synthetic_mep_{request.param}.ifc"
    folder = Folder(tmp_path_factory.mktemp(request.param) / "data")
    done = folder.imports(path)
    assert done.code == 0, done.err
    return folder, done.files[0], json.loads(path.with_suffix(".truth.json").read_text())


def test_flows_equal_the_truth(synthetic):
    folder, _, truth = synthetic
    with opened(folder) as snapshot:
        found = []
        for name, known in (("brick:feeds", "directed"), ("tm:connectedTo", "unknown")):
            for edge in edges(snapshot, name):
                stated = snapshot.edge_attributes(edge)
                assert stated["direction"].value == known
                pair = ends(snapshot, edge) if known == "directed" else tuple(sorted(ends(snapshot, edge)))
                found.append((*pair, stated["medium"].value, known))
    wanted = [
        (*(pair if known == "directed" else sorted(pair)), MEDIA[system], known)
        for *pair, system, known in truth["edges"]
    ]
    assert sorted(found) == sorted(wanted)


def test_containment_and_systems_equal_the_truth(synthetic):
    folder, _, truth = synthetic
    with opened(folder) as snapshot:
        located, members = children(snapshot, "tm:locatedIn"), children(snapshot, "tm:memberOf")
        storeys = {name for name in truth["contained"] if name.startswith("Level")}
        levels = snapshot.local_ids(snapshot.rows_of_kind(snapshot.schema.kind("rec:Level").index))
        rooms = snapshot.local_ids(snapshot.rows_of_kind(snapshot.schema.kind("rec:Room").index))
        parts = children(snapshot, "tm:partOf")
    assert located == {place: sorted(held) for place, held in truth["contained"].items()}
    assert members == {system: sorted(held) for system, held in truth["systems"].items()}
    assert (set(levels), set(rooms)) == (storeys, set(truth["contained"]) - storeys)
    # Every room is part of the storey whose number it bears.
    assert {storey: parts[storey] for storey in storeys} == {
        storey: sorted(room for room in rooms if room.startswith(f"{storey.removeprefix('Level ')}."))
        for storey in storeys
    }


def test_properties_equal_the_truth(synthetic):
    folder, _, truth = synthetic
    with opened(folder) as snapshot:
        for element, properties in truth["psets"].items():
            attributes = snapshot.attributes(snapshot.find(element.removeprefix("space ")))
            for name, (value, measure, own) in properties.items():
                (stated,) = [v for key, v in attributes.items() if key.split(".")[-1] == name]
                unit = "W" if own == "WATT" else PROJECT_UNITS.get(measure)
                assert (stated.value, stated.unit) == (value, unit), (element, name)


def test_seeded_defects_are_warnings(synthetic):
    _, report, truth = synthetic
    named = {warning["item"] + warning["message"] for warning in report["warnings"]}
    assert len(report["warnings"]) == len(truth["defects"])
    for defect in truth["defects"]:
        assert any(defect.split()[0] in text for text in named), defect


@pytest.mark.parametrize("name", ["duplex_architecture", "fzk_haus_ifc4", "large_building"])
def test_counts_equal_those_of_ifcopenshell(shared_data, tmp_path, name):
    path = shared_data / "ifc" / f"{name}.ifc"
    folder = Folder(tmp_path / "data")
    done = folder.imports(path)
    assert done.code == 0, done.err
    model = ifcopenshell.open(str(path))
    kinds = {
        "rec:Site": "IfcSite",
        "rec:Building": "IfcBuilding",
        "rec:Level": "IfcBuildingStorey",
        "rec:Room": "IfcSpace",
        "rec:Wall": "IfcWall",
    }
    products = {one.GlobalId for one in model.by_type("IfcProduct") if not one.is_a("IfcPort")}
    groups = {one.GlobalId for one in model.by_type("IfcGroup")}
    with opened(folder) as snapshot:
        rows = snapshot.alive.nonzero()[0].tolist()
        found = [external.id for row in rows for external in snapshot.external_ids(row)]
        counts = {kind: len(snapshot.rows_of_kind(snapshot.schema.kind(kind).index)) for kind in kinds}
    assert sorted(found) == sorted(products | groups)
    assert counts == {kind: len(model.by_type(ifc)) for kind, ifc in kinds.items()}


# --- Brick ---


@pytest.fixture(scope="module")
def bldg11(shared_data, tmp_path_factory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("bldg11") / "data")
    done = folder.imports(shared_data / "brick" / "bldg11.ttl")
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def store(shared_data) -> ox.Store:
    """The file and the ontology, for SPARQL."""
    store = ox.Store()
    for path in (shared_data / "brick" / "bldg11.ttl", shared_data / "ontologies" / "Brick-1.4.4.ttl"):
        graph = ox.NamedNode(f"urn:{path.name}")
        store.bulk_load(path=str(path), format=ox.RdfFormat.TURTLE, base_iri=BASE, to_graph=graph)
    return store


def ask(store: ox.Store, query: str) -> list[tuple[str, ...]]:
    prefixes = {"brick": BRICK, "rdfs": "http://www.w3.org/2000/01/rdf-schema#"}
    rows = store.query(query, prefixes=prefixes, use_default_graph_as_union=True)
    return [tuple(term.value for term in row) for row in rows]


def test_kinds_with_those_below_equal_sparql(bldg11, store):
    below = "SELECT (COUNT(DISTINCT ?x) AS ?n) WHERE { ?x a ?c . ?c rdfs:subClassOf* brick:%s }"
    names = ("Equipment", "Point", "Location", "VAV", "Sensor", "Temperature_Sensor", "HVAC_Equipment")
    counted = {name: int(ask(store, below % name)[0][0]) for name in names}
    assert (counted["Equipment"], counted["Point"]) == (499, 1257)
    fields = " ".join(f'{name}: twins(kind: "brick:{name}") {{ totalCount }}' for name in counted)
    answer = command("query", f"{{ {fields} }}", "--data", bldg11.data)
    assert answer.code == 0, answer.err
    assert {name: page["totalCount"] for name, page in answer.json["data"].items()} == counted


def test_kinds_by_themselves_equal_sparql(bldg11, store):
    rows = ask(store, "SELECT ?c ?x WHERE { GRAPH <urn:bldg11.ttl> { ?x a ?c } }")
    with opened(bldg11) as snapshot:
        found = Counter(iri for row in snapshot.alive.nonzero()[0] for iri in snapshot.kind_iris(int(row)))
    assert found == Counter(kind for kind, _ in rows)


def test_relations_equal_sparql(bldg11, store):
    rows = ask(store, "SELECT ?x ?p ?y WHERE { GRAPH <urn:bldg11.ttl> { ?x ?p ?y } FILTER isIRI(?y) }")
    stated = Counter(predicate.removeprefix(BRICK) for _, predicate, _ in rows if predicate.startswith(BRICK))
    assert (stated["feeds"], stated["isFedBy"]) == (788, 11)
    with opened(bldg11) as snapshot:
        schema = snapshot.schema
        wanted = set()
        for source, predicate, target in rows:
            relation = schema.relation_by_iri(predicate)
            if relation is not None and relation.inverse_of is not None:
                wanted.add((target, schema.relations[relation.inverse_of].iri, source))
            elif relation is not None:
                wanted.add((source, predicate, target))
        records = [snapshot.relationship(edge) for edge in living(snapshot)]
        found = [(record.source, record.relation, record.target) for record in records]
        feeds = len(edges(snapshot, "brick:feeds"))
    assert set(found) == wanted
    assert len(found) == len(wanted) > 2900
    pairs = {(s, t) for s, p, t in rows if p == BRICK + "feeds"}
    pairs |= {(t, s) for s, p, t in rows if p == BRICK + "isFedBy"}
    assert feeds == len(pairs)


def canonical(quads: Iterable[ox.Quad]) -> set[str]:
    """Triples with blank nodes named by content: equal sets are isomorphic graphs."""
    dataset = ox.Dataset(ox.Quad(quad.subject, quad.predicate, quad.object) for quad in quads)
    dataset.canonicalize(ox.CanonicalizationAlgorithm.UNSTABLE)
    return {str(quad) for quad in dataset}


def test_an_export_holds_the_import_up_to_isomorphism(bldg11, shared_data):
    path = shared_data / "brick" / "bldg11.ttl"
    stated = canonical(ox.parse(path=str(path), format=ox.RdfFormat.TURTLE, base_iri=BASE))
    assert len(stated) == 8608
    for name, format in (
        ("nq", ox.RdfFormat.N_QUADS),
        ("ttl", ox.RdfFormat.TURTLE),
        ("jsonld", ox.RdfFormat.JSON_LD),
    ):
        assert canonical(ox.parse(bldg11.export(name), format=format)) == stated, name


@pytest.mark.usefixtures("in_process")
def test_every_brick_model_imports_and_comes_back(shared_data, tmp_path, schema, units):
    paths = sorted(shared_data.glob("brick*/*.ttl"))
    assert len(paths) > 50
    for path in paths:
        with Mesh.open(tmp_path / path.stem, schema, units=units) as mesh:
            report = import_files(mesh, [path], site="s", units=units)
            assert report.errors == (), path
            exported = export_document(mesh, "nq")
        stated = canonical(ox.parse(path=str(path), format=ox.RdfFormat.TURTLE, base_iri=BASE))
        assert canonical(ox.parse(exported, format=ox.RdfFormat.N_QUADS)) == stated, path


# --- back and forth ---


MODELS = ("brick/bldg1.ttl", "brick-examples/evse__evse.ttl", "ifc-synthetic/synthetic_mep_defects.ifc")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("format", ["ttl", "nq", "jsonld", "csv"])
def test_export_import_export_is_equal(shared_data, tmp_path, schema, units, model, format):
    with Mesh.open(tmp_path / "one", schema, units=units) as mesh:
        report = import_files(mesh, [shared_data / model], site="s", units=units)
        first = export_document(mesh, format)
    (tmp_path / f"m.{format}").write_bytes(first)
    with Mesh.open(tmp_path / "two", schema, units=units) as mesh:
        back = import_files(mesh, [tmp_path / f"m.{format}"], site="s", units=units)
        assert back.errors == ()
        second = export_document(mesh, format)
    assert first == second
    assert report.files[0].created > 10


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("model", MODELS)
def test_the_same_file_again_changes_nothing_and_commits_nothing(shared_data, tmp_path, model):
    folder = Folder(tmp_path / "data")
    first = folder.imports(shared_data / model)
    head, exported = folder.head(), folder.export()
    for _ in range(2):
        again = folder.imports(shared_data / model).files[0]
        counts = [again[name] for name in ("created", "updated", "unchanged", "missing")]
        assert counts == [0, 0, first.files[0]["created"], 0]
    assert folder.head() == head
    assert folder.export() == exported


@pytest.mark.usefixtures("in_process")
def test_what_a_file_no_longer_says_is_counted_and_removed_on_demand(tmp_path):
    folder = Folder(tmp_path / "data")
    assets, links = tmp_path / "assets.csv", tmp_path / "links.csv"
    assets.write_text("id,kind\nA,brick:AHU\nB,brick:VAV\nC,brick:VAV\n")
    links.write_text("source,relation,target\nA,brick:feeds,B\nA,brick:feeds,C\n")
    assert folder.imports(assets, links).code == 0
    whole = folder.export()

    links.write_text("source,relation,target\nA,brick:feeds,C\n")
    kept = folder.imports(links).files[0]
    assert (kept["unchanged"], kept["missing"]) == (1, 1)
    assert folder.export() == whole

    replaced = folder.imports(links, replace=True)
    assert (replaced.files[0]["missing"], replaced.json["removed"]) == (1, 1)
    assert set(whole.splitlines()) - set(folder.export().splitlines()) == {
        f"<{BASE}A> <{BRICK}feeds> <{BASE}B> <{BASE}> .".encode()
    }

    assets.write_text("id,kind\nA,brick:AHU\nC,brick:VAV\n")
    assert folder.imports(assets, replace=True).json["removed"] == 1
    with opened(folder) as snapshot:
        assert snapshot.local_ids(snapshot.alive.nonzero()[0]) == ["A", "C"]


@pytest.mark.usefixtures("in_process")
def test_two_sources_on_one_twin_merge_and_a_conflict_names_both(tmp_path):
    folder = Folder(tmp_path / "data")
    bim, erp = tmp_path / "bim.csv", tmp_path / "erp.csv"
    bim.write_text("id,kind,ratedPower [kW],colour\nA,brick:AHU,10,red\n")
    erp.write_text("id,kind,ratedPower [kW],valuePerHour\nA,brick:HVAC_Equipment,10,7\n")
    assert folder.imports(bim, erp).code == 0
    with opened(folder) as snapshot:
        row = snapshot.find("A")
        stated = {name: value.value for name, value in snapshot.attributes(row).items()}
        assert (stated, set(snapshot.origins(row))) == (
            {"ratedPower": 10, "colour": "red", "valuePerHour": 7},
            {"bim", "erp"},
        )
    head = folder.head()

    erp.write_text("id,kind,ratedPower [kW]\nA,brick:HVAC_Equipment,11\n")
    done = folder.imports(erp)
    (error,) = done.files[0]["errors"]
    assert (done.code, error["code"], error["line"]) == (1, "ATTRIBUTE_CONFLICT", 2)
    assert all(word in error["message"] for word in ("'bim'", "'erp'", "10", "11"))
    assert folder.head() == head

    # One source leaves: what only it said goes, what only the other said stays.
    bim.write_text("id,kind\nB,brick:AHU\n")
    assert folder.imports(bim, replace=True).code == 0
    with opened(folder) as snapshot:
        stated = {name: value.value for name, value in snapshot.attributes(snapshot.find("A")).items()}
    assert (stated.get("colour"), stated["valuePerHour"]) == (None, 7)

"""CSV that import reads again, GraphML that networkx reads, and where exports go."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import pytest

from adapters.exporting import EXPORT_FORMATS, export_document, export_to
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.errors import NotFoundError, StoreError, UsageError

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, PREFIXES, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

TWINS = (
    "id,kind,name,localId,external:gs1,ratedPower [W],ratedPower [kW],serialNumber,timeToRepair,x:note,"
    "yearBuilt\r\n"
    'A 1,brick:AHU;tm:Asset,"Air, ""main""",first,77,,5.5,007,"weibull(2,500)","two\r\nlines",1999\r\n'
    "B,brick:VAV,,,,250,,,12,,\r\n"
    "urn:x:1,tm:Asset,,,,,,,,,\r\n"
)
LINKS = (
    "source,relation,target,group,id,bufferHours [min],weight\r\n"
    "A 1,brick:feeds,B,g,,30,2\r\n"
    "A 1,tm:connectedTo,urn:x:1,,own,,\r\n"
    "B,brick:isFedBy,A 1,,,,\r\n"
)


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


def test_csv_comes_back_as_it_was(place: Place, second: Place) -> None:
    assert place.take(twins_csv=TWINS, links_csv=LINKS).ok
    twins, relationships = export_to(place.mesh, "csv", place.folder / "out")
    assert (twins.name, relationships.name) == ("twins.csv", "relationships.csv")
    assert second.load(twins, relationships).ok
    assert second.export("csv") == place.export("csv")
    # Columns come in order of name, so compare cells by column, not bytes.
    assert table(twins.read_bytes().decode()) == table(TWINS)
    assert table(relationships.read_bytes().decode()) == table(LINKS)


def table(text: str) -> set[frozenset[tuple[str, str]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return {frozenset((name, cell) for name, cell in row.items() if cell) for row in rows}


def test_one_document_holds_both_tables(place: Place, second: Place) -> None:
    assert place.take(twins_csv=TWINS, links_csv=LINKS).ok
    (path,) = export_to(place.mesh, "csv", place.folder / "all.csv")
    assert second.load(path).ok
    assert second.export("csv") == place.export("csv") == path.read_bytes()
    assert second.export("nq") == place.export("nq")


def test_several_sites_are_told_apart_by_iris(place: Place) -> None:
    assert place.take(a_csv="id,kind\nX,brick:AHU\n").ok
    assert place.take("lab", b_csv="id,kind\nX,brick:VAV\n").ok
    lines = place.export("csv", None).decode().split("\r\n")
    assert lines[1:3] == ["https://twinmesh.invalid/lab/X,brick:VAV,", f"{BASE}X,brick:AHU,"]


def test_values_without_a_cell_form_are_json(place: Place) -> None:
    assert place.take(a_csv="id,kind\nX,brick:AHU\n").ok
    shapes = {"shape": Value({"b": [1, None], "a": "ü"}), "on": Value(True), "half": Value(5.0)}
    place.mesh.twin("plant").apply(Change(merge_twins=(TwinRecord(BASE + "X", attributes=shapes),)))
    assert 'X,brick:AHU,,5.0,true,"{""a"":""ü"",""b"":[1,null]}"' in place.export("csv").decode()


def test_graphml_as_networkx_reads_it(place: Place) -> None:
    assert place.take(twins_csv=TWINS, links_csv=LINKS).ok
    place.mesh.twin("plant").apply(
        Change(
            merge_twins=(
                TwinRecord(BASE + "B", attributes={"odd": Value("a\x00b <&> ü"), "big": Value(10**12)}),
            ),
            put_relationships=(
                RelationshipRecord(BASE + "B", "https://twinmesh.dev/ns#feeds", "http://o.example/Z"),
            ),
        )
    )
    graph = nx.read_graphml(io.BytesIO(place.export("graphml")))
    # The stub of the far end is a node without data: only twins of the site have any.
    assert set(graph.nodes) == {BASE + "A%201", BASE + "B", "urn:x:1", "http://o.example/Z"}
    first, other = graph.nodes[BASE + "A%201"], graph.nodes[BASE + "B"]
    assert (first["kind"], first["localId"], first["ratedPower [kW]"]) == ("brick:AHU", "first", 5.5)
    assert (other["odd"], other["big"], other["site"]) == ("a\ufffdb <&> ü", "1000000000000", "plant")
    edges = {(s, t, data["relation"], data.get("weight")) for s, t, data in graph.edges(data=True)}
    assert (BASE + "A%201", BASE + "B", "brick:feeds", 2) in edges
    assert len(edges) == 4


def test_an_empty_folder_exports_nothing(place: Place) -> None:
    documents = {name: export_document(place.mesh, name) for name in EXPORT_FORMATS}
    assert (documents["nq"], documents["csv"]) == (b"", b"")
    assert nx.read_graphml(io.BytesIO(documents["graphml"])).number_of_nodes() == 0


def test_what_cannot_be_exported(place: Place) -> None:
    assert place.take(a_csv="id,kind\nX,brick:AHU\n").ok
    for options, code in (
        ({"format": "tll"}, "FORMAT_UNKNOWN"),
        ({"format": "csv", "rdf12": True}, "FORMAT_UNSUPPORTED"),
    ):
        with pytest.raises(UsageError) as caught:
            export_document(place.mesh, **options)  # type: ignore[arg-type]
        assert caught.value.code == code
    with pytest.raises(NotFoundError) as unknown:
        export_document(place.mesh, "ttl", site="plnt")
    assert unknown.value.hint == "did you mean plant?"
    with pytest.raises(StoreError):
        export_to(place.mesh, "ttl", place.folder / "no" / "folder.ttl")


def test_the_same_content_gives_the_same_bytes_whatever_the_order(place: Place, second: Place) -> None:
    rows = [
        f"<T{n}> a brick:VAV ; ex:v {n} , {n + 1} ; ex:p [ ex:q {n} ] ; brick:isPartOf <T{n // 2}x> ."
        for n in range(40)
    ]
    stubs = [f"<T{n}x> a brick:AHU ." for n in range(20)]
    assert place.take(a_ttl=PREFIXES + "\n".join(rows + stubs)).ok
    assert second.take(b_ttl=PREFIXES + "\n".join(reversed(rows + stubs))).ok
    for name in EXPORT_FORMATS:
        assert place.export(name) == second.export(name) or name == "graphml"

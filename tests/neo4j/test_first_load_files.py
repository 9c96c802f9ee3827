"""The files of a first load say of every node and relationship what loading it online would write.

Read back by a small reader of this file's own, and held against the rows of `graph.stores.neo4j.rows`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich_sites import RichWork

from graph.mesh import Mesh
from graph.stores.chain import first_digest
from graph.stores.layout import HeadRow
from graph.stores.neo4j.first_load.cells import listed_bytes
from graph.stores.neo4j.first_load.folder import write_first_load
from graph.stores.neo4j.rows import edge_properties, twin_rows
from graph.values import Change, ExternalId, RelationshipRecord, TwinRecord, Value
from ontology.errors import StoreError

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
KIND = "https://brickschema.org/schema/Brick#AHU"
BASE = "https://twinmesh.invalid/"


def cells(text):
    """Rows of a CSV document: texts, None where a cell is empty without quotes."""
    rows, row, place = [], [], 0
    while place < len(text):
        if text[place] == '"':
            pieces, place = [], place + 1
            while text[place] != '"' or text[place + 1] == '"':
                pieces.append(text[place])
                place += 2 if text[place] == '"' else 1
            row.append("".join(pieces))
            place += 1
        else:
            end = min(found for sign in ",\n" if (found := text.find(sign, place)) >= 0)
            row.append(text[place:end] or None)
            place = end
        if text[place] == "\n":
            rows.append(row)
            row = []
        place += 1
    return rows


READERS = {
    "long": int,
    "double": float,
    "boolean": lambda text: {"true": True, "false": False}[text],
    "string": str,
    "string[]": lambda text: text.split("\x1f"),
    "byte[]": lambda text: bytes(int(part) % 256 for part in text.split("\x1f")) if text else b"",
}


def read(folder, header, data):
    """(number or ends, labels or type, properties) of each row."""
    (names,) = cells((folder / header).read_text("utf-8"))
    for row in cells((folder / data).read_bytes().decode("utf-8")):
        fields = dict(zip(names, row, strict=True))
        special = {name: fields.pop(name) for name in list(fields) if name.startswith(":")}
        known = {
            name.rpartition(":")[0]: READERS[name.rpartition(":")[2]](text)
            for name, text in fields.items()
            if text is not None
        }
        yield special, known


def read_all(folder):
    """(nodes by number, journal nodes, relationships) of an export."""
    nodes, journal, links = {}, [], []
    for option in (folder / "import.args").read_text().splitlines():
        name, _, rest = option.partition("=")
        if name == "--nodes":
            for special, known in read(folder, *rest.split(",")):
                labels = special[":LABEL"].split("\x1f")
                if ":ID(journal)" in special:
                    journal.append((labels, known))
                else:
                    assert nodes.setdefault(int(special[":ID"]), (labels, known))[1] is known, "twice"
        elif name == "--relationships":
            type_, _, files = rest.rpartition("=")
            for special, known in read(folder, *files.split(",")):
                ends = int(special[":START_ID"]), int(special[":END_ID"])
                links.append((ends, special.get(":TYPE") or type_, known))
    return nodes, journal, links


def text_of(thing):
    """With types: 1, 1.0 and true are three."""
    return json.dumps(thing, sort_keys=True, default=repr)


def wanted(snapshot):
    """What loading online writes: twins and stubs by id, and relationships between ids."""
    twins = {}
    for group in twin_rows(snapshot, snapshot.living_rows.astype(np.int64)):
        for row in group.properties:
            twins[row["id"]] = (group.is_stub, text_of([sorted(["Entity", *group.labels]), row]))
    edges = np.flatnonzero(snapshot.edge_alive)
    ends = snapshot.ids(snapshot.sources(edges)), snapshot.ids(snapshot.targets(edges))
    relations = [snapshot.schema.relations[one].name for one in snapshot.edges.relation.take(edges).tolist()]
    return twins, sorted(map(text_of, zip(*ends, relations, edge_properties(snapshot, edges), strict=True)))


@pytest.mark.parametrize("seed", range(12))
def test_files_say_what_the_online_load_writes(schema, tmp_path, seed):
    print("seed", seed)
    with Mesh.open(tmp_path / "data", schema) as mesh:
        work = RichWork(mesh, schema, random.Random(seed))
        for _ in range(80):
            work.step()
        made = write_first_load(mesh, mesh.sites, tmp_path / "out")
        snapshots = [mesh.twin(site).snapshot() for site in mesh.sites]
        entries = {site: list(mesh.open_journal(site).entries()) for site in mesh.sites}
    nodes, journal, links = read_all(tmp_path / "out")
    assert (len(nodes) + len(journal), len(links)) == (made.nodes, made.relationships)
    by_id = {}
    for labels, known in nodes.values():
        assert by_id.setdefault(known["id"], (labels, known))[1] is known, f"two nodes for {known['id']}"
    told = {iri: text_of([sorted(labels), known]) for iri, (labels, known) in by_id.items()}
    all_links = []
    for snapshot in snapshots:
        twins, edges = wanted(snapshot)
        all_links += edges
        for iri, (is_stub, text) in twins.items():
            if is_stub and told[iri] != text:
                assert by_id[iri][1]["_site"] != snapshot.sites[0], "a stub that is not the twin of another"
            else:
                assert told[iri] == text
        gone = np.flatnonzero(~snapshot.alive & (snapshot.twins.revision.take(np.arange(snapshot.size)) > 0))
        assert all(iri in told for iri in snapshot.ids(gone)), "a tombstone is missing"
    found = [
        text_of([nodes[one][1]["id"], nodes[two][1]["id"], type_, known])
        for (one, two), type_, known in links
    ]
    assert sorted(found) == sorted(all_links)
    assert_journal(journal, snapshots, entries)


def assert_journal(journal, snapshots, entries):
    for snapshot in snapshots:
        site = snapshot.sites[0]
        mine = [(labels[0], known) for labels, known in journal if known["site"] == site]
        (head,) = [known for label, known in mine if label == "_Journal"]
        row = HeadRow(
            head["sequence"], head["digest"], head["epoch"], head["answers_first"], head["answers_last"]
        )
        assert row.seal == head["seal"] and head["sequence"] == snapshot.revision
        commits = sorted(
            (known for label, known in mine if label == "_Commit"), key=lambda one: one["sequence"]
        )
        told = [
            (one["sequence"], one["time_ns"], one["author"], one["message"], one["payload"], one["digest"])
            for one in commits
        ]
        assert told == [
            (one.sequence, one.time_ns, one.author, one.message, one.payload, one.digest)
            for one in entries[site]
        ]
        assert head["digest"] == (told[-1][-1] if told else first_digest(head))
        assert len([1 for label, _ in mine if label == "_Answer"]) == head["answers_last"] == 1
        (shown,) = [known for label, known in mine if label == "_Projection"]
        assert shown["sequence"] == snapshot.revision


def test_byte_arrays_of_any_length():
    data = bytes(range(256)) * 8_193  # more than is made at once
    text = listed_bytes(data)
    assert bytes(int(part) % 256 for part in text.split("\x1f")) == data
    assert listed_bytes(b"") == "" and listed_bytes(b"\x80\x7f") == "-128\x1f127"


def twin(number, attributes=None, external=(), site="campus"):
    return TwinRecord(f"{BASE}{site}/{number}", (KIND,), None, None, attributes or {}, external)


UNFIT = {
    "a name with a sign of the header": Change(put_twins=(twin(1, {"a{b}": Value(1)}),)),
    "a name of two lines": Change(put_twins=(twin(1, {"a\nb": Value(1)}),)),
    "the delimiter in a list": Change(put_twins=(twin(1, {}, (ExternalId("x", "a\x1fb"),)),)),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_cannot_be_said_is_refused_by_name(schema, tmp_path, what):
    with Mesh.open(tmp_path / "data", schema) as mesh:
        mesh.create_site("campus").apply(UNFIT[what])
        with pytest.raises(StoreError) as caught:
            write_first_load(mesh, mesh.sites, tmp_path / "out")
    assert caught.value.code == "EXPORT_UNFIT"
    assert not (tmp_path / "out" / "import.sh").exists(), "what is not complete has no script"


def test_the_twin_of_one_id_is_in_one_site(schema, tmp_path):
    with Mesh.open(tmp_path / "data", schema) as mesh:
        for site in ("campus", "plant"):
            mesh.create_site(site).apply(Change(put_twins=(twin(1),)))
        with pytest.raises(StoreError) as caught:
            write_first_load(mesh, mesh.sites, tmp_path / "out")
        assert caught.value.code == "EXPORT_UNFIT" and f"{BASE}campus/1" in str(caught.value)
        assert write_first_load(mesh, ["plant"], tmp_path / "one").sites == {"plant": 1}


def test_a_stub_meets_the_twin_whatever_the_order(schema, tmp_path):
    """Three sites: of one id the last has the twin, the first two only relationships to it."""
    relation = schema.relation("tm:dependsOn").iri
    with Mesh.open(tmp_path / "data", schema) as mesh:
        far = twin(1, site="c")
        for site in ("a", "b"):
            own = twin(2, site=site)
            link = RelationshipRecord(own.id, relation, far.id)
            mesh.create_site(site).apply(Change(put_twins=(own,), put_relationships=(link,)))
        write_first_load(mesh, ["a", "b"], tmp_path / "without")
        mesh.create_site("c").apply(Change(put_twins=(far,)))
        write_first_load(mesh, ["a", "b", "c"], tmp_path / "with")
    for folder, owner, label in (("without", "a", "tm:External"), ("with", "c", "brick:AHU")):
        nodes, _, links = read_all(tmp_path / folder)
        ((number, (labels, known)),) = [one for one in nodes.items() if one[1][1]["id"] == far.id]
        assert known["_site"] == owner and label in labels
        assert [ends[1] for ends, _, _ in links] == [number, number]


def run(*words):
    return subprocess.run([PROGRAM, "export", *map(str, words)], capture_output=True, text=True, timeout=300)


def test_the_command_refuses_wrong_places(schema, tmp_path):
    with Mesh.open(tmp_path / "data", schema) as mesh:
        mesh.create_site("campus").apply(Change(put_twins=(twin(1),)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("stays")
    words = ("--format", "neo4j-import", "--data", tmp_path / "data")
    for further, code in (
        ((), 2),
        (("--out", tmp_path / "full"), 1),
        (("--out", tmp_path / "x", "--site", "no"), 1),
    ):
        done = run(*words, *further)
        assert done.returncode == code, done.stderr
    assert "EXPORT_OUT" in run(*words, "--out", tmp_path / "full").stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious"]

"""Sites brought from files to Neo4j and back: broken off and gone on with, equal to the last hash."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from graph.journals import LocalJournals
from graph.mesh import Mesh, open_folder
from graph.stores.choosing import open_journals
from graph.transferring import transfer
from graph.values import Change, TwinRecord, Value
from ontology.errors import StoreError

BASE = "https://twinmesh.invalid/campus/"
PROGRAM = str(Path(sys.executable).parent / "twinmesh")


@pytest.fixture
def filled(tmp_path, schema):
    """A folder with a site of 30 commits, each answered to a key."""
    kind = schema.kind("brick:AHU").iri
    with Mesh.open(tmp_path / "files", schema) as mesh:
        twin = mesh.create_site("campus")
        for number in range(30):
            record = TwinRecord(
                f"{BASE}{number % 11}", (kind,), f"n{number}", None, {"note": Value(str(number))}
            )
            twin.apply(Change(put_twins=(record,), idempotency_key=f"k{number}"))
    return tmp_path / "files"


@pytest.fixture
def stores(neo4j, tmp_path):
    journals = open_journals(tmp_path / "scratch", neo4j.url, password=neo4j.password)
    yield journals
    journals.close()


class BrokenOff(Exception):
    pass


def test_a_transfer_goes_on_where_it_broke_off(filled, stores, schema, monkeypatch, tmp_path):
    monkeypatch.setattr("graph.migrating._COMMITS_AT_ONCE", 4)
    local = LocalJournals(filled).journal("campus")
    open_folder(tmp_path / "back", read_only=False)
    (tmp_path / "back" / "sites" / "campus").mkdir()
    back = LocalJournals(tmp_path / "back").journal("campus")
    hashes = []
    for source, target in ((local, stores.journal("campus")), (stores.journal("campus"), back)):
        for pieces in (1, 3, None):
            hashes.append(_pieces(source, target, schema, pieces))
    assert [hashes[0], hashes[1], hashes[3], hashes[4]] == [None] * 4
    assert hashes[2] == hashes[5] and hashes[2].revision == 30 and hashes[2].began == 16
    with closing(back.open_reader()) as copy, closing(local.open_reader()) as first:
        assert list(copy.entries()) == list(first.entries())
        assert list(copy.answers()) == list(first.answers()) and len(list(copy.answers())) == 30


def _pieces(source, target, schema, pieces):
    """Transfer, broken off after so many pieces."""
    seen = []

    def told(sequence):
        seen.append(sequence)
        if pieces is not None and len(seen) == pieces:
            raise BrokenOff

    with (
        closing(source.open_reader()) as reader,
        closing(target.open_writer("campus", reader.header.base)) as writer,
    ):
        try:
            return transfer(reader, writer, schema, told)
        except BrokenOff:
            return None


def test_a_target_that_holds_something_else_is_left_alone(filled, stores, schema):
    kind = schema.kind("brick:VAV").iri
    other = filled.parent / "other"
    with Mesh.open(other, schema) as mesh:
        mesh.create_site("campus").apply(Change(put_twins=(TwinRecord(BASE + "x", (kind,)),)))
    target = stores.journal("campus")
    with (
        closing(LocalJournals(other).journal("campus").open_reader()) as reader,
        closing(target.open_writer("campus", None)) as writer,
    ):
        transfer(reader, writer, schema)
    with (
        closing(LocalJournals(filled).journal("campus").open_reader()) as reader,
        closing(target.open_writer("campus", None)) as writer,
        pytest.raises(StoreError) as caught,
    ):
        transfer(reader, writer, schema)
    assert caught.value.code == "MIGRATION_FOREIGN"
    assert target.open_reader().head().sequence == 1


def test_the_command_brings_a_folder_there_and_back(filled, neo4j, environment, tmp_path):
    told = []
    for source, target in ((filled, neo4j.url), (neo4j.url, tmp_path / "back")):
        words = ("migrate", "--from", str(source), "--to", str(target), "--json")
        done = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(json.loads(done.stdout)["sites"])
    assert told[0] == told[1] and told[0][0]["revision"] == "30"

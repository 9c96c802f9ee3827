"""Data folders whose journals are in the real Neo4j of the suite, and what its graph holds."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from ontology.schema import load_schema
from ontology.units import load_units

sys.path.insert(0, str(Path(__file__).parent))  # what these tests share lies beside them


@pytest.fixture(scope="session")
def schema():
    return load_schema()


@pytest.fixture
def open_mesh(neo4j, tmp_path, schema):
    """Opens meshes on the one Neo4j, each `name` with a folder of its own; closes them at the end."""
    units = load_units()
    with ExitStack() as stack:

        def open_one(name="first", *, read_only=False, password=None, take_over=False):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "twinmesh.toml").write_text("format = 1\n")
            secret = password or neo4j.password
            journals = open_journals(folder, neo4j.url, password=secret, take_over=take_over)
            undo = ExitStack()
            undo.callback(journals.close)
            with undo:
                mesh = Mesh.open(folder, schema, units=units, read_only=read_only, journals=journals)
                undo.pop_all()
            stack.callback(mesh.close)
            return mesh

        yield open_one


@pytest.fixture
def environment(neo4j):
    """For child processes whose folder's settings name the Neo4j by the environment."""
    named = {"TWINMESH_STORE__URL": neo4j.url, "TWINMESH_STORE__PASSWORD": neo4j.password}
    return {**os.environ, **named}

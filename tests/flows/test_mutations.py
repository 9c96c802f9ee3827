"""Importers under attack: whatever stands in a file, it is read whole or refused as documented, and soon."""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pyoxigraph as ox
import pytest

from adapters.exporting import export_document
from adapters.importing import import_files
from adapters.model import ImportRequest
from adapters.sandbox import run_limited
from graph.mesh import Mesh
from ontology.errors import InputError

# Shared helpers; test modules have no names to import (import mode "importlib").
sys.path.append(str(Path(__file__).parent))
import mutation_helpers as mutations
from flow_helpers import one_schema, one_units, stay_in_process

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260101
LONG_FILES = 2000
PREFIXES = {"brick": "https://brickschema.org/schema/Brick#", "tm": "https://twinmesh.dev/ns#"}

DOCUMENTED = frozenset(
    re.findall(r"^\| `([A-Z0-9_]+)` \|", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.MULTILINE)
)
BY_PYTHON = re.compile(r"\(\w*(Error|Exception|Interrupt)\b")


class Tables:
    """CSV and RDF: read in this process and taken through the whole import; what is accepted goes round."""

    def __init__(self, folder: Path, files: dict[str, bytes], seed: int) -> None:
        self.folder, self.files, self.seed = folder, files, seed
        self.outcomes: Counter[str] = Counter()

    def attack(self, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        name = rng.choice(sorted(self.files))
        path = self.folder / name
        path.write_bytes(mutations.mutated(rng, self.files[name]))
        exported = self.import_into(f"data-{number}", path)
        if exported is not None:
            self.outcomes["read"] += 1
        if exported:  # a table without rows says nothing
            back = self.folder / "back.nq"
            back.write_bytes(exported)
            assert self.import_into(f"back-{number}", back) == exported, f"seed {self.seed}, file {number}"

    def import_into(self, name: str, path: Path) -> bytes | None:
        """What an export says after the import; None where the file was refused, which leaves nothing."""
        with Mesh.open(self.folder / name, one_schema(), units=one_units()) as mesh:
            report = import_files(mesh, [path], site="s", units=one_units(), source="m")
            for error in report.errors:
                assert error.code in DOCUMENTED and error.message, (path, error)
                self.outcomes[error.code] += 1
            assert mesh.sites == (() if report.errors else ("s",))
            return None if report.errors else export_document(mesh, "nq")


def rdf_files() -> dict[str, bytes]:
    """The Turtle file in every syntax."""
    quads = list(ox.parse(mutations.TURTLE.encode(), format=ox.RdfFormat.TURTLE))
    write = partial(ox.serialize, prefixes=PREFIXES)
    return {
        "m.ttl": mutations.TURTLE.encode(),
        "m.nq": write(quads, format=ox.RdfFormat.N_QUADS),
        "m.jsonld": write(quads, format=ox.RdfFormat.JSON_LD),
        "m.rdf": write([quad.triple for quad in quads], format=ox.RdfFormat.RDF_XML),
    }


@pytest.fixture
def tables(tmp_path, monkeypatch):
    stay_in_process(monkeypatch)
    return partial(Tables, tmp_path, {name: text.encode() for name, text in mutations.TABLES.items()})


@pytest.fixture
def rdf(tmp_path, monkeypatch):
    stay_in_process(monkeypatch)
    return partial(Tables, tmp_path, rdf_files())


def attack_ifc(folder: Path, model: Path, seed: int, numbers: range) -> Counter[str]:
    """What became of each mutated file. They share a child; one that kills it is met again alone."""
    content, paths = model.read_bytes(), []
    for number in numbers:
        paths.append(str(folder / f"{number}.ifc"))
        Path(paths[-1]).write_bytes(mutations.mutated_step(random.Random(f"{seed}/{number}"), content))
    request, log = ImportRequest("s", "https://twinmesh.invalid/s/", "m"), folder / "log"
    outcomes: Counter[str] = Counter()
    while paths:
        try:
            found = run_limited(
                mutations.read_files, log, paths, request, one_schema(), one_units(), cpu_s=120, wall_s=250
            )
        except InputError as error:
            found = log.read_text().splitlines()
            # A crash of the C++ library is met by the sandbox; an exception of ours is a bug.
            told = f"seed {seed}, file {paths[len(found)]}: {error}"
            assert error.code == "IMPORT_CRASHED" and not BY_PYTHON.search(error.hint or ""), told
            found.append(error.code)
        outcomes.update(found)
        paths = paths[len(found) :]
    for code in outcomes:
        assert code == "read" or code in DOCUMENTED, code
    return outcomes


def test_mutated_tables(tables):
    attacked = tables(SEED)
    for number in range(70):
        attacked.attack(number)
    assert {"read", "CSV_CELLS", "CSV_ENCODING", "KIND_UNKNOWN"} <= attacked.outcomes.keys()


def test_mutated_rdf(rdf):
    attacked = rdf(SEED)
    for number in range(70):
        attacked.attack(number)
    assert {"read", "RDF_SYNTAX"} <= attacked.outcomes.keys()


def test_mutated_ifc(tmp_path, shared_data):
    model = shared_data / "ifc-synthetic" / "synthetic_mep_defects.ifc"
    outcomes = attack_ifc(tmp_path, model, SEED, range(60))
    assert {"read", "IFC_DAMAGED"} <= outcomes.keys()
    assert outcomes.total() == 60


@pytest.mark.long
@pytest.mark.parametrize("format", ["tables", "rdf", "ifc"])
def test_mutations_by_the_thousand(request, tmp_path, shared_data, format):
    seed = int(os.environ.get("TWINMESH_SEED") or time.time_ns() % 1_000_000)
    ends = time.monotonic() + float(os.environ.get("TWINMESH_LONG_S") or 600) / 3
    attacked = None if format == "ifc" else request.getfixturevalue(format)(seed)
    outcomes = attacked.outcomes if attacked else Counter()
    model = shared_data / "ifc-synthetic" / "synthetic_mep_defects.ifc"
    done, step = 0, 1 if attacked else 100
    while done < LONG_FILES and time.monotonic() < ends:
        if attacked:
            attacked.attack(done)
        else:
            outcomes += attack_ifc(tmp_path, model, seed, range(done, done + step))
        done += step
    print(f"mutations of {format}: {done} of {LONG_FILES} files, seed {seed}, {dict(outcomes.most_common())}")
    assert outcomes["read"] > 0

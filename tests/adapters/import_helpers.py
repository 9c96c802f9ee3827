"""A data folder with small files to import, and shortcuts into what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pyoxigraph import CanonicalizationAlgorithm, Dataset, Quad, RdfFormat, parse

from adapters.exporting import export_document
from adapters.importing import import_files
from adapters.model import ImportRequest
from graph.mesh import Mesh
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from adapters.importing import ImportReport
    from graph.snapshot import Snapshot
    from graph.values import RelationshipRecord, TwinRecord

SCHEMA = load_schema()
UNITS = load_units()
BASE = "https://twinmesh.invalid/plant/"
REQUEST = ImportRequest("plant", BASE, "file")
PREFIXES = """
@prefix brick: <https://brickschema.org/schema/Brick#> . @prefix rec: <https://w3id.org/rec#> .
@prefix tm: <https://twinmesh.dev/ns#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix ref: <https://brickschema.org/schema/Brick/ref#> . @prefix unit: <http://qudt.org/vocab/unit/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix tma: <https://twinmesh.dev/attribute#> . @prefix tmx: <https://twinmesh.dev/external#> .
@prefix ex: <http://example.org/v#> . @base <https://twinmesh.invalid/plant/> .
"""


@dataclass
class Place:
    """A folder of files beside a data folder."""

    folder: Path

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh.open(self.folder / "data", SCHEMA, units=UNITS)

    def close(self) -> None:
        if "mesh" in self.__dict__:
            self.mesh.close()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, *paths: Path, site: str = "plant", **options: object) -> ImportReport:
        return import_files(self.mesh, paths, site=site, units=UNITS, **options)  # type: ignore[arg-type]

    def take(self, site: str = "plant", **texts: str) -> ImportReport:
        """Import texts: `twins_csv="..."` is a file twins.csv."""
        paths = [self.write(name.replace("_", ".", 1), text) for name, text in texts.items()]
        return self.load(*paths, site=site)

    def snapshot(self, site: str = "plant") -> Snapshot:
        return self.mesh.twin(site).snapshot()

    def twin(self, text: str, site: str = "plant") -> TwinRecord:
        snapshot = self.snapshot(site)
        return snapshot.record(snapshot.find(text))

    def twins(self, site: str = "plant") -> set[str]:
        """Local ids of living twins."""
        snapshot = self.snapshot(site)
        return {snapshot.local_id(row) for row in range(snapshot.size) if snapshot.alive[row]}

    def relationships(self, site: str = "plant") -> list[RelationshipRecord]:
        snapshot = self.snapshot(site)
        return [
            snapshot.relationship(edge) for edge in range(snapshot.edge_count) if snapshot.edge_alive[edge]
        ]

    def export(self, format: str = "nq", site: str | None = "plant", *, rdf12: bool = False) -> bytes:
        return export_document(self.mesh, format, site=site, rdf12=rdf12)


def quads(text: bytes | str, format: RdfFormat = RdfFormat.TURTLE, base: str = BASE) -> list[Quad]:
    return [quad for quad in parse(text, format, base_iri=base) if isinstance(quad, Quad)]


def triples(text: bytes | str, format: RdfFormat = RdfFormat.TURTLE, base: str = BASE) -> list[Quad]:
    return [Quad(quad.subject, quad.predicate, quad.object) for quad in quads(text, format, base)]


def isomorphic(first: Iterable[Quad], second: Iterable[Quad]) -> bool:
    """By RDFC-1.0, which shares nothing with our own labels."""
    datasets = [Dataset(first), Dataset(second)]
    for dataset in datasets:
        dataset.canonicalize(CanonicalizationAlgorithm.RDFC_1_0)
    return datasets[0] == datasets[1]


def codes(report: ImportReport) -> list[str]:
    return [problem.code for problem in report.errors]

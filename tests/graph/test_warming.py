"""After a warm-up nothing is left to be made by the first question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.mesh import Mesh
from graph.reaching import from_base, from_piece
from graph.values import Change, TwinRecord
from graph.warming import warm_up

if TYPE_CHECKING:
    from pathlib import Path

    from ontology.schema import Schema
    from ontology.units import Units


def test_a_folder_with_and_without_sites(tmp_path: Path, schema: Schema, units: Units) -> None:
    with Mesh.open(tmp_path / "data", schema, units=units) as mesh:
        warm_up(mesh)
        kind = (schema.kind("tm:Asset").iri,)
        for site in ("one", "two"):
            twin = mesh.create_site(site)
            names = [f"https://twinmesh.invalid/{site}/{name}" for name in "ba"]
            twin.apply(Change(put_twins=tuple(TwinRecord(name, kind, name) for name in names)))
        warm_up(mesh)
        ids = mesh.snapshot().twins.ids
        assert ids.iris(ids.ranking().order) == sorted(ids.iris(ids.ranking().order))
        assert ids.ranking() is ids.ranking()


def test_kernels_are_compiled_for_what_walks_give_them(tmp_path: Path, schema: Schema, units: Units) -> None:
    with Mesh.open(tmp_path / "data", schema, units=units) as mesh:
        warm_up(mesh)
    for kernel in (from_base, from_piece):
        assert len(getattr(kernel, "signatures", ())) >= 1

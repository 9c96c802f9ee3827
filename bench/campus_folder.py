"""The campus of the notes as a data folder with hundreds of commits, as imports would have made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.campus_data import POWER_UNIT, Spec
from bench.stores.twinmesh_engine import POWER, WEIGHT
from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns
from graph.content import content_of
from graph.mesh import Mesh
from graph.values import Change

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from bench.campus_data import Graph
    from graph.content import Content
    from ontology.schema import Schema

ROWS_PER_COMMIT = 5_000


def make_campus(folder: Path, schema: Schema, buildings: int) -> tuple[Content, tuple[int, int], int]:
    """The content of the site that was made, how many twins and relationships it has, and its revision."""
    graph = Spec("campus", buildings).make()
    with Mesh.open(folder, schema) as mesh:
        twin = mesh.create_site("campus")
        for first in range(0, graph.twins, ROWS_PER_COMMIT):
            twin.apply(_twins(graph, slice(first, min(first + ROWS_PER_COMMIT, graph.twins))))
        for first in range(0, graph.relationships, ROWS_PER_COMMIT):
            twin.apply(_links(graph, slice(first, min(first + ROWS_PER_COMMIT, graph.relationships))))
        snapshot = twin.snapshot()
        counts = (len(snapshot.living_rows), int(snapshot.edge_alive.sum()))
        assert counts == (graph.twins, graph.relationships)
        return content_of(snapshot), counts, snapshot.revision


def _twins(graph: Graph, part: slice) -> Change:
    block = TwinColumns(
        count=part.stop - part.start,
        kind_sets=tuple((kind,) for kind in graph.kinds),
        kinds=graph.kind[part],
        names=graph.names[part],
        attributes=_numbers(POWER, graph.power[part], POWER_UNIT),
    )
    return Change(columns=Columns(graph.ids[part], (block,)))


def _links(graph: Graph, part: slice) -> Change:
    """Their ends are named and not put: they are there already."""
    ends, places = np.unique(np.concatenate((graph.source[part], graph.target[part])), return_inverse=True)
    half = part.stop - part.start
    block = RelationshipColumns(
        sources=places[:half].astype(np.int32),
        targets=places[half:].astype(np.int32),
        relation_names=graph.relations,
        relations=graph.relation[part],
        attributes=_numbers(WEIGHT, graph.weight[part], None),
    )
    places_named: list[int] = ends.tolist()
    ids = [graph.ids[end] for end in places_named]
    return Change(columns=Columns(ids, (), (block,)))


def _numbers(name: str, values: npt.NDArray[np.float64], unit: str | None) -> tuple[AttributeColumn, ...]:
    stated = np.flatnonzero(~np.isnan(values)).astype(np.int32)
    return (AttributeColumn(name, values[stated], stated, unit),) if len(stated) else ()

"""The right answers, from the columns themselves with SciPy and numpy: no engine is another's judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from bench.stores.engine import digest, digest_of_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from bench.campus_data import Graph


def twin_row(graph: Graph, row: int) -> tuple[str, str, str, float | None]:
    power = float(graph.power[row])
    return graph.ids[row], graph.kinds[graph.kind[row]], graph.names[row], None if np.isnan(power) else power


def looked_up(graph: Graph, rows: Sequence[int]) -> str:
    return digest([twin_row(graph, row) for row in rows])


def downstream(graph: Graph) -> tuple[int, str]:
    """How many, and the digest of their ids."""
    walked = graph.relation == graph.walked
    source, target = graph.source[walked], graph.target[walked]
    shape = (graph.twins, graph.twins)
    matrix = csr_array((np.ones(len(source), np.int8), (source, target)), shape=shape)
    reached = breadth_first_order(matrix, graph.start, return_predecessors=False)[1:]
    return len(reached), digest_of_ids([graph.ids[row] for row in reached])


def nested(graph: Graph, relations: Sequence[int]) -> tuple[int, str]:
    """How many leaves, and their digest."""
    part_of, located_in, point_of = (_far_end(graph, relation) for relation in relations)
    points = np.flatnonzero(point_of >= 0)
    machines = point_of[points]
    rooms = located_in[machines]
    floors = part_of[rooms]
    asked = np.isin(floors, graph.floors)
    columns = [column[asked].tolist() for column in (floors, rooms, machines, points)]
    leaves: list[list[Any]] = [
        [*(graph.ids[row] for row in rows), graph.names[rows[-1]]] for rows in zip(*columns, strict=True)
    ]
    return len(leaves), digest(sorted(leaves))


def _far_end(graph: Graph, relation: int) -> npt.NDArray[np.int32]:
    """int32[n]: where the one relationship of this relation leads from each twin, -1 where there is none."""
    ends = np.full(graph.twins, -1, np.int32)
    mine = graph.relation == relation
    ends[graph.source[mine]] = graph.target[mine]
    return ends

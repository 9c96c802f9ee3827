"""twinmesh in process: one `Twin`, written by `apply`, read through its snapshots.

Every write is checked against the vocabulary and chained into the journal, which no peer does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson

from bench.campus_data import POWER_UNIT
from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns
from graph.twin import Twin
from graph.values import Change, ItemStatus, TwinRecord, Value, Way
from graph.view import Budget, View
from graph.walking import depths_from
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from bench.campus_data import Graph
    from bench.stores.engine import Nested, TwinRow
    from graph.snapshot import Snapshot
    from graph.twin import Memory

    Rows = npt.NDArray[np.int32]

POWER = "ratedPower"
WEIGHT = "weight"
_NO_LIMIT = 1 << 40


class TwinmeshEngine:
    _twin: Twin

    def load(self, folder: Path, graph: Graph) -> None:
        with Twin.open(folder, load_schema(), site=graph.site) as twin:
            applied = twin.apply(bulk_change(graph))
            assert sum(block.created for block in applied.twin_blocks) == graph.twins
            assert sum(block.created for block in applied.relationship_blocks) == graph.relationships

    def open(self, folder: Path) -> None:
        self._units = load_units()
        self._twin = Twin.open(folder, load_schema(), site=folder.name, units=self._units)

    def look_up(self, twin: str) -> TwinRow:
        snapshot = self._twin.snapshot()
        record = snapshot.record(snapshot.row(twin))
        power = record.attributes.get(POWER)
        value = None if power is None else power.value
        assert record.name is not None and not isinstance(value, str | list | dict)
        return record.id, record.kinds[0], record.name, value

    def nested(self, question: Nested) -> bytes:
        snapshot = self._twin.snapshot()
        floors = np.array([snapshot.row(floor) for floor in question.floors], np.int32)
        rooms, room_ends = _inward(snapshot, floors, question.part_of)
        machines, machine_ends = _inward(snapshot, rooms, question.located_in)
        points, point_ends = _inward(snapshot, machines, question.point_of)
        leaves = [
            {"id": iri, "name": name}
            for iri, name in zip(snapshot.ids(points), snapshot.names(points), strict=True)
        ]
        tree = _branches(snapshot.ids(machines), "points", leaves, point_ends)
        tree = _branches(snapshot.ids(rooms), "machines", tree, machine_ends)
        return orjson.dumps(_branches(question.floors, "rooms", tree, room_ends))

    def downstream(self, start: str, relation: str) -> Sequence[str]:
        budget = Budget(nodes_max=_NO_LIMIT, wall_s=_NO_LIMIT)
        view = View(self._twin.snapshot(), self._units, budget)
        depth_of, _ = depths_from(view, view.find_all([start]), [view.trail(relation, Way.OUT)])
        return view.snapshot.ids(np.flatnonzero(depth_of > 0))

    def write(self, twin: str, power: float) -> None:
        record = TwinRecord(twin, attributes={POWER: Value(power, POWER_UNIT)})
        applied = self._twin.apply(Change(merge_twins=(record,)))
        assert [item.status for item in applied.items] == [ItemStatus.UPDATED]

    def close(self) -> None:
        self._twin.close()

    def memory(self) -> Memory:
        return self._twin.memory()


def bulk_change(graph: Graph) -> Change:
    """All of a graph as one change."""
    twins = TwinColumns(
        count=graph.twins,
        kind_sets=tuple((kind,) for kind in graph.kinds),
        kinds=graph.kind,
        names=graph.names,
        attributes=_numbers(POWER, graph.power, POWER_UNIT),
    )
    relationships = RelationshipColumns(
        sources=graph.source,
        targets=graph.target,
        relation_names=graph.relations,
        relations=graph.relation,
        attributes=_numbers(WEIGHT, graph.weight, None),
    )
    blocks = (relationships,) if graph.relationships else ()
    return Change(columns=Columns(graph.ids, (twins,), blocks))


def _numbers(name: str, values: npt.NDArray[np.float64], unit: str | None) -> tuple[AttributeColumn, ...]:
    stated = np.flatnonzero(~np.isnan(values)).astype(np.int32)
    return (AttributeColumn(name, values[stated], stated, unit),) if len(stated) else ()


def _inward(snapshot: Snapshot, rows: Rows, relation: str) -> tuple[Rows, list[int]]:
    """What points at some rows by a relation, row after row, and where the part of each row ends."""
    wanted = snapshot.schema.relations_below(snapshot.schema.relation(relation).index)
    edges, owner = snapshot.expand(rows, Way.IN, wanted)
    ends = np.cumsum(np.bincount(owner, minlength=len(rows)))
    return snapshot.edges.source.take(edges), ends.tolist()


def _branches(
    ids: Sequence[str], name: str, parts: list[dict[str, object]], ends: list[int]
) -> list[dict[str, object]]:
    begins = [0, *ends[:-1]]
    return [{"id": iri, name: parts[begin:end]} for iri, begin, end in zip(ids, begins, ends, strict=True)]

"""networkx: dicts in memory, breadth-first search over its adjacency by hand (faster than its own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import networkx as nx
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.campus_data import Graph
    from bench.stores.engine import Nested, TwinRow


class NetworkxEngine:
    """Nothing is on disk: `load` is all there is, `open` finds what was loaded."""

    def load(self, folder: Path, graph: Graph) -> None:
        made: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        kinds = graph.kinds
        columns = zip(graph.ids, graph.kind.tolist(), graph.names, graph.power.tolist(), strict=True)
        made.add_nodes_from(
            (iri, {"kind": kinds[kind], "name": name, "power": power}) for iri, kind, name, power in columns
        )
        ids, relations = graph.ids, graph.relations
        ends = graph.source.tolist(), graph.target.tolist()
        made.add_edges_from(
            (ids[source], ids[target], relations[relation], {"weight": weight})
            for source, target, relation, weight in zip(
                *ends, graph.relation.tolist(), graph.weight.tolist(), strict=True
            )
        )
        self._graph: Any = made

    def open(self, folder: Path) -> None:
        assert self._graph is not None

    def look_up(self, twin: str) -> TwinRow:
        data = self._graph.nodes[twin]
        power = data["power"]
        return twin, data["kind"], data["name"], power if power == power else None

    def nested(self, question: Nested) -> bytes:
        nodes, part_of, located_in, point_of = self._graph.nodes, *question.relations
        return orjson.dumps(
            [
                {
                    "id": floor,
                    "rooms": [
                        {
                            "id": room,
                            "machines": [
                                {
                                    "id": machine,
                                    "points": [
                                        {"id": point, "name": nodes[point]["name"]}
                                        for point in self._inward(machine, point_of)
                                    ],
                                }
                                for machine in self._inward(room, located_in)
                            ],
                        }
                        for room in self._inward(floor, part_of)
                    ],
                }
                for floor in question.floors
            ]
        )

    def _inward(self, twin: str, relation: str) -> Iterator[str]:
        return (other for other, keys in self._graph.pred[twin].items() if relation in keys)

    def downstream(self, start: str, relation: str) -> Sequence[str]:
        after = self._graph.succ
        seen, frontier = {start}, [start]
        while frontier:
            found = {other for one in frontier for other, keys in after[one].items() if relation in keys}
            frontier = list(found - seen)
            seen.update(frontier)
        seen.remove(start)
        return list(seen)

    def write(self, twin: str, power: float) -> None:
        self._graph.nodes[twin]["power"] = power

    def close(self) -> None:
        del self._graph

"""Ladybug (successor of Kuzu): one node table, one relationship table per relation, COPY from data frames.

Of several ways to ask, each question takes the one that was fastest here: SHORTEST with one collected list
for "all downstream" (rows take twice as long), one join for the nested rows (a query per floor: ten times).
One table for all twins, because an id alone must find its twin: over a table per kind that takes 43 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ladybug
import numpy as np
import orjson
import pandas as pd

from bench.stores.nesting import nest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.campus_data import Graph
    from bench.stores.engine import Nested, TwinRow

FILE = "graph.lbug"
# The default would reserve 80 % of the memory.
BUFFER_POOL_BYTES = 4 << 30
# Longer than any chain in the data; the walk itself ends where nothing new is met.
STEPS_MAX = 30
_NESTED = """
MATCH (f:Twin)<-[:{0}]-(r:Twin)<-[:{1}]-(m:Twin)<-[:{2}]-(p:Twin)
WHERE f.id IN $floors RETURN f.id, r.id, m.id, p.id, p.name
"""
_DOWNSTREAM = """
MATCH (a:Twin {{id: $id}})-[:{0}* SHORTEST 1..{1}]->(b:Twin) RETURN collect(b.id)
"""


class LadybugEngine:
    _database: ladybug.Database
    _connection: ladybug.Connection

    def load(self, folder: Path, graph: Graph) -> None:
        self._connect(folder)
        self._run("CREATE NODE TABLE Name (number INT64 PRIMARY KEY, iri STRING)")
        self._copy("Name", pd.DataFrame({"number": np.arange(len(graph.kinds)), "iri": graph.kinds}))
        self._run("CREATE NODE TABLE Twin (id STRING PRIMARY KEY, kind INT64, name STRING, power DOUBLE)")
        columns = {"id": graph.ids, "kind": graph.kind, "name": graph.names, "power": graph.power}
        self._copy("Twin", pd.DataFrame(columns))
        ids = np.array(graph.ids, object)
        for number, relation in enumerate(graph.relations):
            table, mine = _table(relation), graph.relation == number
            self._run(f"CREATE REL TABLE {table} (FROM Twin TO Twin, weight DOUBLE)")
            columns = {
                "from": ids[graph.source[mine]],
                "to": ids[graph.target[mine]],
                "weight": graph.weight[mine],
            }
            if mine.any():
                self._copy(table, pd.DataFrame(columns))
        self.close()

    def open(self, folder: Path) -> None:
        self._connect(folder)
        self._kind_of = dict(self._run("MATCH (n:Name) RETURN n.number, n.iri"))

    def look_up(self, twin: str) -> TwinRow:
        asked = "MATCH (t:Twin {id: $id}) RETURN t.id, t.kind, t.name, t.power"
        [[iri, kind, name, power]] = self._run(asked, id=twin)
        return iri, self._kind_of[kind], name, power

    def nested(self, question: Nested) -> bytes:
        text = _NESTED.format(*map(_table, question.relations))
        return orjson.dumps(nest(self._run(text, floors=list(question.floors))))

    def downstream(self, start: str, relation: str) -> Sequence[str]:
        [[ids]] = self._run(_DOWNSTREAM.format(_table(relation), STEPS_MAX), id=start)
        return ids

    def write(self, twin: str, power: float) -> None:
        asked = "MATCH (t:Twin {id: $id}) SET t.power = $power RETURN t.power"
        assert self._run(asked, id=twin, power=power) == [[power]]

    def close(self) -> None:
        self._connection.close()
        self._database.close()

    def _connect(self, folder: Path) -> None:
        self._database = ladybug.Database(folder / FILE, buffer_pool_size=BUFFER_POOL_BYTES)
        self._connection = ladybug.Connection(self._database)

    def _run(self, text: str, **parameters: Any) -> list[Any]:
        result = self._connection.execute(text, parameters)
        assert isinstance(result, ladybug.QueryResult)
        return result.get_all()

    def _copy(self, table: str, frame: pd.DataFrame) -> None:
        self._run(f"COPY {table} FROM $frame", frame=frame)


def _table(relation: str) -> str:
    return relation.rpartition("#")[2]

"""Raw sqlite3: two tables and three indexes, WAL, synchronous=FULL."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import orjson

from bench.stores.nesting import nest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from bench.campus_data import Graph
    from bench.stores.engine import Nested, TwinRow

FILE = "graph.sqlite"
MAPPED_BYTES = 256 << 20
_TABLES = """
CREATE TABLE name (number INTEGER PRIMARY KEY, iri TEXT NOT NULL);
CREATE TABLE twin (number INTEGER PRIMARY KEY, id TEXT NOT NULL, kind INTEGER, name TEXT, power REAL);
CREATE TABLE relationship (source INTEGER, target INTEGER, relation INTEGER, weight REAL);
"""
# Made after the rows, which is the faster order.
_INDEXES = """
CREATE UNIQUE INDEX twin_id ON twin (id);
CREATE INDEX relationship_source ON relationship (source);
CREATE INDEX relationship_target ON relationship (target);
"""
_LOOK_UP = "SELECT id, iri, name, power FROM twin JOIN name ON name.number = kind WHERE id = ?"
_NESTED = """
SELECT f.id, r.id, m.id, p.id, p.name
FROM twin f
JOIN relationship a ON a.target = f.number AND a.relation = ? JOIN twin r ON r.number = a.source
JOIN relationship b ON b.target = r.number AND b.relation = ? JOIN twin m ON m.number = b.source
JOIN relationship c ON c.target = m.number AND c.relation = ? JOIN twin p ON p.number = c.source
WHERE f.id IN ({marks})
"""
_DOWNSTREAM = """
WITH RECURSIVE reached(number) AS (
    SELECT number FROM twin WHERE id = ?1
    UNION
    SELECT target FROM reached JOIN relationship ON source = reached.number AND relation = ?2
)
SELECT id FROM reached JOIN twin USING (number) WHERE id <> ?1
"""


class SqliteEngine:
    indexes: Sequence[str] = _INDEXES.strip().split(";\n")
    _connection: sqlite3.Connection
    _number_of: dict[str, int]

    def load(self, folder: Path, graph: Graph) -> None:
        connection = _connect(folder)
        connection.executescript(_TABLES)
        names = [*graph.kinds, *graph.relations]
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO name VALUES (?, ?)", enumerate(names))
            power = _nulls(graph.power)
            twins = zip(range(graph.twins), graph.ids, graph.kind.tolist(), graph.names, power, strict=True)
            connection.executemany("INSERT INTO twin VALUES (?, ?, ?, ?, ?)", twins)
            relation = (graph.relation + len(graph.kinds)).tolist()
            weight = _nulls(graph.weight)
            ends = graph.source.tolist(), graph.target.tolist()
            connection.executemany(
                "INSERT INTO relationship VALUES (?, ?, ?, ?)", zip(*ends, relation, weight, strict=True)
            )
            for statement in self.indexes:
                connection.execute(statement)
        connection.close()

    def open(self, folder: Path) -> None:
        self._connection = _connect(folder)
        self._number_of = dict(self._connection.execute("SELECT iri, number FROM name"))

    def look_up(self, twin: str) -> TwinRow:
        return self._connection.execute(_LOOK_UP, (twin,)).fetchone()

    def nested(self, question: Nested) -> bytes:
        relations = [self._number_of[relation] for relation in question.relations]
        text = _NESTED.format(marks=", ".join("?" * len(question.floors)))
        return orjson.dumps(nest(self._connection.execute(text, (*relations, *question.floors))))

    def downstream(self, start: str, relation: str) -> Sequence[str]:
        found = self._connection.execute(_DOWNSTREAM, (start, self._number_of[relation]))
        return [one for (one,) in found]

    def write(self, twin: str, power: float) -> None:
        # Without an open transaction every statement is one of its own, synced before it returns.
        done = self._connection.execute("UPDATE twin SET power = ? WHERE id = ?", (power, twin))
        assert done.rowcount == 1

    def close(self) -> None:
        self._connection.close()


class BareSqliteEngine(SqliteEngine):
    """Rows alone: the fastest load, but a look-up or a walk would read whole tables. Only ever loaded."""

    indexes: Sequence[str] = ()


def _nulls(values: npt.NDArray[np.float64]) -> list[float | None]:
    """NaN as NULL."""
    found: list[float | None] = values.tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        found[place] = None
    return found


def _connect(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    return connection

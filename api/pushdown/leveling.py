"""Walks that Neo4j cannot do by itself, level by level: one short statement for each depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from api.pushdown.statement import Statement
from graph.stores.neo4j.script import refuse
from graph.stores.neo4j.walks import MET_MAX, next_level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from api.pushdown.reading import Reading, Row
    from api.pushdown.roots import Run
    from graph.stores.neo4j.walks import Leg

    Numbers = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Levels:
    """One walk.

    end: makes the answer, or the next statement, of the numbers of the nodes first met at depths 1, 2, ...
    until: a node at whose depth the walk may end.
    """

    run: Run
    legs: Sequence[Leg]
    depth_max: int | None
    end: Callable[[Sequence[Sequence[int]], Reading], Any]
    until: int | None = None
    _met: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    _levels: list[list[int]] = field(default_factory=list[list[int]])

    def begin(self, starts: Sequence[int], reading: Reading) -> Any:
        """The first statement of a walk from these nodes."""
        self._met = np.unique(np.array(starts, np.int64))
        return self._next(self._met, reading)

    def _next(self, frontier: Numbers, reading: Reading) -> Any:
        if not len(frontier) or len(self._levels) == self.depth_max:
            return self.end(self._levels, reading)
        script = self.run.writer().script
        text = next_level(script, self.legs, "$frontier")
        return Statement(text, {**script.values, "frontier": frontier.tolist()}, self._read)

    def _read(self, row: Row, reading: Reading) -> Any:
        found = np.unique(np.concatenate([np.array(each, np.int64) for each in row]))
        found = np.setdiff1d(found, self._met, assume_unique=True)
        self._met = np.union1d(self._met, found)
        if len(self._met) > MET_MAX:
            refuse(f"a walk that meets more than {MET_MAX:,} twins")
        if len(found):
            self._levels.append(found.tolist())
        if self.until is not None and self.until in found:
            return self.end(self._levels, reading)
        return self._next(found, reading)

"""The cause of each hit over many runs: the path from a root that came up most often.

Paths are counted by hash in a table of bounded size. Tables of blocks are merged in order of runs, so the
outcome does not depend on threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulation.cascade.causes import NO_EDGE
from simulation.world import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.cascade.causes import Causes
    from simulation.world import Int32s, Int64s, UInt64s

PATHS_MAX = 1 << 21
"""Paths that are kept before the rarest are dropped."""
PATHS_PER_TWIN = 8
"""Paths of one twin that survive such a drop."""
PATH_TWINS_MAX = 200
"""Longest path that is told; of a longer one the twins after the root are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """k different paths by ascending hash: where each ends, over which dependence, how often it came up."""

    path: UInt64s
    before: UInt64s
    twin: Int32s
    edge: Int32s  # NO_EDGE: the twin is a root
    count: Int64s

    @classmethod
    def none(cls) -> Paths:
        narrow = np.zeros(0, np.int32)
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint64), narrow, narrow, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.path)


def paths_of(causes: Causes, first_us: Int64s) -> Paths:
    """The paths of one block of runs; first_us int64[runs, n] says who was hit (below NEVER)."""
    run, twin = np.nonzero(first_us < NEVER)
    path, where, count = np.unique(causes.path[run, twin], return_index=True, return_counts=True)
    run, twin = run[where], twin[where]
    return Paths(
        path, causes.before[run, twin], twin.astype(np.int32), causes.edge[run, twin], count.astype(np.int64)
    )


def merged(tables: Sequence[Paths]) -> Paths:
    """One table of several; beyond PATHS_MAX only the most frequent paths of each twin stay."""
    everything = np.concatenate([table.path for table in tables])
    path, where, inverse = np.unique(everything, return_index=True, return_inverse=True)
    count = np.zeros(len(path), np.int64)
    np.add.at(count, inverse.reshape(-1), np.concatenate([table.count for table in tables]))
    whole = Paths(
        path,
        np.concatenate([table.before for table in tables])[where],
        np.concatenate([table.twin for table in tables])[where],
        np.concatenate([table.edge for table in tables])[where],
        count,
    )
    return whole if len(whole) <= PATHS_MAX else _pruned(whole)


def _pruned(paths: Paths) -> Paths:
    order = np.lexsort((paths.path, -paths.count, paths.twin))
    twin = paths.twin[order]
    first = np.searchsorted(twin, twin)
    keep = np.sort(order[np.arange(len(order)) - first < PATHS_PER_TWIN])
    return Paths(paths.path[keep], paths.before[keep], paths.twin[keep], paths.edge[keep], paths.count[keep])


class Explanation:
    """Answers "why" for any twin that was hit."""

    def __init__(self, paths: Paths, edge_source: Int32s, ids: Sequence[str]) -> None:
        """ids: of the twins, ascending; edge_source: of the world's dependences."""
        self._paths = paths
        self._edge_source = edge_source
        self._ids = ids
        order = np.lexsort((-paths.count, paths.twin))
        self._of_twin: dict[int, list[int]] = {}
        for row in order.tolist():
            self._of_twin.setdefault(int(paths.twin[row]), []).append(row)
        at = np.searchsorted(paths.path, paths.before)
        at[at == len(paths)] = 0
        found = (paths.path[at] == paths.before) if len(paths) else np.zeros(0, np.bool_)
        self._parent = np.where(found, at, -1)

    def why(self, twin: int) -> tuple[int, ...]:
        """Twins from the root to this one along its most frequent path; of several, the first by ids."""
        rows = self._of_twin.get(twin)
        if not rows:
            return (twin,)
        most = self._paths.count[rows[0]]
        tied = [row for row in rows if self._paths.count[row] == most][:PATHS_PER_TWIN]
        return min(map(self._walk, tied), key=lambda path: [self._ids[one] for one in path])

    def _walk(self, row: int) -> tuple[int, ...]:
        """The twins of one path, root first."""
        back: list[int] = []
        while row >= 0:
            back.append(int(self._paths.twin[row]))
            edge, parent = int(self._paths.edge[row]), int(self._parent[row])
            if edge != NO_EDGE and parent < 0:  # its source was not hit, or the path was dropped
                source = int(self._edge_source[edge])
                rows = [one for one in self._of_twin.get(source, ()) if source not in back]
                if not rows:
                    back.append(source)
                parent = rows[0] if rows else -1
            row = parent
        if len(back) > PATH_TWINS_MAX:
            back[PATH_TWINS_MAX - 1 : -1] = []
        return tuple(back[::-1])

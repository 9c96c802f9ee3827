"""Scope: which twins of a snapshot a principal may see. The one read filter beneath every door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from graph.csr import Found
    from graph.snapshot import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """visible: bool[size of the snapshot]; never True for a tombstone.

    A relationship is seen if both ends are.
    """

    visible: npt.NDArray[np.bool_]

    @classmethod
    def everything(cls, snapshot: Snapshot) -> Scope:
        return cls(snapshot.alive)

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        *,
        sites: Iterable[str] | None = None,
        kinds: Iterable[int] | None = None,
    ) -> Scope:
        """Twins of some sites (None: of all) that are of some kinds or of kinds below them (None: any)."""
        visible = snapshot.alive.copy()
        if sites is not None:
            wanted = set(sites)
            allowed = np.array([name in wanted for name in snapshot.sites], np.bool_)
            visible &= allowed[snapshot.site]
        if kinds is not None:
            of_kind = np.zeros(snapshot.size, np.bool_)
            for kind in kinds:
                of_kind[snapshot.rows_of_kind(kind)] = True
            visible &= of_kind
        return cls(visible)

    def __and__(self, other: Scope) -> Scope:
        """What both may see."""
        return Scope(self.visible & other.visible)

    def __or__(self, other: Scope) -> Scope:
        """What either may see: grants of one principal add up."""
        return Scope(self.visible | other.visible)

    def sees(self, row: int) -> bool:
        return row >= 0 and bool(self.visible[row])

    def filter(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Those of some rows that are visible, in their order."""
        return rows[self.visible[rows]]

    def edges(self, snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        """bool[edge_count]: living relationships of which both ends are visible."""
        ends = self.visible[snapshot.edge_source] & self.visible[snapshot.edge_target]
        return snapshot.edge_alive & ends

    def filter_found(self, snapshot: Snapshot, found: Found) -> Found:
        """What is left of `Snapshot.expand`: relationships of which both ends are visible."""
        edges, owner = found
        keep = self.visible[snapshot.sources(edges)] & self.visible[snapshot.targets(edges)]
        return edges[keep], owner[keep]

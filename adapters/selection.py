"""What an export holds: the rows and relationships of a snapshot that a principal may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.ids import is_iri, local_id_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.access import Scope
    from graph.snapshot import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The part of one site that goes out, in ascending order of ids.

    rows:  int32[], twins without the bare stubs of far ends (an import makes those again)
    edges: int32[], relationships
    whole: nothing of the site is hidden, so the kept RDF statements may go out as they stand
    """

    snapshot: Snapshot
    rows: npt.NDArray[np.int32]
    edges: npt.NDArray[np.int32]
    whole: bool

    @property
    def site(self) -> str:
        return self.snapshot.sites[0]

    @property
    def base(self) -> str:
        return self.snapshot.bases[0]

    def reference(self, iri: str) -> str:
        """How the site's own files would name a twin: its local id, or the IRI where there is none."""
        local_id = local_id_of(iri, self.base)
        return iri if is_iri(local_id) else local_id


def select(snapshot: Snapshot, scope: Scope | None = None) -> Selection:
    """What of a site's snapshot may go out; `scope` None is everything."""
    visible = snapshot.alive if scope is None else snapshot.alive & scope.visible
    rows = np.flatnonzero(visible & ~_bare_stubs(snapshot)).astype(np.int32)
    sources, targets = snapshot.edge_source, snapshot.edge_target
    edges = np.flatnonzero(snapshot.edge_alive & visible[sources] & visible[targets]).astype(np.int32)
    whole = bool((visible == snapshot.alive).all())
    by_id = np.argsort(np.array(snapshot.ids(rows), dtype=object), kind="stable")
    return Selection(snapshot, rows[by_id], edges, whole)


def _bare_stubs(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
    """bool[size]: far ends of relationships of which nothing is known but the id."""
    bare = snapshot.alive & (snapshot.kind == snapshot.schema.external_kind)
    for row in np.flatnonzero(bare):
        record = snapshot.record(int(row))
        bare[row] = not (record.attributes or record.name or record.external_ids or len(record.kinds) > 1)
    named = np.zeros(snapshot.size, np.bool_)
    named[snapshot.edge_source[snapshot.edge_alive]] = True
    named[snapshot.edge_target[snapshot.edge_alive]] = True
    return bare & named

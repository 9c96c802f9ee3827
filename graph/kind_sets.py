"""Which kinds the sets of kinds in a pool mean, resolved against one schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.pools import Pool
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class KindSets:
    """The pool of kind sets, resolved against one schema. All arrays are indexed by kind-set code.

    leading: int32[codes], index of the leading kind, -1 for none.
    members, owners: int32[k], every (kind, code) pair.
    """

    leading: npt.NDArray[np.int32]
    members: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]

    def mask(self, kinds: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """bool[codes]: sets with at least one of these kinds (bool[kinds of the schema])."""
        mask = np.zeros(len(self.leading), np.bool_)
        mask[self.owners[kinds[self.members]]] = True
        return mask


def resolve_kind_sets(pool: Pool[tuple[str, ...]], schema: Schema) -> KindSets:
    sets = pool.values(range(len(pool)))
    pairs: list[tuple[int, int]] = []
    leading = np.full(len(sets), -1, np.int32)
    for code, iris in enumerate(sets):
        found = [kind.index for kind in map(schema.kind_by_iri, iris or ()) if kind is not None]
        leading[code] = found[0] if found else -1
        pairs.extend((kind, code) for kind in found)
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return KindSets(leading, table[:, 0], table[:, 1])

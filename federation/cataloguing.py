"""The catalogue of a contract: which kinds and attributes of what it shows are in use, and no twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federation.asking import FORMAT, UNITS_MAX, Catalogue, SharedSite, Usage
from graph.cells import column_cells, units_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from federation.contract import Contract
    from federation.sharing import Shared
    from graph.attributes import Column


def catalogue_of(contract: Contract, shared: Shared) -> Catalogue:
    """For the partner of a contract that is in force."""
    snapshot = shared.snapshot
    rows = np.flatnonzero(shared.masks.shown)
    codes = snapshot.twins.kind_set.take(rows)
    sets = snapshot.pools.kind_sets
    external = snapshot.schema.kinds[snapshot.schema.external_kind].iri
    found = [sets.value(code) or () for code in np.unique(codes).tolist()]
    columns = snapshot.twins.attributes
    return Catalogue(
        format=FORMAT,
        release=contract.release.value,
        sites=tuple(SharedSite(snapshot.heads[n].name, snapshot.heads[n].base) for n in shared.sites),
        names=tuple(sorted(contract.attributes)),
        kind_sets=tuple(found),
        usage=tuple(
            use
            for name in sorted(columns)
            if (use := _usage(shared, name, columns[name], rows, codes)) is not None
        ),
        rows_per_answer=contract.rows_per_answer,
        shows_stubs=any(external in kinds for kinds in found),
    )


def _usage(
    shared: Shared,
    name: str,
    column: Column,
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int32],
) -> Usage | None:
    tags = column.tag.take(rows)
    has = tags != 0
    if not has.any():
        return None
    sets = shared.snapshot.pools.kind_sets
    kinds = {kind for code in np.unique(codes[has]).tolist() for kind in sets.value(code) or ()}
    units = units_of(column_cells(shared.snapshot, name, column, rows[has]))
    stated = tuple(sorted(units, key=str))[:UNITS_MAX]
    return Usage(name, tuple(sorted(kinds)), tuple(np.unique(tags[has]).tolist()), stated)

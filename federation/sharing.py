"""A snapshot as one partner may see it: what its contract does not name is not there.

Filters, searches and figures that run on it cannot tell a value that is hidden from one that never was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from federation.masks import edges_to, masks
from federation.opaque import veiled
from graph.columns import ConstantColumn
from graph.id_order import order_by_id
from graph.joined import MappedColumn
from graph.plan import POINT_VALUE
from graph.values import ValueType
from ontology.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from federation.contract import Contract, Grant, Purpose
    from federation.masks import Masks
    from federation.opaque import Names
    from graph.attributes import Column
    from graph.columns import Reader, Rows
    from graph.snapshot import Snapshot
    from graph.tables import TwinView

VALUE_TYPE: Final = "valueType"


@dataclass(frozen=True, eq=False)
class Shared:
    """What of one snapshot a partner may see.

    snapshot: with the columns of `masks.attributes` alone; its rows are those of the whole one, so it is read
    under `masks.scope` (rows) or `masks.counted_scope` (figures) only. edges: bool[edge_count], relationships
    that may leave: between twins that may, and from those to twins that the partner itself owns. sites: those
    of the contract, as places in `snapshot.heads`. names: where ids are opaque, as those of the snapshot are
    then; `real` has those of ours. types: `valueType` of points, where it is hidden.
    """

    snapshot: Snapshot
    masks: Masks
    edges: npt.NDArray[np.bool_]
    sites: tuple[int, ...]
    names: Names | None = None
    whole: Snapshot | None = None
    types: Column | None = None

    def tells_readings(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """bool[n]: of which twins it may be told how they are read; where types are hidden, numbers alone."""
        return np.ones(len(rows), np.bool_) if self.types is None else _are_numbers(self.types, rows)

    def real(self, iris: Sequence[str]) -> list[str]:
        """Our ids of twins that are told by these; for the ledger."""
        if self.whole is None:
            return list(iris)
        return self.whole.ids(self.snapshot.rows(list(iris)))

    def arranged(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Twins in the order in which they are told: where ids are opaque by these, so that no order of ours
        is told with them."""
        if self.names is None:
            return np.sort(rows)
        return rows[order_by_id(self.snapshot, rows, np.array([0, len(rows)], np.int64))]

    def arranged_edges(self, edges: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Relationships likewise."""
        if self.names is None or not len(edges):
            return np.sort(edges)
        rank = self.snapshot.twins.ids.ranking().rank
        ends = rank[self.snapshot.targets(edges)], rank[self.snapshot.sources(edges)]
        return edges[np.lexsort((self.snapshot.edges.relation.take(edges), *ends))]

    @cached_property
    def told(self) -> npt.NDArray[np.bool_]:
        """bool[size]: twins that figures may be over: where rows may leave, only those that would be believed
        if they did, whose IRI begins with the base of their site."""
        counted = self.masks.counted
        if not self.masks.shown.any():
            return counted
        rows = np.flatnonzero(counted)
        ids = (self.whole or self.snapshot).twins.ids
        for table in ids.tables(rows):
            base = self.snapshot.heads[table.site].base.encode()
            places = slice(None) if table.places is None else table.places
            rows[places] = np.where(table.strings.begin_with(base, table.numbers), rows[places], -1)
        mask = np.zeros(len(counted), np.bool_)
        mask[rows[rows >= 0]] = True
        return mask


def share(
    grant: Grant, snapshot: Snapshot, purpose: Purpose, now_ns: int, bases: Sequence[str] = ()
) -> Shared:
    """Compile a grant over a snapshot; bases: of the IRIs of the partner's own twins.

    AccessError CONTRACT_OPAQUE_NAMES where ids are to be opaque and the grant has no names.
    """
    found = masks(grant, snapshot, purpose, now_ns)
    owned = _owned(snapshot, tuple(bases))
    edges = found.edges | edges_to(grant, snapshot, found, owned)
    named = grant.contract.sites if grant.contract is not None else frozenset[str]()
    sites = tuple(place for place, site in enumerate(snapshot.sites) if site in named)
    types = None if VALUE_TYPE in found.attributes else snapshot.attribute(VALUE_TYPE)
    made = Shared(_masked(snapshot, found, grant.contract), found, edges, sites, types=types)
    if not grant.is_opaque:
        return made
    if grant.names is None:
        raise AccessError("there are no names for what is to be opaque", code="CONTRACT_OPAQUE_NAMES")
    hidden = veiled(made.snapshot, grant.names, found.counted, owned)
    return replace(made, snapshot=hidden, names=grant.names, whole=snapshot)


def _masked(snapshot: Snapshot, found: Masks, contract: Contract | None) -> Snapshot:
    """Parts too: what looks into single sites must not find more there."""
    return replace(
        snapshot,
        twins=_twins(snapshot, found, contract),
        edges=replace(snapshot.edges, attributes=_only(snapshot.edges.attributes, found)),
        residue={},
        parts=tuple(_masked(part, found, contract) for part in snapshot.parts),
        _rows_of_kind={},
        first_pages={},
    )


def _owned(snapshot: Snapshot, bases: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """bool[size]: stubs whose IRI begins with one of these bases."""
    owned = np.zeros(snapshot.size, np.bool_)
    if bases:
        stubs = snapshot.rows_of_kind(snapshot.schema.external_kind)
        named = [iri.startswith(bases) for iri in snapshot.ids(stubs)]
        owned[stubs[np.array(named, np.bool_)]] = True
    return owned


def _only(columns: Mapping[str, Column], found: Masks) -> dict[str, Column]:
    return {name: columns[name] for name in columns if name in found.attributes}


def _twins(snapshot: Snapshot, found: Masks, contract: Contract | None) -> TwinView:
    twins, names = snapshot.twins, found.attributes
    nothing: Reader[np.int32] = ConstantColumn(np.int32(0), twins.size)
    is_whole = {"name", "localId", "externalIds"} <= names
    return replace(
        twins,
        name=twins.name if "name" in names else nothing,
        local=twins.local if "localId" in names else nothing,
        external=twins.external if "externalIds" in names else nothing,
        origins=nothing,
        point_time=_times(snapshot, found, contract),
        attributes=_only(twins.attributes, found),
        # An index over names that are hidden would find by them.
        words=twins.words if is_whole else None,
    )


def _times(snapshot: Snapshot, found: Masks, contract: Contract | None) -> Reader[np.int64]:
    """When points were read last; 0 where that reading may not leave: no contract for it, or out of window.

    How the word of a reading is to be read follows from `valueType`: where that is hidden, only numbers go.
    """
    if contract is None or POINT_VALUE not in found.attributes:
        return ConstantColumn(np.int64(0), snapshot.size)
    begins, ends = contract.window_from_ns, contract.window_until_ns
    stated = None if VALUE_TYPE in found.attributes else snapshot.attribute(VALUE_TYPE)

    def within(rows: Rows, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        keep = np.ones(len(times), np.bool_) if begins is None else times >= begins
        keep &= True if ends is None else times < ends
        if stated is not None:
            keep &= _are_numbers(stated, rows)
        return np.where(keep, times, 0)

    return MappedColumn(snapshot.twins.point_time, within)


def _are_numbers(stated: Column, rows: Rows) -> npt.NDArray[np.bool_]:
    code = stated.pools.texts.find(ValueType.NUMBER)
    words, tags = stated.word.take(rows), stated.tag.take(rows)
    return (tags == 0) | (words == code)

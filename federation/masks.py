"""A grant over the columns of a snapshot: which twins, relationships and attributes may leave, as bitsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from federation.contract import Release
from graph.access import Scope

if TYPE_CHECKING:
    import numpy.typing as npt

    from federation.contract import Contract, Grant, Purpose
    from graph.snapshot import Snapshot
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """What of one snapshot may leave for one purpose.

    counted: bool[size], twins that figures may be over. shown: bool[size], twins that may leave themselves
    (none where only aggregates may). edges: bool[edge_count], relationships that may leave. attributes:
    names.
    """

    counted: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.bool_]
    edges: npt.NDArray[np.bool_]
    attributes: frozenset[str]

    @property
    def scope(self) -> Scope:
        """The filter beneath every door that tells rows. Intersect it with that of the user who asks."""
        return Scope(self.shown)

    @property
    def counted_scope(self) -> Scope:
        """The filter beneath aggregates, whose groups `Grant.may_group` judges."""
        return Scope(self.counted)


def masks(grant: Grant, snapshot: Snapshot, purpose: Purpose, now_ns: int) -> Masks:
    """Compile a grant; everything is False where it does not allow the purpose now.

    A twin may leave if its site is named and any of its kinds is a named one or below it; a relationship if
    both ends may, it lives in a named site, and its relation is a named one or below it.
    """
    contract = grant.contract
    if contract is None or not grant.allows(purpose, now_ns):
        none = np.zeros(snapshot.size, np.bool_)
        return Masks(none, none, np.zeros(snapshot.edge_count, np.bool_), frozenset())
    sites = np.array([name in contract.sites for name in snapshot.sites], np.bool_)
    of_kind = snapshot.kind_sets.mask(_kinds(contract, snapshot.schema))
    counted = snapshot.alive & sites[snapshot.site] & of_kind[snapshot.twins.kind_set.flat]
    if contract.release is not Release.ROWS:
        none = np.zeros(snapshot.size, np.bool_)
        return Masks(counted, none, np.zeros(snapshot.edge_count, np.bool_), contract.attributes)
    relations = _relations(contract, snapshot.schema)
    edges = Scope(counted).edges(snapshot) & relations[snapshot.edge_relation]
    return Masks(counted, counted, edges & sites[snapshot.edges.site.flat], contract.attributes)


def edges_to(
    grant: Grant, snapshot: Snapshot, found: Masks, foreign: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """bool[edge_count]: relationships between a twin that may leave and one that the partner itself owns.

    foreign: bool[size], stubs that stand for twins of the partner: it knows that end already, so only the
    other end, the relation and the site have to be shared. None where `found` allows none.
    """
    contract = grant.contract
    if contract is None or not found.shown.any():
        return np.zeros(snapshot.edge_count, np.bool_)
    sites = np.array([name in contract.sites for name in snapshot.sites], np.bool_)
    source, target = snapshot.edge_source, snapshot.edge_target
    ends = (found.shown[source] & foreign[target]) | (foreign[source] & found.shown[target])
    allowed = _relations(contract, snapshot.schema)[snapshot.edge_relation]
    return snapshot.edge_alive & ends & allowed & sites[snapshot.edges.site.flat]


def _kinds(contract: Contract, schema: Schema) -> npt.NDArray[np.bool_]:
    """bool[kinds]: named ones and all below. One that this schema lacks allows nothing."""
    allowed = np.zeros(len(schema.kinds), np.bool_)
    for iri in contract.kinds:
        kind = schema.kind_by_iri(iri)
        if kind is not None:
            allowed |= schema.kinds_below(kind.index)
    return allowed


def _relations(contract: Contract, schema: Schema) -> npt.NDArray[np.bool_]:
    """bool[relations]: named ones and all below."""
    allowed = np.zeros(len(schema.relations), np.bool_)
    for iri in contract.relations:
        relation = schema.relation_by_iri(iri)
        if relation is not None:
            allowed |= schema.relations_below(relation.index)
    return allowed

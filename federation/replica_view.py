"""A replica as a snapshot, to be read like that of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.drafting import draft_change
from graph.pools import Pools
from graph.stores.protocol import Header
from graph.values import Change, KindRecord
from graph.writer import new_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.replica import Replica
    from graph.snapshot import Snapshot
    from graph.values import RelationshipRecord, TwinRecord
    from ontology.schema import Schema


def replica_snapshot(replica: Replica, schema: Schema, pools: Pools | None = None) -> Snapshot:
    """The replica as it is now, at the peer's revision. In memory; nothing of it can be written.

    Taken as facts, as a journal is: the peer has checked them. Kinds that are unknown here stand for twins of
    no known kind; relationships of unknown relations are left out, as are those to twins of the site that the
    replica does not have (yet). pools: of a mesh, to be joined with its sites.
    """
    about = replica.about()
    twins = tuple(replica.twins())
    state = new_state(Header(about.site, about.base), schema, pools or Pools())
    kinds = tuple(KindRecord(iri, iri, placeholder=True) for iri in _unknown(twins, schema))
    links = _known(replica.links(), {twin.id for twin in twins}, about.base, schema)
    change = Change(put_twins=twins, put_relationships=tuple(links), put_kinds=kinds)
    state.execute(draft_change(state, change, None), about.revision, about.time_ns)
    return state.freeze()


def _unknown(twins: Iterable[TwinRecord], schema: Schema) -> list[str]:
    named = {iri for twin in twins for iri in twin.kinds}
    return sorted(iri for iri in named if schema.kind_by_iri(iri) is None)


def _known(
    links: Iterable[RelationshipRecord], here: set[str], base: str, schema: Schema
) -> Iterable[RelationshipRecord]:
    for link in links:
        ends = (link.source, link.target)
        is_whole = all(end in here or not end.startswith(base) for end in ends)
        if is_whole and schema.relation_by_iri(link.relation) is not None:
            yield link

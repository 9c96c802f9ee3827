"""State: the columns of one site and the one place that writes them.

Never shared between threads; snapshots are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.bulk_writing import write_bulk
from graph.draft import EdgeFields, TwinFields
from graph.ids import relationship_iri
from graph.keys import between
from graph.newest import Stamped, put_newest
from graph.old_ids import OldEdgeIds, old_digest_of
from graph.snapshot import SiteHead, Snapshot
from graph.tables import EdgeTable, TwinTable
from graph.values import ValueType, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.columns import PagedColumn
    from graph.csr import Found
    from graph.draft import Draft, EdgeDraft, TwinDraft
    from graph.pools import Pools
    from graph.tables import Attributes
    from graph.values import Readings, Value
    from ontology.schema import Schema


class State:
    """Twins, relationships and last readings of one site at one revision."""

    def __init__(self, site: str, base: str, schema: Schema, pools: Pools) -> None:
        self.site = site
        self.base = base
        self.schema = schema
        self.pools = pools
        self.twins = TwinTable(pools)
        self.edges = EdgeTable(pools)
        self._old_ids = OldEdgeIds()
        self.residue: dict[str, tuple[str, ...]] = {}
        self.revision = 0
        self.time_ns = 0

    # Reading

    def living_row(self, iri: str) -> int:
        row = self.twins.ids.row(iri)
        return row if row >= 0 and self.twins.alive.at(row) else -1

    def living_rows(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `living_row`, for all."""
        rows = self.twins.ids.rows_of(iris)
        return np.where((rows >= 0) & self.twins.alive.take(rows), rows, np.int32(-1))

    def twin_fields(self, row: int) -> TwinFields:
        twins, pools = self.twins, self.pools
        return TwinFields(
            kinds=pools.kind_sets.value(twins.kind_set.at(row)) or (),
            name=pools.texts.value(twins.name.at(row)),
            name_origin=pools.origins.value(twins.name_origin.at(row)),
            local_id=pools.texts.value(twins.local.at(row)),
            external_ids=pools.external_ids.value(twins.external.at(row)) or (),
            origins=pools.origin_sets.value(twins.origins.at(row)) or (),
        )

    def edge_fields(self, edge: int) -> EdgeFields:
        pools = self.pools
        return EdgeFields(
            stated=pools.texts.value(self.edges.stated.at(edge)),
            origins=pools.origin_sets.value(self.edges.origins.at(edge)) or (),
        )

    def edges_at(self, source: int, relation: int, target: int, group: str) -> tuple[int, ...]:
        """The relationships with these ends, dead ones included."""
        code = self.pools.texts.find(group) if group else 0
        return () if group and not code else self.edges.keys.by_ends(source, relation, target, code)

    def edges_with_own_id(self, own_id: str) -> tuple[int, ...]:
        """The relationships that ever had this explicit id, dead ones included."""
        code = self.pools.texts.find(own_id)
        found = self.edges.keys.own.rows(own_id) if code else ()
        return tuple(edge for edge in found if self.edges.own_id.at(edge) == code)

    def edge_with_id(self, iri: str) -> int:
        """The living relationship with this id, explicit or derived; -1 if there is none."""
        own = [edge for edge in self.edges_with_own_id(iri) if self.edges.alive.at(edge)]
        return own[0] if own else self._derived_edge(iri)

    def _derived_edge(self, iri: str) -> int:
        old = old_digest_of(iri)
        if old is not None:
            edge = self._old_ids.row(old, self.edges.size, self._derived_key)
            return edge if edge >= 0 and self.edges.alive.at(edge) else -1
        edges, ids = self.edges, self.twins.ids
        rows = between(edges.links(), ids, edges.target, iri, len(ids))
        return next((row for row in rows if self.edge_iri(row) == iri), -1)

    def _derived_key(self, edge: int) -> tuple[str, ...] | None:
        """What the id of a relationship follows from; None where it has its own."""
        edges, ids = self.edges, self.twins.ids
        if edges.own_id.at(edge):
            return None
        relation: int = edges.relation.at(edge)
        group = self.pools.texts.value(edges.group.at(edge)) or ""
        source, target = ids.iri(edges.source.at(edge)), ids.iri(edges.target.at(edge))
        return source, self.schema.relations[relation].iri, target, group

    def edge_iri(self, edge: int) -> str:
        edges, ids = self.edges, self.twins.ids
        own = self.pools.texts.value(edges.own_id.at(edge))
        group = self.pools.texts.value(edges.group.at(edge)) or ""
        relation: int = edges.relation.at(edge)
        source: int = edges.source.at(edge)
        target: int = edges.target.at(edge)
        iri = self.schema.relations[relation].iri
        return own or relationship_iri(self.base, ids.iri(source), iri, ids.iri(target), group)

    def expand(
        self, rows: npt.NDArray[np.int32], way: Way, relations: npt.NDArray[np.bool_] | None = None
    ) -> Found:
        return self.edges.links().expand(rows, way, relations)

    def freeze(self) -> Snapshot:
        """An immutable view of all of it."""
        head = SiteHead(self.site, self.base, self.revision, self.time_ns)
        edges = self.edges.freeze(self.twins.ids)
        return Snapshot((head,), self.schema, self.pools, self.twins.freeze(), edges, self.residue)

    # Writing

    def execute(self, draft: Draft, revision: int, time_ns: int) -> None:
        """Write a draft that was made against exactly this state."""
        self.schema = draft.schema
        self._remove_edges(draft.removed_edges)
        self._remove_twins(draft.removed_twins, revision)
        if draft.bulk is not None:
            write_bulk(self, draft.bulk, revision)
        self._write_twins([twin for twin in draft.twins if twin.changed], revision)
        self._write_edges([edge for edge in draft.edges if edge.changed])
        if draft.change.statements:
            merged = {**self.residue, **draft.change.statements}
            self.residue = {origin: lines for origin, lines in merged.items() if lines}
        self.revision, self.time_ns = revision, time_ns

    def write_last_values(self, readings: Readings) -> None:
        """Keep the newest reading of each point; where two have the same time, the later in the batch.

        Of points that are gone too: history keeps theirs, and one that is put again shows its newest.
        """
        twins = self.twins
        given = Stamped(readings.points, readings.times_ns, readings.words, readings.quality)
        put_newest(given, twins.point_time, twins.point_word, twins.point_quality)

    def coded_points(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """bool[n]: points whose words are codes of texts (value types code and text)."""
        return self._points_of(rows, ValueType.CODE, ValueType.TEXT)

    def whole_points(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """bool[n]: points whose words are whole numbers (value types boolean and counter)."""
        return self._points_of(rows, ValueType.BOOLEAN, ValueType.COUNTER)

    def _points_of(self, rows: npt.NDArray[np.int32], *types: ValueType) -> npt.NDArray[np.bool_]:
        column = self.twins.attributes["valueType"]
        if column is None:
            return np.zeros(len(rows), np.bool_)
        return column.is_text(rows, [self.pools.texts.find(value_type) for value_type in types])

    def _remove_edges(self, edges: Sequence[int]) -> None:
        if edges:
            self.edges.alive.write(edges, [False] * len(edges))
            self.edges.attributes.clear(edges)

    def _remove_twins(self, rows: Sequence[int], revision: int) -> None:
        if not rows:
            return
        twins, nothing = self.twins, [0] * len(rows)
        twins.alive.write(rows, [False] * len(rows))
        twins.revision.write(rows, [revision] * len(rows))
        for column in (twins.name, twins.name_origin, twins.local, twins.external, twins.origins):
            if column.filled:
                column.write(rows, nothing)
        twins.attributes.clear(rows)

    def _write_twins(self, drafts: Sequence[TwinDraft], revision: int) -> None:
        if not drafts:
            return
        twins, pools = self.twins, self.pools
        known = len(twins.ids)
        new = [draft.iri for draft in drafts if draft.row >= known]
        if len(new) == 1:
            twins.ids.add(new[0])
        elif new:
            twins.ids.add_all(new)
        rows = [draft.row for draft in drafts]
        back = [draft.row for draft in drafts if not draft.living]
        twins.alive.write(back, [True] * len(back))
        twins.revision.write(rows, [revision] * len(rows))
        _write_values(twins.attributes, [(draft.row, draft.values) for draft in drafts])
        drafts = [draft for draft in drafts if draft.after is not draft.before]
        if not drafts:  # values alone: the usual small write
            return
        _write_codes(twins.kind_set, drafts, lambda fields: fields.kinds, pools.kind_sets.intern)
        _write_codes(twins.name, drafts, lambda fields: fields.name, pools.texts.intern)
        _write_codes(twins.name_origin, drafts, lambda fields: fields.name_origin, pools.origins.intern)
        _write_codes(twins.local, drafts, lambda fields: fields.local_id, pools.texts.intern)
        _write_codes(twins.external, drafts, lambda fields: fields.external_ids, pools.external_ids.intern)
        _write_codes(twins.origins, drafts, lambda fields: fields.origins, pools.origin_sets.intern)
        self._add_hints(drafts)

    def _add_hints(self, drafts: Sequence[TwinDraft]) -> None:
        ids = self.twins.ids
        for draft in drafts:
            if draft.after.local_id is not None:
                ids.local.add(draft.after.local_id, draft.row)
            for known in draft.after.external_ids:
                ids.external.add(known.id, draft.row)

    def _write_edges(self, drafts: Sequence[EdgeDraft]) -> None:
        if not drafts:
            return
        edges, pools = self.edges, self.pools
        self._add_edges([draft for draft in drafts if draft.edge >= edges.size])
        rows = [draft.edge for draft in drafts]
        edges.alive.write(rows, [True] * len(rows))
        stated = [pools.texts.intern(draft.after.stated) if draft.after.stated else 0 for draft in drafts]
        if edges.stated.filled or any(stated):
            edges.stated.write(rows, stated)
        edges.origins.write(rows, [pools.origin_sets.intern(draft.after.origins) for draft in drafts])
        _write_values(edges.attributes, [(draft.edge, draft.values) for draft in drafts])

    def _add_edges(self, drafts: Sequence[EdgeDraft]) -> None:
        edges, texts = self.edges, self.pools.texts
        rows = [draft.edge for draft in drafts]
        groups = [texts.intern(draft.group) if draft.group else 0 for draft in drafts]
        edges.source.write(rows, [draft.source for draft in drafts])
        edges.target.write(rows, [draft.target for draft in drafts])
        edges.relation.write(rows, [draft.relation for draft in drafts])
        edges.group.write(rows, groups)
        owned = [draft for draft in drafts if draft.own_id is not None]
        edges.own_id.write([d.edge for d in owned], [texts.intern(d.iri) for d in owned])
        for draft in owned:
            edges.keys.own.add(draft.iri, draft.edge)
        for draft, group in zip(drafts, groups, strict=True):
            edges.keys.add(draft.source, draft.relation, draft.target, group, draft.edge)
        edges.size += len(drafts)


def _write_codes(
    column: PagedColumn[np.int32] | PagedColumn[np.int16],
    drafts: Sequence[TwinDraft],
    read: Callable[[TwinFields], object],
    intern: Callable[..., int],
) -> None:
    """Write one interned field of those drafts in which it changed; the empty value is code 0."""
    rows: list[int] = []
    codes: list[int] = []
    for draft in drafts:
        value = read(draft.after)
        if value != read(draft.before):
            rows.append(draft.row)
            codes.append(intern(value) if value else 0)
    if rows:
        column.write(rows, codes)


def _write_values(attributes: Attributes, changes: Sequence[tuple[int, dict[str, Value | None]]]) -> None:
    """Write attribute changes, column by column."""
    rows: dict[str, list[int]] = {}
    values: dict[str, list[Value | None]] = {}
    for row, changed in changes:
        for name, value in changed.items():
            rows.setdefault(name, []).append(row)
            values.setdefault(name, []).append(value)
    for name, where in rows.items():
        attributes.write(name, where, values[name])

"""Snapshot: an immutable view of one site, or of several sites as one, at one revision of each.

Safe in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from graph.ids import local_id_of, relationship_iri
from graph.lookup import find_candidates, find_twin, local_ids_of
from graph.values import ExternalId, RelationshipRecord, TwinRecord, Value, ValueType, Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Rows
    from graph.csr import Found
    from graph.joined import Starts
    from graph.kind_sets import KindSets
    from graph.pools import Pools
    from graph.tables import EdgeView, TwinView
    from ontology.schema import Schema


_ANY_KIND = (-1, True)


@dataclass(frozen=True, slots=True)
class SiteHead:
    """One site of a snapshot: its name, its base IRI, and the revision the snapshot shows."""

    name: str
    base: str
    revision: int
    time_ns: int  # of the last commit; 0: nothing was ever written


@dataclass(eq=False)
class Snapshot:
    """Twins and relationships by row. Rows are numbers below `size`, tombstones included; see `alive`.

    Row numbers mean nothing outside their snapshot, except that those of one site never change.
    """

    heads: tuple[SiteHead, ...]
    schema: Schema
    pools: Pools
    twins: TwinView
    edges: EdgeView
    residue: Mapping[str, tuple[str, ...]]
    starts: Starts | None = None  # of a snapshot of several sites: where the rows of each begin
    parts: tuple[Snapshot, ...] = ()  # of a snapshot of several sites: those of the sites
    _kind_sets: KindSets | None = field(default=None)
    _rows_of_kind: dict[tuple[int, bool], npt.NDArray[np.int32]] = field(
        default_factory=dict[tuple[int, bool], "npt.NDArray[np.int32]"]
    )
    first_pages: dict[tuple[str | None, int], object] = field(
        default_factory=dict[tuple[str | None, int], object]
    )  # by kind and size; see `graph.execute`

    # Sites

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(head.name for head in self.heads)

    @property
    def bases(self) -> tuple[str, ...]:
        return tuple(head.base for head in self.heads)

    @property
    def revisions(self) -> tuple[int, ...]:
        return tuple(head.revision for head in self.heads)

    @property
    def revision(self) -> int:
        """The revision of a snapshot of one site.

        Of several sites, the largest (a rough mark of progress).
        """
        return max(self.revisions, default=0)

    @property
    def time_ns(self) -> int:
        """Unix time of the last commit in it; 0 if there is none."""
        return max((head.time_ns for head in self.heads), default=0)

    def site_row(self, row: int) -> tuple[str, int]:
        """The site of a row, and the row that the same twin has in that site's own snapshots and readings."""
        number, place = self.starts.split(row) if self.starts else (0, row)
        return self.sites[number], place

    # Twins

    @property
    def size(self) -> int:
        """Number of rows, tombstones included."""
        return self.twins.size

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """bool[size]"""
        return self.twins.alive.flat

    @property
    def kind(self) -> npt.NDArray[np.int32]:
        """int32[size]: index in `schema.kinds` of each twin's leading kind.

        -1 for a row that never had one.
        """
        return self.kind_sets.leading[self.twins.kind_set.flat]

    @property
    def site(self) -> npt.NDArray[np.int16]:
        """int16[size]: index in `sites`."""
        return self.twins.site.flat

    def row(self, iri: str) -> int:
        """The row of a living twin, -1 if there is none."""
        row = self.twins.ids.row(iri)
        return row if row >= 0 and self.twins.alive.at(row) else -1

    def rows(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """The rows of some twins, -1 where there is none."""
        rows = self.twins.ids.rows_of(iris)
        return np.where((rows >= 0) & self.twins.alive.take(rows), rows, np.int32(-1))

    def find(self, text: str, site: str | None = None) -> int:
        """The row that an IRI, `site:localId` or a local id means.

        Raises NotFoundError TWIN_UNKNOWN, or InputError AMBIGUOUS_ID where several twins have the local id.
        """
        return find_twin(self, text, site)

    def candidates(self, text: str, site: str | None = None) -> list[int]:
        """All living rows that such a text may mean, in order."""
        return find_candidates(self, text, site)

    def find_external(self, system: str | None, external_id: str) -> list[int]:
        """Living rows that carry this id in an outside system (None: in any)."""
        rows = {row for row in self.twins.ids.by_external(external_id) if self.twins.alive.at(row)}
        return sorted(row for row in rows if self._has_external(row, system, external_id))

    def id(self, row: int) -> str:
        return self.twins.ids.iri(row)

    def ids(self, rows: Rows) -> list[str]:
        return self.twins.ids.iris(rows)

    def local_id(self, row: int) -> str:
        given = self.pools.texts.value(self.twins.local.at(row))
        site: int = self.twins.site.at(row)
        return given or local_id_of(self.id(row), self.heads[site].base)

    def local_ids(self, rows: Rows) -> list[str]:
        return local_ids_of(self, rows)

    def name(self, row: int) -> str | None:
        return self.pools.texts.value(self.twins.name.at(row))

    def names(self, rows: Rows) -> list[str | None]:
        return self.pools.texts.values(self.twins.name.take(rows).tolist())

    def kinds(self, row: int) -> tuple[int, ...]:
        """Indices in `schema.kinds`, leading one first."""
        iris = self.pools.kind_sets.value(self.twins.kind_set.at(row)) or ()
        found = (self.schema.kind_by_iri(iri) for iri in iris)
        return tuple(kind.index for kind in found if kind is not None)

    def kind_iris(self, row: int) -> tuple[str, ...]:
        return self.pools.kind_sets.value(self.twins.kind_set.at(row)) or ()

    def revision_of(self, row: int) -> int:
        """The revision of its site at which the twin itself (not its relationships) changed last."""
        return self.twins.revision.at(row)

    def external_ids(self, row: int) -> tuple[ExternalId, ...]:
        return self.pools.external_ids.value(self.twins.external.at(row)) or ()

    def origins(self, row: int) -> tuple[str, ...]:
        """The import sources that state the twin; empty: only users did."""
        return self.pools.origin_sets.value(self.twins.origins.at(row)) or ()

    def rows_of_kind(self, kind: int, subkinds: bool = True) -> npt.NDArray[np.int32]:
        """Living rows of which any kind is `kind` (an index of the schema) or, with `subkinds`, below it.

        Ascending.
        """
        known = self._rows_of_kind.get((kind, subkinds))
        if known is None:
            known = self._find_rows_of_kind(kind, subkinds)
            self._rows_of_kind[kind, subkinds] = known
        return known

    @property
    def living_rows(self) -> npt.NDArray[np.int32]:
        """All living rows, ascending."""
        known = self._rows_of_kind.get(_ANY_KIND)
        if known is None:
            known = self._rows_of_kind[_ANY_KIND] = np.flatnonzero(self.alive).astype(np.int32)
        return known

    def is_of_kind(self, rows: Rows, kind: int) -> npt.NDArray[np.bool_]:
        """bool[n]: whether each row's twin is of a kind or of one below it."""
        return self.kind_sets.mask(self.schema.kinds_below(kind))[self.twins.kind_set.take(rows)]

    def rows_of_origin(self, origin: str) -> npt.NDArray[np.int32]:
        """Living rows that an import source states, ascending."""
        mask = self._origin_mask(origin)
        return np.flatnonzero(mask[self.twins.origins.flat] & self.alive).astype(np.int32)

    # Attributes

    def attribute(self, name: str) -> Column | None:
        return self.twins.attributes.get(name)

    def attribute_names(self) -> list[str]:
        """Names of all attributes that any twin has or had, sorted."""
        return sorted(self.twins.attributes)

    def attributes(self, row: int) -> dict[str, Value]:
        """All attributes of one twin, by name in order."""
        return _attributes(self.twins.attributes, row)

    # Relationships

    @property
    def edge_count(self) -> int:
        """Number of relationship rows, tombstones included."""
        return self.edges.size

    @property
    def edge_alive(self) -> npt.NDArray[np.bool_]:
        return self.edges.alive.flat

    @property
    def edge_source(self) -> npt.NDArray[np.int32]:
        return self.edges.source.flat

    @property
    def edge_target(self) -> npt.NDArray[np.int32]:
        return self.edges.target.flat

    @property
    def edge_relation(self) -> npt.NDArray[np.int32]:
        """int32[edge_count]: index in `schema.relations`."""
        return self.edges.relation.flat

    @property
    def edge_group(self) -> npt.NDArray[np.int32]:
        """int32[edge_count]: code of the group's name in `pools.texts`; 0 for the default group."""
        return self.edges.group.flat

    def sources(self, edges: Rows) -> npt.NDArray[np.int32]:
        """int32[n]: as `edge_source[edges]`, without making the whole array."""
        return self.edges.source.take(edges)

    def targets(self, edges: Rows) -> npt.NDArray[np.int32]:
        return self.edges.target.take(edges)

    def expand(self, rows: Rows, way: Way = Way.OUT, relations: npt.NDArray[np.bool_] | None = None) -> Found:
        """All living relationships of some twins, see `graph.csr.Links.expand`."""
        return self.edges.links.expand(np.asarray(rows), way, relations)

    def group(self, edge: int) -> str:
        return self.pools.texts.value(self.edges.group.at(edge)) or ""

    def edge_id(self, edge: int) -> str:
        own = self.pools.texts.value(self.edges.own_id.at(edge))
        if own:
            return own
        source, target = self.edges.source.at(edge), self.edges.target.at(edge)
        relation = self.relation_of(edge)
        base = self.heads[self.edge_site(edge)].base
        return relationship_iri(base, self.id(source), relation, self.id(target), self.group(edge))

    def relation_of(self, edge: int) -> str:
        """IRI of the relation of a relationship."""
        relation: int = self.edges.relation.at(edge)
        return self.schema.relations[relation].iri

    def edge_site(self, edge: int) -> int:
        """Index in `sites` of the site in which the relationship lives."""
        return self.edges.site.at(edge)

    def edge_by_key(self, source: int, relation: int, target: int, group: str = "") -> int:
        """The living relationship with this key, -1 if there is none."""
        code = self.pools.texts.find(group) if group else 0
        if group and not code:
            return -1
        return self._living_edge(self.edges.keys.by_ends(source, relation, target, code))

    def edge_by_id(self, edge_id: str) -> int:
        """The living relationship with this id, own or derived; -1 if there is none."""
        code, keys = self.pools.texts.find(edge_id), self.edges.keys
        named = (
            [edge for edge in keys.by_own_id(edge_id) if self.edges.own_id.at(edge) == code] if code else []
        )
        own = self._living_edge(named)
        if own >= 0:
            return own
        return self._living_edge([e for e in keys.by_derived_id(edge_id) if self.edge_id(e) == edge_id])

    def edge_attribute(self, name: str) -> Column | None:
        return self.edges.attributes.get(name)

    def edge_attribute_names(self) -> list[str]:
        return sorted(self.edges.attributes)

    def edge_attributes(self, edge: int) -> dict[str, Value]:
        return _attributes(self.edges.attributes, edge)

    def edge_origins(self, edge: int) -> tuple[str, ...]:
        return self.pools.origin_sets.value(self.edges.origins.at(edge)) or ()

    def edge_origin(self, edge: int) -> str | None:
        """The import source that stated the relationship first; None: a user."""
        return next(iter(self.edge_origins(edge)), None)

    def edges_of_origin(self, origin: str) -> npt.NDArray[np.int32]:
        """Living relationships that an import source states, ascending."""
        mask = self._origin_mask(origin)
        return np.flatnonzero(mask[self.edges.origins.flat] & self.edge_alive).astype(np.int32)

    def edge_stated(self, edge: int) -> str | None:
        """IRI of the predicate as it stood in the file, where that was an inverse."""
        return self.pools.texts.value(self.edges.stated.at(edge))

    # Points

    @property
    def point_time_ns(self) -> npt.NDArray[np.int64]:
        """int64[size]: Unix time of the last reading; 0: never."""
        return self.twins.point_time.flat

    @property
    def point_word(self) -> npt.NDArray[np.uint64]:
        return self.twins.point_word.flat

    @property
    def point_quality(self) -> npt.NDArray[np.uint8]:
        return self.twins.point_quality.flat

    def value_type(self, row: int) -> ValueType:
        """How the words of a point are read: its attribute `valueType`, a number where it has none."""
        column = self.attribute("valueType")
        stated = column.value(row) if column else None
        return ValueType(str(stated.value)) if stated else ValueType.NUMBER

    def unit_of(self, row: int) -> str | None:
        """UCUM code of what a point measures: its attribute `unit`."""
        column = self.attribute("unit")
        stated = column.value(row) if column else None
        return str(stated.value) if stated else None

    def point_value(self, row: int) -> float | bool | str | int | None:
        """The last reading of a point, None if there was none."""
        if not self.twins.point_time.at(row):
            return None
        return read_word(self.twins.point_word.at(row), self.value_type(row), self.pools)

    # Records

    def statements(self) -> Mapping[str, tuple[str, ...]]:
        """RDF triples that map to nothing, as N-Triples lines, by origin."""
        return self.residue

    def record(self, row: int) -> TwinRecord:
        """A twin as a record that would put it again."""
        return TwinRecord(
            id=self.id(row),
            kinds=self.kind_iris(row),
            name=self.name(row),
            local_id=self.pools.texts.value(self.twins.local.at(row)),
            attributes=self.attributes(row),
            external_ids=self.external_ids(row),
            origin=next(iter(self.origins(row)), None),
        )

    def relationship(self, edge: int) -> RelationshipRecord:
        """A relationship as a record that would put it again."""
        return RelationshipRecord(
            source=self.id(self.edges.source.at(edge)),
            relation=self.relation_of(edge),
            target=self.id(self.edges.target.at(edge)),
            group=self.group(edge),
            id=self.pools.texts.value(self.edges.own_id.at(edge)),
            attributes=self.edge_attributes(edge),
            origin=self.edge_origin(edge),
            stated=self.edge_stated(edge),
        )

    # Parts

    @property
    def kind_sets(self) -> KindSets:
        """The kind sets of the pools, resolved against this snapshot's schema."""
        if self._kind_sets is None:
            self._kind_sets = self.pools.resolve_kind_sets(self.schema)
        return self._kind_sets

    def _find_rows_of_kind(self, kind: int, subkinds: bool) -> npt.NDArray[np.int32]:
        wanted = self.schema.kinds_below(kind) if subkinds else np.arange(len(self.schema.kinds)) == kind
        mask = self.kind_sets.mask(wanted)[self.twins.kind_set.flat]
        return np.flatnonzero(mask & self.alive).astype(np.int32)

    def _origin_mask(self, origin: str) -> npt.NDArray[np.bool_]:
        pool = self.pools.origin_sets
        return np.array([origin in (value or ()) for value in pool.values(range(len(pool)))])

    def _has_external(self, row: int, system: str | None, external_id: str) -> bool:
        return any(
            known.id == external_id and system in (None, known.system) for known in self.external_ids(row)
        )

    def _living_edge(self, candidates: Sequence[int]) -> int:
        return next((edge for edge in candidates if self.edges.alive.at(edge)), -1)


def read_word(word: int, value_type: ValueType, pools: Pools) -> float | bool | str | int | None:
    """What the 64-bit word of a reading means."""
    if value_type == ValueType.NUMBER:
        return float(np.uint64(word).view(np.float64))
    if value_type == ValueType.BOOLEAN:
        return word != 0
    return word if value_type == ValueType.COUNTER else pools.texts.value(word)


def _attributes(columns: Mapping[str, Column], row: int) -> dict[str, Value]:
    found = ((name, columns[name].value(row)) for name in sorted(columns))
    return {name: value for name, value in found if value is not None}

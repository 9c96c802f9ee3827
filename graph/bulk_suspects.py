# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Relationships of columns that may be wrong between each other, as drafts for the checks of records.

As in check_columns: found in bulk, judged one by one, so that a violation reads the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from graph.bulk_records import relationship_records, stated_at
from graph.draft import EdgeDraft, EdgeFields
from graph.values import Way
from ontology.schema import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from graph.bulk import AttributeColumn, Ints, Places, RelationshipColumns
    from graph.bulk_drafting import BulkDraft
    from graph.check_links import View
    from graph.values import Value
    from ontology.schema import Relation

    Mask = npt.NDArray[np.bool_]
    Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

# Of the whole need group: its rows agree on these or leave them empty.
GROUP_ATTRIBUTES = (
    "need",
    "bufferHours",
    "refillRate",
    "threshold",
    "damageProbability",
    "toleranceHours",
)


_ROUNDS_MAX = 32


@dataclass(frozen=True, slots=True)
class Suspects:
    """Drafts to look at: for the kinds of their ends, for cycles, for need groups."""

    ends: list[EdgeDraft] = field(default_factory=list[EdgeDraft])
    cycles: list[EdgeDraft] = field(default_factory=list[EdgeDraft])
    groups: list[EdgeDraft] = field(default_factory=list[EdgeDraft])


def find_suspects(view: View, bulk: BulkDraft) -> Suspects:
    suspects = Suspects(cycles=_circling(view, bulk))
    ends = _Ends(view, bulk)
    groups = _disagreeing(view, bulk)
    for number, block in enumerate(bulk.columns.relationships):
        suspects.ends.extend(_drafts(view, bulk, number, np.flatnonzero(ends.odd(block))))
        items = np.flatnonzero(np.isin(_dependents(view, bulk, block), groups)) if len(groups) else ()
        suspects.groups.extend(_drafts(view, bulk, number, np.asarray(items, np.int64)))
    return suspects


def _drafts(view: View, bulk: BulkDraft, number: int, items: Places) -> Iterator[EdgeDraft]:
    """Some relationships of a block as drafts, as far as checks look at them."""
    if not len(items):
        return
    first = bulk.edges()[number].start
    place = dict(zip(bulk.columns.ids, bulk.end_rows.tolist(), strict=True))
    records = relationship_records(bulk.columns, number, items)
    for item, record in zip(items.tolist(), records, strict=True):
        relation = view.schema.relation_by_iri(record.relation)
        assert relation is not None  # others went the way of records
        ends = (place[record.source], relation.index, place[record.target])
        stated: dict[str, Value | None] = {
            name: value for name, value in record.attributes.items() if value.value is not None
        }
        fields = (EdgeFields(), EdgeFields(), stated)
        yield EdgeDraft(first + item, "", record.id, False, *ends, record.group, *fields)


# Kinds of ends


class _Ends:
    """Finds ends that a relation does not take. Only our own relations are strict about them."""

    def __init__(self, view: View, bulk: BulkDraft) -> None:
        self._view = view
        self._bulk = bulk
        self._fits: dict[tuple[int, ...], Mask] = {}  # by allowed kinds: bool[ids of the columns]

    def odd(self, block: RelationshipColumns) -> Mask:
        """bool[m]"""
        odd = np.zeros(block.count, np.bool_)
        for code, name in enumerate(block.relation_names):
            relation = self._view.schema.relation_by_iri(name)
            if relation is None or relation.vocabulary != "tm":
                continue
            mine = block.relations == code
            for ends, allowed in ((block.sources, relation.domain), (block.targets, relation.range)):
                if allowed:
                    odd |= mine & ~self._fitting(tuple(allowed))[ends]
        return odd

    def _fitting(self, allowed: tuple[int, ...]) -> Mask:
        if allowed not in self._fits:
            self._fits[allowed] = np.concatenate([*self._new(allowed), self._others(allowed)])
        return self._fits[allowed]

    def _new(self, allowed: tuple[int, ...]) -> Iterator[Mask]:
        for block in self._bulk.columns.twins:
            yield np.array([self._fits_one(kinds, allowed) for kinds in block.kind_sets], np.bool_)[
                block.kinds
            ]

    def _others(self, allowed: tuple[int, ...]) -> Mask:
        """Of the ends that the columns do not put; each distinct set of kinds is looked at once."""
        rows = self._bulk.end_rows[self._bulk.columns.twin_count :]
        sets = [self._view.twins.kinds_of(row) for row in rows.tolist()]
        fits = {kinds: self._fits_one(kinds, allowed) for kinds in set(sets)}
        return np.fromiter((fits[kinds] for kinds in sets), np.bool_, len(sets))

    def _fits_one(self, kinds: Sequence[str], allowed: tuple[int, ...]) -> bool:
        schema = self._view.schema
        found = [kind.index for kind in map(schema.kind_by_iri, kinds) if kind is not None]
        return any(schema.is_a(kind, wanted) for kind in found for wanted in allowed)


# Cycles


def _circling(view: View, bulk: BulkDraft) -> list[EdgeDraft]:
    """All relationships of acyclic relations, if with all others of the change they close a cycle."""
    acyclic = np.array([relation.acyclic for relation in view.schema.relations])
    masks = [acyclic[codes] for codes in _relation_codes(view, bulk)]
    if not any(mask.any() for mask in masks):
        return []
    pairs = [
        (_rows(bulk, block.sources[mask]), _rows(bulk, block.targets[mask]))
        for block, mask in zip(bulk.columns.relationships, masks, strict=True)
    ]
    drafts = [draft for draft in view.drafts if not draft.living and acyclic[draft.relation]]
    pairs.append((_ints([draft.source for draft in drafts]), _ints([draft.target for draft in drafts])))
    pairs.append(existing_links(view, np.unique(np.concatenate([target for _, target in pairs])), acyclic))
    source, target = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    if not _has_cycle(source, target):
        return []
    return [
        draft
        for number, mask in enumerate(masks)
        for draft in _drafts(view, bulk, number, np.flatnonzero(mask))
    ]


def existing_links(view: View, rows: npt.NDArray[np.integer], acyclic: Mask) -> Pairs:
    """(sources, targets) of acyclic relations that lead on from some twins, step by step, as they stay."""
    state = view.state
    removed = np.fromiter(view.edges.removed, np.int64)
    frontier = rows[rows < state.twins.size].astype(np.int32)
    seen = np.zeros(state.twins.size, np.bool_)
    seen[frontier] = True
    sources, targets = [_ints(())], [_ints(())]
    while len(frontier):
        edges, owner = state.expand(frontier, Way.OUT, acyclic)
        kept = ~np.isin(edges, removed)
        ends = state.edges.target.take(edges)
        sources.append(frontier[owner][kept].astype(np.int64))
        targets.append(ends[kept].astype(np.int64))
        reached = np.unique(ends)
        frontier = reached[~seen[reached]]
        seen[frontier] = True
    return np.concatenate(sources), np.concatenate(targets)


def _has_cycle(source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> bool:
    """Takes away what leads nowhere or comes from nowhere, until nothing is left or all of it goes round.

    Part trees are shallow; of what is left of long chains after some rounds, components are found in one go.
    """
    for _ in range(_ROUNDS_MAX):
        if not len(source):
            return False
        count = int(max(source.max(), target.max())) + 1
        leads_on = np.zeros(count, np.bool_)
        leads_on[source] = True
        is_reached = np.zeros(count, np.bool_)
        is_reached[target] = True
        kept = leads_on[target] & is_reached[source]
        if kept.all():
            return True
        source, target = source[kept], target[kept]
    return _is_cyclic(source, target)


def _is_cyclic(source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> bool:
    if (source == target).any():
        return True
    rows, ends = np.unique(np.concatenate((source, target)), return_inverse=True)
    links = (np.ones(len(source), np.bool_), (ends[: len(source)], ends[len(source) :]))
    graph = csr_array(links, shape=(len(rows), len(rows)))
    return int(connected_components(graph, connection="strong", return_labels=False)) < len(rows)


# Need groups


def _disagreeing(view: View, bulk: BulkDraft) -> npt.NDArray[np.int64]:
    """Rows of dependents whose need groups state something twice, in whatever words: they are looked at."""
    stating = [np.zeros((0, 3), np.int64)]
    for number, name in enumerate(GROUP_ATTRIBUTES):
        for block in bulk.columns.relationships:
            for column in block.attributes:
                if column.name == name:
                    stating.append(_statements(view, bulk, block, column, number))
    found = np.concatenate(stating)
    if not len(found):
        return np.zeros(0, np.int64)
    dependents = np.unique(found[:, 0])
    # Equal statements of one dependent are no reason to look; a second, different one is.
    distinct = np.unique(found, axis=0)
    again = (distinct[1:, :2] == distinct[:-1, :2]).all(axis=1)
    return np.union1d(distinct[1:, 0][again], _with_others(view, dependents))


def _statements(
    view: View, bulk: BulkDraft, block: RelationshipColumns, column: AttributeColumn, number: int
) -> npt.NDArray[np.int64]:
    """int64[k, 3]: dependent, attribute and fingerprint of each value of a column."""
    items, places = stated_at(column, np.arange(block.count))
    dependents = _dependents(view, bulk, block)[items]
    table = np.empty((len(items), 3), np.int64)
    table[:, 0] = dependents
    table[:, 1] = number
    table[:, 2] = _fingerprints(column)[places]
    return table[dependents >= 0]


def _fingerprints(column: AttributeColumn) -> npt.NDArray[np.int64]:
    """int64[k]: equal only for values that say the same."""
    values = column.values
    if isinstance(values, np.ndarray):
        words = (values + 0.0).astype(np.float64).view(np.int64)
    else:
        words = np.fromiter((hash(repr(value)) for value in values), np.int64, len(values))
    return words ^ (hash((column.unit, type(values).__name__, str(getattr(values, "dtype", ""))[:1])))


def _dependents(view: View, bulk: BulkDraft, block: RelationshipColumns) -> npt.NDArray[np.int64]:
    """int64[m]: the row of the end that depends; -1 where the relation carries no dependence."""
    relations = [view.schema.relation_by_iri(name) for name in block.relation_names]
    ways = np.array([_way(relation) for relation in relations], np.int8)[block.relations]
    sources, targets = _rows(bulk, block.sources), _rows(bulk, block.targets)
    return np.where(ways == 1, targets, np.where(ways == 2, sources, -1))


def _way(relation: Relation | None) -> int:
    """0: no dependence; 1: the target depends; 2: the source does."""
    dependence = relation.dependence if relation else None
    if dependence is None:
        return 0
    return 1 if dependence.direction is Direction.SOURCE_TO_TARGET else 2


def _with_others(view: View, dependents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of some dependents that have relationships besides those of the columns."""
    known = dependents[dependents < view.state.twins.size].astype(np.int32)
    _, owner = view.state.expand(known, Way.BOTH)
    ends = {end for draft in view.drafts for end in (draft.source, draft.target)}
    drafted = dependents[np.isin(dependents, np.fromiter(ends, np.int64))]
    return np.union1d(known[np.unique(owner)].astype(np.int64), drafted)


def _relation_codes(view: View, bulk: BulkDraft) -> Iterator[Ints]:
    for block in bulk.columns.relationships:
        found = [view.schema.relation_by_iri(name) for name in block.relation_names]
        codes = np.array([relation.index if relation else 0 for relation in found], np.int32)
        yield codes[block.relations]


def _rows(bulk: BulkDraft, places: Ints) -> npt.NDArray[np.int64]:
    return bulk.end_rows[places].astype(np.int64)


def _ints(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)

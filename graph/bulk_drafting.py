"""The columns of a change against the columns of the site. Nothing is written here.

What is new in every respect stays columnar. All else (twins and relationships that exist, existed, or stand
twice, stubs, ends that are nowhere) is turned into records and goes their way, so that there is one place
that knows how things merge and what is wrong with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from graph.bulk import BlockResult, Columns
from graph.bulk_records import relationship_records, twin_records
from graph.bulk_selection import select
from graph.bulk_unchanged import unchanged_relationships, unchanged_twins
from graph.ids import is_iri
from graph.values import ItemResult, ItemStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from graph.bulk import Ints, Places, RelationshipColumns
    from graph.draft import Findings
    from graph.edge_drafting import EdgeDrafter
    from graph.state import State
    from graph.twin_drafting import TwinDrafter
    from graph.values import Change, RelationshipRecord, TwinRecord
    from ontology.schema import Relation, Schema

    Mask = npt.NDArray[np.bool_]

_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)  # of splitmix64
_DERIVED = "/rel/"  # explicit ids with this in them might be derived ids of others


@dataclass(slots=True, eq=False)
class BulkDraft:
    """What is left of the columns of a change, with the rows that its items get.

    Twin i of the columns (counted over all blocks) gets row `first_row` + i, likewise relationships from
    `first_edge`; end_rows: int32[len(columns.ids)], the row of every id.
    """

    columns: Columns
    first_row: int
    first_edge: int
    end_rows: Ints

    @property
    def empty(self) -> bool:
        return len(self.columns) == 0

    @property
    def rows(self) -> range:
        return range(self.first_row, self.first_row + self.columns.twin_count)

    def edges(self) -> list[range]:
        """The rows of the relationships of each block."""
        ends = self.first_edge + np.cumsum([0, *(block.count for block in self.columns.relationships)])
        return [range(*pair) for pair in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


@dataclass(slots=True, eq=False)
class BulkDrafter:
    """Splits columns: first twins, then (once all twins of the change have their rows) relationships.

    `trusted`: they come from the journal, where they were found to be new.
    """

    state: State
    schema: Schema
    columns: Columns
    trusted: bool
    new_twins: list[Mask] = field(default_factory=list["Mask"])  # by block
    new_relationships: list[Mask] = field(default_factory=list["Mask"])
    same_twins: list[Mask] = field(default_factory=list["Mask"])  # are just so in the site already
    same_relationships: list[Mask] = field(default_factory=list["Mask"])
    _known_rows: Ints = field(default_factory=lambda: np.zeros(0, np.int32))  # of twins the site ever had
    _new_rows: Ints = field(default_factory=lambda: np.zeros(0, np.int32))  # of new twins by place, else -1
    _end_rows: Ints = field(default_factory=lambda: np.zeros(0, np.int32))  # of every place
    _row_of_new: dict[str, int] | None = None

    # Twins

    def split_twins(self, change: Change) -> list[TwinRecord]:
        """Decides which twins stay columnar; the others as records."""
        count, first = self.columns.twin_count, self.state.twins.size
        new = np.ones(count, np.bool_) if self.trusted else self._is_new(change)
        self._new_rows = np.where(new, first + np.cumsum(new) - 1, -1).astype(np.int32)
        blocks = zip(self.columns.starts(), self.columns.twins, strict=True)
        self.new_twins = [new[start : start + block.count] for start, block in blocks]
        self.same_twins = list(self._same_twins())
        return [
            record
            for number, left in enumerate(self._left_twins())
            if left.any()
            for record in twin_records(self.columns, number, np.flatnonzero(left))
        ]

    def _same_twins(self) -> Iterator[Mask]:
        stub = self.schema.kinds[self.schema.external_kind].iri
        for start, block in zip(self.columns.starts(), self.columns.twins, strict=True):
            rows = self._known_rows[start : start + block.count]
            if len(rows) and (rows >= 0).any():
                yield unchanged_twins(self.state, block, rows, stub)
            else:
                yield np.zeros(block.count, np.bool_)

    def _left_twins(self) -> list[Mask]:
        """By block: twins that go the way of records."""
        return [~new & ~same for new, same in zip(self.new_twins, self.same_twins, strict=True)]

    def _is_new(self, change: Change) -> Mask:
        """bool[twins]: never seen by the site, once in the change, of some kind."""
        ids = self.columns.ids[: self.columns.twin_count]
        known = self.state.twins.ids.rows_of(ids)
        clear = np.ones(len(ids), np.bool_)
        taken = _named(change)
        if taken:
            clear &= np.fromiter((iri not in taken for iri in ids), np.bool_, len(ids))
        if len(set(ids)) != len(ids):
            clear &= ~repeated(ids)
        new = clear & (known < 0)
        self._known_rows = np.where(clear, known, -1)
        for start, block in zip(self.columns.starts(), self.columns.twins, strict=True):
            some_kind = np.array([bool(kinds) for kinds in block.kind_sets], np.bool_)
            new[start : start + block.count] &= some_kind[block.kinds]
        return new

    @property
    def twin_count(self) -> int:
        return int(sum(mask.sum() for mask in self.new_twins))

    def row(self, iri: str) -> int:
        """The row that a new twin of the columns will have; -1 if it is none."""
        if self._row_of_new is None:
            ids = self.columns.ids[: len(self._new_rows)]
            pairs = zip(ids, self._new_rows.tolist(), strict=True)
            self._row_of_new = {iri: row for iri, row in pairs if row >= 0}
        return self._row_of_new.get(iri, -1)

    def iri(self, row: int) -> str:
        return self.columns.ids[self._place(row)]

    def kinds(self, row: int) -> tuple[str, ...]:
        place = self._place(row)
        number = int(np.searchsorted(self.columns.starts(), place, "right")) - 1
        while not self.columns.twins[number].count:
            number -= 1
        block = self.columns.twins[number]
        return block.kind_sets[int(block.kinds[place - self.columns.starts()[number]])]

    def _place(self, row: int) -> int:
        """Where in the ids a new twin stands: rows of new ones ascend with their places."""
        return int(np.searchsorted(np.maximum.accumulate(self._new_rows), row))

    # Relationships

    def split_relationships(
        self, twins: TwinDrafter, records: Sequence[RelationshipRecord], removed: Iterable[int]
    ) -> list[RelationshipRecord]:
        """Decides which relationships stay columnar; those that are left, as records.

        removed: relationships that the change removes.
        """
        self._end_rows = self._rows_of_ends(twins)
        found = [self._sound(block) for block in self.columns.relationships]
        known = [np.full(block.count, -1, np.int32) for block in self.columns.relationships]
        if not self.trusted and found:
            self._leave_repeated(found, twins, records)
            self._leave_known(found, known, removed)
        self.new_relationships = found
        pairs = zip(self.columns.relationships, known, strict=True)
        self.same_relationships = [unchanged_relationships(self.state, *pair) for pair in pairs]
        return [
            record
            for number, left in enumerate(self._left_relationships())
            if left.any()
            for record in relationship_records(self.columns, number, np.flatnonzero(left))
        ]

    def _left_relationships(self) -> list[Mask]:
        pairs = zip(self.new_relationships, self.same_relationships, strict=True)
        return [~new & ~same for new, same in pairs]

    def _rows_of_ends(self, twins: TwinDrafter) -> Ints:
        """int32[len(ids)]: the row of every id after the change; -1 for ids that no twin will have."""
        ids, known = self.columns.ids, len(self._new_rows)
        rows = np.concatenate((self._new_rows, self.state.twins.ids.rows_of(ids[known:])))
        there = np.arange(known, len(ids))[rows[known:] >= 0]
        there = there[self.state.twins.alive.take(rows[there])]
        settled = np.zeros(len(ids), np.bool_)
        settled[there] = True
        for start, same in zip(self.columns.starts(), self.same_twins, strict=True):
            places = start + np.flatnonzero(same)
            rows[places] = self._known_rows[places]
        settled[:known] = rows[:known] >= 0
        if twins.removed:
            settled &= ~np.isin(rows, np.fromiter(twins.removed, np.int64))
        for place in np.flatnonzero(~settled).tolist():
            rows[place] = twins.row(ids[place])
        return rows

    def _sound(self, block: RelationshipColumns) -> Mask:
        """bool[m]: both ends exist, the relation is known and canonical."""
        there = (self._end_rows[block.sources] >= 0) & (self._end_rows[block.targets] >= 0)
        return there & (self.relation_codes(block) >= 0)

    def relation_codes(self, block: RelationshipColumns) -> Ints:
        """int32[m]: index in `schema.relations` of each relationship; -1: unknown, or an inverse."""
        found = map(self.schema.relation_by_iri, block.relation_names)
        codes = [-1 if one is None or one.inverse_of is not None else one.index for one in found]
        return np.array(codes, np.int32)[block.relations]

    def _leave_known(self, sound: list[Mask], known: list[Ints], removed: Iterable[int]) -> None:
        """Takes out relationships that the site has or had, and explicit ids that it knows.

        Notes in `known` where those are that the change does not remove.
        """
        size, keys = self.state.twins.size, self.state.edges.keys
        going = np.fromiter(removed, np.int64)
        for block, mask, where in zip(self.columns.relationships, sound, known, strict=True):
            source, target = self._end_rows[block.sources], self._end_rows[block.targets]
            old = np.flatnonzero(mask & (source < size) & (target < size))
            if self.state.edges.size and len(old):
                groups = self._known_groups(block, old)
                ends = (source[old], self.relation_codes(block)[old], target[old], groups)
                edges = keys.find_all(*ends)
                mask[old[edges >= 0]] = False
                where[old] = np.where(np.isin(edges, going), -1, edges)
            if block.own_ids is not None:
                for item, own_id in enumerate(block.own_ids):
                    if own_id is not None and self._must_look(own_id):
                        mask[item] = False

    def _known_groups(self, block: RelationshipColumns, items: Places) -> Ints:
        """Codes in the pool of the groups of some relationships; -1 for texts that it never saw."""
        find = self.state.pools.texts.find
        codes = np.array([(find(name) or -1) if name else 0 for name in block.group_names], np.int32)
        return np.full(len(items), codes[0]) if block.groups is None else codes[block.groups[items]]

    def _must_look(self, own_id: str) -> bool:
        unclear = not is_iri(own_id) or _DERIVED in own_id
        return unclear or bool(self.state.edges_with_own_id(own_id))

    def _leave_repeated(
        self, sound: list[Mask], twins: TwinDrafter, records: Sequence[RelationshipRecord]
    ) -> None:
        """Takes out relationships that share their key, or their explicit id, with another of the change."""
        numbers = _group_numbers(self.columns.relationships, records)
        keys = [self._keys(block, numbers) for block in self.columns.relationships]
        stated = self._record_keys(twins, records, numbers)
        everything = np.sort(np.concatenate((*keys, stated)))
        twice = everything[1:][everything[1:] == everything[:-1]]
        if len(twice):
            for mask, key in zip(sound, keys, strict=True):
                mask &= ~np.isin(key, twice)
        self._leave_repeated_ids(sound, records)

    def _leave_repeated_ids(self, sound: list[Mask], records: Sequence[RelationshipRecord]) -> None:
        owned = [i for block in self.columns.relationships for i in block.own_ids or () if i is not None]
        owned += [record.id for record in records if record.id is not None]
        if len(set(owned)) == len(owned):
            return
        twice = {iri for iri, again in zip(owned, repeated(owned).tolist(), strict=True) if again}
        for block, mask in zip(self.columns.relationships, sound, strict=True):
            for item, own_id in enumerate(block.own_ids or ()):
                if own_id in twice:
                    mask[item] = False

    def _keys(self, block: RelationshipColumns, numbers: dict[str, int]) -> npt.NDArray[np.uint64]:
        """uint64[m]: a hash of each key; equal hashes only send relationships the slower way."""
        codes = np.array([numbers[name] for name in block.group_names], np.int64)
        groups = np.full(block.count, codes[0]) if block.groups is None else codes[block.groups]
        found = [self.schema.relation_by_iri(name) for name in block.relation_names]
        turned = np.array([one is not None and one.inverse_of is not None for one in found], np.bool_)
        relations = np.array([_canonical(one) for one in found], np.int64)[block.relations]
        back = turned[block.relations]
        source, target = self._end_rows[block.sources], self._end_rows[block.targets]
        ends = (np.where(back, target, source), np.where(back, source, target))
        return _hashed(ends[0], relations, ends[1], groups)

    def _record_keys(
        self, twins: TwinDrafter, records: Sequence[RelationshipRecord], numbers: dict[str, int]
    ) -> npt.NDArray[np.uint64]:
        rows = [self._record_key(twins, record, numbers) for record in records]
        ends = np.array(sorted(set(rows)), np.int64).reshape(-1, 4)
        return _hashed(ends[:, 0], ends[:, 1], ends[:, 2], ends[:, 3])

    def _record_key(
        self, twins: TwinDrafter, record: RelationshipRecord, numbers: dict[str, int]
    ) -> tuple[int, int, int, int]:
        relation = self.schema.relation_by_iri(record.relation)
        source, target = twins.row(record.source), twins.row(record.target)
        if relation is not None and relation.inverse_of is not None:
            relation, source, target = self.schema.relations[relation.inverse_of], target, source
        return source, relation.index if relation else -1, target, numbers[record.group]

    # Results

    def result(self) -> BulkDraft:
        kept = select(self.columns, self.new_twins, self.new_relationships)
        rows = self._end_rows if kept.columns is self.columns else self._end_rows[kept.places]
        return BulkDraft(kept.columns, self.state.twins.size, self.state.edges.size, rows)

    def twin_blocks(
        self, twins: TwinDrafter, findings: Findings, notes: list[ItemResult]
    ) -> list[BlockResult]:
        """What became of each block; items that have more to tell are added to `notes`."""
        seen: set[str] = set()
        return [
            _block_result(
                self.new_twins[number],
                self.same_twins[number],
                self._twin_results(number, left, twins, findings),
                seen,
                notes,
            )
            for number, left in enumerate(self._left_twins())
        ]

    def _twin_results(
        self, number: int, left: Mask, twins: TwinDrafter, findings: Findings
    ) -> Iterable[ItemResult]:
        start, ids = self.columns.starts()[number], self.columns.ids
        for item in np.flatnonzero(left).tolist():
            iri = ids[start + item]
            yield findings.result(iri, twins.drafts[iri].status)

    def relationship_blocks(
        self, edges: EdgeDrafter, count_of_records: int, notes: list[ItemResult]
    ) -> list[BlockResult]:
        """Likewise of relationships. count_of_records: relationships of the change that were no columns."""
        results = list(edges.items())[count_of_records:]
        ends = np.cumsum([0, *(int(left.sum()) for left in self._left_relationships())]).tolist()
        seen: set[str] = set()
        pairs = zip(self.new_relationships, self.same_relationships, strict=True)
        return [
            _block_result(*pair, results[ends[number] : ends[number + 1]], seen, notes)
            for number, pair in enumerate(pairs)
        ]


def _canonical(relation: Relation | None) -> int:
    if relation is None:
        return -1
    return relation.index if relation.inverse_of is None else relation.inverse_of


def _named(change: Change) -> set[str]:
    """Ids of twins that a change names outside its columns."""
    records = {record.id for records in (change.put_twins, change.merge_twins) for record in records}
    withdrawn = {iri for iris in change.withdraw_twins.values() for iri in iris}
    return records | withdrawn | set(change.remove_twins)


def repeated(texts: Sequence[str]) -> Mask:
    """bool[n]: texts that stand more than once, all of their copies."""
    first: dict[str, int] = {}
    again = np.zeros(len(texts), np.bool_)
    for place, text in enumerate(texts):
        if first.setdefault(text, place) != place:
            again[[place, first[text]]] = True
    return again


def _group_numbers(
    blocks: Sequence[RelationshipColumns], records: Sequence[RelationshipRecord]
) -> dict[str, int]:
    names = dict.fromkeys(name for block in blocks for name in block.group_names)
    names.update(dict.fromkeys(record.group for record in records))
    return {name: number for number, name in enumerate(names)}


def _hashed(*parts: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    mixed = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        mixed = (mixed ^ part.astype(np.uint64)) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _block_result(
    new: Mask, same: Mask, results: Iterable[ItemResult], seen: set[str], notes: list[ItemResult]
) -> BlockResult:
    """Counts of a block. What several blocks state is created by the first and updated by the others."""
    counts: dict[ItemStatus, int] = dict.fromkeys(
        (ItemStatus.CREATED, ItemStatus.UPDATED, ItemStatus.UNCHANGED), 0
    )
    counts[ItemStatus.CREATED], counts[ItemStatus.UNCHANGED] = int(new.sum()), int(same.sum())
    for result in results:
        again = result.status is ItemStatus.CREATED and result.id in seen
        seen.add(result.id)
        counts[ItemStatus.UPDATED if again else result.status] += 1
        if result.code is not None:
            notes.append(result)
    return BlockResult(*counts.values())

"""The relationships of a change against the columns as they are. Nothing is written here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from graph.draft import EdgeDraft, EdgeFields
from graph.ids import is_iri, local_iri, relationship_iri
from graph.values import ItemResult, ItemStatus, RelationshipKey, Value, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.bulk_drafting import BulkDraft
    from graph.draft import Findings
    from graph.state import State
    from graph.twin_drafting import TwinDrafter
    from graph.values import RelationshipRecord
    from ontology.schema import Relation, Schema


class EdgeDrafter:
    """Drafts of all relationships that a change puts or removes, or that go with a removed twin."""

    def __init__(self, state: State, schema: Schema, twins: TwinDrafter, findings: Findings) -> None:
        self.drafts: dict[str, EdgeDraft] = {}
        self.removed: dict[int, str] = {}  # relationship -> IRI
        self._state = state
        self._schema = schema
        self._twins = twins
        self._findings = findings
        self._next_edge = state.edges.size
        self._bulk: BulkDraft | None = None
        self._items: list[
            str | ItemResult
        ] = []  # ids of drafts, or final results, in the order of the change
        self._records: list[tuple[str, RelationshipRecord]] = []
        self._stated: set[tuple[str, str | None]] = set()  # each origin may state a relationship once
        self._explicit: list[int] = []  # removed by wish, not because an end went

    def remove(self, removals: Sequence[str | RelationshipKey]) -> list[ItemResult]:
        """Remove relationships by id or key; what is not there stays away without complaint."""
        results: list[ItemResult] = []
        for removal in removals:
            edge = self._find(removal)
            if edge < 0:
                results.append(ItemResult(_removal_id(removal), ItemStatus.UNCHANGED))
                continue
            self.removed[edge] = self._state.edge_iri(edge)
            self._explicit.append(edge)
            results.append(ItemResult(self.removed[edge], ItemStatus.REMOVED))
        return results

    def remove_with_twins(self, rows: Sequence[int]) -> None:
        """Remove every relationship of twins that go."""
        if rows:
            edges, _ = self._state.expand(np.array(rows, np.int32), Way.BOTH)
            self.removed.update((edge, "") for edge in edges.tolist() if edge not in self.removed)

    def after(self, bulk: BulkDraft) -> None:
        """Relationships that stay columnar get their rows first."""
        self._next_edge += bulk.columns.relationship_count
        self._bulk = bulk

    def draft(self, records: Sequence[RelationshipRecord]) -> None:
        for record in records:
            relation = self._schema.relation_by_iri(record.relation)
            if relation is None:
                self._complain_relation(record)
                continue
            if relation.inverse_of is not None:
                relation = self._schema.relations[relation.inverse_of]
                record = _turned(record, relation)
            self._draft_one(record, relation)

    def lonely_stubs(self) -> list[int]:
        """Rows of stubs that lose their last relationship by this change."""
        ends = {end for edge in self.removed for end in self._ends(edge)} - set(self._twins.removed)
        kept = {end for draft in self.drafts.values() for end in (draft.source, draft.target)}
        stubs = sorted(row for row in ends - kept if self._twins.is_stub(row))
        if stubs and self._bulk is not None:
            stubs = sorted(set(stubs) - set(self._bulk.end_rows.tolist()))
        if not stubs:
            return []
        edges, owner = self._state.expand(np.array(stubs, np.int32), Way.BOTH)
        pairs = zip(edges.tolist(), owner.tolist(), strict=True)
        left: set[int] = {stubs[place] for edge, place in pairs if edge not in self.removed}
        return [row for row in stubs if row not in left]

    # Results

    def changed(self) -> list[EdgeDraft]:
        return [draft for draft in self.drafts.values() if draft.changed]

    def changed_records(self) -> tuple[RelationshipRecord, ...]:
        return tuple(record for iri, record in self._records if self.drafts[iri].changed)

    def removals(self) -> tuple[str | RelationshipKey, ...]:
        """The removals that were wished for and did something; the others follow from their twins."""
        return tuple(self.removed[edge] for edge in self._explicit)

    def items(self) -> Iterator[ItemResult]:
        for iri, _ in self._records:
            yield self._findings.result(iri, self.drafts[iri].status)

    def also_touched(self) -> tuple[str, ...]:
        """Ends of removed relationships: the change itself does not name them."""
        rows = {end for edge in self.removed for end in self._ends(edge)}
        return tuple(map(self._state.twins.ids.iri, sorted(rows)))

    # One relationship

    def _find(self, removal: str | RelationshipKey) -> int:
        if isinstance(removal, str):
            return self._state.edge_with_id(removal)
        relation = self._schema.relation_by_iri(removal.relation)
        if relation is None:
            self._findings.complain(
                "RELATION_UNKNOWN", f"unknown relation {removal.relation}", _removal_id(removal)
            )
            return -1
        ends = (removal.source, removal.target)
        if relation.inverse_of is not None:
            relation, ends = self._schema.relations[relation.inverse_of], ends[::-1]
        rows = [self._state.living_row(end) for end in ends]
        if min(rows) < 0:
            return -1
        found = self._state.edges_at(rows[0], relation.index, rows[1], removal.group)
        return next((edge for edge in found if self._state.edges.alive.at(edge)), -1)

    def _draft_one(self, record: RelationshipRecord, relation: Relation) -> None:
        source, target = self._end(record, record.source), self._end(record, record.target)
        if source < 0 or target < 0:
            return
        ends = (source, relation.index, target)
        iri = self._iri(record)
        draft = self.drafts.get(iri) or self._open(iri, record, ends)
        draft = self.drafts.get(draft.iri, draft)
        if draft.edge in self.removed:
            message = "the same relationship put and removed in one change"
            self._findings.complain("DUPLICATE_ID", message, _key(record))
        stated = (draft.iri, record.origin)
        same = (draft.source, draft.relation, draft.target, draft.group) == (*ends, record.group)
        if stated in self._stated or not same:
            message = "the same relationship twice in one change"
            self._findings.complain("DUPLICATE_ID", message, _key(record))
            return
        self._stated.add(stated)
        self.drafts[draft.iri] = draft
        self._records.append((draft.iri, record))
        self._fill(draft, record)

    def _end(self, record: RelationshipRecord, iri: str) -> int:
        """The row of one end; a stub where a full IRI belongs to no twin of this site."""
        row = self._twins.row(iri)
        if row >= 0:
            return row
        if is_iri(iri) and not iri.startswith(self._state.base):
            return self._twins.stub(iri)
        message = f"no twin {iri} in site {self._state.site}"
        hint = "put the twin in the same change, or write the full IRI of a twin of another site"
        self._findings.complain("END_MISSING", message, _key(record), hint)
        return -1

    def _iri(self, record: RelationshipRecord) -> str:
        base = self._state.base
        if record.id is not None:
            return record.id if is_iri(record.id) else local_iri(base, record.id)
        return relationship_iri(base, record.source, record.relation, record.target, record.group)

    def _open(self, iri: str, record: RelationshipRecord, ends: tuple[int, int, int]) -> EdgeDraft:
        """The draft of a relationship, begun from what is there: a living one, else a dead one of that id."""
        edge = self._known_edge(iri, record, ends)
        living = edge >= 0 and self._state.edges.alive.at(edge)
        before = self._state.edge_fields(edge) if living else EdgeFields()
        if edge < 0:
            edge, self._next_edge = self._next_edge, self._next_edge + 1
        elif record.id is None:
            iri = self._state.edge_iri(edge)  # a relationship put without an id keeps the id it has
        after = replace(before) if living else EdgeFields()
        own_id = iri if record.id is not None else None
        return EdgeDraft(edge, iri, own_id, living, *ends, record.group, before, after)

    def _known_edge(self, iri: str, record: RelationshipRecord, ends: tuple[int, int, int]) -> int:
        state, edges = self._state, self._state.edges
        is_old = max(ends[0], ends[2]) < state.twins.size  # where an end is new, so is the relationship
        at_ends = state.edges_at(ends[0], ends[1], ends[2], record.group) if is_old else ()
        if record.id is None:
            living = [edge for edge in at_ends if edges.alive.at(edge)]
            dead = [edge for edge in at_ends if not edges.own_id.at(edge)]
            return next(iter((*living, *dead)), -1)
        with_id = state.edges_with_own_id(iri)
        self._check_moved(record, iri, [edge for edge in with_id if edge not in at_ends])
        return next((edge for edge in with_id if edge in at_ends), -1)

    def _check_moved(self, record: RelationshipRecord, iri: str, elsewhere: Sequence[int]) -> None:
        if any(self._state.edges.alive.at(edge) and edge not in self.removed for edge in elsewhere):
            message = f"relationship {iri} exists between other ends"
            hint = "remove it first, or give the new one another id"
            self._findings.complain("DUPLICATE_ID", message, _key(record), hint)

    def _fill(self, draft: EdgeDraft, record: RelationshipRecord) -> None:
        if record.origin is None or draft.after.origins in ((), (record.origin,)):
            draft.after.stated = record.stated  # of several sources the first one stays
        if record.origin is not None and record.origin not in draft.after.origins:
            draft.after.origins = (*draft.after.origins, record.origin)
        before = self._state.edges.attributes.of(draft.edge) if draft.living else {}
        known = {name: value for name, value in {**before, **draft.values}.items() if value is not None}
        for name, value in known.items():
            if name not in record.attributes and record.origin in (None, value.origin):
                draft.values[name] = None
        for name, stated in record.attributes.items():
            if stated.origin is None and record.origin is not None:
                stated = Value(stated.value, stated.unit, record.origin)
            value = self._findings.state(known.get(name), stated, draft.iri, name)
            if value is not known.get(name):
                draft.values[name] = value

    def _ends(self, edge: int) -> tuple[int, int]:
        return self._state.edges.source.at(edge), self._state.edges.target.at(edge)

    def _complain_relation(self, record: RelationshipRecord) -> None:
        hint = "name the relation by its full IRI" if ":" not in record.relation else None
        self._findings.complain("RELATION_UNKNOWN", f"unknown relation {record.relation}", _key(record), hint)


def _turned(record: RelationshipRecord, canonical: Relation) -> RelationshipRecord:
    """A record of an inverse relation as one of the canonical relation."""
    stated = record.stated or record.relation
    return replace(record, source=record.target, relation=canonical.iri, target=record.source, stated=stated)


def _key(record: RelationshipRecord) -> str:
    return " ".join(filter(None, (record.source, record.relation, record.target, record.group)))


def _removal_id(removal: str | RelationshipKey) -> str:
    if isinstance(removal, str):
        return removal
    return " ".join(filter(None, (removal.source, removal.relation, removal.target, removal.group)))

"""The twins of a change against the columns as they are. Nothing is written here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.draft import TwinDraft, TwinFields
from graph.values import ItemResult, ItemStatus, TwinRecord, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from graph.bulk_drafting import BulkDrafter
    from graph.draft import Findings
    from graph.state import State
    from graph.values import Change
    from ontology.schema import Schema


class TwinDrafter:
    """Drafts of all twins that a change puts, merges, withdraws, removes, or needs as stubs."""

    def __init__(
        self, state: State, schema: Schema, findings: Findings, bulk: BulkDrafter | None = None
    ) -> None:
        self.drafts: dict[str, TwinDraft] = {}
        self.removed: dict[int, str] = {}  # row -> IRI
        self._state = state
        self._findings = findings
        self._stub_kinds = (schema.kinds[schema.external_kind].iri,)
        self._stubs: list[TwinDraft] = []
        self._stated: set[tuple[str, str | None]] = set()  # (IRI, origin) of what the change puts or merges
        self._rows: dict[int, TwinDraft] = {}
        self._bulk = bulk  # twins that stay columnar: their rows come first
        self._next_row = state.twins.size + (bulk.twin_count if bulk else 0)

    def row(self, iri: str) -> int:
        """The row of a twin that will be there after the change; -1 if there is none."""
        draft = self.drafts.get(iri)
        if draft is not None:
            return draft.row
        row = self._state.living_row(iri)
        if row < 0 and self._bulk is not None:
            return self._bulk.row(iri)
        return -1 if row in self.removed else row

    def remove(self, iris: Sequence[str]) -> None:
        """A twin that is gone already may be removed again; one that never was is a mistake."""
        for iri in iris:
            row = self._state.twins.ids.row(iri)
            if row < 0:
                self._findings.complain("TWIN_UNKNOWN", "cannot remove what never was", iri)
            elif self._state.twins.alive.at(row):
                self.removed[row] = iri

    def remove_row(self, row: int) -> None:
        self.removed[row] = self._state.twins.ids.iri(row)

    def draft(self, records: Sequence[TwinRecord], *, merge: bool, removed: Sequence[str] = ()) -> None:
        """Draft records as put or merged.

        `removed`: what the same change removes, which is a contradiction.
        """
        gone = set(removed)
        seen: set[tuple[str, str | None]] = set()  # each origin may state a twin once
        for record in records:
            key = (record.id, record.origin)
            if key in seen or record.id in gone:
                why = "twice in one change" if key in seen else "put and removed in one change"
                self._findings.complain("DUPLICATE_ID", f"the same twin {why}", record.id)
                continue
            seen.add(key)
            self._stated.add((record.id, record.origin))
            self._draft_one(self._open(record.id), record, merge=merge)

    def stub(self, iri: str) -> int:
        """The row of a stub that stands for a twin of another site."""
        draft = self._open(iri)
        draft.after.kinds = self._stub_kinds
        self._stubs.append(draft)
        return draft.row

    def is_stub(self, row: int) -> bool:
        """True if a living twin of the columns is only a stub."""
        kinds = self._state.pools.kind_sets.value(self._state.twins.kind_set.at(row))
        return kinds == self._stub_kinds and self._state.twins.ids.iri(row) not in self.drafts

    def kinds_of(self, row: int) -> tuple[str, ...]:
        """Kind IRIs of a twin as they will be."""
        draft = self._by_row().get(row)
        if draft is not None:
            return draft.after.kinds
        if self._is_bulk(row):
            return self._bulk.kinds(row) if self._bulk else ()
        return self._state.pools.kind_sets.value(self._state.twins.kind_set.at(row)) or ()

    def iri_of_new(self, row: int) -> str:
        return self._bulk.iri(row) if self._bulk and self._is_bulk(row) else self._by_row()[row].iri

    def _is_bulk(self, row: int) -> bool:
        place = row - self._state.twins.size
        return self._bulk is not None and 0 <= place < self._bulk.twin_count

    def _by_row(self) -> dict[int, TwinDraft]:
        if len(self._rows) != len(self.drafts):
            self._rows = {draft.row: draft for draft in self.drafts.values()}
        return self._rows

    def withdraw(self, withdrawn: Mapping[str, tuple[str, ...]]) -> None:
        """Take back what an origin stated; twins that nobody else states are removed."""
        for origin, iris in withdrawn.items():
            for iri in iris:
                row = self.row(iri)
                if (iri, origin) in self._stated:
                    self._findings.complain(
                        "DUPLICATE_ID", f"{origin} states and withdraws the same twin", iri
                    )
                elif row >= 0 and origin in self._open(iri).after.origins:
                    self._withdraw_one(self._open(iri), origin)

    # Results

    def changed(self) -> list[TwinDraft]:
        return [draft for draft in self.drafts.values() if draft.changed]

    def changed_records(self, records: Sequence[TwinRecord]) -> tuple[TwinRecord, ...]:
        return tuple(record for record in records if self.drafts[record.id].changed)

    def stub_records(self) -> tuple[TwinRecord, ...]:
        """Stubs go to the journal as twins of their own, so that a replay needs nothing of other sites."""
        return tuple(TwinRecord(draft.iri, kinds=draft.after.kinds) for draft in self._stubs)

    def withdrawn(self, wished: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """What is left of a wish to withdraw once removed twins and those unknown are taken out."""
        kept = {
            origin: tuple(iri for iri in iris if iri in self.drafts and self.drafts[iri].changed)
            for origin, iris in wished.items()
        }
        return {origin: iris for origin, iris in kept.items() if iris}

    def items(self, change: Change) -> Iterator[ItemResult]:
        """Results of puts, merges, removals, withdrawals: each in the order of the change."""
        for record in (*change.put_twins, *change.merge_twins):
            yield self._findings.result(record.id, self.drafts[record.id].status)
        gone = set(self.removed.values())
        withdrawn = (iri for iris in change.withdraw_twins.values() for iri in iris)
        for iri in (*change.remove_twins, *withdrawn):
            draft = self.drafts.get(iri)
            kept = draft.status if draft else ItemStatus.UNCHANGED
            yield ItemResult(iri, ItemStatus.REMOVED if iri in gone else kept)

    def stub_items(self) -> Iterator[ItemResult]:
        message = "no twin of this site: kept as a stub for a twin of another site"
        for draft in self._stubs:
            yield ItemResult(draft.iri, draft.status, "END_EXTERNAL", message)

    # One twin

    def _open(self, iri: str) -> TwinDraft:
        """The draft of a twin, begun from what is there."""
        draft = self.drafts.get(iri)
        if draft is None:
            row = self._state.twins.ids.row(iri)
            living = row >= 0 and self._state.twins.alive.at(row)
            before = self._state.twin_fields(row) if living else TwinFields()
            after = replace(before) if living else TwinFields()
            if row < 0:
                row, self._next_row = self._next_row, self._next_row + 1
            draft = self.drafts[iri] = TwinDraft(row, iri, living, before, after)
        return draft

    def _draft_one(self, draft: TwinDraft, record: TwinRecord, *, merge: bool) -> None:
        after = draft.after
        if not record.kinds and not after.kinds:
            self._findings.complain("KIND_MISSING", "a new twin needs at least one kind", draft.iri)
        replaces = not merge and (record.origin is None or after.origins == (record.origin,))
        known = () if replaces or after.kinds == self._stub_kinds else after.kinds
        after.kinds = tuple(dict.fromkeys((*known, *record.kinds))) if record.kinds else after.kinds
        known_ids = () if replaces else after.external_ids
        after.external_ids = tuple(dict.fromkeys((*known_ids, *record.external_ids)))
        after.local_id = record.local_id if replaces else after.local_id or record.local_id
        self._set_name(after, record, merge=merge)
        if record.origin is not None and record.origin not in after.origins:
            after.origins = (*after.origins, record.origin)
        if draft.living and not merge:
            self._clear_unstated(draft, record)
        self._state_values(draft, record)

    def _set_name(self, after: TwinFields, record: TwinRecord, *, merge: bool) -> None:
        """A name is changed by who stated it or by a user; among several sources the first one stays."""
        if record.name is None and merge:
            return
        if record.origin is None or after.name is None or after.name_origin == record.origin:
            changed = record.name != after.name
            after.name_origin = record.origin if changed and record.name is not None else after.name_origin
            after.name = record.name

    def _clear_unstated(self, draft: TwinDraft, record: TwinRecord) -> None:
        """A put drops what its origin stated before and no longer does.

        A user's put drops all it leaves out.
        """
        for name, value in self._values(draft).items():
            if name not in record.attributes and record.origin in (None, value.origin):
                draft.values[name] = None

    def _state_values(self, draft: TwinDraft, record: TwinRecord) -> None:
        for name, stated in record.attributes.items():
            if stated.origin is None and record.origin is not None:
                stated = Value(stated.value, stated.unit, record.origin)
            current = self._value(draft, name)
            value = self._findings.state(current, stated, draft.iri, name)
            if value is not current:
                draft.values[name] = value

    def _value(self, draft: TwinDraft, name: str) -> Value | None:
        if name in draft.values:
            return draft.values[name]
        return self._state.twins.attributes.value(name, draft.row) if draft.living else None

    def _values(self, draft: TwinDraft) -> dict[str, Value]:
        """The attributes of a twin as the change has them so far."""
        known: dict[str, Value | None] = {}
        if draft.living:
            known.update(self._state.twins.attributes.of(draft.row))
        known.update(draft.values)
        return {name: value for name, value in known.items() if value is not None}

    def _withdraw_one(self, draft: TwinDraft, origin: str) -> None:
        draft.after.origins = tuple(known for known in draft.after.origins if known != origin)
        if not draft.after.origins and draft.living:
            self.removed[draft.row] = draft.iri
            del self.drafts[draft.iri]
            return
        for name, value in self._values(draft).items():
            if value.origin == origin:
                draft.values[name] = None

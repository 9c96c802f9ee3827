"""Change -> Draft: what a wish comes to against the columns as they are. Nothing is written here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.bulk_drafting import BulkDrafter
from graph.bulk_shape import check_shape
from graph.codec import encode
from graph.draft import Draft, Findings
from graph.edge_drafting import EdgeDrafter
from graph.single import draft_values
from graph.twin_drafting import TwinDrafter
from ontology.errors import ChangeError, NotFoundError

if TYPE_CHECKING:
    from graph.bulk_drafting import BulkDraft
    from graph.check import Checker
    from graph.state import State
    from graph.values import Change, ItemResult
    from ontology.schema import Schema

# A change with more violations than this is refused with the first ones only.
PROBLEMS_MAX = 1000


def draft_change(state: State, change: Change, checker: Checker | None) -> Draft:
    """Draft a change. Without a checker (replay) its records are taken as facts.

    Raises ChangeError with every violation if there is any.
    """
    short = draft_values(state, change, checker)
    if short is not None:
        return short
    drafting = _Drafting(state, change, checker)
    drafting.draft()
    if checker is not None:
        drafting.check(checker)
    return drafting.result()


class _Drafting:
    """One change on its way to a draft."""

    def __init__(self, state: State, change: Change, checker: Checker | None) -> None:
        self._state = state
        self._change = change
        self._checked = checker is not None
        self._schema = _schema_with(state.schema, change)
        self._findings = Findings()
        self._whole = change  # with what of its columns has to go the way of records
        self._bulk: BulkDraft | None = None
        self._columns = self._open_columns()
        if self._columns is not None:
            twins = (*change.put_twins, *self._columns.split_twins(change))
            self._whole = replace(change, put_twins=twins)
        self._twins = TwinDrafter(state, self._schema, self._findings, self._columns)
        self._edges = EdgeDrafter(state, self._schema, self._twins, self._findings)
        self._removals: list[ItemResult] = []

    def _open_columns(self) -> BulkDrafter | None:
        columns = self._change.columns
        if not columns:
            return None
        if self._checked:
            check_shape(columns)
        return BulkDrafter(self._state, self._schema, columns, trusted=not self._checked)

    def draft(self) -> None:
        change, twins, edges = self._change, self._twins, self._edges
        twins.remove(change.remove_twins)
        twins.draft(self._whole.put_twins, merge=False, removed=change.remove_twins)
        twins.draft(change.merge_twins, merge=True, removed=change.remove_twins)
        twins.withdraw(change.withdraw_twins)
        self._removals = edges.remove(change.remove_relationships)
        edges.remove_with_twins(list(twins.removed))
        if self._columns is not None:
            self._split_relationships(self._columns)
        edges.draft(self._whole.put_relationships)
        for row in edges.lonely_stubs():
            twins.remove_row(row)

    def _split_relationships(self, columns: BulkDrafter) -> None:
        known = self._change.put_relationships
        others = columns.split_relationships(self._twins, known, self._edges.removed)
        self._whole = replace(self._whole, put_relationships=(*known, *others))
        self._bulk = columns.result()
        self._edges.after(self._bulk)

    def check(self, checker: Checker) -> None:
        """Raises ChangeError."""
        problems = self._findings.problems
        problems.extend(checker.check(self._schema, self._whole))
        if self._bulk is not None:
            problems.extend(checker.check_columns(self._schema, self._bulk.columns, PROBLEMS_MAX))
        if not problems:
            parts = (self._state, self._schema, self._twins, self._edges, self._bulk)
            problems.extend(checker.check_links(*parts))
        if problems:
            raise ChangeError.of(problems[:PROBLEMS_MAX])

    def result(self) -> Draft:
        change, twins, edges = self._change, self._twins, self._edges
        left, also_touched = self._what_is_left(), edges.also_touched()
        items = [*twins.items(change), *list(edges.items())[: len(change.put_relationships)], *self._removals]
        draft = Draft(
            change=left,
            schema=self._schema,
            items=(),
            twins=twins.changed(),
            edges=edges.changed(),
            removed_twins=list(twins.removed),
            removed_edges=sorted(edges.removed),
            payload=encode(left, also_touched) if self._checked else b"",
            also_touched=also_touched,
            bulk=self._bulk,
        )
        if self._columns is not None and self._checked:
            count = len(change.put_relationships)
            draft.twin_blocks = tuple(self._columns.twin_blocks(twins, self._findings, items))
            draft.relationship_blocks = tuple(self._columns.relationship_blocks(edges, count, items))
        draft.items = (*items, *twins.stub_items())
        return draft

    def _what_is_left(self) -> Change:
        """The change without what was so already: replaying it makes the same rows in the same order."""
        change, state, twins, edges = self._whole, self._state, self._twins, self._edges
        statements = change.statements.items()
        return replace(
            change,
            put_twins=twins.changed_records(change.put_twins),
            merge_twins=twins.changed_records(change.merge_twins) + twins.stub_records(),
            put_relationships=edges.changed_records(),
            remove_twins=tuple(twins.removed.values()),
            remove_relationships=edges.removals(),
            put_kinds=() if self._schema is state.schema else change.put_kinds,
            withdraw_twins=twins.withdrawn(change.withdraw_twins),
            statements={
                o: tuple(lines) for o, lines in statements if tuple(lines) != state.residue.get(o, ())
            },
            columns=self._bulk.columns if self._bulk is not None and not self._bulk.empty else None,
            expected_revision=None,
            idempotency_key=None,
        )


def _schema_with(schema: Schema, change: Change) -> Schema:
    if not change.put_kinds:
        return schema
    try:
        return schema.with_kinds(change.put_kinds)
    except NotFoundError as error:
        raise ChangeError.of([error.problem]) from error

"""Change -> Draft: what a wish comes to against the columns as they are. Nothing is written here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.codec import encode
from graph.draft import Draft, Findings
from graph.edge_drafting import EdgeDrafter
from graph.twin_drafting import TwinDrafter
from ontology.errors import ChangeError, NotFoundError

if TYPE_CHECKING:
    from graph.check import Checker
    from graph.state import State
    from graph.values import Change
    from ontology.schema import Schema

# A change with more violations than this is refused with the first ones only.
PROBLEMS_MAX = 1000


def draft_change(state: State, change: Change, checker: Checker | None) -> Draft:
    """Draft a change. Without a checker (replay) its records are taken as facts.

    Raises ChangeError with every violation if there is any.
    """
    schema = _schema_with(state.schema, change)
    findings = Findings()
    twins = TwinDrafter(state, schema, findings)
    edges = EdgeDrafter(state, schema, twins, findings)
    twins.remove(change.remove_twins)
    twins.draft(change.put_twins, merge=False, removed=change.remove_twins)
    twins.draft(change.merge_twins, merge=True, removed=change.remove_twins)
    twins.withdraw(change.withdraw_twins)
    removals = edges.remove(change.remove_relationships)
    edges.remove_with_twins(list(twins.removed))
    edges.draft(change.put_relationships)
    for row in edges.lonely_stubs():
        twins.remove_row(row)
    if checker is not None:
        findings.problems.extend(checker.check(schema, change))
        if not findings.problems:
            findings.problems.extend(checker.check_links(state, schema, twins, edges))
    if findings.problems:
        raise ChangeError.of(findings.problems[:PROBLEMS_MAX])
    left, also_touched = _what_is_left(state, change, schema, twins, edges), edges.also_touched()
    return Draft(
        change=left,
        schema=schema,
        items=(*twins.items(change), *edges.items(), *removals, *twins.stub_items()),
        twins=twins.changed(),
        edges=edges.changed(),
        removed_twins=list(twins.removed),
        removed_edges=sorted(edges.removed),
        payload=encode(left, also_touched) if checker is not None else b"",
        also_touched=also_touched,
    )


def _what_is_left(
    state: State, change: Change, schema: Schema, twins: TwinDrafter, edges: EdgeDrafter
) -> Change:
    """The change without what was so already: replaying it makes the same rows in the same order."""
    statements = change.statements.items()
    return replace(
        change,
        put_twins=twins.changed_records(change.put_twins),
        merge_twins=twins.changed_records(change.merge_twins) + twins.stub_records(),
        put_relationships=edges.changed_records(),
        remove_twins=tuple(twins.removed.values()),
        remove_relationships=edges.removals(),
        put_kinds=() if schema is state.schema else change.put_kinds,
        withdraw_twins=twins.withdrawn(change.withdraw_twins),
        statements={o: tuple(lines) for o, lines in statements if tuple(lines) != state.residue.get(o, ())},
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

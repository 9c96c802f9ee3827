"""The usual small write, made short: new values for attributes of one twin that is there.

What comes out equals what the long way in `drafting` makes of the same change; a test holds them together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.codec import encode
from graph.draft import Draft, Findings, TwinDraft, TwinFields
from ontology.errors import ChangeError

if TYPE_CHECKING:
    from graph.check import Checker
    from graph.state import State
    from graph.values import Change, TwinRecord, Value

# Of a twin whose values alone change, nothing else needs to be read: the same object before and after.
_UNTOUCHED = TwinFields()


def draft_values(state: State, change: Change, checker: Checker | None) -> Draft | None:
    """The draft of a change that sets values of one living twin; None for any other change.

    Raises ChangeError with every violation.
    """
    record = _only_values(change)
    if record is None:
        return None
    row = state.living_row(record.id)
    if row < 0:
        return None
    findings = Findings()
    draft = TwinDraft(row, record.id, True, _UNTOUCHED, _UNTOUCHED, _values(state, row, record, findings))
    if checker is not None:
        findings.problems.extend(checker.twin_problems(state.schema, record))
    if findings.problems:
        raise ChangeError.of(findings.problems)
    left = _left(change, draft)
    payload = encode(left) if checker is not None else b""
    items = (findings.result(record.id, draft.status),)
    twins = [draft] if draft.values else []
    return Draft(left, state.schema, items, twins, [], [], [], payload, ())


def _only_values(change: Change) -> TwinRecord | None:
    """The record of a change that merges a user's values into one twin and does nothing else."""
    if len(change.merge_twins) != 1 or change.put_twins or change.put_relationships or change.columns:
        return None
    if change.remove_twins or change.remove_relationships or change.put_kinds:
        return None
    if change.withdraw_twins or change.statements:
        return None
    record = change.merge_twins[0]
    # An empty name or id is not "leave it": the long way decides what it means.
    left_out = record.name is None and record.local_id is None and record.origin is None
    return record if left_out and not (record.kinds or record.external_ids) else None


def _values(state: State, row: int, record: TwinRecord, findings: Findings) -> dict[str, Value | None]:
    attributes, changed = state.twins.attributes, dict[str, "Value | None"]()
    for name, stated in record.attributes.items():
        current = attributes.value(name, row)
        value = findings.state(current, stated, record.id, name)
        if value is not current:
            changed[name] = value
    return changed


def _left(change: Change, draft: TwinDraft) -> Change:
    """The change as the journal keeps it: nothing of it where the twin is so already."""
    if draft.values and change.expected_revision is None and change.idempotency_key is None:
        return change
    merged = change.merge_twins if draft.values else ()
    return replace(change, merge_twins=merged, expected_revision=None, idempotency_key=None)

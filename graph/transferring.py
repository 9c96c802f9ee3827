"""The journal of a site brought from one store to another: resumable, and proved by content hash.

The chain of hashes is carried over as it is, so that what a target has is a beginning of the source or it is
another journal; a transfer that broke off goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.content import content_of
from graph.migrating import batches
from graph.pools import Pools
from graph.writer import new_state, replay
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.content import Content
    from graph.stores.protocol import Answer, Store
    from ontology.schema import Schema

ANSWERS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a transfer of one site did. began: the target had so many commits already."""

    site: str
    revision: int
    began: int
    digest: str
    content: str  # the content hash, equal on both sides


def transfer(
    source: Store, target: Store, schema: Schema, told: Callable[[int], None] = lambda _: None
) -> Transferred:
    """Copy all commits and answers that the target lacks; then replay both and compare.

    Nobody writes the source meanwhile. told: is given the last sequence that was copied, again and again.
    Raises StoreError MIGRATION_FOREIGN where the target holds something else, MIGRATION_FAILED where the two
    differ afterwards, and what the stores raise.
    """
    began = _common(source, target)
    target.take_over()
    for batch in batches(source.entries(began)):
        target.append(batch, [])
        told(batch[-1].sequence)
    _copy_answers(source, target)
    content = _compare(source, target, schema)
    head = target.head()
    return Transferred(source.header.site, head.sequence, began, head.digest.hex(), content.hash)


def _common(source: Store, target: Store) -> int:
    """How many commits the target has of the source already."""
    head = target.head()
    if source.header == target.header and source.digest_at(head.sequence) == head.digest:
        return head.sequence
    message = f"the target holds another journal of site {target.header.site}, of {head.sequence} commits"
    raise StoreError(message, code="MIGRATION_FOREIGN", hint="give an empty target; nothing was changed")


def _copy_answers(source: Store, target: Store) -> None:
    lacking: list[Answer] = []
    for answer in source.answers():
        if target.answer(answer.key) is None:
            lacking.append(answer)
        if len(lacking) == ANSWERS_AT_ONCE:
            target.append([], lacking)
            lacking = []
    if lacking:
        target.append([], lacking)


def _compare(source: Store, target: Store, schema: Schema) -> Content:
    problems = target.verify()
    if problems:
        first = problems[0]
        raise StoreError(first.message, code="MIGRATION_FAILED", place=first.place)
    if source.head() != target.head():
        message = f"the copy ends at commit {target.head().sequence}, the source at {source.head().sequence}"
        raise StoreError(message, code="MIGRATION_FAILED", hint="stop what writes the source, then repeat")
    mine, its = _content(source, schema), _content(target, schema)
    differences = mine.differences(its)
    if differences:
        raise StoreError("; ".join(differences), code="MIGRATION_FAILED", hint="please report this")
    return its


def _content(store: Store, schema: Schema) -> Content:
    state = new_state(store.header, schema, Pools())
    replay(state, store)
    return content_of(state.freeze())

"""What a change comes to, row by row: drafted against the columns, checked, then written or thrown away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from graph.values import ItemResult, ItemStatus, Value
from ontology.errors import Place, Problem

if TYPE_CHECKING:
    from graph.bulk import BlockResult
    from graph.bulk_drafting import BulkDraft
    from graph.values import Change, ExternalId
    from ontology.schema import Schema

F = TypeVar("F")


@dataclass(slots=True)
class TwinFields:
    """All of a twin but its attributes."""

    kinds: tuple[str, ...] = ()
    name: str | None = None
    name_origin: str | None = None
    local_id: str | None = None
    external_ids: tuple[ExternalId, ...] = ()
    origins: tuple[str, ...] = ()


class _Item(Generic[F]):
    """What is told of a twin or a relationship that a change puts."""

    __slots__ = ()

    living: bool  # before the change
    before: F
    after: F
    values: dict[str, Value | None]  # None: cleared

    @property
    def changed(self) -> bool:
        return not self.living or bool(self.values) or self.before != self.after

    @property
    def status(self) -> ItemStatus:
        if not self.living:
            return ItemStatus.CREATED
        return ItemStatus.UPDATED if self.changed else ItemStatus.UNCHANGED


@dataclass(slots=True)
class TwinDraft(_Item[TwinFields]):
    """A twin that the change puts, merges or withdraws."""

    row: int  # may lie beyond the table: then it is added, in order
    iri: str
    living: bool  # before the change
    before: TwinFields
    after: TwinFields
    values: dict[str, Value | None] = field(default_factory=dict[str, "Value | None"])  # None: cleared


@dataclass(slots=True)
class EdgeFields:
    stated: str | None = None
    origins: tuple[str, ...] = ()


@dataclass(slots=True)
class EdgeDraft(_Item[EdgeFields]):
    """A relationship that the change puts. Its ends, relation and group never change."""

    edge: int  # may lie beyond the table: then it is added, in order
    iri: str
    own_id: str | None
    living: bool
    source: int
    relation: int
    target: int
    group: str
    before: EdgeFields
    after: EdgeFields
    values: dict[str, Value | None] = field(default_factory=dict[str, "Value | None"])


@dataclass(slots=True)
class Draft:
    """A whole change, ready to be written."""

    change: (
        Change  # what is left of the wish once everything unchanged is taken out: this goes to the journal
    )
    schema: Schema
    items: tuple[ItemResult, ...]
    twins: list[TwinDraft]
    edges: list[EdgeDraft]
    removed_twins: list[int]
    removed_edges: list[int]
    payload: bytes  # the change as the journal keeps it
    also_touched: tuple[str, ...]  # twins that the change touches without naming them
    bulk: BulkDraft | None = None
    twin_blocks: tuple[BlockResult, ...] = ()
    relationship_blocks: tuple[BlockResult, ...] = ()

    @property
    def empty(self) -> bool:
        change = self.change
        return not (
            self.twins
            or self.edges
            or self.removed_twins
            or self.removed_edges
            or change.statements
            or change.put_kinds
            or change.columns
        )


@dataclass(slots=True)
class Findings:
    """What is wrong with a change, and what its items should be told besides their status."""

    problems: list[Problem] = field(default_factory=list[Problem])
    notes: dict[str, Problem] = field(default_factory=dict[str, Problem])

    def complain(self, code: str, message: str, item: str, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, Place(item=item), hint))

    def result(self, item: str, status: ItemStatus) -> ItemResult:
        note = self.notes.get(item)
        return ItemResult(item, status, note.code, note.message) if note else ItemResult(item, status)

    def state(self, current: Value | None, stated: Value, item: str, name: str) -> Value | None:
        """What an attribute is after somebody states it; `current` itself where that changes nothing.

        Of two origins that differ, neither wins: ATTRIBUTE_CONFLICT. What a user set stays, with a note.
        """
        if stated.value is None:
            return None
        if current is None or (not same_value(current, stated) and _may_override(current, stated)):
            return stated
        if not same_value(current, stated):
            self._differ(current, stated, item, name)
        return current

    def _differ(self, current: Value, stated: Value, item: str, name: str) -> None:
        if current.origin is None:
            message = f"{name} keeps the value a user gave it; {stated.origin} states another"
            self.notes[item] = Problem("ATTRIBUTE_OVERRIDDEN", message, Place(item=item))
            return
        message = (
            f"{name} is {_spell(current)} by {current.origin!r} and {_spell(stated)} by {stated.origin!r}"
        )
        hint = "make the sources agree, or set the value without a source, which overrides both"
        self.complain("ATTRIBUTE_CONFLICT", message, item, hint)


def same_value(first: Value, second: Value) -> bool:
    """True if two values say the same: 5 and 5.0 do, 1 and true do not."""
    if isinstance(first.value, bool) is not isinstance(second.value, bool):
        return False
    return first.value == second.value and first.unit == second.unit


def _may_override(current: Value, stated: Value) -> bool:
    return stated.origin is None or stated.origin == current.origin


def _spell(value: Value) -> str:
    return f"{value.value!r} {value.unit}" if value.unit else repr(value.value)

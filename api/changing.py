"""Changes as the API takes them: local ids, prefixed names, plain attributes become a `Change` of IRIs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from api.policy import Action
from graph.ids import is_iri, local_iri
from graph.values import Change, ExternalId, ItemResult, RelationshipRecord, TwinRecord, Value
from ontology.errors import AccessError, ChangeError, InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.policy import Principal
    from api.schema.inputs import ChangeInput, RelationshipInput, TwinInput
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.values import JSONValue
    from ontology.errors import Problem
    from ontology.schema import Schema

_ITEMS_MAX = 100_000
Items: TypeAlias = "Sequence[Any] | None"


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """What became of a change. Not applied: every violation by item, and nothing was written."""

    revision: int | None
    applied: bool
    items: tuple[ItemResult, ...]
    refused: tuple[Problem, ...] = ()


def apply_change(mesh: Mesh, asking: Principal, given: ChangeInput) -> ChangeOutcome:
    """Apply a change to its site; violations of the schema come back in the outcome.

    Raises AccessError FORBIDDEN, NotFoundError SITE_UNKNOWN, ConflictError REVISION_CONFLICT or
    IDEMPOTENCY_REUSED, StoreError STORE_LOCKED at a follower, InputError ATTRIBUTES_INVALID, AMBIGUOUS_ID
    or CHANGE_TOO_LARGE.
    """
    asking.require(Action.CHANGE)
    if not asking.sees_all and (asking.kinds is not None or given.site not in (asking.sites or ())):
        raise AccessError(f"{asking.name} may not change site {given.site!r}")
    mesh.check_writable()
    twin = mesh.twin(given.site)
    change = _Reader(mesh.snapshot(), given.site, twin.base).change(given, asking.name)
    try:
        applied = twin.apply(change)
    except ChangeError as error:
        return ChangeOutcome(None, False, (), error.problems)
    return ChangeOutcome(applied.revision, not change.dry_run, applied.items)


class _Reader:
    """Reads one change against the graph as it is."""

    def __init__(self, snapshot: Snapshot, site: str, base: str) -> None:
        self._snapshot = snapshot
        self._site = site
        self._base = base

    def change(self, given: ChangeInput, author: str) -> Change:
        lists: tuple[Items, ...] = (
            given.put_twins,
            given.merge_twins,
            given.put_relationships,
            given.remove_twins,
            given.remove_relationships,
        )
        if sum(len(items or ()) for items in lists) > _ITEMS_MAX:
            raise InputError(f"a change has at most {_ITEMS_MAX:,} items", code="CHANGE_TOO_LARGE")
        return Change(
            put_twins=tuple(self.twin(item) for item in given.put_twins or ()),
            merge_twins=tuple(self.twin(item) for item in given.merge_twins or ()),
            put_relationships=tuple(self.relationship(item) for item in given.put_relationships or ()),
            remove_twins=tuple(self.iri(text) for text in given.remove_twins or ()),
            remove_relationships=tuple(given.remove_relationships or ()),
            author=author,
            expected_revision=given.expected_revision,
            idempotency_key=given.idempotency_key,
            dry_run=bool(given.dry_run),
        )

    def iri(self, text: str) -> str:
        """The IRI that an id means: of a twin that is there, own site first, else the one it will get."""
        if is_iri(text):
            return text
        own = self._snapshot.candidates(text, self._site) if self._site in self._snapshot.sites else []
        found = own or self._snapshot.candidates(text)
        if len(found) > 1:
            raise InputError(f"{text!r} means several twins", code="AMBIGUOUS_ID", hint="write the full IRI")
        if found:
            return self._snapshot.id(found[0])
        site, colon, rest = text.partition(":")
        if colon and site in self._snapshot.sites:
            return local_iri(self._snapshot.bases[self._snapshot.sites.index(site)], rest)
        return local_iri(self._base, text)

    def twin(self, given: TwinInput) -> TwinRecord:
        iri = self.iri(given.id)
        is_local = not is_iri(given.id) and iri != local_iri(self._base, given.id)
        return TwinRecord(
            id=iri,
            kinds=tuple(_kind(self._snapshot.schema, name) for name in given.kinds or ()),
            name=given.name,
            local_id=self._local_id(iri) if is_local else None,
            attributes=_values(given.attributes, given.id),
            external_ids=tuple(ExternalId(item.system, item.id) for item in given.external_ids or ()),
        )

    def relationship(self, given: RelationshipInput) -> RelationshipRecord:
        source, target = self.iri(given.source), self.iri(given.target)
        relation, turned = _relation(self._snapshot.schema, given.relation)
        return RelationshipRecord(
            source=target if turned else source,
            relation=relation,
            target=source if turned else target,
            group=given.group or "",
            id=given.id,
            attributes=_values(given.attributes, f"{given.source} {given.relation} {given.target}"),
        )

    def _local_id(self, iri: str) -> str | None:
        """A put replaces the record: the local id that a file gave stays."""
        row = self._snapshot.row(iri)
        return self._snapshot.record(row).local_id if row >= 0 else None


def _kind(schema: Schema, name: str) -> str:
    """The kind's IRI; an unknown name as it is, so that the check names it with its item."""
    try:
        return schema.kind(name).iri
    except NotFoundError:
        return name


def _relation(schema: Schema, name: str) -> tuple[str, bool]:
    """(IRI of the stored relation, whether the name is its inverse)."""
    try:
        found = schema.relation(name)
    except NotFoundError:
        return name, False
    if found.inverse_of is None:
        return found.iri, False
    return schema.relations[found.inverse_of].iri, True


def _values(given: object, item: str) -> dict[str, Value]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        hint = '{"name": value} or {"name": {"value": ..., "unit": ...}}'
        raise InputError(f"attributes of {item!r} are not an object", code="ATTRIBUTES_INVALID", hint=hint)
    return {name: _value(value) for name, value in cast("dict[str, JSONValue]", given).items()}


def _value(given: JSONValue) -> Value:
    """A plain value, or an object of just `value` and perhaps `unit`."""
    if isinstance(given, dict) and "value" in given and given.keys() <= {"value", "unit"}:
        fields: Mapping[str, JSONValue] = given
        unit = fields.get("unit")
        return Value(fields["value"], str(unit) if unit is not None else None)
    return Value(given)

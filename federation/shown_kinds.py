"""Kinds and attributes that peers show, as our vocabulary has them: so that the schema knows their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from graph.attributes import Tag
from graph.usage import AttributeUse, InUse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.asking import Catalogue, Usage
    from ontology.schema import Schema

SETS_MAX: Final = 2_000
ATTRIBUTES_MAX: Final = 1_000
_TAGS: Final = frozenset(map(int, Tag)) - {int(Tag.ABSENT)}


def with_shown(own: InUse, catalogues: Iterable[Catalogue], ontology: Schema) -> InUse:
    """What our data uses, and what peers show. Kinds that our vocabulary lacks are left out.

    The types of an attribute that we use ourselves are ours to say: no peer changes a field of our schema.
    """
    told = tuple(catalogues)
    if not told:
        return own
    sets = {_kinds(ontology, kinds) for each in told for kinds in each.kind_sets[:SETS_MAX]}
    uses = {use.name: use for use in own.attributes}
    ours = frozenset(uses)
    for each in told:
        for usage in each.usage[:ATTRIBUTES_MAX]:
            if usage.name in each.names:
                _add(uses, usage, ontology, ours)
    ordered = tuple(uses[name] for name in sorted(uses))
    return InUse(own.kind_sets | (sets - {()}), ordered)


def _add(uses: dict[str, AttributeUse], usage: Usage, ontology: Schema, ours: frozenset[str]) -> None:
    kinds = frozenset(_kinds(ontology, usage.kinds))
    known = uses.get(usage.name)
    tags = frozenset(Tag(tag) for tag in usage.tags if tag in _TAGS)
    if known is not None:
        kinds |= known.kinds
        tags = known.tags if usage.name in ours else known.tags | tags
    if kinds and tags:
        uses[usage.name] = AttributeUse(usage.name, kinds, tags)


def _kinds(ontology: Schema, iris: Iterable[str]) -> tuple[int, ...]:
    found = (ontology.kind_by_iri(iri) for iri in iris)
    return tuple(kind.index for kind in found if kind is not None)

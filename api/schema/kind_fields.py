"""Which fields the types of each kind have: those of every twin or point, and its typed attributes.

An interface has the attributes that twins of its kind or of a kind above it have (GraphQL wants the fields of
an interface in all below it); a filter those that any twin of its list may have.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from api.schema.typed import attribute_field, graphql_field
from api.schema.typed_filters import FILTER_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from graphql import GraphQLField, GraphQLInterfaceType, GraphQLNamedOutputType, GraphQLSchema

    from api.schema.typed import AttributeField
    from graph.usage import AttributeUse
    from ontology.schema import Schema

ATTRIBUTES_PER_KIND_MAX: Final = 100
"""Typed attributes that a kind brings, and that a filter has; the others stay with `attribute(name:)`."""


@dataclass(eq=False)
class KindFields:
    """together: by leading kind, all kinds that its twins have. own: by kind, the attributes it brings."""

    fixed: GraphQLSchema
    ontology: Schema
    together: Mapping[int, frozenset[int]]
    own: Mapping[int, Sequence[AttributeField]]
    shared: Mapping[str, GraphQLField]

    @classmethod
    def of(
        cls,
        fixed: GraphQLSchema,
        ontology: Schema,
        sets: Iterable[tuple[int, ...]],
        attributes: Iterable[AttributeUse],
    ) -> KindFields:
        together: dict[int, set[int]] = {kind: {kind} for kind in (ontology.twin_kind, ontology.point_kind)}
        for members in sets:
            for kind in members:
                together.setdefault(kind, {kind})
            if members:
                together[members[0]].update(members)
        taken = frozenset(_interface(fixed, "Point").fields) | FILTER_WORDS
        own: dict[int, list[AttributeField]] = {}
        shared: dict[str, GraphQLField] = {}
        for use in sorted(attributes, key=lambda each: each.name):
            made = attribute_field(use, ontology.attribute(use.name), taken)
            if made is not None:
                form = cast("GraphQLNamedOutputType", fixed.type_map[made.form])
                shared[made.name] = graphql_field(made, form)
                for kind in use.kinds:
                    own.setdefault(kind, []).append(made)
        capped = {kind: _capped(items) for kind, items in own.items()}
        return cls(fixed, ontology, {k: frozenset(v) for k, v in together.items()}, capped, shared)

    def base(self, kind: int) -> GraphQLInterfaceType:
        """The fixed interface that a kind is based on."""
        is_point = self.ontology.is_a(kind, self.ontology.point_kind)
        return _interface(self.fixed, "Point" if is_point else "Twin")

    def above(self, kind: int) -> list[int]:
        """A kind and all its super-kinds, by row in the ontology."""
        return self.ontology.ancestors[kind].nonzero()[0].tolist()

    def strictly_above(self, kind: int) -> list[int]:
        """Without the kind itself and those that mean the same (owl:equivalentClass is a circle of kinds)."""
        ancestors = self.ontology.ancestors
        return (ancestors[kind] & ~ancestors[:, kind]).nonzero()[0].tolist()

    def from_the_top(self) -> list[int]:
        """All kinds that need an interface, each after those above it."""
        wanted = {row for leading in self.together for row in self.above_all(leading)}
        return sorted(wanted, key=lambda kind: (len(self.strictly_above(kind)), kind))

    def above_all(self, leading: int) -> list[int]:
        """The same of all kinds that twins have with a leading one: all that its object type stands for."""
        return sorted({row for kind in self.together[leading] for row in self.above(kind)})

    def of_interface(self, kind: int) -> dict[str, GraphQLField]:
        # The fixed interfaces have fixed fields: what twins of just that kind have is in their object type.
        above = (row for row in self.above(kind) if row not in self._fixed_kinds)
        return {**self.base(kind).fields, **self._attributes(above)}

    def of_object(self, leading: int) -> dict[str, GraphQLField]:
        rows = self.above_all(leading)
        is_point = self.ontology.point_kind in rows
        above = [row for row in rows if row not in self._fixed_kinds]
        fixed = _interface(self.fixed, "Point" if is_point else "Twin").fields
        return {**fixed, **self._attributes([*above, *self.together[leading]])}

    def filters(self, kind: int) -> Sequence[AttributeField]:
        """The attributes that twins of a kind or below it have, by name."""
        return self._below.get(kind, ())

    def filtered(self, kind: int) -> Mapping[str, str]:
        """By name of a filter's field, the attribute."""
        return {item.name: item.attribute for item in self.filters(kind)}

    def _attributes(self, kinds: Iterable[int]) -> dict[str, GraphQLField]:
        names = {item.name for kind in kinds for item in self.own.get(kind, ())}
        return {name: self.shared[name] for name in sorted(names)}

    @cached_property
    def _below(self) -> Mapping[int, Sequence[AttributeField]]:
        found: dict[int, dict[str, AttributeField]] = {}
        for kind, items in self.own.items():
            for above in self.above(kind):
                found.setdefault(above, {}).update((item.name, item) for item in items)
        return {kind: _capped(items.values()) for kind, items in found.items()}

    @property
    def _fixed_kinds(self) -> tuple[int, int]:
        return (self.ontology.twin_kind, self.ontology.point_kind)


def _capped(items: Iterable[AttributeField]) -> list[AttributeField]:
    """By name; of too many, the declared ones come first."""
    chosen = sorted(items, key=lambda each: (not each.is_declared, each.name))[:ATTRIBUTES_PER_KIND_MAX]
    return sorted(chosen, key=lambda each: each.name)


def _interface(fixed: GraphQLSchema, name: str) -> GraphQLInterfaceType:
    return cast("GraphQLInterfaceType", fixed.type_map[name])

"""From the selections of an operation to what is written (`api.pushdown.writing`), once per operation."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from graphql import GraphQLObjectType, get_named_type

from api.pushdown.attributes import Attributes, PointUnit, Typed, checked_entry
from api.pushdown.linking import (
    Connection,
    FarTwin,
    Link,
    LinkAttributes,
    LinkCursor,
    LinkGroup,
    LinkId,
    LinkRelation,
    Links,
)
from api.pushdown.writing import (
    Constant,
    ExternalIds,
    Kind,
    Kinds,
    Plain,
    Points,
    Revision,
    Twins,
    TypeName,
)
from api.schema.typed import EXTENSION, AttributeField
from graph.stores.neo4j.script import refuse
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLField, GraphQLNamedType

    from api.compiled.selecting import Asked, Selecting
    from api.pushdown.writing import Field, Fields

_FIELDS_MAX: Final = 2_000
"""Types of twins that are told apart below each other multiply."""
_PLAIN: Final[Mapping[str, Field]] = {
    "__typename": TypeName(),
    "id": Plain("id"),
    "localId": Plain("_local"),
    "name": Plain("name"),
    "site": Plain("_site"),
    "kind": Kind(),
    "kinds": Kinds(),
    "revision": Revision(),
    "unit": PointUnit(),
}
_LINK: Final[Mapping[str, Field]] = {
    "id": LinkId(),
    "relation": LinkRelation(),
    "group": LinkGroup(),
}
_READINGS: Final = frozenset({"value", "text", "state", "time", "quality", "qualityReason", "history"})
_WAYS: Final = {"out": Way.OUT, "in": Way.IN}


@dataclass(slots=True)
class Planner:
    """Of one operation. LimitError PUSHDOWN_UNSUPPORTED."""

    selecting: Selecting
    fields: int = 0

    def twins(self, asked: Asked, kind: GraphQLNamedType) -> Twins:
        """Twins at a place whose type is an interface or object type of theirs."""
        groups = self.selecting.alike(asked, kind)
        allowed = None if kind.name == "Twin" else frozenset(item.name for group in groups for item in group)
        if len(groups) == 1:
            return Twins(((None, self._fields(asked, groups[0][0])),), allowed)
        made = tuple(
            (frozenset(item.name for item in group), self._fields(asked, group[0])) for group in groups
        )
        return Twins(made, allowed)

    def _fields(self, asked: Asked, kind: GraphQLObjectType) -> Fields:
        found = self.selecting.below(asked, kind)
        self.fields += len(found)
        if self.fields > _FIELDS_MAX:
            refuse("an operation that tells so many types of twins apart")
        return tuple((each.key, self._field(each, kind)) for each in found)

    def _field(self, asked: Asked, kind: GraphQLObjectType) -> Field:
        name = asked.name
        if name in _PLAIN:
            return _PLAIN[name]
        if name in _READINGS:
            refuse(f"`{name}`: readings are not in the graph, so it")
        field = cast("GraphQLField", self.selecting.schema.get_field(kind, name))
        inner = get_named_type(field.type)
        arguments = self.selecting.arguments(field, asked)
        if name in _WAYS:
            return Links(_WAYS[name], arguments, self.links(asked, cast("GraphQLObjectType", inner)))
        if name == "points":
            return Points(self.twins(asked, inner))
        if name in ("attributes", "attribute"):
            entry = checked_entry(self._names(asked, cast("GraphQLObjectType", inner)))
            return Attributes(arguments, entry, inner.name, name == "attribute")
        if name == "externalIds":
            return ExternalIds(self._names(asked, cast("GraphQLObjectType", inner)), inner.name)
        typed = field.extensions.get(EXTENSION)
        if isinstance(typed, AttributeField):
            return Typed(typed, arguments)
        return refuse(f"`{name}`")

    def _names(self, asked: Asked, kind: GraphQLObjectType) -> tuple[tuple[str, str], ...]:
        return tuple((each.key, each.name) for each in self.selecting.below(asked, kind))

    def links(self, asked: Asked, kind: GraphQLObjectType) -> Connection:
        return self.connection(asked, kind, self.link, LinkCursor())

    def link(self, asked: Asked, kind: GraphQLNamedType) -> Link:
        """A relationship."""
        item = cast("GraphQLObjectType", kind)
        found = self.selecting.below(asked, item)
        return Link(tuple((each.key, self._link_field(each, item)) for each in found))

    def _link_field(self, asked: Asked, kind: GraphQLObjectType) -> Field:
        name = asked.name
        if name == "__typename":
            return Constant(kind.name)
        if name in _LINK:
            return _LINK[name]
        field = cast("GraphQLField", self.selecting.schema.get_field(kind, name))
        inner = get_named_type(field.type)
        if name == "twin":
            return FarTwin(self.twins(asked, inner))
        if name == "attributes":
            entry = checked_entry(self._names(asked, cast("GraphQLObjectType", inner)))
            return LinkAttributes(entry, inner.name)
        return refuse(f"`{name}`")

    def connection(
        self,
        asked: Asked,
        kind: GraphQLObjectType,
        node: Callable[[Asked, GraphQLNamedType], object],
        cursor: object,
    ) -> Connection:
        """A page of anything. node: what becomes of an item; cursor: of its cursor."""
        nodes: list[tuple[str, object]] = []
        edges: list[tuple[str, tuple[tuple[str, object], ...]]] = []
        infos: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        totals: list[str] = []
        typenames: list[tuple[str, str]] = []
        found = self.selecting.below(asked, kind)
        for each in found:
            field = self.selecting.schema.get_field(kind, each.name)
            inner = cast("Any", get_named_type(field.type) if field else None)
            if each.name == "nodes":
                nodes.append((each.key, node(each, inner)))
            elif each.name == "edges":
                edges.append((each.key, self._edge(each, inner, node, cursor)))
            elif each.name == "pageInfo":
                infos.append((each.key, self._info(each, inner)))
            elif each.name == "totalCount":
                totals.append(each.key)
            else:
                typenames.append((each.key, kind.name))
        order = tuple(each.key for each in found)
        return Connection(tuple(nodes), tuple(edges), tuple(infos), tuple(totals), tuple(typenames), order)

    def _info(self, asked: Asked, kind: GraphQLObjectType) -> tuple[tuple[str, str], ...]:
        """The name of its type stands for itself."""
        fields = self._names(asked, kind)
        return tuple((key, kind.name if name == "__typename" else name) for key, name in fields)

    def _edge(
        self,
        asked: Asked,
        kind: GraphQLObjectType,
        node: Callable[[Asked, GraphQLNamedType], object],
        cursor: object,
    ) -> tuple[tuple[str, object], ...]:
        made: list[tuple[str, object]] = []
        for each in self.selecting.below(asked, kind):
            field = self.selecting.schema.get_field(kind, each.name)
            if each.name == "node" and field is not None:
                made.append((each.key, node(each, get_named_type(field.type))))
            else:
                made.append((each.key, cursor if each.name == "cursor" else Constant(kind.name)))
        return tuple(made)

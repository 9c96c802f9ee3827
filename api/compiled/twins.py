"""Plans of what is asked of twins, of relationships, and of what hangs on them."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import orjson
from graphql import GraphQLList, GraphQLObjectType, get_named_type, get_nullable_type

from api.compiled.arena import by_code
from api.compiled.attributes import ATTRIBUTE_FIELDS
from api.compiled.frames import Links, Pages, Twins, check
from api.compiled.leaves import POINT_LEAVES, TWIN_LEAVES
from api.compiled.linking import LINK_FIELDS, PAGE_FIELDS, cursors
from api.compiled.plain import plain_column, plain_object
from api.compiled.selecting import Unplannable
from api.compiled.template import (
    Column,
    FirstOf,
    Template,
    Variants,
    list_of,
    object_of,
    slot,
    text,
    woven,
)
from api.compiled.typed import typed_column
from api.schema.typed import EXTENSION, AttributeField
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt
    from graphql import GraphQLField, GraphQLNamedType

    from api.compiled.arena import Pieces
    from api.compiled.frames import Entries, Places
    from api.compiled.selecting import Arguments, Asked, Selecting

_TEMPLATES_MAX: Final = 400
"""Types of twins that are told apart below each other multiply; a plan of more is left to the resolvers."""
_TEMPLATE_BYTES: Final = 4_000
_FIELD_BYTES: Final = 1_500
_LEAVES: Final = {**TWIN_LEAVES, **POINT_LEAVES}
_WAYS: Final = {"out": Way.OUT, "in": Way.IN}


@dataclass(slots=True)
class Planner:
    """Makes the templates of one operation."""

    selecting: Selecting
    made: int = 0
    fields: int = 0

    @property
    def nbytes(self) -> int:
        """About what the plan takes in memory."""
        return _TEMPLATE_BYTES * (1 + self.made) + _FIELD_BYTES * self.fields

    # Twins

    def twins(self, asked: Asked, kind: GraphQLNamedType) -> Template[Twins]:
        """Twins at a place whose type is an interface or object type of theirs."""
        groups = self.selecting.alike(asked, kind)
        self.made += len(groups)
        if self.made > _TEMPLATES_MAX or not groups:
            raise Unplannable
        templates = [object_of(self._twin_fields(asked, group[0])) for group in groups]
        if len(groups) == 1:
            names = None if kind.name == "Twin" else frozenset(item.name for item in groups[0])
            return templates[0] if names is None else templates[0].checked(_OfTypes(names))
        names = tuple(frozenset(item.name for item in group) for group in groups)
        return slot(Variants(_VariantNumbers(names), _some_twins, [woven(each) for each in templates]))

    def _twin_fields(self, asked: Asked, kind: GraphQLObjectType) -> list[tuple[bytes, Template[Twins]]]:
        found = self.selecting.below(asked, kind)
        return [(orjson.dumps(each.key), self._twin_field(each, kind)) for each in found]

    def _twin_field(self, asked: Asked, kind: GraphQLObjectType) -> Template[Twins]:
        name = asked.name
        self.fields += 1
        if name == "__typename":
            return slot(Column("__typename", _typenames))
        if name in _LEAVES:
            leaf = _LEAVES[name]
            quote = b'"' if leaf.quoted else b""
            return slot(Column(name, leaf.column, leaf.few), quote, quote)
        field = self.selecting.schema.get_field(kind, name)
        if field is None:
            raise Unplannable
        arguments = self.selecting.arguments(field, asked)
        if name in _WAYS:
            return self._pages(asked, field).of(_PagesOf(_WAYS[name], arguments))
        if name == "points":
            return list_of(_points, self.twins(asked, get_named_type(field.type)))
        if name in ("attributes", "attribute"):
            return self._attributes(asked, field, arguments)
        if name == "externalIds":
            return slot(self._external_ids(asked, field))
        typed = field.extensions.get(EXTENSION)
        if isinstance(typed, AttributeField):
            return slot(typed_column(typed, arguments))
        return slot(self._plain_lists(asked, field, arguments))

    def _plain_lists(self, asked: Asked, field: GraphQLField, arguments: Arguments) -> Column[Twins]:
        """Such as `history`."""
        kind = get_named_type(field.type)
        if not isinstance(kind, GraphQLObjectType) or not isinstance(
            get_nullable_type(field.type), GraphQLList
        ):
            raise Unplannable
        planned = plain_object(self.selecting, asked, kind)
        return plain_column(planned, asked, field, arguments)

    def _attributes(self, asked: Asked, field: GraphQLField, arguments: Arguments) -> Template[Twins]:
        kind = cast("GraphQLObjectType", get_named_type(field.type))
        entry = self._fields(asked, kind, ATTRIBUTE_FIELDS)
        children = _AttributesOf(arguments, is_one=asked.name == "attribute")
        return slot(FirstOf(children, woven(entry))) if children.is_one else list_of(children, entry)

    def _external_ids(self, asked: Asked, field: GraphQLField) -> Column[Twins]:
        kind = cast("GraphQLObjectType", get_named_type(field.type))
        wanted = [(each.key, each.name) for each in self.selecting.below(asked, kind)]
        if any(name not in ("system", "id", "__typename") for _, name in wanted):
            raise Unplannable
        return Column(("externalIds", tuple(wanted)), _ExternalIds(wanted, kind.name))

    # Relationships

    def _pages(self, asked: Asked, field: GraphQLField) -> Template[Pages]:
        return self._connection(asked, field, PAGE_FIELDS, _links_of_page, self._link_at_edge, self.links)

    def links(self, asked: Asked, kind: GraphQLObjectType) -> Template[Links]:
        fields: list[tuple[bytes, Template[Links]]] = []
        for each in self.selecting.below(asked, kind):
            key = orjson.dumps(each.key)
            definition = self.selecting.schema.get_field(kind, each.name)
            inner = get_named_type(definition.type) if definition else None
            if each.name == "twin" and inner is not None:
                fields.append((key, self.twins(each, inner).of(_far_twins)))
            elif each.name == "attributes" and isinstance(inner, GraphQLObjectType):
                entry = self._fields(each, inner, ATTRIBUTE_FIELDS)
                fields.append((key, list_of(_link_attributes, entry)))
            else:
                fields.append((key, _plain(each, kind, LINK_FIELDS)))
        return object_of(fields)

    def _link_at_edge(self, asked: Asked, kind: GraphQLObjectType) -> Template[Links]:
        return self.edge(asked, kind, cursors, self.links)

    # What all connections share

    def _connection(
        self,
        asked: Asked,
        field: GraphQLField,
        plain: Mapping[str, Template[Any]],
        children: Callable[[Any], tuple[Any, Places]],
        edge: Callable[[Asked, Any], Template[Any]],
        node: Callable[[Asked, Any], Template[Any]],
    ) -> Template[Any]:
        kind = cast("GraphQLObjectType", get_named_type(field.type))
        fields: list[tuple[bytes, Template[Any]]] = []
        for each in self.selecting.below(asked, kind):
            key = orjson.dumps(each.key)
            definition = self.selecting.schema.get_field(kind, each.name)
            inner = get_named_type(definition.type) if definition else None
            if each.name == "nodes":
                fields.append((key, list_of(children, node(each, inner))))
            elif each.name == "edges":
                fields.append((key, list_of(children, edge(each, inner))))
            elif each.name == "pageInfo" and isinstance(inner, GraphQLObjectType):
                fields.append((key, self._fields(each, inner, plain)))
            else:
                fields.append((key, _plain(each, kind, plain)))
        return object_of(fields)

    def connection(
        self,
        asked: Asked,
        field: GraphQLField,
        plain: Mapping[str, Template[Any]],
        children: Callable[[Any], tuple[Twins, Places]],
        cursor: Callable[[Twins], Pieces],
    ) -> Template[Any]:
        """A connection of twins."""

        def edge(each: Asked, kind: GraphQLObjectType) -> Template[Twins]:
            return self.edge(each, kind, cursor, self.twins)

        return self._connection(asked, field, plain, children, edge, self.twins)

    def edge(
        self,
        asked: Asked,
        kind: GraphQLObjectType,
        cursor: Callable[[Any], Pieces],
        node: Callable[[Asked, Any], Template[Any]],
    ) -> Template[Any]:
        fields: list[tuple[bytes, Template[Any]]] = []
        for each in self.selecting.below(asked, kind):
            key = orjson.dumps(each.key)
            definition = self.selecting.schema.get_field(kind, each.name)
            if each.name == "node" and definition is not None:
                fields.append((key, node(each, get_named_type(definition.type))))
            elif each.name == "cursor":
                fields.append((key, slot(Column("cursor", cursor))))
            else:
                fields.append((key, _plain(each, kind, {})))
        return object_of(fields)

    def _fields(
        self, asked: Asked, kind: GraphQLObjectType, plain: Mapping[str, Template[Any]]
    ) -> Template[Any]:
        """An object whose fields are all plain."""
        found = self.selecting.below(asked, kind)
        return object_of([(orjson.dumps(each.key), _plain(each, kind, plain)) for each in found])


def _plain(asked: Asked, kind: GraphQLObjectType, known: Mapping[str, Template[Any]]) -> Template[Any]:
    if asked.name == "__typename":
        return text(orjson.dumps(kind.name))
    if asked.name not in known:
        raise Unplannable
    return known[asked.name]


# From frame to frame


@dataclass(frozen=True, slots=True, eq=False)
class _PagesOf:
    way: Way
    arguments: Arguments

    def __call__(self, twins: Twins) -> Pages:
        return twins.kept(self, lambda: self._find(twins))

    def _find(self, twins: Twins) -> Pages:
        given = self.arguments.values(twins.run.variables)
        wanted = (given.get(name) for name in ("relation", "kind", "first", "after"))
        return twins.pages(self.way, *cast("Any", wanted))


@dataclass(frozen=True, slots=True, eq=False)
class _AttributesOf:
    arguments: Arguments
    is_one: bool

    def __call__(self, twins: Twins) -> tuple[Entries, Places]:
        given = self.arguments.values(twins.run.variables)
        if self.is_one:
            return twins.attributes((given["name"],))
        names = given.get("names")
        return twins.attributes(None if names is None else tuple(names))


@dataclass(frozen=True, slots=True, eq=False)
class _ExternalIds:
    wanted: Sequence[tuple[str, str]]
    typename: str

    def __call__(self, twins: Twins) -> Pieces:
        pool = twins.snapshot.pools.external_ids

        def encode(code: int) -> bytes:
            return orjson.dumps(
                [
                    {
                        key: self.typename if name == "__typename" else getattr(one, name)
                        for key, name in self.wanted
                    }
                    for one in pool.value(code) or ()
                ]
            )

        return by_code(twins.arena, twins.snapshot.twins.external.take(twins.rows), encode)


@dataclass(frozen=True, slots=True, eq=False)
class _OfTypes:
    """That all twins are of types that the place allows: the resolvers tell where one is not."""

    names: frozenset[str]

    def __call__(self, twins: Twins) -> None:
        table = twins.run.types.of(twins.run.schema, twins.snapshot)
        check(table.is_one_of(self.names)[twins.kind_sets].all())


@dataclass(frozen=True, slots=True, eq=False)
class _VariantNumbers:
    names: tuple[frozenset[str], ...]

    def __call__(self, twins: Twins) -> npt.NDArray[np.int64]:
        table = twins.run.types.of(twins.run.schema, twins.snapshot)
        numbers = [self._number(name) for name in table.names]
        found = np.array(numbers, np.int64)[table.number[twins.kind_sets]]
        check((found >= 0).all())
        return found

    def _number(self, name: str) -> int:
        return next((number for number, names in enumerate(self.names) if name in names), -1)


def _typenames(twins: Twins) -> Pieces:
    table = twins.run.types.of(twins.run.schema, twins.snapshot)
    return by_code(twins.arena, table.number[twins.kind_sets], lambda code: orjson.dumps(table.names[code]))


def _some_twins(twins: Twins, places: npt.NDArray[np.int64]) -> Twins:
    return Twins(twins.run, twins.view, twins.rows[places])


def _points(twins: Twins) -> tuple[Twins, Places]:
    return twins.points


def _links_of_page(pages: Pages) -> tuple[Links, Places]:
    return pages.links, pages.found.start


def _far_twins(links: Links) -> Twins:
    return links.twins


def _link_attributes(links: Links) -> tuple[Entries, Places]:
    return links.attributes

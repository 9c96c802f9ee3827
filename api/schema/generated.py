"""One schema out of two: the fixed types that Strawberry made, and types generated from the ontology.

Kind K gives an interface K (with all of its super-kinds), an object type KTwin, a connection, and the roots
`k` and `kList`. They are plain graphql-core types that share the field objects and resolvers of Twin and
Point, so a thousand kinds cost little. Names come from the ontology, computed over the whole vocabulary; one
that collides with a fixed type is an error, never a silent replacement.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    validate_schema,
)

from api.schema.rows import TwinRow
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from graphql import GraphQLResolveInfo

    from api.schema.context import RequestContext
    from ontology.schema import Schema

Info: TypeAlias = "GraphQLResolveInfo[RequestContext]"
_TWIN: Final = "Twin"
_POINT: Final = "Point"


def join(fixed: GraphQLSchema, ontology: Schema, in_use: Iterable[int]) -> GraphQLSchema:
    """The fixed schema with the types of these kinds and of their super-kinds.

    StoreError SCHEMA_COLLISION names every name that stands for two things.
    """
    build = _Build(fixed, ontology)
    wanted = sorted({ontology.twin_kind, ontology.point_kind, *in_use})
    for kind in wanted:
        build.add_object(kind)
    query = build.query()
    others = [
        item
        for name, item in fixed.type_map.items()
        if not name.startswith("__") and item is not fixed.query_type
    ]
    joined = GraphQLSchema(
        query=query,
        mutation=fixed.mutation_type,
        subscription=fixed.subscription_type,
        types=[*others, *build.made.values()],
        directives=fixed.directives,
        extensions=fixed.extensions,
    )
    # Strawberry's resolvers look for their own schema here.
    joined._strawberry_schema = fixed._strawberry_schema  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    errors = validate_schema(joined)
    if errors:
        raise StoreError(f"the generated schema is wrong: {errors[0].message}", code="SCHEMA_COLLISION")
    return joined


def resolve_twin_type(value: object, info: Any, _type: object) -> str:
    """The object type of a twin; that of a plain twin or point where its kind has left use since."""
    if not isinstance(value, TwinRow):
        raise TypeError(f"{type(value).__name__} is no twin")
    name = value.typename
    if name in info.schema.type_map:
        return name
    schema = value.cohort.view.snapshot.schema
    is_point = any(
        schema.is_a(kind, schema.point_kind) for kind in value.cohort.view.snapshot.kinds(value.row)
    )
    return f"{_POINT if is_point else _TWIN}Twin"


@dataclass(slots=True)
class _Build:
    fixed: GraphQLSchema
    ontology: Schema
    made: dict[str, GraphQLNamedType] = field(default_factory=dict[str, GraphQLNamedType])
    roots: dict[str, GraphQLField] = field(default_factory=dict[str, GraphQLField])

    def add_object(self, kind: int) -> None:
        """The object type of a kind in use, with all it needs."""
        interfaces = self.interfaces(kind)
        name = f"{self.ontology.graphql_name(kind)}Twin"
        self._add(GraphQLObjectType(name, dict(self._base(kind).fields), interfaces=interfaces))

    def interfaces(self, kind: int) -> list[GraphQLInterfaceType]:
        """The interfaces of a kind and of all its super-kinds, by row in the ontology."""
        return [self.interface(int(above)) for above in self.ontology.ancestors[kind].nonzero()[0]]

    def interface(self, kind: int) -> GraphQLInterfaceType:
        if kind in (self.ontology.twin_kind, self.ontology.point_kind):
            self._add_roots(kind, self._base(kind))
            return self._base(kind)
        name = self.ontology.graphql_name(kind)
        known = self.made.get(name)
        if isinstance(known, GraphQLInterfaceType):
            return known
        above = [int(row) for row in self.ontology.ancestors[kind].nonzero()[0] if row != kind]
        made = GraphQLInterfaceType(
            name,
            dict(self._base(kind).fields),
            # As a thunk: kinds may stand above each other in a circle (owl:equivalentClass).
            interfaces=lambda: [self.interface(row) for row in above],
            resolve_type=resolve_twin_type,
            description=self.ontology.kinds[kind].name,
        )
        self._add(made)
        self._add_roots(kind, made)
        for row in above:
            self.interface(row)
        return made

    def query(self) -> GraphQLObjectType:
        fixed = cast("GraphQLObjectType", self.fixed.query_type)
        taken = sorted(fixed.fields.keys() & self.roots.keys())
        if taken:
            raise _collision(taken)
        return GraphQLObjectType("Query", {**fixed.fields, **self.roots})

    def _add_roots(self, kind: int, interface: GraphQLInterfaceType) -> None:
        root = self.ontology.graphql_field(kind)
        if root in self.roots:
            return
        fixed = cast("GraphQLObjectType", self.fixed.query_type).fields
        iri = self.ontology.kinds[kind].iri
        self.roots[root] = GraphQLField(
            interface, dict(fixed["node"].args), _only_of_kind(fixed["node"], self.ontology, kind)
        )
        arguments = {name: item for name, item in fixed["twins"].args.items() if name != "kind"}
        connection = GraphQLNonNull(self._connection(kind, interface))
        self.roots[f"{root}List"] = GraphQLField(connection, arguments, _with_kind(fixed["twins"], iri))

    def _connection(self, kind: int, node: GraphQLInterfaceType) -> GraphQLObjectType:
        name = f"{self.ontology.graphql_name(kind)}Connection"
        fixed = cast("GraphQLObjectType", self.fixed.type_map["TwinConnection"])
        if kind == self.ontology.twin_kind:
            return fixed
        edge = GraphQLObjectType(
            f"{self.ontology.graphql_name(kind)}Edge",
            _retyped(self.fixed.type_map["TwinEdge"], {"node": GraphQLNonNull(node)}),
        )
        replaced = {
            "edges": GraphQLNonNull(GraphQLList(GraphQLNonNull(edge))),
            "nodes": GraphQLNonNull(GraphQLList(GraphQLNonNull(node))),
        }
        self._add(edge)
        return cast("GraphQLObjectType", self._add(GraphQLObjectType(name, _retyped(fixed, replaced))))

    def _base(self, kind: int) -> GraphQLInterfaceType:
        is_point = self.ontology.is_a(kind, self.ontology.point_kind)
        return cast("GraphQLInterfaceType", self.fixed.type_map[_POINT if is_point else _TWIN])

    def _add(self, made: GraphQLNamedType) -> GraphQLNamedType:
        if made.name in self.fixed.type_map or made.name in self.made:
            raise _collision([made.name])
        self.made[made.name] = made
        return made


def _retyped(source: GraphQLNamedType, types: dict[str, Any]) -> dict[str, GraphQLField]:
    """The fields of an object type, some with another type."""
    fields = cast("GraphQLObjectType", source).fields
    return {
        name: GraphQLField(types.get(name, item.type), item.args, item.resolve)
        for name, item in fields.items()
    }


def _with_kind(twins: GraphQLField, kind: str) -> Callable[..., Any]:
    resolve = cast("Callable[..., Any]", twins.resolve)

    def resolve_with_kind(source: object, info: Info, **arguments: Any) -> Any:
        return resolve(source, info, kind=kind, **arguments)

    return resolve_with_kind


def _only_of_kind(node: GraphQLField, ontology: Schema, kind: int) -> Callable[..., Any]:
    resolve = cast("Callable[..., Any]", node.resolve)

    def resolve_of_kind(source: object, info: Info, **arguments: Any) -> TwinRow | None:
        found = cast("TwinRow | None", resolve(source, info, **arguments))
        if found is None:
            return None
        schema = found.cohort.view.snapshot.schema
        wanted = schema.kind_by_iri(ontology.kinds[kind].iri)
        kinds = found.cohort.view.snapshot.kinds(found.row)
        fits = wanted is not None and any(schema.is_a(own, wanted.index) for own in kinds)
        return found if fits else None

    return resolve_of_kind


def _collision(names: list[str]) -> StoreError:
    return StoreError(
        f"names that stand for two things: {', '.join(names)}",
        code="SCHEMA_COLLISION",
        hint="rename the kinds of your own ontology",
    )

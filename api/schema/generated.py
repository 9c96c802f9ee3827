"""One schema out of two: the fixed types that Strawberry made, and types generated from the ontology.

Kind K gives an interface K (with all of its super-kinds), an object type KTwin, a connection, the roots `k`
and `kList`, and where its twins have typed attributes a filter and an order. They are plain graphql-core
types that share the field objects and resolvers of Twin and Point, so a thousand kinds cost little. Names
come from the ontology, computed over the whole vocabulary; one that collides with a fixed type is an error,
never a silent replacement.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import weakref
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
)

from api.schema.kind_fields import KindFields
from api.schema.rows import TwinRow
from api.schema.subgraph import PREFIX, federation_fields, prefix_of
from api.schema.typed import EXTENSION
from api.schema.typed_filters import KindRoot, TypedInputs, let_go, lowered, typed_arguments
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from graphql import GraphQLArgument, GraphQLResolveInfo

    from api.schema.context import RequestContext
    from graph.usage import AttributeUse
    from ontology.schema import Schema

Info: TypeAlias = "GraphQLResolveInfo[RequestContext]"
_TWIN: Final = "Twin"
_POINT: Final = "Point"


def join(
    fixed: GraphQLSchema,
    ontology: Schema,
    in_use: Iterable[int | tuple[int, ...]],
    attributes: Iterable[AttributeUse] = (),
    prefix: str = "",
) -> GraphQLSchema:
    """The fixed schema with the types of kinds in use, of their super-kinds, and of attributes.

    in_use: kinds, or sets of kinds that twins have together, leading kind first.
    prefix: of a subgraph beside others, stands before its roots and the object and input types of kinds.
    It is valid by how it is made, which tests check; checking it each time would take longer than making it.
    StoreError SCHEMA_COLLISION names every name that stands for two things.
    """
    sets = [(item,) if isinstance(item, int) else item for item in in_use]
    fields = KindFields.of(fixed, ontology, sets, attributes)
    build = _Build(fixed, ontology, fields, TypedInputs(fixed), prefix)
    for kind in build.fields.from_the_top():
        build.add_interface(kind)
    for kind in sorted(build.fields.together):
        build.add_object(kind)
    roots = (fixed.query_type, fixed.mutation_type, fixed.subscription_type)
    others = [
        item for name, item in fixed.type_map.items() if not name.startswith("__") and item not in roots
    ]
    joined = GraphQLSchema(
        query=build.query(),
        mutation=build.mutation(),
        subscription=None if prefix else fixed.subscription_type,  # no gateway asks for one over HTTP
        types=[*others, *build.made.values()],
        directives=fixed.directives,
        extensions={**fixed.extensions, EXTENSION: ontology, PREFIX: prefix},
        assume_valid=True,
    )
    # Filters hold themselves (`and`, `or`, `not`): they are let go with their schema.
    weakref.finalize(joined, let_go, build.inputs.made).atexit = False
    # Strawberry's resolvers look for their own schema here.
    joined._strawberry_schema = fixed._strawberry_schema  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    return joined


def resolve_twin_type(value: object, info: Any, _type: object) -> str:
    """The object type of a twin."""
    if not isinstance(value, TwinRow):
        raise TypeError(f"{type(value).__name__} is no twin")
    snapshot = value.cohort.view.snapshot
    prefix = prefix_of(info.schema)
    name = leading_type_name(snapshot.schema, value.leading_kind, prefix)
    if name in info.schema.type_map:
        return name
    return plain_type_name(snapshot.schema, snapshot.kinds(value.row), prefix)


def leading_type_name(ontology: Schema, leading: int, prefix: str = "") -> str:
    """The object type of twins whose leading kind this is (-1: none), unless it has left use since."""
    return f"{prefix}{ontology.graphql_name(leading if leading >= 0 else ontology.twin_kind)}Twin"


def plain_type_name(ontology: Schema, kinds: Iterable[int], prefix: str = "") -> str:
    """The object type of twins with these kinds where the leading one has none: a twin's, or a point's."""
    is_point = any(ontology.is_a(kind, ontology.point_kind) for kind in kinds)
    return f"{prefix}{_POINT if is_point else _TWIN}Twin"


@dataclass(slots=True)
class _Build:
    fixed: GraphQLSchema
    ontology: Schema
    fields: KindFields
    inputs: TypedInputs
    prefix: str = ""
    made: dict[str, GraphQLNamedType] = field(default_factory=dict[str, GraphQLNamedType])
    interfaces: dict[int, GraphQLInterfaceType] = field(default_factory=dict[int, GraphQLInterfaceType])
    roots: dict[str, GraphQLField] = field(default_factory=dict[str, GraphQLField])

    def add_object(self, kind: int) -> None:
        """The object type of a kind that leads twins, with all it needs."""
        interfaces = [self.interfaces[above] for above in self.fields.above_all(kind)]
        name = f"{self.prefix}{self.ontology.graphql_name(kind)}Twin"
        self._add(GraphQLObjectType(name, self.fields.of_object(kind), interfaces=interfaces))

    def add_interface(self, kind: int) -> None:
        """The interface of a kind with its roots; those above it are there already."""
        if kind in (self.ontology.twin_kind, self.ontology.point_kind):
            made = self.fields.base(kind)
        else:
            made = GraphQLInterfaceType(
                self.ontology.graphql_name(kind),
                self.fields.of_interface(kind),
                # No thunk: it would hold all types of the schema in a circle.
                interfaces=[self.interfaces[row] for row in self.fields.strictly_above(kind)],
                resolve_type=resolve_twin_type,
                description=self.ontology.kinds[kind].name,
            )
            self._add(made)
        self.interfaces[kind] = made
        self._add_roots(kind, made)

    def query(self) -> GraphQLObjectType:
        fixed = cast("GraphQLObjectType", self.fixed.query_type)
        taken = sorted(fixed.fields.keys() & self.roots.keys())
        if taken:
            raise _collision(taken)
        own = {self.prefix + name: item for name, item in {**fixed.fields, **self.roots}.items()}
        objects = [item for item in self.made.values() if self._is_of_twins(item)]
        return GraphQLObjectType(
            "Query", {**own, **federation_fields(cast("list[Any]", objects), resolve_twin_type)}
        )

    def mutation(self) -> GraphQLObjectType | None:
        fixed = self.fixed.mutation_type
        if fixed is None or not self.prefix:
            return fixed
        return GraphQLObjectType(
            "Mutation", {self.prefix + name: item for name, item in fixed.fields.items()}
        )

    def _is_of_twins(self, item: GraphQLNamedType) -> bool:
        return isinstance(item, GraphQLObjectType) and bool(item.interfaces)

    def _add_roots(self, kind: int, interface: GraphQLInterfaceType) -> None:
        root = self.ontology.graphql_field(kind)
        if root in self.roots:
            return
        fixed = cast("GraphQLObjectType", self.fixed.query_type).fields
        iri = self.ontology.kinds[kind].iri
        self.roots[root] = GraphQLField(
            interface,
            dict(fixed["node"].args),
            _only_of_kind(fixed["node"], self.ontology, kind),
            extensions={EXTENSION: KindRoot(iri, is_list=False)},
        )
        arguments = {name: item for name, item in fixed["twins"].args.items() if name != "kind"}
        connection = GraphQLNonNull(self._connection(kind, interface))
        meaning = KindRoot(iri, is_list=True, attributes=self.fields.filtered(kind))
        self.roots[f"{root}List"] = GraphQLField(
            connection,
            {**arguments, **self._typed_arguments(kind)},
            _with_kind(fixed["twins"], meaning),
            extensions={EXTENSION: meaning},
        )

    def _typed_arguments(self, kind: int) -> dict[str, GraphQLArgument]:
        """Filter and order of a kind, where it has anything that `TwinFilter` has not."""
        of_points = self.ontology.is_a(kind, self.ontology.point_kind)
        attributes = self.fields.filters(kind)
        if kind == self.ontology.twin_kind or not (of_points or attributes):
            return {}
        name = f"{self.prefix}{self.ontology.graphql_name(kind)}"
        said = self.ontology.kinds[kind].name
        where = self.inputs.filter_type(f"{name}Filter", said, attributes, of_points=of_points)
        order = self.inputs.order_type(f"{name}Order", said, attributes, of_points=of_points)
        self._add(where)
        self._add(order)
        return typed_arguments(where, order)

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


def _with_kind(twins: GraphQLField, root: KindRoot) -> Callable[..., Any]:
    resolve = cast("Callable[..., Any]", twins.resolve)

    def resolve_with_kind(source: object, info: Info, **arguments: Any) -> Any:
        return resolve(source, info, kind=root.kind, **lowered(arguments, root))

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

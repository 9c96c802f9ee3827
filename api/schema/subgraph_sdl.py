"""The schema as a supergraph is composed from it: SDL of Apollo Federation 2.9.

It says less than the server answers: what several sites must agree on to be composed holds nothing that
depends on the data of one.

- Object types of twins are entities by `id`; all other object types are values and `@shareable`.
- Every field of the query, every field of a twin but its `id`, and every place where a twin stands may be
  null: a site that is dark nulls what it would have given, and nothing beside it.
- With a prefix (several sites in one supergraph) interfaces have the fields of `Twin` or `Point` alone: typed
  attributes differ by site, and an interface must have the same fields in all of them. They stand at the
  object types, whose names are the site's own.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    Undefined,
    ast_from_value,
    get_named_type,
    is_specified_scalar_type,
    print_ast,
)
from graphql.language.block_string import print_block_string

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from graphql import (
        GraphQLArgument,
        GraphQLField,
        GraphQLInputField,
        GraphQLNamedType,
        GraphQLSchema,
        GraphQLType,
    )

HEAD: Final = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])'
)
_KEY: Final = "id"


def subgraph_sdl(schema: GraphQLSchema, prefix: str = "") -> str:
    """The text, in order of names; the same for equal schemas. Linear in the size of the schema."""
    writer = _Writer(schema, is_shared=bool(prefix))
    roots = [root for root in (schema.query_type, schema.mutation_type) if root is not None]
    return "\n\n".join([HEAD, *(writer.root(root) for root in roots), *writer.types()]) + "\n"


@dataclass(slots=True, eq=False)
class _Writer:
    """Writes the types that the roots lead to. is_shared: interfaces are those of several sites."""

    schema: GraphQLSchema
    is_shared: bool
    entities: frozenset[str] = field(init=False)
    met: dict[str, GraphQLNamedType] = field(default_factory=dict[str, "GraphQLNamedType"])
    # Kinds share the fields of `Twin`: each is written once.
    known: dict[tuple[int, bool], str] = field(default_factory=dict[tuple[int, bool], str])

    def __post_init__(self) -> None:
        union = cast("GraphQLUnionType", self.schema.type_map["_Entity"])
        self.entities = frozenset(item.name for item in union.types)

    def root(self, kind: GraphQLObjectType) -> str:
        """All of its fields but those of federation."""
        fields = {name: item for name, item in kind.fields.items() if not name.startswith("_")}
        return self._object(kind.name, kind, "", fields, may_be_null=True)

    def types(self) -> Iterable[str]:
        """The types met so far and all that they lead to."""
        texts: dict[str, str] = {}
        while len(texts) < len(self.met):
            for name in [name for name in self.met if name not in texts]:
                texts[name] = self._type(self.met[name])
        return (texts[name] for name in sorted(texts))

    def _type(self, kind: GraphQLNamedType) -> str:
        said = _described(kind.description, "")
        if isinstance(kind, GraphQLInterfaceType):
            return said + self._interface(kind)
        if isinstance(kind, GraphQLObjectType):
            is_entity = kind.name in self.entities
            directive = f' @key(fields: "{_KEY}")' if is_entity else " @shareable"
            return said + self._object(kind.name, kind, directive, kind.fields, may_be_null=is_entity)
        if isinstance(kind, GraphQLInputObjectType):
            return said + f"input {kind.name} {{\n{self._inputs(kind.fields)}\n}}"
        if isinstance(kind, GraphQLEnumType):
            values = (_described(each.description, "  ") + f"  {name}" for name, each in kind.values.items())
            return said + f"enum {kind.name} {{\n{chr(10).join(values)}\n}}"
        if isinstance(kind, GraphQLScalarType):
            return said + f"scalar {kind.name}"
        members = " | ".join(self._named(item) for item in cast("GraphQLUnionType", kind).types)
        return said + f"union {kind.name} = {members}"

    def _interface(self, kind: GraphQLInterfaceType) -> str:
        below = self.schema.get_implementations(kind)
        for item in below.objects:
            self._named(item)
        fields = kind.fields
        if self.is_shared:
            is_point = any(item.name == "Point" for item in (kind, *kind.interfaces))
            fixed = cast("GraphQLInterfaceType", self.schema.type_map["Point" if is_point else "Twin"])
            fields = {name: item for name, item in fields.items() if name in fixed.fields}
        return self._object(kind.name, kind, "", fields, may_be_null=True)

    def _object(
        self,
        name: str,
        kind: GraphQLObjectType | GraphQLInterfaceType,
        directive: str,
        fields: Mapping[str, GraphQLField],
        *,
        may_be_null: bool,
    ) -> str:
        word = "interface" if isinstance(kind, GraphQLInterfaceType) else "type"
        above = " & ".join(self._named(item) for item in kind.interfaces)
        implements = f" implements {above}" if above else ""
        lines = (self._field(each, item, may_be_null=may_be_null) for each, item in fields.items())
        return f"{word} {name}{implements}{directive} {{\n{chr(10).join(lines)}\n}}"

    def _field(self, name: str, item: GraphQLField, *, may_be_null: bool) -> str:
        key = (id(item), may_be_null)
        text = self.known.get(key)
        if text is None:
            said = _described(item.description, "  ")
            arguments = ", ".join(self._input(each, given) for each, given in item.args.items())
            given = f"({arguments})" if arguments else ""
            kind = self._output(item.type, may_be_null=may_be_null and name != _KEY)
            text = self.known[key] = f"{said}  {name}{given}: {kind}"
        return text

    def _inputs(self, items: Mapping[str, GraphQLInputField]) -> str:
        lines = (
            _described(item.description, "  ") + f"  {self._input(name, item)}"
            for name, item in items.items()
        )
        return "\n".join(lines)

    def _input(self, name: str, item: GraphQLInputField | GraphQLArgument) -> str:
        self._named(get_named_type(item.type))
        value = None if item.default_value is Undefined else ast_from_value(item.default_value, item.type)
        return f"{name}: {item.type}" + (f" = {print_ast(value)}" if value else "")

    def _output(self, kind: GraphQLType, *, may_be_null: bool) -> str:
        """may_be_null: at the field itself; within lists only twins may."""
        if isinstance(kind, GraphQLNonNull):
            inner = kind.of_type
            is_twin = self._is_twin(inner)
            text = self._output(inner, may_be_null=False)
            return text if may_be_null or is_twin else f"{text}!"
        if isinstance(kind, GraphQLList):
            return f"[{self._output(kind.of_type, may_be_null=False)}]"
        return self._named(cast("GraphQLNamedType", kind))

    def _is_twin(self, kind: GraphQLType) -> bool:
        return isinstance(kind, GraphQLInterfaceType) or getattr(kind, "name", "") in self.entities

    def _named(self, kind: GraphQLNamedType) -> str:
        if not is_specified_scalar_type(kind):
            self.met.setdefault(kind.name, kind)
        return kind.name


def _described(text: str | None, indent: str) -> str:
    if not text:
        return ""
    return "".join(f"{indent}{line}\n" for line in print_block_string(text).split("\n"))

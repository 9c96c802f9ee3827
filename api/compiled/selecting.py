"""What an operation asks of each type: graphql-core's own collecting of fields, done once per plan."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    VariableNode,
    get_argument_values,
    is_abstract_type,
)
from graphql.execution.collect_fields import FragmentDetails, collect_fields, collect_subfields

from api.syntax import nodes_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import (
        DocumentNode,
        GraphQLField,
        GraphQLNamedType,
        GraphQLSchema,
        OperationDefinitionNode,
        SelectionSetNode,
    )
    from graphql.execution.collect_fields import FieldDetailsList
    from graphql.execution.values import VariableValues


class Unplannable(Exception):
    """The operation asks for something that has no plan."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One field of the answer: the key it goes by, and the nodes that ask for it, merged."""

    key: str
    nodes: FieldDetailsList

    @property
    def name(self) -> str:
        return self.nodes[0].node.name.value

    @property
    def node(self) -> FieldNode:
        return self.nodes[0].node


@dataclass(frozen=True, slots=True, eq=False)
class Arguments:
    """Values of a field's arguments: known when the plan is made, or read from the variables of each run."""

    field: GraphQLField
    node: FieldNode
    known: Mapping[str, Any] | None

    def values(self, variables: VariableValues) -> dict[str, Any]:
        """GraphQLError where a variable does not fit."""
        if self.known is not None:
            return dict(self.known)
        return get_argument_values(self.field, self.node, variables)


@dataclass(frozen=True, slots=True, eq=False)
class Selecting:
    """An operation and the values of the variables that its directives use."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDetails]
    variables: VariableValues

    @classmethod
    def of(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
    ) -> Selecting:
        fragments = {
            item.name.value: FragmentDetails(item)
            for item in document.definitions
            if isinstance(item, FragmentDefinitionNode)
        }
        return cls(schema, operation, fragments, variables)

    def roots(self) -> list[Asked]:
        """The fields of the query itself."""
        query = self.schema.query_type
        if query is None:
            raise Unplannable
        found = collect_fields(self.schema, dict(self.fragments), self.variables, query, self.operation)
        return [Asked(key, nodes) for key, nodes in found.grouped_field_set.items()]

    def below(self, asked: Asked, parent: GraphQLObjectType) -> list[Asked]:
        """The fields below a field whose value is of an object type."""
        found = collect_subfields(
            self.schema, dict(self.fragments), self.variables, self.operation, parent, asked.nodes
        )
        if found.new_defer_usages:
            raise Unplannable
        return [Asked(key, nodes) for key, nodes in found.grouped_field_set.items()]

    def arguments(self, field: GraphQLField, asked: Asked) -> Arguments:
        uses_variables = any(_uses_variables(item.value) for item in asked.node.arguments or ())
        known = None if uses_variables else get_argument_values(field, asked.node, self.variables)
        return Arguments(field, asked.node, known)

    def alike(self, asked: Asked, kind: GraphQLNamedType) -> list[tuple[GraphQLObjectType, ...]]:
        """The object types that a field's value may have, together where the same is asked of them."""
        if isinstance(kind, GraphQLObjectType):
            return [(kind,)]
        if not is_abstract_type(kind):
            raise Unplannable
        possible = self.schema.get_possible_types(kind)
        groups: dict[tuple[bool, ...], list[GraphQLObjectType]] = {}
        conditions = [self._covered(name) for name in sorted(self._conditions(asked))]
        telling = [names for names in conditions if not all(item.name in names for item in possible)]
        for item in possible:
            groups.setdefault(tuple(item.name in names for names in telling), []).append(item)
        return [tuple(group) for group in groups.values()]

    def _conditions(self, asked: Asked) -> set[str]:
        """Names of the types that fragments below a field are for, without looking into further fields."""
        found: set[str] = set()
        seen: set[str] = set()
        stack = [item.node.selection_set for item in asked.nodes]
        while stack:
            for selection in _selections(stack.pop()):
                if isinstance(selection, InlineFragmentNode):
                    if selection.type_condition:
                        found.add(selection.type_condition.name.value)
                    stack.append(selection.selection_set)
                elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                    seen.add(selection.name.value)
                    definition = self.fragments[selection.name.value].definition
                    found.add(definition.type_condition.name.value)
                    stack.append(definition.selection_set)
        return found

    def _covered(self, name: str) -> frozenset[str]:
        kind = self.schema.get_type(name)
        if is_abstract_type(kind):
            return frozenset(item.name for item in self.schema.get_possible_types(kind))
        return frozenset((name,))


def _selections(node: SelectionSetNode | None) -> Sequence[Any]:
    return node.selections if node is not None else ()


def _uses_variables(node: Any) -> bool:
    return any(isinstance(each, VariableNode) for each in nodes_below(node))

"""Validation of documents, with suggestions whose cost is bounded.

The stock rules compare a misspelt root field with every field of `Query`, one error after the other: over a
schema of 1,500 kinds 90 ms each. Here names are compared closely only with those that begin or end alike, and
only for the first errors of a document.
"""

# graphql-core leaves the items of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import heapq
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from graphql import GraphQLError, GraphQLInterfaceType, GraphQLSchema, specified_rules, validate
from graphql.pyutils import did_you_mean, suggestion_list
from graphql.validation import ASTValidationRule, FieldsOnCorrectTypeRule, KnownTypeNamesRule, ValidationRule

from api.schema.typed import EXTENSION
from api.syntax import nodes_below

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from graphql import DocumentNode, FieldNode, GraphQLNamedType, NamedTypeNode, ValidationContext

    from ontology.schema import Schema

SUGGESTED_MAX: Final = 5
"""Errors of one rule that come with a suggestion; those behind them only say what is wrong."""
_COMPARED_MAX: Final = 60
_NAMED_MAX: Final = 5


def find_errors(schema: GraphQLSchema, document: DocumentNode, errors_max: int) -> list[GraphQLError]:
    """What is wrong with a document; the list ends after `errors_max`."""
    kinds = {node.kind for node in nodes_below(document)}
    rules = [rule for rule in _RULES if not kinds.isdisjoint(_kinds_of(rule))]
    return validate(schema, document, rules, max_errors=errors_max)


@cache
def _kinds_of(rule: type[ASTValidationRule]) -> frozenset[str]:
    """The kinds of nodes that a rule looks at: others never come to it, and to ask it for each takes time."""
    names = (name.partition("_") for name in dir(rule))
    return frozenset(kind for verb, _, kind in names if verb in ("enter", "leave"))


class _Suggesting(ValidationRule):
    """A rule that counts its errors."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._left = SUGGESTED_MAX

    def may_suggest(self) -> bool:
        self._left -= 1
        return self._left >= 0


class _FieldNames(_Suggesting):
    """As FieldsOnCorrectTypeRule."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self.context.get_parent_type()
        if parent is None or self.context.get_field_def():
            return
        name = node.name.value
        message = f"Cannot query field '{name}' on type '{parent}'."
        hint = _field_hint(self.context.schema, parent, name) if self.may_suggest() else ""
        self.report_error(GraphQLError(message + hint, node))


class _TypeNames(_Suggesting):
    """As KnownTypeNamesRule, for documents that only execute."""

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> None:
        known, name = self.context.schema.type_map, node.name.value
        if name in known:
            return
        hint = ""
        if self.may_suggest():
            hint = _unused_kind(self.context.schema, name) or did_you_mean(nearest(name, known))
        self.report_error(GraphQLError(f"Unknown type '{name}'.{hint}", node))


_OWN: Final[dict[type, type[ValidationRule]]] = {
    FieldsOnCorrectTypeRule: _FieldNames,
    KnownTypeNamesRule: _TypeNames,
}
_RULES: Final = [_OWN.get(rule, rule) for rule in specified_rules]


def _unused_kind(schema: GraphQLSchema, name: str) -> str:
    """What to say of a name that would be there if any twin had its kind."""
    ontology = cast("Schema | None", schema.extensions.get(EXTENSION))
    kind = ontology.kind_of_graphql(name) if ontology else None
    if ontology is None or kind is None or ontology.graphql_name(kind) in schema.type_map:
        return ""
    return f" No twin is of kind {kind.name}."


def nearest(name: str, names: Collection[str]) -> Sequence[str]:
    """The names that were probably meant, likeliest first; of many, only those that look alike at an end."""
    if len(names) > _COMPARED_MAX:
        lower = name.lower()
        names = heapq.nlargest(_COMPARED_MAX, names, key=lambda each: _alike(lower, each.lower()))
    return suggestion_list(name, names)


def _alike(one: str, other: str) -> float:
    """Letters that two names share at both ends; of equals, the one of like length stands first."""
    front = back = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        front += 1
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        back += 1
    return front + back - abs(len(one) - len(other)) / 8


def _field_hint(schema: GraphQLSchema, parent: Any, name: str) -> str:
    """The kind that is not in use; narrower types that have the field; else fields of a like name."""
    unused = _unused_kind(schema, name) if parent is schema.query_type else ""
    if unused:
        return unused
    narrower = _types_with(schema, parent, name)
    if narrower:
        return did_you_mean(narrower, "to use an inline fragment on")
    return did_you_mean(nearest(name, getattr(parent, "fields", {})))


def _types_with(schema: GraphQLSchema, parent: GraphQLNamedType, name: str) -> list[str]:
    """The types below one that have a field, those first that stand for most others."""
    if not isinstance(parent, GraphQLInterfaceType):
        return []
    found: Counter[str] = Counter()
    for possible in schema.get_possible_types(parent):
        if name in possible.fields:
            found[possible.name] += 1
            found.update(each.name for each in possible.interfaces if name in each.fields)
    interfaces = schema.get_implementations(parent).interfaces if found else ()
    wide = {each.name for each in interfaces}
    return heapq.nsmallest(
        _NAMED_MAX, found, key=lambda each: (-found[each], each not in wide, len(each), each)
    )

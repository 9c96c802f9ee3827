"""Ways to answer that are wrong on purpose: what compilers of queries get wrong. Each must be seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    execute_sync,
    parse,
    visit,
)

from api.failures import graphql_errors
from api.operation import Answer, Request, encode
from api.policy import LOCAL, Principal
from api.schema.context import RequestContext
from tests.compiled.world import World

Data: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is done differently from the resolvers."""

    document: Callable[[DocumentNode, Request], DocumentNode] = lambda document, _: document
    variables: Callable[[DocumentNode, Mapping[str, Any]], dict[str, Any]] = lambda _, variables: dict(
        variables
    )
    data: Callable[[Data], Data] = lambda data: data
    errors: Callable[[list[Any]], list[Any]] = lambda errors: errors
    principal: Callable[[Principal], Principal] = lambda principal: principal
    limits: Callable[[str], str] = lambda limits: limits
    encoded: Callable[[Data], bytes] = encode


def defective(world: World, request: Request, principal: Principal, limits: str, defect: Defect) -> bytes:
    """The body that a server with this defect sends, without extensions."""
    limits = defect.limits(limits)
    document = defect.document(parse(request.query), request)
    result = cast(
        "ExecutionResult",
        execute_sync(
            world.engines[limits].current_schema(),
            document,
            context_value=RequestContext(world.services[limits], defect.principal(principal)),
            variable_values=defect.variables(document, request.variables),
            operation_name=request.operation_name,
        ),
    )
    errors = defect.errors(graphql_errors(result.errors) if result.errors else [])
    started = not (errors and result.data is None and all(error.path is None for error in errors))
    body = Answer(ExecutionResult(None, errors or None), started).formatted
    parts = [b'"errors":' + encode(body["errors"])] if errors else []
    if started:
        parts.append(b'"data":' + defect.encoded(defect.data(result.data)))
    return b"{" + b",".join(parts) + b"}"


# Documents


class _DropRepeated(Visitor):
    """Of fields with one response key only the first counts."""

    def enter_selection_set(self, node: SelectionSetNode, *_: Any) -> SelectionSetNode:
        seen: set[str] = set()
        kept = []
        for item in node.selections:
            key = _key(item)
            if key is None or key not in seen:
                kept.append(item)
            if key is not None:
                seen.add(key)
        return _with(node, kept)


class _FragmentsLast(Visitor):
    """Fragments are merged after the fields beside them: keys come in another order."""

    def enter_selection_set(self, node: SelectionSetNode, *_: Any) -> SelectionSetNode:
        fields = [item for item in node.selections if isinstance(item, FieldNode)]
        return _with(node, [*fields, *(item for item in node.selections if item not in fields)])


class _NoConditions(Visitor):
    """An inline fragment counts whatever the type of the object."""

    def enter_inline_fragment(self, node: InlineFragmentNode, *_: Any) -> InlineFragmentNode:
        return InlineFragmentNode(selection_set=node.selection_set, directives=node.directives)


class _NoDirectives(Visitor):
    """@skip and @include on fragments do not count."""

    def enter_inline_fragment(self, node: InlineFragmentNode, *_: Any) -> InlineFragmentNode:
        return InlineFragmentNode(selection_set=node.selection_set, type_condition=node.type_condition)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> FragmentSpreadNode:
        return FragmentSpreadNode(name=node.name)


class _NoDefaults(Visitor):
    """Defaults of variables that are left out do not count."""

    def enter_variable_definition(self, node: Any, *_: Any) -> Any:
        return type(node)(variable=node.variable, type=node.type, directives=node.directives)


def _key(item: Any) -> str | None:
    return (item.alias or item.name).value if isinstance(item, FieldNode) else None


def _with(node: SelectionSetNode, selections: list[Any]) -> SelectionSetNode:
    return SelectionSetNode(selections=tuple(selections), loc=node.loc)


def _visited(visitor: Visitor) -> Callable[[DocumentNode, Request], DocumentNode]:
    return lambda document, _: cast("DocumentNode", visit(document, visitor))


# Variables


def _operation(document: DocumentNode) -> OperationDefinitionNode:
    found = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    return max(found, key=lambda each: len(each.variable_definitions or ()))


def _nulls_left_out(_: DocumentNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if value is not None}


def _left_out_as_null(document: DocumentNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    declared = [
        item.variable.name.value
        for item in _operation(document).variable_definitions or ()
        if item.default_value is None and item.type.kind != "non_null_type"
    ]
    return {**dict.fromkeys(declared), **variables}


def _without_cursors(document: DocumentNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        argument.value.name.value
        for node in _fields(document)
        for argument in node.arguments or ()
        if argument.name.value in ("after", "before") and isinstance(argument.value, VariableNode)
    }
    return {name: value for name, value in variables.items() if name not in found}


def _fields(document: DocumentNode) -> list[FieldNode]:
    found: list[FieldNode] = []

    class Collect(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            found.append(node)

    visit(document, Collect())
    return found


# Data


def _leaves(change: Callable[[str, Any], Any]) -> Callable[[Data], Data]:
    """A change of every leaf, told its key."""

    def walk(value: Data, key: str = "") -> Data:
        if isinstance(value, dict):
            return {name: walk(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, key) for item in value]
        return change(key, value)

    return walk


def _lists(change: Callable[[list[Data]], list[Data]]) -> Callable[[Data], Data]:
    def walk(value: Data) -> Data:
        if isinstance(value, dict):
            return {name: walk(item) for name, item in value.items()}
        return change([walk(item) for item in value]) if isinstance(value, list) else value

    return walk


def _typename_of_interface(_: str, value: Any) -> Any:
    return value.removesuffix("Twin") or value if isinstance(value, str) and value.endswith("Twin") else value


def _as_python_writes(data: Data) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _with_ascii(data: Data) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


DEFECTS: Final[Mapping[str, Defect]] = {
    "repeated fields are not merged": Defect(_visited(_DropRepeated())),
    "keys in another order": Defect(_visited(_FragmentsLast())),
    "type conditions do not count": Defect(_visited(_NoConditions())),
    "directives on fragments do not count": Defect(_visited(_NoDirectives())),
    "defaults of variables do not count": Defect(_visited(_NoDefaults())),
    "null takes a default": Defect(variables=_nulls_left_out),
    "a variable left out is null": Defect(variables=_left_out_as_null),
    "cursors do not count": Defect(variables=_without_cursors),
    "__typename of the interface": Defect(data=_leaves(_typename_of_interface)),
    "minus zero loses its sign": Defect(data=_leaves(lambda _, v: 0.0 if type(v) is float and v == 0 else v)),
    "integers as floats": Defect(data=_leaves(lambda _, v: float(v) if type(v) is int else v)),
    "empty texts as null": Defect(data=_leaves(lambda _, v: None if v == "" else v)),
    "texts are stripped": Defect(data=_leaves(lambda _, v: v.strip() if isinstance(v, str) else v)),
    "one more page is never there": Defect(data=_leaves(lambda k, v: False if k == "hasNextPage" else v)),
    "long lists lose their end": Defect(data=_lists(lambda items: items[:20])),
    "missing objects are left out": Defect(
        data=_lists(lambda items: [each for each in items if each is not None])
    ),
    "floats as Python writes them": Defect(encoded=_as_python_writes),
    "letters beyond ASCII are escaped": Defect(encoded=_with_ascii),
    "everybody sees everything": Defect(principal=lambda _: LOCAL),
    "what a principal sees is not narrowed by kind": Defect(principal=lambda each: replace(each, kinds=None)),
    "the budget of objects does not count": Defect(limits=lambda _: "wide"),
    "infinity is null without an error": Defect(
        errors=lambda errors: [each for each in errors if "non numeric value" not in each.message]
    ),
    "errors lose their places": Defect(
        errors=lambda errors: [
            type(each)(each.message, extensions=each.extensions, path=each.path) for each in errors
        ]
    ),
    "errors lose all but the first": Defect(errors=lambda errors: errors[:1]),
}

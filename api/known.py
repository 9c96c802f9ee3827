"""Documents that were parsed and validated before, with what is known of their operations. Bounded.

Parsing, validating and pricing cost far more than a small query itself. What an operation took when it last
ran tells whether it may run on the event loop: see `KnownOperation.is_quick`.
"""

# graphql-core leaves the items of its list types open.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from graphql import FieldNode, OperationDefinitionNode, OperationType, VariableNode, get_operation_ast

from api.limits import Price, price_of
from api.syntax import nodes_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graphql import DocumentNode, GraphQLSchema

    from graph.snapshot import Snapshot

_DOCUMENTS_MAX: Final = 512
_TEXT_MAX: Final = 20_000
_TEXTS_MAX: Final = 1_000_000  # characters of all texts; a parsed text takes up to 300 times its size
_PRICES_MAX: Final = 64
# What may run on the event loop: nothing that took longer than this when it ran last.
_QUICK_S: Final = 0.003
_GROWTH_MAX: Final = 8
_QUICK_COST_MAX: Final = 20_000
# Above this a single twin may have so many relationships that listing them takes long.
_FEW_EDGES: Final = 50_000
# Where a variable may stand without changing how much there is to do, but for the twins it names.
_NAMING: Final = frozenset({"id", "ids", "representations", "first", "last", "after", "before"})
# What reads the past or waits.
_WAITING: Final = frozenset({"asOf", "atRevision", "minRevision", "scenario"})
_WAITING_FIELDS: Final = frozenset(
    {"history", "simulation", "search", "service", "command", "commands", "alarms", "impacts"}
)
# Fields with a selection that lead to no other twins.
_FLAT: Final = frozenset({"nodes", "edges", "node", "pageInfo", "attributes", "attribute", "externalIds"})
_INTROSPECTION: Final = frozenset({"__schema", "__type"})
_SCHEMA_ROOTS: Final = _INTROSPECTION | {"__typename"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What the text of an operation says about its work."""

    is_query: bool
    is_steady: bool  # its work depends on the data and on which twins variables name, on nothing else
    names_by_variable: bool
    walks_links: bool
    is_introspection: bool  # nothing but the schema is asked
    asks_schema: bool


@dataclass(slots=True, eq=False)
class KnownOperation:
    """One operation of a document that fits its schema."""

    schema: GraphQLSchema
    document: DocumentNode
    node: OperationDefinitionNode
    traits: Traits
    _priced_by: tuple[str, ...] | None = field(default=None)
    _prices: dict[tuple[object, ...], Price] = field(default_factory=dict[tuple[object, ...], Price])
    _ran_on: int = field(default=0)
    _took_s: float = field(default=1.0)

    @classmethod
    def of(
        cls, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode
    ) -> KnownOperation:
        return cls(schema, document, node, _traits_of(document, node))

    def price(self, variables: Mapping[str, Any]) -> Price:
        """The price with these variables; computed once for all values that price the same."""
        if self._priced_by is not None:
            known = self._prices.get(self._key(variables))
            if known is not None:
                return known
        read: set[str] = set()
        price = price_of(self.schema, self.document, self.node, variables, read=read)
        self._priced_by = tuple(sorted(read))
        if len(self._prices) >= _PRICES_MAX:
            self._prices.clear()
        self._prices[self._key(variables)] = price
        return price

    def is_quick(self, snapshot: Snapshot, price: Price) -> bool:
        """Whether it may run on the event loop: it took next to nothing on this very snapshot, and a variable
        cannot make it more."""
        traits = self.traits
        if not traits.is_steady or self._took_s > _QUICK_S or price.cost > _QUICK_COST_MAX:
            return False
        if self._ran_on != id(snapshot):
            return False  # what is computed once per snapshot may not be there yet
        is_bounded = not (traits.walks_links and traits.names_by_variable)
        return is_bounded or snapshot.edge_count <= _FEW_EDGES

    def ran(self, snapshot: Snapshot, took_s: float) -> None:
        """It took that many seconds, by whatever clock."""
        if self._ran_on == id(snapshot):
            # One long run among short ones is another process's turn, not its own doing.
            took_s = min(took_s, _GROWTH_MAX * self._took_s)
        self._ran_on, self._took_s = id(snapshot), took_s

    def _key(self, variables: Mapping[str, Any]) -> tuple[object, ...]:
        return tuple(_pricing_value(variables, name) for name in self._priced_by or ())


def _pricing_value(variables: Mapping[str, Any], name: str) -> object:
    """What of a value the price depends on: numbers, lengths of lists, whether it is given."""
    if name not in variables:
        return "absent"
    value = variables[name]
    if isinstance(value, list):
        return ("list", len(value))
    return value if isinstance(value, int) else "other"


class KnownDocuments:
    """The documents used last. Safe from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], KnownDocument] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    @property
    def characters(self) -> int:
        """Of all texts that are kept."""
        with self._lock:
            return self._characters

    def get(self, schema: GraphQLSchema, text: str) -> KnownDocument | None:
        key = (id(schema), text)
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, text: str, known: KnownDocument) -> None:
        if len(text) > _TEXT_MAX:
            return
        with self._lock:
            # Its schema is kept beside: so that the id of it cannot become another one's.
            key = (id(known.schema), text)
            self._characters += 0 if key in self._known else len(text)
            self._known[key] = known
            while len(self._known) > _DOCUMENTS_MAX or self._characters > _TEXTS_MAX:
                (_, dropped), _ = self._known.popitem(last=False)
                self._characters -= len(dropped)

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget the documents of other schemas: each of those takes megabytes."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.schema is not schema]:
                del self._known[key]
                self._characters -= len(key[1])


class KnownDocument:
    """A document that fits a schema, and its operations."""

    __slots__ = ("_operations", "document", "schema")

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.document = document
        self._operations: dict[str | None, KnownOperation] = {}

    def operation(self, name: str | None) -> KnownOperation | None:
        """The operation of a name; without one, the only one."""
        known = self._operations.get(name)
        if known is not None:
            return known
        node = get_operation_ast(self.document, name)
        if node is None:
            return None
        return self._operations.setdefault(name, KnownOperation.of(self.schema, self.document, node))


def _traits_of(document: DocumentNode, operation: OperationDefinitionNode) -> Traits:
    """Fragments that the operation does not use count too: they make it slower at worst."""
    fields = [node for node in nodes_below(document) if isinstance(node, FieldNode)]
    roots = [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
    asked = {node.name.value for node in roots if len(roots) == len(operation.selection_set.selections)}
    is_query = operation.operation is OperationType.QUERY
    schema_roots = {node.name.value for node in fields} & _INTROSPECTION
    at_root = {id(node) for node in roots}
    nested = (node for node in fields if node.selection_set is not None and id(node) not in at_root)
    return Traits(
        is_query=is_query,
        is_steady=is_query and not schema_roots and all(_is_steady(node) for node in fields),
        names_by_variable=any(_variables_of(node) for node in fields),
        walks_links=any(node.name.value not in _FLAT for node in nested),
        is_introspection=is_query and bool(schema_roots) and len(asked) > 0 and asked <= _SCHEMA_ROOTS,
        asks_schema=bool(schema_roots),
    )


def _is_steady(node: FieldNode) -> bool:
    # The roots of a subgraph have its name before them: `plant_search`.
    if node.name.value.rpartition("_")[2] in _WAITING_FIELDS:
        return False
    if any(argument.name.value in _WAITING for argument in node.arguments or ()):
        return False
    return all(name in _NAMING for name in _variables_of(node))


def _variables_of(node: FieldNode) -> list[str]:
    """Names of the arguments in which a variable stands; one that stands within a value as `*`."""
    return list(_stated(node))


def _stated(node: FieldNode) -> Iterator[str]:
    for argument in node.arguments or ():
        if isinstance(argument.value, VariableNode):
            yield argument.name.value
        elif any(isinstance(each, VariableNode) for each in nodes_below(argument.value)):
            yield "*"

"""What a GraphQL request may cost, decided before it runs. One rule, each fragment looked at once.

cost  = 1 per field; below a paged field times its page size (`first`, `last`, `k`, ids or representations
        given; 50 at the root), below any other list of objects times LIST_GUESS
depth = fields on the longest way down

Text is bounded first (a scan of its tokens, before anything is built), then its shape (aliases, repeated
names, directives: what makes validation slow), then the price. Sums saturate, so a document of astronomic
cost is still priced at once.
"""

# graphql-core leaves the items of its list types open.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    parse,
)

from api.scanning import scan
from api.syntax import walk_nodes
from graph.plan import PAGE_DEFAULT, PAGE_MAX
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLField, GraphQLNamedType, ValueNode

    from api.config import Limits

LIST_GUESS: Final = 10
"""Items assumed where no size is stated below the root: relationships of a twin, its attributes, its points.
The budget of executed nodes holds whatever the guess."""
INTROSPECTION_COST_MAX: Final = 60_000
"""The whole schema with all descriptions, as tools ask for it, costs half of this."""
_COST_CEILING: Final = 1 << 62
# A field takes two levels of syntax (itself, its selection set); inline fragments and values take more.
_SYNTAX_PER_LEVEL: Final = 4
_PAGED: Final = ("first", "last", "k")
_COUNTED: Final = ("ids", "representations")
_META_FIELDS: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(frozen=True, slots=True)
class Price:
    """What an operation would cost at most; saturates at 2^62."""

    cost: int
    depth: int


def check_text(text: str, limits: Limits) -> None:
    """Refuse what is too large by its looks, without parsing it: under a millisecond, on any text.

    LimitError QUERY_TOO_LARGE, QUERY_TOO_DEEP, TOO_MANY_ALIASES.
    """
    _at_most("QUERY_TOO_LARGE", "characters of query text", len(text), limits.text_max)
    found = scan(text, tokens_max=limits.tokens_max)
    deepest = limits.depth_max * _SYNTAX_PER_LEVEL
    _at_most("QUERY_TOO_DEEP", "levels of brackets", found.depth, deepest)
    if found.tokens > limits.tokens_max:
        raise _refused("QUERY_TOO_LARGE", "tokens", None, limits.tokens_max)
    _at_most("TOO_MANY_ALIASES", "aliases", found.aliases, limits.aliases_max)


def parse_bounded(text: str, limits: Limits) -> DocumentNode:
    """The document of a text. As `check_text`, or GraphQL's own syntax error."""
    check_text(text, limits)
    try:
        return parse(
            text,
            max_tokens=limits.tokens_max,
            max_lexical_tokens=limits.tokens_max,
            allow_empty_selection_sets=False,
        )
    except GraphQLSyntaxError as error:
        if "nested too deeply" in error.message:
            raise _refused("QUERY_TOO_DEEP", "levels", None, limits.depth_max) from None
        if "Parsing aborted" in error.message:
            raise _refused("QUERY_TOO_LARGE", "tokens", None, limits.tokens_max) from None
        raise


def check_variables(variables: Mapping[str, Any], limits: Limits) -> None:
    """Bound how deep values are nested, before anything walks them by calling itself, and how many there are.

    LimitError VARIABLES_TOO_DEEP, VARIABLES_TOO_MANY.
    """
    level: list[Any] = [variables]
    deepest = limits.depth_max * _SYNTAX_PER_LEVEL
    values = 0
    for _ in range(deepest):
        values += sum(map(len, level))
        _at_most("VARIABLES_TOO_MANY", "values in variables", values, limits.variables_max)
        level = [item for value in level for item in _items(value)]
        if not level:
            return
    raise _refused("VARIABLES_TOO_DEEP", "levels of variables", None, deepest)


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]
    return [item for item in value if isinstance(item, dict | list)]


def check_shape(document: DocumentNode, limits: Limits) -> None:
    """Bound what makes validation slow: repeats are quadratic, depth is Python's own recursion.

    LimitError TOO_MANY_ALIASES, TOO_MANY_DIRECTIVES, TOO_MANY_REPEATS or QUERY_TOO_DEEP.
    """
    aliases = directives = repeats = deepest = 0
    for node, depth in walk_nodes(document):
        deepest = max(deepest, depth - 1)
        if isinstance(node, FieldNode):
            aliases += node.alias is not None
        elif isinstance(node, DirectiveNode):
            directives += 1
        elif isinstance(node, SelectionSetNode):
            repeats = max(repeats, _most_repeated(node))
    _at_most("TOO_MANY_ALIASES", "aliases", aliases, limits.aliases_max)
    _at_most("TOO_MANY_DIRECTIVES", "directives", directives, limits.directives_max)
    _at_most("TOO_MANY_REPEATS", "repeats of one field or fragment", repeats, limits.repeats_max)
    _at_most("QUERY_TOO_DEEP", "levels of syntax", deepest, limits.depth_max * _SYNTAX_PER_LEVEL)


def check_price(price: Price, limits: Limits, *, asks_schema: bool = False) -> None:
    """LimitError QUERY_TOO_DEEP or QUERY_TOO_COSTLY, with the numbers."""
    _at_most("QUERY_TOO_DEEP", "levels", price.depth, limits.depth_max)
    # Lists of introspection hold every type there is, however few the rule takes them for.
    cost_max = min(limits.cost_max, INTROSPECTION_COST_MAX) if asks_schema else limits.cost_max
    _at_most("QUERY_TOO_COSTLY", "cost", price.cost, cost_max)


def price_of(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    read: set[str] | None = None,
) -> Price:
    """The price of one operation. Works on documents that were not validated: what is unknown counts one.

    read: takes the names of the variables that the price depends on, whatever their values.
    """
    root = schema.get_root_type(operation.operation)
    defaults = {item.variable.name.value: item.default_value for item in operation.variable_definitions or ()}
    pricing = _Pricing(schema, _fragments(document), variables, defaults, set() if read is None else read)
    return pricing.selections(operation.selection_set, root, paged=False)


def price_per_object(
    schema: GraphQLSchema,
    document: DocumentNode,
    objects: FieldNode,
    connection: GraphQLNamedType | None,
    variables: Mapping[str, Any],
) -> int:
    """What one object of a paged list costs, given the field of the connection that lists them."""
    pricing = _Pricing(schema, _fragments(document), variables, {}, set())
    return pricing.field(objects, connection, paged=True).cost


@dataclass(slots=True)
class _Pricing:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    defaults: Mapping[str, ValueNode | None]
    read: set[str]
    known: dict[tuple[str, bool], Price] = field(default_factory=dict[tuple[str, bool], Price])

    def selections(self, node: SelectionSetNode, parent: GraphQLNamedType | None, *, paged: bool) -> Price:
        cost = depth = 0
        for selection in node.selections:
            if isinstance(selection, FieldNode):
                price = self.field(selection, parent, paged=paged)
            elif isinstance(selection, FragmentSpreadNode):
                price = self.fragment(selection.name.value, paged=paged)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self.schema.get_type(condition.name.value) if condition else parent
                price = self.selections(selection.selection_set, inner, paged=paged)
            else:
                continue
            cost, depth = min(cost + price.cost, _COST_CEILING), max(depth, price.depth)
        return Price(cost, depth)

    def fragment(self, name: str, *, paged: bool) -> Price:
        fragment = self.fragments.get(name)
        if fragment is None:
            return Price(1, 1)
        key = (name, paged)
        if key not in self.known:
            self.known[key] = Price(0, 0)  # what a circle finds; validation refuses circles
            inner = self.schema.get_type(fragment.type_condition.name.value)
            self.known[key] = self.selections(fragment.selection_set, inner, paged=paged)
        return self.known[key]

    def field(self, node: FieldNode, parent: GraphQLNamedType | None, *, paged: bool) -> Price:
        if node.selection_set is None:
            return Price(1, 1)
        definition = _definition(parent, node.name.value)
        inner = get_named_type(definition.type) if definition else None
        times = self.times(node, definition, is_root=parent is self.schema.query_type)
        below = self.selections(node.selection_set, inner, paged=times is not None)
        if times is None:
            times = LIST_GUESS if not paged and _is_list(definition) else 1
        return Price(min(1 + times * below.cost, _COST_CEILING), 1 + below.depth)

    def times(self, node: FieldNode, definition: GraphQLField | None, *, is_root: bool) -> int | None:
        """How many objects a paged field is expected to give; None if it is not paged."""
        stated = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = [self.integer(stated[name]) for name in _PAGED if name in stated]
        lists = [self.length(stated[name]) for name in _COUNTED if name in stated]
        if found := [size for size in (*sizes, *lists) if size is not None]:
            return max(0, *found)
        paged = definition is not None and any(name in definition.args for name in ("first", "last"))
        size = PAGE_DEFAULT if is_root else LIST_GUESS
        return size if paged else None

    def integer(self, node: ValueNode) -> int | None:
        value = self.variable(node)
        if isinstance(value, IntValueNode):
            # The text may be longer than int() likes to read.
            return int(value.value) if len(value.value) < 10 else PAGE_MAX
        return value if isinstance(value, int) else None

    def length(self, node: ValueNode) -> int | None:
        value = self.variable(node)
        if isinstance(value, ListValueNode):
            return len(value.values)
        return len(value) if isinstance(value, list) else 1

    def variable(self, node: ValueNode) -> Any:
        if not isinstance(node, VariableNode):
            return node
        name = node.name.value
        self.read.add(name)
        return self.variables[name] if name in self.variables else self.defaults.get(name)


def _definition(parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
        return None
    return parent.fields.get(name) or _META_FIELDS.get(name)


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
    }


def _is_list(definition: GraphQLField | None) -> bool:
    return definition is not None and is_list_type(get_nullable_type(definition.type))


def _most_repeated(node: SelectionSetNode) -> int:
    names = Counter(
        item.alias.value if isinstance(item, FieldNode) and item.alias else item.name.value
        for item in node.selections
        if isinstance(item, FieldNode | FragmentSpreadNode)
    )
    inline = sum(isinstance(item, InlineFragmentNode) for item in node.selections)
    return max([inline, *names.values()])


def _at_most(code: str, what: str, found: int, limit: int) -> None:
    if found > limit:
        raise _refused(code, what, found, limit)


def _refused(code: str, what: str, found: int | None, limit: int) -> LimitError:
    amount = "more" if found is None else f"{found:,}" if found < _COST_CEILING else "astronomic"
    return LimitError(f"{what}: {amount} where {limit:,} are allowed", code=code, hint="ask for less at once")

"""Random operations over a schema: whatever fields, arguments and features it has, nothing is listed by hand.

An operation is valid for the schema by the way it is made. What it asks of the world may be wrong: unknown
kinds, cursors of other lists, variables that do not fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
)

from tests.compiled.arguments import CHANCES, Role, Values, misfit, role_of
from tests.compiled.document import (
    STYLES,
    Field,
    Inline,
    Raw,
    Scope,
    Selection,
    Spread,
    braced,
    constant,
    selection_text,
)
from tests.compiled.drawing import Draw
from tests.compiled.operations import CursorSlot, Operation, Shapes, family_of, objects_expected
from tests.compiled.world import PRINCIPALS

_WIDTH_MAX: Final = 150  # objects expected at a place; wider places get leaves only
_DEPTH_MAX: Final = 6
_VARIABLE: Final = re.compile(r"\$([a-z]+[0-9]+)")
_OFTEN: Final = ("history", "history", "value", "attribute")
_INTROSPECTION: Final = (
    "__schema { queryType { name } mutationType { name fields { name } } }",
    "__schema { directives { name locations args { name defaultValue } } }",
    '__type(name: "Twin") { name kind description fields { name args { name defaultValue } } }',
    '__type(name: "TwinFilter") { name inputFields { name type { name kind ofType { name } } } }',
    '__type(name: "nothing") { name }',
)


def compose(draw: Draw, shapes: Shapes) -> Operation:
    """One random operation."""
    return _Composer(draw, shapes).operation()


@dataclass
class _Composer:
    draw: Draw
    shapes: Shapes
    left: int = 30  # fields still to be written
    declared: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # variable: (type, default)
    values: dict[str, Any] = field(default_factory=dict)
    by_meaning: dict[tuple[str, Role], str] = field(default_factory=dict)
    fragments: dict[str, tuple[str, tuple[Selection, ...], Scope]] = field(default_factory=dict)
    slots: list[CursorSlot] = field(default_factory=list)
    flips: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    features: set[str] = field(default_factory=set)
    numbers: int = 0

    # The document

    def operation(self) -> Operation:
        draw = self.draw
        self.left = draw.choice((8, 20, 40, 60))
        query = self.shapes.schema.query_type
        assert query is not None
        selections = self.root(query)
        style = draw.choice(STYLES)
        name = draw.choice(("", "q", "Ask"))
        body, reached = selection_text(selections, style), self._reached(selections)
        parts = [
            f"fragment {each} on {condition} {selection_text(inner, style)}"
            for each, (condition, inner, _) in self.fragments.items()
            if each in reached
        ]
        self._keep_used(set(_VARIABLE.findall(" ".join((body, *parts)))))
        parts.insert(draw.integer(0, len(parts)), self._head(name) + body)
        chosen = None
        if name and draw.chance(15):
            self.features.add("several operations")
            parts.insert(draw.integer(0, len(parts)), "query Other { __typename }")
            chosen = name
        elif name and draw.chance(20):
            chosen = name
        return Operation(
            "\n".join(parts),
            self.values,
            chosen,
            PRINCIPALS[draw.weighted([(16, 0), (4, 1), (2, 2), (2, 3), (1, 4)])],
            draw.choice(PRINCIPALS) if draw.chance(15) else None,
            draw.weighted([(9, "wide"), (1, "tight")]),
            tuple(self.slots),
            tuple(self.flips),
            frozenset(self.used),
            frozenset(self.features),
        )

    def _reached(self, selections: Sequence[Selection]) -> set[str]:
        """Fragments that are spread somewhere below; others were made and did not fit."""
        found: set[str] = set()
        for item in selections:
            if isinstance(item, Spread):
                found |= {item.name, *self._reached(self.fragments[item.name][1])}
            elif isinstance(item, Field | Inline):
                found |= self._reached(item.selections)
        return found

    def _keep_used(self, names: set[str]) -> None:
        self.declared = {name: each for name, each in self.declared.items() if name in names}
        self.values = {name: value for name, value in self.values.items() if name in names}
        self.slots = [slot for slot in self.slots if slot.variable in names]
        self.flips = [name for name in self.flips if name in names]

    def _head(self, name: str) -> str:
        if not self.declared and not name:
            return "" if self.draw.chance(60) else "query "
        declared = ", ".join(
            f"${variable}: {type_}{f' = {default}' if default is not None else ''}"
            for variable, (type_, default) in self.declared.items()
        )
        return f"query {name}{f'({declared})' if declared else ''} "

    def root(self, query: GraphQLObjectType) -> tuple[Selection, ...]:
        scope = Scope()
        found: list[Selection] = []
        for _ in range(self.draw.weighted([(6, 1), (3, 2), (1, 4)])):
            found.append(self._root_item(query, scope))
        return tuple(found)

    def _root_item(self, query: GraphQLObjectType, scope: Scope) -> Selection:
        kind = self.draw.weighted(
            [(50, "field"), (2, "introspection"), (3, "typename"), (4, "inline"), (4, "fragment")]
        )
        if kind == "introspection":
            self.features.add("introspection")
            return Raw(f"{self.name('i')}: {self.draw.choice(_INTROSPECTION)}")
        if kind == "typename":
            return self._typename(scope)
        if kind == "inline":
            self.features.add("inline fragment at the root")
            inner = (self.root_field(query, scope, ()), self.root_field(query, scope, ()))
            return Inline(self.draw.choice(("Query", None)), self.directives(), inner)
        if kind == "fragment":
            self.features.add("fragment at the root")
            name, inner_scope = self.name("F"), Scope()
            self.fragments[name] = ("Query", (self.root_field(query, inner_scope, None),), inner_scope)
            return self._spread(name, scope) or self.root_field(query, scope, ())
        return self.root_field(query, scope, ())

    def root_field(self, query: GraphQLObjectType, scope: Scope, path: tuple[str, ...] | None) -> Selection:
        name = self.draw.choice(self.draw.weighted(self.shapes.roots))
        return self.field(query, name, scope, path, 1, 0)

    # Selections

    def selections(
        self,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        scope: Scope,
        path: tuple[str, ...] | None,
        width: int,
        depth: int,
    ) -> tuple[Selection, ...]:
        """What is asked at one place; never empty. `path` is None inside named fragments."""
        found: list[Selection] = []
        for _ in range(self.draw.weighted([(2, 1), (4, 2), (5, 4), (3, 6)])):
            if self.left <= 0 and found:
                break
            found.append(self._item(parent, scope, path, width, depth, found))
        if isinstance(parent, GraphQLInterfaceType) and self.draw.chance(6):
            found += self._apart(parent, scope)
        return tuple(found)

    def _item(
        self, parent: Any, scope: Scope, path: Any, width: int, depth: int, found: list[Selection]
    ) -> Selection:
        parts = (10, 7) if isinstance(parent, GraphQLInterfaceType) else (3, 3)
        kind = self.draw.weighted(
            [(70, "field"), (5, "typename"), (parts[0], "inline"), (parts[1], "fragment"), (8, "again")]
        )
        if kind == "typename":
            return self._typename(scope)
        if kind == "inline" and depth < _DEPTH_MAX:
            return self._inline(parent, scope, path, width, depth)
        if kind == "fragment" and depth < _DEPTH_MAX:
            made = self._fragment(parent, scope, width, depth)
            if made is not None:
                return made
        if kind == "again":
            fields = [item for item in found if isinstance(item, Field) and item.name in parent.fields]
            if fields:
                return self._again(parent, self.draw.choice(fields), scope, path, width, depth)
        names = [*parent.fields, *(name for name in _OFTEN if name in parent.fields)]
        if depth >= _DEPTH_MAX or width > _WIDTH_MAX or self.left <= 0:
            leaves = [name for name in names if is_leaf_type(get_named_type(parent.fields[name].type))]
            if not leaves:
                return self._typename(scope)
            names = leaves
        return self.field(parent, self.draw.choice(names), scope, path, width, depth)

    def _typename(self, scope: Scope) -> Selection:
        self.features.add("__typename")
        alias = self.name("t") if self.draw.chance(25) else None
        scope.take(alias or "__typename", "__typename")
        return Field("__typename", alias, (), self.directives())

    def _inline(self, parent: Any, scope: Scope, path: Any, width: int, depth: int) -> Selection:
        condition = self.condition(parent) if self.draw.chance(80) else None
        self.features.add("inline fragment on a type" if condition else "inline fragment without a type")
        inner = self.shapes.schema.type_map[condition] if condition else parent
        if isinstance(inner, GraphQLObjectType) and isinstance(parent, GraphQLInterfaceType):
            self.features.add("inline fragment on an object type")
        return Inline(condition, self.directives(), self.selections(inner, scope, path, width, depth + 1))

    def condition(self, parent: Any) -> str:
        """Mostly a type that is met in this world."""
        names = self.shapes.conditions(parent)
        return self.draw.choice(names[: max(1, len(names) // 2)] if self.draw.chance(70) else names)

    def _fragment(self, parent: Any, scope: Scope, width: int, depth: int) -> Selection | None:
        """An earlier fragment that fits here, or a new one."""
        names = self.shapes.conditions(parent)
        fitting = [name for name, (condition, _, _) in self.fragments.items() if condition in names]
        if fitting and self.draw.chance(50):
            self.features.add("fragment used again")
            return self._spread(self.draw.choice(fitting), scope)
        condition = self.condition(parent)
        name, inner_scope = self.name("F"), Scope()
        inner: Any = self.shapes.schema.type_map[condition]
        selections = self.selections(inner, inner_scope, None, width, depth + 1)
        self.fragments[name] = (condition, selections, inner_scope)
        self.features.add("named fragment")
        return self._spread(name, scope)

    def _spread(self, name: str, scope: Scope) -> Selection | None:
        inner = self.fragments[name][2]
        if not scope.accepts(inner):
            return None
        scope.absorb(inner)
        return Spread(name, self.directives())

    def _again(self, parent: Any, known: Field, scope: Scope, path: Any, width: int, depth: int) -> Selection:
        """A field that stands here already, once more: leaves are merged, objects get more fields."""
        self.features.add("merged fields")
        definition = parent.fields[known.name]
        below = scope.keys[known.key][1]
        inner = get_named_type(definition.type)
        if is_leaf_type(inner):
            return Field(known.name, known.alias, known.arguments, self.directives())
        self.features.add("merged selection sets")
        selections = self.selections(
            inner, below, None if path is None else (*path, known.key), width * 4, depth + 1
        )
        return Field(known.name, known.alias, known.arguments, self.directives(), selections)

    def _apart(self, parent: GraphQLInterfaceType, scope: Scope) -> list[Selection]:
        """One response key that means another field for each of two object types."""
        objects = self.shapes.objects_met(parent)
        if len(objects) < 2:
            return []
        self.features.add("one key, another field per type")
        key, fields = self.name("d"), ("localId", "kind", "site")
        scope.take(key, key)
        start = self.draw.integer(0, len(objects) - 2)
        first, second = objects[start], objects[start + 1]
        return [
            Inline(first, "", (Field(fields[self.draw.integer(0, 2)], key),)),
            Inline(second, "", (Field(fields[self.draw.integer(0, 2)], key),)),
        ]

    # Fields

    def field(self, parent: Any, name: str, scope: Scope, path: Any, width: int, depth: int) -> Field:
        definition: GraphQLField = parent.fields[name]
        self.left -= 1
        self.used.add(f"{parent.name}.{name}")
        slots: list[str] = []
        arguments = self.arguments(parent.name, name, definition, slots if path is not None else None)
        meaning = f"{name}({arguments}) {definition.type}"
        alias = self.name("a") if self.draw.chance(20) else None
        below = scope.take(alias or name, meaning)
        if below is None:
            alias = self.name("a")
            below = scope.take(alias, meaning)
        assert below is not None
        if alias:
            self.features.add("alias")
        inner = get_named_type(definition.type)
        directives = self.directives()
        if is_leaf_type(inner):
            return Field(name, alias, arguments, directives)
        own_path = None if path is None else (*path, alias or name)
        selections = self.selections(
            inner, below, own_path, width * objects_expected(definition, arguments, depth), depth + 1
        )
        if slots and own_path is not None:
            selections = (*selections, self._cursors(below, own_path, slots))
        return Field(name, alias, arguments, directives, selections)

    def _cursors(self, scope: Scope, path: tuple[str, ...], variables: list[str]) -> Selection:
        """Asks for the cursors of a page, so that they can be sent back."""
        key = self.name("p")
        scope.take(key, key)
        self.slots += [CursorSlot(variable, path, key) for variable in variables]
        return Field(
            "pageInfo", key, selections=(Field("startCursor"), Field("endCursor"), Field("hasNextPage"))
        )

    # Arguments

    def arguments(
        self, parent: str, name: str, definition: GraphQLField, slots: list[str] | None
    ) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for key, argument in definition.args.items():
            if not is_required_argument(argument) and not self.draw.chance(CHANCES.get(key, 40)):
                continue
            if key == "last" and any(other == "first" for other, _ in found) and not self.draw.chance(4):
                continue
            self.used.add(f"{parent}.{name}({key})")
            found.append((key, self.argument(argument, role_of(name, key), slots)))
        return tuple(found)

    def argument(self, argument: GraphQLArgument, role: Role, slots: list[str] | None) -> str:
        if role == ("cursor",) and slots is not None and not self.draw.chance(5):
            variable = self.name("c")
            self.declared[variable] = (str(argument.type), None)
            self.features.add("cursor of an earlier answer")
            slots.append(variable)
            return f"${variable}"
        return self.literal(argument.type, role, top=True)

    def literal(self, type_: Any, role: Role, *, top: bool = False, depth: int = 0) -> str:
        """A value as it stands in the document, with variables in some places."""
        if self.draw.chance(30 if top else 10):
            return self.variable(type_, role)
        if self.draw.chance(3) and get_nullable_type(type_) is type_:
            self.features.add("null literal")
            return "null"
        return self.plain(type_, role, depth)

    def plain(self, type_: Any, role: Role, depth: int) -> str:
        """As `literal`, with variables only inside it: a list takes a single value, but no such variable."""
        inner = get_nullable_type(type_)
        if isinstance(inner, GraphQLList):
            if self.draw.chance(8):
                self.features.add("single value for a list")
                return self.plain(inner.of_type, role, depth)
            items = [self.literal(inner.of_type, role, depth=depth) for _ in range(self.draw.integer(0, 3))]
            return f"[{', '.join(items)}]"
        if isinstance(inner, GraphQLInputObjectType):
            return self._object(inner, role, depth)
        value = self.own_values.scalar(inner, role)
        text = constant(inner, value, ascii_only=not self.draw.chance(30), block=self.draw.chance(5))
        return "1" if text is None else text

    def _object(self, type_: GraphQLInputObjectType, role: Role, depth: int) -> str:
        parts: list[str] = []
        for name, item, inner in self.own_values.chosen(type_, role, depth):
            self.used.add(f"{type_.name}.{name}")
            parts.append(f"{name}: {self.literal(item, inner, depth=depth + 1)}")
        return braced(parts)

    @cached_property
    def own_values(self) -> Values:
        """For literals: of the right type, else the document is not valid."""
        return Values(self.draw, self.shapes.words)

    @cached_property
    def sent_values(self) -> Values:
        return Values(self.draw, self.shapes.words, wrong_types=True)

    # Variables

    def variable(self, type_: Any, role: Role) -> str:
        """A variable for a place of this type: wider or narrower, with or without default and value."""
        known = self.by_meaning.get((str(type_), role))
        if known and self.draw.chance(30):
            self.features.add("variable used again")
            return f"${known}"
        name = self.name("v")
        inner = get_nullable_type(type_)
        is_nullable = inner is type_
        self._cover(inner)
        default = self._default(inner, role) if self.draw.chance(35) else None
        if default is None and not is_nullable:
            self._declare(name, type_, None, self.sent_values.json(inner, role))
        elif default is None:
            self._declare_nullable(name, inner, role)
        else:
            self._declare_with_default(name, inner, role, default, is_nullable=is_nullable)
        self.by_meaning[str(type_), role] = name
        return f"${name}"

    def _declare(self, name: str, type_: Any, default: str | None, value: Any) -> None:
        self.declared[name] = (str(type_), default)
        self.features.add(f"variable of {family_of(type_)}")
        if self.draw.chance(1):
            self.features.add("variable that does not fit")
            value = misfit(type_, self.draw)
        self.values[name] = value

    def _declare_nullable(self, name: str, inner: Any, role: Role) -> None:
        form = self.draw.weighted([(10, "value"), (3, "left out"), (2, "null"), (3, "non-null")])
        self.features.add(f"variable: {form}")
        if form == "non-null":
            self._declare(name, GraphQLNonNull(inner), None, self.sent_values.json(inner, role))
        elif form == "value":
            self._declare(name, inner, None, self.sent_values.json(inner, role))
        else:
            self.declared[name] = (str(inner), None)
            if form == "null":
                self.values[name] = None

    def _declare_with_default(
        self, name: str, inner: Any, role: Role, default: str, *, is_nullable: bool
    ) -> None:
        self.features.add("variable with a default" if is_nullable else "default makes a variable non-null")
        form = self.draw.weighted([(5, "left out"), (5, "value"), (1, "null")])
        if form == "value":
            self._declare(name, inner, default, self.sent_values.json(inner, role))
            return
        self.declared[name] = (str(inner), default)
        if form == "null":
            self.features.add("null in place of a default")
            self.values[name] = None

    def _default(self, inner: Any, role: Role) -> str | None:
        return constant(inner, self.own_values.json(inner, role))

    def _cover(self, inner: Any) -> None:
        if is_list_type(inner):
            self.features.add("variable of a list")

    # Directives

    def directives(self) -> str:
        if not self.draw.chance(9):
            return ""
        first = self._directive(self.draw.choice(("include", "skip")))
        if self.draw.chance(10):
            other = "include" if "@skip" in first else "skip"
            self.features.add("both directives")
            return first + self._directive(other)
        return first

    def _directive(self, name: str) -> str:
        form = self.draw.weighted([(4, "literal"), (4, "variable"), (3, "default"), (2, "again")])
        self.features.add(f"@{name} by {form}")
        if form == "literal":
            return f" @{name}(if: {'true' if self.draw.chance(70 if name == 'include' else 30) else 'false'})"
        if form == "again" and self.flips:
            return f" @{name}(if: ${self.draw.choice(self.flips)})"
        variable = self.name("b")
        value = self.draw.chance(60)
        self.flips.append(variable)
        if form == "default":
            self.declared[variable] = ("Boolean", "true" if value else "false")
            if self.draw.chance(50):
                self.values[variable] = not value
        else:
            self.declared[variable] = ("Boolean!", None)
            self.values[variable] = value
        return f" @{name}(if: ${variable})"

    def name(self, prefix: str) -> str:
        """A name that nothing else in the document has."""
        self.numbers += 1
        return f"{prefix}{self.numbers}"

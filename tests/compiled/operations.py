"""What is asked: an operation with what is sent beside it, and the shapes of the schema it is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from api.policy import LOCAL, Principal
from tests.compiled.world import Vocabulary

# Lists that begin with twins of the odd site, or hold many of them.
_ODD_LISTS: Final = ("pointList", "assetList", "pressList", "exPressList", "temperatureSensorList")


@dataclass(frozen=True, slots=True)
class CursorSlot:
    """A variable that takes a cursor of an earlier answer, and where in the answer such cursors stand."""

    variable: str
    path: tuple[str, ...]  # response keys from the root to the connection
    info: str  # response key of its pageInfo


@dataclass(frozen=True)
class Operation:
    """A document with what is sent beside it."""

    text: str
    variables: Mapping[str, Any]
    name: str | None = None
    principal: Principal = LOCAL
    other: Principal | None = None  # who asks the same afterwards
    limits: str = "wide"
    slots: tuple[CursorSlot, ...] = ()
    flips: tuple[str, ...] = ()  # boolean variables of directives
    used: frozenset[str] = field(
        default=frozenset(), repr=False
    )  # "Type.field", "Type.field(argument)", "Input.field"
    features: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class Shapes:
    """A schema, and what is asked of it again and again."""

    schema: GraphQLSchema
    words: Vocabulary

    @cached_property
    def _overlaps(self) -> dict[str, tuple[str, ...]]:
        return {}

    def conditions(self, parent: GraphQLObjectType | GraphQLInterfaceType) -> tuple[str, ...]:
        """Types that a fragment at this place may name; those that some twin has come first."""
        known = self._overlaps.get(parent.name)
        if known is None:
            objects = self._objects(parent)
            types = [
                each
                for each in self.schema.type_map.values()
                if isinstance(each, GraphQLObjectType | GraphQLInterfaceType)
                and not each.name.startswith("__")
                and self._objects(each) & objects
            ]
            types.sort(key=lambda each: (not self._objects(each) & self.words.typenames, each.name))
            known = self._overlaps[parent.name] = tuple(each.name for each in types)
        return known

    def _objects(self, type_: GraphQLObjectType | GraphQLInterfaceType) -> frozenset[str]:
        if isinstance(type_, GraphQLObjectType):
            return frozenset({type_.name})
        return frozenset(each.name for each in self.schema.get_possible_types(type_))

    def objects_met(self, parent: GraphQLInterfaceType) -> list[str]:
        """Object types at a place that some twin has."""
        return sorted(self._objects(parent) & self.words.typenames)

    @cached_property
    def roots(self) -> list[tuple[int, list[str]]]:
        """Names of root fields in groups, with how often each group is asked."""
        query = self.schema.query_type
        assert query is not None
        fixed = {"twins": 18, "node": 9, "nodes": 8, "search": 7, "reachable": 7, "paths": 5, "aggregate": 8}
        fixed |= {"sites": 3, "simulation": 1}
        # Entities are asked by values, not by words of the schema: see tests/api/test_subgraph.py.
        rest = [name for name in query.fields if name not in fixed and not name.startswith("_")]
        lists = [name for name in rest if name.endswith("List")]
        others = [name for name in rest if name not in lists]
        odd = [name for name in _ODD_LISTS if name in query.fields]
        return [(weight, [name]) for name, weight in fixed.items()] + [(20, lists), (10, odd), (12, others)]


def objects_expected(definition: GraphQLField, arguments: tuple[tuple[str, str], ...], depth: int) -> int:
    """How many objects a field may give, roughly."""
    stated = dict(arguments)
    size = next((stated[name] for name in ("first", "last", "k") if name in stated), None)
    if size is not None:
        return int(size) if size.isdigit() else 5
    if "first" in definition.args:
        return 50 if depth == 0 else 6
    return 4 if is_list_type(get_nullable_type(definition.type)) else 1


def family_of(type_: Any) -> str:
    named = get_named_type(type_)
    return "an input object" if isinstance(named, GraphQLInputObjectType) else named.name

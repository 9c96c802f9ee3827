"""Values for arguments: mostly such as a user of this world would write, now and then wrong ones.

A value is drawn for a type and a role: the role says what a text stands for (an id, a kind, a relation ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    get_named_type,
    is_required_input_field,
)

from api.schema.scalars import time_text
from graph.values import JSONValue
from tests.compiled.drawing import Draw
from tests.compiled.odd_site import NUMBERS, TEXTS, TIMES_NS
from tests.compiled.world import Vocabulary

Role: TypeAlias = tuple[str, ...]

# By name of an argument or input field; names that are not here keep the role of what they stand in.
ROLES: Final = {
    "id": "id", "ids": "id", "from": "id", "to": "id", "localId": "localId", "name": "name", "kind": "kind",
    "site": "site", "relation": "relation", "relations": "relation", "names": "attribute", "text": "search",
    "first": "page", "last": "page", "k": "count", "maxDepth": "count", "after": "cursor", "before": "cursor",
    "scenario": "scenario", "groupBy": "group", "of": "measured", "as": "label", "by": "order",
    "unit": "unit",
}  # fmt: skip
# How often an optional argument is given, in percent; else `_GIVEN`.
CHANCES: Final = {
    "scenario": 1, "asOf": 5, "atRevision": 2, "minRevision": 2, "after": 45, "before": 20, "last": 15,
    "first": 70, "filter": 35, "where": 25, "orderBy": 40, "order": 30, "kind": 40,
    "bucket": 50, "aggregate": 50, "fill": 30,
}  # fmt: skip
_GIVEN: Final = 40
_UNITS: Final = ("kW", "W", "Cel", "K", "m2", "1", "[degF]")
# Of the twins and points whose values are hard to write.
_ODD_KINDS: Final = ("tm:Point", "ex:Press", "tm:Asset", "brick:Temperature_Sensor", "tm:Twin")
_GROUPS: Final = (
    "kind", "site", "^pointOf/partOf:rec:Level", "partOf", "^feeds", "feeds:rec:Room", "x:flag", "area",
)  # fmt: skip
_DURATIONS: Final = ("PT15M", "PT1H", "P1D", "PT0.5S", "P1DT12H")
WRONG: Final = {
    "id": ("nothing", "https://twinmesh.invalid/none", "", "CH 1"),
    "localId": ("nothing",),
    "kind": ("brick:AHUU", "nothing", "", "AHUs"),
    "relation": ("feed", "nothing:x", ""),
    "attribute": ("ratedPwer", "nothing", ""),
    "page": (-1, 1_001),
    "count": (0, -1, 101),
    "cursor": ("", "!!", "bm90aGluZw", "WyIiLFtdLCIiXQ", "hit:0", "W10"),
    "group": ("nothing", "^", "partOf:nothing", "a/b/c"),
    "measured": ("nothing", "", "kind"),
    "order": ("nothing", ""),
    "unit": ("kWW", "", "m2", "s"),
    "site": ("nowhere",),
    "scenario": ("none",),
    "DateTime": ("yesterday", "2026-01-01", "", "2026-13-01T00:00:00Z"),
    "Duration": ("P1Y", "PT0S", "15M"),
    "Revision": ("-1", "999999", "x"),
    "search": ("", " ", "x" * 201),
}


@dataclass(frozen=True, slots=True)
class Values:
    """Draws values. `wrong` is how many of a hundred values are wrong on purpose.

    wrong_types: also texts that are no time and the like; as literals these are refused before anything runs
    """

    draw: Draw
    words: Vocabulary
    wrong: int = 2
    wrong_types: bool = False

    def scalar(self, type_: GraphQLScalarType | GraphQLEnumType, role: Role) -> Any:
        """A JSON value for a leaf type; of an enum its name."""
        if isinstance(type_, GraphQLEnumType):
            return self.draw.choice(list(type_.values))
        name = type_.name
        wrong = self._wrong(name, role)
        if wrong and self.draw.chance(self.wrong):
            return self.draw.choice(wrong)
        match name:
            case "Boolean":
                return self.draw.chance(50)
            case "Int":
                return self._integer(role)
            case "Float" if role[:1] == ("twins",):
                numbers = [
                    each for each in self._attributes("twins").get(role[1], ()) if type(each) in (int, float)
                ]
                return self.draw.choice((1.5, *numbers))
            case "Float":
                return self.draw.choice((*range(-2, 8), *NUMBERS))
            case "DateTime":
                return time_text(self.draw.choice((*TIMES_NS, 1_768_160_000_000_000_000)))
            case "Duration":
                return self.draw.choice(_DURATIONS)
            case "Revision":
                return str(self.draw.choice((0, 1, 2, *self.words.revisions)))
            case "JSON":
                return self._operand(role)
            case _:
                return self._text(role)

    def _wrong(self, type_name: str, role: Role) -> tuple[Any, ...]:
        if type_name in WRONG:
            return WRONG[type_name] if self.wrong_types else ()
        if role[2:] and type_name == "String":
            return WRONG["attribute"]
        if type_name not in ("String", "ID", "Int"):
            return ()
        known: tuple[Any, ...] = WRONG.get(role[0], ()) if role else ()
        return tuple(each for each in known if isinstance(each, int) == (type_name == "Int"))

    def json(self, type_: Any, role: Role, depth: int = 0) -> Any:
        """A JSON value for any input type, as a variable would carry it."""
        if isinstance(type_, GraphQLNonNull):
            return self.json(type_.of_type, role, depth)
        if isinstance(type_, GraphQLList):
            return [self.json(type_.of_type, role, depth) for _ in range(self.draw.integer(0, 3))]
        if isinstance(type_, GraphQLInputObjectType):
            return {
                name: self.json(each, inner, depth + 1)
                for name, each, inner in self.chosen(type_, role, depth)
            }
        return self.scalar(type_, role)

    def chosen(self, type_: GraphQLInputObjectType, role: Role, depth: int) -> list[tuple[str, Any, Role]]:
        """Which fields of an input object to give, with their types and roles."""
        role = self.role_within(type_, role)
        required = [name for name, item in type_.fields.items() if is_required_input_field(item)]
        optional = [name for name in type_.fields if name not in required]
        nested = [name for name in optional if _is_nested(type_.fields[name].type)]
        if depth > 2:
            optional = [name for name in optional if name not in nested]
        given = list(dict.fromkeys(self.draw.some(optional, 2)))
        if not given and not required and optional:
            given = [self.draw.choice(optional)]
        return [
            (name, type_.fields[name].type, self._role_of(type_, name, role)) for name in (*required, *given)
        ]

    def role_within(self, type_: GraphQLInputObjectType, role: Role) -> Role:
        """What operands stand for inside an input object. Comparisons of an attribute fit its values."""
        if type_.name == "AttributeFilter":
            carrier = "edges" if role and role[0] == "link" else "twins"
            return (carrier, self.draw.choice(sorted(self._attributes(carrier)) or ["area"]))
        return role

    def _role_of(self, type_: GraphQLInputObjectType, name: str, role: Role) -> Role:
        if type_.name == "AttributeFilter":
            return ("unit",) if name == "unit" else (*role, "named") if name == "name" else role
        if name == "link":
            return ("link",)
        if name in self.words.attributes:  # of a filter that was generated for a kind
            return ("twins", name)
        return (ROLES[name],) if name in ROLES else role

    def _attributes(self, carrier: str) -> dict[str, tuple[JSONValue, ...]]:
        known = dict(self.words.edge_attributes if carrier == "edges" else self.words.attributes)
        return known if carrier == "edges" else {**known, "value": (1.0, 21.5, 0, True, "RUNNING")}

    def _integer(self, role: Role) -> int:
        if role[:1] == ("page",):
            return self.draw.choice((2, 1, 3, 5, 8, 10, 20, 40, 90, 0))
        return self.draw.choice((1, 2, 3, 5))

    def _operand(self, role: Role) -> JSONValue:
        if role[:1] in (("edges",), ("twins",)):
            values = self._attributes(role[0]).get(role[1], ())
            if values and not self.draw.chance(15):
                return self.draw.choice(values)
        return self.draw.choice((0, 1, 5.5, True, "ON", *NUMBERS[:6], *TEXTS[:4], [], {}))

    def _text(self, role: Role) -> str:
        words = self.words
        match role[:1]:
            case ("id",):
                return self.draw.choice(words.odd_ids if self.draw.chance(40) else words.ids)
            case ("localId",):
                return self._part(self.draw.choice(words.local_ids))
            case ("name",):
                return self._part(self.draw.choice(words.names))
            case ("kind",):
                return self.draw.choice(_ODD_KINDS if self.draw.chance(30) else words.kinds)
            case ("site",):
                return self.draw.choice((*words.sites, "odd", "odd"))
            case ("relation",):
                return self.draw.choice(words.relations)
            case ("attribute",) | ("measured",):
                return self.draw.choice(
                    ("value", *words.attributes) if role[0] == "measured" else [*words.attributes]
                )
            case ("order",):
                return self.draw.choice(("name", "id", "localId", "kind", "site", "value", *words.attributes))
            case ("group",):
                return self.draw.choice((*_GROUPS, *words.attributes))
            case ("unit",):
                return self.draw.choice(_UNITS)
            case ("search",):
                return self._search()
            case ("label",):
                return self.draw.choice(("mean", "n", "a b", 'q"'))
            case ("cursor",) | ("scenario",):
                return self.draw.choice(WRONG[role[0]])
            case ("edges" | "twins",):
                return role[1] if role[2:] else self._text_of(role)
            case _:
                return self.draw.choice(("a", "", *TEXTS[:6]))

    def _text_of(self, role: Role) -> str:
        value = self._operand(role)
        return self._part(value) if isinstance(value, str) else "a"

    def _search(self) -> str:
        name = self.draw.choice((*self.words.names, *self.words.local_ids, *self.words.outside_ids, "a"))
        return self._part(name)[:200]

    def _part(self, text: str) -> str:
        """The text, its beginning or something inside: what equals, starts with and contains look for."""
        start = self.draw.choice((0, 0, 1, 2))
        return text[start : start + self.draw.choice((3_000, 1, 3, 6))]


def misfit(type_: Any, draw: Draw) -> Any:
    """A JSON value that no variable of this type takes."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return draw.choice((5, "text", {"nothing": 1}))
    if isinstance(named, GraphQLEnumType):
        return draw.choice(("NOTHING", 5))
    if named.name == "JSON":
        return None if isinstance(type_, GraphQLNonNull) else 5
    return draw.choice(
        ({"a": 1}, 2**40 if named.name == "Int" else {"b": []}, True if named.name != "Boolean" else 3)
    )


def _is_nested(type_: Any) -> bool:
    """Whether an input may hold objects in objects: filters of filters."""
    named = get_named_type(type_)
    return isinstance(named, GraphQLInputObjectType) and any(
        isinstance(get_named_type(item.type), GraphQLInputObjectType) for item in named.fields.values()
    )


def role_of(field_name: str, argument: str) -> Role:
    """What an argument of a field stands for."""
    if (field_name, argument) == ("attribute", "name"):
        return ("attribute",)
    return (ROLES[argument],) if argument in ROLES else ()

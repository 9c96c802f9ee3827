"""Every question that the schema allows, made from the schema itself, for worlds that differ out of sight."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

WAYS_MAX = 9
"""Ways in which one argument of one field is asked."""


@dataclass(frozen=True)
class Samples:
    """Words for arguments: some are of twins in sight, some of twins out of sight, some of none."""

    ids: Sequence[str]
    texts: Sequence[str]
    kinds: Sequence[str]
    relations: Sequence[str]
    names: Sequence[str]  # attributes and other things to order, group and measure by

    def scalars(self, name: str, kind: str) -> list[object]:
        """Values of a scalar argument or input field of this name."""
        known: dict[str, Sequence[object]] = {
            "kind": self.kinds, "relation": self.relations, "text": self.texts, "by": self.names,
            "name": self.names, "of": self.names, "groupBy": self.names, "relations": self.relations,
            "first": [3], "last": [2], "maxDepth": [2], "k": [2], "names": self.names, "as": ["x"],
        }  # fmt: skip
        if name in known:
            return list(known[name])
        of_kind: dict[str, Sequence[object]] = {
            "ID": self.ids, "String": [*self.texts[:3], self.ids[0]], "Int": [1], "Float": [0.0, 40.0],
            "Boolean": [True, False], "JSON": [0, 40, self.texts[0]], "Revision": ["1"], "Duration": ["PT1H"],
            "DateTime": ["2030-01-01T00:00:00Z"],
        }  # fmt: skip
        return list(of_kind.get(kind, ()))


def operations(schema: GraphQLSchema, samples: Samples, depth: int = 2) -> Iterator[str]:
    """One operation for each root field and each way to ask it."""
    assert schema.query_type is not None
    for name, field in schema.query_type.fields.items():
        if name.startswith("_"):
            continue  # of Apollo Federation; its representations are no literals
        selected = selection(get_named_type(field.type), schema, depth)
        for arguments in ways(field, samples):
            yield f"{{ {name}{arguments} {selected} }}"


def ways(field: GraphQLField, samples: Samples) -> Iterator[str]:
    """The required arguments each alone in all its values, then each other one beside them."""
    needed = {
        name: list(islice(values(name, argument.type, samples), WAYS_MAX))
        for name, argument in field.args.items()
        if is_required_argument(argument)
    }
    first = {name: found[0] for name, found in needed.items()}
    yield _stated(first)
    for name, found in needed.items():
        for value in found[1:]:
            yield _stated({**first, name: value})
    for name, argument in field.args.items():
        if name in needed or name in ("scenario", "minRevision", "atRevision", "asOf"):
            continue
        for value in islice(values(name, argument.type, samples), 3 * WAYS_MAX):
            yield _stated({**first, name: value})


def _stated(arguments: dict[str, str]) -> str:
    return f"({', '.join(f'{name}: {value}' for name, value in arguments.items())})" if arguments else ""


def values(name: str, kind: GraphQLInputType, samples: Samples, depth: int = 2) -> Iterator[str]:
    """Literals of an input type. An input object has one field beside those it needs."""
    bare = get_nullable_type(kind)
    if isinstance(bare, GraphQLList):
        found = list(islice(values(name, bare.of_type, samples, depth), WAYS_MAX))
        yield from (f"[{value}]" for value in found)
        if name in ("ids", "from"):
            yield f"[{', '.join(found)}]"
    elif isinstance(bare, GraphQLEnumType):
        yield from bare.values
    elif isinstance(bare, GraphQLInputObjectType):
        yield from _objects(bare, samples, depth)
    elif isinstance(bare, GraphQLNamedType):
        yield from (json.dumps(value) for value in samples.scalars(name, bare.name))


def _objects(kind: GraphQLInputObjectType, samples: Samples, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    needed: dict[str, str] = {}
    for name, field in kind.fields.items():
        if is_required_input_field(field):
            found = next(values(name, field.type, samples, depth - 1), None)
            if found is not None:
                needed[name] = found
    if needed:
        yield f"{{{', '.join(f'{name}: {value}' for name, value in needed.items())}}}"
    for name, field in kind.fields.items():
        for value in islice(values(name, field.type, samples, depth - 1), WAYS_MAX):
            stated = {**needed, name: value}
            yield f"{{{', '.join(f'{each}: {said}' for each, said in stated.items())}}}"


def selection(kind: GraphQLNamedType, schema: GraphQLSchema, depth: int) -> str:
    """All leaves, and what lies behind the other fields down to a depth; typed fields by fragments."""
    if is_leaf_type(kind):
        return ""
    parts = ["__typename"]
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        parts += _fields(kind, schema, depth)
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        known = kind.fields if isinstance(kind, GraphQLInterfaceType) else {}
        for each in schema.get_possible_types(kind):
            own = [part for part in _fields(each, schema, 0) if _name(part) not in known]
            # Fields of one name may differ in type: an alias for each keeps them apart.
            named = [f"{each.name}_{_name(part)}: {part}" for part in own]
            if named:
                parts.append(f"... on {each.name} {{ {' '.join(named)} }}")
    return f"{{ {' '.join(parts)} }}"


def _name(part: str) -> str:
    return part.split("(")[0].split(" ")[0]


def _fields(
    kind: GraphQLObjectType | GraphQLInterfaceType, schema: GraphQLSchema, depth: int
) -> Iterator[str]:
    for name, field in kind.fields.items():
        below = get_named_type(field.type)
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        if not is_composite_type(below):
            yield name
        elif depth > 0:
            yield f"{name} {selection(below, schema, depth - 1)}"

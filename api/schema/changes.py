"""What a newer schema breaks for clients of an older one, apart from what was decided and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphql import build_schema, find_breaking_changes, lexicographic_sort_schema, print_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from graphql import GraphQLSchema


def schema_text(schema: GraphQLSchema) -> str:
    """The definition language of a schema, sorted: equal schemas have equal texts."""
    # By way of the text: sorting makes types anew, and enums of Strawberry would lose their values.
    plain = build_schema(print_schema(schema), assume_valid=True)
    return print_schema(lexicographic_sort_schema(plain)) + "\n"


def breaking_changes(before: str, after: str, allowed: Collection[str] = ()) -> list[str]:
    """`TYPE: description` of each change between two texts that breaks clients and is not allowed."""
    found = find_breaking_changes(build_schema(before), build_schema(after))
    told = (f"{change.type.name}: {change.description}" for change in found)
    return sorted(set(told) - set(allowed))


def read_allowed(lines: Iterable[str]) -> frozenset[str]:
    """The entries of an allow-list: one to a line; empty lines and those that begin with # say why."""
    return frozenset(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))

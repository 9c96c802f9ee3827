"""Walking through parsed documents."""

# graphql-core leaves the members of its nodes open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from graphql.language import Node

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk_nodes(top: Node) -> Iterator[tuple[Node, int]]:
    """Every node below one with its depth, and itself; without calling itself."""
    stack: list[tuple[Node, int]] = [(top, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        for member in _members(type(node)):
            value = getattr(node, member)
            if isinstance(value, Node):
                stack.append((value, depth + 1))
            elif isinstance(value, tuple | list):
                stack += [(item, depth + 1) for item in cast("list[Any]", value) if isinstance(item, Node)]


def nodes_below(top: Node) -> Iterator[Node]:
    """A node and all that is in it."""
    return (node for node, _ in walk_nodes(top))


@cache
def _members(kind: type[Node]) -> tuple[str, ...]:
    """What may hold nodes. `Node.keys` finds it out anew each time."""
    return tuple(field.name for field in fields(kind) if field.name != "loc")

"""Which plan a field of the query has: walks and paths have their own, all others those of `roots`."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import TYPE_CHECKING, cast

from graphql import GraphQLObjectType, get_named_type

from api.pushdown.path_answers import plan_paths
from api.pushdown.reaching import plan_reached
from api.pushdown.roots import Root, plan_root
from api.pushdown.routing import Routed

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.compiled.selecting import Asked
    from api.pushdown.planning import Planner
    from api.pushdown.roots import Answer


def plan_field(planner: Planner, asked: Asked) -> Root | str:
    """As `plan_root`."""
    query = cast("GraphQLObjectType", planner.selecting.schema.query_type)
    known = query.fields.get(asked.name)
    kind = None if known is None else get_named_type(known.type)
    if known is None or not isinstance(kind, GraphQLObjectType) or kind.name not in ("Reachable", "Paths"):
        return plan_root(planner, asked)
    answer: Answer
    if kind.name == "Reachable":
        answer = plan_reached(planner, asked, kind)
    else:
        answer = Routed(plan_paths(planner, asked, kind))
    resolve = cast("Callable[..., object]", known.resolve)
    return Root(asked.key, known, asked, planner.selecting.arguments(known, asked), resolve, answer)

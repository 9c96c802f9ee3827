"""Query operations compiled: parsed, validated and planned once, then run over columns, straight to bytes.

The way of an operation, and where each step stands:

    selecting   which fields are asked of which types, fragments and directives done with
    twins, attributes, linking, roots   what is asked, as templates: literals, and slots for columns
    frames      what was found: twins, relationships, pages, each a few arrays
    leaves      columns of a frame as pieces of JSON in the arena
    arena, kernels   the bytes

Nothing encoded is kept between requests: the columns of a snapshot are UTF-8 and numbers already, and copying
them costs no more than looking them up would. So there is nothing to invalidate, and the first sight of an
operation costs as much as its answer is long, whatever the size of the graph.

What has no plan (`compile_operation` gives None) and what is not as a plan takes for granted (`run` gives
None: any error, a value that JSON does not have) is left to the resolvers, whose answer a plan must equal to
the byte.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql import GraphQLError, OperationType, get_variable_values

from api.compiled.arena import Arenas, Deopt
from api.compiled.frames import Run
from api.compiled.object_types import Types
from api.compiled.roots import plan_root
from api.compiled.selecting import Selecting, Unplannable
from api.compiled.twins import Planner
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode
    from graphql.execution.values import VariableValues

    from api.compiled.roots import Constant, Root, Text
    from api.schema.context import RequestContext


_LOG = logging.getLogger("twinmesh.api")


# What a defect raises, here or in the resolver of a root. Run again by the executor it is told as INTERNAL,
# located at its field and without what it says.
DEFECTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Tables:
    """What plans share: nothing that an answer depends on."""

    types: Types = field(default_factory=Types)
    arenas: Arenas = field(default_factory=Arenas)


@dataclass(frozen=True, slots=True)
class Encoded:
    """`data` of an answer without errors, as JSON."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """An operation that can be run over columns, for certain values of the variables in its directives."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    roots: tuple[Root | Constant, ...]
    tables: Tables
    nbytes: int  # estimated by what the plan is made of

    def run(self, context: RequestContext, variables: Mapping[str, Any]) -> Encoded | None:
        """The answer; None where the resolvers must give it, with a fresh budget."""
        arena = self.tables.arenas.take()
        try:
            values = coerced(self.schema, self.operation, variables)
            return self._run(Run(context, self.schema, values, arena, self.tables.types))
        except (Deopt, TwinmeshError, GraphQLError, orjson.JSONEncodeError):
            return None
        except DEFECTS:
            # A resolver's own error, which the executor locates and masks, or a mistake in a plan.
            _LOG.warning("a plan failed, the resolvers answer", exc_info=True)
            return None
        finally:
            self.tables.arenas.give(arena)

    def _run(self, run: Run) -> Encoded:
        parts: list[Text] = [b"{"]
        for number, root in enumerate(self.roots):
            parts += (b"," if number else b"", root.key, root.run(run))
        return Encoded(b"".join((*parts, b"}")))


def compile_operation(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    tables: Tables | None = None,
) -> Compiled | None:
    """The plan of a valid operation; None where it has none.

    variables: as they came; a plan holds for all requests in which those in directives have equal values
    tables: what the plans of one process share
    """
    if operation.operation is not OperationType.QUERY or operation.directives:
        return None
    try:
        values = coerced(schema, operation, variables)
        planner = Planner(Selecting.of(schema, document, operation, values))
        roots = tuple(plan_root(planner, asked) for asked in planner.selecting.roots())
    except (Unplannable, Deopt, GraphQLError):
        return None
    return Compiled(schema, operation, roots, tables or Tables(), planner.nbytes)


def coerced(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> VariableValues:
    """Variables as the types say; Deopt where they do not fit."""
    values = get_variable_values(schema, operation.variable_definitions or (), dict(variables))
    if isinstance(values, list):
        raise Deopt
    return values

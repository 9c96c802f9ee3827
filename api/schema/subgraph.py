"""What makes the schema an Apollo Federation v2 subgraph: `_service` with its SDL, and `_entities`.

An entity is a twin by its `id`. All representations of a request are one look-up over columns. One that is
unknown, out of scope or of another type is null with an error located at its place; the others are answered.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLString,
    GraphQLUnionType,
)

from api.policy import Role
from api.schema.rows import Cohort, TwinRow
from api.schema.subgraph_sdl import subgraph_sdl
from ontology.errors import AccessError, InputError, LimitError, NotFoundError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from graphql import GraphQLResolveInfo, GraphQLSchema

    from api.schema.context import RequestContext
    from graph.view import View

Info: TypeAlias = "GraphQLResolveInfo[RequestContext]"
PREFIX: Final = "twinmesh.subgraph"  # key in a schema's `extensions`: what stands before roots and types
SERVICE: Final = "_service"
ENTITIES: Final = "_entities"
ENTITY: Final = "_Entity"
REPRESENTATIONS_MAX: Final = 10_000
"""A gateway sends the entities of a whole answer at once; the cost rule bounds what is asked of them."""
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,31}")


def checked_prefix(name: str) -> str:
    """What stands before the roots and object types of a subgraph of that name.

    InputError SUBGRAPH_NAME. A name has no underscore, so that two names never give one root.
    """
    if not _NAME.fullmatch(name):
        hint = "a small letter, then small letters and digits"
        raise InputError(f"{name!r} cannot name a subgraph", code="SUBGRAPH_NAME", hint=hint)
    return f"{name}_"


def prefix_of(schema: GraphQLSchema) -> str:
    """Empty for the schema of `/graphql`."""
    return cast("str", schema.extensions.get(PREFIX, ""))


def federation_fields(
    objects: Sequence[GraphQLObjectType], resolve_type: Callable[..., str]
) -> dict[str, GraphQLField]:
    """The two fields of the query. objects: the types of twins, all of which are entities."""
    anything = GraphQLScalarType("_Any", description="An entity as another subgraph names it.")
    service = GraphQLObjectType(
        "_Service",
        {"sdl": GraphQLField(GraphQLNonNull(GraphQLString), resolve=_Sdl())},
        description="Of Apollo Federation.",
    )
    entity = GraphQLUnionType(ENTITY, objects, resolve_type=resolve_type, description="Any twin.")
    given = GraphQLArgument(GraphQLNonNull(GraphQLList(GraphQLNonNull(anything))))
    return {
        SERVICE: GraphQLField(
            GraphQLNonNull(service),
            resolve=_resolve_service,
            description="Of Apollo Federation: the schema that a supergraph is composed from.",
        ),
        ENTITIES: GraphQLField(
            GraphQLNonNull(GraphQLList(entity)),
            {"representations": given},
            _Entities(resolve_type),
            description="Of Apollo Federation: twins by `__typename` and `id`; null and an error for others.",
        ),
    }


@dataclass(slots=True)
class _Sdl:
    """Resolves `sdl`; the text is written once for each schema."""

    text: str | None = None

    def __call__(self, _source: object, info: Info) -> str:
        if self.text is None:
            self.text = subgraph_sdl(info.schema, prefix_of(info.schema))
        return self.text


def _resolve_service(_source: object, info: Info) -> dict[str, object]:
    """It tells the schema: whoever may not ask for that may not ask for this."""
    context = info.context
    if not context.services.settings.limits.introspection and context.principal.role is not Role.ADMIN:
        raise AccessError("the schema is not told here", code="INTROSPECTION_DENIED")
    return {}


@dataclass(frozen=True, slots=True)
class _Entities:
    """Resolves `_entities`: a twin for each representation, or why there is none."""

    type_of: Callable[..., str]

    def __call__(
        self, _source: object, info: Info, representations: Sequence[object]
    ) -> list[TwinRow | TwinmeshError]:
        """LimitError PAGE_TOO_LARGE; in the list REPRESENTATION_INVALID and ENTITY_UNKNOWN."""
        if len(representations) > REPRESENTATIONS_MAX:
            message = f"at most {REPRESENTATIONS_MAX:,} representations at once"
            raise LimitError(message, code="PAGE_TOO_LARGE")
        view = info.context.present()
        view.budget.spend(len(representations))
        asked = [_read(each) for each in representations]
        twins = _twins(view, [each.id if isinstance(each, _Asked) else "" for each in asked])
        return [
            self._answer(each, twin, info) if isinstance(each, _Asked) else each
            for each, twin in zip(asked, twins, strict=True)
        ]

    def _answer(self, asked: _Asked, twin: TwinRow | None, info: Info) -> TwinRow | TwinmeshError:
        if twin is not None and self.type_of(twin, info, None) == asked.typename:
            return twin
        # The same words whether it is not there, out of scope or of another type: nothing is told by it.
        return NotFoundError(f"no {asked.typename} {asked.id!r}", code="ENTITY_UNKNOWN")


def _twins(view: View, ids: Sequence[str]) -> list[TwinRow | None]:
    """The twins in scope of some IRIs, found in one look-up, as one cohort."""
    rows = view.snapshot.rows(ids)
    here = rows >= 0
    here[here] = view.seen(rows[here])
    found = iter(Cohort(view, rows[here]).twins())
    return [next(found) if is_here else None for is_here in here.tolist()]


@dataclass(frozen=True, slots=True)
class _Asked:
    typename: str
    id: str


def _read(representation: object) -> _Asked | InputError:
    stated = cast("dict[str, object]", representation) if isinstance(representation, dict) else {}
    typename, text = stated.get("__typename"), stated.get("id")
    if isinstance(typename, str) and isinstance(text, str) and text:
        return _Asked(typename, text)
    return InputError("a representation has `__typename` and `id`", code="REPRESENTATION_INVALID")

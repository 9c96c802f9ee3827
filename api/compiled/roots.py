"""The fields of the query itself: their own resolvers find what is asked, plans write what is below.

So filters, orders, pages, typed arguments and errors are those of the resolvers, and stand in one place.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import orjson
from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
)

from api.compiled.arena import Deopt, Pieces
from api.compiled.frames import Frame, Listing, Paged, Twins
from api.compiled.plain import info_of, plain_object
from api.compiled.reaching import Walked, reachable
from api.compiled.selecting import Unplannable
from api.compiled.template import FEW, Column, Template, Woven, slot, woven, written
from api.schema.query import ReachedListing
from api.schema.rows import TwinListing, TwinRow
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import GraphQLField

    from api.compiled.frames import Places, Run
    from api.compiled.plain import PlainObject
    from api.compiled.selecting import Arguments, Asked
    from api.compiled.twins import Planner

Found = TypeVar("Found")
F = TypeVar("F", bound=Frame)
Text: TypeAlias = "bytes | memoryview"
_NULL: Final = b"null"


class Answer(Protocol):
    """Writes what a resolver gave."""

    def __call__(self, run: Run, found: object) -> Text: ...


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """One field of the query. Raises whatever its resolver raises, and Deopt."""

    key: bytes
    field: GraphQLField
    asked: Asked
    arguments: Arguments
    answer: Answer

    def run(self, run: Run) -> Text:
        resolve = cast("Callable[..., object]", self.field.resolve)
        given = self.arguments.values(run.variables)
        found = resolve(None, info_of(run, self.field, self.asked), **given)
        return self.answer(run, found)


@dataclass(frozen=True, slots=True)
class Constant:
    """`__typename` of the query."""

    key: bytes
    text: bytes

    def run(self, _run: Run) -> Text:
        return self.text


def plan_root(planner: Planner, asked: Asked) -> Root | Constant:
    """The plan of a field of the query."""
    selecting = planner.selecting
    query = cast("GraphQLObjectType", selecting.schema.query_type)
    key = orjson.dumps(asked.key) + b":"
    if asked.name == "__typename":
        return Constant(key, orjson.dumps(query.name))
    field = query.fields.get(asked.name)
    if field is None or field.resolve is None:
        raise Unplannable
    return Root(key, field, asked, selecting.arguments(field, asked), _answer(planner, asked, field))


def _answer(planner: Planner, asked: Asked, field: GraphQLField) -> Answer:
    kind = get_named_type(field.type)
    shape = get_nullable_type(field.type)
    if isinstance(kind, GraphQLObjectType) and kind.name.endswith("Connection"):
        page_text = woven(planner.connection(asked, field, _PAGE_FIELDS, _page, _cursors))
        return _Framed(TwinListing, Listing, lambda page: page.twins, page_text)
    if isinstance(kind, GraphQLObjectType) and kind.name == "Reachable":
        return _Framed(
            ReachedListing, Walked, lambda walked: walked.met, woven(reachable(planner, asked, field))
        )
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        made = woven(planner.twins(asked, kind))
        return _Nodes(made) if isinstance(shape, GraphQLList) else _Node(made)
    if isinstance(kind, GraphQLObjectType) and isinstance(shape, GraphQLList):
        return _PlainList(plain_object(planner.selecting, asked, kind))
    raise Unplannable


@dataclass(frozen=True, slots=True, eq=False)
class _PlainList:
    planned: PlainObject

    def __call__(self, run: Run, found: object) -> Text:
        return self.planned.text(cast("Sequence[object]", found))


@dataclass(frozen=True, slots=True, eq=False)
class _Framed(Generic[Found, F]):
    """What the resolver found, as one frame."""

    kind: type[Found]
    frame: Callable[[Run, Found], F]
    inside: Callable[[F], Frame]  # what there may be many of
    woven: Woven[F]

    def __call__(self, run: Run, found: object) -> Text:
        if not isinstance(found, self.kind):
            raise Deopt
        frame = self.frame(run, found)
        return written(frame, self.woven, few=self.inside(frame).count <= FEW)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    woven: Woven[Twins]

    def __call__(self, run: Run, found: object) -> Text:
        if found is None:
            return _NULL
        if not isinstance(found, TwinRow):
            raise Deopt
        twins = Twins(run, found.cohort.view, found.cohort.rows[found.place : found.place + 1])
        return self.woven.texts(twins)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """A list of twins of one cohort, in its order, null where there is none."""

    woven: Woven[Twins]

    def __call__(self, run: Run, found: object) -> Text:
        rows = cast("Sequence[TwinRow | TwinmeshError | None]", found)
        if any(isinstance(row, TwinmeshError) for row in rows):
            raise Deopt  # the executor locates them
        rows = cast("Sequence[TwinRow | None]", rows)
        here = [place for place, row in enumerate(rows) if row is not None]
        texts: list[Text] = [_NULL] * len(rows)
        if here:
            first = cast("TwinRow", rows[here[0]])
            places = np.array([row.place for row in rows if row is not None])
            twins = Twins(run, first.cohort.view, first.cohort.rows[places])
            for place, text in zip(here, written(twins, self.woven, few=len(here) <= FEW), strict=True):
                texts[place] = text
        return b"[" + b",".join(texts) + b"]"


# Pages of twins


def _page(listing: Listing) -> tuple[Twins, Places]:
    return listing.twins, listing.bounds


def _cursors(twins: Twins) -> Pieces:
    page = cast("Paged", twins).page
    return twins.arena.put_all([orjson.dumps(page.cursor(place)) for place in range(twins.count)])


def _plain(read: Callable[[Paged], object]) -> Template[Any]:
    def texts(listing: Listing) -> list[bytes]:
        return [orjson.dumps(read(listing.twins))]

    def column(listing: Listing) -> Pieces:
        return listing.arena.put_all(texts(listing))

    return slot(Column(read, column, texts))


def _cursor_at(paged: Paged, place: int) -> str | None:
    return paged.page.cursor(place) if paged.count else None


_PAGE_FIELDS: Final[Mapping[str, Template[Any]]] = {
    "totalCount": _plain(lambda paged: int(paged.page.total)),
    "hasNextPage": _plain(lambda paged: bool(paged.page.has_next)),
    "hasPreviousPage": _plain(lambda paged: bool(paged.page.has_previous)),
    "startCursor": _plain(lambda paged: _cursor_at(paged, 0)),
    "endCursor": _plain(lambda paged: _cursor_at(paged, paged.count - 1)),
}

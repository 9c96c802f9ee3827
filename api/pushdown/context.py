"""What resolvers of the query get where the graph is elsewhere: they say what is asked, no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.schema.context import RequestContext
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from api.pushdown.place import Place
    from api.schema.context import WorldRequest
    from graph.plan import Grouping, Match, Routes, Walk
    from graph.view import View
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True)
class AskedTwins:
    world: WorldRequest
    match: Match


@dataclass(frozen=True, slots=True)
class AskedNode:
    world: WorldRequest
    text: str


@dataclass(frozen=True, slots=True)
class AskedNodes:
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedGroups:
    grouping: Grouping


@dataclass(frozen=True, slots=True)
class AskedWalk:
    walk: Walk


@dataclass(frozen=True, slots=True)
class AskedRoutes:
    routes: Routes


class Asking:
    """`api.schema.context.Elsewhere` of push-down."""

    def twins(self, world: WorldRequest, match: Match) -> AskedTwins:
        return AskedTwins(world, match)

    def node(self, world: WorldRequest, text: str) -> AskedNode:
        return AskedNode(world, text)

    def nodes(self, texts: tuple[str, ...]) -> AskedNodes:
        return AskedNodes(texts)

    def groups(self, grouping: Grouping) -> AskedGroups:
        return AskedGroups(grouping)

    def sites(self) -> None:
        """There is nothing to be told."""

    def walk(self, walk: Walk) -> AskedWalk:
        return AskedWalk(walk)

    def routes(self, routes: Routes) -> AskedRoutes:
        return AskedRoutes(routes)


@dataclass(eq=False)
class PushedContext(RequestContext):
    """Nothing is in memory: what a resolver would read there is refused with PUSHDOWN_UNSUPPORTED."""

    elsewhere = Asking()

    place: Place | None = field(default=None)

    @property
    def ontology(self) -> Schema:
        assert self.place is not None
        return self.place.known().ontology

    def present(self) -> View:
        refuse("this field")

    def world(self, request: WorldRequest, site: str | None = None) -> View:
        refuse("this field")

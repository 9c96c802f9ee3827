"""The root of queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
import strawberry

from api.schema.alarms import AlarmRecordConnection, alarms_of
from api.schema.bindings import BindingInfo, LiveSource, bindings_of, sources_of
from api.schema.commands import Command, CommandConnection, command_of, commands_of
from api.schema.context import WorldRequest
from api.schema.enums import Direction
from api.schema.impacts import ImpactRecordConnection, impacts_of
from api.schema.inputs import FilterReader, Measure, TwinFilter, TwinOrder, order_keys
from api.schema.rows import Cohort, LinkCohort, LinkRow, TwinListing, TwinRow, find_twin
from api.schema.scalars import Json, Revision, TimeNs
from api.schema.simulation import Simulation, find_simulation
from api.schema.sites import SiteInfo, sites_of
from api.schema.twin import Info, Link, Twin, TwinConnection
from graph import plan
from graph.execute import run_match
from graph.grouping import parse_group_key, run_grouping
from graph.part_figures import run_joined
from graph.routing import run_routes
from graph.searching import run_search
from graph.view import Hops
from graph.walking import run_walk, walk_all
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.grouping import GroupRow
    from graph.routing import Route
    from graph.scroll import Scroll
    from graph.view import View
    from graph.walking import Cut, Reached


@strawberry.type(description="Why an answer holds less than the whole.")
class Truncated:
    reason: str = strawberry.field(description="FIRST: the page is full. TIME, SIZE: a budget was reached.")
    at_depth: int | None


@strawberry.type
class ReachedTwin:
    twin: Twin
    depth: int


@strawberry.type
class Reachable:
    nodes: list[ReachedTwin]
    count: int = strawberry.field(description="All that were reached, on the page or not.")
    truncated: Truncated | None


@strawberry.type
class Path:
    links: list[Link]
    twins: list[Twin]


@strawberry.type
class Paths:
    paths: list[Path]
    truncated: Truncated | None


@strawberry.type
class AggregateRow:
    keys: Json = strawberry.field(description="By `groupBy` item; twins at the end of a path by id.")
    values: Json = strawberry.field(
        description="By `as`, else `op_of`; null where there was nothing to measure."
    )
    units: Json = strawberry.field(description="UCUM code of each value, where known.")


@dataclass(frozen=True, slots=True)
class _TruncatedRow:
    reason: str
    at_depth: int | None

    @classmethod
    def of(cls, cut: Cut | None) -> _TruncatedRow | None:
        return None if cut is None else cls(cut.reason, cut.at_depth)


@dataclass(frozen=True, slots=True)
class _ReachedRow:
    twin: TwinRow
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class ReachedListing:
    """A `Reachable`: the twins of a walk."""

    view: View
    reached: Reached

    @property
    def nodes(self) -> list[_ReachedRow]:
        twins = Cohort(self.view, self.reached.rows).twins()
        return [
            _ReachedRow(twin, depth) for twin, depth in zip(twins, self.reached.depths.tolist(), strict=True)
        ]

    @property
    def count(self) -> int:
        return self.reached.count

    @property
    def truncated(self) -> _TruncatedRow | None:
        return _TruncatedRow.of(self.reached.cut)


@dataclass(frozen=True, slots=True)
class _PathRow:
    links: list[LinkRow]
    twins: list[TwinRow]


@dataclass(frozen=True, slots=True)
class _PathsRow:
    paths: list[_PathRow]
    truncated: _TruncatedRow | None


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """The first hits of a search as a page; it has no further ones to turn to."""

    rows: npt.NDArray[np.int32]
    total: int
    has_previous: bool = False

    @property
    def has_next(self) -> bool:
        return self.total > len(self.rows)

    def cursor(self, index: int) -> str:
        return f"hit:{index}"


def _node(
    info: Info,
    id: strawberry.ID,
    as_of: TimeNs | None = None,
    at_revision: Revision | None = None,
    min_revision: Revision | None = None,
    scenario: strawberry.ID | None = None,
) -> Twin | None:
    context = info.context
    request = WorldRequest(as_of, at_revision, min_revision, scenario)
    if context.elsewhere is not None:
        return cast("Twin | None", context.elsewhere.node(request, id))
    site = None if at_revision is None else _home_of(context.present(), id)
    if at_revision is not None and site is None:
        return None
    return cast("Twin | None", find_twin(context.world(request, site), id))


def _home_of(view: View, text: str) -> str | None:
    """The site whose revisions a twin counts in; of one that is gone, the site that its id names."""
    twin = find_twin(view, text)
    if twin is not None:
        return twin.site
    heads = view.snapshot.heads
    return next((head.name for head in heads if text.startswith((head.base, f"{head.name}:"))), None)


def _nodes(info: Info, ids: list[strawberry.ID]) -> list[Twin | None]:
    if len(ids) > plan.PAGE_MAX:
        raise LimitError(f"at most {plan.PAGE_MAX:,} ids at once", code="PAGE_TOO_LARGE")
    if info.context.elsewhere is not None:
        return cast("list[Twin | None]", info.context.elsewhere.nodes(tuple(ids)))
    view = info.context.present()
    found = [view.candidates(text) for text in ids]
    for text, rows in zip(ids, found, strict=True):
        if len(rows) > 1:
            view.find(text)  # raises, and names the twins that it may mean
    twins = iter(Cohort(view, np.array([rows[0] for rows in found if rows], np.int32)).twins())
    view.budget.spend(len(found))
    return cast("list[Twin | None]", [next(twins) if rows else None for rows in found])


def _twins(
    info: Info,
    kind: str | None = None,
    filter: TwinFilter | None = None,
    order_by: list[TwinOrder] | None = None,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    as_of: TimeNs | None = None,
    at_revision: Revision | None = None,
    min_revision: Revision | None = None,
    scenario: strawberry.ID | None = None,
) -> TwinConnection:
    request = WorldRequest(as_of, at_revision, min_revision, scenario)
    page = plan.PageRequest(first, after, last, before)
    match = plan.Match(kind, FilterReader().predicate(filter), order_keys(order_by), page)
    if info.context.elsewhere is not None:
        return cast("TwinConnection", info.context.elsewhere.twins(request, match))
    view = info.context.world(request)
    return cast("TwinConnection", TwinListing(view, run_match(view, match)))


def _search(info: Info, text: str, kind: str | None = None, first: int | None = None) -> TwinConnection:
    if len(text) > 200:
        raise InputError("a search text has at most 200 characters", code="SEARCH_INVALID")
    view = info.context.present()
    rows, total = run_search(view, text, kind, first)
    return cast("TwinConnection", TwinListing(view, _Hits(rows, total)))


def _reachable(
    info: Info,
    from_: Annotated[list[strawberry.ID], strawberry.argument(name="from")],
    relations: list[str] | None = None,
    direction: Direction | None = Direction.OUT,
    max_depth: int | None = None,
    kind: str | None = None,
    first: int | None = None,
) -> Reachable:
    names = None if relations is None else tuple(relations)
    heading = (direction or Direction.OUT).value
    walk = plan.Walk(tuple(from_), names, heading, max_depth, kind, first)
    if info.context.elsewhere is not None:
        return cast("Reachable", info.context.elsewhere.walk(walk))
    view = info.context.present()
    reached = run_walk(view, walk) if view.scroll is None else _next_reached(view, view.scroll, walk)
    return cast("Reachable", ReachedListing(view, reached))


def _next_reached(view: View, scroll: Scroll, walk: plan.Walk) -> Reached:
    """The next part of a walk that is read to its end."""

    def find() -> tuple[Reached, int]:
        found = walk_all(view, walk)
        scroll.cut = found.cut and found.cut.reason
        return found, found.count

    whole, part = scroll.next_part(walk.first, find)
    view.budget.spend(part.stop - part.start)
    return replace(whole, rows=whole.rows[part], depths=whole.depths[part])


def _paths(
    info: Info,
    from_: Annotated[strawberry.ID, strawberry.argument(name="from")],
    to: strawberry.ID,
    relations: list[str] | None = None,
    k: int | None = 1,
) -> Paths:
    names = None if relations is None else tuple(relations)
    routes = plan.Routes(from_, to, names, k=1 if k is None else k)
    if info.context.elsewhere is not None:
        return cast("Paths", info.context.elsewhere.routes(routes))
    view = info.context.present()
    found = run_routes(view, routes)
    paths = [_path_row(view, route) for route in found.routes]
    return cast("Paths", _PathsRow(paths, _TruncatedRow.of(found.cut)))


def _path_row(view: View, route: Route) -> _PathRow:
    rows, edges = np.array(route.rows, np.int32), np.array(route.edges, np.int32)
    links = LinkCohort(view, Hops(edges, np.arange(len(edges), dtype=np.int32), rows[1:]))
    return _PathRow([LinkRow(links, place) for place in range(len(edges))], Cohort(view, rows).twins())


def _aggregate(
    info: Info,
    measures: list[Measure],
    kind: str | None = None,
    filter: TwinFilter | None = None,
    group_by: list[str] | None = None,
) -> list[AggregateRow]:
    elsewhere = info.context.elsewhere
    schema = info.context.ontology
    if not 1 <= len(measures) <= 20 or len(group_by or ()) > 8:
        raise InputError("1 to 20 measures, at most 8 keys", code="AGGREGATE_INVALID")
    measured = tuple(_measured(item) for item in measures)
    if len({item.name for item in measured}) < len(measured):
        raise InputError("two measures have one name", code="AGGREGATE_INVALID", hint="name them with `as`")
    keys = tuple(parse_group_key(schema, text) for text in group_by or ())
    grouping = plan.Grouping(kind, FilterReader().predicate(filter), keys, measured)
    if elsewhere is not None:
        return cast("list[AggregateRow]", elsewhere.groups(grouping))
    return cast("list[AggregateRow]", _grouped(info.context.present(), grouping))


def _grouped(view: View, grouping: plan.Grouping) -> tuple[GroupRow, ...]:
    """Our twins, those that peers showed, and the figures that peers told instead."""
    others = None if view.figures is None else view.figures(grouping)
    if others is None or not others.parts:
        return run_grouping(view, grouping)
    rows, is_whole = run_joined(view, grouping, others)
    view.budget.spend(len(rows))
    if view.reads is not None:
        view.reads.grouped.append(grouping)
        if not is_whole:
            view.reads.unread.add("figures")
    return rows


def _measured(given: Measure) -> plan.Measured:
    of, operation = given.of or plan.POINT_VALUE, given.op.value
    is_plain_count = operation == "COUNT" and of == plan.POINT_VALUE
    return plan.Measured(
        operation, of, given.as_ or ("count" if is_plain_count else f"{operation.lower()}_{of}")
    )


def _simulation(info: Info, id: strawberry.ID) -> Simulation | None:
    return cast("Simulation | None", find_simulation(info.context, id))


@strawberry.type
class Query:
    node: Twin | None = strawberry.field(
        resolver=_node,
        description="The twin of an IRI, `site:localId`, or a local id that only one site has.",
    )
    nodes: list[Twin | None] = strawberry.field(resolver=_nodes, description="Null where there is none.")
    twins: TwinConnection = strawberry.field(resolver=_twins)
    search: TwinConnection = strawberry.field(
        resolver=_search,
        description="Every word must begin a word of the name, the local id or an outside id.",
    )
    reachable: Reachable = strawberry.field(resolver=_reachable)
    paths: Paths = strawberry.field(
        resolver=_paths, description="Shortest first, along relationships' direction."
    )
    aggregate: list[AggregateRow] = strawberry.field(
        resolver=_aggregate,
        description='`groupBy`: an attribute, "kind", "site", or a path such as `^pointOf/partOf:rec:Level`.',
    )
    sites: list[SiteInfo] = strawberry.field(resolver=sites_of)
    simulation: Simulation | None = strawberry.field(resolver=_simulation)
    bindings: list[BindingInfo] = strawberry.field(
        resolver=bindings_of, description="Of the live sources of this server; see `state` and `message`."
    )
    live_sources: list[LiveSource] = strawberry.field(resolver=sources_of)
    command: Command | None = strawberry.field(resolver=command_of)
    commands: CommandConnection = strawberry.field(
        resolver=commands_of, description="Newest first; with `open` those that are not over yet."
    )
    alarms: AlarmRecordConnection = strawberry.field(
        resolver=alarms_of, description="Newest first; those that are open unless `open` is false."
    )
    impacts: ImpactRecordConnection = strawberry.field(
        resolver=impacts_of, description="Cascades of `simulateCascade` that were finished, newest first."
    )

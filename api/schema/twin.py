"""The fixed types of the graph: Twin, Point, relationships, connections. Read from `api.schema.rows`.

Object types are not written here: `api.schema.generated` makes one per kind in use.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias, cast

import strawberry

from api.schema.context import RequestContext
from api.schema.enums import AggregateOp, CommandStatus, Fill, Quality
from api.schema.history import Shown, sample_rows
from api.schema.rows import LinkListing, TwinRow
from api.schema.scalars import DurationNs, Json, Revision, TimeNs
from graph.series import SeriesQuery, read_series
from graph.values import Way

Info: TypeAlias = strawberry.Info[RequestContext, None]
_DESIRED_COST = 10  # a look into the log of commands
_REASON = "Why it is doubted, or what is to know about it; null: nothing, or nobody told."


@strawberry.type(description="An attribute as it was stated; never converted.")
class Attribute:
    name: str
    value: Json | None
    unit: str | None
    source: str | None = strawberry.field(description="The import that stated it; null: a user.")


@strawberry.type
class ExternalId:
    system: str
    id: str


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="What a point was last asked to be, and how far that came.")
class DesiredState:
    value: Json
    status: CommandStatus
    time: TimeNs = strawberry.field(description="When the command was given.")
    command: strawberry.ID


@strawberry.type(description="A reading, or an aggregate of the readings in a bucket of time.")
class Sample:
    time: TimeNs = strawberry.field(description="Of the reading, or the start of the bucket.")
    value: float | None = strawberry.field(description="The number, or the first aggregate asked for.")
    text: str | None
    state: str | None
    quality: Quality | None
    quality_reason: str | None = strawberry.field(description=_REASON)
    aggregates: Json | None = strawberry.field(description="All aggregates asked for, by name.")
    resolution: DurationNs | None = strawberry.field(
        description="How long a time the kept means stand for; null: from the readings themselves."
    )


def _attributes(root: strawberry.Parent[TwinRow], names: list[str] | None = None) -> list[Attribute]:
    wanted = None if names is None else tuple(names)
    cohort = root.cohort
    found = cohort.column(("attributes", wanted), lambda: cohort.attributes(wanted))[root.place]
    return cast("list[Attribute]", found)


def _attribute(root: strawberry.Parent[TwinRow], name: str) -> Attribute | None:
    cohort = root.cohort
    found = cohort.column(("attributes", (name,)), lambda: cohort.attributes((name,)))[root.place]
    return cast("Attribute | None", found[0] if found else None)


def _points(root: strawberry.Parent[TwinRow]) -> list[Annotated[Point, strawberry.lazy(__name__)]]:
    return cast("list[Point]", root.cohort.column("points", root.cohort.points)[root.place])


def _links(
    root: TwinRow, way: Way, relation: str | None, kind: str | None, first: int | None, after: str | None
) -> LinkListing:
    cohort = root.cohort
    key = ("links", way, relation, kind, first, after)
    return cohort.column(key, lambda: cohort.links(way, relation, kind, first, after))[root.place]


def _out(
    root: strawberry.Parent[TwinRow],
    relation: str | None = None,
    kind: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> LinkConnection:
    return cast("LinkConnection", _links(root, Way.OUT, relation, kind, first, after))


def _in(
    root: strawberry.Parent[TwinRow],
    relation: str | None = None,
    kind: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> LinkConnection:
    return cast("LinkConnection", _links(root, Way.IN, relation, kind, first, after))


def _history(
    root: strawberry.Parent[TwinRow],
    info: Info,
    from_: Annotated[TimeNs | None, strawberry.argument(name="from")] = None,
    to: TimeNs | None = None,
    last: int | None = None,
    bucket: DurationNs | None = None,
    aggregate: list[AggregateOp] | None = None,
    fill: Fill | None = None,
) -> list[Sample]:
    operations = tuple(item.value for item in aggregate or ())
    query = SeriesQuery.of(from_, to, last, bucket, operations)
    view = root.cohort.view
    value_type = view.snapshot.value_type(root.row)
    query.check_type(value_type)
    if root.site in info.context.mesh.sites:
        series = read_series(info.context.mesh.twin(root.site).history, root.id, value_type, query)
    else:
        series = view.series_elsewhere(root.id, query)
    if series is None:
        return []
    samples = sample_rows(series, Shown(value_type, bucket, last, fill or Fill.NONE))
    view.budget.spend(len(samples))
    return cast("list[Sample]", samples)


def _desired(root: strawberry.Parent[TwinRow], info: Info) -> DesiredState | None:
    """Of the present, whatever time the query is of: a command is no part of the graph."""
    if root.site not in info.context.mesh.sites:
        reads = root.cohort.view.reads
        if reads is not None:
            reads.unread.add("desired")
        return None
    root.cohort.view.budget.spend(_DESIRED_COST)
    record = info.context.services.commands.desired(root.site, root.id)
    if record is None:
        return None
    return DesiredState(
        value=record.value,
        status=CommandStatus(record.status),
        time=cast("TimeNs", record.accepted_ns),
        command=strawberry.ID(record.id),
    )


@strawberry.interface(description="A node of the graph: an asset, a space, a point, a party, an order ...")
class Twin:
    id: strawberry.ID = strawberry.field(description="The global IRI.")
    local_id: str = strawberry.field(description="What stood in the file it came from.")
    name: str | None
    kind: str = strawberry.field(description="The leading kind, as a prefixed name.")
    kinds: list[str]
    site: str
    revision: Revision = strawberry.field(description="Of its site, when the twin itself changed last.")
    external_ids: list[ExternalId]
    attributes: list[Attribute] = strawberry.field(resolver=_attributes)
    attribute: Attribute | None = strawberry.field(resolver=_attribute)
    points: list[Annotated[Point, strawberry.lazy(__name__)]] = strawberry.field(resolver=_points)
    out: LinkConnection = strawberry.field(
        resolver=_out, description="Relationships that start here; a relation includes those below it."
    )
    in_: LinkConnection = strawberry.field(
        resolver=_in, name="in", description="Relationships that end here."
    )


@strawberry.interface(description="A twin whose value is a series of readings.")
class Point(Twin):
    value: float | None = strawberry.field(description="The last number; 1 and 0 of a boolean.")
    text: str | None
    state: str | None = strawberry.field(description="The last code, or true and false of a boolean.")
    unit: str | None = strawberry.field(description="UCUM code.")
    time: TimeNs | None
    quality: Quality | None
    quality_reason: str | None = strawberry.field(description=_REASON)
    history: list[Sample] = strawberry.field(resolver=_history)
    desired: DesiredState | None = strawberry.field(
        resolver=_desired,
        description="What the newest command that was not refused asks for; `value` is what is reported.",
    )


@strawberry.type(description="A relationship, seen from one of its ends.")
class Link:
    id: strawberry.ID
    relation: str = strawberry.field(description="Prefixed name, from source to target.")
    group: str | None = strawberry.field(description="The need group at the dependent end, where stated.")
    twin: Twin | None = strawberry.field(description="The twin at the other end.")
    attributes: list[Attribute]


@strawberry.type
class LinkEdge:
    cursor: str
    node: Link


@strawberry.type
class LinkConnection:
    edges: list[LinkEdge]
    nodes: list[Link]
    page_info: PageInfo
    total_count: int | None


@strawberry.type
class TwinEdge:
    cursor: str
    node: Twin


@strawberry.type
class TwinConnection:
    edges: list[TwinEdge]
    nodes: list[Twin]
    page_info: PageInfo
    total_count: int | None

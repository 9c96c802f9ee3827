"""Cascades that were finished, in the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import strawberry

from api.impact_log import ALL_SITES
from api.schema.enums import Completeness
from api.schema.log_listing import LogListing, log_place
from api.schema.scalars import Json, TimeNs
from api.schema.simulation import (
    Impact,
    ImpactListing,
    ImpactSummary,
    SourceRow,
    SourceStatus,
    SummaryRow,
)
from api.schema.twin import Info, PageInfo
from graph.ordering import checked_first

if TYPE_CHECKING:
    from api.impact_log import CascadeRecord
    from api.schema.context import RequestContext
    from api.schema.simulation import ImpactRow


@strawberry.type(description="A cascade that was finished, as the log keeps it.")
class ImpactRecord:
    id: strawberry.ID = strawberry.field(description="Of the simulation; its whole result is kept a while.")
    number: int = strawberry.field(description="Place in the log; that of its event at routes.")
    scenario: str
    scenario_hash: str = strawberry.field(
        description="SHA-256 of the scenario as it was asked for, without name and seed."
    )
    author: str
    finished: TimeNs
    seed: int
    horizon_hours: float
    summary: ImpactSummary
    completeness: Completeness
    sources: list[SourceStatus] = strawberry.field(description="Partners that were asked, and our sites.")
    hits: Json = strawberry.field(description="How many twins are hit, by site.")
    impacts: list[Impact] = strawberry.field(
        description="The twins with the highest expected cost, of our sites alone."
    )


@strawberry.type
class ImpactRecordEdge:
    cursor: str
    node: ImpactRecord


@strawberry.type
class ImpactRecordConnection:
    edges: list[ImpactRecordEdge]
    nodes: list[ImpactRecord]
    page_info: PageInfo


@dataclass(frozen=True, slots=True, eq=False)
class ImpactRecordRow:
    """A finished cascade in the sight of a request."""

    record: CascadeRecord
    number: int
    context: RequestContext
    site: str = ALL_SITES

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def scenario(self) -> str:
        return self.record.scenario

    @property
    def scenario_hash(self) -> str:
        return self.record.scenario_hash

    @property
    def author(self) -> str:
        return self.record.author

    @property
    def finished(self) -> int:
        return self.record.finished_ns

    @property
    def seed(self) -> int:
        return self.record.seed

    @property
    def horizon_hours(self) -> float:
        return self.record.horizon_hours

    @property
    def summary(self) -> SummaryRow:
        return SummaryRow.of(self.record.document)

    @property
    def completeness(self) -> Completeness:
        return Completeness(self.record.completeness)

    @property
    def sources(self) -> list[SourceRow]:
        return SourceRow.all_of(self.record.document)

    @property
    def hits(self) -> dict[str, int]:
        return self.record.hits

    @property
    def impacts(self) -> list[ImpactRow]:
        items = self.record.impacts
        self.context.budget.spend(len(items))
        return ImpactListing(self.context, items, 0, len(items)).nodes


def impacts_of(
    info: Info, scenario: str | None = None, first: int | None = None, after: str | None = None
) -> ImpactRecordConnection:
    context, before = info.context, log_place(after)
    found, more = context.services.impacts.page(
        context.principal, scenario, checked_first(first), before=before
    )
    context.budget.spend(len(found))
    rows = [ImpactRecordRow(record, number, context) for number, record in found]
    return cast("ImpactRecordConnection", LogListing(rows, [row.number for row in rows], more, before))

"""Simulations as types: status, summary, impacts page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import strawberry

from api.schema.context import RequestContext
from api.schema.enums import Completeness, JobStatus, SourceState
from api.schema.rows import Cohort, EdgeRow, PageInfoRow, TwinRow
from api.schema.scalars import Json
from api.schema.twin import Info, PageInfo, Twin
from graph.ordering import checked_first, cursor_error, decode_cursor, encode_cursor
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from api.simulating import Document, SimulationJob
    from ontology.schema import Schema


@strawberry.type
class FirstHit:
    mean: float
    p05: float
    p50: float
    p95: float


@strawberry.type
class Impact:
    id: strawberry.ID
    local_id: str
    name: str | None
    kind: str
    site: str
    twin: Twin | None = strawberry.field(description="As it is now; null if it is gone since.")
    probability: float
    probability_high: float | None
    first_hit_hours: FirstHit | None
    expected_down_hours: float
    min_level: float
    expected_cost: float | None = strawberry.field(description="Null where a partner does not tell it.")
    uncertain: bool
    why: list[str] = strawberry.field(description="Local ids, from the first cause to this twin.")
    deltas: Json | None = strawberry.field(description="Differences to the baseline, by name.")


@strawberry.type
class ImpactEdge:
    cursor: str
    node: Impact


@strawberry.type
class ImpactConnection:
    edges: list[ImpactEdge]
    nodes: list[Impact]
    page_info: PageInfo
    total_count: int | None


@strawberry.type
class ImpactSummary:
    twins_hit: int
    expected_cost: float
    cost_p05: float = strawberry.field(name="costP05")
    cost_p95: float = strawberry.field(name="costP95")
    engine: str
    runs: int
    runs_computed: int
    revisions: Json = strawberry.field(description="Revision of each site that was simulated.")
    ontology: str = strawberry.field(description="Version of the vocabulary, for repeating the run.")
    deltas: Json | None


@strawberry.type
class SourceStatus:
    site: str
    status: SourceState
    revision: str | None
    code: str | None = strawberry.field(description="Why a partner did not take part.")


def _impacts(
    root: strawberry.Parent[SimulationRow],
    info: Info,
    first: int | None = None,
    after: str | None = None,
    kind: str | None = None,
) -> ImpactConnection | None:
    return cast("ImpactConnection | None", root.impacts(info.context, first, after, kind))


@strawberry.type(description="A cascade that was asked for. Only DONE has a summary and impacts.")
class Simulation:
    id: strawberry.ID
    status: JobStatus
    progress: float
    error: str | None
    error_code: str | None
    summary: ImpactSummary | None
    impacts: ImpactConnection | None = strawberry.field(
        resolver=_impacts, description="Highest expected cost first."
    )
    completeness: Completeness | None
    sources: list[SourceStatus]


@dataclass(frozen=True, slots=True)
class SimulationRow:
    """A job as it was when it was read."""

    id: str
    status: JobStatus
    progress: float
    error: str | None
    error_code: str | None
    document: Document | None

    @classmethod
    def of(cls, job: SimulationJob) -> SimulationRow:
        state, problem, result = job.state, job.problem, job.result
        return cls(
            job.id,
            JobStatus(state.value),
            job.progress,
            problem.message if problem else None,
            problem.code if problem else None,
            result.document if result and state.is_final else None,
        )

    @property
    def summary(self) -> SummaryRow | None:
        return None if self.document is None else SummaryRow.of(self.document)

    @property
    def completeness(self) -> Completeness | None:
        return None if self.document is None else Completeness(self.document["completeness"])

    @property
    def sources(self) -> list[SourceRow]:
        return [] if self.document is None else SourceRow.all_of(self.document)

    def impacts(
        self, context: RequestContext, first: int | None, after: str | None, kind: str | None
    ) -> ImpactListing | None:
        """One page of the twins that are hit. KIND_UNKNOWN, CURSOR_INVALID, PAGE_TOO_LARGE."""
        size = checked_first(first)
        if self.document is None:
            return None
        items: list[Document] = self.document["impacts"]
        if kind is not None:
            items = _of_kind(context.present().snapshot.schema, items, kind)
        start = _start(after, len(items))
        page = items[start : start + size]
        context.budget.spend(len(page))
        return ImpactListing(context, page, start, len(items))


@dataclass(frozen=True, slots=True)
class SourceRow:
    site: str
    status: SourceState
    revision: str | None
    code: str | None = None

    @classmethod
    def all_of(cls, document: Document) -> list[SourceRow]:
        """Our sites, then partners."""
        own = [cls(site, SourceState.ANSWERED, at) for site, at in document["revisions"].items()]
        partners: list[Document] = document.get("sources", [])
        return own + [cls.of_partner(row) for row in partners]

    @classmethod
    def of_partner(cls, row: Document) -> SourceRow:
        return cls(row["site"], SourceState(row["status"]), None, row["code"] or None)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    twins_hit: int
    expected_cost: float
    cost_p05: float
    cost_p95: float
    engine: str
    runs: int
    runs_computed: int
    revisions: dict[str, str]
    ontology: str
    deltas: Document | None

    @classmethod
    def of(cls, document: Document) -> SummaryRow:
        summary = document["summary"]
        return cls(
            twins_hit=summary["twinsHit"],
            expected_cost=summary["expectedCost"],
            cost_p05=summary["costP05"],
            cost_p95=summary["costP95"],
            engine=document["engine"],
            runs=document["runs"],
            runs_computed=document["runsComputed"],
            revisions=document["revisions"],
            ontology=document["ontology"],
            deltas=deltas_of(summary),
        )


class ImpactListing:
    """An `ImpactConnection`."""

    __slots__ = ("_is_there", "_items", "_start", "_total", "_twins")

    def __init__(self, context: RequestContext, items: list[Document], start: int, total: int) -> None:
        self._items = items
        self._start = start
        self._total = total
        view = context.present()
        rows = view.snapshot.rows([item["id"] for item in items])
        self._twins = Cohort(view, np.where(rows >= 0, rows, 0).astype(np.int32))
        self._is_there = (rows >= 0).tolist()

    @property
    def nodes(self) -> list[ImpactRow]:
        return [
            ImpactRow.of(item, TwinRow(self._twins, place) if here else None)
            for place, (item, here) in enumerate(zip(self._items, self._is_there, strict=True))
        ]

    @property
    def edges(self) -> list[EdgeRow[ImpactRow]]:
        return [EdgeRow(impact, self._cursor(place)) for place, impact in enumerate(self.nodes)]

    @property
    def page_info(self) -> PageInfoRow:
        count = len(self._items)
        return PageInfoRow(
            self._start + count < self._total,
            self._start > 0,
            self._cursor(0) if count else None,
            self._cursor(count - 1) if count else None,
        )

    @property
    def total_count(self) -> int:
        return self._total

    def _cursor(self, place: int) -> str:
        return encode_cursor(["impact", self._start + place])


@dataclass(frozen=True, slots=True)
class ImpactRow:
    """One twin that is hit."""

    id: str
    local_id: str
    name: str | None
    kind: str
    site: str
    twin: TwinRow | None
    probability: float
    probability_high: float | None
    first_hit_hours: HitRow | None
    expected_down_hours: float
    min_level: float
    expected_cost: float | None
    uncertain: bool
    why: list[str]
    deltas: Document | None

    @classmethod
    def of(cls, item: Document, twin: TwinRow | None) -> ImpactRow:
        hours = item["firstHitHours"]
        return cls(
            id=item["id"],
            local_id=item["localId"],
            name=item["name"],
            kind=item["kind"],
            site=item["site"],
            twin=twin,
            probability=item["probability"],
            probability_high=item.get("probabilityHigh"),
            first_hit_hours=HitRow(**hours) if hours else None,
            expected_down_hours=item["expectedDownHours"],
            min_level=item["minLevel"],
            expected_cost=item["expectedCost"],
            uncertain=item["uncertain"],
            why=item["why"],
            deltas=deltas_of(item),
        )


@dataclass(frozen=True, slots=True)
class HitRow:
    mean: float
    p05: float
    p50: float
    p95: float


def find_simulation(context: RequestContext, job_id: str) -> SimulationRow | None:
    """The simulation of that id, None if there is none that the principal may see."""
    try:
        return SimulationRow.of(context.services.simulations.get(job_id, context.principal))
    except NotFoundError:
        return None


def deltas_of(item: Document) -> Document | None:
    """What was added by `--against-baseline`: the fields whose names begin with `delta`."""
    return {name: value for name, value in item.items() if name.startswith("delta")} or None


def _of_kind(schema: Schema, items: list[Document], kind: str) -> list[Document]:
    below = schema.kinds_below(schema.kind(kind).index)
    return [item for item in items if below[schema.kind(item["kind"]).index]]


def _start(after: str | None, count: int) -> int:
    """A result never changes, so a place in it is cursor enough."""
    if after is None:
        return 0
    match decode_cursor(after):
        case ["impact", int(place)] if 0 <= place < count:
            return place + 1
        case _:
            raise cursor_error()

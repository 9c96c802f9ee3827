"""The root of subscriptions. Each has its own bounded watch of the sites; a slow reader holds up nobody.

Before every event the token is checked again, and the event sees the newest state with a budget of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import strawberry

from api.schema.alarms import AlarmRecord, alarm_states
from api.schema.commands import Command, command_states
from api.schema.enums import Quality
from api.schema.inputs import FilterReader, TwinFilter
from api.schema.rows import Cohort, TwinRow, read_value
from api.schema.scalars import NS_PER_S, DurationNs, Revision, TimeNs
from api.schema.simulation import Impact, ImpactListing, Simulation, SimulationRow
from api.schema.twin import Info, Point, Twin
from graph.feed import Gap, ReadingsEvent, newest_readings
from graph.matching import mask_of
from graph.quality import reason_of, severity_of
from graph.snapshot import read_word
from graph.touching import TOUCHED_MAX, all_touched
from graph.values import Commit, ValueType
from graph.values import Quality as QualityValue
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.schema.context import RequestContext
    from graph.feed import Watch
    from graph.plan import Predicate
    from graph.snapshot import Snapshot
    from graph.view import View

_POINTS_MAX = 10_000
_TWINS_PER_EVENT_MAX = 1_000
# After a commit, further ones are awaited this long before a cascade is run again.
_SETTLE_S = 0.5
# How often a quiet subscription looks whether its token still holds, and whether there are new sites.
_CHECK_S = 5.0


@strawberry.type(description="One commit of one site.")
class ChangeEvent:
    site: str
    revision: Revision
    time: TimeNs
    author: str
    message: str
    touched: list[strawberry.ID] = strawberry.field(
        description="Twins put, merged, removed, or newly related; of very many the first ones."
    )
    touches_more: bool = strawberry.field(description="There are more than `touched` names.")
    removed: list[strawberry.ID] = strawberry.field(description="Those of them that are gone.")
    twins: list[Twin] = strawberry.field(description="Those of them that are there, as they are now.")


@strawberry.type(description="A reading, as it came.")
class ReadingEvent:
    id: strawberry.ID = strawberry.field(description="The point's IRI.")
    point: Point
    value: float | None
    text: str | None
    state: str | None
    unit: str | None
    time: TimeNs
    quality: Quality
    quality_reason: str | None = strawberry.field(description="Why it is doubted, where that is known.")
    conflated: int = strawberry.field(description="Older readings of the site that a slow reader missed.")


@strawberry.type(description="What would happen to some twins as things stand now.")
class ImpactEvent:
    revision: Revision
    impacts: list[Impact] = strawberry.field(description="Those of the watched twins that are hit.")
    simulation: Simulation


@dataclass(frozen=True, slots=True)
class _ChangeRow:
    site: str
    revision: int
    time: int
    author: str
    message: str
    touched: list[str]
    touches_more: bool
    removed: list[str]
    twins: list[TwinRow]


@dataclass(frozen=True, slots=True)
class _ReadingRow:
    point: TwinRow
    value: float | None
    text: str | None
    state: str | None
    time: int
    quality_code: int
    conflated: int

    @property
    def quality(self) -> QualityValue:
        return severity_of(self.quality_code)

    @property
    def quality_reason(self) -> str | None:
        return reason_of(self.quality_code)

    @property
    def id(self) -> str:
        return self.point.id

    @property
    def unit(self) -> str | None:
        return self.point.unit


@dataclass(frozen=True, slots=True)
class _ImpactRow:
    revision: int
    impacts: list[object]
    simulation: SimulationRow


class _Watches:
    """The watches of some sites, read from an event loop."""

    def __init__(
        self, context: RequestContext, sites: Sequence[str] | None, resume_from: int | None = None
    ) -> None:
        """sites: None for all of the folder, those that appear later included."""
        self._context = context
        self._wants_all = sites is None
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._stack = ExitStack()
        self._watches: dict[str, Watch] = {}
        for site in context.mesh.sites if sites is None else sites:
            self._open(site, resume_from)

    async def events(self) -> AsyncGenerator[tuple[str, Commit | ReadingsEvent], None]:
        """(site, event) as they come; ends when a site is closed."""
        with self._stack:
            while True:
                self._woken.clear()
                self._open_new()
                for site in tuple(self._watches):
                    while (event := await asyncio.to_thread(self._watches[site].get, 0)) is not None:
                        self._context.check_principal()
                        if isinstance(event, Gap):
                            # The journal has what the queue could not hold.
                            self._open(site, event.after)
                        else:
                            yield site, event
                if any(watch.closed for watch in self._watches.values()):
                    return
                self._context.check_principal()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _CHECK_S)

    def _open_new(self) -> None:
        """Sites that appeared since, from their first commit on: nobody wakes us for those."""
        if self._wants_all:
            for site in self._context.mesh.sites:
                if site not in self._watches:
                    self._open(site, 0)

    def _open(self, site: str, resume_from: int | None) -> None:
        before = self._watches.get(site)
        if before is not None:
            before.close()
        watch = self._context.mesh.twin(site).watch(resume_from, self._wake)
        self._watches[site] = self._stack.enter_context(watch)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)


async def _changes(
    info: Info, filter: TwinFilter | None = None, resume_from: Revision | None = None, site: str | None = None
) -> AsyncGenerator[ChangeEvent, None]:
    context = info.context
    sites = None if site is None else (context.mesh.twin(site).site,)
    if resume_from is not None and len(sites or context.mesh.sites) != 1:
        hint = "subscribe once per site, with `site`"
        raise InputError("each site counts its own revisions", code="REVISION_AMBIGUOUS", hint=hint)
    predicate = FilterReader().predicate(filter)
    async with aclosing(_Watches(context, sites, resume_from).events()) as events:
        async for where, event in events:
            if isinstance(event, Commit):
                told = (context.renew(), where, event, predicate)
                # A filter over a million twins must not hold up everybody else.
                row = (
                    await asyncio.to_thread(_change_row, *told) if event.touches_more else _change_row(*told)
                )
                if row is not None:
                    yield cast("ChangeEvent", row)


def _change_row(view: View, site: str, commit: Commit, predicate: Predicate | None) -> _ChangeRow | None:
    """None where the principal may see nothing of the commit, or the filter fits none of its twins."""
    chooses = view.is_narrowed or predicate is not None
    touched = list(all_touched(commit) if chooses else commit.touched)
    more = commit.touches_more
    found = view.snapshot.rows(touched)
    removed = [iri for iri, row in zip(touched, found.tolist(), strict=True) if row < 0]
    rows = found[found >= 0]
    rows = rows[view.seen(rows)]
    if predicate is not None:
        rows = rows[mask_of(view, predicate, rows)]
    if chooses:
        # Of a twin that is gone nobody can say whether it was in scope or fitted.
        removed, touched = [], view.snapshot.ids(rows[:TOUCHED_MAX])
        more = len(rows) > TOUCHED_MAX
        if not len(rows):
            return None
    shown = rows[:_TWINS_PER_EVENT_MAX]
    view.budget.spend(len(shown))
    twins = Cohort(view, shown).twins()
    about = (site, commit.sequence, commit.time_ns, commit.author, commit.message)
    return _ChangeRow(*about, touched, more, removed, twins)


async def _readings(
    info: Info, points: list[strawberry.ID], throttle: DurationNs | None = None
) -> AsyncGenerator[ReadingEvent, None]:
    context = info.context
    if not 1 <= len(points) <= _POINTS_MAX:
        raise LimitError(f"1 to {_POINTS_MAX:,} points", code="SUBSCRIPTION_TOO_LARGE")
    view = context.present()
    wanted = {view.snapshot.id(view.find(text)) for text in points}
    sites = sorted({TwinRow(Cohort(view, view.find_all([iri])), 0).site for iri in wanted})
    gate = _Gate(throttle)
    async with aclosing(_Watches(context, sites).events()) as events:
        async for where, event in gate.passed(events):
            for row in _reading_rows(context.renew(), context.mesh.twin(where).snapshot(), wanted, event):
                yield cast("ReadingEvent", row)


class _Gate:
    """Lets readings through at most once per period; of those in between, each point's newest is kept."""

    def __init__(self, period_ns: int | None) -> None:
        self._period_s = (period_ns or 0) / NS_PER_S

    async def passed(
        self, events: AsyncGenerator[tuple[str, Commit | ReadingsEvent], None]
    ) -> AsyncGenerator[tuple[str, ReadingsEvent], None]:
        held: dict[str, list[ReadingsEvent]] = {}
        opens_s = 0.0
        loop = asyncio.get_running_loop()
        async for site, event in events:
            if not isinstance(event, ReadingsEvent):
                continue
            if not self._period_s:
                yield site, event
                continue
            held.setdefault(site, []).append(event)
            await asyncio.sleep(max(0.0, opens_s - loop.time()))
            opens_s = loop.time() + self._period_s
            for each, kept in held.items():
                yield each, newest_event(kept)
            held = {}


def newest_event(events: Sequence[ReadingsEvent]) -> ReadingsEvent:
    """Several events of one site as one, with each point's newest reading."""
    newest = newest_readings([event.readings for event in events])
    left_out = sum(len(event.readings) + event.conflated for event in events) - len(newest)
    return ReadingsEvent(newest, left_out)


def _reading_rows(view: View, site: Snapshot, wanted: set[str], event: ReadingsEvent) -> list[_ReadingRow]:
    """The wanted readings of an event, oldest first. Rows of the event are those of its site."""
    readings = event.readings
    iris = site.ids(readings.points)
    places = [place for place, iri in enumerate(iris) if iri in wanted]
    rows = view.snapshot.rows([iris[place] for place in places])
    keep = (rows >= 0) & view.seen(np.maximum(rows, 0))
    cohort = Cohort(view, rows[keep])
    view.budget.spend(len(cohort.rows))
    found: list[_ReadingRow] = []
    for position, place in enumerate(np.array(places, np.int64)[keep].tolist()):
        value_type = site.value_type(int(readings.points[place]))
        value = read_word(int(readings.words[place]), value_type, site.pools)
        found.append(
            _ReadingRow(
                TwinRow(cohort, position),
                *read_value(value, value_type is ValueType.CODE),
                int(readings.times_ns[place]),
                int(readings.quality[place]),
                event.conflated,
            )
        )
    return sorted(found, key=lambda row: row.time)


async def _job(info: Info, id: strawberry.ID) -> AsyncGenerator[Simulation, None]:
    context = info.context
    job = context.services.simulations.get(id, context.principal)
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    leave = job.listen(lambda: _wake(loop, woken))
    try:
        while True:
            woken.clear()
            row = SimulationRow.of(job)
            context.renew()
            yield cast("Simulation", row)
            if job.state.is_final and row.status.value == job.state.value:
                return
            await woken.wait()
            context.check_principal()
    finally:
        leave()


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    loop.call_soon_threadsafe(woken.set)


async def _impact_on(info: Info, twins: list[strawberry.ID]) -> AsyncGenerator[ImpactEvent, None]:
    context = info.context
    view = context.present()
    wanted = set(view.snapshot.ids(view.find_all(twins)))
    shown: list[object] | None = None
    async with aclosing(_Watches(context, None).events()) as events:
        commits = (event async for _, event in events if isinstance(event, Commit))
        while True:
            row = await _simulated(context, wanted)
            if row is not None and row[1] != shown:
                shown = row[1]
                yield cast("ImpactEvent", row[0])
            if await anext(commits, None) is None:
                return
            await asyncio.sleep(_SETTLE_S)


async def _simulated(context: RequestContext, wanted: set[str]) -> tuple[_ImpactRow, list[object]] | None:
    """The impact on some twins as things stand, and what of it to compare; None where the job failed."""
    context.check_principal()
    view = context.renew()
    job = context.services.simulations.submit(context.principal, {"events": []}, None, against_baseline=False)
    await asyncio.to_thread(job.wait, context.services.settings.limits.wall_s)
    row = SimulationRow.of(job)
    if row.document is None:
        return None
    items = [item for item in row.document["impacts"] if item["id"] in wanted]
    listing = ImpactListing(context, items, 0, len(items))
    return _ImpactRow(view.snapshot.revision, list(listing.nodes), row), cast("list[object]", items)


@strawberry.type
class Subscription:
    changes: AsyncGenerator[ChangeEvent, None] = strawberry.subscription(
        resolver=_changes, description="Commits. `resumeFrom` is the last revision seen: nothing is missed."
    )
    readings: AsyncGenerator[ReadingEvent, None] = strawberry.subscription(
        resolver=_readings,
        description="Readings as they come; with `throttle` each point's newest per period.",
    )
    impact_on: AsyncGenerator[ImpactEvent, None] = strawberry.subscription(
        resolver=_impact_on, description="Simulated again after each commit; sent when it differs."
    )
    job: AsyncGenerator[Simulation, None] = strawberry.subscription(
        resolver=_job, description="A simulation as it moves on, until it ends."
    )
    command: AsyncGenerator[Command, None] = strawberry.subscription(
        resolver=command_states, description="Every state of a command, until it is over."
    )
    alarms: AsyncGenerator[AlarmRecord, None] = strawberry.subscription(
        resolver=alarm_states, description="Alarms as they are raised, acknowledged, shelved and cleared."
    )

"""Alarms in the schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import strawberry

from api.schema.commands import wake
from api.schema.enums import AlarmStatus
from api.schema.log_listing import LogListing, log_place
from api.schema.rows import find_twin
from api.schema.scalars import Json, TimeNs
from api.schema.twin import Info, PageInfo, Twin
from graph.ordering import checked_first

if TYPE_CHECKING:
    from adapters.alarm_desk import AlarmRecord as Record
    from api.schema.context import RequestContext
    from api.schema.rows import TwinRow


@strawberry.type(description="A rule that a point broke. Open until it is cleared and acknowledged.")
class AlarmRecord:
    id: strawberry.ID
    site: str
    point: strawberry.ID = strawberry.field(description="The point's IRI.")
    twin: Twin | None = strawberry.field(description="The point, as it is now.")
    rule: str
    severity: str = strawberry.field(description="low, medium, high or critical.")
    message: str
    status: AlarmStatus
    active: bool
    acknowledged: bool
    acknowledged_by: str | None
    count: int = strawberry.field(description="How often it was raised while it was open.")
    value: Json | None = strawberry.field(description="What the point said when the alarm changed last.")
    raised: TimeNs
    changed: TimeNs
    cleared: TimeNs | None
    shelved_until: TimeNs | None
    shelved_by: str | None
    comment: str | None


@strawberry.type
class AlarmRecordEdge:
    cursor: str
    node: AlarmRecord


@strawberry.type
class AlarmRecordConnection:
    edges: list[AlarmRecordEdge]
    nodes: list[AlarmRecord]
    page_info: PageInfo


@dataclass(frozen=True, slots=True, eq=False)
class AlarmRow:
    """An alarm in the sight of a request."""

    id: str
    site: str
    point: str
    rule: str
    severity: str
    message: str
    status: AlarmStatus
    active: bool
    acknowledged: bool
    acknowledged_by: str | None
    count: int
    value: object
    raised: int
    changed: int
    cleared: int | None
    shelved_until: int | None
    shelved_by: str | None
    comment: str | None
    context: RequestContext

    @classmethod
    def of(cls, context: RequestContext, record: Record) -> AlarmRow:
        return cls(
            record.id,
            record.site,
            record.point,
            record.rule,
            record.severity,
            record.message,
            AlarmStatus(record.status),
            record.active,
            record.acknowledged,
            record.acknowledged_by,
            record.count,
            record.value,
            record.raised_ns,
            record.changed_ns,
            record.cleared_ns,
            record.shelved_until_ns,
            record.shelved_by,
            record.comment,
            context,
        )

    @property
    def twin(self) -> TwinRow | None:
        return find_twin(self.context.present(), self.point)


def alarms_of(
    info: Info,
    point: strawberry.ID | None = None,
    open: bool | None = True,
    first: int | None = None,
    after: str | None = None,
) -> AlarmRecordConnection:
    context, before = info.context, log_place(after)
    found, more = context.services.alarms.page(
        context.present(), point=point, open_only=bool(open), limit=checked_first(first), before=before
    )
    context.budget.spend(len(found))
    rows = [AlarmRow.of(context, record) for _, record in found]
    listing = LogListing(rows, [number for number, _ in found], more, before)
    return cast("AlarmRecordConnection", listing)


def acknowledge_alarm(info: Info, id: strawberry.ID, comment: str | None = None) -> AlarmRecord:
    context = info.context
    record = context.services.alarms.acknowledge(context.principal, context.present(), id, comment)
    return cast("AlarmRecord", AlarmRow.of(context, record))


def shelve_alarm(info: Info, id: strawberry.ID, until: TimeNs, comment: str | None = None) -> AlarmRecord:
    context = info.context
    alarms = context.services.alarms
    record = alarms.shelve(context.principal, context.present(), id, until, comment)
    return cast("AlarmRecord", AlarmRow.of(context, record))


async def alarm_states(info: Info) -> AsyncGenerator[AlarmRecord, None]:
    """What alarms come to, from now on."""
    context, alarms = info.context, info.context.services.alarms
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    leave = alarms.listen(lambda: wake(loop, woken))
    try:
        reached = await asyncio.to_thread(alarms.heads)
        while True:
            woken.clear()
            before = reached
            found, reached = await asyncio.to_thread(alarms.changes, context.renew(), before)
            for record in found:
                yield cast("AlarmRecord", AlarmRow.of(context, record))
            if reached == before:
                await woken.wait()
            context.check_principal()
    finally:
        leave()

"""Commands in the schema: what was asked of the field, how far it came, and who may see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import strawberry

from adapters.commands import Wish
from api.schema.enums import CommandStatus
from api.schema.inputs import CommandInput
from api.schema.log_listing import LogListing, log_place
from api.schema.rows import find_twin
from api.schema.scalars import Json, TimeNs
from api.schema.twin import Info, PageInfo, Twin
from graph.ordering import checked_first
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from adapters.commands import CommandRecord
    from api.schema.context import RequestContext
    from api.schema.rows import TwinRow


@strawberry.type(description="A state that a command went through.")
class CommandStep:
    status: CommandStatus
    time: TimeNs
    code: str | None
    message: str | None


@strawberry.type(description="What a point was asked to be, and how far that came.")
class Command:
    id: strawberry.ID
    site: str
    point: strawberry.ID = strawberry.field(description="The point's IRI.")
    twin: Twin | None = strawberry.field(description="The point, as it is now.")
    value: Json = strawberry.field(description="What was asked: the desired state.")
    reported: Json | None = strawberry.field(
        description="What the point said when the command was given; once CONFIRMED, what confirmed it."
    )
    status: CommandStatus
    code: str | None
    message: str | None
    author: str
    awaits_approval: bool
    approver: str | None
    accepted: TimeNs
    sent: TimeNs | None
    changed: TimeNs
    expires: TimeNs
    steps: list[CommandStep] = strawberry.field(description="The states it went through, oldest first.")


@strawberry.type
class CommandEdge:
    cursor: str
    node: Command


@strawberry.type
class CommandConnection:
    edges: list[CommandEdge]
    nodes: list[Command]
    page_info: PageInfo


@strawberry.type
class CommandResult:
    id: strawberry.ID = strawberry.field(description="Empty after a dry run.")
    status: CommandStatus
    code: str | None
    message: str | None
    command: Command | None = strawberry.field(description="Null after a dry run.")


@dataclass(frozen=True, slots=True)
class _StepRow:
    status: CommandStatus
    time: int
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True, eq=False)
class CommandRow:
    """A command in the sight of a request."""

    context: RequestContext
    record: CommandRecord

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def site(self) -> str:
        return self.record.site

    @property
    def point(self) -> str:
        return self.record.point

    @property
    def twin(self) -> TwinRow | None:
        return find_twin(self.context.present(), self.record.point)

    @property
    def value(self) -> object:
        return self.record.value

    @property
    def reported(self) -> object:
        return self.record.reported

    @property
    def status(self) -> CommandStatus:
        return CommandStatus(self.record.status)

    @property
    def code(self) -> str | None:
        return self.record.code

    @property
    def message(self) -> str | None:
        return self.record.message

    @property
    def author(self) -> str:
        return self.record.author

    @property
    def awaits_approval(self) -> bool:
        return self.record.awaits_approval

    @property
    def approver(self) -> str | None:
        return self.record.approver

    @property
    def accepted(self) -> int:
        return self.record.accepted_ns

    @property
    def sent(self) -> int | None:
        return self.record.sent_ns

    @property
    def changed(self) -> int:
        return self.record.changed_ns

    @property
    def expires(self) -> int:
        return self.record.expires_ns

    @property
    def steps(self) -> list[_StepRow]:
        states = self.context.services.commands.states(self.context.present(), self.record.id)
        self.context.budget.spend(len(states))
        return [
            _StepRow(CommandStatus(each.status), each.changed_ns, each.code, each.message) for each in states
        ]


@dataclass(frozen=True, slots=True, eq=False)
class _ResultRow:
    id: str
    status: CommandStatus
    code: str | None
    message: str | None
    command: CommandRow | None

    @classmethod
    def of(cls, context: RequestContext, record: CommandRecord) -> _ResultRow:
        row = CommandRow(context, record) if record.id else None
        return cls(record.id, CommandStatus(record.status), record.code, record.message, row)


def send_command(info: Info, input: CommandInput) -> CommandResult:
    context = info.context
    wish = Wish(
        input.point,
        input.value,
        input.expires_in_s,
        input.idempotency_key,
        context.principal.name,
        input.if_value,
        bool(input.dry_run),
    )
    record = context.services.commands.send(context.principal, context.present(), wish)
    return cast("CommandResult", _ResultRow.of(context, record))


def approve_command(info: Info, id: strawberry.ID) -> CommandResult:
    context = info.context
    record = context.services.commands.approve(context.principal, context.present(), id)
    return cast("CommandResult", _ResultRow.of(context, record))


def cancel_command(info: Info, id: strawberry.ID) -> CommandResult:
    context = info.context
    record = context.services.commands.cancel(context.principal, context.present(), id)
    return cast("CommandResult", _ResultRow.of(context, record))


def command_of(info: Info, id: strawberry.ID) -> Command | None:
    context = info.context
    record = context.services.commands.get(context.present(), id)
    return None if record is None else cast("Command", CommandRow(context, record))


def commands_of(
    info: Info,
    point: strawberry.ID | None = None,
    open: bool | None = False,
    first: int | None = None,
    after: str | None = None,
) -> CommandConnection:
    context, limit = info.context, checked_first(first)
    before = log_place(after)
    found, more = context.services.commands.page(
        context.present(), point=point, open_only=bool(open), limit=limit, before=before
    )
    context.budget.spend(len(found))
    rows = [CommandRow(context, record) for _, record in found]
    listing = LogListing(rows, [number for number, _ in found], more, before)
    return cast("CommandConnection", listing)


async def command_states(info: Info, id: strawberry.ID) -> AsyncGenerator[Command, None]:
    """Every state of a command from now on, the present one first, until it is over."""
    context, commands = info.context, info.context.services.commands
    record = await asyncio.to_thread(commands.get, context.present(), id)
    if record is None:
        raise NotFoundError(f"no command {id!r}", code="COMMAND_UNKNOWN")
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    leave = commands.listen(record, lambda: wake(loop, woken))
    shown = 0
    try:
        while True:
            woken.clear()
            states = await asyncio.to_thread(commands.states, context.renew(), id)
            for state in states[shown or len(states) - 1 :]:
                yield cast("Command", CommandRow(context, state))
            shown = len(states)
            if not states[-1].is_open:
                return
            await woken.wait()
            context.check_principal()
    finally:
        leave()


def wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    """Set an event of a loop from another thread; nothing where the loop is gone."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(woken.set)

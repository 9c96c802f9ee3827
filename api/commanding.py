"""Commands to the field, as principals give and see them. Refused where no way to the device is bound."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from adapters.commands import EXPIRES_S_MAX, RECORDS, Wish
from api.log_pages import page_in_sight, sees
from api.policy import Action
from ontology.errors import InputError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from adapters.command_desk import CommandDesk
    from adapters.commands import CommandRecord
    from api.policy import Principal
    from graph.stores.state_log import StateLog
    from graph.view import View


class Commands:
    """The desks of all sites that have ways to devices; what is out of a principal's sight does not exist."""

    def __init__(self, desks: Mapping[str, CommandDesk] | None = None) -> None:
        self._desks = dict(desks or {})

    @property
    def sites(self) -> frozenset[str]:
        """Those with a way to devices."""
        return frozenset(self._desks)

    def send(self, asking: Principal, view: View, wish: Wish) -> CommandRecord:
        """Take a command in; `wish.point` may be any id of the point. See `CommandDesk.send`.

        AccessError FORBIDDEN; TWIN_UNKNOWN; InputError COMMAND_INVALID; UsageError COMMANDS_NOT_BOUND.
        """
        asking.require(Action.COMMAND)
        _check(wish)
        row = view.find(wish.point)
        snapshot = view.snapshot
        if not any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(row)):
            raise InputError(f"{wish.point!r} is not a point", code="COMMAND_INVALID")
        place: int = snapshot.twins.site.at(row)
        site = snapshot.sites[place]
        desk = self._desks.get(site)
        if desk is None:
            message = f"no way to the devices of site {site!r} is bound"
            raise UsageError(message, code="COMMANDS_NOT_BOUND", hint="bind commands in the settings")
        full = Wish(
            snapshot.id(row),
            wish.value,
            wish.expires_in_s,
            wish.idempotency_key,
            asking.name,
            wish.if_value,
            wish.dry_run,
        )
        return desk.send(full, asking.role.value)

    def approve(self, asking: Principal, view: View, command_id: str) -> CommandRecord:
        """Agree to a command of somebody else. See `CommandDesk.approve`."""
        asking.require(Action.COMMAND)
        record, desk = self._find(view, command_id)
        return desk.approve(record.id, asking.name, asking.role.value)

    def cancel(self, asking: Principal, view: View, command_id: str) -> CommandRecord:
        """End a command that is under way. See `CommandDesk.cancel`."""
        asking.require(Action.COMMAND)
        record, desk = self._find(view, command_id)
        return desk.cancel(record.id, asking.name)

    def get(self, view: View, command_id: str) -> CommandRecord | None:
        try:
            return self._find(view, command_id)[0]
        except NotFoundError:
            return None

    def states(self, view: View, command_id: str) -> list[CommandRecord]:
        """What a command went through, oldest first. NotFoundError COMMAND_UNKNOWN."""
        record, desk = self._find(view, command_id)
        return [RECORDS.decode(entry.content) for entry in desk.log.states(record.id)]

    def page(
        self,
        view: View,
        *,
        point: str | None = None,
        open_only: bool = False,
        limit: int = 50,
        before: Mapping[str, int] | None = None,
    ) -> tuple[list[tuple[int, CommandRecord]], bool]:
        """The newest commands in sight, each with its number in its site, and whether there are more.

        before: by site, the number that the page goes on from.
        """
        return page_in_sight(
            view,
            self.logs,
            RECORDS.decode,
            point=point,
            open_only=open_only,
            limit=limit,
            before=before or {},
        )

    def desired(self, site: str, point: str) -> CommandRecord | None:
        desk = self._desks.get(site)
        return None if desk is None else desk.desired(point)

    def listen(self, record: CommandRecord, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever anything is written to the log of that command's site; returns the end."""
        listeners = self._desks[record.site].log.listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def lines(self) -> Iterator[str]:
        """How many commands came how far since the start, in Prometheus' text format."""
        counts = [(site, desk.counts()) for site, desk in self._desks.items()]
        yield "# TYPE twinmesh_commands_open gauge"
        for site, by_state in counts:
            yield f'twinmesh_commands_open{{site="{site}"}} {by_state["open"]}'
        yield "# TYPE twinmesh_command_total counter"
        for site, by_state in counts:
            for state, number in sorted(by_state.items()):
                if state != "open":
                    yield f'twinmesh_command_total{{site="{site}",outcome="{state.lower()}"}} {number}'

    @property
    def logs(self) -> dict[str, StateLog]:
        """By site."""
        return {site: desk.log for site, desk in self._desks.items()}

    def _find(self, view: View, command_id: str) -> tuple[CommandRecord, CommandDesk]:
        for desk in self._desks.values():
            record = desk.get(command_id)
            if record is not None and sees(view, record):
                return record, desk
        raise NotFoundError(f"no command {command_id!r}", code="COMMAND_UNKNOWN")


def _check(wish: Wish) -> None:
    if not math.isfinite(wish.expires_in_s) or not 0 < wish.expires_in_s <= EXPIRES_S_MAX:
        message = f"a command expires after more than 0 and at most {EXPIRES_S_MAX:g} s"
        raise InputError(message, code="COMMAND_INVALID")
    if not 1 <= len(wish.idempotency_key) <= 200:
        raise InputError("the idempotency key has 1 to 200 characters", code="COMMAND_INVALID")

"""Commands to the field. Refused unless a route to the point's device is bound; none is bound by default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from api.policy import Action
from api.schema.enums import CommandStatus
from ontology.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.policy import Principal
    from graph.view import View

EXPIRES_S_MAX: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be written to a point, and until when it is worth doing."""

    point: str  # IRI
    value: object
    expires_in_s: float
    idempotency_key: str
    if_value: object = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    id: str
    status: CommandStatus
    code: str | None = None
    message: str | None = None


class CommandRoute(Protocol):
    """A way to a device; made by the adapters."""

    def send(self, command: Command, author: str) -> CommandOutcome: ...


class Commands:
    """Checks commands and hands them to the route of the point's site."""

    def __init__(self, routes: Mapping[str, CommandRoute] | None = None) -> None:
        self._routes = dict(routes or {})

    def send(self, asking: Principal, view: View, command: Command) -> CommandOutcome:
        """AccessError FORBIDDEN; TWIN_UNKNOWN; InputError COMMAND_INVALID; UsageError COMMANDS_NOT_BOUND."""
        asking.require(Action.COMMAND)
        _check(command)
        row = view.find(command.point)
        snapshot = view.snapshot
        if not any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(row)):
            raise InputError(f"{command.point!r} is not a point", code="COMMAND_INVALID")
        place: int = snapshot.twins.site.at(row)
        site = snapshot.sites[place]
        route = self._routes.get(site)
        if route is None:
            message = f"no way to the devices of site {site!r} is bound"
            raise UsageError(message, code="COMMANDS_NOT_BOUND", hint="bind commands in the settings")
        return route.send(command, asking.name)


def _check(command: Command) -> None:
    if not math.isfinite(command.expires_in_s) or not 0 < command.expires_in_s <= EXPIRES_S_MAX:
        message = f"a command expires after more than 0 and at most {EXPIRES_S_MAX:g} s"
        raise InputError(message, code="COMMAND_INVALID")
    if not 1 <= len(command.idempotency_key) <= 200:
        raise InputError("the idempotency key has 1 to 200 characters", code="COMMAND_INVALID")

"""Who may do what: roles as a static table, and what a principal may see as a `Scope` beneath every door."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ontology.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    OPERATOR = "operator"
    ANALYST = "analyst"
    ADMIN = "admin"
    PARTNER = "partner"


class Action(StrEnum):
    READ = "read"
    RECORD = "record"  # readings in
    SIMULATE = "simulate"
    COMMAND = "command"  # to the field
    ALARM = "handle alarms"  # acknowledge, shelve
    CHANGE = "change"  # the graph


PERMITTED: Final[Mapping[Role, frozenset[Action]]] = {
    Role.OPERATOR: frozenset({Action.READ, Action.RECORD, Action.COMMAND, Action.ALARM}),
    Role.ANALYST: frozenset({Action.READ, Action.SIMULATE}),
    Role.ADMIN: frozenset(Action),
    # A partner reads what its token names, nothing else.
    Role.PARTNER: frozenset({Action.READ}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `sites` and `kinds` narrow what is seen; None: no limit, but a partner then sees nothing."""

    name: str
    role: Role
    sites: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    token: str | None = None  # id of the token; None on a trusted loopback
    expires_ns: int | None = None

    def may(self, action: Action) -> bool:
        return action in PERMITTED[self.role]

    def require(self, action: Action) -> None:
        """AccessError (FORBIDDEN) unless the role may do this."""
        if not self.may(action):
            allowed = ", ".join(sorted(role for role, actions in PERMITTED.items() if action in actions))
            raise AccessError(f"{self.role} may not {action}", hint=f"allowed for: {allowed}")

    @property
    def sees_all(self) -> bool:
        return self.role is not Role.PARTNER and self.sites is None and self.kinds is None

    @property
    def sees_nothing(self) -> bool:
        """Deny by default: a partner without a named share."""
        return self.role is Role.PARTNER and self.sites is None and self.kinds is None


LOCAL: Final = Principal("local", Role.ADMIN)
"""The user at a trusted loopback (`serve --dev`, the demo)."""

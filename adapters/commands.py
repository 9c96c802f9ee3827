"""Commands to the field: what goes out, how far it came, and the seam to what carries it.

    ACCEPTED -> SENT -> ACKNOWLEDGED -> CONFIRMED     FAILED and EXPIRED end it anywhere, REFUSED before all

SENT is written to disk before the first byte leaves, so that nothing is ever sent twice: a command that was
SENT when the server died is told to be of unknown outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPIRES_S_MAX: Final = 3_600.0


class CommandStatus(StrEnum):
    """How far a command has come."""

    ACCEPTED = "ACCEPTED"
    SENT = "SENT"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"


AFTER: Final[Mapping[CommandStatus, frozenset[CommandStatus]]] = {
    CommandStatus.ACCEPTED: frozenset({CommandStatus.SENT, CommandStatus.FAILED, CommandStatus.EXPIRED}),
    CommandStatus.SENT: frozenset(
        {CommandStatus.ACKNOWLEDGED, CommandStatus.CONFIRMED, CommandStatus.FAILED, CommandStatus.EXPIRED}
    ),
    CommandStatus.ACKNOWLEDGED: frozenset(
        {CommandStatus.CONFIRMED, CommandStatus.FAILED, CommandStatus.EXPIRED}
    ),
    CommandStatus.CONFIRMED: frozenset(),
    CommandStatus.FAILED: frozenset(),
    CommandStatus.EXPIRED: frozenset(),
    CommandStatus.REFUSED: frozenset(),
}
"""What may follow what; a final state is followed by nothing."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants a point to be. author: who, by the name of their token."""

    point: str  # IRI
    value: object
    expires_in_s: float
    idempotency_key: str
    author: str
    if_value: object = None
    dry_run: bool = False


class CommandRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command as it stands: what the log holds. Times are Unix time in ns."""

    id: str
    site: str
    point: str
    value: Any
    author: str
    request: str  # digest of what was asked: the same key with another one is a mistake
    accepted_ns: int
    expires_ns: int
    changed_ns: int
    status: str
    code: str | None = None
    message: str | None = None
    awaits_approval: bool = False
    approver: str | None = None
    sent_ns: int | None = None
    seen_ns: int = 0  # time of the point's last reading when it was sent: only a later one confirms
    reported: Any = None  # what the point said when it was given, or when it was confirmed
    confirm: bool = True  # False: nothing is read back, ACKNOWLEDGED is the end

    @property
    def state(self) -> CommandStatus:
        return CommandStatus(self.status)

    @property
    def began_ns(self) -> int:
        return self.accepted_ns

    @property
    def is_open(self) -> bool:
        is_done = not self.confirm and self.state is CommandStatus.ACKNOWLEDGED
        return bool(AFTER[self.state]) and not is_done


RECORDS: Final = msgspec.json.Decoder(CommandRecord)


@dataclass(frozen=True, slots=True)
class Order:
    """One delivery. value: as the device wants it. expires_ns: Unix time after which nobody may act on it."""

    id: str
    point: str
    address: str
    value: object
    payload: str  # "json" or "text"
    expires_ns: int
    left_s: float
    datatype: str | None = None  # as the rule names it, where a protocol has types of its own


class Receipt(StrEnum):
    """Who said that an order arrived: the device, a station on the way (a broker), or nobody."""

    DEVICE = "device"
    STATION = "station"
    NOBODY = "nobody"


class CommandSender(Protocol):
    """A way to devices. Safe from several threads."""

    @property
    def is_ready(self) -> bool:
        """Whether an order could leave now. While it could not, commands wait, unsent."""
        ...

    def send(self, order: Order) -> Receipt:
        """Deliver once, and wait for the acknowledgement no longer than `order.left_s`. Never repeats.

        TwinmeshError COMMAND_REJECTED where the device said no, COMMAND_NOT_SENT where nothing left.
        """
        ...

    def close(self) -> None: ...
